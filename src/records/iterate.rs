//! The records inside a batch: read one at a time, checked against the bytes that are there before anything is allocated.
//!
//! ```text
//! record: length varint | attributes i8 | timestamp delta varlong | offset delta varint | key | value | header count varint | headers
//! key, value: length varint (−1: null) | bytes      header: name length varint | name | value length varint (−1: null) | value
//! ```

use super::header::{BatchHeader, HEADER_BYTES, TimestampType};
use super::varint::{ShortNumbers, take_varint, take_varlong};
use super::{Compression, RecordError, codec};
use crate::ids::{Offset, Timestamp};
use bytes::Bytes;

/// The smallest record: seven fields of one byte.
const RECORD_BYTES_MIN: usize = 7;
/// The smallest header: an empty name and a null value.
const RECORD_HEADER_BYTES_MIN: usize = 2;

/// One record; its bytes are shared with the batch (or with what the batch decompressed to).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub offset: Offset,
    /// With LogAppendTime the batch's max timestamp.
    pub timestamp: Timestamp,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Headers,
}

/// A record's headers (KIP-82), checked but still encoded: two bytes on the wire would be 64 in a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers {
    encoded: Bytes,
    count: usize,
}

impl Headers {
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of all of them as they are encoded.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        self.encoded.len()
    }

    /// Name and value of each header, in order; names may repeat.
    pub fn iter(&self) -> impl Iterator<Item = (Bytes, Option<Bytes>)> + '_ {
        let mut left: &[u8] = &self.encoded;
        (0..self.count).map_while(move |_| {
            let (name, value) = take_header(&mut left).ok()?;
            Some((self.encoded.slice_ref(name), value.map(|value| self.encoded.slice_ref(value))))
        })
    }
}

/// Whether one of the batches that lie behind one another here is compressed.
#[must_use]
pub fn has_compressed(mut batches: &[u8]) -> bool {
    while let Ok(header) = BatchHeader::parse(batches) {
        if header.attributes.compression() != Ok(Compression::None) {
            return true;
        }
        batches = batches.get(header.batch_bytes..).unwrap_or_default();
    }
    false
}

/// The records of one batch, in order; ends after the first error.
#[derive(Debug)]
pub struct RecordIter {
    header: BatchHeader,
    payload: Bytes,
    /// Bytes of `payload` already read.
    position: usize,
    /// Records still to come.
    remaining: usize,
}

/// Reads one whole batch; decompresses it to at most `limit` bytes (an uncompressed batch is shared and not limited).
///
/// Answers the errors of [`BatchHeader::parse`] and [`codec::decompress`], and [`RecordError::BadCount`] for a count that the bytes
/// cannot hold. The CRC is not checked. Errors inside a record come from the iterator.
pub fn records(batch: &Bytes, limit: usize) -> Result<RecordIter, RecordError> {
    let header = BatchHeader::parse(batch)?;
    let payload = codec::decompress(header.attributes.compression()?, &batch.slice(HEADER_BYTES..header.batch_bytes), limit)?;
    let remaining = usize::try_from(header.record_count)
        .ok()
        .filter(|count| count.saturating_mul(RECORD_BYTES_MIN) <= payload.len())
        .ok_or(RecordError::BadCount(header.record_count))?;
    Ok(RecordIter { header, payload, position: 0, remaining })
}

impl Iterator for RecordIter {
    type Item = Result<Record, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance(|raw, iter| Record {
            offset: raw.offset,
            timestamp: raw.timestamp,
            key: raw.key.map(|key| iter.payload.slice_ref(key)),
            value: raw.value.map(|value| iter.payload.slice_ref(value)),
            headers: Headers { encoded: iter.payload.slice_ref(raw.headers), count: raw.header_count },
        });
        next.transpose()
    }
}

