//! What a partition knows about idempotent producers: enough to recognise a repeated batch and to refuse a gap.
//!
//! Kafka keeps five batches per producer so that retries of max.in.flight=5 stay recognisable (KIP-98; ProducerStateEntry).
//! Sequence numbers wrap to 0 after `i32::MAX` (DefaultRecordBatch.incrementSequence). A producer that the partition does
//! not know may begin anywhere: its state may have expired, or its records were deleted (KIP-360).
//!
//! A producer with an open transaction is never forgotten, and its other batches must belong to the transaction. A marker ends the
//! transaction and raises the producer's epoch to its own, so that what a fenced producer sends later is refused.
//!
//! Owner: the partition's state, under its lock. Bound: [`PRODUCERS_MAX`] per partition, about 300 bytes each; when full, the producer that
//! has been silent longest is forgotten, which costs it no more than the recognition of its own retries.

use super::transactions::{Aborted, Transactions};
use crate::ids::{Offset, ProducerEpoch, ProducerId, Timestamp};
use crate::records::BatchHeader;
use crate::records::control::{EndTransaction, Marker};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::{BTreeMap, HashMap, VecDeque};
use thiserror::Error;

/// Batches remembered per producer.
const WINDOW: usize = 5;
/// Producers remembered per partition.
pub const PRODUCERS_MAX: usize = 50_000;
/// 2: with transactions.
const SNAPSHOT_VERSION: u8 = 2;
/// No marker was written for the producer yet.
const NO_COORDINATOR_EPOCH: i32 = -1;
/// In a snapshot: the producer has no open transaction.
const NO_TRANSACTION: Offset = Offset(-1);

/// Why a producer's batch is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProducerError {
    #[error(
        "out of order sequence number for producer {producer}: {found} (incoming seq. number), {last} (current end sequence number)"
    )]
    OutOfOrderSequence { producer: ProducerId, found: i32, last: i32 },
    #[error("epoch of producer {producer} is {found}, which is smaller than the last seen epoch {current}")]
    StaleEpoch { producer: ProducerId, found: ProducerEpoch, current: ProducerEpoch },
    /// A batch outside of the producer's open transaction.
    #[error("expected transactional write from producer {0}, which has a transaction open in this partition")]
    NotTransactional(ProducerId),
    /// Neither is the transaction open here, nor was the coordinator asked whether this partition is part of it (KIP-890).
    #[error("the batch of producer {0} is not part of an ongoing transaction")]
    NotVerified(ProducerId),
    #[error("the marker comes from coordinator epoch {found}, and one of epoch {current} was written before")]
    StaleCoordinator { found: i32, current: i32 },
}

/// What a batch is to the partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    New,
    /// It was appended before, at these offsets and at this time.
    Duplicate {
        first: Offset,
        last: Offset,
        timestamp: Timestamp,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Remembered {
    first_sequence: i32,
    last_sequence: i32,
    first: Offset,
    last: Offset,
    timestamp: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Producer {
    epoch: ProducerEpoch,
    batches: VecDeque<Remembered>,
    /// When it last appended, by our clock; what only recovery has read counts as appended then.
    seen: Timestamp,
    /// Position in [`Producers::by_age`].
    age: u64,
    /// Of the newest marker.
    coordinator_epoch: i32,
    /// Where its open transaction began.
    transaction: Option<Offset>,
}

impl Producer {
    fn new(epoch: ProducerEpoch, seen: Timestamp, age: u64) -> Producer {
        Producer { epoch, batches: VecDeque::new(), seen, age, coordinator_epoch: NO_COORDINATOR_EPOCH, transaction: None }
    }

    /// To another epoch. It may be a lower one where nobody judged: our coordinators' batches, and a log that is being read again.
    fn raise(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches.clear();
        }
    }
}

/// What DescribeProducers tells of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerStatus {
    pub id: ProducerId,
    pub epoch: ProducerEpoch,
    /// −1: none, as after a marker that raised the epoch.
    pub last_sequence: i32,
    /// The end of its newest batch of data in this epoch.
    pub last_offset: Option<Offset>,
    pub seen: Timestamp,
    /// −1: no marker yet.
    pub coordinator_epoch: i32,
    pub transaction: Option<Offset>,
}

