//! What is kept in memory about open logs, some 64 bytes for each that was opened since start, and how a commit changes it, the
//! accounts and the index. The ledger's lock is held for microseconds.
//!
//! Order of locks: accounts, then ledger, then those of the index.

use super::accounts::{Accounts, SharedAccounts};
use super::index::{Changes, Entry, Holes, Index, JournalState};
use super::journal::RecordKind;
use super::lock;
use super::segment::Position;
use crate::ids::{Fence, LogId, Offset, Timestamp};
use crate::store::{LogBounds, Mark, Marked, StoreError};
use std::collections::{BTreeMap, HashMap, hash_map};
use std::sync::Mutex;

/// One open log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogState {
    pub fence: Fence,
    pub start: Offset,
    pub next: Offset,
    /// Bytes of all batches, as the newest entry counts them.
    pub total: u64,
    /// The same count just before the first batch that is not trimmed.
    pub total_before_start: u64,
    pub running_max: Timestamp,
    /// Batches were replaced: then these count its bytes.
    pub holes: Option<Holes>,
}

impl LogState {
    /// Reads what the index holds of a log whose first offset is `start`.
    pub fn load(index: &Index, log: LogId, start: Offset, fence: Fence) -> Result<LogState, StoreError> {
        let holes = index.holes(log)?;
        let below = index.reclaimed(log)?.min(start);
        let mut cursor = index.cursor(log, below);
        let mut state =
            LogState { fence, start, next: start, total: 0, total_before_start: 0, running_max: Timestamp::NONE, holes };
        let Some(newest) = cursor.newest()? else {
            state.total = holes.map_or(0, |holes| holes.at_total);
            state.total_before_start = state.total;
            return Ok(state);
        };
        // The count goes on from the newest batch, also from one that is trimmed and not removed yet.
        state.total = newest.entry.total;
        state.total_before_start = state.total;
        if newest.last < start {
            return Ok(state);
        }
        state.next = newest.last.next().max(start);
        state.running_max = newest.entry.running_max;
        let first = cursor.seek(start)?.unwrap_or(newest);
        state.total_before_start = first.entry.total.saturating_sub(u64::from(first.entry.length));
        Ok(state)
    }

    /// What counts the bytes of a log of which a batch is about to be replaced.
    fn holes_or_none_yet(&self, index: &Index, log: LogId) -> Result<Holes, StoreError> {
        if let Some(holes) = self.holes {
            return Ok(holes);
        }
        // Trimmed batches count until their entries are removed, which is when they are taken off.
        let below = index.reclaimed(log)?;
        let oldest = index.cursor(log, below).seek(below)?;
        let before = oldest.map_or(self.total, |oldest| oldest.entry.total.saturating_sub(u64::from(oldest.entry.length)));
        Ok(Holes { live: self.total.saturating_sub(before), at_total: self.total })
    }

    pub fn bytes(&self) -> u64 {
        match self.holes {
            Some(holes) => holes.bytes(self.total),
            None => self.total.saturating_sub(self.total_before_start),
        }
    }

    pub fn bounds(&self) -> LogBounds {
        LogBounds { start: self.start, next: self.next.max(self.start), bytes: self.bytes(), is_replaced: self.holes.is_some() }
    }
}

/// The logs that are open.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub logs: HashMap<LogId, LogState>,
}

impl Ledger {
    /// The state of an open log.
    pub fn log(&self, log: LogId) -> Result<&LogState, StoreError> {
        self.logs.get(&log).ok_or(StoreError::UnknownLog(log))
    }

    /// Looks up a log that a replay meets, unless it is there already, or was deleted.
    fn load(&mut self, index: &Index, log: LogId) -> Result<(), StoreError> {
        if let hash_map::Entry::Vacant(vacant) = self.logs.entry(log) {
            let row = index.row(log)?.unwrap_or_default();
            if !row.is_deleted {
                vacant.insert(LogState::load(index, log, row.start, row.fence)?);
            }
        }
        Ok(())
    }

    /// The same, for a writer that holds `fence`.
    pub fn fenced(&self, log: LogId, fence: Fence) -> Result<&LogState, StoreError> {
        let state = self.log(log)?;
        if fence < state.fence {
            return Err(StoreError::Fenced { log, held: fence, newest: state.fence });
        }
        Ok(state)
    }
}

/// One batch of a commit, with its place in the journal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    pub log: LogId,
    pub first: Offset,
    pub last: Offset,
    pub max_timestamp: Timestamp,
    pub length: u32,
    pub place: Position,
    pub kind: RecordKind,
    pub mark: Option<Mark>,
    /// Where the batch was copied from; not known while replaying.
    pub moved_from: Option<Position>,
}

/// Who applies a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Applying {
    /// The committer: a log that is not open was deleted meanwhile.
    Live,
    /// Recovery: a log that is not open yet is looked up.
    Replay,
}

