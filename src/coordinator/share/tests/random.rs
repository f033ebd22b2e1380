//! Random sequences: members that fetch, acknowledge as they like, vanish and come back, a log that grows, is compacted and is trimmed,
//! locks that end, and crashes.
//!
//! Invariants: no record is with two members; nobody is given what is settled; the start never goes back; what is not settled is delivered
//! until it is, at most as often as the limit says between two crashes; what is replayed is what was lived through. In the end every
//! record is settled.

use super::*;
use crate::env::Env;
use std::collections::{BTreeMap, BTreeSet};

const SEEDS: u64 = 300;
const STEPS: usize = 150;
const MEMBERS: [&str; 3] = ["a", "b", "c"];

/// Says which seed failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {}", self.0);
        }
    }
}

/// The world around the shard, in the plainest terms: one entry for each offset.
struct World {
    shard: Harness,
    env: Env,
    /// The batches of the log; compaction makes holes between them.
    batches: Vec<(i64, i64)>,
    next: i64,
    trimmed: i64,
    /// Who has an offset, and until when.
    held: BTreeMap<i64, (&'static str, Timestamp)>,
    settled: BTreeSet<i64>,
    deliveries: BTreeMap<i64, i16>,
    start: i64,
}

#[test]
fn no_record_is_with_two_members_and_each_is_settled_in_the_end() {
    for seed in 0..SEEDS {
        let _seed = Seed(seed);
        let env = Env::manual(Timestamp(0), seed);
        let mut world = World {
            shard: Harness::new(),
            env,
            batches: Vec::new(),
            next: 0,
            trimmed: 0,
            held: BTreeMap::new(),
            settled: BTreeSet::new(),
            deliveries: BTreeMap::new(),
            start: 0,
        };
        world.shard.policy.locks_max = 5 + world.roll(40);
        world.shard.policy.deliveries_max = i16::try_from(2 + world.roll(5)).expect("small");
        for _ in 0..STEPS {
            world.step();
            world.check();
        }
        world.settle_all();
    }
}

impl World {
    fn roll(&self, sides: i64) -> i64 {
        i64::try_from(self.env.below(u64::try_from(sides).expect("not negative"))).expect("small")
    }

    fn member(&self) -> &'static str {
        MEMBERS[usize::try_from(self.roll(3)).expect("small")]
    }

    fn step(&mut self) {
        match self.roll(16) {
            0..=2 => {
                let last = self.next + self.roll(9);
                self.batches.push((self.next, last));
                self.next = last + 1;
            }
            3..=7 => {
                let (member, most) = (self.member(), 1 + self.roll(30));
                self.fetch(member, most);
            }
            8..=11 => self.acknowledge(),
            12 => {
                let member = self.member();
                self.shard.release(member);
                self.held.retain(|_, (who, _)| *who != member);
            }
            13 => {
                let ms = self.roll(LOCK_MS);
                self.shard.advance(ms);
                let now = self.shard.now;
                self.held.retain(|_, (_, until)| *until > now);
            }
            14 if self.roll(4) == 0 => self.change_the_log(),
            _ if self.roll(5) == 0 => {
                let lived = self.shard.shard.durable.clone();
                self.shard = self.shard.restarted();
                assert_eq!(self.shard.shard.durable, lived, "a replay gives what was lived through");
                let mut again = Harness::loaded_from(self.shard.shard.checkpoint(), self.shard.now);
                again.policy = self.shard.policy;
                assert_eq!(again.shard.durable, lived, "and so does a checkpoint");
                self.held.clear();
                self.deliveries.clear();
            }
            _ => {}
        }
    }

