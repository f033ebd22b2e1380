//! Who reads from which partitions: the one assignor that share groups have. Pure.
//!
//! Every partition is read by as many members as it takes for all members to have work: one, or more where there are more members than
//! partitions. Every member gets as many partitions as the next one, give or take one, and keeps what it had as far as that allows. Where
//! members subscribe to different topics, this holds for each topic by itself.
//!
//! A partition is never left out: the places that are still to be filled and the room that members still have are the same number, and
//! whoever has room can take a partition that nobody reads. A place may stay empty where only members have room that read that
//! partition already, as in Kafka. Source: SimpleAssignor, SimpleHomogeneousAssignmentBuilder, SimpleHeterogeneousAssignmentBuilder of
//! 4.3; the algorithm is our own.

use crate::coordinator::group::messages::Partitions;
use crate::ids::TopicId;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Kafka's name for it.
pub const NAME: &str = "simple";

/// One member, as far as the assignor looks at it.
#[derive(Debug, Clone)]
pub struct Subscriber<'a> {
    /// Existing topics only.
    pub topics: BTreeSet<TopicId>,
    /// Its target until now.
    pub target: &'a Partitions,
}

type One = (TopicId, i32);

/// A target for each of `subscribers`, in their order. `assignable`: what there is to read.
#[must_use]
pub fn assign(subscribers: &[Subscriber], assignable: &Partitions) -> Vec<Partitions> {
    let mut targets = vec![Partitions::new(); subscribers.len()];
    let Some(first) = subscribers.first() else { return targets };
    let is_homogeneous = subscribers.iter().all(|subscriber| subscriber.topics == first.topics);
    if is_homogeneous {
        let partitions = first.topics.iter().flat_map(|topic| partitions_of(topic, assignable)).collect();
        Pool::new(subscribers, (0..subscribers.len()).collect(), partitions).share_out(&mut targets);
        return targets;
    }
    for topic in assignable.keys() {
        let readers =
            (0..subscribers.len()).filter(|index| subscribers.get(*index).is_some_and(|one| one.topics.contains(topic)));
        Pool::new(subscribers, readers.collect(), partitions_of(topic, assignable).collect()).share_out(&mut targets);
    }
    targets
}

fn partitions_of(topic: &TopicId, assignable: &Partitions) -> impl Iterator<Item = One> {
    let topic = *topic;
    assignable.get(&topic).into_iter().flatten().map(move |partition| (topic, *partition))
}

/// Partitions, and the members that share them. Members are named by their place in `readers`.
struct Pool {
    /// Their indexes among all subscribers.
    readers: Vec<usize>,
    /// How many partitions each should have.
    quotas: Vec<usize>,
    /// What each has.
    owned: Vec<BTreeSet<One>>,
    /// Who reads each.
    holders: BTreeMap<One, BTreeSet<usize>>,
    /// How many should read each.
    sharing: usize,
}

impl Pool {
    fn new(subscribers: &[Subscriber], readers: Vec<usize>, partitions: BTreeSet<One>) -> Pool {
        let sharing = readers.len().div_ceil(partitions.len().max(1));
        let places = sharing * partitions.len();
        let until = |count: usize| (places * count).div_ceil(readers.len().max(1));
        let quotas = (0..readers.len()).map(|place| until(place + 1) - until(place)).collect();
        let mut holders: BTreeMap<One, BTreeSet<usize>> = partitions.into_iter().map(|one| (one, BTreeSet::new())).collect();
        let mut owned = vec![BTreeSet::new(); readers.len()];
        for (place, (index, owned)) in readers.iter().zip(&mut owned).enumerate() {
            let target = subscribers.get(*index).into_iter().flat_map(|one| one.target);
            for one in target.flat_map(|(topic, partitions)| partitions.iter().map(|partition| (*topic, *partition))) {
                if let Some(holders) = holders.get_mut(&one) {
                    holders.insert(place);
                    owned.insert(one);
                }
            }
        }
        Pool { readers, quotas, owned, holders, sharing }
    }

    fn share_out(mut self, targets: &mut [Partitions]) {
        self.take_from_members();
        self.take_from_partitions();
        self.fill();
        for (index, owned) in self.readers.iter().zip(self.owned) {
            let Some(target) = targets.get_mut(*index) else { continue };
            for (topic, partition) in owned {
                target.entry(topic).or_default().insert(partition);
            }
        }
    }

    fn quota(&self, place: usize) -> usize {
        self.quotas.get(place).copied().unwrap_or(0)
    }

    fn owned_count(&self, place: usize) -> usize {
        self.owned.get(place).map_or(0, BTreeSet::len)
    }

    fn part(&mut self, place: usize, one: One) {
        if let (Some(owned), Some(holders)) = (self.owned.get_mut(place), self.holders.get_mut(&one)) {
            owned.remove(&one);
            holders.remove(&place);
        }
    }

    /// Whoever has too many loses some, first those that most others read as well.
    fn take_from_members(&mut self) {
        for place in 0..self.readers.len() {
            let surplus = self.owned_count(place).saturating_sub(self.quota(place));
            if surplus == 0 {
                continue;
            }
            let mut owned: Vec<One> = self.owned.get(place).into_iter().flatten().copied().collect();
            owned.sort_by_key(|one| Reverse((self.holders.get(one).map_or(0, BTreeSet::len), *one)));
            owned.into_iter().take(surplus).for_each(|one| self.part(place, one));
        }
    }

    /// What too many read is taken from some of them, first from those with the most.
    fn take_from_partitions(&mut self) {
        let crowded = self.holders.iter().filter(|(_, holders)| holders.len() > self.sharing).map(|(one, _)| *one);
        let crowded: Vec<One> = crowded.collect();
        for one in crowded {
            let mut holders: Vec<usize> = self.holders.get(&one).into_iter().flatten().copied().collect();
            let surplus = holders.len().saturating_sub(self.sharing);
            holders.sort_by_key(|place| Reverse((self.owned_count(*place), *place)));
            holders.into_iter().take(surplus).for_each(|place| self.part(place, one));
        }
    }

    /// Partitions with too few readers get those with the most room.
    fn fill(&mut self) {
        let room = |pool: &Pool, place: usize| pool.quota(place).saturating_sub(pool.owned_count(place));
        let mut roomy: BTreeSet<(Reverse<usize>, usize)> =
            (0..self.readers.len()).map(|place| (Reverse(room(self, place)), place)).filter(|(room, _)| room.0 > 0).collect();
        let places = self.holders.iter().map(|(one, holders)| (*one, self.sharing.saturating_sub(holders.len())));
        let places: Vec<(One, usize)> = places.filter(|(_, missing)| *missing > 0).collect();
        for (one, missing) in places {
            let reads = |pool: &Pool, place| pool.holders.get(&one).is_some_and(|holders| holders.contains(&place));
            let chosen: Vec<_> = roomy.iter().filter(|(_, place)| !reads(self, *place)).take(missing).copied().collect();
            for entry in chosen {
                let (Reverse(left), place) = entry;
                if let (Some(owned), Some(holders)) = (self.owned.get_mut(place), self.holders.get_mut(&one)) {
                    owned.insert(one);
                    holders.insert(place);
                }
                roomy.remove(&entry);
                if left > 1 {
                    roomy.insert((Reverse(left - 1), place));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
