//! What a produce request of a transactional producer needs before its batches are appended: the partitions must be part of the transaction.
//!
//! Producers of the first protocol have said so with AddPartitionsToTxn, and the coordinator is asked to confirm it, once per partition and
//! transaction; for those of the second one the partitions are added here (KIP-890). The coordinator answers when its record is on its way
//! to the disk: the batches go behind it, so they are never durable without it.

use super::errors::{self, ResponseError};
use super::produce::Position;
use super::{Context, produce};
use crate::coordinator::ProducerIdAndEpoch;
use crate::coordinator::txn::TransactionError;
use crate::coordinator::txn::messages::{Intent, PartitionsRequest, When};
use crate::coordinator::txn::records::{Partitions, Protocol};
use crate::log::{Origin, Verification};
use crate::records::BatchHeader;
use kafka_protocol::messages::ProduceRequest;
use std::collections::HashMap;

/// The first version whose clients know TRANSACTION_ABORTABLE.
const ABORTABLE: i16 = 11;
/// The first version for which the broker adds the partitions.
const ADDS: i16 = 12;

/// As whom each batch of a request may be appended.
#[derive(Debug, Default)]
pub struct Clearance {
    /// Those that begin a transaction, by where they stand in the request.
    verified: HashMap<Position, Verification>,
    /// Why they may not.
    refusal: Option<ResponseError>,
}

impl Clearance {
    /// The origin of the batch at a position of the request.
    pub(super) fn at(&self, position: Position) -> Result<Origin, ResponseError> {
        match (self.verified.get(&position), self.refusal) {
            (None, _) => Ok(Origin::Client),
            (Some(verification), None) => Ok(Origin::Verified(*verification)),
            (Some(_), Some(refusal)) => Err(refusal),
        }
    }
}

/// Asks the coordinator about the partitions whose batches would begin a transaction. Requests without a transactional id need none.
///
/// May be dropped while it waits for the coordinator. What it has begun is then asked for again by the producer's next request, as after CONCURRENT_TRANSACTIONS.
pub async fn ask(context: &Context, request: &ProduceRequest) -> Clearance {
    let mut clearance = Clearance::default();
    let Some(id) = &request.transactional_id else { return clearance };
    let mut producer = None;
    let mut asking = Vec::new();
    let mut partitions = Partitions::new();
    for (topic_at, data) in request.topic_data.iter().enumerate() {
        let Ok(topic) = produce::find(context, &data.name, data.topic_id) else { continue };
        if topic.internal {
            // Refused when it is appended; as part of the transaction it would get its marker.
            continue;
        }
        for (partition_at, data) in data.partition_data.iter().enumerate() {
            // What does not parse is refused when it is appended.
            let Some(header) = data.records.as_ref().and_then(|records| BatchHeader::parse(records).ok()) else { continue };
            let Some(producer_id) = header.producer().filter(|_| header.attributes.is_transactional()) else { continue };
            let Ok(Some(partition)) = context.broker.partition(&topic, data.index).await else { continue };
            let own = ProducerIdAndEpoch::of(producer_id.0, header.producer_epoch);
            if *producer.get_or_insert(own) != own {
                // ProduceRequest: "Transactional records contained more than one producer ID".
                clearance.refusal = Some(ResponseError::InvalidProducerIdMapping);
            }
            if let Some(verification) = partition.verification(own.id, own.epoch, header.base_sequence) {
                clearance.verified.insert(Position { topic: topic_at, partition: partition_at }, verification);
                partitions.entry(topic.name.clone()).or_default().insert(data.index);
                asking.push((partition, own.id));
            }
        }
    }
    if let Some(producer) = producer.filter(|_| clearance.refusal.is_none() && !partitions.is_empty()) {
        let version = context.version;
        let verifies = context.broker.catalog.effective_kafka().transaction_partition_verification_enable;
        let intent = if version >= ADDS { Intent::Add(Protocol::V2) } else { Intent::Verify };
        if intent == Intent::Verify && !verifies {
            return clearance;
        }
        let request = PartitionsRequest { id: id.to_string(), producer, partitions, intent };
        let refused = answered(context, request).await.err();
        if matches!(refused, Some(TransactionError::Concurrent | TransactionError::Shard(_))) {
            // Asked again soon, perhaps by a request that is on its way already and shares the verification; and until then no later batch of the
            // producer may be its first.
            asking.clear();
        }
        clearance.refusal = refused.map(|error| {
            // It makes clients ask again without looking for another leader.
            errors::transaction::of_partition(&error, version >= ABORTABLE, version >= ADDS, ResponseError::NotEnoughReplicas)
        });
    }
    if clearance.refusal.is_some() {
        asking.iter().for_each(|(partition, producer)| partition.refused(*producer));
    }
    clearance
}

async fn answered(context: &Context, request: PartitionsRequest) -> Result<(), TransactionError> {
    context.broker.transactions.partitions(request, When::Appended).await?.wait().await?
}
