//! Goal: what concerns the cluster as a whole (directories, features, the metadata quorum, brokers, clients' metrics) gets true
//! answers where one node has one, and the protocol's own refusals where it has none.
//! Method: the keys that Kafka's tools and clients use for it; error paths first.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::{AlterReplicaLogDirsRequest, UpdateFeaturesRequest};
use protocol_tests::frame::{text, topic_name};
use protocol_tests::server::{Launch, Server};

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
        (("metadata.version", 25, UPGRADE), "does not support this feature."),
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
