//! Reads records from partitions by the Fetch handler, as a read_committed consumer does: aborted records and markers are left out.

use super::Shared;
use super::caller::Caller;
use super::errors::HttpError;
use crate::api::errors::ResponseError;
use crate::api::fetch::Fetch;
use crate::api::list_offsets::ListOffsets;
use crate::catalog::Topic;
use crate::records::aborted::Aborted;
use crate::records::{BatchHeader, Compression, Record, RecordError, iterate};
use crate::wire::fetch::{FetchRequest, FetchedPartition, Head};
use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, ListOffsetsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// With names, sessions and isolation levels.
const FETCH: i16 = 12;
const LIST_OFFSETS: i16 = 6;
const READ_COMMITTED: i8 = 1;
/// What a compressed batch may become: as much as a producer's may.
const DECOMPRESSED_BYTES_MAX: usize = 100 * 1024 * 1024;
/// How long a look at the log may take, beyond what it waits for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which records of a partition are wanted: those in `[from, to)`.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub topic: Arc<Topic>,
    pub partition: i32,
    pub from: i64,
    pub to: i64,
}

/// What a partition gave.
#[derive(Debug, Default)]
pub struct Page {
    pub records: Vec<Record>,
    /// Where to go on: behind everything that was looked at.
    pub next: i64,
    /// The log ends before the first record that was asked for.
    pub is_beyond: bool,
    /// Bytes that were decompressed, which the records keep.
    decompressed: usize,
    /// Room for these.
    rooms: Vec<OwnedSemaphorePermit>,
}

/// Limits of one read, over all partitions.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub records: usize,
    /// Of stored batches, and of what they decompress to, beyond the first one.
    pub bytes: usize,
    /// How long to wait while there is nothing.
    pub wait: Duration,
}

/// Reads `wanted`, in order, a page each. A partition that is gone gives an empty page; one whose records at `from` were deleted goes on at
/// its start.
///
/// # Errors
/// A log that cannot be read, when no other gave anything.
pub async fn read(caller: &Caller, wanted: &[Wanted], limits: Limits) -> Result<Vec<Page>, HttpError> {
    let mut pages: Vec<Page> = wanted.iter().map(|one| Page { next: one.from, ..Page::default() }).collect();
    let (mut left, mut decompressed, mut failure) = (limits.records, 0, None);
    for (at, data) in fetch(caller, wanted, limits).await {
        let (Some(one), Some(page)) = (wanted.get(at), pages.get_mut(at)) else { continue };
        match ResponseError::try_from_code(data.error_code) {
            None => {
                let budget = Budget { records: left, decompressed: limits.bytes.saturating_sub(decompressed) };
                let (taken, error) = taken(caller, data, one.clone(), budget).await;
                *page = taken;
                failure = error.or(failure);
                left -= page.records.len();
                decompressed += page.decompressed;
            }
            Some(ResponseError::OffsetOutOfRange) => {
                let start = offset_at(caller, &one.topic, one.partition, EARLIEST).await?;
                page.is_beyond = start <= page.next;
                page.next = page.next.max(start);
            }
            Some(ResponseError::UnknownTopicOrPartition) => {}
            Some(error) => {
                let what = format!("reading {}-{}", one.topic.name, one.partition);
                failure = Some(HttpError::of(error, None, &what));
            }
        }
    }
    match failure {
        Some(error) if left == limits.records => Err(error),
        _ => Ok(pages),
    }
}

/// What a reader found that waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrived {
    Records,
    Nothing,
    /// All positions lie behind the ends of their logs.
    Beyond,
}

