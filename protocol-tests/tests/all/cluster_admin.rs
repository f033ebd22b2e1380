//! Goal: what concerns the cluster as a whole (directories, features, the metadata quorum, brokers, clients' metrics) gets true
//! answers where one node has one, and the protocol's own refusals where it has none.
//! Method: the keys that Kafka's tools and clients use for it; error paths first.

use bytes::Bytes;
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::alter_configs_request::AlterConfigsResource as WholeConfigs;
use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use kafka_protocol::messages::alter_user_scram_credentials_request::{ScramCredentialDeletion, ScramCredentialUpsertion};
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::describe_quorum_response::DescribeQuorumResponse;
use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterPartitionReassignmentsRequest, AlterReplicaLogDirsRequest, AlterUserScramCredentialsRequest,
    BrokerId, CreateAclsRequest, CreateTopicsRequest, DeleteAclsRequest, DescribeAclsRequest, DescribeQuorumRequest,
    DescribeUserScramCredentialsRequest, FindCoordinatorRequest, GetTelemetrySubscriptionsRequest,
    GetTelemetrySubscriptionsResponse, IncrementalAlterConfigsRequest, ListPartitionReassignmentsRequest, PushTelemetryRequest,
    UnregisterBrokerRequest, UpdateFeaturesRequest,
};
use protocol_tests::client::Client;
use protocol_tests::frame::{text, topic_name};
use protocol_tests::server::{Launch, Server};
use protocol_tests::topics::new_topic;
use uuid::Uuid;

/// FeatureUpdate.UpgradeType.
const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;

#[test]
fn partitions_can_only_be_moved_to_the_directory_where_they_are() {
    let server = Server::shared();
    let mut client = server.connect();
    let topic = client.create_topic("moved", 1, &[]);
    let own = server.data().to_string_lossy().into_owned();
    let mut moved = |path: &str, name: &str, partitions: Vec<i32>| {
        let asked = AlterReplicaLogDirTopic::default().with_name(topic_name(name)).with_partitions(partitions);
        let directory = AlterReplicaLogDir::default().with_path(text(path)).with_topics(vec![asked]);
        let response = client.call(2, &AlterReplicaLogDirsRequest::default().with_dirs(vec![directory]));
        let partitions = &response.results[0].partitions;
        partitions.iter().map(|one| (one.partition_index, one.error_code.err())).collect::<Vec<_>>()
    };
    assert_eq!(moved("/nowhere", &topic.name, vec![0]), [(0, Some(ResponseError::LogDirNotFound))]);
    assert_eq!(moved("/nowhere", "no-such", vec![0]), [(0, Some(ResponseError::LogDirNotFound))]);
    assert_eq!(moved(&own, "no-such", vec![0]), [(0, Some(ResponseError::UnknownTopicOrPartition))]);
    assert_eq!(moved(&own, &topic.name, vec![0, 1]), [(0, None), (1, Some(ResponseError::UnknownTopicOrPartition))]);
}

#[test]
fn levels_of_features_stay_as_the_settings_give_them() {
    let server = Launch::new().ephemeral().set("feature.transaction.version", "1").start();
    let mut client = server.connect();
    let mut update = |updates: &[(&str, i16, i8)], validate_only: bool| {
        let updates = updates.iter().map(|(feature, level, kind)| {
            FeatureUpdateKey::default().with_feature(text(feature)).with_max_version_level(*level).with_upgrade_type(*kind)
        });
        let request = UpdateFeaturesRequest::default().with_feature_updates(updates.collect()).with_validate_only(validate_only);
        let response = client.call(2, &request);
        (response.error_code.err(), response.error_message.map(|why| why.to_string()).unwrap_or_default())
    };
    let stays = ("group.version", 1, UPGRADE);
    for (update_of, expected) in [
        (("no-such.version", 1, UPGRADE), "does not support this feature."),
        (("kraft.version", 1, UPGRADE), "does not support this feature."),
        (("metadata.version", 29, SAFE_DOWNGRADE), "It is 30 in this version of the server."),
        (("group.version", -1, SAFE_DOWNGRADE), "A feature version cannot be less than 0."),
        (("group.version", 2, UPGRADE), "only supports versions 0-1"),
        (("group.version", 0, UPGRADE), "Can't downgrade the version of this feature without"),
        (("group.version", 0, 0), "The controller does not support the given upgrade type."),
        (("transaction.version", 2, SAFE_DOWNGRADE), "Can't downgrade to a newer version."),
        (("group.version", 0, SAFE_DOWNGRADE), "set feature.group.version to 0"),
        (("transaction.version", 2, UPGRADE), "set feature.transaction.version to 2"),
    ] {
        for validate_only in [true, false] {
            let (error, why) = update(&[stays, update_of], validate_only);
            assert_eq!(error, Some(ResponseError::InvalidUpdateVersion), "{update_of:?}");
            assert!(why.starts_with("The update failed for all features since") && why.contains(expected), "{why}");
        }
    }
    assert_eq!(update(&[stays, ("transaction.version", 1, SAFE_DOWNGRADE)], false), (None, String::new()));
    assert_eq!(update(&[], false), (None, String::new()));

    let old = FeatureUpdateKey::default().with_feature(text("group.version")).with_max_version_level(1);
    let answer = server.connect().call(0, &UpdateFeaturesRequest::default().with_feature_updates(vec![old]));
    assert_eq!((answer.error_code.err(), answer.results.len()), (None, 1));
    assert_eq!((answer.results[0].feature.as_str(), answer.results[0].error_code.err()), ("group.version", None));
}

