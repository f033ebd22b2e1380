//! InitProducerId, key 22, versions 0-5.
//!
//! Behaviour: without a transactional id, every call answers a new producer id with epoch 0 (KIP-98); ids are unique across restarts.
//! With one, the caller becomes its producer: whoever was is fenced by the next epoch, and an open transaction is aborted before the answer
//! (Kafka answers CONCURRENT_TRANSACTIONS meanwhile). A producer that names its id and epoch goes on after an error (KIP-360).
//!
//! Version notes: 2 is flexible; 3 (KIP-360) brings the id and epoch that the producer had; 4 (KIP-588) may answer PRODUCER_FENCED, where
//! earlier ones get INVALID_PRODUCER_EPOCH; 5 (KIP-890) allows TRANSACTION_ABORTABLE.
//! Not implemented: two-phase commit (version 6, KIP-939).

use super::errors::{self, ResponseError};
use super::{Answer, Context, Handler};
use crate::coordinator::ProducerIdAndEpoch;
use crate::coordinator::txn::messages::InitRequest;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};
use std::ops::RangeInclusive;

/// The first version whose clients know PRODUCER_FENCED.
const FENCING: i16 = 4;

pub struct InitProducerId;

impl Handler for InitProducerId {
    type Request = InitProducerIdRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    async fn handle(context: Context, request: InitProducerIdRequest) -> Answer<InitProducerIdResponse> {
        let Some(id) = &request.transactional_id else {
            return Answer::Now(match context.broker.producer_ids.next().await {
                Ok(id) => InitProducerIdResponse::default().with_producer_id(ProducerId(id.0)).with_producer_epoch(0),
                Err(error) => refused(errors::catalog::code(&error)),
            });
        };
        let expected = match (request.producer_id.0, request.producer_epoch) {
            (-1, -1) => None,
            // One without the other says nothing (TransactionCoordinator.handleInitProducerId).
            (-1, _) | (_, -1) => return Answer::Now(refused(ResponseError::InvalidRequest)),
            (id, epoch) => Some(ProducerIdAndEpoch::of(id, epoch)),
        };
        let request = InitRequest { id: id.to_string(), timeout_ms: request.transaction_timeout_ms, expected };
        Answer::Later(Box::pin(async move {
            match context.broker.transactions.init(request).await {
                Ok(producer) => InitProducerIdResponse::default()
                    .with_producer_id(ProducerId(producer.id.0))
                    .with_producer_epoch(producer.epoch.0),
                Err(error) if context.version < FENCING => refused(errors::transaction::code_before_fencing(&error)),
                Err(error) => refused(errors::transaction::code(&error)),
            }
        }))
    }

    fn unsupported() -> InitProducerIdResponse {
        refused(ResponseError::UnsupportedVersion)
    }
}

fn refused(error: ResponseError) -> InitProducerIdResponse {
    InitProducerIdResponse::default().with_error_code(error.code()).with_producer_id(ProducerId(-1)).with_producer_epoch(-1)
}
