//! Goal: topics are created, grown, described and deleted as tools expect, and refused with the errors that they know.
//! Method: one request per rule; error paths first; afterwards Metadata shows what exists.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult};
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest, DescribeConfigsRequest,
};
use protocol_tests::batch::Batch;
use protocol_tests::client::Client;
use protocol_tests::frame::{text, topic_name};
use protocol_tests::records::values;
use protocol_tests::server::{Launch, Server};
use protocol_tests::topics::{new_topic, unique};
use uuid::Uuid;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
/// Where a config's value comes from (ConfigSource).
const FROM_TOPIC: i8 = 1;
const FROM_BROKER: i8 = 4;
const FROM_DEFAULT: i8 = 5;

fn create(client: &mut Client, topic: CreatableTopic) -> CreatableTopicResult {
    let mut response = client.call(7, &CreateTopicsRequest::default().with_topics(vec![topic]));
    assert_eq!(response.topics.len(), 1, "one topic was asked for");
    response.topics.remove(0)
}

fn refused(client: &mut Client, topic: CreatableTopic, wanted: ResponseError) {
    let (name, answer) = (topic.name.to_string(), create(client, topic));
    assert_eq!(answer.error_code.err(), Some(wanted), "creating {name:?}: {:?}", answer.error_message);
    assert!(answer.error_message.is_some(), "creating {name:?}: the reason in words");
}

#[test]
fn impossible_topics_are_refused() {
    let server = Server::shared();
    let mut client = server.connect();
    for name in ["", ".", "..", "a/b", "a b", "ü", &"x".repeat(250)] {
        refused(&mut client, new_topic(name, 1, &[]), ResponseError::InvalidTopicException);
    }
    for partitions in [0, -2, i32::MIN] {
        refused(&mut client, new_topic(&unique("bad"), partitions, &[]), ResponseError::InvalidPartitions);
    }
    for factor in [0, -2, 2, 3, i16::MAX] {
        let topic = new_topic(&unique("bad"), 1, &[]).with_replication_factor(factor);
        refused(&mut client, topic, ResponseError::InvalidReplicationFactor);
    }
    let configs = [
        ("no.such.config", "1"),
        ("retention.ms", "abc"),
        ("retention.ms", "-2"),
        ("cleanup.policy", "shred"),
        ("max.message.bytes", "-1"),
        ("message.timestamp.type", "Never"),
        ("compression.type", "rar"),
    ];
    for config in configs {
        refused(&mut client, new_topic(&unique("bad"), 1, &[config]), ResponseError::InvalidConfig);
    }
}

#[test]
fn more_partitions_than_a_request_may_make_are_refused() {
    let server = Server::shared();
    let mut client = server.connect();
    for partitions in [20_000_000, i32::MAX] {
        // Kafka takes at most 10,000 in one request (ReplicationControlManager.MAX_PARTITIONS_PER_BATCH).
        let answer = create(&mut client, new_topic(&unique("huge"), partitions, &[]));
        let refusals = [Some(ResponseError::PolicyViolation), Some(ResponseError::InvalidPartitions)];
        assert!(refusals.contains(&answer.error_code.err()), "{partitions}: {:?}", answer.error_code.err());
    }
    let topic = client.create_topic("grows", 1, &[]);
    let grown = grow(
        &mut client,
        CreatePartitionsTopic::default().with_name(topic_name(&topic.name)).with_count(i32::MAX).with_assignments(None),
    );
    let refusals = [Some(ResponseError::PolicyViolation), Some(ResponseError::InvalidPartitions)];
    assert!(refusals.contains(&grown), "{grown:?}");
}

#[test]
fn a_topic_that_exists_is_refused_and_stays() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("exists", 2, &[]);
    refused(&mut client, new_topic(&topic.name, 3, &[]), ResponseError::TopicAlreadyExists);
    let metadata = client.topic_metadata(&topic.name);
    assert_eq!((metadata.topic_id, metadata.partitions.len()), (topic.id, 2));
}

#[test]
fn a_name_that_metrics_cannot_tell_from_another_is_refused() {
    // '.' and '_' look the same in metric names (Topic.hasCollision).
    let server = Server::shared();
    let mut client = server.connect();
    let name = unique("collide");
    client.create_topic_named(&format!("{name}.a"), 1, &[]);
    refused(&mut client, new_topic(&format!("{name}_a"), 1, &[]), ResponseError::InvalidTopicException);
    // Who asks for its metadata is not told to give up.
    let metadata = client.metadata(&[&format!("{name}_a")], true);
    assert_eq!(metadata.topics[0].error_code.err(), Some(ResponseError::UnknownTopicOrPartition));
}