/// The answer about these partitions.
fn quorum(client: &mut Client, version: i16, asked: &[(&str, &[i32])]) -> DescribeQuorumResponse {
    let topics = asked.iter().map(|(topic, partitions)| {
        let partitions = partitions.iter().map(|index| PartitionData::default().with_partition_index(*index));
        TopicData::default().with_topic_name(topic_name(topic)).with_partitions(partitions.collect())
    });
    client.call(version, &DescribeQuorumRequest::default().with_topics(topics.collect()))
}

#[test]
fn the_quorum_is_this_node_and_has_one_partition() {
    const METADATA: &str = "__cluster_metadata";
    let server = Server::shared();
    let mut client = server.connect();
    let unknown: [&[(&str, &[i32])]; 4] =
        [&[("no-such", &[0])], &[(METADATA, &[1])], &[(METADATA, &[0, 0])], &[(METADATA, &[0]), ("no-such", &[0])]];
    for asked in unknown {
        let response = quorum(&mut client, 2, asked);
        assert_eq!((response.error_code.err(), response.topics.len()), (None, asked.len()));
        for partition in response.topics.iter().flat_map(|topic| &topic.partitions) {
            assert_eq!(partition.error_code.err(), Some(ResponseError::UnknownTopicOrPartition), "{asked:?}");
        }
    }
    assert!(quorum(&mut client, 2, &[]).topics.is_empty());

    for version in 0..=2 {
        let response = quorum(&mut client, version, &[(METADATA, &[0])]);
        let partition = &response.topics[0].partitions[0];
        assert_eq!((response.error_code.err(), partition.error_code.err()), (None, None));
        assert!(partition.leader_epoch > 0 && partition.high_watermark > 0);
        assert!(partition.observers.is_empty());
        let [voter] = &partition.current_voters[..] else { panic!("{partition:?}") };
        assert_eq!((voter.replica_id, voter.log_end_offset), (partition.leader_id, partition.high_watermark));
        assert_eq!(voter.last_caught_up_timestamp > 0, version > 0, "version {version}");
        let nodes: Vec<_> = response.nodes.iter().map(|node| (node.node_id, node.listeners[0].port)).collect();
        let expected = [(partition.leader_id, server.address().port())];
        assert_eq!(nodes, if version == 2 { &expected[..] } else { &[] });
    }

    let before = quorum(&mut client, 2, &[(METADATA, &[0])]).topics[0].partitions[0].high_watermark;
    client.create_topic("counted", 1, &[]);
    assert!(quorum(&mut client, 2, &[(METADATA, &[0])]).topics[0].partitions[0].high_watermark > before);
}

#[test]
fn the_only_broker_cannot_be_unregistered() {
    let server = Server::shared();
    let mut client = server.connect();
    let node = client.metadata(&[], false).controller_id;
    let mut unregistered = |id: BrokerId| {
        let response = client.call(0, &UnregisterBrokerRequest::default().with_broker_id(id));
        (response.error_code.err(), response.error_message.map(|why| why.to_string()).unwrap_or_default())
    };
    let other = BrokerId(node.0 + 1);
    let expected = format!("Broker ID {} is not currently registered", other.0);
    assert_eq!(unregistered(other), (Some(ResponseError::BrokerIdNotRegistered), expected));
    assert_eq!(unregistered(node).0, Some(ResponseError::InvalidRequest));
}

