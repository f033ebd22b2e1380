//! One member's next step from the tasks that it runs to its target. Pure.
//!
//! A member moves to the target's epoch only when it has given up what the target takes from it. A task becomes active only when nobody
//! runs it any more, and a process gets no task that it has still in another role or another thread: they would share a state directory.
//! Source: CurrentAssignmentBuilder.

use crate::coordinator::group::records::consumer::MemberState;
use crate::coordinator::group::records::streams::{CurrentTasks, OwnedTasks, TaskSet, Tasks, TasksWithEpochs};

/// What the step depends on.
pub(super) struct Towards<'a> {
    pub target_epoch: i32,
    pub target: &'a Tasks,
    /// What the member says that it runs; `None`: it does not say.
    pub owned: Option<&'a Tasks>,
    /// Whether any process, the member's own included, has the task as an active one.
    pub is_active: &'a dyn Fn(&str, i32) -> bool,
    /// Whether the member's process has the task in any role.
    pub is_here: &'a dyn Fn(&str, i32) -> bool,
}

/// The member's state after the step; the same as before when there is none to take.
#[must_use]
pub(super) fn step(current: &CurrentTasks, towards: &Towards) -> CurrentTasks {
    match current.state {
        MemberState::Stable if current.epoch == towards.target_epoch => current.clone(),
        MemberState::Stable | MemberState::Unreleased => towards.next(current, current.epoch),
        MemberState::Unrevoked if towards.still_owns(&current.revoking) => current.clone(),
        // Should it have to give up more, an epoch of its own tells the two apart.
        MemberState::Unrevoked => towards.next(current, current.epoch.saturating_add(1)),
        MemberState::Unknown => towards.next(current, towards.target_epoch),
    }
}

impl Towards<'_> {
    /// Whether the member still has one of `revoked`; it has unless it says otherwise.
    fn still_owns(&self, revoked: &OwnedTasks) -> bool {
        let Some(owned) = self.owned else { return !revoked.is_empty() };
        let meet = |owned: &TaskSet, revoked: &TaskSet| {
            revoked.iter().any(|(id, partitions)| owned.get(id).is_some_and(|own| !own.is_disjoint(partitions)))
        };
        let revoked = revoked.tasks();
        meet(&owned.active, &revoked.active) || meet(&owned.standby, &revoked.standby) || meet(&owned.warmup, &revoked.warmup)
    }

    /// `epoch`: the member's while it still has to give something up.
    fn next(&self, current: &CurrentTasks, epoch: i32) -> CurrentTasks {
        let (active, revoked_active) = split(&current.assigned.active, &self.target.active);
        let (standby, revoked_standby) = split_set(&current.assigned.standby, &self.target.standby);
        let (warmup, revoked_warmup) = split_set(&current.assigned.warmup, &self.target.warmup);
        let mut assigned = OwnedTasks { active, standby, warmup };
        let revoking = OwnedTasks { active: revoked_active, standby: revoked_standby, warmup: revoked_warmup };
        if self.still_owns(&revoking) {
            let state = MemberState::Unrevoked;
            return CurrentTasks { state, assigned, revoking, previous_epoch: current.epoch, epoch };
        }
        let is_all = self.add_free(&mut assigned);
        CurrentTasks {
            state: if is_all { MemberState::Stable } else { MemberState::Unreleased },
            assigned,
            revoking: OwnedTasks::default(),
            previous_epoch: current.epoch,
            epoch: self.target_epoch,
        }
    }

    /// Adds what the target has more and nobody stands in the way of; whether that is all.
    fn add_free(&self, assigned: &mut OwnedTasks) -> bool {
        let mut is_all = true;
        for (id, partitions) in &self.target.active {
            for partition in partitions {
                if assigned.active.get(id).is_some_and(|own| own.contains_key(partition)) {
                    continue;
                }
                if (self.is_active)(id, *partition) || (self.is_here)(id, *partition) {
                    is_all = false;
                } else {
                    assigned.active.entry(id.clone()).or_default().insert(*partition, self.target_epoch);
                }
            }
        }
        for (target, own) in [(&self.target.standby, &mut assigned.standby), (&self.target.warmup, &mut assigned.warmup)] {
            for (id, partitions) in target {
                for partition in partitions {
                    if own.get(id).is_some_and(|own| own.contains(partition)) {
                        continue;
                    }
                    if (self.is_here)(id, *partition) {
                        is_all = false;
                    } else {
                        own.entry(id.clone()).or_default().insert(*partition);
                    }
                }
            }
        }
        is_all
    }
}

/// `owned` as what `target` has too, and the rest.
fn split(owned: &TasksWithEpochs, target: &TaskSet) -> (TasksWithEpochs, TasksWithEpochs) {
    let (mut kept, mut rest) = (TasksWithEpochs::new(), TasksWithEpochs::new());
    for (id, partitions) in owned {
        for (partition, epoch) in partitions {
            let stays = target.get(id).is_some_and(|target| target.contains(partition));
            let side = if stays { &mut kept } else { &mut rest };
            side.entry(id.clone()).or_default().insert(*partition, *epoch);
        }
    }
    (kept, rest)
}

fn split_set(owned: &TaskSet, target: &TaskSet) -> (TaskSet, TaskSet) {
    let (mut kept, mut rest) = (TaskSet::new(), TaskSet::new());
    for (id, partitions) in owned {
        for partition in partitions {
            let stays = target.get(id).is_some_and(|target| target.contains(partition));
            let side = if stays { &mut kept } else { &mut rest };
            side.entry(id.clone()).or_default().insert(*partition);
        }
    }
    (kept, rest)
}
