//! Subjects and their versions.

use super::errors::{Failure, Problem};
use super::input::{Body, Named, Options, VersionAsked, Visitor};
use super::texts::{Answer, NewSchema, Registered, SubjectVersion};
use crate::schema::{Deleted, Deletion, Format, Parsed, RegistryError, Schema, Subject, Version};
use crate::tasks;
use axum::extract::Query;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use std::collections::HashMap;
use std::sync::Arc;

const WHOLE: &str = "confluent-accept-unknown-properties";

/// All subjects.
#[utoipa::path(get, path = "/subjects", tag = "subjects", params(Options), responses(
    (status = 200, body = Vec<String>), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub async fn list(visitor: Visitor, options: Options) -> Answer<Vec<String>> {
    let prefix = options.subject_prefix.as_deref().unwrap_or(ALL_CONTEXTS);
    let subjects = visitor.registry.with(|state| {
        let named = state.subjects(options.which()).filter(|subject| visitor.may_see(subject) && begins(subject, prefix));
        options.page(named.map(ToString::to_string))
    });
    Answer(subjects)
}

/// The prefix of all subjects of all contexts.
pub const ALL_CONTEXTS: &str = ":*:";

/// Whether a subject begins with a prefix, which may name a context; without one it is the default context's.
pub fn begins(subject: &Subject, prefix: &str) -> bool {
    if prefix == ALL_CONTEXTS {
        return true;
    }
    if prefix.starts_with(":.") {
        return subject.to_string().starts_with(prefix);
    }
    subject.context == crate::schema::subject::DEFAULT_CONTEXT && subject.name.starts_with(prefix)
}

/// Under which version a schema is registered.
#[utoipa::path(post, path = "/subjects/{subject}", tag = "subjects", params(("subject" = String, Path), Options), request_body = NewSchema,
    responses((status = 200, body = SubjectVersion), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem)))]
pub async fn lookup(
    visitor: Visitor,
    Named(subject): Named,
    options: Options,
    Body(new): Body<NewSchema>,
) -> Result<Answer<SubjectVersion>, Failure> {
    let registration = new.registration(options.normalize)?;
    visitor.check_references(&registration)?;
    let (registry, which) = (visitor.registry.clone(), options.which());
    let found = tasks::blocking("look a schema up", move || registry.lookup(&subject, &registration, which)).await?;
    shown(&visitor, found, &options).await.map(Answer)
}

/// Deletes a subject: softly, or with `permanent=true` what was deleted softly.
#[utoipa::path(delete, path = "/subjects/{subject}", tag = "subjects", params(("subject" = String, Path), Options), responses(
    (status = 200, body = Vec<i32>), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 422, body = Problem)))]
pub async fn delete(visitor: Visitor, Named(subject): Named, options: Options) -> Result<Answer<Vec<i32>>, Failure> {
    Ok(Answer(visitor.registry.delete_subject(subject, deletion(&options)).await?))
}

/// The versions of a subject.
#[utoipa::path(get, path = "/subjects/{subject}/versions", tag = "subjects", params(("subject" = String, Path), Options), responses(
    (status = 200, body = Vec<i32>), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem)))]
pub async fn versions(visitor: Visitor, Named(subject): Named, options: Options) -> Result<Answer<Vec<i32>>, Failure> {
    let found = visitor.registry.with(|state| {
        let subject = state.unaliased(&subject);
        let found: Vec<i32> = state.versions(&subject, options.which()).map(|version| version.version).collect();
        // Of one that has no deleted versions there are none to be told of; it is there all the same.
        let is_there = !found.is_empty() || (options.deleted_only && state.latest(&subject, Deleted::Hidden).is_some());
        is_there.then_some(found)
    });
    let found = found.ok_or(RegistryError::SubjectNotFound(subject))?;
    Ok(Answer(options.page(found.into_iter())))
}

/// Registers a schema; one that is registered already is answered with its id.
#[utoipa::path(post, path = "/subjects/{subject}/versions", tag = "subjects", params(("subject" = String, Path), Options),
    request_body = NewSchema, responses(
    (status = 200, body = Registered), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 409, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
pub async fn register(
    visitor: Visitor,
    Named(subject): Named,
    options: Options,
    headers: HeaderMap,
    Body(new): Body<NewSchema>,
) -> Result<Answer<Registered>, Failure> {
    let registration = new.registration(options.normalize)?;
    visitor.check_references(&registration)?;
    let registered = visitor.registry.register(subject, registration).await?;
    let wants_whole = headers.get(WHOLE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
    Ok(Answer(match wants_whole {
        true => Registered::Whole(Box::new(shown(&visitor, registered, &options).await?)),
        false => Registered::Id { id: registered.schema.id },
    }))
}

/// One version, by its number or as `latest`.
#[utoipa::path(get, path = "/subjects/{subject}/versions/{version}", tag = "subjects",
    params(("subject" = String, Path), ("version" = String, Path), Options), responses(
    (status = 200, body = SubjectVersion), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 422, body = Problem)))]
