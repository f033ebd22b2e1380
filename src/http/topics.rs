//! Topics: create, list, show, delete, statistics.

use super::caller::Caller;
use super::errors::{ErrorBody, HttpError, Refusal};
use super::input::{Body, Name};
use super::json::rfc3339;
use super::list;
use super::records::name_of;
use crate::api::create_topics::CreateTopics;
use crate::api::delete_topics::DeleteTopics;
use crate::api::errors::ResponseError;
use crate::api::list_offsets::ListOffsets;
use crate::api::topic_overview::{self, Overviews, TopicOverview};
use crate::catalog;
use crate::catalog::patterns::{Pattern, is_hidden};
use crate::config::properties::DESCRIPTION;
use crate::ids::Timestamp;
use axum::Json;
use axum::http::StatusCode;
use axum::response::Response;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, CreateTopicsRequest, DeleteTopicsRequest, ListOffsetsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

const CREATE: i16 = 7;
const DELETE: i16 = 5;
/// With the largest timestamp (KIP-734).
const LIST_OFFSETS: i16 = 7;
const MAX_TIMESTAMP: i64 = -3;
const HOUR_MS: i64 = 3_600_000;
/// 10,000 years: Kafka's milliseconds end later.
const RETENTION_HOURS_MAX: i64 = 10_000 * 366 * 24;

/// A topic to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTopic {
    /// Letters, digits, `.`, `_` and `-`.
    #[schema(min_length = 1, max_length = 249, pattern = "^[a-zA-Z0-9._-]+$", example = "order.placed")]
    pub name: String,
    #[schema(max_length = 1000)]
    pub description: Option<String>,
    /// The broker's `num.partitions` without.
    #[schema(minimum = 1, maximum = 100000)]
    pub partitions: Option<i32>,
    /// How long events stay; −1: for ever. The broker's setting without.
    #[schema(minimum = -1)]
    pub retention_hours: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Topic {
    pub name: String,
    pub partitions: usize,
    /// Whole hours, rounded up; −1: for ever.
    pub retention_hours: i64,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Topics {
    pub topics: Vec<Topic>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct TopicStats {
    pub name: String,
    /// Ever written, whether retention has deleted them since or not.
    pub total_events: u64,
    /// Of these events, as stored (compressed, if producers compress).
    pub total_bytes: u64,
    pub retained_bytes: u64,
    /// The mean of the last ten seconds.
    pub events_per_second: f64,
    /// Events that did not fit the topic's schema since the start of the server, by reason.
    pub invalid_events: BTreeMap<&'static str, u64>,
    /// The largest timestamp of an event that is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub last_event_at: Option<String>,
}

impl Topic {
    fn of(name: &str, overview: &TopicOverview) -> Topic {
        let retention_hours = match overview.retention_ms {
            ms if ms < 0 => -1,
            ms => ms.div_euclid(HOUR_MS) + i64::from(ms.rem_euclid(HOUR_MS) > 0),
        };
        Topic {
            name: name.to_owned(),
            partitions: overview.partitions,
            retention_hours,
            created_at: rfc3339(overview.created),
            description: overview.description.clone(),
        }
    }
}

/// Makes a topic.
#[utoipa::path(post, path = "/topics", tag = "topics", request_body = NewTopic, responses(
    (status = 201, body = Topic),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
    (status = 409, body = ErrorBody), (status = 408, body = ErrorBody), (status = 413, body = ErrorBody), (status = 415, body = ErrorBody),
    (status = 429, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub async fn create(caller: Caller, Body(new): Body<NewTopic>) -> Result<(StatusCode, Json<Topic>), HttpError> {
    check_name(&caller, &new.name)?;
    let config = |name: &'static str, value: String| {
        CreatableTopicConfig::default().with_name(StrBytes::from_static_str(name)).with_value(Some(StrBytes::from_string(value)))
    };
    let mut configs = Vec::new();
    if let Some(hours) = new.retention_hours {
        configs.push(config("retention.ms", retention_ms(hours)?.to_string()));
    }
    configs.extend(new.description.map(|description| config(DESCRIPTION, description)));
    if new.partitions.is_some_and(|partitions| partitions < 1) {
        return Err(HttpError::invalid("partitions must be at least 1"));
    }
    let topic = CreatableTopic::default()
        .with_name(TopicName(StrBytes::from_string(caller.kafka_name(&new.name))))
        .with_num_partitions(new.partitions.unwrap_or(-1))
        .with_replication_factor(-1)
        .with_configs(configs);
    let response = caller.call::<CreateTopics>(CREATE, CreateTopicsRequest::default().with_topics(vec![topic])).await?;
    let what = || format!("topic {:?}", new.name);
    let answer = response.topics.into_iter().next();
    let Some(answer) = answer else { return Err(HttpError::of(ResponseError::UnknownServerError, None, &what())) };
    if let Some(error) = ResponseError::try_from_code(answer.error_code) {
        return Err(HttpError::of(error, answer.error_message.as_deref(), &what()));
    }
    Ok((StatusCode::CREATED, Json(find(&caller, &new.name)?)))
}

/// All topics of the project, by name.
#[utoipa::path(get, path = "/topics", tag = "topics", responses(
    (status = 200, body = Topics), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
    (status = 429, body = ErrorBody)))]
