//! SyncGroup, key 14, versions 0-5.
//!
//! Behaviour: a member that has joined asks for its assignment; the answer waits until the leader has brought everyone's and the
//! generation is durable.
//!
//! Version notes: 3 (KIP-345) adds static members; 4 is flexible; 5 (KIP-559) carries the protocol's type and name, which are
//! checked against the group's.
//! Not implemented: nothing.

use super::errors::{self, ResponseError};
use super::{Answer, Context, Handler};
use crate::coordinator::group::GroupError;
use crate::coordinator::group::messages::{SyncReply, SyncRequest};
use bytes::Bytes;
use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;
use std::ops::RangeInclusive;

pub struct SyncGroup;

impl Handler for SyncGroup {
    type Request = SyncGroupRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    async fn handle(context: Context, request: SyncGroupRequest) -> Answer<SyncGroupResponse> {
        // SyncGroupRequest.areMandatoryProtocolTypeAndNamePresent.
        if context.version >= 5 && (request.protocol_type.is_none() || request.protocol_name.is_none()) {
            return Answer::Now(response(Err(GroupError::InconsistentProtocol)));
        }
        match context.broker.groups.sync(upgrade(request)).await {
            Err(error) => Answer::Now(response(Err(error))),
            Ok(pending) => Answer::Later(Box::pin(async move { response(pending.wait().await.and_then(|reply| reply)) })),
        }
    }

    fn unsupported() -> SyncGroupResponse {
        SyncGroupResponse::default().with_error_code(ResponseError::UnsupportedVersion.code())
    }
}

fn upgrade(request: SyncGroupRequest) -> SyncRequest {
    SyncRequest {
        group_id: request.group_id.to_string(),
        generation: request.generation_id,
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.map(|id| id.to_string()),
        protocol_type: request.protocol_type.map(|name| name.to_string()),
        protocol: request.protocol_name.map(|name| name.to_string()),
        assignments: request
            .assignments
            .into_iter()
            .map(|one| (one.member_id.to_string(), Bytes::copy_from_slice(&one.assignment)))
            .collect(),
    }
}

fn response(reply: SyncReply) -> SyncGroupResponse {
    match reply {
        Ok(synced) => SyncGroupResponse::default()
            .with_protocol_type(synced.protocol_type.map(StrBytes::from_string))
            .with_protocol_name(synced.protocol.map(StrBytes::from_string))
            .with_assignment(synced.assignment),
        Err(error) => SyncGroupResponse::default().with_error_code(errors::group::code(&error).code()),
    }
}
