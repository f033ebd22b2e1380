//! Fetch, key 1, versions 4-18.
//!
//! Behaviour: whole batches from the asked offsets on, at least one if there is any (KIP-74), waiting up to `max_wait_ms` for
//! `min_bytes` (an error answers at once). Incremental sessions (KIP-227): see `fetch_sessions.rs`. Stage two does all of it, so a long poll
//! never holds up the connection's reader, and one connection holds one response in memory at a time.
//!
//! Version notes: 5 log start offset; 7 sessions; 9 current leader epoch (KIP-320); 10 zstd (KIP-110); 11 rack; 12 is flexible; 13 topic ids (KIP-516); 15 and
//! later carry replica state, which consumers do not send.
//! With `read_committed`, nothing at or behind the last stable offset, and the aborted transactions among what is answered.
//! What its consumer will ask for next is looked for while the answer leaves (`log/ahead.rs`).
//! Not implemented: nothing.

use super::errors::{self, ResponseError};
use super::fetch_sessions::{Asked, Opened, SessionError, Told, TopicKey, Turn};
use super::repeated::LastOfEach;
use super::{Answer, Context, Handler};
use crate::broker::FETCH_PERMIT_BYTES;
use crate::catalog::Topic;
use crate::ids::{Offset, TopicId};
use crate::log::fetch::{Fetched, Isolation, Limits, Target, total};
use crate::log::{self, Aborted};
use crate::wire::fetch::{self, FetchRequest, FetchResponse, FetchedPartition, FetchedTopic};
use crate::wire::frame::Frame;
use crate::wire::message::DecodeError;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

const ZSTD: i16 = 10;
const TOPIC_IDS: i16 = 13;
const READ_COMMITTED: i8 = 1;
/// What a fetch may hold at least, however little memory is free: progress for everybody.
const BYTES_AT_LEAST: usize = 64 << 10;

/// The longest poll: a peer that has gone without a word is not waited for longer.
const WAIT_MAX: Duration = Duration::from_secs(300);
const LARGE_WAIT_MAX: Duration = Duration::from_secs(1);
/// A request of more bytes waits no longer than that: some hundred partitions, which who has a session names once.
const LONG_POLL_BYTES_MAX: usize = 4 << 10;

pub struct Fetch;

impl Handler for Fetch {
    type Request = FetchRequest;
    const VERSIONS: RangeInclusive<i16> = 4..=18;

    fn frame(correlation_id: i32, response: FetchResponse, version: i16) -> Result<Frame, DecodeError> {
        fetch::frame(correlation_id, response, version)
    }

    async fn handle(context: Context, request: FetchRequest) -> Answer<FetchResponse> {
        Answer::Later(Box::pin(answer(context, request)))
    }

    fn unsupported() -> FetchResponse {
        refused(ResponseError::UnsupportedVersion)
    }
}

async fn answer(context: Context, FetchRequest(request): FetchRequest) -> FetchResponse {
    let turn = match open(&context, &request) {
        Ok(turn) => turn,
        Err(error) => return refused(session_error(&error)),
    };
    let mut limits = limits(&context, &request);
    // A long poll must not keep its request's frame in memory.
    drop(request);
    let mut has_failed = false;
    let mut targets = Vec::with_capacity(turn.asked.len());
    let mut resolved = Vec::with_capacity(turn.asked.len());
    // The partitions of a topic come one after the other: it is looked up once for all of them.
    let mut last: Option<(&TopicKey, Result<Arc<Topic>, ResponseError>)> = None;
    for asked in &turn.asked {
        let topic = match last.take().filter(|(key, _)| **key == asked.topic) {
            Some((_, topic)) => topic,
            None => find(&context, &asked.topic),
        };
        let target = match &topic {
            Ok(topic) => resolve(&context, topic, asked).await,
            Err(error) => Err(*error),
        };
        last = Some((&asked.topic, topic));
        resolved.push(match target {
            Ok(target) => {
                targets.push(target);
                Ok(())
            }
            Err(error) => {
                has_failed |= !is_unknown(error);
                Err(error)
            }
        });
    }
    if has_failed || targets.is_empty() {
        // Some partition is answered with an error, so nothing is waited for. One that does not exist lets the others wait
        // (KafkaApis.handleFetchRequest, which tells of it apart): its client needs newer metadata, not answers without a pause.
        limits.max_wait = Duration::ZERO;
    }
    let mut looked = context.ahead.as_ref().and_then(|ahead| ahead.take());
    let fetched = log::fetch::fetch(&targets, limits, looked.as_mut()).await;
    context.broker.metrics.fetched_ahead.inc_by(looked.map_or(0, |looked| looked.used()));
    context.hold(charge(&context, fetched.iter().filter_map(|one| one.stretches.as_deref().ok()).map(total).sum()).await);
    if let Some(ahead) = &context.ahead {
        let memory = context.broker.fetch_memory.clone();
        ahead.look(targets, &fetched, limits, move |bytes| memory.clone().try_acquire_many_owned(permits(bytes)).ok());
    }
    let mut fetched = fetched.into_iter();
    let answers = turn.asked.iter().zip(resolved).map(|(asked, resolved)| match resolved {
        Ok(()) => data(asked, fetched.next().expect("one answer per target, in order"), limits.isolation),
        Err(error) => failure(asked, error),
    });
    let answers = answers.collect();
    respond(&context, &turn, answers)
}

