//! Permits, of which it is known how many there are altogether.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// See the file's header.
#[derive(Debug, Clone)]
pub struct Part {
    permits: Arc<Semaphore>,
    size: usize,
}

impl Part {
    /// One permit at least.
    #[must_use]
    pub fn new(size: usize) -> Part {
        let size = size.clamp(1, Semaphore::MAX_PERMITS);
        Part { permits: Arc::new(Semaphore::new(size)), size }
    }

    /// Waits in turn for `count` permits; more than there are altogether takes all of them. `None`: never, since it is not closed.
    pub async fn take(&self, count: usize) -> Option<OwnedSemaphorePermit> {
        self.permits.clone().acquire_many_owned(self.most(count)).await.ok()
    }

    /// The same at once, or not at all.
    #[must_use]
    pub fn take_now(&self, count: usize) -> Option<OwnedSemaphorePermit> {
        self.permits.clone().try_acquire_many_owned(self.most(count)).ok()
    }

    fn most(&self, count: usize) -> u32 {
        u32::try_from(count.clamp(1, self.size)).unwrap_or(u32::MAX)
    }

    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Permits that are taken.
    #[must_use]
    pub fn used(&self) -> usize {
        self.size.saturating_sub(self.permits.available_permits())
    }
}
