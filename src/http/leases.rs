//! Who was handed which records of a group: so that several callers share a topic, and what one of them does not acknowledge goes to
//! another.
//!
//! ```text
//!   committed        lowest lease                    position
//!   |----- acknowledged -----|-- leased --|- acknowledged -|-- leased --|   to be handed out
//! ```
//! * Records are handed out from `position` on, or again when their lease has expired.
//! * A commit of `offset` acknowledges the lease that holds the record before it, up to `offset`; of a caller that names itself (`worker`) also all
//!   of its leases below. What others hold is not touched, wherever it lies: a caller that dies loses nothing because another one was faster.
//! * The offset that is committed for the group (and that every Kafka tool shows) is the lowest record that is leased and not acknowledged.
//! * Where nothing is leased, a commit sets the offset as it is, back too; but not that of a caller that names itself, which says what it has done: one that
//!   comes late, when others have read on, must not take them back.
//! * When somebody moves the group's committed offset (a reset, a Kafka client), the leases end. Whoever has them does not know, and will commit: so
//!   they stay void ranges until they would have expired, and a commit from within one counts only where somebody holds the record before it again.
//!   Else it would move the group back to where it was taken from.
//!
//! All of it is soft: after a restart a group goes on at its committed offsets. Owner: [`super::groups`], under the group's lock. Bound:
//! [`LEASES_MAX`] per partition; then no more is handed out there until some are acknowledged or expire. Of void ranges as many, the newest.

use crate::ids::Timestamp;
use std::collections::BTreeMap;

/// Leases of one partition, and void ranges.
const LEASES_MAX: usize = 10_000;

/// Records that one caller has, from the key of the map to `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lease {
    /// Exclusive.
    to: i64,
    expires: Timestamp,
    worker: Option<String>,
}

/// Records that somebody had when the group was moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Void {
    from: i64,
    /// Exclusive.
    to: i64,
    /// When their lease would have expired.
    expires: Timestamp,
}

/// One partition of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionLeases {
    /// As it is committed for the group; where nothing is, the partition's first record.
    committed: i64,
    /// Whether something is.
    is_committed: bool,
    /// What was last asked to be committed: its answer may have been lost, with the caller that waited for it.
    committing: Option<i64>,
    /// The next record that nobody has been handed.
    position: i64,
    /// By their first record; they do not overlap.
    leases: BTreeMap<i64, Lease>,
    /// The end of what was acknowledged furthest.
    acknowledged: i64,
    /// In the order in which they became void; they may overlap, and lie below leases.
    void: Vec<Void>,
}

/// Records that may be handed out: those in `[from, to)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub from: i64,
    pub to: i64,
}

impl PartitionLeases {
    /// A partition that begins at `committed`, the group's offset.
    #[must_use]
    pub fn new(committed: i64) -> PartitionLeases {
        PartitionLeases {
            committed,
            is_committed: true,
            committing: None,
            position: committed,
            leases: BTreeMap::new(),
            acknowledged: committed,
            void: Vec::new(),
        }
    }

    /// A partition that begins at its first record, because the group has committed nothing.
    #[must_use]
    pub fn uncommitted(start: i64) -> PartitionLeases {
        PartitionLeases { is_committed: false, ..PartitionLeases::new(start) }
    }

    /// Takes note of the group's committed offset; `None`: it has none. Void ranges that have expired by `now` are forgotten.
    pub fn observe(&mut self, committed: Option<i64>, now: Timestamp) {
        self.void.retain(|void| void.expires > now);
        match committed {
            Some(offset) if self.committing == committed => self.committed(offset),
            // The group was deleted. Where the log begins is found out by reading.
            None if self.is_committed => self.begin_anew(PartitionLeases::uncommitted(0), now),
            _ => {}
        }
        if let Some(offset) = committed.filter(|offset| *offset != self.committed || !self.is_committed) {
            self.moved_to(offset, now);
        }
    }

    /// Somebody moved the group: it goes on at `committed`, and what is out is void.
    pub fn moved_to(&mut self, committed: i64, now: Timestamp) {
        self.begin_anew(PartitionLeases::new(committed), now);
    }

    fn begin_anew(&mut self, anew: PartitionLeases, now: Timestamp) {
        let mut void = std::mem::take(&mut self.void);
        let out = self.leases.iter().filter(|(_, lease)| lease.expires > now);
        void.extend(out.map(|(from, lease)| Void { from: *from, to: lease.to, expires: lease.expires }));
        void.drain(..void.len().saturating_sub(LEASES_MAX));
        *self = PartitionLeases { void, ..anew };
    }

