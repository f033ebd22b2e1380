//! ConsumerGroupHeartbeat, key 68, versions 0-1.
//!
//! Behaviour (KIP-848): a member of the consumer protocol joins with epoch 0, says that it lives with the epoch that it was told, and
//! leaves with −1, or −2 for a while (static members). Null fields mean "as before". The answer brings the member's epoch, the
//! partitions that it may own now if these are new to it, and when to ask again: sooner than configured while it waits for partitions.
//!
//! Version notes: 1 adds subscriptions by regular expression (RE2's syntax, resolved here), and members bring their own id.
//! `group.coordinator.rebalance.protocols` without `consumer`, or `feature.group.version=0`: UNSUPPORTED_VERSION.
//! Not implemented: nothing.

use super::errors::{self, ResponseError};
use super::{Answer, Context, Handler};
use crate::config::KafkaSettings;
use crate::coordinator::group::messages::{
    ConsumerBeat, ConsumerHeartbeat, JOINING, LEAVING, LEAVING_FOR_A_WHILE, Partitions, Refused,
};
use crate::ids::TopicId;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions as Owned;
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use kafka_protocol::protocol::StrBytes;
use std::ops::RangeInclusive;

/// "As before", for the rebalance timeout.
const UNCHANGED: i32 = -1;
/// The first version in which members bring their own id.
const OWN_ID: i16 = 1;

pub struct ConsumerGroupHeartbeat;

impl Handler for ConsumerGroupHeartbeat {
    type Request = ConsumerGroupHeartbeatRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    async fn handle(context: Context, request: ConsumerGroupHeartbeatRequest) -> Answer<ConsumerGroupHeartbeatResponse> {
        if !is_enabled(&context.broker.config.kafka) {
            return Answer::Now(Self::unsupported());
        }
        if let Err((error, why)) = check(&request, context.version) {
            return Answer::Now(refused(error, why));
        }
        match context.broker.groups.consumer_heartbeat(upgrade(&context, request)).await {
            Err(error) => Answer::Now(downgrade(Err(error.into()))),
            Ok(pending) => Answer::Later(Box::pin(async move {
                let reply = pending.wait().await.map_err(Refused::from).and_then(|reply| reply);
                downgrade(reply)
            })),
        }
    }

    fn unsupported() -> ConsumerGroupHeartbeatResponse {
        ConsumerGroupHeartbeatResponse::default().with_error_code(ResponseError::UnsupportedVersion.code())
    }
}

/// Whether the broker offers the consumer protocol (KafkaApis.isConsumerGroupProtocolEnabled).
pub(super) fn is_enabled(kafka: &KafkaSettings) -> bool {
    kafka.feature_group_version >= 1 && kafka.group_coordinator_rebalance_protocols.iter().any(|name| name == "consumer")
}

/// What can be said of the request without looking at the group (GroupCoordinatorService.throwIfConsumerGroupHeartbeatRequestIsInvalid).
fn check(request: &ConsumerGroupHeartbeatRequest, version: i16) -> Result<(), (ResponseError, &'static str)> {
    let invalid = |why| Err((ResponseError::InvalidRequest, why));
    let epoch = request.member_epoch;
    let is_empty = |text: &Option<StrBytes>| text.as_ref().is_some_and(|text| text.trim().is_empty());
    if (version >= OWN_ID || epoch > JOINING || epoch == LEAVING) && request.member_id.trim().is_empty() {
        return invalid("MemberId can't be empty.");
    }
    if request.group_id.trim().is_empty() {
        return invalid("GroupId can't be empty.");
    }
    if is_empty(&request.instance_id) {
        return invalid("InstanceId can't be empty.");
    }
    if is_empty(&request.rack_id) {
        return invalid("RackId can't be empty.");
    }
    match epoch {
        JOINING if request.rebalance_timeout_ms == UNCHANGED => invalid("RebalanceTimeoutMs must be provided in first request."),
        JOINING if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) => {
            invalid("TopicPartitions must be empty when (re-)joining.")
        }
        JOINING if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() => {
            invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")
        }
        LEAVING_FOR_A_WHILE if request.instance_id.is_none() => invalid("InstanceId can't be null."),
        _ if epoch < LEAVING_FOR_A_WHILE => invalid("MemberEpoch is invalid."),
        _ => Ok(()),
    }
}

