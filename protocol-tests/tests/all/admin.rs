//! Goal: administration of what one node cannot have much of (replicas, leaders, directories) gets answers that tools accept, and nonsense is refused.
//! Method: the keys that `kafka-reassign-partitions`, `kafka-leader-election` and `kafka-log-dirs` use; error paths first.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterPartitionReassignmentsRequest, BrokerId, DeleteRecordsRequest, DescribeLogDirsRequest,
    ElectLeadersRequest, ListConfigResourcesRequest, ListPartitionReassignmentsRequest, ProduceRequest,
};
use protocol_tests::batch::Batch;
use protocol_tests::frame::{text, topic_name};
use protocol_tests::later_versions::DescribeLogDirs5;
use protocol_tests::records::{PRODUCE_BY_NAME, only_produced, produce_request};
use protocol_tests::server::Server;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

#[test]
fn a_partition_can_only_be_reassigned_to_where_it_is() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("reassigned", 2, &[]);
    let node = client.topic_metadata(&topic.name).partitions[0].leader_id;
    let cases: [(i32, Option<Vec<i32>>, Option<ResponseError>); 6] = [
        (9, Some(vec![node.0]), Some(ResponseError::UnknownTopicOrPartition)),
        (0, None, Some(ResponseError::NoReassignmentInProgress)),
        (0, Some(vec![]), Some(ResponseError::InvalidReplicaAssignment)),
        (0, Some(vec![node.0, node.0]), Some(ResponseError::InvalidReplicaAssignment)),
        (0, Some(vec![node.0 + 1]), Some(ResponseError::InvalidReplicaAssignment)),
        (1, Some(vec![node.0]), None),
    ];
    for (index, replicas, expected) in cases {
        let shown = format!("{index} to {replicas:?}");
        let replicas = replicas.map(|replicas| replicas.into_iter().map(BrokerId).collect());
        let partition = ReassignablePartition::default().with_partition_index(index).with_replicas(replicas);
        let asked = ReassignableTopic::default().with_name(topic_name(&topic.name)).with_partitions(vec![partition]);
        let response = client.call(0, &AlterPartitionReassignmentsRequest::default().with_topics(vec![asked]));
        assert_eq!(response.responses[0].partitions[0].error_code.err(), expected, "{shown}");
    }
    // As many sentences as somebody reads.
    let partition = |index| ReassignablePartition::default().with_partition_index(index).with_replicas(None);
    let asked =
        ReassignableTopic::default().with_name(topic_name("no-such")).with_partitions((0..2_000).map(partition).collect());
    let response = client.call(0, &AlterPartitionReassignmentsRequest::default().with_topics(vec![asked]));
    let why: Vec<_> = response.responses[0].partitions.iter().filter_map(|one| one.error_message.as_deref()).collect();
    assert_eq!(why, ["Unable to find a topic named no-such."; 1_000]);
    let under_way = client.call(0, &ListPartitionReassignmentsRequest::default().with_topics(None));
    assert_eq!((under_way.error_code.err(), under_way.topics.len()), (None, 0));
}

#[test]
fn nobody_needs_an_election() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("elected", 1, &[]);
    let mut elect = |name: &str, index: i32| {
        let asked = TopicPartitions::default().with_topic(topic_name(name)).with_partitions(vec![index]);
        let response = client.call(2, &ElectLeadersRequest::default().with_topic_partitions(Some(vec![asked])));
        assert_eq!(response.error_code, 0);
        response.replica_election_results[0].partition_result[0].error_code.err()
    };
    assert_eq!(elect("no-such", 0), Some(ResponseError::UnknownTopicOrPartition));
    assert_eq!(elect(&topic.name, 1), Some(ResponseError::UnknownTopicOrPartition));
    assert_eq!(elect(&topic.name, 0), Some(ResponseError::ElectionNotNeeded));
    let all = client.call(2, &ElectLeadersRequest::default().with_topic_partitions(None));
    assert!(all.replica_election_results.is_empty());
    let asked = TopicPartitions::default().with_topic(topic_name(&topic.name)).with_partitions(vec![0]);
    let request = ElectLeadersRequest::default().with_topic_partitions(Some(vec![asked])).with_election_type(7);
    let odd = client.call(2, &request);
    let partition = &odd.replica_election_results[0].partition_result[0];
    let refused = Some(ResponseError::InvalidRequest);
    assert_eq!((odd.error_code.err(), partition.error_code.err()), (refused, refused));
    assert_eq!(partition.error_message.as_deref(), Some("Unknown election type 7"));
}

#[test]
fn settings_that_are_wrong_are_named_before_a_topic_that_is_not_there() {
    let server = Server::shared();
    let mut client = server.connect();
    let mut altered = |value: &str| {
        let config = AlterableConfig::default().with_name(text("retention.ms")).with_value(Some(text(value)));
        let resource = AlterConfigsResource::default().with_resource_type(TOPIC).with_resource_name(text("no-such"));
        let request = AlterConfigsRequest::default().with_resources(vec![resource.with_configs(vec![config])]);
        client.call(2, &request).responses[0].error_code.err()
    };
    assert_eq!(altered("x"), Some(ResponseError::InvalidConfig));
    assert_eq!(altered("1000"), Some(ResponseError::UnknownTopicOrPartition));
}

