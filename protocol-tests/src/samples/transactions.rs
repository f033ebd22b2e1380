//! Samples of the keys that are about transactions.

use super::{Ask, GROUP};
use crate::frame::{group_id, text, topic_name};
use kafka_protocol::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::txn_offset_commit_request::{TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic};
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeProducersRequest, DescribeTransactionsRequest, EndTxnRequest,
    ListTransactionsRequest, ProducerId, TransactionalId, TxnOffsetCommitRequest, WriteTxnMarkersRequest,
};

fn nobody() -> TransactionalId {
    TransactionalId(text("no-such-id"))
}

impl Ask for AddPartitionsToTxnRequest {
    fn filled(version: i16) -> Self {
        let topic = AddPartitionsToTxnTopic::default().with_name(topic_name("no-such-topic")).with_partitions(vec![0]);
        if version < 4 {
            return Self::default()
                .with_v3_and_below_transactional_id(nobody())
                .with_v3_and_below_producer_id(ProducerId(7))
                .with_v3_and_below_topics(vec![topic]);
        }
        let transaction = AddPartitionsToTxnTransaction::default()
            .with_transactional_id(nobody())
            .with_producer_id(ProducerId(7))
            .with_topics(vec![topic]);
        Self::default().with_transactions(vec![transaction])
    }
}

impl Ask for AddOffsetsToTxnRequest {
    fn filled(_version: i16) -> Self {
        Self::default().with_transactional_id(nobody()).with_producer_id(ProducerId(7)).with_group_id(group_id(GROUP))
    }
}

impl Ask for EndTxnRequest {
    fn filled(_version: i16) -> Self {
        Self::default().with_transactional_id(nobody()).with_producer_id(ProducerId(7)).with_committed(true)
    }
}

impl Ask for WriteTxnMarkersRequest {
    fn filled(_version: i16) -> Self {
        let topic = WritableTxnMarkerTopic::default().with_name(topic_name("no-such-topic")).with_partition_indexes(vec![0]);
        let marker = WritableTxnMarker::default().with_producer_id(ProducerId(7)).with_topics(vec![topic]);
        Self::default().with_markers(vec![marker])
    }
}

impl Ask for TxnOffsetCommitRequest {
    fn filled(version: i16) -> Self {
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(topic_name("no-such-topic"))
            .with_partitions(vec![TxnOffsetCommitRequestPartition::default()]);
        let request = Self::default()
            .with_transactional_id(nobody())
            .with_group_id(group_id(GROUP))
            .with_producer_id(ProducerId(7))
            .with_topics(vec![topic]);
        if version < 3 { request } else { request.with_member_id(text("nobody")).with_group_instance_id(Some(text("instance"))) }
    }
}

impl Ask for DescribeProducersRequest {
    fn filled(_version: i16) -> Self {
        let topic = TopicRequest::default().with_name(topic_name("no-such-topic")).with_partition_indexes(vec![0]);
        Self::default().with_topics(vec![topic])
    }
}

impl Ask for DescribeTransactionsRequest {
    fn filled(_version: i16) -> Self {
        Self::default().with_transactional_ids(vec![nobody()])
    }
}

impl Ask for ListTransactionsRequest {
    fn filled(version: i16) -> Self {
        let request = Self::default().with_state_filters(vec![text("Odd")]).with_producer_id_filters(vec![ProducerId(7)]);
        if version < 2 { request } else { request.with_transactional_id_pattern(Some(text("no.*"))) }
    }
}
