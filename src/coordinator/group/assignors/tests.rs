//! Goal: every partition of a subscribed topic has one owner who subscribes to it; shares are level; changes move little.
//! Method: small cases by hand, then random groups.

use super::*;
use crate::env::Env;
use crate::ids::Timestamp;
use std::collections::HashMap;
use uuid::Uuid;

fn topic(number: u128) -> TopicId {
    TopicId(Uuid::from_u128(number))
}

fn subjects(counts: &[i32]) -> Subjects {
    let subject = |partitions: i32| Subject { partitions, racks: Vec::new() };
    counts.iter().enumerate().map(|(index, count)| (topic(index as u128), subject(*count))).collect()
}

fn subscriber<'a>(id: &'a str, topics: &[u128], target: &'a Partitions) -> Subscriber<'a> {
    Subscriber { id, instance_id: None, rack_id: None, topics: topics.iter().map(|number| topic(*number)).collect(), target }
}

fn sizes(targets: &[Partitions]) -> Vec<usize> {
    targets.iter().map(|target| target.values().map(BTreeSet::len).sum()).collect()
}

fn moved(before: &[Partitions], after: &[Partitions]) -> usize {
    let lost = |(before, after): (&Partitions, &Partitions)| {
        let lost = before.iter().map(|(topic, own)| own.difference(after.get(topic).unwrap_or(&BTreeSet::new())).count());
        lost.sum::<usize>()
    };
    before.iter().zip(after).map(lost).sum()
}

#[test]
fn range_gives_neighbours_in_the_order_of_ids() {
    let none = Partitions::new();
    let subscribers = [subscriber("b", &[0, 1], &none), subscriber("a", &[0, 1], &none), subscriber("c", &[1], &none)];
    let targets = Assignor::Range.assign(&subscribers, &subjects(&[3, 3]));
    let own =
        |member: usize, number: u128| targets[member].get(&topic(number)).into_iter().flatten().copied().collect::<Vec<_>>();
    assert_eq!((own(1, 0), own(0, 0)), (vec![0, 1], vec![2]));
    assert_eq!((own(1, 1), own(0, 1), own(2, 1)), (vec![0], vec![1], vec![2]));
}

#[test]
fn range_puts_static_members_first_by_their_instance() {
    let none = Partitions::new();
    let fixed = |id, instance| Subscriber { instance_id: Some(instance), ..subscriber(id, &[0], &none) };
    let subscribers = [subscriber("a", &[0], &none), fixed("z", "i1"), fixed("b", "i2")];
    let targets = Assignor::Range.assign(&subscribers, &subjects(&[3]));
    let first = |member: usize| targets[member][&topic(0)].first().copied();
    assert_eq!([first(1), first(2), first(0)], [Some(0), Some(1), Some(2)]);
}

#[test]
fn uniform_keeps_what_it_can_when_members_come_and_go() {
    let (none, subjects) = (Partitions::new(), subjects(&[6, 6]));
    let two = Assignor::Uniform.assign(&[subscriber("a", &[0, 1], &none), subscriber("b", &[0, 1], &none)], &subjects);
    assert_eq!(sizes(&two), [6, 6]);
    let three = [subscriber("a", &[0, 1], &two[0]), subscriber("b", &[0, 1], &two[1]), subscriber("c", &[0, 1], &none)];
    let three = Assignor::Uniform.assign(&three, &subjects);
    assert_eq!(sizes(&three), [4, 4, 4]);
    assert_eq!(moved(&two, &three), 4, "only what the third one gets");
    let left = [subscriber("a", &[0, 1], &three[0]), subscriber("c", &[0, 1], &three[2])];
    let back = Assignor::Uniform.assign(&left, &subjects);
    assert_eq!(sizes(&back), [6, 6]);
    assert_eq!(moved(&[three[0].clone(), three[2].clone()], &back), 0, "nobody who stays loses anything");
}

#[test]
fn uniform_levels_unlike_subscriptions_as_far_as_they_allow() {
    let (none, subjects) = (Partitions::new(), subjects(&[4, 4, 2]));
    let subscribers = [subscriber("a", &[0], &none), subscriber("b", &[0, 1], &none), subscriber("c", &[1, 2], &none)];
    let targets = Assignor::Uniform.assign(&subscribers, &subjects);
    let mut sizes = sizes(&targets);
    sizes.sort_unstable();
    assert_eq!(sizes, [3, 3, 4]);
}

#[test]
fn uniform_prefers_the_rack_of_a_replica_among_equals() {
    let none = Partitions::new();
    let near = Subscriber { rack_id: Some("r1"), ..subscriber("z", &[0], &none) };
    let far = Subscriber { rack_id: Some("r2"), ..subscriber("a", &[0], &none) };
    let subjects = Subjects::from([(topic(0), Subject { partitions: 1, racks: vec!["r1".to_owned()] })]);
    assert_eq!(sizes(&Assignor::Uniform.assign(&[far, near], &subjects)), [0, 1]);
}

#[test]
fn assignments_cover_what_is_subscribed_once_and_stay_level() {
    for seed in 0..300 {
        let random = Env::manual(Timestamp(0), seed);
        let below = |bound: u64| usize::try_from(random.below(bound)).expect("small");
        let counts: Vec<i32> = (0..=below(4)).map(|_| i32::try_from(below(7)).expect("small")).collect();
        let subjects = subjects(&counts);
        let mut targets: Vec<Partitions> = Vec::new();
        let is_homogeneous = below(2) == 0;
        for round in 0..4 {
            let count = 1 + below(6);
            let names: Vec<String> = (0..count).map(|index| format!("m{index}")).collect();
            targets.resize(count, Partitions::new());
            let all: Vec<u128> = (0..counts.len() as u128).collect();
            let some = |_: &String| all.iter().copied().filter(|_| is_homogeneous || below(3) > 0).collect::<Vec<_>>();
            let topics: Vec<Vec<u128>> = names.iter().map(some).collect();
            let before = targets.clone();
            let subscribers: Vec<_> = (0..count).map(|index| subscriber(&names[index], &topics[index], &before[index])).collect();
            for assignor in [Assignor::Range, Assignor::Uniform] {
                targets = assignor.assign(&subscribers, &subjects);
                let mut owners = HashMap::new();
                for (subscriber, target) in subscribers.iter().zip(&targets) {
                    for one in target.iter().flat_map(|(topic, own)| own.iter().map(move |partition| (*topic, *partition))) {
                        assert!(subscriber.topics.contains(&one.0), "seed {seed} round {round}: not subscribed");
                        assert_eq!(owners.insert(one, subscriber.id), None, "seed {seed} round {round}: two owners");
                    }
                }
                let subscribed: BTreeSet<TopicId> = subscribers.iter().flat_map(|one| one.topics.iter().copied()).collect();
                let expected: i32 = subscribed.iter().map(|topic| subjects[topic].partitions).sum();
                assert_eq!(
                    owners.len(),
                    usize::try_from(expected).expect("small"),
                    "seed {seed} round {round}: all are assigned"
                );
            }
            let sizes = sizes(&targets);
            if is_homogeneous {
                assert!(
                    sizes.iter().max().zip(sizes.iter().min()).is_none_or(|(most, least)| most - least <= 1),
                    "seed {seed}: {sizes:?}"
                );
            }
            let again: Vec<_> =
                subscribers.iter().zip(&targets).map(|(one, target)| Subscriber { target, ..one.clone() }).collect();
            assert_eq!(
                moved(&targets, &Assignor::Uniform.assign(&again, &subjects)),
                0,
                "seed {seed}: nothing moves without a reason"
            );
        }
    }
}
