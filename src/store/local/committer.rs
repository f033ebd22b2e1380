//! The committer: the one thread that writes the journal.
//!
//! ```text
//! take everything queued (up to 8 MiB, or one larger batch, and what fits into the segment)
//!   -> drop what is fenced off or deleted -> [next segment] -> one vectored write + sync -> index, in memory -> tell the listener -> free room
//!   -> [index, to RocksDB]
//! ```
//! What queues up meanwhile is the next commit; there is no timer, but for [`SyncPolicy::Interval`].
//!
//! It owns the place where the next commit goes. One commit is in flight at a time; with `SyncPolicy::Commit` the write itself carries the
//! sync (`RWF_DSYNC`), one system call for both. Commits that contain anything but appends are synced under every policy: the only other copy
//! of a moved batch may be recycled soon, and a replacement is promised to be durable. No payload is copied or passed over; the buffers are used again for every commit.
//!
//! **A full disk.** Appends enter a segment only where one more is left for moves (reclaim's copies, which free more than they take; see `preparer.rs`):
//! ```text
//!   plenty --an append finds no room for a segment--> full: appends wait; moves that are queued are committed, into what is left of this segment or the reserve
//!     ^                                                |
//!     |                                                +-- retention, a deletion or moves made room --> plenty, or on the reserve
//!     +------------- a segment is kept for moves again <-- on the reserve: only moves are committed until then (`restore_reserve`)
//! ```
//! While it waits, `enter_next_or_make_room` commits moves by way of `commit_taken`, which may enter a segment itself. That ends after one such step: moves enter the
//! reserve (`enter_next_for_moves`), and wait for nothing that they would have to commit.

use super::index::{Index, JournalState};
use super::journal::{self, ALIGNMENT, COMMIT_HEADER_BYTES, CommitHeader, Record, RecordKind};
use super::ledger::{self, Applying, Placed};
use super::preparer::{self, SHARES, Unprepared, Usage};
use super::queue::{Item, Outcome, Purpose, Taken};
use super::segment::{Position, SEGMENT_HEADER_BYTES, Segment};
use super::{Shared, SyncPolicy, lock};
use crate::ids::{LogId, Offset};
use crate::store::{Append, StoreError, SuffixChecksum};
use crate::tasks;
use rustix::io::{Errno, ReadWriteFlags};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const COMMIT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What the kernel takes in one call (UIO_MAXIOV).
const SLICES_MAX: usize = 1024;

/// What the kernel caches in one piece, at least.
const PAGE_BYTES: u64 = 4096;
static ZEROS: [u8; PAGE_BYTES as usize] = [0; PAGE_BYTES as usize];

/// Starts the thread; it ends when the queue is closed and empty, or after the first failure.
pub(super) fn start(shared: &Arc<Shared>, index: &Arc<Index>, segment: Segment, end: Position) -> JoinHandle<()> {
    let (shared, index) = (Arc::clone(shared), Arc::clone(index));
    tasks::thread("fbf-committer", move || {
        let at = if end.seq == segment.seq { end.at } else { SEGMENT_HEADER_BYTES };
        let last_sync = shared.env.instant();
        let mut committer = Committer {
            shared: Arc::clone(&shared),
            index,
            segment,
            at,
            end,
            header: Vec::new(),
            taken: Taken::default(),
            placed: Vec::new(),
            news: Vec::new(),
            told_used: 0,
            is_reserve: false,
            is_dirty: false,
            last_sync,
        };
        if let Err(error) = committer.run() {
            shared.fail(error);
        }
    })
}

/// Between two looks whether a full disk has room.
const FULL_PAUSE: Duration = Duration::from_millis(200);

