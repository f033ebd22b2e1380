//! The 61 bytes in front of every record batch (magic 2): parsed, checked, and stamped in place.
//!
//! ```text
//! at  0 base offset i64       17 crc u32 (CRC-32C of 21..)   35 max timestamp i64   57 record count i32
//!     8 length i32 (of 12..)  21 attributes i16              43 producer id i64     61 records, compressed as one piece
//!    12 leader epoch i32      23 last offset delta i32       51 producer epoch i16
//!    16 magic i8              27 base timestamp i64          53 base sequence i32
//! ```
//! Base offset and leader epoch lie outside the CRC, so that a broker stamps them without touching the rest (KIP-98).

use super::RecordError;
use super::codec::Compression;
use crate::ids::{LeaderEpoch, Offset, ProducerId, Timestamp};
use bytes::{Buf, Bytes, TryGetError};

/// Bytes of a batch before its first record.
pub const HEADER_BYTES: usize = 61;
/// Bytes of base offset and length, which the length field does not count.
pub const LOG_OVERHEAD: usize = 12;
/// The CRC covers a batch from this byte to its end.
pub const CRC_FROM: u32 = 21;
/// The only message format in use since Kafka 0.11; Kafka 4 dropped the older two (KIP-724).
pub const MAGIC: i8 = 2;

const CRC_START: usize = CRC_FROM as usize;
pub(super) const LENGTH_AT: usize = 8;
const LEADER_EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
pub(super) const ATTRIBUTES_AT: usize = 21;
pub(super) const BASE_TIMESTAMP_AT: usize = 27;
pub(super) const MAX_TIMESTAMP_AT: usize = 35;
pub(super) const RECORD_COUNT_AT: usize = 57;

/// The attribute bits of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes(pub i16);

/// Who set a batch's timestamps: the producer, or the broker when it appended (KIP-32).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    CreateTime,
    LogAppendTime,
}

impl Attributes {
    pub(super) const COMPRESSION: i16 = 0x07;
    pub(super) const LOG_APPEND_TIME: i16 = 0x08;
    pub(super) const TRANSACTIONAL: i16 = 0x10;
    pub(super) const CONTROL: i16 = 0x20;
    pub(super) const DELETE_HORIZON: i16 = 0x40;

    /// The codec of the records. Answers [`RecordError::UnsupportedCompression`] for 5 to 7.
    pub fn compression(self) -> Result<Compression, RecordError> {
        Compression::from_bits((self.0 & Attributes::COMPRESSION).to_be_bytes()[1])
    }

    #[must_use]
    pub fn timestamp_type(self) -> TimestampType {
        if self.has(Attributes::LOG_APPEND_TIME) { TimestampType::LogAppendTime } else { TimestampType::CreateTime }
    }

    /// The batch belongs to a transaction.
    #[must_use]
    pub fn is_transactional(self) -> bool {
        self.has(Attributes::TRANSACTIONAL)
    }

    /// The batch holds markers for brokers and consumers, no application data; only brokers write it.
    #[must_use]
    pub fn is_control(self) -> bool {
        self.has(Attributes::CONTROL)
    }

    /// The base timestamp is the time after which compaction may drop tombstones (KIP-534).
    #[must_use]
    pub fn has_delete_horizon(self) -> bool {
        self.has(Attributes::DELETE_HORIZON)
    }

    fn has(self, bit: i16) -> bool {
        self.0 & bit != 0
    }
}

/// The header of one batch, as its fields say; nothing but magic and length is checked yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: Offset,
    /// Bytes of the whole batch, base offset and length field included.
    pub batch_bytes: usize,
    pub leader_epoch: LeaderEpoch,
    pub magic: i8,
    pub crc: u32,
    pub attributes: Attributes,
    /// Last offset minus base offset; stays when compaction removes records, so it may exceed `record_count` − 1.
    pub last_offset_delta: i32,
    pub base_timestamp: Timestamp,
    /// With LogAppendTime, the time of every record.
    pub max_timestamp: Timestamp,
    /// −1: none.
    pub producer_id: i64,
    /// −1: none.
    pub producer_epoch: i16,
    /// −1: none.
    pub base_sequence: i32,
    pub record_count: i32,
}

