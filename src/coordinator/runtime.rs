//! One actor task per shard: the only owner of its state machine, and the only writer of its log.
//!
//! ```text
//!            ┌──────────────── broken (append refused), after RETRY ────────────────┐
//!            ▼                                                                      │
//!  spawn ▶ Loading ──log read, applied──▶ Active ──log deleted, or mailbox closed──▶ Stopped
//!            │ ▲
//!            └─┴── Failed (log unreadable), tried again after RETRY
//! ```
//! * **Mailbox**: [`MAILBOX_EVENTS`] events; their bytes are part of the requests in flight, which have their own bound. When it is full,
//!   callers wait, so their connections stop reading; after [`MAILBOX_PATIENCE`] (a full disk) they are told to ask again.
//! * **Group commit**: an event's records are appended (which waits for room in the store's queue, never for the disk) and applied,
//!   and the next event is handled at once. Replies wait in line until the log is durable up to the last record that was appended before
//!   them, records of their own or not: they may tell of state that is not durable yet (Kafka: CoordinatorRuntime, where an event
//!   without records completes "once the last written offset is committed").
//! * **Requests** to the world outside are carried out one after the other when the event's records are appended, and their results are
//!   handled before the next event. So a machine that asks never meets another event half way.
//! * **Refused append**: what is in memory is now ahead of the log, so the state machine is dropped; everybody who waited sees a
//!   closed channel (NOT_COORDINATOR), and the shard loads again.
//! * **Checkpoints** bound the log, which nobody compacts: when it has grown by more than [`CHECKPOINT_BYTES_MIN`] and by more than
//!   [`CHECKPOINT_FACTOR`] times the last checkpoint, all live records are appended again, in one go, before the next event. As soon
//!   as they are durable, the log is trimmed to the first of them. A crash in between leaves old records followed by (some of) the same
//!   state again, which replays to the same. Loading reads from the start of the log, so it costs at most about five checkpoints, and
//!   the log on disk is bounded by the same.

use super::timers::Timers;
use super::{Effects, EffectsOf, Envelope, LogRecord, MalformedRecord, ProducerIdAndEpoch, Reply, StateMachine};
use crate::env::{ClockWatch, Env};
use crate::ids::{Offset, ProducerEpoch, Timestamp};
use crate::log::{AppendError, LogStopped, Origin, Partition, ReadError};
use crate::records::control::EndTransaction;
use crate::records::iterate::records as records_of;
use crate::records::{BatchBuilder, BatchHeader, RecordError};
use crate::store::BoxFuture;
use crate::tasks;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::mpsc::error::{SendTimeoutError, TrySendError};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{debug, error, info, warn};

/// Events that wait for a shard.
pub const MAILBOX_EVENTS: usize = 1024;
/// The longest wait for room in a mailbox: longer than a slow sync, and shorter than clients wait for an answer (30 s). Those that gave up
/// must not keep connections that nobody reads.
pub const MAILBOX_PATIENCE: Duration = Duration::from_secs(10);
/// The least growth of a log between two checkpoints.
pub const CHECKPOINT_BYTES_MIN: u64 = 16 << 20;
/// A checkpoint follows only when the log has grown by this many times the size of the last one.
pub const CHECKPOINT_FACTOR: u64 = 4;
/// Records of one event, or of a checkpoint, are appended in batches of about this size.
const BATCH_BYTES: usize = 256 << 10;
/// Bytes of the log read at once while loading.
const LOAD_BYTES: usize = 4 << 20;
/// Our own batches are not compressed: this only bounds what a foreign one may blow up to.
const DECOMPRESSED_BYTES_MAX: usize = 256 << 20;
/// Of a coordinator's batches: the order of one writer needs none.
const NO_SEQUENCE: i32 = -1;
/// Between two attempts to load a shard.
const RETRY: Duration = Duration::from_secs(1);
/// The longest sleep: a clock that was set forward is noticed this soon.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// Timers give way to events that are waiting, which may well be the heartbeats that they are about, but only this long.
const TIMER_PATIENCE_MS: i64 = 1000;

/// What a shard is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Loading,
    Active,
    /// The log could not be read; tried again soon.
    Failed,
    Stopped,
}

/// Why a shard takes no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the coordinator shard is not active: {0:?}")]
pub struct NotActive(pub Status);

/// The way to a shard. Dropping all of them lets the shard answer what it has and stop.
#[derive(Debug)]
pub struct Shard<E> {
    mailbox: mpsc::Sender<E>,
    status: watch::Receiver<Status>,
}

