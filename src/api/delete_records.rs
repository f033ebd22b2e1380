//! DeleteRecords, key 21, versions 0-2.
//!
//! Behaviour (KIP-107): moves the start of partitions forward, durably; −1 means up to the high watermark. Answers where each starts now. An
//! offset beyond the high watermark is OFFSET_OUT_OF_RANGE; topics that are only compacted are POLICY_VIOLATION, internal ones
//! INVALID_TOPIC_EXCEPTION.
//!
//! Version notes: 1 is as 0; 2 is flexible.
//! Not implemented: nothing.

use super::errors::{self, ResponseError};
use super::repeated::LastOfEach;
use super::{Answer, Context, Handler};
use crate::catalog::Topic;
use crate::ids::Offset;
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};
use std::ops::RangeInclusive;

/// "Everything that is readable" (DeleteRecordsRequest.HIGH_WATERMARK).
const HIGH_WATERMARK: i64 = -1;
/// The start of a partition that was not changed (DeleteRecordsResponse.INVALID_LOW_WATERMARK).
const NO_START: i64 = -1;

pub struct DeleteRecords;

impl Handler for DeleteRecords {
    type Request = DeleteRecordsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(context: Context, request: DeleteRecordsRequest) -> Answer<DeleteRecordsResponse> {
        Answer::Later(Box::pin(async move {
            let mut topics = Vec::with_capacity(request.topics.len());
            for topic in request.topics {
                let known = context.broker.catalog.topic(&topic.name);
                let mut partitions = Vec::with_capacity(topic.partitions.len());
                let mut asked = LastOfEach::default();
                for partition in topic.partitions {
                    asked.put(partition.partition_index, (partition.partition_index, partition.offset));
                }
                for (index, offset) in asked.into_vec() {
                    let answer = DeleteRecordsPartitionResult::default().with_partition_index(index);
                    partitions.push(match delete(&context, known.as_deref(), index, offset).await {
                        Ok(start) => answer.with_low_watermark(start.0),
                        Err(error) => answer.with_low_watermark(NO_START).with_error_code(error.code()),
                    });
                }
                topics.push(DeleteRecordsTopicResult::default().with_name(topic.name).with_partitions(partitions));
            }
            DeleteRecordsResponse::default().with_topics(topics)
        }))
    }

    fn unsupported() -> DeleteRecordsResponse {
        DeleteRecordsResponse::default()
    }
}

/// The start of the partition afterwards. Source: ReplicaManager.deleteRecordsOnLocalLog, Partition.deleteRecordsOnLeader.
async fn delete(context: &Context, topic: Option<&Topic>, index: i32, before: i64) -> Result<Offset, ResponseError> {
    let topic = topic.ok_or(ResponseError::UnknownTopicOrPartition)?;
    if topic.internal {
        return Err(ResponseError::InvalidTopicException);
    }
    let partition = context.partition_of(topic, index).await?;
    let cleanup = partition.settings().cleanup;
    if cleanup.compact && !cleanup.delete {
        return Err(ResponseError::PolicyViolation);
    }
    let watermark = partition.watermark();
    let before = if before == HIGH_WATERMARK { watermark } else { Offset(before) };
    if before < Offset(0) || before > watermark {
        return Err(ResponseError::OffsetOutOfRange);
    }
    partition.trim(before).await.map_err(|error| errors::store(&error))
}
