//! What one partition knows about transactions: which are open, which are closing, which were aborted.
//!
//! ```text
//!            first transactional batch              marker appended              marker durable
//!   (none) ───────────────────────────▶ open ───────────────────────▶ closing ───────────────────▶ (gone; aborted: in the index)
//! ```
//! The last stable offset lies before the first record of every open and every closing transaction: a closing one counts until its marker
//! is durable, else a reader could see records whose end a crash takes back (KIP-98; ProducerStateManager.firstUnstableOffset).
//!
//! Before a client opens a transaction here, the coordinator has to know that this partition is part of it; [`Verification`] makes sure
//! that no marker came in between (KIP-890; VerificationGuard).
//!
//! Owner: the partition's state, under its lock. Bounds: open transactions end with the coordinator's time-out
//! (`transaction.max.timeout.ms`); of verifications the newest [`VERIFICATIONS_MAX`] are kept; the index of aborted transactions takes 32
//! bytes each and is trimmed with the log.

use crate::ids::{Offset, ProducerEpoch, ProducerId, Timestamp};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// How long a verification that led to nothing is remembered: longer than any request takes.
const VERIFICATION_MS: i64 = 15 * 60 * 1000;
/// Verifications remembered; the oldest are forgotten first, and their producers have to ask again.
const VERIFICATIONS_MAX: usize = 10_000;

/// An aborted transaction, as a reader needs it: the producer's records from `first` to its marker at `last` are void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aborted {
    pub producer: ProducerId,
    pub first: Offset,
    pub last: Offset,
    /// The first offset that was undecided when the marker was written; transactions that ended later begin there or behind.
    pub(super) last_stable: Offset,
}

/// Leave to open a transaction, for which the coordinator was asked. Void once a marker of the producer was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verification(u64);

/// A producer for which the coordinator is being asked.
#[derive(Debug)]
struct Verifying {
    verification: Verification,
    since: Timestamp,
    /// The lowest first sequence of a batch that was to come in this epoch.
    epoch: ProducerEpoch,
    lowest: i32,
    /// Position in [`Transactions::verifying_by_age`].
    age: u64,
}

/// The transactions of one partition.
#[derive(Debug, Default)]
pub struct Transactions {
    open: BTreeMap<Offset, ProducerId>,
    /// First offset → offset of the marker.
    closing: BTreeMap<Offset, Offset>,
    /// By `last`.
    aborted: VecDeque<Aborted>,
    verifying: HashMap<ProducerId, Verifying>,
    /// Least recently asked first.
    verifying_by_age: BTreeMap<u64, ProducerId>,
    next_age: u64,
}

impl Transactions {
    /// The producer's transaction begins at `first`.
    pub fn open(&mut self, producer: ProducerId, first: Offset) {
        self.open.insert(first, producer);
        self.forget_verification(producer);
    }

    /// A marker at `last` ends the transaction that began at `first`; `None`: the producer had written nothing here.
    pub fn end(&mut self, producer: ProducerId, first: Option<Offset>, last: Offset, is_aborted: bool) {
        self.forget_verification(producer);
        let Some(first) = first else { return };
        self.open.remove(&first);
        self.closing.insert(first, last);
        if is_aborted {
            let last_stable = self.open.first_key_value().map_or(last.next(), |(first, _)| *first);
            self.aborted.push_back(Aborted { producer, first, last, last_stable });
        }
    }

    /// Everything below `watermark` is durable.
    pub fn committed(&mut self, watermark: Offset) {
        self.closing.retain(|_, marker| *marker >= watermark);
    }

    /// Whether a marker is not durable yet.
    #[must_use]
    pub fn has_closing(&self) -> bool {
        !self.closing.is_empty()
    }

