//! One log: append, read, watermark. The only owner of a log's offsets.
//!
//! ```text
//!  start ........ watermark ........ next
//!  |-- readable --|--- on its way ---|      next: under the lock, moved by append
//!                                           watermark: moved by the store's commits, never past next
//! ```
//! Owner: `state` (next offset, producers) is under one short mutex, never held across an await; `watermark` is a `watch` that
//! readers see without that lock. Appends of one caller keep their order because nothing awaits between the lock and the store's
//! FIFO queue. Invariant 7: nothing past the watermark is read or acknowledged.

use super::producers::{ProducerError, Producers, Verdict};
use super::tail::{PartitionTail, Tail};
use super::validate::{self, InvalidRecords};
use super::waiters::{Waiter, Waiters};
use crate::config::topic::{TimestampType, TopicSettings};
use crate::env::Env;
use crate::ids::{Fence, LeaderEpoch, LogId, Offset, Timestamp};
use crate::records::header::{CRC_FROM, stamp, stamp_append_time};
use crate::records::iterate::{first_at_time, max_at};
use crate::records::{BatchHeader, RecordError};
use crate::store::{Append, Batch, LogStore, StoreError, SuffixChecksum};
use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thiserror::Error;
use tokio::sync::watch;

/// The leader epoch stamped into batches: with one node, leadership never changes hands.
pub const LEADER_EPOCH: LeaderEpoch = LeaderEpoch(0);

/// Who appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A producer: everything is checked.
    Client,
    /// Our own coordinators, whose batches we built: no limits, no producer state.
    Coordinator,
}

/// Where a batch went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    pub first: Offset,
    pub last: Offset,
    /// Set with `message.timestamp.type=LogAppendTime`.
    pub append_time: Option<Timestamp>,
    /// The log's start offset.
    pub start: Offset,
}

