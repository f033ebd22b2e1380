//! DescribeGroups, key 15, versions 0-6.
//!
//! Behaviour: a group's state, protocol and members; metadata and assignments only while it is stable. A group that does not exist, or
//! that is of another kind (ConsumerGroupDescribe and ShareGroupDescribe show those), is in state Dead.
//!
//! Version notes: 3 (KIP-430) adds the operations that the client may perform: without an authorizer, all; 4 (KIP-345) adds instance
//! ids; 5 is flexible; 6 (KIP-1043) answers GROUP_ID_NOT_FOUND beside the state Dead.
//! A group that the request names twice is answered once.
//! Not implemented: nothing.

use super::errors::{self, ResponseError};
use super::repeated::once_each;
use super::{Answer, Context, Handler, operations};
use crate::coordinator::group::GroupError;
use crate::coordinator::group::messages::{Described, DescribedMember, Refused};
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};
use kafka_protocol::protocol::StrBytes;
use std::ops::RangeInclusive;

pub struct DescribeGroups;

impl Handler for DescribeGroups {
    type Request = DescribeGroupsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=6;

    async fn handle(context: Context, request: DescribeGroupsRequest) -> Answer<DescribeGroupsResponse> {
        let version = context.version;
        let allowed = operations::if_asked(request.include_authorized_operations, operations::GROUP);
        let asked = once_each(request.groups, Clone::clone);
        let mut pending = Vec::with_capacity(asked.len());
        for group in asked {
            let answer = context.broker.groups.describe(group.to_string()).await;
            pending.push((group, answer));
        }
        Answer::Later(Box::pin(async move {
            let mut groups = Vec::with_capacity(pending.len());
            for (group, answer) in pending {
                let described = match answer {
                    Ok(answer) => answer.wait().await.map_err(Refused::from).and_then(|described| described),
                    Err(error) => Err(error.into()),
                };
                groups.push(downgrade(group, described, allowed, version));
            }
            DescribeGroupsResponse::default().with_groups(groups)
        }))
    }

    fn unsupported() -> DescribeGroupsResponse {
        let group = DescribedGroup::default().with_error_code(ResponseError::UnsupportedVersion.code());
        DescribeGroupsResponse::default().with_groups(vec![group])
    }
}

fn downgrade(id: GroupId, described: Result<Described, Refused>, allowed: i32, version: i16) -> DescribedGroup {
    let answer = DescribedGroup::default().with_group_id(id);
    match described {
        Ok(group) => answer
            .with_group_state(StrBytes::from_static_str(group.state))
            .with_protocol_type(StrBytes::from_string(group.protocol_type))
            .with_protocol_data(StrBytes::from_string(group.protocol))
            .with_members(group.members.into_iter().map(member).collect())
            .with_authorized_operations(allowed),
        Err(Refused { error: GroupError::UnknownGroup, message }) => {
            let dead = answer.with_group_state(StrBytes::from_static_str("Dead"));
            if version < 6 {
                return dead.with_authorized_operations(allowed);
            }
            dead.with_error_code(ResponseError::GroupIdNotFound.code())
                .with_error_message(Some(errors::catalog::message(&message)))
        }
        Err(Refused { error, .. }) => answer.with_error_code(errors::group::code(&error).code()),
    }
}

fn member(member: DescribedMember) -> DescribedGroupMember {
    DescribedGroupMember::default()
        .with_member_id(StrBytes::from_string(member.member_id))
        .with_group_instance_id(member.instance_id.map(StrBytes::from_string))
        .with_client_id(StrBytes::from_string(member.client_id))
        .with_client_host(StrBytes::from_string(member.client_host))
        .with_member_metadata(member.metadata)
        .with_member_assignment(member.assignment)
}
