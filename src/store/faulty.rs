//! A store for tests that fails as told: it holds batches back, loses them in a power failure, or refuses to write.
//!
//! ```text
//! append ─> held back ──release()──> MemoryStore ──> listener
//!              │ crash(): lost; what was released and committed is found by the store that crash() answers
//!              │ fail(): lost; the listener is told of the failure
//! ```
//! By hand ([`FaultyStore::holding`]) nothing is committed before [`FaultyStore::release`]. From a seed ([`FaultyStore::seeded`]) a thread
//! releases one to four batches at a time, at random moments. Bound: the permits of the inner store.

use super::memory::MemoryStore;
use super::{
    Append, Batch, BoxFuture, CommitListener, LogBounds, LogStore, Marked, MetaChange, MetaCompare, MetaEntry, MetaStore, Permit,
    Replacement, StoreError, Stretch,
};
use crate::env::Env;
use crate::ids::{Fence, LogId, Offset, Timestamp};
use crate::tasks;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// A [`MemoryStore`] behind a gate.
pub struct FaultyStore {
    inner: Arc<MemoryStore>,
    gate: Arc<Gate>,
    seed: Option<u64>,
    listener: OnceLock<Arc<dyn CommitListener>>,
    next_meta_failure: Mutex<Option<StoreError>>,
    replacements_left: Mutex<Option<usize>>,
    batch_bytes_max: AtomicUsize,
    are_trims_held: AtomicBool,
}

#[derive(Default)]
struct Gate {
    state: Mutex<Held>,
    wake: Condvar,
}

#[derive(Default)]
struct Held {
    appends: VecDeque<(Permit, Append)>,
    /// Whatever comes is dropped.
    is_dead: bool,
    is_closed: bool,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `count` batches pass, in order; under the lock, so that two releases cannot overtake each other.
    fn release(&self, inner: &MemoryStore, count: usize) {
        let mut held = self.lock();
        let count = count.min(held.appends.len());
        for (permit, append) in held.appends.drain(..count) {
            inner.append(permit, append);
        }
    }

    fn drop_all(&self) {
        let mut held = self.lock();
        held.is_dead = true;
        let lost = std::mem::take(&mut held.appends);
        drop(held);
        drop(lost);
        self.wake.notify_all();
    }

    /// Releases at random until closed.
    fn release_randomly(&self, inner: &MemoryStore, env: &Env) {
        loop {
            let mut held = self.lock();
            while held.appends.is_empty() {
                if held.is_closed || held.is_dead {
                    return;
                }
                held = self.wake.wait(held).unwrap_or_else(PoisonError::into_inner);
            }
            let delay = Duration::from_micros(env.below(500));
            // A new batch may cut the delay short: that is one more order of events.
            let (held, _) = self.wake.wait_timeout(held, delay).unwrap_or_else(PoisonError::into_inner);
            drop(held);
            self.release(inner, usize::try_from(1 + env.below(4)).unwrap_or(1));
        }
    }
}

impl FaultyStore {
    /// An empty store that holds every batch back until it is released.
    #[must_use]
    pub fn holding() -> Arc<FaultyStore> {
        FaultyStore::around(MemoryStore::new(), None)
    }

    /// An empty store that commits after random delays.
    #[must_use]
    pub fn seeded(seed: u64) -> Arc<FaultyStore> {
        FaultyStore::around(MemoryStore::new(), Some(seed))
    }

    /// Puts the gate in front of `inner`, which may hold something already.
    #[must_use]
    pub fn around(inner: Arc<MemoryStore>, seed: Option<u64>) -> Arc<FaultyStore> {
        let gate = Arc::new(Gate::default());
        if let Some(seed) = seed {
            let (gate, inner) = (Arc::clone(&gate), Arc::clone(&inner));
            let env = Env::manual(Timestamp(0), seed);
            tasks::thread("fbf-faulty", move || gate.release_randomly(&inner, &env));
        }
        let batch_bytes_max = AtomicUsize::new(inner.batch_bytes_max());
        Arc::new(FaultyStore {
            inner,
            gate,
            seed,
            listener: OnceLock::new(),
            next_meta_failure: Mutex::default(),
            replacements_left: Mutex::default(),
            batch_bytes_max,
            are_trims_held: AtomicBool::new(false),
        })
    }

    /// Says that no batch may be larger, as after a start with smaller segments; `reserve` takes them still.
    pub fn limit_batches(&self, bytes: usize) {
        self.batch_bytes_max.store(bytes, Ordering::Relaxed);
    }

    /// How many batches are held back.
    #[must_use]
    pub fn held(&self) -> usize {
        self.gate.lock().appends.len()
    }

    /// Lets the next `count` batches be committed (soon, on the store's own thread).
    pub fn release(&self, count: usize) {
        self.gate.release(&self.inner, count);
    }

    /// Lets everything that is held back be committed.
    pub fn release_all(&self) {
        self.release(usize::MAX);
    }

    /// A write fails: what is held back is lost, the listener is told, whatever comes later is dropped.
    pub fn fail(&self, error: StoreError) {
        self.gate.drop_all();
        self.inner.power_off();
        if let Some(listener) = self.listener.get() {
            listener.failed(error);
        }
    }

