//! Reclaim: a thread that removes the keys of what was trimmed or deleted, and gives the space of dead batches back.
//!
//! ```text
//! trim, delete --> keys removed and counted dead, piece by piece --> segment without living bytes --> spare file (or unlinked)
//! segment left --> keys flushed
//! start, keys removed, segment left --> segment with few living bytes --> these are queued again (`moves.rs`) --> segment without …
//! ```
//! * Keys are looked for only from where the last removal ended (`reclaimed`): a seek across a long run of deleted keys collapses.
//! * Before a segment is given away the keys are flushed, so that a replay never needs it; and it must lie below what the journal's state
//!   in the index calls durable, because a replay starts there.
//! * Flushing after each segment bounds the work of the next open to about one segment.
//! * A move keeps log and offsets; the committer enters it only if the entry still points to the old place.
//! * While the disk is full moves go on, into the segment that is kept for them (`preparer.rs`): each that they empty makes room for them, and what
//!   was dead in it makes room for the others. Then, and when it is nearly full, they begin only what they can end.
//! * Rows of deleted logs go with the sweep at the open, but only those from before it: what was written of a log since may still be replayed,
//!   and who deletes a log is promised that it stays deleted.
//!
//! Bound: one item of work per log, and, until the sweep has ended, the ids of the logs that were deleted since the open. After a crash nothing
//! is lost: rows say what must go, and [`Worker::sweep`] compares them. So a close waits for one piece, however much is still to be removed.

use super::index::Index;
use super::segment::{Afterwards, Retired, segment_path};
use super::{Shared, lock};
use crate::ids::{LogId, Offset};
use crate::store::StoreError;
use crate::tasks;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

mod moves;

/// Keys removed at a time; commits wait meanwhile, for one piece.
const PIECE: usize = 512;
/// What there is to do.
pub(super) struct Reclaim {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    /// Keys of batches that end below this offset are to be removed.
    below: HashMap<LogId, Offset>,
    /// Logs whose deletion began since the open; `None` once the sweep has ended, which alone must know them.
    deleted_since_open: Option<HashSet<LogId>>,
    is_segment_left: bool,
    /// There may be something to move.
    is_look_due: bool,
    is_closed: bool,
}

impl Reclaim {
    /// For a store that is being opened: the sweep is still to come.
    pub fn new() -> Reclaim {
        let state = State { deleted_since_open: Some(HashSet::new()), ..State::default() };
        Reclaim { state: Mutex::new(state), wake: Condvar::new() }
    }

    /// Has the keys of `log` below `end` removed.
    pub fn remove_below(&self, log: LogId, end: Offset) {
        let mut state = lock(&self.state);
        let below = state.below.entry(log).or_insert(end);
        *below = end.max(*below);
        self.wake.notify_one();
    }

    /// Says that these logs are about to be deleted: called before any of their rows says so.
    pub fn note_deletion(&self, logs: &[LogId]) {
        if let Some(deleted) = &mut lock(&self.state).deleted_since_open {
            deleted.extend(logs);
        }
    }

    fn is_deleted_since_open(&self, log: LogId) -> bool {
        lock(&self.state).deleted_since_open.as_ref().is_some_and(|deleted| deleted.contains(&log))
    }

    fn sweep_ended(&self) {
        lock(&self.state).deleted_since_open = None;
    }

    /// Has all keys of these deleted logs removed.
    pub fn remove_logs(&self, logs: &[LogId]) {
        let mut state = lock(&self.state);
        state.below.extend(logs.iter().map(|log| (*log, Offset(i64::MAX))));
        self.wake.notify_one();
    }

    /// Says that the committer went on to another segment.
    pub fn segment_left(&self) {
        lock(&self.state).is_segment_left = true;
        self.wake.notify_one();
    }

    /// Says that moves may be possible that were not, or that they are needed now.
    pub fn look(&self) {
        lock(&self.state).is_look_due = true;
        self.wake.notify_one();
    }

    pub fn close(&self) {
        lock(&self.state).is_closed = true;
        self.wake.notify_all();
    }

    fn is_closed(&self) -> bool {
        lock(&self.state).is_closed
    }

    /// Whether something is to be removed.
    fn is_asked(&self) -> bool {
        !lock(&self.state).below.is_empty()
    }

    /// Whether a segment was left since this was asked last.
    fn take_segment_left(&self) -> bool {
        std::mem::take(&mut lock(&self.state).is_segment_left)
    }

