//! A share group (KIP-932): members subscribe by names, the server assigns, and several members may read from one partition.
//!
//! ```text
//!   members, subscriptions, topics change ──▶ group epoch + 1 ──▶ target (assignment epoch = group epoch)
//!   per member:   each heartbeat takes it to its target at once: nobody has to give anything up before somebody else may read
//! ```
//! As in groups of the consumer protocol, all of [`ShareGroup`] is durable and changes only by [`ShareGroup::apply`], which is called
//! the moment a change is decided ([`Change::write`]), and once more when its record is appended.
//!
//! What records of a partition a member gets is decided elsewhere; here a group only knows in which partitions it has a position
//! ([`States`]): a partition gets one when a member first subscribes to its topic, and is assigned from then on. Kafka's brokers wait for
//! another one in between, so that there the first assignment comes with the next heartbeat; the epochs are the same.
//!
//! Invariants:
//! * group epoch ≥ assignment epoch ≥ each member's epoch, and none of them ever goes back;
//! * a target made at the group's epoch covers every partition that the group has a position in and whose topic a member subscribes to;
//! * members are assigned partitions of existing topics that they subscribe to, only.
//!
//! Bounds: members by `group.share.max.size`; a member's names by the size of its request. A group stays until it is deleted, with or
//! without members, as in Kafka (ShareGroup.shouldExpire).
//!
//! Source: KIP-932; GroupMetadataManager.shareGroup*, ShareGroup, ShareGroupAssignmentBuilder of 4.3.
//! Steps in [`heartbeat`], [`membership`], [`states`], [`target`].

pub mod assignor;
pub mod heartbeat;
pub mod membership;
pub mod messages;
pub mod states;
pub mod target;

use super::messages::{GroupKind, Listed, Partitions};
use super::records::Record;
use super::records::consumer::{EpochValue, TargetEpochValue};
use super::records::share::{ShareCurrent, ShareMetadata, ShareRecord, States};
use super::{Context, Timer};
use crate::catalog::Snapshot;
use crate::config::group::ShareGroupSettings;
use crate::ids::Timestamp;
use messages::{ShareDescribed, ShareDescribedMember};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The protocol type of groups of this kind (ShareGroup.PROTOCOL_TYPE).
pub const SHARE: &str = "share";

/// One member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    pub metadata: ShareMetadata,
    pub current: ShareCurrent,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareGroup {
    pub(super) epoch: i32,
    /// What the subscribed topics looked like at `epoch`.
    metadata_hash: i64,
    /// The group epoch that `targets` were made for.
    pub(super) assignment_epoch: i32,
    assignment_time: Timestamp,
    pub(super) members: BTreeMap<Arc<str>, Member>,
    targets: BTreeMap<Arc<str>, Partitions>,
    pub(super) states: States,
}

const NOT_ASSIGNED: TargetEpochValue = TargetEpochValue { epoch: FIRST_EPOCH, time: Timestamp(0) };
/// 0 means "joining".
const FIRST_EPOCH: i32 = 1;

impl Default for ShareGroup {
    /// A group that nobody has joined, and whose assignment of nothing is of this epoch (ModernGroup).
    fn default() -> ShareGroup {
        ShareGroup {
            epoch: FIRST_EPOCH,
            metadata_hash: 0,
            assignment_epoch: NOT_ASSIGNED.epoch,
            assignment_time: NOT_ASSIGNED.time,
            members: BTreeMap::new(),
            targets: BTreeMap::new(),
            states: States::default(),
        }
    }
}

/// What a group forgets in a crash.
#[derive(Debug, Default)]
pub struct Soft {
    /// The catalog that `metadata_hash` and the states were last compared with.
    seen_version: Option<u64>,
}

/// One event on one group: the group, what it depends on, and where the effects go.
pub struct Change<'a, 'b> {
    pub id: &'a Arc<str>,
    pub group: &'a mut ShareGroup,
    pub soft: &'a mut Soft,
    pub catalog: &'a Snapshot,
    pub ctx: &'a mut Context<'b>,
}

impl Change<'_, '_> {
    /// Makes a change durable, and true at once.
    fn write(&mut self, change: ShareRecord) {
        self.group.apply(change.clone());
        self.ctx.out.records.push(Record::Share { group: self.id.to_string(), change });
    }

    /// The group's own settings, or else the broker's.
    fn settings(&self) -> ShareGroupSettings {
        self.ctx.settings.share(self.catalog, self.id)
    }

