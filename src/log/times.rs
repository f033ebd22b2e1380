//! Where a time lies in a log: offsets by timestamp, and what retention keeps.

use super::partition::Partition;
use super::read::ReadError;
use super::validate;
use crate::ids::{Offset, Timestamp};
use crate::records::iterate::{first_at_time, max_at};
use crate::store::StoreError;

/// What is read at once where the first batch was not the one.
const AHEAD_BYTES: usize = 1 << 20;

impl Partition {
    /// The first record at or after the start whose timestamp is at least `time`, with its timestamp; `None` when there is none
    /// below the watermark. Source: KIP-79, ListOffsets.
    ///
    /// # Errors
    /// What reading answers.
    pub async fn offset_for_time(&self, time: Timestamp) -> Result<Option<(Offset, Timestamp)>, ReadError> {
        let Some(mut from) = self.store().at_time(self.log(), self.start(), time).await? else { return Ok(None) };
        from = from.max(self.start());
        // The store knows a batch a moment before the watermark passes it.
        if from >= self.watermark() {
            return Ok(None);
        }
        // The first batch nearly always holds it; one that was kept for its arrival time (no timestamps) does not, nor one whose later records are
        // trimmed.
        let mut bytes = 1;
        loop {
            let batches = self.read(from, bytes, Offset(i64::MAX)).await?;
            let Some(newest) = batches.last() else { return Ok(None) };
            from = newest.last.next();
            for batch in &batches {
                let found = first_at_time(&batch.bytes, validate::DECOMPRESSED_BYTES_MAX, time, self.start())?;
                if found.is_some() {
                    return Ok(found);
                }
                // Batches of the tail are there at once, and each may have to be unpacked: others come in between.
                tokio::task::yield_now().await;
            }
            // A log without timestamps is walked to its end.
            bytes = AHEAD_BYTES;
        }
    }

    /// The record with the largest timestamp (the first of several); `None` when the log is empty. Source: KIP-734.
    ///
    /// # Errors
    /// What reading answers.
    pub async fn offset_of_max_time(&self) -> Result<Option<(Offset, Timestamp)>, ReadError> {
        let Some((first, _)) = self.store().max_time(self.log()).await? else { return Ok(None) };
        // The store knows a batch a moment before the watermark passes it.
        self.wait_committed(first).await?;
        let batches = self.read(first.max(self.start()), 1, Offset(i64::MAX)).await?;
        let Some(batch) = batches.first() else { return Ok(None) };
        Ok(Some(max_at(&batch.bytes, validate::DECOMPRESSED_BYTES_MAX)?))
    }

    /// Where retention trims this log to now; `None` when nothing is past it. See [`super::retention`].
    pub(super) async fn retention_start(&self, now: Timestamp) -> Result<Option<Offset>, StoreError> {
        let settings = self.settings();
        let mut keep = self.start();
        if let Some(cutoff) = super::retention_cutoff(&settings, now) {
            // Read before the look-up: what is committed while it runs is newer than what it saw, and stays.
            let end = self.watermark();
            let live = self.store().at_time(self.log(), keep, cutoff).await?.unwrap_or(end);
            keep = keep.max(live);
        }
        if settings.cleanup.delete
            && let Ok(limit) = u64::try_from(settings.retention_bytes)
            && self.size() > limit
        {
            keep = keep.max(self.store().keep_bytes(self.log(), limit).await?);
        }
        Ok((keep > self.start()).then_some(keep))
    }
}
