//! What a read_committed reader leaves out, by the list of aborted transactions that comes with the batches.

use super::control::{EndTransaction, Marker};
use super::{BatchHeader, RecordError};
use crate::ids::ProducerId;
use bytes::Bytes;
use std::collections::HashSet;

/// Whose records are void, on the way through a partition's data (KIP-98; CompletedFetch).
pub struct Aborted {
    /// Producer and first offset, the nearest last.
    coming: Vec<(i64, ProducerId)>,
    now: HashSet<ProducerId>,
}

impl Aborted {
    /// From producer and first offset of each aborted transaction, as Fetch answers them.
    #[must_use]
    pub fn of(aborted: Vec<(i64, i64)>) -> Aborted {
        let mut coming: Vec<_> = aborted.into_iter().map(|(producer, first)| (first, ProducerId(producer))).collect();
        coming.sort_unstable_by_key(|(first, _)| std::cmp::Reverse(*first));
        Aborted { coming, now: HashSet::new() }
    }

    /// Whether a batch is not to be shown: a marker, or part of an aborted transaction. Batches come in the order of their offsets.
    ///
    /// # Errors
    /// A marker that does not decode.
    pub fn is_void(&mut self, header: &BatchHeader, batch: &Bytes) -> Result<bool, RecordError> {
        while let Some((_, producer)) = self.coming.pop_if(|(first, _)| *first <= header.last_offset().0) {
            self.now.insert(producer);
        }
        let Some(producer) = header.producer() else { return Ok(header.attributes.is_control()) };
        if header.attributes.is_control() {
            if EndTransaction::read(batch)?.is_some_and(|end| end.marker == Marker::Abort) {
                self.now.remove(&producer);
            }
            return Ok(true);
        }
        Ok(header.attributes.is_transactional() && self.now.contains(&producer))
    }
}