#[test]
fn the_same_topic_twice_in_a_request_is_refused() {
    let server = Server::shared();
    let mut client = server.connect();
    let name = unique("twice");
    let request = CreateTopicsRequest::default().with_topics(vec![new_topic(&name, 1, &[]), new_topic(&name, 2, &[])]);
    let response = client.call(7, &request);
    assert!(!response.topics.is_empty());
    for topic in &response.topics {
        assert_eq!(topic.error_code.err(), Some(ResponseError::InvalidRequest));
    }
    assert_eq!(client.topic_metadata(&name).error_code.err(), Some(ResponseError::UnknownTopicOrPartition));
}

#[test]
fn assignments_are_checked() {
    let server = Server::shared();
    let mut client = server.connect();
    let node = client.metadata(&[], false).brokers[0].node_id;
    let assigned = |partitions: &[(i32, BrokerId)]| {
        let assignments = partitions.iter().map(|(index, broker)| {
            CreatableReplicaAssignment::default().with_partition_index(*index).with_broker_ids(vec![*broker])
        });
        new_topic(&unique("assigned"), -1, &[]).with_assignments(assignments.collect())
    };
    refused(&mut client, assigned(&[(0, BrokerId(99))]), ResponseError::InvalidReplicaAssignment);
    refused(&mut client, assigned(&[(0, node), (0, node)]), ResponseError::InvalidReplicaAssignment);
    refused(&mut client, assigned(&[(0, node), (2, node)]), ResponseError::InvalidReplicaAssignment);
    refused(&mut client, assigned(&[(0, node)]).with_num_partitions(1), ResponseError::InvalidRequest);
    let answer = create(&mut client, assigned(&[(0, node), (1, node)]));
    assert_eq!((answer.error_code.err(), answer.num_partitions), (None, 2));
}

#[test]
fn validate_only_creates_nothing() {
    let server = Server::shared();
    let mut client = server.connect();
    let name = unique("validated");
    let request = CreateTopicsRequest::default().with_topics(vec![new_topic(&name, 3, &[])]).with_validate_only(true);
    let response = client.call(7, &request);
    assert_eq!(response.topics[0].error_code.err(), None);
    assert_eq!(client.topic_metadata(&name).error_code.err(), Some(ResponseError::UnknownTopicOrPartition));
}

#[test]
fn a_created_topic_is_echoed_and_visible_at_once() {
    let server = Server::shared();
    let mut client = server.connect();
    let configs = [("cleanup.policy", "compact,delete"), ("retention.ms", "-1"), ("max.message.bytes", "2000")];
    let name = unique("echoed");
    let answer = create(&mut client, new_topic(&name, 5, &configs));
    assert_eq!((answer.error_code.err(), answer.num_partitions, answer.replication_factor), (None, 5, 1));
    assert!(!answer.topic_id.is_nil());
    let echoed = answer.configs.expect("CreateTopics 5+ echoes the configs");
    for (key, value) in configs {
        let config = echoed.iter().find(|config| config.name.as_str() == key).unwrap_or_else(|| panic!("{key} is echoed"));
        assert_eq!((config.value.as_deref(), config.config_source), (Some(value), FROM_TOPIC), "{key}");
    }
    assert!(echoed.iter().any(|config| config.name.as_str() == "segment.bytes" && config.config_source == FROM_DEFAULT));
    // From another connection: created means visible.
    let metadata = server.connect().topic_metadata(&name);
    assert_eq!((metadata.error_code.err(), metadata.topic_id, metadata.partitions.len()), (None, answer.topic_id, 5));
    for partition in &metadata.partitions {
        assert_eq!(partition.error_code.err(), None);
        assert_eq!((&partition.replica_nodes, &partition.isr_nodes), (&vec![partition.leader_id], &vec![partition.leader_id]));
    }
}

#[test]
fn defaults_come_from_the_brokers_settings() {
    let server = Launch::new().set("num.partitions", "7").set("accept.any.replication.factor", "true").start();
    let mut client = server.connect();
    for version in 4..=7 {
        let name = unique("defaults");
        let response = client.call(version, &CreateTopicsRequest::default().with_topics(vec![new_topic(&name, -1, &[])]));
        assert_eq!(response.topics[0].error_code.err(), None, "version {version}");
        assert_eq!(client.topic_metadata(&name).partitions.len(), 7, "version {version}");
    }
    // Suites and tools ask for three replicas; with the setting they get one.
    let answer = create(&mut client, new_topic(&unique("three"), 1, &[]).with_replication_factor(3));
    assert_eq!(answer.error_code.err(), None);
}

