//! What the registry's routes take: who asks, the subject in the path, parameters, bodies.

use super::errors::Failure;
use super::texts::CONTENT;
use crate::http::Shared;
use crate::http::caller::Caller;
use crate::http::errors::{HttpError, Refusal};
use crate::http::input::path_param;
use crate::schema::{Registration, Registry, Subject};
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use std::sync::Arc;
use utoipa::IntoParams;
use uuid::Uuid;

/// Who asks, and the registry.
pub struct Visitor {
    pub registry: Arc<Registry>,
    pub shared: Arc<Shared>,
    caller: Caller,
}

impl Visitor {
    /// Whether the visitor's project may see a subject.
    #[must_use]
    pub fn may_see(&self, subject: &Subject) -> bool {
        self.caller.http_name(&subject.name).is_some()
    }

    /// # Errors
    /// When the subject is another project's.
    pub fn check(&self, subject: &Subject) -> Result<(), Failure> {
        if subject.name.is_empty() {
            // A whole context, also when it is written as a subject (`:.:`).
            return self.check_everything();
        }
        if self.may_see(subject) {
            return Ok(());
        }
        Err(Failure::new(40301, format!("Subject '{subject}' is not of this project: its subjects begin with its topic_prefix")))
    }

    /// # Errors
    /// When some subjects are not the visitor's: what concerns everybody is not one project's affair.
    pub fn check_everything(&self) -> Result<(), Failure> {
        if self.caller.owns_everything() {
            return Ok(());
        }
        Err(Failure::new(40301, "this concerns all projects, and there are others than that of this key"))
    }

    /// # Errors
    /// When one of the references is to another project's subject.
    pub fn check_references(&self, registration: &Registration) -> Result<(), Failure> {
        let subjects = registration.references.iter().filter_map(|reference| Subject::parse(&reference.subject));
        subjects.into_iter().try_for_each(|subject| self.check(&subject))
    }
}

impl FromRequestParts<Arc<Shared>> for Visitor {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Visitor, Failure> {
        let caller = Caller::from_request_parts(parts, shared).await?;
        Ok(Visitor { registry: shared.broker.schemas.clone(), shared: shared.clone(), caller })
    }
}

/// The `{subject}` of the path, which the visitor may use.
pub struct Named(pub Subject);

impl FromRequestParts<Arc<Shared>> for Named {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Named, Failure> {
        let subject = segment(parts, shared, "subject").await?;
        let subject = Subject::parse(&subject).ok_or_else(|| invalid_subject(&subject))?;
        Visitor::from_request_parts(parts, shared).await?.check(&subject)?;
        Ok(Named(subject))
    }
}

/// The `{subject}` of the path, which may be a context as a whole.
pub struct Scope(pub Subject);

impl FromRequestParts<Arc<Shared>> for Scope {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Scope, Failure> {
        let subject = segment(parts, shared, "subject").await?;
        let subject = Subject::parse_scope(&subject).ok_or_else(|| invalid_subject(&subject))?;
        Visitor::from_request_parts(parts, shared).await?.check(&subject)?;
        Ok(Scope(subject))
    }
}

fn invalid_subject(text: &str) -> Failure {
    Failure::new(42208, format!("The specified subject '{text}' is not a valid."))
}

/// The `{version}` of the path; `None`: the latest.
pub struct VersionAsked(pub Option<i32>);

impl FromRequestParts<Arc<Shared>> for VersionAsked {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<VersionAsked, Failure> {
        let text = segment(parts, shared, "version").await?;
        if text == "latest" || text == "-1" {
            return Ok(VersionAsked(None));
        }
        match text.parse::<i32>() {
            Ok(version) if version >= 1 => Ok(VersionAsked(Some(version))),
            _ => Err(Failure::invalid_version(&text)),
        }
    }
}

/// The `{id}` of the path.
pub struct IdAsked(pub i32);

impl FromRequestParts<Arc<Shared>> for IdAsked {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<IdAsked, Failure> {
        let text = segment(parts, shared, "id").await?;
        // As an id that nobody has (Jersey's answer to a path that does not fit).
        text.parse().map(IdAsked).map_err(|_| Failure::new(404, format!("HTTP 404 Not Found: {text:?} is not a schema id")))
    }
}

