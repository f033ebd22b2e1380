//! Which Kafka error code an error of the lower layers becomes: chosen here and in `errors/`, and nowhere else. What a request itself gets wrong is named by its handler.
//!
//! Never UNKNOWN_SERVER_ERROR (−1) on Produce: clients turn it into duplicates, and Streams threads die of it.

use crate::coordinator::shards::ShardError;
use crate::log::{AppendError, ProducerError, ReadError};
use crate::records::RecordError;
use crate::store::StoreError;

pub use kafka_protocol::error::ResponseError;

pub mod catalog;
pub mod group;
pub mod share;
pub mod telemetry;
pub mod transaction;

/// The code that says "no error".
pub const NONE: i16 = 0;

/// Why a batch was not appended. Source: the exceptions of LogValidator and ProducerAppendInfo.
#[must_use]
pub fn append(error: &AppendError) -> ResponseError {
    match error {
        AppendError::TooLarge { .. } => ResponseError::MessageTooLarge,
        AppendError::Corrupt(error) => record(error),
        AppendError::Invalid(_) | AppendError::InvalidRecords(_) => ResponseError::InvalidRecord,
        AppendError::InvalidTimestamp(_) => ResponseError::InvalidTimestamp,
        AppendError::Producer(ProducerError::OutOfOrderSequence { .. }) => ResponseError::OutOfOrderSequenceNumber,
        AppendError::Producer(ProducerError::StaleEpoch { .. }) => ResponseError::InvalidProducerEpoch,
        AppendError::Producer(ProducerError::NotTransactional(_) | ProducerError::NotVerified(_)) => {
            ResponseError::InvalidTxnState
        }
        AppendError::Producer(ProducerError::StaleCoordinator { .. }) => ResponseError::TransactionCoordinatorFenced,
        AppendError::NoRoom => ResponseError::RequestTimedOut,
        // The topic was deleted between look-up and append: what a client makes of it is a metadata refresh.
        AppendError::Stopped(_) => ResponseError::UnknownTopicOrPartition,
        AppendError::Store(error) => store(error),
    }
}

/// Why nothing was read.
#[must_use]
pub fn read(error: &ReadError) -> ResponseError {
    match error {
        ReadError::OutOfRange { .. } => ResponseError::OffsetOutOfRange,
        ReadError::Stopped(_) => ResponseError::UnknownTopicOrPartition,
        ReadError::Store(error) => store(error),
        ReadError::Damaged(_) => ResponseError::CorruptMessage,
    }
}

/// What the store answers, as producers and consumers should see it: retriable where a retry can help.
#[must_use]
pub fn store(error: &StoreError) -> ResponseError {
    match error {
        StoreError::UnknownLog(_) => ResponseError::UnknownTopicOrPartition,
        StoreError::Fenced { .. } | StoreError::Closed => ResponseError::NotLeaderOrFollower,
        StoreError::TooLarge { .. } => ResponseError::RecordListTooLarge,
        StoreError::Conflict | StoreError::Damaged(_) | StoreError::Io(_) => ResponseError::KafkaStorageError,
    }
}

/// Why a coordinator's shard takes no request.
#[must_use]
pub fn shard(error: &ShardError) -> ResponseError {
    match error {
        ShardError::Loading => ResponseError::CoordinatorLoadInProgress,
        ShardError::NotAvailable => ResponseError::CoordinatorNotAvailable,
        ShardError::NotCoordinator => ResponseError::NotCoordinator,
    }
}

/// What is wrong with the bytes of a batch.
#[must_use]
pub fn record(error: &RecordError) -> ResponseError {
    match error {
        RecordError::UnsupportedCompression(_) => ResponseError::UnsupportedCompressionType,
        // A format of before Kafka 0.11 (ProduceRequest.validateRecords); what was never one is garbage.
        RecordError::UnsupportedMagic(0 | 1) | RecordError::BadCount(_) | RecordError::BadRecord(_) => {
            ResponseError::InvalidRecord
        }
        // Not to be sent again as it is: producers split a batch that is too large.
        RecordError::TooLarge { .. } => ResponseError::MessageTooLarge,
        _ => ResponseError::CorruptMessage,
    }
}
