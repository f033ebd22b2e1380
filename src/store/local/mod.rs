//! The embedded store: batches in a journal shared by all logs, their keys in RocksDB.
//!
//! ```text
//!  append ──> queue ──> committer thread ──> journal segment (one vectored write, one sync per commit)
//!                            │                      ▲ next segment
//!                            ├──> index (RocksDB)   └── preparer thread
//!                            └──> listener               ▲ spare files
//!  read ──> blocking pool ──> index ──> segment files    │    (what is in memory is located without the pool)
//!  trim, delete ──> rows (RocksDB, synced) ──> reclaim thread: keys, empty and mostly dead segments
//!
//!  DIR/LOCK  DIR/VERSION  DIR/journal/*.segment *.spare  DIR/index/
//! ```
//! | state | owner |
//! |---|---|
//! | where the next commit goes | the committer thread |
//! | open logs; counters of segments | `ledger.rs`, `accounts.rs`, a lock each |
//! | what threads and callers share; rows of logs | `shared.rs` |
//! | keys, rows, snapshots, metadata | `index.rs`, `rows.rs`, `meta.rs` (RocksDB) |
//! | files and handles | `segment.rs` |
//! | what is to be removed | `reclaim.rs` |
//!
//! Bounds: the write queue by `queue_bytes` of permits; reads from the disk by [`READS_MAX`] at a time on the blocking pool; work of reclaim by one item
//! per log. A batch that was fenced off meanwhile is dropped with a warning and never told to the listener: its writer learns of the
//! newer fence from its next `open` or `trim`. The first failed write, sync or index change is told to the listener; after it every
//! append is dropped and `reserve` answers [`StoreError::Closed`].

mod accounts;
mod committer;
mod directory;
mod fields;
mod index;
mod journal;
mod ledger;
mod meta;
mod meters;
mod preparer;
mod queue;
mod reader;
mod reclaim;
mod recovery;
mod rows;
mod search;
mod segment;
mod shared;
#[cfg(test)]
mod tests;

use crate::env::Env;
use crate::ids::{Fence, LogId, Offset, Timestamp};
use crate::store::{
    Append, Batch, BoxFuture, CommitListener, LogBounds, LogStore, Marked, MetaChange, MetaCompare, MetaEntry, MetaStore, Permit,
    Replacement, StoreError, Stretch, SuffixChecksum,
};
use crate::tasks;
use accounts::SharedAccounts;
use bytes::Bytes;
pub use directory::OpenError;
use index::Index;
use ledger::LogState;
pub use meters::Meters;
use queue::Purpose;
use reader::Wanted;
use segment::SEGMENT_HEADER_BYTES;
use shared::{Opened, Shared};
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

const MIB: u64 = 1024 * 1024;
/// Positions within a segment are kept in 32 bits.
const SEGMENT_BYTES_MAX: u64 = 2048 * MIB;
/// Reads of RocksDB and of segments that run at once.
const READS_MAX: usize = 8;
/// Permits of the write queue are counted in these.
const PERMIT_BYTES: usize = 1024;

/// When a commit is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before it is told to the listener: nothing acknowledged is ever lost.
    Commit,
    /// At most this much later: a power failure loses what came since.
    Interval(Duration),
    /// When the operating system likes: as Kafka's default.
    Os,
}

/// How a [`LocalStore`] works.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    /// The data directory; made when it does not exist.
    pub dir: PathBuf,
    /// Size of one journal file; between 1 MiB and 2 GiB. A batch must fit into one.
    pub segment_bytes: u64,
    /// Batches that may wait for the disk, in bytes.
    pub queue_bytes: usize,
    pub sync: SyncPolicy,
    /// Fill new segments with zeros ahead of use, which makes syncing into them two to four times faster.
    pub zero_ahead: bool,
    pub on_damage: OnDamage,
    /// What is counted.
    pub meters: Meters,
}

/// What opening does about a journal whose acknowledged middle does not read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDamage {
    /// Says where it is, and changes nothing.
    Refuse,
    /// Cuts the journal there: that batch and all behind it in the journal are given up (`fbf repair --yes`).
    Cut,
}

