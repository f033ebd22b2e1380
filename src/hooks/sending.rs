//! What is done with endpoints beside changing them: publish to them, try one, send again, and see: part of [`Hooks`].

use super::Hooks;
use super::answer::Verdict;
use super::attempt::timeout;
use super::client::Request;
use super::delivery::{Delivery, Origin, Status, Totals};
use super::dispatcher::{Range, Replay};
use super::endpoint::Endpoint;
use super::error::HooksError;
use super::message::{ADDRESSED, EVENT_ID, EVENT_TYPE, Message};
use super::offsets;
use super::publishing::{self, NewRecord};
use super::scope::Scope;
use super::slots::{SLOW, Standing};
use crate::config::hooks::EVENTS_TOPIC;
use crate::ids::Timestamp;
use bytes::Bytes;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

const EVENT_TYPE_LENGTH_MAX: usize = 249;
/// Endpoints that one event may name.
const ADDRESSED_MAX: usize = 1000;

/// How long a replay may take to be stored.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was published, and for whom it is.
#[derive(Debug, Clone)]
pub struct Sent {
    pub event_id: String,
    /// The id of each delivery, and its endpoint.
    pub deliveries: Vec<(String, Arc<Endpoint>)>,
}

/// What is to be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Events of the endpoint's topics from one time to another, which is not included.
    Times {
        from: Timestamp,
        to: Option<Timestamp>,
    },
    /// Those of the newest deliveries that have this status.
    Status(Status),
    Delivery(String),
}

impl Hooks {
    /// Publishes an event for the endpoints of these names, or, without names, for those whose `events` match its type. It is durable when this returns.
    ///
    /// # Errors
    /// [`HooksError::Invalid`], [`HooksError::NoEndpoint`], or what writing it answers.
    pub async fn send(
        &self,
        scope: &Scope,
        event_type: &str,
        payload: &RawValue,
        names: Option<&[String]>,
    ) -> Result<Sent, HooksError> {
        check_event_type(event_type)?;
        let endpoints = match names {
            None => self.list(scope).into_iter().filter(|one| one.listens_to(event_type)).collect(),
            Some(names) if names.len() > ADDRESSED_MAX => {
                return Err(HooksError::Invalid(format!("endpoints has {} names; the most is {ADDRESSED_MAX}", names.len())));
            }
            Some(names) => {
                let mut unique: Vec<&String> = names.iter().collect();
                unique.sort_unstable();
                unique.dedup();
                unique.into_iter().map(|name| self.get(scope, name)).collect::<Result<Vec<_>, _>>()?
            }
        };
        let broker = &self.shared.handlers.broker;
        let event_id = format!("evt_{}", broker.env.uuid().simple());
        let mut record = NewRecord {
            key: Some(Bytes::from(event_id.clone())),
            value: Some(Bytes::from(payload.get().to_owned())),
            headers: Vec::new(),
        }
        .with_header(EVENT_TYPE, event_type)
        .with_header(EVENT_ID, event_id.clone());
        if let Some(names) = names {
            let names = serde_json::to_string(names).map_err(|error| HooksError::Invalid(error.to_string()))?;
            record = record.with_header(ADDRESSED, names);
        }
        let is_taken = |one: &Arc<Endpoint>| one.record.settings.filters.take(&record.headers, record.value.as_deref());
        let endpoints: Vec<Arc<Endpoint>> = endpoints.into_iter().filter(is_taken).collect();
        let topic = publishing::topic(&self.shared.handlers, &scope.kafka_name(EVENTS_TOPIC), None, BTreeMap::new()).await?;
        let partitions = u64::try_from(topic.logs.len()).unwrap_or(1);
        let partition = i32::try_from(broker.env.below(partitions)).unwrap_or(0);
        let now = broker.env.now();
        let offset = publishing::publish(&self.shared.handlers, &topic, partition, &[record], now).await?;
        let deliveries: Vec<(String, Arc<Endpoint>)> =
            endpoints.into_iter().map(|one| (one.message_id(topic.id, partition, offset), one)).collect();
        for (id, endpoint) in deliveries.iter().filter(|(_, endpoint)| self.now(endpoint).is_some()) {
            // It may have been delivered already.
            let origin = Origin { topic: EVENTS_TOPIC.to_owned(), partition, offset };
            let delivery = Delivery::new(id.clone(), event_type.to_owned(), Some(origin), now);
            self.shared.history.note_new(&endpoint.record.id, delivery);
        }
        Ok(Sent { event_id, deliveries })
    }

