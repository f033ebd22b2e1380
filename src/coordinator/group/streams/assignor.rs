//! The sticky assignor of tasks: as few tasks as possible move, and members and processes have equally many. Pure.
//!
//! An active task stays with the member that it was of, or goes to one that had it as a standby, as long as that member has no more than
//! its share; what is left goes to the processes with the least load. Standbys of stateful tasks follow the same way, each in another
//! process than the task's other copies; where there are too few processes, there are fewer standbys. No task is warmed up.
//! Source: StickyTaskAssignor.

mod process;

use super::TaskId;
use crate::coordinator::group::records::streams::Tasks;
use process::{Load, Process};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

/// A member.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub process_id: &'a str,
    /// Its target before.
    pub former: &'a Tasks,
}

/// A subtopology.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subtopology<'a> {
    pub id: &'a str,
    pub tasks: i32,
    /// Whether it keeps state, of which a standby would be a copy.
    pub is_stateful: bool,
}

/// A target for each of `subjects`, in their order.
#[must_use]
pub(super) fn assign(subjects: &[Subject], subtopologies: &[Subtopology], standby_replicas: usize) -> Vec<Tasks> {
    if subjects.is_empty() {
        return Vec::new();
    }
    let mut assignment = Assignment::new(subjects, subtopologies, standby_replicas);
    assignment.assign_active(tasks_of(subtopologies.iter()));
    if standby_replicas > 0 {
        let stateful = tasks_of(subtopologies.iter().filter(|subtopology| subtopology.is_stateful));
        assignment.assign_standby(stateful, standby_replicas);
    }
    assignment.into_targets()
}

fn tasks_of<'a>(subtopologies: impl Iterator<Item = &'a Subtopology<'a>>) -> Vec<TaskId> {
    subtopologies.flat_map(|one| (0..one.tasks).map(move |partition| (one.id.to_owned(), partition))).collect()
}

/// How many tasks a member may get before others come first: an equal share of what is left, for those with room.
#[derive(Debug)]
struct Quota {
    tasks: usize,
    members: usize,
    share: usize,
}

impl Quota {
    fn new(tasks: usize, members: usize) -> Quota {
        Quota { tasks, members, share: tasks.div_ceil(members.max(1)) }
    }

    /// A member has `count` tasks now.
    fn reached(&mut self, count: usize) {
        if count == self.share {
            self.members = self.members.saturating_sub(1);
            self.tasks = self.tasks.saturating_sub(count);
            self.share = if self.members == 0 { 0 } else { self.tasks.div_ceil(self.members) };
        }
    }
}

struct Assignment {
    processes: Vec<Process>,
    /// By member: its process, and its place there.
    places: Vec<Place>,
    former_active: HashMap<TaskId, usize>,
    former_standby: HashMap<TaskId, Vec<usize>>,
    active_quota: Quota,
    quota: Quota,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    process: usize,
    member: usize,
}

