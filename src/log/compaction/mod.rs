//! Compaction: of each key, the newest record stays (`cleanup.policy` with `compact`).
//!
//! ```text
//!  start ...... cleaned ............ end ............ next
//!  |-- clean ----|-- dirty -----------|-- too young --|      end: the active segment, the last stable offset, min.compaction.lag.ms
//!
//!  read dirty -> keys (bounded) -> read start..end -> replacements, a mebibyte at a time -> cleaned = end, or as far as the keys reached
//! ```
//! Order is what makes it safe at any crash: batches are replaced from the front, so that a tombstone never goes before what it deletes,
//! nor a marker before its transaction's records; and the record that supersedes another one was durable before the pass began. A pass that was
//! cut short is simply done again. The producers' snapshot is durable before anything is replaced, so that recovery never has to read what is gone.
//!
//! Appends go on meanwhile: a pass takes the partition's lock for moments, and its writes wait for room in the store's queue like all others.
//! Memory: the keys (`log.cleaner.dedupe.buffer.size`, but never more than the dirty part can fill), two mebibytes of batches read and rewritten,
//! and one decompressed batch. One pass at a time. Source: LogCleaner, LogCleanerManager, Cleaner.

mod cleaner;
mod decided;
mod key_map;
mod partition;
#[cfg(test)]
mod tests;

use super::partition::Partition;
use crate::ids::{Offset, Timestamp};
use crate::store::{Batch, Replacement, StoreError};
use crate::tasks;
use cleaner::{Cleaner, Uncleaned};
use decided::Decided;
use key_map::KeyMap;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tracing::{debug, warn};

const READ_BYTES: usize = 1 << 20;
/// Replacements that are queued at a time.
const WRITE_BYTES: usize = 1 << 20;
/// Neighbours that are removed together: the store does one removal at once.
const REMOVED_MAX: usize = 512;
/// What one removed batch counts for. Its entry in the store's index is smaller, but is looked up and removed between two commits: a thousand at a time.
const REMOVED_BYTES: usize = 1024;
/// Other changes that are queued at a time: for each the store looks its batch up.
const CHANGES_MAX: usize = 1000;

/// What compaction may use. It is asked for anew while a pass runs, since an operator may change it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// For the keys of one pass (`log.cleaner.dedupe.buffer.size`).
    pub keys_bytes: usize,
    /// Read and written together (`log.cleaner.io.max.bytes.per.second`).
    pub bytes_per_second: f64,
}

/// Why a pass ended early. What it did until then stands.
#[derive(Debug, Clone, Error)]
pub enum CompactionError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The topic was deleted, or is not compacted any more.
    #[error("the topic is not to be compacted any more")]
    Ended,
}

/// A batch that stays as it is, and why: it does not read (a topic that was not compacted before keeps compressed ones unopened), or is too large to be
/// put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    pub at: Offset,
    pub why: Uncleaned,
}

/// What one pass did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compacted {
    /// Up to here each key has one record.
    pub cleaned: Offset,
    pub bytes_before: u64,
    pub bytes_after: u64,
    /// The first batch that could not be cleaned.
    pub left: Option<Left>,
}

/// What there is to do in one log.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Due {
    from: Offset,
    end: Offset,
    /// How much of what may be compacted is dirty, 0 to 1.
    ratio: f64,
}

/// Compacts each of `partitions` that is due, the dirtiest first.
///
/// One that fails is reported and tried again next time.
pub async fn sweep(partitions: Vec<Arc<Partition>>, limits: &(dyn Fn() -> Limits + Send + Sync)) {
    let mut due = Vec::new();
    for partition in partitions {
        match partition.compaction_due().await {
            Ok(Some(found)) => due.push((found.ratio, partition)),
            Ok(None) | Err(StoreError::UnknownLog(_) | StoreError::Closed) => {}
            Err(error) => warn!(log = %partition.log(), %error, "it cannot be told whether the log is to be compacted"),
        }
    }
    due.sort_by(|one, other| other.0.total_cmp(&one.0));
    for (_, partition) in due {
        match partition.compact(limits).await {
            Ok(Some(Compacted { cleaned, bytes_before, bytes_after, left })) => {
                debug!(log = %partition.log(), %cleaned, bytes_before, bytes_after, "a log is compacted");
                if let Some(Left { at, why }) = left {
                    warn!(log = %partition.log(), %at, %why, "a batch cannot be compacted");
                }
            }
            Ok(None) | Err(CompactionError::Ended | CompactionError::Store(StoreError::UnknownLog(_) | StoreError::Closed)) => {}
            Err(error) => warn!(log = %partition.log(), %error, "a log could not be compacted"),
        }
    }
}

