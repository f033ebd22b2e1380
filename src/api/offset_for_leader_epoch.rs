//! OffsetForLeaderEpoch, key 23, versions 2-4.
//!
//! Behaviour: where the records of a leader epoch end (KIP-101, KIP-320). With one node every record is of epoch 0, which ends at the
//! log's end; any other epoch is undefined (−1, −1).
//!
//! Version notes: 2 current leader epoch; 3 replica id; 4 is flexible.

use super::errors::ResponseError;
use super::{Answer, Context, Handler};
use crate::catalog::Topic;
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use std::ops::RangeInclusive;

pub struct OffsetForLeaderEpoch;

impl Handler for OffsetForLeaderEpoch {
    type Request = OffsetForLeaderEpochRequest;
    const VERSIONS: RangeInclusive<i16> = 2..=4;

    async fn handle(context: Context, request: OffsetForLeaderEpochRequest) -> Answer<OffsetForLeaderEpochResponse> {
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let mut answers = Vec::with_capacity(topic.partitions.len());
            let known = context.broker.catalog.topic(&topic.topic);
            for asked in &topic.partitions {
                let answer = EpochEndOffset::default().with_partition(asked.partition).with_leader_epoch(-1).with_end_offset(-1);
                answers.push(match end(&context, known.as_deref(), asked).await {
                    Ok(Some(end)) => answer.with_leader_epoch(0).with_end_offset(end),
                    Ok(None) => answer,
                    Err(error) => answer.with_error_code(error.code()),
                });
            }
            topics.push(OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(answers));
        }
        Answer::Now(OffsetForLeaderEpochResponse::default().with_topics(topics))
    }

    fn unsupported() -> OffsetForLeaderEpochResponse {
        OffsetForLeaderEpochResponse::default()
    }
}

async fn end(context: &Context, topic: Option<&Topic>, asked: &OffsetForLeaderPartition) -> Result<Option<i64>, ResponseError> {
    let topic = topic.ok_or(ResponseError::UnknownTopicOrPartition)?;
    let partition = context.partition_of(topic, asked.partition).await?;
    super::fetch::check_leader_epoch(asked.current_leader_epoch)?;
    Ok((asked.leader_epoch == 0).then(|| partition.watermark().0))
}