/// Requests of one connection that are under way at once take effect in their order.
#[test]
fn records_that_are_produced_behind_a_deletion_stay() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("trimmed-behind", 1, &[]);
    let partition = DeleteRecordsPartition::default().with_partition_index(0).with_offset(-1);
    let all = DeleteRecordsTopic::default().with_name(topic_name(&topic.name)).with_partitions(vec![partition]);
    let delete = DeleteRecordsRequest::default().with_topics(vec![all]).with_timeout_ms(30_000);
    for round in 0..50 {
        let produce = produce_request(&topic, 0, -1, Batch::of(&["a record"]).build());
        let first = client.send(PRODUCE_BY_NAME, &produce).expect("sent");
        let deletion = client.send(2, &delete).expect("sent");
        let second = client.send(PRODUCE_BY_NAME, &produce).expect("sent");
        for (correlation, offset) in [(first, 2 * round), (second, 2 * round + 1)] {
            if correlation == second {
                let deleted = client.receive::<DeleteRecordsRequest>(2, deletion).expect("answered");
                assert_eq!(deleted.topics[0].partitions[0].low_watermark, 2 * round + 1);
            }
            let produced = client.receive::<ProduceRequest>(PRODUCE_BY_NAME, correlation).expect("answered");
            assert_eq!(only_produced(produced).base_offset, offset);
        }
    }
}

#[test]
fn the_data_directory_is_described_with_the_bytes_of_each_partition() {
    let server = Server::start();
    let mut client = server.connect();
    let topic = client.create_topic("sized", 2, &[]);
    client.produced(&topic, 1, Batch::of_bytes(10_000).build());
    let asked = |name: &str, partitions: Vec<i32>| {
        let topic = DescribableLogDirTopic::default().with_topic(topic_name(name)).with_partitions(partitions);
        DescribeLogDirsRequest::default().with_topics(Some(vec![topic]))
    };
    assert!(client.call(4, &asked("no-such", vec![0])).results[0].topics.is_empty());
    let response = client.call(4, &asked(&topic.name, vec![0, 1, 1, 7]));
    let result = &response.results[0];
    assert_eq!(result.log_dir.as_str(), server.data().to_string_lossy());
    assert!(result.usable_bytes > 0 && result.total_bytes >= result.usable_bytes);
    let sizes: Vec<(i32, i64)> =
        result.topics[0].partitions.iter().map(|one| (one.partition_index, one.partition_size)).collect();
    assert!(matches!(sizes[..], [(0, 0), (1, 10_000..11_000)]), "{sizes:?}");
    let newest = client.call(5, &DescribeLogDirs5(asked(&topic.name, vec![0, 1])));
    assert_eq!(newest.is_cordoned, Some(false));
    assert_eq!(newest.response.results[0].topics, result.topics);
    let all = client.call(1, &DescribeLogDirsRequest::default().with_topics(None));
    assert!(all.results[0].topics.iter().any(|one| one.name.as_str() == topic.name));
}

#[test]
fn altering_all_settings_takes_back_what_is_not_named() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("replaced", 1, &[("retention.ms", "1000"), ("segment.ms", "2000")]);
    let mut alter = |name: &str, configs: &[(&str, &str)], validate_only: bool| {
        let configs =
            configs.iter().map(|(name, value)| AlterableConfig::default().with_name(text(name)).with_value(Some(text(value))));
        let resource = AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(name))
            .with_configs(configs.collect());
        let request = AlterConfigsRequest::default().with_resources(vec![resource]).with_validate_only(validate_only);
        client.call(2, &request).responses[0].error_code.err()
    };
    assert_eq!(alter("no-such", &[], false), Some(ResponseError::UnknownTopicOrPartition));
    assert_eq!(alter(&topic.name, &[("nonsense", "1")], false), Some(ResponseError::InvalidConfig));
    assert_eq!(alter(&topic.name, &[("segment.ms", "3000")], true), None);
    let overrides = |client: &mut protocol_tests::client::Client| super::configs::set(client, TOPIC, &topic.name);
    let mut other = server.connect();
    assert_eq!(
        overrides(&mut other),
        [("retention.ms".to_owned(), "1000".to_owned()), ("segment.ms".to_owned(), "2000".to_owned())]
    );
    assert_eq!(alter(&topic.name, &[("segment.ms", "3000")], false), None);
    assert_eq!(overrides(&mut other), [("segment.ms".to_owned(), "3000".to_owned())]);
    let nothing = AlterableConfig::default().with_name(text("segment.ms")).with_value(None);
    let resource = AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(&topic.name))
        .with_configs(vec![nothing]);
    let refused = client.call(2, &AlterConfigsRequest::default().with_resources(vec![resource])).responses.remove(0);
    assert_eq!(refused.error_code.err(), Some(ResponseError::InvalidRequest));
    assert_eq!(refused.error_message.as_deref(), Some("Null value not supported for : segment.ms"));
    assert_eq!(overrides(&mut other), [("segment.ms".to_owned(), "3000".to_owned())]);
}

#[test]
fn resources_with_settings_are_listed_by_kind() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("listed", 1, &[]);
    let mut list = |version: i16, kinds: &[i8]| {
        let response = client.call(version, &ListConfigResourcesRequest::default().with_resource_types(kinds.to_vec()));
        let resources = response.config_resources.iter().map(|one| (one.resource_type, one.resource_name.to_string()));
        (response.error_code.err(), resources.collect::<Vec<_>>())
    };
    assert_eq!(list(1, &[77]).0, Some(ResponseError::UnsupportedVersion));
    assert_eq!(list(0, &[]), (None, Vec::new()));
    assert!(list(1, &[TOPIC]).1.contains(&(TOPIC, topic.name.clone())));
    let all = list(1, &[]).1;
    assert!(all.contains(&(TOPIC, topic.name.clone())) && all.iter().any(|(kind, _)| *kind == BROKER));
}