    /// Waits for work: what is to be removed, nothing where only a segment was left, or a look is due. `None` at close.
    fn next(&self) -> Option<HashMap<LogId, Offset>> {
        let mut state = lock(&self.state);
        loop {
            if state.is_closed {
                return None;
            }
            let is_look_due = std::mem::take(&mut state.is_look_due);
            if is_look_due || state.is_segment_left || !state.below.is_empty() {
                return Some(std::mem::take(&mut state.below));
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Starts the thread; it ends at close, or after the first failure.
pub(super) fn start(shared: &Arc<Shared>, index: &Arc<Index>) -> JoinHandle<()> {
    let mut worker = Worker {
        shared: Arc::clone(shared),
        index: Arc::clone(index),
        unmovable: HashSet::new(),
        unanswered: None,
        costs: HashMap::new(),
    };
    tasks::thread("fbf-reclaim", move || {
        if let Err(error) = worker.run() {
            worker.shared.fail(error);
        }
    })
}

/// What rows from before the open say.
#[derive(Default)]
struct Leftovers {
    /// With the new start.
    trimmed: Vec<(LogId, Offset)>,
    deleted: Vec<LogId>,
}

struct Worker {
    shared: Arc<Shared>,
    index: Arc<Index>,
    /// Segments that could not be emptied: not tried again before the next open.
    unmovable: HashSet<u64>,
    /// Of moves that wait behind a full disk: until they are committed, the index says that their batches lie where they did, and nothing else is moved.
    unanswered: Option<mpsc::Receiver<()>>,
    /// What moving a segment takes, with the bytes that lived in it when that was counted.
    costs: HashMap<u64, (u64, u64)>,
}

impl Worker {
    fn run(&mut self) -> Result<(), StoreError> {
        self.sweep()?;
        self.free_empty()?;
        // Who was ended by a full disk begins with less.
        self.move_mostly_dead()?;
        while let Some(below) = self.shared.reclaim.next() {
            for (log, end) in below {
                if self.shared.reclaim.is_closed() {
                    return Ok(());
                }
                self.remove_keys(log, end)?;
            }
            self.flush_after_segment()?;
            self.move_mostly_dead()?;
            self.free_empty()?;
        }
        Ok(())
    }

    /// Flushes the keys if a segment was left: that bounds what the next open has to replay.
    fn flush_after_segment(&self) -> Result<(), StoreError> {
        if self.shared.reclaim.take_segment_left() {
            self.shared.sync_left_segments()?;
            self.index.flush()?;
        }
        Ok(())
    }

    /// Finds what was trimmed or deleted but not removed before the last crash or close.
    fn sweep(&self) -> Result<(), StoreError> {
        let Leftovers { trimmed, deleted } = self.leftovers()?;
        for (log, start) in trimmed {
            if self.shared.reclaim.is_closed() {
                return Ok(());
            }
            if self.index.reclaimed(log)? < start {
                self.remove_keys(log, start)?;
            }
        }
        for log in &deleted {
            self.remove_keys(*log, Offset(i64::MAX))?;
            // Looked at behind it: keys may be left then, and without its row nobody would know of them.
            if self.shared.reclaim.is_closed() {
                return Ok(());
            }
        }
        if !deleted.is_empty() {
            // All of the journal from before this process is in the index then: no replay can bring these logs back.
            self.index.flush()?;
        }
        deleted.into_iter().try_for_each(|log| self.forget(log))?;
        self.shared.reclaim.sweep_ended();
        Ok(())
    }

    /// Reads what the sweep has to do.
    fn leftovers(&self) -> Result<Leftovers, StoreError> {
        let mut found = Leftovers::default();
        self.index.all_rows(|log, row| {
            if row.is_deleted {
                found.deleted.push(log);
            } else if row.start > Offset(0) {
                found.trimmed.push((log, row.start));
            }
            Ok(())
        })?;
        // After the walk: a deletion is noted before it puts its row, so that what the walk met and is not from before the open is noted by now.
        // Not even the keys of these may go: their rows may not be on disk yet.
        found.deleted.retain(|log| !self.shared.reclaim.is_deleted_since_open(*log));
        Ok(found)
    }

    /// Forgets a log that was deleted before the open, unless it was deleted again since: then its row stays until the next open.
    fn forget(&self, log: LogId) -> Result<(), StoreError> {
        // A deletion takes this lock after it is noted: either it is seen here, or it puts the row anew behind this.
        let _row = self.shared.row_lock(log);
        if self.shared.reclaim.is_deleted_since_open(log) {
            return Ok(());
        }
        self.index.forget_log(log)
    }

    /// Removes the keys of `log` that end below `end`, and counts their batches dead. A close breaks that off: then `reclaimed` says how far it
    /// got, and the log's row, which stays until the next open, how far it has to go on.
    fn remove_keys(&self, log: LogId, end: Offset) -> Result<(), StoreError> {
        let mut from = self.index.reclaimed(log)?;
        while from < end && !self.shared.reclaim.is_closed() {
            from = self.remove_piece(log, from, end)?;
            self.flush_after_segment()?;
            // Behind the last piece, too: the next log's comes at once.
            self.shared.accounts.let_others();
        }
        Ok(())
    }

    /// Removes at most [`PIECE`] keys; answers where to go on, or `end` when nothing is left.
    fn remove_piece(&self, log: LogId, from: Offset, end: Offset) -> Result<Offset, StoreError> {
        let mut accounts = self.shared.accounts.lock();
        let mut cursor = self.index.cursor(log, from);
        let mut dead: BTreeMap<u64, u64> = BTreeMap::new();
        let mut lasts = Vec::new();
        let mut next = cursor.seek(from)?;
        while let Some(located) = next
            && located.last < end
            && lasts.len() < PIECE
        {
            lasts.push(located.last);
            *dead.entry(located.entry.place.seq).or_default() += u64::from(located.entry.length);
            next = cursor.advance()?;
        }
        let mut changes = self.index.changes();
        changes.delete_run(log, &lasts);
        let reached = match lasts.last() {
            Some(last) if lasts.len() == PIECE => last.next(),
            _ => end,
        };
        if reached == Offset(i64::MAX) {
            changes.forget_reclaimed(log);
        } else {
            changes.put_reclaimed(log, reached);
        }
        let removed: u64 = dead.values().sum();
        for (seq, bytes) in dead {
            changes.put_dead(seq, accounts.bury(seq, bytes));
        }
        let holes = self.index.holes(log)?.map(|holes| holes.without(removed));
        match holes {
            Some(holes) if reached < Offset(i64::MAX) => changes.put_holes(log, holes),
            Some(_) => changes.forget_holes(log),
            None => {}
        }
        changes.apply()?;
        if let Some(state) = lock(&self.shared.ledger).logs.get_mut(&log) {
            state.holes = holes;
        }
        Ok(reached)
    }

    /// Gives away the segments in which nothing lives.
    fn free_empty(&self) -> Result<(), StoreError> {
        let sizes = self.shared.segments.sizes();
        let accounts = self.shared.accounts.lock();
        // A replay starts in the segment of the durable position.
        let needed = accounts.state.end.seq.min(accounts.state.durable.seq);
        let is_empty = |seq: u64| accounts.segments.get(&seq).is_none_or(|account| account.live() == 0);
        let empty: Vec<(u64, u64)> = sizes.into_iter().filter(|(seq, _)| *seq < needed && is_empty(*seq)).collect();
        drop(accounts);
        if empty.is_empty() {
            return Ok(());
        }
        self.index.flush()?;
        for (seq, bytes) in empty {
            self.free(seq, bytes)?;
        }
        Ok(())
    }

    fn free(&self, seq: u64, bytes: u64) -> Result<(), StoreError> {
        let mut accounts = self.shared.accounts.lock();
        accounts.segments.remove(&seq);
        let mut changes = self.index.changes();
        changes.forget_segment(seq);
        changes.apply()?;
        drop(accounts);
        let path = segment_path(self.shared.segments.dir(), seq);
        let io_error = |error: std::io::Error| StoreError::Io(format!("{}: {error}", path.display()));
        let preparer = &self.shared.preparer;
        let has_right_size = bytes == self.shared.options.segment_bytes;
        let is_wanted = has_right_size && preparer.has_place(self.shared.segments.dir(), bytes);
        let afterwards = if is_wanted { Afterwards::Spare } else { Afterwards::Nothing };
        if let Retired::Spare(spare) = self.shared.segments.retire(seq, afterwards).map_err(io_error)? {
            preparer.offer(spare);
        }
        tracing::debug!(seq, "a journal segment is free");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    //! Goal: the sweep at the open forgets the logs that were deleted before it, and never one that is deleted while it runs, or whose keys are not
    //! all gone. Method: it is done by hand, in steps, on a store whose own sweep is over.

    use super::*;
    use crate::ids::Fence;
    use crate::store::contract::{Told, append_of};
    use crate::store::local::{LocalOptions, LocalStore, MIB};
    use crate::store::{CommitListener, LogStore};
    use std::path::Path;
    use std::time::Duration;
    use tempfile::TempDir;

    const OLD: LogId = LogId(1);
    const NEW: LogId = LogId(2);

    fn open(dir: &Path) -> Arc<LocalStore> {
        let options = LocalOptions { segment_bytes: MIB, zero_ahead: false, ..LocalOptions::new(dir) };
        let store = LocalStore::open(options).expect("the store opens");
        wait_for_its_own_sweep(&store.shared);
        store
    }

    fn wait_for_its_own_sweep(shared: &Shared) {
        for _ in 0..20_000 {
            if lock(&shared.reclaim.state).deleted_since_open.is_none() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("the sweep of a small store: not within 20 seconds");
    }

    fn worker_of(store: &LocalStore) -> Worker {
        let shared = Arc::clone(&store.shared);
        let index = shared.index().expect("the store is open");
        Worker { shared, index, unmovable: HashSet::new(), unanswered: None, costs: HashMap::new() }
    }

    /// As after an open. The store's index closes with the store only when nobody else has it: the worker goes first.
    struct Unswept {
        worker: Worker,
        _store: Arc<LocalStore>,
        _dir: TempDir,
    }

    impl Unswept {
        /// With two logs, of which `OLD` was deleted before the open.
        fn open() -> Unswept {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let store = open(dir.path());
            let found = Unswept { worker: worker_of(&store), _store: store, _dir: dir };
            for log in [OLD, NEW] {
                found.worker.shared.open_log(log, Fence(0)).expect("opens");
            }
            found.delete(OLD);
            lock(&found.worker.shared.reclaim.state).deleted_since_open = Some(HashSet::new());
            found
        }

        fn delete(&self, log: LogId) {
            self.worker.shared.delete_logs(&[log]).expect("deletes");
        }

        fn expect_deleted(&self, log: LogId) {
            let answer = self.worker.shared.open_log(log, Fence(0)).map(drop);
            assert!(matches!(answer, Err(StoreError::UnknownLog(unknown)) if unknown == log), "{log}: {answer:?}");
        }

        fn expect_forgotten(&self, log: LogId) {
            assert_eq!(self.worker.index.row(log).expect("looked up"), None, "{log}");
        }
    }

    #[test]
    fn sweep_forgets_only_what_was_deleted_before_the_open() {
        let store = Unswept::open();
        store.delete(NEW);
        assert_eq!(store.worker.leftovers().expect("rows are read").deleted, [OLD]);
        store.worker.sweep().expect("sweeps");
        store.expect_deleted(NEW);
        store.expect_forgotten(OLD);
        store.worker.shared.open_log(OLD, Fence(0)).expect("opens as one that never was");
        assert_eq!(lock(&store.worker.shared.reclaim.state).deleted_since_open, None, "nothing more is noted");
    }

    #[test]
    fn log_deleted_again_while_the_sweep_runs_stays_deleted() {
        let store = Unswept::open();
        assert_eq!(store.worker.leftovers().expect("rows are read").deleted, [OLD]);
        store.delete(OLD);
        store.worker.forget(OLD).expect("nothing is to be forgotten");
        store.expect_deleted(OLD);
    }

    #[test]
    fn log_deleted_again_behind_the_sweep_is_deleted() {
        let store = Unswept::open();
        store.worker.forget(OLD).expect("forgotten");
        store.expect_forgotten(OLD);
        store.delete(OLD);
        store.expect_deleted(OLD);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn removal_that_a_close_breaks_off_forgets_nothing_and_the_next_open_ends_it() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = open(dir.path());
        let told = Arc::new(Told::default());
        store.listen(Arc::clone(&told) as Arc<dyn CommitListener>);
        store.open(OLD, Fence(0)).await.expect("opens");
        let count = i64::try_from(3 * PIECE).expect("small");
        for first in 0..count {
            let permit = store.reserve(20).await.expect("room");
            store.append(permit, append_of(OLD, Fence(0), first, first, first, 20));
        }
        told.wait(OLD, Offset(count - 1)).await;
        // Ends the store's own thread, so that what follows is done here alone.
        store.shared.reclaim.close();
        store.delete(vec![OLD]).await.expect("deletes");
        lock(&store.shared.reclaim.state).deleted_since_open = Some(HashSet::new());
        let worker = worker_of(&store);
        // A close that comes behind the first piece.
        let end = Offset(i64::MAX);
        let reached = worker.remove_piece(OLD, Offset(0), end).expect("removes");
        worker.remove_keys(OLD, end).expect("is broken off");
        worker.sweep().expect("is broken off");
        assert_eq!(worker.index.reclaimed(OLD).expect("looked up"), reached);
        assert!(worker.index.cursor(OLD, reached).seek(reached).expect("seeks").is_some(), "keys are left");
        assert!(worker.index.row(OLD).expect("looked up").is_some_and(|row| row.is_deleted));
        drop(worker);
        store.close().await.expect("closes");
        drop(store);

        let store = open(dir.path());
        let index = store.shared.index().expect("the store is open");
        assert_eq!(index.cursor(OLD, Offset(0)).seek(Offset(0)).expect("seeks"), None);
        assert_eq!(index.row(OLD).expect("looked up"), None);
    }
}
