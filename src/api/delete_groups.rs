//! DeleteGroups, key 42, versions 0-2.
//!
//! Behaviour: deletes groups without members, and all that they have committed. One result per group, however often it is named.
//! One whose coordinators cannot begin in time is COORDINATOR_NOT_AVAILABLE, and the connection ends ([`Context::done_by`]); how far it was, if it is a share
//! group, may be forgotten all the same.
//!
//! Version notes: 2 is flexible.
//! Not implemented: nothing.

use super::errors::{self, ResponseError};
use super::{Answer, Context, Handler};
use crate::coordinator::group::{GroupError, Pending};
use crate::coordinator::share::ShareError;
use crate::tasks::deadline::within;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};
use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::pin::pin;
use tracing::warn;

pub struct DeleteGroups;

impl Handler for DeleteGroups {
    type Request = DeleteGroupsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(context: Context, request: DeleteGroupsRequest) -> Answer<DeleteGroupsResponse> {
        let mut seen = HashSet::new();
        let mut pending = Vec::new();
        let deadline = Context::coordinator_deadline();
        let mut is_late = false;
        for group in request.groups_names {
            if seen.insert(group.clone()) {
                let begun = context.done_by(deadline, pin!(begin(&context, &group))).await;
                is_late |= begun.is_none();
                pending.push((group, begun.unwrap_or(Err(GroupError::NotAvailable))));
            }
        }
        Answer::Later(Box::pin(async move {
            let mut results = Vec::with_capacity(pending.len());
            for (group, answer) in pending {
                let (deleted, has_shares) = match answer {
                    Ok((answer, has_shares)) => {
                        let waits = pin!(answer.wait());
                        // Where one was late nobody reads the connection any more, or would see that its client has gone.
                        let done = if is_late { within(deadline, waits).await } else { Some(waits.await) };
                        (done.unwrap_or(Err(GroupError::NotAvailable)).and_then(|deleted| deleted), has_shares)
                    }
                    Err(error) => (Err(error), false),
                };
                // A fetch that was under way may have begun it anew, as long as the group was there.
                if has_shares
                    && deleted.is_ok()
                    && let Err(error) = forget_states(&context, &group).await
                {
                    warn!(group = %group.0, %error, "a share group is deleted, and may leave some state behind");
                }
                let code = errors::group::code_of(&deleted);
                results.push(DeletableGroupResult::default().with_group_id(group).with_error_code(code));
            }
            DeleteGroupsResponse::default().with_results(results)
        }))
    }

    fn unsupported() -> DeleteGroupsResponse {
        let result = DeletableGroupResult::default().with_error_code(ResponseError::UnsupportedVersion.code());
        DeleteGroupsResponse::default().with_results(vec![result])
    }
}

/// Begins the deletion; answers also whether it is a share group's.
async fn begin(context: &Context, group: &str) -> Result<(Pending<Result<(), GroupError>>, bool), GroupError> {
    let has_shares = context.broker.share_partitions.exist() && forget_shares(context, group).await?;
    Ok((context.broker.groups.delete(group.to_owned()).await?, has_shares))
}

/// Of a share group without members, how far it is goes first: when a crash comes between, it starts anew, which is what was asked for.
/// Answers whether it is one.
async fn forget_shares(context: &Context, group: &str) -> Result<bool, GroupError> {
    let described = context.broker.groups.share_describe(group.to_owned()).await?.wait().await?;
    // What it is, and whether it is there, the deletion says.
    if described.is_ok_and(|group| group.members.is_empty()) {
        forget_states(context, group).await?;
        return Ok(true);
    }
    Ok(false)
}

async fn forget_states(context: &Context, group: &str) -> Result<(), GroupError> {
    context.broker.share_partitions.delete_group(group).await.map_err(|error| match error {
        ShareError::Shard(error) => error.into(),
        _ => GroupError::InvalidGroupId,
    })
}