    /// The first offset whose fate is not decided, or not durably so.
    #[must_use]
    pub fn first_unstable(&self) -> Option<Offset> {
        let open = self.open.first_key_value().map(|(first, _)| *first);
        let closing = self.closing.first_key_value().map(|(first, _)| *first);
        match (open, closing) {
            (Some(open), Some(closing)) => Some(open.min(closing)),
            (open, closing) => open.or(closing),
        }
    }

    /// The aborted transactions that have records in `[from, to)` (TransactionIndex.collectAbortedTxns).
    #[must_use]
    pub fn aborted(&self, from: Offset, to: Offset) -> Vec<Aborted> {
        let begin = self.aborted.partition_point(|aborted| aborted.last < from);
        let mut found = Vec::new();
        for aborted in self.aborted.range(begin..) {
            if aborted.first < to {
                found.push(*aborted);
            }
            if aborted.last_stable >= to {
                break;
            }
        }
        found
    }

    /// Compaction has removed every record of these: only their markers are left.
    pub fn emptied(&mut self, gone: &[Aborted]) {
        // Each marker ends one transaction.
        let markers: HashSet<Offset> = gone.iter().map(|one| one.last).collect();
        self.aborted.retain(|one| !markers.contains(&one.last));
    }

    /// The log starts at `start` now: what ended before it is nobody's business any more.
    pub fn trimmed(&mut self, start: Offset) {
        while self.aborted.front().is_some_and(|aborted| aborted.last < start) {
            self.aborted.pop_front();
        }
    }

    /// Begins, or goes on with, asking the coordinator for `producer`, for a batch with this first sequence (a negative one is none).
    pub fn verify(&mut self, producer: ProducerId, epoch: ProducerEpoch, sequence: i32, now: Timestamp) -> Verification {
        let age = self.next_age;
        self.next_age += 1;
        let sequence = if sequence < 0 { i32::MAX } else { sequence };
        let lowest = self.lowest_sequence(producer, epoch).map_or(sequence, |lowest| lowest.min(sequence));
        let verification = self.forget_verification(producer).unwrap_or(Verification(age));
        self.verifying.insert(producer, Verifying { verification, since: now, epoch, lowest, age });
        self.verifying_by_age.insert(age, producer);
        while let Some((_, oldest)) = self.verifying_by_age.first_key_value() {
            let is_old = self.verifying.get(oldest).is_none_or(|one| now.ms_since(one.since) >= VERIFICATION_MS);
            if !is_old && self.verifying.len() <= VERIFICATIONS_MAX {
                break;
            }
            self.forget_verification(*oldest);
        }
        verification
    }

    /// The coordinator refused, or nobody needs to ask any more.
    pub fn forget_verification(&mut self, producer: ProducerId) -> Option<Verification> {
        let Verifying { verification, age, .. } = self.verifying.remove(&producer)?;
        self.verifying_by_age.remove(&age);
        Some(verification)
    }

    /// The lowest first sequence of `producer` in this epoch for which the coordinator is being asked.
    #[must_use]
    pub fn lowest_sequence(&self, producer: ProducerId, epoch: ProducerEpoch) -> Option<i32> {
        self.verifying.get(&producer).filter(|one| one.epoch == epoch).map(|one| one.lowest)
    }

    /// Whether no marker of `producer` came after `verification` was begun.
    #[must_use]
    pub fn is_verified(&self, producer: ProducerId, verification: Verification) -> bool {
        self.verifying.get(&producer).is_some_and(|current| current.verification == verification)
    }

    /// The index of aborted transactions, for the log's snapshot; open ones are with their producers.
    pub(super) fn all_aborted(&self) -> impl ExactSizeIterator<Item = &Aborted> {
        self.aborted.iter()
    }

