//! LeaveGroup, key 13, versions 0-5.
//!
//! Behaviour: members leave and the group rebalances at once, without waiting for their sessions. An administrator removes static
//! members by instance id alone.
//!
//! Version notes: 3 (KIP-345) takes many members and answers each; before, there is one, and its error is the response's; 4 is
//! flexible; 5 (KIP-800) adds a reason, which only Kafka's log shows.
//! Not implemented: nothing.

use super::errors::{self, ResponseError};
use super::{Answer, Context, Handler};
use crate::coordinator::group::GroupError;
use crate::coordinator::group::messages::{LeaveReply, LeaveRequest, Leaving};
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};
use kafka_protocol::protocol::StrBytes;
use std::ops::RangeInclusive;

/// The first version with many members.
const BATCHED: i16 = 3;

pub struct LeaveGroup;

impl Handler for LeaveGroup {
    type Request = LeaveGroupRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    async fn handle(context: Context, request: LeaveGroupRequest) -> Answer<LeaveGroupResponse> {
        let version = context.version;
        let request = upgrade(request, version);
        let members = request.members.clone();
        match context.broker.groups.leave(request).await {
            Err(error) => Answer::Now(downgrade(Err(error), members, version)),
            Ok(pending) => Answer::Later(Box::pin(async move { downgrade(pending.wait().await, members, version) })),
        }
    }

    fn unsupported() -> LeaveGroupResponse {
        LeaveGroupResponse::default().with_error_code(ResponseError::UnsupportedVersion.code())
    }
}

fn upgrade(request: LeaveGroupRequest, version: i16) -> LeaveRequest {
    let members = if version < BATCHED {
        vec![Leaving { member_id: request.member_id.to_string(), instance_id: None }]
    } else {
        let members = request.members.into_iter().map(|member| Leaving {
            member_id: member.member_id.to_string(),
            instance_id: member.group_instance_id.map(|id| id.to_string()),
        });
        members.collect()
    };
    LeaveRequest { group_id: request.group_id.to_string(), members }
}

fn downgrade(reply: Result<LeaveReply, GroupError>, members: Vec<Leaving>, version: i16) -> LeaveGroupResponse {
    let results = match reply {
        Ok(results) => results,
        Err(error) => return LeaveGroupResponse::default().with_error_code(errors::group::code(&error).code()),
    };
    if version < BATCHED {
        let code = results.first().map_or(errors::NONE, errors::group::code_of);
        return LeaveGroupResponse::default().with_error_code(code);
    }
    let members = members.into_iter().zip(results).map(|(member, result)| {
        MemberResponse::default()
            .with_member_id(StrBytes::from_string(member.member_id))
            .with_group_instance_id(member.instance_id.map(StrBytes::from_string))
            .with_error_code(errors::group::code_of(&result))
    });
    LeaveGroupResponse::default().with_members(members.collect())
}
