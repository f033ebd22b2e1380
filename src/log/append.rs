//! An append: who does it, of what, where it went, and why it did not.

use super::markers::check_verified;
use super::partition::{LogStopped, Partition, State};
use super::producers::{ProducerError, Verdict};
use super::repeats::Repeated;
use super::transactions::Verification;
use super::validate::{self, InvalidRecords};
use crate::config::topic::TimestampType;
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, Timestamp};
use crate::records::control::EndTransaction;
use crate::records::header::{CRC_FROM, stamp, stamp_append_time, stamp_max_timestamp};
use crate::records::{BatchHeader, RecordError};
use crate::store::{Append, Batch, Mark, Marked, Permit, StoreError, SuffixChecksum};
use crate::tasks::deadline::within;
use bytes::{Bytes, BytesMut};
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;
use thiserror::Error;
use tokio::time::Instant;

/// The leader epoch stamped into batches: with one node, leadership never changes hands.
const LEADER_EPOCH: LeaderEpoch = LeaderEpoch(0);

/// Why a batch was not appended; one variant per reaction of a producer.
#[derive(Debug, Clone, Error)]
pub enum AppendError {
    #[error("the batch of {bytes} bytes is larger than max.message.bytes ({limit})")]
    TooLarge { bytes: usize, limit: usize },
    #[error(transparent)]
    Corrupt(RecordError),
    #[error("{0}")]
    Invalid(String),
    #[error("{}", .0.message)]
    InvalidRecords(InvalidRecords),
    #[error("{}", .0.message)]
    InvalidTimestamp(InvalidRecords),
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// Until the deadline.
    #[error("there was no room for the batch in the store's queue: the disk is full, or too slow")]
    NoRoom,
    /// The partition was deleted.
    #[error(transparent)]
    Stopped(#[from] LogStopped),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A producer: everything is checked.
    Client,
    /// A producer whose batch may begin a transaction: the transaction coordinator knows that this partition is part of it.
    Verified(Verification),
    /// A producer that may send the same batch again, under this mark.
    Marked(Mark),
    /// Records that another topic did not take, in a batch that we built; the same ones may come again under this mark.
    DeadLetter(Mark),
    /// Our own coordinators, whose batches we built: no limits, no sequences. Transactional batches and markers count all the same.
    Coordinator,
}

/// Where a batch went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    pub first: Offset,
    pub last: Offset,
    /// Set with `message.timestamp.type=LogAppendTime`; of a repetition of a marked append, when that was made.
    pub append_time: Option<Timestamp>,
    /// The log's start offset.
    pub start: Offset,
    /// It was there before.
    pub is_repeated: bool,
}

/// A batch that may be appended: its header, as it will be stored.
#[derive(Debug, Clone, Copy)]
pub struct Checked(pub(super) BatchHeader);

impl Checked {
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.0
    }

    /// The same batch without some of its records: `kept` is what [`crate::records::kept::without`] made of it.
    ///
    /// # Errors
    /// When that is no batch.
    pub fn kept(self, kept: &Bytes) -> Result<Checked, AppendError> {
        BatchHeader::parse(kept).map(Checked).map_err(AppendError::Corrupt)
    }
}

impl Partition {
    /// Appends one whole record batch (magic 2) and says where it went; the order of calls of one task is the order in the log.
    ///
    /// Cost: one CRC pass and one short lock. Waits only for room in the store's queue, never for the disk: durable after
    /// [`Partition::wait_committed`] of `last`. A duplicate of a remembered batch, and a repetition of a marked one, is answered with its
    /// original offsets. Cancel-safe: dropped while it waits for room, it has appended nothing.
    /// Source: KIP-98; UnifiedLog.append, analyzeAndValidateProducerState.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was appended then.
    pub fn append(&self, records: Bytes, origin: Origin) -> impl Future<Output = Result<Appended, AppendError>> + Send {
        self.append_as(None, records, origin, None)
    }

    /// As [`Partition::append`], but waits for room until `deadline` at most.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was appended then.
    pub fn append_by(
        &self,
        deadline: Instant,
        records: Bytes,
        origin: Origin,
    ) -> impl Future<Output = Result<Appended, AppendError>> + Send {
        self.append_as(None, records, origin, Some(deadline))
    }