impl RecordIter {
    /// Bytes of all records, as they are after decompression.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.payload.len()
    }

    pub(super) fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// All records, decompressed.
    pub(super) fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Reads the next record and hands it to `take` as borrowed fields; `None` at the end. After an error there is nothing left.
    pub(super) fn advance<T>(&mut self, take: impl FnOnce(RawRecord<'_>, &RecordIter) -> T) -> Result<Option<T>, RecordError> {
        let mut left = self.payload.get(self.position..).unwrap_or_default();
        let available = left.len();
        if self.remaining == 0 {
            self.position = self.payload.len();
            return self.end(left).map(|()| None);
        }
        match take_plain(&mut left, &self.header).map_or_else(|| take_record(&mut left, &self.header), Ok) {
            Ok(raw) => {
                let consumed = available - left.len();
                let taken = take(raw, self);
                self.position += consumed;
                self.remaining -= 1;
                Ok(Some(taken))
            }
            Err(error) => {
                self.position = self.payload.len();
                self.remaining = 0;
                Err(error)
            }
        }
    }

    /// Shows each record that is left to `look`, to the first error: its own, or one of `look`.
    #[inline]
    fn show_rest(&self, mut look: impl FnMut(RawRecord<'_>) -> Result<(), RecordError>) -> Result<(), RecordError> {
        let mut left = self.payload.get(self.position..).unwrap_or_default();
        for _ in 0..self.remaining {
            // Apart, so that a plain record stays in registers, and of its fields only those that `look` looks at: a third of the time.
            match take_plain(&mut left, &self.header) {
                Some(raw) => look(raw)?,
                None => look(take_record(&mut left, &self.header)?)?,
            }
        }
        self.end(left)
    }

    /// What there is to say when all records are read and these bytes are left.
    fn end(&self, left: &[u8]) -> Result<(), RecordError> {
        if left.is_empty() { Ok(()) } else { Err(RecordError::BadCount(self.header.record_count)) }
    }
}

/// How many records of a batch are named: a small compressed batch may hold millions, and each costs a line in the answer.
pub const NAMED_MAX: usize = 1000;

/// What a topic demands of records, besides that they can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demands {
    /// A key: the topic is compacted.
    pub key: bool,
    /// A timestamp between these two, both allowed.
    pub timestamps: [Timestamp; 2],
}

impl Demands {
    pub const NONE: Demands = Demands { key: false, timestamps: [Timestamp(i64::MIN), Timestamp(i64::MAX)] };

    /// Whether a record may have this timestamp; it may always have none (LogValidator.validateTimestamp).
    #[must_use]
    pub fn allows(&self, timestamp: Timestamp) -> bool {
        let [earliest, latest] = self.timestamps;
        (earliest..=latest).contains(&timestamp) || timestamp == Timestamp::NONE
    }
}

/// What [`validate_records`] learned on its way through a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Indexes within the batch of records without the key that is demanded, the first [`NAMED_MAX`] of them.
    pub keyless: Vec<i32>,
    /// Index and timestamp of the others whose timestamp is not allowed, the first [`NAMED_MAX`] of them.
    pub misdated: Vec<(i32, Timestamp)>,
    pub max_timestamp: Timestamp,
}

/// Reads every record of a batch that a producer sent, and checks that their offsets are 0, 1, 2 … without gaps.
///
/// Records that do not meet the `demands` are listed, not an error, because the answer names each. An empty batch is [`RecordError::BadCount`].
/// Cost: decompression to at most `limit` bytes and one pass. Source: LogValidator.validateBatch, validateRecord.
pub fn validate_records(header: &BatchHeader, batch: &Bytes, limit: usize, demands: &Demands) -> Result<Summary, RecordError> {
    if header.record_count < 1 || header.last_offset_delta != header.record_count - 1 {
        return Err(RecordError::BadCount(header.record_count));
    }
    let mut summary = Summary { keyless: Vec::new(), misdated: Vec::new(), max_timestamp: Timestamp::NONE };
    let mut index = 0_i32;
    records(batch, limit)?.show_rest(|raw| {
        if raw.offset_delta != index {
            return Err(gap(index, raw.offset_delta));
        }
        if demands.key && raw.key.is_none() {
            name(&mut summary.keyless, index);
        } else if !demands.allows(raw.timestamp) {
            name(&mut summary.misdated, (index, raw.timestamp));
        }
        summary.max_timestamp = summary.max_timestamp.max(raw.timestamp);
        index = index.saturating_add(1);
        Ok(())
    })?;
    Ok(summary)
}

#[cold]
fn gap(index: i32, offset_delta: i32) -> RecordError {
    RecordError::BadRecord(format!("record {index} of the batch has offset delta {offset_delta}"))
}

#[cold]
fn name<T>(named: &mut Vec<T>, record: T) {
    if named.len() < NAMED_MAX {
        named.push(record);
    }
}

