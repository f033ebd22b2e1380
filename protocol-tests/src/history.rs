//! What transactional producers did and what read_committed readers saw, and whether the two fit: the anomalies that Jepsen's Kafka workload
//! looks for (jepsen.io/analyses/bufstream-0.1.0, redpanda-21.10.1), as far as they concern committed transactions.
//!
//! Every value is written once. A transaction is committed, aborted, or of unknown outcome (its producer gave up). Reads are of the whole
//! partition from its start, so a value behind one that a read has must be in that read.

use std::collections::{BTreeMap, BTreeSet};

/// How a transaction ended, as its producer was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Committed,
    Aborted,
    Unknown,
}

/// One transaction.
#[derive(Debug, Clone)]
pub struct Transaction {
    pub producer: usize,
    /// Partition and value, in the order of sending.
    pub sends: Vec<(i32, u64)>,
    pub outcome: Outcome,
}

/// One read of one partition from its start: offsets and values.
#[derive(Debug, Clone)]
pub struct Read {
    pub partition: i32,
    pub seen: Vec<(i64, u64)>,
    /// Whether everything was read that will ever be there.
    pub is_last: bool,
}

/// What happened, in order.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub transactions: Vec<Transaction>,
    pub reads: Vec<Read>,
}

/// What must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anomaly {
    /// A committed value that no last read has.
    LostWrite(u64),
    /// A value at two offsets of a partition, or in two.
    Duplicate(u64),
    /// A value of an aborted transaction (G1a).
    AbortedRead(u64),
    /// A value that nobody wrote there.
    Foreign(u64),
    /// Two values at one offset.
    InconsistentOffset { partition: i32, offset: i64, values: (u64, u64) },
    /// An earlier read had a value that a later one has not.
    NonMonotonic { partition: i32, value: u64 },
    /// A read leaves out a value before one that it has, which a later read has there.
    Skipped { partition: i32, value: u64 },
    /// A transaction of unknown outcome of which only some values are there, at the end.
    Torn { values: Vec<u64>, missing: Vec<u64> },
    /// Values of one producer in another order than it sent them.
    Reordered { partition: i32, first: u64, second: u64 },
}

/// All anomalies of a history; none: it is as if each committed transaction had happened at once and exactly once.
#[must_use]
pub fn check(history: &History) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    values(history, &mut anomalies);
    offsets(history, &mut anomalies);
    order(history, &mut anomalies);
    endings(history, &mut anomalies);
    anomalies.dedup();
    anomalies
}

/// Who wrote what, where.
fn writers(history: &History) -> BTreeMap<u64, (i32, &Transaction)> {
    let all =
        history.transactions.iter().flat_map(|one| one.sends.iter().map(move |(partition, value)| (*value, (*partition, one))));
    all.collect()
}

fn values(history: &History, anomalies: &mut Vec<Anomaly>) {
    let writers = writers(history);
    for read in &history.reads {
        let mut met = BTreeSet::new();
        for (_, value) in &read.seen {
            match writers.get(value) {
                Some((partition, one)) if *partition == read.partition => {
                    if one.outcome == Outcome::Aborted {
                        anomalies.push(Anomaly::AbortedRead(*value));
                    }
                }
                _ => anomalies.push(Anomaly::Foreign(*value)),
            }
            if !met.insert(*value) {
                anomalies.push(Anomaly::Duplicate(*value));
            }
        }
    }
}

fn offsets(history: &History, anomalies: &mut Vec<Anomaly>) {
    let mut known: BTreeMap<(i32, i64), u64> = BTreeMap::new();
    let mut longest: BTreeMap<i32, Vec<(i64, u64)>> = BTreeMap::new();
    for read in &history.reads {
        let partition = read.partition;
        for (offset, value) in &read.seen {
            let before = *known.entry((partition, *offset)).or_insert(*value);
            if before != *value {
                anomalies.push(Anomaly::InconsistentOffset { partition, offset: *offset, values: (before, *value) });
            }
        }
        let earlier = longest.entry(partition).or_default();
        let now: BTreeSet<u64> = read.seen.iter().map(|(_, value)| *value).collect();
        for (_, value) in earlier.iter().filter(|(_, value)| !now.contains(value)) {
            anomalies.push(Anomaly::NonMonotonic { partition, value: *value });
        }
        let end = earlier.last().map_or(-1, |(offset, _)| *offset);
        let then: BTreeSet<u64> = earlier.iter().map(|(_, value)| *value).collect();
        for (_, value) in read.seen.iter().filter(|(offset, value)| *offset < end && !then.contains(value)) {
            anomalies.push(Anomaly::Skipped { partition, value: *value });
        }
        *earlier = read.seen.clone();
    }
}

