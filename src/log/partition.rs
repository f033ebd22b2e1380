//! One log: its state and its watermark. `append.rs` appends, `read.rs` reads. The only owner of a log's offsets.
//!
//! ```text
//!  start ..... last stable ..... watermark ..... next
//!  |-- readable ------------------|-- on its way --|    next: under the lock, moved by an append
//!  |-- committed --|                                    watermark: moved by the store's commits, never past next
//!                                                       last stable: where the first open or closing transaction began
//! ```
//! Owner: `state` (next offset, producers, transactions) is under one short mutex, never held across an await; `progress` is a `watch` that
//! readers see without that lock. It is changed under the lock where transactions begin and end. Appends of one caller keep their order because nothing awaits between the lock and the store's
//! FIFO queue. Invariant 7: nothing past the watermark is read or acknowledged.

use super::producers::{ProducerStatus, Producers};
use super::repeats::Repeats;
use super::segment::ActiveSegment;
use super::tail::{PartitionTail, Tail};
use super::totals::{Rate, Totals};
use super::transactions::Aborted;
use super::unsaved::Unsaved;
use super::waiters::{Waiter, Waiters};
use crate::config::topic::TopicSettings;
use crate::env::Env;
use crate::ids::{Fence, LogId, Offset, Timestamp};
use crate::records::BatchHeader;
use crate::store::{LogStore, StoreError};
use arc_swap::ArcSwap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thiserror::Error;
use tokio::sync::watch;

/// The log is no longer served: its topic was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the log is no longer served")]
pub struct LogStopped;

/// What [`Partition::statistics`] tells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Statistics {
    pub records: u64,
    pub bytes: u64,
    pub retained_bytes: u64,
    pub records_per_second: f64,
}

/// Under the partition's lock.
pub(super) struct State {
    pub next: Offset,
    pub producers: Producers,
    pub repeats: Repeats,
    pub totals: Totals,
    pub rate: Rate,
    pub segment: ActiveSegment,
    /// Up to here the log is compacted.
    pub cleaned: Offset,
    /// Behind what a pass may have changed; `cleaned` may go back.
    pub compacted: Offset,
    /// See [`Partition::uncleaned`]. Not saved: the next open goes on compacting there.
    pub uncleaned: Option<Offset>,
    pub unsaved: Unsaved,
    /// The last one that was given (LogAppendTime).
    pub append_time: Timestamp,
}

impl State {
    /// See [`Partition::awaits_commit`].
    fn awaits_commit(&self) -> bool {
        self.producers.transactions.has_closing() || !self.repeats.is_empty()
    }

    /// Gives a batch its first and last offset, and counts it.
    pub fn place(&mut self, header: &BatchHeader, settings: &TopicSettings, now: Timestamp) -> (Offset, Offset) {
        let first = self.next;
        let last = Offset(first.0.saturating_add(i64::from(header.last_offset_delta)));
        self.next = last.next();
        self.unsaved.add(header.batch_bytes);
        self.segment.add(first, header, settings, now);
        self.totals.add(header);
        self.rate.add(header, now);
        (first, last)
    }
}

/// What readers see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    pub watermark: Offset,
    /// The first offset that belongs to an undecided transaction; `None`: all are decided.
    first_unstable: Option<Offset>,
    pub is_stopped: bool,
}

impl Progress {
    fn last_stable(&self) -> Offset {
        self.first_unstable.map_or(self.watermark, |first| first.min(self.watermark))
    }
}

