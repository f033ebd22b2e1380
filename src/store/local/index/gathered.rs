//! New entries that wait for more, so that many commits are one write to RocksDB.
//!
//! Such a write costs far more than what is in it, and a commit of one batch is one entry. So new entries are kept here until they are
//! [`GATHERED_MAX`], or something else is written behind them, or flushed. Who looks for a log's entries looks here, too, and does not write: a
//! write may wait for another one's sync. The newest entries of each log are here, in order, and all others in RocksDB: what is not a new entry,
//! behind all others of its log, is not gathered.
//!
//! They may be lost with the process, as what is in a memtable may: the journal has them, and a replay starts at the state that went with
//! the last ones that were written.
//!
//! Owner: whoever holds the lock of the accounts adds (see `accounts.rs`); whoever holds [`Index::writing`] takes away. Order of locks:
//! accounts, ledger, writing, gathered.

use super::super::lock;
use super::{Entry, Index, JournalState, Located, STATE_KEY, entry_key, index_error};
use crate::ids::{LogId, Offset};
use crate::store::StoreError;
use rocksdb::WriteBatch;
use std::sync::MutexGuard;

/// Who adds beyond this has them written. A look for entries passes over these in some 50 ns.
pub(super) const GATHERED_MAX: usize = 64;

/// New entries, in order, and how far the index has followed the journal with them.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub entries: Vec<(LogId, Located)>,
    pub state: Option<JournalState>,
    /// How many were taken away so far.
    pub taken_away: u64,
}

/// What of [`Gathered`] is being written.
pub(super) struct Written {
    count: usize,
    state: Option<JournalState>,
}

impl Gathered {
    /// The entries of `log` that end at `start` or behind.
    pub fn of(&self, log: LogId, start: Offset) -> Vec<Located> {
        let is_wanted = |(owner, located): &&(LogId, Located)| *owner == log && located.last >= start;
        self.entries.iter().filter(is_wanted).map(|(_, located)| *located).collect()
    }

    /// The entry of the batch that ends at `last`.
    pub fn entry(&self, log: LogId, last: Offset) -> Option<Entry> {
        let found = self.entries.iter().find(|(owner, located)| *owner == log && located.last == last);
        found.map(|(_, located)| located.entry)
    }

    /// Adds all of `newer`.
    pub fn add(&mut self, newer: &mut Gathered) {
        self.entries.append(&mut newer.entries);
        self.state = newer.state.or(self.state);
    }

    /// Puts all of it into `batch`; what it answers is taken away once that is written.
    pub fn put_into(&self, batch: &mut WriteBatch, index: &Index) -> Written {
        for (log, Located { last, entry }) in &self.entries {
            batch.put_cf(index.family(), entry_key(*log, *last), entry.encode());
        }
        if let Some(state) = &self.state {
            batch.put_cf(index.family(), STATE_KEY, state.encode());
        }
        Written { count: self.entries.len(), state: self.state }
    }

    /// Takes away what was written, but not what was added since.
    pub fn take_away(&mut self, written: &Written) {
        self.entries.drain(..written.count);
        self.taken_away += written.count as u64;
        if self.state == written.state {
            self.state = None;
        }
    }
}

impl Index {
    /// Writes what is gathered, if it is much: for whoever has time, so that who adds need not.
    pub fn write_many_gathered(&self) -> Result<(), StoreError> {
        let is_much = lock(&self.gathered).entries.len() > GATHERED_MAX / 2;
        if is_much { self.write_gathered() } else { Ok(()) }
    }

    /// Writes what is gathered. Waits for other writes, and where RocksDB has fallen behind.
    pub(super) fn write_gathered(&self) -> Result<(), StoreError> {
        self.writing_behind_gathered().map(drop)
    }

    /// The same; what its caller writes while it holds the answer comes behind it.
    pub(super) fn writing_behind_gathered(&self) -> Result<MutexGuard<'_, ()>, StoreError> {
        let writing = lock(&self.writing);
        let mut batch = WriteBatch::default();
        let written = lock(&self.gathered).put_into(&mut batch, self);
        if !batch.is_empty() {
            self.db.write_opt(batch, &self.unlogged).map_err(index_error)?;
            // Only now, so that they are always somewhere.
            lock(&self.gathered).take_away(&written);
        }
        Ok(writing)
    }

    /// How many entries wait.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        lock(&self.gathered).entries.len()
    }
}
