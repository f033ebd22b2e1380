//! What callers ask of the transaction coordinator and what it answers, as plain structs: no protocol version reaches this far down.

use super::records::{Partitions, Protocol, Transaction};
use crate::coordinator::group::messages::{CommitReply, CommitRequest};
use crate::coordinator::shards::ShardError;
use crate::coordinator::{Caller, ProducerIdAndEpoch};
use crate::ids::ProducerId;
use crate::records::control::Marker;
use thiserror::Error;

/// The longest transactional id in bytes: Kafka's record format ends at 32,767.
pub const ID_BYTES_MAX: usize = 32_000;

/// Why the coordinator refuses; one variant per reaction of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TransactionError {
    #[error(transparent)]
    Shard(#[from] ShardError),
    #[error("the transactional id is empty or longer than {ID_BYTES_MAX} bytes")]
    InvalidId,
    #[error("transaction.timeout.ms must be at least 1 and at most transaction.max.timeout.ms")]
    InvalidTimeout,
    #[error("the transactional id has no such producer id; initialise it")]
    UnknownProducer,
    /// A newer producer took the transactional id over, or the transaction timed out.
    #[error("there is a newer producer with the same transactional id")]
    Fenced,
    #[error("the transaction before is still being completed; ask again")]
    Concurrent,
    #[error("the transaction is not in a state in which this can be done")]
    InvalidState,
    /// The producer never said that it would write there in this transaction.
    #[error("the partition is not part of the transaction")]
    NotPart,
    /// Ask again with a fresh producer id; only [`super::Transactions`] sees this.
    #[error("a new producer id is needed")]
    NeedsProducerId,
}

/// A producer begins to use a transactional id, or goes on after an error (KIP-360).
#[derive(Debug, Clone)]
pub struct InitRequest {
    pub id: String,
    pub timeout_ms: i32,
    /// Who it was so far, when it goes on.
    pub expected: Option<ProducerIdAndEpoch>,
}

pub type InitReply = Result<ProducerIdAndEpoch, TransactionError>;

/// A producer names partitions of its transaction.
#[derive(Debug, Clone)]
pub struct PartitionsRequest {
    pub id: String,
    pub producer: ProducerIdAndEpoch,
    pub partitions: Partitions,
    pub intent: Intent,
}

/// What is to be done about the partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Add those that are not part of the transaction yet; begin it, if none is open.
    Add(Protocol),
    /// Only say whether they are part of it.
    Verify,
}

/// When an answer is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Durable,
    /// As soon as what was decided is on its way to the disk: for callers that append something behind it.
    Appended,
}

pub type PartitionsReply = Result<(), TransactionError>;

/// A producer ends its transaction.
#[derive(Debug, Clone)]
pub struct EndRequest {
    pub id: String,
    pub producer: ProducerIdAndEpoch,
    pub marker: Marker,
    pub protocol: Protocol,
}

/// Who the producer is from now on: with KIP-890's protocol it goes on in another epoch.
pub type EndReply = Result<ProducerIdAndEpoch, TransactionError>;

/// A transactional id, for administrators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub id: String,
    pub transaction: Transaction,
}

/// What a shard is asked.
#[derive(Debug)]
pub enum Event {
    /// `fresh`: a producer id that nobody had before, if one turned out to be needed.
    Init {
        request: InitRequest,
        fresh: Option<ProducerId>,
        caller: Caller<InitReply>,
    },
    Partitions {
        request: PartitionsRequest,
        when: When,
        caller: Caller<PartitionsReply>,
    },
    /// As [`Event::Partitions`] for a partition of `__consumer_offsets`; then hands the offsets to their group, before any marker can come.
    CommitOffsets {
        request: PartitionsRequest,
        commit: CommitRequest,
        committed: Caller<CommitReply>,
        caller: Caller<PartitionsReply>,
    },
    End {
        request: EndRequest,
        fresh: Option<ProducerId>,
        caller: Caller<EndReply>,
    },
    /// What became of [`Outside::WriteMarkers`].
    MarkersWritten {
        id: String,
        /// The partitions that could not be written.
        left: Partitions,
    },
    List {
        caller: Caller<Vec<Listed>>,
    },
    Describe {
        id: String,
        caller: Caller<Option<Transaction>>,
    },
}

/// What a shard asks of the world outside.
#[derive(Debug)]
pub enum Outside {
    /// Answered by [`Event::MarkersWritten`].
    WriteMarkers(Ending),
    CommitOffsets {
        producer: ProducerIdAndEpoch,
        commit: CommitRequest,
        committed: Caller<CommitReply>,
    },
}

/// An end that is decided, and has to be told to the partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    pub id: String,
    pub producer: ProducerIdAndEpoch,
    pub marker: Marker,
    pub partitions: Partitions,
    /// Whether the marker's epoch is greater than that of the records (KIP-890).
    pub is_epoch_raised: bool,
}