struct Committer {
    shared: Arc<Shared>,
    index: Arc<Index>,
    segment: Segment,
    /// Where the next commit goes, in `segment`.
    at: u64,
    /// The end of the last commit, perhaps in the segment before.
    end: Position,
    /// Encoded commit and record headers.
    header: Vec<u8>,
    taken: Taken,
    placed: Vec<Placed>,
    /// What to tell once the commit is durable.
    news: Vec<(LogId, Offset)>,
    /// How much of `segment` the preparer was last told to be used, in [`SHARES`]; 0: nothing yet.
    told_used: u64,
    /// `segment` is the one that was kept for moves, and there is no other.
    is_reserve: bool,
    /// Something was written since the last sync.
    is_dirty: bool,
    last_sync: Instant,
}

impl Committer {
    fn run(&mut self) -> Result<(), StoreError> {
        loop {
            self.restore_reserve()?;
            let (limit, patience) = (self.limit(), self.patience());
            let outcome = self.shared.queue.take(&mut self.taken, limit, patience);
            // After a failure elsewhere (reclaim, a row) nothing may be acknowledged any more.
            if self.shared.failure.get().is_some() {
                return Ok(());
            }
            self.commit_taken()?;
            self.sync_if_due(outcome)?;
            self.forget_taken();
            // Whoever waited for the commit knows of it by now.
            self.index.write_many_gathered()?;
            self.note_room();
            if outcome == Outcome::Closed {
                return Ok(());
            }
        }
    }

    /// Bytes of batches and their table in the next commit, at most; one batch may be larger, and goes to the next segment then.
    fn limit(&self) -> usize {
        let room = usize::try_from(self.segment.bytes.saturating_sub(self.at)).unwrap_or(usize::MAX);
        room.saturating_sub(COMMIT_HEADER_BYTES).min(COMMIT_BYTES_MAX)
    }

    fn commit_taken(&mut self) -> Result<(), StoreError> {
        self.drop_refused()?;
        if self.taken.items.is_empty() {
            return Ok(());
        }
        self.note_news();
        // A log's batches behind one another, so that they are read, or sent, in one piece. On disk, where a commit is there as a
        // whole or not at all, only the order of each log counts.
        self.taken.items.sort_by_key(|item| item.append.log);
        self.commit()
    }

    /// Tells who waited for it that all that was taken is done.
    fn forget_taken(&mut self) {
        for passed in self.taken.barriers.drain(..).chain(self.taken.moved.drain(..)) {
            passed();
        }
        self.taken.items.clear();
    }

    /// How long to wait for work: until the next sync is due, if anything is to be synced.
    fn patience(&self) -> Option<Duration> {
        match self.shared.options.sync {
            SyncPolicy::Interval(interval) if self.is_dirty => {
                Some(interval.saturating_sub(self.shared.env.instant().saturating_duration_since(self.last_sync)))
            }
            _ => None,
        }
    }

    /// Drops batches of logs that were deleted, and of writers that were fenced off: they must not even reach the journal, where a
    /// replay could not tell them from batches that their writer wrote in time. The same goes for moves of batches that were replaced or
    /// moved since they were queued.
    fn drop_refused(&mut self) -> Result<(), StoreError> {
        self.drop_stale_moves()?;
        let ledger = lock(&self.shared.ledger);
        self.taken.items.retain(|item| {
            let refusal = match item.purpose {
                Purpose::Move(_) => None,
                _ => ledger.fenced(item.append.log, item.append.fence).err(),
            };
            if let Some(error) = &refusal {
                tracing::warn!(log = %item.append.log, first = %item.append.first, %error, "a batch is dropped");
            }
            refusal.is_none()
        });
        Ok(())
    }

