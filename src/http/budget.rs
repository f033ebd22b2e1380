//! Bodies are read before anything else looks at a request, charged to the budget of all requests as they arrive, and then for what they become: so that an answer, whatever it
//! is, leaves the connection in order, and what is too large is refused before it is sent. Only callers with a key have their bodies read, where
//! keys are asked for.

use super::errors::{HttpError, Refusal};
use super::{PERMIT_BYTES, Shared, caller};
use crate::records::json;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use http_body_util::BodyExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// What a value of JSON takes in memory, beside its text, when its body is parsed: 72 bytes where it may be anything, less where its type is known.
const PARSED_VALUE_BYTES: usize = 64;
/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads the body, charged to the budget until its request is answered; without room the request is told to come back.
pub async fn read_body(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    if let Err(error) = caller::check_key(&parts, &shared) {
        return unread(error);
    }
    match tokio::time::timeout(PATIENCE, read(&shared, body)).await {
        Ok(Ok((bytes, _room))) => next.run(Request::from_parts(parts, Body::from(bytes.freeze()))).await,
        Ok(Err(error)) => unread(error),
        Err(_elapsed) => {
            let message = format!("the body did not arrive within {} s", PATIENCE.as_secs());
            unread(HttpError::new(Refusal::TimedOut, message))
        }
    }
}

async fn read(shared: &Shared, mut body: Body) -> Result<(BytesMut, Option<OwnedSemaphorePermit>), HttpError> {
    let limit = shared.broker.config.http.request_bytes;
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(limit));
    }
    let mut bytes = BytesMut::new();
    let mut room: Option<OwnedSemaphorePermit> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| HttpError::invalid(format!("the body did not arrive: {error}")))?;
        let Some(data) = frame.data_ref() else { continue };
        if bytes.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        let charged = room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) * PERMIT_BYTES;
        if bytes.len() + data.len() > charged {
            let more = shared.try_take(bytes.len() + data.len() - charged).ok_or_else(super::busy)?;
            match &mut room {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
        }
        bytes.extend_from_slice(data);
    }
    // Half of the budget at most, so that the largest body that is allowed is taken, whatever is in it.
    let parsed = json::values_at_most(&bytes).saturating_mul(PARSED_VALUE_BYTES).min(shared.budget_bytes() / 2);
    if parsed > bytes.len() {
        let more = shared.try_take(parsed - bytes.len()).ok_or_else(super::busy)?;
        match &mut room {
            Some(room) => room.merge(more),
            None => room = Some(more),
        }
    }
    Ok((bytes, room))
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
