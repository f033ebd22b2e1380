//! What is done for one event: an attempt, and giving it up. Each is a future of its own that owns what it needs; what follows from its outcome is decided
//! by the dispatcher.

use super::answer::Answer;
use super::client::Request;
use super::delivery::Delivery;
use super::endpoint::Endpoint;
use super::error::HooksError;
use super::message::{Message, order_of};
use super::progress::Place;
use super::publishing::{self, NewRecord};
use super::reading::{Limits, Read, Wanted, read};
use super::scope::Scope;
use super::shared::{Memory, Room, Shared};
use super::slots::{SLOW, Standing};
use super::wanted::{ENDPOINT_ID, SOURCE_TOPIC};
use crate::catalog::Topic;
use crate::config::hooks::EVENTS_TOPIC;
use bytes::Bytes;
use reqwest::Url;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// A message in memory, and its room there.
#[derive(Debug)]
pub struct Loaded {
    pub message: Message,
    pub room: Option<Room>,
}

/// What an attempt needs.
pub struct Job {
    pub shared: Arc<Shared>,
    pub endpoint: Arc<Endpoint>,
    pub url: Url,
    pub topic: Arc<Topic>,
    /// As the project calls it.
    pub topic_name: String,
    pub place: Place,
    /// `None`: the record is read again.
    pub loaded: Option<Loaded>,
    pub standing: Standing,
    /// When the request began; empty while it waits for its turn.
    pub began: Began,
    /// Turns false when nothing is to be sent any more.
    pub leave: Arc<AtomicBool>,
}

/// When a request began. Each attempt has its own, by which it is known.
pub type Began = Arc<OnceLock<Instant>>;

/// What is told of an event whatever becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    pub id: String,
    pub event_type: String,
}

/// What became of it.
#[derive(Debug)]
pub enum Done {
    Answered {
        /// As it was when the request was made.
        endpoint: Arc<Endpoint>,
        about: About,
        answer: Answer,
    },
    /// No attempt was made: its body is too large to be sent.
    TooLarge { about: About, bytes: usize },
    /// It took long, and there was no place among the slow ones.
    Postponed { endpoint: Arc<Endpoint> },
    /// Nothing is to be sent now: the endpoint is another one, or asked to wait, since the attempt was begun.
    Withdrawn,
    /// The record was deleted.
    Missing,
    /// The record cannot be read now.
    Unread,
    /// It is among the dead letters, or could not be put there.
    Buried { reason: Reason, result: Result<(), HooksError> },
}

/// Makes an attempt.
pub async fn attempt(job: Job) -> Done {
    let Job { shared, endpoint, url, topic, topic_name, place, loaded, standing, began, leave } = job;
    // First, so that nothing is in memory twice while it waits.
    let mut slot = shared.pools.take(standing).await;
    if !leave.load(Ordering::Relaxed) {
        return Done::Withdrawn;
    }
    let body_bytes = shared.settings().body_bytes;
    let loaded = match loaded {
        Some(loaded) => loaded,
        None => {
            // As much as it may be, until it is known how much it is.
            let mut room = shared.memory.again(standing != Standing::Slow, body_bytes).await;
            match record(&shared, &topic, place).await {
                Looked::There(record) => {
                    let id = endpoint.message_id(topic.id, place.lane.partition, place.offset);
                    let is_published = topic_name == EVENTS_TOPIC;
                    if let Some(bytes) = record.omitted {
                        let about = About { id, event_type: topic_name };
                        return Done::TooLarge { about, bytes };
                    }
                    let message = Message::new(id, &topic_name, place.lane.partition, &record, is_published);
                    Memory::keep(room.as_mut(), message.body.len());
                    Loaded { message, room }
                }
                Looked::Gone => return Done::Missing,
                Looked::Unread => return Done::Unread,
            }
        }
    };
    let Loaded { message, mut room } = loaded;
    let Message { id, event_type, body } = message;
    let about = About { id: id.clone(), event_type };
    if body.len() > body_bytes {
        return Done::TooLarge { about, bytes: body.len() };
    }
    // Memory may have been waited for: whatever was taken back meanwhile, the URL or a secret that leaked, is not used any more.
    if !leave.load(Ordering::Relaxed) {
        return Done::Withdrawn;
    }
    let env = &shared.handlers.broker.env;
    let _ = began.set(env.instant());
    let secrets = endpoint.secrets(env.now());
    let request = Request { url, id, body, timeout: timeout(&shared, &endpoint) };
    let mut sending = std::pin::pin!(shared.client.send(request, &secrets));
    let answer = tokio::select! {
        answer = &mut sending => answer,
        () = tokio::time::sleep(SLOW), if standing != Standing::Slow => {
            let among_slow = room.as_ref().map(|room| shared.memory.among_slow(room));
            slot = shared.pools.take_slow_now();
            if slot.is_none() || matches!(among_slow, Some(None)) {
                return Done::Postponed { endpoint };
            }
            room = among_slow.flatten();
            sending.await
        }
    };
    drop((slot, room));
    Done::Answered { endpoint, about, answer }
}

/// How long the endpoint's answers are waited for.
#[must_use]
pub fn timeout(shared: &Shared, endpoint: &Endpoint) -> Duration {
    Duration::from_millis(endpoint.timeout_ms(shared.settings()))
}