fn upgrade(context: &Context, request: ConsumerGroupHeartbeatRequest) -> ConsumerHeartbeat {
    let text = |text: Option<StrBytes>| text.map(|text| text.to_string());
    ConsumerHeartbeat {
        group_id: request.group_id.to_string(),
        member_id: request.member_id.to_string(),
        member_epoch: request.member_epoch,
        instance_id: text(request.instance_id),
        rack_id: text(request.rack_id),
        rebalance_timeout_ms: Some(request.rebalance_timeout_ms).filter(|ms| *ms != UNCHANGED),
        topics: request.subscribed_topic_names.map(|names| names.into_iter().map(|name| name.to_string()).collect()),
        regex: text(request.subscribed_topic_regex),
        assignor: text(request.server_assignor),
        owned: request.topic_partitions.map(owned),
        client_id: context.client_id.to_string(),
        client_host: context.client_host(),
    }
}

fn owned(topics: Vec<Owned>) -> Partitions {
    let mut owned = Partitions::new();
    for topic in topics {
        owned.entry(TopicId(topic.topic_id)).or_default().extend(topic.partitions);
    }
    owned
}

fn downgrade(reply: Result<ConsumerBeat, Refused>) -> ConsumerGroupHeartbeatResponse {
    match reply {
        Err(Refused { error, message }) => refused(errors::group::code(&error), &message),
        Ok(beat) => ConsumerGroupHeartbeatResponse::default()
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

fn refused(error: ResponseError, why: &str) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse::default()
        .with_error_code(error.code())
        .with_error_message(Some(errors::catalog::message(why)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::{GroupId, TopicName};

    fn joining() -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(StrBytes::from_static_str("g")))
            .with_member_id(StrBytes::from_static_str("m"))
            .with_rebalance_timeout_ms(1000)
            .with_subscribed_topic_names(Some(vec![TopicName(StrBytes::from_static_str("t"))]))
            .with_topic_partitions(Some(Vec::new()))
    }

    fn why(request: &ConsumerGroupHeartbeatRequest, version: i16) -> &'static str {
        check(request, version).err().map_or("", |(_, why)| why)
    }

    #[test]
    fn what_a_joining_member_leaves_out_is_named() {
        assert_eq!(why(&joining().with_member_id(StrBytes::default()), 1), "MemberId can't be empty.");
        assert_eq!(why(&joining().with_member_id(StrBytes::default()), 0), "", "version 0 may ask for an id");
        assert_eq!(why(&joining().with_group_id(GroupId::default()), 1), "GroupId can't be empty.");
        assert_eq!(why(&joining().with_instance_id(Some(StrBytes::default())), 1), "InstanceId can't be empty.");
        assert_eq!(why(&joining().with_rack_id(Some(StrBytes::from_static_str(" "))), 1), "RackId can't be empty.");
        assert_eq!(why(&joining().with_rebalance_timeout_ms(-1), 1), "RebalanceTimeoutMs must be provided in first request.");
        assert_eq!(why(&joining().with_topic_partitions(None), 1), "TopicPartitions must be empty when (re-)joining.");
        assert!(why(&joining().with_subscribed_topic_names(None), 1).starts_with("Either SubscribedTopicNames or"));
        assert_eq!(why(&joining().with_member_epoch(-2), 1), "InstanceId can't be null.");
        assert_eq!(why(&joining().with_member_epoch(-3), 1), "MemberEpoch is invalid.");
        assert_eq!(why(&joining(), 1), "");
    }
}
