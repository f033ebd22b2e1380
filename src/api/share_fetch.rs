//! ShareFetch, key 78, versions 1-2.
//!
//! Behaviour: a member of a share group settles records that it has, and gets others, which nobody else has meanwhile, with how often they
//! were delivered. Waits up to `max_wait_ms` for `min_bytes`. What is read is told by the member's session (`share_sessions.rs`). With the
//! final epoch −1 that ends, and what it still has is given back. Stage two does all of it, as for Fetch: a long poll never holds up the
//! connection's reader, and one connection holds one response in memory at a time.
//!
//! Version notes: 2 has a mode in which `max_records` is never exceeded (KIP-1206), and asks for more time (KIP-1222); then nothing is fetched.
//! Not implemented: nothing.

use super::errors::{self, ResponseError};
use super::fetch::{charge, max_wait, room};
use super::share_acknowledgements::{self, Outcome, Renewals, by_topic, member_of};
use super::share_group_heartbeat::is_enabled;
use super::share_sessions::{Kind, Member, Part, ShareSessionError, Told, Turn};
use super::share_source::{Found, Got, Read, Source, Wanted};
use super::{Answer, Context, Handler};
use crate::broker::FETCH_PERMIT_BYTES;
use crate::config::group::ShareGroupSettings;
use crate::coordinator::share::messages::{AcquireMode, Next};
use crate::ids::TopicId;
use crate::log::Waiter;
use crate::log::fetch::{Sleeping, pause_after};
use crate::span::Span;
use crate::wire::frame::Frame;
use crate::wire::message::DecodeError;
use crate::wire::share_fetch::{self, ShareFetchRequest, ShareFetchResponse, SharedPartition, SharedTopic};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

const RENEWALS: i16 = 2;
const EXACTLY: i8 = 1;

pub struct ShareFetch;

impl Handler for ShareFetch {
    type Request = ShareFetchRequest;
    const VERSIONS: RangeInclusive<i16> = 1..=2;

    fn frame(correlation_id: i32, response: ShareFetchResponse, _version: i16) -> Result<Frame, DecodeError> {
        share_fetch::frame(correlation_id, response)
    }

    async fn handle(context: Context, request: ShareFetchRequest) -> Answer<ShareFetchResponse> {
        Answer::Later(Box::pin(async move {
            match answer(&context, request).await {
                Ok(response) => response,
                Err(error) => refused(error),
            }
        }))
    }

    fn unsupported() -> ShareFetchResponse {
        refused(ResponseError::UnsupportedVersion)
    }
}

/// Share groups are a feature that may be off.
///
/// # Errors
/// UNSUPPORTED_VERSION when it is.
pub fn check_enabled(context: &Context) -> Result<(), ResponseError> {
    if is_enabled(&context.broker.config.kafka) { Ok(()) } else { Err(ResponseError::UnsupportedVersion) }
}

async fn answer(context: &Context, request: ShareFetchRequest) -> Result<ShareFetchResponse, ResponseError> {
    check_enabled(context)?;
    let member = member_of(request.group_id.as_ref(), request.member_id.as_ref())?;
    let is_renewal = context.version >= RENEWALS && request.is_renewal;
    let fetches_nothing = [request.max_bytes, request.min_bytes, request.max_records, request.max_wait_ms] == [0; 4];
    if is_renewal && !fetches_nothing {
        return Err(ResponseError::InvalidRequest);
    }
    let limits = limits(context, &request);
    let turn = opened(context, &member, &request, is_renewal, limits.max_wait).await.map_err(errors::share::session)?;
    let renewals = Renewals { are_known: context.version >= RENEWALS, are_announced: request.is_renewal };
    let settings = context.broker.share_partitions.settings_of(&member.group);
    let acknowledging = share_acknowledgements::begin(context, &member, &settings, &request.topics, renewals).await;
    // A long poll must not keep its request's frame in memory.
    drop(request);
    let fetched = match turn.kind {
        Kind::Last => Vec::new(),
        _ if is_renewal => Vec::new(),
        _ => fetch(context, &member, &settings, &turn, limits).await,
    };
    let outcomes = acknowledging.outcomes().await;
    if turn.kind == Kind::Last {
        share_acknowledgements::close_session(context, &member).await;
    }
    Ok(respond(context, &member, &settings, &turn, fetched, outcomes))
}

/// Opens or continues the member's session. Where there is no room for it, waits for that as long as for records: whoever is refused would ask again at once, and
/// one that comes back over another connection may come before the end of its last one is seen.
async fn opened(
    context: &Context,
    member: &Member,
    request: &ShareFetchRequest,
    is_renewal: bool,
    max_wait: Duration,
) -> Result<Turn, ShareSessionError> {
    let deadline = tokio::time::Instant::now() + max_wait;
    loop {
        // Before the look, so that no end is missed.
        let ended = context.share_sessions.ended();
        match open(context, member, request, is_renewal) {
            Err(ShareSessionError::LimitReached) => {}
            opened => return opened,
        }
        if tokio::time::timeout_at(deadline, ended).await.is_err() {
            return Err(ShareSessionError::LimitReached);
        }
    }
}

