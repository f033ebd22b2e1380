//! Events that begin here: published to endpoints, or sent to one to see whether it works.

use super::deliveries::{DeliveryStatus, DeliveryView};
use crate::http::caller::Caller;
use crate::http::errors::{ErrorBody, HttpError};
use crate::http::input::{Body, Name, OptionalBody};
use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// The type of a test that says none.
const TEST: &str = "webhook.test";

/// An event for endpoints.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    #[schema(min_length = 1, max_length = 249, example = "order.placed")]
    pub event_type: String,
    /// Any JSON; sent as it is.
    #[schema(value_type = serde_json::Value)]
    pub payload: Box<RawValue>,
    /// Names of endpoints; without: those whose `events` match the type.
    #[schema(max_items = 1000)]
    pub endpoints: Option<Vec<String>>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SentWebhook {
    pub event_id: String,
    pub deliveries: Vec<SentDelivery>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SentDelivery {
    pub delivery_id: String,
    pub endpoint_name: String,
    pub status: DeliveryStatus,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestEvent {
    /// `webhook.test` without.
    #[schema(min_length = 1, max_length = 249)]
    pub event_type: Option<String>,
    /// Any JSON.
    #[schema(value_type = Option<serde_json::Value>)]
    pub payload: Option<Box<RawValue>>,
}

/// Publishes an event for endpoints. It is on disk when this answers, and is delivered as every other.
#[utoipa::path(post, path = "/webhooks", tag = "webhooks", request_body = NewWebhook, responses(
    (status = 200, body = SentWebhook),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 408, body = ErrorBody), (status = 413, body = ErrorBody), (status = 415, body = ErrorBody), (status = 429, body = ErrorBody),
    (status = 503, body = ErrorBody)))]
pub async fn send(caller: Caller, Body(new): Body<NewWebhook>) -> Result<Json<SentWebhook>, HttpError> {
    let hooks = &caller.shared.hooks;
    let sent = hooks.send(&caller.scope(), &new.event_type, &new.payload, new.endpoints.as_deref()).await?;
    let deliveries = sent.deliveries.into_iter().map(|(id, endpoint)| SentDelivery {
        delivery_id: id,
        endpoint_name: endpoint.record.name.clone(),
        status: DeliveryStatus::Pending,
    });
    Ok(Json(SentWebhook { event_id: sent.event_id, deliveries: deliveries.collect() }))
}

/// Sends an event to the endpoint at once, and answers what became of it. It is in no topic, and is not tried again.
#[utoipa::path(post, path = "/webhooks/endpoints/{name}/test", tag = "webhooks", params(("name" = String, Path)),
    request_body = Option<TestEvent>, responses(
    (status = 200, body = DeliveryView),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 408, body = ErrorBody), (status = 413, body = ErrorBody), (status = 415, body = ErrorBody), (status = 429, body = ErrorBody),
    (status = 503, body = ErrorBody)))]
pub async fn test_endpoint(
    caller: Caller,
    Name(name): Name,
    OptionalBody(event): OptionalBody<TestEvent>,
) -> Result<Json<DeliveryView>, HttpError> {
    let event_type = event.event_type.as_deref().unwrap_or(TEST);
    let payload = match event.payload {
        Some(payload) => payload,
        None => RawValue::from_string(r#"{"test":true}"#.to_owned()).map_err(|error| HttpError::invalid(error.to_string()))?,
    };
    let delivery = caller.shared.hooks.test(&caller.scope(), &name, event_type, payload).await?;
    Ok(Json(DeliveryView::of(&name, delivery)))
}
