//! Goal: every partition is read, members have alike much to do, and changes move little. Method: small groups with known results, and
//! seeded groups, topics and earlier targets, with what the file's header promises checked.

use super::*;
use crate::env::Env;
use crate::ids::Timestamp;
use uuid::Uuid;

fn topic(number: u128) -> TopicId {
    TopicId(Uuid::from_u128(number))
}

fn topics(counts: &[(u128, i32)]) -> Partitions {
    counts.iter().map(|(number, count)| (topic(*number), (0..*count).collect())).collect()
}

/// Assigns to members that subscribe to `wanted` and had `before`; answers their targets.
fn assigned(wanted: &[&[u128]], before: &[Partitions], assignable: &Partitions) -> Vec<Partitions> {
    let none = Partitions::new();
    let subscribers = wanted.iter().enumerate().map(|(index, names)| Subscriber {
        topics: names.iter().map(|number| topic(*number)).collect(),
        target: before.get(index).unwrap_or(&none),
    });
    assign(&subscribers.collect::<Vec<_>>(), assignable)
}

fn count(target: &Partitions) -> usize {
    target.values().map(BTreeSet::len).sum()
}

fn counts(targets: &[Partitions]) -> Vec<usize> {
    targets.iter().map(count).collect()
}

#[test]
fn nothing_to_read_is_nothing_to_assign() {
    assert_eq!(assigned(&[], &[], &topics(&[(1, 3)])), Vec::<Partitions>::new());
    assert_eq!(assigned(&[&[1], &[1]], &[], &Partitions::new()), [Partitions::new(), Partitions::new()]);
    let stale = topics(&[(1, 3), (2, 1)]);
    let target = assigned(&[&[1]], &[stale], &topics(&[(1, 2)]));
    assert_eq!(target, [topics(&[(1, 2)])], "what is not there any more, or not subscribed to, goes");
}

#[test]
fn partitions_are_spread_and_shared() {
    assert_eq!(counts(&assigned(&[&[1], &[1]], &[], &topics(&[(1, 3)]))), [2, 1]);
    assert_eq!(counts(&assigned(&[&[1, 2], &[1, 2], &[1, 2]], &[], &topics(&[(1, 2), (2, 4)]))), [2, 2, 2]);
    let shared = assigned(&[&[1], &[1], &[1]], &[], &topics(&[(1, 1)]));
    assert_eq!(shared, vec![topics(&[(1, 1)]); 3], "all read the only partition");
    assert_eq!(counts(&assigned(&[&[1][..]; 5], &[], &topics(&[(1, 2)]))), [2, 1, 1, 1, 1]);
    let mixed = assigned(&[&[1], &[2], &[1, 2]], &[], &topics(&[(1, 4), (2, 2)]));
    assert_eq!(
        mixed.iter().map(|target| (target.get(&topic(1)).map_or(0, BTreeSet::len), count(target))).collect::<Vec<_>>(),
        [(2, 2), (0, 1), (2, 3)]
    );
}

#[test]
fn members_keep_what_they_have() {
    let all = topics(&[(1, 4)]);
    let first = assigned(&[&[1], &[1]], &[], &all);
    assert_eq!(assigned(&[&[1], &[1]], &first, &all), first);
    let joined = assigned(&[&[1], &[1], &[1]], &first, &all);
    assert_eq!(counts(&joined), [2, 1, 1]);
    assert_eq!(joined[0], first[0], "who has no more than its share loses nothing");
    let left = assigned(&[&[1]], &first[..1], &all);
    assert_eq!(left, [all]);
}

#[test]
fn whatever_was_before_every_partition_is_read_and_nobody_has_more_than_its_share() {
    for seed in 0..400 {
        let random = Env::manual(Timestamp(0), seed);
        let below = |bound: u64| random.below(bound);
        let assignable: Partitions =
            (1..=1 + below(3)).map(|number| (topic(number.into()), (0..below(7) as i32).collect())).collect();
        let members = 1 + below(9) as usize;
        let is_mixed = below(2) == 0;
        let wanted: Vec<Vec<u128>> = (0..members).map(|_| (1..=3).filter(|_| !is_mixed || below(3) > 0).collect()).collect();
        let wanted: Vec<&[u128]> = wanted.iter().map(Vec::as_slice).collect();
        let before: Vec<Partitions> = (0..members)
            .map(|_| (1..=4).map(|number| (topic(number), (0..8).filter(|_| below(3) == 0).collect())).collect())
            .collect();
        let targets = assigned(&wanted, &before, &assignable);
        check(seed, &wanted, &targets, &assignable);
        let again = assigned(&wanted, &targets, &assignable);
        check(seed, &wanted, &again, &assignable);
        assert_eq!(again, assigned(&wanted, &again, &assignable), "seed {seed}: nothing moves when nothing changes");
    }
}

fn check(seed: u64, wanted: &[&[u128]], targets: &[Partitions], assignable: &Partitions) {
    let readers =
        |topic: &TopicId| wanted.iter().filter(|names| names.iter().any(|number| super::tests::topic(*number) == *topic)).count();
    for (id, partitions) in assignable {
        for partition in partitions {
            let has = |target: &&Partitions| target.get(id).is_some_and(|own| own.contains(partition));
            let read_by = targets.iter().filter(has).count();
            assert!(read_by > 0 || readers(id) == 0, "seed {seed}: nobody reads {id:?}-{partition}");
        }
    }
    let is_homogeneous = wanted.iter().all(|names| names == &wanted[0]);
    for (names, target) in wanted.iter().zip(targets) {
        for (id, own) in target {
            assert!(names.iter().any(|number| topic(*number) == *id), "seed {seed}: {id:?} is not subscribed to");
            assert!(own.is_subset(&assignable[id]), "seed {seed}: {own:?} of {id:?} is not all there");
            if !is_homogeneous {
                let (places, members) = (assignable[id].len(), readers(id));
                let most = (members.div_ceil(places) * places).div_ceil(members);
                assert!(own.len() <= most, "seed {seed}: {own:?} of {id:?} is more than {most}");
            }
        }
    }
    if is_homogeneous {
        let places: usize = wanted[0].iter().filter_map(|number| assignable.get(&topic(*number))).map(BTreeSet::len).sum();
        let most = (wanted.len().div_ceil(places.max(1)) * places).div_ceil(wanted.len());
        assert!(counts(targets).into_iter().all(|count| count <= most), "seed {seed}: {:?}, at most {most}", counts(targets));
    }
}
