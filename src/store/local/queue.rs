//! The write queue: batches on their way to the committer, in the order in which they were appended.
//!
//! Owner: the committer takes, anyone appends. Bound: the permits of `LogStore::reserve` (`queue_bytes`); moves of reclaim, which need
//! no permit, are at most one mebibyte (or one batch) at a time. When it is closed, what comes later is dropped.

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

/// Called once everything queued before it is committed.
pub(super) type Barrier = Box<dyn FnOnce() + Send>;

enum Entry {
    Batch(Item),
    Barrier(Barrier),
}

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    entries: VecDeque<Entry>,
    /// The committer waits: only then is it woken, which costs a system call.
    is_sleeping: bool,
    is_closed: bool,
}

/// What the committer took; both vectors are used again and again.
#[derive(Default)]
pub(super) struct Taken {
    pub items: Vec<Item>,
    pub barriers: Vec<Barrier>,
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
    pub fn push(&self, item: Item) {
        self.add(Entry::Batch(item));
    }

    /// Nothing more is taken in.
    pub fn is_closed(&self) -> bool {
        lock(&self.state).is_closed
    }

    /// `barrier` is dropped without being called when the queue is closed.
    pub fn push_barrier(&self, barrier: Barrier) {
        self.add(Entry::Barrier(barrier));
    }

    fn add(&self, entry: Entry) {
        let mut state = lock(&self.state);
        if state.is_closed {
            // What an entry's drop does (a permit, a waiting task) must not happen under this lock.
            drop(state);
            drop(entry);
            return;
        }
        state.entries.push_back(entry);
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
        while state.entries.is_empty() {
            if state.is_closed {
                return Outcome::Closed;
            }
            state.is_sleeping = true;
            match patience {
                None => state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let (woken, waited) = self.wake.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner);
                    state = woken;
                    if waited.timed_out() && state.entries.is_empty() {
                        state.is_sleeping = false;
                        return if state.is_closed { Outcome::Closed } else { Outcome::Idle };
                    }
                }
            }
        }
        let mut bytes = 0;
        while let Some(entry) = state.entries.pop_front() {
            match entry {
                Entry::Barrier(barrier) => taken.barriers.push(barrier),
                Entry::Batch(item) => {
                    bytes += item.journal_bytes();
                    if bytes > limit && !taken.items.is_empty() {
                        state.entries.push_front(Entry::Batch(item));
                        break;
                    }
                    taken.items.push(item);
                }
            }
        }
        Outcome::Work
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
        let dropped = std::mem::take(&mut state.entries);
        self.wake.notify_all();
        drop(state);
        drop(dropped);
    }
}
