//! What is gathered before it is written: who sees it, what becomes of it, and how a walk goes on from what is written to it.

use super::super::lock;
use super::super::segment::Position;
use super::gathered::GATHERED_MAX;
use super::{Cursor, Entry, Index, JournalState, Located, RANGES_MAX, SKIPPED_MAX};
use crate::env::Env;
use crate::ids::{LogId, Offset, Timestamp};
use crate::store::StoreError;
use rocksdb::WriteBatch;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;

const LOG: LogId = LogId(7);

fn open(dir: &Path) -> Index {
    Index::open(dir, &Env::system()).expect("opens")
}

fn entry(at: u64) -> Entry {
    Entry {
        place: Position { seq: 1, at },
        length: 1,
        first: Offset(0),
        max_timestamp: Timestamp(0),
        running_max: Timestamp(0),
        total: 1,
    }
}

fn state(last: i64) -> JournalState {
    JournalState { end: Position { seq: 1, at: last.cast_unsigned() }, ..JournalState::default() }
}

/// An index with nothing in it, and the directory that goes with it.
fn fresh() -> (TempDir, Index) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let index = open(dir.path());
    (dir, index)
}

/// Adds a batch of `log`; the state tells which was the last one.
fn add(index: &Index, log: LogId, last: i64) {
    let mut changes = index.changes();
    changes.add_entry(log, Offset(last), &entry(0));
    changes.put_state(&state(last));
    changes.apply().expect("applies");
}

#[test]
fn whoever_looks_sees_what_is_gathered_and_only_of_its_log() {
    let (_dir, index) = fresh();
    add(&index, LOG, 3);
    add(&index, LogId(8), 4);
    assert_eq!(index.state().expect("looks"), Some(state(4)));
    assert!(index.entry(LOG, Offset(3)).expect("looks").is_some());
    assert!(index.entry(LOG, Offset(4)).expect("looks").is_none());
    for mut cursor in [index.cursor(LOG, Offset(0)), index.cursor_in_memory(LOG, Offset(0))] {
        assert_eq!(cursor.newest().expect("seeks").map(|located| located.last), Some(Offset(3)));
    }
    assert_eq!(index.cursor(LOG, Offset(4)).seek(Offset(0)).expect("seeks"), None, "below where it starts");
    assert_eq!(index.waiting(), 2, "nobody who looks writes");
    let mut all = Vec::new();
    let visit = |log, located: Located| {
        all.push((log, located.last));
        Ok(())
    };
    index.all_entries(visit).expect("walks");
    assert_eq!(all, [(LOG, Offset(3)), (LogId(8), Offset(4))]);
}

#[test]
fn a_flush_takes_what_is_gathered_along() {
    let (dir, index) = fresh();
    add(&index, LOG, 3);
    index.flush().expect("flushes");
    assert_eq!(index.waiting(), 0);
    drop(index);
    let index = open(dir.path());
    assert_eq!(index.state().expect("looks"), Some(state(3)));
    assert!(index.entry(LOG, Offset(3)).expect("looks").is_some());
}

/// What is left is a prefix, with the state that goes with it: a replay brings the rest.
#[test]
fn what_is_gathered_goes_with_the_process() {
    let (dir, index) = fresh();
    let written = i64::try_from(GATHERED_MAX).expect("a small number");
    (0..=written + 2).for_each(|last| add(&index, LOG, last));
    assert_eq!(index.waiting(), 2, "those before are written, since they were too many");
    // RocksDB puts on disk what it has when it is closed.
    drop(index);
    let index = open(dir.path());
    assert_eq!(index.state().expect("looks"), Some(state(written)));
    let newest = index.cursor(LOG, Offset(0)).newest().expect("seeks").expect("there are some");
    assert_eq!(newest.last, Offset(written));
}

#[test]
fn many_are_written_when_asked_for_and_few_are_not() {
    let (_dir, index) = fresh();
    for last in 0..20 {
        add(&index, LOG, last);
    }
    index.write_many_gathered().expect("has nothing to write");
    assert_eq!(index.waiting(), 20);
    for last in 20..40 {
        add(&index, LOG, last);
    }
    index.write_many_gathered().expect("writes");
    assert_eq!(index.waiting(), 0);
    assert_eq!(index.state().expect("looks"), Some(state(39)));
}