impl Partition {
    /// Does one pass, if the topic's settings say that it is time for one; `None`: it is not.
    ///
    /// # Errors
    /// [`CompactionError`].
    pub async fn compact(
        self: &Arc<Partition>,
        limits: &(dyn Fn() -> Limits + Send + Sync),
    ) -> Result<Option<Compacted>, CompactionError> {
        let Some(due) = self.compaction_due().await? else { return Ok(None) };
        let mut pass = Pass { partition: self.clone(), due, pace: Pace::new(limits), bytes_before: self.size(), left: None };
        pass.run(limits().keys_bytes).await.map(Some)
    }

    async fn compaction_due(&self) -> Result<Option<Due>, StoreError> {
        let (settings, now) = (self.settings(), self.now());
        if !settings.cleanup.compact {
            return Ok(None);
        }
        let (from, mut end) = self.dirty();
        if settings.min_compaction_lag_ms > 0 {
            // The first dirty batch that is too young, and all behind it.
            let young = now.plus_ms(1 - settings.min_compaction_lag_ms);
            end = end.min(self.store().at_time(self.log(), from, young).await?.unwrap_or(end));
        }
        if from >= end {
            return Ok(None);
        }
        let to_end = self.store().bytes_from(self.log(), end).await?;
        let to_from = self.store().bytes_from(self.log(), from).await?;
        let clean = self.size().saturating_sub(to_from);
        let dirty = to_from.saturating_sub(to_end);
        // Sums of bytes that are on one disk: exact enough in a double.
        let ratio = dirty as f64 / (clean + dirty).max(1) as f64;
        let is_due =
            ratio > settings.min_cleanable_dirty_ratio || self.is_overdue(from, settings.max_compaction_lag_ms, now).await?;
        Ok(is_due.then_some(Due { from, end, ratio }))
    }

    /// Whether the first dirty batch has waited for longer than `max.compaction.lag.ms` (KIP-354).
    async fn is_overdue(&self, from: Offset, lag_max_ms: i64, now: Timestamp) -> Result<bool, StoreError> {
        if lag_max_ms == i64::MAX {
            return Ok(false);
        }
        let first = self.store().read(self.log(), from, Offset(i64::MAX), 1).await?;
        Ok(first.first().is_some_and(|batch| now.ms_since(batch.max_timestamp) > lag_max_ms))
    }
}

struct Pass<'a> {
    partition: Arc<Partition>,
    due: Due,
    pace: Pace<'a>,
    bytes_before: u64,
    left: Option<Left>,
}

impl Pass<'_> {
    async fn run(&mut self, keys_bytes: usize) -> Result<Compacted, CompactionError> {
        let partition = self.partition.clone();
        let Due { from, end, .. } = self.due;
        let keys_max = usize::try_from(end.0.saturating_sub(from.0)).unwrap_or(usize::MAX);
        let decided = Decided::new(partition.aborted(from, end));
        let retention_ms = partition.settings().delete_retention_ms;
        let keys = KeyMap::new(keys_bytes, keys_max, partition.secret());
        let cleaner = Cleaner::new(
            keys,
            decided,
            &partition.producers(),
            partition.now(),
            retention_ms,
            partition.store().batch_bytes_max(),
        );
        let (mut cleaner, end) = self.learn(cleaner).await?;
        // What it puts is durable before the first replacement is (`LogStore::replace`).
        partition.save_snapshot(0).await?;
        partition.compacting(end);
        let start = partition.start();
        cleaner.decided = Decided::new(partition.aborted(start, end));
        cleaner.uncleaned = partition.uncleaned();
        let uncleaned = self.clean(cleaner, start, end).await?;
        // One that reaches in from below the start is met again only when the start moves.
        partition.cleaned(end, uncleaned.map(|at| at.max(start)));
        partition.save_snapshot(0).await?;
        Ok(Compacted { cleaned: end, bytes_before: self.bytes_before, bytes_after: partition.size(), left: self.left.take() })
    }

    /// Reads the dirty part; answers up to where the keys are known.
    async fn learn(&mut self, mut cleaner: Cleaner) -> Result<(Cleaner, Offset), CompactionError> {
        let Due { from, end, .. } = self.due;
        let mut at = from;
        while let Some(batches) = self.read(at, end).await? {
            at = batches.last().map_or(end, |newest| newest.last.next());
            let is_full;
            (cleaner, is_full) = tasks::blocking("compaction", move || {
                for batch in batches {
                    // One that does not read is told by the second walk, and stays; what was learned of it is true.
                    if cleaner.learn(&batch, from) == Ok(false) {
                        return (cleaner, true);
                    }
                }
                (cleaner, false)
            })
            .await;
            if is_full {
                let reached = cleaner.keys.latest().map_or(end, Offset::next);
                return Ok((cleaner, reached));
            }
        }
        Ok((cleaner, end))
    }

    /// Replaces what of `[start, end)` does not stay as it is; answers [`Cleaner::uncleaned`].
    async fn clean(&mut self, mut cleaner: Cleaner, start: Offset, end: Offset) -> Result<Option<Offset>, CompactionError> {
        let mut at = start;
        let mut changes = Changes::default();
        while let Some(batches) = self.read(at, end).await? {
            at = batches.last().map_or(end, |newest| newest.last.next());
            let mut left = self.left.take();
            (cleaner, changes, self.left) = tasks::blocking("compaction", move || {
                for batch in batches {
                    let change = cleaner.clean(&batch).unwrap_or_else(|why| {
                        left.get_or_insert(Left { at: batch.first, why });
                        None
                    });
                    changes.add(change);
                }
                (cleaner, changes, left)
            })
            .await;
            // The index of aborted transactions before the markers.
            self.partition.forget_aborted(&cleaner.decided.take_empty());
            if changes.bytes >= WRITE_BYTES {
                self.replace(&mut changes).await?;
            }
        }
        self.replace(&mut changes).await?;
        Ok(cleaner.uncleaned)
    }

    async fn read(&mut self, from: Offset, end: Offset) -> Result<Option<Vec<Batch>>, CompactionError> {
        let partition = &self.partition;
        if partition.is_stopped() || !partition.settings().cleanup.compact {
            return Err(CompactionError::Ended);
        }
        if from >= end {
            return Ok(None);
        }
        let batches = partition.store().read(partition.log(), from, end, READ_BYTES).await?;
        self.pace.spend(batches.iter().map(|batch| batch.bytes.len()).sum()).await;
        Ok(Some(batches).filter(|batches| !batches.is_empty()))
    }

    async fn replace(&mut self, changes: &mut Changes) -> Result<(), CompactionError> {
        let Changes { mut list, bytes, .. } = std::mem::take(changes);
        if list.is_empty() {
            return Ok(());
        }
        self.pace.spend(bytes).await;
        while !list.is_empty() {
            let later = list.split_off(list.len().min(CHANGES_MAX));
            self.partition.replace(std::mem::replace(&mut list, later)).await?;
        }
        Ok(())
    }
}

