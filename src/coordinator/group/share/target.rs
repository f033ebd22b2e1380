//! The target assignment: who should read from what at the group's epoch.
//!
//! It is made again when the group's epoch is ahead of it, but not more often than `group.share.assignment.interval.ms` (KIP-1263): when
//! many members come at once, the first gets its target now and the others share the next one. Source: TargetAssignmentBuilder.

use super::assignor::{self, Subscriber};
use super::{Change, ShareGroup};
use crate::catalog::Snapshot;
use crate::coordinator::group::assignment_interval;
use crate::coordinator::group::messages::Partitions;
use crate::coordinator::group::records::consumer::TargetEpochValue;
use crate::coordinator::group::records::share::ShareRecord;

/// When a target may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Now,
    IntervalIsOver,
}

impl ShareGroup {
    /// What `member_id` should read from.
    #[must_use]
    pub fn target(&self, member_id: &str) -> Partitions {
        self.targets.get(member_id).cloned().unwrap_or_default()
    }

    /// A target for every member, by id.
    fn assign(&self, catalog: &Snapshot) -> Vec<(String, Partitions)> {
        let none = Partitions::new();
        let subscribers = self.members.iter().map(|(id, member)| Subscriber {
            topics: member.metadata.topics.iter().filter_map(|name| catalog.topics.get(name)).map(|topic| topic.id).collect(),
            target: self.targets.get(id).unwrap_or(&none),
        });
        let subscribers: Vec<Subscriber> = subscribers.collect();
        let targets = assignor::assign(&subscribers, &self.assignable(catalog));
        self.members.keys().map(|id| id.to_string()).zip(targets).collect()
    }
}

impl Change<'_, '_> {
    /// Makes the target again if it is older than the group's epoch, and if it is time.
    pub(super) fn update_target(&mut self, when: When) {
        if self.group.assignment_epoch >= self.group.epoch || (when == When::IntervalIsOver && !self.is_time_to_assign()) {
            return;
        }
        for (id, target) in self.group.assign(self.catalog) {
            if self.group.targets.get(id.as_str()) != Some(&target) {
                self.write(ShareRecord::Target { id, value: Some(target) });
            }
        }
        let value = TargetEpochValue { epoch: self.group.epoch, time: self.ctx.now };
        self.write(ShareRecord::TargetEpoch(Some(value)));
    }

    fn is_time_to_assign(&self) -> bool {
        assignment_interval::is_over(self.group.assignment_time, self.settings().assignment_interval_ms, self.ctx.now)
    }
}