fn open(context: &Context, member: &Member, request: &ShareFetchRequest, is_renewal: bool) -> Result<Turn, ShareSessionError> {
    let all = || request.topics.iter().flat_map(|topic| topic.partitions.iter().map(|partition| (TopicId(topic.id), partition)));
    // A fetch tells its member what does not exist, and the session forgets it then; a renewal does not get that far.
    let exists = |(topic, index): &Part| context.broker.catalog.topic_by_id(*topic).is_some_and(|topic| topic.has(*index));
    let asked = all().map(|(topic, partition)| (topic, partition.index)).filter(|part| !is_renewal || exists(part)).collect();
    let acknowledges = all().any(|(_, partition)| !partition.acknowledgements.is_empty());
    let forgotten: Vec<Part> =
        request.forgotten.iter().flat_map(|(topic, indexes)| indexes.iter().map(|index| (TopicId(*topic), *index))).collect();
    context.share_sessions.fetch(member, request.session_epoch, asked, &forgotten, acknowledges, context.connection.id)
}

/// What one fetch may take.
#[derive(Debug, Clone, Copy)]
struct Limits {
    min_bytes: usize,
    max_bytes: usize,
    max_wait: Duration,
    wanted: Wanted,
}

fn limits(context: &Context, request: &ShareFetchRequest) -> Limits {
    let bytes = |value: i32| usize::try_from(value).unwrap_or(0);
    let allowed = bytes(request.max_bytes).min(bytes(context.broker.config.kafka.fetch_max_bytes));
    let max_bytes = allowed.min(room(context));
    Limits {
        // More than fits into the answer would be waited for in vain.
        min_bytes: bytes(request.min_bytes).min(max_bytes),
        max_bytes,
        max_wait: max_wait(context, request.max_wait_ms),
        wanted: Wanted {
            records: i64::from(request.max_records),
            range_records: i64::from(request.batch_size),
            mode: if request.acquire_mode == EXACTLY { AcquireMode::Records } else { AcquireMode::Batches },
        },
    }
}

type Fetched = Vec<(Part, Result<Got, ResponseError>)>;

/// Reads what the session has, what was served longest ago first, and acquires of it for the member. Waits until there is enough,
/// or time is up.
async fn fetch(context: &Context, member: &Member, settings: &ShareGroupSettings, turn: &Turn, limits: Limits) -> Fetched {
    let mut fetched = Vec::with_capacity(turn.parts.len());
    let mut sources = Vec::with_capacity(turn.parts.len());
    for part in turn.parts.iter().copied() {
        match Source::open(context, member, part).await {
            Ok(source) => sources.push(source),
            Err(error) => fetched.push((part, Err(error))),
        }
    }
    if sources.is_empty() || limits.wanted.records <= 0 || limits.max_bytes == 0 {
        return fetched;
    }
    let sleeping = Sleeping::register(sources.iter().map(|source| source.partition.clone()).collect());
    let deadline = tokio::time::Instant::now() + limits.max_wait;
    loop {
        let began = tokio::time::Instant::now();
        let look = Look { context, member, settings, limits };
        let (found, bytes, is_enough) = look.read(&sources, sleeping.waiter()).await;
        // Who asks for no bytes does not wait for any.
        let is_last = limits.min_bytes == 0 || tokio::time::Instant::now() >= deadline;
        if is_enough || (is_last && bytes > 0) {
            // Before anything is acquired: a lock runs while its member waits for the answer.
            let memory = charge(context, bytes).await;
            let got = look.acquire(&sources, found).await;
            let is_something = |got: &Result<Got, _>| got.as_ref().map_or(true, |got| !got.acquired.is_empty());
            if is_last || got.iter().any(|(_, got)| is_something(got)) {
                fetched.extend(got);
                context.hold(memory.map(|memory| kept_for(&fetched, memory)));
                return fetched;
            }
            // Others were faster, or what was there never is delivered: what is there now?
            continue;
        }
        if is_last {
            fetched.extend(sources.iter().map(|source| (source.part, Ok(Got::default()))));
            return fetched;
        }
        // As in `log/fetch.rs`: nothing that was found is kept while this sleeps.
        drop(found);
        let pause = pause_after(began.elapsed());
        let has_news = tokio::time::timeout_at(deadline, sleeping.waiter().changed()).await.is_ok();
        // Each look asks the group's shard for each partition, and finds all again that was there before.
        if has_news && bytes > 0 {
            tokio::time::sleep_until(deadline.min(tokio::time::Instant::now() + pause)).await;
        }
    }
}

/// Of the memory for all that was read, what the answer needs.
fn kept_for(fetched: &Fetched, mut memory: OwnedSemaphorePermit) -> OwnedSemaphorePermit {
    let spans = fetched.iter().filter_map(|(_, got)| got.as_ref().ok()).flat_map(|got| &got.records);
    let bytes: usize = spans.map(Span::len).sum();
    memory.split(bytes.div_ceil(FETCH_PERMIT_BYTES)).unwrap_or(memory)
}

