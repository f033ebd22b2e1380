//! Reads records from partitions by the Fetch handler, as a read_committed consumer does: aborted records and markers are left out.
//!
//! A compressed batch is opened on the blocking pool, under the broker's leave for that, and what is wanted of it is copied, so that nothing of it stays.

use super::handlers::Handlers;
use super::offsets::name_of;
use crate::api::context::Held;
use crate::api::errors::ResponseError;
use crate::api::fetch::Fetch;
use crate::catalog::Topic;
use crate::ids::Timestamp;
use crate::records::aborted::Aborted;
use crate::records::{BatchHeader, Record, RecordError, iterate};
use crate::wire::fetch::{FetchRequest, FetchedPartition, Head};
use bytes::Bytes;
use futures_util::FutureExt as _;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

/// With names, sessions and isolation levels.
const FETCH: i16 = 12;
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

/// A record whose key, value and headers are larger than so many times `hooks.body_bytes` has a body that is too large, whatever its parts become in JSON.
const OMITTED_FACTOR: usize = 4;
/// What a header takes in memory beside its bytes.
const HEADER_BYTES: usize = 64;
/// Keys up to here are kept of records that are not: they say which others wait for them.
const KEY_BYTES_KEPT: usize = 64 * 1024;

/// How the names of headers begin that say what an event is, for whom, and whose dead letter; how many are looked at and kept of records that are not.
const OWN_HEADERS: &[u8] = b"webhook-";
const OWN_HEADERS_NAME_MAX: usize = 64;
const OWN_HEADERS_MAX: usize = 64;
const OWN_HEADER_BYTES_MAX: usize = 16 * 1024;
const HEADERS_LOOKED_AT: usize = 1_000;

/// A record, and nothing of the batch that it was in.
#[derive(Debug, Clone)]
pub struct Read {
    pub offset: i64,
    pub timestamp: Timestamp,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(Bytes, Option<Bytes>)>,
    /// How large it would be in memory, when that is more than could ever be sent: value, a long key and all headers but ours are left out then. A batch of some
    /// kilobytes may unpack to a record of a hundred megabytes, and its headers to gigabytes.
    pub omitted: Option<usize>,
}

/// What a partition gave.
#[derive(Debug, Default)]
pub struct Page {
    pub records: Vec<Read>,
    /// Where to go on: behind everything that was looked at.
    pub next: i64,
    /// `from` lies outside of the log: records before its start were deleted, or it ends before.
    pub is_outside: bool,
    /// There is no such partition any more.
    pub is_gone: bool,
    bytes: usize,
}

/// Limits of one read, over all partitions.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub records: usize,
    /// Of stored batches beyond the first one, and of records.
    pub bytes: usize,
    /// How long to wait while there is nothing.
    pub wait: Duration,
}

/// Reads `wanted`, in order, a page each. What cannot be read now gives an empty page; a batch that does not decode is passed over, with an error in
/// the log, since nobody could ever deliver it.
///
/// May be dropped while it waits.
pub async fn read(handlers: &Handlers, wanted: &[Wanted], limits: Limits) -> Vec<Page> {
    read_in(handlers, wanted, limits, |_bytes| std::future::ready(())).await.0
}

