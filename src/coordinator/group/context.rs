//! What a group's decisions depend on beside its own state, and where their effects go.

use super::assignors::Assignor;
use super::messages::{GroupError, JoinRefused, JoinReply};
use super::records::Record;
use crate::catalog::Snapshot;
use crate::catalog::dynamic::{Overrides, Owner};
use crate::config::KafkaSettings;
use crate::config::group::{self, ConsumerGroupSettings, ShareGroupSettings, StreamsGroupSettings};
use crate::config::kafka::MigrationPolicy;
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
    /// `group.consumer.max.size`
    pub consumer_members_max: usize,
    /// `group.share.max.size`
    pub share_members_max: usize,
    /// `group.consumer.assignors`; the first is the default.
    pub assignors: Vec<Assignor>,
    /// `group.consumer.migration.policy`
    pub migration: MigrationPolicy,
    /// `group.consumer.regex.refresh.interval.ms`
    pub regex_refresh_interval_ms: i64,
    /// This broker's id, whose settings may change while it runs.
    pub node_id: i32,
    /// `broker.rack`: with one node the rack of every replica.
    pub racks: Vec<String>,
    /// What a group's own settings default to.
    pub kafka: Arc<KafkaSettings>,
}

impl GroupSettings {
    #[must_use]
    pub fn new(kafka: &KafkaSettings, node_id: i32) -> GroupSettings {
        GroupSettings {
            initial_rebalance_delay_ms: kafka.group_initial_rebalance_delay_ms.max(0),
            session_timeout_min_ms: kafka.group_min_session_timeout_ms,
            session_timeout_max_ms: kafka.group_max_session_timeout_ms,
            members_max: usize::try_from(kafka.group_max_size).unwrap_or(0),
            metadata_max: usize::try_from(kafka.offset_metadata_max_bytes).unwrap_or(0),
            retention_ms: kafka.offsets_retention_minutes.saturating_mul(60_000),
            cleanup_interval_ms: kafka.offsets_retention_check_interval_ms.max(1),
            consumer_members_max: usize::try_from(kafka.group_consumer_max_size).unwrap_or(0),
            share_members_max: usize::try_from(kafka.share.max_size).unwrap_or(0),
            assignors: kafka.group_consumer_assignors.iter().filter_map(|name| Assignor::named(name)).collect(),
            migration: kafka.group_consumer_migration_policy,
            regex_refresh_interval_ms: i64::from(kafka.group_consumer_regex_refresh_interval_ms),
            node_id,
            racks: kafka.given("broker.rack").map(str::to_owned).into_iter().collect(),
            kafka: Arc::new(kafka.clone()),
        }
    }

    /// The settings of one group of the consumer protocol: its own, or else the broker's.
    #[must_use]
    pub fn consumer(&self, catalog: &Snapshot, group_id: &str) -> ConsumerGroupSettings {
        let own = catalog.overrides(&Owner::Group(group_id.to_owned()));
        group::consumer(own, &self.brokers(catalog), &self.kafka)
    }

    /// The same of a streams group.
    #[must_use]
    pub fn streams(&self, catalog: &Snapshot, group_id: &str) -> StreamsGroupSettings {
        let own = catalog.overrides(&Owner::Group(group_id.to_owned()));
        group::streams(own, &self.brokers(catalog), &self.kafka)
    }

    /// What was set for brokers while they run and counts, what counts first in front.
    fn brokers<'a>(&self, catalog: &'a Snapshot) -> Vec<&'a Overrides> {
        let [broker, all] = catalog.broker_overrides_in_force(self.node_id);
        broker.into_iter().chain(all).collect()
    }

    /// The settings of one share group: its own, or else the broker's.
    #[must_use]
    pub fn share(&self, catalog: &Snapshot, group_id: &str) -> ShareGroupSettings {
        let own = catalog.overrides(&Owner::Group(group_id.to_owned()));
        group::share(own, &self.brokers(catalog), &self.kafka)
    }

    #[must_use]
    pub fn default_assignor(&self) -> Assignor {
        self.assignors.first().copied().unwrap_or(Assignor::Uniform)
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
    /// A member of the consumer protocol has to give up partitions.
    Rebalance { group: Arc<str>, member: Arc<str> },
    /// A member of the classic protocol in a consumer group has to join again.
    Rejoin { group: Arc<str>, member: Arc<str> },
    /// A member of the classic protocol in a consumer group has to ask for its assignment.
    MemberSync { group: Arc<str>, member: Arc<str> },
    /// The first rebalance of a streams group has waited for more members.
    FirstRebalance { group: Arc<str> },
    /// Offsets expire.
    Cleanup,
}

impl Timer {
    /// The group that the timer is about.
    #[must_use]
    pub fn group(&self) -> Option<&Arc<str>> {
        match self {
            Timer::Session { group, .. }
            | Timer::Join { group }
            | Timer::Sync { group }
            | Timer::FirstRebalance { group }
            | Timer::Rebalance { group, .. }
            | Timer::Rejoin { group, .. }
            | Timer::MemberSync { group, .. } => Some(group),
            Timer::Cleanup => None,
        }
    }

    /// The member that the timer is about.
    #[must_use]
    pub fn member(&self) -> Option<&Arc<str>> {
        match self {
            Timer::Session { member, .. }
            | Timer::Rebalance { member, .. }
            | Timer::Rejoin { member, .. }
            | Timer::MemberSync { member, .. } => Some(member),
            Timer::Join { .. } | Timer::Sync { .. } | Timer::FirstRebalance { .. } | Timer::Cleanup => None,
        }
    }
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
