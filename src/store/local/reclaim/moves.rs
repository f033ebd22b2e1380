//! Moves: what lives in segments that hold little is queued again, so that they can be given away.

use super::Worker;
use crate::store::local::accounts::Account;
use crate::store::local::directory::OpenError;
use crate::store::local::journal::{self, ALIGNMENT, COMMIT_HEADER_BYTES, Found, SegmentReader};
use crate::store::local::preparer::free_bytes;
use crate::store::local::queue::{Item, Purpose};
use crate::store::local::segment::{Access, Position, SEGMENT_HEADER_BYTES, Segment};
use crate::store::{Append, StoreError};
use bytes::Bytes;
use std::collections::HashSet;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError};
use std::time::Duration;

/// Bytes of moves that are queued at a time.
const MOVE_BYTES: usize = 1024 * 1024;
/// And how many: for each the committer looks its batch up.
const MOVES_MAX: usize = 2000;
/// The newest segments are left alone: what dies soon is not worth moving.
const YOUNG_SEGMENTS: u64 = 2;
/// With fewer free segments' worth of room the disk is scarce.
const SCARCE_SEGMENTS: u64 = 8;
/// Between two looks whether the disk is too full for moves, while they are waited for.
const FULL_LOOK: Duration = Duration::from_millis(200);

/// What the journal may waste, in percent.
struct Thrift {
    /// A segment of which less lives is worth moving ...
    living_less_than: u64,
    /// ... once the journal takes more than this of what lives in it, ...
    journal_more_than: u64,
    /// ... if at least so much of what was written to it is dead: what lives takes more than its bytes, and moving it gains nothing else.
    dead_at_least: u64,
}

impl Thrift {
    fn is_worth_moving(&self, account: Account, segment_bytes: u64) -> bool {
        let is_mostly_dead = account.live().saturating_mul(100) < segment_bytes.saturating_mul(self.living_less_than);
        is_mostly_dead && account.dead.saturating_mul(100) >= account.written.saturating_mul(self.dead_at_least)
    }
}

const AMPLE: Thrift = Thrift { living_less_than: 20, journal_more_than: 400, dead_at_least: 0 };
/// A disk that is nearly full: room is worth more than what moving costs.
const SCARCE: Thrift = Thrift { living_less_than: 60, journal_more_than: 125, dead_at_least: 40 };
/// A full one: everybody waits for it.
const FULL: Thrift = Thrift { living_less_than: 85, journal_more_than: 110, dead_at_least: 15 };

/// Whether the file ends before what it should hold.
fn is_cut(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
}

fn place_of(found: &Found, start: Position) -> Position {
    Position { seq: start.seq, at: start.at + found.from as u64 }
}

impl Worker {
    /// Empties old segments that hold little, as long as the journal as a whole takes much more than what lives in it. Each is given away before the
    /// next is read: a disk that is nearly full has room for one.
    pub(super) fn move_mostly_dead(&mut self) -> Result<(), StoreError> {
        if let Some(wait) = &self.unanswered {
            if wait.try_recv() == Err(TryRecvError::Empty) {
                return Ok(());
            }
            self.unanswered = None;
        }
        let segments = self.shared.segments.sizes();
        self.costs.retain(|seq, _| segments.iter().any(|(kept, _)| kept == seq));
        let mut tried = HashSet::new();
        // What is written meanwhile is for the next time: others wait for this thread.
        let end = self.shared.accounts.lock().state.end.seq;
        while let Some(seq) = self.mostly_dead().into_iter().find(|seq| *seq < end && !tried.contains(seq)) {
            if self.shared.reclaim.is_closed() || !self.move_living(seq)? {
                return Ok(());
            }
            self.free_empty()?;
            tried.insert(seq);
            if self.shared.reclaim.is_asked() {
                // What was trimmed or deleted makes room for less; the rest is looked at again behind it.
                return Ok(());
            }
        }
        Ok(())
    }

    fn scarce_bytes(&self) -> u64 {
        self.shared.options.segment_bytes.saturating_mul(SCARCE_SEGMENTS)
    }