#[test]
fn every_version_creates() {
    let server = Server::shared();
    let mut client = server.connect();
    for version in 2..=7 {
        let topic = new_topic(&unique("created"), 1, &[]).with_replication_factor(1);
        let response = client.call(version, &CreateTopicsRequest::default().with_topics(vec![topic]));
        assert_eq!(response.topics[0].error_code.err(), None, "version {version}");
    }
}

fn delete(client: &mut Client, states: Vec<DeleteTopicState>) -> Vec<Option<ResponseError>> {
    let response = client.call(6, &DeleteTopicsRequest::default().with_topics(states));
    response.responses.iter().map(|topic| topic.error_code.err()).collect()
}

fn by_name(name: &str) -> DeleteTopicState {
    DeleteTopicState::default().with_name(Some(topic_name(name))).with_topic_id(Uuid::nil())
}

fn by_id(id: Uuid) -> DeleteTopicState {
    DeleteTopicState::default().with_name(None).with_topic_id(id)
}

#[test]
fn what_does_not_exist_cannot_be_deleted() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("stays", 1, &[]);
    assert_eq!(delete(&mut client, vec![by_name(&unique("unknown"))]), [Some(ResponseError::UnknownTopicOrPartition)]);
    assert_eq!(delete(&mut client, vec![by_id(Uuid::from_u128(5))]), [Some(ResponseError::UnknownTopicId)]);
    assert_eq!(delete(&mut client, vec![by_id(Uuid::nil())]), [Some(ResponseError::InvalidRequest)], "neither name nor id");
    let both = by_name(&topic.name).with_topic_id(topic.id);
    assert_eq!(delete(&mut client, vec![both]), [Some(ResponseError::InvalidRequest)], "both name and id");
    for error in delete(&mut client, vec![by_name(&topic.name), by_name(&topic.name)]) {
        assert_eq!(error, Some(ResponseError::InvalidRequest), "the same topic twice");
    }
    assert_eq!(client.topic_metadata(&topic.name).error_code.err(), None);
}

#[test]
fn deletion_can_be_disabled() {
    let server = Launch::new().set("delete.topic.enable", "false").start();
    let mut client = server.connect();
    let topic = client.create_topic("kept", 1, &[]);
    assert_eq!(delete(&mut client, vec![by_name(&topic.name)]), [Some(ResponseError::TopicDeletionDisabled)]);
    assert_eq!(client.topic_metadata(&topic.name).error_code.err(), None);
}

#[test]
fn a_deleted_topic_is_gone_at_once_and_its_name_starts_anew() {
    let server = Server::shared();
    let mut client = server.connect();
    for version in 1..=6 {
        let topic = client.create_topic("deleted", 1, &[]);
        client.produced(&topic, 0, Batch::of(&["old"]).build());
        if version == 6 {
            assert_eq!(delete(&mut client, vec![by_id(topic.id)]), [None]);
        } else {
            let response = client.call(version, &DeleteTopicsRequest::default().with_topic_names(vec![topic_name(&topic.name)]));
            assert_eq!(response.responses[0].error_code.err(), None, "version {version}");
        }
        assert_eq!(client.topic_metadata(&topic.name).error_code.err(), Some(ResponseError::UnknownTopicOrPartition));
        let answer = client.produce(&topic, 0, Batch::of(&["lost"]).build());
        assert_eq!(answer.error_code.err(), Some(ResponseError::UnknownTopicOrPartition));
        let again = client.create_topic_named(&topic.name, 1, &[]);
        assert_ne!(again.id, topic.id);
        assert_eq!(client.produced(&again, 0, Batch::of(&["new"]).build()), 0);
        assert_eq!(values(&client.read_all(&again, 0)), ["new"]);
    }
}

fn grow(client: &mut Client, topic: CreatePartitionsTopic) -> Option<ResponseError> {
    let response = client.call(3, &CreatePartitionsRequest::default().with_topics(vec![topic]));
    assert_eq!(response.results.len(), 1);
    response.results[0].error_code.err()
}

