//! Deliveries: what became of each event, as endpoints' owners see it, and what it sums up to. Pure.
//!
//! Bound: the newest `hooks.deliveries_kept` of each endpoint, each with at most a kibibyte of its receiver's answer.

use super::answer::Answer;
use crate::ids::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Not tried yet, or to be tried again.
    Pending,
    Success,
    /// Given up: it is in the dead-letter topic.
    Failed,
    /// Not sent, or not again: the event or its topic was deleted before, the endpoint does not take it any more, or its group was moved past it.
    Cancelled,
}

/// Where an event is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// As the project calls it.
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

/// One event for one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    pub id: String,
    pub event_type: String,
    pub status: Status,
    pub attempts: u32,
    /// When the event was first seen, and when this was last changed.
    pub created: Timestamp,
    pub updated: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<Timestamp>,
}

impl Delivery {
    /// One that nothing has happened to.
    #[must_use]
    pub fn new(id: String, event_type: String, origin: Option<Origin>, now: Timestamp) -> Delivery {
        Delivery {
            id,
            event_type,
            status: Status::Pending,
            attempts: 0,
            created: now,
            updated: now,
            origin,
            response_status: None,
            duration_ms: None,
            error: None,
            excerpt: None,
            next_attempt: None,
        }
    }

    /// After `attempts` attempts, the last of which was answered so.
    #[must_use]
    pub fn answered(mut self, status: Status, attempts: u32, answer: &Answer) -> Delivery {
        self.status = status;
        self.attempts = attempts;
        self.response_status = answer.status;
        self.duration_ms = Some(answer.duration_ms);
        self.error = answer.reason();
        self.excerpt = Some(answer.excerpt.clone()).filter(|text| !text.is_empty());
        self
    }
}

/// What deliveries sum up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    pub successful: u64,
    pub failed: u64,
    /// Of the last attempts of both.
    pub duration_ms: u64,
}

impl Totals {
    #[must_use]
    pub fn deliveries(&self) -> u64 {
        self.successful + self.failed
    }

    /// 0 to 1; 1 where nothing was delivered.
    #[must_use]
    pub fn success_rate(&self) -> f64 {
        if self.deliveries() == 0 { 1.0 } else { self.successful as f64 / self.deliveries() as f64 }
    }

    #[must_use]
    pub fn average_duration_ms(&self) -> f64 {
        if self.deliveries() == 0 { 0.0 } else { self.duration_ms as f64 / self.deliveries() as f64 }
    }

    pub fn add(&mut self, other: Totals) {
        self.successful += other.successful;
        self.failed += other.failed;
        self.duration_ms += other.duration_ms;
    }
}

/// The newest deliveries of one endpoint.
#[derive(Debug, Default)]
pub struct Ring {
    by_id: HashMap<String, Delivery>,
    /// The oldest first.
    order: VecDeque<String>,
    pub totals: Totals,
}

impl Ring {
    /// Takes note of a delivery as it is now; of one that is known, when it was first seen stays. At most `kept` are remembered.
    pub fn put(&mut self, mut delivery: Delivery, kept: usize) {
        let duration_ms = delivery.duration_ms.unwrap_or(0);
        match delivery.status {
            Status::Success => self.totals.add(Totals { successful: 1, failed: 0, duration_ms }),
            Status::Failed => self.totals.add(Totals { successful: 0, failed: 1, duration_ms }),
            Status::Pending | Status::Cancelled => {}
        }
        if let Some(known) = self.by_id.get_mut(&delivery.id) {
            delivery.created = known.created;
            *known = delivery;
            return;
        }
        self.order.push_back(delivery.id.clone());
        self.by_id.insert(delivery.id.clone(), delivery);
        while self.order.len() > kept
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_id.remove(&oldest);
        }
    }

    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Delivery> {
        self.by_id.get(id)
    }

    /// The newest first.
    pub fn iter(&self) -> impl Iterator<Item = &Delivery> {
        self.order.iter().rev().filter_map(|id| self.by_id.get(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(id: &str, at: i64) -> Delivery {
        Delivery::new(id.to_owned(), "t".to_owned(), None, Timestamp(at))
    }

    #[test]
    fn a_delivery_keeps_its_place_and_the_oldest_is_forgotten() {
        let mut ring = Ring::default();
        for (at, id) in ["a", "b", "c"].into_iter().enumerate() {
            ring.put(delivery(id, i64::try_from(at).expect("small")), 3);
        }
        let answer = Answer { status: Some(200), duration_ms: 10, ..Answer::default() };
        ring.put(delivery("a", 9).answered(Status::Success, 1, &answer), 3);
        assert_eq!(ring.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["c", "b", "a"]);
        assert_eq!(ring.get("a").map(|one| (one.status, one.created)), Some((Status::Success, Timestamp(0))));
        ring.put(delivery("d", 10), 3);
        assert!(ring.get("a").is_none());
        assert_eq!(ring.totals, Totals { successful: 1, failed: 0, duration_ms: 10 });
    }

    #[test]
    fn rates_are_of_what_is_settled() {
        let mut ring = Ring::default();
        assert_eq!((ring.totals.success_rate(), ring.totals.average_duration_ms()), (1.0, 0.0));
        let bad = Answer { status: Some(500), duration_ms: 30, ..Answer::default() };
        let good = Answer { status: Some(200), duration_ms: 10, ..Answer::default() };
        ring.put(delivery("a", 0).answered(Status::Pending, 1, &bad), 9);
        ring.put(delivery("a", 0).answered(Status::Failed, 2, &bad), 9);
        ring.put(delivery("b", 0).answered(Status::Success, 1, &good), 9);
        assert_eq!((ring.totals.deliveries(), ring.totals.success_rate(), ring.totals.average_duration_ms()), (2, 0.5, 20.0));
        assert_eq!(ring.get("a").and_then(|one| one.error.as_deref()), Some("the receiver answered 500"));
    }
}
