//! What callers ask about share-partitions and what is answered, as plain structs: no protocol version reaches this far down.

use super::ranges::Span;
use super::records::Key;
use crate::config::group::ShareGroupSettings;
use crate::coordinator::Caller;
use crate::coordinator::shards::ShardError;
use crate::ids::{Offset, TopicId};
use crate::log::Waiter;
use std::sync::{Arc, Weak};
use thiserror::Error;

/// The longest group id in bytes: Kafka's record format ends at 32,767.
pub const GROUP_BYTES_MAX: usize = 32_000;

/// Why a share-partition refuses; one variant per reaction of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ShareError {
    #[error(transparent)]
    Shard(#[from] ShardError),
    #[error("the group id is longer than {GROUP_BYTES_MAX} bytes")]
    GroupIdTooLong,
    /// Where the group starts is not known yet, or not any more.
    #[error("the share-partition is not initialised")]
    NotInitialised,
    /// What is acknowledged is not with this member, or not any more.
    #[error("{0}")]
    InvalidState(&'static str),
    /// What is acknowledged was never delivered to anybody.
    #[error("{0}")]
    InvalidRequest(&'static str),
}

/// The settings that a share-partition follows; what they are now comes with each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// `share.record.lock.duration.ms`
    pub lock_ms: i64,
    /// `share.delivery.count.limit`
    pub deliveries_max: i16,
    /// `share.partition.max.record.locks`
    pub locks_max: i64,
    /// `share.renew.acknowledge.enable`
    pub may_renew: bool,
}

impl Policy {
    #[must_use]
    pub fn of(settings: &ShareGroupSettings) -> Policy {
        Policy {
            lock_ms: i64::from(settings.record_lock_duration_ms),
            deliveries_max: i16::try_from(settings.delivery_count_limit).unwrap_or(i16::MAX),
            locks_max: i64::from(settings.partition_max_record_locks),
            may_renew: settings.renew_acknowledge_enable,
        }
    }
}

/// How closely a member keeps to the number of records that it asks for (KIP-1206).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcquireMode {
    /// Whole batches, even when that is more.
    Batches,
    /// Never more.
    Records,
}

/// Where to read for a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    At(Offset),
    /// As many records are under way as may be.
    Full,
}

pub type NextReply = Result<Next, ShareError>;

/// What was read from the partition for a member.
#[derive(Debug, Clone)]
pub struct AcquireRequest {
    pub member: Arc<str>,
    /// Where reading began: what [`Next::At`] said.
    pub from: Offset,
    /// The batches that were read, in order.
    pub batches: Vec<Span>,
    /// Records among them that are never delivered: those of aborted transactions, for a group that reads committed ones.
    pub void: Vec<Span>,
    pub records_max: i64,
    /// About how many records each of the acquired ranges has.
    pub range_records: i64,
    pub mode: AcquireMode,
}

/// Records that a member has until it settles them, or the lock ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acquired {
    pub span: Span,
    /// How often they were delivered, this time included.
    pub count: i16,
}

/// What a member got, in order.
pub type AcquireReply = Result<Vec<Acquired>, ShareError>;

/// What a member says about records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    pub span: Span,
    /// One for all, or one for each offset.
    pub verdicts: Vec<Verdict>,
}

/// What becomes of a record (AcknowledgeType).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// There is no such record.
    Gap,
    Accept,
    /// Somebody else shall have it, or the same member again.
    Release,
    /// Nobody shall have it again.
    Reject,
    /// The member needs more time (KIP-1222).
    Renew,
}

/// What is known about how far a group is in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// `None`: nobody has read there yet.
    pub start: Option<Offset>,
    pub leader_epoch: i32,
    pub state_epoch: i32,
    /// How many offsets at or behind the start are settled.
    pub complete_count: i32,
}

/// What a shard is asked.
#[derive(Debug)]
pub enum Event {
    /// Where to read. `waiter`: is woken from now on whenever that may have changed.
    Next {
        key: Key,
        policy: Policy,
        waiter: Weak<Waiter>,
        caller: Caller<NextReply>,
    },
    /// Where the group starts, unless that is known meanwhile.
    Begin {
        key: Key,
        start: Offset,
        caller: Caller<()>,
    },
    Acquire {
        key: Key,
        policy: Policy,
        request: AcquireRequest,
        caller: Caller<AcquireReply>,
    },
    Acknowledge {
        key: Key,
        policy: Policy,
        member: Arc<str>,
        acknowledgements: Vec<Acknowledgement>,
        caller: Caller<Result<(), ShareError>>,
    },
    /// A member gives back what it has.
    Release {
        key: Key,
        member: Arc<str>,
        caller: Caller<()>,
    },
    /// The partition's log has nothing before `start`.
    Trimmed {
        key: Key,
        start: Offset,
        caller: Caller<()>,
    },
    Describe {
        key: Key,
        caller: Caller<Option<Summary>>,
    },
    /// The group starts anew, at `start`, and nothing that was acquired before counts. `None`: where its settings say when it reads next.
    Reset {
        key: Key,
        start: Option<Offset>,
        state_epoch: i32,
        caller: Caller<()>,
    },
    Delete {
        key: Key,
        caller: Caller<()>,
    },
    DeleteGroup {
        group: Arc<str>,
        caller: Caller<()>,
    },
    TopicDeleted {
        topic: TopicId,
        caller: Caller<()>,
    },
}
