//! Newtypes for the integers and ids that must never be swapped for one another.
//!
//! Each wraps the number as Kafka or the store counts it; `.0` is the raw value. No behaviour beyond what keeps arithmetic honest.

use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

macro_rules! newtype {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

newtype! {
    /// The position of a record in its log, counted from 0. An exclusive end is also an `Offset`: the one that comes next.
    Offset(i64)
}
newtype! {
    /// One log in the store: a partition of a topic, or of an internal topic. Never used again after its log is deleted.
    LogId(u64)
}
newtype! {
    /// Who may write a log: an older fence than the one a log was last opened with is refused. One node: always 0.
    Fence(u64)
}
newtype! {
    /// A topic's id (KIP-516): a re-created topic has another one.
    TopicId(Uuid)
}
newtype! {
    /// The index of a partition within its topic, from 0.
    PartitionIndex(i32)
}
newtype! {
    /// An idempotent producer's id (KIP-98); −1 stands for none and is never a `ProducerId` here.
    ProducerId(i64)
}
newtype! {
    /// The epoch of a producer id: a newer one fences the older.
    ProducerEpoch(i16)
}
newtype! {
    /// How often the leadership of a partition changed hands; with one node it counts opens only where Kafka's clients need it: 0.
    LeaderEpoch(i32)
}
newtype! {
    /// A broker's id (`node.id`).
    NodeId(i32)
}
newtype! {
    /// Milliseconds since 1970-01-01 UTC, as record timestamps count; −1 stands for "no timestamp" in record batches.
    Timestamp(i64)
}

impl Offset {
    /// The offset after this one; saturates, so that a hostile last offset cannot wrap.
    #[must_use]
    pub fn next(self) -> Offset {
        Offset(self.0.saturating_add(1))
    }

    /// The offset before this one; −1 before the first.
    #[must_use]
    pub fn previous(self) -> Offset {
        Offset(self.0.saturating_sub(1))
    }
}

impl Timestamp {
    /// "No timestamp" in Kafka's batches (RecordBatch.NO_TIMESTAMP).
    pub const NONE: Timestamp = Timestamp(-1);

    /// This moment plus `ms`, saturating.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` until this moment; negative when `earlier` is later.
    #[must_use]
    pub fn ms_since(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}
