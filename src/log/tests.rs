//! Goal: what a partition promises its writers and readers. Method: real logs on the memory store, a manual clock, batches built here.

use super::fetch::{Isolation, Limits, Target, fetch};
use super::{AppendError, LogOptions, Logs, Origin, Partition, ProducerError, ReadError, retention};
use crate::config::KafkaSettings;
use crate::config::topic::{TimestampType, TopicSettings};
use crate::env::Env;
use crate::ids::{LogId, Offset, ProducerEpoch, ProducerId, Timestamp};
use crate::records::{BatchBuilder, BatchHeader, RecordError};
use crate::store::memory::MemoryStore;
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const LOG: LogId = LogId(1);

struct House {
    env: Env,
    store: Arc<MemoryStore>,
    logs: Arc<Logs>,
}

fn settings() -> TopicSettings {
    TopicSettings::resolve(&BTreeMap::new(), &KafkaSettings::default()).expect("the defaults are valid")
}

fn house() -> House {
    let env = Env::manual(NOW, 1);
    let store = MemoryStore::new();
    let logs = logs(&store, &env, 1 << 20);
    House { env, store, logs }
}

fn logs(store: &Arc<MemoryStore>, env: &Env, tail_bytes: usize) -> Arc<Logs> {
    Logs::new(store.clone(), env.clone(), LogOptions { tail_bytes, producer_expiration_ms: 86_400_000 })
}

async fn partition(house: &House, settings: TopicSettings) -> Arc<Partition> {
    house.logs.open(LOG, Arc::new(settings)).await.expect("a log opens")
}

fn batch(count: usize) -> Bytes {
    records(NOW, count, 10)
}

fn records(time: Timestamp, count: usize, value_bytes: usize) -> Bytes {
    let value = vec![b'v'; value_bytes];
    (0..count).fold(BatchBuilder::new(time), |builder, _| builder.record(Some(b"k"), Some(&value))).build()
}

fn produced(id: i64, epoch: i16, sequence: i32, count: usize) -> Bytes {
    let builder = BatchBuilder::new(NOW).producer(ProducerId(id), ProducerEpoch(epoch), sequence);
    (0..count).fold(builder, |builder, _| builder.record(Some(b"k"), Some(b"v"))).build()
}

async fn append(partition: &Partition, records: Bytes) -> Result<(i64, i64), AppendError> {
    let appended = partition.append(records, Origin::Client).await?;
    partition.wait_committed(appended.last).await?;
    Ok((appended.first.0, appended.last.0))
}

async fn offsets(partition: &Partition, from: i64, max_bytes: usize) -> Vec<(i64, i64)> {
    let batches = partition.read(Offset(from), max_bytes, Offset(i64::MAX)).await.expect("readable");
    batches.iter().map(|batch| (batch.first.0, batch.last.0)).collect()
}

// --- what is refused -------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn damaged_batches_are_refused_and_take_no_offset() {
    let house = house();
    let partition = partition(&house, settings()).await;
    let mut damaged = BytesMut::from(&batch(1)[..]);
    *damaged.last_mut().expect("not empty") ^= 1;
    let error = append(&partition, damaged.freeze()).await.expect_err("a wrong crc");
    assert!(matches!(error, AppendError::Corrupt(RecordError::BadCrc { .. })), "{error}");
    let two: Bytes = [batch(1), batch(1)].concat().into();
    assert!(matches!(append(&partition, two).await, Err(AppendError::Invalid(_))), "one batch per partition and request");
    assert_eq!(append(&partition, batch(1)).await.expect("a good one"), (0, 0));
}

#[tokio::test]
async fn limits_of_the_topic_are_enforced() {
    let house = house();
    let small = TopicSettings { max_message_bytes: 100, ..settings() };
    let partition = partition(&house, small.clone()).await;
    assert!(matches!(append(&partition, batch(50)).await, Err(AppendError::TooLarge { limit: 100, .. })));
    partition.set_settings(Arc::new(TopicSettings { timestamp_after_max_ms: 1000, ..settings() }));
    let future = records(NOW.plus_ms(1001), 1, 1);
    assert!(matches!(append(&partition, future).await, Err(AppendError::InvalidTimestamp(_))));
    assert!(append(&partition, records(NOW.plus_ms(1000), 1, 1)).await.is_ok(), "the bound itself is allowed");
    let mut compacted = settings();
    compacted.cleanup.compact = true;
    partition.set_settings(Arc::new(compacted));
    let keyless = BatchBuilder::new(NOW).record(Some(b"k"), None).record(None, Some(b"v")).build();
    match append(&partition, keyless).await {
        Err(AppendError::InvalidRecords(invalid)) => assert_eq!(invalid.records.iter().map(|one| one.0).collect::<Vec<_>>(), [1]),
        other => panic!("keyless on compacted is INVALID_RECORD per record, not {other:?}"),
    }
}