/// One open log.
pub struct Partition {
    log: LogId,
    pub(super) fence: Fence,
    store: Arc<dyn LogStore>,
    env: Env,
    pub(super) settings: ArcSwap<TopicSettings>,
    pub(super) producer_expiration_ms: Arc<AtomicI64>,
    pub(super) tail: Arc<Tail>,
    pub(super) newest: Arc<PartitionTail>,
    start: AtomicI64,
    pub(super) progress: watch::Sender<Progress>,
    /// Whether a commit changes what is under the lock: a marker, or an append that bears a mark, is not durable yet. Set under the lock.
    pub(super) awaits_commit: AtomicBool,
    /// How often compaction has forgotten aborted transactions; see [`Partition::emptied_times`].
    pub(super) emptied_times: AtomicU64,
    waiters: Waiters,
    /// Whoever saves a snapshot, see `snapshot.rs`.
    pub(super) saving: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

/// What recovery found.
pub(super) struct Recovered {
    pub start: Offset,
    pub next: Offset,
    pub producers: Producers,
    pub totals: Totals,
    pub segment: ActiveSegment,
    pub cleaned: Offset,
    pub compacted: Offset,
    pub unsaved: Unsaved,
}

impl Partition {
    pub(super) fn new(
        store: Arc<dyn LogStore>,
        env: Env,
        tail: Arc<Tail>,
        (log, fence): (LogId, Fence),
        settings: Arc<TopicSettings>,
        producer_expiration_ms: Arc<AtomicI64>,
        recovered: Recovered,
    ) -> Partition {
        let Recovered { start, next, producers, totals, segment, cleaned, compacted, unsaved } = recovered;
        Partition {
            log,
            fence,
            store,
            env,
            settings: ArcSwap::new(settings),
            producer_expiration_ms,
            tail,
            newest: Arc::default(),
            start: AtomicI64::new(start.0),
            progress: watch::Sender::new(Progress {
                watermark: next,
                first_unstable: producers.transactions.first_unstable(),
                is_stopped: false,
            }),
            awaits_commit: AtomicBool::new(false),
            emptied_times: AtomicU64::new(0),
            waiters: Waiters::default(),
            saving: tokio::sync::Mutex::default(),
            state: Mutex::new(State {
                next,
                producers,
                repeats: Repeats::default(),
                totals,
                rate: Rate::default(),
                segment,
                cleaned,
                compacted,
                uncleaned: None,
                unsaved,
                append_time: Timestamp(i64::MIN),
            }),
        }
    }

    /// Under the lock: tells readers where the first undecided transaction begins now.
    pub(super) fn transactions_changed(&self, state: &State) {
        let transactions = &state.producers.transactions;
        // Before the store learns of the batch, so that its commit finds this set.
        self.awaits_commit.store(state.awaits_commit(), Ordering::Release);
        let first_unstable = transactions.first_unstable();
        self.progress.send_if_modified(|now| {
            let is_new = now.first_unstable != first_unstable;
            now.first_unstable = first_unstable;
            is_new
        });
    }

    /// Waits until everything up to and including `last` is durable. Cancel-safe.
    ///
    /// # Errors
    /// [`LogStopped`] when the topic is deleted meanwhile.
    pub async fn wait_committed(&self, last: Offset) -> Result<(), LogStopped> {
        let mut progress = self.progress.subscribe();
        match progress.wait_for(|now| now.watermark > last || now.is_stopped).await {
            Ok(now) if now.watermark > last => Ok(()),
            _ => Err(LogStopped),
        }
    }

    /// The store says that everything up to and including `last` is durable.
    pub(super) fn committed(&self, last: Offset) {
        let watermark = last.next();
        let advance = |now: &mut Progress| {
            let advances = watermark > now.watermark;
            if advances {
                now.watermark = watermark;
            }
            advances
        };
        let advanced = if self.awaits_commit.load(Ordering::Acquire) {
            // A marker may have become durable: its transaction's records become stable together with it.
            let mut state = self.lock();
            state.producers.transactions.committed(watermark);
            state.repeats.committed(watermark);
            let first_unstable = state.producers.transactions.first_unstable();
            self.awaits_commit.store(state.awaits_commit(), Ordering::Release);
            self.progress.send_if_modified(|now| {
                now.first_unstable = first_unstable;
                advance(now)
            })
        } else {
            self.progress.send_if_modified(advance)
        };
        if advanced {
            self.waiters.wake();
        }
    }

    /// The exclusive end of what is durable: Kafka's high watermark.
    #[must_use]
    pub fn watermark(&self) -> Offset {
        self.progress.borrow().watermark
    }