impl LocalOptions {
    /// The defaults: segments of 128 MiB, a queue of 64 MiB, every commit synced.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> LocalOptions {
        LocalOptions {
            dir: dir.into(),
            segment_bytes: 128 * MIB,
            queue_bytes: 64 * 1024 * 1024,
            sync: SyncPolicy::Commit,
            zero_ahead: true,
            on_damage: OnDamage::Refuse,
            meters: Meters::default(),
        }
    }

    fn bounded(mut self) -> LocalOptions {
        self.segment_bytes = self.segment_bytes.clamp(MIB, SEGMENT_BYTES_MAX).next_multiple_of(4096).min(SEGMENT_BYTES_MAX);
        self.queue_bytes =
            self.queue_bytes.clamp(PERMIT_BYTES, Semaphore::MAX_PERMITS.min(u32::MAX as usize).saturating_mul(PERMIT_BYTES));
        self
    }

    /// The largest batch that fits into a segment.
    fn batch_bytes_max(&self) -> usize {
        let overhead = SEGMENT_HEADER_BYTES + (journal::COMMIT_HEADER_BYTES + journal::TABLE_BYTES_MAX) as u64;
        usize::try_from(self.segment_bytes - overhead).unwrap_or(usize::MAX)
    }
}

/// Locks, whatever happened to the thread that held it: a panic stops the process anyway (`tasks.rs`).
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Batches in a journal, keys in RocksDB, in one directory that this process alone uses.
pub struct LocalStore {
    shared: Arc<Shared>,
    running: Mutex<Option<Running>>,
}

/// What runs until close.
struct Running {
    committer: JoinHandle<()>,
    preparer: JoinHandle<()>,
    reclaim: JoinHandle<()>,
    /// Closing it releases the directory.
    _lock: File,
}

impl Running {
    /// Whether the caller runs on one of the threads.
    fn is_here(&self) -> bool {
        let here = std::thread::current().id();
        [&self.committer, &self.preparer, &self.reclaim].iter().any(|thread| thread.thread().id() == here)
    }
}

/// How a store stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Flush the keys and mark the directory clean.
    Clean,
    /// Only stop the threads: the next open replays.
    Quick,
}

impl LocalStore {
    /// Opens or creates the store in `options.dir`. Blocks: replays what a crash left, at most about two segments of journal.
    ///
    /// Answers [`OpenError`], one line for the operator each.
    pub fn open(options: LocalOptions) -> Result<Arc<LocalStore>, OpenError> {
        let options = options.bounded();
        let held = directory::claim(&options.dir)?;
        let env = Env::system();
        // Nobody else looks for room before the index has used it.
        preparer::leave_room(&options.dir.join("journal"), options.segment_bytes);
        let index = Index::open(&options.dir.join("index"), &env).map_err(|error| {
            let advice = "if it is damaged, bring the directory back from a backup: `fbf repair` cannot mend this";
            OpenError::Io(format!("index in {}: {error}; {advice}", options.dir.display()))
        })?;
        // The index made a folder of its own.
        segment::sync_dir(&options.dir).map_err(|error| OpenError::file(&options.dir, &error))?;
        let recovered = recovery::recover(&options, &index, &env)?;
        let index = Arc::new(index);
        let shared = Arc::new(Shared {
            room: Arc::new(Semaphore::new(options.queue_bytes / PERMIT_BYTES)),
            reads: Arc::new(Semaphore::new(READS_MAX)),
            index: RwLock::new(Some(Arc::clone(&index))),
            segments: recovered.segments,
            ledger: Mutex::default(),
            accounts: SharedAccounts::new(recovered.accounts),
            durable: Mutex::new(recovered.end),
            unsynced: Mutex::default(),
            queue: queue::Queue::default(),
            preparer: preparer::Preparer::new(recovered.spares),
            reclaim: reclaim::Reclaim::new(),
            stale_moves: AtomicU64::new(0),
            is_disk_full: AtomicBool::new(false),
            are_moves_waiting: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            listener: OnceLock::new(),
            failure: OnceLock::new(),
            rows: std::array::from_fn(|_| Mutex::default()),
            meta: Mutex::default(),
            env,
            options,
        });
        let running = Running {
            committer: committer::start(&shared, &index, recovered.current, recovered.end),
            preparer: preparer::start(&shared),
            reclaim: reclaim::start(&shared, &index),
            _lock: held,
        };
        Ok(Arc::new(LocalStore { shared, running: Mutex::new(Some(running)) }))
    }

    /// Runs `work` on the blocking pool, at most [`READS_MAX`] at a time.
    async fn reading<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared, &Index) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let slot = Arc::clone(&self.shared.reads).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let shared = Arc::clone(&self.shared);
        tasks::blocking("store read", move || {
            // Given back when the work is done, not when its caller loses interest.
            let _slot = slot;
            let index = shared.index()?;
            work(&shared, &index)
        })
        .await
    }

    /// Waits until what was queued so far is committed.
    async fn wait_for_queue(&self) -> Result<(), StoreError> {
        let (passed, wait) = oneshot::channel();
        self.shared.queue.push_barrier(Box::new(move || {
            // Whoever waits may have lost interest.
            let _ = passed.send(());
        }));
        wait.await.map_err(|_| StoreError::Closed)
    }

    /// Runs `work`, which waits for a sync, on the blocking pool. A failure of the device ends the store.
    async fn changing<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        tasks::blocking("store change", move || {
            let answer = work(&shared);
            if let Err(error @ StoreError::Io(_)) = &answer {
                shared.fail(error.clone());
            }
            answer
        })
        .await
    }
}

