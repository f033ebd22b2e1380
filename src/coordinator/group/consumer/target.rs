//! The target assignment: who should own what at the group's epoch.
//!
//! It is made again when the group's epoch is ahead of it, but not more often than `group.consumer.assignment.interval.ms` (KIP-1263):
//! when many members come at once, the first gets its target now and the others share the next one. Source: TargetAssignmentBuilder.

use super::{Change, ConsumerGroup};
use crate::catalog::Snapshot;
use crate::coordinator::group::assignment_interval;
use crate::coordinator::group::assignors::{Assignor, Subject, Subjects, Subscriber};
use crate::coordinator::group::messages::Partitions;
use crate::coordinator::group::records::consumer::{ConsumerRecord, TargetEpochValue};
use std::collections::HashMap;

impl ConsumerGroup {
    /// The assignor that most members ask for; `None` when no member asks.
    #[must_use]
    pub(super) fn preferred_assignor(&self) -> Option<Assignor> {
        let mut votes: HashMap<&str, usize> = HashMap::new();
        for name in self.members.values().filter_map(|member| member.metadata.assignor.as_deref()) {
            *votes.entry(name).or_default() += 1;
        }
        // Ties go to the name that comes first, so that a replay decides alike.
        let winner = votes.into_iter().max_by_key(|(name, count)| (*count, std::cmp::Reverse(*name)));
        winner.and_then(|(name, _)| Assignor::named(name))
    }

    /// What `member_id` should own.
    #[must_use]
    pub fn target(&self, member_id: &str) -> Partitions {
        self.targets.get(member_id).cloned().unwrap_or_default()
    }

    /// A target for every member, by id.
    fn assign(&self, assignor: Assignor, catalog: &Snapshot, racks: &[String]) -> Vec<(String, Partitions)> {
        let none = Partitions::new();
        let subscribers: Vec<Subscriber> = self
            .members
            .iter()
            .map(|(id, member)| Subscriber {
                id,
                instance_id: member.metadata.instance_id.as_deref(),
                rack_id: member.metadata.rack_id.as_deref(),
                topics: self.topics_of(member, catalog),
                target: self.targets.get(id).unwrap_or(&none),
            })
            .collect();
        let mut subjects = Subjects::new();
        for id in subscribers.iter().flat_map(|subscriber| &subscriber.topics) {
            if let Some(topic) = catalog.topic_by_id(*id) {
                let partitions = i32::try_from(topic.logs.len()).unwrap_or(i32::MAX);
                subjects.entry(*id).or_insert_with(|| Subject { partitions, racks: racks.to_vec() });
            }
        }
        let targets = assignor.assign(&subscribers, &subjects);
        subscribers.iter().map(|subscriber| subscriber.id.to_owned()).zip(targets).collect()
    }
}

impl Change<'_, '_> {
    /// Makes the target again if it is older than the group's epoch, and if it is time.
    pub(super) fn update_target(&mut self) {
        if self.group.assignment_epoch >= self.group.epoch || !self.is_time_to_assign() {
            return;
        }
        let assignor = self.group.preferred_assignor().unwrap_or(self.ctx.settings.default_assignor());
        for (id, target) in self.group.assign(assignor, self.catalog, &self.ctx.settings.racks) {
            if self.group.targets.get(id.as_str()) != Some(&target) {
                self.write(ConsumerRecord::Target { id, value: Some(target) });
            }
        }
        let value = TargetEpochValue { epoch: self.group.epoch, time: self.ctx.now };
        self.write(ConsumerRecord::TargetEpoch(Some(value)));
    }

    fn is_time_to_assign(&self) -> bool {
        assignment_interval::is_over(self.group.assignment_time, self.settings().assignment_interval_ms, self.ctx.now)
    }
}
