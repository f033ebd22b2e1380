//! Goal: what a partition promises its writers and readers. Method: real logs on the memory store, a manual clock, batches built here.

use super::fetch::{Isolation, Limits, Target, aborted_among, fetch, total};
use super::unsaved::{self, ALL_MAX};
use super::{AppendError, LogOptions, Logs, Origin, Partition, ProducerError, ReadError, retention};
use crate::config::KafkaSettings;
use crate::config::topic::{TimestampType, TopicSettings};
use crate::env::Env;
use crate::ids::{LogId, Offset, ProducerEpoch, ProducerId, Timestamp};
use crate::records::control::{EndTransaction, Marker};
use crate::records::{BatchBuilder, BatchHeader, Compression, RecordError, kept};
use crate::span::Span;
use crate::store::faulty::FaultyStore;
use crate::store::local::{LocalOptions, LocalStore};
use crate::store::memory::MemoryStore;
use crate::store::{LogStore as _, Mark};
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
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
async fn what_is_read_at_a_restart_is_known_however_old_its_records_are() {
    let house = house();
    let old = |sequence| {
        let builder = BatchBuilder::new(NOW.plus_ms(-200_000_000)).producer(ProducerId(9), ProducerEpoch(0), sequence);
        builder.record(Some(b"k"), Some(b"v")).build()
    };
    let first = partition(&house, settings()).await;
    append(&first, old(0)).await.expect("appended");
    let again = logs(&house.store.fork(), &house.env, 1 << 20);
    let partition = again.open(LOG, Arc::new(settings())).await.expect("reopened");
    assert_eq!(append(&partition, old(0)).await.expect("known"), (0, 0), "not a second time");
    assert_eq!(append(&partition, old(1)).await.expect("goes on"), (1, 1));
}

#[tokio::test]
async fn when_all_logs_together_have_much_unsaved_snapshots_are_saved_early() {
    let house = house();
    let mut partitions = Vec::new();
    for log in 1..=3 {
        let partition = house.logs.open(LogId(log), Arc::new(settings())).await.expect("a log opens");
        append(&partition, produced(9, 0, 0, 2)).await.expect("appended");
        partitions.push(partition);
    }
    let costs = || partitions.iter().map(|partition| partition.unsaved_cost()).collect::<Vec<u64>>();
    let before = costs();
    unsaved::save_due(&house.logs).await;
    assert_eq!((costs(), before.iter().all(|cost| *cost > 0)), (before, true), "little in each, and little altogether");
    // As if there were thousands more.
    house.logs.unsaved.fetch_add(ALL_MAX, Ordering::Relaxed);
    unsaved::save_due(&house.logs).await;
    assert_eq!(costs(), [0; 3]);
    for log in 1..=3 {
        let (at, _) = house.store.get_snapshot(LogId(log)).await.expect("readable").expect("saved");
        assert_eq!(at, Offset(2));
    }
    append(&partitions[0], produced(9, 0, 2, 2)).await.expect("appended");
    house.logs.delete(&[LogId(1), LogId(2), LogId(3)]).await.expect("deleted");
    drop(partitions);
    // The thread that told of the append may hold its partition a moment longer.
    let is_left = async {
        while house.logs.unsaved.load(Ordering::Relaxed) != ALL_MAX {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), is_left).await.expect("deleted logs leave the sum");
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

#[tokio::test]
async fn a_quiet_log_forgets_its_producers_too() {
    let house = house();
    let partition = partition(&house, settings()).await;
    append(&partition, produced(9, 0, 0, 1)).await.expect("appended");
    house.env.advance_ms(86_400_000);
    assert_eq!(partition.lock().producers.all().len(), 1);
    retention::sweep(&house.logs).await;
    assert_eq!(partition.lock().producers.all().len(), 0);
}

/// Half an opening would leave the log open in the store, and whoever came next waiting for all that is queued.
#[tokio::test]
async fn an_opening_goes_on_when_its_caller_goes_away() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = LocalOptions { segment_bytes: 1 << 20, zero_ahead: false, ..LocalOptions::new(dir.path()) };
    let store = LocalStore::open(options).expect("the store opens");
    let logs = Logs::new(store, Env::manual(NOW, 1), LogOptions { tail_bytes: 1 << 20, producer_expiration_ms: 86_400_000 });
    let caller = async { logs.open(LOG, Arc::new(settings())).await };
    tokio::select! {
        biased;
        _ = caller => panic!("it blocks for the index"),
        () = std::future::ready(()) => {}
    }
    let opened = async {
        while logs.get(LOG).is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), opened).await.expect("it is open in the end");
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
    // The clock is set back: time is what it says, as in Kafka.
    house.env.advance_ms(-3);
    let later = partition.append(records(Timestamp(1), 1, 1), Origin::Client).await.expect("appended");
    assert_eq!(later.append_time, Some(NOW.plus_ms(2)));
    partition.wait_committed(later.last).await.expect("committed");
    let batches = partition.read(later.first, 1, Offset(i64::MAX)).await.expect("readable");
    let header = crate::records::BatchHeader::parse(&batches[0].bytes).expect("sound");
    assert_eq!(header.max_timestamp, NOW.plus_ms(2));
    crate::records::header::verify_crc(&batches[0].bytes, &header).expect("stamped anew");
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
async fn a_look_up_by_time_begins_at_the_start_of_the_log() {
    let house = house();
    let partition = partition(&house, settings()).await;
    let at = |ms: i64| NOW.plus_ms(ms);
    let three = (0..3).fold(BatchBuilder::new(at(0)), |batch, ms| batch.record_at(at(ms), Some(b"k"), None, &[]));
    append(&partition, three.build()).await.expect("appended");
    append(&partition, records(at(40), 1, 1)).await.expect("appended");
    partition.trim(Offset(1)).await.expect("trimmed");
    let find = async |ms| partition.offset_for_time(at(ms)).await.expect("readable");
    assert_eq!(find(0).await, Some((Offset(1), at(1))), "not the next batch");
    assert_eq!(find(2).await, Some((Offset(2), at(2))));
    assert_eq!(find(3).await, Some((Offset(3), at(40))));
}