enum Looked {
    There(Read),
    Gone,
    Unread,
}

/// Reads the record at `place` again.
async fn record(shared: &Shared, topic: &Arc<Topic>, place: Place) -> Looked {
    let (partition, offset) = (place.lane.partition, place.offset);
    let wanted = [Wanted { topic: topic.clone(), partition, from: offset, to: offset.saturating_add(1) }];
    let limits = Limits { records: 1, bytes: 1, wait: Duration::ZERO };
    let Some(mut page) = read(&shared.handlers, &wanted, limits).await.pop() else { return Looked::Unread };
    // It is read by the topic's name, which another topic may have by now.
    if shared.handlers.broker.catalog.topic_by_id(topic.id).is_none() {
        return Looked::Gone;
    }
    match page.records.pop() {
        Some(record) => Looked::There(record),
        None if page.is_gone || page.is_outside || page.next > offset => Looked::Gone,
        None => Looked::Unread,
    }
}

/// Why an event is given up, as its dead letter says.
#[derive(Debug, Clone)]
pub struct Reason {
    /// `attempts-exhausted` or `body-too-large`.
    pub why: &'static str,
    pub delivery: Delivery,
}

/// Puts an event among the dead letters of its project. The letter is durable when it is done.
pub async fn bury(
    shared: Arc<Shared>,
    scope: Scope,
    endpoint: Arc<Endpoint>,
    topic: Arc<Topic>,
    place: Place,
    reason: Reason,
) -> Done {
    let result = write_letter(&shared, &scope, &endpoint, &topic, place, reason.clone()).await;
    Done::Buried { reason, result }
}

async fn write_letter(
    shared: &Shared,
    scope: &Scope,
    endpoint: &Endpoint,
    topic: &Arc<Topic>,
    place: Place,
    reason: Reason,
) -> Result<(), HooksError> {
    let mut room = shared.memory.again(false, shared.settings().body_bytes).await;
    let record = match record(shared, topic, place).await {
        Looked::There(record) => record,
        Looked::Gone => {
            let (endpoint, topic, offset) = (&endpoint.record.name, &topic.name, place.offset);
            tracing::warn!(
                endpoint,
                topic,
                partition = place.lane.partition,
                offset,
                "a webhook was given up after its event was deleted"
            );
            return Ok(());
        }
        Looked::Unread => return Err(HooksError::Unavailable("the event cannot be read now".to_owned())),
    };
    let Reason { why, delivery } = reason;
    let id = delivery.id.clone();
    let source = scope.own_name(&topic.name).unwrap_or(&topic.name).to_owned();
    let order = order_of(&record);
    let value_bytes = record.omitted.unwrap_or_else(|| record.value.as_ref().map_or(0, Bytes::len));
    Memory::keep(room.as_mut(), record.bytes());
    let mut own = NewRecord::default()
        .with_header("webhook-endpoint", endpoint.record.name.clone())
        .with_header(ENDPOINT_ID, endpoint.record.id.clone())
        .with_header("webhook-id", delivery.id)
        .with_header(SOURCE_TOPIC, source)
        .with_header("webhook-source-partition", place.lane.partition.to_string())
        .with_header("webhook-source-offset", place.offset.to_string())
        .with_header("webhook-attempts", delivery.attempts.to_string())
        .with_header("webhook-reason", why);
    if let Some(status) = delivery.response_status {
        own = own.with_header("webhook-last-status", status.to_string());
    }
    if let Some(error) = delivery.error {
        own = own.with_header("webhook-last-error", error);
    }
    let name = scope.kafka_name(&shared.settings().dead_letter_topic);
    let handlers = &shared.handlers;
    // Whatever its first letter is like, later ones are of other topics, with other limits.
    let overrides = BTreeMap::from([("max.message.bytes".to_owned(), i32::MAX.to_string())]);
    let dead_letters = publishing::topic(handlers, &name, None, overrides).await?;
    // Letters of one key stay in order.
    let partitions = u64::try_from(dead_letters.logs.len()).unwrap_or(1).max(1);
    let partition = i32::try_from(order % partitions).unwrap_or(0);
    let now = handlers.broker.env.now();
    let whole = match record.omitted {
        Some(bytes) => Err(format!("it takes {bytes} bytes")),
        None => {
            let headers = record.headers.into_iter().chain(own.headers.iter().cloned()).collect();
            let whole = NewRecord { key: record.key, value: record.value, headers };
            match publishing::publish(handlers, &dead_letters, partition, &[whole], now).await {
                Err(error) if error.is_of_the_record() => Err(error.to_string()),
                written => Ok(written),
            }
        }
    };
    let written = match whole {
        Ok(written) => written.map(drop),
        Err(why) => {
            // Its event stays where it was read, as long as its topic keeps it.
            tracing::warn!(endpoint = endpoint.record.name, topic = name, why, "a dead letter is written without its event");
            // A compacted topic takes nothing without a key.
            own.key = Some(Bytes::from(id));
            let short = own.with_header("webhook-omitted-bytes", value_bytes.to_string());
            publishing::publish(handlers, &dead_letters, partition, &[short], now).await.map(drop)
        }
    };
    if written.is_ok() {
        shared.meters.buried(why);
    }
    written
}
