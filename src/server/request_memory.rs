//! Memory for requests while they are read and handled: `limits.memory_bytes`, in permits of a KiB.
//!
//! ```text
//! small request: all that it announces at once, in the order of arrival
//! large request: FIRST at once, EARLY while three quarters of common are free, then what its bytes need as they come ──┬─▶ common, if nobody waits there
//!                                                                                                                   └─▶ its turn ─▶ reserve
//! ```
//! A peer that announces much and sends little holds little. Large requests never wait in the line of the small ones, and never while they hold what
//! another large one waits for: the one that has the turn finds all that it lacks in the reserve. With the default limits it takes 5,000 connections that
//! announce something and send nothing to keep others waiting, each for as long as `connection.rs` has patience with it.

use crate::wire::frame::{Cover, FIRST_BYTES};
use std::io;
use std::sync::Arc;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// What is left for small requests, however large the largest is.
const COMMON_KIB_MIN: usize = 1024;

/// All of it.
#[derive(Debug)]
pub(crate) struct RequestMemory {
    common: Arc<Semaphore>,
    common_kib: usize,
    reserve: Arc<Semaphore>,
    reserve_kib: usize,
    /// Who has it may use the reserve.
    turn: Arc<Semaphore>,
}

/// What one request has of it; given back when it is dropped: the turn last, when the reserve is whole again.
#[derive(Debug)]
pub(super) struct Room {
    memory: Arc<RequestMemory>,
    bytes: usize,
    kib: usize,
    first: OwnedSemaphorePermit,
    /// Few requests have it: a room is moved with each of them.
    large: Option<Box<Large>>,
}

/// What a large request has beyond its first bytes.
#[derive(Debug, Default)]
struct Large {
    more: Vec<OwnedSemaphorePermit>,
    reserved: Vec<OwnedSemaphorePermit>,
    reserved_kib: usize,
    turn: Option<OwnedSemaphorePermit>,
}

impl RequestMemory {
    /// `request_bytes`: the largest request, at most all of the memory.
    pub fn new(memory_bytes: usize, request_bytes: usize) -> Arc<RequestMemory> {
        let all = (memory_bytes / 1024).clamp(2, Semaphore::MAX_PERMITS);
        // With a memory of hardly more than the largest request, the reserve is a little less than that; the little is not charged.
        let reserve_kib = request_bytes.div_ceil(1024).min(all.saturating_sub(COMMON_KIB_MIN).max(all / 2));
        let common_kib = all - reserve_kib;
        Arc::new(RequestMemory {
            common: Arc::new(Semaphore::new(common_kib)),
            common_kib,
            reserve: Arc::new(Semaphore::new(reserve_kib)),
            reserve_kib,
            turn: Arc::new(Semaphore::new(1)),
        })
    }

    /// Room for a request that announces `bytes`, as far as it gets some in advance. Waits while others use it up.
    ///
    /// # Errors
    /// Never: the semaphores are not closed.
    pub async fn begin(self: &Arc<RequestMemory>, bytes: usize) -> Result<Room, AcquireError> {
        let kib = kib(bytes.min(FIRST_BYTES)).min(self.common_kib);
        let first = self.common.clone().acquire_many_owned(permits(kib)).await?;
        Ok(Room { memory: self.clone(), bytes, kib, first, large: None })
    }

    /// What small requests, and what others have of it, come from; all of it, in KiB.
    pub fn common_kib(&self) -> usize {
        self.common_kib
    }

    /// Whether more than half of the common part is in use.
    pub fn is_scarce(&self) -> bool {
        self.common.available_permits() < self.common_kib / 2
    }
}

impl Cover for Room {
    fn cover_if_plenty(&mut self, bytes: usize) -> bool {
        let wanted = self.lacking_kib(bytes);
        let left = self.memory.common.available_permits().saturating_sub(wanted);
        // What comes early must neither make it scarce nor, where all of it is little, leave nothing for the others.
        left >= self.memory.common_kib / 4 * 3 && self.grow_at_once(wanted)
    }

