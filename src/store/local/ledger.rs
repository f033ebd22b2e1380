//! What is kept in memory about open logs and about segments, and how a commit changes both and the index.
//!
//! * [`Ledger`]: some 64 bytes per log that was opened since start. Its lock is held for microseconds.
//! * [`Accounts`]: 16 bytes per segment. Its lock is held across *every* write to the index (a commit's, a reclaim's), so that the
//!   counters on disk are those of the entries beside them, and so that "look at an entry, then change it" is safe: reclaim cannot
//!   remove what a commit is about to move, nor the other way round. Reclaim works in small pieces so that commits wait little.
//!
//! Order of locks: accounts, then ledger.

use super::index::{Entry, Index, JournalState};
use super::journal::RecordKind;
use super::lock;
use super::segment::Position;
use crate::ids::{Fence, LogId, Offset, Timestamp};
use crate::store::{LogBounds, Mark, Marked, StoreError};
use std::collections::{BTreeMap, HashMap};
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
}

impl LogState {
    /// Reads what the index holds of a log whose first offset is `start`.
    pub fn load(index: &Index, log: LogId, start: Offset, fence: Fence) -> Result<LogState, StoreError> {
        let mut state = LogState { fence, start, next: start, total: 0, total_before_start: 0, running_max: Timestamp::NONE };
        let mut cursor = index.cursor(log, start);
        let Some(newest) = cursor.newest()? else { return Ok(state) };
        state.next = newest.last.next().max(start);
        state.total = newest.entry.total;
        state.running_max = newest.entry.running_max;
        let first = cursor.seek(log, start)?.unwrap_or(newest);
        state.total_before_start = first.entry.total.saturating_sub(u64::from(first.entry.length));
        Ok(state)
    }

    pub fn bytes(&self) -> u64 {
        self.total.saturating_sub(self.total_before_start)
    }

    pub fn bounds(&self) -> LogBounds {
        LogBounds { start: self.start, next: self.next.max(self.start), bytes: self.bytes() }
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

    /// The same, for a writer that holds `fence`.
    pub fn fenced(&self, log: LogId, fence: Fence) -> Result<&LogState, StoreError> {
        let state = self.log(log)?;
        if fence < state.fence {
            return Err(StoreError::Fenced { log, held: fence, newest: state.fence });
        }
        Ok(state)
    }
}

/// Bytes of batches in one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Account {
    pub written: u64,
    pub dead: u64,
}

impl Account {
    pub fn live(&self) -> u64 {
        self.written.saturating_sub(self.dead)
    }
}

/// How much of each segment lives, and where the index stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Accounts {
    pub segments: BTreeMap<u64, Account>,
    /// What the index says about the journal.
    pub state: JournalState,
}

impl Accounts {
    pub fn bury(&mut self, seq: u64, bytes: u64) -> u64 {
        let account = self.segments.entry(seq).or_default();
        account.dead += bytes;
        account.dead
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
    accounts: &Mutex<Accounts>,
    placed: &[Placed],
    state: JournalState,
    applying: Applying,
) -> Result<(), StoreError> {
    let mut accounts = lock(accounts);
    let mut changes = index.changes();
    if accounts.state.end.seq != state.end.seq {
        // The segment before is full: from now on its count is a key of its own.
        changes.put_written(accounts.state.end.seq, accounts.state.written);
    }
    let mut written = 0;
    let mut ledger = lock(ledger);
    for item in placed {
        let entry = match item.kind {
            RecordKind::New => new_entry(index, &mut ledger, item, applying)?,
            RecordKind::Moved => moved_entry(index, item)?,
        };
        // Of a batch that was trimmed, too: what became of it is still to be known. Of a deleted log nothing is.
        if let Some(mark) = item.mark.filter(|_| ledger.logs.contains_key(&item.log)) {
            changes.put_mark(&Marked { log: item.log, first: item.first, last: item.last, mark }, item.place);
        }
        let Some((entry, replaced)) = entry else { continue };
        changes.put_entry(item.log, item.last, &entry);
        written += u64::from(item.length);
        if let Some(seq) = replaced {
            let dead = accounts.bury(seq, u64::from(item.length));
            changes.put_dead(seq, dead);
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

/// An entry, and the segment in which the same batch died.
type EntryAndReplaced = Option<(Entry, Option<u64>)>;

fn new_entry(index: &Index, ledger: &mut Ledger, item: &Placed, applying: Applying) -> Result<EntryAndReplaced, StoreError> {
    if applying == Applying::Replay && !ledger.logs.contains_key(&item.log) {
        let row = index.row(item.log)?.unwrap_or_default();
        if row.is_deleted {
            return Ok(None);
        }
        ledger.logs.insert(item.log, LogState::load(index, item.log, row.start, row.fence)?);
    }
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
    Ok(Some((Entry { place: item.place, ..existing }, Some(existing.place.seq))))
}
