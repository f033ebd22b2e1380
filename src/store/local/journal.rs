//! The bytes of a commit: encoding, decoding, and reading commits back from a segment. Pure but for [`SegmentReader`].
//!
//! ```text
//! at (a multiple of 512)
//! | commit header 96 | record header 56 | … | record header 56 | batch | batch | … |   pad to 512 (not written)
//!
//! commit header   magic 4, crc 4, seq 8, at 8, salt 8, previous end (seq 8, at 8), durable (seq 8, at 8),
//!                 total bytes 8, records 4, zeros 20
//! record header   log 8, fence 8, first 8, last 8, max timestamp 8, length 4, suffix from 4, suffix crc 4, kind 4
//! mark            id 16, made 8, expires 8, note 4, zeros 16, kind 4      behind the header of the record that bears it; counts as a record
//! ```
//! * `crc` covers the rest of the header, all record headers, and the bytes of each batch before `suffix from` (few). The suffixes are
//!   covered by the checksums that the callers had verified, so writing passes over no payload.
//! * `previous end` chains commits: a commit is next only if it names the end of the one before it, also across segments. So a
//!   segment that was left with room to spare needs no end mark, and a stale commit that happens to line up is not followed.
//! * `durable` is what was known to be on disk when the commit was written: a bad place below it is damage, not a torn tail.

use super::fields::Fields;
use super::segment::{Position, SEGMENT_HEADER_BYTES, Segment};
use crate::ids::{Fence, LogId, Offset, Timestamp};
use crate::store::{Mark, SuffixChecksum};
use std::io;
use std::os::unix::fs::FileExt;

pub(super) const COMMIT_HEADER_BYTES: usize = 96;
const RECORD_HEADER_BYTES: usize = 56;
/// What one record takes at most beside its batch.
pub(super) const TABLE_BYTES_MAX: usize = 2 * RECORD_HEADER_BYTES;
/// Commits start at multiples of this: a device's sector, so that a torn write of one cannot touch another.
pub(super) const ALIGNMENT: u64 = 512;
const MAGIC: u32 = u32::from_le_bytes(*b"FBFc");
const KIND_NEW: u32 = 0;
const KIND_MOVED: u32 = 1;
const KIND_MARK: u32 = 2;
const KIND_REWRITTEN: u32 = 3;
const KIND_REMOVED: u32 = 4;
const SCAN_BLOCK_BYTES: usize = 1024 * 1024;

/// What a commit says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CommitHeader {
    pub at: Position,
    pub salt: u64,
    pub previous: Position,
    pub durable: Position,
    /// Header, record headers and batches; set by [`encode`].
    pub total: u64,
    /// Set by [`encode`].
    pub records: u32,
}

impl CommitHeader {
    /// Where the next commit of the segment may start.
    pub fn end(&self) -> Position {
        Position { seq: self.at.seq, at: (self.at.at + self.total).next_multiple_of(ALIGNMENT) }
    }
}

/// What a record does to its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordKind {
    /// The batch is appended.
    New,
    /// An older copy of the batch exists or existed in another segment.
    Moved,
    /// The batch takes the place of the one at the same offsets.
    Rewritten,
    /// There is no batch; those within the offsets are removed.
    Removed,
}

/// What the journal says about one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub log: LogId,
    pub fence: Fence,
    pub first: Offset,
    pub last: Offset,
    pub max_timestamp: Timestamp,
    pub length: u32,
    pub checksum: SuffixChecksum,
    pub kind: RecordKind,
    pub mark: Option<Mark>,
}

/// What a record takes beside its batch.
pub(super) fn table_bytes(has_mark: bool) -> usize {
    if has_mark { TABLE_BYTES_MAX } else { RECORD_HEADER_BYTES }
}

