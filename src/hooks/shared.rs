//! What all endpoints' tasks share.

use super::client::Client;
use super::handlers::Handlers;
use super::history::History;
use super::saver::Saver;
use super::slots::Pools;
use super::target::Rules;
use crate::catalog::patterns::Patterns;
use crate::config::Hooks as Settings;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

/// One permit of the memory for events.
const PERMIT_BYTES: usize = 1024;

/// `hooks.memory_bytes`, in permits of a kibibyte: a third for endpoints that are slow or not known yet, so that what waits for them takes nothing from the others.
pub struct Memory {
    proven: Arc<Semaphore>,
    unproven: Arc<Semaphore>,
    /// Permits of each.
    sizes: [usize; 2],
}

impl Memory {
    #[must_use]
    pub fn new(bytes: usize) -> Memory {
        let all = (bytes / PERMIT_BYTES).clamp(3, Semaphore::MAX_PERMITS);
        let sizes = [all - all / 3, all / 3];
        Memory { proven: Arc::new(Semaphore::new(sizes[0])), unproven: Arc::new(Semaphore::new(sizes[1])), sizes }
    }

    /// Waits for room for `bytes`; more than there is altogether takes all of it.
    pub async fn room(&self, is_quick: bool, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let [proven, unproven] = self.sizes;
        let (semaphore, all) = if is_quick { (&self.proven, proven) } else { (&self.unproven, unproven) };
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES).clamp(1, all)).unwrap_or(u32::MAX);
        // It is never closed.
        semaphore.clone().acquire_many_owned(permits).await.ok()
    }

    /// Of `room`, what `bytes` take.
    #[must_use]
    pub fn part(room: Option<&mut OwnedSemaphorePermit>, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let room = room?;
        let permits = bytes.div_ceil(PERMIT_BYTES).min(room.num_permits());
        room.split(permits)
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
    /// Endpoints whose receivers say that they are gone, by id.
    pub gone: mpsc::Sender<String>,
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
