//! Whether the process lives, and whether it can serve.

use super::Shared;
use super::errors::{ErrorBody, HttpError, Refusal};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ok`
    pub status: &'static str,
}

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, body = Health)))]
pub async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether requests are served: not while the broker stops.
#[utoipa::path(get, path = "/readyz", tag = "health", responses((status = 200, body = Health), (status = 503, body = ErrorBody)))]
pub async fn readyz(State(shared): State<Arc<Shared>>) -> Result<Json<Health>, HttpError> {
    if shared.is_stopping() {
        return Err(HttpError::new(Refusal::Unavailable, "the broker is stopping"));
    }
    Ok(Json(Health { status: "ok" }))
}
