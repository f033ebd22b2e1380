//! What compaction sees of a partition, and what it changes there.

use crate::ids::Offset;
use crate::log::partition::Partition;
use crate::log::transactions::Aborted;
use crate::store::{Replacement, StoreError};
use std::sync::atomic::Ordering;

impl Partition {
    /// Behind what compaction may have changed; it may be on its way there.
    #[must_use]
    pub fn compacted_to(&self) -> Offset {
        self.lock().compacted
    }

    /// Batches below `end` are about to be replaced.
    pub(in crate::log) fn compacting(&self, end: Offset) {
        let mut state = self.lock();
        state.compacted = state.compacted.max(end);
    }

    /// What compaction has still to look at: from the end of what is compacted to where the active segment or the first undecided
    /// transaction begins.
    pub(in crate::log) fn dirty(&self) -> (Offset, Offset) {
        let (start, end) = (self.start(), self.last_stable());
        let mut state = self.lock();
        if state.uncleaned.is_some_and(|at| at < start) {
            // It is gone, or its beginning is. There may be others behind it: they are found anew.
            state.uncleaned = None;
            state.cleaned = start;
        }
        (state.cleaned.max(start), end.min(state.segment.base))
    }

    /// The first batch that stays although something in it should go: what deletes records in it has to stay.
    pub(in crate::log) fn uncleaned(&self) -> Option<Offset> {
        self.lock().uncleaned
    }

    /// The log is compacted up to `end`, but for the batch at `uncleaned`; goes into the next snapshot.
    pub(in crate::log) fn cleaned(&self, end: Offset, uncleaned: Option<Offset>) {
        let mut state = self.lock();
        state.cleaned = state.cleaned.max(end);
        state.uncleaned = uncleaned;
        state.unsaved.touch();
    }

    /// Compaction has removed all records of these aborted transactions, and is about to remove their markers.
    pub(in crate::log) fn forget_aborted(&self, emptied: &[Aborted]) {
        if !emptied.is_empty() {
            let mut state = self.lock();
            // Before they are forgotten: whoever asks afterwards sees that this has changed.
            self.emptied_times.fetch_add(1, Ordering::AcqRel);
            state.producers.transactions.emptied(emptied);
        }
    }

    /// Whoever reads batches and asks then which of them are aborted does so again if this has changed in between: the answer may be about a log in
    /// which the transaction's records are gone.
    pub(in crate::log) fn emptied_times(&self) -> u64 {
        self.emptied_times.load(Ordering::Acquire)
    }

    /// Puts what compaction made of committed batches in their place; durable when it returns.
    pub(super) async fn replace(&self, changes: Vec<Replacement>) -> Result<(), StoreError> {
        let replaced = changes.last().map(|change| match change {
            Replacement::Rewrite { batch, .. } => batch.last,
            Replacement::Remove { last, .. } => *last,
        });
        if let Some(last) = replaced {
            self.tail.forget(&self.newest, last.next());
        }
        self.store().replace(self.log(), self.fence, changes).await
    }
}
