//! What every backend does: one suite, run on each of them. A behaviour that only one backend has is tested beside that backend.
//!
//! To add a backend, give `every_backend!` another line with a function that opens it (and opens it again after a close).

use super::faulty::FaultyStore;
use super::local::{LocalOptions, LocalStore, SyncPolicy};
use super::memory::MemoryStore;
use super::{Append, Batch, CommitListener, LogBounds, LogStore, Mark, MetaStore, Permit, StoreError, SuffixChecksum};
use crate::ids::{Fence, LogId, Offset, Timestamp};
use crate::span;
use bytes::Bytes;
use metadata::*;
use reading::*;
use replacement::*;
use std::sync::Arc;
use std::time::Duration;

mod metadata;
mod reading;
pub(crate) mod replacement;
mod told;

pub(crate) use told::Told;

/// Longer than anything takes: a test that hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(30);
const QUEUE_BYTES: usize = 256 * 1024;
const LOG: LogId = LogId(7);
const OTHER: LogId = LogId(8);
const F0: Fence = Fence(0);
const ALL: usize = usize::MAX;
const END: Offset = Offset(i64::MAX);

/// Both sides of one store.
pub(crate) type Stores = (Arc<dyn LogStore>, Arc<dyn MetaStore>);

/// A store under test, and how to open it again.
pub(crate) struct Harness {
    pub store: Arc<dyn LogStore>,
    pub meta: Arc<dyn MetaStore>,
    pub told: Arc<Told>,
    open: Box<dyn FnMut() -> Stores + Send>,
}

impl Harness {
    pub(crate) fn new(mut open: Box<dyn FnMut() -> Stores + Send>) -> Harness {
        let (store, meta) = open();
        let told = Arc::new(Told::default());
        store.listen(Arc::clone(&told) as Arc<dyn CommitListener>);
        Harness { store, meta, told, open }
    }

    async fn reopen(self) -> Harness {
        self.store.close().await.expect("the store closes");
        let Harness { store, meta, mut open, .. } = self;
        drop((store, meta));
        let (store, meta) = open();
        let told = Arc::new(Told::default());
        store.listen(Arc::clone(&told) as Arc<dyn CommitListener>);
        Harness { store, meta, told, open }
    }

    async fn put(&self, log: LogId, first: i64, last: i64, time: i64, length: usize) {
        put(&*self.store, log, first, last, time, length).await;
        self.told.wait(log, Offset(last)).await;
    }

    /// What is read, which is also what is located.
    async fn read(&self, log: LogId, from: i64, to: Offset, max_bytes: usize) -> Vec<Batch> {
        let batches = self.store.read(log, Offset(from), to, max_bytes).await.expect("the log is read");
        let stretches = self.store.locate(log, Offset(from), to, max_bytes).await.expect("the log is located");
        let ends = |firsts: Option<Offset>, lasts: Option<Offset>| firsts.zip(lasts);
        assert_eq!(
            ends(stretches.first().map(|one| one.first), stretches.last().map(|one| one.last)),
            ends(batches.first().map(|one| one.first), batches.last().map(|one| one.last)),
        );
        let spans: Vec<_> = stretches.into_iter().map(|one| one.bytes).collect();
        let read: Vec<&[u8]> = batches.iter().map(|batch| &batch.bytes[..]).collect();
        assert!(span::load(&spans).expect("the spans are read") == read.concat(), "the same bytes");
        batches
    }
}

/// The bytes of the batch that starts at `first`: every batch has others.
pub(crate) fn payload(log: LogId, first: i64, length: usize) -> Bytes {
    let seed = log.0.wrapping_mul(31).wrapping_add(first.cast_unsigned().wrapping_mul(7919));
    (0..length as u64).map(|number| seed.wrapping_add(number.wrapping_mul(number)).to_le_bytes()[0]).collect()
}

