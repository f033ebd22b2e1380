//! Reads records from partitions by the Fetch handler, as a read_committed consumer does: aborted records and markers are left out.

use super::caller::Caller;
use super::errors::HttpError;
use crate::api::errors::ResponseError;
use crate::api::fetch::Fetch;
use crate::api::list_offsets::ListOffsets;
use crate::catalog::Topic;
use crate::ids::ProducerId;
use crate::records::control::{EndTransaction, Marker};
use crate::records::{BatchHeader, Record, iterate};
use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, FetchRequest, ListOffsetsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// With names, sessions and isolation levels.
const FETCH: i16 = 12;
const LIST_OFFSETS: i16 = 6;
const READ_COMMITTED: i8 = 1;
/// What a compressed batch may become.
const DECOMPRESSED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Which records of a partition are wanted: those in `[from, to)`.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub topic: Arc<Topic>,
    pub partition: i32,
    pub from: i64,
    pub to: i64,
}

/// One record.
#[derive(Debug, Clone)]
pub struct Read {
    pub record: Record,
}

/// What a partition gave.
#[derive(Debug, Default)]
pub struct Page {
    pub records: Vec<Read>,
    /// Where to go on: behind everything that was looked at.
    pub next: i64,
}

/// Limits of one read, over all partitions.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub records: usize,
    pub bytes: usize,
    /// How long to wait while there is nothing.
    pub wait: Duration,
}

/// Reads `wanted`, in order, a page each. A partition that is gone gives an empty page; one whose records at `from` were deleted goes on at
/// its start.
///
/// # Errors
/// A log that cannot be read.
pub async fn read(caller: &Caller, wanted: &[Wanted], limits: Limits) -> Result<Vec<Page>, HttpError> {
    let mut pages: Vec<Page> = wanted.iter().map(|one| Page { records: Vec::new(), next: one.from }).collect();
    let mut left = limits.records;
    for (at, data) in fetch(caller, wanted, limits).await {
        let (Some(one), Some(page)) = (wanted.get(at), pages.get_mut(at)) else { continue };
        match ResponseError::try_from_code(data.error_code) {
            None => {
                take(&data, one, page, left).map_err(|error| damaged(one, &error))?;
                left -= page.records.len();
            }
            Some(ResponseError::OffsetOutOfRange) => {
                let start = offset_at(caller, &one.topic, one.partition, EARLIEST).await?;
                // Behind the end nothing is there yet.
                page.next = page.next.max(start);
            }
            Some(ResponseError::UnknownTopicOrPartition) => {}
            Some(error) => return Err(HttpError::of(error, None, &format!("reading {}-{}", one.topic.name, one.partition))),
        }
    }
    Ok(pages)
}

/// For ListOffsets: the first offset that can be read.
pub const EARLIEST: i64 = -2;
/// For ListOffsets: the end of what is committed.
pub const LATEST: i64 = -1;

/// The offset of a time in milliseconds, or of [`EARLIEST`] or [`LATEST`]; the end, when there is no record from then on.
///
/// # Errors
/// What the handler answers.
pub async fn offset_at(caller: &Caller, topic: &Topic, partition: i32, time: i64) -> Result<i64, HttpError> {
    let asked =
        ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(time).with_current_leader_epoch(-1);
    let asked = ListOffsetsTopic::default().with_name(name_of(topic)).with_partitions(vec![asked]);
    let request =
        ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_isolation_level(READ_COMMITTED).with_topics(vec![asked]);
    let response = caller.call::<ListOffsets>(LIST_OFFSETS, request).await?;
    let answer = response.topics.first().and_then(|topic| topic.partitions.first());
    let what = || format!("the offsets of {}-{partition}", topic.name);
    let Some(answer) = answer else { return Err(HttpError::of(ResponseError::UnknownServerError, None, &what())) };
    if let Some(error) = ResponseError::try_from_code(answer.error_code) {
        return Err(HttpError::of(error, None, &what()));
    }
    if answer.offset < 0 && time != LATEST {
        return Box::pin(offset_at(caller, topic, partition, LATEST)).await;
    }
    Ok(answer.offset)
}