pub async fn list(caller: Caller) -> Result<Response, HttpError> {
    let overviews = Overviews::new(&caller.context(CREATE, None), caller.prefix());
    let shown = overviews.filter(|one| !is_hidden(&one.name));
    let shared = caller.shared.clone();
    list::answer(shared, "topics", shown.filter_map(move |one| Some(Topic::of(caller.http_name(&one.name)?, &one))))
}

/// One topic.
#[utoipa::path(get, path = "/topics/{name}", tag = "topics", params(("name" = String, Path)), responses(
    (status = 200, body = Topic),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn get(caller: Caller, Name(name): Name) -> Result<Json<Topic>, HttpError> {
    Ok(Json(find(&caller, &name)?))
}

/// Deletes a topic, its events, and what groups have committed for it.
#[utoipa::path(delete, path = "/topics/{name}", tag = "topics", params(("name" = String, Path)), responses(
    (status = 204),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 503, body = ErrorBody)))]
pub async fn delete(caller: Caller, Name(name): Name) -> Result<StatusCode, HttpError> {
    let topic = resolve(&caller, &name)?;
    let request = DeleteTopicsRequest::default().with_topic_names(vec![name_of(&topic)]).with_timeout_ms(30_000);
    let response = caller.call::<DeleteTopics>(DELETE, request).await?;
    let answer = response.responses.first();
    match answer.and_then(|answer| ResponseError::try_from_code(answer.error_code)) {
        Some(error) => Err(HttpError::of(error, None, &format!("topic {name:?}"))),
        None => Ok(StatusCode::NO_CONTENT),
    }
}

/// How much was written, how much is kept, how fast it grows.
#[utoipa::path(get, path = "/topics/{name}/stats", tag = "topics", params(("name" = String, Path)), responses(
    (status = 200, body = TopicStats),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 503, body = ErrorBody)))]
pub async fn stats(caller: Caller, Name(name): Name) -> Result<Json<TopicStats>, HttpError> {
    let topic = resolve(&caller, &name)?;
    let sum = topic_overview::statistics(&caller.context(LIST_OFFSETS, None), &topic).await;
    let sum = sum.map_err(|error| HttpError::of(error, None, &format!("topic {name:?}")))?;
    Ok(Json(TopicStats {
        last_event_at: last_event(&caller, &topic).await?.map(rfc3339),
        name,
        total_events: sum.records,
        total_bytes: sum.bytes,
        retained_bytes: sum.retained_bytes,
        events_per_second: sum.records_per_second,
        invalid_events: topic_overview::invalid_records(&caller.context(LIST_OFFSETS, None), &topic),
    }))
}

async fn last_event(caller: &Caller, topic: &catalog::Topic) -> Result<Option<Timestamp>, HttpError> {
    let partitions = topic.partitions().map(|index| {
        ListOffsetsPartition::default().with_partition_index(index).with_timestamp(MAX_TIMESTAMP).with_current_leader_epoch(-1)
    });
    let asked = ListOffsetsTopic::default().with_name(name_of(topic)).with_partitions(partitions.collect());
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![asked]);
    let response = caller.call::<ListOffsets>(LIST_OFFSETS, request).await?;
    let times = response.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.timestamp);
    Ok(times.filter(|time| *time >= 0).max().map(Timestamp))
}

/// The topic that HTTP calls `name`, by the catalog's own name.
///
/// # Errors
/// NOT_FOUND.
pub fn resolve(caller: &Caller, name: &str) -> Result<Arc<catalog::Topic>, HttpError> {
    let kafka_name = caller.kafka_name(name);
    let is_own = !is_hidden(name) && !is_hidden(&kafka_name) && caller.http_name(&kafka_name).is_some();
    is_own.then(|| caller.shared.broker.catalog.topic(&kafka_name)).flatten().ok_or_else(|| not_found(name))
}

fn find(caller: &Caller, name: &str) -> Result<Topic, HttpError> {
    Ok(Topic::of(name, &topic_overview::overview(&*resolve(caller, name)?)))
}

/// For a partition that the topic does not have.
#[must_use]
pub fn no_such_partition(topic: &catalog::Topic, partition: i32) -> String {
    format!("partition {partition} does not exist; the topic has 0 to {}", topic.logs.len().saturating_sub(1))
}

fn not_found(name: &str) -> HttpError {
    HttpError::new(Refusal::NotFound, format!("there is no topic {name:?}; create it with POST /topics"))
}

fn check_name(caller: &Caller, name: &str) -> Result<(), HttpError> {
    if caller.http_name(&caller.kafka_name(name)).is_none() {
        return Err(HttpError::invalid(format!("{name:?} begins with the topic_prefix of another project")));
    }
    if Pattern::is_pattern(name) {
        return Err(HttpError::invalid(format!("{name:?} is a pattern; a topic's name has no '*'")));
    }
    if is_hidden(name) {
        return Err(HttpError::invalid(format!("{name:?}: names that begin with \"__\" are the broker's own")));
    }
    Ok(())
}

fn retention_ms(hours: i64) -> Result<i64, HttpError> {
    match hours {
        -1 => Ok(-1),
        1..=RETENTION_HOURS_MAX => Ok(hours * HOUR_MS),
        _ => {
            Err(HttpError::invalid(format!("retention_hours = {hours} is not valid: 1 to {RETENTION_HOURS_MAX}, or -1 for ever")))
        }
    }
}