/// What a marker is to the partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkerVerdict {
    New,
    /// The same end was written before: the coordinator did not hear of it.
    Repeated,
}

/// The producers of one partition, and their transactions.
#[derive(Debug, Default)]
pub struct Producers {
    by_id: HashMap<ProducerId, Producer>,
    /// Least recently seen first, without those that have a transaction open: for the bound and for expiry.
    by_age: BTreeMap<u64, ProducerId>,
    next_age: u64,
    pub transactions: Transactions,
}

impl Producers {
    /// Judges a batch of an idempotent producer, without changing anything. Source: ProducerAppendInfo.checkSequence.
    ///
    /// # Errors
    /// [`ProducerError`] when it must not be appended.
    pub fn judge(&self, id: ProducerId, header: &BatchHeader) -> Result<Verdict, ProducerError> {
        let Some(producer) = self.by_id.get(&id) else { return Ok(Verdict::New) };
        let epoch = ProducerEpoch(header.producer_epoch);
        if epoch < producer.epoch {
            return Err(ProducerError::StaleEpoch { producer: id, found: epoch, current: producer.epoch });
        }
        if producer.transaction.is_some() && !header.attributes.is_transactional() {
            return Err(ProducerError::NotTransactional(id));
        }
        let last_known = producer.batches.back().map_or(-1, |batch| batch.last_sequence);
        if epoch > producer.epoch {
            return match header.base_sequence {
                0 => Ok(Verdict::New),
                found => Err(ProducerError::OutOfOrderSequence { producer: id, found, last: last_known }),
            };
        }
        let (first, last) = (header.base_sequence, header.last_sequence());
        if let Some(batch) = producer.batches.iter().find(|batch| batch.first_sequence == first && batch.last_sequence == last) {
            return Ok(Verdict::Duplicate { first: batch.first, last: batch.last, timestamp: batch.timestamp });
        }
        // A marker that raised the epoch left no batch behind: the sequence begins anew.
        let expected = if last_known == i32::MAX { 0 } else { last_known + 1 };
        if first == expected {
            Ok(Verdict::New)
        } else {
            Err(ProducerError::OutOfOrderSequence { producer: id, found: first, last: last_known })
        }
    }

    /// Whether a batch of a verified transaction may be the first of its producer here: not while one before it was seen and is not stored, which
    /// was refused and comes again. Source: ProducerAppendInfo.checkSequence, VerificationStateEntry.lowestSequence.
    ///
    /// # Errors
    /// [`ProducerError::OutOfOrderSequence`].
    pub fn check_first(&self, id: ProducerId, header: &BatchHeader) -> Result<(), ProducerError> {
        let lowest = self.transactions.lowest_sequence(id, ProducerEpoch(header.producer_epoch));
        match (self.by_id.contains_key(&id), lowest) {
            (false, Some(lowest)) if header.base_sequence > lowest => {
                Err(ProducerError::OutOfOrderSequence { producer: id, found: header.base_sequence, last: -1 })
            }
            _ => Ok(()),
        }
    }

    /// Whether the producer has a transaction open in this epoch: its next batches go into it unasked.
    #[must_use]
    pub fn is_open(&self, id: ProducerId, epoch: ProducerEpoch) -> bool {
        self.by_id.get(&id).is_some_and(|producer| producer.epoch == epoch && producer.transaction.is_some())
    }

    /// Judges a marker, without changing anything. `is_epoch_raised`: the transaction is of KIP-890's protocol, whose markers have a
    /// greater epoch than the records before them (KIP-1228). Source: ProducerAppendInfo.appendEndTxnMarker, checkProducerEpoch.
    ///
    /// # Errors
    /// [`ProducerError::StaleEpoch`] and [`ProducerError::StaleCoordinator`].
    pub fn judge_marker(
        &self,
        id: ProducerId,
        epoch: ProducerEpoch,
        coordinator_epoch: i32,
        is_epoch_raised: bool,
    ) -> Result<MarkerVerdict, ProducerError> {
        let Some(producer) = self.by_id.get(&id) else { return Ok(MarkerVerdict::New) };
        if is_epoch_raised && epoch == producer.epoch && producer.transaction.is_none() {
            return Ok(MarkerVerdict::Repeated);
        }
        if epoch < producer.epoch || (is_epoch_raised && epoch == producer.epoch) {
            return Err(ProducerError::StaleEpoch { producer: id, found: epoch, current: producer.epoch });
        }
        if coordinator_epoch < producer.coordinator_epoch {
            return Err(ProducerError::StaleCoordinator { found: coordinator_epoch, current: producer.coordinator_epoch });
        }
        Ok(MarkerVerdict::New)
    }

