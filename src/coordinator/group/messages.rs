//! What callers ask of the group coordinator and what it answers, as plain structs: no protocol version reaches this far down.

use super::records::Committed;
use super::share::messages::ShareEvent;
use super::streams::messages::{StreamsDescribed, StreamsHeartbeat, StreamsReply};
use crate::catalog::{Snapshot, Topic};
use crate::coordinator::shards::ShardError;
use crate::coordinator::{Caller, ProducerIdAndEpoch};
use crate::ids::TopicId;
use crate::records::control::EndTransaction;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use thiserror::Error;
use uuid::Uuid;

/// The longest group, member, instance, client or protocol name in bytes. Kafka's record format ends at 32,767, and a member's id is
/// a client or instance id with 37 characters appended.
pub const NAME_BYTES_MAX: usize = 32_000;

/// What the records of one commit may take: each repeats the group's id, so a small request could ask for gigabytes of them. Kafka takes
/// what fits into one batch of the offsets topic, 1 MiB as it comes.
pub const COMMIT_BYTES_MAX: usize = 16 << 20;
/// The most protocols that a member may name: those of a group are compared with one another. Clients have a handful.
pub const PROTOCOLS_MAX: usize = 100;

/// The member epoch with which a member of the consumer protocol joins (KIP-848).
pub const JOINING: i32 = 0;
/// The member epoch with which a member leaves.
pub const LEAVING: i32 = -1;
/// The member epoch with which a static member leaves for a while.
pub const LEAVING_FOR_A_WHILE: i32 = -2;

/// Why the coordinator refuses; one variant per reaction of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GroupError {
    #[error("the group's shard is being loaded; ask again")]
    Loading,
    #[error("the group coordinator is not available; look it up again")]
    NotAvailable,
    /// The shard lost its state, or is closing: whatever was asked may or may not have happened.
    #[error("this is no longer the group's coordinator; look it up again")]
    NotCoordinator,
    #[error("the group id is empty or too long")]
    InvalidGroupId,
    #[error("the group has no such member")]
    UnknownMember,
    #[error("the group is in another generation")]
    IllegalGeneration,
    #[error("the group is rebalancing; join again")]
    RebalanceInProgress,
    #[error("the member's protocols do not fit those of the group")]
    InconsistentProtocol,
    #[error("session.timeout.ms is outside of group.min.session.timeout.ms and group.max.session.timeout.ms")]
    InvalidSessionTimeout,
    /// Join again with the member id that comes with this.
    #[error("the member has to join with the id that it was given")]
    MemberIdRequired,
    #[error("the group has group.max.size members")]
    MaxSizeReached,
    #[error("another member has taken over this group.instance.id")]
    FencedInstance,
    #[error("the group does not exist")]
    UnknownGroup,
    /// It keeps its positions elsewhere (share groups).
    #[error("the group is not one that commits offsets")]
    NoOffsets,
    #[error("the group has members")]
    NonEmptyGroup,
    /// The member has to give up its partitions and join again (KIP-848).
    #[error("the member's epoch is not the one that the group knows")]
    FencedEpoch,
    /// The member learns its epoch from its next heartbeat, and asks again (KIP-848).
    #[error("the member has moved to another epoch")]
    StaleEpoch,
    #[error("another member that has not left holds this group.instance.id")]
    UnreleasedInstance,
    #[error("group.consumer.assignors does not name this assignor")]
    UnsupportedAssignor,
    #[error("the regular expression cannot be compiled")]
    InvalidRegex,
    /// A member of the consumer protocol asks in a version of before KIP-848.
    #[error("members of the consumer protocol need a newer version of this request")]
    UnsupportedVersion,
    #[error("the topology is not one that an application can have")]
    InvalidTopology,
    /// The request contradicts itself, or what the group is.
    #[error("the request does not fit the group")]
    Invalid,
    #[error("a member of the group is subscribed to the topic")]
    SubscribedTopic,
    #[error("the commit's metadata is longer than offset.metadata.max.bytes")]
    MetadataTooLarge,
    #[error("the commit's records would take more than {COMMIT_BYTES_MAX} bytes; commit fewer partitions at once")]
    CommitTooLarge,
    /// A transaction that is still open has committed an offset for the partition; ask again (KIP-447).
    #[error("the partition's offset is part of a transaction that has not ended")]
    UnstableOffset,
    /// A name that no record can hold.
    #[error("a name in the request is longer than {NAME_BYTES_MAX} bytes")]
    NameTooLong,
}

