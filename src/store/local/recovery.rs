//! Opening the journal: replays what the index has not seen, cuts a torn tail, refuses a damaged middle.
//!
//! ```text
//! index says:     durable D ............ end P
//! journal:    ────────┼── commits ── ... ┼── commits ──┤X  nothing, or something that does not hold
//!                     └ verified, known ─┘└ replayed ──┘
//! ```
//! Commits are followed from D by their chain (`previous end`), every checksum verified, until one does not hold: X. Then everything behind X
//! is searched for commits of the same generation. One that was written when something behind X was already known durable proves that X
//! was acknowledged and is *damaged*: refused, with file and position. Without such a proof X is where a crash tore the tail: it is *cut*, which
//! means that the headers behind it are overwritten, so that they can never be followed, and that writing goes on at X.
//!
//! With `SyncPolicy::Commit` D is P. With the others a power failure may take commits between D and P whose keys are in the index
//! already: then X < P, and the keys that point behind X are removed, which walks the whole index (this case only).
//! Only a clean close leaves a mark, and only that spares the search.
//!
//! Everything that is served after the open is on disk: what a killed process had only handed to the kernel is synced here first.

use super::accounts::{Account, Accounts, SharedAccounts};
use super::index::{Index, JournalState};
use super::journal::{ALIGNMENT, Commit, SegmentReader};
use super::ledger::{self, Applying, Ledger, Placed};
use super::preparer::{SPARES_MIN, salt, spares_max};
use super::segment::{self, Access, Listing, Position, SEGMENT_HEADER_BYTES, Segment, Segments, segment_path, spare_path};
use super::{LocalOptions, OnDamage, OpenError};
use crate::env::Env;
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// A journal that is ready to be written and read.
pub(super) struct Recovered {
    pub segments: Segments,
    pub accounts: Accounts,
    pub current: Segment,
    /// Where the journal ends: in `current`.
    pub end: Position,
    pub spares: Vec<PathBuf>,
}

/// Opens the journal in `options.dir`, or begins it.
pub(super) fn recover(options: &LocalOptions, index: &Index, env: &Env) -> Result<Recovered, OpenError> {
    let dir = options.dir.join("journal");
    let mut listing = segment::list(&dir).map_err(|error| OpenError::file(&dir, &error))?;
    let is_new = listing.segments.is_empty();
    let clean_end = index.take_clean_end()?;
    let state = match index.state()? {
        Some(state) => state,
        None => begin(&dir, &mut listing, options, env)?,
    };
    let accounts = SharedAccounts::new(load_accounts(&dir, &listing, index, state)?);
    if clean_end != Some(state.end) {
        forget_cache(&dir, &listing, state.durable.seq)?;
    }
    let mut recovery = Recovery { dir: &dir, listing, index, accounts, reader: None, on_damage: options.on_damage };
    let end = recovery.replay(state)?;
    let was_closed = clean_end == Some(end);
    if !is_new && !was_closed {
        let stale = recovery.judge_tail(end)?;
        if end < state.end {
            recovery.forget_keys_after(end)?;
        }
        recovery.cut(end, &stale)?;
        recovery.sync(state.durable.seq, end.seq)?;
    }
    recovery.finish(options, end, was_closed)
}

/// Has what is verified next come from the disk: after a failed sync the page cache holds what the disk does not, marked as clean, and
/// would be believed. What a killed process had only handed to the kernel is synced first.
fn forget_cache(dir: &Path, listing: &Listing, first: u64) -> Result<(), OpenError> {
    for seq in listing.segments.range(first..).map(|(seq, _)| *seq) {
        let segment = Segment::open(dir, seq, Access::Write)?;
        let path = segment_path(dir, seq);
        segment.file.sync_data().map_err(|error| OpenError::file(&path, &error))?;
        // Advice: a file system that does not take it keeps its cache.
        let _ = rustix::fs::fadvise(&segment.file, 0, None, rustix::fs::Advice::DontNeed);
    }
    Ok(())
}

