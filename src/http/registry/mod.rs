//! The schema registry over HTTP, as Confluent's serializers and clients expect it: `subjects.rs` (versions), `ids.rs` (schemas by id),
//! `compatibility.rs`, `settings.rs` (levels and modes), `about.rs` (what this is). A listener of its own, `schema.listen`, with the limits, the
//! budget and the API keys of `[http]`. A project's key opens the subjects that begin with the project's topic prefix.
//!
//! Source: Confluent Schema Registry API reference; its error codes are chosen in `errors.rs`.

use super::errors::{HttpError, Refusal};
use super::room::Room;
use super::{Shared, budget, docs, metrics};
use axum::Router;
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use errors::Failure;
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

mod about;
mod compatibility;
mod errors;
mod ids;
mod input;
mod settings;
mod subjects;
mod texts;

#[derive(OpenApi)]
#[openapi(info(
    title = "Fourbyfour Stream: schemas",
    description = "The schema registry, with the API of Confluent's.",
    license(name = "Apache-2.0", identifier = "Apache-2.0")
))]
struct Described;

/// Smaller answers are not worth counting.
const CHARGED_FROM: usize = 16 * 1024;

/// Marks an answer that has its room already.
#[derive(Clone)]
struct Charged;

const PROJECT: &str = "/projects/{project_id}";

fn of_project() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(subjects::list))
        .routes(routes!(subjects::lookup, subjects::delete))
        .routes(routes!(subjects::versions, subjects::register))
        .routes(routes!(subjects::version, subjects::delete_version))
        .routes(routes!(subjects::text))
        .routes(routes!(subjects::referenced_by))
        .routes(routes!(subjects::with_metadata))
        .routes(routes!(ids::schemas))
        .routes(routes!(ids::types))
        .routes(routes!(ids::schema))
        .routes(routes!(ids::text))
        .routes(routes!(ids::subjects))
        .routes(routes!(ids::versions))
        .routes(routes!(ids::by_guid))
        .routes(routes!(ids::ids_of_guid))
        .routes(routes!(compatibility::with_all))
        .routes(routes!(compatibility::with_one))
        .routes(routes!(settings::config, settings::set_config, settings::delete_config))
        .routes(routes!(settings::config_of, settings::set_config_of, settings::delete_config_of))
        .routes(routes!(settings::mode, settings::set_mode, settings::delete_mode))
        .routes(routes!(settings::mode_of, settings::set_mode_of, settings::delete_mode_of))
        .routes(routes!(about::contexts))
        .routes(routes!(about::exported, about::imported))
        .routes(routes!(about::cluster))
        .routes(routes!(about::version))
}

/// The router.
pub fn router(shared: Arc<Shared>) -> Router {
    let (routes, mut document) = OpenApiRouter::with_openapi(Described::openapi())
        .routes(routes!(about::root))
        .merge(of_project())
        .nest(PROJECT, of_project())
        .split_for_parts();
    docs::complete(&mut document, PROJECT, shared.broker.config.http.auth);
    let (text, page) = (docs::json(&document), docs::page(&document));
    routes
        .route("/openapi.json", get(move || async move { ([(CONTENT_TYPE, "application/json")], text) }))
        .route("/docs", get(move || async move { ([(CONTENT_TYPE, "text/html; charset=utf-8")], page) }))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn_with_state(shared.clone(), budget::read_body))
        .layer(middleware::map_response_with_state(shared.clone(), charged))
        .layer(middleware::map_response(in_own_form))
        // The budget has seen to it.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(shared.clone(), metrics::measure))
        .with_state(shared)
}

/// What the house refuses before a route is reached is said in the registry's form, too.
async fn in_own_form(response: Response) -> Response {
    match response.extensions().get::<HttpError>().cloned() {
        None => response,
        Some(error) => {
            let headers = response.headers().clone();
            let mut own = Failure::from(error).into_response();
            for (name, value) in &headers {
                if !own.headers().contains_key(name) && name != axum::http::header::CONTENT_LENGTH {
                    own.headers_mut().insert(name.clone(), value.clone());
                }
            }
            own
        }
    }
}

/// Answers of some size take their room until they have left.
async fn charged(State(shared): State<Arc<Shared>>, response: Response) -> Response {
    let size = response.body().size_hint().exact().and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
    let is_charged = response.extensions().get::<Charged>().is_some();
    if size < CHARGED_FROM || is_charged {
        return response;
    }
    let Ok(room) = Room::take(&shared, size) else { return Failure::from(super::busy()).into_response() };
    let (parts, body) = response.into_parts();
    match to_bytes(body, size).await {
        Ok(bytes) => Response::from_parts(parts, Body::from(room.hold(&shared, bytes.into()))),
        Err(error) => Failure::new(50001, format!("the answer: {error}")).into_response(),
    }
}

async fn no_such_route(request: Request) -> Failure {
    HttpError::new(Refusal::NotFound, format!("HTTP 404 Not Found: there is nothing at {}", request.uri().path())).into()
}

async fn no_such_method(request: Request) -> Failure {
    let message = format!("HTTP 405 Method Not Allowed: {} at {}", request.method(), request.uri().path());
    HttpError::new(Refusal::MethodNotAllowed, message).into()
}