/// What the client of a new connection is told to send, and the connection.
fn subscribed(server: &Server) -> (GetTelemetrySubscriptionsResponse, Client) {
    let mut client = server.connect();
    let told = client.call(0, &GetTelemetrySubscriptionsRequest::default());
    assert_eq!(told.error_code.err(), None);
    (told, client)
}

#[test]
fn metrics_that_nobody_asked_for_are_refused_or_dropped() {
    let server = Server::shared();
    let (told, mut client) = subscribed(&server);
    assert!(!told.client_instance_id.is_nil());
    assert_eq!((told.push_interval_ms, told.telemetry_max_bytes), (300_000, 1 << 20));
    assert_eq!(told.accepted_compression_types, [4, 3, 1, 2]);
    assert!(told.requested_metrics.is_empty());
    let ask = |client: &mut Client, told: &GetTelemetrySubscriptionsResponse| {
        let request = GetTelemetrySubscriptionsRequest::default().with_client_instance_id(told.client_instance_id);
        client.call(0, &request).error_code.err()
    };
    let push = |told: &GetTelemetrySubscriptionsResponse| {
        let request = PushTelemetryRequest::default().with_client_instance_id(told.client_instance_id);
        request.with_subscription_id(told.subscription_id).with_metrics(Bytes::from_static(b"metrics"))
    };
    let send = |client: &mut Client, request: &PushTelemetryRequest| client.call(0, request).error_code.err();

    for reserved in [Uuid::nil(), Uuid::from_u128(1)] {
        let refused = send(&mut server.connect(), &push(&told).with_client_instance_id(reserved));
        assert_eq!(refused, Some(ResponseError::InvalidRequest));
    }
    assert_eq!(ask(&mut client, &told), Some(ResponseError::ThrottlingQuotaExceeded));
    let wrong = push(&told).with_subscription_id(told.subscription_id ^ 1);
    assert_eq!(send(&mut client, &wrong), Some(ResponseError::UnknownSubscriptionId));
    assert_eq!(ask(&mut client, &told), None, "it has to learn what it is to send");
    let (told, mut client) = subscribed(&server);
    let compressed = push(&told).with_compression_type(9);
    assert_eq!(send(&mut client, &compressed), Some(ResponseError::UnsupportedCompressionType));
    let (told, mut client) = subscribed(&server);
    let large = push(&told).with_metrics(Bytes::from(vec![0; (1 << 20) + 1]));
    assert_eq!(send(&mut client, &large), Some(ResponseError::TelemetryTooLarge));

    let (told, mut client) = subscribed(&server);
    assert_eq!(send(&mut client, &push(&told)), None);
    assert_eq!(send(&mut client, &push(&told)), Some(ResponseError::ThrottlingQuotaExceeded));
    assert_eq!(send(&mut client, &push(&told).with_terminating(true)), None);
    assert_eq!(send(&mut client, &push(&told)), Some(ResponseError::InvalidRequest));
}

#[test]
fn nobody_has_scram_credentials() {
    let server = Server::shared();
    let mut client = server.connect();
    let mut ask = |users: &[&str]| {
        let users = users.iter().map(|user| UserName::default().with_name(text(user))).collect();
        let response = client.call(0, &DescribeUserScramCredentialsRequest::default().with_users(Some(users)));
        assert_eq!(response.error_code.err(), None);
        response.results.into_iter().map(|one| (one.user.to_string(), one.error_code.err())).collect::<Vec<_>>()
    };
    let twice = ("alice".to_owned(), Some(ResponseError::DuplicateResource));
    assert_eq!(ask(&["alice", "bob", "alice"]), [twice, ("bob".to_owned(), Some(ResponseError::ResourceNotFound))]);
    assert_eq!(ask(&[]), []);
    // Looking for each among all that came twice would take minutes.
    let many: Vec<String> = (0..300_000).map(|number| number.to_string()).collect();
    let named: Vec<&str> = many.iter().chain(&many).map(String::as_str).collect();
    let answered = ask(&named);
    assert_eq!(answered.len(), many.len());
    assert!(answered.iter().all(|(_, error)| *error == Some(ResponseError::DuplicateResource)));
}