/// Waits until there are batches at `wanted`, without looking into them.
pub async fn arrived(caller: &Caller, wanted: &[Wanted], wait: Duration) -> Arrived {
    let answers = fetch(caller, wanted, Limits { records: 1, bytes: 1, wait }).await;
    if answers.iter().any(|(_, data)| data.has_records()) {
        return Arrived::Records;
    }
    let is_out = |data: &FetchedPartition| ResponseError::try_from_code(data.error_code) == Some(ResponseError::OffsetOutOfRange);
    if answers.iter().all(|(_, data)| is_out(data)) && !answers.is_empty() { Arrived::Beyond } else { Arrived::Nothing }
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
async fn fetch(caller: &Caller, wanted: &[Wanted], limits: Limits) -> Vec<(usize, FetchedPartition)> {
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
    let request = Head::default()
        .with_max_wait_ms(i32::try_from(limits.wait.as_millis()).unwrap_or(i32::MAX))
        .with_min_bytes(1)
        .with_max_bytes(i32::try_from(limits.bytes).unwrap_or(i32::MAX))
        .with_isolation_level(READ_COMMITTED)
        .with_session_epoch(-1)
        .with_topics(topics);
    let asked = tokio::time::timeout(limits.wait + PATIENCE, caller.call::<Fetch>(FETCH, FetchRequest(request)));
    let Ok(Ok(response)) = asked.await else { return Vec::new() };
    // Partitions are answered in the order in which they were asked for.
    response.topics.into_iter().flat_map(|topic| topic.partitions).enumerate().collect()
}

pub(super) fn name_of(topic: &Topic) -> TopicName {
    TopicName(StrBytes::from_string(topic.name.clone()))
}

/// What a page may take.
#[derive(Debug, Clone, Copy)]
struct Budget {
    records: usize,
    decompressed: usize,
}

/// The page that a partition's data gives, and what cut it short. Compressed batches are opened on the blocking pool.
async fn taken(caller: &Caller, data: FetchedPartition, wanted: Wanted, budget: Budget) -> (Page, Option<HttpError>) {
    let (shared, aborted) = (caller.shared.clone(), data.aborted.clone().unwrap_or_default());
    let broker = shared.broker.clone();
    let mut page = Page { next: wanted.from, ..Page::default() };
    let batches = match data.loaded().await {
        Ok(batches) => batches,
        Err(error) => return (page, Some(unreadable(&wanted, "a segment cannot be read", &error))),
    };
    let is_compressed = iterate::has_compressed(&batches);
    let mut aborted = Aborted::of(aborted);
    let work = move || {
        let error = take(&shared, batches, &mut aborted, &wanted, &mut page, budget).err();
        let error = error.map(|error| match error {
            TakeError::Busy => super::busy(),
            TakeError::Record(error) => unreadable(&wanted, "a stored batch does not decode", &error),
        });
        (page, error)
    };
    if !is_compressed {
        return work();
    }
    broker.unpacking("open batches for HTTP", work).await
}

/// Why a page ends early.
enum TakeError {
    /// There is no room for what a batch decompresses to.
    Busy,
    Record(RecordError),
}

impl From<RecordError> for TakeError {
    fn from(error: RecordError) -> TakeError {
        TakeError::Record(error)
    }
}

/// Adds what these batches hold of what is wanted to the page.
fn take(
    shared: &Shared,
    batches: Bytes,
    aborted: &mut Aborted,
    wanted: &Wanted,
    page: &mut Page,
    budget: Budget,
) -> Result<(), TakeError> {
    let mut left = batches;
    while !left.is_empty() {
        let header = BatchHeader::parse(&left)?;
        let batch = left.split_to(header.batch_bytes.min(left.len()));
        if header.base_offset.0 >= wanted.to {
            // Compaction may have left nothing up to there.
            page.next = wanted.to;
            break;
        }
        if !aborted.is_void(&header, &batch)? {
            if page.decompressed > budget.decompressed || page.records.len() >= budget.records {
                return Ok(());
            }
            let records = iterate::records(&batch, DECOMPRESSED_BYTES_MAX)?;
            if header.attributes.compression()? != Compression::None {
                page.decompressed += records.payload_bytes();
                // One that is larger than all there is could never be read: half of it is enough.
                let charged = records.payload_bytes().min(shared.budget_bytes() / 2);
                page.rooms.push(shared.try_take_for_answer(charged).ok_or(TakeError::Busy)?);
            }
            for record in records {
                let record = record?;
                if record.offset.0 < page.next {
                    continue;
                }
                if record.offset.0 >= wanted.to {
                    page.next = wanted.to;
                    return Ok(());
                }
                if page.records.len() >= budget.records {
                    return Ok(());
                }
                page.next = record.offset.0 + 1;
                page.records.push(record);
            }
        }
        page.next = page.next.max(header.last_offset().0 + 1).min(wanted.to);
    }
    Ok(())
}

/// A partition's data that cannot be shown; `what` is for the log.
fn unreadable(wanted: &Wanted, what: &str, error: &dyn std::fmt::Display) -> HttpError {
    let message = format!("{}-{} from offset {}: {error}", wanted.topic.name, wanted.partition, wanted.from);
    tracing::error!(topic = wanted.topic.name, partition = wanted.partition, from = wanted.from, %error, "{what}");
    HttpError::new(super::errors::Refusal::Internal, message)
}

/// Offsets by topic and partition.
pub type Offsets = BTreeMap<String, BTreeMap<i32, i64>>;