    /// Drops moves of batches that do not lie any more where they were found, or that this very commit replaces or has moved already.
    fn drop_stale_moves(&mut self) -> Result<(), StoreError> {
        // By last offset, the first: what a log's replacements cover does not overlap.
        let mut replaced: BTreeMap<(LogId, Offset), Offset> = BTreeMap::new();
        let mut stale: BTreeSet<Position> = BTreeSet::new();
        let mut moved: BTreeSet<Position> = BTreeSet::new();
        let mut has_twice = false;
        for Item { append, purpose, .. } in &self.taken.items {
            match purpose {
                Purpose::Append => {}
                Purpose::Rewrite | Purpose::Remove => {
                    replaced.insert((append.log, append.last), append.first);
                }
                Purpose::Move(from) => {
                    has_twice |= !moved.insert(*from);
                    if self.index.entry(append.log, append.last)?.is_none_or(|entry| entry.place != *from) {
                        stale.insert(*from);
                    }
                }
            }
        }
        if replaced.is_empty() && stale.is_empty() && !has_twice {
            return Ok(());
        }
        moved.clear();
        let mut is_stale = |item: &Item| {
            let Append { log, first, last, .. } = item.append;
            let is_replaced = || {
                let nearest = replaced.range((log, first)..).next();
                nearest.is_some_and(|((other, _), begin)| *other == log && *begin <= last)
            };
            // The second one of two, of which the index knows neither yet.
            matches!(item.purpose, Purpose::Move(from) if stale.contains(&from) || is_replaced() || !moved.insert(from))
        };
        let before = self.taken.items.len();
        self.taken.items.retain(|item| !is_stale(item));
        let dropped = before - self.taken.items.len();
        self.shared.stale_moves.fetch_add(dropped as u64, Ordering::Relaxed);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        if !self.has_room() {
            self.next_segment()?;
            if self.taken.items.is_empty() {
                return Ok(());
            }
        }
        let mut header = CommitHeader {
            at: Position { seq: self.segment.seq, at: self.at },
            salt: self.segment.salt,
            previous: self.end,
            durable: self.durable_before(),
            total: 0,
            records: 0,
        };
        let records = self.taken.items.iter().map(|item| (record(item), &item.append.bytes[..]));
        journal::encode(&mut self.header, &mut header, records);
        if header.total > self.segment.bytes.saturating_sub(self.at) {
            let limit = self.shared.options.batch_bytes_max();
            return Err(StoreError::TooLarge { bytes: self.taken_bytes(), limit });
        }
        let begun = self.shared.env.instant();
        let is_synced = self.write(header.at.at + header.total)?;
        self.shared.options.meters.committed(begun.elapsed(), self.taken.items.len(), header.total);
        self.place(header.at);
        self.end = header.end();
        self.at = self.end.at;
        if is_synced {
            self.note_synced();
        } else {
            self.is_dirty = true;
        }
        let durable = if self.shared.options.sync == SyncPolicy::Commit { self.end } else { *lock(&self.shared.durable) };
        let state = JournalState { end: self.end, durable, written: 0 };
        let (ledger, accounts) = (&self.shared.ledger, &self.shared.accounts);
        ledger::apply(&self.index, ledger, accounts, &self.placed, state, Applying::Live)?;
        self.tell();
        self.ask_for_next();
        Ok(())
    }

    /// What is known to be on disk before this commit is.
    fn durable_before(&self) -> Position {
        match self.shared.options.sync {
            SyncPolicy::Commit => self.end,
            SyncPolicy::Interval(_) | SyncPolicy::Os => *lock(&self.shared.durable),
        }
    }

