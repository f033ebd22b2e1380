//! Reads batches back: keys from the index, bytes from the segments.
//!
//! ```text
//! seek (log, from) -> entries until `to` or `max_bytes` -> runs of neighbours in one segment -> one pread per run -> slices of it
//!                                                                                           \-> places in the file, to be sent from there
//! ```
//! A read and the recycling of a segment: an entry may go stale between the seek and the pread (trimmed, or moved by reclaim). A segment
//! is retired only when no living entry points into it, and its file becomes a spare only when nobody holds a handle, which this
//! reader does from before the pread until after it (`Segments::retire` unlinks it otherwise). So a read sees either the right bytes, or no
//! such segment, and then looks at the index again. What was sent from a file may lie in a peer's socket as pages of that file, so a file
//! that was lent for it is written again only after it was parted from those (`Segments::retire`).
//!
//! Memory: the batches asked for, and at most as much again (plus 64 KiB) for what lies between neighbours.

use super::index::{Cursor, Entry, Index, Located};
use super::{Shared, lock};
use crate::ids::{LogId, Offset};
use crate::span::{FileSpan, Span};
use crate::store::{Batch, StoreError, Stretch};
use bytes::Bytes;
use rustix::fs::Advice;
use rustix::io::ReadWriteFlags;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;

/// What may lie between two batches that are read together.
const GAP_BYTES_MAX: u64 = 64 * 1024;
/// One buffer; a slice of it that is kept keeps all of it.
const RUN_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Between two places that are looked at to learn whether the page cache has what lies between them. Of a topic with a dozen busy partitions a reader meets a
/// batch each quarter of a mebibyte: a shorter step is a look for each.
const WARM_STEP: usize = 1024 * 1024;
/// What is looked up without another thread; about 0.1 ms.
const QUICK_ENTRIES_MAX: usize = 128;
/// How often the index may be looked at again; every time means that reclaim retired another segment meanwhile.
const ATTEMPTS_MAX: usize = 5;

/// What is asked for: committed batches that overlap `[from, to)`, as [`crate::store::LogStore::read`] says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub log: LogId,
    pub from: Offset,
    pub to: Offset,
    pub max_bytes: usize,
}

/// The batches.
pub(super) fn read(shared: &Shared, index: &Index, wanted: Wanted) -> Result<Vec<Batch>, StoreError> {
    looked_up(shared, index, wanted, |entries| read_entries(shared, wanted.log, entries))
}

/// Where the batches lie. Their bytes are in the page cache when this returns, as far as it holds them, so that who sends them from there
/// does not wait for the device.
pub(super) fn locate(shared: &Shared, index: &Index, wanted: Wanted) -> Result<Vec<Stretch>, StoreError> {
    let have_warm = |file: &File, entries: &[Located]| {
        if !is_warm(file, entries) {
            warm(file, entries);
        }
        true
    };
    looked_up(shared, index, wanted, |entries| locate_entries(entries, |seq| shared.segments.lend(seq), have_warm))
}

/// As [`locate`], when a look at what is in memory is enough for it; `None`: the disk is needed, or it would take long.
///
/// Does not wait, so that who reads what is cached needs no other thread.
pub(super) fn locate_in_memory(shared: &Shared, index: &Index, wanted: Wanted) -> Option<Vec<Stretch>> {
    let start = lock(&shared.ledger).log(wanted.log).ok()?.start;
    let cursor = index.cursor_in_memory(wanted.log, start);
    // An error may be that it is not in memory; `locate` says of any other what it is.
    let entries = collect(cursor, start, wanted, QUICK_ENTRIES_MAX).ok()??;
    locate_entries(&entries, |seq| Ok(shared.segments.lend_open(seq)), is_warm).ok()?
}

/// What `get` makes of the wanted entries; `None` of it, a segment that is gone, has them looked up again.
fn looked_up<T>(
    shared: &Shared,
    index: &Index,
    wanted: Wanted,
    get: impl Fn(&[Located]) -> Result<Option<T>, StoreError>,
) -> Result<T, StoreError> {
    let Wanted { log, from, .. } = wanted;
    for _ in 0..ATTEMPTS_MAX {
        let start = lock(&shared.ledger).log(log)?.start;
        let entries = collect(index.cursor(log, start), start, wanted, usize::MAX)?.unwrap_or_default();
        if let Some(got) = get(&entries)? {
            return Ok(got);
        }
    }
    Err(StoreError::Damaged(format!("log {log}: a journal segment that holds offset {from} or later is missing")))
}

