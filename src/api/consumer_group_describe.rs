//! ConsumerGroupDescribe, key 69, versions 0-1.
//!
//! Behaviour (KIP-848): a group of the consumer protocol with its epochs, and each member with what it owns (what it still has to give up
//! included, as Kafka's ConsumerGroupDescribeRequestTest wants it) and what it should own. Topics that no longer exist are left out.
//!
//! Version notes: 1 tells members of the classic protocol (type 0) from those of the consumer protocol (1) (KIP-1099).
//! A group that the request names twice is answered once.
//! Not implemented: nothing.

use super::consumer_group_heartbeat::is_enabled;
use super::errors::{self, ResponseError};
use super::repeated::once_each;
use super::{Answer, Context, Handler, operations};
use crate::catalog::Snapshot;
use crate::coordinator::group::GroupError;
use crate::coordinator::group::messages::{ConsumerDescribed, ConsumerMember, Partitions, Refused};
use kafka_protocol::messages::consumer_group_describe_response::{Assignment, DescribedGroup, Member, TopicPartitions};
use kafka_protocol::messages::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, GroupId, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::ops::RangeInclusive;

/// The first version with the type of members.
const MEMBER_TYPE: i16 = 1;
/// Not known, or not there yet.
const NO_MEMBER_TYPE: i8 = -1;

pub struct ConsumerGroupDescribe;

impl Handler for ConsumerGroupDescribe {
    type Request = ConsumerGroupDescribeRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    async fn handle(context: Context, request: ConsumerGroupDescribeRequest) -> Answer<ConsumerGroupDescribeResponse> {
        if !is_enabled(&context.broker.config.kafka) {
            let code = ResponseError::UnsupportedVersion.code();
            let refused = |id: GroupId| DescribedGroup::default().with_group_id(id).with_error_code(code);
            let groups = request.group_ids.into_iter().map(refused).collect();
            return Answer::Now(ConsumerGroupDescribeResponse::default().with_groups(groups));
        }
        let version = context.version;
        let allowed = operations::if_asked(request.include_authorized_operations, operations::GROUP);
        let asked = once_each(request.group_ids, Clone::clone);
        let mut pending = Vec::with_capacity(asked.len());
        for id in asked {
            let answer = match id.is_empty() {
                true => Err(GroupError::InvalidGroupId),
                false => context.broker.groups.consumer_describe(id.to_string()).await,
            };
            pending.push((id, answer));
        }
        Answer::Later(Box::pin(async move {
            let mut groups = Vec::with_capacity(pending.len());
            for (id, answer) in pending {
                let described = match answer {
                    Ok(answer) => answer.wait().await.map_err(Refused::from).and_then(|described| described),
                    Err(error) => Err(error.into()),
                };
                // Topics have names as they are now, not as they were when the group was asked.
                let catalog = context.broker.catalog.snapshot();
                groups.push(downgrade(id, described, allowed, version, &catalog));
            }
            ConsumerGroupDescribeResponse::default().with_groups(groups)
        }))
    }

    fn unsupported() -> ConsumerGroupDescribeResponse {
        ConsumerGroupDescribeResponse::default()
    }
}

fn downgrade(
    id: GroupId,
    described: Result<ConsumerDescribed, Refused>,
    allowed: i32,
    version: i16,
    catalog: &Snapshot,
) -> DescribedGroup {
    let answer = DescribedGroup::default().with_group_id(id);
    match described {
        Err(Refused { error, message }) => answer
            .with_error_code(errors::group::code(&error).code())
            .with_error_message(Some(errors::catalog::message(&message))),
        Ok(group) => answer
            .with_group_state(StrBytes::from_static_str(group.state))
            .with_group_epoch(group.epoch)
            .with_assignment_epoch(group.assignment_epoch)
            .with_assignor_name(StrBytes::from_static_str(group.assignor))
            .with_members(group.members.into_iter().map(|one| member(one, version, catalog)).collect())
            .with_authorized_operations(allowed),
    }
}

fn member(member: ConsumerMember, version: i16, catalog: &Snapshot) -> Member {
    let kind = if version < MEMBER_TYPE { NO_MEMBER_TYPE } else { i8::from(!member.is_classic) };
    let topic_name = |name| TopicName(StrBytes::from_string(name));
    Member::default()
        .with_member_id(StrBytes::from_string(member.member_id))
        .with_instance_id(member.instance_id.map(StrBytes::from_string))
        .with_rack_id(member.rack_id.map(StrBytes::from_string))
        .with_member_epoch(member.member_epoch)
        .with_client_id(StrBytes::from_string(member.client_id))
        .with_client_host(StrBytes::from_string(member.client_host))
        .with_subscribed_topic_names(member.topics.into_iter().map(topic_name).collect())
        .with_subscribed_topic_regex(Some(StrBytes::from_string(member.regex.unwrap_or_default())))
        .with_assignment(assignment(member.assignment, catalog))
        .with_target_assignment(assignment(member.target, catalog))
        .with_member_type(kind)
}

fn assignment(partitions: Partitions, catalog: &Snapshot) -> Assignment {
    let topics = partitions.into_iter().filter_map(|(id, partitions)| {
        let topic = catalog.topic_by_id(id)?;
        let name = TopicName(StrBytes::from_string(topic.name.clone()));
        Some(
            TopicPartitions::default()
                .with_topic_id(id.0)
                .with_topic_name(name)
                .with_partitions(partitions.into_iter().collect()),
        )
    });
    Assignment::default().with_topic_partitions(topics.collect())
}
