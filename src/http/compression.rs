//! Answers are compressed for those who ask for it, some at once: each takes an encoder of 256 KiB for as long as its reader likes. Beyond
//! [`PLACES`] answers leave as they are, so that encoders take 16 MiB at most.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::ACCEPT_ENCODING;
use axum::http::{Extensions, HeaderMap, StatusCode, Version};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

/// Smaller answers are not compressed.
const COMPRESSED_FROM: u16 = 1024;
/// Answers that are compressed at once.
const PLACES: usize = 64;

/// Marks an answer that has a place.
#[derive(Clone)]
struct Placed;

/// The places of all answers.
pub fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(PLACES))
}

/// Gives an answer that is worth it a place, if there is one, until it has left.
pub async fn take_place(State(places): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    // Any at all: the layer weighs them.
    let is_asked = request.headers().contains_key(ACCEPT_ENCODING);
    let mut response = next.run(request).await;
    if !is_asked || !is_worth_it(&response) {
        return response;
    }
    let Ok(place) = places.try_acquire_owned() else { return response };
    response.extensions_mut().insert(Placed);
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            // Its owner: the encoder drops this with the rest of the body.
            let _ = &place;
            frame
        }))
    })
}

fn is_worth_it(response: &Response) -> bool {
    // A live stream is to arrive as it comes, not when there is enough to compress.
    let kinds = NotForContentType::const_new("text/event-stream").and(NotForContentType::const_new("application/x-ndjson"));
    SizeAbove::new(COMPRESSED_FROM).and(kinds).should_compress(response)
}

/// Compresses answers that have a place.
pub fn layer() -> CompressionLayer<impl Predicate> {
    let is_placed = |_: StatusCode, _: Version, _: &HeaderMap, extensions: &Extensions| extensions.get::<Placed>().is_some();
    CompressionLayer::new().gzip(true).compress_when(is_placed)
}
