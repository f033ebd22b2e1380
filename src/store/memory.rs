//! The reference backend: everything in memory, gone at exit. For tests and `--ephemeral`.
//!
//! Batches go through a queue to a thread of the store's own, as in the embedded store, because `append` is called under the log's lock
//! and the listener may take that lock. Owner of all state: one mutex, held for microseconds. Bound: the queue by permits (`queue_bytes`);
//! the batches themselves are bounded by retention alone. Fenced-off batches are dropped, as in the embedded store.

use super::{
    Append, Batch, BoxFuture, CommitListener, LogBounds, LogStore, Marked, MetaChange, MetaCompare, MetaEntry, MetaStore, Permit,
    Replacement, StoreError,
};
use crate::ids::{Fence, LogId, Offset, Timestamp};
use crate::tasks;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::Semaphore;

const QUEUE_BYTES: usize = 64 * 1024 * 1024;
const PERMIT_BYTES: usize = 1024;
/// The largest batch, as with the embedded store's default segments.
const BATCH_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Batches and metadata in memory.
pub struct MemoryStore {
    inner: Arc<Inner>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Inner {
    state: Mutex<State>,
    wake: Condvar,
    listener: OnceLock<Arc<dyn CommitListener>>,
    room: Arc<Semaphore>,
    queue_bytes: usize,
}

#[derive(Default)]
struct State {
    kept: Kept,
    queue: VecDeque<(Permit, Append)>,
    is_closed: bool,
}

/// What outlives a close, as far as anything does here.
#[derive(Clone, Default)]
struct Kept {
    logs: HashMap<LogId, Log>,
    deleted: HashSet<LogId>,
    marks: HashMap<u128, Marked>,
    marks_by_expiry: BTreeMap<(Timestamp, u128), ()>,
    meta: BTreeMap<String, (Bytes, u64)>,
    revision: u64,
}

#[derive(Clone, Default)]
struct Log {
    fence: Fence,
    start: Offset,
    next: Offset,
    bytes: u64,
    /// Bytes that replacements took away, by the last offset of the batch.
    replaced: BTreeMap<Offset, u64>,
    /// By last offset.
    batches: BTreeMap<Offset, Batch>,
    snapshot: Option<(Offset, Bytes)>,
}

impl MemoryStore {
    /// An empty store with a write queue of 64 MiB.
    #[must_use]
    pub fn new() -> Arc<MemoryStore> {
        MemoryStore::with_queue(QUEUE_BYTES)
    }

    /// An empty store with a write queue of `queue_bytes`.
    #[must_use]
    pub fn with_queue(queue_bytes: usize) -> Arc<MemoryStore> {
        MemoryStore::holding(Kept::default(), queue_bytes)
    }

    fn holding(kept: Kept, queue_bytes: usize) -> Arc<MemoryStore> {
        let queue_bytes = queue_bytes.clamp(PERMIT_BYTES, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let inner = Arc::new(Inner {
            state: Mutex::new(State { kept, ..State::default() }),
            wake: Condvar::new(),
            listener: OnceLock::new(),
            room: Arc::new(Semaphore::new(queue_bytes / PERMIT_BYTES)),
            queue_bytes,
        });
        let committing = Arc::clone(&inner);
        let thread = tasks::thread("fbf-memory", move || committing.commit_until_closed());
        Arc::new(MemoryStore { inner, thread: Mutex::new(Some(thread)) })
    }

    /// A store that holds what this one has committed: what a restart would find if memory lasted.
    #[cfg(test)]
    #[must_use]
    pub fn fork(&self) -> Arc<MemoryStore> {
        let mut kept = self.inner.lock().kept.clone();
        for log in kept.logs.values_mut() {
            // Made of batches that were lost: others will come at their offsets.
            log.snapshot = log.snapshot.take().filter(|(at, _)| *at <= log.next.max(log.start));
        }
        MemoryStore::holding(kept, self.inner.queue_bytes)
    }

    /// Stops at once: what is queued is gone, nobody is told of anything any more.
    #[cfg(test)]
    pub fn power_off(&self) {
        self.inner.room.close();
        let mut state = self.inner.lock();
        state.is_closed = true;
        let dropped = std::mem::take(&mut state.queue);
        drop(state);
        drop(dropped);
        self.inner.wake.notify_all();
    }

    /// Runs `work` on an open store.
    fn with<T>(&self, work: impl FnOnce(&mut Kept) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut state = self.inner.lock();
        if state.is_closed {
            return Err(StoreError::Closed);
        }
        work(&mut state.kept)
    }
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        self.inner.close();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.room.close();
        self.lock().is_closed = true;
        self.wake.notify_all();
    }

