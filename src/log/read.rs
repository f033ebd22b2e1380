//! Reading a log: from the newest batches in memory, or from the store.

use super::ahead::Looked;
use super::partition::{LogStopped, Partition, Progress};
use crate::ids::Offset;
use crate::records::RecordError;
use crate::store::{Batch, StoreError, Stretch};
use thiserror::Error;

/// Why nothing was read.
#[derive(Debug, Clone, Error)]
pub enum ReadError {
    #[error("offset {asked} is outside of [{start}, {end}]")]
    OutOfRange { asked: Offset, start: Offset, end: Offset },
    #[error(transparent)]
    Stopped(#[from] LogStopped),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored batch does not decode: only met where records are looked into (offsets by time).
    #[error(transparent)]
    Damaged(#[from] RecordError),
}

impl Partition {
    /// Whole batches that overlap `[from, to)` and lie below the watermark, from the batch that holds `from`; the first is returned
    /// whatever its size, the others only within `max_bytes`. Empty at the end of the log.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] below the start or above the watermark.
    pub async fn read(&self, from: Offset, max_bytes: usize, to: Offset) -> Result<Vec<Batch>, ReadError> {
        let Some(to) = self.end_of_read(from, to)? else { return Ok(Vec::new()) };
        if let Some(batches) = self.newest.read(from, to, max_bytes) {
            return Ok(batches);
        }
        let batches = self.store().read(self.log(), from, to, max_bytes).await?;
        self.check_kept(from, batches.first().map(|batch| batch.first))?;
        Ok(batches)
    }

    /// What [`Partition::read`] answers, left where it lies. `looked`: where it may have been found already.
    ///
    /// # Errors
    /// As [`Partition::read`].
    pub async fn locate(
        &self,
        from: Offset,
        max_bytes: usize,
        to: Offset,
        looked: Option<&mut Looked>,
    ) -> Result<Vec<Stretch>, ReadError> {
        let Some(to) = self.end_of_read(from, to)? else { return Ok(Vec::new()) };
        if let Some(stretches) = looked.and_then(|looked| looked.answer_to(self, from, max_bytes, to)) {
            return Ok(stretches);
        }
        if let Some(batches) = self.newest.read(from, to, max_bytes) {
            return Ok(batches.into_iter().map(Stretch::from).collect());
        }
        let stretches = self.store().locate(self.log(), from, to, max_bytes).await?;
        self.check_kept(from, stretches.first().map(|stretch| stretch.first))?;
        Ok(stretches)
    }

    /// What was trimmed while the store was looking would be missing without a word. `first`: where what was found begins.
    fn check_kept(&self, from: Offset, first: Option<Offset>) -> Result<(), ReadError> {
        let start = self.start();
        let is_found = first.is_some_and(|first| first <= from);
        if is_found || from >= start { Ok(()) } else { Err(ReadError::OutOfRange { asked: from, start, end: self.watermark() }) }
    }

    /// Where a read from `from` ends that wants records below `to`; `None` when there is nothing for it.
    fn end_of_read(&self, from: Offset, to: Offset) -> Result<Option<Offset>, ReadError> {
        let Progress { watermark, is_stopped, .. } = *self.progress.borrow();
        if is_stopped {
            return Err(LogStopped.into());
        }
        let start = self.start();
        if from < start || from > watermark {
            return Err(ReadError::OutOfRange { asked: from, start, end: watermark });
        }
        let to = to.min(watermark);
        Ok((from < to).then_some(to))
    }
}
