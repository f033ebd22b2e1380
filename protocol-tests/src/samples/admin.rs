//! Administration of settings, replicas, leaders and directories.

use super::Ask;
use crate::frame::{text, topic_name};
use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterPartitionReassignmentsRequest, AlterReplicaLogDirsRequest, BrokerId, DescribeLogDirsRequest,
    ElectLeadersRequest, ListConfigResourcesRequest, ListPartitionReassignmentsRequest,
};

const NOWHERE: &str = "no-such-topic";

impl Ask for AlterConfigsRequest {
    fn filled(_version: i16) -> Self {
        let config = AlterableConfig::default().with_name(text("retention.ms")).with_value(Some(text("1000")));
        let resource =
            AlterConfigsResource::default().with_resource_type(2).with_resource_name(text(NOWHERE)).with_configs(vec![config]);
        Self::default().with_resources(vec![resource])
    }
}

impl Ask for AlterReplicaLogDirsRequest {
    fn filled(_version: i16) -> Self {
        let topic = AlterReplicaLogDirTopic::default().with_name(topic_name(NOWHERE)).with_partitions(vec![0]);
        Self::default().with_dirs(vec![AlterReplicaLogDir::default().with_path(text("/nowhere")).with_topics(vec![topic])])
    }
}

impl Ask for DescribeLogDirsRequest {
    fn filled(_version: i16) -> Self {
        let topic = DescribableLogDirTopic::default().with_topic(topic_name(NOWHERE)).with_partitions(vec![0]);
        Self::default().with_topics(Some(vec![topic]))
    }
}

impl Ask for ElectLeadersRequest {
    fn filled(_version: i16) -> Self {
        let topic = TopicPartitions::default().with_topic(topic_name(NOWHERE)).with_partitions(vec![0]);
        Self::default().with_topic_partitions(Some(vec![topic])).with_timeout_ms(1000)
    }
}

impl Ask for AlterPartitionReassignmentsRequest {
    fn filled(_version: i16) -> Self {
        let partition = ReassignablePartition::default().with_replicas(Some(vec![BrokerId(99)]));
        let topic = ReassignableTopic::default().with_name(topic_name(NOWHERE)).with_partitions(vec![partition]);
        Self::default().with_topics(vec![topic])
    }
}

impl Ask for ListPartitionReassignmentsRequest {
    fn filled(_version: i16) -> Self {
        let topic = ListPartitionReassignmentsTopics::default().with_name(topic_name(NOWHERE)).with_partition_indexes(vec![0]);
        Self::default().with_topics(Some(vec![topic]))
    }
}

impl Ask for ListConfigResourcesRequest {
    fn filled(version: i16) -> Self {
        // Version 0 has no types.
        let kinds = if version == 0 { Vec::new() } else { vec![2] };
        Self::default().with_resource_types(kinds)
    }
}
