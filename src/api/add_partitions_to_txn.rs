//! AddPartitionsToTxn, key 24, versions 0-5.
//!
//! Behaviour: a producer of the first protocol names partitions before it writes to them; the first begins the transaction, durably. When one
//! of them does not exist, none is added: it is UNKNOWN_TOPIC_OR_PARTITION, one of an internal topic TOPIC_AUTHORIZATION_FAILED, the
//! others OPERATION_NOT_ATTEMPTED.
//!
//! Version notes: 2 (KIP-588) may answer PRODUCER_FENCED; 3 is flexible; 4 and 5 (KIP-890) are what brokers of a cluster ask one another:
//! many transactions at once, or only whether partitions are part of one (`verify_only`); 5 may answer TRANSACTION_ABORTABLE.
//! Not implemented: nothing.

use super::errors::{self, ResponseError};
use super::{Answer, Context, Handler};
use crate::catalog::Topic;
use crate::coordinator::ProducerIdAndEpoch;
use crate::coordinator::shards::Pending;
use crate::coordinator::txn::TransactionError;
use crate::coordinator::txn::messages::{Intent, PartitionsReply, PartitionsRequest, When};
use crate::coordinator::txn::records::{Partitions, Protocol};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTransaction;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The first version whose clients know PRODUCER_FENCED.
const FENCING: i16 = 2;
/// The first version with many transactions.
const BATCHED: i16 = 4;
/// The first version whose clients know TRANSACTION_ABORTABLE.
const ABORTABLE: i16 = 5;

pub struct AddPartitionsToTxn;

/// One transaction of the request, its answer under way.
struct Asked {
    transaction: AddPartitionsToTxnTransaction,
    pending: Result<Pending<PartitionsReply>, Refused>,
}

/// Why nothing was added.
enum Refused {
    /// Some partitions do not exist, or are not for clients: the topics of the request, as they were found.
    Topics(Vec<Option<Arc<Topic>>>),
    ByCoordinator(TransactionError),
}

impl Handler for AddPartitionsToTxn {
    type Request = AddPartitionsToTxnRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    async fn handle(context: Context, request: AddPartitionsToTxnRequest) -> Answer<AddPartitionsToTxnResponse> {
        let version = context.version;
        let transactions = if version >= BATCHED {
            request.transactions
        } else {
            vec![
                AddPartitionsToTxnTransaction::default()
                    .with_transactional_id(request.v3_and_below_transactional_id)
                    .with_producer_id(request.v3_and_below_producer_id)
                    .with_producer_epoch(request.v3_and_below_producer_epoch)
                    .with_topics(request.v3_and_below_topics),
            ]
        };
        let mut asked = Vec::with_capacity(transactions.len());
        for transaction in transactions {
            let pending = ask(&context, &transaction).await;
            asked.push(Asked { transaction, pending });
        }
        Answer::Later(Box::pin(async move {
            let mut results = Vec::with_capacity(asked.len());
            for one in asked {
                results.push(one.result(version).await);
            }
            if version >= BATCHED {
                return AddPartitionsToTxnResponse::default().with_results_by_transaction(results);
            }
            let topics = results.into_iter().flat_map(|result| result.topic_results).collect();
            AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(topics)
        }))
    }

    fn unsupported() -> AddPartitionsToTxnResponse {
        AddPartitionsToTxnResponse::default().with_error_code(ResponseError::UnsupportedVersion.code())
    }
}

async fn ask(context: &Context, transaction: &AddPartitionsToTxnTransaction) -> Result<Pending<PartitionsReply>, Refused> {
    let found: Vec<_> = transaction.topics.iter().map(|topic| context.broker.catalog.topic(&topic.name)).collect();
    let mut asked = transaction.topics.iter().zip(&found);
    if !asked.all(|(topic, found)| topic.partitions.iter().all(|index| check(found.as_deref(), *index).is_ok())) {
        return Err(Refused::Topics(found));
    }
    let mut partitions = Partitions::new();
    for topic in &transaction.topics {
        partitions.entry(topic.name.to_string()).or_default().extend(&topic.partitions);
    }
    // Brokers add for clients of the second protocol (TransactionVersion.transactionVersionForAddPartitionsToTxn).
    let protocol = if context.version >= BATCHED { Protocol::V2 } else { Protocol::V1 };
    let request = PartitionsRequest {
        id: transaction.transactional_id.to_string(),
        producer: ProducerIdAndEpoch::of(transaction.producer_id.0, transaction.producer_epoch),
        partitions,
        intent: if transaction.verify_only { Intent::Verify } else { Intent::Add(protocol) },
    };
    context.broker.transactions.partitions(request, When::Durable).await.map_err(Refused::ByCoordinator)
}

/// Topics of the house are for the house alone, markers included (KafkaApis.handleAddPartitionsToTxnRequest).
fn check(topic: Option<&Topic>, index: i32) -> Result<(), ResponseError> {
    match topic {
        Some(topic) if topic.internal => Err(ResponseError::TopicAuthorizationFailed),
        Some(topic) if topic.has(index) => Ok(()),
        _ => Err(ResponseError::UnknownTopicOrPartition),
    }
}

impl Asked {
    async fn result(self, version: i16) -> AddPartitionsToTxnResult {
        let Asked { transaction, pending } = self;
        let reply = match pending {
            Ok(pending) => {
                let reply = pending.wait().await.map_err(TransactionError::from).and_then(|reply| reply);
                reply.map_err(Refused::ByCoordinator)
            }
            Err(refused) => Err(refused),
        };
        let topics = transaction.topics.into_iter().enumerate().map(|(at, topic)| {
            let partitions = topic.partitions.iter().map(|index| {
                let code = reply.as_ref().err().map_or(errors::NONE, |refused| refused.code(at, *index, version));
                AddPartitionsToTxnPartitionResult::default().with_partition_index(*index).with_partition_error_code(code)
            });
            let partitions = partitions.collect();
            AddPartitionsToTxnTopicResult::default().with_name(topic.name).with_results_by_partition(partitions)
        });
        let topics = topics.collect();
        AddPartitionsToTxnResult::default().with_transactional_id(transaction.transactional_id).with_topic_results(topics)
    }
}

impl Refused {
    /// The answer for a partition of the topic at a position of the request.
    fn code(&self, topic: usize, index: i32, version: i16) -> i16 {
        let error = match self {
            Refused::Topics(found) => {
                check(found.get(topic).and_then(Option::as_deref), index).err().unwrap_or(ResponseError::OperationNotAttempted)
            }
            Refused::ByCoordinator(TransactionError::NotPart) if version >= ABORTABLE => ResponseError::TransactionAbortable,
            Refused::ByCoordinator(error) => errors::transaction::code_at(error, version, FENCING),
        };
        error.code()
    }
}