    /// The exclusive end of what read_committed consumers may see: where the first undecided transaction begins, or the watermark.
    #[must_use]
    pub fn last_stable(&self) -> Offset {
        // What was deleted is nobody's business, whether it was decided or not (UnifiedLog.maybeIncrementFirstUnstableOffset).
        self.progress.borrow().last_stable().max(self.start())
    }

    /// The aborted transactions that have records in `[from, to)`.
    #[must_use]
    pub fn aborted(&self, from: Offset, to: Offset) -> Vec<Aborted> {
        self.lock().producers.transactions.aborted(from, to)
    }

    /// The producers that the partition knows, by id (DescribeProducers).
    #[must_use]
    pub fn producers(&self) -> Vec<ProducerStatus> {
        self.expire_producers();
        self.lock().producers.all()
    }

    /// Forgets producers that were not seen for `producer.id.expiration.ms`; appends do the same, where there are any.
    pub(super) fn expire_producers(&self) {
        self.lock().producers.expire(self.env.now(), self.producer_expiration_ms.load(Ordering::Relaxed));
    }

    /// How much was ever appended, how much of that is kept, and how fast it grows.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let now = self.env.now();
        let state = self.lock();
        let (Totals { records, bytes }, per_second) = (state.totals, state.rate.per_second(now));
        drop(state);
        Statistics { records, bytes, retained_bytes: self.size(), records_per_second: per_second }
    }

    /// The first offset that can be read.
    #[must_use]
    pub fn start(&self) -> Offset {
        Offset(self.start.load(Ordering::Acquire))
    }

    /// The offset that the next record gets.
    #[must_use]
    pub fn next(&self) -> Offset {
        self.lock().next
    }

    /// The log's id in the store.
    #[must_use]
    pub fn log(&self) -> LogId {
        self.log
    }

    /// Bytes of batches in the log.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.store.size(self.log)
    }

    /// The topic's settings, as they are now.
    #[must_use]
    pub fn settings(&self) -> Arc<TopicSettings> {
        self.settings.load_full()
    }

    /// Replaces the topic's settings; appends from now on see them.
    pub fn set_settings(&self, settings: Arc<TopicSettings>) {
        self.settings.store(settings);
    }

    /// Moves the start of the log to `to`, at most to the watermark, never back. Durable when it returns.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn trim(&self, to: Offset) -> Result<Offset, StoreError> {
        let before = self.start();
        let to = to.min(self.watermark()).max(before);
        if to > before {
            // Readers stop seeing the records before the store forgets them.
            self.start.fetch_max(to.0, Ordering::AcqRel);
        }
        if to == Offset(0) {
            return Ok(to);
        }
        // Where the start was there already, somebody else may still be waiting for the disk: the store answers when that is done.
        self.store.trim(self.log, self.fence, to).await?;
        // Only now: a snapshot that is saved meanwhile must have what is there again after a crash.
        self.lock().producers.transactions.trimmed(to);
        Ok(self.start())
    }

    /// Registers a sleeping fetch; see [`Waiters`].
    pub(super) fn watch(&self, waiter: Arc<Waiter>) {
        self.waiters.add(waiter);
    }

    pub(super) fn unwatch(&self, waiter: &Arc<Waiter>) {
        self.waiters.remove(waiter);
    }

    /// Ends service: appends, reads and waits answer [`LogStopped`] from now on.
    pub(super) fn stop(&self) {
        // Under the lock, so that an append either came before the deletion or sees it.
        let _state = self.lock();
        self.progress.send_modify(|now| now.is_stopped = true);
        self.waiters.wake();
    }

    pub(super) fn store(&self) -> &dyn LogStore {
        self.store.as_ref()
    }

    /// Numbers that nobody can guess.
    pub(super) fn secret(&self) -> [u64; 2] {
        [self.env.secret_bytes(), self.env.secret_bytes()].map(u64::from_ne_bytes)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.env.now()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.progress.borrow().is_stopped
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
