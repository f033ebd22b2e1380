//! Record batches, magic 2: built as a producer builds them, and read back as a consumer does.
//!
//! Layout (Kafka documentation, "Record Batch"), big-endian: base offset 8 · length 4 · leader epoch 4 · magic 1 · CRC-32C 4 ·
//! attributes 2 · last offset delta 4 · base timestamp 8 · max timestamp 8 · producer id 8 · producer epoch 2 · base sequence 4 ·
//! record count 4 · records. The CRC covers everything from the attributes on.

use crate::now_ms;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::io::Write;

/// Bytes before the first record.
pub const HEADER_BYTES: usize = 61;
/// Where the CRC-32C is, and where what it covers begins.
pub const CRC_AT: usize = 17;
pub const COVERED_FROM: usize = 21;
/// Where other fields are, for tests that damage them.
pub const LENGTH_AT: usize = 8;
pub const MAGIC_AT: usize = 16;
pub const ATTRIBUTES_AT: usize = 21;
pub const LAST_OFFSET_DELTA_AT: usize = 23;
pub const COUNT_AT: usize = 57;
/// Attribute bits.
pub const CODEC_MASK: i16 = 7;
pub const LOG_APPEND_TIME: i16 = 8;
pub const TRANSACTIONAL: i16 = 16;
pub const CONTROL: i16 = 32;

/// How the records of a batch are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    None,
    Gzip,
    Zstd,
}

impl Codec {
    /// Its number in the attributes.
    #[must_use]
    pub fn attribute(self) -> i16 {
        match self {
            Codec::None => 0,
            Codec::Gzip => 1,
            Codec::Zstd => 4,
        }
    }

    /// # Panics
    /// Never: writing to memory does not fail.
    #[must_use]
    pub fn compress(self, plain: &[u8]) -> Vec<u8> {
        match self {
            Codec::None => plain.to_vec(),
            Codec::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(plain).expect("memory takes bytes");
                encoder.finish().expect("memory takes bytes")
            }
            Codec::Zstd => zstd::stream::encode_all(plain, 1).expect("memory takes bytes"),
        }
    }
}

/// A batch to be built.
#[derive(Debug, Clone)]
pub struct Batch {
    pub attributes: i16,
    pub codec: Codec,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub records: Vec<NewRecord>,
}

/// A record to be built.
#[derive(Debug, Clone)]
pub struct NewRecord {
    pub timestamp: i64,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
}

impl Default for Batch {
    fn default() -> Batch {
        Batch { attributes: 0, codec: Codec::None, producer_id: -1, producer_epoch: -1, base_sequence: -1, records: Vec::new() }
    }
}

impl Batch {
    /// Records without key, stamped with the time now.
    #[must_use]
    pub fn of(values: &[&str]) -> Batch {
        values.iter().fold(Batch::default(), |batch, value| batch.record(now_ms(), None, Some(value.as_bytes())))
    }

    /// One record whose value has `bytes` bytes.
    #[must_use]
    pub fn of_bytes(bytes: usize) -> Batch {
        Batch::default().record(now_ms(), None, Some(&vec![b'x'; bytes]))
    }

