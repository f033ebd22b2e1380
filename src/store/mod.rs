//! The seam: where batches and small metadata live. Backends: [`local`] (journal + RocksDB keys), [`memory`] (tests and
//! `--ephemeral`), `faulty` (tests). All pass `contract.rs`.
//!
//! The store has never heard of topics, producers, groups or transactions: it holds opaque batches with offsets, and small
//! versioned keys. Shared object storage with etcd must fit behind the same traits.

use crate::ids::{Fence, LogId, Offset, Timestamp};
use crate::span::Span;
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use thiserror::Error;

#[cfg(test)]
pub mod contract;
#[cfg(test)]
pub mod faulty;
pub mod json;
pub mod local;
pub mod memory;

/// A future behind the seam; `dyn` so that no type parameter spreads through the house.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What can go wrong in a store; one variant per reaction of the caller.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// The log is not open, or was deleted: the caller's catalog is behind.
    #[error("log {0} does not exist in the store")]
    UnknownLog(LogId),
    /// Another node opened the log with a newer fence: stop serving it.
    #[error("log {log} was opened with fence {newest}, this writer holds {held}")]
    Fenced { log: LogId, held: Fence, newest: Fence },
    /// The batch can never be stored: larger than what the store takes in one piece.
    #[error("a batch of {bytes} bytes is larger than the store takes in one piece ({limit} bytes; storage.segment_bytes)")]
    TooLarge { bytes: usize, limit: usize },
    /// A compare-and-commit found another revision: read again and retry.
    #[error("metadata key changed meanwhile")]
    Conflict,
    /// Data that was durable does not read back: serve nothing from it, tell the operator.
    #[error("damaged data: {0}")]
    Damaged(String),
    /// The device or the file system refused. After a failed write or sync nothing later may be trusted: the process stops.
    #[error("{0}")]
    Io(String),
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}

/// One batch on its way in. `bytes` is kept verbatim.
#[derive(Debug, Clone)]
pub struct Append {
    pub log: LogId,
    pub fence: Fence,
    /// First and last offset of the batch, inclusive. `first` is the `next` of the previous append to this log, or later.
    pub first: Offset,
    pub last: Offset,
    /// The largest timestamp in the batch; `Timestamp::NONE` when it has none.
    pub max_timestamp: Timestamp,
    pub bytes: Bytes,
    /// A checksum of a suffix of `bytes` that the caller has verified already, so that the store need not pass over it again.
    pub checksum: SuffixChecksum,
    /// A name by which this append is found again.
    pub mark: Option<Mark>,
}

/// Names an append, so that whoever sends it again learns what became of it. As durable as the append, and forgotten some time after
/// `expires`, not before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Drawn or hashed so that no two appends share it by chance.
    pub id: u128,
    pub made: Timestamp,
    pub expires: Timestamp,
    /// What its maker wants to find again with it.
    pub note: u32,
}

/// The append that a mark names; its batch may have been trimmed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marked {
    pub log: LogId,
    pub first: Offset,
    pub last: Offset,
    pub mark: Mark,
}

/// `crc32c(bytes[from..]) == crc`. The bytes before `from` are few and are covered by the store itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuffixChecksum {
    pub from: u32,
    pub crc: u32,
}

/// One batch on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub first: Offset,
    pub last: Offset,
    pub max_timestamp: Timestamp,
    pub bytes: Bytes,
}

/// Neighbouring batches as they lie, whole and in order: to be sent on, not to be looked into.
#[derive(Debug, Clone)]
pub struct Stretch {
    /// Of the first batch.
    pub first: Offset,
    /// Of the last batch.
    pub last: Offset,
    pub bytes: Span,
}

impl From<Batch> for Stretch {
    fn from(batch: Batch) -> Stretch {
        Stretch { first: batch.first, last: batch.last, bytes: Span::Memory(batch.bytes) }
    }
}

/// What [`LogStore::replace`] makes of committed batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replacement {
    /// The batch at exactly these offsets becomes this one. One that is gone meanwhile (trimmed) stays gone.
    Rewrite { batch: Batch, checksum: SuffixChecksum },
    /// The batches that lie within `first..=last` go, but for the log's newest batch, which remembers where the log ends.
    Remove { first: Offset, last: Offset },
}

/// What a log holds when it is opened: `[start, next)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogBounds {
    /// The first offset that may be read (moved by [`LogStore::trim`]).
    pub start: Offset,
    /// The offset after the last durable record.
    pub next: Offset,
    /// Bytes of batches between the two, for retention by size and DescribeLogDirs.
    pub bytes: u64,
    /// Batches of it were replaced at some time.
    pub is_replaced: bool,
}