    /// Whether a client's batch is one that this log could take: size, CRC, counts, timestamps.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn check(&self, records: &Bytes) -> Result<Checked, AppendError> {
        validate::client_batch(records, &self.settings.load(), self.now()).map(Checked)
    }

    /// As [`Partition::append`], for a batch that [`Partition::check`] has seen, or what [`Checked::kept`] has made of it.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was appended then.
    pub fn append_checked(
        &self,
        checked: Checked,
        records: Bytes,
        origin: Origin,
    ) -> impl Future<Output = Result<Appended, AppendError>> + Send {
        self.append_as(Some(checked), records, origin, None)
    }

    async fn append_as(
        &self,
        checked: Option<Checked>,
        records: Bytes,
        origin: Origin,
        deadline: Option<Instant>,
    ) -> Result<Appended, AppendError> {
        let Checked(mut header) = match (checked, origin) {
            (Some(checked), _) => checked,
            (None, Origin::Client | Origin::Verified(_) | Origin::Marked(_)) => self.check(&records)?,
            (None, Origin::DeadLetter(_) | Origin::Coordinator) => {
                Checked(BatchHeader::parse(&records).map_err(AppendError::Corrupt)?)
            }
        };
        let settings = self.settings.load_full();
        let end = match origin {
            Origin::Coordinator => EndTransaction::read(&records).map_err(AppendError::Corrupt)?,
            Origin::Client | Origin::Verified(_) | Origin::Marked(_) | Origin::DeadLetter(_) => None,
        };
        // The only wait: callers without a `deadline` may drop this future meanwhile, and nothing was appended then.
        let mut room = self.store().reserve(records.len());
        let permit = match deadline {
            Some(deadline) => within(deadline, room.as_mut()).await.ok_or(AppendError::NoRoom)?,
            None => room.await,
        }?;
        // Behind what was waited for.
        let now = self.now();
        // The bytes of a request that carried one batch are ours alone and are stamped in place; a share of a larger request is
        // copied, so that keeping it in the tail does not keep the whole request.
        let mut batch = records.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        let is_of_client = origin != Origin::Coordinator;
        let append_time = (is_of_client && settings.timestamp_type == TimestampType::LogAppendTime).then_some(now);
        let is_stamped = match append_time {
            Some(now) => {
                stamp_append_time(&mut batch, now);
                true
            }
            None => stamp_max_timestamp(&mut batch, header.max_timestamp),
        };
        if is_stamped {
            header = BatchHeader::parse(&batch).map_err(AppendError::Corrupt)?;
        }
        let start = self.start();
        let mark = match origin {
            Origin::Marked(mark) | Origin::DeadLetter(mark) => Some(mark),
            Origin::Client | Origin::Verified(_) | Origin::Coordinator => None,
        };

        let mut state = match mark {
            None => self.lock(),
            Some(mark) => match self.lock_unless_repeated(mark, now)? {
                Ok(state) => state,
                Err(Repeated { first, last, made }) => {
                    return Ok(Appended { first, last, append_time: Some(made), start, is_repeated: true });
                }
            },
        };
        if self.is_stopped() {
            return Err(LogStopped.into());
        }
        if header.producer().is_some() {
            state.producers.expire(now, self.producer_expiration_ms.load(Ordering::Relaxed));
        }
        if let Some(id) = header.producer().filter(|_| is_of_client) {
            if let Verdict::Duplicate { first, last, timestamp } = state.producers.judge(id, &header)? {
                return Ok(Appended { first, last, append_time: append_time.map(|_| timestamp), start, is_repeated: true });
            }
            check_verified(&state, id, &header, origin)?;
        }
        let append_time = match append_time {
            // Another one read the clock later and got here first. Append times rise with offsets as the clock does: Kafka's log reads it under its lock.
            Some(stamped) if stamped < state.append_time => {
                let again = self.now();
                stamp_append_time(&mut batch, again);
                header = BatchHeader::parse(&batch).map_err(AppendError::Corrupt)?;
                Some(again)
            }
            first => first,
        };
        state.append_time = append_time.unwrap_or(state.append_time);
        let (first, last) = state.place(&header, &settings, now);
        if let Some(id) = header.producer() {
            let epoch = ProducerEpoch(header.producer_epoch);
            match end {
                Some(end) => state.producers.end_transaction(id, epoch, end, first, now),
                None if is_of_client => state.producers.remember(id, &header, first, last, header.max_timestamp, now),
                None => state.producers.open_transaction(id, epoch, first, now),
            }
            // Markers are transactional too; a plain batch changes nothing here.
            if header.attributes.is_transactional() {
                self.transactions_changed(&state);
            }
        }
        if let Some(mark) = mark {
            state.repeats.begin(mark, first, last);
            self.awaits_commit.store(true, Ordering::Release);
        }
        self.queue(permit, &header, batch, (first, last), now, mark);
        Ok(Appended { first, last, append_time, start, is_repeated: false })
    }

    /// The lock, unless an append with the same mark was made before; then where it went.
    fn lock_unless_repeated(&self, mark: Mark, now: Timestamp) -> Result<Result<MutexGuard<'_, State>, Repeated>, StoreError> {
        loop {
            let settled = {
                let state = self.lock();
                if let Some(repeated) = state.repeats.find(mark.id) {
                    return Ok(Err(repeated));
                }
                state.repeats.settled()
            };
            // Not under the lock: it may have to read.
            let found = self.store().find_mark(mark.id)?.filter(|one| one.log == self.log() && one.mark.expires > now);
            if let Some(Marked { first, last, mark, .. }) = found {
                return Ok(Err(Repeated { first, last, made: mark.made }));
            }
            let state = self.lock();
            if let Some(repeated) = state.repeats.find(mark.id) {
                return Ok(Err(repeated));
            }
            if state.repeats.settled() == settled {
                return Ok(Ok(state));
            }
        }
    }

    /// Under the lock: stamps a batch that has its place, and hands it to the tail and to the store.
    pub(super) fn queue(
        &self,
        permit: Permit,
        header: &BatchHeader,
        mut batch: BytesMut,
        (first, last): (Offset, Offset),
        now: Timestamp,
        mark: Option<Mark>,
    ) {
        stamp(&mut batch, first, LEADER_EPOCH);
        // A batch without timestamps is as old as its arrival, for retention (LogSegment.largestTimestamp falls back to the file's age).
        let max_timestamp = if header.max_timestamp == Timestamp::NONE { now } else { header.max_timestamp };
        let stored = Batch { first, last, max_timestamp, bytes: batch.freeze() };
        self.tail.push(&self.newest, stored.clone());
        let checksum = SuffixChecksum { from: CRC_FROM, crc: header.crc };
        let Batch { bytes, .. } = stored;
        self.store()
            .append(permit, Append { log: self.log(), fence: self.fence, first, last, max_timestamp, bytes, checksum, mark });
    }
}
