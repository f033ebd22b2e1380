//! A batch without some of its records: what is left keeps its offsets and sequences, as after compaction.

use super::codec;
use super::header::{HEADER_BYTES, LENGTH_AT, LOG_OVERHEAD, RECORD_COUNT_AT, write_crc};
use super::varint::{put_varint, take_varint};
use super::{BatchHeader, RecordError};
use bytes::Bytes;
use std::collections::HashSet;

/// The batch without the records at `dropped` (indexes within the batch): same header but for count, length and CRC, so that the last offset and
/// the producer's sequences stay what they were. Decompresses to at most `limit` bytes, and compresses again with the same codec.
///
/// # Errors
/// [`RecordError`] when the batch does not read, or its codec gives up.
pub fn without(batch: &Bytes, limit: usize, dropped: &HashSet<i32>) -> Result<Bytes, RecordError> {
    let header = BatchHeader::parse(batch)?;
    let compression = header.attributes.compression()?;
    let payload = codec::decompress(compression, &batch.slice(HEADER_BYTES..header.batch_bytes), limit)?;
    let mut body = Vec::with_capacity(payload.len());
    let mut left = &payload[..];
    let mut kept = 0_i32;
    for index in 0..header.record_count {
        let length = take_varint(&mut left)?;
        let split = usize::try_from(length).ok().and_then(|length| left.split_at_checked(length));
        let (record, rest) = split.ok_or(RecordError::BadCount(header.record_count))?;
        left = rest;
        if !dropped.contains(&index) {
            put_varint(&mut body, i64::from(length));
            body.extend_from_slice(record);
            kept += 1;
        }
    }
    let body = codec::compress(compression, &body, None)?;
    let mut filtered = Vec::with_capacity(HEADER_BYTES + body.len());
    filtered.extend_from_slice(batch.get(..HEADER_BYTES).unwrap_or_default());
    filtered.extend_from_slice(&body);
    let length = i32::try_from(filtered.len() - LOG_OVERHEAD).map_err(|_| RecordError::TooLarge { limit })?;
    filtered[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_be_bytes());
    filtered[RECORD_COUNT_AT..RECORD_COUNT_AT + 4].copy_from_slice(&kept.to_be_bytes());
    write_crc(&mut filtered);
    Ok(Bytes::from(filtered))
}