/// Writes the commit's header and record headers into `buffer` (which is cleared first), and completes `header`. The batches
/// follow on disk, in order; they are only read up to where their own checksum starts.
pub(super) fn encode<'a>(
    buffer: &mut Vec<u8>,
    header: &mut CommitHeader,
    records: impl Iterator<Item = (Record, &'a [u8])> + Clone,
) {
    buffer.clear();
    buffer.resize(COMMIT_HEADER_BYTES, 0);
    let (mut payload, mut count) = (0u64, 0u32);
    for (record, batch) in records.clone() {
        put_record(buffer, &record);
        payload += batch.len() as u64;
        count += 1;
        if let Some(mark) = record.mark {
            put_mark(buffer, &mark);
            count += 1;
        }
    }
    header.records = count;
    header.total = buffer.len() as u64 + payload;
    put_header(buffer, header);
    let crc = records.fold(crc32c::crc32c(&buffer[8..]), |crc, (record, batch)| {
        crc32c::crc32c_append(crc, head(batch, record.checksum.from).unwrap_or(batch))
    });
    buffer[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// The part of a batch that the commit's checksum covers.
fn head(batch: &[u8], suffix_from: u32) -> Option<&[u8]> {
    batch.get(..usize::try_from(suffix_from).ok()?)
}

fn put_record(buffer: &mut Vec<u8>, record: &Record) {
    buffer.extend_from_slice(&record.log.0.to_le_bytes());
    buffer.extend_from_slice(&record.fence.0.to_le_bytes());
    buffer.extend_from_slice(&record.first.0.to_le_bytes());
    buffer.extend_from_slice(&record.last.0.to_le_bytes());
    buffer.extend_from_slice(&record.max_timestamp.0.to_le_bytes());
    buffer.extend_from_slice(&record.length.to_le_bytes());
    buffer.extend_from_slice(&record.checksum.from.to_le_bytes());
    buffer.extend_from_slice(&record.checksum.crc.to_le_bytes());
    let kind = match record.kind {
        RecordKind::New => KIND_NEW,
        RecordKind::Moved => KIND_MOVED,
        RecordKind::Rewritten => KIND_REWRITTEN,
        RecordKind::Removed => KIND_REMOVED,
    };
    buffer.extend_from_slice(&kind.to_le_bytes());
}

fn put_mark(buffer: &mut Vec<u8>, mark: &Mark) {
    buffer.extend_from_slice(&mark.id.to_le_bytes());
    buffer.extend_from_slice(&mark.made.0.to_le_bytes());
    buffer.extend_from_slice(&mark.expires.0.to_le_bytes());
    buffer.extend_from_slice(&mark.note.to_le_bytes());
    buffer.extend_from_slice(&[0; 16]);
    buffer.extend_from_slice(&KIND_MARK.to_le_bytes());
}

/// `buffer` begins with `COMMIT_HEADER_BYTES` zeros.
fn put_header(buffer: &mut [u8], header: &CommitHeader) {
    let numbers = [
        header.at.seq,
        header.at.at,
        header.salt,
        header.previous.seq,
        header.previous.at,
        header.durable.seq,
        header.durable.at,
        header.total,
    ];
    buffer[..4].copy_from_slice(&MAGIC.to_le_bytes());
    for (place, number) in buffer[8..72].chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    buffer[72..76].copy_from_slice(&header.records.to_le_bytes());
}

/// Reads what `bytes` says of itself, if it looks like a commit of this very segment at this very place; nothing is verified yet.
pub(super) fn peek(bytes: &[u8], segment: &Segment, at: u64) -> Option<CommitHeader> {
    let mut fields = Fields(bytes);
    if fields.u32()? != MAGIC {
        return None;
    }
    fields.u32()?;
    let header = CommitHeader {
        at: Position { seq: fields.u64()?, at: fields.u64()? },
        salt: fields.u64()?,
        previous: Position { seq: fields.u64()?, at: fields.u64()? },
        durable: Position { seq: fields.u64()?, at: fields.u64()? },
        total: fields.u64()?,
        records: fields.u32()?,
    };
    let is_ours = header.at == Position { seq: segment.seq, at } && header.salt == segment.salt;
    let table = u64::from(header.records) * RECORD_HEADER_BYTES as u64 + COMMIT_HEADER_BYTES as u64;
    let fits = header.total >= table && header.total <= segment.bytes.saturating_sub(at);
    (is_ours && fits).then_some(header)
}

/// One batch of a commit that was read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub record: Record,
    /// Where the batch starts, counted from the start of the commit.
    pub from: usize,
}

impl Found {
    /// The batch, out of the bytes of its commit.
    pub fn batch<'a>(&self, commit: &'a [u8]) -> Option<&'a [u8]> {
        commit.get(self.from..)?.get(..usize::try_from(self.record.length).ok()?)
    }

    /// Whether the caller's checksum still holds.
    pub fn is_intact(&self, commit: &[u8]) -> bool {
        let suffix = || self.batch(commit)?.get(usize::try_from(self.record.checksum.from).ok()?..);
        suffix().is_some_and(|suffix| crc32c::crc32c(suffix) == self.record.checksum.crc)
    }
}