/// A batch as its log would hand it over.
pub(crate) fn append_of(log: LogId, fence: Fence, first: i64, last: i64, time: i64, length: usize) -> Append {
    let bytes = payload(log, first, length);
    let from = length.min(21);
    let checksum = SuffixChecksum { from: u32::try_from(from).expect("small"), crc: crc32c::crc32c(&bytes[from..]) };
    Append { log, fence, first: Offset(first), last: Offset(last), max_timestamp: Timestamp(time), bytes, checksum, mark: None }
}

/// Queues a batch, without waiting for its commit.
pub(crate) async fn put(store: &dyn LogStore, log: LogId, first: i64, last: i64, time: i64, length: usize) {
    let permit = store.reserve(length).await.expect("there is room");
    store.append(permit, append_of(log, F0, first, last, time, length));
}

/// First offsets of `batches`, after checking that each holds the bytes it was given.
pub(crate) fn firsts(log: LogId, batches: &[Batch]) -> Vec<i64> {
    for batch in batches {
        assert_eq!(batch.bytes, payload(log, batch.first.0, batch.bytes.len()), "log {log}, batch at {}", batch.first);
    }
    batches.iter().map(|batch| batch.first.0).collect()
}

fn memory_backend() -> Box<dyn FnMut() -> Stores + Send> {
    let mut last: Option<Arc<MemoryStore>> = None;
    Box::new(move || {
        let store = last.take().map_or_else(|| MemoryStore::with_queue(QUEUE_BYTES), |last| last.fork());
        last = Some(Arc::clone(&store));
        (Arc::clone(&store) as Arc<dyn LogStore>, store as Arc<dyn MetaStore>)
    })
}

fn faulty_backend() -> Box<dyn FnMut() -> Stores + Send> {
    let mut last: Option<Arc<MemoryStore>> = None;
    Box::new(move || {
        let inner = last.take().map_or_else(|| MemoryStore::with_queue(QUEUE_BYTES), |last| last.fork());
        last = Some(Arc::clone(&inner));
        let store = FaultyStore::around(inner, Some(4));
        (Arc::clone(&store) as Arc<dyn LogStore>, store as Arc<dyn MetaStore>)
    })
}

fn local_with(sync: SyncPolicy) -> Box<dyn FnMut() -> Stores + Send> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    Box::new(move || {
        let options = LocalOptions {
            segment_bytes: 1024 * 1024,
            queue_bytes: QUEUE_BYTES,
            sync,
            zero_ahead: false,
            ..LocalOptions::new(dir.path().join("data"))
        };
        let store = LocalStore::open(options).expect("the store opens");
        (Arc::clone(&store) as Arc<dyn LogStore>, store as Arc<dyn MetaStore>)
    })
}

fn local_backend() -> Box<dyn FnMut() -> Stores + Send> {
    local_with(SyncPolicy::Commit)
}

fn local_interval_backend() -> Box<dyn FnMut() -> Stores + Send> {
    local_with(SyncPolicy::Interval(Duration::from_millis(5)))
}

fn local_os_backend() -> Box<dyn FnMut() -> Stores + Send> {
    local_with(SyncPolicy::Os)
}

macro_rules! backend {
    ($name:ident, $open:ident, $($test:ident)+) => {
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test(super::Harness::new(super::$open())).await;
                }
            )+
        }
    };
}

macro_rules! every_backend {
    ($($test:ident)+) => {
        backend!(memory, memory_backend, $($test)+);
        backend!(faulty, faulty_backend, $($test)+);
        backend!(local, local_backend, $($test)+);
        backend!(local_interval, local_interval_backend, $($test)+);
        backend!(local_os, local_os_backend, $($test)+);
    };
}

