//! DescribeProducers, key 61, version 0.
//!
//! Behaviour (KIP-664): the idempotent producers that a partition knows, with where an open transaction began: how a hanging one is found.
//! A partition that a request names again is INVALID_REQUEST: its producers, up to 50,000, are told once. A name that no topic can have
//! is INVALID_TOPIC_EXCEPTION.
//!
//! Version notes: none.
//! Not implemented: nothing.

use super::errors::ResponseError;
use super::repeated::Once;
use super::{Answer, Context, Handler};
use crate::catalog::{Topic, check_name};
use crate::log::ProducerStatus;
use kafka_protocol::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse, ProducerId};
use std::ops::RangeInclusive;

pub struct DescribeProducers;

impl Handler for DescribeProducers {
    type Request = DescribeProducersRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(context: Context, request: DescribeProducersRequest) -> Answer<DescribeProducersResponse> {
        Answer::Later(Box::pin(async move {
            let mut topics = Vec::with_capacity(request.topics.len());
            let mut asked = Once::default();
            for topic in request.topics {
                let known = context.broker.catalog.topic(&topic.name);
                let is_possible = known.is_some() || check_name(&topic.name).is_ok();
                let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
                for index in topic.partition_indexes {
                    let answer = PartitionResponse::default().with_partition_index(index);
                    let producers = match &known {
                        // KafkaApis.checkValidTopic.
                        None if !is_possible => Err(ResponseError::InvalidTopicException),
                        None => Err(ResponseError::UnknownTopicOrPartition),
                        Some(known) => match asked.check((known.id, index)) {
                            Ok(()) => producers(&context, known, index).await,
                            Err(error) => Err(error),
                        },
                    };
                    partitions.push(match producers {
                        Ok(producers) => answer.with_active_producers(producers.iter().map(state).collect()),
                        Err(error) => answer.with_error_code(error.code()),
                    });
                }
                topics.push(TopicResponse::default().with_name(topic.name).with_partitions(partitions));
            }
            DescribeProducersResponse::default().with_topics(topics)
        }))
    }

    fn unsupported() -> DescribeProducersResponse {
        DescribeProducersResponse::default()
    }
}

async fn producers(context: &Context, topic: &Topic, index: i32) -> Result<Vec<ProducerStatus>, ResponseError> {
    Ok(context.partition_of(topic, index).await?.producers())
}

fn state(producer: &ProducerStatus) -> ProducerState {
    ProducerState::default()
        .with_producer_id(ProducerId(producer.id.0))
        .with_producer_epoch(i32::from(producer.epoch.0))
        .with_last_sequence(producer.last_sequence)
        .with_last_timestamp(producer.seen.0)
        .with_coordinator_epoch(producer.coordinator_epoch)
        .with_current_txn_start_offset(producer.transaction.map_or(-1, |first| first.0))
}
