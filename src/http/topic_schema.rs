//! A topic's schema in one call: registered, and asked of every event from then on, whoever produces it and over whichever protocol.

use super::caller::Caller;
use super::errors::{ErrorBody, HttpError, Refusal};
use super::input::{Body, Name};
use super::topics::resolve;
use crate::api::config_resource::TOPIC;
use crate::api::errors::ResponseError;
use crate::api::incremental_alter_configs::IncrementalAlterConfigs;
use crate::catalog::Topic;
use crate::config::validation::{self, Depth, OnInvalid, SubjectName};
use crate::schema::stored::Own;
use crate::schema::{Deleted, Deletion, Format, Level, Reference, Registration, RegistryError, Subject, Version};
use crate::tasks;
use axum::Json;
use axum::http::StatusCode;
use kafka_protocol::messages::IncrementalAlterConfigsRequest;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::protocol::StrBytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

const ALTER: i16 = 1;
/// AlterConfigOp.OpType.
const SET: i8 = 0;
const DELETE: i8 = 1;

/// Settings that a schema over HTTP sets, and takes back.
const VALIDATION: &str = "value.schema.validation";
const CONFLUENT: &str = "confluent.value.schema.validation";
const VERSION: &str = "value.schema.version";
const ON_INVALID: &str = "on.invalid.record";
const SETTINGS: [&str; 4] = [VALIDATION, CONFLUENT, ON_INVALID, VERSION];

