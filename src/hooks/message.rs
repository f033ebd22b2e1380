//! What is sent: a record as the body of a request, and the id by which its receiver recognises it.
//!
//! ```text
//! {"type": "order.placed", "timestamp": "…", "data": …, "topic": "order.placed", "partition": 0, "offset": 12, "key": "…", "headers": {…}}
//! ```
//! `type`, `timestamp` and `data` are those of Standard Webhooks' recommendation; the rest says where the event is. What was published with `POST
//! /webhooks` has its own type, and its id as `event_id`.

use super::reading::Read;
use crate::ids::{Timestamp, TopicId};
use crate::records::json::{self, Text, rfc3339};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Headers of what was published with `POST /webhooks`.
pub const EVENT_TYPE: &str = "webhook-event-type";
pub const EVENT_ID: &str = "webhook-event-id";
/// Names of the endpoints that it is for, as a JSON list; without: those whose `events` match its type.
pub const ADDRESSED: &str = "webhook-endpoints";

/// An event on its way to one endpoint.
#[derive(Debug, Clone)]
pub struct Message {
    /// The header `webhook-id`: the same in every attempt, also after a crash.
    pub id: String,
    pub event_type: String,
    pub body: Bytes,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    event_type: &'a str,
    timestamp: String,
    data: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Text>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, Option<Text>>,
}

/// The id of the message that carries the record at this place to the endpoint `endpoint`.
#[must_use]
pub fn message_id(endpoint: &str, topic: TopicId, partition: i32, offset: i64) -> String {
    let mut hash = Sha256::new();
    hash.update(topic.0.as_bytes());
    hash.update(partition.to_be_bytes());
    hash.update(offset.to_be_bytes());
    hash.update(endpoint.as_bytes());
    let mut id = String::from("msg_");
    for byte in hash.finalize().iter().take(15) {
        id.push_str(&format!("{byte:02x}"));
    }
    id
}

/// What decides which events of an ordered endpoint are one after the other: their key, or, for those without, that they have none.
#[must_use]
pub fn order_of(record: &Read) -> u64 {
    let Some(key) = &record.key else { return 0 };
    let hash = Sha256::digest(key);
    let mut first = [0; 8];
    first.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    // 0 stands for no key.
    u64::from_be_bytes(first).max(1)
}

/// The most bytes of an event's type, as of a topic's name. Anybody may write to the topic of what is published: a longer one is none.
const EVENT_TYPE_BYTES_MAX: usize = 249;

/// The type of an event: what its publisher called it, or its topic.
#[must_use]
pub fn event_type<'a>(topic: &'a str, record: &'a Read, is_published: bool) -> &'a str {
    let named = if is_published { record.header(EVENT_TYPE) } else { None };
    let named = named.filter(|name| name.len() <= EVENT_TYPE_BYTES_MAX);
    named.and_then(|name| std::str::from_utf8(name).ok()).unwrap_or(topic)
}

impl Message {
    /// `topic`: as the project calls it. `is_published`: with `POST /webhooks`, so that its headers say what it is.
    #[must_use]
    pub fn new(id: String, topic: &str, partition: i32, record: &Read, is_published: bool) -> Message {
        let event_type = event_type(topic, record, is_published).to_owned();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let is_own = |name: &[u8]| is_published && [EVENT_TYPE, EVENT_ID, ADDRESSED].iter().any(|own| own.as_bytes() == name);
        let headers = record.headers.iter().filter(|(name, _)| !is_own(name));
        let body = Body {
            event_type: &event_type,
            timestamp: rfc3339(record.timestamp),
            data: json::value(record.value.as_deref()),
            event_id: if is_published { record.header(EVENT_ID).map(text) } else { None },
            topic: Some(topic),
            partition: Some(partition),
            offset: Some(record.offset),
            key: if is_published { None } else { record.key.as_deref().map(Text::of) },
            headers: headers.map(|(name, value)| (text(name), value.as_deref().map(Text::of))).collect(),
        };
        let body = to_bytes(&body);
        Message { id, event_type, body }
    }

    /// An event that is in no topic.
    #[must_use]
    pub fn test(id: String, event_type: String, payload: Box<RawValue>, now: Timestamp) -> Message {
        let body = Body {
            event_type: &event_type,
            timestamp: rfc3339(now),
            data: payload,
            event_id: None,
            topic: None,
            partition: None,
            offset: None,
            key: None,
            headers: BTreeMap::new(),
        };
        let body = to_bytes(&body);
        Message { id, event_type, body }
    }
}

fn to_bytes(body: &Body<'_>) -> Bytes {
    Bytes::from(serde_json::to_vec(body).expect("texts, numbers and values that are JSON already always have a JSON form"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn record(value: &'static [u8], headers: Vec<(Bytes, Option<Bytes>)>) -> Read {
        Read {
            offset: 12,
            timestamp: Timestamp(1_700_000_000_123),
            key: Some(bytes("k")),
            value: Some(Bytes::from_static(value)),
            headers,
            omitted: None,
        }
    }

    #[test]
    fn a_record_is_told_with_its_place() {
        let message = Message::new(
            "msg_1".to_owned(),
            "order.placed",
            3,
            &record(br#"{"a":1.50}"#, vec![(bytes("h"), Some(bytes("v")))]),
            false,
        );
        assert_eq!(message.event_type, "order.placed");
        assert_eq!(
            std::str::from_utf8(&message.body),
            Ok(concat!(
                r#"{"type":"order.placed","timestamp":"2023-11-14T22:13:20.123Z","data":{"a":1.50},"#,
                r#""topic":"order.placed","partition":3,"offset":12,"key":"k","headers":{"h":"v"}}"#
            ))
        );
        let message = Message::new("msg_1".to_owned(), "t", 0, &record(b"\xff", Vec::new()), false);
        let body = std::str::from_utf8(&message.body).expect("UTF-8");
        assert!(body.contains(r#""data":{"$base64":"/w=="}"#), "{body}");
    }

    #[test]
    fn what_was_published_has_its_own_type_and_id() {
        let headers = vec![
            (bytes(EVENT_TYPE), Some(bytes("user.created"))),
            (bytes(EVENT_ID), Some(bytes("evt_1"))),
            (bytes(ADDRESSED), Some(bytes("[\"crm\"]"))),
        ];
        let published = Message::new("msg_1".to_owned(), "webhooks.events", 0, &record(b"1", headers.clone()), true);
        let body: serde_json::Value = serde_json::from_slice(&published.body).expect("JSON");
        assert_eq!(body["type"], "user.created");
        assert_eq!(body["event_id"], "evt_1");
        assert!(body.get("headers").is_none() && body.get("key").is_none(), "{body}");
        // In any other topic these headers mean nothing.
        let other = Message::new("msg_1".to_owned(), "t", 0, &record(b"1", headers), false);
        assert_eq!(other.event_type, "t");
    }

    #[test]
    fn ids_are_the_same_again_and_differ_by_all_that_they_name() {
        let (a, b) = (TopicId(Uuid::from_u128(1)), TopicId(Uuid::from_u128(2)));
        let id = message_id("ep_1", a, 0, 7);
        assert_eq!(id, message_id("ep_1", a, 0, 7));
        assert_eq!(id.len(), 34);
        for other in
            [message_id("ep_2", a, 0, 7), message_id("ep_1", b, 0, 7), message_id("ep_1", a, 1, 7), message_id("ep_1", a, 0, 8)]
        {
            assert_ne!(id, other);
        }
    }
}
