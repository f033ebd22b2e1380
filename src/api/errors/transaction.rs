//! What the transaction coordinator answers, as Kafka's error codes.

use super::ResponseError;
use crate::api::errors;
use crate::coordinator::txn::TransactionError;

/// The code for `error` in the transaction coordinator's own requests.
#[must_use]
pub fn code(error: &TransactionError) -> ResponseError {
    match error {
        TransactionError::Shard(error) => errors::shard(error),
        // Answered by the coordinator itself; if it is still there, no id could be had.
        TransactionError::NeedsProducerId => ResponseError::CoordinatorNotAvailable,
        TransactionError::InvalidId => ResponseError::InvalidRequest,
        TransactionError::InvalidTimeout => ResponseError::InvalidTransactionTimeout,
        TransactionError::UnknownProducer => ResponseError::InvalidProducerIdMapping,
        TransactionError::Fenced => ResponseError::ProducerFenced,
        TransactionError::Concurrent => ResponseError::ConcurrentTransactions,
        TransactionError::InvalidState | TransactionError::NotPart => ResponseError::InvalidTxnState,
    }
}

/// The same at a version of a request whose clients know PRODUCER_FENCED from version `fencing` on (KIP-588).
#[must_use]
pub fn code_at(error: &TransactionError, version: i16, fencing: i16) -> ResponseError {
    match error {
        TransactionError::Fenced if version < fencing => ResponseError::InvalidProducerEpoch,
        other => code(other),
    }
}

/// Why a partition did not take what belongs to a transaction, in requests that are not the coordinator's own. `knows_abortable`: the client
/// knows TRANSACTION_ABORTABLE; `adds`: it knows that the broker adds partitions for it (KIP-890). `busy`: what makes an older client ask
/// again. Source: AddPartitionsToTxnManager, ReplicaManager.maybeSendPartitionsToTransactionCoordinator.
#[must_use]
pub fn of_partition(error: &TransactionError, knows_abortable: bool, adds: bool, busy: ResponseError) -> ResponseError {
    match error {
        TransactionError::Fenced => ResponseError::InvalidProducerEpoch,
        TransactionError::NotPart if knows_abortable => ResponseError::TransactionAbortable,
        TransactionError::Concurrent if adds => ResponseError::ConcurrentTransactions,
        TransactionError::Concurrent | TransactionError::Shard(_) | TransactionError::NeedsProducerId => busy,
        other => code(other),
    }
}