/// The answers, with the positions in `wanted` that they are for.
async fn fetch(caller: &Caller, wanted: &[Wanted], limits: Limits) -> Vec<(usize, PartitionData)> {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for one in wanted {
        let partition = FetchPartition::default()
            .with_partition(one.partition)
            .with_fetch_offset(one.from)
            .with_partition_max_bytes(i32::try_from(limits.bytes).unwrap_or(i32::MAX))
            .with_current_leader_epoch(-1);
        match topics.last_mut() {
            Some(topic) if *topic.topic == *one.topic.name => topic.partitions.push(partition),
            _ => topics.push(FetchTopic::default().with_topic(name_of(&one.topic)).with_partitions(vec![partition])),
        }
    }
    let request = FetchRequest::default()
        .with_max_wait_ms(i32::try_from(limits.wait.as_millis()).unwrap_or(i32::MAX))
        .with_min_bytes(1)
        .with_max_bytes(i32::try_from(limits.bytes).unwrap_or(i32::MAX))
        .with_isolation_level(READ_COMMITTED)
        .with_session_epoch(-1)
        .with_topics(topics);
    let Ok(response) = caller.call::<Fetch>(FETCH, request).await else { return Vec::new() };
    // Partitions are answered in the order in which they were asked for.
    response.responses.into_iter().flat_map(|topic| topic.partitions).enumerate().collect()
}

pub(super) fn name_of(topic: &Topic) -> TopicName {
    TopicName(StrBytes::from_string(topic.name.clone()))
}

/// Adds what a partition's data holds of what is wanted, at most `limit` records, to its page.
fn take(data: &PartitionData, wanted: &Wanted, page: &mut Page, limit: usize) -> Result<(), crate::records::RecordError> {
    let mut left = data.records.clone().unwrap_or_default();
    let mut aborted = Aborted::of(data);
    while !left.is_empty() {
        let header = BatchHeader::parse(&left)?;
        let batch = left.split_to(header.batch_bytes.min(left.len()));
        if header.base_offset.0 >= wanted.to {
            break;
        }
        if !aborted.is_void(&header, &batch)? {
            for record in iterate::records(&batch, DECOMPRESSED_BYTES_MAX)? {
                let record = record?;
                if record.offset.0 < page.next {
                    continue;
                }
                if record.offset.0 >= wanted.to {
                    page.next = wanted.to;
                    return Ok(());
                }
                if page.records.len() >= limit {
                    return Ok(());
                }
                page.next = record.offset.0 + 1;
                page.records.push(Read { record });
            }
        }
        page.next = page.next.max(header.last_offset().0 + 1).min(wanted.to);
    }
    Ok(())
}

/// Whose records are void, on the way through a partition's data (KIP-98; CompletedFetch).
struct Aborted {
    /// Producer and first offset, the nearest last.
    coming: Vec<(i64, ProducerId)>,
    now: HashSet<ProducerId>,
}

impl Aborted {
    fn of(data: &PartitionData) -> Aborted {
        let all = data.aborted_transactions.iter().flatten();
        let mut coming: Vec<_> = all.map(|one| (one.first_offset, ProducerId(one.producer_id.0))).collect();
        coming.sort_unstable_by_key(|(first, _)| std::cmp::Reverse(*first));
        Aborted { coming, now: HashSet::new() }
    }

    /// Whether a batch is not to be shown: a marker, or part of an aborted transaction.
    fn is_void(&mut self, header: &BatchHeader, batch: &Bytes) -> Result<bool, crate::records::RecordError> {
        while let Some((_, producer)) = self.coming.pop_if(|(first, _)| *first <= header.last_offset().0) {
            self.now.insert(producer);
        }
        let Some(producer) = header.producer() else { return Ok(header.attributes.is_control()) };
        if header.attributes.is_control() {
            if EndTransaction::read(batch)?.is_some_and(|end| end.marker == Marker::Abort) {
                self.now.remove(&producer);
            }
            return Ok(true);
        }
        Ok(header.attributes.is_transactional() && self.now.contains(&producer))
    }
}

fn damaged(wanted: &Wanted, error: &crate::records::RecordError) -> HttpError {
    let message = format!("{}-{} from offset {}: {error}", wanted.topic.name, wanted.partition, wanted.from);
    tracing::error!(topic = wanted.topic.name, partition = wanted.partition, from = wanted.from, %error, "a stored batch does not decode");
    HttpError::new(super::errors::Refusal::Internal, message)
}

/// Offsets by topic and partition, as answers name them.
pub type Offsets = std::collections::BTreeMap<String, std::collections::BTreeMap<i32, i64>>;

/// Positions by topic and partition.
pub type Positions = HashMap<(String, i32), i64>;
