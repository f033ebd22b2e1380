//! What one process has been given so far, and how loaded it is.

use super::TaskId;
use crate::coordinator::group::records::streams::Tasks;
use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashSet};

/// Tasks for each of a process's members: a fraction, compared without rounding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    tasks: u64,
    members: u64,
}

impl Ord for Load {
    fn cmp(&self, other: &Load) -> Ordering {
        self.tasks.saturating_mul(other.members).cmp(&other.tasks.saturating_mul(self.members))
    }
}

impl PartialOrd for Load {
    fn partial_cmp(&self, other: &Load) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Load {
    fn eq(&self, other: &Load) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Load {}

#[derive(Debug, Default)]
pub(super) struct Process {
    members: Vec<(usize, Tasks)>,
    tasks: HashSet<TaskId>,
    count: usize,
    /// Members by their number of tasks; outdated entries are passed over.
    by_count: BinaryHeap<Reverse<(usize, usize)>>,
}

impl Process {
    /// Its place.
    pub fn add_member(&mut self) -> usize {
        self.members.push((0, Tasks::default()));
        self.by_count.push(Reverse((0, self.members.len() - 1)));
        self.members.len() - 1
    }

    pub fn load(&self) -> Load {
        Load { tasks: self.count as u64, members: self.members.len() as u64 }
    }

    pub fn has(&self, task: &TaskId) -> bool {
        self.tasks.contains(task)
    }

    pub fn count_of(&self, member: usize) -> usize {
        self.members.get(member).map_or(0, |(count, _)| *count)
    }

    /// How many tasks the member has then.
    pub fn add(&mut self, member: usize, task: TaskId, is_active: bool) -> usize {
        let Some((count, tasks)) = self.members.get_mut(member) else { return 0 };
        let (id, partition) = task.clone();
        let set = if is_active { &mut tasks.active } else { &mut tasks.standby };
        set.entry(id).or_default().insert(partition);
        *count += 1;
        self.by_count.push(Reverse((*count, member)));
        self.count += 1;
        self.tasks.insert(task);
        self.count_of(member)
    }

    /// The same for the member with the fewest tasks.
    pub fn add_to_least_loaded(&mut self, task: TaskId, is_active: bool) -> usize {
        while let Some(Reverse((count, member))) = self.by_count.pop() {
            if count == self.count_of(member) {
                return self.add(member, task, is_active);
            }
        }
        0
    }

    pub fn take(&mut self, member: usize) -> Tasks {
        self.members.get_mut(member).map(|(_, tasks)| std::mem::take(tasks)).unwrap_or_default()
    }
}