    /// Adds a record.
    #[must_use]
    pub fn record(mut self, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Batch {
        let owned = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
        self.records.push(NewRecord { timestamp, key: owned(key), value: owned(value) });
        self
    }

    /// Makes it the batch of an idempotent producer.
    #[must_use]
    pub fn idempotent(mut self, producer_id: i64, producer_epoch: i16, base_sequence: i32) -> Batch {
        self.producer_id = producer_id;
        self.producer_epoch = producer_epoch;
        self.base_sequence = base_sequence;
        self
    }

    /// Compresses the records.
    #[must_use]
    pub fn compressed(mut self, codec: Codec) -> Batch {
        self.codec = codec;
        self
    }

    /// The batch's bytes, base offset 0.
    ///
    /// # Panics
    /// When it has more records or bytes than the format can count.
    #[must_use]
    pub fn build(&self) -> Bytes {
        let base_timestamp = self.records.first().map_or(-1, |record| record.timestamp);
        let mut plain = Vec::new();
        for (delta, record) in self.records.iter().enumerate() {
            let mut body = vec![0u8];
            put_varint(&mut body, record.timestamp - base_timestamp);
            put_varint(&mut body, i64::try_from(delta).expect("a small number"));
            put_nullable(&mut body, record.key.as_deref());
            put_nullable(&mut body, record.value.as_deref());
            put_varint(&mut body, 0);
            put_varint(&mut plain, i64::try_from(body.len()).expect("a small number"));
            plain.extend_from_slice(&body);
        }
        let count = i32::try_from(self.records.len()).expect("records are counted in 32 bits");
        self.around(&self.codec.compress(&plain), count, base_timestamp)
    }

    /// The batch's bytes around `payload`, which need not be what `count` records look like.
    ///
    /// # Panics
    /// When `payload` is larger than a batch can be.
    #[must_use]
    pub fn around(&self, payload: &[u8], count: i32, base_timestamp: i64) -> Bytes {
        let max_timestamp = self.records.iter().map(|record| record.timestamp).max().unwrap_or(base_timestamp);
        let mut batch = BytesMut::with_capacity(HEADER_BYTES + payload.len());
        batch.put_i64(0);
        batch.put_i32(i32::try_from(HEADER_BYTES - 12 + payload.len()).expect("a batch's length fits 31 bits"));
        batch.put_i32(-1);
        batch.put_i8(2);
        batch.put_u32(0);
        batch.put_i16(self.attributes | self.codec.attribute());
        batch.put_i32(count - 1);
        batch.put_i64(base_timestamp);
        batch.put_i64(max_timestamp);
        batch.put_i64(self.producer_id);
        batch.put_i16(self.producer_epoch);
        batch.put_i32(self.base_sequence);
        batch.put_i32(count);
        batch.put_slice(payload);
        seal(batch)
    }
}

/// `batch` with the CRC that its bytes need.
#[must_use]
pub fn seal(mut batch: BytesMut) -> Bytes {
    let crc = crc32c::crc32c(&batch[COVERED_FROM..]);
    batch[CRC_AT..COVERED_FROM].copy_from_slice(&crc.to_be_bytes());
    batch.freeze()
}

/// `batch` with the bytes at `at` replaced; the CRC is left as it is.
#[must_use]
pub fn damaged(batch: &Bytes, at: usize, with: &[u8]) -> Bytes {
    let mut copy = BytesMut::from(&batch[..]);
    copy[at..at + with.len()].copy_from_slice(with);
    copy.freeze()
}

/// `batch` with the bytes at `at` replaced, and a CRC that fits again.
#[must_use]
pub fn forged(batch: &Bytes, at: usize, with: &[u8]) -> Bytes {
    seal(BytesMut::from(&damaged(batch, at, with)[..]))
}

/// A batch as a consumer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadBatch {
    pub base_offset: i64,
    pub last_offset: i64,
    pub attributes: i16,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub records: Vec<ReadRecord>,
    /// All of the batch, verbatim.
    pub bytes: Bytes,
}

impl ReadBatch {
    /// Whether its records are markers, for consumers themselves and not for their users.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }
}

/// A record as a consumer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRecord {
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
}

/// How many bytes at the start of `records` are whole batches, and the offset after them; nothing when there is no whole one. Kafka may
/// cut the last batch of an answer (a fetch reads a range of bytes of the file, FileRecords.slice).
#[must_use]
pub fn whole(records: &[u8]) -> Option<(usize, i64)> {
    let (mut at, mut found) = (0, None);
    while let Some(header) = records.get(at..at + HEADER_BYTES) {
        let length = (&header[LENGTH_AT..]).get_i32();
        let Some(end) = usize::try_from(length).ok().map(|length| at + 12 + length).filter(|end| *end <= records.len()) else {
            break;
        };
        let base_offset = (&header[..]).get_i64();
        let last_offset_delta = (&header[LAST_OFFSET_DELTA_AT..]).get_i32();
        found = Some((end, base_offset + i64::from(last_offset_delta) + 1));
        at = end;
    }
    found
}

/// The whole batches of what a fetch answered; see [`whole`].
///
/// # Errors
/// As [`parse`].
pub fn parse_whole(records: &Bytes) -> Result<Vec<ReadBatch>, String> {
    let bytes = whole(records).map_or(0, |(bytes, _)| bytes);
    parse(records.slice(..bytes))
}

/// Reads whole batches out of what a fetch answered.
///
/// # Errors
/// When a batch is cut short, its CRC does not fit, or its records are not what its header says.
pub fn parse(mut records: Bytes) -> Result<Vec<ReadBatch>, String> {
    let mut batches = Vec::new();
    while !records.is_empty() {
        if records.len() < HEADER_BYTES {
            return Err(format!("{} bytes are no batch", records.len()));
        }
        let length = (&records[LENGTH_AT..]).get_i32();
        let whole = usize::try_from(length).map_err(|_| format!("a batch of length {length}"))? + 12;
        if whole > records.len() || whole < HEADER_BYTES {
            return Err(format!("a batch of {whole} bytes in {} bytes", records.len()));
        }
        batches.push(parse_one(records.split_to(whole))?);
    }
    Ok(batches)
}

