//! Who may have a request under way: three pools, so that receivers that hang or are not known yet never take what the others need.
//!
//! ```text
//!   unknown (1 request) ──quick answer──▶ quick (up to the endpoint's concurrency)
//!         │                                  │ ▲
//!         └───────── slow, or no answer ─────┴─┴──▶ slow (up to 2)
//! ```
//! A request that takes longer than [`SLOW`] goes on in the pool of the slow, or ends when that is full, and is made again from there: so nobody
//! keeps a place in the other two for longer, however many receivers begin to hang at once.
//!
//! Owner: `Pools` are shared; a `Window` is its endpoint's task's. Bound: `hooks.concurrency` in all pools together; whoever finds its pool full waits
//! in order.

use super::part::Part;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// A receiver that takes longer is slow.
pub const SLOW: Duration = Duration::from_secs(1);
/// Requests under way of an endpoint that is slow.
pub const SLOW_MAX: usize = 2;

/// What is known of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It was never tried.
    Unknown,
    /// Its last answer came quickly, whatever it was.
    Quick,
    /// Its last answer took long, or did not come.
    Slow,
}

impl Standing {
    /// After an answer came, or did not.
    #[must_use]
    pub fn after(is_answer: bool, took: Duration) -> Standing {
        if is_answer && took < SLOW { Standing::Quick } else { Standing::Slow }
    }
}

/// Of all endpoints.
#[derive(Debug, Clone)]
pub struct Pools {
    unknown: Part,
    quick: Part,
    slow: Part,
}

/// Leave for one request.
pub type Slot = OwnedSemaphorePermit;

impl Pools {
    /// A sixth each is for those that are unknown and slow, one at least.
    #[must_use]
    pub fn new(concurrency: usize) -> Pools {
        let other = (concurrency / 6).max(1);
        let quick = concurrency.saturating_sub(2 * other).max(1);
        Pools { unknown: Part::new(other), quick: Part::new(quick), slow: Part::new(other) }
    }

    fn of(&self, standing: Standing) -> &Part {
        match standing {
            Standing::Unknown => &self.unknown,
            Standing::Quick => &self.quick,
            Standing::Slow => &self.slow,
        }
    }

    /// Waits for its turn in the pool. `None`: never, since pools are not closed.
    pub async fn take(&self, standing: Standing) -> Option<Slot> {
        self.of(standing).take(1).await
    }

    /// Each pool: what is known of those who take from it, how many slots it has, and how many are taken.
    #[must_use]
    pub fn used(&self) -> [(Standing, usize, usize); 3] {
        [Standing::Unknown, Standing::Quick, Standing::Slow].map(|standing| {
            let pool = self.of(standing);
            (standing, pool.size(), pool.used())
        })
    }

    /// A place among the slow ones, if one is free.
    #[must_use]
    pub fn take_slow_now(&self) -> Option<Slot> {
        self.slow.take_now(1)
    }
}

/// How many requests of one endpoint may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    size: usize,
    most: usize,
    standing: Standing,
}

impl Window {
    #[must_use]
    pub fn new(most: usize, standing: Standing) -> Window {
        Window { size: 1, most: most.max(1), standing }
    }

    pub fn set_most(&mut self, most: usize) {
        self.most = most.max(1);
        self.size = self.size.min(self.most);
    }

    /// An answer came, or did not.
    pub fn answered(&mut self, standing: Standing) {
        self.standing = standing;
        self.size = if self.is_quick() { (self.size + 1).min(self.most) } else { 1 };
    }

    /// The receiver says that it has too much to do (429, 503), as soon as it may.
    pub fn pressed(&mut self, standing: Standing) {
        self.standing = standing;
        self.size = if self.is_quick() { (self.size / 2).max(1) } else { 1 };
    }

    /// The pool that its requests take from.
    #[must_use]
    pub fn standing(self) -> Standing {
        self.standing
    }

    #[must_use]
    pub fn is_quick(self) -> bool {
        self.standing == Standing::Quick
    }

    /// Requests that may be under way now; `oldest`: how long the oldest one is.
    #[must_use]
    pub fn room(self, oldest: Option<Duration>) -> usize {
        let is_slow = oldest.is_some_and(|age| age >= SLOW);
        let size = match self.standing {
            Standing::Unknown => 1,
            Standing::Quick if !is_slow => self.size,
            Standing::Quick | Standing::Slow => SLOW_MAX,
        };
        size.min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(5);

    #[tokio::test]
    async fn each_pool_tells_its_size_and_what_is_taken() {
        let pools = Pools::new(60);
        let slots = [pools.take(Standing::Quick).await, pools.take(Standing::Quick).await, pools.take_slow_now()];
        let used = pools.used();
        assert_eq!(used, [(Standing::Unknown, 10, 0), (Standing::Quick, 40, 2), (Standing::Slow, 10, 1)]);
        drop(slots);
        assert!(pools.used().iter().all(|(_, _, used)| *used == 0));
    }

    #[test]
    fn quick_answers_widen_and_slow_ones_close() {
        let mut window = Window::new(4, Standing::Unknown);
        assert_eq!((window.room(None), window.standing()), (1, Standing::Unknown));
        for expected in [2, 3, 4, 4] {
            window.answered(Standing::after(true, QUICK));
            assert_eq!((window.room(None), window.standing()), (expected, Standing::Quick));
        }
        assert_eq!(window.room(Some(SLOW)), 2, "while one hangs");
        window.answered(Standing::after(true, SLOW));
        assert_eq!((window.room(None), window.standing()), (2, Standing::Slow));
        window.answered(Standing::after(true, QUICK));
        window.answered(Standing::after(false, QUICK));
        assert!(!window.is_quick());
        let mut window = Window::new(8, Standing::Quick);
        for _ in 0..7 {
            window.answered(Standing::Quick);
        }
        for expected in [4, 2, 1, 1] {
            window.pressed(Standing::Quick);
            assert_eq!(window.room(None), expected);
        }
        window.set_most(1);
        assert_eq!(window.room(None), 1);
    }

    #[tokio::test]
    async fn those_that_hang_leave_the_other_pools_alone() {
        let pools = Pools::new(12);
        let mut held = Vec::new();
        while let Some(slot) = pools.take_slow_now() {
            held.push(slot);
        }
        assert_eq!(held.len(), 2);
        for (standing, count) in [(Standing::Quick, 8), (Standing::Unknown, 2)] {
            for _ in 0..count {
                held.push(pools.take(standing).await.expect("a place"));
            }
            assert_eq!(pools.of(standing).size() - pools.of(standing).used(), 0);
        }
        held.clear();
        assert!(pools.take_slow_now().is_some());
    }
}
