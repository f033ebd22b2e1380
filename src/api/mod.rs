//! One file per Kafka API key: the last place that knows protocol versions.
//!
//! A handler takes a [`Context`] and a request *value* and gives an [`Answer`]; none sees a socket. `handle().await` is **stage
//! one**: it fixes order (offsets assigned, event queued) and is quick. [`Answer::Later`] is **stage two**: it only waits. The
//! connection awaits stage one in request order, so five produces in flight share a group commit and still answer in order. Administration (of topics, settings,
//! quotas, where share groups are) and InitProducerId are carried out in stage one, disk and all: what follows on its connection finds it done.
//! What waits there for a coordinator has until [`Context::deadline`].
//!
//! A new API key is one new file and two lines here: its `mod` and its row in [`TABLE`].
//!
//! The files that are called after no key:
//! * of every handler: `context`, `errors`; of those that answer with lists of names: `repeated`, `explained`; `absent` (keys that Kafka has and we do not);
//! * of Produce: `transactional_produce`, `validated_produce`, `recompressed`; of Fetch: `fetch_sessions`;
//! * of share consumers: `share_sessions`, `share_source`, `share_acknowledgements`;
//! * of administration: `creation_budget`, `config_resource`, `broker_loggers`, `operations`; of what clients ask first: `advertised`, `features`, `client_instance`;
//! * of HTTP alone: `topic_overview`.

use crate::broker::Broker;
use crate::store::BoxFuture;
use crate::wire::frame::Frame;
use crate::wire::message::{self, DecodeError};
use bytes::Bytes;
use kafka_protocol::protocol::{HeaderVersion, Request};
use std::future::Future;
use std::ops::RangeInclusive;

pub mod absent;
pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod advertised;
pub mod alter_client_quotas;
pub mod alter_configs;
pub mod alter_partition_reassignments;
pub mod alter_replica_log_dirs;
pub mod alter_share_group_offsets;
pub mod alter_user_scram_credentials;
pub mod api_versions;
mod broker_loggers;
pub mod client_instance;
pub mod config_resource;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod context;
pub mod create_acls;
pub mod create_partitions;
pub mod create_topics;
pub mod creation_budget;
pub mod delete_acls;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_share_group_offsets;
pub mod delete_topics;
pub mod describe_acls;
pub mod describe_client_quotas;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_quorum;
pub mod describe_share_group_offsets;
pub mod describe_topic_partitions;
pub mod describe_transactions;
pub mod describe_user_scram_credentials;
pub mod elect_leaders;
pub mod end_txn;
pub mod errors;
pub mod explained;
pub mod features;
pub mod fetch;
pub mod fetch_sessions;
pub mod find_coordinator;
pub mod get_telemetry_subscriptions;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod list_transactions;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod operations;
pub mod produce;
pub mod push_telemetry;
mod recompressed;
pub mod repeated;
pub mod share_acknowledge;
mod share_acknowledgements;
pub mod share_fetch;
pub mod share_group_describe;
pub mod share_group_heartbeat;
pub mod share_sessions;
mod share_source;
pub mod streams_group_describe;
pub mod streams_group_heartbeat;
pub mod sync_group;
pub mod topic_overview;
pub mod transactional_produce;
pub mod txn_offset_commit;
pub mod unregister_broker;
pub mod update_features;
mod validated_produce;
pub mod write_txn_markers;

pub use context::Context;
use share_sessions::ShareSessions;

/// The response type that belongs to a handler's request.
pub type ResponseOf<H> = <<H as Handler>::Request as Request>::Response;

/// One Kafka API key.
pub trait Handler: 'static {
    type Request: Request + Send;
    /// What we advertise, and all that reaches [`Handler::handle`]. Written once; ApiVersions, the README table and tests read it.
    const VERSIONS: RangeInclusive<i16>;
    /// Whether a connection that has not authenticated may ask this.
    const BEFORE_AUTH: bool = false;
    /// Whether ApiVersions tells clients of it.
    const LISTED: bool = true;
    /// Stage one. But for administration and InitProducerId it never blocks for durability: that is what [`Answer::Later`] is for.
    fn handle(context: Context, request: Self::Request) -> impl Future<Output = Answer<ResponseOf<Self>>> + Send;
    /// The version in whose format a version outside [`Handler::VERSIONS`] is refused.
    const UNSUPPORTED_IN: i16 = *Self::VERSIONS.end();
    /// The newest version that the message types read and write. Newer ones are read as this one, and written so unless [`Handler::frame`] says otherwise.
    const LAYOUT_MAX: i16 = *Self::VERSIONS.end();
    /// What a client gets that asks for a version outside [`Handler::VERSIONS`]. Where the response has a
    /// top-level error code, it says UNSUPPORTED_VERSION (35).
    fn unsupported() -> ResponseOf<Self>;
    /// The response as it leaves.
    ///
    /// # Errors
    /// See [`message::encode`].
    fn frame(correlation_id: i32, response: ResponseOf<Self>, version: i16) -> Result<Frame, DecodeError> {
        message::encode(correlation_id, &response, version.min(Self::LAYOUT_MAX)).map(Frame::from)
    }
}