/// The state of a journal that the index knows nothing of: new, or never flushed.
fn begin(dir: &Path, listing: &mut Listing, options: &LocalOptions, env: &Env) -> Result<JournalState, OpenError> {
    if listing.segments.is_empty() {
        let segment = Segment::create(dir, 1, options.segment_bytes, salt(env), None, None)
            .map_err(|error| OpenError::file(&segment_path(dir, 1), &error))?;
        listing.segments.insert(segment.seq, segment.bytes);
    }
    let seq = listing.segments.keys().next().copied().unwrap_or(1);
    let start = Position { seq, at: SEGMENT_HEADER_BYTES };
    Ok(JournalState { end: start, durable: start, written: 0 })
}

/// Counters of all segments, as the index has them at `state`.
fn load_accounts(dir: &Path, listing: &Listing, index: &Index, state: JournalState) -> Result<Accounts, OpenError> {
    let (written, dead) = index.counters()?;
    let mut segments: BTreeMap<u64, Account> = BTreeMap::new();
    for (seq, bytes) in written {
        segments.entry(seq).or_default().written = bytes;
    }
    for (seq, bytes) in dead {
        segments.entry(seq).or_default().dead = bytes;
    }
    segments.entry(state.end.seq).or_default().written = state.written;
    for (seq, account) in &segments {
        if account.live() > 0 && !listing.segments.contains_key(seq) {
            let why = format!("it is missing, and holds {} bytes of batches", account.live());
            return Err(OpenError::Lost { file: segment_path(dir, *seq), why });
        }
    }
    segments.retain(|seq, _| listing.segments.contains_key(seq));
    Ok(Accounts { segments, state })
}

struct Recovery<'a> {
    dir: &'a Path,
    listing: Listing,
    index: &'a Index,
    accounts: SharedAccounts,
    /// The segment that is being read.
    reader: Option<SegmentReader>,
    on_damage: OnDamage,
}

