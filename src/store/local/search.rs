//! Searches among the keys of a log: by time and by size, without reading a batch.
//!
//! The running values of the entries (see `index.rs`) only grow along a log, so a search is a binary search over offsets, each step one
//! seek. Exceptions walk the entries one by one (about a million per second): when a batch that was trimmed had a larger timestamp than
//! those that stayed, the running maximum says nothing about these; and where batches were replaced, the running values say too much.

use super::index::{Cursor, Entry, Index, Located};
use super::ledger::LogState;
use crate::ids::{LogId, Offset, Timestamp};
use crate::store::StoreError;

/// The first offset of the first batch that ends at or after `from` and whose largest timestamp is at least `time`.
pub(super) fn at_time(
    index: &Index,
    log: LogId,
    state: &LogState,
    from: Offset,
    time: Timestamp,
) -> Result<Option<Offset>, StoreError> {
    let mut cursor = index.cursor(log, state.start);
    let found = first_where(&mut cursor, state, |entry| entry.running_max >= time)?;
    // In a log whose maximum was not trimmed, nor lies before `from`, this loop ends at once.
    let mut candidate = match found {
        Some(found) => cursor.seek(found.last.max(from))?,
        None => None,
    };
    while let Some(located) = candidate {
        if located.entry.max_timestamp >= time {
            return Ok(Some(located.entry.first));
        }
        candidate = cursor.advance()?;
    }
    Ok(None)
}

/// First offset and largest timestamp of the first batch that holds the log's largest timestamp.
pub(super) fn max_time(index: &Index, log: LogId, state: &LogState) -> Result<Option<(Offset, Timestamp)>, StoreError> {
    let mut cursor = index.cursor(log, state.start);
    let Some(first) = cursor.seek(state.start)? else { return Ok(None) };
    let newest = cursor.newest()?.unwrap_or(first);
    let largest = newest.entry.running_max;
    let is_first_largest_so_far = first.entry.running_max == first.entry.max_timestamp;
    if state.holes.is_none() && (is_first_largest_so_far || largest > first.entry.running_max) {
        let found = first_where(&mut cursor, state, |entry| entry.running_max >= largest)?.unwrap_or(newest);
        return Ok(Some((found.entry.first, found.entry.max_timestamp)));
    }
    max_time_from_the_end(&mut cursor, newest).map(Some)
}

/// Walks back for as long as something earlier may be as large: the running maximum of a batch bounds all before it, those that are gone included.
fn max_time_from_the_end(cursor: &mut Cursor<'_>, newest: Located) -> Result<(Offset, Timestamp), StoreError> {
    let mut best = newest.entry;
    while let Some(located) = cursor.back()?.filter(|located| located.entry.running_max >= best.max_timestamp) {
        if located.entry.max_timestamp >= best.max_timestamp {
            best = located.entry;
        }
    }
    Ok((best.first, best.max_timestamp))
}

/// The first offset of the last batch from which on at least `bytes` stay: a batch goes while those behind it are enough.
pub(super) fn keep_bytes(index: &Index, log: LogId, state: &LogState, bytes: u64) -> Result<Offset, StoreError> {
    let mut cursor = index.cursor(log, state.start);
    let Some(newest) = cursor.newest()? else { return Ok(state.start) };
    if state.holes.is_some() {
        return keep_bytes_by_walking(&mut cursor, state, newest, bytes);
    }
    // What lies behind a batch is the newest running count less its own.
    let surplus = newest.entry.total.saturating_sub(bytes);
    let Some(kept) = first_where(&mut cursor, state, |entry| entry.total > surplus)? else {
        // Only where nothing is to be kept do all batches go.
        return Ok(newest.last.next());
    };
    let is_first = cursor.seek(state.start)?.is_none_or(|first| first.last == kept.last);
    Ok(if is_first { state.start } else { kept.entry.first })
}

fn keep_bytes_by_walking(cursor: &mut Cursor<'_>, state: &LogState, newest: Located, bytes: u64) -> Result<Offset, StoreError> {
    let (mut kept, mut start) = (0, newest.last.next());
    let mut next = Some(newest);
    while let Some(located) = next {
        if kept >= bytes {
            return Ok(start);
        }
        kept += u64::from(located.entry.length);
        start = located.entry.first;
        next = cursor.back()?;
    }
    Ok(state.start)
}

/// Bytes of the batches that end at or behind `from`, as the running count has them.
pub(super) fn bytes_from(index: &Index, log: LogId, state: &LogState, from: Offset) -> Result<u64, StoreError> {
    let mut cursor = index.cursor(log, state.start);
    let Some(newest) = cursor.newest()? else { return Ok(0) };
    let Some(first) = cursor.seek(from.max(state.start))? else { return Ok(0) };
    Ok(newest.entry.total.saturating_sub(first.entry.total) + u64::from(first.entry.length))
}

/// The first batch at or after the log's start of which `holds` is true, given that it stays true for all later ones.
fn first_where(cursor: &mut Cursor<'_>, state: &LogState, holds: impl Fn(&Entry) -> bool) -> Result<Option<Located>, StoreError> {
    let Some(newest) = cursor.newest()? else { return Ok(None) };
    if !holds(&newest.entry) {
        return Ok(None);
    }
    // All batches below `low` fail, the batch at `high` holds.
    let (mut low, mut high, mut found) = (state.start, newest.last, newest);
    while low < high {
        let middle = Offset(low.0 + (high.0 - low.0) / 2);
        let Some(located) = cursor.seek(middle)? else { break };
        if holds(&located.entry) {
            found = located;
            high = middle;
        } else {
            low = located.last.next();
        }
    }
    Ok(Some(found))
}
