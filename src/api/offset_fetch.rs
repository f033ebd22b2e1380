//! OffsetFetch, key 9, versions 1-9.
//!
//! Behaviour: what a group has committed, every commit that was answered before included; −1 where nothing is. Null topics: everything.
//!
//! Version notes: 1 has no top-level error: each partition carries it; 2 (KIP-88) adds null topics; 5 (KIP-320) leader epochs; 6 is
//! flexible; 7 (KIP-447) may ask for stable offsets only, which all are while there are no transactions; 8 (KIP-709) asks for many groups;
//! 9 (KIP-848) brings a member epoch, which classic groups do not check.
//! Not implemented: 10 (topic ids), which the protocol library cannot read; clients that know it use 9 here, by ApiVersions.

use super::errors::{self, ResponseError};
use super::{Answer, Context, Handler};
use crate::coordinator::group::messages::{FetchReply, FetchRequest, FetchTopic, FetchedTopic};
use crate::coordinator::group::records::Committed;
use crate::coordinator::group::{GroupError, Pending};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestTopic, OffsetFetchRequestTopics};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{GroupId, OffsetFetchRequest, OffsetFetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::ops::RangeInclusive;

/// The first version with a top-level error.
const TOP_LEVEL_ERROR: i16 = 2;
/// The first version that asks for many groups.
const BATCHED: i16 = 8;
/// "Nothing committed" (OffsetFetchResponse.INVALID_OFFSET).
const NO_OFFSET: i64 = -1;
const NO_EPOCH: i32 = -1;

pub struct OffsetFetch;

impl Handler for OffsetFetch {
    type Request = OffsetFetchRequest;
    const VERSIONS: RangeInclusive<i16> = 1..=9;

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
    let asked = request.topics.map(|topics| topics.into_iter().map(topic_of_one).collect::<Vec<_>>());
    let named = asked.clone();
    let pending = fetch(&context, &request.group_id, asked).await;
    Answer::Later(Box::pin(async move {
        match wait(pending).await {
            Ok(topics) => OffsetFetchResponse::default().with_topics(topics.into_iter().map(single_topic).collect()),
            Err(error) => single_error(&error, named.unwrap_or_default(), version),
        }
    }))
}

async fn handle_batched(context: Context, request: OffsetFetchRequest) -> Answer<OffsetFetchResponse> {
    let mut pending = Vec::with_capacity(request.groups.len());
    for group in request.groups {
        let asked = group.topics.map(|topics| topics.into_iter().map(topic_of_many).collect());
        let answer = fetch(&context, &group.group_id, asked).await;
        pending.push((group.group_id, answer));
    }
    Answer::Later(Box::pin(async move {
        let mut groups = Vec::with_capacity(pending.len());
        for (group_id, answer) in pending {
            let group = OffsetFetchResponseGroup::default().with_group_id(group_id);
            groups.push(match wait(answer).await {
                Ok(topics) => group.with_topics(topics.into_iter().map(batched_topic).collect()),
                Err(error) => group.with_error_code(errors::group::code(&error).code()),
            });
        }
        OffsetFetchResponse::default().with_groups(groups)
    }))
}

type Fetching = Result<Pending<FetchReply>, GroupError>;

/// A topic's name, and the partitions that are asked for.
type Named = (TopicName, Vec<i32>);

fn topic_of_one(topic: OffsetFetchRequestTopic) -> Named {
    (topic.name, topic.partition_indexes)
}

fn topic_of_many(topic: OffsetFetchRequestTopics) -> Named {
    (topic.name, topic.partition_indexes)
}

async fn fetch(context: &Context, group_id: &GroupId, topics: Option<Vec<Named>>) -> Fetching {
    let catalog = &context.broker.catalog;
    let topics = topics.map(|topics| {
        let topics = topics.into_iter().map(|(name, partitions)| FetchTopic {
            topic_id: catalog.topic(&name).map(|topic| topic.id),
            topic: name.to_string(),
            partitions,
        });
        topics.collect()
    });
    context.broker.groups.fetch(FetchRequest { group_id: group_id.to_string(), topics }).await
}

async fn wait(pending: Fetching) -> Result<FetchReply, GroupError> {
    pending?.wait().await
}

fn single_topic(topic: FetchedTopic) -> OffsetFetchResponseTopic {
    let partitions = topic.partitions.into_iter().map(|(index, committed)| {
        let (offset, epoch, metadata) = parts(committed);
        OffsetFetchResponsePartition::default()
            .with_partition_index(index)
            .with_committed_offset(offset)
            .with_committed_leader_epoch(epoch)
            .with_metadata(Some(metadata))
    });
    OffsetFetchResponseTopic::default().with_name(topic_name(topic.topic)).with_partitions(partitions.collect())
}

fn batched_topic(topic: FetchedTopic) -> OffsetFetchResponseTopics {
    let partitions = topic.partitions.into_iter().map(|(index, committed)| {
        let (offset, epoch, metadata) = parts(committed);
        OffsetFetchResponsePartitions::default()
            .with_partition_index(index)
            .with_committed_offset(offset)
            .with_committed_leader_epoch(epoch)
            .with_metadata(Some(metadata))
    });
    OffsetFetchResponseTopics::default().with_name(topic_name(topic.topic)).with_partitions(partitions.collect())
}

fn topic_name(name: String) -> TopicName {
    TopicName(StrBytes::from_string(name))
}

fn parts(committed: Option<Committed>) -> (i64, i32, StrBytes) {
    match committed {
        Some(committed) => {
            (committed.offset, committed.leader_epoch.unwrap_or(NO_EPOCH), StrBytes::from_string(committed.metadata))
        }
        None => (NO_OFFSET, NO_EPOCH, StrBytes::default()),
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
}