#[tokio::test]
async fn reads_outside_of_the_log_are_out_of_range() {
    let house = house();
    let partition = partition(&house, settings()).await;
    append(&partition, batch(3)).await.expect("appended");
    partition.trim(Offset(3)).await.expect("trimmed");
    append(&partition, batch(1)).await.expect("appended");
    for outside in [2, 5] {
        let error = partition.read(Offset(outside), 1, Offset(i64::MAX)).await.expect_err("outside");
        assert!(matches!(error, ReadError::OutOfRange { .. }), "{outside}: {error}");
    }
    assert_eq!(offsets(&partition, 3, 1).await, [(3, 3)]);
    assert_eq!(offsets(&partition, 4, 1).await, [], "the end is in range and empty");
}

// --- idempotent producers (KIP-98) -------------------------------------------------------------------------------------------

#[tokio::test]
async fn duplicates_of_the_last_five_batches_get_their_original_offsets() {
    let house = house();
    let partition = partition(&house, settings()).await;
    for sequence in 0..6 {
        append(&partition, produced(9, 0, sequence * 2, 2)).await.expect("in sequence");
    }
    for sequence in 1..6 {
        let found = append(&partition, produced(9, 0, sequence * 2, 2)).await.expect("a duplicate");
        assert_eq!(found, (i64::from(sequence) * 2, i64::from(sequence) * 2 + 1));
    }
    let sixth = append(&partition, produced(9, 0, 0, 2)).await.expect_err("too old to be recognised");
    assert!(matches!(sixth, AppendError::Producer(ProducerError::OutOfOrderSequence { .. })), "{sixth}");
    assert_eq!(partition.next(), Offset(12), "no duplicate was appended");
}

#[tokio::test]
async fn gaps_and_old_epochs_are_refused_and_new_epochs_begin_at_zero() {
    let house = house();
    let partition = partition(&house, settings()).await;
    assert_eq!(append(&partition, produced(9, 3, 77, 1)).await.expect("an unknown producer may begin anywhere"), (0, 0));
    let gap = append(&partition, produced(9, 3, 79, 1)).await.expect_err("78 is missing");
    assert!(matches!(gap, AppendError::Producer(ProducerError::OutOfOrderSequence { found: 79, last: 77, .. })), "{gap}");
    let old = append(&partition, produced(9, 2, 0, 1)).await.expect_err("a stale epoch");
    assert!(matches!(old, AppendError::Producer(ProducerError::StaleEpoch { .. })), "{old}");
    let skipped = append(&partition, produced(9, 4, 1, 1)).await.expect_err("a new epoch begins at 0");
    assert!(matches!(skipped, AppendError::Producer(ProducerError::OutOfOrderSequence { .. })), "{skipped}");
    assert_eq!(append(&partition, produced(9, 4, 0, 1)).await.expect("the new epoch"), (1, 1));
}

#[tokio::test]
async fn sequences_wrap_to_zero() {
    let house = house();
    let partition = partition(&house, settings()).await;
    append(&partition, produced(9, 0, i32::MAX - 1, 2)).await.expect("up to the last number");
    append(&partition, produced(9, 0, 0, 1)).await.expect("0 follows i32::MAX");
    append(&partition, produced(9, 0, 1, 1)).await.expect("and 1 follows 0");
    append(&partition, produced(8, 0, i32::MAX, 3)).await.expect("a batch may wrap inside");
    append(&partition, produced(8, 0, 2, 1)).await.expect("MAX, 0, 1 are gone, 2 follows");
}

#[tokio::test]
async fn the_window_survives_a_restart_with_and_without_a_snapshot() {
    for has_snapshot in [false, true] {
        let house = house();
        {
            let partition = partition(&house, settings()).await;
            append(&partition, produced(9, 0, 0, 2)).await.expect("appended");
            if has_snapshot {
                partition.save_snapshot(0).await.expect("saved");
            }
            append(&partition, produced(9, 0, 2, 2)).await.expect("appended");
        }
        let again = logs(&house.store.fork(), &house.env, 1 << 20);
        let partition = again.open(LOG, Arc::new(settings())).await.expect("reopened");
        assert_eq!(partition.next(), Offset(4));
        for (sequence, first) in [(0, 0), (2, 2)] {
            assert_eq!(
                append(&partition, produced(9, 0, sequence, 2)).await.expect("known"),
                (first, first + 1),
                "{has_snapshot}"
            );
        }
        assert!(append(&partition, produced(9, 0, 5, 1)).await.is_err(), "a gap is still a gap");
        assert_eq!(append(&partition, produced(9, 0, 4, 1)).await.expect("goes on"), (4, 4));
    }
}

