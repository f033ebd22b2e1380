//! What the registry answers when it cannot do what was asked: `{"error_code", "message"}`, with Confluent's codes (Errors.java).

use super::texts::CONTENT;
use crate::http::errors::{HttpError, Refusal};
use crate::schema::RegistryError;
use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// The body of every answer that is an error.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// The status, and for most two digits more.
    #[schema(example = 40401)]
    pub error_code: u32,
    pub message: String,
}

/// A refusal.
#[derive(Debug, Clone)]
pub struct Failure {
    status: StatusCode,
    problem: Problem,
    refusal: Option<Refusal>,
}

impl Failure {
    #[must_use]
    pub fn new(error_code: u32, message: impl Into<String>) -> Failure {
        let status = if error_code >= 1000 { error_code / 100 } else { error_code };
        let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
        Failure {
            status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            problem: Problem { error_code, message: message.into() },
            refusal: None,
        }
    }

    #[must_use]
    pub fn invalid_version(text: &str) -> Failure {
        Failure::new(
            42202,
            format!(
                "The specified version '{text}' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\""
            ),
        )
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Failure {
        let code = match &error {
            RegistryError::SubjectNotFound(_) => 40401,
            RegistryError::VersionNotFound(_) => 40402,
            RegistryError::SchemaNotFound | RegistryError::IdNotFound(_) => 40403,
            RegistryError::SubjectSoftDeleted(_) => 40404,
            RegistryError::SubjectNotSoftDeleted(_) => 40405,
            RegistryError::VersionSoftDeleted(..) => 40406,
            RegistryError::VersionNotSoftDeleted(..) => 40407,
            RegistryError::NoOwnConfig(_) => 40408,
            RegistryError::NoOwnMode(_) => 40409,
            RegistryError::Incompatible { .. } => 409,
            RegistryError::InvalidSchema(_) => 42201,
            RegistryError::NotPermitted(_) => 42205,
            RegistryError::Referenced(..) => 42206,
            RegistryError::Full(_) => 42207,
            RegistryError::Store(_) => 50301,
        };
        Failure::new(code, error.to_string())
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Failure {
        let status = error.refusal.status();
        let problem = Problem { error_code: status.as_u16().into(), message: error.message };
        Failure { status, problem, refusal: Some(error.refusal) }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(CONTENT));
        match self.refusal {
            Some(Refusal::Busy | Refusal::Unavailable) => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Some(Refusal::Unauthorized) => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"schemas\""));
            }
            _ => {}
        }
        response
    }
}
