//! Coordinators: state machines whose only durable state is a log of records, one per partition of an internal topic.
//!
//! ```text
//!  callers ──mailbox──▶ runtime ──handle(event, now)──▶ Effects { records, replies, timers }
//!                          │ append(records) → apply(record) → replies wait in line until the log is durable up to here
//!  restart: read the log from its start ──apply(record)──▶ loaded(now)
//! ```
//! A [`StateMachine`] is synchronous and free of I/O, clock and randomness: running and recovering are the same code, and a test
//! drives it with plain numbers. [`runtime`] owns everything that waits; what a machine wants of the world outside its log is a
//! [`StateMachine::Request`], and comes back as an event.

use crate::ids::{ProducerEpoch, ProducerId, Timestamp};
use crate::records::control::EndTransaction;
use bytes::Bytes;
use std::convert::Infallible;
use std::fmt;
use std::hash::Hash;
use thiserror::Error;
use tokio::sync::oneshot;

pub mod group;
pub mod producer_ids;
pub mod runtime;
pub mod shards;
pub mod share;
pub mod timers;
pub mod txn;
mod wire;

/// One shard of a coordinator.
///
/// Two kinds of state: what [`StateMachine::apply`] builds from records is durable, and the same after a replay; what
/// [`StateMachine::handle`] changes beside it (waiting callers, a rebalance under way) is lost with the process.
pub trait StateMachine: Send + 'static {
    type Event: Send + 'static;
    type Record: LogRecord;
    type Timer: Clone + Eq + Ord + Hash + Send + 'static;
    /// What is asked of the world outside; [`std::convert::Infallible`]: nothing.
    type Request: Send + 'static;

    /// Decides what an event does. The records of one event are appended and applied before the next event is handled.
    fn handle(&mut self, event: Self::Event, now: Timestamp) -> EffectsOf<Self>;

    /// A timer that an earlier effect set is due.
    fn expired(&mut self, timer: Self::Timer, now: Timestamp) -> EffectsOf<Self>;

    /// Takes over one record of the log. Cannot fail: what a record may hold was decided when it was written.
    fn apply(&mut self, record: Self::Record);

    /// The log was replayed: rebuilds what is not in it and starts the timers.
    fn loaded(&mut self, now: Timestamp) -> EffectsOf<Self>;

    /// Somebody has set the clock, forward or (negative) back. Timers move by themselves; deadlines that the machine keeps beside them are moved here.
    fn clock_set(&mut self, _by_ms: i64) {}

    /// All that is durable, as the fewest records that replay to it: a checkpoint.
    fn checkpoint(&self) -> Vec<Self::Record>;
}

/// What the machine `M` does in answer to an event.
pub type EffectsOf<M> = Effects<<M as StateMachine>::Record, <M as StateMachine>::Timer, <M as StateMachine>::Request>;

/// A record of a coordinator's log, as Kafka formats it.
pub trait LogRecord: Sized + Send + Sync + 'static {
    /// Key, and value or tombstone. Not asked of a marker.
    fn encode(&self) -> (Vec<u8>, Option<Vec<u8>>);

    /// `None` for a kind of record that this version does not know: a newer one wrote it, and it is ignored, as in Kafka
    /// (CoordinatorLoaderImpl: "Unknown record type").
    ///
    /// # Errors
    /// [`MalformedRecord`] when the bytes are not what their version announces.
    fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<Option<Self>, MalformedRecord>;

    /// What kind of batch the record stands in. Consecutive records of one kind share a batch; a marker has its own.
    fn envelope(&self) -> Envelope {
        Envelope::Plain
    }

    /// The record that [`LogRecord::decode`] answered, as part of a producer's transaction; `None`: such records are none of ours.
    fn in_transaction(self, _producer: ProducerIdAndEpoch) -> Option<Self> {
        None
    }

    /// The marker that ends a producer's transaction, as a record.
    fn marker(_producer: ProducerIdAndEpoch, _end: EndTransaction) -> Option<Self> {
        None
    }
}

/// Who writes a transaction: a producer in one of its epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerIdAndEpoch {
    pub id: ProducerId,
    pub epoch: ProducerEpoch,
}

impl ProducerIdAndEpoch {
    /// From the numbers of a request.
    #[must_use]
    pub fn of(id: i64, epoch: i16) -> ProducerIdAndEpoch {
        ProducerIdAndEpoch { id: ProducerId(id), epoch: ProducerEpoch(epoch) }
    }
}

/// The kind of batch that a record stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Envelope {
    Plain,
    /// Undecided until the writer's marker.
    Transactional(ProducerIdAndEpoch),
    Marker(ProducerIdAndEpoch, EndTransaction),
}

/// A record in a coordinator's log does not decode: the log is damaged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("malformed coordinator record: {0}")]
pub struct MalformedRecord(pub String);

/// What an event does.
#[derive(Debug)]
pub struct Effects<R, T, Q = Infallible> {
    /// To be appended together and in order, then applied.
    pub records: Vec<R>,
    /// To be released once all records up to here are durable.
    pub replies: Vec<Reply>,
    /// To be released as soon as the records are appended: for callers within this process who go on to append something themselves.
    /// The store writes in the order of appends, over all logs, so what they append is never durable without these records.
    pub early: Vec<Reply>,
    /// To be carried out in order when the records are appended, before the next event; what comes back is handled next.
    pub requests: Vec<Q>,
    /// Deadlines set (`Some`, replacing an earlier one of the same timer) and cancelled (`None`), in order.
    pub timers: Vec<(T, Option<Timestamp>)>,
}

impl<R, T, Q> Default for Effects<R, T, Q> {
    fn default() -> Effects<R, T, Q> {
        Effects { records: Vec::new(), replies: Vec::new(), early: Vec::new(), requests: Vec::new(), timers: Vec::new() }
    }
}

impl<R, T, Q> Effects<R, T, Q> {
    /// Answers `caller` with `value`, when all up to here is durable.
    pub fn reply<V: Send + 'static>(&mut self, caller: Caller<V>, value: V) {
        self.replies.push(Reply::to(caller, value));
    }

    /// Answers `caller` with `value` as soon as the records are appended; see [`Effects::early`].
    pub fn reply_early<V: Send + 'static>(&mut self, caller: Caller<V>, value: V) {
        self.early.push(Reply::to(caller, value));
    }
}

/// Somebody who waits for an answer. Dropping it tells them that the shard is gone (they see a closed channel).
#[derive(Debug)]
pub struct Caller<V>(oneshot::Sender<V>);

impl<V> Caller<V> {
    /// A caller, and where its answer arrives.
    #[must_use]
    pub fn pair() -> (Caller<V>, oneshot::Receiver<V>) {
        let (sender, receiver) = oneshot::channel();
        (Caller(sender), receiver)
    }
}

/// An answer that waits for durability.
pub struct Reply(Box<dyn FnOnce() + Send>);

impl Reply {
    fn to<V: Send + 'static>(caller: Caller<V>, value: V) -> Reply {
        // A caller that went away does not want to know.
        Reply(Box::new(move || drop(caller.0.send(value))))
    }

    /// Sends it.
    pub fn release(self) {
        (self.0)();
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply")
    }
}