fn parse_one(bytes: Bytes) -> Result<ReadBatch, String> {
    let mut header = &bytes[..];
    let base_offset = header.get_i64();
    header.advance(8);
    let magic = header.get_i8();
    let crc = header.get_u32();
    let actual = crc32c::crc32c(header);
    if magic != 2 || crc != actual {
        return Err(format!("batch at {base_offset}: magic {magic}, crc {crc:#x}, expected {actual:#x}"));
    }
    let attributes = header.get_i16();
    let last_offset_delta = header.get_i32();
    let base_timestamp = header.get_i64();
    let max_timestamp = header.get_i64();
    let (producer_id, producer_epoch, base_sequence) = (header.get_i64(), header.get_i16(), header.get_i32());
    let count = header.get_i32();
    let mut plain = match attributes & CODEC_MASK {
        0 => bytes.slice(HEADER_BYTES..),
        1 => {
            let mut plain = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(header), &mut plain)
                .map_err(|error| error.to_string())?;
            Bytes::from(plain)
        }
        4 => Bytes::from(zstd::stream::decode_all(header).map_err(|error| error.to_string())?),
        codec => return Err(format!("batch at {base_offset}: codec {codec} is not one that these tests send")),
    };
    let mut records = Vec::new();
    for _ in 0..count {
        let mut record = parse_record(&mut plain, base_offset, base_timestamp)
            .ok_or_else(|| format!("batch at {base_offset}: a bad record"))?;
        if attributes & LOG_APPEND_TIME != 0 {
            record.timestamp = max_timestamp;
        }
        records.push(record);
    }
    if !plain.is_empty() {
        return Err(format!("batch at {base_offset}: {} bytes behind its {count} records", plain.len()));
    }
    let last_offset = base_offset + i64::from(last_offset_delta);
    Ok(ReadBatch {
        base_offset,
        last_offset,
        attributes,
        max_timestamp,
        producer_id,
        producer_epoch,
        base_sequence,
        records,
        bytes,
    })
}

fn parse_record(plain: &mut Bytes, base_offset: i64, base_timestamp: i64) -> Option<ReadRecord> {
    let length = usize::try_from(get_varint(plain)?).ok()?;
    if length == 0 || length > plain.len() {
        return None;
    }
    let mut body = plain.split_to(length);
    body.advance(1);
    let timestamp = base_timestamp + get_varint(&mut body)?;
    let offset = base_offset + get_varint(&mut body)?;
    let key = get_nullable(&mut body)?;
    let value = get_nullable(&mut body)?;
    // Headers only come with what the server itself has written; that they are whole is enough.
    for _ in 0..get_varint(&mut body)? {
        get_nullable(&mut body)?;
        get_nullable(&mut body)?;
    }
    body.is_empty().then_some(ReadRecord { offset, timestamp, key, value })
}

/// Appends a zigzag varint.
pub fn put_varint(to: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        to.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    to.push(rest as u8);
}

fn put_nullable(to: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => put_varint(to, -1),
        Some(bytes) => {
            put_varint(to, i64::try_from(bytes.len()).expect("a small number"));
            to.extend_from_slice(bytes);
        }
    }
}

fn get_varint(from: &mut Bytes) -> Option<i64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        if from.is_empty() {
            return None;
        }
        let byte = from.get_u8();
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    None
}

/// The outer option is "well formed", the inner one "not null".
#[allow(clippy::option_option, reason = "null is a value of the format, and an end before it is an error")]
fn get_nullable(from: &mut Bytes) -> Option<Option<Bytes>> {
    let length = get_varint(from)?;
    if length == -1 {
        return Some(None);
    }
    let length = usize::try_from(length).ok().filter(|length| *length <= from.len())?;
    Some(Some(from.split_to(length)))
}

#[cfg(test)]
mod tests {
    //! What is built reads back: otherwise every other test here would prove nothing.
    use super::*;

    #[test]
    fn a_batch_that_was_built_reads_back() {
        for codec in [Codec::None, Codec::Gzip, Codec::Zstd] {
            let batch = Batch::default()
                .record(1000, Some(b"k"), Some(b"v"))
                .record(900, None, None)
                .idempotent(7, 1, 42)
                .compressed(codec)
                .build();
            let read = parse(batch.clone()).unwrap();
            assert_eq!(read.len(), 1);
            assert_eq!((read[0].base_offset, read[0].last_offset, read[0].max_timestamp), (0, 1, 1000));
            assert_eq!((read[0].producer_id, read[0].producer_epoch, read[0].base_sequence), (7, 1, 42));
            let second = ReadRecord { offset: 1, timestamp: 900, key: None, value: None };
            assert_eq!(read[0].records[1], second);
            assert_eq!(read[0].records[0].key.as_deref(), Some(&b"k"[..]));
        }
    }

    #[test]
    fn a_batch_that_is_cut_is_left_out() {
        let batch = Batch::of(&["a", "b"]).build();
        let two = Bytes::from([&batch[..], &batch[..]].concat());
        assert_eq!(whole(&two), Some((two.len(), 2)));
        assert_eq!(whole(&two[..two.len() - 1]), Some((batch.len(), 2)));
        assert_eq!(whole(&batch[..batch.len() - 1]), None);
        assert_eq!(whole(&[]), None);
        assert_eq!(parse_whole(&two.slice(..two.len() - 1)).unwrap().len(), 1);
    }

    #[test]
    fn a_damaged_batch_does_not_read_back() {
        let batch = Batch::of(&["a"]).build();
        assert!(parse(damaged(&batch, HEADER_BYTES, &[0xff])).is_err());
        assert!(parse(batch.slice(..batch.len() - 1)).is_err());
    }
}
