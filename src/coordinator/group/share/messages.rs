//! What callers ask of share groups and what is answered, as plain structs.

use crate::coordinator::Caller;
use crate::coordinator::group::messages::{GroupError, Partitions, Refused};
use crate::coordinator::group::records::share::Named;
use crate::ids::TopicId;
use std::collections::{BTreeMap, BTreeSet};

/// A member says that it lives and what it wants (ShareGroupHeartbeat). `None`: as before.
#[derive(Debug, Clone, Default)]
pub struct ShareHeartbeat {
    pub group_id: String,
    pub member_id: String,
    /// 0: joins. −1: leaves.
    pub member_epoch: i32,
    pub rack_id: Option<String>,
    pub topics: Option<BTreeSet<String>>,
    pub client_id: String,
    pub client_host: String,
}

/// What a member is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareBeat {
    pub member_id: String,
    pub member_epoch: i32,
    pub heartbeat_interval_ms: i32,
    /// All that it reads from; `None`: as it was told before.
    pub assignment: Option<Partitions>,
    /// Partitions that the group reads from now on and did not before. Nobody waits for anything to be made for them: where the group
    /// starts there is decided when it is first read from.
    pub initialized: Partitions,
}

pub type ShareReply = Result<ShareBeat, Refused>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareDescribed {
    pub state: &'static str,
    pub epoch: i32,
    pub assignment_epoch: i32,
    pub assignor: &'static str,
    pub members: Vec<ShareDescribedMember>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareDescribedMember {
    pub member_id: String,
    pub member_epoch: i32,
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub topics: Vec<String>,
    pub assignment: Partitions,
}

/// What became of topics whose positions an administrator wants to be forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Those that the group had a position in.
    pub topics: BTreeMap<TopicId, Named>,
}

/// What a shard is asked about share groups.
#[derive(Debug)]
pub enum ShareEvent {
    Heartbeat {
        request: ShareHeartbeat,
        caller: Caller<ShareReply>,
    },
    /// `Err`: there is no such group, or it is not a share group.
    Describe {
        group_id: String,
        caller: Caller<Result<ShareDescribed, Refused>>,
    },
    /// The partitions in which the group has a position; none for a group that is not there (initializedShareGroupPartitions).
    Initialized {
        group_id: String,
        caller: Caller<Partitions>,
    },
    /// An administrator sets the group's position in existing partitions (AlterShareGroupOffsets): the group is made if it is not there,
    /// and must be empty. Answers its epoch.
    Alter {
        group_id: String,
        partitions: Partitions,
        caller: Caller<Result<i32, Refused>>,
    },
    /// An administrator has the group's positions in topics forgotten (DeleteShareGroupOffsets); the group must be empty.
    Forget {
        group_id: String,
        topics: BTreeSet<TopicId>,
        caller: Caller<Result<Forgotten, Refused>>,
    },
}

impl ShareEvent {
    /// The group that is asked about.
    #[must_use]
    pub fn group_id(&self) -> &str {
        match self {
            ShareEvent::Heartbeat { request, .. } => &request.group_id,
            ShareEvent::Describe { group_id, .. }
            | ShareEvent::Initialized { group_id, .. }
            | ShareEvent::Alter { group_id, .. }
            | ShareEvent::Forget { group_id, .. } => group_id,
        }
    }
}

impl Refused {
    /// The group that an administrator wants to change has members.
    #[must_use]
    pub fn non_empty() -> Refused {
        // Errors.NON_EMPTY_GROUP.message
        Refused { error: GroupError::NonEmptyGroup, message: "The group is not empty.".to_owned() }
    }
}
