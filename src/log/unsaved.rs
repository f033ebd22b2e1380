//! What recovery would read: of each log the batches behind its newest snapshot, and the sum over all logs, so that a start takes no longer the more
//! logs there are. [`save_due`] keeps it small.
//!
//! Owner: the log's state, under its lock; the sum is one atomic that all of them share.

use super::Logs;
use futures_util::StreamExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing::warn;

/// Of one log, at which it saves a snapshot.
pub const ONE_MAX: u64 = 16 << 20;
/// Of all logs together, at which those with the most save one.
pub const ALL_MAX: u64 = 512 << 20;
/// Snapshots that are saved at once.
const AT_ONCE: usize = 16;
/// What reading a batch costs beside its bytes, in bytes that cost as much.
const BATCH_COST: u64 = 4096;

/// A log's part of the sum.
#[derive(Debug)]
pub struct Unsaved {
    own: u64,
    all: Arc<AtomicU64>,
}

impl Unsaved {
    /// Nothing, of the sum `all`.
    #[must_use]
    pub fn of(all: Arc<AtomicU64>) -> Unsaved {
        Unsaved { own: 0, all }
    }

    /// A batch of `bytes` would be read.
    pub fn add(&mut self, bytes: usize) {
        self.grow(bytes as u64 + BATCH_COST);
    }

    /// Something else is in no snapshot yet.
    pub fn touch(&mut self) {
        self.grow(1);
    }

    fn grow(&mut self, cost: u64) {
        self.own += cost;
        self.all.fetch_add(cost, Ordering::Relaxed);
    }

    /// Of it, `cost` is in a snapshot now.
    pub fn saved(&mut self, cost: u64) {
        let cost = cost.min(self.own);
        self.own -= cost;
        self.all.fetch_sub(cost, Ordering::Relaxed);
    }

    #[must_use]
    pub fn cost(&self) -> u64 {
        self.own
    }
}

impl Drop for Unsaved {
    fn drop(&mut self) {
        self.saved(self.own);
    }
}

/// Saves the snapshots that are due: of logs that grew by more than [`ONE_MAX`] since their last, and where all together grew by more than
/// [`ALL_MAX`], of those that grew most, until half of that is left.
pub async fn save_due(logs: &Arc<Logs>) {
    let mut partitions = logs.all();
    let is_much = logs.is_much_unsaved();
    if is_much {
        partitions.sort_by_cached_key(|partition| std::cmp::Reverse(partition.unsaved_cost()));
    }
    // Some at once, since each waits for a commit.
    let saved = futures_util::stream::iter(partitions).for_each_concurrent(AT_ONCE, |partition| async move {
        let least = if is_much && logs.unsaved_cost() > ALL_MAX / 2 { 1 } else { ONE_MAX };
        if let Err(error) = partition.save_snapshot(least).await {
            warn!(log = %partition.log(), %error, "the producers' snapshot could not be saved; recovery will read more");
        }
    });
    saved.await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_of_all_logs_that_there_are() {
        let all = Arc::new(AtomicU64::new(0));
        let (mut one, mut other) = (Unsaved::of(all.clone()), Unsaved::of(all.clone()));
        one.add(1000);
        other.touch();
        other.touch();
        assert_eq!((one.cost(), other.cost()), (1000 + BATCH_COST, 2));
        assert_eq!(all.load(Ordering::Relaxed), 1002 + BATCH_COST);
        let saved = one.cost();
        one.add(5);
        one.saved(saved);
        assert_eq!(
            (one.cost(), all.load(Ordering::Relaxed)),
            (5 + BATCH_COST, 7 + BATCH_COST),
            "what came meanwhile is not saved"
        );
        drop(one);
        assert_eq!(all.load(Ordering::Relaxed), 2);
    }
}