pub async fn version(
    visitor: Visitor,
    Named(subject): Named,
    VersionAsked(version): VersionAsked,
    options: Options,
) -> Result<Answer<SubjectVersion>, Failure> {
    let found = visitor.registry.version(&subject, version, options.which())?;
    shown(&visitor, found, &options).await.map(Answer)
}

/// Deletes one version.
#[utoipa::path(delete, path = "/subjects/{subject}/versions/{version}", tag = "subjects",
    params(("subject" = String, Path), ("version" = String, Path), Options), responses(
    (status = 200, body = i32), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 422, body = Problem)))]
pub async fn delete_version(
    visitor: Visitor,
    Named(subject): Named,
    VersionAsked(version): VersionAsked,
    options: Options,
) -> Result<Answer<i32>, Failure> {
    Ok(Answer(visitor.registry.delete_version(subject, version, deletion(&options)).await?))
}

/// The text of a version's schema, and nothing else.
#[utoipa::path(get, path = "/subjects/{subject}/versions/{version}/schema", tag = "subjects",
    params(("subject" = String, Path), ("version" = String, Path), Options), responses(
    (status = 200, body = String), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 422, body = Problem)))]
pub async fn text(
    visitor: Visitor,
    Named(subject): Named,
    VersionAsked(version): VersionAsked,
    options: Options,
) -> Result<Response, Failure> {
    let found = visitor.registry.version(&subject, version, options.which())?;
    let text = text_of(&visitor, &found.schema, options.format.as_deref()).await?;
    Ok(([(CONTENT_TYPE, super::texts::CONTENT)], text).into_response())
}

/// The ids of the schemas that refer to a version.
#[utoipa::path(get, path = "/subjects/{subject}/versions/{version}/referencedby", tag = "subjects",
    params(("subject" = String, Path), ("version" = String, Path), Options), responses(
    (status = 200, body = Vec<i32>), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 422, body = Problem)))]
pub async fn referenced_by(
    visitor: Visitor,
    Named(subject): Named,
    VersionAsked(version): VersionAsked,
    options: Options,
) -> Result<Answer<Vec<i32>>, Failure> {
    let found = visitor.registry.version(&subject, version, Deleted::Included)?;
    let ids = visitor
        .registry
        .with(|state| state.referring(&found.subject, found.version, options.which()).map(|(_, id)| id).collect::<Vec<_>>());
    Ok(Answer(options.page(ids.into_iter())))
}

/// The latest version whose metadata has these properties: pairs of `key` and `value`.
#[utoipa::path(get, path = "/subjects/{subject}/metadata", tag = "subjects", params(("subject" = String, Path),
    ("key" = Option<String>, Query), ("value" = Option<String>, Query), Options), responses(
    (status = 200, body = SubjectVersion), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 422, body = Problem)))]
pub async fn with_metadata(
    visitor: Visitor,
    Named(subject): Named,
    options: Options,
    pairs: Query<Vec<(String, String)>>,
) -> Result<Answer<SubjectVersion>, Failure> {
    let values = |name: &str| pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect::<Vec<_>>();
    let wanted: HashMap<String, String> = values("key").into_iter().zip(values("value")).collect();
    let has_all = |version: &Version| {
        let properties = version.schema.metadata.as_ref().and_then(|metadata| metadata.get("properties"));
        wanted.iter().all(|(key, value)| {
            properties.and_then(|properties| properties.get(key)).and_then(|value| value.as_str()) == Some(value.as_str())
        })
    };
    let found = visitor.registry.with(|state| {
        let subject = state.unaliased(&subject);
        state.versions(&subject, options.which()).rev().find(has_all)
    });
    let found = match found {
        Some(found) => found,
        // The subject first: that it is not there is another answer.
        None => {
            let is_there = visitor.registry.with(|state| state.latest(&state.unaliased(&subject), options.which()).is_some());
            return Err(if is_there { RegistryError::SchemaNotFound } else { RegistryError::SubjectNotFound(subject) }.into());
        }
    };
    shown(&visitor, found, &options).await.map(Answer)
}

fn deletion(options: &Options) -> Deletion {
    if options.permanent { Deletion::Permanent } else { Deletion::Soft }
}

async fn shown(visitor: &Visitor, version: Version, options: &Options) -> Result<SubjectVersion, Failure> {
    let text = text_of(visitor, &version.schema, options.format.as_deref()).await?;
    Ok(SubjectVersion::of(&version, text))
}

/// A schema's text, in the format that was asked for (`serialized`: Protobuf's descriptor).
pub async fn text_of(visitor: &Visitor, schema: &Arc<Schema>, format: Option<&str>) -> Result<String, Failure> {
    if format != Some("serialized") || schema.format != Format::Protobuf {
        return Ok(schema.text.to_string());
    }
    let (registry, schema) = (visitor.registry.clone(), schema.clone());
    let parsed = tasks::blocking("read a schema", move || registry.parsed(&schema)).await?;
    Ok(match &*parsed {
        Parsed::Protobuf(schema) => schema.serialized(),
        other => other.stored_text().to_owned(),
    })
}
