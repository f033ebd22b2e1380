//! Appends that bear a mark and are on their way to the disk: a repetition that arrives meanwhile is given the same answer.
//!
//! Once an append is durable, the store knows its mark, and it leaves this place. Whoever looks first in the store and then here could miss an
//! append that moved on in between: [`Repeats::settled`] tells that some did, and the look is taken again.
//!
//! Owner: the partition's state, under its lock. Bound: what the store's write queue holds.

use crate::ids::{Offset, Timestamp};
use crate::store::Mark;
use std::collections::{HashMap, VecDeque};

/// Where a marked append went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeated {
    pub first: Offset,
    pub last: Offset,
    pub made: Timestamp,
}

/// See the file's header.
#[derive(Debug, Default)]
pub struct Repeats {
    by_id: HashMap<u128, Repeated>,
    /// In the order of appending, so of `last`.
    order: VecDeque<u128>,
    settled: u64,
}

impl Repeats {
    /// The append that bears `id`, while it is not durable.
    #[must_use]
    pub fn find(&self, id: u128) -> Option<Repeated> {
        self.by_id.get(&id).copied()
    }

    /// An append with `mark` is on its way.
    pub fn begin(&mut self, mark: Mark, first: Offset, last: Offset) {
        self.by_id.insert(mark.id, Repeated { first, last, made: mark.made });
        self.order.push_back(mark.id);
    }

    /// Everything below `watermark` is durable.
    pub fn committed(&mut self, watermark: Offset) {
        while let Some(id) = self.order.front()
            && self.by_id.get(id).is_none_or(|one| one.last < watermark)
        {
            self.by_id.remove(id);
            self.order.pop_front();
            self.settled += 1;
        }
    }

    /// How many appends have left this place: a look at the store is stale when others did since.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.settled
    }

    /// Whether any append is on its way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}
