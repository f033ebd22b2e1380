//! A batch without some of its records: those that stay keep their offsets, and the batch keeps its offsets and sequences. For compaction
//! (MemoryRecords.filterTo), and for records that are moved to a dead-letter topic.

use super::codec;
use super::header::{
    ATTRIBUTES_AT, Attributes, BASE_TIMESTAMP_AT, HEADER_BYTES, LENGTH_AT, LOG_OVERHEAD, MAX_TIMESTAMP_AT, RECORD_COUNT_AT, put,
    write_crc,
};
use super::iterate::{self, RawRecord};
use super::varint::{put_varint, take_varint, take_varlong};
use super::{BatchHeader, RecordError, TimestampType};
use crate::ids::Timestamp;
use bytes::Bytes;
use std::collections::HashSet;

/// What is left of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    pub records: usize,
    /// Records without a value among them.
    pub tombstones: usize,
}

/// A batch, unpacked, and which of its records stay.
pub struct Sifted {
    batch: Bytes,
    header: BatchHeader,
    payload: Bytes,
    /// A byte for each record, where the smallest record takes seven.
    stays: Vec<bool>,
    left: Left,
    /// The largest timestamp among those that stay.
    latest: Timestamp,
}

/// Asks `keep` about each record, in order. Decompresses to at most `limit` bytes.
///
/// # Errors
/// As [`iterate::records`].
pub fn sift(batch: &Bytes, limit: usize, mut keep: impl FnMut(RawRecord<'_>) -> bool) -> Result<Sifted, RecordError> {
    let mut records = iterate::records(batch, limit)?;
    let (header, payload) = (*records.header(), records.payload().clone());
    let left = Left { records: 0, tombstones: 0 };
    let mut sifted = Sifted { batch: batch.clone(), header, payload, stays: Vec::new(), left, latest: Timestamp::NONE };
    while let Some((stays, timestamp, is_tombstone)) =
        records.advance(|raw, _| (keep(raw), raw.timestamp, raw.value.is_none()))?
    {
        sifted.stays.push(stays);
        if stays {
            sifted.left.records += 1;
            sifted.left.tombstones += usize::from(is_tombstone);
            sifted.latest = sifted.latest.max(timestamp);
        }
    }
    Ok(sifted)
}

impl Sifted {
    #[must_use]
    pub fn left(&self) -> Left {
        self.left
    }

    /// The batch with the records that stay, compressed as before. `horizon`: from when on compaction may drop its tombstones, which takes the
    /// place of the base timestamp (KIP-534); `None` leaves what is there.
    ///
    /// # Errors
    /// [`RecordError`] when its codec gives up.
    pub fn rewrite(&self, horizon: Option<Timestamp>) -> Result<Bytes, RecordError> {
        let header = &self.header;
        let base = horizon.unwrap_or(header.base_timestamp);
        let mut body = Vec::with_capacity(self.payload.len());
        let mut rest = &self.payload[..];
        for stays in &self.stays {
            let whole = rest;
            let length = take_varint(&mut rest)?;
            let length = usize::try_from(length).map_err(|_| RecordError::BadCount(header.record_count))?;
            rest = rest.get(length..).ok_or(RecordError::BadCount(header.record_count))?;
            if *stays {
                put_record(&mut body, &whole[..whole.len() - rest.len()], header.base_timestamp, base)?;
            }
        }
        let body = codec::compress(header.attributes.compression()?, &body, None)?;
        let count = i32::try_from(self.left.records).map_err(|_| RecordError::BadCount(header.record_count))?;
        let mut rewritten = with_body(&self.batch, &body, count)?;
        if let Some(horizon) = horizon {
            let attributes = header.attributes.0 | Attributes::DELETE_HORIZON;
            put(&mut rewritten, ATTRIBUTES_AT, attributes.to_be_bytes());
            put(&mut rewritten, BASE_TIMESTAMP_AT, horizon.0.to_be_bytes());
        }
        if count > 0 && header.attributes.timestamp_type() == TimestampType::CreateTime {
            put(&mut rewritten, MAX_TIMESTAMP_AT, self.latest.0.to_be_bytes());
        }
        write_crc(&mut rewritten);
        Ok(Bytes::from(rewritten))
    }
}

/// The batch without the records at `dropped` (indexes within the batch). Decompresses to at most `limit` bytes.
///
/// # Errors
/// As [`sift`] and [`Sifted::rewrite`].
pub fn without(batch: &Bytes, limit: usize, dropped: &HashSet<i32>) -> Result<Bytes, RecordError> {
    let mut index = -1;
    let sifted = sift(batch, limit, |_| {
        index += 1;
        !dropped.contains(&index)
    })?;
    sifted.rewrite(None)
}

/// The batch without any record: it remembers its producer's last sequence (DefaultRecordBatch.writeEmptyHeader).
///
/// # Errors
/// [`RecordError`] when the batch does not read.
pub fn emptied(batch: &Bytes) -> Result<Bytes, RecordError> {
    let header = BatchHeader::parse(batch)?;
    let mut empty = with_body(batch, &[], 0)?;
    let attributes = header.attributes.0 & !(Attributes::COMPRESSION | Attributes::DELETE_HORIZON);
    put(&mut empty, ATTRIBUTES_AT, attributes.to_be_bytes());
    put(&mut empty, BASE_TIMESTAMP_AT, Timestamp::NONE.0.to_be_bytes());
    write_crc(&mut empty);
    Ok(Bytes::from(empty))
}

/// The header of `batch` before other records; its CRC is still to be written.
pub(super) fn with_body(batch: &Bytes, body: &[u8], count: i32) -> Result<Vec<u8>, RecordError> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend_from_slice(batch.get(..HEADER_BYTES).unwrap_or_default());
    bytes.extend_from_slice(body);
    let length = i32::try_from(bytes.len() - LOG_OVERHEAD).map_err(|_| RecordError::TooLarge { limit: i32::MAX as usize })?;
    put(&mut bytes, LENGTH_AT, length.to_be_bytes());
    put(&mut bytes, RECORD_COUNT_AT, count.to_be_bytes());
    Ok(bytes)
}

