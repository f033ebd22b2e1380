//! The target assignment: who should run what at the group's epoch.
//!
//! It is made again when the group's epoch is ahead of it, but not while the first rebalance waits for more members
//! (`streams.initial.rebalance.delay.ms`), and not more often than `streams.assignment.interval.ms`. While the topology is not ready,
//! nobody should run anything. Source: TargetAssignmentBuilder, GroupMetadataManager.maybeUpdateStreamsTargetAssignment.

use super::assignor::{self, Subject, Subtopology};
use super::messages::Status;
use super::topics::Configured;
use super::{Change, StreamsGroup};
use crate::coordinator::group::assignment_interval;
use crate::coordinator::group::records::consumer::TargetEpochValue;
use crate::coordinator::group::records::streams::{StreamsRecord, Tasks};

/// The setting that the assignor looks at, as the group's record names it.
pub(super) const STANDBY_REPLICAS: &str = "num.standby.replicas";

impl StreamsGroup {
    /// A target for every member, by id.
    fn assign(&self, configured: Option<&Configured>) -> Vec<(String, Tasks)> {
        let none = Tasks::default();
        let ids = self.members.keys().map(|id| id.to_string());
        let Some(ready) = configured.and_then(Configured::ready) else {
            return ids.map(|id| (id, Tasks::default())).collect();
        };
        let subjects: Vec<Subject> = self
            .members
            .iter()
            .map(|(id, member)| Subject {
                process_id: &member.metadata.process_id,
                former: self.targets.get(id).unwrap_or(&none),
            })
            .collect();
        let subtopologies = ready.iter().map(|(id, subtopology)| Subtopology {
            id,
            tasks: subtopology.tasks,
            is_stateful: !subtopology.changelogs.is_empty(),
        });
        let standby_replicas = self.epoch.configs.get(STANDBY_REPLICAS).and_then(|value| value.parse().ok()).unwrap_or(0);
        let targets = assignor::assign(&subjects, &subtopologies.collect::<Vec<_>>(), standby_replicas);
        ids.zip(targets).collect()
    }
}

impl Change<'_, '_> {
    /// Makes the target again if it is older than the group's epoch, and if it is time. The epoch to go to, and what `id` should run there.
    pub(super) fn update_target(&mut self, id: &str, statuses: &mut Vec<(Status, String)>) -> (i32, Tasks) {
        if self.soft.is_delayed {
            let detail = "Assignment delayed due to the configured initial rebalance delay.";
            statuses.push((Status::AssignmentDelayed, detail.to_owned()));
            return (self.group.assignment.epoch, Tasks::default());
        }
        if !self.assign_if_due() {
            let detail = "Assignment delayed due to the configured assignment interval.";
            statuses.push((Status::AssignmentDelayed, detail.to_owned()));
        }
        (self.group.assignment.epoch, self.group.target(id))
    }

    /// Whether the target is now of the group's epoch.
    pub(super) fn assign_if_due(&mut self) -> bool {
        if self.group.assignment.epoch >= self.group.epoch.epoch {
            return true;
        }
        if !self.is_time_to_assign() {
            return false;
        }
        for (id, target) in self.group.assign(self.soft.configured.as_ref()) {
            if self.group.targets.get(id.as_str()) != Some(&target) {
                self.write(StreamsRecord::Target { id, value: Some(target) });
            }
        }
        let value = TargetEpochValue { epoch: self.group.epoch.epoch, time: self.ctx.now };
        self.write(StreamsRecord::TargetEpoch(Some(value)));
        true
    }

    fn is_time_to_assign(&self) -> bool {
        assignment_interval::is_over(self.group.assignment.time, self.settings().assignment_interval_ms, self.ctx.now)
    }
}
