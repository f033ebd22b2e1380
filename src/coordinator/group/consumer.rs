//! A group of the consumer protocol (KIP-848): the server assigns, and each member is led from what it owns to its target at its own pace.
//!
//! ```text
//!   members, subscriptions, topics change ──▶ group epoch + 1 ──▶ target (assignment epoch = group epoch)
//!   per member:   Stable ──target without what it owns──▶ Unrevoked ──it says that it gave that up──▶ (next epoch)
//!                   ▲                                                                                     │
//!                   └──all of the target is free── Unreleased ◀──part of the target is still another's────┘
//! ```
//! All of [`ConsumerGroup`] is durable: it changes only by [`ConsumerGroup::apply`], while it lives and when it is replayed. A change
//! is applied the moment it is decided ([`Change::write`]), so that the next step of the same event sees it; the runtime applies the
//! record once more when it is appended, which changes nothing. What is not durable ([`Soft`]) is only about when to look again.
//!
//! Invariants:
//! * a partition is owned (assigned, or not given up yet) by at most one member: nobody is assigned what another one still owns;
//! * group epoch ≥ assignment epoch ≥ each member's epoch, and none of them ever goes back;
//! * targets cover every partition of every topic that a member subscribes to, each once;
//! * an instance id names one member.
//!
//! Source: KIP-848; GroupMetadataManager.consumerGroup*, ConsumerGroup, CurrentAssignmentBuilder, TargetAssignmentBuilder of 4.3.
//! Steps in [`heartbeat`], [`membership`], [`reconcile`], [`subscriptions`], [`target`]; members of the classic protocol in [`classic_members`].

pub mod classic_members;
pub mod heartbeat;
pub mod membership;
pub mod reconcile;
pub mod subscriptions;
pub mod target;

use super::assignors::Assignor;
use super::messages::{ConsumerDescribed, ConsumerMember, GroupError, GroupKind, Listed, Partitions};
use super::records::Record;
use super::records::consumer::{
    ConsumerRecord, Current, EpochValue, MemberMetadata, MemberState, Owned, ResolvedRegex, TargetEpochValue,
};
use super::{Context, Timer};
use crate::catalog::Snapshot;
use crate::config::group::ConsumerGroupSettings;
use crate::ids::{Timestamp, TopicId};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// The protocol type of groups of this kind (ConsumerProtocol.PROTOCOL_TYPE).
pub const CONSUMER: &str = "consumer";

/// One member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    pub metadata: MemberMetadata,
    pub current: Current,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerGroup {
    pub(super) epoch: i32,
    /// What the subscribed topics looked like at `epoch`.
    metadata_hash: i64,
    /// The group epoch that `targets` were made for.
    pub(super) assignment_epoch: i32,
    assignment_time: Timestamp,
    pub(super) members: BTreeMap<Arc<str>, Member>,
    targets: BTreeMap<Arc<str>, Partitions>,
    regexes: BTreeMap<String, ResolvedRegex>,
    /// From `members`: instance id → member id.
    static_members: HashMap<String, Arc<str>>,
    /// From `members`: who owns a partition.
    owners: HashMap<(TopicId, i32), Arc<str>>,
}

impl Default for ConsumerGroup {
    /// A group that nobody has joined: it has not assigned anything, and its first epoch is 1, because 0 means "joining" (ModernGroup).
    fn default() -> ConsumerGroup {
        ConsumerGroup {
            epoch: 1,
            metadata_hash: 0,
            assignment_epoch: 0,
            assignment_time: Timestamp(0),
            members: BTreeMap::new(),
            targets: BTreeMap::new(),
            regexes: BTreeMap::new(),
            static_members: HashMap::new(),
            owners: HashMap::new(),
        }
    }
}

/// What a group forgets in a crash.
#[derive(Debug, Default)]
pub struct Soft {
    /// When it was last known to have members. `None`: it has had none since the shard was loaded.
    pub(super) occupied_at: Option<Timestamp>,
    /// The catalog that `metadata_hash` and `regexes` were last compared with.
    seen_version: Option<u64>,
    /// When the regular expressions were last resolved.
    resolved_at: Option<Timestamp>,
    /// Members of the classic protocol that were told to join again and have not come yet.
    awaited: HashSet<Arc<str>>,
}

