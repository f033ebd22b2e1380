//! A transactional producer of either protocol, over a [`Network`] that may do anything to its requests: it sends again until it is answered,
//! waits where the broker asks it to, and reports everything else.

use crate::batch::{Batch, TRANSACTIONAL};
use crate::client::Client;
use crate::frame::{self, group_id, text, topic_name};
use crate::network::Network;
use crate::records::{only_produced, produce_request};
use crate::topics::Topic;
use bytes::Bytes;
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::txn_offset_commit_request::{TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest, ProducerId, TransactionalId, TxnOffsetCommitRequest,
};
use std::collections::BTreeMap;
use std::time::Duration;

const BACK_OFF: Duration = Duration::from_millis(2);

/// The protocol of transactions that a producer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// KIP-98
    V1,
    /// KIP-890
    V2,
}

/// See the file's header.
pub struct TxnProducer {
    client: Client,
    pub id: String,
    protocol: Protocol,
    pub producer: (i64, i16),
    sequences: BTreeMap<i32, i32>,
}

impl TxnProducer {
    /// Initialises a transactional id.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    pub fn new(network: &mut Network, id: &str, protocol: Protocol) -> TxnProducer {
        let (id, sequences) = (id.to_owned(), BTreeMap::new());
        let mut producer = TxnProducer { client: network.connect(), id, protocol, producer: (-1, -1), sequences };
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(producer.transactional_id()))
            .with_transaction_timeout_ms(600_000)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        let answer = again(|| {
            let answer = network.call(&mut producer.client, 5, &request);
            (answer.error_code, answer)
        });
        let answer = answer.unwrap_or_else(|error| panic!("InitProducerId: {error}"));
        producer.producer = (answer.producer_id.0, answer.producer_epoch);
        producer
    }

    /// Sends one record, with its partition announced before where the protocol wants it.
    ///
    /// # Errors
    /// What the broker refuses it with.
    pub fn send(&mut self, network: &mut Network, topic: &Topic, partition: i32, value: &str) -> Result<i64, ResponseError> {
        if self.protocol == Protocol::V1 {
            self.add(network, topic, partition)?;
        }
        let version = if self.protocol == Protocol::V1 { 11 } else { 12 };
        let sequence = self.sequences.get(&partition).copied().unwrap_or(0);
        let mut batch = Batch::of(&[value]).idempotent(self.producer.0, self.producer.1, sequence);
        batch.attributes |= TRANSACTIONAL;
        let request = produce_request(topic, partition, -1, batch.build()).with_transactional_id(Some(self.transactional_id()));
        let offset = again(|| {
            let answer = only_produced(network.call(&mut self.client, version, &request));
            (answer.error_code, answer.base_offset)
        })?;
        self.sequences.insert(partition, sequence + 1);
        Ok(offset)
    }

    /// Commits a group's offset in partition 0 of `topic` with the transaction (second protocol).
    ///
    /// # Errors
    /// What the broker refuses it with.
    pub fn commit_offset(&mut self, network: &mut Network, group: &str, topic: &Topic, offset: i64) -> Result<(), ResponseError> {
        let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topic = TxnOffsetCommitRequestTopic::default().with_name(topic_name(&topic.name)).with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_group_id(group_id(group))
            .with_producer_id(ProducerId(self.producer.0))
            .with_producer_epoch(self.producer.1)
            .with_generation_id(-1)
            .with_topics(vec![topic]);
        again(|| (network.call(&mut self.client, 5, &request).topics[0].partitions[0].error_code, ()))
    }

    /// Commits or aborts; the producer goes on in the epoch that it is given.
    ///
    /// # Errors
    /// What the broker refuses it with.
    pub fn end(&mut self, network: &mut Network, is_commit: bool) -> Result<(), ResponseError> {
        let (version, request) = (self.end_version(), self.end_request(is_commit));
        let answer = again(|| {
            let answer = network.call(&mut self.client, version, &request);
            (answer.error_code, answer)
        })?;
        if self.protocol == Protocol::V2 {
            self.producer = (answer.producer_id.0, answer.producer_epoch);
            self.sequences.clear();
        }
        Ok(())
    }

    /// The bytes that [`TxnProducer::end`] would send now, to be sent late.
    #[must_use]
    pub fn end_frame(&self, is_commit: bool) -> Bytes {
        frame::request(1, self.end_version(), &self.end_request(is_commit))
    }

    fn add(&mut self, network: &mut Network, topic: &Topic, partition: i32) -> Result<(), ResponseError> {
        let topic = AddPartitionsToTxnTopic::default().with_name(topic_name(&topic.name)).with_partitions(vec![partition]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.transactional_id())
            .with_v3_and_below_producer_id(ProducerId(self.producer.0))
            .with_v3_and_below_producer_epoch(self.producer.1)
            .with_v3_and_below_topics(vec![topic]);
        again(|| {
            let answer = network.call(&mut self.client, 3, &request);
            (answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code, ())
        })
    }

    fn end_version(&self) -> i16 {
        if self.protocol == Protocol::V1 { 4 } else { 5 }
    }

    fn end_request(&self, is_commit: bool) -> EndTxnRequest {
        EndTxnRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_producer_id(ProducerId(self.producer.0))
            .with_producer_epoch(self.producer.1)
            .with_committed(is_commit)
    }

    fn transactional_id(&self) -> TransactionalId {
        TransactionalId(text(&self.id))
    }
}

/// Asks until the broker no longer says that it is busy.
///
/// # Errors
/// What it refuses with.
pub fn again<T>(mut ask: impl FnMut() -> (i16, T)) -> Result<T, ResponseError> {
    loop {
        let (code, answer) = ask();
        match code.err() {
            None => return Ok(answer),
            Some(
                ResponseError::ConcurrentTransactions
                | ResponseError::CoordinatorLoadInProgress
                | ResponseError::CoordinatorNotAvailable
                | ResponseError::NotCoordinator
                | ResponseError::NotEnoughReplicas,
            ) => std::thread::sleep(BACK_OFF),
            Some(error) => return Err(error),
        }
    }
}
