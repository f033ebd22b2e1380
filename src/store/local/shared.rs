//! What the store's threads and its callers share, and what callers do to a log's row: open, trim, delete.
//!
//! Every field says who changes it; locks are held for microseconds but where it says otherwise. Rows of one log are changed under one of
//! [`ROW_LOCKS`] locks, held across the sync: changes of one log never overtake each other, those of different logs sync together.

use super::accounts::SharedAccounts;
use super::index::Index;
use super::ledger::{Ledger, LogState};
use super::preparer::{Preparer, Usage};
use super::queue::Queue;
use super::reclaim::Reclaim;
use super::rows::{Durability, Row};
use super::segment::{Position, Segments};
use super::{LocalOptions, lock};
use crate::env::Env;
use crate::ids::{Fence, LogId, Offset};
use crate::store::{CommitListener, LogBounds, StoreError};
use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use tokio::sync::Semaphore;

/// Locks for rows of logs.
pub(super) const ROW_LOCKS: usize = 16;

/// What the store's threads and its callers share.
pub(super) struct Shared {
    pub options: LocalOptions,
    pub env: Env,
    /// Gone after close.
    pub index: RwLock<Option<Arc<Index>>>,
    pub segments: Segments,
    pub ledger: Mutex<Ledger>,
    pub accounts: SharedAccounts,
    /// Up to here the journal is known to be on disk; only used when not every commit is synced.
    pub durable: Mutex<Position>,
    /// Segments that were left before they were synced, oldest first, with the end of their last commit.
    pub unsynced: Mutex<Vec<(Position, Arc<File>)>>,
    pub queue: Queue,
    pub preparer: Preparer,
    pub reclaim: Reclaim,
    /// Moves of reclaim that were dropped because their batch was replaced or moved meanwhile.
    pub stale_moves: AtomicU64,
    /// The committer waits for room on the disk, and with it whoever waits for a commit, but for moves.
    pub is_disk_full: AtomicBool,
    /// The disk has not even room for moves.
    pub are_moves_waiting: AtomicBool,
    /// The process ends: nobody waits for room any more.
    pub is_stopping: AtomicBool,
    pub listener: OnceLock<Arc<dyn CommitListener>>,
    pub room: Arc<Semaphore>,
    pub reads: Arc<Semaphore>,
    /// The first failure; nothing is trusted after it.
    pub failure: OnceLock<StoreError>,
    pub rows: [Mutex<()>; ROW_LOCKS],
    pub meta: Mutex<()>,
}