/// The wanted entries of a log that begins at `start`; `None` when there are more than `count_max`.
fn collect(mut cursor: Cursor<'_>, start: Offset, wanted: Wanted, count_max: usize) -> Result<Option<Vec<Located>>, StoreError> {
    let Wanted { from, to, max_bytes, .. } = wanted;
    let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX);
    let mut entries = Vec::new();
    let mut bytes = 0u64;
    let mut next = cursor.seek(from.max(start))?;
    while let Some(located) = next {
        bytes = bytes.saturating_add(u64::from(located.entry.length));
        if located.entry.first >= to || (bytes > limit && !entries.is_empty()) {
            break;
        }
        if entries.len() == count_max {
            return Ok(None);
        }
        entries.push(located);
        next = cursor.advance()?;
    }
    Ok(Some(entries))
}

/// `None` when a segment is gone, because reclaim emptied it after the entries were read.
fn read_entries(shared: &Shared, log: LogId, entries: &[Located]) -> Result<Option<Vec<Batch>>, StoreError> {
    let mut batches = Vec::with_capacity(entries.len());
    for run in runs(entries) {
        let Some(head) = run.first() else { break };
        let seq = head.entry.place.seq;
        let Some(file) = shared.segments.file(seq)? else { return Ok(None) };
        read_run(file, run, &mut batches).map_err(|error| {
            let path = super::segment::segment_path(shared.segments.dir(), seq);
            let why = match error.kind() {
                io::ErrorKind::UnexpectedEof => "it lies beyond the end of the file".to_owned(),
                _ => error.to_string(),
            };
            StoreError::Damaged(format!("{}: log {log}, offset {}: {why}", path.display(), head.entry.first))
        })?;
    }
    Ok(Some(batches))
}

/// `None` when `lend` has no such segment, as [`read_entries`], or `is_ready` denies it of some of them.
fn locate_entries(
    entries: &[Located],
    lend: impl Fn(u64) -> Result<Option<Arc<File>>, StoreError>,
    is_ready: impl Fn(&File, &[Located]) -> bool,
) -> Result<Option<Vec<Stretch>>, StoreError> {
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut end = None;
    for near in pieces(entries, near_length) {
        let Some(head) = near.first() else { break };
        let seq = head.entry.place.seq;
        let Some(file) = lend(seq)? else { return Ok(None) };
        if !is_ready(&file, near) {
            return Ok(None);
        }
        for located in near {
            let Entry { first, place, length, .. } = located.entry;
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            match stretches.last_mut() {
                Some(Stretch { last, bytes: Span::File(span), .. }) if end == Some((seq, place.at)) => {
                    *last = located.last;
                    span.length += length;
                }
                _ => {
                    let span = FileSpan { file: file.clone(), at: place.at, length };
                    stretches.push(Stretch { first, last: located.last, bytes: Span::File(span) });
                }
            }
            end = Some((seq, place.at + length as u64));
        }
    }
    Ok(Some(stretches))
}

/// Has `entries` of `file`, which are near one another, read into the page cache. Best effort: without it, the sender waits.
fn warm(file: &File, entries: &[Located]) {
    // Starts reading all of it: what lies between runs may be much, and nobody asked for it ...
    for Range { start, end } in runs(entries).map(extent) {
        let _ = rustix::fs::fadvise(file, start, NonZeroU64::new(end - start), Advice::WillNeed);
    }
    // ... and waits.
    for at in runs(entries).map(extent).flat_map(looks) {
        let _ = rustix::io::pread(file, &mut [0u8; 1], at);
    }
}

/// Whether the page cache has `entries` of `file`, which are near one another, as far as a few looks tell.
fn is_warm(file: &File, entries: &[Located]) -> bool {
    looks(extent(entries)).all(|at| is_cached(file, at))
}

/// From the last byte backwards: readers go forwards, so that a batch may begin in a page that was read for the one before, but rarely ends in
/// one that was read for the next.
fn looks(Range { start, end }: Range<u64>) -> impl Iterator<Item = u64> {
    (0..end.saturating_sub(start)).step_by(WARM_STEP).map(move |back| end - 1 - back)
}

/// From the first byte of `entries`, which lie in one segment in their order, to the end of the last.
fn extent(entries: &[Located]) -> Range<u64> {
    let end = |located: &Located| located.entry.place.at + u64::from(located.entry.length);
    entries.first().map_or(0, |first| first.entry.place.at)..entries.last().map_or(0, end)
}

