//! Open logs: `LogId` → [`Partition`]. The only owner of offsets is the partition; the only thing that moves bytes is the store.
//!
//! Owner: [`Logs`] holds the map and is the store's listener. A log is opened once, at its first use, by whoever asks first;
//! the others wait for that opening.

use crate::config::topic::TopicSettings;
use crate::env::Env;
use crate::ids::{Fence, LogId, Offset, Timestamp};
use crate::store::{CommitListener, LogStore, Marked, StoreError};
use crate::tasks;
use dashmap::DashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::OnceCell;
use tracing::warn;

pub mod ahead;
mod append;
pub mod batches;
pub mod compaction;
pub mod fetch;
mod markers;
mod partition;
mod producers;
mod read;
mod recovery;
mod repeats;
pub mod retention;
mod segment;
mod snapshot;
mod tail;
mod times;
mod totals;
mod transactions;
pub mod unsaved;
mod validate;
mod waiters;

#[cfg(test)]
mod tests;

pub use append::{AppendError, Appended, Checked, Origin};
pub use partition::{LogStopped, Partition, Statistics};
pub use producers::{MarkerVerdict, ProducerError, ProducerStatus};
pub use read::ReadError;
pub use transactions::{Aborted, Verification};
pub use validate::{DECOMPRESSED_BYTES_MAX, InvalidRecords};
pub use waiters::Waiter;

use tail::Tail;

/// What the log layer needs to know that is not per topic.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Bytes of newest batches kept in memory, over all partitions.
    pub tail_bytes: usize,
    /// How long an idle producer id keeps its sequence window (`producer.id.expiration.ms`).
    pub producer_expiration_ms: i64,
}

/// All open logs of this process.
pub struct Logs {
    store: Arc<dyn LogStore>,
    env: Env,
    /// `producer.id.expiration.ms`, which may change while logs are open; partitions read it anew each time.
    producer_expiration_ms: Arc<AtomicI64>,
    tail: Arc<Tail>,
    /// What recovery would read of all open logs, see `unsaved.rs`.
    unsaved: Arc<AtomicU64>,
    open: DashMap<LogId, Arc<OnceCell<Arc<Partition>>>>,
}

impl Logs {
    /// Takes the store over: from here on its commits are told to these logs.
    pub fn new(store: Arc<dyn LogStore>, env: Env, options: LogOptions) -> Arc<Logs> {
        let tail = Arc::new(Tail::new(options.tail_bytes));
        let producer_expiration_ms = Arc::new(AtomicI64::new(options.producer_expiration_ms));
        let (unsaved, open) = (Arc::default(), DashMap::new());
        let logs = Arc::new(Logs { store: store.clone(), env, producer_expiration_ms, tail, unsaved, open });
        store.listen(Arc::new(Commits { logs: Arc::downgrade(&logs) }));
        logs
    }

    /// The partition of `log`, if it is open already.
    #[must_use]
    pub fn get(&self, log: LogId) -> Option<Arc<Partition>> {
        self.open.get(&log).and_then(|cell| cell.get().cloned())
    }

    /// The partition of `log`, opened (and recovered) at its first use. An opening goes on when its caller goes away: the store would have the log open,
    /// and whoever opens it next would wait until all that is queued is committed, on a full disk for ever.
    ///
    /// # Errors
    /// What the store answers to opening or reading it.
    pub async fn open(self: &Arc<Logs>, log: LogId, settings: Arc<TopicSettings>) -> Result<Arc<Partition>, StoreError> {
        if let Some(partition) = self.get(log) {
            return Ok(partition);
        }
        let logs = self.clone();
        tasks::to_the_end("open a log", async move {
            // The map's guard is dropped before the await: the cell alone orders concurrent openings of one log.
            let cell = logs.open.entry(log).or_default().clone();
            let opening = async { Ok::<_, StoreError>(Arc::new(recovery::open(&logs, log, Fence(0), settings).await?)) };
            cell.get_or_try_init(|| opening).await.cloned()
        })
        .await
    }

    /// Changes [`LogOptions::producer_expiration_ms`], also of open logs.
    pub fn set_producer_expiration_ms(&self, ms: i64) {
        self.producer_expiration_ms.store(ms, Ordering::Relaxed);
    }

    /// Stops serving these logs and removes them from the store; readers and writers under way get [`LogStopped`].
    ///
    /// # Errors
    /// What the store answers.
    pub async fn delete(&self, logs: &[LogId]) -> Result<(), StoreError> {
        // The cells stay until the store has forgotten the logs, so that nobody opens one beside this.
        for partition in logs.iter().filter_map(|log| self.get(*log)) {
            partition.stop();
        }
        self.store.delete(logs.to_vec()).await?;
        for log in logs {
            self.close_deleted(*log).await;
        }
        Ok(())
    }

    async fn close_deleted(&self, log: LogId) {
        // Somebody with the topic in hand may have opened the log while the store still knew it, or be about to: their opening is
        // waited for, and stopped.
        let cell = self.open.entry(log).or_default().clone();
        let opened = cell.get_or_try_init(|| async { Err(StoreError::UnknownLog(log)) }).await;
        if let Ok(partition) = opened {
            partition.stop();
        }
        self.open.remove(&log);
    }

    /// The append that bears the mark `id`, if it has not expired: in which log it is, durably.
    ///
    /// # Errors
    /// What the store answers.
    pub fn find_mark(&self, id: u128) -> Result<Option<Marked>, StoreError> {
        let now = self.env.now();
        Ok(self.store.find_mark(id)?.filter(|one| one.mark.expires > now))
    }

    /// Every open partition, in no order: for maintenance.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Partition>> {
        self.open.iter().filter_map(|entry| entry.value().get().cloned()).collect()
    }

    /// Whether recovery would read too much: some snapshots are due.
    #[must_use]
    pub fn is_much_unsaved(&self) -> bool {
        self.unsaved_cost() > unsaved::ALL_MAX
    }

    fn unsaved_cost(&self) -> u64 {
        self.unsaved.load(Ordering::Relaxed)
    }

    /// The environment that the logs read their clock from.
    #[must_use]
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// All the room in the queue of a store in memory, until the answer is dropped.
    #[cfg(test)]
    pub(crate) async fn take_room(&self) -> crate::store::Permit {
        // What is larger than the queue takes the whole of it.
        self.store.reserve(100 << 20).await.expect("an open store")
    }

    /// See [`LogStore::stopping`].
    pub fn stopping(&self) {
        self.store.stopping();
    }

    /// Saves what recovery would otherwise have to work out again, then closes the store.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn close(&self) -> Result<(), StoreError> {
        for partition in self.all() {
            if let Err(error) = partition.save_snapshot(0).await {
                warn!(log = %partition.log(), %error, "the producers' snapshot could not be saved; the next start reads more");
            }
        }
        self.store.close().await
    }
}

/// The store's listener. Weak, because the logs own the store.
struct Commits {
    logs: Weak<Logs>,
}

impl CommitListener for Commits {
    fn committed(&self, log: LogId, last: Offset) {
        if let Some(partition) = self.logs.upgrade().and_then(|logs| logs.get(log)) {
            partition.committed(last);
        }
    }

    fn failed(&self, error: StoreError) {
        tasks::fatal(&format!("a durable write failed: {error}"));
    }
}

/// The moment before which records are past `retention.ms`; `None` when it is unlimited.
pub(crate) fn retention_cutoff(settings: &TopicSettings, now: Timestamp) -> Option<Timestamp> {
    (settings.cleanup.delete && settings.retention_ms >= 0).then(|| now.plus_ms(-settings.retention_ms))
}
