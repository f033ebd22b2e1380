//! InitProducerId, key 22, versions 0-5.
//!
//! Behaviour: without a transactional id, every call answers a new producer id with epoch 0 (KIP-98); ids are unique across restarts.
//!
//! Version notes: 2 is flexible; 3 (KIP-360) brings the id and epoch that the producer had, which only matter with a
//! transactional id; 4 may answer PRODUCER_FENCED; 5 (KIP-890) allows TRANSACTION_ABORTABLE.
//! Not implemented: transactions; a transactional id gets TRANSACTIONAL_ID_AUTHORIZATION_FAILED, which clients treat as final.

use super::errors::{self, ResponseError};
use super::{Answer, Context, Handler};
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};
use std::ops::RangeInclusive;

pub struct InitProducerId;

impl Handler for InitProducerId {
    type Request = InitProducerIdRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    async fn handle(context: Context, request: InitProducerIdRequest) -> Answer<InitProducerIdResponse> {
        if let Some(id) = &request.transactional_id {
            let error =
                if id.is_empty() { ResponseError::InvalidRequest } else { ResponseError::TransactionalIdAuthorizationFailed };
            return Answer::Now(refused(error));
        }
        Answer::Now(match context.broker.producer_ids.next().await {
            Ok(id) => InitProducerIdResponse::default().with_producer_id(ProducerId(id.0)).with_producer_epoch(0),
            Err(error) => refused(errors::catalog::code(&error)),
        })
    }

    fn unsupported() -> InitProducerIdResponse {
        refused(ResponseError::UnsupportedVersion)
    }
}

fn refused(error: ResponseError) -> InitProducerIdResponse {
    InitProducerIdResponse::default().with_error_code(error.code()).with_producer_id(ProducerId(-1)).with_producer_epoch(-1)
}
