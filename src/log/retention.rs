//! Retention: what is past `retention.ms` or `retention.bytes` leaves the front of the log (`cleanup.policy` with `delete`).
//!
//! Kafka deletes whole segments; here a log has no files of its own, so whole batches go, and nothing past its time stays because a segment was not
//! full. As with Kafka's segments, at least `retention.bytes` stay: a batch goes once as many lie behind it, and with 0 the log is emptied.
//! Source: UnifiedLog.deleteOldSegments.

use super::{Logs, Partition};
use crate::store::StoreError;
use std::sync::Arc;
use tracing::{debug, warn};

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

#[cfg(test)]
mod tests;
