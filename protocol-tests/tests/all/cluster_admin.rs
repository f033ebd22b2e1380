//! Goal: what concerns the cluster as a whole (directories, features, the metadata quorum, brokers, clients' metrics) gets true
//! answers where one node has one, and the protocol's own refusals where it has none.
//! Method: the keys that Kafka's tools and clients use for it; error paths first.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::AlterReplicaLogDirsRequest;
use kafka_protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use protocol_tests::frame::{text, topic_name};
use protocol_tests::server::Server;

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