/// An answer without a result would be a success to some clients (Sarama, kafka-go).
#[test]
fn nobody_is_given_scram_credentials() {
    let server = Server::shared();
    let mut client = server.connect();
    let deletions = ["alice", "bob"].map(|user| ScramCredentialDeletion::default().with_name(text(user)));
    let upsertions = ["carol", "alice"].map(|user| ScramCredentialUpsertion::default().with_name(text(user)));
    let request = AlterUserScramCredentialsRequest::default().with_deletions(deletions.to_vec());
    let response = client.call(0, &request.with_upsertions(upsertions.to_vec()));
    let results: Vec<_> = response.results.iter().map(|one| (one.user.as_str(), one.error_code.err())).collect();
    let refused = Some(ResponseError::UnsupportedVersion);
    assert_eq!(results, [("alice", refused), ("bob", refused), ("carol", refused)]);
    let why = response.results[0].error_message.as_deref();
    assert!(why.is_some_and(|why| why.contains("no SCRAM")), "{why:?}");
}

/// As Apache Kafka 4.3 does without an authorizer.
#[test]
fn nothing_is_known_of_acls() {
    let server = Server::shared();
    let mut client = server.connect();
    let disabled = Some(ResponseError::SecurityDisabled);
    for version in 1..=3 {
        let described = client.call(version, &DescribeAclsRequest::default());
        assert_eq!(described.error_code.err(), disabled, "version {version}");
        assert_eq!(described.error_message.as_deref(), Some("No Authorizer is configured on the broker"));

        let refused = (disabled, Some("No Authorizer is configured."));
        let request = CreateAclsRequest::default().with_creations(vec![AclCreation::default(); 2]);
        let created = client.call(version, &request).results;
        let results: Vec<_> = created.iter().map(|one| (one.error_code.err(), one.error_message.as_deref())).collect();
        assert_eq!(results, [refused, refused], "version {version}");

        let request = DeleteAclsRequest::default().with_filters(vec![DeleteAclsFilter::default(); 2]);
        let deleted = client.call(version, &request).filter_results;
        let results: Vec<_> = deleted.iter().map(|one| (one.error_code.err(), one.error_message.as_deref())).collect();
        assert_eq!(results, [refused, refused], "version {version}");
    }
}

/// As Apache Kafka 4.3 has it, field by field: clients tell failure from success by it (aiokafka, KafkaJS).
#[test]
fn what_succeeds_says_nothing_of_errors() {
    let server = Launch::new().ephemeral().start();
    let mut client = server.connect();
    let created = client.call(7, &CreateTopicsRequest::default().with_topics(vec![new_topic("orders", 1, &[])]));
    assert_eq!((created.topics[0].error_code, created.topics[0].error_message.as_deref()), (0, None));

    let retention = AlterableConfig::default().with_name(text("retention.ms")).with_value(Some(text("60000")));
    let topic =
        AlterConfigsResource::default().with_resource_type(2).with_resource_name(text("orders")).with_configs(vec![retention]);
    let altered = client.call(1, &IncrementalAlterConfigsRequest::default().with_resources(vec![topic]));
    assert_eq!((altered.responses[0].error_code, altered.responses[0].error_message.as_deref()), (0, None));
    let topic = WholeConfigs::default().with_resource_type(2).with_resource_name(text("orders"));
    let altered = client.call(2, &AlterConfigsRequest::default().with_resources(vec![topic]));
    assert_eq!((altered.responses[0].error_code, altered.responses[0].error_message.as_deref()), (0, None));

    let partition = ReassignablePartition::default().with_partition_index(0).with_replicas(Some(vec![BrokerId(1)]));
    let topic = ReassignableTopic::default().with_name(topic_name("orders")).with_partitions(vec![partition]);
    let moved = client.call(0, &AlterPartitionReassignmentsRequest::default().with_topics(vec![topic]));
    assert_eq!((moved.error_code, moved.error_message.as_deref()), (0, None));
    assert_eq!(
        (moved.responses[0].partitions[0].error_code, moved.responses[0].partitions[0].error_message.as_deref()),
        (0, None)
    );
    let under_way = client.call(0, &ListPartitionReassignmentsRequest::default());
    assert_eq!((under_way.error_code, under_way.error_message.as_deref()), (0, None));

    // Here there is a word of old.
    let found = client.call(3, &FindCoordinatorRequest::default().with_key(text("group")));
    assert_eq!((found.error_code, found.error_message.as_deref()), (0, Some("NONE")));
    let found = client.call(4, &FindCoordinatorRequest::default().with_coordinator_keys(vec![text("group")]));
    assert_eq!((found.coordinators[0].error_code, found.coordinators[0].error_message.as_deref()), (0, Some("")));
}