#[test]
fn partitions_are_only_added() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("grown", 3, &[]);
    client.produced(&topic, 0, Batch::of(&["kept"]).build());
    let to =
        |name: &str, count| CreatePartitionsTopic::default().with_name(topic_name(name)).with_count(count).with_assignments(None);
    for count in [3, 2, 0, -1, i32::MIN] {
        assert_eq!(grow(&mut client, to(&topic.name, count)), Some(ResponseError::InvalidPartitions), "to {count} from 3");
    }
    assert_eq!(grow(&mut client, to(&unique("unknown"), 5)), Some(ResponseError::UnknownTopicOrPartition));
    let assigned = |brokers: &[i32]| {
        let assignments =
            brokers.iter().map(|broker| CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(*broker)]));
        to(&topic.name, 5).with_assignments(Some(assignments.collect()))
    };
    assert_eq!(grow(&mut client, assigned(&[99, 99])), Some(ResponseError::InvalidReplicaAssignment), "no such broker");
    let node = client.metadata(&[], false).brokers[0].node_id.0;
    assert_eq!(grow(&mut client, assigned(&[node])), Some(ResponseError::InvalidReplicaAssignment), "one assignment for two");
    let twice = CreatePartitionsRequest::default().with_topics(vec![to(&topic.name, 4), to(&topic.name, 5)]);
    for result in client.call(3, &twice).results {
        assert_eq!(result.error_code.err(), Some(ResponseError::InvalidRequest), "the same topic twice");
    }
    let validated = CreatePartitionsRequest::default().with_topics(vec![to(&topic.name, 4)]).with_validate_only(true);
    assert_eq!(client.call(3, &validated).results[0].error_code.err(), None);
    assert_eq!(client.topic_metadata(&topic.name).partitions.len(), 3, "nothing of this took effect");
    for (version, count) in [(0, 4), (1, 5), (2, 6), (3, 7)] {
        let response = client.call(version, &CreatePartitionsRequest::default().with_topics(vec![to(&topic.name, count)]));
        assert_eq!(response.results[0].error_code.err(), None, "version {version}");
        assert_eq!(client.produced(&topic, count - 1, Batch::of(&["new"]).build()), 0, "usable at once");
    }
    assert_eq!(values(&client.read_all(&topic, 0)), ["kept"]);
}

fn describe(client: &mut Client, kind: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsResult {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(keys.map(|keys| keys.iter().map(|key| text(key)).collect()));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]).with_include_synonyms(true);
    let mut response = client.call(4, &request.with_include_documentation(true));
    assert_eq!(response.results.len(), 1);
    response.results.remove(0)
}

fn config<'a>(result: &'a DescribeConfigsResult, name: &str) -> &'a DescribeConfigsResourceResult {
    result.configs.iter().find(|config| config.name.as_str() == name).unwrap_or_else(|| panic!("{name} is described"))
}

fn value(config: &DescribeConfigsResourceResult) -> Option<&str> {
    config.value.as_deref()
}

#[test]
fn configs_of_what_does_not_exist_are_refused() {
    let server = Server::shared();
    let mut client = server.connect();
    let unknown = describe(&mut client, TOPIC, &unique("unknown"), None);
    assert_eq!(unknown.error_code.err(), Some(ResponseError::UnknownTopicOrPartition));
    assert!(unknown.configs.is_empty());
    assert_eq!(describe(&mut client, BROKER, "99", None).error_code.err(), Some(ResponseError::InvalidRequest), "another broker");
    assert_eq!(describe(&mut client, BROKER, "me", None).error_code.err(), Some(ResponseError::InvalidRequest), "no broker id");
    assert_eq!(describe(&mut client, 77, "x", None).error_code.err(), Some(ResponseError::InvalidRequest), "no such kind");
}

#[test]
fn topic_configs_are_described_with_default_source_type_and_synonyms() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("described", 1, &[("retention.ms", "1000")]);
    let all = describe(&mut client, TOPIC, &topic.name, None);
    assert_eq!(all.error_code.err(), None);
    // What schema registries, Connect and admin tools look at (a missing cleanup.policy kills Schema Registry).
    for name in
        ["cleanup.policy", "compression.type", "max.message.bytes", "min.insync.replicas", "retention.bytes", "segment.bytes"]
    {
        let config = config(&all, name);
        assert!(value(config).is_some(), "{name} has a value");
        assert!(!config.is_sensitive, "{name}");
        assert_ne!(config.config_type, 0, "{name} has a type");
        assert!(config.documentation.is_some(), "{name} is documented");
    }
    let policy = config(&all, "cleanup.policy");
    assert_eq!((value(policy), policy.config_source), (Some("delete"), FROM_DEFAULT));
    let retention = config(&all, "retention.ms");
    assert_eq!((value(retention), retention.config_source), (Some("1000"), FROM_TOPIC));
    let sources: Vec<(&str, i8)> = retention.synonyms.iter().map(|synonym| (synonym.name.as_str(), synonym.source)).collect();
    // Kafka lists no property with another unit behind it.
    assert_eq!(sources, [("retention.ms", FROM_TOPIC)]);
    let segment = config(&all, "segment.bytes");
    let sources: Vec<(&str, i8)> = segment.synonyms.iter().map(|synonym| (synonym.name.as_str(), synonym.source)).collect();
    assert_eq!(sources, [("log.segment.bytes", FROM_DEFAULT)]);
    let one = describe(&mut client, TOPIC, &topic.name, Some(&["retention.ms", "no.such.config"]));
    let names: Vec<&str> = one.configs.iter().map(|config| config.name.as_str()).collect();
    assert_eq!(names, ["retention.ms"]);
}