impl Recovery<'_> {
    fn reader(&mut self, seq: u64) -> Result<&mut SegmentReader, OpenError> {
        let reader = match self.reader.take() {
            Some(reader) if reader.segment.seq == seq => reader,
            _ => SegmentReader::new(Segment::open(self.dir, seq, Access::Read)?),
        };
        Ok(self.reader.insert(reader))
    }

    fn file_error(&self, seq: u64) -> impl Fn(std::io::Error) -> OpenError + use<> {
        let path = segment_path(self.dir, seq);
        move |error| OpenError::file(&path, &error)
    }

    /// Follows the chain of commits from what was durable, enters those that the index lacks, and answers where it ends.
    fn replay(&mut self, state: JournalState) -> Result<Position, OpenError> {
        let why = match self.listing.segments.get(&state.durable.seq) {
            None => Some("it is missing"),
            Some(bytes) if bytes.next_multiple_of(ALIGNMENT) < state.durable.at => Some("it is too short"),
            Some(_) => None,
        };
        if let Some(why) = why {
            let why = format!("{why}, and was known to be on disk up to position {}", state.durable.at);
            return Err(OpenError::Lost { file: segment_path(self.dir, state.durable.seq), why });
        }
        let ledger = Mutex::new(Ledger::default());
        let mut end = state.durable;
        let mut replayed = 0u64;
        while let Some(commit) = self.next_commit(end)? {
            end = commit.header.end();
            if commit.header.at >= state.end {
                let state = JournalState { end, durable: state.durable, written: 0 };
                ledger::apply(self.index, &ledger, &self.accounts, &placed(&commit), state, Applying::Replay)?;
                replayed += 1;
            }
        }
        if replayed > 0 {
            tracing::info!(commits = replayed, seq = end.seq, at = end.at, "the journal is replayed");
        }
        Ok(end)
    }

    /// The whole commit that follows `end`: there, or at the start of the next segment.
    fn next_commit(&mut self, end: Position) -> Result<Option<Commit>, OpenError> {
        for place in [end, Position { seq: end.seq + 1, at: SEGMENT_HEADER_BYTES }] {
            if !self.listing.segments.contains_key(&place.seq) {
                continue;
            }
            let file_error = self.file_error(place.seq);
            let reader = self.reader(place.seq)?;
            if let Some(commit) = reader.commit_at(place.at).map_err(file_error)?
                && commit.header.previous == end
                && reader.is_intact(&commit)
            {
                return Ok(Some(commit));
            }
        }
        Ok(None)
    }

    /// Looks for commits behind `end`: answers where they are, unless one proves that what was at `end` had been durable.
    fn judge_tail(&mut self, end: Position) -> Result<Vec<Position>, OpenError> {
        let (mut stale, mut bytes, mut proof) = (Vec::new(), 0, None);
        let later: Vec<u64> = self.listing.segments.range(end.seq..).map(|(seq, _)| *seq).collect();
        for seq in later {
            let from = if seq == end.seq { end.at } else { SEGMENT_HEADER_BYTES };
            let file_error = self.file_error(seq);
            let headers = self.reader(seq)?.search(from).map_err(file_error)?;
            for header in headers {
                if header.durable > end {
                    proof = proof.or(Some(header.at));
                }
                stale.push(header.at);
                bytes += header.total;
            }
        }
        if let Some(proof) = proof.filter(|_| self.on_damage == OnDamage::Refuse) {
            let why = format!(
                "what was acknowledged there does not read back (the commit at {:016x}:{} says that it was on disk)",
                proof.seq, proof.at
            );
            let file = segment_path(self.dir, end.seq);
            return Err(OpenError::Damaged { file, position: end.at, why, commits: stale.len(), bytes });
        }
        if !stale.is_empty() && self.on_damage == OnDamage::Cut {
            let commits = stale.len();
            tracing::warn!(
                seq = end.seq,
                at = end.at,
                commits,
                "the journal is cut as asked; what was acknowledged in these commits is lost"
            );
        } else if !stale.is_empty() {
            let commits = stale.len();
            tracing::warn!(seq = end.seq, at = end.at, commits, "the journal's torn tail is cut; nothing in it was acknowledged");
        }
        Ok(stale)
    }

    /// Removes the keys that point behind `end`, and counts anew.
    fn forget_keys_after(&mut self, end: Position) -> Result<(), OpenError> {
        let mut segments: BTreeMap<u64, Account> = BTreeMap::new();
        let mut changes = self.index.changes();
        let mut removed = 0u64;
        self.index.all_entries(|log, located| {
            if located.entry.place >= end {
                changes.delete_entry(log, located.last);
                removed += 1;
            } else {
                segments.entry(located.entry.place.seq).or_default().written += u64::from(located.entry.length);
            }
            Ok(())
        })?;
        self.index.forget_marks_after(end, &mut changes)?;
        let accounts = self.accounts.get_mut();
        for seq in accounts.segments.keys() {
            changes.forget_segment(*seq);
        }
        for (seq, account) in &segments {
            changes.put_written(*seq, account.written);
        }
        let written = segments.get(&end.seq).map_or(0, |account| account.written);
        let state = JournalState { end, durable: end, written };
        changes.put_state(&state);
        changes.apply()?;
        self.index.flush()?;
        *accounts = Accounts { segments, state };
        tracing::warn!(batches = removed, "batches that had not been synced before a power failure are lost");
        Ok(())
    }

    /// Makes sure that nothing behind `end` is ever taken for a commit.
    fn cut(&self, end: Position, stale: &[Position]) -> Result<(), OpenError> {
        let mut places = stale.to_vec();
        places.push(end);
        for place in places {
            let file_error = self.file_error(place.seq);
            let segment = Segment::open(self.dir, place.seq, Access::Write)?;
            let room = segment.bytes.saturating_sub(place.at).min(ALIGNMENT);
            let zeros = [0u8; ALIGNMENT as usize];
            let zeros = zeros.get(..usize::try_from(room).unwrap_or(0)).unwrap_or_default();
            segment.file.write_all_at(zeros, place.at).map_err(file_error)?;
        }
        let mut cut: Vec<u64> = stale.iter().map(|place| place.seq).collect();
        cut.dedup();
        cut.into_iter().try_for_each(|seq| self.sync(seq, seq))
    }

    /// Puts segments `first..=last` on disk.
    fn sync(&self, first: u64, last: u64) -> Result<(), OpenError> {
        for seq in self.listing.segments.range(first..=last).map(|(seq, _)| *seq) {
            let segment = Segment::open(self.dir, seq, Access::Write)?;
            segment.file.sync_data().map_err(self.file_error(seq))?;
        }
        Ok(())
    }

    fn finish(self, options: &LocalOptions, end: Position, was_closed: bool) -> Result<Recovered, OpenError> {
        // So that the next flush of the index says that a replay starts here.
        let state = JournalState { end, durable: end, written: 0 };
        let ledger = Mutex::new(Ledger::default());
        ledger::apply(self.index, &ledger, &self.accounts, &[], state, Applying::Replay)?;
        let current = Segment::open(self.dir, end.seq, Access::Write)?;
        let segments = Segments::new(self.dir.to_owned());
        for (seq, bytes) in self.listing.segments.range(..=end.seq) {
            segments.insert(*seq, *bytes);
        }
        segments.insert_open(&current);
        let spares = collect_spares(self.dir, &self.listing, end.seq, options.segment_bytes, was_closed)
            .map_err(|error| OpenError::file(self.dir, &error))?;
        Ok(Recovered { segments, accounts: self.accounts.into_inner(), current, end, spares })
    }
}