    /// By what is free on the disk.
    fn thrift(&self) -> &'static Thrift {
        if self.shared.is_disk_full.load(Ordering::Relaxed) {
            &FULL
        } else if free_bytes(self.shared.segments.dir()) < self.scarce_bytes() {
            &SCARCE
        } else {
            &AMPLE
        }
    }

    /// What is worth moving, the deadest first.
    fn mostly_dead(&self) -> Vec<u64> {
        let thrift = self.thrift();
        let sizes = self.shared.segments.sizes();
        let accounts = self.shared.accounts.lock();
        let live = |seq: u64| accounts.segments.get(&seq).map_or(0, |account| account.live());
        let size_total: u64 = sizes.iter().map(|(_, bytes)| bytes).sum();
        let live_total: u64 = sizes.iter().map(|(seq, _)| live(*seq)).sum();
        if size_total.saturating_mul(100) <= live_total.saturating_mul(thrift.journal_more_than) {
            return Vec::new();
        }
        let is_victim = |(seq, bytes): &(u64, u64)| {
            let is_old = seq.saturating_add(YOUNG_SEGMENTS) < accounts.state.end.seq;
            let account = accounts.segments.get(seq).copied().unwrap_or_default();
            let is_worth_it = thrift.is_worth_moving(account, *bytes) || AMPLE.is_worth_moving(account, *bytes);
            is_old && account.live() > 0 && is_worth_it && !self.unmovable.contains(seq)
        };
        let mut victims: Vec<u64> = sizes.iter().filter(|size| is_victim(size)).map(|(seq, _)| *seq).collect();
        victims.sort_by_key(|seq| live(*seq));
        victims
    }

    fn living_bytes(&self, seq: u64) -> u64 {
        self.shared.accounts.lock().segments.get(&seq).map_or(0, |account| account.live())
    }

    /// Whether moving segment `seq` would end: all that lives in it must fit into what moves may be sure of, where the disk has little more. What else is
    /// written meanwhile waits for that.
    fn is_room_for(&mut self, reader: &mut SegmentReader, seq: u64) -> Result<Result<bool, io::Error>, StoreError> {
        if free_bytes(self.shared.segments.dir()) >= self.scarce_bytes() {
            return Ok(Ok(true));
        }
        let live = self.living_bytes(seq);
        if live > self.room_for_moves() {
            // It costs that at least: nothing is read to be told so.
            return Ok(Ok(false));
        }
        let cost = match self.costs.get(&seq) {
            Some((of, cost)) if *of == live => *cost,
            _ => match self.cost_of_moving(reader, seq)? {
                Ok(cost) => cost,
                Err(error) => return Ok(Err(error)),
            },
        };
        self.costs.insert(seq, (live, cost));
        Ok(Ok(cost <= self.room_for_moves()))
    }

    /// The segment that is kept for moves, else the rest of this one while appends wait.
    fn room_for_moves(&self) -> u64 {
        let bytes = self.shared.options.segment_bytes;
        if self.shared.has_reserve() {
            return bytes.saturating_sub(SEGMENT_HEADER_BYTES);
        }
        if self.shared.is_disk_full.load(Ordering::Relaxed) {
            return bytes.saturating_sub(self.shared.accounts.lock().state.end.at);
        }
        // Appends write there, too.
        0
    }

    /// Bytes of the journal that the living batches of a segment take when they are moved, at most.
    fn cost_of_moving(&self, reader: &mut SegmentReader, seq: u64) -> Result<Result<u64, io::Error>, StoreError> {
        let (mut at, mut bytes, mut count) = (SEGMENT_HEADER_BYTES, 0, 0);
        loop {
            let commit = match reader.commit_at(at) {
                Ok(Some(commit)) => commit,
                Ok(None) => break,
                Err(error) => return Ok(Err(error)),
            };
            for found in &commit.found {
                if self.is_living(found, Position { seq, at })? {
                    bytes += u64::from(found.record.length) + journal::table_bytes(false) as u64;
                    count += 1;
                }
            }
            at = commit.header.end().at;
        }
        // They are queued, and committed, a mebibyte or so many at a time; one may be cut by the end of a segment.
        let commits = bytes / MOVE_BYTES as u64 + count / MOVES_MAX as u64 + 2;
        Ok(Ok(bytes + commits * (COMMIT_HEADER_BYTES as u64 + ALIGNMENT)))
    }

    /// Whether the entry of a batch of the commit that starts at `start` points here.
    fn is_living(&self, found: &Found, start: Position) -> Result<bool, StoreError> {
        let entry = self.index.entry(found.record.log, found.record.last)?;
        Ok(entry.is_some_and(|entry| entry.place == place_of(found, start)))
    }

    /// Queues the living batches of segment `seq` again and waits until they are committed; `false` when the store closes, or has no room.
    fn move_living(&mut self, seq: u64) -> Result<bool, StoreError> {
        let segment = match Segment::open(self.shared.segments.dir(), seq, Access::Read) {
            Ok(segment) => segment,
            Err(error) => return Ok(self.leave(seq, &error, matches!(error, OpenError::Lost { .. }))),
        };
        let mut reader = SegmentReader::new(segment);
        match self.is_room_for(&mut reader, seq)? {
            Ok(true) => {}
            Ok(false) => return Ok(true),
            Err(error) => return Ok(self.leave(seq, &error, is_cut(&error))),
        }
        let stale_moves = self.shared.stale_moves.load(Ordering::Relaxed);
        let (mut at, mut moves, mut bytes) = (SEGMENT_HEADER_BYTES, Vec::new(), 0);
        loop {
            let commit = match reader.commit_at(at) {
                Ok(Some(commit)) => commit,
                Ok(None) => break,
                Err(error) => return Ok(self.leave(seq, &error, is_cut(&error))),
            };
            for found in &commit.found {
                let Some(item) = self.move_of(found, reader.bytes(), Position { seq, at })? else { continue };
                bytes += item.append.bytes.len();
                moves.push(item);
                if bytes >= MOVE_BYTES || moves.len() >= MOVES_MAX {
                    bytes = 0;
                    if !self.commit(std::mem::take(&mut moves)) {
                        return Ok(false);
                    }
                }
            }
            at = commit.header.end().at;
        }
        if !moves.is_empty() && !self.commit(moves) {
            return Ok(false);
        }
        let left = self.living_bytes(seq);
        if left > 0 && self.shared.stale_moves.load(Ordering::Relaxed) != stale_moves {
            // Some of its batches are being replaced: tried again when the next segment is left.
            return Ok(true);
        }
        if left > 0 {
            tracing::warn!(seq, left, "a mostly dead journal segment cannot be emptied; it stays as it is");
            self.unmovable.insert(seq);
        }
        Ok(true)
    }

    /// A segment that does not read stays where it is: who reads the batches behind the damage, and only they, will notice. One that is damaged stays so;
    /// what the device or the system refuses now (no descriptor, no memory) is tried again. Answers that others may go on.
    fn leave(&mut self, seq: u64, error: &dyn std::fmt::Display, is_damaged: bool) -> bool {
        tracing::error!(seq, %error, is_damaged, "a mostly dead journal segment does not read; it stays as it is");
        if is_damaged {
            self.unmovable.insert(seq);
        }
        true
    }

    /// The move of one batch of a commit that starts at `start`, if it lives there and can be moved.
    fn move_of(&self, found: &Found, commit: &[u8], start: Position) -> Result<Option<Item>, StoreError> {
        if !self.is_living(found, start)? {
            return Ok(None);
        }
        let (record, place) = (&found.record, place_of(found, start));
        let Some(batch) = found.batch(commit).filter(|_| found.is_intact(commit)) else {
            // Left where it is: a reader of that batch, and only that one, will notice.
            tracing::error!(log = %record.log, offset = %record.first, seq = start.seq, at = place.at, "a stored batch is damaged");
            return Ok(None);
        };
        if batch.len() > self.shared.options.batch_bytes_max() {
            // Written when storage.segment_bytes was larger: it stays where it is, and its segment with it.
            return Ok(None);
        }
        let append = Append {
            log: record.log,
            fence: record.fence,
            first: record.first,
            last: record.last,
            max_timestamp: record.max_timestamp,
            bytes: Bytes::copy_from_slice(batch),
            checksum: record.checksum,
            // The mark's key needs no journal: keys are flushed before the old segment is given away.
            mark: None,
        };
        Ok(Some(Item { permit: None, append, purpose: Purpose::Move(place) }))
    }

    /// Queues moves and waits until they are committed; `false` when the store closes, or the committer waits for room for them, which this thread may have
    /// to make.
    fn commit(&mut self, moves: Vec<Item>) -> bool {
        let (passed, wait) = mpsc::channel();
        let barrier = move || {
            // This thread waits for it, unless the process stops, or it gave up: then the committer has it look again.
            let _ = passed.send(());
        };
        self.shared.queue.push_moves(moves, Box::new(barrier));
        loop {
            match wait.recv_timeout(FULL_LOOK) {
                Err(RecvTimeoutError::Timeout) if self.shared.are_moves_waiting.load(Ordering::Relaxed) => {
                    self.unanswered = Some(wait);
                    return false;
                }
                Err(RecvTimeoutError::Timeout) => {}
                passed => return passed.is_ok(),
            }
        }
    }
}
