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
use crate::log::Partition;
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// "Everything that is readable" (DeleteRecordsRequest.HIGH_WATERMARK).
const HIGH_WATERMARK: i64 = -1;
/// The start of a partition that was not changed (DeleteRecordsResponse.INVALID_LOW_WATERMARK).
const NO_START: i64 = -1;

pub struct DeleteRecords;

impl Handler for DeleteRecords {
    type Request = DeleteRecordsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(context: Context, request: DeleteRecordsRequest) -> Answer<DeleteRecordsResponse> {
        let mut deletions = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let known = context.broker.catalog.topic(&topic.name);
            let mut asked = LastOfEach::default();
            for partition in topic.partitions {
                asked.put(partition.partition_index, (partition.partition_index, partition.offset));
            }
            let mut partitions = Vec::new();
            for (index, before) in asked.into_vec() {
                partitions.push((index, Deletion::of(&context, known.as_deref(), index, before).await));
            }
            deletions.push((topic.name, partitions));
        }
        // What the client has produced before is there when these are carried out, and what it produces behind them stays.
        Answer::Later(Box::pin(async move {
            let mut topics = Vec::with_capacity(deletions.len());
            for (name, deletions) in deletions {
                let mut partitions = Vec::with_capacity(deletions.len());
                for (index, deletion) in deletions {
                    let answer = DeleteRecordsPartitionResult::default().with_partition_index(index);
                    let start = match deletion {
                        Ok(deletion) => deletion.carry_out().await,
                        Err(error) => Err(error),
                    };
                    partitions.push(match start {
                        Ok(start) => answer.with_low_watermark(start.0),
                        Err(error) => answer.with_low_watermark(NO_START).with_error_code(error.code()),
                    });
                }
                topics.push(DeleteRecordsTopicResult::default().with_name(name).with_partitions(partitions));
            }
            DeleteRecordsResponse::default().with_topics(topics)
        }))
    }

    fn unsupported() -> DeleteRecordsResponse {
        DeleteRecordsResponse::default()
    }
}

/// What is to be deleted of one partition.
struct Deletion {
    partition: Arc<Partition>,
    before: Before,
}

enum Before {
    Offset(Offset),
    /// The high watermark, but nothing that was appended after the request came: the log ended here then.
    HighWatermark(Offset),
}

/// Source: ReplicaManager.deleteRecordsOnLocalLog, Partition.deleteRecordsOnLeader.
impl Deletion {
    async fn of(context: &Context, topic: Option<&Topic>, index: i32, before: i64) -> Result<Deletion, ResponseError> {
        let topic = topic.ok_or(ResponseError::UnknownTopicOrPartition)?;
        if topic.internal {
            return Err(ResponseError::InvalidTopicException);
        }
        let partition = context.partition_of(topic, index).await?;
        let cleanup = partition.settings().cleanup;
        if cleanup.compact && !cleanup.delete {
            return Err(ResponseError::PolicyViolation);
        }
        let before =
            if before == HIGH_WATERMARK { Before::HighWatermark(partition.next()) } else { Before::Offset(Offset(before)) };
        Ok(Deletion { partition, before })
    }

    /// Answers the start of the partition afterwards.
    async fn carry_out(self) -> Result<Offset, ResponseError> {
        let watermark = self.partition.watermark();
        let before = match self.before {
            Before::HighWatermark(end) => end.min(watermark),
            Before::Offset(before) if before < Offset(0) || before > watermark => return Err(ResponseError::OffsetOutOfRange),
            Before::Offset(before) => before,
        };
        self.partition.trim(before).await.map_err(|error| errors::store(&error))
    }
}
