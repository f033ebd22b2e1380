//! Endpoints: create, list, show, change, delete, enable, disable, rotate the secret.

use crate::hooks::registry::NewEndpoint as Registration;
use crate::hooks::secret::Secret;
use crate::hooks::{Endpoint, Filters, HooksError, Settings};
use crate::http::caller::Caller;
use crate::http::errors::{ErrorBody, HttpError};
use crate::http::input::{Body, Name, OptionalBody};
use crate::http::json::rfc3339;
use crate::http::list;
use axum::Json;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// The longest time for which two secrets sign.
const OVERLAP_MS_MAX: i64 = 90 * 24 * 60 * 60 * 1000;

/// An endpoint to be made. `null` for an optional field is as if it were left out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEndpoint {
    /// Any text without '/'.
    #[schema(min_length = 1, max_length = 100, example = "crm")]
    pub name: String,
    #[schema(max_length = 2048, example = "https://crm.example.com/in")]
    pub url: String,
    /// Topics and patterns whose events are delivered: `order.placed`, `order.*`, `**.failed`. Without any, the endpoint gets what is sent to it by name.
    #[schema(max_items = 100)]
    pub events: Option<Vec<String>>,
    #[schema(max_length = 1000)]
    pub description: Option<String>,
    pub metadata: Option<BTreeMap<String, String>>,
    pub filters: Option<EndpointFilters>,
    /// Events of one key are delivered one after the other: one that fails holds back the later ones of its key.
    pub ordered: Option<bool>,
    pub enabled: Option<bool>,
    /// Instead of `hooks.timeout_ms`.
    #[schema(minimum = 100, maximum = 600000)]
    pub timeout_ms: Option<u64>,
    /// Instead of `hooks.endpoint_concurrency`.
    #[schema(minimum = 1, maximum = 10000)]
    pub concurrency: Option<usize>,
    /// `whsec_` and 24 to 64 bytes as base64; a random one without.
    pub secret: Option<String>,
}

/// Which events are delivered: those for which all of it holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointFilters {
    /// Headers and their values.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// JSON pointers into the value, and what is there: `{"/order/kind": "express"}`.
    #[serde(default)]
    pub data: BTreeMap<String, Value>,
}

/// What is to be changed; what is left out stays. `null` takes an optional field away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointChange {
    #[schema(max_length = 2048)]
    pub url: Option<String>,
    #[schema(max_items = 100)]
    pub events: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub description: Option<Option<String>>,
    pub metadata: Option<BTreeMap<String, String>>,
    pub filters: Option<EndpointFilters>,
    pub ordered: Option<bool>,
    pub enabled: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u64>, minimum = 100, maximum = 600000)]
    pub timeout_ms: Option<Option<u64>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 10000)]
    pub concurrency: Option<Option<usize>>,
}

/// A field that is there, if only with null.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// `whsec_` and 24 to 64 bytes as base64; a random one without.
    pub secret: Option<String>,
    /// How long the secret before signs as well; `hooks.secret_overlap_ms` without.
    #[schema(minimum = 0)]
    pub overlap_ms: Option<i64>,
}

/// An endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub struct EndpointView {
    pub endpoint_id: String,
    pub name: String,
    pub url: String,
    /// Signs the requests (Standard Webhooks).
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    pub secret: String,
    pub events: Vec<String>,
    pub enabled: bool,
    /// Why it is disabled, where nobody asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_reason: Option<String>,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub filters: EndpointFilters,
    pub ordered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<usize>,
    /// Until then the secret before signs as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub previous_secret_expires_at: Option<String>,
    /// The consumer group whose lag says how far the endpoint is.
    pub group: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Endpoints {
    pub endpoints: Vec<EndpointView>,
}