every_backend! {
    log_that_is_not_open_is_unknown
    batch_larger_than_the_store_takes_is_refused
    older_fence_is_refused_and_its_batches_are_dropped
    closed_store_refuses
    reserve_waits_for_room
    whole_batches_are_read_from_inside_a_batch
    first_batch_is_read_whatever_its_size
    read_stops_before_max_bytes
    read_stops_at_the_bound
    gaps_between_batches_are_skipped
    many_batches_of_many_logs_read_back
    commits_are_told_in_order
    what_was_queued_first_is_told_first
    time_finds_the_first_batch_that_reaches_it
    times_of_trimmed_batches_do_not_count
    kept_bytes_are_whole_batches_and_never_fewer
    trim_never_goes_back
    trim_to_the_end_keeps_the_next_offset
    deleted_logs_are_gone_for_good
    newest_snapshot_wins
    rewritten_batches_take_the_place_of_the_old_ones
    removed_batches_leave_gaps_and_the_newest_stays
    what_is_gone_or_of_another_owner_is_not_replaced
    replaced_logs_are_still_searched_by_time_and_size
    reopened_store_shows_the_same
    marked_appends_are_found_by_their_marks_after_a_restart_too
    metadata_commits_compare_revisions
    metadata_commits_are_atomic
    metadata_ranges_are_ordered_and_bounded_by_the_prefix
}

async fn log_that_is_not_open_is_unknown(h: Harness) {
    let unknown = |answer: StoreError| assert!(matches!(answer, StoreError::UnknownLog(LOG)), "{answer}");
    unknown(h.store.read(LOG, Offset(0), END, ALL).await.expect_err("not open"));
    unknown(h.store.trim(LOG, F0, Offset(1)).await.expect_err("not open"));
    unknown(h.store.get_snapshot(LOG).await.expect_err("not open"));
    unknown(h.store.at_time(LOG, Offset(0), Timestamp(0)).await.expect_err("not open"));
    assert_eq!(h.store.size(LOG), 0);
}

async fn batch_larger_than_the_store_takes_is_refused(h: Harness) {
    let answer = h.store.reserve(usize::MAX).await.map(|_: Permit| ());
    assert!(matches!(answer, Err(StoreError::TooLarge { .. })), "{answer:?}");
}

async fn older_fence_is_refused_and_its_batches_are_dropped(h: Harness) {
    h.store.open(LOG, F0).await.expect("opens");
    h.put(LOG, 0, 4, 10, 100).await;
    let bounds = h.store.open(LOG, Fence(3)).await.expect("a newer fence opens");
    assert_eq!((bounds.start, bounds.next), (Offset(0), Offset(5)));

    let refused = h.store.open(LOG, Fence(2)).await;
    assert!(matches!(refused, Err(StoreError::Fenced { held: Fence(2), newest: Fence(3), .. })), "{refused:?}");
    let refused = h.store.trim(LOG, F0, Offset(2)).await;
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");

    // The fenced-off writer's batch is dropped, the new writer's is kept.
    put(&*h.store, LOG, 5, 9, 10, 50).await;
    let permit = h.store.reserve(60).await.expect("room");
    h.store.append(permit, append_of(LOG, Fence(3), 5, 6, 10, 60));
    h.told.wait(LOG, Offset(6)).await;
    let read = h.read(LOG, 0, END, ALL).await;
    assert_eq!(firsts(LOG, &read), [0, 5]);
    assert_eq!(read[1].last, Offset(6));

    let h = h.reopen().await;
    let refused = h.store.open(LOG, Fence(2)).await;
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
    let bounds = h.store.open(LOG, Fence(3)).await.expect("opens");
    assert_eq!(bounds.next, Offset(7));
}

async fn closed_store_refuses(h: Harness) {
    h.store.open(LOG, F0).await.expect("opens");
    let permit = h.store.reserve(10).await.expect("room");
    h.store.close().await.expect("closes");
    h.store.close().await.expect("closes twice");
    assert!(matches!(h.store.reserve(10).await, Err(StoreError::Closed)));
    assert!(matches!(h.store.read(LOG, Offset(0), END, ALL).await, Err(StoreError::Closed)));
    assert!(matches!(h.meta.commit(vec![], vec![]).await, Err(StoreError::Closed)));
    // Neither blocks nor panics.
    h.store.append(permit, append_of(LOG, F0, 0, 0, 0, 10));
}