/// What is to be replaced, in the order of the log.
#[derive(Default)]
struct Changes {
    list: Vec<Replacement>,
    bytes: usize,
    /// How many batches the removal at the end takes; 0: the batch that was added last stays.
    removed_at_end: usize,
}

impl Changes {
    /// What becomes of the next batch. Neighbours that go, go together.
    fn add(&mut self, change: Option<Replacement>) {
        let removed = std::mem::take(&mut self.removed_at_end);
        let joins = (1..REMOVED_MAX).contains(&removed);
        match change {
            None => {}
            Some(Replacement::Remove { first, last }) => {
                self.removed_at_end = if joins { removed + 1 } else { 1 };
                self.bytes += REMOVED_BYTES;
                match self.list.last_mut() {
                    Some(Replacement::Remove { last: end, .. }) if joins => *end = last,
                    _ => self.list.push(Replacement::Remove { first, last }),
                }
            }
            Some(rewrite) => {
                if let Replacement::Rewrite { batch, .. } = &rewrite {
                    self.bytes += batch.bytes.len();
                }
                self.list.push(rewrite);
            }
        }
    }
}

/// The longest that a pass sleeps before it asks again how fast it may be.
const PACE_LOOK: Duration = Duration::from_secs(1);

/// Keeps to so many bytes per second, counted from when that number last changed.
struct Pace<'a> {
    limits: &'a (dyn Fn() -> Limits + Send + Sync),
    since: tokio::time::Instant,
    bytes: usize,
    per_second: f64,
}

impl Pace<'_> {
    fn new(limits: &(dyn Fn() -> Limits + Send + Sync)) -> Pace<'_> {
        Pace { limits, since: tokio::time::Instant::now(), bytes: 0, per_second: limits().bytes_per_second }
    }

    async fn spend(&mut self, bytes: usize) {
        self.bytes += bytes;
        loop {
            let now = tokio::time::Instant::now();
            let per_second = (self.limits)().bytes_per_second;
            // Two settings of the same text: the same number to the bit.
            if per_second.to_bits() != self.per_second.to_bits() {
                (self.since, self.bytes, self.per_second) = (now, bytes, per_second);
            }
            // Counts of bytes are far below 2^53. What no clock can say is for ever, and still looked at each second.
            let spent = Duration::try_from_secs_f64(self.bytes as f64 / per_second).unwrap_or(Duration::MAX);
            let left = spent.saturating_sub(now.duration_since(self.since));
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(PACE_LOOK)).await;
        }
    }
}
