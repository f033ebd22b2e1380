//! Produce: single events and batches. Both become one Produce request of the topic's partitions, so concurrent requests share the
//! journal's commits, and an answer means that the event is on disk.

use super::caller::Caller;
use super::errors::{ErrorBody, ErrorDetail, HttpError, RecordProblem, Refusal};
use super::input::{Body, Name};
use super::json::{NewRecord, rfc3339};
use super::partitioner::partition_of;
use super::repeats::IdempotencyKey;
use super::topics::{no_such_partition, resolve};
use crate::api::errors::ResponseError;
use crate::api::produce::{self, Produce};
use crate::catalog::Topic;
use crate::ids::Timestamp;
use crate::records::BatchBuilder;
use crate::store::{BoxFuture, Mark};
use axum::Json;
use axum::http::HeaderMap;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::BatchIndexAndErrorMessage;
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::Ordering;
use utoipa::ToSchema;

const PRODUCE: i16 = 12;
const ALL: i16 = -1;
const TIMEOUT_MS: i32 = 30_000;
/// The most events of a batch.
const BATCH_MAX: usize = 10_000;
/// A larger batch is split, whatever the topic takes: so that a repeated request is split in the same places after the topic's limit was changed.
const SPLIT_BYTES: usize = 512 * 1024;

/// Where an event went.
#[derive(Debug, Serialize, ToSchema)]
pub struct Produced {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    #[schema(format = DateTime)]
    pub timestamp: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBatch {
    /// 1 to 10,000.
    #[schema(min_items = 1, max_items = 10000)]
    #[serde(deserialize_with = "at_most_batch_max")]
    pub records: Vec<NewRecord>,
}

/// Stops reading at the first record too many.
fn at_most_batch_max<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<NewRecord>, D::Error> {
    struct Records;
    impl<'de> Visitor<'de> for Records {
        type Value = Vec<NewRecord>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a sequence of 1 to {BATCH_MAX} records")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<NewRecord>, A::Error> {
            let mut records = Vec::new();
            while let Some(record) = items.next_element()? {
                if records.len() == BATCH_MAX {
                    return Err(A::Error::custom(format!("more than {BATCH_MAX} records")));
                }
                records.push(record);
            }
            Ok(records)
        }
    }
    deserializer.deserialize_seq(Records)
}

#[derive(Debug, Serialize, ToSchema)]
pub struct BatchProduced {
    /// One for each record of the request, in its order.
    pub results: Vec<RecordResult>,
}

/// What became of one event of a batch.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum RecordResult {
    Written {
        partition: i32,
        offset: i64,
        #[schema(format = DateTime)]
        timestamp: String,
    },
    Refused {
        error: ErrorDetail,
    },
}

