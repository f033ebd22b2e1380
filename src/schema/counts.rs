//! How many records did not fit their schema, by topic and reason, since the start.

use super::validation::{Invalid, Reason};
use crate::ids::TopicId;
use dashmap::DashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bound: one row for each topic that exists.
#[derive(Debug, Default)]
pub struct Counts(DashMap<TopicId, Arc<[AtomicU64; Reason::ALL.len()]>>);

impl Counts {
    pub fn add(&self, topic: TopicId, invalid: &[Invalid]) {
        if invalid.is_empty() {
            return;
        }
        let row = self.0.entry(topic).or_default().clone();
        for one in invalid {
            if let Some(count) = row.get(one.reason as usize) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// By reason; all of them, also those that never came up.
    #[must_use]
    pub fn of(&self, topic: TopicId) -> Vec<(Reason, u64)> {
        let row = self.0.get(&topic).map(|row| row.clone());
        let count = |reason: Reason| {
            row.as_ref().and_then(|row| row.get(reason as usize)).map_or(0, |count| count.load(Ordering::Relaxed))
        };
        Reason::ALL.into_iter().map(|reason| (reason, count(reason))).collect()
    }

    /// The topic is gone.
    pub fn forget(&self, topic: TopicId) {
        self.0.remove(&topic);
    }
}
