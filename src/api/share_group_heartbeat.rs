//! ShareGroupHeartbeat, key 76, version 1.
//!
//! Behaviour (KIP-932): a member of a share group joins with epoch 0, says that it lives with the epoch that it was told, and leaves with −1.
//! Null fields mean "as before". The answer brings the member's epoch, the partitions that it reads from if these are new to it, and when
//! to ask again: sooner than configured while the group waits for its next assignment.
//!
//! Version notes: 0 was an early access of Kafka 4.0, and is gone. `feature.share.version=0`: UNSUPPORTED_VERSION.
//! Not implemented: nothing.

use super::errors::{self, ResponseError};
use super::{Answer, Context, Handler};
use crate::config::KafkaSettings;
use crate::coordinator::group::messages::{JOINING, LEAVING, Partitions, Refused};
use crate::coordinator::group::share::messages::{ShareBeat, ShareHeartbeat};
use kafka_protocol::messages::share_group_heartbeat_response::{Assignment, TopicPartitions};
use kafka_protocol::messages::{ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse};
use kafka_protocol::protocol::StrBytes;
use std::ops::RangeInclusive;

/// The longest member id, in UTF-16 units: that of a UUID.
const MEMBER_ID_MAX: usize = 36;

pub struct ShareGroupHeartbeat;

impl Handler for ShareGroupHeartbeat {
    type Request = ShareGroupHeartbeatRequest;
    const VERSIONS: RangeInclusive<i16> = 1..=1;

    async fn handle(context: Context, request: ShareGroupHeartbeatRequest) -> Answer<ShareGroupHeartbeatResponse> {
        if !is_enabled(&context.broker.config.kafka) {
            return Answer::Now(Self::unsupported());
        }
        if let Err(why) = check(&request) {
            return Answer::Now(refused(ResponseError::InvalidRequest, why));
        }
        match context.broker.groups.share_heartbeat(upgrade(&context, request)).await {
            Err(error) => Answer::Now(downgrade(Err(error.into()))),
            Ok(pending) => Answer::Later(Box::pin(async move {
                let reply = pending.wait().await.map_err(Refused::from).and_then(|reply| reply);
                downgrade(reply)
            })),
        }
    }

    fn unsupported() -> ShareGroupHeartbeatResponse {
        ShareGroupHeartbeatResponse::default().with_error_code(ResponseError::UnsupportedVersion.code())
    }
}

/// Whether the broker offers share groups (KafkaApis.isShareGroupProtocolEnabled).
pub(super) fn is_enabled(kafka: &KafkaSettings) -> bool {
    kafka.feature_share_version >= 1
}

/// Whether a member of a share group may have this id (KafkaApis.isMemberIdValid).
pub(super) fn is_member_id(id: &str) -> bool {
    !id.is_empty() && (id.len() <= MEMBER_ID_MAX || id.encode_utf16().count() <= MEMBER_ID_MAX)
}

/// What can be said of the request without looking at the group (GroupCoordinatorService.throwIfShareGroupHeartbeatRequestIsInvalid).
fn check(request: &ShareGroupHeartbeatRequest) -> Result<(), &'static str> {
    let member_id = request.member_id.as_str();
    if !is_member_id(member_id) {
        return Err("Invalid member id in the request.");
    }
    if member_id.trim().is_empty() {
        return Err("MemberId can't be empty.");
    }
    if request.group_id.trim().is_empty() {
        return Err("GroupId can't be empty.");
    }
    if request.rack_id.as_ref().is_some_and(|rack_id| rack_id.trim().is_empty()) {
        return Err("RackId can't be empty.");
    }
    match request.member_epoch {
        JOINING if request.subscribed_topic_names.as_ref().is_none_or(Vec::is_empty) => {
            Err("SubscribedTopicNames must be set in first request.")
        }
        epoch if epoch < LEAVING => Err("MemberEpoch is invalid."),
        _ => Ok(()),
    }
}

fn upgrade(context: &Context, request: ShareGroupHeartbeatRequest) -> ShareHeartbeat {
    ShareHeartbeat {
        group_id: request.group_id.to_string(),
        member_id: request.member_id.to_string(),
        member_epoch: request.member_epoch,
        rack_id: request.rack_id.map(|rack_id| rack_id.to_string()),
        topics: request.subscribed_topic_names.map(|names| names.into_iter().map(|name| name.to_string()).collect()),
        client_id: context.client_id.to_string(),
        client_host: context.client_host(),
    }
}

fn downgrade(reply: Result<ShareBeat, Refused>) -> ShareGroupHeartbeatResponse {
    match reply {
        Err(Refused { error, message }) => refused(errors::group::code(&error), &message),
        Ok(beat) => ShareGroupHeartbeatResponse::default()
            .with_member_id(Some(StrBytes::from_string(beat.member_id)))
            .with_member_epoch(beat.member_epoch)
            .with_heartbeat_interval_ms(beat.heartbeat_interval_ms)
            .with_assignment(beat.assignment.map(assignment)),
    }
}

fn assignment(partitions: Partitions) -> Assignment {
    let topics = partitions.into_iter().filter(|(_, partitions)| !partitions.is_empty()).map(|(topic, partitions)| {
        TopicPartitions::default().with_topic_id(topic.0).with_partitions(partitions.into_iter().collect())
    });
    Assignment::default().with_topic_partitions(topics.collect())
}

fn refused(error: ResponseError, why: &str) -> ShareGroupHeartbeatResponse {
    ShareGroupHeartbeatResponse::default().with_error_code(error.code()).with_error_message(Some(errors::catalog::message(why)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::{GroupId, TopicName};

    fn joining() -> ShareGroupHeartbeatRequest {
        ShareGroupHeartbeatRequest::default()
            .with_group_id(GroupId(StrBytes::from_static_str("g")))
            .with_member_id(StrBytes::from_static_str("m"))
            .with_subscribed_topic_names(Some(vec![TopicName(StrBytes::from_static_str("t"))]))
    }

    fn why(request: &ShareGroupHeartbeatRequest) -> &'static str {
        check(request).err().unwrap_or("")
    }

    #[test]
    fn what_a_member_gets_wrong_is_named() {
        assert_eq!(why(&joining().with_member_id(StrBytes::default())), "Invalid member id in the request.");
        let long = StrBytes::from_string("é".repeat(MEMBER_ID_MAX + 1));
        assert_eq!(why(&joining().with_member_id(long)), "Invalid member id in the request.");
        let longest = StrBytes::from_string("é".repeat(MEMBER_ID_MAX));
        assert_eq!(why(&joining().with_member_id(longest)), "", "units of UTF-16 count, not bytes");
        assert_eq!(why(&joining().with_member_id(StrBytes::from_static_str(" "))), "MemberId can't be empty.");
        assert_eq!(why(&joining().with_group_id(GroupId::default())), "GroupId can't be empty.");
        assert_eq!(why(&joining().with_rack_id(Some(StrBytes::from_static_str(" ")))), "RackId can't be empty.");
        for names in [None, Some(Vec::new())] {
            let why = why(&joining().with_subscribed_topic_names(names));
            assert_eq!(why, "SubscribedTopicNames must be set in first request.");
        }
        assert_eq!(why(&joining().with_member_epoch(-2)), "MemberEpoch is invalid.");
        for epoch in [0, -1, 7] {
            assert_eq!(why(&joining().with_member_epoch(epoch)), "");
        }
        assert_eq!(why(&joining().with_member_epoch(7).with_subscribed_topic_names(None)), "");
    }
}
