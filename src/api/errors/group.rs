//! What the group coordinator answers, as Kafka's error codes.

use super::ResponseError;
use crate::coordinator::group::GroupError;

/// The code for `error`, in requests and versions that do not say otherwise.
#[must_use]
pub fn code(error: &GroupError) -> ResponseError {
    match error {
        GroupError::Loading => ResponseError::CoordinatorLoadInProgress,
        GroupError::NotAvailable => ResponseError::CoordinatorNotAvailable,
        GroupError::NotCoordinator => ResponseError::NotCoordinator,
        GroupError::InvalidGroupId => ResponseError::InvalidGroupId,
        GroupError::UnknownMember => ResponseError::UnknownMemberId,
        GroupError::IllegalGeneration => ResponseError::IllegalGeneration,
        GroupError::RebalanceInProgress => ResponseError::RebalanceInProgress,
        GroupError::InconsistentProtocol => ResponseError::InconsistentGroupProtocol,
        GroupError::InvalidSessionTimeout => ResponseError::InvalidSessionTimeout,
        GroupError::MemberIdRequired => ResponseError::MemberIdRequired,
        GroupError::MaxSizeReached => ResponseError::GroupMaxSizeReached,
        GroupError::FencedInstance => ResponseError::FencedInstanceId,
        GroupError::UnknownGroup | GroupError::NoOffsets => ResponseError::GroupIdNotFound,
        GroupError::NonEmptyGroup => ResponseError::NonEmptyGroup,
        GroupError::MetadataTooLarge => ResponseError::OffsetMetadataTooLarge,
        GroupError::CommitTooLarge => ResponseError::InvalidCommitOffsetSize,
        GroupError::FencedEpoch => ResponseError::FencedMemberEpoch,
        GroupError::StaleEpoch => ResponseError::StaleMemberEpoch,
        GroupError::UnreleasedInstance => ResponseError::UnreleasedInstanceId,
        GroupError::UnsupportedAssignor => ResponseError::UnsupportedAssignor,
        GroupError::InvalidRegex => ResponseError::InvalidRegularExpression,
        GroupError::UnsupportedVersion => ResponseError::UnsupportedVersion,
        GroupError::SubscribedTopic => ResponseError::GroupSubscribedToTopic,
        GroupError::UnstableOffset => ResponseError::UnstableOffsetCommit,
        GroupError::InvalidTopology => ResponseError::StreamsInvalidTopology,
        GroupError::NameTooLong | GroupError::Invalid => ResponseError::InvalidRequest,
    }
}

/// The code of a result: 0 where all is well.
#[must_use]
pub fn code_of<T>(result: &Result<T, GroupError>) -> i16 {
    result.as_ref().err().map_or(super::NONE, |error| code(error).code())
}