/// A replacement as it is queued.
fn replacing(log: LogId, fence: Fence, change: Replacement) -> (Append, Purpose) {
    let (batch, checksum, purpose) = match change {
        Replacement::Rewrite { batch, checksum } => (batch, checksum, Purpose::Rewrite),
        Replacement::Remove { first, last } => {
            let nothing = Batch { first, last, max_timestamp: Timestamp::NONE, bytes: Bytes::new() };
            // CRC-32C of no bytes is 0.
            (nothing, SuffixChecksum { from: 0, crc: 0 }, Purpose::Remove)
        }
    };
    let Batch { first, last, max_timestamp, bytes } = batch;
    (Append { log, fence, first, last, max_timestamp, bytes, checksum, mark: None }, purpose)
}

/// Stops the threads and gives the directory back; blocks until what is queued is committed. Later calls do nothing.
fn stop(shared: &Shared, running: Running, stop: Stop) -> Result<(), StoreError> {
    shared.room.close();
    shared.queue.close();
    // A thread that panicked has stopped the process (tasks.rs), so there is nothing to learn from these.
    let _ = running.committer.join();
    shared.reclaim.close();
    shared.preparer.close();
    let _ = running.reclaim.join();
    let _ = running.preparer.join();
    let index = shared.index.write().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut index) = index else { return Ok(()) };
    let mut answer = match shared.failure.get() {
        Some(error) => Err(error.clone()),
        None => Ok(()),
    };
    if stop == Stop::Clean && answer.is_ok() {
        let end = shared.accounts.lock().state.end;
        answer = index.flush().and_then(|()| index.put_clean_end(end));
    }
    // RocksDB's own lock goes with its last user: a read that is still running.
    loop {
        match Arc::try_unwrap(index) {
            Ok(index) => {
                drop(index);
                return answer;
            }
            Err(still_read) => index = still_read,
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl Drop for LocalStore {
    fn drop(&mut self) {
        if let Some(running) = lock(&self.running).take() {
            // Nobody is there to hear of a failure; the next open replays the journal.
            let stop = |shared: &Shared, running| drop(stop(shared, running, Stop::Quick));
            if running.is_here() {
                // Its owner went while the listener was told of a commit: a thread does not wait for its own end.
                let shared = Arc::clone(&self.shared);
                tasks::thread("fbf-stop", move || stop(&shared, running));
            } else {
                stop(&self.shared, running);
            }
        }
    }
}

impl LogStore for LocalStore {
    fn listen(&self, listener: Arc<dyn CommitListener>) {
        if self.shared.listener.set(listener).is_err() {
            tracing::warn!("a second listener was named; the first one keeps being told");
        }
        // One that came before anybody listened; `fail` notes it before it looks who does, so that one of the two tells.
        if let (Some(error), Some(listener)) = (self.shared.failure.get(), self.shared.listener.get()) {
            listener.failed(error.clone());
        }
    }

    fn open(&self, log: LogId, fence: Fence) -> BoxFuture<'_, Result<LogBounds, StoreError>> {
        Box::pin(async move {
            if let Opened::First(bounds) = self.changing(move |shared| shared.open_log(log, fence)).await? {
                return Ok(bounds);
            }
            // Batches of the former writer may be on the way to disk: they count, so wait for them.
            self.wait_for_queue().await?;
            lock(&self.shared.ledger).log(log).map(LogState::bounds)
        })
    }

    fn batch_bytes_max(&self) -> usize {
        self.shared.options.batch_bytes_max()
    }

    fn reserve(&self, bytes: usize) -> BoxFuture<'_, Result<Permit, StoreError>> {
        Box::pin(async move {
            let limit = self.shared.options.batch_bytes_max();
            if bytes > limit {
                return Err(StoreError::TooLarge { bytes, limit });
            }
            let all = self.shared.options.queue_bytes / PERMIT_BYTES;
            let units = u32::try_from(bytes.div_ceil(PERMIT_BYTES).clamp(1, all)).unwrap_or(u32::MAX);
            let room = Arc::clone(&self.shared.room).acquire_many_owned(units).await;
            room.map(|room| Permit(Some(room))).map_err(|_| StoreError::Closed)
        })
    }

    fn append(&self, permit: Permit, append: Append) {
        self.shared.queue.push(queue::Item { permit: Some(permit), append, purpose: Purpose::Append });
    }

    fn read(&self, log: LogId, from: Offset, to: Offset, max_bytes: usize) -> BoxFuture<'_, Result<Vec<Batch>, StoreError>> {
        Box::pin(self.reading(move |shared, index| reader::read(shared, index, Wanted { log, from, to, max_bytes })))
    }

    fn locate(&self, log: LogId, from: Offset, to: Offset, max_bytes: usize) -> BoxFuture<'_, Result<Vec<Stretch>, StoreError>> {
        let wanted = Wanted { log, from, to, max_bytes };
        Box::pin(async move {
            let found = reader::locate_in_memory(&self.shared, &*self.shared.index()?, wanted);
            match found {
                Some(found) => Ok(found),
                None => self.reading(move |shared, index| reader::locate(shared, index, wanted)).await,
            }
        })
    }

    fn find_mark(&self, id: u128) -> Result<Option<Marked>, StoreError> {
        self.shared.index()?.mark(id)
    }

    fn at_time(&self, log: LogId, from: Offset, time: Timestamp) -> BoxFuture<'_, Result<Option<Offset>, StoreError>> {
        Box::pin(self.reading(move |shared, index| {
            let state = *lock(&shared.ledger).log(log)?;
            search::at_time(index, log, &state, from, time)
        }))
    }

    fn max_time(&self, log: LogId) -> BoxFuture<'_, Result<Option<(Offset, Timestamp)>, StoreError>> {
        Box::pin(self.reading(move |shared, index| {
            let state = *lock(&shared.ledger).log(log)?;
            search::max_time(index, log, &state)
        }))
    }

    fn keep_bytes(&self, log: LogId, bytes: u64) -> BoxFuture<'_, Result<Offset, StoreError>> {
        Box::pin(self.reading(move |shared, index| {
            let state = *lock(&shared.ledger).log(log)?;
            search::keep_bytes(index, log, &state, bytes)
        }))
    }

    fn size(&self, log: LogId) -> u64 {
        lock(&self.shared.ledger).log(log).map_or(0, LogState::bytes)
    }

    fn bytes_from(&self, log: LogId, from: Offset) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(self.reading(move |shared, index| {
            let state = *lock(&shared.ledger).log(log)?;
            search::bytes_from(index, log, &state, from)
        }))
    }

    fn replace(&self, log: LogId, fence: Fence, changes: Vec<Replacement>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            lock(&self.shared.ledger).fenced(log, fence)?;
            self.changing(|shared| shared.index()?.sync_rows()).await?;
            let mut refused = None;
            for change in changes {
                let (append, purpose) = replacing(log, fence, change);
                match self.reserve(append.bytes.len()).await {
                    Ok(permit) => self.shared.queue.push(queue::Item { permit: Some(permit), append, purpose }),
                    Err(error) => {
                        refused = Some(error);
                        break;
                    }
                }
            }
            // Also what came before a refusal: who tries again must find it done, not on its way.
            self.wait_for_queue().await?;
            if let Some(error) = refused {
                return Err(error);
            }
            lock(&self.shared.ledger).fenced(log, fence).map(drop)
        })
    }

    fn trim(&self, log: LogId, fence: Fence, start: Offset) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.changing(move |shared| shared.trim_log(log, fence, start)))
    }

    fn delete(&self, logs: Vec<LogId>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.changing(move |shared| shared.delete_logs(&logs)))
    }

    fn put_snapshot(&self, log: LogId, at: Offset, value: Bytes) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.changing(move |shared| {
            lock(&shared.ledger).log(log)?;
            shared.index()?.put_snapshot(log, at, &value)
        }))
    }

    fn get_snapshot(&self, log: LogId) -> BoxFuture<'_, Result<Option<(Offset, Bytes)>, StoreError>> {
        Box::pin(self.reading(move |shared, index| {
            lock(&shared.ledger).log(log)?;
            index.snapshot(log)
        }))
    }

    fn stopping(&self) {
        self.shared.is_stopping.store(true, Ordering::Relaxed);
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let Some(running) = lock(&self.running).take() else { return Ok(()) };
            let shared = Arc::clone(&self.shared);
            tasks::blocking("store close", move || stop(&shared, running, Stop::Clean)).await
        })
    }
}

impl MetaStore for LocalStore {
    fn range(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<MetaEntry>, StoreError>> {
        let prefix = prefix.to_owned();
        Box::pin(self.reading(move |_, index| index.meta_range(&prefix)))
    }

    fn commit(&self, compares: Vec<MetaCompare>, changes: Vec<MetaChange>) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(self.changing(move |shared| {
            let index = shared.index()?;
            let _one = lock(&shared.meta);
            index.meta_commit(&compares, &changes)
        }))
    }
}
