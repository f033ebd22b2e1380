//! The write queue: batches on their way to the committer, in the order in which they were appended.
//!
//! Owner: the committer takes, anyone appends. Bound: the permits of `LogStore::reserve` (`queue_bytes`); moves of reclaim, which need
//! no permit, are at most one mebibyte (or one batch) at a time. When it is closed, what comes later is dropped.
//!
//! Moves have a lane of their own and go first: when the disk is full they make room for what is in the other one. They change no log: what is
//! queued before or behind one finds the same batches, elsewhere.

use super::journal;
use super::lock;
use super::segment::Position;
use crate::store::{Append, Permit};
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A batch to be written.
#[derive(Debug)]
pub(super) struct Item {
    #[expect(dead_code, reason = "dropping it gives the room back, once the batch is committed")]
    pub permit: Option<Permit>,
    pub append: Append,
    pub purpose: Purpose,
}

/// Why a batch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Append,
    /// Reclaim copies it from there.
    Move(Position),
    /// It takes the place of the batch at the same offsets.
    Rewrite,
    /// No batch at all (its bytes are empty): those within its offsets go.
    Remove,
}

impl Item {
    /// What it takes in a commit.
    pub fn journal_bytes(&self) -> usize {
        self.append.bytes.len() + journal::table_bytes(self.append.mark.is_some())
    }
}

/// Called once everything queued before it in its lane is committed.
pub(super) type Barrier = Box<dyn FnOnce() + Send>;

enum Entry {
    Batch(Item),
    Barrier(Barrier),
    BarrierOfMoves(Barrier),
}

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    /// Of reclaim.
    moves: VecDeque<Entry>,
    /// Everything else.
    entries: VecDeque<Entry>,
    /// The committer waits: only then is it woken, which costs a system call.
    is_sleeping: bool,
    is_closed: bool,
}

impl State {
    fn is_empty(&self) -> bool {
        self.moves.is_empty() && self.entries.is_empty()
    }
}

/// What the committer took; both vectors are used again and again.
#[derive(Default)]
pub(super) struct Taken {
    pub items: Vec<Item>,
    pub barriers: Vec<Barrier>,
    /// Barriers of moves.
    pub moved: Vec<Barrier>,
}

impl Taken {
    /// Takes from the front of `lane` what fits into `limit` bytes of the journal beside the `bytes` that are taken; the first item of all does.
    fn fill(&mut self, lane: &mut VecDeque<Entry>, bytes: &mut usize, limit: usize) {
        while let Some(entry) = lane.pop_front() {
            match entry {
                Entry::Barrier(barrier) => self.barriers.push(barrier),
                Entry::BarrierOfMoves(barrier) => self.moved.push(barrier),
                Entry::Batch(item) => {
                    let length = item.journal_bytes();
                    if *bytes + length > limit && !self.items.is_empty() {
                        lane.push_front(Entry::Batch(item));
                        return;
                    }
                    *bytes += length;
                    self.items.push(item);
                }
            }
        }
    }
}

/// Why `take` returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Work,
    /// Nothing came within the patience.
    Idle,
    /// Closed and empty.
    Closed,
}

impl Queue {
    /// Not a move.
    pub fn push(&self, item: Item) {
        self.add(|state| state.entries.push_back(Entry::Batch(item)));
    }

    /// Moves, which are committed together as far as a segment has room for them, and a barrier behind them, which is dropped without being called when
    /// the queue is closed.
    pub fn push_moves(&self, items: Vec<Item>, barrier: Barrier) {
        self.add(|state| {
            state.moves.extend(items.into_iter().map(Entry::Batch));
            state.moves.push_back(Entry::BarrierOfMoves(barrier));
        });
    }

    /// Nothing more is taken in.
    pub fn is_closed(&self) -> bool {
        lock(&self.state).is_closed
    }

    /// `barrier` is dropped without being called when the queue is closed.
    pub fn push_barrier(&self, barrier: Barrier) {
        self.add(|state| state.entries.push_back(Entry::Barrier(barrier)));
    }

    fn add(&self, add: impl FnOnce(&mut State)) {
        let mut state = lock(&self.state);
        if state.is_closed {
            // What an entry's drop does (a permit, a waiting task) must not happen under this lock.
            drop(state);
            drop(add);
            return;
        }
        add(&mut state);
        let is_sleeping = std::mem::take(&mut state.is_sleeping);
        // First: woken under the lock, the committer would wait for it at once, and be woken again.
        drop(state);
        if is_sleeping {
            self.wake.notify_one();
        }
    }

