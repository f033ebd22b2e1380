//! What becomes of each batch in a compaction pass. Pure: bytes in, bytes out. Source: Cleaner.checkBatchRetention, shouldRetainRecord;
//! MemoryRecords.filterTo (KIP-98, KIP-534).
//!
//! * A record stays while no newer one of its key is known; behind what the pass knows, every record stays.
//! * A tombstone, and a marker whose transaction has no batch left, get a *horizon* the first time they are met
//!   (`delete.retention.ms` from now), and go once it has passed: whoever reads from the start within that time sees them.
//! * Records of aborted transactions go at once.
//! * The newest batch of each living producer stays, emptied: it remembers the sequence.

use super::decided::Decided;
use super::key_map::KeyMap;
use crate::ids::{Offset, ProducerEpoch, ProducerId, Timestamp};
use crate::log::producers::ProducerStatus;
use crate::log::validate::DECOMPRESSED_BYTES_MAX;
use crate::records::control::EndTransaction;
use crate::records::header::{CRC_FROM, verify_crc};
use crate::records::iterate::RawRecord;
use crate::records::{BatchHeader, RecordError, kept};
use crate::store::{Batch, Replacement, SuffixChecksum};
use bytes::Bytes;
use std::collections::HashMap;
use thiserror::Error;

/// One pass over a log: what it knows.
pub struct Cleaner {
    pub keys: KeyMap,
    pub decided: Decided,
    /// By producer: the end of its newest batch of data, or, without one, the epoch of its newest marker.
    newest: HashMap<ProducerId, Result<Offset, ProducerEpoch>>,
    now: Timestamp,
    /// What `delete.retention.ms` makes of now.
    horizon: Timestamp,
    /// See [`Uncleaned::TooLarge`].
    batch_bytes_max: usize,
    /// The first batch that is [`Uncleaned`], of this pass or one before.
    pub uncleaned: Option<Offset>,
}

/// Why a batch stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Uncleaned {
    #[error("its records do not read: {0}")]
    Unreadable(#[from] RecordError),
    /// It was written when the store took larger ones, or compresses worse now.
    #[error("what is left of it takes {bytes} bytes, the largest that is stored has {limit} (storage.segment_bytes)")]
    TooLarge { bytes: usize, limit: usize },
}

impl Cleaner {
    #[must_use]
    pub fn new(
        keys: KeyMap,
        decided: Decided,
        producers: &[ProducerStatus],
        now: Timestamp,
        delete_retention_ms: i64,
        batch_bytes_max: usize,
    ) -> Cleaner {
        let newest = producers.iter().map(|one| (one.id, one.last_offset.ok_or(one.epoch))).collect();
        let horizon = now.plus_ms(delete_retention_ms);
        Cleaner { keys, decided, newest, now, horizon, batch_bytes_max, uncleaned: None }
    }

    /// What `batch` becomes; `None`: it stays as it is. Batches come in the order of the log.
    ///
    /// # Errors
    /// [`Uncleaned`]: it stays as it is, though something in it should go.
    pub fn clean(&mut self, batch: &Batch) -> Result<Option<Replacement>, Uncleaned> {
        let cleaned = self.replacement(batch).map_err(Uncleaned::from).and_then(|replacement| self.fitting(replacement));
        if cleaned.is_err() {
            // A client may be able to read this batch although we are not. The tombstones behind it must stay then: they delete records in it.
            self.uncleaned.get_or_insert(batch.first);
        }
        cleaned
    }

    fn fitting(&self, replacement: Option<Replacement>) -> Result<Option<Replacement>, Uncleaned> {
        match &replacement {
            Some(Replacement::Rewrite { batch, .. }) if batch.bytes.len() > self.batch_bytes_max => {
                Err(Uncleaned::TooLarge { bytes: batch.bytes.len(), limit: self.batch_bytes_max })
            }
            _ => Ok(replacement),
        }
    }