    fn commit_until_closed(&self) {
        loop {
            let mut state = self.lock();
            while state.queue.is_empty() {
                if state.is_closed {
                    return;
                }
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let mut told = Vec::new();
            let queue = std::mem::take(&mut state.queue);
            // Permits are given back, all at once, when the listener has been told.
            let mut permits = Vec::with_capacity(queue.len());
            for (permit, append) in queue {
                permits.push(permit);
                let (log, last) = (append.log, append.last);
                if state.kept.commit(append) {
                    told.push((log, last));
                }
            }
            drop(state);
            if let Some(listener) = self.listener.get() {
                told.into_iter().for_each(|(log, last)| listener.committed(log, last));
            }
        }
    }
}

impl Kept {
    fn log(&self, log: LogId) -> Result<&Log, StoreError> {
        self.logs.get(&log).ok_or(StoreError::UnknownLog(log))
    }

    fn log_mut(&mut self, log: LogId) -> Result<&mut Log, StoreError> {
        self.logs.get_mut(&log).ok_or(StoreError::UnknownLog(log))
    }

    /// `false` when the batch was dropped.
    fn commit(&mut self, append: Append) -> bool {
        let Some(log) = self.logs.get_mut(&append.log) else { return false };
        if append.fence < log.fence {
            tracing::warn!(log = %append.log, first = %append.first, "a batch of a fenced-off writer is dropped");
            return false;
        }
        log.next = log.next.max(append.last.next());
        if let Some(mark) = append.mark {
            // Whoever makes a mark says what time it is.
            while let Some(oldest) = self.marks_by_expiry.first_entry().filter(|oldest| oldest.key().0 <= mark.made) {
                self.marks.remove(&oldest.remove_entry().0.1);
            }
            self.marks.insert(mark.id, Marked { log: append.log, first: append.first, last: append.last, mark });
            self.marks_by_expiry.insert((mark.expires, mark.id), ());
        }
        if append.last >= log.start {
            log.bytes += append.bytes.len() as u64;
            let Append { first, last, max_timestamp, bytes, .. } = append;
            log.batches.insert(last, Batch { first, last, max_timestamp, bytes });
        }
        true
    }
}

impl Log {
    fn living(&self) -> impl Iterator<Item = &Batch> {
        self.batches.values()
    }

    fn trim(&mut self, start: Offset) {
        if start <= self.start {
            return;
        }
        self.start = start;
        self.batches = self.batches.split_off(&start);
        self.bytes = self.living().map(|batch| batch.bytes.len() as u64).sum();
    }

    fn read(&self, from: Offset, to: Offset, max_bytes: usize) -> Vec<Batch> {
        let mut bytes = 0usize;
        let mut batches = Vec::new();
        for batch in self.batches.range(from..).map(|(_, batch)| batch) {
            bytes = bytes.saturating_add(batch.bytes.len());
            if batch.first >= to || (bytes > max_bytes && !batches.is_empty()) {
                break;
            }
            batches.push(batch.clone());
        }
        batches
    }

    fn replace(&mut self, change: Replacement) {
        match change {
            Replacement::Rewrite { batch, .. } => {
                let Some(old) = self.batches.get_mut(&batch.last).filter(|old| old.first == batch.first) else { return };
                let (before, after) = (old.bytes.len() as u64, batch.bytes.len() as u64);
                *self.replaced.entry(batch.last).or_default() += before.saturating_sub(after);
                *old = batch;
            }
            Replacement::Remove { first, last } => {
                let end = last.min(self.next.previous().previous());
                let inside = |batch: &&Batch| batch.first >= first && batch.last <= end;
                let removed: Vec<Offset> = self.living().filter(inside).map(|batch| batch.last).collect();
                for batch in removed.iter().filter_map(|last| self.batches.remove(last)) {
                    *self.replaced.entry(batch.last).or_default() += batch.bytes.len() as u64;
                }
            }
        }
        self.bytes = self.living().map(|batch| batch.bytes.len() as u64).sum();
    }