/// Writes an event. With the header `Idempotency-Key` it is safe to send again: within a day the answer is that of the first time.
#[utoipa::path(post, path = "/topics/{name}/produce", tag = "events", request_body = NewRecord,
    params(("name" = String, Path), ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters")),
    responses(
    (status = 200, body = Produced),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 408, body = ErrorBody), (status = 413, body = ErrorBody), (status = 415, body = ErrorBody), (status = 422, body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub async fn one(
    caller: Caller,
    Name(name): Name,
    headers: HeaderMap,
    Body(record): Body<NewRecord>,
) -> Result<Json<Produced>, HttpError> {
    let topic = resolve(&caller, &name)?;
    let key = IdempotencyKey::of(&headers)?;
    let mut results = write(&caller, &topic, &[record], key.as_ref()).await?;
    match results.pop() {
        Some(Ok(Written { partition, offset, time })) => {
            Ok(Json(Produced { topic: name, partition, offset, timestamp: rfc3339(time) }))
        }
        Some(Err(error)) => Err(error),
        None => Err(HttpError::of(ResponseError::UnknownServerError, None, "no answer for the event")),
    }
}

/// Writes many events. Each has its own result: some may be refused.
#[utoipa::path(post, path = "/topics/{name}/records", tag = "events", request_body = NewBatch,
    params(("name" = String, Path), ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters")),
    responses(
    (status = 200, body = BatchProduced),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 408, body = ErrorBody), (status = 413, body = ErrorBody), (status = 415, body = ErrorBody), (status = 422, body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub async fn batch(
    caller: Caller,
    Name(name): Name,
    headers: HeaderMap,
    Body(new): Body<NewBatch>,
) -> Result<Json<BatchProduced>, HttpError> {
    let topic = resolve(&caller, &name)?;
    let key = IdempotencyKey::of(&headers)?;
    if !(1..=BATCH_MAX).contains(&new.records.len()) {
        return Err(HttpError::invalid(format!("records has {} events; a batch has 1 to {BATCH_MAX}", new.records.len())));
    }
    let results = write(&caller, &topic, &new.records, key.as_ref()).await?;
    if let Some(error) = nothing_fits(&results) {
        return Err(error);
    }
    let results = results.into_iter().map(|result| match result {
        Ok(Written { partition, offset, time }) => RecordResult::Written { partition, offset, timestamp: rfc3339(time) },
        Err(error) => RecordResult::Refused { error: error.body().error },
    });
    Ok(Json(BatchProduced { results: results.collect() }))
}

/// The error of the whole request, when nothing was written since events do not fit their schema.
fn nothing_fits(results: &[Result<Written, HttpError>]) -> Option<HttpError> {
    let is_refused =
        |result: &Result<Written, HttpError>| result.as_ref().is_err_and(|error| error.refusal == Refusal::InvalidRecord);
    if !results.iter().all(is_refused) {
        return None;
    }
    let records: Vec<RecordProblem> =
        results.iter().filter_map(|result| result.as_ref().err()).flat_map(|error| error.records.clone()).collect();
    let first = records.first().map(|problem| problem.message.as_str()).unwrap_or_default();
    let message = format!("{} of {} records are invalid, and nothing was written: {first}", records.len(), results.len());
    Some(HttpError::invalid_records(message, records))
}

/// Where an event is, durably.
#[derive(Debug, Clone, Copy)]
struct Written {
    partition: i32,
    offset: i64,
    time: Timestamp,
}

/// Events of a request that make one batch of a partition, by their positions in the request.
struct Share {
    positions: Vec<usize>,
    batch: BatchBuilder,
}

/// The batches of a request, by partition: several where one would be larger than the topic takes.
type Shares = BTreeMap<i32, VecDeque<Share>>;

/// Writes `records`, and answers for each.
async fn write(
    caller: &Caller,
    topic: &Topic,
    records: &[NewRecord],
    key: Option<&IdempotencyKey>,
) -> Result<Vec<Result<Written, HttpError>>, HttpError> {
    let now = caller.shared.broker.env.now();
    let partitions = partitions(caller, topic, key);
    let mut shares = shared_out(caller, topic, records, key, partitions, now)?;
    let missing = HttpError::of(ResponseError::UnknownServerError, None, "no answer for the event");
    let mut results = vec![Err(missing); records.len()];
    // One batch of each partition at a time; they are durable together.
    let mut under_way = Vec::new();
    while !shares.is_empty() {
        under_way.push(start(caller, topic, &mut shares, key, partitions, now).await?);
    }
    for (response, mut positions) in under_way {
        for answer in response.await.responses.into_iter().flat_map(|topic| topic.partition_responses) {
            let error = ResponseError::try_from_code(answer.error_code)
                .map(|error| HttpError::of(error, answer.error_message.as_deref(), &format!("partition {}", answer.index)));
            // Each event is told of itself alone: together they would be told as many times as there are events.
            let mut problems: HashMap<i32, String> = answer.record_errors.into_iter().map(problem).collect();
            let beside = (!problems.is_empty())
                .then(|| HttpError::invalid_records("it came with an event that is invalid; both were refused", Vec::new()));
            let time = if answer.log_append_time_ms >= 0 { Timestamp(answer.log_append_time_ms) } else { now };
            for (nth, position) in (0i64..).zip(positions.remove(&answer.index).unwrap_or_default()) {
                if let Some(result) = results.get_mut(position) {
                    let own = i32::try_from(nth).ok().and_then(|nth| problems.remove(&nth));
                    *result = match (&error, own, &beside) {
                        (None, ..) => Ok(Written { partition: answer.index, offset: answer.base_offset + nth, time }),
                        (Some(_), Some(message), _) => {
                            let problem = RecordProblem { index: position, message: message.clone() };
                            Err(HttpError::invalid_records(message, vec![problem]))
                        }
                        (Some(_), None, Some(beside)) => Err(beside.clone()),
                        (Some(error), None, None) => Err(error.clone()),
                    };
                }
            }
        }
    }
    Ok(results)
}

/// A record that the broker named, by its place in its batch.
fn problem(one: BatchIndexAndErrorMessage) -> (i32, String) {
    (one.batch_index, one.batch_index_error_message.map(|message| message.to_string()).unwrap_or_default())
}

/// The batches that the events make.
fn shared_out(
    caller: &Caller,
    topic: &Topic,
    records: &[NewRecord],
    key: Option<&IdempotencyKey>,
    partitions: usize,
    now: Timestamp,
) -> Result<Shares, HttpError> {
    let keyless = keyless_partition(caller, partitions, key);
    let mut shares = Shares::new();
    for (position, record) in records.iter().enumerate() {
        let partition = partition(topic, record, (keyless, partitions), position)?;
        let own = shares.entry(partition).or_default();
        let limit = topic.settings.max_message_bytes.min(SPLIT_BYTES);
        let fits = |share: &Share| share.batch.estimated_bytes() + record.stored_bytes() <= limit;
        let mut share = match own.pop_back() {
            Some(share) if fits(&share) => share,
            full => {
                own.extend(full);
                Share { positions: Vec::new(), batch: BatchBuilder::new(now) }
            }
        };
        share.positions.push(position);
        share.batch = added(share.batch, record, now);
        own.push_back(share);
    }
    Ok(shares)
}

/// An answer under way, and which events it is for, by partition.
type UnderWay = (BoxFuture<'static, ProduceResponse>, BTreeMap<i32, Vec<usize>>);

/// Appends the first batch of each partition.
async fn start(
    caller: &Caller,
    topic: &Topic,
    shares: &mut Shares,
    key: Option<&IdempotencyKey>,
    partitions: usize,
    now: Timestamp,
) -> Result<UnderWay, HttpError> {
    let keep_ms = caller.shared.broker.config.http.idempotency_ms;
    let mut marks = key.map(|_| BTreeMap::new());
    let (mut positions, mut data) = (BTreeMap::new(), Vec::new());
    shares.retain(|partition, own| {
        if let Some(share) = own.pop_front() {
            if let (Some(marks), Some(key)) = (&mut marks, key) {
                marks.insert(*partition, share.mark(key, topic, partitions, now, keep_ms));
            }
            let has_first = share.positions.first() == Some(&0);
            positions.insert(*partition, share.positions);
            data.push(PartitionProduceData::default().with_index(*partition).with_records(Some(share.batch.build())));
            if has_first {
                // Whoever repeats the request looks for this one, see `repeats.rs`.
                let last = data.len() - 1;
                data.swap(0, last);
            }
        }
        !own.is_empty()
    });
    let data = TopicProduceData::default().with_name(super::records::name_of(topic)).with_partition_data(data);
    let request = ProduceRequest::default().with_acks(ALL).with_timeout_ms(TIMEOUT_MS).with_topic_data(vec![data]);
    Ok((caller.start::<Produce>(PRODUCE, request, marks).await?, positions))
}

impl Share {
    fn mark(&self, key: &IdempotencyKey, topic: &Topic, partitions: usize, now: Timestamp, keep_ms: i64) -> Mark {
        let ordinal = self.positions.first().and_then(|first| u32::try_from(*first).ok()).unwrap_or(0);
        key.mark(topic.id, ordinal, partitions, now, keep_ms)
    }
}

/// Over how many partitions the request's events are spread: those of the topic, as they were when it was sent first.
fn partitions(caller: &Caller, topic: &Topic, key: Option<&IdempotencyKey>) -> usize {
    let now = topic.logs.len().max(1);
    let then = key.and_then(|key| produce::note_of_mark(&caller.context(PRODUCE, None), key.mark_id(topic.id, 0)));
    then.and_then(|then| usize::try_from(then).ok()).map_or(now, |then| then.clamp(1, now))
}

/// Where the events of this request go that have no key: one partition after the other, or the same one each time it is repeated.
fn keyless_partition(caller: &Caller, partitions: usize, key: Option<&IdempotencyKey>) -> usize {
    match key {
        Some(key) => partition_of(key.bytes(), partitions),
        None => caller.shared.next_partition.fetch_add(1, Ordering::Relaxed) % partitions,
    }
}

fn partition(
    topic: &Topic,
    record: &NewRecord,
    (keyless, partitions): (usize, usize),
    position: usize,
) -> Result<i32, HttpError> {
    if let Some(partition) = record.partition {
        if !topic.has(partition) {
            return Err(HttpError::invalid(format!("record {position}: {}", no_such_partition(topic, partition))));
        }
        return Ok(partition);
    }
    let at = record.key.as_ref().map_or(keyless, |key| partition_of(key.as_bytes(), partitions));
    i32::try_from(at).map_err(|_| HttpError::invalid("the topic has too many partitions"))
}

fn added(batch: BatchBuilder, record: &NewRecord, now: Timestamp) -> BatchBuilder {
    let headers: Vec<(&str, Option<&[u8]>)> =
        record.headers.iter().flatten().map(|(name, value)| (name.as_str(), Some(value.as_bytes()))).collect();
    batch.record_at(now, record.key.as_deref().map(str::as_bytes), Some(record.value.get().as_bytes()), &headers)
}
