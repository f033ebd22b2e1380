//! What a broker does unasked: it ends deletions that a crash cut short, opens all logs, removes what is too old, compacts, and saves what recovery would
//! otherwise read.

use super::opening::Opening;
use crate::catalog::{Catalog, CatalogError, Deleted};
use crate::config::Config;
use crate::log::{Logs, compaction, retention, unsaved};
use crate::tasks;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tracing::warn;

/// How often logs that grew enough save what recovery would otherwise read.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(10);
/// How often it is looked at whether all logs together grew by too much before that.
const SNAPSHOT_LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// From the start to the first look at what is too old or too much.
const FIRST_RETENTION: Duration = Duration::from_secs(30);
/// Between two looks at what is to be compacted, whatever `log.cleaner.backoff.ms` says.
const COMPACTION_REST_MIN: Duration = Duration::from_millis(10);

/// Starts all of it; whoever holds the handles ends it.
pub(super) fn start(config: &Config, logs: &Arc<Logs>, catalog: &Arc<Catalog>, opening: &Opening) -> Vec<JoinHandle<()>> {
    vec![
        tasks::spawn("finish deletions", finish_deletions(logs.clone(), catalog.clone())),
        tasks::spawn("open logs", opening.clone().open_everything()),
        tasks::spawn("retention", sweep_retention(logs.clone(), config.kafka.log_retention_check_interval_ms)),
        tasks::spawn("compaction", compact(logs.clone(), catalog.clone())),
        tasks::spawn("producer snapshots", save_snapshots(logs.clone())),
    ]
}

/// Removes what a deleted topic left in the store, and then the note about it.
pub(super) async fn purge(logs: &Logs, catalog: &Catalog, deleted: &Deleted) -> Result<(), CatalogError> {
    logs.delete(&deleted.logs).await.map_err(CatalogError::Store)?;
    catalog.forget_deleted(deleted.id).await
}

/// Finishes deletions that a crash cut short.
async fn finish_deletions(logs: Arc<Logs>, catalog: Arc<Catalog>) {
    for deleted in catalog.unfinished_deletions() {
        if let Err(error) = purge(&logs, &catalog, deleted).await {
            warn!(topic_id = %deleted.id, %error, "a deleted topic's logs are still there; the next start tries again");
        }
    }
}

async fn sweep_retention(logs: Arc<Logs>, interval_ms: i64) {
    let interval = Duration::from_millis(u64::try_from(interval_ms).unwrap_or(1).max(1));
    // A disk that was full needs room soon (LogManager.InitialTaskDelayMs).
    tokio::time::sleep(interval.min(FIRST_RETENTION)).await;
    loop {
        retention::sweep(&logs).await;
        tokio::time::sleep(interval).await;
    }
}

/// Compacts the topics that ask for it. Not the coordinators' own: they write their state anew instead, which their shards read back by order of
/// the log, not by key.
async fn compact(logs: Arc<Logs>, catalog: Arc<Catalog>) {
    let limits = || {
        let kafka = catalog.effective_kafka();
        compaction::Limits {
            keys_bytes: kafka.log_cleaner_dedupe_buffer_size,
            bytes_per_second: kafka.log_cleaner_io_max_bytes_per_second,
        }
    };
    loop {
        rest_from_compaction(&catalog).await;
        if !catalog.effective_kafka().log_cleaner_enable {
            continue;
        }
        let snapshot = catalog.snapshot();
        let compacted = snapshot.topics.values().filter(|topic| topic.settings.cleanup.compact && !topic.internal);
        let partitions = compacted.flat_map(|topic| &topic.logs).filter_map(|log| logs.get(*log)).collect();
        compaction::sweep(partitions, &limits).await;
    }
}

/// Waits for as long as `log.cleaner.backoff.ms` says, which may change meanwhile.
async fn rest_from_compaction(catalog: &Catalog) {
    let since = tokio::time::Instant::now();
    loop {
        let backoff_ms = u64::try_from(catalog.effective_kafka().log_cleaner_backoff_ms).unwrap_or(0);
        let left = Duration::from_millis(backoff_ms).max(COMPACTION_REST_MIN).saturating_sub(since.elapsed());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(Duration::from_secs(1))).await;
    }
}

async fn save_snapshots(logs: Arc<Logs>) {
    let mut last = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(SNAPSHOT_LOOK_INTERVAL).await;
        if last.elapsed() >= SNAPSHOT_INTERVAL || logs.is_much_unsaved() {
            unsaved::save_due(&logs).await;
            last = tokio::time::Instant::now();
        }
    }
}