    fn bytes_from(&self, from: Offset) -> u64 {
        let living: u64 = self.batches.range(from..).map(|(_, batch)| batch.bytes.len() as u64).sum();
        living + self.replaced.range(from..).map(|(_, bytes)| bytes).sum::<u64>()
    }

    fn keep_bytes(&self, bytes: u64) -> Offset {
        let mut kept = 0u64;
        let mut start = self.next;
        for batch in self.batches.values().rev() {
            if kept >= bytes {
                return start;
            }
            kept += batch.bytes.len() as u64;
            start = batch.first;
        }
        self.start
    }
}

/// A future that is ready: memory does not wait.
fn ready<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, T> {
    Box::pin(std::future::ready(value))
}

impl LogStore for MemoryStore {
    fn listen(&self, listener: Arc<dyn CommitListener>) {
        if self.inner.listener.set(listener).is_err() {
            tracing::warn!("a second listener was named; the first one keeps being told");
        }
    }

    fn open(&self, log: LogId, fence: Fence) -> BoxFuture<'_, Result<LogBounds, StoreError>> {
        ready(self.with(|kept| {
            if kept.deleted.contains(&log) {
                return Err(StoreError::UnknownLog(log));
            }
            let opened = kept.logs.entry(log).or_default();
            if fence < opened.fence {
                return Err(StoreError::Fenced { log, held: fence, newest: opened.fence });
            }
            // Queued batches of an older fence are dropped when their turn comes, so these bounds stay true.
            opened.fence = fence;
            Ok(LogBounds {
                start: opened.start,
                next: opened.next.max(opened.start),
                bytes: opened.bytes,
                is_replaced: !opened.replaced.is_empty(),
            })
        }))
    }

    fn batch_bytes_max(&self) -> usize {
        BATCH_BYTES_MAX
    }

    fn reserve(&self, bytes: usize) -> BoxFuture<'_, Result<Permit, StoreError>> {
        Box::pin(async move {
            if bytes > BATCH_BYTES_MAX {
                return Err(StoreError::TooLarge { bytes, limit: BATCH_BYTES_MAX });
            }
            let all = self.inner.queue_bytes / PERMIT_BYTES;
            let units = u32::try_from(bytes.div_ceil(PERMIT_BYTES).clamp(1, all)).unwrap_or(u32::MAX);
            let room = Arc::clone(&self.inner.room).acquire_many_owned(units).await;
            room.map(|room| Permit(Some(room))).map_err(|_| StoreError::Closed)
        })
    }

    fn append(&self, permit: Permit, append: Append) {
        let mut state = self.inner.lock();
        if state.is_closed {
            // The permit's room must not be given back under this lock.
            drop(state);
            drop(permit);
            return;
        }
        state.queue.push_back((permit, append));
        drop(state);
        self.inner.wake.notify_one();
    }

