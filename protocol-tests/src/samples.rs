//! One row per API key of this server: an empty and a filled request of every version, and how the answer decodes.
//!
//! Tests that hold for every key and version walk [`SAMPLES`]. A filled request has one element in every array, so that a walk over its
//! bytes meets every count and length that the key has. Its values do no harm: names that do not exist, and settings that are refused.

use crate::batch::Batch;
use crate::frame::{self, group_id, text, topic_name};
use crate::groups::{commit_request, offsets_request};
use crate::later_versions::{DescribeLogDirs5, ListOffsets11};
use crate::records::{Fetch, produce_request};
use crate::shares::{DescribeWithLag, ShareAcknowledge2, ShareFetch2};
use crate::streams::{DescribeStreams, StreamsBeat};
use crate::topic_ids::{CommitById, FetchById};
use crate::topics::{Topic, new_topic};
use crate::two_phase::{AbortMarker, InitTwoPhase};
use bytes::Bytes;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use kafka_protocol::messages::create_topics_request::CreatableReplicaAssignment;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::fetch_request::ForgottenTopic;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, AlterClientQuotasRequest, AlterConfigsRequest,
    AlterPartitionReassignmentsRequest, AlterReplicaLogDirsRequest, AlterShareGroupOffsetsRequest,
    AlterUserScramCredentialsRequest, ApiVersionsRequest, BrokerId, ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest,
    CreateAclsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteAclsRequest, DeleteGroupsRequest,
    DeleteRecordsRequest, DeleteShareGroupOffsetsRequest, DeleteTopicsRequest, DescribeAclsRequest, DescribeClientQuotasRequest,
    DescribeClusterRequest, DescribeConfigsRequest, DescribeGroupsRequest, DescribeLogDirsRequest, DescribeProducersRequest,
    DescribeQuorumRequest, DescribeShareGroupOffsetsRequest, DescribeTopicPartitionsRequest, DescribeTransactionsRequest,
    DescribeUserScramCredentialsRequest, ElectLeadersRequest, EndTxnRequest, FetchRequest, FindCoordinatorRequest,
    GetTelemetrySubscriptionsRequest, HeartbeatRequest, IncrementalAlterConfigsRequest, InitProducerIdRequest, JoinGroupRequest,
    LeaveGroupRequest, ListConfigResourcesRequest, ListGroupsRequest, ListOffsetsRequest, ListPartitionReassignmentsRequest,
    ListTransactionsRequest, MetadataRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest,
    OffsetForLeaderEpochRequest, ProduceRequest, PushTelemetryRequest, ShareAcknowledgeRequest, ShareFetchRequest,
    ShareGroupDescribeRequest, ShareGroupHeartbeatRequest, SyncGroupRequest, TxnOffsetCommitRequest, UnregisterBrokerRequest,
    UpdateFeaturesRequest, WriteTxnMarkersRequest,
};
use kafka_protocol::protocol::Request;
use uuid::Uuid;

mod admin;
mod cluster;
mod transactions;

/// One API key.
pub struct Sample {
    pub key: i16,
    pub name: &'static str,
    /// The versions that the messages have: what the server is expected to advertise (Produce: from 0 on, as Kafka does for librdkafka, KAFKA-18659).
    pub min: i16,
    pub max: i16,
    /// Whether the server tells clients of it.
    pub listed: bool,
    /// The version of the request header at a version of the key.
    pub header_version: fn(i16) -> i16,
    /// Whole frames by correlation id and version.
    pub empty: fn(i32, i16) -> Bytes,
    pub filled: fn(i32, i16) -> Bytes,
    /// Decodes a response frame; answers its correlation id.
    pub decode: fn(Bytes, i16) -> Result<i32, String>,
}

/// How a request looks like for every version.
pub trait Ask: Request + Default {
    /// As little as possible, but something that is answered.
    #[must_use]
    fn empty(_version: i16) -> Self {
        Self::default()
    }

    /// One element in every array.
    fn filled(version: i16) -> Self;
}

const fn sample<R: Ask>(name: &'static str) -> Sample {
    Sample {
        key: R::KEY,
        name,
        min: R::VERSIONS.min,
        max: R::VERSIONS.max,
        listed: true,
        header_version: R::header_version,
        empty: empty_frame::<R>,
        filled: filled_frame::<R>,
        decode: correlation_id::<R>,
    }
}