/// As [`read`], with room for what is there, which is waited for before anything is loaded; `None` when there is nothing. `room` is told how many
/// bytes: those of stored batches, and no less than the limit.
pub async fn read_in<R, F: Future<Output = R>>(
    handlers: &Handlers,
    wanted: &[Wanted],
    limits: Limits,
    room: impl FnOnce(usize) -> F,
) -> (Vec<Page>, Option<R>) {
    let mut pages: Vec<Page> = wanted.iter().map(|one| Page { next: one.from, ..Page::default() }).collect();
    let mut held = Held::default();
    let (mut records, mut bytes) = (limits.records, limits.bytes);
    let record_bytes = handlers.broker.config.hooks.body_bytes.saturating_mul(OMITTED_FACTOR);
    let mut fetched = fetch(handlers, wanted, limits, held.clone()).await;
    let stored: usize = fetched.iter().map(|(_, data)| data.record_bytes()).sum();
    let mut given = None;
    if stored > 0 {
        let mut room = std::pin::pin!(room(stored.max(limits.bytes)));
        given = Some(match room.as_mut().now_or_never() {
            Some(room) => room,
            None => {
                // Meanwhile nothing is held that Kafka's own readers need: it is fetched again.
                drop((fetched, held));
                let room = room.await;
                held = Held::default();
                fetched = fetch(handlers, wanted, Limits { wait: Duration::ZERO, ..limits }, held.clone()).await;
                room
            }
        });
    }
    for (at, data) in fetched {
        let (Some(one), Some(page)) = (wanted.get(at), pages.get_mut(at)) else { continue };
        match ResponseError::try_from_code(data.error_code) {
            None => {
                *page = taken(handlers, data, one.clone(), Budget { records, bytes, record_bytes }).await;
                records -= page.records.len().min(records);
                bytes = bytes.saturating_sub(page.bytes);
            }
            Some(ResponseError::OffsetOutOfRange) => page.is_outside = true,
            Some(ResponseError::UnknownTopicOrPartition) => page.is_gone = true,
            Some(_) => {}
        }
    }
    drop(held);
    (pages, given)
}

/// The answers, with the positions in `wanted` that they are for.
///
/// A fetch answers each partition once; where `wanted` has one several times (new events, and replays of older ones), there are several fetches.
async fn fetch(handlers: &Handlers, wanted: &[Wanted], limits: Limits, held: Held) -> Vec<(usize, FetchedPartition)> {
    let rounds = rounds(wanted.iter().map(|one| (one.topic.id, one.partition)));
    if let [only_one] = rounds.as_slice() {
        return fetch_each(handlers, wanted, only_one, limits, held).await;
    }
    let (mut answers, mut left) = (Vec::new(), limits.bytes);
    for round in &rounds {
        let limits = Limits { bytes: left, wait: Duration::ZERO, ..limits };
        let got = fetch_each(handlers, wanted, round, limits, held.clone()).await;
        left = left.saturating_sub(got.iter().map(|(_, data)| data.record_bytes()).sum());
        answers.extend(got);
    }
    let has_news = answers.iter().any(|(_, data)| data.error_code != 0 || data.record_bytes() > 0);
    if has_news || limits.wait.is_zero() || rounds.is_empty() {
        return answers;
    }
    // Nothing anywhere: whoever has something first is heard.
    let waiting = rounds.iter().map(|round| Box::pin(fetch_each(handlers, wanted, round, limits, held.clone())));
    futures_util::future::select_all(waiting).await.0
}

/// The positions of these, so that each comes once in each round.
fn rounds<K: Eq + Hash>(all: impl Iterator<Item = K>) -> Vec<Vec<usize>> {
    let mut times: HashMap<K, usize> = HashMap::new();
    let mut rounds: Vec<Vec<usize>> = Vec::new();
    for (at, one) in all.enumerate() {
        let times = times.entry(one).or_default();
        match rounds.get_mut(*times) {
            Some(round) => round.push(at),
            None => rounds.push(vec![at]),
        }
        *times += 1;
    }
    rounds
}

/// The answers for these positions in `wanted`, each of another partition.
async fn fetch_each(
    handlers: &Handlers,
    wanted: &[Wanted],
    round: &[usize],
    limits: Limits,
    held: Held,
) -> Vec<(usize, FetchedPartition)> {
    let bytes = i32::try_from(limits.bytes).unwrap_or(i32::MAX);
    let mut topics: Vec<FetchTopic> = Vec::new();
    for one in round.iter().filter_map(|at| wanted.get(*at)) {
        let partition = FetchPartition::default()
            .with_partition(one.partition)
            .with_fetch_offset(one.from)
            .with_partition_max_bytes(bytes)
            .with_current_leader_epoch(-1);
        match topics.last_mut() {
            Some(topic) if *topic.topic == *one.topic.name => topic.partitions.push(partition),
            _ => topics.push(FetchTopic::default().with_topic(name_of(&one.topic.name)).with_partitions(vec![partition])),
        }
    }
    let request = Head::default()
        .with_max_wait_ms(i32::try_from(limits.wait.as_millis()).unwrap_or(i32::MAX))
        .with_min_bytes(1)
        .with_max_bytes(bytes)
        .with_isolation_level(READ_COMMITTED)
        .with_session_epoch(-1)
        .with_topics(topics);
    let asked =
        async { Ok::<_, super::error::HooksError>(handlers.start::<Fetch>(FETCH, FetchRequest(request), held).await?.await) };
    let Ok(Ok(response)) = tokio::time::timeout(limits.wait + PATIENCE, asked).await else { return Vec::new() };
    // Partitions are answered in the order in which they were asked for.
    let answers = response.topics.into_iter().flat_map(|topic| topic.partitions);
    let of_its_partition =
        |(at, data): &(usize, FetchedPartition)| wanted.get(*at).is_some_and(|one| one.partition == data.index);
    round.iter().copied().zip(answers).filter(of_its_partition).collect()
}

