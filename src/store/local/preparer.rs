//! The preparer: a thread that has the next segment ready before the committer needs it.
//!
//! ```text
//! idle --want(seq)--> making: recycled spare, or new file, fallocated, [filled with zeros] --> ready --take(seq)--> idle
//! ```
//! Owner: the preparer thread makes, the committer wants and takes; one segment ahead. Nothing is prepared until the current segment is a
//! quarter full, so a fresh directory costs no zeros. Filling keeps pace with the committer ([`Preparer::allow`]) and is done when the
//! current segment is three quarters full: a burst of zeros would sit in the device's cache, and each sync waits for what is there. A committer that
//! comes early gets the file as far as it is.
//! Bound: one ready segment, and recycled files as [`spares_of`] says; more are unlinked. A recycled file costs neither zeros nor, often, pages that memory does
//! not have yet: where a topic's deletion makes many free at once, the next ones are written to for half of what new files would cost.
//!
//! Of the disk, [`INDEX_BYTES`] are left to the index, and as much and one segment to moves (see `reclaim.rs`): where appends would use that they wait, until
//! something else makes room, or moves do, which take one segment and give more back. Spares count as room, but none is kept that the index lacks.

use super::lock;
use super::segment::Segment;
use super::{Shared, segment};
use crate::store::StoreError;
use crate::tasks;
use rustix::io::Errno;
use std::fmt::Display;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Recycled files that are kept in any case; with the default size 512 MiB.
pub(super) const SPARES_MIN: usize = 4;
/// Recycled files that are kept at most; with the default size 4 GiB.
const SPARES_MAX: usize = 32;
/// Above [`SPARES_MIN`], recycled files may take one part in so many of what the disk has free: whoever deletes topics wants room.
const SPARES_SHARE: u64 = 16;
/// What is left to the index: whoever makes room (a deletion, a trim, the removal of keys) writes there.
const INDEX_BYTES: u64 = 64 * 1024 * 1024;
/// Between two attempts to make a segment while too many files are open.
const FILES_PAUSE: Duration = Duration::from_millis(200);
/// Between two mebibytes of zeros, so that commits get their share of the disk.
const PAUSE: Duration = Duration::from_millis(1);
/// What a segment is divided into to say how far it is: one share is one mebibyte of a segment of the default size.
pub(super) const SHARES: u64 = 128;

pub(super) struct Preparer {
    state: Mutex<State>,
    /// Something for the thread to do, or to stop doing.
    work: Condvar,
    /// Something is ready.
    ready: Condvar,
}

/// What will be written to a segment first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usage {
    Appends,
    /// Reclaim's copies: the segments that they come from are free then.
    Moves,
}

impl Usage {
    /// What must be left of the disk before a segment of `bytes` is made for it: the segment, and what is kept for others.
    fn room(self, bytes: u64) -> u64 {
        // Appends leave the index more: it grows until the segment is full, and moves must find their share then.
        let shares = match self {
            Usage::Appends => 2,
            Usage::Moves => 1,
        };
        bytes.saturating_add(INDEX_BYTES).saturating_mul(shares)
    }
}

/// The disk has too little.
struct NoRoom;

/// Why there is no segment.
#[derive(Debug)]
pub(super) struct Unprepared {
    pub error: StoreError,
    /// The disk has no room for it: there may be some later, and nothing was lost.
    pub is_disk_full: bool,
}

#[derive(Default)]
struct State {
    wanted: Option<(u64, Usage)>,
    /// The committer waits.
    is_urgent: bool,
    /// How much of the wanted segment may be filled by now, in shares of [`SHARES`].
    allowed: u64,
    /// The thread waits for more to be allowed.
    is_ahead: bool,
    ready: Option<Result<Segment, Unprepared>>,
    spares: Vec<PathBuf>,
    is_closed: bool,
}

impl Preparer {
    pub fn new(spares: Vec<PathBuf>) -> Preparer {
        let state = State { spares, ..State::default() };
        Preparer { state: Mutex::new(state), work: Condvar::new(), ready: Condvar::new() }
    }

    /// Starts preparing segment `seq`, unless that is under way.
    pub fn want(&self, seq: u64) {
        let mut state = lock(&self.state);
        if state.ready.is_none() && state.wanted.is_none() {
            state.wanted = Some((seq, Usage::Appends));
            state.allowed = 0;
            self.work.notify_one();
        }
    }

