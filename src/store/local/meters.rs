//! What the committer counts.

use crate::telemetry::metrics::{Counter, Histogram, Metrics};
use std::time::Duration;

/// Handles to what is counted; those of [`Default`] are shown nowhere.
#[derive(Debug, Clone, Default)]
pub struct Meters {
    duration: Histogram,
    batches: Counter,
    written: Counter,
}

impl Meters {
    #[must_use]
    pub fn new(metrics: &Metrics) -> Meters {
        Meters {
            duration: metrics.journal_commit_duration.clone(),
            batches: metrics.journal_batches.clone(),
            written: metrics.journal_written.clone(),
        }
    }

    /// A commit was written, and synced where each one is.
    pub fn committed(&self, took: Duration, batches: usize, bytes: u64) {
        self.duration.observe(took);
        self.batches.inc_by(batches as u64);
        self.written.inc_by(bytes);
    }
}
