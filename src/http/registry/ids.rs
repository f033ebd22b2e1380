//! Schemas by their ids.

use super::errors::{Failure, Problem};
use super::input::{GuidAsked, IdAsked, Options, Visitor};
use super::subjects::{ALL_CONTEXTS, begins, text_of};
use super::texts::{Answer, CONTENT, ContextAndId, SchemaById, SubjectAndVersion, SubjectVersion, references_of, type_of};
use crate::http::room::{Charged, Room};
use crate::schema::{Deleted, RegistryError, Schema, Subject, Version};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// What a version takes in an answer besides its text.
const VERSION_BYTES: usize = 256;

/// All versions of all subjects.
#[utoipa::path(get, path = "/schemas", tag = "schemas", params(Options), responses(
    (status = 200, body = Vec<SubjectVersion>), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 429, body = Problem)))]
pub async fn schemas(visitor: Visitor, options: Options) -> Result<Response, Failure> {
    let prefix = options.subject_prefix.as_deref().unwrap_or(ALL_CONTEXTS);
    let found: Vec<Version> = visitor.registry.with(|state| {
        let subjects: Vec<&Subject> =
            state.subjects(options.which()).filter(|subject| visitor.may_see(subject) && begins(subject, prefix)).collect();
        let versions = subjects.into_iter().flat_map(|subject| {
            let all: Vec<Version> = state.versions(subject, options.which()).collect();
            let skipped = if options.latest_only { all.len().saturating_sub(1) } else { 0 };
            all.into_iter().skip(skipped)
        });
        options.page(versions)
    });
    // The texts are shared with the registry until here; the answer has its own.
    let bytes: usize = found.iter().map(|version| version.schema.bytes() + VERSION_BYTES).sum();
    let room = Room::take_all(&visitor.shared, bytes)?;
    let value: Vec<SubjectVersion> =
        found.iter().map(|version| SubjectVersion::of(version, version.schema.text.to_string())).collect();
    let mut response = Charged { value, room }.respond(&visitor.shared);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(CONTENT));
    response.extensions_mut().insert(super::Charged);
    Ok(response)
}

/// The formats that there are.
#[utoipa::path(get, path = "/schemas/types", tag = "schemas", responses(
    (status = 200, body = Vec<String>), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub async fn types(_: Visitor) -> Answer<[&'static str; 3]> {
    Answer(["JSON", "PROTOBUF", "AVRO"])
}

/// The schema with this id.
#[utoipa::path(get, path = "/schemas/ids/{id}", tag = "schemas", params(("id" = i32, Path), Options), responses(
    (status = 200, body = SchemaById), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem)))]
pub async fn schema(visitor: Visitor, IdAsked(id): IdAsked, options: Options) -> Result<Answer<SchemaById>, Failure> {
    let context = options.context();
    let schema = visitor.registry.schema(&context, id)?;
    let (max_id, holder) = visitor.registry.with(|state| {
        let subject = options.subject.as_deref().and_then(Subject::parse);
        let mut holders = state.holders(&context, id, Deleted::Included).filter(|(holder, _)| visitor.may_see(holder));
        let holder = holders.find(|(holder, _)| Some(*holder) == subject.as_ref());
        (state.next_id(&context).saturating_sub(1), holder.map(|(holder, version)| (holder.to_string(), version)))
    });
    let (subject, version) = holder.unzip();
    let shown = shown(&visitor, &schema, &options).await?;
    Ok(Answer(SchemaById { max_id: options.fetch_max_id.then_some(max_id), subject, version, ..shown }))
}

async fn shown(visitor: &Visitor, schema: &Arc<Schema>, options: &Options) -> Result<SchemaById, Failure> {
    Ok(SchemaById {
        guid: schema.identity.guid().to_string(),
        schema_type: type_of(schema),
        schema: text_of(visitor, schema, options.format.as_deref()).await?,
        references: references_of(schema),
        metadata: schema.metadata.clone(),
        rule_set: schema.rule_set.clone(),
        max_id: None,
        subject: None,
        version: None,
    })
}