/// Verifies header, record headers and heads of the commit `bytes` (exactly `header.total` of them); `None` when they do not hold.
pub(super) fn decode(bytes: &[u8], header: &CommitHeader) -> Option<Vec<Found>> {
    let count = usize::try_from(header.records).ok()?;
    let table = count.checked_mul(RECORD_HEADER_BYTES)?;
    let mut from = COMMIT_HEADER_BYTES.checked_add(table)?;
    let headers = bytes.get(COMMIT_HEADER_BYTES..from)?;
    let mut crc = crc32c::crc32c(bytes.get(8..from)?);
    let mut found: Vec<Found> = Vec::with_capacity(count);
    for header in headers.chunks_exact(RECORD_HEADER_BYTES) {
        if header.ends_with(&KIND_MARK.to_le_bytes()) {
            let marked = &mut found.last_mut()?.record;
            if marked.mark.replace(take_mark(header)?).is_some() {
                return None;
            }
            continue;
        }
        let item = Found { record: take_record(&mut Fields(header))?, from };
        let batch = item.batch(bytes)?;
        crc = crc32c::crc32c_append(crc, head(batch, item.record.checksum.from)?);
        from += batch.len();
        found.push(item);
    }
    let written = Fields(bytes.get(4..)?).u32()?;
    (from == bytes.len() && crc == written).then_some(found)
}

fn take_record(fields: &mut Fields<'_>) -> Option<Record> {
    Some(Record {
        log: LogId(fields.u64()?),
        fence: Fence(fields.u64()?),
        first: fields.offset()?,
        last: fields.offset()?,
        max_timestamp: fields.timestamp()?,
        length: fields.u32()?,
        checksum: SuffixChecksum { from: fields.u32()?, crc: fields.u32()? },
        kind: match fields.u32()? {
            KIND_NEW => RecordKind::New,
            KIND_MOVED => RecordKind::Moved,
            KIND_REWRITTEN => RecordKind::Rewritten,
            KIND_REMOVED => RecordKind::Removed,
            _ => return None,
        },
        mark: None,
    })
}

fn take_mark(header: &[u8]) -> Option<Mark> {
    let (id, rest) = header.split_first_chunk::<16>()?;
    let mut fields = Fields(rest);
    Some(Mark { id: u128::from_le_bytes(*id), made: fields.timestamp()?, expires: fields.timestamp()?, note: fields.u32()? })
}

/// A commit whose header, record headers and heads hold. The payloads may still be torn: see [`Found::is_intact`].
#[derive(Debug)]
pub(super) struct Commit {
    pub header: CommitHeader,
    pub found: Vec<Found>,
}