/// Else a batch that was moved would be where it was, or one that was removed would be back.
#[test]
fn other_changes_go_behind_what_is_gathered() {
    let (_dir, index) = fresh();
    add(&index, LOG, 3);
    add(&index, LOG, 4);
    let mut changes = index.changes();
    changes.delete_entry(LOG, Offset(3));
    changes.put_entry(LOG, Offset(4), &entry(9));
    changes.apply().expect("applies");
    index.flush().expect("flushes");
    assert_eq!(index.entry(LOG, Offset(3)).expect("looks"), None);
    assert_eq!(index.entry(LOG, Offset(4)).expect("looks"), Some(entry(9)));
    assert_eq!(index.state().expect("looks"), Some(state(4)));
}

#[test]
fn changes_are_applied_in_their_order() {
    let (_dir, index) = fresh();
    let mut changes = index.changes();
    changes.add_entry(LOG, Offset(3), &entry(1));
    changes.add_entry(LOG, Offset(4), &entry(1));
    changes.delete_entry(LOG, Offset(3));
    changes.delete_entry(LOG, Offset(4));
    changes.add_entry(LOG, Offset(4), &entry(2));
    changes.put_state(&state(4));
    changes.apply().expect("applies");
    assert_eq!(index.waiting(), 0);
    assert_eq!(index.entry(LOG, Offset(3)).expect("looks"), None);
    assert_eq!(index.entry(LOG, Offset(4)).expect("looks"), Some(entry(2)));
    assert_eq!(index.state().expect("looks"), Some(state(4)));
}

#[test]
fn a_large_commit_is_written_at_once_behind_what_is_gathered() {
    let (_dir, index) = fresh();
    add(&index, LOG, 0);
    let mut changes = index.changes();
    (1..=100).for_each(|last| changes.add_entry(LOG, Offset(last), &entry(0)));
    changes.put_state(&state(100));
    changes.apply().expect("applies");
    assert_eq!(index.waiting(), 0);
    assert_eq!(index.state().expect("looks"), Some(state(100)));
    let mut cursor = index.cursor(LOG, Offset(0));
    assert_eq!(cursor.seek(Offset(0)).expect("seeks").map(|located| located.last), Some(Offset(0)));
    assert_eq!(cursor.newest().expect("seeks").map(|located| located.last), Some(Offset(100)));
}

/// Writing is not done under the lock of what is gathered.
#[test]
fn what_is_added_while_others_are_written_stays() {
    let (_dir, index) = fresh();
    add(&index, LOG, 0);
    let written = lock(&index.gathered).put_into(&mut WriteBatch::default(), &index);
    add(&index, LOG, 1);
    lock(&index.gathered).take_away(&written);
    assert_eq!(index.waiting(), 1);
    assert!(index.entry(LOG, Offset(1)).expect("looks").is_some());
    assert_eq!(index.state().expect("looks"), Some(state(1)));
}

#[test]
fn who_looks_while_entries_are_added_and_written_misses_none() {
    const COUNT: i64 = 20_000;
    let (_dir, index) = fresh();
    let known = AtomicI64::new(-1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for last in 0..COUNT {
                add(&index, LOG, last);
                known.store(last, Ordering::Release);
                if last % 7 == 0 {
                    index.write_many_gathered().expect("writes");
                }
            }
        });
        scope.spawn(|| {
            while known.load(Ordering::Acquire) < COUNT - 1 {
                index.write_gathered().expect("writes");
            }
        });
        loop {
            let known = known.load(Ordering::Acquire);
            let from = (known - 100).max(0);
            let mut cursor = index.cursor(LOG, Offset(from));
            let mut expected = from;
            let mut next = cursor.seek(Offset(from)).expect("seeks");
            while let Some(located) = next {
                assert_eq!(located.last.0, expected);
                expected += 1;
                next = cursor.advance().expect("walks");
            }
            assert!(expected > known, "{known} was added, and {expected} is not there");
            assert!(known < 0 || index.entry(LOG, Offset(known)).expect("looks").is_some(), "{known}");
            if known == COUNT - 1 {
                break;
            }
        }
    });
}

/// What was trimmed may still be written.
#[test]
fn a_walk_back_ends_where_it_was_to_begin() {
    let (_dir, index) = fresh();
    add(&index, LOG, 1);
    index.write_gathered().expect("writes");
    add(&index, LOG, 5);
    let mut cursor = index.cursor(LOG, Offset(2));
    assert_eq!(cursor.newest().expect("seeks").map(|located| located.last), Some(Offset(5)));
    assert_eq!(cursor.back().expect("walks"), None);
}