/// One event on one group: the group, what it depends on, and where the effects go.
pub struct Change<'a, 'b> {
    pub id: &'a Arc<str>,
    pub group: &'a mut ConsumerGroup,
    pub soft: &'a mut Soft,
    pub catalog: &'a Snapshot,
    pub ctx: &'a mut Context<'b>,
}

impl Change<'_, '_> {
    /// Makes a change durable, and true at once.
    fn write(&mut self, change: ConsumerRecord) {
        self.group.apply(change.clone());
        self.ctx.out.records.push(Record::Consumer { group: self.id.to_string(), change });
    }

    /// The group's own settings, or else the broker's.
    fn settings(&self) -> ConsumerGroupSettings {
        self.ctx.settings.consumer(self.catalog, self.id)
    }

    fn session_timer(&self, member_id: &str) -> Timer {
        Timer::Session { group: self.id.clone(), member: Arc::from(member_id) }
    }

    fn rebalance_timer(&self, member_id: &str) -> Timer {
        Timer::Rebalance { group: self.id.clone(), member: Arc::from(member_id) }
    }
}

impl Member {
    /// Whether the member speaks the classic protocol (KIP-848's migration).
    #[must_use]
    pub fn is_classic(&self) -> bool {
        self.metadata.classic.is_some()
    }

    /// Whether the member owns all of its target of `assignment_epoch`, and nothing else.
    #[must_use]
    pub fn is_reconciled_to(&self, assignment_epoch: i32) -> bool {
        self.current.state == MemberState::Stable && self.current.epoch == assignment_epoch
    }
}

impl ConsumerGroup {
    /// Takes over one change. The same one again changes nothing.
    pub fn apply(&mut self, change: ConsumerRecord) {
        match change {
            ConsumerRecord::Epoch(value) => {
                let value = value.unwrap_or(EpochValue { epoch: 1, metadata_hash: 0 });
                (self.epoch, self.metadata_hash) = (value.epoch, value.metadata_hash);
            }
            ConsumerRecord::TargetEpoch(value) => {
                let value = value.unwrap_or(TargetEpochValue { epoch: 0, time: Timestamp(0) });
                (self.assignment_epoch, self.assignment_time) = (value.epoch, value.time);
            }
            ConsumerRecord::Member { id, value } => self.apply_member(&id, value),
            ConsumerRecord::Target { id, value: Some(target) } => {
                self.targets.insert(Arc::from(id), target);
            }
            ConsumerRecord::Target { id, value: None } => {
                self.targets.remove(id.as_str());
            }
            ConsumerRecord::Current { id, value } => self.apply_current(&id, value),
            ConsumerRecord::Regex { regex, value: Some(resolved) } => {
                self.regexes.insert(regex, resolved);
            }
            ConsumerRecord::Regex { regex, value: None } => {
                self.regexes.remove(&regex);
            }
        }
    }

    fn apply_member(&mut self, id: &str, value: Option<MemberMetadata>) {
        let Some(metadata) = value else {
            self.remove(id);
            return;
        };
        let id: Arc<str> = Arc::from(id);
        let member = self.members.entry(id.clone()).or_default();
        if let Some(former) = &member.metadata.instance_id
            && metadata.instance_id.as_ref() != Some(former)
            && self.static_members.get(former) == Some(&id)
        {
            self.static_members.remove(former);
        }
        if let Some(instance_id) = &metadata.instance_id {
            self.static_members.insert(instance_id.clone(), id);
        }
        member.metadata = metadata;
    }

    fn remove(&mut self, id: &str) {
        let Some(member) = self.members.remove(id) else { return };
        self.disown(id, &member.current);
        if let Some(instance_id) = &member.metadata.instance_id
            && self.static_members.get(instance_id).is_some_and(|holder| **holder == *id)
        {
            self.static_members.remove(instance_id);
        }
    }

