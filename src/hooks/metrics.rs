//! What is counted of webhooks. Labels are outcomes, states and pools, never a URL; one gauge is by endpoint, whose number is bounded, and goes with it.

use super::Hooks;
use super::answer::{Answer, Verdict};
use super::delivery::Status;
use super::slots::Standing;
use crate::telemetry::metrics::{Counter, Gauge, Metrics, level};
use std::sync::Arc;
use std::time::Duration;

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Success,
    /// 429 and 503.
    Throttled,
    /// 410.
    Gone,
    /// Any other status.
    Refused,
    Timeout,
    /// No connection, or one that broke off; an address that must not be asked.
    Unreachable,
}

impl Outcome {
    /// In the order of the enum.
    const NAMES: [&'static str; 6] = ["success", "throttled", "gone", "refused", "timeout", "unreachable"];

    fn of(answer: &Answer) -> Outcome {
        match (answer.verdict(), answer.status) {
            (Verdict::Success, _) => Outcome::Success,
            (Verdict::Gone, _) => Outcome::Gone,
            (Verdict::Failed, Some(_)) if answer.is_pressed() => Outcome::Throttled,
            (Verdict::Failed, Some(_)) => Outcome::Refused,
            (Verdict::Failed, None) if answer.has_timed_out => Outcome::Timeout,
            (Verdict::Failed, None) => Outcome::Unreachable,
        }
    }
}

/// Handles, those of each event looked up once.
pub struct Meters {
    metrics: Arc<Metrics>,
    /// By [`Outcome`].
    attempts: [Counter; Outcome::NAMES.len()],
    successful: Counter,
    failed: Counter,
    cancelled: Counter,
}

impl Meters {
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Meters {
        let attempts = Outcome::NAMES.map(|outcome| metrics.webhook_attempts.of([outcome]));
        let settled = ["success", "failed", "cancelled"].map(|status| metrics.webhook_deliveries.of([status]));
        let [successful, failed, cancelled] = settled;
        Meters { metrics, attempts, successful, failed, cancelled }
    }

    /// A request was made, and answered or not.
    pub fn attempted(&self, answer: &Answer) {
        if let Some(counter) = self.attempts.get(Outcome::of(answer) as usize) {
            counter.inc();
        }
        self.metrics.webhook_attempt_duration.observe(Duration::from_millis(answer.duration_ms));
    }

    /// Nothing is to be done for an event any more.
    pub fn settled(&self, status: Status) {
        match status {
            Status::Pending => {}
            Status::Success => {
                self.successful.inc();
            }
            Status::Failed => {
                self.failed.inc();
            }
            Status::Cancelled => {
                self.cancelled.inc();
            }
        }
    }

    pub fn retried(&self) {
        self.metrics.webhook_retries.inc();
    }

    pub fn postponed(&self) {
        self.metrics.webhook_postponed.inc();
    }

    /// A dead letter was written.
    pub fn buried(&self, why: &'static str) {
        self.metrics.webhook_dead_letters.of([why]).inc();
    }

    /// Ranges, and offsets in them, are to be sent again.
    pub fn replayed(&self, (ranges, offsets): (usize, i64)) {
        self.metrics.webhook_replays.inc_by(ranges as u64);
        self.metrics.webhook_replayed_offsets.inc_by(u64::try_from(offsets).unwrap_or(0));
    }

    /// For the unsettled events of the endpoint with this id.
    #[must_use]
    pub fn unsettled(&self, endpoint: &str) -> Gauge {
        self.metrics.webhook_unsettled.of([endpoint.to_owned()])
    }

    /// The endpoint is deleted.
    pub fn forget(&self, endpoint: &str) {
        self.metrics.webhook_unsettled.forget([endpoint.to_owned()]);
    }
}

impl Hooks {
    /// Measures what is looked at only when somebody asks: endpoints, slots and memory.
    pub fn measure(&self) {
        let metrics = &self.shared.meters.metrics;
        let all = self.all();
        let enabled = all.iter().filter(|endpoint| endpoint.is_enabled()).count();
        for (state, count) in [("enabled", enabled), ("disabled", all.len() - enabled)] {
            metrics.webhook_endpoints.of([state]).set(level(count));
        }
        for (standing, size, used) in self.shared.pools.used() {
            let pool = match standing {
                Standing::Unknown => "unknown",
                Standing::Quick => "quick",
                Standing::Slow => "slow",
            };
            metrics.webhook_slots.of([pool]).set(level(size));
            metrics.webhook_slots_used.of([pool]).set(level(used));
        }
        let [ahead, again] = self.shared.memory.used();
        for (what, bytes) in [("ahead", ahead), ("again", again)] {
            metrics.webhook_memory_used.of([what]).set(level(bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    //! Goal: that each answer counts as what an operator would call it. Method: one answer of each kind, and the counters after it.

    use super::*;

    fn answered(status: u16) -> Answer {
        Answer { status: Some(status), duration_ms: 3, ..Answer::default() }
    }

    #[test]
    fn attempts_are_counted_by_what_the_receiver_did() {
        let metrics = Arc::new(Metrics::default());
        let meters = Meters::new(metrics.clone());
        let late = Answer { has_timed_out: true, ..Answer::failed("no answer within 1000 ms", 1000) };
        let answers = [
            (answered(204), "success"),
            (answered(429), "throttled"),
            (answered(503), "throttled"),
            (answered(410), "gone"),
            (answered(302), "refused"),
            (answered(500), "refused"),
            (late, "timeout"),
            (Answer::failed("the receiver cannot be reached", 1), "unreachable"),
        ];
        for (answer, outcome) in &answers {
            let counter = metrics.webhook_attempts.of([*outcome]);
            let before = counter.get();
            meters.attempted(answer);
            assert_eq!(counter.get(), before + 1, "{answer:?}");
        }
        let all: u64 = Outcome::NAMES.iter().map(|name| metrics.webhook_attempts.of([*name]).get()).sum();
        assert_eq!(all, answers.len() as u64);
    }

    #[test]
    fn deliveries_are_counted_by_status_and_a_deleted_endpoint_is_not_shown() {
        let metrics = Arc::new(Metrics::default());
        let meters = Meters::new(metrics.clone());
        for status in [Status::Success, Status::Failed, Status::Failed, Status::Cancelled, Status::Pending] {
            meters.settled(status);
        }
        let counts = ["success", "failed", "cancelled"].map(|status| metrics.webhook_deliveries.of([status]).get());
        assert_eq!(counts, [1, 2, 1]);
        meters.replayed((2, 50));
        assert_eq!((metrics.webhook_replays.get(), metrics.webhook_replayed_offsets.get()), (2, 50));
        meters.buried("attempts-exhausted");
        let unsettled = meters.unsettled("ep_1");
        unsettled.set(7);
        assert!(metrics.text().expect("it is written").contains("fbf_webhook_unsettled_events{endpoint=\"ep_1\"} 7\n"));
        meters.forget("ep_1");
        // Its task may end later.
        unsettled.set(8);
        assert!(!metrics.text().expect("it is written").contains("ep_1"));
    }
}