impl<E> Clone for Shard<E> {
    fn clone(&self) -> Shard<E> {
        Shard { mailbox: self.mailbox.clone(), status: self.status.clone() }
    }
}

impl<E> Shard<E> {
    /// Queues `event`; waits while the mailbox is full, but not for long. The order of calls of one task is the order of handling.
    ///
    /// # Errors
    /// [`NotActive`], and the event is dropped.
    pub async fn send(&self, event: E) -> Result<(), NotActive> {
        self.send_within(MAILBOX_PATIENCE, event).await
    }

    async fn send_within(&self, patience: Duration, event: E) -> Result<(), NotActive> {
        self.check_active()?;
        let event = match self.mailbox.try_send(event) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(NotActive(Status::Stopped)),
            Err(TrySendError::Full(event)) => event,
        };
        // In a box: there is room nearly always, and then nobody carries a timer.
        match Box::pin(self.mailbox.send_timeout(event, patience)).await {
            Ok(()) => Ok(()),
            Err(SendTimeoutError::Closed(_)) => Err(NotActive(Status::Stopped)),
            // Clients do for it what they should do here: they ask again, and look for no other coordinator.
            Err(SendTimeoutError::Timeout(_)) => Err(NotActive(Status::Loading)),
        }
    }

    /// As [`Shard::send`], however long the mailbox is full: for what nobody would ask again.
    ///
    /// # Errors
    /// As there.
    pub async fn send_patiently(&self, event: E) -> Result<(), NotActive> {
        self.check_active()?;
        self.mailbox.send(event).await.map_err(|_| NotActive(Status::Stopped))
    }

    fn check_active(&self) -> Result<(), NotActive> {
        match self.status() {
            Status::Active => Ok(()),
            other => Err(NotActive(other)),
        }
    }

    /// What the shard is doing now.
    #[must_use]
    pub fn status(&self) -> Status {
        if self.mailbox.is_closed() { Status::Stopped } else { *self.status.borrow() }
    }

    /// Waits while the shard is loading, and says what it does then. Cancel-safe.
    pub async fn loaded(&self) -> Status {
        let mut status = self.status.clone();
        match status.wait_for(|now| *now != Status::Loading).await {
            Ok(now) => *now,
            Err(_) => Status::Stopped,
        }
    }
}

/// What a shard is over, and what it needs.
pub struct Setting<M: StateMachine> {
    pub name: &'static str,
    /// Nobody else may write it.
    pub partition: Arc<Partition>,
    pub env: Env,
    /// An empty state machine for each attempt to load.
    pub machine: Box<dyn Fn() -> M + Send + Sync>,
    /// Carries out a request; what it answers is handled next.
    pub outside: Outside<M>,
}

/// See [`Setting::outside`].
pub type Outside<M> =
    Arc<dyn Fn(<M as StateMachine>::Request) -> BoxFuture<'static, Option<<M as StateMachine>::Event>> + Send + Sync>;

/// Starts a shard.
pub fn spawn<M: StateMachine>(setting: Setting<M>) -> (Shard<M::Event>, JoinHandle<()>) {
    let (mailbox, events) = mpsc::channel(MAILBOX_EVENTS);
    let (status, seen) = watch::channel(Status::Loading);
    let task = tasks::spawn(setting.name, serve(setting, events, status));
    (Shard { mailbox, status: seen }, task)
}