/// Deleted keys lie in front of what a log has left, each of which an iterator that begins before them passes over.
#[test]
fn who_begins_where_a_log_was_trimmed_to_meets_no_deleted_keys() {
    let (_dir, index) = fresh();
    let count = i64::try_from(3 * SKIPPED_MAX).expect("few");
    (0..count + 2).for_each(|last| add(&index, LOG, last));
    let mut changes = index.changes();
    (0..count).for_each(|last| changes.delete_entry(LOG, Offset(last)));
    changes.apply().expect("applies");
    let mut cursor = index.cursor_in_memory(LOG, Offset(count));
    let last = |located: Result<Option<Located>, StoreError>| located.expect("passes over few").map(|located| located.last.0);
    assert_eq!(last(cursor.seek(Offset(count))), Some(count));
    assert_eq!(last(cursor.newest()), Some(count + 1));
    assert_eq!(last(cursor.back()), Some(count));
    assert_eq!(last(cursor.back()), None);
    index.cursor_in_memory(LOG, Offset(0)).seek(Offset(0)).expect_err("passes over all of them");
}

/// A cursor begins with a look at what is gathered, of which some may be written before it looks there.
#[test]
fn a_cursor_walks_over_what_is_written_and_gathered_as_if_it_were_one() {
    let lasts: Vec<i64> = vec![0, 4, 5, 9, 12];
    for written in 0..=lasts.len() {
        for also_gathered in 0..=written {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let index = open(dir.path());
            lasts[..written - also_gathered].iter().for_each(|last| add(&index, LOG, *last));
            index.write_gathered().expect("writes");
            lasts[written - also_gathered..written].iter().for_each(|last| add(&index, LOG, *last));
            let early = lock(&index.gathered).of(LOG, Offset(0));
            index.write_gathered().expect("writes");
            // Of another log, which must not be met.
            add(&index, LogId(8), 7);
            lasts[written..].iter().for_each(|last| add(&index, LOG, *last));
            let mut cursor = index.cursor(LOG, Offset(0));
            cursor.gathered.splice(..0, early);
            let case = format!("{written} are written, {also_gathered} of them are seen twice");
            check_walks(&mut cursor, &lasts, &case);
        }
    }
}

fn check_walks(cursor: &mut Cursor<'_>, lasts: &[i64], case: &str) {
    let last = |located: Option<Located>| located.map(|located| located.last.0);
    for from in 0..=13 {
        let expected: Vec<i64> = lasts.iter().copied().filter(|last| *last >= from).collect();
        let mut seen = Vec::new();
        let mut next = last(cursor.seek(Offset(from)).expect("seeks"));
        while let Some(found) = next {
            seen.push(found);
            next = last(cursor.advance().expect("walks"));
        }
        assert_eq!(seen, expected, "{case}: from {from}");
        // Back from where a seek leads.
        let mut found = last(cursor.seek(Offset(from)).expect("seeks"));
        let highest = found;
        let mut expected = lasts.iter().copied().filter(|last| Some(*last) <= highest).rev();
        while let Some(current) = found {
            assert_eq!(Some(current), expected.next(), "{case}: back from {from}");
            found = last(cursor.back().expect("walks"));
        }
        assert_eq!(expected.next(), None, "{case}: back from {from}");
    }
    assert_eq!(last(cursor.newest().expect("seeks")), lasts.last().copied(), "{case}");
    assert_eq!(last(cursor.back().expect("walks")), Some(9), "{case}");
    assert_eq!(last(cursor.advance().expect("walks")), Some(12), "{case}");
    assert_eq!(last(cursor.advance().expect("walks")), None, "{case}");
}

/// Each deletion of a range has RocksDB sort all others that it still has in memory, under the lock that every commit waits for: ten thousand took seconds.
#[test]
fn deleted_ranges_do_not_gather_in_memory() {
    const RUNS: i64 = 3 * RANGES_MAX as i64;
    const RUN: i64 = 64;
    let (_dir, index) = fresh();
    let mut changes = index.changes();
    (0..RUNS * RUN).for_each(|last| changes.add_entry(LOG, Offset(last), &entry(0)));
    changes.apply().expect("applies");
    for run in 0..RUNS {
        let mut changes = index.changes();
        changes.delete_run(LOG, &(run * RUN..(run + 1) * RUN).map(Offset).collect::<Vec<_>>());
        changes.apply().expect("applies");
    }
    let files = || index.db.property_int_value_cf(index.family(), "rocksdb.num-files-at-level0").expect("a property");
    let compacted = || index.db.property_int_value_cf(index.family(), "rocksdb.num-running-compactions").expect("a property");
    // In the background. All of it is far less than a memtable otherwise holds.
    let is_written = || {
        std::thread::sleep(std::time::Duration::from_millis(10));
        files() > Some(0) || compacted() > Some(0)
    };
    assert!((0..6000).any(|_| is_written()), "nothing was written to a file");
    assert!(index.cursor(LOG, Offset(0)).seek(Offset(0)).expect("seeks").is_none());
}
