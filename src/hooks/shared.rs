//! What all endpoints' tasks share.

use super::client::Client;
use super::endpoint::Endpoint;
use super::handlers::Handlers;
use super::history::History;
use super::metrics::Meters;
use super::part::Part;
use super::saver::Saver;
use super::slots::Pools;
use super::target::Rules;
use crate::catalog::patterns::Patterns;
use crate::config::Hooks as Settings;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

/// One permit of the memory for events.
const PERMIT_BYTES: usize = 1024;

/// Leave to hold some of the memory.
pub type Room = OwnedSemaphorePermit;

/// `hooks.memory_bytes`, in permits of a kibibyte, in four parts, so that nobody who holds memory waits for somebody who waits for that memory:
/// * half for what endpoints with quick answers read ahead, and a sixth for what the others do;
/// * a sixth each for events that are read again when their request begins, and so hold a slot (`slots.rs`) already: for requests that may still be quick, and
///   for slow ones. A request that moves to the slow slots moves here as well.
pub struct Memory {
    ahead: [Part; 2],
    again: [Part; 2],
}

fn permits(bytes: usize) -> usize {
    bytes.div_ceil(PERMIT_BYTES)
}

impl Memory {
    #[must_use]
    pub fn new(bytes: usize) -> Memory {
        let all = bytes / PERMIT_BYTES;
        let sixth = all / 6;
        let [slow_ahead, quick_again, slow_again] = [sixth, sixth, sixth].map(Part::new);
        Memory { ahead: [slow_ahead, Part::new(all - 3 * sixth)], again: [slow_again, quick_again] }
    }

    /// Waits for room for what is read ahead.
    pub async fn ahead(&self, is_quick: bool, bytes: usize) -> Option<Room> {
        self.ahead[usize::from(is_quick)].take(permits(bytes)).await
    }

    /// Waits for room for what is read again.
    pub async fn again(&self, is_quick: bool, bytes: usize) -> Option<Room> {
        self.again[usize::from(is_quick)].take(permits(bytes)).await
    }

    /// Of `room`, what `bytes` take; `None`: there is not as much.
    #[must_use]
    pub fn part(room: Option<&mut Room>, bytes: usize) -> Option<Room> {
        room?.split(permits(bytes))
    }

    /// As much room as `room` is, of those who are slow; `None`: there is not as much now.
    #[must_use]
    pub fn among_slow(&self, room: &Room) -> Option<Room> {
        let [slow, _] = &self.again;
        slow.take_now(room.num_permits())
    }

    /// Gives back what is more than `bytes` need.
    pub fn keep(room: Option<&mut Room>, bytes: usize) {
        if let Some(room) = room {
            let surplus = room.num_permits().saturating_sub(permits(bytes));
            drop(room.split(surplus));
        }
    }

    /// Bytes in use: read ahead, and read again.
    #[must_use]
    pub fn used(&self) -> [usize; 2] {
        [&self.ahead, &self.again].map(|parts| parts.iter().map(|part| part.used() * PERMIT_BYTES).sum())
    }
}

pub struct Shared {
    pub handlers: Handlers,
    pub client: Client,
    pub rules: Rules,
    pub pools: Pools,
    pub patterns: Patterns,
    pub history: History,
    pub saver: Saver,
    pub memory: Memory,
    pub meters: Meters,
    /// Endpoints, as they are when their receivers say that they are gone.
    pub gone: mpsc::Sender<Arc<Endpoint>>,
    pub stopping: watch::Receiver<bool>,
}

impl Shared {
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.handlers.broker.config.hooks
    }

    /// Returns when the broker stops.
    pub async fn stopped(&self) {
        // The sender goes away only after it has said so.
        let _ = self.stopping.clone().wait_for(|stopping| *stopping).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_hangs_takes_no_memory_of_others() {
        let memory = Memory::new(60 * PERMIT_BYTES);
        let mut all = memory.ahead(false, usize::MAX).await;
        assert_eq!(all.as_ref().map(OwnedSemaphorePermit::num_permits), Some(10));
        let again = memory.again(false, 20 * PERMIT_BYTES).await;
        let quick = memory.ahead(true, 30 * PERMIT_BYTES).await;
        assert!(quick.is_some() && memory.again(true, 10 * PERMIT_BYTES).await.is_some());
        assert_eq!(memory.used(), [40 * PERMIT_BYTES, 10 * PERMIT_BYTES]);
        assert!(memory.among_slow(again.as_ref().expect("room")).is_none(), "the slow ones have nothing left");
        assert!(Memory::part(all.as_mut(), 11 * PERMIT_BYTES).is_none());
        let part = Memory::part(all.as_mut(), 3 * PERMIT_BYTES);
        Memory::keep(all.as_mut(), PERMIT_BYTES);
        assert_eq!(memory.used()[0], 34 * PERMIT_BYTES);
        drop((all, part, again, quick));
        let quick = memory.again(true, 4 * PERMIT_BYTES).await.expect("room");
        let slow = memory.among_slow(&quick);
        drop(quick);
        assert_eq!((slow.map(|room| room.num_permits()), memory.used()), (Some(4), [0, 0]));
    }
}