impl From<ShardError> for GroupError {
    fn from(error: ShardError) -> GroupError {
        match error {
            ShardError::Loading => GroupError::Loading,
            ShardError::NotAvailable => GroupError::NotAvailable,
            ShardError::NotCoordinator => GroupError::NotCoordinator,
        }
    }
}

/// A protocol that a member supports (an assignor), with what it tells the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocol {
    pub name: String,
    pub metadata: Bytes,
}

/// A member joins, or joins again.
#[derive(Debug, Clone)]
pub struct JoinRequest {
    pub group_id: String,
    /// Empty: not known yet.
    pub member_id: String,
    /// `group.instance.id` of a static member (KIP-345).
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub protocol_type: String,
    /// By preference.
    pub protocols: Vec<Protocol>,
    /// Whether a dynamic member without an id is told one and has to come back with it (KIP-394).
    pub is_id_required: bool,
    /// Whether a returning static leader understands that it need not assign (KIP-814).
    pub can_skip_assignment: bool,
}

/// The generation that a member has joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    pub generation: i32,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub leader: String,
    pub skip_assignment: bool,
    pub member_id: String,
    /// For the leader: everyone, with the metadata of the chosen protocol. Else empty.
    pub members: Vec<JoinedMember>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub metadata: Bytes,
}

/// Why a member did not join, and the id to go on with (empty: none).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRefused {
    pub error: GroupError,
    pub member_id: String,
}

pub type JoinReply = Result<Joined, JoinRefused>;

/// A member asks for its assignment; the leader brings everyone's.
#[derive(Debug, Clone)]
pub struct SyncRequest {
    pub group_id: String,
    pub generation: i32,
    pub member_id: String,
    pub instance_id: Option<String>,
    /// Checked against the group's where given.
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    /// Member id and assignment.
    pub assignments: Vec<(String, Bytes)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub assignment: Bytes,
}

pub type SyncReply = Result<Synced, GroupError>;

#[derive(Debug, Clone)]
pub struct HeartbeatRequest {
    pub group_id: String,
    pub generation: i32,
    pub member_id: String,
    pub instance_id: Option<String>,
}

/// Members leave, or are removed by an administrator (by instance id alone).
#[derive(Debug, Clone)]
pub struct LeaveRequest {
    pub group_id: String,
    pub members: Vec<Leaving>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// Empty: whoever holds the instance id.
    pub member_id: String,
    pub instance_id: Option<String>,
}

/// One result per [`LeaveRequest::members`], in order.
pub type LeaveReply = Vec<Result<(), GroupError>>;

/// Offsets of existing partitions.
#[derive(Debug, Clone)]
pub struct CommitRequest {
    pub group_id: String,
    /// −1: not a member (assigned by hand).
    pub generation: i32,
    pub member_id: String,
    pub instance_id: Option<String>,
    /// Only from clients of before KIP-211.
    pub retention_ms: Option<i64>,
    /// Whether the client understands member epochs (OffsetCommit 9, KIP-848).
    pub knows_epochs: bool,
    /// Whether the offsets are part of a producer's transaction (TxnOffsetCommit).
    pub is_transactional: bool,
    pub offsets: Vec<CommitOffset>,
}

#[derive(Debug, Clone)]
pub struct CommitOffset {
    pub topic: String,
    pub topic_id: Option<TopicId>,
    pub partition: i32,
    pub offset: i64,
    pub leader_epoch: Option<i32>,
    pub metadata: String,
}