    /// Lets filling go on as far as the current segment's first `used` shares ask for: from none at a quarter to all at three quarters.
    pub fn allow(&self, used: u64) {
        let mut state = lock(&self.state);
        state.allowed = used.saturating_sub(SHARES / 4).saturating_mul(2).min(SHARES);
        if std::mem::take(&mut state.is_ahead) {
            self.work.notify_one();
        }
    }

    /// Waits for segment `seq`, which is the one after the current. One that was begun for appends may be refused to moves, the first time.
    pub fn take(&self, seq: u64, usage: Usage) -> Result<Segment, Unprepared> {
        let mut state = lock(&self.state);
        // Before anybody works on it: an attempt that fails while nobody waits is given up, and told to nobody.
        state.is_urgent = true;
        loop {
            if let Some(segment) = state.ready.take() {
                state.is_urgent = false;
                return segment;
            }
            if state.wanted.is_none() {
                state.wanted = Some((seq, usage));
            }
            self.work.notify_one();
            if state.is_closed {
                return Err(Unprepared { error: StoreError::Closed, is_disk_full: false });
            }
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether one more spare of `bytes` is of use.
    pub fn has_place(&self, dir: &Path, bytes: u64) -> bool {
        lock(&self.state).spares.len() < spares_max(dir, bytes)
    }

    /// Takes a file that is free, for which there is place: reclaim alone brings any.
    pub fn offer(&self, spare: PathBuf) {
        let mut state = lock(&self.state);
        state.spares.push(spare);
    }

    pub fn close(&self) {
        lock(&self.state).is_closed = true;
        self.work.notify_all();
        self.ready.notify_all();
    }

    /// Whether the disk has room for a segment; spares of `bytes` are room.
    pub fn has_room(&self, dir: &Path, bytes: u64, usage: Usage) -> bool {
        lock(&self.state).has_room(dir, bytes, usage)
    }

    /// A file to make a segment from, `None` for a new one.
    fn take_spare(&self, dir: &Path, bytes: u64, usage: Usage) -> Result<Option<PathBuf>, NoRoom> {
        self.leave_room(dir, bytes);
        let mut state = lock(&self.state);
        if state.has_room(dir, bytes, usage) { Ok(state.spares.pop()) } else { Err(NoRoom) }
    }

    /// Unlinks spares of `bytes` while they are too many for what the disk has free by now.
    fn leave_room(&self, dir: &Path, bytes: u64) {
        let mut state = lock(&self.state);
        while state.spares.len() > spares_max(dir, bytes)
            && let Some(spare) = state.spares.pop()
        {
            if let Err(error) = std::fs::remove_file(&spare) {
                tracing::warn!(file = %spare.display(), %error, "a spare segment cannot be removed");
            }
        }
    }

    /// Waits for the next segment to prepare; `None` at close.
    fn next_wanted(&self) -> Option<(u64, Usage)> {
        let mut state = lock(&self.state);
        loop {
            if state.is_closed {
                return None;
            }
            if let (Some(wanted), None) = (state.wanted, &state.ready) {
                return Some(wanted);
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Rests a little, and until more than `done` shares of the segment may be filled; answers whether to stop filling.
    fn rest(&self, done: u64) -> bool {
        let (mut state, _) = self.work.wait_timeout(lock(&self.state), PAUSE).unwrap_or_else(PoisonError::into_inner);
        while done >= state.allowed && !state.is_urgent && !state.is_closed {
            state.is_ahead = true;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.is_urgent || state.is_closed
    }

    /// Lets some time pass; answers whether to try again.
    fn pause(&self, pause: Duration) -> bool {
        let state = lock(&self.state);
        let closed = self.work.wait_timeout_while(state, pause, |state| !state.is_closed);
        !closed.unwrap_or_else(PoisonError::into_inner).0.is_closed
    }

    fn finish(&self, segment: Result<Segment, Unprepared>) {
        let mut state = lock(&self.state);
        state.wanted = None;
        match segment {
            // Nobody waits yet, and until somebody does, retention may have made room: it is tried again then.
            Err(Unprepared { error, .. }) if !state.is_urgent && !state.is_closed => {
                tracing::warn!(%error, "the next journal segment cannot be prepared yet");
            }
            segment => {
                state.ready = Some(segment);
                self.ready.notify_all();
            }
        }
    }
}

impl State {
    fn has_room(&self, dir: &Path, bytes: u64, usage: Usage) -> bool {
        let spared = bytes.saturating_mul(self.spares.len() as u64);
        free_bytes(dir).saturating_add(spared) >= usage.room(bytes)
    }
}

/// Starts the thread; it ends at close. What is ready then stays behind as an empty segment, which the next open takes as a spare.
pub(super) fn start(shared: &Arc<Shared>) -> JoinHandle<()> {
    let shared = Arc::clone(shared);
    tasks::thread("fbf-preparer", move || {
        while let Some((seq, usage)) = shared.preparer.next_wanted() {
            shared.preparer.finish(make(&shared, seq, usage));
        }
    })
}

fn make(shared: &Shared, seq: u64, usage: Usage) -> Result<Segment, Unprepared> {
    let bytes = shared.options.segment_bytes;
    let dir = shared.segments.dir();
    let spare = shared.preparer.take_spare(dir, bytes, usage).map_err(|NoRoom| no_room(shared, seq, usage))?;
    let mut has_warned = false;
    loop {
        let mut should_stop = |filled: u64| shared.preparer.rest(filled * SHARES / bytes);
        let filling: Option<&mut dyn FnMut(u64) -> bool> = if shared.options.zero_ahead { Some(&mut should_stop) } else { None };
        match Segment::create(dir, seq, bytes, salt(&shared.env), spare.clone(), filling) {
            Err(error) if lacks_files(&error) && shared.preparer.pause(FILES_PAUSE) => {
                if !std::mem::replace(&mut has_warned, true) {
                    tracing::warn!(%error, "the next journal segment cannot be opened yet; producers wait (ulimit -n)");
                }
            }
            made => {
                return made.map_err(|error| {
                    let is_disk_full = matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
                    unprepared(shared, seq, &error, is_disk_full)
                });
            }
        }
    }
}

/// Whether too many files are open, in this process or on the machine: that passes, and nothing was written.
fn lacks_files(error: &std::io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// What is told of segment `seq` while the disk has no room for it.
pub(super) fn no_room(shared: &Shared, seq: u64, usage: Usage) -> Unprepared {
    let needed = usage.room(shared.options.segment_bytes);
    let why = format_args!("less than {needed} bytes are free (for segments, and for the index)");
    unprepared(shared, seq, &why, true)
}

fn unprepared(shared: &Shared, seq: u64, why: &dyn Display, is_disk_full: bool) -> Unprepared {
    let path = segment::segment_path(shared.segments.dir(), seq);
    let why = format!("{}: the next journal segment: {why}; free space or set storage.path", path.display());
    Unprepared { error: StoreError::Io(why), is_disk_full }
}

/// Bytes that are free on the disk of `dir`, for us; where that cannot be told there is plenty.
pub(super) fn free_bytes(dir: &Path) -> u64 {
    match rustix::fs::statvfs(dir) {
        // Some file systems answer zeros for "I do not know" (FUSE without `statfs`).
        Ok(disk) if disk.f_blocks > 0 => disk.f_bavail.saturating_mul(disk.f_frsize),
        Ok(_) | Err(_) => u64::MAX,
    }
}

/// How many spares of `bytes` may be kept on the disk of `dir`.
pub(super) fn spares_max(dir: &Path, bytes: u64) -> usize {
    spares_of(free_bytes(dir), bytes)
}

/// How many spares of `bytes` may be kept beside `free` bytes: none that the index lacks.
fn spares_of(free: u64, bytes: u64) -> usize {
    if free < INDEX_BYTES {
        return 0;
    }
    let share = free / SPARES_SHARE / bytes.max(1);
    usize::try_from(share).unwrap_or(SPARES_MAX).clamp(SPARES_MIN, SPARES_MAX)
}

/// Unlinks spares of `bytes` in `dir`, the journal's, that are too many for what the disk has free.
pub(super) fn leave_room(dir: &Path, bytes: u64) {
    let spares = segment::list(dir).map_or_else(|_| Vec::new(), |listing| listing.spares);
    Preparer::new(spares).leave_room(dir, bytes);
}

/// A number that no former life of a file, and no client, knows.
pub(super) fn salt(env: &crate::env::Env) -> u64 {
    let (high, low) = env.uuid().as_u64_pair();
    // The version and variant bits of a UUID are constant, four in one half and two in the other: mix them.
    high ^ low.rotate_left(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_go_as_far_as_the_segment_before_is_used() {
        let preparer = Preparer::new(Vec::new());
        preparer.want(1);
        for (used, allowed) in [(0, 0), (32, 0), (33, 2), (64, 64), (96, 128), (128, 128)] {
            preparer.allow(used);
            assert_eq!(lock(&preparer.state).allowed, allowed, "{used} shares used");
        }
        assert!(!preparer.rest(127));
    }

    #[test]
    fn spares_take_a_share_of_what_is_free_and_nothing_that_the_index_lacks() {
        const MIB: u64 = 1024 * 1024;
        let free_and_spares = [(63, 0), (64, 4), (10 * 1024, 5), (40 * 1024, 20), (1024 * 1024, 32)];
        for (free, spares) in free_and_spares {
            assert_eq!(spares_of(free * MIB, 128 * MIB), spares, "{free} MiB free");
        }
        assert_eq!(spares_of(u64::MAX, 1), SPARES_MAX);
    }

    #[test]
    fn spares_that_are_too_many_are_given_back() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let names = |count: usize| (0..count).map(|number| dir.path().join(format!("{number:016x}.spare"))).collect::<Vec<_>>();
        for name in names(6) {
            std::fs::write(name, b"").expect("written");
        }
        // Of spares as large as all that is free, the least are kept.
        leave_room(dir.path(), free_bytes(dir.path()));
        let left = segment::list(dir.path()).expect("listed").spares;
        assert_eq!(left.len(), SPARES_MIN);
        let has_place = |count| Preparer::new(names(count)).has_place(dir.path(), free_bytes(dir.path()));
        assert_eq!((has_place(SPARES_MIN - 1), has_place(SPARES_MIN)), (true, false), "nor are more taken");
    }

    #[test]
    fn appends_leave_room_for_a_segment_and_the_index() {
        assert_eq!(Usage::Moves.room(10), INDEX_BYTES + 10);
        assert_eq!(Usage::Appends.room(10), 2 * INDEX_BYTES + 20);
        let dir = tempfile::tempdir().expect("a temporary directory");
        // As many spares as make up for what the disk does not have.
        let bytes = free_bytes(dir.path()) / 4;
        let preparer = Preparer::new(Vec::new());
        let has_room = |bytes, usage| preparer.has_room(dir.path(), bytes, usage);
        assert_eq!((has_room(bytes, Usage::Appends), has_room(bytes, Usage::Moves)), (true, true));
        assert_eq!((has_room(bytes * 3, Usage::Appends), has_room(bytes * 3, Usage::Moves)), (false, true));
        assert!(!has_room(bytes * 5, Usage::Moves));
        preparer.offer(dir.path().join("a spare"));
        assert!(preparer.has_room(dir.path(), bytes * 5, Usage::Moves), "a spare is room");
    }

    /// Whoever takes a segment is told why there is none, also when nothing was wanted before.
    #[test]
    fn who_waits_for_a_segment_is_told_why_there_is_none() {
        let preparer = Arc::new(Preparer::new(Vec::new()));
        preparer.want(1);
        let unprepared = |why: &str| Err(Unprepared { error: StoreError::Io(why.to_owned()), is_disk_full: true });
        preparer.finish(unprepared("full"));
        let own = Arc::clone(&preparer);
        let worker = tasks::thread("test-preparer", move || {
            while own.next_wanted().is_some() {
                own.finish(unprepared("still full"));
            }
        });
        assert!(preparer.take(1, Usage::Appends).is_err());
        preparer.close();
        worker.join().expect("ends");
    }

    #[test]
    fn filling_that_is_ahead_waits_until_it_is_allowed_more_or_to_stop() {
        for (until, is_stopped) in [(Preparer::close as fn(&Preparer), true), (|preparer| preparer.allow(96), false)] {
            let preparer = Arc::new(Preparer::new(Vec::new()));
            preparer.want(1);
            let (own, ended) = (Arc::clone(&preparer), Arc::new(Mutex::new(None)));
            let told = Arc::clone(&ended);
            let thread = tasks::thread("test-filling", move || *lock(&told) = Some(own.rest(2)));
            while !lock(&preparer.state).is_ahead {
                std::thread::yield_now();
            }
            assert_eq!(*lock(&ended), None);
            until(&preparer);
            thread.join().expect("ends");
            assert_eq!(*lock(&ended), Some(is_stopped));
        }
    }
}
