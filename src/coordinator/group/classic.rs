//! A classic group (the client's leader assigns): its members, and what it may do next.
//!
//! ```text
//!            first join                      all joined, or time is up             leader synced
//!   Empty ──────────────▶ PreparingRebalance ──────────────────────▶ Completing ──────────────────▶ Stable
//!     ▲                      │    ▲    ▲                               Rebalance                        │
//!     └─── nobody is left ───┘    │    └── a member comes, leaves, or changes ──┘                       │
//!                                 └──────────── a member comes, leaves, or changes ─────────────────────┘
//! ```
//! Dead is a group that is not in the shard's map. Entering Stable and Empty writes the group's record; the rest is soft. Invariants:
//! * generations only grow, by one each time that a join phase completes;
//! * a group has a leader iff it has members, and the leader is one of them;
//! * an instance id names exactly one member;
//! * all members support one common protocol at least;
//! * a member that waits for a rebalance (join or sync) is not expired, unless it is new and nobody may be behind it.
//!
//! Source: KIP-62, KIP-134, KIP-345, KIP-394, KIP-814; GroupMetadataManager.classicGroup*, ClassicGroup. Phases in [`join`],
//! [`rebalance`] and [`session`]; what happens to a member in [`member`].

pub mod join;
pub mod member;
pub mod rebalance;
pub mod session;

use super::consumer::CONSUMER;
use super::embedded::Subscription;
use super::messages::{Described, DescribedMember, GroupError, GroupKind, JoinedMember, Listed, Protocol};
use super::offsets::RetentionStart;
use super::records::{GroupValue, MemberValue, Record};
use super::{Context, Timer};
use crate::ids::Timestamp;
use bytes::Bytes;
use member::Member;
use rebalance::InitialDelay;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl State {
    /// Kafka's name for it (ClassicGroupState).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }
}

/// One classic group.
#[derive(Debug)]
pub struct ClassicGroup {
    pub(super) id: Arc<str>,
    pub(super) state: State,
    /// When `state` was entered; `None` for a group that was never in another one.
    state_since: Option<Timestamp>,
    pub(super) generation: i32,
    protocol_type: Option<String>,
    /// The protocol of this generation.
    protocol: Option<String>,
    pub(super) leader: Option<Arc<str>>,
    pub(super) members: BTreeMap<Arc<str>, Member>,
    /// Instance id → member id.
    static_members: HashMap<String, Arc<str>>,
    /// Ids that were given out and have not joined yet.
    pending_join: BTreeSet<Arc<str>>,
    /// Members of this generation that have not asked for their assignment yet.
    pending_sync: BTreeSet<Arc<str>>,
    /// Set during the first rebalance of an empty group.
    initial: Option<InitialDelay>,
    /// What this generation of consumers subscribes to, where it can be told.
    subscribed: Option<HashSet<String>>,
}

impl ClassicGroup {
    /// An empty group that nobody has joined: for a first member, or for offsets committed by hand.
    #[must_use]
    pub fn new(id: &str) -> ClassicGroup {
        ClassicGroup {
            id: Arc::from(id),
            state: State::Empty,
            state_since: None,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: HashMap::new(),
            pending_join: BTreeSet::new(),
            pending_sync: BTreeSet::new(),
            initial: None,
            subscribed: None,
        }
    }

    /// The group that wrote `value`: stable if it has members, else empty.
    #[must_use]
    pub fn restored(id: &str, value: &GroupValue) -> ClassicGroup {
        let mut group = ClassicGroup::new(id);
        group.generation = value.generation;
        group.state_since = value.state_since;
        group.protocol_type = Some(value.protocol_type.clone()).filter(|name| !name.is_empty());
        group.protocol.clone_from(&value.protocol);
        for member in &value.members {
            group.add(Member::restored(member, value.protocol.as_deref().unwrap_or_default()));
        }
        if !group.members.is_empty() {
            group.state = State::Stable;
        }
        if let Some((leader, _)) = value.leader.as_deref().and_then(|leader| group.members.get_key_value(leader)) {
            group.leader = Some(leader.clone());
        }
        group.subscribed = group.subscriptions();
        group
    }

    /// A stable group of these members, which had been one of the consumer protocol. Their assignments are still to be set.
    #[must_use]
    pub fn of_members(id: &str, generation: i32, members: Vec<Member>, now: Timestamp) -> ClassicGroup {
        let mut group = ClassicGroup::new(id);
        group.generation = generation;
        for member in members {
            group.add(member);
        }
        group.protocol = group.select_protocol();
        group.subscribed = group.subscriptions();
        group.enter(State::Stable, now);
        group
    }

