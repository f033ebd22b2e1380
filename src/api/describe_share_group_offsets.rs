//! DescribeShareGroupOffsets, key 90, versions 0-1.
//!
//! Behaviour: where share groups start in partitions: those that are named, or all in which a group has a position. What is not known is −1,
//! no error, as in Kafka.
//!
//! Version notes: 1 (KIP-1226) adds how many records are not settled yet.
//! Not implemented: nothing.

use super::errors::{self, ResponseError};
use super::repeated::once_each;
use super::{Answer, Context, Handler, share_fetch};
use crate::coordinator::share::records::Key;
use crate::ids::TopicId;
use crate::wire::frame::Frame;
use crate::wire::message::DecodeError;
use crate::wire::share_offsets::{
    self, DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsResponse, DescribedGroup, DescribedPartition, DescribedTopic,
};
use kafka_protocol::messages::describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestGroup;
use kafka_protocol::protocol::StrBytes;
use std::ops::RangeInclusive;
use std::sync::Arc;
use uuid::Uuid;

const UNKNOWN: i64 = -1;

pub struct DescribeShareGroupOffsets;

impl Handler for DescribeShareGroupOffsets {
    type Request = DescribeShareGroupOffsetsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    fn frame(correlation_id: i32, response: DescribeShareGroupOffsetsResponse, version: i16) -> Result<Frame, DecodeError> {
        share_offsets::frame(correlation_id, response, version)
    }

    async fn handle(context: Context, request: DescribeShareGroupOffsetsRequest) -> Answer<DescribeShareGroupOffsetsResponse> {
        Answer::Later(Box::pin(async move {
            let mut groups = Vec::with_capacity(request.0.groups.len());
            // What a group has is much more than its name: it is told once.
            for group in once_each(request.0.groups, |group| group.group_id.clone()) {
                let id = group.group_id.0.clone();
                groups.push(match describe(&context, group).await {
                    Ok(topics) => DescribedGroup { id, topics, ..DescribedGroup::default() },
                    Err(error) => DescribedGroup { id, error_code: error.code(), ..DescribedGroup::default() },
                });
            }
            DescribeShareGroupOffsetsResponse { groups }
        }))
    }

    fn unsupported() -> DescribeShareGroupOffsetsResponse {
        DescribeShareGroupOffsetsResponse::default()
    }
}

async fn describe(context: &Context, group: DescribeShareGroupOffsetsRequestGroup) -> Result<Vec<DescribedTopic>, ResponseError> {
    share_fetch::check_enabled(context)?;
    let id: Arc<str> = group.group_id.as_str().into();
    let asked: Vec<(StrBytes, Option<TopicId>, Vec<i32>)> = match group.topics {
        Some(topics) => topics
            .into_iter()
            .map(|topic| {
                let known = context.broker.catalog.topic(&topic.topic_name).map(|topic| topic.id);
                (topic.topic_name.0, known, topic.partitions)
            })
            .collect(),
        None => {
            let initialized = context.broker.groups.share_initialized(id.to_string()).await;
            let initialized = match initialized {
                Ok(pending) => pending.wait().await,
                Err(error) => Err(error),
            };
            let initialized = initialized.map_err(|error| errors::group::code(&error))?.into_iter();
            let named = initialized.filter_map(|(topic, partitions)| {
                let name = context.broker.catalog.topic_by_id(topic)?.name.clone();
                Some((StrBytes::from_string(name), Some(topic), partitions.into_iter().collect()))
            });
            named.collect()
        }
    };
    let mut topics = Vec::with_capacity(asked.len());
    for (name, topic, indexes) in asked {
        let mut partitions = Vec::with_capacity(indexes.len());
        let known = topic.and_then(|topic| context.broker.catalog.topic_by_id(topic));
        // Each question goes through the group's shard: partitions that do not exist are none, and nobody asks twice.
        for index in once_each(indexes, |index| *index) {
            partitions.push(match &known {
                Some(known) if known.has(index) => {
                    partition(context, Key { group: id.clone(), topic: known.id, partition: index }).await?
                }
                _ => DescribedPartition { index, start_offset: UNKNOWN, lag: UNKNOWN, ..DescribedPartition::default() },
            });
        }
        topics.push(DescribedTopic { name, id: topic.map_or(Uuid::nil(), |topic| topic.0), partitions });
    }
    Ok(topics)
}

async fn partition(context: &Context, key: Key) -> Result<DescribedPartition, ResponseError> {
    let summary = context.broker.share_partitions.describe(&key).await.map_err(|error| errors::share::code(&error))?;
    let unknown = DescribedPartition {
        index: key.partition,
        start_offset: UNKNOWN,
        leader_epoch: summary.map_or(0, |summary| summary.leader_epoch),
        lag: UNKNOWN,
        ..DescribedPartition::default()
    };
    let Some((start, settled)) = summary.and_then(|summary| Some((summary.start?, summary.complete_count))) else {
        return Ok(unknown);
    };
    let Some(topic) = context.broker.catalog.topic_by_id(key.topic) else { return Ok(unknown) };
    // Source: GroupCoordinatorService.computeShareGroupLagAndBuildResponse.
    Ok(match context.partition_of(&topic, key.partition).await {
        Ok(partition) => {
            let lag = partition.watermark().0 - start.0 - i64::from(settled);
            DescribedPartition { start_offset: start.0, lag, ..unknown }
        }
        Err(error) => DescribedPartition { error_code: error.code(), start_offset: 0, ..unknown },
    })
}
