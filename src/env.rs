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

/// What the clock may be ahead of the steady one, or behind it, without being told of: it may be the time between reading one and the other.
const CLOCK_SET_MS_MIN: i64 = 1000;

/// The clock and the source of randomness of one broker.
#[derive(Clone)]
pub struct Env {
    clock: Clock,
    random: Arc<Mutex<SmallRng>>,
}

#[derive(Clone)]
enum Clock {
    /// When the broker began, on both clocks.
    System { began: Instant, began_at: Timestamp },
    /// Moved by hand.
    Manual(Arc<Manual>),
}

struct Manual {
    /// Milliseconds since 1970.
    passed: AtomicI64,
    /// How far the clock was set forward since the start; negative: back.
    set_by: AtomicI64,
}

impl Env {
    /// The system's clock, and a generator seeded by the system.
    #[must_use]
    pub fn system() -> Env {
        let clock = Clock::System { began: Instant::now(), began_at: system_time() };
        Env { clock, random: Arc::new(Mutex::new(SmallRng::from_rng(&mut rand::rng()))) }
    }

    /// A clock that stands at `start` until [`Env::advance_ms`], and a generator that repeats itself for the same `seed`.
    #[must_use]
    pub fn manual(start: Timestamp, seed: u64) -> Env {
        Env {
            clock: Clock::Manual(Arc::new(Manual { passed: AtomicI64::new(start.0), set_by: AtomicI64::new(0) })),
            random: Arc::new(Mutex::new(SmallRng::seed_from_u64(seed))),
        }
    }

    /// The time now, for timestamps and retention.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.clock {
            Clock::System { .. } => system_time(),
            Clock::Manual(manual) => Timestamp(manual.passed.load(Ordering::SeqCst) + manual.set_by.load(Ordering::SeqCst)),
        }
    }

    /// The time that it would be if nobody had set the clock since the start: for how long something may last that no restart survives (leases,
    /// sessions). Not to be shown, nor written down.
    #[must_use]
    pub fn steady(&self) -> Timestamp {
        match &self.clock {
            Clock::System { began, began_at } => began_at.plus_ms(i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX)),
            Clock::Manual(manual) => Timestamp(manual.passed.load(Ordering::SeqCst)),
        }
    }

    /// A monotonic moment, for measuring how long something took; never for deciding what a log holds.
    #[must_use]
    pub fn instant(&self) -> Instant {
        Instant::now()
    }

    /// Lets time pass on a manual clock; panics on the system's clock, which nobody can move.
    pub fn advance_ms(&self, ms: i64) {
        self.moved_by_hand().passed.fetch_add(ms, Ordering::SeqCst);
    }

    /// Sets a manual clock forward (back, when negative), while no time passes; panics as [`Env::advance_ms`].
    pub fn set_clock_by_ms(&self, ms: i64) {
        self.moved_by_hand().set_by.fetch_add(ms, Ordering::SeqCst);
    }

    fn moved_by_hand(&self) -> &Manual {
        match &self.clock {
            Clock::System { .. } => panic!("the system clock cannot be moved; build the broker with Env::manual"),
            Clock::Manual(manual) => manual,
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
            Clock::System { .. } => rand::rng().fill(&mut bytes[..]),
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

/// Notices that somebody has set the clock: for whoever keeps moments to come on it.
#[derive(Debug)]
pub struct ClockWatch {
    ahead_ms: i64,
}

impl ClockWatch {
    #[must_use]
    pub fn new(env: &Env) -> ClockWatch {
        ClockWatch { ahead_ms: env.now().ms_since(env.steady()) }
    }

    /// The time, and by how much the clock was set forward (negative: back) since that was told last; `None`: by less than a second.
    pub fn look(&mut self, env: &Env) -> (Timestamp, Option<i64>) {
        let now = env.now();
        let ahead_ms = now.ms_since(env.steady());
        let by_ms = ahead_ms - self.ahead_ms;
        if by_ms.abs() < CLOCK_SET_MS_MIN {
            return (now, None);
        }
        self.ahead_ms = ahead_ms;
        (now, Some(by_ms))
    }
}

fn system_time() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_does_not_move_the_steady_one() {
        let env = Env::manual(Timestamp(1_000), 1);
        env.set_clock_by_ms(-600);
        env.advance_ms(50);
        assert_eq!((env.now(), env.steady()), (Timestamp(450), Timestamp(1_050)));
        let system = Env::system();
        assert!(system.steady().ms_since(system.now()).abs() < 60_000, "they begin together");
    }

    #[test]
    fn a_watch_tells_once_of_a_clock_that_was_set() {
        let env = Env::manual(Timestamp(1_000_000), 1);
        let mut watch = ClockWatch::new(&env);
        env.advance_ms(5_000);
        assert_eq!(watch.look(&env), (Timestamp(1_005_000), None));
        env.set_clock_by_ms(-600);
        assert_eq!(watch.look(&env).1, None, "too little to tell from the time between two looks");
        env.set_clock_by_ms(-600);
        assert_eq!(watch.look(&env), (Timestamp(1_003_800), Some(-1_200)));
        assert_eq!(watch.look(&env).1, None);
    }
}