/// The first record of a batch that is at or after `time` and not before offset `from`; `None` when there is none. Decompresses to at most
/// `limit` bytes, and nothing where the header says that all records are older; one that has more answers with its first offset and its largest
/// timestamp. Source: FileRecords.searchForTimestamp.
pub fn first_at_time(
    batch: &Bytes,
    limit: usize,
    time: Timestamp,
    from: Offset,
) -> Result<Option<(Offset, Timestamp)>, RecordError> {
    let header = BatchHeader::parse(batch)?;
    // What was stored before largest timestamps were put right may say less than its records.
    if header.max_timestamp >= header.base_timestamp && header.max_timestamp < time {
        return Ok(None);
    }
    let look = || {
        let mut iter = records(batch, limit)?;
        while let Some(found) = iter.advance(|raw, _| (raw.offset, raw.timestamp))? {
            if found.1 >= time && found.0 >= from {
                return Ok(Some(found));
            }
        }
        Ok(None)
    };
    match look() {
        Err(RecordError::TooLarge { .. }) => {
            Ok(Some((header.base_offset.max(from), header.max_timestamp)).filter(|found| found.1 >= time))
        }
        found => found,
    }
}

/// The first record with the largest timestamp of a batch; a batch that compaction emptied answers with its last offset and max
/// timestamp, and one of more than `limit` bytes once decompressed with its first offset and that. Source: KIP-734; RecordBatch.offsetOfMaxTimestamp.
pub fn max_at(batch: &Bytes, limit: usize) -> Result<(Offset, Timestamp), RecordError> {
    let look = || {
        let mut iter = records(batch, limit)?;
        let mut latest: Option<(Offset, Timestamp)> = None;
        while let Some(found) = iter.advance(|raw, _| (raw.offset, raw.timestamp))? {
            if latest.is_none_or(|latest| found.1 > latest.1) {
                latest = Some(found);
            }
        }
        Ok(latest.unwrap_or((iter.header.last_offset(), iter.header.max_timestamp)))
    };
    match look() {
        Err(RecordError::TooLarge { .. }) => BatchHeader::parse(batch).map(|header| (header.base_offset, header.max_timestamp)),
        found => found,
    }
}

/// A record whose fields still lie in the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawRecord<'a> {
    pub offset: Offset,
    /// From the batch's first offset.
    pub offset_delta: i32,
    pub timestamp: Timestamp,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    /// Checked, and still encoded.
    headers: &'a [u8],
    header_count: usize,
}

impl<'a> RawRecord<'a> {
    /// The value of the last header of this name (Headers.lastHeader); a null one counts as none.
    #[must_use]
    pub fn header(&self, name: &[u8]) -> Option<&'a [u8]> {
        let mut left = self.headers;
        let mut last = None;
        for _ in 0..self.header_count {
            let (own, value) = take_header(&mut left).ok()?;
            if own == name {
                last = value;
            }
        }
        last
    }
}

/// Shows each record of a batch to `look`, in order, without counting references to the batch. Decompresses to at most `limit` bytes.
///
/// # Errors
/// As [`records`] and its iterator, and what `look` answers.
pub fn each(batch: &Bytes, limit: usize, look: impl FnMut(RawRecord<'_>) -> Result<(), RecordError>) -> Result<(), RecordError> {
    records(batch, limit)?.show_rest(look)
}

/// As [`take_record`], for a record as nearly all are: none of its numbers before the headers takes more than three bytes, and it does not
/// lie in the last few bytes. `None`, and nothing taken, for any other one and for a malformed one.
///
/// Every record that a producer sends comes by here: with small records, this is much of what producing them costs.
#[inline(always)]
fn take_plain<'a>(input: &mut &'a [u8], header: &BatchHeader) -> Option<RawRecord<'a>> {
    let bytes = *input;
    let mut numbers = ShortNumbers::at(bytes, 0)?;
    let length = usize::try_from(numbers.take()?).ok()?;
    let end = numbers.place() + length;
    // The attributes.
    numbers.skip(1);
    let timestamp_delta = numbers.take()?;
    let mut numbers = ShortNumbers::at(bytes, numbers.place())?;
    let offset_delta = numbers.take()?;
    if !(0..=header.last_offset_delta).contains(&offset_delta) {
        return None;
    }
    let key = match numbers.take()? {
        -1 => None,
        length => Some(field(bytes, numbers.place(), length)?),
    };
    let mut numbers = ShortNumbers::at(bytes, numbers.place() + key.map_or(0, <[u8]>::len))?;
    let (value, at) = match numbers.take()? {
        -1 => (None, numbers.place()),
        length => {
            let value = field(bytes, numbers.place(), length)?;
            (Some(value), numbers.place() + value.len())
        }
    };
    // That its last field ends where the record does says that none of them goes beyond it.
    let (headers, header_count) = match *bytes.get(at)? {
        0 if at + 1 == end => (<&[u8]>::default(), 0),
        _ => take_headers(bytes.get(at..end)?).ok()?,
    };
    *input = bytes.get(end..)?;
    Some(raw_record(header, i64::from(timestamp_delta), offset_delta, [key, value], headers, header_count))
}

