//! The routes, each at the root and under a project, and what all of them have around them: limits, budget, CORS, compression.

use super::errors::{HttpError, Refusal};
use super::webhooks::{deliveries, endpoints, events};
use super::{Shared, budget, compression, consume, docs, health, live, metrics, produce, topic_schema, topics};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware;
use axum::routing::get;
use std::sync::Arc;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const PROJECT: &str = "/projects/{project_id}";

#[derive(OpenApi)]
#[openapi(info(
    title = "Fourbyfour Stream",
    description = "Topics, events, consumers, live streams and webhooks over HTTP. The same topics, groups and offsets are there for Kafka clients.",
    license(name = "Apache-2.0", identifier = "Apache-2.0")
))]
struct Described;

/// All routes that belong to a project.
fn of_project() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(topics::create, topics::list))
        .routes(routes!(topics::get, topics::delete))
        .routes(routes!(topics::stats))
        .routes(routes!(topic_schema::put, topic_schema::get, topic_schema::delete))
        .routes(routes!(produce::one))
        .routes(routes!(produce::batch))
        .routes(routes!(consume::consume))
        .routes(routes!(consume::commit))
        .routes(routes!(consume::reset))
        .routes(routes!(live::live))
        .routes(routes!(endpoints::create_endpoint, endpoints::list_endpoints))
        .routes(routes!(endpoints::get_endpoint, endpoints::update_endpoint, endpoints::delete_endpoint))
        .routes(routes!(endpoints::enable_endpoint))
        .routes(routes!(endpoints::disable_endpoint))
        .routes(routes!(endpoints::rotate_secret))
        .routes(routes!(deliveries::list_deliveries))
        .routes(routes!(deliveries::get_delivery))
        .routes(routes!(deliveries::replay))
        .routes(routes!(events::test_endpoint))
        .routes(routes!(events::send))
        .routes(routes!(deliveries::webhook_stats))
}

/// Of the path of a route that is not there.
const PATH_CHARS_SHOWN: usize = 200;

/// The router.
pub fn router(shared: Arc<Shared>) -> Router {
    let (routes, mut document) = OpenApiRouter::with_openapi(Described::openapi())
        .merge(of_project())
        .nest(PROJECT, of_project())
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::scrape))
        .split_for_parts();
    docs::complete(&mut document, PROJECT, shared.broker.config.http.auth);
    let http = &shared.broker.config.http;
    // One copy for all who ask at once.
    let (text, page) = (Bytes::from(docs::json(&document)), Bytes::from(docs::page(&document)));
    let routes = routes
        .route("/openapi.json", get(move || async move { ([(CONTENT_TYPE, "application/json")], text) }))
        .route("/docs", get(move || async move { ([(CONTENT_TYPE, "text/html; charset=utf-8")], page) }))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn_with_state(shared.clone(), budget::read_body))
        // The budget has seen to it.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(compression::places(), compression::take_place))
        .layer(compression::layer());
    let routes = match cors(&http.cors_origins) {
        Some(cors) => routes.layer(cors),
        None => routes,
    };
    // Around all others: what they refuse is counted as well.
    routes.layer(middleware::from_fn_with_state(shared.clone(), metrics::measure)).with_state(shared)
}

fn cors(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::from(Any)
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    let last_event_id = HeaderName::from_static(live::LAST_EVENT_ID);
    let headers = [HeaderName::from_static("idempotency-key"), last_event_id.clone()];
    Some(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
            .allow_headers([AUTHORIZATION, CONTENT_TYPE].into_iter().chain(headers).collect::<Vec<_>>())
            .expose_headers([axum::http::header::RETRY_AFTER, last_event_id]),
    )
}

async fn no_such_route(request: Request) -> HttpError {
    let path = shown_path(&request);
    HttpError::new(Refusal::NotFound, format!("there is nothing at {path}; /docs lists what there is"))
}

/// As much of the path as an error needs: its answer is charged to nothing.
fn shown_path(request: &Request) -> String {
    request.uri().path().chars().take(PATH_CHARS_SHOWN).collect()
}

async fn no_such_method(request: Request) -> HttpError {
    let message = format!("{} is not possible at {}; /docs lists what is", request.method(), shown_path(&request));
    HttpError::new(Refusal::MethodNotAllowed, message)
}