/// Why a batch was not appended; one variant per reaction of a producer.
#[derive(Debug, Clone, Error)]
pub enum AppendError {
    #[error("the batch of {bytes} bytes is larger than max.message.bytes ({limit})")]
    TooLarge { bytes: usize, limit: usize },
    #[error(transparent)]
    Corrupt(RecordError),
    #[error("{0}")]
    Invalid(String),
    #[error("{}", .0.message)]
    InvalidRecords(InvalidRecords),
    #[error("{0}")]
    InvalidTimestamp(String),
    /// Part of a transaction, of which this broker has none yet: it would look committed to every reader.
    #[error("the batch is part of a transaction, and transactions are not supported by this version of fbf")]
    Transactional,
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// The partition was deleted.
    #[error(transparent)]
    Stopped(#[from] LogStopped),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The log is no longer served: its topic was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the log is no longer served")]
pub struct LogStopped;

/// Why nothing was read.
#[derive(Debug, Clone, Error)]
pub enum ReadError {
    #[error("offset {asked} is outside of [{start}, {end}]")]
    OutOfRange { asked: Offset, start: Offset, end: Offset },
    #[error(transparent)]
    Stopped(#[from] LogStopped),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored batch does not decode: only met where records are looked into (offsets by time).
    #[error(transparent)]
    Damaged(#[from] RecordError),
}

/// Under the partition's lock.
pub(super) struct State {
    pub next: Offset,
    pub producers: Producers,
    /// Bytes appended since the newest snapshot.
    pub unsaved_bytes: u64,
}

/// What readers see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    watermark: Offset,
    is_stopped: bool,
}

/// One open log.
pub struct Partition {
    log: LogId,
    fence: Fence,
    store: Arc<dyn LogStore>,
    env: Env,
    settings: ArcSwap<TopicSettings>,
    producer_expiration_ms: i64,
    tail: Arc<Tail>,
    newest: Arc<PartitionTail>,
    start: AtomicI64,
    progress: watch::Sender<Progress>,
    waiters: Waiters,
    state: Mutex<State>,
}

/// What recovery found.
pub(super) struct Recovered {
    pub start: Offset,
    pub next: Offset,
    pub producers: Producers,
    pub unsaved_bytes: u64,
}

impl Partition {
    pub(super) fn new(
        store: Arc<dyn LogStore>,
        env: Env,
        tail: Arc<Tail>,
        (log, fence): (LogId, Fence),
        settings: Arc<TopicSettings>,
        producer_expiration_ms: i64,
        recovered: Recovered,
    ) -> Partition {
        let Recovered { start, next, producers, unsaved_bytes } = recovered;
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
            progress: watch::Sender::new(Progress { watermark: next, is_stopped: false }),
            waiters: Waiters::default(),
            state: Mutex::new(State { next, producers, unsaved_bytes }),
        }
    }

    /// Appends one whole record batch (magic 2) and says where it went; the order of calls of one task is the order in the log.
    ///
    /// Cost: one CRC pass and one short lock. Waits only for room in the store's queue, never for the disk: durable after
    /// [`Partition::wait_committed`] of `last`. A duplicate of a remembered batch is answered with its original offsets.
    /// Source: KIP-98; UnifiedLog.append, analyzeAndValidateProducerState.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was appended then.
    pub async fn append(&self, records: Bytes, origin: Origin) -> Result<Appended, AppendError> {
        let settings = self.settings.load_full();
        let now = self.env.now();
        let mut header = match origin {
            Origin::Client => validate::client_batch(&records, &settings, now)?,
            Origin::Coordinator => BatchHeader::parse(&records).map_err(AppendError::Corrupt)?,
        };
        let permit = self.store.reserve(records.len()).await?;
        // The bytes of a request that carried one batch are ours alone and are stamped in place; a share of a larger request is
        // copied, so that keeping it in the tail does not keep the whole request.
        let mut batch = records.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        let append_time = (origin == Origin::Client && settings.timestamp_type == TimestampType::LogAppendTime).then_some(now);
        if append_time.is_some() {
            stamp_append_time(&mut batch, now);
            header = BatchHeader::parse(&batch).map_err(AppendError::Corrupt)?;
        }
        let producer = if origin == Origin::Client { header.producer() } else { None };
        let start = self.start();
        let bytes = batch.len() as u64;

        let mut state = self.lock();
        if self.is_stopped() {
            return Err(LogStopped.into());
        }
        if let Some(id) = producer {
            state.producers.expire(now, self.producer_expiration_ms);
            if let Verdict::Duplicate { first, last, timestamp } = state.producers.judge(id, &header)? {
                return Ok(Appended { first, last, append_time: append_time.map(|_| timestamp), start });
            }
        }
        let first = state.next;
        let last = Offset(first.0.saturating_add(i64::from(header.last_offset_delta)));
        stamp(&mut batch, first, LEADER_EPOCH);
        if let Some(id) = producer {
            state.producers.remember(id, &header, first, last, header.max_timestamp, now);
        }
        state.next = last.next();
        state.unsaved_bytes += bytes;
        // A batch without timestamps is as old as its arrival, for retention (LogSegment.largestTimestamp falls back to the file's age).
        let max_timestamp = if header.max_timestamp == Timestamp::NONE { now } else { header.max_timestamp };
        let stored = Batch { first, last, max_timestamp, bytes: batch.freeze() };
        self.tail.push(&self.newest, stored.clone());
        let checksum = SuffixChecksum { from: CRC_FROM, crc: header.crc };
        let Batch { bytes, .. } = stored;
        self.store.append(permit, Append { log: self.log, fence: self.fence, first, last, max_timestamp, bytes, checksum });
        Ok(Appended { first, last, append_time, start })
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
        let advanced = self.progress.send_if_modified(|now| {
            let advances = last.next() > now.watermark;
            if advances {
                now.watermark = last.next();
            }
            advances
        });
        if advanced {
            self.waiters.wake();
        }
    }

    /// Whole batches that overlap `[from, to)` and lie below the watermark, from the batch that holds `from`; the first is returned
    /// whatever its size, the others only within `max_bytes`. Empty at the end of the log.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] below the start or above the watermark.
    pub async fn read(&self, from: Offset, max_bytes: usize, to: Offset) -> Result<Vec<Batch>, ReadError> {
        let Progress { watermark, is_stopped } = *self.progress.borrow();
        if is_stopped {
            return Err(LogStopped.into());
        }
        let start = self.start();
        if from < start || from > watermark {
            return Err(ReadError::OutOfRange { asked: from, start, end: watermark });
        }
        let to = to.min(watermark);
        if from >= to {
            return Ok(Vec::new());
        }
        if let Some(batches) = self.newest.read(from, to, max_bytes) {
            return Ok(batches);
        }
        Ok(self.store.read(self.log, from, to, max_bytes).await?)
    }

    /// The exclusive end of what is durable: Kafka's high watermark.
    #[must_use]
    pub fn watermark(&self) -> Offset {
        self.progress.borrow().watermark
    }

    /// The exclusive end of what read_committed consumers may see. Without transactions: the watermark.
    #[must_use]
    pub fn last_stable(&self) -> Offset {
        self.watermark()
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
        let to = to.min(self.watermark());
        if to <= self.start() {
            return Ok(self.start());
        }
        // Readers stop seeing the records before the store forgets them.
        self.start.fetch_max(to.0, Ordering::AcqRel);
        self.store.trim(self.log, self.fence, to).await?;
        Ok(self.start())
    }

    /// The first record at or after the start whose timestamp is at least `time`, with its timestamp; `None` when there is none
    /// below the watermark. Source: KIP-79, ListOffsets.
    ///
    /// # Errors
    /// What reading answers.
    pub async fn offset_for_time(&self, time: Timestamp) -> Result<Option<(Offset, Timestamp)>, ReadError> {
        let Some(mut from) = self.store.at_time(self.log, time).await? else { return Ok(None) };
        from = from.max(self.start());
        // The store knows a batch a moment before the watermark passes it.
        if from >= self.watermark() {
            return Ok(None);
        }
        // The first batch nearly always holds it; one that was kept for its arrival time (no timestamps) does not.
        loop {
            let batches = self.read(from, 1, Offset(i64::MAX)).await?;
            let Some(batch) = batches.first() else { return Ok(None) };
            if let Some(found) = first_at_time(&batch.bytes, validate::DECOMPRESSED_BYTES_MAX, time)?
                && found.0 >= self.start()
            {
                return Ok(Some(found));
            }
            from = batch.last.next();
        }
    }

    /// The record with the largest timestamp (the first of several); `None` when the log is empty. Source: KIP-734.
    ///
    /// # Errors
    /// What reading answers.
    pub async fn offset_of_max_time(&self) -> Result<Option<(Offset, Timestamp)>, ReadError> {
        let Some((first, _)) = self.store.max_time(self.log).await? else { return Ok(None) };
        // The store knows a batch a moment before the watermark passes it.
        self.wait_committed(first).await?;
        let batches = self.read(first.max(self.start()), 1, Offset(i64::MAX)).await?;
        let Some(batch) = batches.first() else { return Ok(None) };
        Ok(Some(max_at(&batch.bytes, validate::DECOMPRESSED_BYTES_MAX)?))
    }

    /// Where retention trims this log to now; `None` when nothing is past it. See [`super::retention`].
    pub(super) async fn retention_start(&self, now: Timestamp) -> Result<Option<Offset>, StoreError> {
        let settings = self.settings();
        let mut keep = self.start();
        if let Some(cutoff) = super::retention_cutoff(&settings, now) {
            // Read before the look-up: what is committed while it runs is newer than what it saw, and stays.
            let end = self.watermark();
            let live = self.store.at_time(self.log, cutoff).await?.unwrap_or(end);
            keep = keep.max(live);
        }
        if settings.cleanup.delete
            && let Ok(limit) = u64::try_from(settings.retention_bytes)
            && self.size() > limit
        {
            keep = keep.max(self.store.keep_bytes(self.log, limit).await?);
        }
        Ok((keep > self.start()).then_some(keep))
    }

    /// Saves what recovery would work out from the batches, if at least `unsaved_bytes_min` bytes were appended since the last time.
    /// Waits until what it describes is durable.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn save_snapshot(&self, unsaved_bytes_min: u64) -> Result<(), StoreError> {
        let (at, value) = {
            let mut state = self.lock();
            if state.unsaved_bytes == 0 || state.unsaved_bytes < unsaved_bytes_min {
                return Ok(());
            }
            state.unsaved_bytes = 0;
            (state.next, state.producers.encode())
        };
        if self.wait_committed(at.previous()).await.is_err() {
            return Ok(());
        }
        self.store.put_snapshot(self.log, at, value).await
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

    fn is_stopped(&self) -> bool {
        self.progress.borrow().is_stopped
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