async fn reserve_waits_for_room(h: Harness) {
    h.store.open(LOG, F0).await.expect("opens");
    let all = h.store.reserve(QUEUE_BYTES).await.expect("an empty queue has room");
    let waiting = h.store.reserve(1);
    tokio::pin!(waiting);
    tokio::select! {
        biased;
        _ = &mut waiting => panic!("a full queue has no room"),
        () = std::future::ready(()) => {}
    }
    // Commit gives the room back.
    h.store.append(all, append_of(LOG, F0, 0, 0, 0, QUEUE_BYTES));
    let room = tokio::time::timeout(PATIENCE, waiting).await.expect("room comes back");
    drop(room.expect("the store is open"));
    // A batch larger than the queue takes all of it.
    let larger = tokio::time::timeout(PATIENCE, h.store.reserve(QUEUE_BYTES * 2)).await.expect("does not wait for ever");
    drop(larger.expect("the store is open"));
}

/// Batches 0..=9, 10..=19, … of 100, 101, … bytes.
async fn ten_by_ten(h: &Harness, count: i64) {
    h.store.open(LOG, F0).await.expect("opens");
    for number in 0..count {
        let length = usize::try_from(100 + number).expect("small");
        put(&*h.store, LOG, number * 10, number * 10 + 9, number, length).await;
    }
    h.told.wait(LOG, Offset(count * 10 - 1)).await;
}

async fn what_was_queued_first_is_told_first(h: Harness) {
    // The log with the higher id first, so that no other order is the same by chance.
    const FIRST: LogId = OTHER;
    const SECOND: LogId = LOG;
    for log in [FIRST, SECOND] {
        h.store.open(log, F0).await.expect("opens");
    }
    for offset in 0..300 {
        put(&*h.store, FIRST, offset, offset, 0, 50).await;
        put(&*h.store, SECOND, offset, offset, 0, 50).await;
    }
    h.told.wait(SECOND, Offset(299)).await;
    let mut first = Offset(-1);
    for (log, last) in h.told.all() {
        match log {
            FIRST => first = last,
            _ => assert!(last <= first, "{last} of the second log is told of, the first is only told of up to {first}"),
        }
    }
}

async fn commits_are_told_in_order(h: Harness) {
    h.store.open(LOG, F0).await.expect("opens");
    h.store.open(OTHER, F0).await.expect("opens");
    for number in 0..200 {
        put(&*h.store, LOG, number, number, 0, 30).await;
        put(&*h.store, OTHER, number, number, 0, 30).await;
    }
    for log in [LOG, OTHER] {
        h.told.wait(log, Offset(199)).await;
        assert!(h.told.of(log).is_sorted(), "log {log}: {:?}", h.told.of(log));
    }
}

async fn time_finds_the_first_batch_that_reaches_it(h: Harness) {
    h.store.open(LOG, F0).await.expect("opens");
    assert_eq!(h.store.at_time(LOG, Offset(0), Timestamp(0)).await.expect("an empty log"), None);
    assert_eq!(h.store.max_time(LOG).await.expect("an empty log"), None);
    // Timestamps of producers are not in order.
    for (number, time) in [50, 20, 90, 90, 10, 70, -1].into_iter().enumerate() {
        let first = i64::try_from(number).expect("small") * 10;
        h.put(LOG, first, first + 9, time, 100).await;
    }
    let expected = [(0, Some(0)), (50, Some(0)), (51, Some(20)), (90, Some(20)), (91, None)];
    for (time, offset) in expected {
        let found = h.store.at_time(LOG, Offset(0), Timestamp(time)).await.expect("found");
        assert_eq!(found, offset.map(Offset), "time {time}");
    }
    // Behind a larger one; a batch that ends at or behind the offset counts.
    for (from, time, offset) in [(39, 60, Some(30)), (40, 60, Some(50)), (55, 60, Some(50)), (60, 60, None), (40, 5, Some(40))] {
        let found = h.store.at_time(LOG, Offset(from), Timestamp(time)).await.expect("found");
        assert_eq!(found, offset.map(Offset), "time {time} from {from} on");
    }
    assert_eq!(h.store.max_time(LOG).await.expect("found"), Some((Offset(20), Timestamp(90))));
}