    /// Writes the commit; answers whether everything up to its end is on disk then.
    ///
    /// Zeros fill its last page, over which the next commit goes: of a page that is written in part and not in memory, the kernel would first
    /// read the rest from the disk, once per commit.
    fn write(&self, end: u64) -> Result<bool, StoreError> {
        let padded = end.next_multiple_of(PAGE_BYTES).min(self.segment.bytes);
        let mut slices = Vec::with_capacity(2 + self.taken.items.len());
        slices.push(IoSlice::new(&self.header));
        slices.extend(self.taken.items.iter().map(|item| IoSlice::new(&item.append.bytes)));
        let zeros = usize::try_from(padded.saturating_sub(end)).unwrap_or(0);
        slices.push(IoSlice::new(ZEROS.get(..zeros).unwrap_or_default()));
        let is_every_commit_synced = self.shared.options.sync == SyncPolicy::Commit;
        // A commit of more pieces than the kernel takes at once is synced as a whole instead of piece by piece.
        let is_one_call = slices.len() <= SLICES_MAX;
        let flags = if is_every_commit_synced && is_one_call { ReadWriteFlags::DSYNC } else { ReadWriteFlags::empty() };
        let file = &self.segment.file;
        write_all(file, &mut slices, self.at, flags).map_err(|error| self.io_error(&error.into()))?;
        if is_every_commit_synced {
            if !is_one_call {
                file.sync_data().map_err(|error| self.io_error(&error))?;
            }
            return Ok(true);
        }
        if self.taken.items.iter().any(|item| item.purpose != Purpose::Append) {
            self.sync_all()?;
            return Ok(true);
        }
        Ok(false)
    }

    fn sync_all(&self) -> Result<(), StoreError> {
        self.shared.sync_left_segments()?;
        self.segment.file.sync_data().map_err(|error| self.io_error(&error))
    }

    fn note_synced(&mut self) {
        self.is_dirty = false;
        if self.shared.options.sync != SyncPolicy::Commit {
            self.last_sync = self.shared.env.instant();
            *lock(&self.shared.durable) = self.end;
        }
    }

    fn sync_if_due(&mut self, outcome: Outcome) -> Result<(), StoreError> {
        let is_due = match self.shared.options.sync {
            SyncPolicy::Commit => false,
            SyncPolicy::Interval(interval) => {
                self.shared.env.instant().saturating_duration_since(self.last_sync) >= interval || outcome == Outcome::Closed
            }
            SyncPolicy::Os => outcome == Outcome::Closed,
        };
        if !is_due || !self.is_dirty {
            return Ok(());
        }
        self.sync_all()?;
        self.note_synced();
        if outcome == Outcome::Closed {
            // The index learns that all of the journal is on disk, so that the next open has nothing to verify.
            let state = JournalState { end: self.end, durable: self.end, written: 0 };
            ledger::apply(&self.index, &self.shared.ledger, &self.shared.accounts, &[], state, Applying::Live)?;
        }
        Ok(())
    }

    /// Notes where each batch of the commit lies.
    fn place(&mut self, start: Position) {
        let mut at = start.at + self.header.len() as u64;
        self.placed.clear();
        for item in &self.taken.items {
            let record = record(item);
            self.placed.push(Placed {
                log: record.log,
                first: record.first,
                last: record.last,
                max_timestamp: record.max_timestamp,
                length: record.length,
                place: Position { seq: start.seq, at },
                kind: record.kind,
                mark: record.mark,
                moved_from: match item.purpose {
                    Purpose::Move(from) => Some(from),
                    _ => None,
                },
            });
            at += u64::from(record.length);
        }
    }

    /// Notes what the listener is to be told of what was taken, in the order in which it was queued: once per log and run of batches. Only
    /// appends are news.
    fn note_news(&mut self) {
        self.news.clear();
        for Item { append, .. } in self.taken.items.iter().filter(|item| item.purpose == Purpose::Append) {
            match self.news.last_mut() {
                Some((log, last)) if *log == append.log => *last = append.last,
                _ => self.news.push((append.log, append.last)),
            }
        }
    }

    /// Tells the news. What was queued first is told first, over all logs: who waits for the last of some appends finds the others there.
    fn tell(&self) {
        let Some(listener) = self.shared.listener.get() else { return };
        for (log, last) in &self.news {
            listener.committed(*log, *last);
        }
    }

    /// Has the next segment prepared once this one is in real use: a quarter full. From then on tells how full it is.
    fn ask_for_next(&mut self) {
        let used = self.at * SHARES / self.segment.bytes;
        if used <= SHARES / 4 || used <= self.told_used {
            return;
        }
        if self.told_used == 0 {
            self.shared.preparer.want(self.segment.seq + 1);
        }
        self.told_used = used;
        self.shared.preparer.allow(used);
    }

