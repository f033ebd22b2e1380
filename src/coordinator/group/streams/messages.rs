//! What is asked of streams groups and what they answer.

use crate::coordinator::group::messages::Refused;
use crate::coordinator::group::records::streams::{Endpoint, Tasks, Topology};
use std::collections::BTreeMap;

/// A member of a streams group joins, lives or leaves (StreamsGroupHeartbeat). `None` everywhere: as before.
#[derive(Debug, Clone, Default)]
pub struct StreamsHeartbeat {
    pub group_id: String,
    pub member_id: String,
    /// 0: joins. −1 and below: leaves.
    pub member_epoch: i32,
    /// The newest [`StreamsBeat::endpoint_epoch`] that the member was told.
    pub endpoint_epoch: i32,
    pub rack_id: Option<String>,
    pub rebalance_timeout_ms: Option<i32>,
    /// With epoch 0 only.
    pub topology: Option<Topology>,
    pub owned: Option<Tasks>,
    pub process_id: Option<String>,
    pub endpoint: Option<Endpoint>,
    pub tags: Option<BTreeMap<String, String>>,
    /// The member wants the whole application to stop.
    pub shuts_down: bool,
    pub client_id: String,
    pub client_host: String,
}

/// What a member is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamsBeat {
    pub member_id: String,
    pub member_epoch: i32,
    pub heartbeat_interval_ms: i32,
    pub statuses: Vec<(Status, String)>,
    /// All that it may run now; `None`: as it was told before.
    pub assignment: Option<Tasks>,
    pub endpoint_epoch: i32,
    /// Who has which partitions; `None`: as the member knows.
    pub endpoints: Option<Vec<EndpointPartitions>>,
    /// Topics that the application needs and that do not exist yet.
    pub missing_topics: Vec<InternalTopic>,
}

pub type StreamsReply = Result<StreamsBeat, Refused>;

/// What a member has to know about its group (StreamsGroupHeartbeatResponse.Status); the text beside it is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The member's topology is older than the group's.
    StaleTopology,
    MissingSourceTopics,
    IncorrectlyPartitionedTopics,
    /// They are being created.
    MissingInternalTopics,
    /// A member asked for the whole application to stop.
    ShutdownApplication,
    /// The target assignment is not made yet.
    AssignmentDelayed,
}

/// The topic partitions behind the tasks of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointPartitions {
    pub endpoint: Endpoint,
    pub active: Vec<(String, Vec<i32>)>,
    pub standby: Vec<(String, Vec<i32>)>,
}

/// A topic that the broker makes for an application, its number of partitions decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InternalTopic {
    pub name: String,
    pub partitions: i32,
    /// `None`: the default.
    pub replication_factor: Option<i16>,
    pub configs: BTreeMap<String, String>,
}

/// A streams group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamsDescribed {
    pub state: &'static str,
    pub epoch: i32,
    pub assignment_epoch: i32,
    /// `None` only for what an old log may hold.
    pub topology: Option<DescribedTopology>,
    pub members: Vec<DescribedMember>,
}

/// A topology, with topics' partitions counted where they are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedTopology {
    pub epoch: i32,
    pub subtopologies: Vec<DescribedSubtopology>,
}

/// Each list by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedSubtopology {
    pub id: String,
    pub source_topics: Vec<String>,
    pub repartition_sinks: Vec<String>,
    pub changelog_topics: Vec<InternalTopic>,
    pub repartition_sources: Vec<InternalTopic>,
}

/// One of its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedMember {
    pub member_id: String,
    pub member_epoch: i32,
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub topology_epoch: i32,
    pub process_id: String,
    pub endpoint: Option<Endpoint>,
    pub tags: BTreeMap<String, String>,
    pub assignment: Tasks,
    pub target: Tasks,
}
