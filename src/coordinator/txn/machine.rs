//! One shard of the transaction coordinator: the transactional ids that hash to one partition of `__transaction_state`.
//!
//! ```text
//!            init                 partitions              end, time-out, init             markers written
//!   (none) ──────▶ Empty ─────────────────────▶ Ongoing ──────────────────▶ Prepare(m) ─────────────────▶ Complete(m)
//!                    ▲                             ▲                                                          │ │
//!                    │                             └────────────────────── partitions ────────────────────────┘ │
//!                    └───────────────────────────────────────── init ───────────────────────────────────────────┘
//! ```
//! **Durable**: [`Transaction`] per id, changed only by records, which set it whole; `handle` applies a record the moment it decides on it,
//! and the runtime's own application then changes nothing. **Soft**: who waits for markers, which of them are missing, and the epoch
//! before the last one, by which a repeated InitProducerId is recognised (as in Kafka, a repetition over a restart is fenced instead).
//!
//! Between Prepare and Complete no other event comes: the markers are appended while the runtime carries out the request, in the order
//! decision, markers, completion. The store makes appends durable in that order, so one sync ends a transaction, and the answer waits for
//! it. Only after a crash, or when a partition cannot be written, does anyone meet an id in Prepare: then events do come between, and the
//! markers that are missing are written again, until none is.
//!
//! Invariants: an epoch never goes back; a producer id is never used by two transactional ids; whoever got an answer to `end` finds
//! the same end after any crash; partitions are empty but in Ongoing and Prepare.
//! Source: KIP-98, KIP-360, KIP-890; TransactionCoordinator, TransactionMetadata.

use super::messages::{
    EndReply, EndRequest, Ending, Event, InitReply, InitRequest, Intent, Listed, Outside, PartitionsReply, PartitionsRequest,
    TransactionError, When,
};
use super::records::{Partitions, Protocol, Record, Status, Transaction};
use crate::coordinator::{Caller, Effects, ProducerIdAndEpoch, StateMachine};
use crate::ids::{ProducerEpoch, ProducerId, Timestamp};
use crate::records::control::Marker;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Between the first two attempts to write markers; doubled with each, up to the largest.
const MARKERS_RETRY_MS: i64 = 100;
const MARKERS_RETRY_MS_MAX: i64 = 6_400;
/// A producer with this epoch gets another id: the last one is left for fencing it (TransactionMetadata.isEpochExhausted).
const EPOCH_LAST: i16 = i16::MAX - 1;

type Out = Effects<Record, Timer, Outside>;

