//! Who gets which partitions: the assignors that the server has (KIP-848). Pure.
//!
//! * **uniform** (the default): every member gets as many partitions as the next one, give or take one, as far as subscriptions allow,
//!   and keeps what it had: a change moves as few partitions as it can. Among members that may have a free partition, one in the
//!   rack of a replica goes first.
//! * **range**: of each topic, members get neighbouring partitions, in the order of their instance and member ids, so that the same
//!   member gets the same indexes of all topics (for joins). Not sticky, as in Kafka 4.
//!
//! Both give every partition of every subscribed topic to exactly one subscriber. Source: UniformAssignor and RangeAssignor of 4.3; the
//! algorithms are our own.

use super::messages::Partitions;
use crate::ids::TopicId;
use std::collections::{BTreeMap, BTreeSet};

mod uniform;

/// An assignor of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignor {
    Uniform,
    Range,
}

/// One member, as far as assignors look at it.
#[derive(Debug, Clone)]
pub struct Subscriber<'a> {
    pub id: &'a str,
    pub instance_id: Option<&'a str>,
    pub rack_id: Option<&'a str>,
    /// Existing topics only.
    pub topics: BTreeSet<TopicId>,
    /// Its target until now.
    pub target: &'a Partitions,
}

/// A topic, as far as assignors look at it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    pub partitions: i32,
    /// The racks that have a replica, the same for all partitions; empty: not known.
    pub racks: Vec<String>,
}

pub type Subjects = BTreeMap<TopicId, Subject>;

impl Assignor {
    /// Kafka's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }

    #[must_use]
    pub fn named(name: &str) -> Option<Assignor> {
        [Assignor::Uniform, Assignor::Range].into_iter().find(|assignor| assignor.name() == name)
    }

    /// A target for each of `subscribers`, in their order. `subjects` has every topic that one of them names.
    #[must_use]
    pub fn assign(self, subscribers: &[Subscriber], subjects: &Subjects) -> Vec<Partitions> {
        match self {
            Assignor::Uniform => uniform::assign(subscribers, subjects),
            Assignor::Range => range(subscribers, subjects),
        }
    }
}

fn range(subscribers: &[Subscriber], subjects: &Subjects) -> Vec<Partitions> {
    let mut order: Vec<usize> = (0..subscribers.len()).collect();
    // Static members first: they keep their place when they come back under another member id.
    order.sort_by_key(|index| subscribers.get(*index).map(|one| (one.instance_id.is_none(), one.instance_id, one.id)));
    let mut targets = vec![Partitions::new(); subscribers.len()];
    for (topic, holders) in subscribed(subscribers, &order) {
        let partitions = subjects.get(&topic).map_or(0, |subject| subject.partitions);
        let mut ranges = ranges(partitions, holders.len());
        for holder in holders {
            if let (Some(range), Some(target)) = (ranges.next(), targets.get_mut(holder))
                && !range.is_empty()
            {
                target.insert(topic, range.collect());
            }
        }
    }
    targets
}

/// The subscribers of each topic, in the given order.
fn subscribed(subscribers: &[Subscriber], order: &[usize]) -> BTreeMap<TopicId, Vec<usize>> {
    let mut holders: BTreeMap<TopicId, Vec<usize>> = BTreeMap::new();
    for index in order {
        for topic in subscribers.get(*index).into_iter().flat_map(|one| &one.topics) {
            holders.entry(*topic).or_default().push(*index);
        }
    }
    holders
}

/// `count` neighbouring ranges that cover `partitions`; the first ones are longer by one where it does not divide.
fn ranges(partitions: i32, count: usize) -> impl Iterator<Item = std::ops::Range<i32>> {
    let count = i32::try_from(count).unwrap_or(i32::MAX).max(1);
    let (least, extra) = (partitions / count, partitions % count);
    (0..count).map(move |index| {
        let start = index * least + index.min(extra);
        start..start + least + i32::from(index < extra)
    })
}

/// A partition, and whoever may have it next.
type Free = (TopicId, i32);

#[cfg(test)]
mod tests;