/// One result per [`CommitRequest::offsets`], in order; or why none was taken.
pub type CommitReply = Result<Vec<Result<(), GroupError>>, GroupError>;

impl CommitOffset {
    /// For a partition that exists, from the fields of a request: a leader epoch below 0 is none, and no metadata is empty metadata.
    #[must_use]
    pub fn of(topic: &Topic, partition: i32, (offset, leader_epoch): (i64, i32), metadata: Option<&str>) -> CommitOffset {
        CommitOffset {
            topic: topic.name.clone(),
            topic_id: Some(topic.id),
            partition,
            offset,
            leader_epoch: Some(leader_epoch).filter(|epoch| *epoch >= 0),
            metadata: metadata.unwrap_or_default().to_owned(),
        }
    }
}

#[derive(Debug, Clone)]
pub struct FetchOffsetsRequest {
    pub group_id: String,
    /// Who asks, with its epoch: checked in groups of the consumer protocol (KIP-848). `None`: an administrator, or an older client.
    pub member: Option<(String, i32)>,
    /// `None`: everything that the group has committed.
    pub topics: Option<Vec<FetchOffsetsTopic>>,
    /// Whether offsets that an open transaction is about to change are refused rather than answered (KIP-447).
    pub require_stable: bool,
}

#[derive(Debug, Clone)]
pub struct FetchOffsetsTopic {
    pub topic: String,
    /// The topic that has this name now: offsets committed for an earlier one are not answered.
    pub topic_id: Option<TopicId>,
    pub partitions: Vec<i32>,
}

/// Topics in the order asked for.
pub type FetchOffsetsReply = Result<Vec<FetchedOffsets>, GroupError>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedOffsets {
    pub topic: String,
    /// `None`: nothing is committed; `Err`: [`GroupError::UnstableOffset`].
    pub partitions: Vec<(i32, Result<Option<Committed>, GroupError>)>,
}

/// Offsets to be forgotten, of existing partitions.
#[derive(Debug, Clone)]
pub struct DeleteOffsetsRequest {
    pub group_id: String,
    /// Topic and partition.
    pub partitions: Vec<(String, i32)>,
}

/// One result per [`DeleteOffsetsRequest::partitions`], in order; or why none was taken.
pub type DeleteOffsetsReply = Result<Vec<Result<(), GroupError>>, GroupError>;

/// Partitions by topic.
pub type Partitions = BTreeMap<TopicId, BTreeSet<i32>>;

/// A member of the consumer protocol says that it lives, what it wants and what it owns (ConsumerGroupHeartbeat). `None` everywhere:
/// as before.
#[derive(Debug, Clone, Default)]
pub struct ConsumerHeartbeat {
    pub group_id: String,
    /// Empty: to be given one (version 0 only).
    pub member_id: String,
    /// 0: joins. −1: leaves. −2: leaves for a while (static members).
    pub member_epoch: i32,
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub rebalance_timeout_ms: Option<i32>,
    pub topics: Option<BTreeSet<String>>,
    /// Empty: none any more.
    pub regex: Option<String>,
    pub assignor: Option<String>,
    pub owned: Option<Partitions>,
    pub client_id: String,
    pub client_host: String,
}

/// What a member is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerBeat {
    pub member_id: String,
    pub member_epoch: i32,
    pub heartbeat_interval_ms: i32,
    /// All that it may own now; `None`: as it was told before.
    pub assignment: Option<Partitions>,
}

/// Why a request was refused, with what a person wants to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub error: GroupError,
    pub message: String,
}

impl From<GroupError> for Refused {
    fn from(error: GroupError) -> Refused {
        Refused { error, message: error.to_string() }
    }
}

pub type ConsumerReply = Result<ConsumerBeat, Refused>;

/// The protocol that a group follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupKind {
    Classic,
    Consumer,
    Streams,
    /// KIP-932.
    Share,
}

