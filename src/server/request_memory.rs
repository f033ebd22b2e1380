//! Memory for requests while they are read and handled: `limits.memory_bytes`, in permits of a KiB.
//!
//! ```text
//! small request: all that it announces at once, in the order of arrival
//! large request: SMALL at once, then what its bytes need as they come ──┬─▶ common, if nobody waits there
//!                                                                       └─▶ its turn ─▶ reserve, then common
//! ```
//! A peer that announces much and sends little holds little, and stands in nobody's way: large requests never wait in the line of the small ones, except
//! for the one that has the turn. That one can use the reserve, which is as large as the largest request, so that requests of which each has a
//! part do not wait for each other for ever.

use crate::wire::frame::Cover;
use std::io;
use std::sync::Arc;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// What a request may take before its bytes are there.
const SMALL_BYTES: usize = 1 << 20;

/// All of it.
#[derive(Debug)]
pub(crate) struct RequestMemory {
    common: Arc<Semaphore>,
    common_kib: usize,
    reserve: Arc<Semaphore>,
    /// Who has it may use the reserve.
    turn: Arc<Semaphore>,
}

/// What one request has of it; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Room {
    memory: Arc<RequestMemory>,
    bytes: usize,
    /// Of all, and of the common part.
    kib: usize,
    common_kib: usize,
    first: OwnedSemaphorePermit,
    more: Vec<OwnedSemaphorePermit>,
    has_turn: bool,
}

impl RequestMemory {
    /// `request_bytes`: the largest request, at most all of the memory.
    pub fn new(memory_bytes: usize, request_bytes: usize) -> Arc<RequestMemory> {
        let all = (memory_bytes / 1024).clamp(1, Semaphore::MAX_PERMITS);
        let reserve = request_bytes.div_ceil(1024).min(all / 2);
        let common_kib = all - reserve;
        Arc::new(RequestMemory {
            common: Arc::new(Semaphore::new(common_kib)),
            common_kib,
            reserve: Arc::new(Semaphore::new(reserve)),
            turn: Arc::new(Semaphore::new(1)),
        })
    }

    /// Room for a request that announces `bytes`, as far as it gets some in advance. Waits while others use it up.
    ///
    /// # Errors
    /// Never: the semaphores are not closed.
    pub async fn begin(self: &Arc<RequestMemory>, bytes: usize) -> Result<Room, AcquireError> {
        let kib = kib(bytes.min(SMALL_BYTES)).min(self.common_kib);
        let first = self.common.clone().acquire_many_owned(permits(kib)).await?;
        Ok(Room { memory: self.clone(), bytes, kib, common_kib: kib, first, more: Vec::new(), has_turn: false })
    }

    /// Whether more than half of it is in use.
    pub fn is_scarce(&self) -> bool {
        self.common.available_permits() < self.common_kib / 2
    }
}

impl Cover for Room {
    async fn cover(&mut self, bytes: usize) -> io::Result<()> {
        self.grow(bytes).await.map_err(io::Error::other)
    }
}

impl Room {
    /// Makes room for the first `bytes` of the request, which are about to be read. Waits while others use it up.
    ///
    /// # Errors
    /// Never: the semaphores are not closed.
    async fn grow(&mut self, bytes: usize) -> Result<(), AcquireError> {
        let memory = self.memory.clone();
        let wanted = kib(bytes.min(self.bytes)).saturating_sub(self.kib);
        if wanted == 0 {
            return Ok(());
        }
        if !self.has_turn {
            if let Ok(permit) = memory.common.clone().try_acquire_many_owned(permits(wanted)) {
                self.more.push(permit);
                (self.kib, self.common_kib) = (self.kib + wanted, self.common_kib + wanted);
                return Ok(());
            }
            self.more.push(memory.turn.clone().acquire_owned().await?);
            self.has_turn = true;
        }
        // Nobody else takes from it meanwhile.
        let reserved = wanted.min(memory.reserve.available_permits());
        self.more.push(memory.reserve.clone().acquire_many_owned(permits(reserved)).await?);
        // With a memory of hardly more than one request, the largest has all of it.
        let rest = (wanted - reserved).min(memory.common_kib - self.common_kib);
        self.more.push(memory.common.clone().acquire_many_owned(permits(rest)).await?);
        (self.kib, self.common_kib) = (self.kib + wanted, self.common_kib + rest);
        Ok(())
    }

    /// What it holds.
    pub fn into_permits(self) -> impl Iterator<Item = OwnedSemaphorePermit> {
        std::iter::once(self.first).chain(self.more)
    }
}

fn kib(bytes: usize) -> usize {
    bytes.div_ceil(1024)
}

fn permits(kib: usize) -> u32 {
    u32::try_from(kib).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    const MIB: usize = 1 << 20;

    fn memory() -> Arc<RequestMemory> {
        RequestMemory::new(512 * MIB, 100 * MIB)
    }

    fn begun(memory: &Arc<RequestMemory>, bytes: usize) -> Room {
        memory.begin(bytes).now_or_never().expect("need not wait").expect("open")
    }

    /// Six prefixes of four bytes used to stop every client.
    #[test]
    fn whoever_announces_much_and_sends_nothing_holds_little() {
        let memory = memory();
        let mut silent = Vec::new();
        for _ in 0..400 {
            silent.push(begun(&memory, 100 * MIB));
        }
        assert!(memory.begin(MIB).now_or_never().is_some(), "a small one finds a place");
    }

    #[test]
    fn requests_of_which_each_has_a_part_end_one_after_the_other() {
        let memory = memory();
        let mut rooms = Vec::new();
        for _ in 0..8 {
            let mut room = begun(&memory, 100 * MIB);
            room.grow(51 * MIB).now_or_never().expect("need not wait").expect("open");
            rooms.push(room);
        }
        let mut first = rooms.pop().expect("there");
        first.grow(100 * MIB).now_or_never().expect("has the turn and the reserve").expect("open");
        let mut second = rooms.pop().expect("there");
        assert!(second.grow(100 * MIB).now_or_never().is_none(), "one at a time");
        drop(first);
        second.grow(100 * MIB).now_or_never().expect("its turn").expect("open");
        drop((second, rooms));
        assert_eq!(memory.common.available_permits() + memory.reserve.available_permits(), 512 * 1024, "all is back");
    }

    /// Sizes that are no whole KiB, and a memory of just one request: nobody waits for what cannot be.
    #[test]
    fn the_largest_request_fits_whatever_the_limits_are() {
        for (memory_bytes, request_bytes) in [(100_000_000, 100_000_000), (1024, 1024), (1_500_001, 1_500_000)] {
            let memory = RequestMemory::new(memory_bytes, request_bytes);
            let mut room = memory.begin(request_bytes).now_or_never().expect("need not wait").expect("open");
            let covered = room.grow(request_bytes).now_or_never();
            assert!(covered.is_some(), "{memory_bytes} {request_bytes}");
        }
    }

    #[test]
    fn a_large_request_that_waits_lets_small_ones_pass() {
        let memory = memory();
        let mut held = Vec::new();
        while memory.common.available_permits() > 2 * 1024 {
            held.push(begun(&memory, MIB));
        }
        let (mut first, mut second) = (begun(&memory, 100 * MIB), begun(&memory, 100 * MIB));
        first.grow(100 * MIB).now_or_never().expect("by the reserve").expect("open");
        assert!(second.grow(50 * MIB).now_or_never().is_none());
        held.pop();
        assert!(memory.begin(MIB).now_or_never().is_some());
    }
}