impl EndpointView {
    fn of(caller: &Caller, endpoint: &Endpoint) -> EndpointView {
        let (record, now) = (&endpoint.record, caller.shared.broker.env.now());
        let settings = record.settings.clone();
        let previous = record.previous_secrets.iter().map(|previous| previous.until).filter(|until| now < *until).max();
        EndpointView {
            endpoint_id: record.id.clone(),
            name: record.name.clone(),
            url: settings.url,
            secret: endpoint.secret.reveal(),
            events: settings.events,
            enabled: endpoint.is_enabled(),
            disabled_reason: endpoint.disabled_reason().map(str::to_owned),
            created_at: rfc3339(record.created),
            description: settings.description,
            metadata: settings.metadata,
            filters: EndpointFilters { headers: settings.filters.headers, data: settings.filters.data },
            ordered: settings.ordered,
            timeout_ms: settings.timeout_ms,
            concurrency: settings.concurrency,
            previous_secret_expires_at: previous.map(rfc3339),
            group: record.group(),
        }
    }
}

impl EndpointFilters {
    fn into_filters(self) -> Filters {
        Filters { headers: self.headers, data: self.data }
    }
}

fn parsed(secret: Option<String>) -> Result<Option<Secret>, HttpError> {
    secret.map(|text| Secret::parse(&text)).transpose().map_err(HttpError::invalid)
}

fn shown(caller: &Caller, endpoint: Result<Arc<Endpoint>, HooksError>) -> Result<Json<EndpointView>, HttpError> {
    Ok(Json(EndpointView::of(caller, &*endpoint?)))
}

/// Makes an endpoint. It is sent what is written from now on, by whomever: Kafka clients, HTTP, transactions.
#[utoipa::path(post, path = "/webhooks/endpoints", tag = "webhooks", request_body = NewEndpoint, responses(
    (status = 201, body = EndpointView),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 409, body = ErrorBody),
    (status = 408, body = ErrorBody), (status = 413, body = ErrorBody), (status = 415, body = ErrorBody), (status = 429, body = ErrorBody),
    (status = 503, body = ErrorBody)))]
pub async fn create_endpoint(
    caller: Caller,
    Body(new): Body<NewEndpoint>,
) -> Result<(StatusCode, Json<EndpointView>), HttpError> {
    let registration = Registration {
        name: new.name,
        settings: Settings {
            url: new.url,
            events: new.events.unwrap_or_default(),
            filters: new.filters.unwrap_or_default().into_filters(),
            description: new.description,
            metadata: new.metadata.unwrap_or_default(),
            ordered: new.ordered.unwrap_or_default(),
            timeout_ms: new.timeout_ms,
            concurrency: new.concurrency,
        },
        enabled: new.enabled.unwrap_or(true),
        secret: parsed(new.secret)?,
    };
    let endpoint = caller.shared.hooks.create(caller.scope(), registration).await;
    Ok((StatusCode::CREATED, shown(&caller, endpoint)?))
}

/// All endpoints of the project, by name.
#[utoipa::path(get, path = "/webhooks/endpoints", tag = "webhooks", responses(
    (status = 200, body = Endpoints),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 429, body = ErrorBody)))]
pub async fn list_endpoints(caller: Caller) -> Result<Response, HttpError> {
    let (shared, all) = (caller.shared.clone(), caller.shared.hooks.list(&caller.scope()));
    list::answer(shared, "endpoints", all.into_iter().map(move |one| EndpointView::of(&caller, &one)))
}

/// One endpoint.
#[utoipa::path(get, path = "/webhooks/endpoints/{name}", tag = "webhooks", params(("name" = String, Path)), responses(
    (status = 200, body = EndpointView),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn get_endpoint(caller: Caller, Name(name): Name) -> Result<Json<EndpointView>, HttpError> {
    shown(&caller, caller.shared.hooks.get(&caller.scope(), &name))
}