/// What a client may ask for although ApiVersions does not say so.
const fn unlisted<R: Ask>(name: &'static str) -> Sample {
    Sample { listed: false, ..sample::<R>(name) }
}

/// `R` up to its last version, then `T`: the message library ends earlier than the server.
const fn sample_with<R: Ask, T: Ask>(name: &'static str) -> Sample {
    Sample {
        max: T::VERSIONS.max,
        header_version: |version| if version > R::VERSIONS.max { T::header_version(version) } else { R::header_version(version) },
        empty: |correlation_id, version| match version > R::VERSIONS.max {
            true => empty_frame::<T>(correlation_id, version),
            false => empty_frame::<R>(correlation_id, version),
        },
        filled: |correlation_id, version| match version > R::VERSIONS.max {
            true => filled_frame::<T>(correlation_id, version),
            false => filled_frame::<R>(correlation_id, version),
        },
        decode: |frame, version| match version > R::VERSIONS.max {
            true => correlation_id::<T>(frame, version),
            false => correlation_id::<R>(frame, version),
        },
        ..sample::<R>(name)
    }
}

fn empty_frame<R: Ask>(correlation_id: i32, version: i16) -> Bytes {
    frame::request(correlation_id, version, &R::empty(version))
}

fn filled_frame<R: Ask>(correlation_id: i32, version: i16) -> Bytes {
    frame::request(correlation_id, version, &R::filled(version))
}

fn correlation_id<R: Ask>(frame: Bytes, version: i16) -> Result<i32, String> {
    frame::response::<R>(frame, version).map(|(correlation_id, _)| correlation_id)
}

