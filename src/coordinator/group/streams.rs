//! A streams group (KIP-1071): the server knows the application's topology, assigns its tasks, and leads each member from the tasks that it
//! runs to those that it should.
//!
//! ```text
//!   members, topology, its topics, settings change ──▶ group epoch + 1 ──▶ target (assignment epoch = group epoch)
//!   topology: NotReady ──all topics there, and partitioned as it needs──▶ (ready: tasks are assigned)
//!   per member:   Stable ──target without what it runs──▶ Unrevoked ──it says that it gave that up──▶ (next epoch)
//!                   ▲                                                                                     │
//!                   └──all of the target is free── Unreleased ◀──a task is still run elsewhere──────────────┘
//! ```
//! All of [`StreamsGroup`] is durable, in the way of consumer groups: it changes only by [`StreamsGroup::apply`], at once when a change is
//! decided ([`Change::write`]) and once more when the record is appended. What is not durable is [`Soft`].
//!
//! Invariants:
//! * a task is active (assigned, or not given up yet) at one process at most, and a process has it once: active, standby or warm-up;
//! * group epoch ≥ assignment epoch ≥ each member's epoch, and the first two never go back;
//! * when the topology is ready, targets make every task active exactly once.
//!
//! As Kafka 4.3.1, a topology stays what the first member brought, no member is static, and nothing is warmed up.
//! Source: KIP-1071; GroupMetadataManager.streamsGroup*, StreamsGroup and its package. Steps in [`heartbeat`], [`membership`],
//! [`reconcile`], [`target`]; topics in [`topics`] and [`copartition`]; who assigns in [`assignor`].

mod assignor;
mod copartition;
mod describe;
mod endpoints;
pub mod heartbeat;
pub mod membership;
pub mod messages;
mod reconcile;
mod target;
mod topics;

use super::messages::{GroupError, GroupKind, Listed};
use super::records::Record;
use super::records::consumer::{MemberState, TargetEpochValue};
use super::records::streams::{
    CurrentTasks, NOT_VALIDATED, OwnedTasks, StreamsEpoch, StreamsMetadata, StreamsRecord, Tasks, Topology,
};
use super::{Context, Timer};
use crate::catalog::Snapshot;
use crate::config::group::StreamsGroupSettings;
use crate::ids::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use topics::Configured;

/// The protocol type of groups of this kind (StreamsGroup.PROTOCOL_TYPE).
const STREAMS: &str = "streams";

/// One member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    pub metadata: StreamsMetadata,
    pub current: CurrentTasks,
}

/// A partition of a subtopology.
type TaskId = (String, i32);

/// What a process does with tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Role {
    Active,
    Standby,
    Warmup,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamsGroup {
    epoch: StreamsEpoch,
    /// The group epoch that `targets` were made for.
    assignment: TargetEpochValue,
    topology: Option<Topology>,
    /// From `topology`: which subtopology reads a topic.
    readers: HashMap<String, String>,
    members: BTreeMap<Arc<str>, Member>,
    targets: BTreeMap<Arc<str>, Tasks>,
    /// From `members`: how many members of which process own a task, by role.
    owners: HashMap<TaskId, BTreeMap<(Role, String), usize>>,
}

/// The epochs of a group that has not assigned anything: 0 means "joining" (StreamsGroup, TargetAssignmentMetadata.INITIAL).
const FIRST_EPOCH: i32 = 1;
const NOT_ASSIGNED: TargetEpochValue = TargetEpochValue { epoch: FIRST_EPOCH, time: Timestamp(0) };

fn first_epoch() -> StreamsEpoch {
    StreamsEpoch { epoch: FIRST_EPOCH, validated_topology_epoch: NOT_VALIDATED, ..StreamsEpoch::default() }
}

impl Default for StreamsGroup {
    /// A group that nobody has joined.
    fn default() -> StreamsGroup {
        StreamsGroup {
            epoch: first_epoch(),
            assignment: NOT_ASSIGNED,
            topology: None,
            readers: HashMap::new(),
            members: BTreeMap::new(),
            targets: BTreeMap::new(),
            owners: HashMap::new(),
        }
    }
}

/// What a group forgets in a crash.
#[derive(Debug, Default)]
pub struct Soft {
    /// When it was last known to have members. `None`: it has had none since the shard was loaded.
    pub(super) occupied_at: Option<Timestamp>,
    /// The catalog that the group's metadata hash was last compared with.
    seen_version: Option<u64>,
    /// The topology, held against the topics that exist.
    configured: Option<Configured>,
    /// Whether the first rebalance still waits for more members.
    is_delayed: bool,
    /// Who wants the application to stop; until the group is empty.
    shutdown_by: Option<String>,
    /// How often members with an endpoint were told of other tasks.
    endpoint_epoch: i32,
}

/// One event on one group: the group, what it depends on, and where the effects go.
pub struct Change<'a, 'b> {
    pub id: &'a Arc<str>,
    pub group: &'a mut StreamsGroup,
    pub soft: &'a mut Soft,
    pub catalog: &'a Snapshot,
    pub ctx: &'a mut Context<'b>,
}

