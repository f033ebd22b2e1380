//! Clock and randomness: the only file that reads either, so that tests can hold both still.
//!
//! Owner: `Env` is cloned into whoever needs it; all clones share one clock and one seeded generator.

#![expect(clippy::disallowed_methods, reason = "this is the file that may read the clock")]

use crate::ids::Timestamp;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// The clock and the source of randomness of one broker.
#[derive(Clone)]
pub struct Env {
    clock: Clock,
    random: Arc<Mutex<SmallRng>>,
}

#[derive(Clone)]
enum Clock {
    System,
    /// Milliseconds since 1970, moved by hand.
    Manual(Arc<AtomicI64>),
}

impl Env {
    /// The system's clock, and a generator seeded by the system.
    #[must_use]
    pub fn system() -> Env {
        Env { clock: Clock::System, random: Arc::new(Mutex::new(SmallRng::from_rng(&mut rand::rng()))) }
    }

    /// A clock that stands at `start` until [`Env::advance_ms`], and a generator that repeats itself for the same `seed`.
    #[must_use]
    pub fn manual(start: Timestamp, seed: u64) -> Env {
        Env {
            clock: Clock::Manual(Arc::new(AtomicI64::new(start.0))),
            random: Arc::new(Mutex::new(SmallRng::seed_from_u64(seed))),
        }
    }

    /// The time now, for timestamps, sessions and retention.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.clock {
            Clock::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Clock::Manual(ms) => Timestamp(ms.load(Ordering::SeqCst)),
        }
    }

    /// A monotonic moment, for measuring how long something took; never for deciding what a log holds.
    #[must_use]
    pub fn instant(&self) -> Instant {
        Instant::now()
    }

    /// Moves a manual clock; panics on the system's clock, which nobody can move.
    pub fn advance_ms(&self, ms: i64) {
        match &self.clock {
            Clock::System => panic!("the system clock cannot be advanced; build the broker with Env::manual"),
            Clock::Manual(now) => {
                now.fetch_add(ms, Ordering::SeqCst);
            }
        }
    }

    /// A random (version 4) UUID.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        let bytes: [u8; 16] = self.random.lock().unwrap_or_else(PoisonError::into_inner).random();
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// Bytes that nobody can guess: for secrets and keys. With a manual clock they repeat themselves as everything else does.
    #[must_use]
    pub fn secret_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match &self.clock {
            // The small generator's next numbers follow from those that it has given; the thread's is made for this.
            Clock::System => rand::rng().fill(&mut bytes[..]),
            Clock::Manual(_) => self.random.lock().unwrap_or_else(PoisonError::into_inner).fill(&mut bytes[..]),
        }
        bytes
    }

    /// A uniform number below `bound`; 0 when `bound` is 0.
    #[must_use]
    pub fn below(&self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        self.random.lock().unwrap_or_else(PoisonError::into_inner).random_range(0..bound)
    }
}