/// Why a shard was left.
#[derive(Debug, Error)]
enum Left {
    /// Every [`Shard`] is gone: the ordinary end.
    #[error("the coordinator is closing")]
    Closed,
    #[error(transparent)]
    Deleted(#[from] LogStopped),
    #[error("{0}")]
    Refused(AppendError),
    #[error("{0}")]
    Unreadable(ReadError),
    #[error("{0}")]
    Damaged(String),
}

impl From<AppendError> for Left {
    fn from(error: AppendError) -> Left {
        match error {
            AppendError::Stopped(stopped) => Left::Deleted(stopped),
            other => Left::Refused(other),
        }
    }
}

impl From<ReadError> for Left {
    fn from(error: ReadError) -> Left {
        match error {
            ReadError::Stopped(stopped) => Left::Deleted(stopped),
            other => Left::Unreadable(other),
        }
    }
}

async fn serve<M: StateMachine>(setting: Setting<M>, mut events: mpsc::Receiver<M::Event>, status: watch::Sender<Status>) {
    let (name, log) = (setting.name, setting.partition.log());
    loop {
        status.send_replace(Status::Loading);
        let loaded = Actor::load(&setting, &events).await;
        let left = match loaded {
            Ok(mut actor) => match actor.start().await {
                Ok(()) => {
                    status.send_replace(Status::Active);
                    actor.run(&mut events).await
                }
                Err(left) => left,
            },
            Err(left) => left,
        };
        match left {
            Left::Closed => break,
            Left::Deleted(_) => {
                info!(shard = name, %log, "the coordinator's log was deleted; its shard stops");
                break;
            }
            Left::Refused(error) => {
                warn!(shard = name, %log, %error, "a coordinator shard could not write its log; it loads again");
                status.send_replace(Status::Loading);
            }
            left @ (Left::Unreadable(_) | Left::Damaged(_)) => {
                error!(shard = name, %log, error = %left, "a coordinator shard cannot read its log; its groups are not served");
                status.send_replace(Status::Failed);
            }
        }
        // Events that were queued meanwhile are dropped, and their callers told so by that.
        let pause = tokio::time::sleep(RETRY);
        tokio::pin!(pause);
        let closed = loop {
            tokio::select! {
                () = &mut pause => break false,
                event = events.recv() => if event.is_none() { break true },
            }
        };
        if closed {
            break;
        }
    }
    status.send_replace(Status::Stopped);
}

/// An active shard.
struct Actor<M: StateMachine> {
    partition: Arc<Partition>,
    env: Env,
    machine: M,
    outside: Outside<M>,
    timers: Timers<M::Timer>,
    /// Replies in the order of their events, each with the offset that must be durable first. Bounded by the events in flight:
    /// connections wait for these answers before they send much more.
    parked: VecDeque<(Offset, Reply)>,
    /// The last offset that was appended.
    last: Offset,
    growth: Growth,
    clock: ClockWatch,
    /// When the last step began, on a steady clock.
    stepped: Timestamp,
    /// Events that came while the shard was held up, and go before timers: heartbeats that were in time. `None`: it was not.
    owed: Option<usize>,
}

/// How far the log is from its next checkpoint.
#[derive(Debug)]
struct Growth {
    /// Bytes appended since the last checkpoint.
    bytes: u64,
    /// Size of the last checkpoint.
    checkpoint_bytes: u64,
    /// The first and last offset of a checkpoint that is not durable yet.
    pending: Option<(Offset, Offset)>,
}

impl<M: StateMachine> Actor<M> {
    /// Replays the log into `machine`.
    async fn load(setting: &Setting<M>, events: &mpsc::Receiver<M::Event>) -> Result<Self, Left> {
        let (partition, env, outside) = (setting.partition.clone(), setting.env.clone(), setting.outside.clone());
        let mut machine = (setting.machine)();
        // After a refused append, earlier ones may still be on their way to the disk.
        let end = partition.next();
        partition.wait_committed(end.previous()).await?;
        let mut from = partition.start();
        let mut bytes = 0;
        while from < end {
            if events.is_closed() {
                return Err(Left::Closed);
            }
            let batches = partition.read(from, LOAD_BYTES, end).await?;
            let Some(newest) = batches.last() else { break };
            from = newest.last.next();
            for batch in &batches {
                bytes += batch.bytes.len() as u64;
                replay(&mut machine, &batch.bytes)
                    .map_err(|error| Left::Damaged(format!("batch at offset {}: {error}", batch.first)))?;
            }
        }
        debug!(log = %partition.log(), bytes, %end, "a coordinator shard has replayed its log");
        let growth = Growth::after_loading(bytes, &machine, env.now());
        let (timers, parked) = (Timers::default(), VecDeque::new());
        let (clock, stepped) = (ClockWatch::new(&env), env.steady());
        Ok(Actor { partition, env, machine, outside, timers, parked, last: end.previous(), growth, clock, stepped, owed: None })
    }

    async fn start(&mut self) -> Result<(), Left> {
        let now = self.now();
        let effects = self.machine.loaded(now);
        self.carry_out(effects).await
    }

    /// Handles events until the shard ends.
    async fn run(&mut self, events: &mut mpsc::Receiver<M::Event>) -> Left {
        loop {
            match self.step(events).await {
                Ok(true) => {}
                Ok(false) => return self.finish().await,
                Err(left) => return left,
            }
        }
    }

    /// The time. When somebody has set the clock, what is due moves with it: a session that had ten seconds left keeps them.
    fn now(&mut self) -> Timestamp {
        let (now, set_by_ms) = self.clock.look(&self.env);
        if let Some(by_ms) = set_by_ms {
            info!(log = %self.partition.log(), by_ms, "the clock was set; deadlines move with it");
            self.timers.shift(by_ms);
            self.machine.clock_set(by_ms);
        }
        now
    }