impl GroupKind {
    /// Kafka's name for it (Group.GroupType).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            GroupKind::Classic => "classic",
            GroupKind::Consumer => "consumer",
            GroupKind::Streams => "streams",
            GroupKind::Share => "share",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub group_id: String,
    pub protocol_type: String,
    /// Kafka's name for the state.
    pub state: &'static str,
    pub kind: GroupKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    pub state: &'static str,
    pub protocol_type: String,
    /// Empty unless stable.
    pub protocol: String,
    pub members: Vec<DescribedMember>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    /// Empty unless stable.
    pub metadata: Bytes,
    pub assignment: Bytes,
}

/// A group of the consumer protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerDescribed {
    pub state: &'static str,
    pub epoch: i32,
    pub assignment_epoch: i32,
    pub assignor: &'static str,
    pub members: Vec<ConsumerMember>,
}

/// One of its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerMember {
    pub member_id: String,
    pub member_epoch: i32,
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub topics: Vec<String>,
    pub regex: Option<String>,
    /// Without what it still has to give up.
    pub assignment: Partitions,
    pub target: Partitions,
    /// Whether it speaks the classic protocol (KIP-848's migration).
    pub is_classic: bool,
}

/// What a shard is asked, and what exists at that moment: the newest that a shard was told counts.
#[derive(Debug)]
pub struct Input {
    pub catalog: Arc<Snapshot>,
    pub event: Event,
}

/// What a shard is asked.
#[derive(Debug)]
pub enum Event {
    /// `fresh` becomes the unique part of the member's id, if it needs one.
    Join {
        request: JoinRequest,
        fresh: Uuid,
        caller: Caller<JoinReply>,
    },
    Sync {
        request: SyncRequest,
        caller: Caller<SyncReply>,
    },
    Heartbeat {
        request: HeartbeatRequest,
        caller: Caller<Result<(), GroupError>>,
    },
    Leave {
        request: LeaveRequest,
        caller: Caller<LeaveReply>,
    },
    Commit {
        request: CommitRequest,
        caller: Caller<CommitReply>,
    },
    /// Offsets that count when the producer's transaction commits.
    TransactionCommit {
        producer: ProducerIdAndEpoch,
        request: CommitRequest,
        caller: Caller<CommitReply>,
    },
    /// Answered when the marker is appended.
    EndTransaction {
        producer: ProducerIdAndEpoch,
        end: EndTransaction,
        caller: Caller<()>,
    },
    FetchOffsets {
        request: FetchOffsetsRequest,
        caller: Caller<FetchOffsetsReply>,
    },
    DeleteOffsets {
        request: DeleteOffsetsRequest,
        caller: Caller<DeleteOffsetsReply>,
    },
    /// `fresh` becomes the member's id, if it needs one.
    ConsumerHeartbeat {
        request: ConsumerHeartbeat,
        fresh: Uuid,
        caller: Caller<ConsumerReply>,
    },
    ConsumerDescribe {
        group_id: String,
        caller: Caller<Result<ConsumerDescribed, Refused>>,
    },
    StreamsHeartbeat {
        request: StreamsHeartbeat,
        caller: Caller<StreamsReply>,
    },
    StreamsDescribe {
        group_id: String,
        caller: Caller<Result<StreamsDescribed, Refused>>,
    },
    Share(ShareEvent),
    List {
        caller: Caller<Vec<Listed>>,
    },
    /// `Err`: there is no such group, or it is not a classic one.
    Describe {
        group_id: String,
        caller: Caller<Result<Described, Refused>>,
    },
    Delete {
        group_id: String,
        caller: Caller<Result<(), GroupError>>,
    },
    /// A topic is gone: so are the offsets committed for it.
    TopicDeleted {
        topic: String,
        /// Whose offsets: a topic that was created anew under the name has another id.
        id: TopicId,
        caller: Caller<()>,
    },
}
