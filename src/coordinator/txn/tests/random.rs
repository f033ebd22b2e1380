//! Random sequences of events: producers that come, go on, end, repeat themselves late, and crashes of the coordinator at any point.
//!
//! Invariants: the epoch of a producer id never goes back; a transaction has one outcome, whoever asks and whenever the coordinator
//! crashed; an outcome that was answered stands in the log; what is replayed is what was lived through.

use super::*;
use crate::env::Env;
use std::collections::BTreeMap;

const SEEDS: u64 = 300;
const STEPS: usize = 200;

/// Says which seed failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {}", self.0);
        }
    }
}

#[test]
fn whatever_happens_a_transaction_has_one_outcome() {
    for seed in 0..SEEDS {
        let _seed = Seed(seed);
        live(seed);
    }
}

fn live(seed: u64) {
    let env = Env::manual(Timestamp(0), seed);
    let roll = |sides: u64| env.below(sides);
    let mut shard = Harness::new();
    // Every producer that was ever issued: a late request may come from any of them.
    let mut issued: Vec<ProducerIdAndEpoch> = vec![shard.init()];
    // The outcome of the transaction that ended with a marker of this producer and epoch.
    let mut outcomes: BTreeMap<ProducerIdAndEpoch, Marker> = BTreeMap::new();
    let mut newest: BTreeMap<ProducerId, ProducerIdAndEpoch> = BTreeMap::new();
    let mut seen_markers = 0;
    for _ in 0..STEPS {
        let late = issued[issued.len() - 1 - usize::try_from(roll(3)).unwrap_or(0).min(issued.len() - 1)];
        match roll(12) {
            0 => issued.extend(shard.init_as(None)),
            1 => issued.extend(shard.init_as(Some(late))),
            2..=5 => drop(shard.partitions(late, i32::try_from(roll(3)).unwrap_or(0), Intent::Add(V2))),
            6..=8 => {
                let marker = if roll(2) == 0 { Commit } else { Abort };
                if let Ok(after) = shard.end(late, marker, V2) {
                    // Whoever is told so, was told the truth: then, and after any crash.
                    let told = shard.transaction();
                    assert!(
                        matches!(told.status, Status::Complete(decided) | Status::Prepare(decided) if decided == marker),
                        "{late:?} was told {marker:?}, but it is {told:?}"
                    );
                    issued.push(after);
                }
            }
            9 => shard.cut_off = if roll(2) == 0 { vec!["topic"] } else { Vec::new() },
            10 => shard.advance(i64::try_from(roll(40_000)).unwrap_or(0)),
            _ => {
                // A crash: of records that were not answered yet, some may be lost. The harness answers at once, so none are.
                let lived = shard.shard.durable.clone();
                shard = shard.restarted(0);
                assert_eq!(shard.shard.durable, lived, "a replay gives what was lived through");
            }
        }
        for ending in &shard.markers[seen_markers..] {
            let before = outcomes.insert(ending.producer, ending.marker);
            assert!(before.is_none_or(|before| before == ending.marker), "{:?} has two outcomes", ending.producer);
        }
        seen_markers = shard.markers.len();
        let current = shard.transaction().producer;
        let before = newest.insert(current.id, current);
        assert!(before.is_none_or(|before| before.epoch <= current.epoch), "an epoch went back");
    }
}