/// The settings that transactions follow, from Kafka's broker properties.
#[derive(Debug, Clone)]
pub struct TransactionSettings {
    /// `transaction.max.timeout.ms`
    pub timeout_max_ms: i32,
    /// `transactional.id.expiration.ms`
    pub expiration_ms: i64,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`
    pub cleanup_interval_ms: i64,
}

/// A deadline of a shard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// A transaction has been open for as long as its producer allows.
    Timeout { id: String },
    /// Markers could not be written.
    Markers { id: String },
    /// Ids that nobody uses expire.
    Cleanup,
}

/// Who waits for the markers of a transaction.
#[derive(Debug)]
enum Waiting {
    End(Caller<EndReply>),
    /// Goes on with the id when the open transaction is aborted.
    Init {
        timeout_ms: i32,
        /// The epoch of a producer that goes on.
        expected: Option<ProducerEpoch>,
        fresh: Option<ProducerId>,
        caller: Caller<InitReply>,
    },
}

#[derive(Debug, Default)]
struct Soft {
    /// The epoch before the newest, when the newest is for the producer that had it: it may ask once more who it is.
    last_epoch: Option<ProducerEpoch>,
    waiting: Option<Waiting>,
    missing: Option<Missing>,
}

/// Markers that could not be written, of the transaction in Prepare.
#[derive(Debug)]
struct Missing {
    partitions: Partitions,
    retry_ms: i64,
}

/// See the file's header.
#[derive(Debug)]
pub struct TransactionShard {
    settings: Arc<TransactionSettings>,
    pub(super) durable: BTreeMap<String, Transaction>,
    soft: HashMap<String, Soft>,
}

impl TransactionShard {
    #[must_use]
    pub fn new(settings: Arc<TransactionSettings>) -> TransactionShard {
        TransactionShard { settings, durable: BTreeMap::new(), soft: HashMap::new() }
    }

    fn init(
        &mut self,
        request: InitRequest,
        fresh: Option<ProducerId>,
        caller: Caller<InitReply>,
        now: Timestamp,
        out: &mut Out,
    ) {
        let InitRequest { id, timeout_ms, expected } = request;
        if !(1..=self.settings.timeout_max_ms).contains(&timeout_ms) {
            return out.reply(caller, Err(TransactionError::InvalidTimeout));
        }
        let Some(current) = self.durable.get(&id) else {
            let reply = self.begin(&id, timeout_ms, fresh, now, out);
            return out.reply(caller, reply);
        };
        if expected.is_some_and(|expected| !current.knows(expected)) {
            return out.reply(caller, Err(TransactionError::Fenced));
        }
        match current.status {
            Status::Prepare(_) => out.reply(caller, Err(TransactionError::Concurrent)),
            // Unlike in Kafka, a producer that was fenced already does not end the transaction of the one that fenced it.
            Status::Ongoing if expected.is_some_and(|expected| expected.epoch != current.producer.epoch) => {
                out.reply(caller, Err(TransactionError::Fenced));
            }
            Status::Ongoing => {
                self.fence(&id, now, out);
                let expected = expected.map(|expected| expected.epoch);
                self.soft(&id).waiting = Some(Waiting::Init { timeout_ms, expected, fresh, caller });
            }
            Status::Empty | Status::Complete(_) => {
                let reply = self.go_on(&id, timeout_ms, expected.map(|expected| expected.epoch), fresh, now, out);
                out.reply(caller, reply);
            }
        }
    }

    /// A transactional id that was not known.
    fn begin(&mut self, id: &str, timeout_ms: i32, fresh: Option<ProducerId>, now: Timestamp, out: &mut Out) -> InitReply {
        let Some(fresh) = fresh else { return Err(TransactionError::NeedsProducerId) };
        let producer = ProducerIdAndEpoch { id: fresh, epoch: ProducerEpoch(0) };
        self.write(
            id,
            Transaction {
                producer,
                previous_producer: None,
                next_producer: None,
                protocol: Protocol::V1,
                timeout_ms,
                status: Status::Empty,
                partitions: Partitions::new(),
                last_update: now,
                start: None,
            },
            out,
        );
        Ok(producer)
    }

    /// The next epoch of an id without a transaction. `expected`: the epoch of a producer that goes on, which is then fenced, or
    /// recognised as the one that the newest epoch is for: it repeats its request, or was aborted for taking too long. Source: TransactionMetadata.prepareIncrementProducerEpoch, prepareProducerIdRotation.
    fn go_on(
        &mut self,
        id: &str,
        timeout_ms: i32,
        expected: Option<ProducerEpoch>,
        fresh: Option<ProducerId>,
        now: Timestamp,
        out: &mut Out,
    ) -> InitReply {
        let last_epoch = self.soft(id).last_epoch;
        let Some(current) = self.durable.get(id) else { return Err(TransactionError::UnknownProducer) };
        let own = current.producer;
        let mut next = current.clone();
        let is_last = expected.is_some() && expected == last_epoch;
        match expected {
            Some(epoch) if epoch != own.epoch && !is_last => return Err(TransactionError::Fenced),
            Some(epoch) if epoch != own.epoch && !current.is_exhausted() => {}
            _ if own.epoch.0 >= EPOCH_LAST => {
                let Some(fresh) = fresh else { return Err(TransactionError::NeedsProducerId) };
                next.producer = ProducerIdAndEpoch { id: fresh, epoch: ProducerEpoch(0) };
                next.previous_producer = Some(own.id);
            }
            _ => next.producer.epoch = next_epoch(own.epoch),
        }
        next.timeout_ms = timeout_ms;
        next.status = Status::Empty;
        next.partitions.clear();
        next.last_update = now;
        next.start = None;
        let producer = next.producer;
        self.soft(id).last_epoch = expected;
        self.write(id, next, out);
        Ok(producer)
    }

    /// Adds the partitions to the transaction, or checks that they are part of it.
    fn partitions(&mut self, request: &PartitionsRequest, now: Timestamp, out: &mut Out) -> PartitionsReply {
        let current = self.durable.get(&request.id).ok_or(TransactionError::UnknownProducer)?;
        if current.is_ending_as(request.producer) {
            return Err(TransactionError::Concurrent);
        }
        if current.producer.id != request.producer.id {
            return Err(TransactionError::UnknownProducer);
        }
        if current.producer.epoch != request.producer.epoch || current.is_exhausted() {
            return Err(TransactionError::Fenced);
        }
        if matches!(current.status, Status::Prepare(_)) {
            return Err(TransactionError::Concurrent);
        }
        let is_ongoing = current.status == Status::Ongoing;
        if is_ongoing && current.has(&request.partitions) {
            return Ok(());
        }
        let Intent::Add(protocol) = request.intent else { return Err(TransactionError::NotPart) };
        let mut next = current.clone();
        for (topic, indexes) in &request.partitions {
            next.partitions.entry(topic.clone()).or_default().extend(indexes);
        }
        next.status = Status::Ongoing;
        next.protocol = protocol;
        next.last_update = now;
        if !is_ongoing {
            next.start = Some(now);
            let deadline = now.plus_ms(i64::from(next.timeout_ms));
            out.timers.push((Timer::Timeout { id: request.id.clone() }, Some(deadline)));
        }
        self.write(&request.id, next, out);
        Ok(())
    }

    fn end(&mut self, request: &EndRequest, fresh: Option<ProducerId>, caller: Caller<EndReply>, now: Timestamp, out: &mut Out) {
        let plan = match self.durable.get(&request.id) {
            Some(current) => current.plan(request),
            None => Err(TransactionError::UnknownProducer),
        };
        match plan {
            Err(error) => out.reply(caller, Err(error)),
            Ok(Plan::Done(producer)) => out.reply(caller, Ok(producer)),
            Ok(Plan::End) => match self.prepare(request, fresh, now, out) {
                Err(error) => out.reply(caller, Err(error)),
                Ok(()) => self.soft(&request.id).waiting = Some(Waiting::End(caller)),
            },
        }
    }

    /// Decides on the end of a transaction. Source: TransactionMetadata.prepareAbortOrCommit.
    fn prepare(
        &mut self,
        request: &EndRequest,
        fresh: Option<ProducerId>,
        now: Timestamp,
        out: &mut Out,
    ) -> Result<(), TransactionError> {
        let current = self.durable.get(&request.id).ok_or(TransactionError::UnknownProducer)?;
        let mut next = current.clone();
        next.protocol = request.protocol;
        if request.protocol == Protocol::V2 {
            if current.producer.epoch.0 >= EPOCH_LAST {
                next.next_producer = Some(fresh.ok_or(TransactionError::NeedsProducerId)?);
            }
            next.producer.epoch = next_epoch(current.producer.epoch);
            self.soft(&request.id).last_epoch = Some(request.producer.epoch);
        }
        self.decide(&request.id, next, request.marker, now, out);
        Ok(())
    }

    /// Aborts an open transaction in the next epoch, which shuts its producer out. In the second protocol that is also what its own end would have come to: an abort that
    /// it sends later passes for a repeated one, as in Kafka 4.3 (TransactionCoordinator.generateTxnTransitMetadataForTxnCompletion raises the epoch once). In both
    /// it may go on with InitProducerId, as one whose end has no answer does: the newest epoch is nobody else's.
    fn fence(&mut self, id: &str, now: Timestamp, out: &mut Out) {
        let Some(mut next) = self.durable.get(id).cloned() else { return };
        self.soft(id).last_epoch = Some(next.producer.epoch);
        next.producer.epoch = next_epoch(next.producer.epoch);
        self.decide(id, next, Marker::Abort, now, out);
    }

    fn decide(&mut self, id: &str, mut next: Transaction, marker: Marker, now: Timestamp, out: &mut Out) {
        if next.status != Status::Ongoing {
            // An abort of nothing: what is there is the start of the transaction before.
            next.start = Some(now);
        }
        next.status = Status::Prepare(marker);
        next.last_update = now;
        out.timers.push((Timer::Timeout { id: id.to_owned() }, None));
        out.requests.push(Outside::WriteMarkers(next.ending(id, marker)));
        self.write(id, next, out);
    }

    fn markers_written(&mut self, id: &str, left: Partitions, now: Timestamp, out: &mut Out) {
        let Some(current) = self.durable.get(id) else { return };
        let Status::Prepare(marker) = current.status else { return };
        let are_all = left.is_empty();
        let before = self.soft.get_mut(id).and_then(|soft| soft.missing.take());
        if are_all {
            let next = current.completed(marker, now);
            self.write(id, next, out);
        } else {
            let retry_ms = before.map_or(MARKERS_RETRY_MS, |before| (before.retry_ms * 2).min(MARKERS_RETRY_MS_MAX));
            self.soft(id).missing = Some(Missing { partitions: left, retry_ms });
            out.timers.push((Timer::Markers { id: id.to_owned() }, Some(now.plus_ms(retry_ms))));
        }
        match self.soft(id).waiting.take() {
            // The end is decided, and is as good as done: it will be in the log before this answer goes.
            Some(Waiting::End(caller)) => {
                let reply = self.durable.get(id).map(Transaction::producer_after_end).ok_or(TransactionError::UnknownProducer);
                out.reply(caller, reply);
            }
            Some(Waiting::Init { timeout_ms, expected, fresh, caller }) if are_all => {
                // The epoch that it expected was raised to abort the transaction.
                let reply = self.go_on(id, timeout_ms, None, fresh, now, out);
                if reply.is_ok() {
                    self.soft(id).last_epoch = expected;
                }
                out.reply(caller, reply);
            }
            Some(Waiting::Init { caller, .. }) => out.reply(caller, Err(TransactionError::Concurrent)),
            None => {}
        }
    }

    /// Forgets ids that were not used for long (TransactionStateManager.removeExpiredTransactionalIds).
    fn clean_up(&mut self, now: Timestamp, out: &mut Out) {
        let is_idle = |transaction: &Transaction| matches!(transaction.status, Status::Empty | Status::Complete(_));
        let expired = self.durable.iter().filter(|(_, transaction)| {
            is_idle(transaction) && now.ms_since(transaction.last_update) >= self.settings.expiration_ms
        });
        out.records.extend(expired.map(|(id, _)| Record { id: id.clone(), value: None }));
        out.timers.push((Timer::Cleanup, Some(now.plus_ms(self.settings.cleanup_interval_ms))));
    }

    fn write(&mut self, id: &str, value: Transaction, out: &mut Out) {
        let record = Record { id: id.to_owned(), value: Some(value) };
        out.records.push(record.clone());
        self.apply(record);
    }

    fn soft(&mut self, id: &str) -> &mut Soft {
        self.soft.entry(id.to_owned()).or_default()
    }
}

impl StateMachine for TransactionShard {
    type Event = Event;
    type Record = Record;
    type Timer = Timer;
    type Request = Outside;

    fn handle(&mut self, event: Event, now: Timestamp) -> Out {
        let mut out = Out::default();
        match event {
            Event::Init { request, fresh, caller } => self.init(request, fresh, caller, now, &mut out),
            Event::Partitions { request, when, caller } => {
                let reply = self.partitions(&request, now, &mut out);
                match when {
                    When::Durable => out.reply(caller, reply),
                    When::Appended => out.reply_early(caller, reply),
                }
            }
            Event::CommitOffsets { request, commit, committed, caller } => {
                let reply = self.partitions(&request, now, &mut out);
                if reply.is_ok() {
                    out.requests.push(Outside::CommitOffsets { producer: request.producer, commit, committed });
                }
                out.reply_early(caller, reply);
            }
            Event::End { request, fresh, caller } => self.end(&request, fresh, caller, now, &mut out),
            Event::MarkersWritten { id, left } => self.markers_written(&id, left, now, &mut out),
            Event::List { caller } => {
                let all =
                    self.durable.iter().map(|(id, transaction)| Listed { id: id.clone(), transaction: transaction.clone() });
                out.reply(caller, all.collect());
            }
            Event::Describe { id, caller } => out.reply(caller, self.durable.get(&id).cloned()),
        }
        out
    }

    fn expired(&mut self, timer: Timer, now: Timestamp) -> Out {
        let mut out = Out::default();
        match timer {
            Timer::Timeout { id } => {
                if self.durable.get(&id).is_some_and(|transaction| transaction.status == Status::Ongoing) {
                    self.fence(&id, now, &mut out);
                }
            }
            Timer::Markers { id } => {
                if let Some(transaction) = self.durable.get(&id)
                    && let Status::Prepare(marker) = transaction.status
                {
                    let mut ending = transaction.ending(&id, marker);
                    // After a restart all of them: a partition takes a marker twice, or knows that it has it (KIP-890).
                    if let Some(missing) = self.soft.get(&id).and_then(|soft| soft.missing.as_ref()) {
                        ending.partitions.clone_from(&missing.partitions);
                    }
                    out.requests.push(Outside::WriteMarkers(ending));
                }
            }
            Timer::Cleanup => self.clean_up(now, &mut out),
        }
        out
    }

    fn apply(&mut self, Record { id, value }: Record) {
        match value {
            Some(value) => {
                self.durable.insert(id, value);
            }
            None => {
                self.durable.remove(&id);
                self.soft.remove(&id);
            }
        }
    }

    fn loaded(&mut self, now: Timestamp) -> Out {
        let mut out = Out::default();
        for (id, transaction) in &self.durable {
            match transaction.status {
                Status::Ongoing => {
                    let deadline = transaction.start.unwrap_or(now).plus_ms(i64::from(transaction.timeout_ms));
                    out.timers.push((Timer::Timeout { id: id.clone() }, Some(deadline)));
                }
                // Not at once: the groups' shards are loading as well.
                Status::Prepare(_) => out.timers.push((Timer::Markers { id: id.clone() }, Some(now))),
                Status::Empty | Status::Complete(_) => {}
            }
        }
        out.timers.push((Timer::Cleanup, Some(now.plus_ms(self.settings.cleanup_interval_ms))));
        out
    }

    fn checkpoint(&self) -> Vec<Record> {
        let all = self.durable.iter().map(|(id, value)| Record { id: id.clone(), value: Some(value.clone()) });
        all.collect()
    }
}

/// What an `end` comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    End,
    /// It was done before: who the producer is since.
    Done(ProducerIdAndEpoch),
}

impl Transaction {
    /// Whether a producer that goes on may be the one that has this id (TransactionCoordinator.isValidProducerId). Its epoch is another matter.
    fn knows(&self, expected: ProducerIdAndEpoch) -> bool {
        let is_rotated = self.previous_producer == Some(expected.id) && expected.epoch.0 >= EPOCH_LAST;
        self.producer.id == expected.id || is_rotated
    }

    /// Whether the transaction is being completed, and its producer was already told that it will be `producer` then.
    fn is_ending_as(&self, producer: ProducerIdAndEpoch) -> bool {
        // In the first protocol it stays who it is, and a repeated end of the other kind is to be told from the next one.
        let is_another = self.protocol == Protocol::V2 || self.next_producer.is_some();
        is_another && matches!(self.status, Status::Prepare(_)) && self.producer_after_end() == producer
    }

    /// Whether the last epoch is used up and no other producer id follows: whoever wrote was shut out with it, and the next begins with
    /// InitProducerId. Without this, a producer could be told the last epoch, and a marker could not be greater than its records.
    fn is_exhausted(&self) -> bool {
        self.producer.epoch.0 > EPOCH_LAST && self.next_producer.is_none()
    }

    fn has(&self, partitions: &Partitions) -> bool {
        partitions.iter().all(|(topic, indexes)| self.partitions.get(topic).is_some_and(|own| indexes.is_subset(own)))
    }

    /// What is to be done when a producer ends its transaction. Source: TransactionCoordinator.endTransaction.
    fn plan(&self, request: &EndRequest) -> Result<Plan, TransactionError> {
        let EndRequest { producer, marker, protocol, .. } = request;
        let is_v2 = *protocol == Protocol::V2;
        if self.is_ending_as(*producer) {
            return Err(TransactionError::Concurrent);
        }
        // With KIP-890 an end raises the epoch, so a repeated request comes from the epoch before.
        let is_rotated =
            self.previous_producer == Some(producer.id) && producer.epoch.0 == EPOCH_LAST && self.producer.epoch.0 == 0;
        if self.producer.id != producer.id && !(is_v2 && is_rotated) {
            return Err(TransactionError::UnknownProducer);
        }
        let is_bumped = self.producer.id == producer.id && next_epoch(producer.epoch) == self.producer.epoch;
        let is_repeated = is_v2 && producer.epoch != self.producer.epoch && (is_rotated || is_bumped);
        if (self.producer != *producer && !is_repeated) || self.is_exhausted() {
            return Err(TransactionError::Fenced);
        }
        match self.status {
            // A late request of the transaction before must not end this one (KAFKA-17754); and where none was begun, the epoch was raised by another
            // producer with this id.
            Status::Ongoing | Status::Empty if is_repeated => Err(TransactionError::Fenced),
            Status::Ongoing => Ok(Plan::End),
            Status::Prepare(decided) if decided == *marker => Err(TransactionError::Concurrent),
            Status::Complete(decided) if decided == *marker && (is_repeated || !is_v2) => Ok(Plan::Done(self.producer)),
            // Nothing was written, but the client does not know that (KIP-890): it may abort all the same, and gets its next epoch.
            Status::Empty | Status::Complete(_) if is_v2 && !is_repeated && *marker == Marker::Abort => Ok(Plan::End),
            Status::Empty | Status::Prepare(_) | Status::Complete(_) => Err(TransactionError::InvalidState),
        }
    }

    /// The markers that a decided end needs.
    fn ending(&self, id: &str, marker: Marker) -> Ending {
        Ending {
            id: id.to_owned(),
            producer: self.producer,
            marker,
            partitions: self.partitions.clone(),
            is_epoch_raised: self.protocol == Protocol::V2,
        }
    }

    /// All markers are written. Source: TransactionMetadata.prepareComplete.
    fn completed(&self, marker: Marker, now: Timestamp) -> Transaction {
        let mut next = self.clone();
        next.status = Status::Complete(marker);
        next.partitions.clear();
        next.last_update = now;
        next.producer = self.producer_after_end();
        if next.next_producer.take().is_some() {
            next.previous_producer = Some(self.producer.id);
        }
        next
    }

    fn producer_after_end(&self) -> ProducerIdAndEpoch {
        match self.next_producer {
            Some(id) => ProducerIdAndEpoch { id, epoch: ProducerEpoch(0) },
            None => self.producer,
        }
    }
}

/// At the largest epoch there is none left; whoever has it gets another producer id before it writes again.
fn next_epoch(epoch: ProducerEpoch) -> ProducerEpoch {
    ProducerEpoch(epoch.0.saturating_add(1))
}
