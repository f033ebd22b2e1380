//! DescribeTransactions, key 65, version 0.
//!
//! Behaviour (KIP-664): state, producer, time-out and partitions of transactional ids; TRANSACTIONAL_ID_NOT_FOUND for those not known,
//! INVALID_REQUEST for those named before in the same request.
//!
//! Version notes: none.
//! Not implemented: nothing.

use super::errors::{self, ResponseError};
use super::repeated::Once;
use super::{Answer, Context, Handler};
use crate::coordinator::txn::TransactionError;
use crate::coordinator::txn::records::Transaction;
use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, ProducerId, TopicName, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use std::ops::RangeInclusive;

pub struct DescribeTransactions;

impl Handler for DescribeTransactions {
    type Request = DescribeTransactionsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(context: Context, request: DescribeTransactionsRequest) -> Answer<DescribeTransactionsResponse> {
        Answer::Later(Box::pin(async move {
            let mut states = Vec::with_capacity(request.transactional_ids.len());
            let mut asked = Once::default();
            for id in request.transactional_ids {
                if let Err(error) = asked.check(id.clone()) {
                    states.push(TransactionState::default().with_transactional_id(id).with_error_code(error.code()));
                    continue;
                }
                let described = context.broker.transactions.describe(&id).await;
                states.push(state(id, described));
            }
            DescribeTransactionsResponse::default().with_transaction_states(states)
        }))
    }

    fn unsupported() -> DescribeTransactionsResponse {
        DescribeTransactionsResponse::default()
    }
}

fn state(id: TransactionalId, described: Result<Option<Transaction>, TransactionError>) -> TransactionState {
    let answer = TransactionState::default().with_transactional_id(id);
    let transaction = match described {
        Ok(Some(transaction)) => transaction,
        Ok(None) => return answer.with_error_code(ResponseError::TransactionalIdNotFound.code()),
        Err(error) => return answer.with_error_code(errors::transaction::code(&error).code()),
    };
    let topics = transaction.partitions.into_iter().map(|(topic, indexes)| {
        TopicData::default().with_topic(TopicName(StrBytes::from_string(topic))).with_partitions(indexes.into_iter().collect())
    });
    answer
        .with_transaction_state(StrBytes::from_static_str(transaction.status.name()))
        .with_transaction_timeout_ms(transaction.timeout_ms)
        .with_transaction_start_time_ms(transaction.start.map_or(-1, |start| start.0))
        .with_producer_id(ProducerId(transaction.producer.id.0))
        .with_producer_epoch(transaction.producer.epoch.0)
        .with_topics(topics.collect())
}