    fn fetch(&mut self, member: &'static str, most: i64) {
        let Ok(Next::At(from)) = self.shard.next() else { return };
        if from.0 < self.trimmed {
            // What the log answers as "out of range".
            self.shard.trimmed(self.trimmed);
            self.held = self.held.split_off(&self.trimmed);
            self.settled.extend(0..self.trimmed);
            return;
        }
        let few = usize::try_from(1 + self.roll(5)).expect("small");
        let batches: Vec<(i64, i64)> = self.batches.iter().copied().filter(|batch| batch.1 >= from.0).take(few).collect();
        let Some(first) = batches.first() else { return };
        // What was compacted away is nobody's to deliver.
        let gone = (from.0.min(first.0)..first.0).filter(|offset| !self.held.contains_key(offset));
        self.settled.extend(gone.collect::<Vec<_>>());
        let void: Vec<(i64, i64)> = if self.roll(4) == 0 { batches.iter().copied().take(1).collect() } else { Vec::new() };
        let mode = if self.roll(2) == 0 { AcquireMode::Records } else { AcquireMode::Batches };
        let request = AcquireRequest {
            from,
            void: void.iter().map(|(first, last)| span(*first, *last)).collect(),
            mode,
            range_records: 1 + self.roll(10),
            ..request(member, &batches, most)
        };
        let acquired = self.shard.acquire(request);
        let until = self.shard.now.plus_ms(LOCK_MS);
        let mut count = 0;
        for range in &acquired {
            for offset in range.span.first.0..=range.span.last.0 {
                count += 1;
                let before = self.held.insert(offset, (member, until));
                assert!(before.is_none(), "{offset} is with {before:?} and {member}");
                assert!(!self.settled.contains(&offset), "{offset} is settled");
                assert!(!void.iter().any(|(first, last)| (first..=last).contains(&&offset)), "{offset} is void");
                let deliveries = self.deliveries.entry(offset).or_default();
                *deliveries += 1;
                assert!(*deliveries <= self.shard.policy.deliveries_max, "{offset} was delivered {deliveries} times");
                assert!(range.count >= *deliveries, "{offset} was delivered {deliveries} times, not {}", range.count);
            }
        }
        assert!(mode == AcquireMode::Batches || count <= most, "{count} records instead of {most}");
    }

    fn acknowledge(&mut self) {
        let Some((first, (member, _))) = self.held.iter().nth(usize::try_from(self.roll(10)).expect("small")) else { return };
        let (first, member) = (*first, *member);
        let last = (first..).take_while(|offset| self.held.get(offset).is_some_and(|(who, _)| *who == member)).last();
        let last = first + self.roll(last.expect("at least one") - first + 1);
        let verdict = |roll| [Accept, Accept, Release, Reject, Gap, Renew][usize::try_from(roll).expect("small")];
        let several = self.roll(2) == 0 && last > first;
        let verdicts: Vec<Verdict> =
            if several { (first..=last).map(|_| verdict(self.roll(6))).collect() } else { vec![verdict(self.roll(6))] };
        let wrong = MEMBERS.into_iter().find(|other| *other != member).expect("there are three");
        assert!(first < self.start || invalid_state(&self.shard.acknowledge(wrong, first, last, &verdicts)));
        self.shard.acknowledge(member, first, last, &verdicts).expect("its own");
        for (at, offset) in (first..=last).enumerate() {
            match if several { verdicts[at] } else { verdicts[0] } {
                Accept | Reject | Gap => {
                    self.settled.insert(offset);
                    self.held.remove(&offset);
                }
                Release => drop(self.held.remove(&offset)),
                Renew => drop(self.held.insert(offset, (member, self.shard.now.plus_ms(LOCK_MS)))),
            }
        }
    }

    fn change_the_log(&mut self) {
        if self.roll(2) == 0 && self.batches.len() > 2 {
            // Compaction leaves the newest batch.
            let at = usize::try_from(self.roll(i64::try_from(self.batches.len()).expect("small") - 1)).expect("small");
            self.batches.remove(at);
        } else if self.next > 0 {
            self.trimmed = self.trimmed.max(self.roll(self.next));
            self.batches.retain(|batch| batch.1 >= self.trimmed);
        }
    }

    fn check(&mut self) {
        let start = self.shard.start();
        assert!(start >= self.start, "the start went back from {} to {start}", self.start);
        self.start = start;
        let durable = self.shard.durable();
        assert_eq!(durable.first_unsettled(Offset(start), &[]), Offset(start), "the start is not settled");
        let soft = self.shard.shard.soft.get(&key());
        let held: Vec<i64> =
            soft.iter().flat_map(|soft| soft.held.iter()).flat_map(|(span, _)| span.first.0..=span.last.0).collect();
        let expected: Vec<i64> = self.held.keys().copied().collect();
        assert_eq!(held, expected);
        assert!(held.iter().all(|offset| *offset >= start && durable.settled_at(Offset(*offset)).is_none()));
    }

    /// Whatever came before: when members go on, all is settled.
    fn settle_all(&mut self) {
        for _ in 0..10_000 {
            if self.shard.start() >= self.next {
                return;
            }
            self.fetch("a", 100);
            while !self.held.is_empty() {
                let (first, (member, _)) = self.held.pop_first().expect("not empty");
                self.shard
                    .acknowledge(member, first, first, &[if self.roll(3) == 0 { Release } else { Accept }])
                    .expect("its own");
            }
            self.deliveries.clear();
        }
        panic!("{} of {} are settled", self.shard.start(), self.next);
    }
}
