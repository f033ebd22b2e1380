//! What the server counts, for Prometheus; and the counting of HTTP's own requests.

use super::caller::Operator;
use super::errors::{ErrorBody, HttpError, Refusal};
use super::{PERMIT_BYTES, Shared};
use crate::broker::FETCH_PERMIT_BYTES;
use crate::telemetry::metrics::level;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The route of requests that have none.
const UNMATCHED: &str = "unmatched";
/// How long groups that are being loaded are waited for; until then the number of before is shown.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the whole server counts, in Prometheus' text format, or in OpenMetrics where that is asked for. With API keys, it needs one of a project
/// whose topic_prefix is "".
#[utoipa::path(get, path = "/metrics", tag = "health", responses(
    (status = 200, content((String = "text/plain"), (String = "application/openmetrics-text"))),
    (status = 401, body = ErrorBody),
    (status = 403, body = ErrorBody),
))]
pub async fn scrape(_operator: Operator, State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Result<Response, HttpError> {
    look(&shared).await;
    let metrics = &shared.broker.metrics;
    let (content_type, shown) =
        if wants_open_metrics(&headers) { (OPEN_METRICS, metrics.open_metrics()) } else { (TEXT, metrics.text()) };
    // Not charged to the budget of answers: when that is used up, somebody must be able to see it.
    let shown = shown.map_err(|error| HttpError::new(Refusal::Internal, format!("the metrics: {error}")))?;
    Ok(([(CONTENT_TYPE, content_type)], shown).into_response())
}

/// Prometheus names it first where it may have it, so the order of preference is not looked at.
fn wants_open_metrics(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .any(|range| range.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/openmetrics-text"))
}

/// Measures what is looked at only when somebody asks.
async fn look(shared: &Shared) {
    let (broker, config) = (&shared.broker, &shared.broker.config);
    let metrics = &broker.metrics;
    let snapshot = broker.catalog.snapshot();
    metrics.topics.set(level(snapshot.topics.size()));
    metrics.partitions.set(level(snapshot.topics.values().map(|topic| topic.logs.len()).sum()));
    if let Ok(Ok(groups)) = tokio::time::timeout(PATIENCE, broker.groups.list()).await {
        metrics.groups.set(level(groups.len()));
    }
    metrics.fetch_memory_used.set(used(&broker.fetch_memory, config.limits.memory_bytes, FETCH_PERMIT_BYTES));
    metrics.http_memory_used.set(used(&shared.memory, config.http.memory_bytes, PERMIT_BYTES));
    shared.hooks.measure();
}

/// Of `bytes`, what is taken.
fn used(permits: &Semaphore, bytes: usize, permit_bytes: usize) -> i64 {
    let all = (bytes / permit_bytes).min(Semaphore::MAX_PERMITS);
    level(all.saturating_sub(permits.available_permits()).saturating_mul(permit_bytes))
}

/// Counts a request by its route's pattern, never by its path: so there are as many series as routes.
pub async fn measure(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let begun = shared.broker.env.instant();
    let route = request.extensions().get::<MatchedPath>();
    let route: Cow<'static, str> = route.map_or(Cow::Borrowed(UNMATCHED), |path| Cow::Owned(path.as_str().to_owned()));
    let method = Cow::Borrowed(method(request.method()));
    let response = next.run(request).await;
    let status = Cow::Borrowed(class(response.status()));
    let metrics = &shared.broker.metrics;
    metrics.http_request_duration.of([method.clone(), route.clone()]).observe(begun.elapsed());
    metrics.http_requests.of([method, route, status]).inc();
    response
}

/// Anybody may send any word as a method.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it() {
        for (accept, expected) in [
            ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1", true),
            ("text/plain, application/OpenMetrics-text", true),
            ("text/plain", false),
            ("*/*", false),
            ("application/openmetrics", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(wants_open_metrics(&headers), expected, "{accept}");
        }
        assert!(!wants_open_metrics(&HeaderMap::new()));
    }

    #[test]
    fn labels_are_few_whatever_is_sent() {
        let strange = Method::from_bytes(b"BREW").expect("a method");
        assert_eq!([method(&Method::GET), method(&strange)], ["GET", "other"]);
        let statuses = [StatusCode::OK, StatusCode::FOUND, StatusCode::NOT_FOUND, StatusCode::SERVICE_UNAVAILABLE];
        assert_eq!(statuses.map(class), ["2xx", "3xx", "4xx", "5xx"]);
    }

    #[test]
    fn memory_is_counted_in_bytes_of_whole_permits() {
        let permits = Semaphore::new(10);
        let _taken = permits.try_acquire_many(3).expect("there is room");
        assert_eq!(used(&permits, 10 * 1024 + 7, 1024), 3 * 1024);
    }
}