fn order(history: &History, anomalies: &mut Vec<Anomaly>) {
    let mut sent: BTreeMap<u64, (usize, usize)> = BTreeMap::new();
    for (number, (producer, value)) in
        history.transactions.iter().flat_map(|one| one.sends.iter().map(move |(_, value)| (one.producer, *value))).enumerate()
    {
        sent.insert(value, (producer, number));
    }
    for read in &history.reads {
        let mut newest: BTreeMap<usize, (usize, u64)> = BTreeMap::new();
        for (_, value) in &read.seen {
            let Some((producer, number)) = sent.get(value) else { continue };
            if let Some((before, first)) = newest.insert(*producer, (*number, *value))
                && before > *number
            {
                anomalies.push(Anomaly::Reordered { partition: read.partition, first, second: *value });
            }
        }
    }
}

fn endings(history: &History, anomalies: &mut Vec<Anomaly>) {
    let last = history.reads.iter().filter(|read| read.is_last);
    let there: BTreeSet<u64> = last.flat_map(|read| read.seen.iter().map(|(_, value)| *value)).collect();
    if !history.reads.iter().any(|read| read.is_last) {
        return;
    }
    for one in &history.transactions {
        let missing: Vec<u64> = one.sends.iter().map(|(_, value)| *value).filter(|value| !there.contains(value)).collect();
        match one.outcome {
            Outcome::Committed => anomalies.extend(missing.into_iter().map(Anomaly::LostWrite)),
            Outcome::Unknown if !missing.is_empty() && missing.len() < one.sends.len() => {
                anomalies.push(Anomaly::Torn { values: one.sends.iter().map(|(_, value)| *value).collect(), missing });
            }
            Outcome::Unknown | Outcome::Aborted => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(sends: &[(i32, u64)], outcome: Outcome) -> Transaction {
        Transaction { producer: 0, sends: sends.to_vec(), outcome }
    }

    fn read(partition: i32, seen: &[(i64, u64)]) -> Read {
        Read { partition, seen: seen.to_vec(), is_last: false }
    }

    fn last(partition: i32, seen: &[(i64, u64)]) -> Read {
        Read { is_last: true, ..read(partition, seen) }
    }

    /// One committed transaction over two partitions, and what is read.
    fn found(reads: Vec<Read>) -> Vec<Anomaly> {
        let transactions = vec![
            transaction(&[(0, 1), (0, 2), (1, 3)], Outcome::Committed),
            transaction(&[(0, 4)], Outcome::Aborted),
            transaction(&[(0, 5), (1, 6)], Outcome::Unknown),
        ];
        check(&History { transactions, reads })
    }

    #[test]
    fn a_history_in_which_all_is_well_has_no_anomaly() {
        assert_eq!(found(vec![read(0, &[]), last(0, &[(0, 1), (1, 2)]), last(1, &[(0, 3)])]), []);
        assert_eq!(found(vec![last(0, &[(0, 1), (1, 2), (5, 5)]), last(1, &[(0, 3), (2, 6)])]), []);
    }

    #[test]
    fn each_anomaly_is_found() {
        assert_eq!(found(vec![last(0, &[(0, 1)]), last(1, &[(0, 3)])]), [Anomaly::LostWrite(2)]);
        assert_eq!(found(vec![read(0, &[(0, 1), (1, 2), (2, 2)])]), [Anomaly::Duplicate(2)]);
        assert_eq!(found(vec![read(0, &[(0, 1), (1, 2), (3, 4)])]), [Anomaly::AbortedRead(4)]);
        assert_eq!(found(vec![read(0, &[(0, 9)])]), [Anomaly::Foreign(9)]);
        assert_eq!(found(vec![read(1, &[(0, 2)])]), [Anomaly::Foreign(2)], "it was written to the other partition");
        let values = (1, 2);
        assert_eq!(
            found(vec![read(0, &[(0, 1)]), read(0, &[(0, 2), (1, 1)])])[0],
            Anomaly::InconsistentOffset { partition: 0, offset: 0, values }
        );
        assert_eq!(
            found(vec![read(0, &[(0, 1), (1, 2)]), read(0, &[(0, 1)])]),
            [Anomaly::NonMonotonic { partition: 0, value: 2 }]
        );
        assert_eq!(found(vec![read(0, &[(1, 2)]), read(0, &[(0, 1), (1, 2)])]), [Anomaly::Skipped { partition: 0, value: 1 }]);
        let torn = Anomaly::Torn { values: vec![5, 6], missing: vec![6] };
        assert_eq!(found(vec![last(0, &[(0, 1), (1, 2), (4, 5)]), last(1, &[(0, 3)])]), [torn]);
        let reordered = Anomaly::Reordered { partition: 0, first: 2, second: 1 };
        assert_eq!(found(vec![read(0, &[(0, 2), (1, 1)])]), [reordered]);
    }
}