    async fn cover(&mut self, bytes: usize) -> io::Result<()> {
        self.grow(bytes).await.map_err(io::Error::other)
    }
}

impl Room {
    /// What it does not have yet of what the first `bytes` need.
    fn lacking_kib(&self, bytes: usize) -> usize {
        kib(bytes.min(self.bytes)).saturating_sub(self.kib)
    }

    /// Makes room for the first `bytes` of the request, which are about to be read. Waits while others use it up.
    ///
    /// # Errors
    /// Never: the semaphores are not closed.
    async fn grow(&mut self, bytes: usize) -> Result<(), AcquireError> {
        let wanted = self.lacking_kib(bytes);
        if wanted == 0 {
            return Ok(());
        }
        let has_turn = self.large.as_ref().is_some_and(|large| large.turn.is_some());
        if !has_turn && self.grow_at_once(wanted) {
            return Ok(());
        }
        let large = self.large.get_or_insert_default();
        if !has_turn {
            large.turn = Some(self.memory.turn.clone().acquire_owned().await?);
        }
        // Nobody else takes from it; who had the turn before may be giving it back right now.
        let reserved = wanted.min(self.memory.reserve_kib - large.reserved_kib);
        large.reserved.push(self.memory.reserve.clone().acquire_many_owned(permits(reserved)).await?);
        large.reserved_kib += reserved;
        self.kib += wanted;
        Ok(())
    }

    /// Takes so much more of the common part, if nobody waits there; answers whether it did.
    fn grow_at_once(&mut self, wanted_kib: usize) -> bool {
        let Ok(permit) = self.memory.common.clone().try_acquire_many_owned(permits(wanted_kib)) else { return false };
        self.large.get_or_insert_default().more.push(permit);
        self.kib += wanted_kib;
        true
    }

    /// What it holds of the common part. Turn and reserve are given back: others must not wait for them as long as for an answer that may take
    /// minutes. Such a request (none but Produce is above `limits.admin_request_bytes`) is charged for less than it has, then.
    pub fn into_permits(self) -> impl Iterator<Item = OwnedSemaphorePermit> {
        std::iter::once(self.first).chain(self.large.into_iter().flat_map(|large| large.more))
    }
}

fn kib(bytes: usize) -> usize {
    bytes.div_ceil(1024)
}