/// Room in the store's write queue, held until the batch is durable: back-pressure in bytes.
#[derive(Debug)]
pub struct Permit(#[allow(dead_code, reason = "dropping it gives the room back")] pub Option<tokio::sync::OwnedSemaphorePermit>);

/// Batches of many logs, each an append-only sequence with offsets.
pub trait LogStore: Send + Sync {
    /// Names who is told of commits. Called once, before the first append.
    fn listen(&self, listener: Arc<dyn CommitListener>);

    /// Opens `log` for writing with `fence`, creating it empty when it does not exist; older fences now fail.
    fn open(&self, log: LogId, fence: Fence) -> BoxFuture<'_, Result<LogBounds, StoreError>>;

    /// The largest batch that the store takes, in bytes.
    fn batch_bytes_max(&self) -> usize;

    /// Waits until `bytes` fit into the write queue. Bound: the store's own queue limit; a single batch larger than it
    /// takes the whole queue. Cancel-safe. Answers [`StoreError::TooLarge`], [`StoreError::Closed`].
    fn reserve(&self, bytes: usize) -> BoxFuture<'_, Result<Permit, StoreError>>;

    /// Queues a batch. Never blocks, cannot fail: what happens to it is told to the listener. FIFO per store, over all logs: what was queued
    /// first is told first (a transaction's markers before the record that says it is complete), and after a crash no batch is there without
    /// those that were queued before it. Called under the log's own lock.
    fn append(&self, permit: Permit, append: Append);

    /// Reads committed batches that overlap `[from, to)`, in order, whole, from the batch that contains `from` (or the first one
    /// after it). Stops before the batch that would exceed `max_bytes`, but the first is returned whatever its size. Empty
    /// only when no batch overlaps.
    fn read(&self, log: LogId, from: Offset, to: Offset, max_bytes: usize) -> BoxFuture<'_, Result<Vec<Batch>, StoreError>>;

    /// The same batches as [`LogStore::read`] answers, left where they are if the store can: a span of a file stays as it is while it is held,
    /// whatever becomes of the log.
    fn locate(&self, log: LogId, from: Offset, to: Offset, max_bytes: usize) -> BoxFuture<'_, Result<Vec<Stretch>, StoreError>> {
        Box::pin(async move {
            let batches = self.read(log, from, to, max_bytes).await?;
            Ok(batches.into_iter().map(Stretch::from).collect())
        })
    }

    /// The committed append that bears the mark `id`, in whatever log. An expired mark may still be found. A look-up in memory or in the
    /// page cache: called where nothing may wait for long.
    fn find_mark(&self, id: u128) -> Result<Option<Marked>, StoreError>;

    /// The first batch that ends at or after `from`, of those of the log, whose largest timestamp is at least `time`: its first offset; `None` when there is
    /// none.
    fn at_time(&self, log: LogId, from: Offset, time: Timestamp) -> BoxFuture<'_, Result<Option<Offset>, StoreError>>;

    /// Offset and largest timestamp of the batch (its first offset) that holds the log's largest timestamp; `None` when empty.
    fn max_time(&self, log: LogId) -> BoxFuture<'_, Result<Option<(Offset, Timestamp)>, StoreError>>;

    /// Where retention by size trims to: the first offset of the last batch from which on at least `bytes` of whole batches stay. With 0 that
    /// is the log's end, and its start where no batch can go. Source: UnifiedLog.deleteRetentionSizeBreachedSegments.
    fn keep_bytes(&self, log: LogId, bytes: u64) -> BoxFuture<'_, Result<Offset, StoreError>>;

    /// Bytes of batches between start and next. In a log with replaced batches, what was just trimmed may count for a moment.
    fn size(&self, log: LogId) -> u64;

    /// Bytes of the batches that end at or behind `from`, as they were appended: what replacements took away there still counts.
    fn bytes_from(&self, log: LogId, from: Offset) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// Changes committed batches, in order, each as a whole: after a crash a batch is the old one or the new one, and what comes later in
    /// `changes` is not done without what comes before it. Durable when it returns, and so is every snapshot that was put before. Appends
    /// go on meanwhile. One caller per log at a time.
    fn replace(&self, log: LogId, fence: Fence, changes: Vec<Replacement>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Moves the log's start to `start` (never back). Durable when it returns. Batches wholly below are gone; their space is reclaimed.
    fn trim(&self, log: LogId, fence: Fence, start: Offset) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Removes these logs. Durable when it returns; a crash before may have removed some. Their ids are never opened again. All of a topic's
    /// logs in one call cost one sync.
    fn delete(&self, logs: Vec<LogId>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Keeps one small value beside the log (the owner's snapshot of what it derived from the batches before `at`). Newest wins; may be
    /// lost in a power failure, in which case an older one, or none, is found: a snapshot only saves replay.
    fn put_snapshot(&self, log: LogId, at: Offset, value: Bytes) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The newest snapshot kept, if any.
    fn get_snapshot(&self, log: LogId) -> BoxFuture<'_, Result<Option<(Offset, Bytes)>, StoreError>>;

    /// The process is about to end, and waits for what is on its way first: a store that waits for something, as for room on a disk, fails instead.
    fn stopping(&self) {}

    /// Stops taking batches, commits what is queued, flushes the keys and releases the directory. Idempotent.
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// Told of the fate of appends, on the store's own thread: return quickly, never block.
pub trait CommitListener: Send + Sync {
    /// Everything of `log` up to and including `last` is durable and readable.
    fn committed(&self, log: LogId, last: Offset);
    /// A durable write failed: nothing that was queued may be acknowledged, and the process must stop.
    fn failed(&self, error: StoreError);
}

/// One small versioned key. `revision` is the store-wide revision of its last change, and never 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaEntry {
    pub key: String,
    pub value: Bytes,
    pub revision: u64,
}

/// "The key's revision is still this": 0 means "the key does not exist".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaCompare {
    pub key: String,
    pub revision: u64,
}

/// One change of a commit; `value: None` deletes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaChange {
    pub key: String,
    pub value: Option<Bytes>,
}

/// Few, small, versioned keys, changed by compare-and-commit: what exists. Shaped so that etcd fits behind it.
pub trait MetaStore: Send + Sync {
    /// All entries whose key starts with `prefix`, in key order.
    fn range(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<MetaEntry>, StoreError>>;

    /// Applies all of `changes` atomically if every compare holds, durably; answers the new revision, which every changed
    /// key then has. Else [`StoreError::Conflict`] and nothing changed.
    fn commit(&self, compares: Vec<MetaCompare>, changes: Vec<MetaChange>) -> BoxFuture<'_, Result<u64, StoreError>>;
}