impl BatchHeader {
    /// Parses the header of the batch that `bytes` starts with; what follows that batch is not looked at.
    ///
    /// Answers [`RecordError::UnsupportedMagic`], [`RecordError::BadLength`] (below 49), or [`RecordError::Truncated`] when
    /// `bytes` does not hold the whole batch. The CRC is left to [`verify_crc`].
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, RecordError> {
        let batch_bytes = BatchHeader::batch_bytes(bytes)?;
        if bytes.len() < batch_bytes {
            return Err(RecordError::Truncated { needed: batch_bytes, left: bytes.len() });
        }
        BatchHeader::peek(bytes)
    }

    /// As [`BatchHeader::parse`], of a batch of which `bytes` need not hold more than the [`HEADER_BYTES`].
    pub fn peek(bytes: &[u8]) -> Result<BatchHeader, RecordError> {
        let batch_bytes = BatchHeader::batch_bytes(bytes)?;
        read_fields(bytes, batch_bytes).map_err(|_| RecordError::Truncated { needed: HEADER_BYTES, left: bytes.len() })
    }

    /// Whether the batch that `bytes` starts with says that it belongs to a transaction; what is no batch does not.
    #[must_use]
    pub fn is_of_transaction(bytes: &[u8]) -> bool {
        let attributes = field(bytes, ATTRIBUTES_AT).map(|bits| Attributes(i16::from_be_bytes(bits)));
        field(bytes, MAGIC_AT) == Ok(MAGIC.to_be_bytes()) && attributes.is_ok_and(Attributes::is_transactional)
    }

    fn batch_bytes(bytes: &[u8]) -> Result<usize, RecordError> {
        // Magic sits at the same place in all three formats, so it is known before the rest of the layout is.
        let magic = i8::from_be_bytes(field(bytes, MAGIC_AT)?);
        if magic != MAGIC {
            return Err(RecordError::UnsupportedMagic(magic));
        }
        let length = i32::from_be_bytes(field(bytes, LENGTH_AT)?);
        usize::try_from(length)
            .ok()
            .and_then(|length| length.checked_add(LOG_OVERHEAD))
            .filter(|batch_bytes| *batch_bytes >= HEADER_BYTES)
            .ok_or(RecordError::BadLength(length))
    }

    /// The offset of the batch's last record; saturates.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        Offset(self.base_offset.0.saturating_add(i64::from(self.last_offset_delta)))
    }

    /// The sequence of the batch's last record; −1 when it has none.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 { -1 } else { increment_sequence(self.base_sequence, self.last_offset_delta) }
    }

    /// The idempotent producer that wrote the batch.
    #[must_use]
    pub fn producer(&self) -> Option<ProducerId> {
        (self.producer_id >= 0).then_some(ProducerId(self.producer_id))
    }
}

/// `sequence` plus `by`, where 0 follows `i32::MAX` (DefaultRecordBatch.incrementSequence).
#[must_use]
pub fn increment_sequence(sequence: i32, by: i32) -> i32 {
    // Dropping the sign bit of the sum is the remainder modulo 2^31.
    sequence.wrapping_add(by) & i32::MAX
}

/// Splits concatenated batches, sharing their bytes; an empty input has none.
///
/// Answers the first error of [`BatchHeader::parse`]; a partial batch at the end is [`RecordError::Truncated`].
pub fn split(records: &Bytes) -> Result<Vec<(BatchHeader, Bytes)>, RecordError> {
    let mut left = records.clone();
    let mut batches = Vec::new();
    while !left.is_empty() {
        let header = BatchHeader::parse(&left)?;
        batches.push((header, left.split_to(header.batch_bytes)));
    }
    Ok(batches)
}