/// `length` bytes at `at`.
#[inline(always)]
fn field(bytes: &[u8], at: usize, length: i32) -> Option<&[u8]> {
    bytes.get(at..)?.get(..usize::try_from(length).ok()?)
}

#[cold]
fn take_record<'a>(input: &mut &'a [u8], header: &BatchHeader) -> Result<RawRecord<'a>, RecordError> {
    let length = take_varint(input)?;
    let mut body = take_bytes(input, length, "record")?;
    // Record attributes have no meaning yet; Kafka ignores them too.
    let _attributes = take_bytes(&mut body, 1, "attributes")?;
    let timestamp_delta = take_varlong(&mut body)?;
    let offset_delta = take_varint(&mut body)?;
    if !(0..=header.last_offset_delta).contains(&offset_delta) {
        let last = header.last_offset_delta;
        return Err(RecordError::BadRecord(format!("offset delta {offset_delta} lies outside its batch of 0 to {last}")));
    }
    let key = take_nullable(&mut body, "key")?;
    let value = take_nullable(&mut body, "value")?;
    let (headers, header_count) = take_headers(body)?;
    Ok(raw_record(header, timestamp_delta, offset_delta, [key, value], headers, header_count))
}

#[inline(always)]
fn raw_record<'a>(
    header: &BatchHeader,
    timestamp_delta: i64,
    offset_delta: i32,
    [key, value]: [Option<&'a [u8]>; 2],
    headers: &'a [u8],
    header_count: usize,
) -> RawRecord<'a> {
    let timestamp = match header.attributes.timestamp_type() {
        TimestampType::LogAppendTime => header.max_timestamp,
        TimestampType::CreateTime => header.base_timestamp.plus_ms(timestamp_delta),
    };
    let offset = Offset(header.base_offset.0.saturating_add(i64::from(offset_delta)));
    RawRecord { offset, offset_delta, timestamp, key, value, headers, header_count }
}

/// Checks the headers at the end of a record, which must fill it; answers their bytes and number.
fn take_headers(mut body: &[u8]) -> Result<(&[u8], usize), RecordError> {
    let claimed = take_varint(&mut body)?;
    let count = usize::try_from(claimed)
        .ok()
        .filter(|count| count.saturating_mul(RECORD_HEADER_BYTES_MIN) <= body.len())
        .ok_or_else(|| RecordError::BadRecord(format!("it claims {claimed} headers in {} bytes", body.len())))?;
    let headers = body;
    for _ in 0..count {
        take_header(&mut body)?;
    }
    if !body.is_empty() {
        return Err(RecordError::BadRecord(format!("{} bytes are left after its last field", body.len())));
    }
    Ok((headers, count))
}

fn take_header<'a>(input: &mut &'a [u8]) -> Result<(&'a [u8], Option<&'a [u8]>), RecordError> {
    let name_length = take_varint(input)?;
    let name = take_bytes(input, name_length, "header name")?;
    Ok((name, take_nullable(input, "header value")?))
}

fn take_nullable<'a>(input: &mut &'a [u8], field: &str) -> Result<Option<&'a [u8]>, RecordError> {
    match take_varint(input)? {
        -1 => Ok(None),
        length => take_bytes(input, length, field).map(Some),
    }
}

