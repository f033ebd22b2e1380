//! OffsetFetch, key 9, versions 1-10.
//!
//! Behaviour: what a group has committed, every commit that was answered before included; −1 where nothing is. Null topics: everything.
//!
//! Version notes: 1 has no top-level error: each partition carries it; 2 (KIP-88) adds null topics; 5 (KIP-320) leader epochs; 6 is
//! flexible; 7 (KIP-447) may ask for stable offsets only: where an open transaction has committed, UNSTABLE_OFFSET_COMMIT; 8 (KIP-709) asks for many groups;
//! 9 (KIP-848) brings a member and its epoch, which groups of the consumer protocol check; 10 (KIP-848) names topics by id: an unknown
//! one is UNKNOWN_TOPIC_ID, and topics that no longer exist are left out where everything is asked for.
//! Not implemented: nothing.

use super::errors::{self, ResponseError};
use super::repeated::once_each;
use super::{Answer, Context, Handler};
use crate::coordinator::group::messages::{FetchOffsetsReply, FetchOffsetsRequest, FetchOffsetsTopic, FetchedOffsets};
use crate::coordinator::group::records::Committed;
use crate::coordinator::group::{GroupError, Pending};
use crate::ids::TopicId;
use crate::wire::offset_fetch::{Group, OffsetFetchRequest, Topic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::ops::RangeInclusive;
use uuid::Uuid;

/// The first version with a top-level error.
const TOP_LEVEL_ERROR: i16 = 2;
/// The first version that asks for many groups.
const BATCHED: i16 = 8;
/// The first version with topic ids.
const TOPIC_IDS: i16 = 10;
/// "Nothing committed" (OffsetFetchResponse.INVALID_OFFSET).
const NO_OFFSET: i64 = -1;
const NO_EPOCH: i32 = -1;

pub struct OffsetFetch;

impl Handler for OffsetFetch {
    type Request = OffsetFetchRequest;
    const VERSIONS: RangeInclusive<i16> = 1..=10;

    async fn handle(context: Context, request: OffsetFetchRequest) -> Answer<OffsetFetchResponse> {
        if context.version < BATCHED { handle_single(context, request).await } else { handle_batched(context, request).await }
    }

    fn unsupported() -> OffsetFetchResponse {
        let group = OffsetFetchResponseGroup::default().with_error_code(ResponseError::UnsupportedVersion.code());
        OffsetFetchResponse::default().with_groups(vec![group])
    }
}

async fn handle_single(context: Context, request: OffsetFetchRequest) -> Answer<OffsetFetchResponse> {
    let version = context.version;
    let asked = request.head.topics.map(|topics| topics.into_iter().map(topic_of_one).collect::<Vec<_>>());
    let named = asked.clone();
    let topics = asked.map(|topics| topics.into_iter().map(|topic| by_name(&context, topic)).collect());
    let require_stable = request.head.require_stable;
    let request = FetchOffsetsRequest { group_id: request.head.group_id.to_string(), member: None, topics, require_stable };
    let pending = context.broker.groups.fetch_offsets(request).await;
    Answer::Later(Box::pin(async move {
        match wait(pending).await {
            Ok(topics) => OffsetFetchResponse::default().with_topics(topics.into_iter().map(single_topic).collect()),
            Err(error) => single_error(&error, named.unwrap_or_default(), version),
        }
    }))
}

async fn handle_batched(context: Context, request: OffsetFetchRequest) -> Answer<OffsetFetchResponse> {
    // A group may have much to tell.
    let groups = once_each(request.groups, |group| group.id.clone());
    let mut pending = Vec::with_capacity(groups.len());
    for group in groups {
        pending.push(Asked::of(&context, group, request.head.require_stable).await);
    }
    Answer::Later(Box::pin(async move {
        let mut groups = Vec::with_capacity(pending.len());
        for asked in pending {
            groups.push(asked.answer(&context).await);
        }
        OffsetFetchResponse::default().with_groups(groups)
    }))
}

type Fetching = Result<Pending<FetchOffsetsReply>, GroupError>;

/// A group that was asked for, its answer under way.
struct Asked {
    answer: OffsetFetchResponseGroup,
    pending: Fetching,
    /// From [`TOPIC_IDS`] on: the ids of the topics that the group was asked about, in order; none where everything is asked for.
    ids: Vec<Uuid>,
    /// Topics that do not exist, already answered.
    unknown: Vec<OffsetFetchResponseTopics>,
}

impl Asked {
    async fn of(context: &Context, group: Group, require_stable: bool) -> Asked {
        let answer = OffsetFetchResponseGroup::default().with_group_id(group.id.clone());
        // Administrators and older clients say neither who they are nor their epoch (ConsumerGroup.validateOffsetFetch).
        let member = match group.member_id {
            None if group.member_epoch < 0 => None,
            id => Some((id.map(|id| id.to_string()).unwrap_or_default(), group.member_epoch)),
        };
        let mut unknown = Vec::new();
        let topics = group.topics.map(|topics| {
            let known = topics.into_iter().filter_map(|topic| match find(context, topic) {
                Ok(topic) => Some(topic),
                Err(topic) => {
                    unknown.push(unknown_topic(&topic));
                    None
                }
            });
            known.collect::<Vec<_>>()
        });
        let has_ids = context.version >= TOPIC_IDS;
        let ids = topics.iter().flatten().filter(|_| has_ids).filter_map(|topic| Some(topic.topic_id?.0)).collect();
        let request = FetchOffsetsRequest { group_id: group.id.to_string(), member, topics, require_stable };
        Asked { answer, pending: context.broker.groups.fetch_offsets(request).await, ids, unknown }
    }

    async fn answer(self, context: &Context) -> OffsetFetchResponseGroup {
        match wait(self.pending).await {
            Ok(topics) => {
                let mut topics = if context.version >= TOPIC_IDS {
                    topics_by_id(topics, self.ids, |name| Some(context.broker.catalog.topic(name)?.id.0))
                } else {
                    topics.into_iter().map(topic_by_name).collect()
                };
                topics.extend(self.unknown);
                self.answer.with_topics(topics)
            }
            Err(error) => self.answer.with_error_code(errors::group::code(&error).code()),
        }
    }
}

/// A topic's name, and the partitions that are asked for.
type Named = (TopicName, Vec<i32>);

fn topic_of_one(topic: OffsetFetchRequestTopic) -> Named {
    (topic.name, topic.partition_indexes)
}

fn by_name(context: &Context, (name, partitions): Named) -> FetchOffsetsTopic {
    let topic_id = context.broker.catalog.topic(&name).map(|topic| topic.id);
    FetchOffsetsTopic { topic_id, topic: name.to_string(), partitions }
}

/// What to ask the group for; `Err` when there is no topic of this id.
fn find(context: &Context, topic: Topic) -> Result<FetchOffsetsTopic, Topic> {
    if context.version < TOPIC_IDS {
        return Ok(by_name(context, (topic.name, topic.partitions)));
    }
    match context.broker.catalog.topic_by_id(TopicId(topic.id)) {
        Some(known) => {
            Ok(FetchOffsetsTopic { topic: known.name.clone(), topic_id: Some(known.id), partitions: topic.partitions })
        }
        None => Err(topic),
    }
}

fn unknown_topic(topic: &Topic) -> OffsetFetchResponseTopics {
    let partitions = topic.partitions.iter().map(|index| {
        OffsetFetchResponsePartitions::default()
            .with_partition_index(*index)
            .with_committed_offset(NO_OFFSET)
            .with_committed_leader_epoch(NO_EPOCH)
            .with_error_code(ResponseError::UnknownTopicId.code())
    });
    OffsetFetchResponseTopics::default().with_topic_id(topic.id).with_partitions(partitions.collect())
}

async fn wait(pending: Fetching) -> FetchOffsetsReply {
    pending?.wait().await?
}

fn single_topic(topic: FetchedOffsets) -> OffsetFetchResponseTopic {
    let partitions = topic.partitions.into_iter().map(|(index, committed)| {
        let (offset, epoch, metadata, error) = parts(committed);
        OffsetFetchResponsePartition::default()
            .with_partition_index(index)
            .with_committed_offset(offset)
            .with_committed_leader_epoch(epoch)
            .with_metadata(Some(metadata))
            .with_error_code(error)
    });
    OffsetFetchResponseTopic::default().with_name(topic_name(topic.topic)).with_partitions(partitions.collect())
}

/// Topics that were asked for keep the id that they were asked for by: their names may belong to others by now. Where everything was asked
/// for, names have the ids that they have now, and topics that are gone are left out (KafkaApis.fetchAllOffsetsForGroup).
fn topics_by_id(
    topics: Vec<FetchedOffsets>,
    asked: Vec<Uuid>,
    id_now: impl Fn(&str) -> Option<Uuid>,
) -> Vec<OffsetFetchResponseTopics> {
    let mut asked = asked.into_iter();
    let named = topics.into_iter().filter_map(|topic| {
        let id = asked.next().or_else(|| id_now(&topic.topic))?;
        Some(OffsetFetchResponseTopics::default().with_topic_id(id).with_partitions(partitions(topic)))
    });
    named.collect()
}

fn topic_by_name(mut topic: FetchedOffsets) -> OffsetFetchResponseTopics {
    let name = topic_name(std::mem::take(&mut topic.topic));
    OffsetFetchResponseTopics::default().with_name(name).with_partitions(partitions(topic))
}

fn partitions(topic: FetchedOffsets) -> Vec<OffsetFetchResponsePartitions> {
    let partitions = topic.partitions.into_iter().map(|(index, committed)| {
        let (offset, epoch, metadata, error) = parts(committed);
        OffsetFetchResponsePartitions::default()
            .with_partition_index(index)
            .with_committed_offset(offset)
            .with_committed_leader_epoch(epoch)
            .with_metadata(Some(metadata))
            .with_error_code(error)
    });
    partitions.collect()
}

fn topic_name(name: String) -> TopicName {
    TopicName(StrBytes::from_string(name))
}

/// Offset, leader epoch, metadata and error code.
fn parts(committed: Result<Option<Committed>, GroupError>) -> (i64, i32, StrBytes, i16) {
    match committed {
        Ok(Some(committed)) => {
            let epoch = committed.leader_epoch.unwrap_or(NO_EPOCH);
            (committed.offset, epoch, StrBytes::from_string(committed.metadata), errors::NONE)
        }
        Ok(None) => (NO_OFFSET, NO_EPOCH, StrBytes::default(), errors::NONE),
        Err(error) => (NO_OFFSET, NO_EPOCH, StrBytes::default(), errors::group::code(&error).code()),
    }
}

/// An error of the versions before [`BATCHED`]: of the whole response, or in the first version of each partition that was asked for.
fn single_error(error: &GroupError, asked: Vec<Named>, version: i16) -> OffsetFetchResponse {
    let code = errors::group::code(error).code();
    if version >= TOP_LEVEL_ERROR {
        return OffsetFetchResponse::default().with_error_code(code);
    }
    let topics = asked.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|index| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(index)
                .with_committed_offset(NO_OFFSET)
                .with_committed_leader_epoch(NO_EPOCH)
                .with_error_code(code)
        });
        OffsetFetchResponseTopic::default().with_name(name).with_partitions(partitions.collect())
    });
    OffsetFetchResponse::default().with_topics(topics.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_version_has_no_top_level_error() {
        let asked = vec![(topic_name("t".to_owned()), vec![0, 1])];
        let first = single_error(&GroupError::Loading, asked.clone(), 1);
        let codes: Vec<i16> = first.topics.iter().flat_map(|topic| &topic.partitions).map(|one| one.error_code).collect();
        assert_eq!((first.error_code, codes), (0, vec![14, 14]));
        let second = single_error(&GroupError::Loading, asked, 2);
        assert_eq!((second.error_code, second.topics.len()), (14, 0));
    }

    #[test]
    fn a_topic_is_answered_by_the_id_that_was_asked_for_even_if_its_name_has_another_one_by_now() {
        let (then, now) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let fetched = || vec![FetchedOffsets { topic: "t".to_owned(), partitions: vec![(0, Ok(None))] }];
        let ids = |asked: Vec<Uuid>, id_now: Option<Uuid>| {
            let topics = topics_by_id(fetched(), asked, |_| id_now);
            topics.into_iter().map(|topic| topic.topic_id).collect::<Vec<_>>()
        };
        assert!(ids(vec![], None).is_empty(), "everything was asked for, and the topic is gone");
        assert_eq!(ids(vec![then], None), [then]);
        assert_eq!(ids(vec![then], Some(now)), [then]);
        assert_eq!(ids(vec![], Some(now)), [now]);
    }
}
