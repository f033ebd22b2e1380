//! Retention: what is past `retention.ms` or `retention.bytes` leaves the front of the log (`cleanup.policy` with `delete`).
//!
//! Kafka deletes whole segments; here a log has no files of its own, so whole batches go, and nothing past its time stays because a segment was not
//! full. As with Kafka's segments, at least `retention.bytes` stay: a batch goes once as many lie behind it, and with 0 the log is emptied.
//! Source: UnifiedLog.deleteOldSegments.

use super::{Logs, Partition, unsaved};
use crate::store::StoreError;
use futures_util::StreamExt as _;
use std::sync::Arc;
use tracing::{debug, warn};

/// Snapshots that are saved at once.
const AT_ONCE: usize = 16;

/// Applies retention to every open log once: to its records, and to what is known of its producers.
///
/// A log that cannot be trimmed is reported and tried again next time.
pub async fn sweep(logs: &Arc<Logs>) {
    for partition in logs.all() {
        if let Err(error) = apply(logs, &partition).await {
            warn!(log = %partition.log(), %error, "retention could not be applied");
        }
    }
}

async fn apply(logs: &Arc<Logs>, partition: &Partition) -> Result<(), StoreError> {
    partition.expire_producers();
    if let Some(start) = partition.retention_start(logs.env().now()).await? {
        let start = partition.trim(start).await?;
        debug!(log = %partition.log(), %start, "retention moved the start of the log");
    }
    Ok(())
}

/// Saves the snapshots that are due: of logs that grew by more than [`unsaved::ONE_MAX`] since their last, and where all together grew by more than
/// [`unsaved::ALL_MAX`], of those that grew most, until half of that is left.
pub async fn save_snapshots(logs: &Arc<Logs>) {
    let mut partitions = logs.all();
    let is_much = logs.is_much_unsaved();
    if is_much {
        partitions.sort_by_cached_key(|partition| std::cmp::Reverse(partition.unsaved_cost()));
    }
    // Some at once, since each waits for a commit.
    let saved = futures_util::stream::iter(partitions).for_each_concurrent(AT_ONCE, |partition| async move {
        let least = if is_much && logs.unsaved_cost() > unsaved::ALL_MAX / 2 { 1 } else { unsaved::ONE_MAX };
        if let Err(error) = partition.save_snapshot(least).await {
            warn!(log = %partition.log(), %error, "the producers' snapshot could not be saved; recovery will read more");
        }
    });
    saved.await;
}

#[cfg(test)]
mod tests;