fn is_unknown(error: ResponseError) -> bool {
    matches!(error, ResponseError::UnknownTopicOrPartition | ResponseError::UnknownTopicId)
}

/// What this request asks for, in the light of its session.
fn open(context: &Context, request: &fetch::Head) -> Result<Turn, SessionError> {
    let by_id = context.version >= TOPIC_IDS;
    let key = |name: &TopicName, id| if by_id { TopicKey::Id(TopicId(id)) } else { TopicKey::Name(name.as_str().into()) };
    // Each partition once, what is said of it last (FetchRequest.fetchData).
    let mut asked = LastOfEach::default();
    let mut numbers = HashMap::new();
    for topic in &request.topics {
        let key = key(&topic.topic, topic.topic_id);
        let next = numbers.len();
        let number = if request.topics.len() == 1 { 0 } else { *numbers.entry(key.clone()).or_insert(next) };
        for partition in &topic.partitions {
            let wanted = Asked {
                topic: key.clone(),
                index: partition.partition,
                from: Offset(partition.fetch_offset),
                max_bytes: usize::try_from(partition.partition_max_bytes).unwrap_or(0),
                current_leader_epoch: partition.current_leader_epoch,
            };
            asked.put((number, partition.partition), wanted);
        }
    }
    let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| {
        let key = key(&topic.topic, topic.topic_id);
        topic.partitions.iter().map(move |index| (key.clone(), *index))
    });
    // Sessions came with version 7; before it, every fetch is a full one.
    let (id, epoch) = if context.version >= 7 { (request.session_id, request.session_epoch) } else { (0, -1) };
    context.sessions.open(id, epoch, by_id, asked.into_vec(), forgotten.collect(), context.broker.env.steady())
}

fn find(context: &Context, topic: &TopicKey) -> Result<Arc<Topic>, ResponseError> {
    match topic {
        TopicKey::Id(id) => context.broker.catalog.topic_by_id(*id).ok_or(ResponseError::UnknownTopicId),
        TopicKey::Name(name) => context.broker.catalog.topic(name).ok_or(ResponseError::UnknownTopicOrPartition),
    }
}

async fn resolve(context: &Context, topic: &Topic, asked: &Asked) -> Result<Target, ResponseError> {
    let partition = context.partition_of(topic, asked.index).await?;
    check_leader_epoch(asked.current_leader_epoch)?;
    if context.version < ZSTD && topic.settings.compression.as_ref().is_some_and(|codec| codec.name == "zstd") {
        // A client that old could not read it (KIP-110).
        return Err(ResponseError::UnsupportedCompressionType);
    }
    Ok(Target { partition, from: asked.from, max_bytes: asked.max_bytes })
}

/// The epoch that a client believes the leader to be in; −1: it does not say. Ours is 0 (KIP-320).
///
/// # Errors
/// UNKNOWN_LEADER_EPOCH when the client has heard of a newer one.
pub fn check_leader_epoch(believed: i32) -> Result<(), ResponseError> {
    if believed > 0 { Err(ResponseError::UnknownLeaderEpoch) } else { Ok(()) }
}

fn limits(context: &Context, request: &fetch::Head) -> Limits {
    let bytes = |value: i32| usize::try_from(value).unwrap_or(0);
    let allowed = bytes(request.max_bytes).min(bytes(context.broker.config.kafka.fetch_max_bytes));
    let max_bytes = allowed.min(room(context));
    Limits {
        // More than fits into the answer would be waited for in vain (ReplicaManager.fetchMessages).
        min_bytes: bytes(request.min_bytes).min(max_bytes),
        max_bytes,
        max_wait: max_wait(context, request.max_wait_ms),
        isolation: if request.isolation_level == READ_COMMITTED { Isolation::ReadCommitted } else { Isolation::ReadUncommitted },
    }
}