fn is_cached(file: &File, at: u64) -> bool {
    let mut byte = [0u8; 1];
    let mut bytes = [IoSliceMut::new(&mut byte)];
    rustix::io::preadv2(file, &mut bytes, at, ReadWriteFlags::NOWAIT) == Ok(1)
}

/// `entries` in pieces that are worth one read each.
fn runs(entries: &[Located]) -> impl Iterator<Item = &[Located]> {
    pieces(entries, run_length)
}

/// `entries` cut up: `length` says of what is left how many the next piece has.
fn pieces(mut entries: &[Located], length: impl Fn(&[Located]) -> usize) -> impl Iterator<Item = &[Located]> {
    std::iter::from_fn(move || {
        let (piece, later) = entries.split_at(length(entries));
        entries = later;
        (!piece.is_empty()).then_some(piece)
    })
}

/// How many of `entries` (not empty) lie so near one another that one look tells of them.
fn near_length(entries: &[Located]) -> usize {
    let Some(first) = entries.first() else { return 0 };
    let (place, mut end) = (first.entry.place, first.entry.place.at + u64::from(first.entry.length));
    let is_near = |located: &&Located| {
        let Entry { place: next, length, .. } = located.entry;
        let previous_end = std::mem::replace(&mut end, next.at + u64::from(length));
        next.seq == place.seq && next.at >= previous_end && end - place.at <= WARM_STEP as u64
    };
    1 + entries.iter().skip(1).take_while(is_near).count()
}

/// How many of `entries` (not empty) are worth one read.
fn run_length(entries: &[Located]) -> usize {
    let Some(first) = entries.first() else { return 0 };
    let start = first.entry.place.at;
    let mut end = start + u64::from(first.entry.length);
    let (mut wanted, mut wasted) = (u64::from(first.entry.length), 0);
    let mut count = 1;
    for located in &entries[1..] {
        let (place, length) = (located.entry.place, u64::from(located.entry.length));
        if place.seq != first.entry.place.seq || place.at < end {
            break;
        }
        let gap = place.at - end;
        let is_wasteful = gap > GAP_BYTES_MAX || wasted + gap > wanted + GAP_BYTES_MAX;
        if is_wasteful || place.at + length - start > RUN_BYTES_MAX {
            break;
        }
        end = place.at + length;
        wanted += length;
        wasted += gap;
        count += 1;
    }
    count
}

/// Reads from the first to the last batch of `run` at once and cuts it up, without copying.
fn read_run(file: Arc<File>, run: &[Located], batches: &mut Vec<Batch>) -> io::Result<()> {
    let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
    let start = first.entry.place.at;
    let size = |bytes: u64| usize::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof));
    let length = size(last.entry.place.at + u64::from(last.entry.length) - start)?;
    let bytes = Bytes::from(FileSpan { file, at: start, length }.read()?);
    for located in run {
        let entry = &located.entry;
        let from = size(entry.place.at - start)?;
        let to = from + size(u64::from(entry.length))?;
        batches.push(Batch {
            first: entry.first,
            last: located.last,
            max_timestamp: entry.max_timestamp,
            bytes: bytes.slice(from..to),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::segment::Position;
    use super::*;
    use crate::ids::Timestamp;

    fn located(seq: u64, at: u64, length: u32) -> Located {
        let entry = Entry {
            place: Position { seq, at },
            length,
            first: Offset(0),
            max_timestamp: Timestamp(0),
            running_max: Timestamp(0),
            total: 0,
        };
        Located { last: Offset(0), entry }
    }

    #[test]
    fn one_look_tells_of_what_is_near() {
        const STEP: u64 = WARM_STEP as u64;
        let cases = [
            (vec![], 0),
            (vec![(1, 0, 9_000_000), (1, 9_000_000, 5)], 1),
            (vec![(1, 70, 10), (1, 80, 10), (1, 70 + STEP - 10, 10), (1, 70 + STEP, 1)], 3),
            (vec![(1, 70, 10), (1, 71 + STEP - 10, 10)], 1),
            (vec![(1, 70, 10), (2, 80, 10)], 1),
            (vec![(1, 70, 10), (1, 30, 10)], 1),
            (vec![(1, 70, 10), (1, 79, 10)], 1),
        ];
        for (places, count) in cases {
            let entries: Vec<Located> = places.iter().map(|(seq, at, length)| located(*seq, *at, *length)).collect();
            assert_eq!(near_length(&entries), count, "{places:?}");
            assert_eq!(runs(&entries).flatten().count(), entries.len(), "nothing is left out");
        }
    }
}
