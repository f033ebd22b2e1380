//! Which batches belong to aborted transactions, and which markers nobody needs any more. Source: CleanedTransactionMetadata.
//!
//! A marker may go once no batch of its transaction is left before it; and an entry of the index of aborted transactions must go *before* its marker
//! does, else a reader would take later records of the producer for aborted ones.

use crate::ids::{Offset, ProducerId};
use crate::log::transactions::Aborted;
use crate::records::BatchHeader;
use crate::records::control::Marker;
use std::collections::{HashMap, HashSet, VecDeque};

/// What a walk over a range of a log knows about its transactions, all of which are decided.
#[derive(Debug, Default)]
pub struct Decided {
    /// By first offset: not reached yet.
    ahead: VecDeque<Aborted>,
    /// Begun, and whether a batch of it was met.
    aborting: HashMap<ProducerId, (Aborted, bool)>,
    committing: HashSet<ProducerId>,
    /// Without any batch left.
    empty: Vec<Aborted>,
}

impl Decided {
    /// Of a range whose aborted transactions are `aborted`.
    #[must_use]
    pub fn new(mut aborted: Vec<Aborted>) -> Decided {
        aborted.sort_unstable_by_key(|one| one.first);
        Decided { ahead: aborted.into(), ..Decided::default() }
    }

    /// A batch of data that ends at `last`: whether it was aborted.
    pub fn is_aborted(&mut self, header: &BatchHeader, last: Offset) -> bool {
        self.reach(last);
        let Some(id) = header.producer().filter(|_| header.attributes.is_transactional()) else { return false };
        match self.aborting.get_mut(&id) {
            Some((_, is_met)) => {
                *is_met = true;
                true
            }
            None => {
                self.committing.insert(id);
                false
            }
        }
    }

    /// A marker at `last` ends its transaction. Whether nobody needs the marker any more.
    pub fn end(&mut self, header: &BatchHeader, last: Offset, marker: Marker) -> bool {
        self.reach(last);
        let Some(id) = header.producer() else { return false };
        match marker {
            Marker::Commit => !self.committing.remove(&id),
            Marker::Abort => match self.aborting.remove(&id) {
                Some((_, true)) => false,
                Some((aborted, false)) => {
                    self.empty.push(aborted);
                    true
                }
                None => true,
            },
        }
    }

    /// Aborted transactions of which nothing but the marker is left, since the last call.
    pub fn take_empty(&mut self) -> Vec<Aborted> {
        std::mem::take(&mut self.empty)
    }

    fn reach(&mut self, last: Offset) {
        while let Some(next) = self.ahead.front().copied().filter(|next| next.first <= last) {
            self.ahead.pop_front();
            self.aborting.insert(next.producer, (next, false));
        }
    }
}