/// A schema for the values of a topic.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTopicSchema {
    #[serde(rename = "type")]
    #[schema(example = "JSON")]
    pub format: Option<SchemaType>,
    /// JSON Schema and Avro as JSON, or as a text with that in it; Protobuf as a text.
    pub schema: Value,
    /// Other schemas that this one names.
    pub references: Option<Vec<TopicSchemaReference>>,
    /// How closely values are looked at: `full` without.
    pub validation: Option<ValidationDepth>,
    /// What becomes of a value that does not fit: `refuse` without.
    pub on_invalid: Option<InvalidEvents>,
    /// Which versions must be able to read one another, from now on.
    #[schema(example = "BACKWARD")]
    pub compatibility: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum SchemaType {
    Json,
    Avro,
    Protobuf,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopicSchemaReference {
    /// As the schema names it.
    pub name: String,
    pub subject: String,
    /// The latest without.
    pub version: Option<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ValidationDepth {
    /// Nothing is asked.
    None,
    /// Values begin with the id of one of the subject's schemas.
    Id,
    /// Values fit the schema that they name, or, as plain JSON, the latest.
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InvalidEvents {
    /// The batch is refused whole.
    Refuse,
    /// They go to `{topic}.dlq`.
    DeadLetter,
}

/// What a topic asks of its values.
#[derive(Debug, Serialize, ToSchema)]
pub struct TopicSchema {
    pub subject: String,
    pub version: i32,
    pub id: i32,
    #[serde(rename = "type")]
    pub format: SchemaType,
    /// As JSON where it is JSON, else as a text.
    pub schema: Value,
    pub validation: ValidationDepth,
    pub on_invalid: InvalidEvents,
}

/// Registers a schema for the topic's values, and has every event held against it from now on.
#[utoipa::path(put, path = "/topics/{name}/schema", tag = "topics", params(("name" = String, Path)), request_body = NewTopicSchema, responses(
    (status = 200, body = TopicSchema),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 408, body = ErrorBody), (status = 409, body = ErrorBody), (status = 413, body = ErrorBody), (status = 415, body = ErrorBody),
    (status = 429, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub async fn put(caller: Caller, Name(name): Name, Body(new): Body<NewTopicSchema>) -> Result<Json<TopicSchema>, HttpError> {
    let topic = resolve(&caller, &name)?;
    let subject = subject_of(&topic)?;
    check_own(&caller, &subject)?;
    let registry = caller.shared.broker.schemas.clone();
    let level = new.compatibility.as_deref().map(|level| {
        level.parse::<Level>().map_err(|()| HttpError::invalid(format!("compatibility = {level:?} is no level; BACKWARD is one")))
    });
    let level = level.transpose()?;
    let validation = new.validation.unwrap_or(ValidationDepth::Full);
    let on_invalid = new.on_invalid.unwrap_or(InvalidEvents::Refuse);
    let registration = new.registration()?;
    for reference in registration.references.iter().filter_map(|reference| Subject::parse(&reference.subject)) {
        check_own(&caller, &reference)?;
    }
    let depth = match validation {
        ValidationDepth::None => "none",
        ValidationDepth::Id => "id",
        ValidationDepth::Full => "full",
    };
    let bad = if on_invalid == InvalidEvents::Refuse { "refuse" } else { "dead-letter" };
    tasks::to_the_end("give a topic a schema", async move {
        // Each step is durable by itself: what a failure leaves undone, the same request does.
        registry.register(subject.clone(), registration).await.map_err(refusal)?;
        if level.is_some() {
            registry.set_config(subject, Own { level, ..Own::default() }).await.map_err(refusal)?;
        }
        // The new version counts, also where another one was pinned.
        alter(&caller, &topic, &[(VALIDATION, Some(depth)), (ON_INVALID, Some(bad)), (VERSION, None)]).await?;
        find(&caller, &name).map(Json)
    })
    .await
}

/// What the topic asks of its values.
#[utoipa::path(get, path = "/topics/{name}/schema", tag = "topics", params(("name" = String, Path)), responses(
    (status = 200, body = TopicSchema),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn get(caller: Caller, Name(name): Name) -> Result<Json<TopicSchema>, HttpError> {
    find(&caller, &name).map(Json)
}

/// Asks nothing of the topic's values any more. The versions are no longer listed; their ids are read as before.
#[utoipa::path(delete, path = "/topics/{name}/schema", tag = "topics", params(("name" = String, Path)), responses(
    (status = 204),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 409, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub async fn delete(caller: Caller, Name(name): Name) -> Result<StatusCode, HttpError> {
    let topic = resolve(&caller, &name)?;
    if !asks(&topic) {
        return Err(missing(&name));
    }
    let subject = subject_of(&topic)?;
    check_own(&caller, &subject)?;
    let registry = caller.shared.broker.schemas.clone();
    tasks::to_the_end("take a topic's schema away", async move {
        // First the settings: a topic that asks for a schema and has none takes no event, and a crash may come after any step.
        alter(&caller, &topic, &SETTINGS.map(|setting| (setting, None::<&str>))).await?;
        match registry.delete_subject(subject, Deletion::Soft).await {
            Ok(_) | Err(RegistryError::SubjectNotFound(_) | RegistryError::SubjectSoftDeleted(_)) => Ok(StatusCode::NO_CONTENT),
            Err(error) => {
                let before = SETTINGS.map(|setting| (setting, topic.overrides.get(setting).map(String::as_str)));
                alter(&caller, &topic, &before).await?;
                Err(refusal(error))
            }
        }
    })
    .await
}

impl NewTopicSchema {
    fn registration(self) -> Result<Registration, HttpError> {
        let format = match self.format {
            None | Some(SchemaType::Json) => Format::Json,
            Some(SchemaType::Avro) => Format::Avro,
            Some(SchemaType::Protobuf) => Format::Protobuf,
        };
        let text = match self.schema {
            Value::String(text) => text,
            Value::Object(_) | Value::Bool(_) | Value::Array(_) if format != Format::Protobuf => self.schema.to_string(),
            _ => return Err(HttpError::invalid("the body, schema: expected a text, or for JSON and AVRO the schema itself")),
        };
        let references = self.references.into_iter().flatten();
        let references =
            references.map(|one| Reference { name: one.name, subject: one.subject, version: one.version.unwrap_or(-1) });
        Ok(Registration { format, text, references: references.collect(), ..Registration::default() })
    }
}

/// The subject of a topic's values, as its settings have it or would have it with validation.
///
/// # Errors
/// CONFLICT where it depends on the record.
fn subject_of(topic: &Topic) -> Result<Subject, HttpError> {
    let mut overrides = topic.overrides.clone();
    overrides.insert(VALIDATION.to_owned(), "full".to_owned());
    let rules = validation::resolve(&overrides).ok().flatten();
    match rules.and_then(|rules| rules.value).map(|rule| rule.subject) {
        Some(SubjectName::Fixed(name)) => Ok(Subject::parse(&name).unwrap_or_else(|| Subject::plain(name))),
        Some(SubjectName::Record | SubjectName::TopicRecord) => {
            let message =
                "the topic's value.schema.subject.name.strategy finds subjects by record: register schemas with the registry";
            Err(HttpError::new(Refusal::Conflict, message))
        }
        Some(SubjectName::Topic) | None => Ok(Subject::plain(format!("{}-value", topic.name))),
    }
}

/// A project's schemas may refer to its own subjects only.
fn check_own(caller: &Caller, subject: &Subject) -> Result<(), HttpError> {
    if caller.http_name(&subject.name).is_some() {
        return Ok(());
    }
    Err(HttpError::new(Refusal::Forbidden, format!("the subject {subject} is not of this project")))
}

fn find(caller: &Caller, name: &str) -> Result<TopicSchema, HttpError> {
    let topic = resolve(caller, name)?;
    let rules = topic.settings.validation.as_ref();
    let rule = rules.and_then(|rules| rules.value.as_ref());
    if !asks(&topic) {
        return Err(missing(name));
    }
    let version = rule.and_then(|rule| rule.version);
    let found = caller.shared.broker.schemas.version(&subject_of(&topic)?, version, Deleted::Hidden);
    let Version { subject, version, schema, .. } = found.map_err(|_| missing(name))?;
    let format = match schema.format {
        Format::Json => SchemaType::Json,
        Format::Avro => SchemaType::Avro,
        Format::Protobuf => SchemaType::Protobuf,
    };
    let own = match schema.format {
        Format::Protobuf => None,
        Format::Json | Format::Avro => serde_json::from_str(&schema.text).ok(),
    };
    Ok(TopicSchema {
        subject: subject.to_string(),
        version,
        id: schema.id,
        format,
        schema: own.unwrap_or_else(|| Value::String(schema.text.to_string())),
        validation: match rule.map(|rule| rule.depth) {
            None => ValidationDepth::None,
            Some(Depth::Id) => ValidationDepth::Id,
            Some(Depth::Full) => ValidationDepth::Full,
        },
        on_invalid: match rules.map(|rules| rules.on_invalid) {
            Some(OnInvalid::DeadLetter) => InvalidEvents::DeadLetter,
            Some(OnInvalid::Refuse) | None => InvalidEvents::Refuse,
        },
    })
}

/// Whether the topic says anything about schemas: a subject outlives its topic, and may bear the name of a later one.
fn asks(topic: &Topic) -> bool {
    topic.overrides.contains_key(VALIDATION) || topic.settings.validation.as_ref().is_some_and(|rules| rules.value.is_some())
}

fn missing(name: &str) -> HttpError {
    HttpError::new(Refusal::NotFound, format!("the topic {name:?} has no schema; give it one with PUT /topics/{name}/schema"))
}

/// Sets and takes back settings of a topic, all or none.
async fn alter(caller: &Caller, topic: &Topic, settings: &[(&'static str, Option<&str>)]) -> Result<(), HttpError> {
    let configs = settings.iter().map(|(name, value)| {
        AlterableConfig::default()
            .with_name(StrBytes::from_static_str(name))
            .with_config_operation(if value.is_some() { SET } else { DELETE })
            .with_value(value.map(|value| StrBytes::from_string(value.to_owned())))
    });
    let resource = AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(StrBytes::from_string(topic.name.clone()))
        .with_configs(configs.collect());
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let response = caller.call::<IncrementalAlterConfigs>(ALTER, request).await?;
    let answer = response.responses.into_iter().next();
    match answer.map(|answer| (ResponseError::try_from_code(answer.error_code), answer.error_message)) {
        Some((None, _)) => Ok(()),
        Some((Some(error), message)) => Err(HttpError::of(error, message.as_deref(), &format!("topic {:?}", topic.name))),
        None => Err(HttpError::of(ResponseError::UnknownServerError, None, &format!("topic {:?}", topic.name))),
    }
}

fn refusal(error: RegistryError) -> HttpError {
    let refusal = match &error {
        RegistryError::Incompatible { .. } | RegistryError::Referenced(..) | RegistryError::NotPermitted(_) => Refusal::Conflict,
        RegistryError::InvalidSchema(_) => Refusal::Invalid,
        RegistryError::Full(_) => Refusal::TooLarge,
        RegistryError::Store(_) => Refusal::Unavailable,
        _ => Refusal::NotFound,
    };
    HttpError::new(refusal, error.to_string())
}