fn take_bytes<'a>(input: &mut &'a [u8], length: i32, field: &str) -> Result<&'a [u8], RecordError> {
    let split = usize::try_from(length).ok().and_then(|length| input.split_at_checked(length));
    let (taken, rest) =
        split.ok_or_else(|| RecordError::BadRecord(format!("its {field} claims {length} bytes, {} are left", input.len())))?;
    *input = rest;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::BatchBuilder;

    /// Goal: the short way answers what the long way does, or nothing. Method: records of many sizes, whole, cut, and with each of the first and
    /// last bytes replaced by every other one.
    #[test]
    fn a_plain_record_is_read_as_any_other_one() {
        let sizes = [0, 1, 50, 64, 8_200];
        for (key, value) in sizes.into_iter().flat_map(|key| sizes.map(|value| (key, value))) {
            let (key, value) = (vec![b'k'; key], vec![b'v'; value]);
            let headers: [(&str, Option<&[u8]>); 2] = [("a", None), ("name", Some(b"value"))];
            let batch = BatchBuilder::new(Timestamp(1000))
                .record(Some(&key), Some(&value))
                .record_at(Timestamp(1_000_000), None, None, &headers)
                .record_at(Timestamp(5_000_000_000), Some(&key), None, &[])
                .build();
            let header = BatchHeader::parse(&batch).expect("a batch");
            let mut payload = &batch[HEADER_BYTES..];
            assert!(take_plain(&mut payload, &header).is_some(), "the first is plain");
            assert!(take_plain(&mut payload, &header).is_some(), "the second, with headers, is plain");
            assert!(take_plain(&mut payload, &header).is_none(), "the third is more than 2^20 ms later");
            let payload = &batch[HEADER_BYTES..];
            // The middle is mostly value.
            let places = (0..payload.len()).filter(|place| *place < 40 || *place + 40 > payload.len());
            for place in places {
                compare(&payload[..place], &header);
                let mut changed = payload.to_vec();
                for byte in 0..=u8::MAX {
                    changed[place] = byte;
                    compare(&changed, &header);
                }
            }
        }
    }

    /// Goal: no number is read beyond the bytes that were looked at together. Method: every number of a record in one to four bytes, which is
    /// allowed however small it is.
    #[test]
    fn numbers_that_are_longer_than_they_need_be_are_read_as_any_other_ones() {
        let number = |value: i32, bytes: usize| {
            let mut raw = ((value << 1) ^ (value >> 31)).cast_unsigned();
            let encoded = (1..=bytes).map(|place| {
                let byte = (raw & 0x7f) as u8 | if place < bytes { 0x80 } else { 0 };
                raw >>= 7;
                byte
            });
            encoded.collect::<Vec<u8>>()
        };
        let batch = BatchBuilder::new(Timestamp(1000)).record(None, None).record(None, None).build();
        let header = BatchHeader::parse(&batch).expect("a batch");
        let (mut plain, mut others) = (0, 0);
        for widths in 0..4_usize.pow(6) {
            let width = |field: u32| widths / 4_usize.pow(field) % 4 + 1;
            for (key, value) in [(-1, -1), (-1, 5), (5, -1), (5, 5)] {
                let bytes = |length: i32| vec![7; usize::try_from(length).unwrap_or(0)];
                let fields = [number(1, width(1)), number(1, width(2)), number(key, width(3)), bytes(key)];
                let more = [number(value, width(4)), bytes(value), number(0, width(5))];
                let body = [vec![0], fields.concat(), more.concat()].concat();
                let record = [number(i32::try_from(body.len()).expect("few"), width(0)), body].concat();
                let payload = [record.clone(), record.clone(), vec![0; 8]].concat();
                compare(&payload, &header);
                match take_plain(&mut payload.as_slice(), &header) {
                    Some(_) => plain += 1,
                    None => others += 1,
                }
            }
        }
        assert!(plain > 3000 && others > 3000, "both ways are taken: {plain}, {others}");
    }

    /// Both ways through `payload`, as far as the long one comes.
    fn compare(mut payload: &[u8], header: &BatchHeader) {
        loop {
            let (mut plain, mut any) = (payload, payload);
            let short = take_plain(&mut plain, header);
            let long = take_record(&mut any, header);
            match short {
                Some(raw) => assert_eq!((Ok(raw), plain), (long.clone(), any)),
                None => assert_eq!(plain, payload, "nothing is taken"),
            }
            if long.is_err() {
                return;
            }
            payload = any;
        }
    }
}