async fn times_of_trimmed_batches_do_not_count(h: Harness) {
    h.store.open(LOG, F0).await.expect("opens");
    for (number, time) in [1_000, 20, 40, 30].into_iter().enumerate() {
        let first = i64::try_from(number).expect("small") * 10;
        h.put(LOG, first, first + 9, time, 100).await;
    }
    h.store.trim(LOG, F0, Offset(10)).await.expect("trims");
    assert_eq!(h.store.max_time(LOG).await.expect("found"), Some((Offset(20), Timestamp(40))));
    assert_eq!(h.store.at_time(LOG, Offset(0), Timestamp(30)).await.expect("found"), Some(Offset(20)));
    assert_eq!(h.store.at_time(LOG, Offset(0), Timestamp(41)).await.expect("found"), None);
}

async fn kept_bytes_are_whole_batches_and_never_fewer(h: Harness) {
    h.store.open(LOG, F0).await.expect("opens");
    for bytes in [0, 10] {
        assert_eq!(h.store.keep_bytes(LOG, bytes).await.expect("an empty log"), Offset(0));
    }
    for number in 0..10 {
        h.put(LOG, number * 10, number * 10 + 9, 0, 100).await;
    }
    assert_eq!(h.store.size(LOG), 1_000);
    let expected =
        [(0, 100), (1, 90), (99, 90), (100, 90), (101, 80), (199, 80), (200, 80), (900, 10), (901, 0), (1_000, 0), (5_000, 0)];
    for (bytes, offset) in expected {
        assert_eq!(h.store.keep_bytes(LOG, bytes).await.expect("found"), Offset(offset), "{bytes} bytes");
    }
    h.store.trim(LOG, F0, Offset(55)).await.expect("trims");
    assert_eq!(h.store.size(LOG), 500);
    // The first batch reaches over the start, and counts whole.
    for (bytes, offset) in [(5_000, 55), (500, 55), (401, 55), (400, 60), (300, 70), (0, 100)] {
        assert_eq!(h.store.keep_bytes(LOG, bytes).await.expect("found"), Offset(offset), "{bytes} bytes of the trimmed log");
    }
    h.store.trim(LOG, F0, Offset(100)).await.expect("trims");
    for bytes in [0, 10] {
        assert_eq!(h.store.keep_bytes(LOG, bytes).await.expect("an emptied log"), Offset(100));
    }
    h.put(LOG, 100, 109, 0, 100).await;
    for (bytes, offset) in [(0, 110), (1, 100), (100, 100), (101, 100)] {
        assert_eq!(h.store.keep_bytes(LOG, bytes).await.expect("found"), Offset(offset), "{bytes} bytes of what came later");
    }
}

async fn trim_never_goes_back(h: Harness) {
    ten_by_ten(&h, 5).await;
    h.store.trim(LOG, F0, Offset(25)).await.expect("trims");
    h.store.trim(LOG, F0, Offset(10)).await.expect("a start that is lower already is no error");
    assert_eq!(firsts(LOG, &h.read(LOG, 0, END, ALL).await), [20, 30, 40]);
    let bounds = h.store.open(LOG, F0).await.expect("opens");
    assert_eq!((bounds.start, bounds.next, bounds.bytes), (Offset(25), Offset(50), 102 + 103 + 104));
    // The log goes on.
    h.put(LOG, 50, 59, 0, 10).await;
    assert_eq!(firsts(LOG, &h.read(LOG, 0, END, ALL).await), [20, 30, 40, 50]);
}