pub(super) fn permits(kib: usize) -> u32 {
    u32::try_from(kib).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::EARLY_BYTES;
    use futures_util::FutureExt as _;
    use std::pin::pin;

    const MIB: usize = 1 << 20;

    fn begun(memory: &Arc<RequestMemory>, bytes: usize) -> Room {
        memory.begin(bytes).now_or_never().expect("need not wait").expect("open")
    }

    fn has_turn(room: &Room) -> bool {
        room.large.as_ref().is_some_and(|large| large.turn.is_some())
    }

    fn grown(room: &mut Room, bytes: usize) {
        room.grow(bytes).now_or_never().expect("need not wait").expect("open");
    }

    /// Six prefixes of four bytes used to stop every client.
    #[test]
    fn whoever_announces_much_and_sends_nothing_holds_little() {
        let memory = RequestMemory::new(512 * MIB, 100 * MIB);
        let silent: Vec<Room> = (0..5_000)
            .map(|_| {
                let mut room = begun(&memory, 100 * MIB);
                room.cover_if_plenty(EARLY_BYTES);
                room
            })
            .collect();
        begun(&memory, MIB);
        drop(silent);
        assert_eq!(memory.common.available_permits() + memory.reserve.available_permits(), 512 * 1024, "all is back");
    }

    #[test]
    fn while_most_is_free_a_request_has_room_from_its_beginning() {
        let memory = RequestMemory::new(100 * MIB, 20 * MIB);
        let mut requests: Vec<Room> = (0..30).map(|_| begun(&memory, MIB)).collect();
        let covered: Vec<bool> = requests.iter_mut().map(|room| room.cover_if_plenty(EARLY_BYTES)).collect();
        // Of 80 MiB a quarter; all have their first 64 KiB.
        let early = (20 * 1024 - 30 * 64) / (1024 - 64);
        assert_eq!(covered, (0..30).map(|number| number < early).collect::<Vec<bool>>());
        assert!(!memory.is_scarce());
        drop(requests);
        let mut small = begun(&memory, FIRST_BYTES + 1);
        assert!(small.cover_if_plenty(EARLY_BYTES));
        assert_eq!(small.kib, 65, "no more than it announces");
    }

    /// A memory of just one request has a mebibyte in common.
    #[test]
    fn what_comes_early_leaves_something_for_the_others() {
        let memory = RequestMemory::new(100 * MIB, 100 * MIB);
        let mut silent = begun(&memory, 100 * MIB);
        assert!(!silent.cover_if_plenty(EARLY_BYTES));
        begun(&memory, 1000);
    }

    /// Each has a part that the others lack, and all come to their end, one after the other, whatever the limits are.
    #[test]
    fn half_read_requests_do_not_wait_for_each_other_for_ever() {
        for (all, largest) in [(512, 100), (128, 100), (101, 100), (100, 100)] {
            let (memory, largest) = (RequestMemory::new(all * MIB, largest * MIB), largest * MIB);
            let mut rooms: Vec<Room> = (0..8).map(|_| begun(&memory, largest)).collect();
            for bytes in [1, 2, 4, 8, 16, 32, 51] {
                // As far as each gets without waiting.
                rooms.iter_mut().for_each(|room| {
                    if let Ok(permit) = memory.common.clone().try_acquire_many_owned(permits(kib(bytes * MIB) - room.kib)) {
                        room.large.get_or_insert_default().more.push(permit);
                        room.kib = kib(bytes * MIB);
                    }
                });
            }
            let mut first = rooms.pop().expect("there");
            grown(&mut first, largest);
            while let Some(mut next) = rooms.pop() {
                let has_to_wait = has_turn(&first);
                {
                    let mut growing = pin!(next.grow(largest));
                    if has_to_wait && growing.as_mut().now_or_never().is_none() {
                        drop(first);
                        assert!(growing.now_or_never().is_some(), "{all} MiB: it has its turn");
                    }
                }
                first = next;
            }
        }
    }

    #[test]
    fn small_requests_pass_a_large_one_that_waits() {
        let memory = RequestMemory::new(512 * MIB, 100 * MIB);
        let (mut first, mut second) = (begun(&memory, 100 * MIB), begun(&memory, 100 * MIB));
        let mut held: Vec<Room> = Vec::new();
        while memory.common.available_permits() >= 1024 {
            held.push(begun(&memory, FIRST_BYTES));
        }
        grown(&mut first, 100 * MIB);
        assert!(has_turn(&first));
        let mut waiting = pin!(second.grow(50 * MIB));
        assert!(waiting.as_mut().now_or_never().is_none(), "one at a time");
        begun(&memory, FIRST_BYTES);
        // A request that waits for its answer keeps neither turn nor reserve.
        let kept: Vec<_> = first.into_permits().collect();
        assert!(waiting.now_or_never().is_some());
        drop(kept);
    }

    /// Sizes that are no whole KiB, and a memory of just one request: nobody waits for what cannot be.
    #[test]
    fn the_largest_request_fits_whatever_the_limits_are() {
        for (memory_bytes, request_bytes) in
            [(100_000_000, 100_000_000), (1024, 1024), (1 << 20, 1 << 20), (1_500_001, 1_500_000)]
        {
            let memory = RequestMemory::new(memory_bytes, request_bytes);
            grown(&mut begun(&memory, request_bytes), request_bytes);
        }
    }
}
