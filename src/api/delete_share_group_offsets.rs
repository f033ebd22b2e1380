//! DeleteShareGroupOffsets, key 92, version 0.
//!
//! Behaviour: a share group without members forgets how far it is in topics; when it reads them again, it starts where its settings say.
//! What coordinators cannot write in time answers COORDINATOR_NOT_AVAILABLE, is done later in part or as a whole, and ends the connection ([`Context::done_by`]).
//!
//! Version notes: none.
//! Not implemented: nothing.

use super::errors::{self, ResponseError, catalog::message};
use super::{Answer, Context, Handler, share_fetch};
use crate::coordinator::group::GroupError;
use crate::coordinator::shards::Pending;
use crate::coordinator::share::ShareError;
use crate::coordinator::share::records::Key;
use crate::ids::TopicId;
use kafka_protocol::messages::delete_share_group_offsets_response::DeleteShareGroupOffsetsResponseTopic;
use kafka_protocol::messages::{DeleteShareGroupOffsetsRequest, DeleteShareGroupOffsetsResponse};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::Arc;

pub struct DeleteShareGroupOffsets;

impl Handler for DeleteShareGroupOffsets {
    type Request = DeleteShareGroupOffsetsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(context: Context, request: DeleteShareGroupOffsetsRequest) -> Answer<DeleteShareGroupOffsetsResponse> {
        let deleted = context.done_by(Context::coordinator_deadline(), pin!(delete(&context, request))).await;
        let late = || Err(refused(ResponseError::CoordinatorNotAvailable, None));
        Answer::Now(deleted.unwrap_or_else(late).unwrap_or_else(|refused| refused))
    }

    fn unsupported() -> DeleteShareGroupOffsetsResponse {
        refused(ResponseError::UnsupportedVersion, None)
    }
}

/// `Err`: nothing was deleted.
async fn delete(
    context: &Context,
    request: DeleteShareGroupOffsetsRequest,
) -> Result<DeleteShareGroupOffsetsResponse, DeleteShareGroupOffsetsResponse> {
    share_fetch::check_enabled(context).map_err(|error| refused(error, None))?;
    let group = request.group_id.0;
    if group.is_empty() {
        return Err(refused(ResponseError::InvalidGroupId, None));
    }
    let groups = &context.broker.groups;
    let of_group = |error| refused(errors::group::code(&error), None);
    let described = groups.share_describe(group.to_string()).await.map_err(of_group)?.wait().await.map_err(of_group)?;
    let described = described.map_err(|why| refused(errors::group::code(&why.error), Some(&why.message)))?;
    if !described.members.is_empty() {
        let error = GroupError::NonEmptyGroup;
        return Err(refused(errors::group::code(&error), None));
    }
    let initialized = groups.share_initialized(group.to_string()).await.map_err(of_group)?.wait().await.map_err(of_group)?;
    let named: Vec<_> = request
        .topics
        .into_iter()
        .map(|topic| (context.broker.catalog.topic(&topic.topic_name).map(|topic| topic.id), topic.topic_name))
        .collect();
    let ids: BTreeSet<TopicId> = named.iter().filter_map(|(id, _)| *id).collect();
    // The state goes first: when a crash comes between, the group starts anew there, which is what was asked for.
    let name: Arc<str> = group.as_str().into();
    let mut pending = Vec::new();
    for topic in ids.iter().copied() {
        for partition in initialized.get(&topic).into_iter().flatten() {
            let key = Key { group: name.clone(), topic, partition: *partition };
            pending.extend(forget(context, &key).await.map_err(|error| refused(error, None))?);
        }
    }
    for forgotten in pending {
        forgotten.wait().await.map_err(|error| refused(errors::shard(&error), None))?;
    }
    let forgotten = groups.share_forget(group.to_string(), ids).await.map_err(of_group)?.wait().await.map_err(of_group)?;
    let forgotten = forgotten.map_err(|why| refused(errors::group::code(&why.error), Some(&why.message)))?;
    let topics = named.into_iter().map(|(id, name)| {
        let answer = DeleteShareGroupOffsetsResponseTopic::default().with_topic_name(name);
        let unknown = |why: &str| {
            let code = ResponseError::UnknownTopicOrPartition.code();
            answer.clone().with_error_code(code).with_error_message(Some(message(why)))
        };
        match id {
            Some(id) if forgotten.topics.contains_key(&id) => answer.with_topic_id(id.0),
            Some(_) => unknown("There is no offset information to delete."),
            None => unknown(&ResponseError::UnknownTopicOrPartition.to_string()),
        }
    });
    Ok(DeleteShareGroupOffsetsResponse::default().with_responses(topics.collect()))
}

/// `None`: there is nothing to wait for.
async fn forget(context: &Context, key: &Key) -> Result<Option<Pending<()>>, ResponseError> {
    match context.broker.share_partitions.delete(key).await {
        Ok(pending) => Ok(Some(pending)),
        // Nobody has read anything yet.
        Err(ShareError::NotInitialised) => Ok(None),
        Err(error) => Err(errors::share::code(&error)),
    }
}

fn refused(error: ResponseError, why: Option<&str>) -> DeleteShareGroupOffsetsResponse {
    let why = why.map_or_else(|| error.to_string(), str::to_owned);
    DeleteShareGroupOffsetsResponse::default().with_error_code(error.code()).with_error_message(Some(message(&why)))
}