    /// Waits for the next thing to do, and does it. `false`: there will be no more events.
    async fn step(&mut self, events: &mut mpsc::Receiver<M::Event>) -> Result<bool, Left> {
        let (now, steady) = (self.now(), self.env.steady());
        if self.owed.is_none() && steady.ms_since(self.stepped) > TIMER_PATIENCE_MS {
            // By the disk, as a rule.
            self.owed = Some(events.len());
        }
        self.stepped = steady;
        if self.owed.is_none_or(|owed| owed == 0) {
            let patience = if events.is_empty() { 0 } else { TIMER_PATIENCE_MS };
            if let Some(timer) = self.timers.pop_due(now.plus_ms(-patience)) {
                let effects = self.machine.expired(timer, now);
                self.carry_out(effects).await?;
                // Nothing above need wait, and thousands of sessions may end at once.
                tokio::task::yield_now().await;
                return Ok(true);
            }
            self.owed = None;
        }
        let awaited = self.awaited();
        let deadline = self.timers.next();
        tokio::select! {
            biased;
            committed = self.partition.wait_committed(awaited.unwrap_or(self.last)), if awaited.is_some() => {
                committed?;
                self.release();
                Ok(true)
            }
            event = events.recv() => match event {
                Some(event) => {
                    self.owed = self.owed.map(|owed| owed.saturating_sub(1));
                    let now = self.now();
                    let effects = self.machine.handle(event, now);
                    self.carry_out(effects).await?;
                    Ok(true)
                }
                None => Ok(false),
            },
            () = tokio::time::sleep(sleep_until(deadline, now)), if deadline.is_some() => Ok(true),
        }
    }

    /// Answers what is in line; whoever waits for something else (a rebalance) sees a closed channel when the actor goes.
    async fn finish(&mut self) -> Left {
        while let Some(awaited) = self.awaited() {
            if let Err(stopped) = self.partition.wait_committed(awaited).await {
                return stopped.into();
            }
            self.release();
        }
        Left::Closed
    }

    async fn carry_out(&mut self, effects: EffectsOf<M>) -> Result<(), Left> {
        let mut requests = VecDeque::from(self.write(effects).await?);
        while let Some(request) = requests.pop_front() {
            let Some(event) = (self.outside)(request).await else { continue };
            let now = self.now();
            let effects = self.machine.handle(event, now);
            let more = self.write(effects).await?;
            // What follows from a request comes before what else was asked for.
            more.into_iter().rev().for_each(|request| requests.push_front(request));
        }
        self.release();
        if self.growth.is_due() {
            self.checkpoint().await?;
        }
        Ok(())
    }

    /// Appends and applies the records, lines the replies up, and answers what is asked of the world outside.
    async fn write(&mut self, effects: EffectsOf<M>) -> Result<Vec<M::Request>, Left> {
        let Effects { records, replies, early, requests, timers } = effects;
        for (timer, deadline) in timers {
            self.timers.set(timer, deadline);
        }
        // One at a time: the records of an event may be many.
        for batch in batches(&records, self.env.now()) {
            self.growth.bytes += batch.len() as u64;
            self.last = self.partition.append(batch, Origin::Coordinator).await?.last;
        }
        for record in records {
            self.machine.apply(record);
        }
        early.into_iter().for_each(Reply::release);
        self.parked.extend(replies.into_iter().map(|reply| (self.last, reply)));
        Ok(requests)
    }

    /// The offset that the next reply in line, or the checkpoint under way, waits for.
    fn awaited(&self) -> Option<Offset> {
        let reply = self.parked.front().map(|(after, _)| *after);
        let checkpoint = self.growth.pending.map(|(_, last)| last);
        match (reply, checkpoint) {
            (Some(reply), Some(checkpoint)) => Some(reply.min(checkpoint)),
            (reply, checkpoint) => reply.or(checkpoint),
        }
    }

    /// Sends the replies whose turn has come, and trims the log behind a checkpoint that has become durable.
    fn release(&mut self) {
        let durable = self.partition.watermark();
        while self.parked.front().is_some_and(|(after, _)| *after < durable) {
            if let Some((_, reply)) = self.parked.pop_front() {
                reply.release();
            }
        }
        if let Some((first, _)) = self.growth.pending.take_if(|(_, last)| *last < durable) {
            let partition = self.partition.clone();
            // Beside the actor: trimming waits for the disk. A failure costs space until the next checkpoint.
            tasks::spawn("trim a coordinator's log", async move {
                if let Err(error) = partition.trim(first).await {
                    warn!(log = %partition.log(), %error, "a coordinator's log was not trimmed behind its checkpoint");
                }
            });
        }
    }