/// Every key that this server answers, by key.
pub static SAMPLES: &[Sample] = &[
    sample::<ProduceRequest>("Produce"),
    sample::<FetchRequest>("Fetch"),
    sample_with::<ListOffsetsRequest, ListOffsets11>("ListOffsets"),
    sample::<MetadataRequest>("Metadata"),
    sample_with::<OffsetCommitRequest, CommitById>("OffsetCommit"),
    sample_with::<OffsetFetchRequest, FetchById>("OffsetFetch"),
    sample::<FindCoordinatorRequest>("FindCoordinator"),
    sample::<JoinGroupRequest>("JoinGroup"),
    sample::<HeartbeatRequest>("Heartbeat"),
    sample::<LeaveGroupRequest>("LeaveGroup"),
    sample::<SyncGroupRequest>("SyncGroup"),
    sample::<DescribeGroupsRequest>("DescribeGroups"),
    sample::<ListGroupsRequest>("ListGroups"),
    sample::<ApiVersionsRequest>("ApiVersions"),
    sample::<CreateTopicsRequest>("CreateTopics"),
    sample::<DeleteTopicsRequest>("DeleteTopics"),
    sample::<DeleteRecordsRequest>("DeleteRecords"),
    sample_with::<InitProducerIdRequest, InitTwoPhase>("InitProducerId"),
    sample::<OffsetForLeaderEpochRequest>("OffsetForLeaderEpoch"),
    sample::<AddPartitionsToTxnRequest>("AddPartitionsToTxn"),
    sample::<AddOffsetsToTxnRequest>("AddOffsetsToTxn"),
    sample::<EndTxnRequest>("EndTxn"),
    sample_with::<WriteTxnMarkersRequest, AbortMarker>("WriteTxnMarkers"),
    sample::<TxnOffsetCommitRequest>("TxnOffsetCommit"),
    sample::<DescribeAclsRequest>("DescribeAcls"),
    sample::<CreateAclsRequest>("CreateAcls"),
    sample::<DeleteAclsRequest>("DeleteAcls"),
    sample::<DescribeConfigsRequest>("DescribeConfigs"),
    sample::<AlterConfigsRequest>("AlterConfigs"),
    sample::<AlterReplicaLogDirsRequest>("AlterReplicaLogDirs"),
    sample_with::<DescribeLogDirsRequest, DescribeLogDirs5>("DescribeLogDirs"),
    sample::<CreatePartitionsRequest>("CreatePartitions"),
    sample::<DeleteGroupsRequest>("DeleteGroups"),
    sample::<ElectLeadersRequest>("ElectLeaders"),
    sample::<IncrementalAlterConfigsRequest>("IncrementalAlterConfigs"),
    sample::<AlterPartitionReassignmentsRequest>("AlterPartitionReassignments"),
    sample::<ListPartitionReassignmentsRequest>("ListPartitionReassignments"),
    sample::<OffsetDeleteRequest>("OffsetDelete"),
    sample::<DescribeClientQuotasRequest>("DescribeClientQuotas"),
    sample::<AlterClientQuotasRequest>("AlterClientQuotas"),
    sample::<DescribeUserScramCredentialsRequest>("DescribeUserScramCredentials"),
    unlisted::<AlterUserScramCredentialsRequest>("AlterUserScramCredentials"),
    sample::<DescribeQuorumRequest>("DescribeQuorum"),
    sample::<UpdateFeaturesRequest>("UpdateFeatures"),
    sample::<DescribeClusterRequest>("DescribeCluster"),
    sample::<DescribeProducersRequest>("DescribeProducers"),
    sample::<UnregisterBrokerRequest>("UnregisterBroker"),
    sample::<DescribeTransactionsRequest>("DescribeTransactions"),
    sample::<ListTransactionsRequest>("ListTransactions"),
    sample::<ConsumerGroupHeartbeatRequest>("ConsumerGroupHeartbeat"),
    sample::<ConsumerGroupDescribeRequest>("ConsumerGroupDescribe"),
    unlisted::<GetTelemetrySubscriptionsRequest>("GetTelemetrySubscriptions"),
    unlisted::<PushTelemetryRequest>("PushTelemetry"),
    sample::<ListConfigResourcesRequest>("ListConfigResources"),
    sample::<DescribeTopicPartitionsRequest>("DescribeTopicPartitions"),
    sample::<ShareGroupHeartbeatRequest>("ShareGroupHeartbeat"),
    sample::<ShareGroupDescribeRequest>("ShareGroupDescribe"),
    sample_with::<ShareFetchRequest, ShareFetch2>("ShareFetch"),
    sample_with::<ShareAcknowledgeRequest, ShareAcknowledge2>("ShareAcknowledge"),
    sample::<StreamsBeat>("StreamsGroupHeartbeat"),
    sample::<DescribeStreams>("StreamsGroupDescribe"),
    sample_with::<DescribeShareGroupOffsetsRequest, DescribeWithLag>("DescribeShareGroupOffsets"),
    sample::<AlterShareGroupOffsetsRequest>("AlterShareGroupOffsets"),
    sample::<DeleteShareGroupOffsetsRequest>("DeleteShareGroupOffsets"),
];

/// A topic that nobody creates.
fn nowhere() -> Topic {
    Topic { name: "no-such-topic".to_owned(), id: Uuid::from_u128(0x0123_4567_89ab_cdef) }
}

const GROUP: &str = "no-such-group";

impl Ask for ProduceRequest {
    fn empty(_version: i16) -> Self {
        // acks=0 is never answered.
        Self::default().with_acks(1)
    }

    fn filled(_version: i16) -> Self {
        produce_request(&nowhere(), 0, 1, Batch::default().record(0, Some(b"key"), Some(b"value")).build())
    }
}

impl Ask for FetchRequest {
    fn filled(version: i16) -> Self {
        let forgotten = ForgottenTopic::default()
            .with_topic(topic_name("no-such-topic"))
            .with_topic_id(nowhere().id)
            .with_partitions(vec![1]);
        let request = Fetch::of(&nowhere(), 0, 0).waiting(0, 0).request();
        if version >= 7 { request.with_forgotten_topics_data(vec![forgotten]) } else { request }
    }
}

impl Ask for ListOffsetsRequest {
    fn empty(_version: i16) -> Self {
        Self::default().with_replica_id(BrokerId(-1))
    }

    fn filled(version: i16) -> Self {
        let topic = ListOffsetsTopic::default()
            .with_name(topic_name("no-such-topic"))
            .with_partitions(vec![ListOffsetsPartition::default().with_timestamp(-1)]);
        Self::empty(version).with_topics(vec![topic])
    }
}

impl Ask for MetadataRequest {
    fn filled(version: i16) -> Self {
        let topic = MetadataRequestTopic::default().with_name(Some(topic_name("no-such-topic")));
        Self::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(version < 4)
    }
}

