//! What a group's decisions depend on beside its own state, and where their effects go.

use super::messages::{GroupError, JoinRefused, JoinReply};
use super::records::Record;
use crate::config::KafkaSettings;
use crate::coordinator::{Caller, Effects};
use crate::ids::Timestamp;
use std::sync::Arc;

/// How long a JoinGroup of a new member is kept waiting before it is told to try again, so that members whose client went away do
/// not pile up (ClassicGroup: NEW_MEMBER_JOIN_TIMEOUT_MS).
pub const NEW_MEMBER_JOIN_TIMEOUT_MS: i64 = 5 * 60 * 1000;

/// The settings that groups follow, from Kafka's broker properties.
#[derive(Debug, Clone)]
pub struct GroupSettings {
    /// `group.initial.rebalance.delay.ms`
    pub initial_rebalance_delay_ms: i64,
    /// `group.min.session.timeout.ms`, `group.max.session.timeout.ms`
    pub session_timeout_min_ms: i32,
    pub session_timeout_max_ms: i32,
    /// `group.max.size`
    pub members_max: usize,
    /// `offset.metadata.max.bytes`; counts UTF-16 units, as Kafka does.
    pub metadata_max: usize,
    /// `offsets.retention.minutes`
    pub retention_ms: i64,
    /// `offsets.retention.check.interval.ms`
    pub cleanup_interval_ms: i64,
}

impl GroupSettings {
    #[must_use]
    pub fn new(kafka: &KafkaSettings) -> GroupSettings {
        GroupSettings {
            initial_rebalance_delay_ms: kafka.group_initial_rebalance_delay_ms.max(0),
            session_timeout_min_ms: kafka.group_min_session_timeout_ms,
            session_timeout_max_ms: kafka.group_max_session_timeout_ms,
            members_max: usize::try_from(kafka.group_max_size).unwrap_or(0),
            metadata_max: usize::try_from(kafka.offset_metadata_max_bytes).unwrap_or(0),
            retention_ms: kafka.offsets_retention_minutes.saturating_mul(60_000),
            cleanup_interval_ms: kafka.offsets_retention_check_interval_ms.max(1),
        }
    }
}

/// A deadline of a shard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// A member has to be heard of, or a member that was given an id has to join with it.
    Session { group: Arc<str>, member: Arc<str> },
    /// The join phase of a rebalance ends.
    Join { group: Arc<str> },
    /// Members that joined have to ask for their assignment.
    Sync { group: Arc<str> },
    /// Offsets expire.
    Cleanup,
}

/// The effects of one event on one group.
pub struct Context<'a> {
    pub now: Timestamp,
    pub settings: &'a GroupSettings,
    pub out: &'a mut Effects<Record, Timer>,
}

impl Context<'_> {
    /// Sets the deadline of `timer` to `ms` from now (a negative time: now).
    pub fn set_timer(&mut self, timer: Timer, ms: i64) {
        self.out.timers.push((timer, Some(self.now.plus_ms(ms.max(0)))));
    }

    pub fn cancel_timer(&mut self, timer: Timer) {
        self.out.timers.push((timer, None));
    }

    pub fn reply<V: Send + 'static>(&mut self, caller: Caller<V>, value: V) {
        self.out.reply(caller, value);
    }

    pub fn refuse_join(&mut self, caller: Caller<JoinReply>, error: GroupError, member_id: &str) {
        self.out.reply(caller, Err(JoinRefused { error, member_id: member_id.to_owned() }));
    }
}