/// One look at all partitions.
struct Look<'a> {
    context: &'a Context,
    member: &'a Member,
    settings: &'a ShareGroupSettings,
    limits: Limits,
}

impl Look<'_> {
    /// What there is to read now, for each source; how many bytes that is, and whether that is enough to answer.
    async fn read(&self, sources: &[Source], waiter: &Arc<Waiter>) -> (Vec<Result<Found, ResponseError>>, usize, bool) {
        let mut next = Vec::with_capacity(sources.len());
        for source in sources {
            next.push(source.next(self.context, self.settings, waiter).await);
        }
        let readable = next.iter().filter(|next| matches!(next, Ok(Next::At(_)))).count().max(1);
        let share = self.limits.max_bytes / readable;
        let (mut found, mut bytes) = (Vec::with_capacity(sources.len()), 0);
        for (source, next) in sources.iter().zip(next) {
            let one = match next {
                // What others leave of their share is of use to the next ones.
                Ok(Next::At(from)) => {
                    let left = self.limits.max_bytes.saturating_sub(bytes);
                    source.read(self.settings, from, self.limits.wanted.records, share.min(left), bytes == 0).await
                }
                Ok(Next::Full) => Ok(Found::Nothing),
                Err(error) => Err(error),
            };
            bytes += if let Ok(Found::Something(read)) = &one { read.bytes() } else { 0 };
            found.push(one);
        }
        let is_enough = found.iter().any(|one| match one {
            Ok(Found::Something(read)) => read.is_all,
            Ok(Found::Nothing) => false,
            Err(_) => true,
        });
        (found, bytes, is_enough || bytes >= self.limits.min_bytes.max(1))
    }

    /// Acquires of what was found, up to as many records as are wanted of all together.
    async fn acquire(&self, sources: &[Source], found: Vec<Result<Found, ResponseError>>) -> Fetched {
        let mut fetched = Vec::with_capacity(sources.len());
        let mut wanted = self.limits.wanted;
        for (source, found) in sources.iter().zip(found) {
            let got = match found {
                Ok(Found::Something(read)) if wanted.records > 0 => self.acquire_one(source, read, wanted).await,
                Ok(_) => Ok(Got::default()),
                Err(error) => Err(error),
            };
            if let Ok(got) = &got {
                wanted.records -= got.acquired.iter().map(|acquired| acquired.span.len()).sum::<i64>();
            }
            fetched.push((source.part, got));
        }
        fetched
    }

    async fn acquire_one(&self, source: &Source, read: Read, wanted: Wanted) -> Result<Got, ResponseError> {
        source.acquire(self.context, self.member, self.settings, read, wanted).await
    }
}

/// Puts records and outcomes of acknowledgements together, under their topics; a session leaves out what has nothing new to say.
fn respond(
    context: &Context,
    member: &Member,
    settings: &ShareGroupSettings,
    turn: &Turn,
    fetched: Fetched,
    outcomes: Vec<(Part, Outcome)>,
) -> ShareFetchResponse {
    let told: Vec<(Part, Told)> = fetched.iter().map(|(part, got)| (*part, told(got))).collect();
    let news = context.share_sessions.news(member, turn, &told);
    let fetched = fetched.into_iter().zip(news).filter(|(_, is_news)| *is_news);
    let mut partitions: Vec<(Part, SharedPartition)> = fetched.map(|((part, got), _)| (part, shared(part, got))).collect();
    let places: HashMap<Part, usize> = partitions.iter().enumerate().map(|(at, (part, _))| (*part, at)).collect();
    for (part, (code, message)) in outcomes {
        let place = places.get(&part).copied().unwrap_or_else(|| {
            partitions.push((part, SharedPartition { index: part.1, ..SharedPartition::default() }));
            partitions.len() - 1
        });
        if let Some((_, partition)) = partitions.get_mut(place) {
            partition.acknowledge_error_code = code;
            partition.acknowledge_error_message = message;
        }
    }
    ShareFetchResponse {
        error_code: errors::NONE,
        error_message: None,
        lock_timeout_ms: settings.record_lock_duration_ms,
        topics: by_topic(partitions).into_iter().map(|(id, partitions)| SharedTopic { id: id.0, partitions }).collect(),
    }
}

fn told(got: &Result<Got, ResponseError>) -> Told {
    Told {
        has_records: got.as_ref().is_ok_and(|got| !got.acquired.is_empty()),
        is_error: got.is_err(),
        is_unknown: matches!(got, Err(ResponseError::UnknownTopicId | ResponseError::UnknownTopicOrPartition)),
    }
}

fn shared((_, index): Part, got: Result<Got, ResponseError>) -> SharedPartition {
    match got {
        Ok(Got { records, acquired }) => SharedPartition {
            index,
            records,
            acquired: acquired.iter().map(|acquired| (acquired.span.first.0, acquired.span.last.0, acquired.count)).collect(),
            ..SharedPartition::default()
        },
        Err(error) => SharedPartition { index, error_code: error.code(), ..SharedPartition::default() },
    }
}

fn refused(error: ResponseError) -> ShareFetchResponse {
    ShareFetchResponse { error_code: error.code(), ..ShareFetchResponse::default() }
}
