//! The newest batches, in memory: what consumers that keep up read.
//!
//! One byte budget for all partitions. When it is full, the oldest batch of all is forgotten first; readers that are
//! further behind read from the store. A batch is remembered at append, before it is durable: the partition's watermark, not
//! this file, decides what may be seen.
//!
//! Owner: [`Tail`] owns the budget and the order of arrival, each partition its [`PartitionTail`]. Lock order: arrivals, then batches.

use crate::ids::Offset;
use crate::store::Batch;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// What a batch takes beside its bytes: the rest of its frame's buffer, which it keeps, and its entries here. A batch of one small record is a third of that.
const BATCH_OVERHEAD_BYTES: usize = 256;

/// The budget, and which partition's oldest batch goes next.
#[derive(Debug)]
pub struct Tail {
    budget_bytes: usize,
    arrivals: Mutex<Arrivals>,
}

#[derive(Debug, Default)]
struct Arrivals {
    used_bytes: usize,
    order: VecDeque<(Arc<PartitionTail>, usize)>,
}

/// The newest batches of one partition, in offset order.
#[derive(Debug, Default)]
pub struct PartitionTail {
    batches: Mutex<VecDeque<Batch>>,
}

impl Tail {
    /// An empty tail. `budget_bytes`: 0 keeps nothing.
    #[must_use]
    pub fn new(budget_bytes: usize) -> Tail {
        Tail { budget_bytes, arrivals: Mutex::default() }
    }

    /// Remembers `batch` as the newest of `partition`. Called in offset order, under the partition's lock.
    pub fn push(&self, partition: &Arc<PartitionTail>, batch: Batch) {
        let bytes = batch.bytes.len() + BATCH_OVERHEAD_BYTES;
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        partition.lock().push_back(batch);
        arrivals.order.push_back((partition.clone(), bytes));
        arrivals.used_bytes += bytes;
        while arrivals.used_bytes > self.budget_bytes {
            let Some((oldest, bytes)) = arrivals.order.pop_front() else { break };
            arrivals.used_bytes -= bytes;
            // Arrivals and the partition's batches are in the same order, so its front is the batch that arrived then.
            oldest.lock().pop_front();
        }
    }

    /// Forgets what `partition` remembers from below `end`: the store has something else in its place.
    pub fn forget(&self, partition: &Arc<PartitionTail>, end: Offset) {
        // Mostly nothing: what is compacted is old.
        if partition.lock().front().is_none_or(|oldest| oldest.first >= end) {
            return;
        }
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batches = partition.lock();
        let count = batches.partition_point(|batch| batch.first < end);
        batches.drain(..count);
        let (mut left, mut freed) = (count, 0);
        arrivals.order.retain(|(owner, bytes)| {
            let goes = left > 0 && Arc::ptr_eq(owner, partition);
            left -= usize::from(goes);
            freed += if goes { *bytes } else { 0 };
            !goes
        });
        arrivals.used_bytes -= freed;
    }
}

impl PartitionTail {
    /// Whole batches that overlap `[from, to)`, as [`crate::store::LogStore::read`] answers them; `None` when the batch that holds
    /// `from` is not remembered.
    #[must_use]
    pub fn read(&self, from: Offset, to: Offset, max_bytes: usize) -> Option<Vec<Batch>> {
        let batches = self.lock();
        if batches.front()?.first > from {
            return None;
        }
        let begin = batches.partition_point(|batch| batch.last < from);
        let mut found: Vec<Batch> = Vec::new();
        let mut bytes = 0usize;
        for batch in batches.iter().skip(begin) {
            if batch.first >= to {
                break;
            }
            bytes = bytes.saturating_add(batch.bytes.len());
            if bytes > max_bytes && !found.is_empty() {
                break;
            }
            found.push(batch.clone());
        }
        Some(found)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Batch>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