    /// What `member` told the leader: for the group's protocol, or its first one while there is none.
    #[must_use]
    pub fn metadata_of(&self, member: &Member) -> Bytes {
        let first = || member.protocols.first().map(|protocol| protocol.name.as_str());
        member.metadata(self.protocol.as_deref().or_else(first))
    }

    /// The group becomes one of the consumer protocol: whoever waits is told to join again.
    pub fn interrupt(&mut self, ctx: &mut Context) {
        for member in self.members.values_mut() {
            let id = member.id.to_string();
            member.refuse_join(GroupError::RebalanceInProgress, &id, ctx);
            member.complete_sync(Err(GroupError::RebalanceInProgress), ctx);
        }
        ctx.cancel_timer(self.join_timer());
        ctx.cancel_timer(self.sync_timer());
        for id in &self.pending_join {
            ctx.cancel_timer(self.session_timer(id));
        }
    }

    /// Whether single offsets may be deleted: not while members are there that may commit anything (ClassicGroup.validateOffsetDelete).
    ///
    /// # Errors
    /// [`GroupError::NonEmptyGroup`].
    pub fn check_delete_offsets(&self) -> Result<(), GroupError> {
        if self.state == State::Empty || self.is_consumer() { Ok(()) } else { Err(GroupError::NonEmptyGroup) }
    }

    /// The record of a group that has had no generation yet (GroupCoordinatorRecordHelpers.newEmptyGroupMetadataRecord).
    #[must_use]
    pub fn first_record(&self, now: Timestamp) -> Record {
        let value = GroupValue {
            protocol_type: String::new(),
            generation: 0,
            protocol: None,
            leader: None,
            state_since: Some(now),
            members: Vec::new(),
        };
        Record::Group { group: self.id.to_string(), value: Some(value) }
    }

    /// The group's record, of a generation that nobody has assigned: whoever loads it rebalances.
    #[must_use]
    pub fn leaderless_record(&self) -> Record {
        Record::Group { group: self.id.to_string(), value: Some(GroupValue { leader: None, ..self.value() }) }
    }

    /// The group's record, as it is now.
    #[must_use]
    pub fn record(&self) -> Record {
        Record::Group { group: self.id.to_string(), value: Some(self.value()) }
    }

    fn value(&self) -> GroupValue {
        let members = self.members.values().map(|member| MemberValue {
            id: member.id.to_string(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: member.metadata(self.protocol.as_deref()),
            assignment: member.assignment.clone(),
        });
        GroupValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.as_deref().map(str::to_owned),
            state_since: self.state_since,
            members: members.collect(),
        }
    }

    /// Whether nothing would be lost with the group: no member, none expected, no generation.
    #[must_use]
    pub fn is_vacant(&self) -> bool {
        self.state == State::Empty && self.generation == 0 && self.pending_join.is_empty()
    }

