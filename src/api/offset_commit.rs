//! OffsetCommit, key 8, versions 2-10.
//!
//! Behaviour: a group's progress in partitions that exist, durable when it is answered. Members of the current generation commit, or
//! anyone while the group is empty; a commit counts as a heartbeat. What is committed for a partition twice is taken, and answered, once: the last.
//!
//! Version notes: 2 to 4 may bring a retention time of their own (KIP-211 ended that with 5); 6 (KIP-320) adds the leader epoch; 7
//! (KIP-345) static members; 8 is flexible; 9 (KIP-848) answers GROUP_ID_NOT_FOUND where earlier ones say ILLEGAL_GENERATION.
//! Members of the consumer protocol need 9. 10 (KIP-848) names topics by id: an unknown one is UNKNOWN_TOPIC_ID.
//! The topic's id is kept with the offset in all versions, so that a re-created topic does not inherit it.
//! Not implemented: nothing.

use super::errors::{self, ResponseError};
use super::repeated::LastOfEach;
use super::{Answer, Context, Handler};
use crate::coordinator::group::GroupError;
use crate::coordinator::group::messages::{CommitOffset, CommitReply, CommitRequest};
use crate::ids::TopicId;
use crate::wire::offset_commit::{OffsetCommitRequest, Topic};
use kafka_protocol::messages::OffsetCommitResponse;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use std::ops::RangeInclusive;

/// The first version whose clients know of member epochs, and the first with topic ids.
const EPOCHS: i16 = 9;
const TOPIC_IDS: i16 = 10;

pub struct OffsetCommit;

impl Handler for OffsetCommit {
    type Request = OffsetCommitRequest;
    const VERSIONS: RangeInclusive<i16> = 2..=10;

    async fn handle(context: Context, request: OffsetCommitRequest) -> Answer<OffsetCommitResponse> {
        let version = context.version;
        let OffsetCommitRequest { head, topics } = request;
        let mut commit = CommitRequest {
            group_id: head.group_id.to_string(),
            generation: head.generation_id_or_member_epoch,
            member_id: head.member_id.to_string(),
            instance_id: head.group_instance_id.map(|id| id.to_string()),
            retention_ms: Some(head.retention_time_ms).filter(|ms| *ms >= 0),
            knows_epochs: version >= EPOCHS,
            is_transactional: false,
            offsets: Vec::new(),
        };
        let answer;
        (answer, commit.offsets) = sort_out(&context, topics);
        if commit.offsets.is_empty() {
            return Answer::Now(answer.response(Ok(Vec::new()), version));
        }
        match context.broker.groups.commit(commit).await {
            Err(error) => Answer::Now(answer.response(Err(error), version)),
            Ok(pending) => Answer::Later(Box::pin(async move {
                let reply = pending.wait().await.and_then(|reply| reply);
                answer.response(reply, version)
            })),
        }
    }

    fn unsupported() -> OffsetCommitResponse {
        OffsetCommitResponse::default()
    }
}

/// The response in the making: partitions with NONE still wait for the coordinator's result, in order.
struct Asked(Vec<OffsetCommitResponseTopic>);

/// The offsets of partitions that exist are for the coordinator; the others are answered here.
fn sort_out(context: &Context, topics: Vec<Topic>) -> (Asked, Vec<CommitOffset>) {
    let mut known = LastOfEach::default();
    let catalog = &context.broker.catalog;
    let has_ids = context.version >= TOPIC_IDS;
    let mut asked = Vec::with_capacity(topics.len());
    for topic in topics {
        let existing = if has_ids { catalog.topic_by_id(TopicId(topic.id)) } else { catalog.topic(&topic.name) };
        let absent = match existing {
            None if has_ids => ResponseError::UnknownTopicId,
            _ => ResponseError::UnknownTopicOrPartition,
        };
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            let index = partition.partition_index;
            let answer = OffsetCommitResponsePartition::default().with_partition_index(index);
            let holder = existing.as_ref().filter(|topic| topic.has(index));
            let Some(holder) = holder else {
                partitions.push(answer.with_error_code(absent.code()));
                continue;
            };
            let position = (partition.committed_offset, partition.committed_leader_epoch);
            let offset = CommitOffset::of(holder, index, position, partition.committed_metadata.as_deref());
            if known.put((holder.id, index), offset) {
                partitions.push(answer);
            }
        }
        let answer = OffsetCommitResponseTopic::default().with_name(topic.name).with_topic_id(topic.id);
        asked.push(answer.with_partitions(partitions));
    }
    (Asked(asked), known.into_vec())
}

impl Asked {
    /// Fills in what the coordinator answered, partition by partition or once for all.
    fn response(self, reply: CommitReply, version: i16) -> OffsetCommitResponse {
        let Asked(mut topics) = self;
        let (mut results, refusal) = match reply {
            Ok(results) => (results.into_iter(), errors::NONE),
            Err(error) => (Vec::new().into_iter(), refused(error, version).code()),
        };
        let partitions = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
        for partition in partitions.filter(|partition| partition.error_code == errors::NONE) {
            partition.error_code = results.next().map_or(refusal, |result| errors::group::code_of(&result));
        }
        OffsetCommitResponse::default().with_topics(topics)
    }
}

fn refused(error: GroupError, version: i16) -> ResponseError {
    // Older clients only know that their generation is over (OffsetMetadataManager.validateOffsetCommit).
    if error == GroupError::UnknownGroup && version < 9 {
        return ResponseError::IllegalGeneration;
    }
    errors::group::code(&error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Asked {
        let partition = |index, code| OffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(code);
        Asked(vec![
            OffsetCommitResponseTopic::default().with_partitions(vec![partition(0, 0), partition(1, 3)]),
            OffsetCommitResponseTopic::default().with_partitions(vec![partition(2, 0)]),
        ])
    }

    fn codes(response: &OffsetCommitResponse) -> Vec<i16> {
        response.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code).collect()
    }

    #[test]
    fn results_go_to_the_partitions_that_exist() {
        let results = vec![Err(GroupError::MetadataTooLarge), Ok(())];
        assert_eq!(codes(&asked().response(Ok(results), 9)), [12, 3, 0]);
    }

    #[test]
    fn a_refusal_goes_to_all_of_them_and_depends_on_the_version() {
        assert_eq!(codes(&asked().response(Err(GroupError::UnknownGroup), 8)), [22, 3, 22]);
        assert_eq!(codes(&asked().response(Err(GroupError::UnknownGroup), 9)), [69, 3, 69]);
    }
}
