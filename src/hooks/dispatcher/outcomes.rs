//! What becomes of an event after something was done for it: settled, tried again, given up. Part of the dispatcher.

use super::{DELETED, Dispatcher, Ended, Jobs, PAUSE_MS};
use crate::hooks::answer::{Answer, Verdict};
use crate::hooks::attempt::{About, Began, Done, Reason, bury};
use crate::hooks::delivery::{Delivery, Origin, Status};
use crate::hooks::endpoint::Endpoint;
use crate::hooks::progress::{LaneKey, Place};
use crate::hooks::schedule::{RANDOM_BELOW, delay_ms, longest_ms};
use crate::hooks::slots::Standing;
use crate::tasks;
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, info, warn};

impl Dispatcher {
    /// What becomes of an event after something was done for it.
    pub(super) fn done(&mut self, (place, began, done): Ended, jobs: &Jobs) {
        self.follow_clock();
        if let Done::Answered { answer, .. } = &done {
            self.shared.meters.attempted(answer);
        }
        if self.running.get(&place).is_none_or(|own| !Arc::ptr_eq(own, &began)) {
            return;
        }
        self.running.remove(&place);
        self.is_touched = true;
        match done {
            Done::Answered { endpoint, about, answer } => self.answered(place, &endpoint, &about, &answer, jobs),
            Done::TooLarge { about, bytes } => {
                let most = self.shared.settings().body_bytes;
                let error = format!("the request's body would have {bytes} bytes, more than hooks.body_bytes ({most})");
                let delivery = self.delivery(place, &about).answered(Status::Failed, 0, &Answer::failed(error, 0));
                self.give_up(place, Reason { why: "body-too-large", delivery }, jobs);
            }
            Done::Postponed { endpoint } => {
                self.progress.put_back(place, self.now());
                self.shared.meters.postponed();
                if Arc::ptr_eq(&endpoint, &self.endpoint) {
                    self.window.answered(Standing::Slow);
                    self.unload_idle();
                }
            }
            Done::Missing => {
                if let Some(pending) = self.progress.pending(place) {
                    let about = self.about_missing(place);
                    let answer = Answer::failed(DELETED, 0);
                    let delivery = self.delivery(place, &about).answered(Status::Cancelled, pending.attempts, &answer);
                    self.shared.history.record(&self.endpoint.record.id, delivery);
                    self.shared.meters.settled(Status::Cancelled);
                    self.progress.settle(place);
                }
            }
            Done::Withdrawn => self.progress.put_back(place, self.now()),
            Done::Unread => {
                self.progress.put_back(place, self.now().plus_ms(PAUSE_MS));
                self.unload_held_back();
            }
            Done::Buried { reason, result } => match result {
                Ok(()) => {
                    self.progress.settle(place);
                    self.shared.meters.settled(Status::Failed);
                    self.shared.history.record(&self.endpoint.record.id, reason.delivery);
                }
                Err(error) => {
                    warn!(endpoint = self.endpoint.record.name, %error, "a dead letter could not be written; that is tried again");
                    self.progress.put_back(place, self.now().plus_ms(PAUSE_MS));
                    self.doomed.insert(place, reason);
                    self.unload_held_back();
                }
            },
        }
    }

    /// What an event holds back that waits must not keep others from being read.
    fn unload_held_back(&mut self) {
        if self.endpoint.record.settings.ordered {
            let (progress, now) = (&self.progress, self.now());
            self.loaded.retain(|place, _| !progress.is_held_back(*place, now));
        }
    }

    /// What an answer says of the receiver, whatever becomes of the event.
    fn note_answer(&mut self, answer: &Answer) {
        let standing = Standing::after(answer.status.is_some(), Duration::from_millis(answer.duration_ms));
        if answer.is_pressed() {
            self.window.pressed(standing);
            // One that asks for ages is believed for this event only.
            let longest = longest_ms(&self.shared.settings().retry_schedule_ms);
            let until = answer.retry_after_ms.filter(|ms| *ms <= longest).map(|ms| self.now().plus_ms(ms));
            if until > self.not_before {
                self.not_before = until;
                self.withdraw();
            }
        } else {
            self.window.answered(standing);
        }
        self.unload_idle();
    }

