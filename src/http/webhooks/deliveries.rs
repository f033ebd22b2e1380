//! Deliveries: what became of events, sending them again, and what it sums up to.

use crate::hooks::sending::What;
use crate::hooks::{self, Delivery, Totals};
use crate::http::caller::Caller;
use crate::http::errors::{ErrorBody, HttpError};
use crate::http::input::{Body, DeliveryId, Name, Params};
use crate::http::json::{parse_rfc3339, rfc3339};
use crate::ids::Timestamp;
use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;
/// The tenant of those that have no project.
const NO_PROJECT: &str = "default";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStatus {
    /// Not tried yet, or to be tried again.
    Pending,
    Success,
    /// Given up: the event is in the dead-letter topic.
    Failed,
    /// Not sent, because the event was deleted before.
    Cancelled,
}

impl DeliveryStatus {
    #[must_use]
    pub fn of(status: hooks::Status) -> DeliveryStatus {
        match status {
            hooks::Status::Pending => DeliveryStatus::Pending,
            hooks::Status::Success => DeliveryStatus::Success,
            hooks::Status::Failed => DeliveryStatus::Failed,
            hooks::Status::Cancelled => DeliveryStatus::Cancelled,
        }
    }

    fn into_status(self) -> hooks::Status {
        match self {
            DeliveryStatus::Pending => hooks::Status::Pending,
            DeliveryStatus::Success => hooks::Status::Success,
            DeliveryStatus::Failed => hooks::Status::Failed,
            DeliveryStatus::Cancelled => hooks::Status::Cancelled,
        }
    }
}

/// One event for one endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryView {
    /// The header `webhook-id` of its requests.
    pub delivery_id: String,
    pub endpoint_name: String,
    pub event_type: String,
    pub status: DeliveryStatus,
    /// Attempts after the first.
    pub retry_count: u32,
    pub attempts: u32,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(format = DateTime)]
    pub updated_at: String,
    /// Of the last attempt, as what follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// The beginning of the answer: at most a kibibyte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_attempt_at: Option<String>,
    /// Where the event is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
}

