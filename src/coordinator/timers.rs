//! Deadlines by key: at most one per key. Pure; whoever owns it decides what "now" is.

use crate::ids::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

/// The timers of one shard.
#[derive(Debug)]
pub struct Timers<K> {
    by_key: HashMap<K, Timestamp>,
    by_time: BTreeSet<(Timestamp, K)>,
}

impl<K> Default for Timers<K> {
    fn default() -> Timers<K> {
        Timers { by_key: HashMap::new(), by_time: BTreeSet::new() }
    }
}

impl<K: Clone + Eq + Ord + Hash> Timers<K> {
    /// Sets the deadline of `key`, replacing an earlier one; `None` cancels it.
    pub fn set(&mut self, key: K, at: Option<Timestamp>) {
        let old = match at {
            Some(at) => self.by_key.insert(key.clone(), at),
            None => self.by_key.remove(&key),
        };
        if let Some(old) = old {
            self.by_time.remove(&(old, key.clone()));
        }
        if let Some(at) = at {
            self.by_time.insert((at, key));
        }
    }

    /// Moves all deadlines, to later or (negative) earlier.
    pub fn shift(&mut self, by_ms: i64) {
        let moved = |at: Timestamp| at.plus_ms(by_ms);
        self.by_key.values_mut().for_each(|at| *at = moved(*at));
        self.by_time = std::mem::take(&mut self.by_time).into_iter().map(|(at, key)| (moved(at), key)).collect();
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes out the earliest timer whose deadline has come.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_deadline_of_a_key_counts() {
        let mut timers = Timers::default();
        timers.set("a", Some(Timestamp(10)));
        timers.set("b", Some(Timestamp(20)));
        timers.set("a", Some(Timestamp(30)));
        assert_eq!(timers.next(), Some(Timestamp(20)));
        assert_eq!(timers.pop_due(Timestamp(19)), None);
        assert_eq!(timers.pop_due(Timestamp(40)), Some("b"));
        timers.set("a", None);
        assert_eq!(timers.pop_due(Timestamp(40)), None);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn all_of_them_move() {
        let mut timers = Timers::default();
        timers.set("a", Some(Timestamp(10)));
        timers.set("b", Some(Timestamp(20)));
        timers.shift(100);
        timers.set("a", Some(Timestamp(130)));
        assert_eq!(timers.pop_due(Timestamp(119)), None);
        assert_eq!(timers.pop_due(Timestamp(120)), Some("b"));
        timers.shift(-120);
        assert_eq!((timers.next(), timers.pop_due(Timestamp(10))), (Some(Timestamp(10)), Some("a")));
    }
}
