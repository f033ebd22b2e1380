//! One member's next step from what it owns to its target. Pure.
//!
//! A member moves to the target's epoch only when it has given up what the target takes from it, and is assigned only what nobody else
//! owns any more. Source: CurrentAssignmentBuilder.

use super::{Current, MemberState, Owned};
use crate::coordinator::group::messages::Partitions;
use crate::ids::TopicId;
use std::collections::BTreeSet;

/// What the step depends on.
pub struct Towards<'a> {
    pub target_epoch: i32,
    pub target: &'a Partitions,
    /// The topics that the member subscribes to now; the target may be of an earlier subscription.
    pub subscribed: &'a BTreeSet<TopicId>,
    /// Whether it has just changed: partitions of other topics are then taken from the member at once.
    pub has_subscription_changed: bool,
    /// What the member says that it owns; `None`: it does not say.
    pub owned: Option<&'a Partitions>,
    /// Whether another member owns a partition.
    pub is_anothers: &'a dyn Fn(TopicId, i32) -> bool,
}

/// The member's state after the step; the same as before when there is none to take.
#[must_use]
pub fn step(current: &Current, towards: &Towards) -> Current {
    match current.state {
        MemberState::Stable if current.epoch != towards.target_epoch => towards.next(current),
        MemberState::Unrevoked if !towards.still_owns(&current.revoking) => towards.next(current),
        MemberState::Unreleased | MemberState::Unknown => towards.next(current),
        MemberState::Stable | MemberState::Unrevoked if towards.has_subscription_changed => towards.unsubscribe(current),
        MemberState::Stable | MemberState::Unrevoked => current.clone(),
    }
}

impl Towards<'_> {
    /// Whether the member still has one of `revoked`; it has unless it says otherwise.
    fn still_owns(&self, revoked: &Owned) -> bool {
        let Some(owned) = self.owned else { return !revoked.is_empty() };
        let has = |topic: &TopicId, partition: &i32| owned.get(topic).is_some_and(|partitions| partitions.contains(partition));
        revoked.iter().any(|(topic, partitions)| partitions.keys().any(|partition| has(topic, partition)))
    }

    /// While the member still has to give something up, it keeps its epoch, also when that is more than at first: so a heartbeat whose
    /// answer was lost may come again.
    fn next(&self, current: &Current) -> Current {
        let wants = |topic: &TopicId, partition: &i32| {
            self.subscribed.contains(topic) && self.target.get(topic).is_some_and(|partitions| partitions.contains(partition))
        };
        let (mut assigned, revoking) = split(&current.assigned, wants);
        if self.still_owns(&revoking) {
            return waits(current, assigned, revoking);
        }
        let mut state = MemberState::Stable;
        for (topic, partitions) in self.target.iter().filter(|(topic, _)| self.subscribed.contains(topic)) {
            for partition in partitions {
                if assigned.get(topic).is_some_and(|own| own.contains_key(partition)) {
                    continue;
                }
                if (self.is_anothers)(*topic, *partition) {
                    state = MemberState::Unreleased;
                } else {
                    assigned.entry(*topic).or_default().insert(*partition, self.target_epoch);
                }
            }
        }
        Current { state, assigned, revoking: Owned::new(), previous_epoch: current.epoch, epoch: self.target_epoch }
    }

    /// Takes the partitions of topics that the member has just unsubscribed from, without waiting for a new target.
    fn unsubscribe(&self, current: &Current) -> Current {
        let (assigned, dropped) = split(&current.assigned, |topic, _| self.subscribed.contains(topic));
        if dropped.is_empty() {
            return current.clone();
        }
        let mut revoking = current.revoking.clone();
        for (topic, partitions) in dropped {
            revoking.entry(topic).or_default().extend(partitions);
        }
        if self.still_owns(&revoking) {
            return waits(current, assigned, revoking);
        }
        // It has given them up already.
        Current { assigned, previous_epoch: current.epoch, ..current.clone() }
    }
}

/// The member stays in `epoch` until it has given up `revoking`.
fn waits(current: &Current, assigned: Owned, revoking: Owned) -> Current {
    Current { state: MemberState::Unrevoked, assigned, revoking, previous_epoch: current.epoch, epoch: current.epoch }
}

/// `owned` as what `keeps` keeps, and the rest.
fn split(owned: &Owned, keeps: impl Fn(&TopicId, &i32) -> bool) -> (Owned, Owned) {
    let (mut kept, mut rest) = (Owned::new(), Owned::new());
    for (topic, partitions) in owned {
        for (partition, epoch) in partitions {
            let side = if keeps(topic, partition) { &mut kept } else { &mut rest };
            side.entry(*topic).or_default().insert(*partition, *epoch);
        }
    }
    (kept, rest)
}
