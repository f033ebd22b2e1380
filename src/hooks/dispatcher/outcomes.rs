//! What becomes of an event after something was done for it: settled, tried again, given up. Part of the dispatcher.

use super::{Dispatcher, Ended, Jobs, PAUSE_MS};
use crate::hooks::answer::{Answer, Verdict};
use crate::hooks::attempt::{About, Began, Done, Reason, bury};
use crate::hooks::delivery::{Delivery, Origin, Status};
use crate::hooks::endpoint::Endpoint;
use crate::hooks::progress::Place;
use crate::hooks::schedule::{RANDOM_BELOW, delay_ms, longest_ms};
use crate::hooks::slots::Standing;
use crate::tasks;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, info, warn};

/// Why an event is not sent.
const CANCELLED: &str = "it is not sent, or not again: its topic was deleted, the endpoint does not take it any more, or the endpoint's group was moved past it";

impl Dispatcher {
    /// What becomes of an event after something was done for it.
    pub(super) fn done(&mut self, (place, began, done): Ended, jobs: &Jobs) {
        self.follow_clock();
        if let Done::Answered { answer, .. } = &done {
            self.shared.meters.attempted(answer);
        }
        if self.running.get(&place).is_none_or(|own| !Arc::ptr_eq(own, &began)) {
            return self.ended_late(place, done);
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
                    let answer = Answer::failed("the event was deleted before it was delivered", 0);
                    self.conclude(self.delivery(place, &about).answered(Status::Cancelled, pending.attempts, &answer));
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
                    self.conclude(reason.delivery);
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
                self.conclude(delivery.answered(Status::Success, attempts, answer));
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

    /// Tells of events whose lanes were forgotten, or that are not wanted any more, that they will not be sent: of those that no lane has.
    pub(super) fn cancel(&self, forgotten: &[Place]) {
        if forgotten.is_empty() {
            return;
        }
        // Of what nobody was told of there is nothing to tell; what is among the dead letters stays there. First, since mostly nothing is pending, and each page
        // with events that the endpoint does not take comes here.
        let is_pending = |one: &Delivery| one.status == Status::Pending;
        let pending = self.shared.history.list(&self.endpoint.record.id, usize::MAX, is_pending);
        if pending.is_empty() {
            return;
        }
        let mut over: HashMap<(i32, i64), Vec<Place>> = HashMap::new();
        for place in forgotten.iter().filter(|place| !self.progress.is_to_come(**place)) {
            over.entry((place.lane.partition, place.offset)).or_default().push(*place);
        }
        for known in pending {
            // Of any topic: the names that the history has say nothing of one that was deleted.
            let places = known.origin.as_ref().and_then(|origin| over.get(&(origin.partition, origin.offset)));
            if places.is_some_and(|places| places.iter().any(|place| self.message_id(*place) == known.id)) {
                let (updated, error) = (self.now(), Some(CANCELLED.to_owned()));
                self.conclude(Delivery { status: Status::Cancelled, updated, error, next_attempt: None, ..known });
            }
        }
    }

    /// What was under way when its lane was forgotten: where the receiver has taken the event, or it is among the dead letters, that is what became of it.
    fn ended_late(&self, place: Place, done: Done) {
        if self.progress.is_to_come(place) {
            return;
        }
        let delivery = match done {
            Done::Answered { about, answer, .. } if answer.verdict() == Verdict::Success => {
                let known = self.shared.history.get(&self.endpoint.record.id, &about.id);
                let known = known.unwrap_or_else(|| self.delivery(place, &about));
                let attempts = known.attempts.saturating_add(1);
                Delivery { updated: self.now(), next_attempt: None, ..known.answered(Status::Success, attempts, &answer) }
            }
            Done::Buried { reason, result: Ok(()) } => reason.delivery,
            _ => return self.cancel(&[place]),
        };
        self.conclude(delivery);
    }

    /// Tells what became of an event in the end.
    fn conclude(&self, delivery: Delivery) {
        self.shared.meters.settled(delivery.status);
        self.shared.history.record(&self.endpoint.record.id, delivery);
    }

    fn message_id(&self, place: Place) -> String {
        self.endpoint.message_id(place.lane.topic, place.lane.partition, place.offset)
    }

    fn delivery(&self, place: Place, about: &About) -> Delivery {
        let topic = self.lanes.topic(place.lane.topic).and_then(|topic| self.scope.own_name(&topic.name));
        let origin = topic.map(|topic| Origin { topic: topic.to_owned(), partition: place.lane.partition, offset: place.offset });
        // Not the event's time: that is its producer's word.
        Delivery::new(about.id.clone(), about.event_type.clone(), origin, self.now())
    }

    fn about_missing(&self, place: Place) -> About {
        let topic = self.lanes.topic(place.lane.topic).and_then(|topic| self.scope.own_name(&topic.name));
        About { id: self.message_id(place), event_type: topic.unwrap_or_default().to_owned() }
    }
}
