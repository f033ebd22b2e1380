//! What only the embedded store does: crashes, damage, recycling. What every store does is in `store/contract.rs`.
//!
//! A crash is a copy of the directory, taken while the store is open but its threads have stopped: what a killed process leaves, with the
//! index not flushed.

use super::OnDamage;
use super::index::Index;
use super::journal::{self, CommitHeader, Record, RecordKind, SegmentReader};
use super::segment::{
    self, Access, Afterwards, Position, Retired, SEGMENT_HEADER_BYTES, Segment, Segments, segment_path, spare_path,
};
use super::{LocalOptions, LocalStore, MIB, OpenError, SyncPolicy, lock};
use crate::env::Env;
use crate::ids::{Fence, LogId, Offset, Timestamp};
use crate::span::{FileSpan, Span};
use crate::store::contract::{Told, append_of, firsts, put};
use crate::store::{Append, CommitListener, LogStore, Mark, MetaChange, MetaStore, StoreError, SuffixChecksum};
use bytes::Bytes;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use tempfile::TempDir;

mod lending;
mod locating;
mod replacement;

const LOG: LogId = LogId(1);
const FILLER: LogId = LogId(2);
const F0: Fence = Fence(0);
const ALL: usize = usize::MAX;
const END: Offset = Offset(i64::MAX);

fn options(dir: &Path) -> LocalOptions {
    LocalOptions { segment_bytes: MIB, zero_ahead: false, ..LocalOptions::new(dir) }
}

fn open(options: LocalOptions) -> (Arc<LocalStore>, Arc<Told>) {
    let store = LocalStore::open(options).expect("the store opens");
    let told = Arc::new(Told::default());
    store.listen(Arc::clone(&told) as Arc<dyn CommitListener>);
    (store, told)
}

/// One batch of `length` bytes at `first`, in a commit of its own.
async fn put_one(store: &LocalStore, told: &Told, log: LogId, first: i64, length: usize) {
    put(store, log, first, first, first, length).await;
    told.wait(log, Offset(first)).await;
}

async fn read_firsts(store: &LocalStore, log: LogId) -> Vec<i64> {
    firsts(log, &store.read(log, Offset(0), END, ALL).await.expect("the log is read"))
}