impl DeliveryView {
    #[must_use]
    pub fn of(endpoint: &str, one: Delivery) -> DeliveryView {
        let (topic, partition, offset) = match one.origin {
            Some(origin) => (Some(origin.topic), Some(origin.partition), Some(origin.offset)),
            None => (None, None, None),
        };
        DeliveryView {
            delivery_id: one.id,
            endpoint_name: endpoint.to_owned(),
            event_type: one.event_type,
            status: DeliveryStatus::of(one.status),
            retry_count: one.attempts.saturating_sub(1),
            attempts: one.attempts,
            created_at: rfc3339(one.created),
            updated_at: rfc3339(one.updated),
            response_status_code: one.response_status,
            duration_ms: one.duration_ms,
            error_message: one.error,
            response_body: one.excerpt,
            next_attempt_at: one.next_attempt.map(rfc3339),
            topic,
            partition,
            offset,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Deliveries {
    pub deliveries: Vec<DeliveryView>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DeliveriesParams {
    /// `pending`, `success`, `failed` or `cancelled`.
    #[param(inline)]
    status: Option<DeliveryStatus>,
    event_type: Option<String>,
    /// Created at this time or later, RFC 3339.
    from: Option<String>,
    /// Created before this time.
    to: Option<String>,
    /// The most deliveries of the answer: 100 without, 1000 at most.
    #[param(minimum = 1)]
    limit: Option<usize>,
}

/// What is to be sent again: events of a time, those of deliveries with a status, or one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayRequest {
    #[schema(value_type = Option<String>, format = DateTime)]
    pub from: Option<String>,
    /// Not included; up to now without.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub to: Option<String>,
    /// Of the newest deliveries (`hooks.deliveries_kept`).
    pub status: Option<DeliveryStatus>,
    pub delivery_id: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Replayed {
    /// Of offsets.
    pub ranges: usize,
    /// Offsets in them: some may be of events that the endpoint does not want.
    pub events: i64,
}

/// What the deliveries of one endpoint sum up to, over those that are settled.
#[derive(Debug, Serialize, ToSchema)]
pub struct EndpointStats {
    pub deliveries: u64,
    pub successful: u64,
    pub failed: u64,
    /// 0 to 1.
    pub success_rate: f64,
    pub avg_duration_ms: f64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookStats {
    /// The project.
    pub tenant_id: String,
    pub by_endpoint: BTreeMap<String, EndpointStats>,
    pub total_deliveries: u64,
    pub successful_deliveries: u64,
    pub failed_deliveries: u64,
    /// 0 to 1.
    pub success_rate: f64,
    pub avg_duration_ms: f64,
}

impl EndpointStats {
    fn of(totals: Totals) -> EndpointStats {
        EndpointStats {
            deliveries: totals.deliveries(),
            successful: totals.successful,
            failed: totals.failed,
            success_rate: totals.success_rate(),
            avg_duration_ms: totals.average_duration_ms(),
        }
    }
}

fn time(field: &str, text: Option<&str>) -> Result<Option<Timestamp>, HttpError> {
    text.map(parse_rfc3339).transpose().map_err(|error| HttpError::invalid(format!("{field}: {error}")))
}

/// The endpoint's newest deliveries, the newest first.
#[utoipa::path(get, path = "/webhooks/endpoints/{name}/deliveries", tag = "webhooks", params(("name" = String, Path), DeliveriesParams), responses(
    (status = 200, body = Deliveries),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn list_deliveries(
    caller: Caller,
    Name(name): Name,
    Params(params): Params<DeliveriesParams>,
) -> Result<Json<Deliveries>, HttpError> {
    let limit = params.limit.unwrap_or(LIMIT_DEFAULT).min(LIMIT_MAX);
    if limit == 0 {
        return Err(HttpError::invalid("limit must be at least 1"));
    }
    let (from, to) = (time("from", params.from.as_deref())?, time("to", params.to.as_deref())?);
    let status = params.status.map(DeliveryStatus::into_status);
    let is_wanted = |one: &Delivery| {
        status.is_none_or(|status| one.status == status)
            && params.event_type.as_ref().is_none_or(|event_type| one.event_type == *event_type)
            && from.is_none_or(|from| one.created >= from)
            && to.is_none_or(|to| one.created < to)
    };
    let deliveries = caller.shared.hooks.deliveries(&caller.scope(), &name, limit, is_wanted)?;
    Ok(Json(Deliveries { deliveries: deliveries.into_iter().map(|one| DeliveryView::of(&name, one)).collect() }))
}

/// One delivery, of the newest.
#[utoipa::path(get, path = "/webhooks/endpoints/{name}/deliveries/{delivery_id}", tag = "webhooks",
    params(("name" = String, Path), ("delivery_id" = String, Path)), responses(
    (status = 200, body = DeliveryView),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn get_delivery(caller: Caller, Name(name): Name, DeliveryId(id): DeliveryId) -> Result<Json<DeliveryView>, HttpError> {
    let delivery = caller.shared.hooks.delivery(&caller.scope(), &name, &id)?;
    Ok(Json(DeliveryView::of(&name, delivery)))
}

/// Sends events again, each with the id that it had before.
#[utoipa::path(post, path = "/webhooks/endpoints/{name}/replay", tag = "webhooks", params(("name" = String, Path)), request_body = ReplayRequest, responses(
    (status = 202, body = Replayed),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 408, body = ErrorBody), (status = 413, body = ErrorBody), (status = 415, body = ErrorBody), (status = 429, body = ErrorBody),
    (status = 503, body = ErrorBody)))]
pub async fn replay(
    caller: Caller,
    Name(name): Name,
    Body(request): Body<ReplayRequest>,
) -> Result<(StatusCode, Json<Replayed>), HttpError> {
    let from = time("from", request.from.as_deref())?;
    let to = time("to", request.to.as_deref())?;
    let what = match (from, request.status, request.delivery_id) {
        (Some(from), None, None) => What::Times { from, to },
        (None, Some(status), None) if to.is_none() => What::Status(status.into_status()),
        (None, None, Some(id)) if to.is_none() => What::Delivery(id),
        _ => return Err(HttpError::invalid("give one of from (with to, or without), status and delivery_id")),
    };
    let (ranges, events) = caller.shared.hooks.replay(&caller.scope(), &name, what).await?;
    Ok((StatusCode::ACCEPTED, Json(Replayed { ranges, events })))
}

/// What the project's deliveries sum up to: as far back as their history is kept.
#[utoipa::path(get, path = "/webhooks/stats", tag = "webhooks", responses(
    (status = 200, body = WebhookStats),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub async fn webhook_stats(caller: Caller) -> Json<WebhookStats> {
    let scope = caller.scope();
    let mut sum = Totals::default();
    let mut by_endpoint = BTreeMap::new();
    for (endpoint, totals) in caller.shared.hooks.totals(&scope) {
        sum.add(totals);
        by_endpoint.insert(endpoint.record.name.clone(), EndpointStats::of(totals));
    }
    Json(WebhookStats {
        tenant_id: scope.project.unwrap_or_else(|| NO_PROJECT.to_owned()),
        by_endpoint,
        total_deliveries: sum.deliveries(),
        successful_deliveries: sum.successful,
        failed_deliveries: sum.failed,
        success_rate: sum.success_rate(),
        avg_duration_ms: sum.average_duration_ms(),
    })
}
