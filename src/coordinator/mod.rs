//! Coordinators: state machines whose only durable state is a log of records, one per partition of an internal topic.
//!
//! ```text
//!  callers ──mailbox──▶ runtime ──handle(event, now)──▶ Effects { records, replies, timers }
//!                          │ append(records) → apply(record) → replies wait in line until the log is durable up to here
//!  restart: read the log from its start ──apply(record)──▶ loaded(now)
//! ```
//! A [`StateMachine`] is synchronous and free of I/O, clock and randomness: running and recovering are the same code, and a test
//! drives it with plain numbers. [`runtime`] owns everything that waits.

use crate::ids::Timestamp;
use bytes::Bytes;
use std::fmt;
use std::hash::Hash;
use thiserror::Error;
use tokio::sync::oneshot;

pub mod group;
pub mod producer_ids;
pub mod runtime;
pub mod timers;

/// One shard of a coordinator.
///
/// Two kinds of state: what [`StateMachine::apply`] builds from records is durable, and the same after a replay; what
/// [`StateMachine::handle`] changes beside it (waiting callers, a rebalance under way) is lost with the process.
pub trait StateMachine: Send + 'static {
    type Event: Send + 'static;
    type Record: LogRecord;
    type Timer: Clone + Eq + Ord + Hash + Send + 'static;

    /// Decides what an event does. The records of one event are appended and applied before the next event is handled.
    fn handle(&mut self, event: Self::Event, now: Timestamp) -> Effects<Self::Record, Self::Timer>;

    /// A timer that an earlier effect set is due.
    fn expired(&mut self, timer: Self::Timer, now: Timestamp) -> Effects<Self::Record, Self::Timer>;

    /// Takes over one record of the log. Cannot fail: what a record may hold was decided when it was written.
    fn apply(&mut self, record: Self::Record);

    /// The log was replayed: rebuilds what is not in it and starts the timers.
    fn loaded(&mut self, now: Timestamp) -> Effects<Self::Record, Self::Timer>;

    /// All that is durable, as the fewest records that replay to it: a checkpoint.
    fn checkpoint(&self) -> Vec<Self::Record>;
}

/// A record of a coordinator's log, as Kafka formats it.
pub trait LogRecord: Sized + Send + 'static {
    /// Key, and value or tombstone.
    fn encode(&self) -> (Vec<u8>, Option<Vec<u8>>);

    /// `None` for a kind of record that this version does not know: a newer one wrote it, and it is ignored, as in Kafka
    /// (CoordinatorLoaderImpl: "Unknown record type").
    ///
    /// # Errors
    /// [`MalformedRecord`] when the bytes are not what their version announces.
    fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<Option<Self>, MalformedRecord>;
}

/// A record in a coordinator's log does not decode: the log is damaged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("malformed coordinator record: {0}")]
pub struct MalformedRecord(pub String);

/// What an event does.
#[derive(Debug)]
pub struct Effects<R, T> {
    /// To be appended together and in order, then applied.
    pub records: Vec<R>,
    /// To be released once all records up to here are durable.
    pub replies: Vec<Reply>,
    /// Deadlines set (`Some`, replacing an earlier one of the same timer) and cancelled (`None`), in order.
    pub timers: Vec<(T, Option<Timestamp>)>,
}

impl<R, T> Default for Effects<R, T> {
    fn default() -> Effects<R, T> {
        Effects { records: Vec::new(), replies: Vec::new(), timers: Vec::new() }
    }
}

impl<R, T> Effects<R, T> {
    /// Answers `caller` with `value`.
    pub fn reply<V: Send + 'static>(&mut self, caller: Caller<V>, value: V) {
        self.replies.push(Reply(Box::new(move || {
            // A caller that went away does not want to know.
            let _ = caller.0.send(value);
        })));
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
