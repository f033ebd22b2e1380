//! What the share coordinator and share sessions answer, as Kafka's error codes.

use super::ResponseError;
use crate::api::errors;
use crate::api::share_sessions::ShareSessionError;
use crate::coordinator::share::ShareError;

/// The code for `error`. Source: SharePartition, SharePartitionManager.acknowledge.
#[must_use]
pub fn code(error: &ShareError) -> ResponseError {
    match error {
        ShareError::Shard(error) => errors::shard(error),
        ShareError::GroupIdTooLong => ResponseError::InvalidGroupId,
        ShareError::NotInitialised => ResponseError::UnknownTopicOrPartition,
        ShareError::InvalidState(_) => ResponseError::InvalidRecordState,
        ShareError::InvalidRequest(_) => ResponseError::InvalidRequest,
    }
}

/// The same where records are fetched: there, what is not served now is looked for in newer metadata, and codes of coordinators end a client
/// (ShareFetchCollector.handleInitializeErrors).
#[must_use]
pub fn fetch(error: &ShareError) -> ResponseError {
    match error {
        ShareError::Shard(_) => ResponseError::NotLeaderOrFollower,
        other => code(other),
    }
}

/// Why a session does not go on.
#[must_use]
pub fn session(error: ShareSessionError) -> ResponseError {
    match error {
        ShareSessionError::NotFound => ResponseError::ShareSessionNotFound,
        ShareSessionError::WrongEpoch => ResponseError::InvalidShareSessionEpoch,
        ShareSessionError::LimitReached => ResponseError::ShareSessionLimitReached,
        ShareSessionError::AcknowledgesBeforeFetching => ResponseError::InvalidRequest,
    }
}