    /// Appends all live records again.
    async fn checkpoint(&mut self) -> Result<(), Left> {
        let first = self.last.next();
        let mut bytes = 0;
        let records = self.machine.checkpoint();
        for batch in batches(&records, self.env.now()) {
            bytes += batch.len() as u64;
            self.last = self.partition.append(batch, Origin::Coordinator).await?.last;
        }
        info!(log = %self.partition.log(), %first, bytes, grown_bytes = self.growth.bytes, "a coordinator shard wrote a checkpoint");
        self.growth = Growth { bytes: 0, checkpoint_bytes: bytes, pending: Some((first, self.last)) };
        Ok(())
    }
}

impl Growth {
    /// The log does not say where its last checkpoint ends, so that is taken to be as large as one would be now.
    fn after_loading<M: StateMachine>(log_bytes: u64, machine: &M, now: Timestamp) -> Growth {
        let mut checkpoint_bytes = 0;
        if log_bytes > CHECKPOINT_BYTES_MIN {
            checkpoint_bytes = batches(&machine.checkpoint(), now).map(|batch| batch.len() as u64).sum();
        }
        Growth { bytes: log_bytes.saturating_sub(checkpoint_bytes), checkpoint_bytes, pending: None }
    }

    fn is_due(&self) -> bool {
        self.pending.is_none() && self.bytes > CHECKPOINT_BYTES_MIN.max(self.checkpoint_bytes.saturating_mul(CHECKPOINT_FACTOR))
    }
}

/// Why a batch of a coordinator's log does not replay.
#[derive(Debug, Error)]
enum ReplayError {
    #[error(transparent)]
    Batch(#[from] RecordError),
    #[error(transparent)]
    Record(#[from] MalformedRecord),
}

fn replay<M: StateMachine>(machine: &mut M, batch: &Bytes) -> Result<(), ReplayError> {
    let header = BatchHeader::parse(batch)?;
    let writer = header.producer().map(|id| ProducerIdAndEpoch { id, epoch: ProducerEpoch(header.producer_epoch) });
    if header.attributes.is_control() {
        if let (Some(writer), Some(end)) = (writer, EndTransaction::read(batch)?)
            && let Some(record) = M::Record::marker(writer, end)
        {
            machine.apply(record);
        }
        return Ok(());
    }
    let writer = writer.filter(|_| header.attributes.is_transactional());
    for record in records_of(batch, DECOMPRESSED_BYTES_MAX)? {
        let record = record?;
        let Some(key) = record.key else { continue };
        let Some(record) = M::Record::decode(&key, record.value.as_ref())? else { continue };
        let record = match writer {
            Some(writer) => record.in_transaction(writer),
            None => Some(record),
        };
        record.into_iter().for_each(|record| machine.apply(record));
    }
    Ok(())
}

/// `records` as batches of about [`BATCH_BYTES`], in order, each of one kind.
fn batches<R: LogRecord>(records: &[R], now: Timestamp) -> impl Iterator<Item = Bytes> {
    let mut records = records.iter().peekable();
    std::iter::from_fn(move || {
        let first = records.next()?;
        let envelope = first.envelope();
        if let Envelope::Marker(writer, end) = envelope {
            return Some(end.batch(now, writer.id, writer.epoch));
        }
        let mut batch = with(builder(envelope, now), first);
        while let Some(record) = records.next_if(|next| next.envelope() == envelope && batch.estimated_bytes() < BATCH_BYTES) {
            batch = with(batch, record);
        }
        Some(batch.build())
    })
}

fn with<R: LogRecord>(batch: BatchBuilder, record: &R) -> BatchBuilder {
    let (key, value) = record.encode();
    batch.record(Some(&key), value.as_deref())
}

fn builder(envelope: Envelope, now: Timestamp) -> BatchBuilder {
    let plain = BatchBuilder::new(now);
    match envelope {
        Envelope::Transactional(ProducerIdAndEpoch { id, epoch }) => plain.producer(id, epoch, NO_SEQUENCE).transactional(),
        Envelope::Plain | Envelope::Marker(..) => plain,
    }
}

fn sleep_until(deadline: Option<Timestamp>, now: Timestamp) -> Duration {
    let ms = deadline.map_or(i64::MAX, |deadline| deadline.ms_since(now));
    Duration::from_millis(u64::try_from(ms).unwrap_or(0)).min(SLEEP_MAX)
}

#[cfg(test)]
mod tests;