    fn apply_current(&mut self, id: &str, value: Option<Current>) {
        let Some(current) = value else {
            if let Some(member) = self.members.get_mut(id) {
                let former = std::mem::take(&mut member.current);
                self.disown(id, &former);
            }
            return;
        };
        let id: Arc<str> = Arc::from(id);
        let member = self.members.entry(id.clone()).or_default();
        let former = std::mem::replace(&mut member.current, current.clone());
        self.disown(&id, &former);
        for one in partitions_of(&current.assigned).chain(partitions_of(&current.revoking)) {
            self.owners.insert(one, id.clone());
        }
    }

    fn disown(&mut self, id: &str, current: &Current) {
        for one in partitions_of(&current.assigned).chain(partitions_of(&current.revoking)) {
            if self.owners.get(&one).is_some_and(|owner| **owner == *id) {
                self.owners.remove(&one);
            }
        }
    }

    /// All that is durable, as records in an order that replays.
    pub fn records(&self) -> impl Iterator<Item = ConsumerRecord> {
        let epoch = ConsumerRecord::Epoch(Some(EpochValue { epoch: self.epoch, metadata_hash: self.metadata_hash }));
        let target_epoch = TargetEpochValue { epoch: self.assignment_epoch, time: self.assignment_time };
        let members = self.members.iter();
        let metadata = members
            .clone()
            .map(|(id, member)| ConsumerRecord::Member { id: id.to_string(), value: Some(member.metadata.clone()) });
        let targets = self.targets.iter();
        let targets = targets.map(|(id, target)| ConsumerRecord::Target { id: id.to_string(), value: Some(target.clone()) });
        let current =
            members.map(|(id, member)| ConsumerRecord::Current { id: id.to_string(), value: Some(member.current.clone()) });
        let regexes = self.regexes.iter();
        let regexes =
            regexes.map(|(regex, resolved)| ConsumerRecord::Regex { regex: regex.clone(), value: Some(resolved.clone()) });
        std::iter::once(epoch)
            .chain(metadata)
            .chain(targets)
            .chain([ConsumerRecord::TargetEpoch(Some(target_epoch))])
            .chain(current)
            .chain(regexes)
    }

