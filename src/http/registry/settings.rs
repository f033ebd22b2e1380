//! Levels of compatibility and modes: for everything, for a context (`:.context:`), for a subject.

use super::errors::{Failure, Problem};
use super::input::{Body, Options, Scope, Visitor};
use super::texts::Answer;
use crate::schema::stored::Own;
use crate::schema::{Level, Mode, RegistryError, Subject};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A configuration, as it is read.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigRead {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    compatibility_level: Option<Level>,
    #[serde(skip_serializing_if = "Option::is_none")]
    normalize: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compatibility_group: Option<String>,
}

/// A configuration, as it is set: what is given is changed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigSet {
    #[serde(skip_serializing_if = "Option::is_none")]
    compatibility: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    normalize: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compatibility_group: Option<String>,
    /// Rules and metadata by default are not supported, and refused.
    #[serde(flatten, skip_serializing)]
    #[schema(ignore)]
    others: Map<String, Value>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ModeBody {
    #[schema(example = "READWRITE")]
    mode: String,
}

impl ConfigSet {
    fn own(&self) -> Result<Own, Failure> {
        if let Some((name, _)) = self.others.iter().find(|(_, value)| !value.is_null()) {
            return Err(Failure::new(
                42200,
                format!("{name} is not supported; compatibility, normalize, alias and compatibilityGroup are"),
            ));
        }
        let level = self.compatibility.as_deref().map(|text| {
            text.parse::<Level>().map_err(|()| {
                Failure::new(
                    42203,
                    "Invalid compatibility level. Valid values are none, backward, forward, full, backward_transitive, \
                     forward_transitive, and full_transitive",
                )
            })
        });
        Ok(Own {
            level: level.transpose()?,
            normalize: self.normalize,
            alias: self.alias.clone(),
            compatibility_group: self.compatibility_group.clone(),
            mode: None,
        })
    }
}

fn read(own: Own) -> ConfigRead {
    ConfigRead {
        compatibility_level: own.level,
        normalize: own.normalize,
        alias: own.alias,
        compatibility_group: own.compatibility_group,
    }
}

/// Who has nothing to take back is not there, as Confluent's registry says it.
fn nothing_to_delete(error: RegistryError) -> RegistryError {
    match error {
        RegistryError::NoOwnConfig(scope) | RegistryError::NoOwnMode(scope) => RegistryError::SubjectNotFound(scope),
        other => other,
    }
}

fn everything() -> Subject {
    Subject::plain("")
}

/// What counts where nothing else is set.
#[utoipa::path(get, path = "/config", tag = "settings", responses(
    (status = 200, body = ConfigRead), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub async fn config(visitor: Visitor) -> Answer<ConfigRead> {
    Answer(read(visitor.registry.counting(&everything())))
}

/// Sets what counts where nothing else is set.
#[utoipa::path(put, path = "/config", tag = "settings", request_body = ConfigSet, responses(
    (status = 200, body = ConfigSet), (status = 401, body = Problem), (status = 403, body = Problem), (status = 415, body = Problem),
    (status = 422, body = Problem), (status = 503, body = Problem)))]
pub async fn set_config(visitor: Visitor, Body(given): Body<ConfigSet>) -> Result<Answer<ConfigSet>, Failure> {
    visitor.check_everything()?;
    set(visitor, everything(), given).await
}

/// Takes it back, and answers what counted before.
#[utoipa::path(delete, path = "/config", tag = "settings", responses(
    (status = 200, body = ConfigRead), (status = 401, body = Problem), (status = 403, body = Problem), (status = 422, body = Problem)))]
pub async fn delete_config(visitor: Visitor) -> Result<Answer<ConfigRead>, Failure> {
    visitor.check_everything()?;
    let before = visitor.registry.counting(&everything());
    visitor.registry.delete_config(everything()).await?;
    Ok(Answer(read(before)))
}

/// What is set for a subject; with `defaultToGlobal=true`, what counts for it.
#[utoipa::path(get, path = "/config/{subject}", tag = "settings", params(("subject" = String, Path), Options), responses(
    (status = 200, body = ConfigRead), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 422, body = Problem)))]
pub async fn config_of(visitor: Visitor, Scope(scope): Scope, options: Options) -> Result<Answer<ConfigRead>, Failure> {
    let (own, counting) = (visitor.registry.own(&scope), visitor.registry.counting(&scope));
    if options.default_to_global {
        return Ok(Answer(read(counting)));
    }
    if own.level.is_none() && own.normalize.is_none() && own.alias.is_none() && own.compatibility_group.is_none() {
        return Err(RegistryError::NoOwnConfig(scope).into());
    }
    // A level is there always, as clients expect.
    Ok(Answer(read(Own { level: own.level.or(counting.level), ..own })))
}

/// Sets what counts for a subject.
#[utoipa::path(put, path = "/config/{subject}", tag = "settings", params(("subject" = String, Path)), request_body = ConfigSet, responses(
    (status = 200, body = ConfigSet), (status = 401, body = Problem), (status = 403, body = Problem), (status = 415, body = Problem),
    (status = 422, body = Problem), (status = 503, body = Problem)))]
