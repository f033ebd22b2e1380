//! What routes take: names in the path, parameters of the query, JSON bodies. Whatever is wrong with them is said in the same form.

use super::Shared;
use super::errors::{HttpError, Refusal};
use axum::body::{Bytes, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// The `{name}` of the path: a topic, or a pattern.
#[derive(Debug)]
pub struct Name(pub String);

/// The `{group}` of the path.
#[derive(Debug)]
pub struct Group(pub String);

/// The parameters of the query.
#[derive(Debug)]
pub struct Params<T>(pub T);

/// The body, as JSON.
#[derive(Debug)]
pub struct Body<T>(pub T);

/// The body, as JSON, or its defaults where there is none.
#[derive(Debug)]
pub struct OptionalBody<T>(pub T);

/// The `{delivery_id}` of the path.
#[derive(Debug)]
pub struct DeliveryId(pub String);

/// The `{name}` of the path, where its route has one.
///
/// # Errors
/// When the path's escapes are not UTF-8.
pub async fn path_param(parts: &mut Parts, shared: &Arc<Shared>, name: &str) -> Result<Option<String>, HttpError> {
    let params = RawPathParams::from_request_parts(parts, shared).await;
    let params = params.map_err(|error| HttpError::invalid(error.body_text()))?;
    Ok(params.iter().find(|(own, _)| *own == name).map(|(_, value)| value.to_owned()))
}

async fn segment(parts: &mut Parts, shared: &Arc<Shared>, name: &str) -> Result<String, HttpError> {
    path_param(parts, shared, name).await?.ok_or_else(|| HttpError::invalid(format!("the path has no {{{name}}}")))
}

impl FromRequestParts<Arc<Shared>> for Name {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Name, HttpError> {
        segment(parts, shared, "name").await.map(Name)
    }
}

impl FromRequestParts<Arc<Shared>> for Group {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Group, HttpError> {
        segment(parts, shared, "group").await.map(Group)
    }
}

impl FromRequestParts<Arc<Shared>> for DeliveryId {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<DeliveryId, HttpError> {
        segment(parts, shared, "delivery_id").await.map(DeliveryId)
    }
}

impl<T: DeserializeOwned + Default> FromRequest<Arc<Shared>> for OptionalBody<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<OptionalBody<T>, HttpError> {
        if request.body().is_end_stream() || request.body().size_hint().exact() == Some(0) {
            return Ok(OptionalBody(T::default()));
        }
        Body::from_request(request, shared).await.map(|Body(value)| OptionalBody(value))
    }
}

impl<T: DeserializeOwned> FromRequestParts<Arc<Shared>> for Params<T> {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Shared>) -> Result<Params<T>, HttpError> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        query.map(|Query(value)| Params(value)).map_err(|error| HttpError::invalid(format!("the query: {}", error.body_text())))
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<Shared>> for Body<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Body<T>, HttpError> {
        if !is_json(request.headers()) {
            let message = "the body must be JSON: send Content-Type: application/json";
            return Err(HttpError::new(Refusal::UnsupportedMediaType, message));
        }
        // It is in memory already, see `budget.rs`.
        let bytes = Bytes::from_request(request, shared).await;
        let bytes = bytes.map_err(|error| HttpError::invalid(format!("the body could not be read: {}", error.body_text())))?;
        let mut parser = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut parser).map_err(|error| {
            let path = error.path().to_string();
            let place = if path == "." { "the body".to_owned() } else { format!("the body, {path}") };
            HttpError::invalid(format!("{place}: {}", error.inner()))
        })?;
        parser.end().map_err(|error| HttpError::invalid(format!("the body: {error}")))?;
        Ok(Body(value))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}