    /// What forgets the group, in the order in which Kafka reads it (ConsumerGroup.createGroupTombstoneRecords).
    pub fn tombstones(&self) -> impl Iterator<Item = ConsumerRecord> {
        let ids = self.members.keys().map(|id| id.to_string());
        let current = ids.clone().map(|id| ConsumerRecord::Current { id, value: None });
        let targets = self.targets.keys().map(|id| ConsumerRecord::Target { id: id.to_string(), value: None });
        let members = ids.map(|id| ConsumerRecord::Member { id, value: None });
        let regexes = self.regexes.keys().map(|regex| ConsumerRecord::Regex { regex: regex.clone(), value: None });
        current
            .chain(targets)
            .chain([ConsumerRecord::TargetEpoch(None)])
            .chain(members)
            .chain(regexes)
            .chain([ConsumerRecord::Epoch(None)])
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether a member consumes `topic`.
    #[must_use]
    pub fn is_subscribed(&self, topic: &str) -> bool {
        self.members.values().any(|member| member.metadata.topics.contains(topic))
            || self.regexes.values().any(|resolved| resolved.topics.contains(topic))
    }

    /// Kafka's name for the group's state (ConsumerGroup.ConsumerGroupState).
    #[must_use]
    pub fn state(&self) -> &'static str {
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.assignment_epoch {
            "Assigning"
        } else if self.members.values().all(|member| member.is_reconciled_to(self.assignment_epoch)) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    #[must_use]
    pub fn list(&self, id: &str) -> Listed {
        let (group_id, protocol_type) = (id.to_owned(), CONSUMER.to_owned());
        Listed { group_id, protocol_type, state: self.state(), kind: GroupKind::Consumer }
    }

    #[must_use]
    pub fn describe(&self, default: Assignor) -> ConsumerDescribed {
        // No order is promised. Kafka's is that of a hash table, in which the later of two like ids comes first.
        let members = self.members.iter().rev().map(|(id, member)| {
            let Member { metadata, current } = member;
            let mut assignment = Partitions::new();
            for (topic, partition) in partitions_of(&current.assigned).chain(partitions_of(&current.revoking)) {
                assignment.entry(topic).or_default().insert(partition);
            }
            ConsumerMember {
                member_id: id.to_string(),
                member_epoch: current.epoch,
                instance_id: metadata.instance_id.clone(),
                rack_id: metadata.rack_id.clone(),
                client_id: metadata.client_id.clone(),
                client_host: metadata.client_host.clone(),
                topics: metadata.topics.iter().cloned().collect(),
                regex: metadata.regex.clone(),
                assignment,
                target: self.targets.get(id).cloned().unwrap_or_default(),
                is_classic: member.is_classic(),
            }
        });
        ConsumerDescribed {
            state: self.state(),
            epoch: self.epoch,
            assignment_epoch: self.assignment_epoch,
            assignor: self.preferred_assignor().unwrap_or(default).name(),
            members: members.collect(),
        }
    }

    /// The member called `member_id`, and for `instance_id` if it is static.
    ///
    /// # Errors
    /// [`GroupError::UnknownMember`], [`GroupError::FencedInstance`].
    pub fn member(&self, member_id: &str, instance_id: Option<&str>) -> Result<&Member, GroupError> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(GroupError::UnknownMember),
                Some(holder) if **holder != *member_id => return Err(GroupError::FencedInstance),
                Some(_) => {}
            }
        }
        self.members.get(member_id).ok_or(GroupError::UnknownMember)
    }

    /// Whether the request's epoch is the member's (OffsetFetch).
    ///
    /// # Errors
    /// [`GroupError::UnknownMember`]; [`GroupError::StaleEpoch`], which members of the classic protocol know as
    /// [`GroupError::IllegalGeneration`].
    pub fn check_fetch(&self, member_id: &str, epoch: i32) -> Result<(), GroupError> {
        let member = self.member(member_id, None)?;
        if member.current.epoch == epoch { Ok(()) } else { Err(stale(member)) }
    }

    /// Who may commit offsets: the member at its epoch, or at an older one for a partition that it has had since (KIP-1251), or an
    /// administrator while the group is empty. Answers the member whose partitions have to be looked at one by one.
    ///
    /// # Errors
    /// As [`ConsumerGroup::check_fetch`]; [`GroupError::UnsupportedVersion`] when the request cannot know of epochs.
    pub fn check_commit(&self, member_id: &str, epoch: i32, knows_epochs: bool) -> Result<Option<&Member>, GroupError> {
        if epoch < 0 && self.is_empty() {
            return Ok(None);
        }
        let member = self.member(member_id, None)?;
        if !member.is_classic() && !knows_epochs {
            return Err(GroupError::UnsupportedVersion);
        }
        match epoch.cmp(&member.current.epoch) {
            std::cmp::Ordering::Equal => Ok(None),
            std::cmp::Ordering::Greater => Err(stale(member)),
            std::cmp::Ordering::Less => Ok(Some(member)),
        }
    }
}

impl Member {
    /// Whether a commit from the earlier `epoch` is still about the partition as this member has it: it was assigned no later.
    ///
    /// # Errors
    /// As [`ConsumerGroup::check_fetch`].
    pub fn check_earlier_commit(&self, epoch: i32, topic: TopicId, partition: i32) -> Result<(), GroupError> {
        let since = |owned: &Owned| owned.get(&topic).and_then(|partitions| partitions.get(&partition)).copied();
        match since(&self.current.assigned).or_else(|| since(&self.current.revoking)) {
            Some(since) if epoch >= since => Ok(()),
            _ => Err(stale(self)),
        }
    }
}

fn stale(member: &Member) -> GroupError {
    if member.is_classic() { GroupError::IllegalGeneration } else { GroupError::StaleEpoch }
}

/// Each partition of `owned`.
fn partitions_of(owned: &Owned) -> impl Iterator<Item = (TopicId, i32)> {
    owned.iter().flat_map(|(topic, partitions)| partitions.keys().map(|partition| (*topic, *partition)))
}