    fn answered(&mut self, place: Place, endpoint: &Arc<Endpoint>, about: &About, answer: &Answer, jobs: &Jobs) {
        // What it says of an endpoint that has changed meanwhile may be about another receiver.
        let is_current = Arc::ptr_eq(endpoint, &self.endpoint);
        if is_current {
            self.note_answer(answer);
        }
        let Some(pending) = self.progress.pending(place) else { return };
        let attempts = pending.attempts.saturating_add(1);
        let now = self.now();
        let verdict = answer.verdict();
        let delivery = self.delivery(place, about);
        let schedule = &self.shared.settings().retry_schedule_ms;
        let random = self.shared.handlers.broker.env.below(RANDOM_BELOW);
        match (verdict, delay_ms(schedule, attempts, random, answer.retry_after_ms)) {
            (Verdict::Success, _) => {
                self.progress.settle(place);
                self.shared.meters.settled(Status::Success);
                self.shared.history.record(&self.endpoint.record.id, delivery.answered(Status::Success, attempts, answer));
            }
            (Verdict::Gone, _) => {
                self.shared.history.record(&self.endpoint.record.id, delivery.answered(Status::Pending, attempts, answer));
                if is_current && !self.is_gone {
                    // When that is full, the next attempt finds it out again.
                    self.is_gone = self.shared.gone.try_send(self.endpoint.clone()).is_ok();
                    self.withdraw();
                    self.unload_idle();
                }
                let pause = if is_current { PAUSE_MS } else { 0 };
                self.progress.put_back(place, now.plus_ms(pause));
                self.unload_held_back();
            }
            (Verdict::Failed, Some(delay_ms)) => {
                let due = now.plus_ms(delay_ms);
                self.progress.retry(place, due);
                self.shared.meters.retried();
                self.unload_held_back();
                let delivery = delivery.answered(Status::Pending, attempts, answer);
                self.shared.history.record(&self.endpoint.record.id, Delivery { next_attempt: Some(due), ..delivery });
                debug!(
                    endpoint = self.endpoint.record.name,
                    id = about.id,
                    attempts,
                    delay_ms,
                    "a webhook failed; it is tried again"
                );
            }
            (Verdict::Failed, None) => {
                let delivery = delivery.answered(Status::Failed, attempts, answer);
                self.give_up(place, Reason { why: "attempts-exhausted", delivery }, jobs);
            }
        }
    }

    /// Puts an event among the dead letters; until it is there, it counts as under way.
    pub(super) fn give_up(&mut self, place: Place, reason: Reason, jobs: &Jobs) {
        let Some(topic) = self.lanes.topic(place.lane.topic).cloned() else { return };
        info!(endpoint = self.endpoint.record.name, id = reason.delivery.id, reason = reason.why, "a webhook is given up");
        let (shared, scope, endpoint) = (self.shared.clone(), self.scope.clone(), self.endpoint.clone());
        let began = Began::default();
        self.running.insert(place, began.clone());
        let letter = async move { (place, began, bury(shared, scope, endpoint, topic, place, reason).await) };
        jobs.push(tasks::owned("webhook dead letter", letter));
    }

    /// Tells of events of a lane before `end`, which are about to be forgotten, that they will not be sent.
    pub(super) fn cancel(&self, key: LaneKey, end: i64, why: &str) {
        let endpoint = &self.endpoint.record.id;
        for offset in self.progress.unsettled_in(key).take_while(|offset| *offset < end) {
            let id = self.endpoint.message_id(key.topic, key.partition, offset);
            // Of what was never tried there is nothing to tell; what is among the dead letters stays there.
            let Some(known) = self.shared.history.get(endpoint, &id).filter(|known| known.status == Status::Pending) else {
                continue;
            };
            let (updated, error) = (self.now(), Some(why.to_owned()));
            let delivery = Delivery { status: Status::Cancelled, updated, error, next_attempt: None, ..known };
            self.shared.history.record(endpoint, delivery);
            self.shared.meters.settled(Status::Cancelled);
        }
    }

    fn delivery(&self, place: Place, about: &About) -> Delivery {
        let topic = self.lanes.topic(place.lane.topic).and_then(|topic| self.scope.own_name(&topic.name));
        let origin = topic.map(|topic| Origin { topic: topic.to_owned(), partition: place.lane.partition, offset: place.offset });
        let delivery = Delivery::new(about.id.clone(), about.event_type.clone(), origin, about.timestamp);
        Delivery { updated: self.now(), ..delivery }
    }

    fn about_missing(&self, place: Place) -> About {
        let topic = self.lanes.topic(place.lane.topic).and_then(|topic| self.scope.own_name(&topic.name));
        let id = self.endpoint.message_id(place.lane.topic, place.lane.partition, place.offset);
        About { id, event_type: topic.unwrap_or_default().to_owned(), timestamp: self.now() }
    }
}