    /// Sends one event that is in no topic, at once and once, and answers what became of it. Also to an endpoint that is disabled.
    ///
    /// # Errors
    /// [`HooksError::Invalid`], [`HooksError::NoEndpoint`].
    pub async fn test(
        &self,
        scope: &Scope,
        name: &str,
        event_type: &str,
        payload: Box<RawValue>,
    ) -> Result<Delivery, HooksError> {
        check_event_type(event_type)?;
        let endpoint = self.get(scope, name)?;
        if endpoint.is_sealed {
            let message =
                format!("the secret of {name:?} was encrypted with another key, so nothing can be signed; rotate it first");
            return Err(HooksError::Invalid(message));
        }
        let url = self.shared.rules.check(&endpoint.record.settings.url).map_err(HooksError::Invalid)?;
        let env = &self.shared.handlers.broker.env;
        let now = env.now();
        let message = Message::test(format!("msg_{}", env.uuid().simple()), event_type.to_owned(), payload, now);
        let most = self.shared.settings().body_bytes;
        if message.body.len() > most {
            let bytes = message.body.len();
            return Err(HooksError::Invalid(format!(
                "the request's body would have {bytes} bytes, more than hooks.body_bytes ({most})"
            )));
        }
        let mut slot = self.shared.pools.take(Standing::Unknown).await;
        let request = Request { url, id: message.id.clone(), body: message.body, timeout: timeout(&self.shared, &endpoint) };
        let secrets = endpoint.secrets(now);
        let mut sending = std::pin::pin!(self.shared.client.send(request, &secrets));
        let answer = tokio::select! {
            answer = &mut sending => answer,
            () = tokio::time::sleep(SLOW) => {
                // Without a place it goes on all the same: whoever waits for it is one of the HTTP API's callers, whose number is bounded.
                slot = self.shared.pools.take_slow_now();
                sending.await
            }
        };
        drop(slot);
        let status = if answer.verdict() == Verdict::Success { Status::Success } else { Status::Failed };
        let delivery = Delivery::new(message.id, message.event_type, None, now).answered(status, 1, &answer);
        let delivery = Delivery { updated: env.now(), ..delivery };
        // An endpoint that was deleted meanwhile has no history any more, and nobody would forget it again.
        if self.now(&endpoint).is_some() {
            self.shared.history.record(&endpoint.record.id, delivery.clone());
        }
        Ok(delivery)
    }

    /// Sends events again, whatever became of them; each has the id that it had. Answers ranges of offsets, and how many these are together: events
    /// that the endpoint does not want are among them. They will be sent, even after a crash, when this returns.
    ///
    /// # Errors
    /// [`HooksError::NoEndpoint`], [`HooksError::NoDelivery`], [`HooksError::Full`], [`HooksError::Invalid`], [`HooksError::Unavailable`].
    pub async fn replay(&self, scope: &Scope, name: &str, what: What) -> Result<(usize, i64), HooksError> {
        let endpoint = self.get(scope, name)?;
        let ranges = match what {
            What::Times { from, to } => self.ranges_between(scope, &endpoint, from, to).await?,
            What::Status(Status::Pending) => {
                return Err(HooksError::Invalid(
                    "status is pending: such deliveries are sent anyway; expected success or failed".to_owned(),
                ));
            }
            What::Status(status) => {
                let all = self.shared.history.list(&endpoint.record.id, usize::MAX, |one| one.status == status);
                self.ranges_of(scope, &endpoint, &all)
            }
            What::Delivery(id) => {
                let delivery = self.delivery(scope, name, &id)?;
                if delivery.origin.is_none() {
                    return Err(HooksError::Invalid(format!(
                        "the delivery {id:?} was a test, whose event is kept nowhere; test again"
                    )));
                }
                let ranges = self.ranges_of(scope, &endpoint, &[delivery]);
                if ranges.is_empty() {
                    return Err(HooksError::NoDelivery(id));
                }
                ranges
            }
        };
        let sender = {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.get(&endpoint.record.id).map(|running| running.replays.clone())
        };
        let not_running = || HooksError::Unavailable(format!("the endpoint {name:?} is being started; try again"));
        let (answer, answered) = oneshot::channel();
        let sender = sender.ok_or_else(not_running)?;
        sender.try_send(Replay { ranges, answer }).map_err(|_| not_running())?;
        let Ok(answered) = tokio::time::timeout(PATIENCE, answered).await else {
            let waited = PATIENCE.as_secs();
            return Err(HooksError::Unavailable(format!("the replay was not stored within {waited} s; it may be all the same")));
        };
        answered.map_err(|_| not_running())?
    }

