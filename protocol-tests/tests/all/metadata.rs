//! Goal: clients find brokers, topics and coordinators, and topics appear by themselves only where that is allowed.
//! Method: Metadata, DescribeCluster, DescribeTopicPartitions and FindCoordinator, error paths first.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{DescribeClusterRequest, DescribeTopicPartitionsRequest, FindCoordinatorRequest, MetadataRequest};
use protocol_tests::batch::Batch;
use protocol_tests::frame::{text, topic_name};
use protocol_tests::server::{Launch, Server};
use protocol_tests::topics::{Topic, unique};
use uuid::Uuid;

#[test]
fn unknown_topics_are_told_and_not_created_without_leave() {
    let server = Server::shared();
    let mut client = server.connect();
    let name = unique("unknown");
    for _ in 0..2 {
        assert_eq!(client.topic_metadata(&name).error_code.err(), Some(ResponseError::UnknownTopicOrPartition));
    }
    let nobody = MetadataRequestTopic::default().with_name(None).with_topic_id(Uuid::from_u128(9));
    let response = client.call(12, &MetadataRequest::default().with_topics(Some(vec![nobody])));
    assert_eq!(response.topics[0].error_code.err(), Some(ResponseError::UnknownTopicId));
    for name in ["a/b", "..", &"x".repeat(250)] {
        let topic = client.metadata(&[name], true).topics.remove(0);
        assert_eq!(topic.error_code.err(), Some(ResponseError::InvalidTopicException), "{name}");
    }
}

#[test]
fn topics_are_not_created_where_that_is_off() {
    let server = Launch::new().set("auto.create.topics.enable", "false").start();
    let mut client = server.connect();
    let name = unique("off");
    for name in [&name, &name, "__consumer_offsets"] {
        let topic = client.metadata(&[name], true).topics.remove(0);
        assert_eq!(topic.error_code.err(), Some(ResponseError::UnknownTopicOrPartition));
    }
}

#[test]
fn topics_create_themselves_with_the_default_partitions() {
    let server = Launch::new().set("num.partitions", "4").start();
    let mut client = server.connect();
    let name = unique("auto");
    // Kafka says UNKNOWN_TOPIC_OR_PARTITION to the request that creates it; clients ask again.
    let first = client.metadata(&[name.as_str()], true).topics.remove(0);
    assert_eq!((first.error_code.err(), first.partitions.len()), (Some(ResponseError::UnknownTopicOrPartition), 0));
    let topic = client.metadata(&[name.as_str()], true).topics.remove(0);
    assert_eq!((topic.error_code.err(), topic.partitions.len()), (None, 4));
    let topic = Topic { name, id: topic.topic_id };
    assert_eq!(client.produced(&topic, 3, Batch::of(&["a"]).build()), 0);
    // Versions below 4 have no field for it: they always mean "create".
    let old = unique("auto");
    let wanted = MetadataRequestTopic::default().with_name(Some(topic_name(&old)));
    let response = client.call(1, &MetadataRequest::default().with_topics(Some(vec![wanted])));
    assert_eq!(response.topics[0].error_code.err(), Some(ResponseError::UnknownTopicOrPartition));
    assert_eq!(client.topic_metadata(&old).error_code.err(), None);
}

#[test]
fn the_address_that_clients_are_sent_to_is_the_one_they_reached() {
    let server = Server::shared();
    let mut client = server.connect();
    for version in 0..=13 {
        let response = client.call(version, &MetadataRequest::default().with_topics(Some(Vec::new())));
        assert_eq!(response.brokers.len(), 1, "version {version}");
        let broker = &response.brokers[0];
        assert_eq!(broker.host.as_str(), "127.0.0.1", "version {version}");
        assert_eq!(broker.port, i32::from(server.address().port()), "version {version}");
        if version >= 1 {
            assert_eq!(response.controller_id, broker.node_id, "version {version}");
        }
        if version >= 2 {
            assert!(response.cluster_id.is_some_and(|id| !id.is_empty()), "version {version}");
        }
    }
}

