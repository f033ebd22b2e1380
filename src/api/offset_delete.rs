//! OffsetDelete, key 47, version 0.
//!
//! Behaviour (KIP-496): a group forgets what it has committed for some partitions, unless a member is subscribed to the topic. The group's
//! error is the response's; partitions that do not exist are UNKNOWN_TOPIC_OR_PARTITION. One that is named twice is answered once.
//!
//! Version notes: none.
//! Not implemented: nothing.

use super::errors::{self, ResponseError};
use super::repeated::LastOfEach;
use super::{Answer, Context, Handler};
use crate::coordinator::group::messages::{DeleteOffsetsReply, DeleteOffsetsRequest};
use crate::ids::TopicId;
use kafka_protocol::messages::offset_delete_request::OffsetDeleteRequestTopic;
use kafka_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};
use std::ops::RangeInclusive;

pub struct OffsetDelete;

impl Handler for OffsetDelete {
    type Request = OffsetDeleteRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(context: Context, request: OffsetDeleteRequest) -> Answer<OffsetDeleteResponse> {
        let mut known = LastOfEach::default();
        let topics = request.topics.into_iter().map(|topic| sort_out(&context, topic, &mut known)).collect();
        let request = DeleteOffsetsRequest { group_id: request.group_id.to_string(), partitions: known.into_vec() };
        match context.broker.groups.delete_offsets(request).await {
            Err(error) => Answer::Now(response(topics, Err(error))),
            Ok(pending) => Answer::Later(Box::pin(async move { response(topics, pending.wait().await.and_then(|reply| reply)) })),
        }
    }

    fn unsupported() -> OffsetDeleteResponse {
        OffsetDeleteResponse::default().with_error_code(ResponseError::UnsupportedVersion.code())
    }
}

/// Puts partitions that exist into `known`; the others are answered here.
fn sort_out(
    context: &Context,
    topic: OffsetDeleteRequestTopic,
    known: &mut LastOfEach<(TopicId, i32), (String, i32)>,
) -> OffsetDeleteResponseTopic {
    let existing = context.broker.catalog.topic(&topic.name);
    let mut partitions = Vec::with_capacity(topic.partitions.len());
    for partition in topic.partitions {
        let index = partition.partition_index;
        let answer = OffsetDeleteResponsePartition::default().with_partition_index(index);
        match existing.as_ref().filter(|topic| topic.has(index)) {
            Some(holder) => {
                if known.put((holder.id, index), (holder.name.clone(), index)) {
                    partitions.push(answer);
                }
            }
            None => partitions.push(answer.with_error_code(ResponseError::UnknownTopicOrPartition.code())),
        }
    }
    OffsetDeleteResponseTopic::default().with_name(topic.name).with_partitions(partitions)
}

/// `topics`: partitions without an error still wait for the coordinator's results, in order.
fn response(mut topics: Vec<OffsetDeleteResponseTopic>, reply: DeleteOffsetsReply) -> OffsetDeleteResponse {
    let mut results = match reply {
        Ok(results) => results.into_iter(),
        Err(error) => return OffsetDeleteResponse::default().with_error_code(errors::group::code(&error).code()),
    };
    let partitions = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    for partition in partitions.filter(|partition| partition.error_code == errors::NONE) {
        partition.error_code = results.next().map_or(errors::NONE, |result| errors::group::code_of(&result));
    }
    OffsetDeleteResponse::default().with_topics(topics)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::group::GroupError;

    #[test]
    fn a_groups_error_is_the_responses_and_results_go_to_partitions_that_exist() {
        let partition = |code| OffsetDeleteResponsePartition::default().with_error_code(code);
        let topics =
            || vec![OffsetDeleteResponseTopic::default().with_partitions(vec![partition(3), partition(0), partition(0)])];
        let refused = response(topics(), Err(GroupError::UnknownGroup));
        assert_eq!((refused.error_code, refused.topics.len()), (69, 0));
        let answer = response(topics(), Ok(vec![Err(GroupError::SubscribedTopic), Ok(())]));
        let codes: Vec<i16> = answer.topics[0].partitions.iter().map(|partition| partition.error_code).collect();
        assert_eq!((answer.error_code, codes), (0, vec![3, 86, 0]));
    }
}
