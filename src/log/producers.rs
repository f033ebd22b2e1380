//! What a partition knows about idempotent producers: enough to recognise a repeated batch and to refuse a gap.
//!
//! Kafka keeps five batches per producer so that retries of max.in.flight=5 stay recognisable (KIP-98; ProducerStateEntry).
//! Sequence numbers wrap to 0 after `i32::MAX` (DefaultRecordBatch.incrementSequence). A producer that the partition does
//! not know may begin anywhere: its state may have expired, or its records were deleted (KIP-360).
//!
//! Owner: the partition's state, under its lock. Bound: [`PRODUCERS_MAX`] per partition, about 300 bytes each; when full, the producer that
//! has been silent longest is forgotten, which costs it no more than the recognition of its own retries.

use crate::ids::{Offset, ProducerEpoch, ProducerId, Timestamp};
use crate::records::BatchHeader;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::{BTreeMap, HashMap, VecDeque};
use thiserror::Error;

/// Batches remembered per producer.
const WINDOW: usize = 5;
/// Producers remembered per partition.
pub const PRODUCERS_MAX: usize = 50_000;
const SNAPSHOT_VERSION: u8 = 1;

/// Why a producer's batch is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProducerError {
    #[error(
        "out of order sequence number for producer {producer}: {found} (incoming seq. number), {last} (current end sequence number)"
    )]
    OutOfOrderSequence { producer: ProducerId, found: i32, last: i32 },
    #[error("epoch of producer {producer} is {found}, which is smaller than the last seen epoch {current}")]
    StaleEpoch { producer: ProducerId, found: ProducerEpoch, current: ProducerEpoch },
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
    /// When it last appended, by our clock (after recovery: by its records' timestamps).
    seen: Timestamp,
    /// Position in [`Producers::by_age`].
    age: u64,
}

/// The producers of one partition.
#[derive(Debug, Default)]
pub struct Producers {
    by_id: HashMap<ProducerId, Producer>,
    /// Least recently seen first: for the bound and for expiry.
    by_age: BTreeMap<u64, ProducerId>,
    next_age: u64,
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
        let Some(newest) = producer.batches.back() else { return Ok(Verdict::New) };
        let expected = if newest.last_sequence == i32::MAX { 0 } else { newest.last_sequence + 1 };
        if first == expected {
            Ok(Verdict::New)
        } else {
            Err(ProducerError::OutOfOrderSequence { producer: id, found: first, last: newest.last_sequence })
        }
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
        let age = self.next_age;
        self.next_age += 1;
        let producer =
            self.by_id.entry(id).or_insert_with(|| Producer { epoch, batches: VecDeque::with_capacity(WINDOW), seen: now, age });
        if producer.epoch != epoch {
            producer.epoch = epoch;
            producer.batches.clear();
        }
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
        producer.seen = now;
        self.by_age.remove(&producer.age);
        producer.age = age;
        self.by_age.insert(age, id);
        while self.by_id.len() > PRODUCERS_MAX {
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

    /// All of it as bytes, oldest first, for the log's snapshot.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(8 + self.by_id.len() * 64);
        out.put_u8(SNAPSHOT_VERSION);
        let known: Vec<(ProducerId, &Producer)> =
            self.by_age.values().filter_map(|id| self.by_id.get(id).map(|producer| (*id, producer))).collect();
        out.put_u32(u32::try_from(known.len()).unwrap_or(u32::MAX));
        for (id, producer) in known {
            out.put_i64(id.0);
            out.put_i16(producer.epoch.0);
            out.put_i64(producer.seen.0);
            out.put_u8(u8::try_from(producer.batches.len()).unwrap_or(0));
            for batch in &producer.batches {
                out.put_i32(batch.first_sequence);
                out.put_i32(batch.last_sequence);
                out.put_i64(batch.first.0);
                out.put_i64(batch.last.0);
                out.put_i64(batch.timestamp.0);
            }
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
        let count = bytes.try_get_u32().ok()?;
        for _ in 0..count {
            let id = ProducerId(bytes.try_get_i64().ok()?);
            let epoch = ProducerEpoch(bytes.try_get_i16().ok()?);
            let seen = Timestamp(bytes.try_get_i64().ok()?);
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
            let age = producers.next_age;
            producers.next_age += 1;
            producers.by_age.insert(age, id);
            producers.by_id.insert(id, Producer { epoch, batches, seen, age });
        }
        Some(producers)
    }
}