    /// What may be handed out now: first what has come back, then what is new. `None`: too much is out.
    #[must_use]
    pub fn available(&self, now: Timestamp) -> Option<Range> {
        let expired = self.leases.iter().find(|(_, lease)| lease.expires <= now);
        match expired {
            Some((from, lease)) => Some(Range { from: *from, to: lease.to }),
            None if self.leases.len() < LEASES_MAX => Some(Range { from: self.position, to: i64::MAX }),
            None => None,
        }
    }

    /// `range` was read: records up to `to` go to `worker`, and there is nothing to hand out from there to `next` (markers, aborted and
    /// deleted records).
    pub fn hand_out(&mut self, range: Range, to: i64, next: i64, expires: Timestamp, worker: Option<&str>) {
        let is_again = range.to != i64::MAX;
        if is_again && let Some(mut rest) = self.leases.remove(&range.from) {
            let seen = next.max(to).min(rest.to);
            if seen < rest.to {
                rest.expires = Timestamp(i64::MIN);
                self.leases.insert(seen, rest);
            }
        }
        if to > range.from {
            let worker = worker.map(str::to_owned);
            self.leases.insert(range.from, Lease { to, expires, worker });
        }
        if !is_again {
            self.position = self.position.max(next).max(to);
        }
    }

    /// Acknowledges as the file's header says; answers what is to be committed for the group, if that changes; see
    /// [`PartitionLeases::committed`].
    pub fn acknowledge(&mut self, offset: i64, worker: Option<&str>) -> Option<i64> {
        let last = offset.saturating_sub(1);
        let holding = self.leases.range(..=last).next_back().filter(|(_, lease)| lease.to > last).map(|(from, _)| *from);
        // One that begins where a void range does is of the page before it, by the same caller, and comes as late.
        if holding.is_none() && self.void.iter().any(|void| (void.from..=void.to).contains(&offset)) {
            return None;
        }
        if self.leases.is_empty() {
            if worker.is_some() && offset < self.committed {
                return None;
            }
            self.acknowledged = offset;
            self.position = if offset < self.committed { offset } else { self.position.max(offset) };
            return self.due();
        }
        if let Some(from) = holding
            && let Some(lease) = self.leases.remove(&from)
            && lease.to > offset
        {
            self.leases.insert(offset, lease);
        }
        if worker.is_some() {
            self.leases.retain(|_, lease| lease.worker.as_deref() != worker || lease.to > offset);
        }
        self.acknowledged = self.acknowledged.max(offset);
        self.position = self.position.max(offset);
        self.due()
    }

    /// Acknowledges all that `worker` was handed out and nobody else since, or callers without a name, who may have died over what has expired: that is handed out
    /// again. Answers as [`PartitionLeases::acknowledge`].
    pub fn acknowledge_all(&mut self, worker: Option<&str>, now: Timestamp) -> Option<i64> {
        // A name is of one run of a process, which lives if it asks.
        let is_meant = |lease: &Lease| lease.worker.as_deref() == worker && (worker.is_some() || lease.expires > now);
        let furthest = self.leases.values().filter(|lease| is_meant(lease)).map(|lease| lease.to).max()?;
        self.leases.retain(|_, lease| !is_meant(lease));
        self.acknowledged = self.acknowledged.max(furthest);
        self.due()
    }

    /// The group's offset was committed.
    pub fn committed(&mut self, offset: i64) {
        self.committed = offset;
        self.is_committed = true;
    }