impl Ask for OffsetCommitRequest {
    fn filled(_version: i16) -> Self {
        commit_request(GROUP, "no-such-topic", &[(0, 1)])
    }
}

impl Ask for OffsetFetchRequest {
    fn filled(version: i16) -> Self {
        if version >= 8 {
            return offsets_request(GROUP, Some(("no-such-topic", &[0])));
        }
        let topic = OffsetFetchRequestTopic::default().with_name(topic_name("no-such-topic")).with_partition_indexes(vec![0]);
        Self::default().with_group_id(group_id(GROUP)).with_topics(Some(vec![topic]))
    }
}

impl Ask for FindCoordinatorRequest {
    fn filled(version: i16) -> Self {
        if version >= 4 {
            Self::default().with_coordinator_keys(vec![text(GROUP)])
        } else {
            Self::default().with_key(text(GROUP))
        }
    }
}

impl Ask for JoinGroupRequest {
    fn filled(_version: i16) -> Self {
        let protocol =
            JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(Bytes::from_static(b"subscription"));
        // A session of 1 ms is refused at once: a join that is taken would wait for the others.
        Self::default()
            .with_group_id(group_id(GROUP))
            .with_session_timeout_ms(1)
            .with_rebalance_timeout_ms(1)
            .with_member_id(text("nobody"))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol])
    }
}

impl Ask for HeartbeatRequest {
    fn filled(_version: i16) -> Self {
        Self::default().with_group_id(group_id(GROUP)).with_generation_id(1).with_member_id(text("nobody"))
    }
}

impl Ask for LeaveGroupRequest {
    fn filled(version: i16) -> Self {
        let request = Self::default().with_group_id(group_id(GROUP));
        if version >= 3 {
            request.with_members(vec![MemberIdentity::default().with_member_id(text("nobody"))])
        } else {
            request.with_member_id(text("nobody"))
        }
    }
}

impl Ask for SyncGroupRequest {
    fn filled(_version: i16) -> Self {
        let assignment = SyncGroupRequestAssignment::default()
            .with_member_id(text("nobody"))
            .with_assignment(Bytes::from_static(b"assignment"));
        Self::default()
            .with_group_id(group_id(GROUP))
            .with_generation_id(1)
            .with_member_id(text("nobody"))
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")))
            .with_assignments(vec![assignment])
    }
}

impl Ask for DescribeGroupsRequest {
    fn filled(_version: i16) -> Self {
        Self::default().with_groups(vec![group_id(GROUP)])
    }
}

impl Ask for ListGroupsRequest {
    fn filled(version: i16) -> Self {
        let request = Self::default();
        let request = if version >= 4 { request.with_states_filter(vec![text("Stable")]) } else { request };
        if version >= 5 { request.with_types_filter(vec![text("classic")]) } else { request }
    }
}

impl Ask for ApiVersionsRequest {
    fn empty(version: i16) -> Self {
        Self::filled(version)
    }

    fn filled(_version: i16) -> Self {
        // Kafka refuses an empty name with INVALID_REQUEST.
        Self::default().with_client_software_name(text("protocol-tests")).with_client_software_version(text("1.0"))
    }
}

impl Ask for CreateTopicsRequest {
    fn filled(_version: i16) -> Self {
        // Both an assignment and a partition count: INVALID_REQUEST.
        let assignment = CreatableReplicaAssignment::default().with_partition_index(0).with_broker_ids(vec![BrokerId(99)]);
        let topic = new_topic("no-such-topic", 1, &[("retention.ms", "1000")]).with_assignments(vec![assignment]);
        Self::default().with_topics(vec![topic]).with_timeout_ms(1000)
    }
}

impl Ask for DeleteTopicsRequest {
    fn filled(version: i16) -> Self {
        if version >= 6 {
            return Self::default().with_topics(vec![DeleteTopicState::default().with_name(Some(topic_name("no-such-topic")))]);
        }
        Self::default().with_topic_names(vec![topic_name("no-such-topic")])
    }
}

impl Ask for DeleteRecordsRequest {
    fn filled(_version: i16) -> Self {
        let partition = DeleteRecordsPartition::default().with_offset(1);
        let topic = DeleteRecordsTopic::default().with_name(topic_name("no-such-topic")).with_partitions(vec![partition]);
        Self::default().with_topics(vec![topic])
    }
}