    async fn ranges_between(
        &self,
        scope: &Scope,
        endpoint: &Endpoint,
        from: Timestamp,
        to: Option<Timestamp>,
    ) -> Result<Vec<Range>, HooksError> {
        if to.is_some_and(|to| to <= from) {
            return Err(HooksError::Invalid("to is not after from".to_owned()));
        }
        let mut ranges = Vec::new();
        for topic in self.topics_of(scope, endpoint).into_values() {
            let handlers = &self.shared.handlers;
            let begins = offsets::at(handlers, &topic, from.0.max(0)).await?;
            let ends = offsets::at(handlers, &topic, to.map_or(offsets::LATEST, |to| to.0.max(0))).await?;
            for (partition, from) in begins {
                if let Some(to) = ends.get(&partition).copied().filter(|to| *to > from) {
                    ranges.push(Range { topic: topic.id, partition, from, to });
                }
            }
        }
        Ok(ranges)
    }

    /// Where these deliveries' events are; neighbours are one range. Those of a topic that was deleted are nowhere, also where its name is back: the id
    /// of a delivery says which topic it was of.
    fn ranges_of(&self, scope: &Scope, endpoint: &Endpoint, deliveries: &[Delivery]) -> Vec<Range> {
        let catalog = &self.shared.handlers.broker.catalog;
        let place = |delivery: &Delivery| {
            let origin = delivery.origin.as_ref()?;
            let topic = catalog.topic(&scope.kafka_name(&origin.topic))?.id;
            let is_of_topic = endpoint.message_id(topic, origin.partition, origin.offset) == delivery.id;
            is_of_topic.then_some((topic, origin.partition, origin.offset))
        };
        let mut places: Vec<(crate::ids::TopicId, i32, i64)> = deliveries.iter().filter_map(place).collect();
        places.sort_unstable();
        let mut ranges: Vec<Range> = Vec::new();
        for (topic, partition, offset) in places {
            match ranges.last_mut() {
                Some(last) if (last.topic, last.partition) == (topic, partition) && last.to >= offset => {
                    last.to = last.to.max(offset + 1);
                }
                _ => ranges.push(Range { topic, partition, from: offset, to: offset + 1 }),
            }
        }
        ranges
    }

    /// Up to `limit` of the endpoint's newest deliveries that `wanted` takes, the newest first.
    ///
    /// # Errors
    /// [`HooksError::NoEndpoint`].
    pub fn deliveries(
        &self,
        scope: &Scope,
        name: &str,
        limit: usize,
        wanted: impl Fn(&Delivery) -> bool,
    ) -> Result<Vec<Delivery>, HooksError> {
        Ok(self.shared.history.list(&self.get(scope, name)?.record.id, limit, wanted))
    }

    /// One of them.
    ///
    /// # Errors
    /// [`HooksError::NoEndpoint`], [`HooksError::NoDelivery`].
    pub fn delivery(&self, scope: &Scope, name: &str, id: &str) -> Result<Delivery, HooksError> {
        let endpoint = self.get(scope, name)?;
        self.shared.history.get(&endpoint.record.id, id).ok_or_else(|| HooksError::NoDelivery(id.to_owned()))
    }

    /// What the project's deliveries sum up to, by endpoint.
    #[must_use]
    pub fn totals(&self, scope: &Scope) -> Vec<(Arc<Endpoint>, Totals)> {
        let all = self.list(scope).into_iter();
        all.map(|endpoint| (endpoint.clone(), self.shared.history.totals(&endpoint.record.id))).collect()
    }
}

fn check_event_type(event_type: &str) -> Result<(), HooksError> {
    let is_legal =
        !event_type.is_empty() && event_type.len() <= EVENT_TYPE_LENGTH_MAX && !event_type.chars().any(char::is_control);
    if is_legal {
        return Ok(());
    }
    Err(HooksError::Invalid(format!(
        "event_type is not valid: expected 1 to {EVENT_TYPE_LENGTH_MAX} characters, such as order.placed"
    )))
}