/// The schema with this guid.
#[utoipa::path(get, path = "/schemas/guids/{guid}", tag = "schemas", params(("guid" = String, Path), Options), responses(
    (status = 200, body = SchemaById), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem)))]
pub async fn by_guid(visitor: Visitor, GuidAsked(guid): GuidAsked, options: Options) -> Result<Answer<SchemaById>, Failure> {
    let found = visitor.registry.with(|state| {
        let (context, id) = state.ids_of_guid(guid).next()?;
        state.schema(context, id).cloned()
    });
    let schema = found.ok_or_else(|| Failure::new(40403, format!("Schema {guid} not found")))?;
    shown(&visitor, &schema, &options).await.map(Answer)
}

/// The ids that the schema with this guid has, by context.
#[utoipa::path(get, path = "/schemas/guids/{guid}/ids", tag = "schemas", params(("guid" = String, Path)), responses(
    (status = 200, body = Vec<ContextAndId>), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem)))]
pub async fn ids_of_guid(visitor: Visitor, GuidAsked(guid): GuidAsked) -> Result<Answer<Vec<ContextAndId>>, Failure> {
    let ids: Vec<ContextAndId> = visitor
        .registry
        .with(|state| state.ids_of_guid(guid).map(|(context, id)| ContextAndId { context: context.to_owned(), id }).collect());
    if ids.is_empty() {
        return Err(Failure::new(40403, format!("Schema {guid} not found")));
    }
    Ok(Answer(ids))
}

/// The text of the schema with this id, and nothing else.
#[utoipa::path(get, path = "/schemas/ids/{id}/schema", tag = "schemas", params(("id" = i32, Path), Options), responses(
    (status = 200, body = String), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem)))]
pub async fn text(visitor: Visitor, IdAsked(id): IdAsked, options: Options) -> Result<Response, Failure> {
    let schema = visitor.registry.schema(&options.context(), id)?;
    let text = text_of(&visitor, &schema, options.format.as_deref()).await?;
    Ok(([(CONTENT_TYPE, CONTENT)], text).into_response())
}

/// The subjects that have the schema with this id.
#[utoipa::path(get, path = "/schemas/ids/{id}/subjects", tag = "schemas", params(("id" = i32, Path), Options), responses(
    (status = 200, body = Vec<String>), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem)))]
pub async fn subjects(visitor: Visitor, IdAsked(id): IdAsked, options: Options) -> Result<Answer<Vec<String>>, Failure> {
    let mut subjects: Vec<String> = holders(&visitor, id, &options)?.into_iter().map(|holder| holder.subject).collect();
    subjects.dedup();
    Ok(Answer(options.page(subjects.into_iter())))
}

/// The versions that have the schema with this id.
#[utoipa::path(get, path = "/schemas/ids/{id}/versions", tag = "schemas", params(("id" = i32, Path), Options), responses(
    (status = 200, body = Vec<SubjectAndVersion>), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem)))]
pub async fn versions(
    visitor: Visitor,
    IdAsked(id): IdAsked,
    options: Options,
) -> Result<Answer<Vec<SubjectAndVersion>>, Failure> {
    Ok(Answer(options.page(holders(&visitor, id, &options)?.into_iter())))
}

/// By subject.
fn holders(visitor: &Visitor, id: i32, options: &Options) -> Result<Vec<SubjectAndVersion>, Failure> {
    let context = options.context();
    visitor.registry.schema(&context, id)?;
    let wanted = options.subject.as_deref().and_then(Subject::parse);
    let (is_known, holders) = visitor.registry.with(|state| {
        let seen = |deleted| state.holders(&context, id, deleted).filter(|(subject, _)| visitor.may_see(subject));
        let asked = seen(options.which()).filter(|(subject, _)| wanted.as_ref().is_none_or(|wanted| wanted == *subject));
        let asked = asked.map(|(subject, version)| SubjectAndVersion { subject: subject.to_string(), version }).collect();
        (seen(Deleted::Included).next().is_some(), asked)
    });
    // One whose versions are all deleted is held by nobody; of one that only others hold, the visitor need not know.
    if is_known { Ok(holders) } else { Err(RegistryError::IdNotFound(id).into()) }
}
