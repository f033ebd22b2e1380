//! Changes to the index that become visible, and reach disk, together.

use super::super::lock;
use super::super::segment::Position;
use super::gathered::{GATHERED_MAX, Gathered};
use super::{Entry, Holes, Index, JournalState, Located, STATE_KEY, encode_mark, entry_key, index_error, mark_key, number_key};
use crate::ids::{LogId, Offset};
use crate::store::{Marked, StoreError};
use rocksdb::WriteBatch;

/// From this many on, one range deletion is cheaper for later seeks than one deletion each.
const RANGE_MIN: usize = 64;

/// See above.
pub(in super::super) struct Changes<'a> {
    index: &'a Index,
    /// All of them, while they are nothing but new entries and a state.
    new: Gathered,
    /// All of them, once there is another one.
    batch: Option<WriteBatch>,
}

impl<'a> Changes<'a> {
    pub(super) fn new(index: &'a Index) -> Changes<'a> {
        Changes { index, new: Gathered::default(), batch: None }
    }

    fn batch(&mut self) -> &mut WriteBatch {
        self.batch.get_or_insert_with(|| {
            let mut batch = WriteBatch::default();
            std::mem::take(&mut self.new).put_into(&mut batch, self.index);
            batch
        })
    }

    fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let family = self.index.family();
        self.batch().put_cf(family, key, value);
    }

    fn delete(&mut self, key: impl AsRef<[u8]>) {
        let family = self.index.family();
        self.batch().delete_cf(family, key);
    }

    /// Puts the entry of a batch behind all others of its log.
    pub fn add_entry(&mut self, log: LogId, last: Offset, entry: &Entry) {
        if self.batch.is_some() {
            self.put_entry(log, last, entry);
        } else {
            self.new.entries.push((log, Located { last, entry: *entry }));
        }
    }

    /// Puts an entry that may take the place of one.
    pub fn put_entry(&mut self, log: LogId, last: Offset, entry: &Entry) {
        self.put(entry_key(log, last), entry.encode());
    }

    pub fn delete_entry(&mut self, log: LogId, last: Offset) {
        self.delete(entry_key(log, last));
    }

    /// Deletes the entries that end at `lasts`, which are neighbours, in order.
    pub fn delete_run(&mut self, log: LogId, lasts: &[Offset]) {
        match (lasts.first(), lasts.last()) {
            (Some(first), Some(last)) if lasts.len() >= RANGE_MIN => self.delete_entries(log, *first, last.next()),
            _ => lasts.iter().for_each(|last| self.delete_entry(log, *last)),
        }
    }

    /// Deletes the entries of `log` whose last offset is in `[first, end)`.
    fn delete_entries(&mut self, log: LogId, first: Offset, end: Offset) {
        let family = self.index.family();
        self.batch().delete_range_cf(family, entry_key(log, first), entry_key(log, end));
    }

    pub fn put_state(&mut self, state: &JournalState) {
        if self.batch.is_some() {
            self.put(STATE_KEY, state.encode());
        } else {
            self.new.state = Some(*state);
        }
    }

    pub fn put_mark(&mut self, marked: &Marked, place: Position) {
        self.put(mark_key(marked.mark.id), encode_mark(marked, place));
    }

    pub(super) fn delete_mark(&mut self, id: u128) {
        self.delete(mark_key(id));
    }

    pub fn put_written(&mut self, seq: u64, bytes: u64) {
        self.put(number_key(b'w', seq), bytes.to_le_bytes());
    }

    pub fn put_dead(&mut self, seq: u64, bytes: u64) {
        self.put(number_key(b'd', seq), bytes.to_le_bytes());
    }

    pub fn forget_segment(&mut self, seq: u64) {
        self.delete(number_key(b'w', seq));
        self.delete(number_key(b'd', seq));
    }

    pub fn put_reclaimed(&mut self, log: LogId, below: Offset) {
        self.put(number_key(b'r', log.0), below.0.to_le_bytes());
    }

    pub fn put_holes(&mut self, log: LogId, holes: Holes) {
        let mut bytes = [0u8; 16];
        bytes[..8].copy_from_slice(&holes.live.to_le_bytes());
        bytes[8..].copy_from_slice(&holes.at_total.to_le_bytes());
        self.put(number_key(b'h', log.0), bytes);
    }

    pub fn forget_holes(&mut self, log: LogId) {
        self.delete(number_key(b'h', log.0));
    }

    pub fn forget_reclaimed(&mut self, log: LogId) {
        self.delete(number_key(b'r', log.0));
    }

    /// Applies them, behind all that came before; on disk only after a flush. New entries may wait for more in memory, where whoever looks sees them.
    pub fn apply(mut self) -> Result<(), StoreError> {
        // More at once have no need to wait.
        if self.new.entries.len() > GATHERED_MAX {
            self.batch();
        }
        if let Some(batch) = self.batch {
            let _writing = self.index.writing_behind_gathered()?;
            return self.index.db.write_opt(batch, &self.index.unlogged).map_err(index_error);
        }
        let is_full = {
            let mut gathered = lock(&self.index.gathered);
            gathered.add(&mut self.new);
            gathered.entries.len() > GATHERED_MAX
        };
        if is_full { self.index.write_gathered() } else { Ok(()) }
    }
}
