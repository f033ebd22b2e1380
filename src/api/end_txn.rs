//! EndTxn, key 26, versions 0-5.
//!
//! Behaviour: commits or aborts the producer's open transaction. When it is answered, the markers of all partitions and the offsets are
//! durable, by one sync; a repeated request is answered as the first.
//!
//! Version notes: 2 (KIP-588) may answer PRODUCER_FENCED; 3 is flexible; 4 (KIP-890) may answer TRANSACTION_ABORTABLE; 5 (KIP-890) is the
//! second protocol: the answer holds the epoch in which the producer goes on, a late request of an earlier epoch ends nothing, and a
//! transaction without partitions may be aborted.
//! Not implemented: nothing. With versions before 5 a late request may end the next transaction, by design of their protocol (KAFKA-17754).

use super::errors::{self, ResponseError};
use super::{Answer, Context, Handler};
use crate::coordinator::ProducerIdAndEpoch;
use crate::coordinator::txn::messages::{EndReply, EndRequest};
use crate::coordinator::txn::records::Protocol;
use crate::records::control::Marker;
use kafka_protocol::messages::{EndTxnRequest, EndTxnResponse, ProducerId};
use std::ops::RangeInclusive;

/// The first version whose clients know PRODUCER_FENCED.
const FENCING: i16 = 2;
/// The first version of the second protocol.
const SECOND_PROTOCOL: i16 = 5;

pub struct EndTxn;

impl Handler for EndTxn {
    type Request = EndTxnRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    async fn handle(context: Context, request: EndTxnRequest) -> Answer<EndTxnResponse> {
        let version = context.version;
        let request = EndRequest {
            id: request.transactional_id.to_string(),
            producer: ProducerIdAndEpoch::of(request.producer_id.0, request.producer_epoch),
            marker: if request.committed { Marker::Commit } else { Marker::Abort },
            protocol: if version >= SECOND_PROTOCOL { Protocol::V2 } else { Protocol::V1 },
        };
        match context.broker.transactions.end(request.clone()).await {
            Err(error) => Answer::Now(response(Err(error), version)),
            Ok(pending) => {
                Answer::Later(Box::pin(
                    async move { response(context.broker.transactions.ended(request, pending).await, version) },
                ))
            }
        }
    }

    fn unsupported() -> EndTxnResponse {
        EndTxnResponse::default().with_error_code(ResponseError::UnsupportedVersion.code())
    }
}

fn response(reply: EndReply, version: i16) -> EndTxnResponse {
    match reply {
        Ok(producer) if version >= SECOND_PROTOCOL => {
            EndTxnResponse::default().with_producer_id(ProducerId(producer.id.0)).with_producer_epoch(producer.epoch.0)
        }
        Ok(_) => EndTxnResponse::default(),
        Err(error) => EndTxnResponse::default().with_error_code(errors::transaction::code_at(&error, version, FENCING).code()),
    }
}