/// The same batch with another largest timestamp in its header, and a CRC that says so.
fn claiming(batch: &Bytes, max: Timestamp) -> Bytes {
    let mut batch = BytesMut::from(&batch[..]);
    crate::records::header::stamp_max_timestamp(&mut batch, max);
    batch.freeze()
}

#[tokio::test]
async fn the_largest_timestamp_is_that_of_the_records_whatever_the_header_says() {
    let house = house();
    let partition = partition(&house, settings()).await;
    let at = |ms: i64| NOW.plus_ms(ms);
    let batch = |codec| {
        let batch = BatchBuilder::new(at(0)).compression(codec).record_at(at(0), Some(b"k"), None, &[]);
        batch.record_at(at(30), Some(b"k"), None, &[]).record_at(at(10), Some(b"k"), None, &[]).build()
    };
    for (codec, claimed) in [
        (Compression::None, Timestamp(0)),
        (Compression::None, Timestamp::NONE),
        (Compression::None, at(10)),
        (Compression::None, at(31)),
        (Compression::Zstd, Timestamp::NONE),
        (Compression::Zstd, Timestamp(0)),
    ] {
        let (first, _) = append(&partition, claiming(&batch(codec), claimed)).await.expect("appended");
        let read = partition.read(Offset(first), 1, Offset(i64::MAX)).await.expect("readable");
        let header = BatchHeader::parse(&read[0].bytes).expect("a batch");
        assert_eq!((header.max_timestamp, read[0].max_timestamp), (at(30), at(30)), "{codec} {claimed}");
        crate::records::header::verify_crc(&read[0].bytes, &header).expect("its CRC is right");
    }
    partition.set_settings(Arc::new(TopicSettings { timestamp_after_max_ms: 20, ..settings() }));
    let hidden = claiming(&batch(Compression::None), at(0));
    assert!(matches!(append(&partition, hidden).await, Err(AppendError::InvalidTimestamp(_))), "a record behind the first");
    let mut stamped = BytesMut::from(&records(at(0), 1, 1)[..]);
    crate::records::header::stamp_append_time(&mut stamped, at(0));
    assert!(matches!(append(&partition, stamped.freeze()).await, Err(AppendError::InvalidTimestamp(_))), "LogAppendTime is ours");
}