async fn trim_to_the_end_keeps_the_next_offset(h: Harness) {
    ten_by_ten(&h, 3).await;
    h.store.trim(LOG, F0, Offset(30)).await.expect("trims");
    assert_eq!(h.read(LOG, 0, END, ALL).await, []);
    assert_eq!(h.store.size(LOG), 0);
    let h = h.reopen().await;
    let bounds = h.store.open(LOG, F0).await.expect("opens");
    assert_eq!((bounds.start, bounds.next, bounds.bytes), (Offset(30), Offset(30), 0));
    h.put(LOG, 30, 31, 0, 77).await;
    assert_eq!(firsts(LOG, &h.read(LOG, 0, END, ALL).await), [30]);
    assert_eq!(h.store.size(LOG), 77);
}

async fn deleted_logs_are_gone_for_good(h: Harness) {
    const NEVER_OPENED: LogId = LogId(77);
    let deleted = [LOG, LogId(71), LogId(72), NEVER_OPENED];
    ten_by_ten(&h, 3).await;
    for log in &deleted[1..3] {
        h.store.open(*log, F0).await.expect("opens");
        h.put(*log, 0, 9, 0, 10).await;
    }
    h.store.put_snapshot(LOG, Offset(10), Bytes::from_static(b"x")).await.expect("kept");
    h.store.delete(deleted.to_vec()).await.expect("deletes");
    h.store.delete(deleted.to_vec()).await.expect("what is deleted already is no error");
    for log in deleted {
        assert!(matches!(h.store.read(log, Offset(0), END, ALL).await, Err(StoreError::UnknownLog(unknown)) if unknown == log));
        assert!(matches!(h.store.open(log, F0).await, Err(StoreError::UnknownLog(unknown)) if unknown == log));
    }
    // A batch that was on its way is dropped, and harms nobody else.
    put(&*h.store, LOG, 30, 39, 0, 10).await;
    h.store.open(OTHER, F0).await.expect("opens");
    h.put(OTHER, 0, 9, 0, 10).await;
    let h = h.reopen().await;
    for log in deleted {
        // By now the store may have forgotten that there was such a log; what it held does not come back.
        match h.store.open(log, F0).await {
            Err(error) => assert!(matches!(error, StoreError::UnknownLog(unknown) if unknown == log), "{error}"),
            Ok(bounds) => assert_eq!(bounds, LogBounds::default()),
        }
    }
    h.store.open(OTHER, F0).await.expect("opens");
    assert_eq!(firsts(OTHER, &h.read(OTHER, 0, END, ALL).await), [0]);
}

async fn newest_snapshot_wins(h: Harness) {
    ten_by_ten(&h, 2).await;
    assert_eq!(h.store.get_snapshot(LOG).await.expect("none yet"), None);
    for (at, value) in [(5, "five"), (12, "twelve")] {
        h.store.put_snapshot(LOG, Offset(at), Bytes::from(value)).await.expect("kept");
    }
    let newest = Some((Offset(12), Bytes::from_static(b"twelve")));
    assert_eq!(h.store.get_snapshot(LOG).await.expect("kept"), newest);
    let h = h.reopen().await;
    h.store.open(LOG, F0).await.expect("opens");
    assert_eq!(h.store.get_snapshot(LOG).await.expect("kept"), newest);
}

async fn reopened_store_shows_the_same(h: Harness) {
    ten_by_ten(&h, 20).await;
    h.store.trim(LOG, F0, Offset(40)).await.expect("trims");
    h.store.open(OTHER, F0).await.expect("opens");
    let revision = h.meta.commit(vec![], vec![set("a", "1")]).await.expect("commits");
    let read = h.read(LOG, 0, END, ALL).await;
    // Queued when the store is closed: committed by the close.
    put(&*h.store, OTHER, 0, 3, 0, 1_000).await;

    let h = h.reopen().await;
    let bounds = h.store.open(LOG, F0).await.expect("opens");
    assert_eq!((bounds.start, bounds.next), (Offset(40), Offset(200)));
    assert_eq!(bounds.bytes, read.iter().map(|batch| batch.bytes.len() as u64).sum::<u64>());
    assert_eq!(h.read(LOG, 0, END, ALL).await, read);
    assert_eq!(h.store.open(OTHER, F0).await.expect("opens").next, Offset(4));
    assert_eq!(firsts(OTHER, &h.read(OTHER, 0, END, ALL).await), [0]);
    assert_eq!(h.meta.range("").await.expect("read"), [entry("a", "1", revision)]);

    h.put(LOG, 200, 200, 0, 5).await;
    let h = h.reopen().await;
    assert_eq!(h.store.open(LOG, F0).await.expect("opens").next, Offset(201));
}