    /// When the first lease comes back.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.leases.values().map(|lease| lease.expires).min()
    }

    /// Where the partition would go on: for an answer without records.
    #[must_use]
    pub fn position(&self) -> i64 {
        self.position
    }

    /// Whether nothing would be lost by forgetting this: the committed offset says it all.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let nothing_is_out = self.leases.is_empty() && self.void.is_empty();
        nothing_is_out && self.position == self.committed && self.committing.is_none_or(|offset| offset == self.committed)
    }

    /// What is to be committed.
    fn due(&mut self) -> Option<i64> {
        let due = self.leases.first_key_value().map_or(self.acknowledged, |(from, _)| *from);
        let is_first = !self.is_committed && self.leases.is_empty();
        let due = (due != self.committed || is_first).then_some(due);
        self.committing = due.or(self.committing);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE_MS: i64 = 1000;
    const NEW: i64 = i64::MAX;

    struct Partition {
        leases: PartitionLeases,
        now: Timestamp,
        end: i64,
        committed: i64,
    }

    impl Partition {
        fn new(end: i64) -> Partition {
            Partition { leases: PartitionLeases::new(0), now: Timestamp(0), end, committed: 0 }
        }

        /// What `worker` is handed, at most `limit` records.
        fn consume(&mut self, limit: i64, worker: Option<&str>) -> Vec<i64> {
            let range = self.leases.available(self.now).expect("not too much is out");
            let to = range.to.min(self.end).min(range.from + limit).max(range.from);
            self.leases.hand_out(range, to, to, self.now.plus_ms(LEASE_MS), worker);
            (range.from..to).collect()
        }

        fn commit(&mut self, offset: i64, worker: Option<&str>) -> i64 {
            self.settle(|leases| leases.acknowledge(offset, worker))
        }

        /// The group's offset, as whoever asks next finds it.
        fn observe(&mut self, committed: i64) {
            self.committed = committed;
            self.leases.observe(Some(committed), self.now);
        }

        fn settle(&mut self, change: impl FnOnce(&mut PartitionLeases) -> Option<i64>) -> i64 {
            if let Some(due) = change(&mut self.leases) {
                self.leases.committed(due);
                self.committed = due;
            }
            self.committed
        }
    }

    #[test]
    fn callers_share_and_a_loop_advances() {
        let mut one = Partition::new(10);
        assert_eq!(one.consume(3, None), [0, 1, 2]);
        assert_eq!(one.consume(3, None), [3, 4, 5]);
        assert_eq!(one.commit(3, None), 3);
        assert_eq!(one.commit(6, None), 6);
        assert_eq!(one.consume(100, None), [6, 7, 8, 9]);
        assert!(one.consume(100, None).is_empty());
        assert_eq!(one.commit(10, None), 10);
    }

    #[test]
    fn what_is_not_acknowledged_in_time_is_handed_out_again_and_nothing_else() {
        let mut one = Partition::new(10);
        assert_eq!(one.consume(4, Some("dies")), [0, 1, 2, 3]);
        assert_eq!(one.consume(4, Some("lives")), [4, 5, 6, 7]);
        assert_eq!(one.commit(8, Some("lives")), 0, "the other's records are not done");
        one.now = Timestamp(LEASE_MS);
        assert_eq!(one.consume(3, Some("lives")), [0, 1, 2], "as many as asked for");
        assert_eq!(one.consume(3, Some("lives")), [3]);
        assert_eq!(one.consume(3, Some("lives")), [8, 9]);
        assert_eq!(one.commit(4, Some("lives")), 8, "both below, and what was acknowledged before");
        assert_eq!(one.commit(10, None), 10);
    }

    #[test]
    fn a_part_of_a_lease_can_be_acknowledged() {
        let mut one = Partition::new(10);
        assert_eq!(one.consume(6, None), [0, 1, 2, 3, 4, 5]);
        assert_eq!(one.commit(2, None), 2);
        assert_eq!(one.commit(1, None), 2, "an older commit changes nothing");
        one.now = Timestamp(LEASE_MS);
        assert_eq!(one.consume(10, None), [2, 3, 4, 5]);
    }

    #[test]
    fn a_commit_beyond_what_others_hold_waits_for_them() {
        let mut one = Partition::new(10);
        assert_eq!(one.consume(2, Some("a")), [0, 1]);
        assert_eq!(one.commit(9, Some("b")), 0, "b skips what is free, but a is not done");
        assert_eq!(one.consume(10, Some("b")), [9]);
        assert_eq!(one.commit(2, Some("a")), 9);
    }

    #[test]
    fn without_leases_a_commit_sets_the_offset_also_back() {
        let mut one = Partition::new(10);
        assert_eq!(one.commit(7, None), 7);
        assert_eq!(one.consume(10, None), [7, 8, 9]);
        assert_eq!(one.commit(10, None), 10);
        assert_eq!(one.commit(0, None), 0);
        assert_eq!(one.consume(3, None), [0, 1, 2]);
    }

    #[test]
    fn a_late_commit_of_a_named_worker_takes_nobody_back() {
        let mut one = Partition::new(10);
        assert_eq!(one.consume(4, Some("slow")), [0, 1, 2, 3]);
        one.now = Timestamp(LEASE_MS);
        assert_eq!(one.consume(4, Some("quick")), [0, 1, 2, 3]);
        assert_eq!(one.commit(4, Some("quick")), 4);
        assert_eq!(one.commit(2, Some("slow")), 4);
        assert_eq!(one.consume(10, Some("quick")), [4, 5, 6, 7, 8, 9]);
        assert_eq!(one.commit(10, Some("quick")), 10);
        assert_eq!(one.commit(4, Some("slow")), 10, "also where nothing is leased any more");
        assert_eq!(one.commit(4, None), 4, "a commit without a name says where to go on");
    }

    #[test]
    fn auto_commit_acknowledges_the_callers_own() {
        let mut one = Partition::new(10);
        assert_eq!(one.consume(2, Some("a")), [0, 1]);
        assert_eq!(one.consume(2, None), [2, 3]);
        let now = one.now;
        assert_eq!(one.settle(|leases| leases.acknowledge_all(None, now)), 0);
        assert_eq!(one.settle(|leases| leases.acknowledge_all(Some("a"), now)), 4);
        assert_eq!(one.settle(|leases| leases.acknowledge_all(Some("a"), now)), 4, "nothing new");
    }

    #[test]
    fn auto_commit_leaves_what_has_expired_to_be_handed_out_again() {
        let mut one = Partition::new(10);
        assert_eq!(one.consume(4, None), [0, 1, 2, 3], "by one that dies over it");
        one.now = Timestamp(LEASE_MS - 1);
        assert_eq!(one.consume(2, None), [4, 5]);
        one.now = Timestamp(LEASE_MS);
        let now = one.now;
        assert_eq!(one.settle(|leases| leases.acknowledge_all(None, now)), 0, "4 and 5 are done, 0 to 3 are not");
        assert_eq!(one.consume(10, None), [0, 1, 2, 3]);
        assert_eq!(one.settle(|leases| leases.acknowledge_all(None, now)), 6);
        assert_eq!(one.consume(10, Some("slow")), [6, 7, 8, 9]);
        let late = Timestamp(2 * LEASE_MS);
        assert_eq!(one.settle(|leases| leases.acknowledge_all(Some("slow"), late)), 10, "who has a name has not died");
    }

    #[test]
    fn a_reset_by_somebody_else_begins_anew() {
        let mut one = Partition::new(10);
        assert_eq!(one.consume(4, None), [0, 1, 2, 3]);
        one.observe(0);
        assert_eq!(one.consume(1, None), [4], "nothing happened");
        one.observe(7);
        assert_eq!(one.consume(10, None), [7, 8, 9]);
        one.observe(2);
        assert_eq!(one.consume(10, None), [2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn a_commit_of_a_page_that_was_out_when_the_group_was_moved_is_ignored() {
        for worker in [None, Some("slow")] {
            let mut one = Partition::new(200);
            one.observe(100);
            assert_eq!(one.consume(100, worker), (100..200).collect::<Vec<_>>());
            one.observe(0);
            assert_eq!(one.commit(200, worker), 0, "where nothing is out");
            assert_eq!(one.consume(10, Some("quick")), (0..10).collect::<Vec<_>>());
            assert_eq!(one.commit(200, worker), 0, "and where something is");
            assert_eq!(one.commit(150, worker), 0, "also a part of it");
            assert_eq!(one.commit(100, worker), 0, "and the page before it");
            assert_eq!(one.consume(200, Some("quick")), (10..200).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_handed_out_again_after_a_move_is_acknowledged_as_ever() {
        let mut one = Partition::new(20);
        assert_eq!(one.consume(20, Some("slow")), (0..20).collect::<Vec<_>>());
        one.leases.moved_to(0, one.now);
        assert_eq!(one.consume(10, Some("quick")), (0..10).collect::<Vec<_>>());
        assert_eq!(one.commit(20, Some("slow")), 0, "nobody was handed the record before it again");
        assert_eq!(one.commit(5, Some("quick")), 5);
        assert_eq!(one.commit(10, Some("quick")), 10);
        assert_eq!(one.commit(10, Some("quick")), 10, "its repetition changes nothing");
        assert_eq!(one.commit(5, None), 10, "nor does one that comes late");
        assert_eq!(one.consume(10, Some("quick")), (10..20).collect::<Vec<_>>());
        assert_eq!(one.commit(20, Some("quick")), 20);
    }

    #[test]
    fn what_is_void_is_so_until_its_lease_would_have_expired() {
        let mut one = Partition::new(10);
        assert_eq!(one.consume(4, None), [0, 1, 2, 3]);
        one.leases.moved_to(0, one.now);
        one.now = Timestamp(LEASE_MS - 1);
        one.observe(0);
        assert_eq!(one.commit(4, None), 0);
        assert!(!one.leases.is_idle(), "what is void must not be forgotten");
        one.now = Timestamp(LEASE_MS);
        one.observe(0);
        assert!(one.leases.is_idle());
        assert_eq!(one.commit(4, None), 4, "as where nothing is out");
    }

    #[test]
    fn what_had_expired_before_the_move_is_not_void() {
        let mut one = Partition::new(10);
        assert_eq!(one.consume(4, None), [0, 1, 2, 3]);
        one.now = Timestamp(LEASE_MS);
        one.leases.moved_to(0, one.now);
        assert!(one.leases.is_idle());
    }

    #[test]
    fn a_deleted_group_hears_nobody_who_was_in_it() {
        let mut one = Partition::new(10);
        assert_eq!(one.consume(4, None), [0, 1, 2, 3]);
        one.leases.observe(None, one.now);
        assert!(!one.leases.is_committed);
        assert_eq!(one.leases.acknowledge(4, None), None);
        assert_eq!(one.consume(10, None), (0..10).collect::<Vec<_>>());
        one.leases.observe(None, one.now);
        assert_eq!(one.leases.acknowledge(10, None), Some(10), "nothing has happened since");
    }

    #[test]
    fn of_what_is_void_the_newest_is_kept() {
        let mut leases = PartitionLeases::new(0);
        for at in 0..3 {
            leases.hand_out(Range { from: at, to: NEW }, at + 1, at + 1, Timestamp(LEASE_MS), None);
        }
        leases.moved_to(10, Timestamp(0));
        for at in 10..10 + i64::try_from(LEASES_MAX).expect("it is small") {
            leases.hand_out(Range { from: at, to: NEW }, at + 1, at + 1, Timestamp(LEASE_MS), None);
        }
        leases.moved_to(0, Timestamp(0));
        assert_eq!(leases.void.len(), LEASES_MAX);
        assert_eq!(leases.void.first().map(|void| void.from), Some(10));
    }

    #[test]
    fn a_commit_whose_answer_was_lost_is_still_our_own() {
        let mut one = Partition::new(20);
        assert_eq!(one.consume(10, Some("a")), (0..10).collect::<Vec<_>>());
        assert_eq!(one.consume(10, Some("b")), (10..20).collect::<Vec<_>>());
        assert_eq!(one.leases.acknowledge(5, Some("a")), Some(5), "and whoever waits for it goes away");
        one.observe(5);
        assert_eq!(one.commit(20, Some("b")), 5, "a still holds 5 to 9");
        one.now = Timestamp(LEASE_MS);
        assert_eq!(one.consume(10, Some("b")), [5, 6, 7, 8, 9]);
    }

    #[test]
    fn the_first_commit_counts_even_when_it_says_the_beginning() {
        let mut leases = PartitionLeases::uncommitted(0);
        assert_eq!(leases.acknowledge_all(None, Timestamp(0)), None, "nobody acknowledged anything");
        assert_eq!(leases.acknowledge(0, None), Some(0));
        leases.committed(0);
        assert_eq!(leases.acknowledge(0, None), None, "as it was");
    }

    #[test]
    fn what_is_not_there_any_more_is_passed_over() {
        let mut leases = PartitionLeases::new(0);
        // Read from 0: records 3 and 4, then a marker at 5.
        leases.hand_out(Range { from: 0, to: NEW }, 5, 6, Timestamp(LEASE_MS), None);
        assert_eq!(leases.available(Timestamp(0)), Some(Range { from: 6, to: NEW }));
        // It comes back, and meanwhile everything was deleted: nothing is handed out, and nothing holds the group.
        let again = leases.available(Timestamp(LEASE_MS)).expect("it has expired");
        leases.hand_out(again, again.from, 10, Timestamp(2 * LEASE_MS), None);
        assert_eq!(leases.next_expiry(), None);
        assert_eq!(leases.acknowledge(6, None), Some(6));
    }

    #[test]
    fn a_caller_that_never_acknowledges_is_given_so_much_and_no_more() {
        let mut one = Partition::new(i64::MAX);
        for _ in 0..LEASES_MAX {
            one.consume(1, None);
        }
        assert_eq!(one.leases.available(one.now), None);
        assert_eq!(one.leases.next_expiry(), Some(Timestamp(LEASE_MS)));
        one.now = Timestamp(LEASE_MS);
        assert_eq!(one.consume(1, None), [0], "again");
    }
}