/// Enters a commit, whose bytes are in the journal, into accounts, ledger and index.
pub(super) fn apply(
    index: &Index,
    ledger: &Mutex<Ledger>,
    accounts: &SharedAccounts,
    placed: &[Placed],
    state: JournalState,
    applying: Applying,
) -> Result<(), StoreError> {
    let mut accounts = accounts.lock();
    let mut changes = index.changes();
    if accounts.state.end.seq != state.end.seq {
        // The segment before is full: from now on its count is a key of its own.
        changes.put_written(accounts.state.end.seq, accounts.state.written);
    }
    let mut written = 0;
    let mut ledger = lock(ledger);
    for item in placed {
        if applying == Applying::Replay && item.kind != RecordKind::Moved {
            ledger.load(index, item.log)?;
        }
        let entry = match item.kind {
            RecordKind::New => new_entry(&mut ledger, item, applying)?,
            RecordKind::Moved => moved_entry(index, item)?,
            RecordKind::Rewritten => rewritten_entry(index, &mut ledger, item, &mut changes)?,
            RecordKind::Removed => {
                remove_entries(index, &mut ledger, &mut accounts, item, &mut changes)?;
                None
            }
        };
        // Of a batch that was trimmed, too: what became of it is still to be known. Of a deleted log nothing is.
        if let Some(mark) = item.mark.filter(|_| ledger.logs.contains_key(&item.log)) {
            changes.put_mark(&Marked { log: item.log, first: item.first, last: item.last, mark }, item.place);
        }
        let Some((entry, replaced)) = entry else { continue };
        written += u64::from(item.length);
        match replaced {
            None => changes.add_entry(item.log, item.last, &entry),
            Some(Buried { seq, bytes }) => {
                changes.put_entry(item.log, item.last, &entry);
                changes.put_dead(seq, accounts.bury(seq, bytes));
            }
        }
    }
    drop(ledger);
    let account = accounts.segments.entry(state.end.seq).or_default();
    account.written += written;
    let state = JournalState { written: account.written, ..state };
    changes.put_state(&state);
    changes.apply()?;
    accounts.state = state;
    Ok(())
}

/// What a batch took in the segment where it lay before.
struct Buried {
    seq: u64,
    bytes: u64,
}

/// An entry, and what it takes the place of.
type EntryAndReplaced = Option<(Entry, Option<Buried>)>;

fn new_entry(ledger: &mut Ledger, item: &Placed, applying: Applying) -> Result<EntryAndReplaced, StoreError> {
    // Deleted while its batch was on the way to disk: the bytes are dead on arrival.
    let Some(state) = ledger.logs.get_mut(&item.log) else { return Ok(None) };
    if item.last < state.start {
        return Ok(None);
    }
    // Not `first < next`: a log trimmed beyond its end may still get a batch that reaches over the new start.
    if item.last < state.next {
        let text = format!("log {}: batch {}..={} goes back before {}", item.log, item.first, item.last, state.next);
        if applying == Applying::Live {
            return Err(StoreError::Damaged(text));
        }
        tracing::error!("{text}; it is not replayed");
        return Ok(None);
    }
    state.next = item.last.next();
    state.total += u64::from(item.length);
    state.running_max = state.running_max.max(item.max_timestamp);
    let entry = Entry {
        place: item.place,
        length: item.length,
        first: item.first,
        max_timestamp: item.max_timestamp,
        running_max: state.running_max,
        total: state.total,
    };
    Ok(Some((entry, None)))
}

/// The entry of a batch that reclaim copied, unless it was trimmed, deleted or moved otherwise meanwhile.
fn moved_entry(index: &Index, item: &Placed) -> Result<EntryAndReplaced, StoreError> {
    let Some(existing) = index.entry(item.log, item.last)? else { return Ok(None) };
    let is_expected = match item.moved_from {
        Some(from) => existing.place == from,
        None => existing.place < item.place,
    };
    if !is_expected || existing.first != item.first || existing.length != item.length {
        return Ok(None);
    }
    let buried = Buried { seq: existing.place.seq, bytes: u64::from(existing.length) };
    Ok(Some((Entry { place: item.place, ..existing }, Some(buried))))
}

/// The entry of a batch that takes the place of another one, unless that was trimmed or deleted meanwhile. The running values stay.
fn rewritten_entry(
    index: &Index,
    ledger: &mut Ledger,
    item: &Placed,
    changes: &mut Changes<'_>,
) -> Result<EntryAndReplaced, StoreError> {
    let Some(existing) = index.entry(item.log, item.last)? else { return Ok(None) };
    let Some(state) = ledger.logs.get_mut(&item.log).filter(|_| existing.first == item.first) else { return Ok(None) };
    let holes = state.holes_or_none_yet(index, item.log)?.without(u64::from(existing.length));
    let holes = Holes { live: holes.live + u64::from(item.length), ..holes };
    state.holes = Some(holes);
    changes.put_holes(item.log, holes);
    let entry = Entry { place: item.place, length: item.length, max_timestamp: item.max_timestamp, ..existing };
    Ok(Some((entry, Some(Buried { seq: existing.place.seq, bytes: u64::from(existing.length) }))))
}

/// Removes the entries of the batches within the offsets of `item`, but for the newest.
fn remove_entries(
    index: &Index,
    ledger: &mut Ledger,
    accounts: &mut Accounts,
    item: &Placed,
    changes: &mut Changes<'_>,
) -> Result<(), StoreError> {
    let Some(state) = ledger.logs.get_mut(&item.log) else { return Ok(()) };
    let mut holes = state.holes_or_none_yet(index, item.log)?;
    let mut cursor = index.cursor(item.log, item.first);
    let mut next = cursor.seek(item.first)?;
    let mut lasts = Vec::new();
    let mut dead: BTreeMap<u64, u64> = BTreeMap::new();
    while let Some(located) = next.filter(|located| located.last <= item.last && located.last.next() < state.next) {
        next = cursor.advance()?;
        // The first one may reach in from below.
        if located.entry.first >= item.first {
            lasts.push(located.last);
            *dead.entry(located.entry.place.seq).or_default() += u64::from(located.entry.length);
        }
    }
    changes.delete_run(item.log, &lasts);
    for (seq, bytes) in dead {
        changes.put_dead(seq, accounts.bury(seq, bytes));
        holes = holes.without(bytes);
    }
    state.holes = Some(holes);
    changes.put_holes(item.log, holes);
    Ok(())
}
