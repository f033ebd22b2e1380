//! An append: who does it, of what, where it went, and why it did not.

use super::markers::check_verified;
use super::partition::{LogStopped, Partition, State};
use super::producers::{ProducerError, Verdict};
use super::repeats::Repeated;
use super::transactions::Verification;
use super::validate::{self, InvalidRecords};
use crate::config::topic::{TimestampType, TopicSettings};
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, Timestamp};
use crate::records::control::EndTransaction;
use crate::records::header::{CRC_FROM, stamp, stamp_append_time, stamp_max_timestamp};
use crate::records::{BatchHeader, RecordError};
use crate::store::{Append, Batch, Mark, Marked, Permit, StoreError, SuffixChecksum};
use crate::tasks::deadline::within;
use bytes::{Bytes, BytesMut};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
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

impl Origin {
    /// What names the append, for whoever sends it again.
    fn mark(self) -> Option<Mark> {
        match self {
            Origin::Marked(mark) | Origin::DeadLetter(mark) => Some(mark),
            Origin::Client | Origin::Verified(_) | Origin::Coordinator => None,
        }
    }

    /// Whether its sequences are judged, and the topic's append time is stamped.
    fn is_client(self) -> bool {
        self != Origin::Coordinator
    }
}

/// A batch that has its room in the store's queue, and not yet its place in the log.
struct Prepared {
    /// Of `batch` as it is now.
    header: BatchHeader,
    batch: BytesMut,
    origin: Origin,
    /// The end of a transaction, if it is a coordinator's marker.
    end: Option<EndTransaction>,
    /// Set with `message.timestamp.type=LogAppendTime`.
    append_time: Option<Timestamp>,
    settings: Arc<TopicSettings>,
    /// When it had its room.
    now: Timestamp,
}

impl Prepared {
    /// Stamps what does not depend on its place.
    fn stamp(&mut self) -> Result<(), AppendError> {
        if self.origin.is_client() && self.settings.timestamp_type == TimestampType::LogAppendTime {
            return self.stamp_append_time(self.now);
        }
        if stamp_max_timestamp(&mut self.batch, self.header.max_timestamp) {
            self.header = BatchHeader::parse(&self.batch).map_err(AppendError::Corrupt)?;
        }
        Ok(())
    }

    fn stamp_append_time(&mut self, time: Timestamp) -> Result<(), AppendError> {
        stamp_append_time(&mut self.batch, time);
        self.header = BatchHeader::parse(&self.batch).map_err(AppendError::Corrupt)?;
        self.append_time = Some(time);
        Ok(())
    }
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
        let header = self.header(checked, &records, origin)?;
        let settings = self.settings.load_full();
        // The only wait: callers without a `deadline` may drop this future meanwhile, and nothing was appended then.
        let mut room = self.store().reserve(records.len());
        let permit = match deadline {
            Some(deadline) => within(deadline, room.as_mut()).await.ok_or(AppendError::NoRoom)?,
            None => room.await,
        }?;
        let end = if origin.is_client() { None } else { EndTransaction::read(&records).map_err(AppendError::Corrupt)? };
        // The bytes of a request that carried one batch are ours alone and are stamped in place; a share of a larger request is
        // copied, so that keeping it in the tail does not keep the whole request.
        let batch = records.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        let mut prepared = Prepared { header, batch, origin, end, append_time: None, settings, now: self.now() };
        prepared.stamp()?;
        let mut state = match origin.mark() {
            None => self.lock(),
            Some(mark) => match self.lock_unless_repeated(mark, prepared.now)? {
                Ok(state) => state,
                Err(Repeated { first, last, made }) => {
                    return Ok(Appended { first, last, append_time: Some(made), start: self.start(), is_repeated: true });
                }
            },
        };
        if self.is_stopped() {
            return Err(LogStopped.into());
        }
        match self.judge(&mut state, &prepared)? {
            Some(before) => Ok(before),
            None => self.enter(&mut state, &mut prepared, permit),
        }
    }

    /// The header of the batch, once it is known to be one that this log could take.
    fn header(&self, checked: Option<Checked>, records: &Bytes, origin: Origin) -> Result<BatchHeader, AppendError> {
        match (checked, origin) {
            (Some(Checked(header)), _) => Ok(header),
            (None, Origin::Client | Origin::Verified(_) | Origin::Marked(_)) => Ok(self.check(records)?.0),
            (None, Origin::DeadLetter(_) | Origin::Coordinator) => BatchHeader::parse(records).map_err(AppendError::Corrupt),
        }
    }

    /// Under the lock: whether the producer's batch comes in its turn. Answers where it is, if it is there already.
    fn judge(&self, state: &mut State, prepared: &Prepared) -> Result<Option<Appended>, AppendError> {
        let Prepared { header, origin, .. } = prepared;
        let Some(id) = header.producer() else { return Ok(None) };
        state.producers.expire(prepared.now, self.producer_expiration_ms.load(Ordering::Relaxed));
        if !origin.is_client() {
            return Ok(None);
        }
        if let Verdict::Duplicate { first, last, timestamp } = state.producers.judge(id, header)? {
            let append_time = prepared.append_time.map(|_| timestamp);
            return Ok(Some(Appended { first, last, append_time, start: self.start(), is_repeated: true }));
        }
        check_verified(state, id, header, *origin)?;
        Ok(None)
    }

    /// Under the lock: gives the batch its place, and hands it to the tail and to the store.
    fn enter(&self, state: &mut State, prepared: &mut Prepared, permit: Permit) -> Result<Appended, AppendError> {
        // Another one read the clock later and got here first. Append times rise with offsets as the clock does: Kafka's log reads it under its lock.
        if prepared.append_time.is_some_and(|stamped| stamped < state.append_time) {
            prepared.stamp_append_time(self.now())?;
        }
        let Prepared { header, batch, origin, end, append_time, settings, now } = prepared;
        let (now, append_time) = (*now, *append_time);
        state.append_time = append_time.unwrap_or(state.append_time);
        let (first, last) = state.place(header, settings, now);
        if let Some(id) = header.producer() {
            let epoch = ProducerEpoch(header.producer_epoch);
            match end {
                Some(end) => state.producers.end_transaction(id, epoch, *end, first, now),
                None if origin.is_client() => state.producers.remember(id, header, first, last, header.max_timestamp, now),
                None => state.producers.open_transaction(id, epoch, first, now),
            }
            // Markers are transactional too; a plain batch changes nothing here.
            if header.attributes.is_transactional() {
                self.transactions_changed(state);
            }
        }
        let mark = origin.mark();
        if let Some(mark) = mark {
            state.repeats.begin(mark, first, last);
            self.awaits_commit.store(true, Ordering::Release);
        }
        self.queue(permit, header, std::mem::take(batch), (first, last), now, mark);
        Ok(Appended { first, last, append_time, start: self.start(), is_repeated: false })
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