    /// Takes an entry of a snapshot over.
    pub(super) fn restore_aborted(&mut self, aborted: Aborted) {
        self.aborted.push_back(aborted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: ProducerId = ProducerId(1);
    const BOB: ProducerId = ProducerId(2);

    #[test]
    fn a_closing_transaction_is_unstable_until_its_marker_is_durable() {
        let mut transactions = Transactions::default();
        transactions.open(ALICE, Offset(5));
        assert_eq!(transactions.first_unstable(), Some(Offset(5)));
        transactions.end(ALICE, Some(Offset(5)), Offset(9), false);
        transactions.committed(Offset(9));
        assert_eq!(transactions.first_unstable(), Some(Offset(5)), "the marker itself is not durable");
        transactions.committed(Offset(10));
        assert_eq!((transactions.first_unstable(), transactions.has_closing()), (None, false));
    }

    #[test]
    fn aborted_transactions_are_found_by_any_offset_between_first_and_marker() {
        let mut transactions = Transactions::default();
        transactions.open(ALICE, Offset(0));
        transactions.open(BOB, Offset(2));
        transactions.end(BOB, Some(Offset(2)), Offset(4), true);
        transactions.end(ALICE, Some(Offset(0)), Offset(8), true);
        let found = |from, to| transactions.aborted(Offset(from), Offset(to)).iter().map(|one| one.producer).collect::<Vec<_>>();
        assert_eq!(found(0, 2), [ALICE], "bob begins behind");
        assert_eq!(found(0, 3), [BOB, ALICE]);
        assert_eq!(found(5, 6), [ALICE], "bob ended before");
        assert!(found(9, 20).is_empty());
    }

    #[test]
    fn a_marker_makes_a_verification_void() {
        let mut transactions = Transactions::default();
        let first = transactions.verify(ALICE, ProducerEpoch(0), 0, Timestamp(0));
        assert_eq!(
            transactions.verify(ALICE, ProducerEpoch(0), 0, Timestamp(1)),
            first,
            "two requests of one transaction share it"
        );
        assert!(transactions.is_verified(ALICE, first));
        transactions.end(ALICE, None, Offset(3), true);
        assert!(!transactions.is_verified(ALICE, first));
        let second = transactions.verify(ALICE, ProducerEpoch(0), 0, Timestamp(2));
        assert!(transactions.is_verified(ALICE, second) && !transactions.is_verified(ALICE, first));
    }

    #[test]
    fn verifications_that_lead_to_nothing_are_forgotten_the_oldest_first() {
        let mut transactions = Transactions::default();
        let asked = transactions.verify(ALICE, ProducerEpoch(0), 0, Timestamp(0));
        transactions.forget_verification(ALICE);
        assert!(!transactions.is_verified(ALICE, asked), "refused");

        let first = transactions.verify(ALICE, ProducerEpoch(0), 0, Timestamp(0));
        let last = ProducerId(100 + VERIFICATIONS_MAX as i64);
        for id in 100..last.0 {
            transactions.verify(ProducerId(id), ProducerEpoch(0), 0, Timestamp(1));
        }
        assert!(!transactions.is_verified(ALICE, first), "others came after it");
        assert_eq!((transactions.verifying.len(), transactions.verifying_by_age.len()), (VERIFICATIONS_MAX, VERIFICATIONS_MAX));

        transactions.verify(last, ProducerEpoch(0), 0, Timestamp(VERIFICATION_MS));
        let again = transactions.verify(last, ProducerEpoch(0), 0, Timestamp(VERIFICATION_MS + 1));
        assert!(transactions.is_verified(last, again));
        assert_eq!((transactions.verifying.len(), transactions.verifying_by_age.len()), (1, 1), "the others are too old");
    }

    #[test]
    fn trimming_the_log_trims_the_index() {
        let mut transactions = Transactions::default();
        for first in [0, 10, 20] {
            transactions.open(ALICE, Offset(first));
            transactions.end(ALICE, Some(Offset(first)), Offset(first + 5), true);
        }
        transactions.trimmed(Offset(15));
        let left: Vec<i64> = transactions.all_aborted().map(|one| one.first.0).collect();
        assert_eq!(left, [10, 20], "offset 15 is the second one's marker");
    }
}
