//! Bodies are read before anything else looks at a request, charged to the budget of all requests as they arrive, and then for what they
//! become: so that an answer, whatever it is, leaves the connection in order, and what is too large is refused before it is sent. Only callers with a key have their bodies read, where
//! keys are asked for.

use super::errors::{HttpError, Refusal};
use super::{PERMIT_BYTES, Shared, caller};
use crate::records::json;
use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use http_body_util::BodyExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// What a value of JSON takes in memory, beside its text, when its body is parsed into values of any kind.
const PARSED_VALUE_BYTES: usize = 72;
/// How many times its bytes a body of events takes when it is parsed: the values of events stay texts.
const PARSED_EVENTS: usize = 3;
/// How the routes end that take events.
const EVENT_ROUTES: [&str; 2] = ["/topics/{name}/produce", "/topics/{name}/records"];
/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads the body, charged to the budget until its request is answered; without room the request is told to come back.
pub async fn read_body(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    // Not the path itself: its last part may be a name.
    let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let are_events = EVENT_ROUTES.iter().any(|events| route.ends_with(events));
    if let Err(error) = caller::check_key(&parts, &shared) {
        return unread(error);
    }
    match tokio::time::timeout(PATIENCE, read(&shared, body, are_events)).await {
        Ok(Ok((bytes, _room))) => next.run(Request::from_parts(parts, Body::from(bytes.freeze()))).await,
        Ok(Err(error)) => unread(error),
        Err(_elapsed) => {
            let message = format!("the body did not arrive within {} s", PATIENCE.as_secs());
            unread(HttpError::new(Refusal::TimedOut, message))
        }
    }
}

async fn read(shared: &Shared, mut body: Body, are_events: bool) -> Result<(BytesMut, Option<OwnedSemaphorePermit>), HttpError> {
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
            charge(shared, &mut room, bytes.len() + data.len() - charged)?;
        }
        bytes.extend_from_slice(data);
    }
    // At most half of the budget, and what the body itself leaves of it, so that the largest that is allowed is taken, whatever is in it.
    let values = json::values_at_most(&bytes).saturating_mul(PARSED_VALUE_BYTES);
    let most = if are_events { bytes.len() * PARSED_EVENTS } else { usize::MAX };
    let left = shared.budget_bytes().saturating_sub(bytes.len() + 2 * PERMIT_BYTES);
    let parsed = values.min(most).min(shared.budget_bytes() / 2).min(left);
    if parsed > 0 {
        charge(shared, &mut room, parsed)?;
    }
    Ok((bytes, room))
}

fn charge(shared: &Shared, room: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Result<(), HttpError> {
    let more = shared.try_take(bytes).ok_or_else(super::busy)?;
    match room {
        Some(room) => room.merge(more),
        None => *room = Some(more),
    }
    Ok(())
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