/// Kills the store: answers the directory as it is found afterwards.
fn crash(store: Arc<LocalStore>) -> TempDir {
    let running = lock(&store.running).take().expect("the store runs");
    store.shared.queue.close();
    running.committer.join().expect("the committer ends");
    store.shared.reclaim.close();
    store.shared.preparer.close();
    running.reclaim.join().expect("reclaim ends");
    running.preparer.join().expect("the preparer ends");
    // Not `cancel_all_background_work`: it flushes what a crash would lose. What runs is waited for, and no file goes away meanwhile.
    let index = store.shared.index().expect("the index is open");
    index.db.disable_file_deletions().expect("the index is open");
    for running in ["rocksdb.num-running-flushes", "rocksdb.num-running-compactions"] {
        while index.db.property_int_value(running).expect("a property") != Some(0) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
    let copy = tempfile::tempdir().expect("a temporary directory");
    copy_dir(&store.shared.options.dir, copy.path());
    copy
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory is made");
    for item in std::fs::read_dir(from).expect("a directory is read") {
        let item = item.expect("a directory is read");
        let target = to.join(item.file_name());
        if item.file_type().expect("a type").is_dir() {
            copy_dir(&item.path(), &target);
        } else {
            std::fs::copy(item.path(), target).expect("a file is copied");
        }
    }
}

/// The commits of segment `seq`, in order.
fn commits(dir: &Path, seq: u64) -> Vec<CommitHeader> {
    let segment = Segment::open(&dir.join("journal"), seq, Access::Read).expect("the segment opens");
    let mut reader = SegmentReader::new(segment);
    let mut at = SEGMENT_HEADER_BYTES;
    let mut headers = Vec::new();
    while let Some(commit) = reader.commit_at(at).expect("the segment is read") {
        at = commit.header.end().at;
        headers.push(commit.header);
    }
    headers
}

/// Flips the last byte of `commit`.
fn garble(dir: &Path, commit: &CommitHeader) {
    let path = segment_path(&dir.join("journal"), commit.at.seq);
    let file = OpenOptions::new().read(true).write(true).open(path).expect("the segment opens");
    let at = commit.at.at + commit.total - 1;
    let mut byte = [0u8];
    file.read_exact_at(&mut byte, at).expect("a byte is read");
    file.write_all_at(&[byte[0] ^ 0xff], at).expect("a byte is written");
}

fn names(dir: &Path, kind: &str) -> Vec<String> {
    let list = std::fs::read_dir(dir.join("journal")).expect("the journal is listed");
    let mut names: Vec<String> = list
        .map(|item| item.expect("an item").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(kind))
        .collect();
    names.sort();
    names
}

/// Reclaim works in the background: waits until `holds`, or fails.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..20_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{what}: not within 20 seconds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_the_index_is_written_by_the_dozen_and_at_a_clean_close() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (store, told) = open(options(dir.path()));
    store.open(LOG, F0).await.expect("opens");
    let mut has_waited = false;
    for first in 0..100 {
        put_one(&store, &told, LOG, first, 10).await;
        let index = store.shared.index().expect("open");
        has_waited |= index.waiting() > 0;
        // The committer tells before it writes.
        eventually("many wait", || index.waiting() <= 32).await;
    }
    assert!(has_waited, "each commit was a write");
    store.close().await.expect("closes");
    drop(store);
    let index = Index::open(&dir.path().join("index"), &Env::system()).expect("opens");
    let state = index.state().expect("looks").expect("there is one");
    assert_eq!(index.take_clean_end().expect("looks"), Some(state.end));
    let newest = index.cursor(LOG, Offset(0)).newest().expect("seeks").expect("there are some");
    assert_eq!((newest.last, newest.entry.place < state.end), (Offset(99), true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_store_replays_its_journal() {
    // Goal: nothing that was told is lost, nothing that was removed comes back. Method: crash without a flush of the index, twice.
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (store, told) = open(options(dir.path()));
    for log in [LOG, FILLER] {
        store.open(log, F0).await.expect("opens");
        for first in 0..30 {
            put_one(&store, &told, log, first, 3_000).await;
        }
    }
    store.trim(LOG, F0, Offset(12)).await.expect("trims");
    store.delete(vec![FILLER]).await.expect("deletes");
    let change = MetaChange { key: "k".into(), value: Some(Bytes::from_static(b"v")) };
    store.commit(vec![], vec![change]).await.expect("commits");

    let dir = crash(store);
    let (store, told) = open(options(dir.path()));
    let bounds = store.open(LOG, F0).await.expect("opens");
    assert_eq!((bounds.start, bounds.next, bounds.bytes), (Offset(12), Offset(30), 18 * 3_000));
    assert_eq!(read_firsts(&store, LOG).await, (12..30).collect::<Vec<_>>());
    // Refused, or, once the sweep at the opening has forgotten the log altogether, new and empty.
    match store.open(FILLER, F0).await {
        Ok(bounds) => assert_eq!((bounds.next, bounds.bytes), (Offset(0), 0)),
        Err(error) => assert!(matches!(error, StoreError::UnknownLog(FILLER)), "{error}"),
    }
    assert_eq!(store.range("k").await.expect("read").len(), 1);
    put_one(&store, &told, LOG, 30, 10).await;

    let dir = crash(store);
    let (store, _) = open(options(dir.path()));
    assert_eq!(store.open(LOG, F0).await.expect("opens").next, Offset(31));
    assert_eq!(read_firsts(&store, LOG).await, (12..31).collect::<Vec<_>>());
    store.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torn_tail_is_cut_and_written_over() {
    for is_truncated in [false, true] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (store, told) = open(options(dir.path()));
        store.open(LOG, F0).await.expect("opens");
        for first in 0..10 {
            put_one(&store, &told, LOG, first, 2_000).await;
        }
        let dir = crash(store);
        let commits = commits(dir.path(), 1);
        let last = commits.last().expect("ten commits");
        if is_truncated {
            let path = segment_path(&dir.path().join("journal"), 1);
            let file = OpenOptions::new().write(true).open(path).expect("the segment opens");
            file.set_len(last.at.at + 700).expect("the segment is cut");
        } else {
            garble(dir.path(), last);
        }
        let (store, told) = open(options(dir.path()));
        assert_eq!(store.open(LOG, F0).await.expect("opens").next, Offset(9));
        assert_eq!(read_firsts(&store, LOG).await, (0..9).collect::<Vec<_>>());
        for first in 9..12 {
            put_one(&store, &told, LOG, first, 500).await;
        }
        let dir = crash(store);
        let (store, _) = open(options(dir.path()));
        assert_eq!(store.open(LOG, F0).await.expect("opens").next, Offset(12));
        assert_eq!(read_firsts(&store, LOG).await, (0..12).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_middle_is_refused_with_file_and_position() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (store, told) = open(options(dir.path()));
    store.open(LOG, F0).await.expect("opens");
    for first in 0..10 {
        put_one(&store, &told, LOG, first, 2_000).await;
    }
    let dir = crash(store);
    let damaged = commits(dir.path(), 1)[4];
    garble(dir.path(), &damaged);
    let error = LocalStore::open(options(dir.path())).err().expect("the store refuses");
    let path = segment_path(&dir.path().join("journal"), 1);
    assert!(
        matches!(&error, OpenError::Damaged { file, position, commits: 6, bytes, .. } if *file == path && *position == damaged.at.at && *bytes > 6 * 2_000),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(text.contains("fbf repair") && text.contains(&path.display().to_string()), "{text}");
    // It still refuses when asked again: nothing was cut.
    assert!(LocalStore::open(options(dir.path())).is_err());
    // Asked to give up what lies behind, it serves what lies before, and goes on there.
    let (store, told) = open(LocalOptions { on_damage: OnDamage::Cut, ..options(dir.path()) });
    assert_eq!(store.open(LOG, F0).await.expect("opens").next, Offset(4));
    put_one(&store, &told, LOG, 4, 2_000).await;
    assert_eq!(read_firsts(&store, LOG).await, (0..5).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_in_an_earlier_segment_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (store, told) = open(options(dir.path()));
    store.open(LOG, F0).await.expect("opens");
    for first in 0..3 {
        put_one(&store, &told, LOG, first, 400_000).await;
    }
    // Without an index everything is replayed from the first segment on.
    let dir = crash(store);
    std::fs::remove_dir_all(dir.path().join("index")).expect("the index is removed");
    let last_of_first = *commits(dir.path(), 1).last().expect("commits");
    garble(dir.path(), &last_of_first);
    let error = LocalStore::open(options(dir.path())).err().expect("the store refuses");
    assert!(matches!(error, OpenError::Damaged { position, .. } if position == last_of_first.at.at), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_index_is_rebuilt_from_the_journal() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (store, told) = open(options(dir.path()));
    store.open(LOG, F0).await.expect("opens");
    for first in 0..8 {
        put_one(&store, &told, LOG, first, 300_000).await;
    }
    let dir = crash(store);
    assert!(names(dir.path(), ".segment").len() >= 3, "the journal has several segments");
    std::fs::remove_dir_all(dir.path().join("index")).expect("the index is removed");
    let (store, _) = open(options(dir.path()));
    assert_eq!(store.open(LOG, F0).await.expect("opens").next, Offset(8));
    assert_eq!(read_firsts(&store, LOG).await, (0..8).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_failure_takes_keys_of_batches_that_were_not_synced() {
    // Goal: with `Os`, keys that reached disk before their batches do not point at nothing. Method: flush the keys, then lose a batch.
    let dir = tempfile::tempdir().expect("a temporary directory");
    let lazy = |dir: &Path| LocalOptions { sync: SyncPolicy::Os, ..options(dir) };
    let (store, told) = open(lazy(dir.path()));
    store.open(LOG, F0).await.expect("opens");
    for first in 0..10 {
        put_one(&store, &told, LOG, first, 2_000).await;
    }
    store.put_snapshot(LOG, Offset(9), Bytes::from_static(b"made of what is lost")).await.expect("kept");
    store.shared.index().expect("open").flush().expect("flushes");
    let dir = crash(store);
    garble(dir.path(), &commits(dir.path(), 1)[6]);
    let (store, told) = open(lazy(dir.path()));
    let bounds = store.open(LOG, F0).await.expect("opens");
    assert_eq!((bounds.next, bounds.bytes), (Offset(6), 6 * 2_000));
    assert_eq!(read_firsts(&store, LOG).await, (0..6).collect::<Vec<_>>());
    assert_eq!(store.get_snapshot(LOG).await.expect("read"), None);
    // Commits of the same size as those that were lost: none of the lost ones may be found behind them.
    put_one(&store, &told, LOG, 6, 2_000).await;
    let dir = crash(store);
    let (store, _) = open(lazy(dir.path()));
    assert_eq!(store.open(LOG, F0).await.expect("opens").next, Offset(7));
}

/// One marked batch at `first`, in a commit of its own.
async fn put_marked(store: &LocalStore, told: &Told, first: i64, expires: i64) {
    let permit = store.reserve(2_000).await.expect("there is room");
    let mark = Mark { id: first.cast_unsigned().into(), made: Timestamp(1), expires: Timestamp(expires), note: 0 };
    store.append(permit, Append { mark: Some(mark), ..append_of(LOG, F0, first, first, first, 2_000) });
    told.wait(LOG, Offset(first)).await;
}

fn marked(store: &LocalStore, ids: std::ops::Range<u128>) -> Vec<i64> {
    ids.filter_map(|id| store.find_mark(id).expect("looked up")).map(|one| one.first.0).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_come_back_with_the_journal_and_go_with_what_was_not_synced() {
    let lazy = |dir: &Path| LocalOptions { sync: SyncPolicy::Os, ..options(dir) };
    for is_flushed in [false, true] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (store, told) = open(lazy(dir.path()));
        store.open(LOG, F0).await.expect("opens");
        for first in 0..10 {
            put_marked(&store, &told, first, i64::MAX).await;
        }
        if is_flushed {
            store.shared.index().expect("open").flush().expect("flushes");
        }
        let dir = crash(store);
        if is_flushed {
            garble(dir.path(), &commits(dir.path(), 1)[6]);
        }
        let (store, _) = open(lazy(dir.path()));
        let kept = if is_flushed { 6 } else { 10 };
        assert_eq!(marked(&store, 0..12), (0..kept).collect::<Vec<_>>(), "flushed: {is_flushed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_of_trimmed_batches_come_back_with_the_journal() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (store, told) = open(options(dir.path()));
    store.open(LOG, F0).await.expect("opens");
    for first in 0..4 {
        put_marked(&store, &told, first, i64::MAX).await;
    }
    store.trim(LOG, F0, Offset(3)).await.expect("trimmed");
    let dir = crash(store);
    let (store, _) = open(options(dir.path()));
    assert_eq!(store.open(LOG, F0).await.expect("opens").start, Offset(3));
    assert_eq!(marked(&store, 0..5), [0, 1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_marks_leave_the_index() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (store, told) = open(options(dir.path()));
    store.open(LOG, F0).await.expect("opens");
    for first in 0..10 {
        put_marked(&store, &told, first, if first % 2 == 0 { 2 } else { i64::MAX }).await;
    }
    let index = store.shared.index().expect("open");
    index.flush().expect("flushes");
    index.compact().expect("compacts");
    assert_eq!(marked(&store, 0..10), [1, 3, 5, 7, 9]);
    assert_eq!(read_firsts(&store, LOG).await, (0..10).collect::<Vec<_>>(), "the batches stay");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recycled_segments_bound_the_disk_and_their_old_bytes_stay_dead() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (store, told) = open(options(dir.path()));
    store.open(LOG, F0).await.expect("opens");
    for first in 0..300 {
        put_one(&store, &told, LOG, first, 60_000).await;
        if first % 10 == 9 {
            store.trim(LOG, F0, Offset(first - 5)).await.expect("trims");
        }
    }
    // 17 MiB went through segments of 1 MiB.
    let path = dir.path().to_owned();
    eventually("dead segments are given away", || names(&path, ".segment").len() <= 5).await;
    assert!(names(&path, ".segment").iter().any(|name| name.as_str() > "0000000000000010"), "segments are numbered on");

    let dir = crash(store);
    let (store, told) = open(options(dir.path()));
    let bounds = store.open(LOG, F0).await.expect("opens");
    assert_eq!((bounds.start, bounds.next), (Offset(294), Offset(300)));
    assert_eq!(read_firsts(&store, LOG).await, (294..300).collect::<Vec<_>>());
    for first in 300..330 {
        put_one(&store, &told, LOG, first, 60_000).await;
    }
    assert_eq!(read_firsts(&store, LOG).await, (294..330).collect::<Vec<_>>());
    store.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_after_a_first_one_that_was_killed_takes_what_it_left() {
    // Between making the first segment's file and giving it its name.
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir_all(dir.path().join("journal")).expect("made");
    let left = File::create(spare_path(&dir.path().join("journal"), 1)).expect("made");
    left.set_len(MIB).expect("as long as a segment");
    let (store, told) = open(options(dir.path()));
    store.open(LOG, F0).await.expect("opens");
    put_one(&store, &told, LOG, 0, 1_000).await;
    assert_eq!(read_firsts(&store, LOG).await, [0]);
    store.close().await.expect("closes");
}

#[test]
fn a_retired_segment_never_takes_the_place_of_a_spare() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let spare = spare_path(dir.path(), 5);
    std::fs::write(&spare, b"used for another segment right now").expect("written");
    let segments = Segments::new(dir.path().to_owned());
    let segment = Segment::create(dir.path(), 5, MIB, 1, None, None).expect("made");
    std::fs::write(&spare, b"used for another segment right now").expect("written");
    segments.insert_open(&segment);
    drop(segment);
    let Retired::Spare(other) = segments.retire(5, Afterwards::Spare).expect("retired") else { panic!("nobody has it") };
    assert_ne!(other, spare);
    assert_eq!(std::fs::read(&spare).expect("there"), b"used for another segment right now");
    assert_eq!(segment::list(dir.path()).expect("listed").spares.len(), 2, "the next start finds both");
}

#[tokio::test]
async fn who_listens_after_a_failure_is_told_of_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = LocalStore::open(options(dir.path())).expect("the store opens");
    store.shared.fail(StoreError::Io("the device is gone".to_owned()));
    let told = Arc::new(Told::default());
    store.listen(Arc::clone(&told) as Arc<dyn CommitListener>);
    assert!(told.failure().is_some());
}

/// The places of what `log` holds, as far as they are in files.
async fn located(store: &LocalStore, log: LogId) -> Vec<FileSpan> {
    let stretches = store.locate(log, Offset(0), END, ALL).await.expect("located");
    let spans = stretches.into_iter().map(|stretch| match stretch.bytes {
        Span::File(span) => span,
        Span::Memory(_) => panic!("the journal is a file"),
    });
    spans.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_of_one_log_lie_behind_one_another_in_a_commit() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (store, told) = open(options(dir.path()));
    store.open(LOG, F0).await.expect("opens");
    store.open(FILLER, F0).await.expect("opens");
    let mut appends = Vec::new();
    for first in 0..400 {
        for log in [LOG, FILLER] {
            appends.push((store.reserve(1_000).await.expect("there is room"), append_of(log, F0, first, first, first, 1_000)));
        }
    }
    let held = lock(&store.shared.ledger);
    for (permit, append) in appends {
        // Those that the committer takes at once wait for the ledger; the others are one commit, or two where a segment ends.
        store.append(permit, append);
    }
    drop(held);
    for log in [LOG, FILLER] {
        told.wait(log, Offset(399)).await;
    }
    for log in [LOG, FILLER] {
        let spans = located(&store, log).await;
        assert!(spans.len() <= 3, "{} pieces", spans.len());
        assert_eq!(spans.iter().map(|span| span.length).sum::<usize>(), 400_000);
        assert_eq!(read_firsts(&store, log).await, (0..400).collect::<Vec<_>>());
    }
    let dir = crash(store);
    let (store, _) = open(options(dir.path()));
    for log in [LOG, FILLER] {
        store.open(log, F0).await.expect("opens");
        assert_eq!(read_firsts(&store, log).await, (0..400).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mostly_dead_segments_do_not_pin_the_disk() {
    // Goal: a small batch that is kept for ever in every segment does not keep the segments. Method: 20 segments, 20 such batches.
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (store, told) = open(options(dir.path()));
    store.open(LOG, F0).await.expect("opens");
    store.open(FILLER, F0).await.expect("opens");
    let mut filler = 0;
    for kept in 0..20 {
        put_one(&store, &told, LOG, kept, 1_000).await;
        for _ in 0..12 {
            put_one(&store, &told, FILLER, filler, 80_000).await;
            filler += 1;
        }
        store.trim(FILLER, F0, Offset(filler)).await.expect("trims");
    }
    let path = dir.path().to_owned();
    let mut next_kept = 20;
    for _ in 0..200 {
        if names(&path, ".segment").len() <= 8 {
            break;
        }
        // Victims are looked for when a segment is left.
        put_one(&store, &told, LOG, next_kept, 1_000).await;
        next_kept += 1;
        for _ in 0..12 {
            put_one(&store, &told, FILLER, filler, 80_000).await;
            filler += 1;
        }
        store.trim(FILLER, F0, Offset(filler)).await.expect("trims");
    }
    assert!(names(&path, ".segment").len() <= 8, "{:?}", names(&path, ".segment"));
    let expected: Vec<i64> = (0..next_kept).collect();
    assert_eq!(read_firsts(&store, LOG).await, expected);
    assert!(told.of(LOG).is_sorted(), "moves are not told");

    let dir = crash(store);
    let (store, _) = open(options(dir.path()));
    let bounds = store.open(LOG, F0).await.expect("opens");
    assert_eq!((bounds.next, bounds.bytes), (Offset(next_kept), 1_000 * u64::try_from(next_kept).expect("small")));
    assert_eq!(read_firsts(&store, LOG).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mostly_dead_segment_that_does_not_read_stays_and_stops_nothing() {
    // Method: as above; the first segment loses its header while the store runs, and gets it back for the last look.
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (store, told) = open(options(dir.path()));
    store.open(LOG, F0).await.expect("opens");
    store.open(FILLER, F0).await.expect("opens");
    put_one(&store, &told, LOG, 0, 1_000).await;
    let first = segment_path(&dir.path().join("journal"), 1);
    let file = OpenOptions::new().read(true).write(true).open(first).expect("the segment opens");
    let mut header = [0; 28];
    file.read_exact_at(&mut header, 0).expect("a header");
    file.write_all_at(&[0; 28], 0).expect("written");
    let mut filler = 0;
    for round in 1..200 {
        for _ in 0..12 {
            put_one(&store, &told, FILLER, filler, 80_000).await;
            filler += 1;
        }
        store.trim(FILLER, F0, Offset(filler)).await.expect("trims");
        put_one(&store, &told, LOG, round, 1_000).await;
        if round > 30 && names(dir.path(), ".segment").len() <= 8 {
            break;
        }
    }
    assert!(names(dir.path(), ".segment").len() <= 8, "others are given back: {:?}", names(dir.path(), ".segment"));
    assert!(names(dir.path(), ".segment").contains(&format!("{:016x}.segment", 1)), "what does not read stays");
    file.write_all_at(&header, 0).expect("written");
    assert_eq!(read_firsts(&store, LOG).await.first(), Some(&0));
    store.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_snapshot_takes_goes_with_its_log() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (store, _) = open(options(dir.path()));
    store.open(LOG, F0).await.expect("opens");
    store.put_snapshot(LOG, Offset(0), Bytes::from_static(b"large")).await.expect("kept");
    let index = store.shared.index().expect("open");
    assert!(index.snapshot(LOG).expect("read").is_some());
    store.delete(vec![LOG]).await.expect("deleted");
    assert!(index.snapshot(LOG).expect("read").is_none());
    drop(index);
    store.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_filled_with_zeros_ahead_are_used() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ahead = |dir: &Path| LocalOptions { zero_ahead: true, ..options(dir) };
    let (store, told) = open(ahead(dir.path()));
    store.open(LOG, F0).await.expect("opens");
    for first in 0..40 {
        put_one(&store, &told, LOG, first, 100_000).await;
    }
    let dir = crash(store);
    let (store, _) = open(ahead(dir.path()));
    store.open(LOG, F0).await.expect("opens");
    assert_eq!(read_firsts(&store, LOG).await, (0..40).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batch_larger_than_a_segment_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (store, told) = open(options(dir.path()));
    store.open(LOG, F0).await.expect("opens");
    let limit = store.shared.options.batch_bytes_max();
    assert!(matches!(store.reserve(limit + 1).await, Err(StoreError::TooLarge { limit: told, .. }) if told == limit));
    put_one(&store, &told, LOG, 0, limit).await;
    put_one(&store, &told, LOG, 1, limit).await;
    assert_eq!(read_firsts(&store, LOG).await, [0, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_pieces_make_one_commit() {
    // More batches than the kernel takes in one vectored write.
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (store, told) = open(options(dir.path()));
    store.open(LOG, F0).await.expect("opens");
    for first in 0..5_000 {
        let permit = store.reserve(20).await.expect("room");
        store.append(permit, append_of(LOG, F0, first, first, first, 20));
    }
    told.wait(LOG, Offset(4_999)).await;
    let dir = crash(store);
    let (store, _) = open(options(dir.path()));
    store.open(LOG, F0).await.expect("opens");
    assert_eq!(read_firsts(&store, LOG).await, (0..5_000).collect::<Vec<_>>());
}

#[test]
fn directory_is_locked_for_one_process() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = LocalStore::open(options(dir.path())).expect("opens");
    let error = LocalStore::open(options(dir.path())).err().expect("locked");
    assert_eq!(error, OpenError::Locked { dir: dir.path().to_owned() });
    assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
    drop(store);
    LocalStore::open(options(dir.path())).expect("opens again once the first is gone");
}

#[test]
fn directory_of_a_newer_format_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("VERSION"), "fbf data format 3\n").expect("written");
    let error = LocalStore::open(options(dir.path())).err().expect("refused");
    assert_eq!(error, OpenError::NewerFormat { dir: dir.path().to_owned(), found: 3, known: 2 });
    std::fs::write(dir.path().join("VERSION"), "something else").expect("written");
    let error = LocalStore::open(options(dir.path())).err().expect("refused");
    assert!(matches!(error, OpenError::Lost { .. }), "{error}");
}

/// What no cut mends does not send anybody to `fbf repair`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_that_is_gone_cannot_be_cut_away() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (store, told) = open(options(dir.path()));
    store.open(LOG, F0).await.expect("opens");
    for first in 0..6 {
        put_one(&store, &told, LOG, first, 400_000).await;
    }
    store.close().await.expect("closes");
    drop(store);
    let path = segment_path(&dir.path().join("journal"), 1);
    let header = std::fs::read(&path).expect("there");
    std::fs::remove_file(&path).expect("removed");
    for on_damage in [OnDamage::Refuse, OnDamage::Cut] {
        let error = LocalStore::open(LocalOptions { on_damage, ..options(dir.path()) }).err().expect("refused");
        assert!(matches!(&error, OpenError::Lost { file, .. } if *file == path), "{error:?}");
        assert!(error.to_string().contains("cannot mend"), "{error}");
    }
    std::fs::write(&path, header).expect("brought back");
    let (store, _told) = open(options(dir.path()));
    assert_eq!(store.open(LOG, F0).await.expect("opens").next, Offset(6));
}

#[test]
fn directory_that_cannot_be_made_names_itself() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("written");
    let error = LocalStore::open(options(&file.join("data"))).err().expect("refused");
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error}");
    assert!(error.to_string().contains("storage.path"), "{error}");
}

fn segment_of(file: std::fs::File) -> Segment {
    Segment { seq: 3, salt: 99, bytes: MIB, file: Arc::new(file) }
}

fn sample_commit() -> (Vec<u8>, CommitHeader) {
    let batch = Bytes::from(vec![5u8; 100]);
    let record = Record {
        log: LOG,
        fence: F0,
        first: Offset(4),
        last: Offset(6),
        max_timestamp: Timestamp(8),
        length: 100,
        checksum: SuffixChecksum { from: 21, crc: crc32c::crc32c(&batch[21..]) },
        kind: RecordKind::New,
        mark: None,
    };
    let mark = Some(Mark { id: 11, made: Timestamp(8), expires: Timestamp(9), note: 10 });
    let mut header = CommitHeader {
        at: Position { seq: 3, at: 4096 },
        salt: 99,
        previous: Position { seq: 2, at: 512 },
        durable: Position { seq: 2, at: 512 },
        total: 0,
        records: 0,
    };
    let mut bytes = Vec::new();
    let batches = [(record, &batch[..]), (Record { first: Offset(7), last: Offset(7), mark, ..record }, &batch[..])];
    journal::encode(&mut bytes, &mut header, batches.into_iter());
    bytes.extend_from_slice(&batch);
    bytes.extend_from_slice(&batch);
    (bytes, header)
}

#[test]
fn commit_reads_back_and_every_flipped_bit_is_noticed() {
    let segment = segment_of(tempfile::tempfile().expect("a file"));
    let (bytes, header) = sample_commit();
    assert_eq!(journal::peek(&bytes, &segment, 4096), Some(header));
    let found = journal::decode(&bytes, &header).expect("decodes");
    assert_eq!(found.iter().map(|found| found.record.first.0).collect::<Vec<_>>(), [4, 7]);
    assert_eq!(found.iter().map(|found| found.record.mark.map(|mark| mark.id)).collect::<Vec<_>>(), [None, Some(11)]);
    assert!(found.iter().all(|found| found.is_intact(&bytes)));

    // Another segment, another place, another life of the file.
    assert_eq!(journal::peek(&bytes, &segment, 8192), None);
    assert_eq!(journal::peek(&bytes, &Segment { salt: 98, ..segment.clone() }, 4096), None);
    assert_eq!(journal::peek(&bytes, &Segment { seq: 4, ..segment.clone() }, 4096), None);

    for bit in 0..bytes.len() * 8 {
        let mut garbled = bytes.clone();
        garbled[bit / 8] ^= 1 << (bit % 8);
        let is_whole = journal::peek(&garbled, &segment, 4096)
            .filter(|header| header.total == garbled.len() as u64)
            .and_then(|header| journal::decode(&garbled, &header))
            .is_some_and(|found| found.iter().all(|found| found.is_intact(&garbled)));
        assert!(!is_whole, "bit {bit} is not covered");
    }
}

#[test]
fn garbage_is_never_a_commit_and_never_a_panic() {
    let seed = 7;
    let env = Env::manual(Timestamp(0), seed);
    let segment = segment_of(tempfile::tempfile().expect("a file"));
    let (whole, header) = sample_commit();
    for round in 0..2_000 {
        let mut bytes = whole.clone();
        for _ in 0..=env.below(8) {
            let place = usize::try_from(env.below(bytes.len() as u64)).expect("small");
            bytes[place] = env.below(256).to_le_bytes()[0];
        }
        bytes.truncate(usize::try_from(env.below(bytes.len() as u64 + 1)).expect("small"));
        let claimed = journal::peek(&bytes, &segment, 4096).unwrap_or(header);
        if let Some(found) = journal::decode(&bytes, &claimed) {
            let is_changed = bytes != whole && found.iter().all(|found| found.is_intact(&bytes));
            assert!(!is_changed, "seed {seed}, round {round}");
        }
    }
}

/// Has the store's last owner go on the store's own thread.
struct LastOwner {
    store: Mutex<Option<Arc<LocalStore>>>,
    others_are_gone: Mutex<mpsc::Receiver<()>>,
}

impl CommitListener for LastOwner {
    fn committed(&self, _: LogId, _: Offset) {
        lock(&self.others_are_gone).recv().expect("they go");
        drop(lock(&self.store).take());
    }

    fn failed(&self, error: StoreError) {
        panic!("{error}");
    }
}

#[tokio::test]
async fn a_store_whose_last_owner_goes_on_its_own_thread_stops() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = LocalStore::open(options(dir.path())).expect("the store opens");
    let (gone, others_are_gone) = mpsc::channel();
    let (owner, others_are_gone) = (Mutex::new(Some(Arc::clone(&store))), Mutex::new(others_are_gone));
    store.listen(Arc::new(LastOwner { store: owner, others_are_gone }));
    store.open(LOG, F0).await.expect("the log opens");
    put(&*store, LOG, 0, 0, 0, 100).await;
    drop(store);
    gone.send(()).expect("it listens");
    let again = async {
        loop {
            match LocalStore::open(options(dir.path())) {
                Ok(store) => return store,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let again = tokio::time::timeout(Duration::from_secs(60), again).await.expect("the directory is given back");
    again.open(LOG, F0).await.expect("the log opens");
    assert_eq!(read_firsts(&again, LOG).await, [0]);
}
