//! AddOffsetsToTxn, key 25, versions 0-4.
//!
//! Behaviour: a producer of the first protocol says that its transaction will commit offsets of a group; the group's partition of
//! `__consumer_offsets` becomes part of the transaction.
//!
//! Version notes: 2 (KIP-588) may answer PRODUCER_FENCED; 3 is flexible; 4 (KIP-890) may answer TRANSACTION_ABORTABLE. Producers of the
//! second protocol do not need it.
//! Not implemented: nothing.

use super::errors::{self, ResponseError};
use super::{Answer, Context, Handler};
use crate::coordinator::ProducerIdAndEpoch;
use crate::coordinator::group::OFFSETS_TOPIC;
use crate::coordinator::txn::TransactionError;
use crate::coordinator::txn::messages::{Intent, PartitionsRequest, When};
use crate::coordinator::txn::records::{Partitions, Protocol};
use kafka_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// The first version whose clients know PRODUCER_FENCED.
const FENCING: i16 = 2;

pub struct AddOffsetsToTxn;

impl Handler for AddOffsetsToTxn {
    type Request = AddOffsetsToTxnRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=4;

    async fn handle(context: Context, request: AddOffsetsToTxnRequest) -> Answer<AddOffsetsToTxnResponse> {
        let version = context.version;
        let request = PartitionsRequest {
            id: request.transactional_id.to_string(),
            producer: ProducerIdAndEpoch::of(request.producer_id.0, request.producer_epoch),
            partitions: of_group(&context, &request.group_id),
            intent: Intent::Add(Protocol::V1),
        };
        match context.broker.transactions.partitions(request, When::Durable).await {
            Err(error) => Answer::Now(response(Err(error), version)),
            Ok(pending) => Answer::Later(Box::pin(async move {
                response(pending.wait().await.map_err(TransactionError::from).and_then(|reply| reply), version)
            })),
        }
    }

    fn unsupported() -> AddOffsetsToTxnResponse {
        AddOffsetsToTxnResponse::default().with_error_code(ResponseError::UnsupportedVersion.code())
    }
}

/// The partition that holds a group's offsets.
pub fn of_group(context: &Context, group_id: &str) -> Partitions {
    let partition = i32::try_from(context.broker.groups.partition_of(group_id)).unwrap_or(i32::MAX);
    Partitions::from([(OFFSETS_TOPIC.to_owned(), BTreeSet::from([partition]))])
}

fn response(reply: Result<(), TransactionError>, version: i16) -> AddOffsetsToTxnResponse {
    let code = match reply {
        Ok(()) => errors::NONE,
        Err(error) => errors::transaction::code_at(&error, version, FENCING).code(),
    };
    AddOffsetsToTxnResponse::default().with_error_code(code)
}