    /// A batch of a transaction was appended at `first`: opens the transaction, unless it is open.
    pub fn open_transaction(&mut self, id: ProducerId, epoch: ProducerEpoch, first: Offset, now: Timestamp) {
        self.touch(id, epoch, now);
        self.begin(id, first);
        self.forget_surplus();
    }

    /// Opens the transaction of a producer that is known, unless it is open.
    fn begin(&mut self, id: ProducerId, first: Offset) {
        let Some(producer) = self.by_id.get_mut(&id).filter(|producer| producer.transaction.is_none()) else { return };
        producer.transaction = Some(first);
        self.by_age.remove(&producer.age);
        self.transactions.open(id, first);
    }

    /// A marker was appended at `at`.
    pub fn end_transaction(&mut self, id: ProducerId, epoch: ProducerEpoch, end: EndTransaction, at: Offset, now: Timestamp) {
        let producer = self.touch(id, epoch, now);
        producer.coordinator_epoch = end.coordinator_epoch;
        let first = producer.transaction.take();
        let age = producer.age;
        self.by_age.insert(age, id);
        self.transactions.end(id, first, at, end.marker == Marker::Abort);
        self.forget_surplus();
    }

    /// All producers, by id.
    #[must_use]
    pub fn all(&self) -> Vec<ProducerStatus> {
        let mut all: Vec<_> = self.by_id.iter().map(|(id, producer)| producer.status(*id)).collect();
        all.sort_unstable_by_key(|producer| producer.id);
        all
    }

    /// The producer in `epoch`, known from now on as the one seen last.
    fn touch(&mut self, id: ProducerId, epoch: ProducerEpoch, now: Timestamp) -> &mut Producer {
        let age = self.next_age;
        self.next_age += 1;
        let producer = self.by_id.entry(id).or_insert_with(|| Producer::new(epoch, now, age));
        producer.raise(epoch);
        producer.seen = now;
        self.by_age.remove(&producer.age);
        producer.age = age;
        if producer.transaction.is_none() {
            self.by_age.insert(age, id);
        }
        producer
    }

    /// Remembers a batch that was appended at `first..=last`. `timestamp` is what a duplicate is answered with.
    pub fn remember(
        &mut self,
        id: ProducerId,
        header: &BatchHeader,
        first: Offset,
        last: Offset,
        timestamp: Timestamp,
        now: Timestamp,
    ) {
        let epoch = ProducerEpoch(header.producer_epoch);
        let producer = self.touch(id, epoch, now);
        if producer.batches.len() == WINDOW {
            producer.batches.pop_front();
        }
        producer.batches.push_back(Remembered {
            first_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            first,
            last,
            timestamp,
        });
        if header.attributes.is_transactional() {
            self.begin(id, first);
        }
        self.forget_surplus();
    }

    /// Keeps to the bound, as far as open transactions allow.
    fn forget_surplus(&mut self) {
        while self.by_id.len() > PRODUCERS_MAX && !self.by_age.is_empty() {
            self.forget_oldest();
        }
    }