pub async fn set_config_of(
    visitor: Visitor,
    Scope(scope): Scope,
    Body(given): Body<ConfigSet>,
) -> Result<Answer<ConfigSet>, Failure> {
    set(visitor, scope, given).await
}

async fn set(visitor: Visitor, scope: Subject, given: ConfigSet) -> Result<Answer<ConfigSet>, Failure> {
    let own = given.own()?;
    if let Some(alias) = own.alias.as_deref().filter(|alias| !alias.is_empty()) {
        let target = Subject::parse(alias)
            .ok_or_else(|| Failure::new(42208, format!("The specified subject '{alias}' is not a valid.")))?;
        visitor.check(&target)?;
    }
    visitor.registry.set_config(scope, own.clone()).await?;
    Ok(Answer(ConfigSet { compatibility: own.level.map(|level| level.to_string()), ..given }))
}

/// Takes back what is set for a subject.
#[utoipa::path(delete, path = "/config/{subject}", tag = "settings", params(("subject" = String, Path)), responses(
    (status = 200, body = ConfigRead), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    (status = 422, body = Problem)))]
pub async fn delete_config_of(visitor: Visitor, Scope(scope): Scope) -> Result<Answer<ConfigRead>, Failure> {
    Ok(Answer(read(visitor.registry.delete_config(scope).await.map_err(nothing_to_delete)?)))
}

/// The mode where nothing else is set.
#[utoipa::path(get, path = "/mode", tag = "settings", responses(
    (status = 200, body = ModeBody), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub async fn mode(visitor: Visitor) -> Answer<ModeBody> {
    let mode = visitor.registry.with(|state| state.mode(&everything()));
    Answer(ModeBody { mode: mode.to_string() })
}

/// Sets it; IMPORT with `force=true` where there are schemas.
#[utoipa::path(put, path = "/mode", tag = "settings", params(Options), request_body = ModeBody, responses(
    (status = 200, body = ModeBody), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 415, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
pub async fn set_mode(visitor: Visitor, options: Options, Body(given): Body<ModeBody>) -> Result<Answer<ModeBody>, Failure> {
    visitor.check_everything()?;
    put_mode(visitor, everything(), options, given).await
}

/// Takes it back, and answers the one before.
#[utoipa::path(delete, path = "/mode", tag = "settings", responses(
    (status = 200, body = ModeBody), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub async fn delete_mode(visitor: Visitor) -> Result<Answer<ModeBody>, Failure> {
    visitor.check_everything()?;
    let before = visitor.registry.set_mode(everything(), None, false).await?;
    Ok(Answer(ModeBody { mode: before.unwrap_or_default().to_string() }))
}

/// The mode of a subject; with `defaultToGlobal=true`, the one that counts for it.
#[utoipa::path(get, path = "/mode/{subject}", tag = "settings", params(("subject" = String, Path), Options), responses(
    (status = 200, body = ModeBody), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 422, body = Problem)))]
pub async fn mode_of(visitor: Visitor, Scope(scope): Scope, options: Options) -> Result<Answer<ModeBody>, Failure> {
    let own = visitor.registry.own(&scope).mode;
    let mode = match options.default_to_global {
        true => visitor.registry.with(|state| state.mode(&scope)),
        false => own.ok_or(RegistryError::NoOwnMode(scope))?,
    };
    Ok(Answer(ModeBody { mode: mode.to_string() }))
}

/// Sets the mode of a subject.
#[utoipa::path(put, path = "/mode/{subject}", tag = "settings", params(("subject" = String, Path), Options), request_body = ModeBody,
    responses((status = 200, body = ModeBody), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 415, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
pub async fn set_mode_of(
    visitor: Visitor,
    Scope(scope): Scope,
    options: Options,
    Body(given): Body<ModeBody>,
) -> Result<Answer<ModeBody>, Failure> {
    put_mode(visitor, scope, options, given).await
}

async fn put_mode(visitor: Visitor, scope: Subject, options: Options, given: ModeBody) -> Result<Answer<ModeBody>, Failure> {
    let mode = given.mode.parse::<Mode>().map_err(|()| {
        Failure::new(42204, "Invalid mode. Valid values are READWRITE, READONLY, READONLY_OVERRIDE, and IMPORT.")
    })?;
    if mode == Mode::Import {
        // Imported ids are taken from all projects of the context.
        visitor.check_everything()?;
    }
    visitor.registry.set_mode(scope, Some(mode), options.force).await?;
    Ok(Answer(ModeBody { mode: mode.to_string() }))
}

/// Takes back the mode of a subject.
#[utoipa::path(delete, path = "/mode/{subject}", tag = "settings", params(("subject" = String, Path)), responses(
    (status = 200, body = ModeBody), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    (status = 422, body = Problem)))]
pub async fn delete_mode_of(visitor: Visitor, Scope(scope): Scope) -> Result<Answer<ModeBody>, Failure> {
    let before = visitor.registry.set_mode(scope, None, false).await.map_err(nothing_to_delete)?;
    Ok(Answer(ModeBody { mode: before.unwrap_or_default().to_string() }))
}