/// The `{guid}` of the path.
pub struct GuidAsked(pub Uuid);

impl FromRequestParts<Arc<Shared>> for GuidAsked {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<GuidAsked, Failure> {
        let text = segment(parts, shared, "guid").await?;
        text.parse().map(GuidAsked).map_err(|_| Failure::new(40403, format!("Schema {text} not found")))
    }
}

async fn segment(parts: &mut Parts, shared: &Arc<Shared>, name: &str) -> Result<String, Failure> {
    let value = path_param(parts, shared, name).await?;
    value.ok_or_else(|| HttpError::invalid(format!("the path has no {{{name}}}")).into())
}

/// The parameters of all routes; each says which it uses.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
pub struct Options {
    #[serde(deserialize_with = "flag")]
    pub normalize: bool,
    #[serde(deserialize_with = "flag")]
    pub deleted: bool,
    #[serde(deserialize_with = "flag", alias = "deleted_only")]
    pub deleted_only: bool,
    #[serde(deserialize_with = "flag")]
    pub permanent: bool,
    #[serde(deserialize_with = "flag")]
    pub verbose: bool,
    #[serde(deserialize_with = "flag")]
    pub latest_only: bool,
    #[serde(deserialize_with = "flag")]
    pub default_to_global: bool,
    #[serde(deserialize_with = "flag")]
    pub force: bool,
    #[serde(deserialize_with = "flag")]
    pub fetch_max_id: bool,
    /// `serialized`: Protobuf as the base64 of its descriptor.
    pub format: Option<String>,
    /// A subject, or `:.context:`.
    pub subject: Option<String>,
    pub subject_prefix: Option<String>,
    pub offset: Option<usize>,
    pub limit: Option<i64>,
}

/// True, or anything else (Boolean.valueOf, as JAX-RS reads parameters).
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(String::deserialize(deserializer)?.eq_ignore_ascii_case("true"))
}

/// A page of what is listed: `offset` and `limit`, where only a limit above 0 is one.
impl Options {
    pub fn page<T>(&self, all: impl Iterator<Item = T>) -> Vec<T> {
        let limit = self.limit.filter(|limit| *limit > 0).and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        all.skip(self.offset.unwrap_or(0)).take(limit).collect()
    }

    #[must_use]
    pub fn which(&self) -> crate::schema::Deleted {
        use crate::schema::Deleted;
        match (self.deleted_only, self.deleted) {
            (true, _) => Deleted::Only,
            (false, true) => Deleted::Included,
            (false, false) => Deleted::Hidden,
        }
    }

    /// The context that a schema id is looked up in.
    #[must_use]
    pub fn context(&self) -> String {
        let subject = self.subject.as_deref().and_then(Subject::parse_scope);
        subject.unwrap_or_else(|| Subject::plain("")).context
    }
}

impl FromRequestParts<Arc<Shared>> for Options {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Shared>) -> Result<Options, Failure> {
        let query = Query::<Options>::try_from_uri(&parts.uri);
        query.map(|Query(options)| options).map_err(|error| Failure::new(400, format!("the query: {}", error.body_text())))
    }
}

/// The body, as JSON.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<Shared>> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Body<T>, Failure> {
        let content = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or(CONTENT);
        let essence = content.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_known = essence.ends_with("json") || essence == "application/octet-stream";
        if !is_known {
            let message = format!("HTTP 415 Unsupported Media Type: send {CONTENT}");
            return Err(HttpError::new(Refusal::UnsupportedMediaType, message).into());
        }
        // It is in memory already, see `budget.rs`.
        let bytes = Bytes::from_request(request, shared).await;
        let bytes = bytes.map_err(|error| Failure::new(400, format!("the body could not be read: {}", error.body_text())))?;
        let value = serde_json::from_slice(&bytes).map_err(|error| Failure::new(42200, format!("Unrecognized body: {error}")))?;
        Ok(Body(value))
    }
}