    fn read(&self, log: LogId, from: Offset, to: Offset, max_bytes: usize) -> BoxFuture<'_, Result<Vec<Batch>, StoreError>> {
        ready(self.with(|kept| Ok(kept.log(log)?.read(from, to, max_bytes))))
    }

    fn find_mark(&self, id: u128) -> Result<Option<Marked>, StoreError> {
        self.with(|kept| Ok(kept.marks.get(&id).copied()))
    }

    fn at_time(&self, log: LogId, from: Offset, time: Timestamp) -> BoxFuture<'_, Result<Option<Offset>, StoreError>> {
        ready(self.with(|kept| {
            let found =
                kept.log(log)?.living().find(|batch| batch.last >= from && batch.max_timestamp >= time).map(|batch| batch.first);
            Ok(found)
        }))
    }

    fn max_time(&self, log: LogId) -> BoxFuture<'_, Result<Option<(Offset, Timestamp)>, StoreError>> {
        ready(self.with(|kept| {
            let mut best: Option<(Offset, Timestamp)> = None;
            for batch in kept.log(log)?.living() {
                if best.is_none_or(|(_, largest)| batch.max_timestamp > largest) {
                    best = Some((batch.first, batch.max_timestamp));
                }
            }
            Ok(best)
        }))
    }

    fn keep_bytes(&self, log: LogId, bytes: u64) -> BoxFuture<'_, Result<Offset, StoreError>> {
        ready(self.with(|kept| Ok(kept.log(log)?.keep_bytes(bytes))))
    }

    fn size(&self, log: LogId) -> u64 {
        self.inner.lock().kept.log(log).map_or(0, |log| log.bytes)
    }

    fn bytes_from(&self, log: LogId, from: Offset) -> BoxFuture<'_, Result<u64, StoreError>> {
        ready(self.with(|kept| Ok(kept.log(log)?.bytes_from(from))))
    }

    fn replace(&self, log: LogId, fence: Fence, changes: Vec<Replacement>) -> BoxFuture<'_, Result<(), StoreError>> {
        ready(self.with(|kept| {
            let replaced = kept.log_mut(log)?;
            if fence < replaced.fence {
                return Err(StoreError::Fenced { log, held: fence, newest: replaced.fence });
            }
            changes.into_iter().for_each(|change| replaced.replace(change));
            Ok(())
        }))
    }

    fn trim(&self, log: LogId, fence: Fence, start: Offset) -> BoxFuture<'_, Result<(), StoreError>> {
        ready(self.with(|kept| {
            let trimmed = kept.log_mut(log)?;
            if fence < trimmed.fence {
                return Err(StoreError::Fenced { log, held: fence, newest: trimmed.fence });
            }
            trimmed.trim(start);
            Ok(())
        }))
    }

    fn delete(&self, logs: Vec<LogId>) -> BoxFuture<'_, Result<(), StoreError>> {
        ready(self.with(|kept| {
            for log in logs {
                kept.logs.remove(&log);
                kept.deleted.insert(log);
            }
            Ok(())
        }))
    }

    fn put_snapshot(&self, log: LogId, at: Offset, value: Bytes) -> BoxFuture<'_, Result<(), StoreError>> {
        ready(self.with(|kept| {
            kept.log_mut(log)?.snapshot = Some((at, value));
            Ok(())
        }))
    }

    fn get_snapshot(&self, log: LogId) -> BoxFuture<'_, Result<Option<(Offset, Bytes)>, StoreError>> {
        ready(self.with(|kept| Ok(kept.log(log)?.snapshot.clone())))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.inner.close();
            let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(thread) = thread {
                // A thread that panicked has stopped the process (tasks.rs).
                let _ = tasks::blocking("memory store close", move || thread.join()).await;
            }
            Ok(())
        })
    }
}

impl MetaStore for MemoryStore {
    fn range(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<MetaEntry>, StoreError>> {
        ready(self.with(|kept| {
            let from: (Bound<&str>, Bound<&str>) = (Bound::Included(prefix), Bound::Unbounded);
            let matching = kept.meta.range::<str, _>(from).take_while(|(key, _)| key.starts_with(prefix));
            let entry = |(key, (value, revision)): (&String, &(Bytes, u64))| MetaEntry {
                key: key.clone(),
                value: value.clone(),
                revision: *revision,
            };
            Ok(matching.map(entry).collect())
        }))
    }

    fn commit(&self, compares: Vec<MetaCompare>, changes: Vec<MetaChange>) -> BoxFuture<'_, Result<u64, StoreError>> {
        ready(self.with(|kept| {
            let revision_of = |key: &str| kept.meta.get(key).map_or(0, |(_, revision)| *revision);
            if compares.iter().any(|compare| revision_of(&compare.key) != compare.revision) {
                return Err(StoreError::Conflict);
            }
            if changes.is_empty() {
                return Ok(kept.revision);
            }
            kept.revision += 1;
            for change in changes {
                match change.value {
                    Some(value) => kept.meta.insert(change.key, (value, kept.revision)),
                    None => kept.meta.remove(&change.key),
                };
            }
            Ok(kept.revision)
        }))
    }
}