/// What a handler answers.
pub enum Answer<R> {
    Now(R),
    /// Stage two: only waits, may be dropped at any time (the connection went away).
    Later(BoxFuture<'static, R>),
    /// No response at all: produce with acks=0.
    Silent,
    /// Ends the connection, with the reason for the log.
    Close(&'static str),
}

/// A response frame, or the way to it. What the connection handles.
pub type Encoded = Answer<Frame>;

/// One line of [`TABLE`]: a handler with its type erased.
pub struct Row {
    pub key: i16,
    pub name: &'static str,
    pub min: i16,
    pub max: i16,
    pub before_auth: bool,
    pub listed: bool,
    /// The request header's version for a request of the given version.
    pub header_version: fn(i16) -> i16,
    /// Decodes, handles (stage one) and prepares the encoding of the answer.
    pub dispatch: fn(Context, i32, Bytes) -> BoxFuture<'static, Result<Encoded, DecodeError>>,
    /// The frame for a version outside `min..=max`.
    pub unsupported: fn(i32) -> Result<Frame, DecodeError>,
}

const fn row<H: Handler>(name: &'static str) -> Row {
    Row {
        key: <H::Request as Request>::KEY,
        name,
        min: *H::VERSIONS.start(),
        max: *H::VERSIONS.end(),
        before_auth: H::BEFORE_AUTH,
        listed: H::LISTED,
        header_version: |version| <H::Request as HeaderVersion>::header_version(version.min(H::LAYOUT_MAX)),
        dispatch: |context, correlation_id, body| Box::pin(dispatch::<H>(context, correlation_id, body)),
        unsupported: |correlation_id| H::frame(correlation_id, H::unsupported(), H::UNSUPPORTED_IN),
    }
}

async fn dispatch<H: Handler>(context: Context, correlation_id: i32, body: Bytes) -> Result<Encoded, DecodeError> {
    let version = context.version;
    let request = message::decode::<H::Request>(body, version.min(H::LAYOUT_MAX))?;
    let encode = move |response: ResponseOf<H>| match H::frame(correlation_id, response, version) {
        Ok(frame) => frame,
        Err(error) => {
            // A field that this version lacks: our bug. An empty frame ends the connection; the client asks again.
            tracing::error!(key = <H::Request as Request>::KEY, version, %error, "a response does not encode");
            Frame::default()
        }
    };
    Ok(match H::handle(context, request).await {
        Answer::Now(response) => Answer::Now(encode(response)),
        Answer::Later(wait) => Answer::Later(Box::pin(async move { encode(wait.await) })),
        Answer::Silent => Answer::Silent,
        Answer::Close(reason) => Answer::Close(reason),
    })
}

/// Every API key that we answer, by key.
pub static TABLE: &[Row] = &[
    row::<produce::Produce>("Produce"),
    row::<fetch::Fetch>("Fetch"),
    row::<list_offsets::ListOffsets>("ListOffsets"),
    row::<metadata::Metadata>("Metadata"),
    row::<offset_commit::OffsetCommit>("OffsetCommit"),
    row::<offset_fetch::OffsetFetch>("OffsetFetch"),
    row::<find_coordinator::FindCoordinator>("FindCoordinator"),
    row::<join_group::JoinGroup>("JoinGroup"),
    row::<heartbeat::Heartbeat>("Heartbeat"),
    row::<leave_group::LeaveGroup>("LeaveGroup"),
    row::<sync_group::SyncGroup>("SyncGroup"),
    row::<describe_groups::DescribeGroups>("DescribeGroups"),
    row::<list_groups::ListGroups>("ListGroups"),
    row::<api_versions::ApiVersions>("ApiVersions"),
    row::<create_topics::CreateTopics>("CreateTopics"),
    row::<delete_topics::DeleteTopics>("DeleteTopics"),
    row::<delete_records::DeleteRecords>("DeleteRecords"),
    row::<init_producer_id::InitProducerId>("InitProducerId"),
    row::<offset_for_leader_epoch::OffsetForLeaderEpoch>("OffsetForLeaderEpoch"),
    row::<add_partitions_to_txn::AddPartitionsToTxn>("AddPartitionsToTxn"),
    row::<add_offsets_to_txn::AddOffsetsToTxn>("AddOffsetsToTxn"),
    row::<end_txn::EndTxn>("EndTxn"),
    row::<write_txn_markers::WriteTxnMarkers>("WriteTxnMarkers"),
    row::<txn_offset_commit::TxnOffsetCommit>("TxnOffsetCommit"),
    row::<describe_acls::DescribeAcls>("DescribeAcls"),
    row::<create_acls::CreateAcls>("CreateAcls"),
    row::<delete_acls::DeleteAcls>("DeleteAcls"),
    row::<describe_configs::DescribeConfigs>("DescribeConfigs"),
    row::<alter_configs::AlterConfigs>("AlterConfigs"),
    row::<alter_replica_log_dirs::AlterReplicaLogDirs>("AlterReplicaLogDirs"),
    row::<describe_log_dirs::DescribeLogDirs>("DescribeLogDirs"),
    row::<create_partitions::CreatePartitions>("CreatePartitions"),
    row::<delete_groups::DeleteGroups>("DeleteGroups"),
    row::<elect_leaders::ElectLeaders>("ElectLeaders"),
    row::<incremental_alter_configs::IncrementalAlterConfigs>("IncrementalAlterConfigs"),
    row::<alter_partition_reassignments::AlterPartitionReassignments>("AlterPartitionReassignments"),
    row::<list_partition_reassignments::ListPartitionReassignments>("ListPartitionReassignments"),
    row::<offset_delete::OffsetDelete>("OffsetDelete"),
    row::<describe_client_quotas::DescribeClientQuotas>("DescribeClientQuotas"),
    row::<alter_client_quotas::AlterClientQuotas>("AlterClientQuotas"),
    row::<describe_user_scram_credentials::DescribeUserScramCredentials>("DescribeUserScramCredentials"),
    row::<alter_user_scram_credentials::AlterUserScramCredentials>("AlterUserScramCredentials"),
    row::<describe_quorum::DescribeQuorum>("DescribeQuorum"),
    row::<update_features::UpdateFeatures>("UpdateFeatures"),
    row::<describe_cluster::DescribeCluster>("DescribeCluster"),
    row::<describe_producers::DescribeProducers>("DescribeProducers"),
    row::<unregister_broker::UnregisterBroker>("UnregisterBroker"),
    row::<describe_transactions::DescribeTransactions>("DescribeTransactions"),
    row::<list_transactions::ListTransactions>("ListTransactions"),
    row::<consumer_group_heartbeat::ConsumerGroupHeartbeat>("ConsumerGroupHeartbeat"),
    row::<consumer_group_describe::ConsumerGroupDescribe>("ConsumerGroupDescribe"),
    row::<get_telemetry_subscriptions::GetTelemetrySubscriptions>("GetTelemetrySubscriptions"),
    row::<push_telemetry::PushTelemetry>("PushTelemetry"),
    row::<list_config_resources::ListConfigResources>("ListConfigResources"),
    row::<describe_topic_partitions::DescribeTopicPartitions>("DescribeTopicPartitions"),
    row::<share_group_heartbeat::ShareGroupHeartbeat>("ShareGroupHeartbeat"),
    row::<share_group_describe::ShareGroupDescribe>("ShareGroupDescribe"),
    row::<share_fetch::ShareFetch>("ShareFetch"),
    row::<share_acknowledge::ShareAcknowledge>("ShareAcknowledge"),
    row::<streams_group_heartbeat::StreamsGroupHeartbeat>("StreamsGroupHeartbeat"),
    row::<streams_group_describe::StreamsGroupDescribe>("StreamsGroupDescribe"),
    row::<describe_share_group_offsets::DescribeShareGroupOffsets>("DescribeShareGroupOffsets"),
    row::<alter_share_group_offsets::AlterShareGroupOffsets>("AlterShareGroupOffsets"),
    row::<delete_share_group_offsets::DeleteShareGroupOffsets>("DeleteShareGroupOffsets"),
];

/// A connection is gone, and nothing is answered over it any more: what it alone kept ends.
pub async fn connection_closed(broker: &Broker, share_sessions: &ShareSessions, connection: u64) {
    for (member, parts) in share_sessions.connection_closed(connection) {
        share_acknowledgements::release(broker, &member, parts).await;
    }
}

/// The row of `key`, if we have it.
#[must_use]
pub fn find(key: i16) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.key == key)
}
