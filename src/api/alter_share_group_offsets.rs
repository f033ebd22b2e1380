//! AlterShareGroupOffsets, key 91, version 0.
//!
//! Behaviour: a share group without members, or one that does not exist yet, goes on from other offsets; what was delivered before does not
//! count any more. Partitions that do not exist are UNKNOWN_TOPIC_OR_PARTITION, each by itself; one that is named twice is answered once.
//! What coordinators cannot write in time answers COORDINATOR_NOT_AVAILABLE, is done later in part or as a whole, and ends the connection ([`Context::done_by`]).
//!
//! Version notes: none.
//! Not implemented: nothing.

use super::errors::{self, ResponseError, catalog::message};
use super::repeated::LastOfEach;
use super::{Answer, Context, Handler, share_fetch};
use crate::coordinator::group::GroupError;
use crate::coordinator::group::messages::Partitions;
use crate::coordinator::share::records::Key;
use crate::ids::{Offset, TopicId};
use kafka_protocol::messages::alter_share_group_offsets_response::{
    AlterShareGroupOffsetsResponsePartition, AlterShareGroupOffsetsResponseTopic,
};
use kafka_protocol::messages::{AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse};
use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::Arc;

pub struct AlterShareGroupOffsets;

impl Handler for AlterShareGroupOffsets {
    type Request = AlterShareGroupOffsetsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(context: Context, request: AlterShareGroupOffsetsRequest) -> Answer<AlterShareGroupOffsetsResponse> {
        let altered = context.done_by(Context::coordinator_deadline(), pin!(alter(&context, request))).await;
        let late = || Err(refused(ResponseError::CoordinatorNotAvailable, None));
        Answer::Now(altered.unwrap_or_else(late).unwrap_or_else(|refused| refused))
    }

    fn unsupported() -> AlterShareGroupOffsetsResponse {
        refused(ResponseError::UnsupportedVersion, None)
    }
}

/// `Err`: nothing was altered, but for NON_EMPTY_GROUP, when a member has joined meanwhile.
async fn alter(
    context: &Context,
    request: AlterShareGroupOffsetsRequest,
) -> Result<AlterShareGroupOffsetsResponse, AlterShareGroupOffsetsResponse> {
    share_fetch::check_enabled(context).map_err(|error| refused(error, None))?;
    let group = request.group_id.0;
    if group.is_empty() {
        return Err(refused(ResponseError::InvalidGroupId, None));
    }
    let (mut topics, mut wanted) = (Vec::with_capacity(request.topics.len()), LastOfEach::default());
    for topic in request.topics {
        let known = context.broker.catalog.topic(&topic.topic_name);
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            let index = partition.partition_index;
            let answer = AlterShareGroupOffsetsResponsePartition::default().with_partition_index(index);
            match known.as_ref().filter(|topic| topic.has(index)) {
                Some(topic) => {
                    if wanted.put((topic.id, index), (topic.id, index, Offset(partition.start_offset))) {
                        partitions.push(answer);
                    }
                }
                None => {
                    let error = ResponseError::UnknownTopicOrPartition;
                    partitions.push(answer.with_error_code(error.code()).with_error_message(Some(message(&error.to_string()))));
                }
            }
        }
        let id = known.map_or(TopicId::default(), |topic| topic.id);
        let answer = AlterShareGroupOffsetsResponseTopic::default();
        topics.push(answer.with_topic_name(topic.topic_name).with_topic_id(id.0).with_partitions(partitions));
    }
    // What the group is comes before what its topics are.
    let wanted = wanted.into_vec();
    let mut partitions = Partitions::new();
    for (topic, index, _) in &wanted {
        partitions.entry(*topic).or_default().insert(*index);
    }
    let of_group = |error| refused(errors::group::code(&error), None);
    let pending = context.broker.groups.share_alter(group.to_string(), partitions).await.map_err(of_group)?;
    let altered = pending.wait().await.map_err(of_group)?;
    let epoch = altered.map_err(|why| refused(errors::group::code(&why.error), Some(&why.message)))?;
    let name: Arc<str> = group.as_str().into();
    let of_share = |error| refused(errors::share::code(&error), None);
    let mut pending = Vec::with_capacity(wanted.len());
    for (topic, partition, start) in wanted {
        let key = Key { group: name.clone(), topic, partition };
        // A negative one is none: the group starts where its settings say.
        let start = Some(start).filter(|start| start.0 >= 0);
        pending.push(context.broker.share_partitions.reset(&key, start, epoch).await.map_err(of_share)?);
    }
    for reset in pending {
        reset.wait().await.map_err(|error| refused(errors::shard(&error), None))?;
    }
    // Nothing keeps a member from joining meanwhile: what it had got by then is not locked any more.
    let described = context.broker.groups.share_describe(group.to_string()).await.map_err(of_group)?;
    if described.wait().await.map_err(of_group)?.is_ok_and(|group| !group.members.is_empty()) {
        return Err(refused(errors::group::code(&GroupError::NonEmptyGroup), None));
    }
    Ok(AlterShareGroupOffsetsResponse::default().with_responses(topics))
}

fn refused(error: ResponseError, why: Option<&str>) -> AlterShareGroupOffsetsResponse {
    let why = why.map_or_else(|| error.to_string(), str::to_owned);
    AlterShareGroupOffsetsResponse::default().with_error_code(error.code()).with_error_message(Some(message(&why)))
}
