//! Records as JSON, and JSON as records.
//!
//! A value is stored as the bytes of its JSON, exactly as they came: numbers keep all their digits. What other clients wrote and is no JSON is
//! shown as `{"$base64": "…"}`.

use crate::records;
use crate::records::json::value;
pub use crate::records::json::{Text, parse_rfc3339, rfc3339};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
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