impl Change<'_, '_> {
    /// Makes a change durable, and true at once.
    fn write(&mut self, change: StreamsRecord) {
        self.group.apply(change.clone());
        self.ctx.out.records.push(Record::Streams { group: self.id.to_string(), change });
    }

    /// The group's own settings, or else the broker's.
    fn settings(&self) -> StreamsGroupSettings {
        self.ctx.settings.streams(self.catalog, self.id)
    }

    fn session_timer(&self, member_id: &str) -> Timer {
        Timer::Session { group: self.id.clone(), member: Arc::from(member_id) }
    }

    fn rebalance_timer(&self, member_id: &str) -> Timer {
        Timer::Rebalance { group: self.id.clone(), member: Arc::from(member_id) }
    }
}

impl Member {
    /// Whether the member runs all of its target of `assignment_epoch`, and nothing else.
    #[must_use]
    fn is_reconciled_to(&self, assignment_epoch: i32) -> bool {
        self.current.state == MemberState::Stable && self.current.epoch == assignment_epoch
    }
}

impl StreamsGroup {
    /// Takes over one change. The same one again changes nothing.
    pub fn apply(&mut self, change: StreamsRecord) {
        match change {
            StreamsRecord::Epoch(value) => self.epoch = value.unwrap_or_else(first_epoch),
            StreamsRecord::TargetEpoch(value) => self.assignment = value.unwrap_or(NOT_ASSIGNED),
            StreamsRecord::Topology(value) => {
                self.readers = value.as_ref().map(Topology::readers).unwrap_or_default();
                self.topology = value;
            }
            StreamsRecord::Member { id, value: Some(metadata) } => self.apply_to(&id, |member| member.metadata = metadata),
            StreamsRecord::Member { id, value: None } => {
                if let Some(member) = self.members.remove(id.as_str()) {
                    self.count(&member, Count::Down);
                }
            }
            StreamsRecord::Current { id, value: Some(current) } => self.apply_to(&id, |member| member.current = current),
            StreamsRecord::Current { id, value: None } => {
                if self.members.contains_key(id.as_str()) {
                    self.apply_to(&id, |member| member.current = CurrentTasks::default());
                }
            }
            StreamsRecord::Target { id, value: Some(target) } => {
                self.targets.insert(Arc::from(id), target);
            }
            StreamsRecord::Target { id, value: None } => {
                self.targets.remove(id.as_str());
            }
        }
    }

    /// Changes a member, which comes to be if it was none.
    fn apply_to(&mut self, id: &str, change: impl FnOnce(&mut Member)) {
        let mut member = self.members.remove(id).unwrap_or_default();
        self.count(&member, Count::Down);
        change(&mut member);
        self.count(&member, Count::Up);
        self.members.insert(Arc::from(id), member);
    }

    /// Counts a member's tasks in or out.
    fn count(&mut self, member: &Member, direction: Count) {
        let process = &member.metadata.process_id;
        for (role, task) in tasks_of(&member.current.assigned).chain(tasks_of(&member.current.revoking)) {
            let owners = self.owners.entry(task.clone()).or_default();
            let count = owners.entry((role, process.clone())).or_default();
            match direction {
                Count::Up => *count += 1,
                Count::Down => *count = count.saturating_sub(1),
            }
            owners.retain(|_, count| *count > 0);
            if owners.is_empty() {
                self.owners.remove(&task);
            }
        }
    }

    /// Whether any process runs the task.
    fn is_active(&self, subtopology: &str, partition: i32) -> bool {
        self.owners_of(subtopology, partition).any(|(role, _)| *role == Role::Active)
    }

    /// Whether `process` has the task, in any role.
    fn is_at(&self, process: &str, subtopology: &str, partition: i32) -> bool {
        self.owners_of(subtopology, partition).any(|(_, owner)| owner == process)
    }

    fn owners_of(&self, subtopology: &str, partition: i32) -> impl Iterator<Item = &(Role, String)> {
        self.owners.get(&(subtopology.to_owned(), partition)).into_iter().flat_map(BTreeMap::keys)
    }

    /// All that is durable, as records in an order that replays.
    pub fn records(&self) -> impl Iterator<Item = StreamsRecord> {
        let members = self.members.iter();
        let metadata = members
            .clone()
            .map(|(id, member)| StreamsRecord::Member { id: id.to_string(), value: Some(member.metadata.clone()) });
        let targets = self.targets.iter();
        let targets = targets.map(|(id, target)| StreamsRecord::Target { id: id.to_string(), value: Some(target.clone()) });
        let current =
            members.map(|(id, member)| StreamsRecord::Current { id: id.to_string(), value: Some(member.current.clone()) });
        let topology = self.topology.clone().map(|topology| StreamsRecord::Topology(Some(topology)));
        std::iter::once(StreamsRecord::Epoch(Some(self.epoch.clone())))
            .chain(topology)
            .chain(metadata)
            .chain(targets)
            .chain([StreamsRecord::TargetEpoch(Some(self.assignment))])
            .chain(current)
    }

