//! Who may have a request under way: two pools, so that receivers that hang or are not known yet never take what the others need.
//!
//! ```text
//!   unknown ──quick answer──▶ proven (up to hooks.endpoint_concurrency, from the larger pool)
//!      ▲                        │
//!      └── slow, or no answer ──┘   (up to 2, from the smaller pool)
//! ```
//! Owner: `Pools` are shared; a `Window` is its endpoint's task's. Bound: `hooks.concurrency` in both pools together; whoever finds its pool full waits
//! in order.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A receiver that takes longer is slow.
pub const SLOW: Duration = Duration::from_secs(1);
/// Requests under way of an endpoint that is slow or not known yet.
pub const UNPROVEN_MAX: usize = 2;

/// Of all endpoints.
#[derive(Debug, Clone)]
pub struct Pools {
    proven: Arc<Semaphore>,
    unproven: Arc<Semaphore>,
}

/// Leave for one request.
pub type Slot = Option<OwnedSemaphorePermit>;

impl Pools {
    /// A third is for those that are not proven, one at least.
    #[must_use]
    pub fn new(concurrency: usize) -> Pools {
        let unproven = (concurrency / 3).max(1);
        let proven = concurrency.saturating_sub(unproven).max(1);
        Pools { proven: Arc::new(Semaphore::new(proven)), unproven: Arc::new(Semaphore::new(unproven)) }
    }

    /// Waits for its turn in the pool.
    pub async fn take(&self, is_proven: bool) -> Slot {
        let pool = if is_proven { &self.proven } else { &self.unproven };
        // They are never closed.
        pool.clone().acquire_owned().await.ok()
    }
}

/// How many requests of one endpoint may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    size: usize,
    most: usize,
    /// The last answer came quickly.
    is_proven: bool,
}

impl Window {
    #[must_use]
    pub fn new(most: usize) -> Window {
        Window { size: 1, most: most.max(1), is_proven: false }
    }

    pub fn set_most(&mut self, most: usize) {
        self.most = most.max(1);
        self.size = self.size.min(self.most);
    }

    /// An answer came, or did not.
    pub fn answered(&mut self, is_answer: bool, took: Duration) {
        self.is_proven = is_answer && took < SLOW;
        self.size = if self.is_proven { (self.size + 1).min(self.most) } else { 1 };
    }

    /// Whether its requests take from the larger pool.
    #[must_use]
    pub fn is_proven(self) -> bool {
        self.is_proven
    }

    /// Requests that may be under way now; `oldest`: how long the oldest one is.
    #[must_use]
    pub fn room(self, oldest: Option<Duration>) -> usize {
        let is_slow = oldest.is_some_and(|age| age >= SLOW);
        let size = if is_slow || !self.is_proven { UNPROVEN_MAX } else { self.size };
        size.min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(5);

    #[test]
    fn quick_answers_widen_and_slow_ones_close() {
        let mut window = Window::new(4);
        assert_eq!((window.room(None), window.is_proven()), (2, false));
        for expected in [2, 3, 4, 4] {
            window.answered(true, QUICK);
            assert_eq!((window.room(None), window.is_proven()), (expected, true));
        }
        assert_eq!(window.room(Some(SLOW)), 2, "while one hangs");
        window.answered(true, SLOW);
        assert_eq!((window.room(None), window.is_proven()), (2, false));
        window.answered(true, QUICK);
        window.answered(false, QUICK);
        assert!(!window.is_proven());
        window.set_most(1);
        assert_eq!(window.room(None), 1);
    }

    #[tokio::test]
    async fn those_that_hang_leave_the_larger_pool_alone() {
        let pools = Pools::new(6);
        let mut hanging = Vec::new();
        for _ in 0..2 {
            hanging.push(pools.take(false).await);
        }
        assert_eq!(pools.unproven.available_permits(), 0);
        let mut proven = Vec::new();
        for _ in 0..4 {
            proven.push(pools.take(true).await);
        }
        assert_eq!(pools.proven.available_permits(), 0);
        drop(hanging);
        assert_eq!(pools.unproven.available_permits(), 2);
    }
}