impl Assignment {
    fn new(subjects: &[Subject], subtopologies: &[Subtopology], standby_replicas: usize) -> Assignment {
        let count = |tasks: i32| usize::try_from(tasks).unwrap_or(0);
        let active: usize = subtopologies.iter().map(|one| count(one.tasks)).sum();
        let stateful: usize = subtopologies.iter().filter(|one| one.is_stateful).map(|one| count(one.tasks)).sum();
        let all = active.saturating_add(stateful.saturating_mul(standby_replicas));
        let mut assignment = Assignment {
            processes: Vec::new(),
            places: Vec::with_capacity(subjects.len()),
            former_active: HashMap::new(),
            former_standby: HashMap::new(),
            active_quota: Quota::new(active, subjects.len()),
            quota: Quota::new(all, subjects.len()),
        };
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, subject) in subjects.iter().enumerate() {
            let process = *known.entry(subject.process_id).or_insert_with(|| {
                assignment.processes.push(Process::default());
                assignment.processes.len() - 1
            });
            let member = assignment.processes[process].add_member();
            assignment.places.push(Place { process, member });
            let of_set =
                |(id, own): (&String, &BTreeSet<i32>)| own.iter().map(|partition| (id.clone(), *partition)).collect::<Vec<_>>();
            for task in subject.former.active.iter().flat_map(of_set) {
                assignment.former_active.insert(task, index);
            }
            for task in subject.former.standby.iter().flat_map(of_set) {
                assignment.former_standby.entry(task).or_default().push(index);
            }
        }
        assignment
    }

    fn give(&mut self, subject: usize, task: TaskId, is_active: bool) {
        let Place { process, member } = self.places[subject];
        let count = self.processes[process].add(member, task, is_active);
        self.counted(count, is_active);
    }

    /// A member has `count` tasks now.
    fn counted(&mut self, count: usize, is_active: bool) {
        if is_active {
            self.active_quota.reached(count);
        }
        self.quota.reached(count);
    }

    fn count_of(&self, subject: usize) -> usize {
        let Place { process, member } = self.places[subject];
        self.processes[process].count_of(member)
    }

    /// Whether the member has room for `task` in its share of all tasks, and its process does not have it.
    fn may_stand_by(&self, subject: usize, task: &TaskId) -> bool {
        !self.processes[self.places[subject].process].has(task) && self.count_of(subject) < self.quota.share
    }

    /// Of those that had `task` as a standby, the one with the least load whose process does not have it now.
    fn least_loaded_standby(&self, task: &TaskId) -> Option<usize> {
        let free = |subject: &usize| !self.processes[self.places[*subject].process].has(task);
        let load = |subject: &usize| (self.processes[self.places[*subject].process].load(), self.count_of(*subject));
        self.former_standby.get(task)?.iter().copied().filter(free).min_by_key(load)
    }

    fn assign_active(&mut self, mut tasks: Vec<TaskId>) {
        // Assuming that the assignment before was by ranges, those stay together best in this order.
        tasks.sort_unstable_by(|one, other| (one.1, &one.0).cmp(&(other.1, &other.0)));
        let mut left = Vec::new();
        for task in tasks {
            match self.former_active.get(&task).copied().filter(|subject| self.count_of(*subject) < self.active_quota.share) {
                Some(subject) => self.give(subject, task, true),
                None => left.push(task),
            }
        }
        let mut new = Vec::new();
        for task in left {
            match self.least_loaded_standby(&task).filter(|subject| self.count_of(*subject) < self.active_quota.share) {
                Some(subject) => self.give(subject, task, true),
                None => new.push(task),
            }
        }
        new.sort_unstable();
        let mut by_load = self.by_load();
        for task in new {
            let Some(Reverse((_, process))) = by_load.pop() else { return };
            let count = self.processes[process].add_to_least_loaded(task, true);
            self.counted(count, true);
            by_load.push(Reverse((self.processes[process].load(), process)));
        }
    }

    fn assign_standby(&mut self, mut tasks: Vec<TaskId>, replicas: usize) {
        tasks.sort_unstable_by(|one, other| (other.1, &other.0).cmp(&(one.1, &one.0)));
        let mut left = Vec::new();
        for task in tasks {
            for replica in 0..replicas {
                let former = self.former_active.get(&task).copied();
                let former = former.filter(|subject| self.may_stand_by(*subject, &task));
                let former = former
                    .or_else(|| self.least_loaded_standby(&task).filter(|subject| self.count_of(*subject) < self.quota.share));
                let Some(subject) = former else {
                    left.push((task, replicas - replica));
                    break;
                };
                self.give(subject, task.clone(), false);
            }
        }
        left.sort_unstable_by(|one, other| other.cmp(one));
        let mut by_load = self.by_load();
        for (task, replicas) in left {
            for _ in 0..replicas {
                if !self.stand_by_at_least_loaded(&mut by_load, &task) {
                    tracing::debug!(
                        subtopology = task.0,
                        partition = task.1,
                        "there are too few processes for all standbys of a task"
                    );
                    break;
                }
            }
        }
    }

    fn by_load(&self) -> BinaryHeap<Reverse<(Load, usize)>> {
        self.processes.iter().enumerate().map(|(index, process)| Reverse((process.load(), index))).collect()
    }

    /// Gives `task` to the process with the least load that does not have it; whether there is one.
    fn stand_by_at_least_loaded(&mut self, by_load: &mut BinaryHeap<Reverse<(Load, usize)>>, task: &TaskId) -> bool {
        let mut passed = Vec::new();
        let mut is_given = false;
        while let Some(Reverse((load, process))) = by_load.pop() {
            if self.processes[process].has(task) {
                passed.push(Reverse((load, process)));
                continue;
            }
            let count = self.processes[process].add_to_least_loaded(task.clone(), false);
            self.counted(count, false);
            passed.push(Reverse((self.processes[process].load(), process)));
            is_given = true;
            break;
        }
        by_load.extend(passed);
        is_given
    }

    /// One for each subject.
    fn into_targets(mut self) -> Vec<Tasks> {
        let places = std::mem::take(&mut self.places);
        places.into_iter().map(|Place { process, member }| self.processes[process].take(member)).collect()
    }
}

#[cfg(test)]
mod tests;