    /// The next metadata commit answers `error` and changes nothing.
    pub fn fail_next_meta(&self, error: StoreError) {
        *self.next_meta_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// After `count` more replaced batches, replacing answers [`StoreError::Closed`]: a crash in the middle of it.
    pub fn stop_replacing_after(&self, count: usize) {
        *self.replacements_left.lock().unwrap_or_else(PoisonError::into_inner) = Some(count);
    }

    /// Trims wait for the disk from now on, and change nothing: a crash comes first.
    pub fn hold_trims(&self) {
        self.are_trims_held.store(true, Ordering::Relaxed);
    }

    /// The power fails: answers the store that is found afterwards, of the same kind. This one is dead.
    #[must_use]
    pub fn crash(&self) -> Arc<FaultyStore> {
        self.gate.drop_all();
        self.inner.power_off();
        FaultyStore::around(self.inner.fork(), self.seed)
    }
}

impl Drop for FaultyStore {
    fn drop(&mut self) {
        self.gate.lock().is_closed = true;
        self.gate.wake.notify_all();
    }
}

impl LogStore for FaultyStore {
    fn listen(&self, listener: Arc<dyn CommitListener>) {
        self.inner.listen(Arc::clone(&listener));
        assert!(self.listener.set(listener).is_ok(), "one listener per store");
    }

    fn open(&self, log: LogId, fence: Fence) -> BoxFuture<'_, Result<LogBounds, StoreError>> {
        self.inner.open(log, fence)
    }

    fn batch_bytes_max(&self) -> usize {
        self.batch_bytes_max.load(Ordering::Relaxed)
    }

    fn reserve(&self, bytes: usize) -> BoxFuture<'_, Result<Permit, StoreError>> {
        self.inner.reserve(bytes)
    }

    fn append(&self, permit: Permit, append: Append) {
        let mut held = self.gate.lock();
        if held.is_dead || held.is_closed {
            return;
        }
        held.appends.push_back((permit, append));
        drop(held);
        self.gate.wake.notify_all();
    }

    fn read(&self, log: LogId, from: Offset, to: Offset, max_bytes: usize) -> BoxFuture<'_, Result<Vec<Batch>, StoreError>> {
        self.inner.read(log, from, to, max_bytes)
    }

    fn locate(&self, log: LogId, from: Offset, to: Offset, max_bytes: usize) -> BoxFuture<'_, Result<Vec<Stretch>, StoreError>> {
        self.inner.locate(log, from, to, max_bytes)
    }

    fn find_mark(&self, id: u128) -> Result<Option<Marked>, StoreError> {
        self.inner.find_mark(id)
    }

    fn at_time(&self, log: LogId, from: Offset, time: Timestamp) -> BoxFuture<'_, Result<Option<Offset>, StoreError>> {
        self.inner.at_time(log, from, time)
    }

    fn max_time(&self, log: LogId) -> BoxFuture<'_, Result<Option<(Offset, Timestamp)>, StoreError>> {
        self.inner.max_time(log)
    }

    fn keep_bytes(&self, log: LogId, bytes: u64) -> BoxFuture<'_, Result<Offset, StoreError>> {
        self.inner.keep_bytes(log, bytes)
    }

    fn size(&self, log: LogId) -> u64 {
        self.inner.size(log)
    }

    fn bytes_from(&self, log: LogId, from: Offset) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.inner.bytes_from(log, from)
    }

    fn replace(&self, log: LogId, fence: Fence, changes: Vec<Replacement>) -> BoxFuture<'_, Result<(), StoreError>> {
        let mut left = self.replacements_left.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = *left else { return self.inner.replace(log, fence, changes) };
        *left = Some(count.saturating_sub(changes.len()));
        drop(left);
        let is_whole = changes.len() <= count;
        let done = changes.into_iter().take(count).collect();
        Box::pin(async move {
            self.inner.replace(log, fence, done).await?;
            if is_whole { Ok(()) } else { Err(StoreError::Closed) }
        })
    }

    fn trim(&self, log: LogId, fence: Fence, start: Offset) -> BoxFuture<'_, Result<(), StoreError>> {
        if self.are_trims_held.load(Ordering::Relaxed) {
            return Box::pin(std::future::pending());
        }
        self.inner.trim(log, fence, start)
    }

    fn delete(&self, logs: Vec<LogId>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.delete(logs)
    }

    fn put_snapshot(&self, log: LogId, at: Offset, value: Bytes) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.put_snapshot(log, at, value)
    }

    fn get_snapshot(&self, log: LogId) -> BoxFuture<'_, Result<Option<(Offset, Bytes)>, StoreError>> {
        self.inner.get_snapshot(log)
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.release_all();
        self.gate.lock().is_closed = true;
        self.gate.wake.notify_all();
        self.inner.close()
    }
}

impl MetaStore for FaultyStore {
    fn range(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<MetaEntry>, StoreError>> {
        self.inner.range(prefix)
    }

    fn commit(&self, compares: Vec<MetaCompare>, changes: Vec<MetaChange>) -> BoxFuture<'_, Result<u64, StoreError>> {
        let failure = self.next_meta_failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        match failure {
            Some(error) => Box::pin(std::future::ready(Err(error))),
            None => self.inner.commit(compares, changes),
        }
    }
}