/// What a page may take.
#[derive(Debug, Clone, Copy)]
struct Budget {
    records: usize,
    bytes: usize,
    /// A record that takes more is left out, all but that it is there.
    record_bytes: usize,
}

/// A read that fails gives an empty page: it is tried again with the next one.
async fn taken(handlers: &Handlers, data: FetchedPartition, wanted: Wanted, budget: Budget) -> Page {
    let aborted = Aborted::of(data.aborted.clone().unwrap_or_default());
    let batches = match data.loaded().await {
        Ok(batches) => batches,
        Err(error) => {
            let (topic, partition, from) = (&wanted.topic.name, wanted.partition, wanted.from);
            tracing::error!(topic, partition, from, %error, "a segment cannot be read; webhooks try again");
            return Page { next: from, ..Page::default() };
        }
    };
    if !iterate::has_compressed(&batches) {
        return take(batches, aborted, &wanted, budget);
    }
    let work = move || take(batches, aborted, &wanted, budget);
    handlers.broker.unpacking("open batches for webhooks", work).await
}

/// What these batches hold of what is wanted.
fn take(batches: Bytes, mut aborted: Aborted, wanted: &Wanted, budget: Budget) -> Page {
    let mut page = Page { next: wanted.from, ..Page::default() };
    let mut left = batches;
    while !left.is_empty() {
        let Ok(header) = BatchHeader::parse(&left) else { break };
        let batch = left.split_to(header.batch_bytes.min(left.len()));
        if header.base_offset.0 >= wanted.to {
            // Compaction may have left nothing up to there.
            page.next = wanted.to;
            break;
        }
        match take_batch(&header, &batch, &mut aborted, wanted, &mut page, budget) {
            Ok(Went::Through) => {}
            Ok(Went::Full) => break,
            Err(error) => {
                let (topic, partition, offset) = (&wanted.topic.name, wanted.partition, header.base_offset);
                tracing::error!(topic, partition, %offset, %error, "a stored batch does not decode; webhooks pass over it");
            }
        }
        page.next = page.next.max(header.last_offset().0.saturating_add(1)).min(wanted.to);
    }
    page
}

/// Whether a batch was taken up to its end.
enum Went {
    Through,
    Full,
}

fn take_batch(
    header: &BatchHeader,
    batch: &Bytes,
    aborted: &mut Aborted,
    wanted: &Wanted,
    page: &mut Page,
    budget: Budget,
) -> Result<Went, RecordError> {
    if aborted.is_void(header, batch)? {
        return Ok(Went::Through);
    }
    for record in iterate::records(batch, DECOMPRESSED_BYTES_MAX)? {
        let record = record?;
        if record.offset.0 < page.next {
            continue;
        }
        if record.offset.0 >= wanted.to {
            page.next = wanted.to;
            return Ok(Went::Full);
        }
        if page.records.len() >= budget.records || (page.bytes >= budget.bytes && !page.records.is_empty()) {
            return Ok(Went::Full);
        }
        page.next = record.offset.0 + 1;
        let read = Read::of(&record, budget.record_bytes);
        page.bytes += read.bytes();
        page.records.push(read);
    }
    Ok(Went::Through)
}

fn length(bytes: &Option<Bytes>) -> usize {
    bytes.as_ref().map_or(0, Bytes::len)
}