    fn session_timer(&self, member_id: &str) -> Timer {
        Timer::Session { group: self.id.clone(), member: Arc::from(member_id) }
    }
}

impl ShareGroup {
    /// Takes over one change. The same one again changes nothing.
    pub fn apply(&mut self, change: ShareRecord) {
        match change {
            ShareRecord::Epoch(value) => {
                let value = value.unwrap_or(EpochValue { epoch: FIRST_EPOCH, metadata_hash: 0 });
                (self.epoch, self.metadata_hash) = (value.epoch, value.metadata_hash);
            }
            ShareRecord::TargetEpoch(value) => {
                let value = value.unwrap_or(NOT_ASSIGNED);
                (self.assignment_epoch, self.assignment_time) = (value.epoch, value.time);
            }
            ShareRecord::Member { id, value: Some(metadata) } => {
                self.members.entry(Arc::from(id)).or_default().metadata = metadata;
            }
            ShareRecord::Member { id, value: None } => {
                self.members.remove(id.as_str());
            }
            ShareRecord::Target { id, value: Some(target) } => {
                self.targets.insert(Arc::from(id), target);
            }
            ShareRecord::Target { id, value: None } => {
                self.targets.remove(id.as_str());
            }
            ShareRecord::Current { id, value: Some(current) } => {
                self.members.entry(Arc::from(id)).or_default().current = current;
            }
            ShareRecord::Current { id, value: None } => {
                if let Some(member) = self.members.get_mut(id.as_str()) {
                    member.current = ShareCurrent::default();
                }
            }
            ShareRecord::States(states) => self.states = states.unwrap_or_default(),
        }
    }

    /// All that is durable, as records in an order that replays.
    pub fn records(&self) -> impl Iterator<Item = ShareRecord> {
        let epoch = ShareRecord::Epoch(Some(EpochValue { epoch: self.epoch, metadata_hash: self.metadata_hash }));
        let target_epoch = TargetEpochValue { epoch: self.assignment_epoch, time: self.assignment_time };
        let members = self.members.iter();
        let metadata =
            members.clone().map(|(id, member)| ShareRecord::Member { id: id.to_string(), value: Some(member.metadata.clone()) });
        let targets = self.targets.iter();
        let targets = targets.map(|(id, target)| ShareRecord::Target { id: id.to_string(), value: Some(target.clone()) });
        let current =
            members.map(|(id, member)| ShareRecord::Current { id: id.to_string(), value: Some(member.current.clone()) });
        std::iter::once(epoch)
            .chain(metadata)
            .chain(targets)
            .chain([ShareRecord::TargetEpoch(Some(target_epoch))])
            .chain(current)
            .chain([ShareRecord::States(Some(self.states.clone()))])
    }

    /// What forgets the group, in the order in which Kafka reads it (ShareGroup.createGroupTombstoneRecords).
    pub fn tombstones(&self) -> impl Iterator<Item = ShareRecord> {
        let ids = self.members.keys().map(|id| id.to_string());
        let current = ids.clone().map(|id| ShareRecord::Current { id, value: None });
        let targets = self.targets.keys().map(|id| ShareRecord::Target { id: id.to_string(), value: None });
        let members = ids.map(|id| ShareRecord::Member { id, value: None });
        current
            .chain(targets)
            .chain([ShareRecord::TargetEpoch(None)])
            .chain(members)
            .chain([ShareRecord::States(None), ShareRecord::Epoch(None)])
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Kafka's name for the group's state (ShareGroup.ShareGroupState).
    #[must_use]
    pub fn state(&self) -> &'static str {
        if self.is_empty() { "Empty" } else { "Stable" }
    }

    #[must_use]
    pub fn list(&self, id: &str) -> Listed {
        Listed { group_id: id.to_owned(), protocol_type: SHARE.to_owned(), state: self.state(), kind: GroupKind::Share }
    }

    #[must_use]
    pub fn describe(&self) -> ShareDescribed {
        let members = self.members.iter().map(|(id, Member { metadata, current })| ShareDescribedMember {
            member_id: id.to_string(),
            member_epoch: current.epoch,
            rack_id: metadata.rack_id.clone(),
            client_id: metadata.client_id.clone(),
            client_host: metadata.client_host.clone(),
            topics: metadata.topics.iter().cloned().collect(),
            assignment: current.assigned.clone(),
        });
        ShareDescribed {
            state: self.state(),
            epoch: self.epoch,
            assignment_epoch: self.assignment_epoch,
            assignor: assignor::NAME,
            members: members.collect(),
        }
    }
}