#[test]
fn all_topics_none_and_some_are_three_questions() {
    let server = Server::start();
    let mut client = server.connect();
    let (one, two) = (client.create_topic("one", 1, &[]), client.create_topic("two", 2, &[]));
    for version in 0..=13 {
        // Version 0 has no null: an empty list means all.
        let all = if version == 0 { Some(Vec::new()) } else { None };
        let response = client.call(version, &MetadataRequest::default().with_topics(all));
        let mut names: Vec<String> = response
            .topics
            .iter()
            .filter(|topic| !topic.is_internal)
            .filter_map(|topic| topic.name.as_ref())
            .map(|name| name.to_string())
            .collect();
        names.retain(|name| !name.starts_with("__"));
        names.sort();
        assert_eq!(names, [one.name.clone(), two.name.clone()], "version {version}");
        if version > 0 {
            let none = client.call(version, &MetadataRequest::default().with_topics(Some(Vec::new())));
            assert!(none.topics.is_empty(), "version {version}");
        }
        let asked = MetadataRequestTopic::default().with_name(Some(topic_name(&two.name)));
        let some = client.call(version, &MetadataRequest::default().with_topics(Some(vec![asked])));
        assert_eq!(some.topics[0].partitions.len(), 2, "version {version}");
        if version >= 10 {
            assert_eq!(some.topics[0].topic_id, two.id, "version {version}");
        }
        if version >= 12 {
            let asked = MetadataRequestTopic::default().with_name(None).with_topic_id(two.id);
            let by_id = client.call(version, &MetadataRequest::default().with_topics(Some(vec![asked])));
            assert_eq!(by_id.topics[0].name.as_ref().map(|name| name.to_string()), Some(two.name.clone()), "version {version}");
        }
    }
}

#[test]
fn the_cluster_describes_itself() {
    let server = Server::shared();
    let mut client = server.connect();
    // Controllers are asked elsewhere (KIP-919).
    let wrong = client.call(1, &DescribeClusterRequest::default().with_endpoint_type(2)).error_code.err();
    let refusals = [Some(ResponseError::MismatchedEndpointType), Some(ResponseError::UnsupportedEndpointType)];
    assert!(refusals.contains(&wrong), "{wrong:?}");
    let metadata = client.metadata(&[], false);
    for version in 0..=2 {
        let response = client.call(version, &DescribeClusterRequest::default());
        assert_eq!(response.error_code.err(), None, "version {version}");
        assert_eq!(Some(&response.cluster_id), metadata.cluster_id.as_ref());
        assert_eq!(response.controller_id, metadata.controller_id);
        assert_eq!((response.brokers.len(), response.brokers[0].port), (1, metadata.brokers[0].port));
    }
}

#[test]
fn partitions_are_described_in_pages() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("paged", 5, &[]);
    let unknown = unique("unknown");
    let asked = |names: &[&str]| names.iter().map(|name| TopicRequest::default().with_name(topic_name(name))).collect::<Vec<_>>();
    let response = client.call(0, &DescribeTopicPartitionsRequest::default().with_topics(asked(&[unknown.as_str()])));
    assert_eq!(response.topics[0].error_code.err(), Some(ResponseError::UnknownTopicOrPartition));
    let request = DescribeTopicPartitionsRequest::default().with_topics(asked(&[topic.name.as_str()]));
    let whole = client.call(0, &request);
    assert_eq!((whole.topics[0].partitions.len(), whole.topics[0].topic_id), (5, topic.id));
    assert!(whole.next_cursor.is_none());
    let mut found = Vec::new();
    let mut request = request.with_response_partition_limit(2);
    for _ in 0..5 {
        let page = client.call(0, &request);
        let partitions = &page.topics[0].partitions;
        assert!(partitions.len() <= 2, "{} partitions where 2 are the limit", partitions.len());
        found.extend(partitions.iter().map(|partition| partition.partition_index));
        let Some(next) = page.next_cursor else { break };
        request.cursor = Some(Cursor::default().with_topic_name(next.topic_name).with_partition_index(next.partition_index));
    }
    assert_eq!(found, [0, 1, 2, 3, 4]);
}

#[test]
fn coordinators_are_found_one_by_one_and_in_numbers() {
    let server = Server::shared();
    let mut client = server.connect();
    let port = i32::from(server.address().port());
    let wrong = client.call(3, &FindCoordinatorRequest::default().with_key(text("g")).with_key_type(9));
    assert_eq!(wrong.error_code.err(), Some(ResponseError::InvalidRequest), "no such kind of coordinator");
    for version in 0..=3 {
        let response = client.call(version, &FindCoordinatorRequest::default().with_key(text("group")));
        assert_eq!((response.error_code.err(), response.port), (None, port), "version {version}");
    }
    for version in 4..=6 {
        let keys = vec![text("one"), text("two"), text("one")];
        let response = client.call(version, &FindCoordinatorRequest::default().with_coordinator_keys(keys));
        assert!(response.coordinators.len() >= 2, "version {version}");
        for coordinator in &response.coordinators {
            assert_eq!((coordinator.error_code.err(), coordinator.port), (None, port), "version {version}");
            assert_eq!(coordinator.host.as_str(), "127.0.0.1");
        }
    }
}