/// Checks the CRC-32C of one whole batch against its header. Cost: one pass over the bytes.
pub fn verify_crc(batch: &[u8], header: &BatchHeader) -> Result<(), RecordError> {
    let covered = batch
        .get(CRC_START..header.batch_bytes)
        .ok_or(RecordError::Truncated { needed: header.batch_bytes, left: batch.len() })?;
    let computed = crc32c::crc32c(covered);
    if computed == header.crc { Ok(()) } else { Err(RecordError::BadCrc { found: header.crc, expected: computed }) }
}

/// Writes base offset and leader epoch into a parsed batch; both lie outside its CRC. Panics on less than a header.
pub fn stamp(batch: &mut [u8], base: Offset, epoch: LeaderEpoch) {
    put(batch, 0, base.0.to_be_bytes());
    put(batch, LEADER_EPOCH_AT, epoch.0.to_be_bytes());
}

/// Gives every record of a parsed batch the time `now`: sets the LogAppendTime bit and the max timestamp, and computes the CRC anew.
///
/// The base timestamp stays, as in Kafka (DefaultRecordBatch.setMaxTimestamp). Panics on less than a header.
pub fn stamp_append_time(batch: &mut [u8], now: Timestamp) {
    let attributes = i16::from_be_bytes(field(batch, ATTRIBUTES_AT).expect("a parsed batch has a whole header"));
    put(batch, ATTRIBUTES_AT, (attributes | Attributes::LOG_APPEND_TIME).to_be_bytes());
    put(batch, MAX_TIMESTAMP_AT, now.0.to_be_bytes());
    write_crc(batch);
}

/// Makes `max` the largest timestamp of a parsed batch, with a new CRC where it was another one; whether it was. Panics on less than a header.
pub fn stamp_max_timestamp(batch: &mut [u8], max: Timestamp) -> bool {
    let written = field(batch, MAX_TIMESTAMP_AT).expect("a parsed batch has a whole header");
    let is_other = written != max.0.to_be_bytes();
    if is_other {
        put(batch, MAX_TIMESTAMP_AT, max.0.to_be_bytes());
        write_crc(batch);
    }
    is_other
}

/// Computes and writes the CRC of one whole batch. Panics on less than a header.
pub(crate) fn write_crc(batch: &mut [u8]) {
    let crc = crc32c::crc32c(batch.get(CRC_START..).expect("a batch has a whole header"));
    put(batch, CRC_AT, crc.to_be_bytes());
}

fn read_fields(mut bytes: &[u8], batch_bytes: usize) -> Result<BatchHeader, TryGetError> {
    let base_offset = Offset(bytes.try_get_i64()?);
    let _length = bytes.try_get_i32()?;
    Ok(BatchHeader {
        base_offset,
        batch_bytes,
        leader_epoch: LeaderEpoch(bytes.try_get_i32()?),
        magic: bytes.try_get_i8()?,
        crc: bytes.try_get_u32()?,
        attributes: Attributes(bytes.try_get_i16()?),
        last_offset_delta: bytes.try_get_i32()?,
        base_timestamp: Timestamp(bytes.try_get_i64()?),
        max_timestamp: Timestamp(bytes.try_get_i64()?),
        producer_id: bytes.try_get_i64()?,
        producer_epoch: bytes.try_get_i16()?,
        base_sequence: bytes.try_get_i32()?,
        record_count: bytes.try_get_i32()?,
    })
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], RecordError> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<N>());
    found.copied().ok_or(RecordError::Truncated { needed: HEADER_BYTES, left: bytes.len() })
}

pub(super) fn put<const N: usize>(batch: &mut [u8], at: usize, value: [u8; N]) {
    batch.get_mut(at..at + N).expect("a batch has a whole header").copy_from_slice(&value);
}