#[tokio::test]
async fn a_deleted_log_answers_stopped_and_wakes_who_waits() {
    let house = house();
    let partition = partition(&house, settings()).await;
    append(&partition, batch(1)).await.expect("appended");
    let waiting = partition.clone();
    let waiter = crate::tasks::spawn("test", async move { waiting.wait_committed(Offset(10)).await });
    house.logs.delete(&[LOG]).await.expect("deleted");
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
async fn retention_by_size_keeps_at_least_the_limit_and_compacted_topics_keep_all() {
    let house = house();
    let one = records(NOW, 1, 100).len() as i64;
    let limited = |bytes| Arc::new(TopicSettings { retention_bytes: bytes, ..settings() });
    let partition = partition(&house, settings()).await;
    for _ in 0..5 {
        append(&partition, records(NOW, 1, 100)).await.expect("appended");
    }
    for (bytes, start) in [(6 * one, 0), (5 * one, 0), (4 * one + 1, 0), (2 * one + 1, 2), (2 * one, 3), (one + 1, 3)] {
        partition.set_settings(limited(bytes));
        retention::sweep(&house.logs).await;
        assert_eq!(partition.start(), Offset(start), "{bytes} bytes, of {one} each");
    }
    let mut compacted = TopicSettings { retention_bytes: 0, retention_ms: 0, ..settings() };
    (compacted.cleanup.delete, compacted.cleanup.compact) = (false, true);
    partition.set_settings(Arc::new(compacted));
    house.env.advance_ms(10_000);
    retention::sweep(&house.logs).await;
    assert_eq!(partition.start(), Offset(3));
}

#[tokio::test]
async fn retention_by_size_keeps_two_batches_where_one_is_less_than_the_limit() {
    let house = house();
    let partition = partition(&house, TopicSettings { retention_bytes: 1 << 20, ..settings() }).await;
    for _ in 0..4 {
        append(&partition, records(NOW, 1, 600 * 1024)).await.expect("appended");
        retention::sweep(&house.logs).await;
    }
    assert_eq!((partition.start(), partition.next()), (Offset(2), Offset(4)));
}

#[tokio::test]
async fn retention_of_no_bytes_empties_the_log_and_its_offsets_go_on() {
    let house = house();
    let partition = partition(&house, TopicSettings { retention_bytes: 0, ..settings() }).await;
    for _ in 0..3 {
        append(&partition, batch(2)).await.expect("appended");
    }
    retention::sweep(&house.logs).await;
    assert_eq!((partition.start(), partition.next(), partition.size()), (Offset(6), Offset(6), 0));
    retention::sweep(&house.logs).await;
    assert_eq!(partition.start(), Offset(6), "there is nothing more to do");
    assert_eq!(append(&partition, batch(1)).await.expect("appended"), (6, 6));
    assert_eq!(offsets(&partition, 6, 1 << 20).await, [(6, 6)]);
    retention::sweep(&house.logs).await;
    assert_eq!(partition.start(), Offset(7));
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
    fetched.iter().map(|one| total(one.stretches.as_ref().expect("readable"))).collect()
}

#[tokio::test]
async fn one_batch_is_owed_to_the_fetch_and_not_to_each_partition() {
    let house = house();
    let partitions = two_partitions(&house).await;
    for partition in &partitions {
        append(partition, batch(10)).await.expect("appended");
    }
    let one = batch(10).len();
    assert_eq!(sizes(&fetch(&targets(&partitions, 1 << 20), limits(1, 1, 0), None).await), [one, 0]);
    assert_eq!(sizes(&fetch(&targets(&partitions, 1), limits(1, 1 << 20, 0), None).await), [one, 0]);
    assert_eq!(sizes(&fetch(&targets(&partitions, one), limits(1, 2 * one, 0), None).await), [one, one]);
}

#[tokio::test]
async fn an_empty_fetch_waits_its_time_and_wakes_for_any_partition() {
    let house = house();
    let partitions = two_partitions(&house).await;
    let before = tokio::time::Instant::now();
    assert_eq!(sizes(&fetch(&targets(&partitions, 1 << 20), limits(1, 1 << 20, 30), None).await), [0, 0]);
    assert!(before.elapsed() >= Duration::from_millis(30), "it waited");
    let asleep = targets(&partitions, 1 << 20);
    let sleeper = crate::tasks::spawn("test", async move { fetch(&asleep, limits(1, 1 << 20, 3_600_000), None).await });
    tokio::task::yield_now().await;
    let appended = partitions[1].append(batch(1), Origin::Client).await.expect("appended");
    partitions[1].wait_committed(appended.last).await.expect("committed");
    assert_eq!(sizes(&sleeper.await.expect("joins")), [0, batch(1).len()]);
}

#[tokio::test]
async fn a_fetch_that_waits_for_more_keeps_nothing_of_what_it_found() {
    // The tail would keep the batch until others take its place.
    let logs = logs(&MemoryStore::new(), &Env::manual(NOW, 1), 0);
    let partition = logs.open(LOG, Arc::new(settings())).await.expect("opens");
    append(&partition, batch(10)).await.expect("appended");
    let targets = targets(std::slice::from_ref(&partition), 1 << 20);
    let mut seen = fetch(&targets, limits(1, 1 << 20, 0), None).await;
    let Span::Memory(bytes) = seen.remove(0).stretches.expect("readable").remove(0).bytes else {
        panic!("the store is in memory")
    };
    let mut waiting = Box::pin(fetch(&targets, limits(1 << 20, 1 << 20, 3_600_000), None));
    assert!(tokio::time::timeout(Duration::from_millis(1), &mut waiting).await.is_err(), "it waits");
    partition.trim(Offset(10)).await.expect("trimmed");
    assert!(bytes.is_unique(), "the log has let go of the batch, and so has who waits");
}

#[tokio::test]
async fn an_error_of_one_partition_answers_at_once() {
    let house = house();
    let partitions = two_partitions(&house).await;
    let mut targets = targets(&partitions, 1 << 20);
    targets[0].from = Offset(99);
    let fetched = fetch(&targets, limits(1, 1 << 20, 3_600_000), None).await;
    assert!(matches!(fetched[0].stretches, Err(ReadError::OutOfRange { .. })));
}

// --- transactions ----------------------------------------------------------------------------------------------------------

fn transactional(id: i64, epoch: i16, sequence: i32) -> Bytes {
    BatchBuilder::new(NOW)
        .producer(ProducerId(id), ProducerEpoch(epoch), sequence)
        .transactional()
        .record(None, Some(b"v"))
        .build()
}

/// Appends a batch of a transaction that the coordinator knows of.
async fn write(partition: &Partition, id: i64, epoch: i16, sequence: i32) -> Result<i64, AppendError> {
    let origin = match partition.verification(ProducerId(id), ProducerEpoch(epoch), sequence) {
        Some(verification) => Origin::Verified(verification),
        None => Origin::Client,
    };
    let appended = partition.append(transactional(id, epoch, sequence), origin).await?;
    partition.wait_committed(appended.last).await?;
    Ok(appended.first.0)
}

async fn end(partition: &Partition, id: i64, epoch: i16, marker: Marker) -> Result<Option<i64>, AppendError> {
    let end = EndTransaction { marker, coordinator_epoch: 0 };
    let at = partition.append_marker(ProducerId(id), ProducerEpoch(epoch), end, true).await?;
    if let Some(at) = at {
        partition.wait_committed(at).await?;
    }
    Ok(at.map(|at| at.0))
}

fn voided(partition: &Partition, from: i64, to: i64) -> Vec<(i64, i64)> {
    partition.aborted(Offset(from), Offset(to)).iter().map(|one| (one.producer.0, one.first.0)).collect()
}

#[tokio::test]
async fn a_batch_that_nobody_vouches_for_opens_no_transaction() {
    let house = house();
    let partition = partition(&house, settings()).await;
    let refused = append(&partition, transactional(7, 0, 0)).await;
    assert!(matches!(refused, Err(AppendError::Producer(ProducerError::NotVerified(ProducerId(7))))), "{refused:?}");
    let verification = partition.verification(ProducerId(7), ProducerEpoch(0), 0).expect("not open yet");
    end(&partition, 7, 1, Marker::Abort).await.expect("timed out meanwhile");
    let late = partition.append(transactional(7, 1, 0), Origin::Verified(verification)).await;
    assert!(matches!(late, Err(AppendError::Producer(ProducerError::NotVerified(_)))), "a marker came in between: {late:?}");
    let nobody = BatchBuilder::new(NOW).transactional().record(None, Some(b"v")).build();
    assert!(matches!(append(&partition, nobody).await, Err(AppendError::Invalid(_))), "no producer id");
    assert_eq!(partition.last_stable(), partition.watermark());
}

#[tokio::test]
async fn a_transaction_does_not_begin_with_its_second_batch() {
    let house = house();
    let small = TopicSettings { max_message_bytes: 150, ..settings() };
    let partition = partition(&house, small).await;
    let verification = |sequence| partition.verification(ProducerId(7), ProducerEpoch(0), sequence).expect("not open yet");
    let large = BatchBuilder::new(NOW).producer(ProducerId(7), ProducerEpoch(0), 0).transactional();
    let large = large.record(None, Some(&[0; 200])).build();
    let refused = partition.append(large, Origin::Verified(verification(0))).await;
    assert!(matches!(refused, Err(AppendError::TooLarge { .. })), "{refused:?}");
    let second = partition.append(transactional(7, 0, 1), Origin::Verified(verification(1))).await;
    assert!(matches!(second, Err(AppendError::Producer(ProducerError::OutOfOrderSequence { .. }))), "{second:?}");
    assert_eq!(write(&partition, 7, 0, 0).await.expect("smaller now"), 0);
    assert_eq!(write(&partition, 7, 0, 1).await.expect("and then the second"), 1);
    assert_eq!(write(&partition, 8, 0, 50).await.expect("unknown, it may begin anywhere"), 2);
}

#[tokio::test]
async fn plain_batches_of_a_producer_wait_for_its_transaction_to_end() {
    let house = house();
    let partition = partition(&house, settings()).await;
    write(&partition, 7, 0, 0).await.expect("opens");
    let plain = append(&partition, produced(7, 0, 1, 1)).await;
    assert!(matches!(plain, Err(AppendError::Producer(ProducerError::NotTransactional(_)))), "{plain:?}");
}

#[tokio::test]
async fn committed_readers_stop_at_the_first_undecided_record() {
    let house = house();
    let partition = partition(&house, settings()).await;
    append(&partition, batch(1)).await.expect("plain");
    write(&partition, 7, 0, 0).await.expect("opens at 1");
    write(&partition, 8, 0, 0).await.expect("opens at 2");
    append(&partition, batch(1)).await.expect("plain, behind them");
    assert_eq!((partition.last_stable(), partition.watermark()), (Offset(1), Offset(4)));
    end(&partition, 8, 1, Marker::Abort).await.expect("aborted");
    assert_eq!(partition.last_stable(), Offset(1), "the first is still open");
    end(&partition, 7, 1, Marker::Commit).await.expect("committed");
    assert_eq!(partition.last_stable(), Offset(6));
    assert_eq!(voided(&partition, 0, 6), [(8, 2)]);
    let isolation = Isolation::ReadCommitted;
    let fetched = fetch(&targets(&[partition], 1 << 20), Limits { isolation, ..limits(1, 1 << 20, 0) }, None).await;
    assert_eq!(fetched[0].aborted.iter().map(|one| one.first.0).collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn a_marker_that_was_written_is_not_written_again_and_an_older_one_never() {
    let house = house();
    let partition = partition(&house, settings()).await;
    write(&partition, 7, 4, 0).await.expect("opens");
    let stale = end(&partition, 7, 4, Marker::Abort).await;
    assert!(matches!(stale, Err(AppendError::Producer(ProducerError::StaleEpoch { .. }))), "KIP-1228: {stale:?}");
    assert_eq!(end(&partition, 7, 5, Marker::Commit).await.expect("committed"), Some(1));
    assert_eq!(end(&partition, 7, 5, Marker::Commit).await.expect("known"), None);
    assert_eq!(partition.watermark(), Offset(2));
    let fenced = write(&partition, 7, 4, 1).await;
    assert!(matches!(fenced, Err(AppendError::Producer(ProducerError::StaleEpoch { .. }))), "{fenced:?}");
    let gap = write(&partition, 7, 5, 1).await;
    assert!(matches!(gap, Err(AppendError::Producer(ProducerError::OutOfOrderSequence { .. }))), "it begins at 0: {gap:?}");
    write(&partition, 7, 5, 0).await.expect("the next transaction");
}

#[tokio::test]
async fn transactions_survive_a_restart_with_and_without_a_snapshot() {
    for has_snapshot in [false, true] {
        let house = house();
        let first = partition(&house, settings()).await;
        write(&first, 7, 0, 0).await.expect("opens at 0");
        end(&first, 7, 1, Marker::Abort).await.expect("aborted at 1");
        write(&first, 8, 0, 0).await.expect("opens at 2");
        if has_snapshot {
            first.save_snapshot(0).await.expect("saved");
        }
        write(&first, 7, 1, 0).await.expect("opens at 3");
        end(&first, 7, 2, Marker::Abort).await.expect("aborted at 4");
        let logs = logs(&house.store, &house.env, 0);
        let partition = logs.open(LOG, Arc::new(settings())).await.expect("opens again");
        assert_eq!((partition.last_stable(), partition.watermark()), (Offset(2), Offset(5)), "snapshot: {has_snapshot}");
        assert_eq!(voided(&partition, 0, 5), [(7, 0), (7, 3)]);
        assert_eq!(partition.verification(ProducerId(8), ProducerEpoch(0), 0), None, "it is open");
    }
}

#[tokio::test]
async fn a_snapshot_from_before_the_start_of_the_log_opens_no_transaction() {
    let house = house();
    let first = partition(&house, settings()).await;
    write(&first, 7, 0, 0).await.expect("opens at 0");
    first.save_snapshot(0).await.expect("saved");
    end(&first, 7, 1, Marker::Commit).await.expect("committed at 1");
    append(&first, batch(2)).await.expect("plain, at 2 and 3");
    first.trim(Offset(2)).await.expect("trimmed, marker and all");
    let logs = logs(&house.store, &house.env, 0);
    let partition = logs.open(LOG, Arc::new(settings())).await.expect("opens again");
    assert_eq!((partition.last_stable(), partition.watermark()), (Offset(4), Offset(4)));
    assert!(partition.producers().is_empty());
}

#[tokio::test]
async fn a_reader_whose_records_are_deleted_meanwhile_is_told_so_rather_than_shown_void_records() {
    let house = house();
    let partition = partition(&house, settings()).await;
    write(&partition, 7, 0, 0).await.expect("opens at 0");
    end(&partition, 7, 1, Marker::Abort).await.expect("aborted at 1");
    append(&partition, batch(1)).await.expect("plain, at 2");
    let read = partition.read(Offset(0), 1 << 20, Offset(3)).await.expect("readable");
    assert_eq!(aborted_among(&partition, Offset(0), read.last().map(|newest| newest.last)).expect("still there").len(), 1);
    partition.trim(Offset(2)).await.expect("trimmed between the two looks");
    let told = aborted_among(&partition, Offset(0), read.last().map(|newest| newest.last));
    assert!(matches!(told, Err(ReadError::OutOfRange { start: Offset(2), .. })), "{told:?}");
}

#[tokio::test]
async fn producers_of_coordinators_are_forgotten_like_others() {
    let house = house();
    let partition = partition(&house, settings()).await;
    let by = |id: i64| {
        let builder = BatchBuilder::new(NOW).producer(ProducerId(id), ProducerEpoch(0), -1).transactional();
        builder.record(Some(b"k"), Some(b"v")).build()
    };
    for id in 0..3 {
        partition.append(by(id), Origin::Coordinator).await.expect("taken");
        end(&partition, id, 1, Marker::Commit).await.expect("committed");
        house.env.advance_ms(2 * 86_400_000);
    }
    partition.append(by(9), Origin::Coordinator).await.expect("taken");
    assert_eq!(partition.lock().producers.all().iter().map(|one| one.id.0).collect::<Vec<_>>(), [9]);
}

/// What is queued may be lost in a crash, so nobody sees it; with `read_committed`, neither what a marker ends that is only queued.
#[tokio::test]
async fn a_fetch_sees_what_is_durable_and_nothing_else() {
    for tail_bytes in [0, 1 << 20] {
        let store = FaultyStore::holding();
        let options = LogOptions { tail_bytes, producer_expiration_ms: 86_400_000 };
        let logs = Logs::new(store.clone(), Env::manual(NOW, 1), options);
        let partition = logs.open(LOG, Arc::new(settings())).await.expect("opens");
        let seen = async |isolation| {
            let limits = Limits { isolation, ..limits(1, 1 << 20, 0) };
            sizes(&fetch(&targets(std::slice::from_ref(&partition), 1 << 20), limits, None).await)[0]
        };
        let verification = partition.verification(ProducerId(7), ProducerEpoch(0), 0).expect("the first of its transaction");
        let records = transactional(7, 0, 0);
        let appended = partition.append(records.clone(), Origin::Verified(verification)).await.expect("queued");
        assert_eq!((seen(Isolation::ReadUncommitted).await, partition.watermark()), (0, Offset(0)), "the batch is queued");
        store.release(1);
        partition.wait_committed(appended.last).await.expect("durable");
        assert_eq!((seen(Isolation::ReadUncommitted).await, seen(Isolation::ReadCommitted).await), (records.len(), 0));
        let commit = EndTransaction { marker: Marker::Commit, coordinator_epoch: 0 };
        let marker = partition.append_marker(ProducerId(7), ProducerEpoch(1), commit, true).await.expect("queued").expect("new");
        assert_eq!((seen(Isolation::ReadCommitted).await, partition.last_stable()), (0, Offset(0)), "the marker is queued");
        store.release(1);
        partition.wait_committed(marker).await.expect("durable");
        assert!(seen(Isolation::ReadCommitted).await > records.len(), "the batch and its marker");
    }
}

async fn append_marked(partition: &Partition, id: u128, expires: Timestamp) -> (i64, Option<Timestamp>) {
    let mark = Mark { id, made: NOW, expires, note: 0 };
    let appended = partition.append(batch(2), Origin::Marked(mark)).await.expect("taken");
    (appended.first.0, appended.append_time)
}

#[tokio::test]
async fn a_marked_batch_is_written_once_while_under_way_and_durable_and_after_a_restart() {
    let store = FaultyStore::holding();
    let env = Env::manual(NOW, 1);
    let options = || LogOptions { tail_bytes: 0, producer_expiration_ms: 86_400_000 };
    let logs = Logs::new(store.clone(), env.clone(), options());
    let partition = logs.open(LOG, Arc::new(settings())).await.expect("opens");
    let later = NOW.plus_ms(1000);
    assert_eq!(append_marked(&partition, 1, later).await, (0, None));
    assert_eq!(append_marked(&partition, 2, later).await, (2, None));
    assert_eq!(append_marked(&partition, 1, later).await, (0, Some(NOW)), "under way");
    store.release(2);
    partition.wait_committed(Offset(3)).await.expect("durable");
    env.advance_ms(10);
    assert_eq!(append_marked(&partition, 2, later).await, (2, Some(NOW)), "durable: the time is that of the first");
    let survived = store.crash();
    let logs = Logs::new(survived, env.clone(), options());
    let partition = logs.open(LOG, Arc::new(settings())).await.expect("opens again");
    assert_eq!(append_marked(&partition, 1, later).await, (0, Some(NOW)), "after a restart");
    assert_eq!(partition.next(), Offset(4));
    env.advance_ms(1000);
    assert_eq!(append_marked(&partition, 1, later.plus_ms(2000)).await.0, 4, "expired");
}

#[tokio::test]
async fn totals_count_records_but_no_markers_and_survive_trimming_and_a_restart() {
    let house = house();
    let first = partition(&house, settings()).await;
    append(&first, batch(3)).await.expect("plain");
    write(&first, 7, 0, 0).await.expect("opens");
    end(&first, 7, 1, Marker::Abort).await.expect("aborted");
    first.save_snapshot(0).await.expect("saved");
    let trimmed = first.trim(Offset(4)).await.expect("trimmed");
    append(&first, batch(2)).await.expect("plain");
    let lived = first.statistics();
    assert_eq!((trimmed, lived.records), (Offset(4), 6));
    assert!(lived.bytes > lived.retained_bytes && lived.retained_bytes > 0, "{lived:?}");
    let logs = logs(&house.store, &house.env, 0);
    let partition = logs.open(LOG, Arc::new(settings())).await.expect("opens again");
    assert_eq!((partition.statistics().records, partition.statistics().bytes), (lived.records, lived.bytes));
}

#[tokio::test]
async fn deleted_records_take_their_aborted_transactions_along_and_hold_nobody_up() {
    let house = house();
    let partition = partition(&house, settings()).await;
    write(&partition, 7, 0, 0).await.expect("opens at 0");
    end(&partition, 7, 1, Marker::Abort).await.expect("aborted at 1");
    write(&partition, 8, 0, 0).await.expect("opens at 2");
    append(&partition, batch(1)).await.expect("plain");
    partition.trim(Offset(3)).await.expect("trimmed");
    assert!(voided(&partition, 0, 4).is_empty());
    assert_eq!(partition.last_stable(), Offset(3), "not before the start of the log");
}

/// Where a crash brings the start of the log back, what was aborted there is void as before.
#[tokio::test]
async fn a_snapshot_that_is_saved_during_a_trim_has_what_a_crash_brings_back() {
    let store = FaultyStore::seeded(1);
    let options = || LogOptions { tail_bytes: 0, producer_expiration_ms: 86_400_000 };
    let open = async |store: Arc<FaultyStore>| {
        let logs = Logs::new(store, Env::manual(NOW, 1), options());
        let partition = logs.open(LOG, Arc::new(settings())).await.expect("opens");
        (logs, partition)
    };
    let (_logs, partition) = open(store.clone()).await;
    write(&partition, 7, 0, 0).await.expect("opens at 0");
    end(&partition, 7, 1, Marker::Abort).await.expect("aborted at 1");
    append(&partition, batch(1)).await.expect("plain");
    store.hold_trims();
    let trimming = tokio::time::timeout(Duration::ZERO, partition.trim(Offset(2))).await;
    assert!(trimming.is_err() && partition.start() == Offset(2), "it waits for the disk, and readers see it");
    partition.save_snapshot(0).await.expect("saved");
    let (_logs, partition) = open(store.crash()).await;
    assert_eq!(partition.start(), Offset(0));
    assert_eq!(voided(&partition, 0, 3), [(7, 0)]);
}

#[tokio::test]
async fn a_producer_with_an_open_transaction_is_not_forgotten() {
    let house = house();
    let partition = partition(&house, settings()).await;
    write(&partition, 7, 0, 0).await.expect("opens");
    house.env.advance_ms(3 * 86_400_000);
    append(&partition, produced(9, 0, 0, 1)).await.expect("somebody else");
    assert_eq!(
        partition.producers().iter().map(|one| (one.id.0, one.transaction)).collect::<Vec<_>>(),
        [(7, Some(Offset(0))), (9, None)]
    );
    end(&partition, 7, 1, Marker::Commit).await.expect("committed");
    house.env.advance_ms(86_400_000);
    assert!(partition.producers().is_empty());
}

#[tokio::test]
async fn a_batch_without_some_of_its_records_takes_the_place_of_the_whole() {
    let house = house();
    let partition = partition(&house, settings()).await;
    let whole = produced(7, 0, 0, 5);
    let append_kept = async |dropped: &[i32]| {
        let kept = kept::without(&whole, 1 << 20, &dropped.iter().copied().collect()).expect("filtered");
        let checked = partition.check(&whole).and_then(|checked| checked.kept(&kept)).expect("sound");
        let appended = partition.append_checked(checked, kept, Origin::Client).await.expect("taken");
        (appended.first.0, appended.last.0)
    };
    assert_eq!(append_kept(&[0, 1, 2, 3, 4]).await, (0, 4), "even when nothing is left");
    assert_eq!(append_kept(&[1]).await, (0, 4), "it is recognised when it is sent again");
    assert_eq!(append(&partition, produced(7, 0, 5, 1)).await.expect("the next sequence"), (5, 5));
    assert_eq!(offsets(&partition, 0, 1 << 20).await, [(0, 4), (5, 5)]);
    let logs = logs(&house.store, &house.env, 0);
    let partition = logs.open(LOG, Arc::new(settings())).await.expect("opens again");
    assert_eq!(append(&partition, produced(7, 0, 5, 1)).await.expect("repeated after a restart"), (5, 5));
}