    fn replacement(&mut self, batch: &Batch) -> Result<Option<Replacement>, RecordError> {
        let header = BatchHeader::parse(&batch.bytes)?;
        if header.attributes.is_control() {
            return self.clean_marker(batch, &header);
        }
        if self.decided.is_aborted(&header, batch.last) {
            return self.without_records(batch, &header);
        }
        // What the disk has damaged must not be written anew with a checksum that holds.
        verify_crc(&batch.bytes, &header)?;
        let has_horizon = header.attributes.has_delete_horizon();
        let keeps_tombstones = self.uncleaned.is_some() || !has_horizon || self.now < header.base_timestamp;
        let keep = |raw: RawRecord<'_>| self.stays(raw, keeps_tombstones);
        let sifted = kept::sift(&batch.bytes, DECOMPRESSED_BYTES_MAX, keep)?;
        let left = sifted.left();
        if left.records == 0 {
            return self.without_records(batch, &header);
        }
        let needs_horizon = left.tombstones > 0 && !has_horizon;
        if left.records == usize::try_from(header.record_count).unwrap_or(0) && !needs_horizon {
            return Ok(None);
        }
        let horizon = needs_horizon.then_some(self.horizon);
        rewritten(batch, sifted.rewrite(horizon)?).map(Some)
    }

    /// Adds what `batch` says from `from` on to the keys; `false` when they are full.
    ///
    /// # Errors
    /// [`RecordError`] when it does not read.
    pub fn learn(&mut self, batch: &Batch, from: Offset) -> Result<bool, RecordError> {
        let header = BatchHeader::parse(&batch.bytes)?;
        if header.attributes.is_control() {
            if let Some(end) = EndTransaction::read(&batch.bytes)? {
                self.decided.end(&header, batch.last, end.marker);
            }
            return Ok(true);
        }
        if self.decided.is_aborted(&header, batch.last) {
            return Ok(true);
        }
        // Keys that the disk has made up would push out those that are.
        verify_crc(&batch.bytes, &header)?;
        let mut has_room = true;
        crate::records::iterate::each(&batch.bytes, DECOMPRESSED_BYTES_MAX, |raw| {
            if let Some(key) = raw.key.filter(|_| has_room && raw.offset >= from) {
                has_room = self.keys.put(key, raw.offset);
            }
            Ok(())
        })?;
        Ok(has_room)
    }

    fn stays(&self, raw: RawRecord<'_>, keeps_tombstones: bool) -> bool {
        if self.keys.latest().is_none_or(|latest| raw.offset > latest) {
            return true;
        }
        // Records without a key are from before the topic was compacted.
        let Some(key) = raw.key else { return false };
        let is_newest = self.keys.get(key).is_none_or(|newest| raw.offset >= newest);
        is_newest && (raw.value.is_some() || keeps_tombstones)
    }

    fn clean_marker(&mut self, batch: &Batch, header: &BatchHeader) -> Result<Option<Replacement>, RecordError> {
        if header.record_count == 0 {
            return self.without_records(batch, header);
        }
        // Control records of other kinds stay.
        let Some(end) = EndTransaction::read(&batch.bytes)? else { return Ok(None) };
        let is_needless = self.decided.end(header, batch.last, end.marker);
        match (is_needless, header.attributes.has_delete_horizon()) {
            (true, true) if header.base_timestamp <= self.now => self.without_records(batch, header),
            (true, false) => {
                let whole = kept::sift(&batch.bytes, DECOMPRESSED_BYTES_MAX, |_| true)?;
                rewritten(batch, whole.rewrite(Some(self.horizon))?).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The batch goes, unless its producer is remembered by it.
    fn without_records(&self, batch: &Batch, header: &BatchHeader) -> Result<Option<Replacement>, RecordError> {
        let newest = header.producer().and_then(|id| self.newest.get(&id));
        let is_remembered = newest.is_some_and(|newest| match newest {
            Ok(last) => *last == batch.last,
            Err(epoch) => header.attributes.is_control() && header.producer_epoch == epoch.0,
        });
        match (is_remembered, header.record_count) {
            (true, 0) => Ok(None),
            (true, _) => rewritten(batch, kept::emptied(&batch.bytes)?).map(Some),
            (false, _) => Ok(Some(Replacement::Remove { first: batch.first, last: batch.last })),
        }
    }
}

fn rewritten(batch: &Batch, bytes: Bytes) -> Result<Replacement, RecordError> {
    let header = BatchHeader::parse(&bytes)?;
    // A batch without timestamps keeps the time of its arrival.
    let max_timestamp = if header.max_timestamp == Timestamp::NONE { batch.max_timestamp } else { header.max_timestamp };
    let batch = Batch { first: batch.first, last: batch.last, max_timestamp, bytes };
    Ok(Replacement::Rewrite { batch, checksum: SuffixChecksum { from: CRC_FROM, crc: header.crc } })
}