/// Reads commits of one segment, one at a time; keeps the bytes of the last one. Memory: the largest commit read.
#[derive(Debug)]
pub(super) struct SegmentReader {
    pub segment: Segment,
    bytes: Vec<u8>,
}

impl SegmentReader {
    pub fn new(segment: Segment) -> SegmentReader {
        SegmentReader { segment, bytes: Vec::new() }
    }

    /// The commit that starts at `at`; `None` when there is none of this segment's generation, or its header does not hold.
    pub fn commit_at(&mut self, at: u64) -> io::Result<Option<Commit>> {
        if at.saturating_add(COMMIT_HEADER_BYTES as u64) > self.segment.bytes {
            return Ok(None);
        }
        let mut start = [0u8; COMMIT_HEADER_BYTES];
        self.segment.file.read_exact_at(&mut start, at)?;
        let Some(header) = peek(&start, &self.segment, at) else { return Ok(None) };
        let Ok(total) = usize::try_from(header.total) else { return Ok(None) };
        self.bytes.resize(total, 0);
        self.segment.file.read_exact_at(&mut self.bytes, at)?;
        Ok(decode(&self.bytes, &header).map(|found| Commit { header, found }))
    }

    /// The bytes of the commit that was read last.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether every payload of `commit`, the last one read, is what its writer wrote.
    pub fn is_intact(&self, commit: &Commit) -> bool {
        commit.found.iter().all(|found| found.is_intact(&self.bytes))
    }

    /// Headers of all commits from `from` to the end of the segment, wherever they stand: evidence of what had been written.
    pub fn search(&mut self, from: u64) -> io::Result<Vec<CommitHeader>> {
        let mut headers = Vec::new();
        let mut block = Vec::new();
        // All of them before the first read: reading brings neighbours into the page cache, which then count as data.
        for (start, end) in self.extents(from.max(SEGMENT_HEADER_BYTES).next_multiple_of(ALIGNMENT))? {
            let mut at = start;
            while at < end {
                let length = (end - at).min(SCAN_BLOCK_BYTES as u64);
                block.resize(usize::try_from(length).unwrap_or(SCAN_BLOCK_BYTES), 0);
                self.segment.file.read_exact_at(&mut block, at)?;
                let mut next = at;
                for (number, sector) in block.chunks(ALIGNMENT as usize).enumerate() {
                    let place = at + number as u64 * ALIGNMENT;
                    if place < next || !sector.starts_with(&MAGIC.to_le_bytes()) {
                        continue;
                    }
                    if let Some(commit) = self.commit_at(place)? {
                        headers.push(commit.header);
                        next = commit.header.end().at;
                    }
                }
                at = next.max(at + length);
            }
        }
        Ok(headers)
    }

    /// Where the segment may hold data at or after `at`: everything but what was never written, which is most of a young segment.
    /// Starts are aligned; a file system that cannot tell answers one extent.
    fn extents(&self, mut at: u64) -> io::Result<Vec<(u64, u64)>> {
        let mut extents = Vec::new();
        while let Some(start) = self.next_data(at)? {
            let end = match rustix::fs::seek(&self.segment.file, rustix::fs::SeekFrom::Hole(start)) {
                Ok(end) if end > start => end.next_multiple_of(ALIGNMENT).min(self.segment.bytes),
                _ => self.segment.bytes,
            };
            extents.push((start, end));
            at = end;
        }
        Ok(extents)
    }

    /// The first aligned place at or after `at` that may hold data: skips what was never written, which is most of a young segment.
    fn next_data(&self, at: u64) -> io::Result<Option<u64>> {
        if at >= self.segment.bytes {
            return Ok(None);
        }
        match rustix::fs::seek(&self.segment.file, rustix::fs::SeekFrom::Data(at)) {
            Ok(place) => Ok(Some((place - place % ALIGNMENT).max(at))),
            Err(rustix::io::Errno::NXIO) => Ok(None),
            Err(_) => Ok(Some(at)),
        }
    }
}