fn placed(commit: &Commit) -> Vec<Placed> {
    let start = commit.header.at;
    let place = |from: usize| Position { seq: start.seq, at: start.at + from as u64 };
    commit
        .found
        .iter()
        .map(|found| Placed {
            log: found.record.log,
            first: found.record.first,
            last: found.record.last,
            max_timestamp: found.record.max_timestamp,
            length: found.record.length,
            place: place(found.from),
            kind: found.record.kind,
            mark: found.record.mark,
            moved_from: None,
        })
        .collect()
}

/// Files to make segments from: spares, and segments behind the end, which were prepared or cut. What does not fit is unlinked.
///
/// Of what was closed (`was_closed`) none can have been lent. Otherwise one that was cut may have been by the process before, whose sockets the kernel may still
/// be emptying: then all are parted from their pages, also those that an open which was killed had made spares of. That takes some milliseconds each, so that fewer
/// are kept then.
fn collect_spares(
    dir: &Path,
    listing: &Listing,
    end: u64,
    segment_bytes: u64,
    was_closed: bool,
) -> std::io::Result<Vec<PathBuf>> {
    let mut candidates = listing.spares.clone();
    for seq in listing.segments.range(end + 1..).map(|(seq, _)| *seq) {
        let spare = spare_path(dir, seq);
        std::fs::rename(segment_path(dir, seq), &spare)?;
        candidates.push(spare);
    }
    let has_renamed = candidates.len() > listing.spares.len();
    if has_renamed {
        // Before any is cut: a segment that had its name back after a power failure, and no header any more, would be damage.
        segment::sync_dir(dir)?;
    }
    candidates.sort();
    candidates.dedup();
    let most = if was_closed { spares_max(dir, segment_bytes) } else { SPARES_MIN };
    let mut spares = Vec::new();
    for path in candidates {
        let bytes = match std::fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            // The first segment was made of it: what a first start that was killed had left.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let fits = spares.len() < most && bytes == segment_bytes;
        if fits && (was_closed || segment::leave_pages(&path).is_ok()) {
            spares.push(path);
        } else {
            std::fs::remove_file(&path)?;
        }
    }
    if !listing.spares.is_empty() || has_renamed {
        segment::sync_dir(dir)?;
    }
    Ok(spares)
}
