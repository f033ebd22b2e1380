//! InitProducerId, key 22, versions 0-6.
//!
//! Behaviour: without a transactional id, every call answers a new producer id with epoch 0 (KIP-98); ids are unique across restarts.
//! With one, the caller becomes its producer: whoever was is fenced by the next epoch, and an open transaction is aborted before the answer
//! (Kafka answers CONCURRENT_TRANSACTIONS meanwhile). A producer that names its id and epoch goes on after an error (KIP-360). When the coordinator
//! cannot write for long (a full disk), the answer is COORDINATOR_NOT_AVAILABLE, as in Kafka, and the connection ends: see [`Context::done_by`].
//!
//! Version notes: 2 is flexible; 3 (KIP-360) brings the id and epoch that the producer had; 4 (KIP-588) may answer PRODUCER_FENCED, where
//! earlier ones get INVALID_PRODUCER_EPOCH; 5 (KIP-890) allows TRANSACTION_ABORTABLE; 6 (KIP-939) may ask for two-phase commit.
//! Not implemented: two-phase commit. Asking for it is TRANSACTIONAL_ID_AUTHORIZATION_FAILED, as in Kafka without
//! `transaction.two.phase.commit.enable`; asking to keep a prepared transaction is UNSUPPORTED_VERSION, as in Kafka 4.3.

use super::errors::{self, ResponseError};
use super::{Answer, Context, Handler};
use crate::coordinator::ProducerIdAndEpoch;
use crate::coordinator::txn::messages::InitRequest;
use crate::wire::init_producer_id::InitProducerIdRequest;
use kafka_protocol::messages::{InitProducerIdResponse, ProducerId};
use std::ops::RangeInclusive;
use std::pin::pin;
use tokio::time::Instant;

/// The first version whose clients know PRODUCER_FENCED.
const FENCING: i16 = 4;

pub struct InitProducerId;

impl Handler for InitProducerId {
    type Request = InitProducerIdRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=6;

    fn handle(context: Context, request: InitProducerIdRequest) -> impl Future<Output = Answer<InitProducerIdResponse>> + Send {
        init(context, request, Context::coordinator_deadline())
    }

    fn unsupported() -> InitProducerIdResponse {
        refused(ResponseError::UnsupportedVersion)
    }
}

/// A request, which may wait until `deadline`.
async fn init(context: Context, request: InitProducerIdRequest, deadline: Instant) -> Answer<InitProducerIdResponse> {
    let (enable_2_pc, keep_prepared_txn, request) = (request.enable_2_pc, request.keep_prepared_txn, request.head);
    let Some(id) = &request.transactional_id else {
        return Answer::Now(match context.broker.producer_ids.next().await {
            Ok(id) => none_ongoing().with_producer_id(ProducerId(id.0)).with_producer_epoch(0),
            Err(error) => refused(errors::catalog::code(&error)),
        });
    };
    let expected = match (request.producer_id.0, request.producer_epoch) {
        (-1, -1) => None,
        // One without the other says nothing (TransactionCoordinator.handleInitProducerId).
        (-1, _) | (_, -1) => return Answer::Now(refused(ResponseError::InvalidRequest)),
        (id, epoch) => Some(ProducerIdAndEpoch::of(id, epoch)),
    };
    // Of a transactional id alone (TransactionCoordinator.handleInitProducerId); without one they say nothing.
    if enable_2_pc {
        return Answer::Now(refused(ResponseError::TransactionalIdAuthorizationFailed));
    }
    if keep_prepared_txn {
        return Answer::Now(refused(ResponseError::UnsupportedVersion));
    }
    let request = InitRequest { id: id.to_string(), timeout_ms: request.transaction_timeout_ms, expected };
    // Whatever follows on its connection finds the earlier producer fenced.
    Answer::Now(match context.done_by(deadline, pin!(context.broker.transactions.init(request))).await {
        Some(Ok(producer)) => none_ongoing().with_producer_id(ProducerId(producer.id.0)).with_producer_epoch(producer.epoch.0),
        Some(Err(error)) => refused(errors::transaction::code_at(&error, context.version, FENCING)),
        None => refused(ResponseError::CoordinatorNotAvailable),
    })
}

/// No transaction is kept: version 6 says so.
fn none_ongoing() -> InitProducerIdResponse {
    InitProducerIdResponse::default().with_ongoing_txn_producer_id(ProducerId(-1)).with_ongoing_txn_producer_epoch(-1)
}

fn refused(error: ResponseError) -> InitProducerIdResponse {
    none_ongoing().with_error_code(error.code()).with_producer_id(ProducerId(-1)).with_producer_epoch(-1)
}

#[cfg(test)]
mod tests {
    //! Goal: a coordinator that has no room to write holds nobody up for ever. Method: the handler over a store in memory whose queue is taken; the
    //! deadline is past, or far off.

    use super::*;
    use crate::ids::Timestamp;
    use kafka_protocol::messages::{InitProducerIdRequest as Head, TransactionalId};
    use kafka_protocol::protocol::StrBytes;

    fn request() -> InitProducerIdRequest {
        let head = Head::default()
            .with_transactional_id(Some(TransactionalId(StrBytes::from_static_str("t"))))
            .with_transaction_timeout_ms(60_000)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        InitProducerIdRequest { head, enable_2_pc: false, keep_prepared_txn: false }
    }

    /// The error code and the epoch.
    async fn asked(context: &Context, deadline: Instant) -> (i16, i16) {
        let Answer::Now(response) = init(context.clone(), request(), deadline).await else { panic!("it is done in stage one") };
        (response.error_code, response.producer_epoch)
    }

    #[tokio::test]
    async fn a_coordinator_that_cannot_write_in_time_is_not_available_and_does_it_later() {
        let context = Context::in_memory(4, Timestamp(1_700_000_000_000)).await;
        assert_eq!(asked(&context, Context::coordinator_deadline()).await, (0, 0));
        let room = context.broker.logs.take_room().await;
        assert_eq!(asked(&context, Instant::now()).await, (ResponseError::CoordinatorNotAvailable.code(), -1));
        assert!(context.connection.is_over(), "nobody reads on");
        drop(room);
        assert_eq!(asked(&context, Context::coordinator_deadline()).await, (0, 2), "the epoch between was the late one's");
        context.broker.close().await.expect("it closes");
    }
}
