//! Bodies are read before anything else looks at a request, within the budget of all requests: so that an answer, whatever it is, leaves the
//! connection in order, and what is too large is refused before it is sent.

use super::Shared;
use super::errors::{HttpError, Refusal};
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::time::Duration;

/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads the body, charged to the budget while its request is handled; without room the request is told to come back.
pub async fn read_body(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let limit = shared.broker.config.http.request_bytes;
    let announced = request.body().size_hint();
    if announced.lower() > limit as u64 {
        return unread(too_large(limit));
    }
    // A body that does not say how long it is may be as long as is allowed.
    let bytes = announced.exact().and_then(|exact| usize::try_from(exact).ok()).unwrap_or(limit);
    let Some(_room) = shared.try_take(bytes) else { return unread(super::busy()) };
    let (parts, body) = request.into_parts();
    match tokio::time::timeout(PATIENCE, to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Err(_elapsed) => {
            let message = format!("the body did not arrive within {} s", PATIENCE.as_secs());
            unread(HttpError::new(Refusal::TimedOut, message))
        }
        Ok(Err(error)) => {
            let is_too_large =
                std::error::Error::source(&error).is_some_and(|source| source.is::<http_body_util::LengthLimitError>());
            let error =
                if is_too_large { too_large(limit) } else { HttpError::invalid(format!("the body did not arrive: {error}")) };
            unread(error)
        }
    }
}

fn too_large(limit: usize) -> HttpError {
    HttpError::new(Refusal::TooLarge, format!("the body is larger than http.request_bytes ({limit})"))
}

/// What is left of the body is not read: nothing can follow it on this connection.
fn unread(error: HttpError) -> Response {
    let mut response = error.into_response();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