/// How long an answer may be waited for. A request that names many partitions keeps its memory until it is answered, from all that others' requests
/// have: it comes again sooner.
pub(super) fn max_wait(context: &Context, asked_ms: i32) -> Duration {
    let most = if context.frame_bytes > LONG_POLL_BYTES_MAX { LARGE_WAIT_MAX } else { WAIT_MAX };
    Duration::from_millis(u64::try_from(asked_ms).unwrap_or(0)).min(most)
}

/// How large an answer may be now: half of the memory that is free for answers, so that they shrink as it fills up, and a little
/// at least, so that everybody makes progress.
pub(super) fn room(context: &Context) -> usize {
    (context.broker.fetch_memory.available_permits().saturating_mul(FETCH_PERMIT_BYTES) / 2).max(BYTES_AT_LEAST)
}

/// Charges an answer to the memory for answers, until it is on its socket; waits while others use it up. A long poll that sleeps is
/// charged nothing. What lies in files is charged too: it keeps segments from being given back.
pub(super) async fn charge(context: &Context, bytes: usize) -> Option<OwnedSemaphorePermit> {
    let all = u32::try_from(context.broker.config.limits.memory_bytes / FETCH_PERMIT_BYTES).unwrap_or(u32::MAX);
    context.broker.fetch_memory.clone().acquire_many_owned(permits(bytes).min(all)).await.ok()
}

fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(FETCH_PERMIT_BYTES)).unwrap_or(u32::MAX)
}

fn data(asked: &Asked, fetched: Fetched, isolation: Isolation) -> FetchedPartition {
    let Fetched { stretches, watermark, last_stable, start, aborted } = fetched;
    let stretches = match stretches {
        Ok(stretches) => stretches,
        Err(error) => return failure(asked, errors::read(&error)),
    };
    FetchedPartition {
        index: asked.index,
        error_code: errors::NONE,
        high_watermark: watermark.0,
        last_stable_offset: last_stable.0,
        log_start_offset: start.0,
        aborted: (isolation == Isolation::ReadCommitted).then(|| void(&aborted)),
        records: stretches.into_iter().map(|stretch| stretch.bytes).collect(),
    }
}

/// Whose records a read_committed consumer skips, from which offset on, until it meets the marker (KIP-98).
fn void(aborted: &[Aborted]) -> Vec<(i64, i64)> {
    aborted.iter().map(|one| (one.producer.0, one.first.0)).collect()
}

fn failure(asked: &Asked, error: ResponseError) -> FetchedPartition {
    FetchedPartition {
        index: asked.index,
        error_code: error.code(),
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        aborted: None,
        records: Vec::new(),
    }
}

/// Puts the answers under their topics; an incremental session leaves out what has nothing new to say.
fn respond(context: &Context, turn: &Turn, answers: Vec<FetchedPartition>) -> FetchResponse {
    let told: Vec<Told> = answers.iter().map(told).collect();
    let news = context.sessions.news(turn, &told);
    let mut topics: Vec<(&TopicKey, FetchedTopic)> = Vec::new();
    for ((asked, answer), _) in turn.asked.iter().zip(answers).zip(news).filter(|(_, is_news)| *is_news) {
        match topics.last_mut() {
            Some((key, topic)) if **key == asked.topic => topic.partitions.push(answer),
            _ => topics.push((&asked.topic, FetchedTopic { partitions: vec![answer], ..topic_response(&asked.topic) })),
        }
    }
    let session_id = match turn.session {
        Opened::Sessionless => 0,
        Opened::New(id) | Opened::Incremental(id) => id,
    };
    FetchResponse { error_code: errors::NONE, session_id, topics: topics.into_iter().map(|(_, topic)| topic).collect() }
}

fn told(answer: &FetchedPartition) -> Told {
    Told {
        watermark: answer.high_watermark,
        start: answer.log_start_offset,
        is_error: answer.error_code != errors::NONE,
        has_records: answer.has_records(),
    }
}

fn topic_response(key: &TopicKey) -> FetchedTopic {
    match key {
        TopicKey::Id(id) => FetchedTopic { id: id.0, ..FetchedTopic::default() },
        TopicKey::Name(name) => {
            FetchedTopic { name: TopicName(StrBytes::from_string(name.to_string())), ..FetchedTopic::default() }
        }
    }
}

fn session_error(error: &SessionError) -> ResponseError {
    match error {
        SessionError::NotFound => ResponseError::FetchSessionIdNotFound,
        SessionError::WrongEpoch => ResponseError::InvalidFetchSessionEpoch,
        SessionError::OtherTopicNames => ResponseError::FetchSessionTopicIdError,
    }
}

fn refused(error: ResponseError) -> FetchResponse {
    FetchResponse { error_code: error.code(), ..FetchResponse::default() }
}