    fn taken_bytes(&self) -> usize {
        self.taken.items.iter().map(Item::journal_bytes).sum()
    }

    /// Whether what was taken fits behind what is in the segment. If not, it is a single batch: of several, [`Queue::take`] takes only as many as fit.
    fn has_room(&self) -> bool {
        self.at + (self.taken_bytes() + COMMIT_HEADER_BYTES) as u64 <= self.segment.bytes
    }

    /// Leaves the segment as it is and goes on in the next one.
    fn next_segment(&mut self) -> Result<(), StoreError> {
        if self.is_dirty {
            lock(&self.shared.unsynced).push((self.end, Arc::clone(&self.segment.file)));
        }
        let is_move = self.taken.items.iter().all(|item| matches!(item.purpose, Purpose::Move(_)));
        if is_move { self.enter_next_for_moves() } else { self.enter_next_or_make_room() }
    }

    /// While the disk has no room for another segment, whoever appends waits: nothing was written, so nothing is lost. Retention, or whoever deletes
    /// a topic, may make room; so do moves, and then there may be some in this segment.
    fn enter_next_or_make_room(&mut self) -> Result<(), StoreError> {
        // What was taken is no move: those before these barriers are committed, and reclaim must not wait for what waits for it.
        for passed in self.taken.moved.drain(..) {
            passed();
        }
        loop {
            self.check_failure()?;
            let is_room_here = self.has_room() && self.may_append();
            if is_room_here || self.try_enter_next(Usage::Appends)? {
                return Ok(());
            }
            self.shared.reclaim.look();
            self.commit_moves()?;
        }
    }

    /// Commits only moves until the segment that is kept for them is there again: else there would be no room to end what they have begun.
    fn restore_reserve(&mut self) -> Result<(), StoreError> {
        while !self.may_append() {
            self.check_failure()?;
            self.note_full(&preparer::no_room(&self.shared, self.segment.seq + 1, Usage::Moves).error)?;
            self.shared.reclaim.look();
            self.commit_moves()?;
        }
        self.note_room();
        Ok(())
    }

    fn may_append(&mut self) -> bool {
        // At the end what is left of it is better used than kept.
        self.is_reserve = self.is_reserve && !self.is_ending() && !self.shared.has_reserve();
        !self.is_reserve
    }

    /// After a failure elsewhere nothing may be acknowledged any more.
    fn check_failure(&self) -> Result<(), StoreError> {
        self.shared.failure.get().map_or(Ok(()), |failure| Err(failure.clone()))
    }

    /// Nobody waits for room any more.
    fn is_ending(&self) -> bool {
        self.shared.queue.is_closed() || self.shared.is_stopping.load(Ordering::Relaxed)
    }

    /// Commits moves before what was taken, if any come soon.
    fn commit_moves(&mut self) -> Result<(), StoreError> {
        let taken = std::mem::take(&mut self.taken);
        let news = std::mem::take(&mut self.news);
        let limit = self.limit();
        self.shared.queue.take_moves(&mut self.taken, limit, FULL_PAUSE);
        self.commit_taken()?;
        self.forget_taken();
        (self.taken, self.news) = (taken, news);
        Ok(())
    }