    /// What forgets the group, in the order in which Kafka reads it (StreamsGroup.createGroupTombstoneRecords).
    pub fn tombstones(&self) -> impl Iterator<Item = StreamsRecord> {
        let ids = self.members.keys().map(|id| id.to_string());
        let current = ids.clone().map(|id| StreamsRecord::Current { id, value: None });
        let targets = self.targets.keys().map(|id| StreamsRecord::Target { id: id.to_string(), value: None });
        let members = ids.map(|id| StreamsRecord::Member { id, value: None });
        current
            .chain(targets)
            .chain([StreamsRecord::TargetEpoch(None)])
            .chain(members)
            .chain([StreamsRecord::Epoch(None), StreamsRecord::Topology(None)])
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether a member reads `topic` (StreamsGroup.isSubscribedToTopic).
    #[must_use]
    pub fn is_subscribed(&self, topic: &str) -> bool {
        !self.is_empty() && self.readers.contains_key(topic)
    }

    /// Kafka's name for the group's state (StreamsGroup.StreamsGroupState).
    #[must_use]
    pub fn state(&self) -> &'static str {
        let is_valid = |topology: &Topology| topology.epoch == self.epoch.validated_topology_epoch;
        if self.members.is_empty() {
            "Empty"
        } else if !self.topology.as_ref().is_some_and(is_valid) {
            "NotReady"
        } else if self.epoch.epoch > self.assignment.epoch {
            "Assigning"
        } else if self.members.values().all(|member| member.is_reconciled_to(self.assignment.epoch)) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    #[must_use]
    pub fn list(&self, id: &str) -> Listed {
        let (group_id, protocol_type) = (id.to_owned(), STREAMS.to_owned());
        Listed { group_id, protocol_type, state: self.state(), kind: GroupKind::Streams }
    }

    /// What `member_id` should run.
    #[must_use]
    fn target(&self, member_id: &str) -> Tasks {
        self.targets.get(member_id).cloned().unwrap_or_default()
    }

    /// Whether the request's epoch is the member's (OffsetFetch).
    ///
    /// # Errors
    /// [`GroupError::UnknownMember`], [`GroupError::StaleEpoch`].
    pub fn check_fetch(&self, member_id: &str, epoch: i32) -> Result<(), GroupError> {
        let member = self.members.get(member_id).ok_or(GroupError::UnknownMember)?;
        if member.current.epoch == epoch { Ok(()) } else { Err(GroupError::StaleEpoch) }
    }

    /// Who may commit offsets: the member at its epoch, or at an older one for a task that it has had since, or an administrator while the
    /// group is empty. Answers the member whose partitions have to be looked at one by one.
    ///
    /// # Errors
    /// As [`StreamsGroup::check_fetch`]; [`GroupError::UnsupportedVersion`] when the request cannot know of epochs.
    pub fn check_commit(&self, member_id: &str, epoch: i32, knows_epochs: bool) -> Result<Option<&Member>, GroupError> {
        if epoch < 0 && self.is_empty() {
            return Ok(None);
        }
        let member = self.members.get(member_id).ok_or(GroupError::UnknownMember)?;
        if !knows_epochs {
            return Err(GroupError::UnsupportedVersion);
        }
        match epoch.cmp(&member.current.epoch) {
            std::cmp::Ordering::Equal => Ok(None),
            std::cmp::Ordering::Greater => Err(GroupError::StaleEpoch),
            std::cmp::Ordering::Less => Ok(Some(member)),
        }
    }

    /// Whether a commit of `member` from the earlier `epoch` is still about the partition as it has it: its task was assigned no later.
    ///
    /// # Errors
    /// [`GroupError::StaleEpoch`].
    pub fn check_earlier_commit(&self, member: &Member, epoch: i32, topic: &str, partition: i32) -> Result<(), GroupError> {
        let subtopology = self.readers.get(topic).ok_or(GroupError::StaleEpoch)?;
        let since = |owned: &OwnedTasks| owned.active.get(subtopology).and_then(|own| own.get(&partition)).copied();
        match since(&member.current.assigned).or_else(|| since(&member.current.revoking)) {
            Some(since) if epoch >= since => Ok(()),
            _ => Err(GroupError::StaleEpoch),
        }
    }
}

#[derive(Clone, Copy)]
enum Count {
    Up,
    Down,
}

/// Each task of `owned`, with what is done with it.
fn tasks_of(owned: &OwnedTasks) -> impl Iterator<Item = (Role, TaskId)> {
    let active =
        owned.active.iter().flat_map(|(id, own)| own.keys().map(move |partition| (Role::Active, (id.clone(), *partition))));
    let others = [(Role::Standby, &owned.standby), (Role::Warmup, &owned.warmup)].into_iter();
    let others = others.flat_map(|(role, tasks)| {
        tasks.iter().flat_map(move |(id, own)| own.iter().map(move |partition| (role, (id.clone(), *partition))))
    });
    active.chain(others)
}