async fn open_both(h: &Harness) {
    h.store.open(LOG, F0).await.expect("opens");
    h.store.open(OTHER, F0).await.expect("opens");
}

async fn marked_appends_are_found_by_their_marks_after_a_restart_too(mut h: Harness) {
    open_both(&h).await;
    let mark = |id: u128| Mark { id, made: Timestamp(1000), expires: Timestamp(i64::MAX), note: 7 };
    let marked =
        |log: LogId, first: i64, id: Option<u128>| Append { mark: id.map(mark), ..append_of(log, F0, first, first + 1, 5, 300) };
    for append in [marked(LOG, 0, Some(1)), marked(OTHER, 0, None), marked(LOG, 2, Some(u128::MAX)), marked(OTHER, 2, Some(3))] {
        let permit = h.store.reserve(300).await.expect("there is room");
        h.store.append(permit, append);
    }
    for is_reopened in [false, true] {
        if is_reopened {
            h = h.reopen().await;
            open_both(&h).await;
        } else {
            h.told.wait(LOG, Offset(3)).await;
            h.told.wait(OTHER, Offset(3)).await;
        }
        let found = |id| h.store.find_mark(id).expect("looked up").map(|one| (one.log, one.first, one.last, one.mark));
        assert_eq!(found(1), Some((LOG, Offset(0), Offset(1), mark(1))), "reopened: {is_reopened}");
        assert_eq!(found(u128::MAX), Some((LOG, Offset(2), Offset(3), mark(u128::MAX))));
        assert_eq!(found(3), Some((OTHER, Offset(2), Offset(3), mark(3))));
        assert_eq!(found(2), None);
        assert_eq!(firsts(LOG, &h.read(LOG, 0, END, ALL).await), [0, 2]);
    }
    h.store.trim(LOG, F0, Offset(4)).await.expect("trimmed");
    assert!(h.store.find_mark(1).expect("looked up").is_some(), "the batch is gone, but what became of it is known");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_failure_loses_only_what_was_not_told() {
    let store = FaultyStore::holding();
    let told = Arc::new(Told::default());
    store.listen(Arc::clone(&told) as Arc<dyn CommitListener>);
    store.open(LOG, F0).await.expect("opens");
    for number in 0..5 {
        put(&*store, LOG, number, number, 0, 10).await;
    }
    assert_eq!((store.held(), told.of(LOG)), (5, vec![]));
    store.release(2);
    told.wait(LOG, Offset(1)).await;
    let after = store.crash();
    assert!(matches!(store.reserve(1).await, Err(StoreError::Closed)));
    assert_eq!(after.open(LOG, F0).await.expect("opens").next, Offset(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_write_is_told_and_nothing_is_acknowledged_after_it() {
    let store = FaultyStore::holding();
    let told = Arc::new(Told::default());
    store.listen(Arc::clone(&told) as Arc<dyn CommitListener>);
    store.open(LOG, F0).await.expect("opens");
    put(&*store, LOG, 0, 0, 0, 10).await;
    store.fail(StoreError::Io("the disk is gone".into()));
    store.release_all();
    assert!(matches!(told.failure(), Some(StoreError::Io(_))));
    assert_eq!(told.of(LOG), []);
    assert!(matches!(store.reserve(1).await, Err(StoreError::Closed)));
}