impl Ask for InitProducerIdRequest {
    fn filled(_version: i16) -> Self {
        Self::default().with_transactional_id(None).with_transaction_timeout_ms(1000)
    }
}

impl Ask for OffsetForLeaderEpochRequest {
    fn filled(_version: i16) -> Self {
        let topic = OffsetForLeaderTopic::default()
            .with_topic(topic_name("no-such-topic"))
            .with_partitions(vec![OffsetForLeaderPartition::default()]);
        Self::default().with_topics(vec![topic])
    }
}

impl Ask for DescribeConfigsRequest {
    fn filled(_version: i16) -> Self {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text("no-such-topic"))
            .with_configuration_keys(Some(vec![text("retention.ms")]));
        Self::default().with_resources(vec![resource])
    }
}

impl Ask for CreatePartitionsRequest {
    fn filled(_version: i16) -> Self {
        let assignment = CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(99)]);
        let topic = CreatePartitionsTopic::default()
            .with_name(topic_name("no-such-topic"))
            .with_count(2)
            .with_assignments(Some(vec![assignment]));
        Self::default().with_topics(vec![topic]).with_timeout_ms(1000)
    }
}

impl Ask for DeleteGroupsRequest {
    fn filled(_version: i16) -> Self {
        Self::default().with_groups_names(vec![group_id(GROUP)])
    }
}

impl Ask for IncrementalAlterConfigsRequest {
    fn filled(_version: i16) -> Self {
        let config = AlterableConfig::default().with_name(text("no.such.setting")).with_value(Some(text("1")));
        let resource =
            AlterConfigsResource::default().with_resource_type(32).with_resource_name(text(GROUP)).with_configs(vec![config]);
        Self::default().with_resources(vec![resource])
    }
}

impl Ask for OffsetDeleteRequest {
    fn filled(_version: i16) -> Self {
        let topic = OffsetDeleteRequestTopic::default()
            .with_name(topic_name("no-such-topic"))
            .with_partitions(vec![OffsetDeleteRequestPartition::default()]);
        Self::default().with_group_id(group_id(GROUP)).with_topics(vec![topic])
    }
}

impl Ask for ConsumerGroupHeartbeatRequest {
    fn filled(version: i16) -> Self {
        let owned = TopicPartitions::default().with_topic_id(nowhere().id).with_partitions(vec![0]);
        let request = Self::default()
            .with_group_id(group_id(GROUP))
            .with_member_id(text("nobody"))
            .with_member_epoch(1)
            .with_instance_id(Some(text("instance")))
            .with_rack_id(Some(text("rack")))
            .with_subscribed_topic_names(Some(vec![topic_name("no-such-topic")]))
            .with_server_assignor(Some(text("uniform")))
            .with_topic_partitions(Some(vec![owned]));
        if version >= 1 { request.with_subscribed_topic_regex(Some(text("no-such-.*"))) } else { request }
    }
}

impl Ask for ConsumerGroupDescribeRequest {
    fn filled(_version: i16) -> Self {
        Self::default().with_group_ids(vec![group_id(GROUP)])
    }
}

impl Ask for ShareGroupHeartbeatRequest {
    fn filled(_version: i16) -> Self {
        Self::default()
            .with_group_id(group_id(GROUP))
            .with_member_id(text("nobody"))
            .with_member_epoch(1)
            .with_rack_id(Some(text("rack")))
            .with_subscribed_topic_names(Some(vec![topic_name("no-such-topic")]))
    }
}

impl Ask for ShareGroupDescribeRequest {
    fn filled(_version: i16) -> Self {
        Self::default().with_group_ids(vec![group_id(GROUP)])
    }
}

impl Ask for DescribeClusterRequest {
    fn filled(_version: i16) -> Self {
        Self::default()
    }
}

impl Ask for DescribeTopicPartitionsRequest {
    fn filled(_version: i16) -> Self {
        let cursor = Cursor::default().with_topic_name(topic_name("no-such-topic")).with_partition_index(0);
        Self::default()
            .with_topics(vec![TopicRequest::default().with_name(topic_name("no-such-topic"))])
            .with_cursor(Some(cursor))
    }
}