    /// Moves need the room that is kept for them. Who has used it up must give it back.
    fn enter_next_for_moves(&mut self) -> Result<(), StoreError> {
        while !self.try_enter_next_unless_ending()? {
            self.shared.are_moves_waiting.store(true, Ordering::Relaxed);
            std::thread::sleep(FULL_PAUSE);
        }
        self.shared.are_moves_waiting.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// For moves, which are given up at the end: they would be made again.
    fn try_enter_next_unless_ending(&mut self) -> Result<bool, StoreError> {
        self.check_failure()?;
        if !self.is_ending() {
            return self.try_enter_next(Usage::Moves);
        }
        self.shared.stale_moves.fetch_add(self.taken.items.len() as u64, Ordering::Relaxed);
        self.taken.items.clear();
        Ok(true)
    }

    /// Goes on in the next segment; `false` when the disk has no room for it.
    fn try_enter_next(&mut self, usage: Usage) -> Result<bool, StoreError> {
        match self.shared.preparer.take(self.segment.seq + 1, usage) {
            Ok(segment) => {
                self.segment = segment;
                self.shared.segments.insert_open(&self.segment);
                self.at = SEGMENT_HEADER_BYTES;
                self.told_used = 0;
                self.is_reserve = usage == Usage::Moves && !self.shared.has_reserve();
                self.shared.reclaim.segment_left();
                Ok(true)
            }
            // Given up, see above.
            Err(unprepared) if unprepared.is_disk_full && usage == Usage::Moves && self.is_ending() => Ok(false),
            Err(unprepared) => self.check_wait(unprepared).map(|()| false),
        }
    }

    /// Nobody waits for room now.
    fn note_room(&self) {
        if self.shared.is_disk_full.load(Ordering::Relaxed) && !self.is_ending() {
            self.shared.is_disk_full.store(false, Ordering::Relaxed);
            tracing::info!("the disk has room again: producers go on");
            self.shared.reclaim.look();
        }
    }

    /// Whether it is worth waiting for room, and that it is known that somebody does.
    fn check_wait(&self, Unprepared { error, is_disk_full }: Unprepared) -> Result<(), StoreError> {
        self.check_failure()?;
        if !is_disk_full || self.is_ending() {
            return Err(error);
        }
        self.note_full(&error)
    }

    /// Says so once.
    fn note_full(&self, error: &StoreError) -> Result<(), StoreError> {
        if !self.shared.is_disk_full.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the disk is full: producers wait until there is room");
            // With another policy than `commit`: it may be long until the next turn.
            self.shared.sync_left_segments()?;
        }
        Ok(())
    }

    fn io_error(&self, error: &std::io::Error) -> StoreError {
        let path = super::segment::segment_path(self.shared.segments.dir(), self.segment.seq);
        StoreError::Io(format!("{}: write or sync: {error}", path.display()))
    }
}

/// What the journal says about a queued batch.
fn record(item: &Item) -> Record {
    let append = &item.append;
    let length = u32::try_from(append.bytes.len()).expect("reserve refuses batches larger than a segment, which is below 4 GiB");
    // A checksum of nothing is 0 (CRC-32C of no bytes): then the commit's own checksum covers all of the batch.
    let checksum = if append.checksum.from > length { SuffixChecksum { from: length, crc: 0 } } else { append.checksum };
    Record {
        log: append.log,
        fence: append.fence,
        first: append.first,
        last: append.last,
        max_timestamp: append.max_timestamp,
        length,
        checksum,
        kind: match item.purpose {
            Purpose::Append => RecordKind::New,
            Purpose::Move(_) => RecordKind::Moved,
            Purpose::Rewrite => RecordKind::Rewritten,
            Purpose::Remove => RecordKind::Removed,
        },
        mark: append.mark,
    }
}

/// Writes all of `slices` at `at`, in as many calls as the kernel wants.
fn write_all(file: &File, slices: &mut [IoSlice<'_>], mut at: u64, flags: ReadWriteFlags) -> Result<(), Errno> {
    let mut left = slices;
    while !left.is_empty() {
        match rustix::io::pwritev2(file, left, at, flags) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(written) => {
                at += written as u64;
                IoSlice::advance_slices(&mut left, written);
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

// Commits start where the alignment says; segments begin with one header of whole sectors.
const _: () = assert!(SEGMENT_HEADER_BYTES.is_multiple_of(ALIGNMENT));