/// The headers that say whose a record is, as far as they are few and short.
fn own_headers(record: &Record) -> Vec<(Bytes, Option<Bytes>)> {
    let copy = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
    let is_short = |value: &Option<Bytes>| value.as_ref().is_none_or(|value| value.len() <= OWN_HEADER_BYTES_MAX);
    let first = record.headers.iter().take(HEADERS_LOOKED_AT);
    let own =
        first.filter(|(name, value)| name.starts_with(OWN_HEADERS) && name.len() <= OWN_HEADERS_NAME_MAX && is_short(value));
    own.take(OWN_HEADERS_MAX).map(|(name, value)| (copy(&name), value.as_ref().map(copy))).collect()
}

impl Read {
    /// A copy: a slice would keep all of its batch in memory. Without what is in it, if that would take more than `most` bytes.
    fn of(record: &Record, most: usize) -> Read {
        let copy = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
        let headers = record.headers.encoded_bytes().saturating_add(record.headers.len().saturating_mul(HEADER_BYTES));
        let bytes = length(&record.key).saturating_add(length(&record.value)).saturating_add(headers);
        let empty = Read {
            offset: record.offset.0,
            timestamp: record.timestamp,
            key: None,
            value: None,
            headers: Vec::new(),
            omitted: None,
        };
        if bytes > most {
            let key = record.key.as_ref().filter(|key| key.len() <= KEY_BYTES_KEPT).map(copy);
            return Read { key, headers: own_headers(record), omitted: Some(bytes), ..empty };
        }
        Read {
            key: record.key.as_ref().map(copy),
            value: record.value.as_ref().map(copy),
            headers: record.headers.iter().map(|(name, value)| (copy(&name), value.as_ref().map(copy))).collect(),
            ..empty
        }
    }

    /// About what it takes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + length(value) + HEADER_BYTES).sum();
        size_of::<Read>() + length(&self.key) + length(&self.value) + headers
    }

    /// Whether one of its headers is this one.
    #[must_use]
    pub fn has_header(&self, name: &str, value: &[u8]) -> bool {
        self.headers.iter().any(|(own, own_value)| own == name.as_bytes() && own_value.as_deref() == Some(value))
    }

    /// The value of the last header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().rev().find(|(own, _)| own == name.as_bytes()).and_then(|(_, value)| value.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{BatchBuilder, Compression};

    #[test]
    fn a_partition_comes_once_in_each_round() {
        assert_eq!(rounds(["a", "b", "a", "c", "a", "b"].into_iter()), [vec![0, 1, 3], vec![2, 5], vec![4]]);
        assert_eq!(rounds(["a", "b"].into_iter()), [vec![0, 1]]);
        assert!(rounds::<&str>(std::iter::empty()).is_empty());
    }

    /// A batch of some kilobytes may hold a record of a hundred megabytes, or one whose headers become gigabytes.
    #[test]
    fn a_record_that_can_never_be_sent_is_known_and_not_kept() {
        let (long, many) = (vec![b'x'; 100_000], vec![("", None); 50_000]);
        let batch = BatchBuilder::new(Timestamp(1))
            .record_at(Timestamp(1), Some(b"a"), Some(&long), &[])
            .record_at(Timestamp(2), Some(b"b"), Some(b"v"), &many)
            .record_at(Timestamp(3), Some(&long), Some(&long), &[("webhook-event-type", Some(b"a.b")), ("h", None)])
            .record_at(Timestamp(4), Some(b"d"), Some(b"v"), &[("h", Some(b"1"))])
            .compression(Compression::Zstd)
            .build();
        assert!(batch.len() < 5_000);
        let records = iterate::records(&batch, DECOMPRESSED_BYTES_MAX).expect("sound");
        let reads: Vec<Read> = records.map(|record| Read::of(&record.expect("sound"), 90_000)).collect();
        let seen: Vec<_> = reads.iter().map(|read| (read.key.is_some(), read.value.is_some(), read.omitted.is_some())).collect();
        assert_eq!(seen, [(true, false, true), (true, false, true), (false, false, true), (true, true, false)]);
        assert_eq!(reads[3].header("h"), Some(&b"1"[..]));
        assert_eq!(
            (reads[2].header("webhook-event-type"), reads[2].headers.len()),
            (Some(&b"a.b"[..]), 1),
            "what it is, and for whom, is known"
        );
        assert!(reads.iter().map(Read::bytes).sum::<usize>() < 2_000);
    }
}
