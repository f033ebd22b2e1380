//! What this registry is.

use super::errors::{Failure, Problem};
use super::input::{Options, Visitor};
use super::texts::Answer;
use crate::http::room::Room;
use crate::schema::Deleted;
use crate::schema::export::Export;
use crate::schema::subject::DEFAULT_CONTEXT;
use crate::tasks;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// Nothing, which says that a registry is there.
#[utoipa::path(get, path = "/", tag = "about", responses((status = 200, body = Object)))]
pub async fn root() -> Answer<Map<String, Value>> {
    Answer(Map::new())
}

/// The contexts that have subjects; the default one always.
#[utoipa::path(get, path = "/contexts", tag = "about", params(Options), responses(
    (status = 200, body = Vec<String>), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub async fn contexts(visitor: Visitor, options: Options) -> Answer<Vec<String>> {
    let contexts = visitor.registry.with(|state| {
        let seen = state.subjects(Deleted::Included).filter(|subject| visitor.may_see(subject));
        let contexts: BTreeSet<&str> = seen.map(|subject| subject.context.as_str()).chain([DEFAULT_CONTEXT]).collect();
        contexts.into_iter().map(str::to_owned).collect::<Vec<_>>()
    });
    Answer(options.page(contexts.into_iter()))
}

/// Of which cluster this registry is.
#[utoipa::path(get, path = "/v1/metadata/id", tag = "about", responses(
    (status = 200, body = Object), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub async fn cluster(visitor: Visitor) -> Answer<Value> {
    let id = visitor.shared.broker.catalog.cluster_id();
    let clusters = json!({ "kafka-cluster": id, "schema-registry-cluster": "schema-registry" });
    Answer(json!({ "id": "", "scope": { "path": [], "clusters": clusters } }))
}

/// All that is registered, as the records of Confluent's topic `_schemas`: a line each, key and value with a tab between.
#[utoipa::path(get, path = "/_schemas", tag = "about", responses(
    (status = 200, body = String, content_type = "text/plain"), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 429, body = Problem)))]
pub async fn exported(visitor: Visitor) -> Result<Response, Failure> {
    visitor.check_everything()?;
    let export = visitor.registry.with(Export::of);
    let bytes = export.bytes();
    let room = Room::take_all(&visitor.shared, bytes)?;
    let lines = tasks::blocking("export schemas", move || export.lines()).await;
    let body = axum::body::Body::from(room.hold(&visitor.shared, lines.into_bytes()));
    let mut response = ([(CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response();
    response.extensions_mut().insert(super::Charged);
    Ok(response)
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Imported {
    /// Versions that came.
    versions: usize,
}

/// Takes over such records, all or none.
#[utoipa::path(post, path = "/_schemas", tag = "about", request_body(content = String, content_type = "text/plain"), responses(
    (status = 200, body = Imported), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 422, body = Problem), (status = 503, body = Problem)))]
pub async fn imported(visitor: Visitor, lines: String) -> Result<Answer<Imported>, Failure> {
    visitor.check_everything()?;
    Ok(Answer(Imported { versions: visitor.registry.import(lines).await? }))
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct About {
    version: &'static str,
    commit_id: &'static str,
}

/// The version of the server.
#[utoipa::path(get, path = "/v1/metadata/version", tag = "about", responses(
    (status = 200, body = About), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub async fn version(_: Visitor) -> Answer<About> {
    Answer(About { version: env!("CARGO_PKG_VERSION"), commit_id: "" })
}
