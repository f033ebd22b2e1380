//! Writes records by the Produce handler: what `POST /webhooks` publishes, dead letters, and the history of deliveries. Topics are made at their first use.

use super::error::HooksError;
use super::handlers::Handlers;
use super::offsets::name_of;
use crate::api::context::Held;
use crate::api::errors::ResponseError;
use crate::api::produce::Produce;
use crate::catalog::{CatalogError, NewTopic, Topic};
use crate::ids::Timestamp;
use crate::records::BatchBuilder;
use bytes::Bytes;
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use std::collections::BTreeMap;
use std::sync::Arc;

const PRODUCE: i16 = 12;
const ALL: i16 = -1;
const TIMEOUT_MS: i32 = 30_000;

/// A record to be written.
#[derive(Debug, Clone, Default)]
pub struct NewRecord {
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

impl NewRecord {
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> NewRecord {
        self.headers.push((Bytes::from_static(name.as_bytes()), Some(Bytes::from(value.into()))));
        self
    }
}

/// The topic `name`, made with one replica and otherwise the broker's defaults, or with `partitions` and `overrides`, if it is not there.
///
/// # Errors
/// When it cannot be made.
pub async fn topic(
    handlers: &Handlers,
    name: &str,
    partitions: Option<i32>,
    overrides: BTreeMap<String, String>,
) -> Result<Arc<Topic>, HooksError> {
    if let Some(topic) = handlers.broker.catalog.topic(name) {
        return Ok(topic);
    }
    let defaults = NewTopic::of_ours(name, &handlers.broker.config.kafka);
    let new = NewTopic { partitions: partitions.unwrap_or(defaults.partitions), overrides, ..defaults };
    let there = |name: &str| handlers.broker.catalog.topic(name);
    match handlers.broker.create_topic(new).await {
        Ok(topic) => Ok(topic),
        Err(CatalogError::TopicExists(name)) => {
            there(&name).ok_or_else(|| HooksError::Unavailable(format!("the topic {name:?} was deleted; try again")))
        }
        Err(CatalogError::Store(error)) => Err(HooksError::Store(error)),
        Err(error) => Err(HooksError::Unavailable(format!("the topic {name:?} cannot be made: {error}"))),
    }
}

/// Writes `records` as one batch of a partition; answers the first one's offset. Durable when it returns.
///
/// # Errors
/// What the handler answers.
pub async fn publish(
    handlers: &Handlers,
    topic: &Topic,
    partition: i32,
    records: &[NewRecord],
    now: Timestamp,
) -> Result<i64, HooksError> {
    let mut batch = BatchBuilder::new(now);
    for record in records {
        let headers: Vec<(&[u8], Option<&[u8]>)> =
            record.headers.iter().map(|(name, value)| (&name[..], value.as_deref())).collect();
        batch = batch.record_with(now, record.key.as_deref(), record.value.as_deref(), &headers);
    }
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch.build()));
    let data = TopicProduceData::default().with_name(name_of(&topic.name)).with_partition_data(vec![data]);
    let request = ProduceRequest::default().with_acks(ALL).with_timeout_ms(TIMEOUT_MS).with_topic_data(vec![data]);
    let response = handlers.start::<Produce>(PRODUCE, request, Held::default()).await?.await;
    let what = || format!("writing to {:?}", topic.name);
    let answer = response.responses.first().and_then(|topic| topic.partition_responses.first());
    let answer = answer.ok_or_else(|| HooksError::Unavailable(format!("{}: no answer", what())))?;
    match ResponseError::try_from_code(answer.error_code) {
        None => Ok(answer.base_offset),
        Some(error) => Err(HooksError::refused(what(), error)),
    }
}
