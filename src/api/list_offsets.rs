//! ListOffsets, key 2, versions 1-11.
//!
//! Behaviour: for each partition the offset that belongs to a timestamp: the first record at or after it, or one of the special ones:
//! −1 latest (the last stable offset for read_committed), −2 earliest, −3 the record with the largest timestamp (KIP-734), −4 earliest
//! on this node's disk (= earliest), −5 latest in tiered storage and −6 earliest that it has yet to take (no such storage: −1). Nothing found is
//! offset −1, timestamp −1.
//!
//! Version notes: 2 isolation level; 4 leader epochs (KIP-320); 6 is flexible; 7 adds −3; 8 adds −4 (KIP-405); 9 adds −5 (KIP-1005); 10
//! brings a time-out for remote storage, which has no meaning here; 11 adds −6 (KIP-1023). A special timestamp that the version lacks is
//! UNSUPPORTED_VERSION.

use super::errors::{self, ResponseError};
use super::{Answer, Context, Handler};
use crate::catalog::Topic;
use crate::ids::{Offset, Timestamp};
use crate::log::{Partition, ReadError};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};
use std::collections::HashMap;
use std::ops::RangeInclusive;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;
/// Every partition has been led by this node since its beginning.
const LEADER_EPOCH: i32 = 0;
const READ_COMMITTED: i8 = 1;

pub struct ListOffsets;

impl Handler for ListOffsets {
    type Request = ListOffsetsRequest;
    const VERSIONS: RangeInclusive<i16> = 1..=11;
    // 11 brings a timestamp, no field.
    const LAYOUT_MAX: i16 = 10;

    async fn handle(context: Context, request: ListOffsetsRequest) -> Answer<ListOffsetsResponse> {
        Answer::Later(Box::pin(async move {
            let is_committed = request.isolation_level == READ_COMMITTED;
            let mentions = mentions(&request.topics);
            let mut topics = Vec::with_capacity(request.topics.len());
            for (ListOffsetsTopic { name, partitions, .. }, mentions) in request.topics.into_iter().zip(mentions) {
                let topic = context.broker.catalog.topic(&name);
                let mut answers = Vec::with_capacity(partitions.len());
                for (asked, is_only_one) in partitions.into_iter().zip(mentions) {
                    let index = asked.partition_index;
                    let found = match &topic {
                        _ if !is_only_one => Err(ResponseError::InvalidRequest),
                        None => Err(ResponseError::UnknownTopicOrPartition),
                        Some(topic) => find(&context, topic, &asked, is_committed).await,
                    };
                    answers.push(answer(index, found, context.version));
                }
                topics.push(ListOffsetsTopicResponse::default().with_name(name).with_partitions(answers));
            }
            ListOffsetsResponse::default().with_topics(topics)
        }))
    }

    fn unsupported() -> ListOffsetsResponse {
        ListOffsetsResponse::default()
    }
}

/// For each partition of each topic, whether the request names it once only: Kafka refuses the others (KafkaApis.handleListOffsetRequest).
fn mentions(topics: &[ListOffsetsTopic]) -> Vec<Vec<bool>> {
    let mut times: HashMap<&str, HashMap<i32, usize>> = HashMap::new();
    for topic in topics {
        let times = times.entry(&topic.name).or_default();
        topic.partitions.iter().for_each(|partition| *times.entry(partition.partition_index).or_default() += 1);
    }
    let of_topic = |topic: &ListOffsetsTopic| {
        let times = times.get(topic.name.as_str());
        let is_only_one = |index: i32| times.and_then(|times| times.get(&index)) == Some(&1);
        topic.partitions.iter().map(|partition| is_only_one(partition.partition_index)).collect()
    };
    topics.iter().map(of_topic).collect()
}

/// An offset with its record's timestamp; `None` where the question names no record.
type Found = Option<(Offset, Option<Timestamp>)>;

async fn find(
    context: &Context,
    topic: &Topic,
    asked: &ListOffsetsPartition,
    is_committed: bool,
) -> Result<Found, ResponseError> {
    let partition = context.partition_of(topic, asked.partition_index).await?;
    super::fetch::check_leader_epoch(asked.current_leader_epoch)?;
    let found = resolve(&partition, asked.timestamp, context.version, is_committed).await?;
    // A record that a read_committed consumer cannot fetch yet is not found either (ReplicaManager.fetchOffset).
    let names_a_record = asked.timestamp >= 0 || asked.timestamp == MAX_TIMESTAMP;
    let is_fetchable = |offset: Offset| !is_committed || !names_a_record || offset < partition.last_stable();
    Ok(found.filter(|(offset, _)| is_fetchable(*offset)))
}

async fn resolve(partition: &Partition, timestamp: i64, version: i16, is_committed: bool) -> Result<Found, ResponseError> {
    let stamped = |found: Result<Option<(Offset, Timestamp)>, ReadError>| match found {
        Ok(found) => Ok(found.map(|(offset, time)| (offset, Some(time)))),
        Err(error) => Err(errors::read(&error)),
    };
    match timestamp {
        LATEST if is_committed => Ok(Some((partition.last_stable(), None))),
        LATEST => Ok(Some((partition.watermark(), None))),
        EARLIEST => Ok(Some((partition.start(), None))),
        MAX_TIMESTAMP if version >= 7 => stamped(partition.offset_of_max_time().await),
        EARLIEST_LOCAL if version >= 8 => Ok(Some((partition.start(), None))),
        LATEST_TIERED if version >= 9 => Ok(None),
        EARLIEST_PENDING_UPLOAD if version >= 11 => Ok(None),
        ..0 => Err(ResponseError::UnsupportedVersion),
        _ => stamped(partition.offset_for_time(Timestamp(timestamp)).await),
    }
}

fn answer(index: i32, found: Result<Found, ResponseError>, version: i16) -> ListOffsetsPartitionResponse {
    let response = ListOffsetsPartitionResponse::default()
        .with_partition_index(index)
        .with_timestamp(-1)
        .with_offset(-1)
        .with_leader_epoch(-1);
    match found {
        Ok(None) => response,
        Ok(Some((offset, time))) => {
            let epoch = if version >= 4 { LEADER_EPOCH } else { -1 };
            response.with_offset(offset.0).with_timestamp(time.map_or(-1, |time| time.0)).with_leader_epoch(epoch)
        }
        Err(error) => response.with_error_code(error.code()),
    }
}
