//! Goal: a request costs what it sends, not what it names: one long name with very many partitions, or one partition very many times, neither
//! takes gigabytes nor keeps the server busy.
//! Method: requests of a few megabytes on a server of their own, whose peak memory is read afterwards.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    DescribeProducersRequest, ElectLeadersRequest, FetchRequest, ListOffsetsRequest, ListTransactionsRequest,
    OffsetCommitRequest, OffsetDeleteRequest, ProduceRequest,
};
use protocol_tests::frame::{group_id, text, topic_name};
use protocol_tests::server::Server;
use std::iter::repeat_n;

const MANY: i32 = 200_000;
const LONG: usize = 32_000;
/// A server that has been asked for a few megabytes.
const PEAK_BYTES_MAX: u64 = 1 << 30;

fn assert_frugal(server: &Server) {
    assert!(server.peak_memory_bytes() < PEAK_BYTES_MAX, "{} bytes", server.peak_memory_bytes());
}

#[test]
fn partitions_of_a_topic_with_a_long_name_share_it() {
    let server = Server::start();
    let mut client = server.connect();
    let name = || topic_name(&"n".repeat(LONG));
    let unknown = Some(ResponseError::UnknownTopicOrPartition);

    let partitions = (0..MANY).map(|index| FetchPartition::default().with_partition(index));
    let topic = FetchTopic::default().with_topic(name()).with_partitions(partitions.collect());
    for version in [4, 7] {
        let fetched = client.call(version, &FetchRequest::default().with_max_wait_ms(100).with_topics(vec![topic.clone()]));
        let codes = fetched.responses.iter().flat_map(|topic| &topic.partitions).map(|one| one.error_code.err());
        assert!(codes.eq(repeat_n(unknown, MANY as usize)), "Fetch {version}");
    }

    let partitions = (0..MANY).map(|index| ListOffsetsPartition::default().with_partition_index(index).with_timestamp(-1));
    let topic = ListOffsetsTopic::default().with_name(name()).with_partitions(partitions.collect());
    let listed = client.call(1, &ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]));
    assert!(listed.topics[0].partitions.iter().map(|one| one.error_code.err()).eq(repeat_n(unknown, MANY as usize)));

    let topic = TopicPartitions::default().with_topic(name()).with_partitions((0..MANY).collect());
    let elected = client.call(0, &ElectLeadersRequest::default().with_topic_partitions(Some(vec![topic])));
    let results = &elected.replica_election_results[0].partition_result;
    assert!(results.iter().map(|one| one.error_code.err()).eq(repeat_n(unknown, MANY as usize)));
    assert!(results[0].error_message.as_ref().is_some_and(|why| why.starts_with("No such topic as nnn")));

    let topic = TopicRequest::default().with_name(name()).with_partition_indexes((0..MANY).collect());
    let described = client.call(0, &DescribeProducersRequest::default().with_topics(vec![topic]));
    let invalid = Some(ResponseError::InvalidTopicException);
    assert!(described.topics[0].partitions.iter().map(|one| one.error_code.err()).eq(repeat_n(invalid, MANY as usize)));

    // A copy of the name for each would be 6 GB.
    assert_frugal(&server);
}

#[test]
fn offsets_of_one_partition_are_committed_and_deleted_once() {
    let server = Server::start();
    let mut client = server.connect();
    let topic = client.create_topic("again", 1, &[]).name;
    let group = "g".repeat(LONG);

    let partition = |offset: i32| OffsetCommitRequestPartition::default().with_committed_offset(offset.into());
    let partitions = (0..MANY).map(partition).collect();
    let asked = OffsetCommitRequestTopic::default().with_name(topic_name(&topic)).with_partitions(partitions);
    let commit = OffsetCommitRequest::default().with_group_id(group_id(&group)).with_generation_id_or_member_epoch(-1);
    let committed = client.call(8, &commit.with_topics(vec![asked]));
    let codes: Vec<i16> = committed.topics[0].partitions.iter().map(|one| one.error_code).collect();
    assert_eq!(codes, [0], "the partition is answered once");

    let partitions = repeat_n(OffsetDeleteRequestPartition::default(), MANY as usize).collect();
    let asked = OffsetDeleteRequestTopic::default().with_name(topic_name(&topic)).with_partitions(partitions);
    let delete = OffsetDeleteRequest::default().with_group_id(group_id(&group));
    let deleted = client.call(0, &delete.with_topics(vec![asked]));
    assert_eq!((deleted.error_code, deleted.topics[0].partitions.len()), (0, 1));

    // A record with the group's name for each would be 6 GB.
    assert_frugal(&server);
}

#[test]
fn a_partition_that_a_fetch_names_often_is_read_once() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("often", 1, &[]).name;
    let partitions = repeat_n(FetchPartition::default().with_partition_max_bytes(1), MANY as usize).collect();
    let topic = FetchTopic::default().with_topic(topic_name(&topic)).with_partitions(partitions);
    let fetched = client.call(4, &FetchRequest::default().with_max_wait_ms(1).with_min_bytes(1).with_topics(vec![topic]));
    assert_eq!(fetched.responses[0].partitions.len(), 1, "as in FetchRequest.fetchData");
    server.connect().assert_alive("a fetch that names a partition often");
}

#[test]
fn a_produce_request_of_very_many_partitions_without_records_is_refused() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("empty", 1, &[]).name;
    let partitions = repeat_n(PartitionProduceData::default().with_records(None), MANY as usize).collect();
    let data = TopicProduceData::default().with_name(topic_name(&topic)).with_partition_data(partitions);
    let request = ProduceRequest::default().with_acks(1).with_timeout_ms(1000).with_topic_data(vec![data]);
    // The same of topics without partitions: each has an answer.
    let topics = repeat_n(TopicProduceData::default().with_name(topic_name("t")), MANY as usize).collect();
    for request in [request.clone(), request.with_topic_data(topics)] {
        let mut client = server.connect();
        client.send(9, &request).expect("sent");
        assert!(client.is_closed_quietly());
    }
    server.connect().assert_alive("a produce request of very many partitions");
}

#[test]
fn an_expression_of_any_length_is_not_compiled() {
    let server = Server::start();
    let mut client = server.connect();
    let request = ListTransactionsRequest::default().with_transactional_id_pattern(Some(text(&r"\pL".repeat(350_000))));
    assert_eq!(client.call(2, &request).error_code.err(), Some(ResponseError::InvalidRegularExpression));
    let closed_early = ListTransactionsRequest::default().with_transactional_id_pattern(Some(text("a)|(?:b")));
    assert_eq!(client.call(2, &closed_early).error_code.err(), Some(ResponseError::InvalidRegularExpression));
    assert_frugal(&server);
}
