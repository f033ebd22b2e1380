//! The uniform assignor: keep, fill, then level.
//!
//! 1. Each member keeps what it had and may still have, up to its share: when all members subscribe to the same topics, the number of
//!    partitions divided by the number of members, and one more for as many members as it takes.
//! 2. Free partitions go, topic by topic, to the subscriber that has the fewest; among equals to one in the rack of a replica, then to
//!    one that had the partition already.
//! 3. Where subscriptions differ, partitions move from a member to a subscriber that has at least two fewer, until there is no such pair.
//!    Every move makes the sum of squares of the shares smaller, so this ends.

use super::{Free, Subjects, Subscriber, subscribed};
use crate::coordinator::group::messages::Partitions;
use crate::ids::TopicId;
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub(super) fn assign(subscribers: &[Subscriber], subjects: &Subjects) -> Vec<Partitions> {
    let order: Vec<usize> = (0..subscribers.len()).collect();
    let holders = subscribed(subscribers, &order);
    let mut shares = Shares::kept(subscribers, subjects, &holders);
    for (topic, members) in &holders {
        let partitions = subjects.get(topic).map_or(0, |subject| subject.partitions);
        let free: Vec<Free> =
            (0..partitions).map(|index| (*topic, index)).filter(|one| !shares.owners.contains_key(one)).collect();
        shares.fill(&free, members, subscribers, subjects);
    }
    if !is_homogeneous(subscribers) {
        shares.level(&holders);
    }
    shares.targets
}

fn is_homogeneous(subscribers: &[Subscriber]) -> bool {
    subscribers.windows(2).all(|pair| matches!(pair, [a, b] if a.topics == b.topics))
}

/// A target in the making. Members are named by their place in the list of subscribers.
struct Shares {
    targets: Vec<Partitions>,
    owners: HashMap<Free, usize>,
    sizes: Vec<usize>,
}

impl Shares {
    fn kept(subscribers: &[Subscriber], subjects: &Subjects, holders: &BTreeMap<TopicId, Vec<usize>>) -> Shares {
        let count = subscribers.len();
        let mut shares = Shares { targets: vec![Partitions::new(); count], owners: HashMap::new(), sizes: vec![0; count] };
        // With unlike subscriptions there is no share that fits all: everything is kept, and levelled afterwards.
        let (mut least, mut extra) = (usize::MAX, 0);
        if is_homogeneous(subscribers) {
            let partitions = holders.keys().filter_map(|topic| usize::try_from(subjects.get(topic)?.partitions).ok());
            let total: usize = partitions.sum();
            (least, extra) = (total.checked_div(count).unwrap_or(0), total.checked_rem(count).unwrap_or(0));
        }
        // Those who have more than the least keep one more first: what they have need not move.
        let mut by_size: Vec<usize> = (0..count).collect();
        let had =
            |member: &usize| subscribers.get(*member).map_or(0, |one| one.target.values().map(BTreeSet::len).sum::<usize>());
        by_size.sort_by_key(|member| std::cmp::Reverse(had(member)));
        for member in by_size {
            let Some(subscriber) = subscribers.get(member) else { continue };
            let mine: Vec<Free> = valid(subscriber, subjects).filter(|one| !shares.owners.contains_key(one)).collect();
            let mut quota = least;
            if mine.len() > least && extra > 0 {
                (quota, extra) = (least + 1, extra - 1);
            }
            for one in mine.into_iter().take(quota) {
                shares.give(one, member);
            }
        }
        shares
    }

    fn give(&mut self, one: Free, member: usize) {
        let (Some(target), Some(size)) = (self.targets.get_mut(member), self.sizes.get_mut(member)) else { return };
        target.entry(one.0).or_default().insert(one.1);
        *size += 1;
        self.owners.insert(one, member);
    }

