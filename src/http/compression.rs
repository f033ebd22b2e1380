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
    let is_asked = takes_gzip(request.headers());
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

/// Whether the layer may choose gzip. What it does not compress takes no place, and keeps its length.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let is_refused = weight.trim().strip_prefix("q=").is_some_and(|weight| weight.trim().parse() == Ok(0.0));
        matches!(name.trim().to_ascii_lowercase().as_str(), "gzip" | "x-gzip") && !is_refused
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

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn who_does_not_ask_for_gzip_takes_no_place() {
        for (value, takes) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("x-gzip ; q=1", true),
            ("identity", false),
            ("gzip;q=0", false),
            ("br, gzip; q=0.000", false),
            ("*", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(value))]);
            assert_eq!(takes_gzip(&headers), takes, "{value:?}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
