//! Records as JSON, and JSON as records.
//!
//! A value is stored as the bytes of its JSON, exactly as they came: numbers keep all their digits. What other clients wrote and is no JSON is
//! shown as `{"$base64": "…"}`.

use crate::ids::Timestamp;
use crate::records;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// An event, as HTTP shows it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Record {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Any JSON; bytes that are no JSON are `{"$base64": "…"}`.
    #[schema(value_type = serde_json::Value)]
    pub value: Box<RawValue>,
    /// RFC 3339, UTC.
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: String,
    /// Text, or `{"$base64": "…"}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub key: Option<Text>,
    /// Text, or `{"$base64": "…"}`; of headers with the same name the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::BTreeMap<String, serde_json::Value>>)]
    pub headers: Option<BTreeMap<String, Option<Text>>>,
    /// On a live stream: goes on behind this record when it is sent as `Last-Event-ID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// Bytes that are text, as a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Text {
    Plain(String),
    Base64 {
        #[serde(rename = "$base64")]
        base64: String,
    },
}

impl Text {
    #[must_use]
    pub fn of(bytes: &[u8]) -> Text {
        match std::str::from_utf8(bytes) {
            Ok(text) => Text::Plain(text.to_owned()),
            Err(_) => Text::Base64 { base64: BASE64_STANDARD.encode(bytes) },
        }
    }
}

impl Record {
    /// `stored`, of the topic that HTTP calls `topic`.
    #[must_use]
    pub fn of(topic: &str, partition: i32, stored: &records::Record) -> Record {
        let headers = stored
            .headers
            .iter()
            .map(|(name, value)| (String::from_utf8_lossy(&name).into_owned(), value.map(|value| Text::of(&value))));
        Record {
            topic: topic.to_owned(),
            partition,
            offset: stored.offset.0,
            value: value(stored.value.as_deref()),
            timestamp: rfc3339(stored.timestamp),
            key: stored.key.as_deref().map(Text::of),
            headers: (!stored.headers.is_empty()).then(|| headers.collect()),
            id: None,
        }
    }
}

/// A record's value as JSON, in one line.
fn value(bytes: Option<&[u8]>) -> Box<RawValue> {
    let Some(bytes) = bytes else { return null() };
    let json = serde_json::from_slice::<&RawValue>(bytes).ok().and_then(|raw| on_one_line(raw.get()));
    json.unwrap_or_else(|| to_raw_value(&Text::Base64 { base64: BASE64_STANDARD.encode(bytes) }).unwrap_or_else(|_| null()))
}

/// Line breaks in JSON are white space between its parts: in strings they are escaped.
fn on_one_line(json: &str) -> Option<Box<RawValue>> {
    let line = if json.contains(['\n', '\r']) { json.replace(['\n', '\r'], " ") } else { json.to_owned() };
    RawValue::from_string(line).ok()
}

fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}

/// An event to be written.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRecord {
    /// Any JSON; stored as it is.
    #[schema(value_type = serde_json::Value)]
    pub value: Box<RawValue>,
    /// Records with the same key go to the same partition, in order.
    pub key: Option<String>,
    pub headers: Option<BTreeMap<String, String>>,
    /// Instead of the one that follows from the key.
    #[schema(minimum = 0)]
    pub partition: Option<i32>,
}

impl NewRecord {
    /// About what it takes in a batch, not less.
    #[must_use]
    pub fn stored_bytes(&self) -> usize {
        // Lengths and differences are varints, of 5 bytes at most each, and there are 5 of them and 2 for each header.
        let headers: usize = self.headers.iter().flatten().map(|(name, value)| name.len() + value.len() + 10).sum();
        self.key.as_ref().map_or(0, String::len) + self.value.get().len() + headers + 30
    }
}

/// RFC 3339 in UTC, with milliseconds. Times outside of the years −9999 to 9999, which Kafka's clients may send, are the nearest.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    let nearest = if time.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    let time = jiff::Timestamp::from_millisecond(time.0).unwrap_or(nearest);
    format!("{time:.3}")
}

/// # Errors
/// When the text is no RFC 3339 time.
pub fn parse_rfc3339(text: &str) -> Result<Timestamp, String> {
    let time: jiff::Timestamp =
        text.parse().map_err(|_| format!("{text:?} is no RFC 3339 time, such as 2026-01-31T12:00:00Z"))?;
    Ok(Timestamp(time.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &[u8]) -> String {
        value(Some(bytes)).get().to_owned()
    }

    #[test]
    fn json_stays_as_it_is_but_on_one_line() {
        assert_eq!(shown(br#"{"a":1.10000000000000000000001,"b":[ 1 ]}"#), r#"{"a":1.10000000000000000000001,"b":[ 1 ]}"#);
        assert_eq!(shown(b"  {\n  \"a\": \"x\\ny\"\r\n}\n"), "{   \"a\": \"x\\ny\"  }");
        assert_eq!(value(None).get(), "null");
    }

    #[test]
    fn what_is_no_json_is_base64() {
        for bytes in [&b"plain"[..], b"\xff\x00", b"{", b"", b"1 2"] {
            assert_eq!(shown(bytes), format!("{{\"$base64\":\"{}\"}}", BASE64_STANDARD.encode(bytes)), "{bytes:?}");
        }
        assert_eq!(Text::of(b"\xff"), Text::Base64 { base64: "/w==".to_owned() });
    }

    #[test]
    fn times_are_rfc_3339_with_milliseconds() {
        assert_eq!(rfc3339(Timestamp(1_700_000_000_123)), "2023-11-14T22:13:20.123Z");
        assert_eq!(rfc3339(Timestamp(0)), "1970-01-01T00:00:00.000Z");
        assert!(rfc3339(Timestamp(i64::MAX)).starts_with("9999-"));
        assert_eq!(parse_rfc3339("2023-11-14T23:13:20.123+01:00"), Ok(Timestamp(1_700_000_000_123)));
        assert!(parse_rfc3339("yesterday").is_err());
    }
}
