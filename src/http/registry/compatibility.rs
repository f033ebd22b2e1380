//! Whether a schema could be registered.

use super::errors::{Failure, Problem};
use super::input::{Body, Named, Options, VersionAsked, Visitor};
use super::texts::{Answer, Compatibility, NewSchema};
use crate::schema::{Against, RegistryError, Subject};
use crate::tasks;

/// Whether a schema goes with the versions that the subject's level says.
#[utoipa::path(post, path = "/compatibility/subjects/{subject}/versions", tag = "compatibility", params(("subject" = String, Path), Options),
    request_body = NewSchema, responses(
    (status = 200, body = Compatibility), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 415, body = Problem), (status = 422, body = Problem)))]
pub async fn with_all(
    visitor: Visitor,
    Named(subject): Named,
    options: Options,
    Body(new): Body<NewSchema>,
) -> Result<Answer<Compatibility>, Failure> {
    tried(visitor, subject, options, new, Against::Subject).await
}

/// Whether a schema goes with one version.
#[utoipa::path(post, path = "/compatibility/subjects/{subject}/versions/{version}", tag = "compatibility",
    params(("subject" = String, Path), ("version" = String, Path), Options), request_body = NewSchema, responses(
    (status = 200, body = Compatibility), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem)))]
pub async fn with_one(
    visitor: Visitor,
    Named(subject): Named,
    VersionAsked(version): VersionAsked,
    options: Options,
    Body(new): Body<NewSchema>,
) -> Result<Answer<Compatibility>, Failure> {
    let against = version.map_or(Against::Latest, Against::Version);
    tried(visitor, subject, options, new, against).await
}

async fn tried(
    visitor: Visitor,
    subject: Subject,
    options: Options,
    new: NewSchema,
    against: Against,
) -> Result<Answer<Compatibility>, Failure> {
    let registration = new.registration(options.normalize)?;
    visitor.check_references(&registration)?;
    let registry = visitor.registry.clone();
    let conflicts = tasks::blocking("try a schema", move || registry.compatibility(&subject, &registration, against)).await;
    match conflicts {
        Ok(conflicts) => Ok(Answer(Compatibility::of(&conflicts, options.verbose))),
        // Said as a verdict where reasons are asked for, as by Confluent's.
        Err(RegistryError::InvalidSchema(why)) if options.verbose => {
            Ok(Answer(Compatibility { is_compatible: false, messages: Some(vec![why]) }))
        }
        Err(error) => Err(error.into()),
    }
}