#[test]
fn every_version_describes_configs() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("described", 1, &[]);
    for version in 1..=4 {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(&topic.name))
            .with_configuration_keys(None);
        let response = client.call(version, &DescribeConfigsRequest::default().with_resources(vec![resource]));
        assert_eq!(response.results[0].error_code.err(), None, "version {version}");
        assert!(response.results[0].configs.len() > 20, "version {version}: every topic config");
        assert!(response.results[0].configs.iter().all(|config| config.synonyms.is_empty()), "nobody asked for synonyms");
    }
}

#[test]
fn settings_of_the_broker_show_through_in_its_topics() {
    let server = Launch::new().set("log.retention.ms", "1234567").set("num.partitions", "3").start();
    let mut client = server.connect();
    let topic = client.create_topic("inherits", 1, &[]);
    let inherited = describe(&mut client, TOPIC, &topic.name, Some(&["retention.ms"]));
    let retention = config(&inherited, "retention.ms");
    assert_eq!((value(retention), retention.config_source), (Some("1234567"), FROM_BROKER));
    let node = client.metadata(&[], false).brokers[0].node_id.to_string();
    let broker = describe(&mut client, BROKER, &node, None);
    assert_eq!(broker.error_code.err(), None);
    let partitions = config(&broker, "num.partitions");
    assert_eq!((value(partitions), partitions.config_source, partitions.read_only), (Some("3"), FROM_BROKER, true));
    assert_eq!(config(&broker, "auto.create.topics.enable").config_source, FROM_DEFAULT);
    assert!(broker.configs.len() > 100, "every broker setting: {}", broker.configs.len());
}

#[test]
fn records_are_deleted_up_to_the_high_watermark_and_no_further() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("deleted", 1, &[]);
    let compacted = client.create_topic("compacted", 1, &[("cleanup.policy", "compact")]);
    client.produced(&topic, 0, Batch::of(&["a"]).build());
    client.produced(&topic, 0, Batch::of(&["b"]).build());
    let kept = client.create_topic("kept", 1, &[("cleanup.policy", "")]);
    client.produced(&kept, 0, Batch::of(&["a"]).build());
    let mut delete = |name: &str, index: i32, offset: i64| {
        let partition = DeleteRecordsPartition::default().with_partition_index(index).with_offset(offset);
        let topic = DeleteRecordsTopic::default().with_name(topic_name(name)).with_partitions(vec![partition]);
        let answer =
            client.call(2, &DeleteRecordsRequest::default().with_topics(vec![topic])).topics.remove(0).partitions.remove(0);
        (answer.error_code.err(), answer.low_watermark)
    };
    assert_eq!(delete("nowhere", 0, 0), (Some(ResponseError::UnknownTopicOrPartition), -1));
    assert_eq!(delete(&topic.name, 1, 0), (Some(ResponseError::UnknownTopicOrPartition), -1));
    assert_eq!(delete(&topic.name, 0, 3), (Some(ResponseError::OffsetOutOfRange), -1));
    assert_eq!(delete(&topic.name, 0, -2), (Some(ResponseError::OffsetOutOfRange), -1));
    assert_eq!(delete(&compacted.name, 0, 0), (Some(ResponseError::PolicyViolation), -1));
    assert_eq!(delete(&topic.name, 0, 1), (None, 1));
    assert_eq!(delete(&topic.name, 0, 0), (None, 1), "never back");
    assert_eq!(delete(&topic.name, 0, -1), (None, 2));
    assert_eq!(delete(&kept.name, 0, -1), (None, 1), "nothing else shortens it");
}
