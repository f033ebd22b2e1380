//! What exists: one row per log, one snapshot per log, and the mark of a clean close. In RocksDB's default column family, through its log.
//!
//! ```text
//! l log  -> start, fence, is deleted     synced when it changes something that was promised (trim, delete, a newer fence)
//! s log  -> at, value                    not synced by itself: a snapshot only saves replay
//! c      -> position                     the journal's end at a clean close; removed, synced, by the next open
//! ```
//! A log without a row exists all the same while the journal has batches of it: the row of a new log is not synced, because
//! an acknowledged batch must not depend on it. A deleted log therefore keeps its row (some 30 bytes) until the next open, which removes
//! it when nothing of the log can be replayed any more.

use super::fields::Fields;
use super::index::{Index, index_error};
use super::segment::Position;
use crate::ids::{Fence, LogId, Offset};
use crate::store::StoreError;
use bytes::Bytes;
use rocksdb::{ReadOptions, WriteBatch};

const CLEAN_KEY: &[u8] = b"c";

/// What is promised about a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Row {
    pub start: Offset,
    pub fence: Fence,
    pub is_deleted: bool,
}

/// Whether a row must be on disk when the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    Synced,
    Eventual,
}

impl Row {
    fn encode(&self) -> [u8; 17] {
        let mut bytes = [0u8; 17];
        bytes[..8].copy_from_slice(&self.start.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.fence.0.to_le_bytes());
        bytes[16] = u8::from(self.is_deleted);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Row> {
        let mut fields = Fields(bytes);
        Some(Row { start: fields.offset()?, fence: Fence(fields.u64()?), is_deleted: fields.u8()? != 0 })
    }
}

fn key(kind: u8, log: LogId) -> [u8; 9] {
    let mut key = [kind; 9];
    key[1..].copy_from_slice(&log.0.to_be_bytes());
    key
}

fn garbled(what: &str) -> StoreError {
    StoreError::Damaged(format!("index: {what} does not parse"))
}

impl Index {
    /// The row of `log`, if it has one.
    pub fn row(&self, log: LogId) -> Result<Option<Row>, StoreError> {
        let Some(value) = self.db.get(key(b'l', log)).map_err(index_error)? else { return Ok(None) };
        Row::decode(&value).map(Some).ok_or_else(|| garbled("a log's row"))
    }

    /// Keeps the row of `log`.
    pub fn put_row(&self, log: LogId, row: &Row, durability: Durability) -> Result<(), StoreError> {
        match durability {
            Durability::Synced => self.db.put_opt(key(b'l', log), row.encode(), &self.synced),
            Durability::Eventual => self.db.put(key(b'l', log), row.encode()),
        }
        .map_err(index_error)
    }

    /// Removes all that is kept about a deleted log.
    pub fn forget_log(&self, log: LogId) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        batch.delete(key(b'l', log));
        batch.delete(key(b's', log));
        self.db.write(batch).map_err(index_error)
    }

    /// Calls `visit` with every row.
    pub fn all_rows(&self, mut visit: impl FnMut(LogId, Row) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(vec![b'l']);
        options.set_iterate_upper_bound(vec![b'l' + 1]);
        let mut iterator = self.db.raw_iterator_opt(options);
        iterator.seek_to_first();
        while let Some((key, value)) = iterator.item() {
            let log = key.get(1..).and_then(|rest| rest.first_chunk::<8>()).map(|log| LogId(u64::from_be_bytes(*log)));
            let (Some(log), Some(row)) = (log, Row::decode(value)) else { return Err(garbled("a log's row")) };
            visit(log, row)?;
            iterator.next();
        }
        iterator.status().map_err(index_error)
    }

    /// Keeps the newest snapshot of `log`.
    pub fn put_snapshot(&self, log: LogId, at: Offset, value: &[u8]) -> Result<(), StoreError> {
        let mut bytes = Vec::with_capacity(8 + value.len());
        bytes.extend_from_slice(&at.0.to_le_bytes());
        bytes.extend_from_slice(value);
        self.db.put(key(b's', log), bytes).map_err(index_error)
    }

    /// The newest snapshot of `log`.
    pub fn snapshot(&self, log: LogId) -> Result<Option<(Offset, Bytes)>, StoreError> {
        let Some(value) = self.db.get(key(b's', log)).map_err(index_error)? else { return Ok(None) };
        let at = Fields(&value).offset().ok_or_else(|| garbled("a snapshot"))?;
        Ok(Some((at, Bytes::from(value).slice(8..))))
    }

    /// Puts on disk every row and snapshot that was put before.
    pub fn sync_rows(&self) -> Result<(), StoreError> {
        self.db.flush_wal(true).map_err(index_error)
    }

    /// Removes the snapshot of `log`, synced: it must not come back once it has become wrong.
    pub fn forget_snapshot(&self, log: LogId) -> Result<(), StoreError> {
        self.db.delete_opt(key(b's', log), &self.synced).map_err(index_error)
    }

    /// Removes the snapshot of a log that is deleted: should it come back, the next open removes it.
    pub fn drop_snapshot(&self, log: LogId) -> Result<(), StoreError> {
        self.db.delete(key(b's', log)).map_err(index_error)
    }

    /// Notes, durably, that nothing follows `end` in the journal.
    pub fn put_clean_end(&self, end: Position) -> Result<(), StoreError> {
        let mut bytes = [0u8; 16];
        bytes[..8].copy_from_slice(&end.seq.to_le_bytes());
        bytes[8..].copy_from_slice(&end.at.to_le_bytes());
        self.db.put_opt(CLEAN_KEY, bytes, &self.synced).map_err(index_error)
    }

    /// The journal's end, if the last close was clean; forgotten, durably, by this call.
    pub fn take_clean_end(&self) -> Result<Option<Position>, StoreError> {
        let Some(value) = self.db.get(CLEAN_KEY).map_err(index_error)? else { return Ok(None) };
        let mut batch = WriteBatch::default();
        batch.delete(CLEAN_KEY);
        self.db.write_opt(batch, &self.synced).map_err(index_error)?;
        let mut fields = Fields(&value);
        let (seq, at) = (fields.u64(), fields.u64());
        // A mark that does not parse only costs a longer look at the journal.
        Ok(seq.zip(at).map(|(seq, at)| Position { seq, at }))
    }
}