/// Changes an endpoint. Topics that it did not have before are delivered from now on.
#[utoipa::path(patch, path = "/webhooks/endpoints/{name}", tag = "webhooks", params(("name" = String, Path)), request_body = EndpointChange, responses(
    (status = 200, body = EndpointView),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 408, body = ErrorBody), (status = 409, body = ErrorBody), (status = 413, body = ErrorBody), (status = 415, body = ErrorBody),
    (status = 429, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub async fn update_endpoint(
    caller: Caller,
    Name(name): Name,
    Body(change): Body<EndpointChange>,
) -> Result<Json<EndpointView>, HttpError> {
    let apply = move |settings: &mut Settings, enabled: &mut Option<bool>| {
        let EndpointChange { url, events, description, metadata, filters, ordered, timeout_ms, concurrency, .. } = change;
        set(&mut settings.url, url);
        set(&mut settings.events, events);
        set(&mut settings.description, description);
        set(&mut settings.metadata, metadata);
        set(&mut settings.filters, filters.map(EndpointFilters::into_filters));
        set(&mut settings.ordered, ordered);
        set(&mut settings.timeout_ms, timeout_ms);
        set(&mut settings.concurrency, concurrency);
        *enabled = change.enabled;
    };
    let endpoint = caller.shared.hooks.update(caller.scope(), name, Box::new(apply)).await;
    shown(&caller, endpoint)
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

/// Deletes an endpoint. What it has not been sent yet is not sent.
#[utoipa::path(delete, path = "/webhooks/endpoints/{name}", tag = "webhooks", params(("name" = String, Path)), responses(
    (status = 204),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 503, body = ErrorBody)))]
pub async fn delete_endpoint(caller: Caller, Name(name): Name) -> Result<StatusCode, HttpError> {
    caller.shared.hooks.delete(caller.scope(), name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Goes on delivering, with what was written meanwhile.
#[utoipa::path(post, path = "/webhooks/endpoints/{name}/enable", tag = "webhooks", params(("name" = String, Path)), responses(
    (status = 200, body = EndpointView),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 408, body = ErrorBody), (status = 413, body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub async fn enable_endpoint(caller: Caller, Name(name): Name) -> Result<Json<EndpointView>, HttpError> {
    let endpoint = caller.shared.hooks.enable(caller.scope(), name, true).await;
    shown(&caller, endpoint)
}

/// Stops delivering. Events wait in their topics, for as long as these keep them.
#[utoipa::path(post, path = "/webhooks/endpoints/{name}/disable", tag = "webhooks", params(("name" = String, Path)), responses(
    (status = 200, body = EndpointView),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 408, body = ErrorBody), (status = 413, body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub async fn disable_endpoint(caller: Caller, Name(name): Name) -> Result<Json<EndpointView>, HttpError> {
    let endpoint = caller.shared.hooks.enable(caller.scope(), name, false).await;
    shown(&caller, endpoint)
}

/// Gives the endpoint another secret. For a while, requests are signed with both.
#[utoipa::path(post, path = "/webhooks/endpoints/{name}/rotate-secret", tag = "webhooks", params(("name" = String, Path)),
    request_body = Option<Rotation>, responses(
    (status = 200, body = EndpointView),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 408, body = ErrorBody), (status = 413, body = ErrorBody), (status = 415, body = ErrorBody), (status = 429, body = ErrorBody),
    (status = 503, body = ErrorBody)))]
pub async fn rotate_secret(
    caller: Caller,
    Name(name): Name,
    OptionalBody(rotation): OptionalBody<Rotation>,
) -> Result<Json<EndpointView>, HttpError> {
    if rotation.overlap_ms.is_some_and(|ms| !(0..=OVERLAP_MS_MAX).contains(&ms)) {
        return Err(HttpError::invalid(format!("overlap_ms is not valid: expected 0 to {OVERLAP_MS_MAX}")));
    }
    let secret = parsed(rotation.secret)?;
    let endpoint = caller.shared.hooks.rotate(caller.scope(), name, secret, rotation.overlap_ms).await;
    shown(&caller, endpoint)
}