    /// Moves entries into `taken`, as many as fit into `limit` bytes of the journal, at least one. Waits for the first one, for `patience`
    /// at most when given.
    pub fn take(&self, taken: &mut Taken, limit: usize, patience: Option<Duration>) -> Outcome {
        let mut state = lock(&self.state);
        while state.is_empty() {
            if state.is_closed {
                return Outcome::Closed;
            }
            state.is_sleeping = true;
            match patience {
                None => state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let (woken, waited) = self.wake.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner);
                    state = woken;
                    if waited.timed_out() && state.is_empty() {
                        state.is_sleeping = false;
                        return if state.is_closed { Outcome::Closed } else { Outcome::Idle };
                    }
                }
            }
        }
        let State { moves, entries, .. } = &mut *state;
        let mut bytes = 0;
        taken.fill(moves, &mut bytes, limit);
        taken.fill(entries, &mut bytes, limit);
        Outcome::Work
    }

    /// As [`Queue::take`], of moves only; nothing when none comes within `patience`, or when the queue is closed.
    pub fn take_moves(&self, taken: &mut Taken, limit: usize, patience: Duration) {
        let is_waiting = |state: &mut State| {
            state.is_sleeping = state.moves.is_empty() && !state.is_closed;
            state.is_sleeping
        };
        let waited = self.wake.wait_timeout_while(lock(&self.state), patience, is_waiting);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.is_sleeping = false;
        taken.fill(&mut state.moves, &mut 0, limit);
    }

    /// Takes nothing more; what is queued is still committed.
    pub fn close(&self) {
        let mut state = lock(&self.state);
        state.is_closed = true;
        state.is_sleeping = false;
        self.wake.notify_all();
    }

    /// Takes nothing more and drops what is queued.
    pub fn abandon(&self) {
        let mut state = lock(&self.state);
        state.is_closed = true;
        let dropped = (std::mem::take(&mut state.moves), std::mem::take(&mut state.entries));
        self.wake.notify_all();
        drop(state);
        drop(dropped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Fence, LogId, Offset, Timestamp};
    use crate::store::SuffixChecksum;
    use bytes::Bytes;

    const LONG: Duration = Duration::from_secs(60);

    /// A batch of 100 bytes.
    fn item(offset: i64, purpose: Purpose) -> Item {
        let (first, last) = (Offset(offset), Offset(offset));
        let checksum = SuffixChecksum { from: 0, crc: 0 };
        let bytes = Bytes::from_static(&[0; 100]);
        let append =
            Append { log: LogId(1), fence: Fence(0), first, last, max_timestamp: Timestamp(0), bytes, checksum, mark: None };
        Item { permit: None, append, purpose }
    }

    /// First offsets, how many barriers, how many of moves.
    fn taken(taken: &mut Taken) -> (Vec<i64>, usize, usize) {
        let items = taken.items.drain(..).map(|item| item.append.first.0).collect();
        (items, taken.barriers.drain(..).count(), taken.moved.drain(..).count())
    }

    fn queue_of_both() -> Queue {
        let queue = Queue::default();
        let from = Purpose::Move(Position { seq: 1, at: 4096 });
        queue.push(item(0, Purpose::Append));
        queue.push_moves(vec![item(1, from), item(3, from)], Box::new(|| {}));
        queue.push(item(2, Purpose::Rewrite));
        queue.push_barrier(Box::new(|| {}));
        queue
    }

    #[test]
    fn moves_go_first_and_each_lane_keeps_its_order() {
        let (queue, mut all) = (queue_of_both(), Taken::default());
        assert_eq!(queue.take(&mut all, usize::MAX, None), Outcome::Work);
        assert_eq!(taken(&mut all), (vec![1, 3, 0, 2], 1, 1));
    }

    #[test]
    fn what_does_not_fit_is_taken_alone() {
        let (queue, mut one) = (queue_of_both(), Taken::default());
        for (offset, moved) in [(1, 0), (3, 1), (0, 0)] {
            assert_eq!(queue.take(&mut one, 1, None), Outcome::Work);
            assert_eq!(taken(&mut one), (vec![offset], 0, moved));
        }
    }

    #[test]
    fn a_barrier_waits_for_its_lane_only() {
        let (queue, mut some) = (queue_of_both(), Taken::default());
        queue.take_moves(&mut some, usize::MAX, LONG);
        assert_eq!(taken(&mut some), (vec![1, 3], 0, 1));
        queue.take_moves(&mut some, usize::MAX, Duration::ZERO);
        assert_eq!(taken(&mut some), (vec![], 0, 0), "none is left");
        assert_eq!(queue.take(&mut some, 1, None), Outcome::Work);
        assert_eq!(taken(&mut some), (vec![0], 0, 0), "one, whatever its size");
        assert_eq!(queue.take(&mut some, usize::MAX, None), Outcome::Work);
        assert_eq!(taken(&mut some), (vec![2], 1, 0));
    }

    #[test]
    fn who_waits_for_moves_is_woken_by_the_end() {
        let (queue, mut none) = (Queue::default(), Taken::default());
        queue.push(item(0, Purpose::Append));
        queue.close();
        queue.take_moves(&mut none, usize::MAX, LONG);
        assert_eq!(taken(&mut none), (vec![], 0, 0));
        assert_eq!(queue.take(&mut none, usize::MAX, None), Outcome::Work);
        assert_eq!(taken(&mut none), (vec![0], 0, 0));
        assert_eq!(queue.take(&mut none, usize::MAX, None), Outcome::Closed);
    }
}