    fn take(&mut self, one: Free) {
        let Some(member) = self.owners.remove(&one) else { return };
        let (Some(target), Some(size)) = (self.targets.get_mut(member), self.sizes.get_mut(member)) else { return };
        if let Some(partitions) = target.get_mut(&one.0) {
            partitions.remove(&one.1);
            if partitions.is_empty() {
                target.remove(&one.0);
            }
        }
        *size -= 1;
    }

    fn size(&self, member: usize) -> usize {
        self.sizes.get(member).copied().unwrap_or(usize::MAX)
    }

    /// Gives each of `free`, partitions of one topic, to the one of `members` who has the fewest.
    fn fill(&mut self, free: &[Free], members: &[usize], subscribers: &[Subscriber], subjects: &Subjects) {
        // Ordered by what decides, so that each partition costs a logarithm.
        let mut queue: BTreeSet<(usize, bool, usize)> = BTreeSet::new();
        let is_far = |member: usize, topic: TopicId| {
            let racks = subjects.get(&topic).map(|subject| &subject.racks);
            let rack = subscribers.get(member).and_then(|one| one.rack_id);
            !racks.zip(rack).is_some_and(|(racks, rack)| racks.iter().any(|one| one == rack))
        };
        let topic = free.first().map(|one| one.0);
        for member in members {
            queue.insert((self.size(*member), topic.is_some_and(|topic| is_far(*member, topic)), *member));
        }
        for one in free {
            let Some((size, far, mut member)) = queue.pop_first() else { return };
            // Of those with equally few, the one that had it keeps it.
            let equals = queue.iter().take_while(|other| (other.0, other.1) == (size, far)).map(|other| other.2);
            let had = |member: usize| subscribers.get(member).is_some_and(|subscriber| has(subscriber.target, *one));
            if !had(member)
                && let Some(former) = equals.into_iter().take(FORMER_OWNERS_ASKED).find(|other| had(*other))
            {
                queue.remove(&(size, far, former));
                queue.insert((size, far, member));
                member = former;
            }
            self.give(*one, member);
            queue.insert((size + 1, far, member));
        }
    }

    /// Moves partitions until no subscriber has two fewer than an owner.
    fn level(&mut self, holders: &BTreeMap<TopicId, Vec<usize>>) {
        loop {
            let mut has_moved = false;
            for (topic, members) in holders {
                has_moved |= self.level_topic(*topic, members);
            }
            if !has_moved {
                return;
            }
        }
    }

    fn level_topic(&mut self, topic: TopicId, members: &[usize]) -> bool {
        let mut has_moved = false;
        let mut order: BTreeSet<(usize, usize)> = members.iter().map(|member| (self.size(*member), *member)).collect();
        loop {
            let Some((fewest, to)) = order.first().copied() else { return has_moved };
            // From whoever has the most and owns one of this topic.
            let from = order.iter().rev().take_while(|(size, _)| *size > fewest + 1).find_map(|(size, member)| {
                let one = self.targets.get(*member)?.get(&topic)?.last()?;
                Some((*size, *member, (topic, *one)))
            });
            let Some((most, from, one)) = from else { return has_moved };
            self.take(one);
            self.give(one, to);
            order.remove(&(fewest, to));
            order.remove(&(most, from));
            order.insert((fewest + 1, to));
            order.insert((most - 1, from));
            has_moved = true;
        }
    }
}

/// How many members with equally few partitions are asked whether they had this one: past it, stickiness gives way to time.
const FORMER_OWNERS_ASKED: usize = 64;

/// What the subscriber had and may still have.
fn valid<'a>(subscriber: &'a Subscriber, subjects: &'a Subjects) -> impl Iterator<Item = Free> + 'a {
    let topics = subscriber.target.iter().filter(|(topic, _)| subscriber.topics.contains(topic));
    topics.flat_map(|(topic, partitions)| {
        let count = subjects.get(topic).map_or(0, |subject| subject.partitions);
        partitions.iter().filter(move |index| (0..count).contains(*index)).map(|index| (*topic, *index))
    })
}

fn has(target: &Partitions, one: Free) -> bool {
    target.get(&one.0).is_some_and(|partitions| partitions.contains(&one.1))
}