#[tokio::test]
async fn idle_producers_are_forgotten_after_their_time() {
    let house = house();
    let partition = partition(&house, settings()).await;
    append(&partition, produced(9, 0, 0, 1)).await.expect("appended");
    house.env.advance_ms(86_400_000);
    partition.set_settings(Arc::new(TopicSettings { timestamp_before_max_ms: i64::MAX, ..settings() }));
    assert_eq!(append(&partition, produced(9, 0, 50, 1)).await.expect("unknown again, so it may begin anywhere"), (1, 1));
}

// --- appending and reading ---------------------------------------------------------------------------------------------------

#[tokio::test]
async fn reading_from_inside_a_batch_gives_the_whole_batch_from_tail_and_store() {
    for tail_bytes in [0, 1 << 20] {
        let env = Env::manual(NOW, 1);
        let logs = logs(&MemoryStore::new(), &env, tail_bytes);
        let partition = logs.open(LOG, Arc::new(settings())).await.expect("opens");
        for _ in 0..3 {
            append(&partition, batch(3)).await.expect("appended");
        }
        let one = batch(3).len();
        assert_eq!(offsets(&partition, 4, usize::MAX).await, [(3, 5), (6, 8)], "tail of {tail_bytes} bytes");
        assert_eq!(offsets(&partition, 4, 1).await, [(3, 5)], "the first one is owed");
        assert_eq!(offsets(&partition, 0, 2 * one).await, [(0, 2), (3, 5)]);
        assert_eq!(offsets(&partition, 0, 2 * one - 1).await, [(0, 2)]);
        let read = partition.read(Offset(3), 1, Offset(i64::MAX)).await.expect("readable");
        let header = BatchHeader::parse(&read[0].bytes).expect("a whole batch");
        assert_eq!((header.base_offset, header.last_offset()), (Offset(3), Offset(5)), "the base offset is stamped");
    }
}

#[tokio::test]
async fn log_append_time_replaces_the_producers_time() {
    let house = house();
    let partition = partition(&house, TopicSettings { timestamp_type: TimestampType::LogAppendTime, ..settings() }).await;
    house.env.advance_ms(5);
    let appended = partition.append(records(Timestamp(1), 2, 1), Origin::Client).await.expect("appended");
    assert_eq!(appended.append_time, Some(NOW.plus_ms(5)));
    partition.wait_committed(appended.last).await.expect("committed");
    assert_eq!(partition.offset_of_max_time().await.expect("readable"), Some((Offset(0), NOW.plus_ms(5))));
}

#[tokio::test]
async fn offsets_are_found_by_time_within_batches_too() {
    let house = house();
    let partition = partition(&house, settings()).await;
    let at = |ms: i64| NOW.plus_ms(ms);
    let mixed = BatchBuilder::new(at(0))
        .record_at(at(0), Some(b"k"), None, &[])
        .record_at(at(30), Some(b"k"), None, &[])
        .record_at(at(10), Some(b"k"), None, &[])
        .build();
    append(&partition, mixed).await.expect("appended");
    append(&partition, records(at(20), 1, 1)).await.expect("appended");
    append(&partition, records(at(40), 1, 1)).await.expect("appended");
    let find = async |ms| partition.offset_for_time(at(ms)).await.expect("readable");
    assert_eq!(find(0).await, Some((Offset(0), at(0))));
    assert_eq!(find(5).await, Some((Offset(1), at(30))), "the first record at or after, not the nearest in time");
    assert_eq!(find(31).await, Some((Offset(4), at(40))));
    assert_eq!(find(41).await, None);
    assert_eq!(partition.offset_of_max_time().await.expect("readable"), Some((Offset(4), at(40))));
}

#[tokio::test]
async fn a_deleted_log_answers_stopped_and_wakes_who_waits() {
    let house = house();
    let partition = partition(&house, settings()).await;
    append(&partition, batch(1)).await.expect("appended");
    let waiting = partition.clone();
    let waiter = crate::tasks::spawn("test", async move { waiting.wait_committed(Offset(10)).await });
    house.logs.delete(LOG).await.expect("deleted");
    assert!(waiter.await.expect("joins").is_err());
    assert!(matches!(append(&partition, batch(1)).await, Err(AppendError::Stopped(_))));
    assert!(matches!(partition.read(Offset(0), 1, Offset(1)).await, Err(ReadError::Stopped(_))));
}

