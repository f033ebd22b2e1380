//! DeleteGroups, key 42, versions 0-2.
//!
//! Behaviour: deletes groups without members, and all that they have committed. One result per group, however often it is named.
//!
//! Version notes: 2 is flexible.
//! Not implemented: nothing.

use super::errors::{self, ResponseError};
use super::{Answer, Context, Handler};
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};
use std::collections::HashSet;
use std::ops::RangeInclusive;

pub struct DeleteGroups;

impl Handler for DeleteGroups {
    type Request = DeleteGroupsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(context: Context, request: DeleteGroupsRequest) -> Answer<DeleteGroupsResponse> {
        let mut seen = HashSet::new();
        let mut pending = Vec::new();
        for group in request.groups_names {
            if seen.insert(group.clone()) {
                let answer = context.broker.groups.delete(group.to_string()).await;
                pending.push((group, answer));
            }
        }
        Answer::Later(Box::pin(async move {
            let mut results = Vec::with_capacity(pending.len());
            for (group, answer) in pending {
                let deleted = match answer {
                    Ok(answer) => answer.wait().await.and_then(|deleted| deleted),
                    Err(error) => Err(error),
                };
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
