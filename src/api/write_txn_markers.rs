//! WriteTxnMarkers, key 27, versions 1-2.
//!
//! Behaviour: ends a producer's transaction in single partitions, without asking the coordinator: how an administrator aborts a hanging
//! transaction (KIP-664; `kafka-transactions.sh abort`). A marker of an older epoch of the producer or of the coordinator is refused.
//! Answered when all markers are durable. INVALID_REQUEST for a second marker of the same producer and epoch in a partition, and for a coordinator epoch
//! above our own coordinator's, whose markers would be refused from then on.
//!
//! Version notes: 2 (KIP-1228) names the protocol of each transaction: in the second one, a marker's epoch must be greater than its records'.
//! Not implemented: nothing.

use super::errors::{self, ResponseError};
use super::repeated::Once;
use super::{Answer, Context, Handler};
use crate::catalog::Topic;
use crate::coordinator::ProducerIdAndEpoch;
use crate::coordinator::group::{MarkerError, OFFSETS_TOPIC};
use crate::coordinator::txn::COORDINATOR_EPOCH;
use crate::ids::TopicId;
use crate::log::AppendError;
use crate::records::control::{EndTransaction, Marker};
use crate::wire::write_txn_markers::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use kafka_protocol::messages::write_txn_markers_request::WritableTxnMarker;
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use kafka_protocol::messages::{ProducerId, WriteTxnMarkersResponse as Answered};
use std::ops::RangeInclusive;

/// The first version of the transactions' protocol whose markers raise the epoch.
const EPOCH_RAISED: i8 = 2;

pub struct WriteTxnMarkers;

impl Handler for WriteTxnMarkers {
    type Request = WriteTxnMarkersRequest;
    const VERSIONS: RangeInclusive<i16> = 1..=2;

    async fn handle(context: Context, request: WriteTxnMarkersRequest) -> Answer<WriteTxnMarkersResponse> {
        Answer::Later(Box::pin(async move {
            let mut markers = Vec::with_capacity(request.markers.len());
            let mut asked = Once::default();
            for (marker, transaction_version) in request.markers {
                markers.push(write(&context, marker, transaction_version >= EPOCH_RAISED, &mut asked).await);
            }
            WriteTxnMarkersResponse(Answered::default().with_markers(markers))
        }))
    }

    fn unsupported() -> WriteTxnMarkersResponse {
        WriteTxnMarkersResponse::default()
    }
}

async fn write(
    context: &Context,
    marker: WritableTxnMarker,
    is_epoch_raised: bool,
    asked: &mut Once<(ProducerId, i16, TopicId, i32)>,
) -> WritableTxnMarkerResult {
    let producer = ProducerIdAndEpoch::of(marker.producer_id.0, marker.producer_epoch);
    let end = EndTransaction {
        marker: if marker.transaction_result { Marker::Commit } else { Marker::Abort },
        coordinator_epoch: marker.coordinator_epoch,
    };
    let mut topics = Vec::with_capacity(marker.topics.len());
    for topic in marker.topics {
        let known = context.broker.catalog.topic(&topic.name);
        let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
        for index in topic.partition_indexes {
            let written = match &known {
                None => Err(ResponseError::UnknownTopicOrPartition),
                Some(known) => match asked.check((marker.producer_id, marker.producer_epoch, known.id, index)) {
                    Ok(()) => write_one(context, known, index, (producer, end, is_epoch_raised)).await,
                    Err(error) => Err(error),
                },
            };
            let code = written.err().map_or(errors::NONE, |error| error.code());
            partitions.push(WritableTxnMarkerPartitionResult::default().with_partition_index(index).with_error_code(code));
        }
        topics.push(WritableTxnMarkerTopicResult::default().with_name(topic.name).with_partitions(partitions));
    }
    WritableTxnMarkerResult::default().with_producer_id(marker.producer_id).with_topics(topics)
}

async fn write_one(
    context: &Context,
    topic: &Topic,
    index: i32,
    (producer, end, is_epoch_raised): (ProducerIdAndEpoch, EndTransaction, bool),
) -> Result<(), ResponseError> {
    let partition = context.partition_of(topic, index).await?;
    if end.coordinator_epoch > COORDINATOR_EPOCH {
        return Err(ResponseError::InvalidRequest);
    }
    let last = if topic.name == OFFSETS_TOPIC {
        let position = usize::try_from(index).unwrap_or(usize::MAX);
        context.broker.groups.end_transaction(position, producer, end, is_epoch_raised).await.map_err(|error| match error {
            MarkerError::Shard(error) => errors::shard(&error),
            MarkerError::NoPartition => ResponseError::UnknownTopicOrPartition,
            MarkerError::Producer(error) => errors::append(&AppendError::Producer(error)),
        })?;
        partition.next().previous()
    } else {
        let written = partition.append_marker(producer.id, producer.epoch, end, is_epoch_raised).await;
        written.map_err(|error| errors::append(&error))?.unwrap_or_else(|| partition.next().previous())
    };
    partition.wait_committed(last).await.map_err(|stopped| errors::append(&stopped.into()))
}