// --- retention -----------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn retention_by_time_removes_what_is_past_it_and_nothing_else() {
    let house = house();
    let partition = partition(&house, TopicSettings { retention_ms: 1000, ..settings() }).await;
    append(&partition, records(NOW.plus_ms(-500), 2, 1)).await.expect("appended");
    append(&partition, records(NOW, 2, 1)).await.expect("appended");
    retention::sweep(&house.logs).await;
    assert_eq!(partition.start(), Offset(0));
    house.env.advance_ms(501);
    retention::sweep(&house.logs).await;
    assert_eq!(partition.start(), Offset(2));
    house.env.advance_ms(1000);
    retention::sweep(&house.logs).await;
    assert_eq!((partition.start(), partition.next()), (Offset(4), Offset(4)), "an idle log empties, and its offsets go on");
    assert_eq!(append(&partition, records(NOW.plus_ms(1500), 1, 1)).await.expect("appended"), (4, 4));
}

#[tokio::test]
async fn retention_by_size_keeps_at_most_the_limit_and_compacted_topics_keep_all() {
    let house = house();
    let one = records(NOW, 1, 100).len();
    let partition = partition(&house, TopicSettings { retention_bytes: 2 * one as i64, ..settings() }).await;
    for _ in 0..5 {
        append(&partition, records(NOW, 1, 100)).await.expect("appended");
    }
    retention::sweep(&house.logs).await;
    assert_eq!(partition.start(), Offset(3));
    let mut compacted = TopicSettings { retention_bytes: 0, retention_ms: 0, ..settings() };
    (compacted.cleanup.delete, compacted.cleanup.compact) = (false, true);
    partition.set_settings(Arc::new(compacted));
    house.env.advance_ms(10_000);
    retention::sweep(&house.logs).await;
    assert_eq!(partition.start(), Offset(3));
}

// --- fetching over partitions ----------------------------------------------------------------------------------------------------

fn limits(min_bytes: usize, max_bytes: usize, wait_ms: u64) -> Limits {
    Limits { min_bytes, max_bytes, max_wait: Duration::from_millis(wait_ms), isolation: Isolation::ReadUncommitted }
}

async fn two_partitions(house: &House) -> [Arc<Partition>; 2] {
    let second = house.logs.open(LogId(2), Arc::new(settings())).await.expect("opens");
    [partition(house, settings()).await, second]
}

fn targets(partitions: &[Arc<Partition>], max_bytes: usize) -> Vec<Target> {
    partitions.iter().map(|partition| Target { partition: partition.clone(), from: Offset(0), max_bytes }).collect()
}

fn sizes(fetched: &[super::fetch::Fetched]) -> Vec<usize> {
    fetched.iter().map(|one| one.batches.as_ref().expect("readable").iter().map(|batch| batch.bytes.len()).sum()).collect()
}

#[tokio::test]
async fn one_batch_is_owed_to_the_fetch_and_not_to_each_partition() {
    let house = house();
    let partitions = two_partitions(&house).await;
    for partition in &partitions {
        append(partition, batch(10)).await.expect("appended");
    }
    let one = batch(10).len();
    assert_eq!(sizes(&fetch(&targets(&partitions, 1 << 20), limits(1, 1, 0)).await), [one, 0]);
    assert_eq!(sizes(&fetch(&targets(&partitions, 1), limits(1, 1 << 20, 0)).await), [one, 0]);
    assert_eq!(sizes(&fetch(&targets(&partitions, one), limits(1, 2 * one, 0)).await), [one, one]);
}

#[tokio::test]
async fn an_empty_fetch_waits_its_time_and_wakes_for_any_partition() {
    let house = house();
    let partitions = two_partitions(&house).await;
    let before = tokio::time::Instant::now();
    assert_eq!(sizes(&fetch(&targets(&partitions, 1 << 20), limits(1, 1 << 20, 30)).await), [0, 0]);
    assert!(before.elapsed() >= Duration::from_millis(30), "it waited");
    let asleep = targets(&partitions, 1 << 20);
    let sleeper = crate::tasks::spawn("test", async move { fetch(&asleep, limits(1, 1 << 20, 3_600_000)).await });
    tokio::task::yield_now().await;
    let appended = partitions[1].append(batch(1), Origin::Client).await.expect("appended");
    partitions[1].wait_committed(appended.last).await.expect("committed");
    assert_eq!(sizes(&sleeper.await.expect("joins")), [0, batch(1).len()]);
}

#[tokio::test]
async fn an_error_of_one_partition_answers_at_once() {
    let house = house();
    let partitions = two_partitions(&house).await;
    let mut targets = targets(&partitions, 1 << 20);
    targets[0].from = Offset(99);
    let fetched = fetch(&targets, limits(1, 1 << 20, 3_600_000)).await;
    assert!(matches!(fetched[0].batches, Err(ReadError::OutOfRange { .. })));
}
