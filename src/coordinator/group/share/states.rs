//! In which partitions a group has a position.
//!
//! Kafka's coordinator asks another broker to make a state for each new partition, and notes it as initializing until that answers.
//! Here the state comes to be when the partition is first read from, so there is nothing to wait for, and partitions are initialized at
//! once. Source: GroupMetadataManager.maybeCreateInitializeShareGroupStateRequest, initializeShareGroupState, initializedAssignmentPending,
//! sharePartitionsEligibleForOffsetDeletion, maybeCleanupShareGroupState.

use super::messages::Forgotten;
use super::{Change, ShareGroup};
use crate::catalog::Snapshot;
use crate::coordinator::group::messages::Partitions;
use crate::coordinator::group::records::share::{Named, ShareRecord, States};
use crate::ids::TopicId;
use std::collections::BTreeSet;

impl ShareGroup {
    /// All that a member subscribes to.
    pub(super) fn subscribed_names(&self) -> BTreeSet<&String> {
        self.members.values().flat_map(|member| &member.metadata.topics).collect()
    }

    /// The partitions in which the group has a position.
    #[must_use]
    pub fn initialized(&self) -> Partitions {
        self.states.initialized.iter().map(|(topic, named)| (*topic, named.partitions.clone())).collect()
    }

    /// Partitions of subscribed topics in which the group has no position yet.
    fn uninitialized(&self, catalog: &Snapshot) -> Partitions {
        let mut partitions = Partitions::new();
        for topic in self.subscribed_names().into_iter().filter_map(|name| catalog.topics.get(name)) {
            let known = self.states.initialized.get(&topic.id).map(|named| &named.partitions);
            let count = i32::try_from(topic.logs.len()).unwrap_or(i32::MAX);
            if known.is_some_and(|known| known.len() >= topic.logs.len()) {
                continue;
            }
            let new: BTreeSet<i32> =
                (0..count).filter(|partition| known.is_none_or(|known| !known.contains(partition))).collect();
            if !new.is_empty() {
                partitions.insert(topic.id, new);
            }
        }
        partitions
    }

    /// Whether nobody's target has a partition in which the group has a position and whose topic is subscribed to.
    pub(super) fn has_unassigned(&self, catalog: &Snapshot) -> bool {
        let mut targeted = Partitions::new();
        for (topic, partitions) in self.targets.values().flatten() {
            targeted.entry(*topic).or_default().extend(partitions);
        }
        self.assignable(catalog).iter().any(|(topic, partitions)| {
            let targeted = targeted.get(topic);
            partitions.iter().any(|partition| targeted.is_none_or(|targeted| !targeted.contains(partition)))
        })
    }

    /// What may be assigned: existing partitions of subscribed topics in which the group has a position.
    pub(super) fn assignable(&self, catalog: &Snapshot) -> Partitions {
        let topics = self.subscribed_names().into_iter().filter_map(|name| catalog.topics.get(name));
        let assignable = topics.filter_map(|topic| {
            let named = self.states.initialized.get(&topic.id)?;
            let count = i32::try_from(topic.logs.len()).unwrap_or(i32::MAX);
            Some((topic.id, named.partitions.range(..count).copied().collect()))
        });
        assignable.collect()
    }

    /// The states without topics that are gone; `None`: they have none of those.
    #[must_use]
    pub fn states_without(&self, is_gone: impl Fn(TopicId) -> bool) -> Option<States> {
        let mut states = self.states.clone();
        states.initializing.retain(|topic, _| !is_gone(*topic));
        states.initialized.retain(|topic, _| !is_gone(*topic));
        states.deleting.retain(|topic, _| !is_gone(*topic));
        (states != self.states).then_some(states)
    }
}

impl Change<'_, '_> {
    /// From now on the group has a position in all partitions of topics that are subscribed to. Those in which it had none.
    pub(super) fn initialize(&mut self) -> Partitions {
        let new = self.group.uninitialized(self.catalog);
        self.take_position(&new);
        new
    }

    /// From now on the group has a position in these partitions of existing topics.
    pub fn take_position(&mut self, partitions: &Partitions) {
        let mut states = self.group.states.clone();
        for (topic, new) in partitions {
            let Some(existing) = self.catalog.topic_by_id(*topic) else { continue };
            let named = states.initialized.entry(*topic).or_default();
            named.name.clone_from(&existing.name);
            named.partitions.extend(new);
            states.deleting.remove(topic);
            if let Some(Named { partitions: waiting, .. }) = states.initializing.get_mut(topic) {
                waiting.retain(|partition| !new.contains(partition));
                if waiting.is_empty() {
                    states.initializing.remove(topic);
                }
            }
        }
        if states != self.group.states {
            self.write(ShareRecord::States(Some(states)));
        }
    }

    /// From now on the group has no position in these topics.
    pub fn forget(&mut self, topics: &BTreeSet<TopicId>) -> Forgotten {
        let mut forgotten = Forgotten::default();
        let mut states = self.group.states.clone();
        for topic in topics {
            forgotten.topics.extend(states.initialized.remove(topic).map(|named| (*topic, named)));
            states.initializing.remove(topic);
            states.deleting.remove(topic);
        }
        if states != self.group.states {
            self.write(ShareRecord::States(Some(states)));
            // Whoever subscribes to them next has positions made again.
            self.soft.seen_version = None;
        }
        forgotten
    }
}