    /// Whether the group may be deleted, together with its offsets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state == State::Empty
    }

    /// Whether a member was given an id and is expected to come back with it.
    #[must_use]
    pub fn is_expecting(&self) -> bool {
        !self.pending_join.is_empty()
    }

    #[must_use]
    pub fn list(&self) -> Listed {
        Listed {
            group_id: self.id.to_string(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            state: self.state.name(),
            kind: GroupKind::Classic,
        }
    }

    #[must_use]
    pub fn describe(&self) -> Described {
        // Metadata and assignments belong to a generation that stands (ClassicGroupMember.describeNoMetadata).
        let is_stable = self.state == State::Stable;
        let members = self.members.values().map(|member| DescribedMember {
            member_id: member.id.to_string(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: if is_stable { member.metadata(self.protocol.as_deref()) } else { Bytes::new() },
            assignment: if is_stable { member.assignment.clone() } else { Bytes::new() },
        });
        Described {
            state: self.state.name(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: self.protocol.clone().filter(|_| is_stable).unwrap_or_default(),
            members: members.collect(),
        }
    }

    /// From when the retention of the group's offsets counts; `None` while none may expire. As ClassicGroup.offsetExpirationCondition, but
    /// that what was committed after the last member left counts from its commit: callers over HTTP go on without members.
    #[must_use]
    pub fn retention_start(&self) -> Option<RetentionStart> {
        let is_consumer = self.is_consumer();
        match (self.protocol_type.is_some(), self.state) {
            (false, _) => Some(RetentionStart::Commit),
            (true, State::Empty) => Some(RetentionStart::of(self.state_since)),
            (true, State::Stable) if is_consumer && self.subscribed.is_some() => Some(RetentionStart::Commit),
            (true, _) => None,
        }
    }

    /// Whether a member consumes `topic`; a consumer group whose subscriptions cannot be read may consume anything.
    #[must_use]
    pub fn is_subscribed(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.is_consumer(),
        }
    }

    /// Whether its members are consumers, whose metadata is understood here.
    #[must_use]
    pub fn is_consumer(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    fn enter(&mut self, state: State, now: Timestamp) {
        self.state = state;
        self.state_since = Some(now);
    }

    fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    /// Adds a member; the first one gives the group its protocol type and leads it.
    fn add(&mut self, member: Member) {
        if self.members.is_empty() && !member.protocol_type.is_empty() {
            self.protocol_type = Some(member.protocol_type.clone());
        }
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(instance_id.clone(), member.id.clone());
        }
        self.leader.get_or_insert_with(|| member.id.clone());
        self.pending_join.remove(&member.id);
        self.members.insert(member.id.clone(), member);
    }

    /// Forgets a member, joined or pending. Whoever still waits in its name is told that there is no such member, which makes the
    /// client join anew if it is alive.
    fn remove(&mut self, member_id: &str, ctx: &mut Context) {
        self.pending_join.remove(member_id);
        self.pending_sync.remove(member_id);
        let Some(mut member) = self.members.remove(member_id) else { return };
        member.refuse_join(GroupError::UnknownMember, "", ctx);
        member.complete_sync(Err(GroupError::UnknownMember), ctx);
        if let Some(instance_id) = &member.instance_id {
            self.static_members.remove(instance_id);
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Whether a member with these protocols fits in: the group's type, and one protocol that every member has.
    fn supports(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.state == State::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|protocol| self.members.values().all(|member| member.supports(&protocol.name)))
    }

    /// The protocol with most votes among those that all members support; each votes for the first that it named. Ties go to what
    /// the leader prefers.
    fn select_protocol(&self) -> Option<String> {
        let leader = self.leader.as_deref().and_then(|leader| self.members.get(leader))?;
        let names = leader.protocols.iter().rev().map(|protocol| protocol.name.as_str());
        let common: Vec<&str> = names.filter(|name| self.members.values().all(|member| member.supports(name))).collect();
        let mut votes: HashMap<&str, usize> = common.iter().map(|name| (*name, 0)).collect();
        for member in self.members.values() {
            let vote = member.protocols.iter().map(|protocol| protocol.name.as_str()).find(|name| votes.contains_key(name));
            *votes.entry(vote?).or_default() += 1;
        }
        // `max_by_key` answers the last of several: what the leader named first.
        common.into_iter().max_by_key(|name| votes.get(name).copied()).map(str::to_owned)
    }

    /// Whether every member waits for the next generation, and nobody else is expected.
    fn has_all_joined(&self) -> bool {
        self.pending_join.is_empty() && self.members.values().all(Member::is_awaiting_join)
    }

    /// The longest rebalance timeout of the members; 0 without any.
    fn rebalance_timeout_ms(&self) -> i64 {
        self.members.values().map(|member| i64::from(member.rebalance_timeout_ms)).max().unwrap_or(0).max(0)
    }

    /// Whether `member_id` may speak for the group, and for `instance_id` if it is static.
    ///
    /// # Errors
    /// [`GroupError::UnknownMember`], [`GroupError::FencedInstance`].
    pub fn check_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), GroupError> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(GroupError::UnknownMember),
                Some(holder) if **holder != *member_id => return Err(GroupError::FencedInstance),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(GroupError::UnknownMember) }
    }

    /// Every member with its metadata: what the leader assigns by.
    fn joined_members(&self) -> Vec<JoinedMember> {
        let joined = self.members.values().map(|member| JoinedMember {
            member_id: member.id.to_string(),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata(self.protocol.as_deref()),
        });
        joined.collect()
    }

    /// (Re)starts the time within which a member has to be heard of.
    fn restart_session(&self, member: &Member, ctx: &mut Context) {
        ctx.set_timer(self.session_timer(&member.id), i64::from(member.session_timeout_ms));
    }

    fn session_timer(&self, member_id: &Arc<str>) -> Timer {
        Timer::Session { group: self.id.clone(), member: member_id.clone() }
    }

    fn join_timer(&self) -> Timer {
        Timer::Join { group: self.id.clone() }
    }

    fn sync_timer(&self) -> Timer {
        Timer::Sync { group: self.id.clone() }
    }

    /// The topics that this generation subscribes to; `None` when that cannot be told (not consumers, or unreadable metadata).
    fn subscriptions(&self) -> Option<HashSet<String>> {
        if !self.is_consumer() {
            return None;
        }
        let mut topics = HashSet::new();
        for member in self.members.values() {
            topics.extend(Subscription::topics(&member.metadata(Some(self.protocol.as_deref()?))).ok()?);
        }
        Some(topics)
    }
}
