//! Heartbeat, key 12, versions 0-4.
//!
//! Behaviour: a member says that it lives, and learns whether its group rebalances. While the group's shard is loading, every heartbeat
//! is fine: sessions start anew when it has loaded (GroupCoordinatorService.heartbeat).
//!
//! Version notes: 3 (KIP-345) adds static members; 4 is flexible.
//! Not implemented: nothing.

use super::errors::{self, ResponseError};
use super::{Answer, Context, Handler};
use crate::coordinator::group::GroupError;
use crate::coordinator::group::messages::HeartbeatRequest as Beat;
use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};
use std::ops::RangeInclusive;

pub struct Heartbeat;

impl Handler for Heartbeat {
    type Request = HeartbeatRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=4;

    async fn handle(context: Context, request: HeartbeatRequest) -> Answer<HeartbeatResponse> {
        let beat = Beat {
            group_id: request.group_id.to_string(),
            generation: request.generation_id,
            member_id: request.member_id.to_string(),
            instance_id: request.group_instance_id.map(|id| id.to_string()),
        };
        match context.broker.groups.heartbeat(beat).await {
            Err(GroupError::Loading) => Answer::Now(response(Ok(()))),
            Err(error) => Answer::Now(response(Err(error))),
            Ok(pending) => Answer::Later(Box::pin(async move { response(pending.wait().await.and_then(|reply| reply)) })),
        }
    }

    fn unsupported() -> HeartbeatResponse {
        HeartbeatResponse::default().with_error_code(ResponseError::UnsupportedVersion.code())
    }
}

fn response(reply: Result<(), GroupError>) -> HeartbeatResponse {
    HeartbeatResponse::default().with_error_code(errors::group::code_of(&reply))
}