    /// Forgets producers that have been silent for `expiration_ms` (`producer.id.expiration.ms`).
    pub fn expire(&mut self, now: Timestamp, expiration_ms: i64) {
        while let Some(oldest) = self.by_age.first_key_value().and_then(|(_, id)| self.by_id.get(id)) {
            if now.ms_since(oldest.seen) < expiration_ms {
                break;
            }
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.by_age.pop_first() {
            self.by_id.remove(&id);
        }
    }

    /// All of it as bytes, for the log's snapshot: producers, oldest first (those with an open transaction last), then the aborted
    /// transactions.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(16 + self.by_id.len() * 64 + self.transactions.all_aborted().len() * 32);
        out.put_u8(SNAPSHOT_VERSION);
        let mut known: Vec<(ProducerId, &Producer)> = self.by_id.iter().map(|(id, producer)| (*id, producer)).collect();
        known.sort_unstable_by_key(|(_, producer)| producer.age);
        put_count(&mut out, known.len());
        for (id, producer) in known {
            out.put_i64(id.0);
            out.put_i16(producer.epoch.0);
            out.put_i64(producer.seen.0);
            out.put_i32(producer.coordinator_epoch);
            out.put_i64(producer.transaction.unwrap_or(NO_TRANSACTION).0);
            out.put_u8(u8::try_from(producer.batches.len()).unwrap_or(0));
            for batch in &producer.batches {
                out.put_i32(batch.first_sequence);
                out.put_i32(batch.last_sequence);
                out.put_i64(batch.first.0);
                out.put_i64(batch.last.0);
                out.put_i64(batch.timestamp.0);
            }
        }
        put_count(&mut out, self.transactions.all_aborted().len());
        for aborted in self.transactions.all_aborted() {
            out.put_i64(aborted.producer.0);
            out.put_i64(aborted.first.0);
            out.put_i64(aborted.last.0);
            out.put_i64(aborted.last_stable.0);
        }
        out.freeze()
    }

    /// What [`Producers::encode`] wrote; `None` when the bytes are something else (then recovery reads the log instead).
    #[must_use]
    pub fn decode(mut bytes: Bytes) -> Option<Producers> {
        let mut producers = Producers::default();
        if bytes.try_get_u8().ok()? != SNAPSHOT_VERSION {
            return None;
        }
        for _ in 0..bytes.try_get_u32().ok()? {
            producers.restore(&mut bytes)?;
        }
        for _ in 0..bytes.try_get_u32().ok()? {
            producers.transactions.restore_aborted(Aborted {
                producer: ProducerId(bytes.try_get_i64().ok()?),
                first: Offset(bytes.try_get_i64().ok()?),
                last: Offset(bytes.try_get_i64().ok()?),
                last_stable: Offset(bytes.try_get_i64().ok()?),
            });
        }
        Some(producers)
    }

    /// Reads one producer of a snapshot.
    fn restore(&mut self, bytes: &mut Bytes) -> Option<()> {
        let id = ProducerId(bytes.try_get_i64().ok()?);
        let epoch = ProducerEpoch(bytes.try_get_i16().ok()?);
        let seen = Timestamp(bytes.try_get_i64().ok()?);
        let coordinator_epoch = bytes.try_get_i32().ok()?;
        let transaction = Some(Offset(bytes.try_get_i64().ok()?)).filter(|first| *first != NO_TRANSACTION);
        let mut batches = VecDeque::with_capacity(WINDOW);
        for _ in 0..bytes.try_get_u8().ok()?.min(WINDOW as u8) {
            batches.push_back(Remembered {
                first_sequence: bytes.try_get_i32().ok()?,
                last_sequence: bytes.try_get_i32().ok()?,
                first: Offset(bytes.try_get_i64().ok()?),
                last: Offset(bytes.try_get_i64().ok()?),
                timestamp: Timestamp(bytes.try_get_i64().ok()?),
            });
        }
        let producer = self.touch(id, epoch, seen);
        producer.batches = batches;
        producer.coordinator_epoch = coordinator_epoch;
        if let Some(first) = transaction {
            self.begin(id, first);
        }
        Some(())
    }
}

impl Producer {
    fn status(&self, id: ProducerId) -> ProducerStatus {
        ProducerStatus {
            id,
            epoch: self.epoch,
            last_sequence: self.batches.back().map_or(-1, |batch| batch.last_sequence),
            last_offset: self.batches.back().map(|batch| batch.last),
            seen: self.seen,
            coordinator_epoch: self.coordinator_epoch,
            transaction: self.transaction,
        }
    }
}

fn put_count(out: &mut BytesMut, count: usize) {
    out.put_u32(u32::try_from(count).expect("four billion entries do not fit into memory"));
}
