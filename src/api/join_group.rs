//! JoinGroup, key 11, versions 0-9.
//!
//! Behaviour: a member joins its group, or joins again; the answer waits until the next generation starts. The first members of an
//! empty group wait `group.initial.rebalance.delay.ms` for each other. The leader's answer lists all members with their metadata.
//!
//! Version notes: 0 has no rebalance timeout: the session's is used; 4 (KIP-394) makes a new dynamic member come back with the id it
//! is given; 5 (KIP-345) adds static members; 6 is flexible; 7 (KIP-559) answers the protocol type, and null for no protocol; 8 (KIP-800)
//! adds a reason, which only Kafka's log shows; 9 (KIP-814) tells a returning static leader that it need not assign.
//! Not implemented: nothing.

use super::errors::{self, ResponseError};
use super::{Answer, Context, Handler};
use crate::coordinator::group::GroupError;
use crate::coordinator::group::messages::{JoinRefused, JoinReply, JoinRequest, Joined, JoinedMember, Protocol};
use bytes::Bytes;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use kafka_protocol::protocol::StrBytes;
use std::ops::RangeInclusive;

pub struct JoinGroup;

impl Handler for JoinGroup {
    type Request = JoinGroupRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=9;

    async fn handle(context: Context, request: JoinGroupRequest) -> Answer<JoinGroupResponse> {
        let version = context.version;
        let member_id = request.member_id.to_string();
        match context.broker.groups.join(upgrade(&context, request)).await {
            Err(error) => Answer::Now(downgrade(Err(JoinRefused { error, member_id }), version)),
            Ok(pending) => Answer::Later(Box::pin(async move {
                let reply = pending.wait().await.unwrap_or_else(|error| Err(JoinRefused { error, member_id }));
                downgrade(reply, version)
            })),
        }
    }

    fn unsupported() -> JoinGroupResponse {
        refused(ResponseError::UnsupportedVersion, String::new(), *Self::VERSIONS.end())
    }
}

fn upgrade(context: &Context, request: JoinGroupRequest) -> JoinRequest {
    let session_timeout_ms = request.session_timeout_ms;
    JoinRequest {
        group_id: request.group_id.to_string(),
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.map(|id| id.to_string()),
        client_id: context.client_id.to_string(),
        client_host: context.client_host(),
        session_timeout_ms,
        rebalance_timeout_ms: if context.version == 0 { session_timeout_ms } else { request.rebalance_timeout_ms },
        protocol_type: request.protocol_type.to_string(),
        protocols: request
            .protocols
            .into_iter()
            .map(|protocol| Protocol { name: protocol.name.to_string(), metadata: Bytes::copy_from_slice(&protocol.metadata) })
            .collect(),
        is_id_required: context.version >= 4,
        can_skip_assignment: context.version >= 9,
    }
}

fn downgrade(reply: JoinReply, version: i16) -> JoinGroupResponse {
    let joined: Joined = match reply {
        Ok(joined) => joined,
        Err(JoinRefused { error, member_id }) => return refused(refusal(error), member_id, version),
    };
    JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_type(joined.protocol_type.map(StrBytes::from_string))
        .with_protocol_name(protocol_name(joined.protocol, version))
        .with_leader(StrBytes::from_string(joined.leader))
        .with_skip_assignment(joined.skip_assignment)
        .with_member_id(StrBytes::from_string(joined.member_id))
        .with_members(joined.members.into_iter().map(member).collect())
}

fn member(member: JoinedMember) -> JoinGroupResponseMember {
    JoinGroupResponseMember::default()
        .with_member_id(StrBytes::from_string(member.member_id))
        .with_group_instance_id(member.instance_id.map(StrBytes::from_string))
        .with_metadata(member.metadata)
}

fn refused(error: ResponseError, member_id: String, version: i16) -> JoinGroupResponse {
    JoinGroupResponse::default()
        .with_error_code(error.code())
        .with_generation_id(-1)
        .with_protocol_name(protocol_name(None, version))
        .with_member_id(StrBytes::from_string(member_id))
}

fn refusal(error: GroupError) -> ResponseError {
    errors::group::code(&error)
}

/// Null only exists from version 7 (JoinGroupResponse's constructor).
fn protocol_name(name: Option<String>, version: i16) -> Option<StrBytes> {
    match name.filter(|name| !name.is_empty()) {
        None if version < 7 => Some(StrBytes::default()),
        name => name.map(StrBytes::from_string),
    }
}