/// Copies one encoded record, whose time is counted from `from`, so that it counts from `to`.
fn put_record(body: &mut Vec<u8>, record: &[u8], from: Timestamp, to: Timestamp) -> Result<(), RecordError> {
    if from == to {
        body.extend_from_slice(record);
        return Ok(());
    }
    let mut rest = record;
    take_varint(&mut rest)?;
    let (attributes, mut rest) =
        rest.split_first().ok_or_else(|| RecordError::BadRecord("it ends before its attributes".to_owned()))?;
    let delta = take_varlong(&mut rest)?;
    let mut fields = vec![*attributes];
    put_varint(&mut fields, from.plus_ms(delta).ms_since(to));
    fields.extend_from_slice(rest);
    let length = i64::try_from(fields.len()).unwrap_or(i64::MAX);
    put_varint(body, length);
    body.extend_from_slice(&fields);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Offset, ProducerEpoch, ProducerId};
    use crate::records::header::{stamp, verify_crc};
    use crate::records::iterate::records;
    use crate::records::{BatchBuilder, Compression};

    const LIMIT: usize = 1 << 20;

    fn batch(compression: Compression) -> Bytes {
        let values: [(&[u8], Option<&[u8]>); 4] = [(b"a", Some(b"1")), (b"b", None), (b"c", Some(b"3")), (b"d", Some(b"4"))];
        let mut builder =
            BatchBuilder::new(Timestamp(1_000)).producer(ProducerId(7), ProducerEpoch(2), 5).compression(compression);
        for (number, (key, value)) in (0_i64..).zip(values) {
            builder = builder.record_at(Timestamp(1_000 + number * 500), Some(key), value, &[("h", Some(b"v"))]);
        }
        let mut bytes = builder.build().to_vec();
        stamp(&mut bytes, Offset(40), crate::ids::LeaderEpoch(0));
        Bytes::from(bytes)
    }

    fn shown(batch: &Bytes) -> Vec<(i64, i64, Option<Bytes>)> {
        let read = |record: Result<crate::records::Record, RecordError>| record.expect("reads");
        records(batch, LIMIT).expect("reads").map(read).map(|one| (one.offset.0, one.timestamp.0, one.value)).collect()
    }

    #[test]
    fn what_stays_keeps_offset_time_and_sequence_in_every_codec() {
        for codec in [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
            let whole = batch(codec);
            for horizon in [None, Some(Timestamp(90_000_000))] {
                let keep = |raw: RawRecord<'_>| matches!(raw.key, Some(b"b" | b"c"));
                let sifted = sift(&whole, LIMIT, keep).expect("reads");
                assert_eq!(sifted.left(), Left { records: 2, tombstones: 1 });
                let left = sifted.rewrite(horizon).expect("rewrites");
                let header = BatchHeader::parse(&left).expect("a batch");
                verify_crc(&left, &header).expect("its CRC is right");
                assert_eq!((header.base_offset, header.last_offset(), header.record_count), (Offset(40), Offset(43), 2));
                assert_eq!((header.base_sequence, header.last_sequence()), (5, 8), "{codec}");
                assert_eq!(header.max_timestamp, Timestamp(2_000), "the largest of those that stayed");
                assert_eq!(header.attributes.has_delete_horizon(), horizon.is_some());
                assert_eq!(header.base_timestamp, horizon.unwrap_or(Timestamp(1_000)));
                assert_eq!(shown(&left), [(41, 1_500, None), (42, 2_000, Some(Bytes::from_static(b"3")))], "{codec}");
                let again = sift(&left, LIMIT, |raw| raw.value.is_some())
                    .and_then(|sifted| sifted.rewrite(None))
                    .expect("rewrites again");
                assert_eq!(shown(&again), [(42, 2_000, Some(Bytes::from_static(b"3")))], "the horizon stays the base");
            }
        }
    }

    #[test]
    fn an_emptied_batch_remembers_its_producer() {
        let empty = emptied(&batch(Compression::Lz4)).expect("empties");
        let header = BatchHeader::parse(&empty).expect("a batch");
        verify_crc(&empty, &header).expect("its CRC is right");
        assert_eq!((empty.len(), header.record_count), (HEADER_BYTES, 0));
        assert_eq!((header.base_offset, header.last_offset()), (Offset(40), Offset(43)));
        assert_eq!((header.producer(), header.last_sequence()), (Some(ProducerId(7)), 8));
        assert!(shown(&empty).is_empty());
    }

    #[test]
    fn a_damaged_batch_is_an_error() {
        let whole = batch(Compression::None);
        let cut = whole.slice(..whole.len() - 3);
        assert!(sift(&cut, LIMIT, |_| true).is_err());
        let mut garbled = whole.to_vec();
        garbled[HEADER_BYTES] = 0xff;
        assert!(sift(&Bytes::from(garbled), LIMIT, |_| true).is_err());
    }
}