impl Shared {
    /// The index, while the store is open.
    pub fn index(&self) -> Result<Arc<Index>, StoreError> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(StoreError::Closed)
    }

    /// Notes the first failure, tells the listener (once, but for one that begins to listen right now), and lets nothing through any more.
    pub fn fail(&self, error: StoreError) {
        if self.failure.set(error.clone()).is_err() {
            return;
        }
        tracing::error!(%error, dir = %self.options.dir.display(), "the store cannot write any more");
        self.room.close();
        self.queue.abandon();
        if let Some(listener) = self.listener.get() {
            listener.failed(error);
        }
    }

    /// Whether the disk has the segment that is kept for moves.
    pub fn has_reserve(&self) -> bool {
        self.preparer.has_room(self.segments.dir(), self.options.segment_bytes, Usage::Moves)
    }

    /// Held by whoever changes the row of `log`.
    pub fn row_lock(&self, log: LogId) -> MutexGuard<'_, ()> {
        let number = usize::try_from(log.0 % ROW_LOCKS as u64).unwrap_or(0);
        lock(&self.rows[number])
    }

    /// Puts on disk what is written to segments that were left, and notes how far that reaches.
    pub fn sync_left_segments(&self) -> Result<(), StoreError> {
        // Held meanwhile, so that nobody takes "empty" for "synced".
        let mut unsynced = lock(&self.unsynced);
        if let Some(error) = self.failure.get() {
            return Err(error.clone());
        }
        for (end, file) in unsynced.iter() {
            // The kernel tells of a failure once: whoever syncs next would hear that all is well. So the store ends here, before the lock is free.
            file.sync_data().map_err(|error| {
                let error = StoreError::Io(format!("journal: {error}"));
                self.fail(error.clone());
                error
            })?;
            let mut durable = lock(&self.durable);
            *durable = (*end).max(*durable);
        }
        unsynced.clear();
        Ok(())
    }

    /// Opens `log` and looks up its bounds, unless it is open already. Blocks for two seeks, and for a sync when the fence is newer.
    pub fn open_log(&self, log: LogId, fence: Fence) -> Result<Opened, StoreError> {
        let index = self.index()?;
        let _row = self.row_lock(log);
        let row = index.row(log)?;
        let known = row.unwrap_or_default();
        if known.is_deleted {
            return Err(StoreError::UnknownLog(log));
        }
        if fence < known.fence {
            return Err(StoreError::Fenced { log, held: fence, newest: known.fence });
        }
        if row.is_none() || fence > known.fence {
            let durability = if fence > known.fence { Durability::Synced } else { Durability::Eventual };
            index.put_row(log, &Row { fence, ..known }, durability)?;
        }
        if let Some(state) = lock(&self.ledger).logs.get_mut(&log) {
            state.fence = state.fence.max(fence);
            return Ok(Opened::Again);
        }
        // Held so that nobody changes the count of its bytes in between.
        let accounts = self.accounts.lock();
        let state = LogState::load(&index, log, known.start, fence)?;
        // A power failure may take batches that a kept snapshot was made of: others will come at their offsets.
        if index.snapshot(log)?.is_some_and(|(at, _)| at > state.bounds().next) {
            index.forget_snapshot(log)?;
        }
        lock(&self.ledger).logs.insert(log, state);
        drop(accounts);
        Ok(Opened::First(state.bounds()))
    }

    /// Moves the start of `log` forward, durably. Blocks for a sync.
    pub fn trim_log(&self, log: LogId, fence: Fence, start: Offset) -> Result<(), StoreError> {
        let index = self.index()?;
        let _row = self.row_lock(log);
        let before = *lock(&self.ledger).fenced(log, fence)?;
        if start <= before.start {
            return Ok(());
        }
        let row = Row { start, fence: before.fence, is_deleted: false };
        index.put_row(log, &row, Durability::Synced)?;
        let look = || index.cursor(log, before.start).seek(start);
        let (mut first, mut accounts) = (look()?, None);
        // One that is there is the first whatever comes. Where none is, the ledger must have no batch that the look does not find.
        if first.is_none() {
            accounts = Some(self.accounts.lock());
            first = look()?;
        }
        if let Some(state) = lock(&self.ledger).logs.get_mut(&log) {
            state.start = start;
            // Without a batch at or after the new start, all that is there is gone.
            state.total_before_start =
                first.map_or(state.total, |first| first.entry.total.saturating_sub(u64::from(first.entry.length)));
        }
        drop(accounts);
        self.reclaim.remove_below(log, start);
        Ok(())
    }

    /// Removes `logs`, durably. Blocks for one sync, whatever their number.
    pub fn delete_logs(&self, logs: &[LogId]) -> Result<(), StoreError> {
        let index = self.index()?;
        // First: the reclaim thread must never meet one of these rows and take it for one from before the open.
        self.reclaim.note_deletion(logs);
        for log in logs {
            let _row = self.row_lock(*log);
            let known = index.row(*log)?.unwrap_or_default();
            // The lock need not wait for the sync: nothing changes the row of a deleted log.
            index.put_row(*log, &Row { is_deleted: true, ..known }, Durability::Eventual)?;
            // Behind its row, so that it is not gone alone after a power failure.
            index.drop_snapshot(*log)?;
            lock(&self.ledger).logs.remove(log);
        }
        index.sync_rows()?;
        // Only now: keys must not go before it is certain that their log does.
        self.reclaim.remove_logs(logs);
        Ok(())
    }
}

/// What `open_log` found.
pub(super) enum Opened {
    First(LogBounds),
    Again,
}
