//! The bodies of the registry's requests and answers.

use crate::schema::{Format, Incompatibility, Reference, Registration, Schema, Version};
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// The media type of every answer.
pub const CONTENT: &str = "application/vnd.schemaregistry.v1+json";

/// An answer, as JSON of the registry's media type.
pub struct Answer<T>(pub T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(json) => ([(CONTENT_TYPE, CONTENT)], Body::from(json)).into_response(),
            Err(error) => super::errors::Failure::new(50001, format!("the answer: {error}")).into_response(),
        }
    }
}

/// What one schema needs of another.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SchemaReference {
    pub name: String,
    pub subject: String,
    #[serde(default = "latest")]
    pub version: i32,
}

fn latest() -> i32 {
    -1
}

/// A schema that is to be registered, looked up or tried.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewSchema {
    /// Without one, the latest version's is registered anew, with this metadata and these rules.
    #[serde(default)]
    pub schema: String,
    /// AVRO without.
    #[schema(example = "JSON")]
    pub schema_type: Option<String>,
    #[serde(default)]
    pub references: Option<Vec<SchemaReference>>,
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Value>,
    #[schema(value_type = Option<Object>)]
    pub rule_set: Option<Value>,
    /// In the mode IMPORT only; 0 and −1: none.
    pub id: Option<i32>,
    /// 0 and −1: the next one.
    pub version: Option<i32>,
}

impl NewSchema {
    pub fn registration(self, normalize: bool) -> Result<Registration, super::errors::Failure> {
        let format = match self.schema_type.as_deref() {
            None | Some("") => Format::Avro,
            Some(name) => name.parse::<Format>().map_err(|error| super::errors::Failure::new(42201, error.0))?,
        };
        let given = |number: Option<i32>| number.filter(|number| !matches!(number, 0 | -1));
        let references = self.references.unwrap_or_default().into_iter();
        Ok(Registration {
            format,
            text: self.schema,
            references: references.map(|one| Reference { name: one.name, subject: one.subject, version: one.version }).collect(),
            metadata: self.metadata,
            rule_set: self.rule_set,
            normalize,
            id: given(self.id),
            version: given(self.version),
        })
    }
}

/// A version of a subject. What is not said is AVRO, and nothing.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubjectVersion {
    pub subject: String,
    pub version: i32,
    pub id: i32,
    /// The same wherever the schema is registered.
    pub guid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<SchemaReference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub rule_set: Option<Value>,
    pub schema: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

impl SubjectVersion {
    #[must_use]
    pub fn of(version: &Version, schema: String) -> SubjectVersion {
        SubjectVersion {
            subject: version.subject.to_string(),
            version: version.version,
            id: version.schema.id,
            guid: version.schema.identity.guid().to_string(),
            schema_type: type_of(&version.schema),
            references: references_of(&version.schema),
            metadata: version.schema.metadata.clone(),
            rule_set: version.schema.rule_set.clone(),
            schema,
            deleted: version.is_deleted,
        }
    }
}

/// A schema by its id.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SchemaById {
    /// The same wherever the schema is registered.
    pub guid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_type: Option<&'static str>,
    pub schema: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<SchemaReference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub rule_set: Option<Value>,
    /// With `fetchMaxId=true`: the largest id that was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_id: Option<i32>,
    /// With `subject`: that, and its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i32>,
}

/// What was registered; all but the id only for clients that say `Confluent-Accept-Unknown-Properties: true`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Registered {
    Id { id: i32 },
    Whole(Box<SubjectVersion>),
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SubjectAndVersion {
    pub subject: String,
    pub version: i32,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ContextAndId {
    pub context: String,
    pub id: i32,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Compatibility {
    pub is_compatible: bool,
    /// With `verbose=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<String>>,
}

impl Compatibility {
    #[must_use]
    pub fn of(conflicts: &[Incompatibility], is_verbose: bool) -> Compatibility {
        let messages = is_verbose.then(|| conflicts.iter().map(ToString::to_string).collect());
        Compatibility { is_compatible: conflicts.is_empty(), messages }
    }
}

/// `schemaType`, which Avro's schemas do not have.
#[must_use]
pub fn type_of(schema: &Schema) -> Option<&'static str> {
    (schema.format != Format::Avro).then(|| schema.format.name())
}

#[must_use]
pub fn references_of(schema: &Schema) -> Vec<SchemaReference> {
    let reference =
        |one: &Reference| SchemaReference { name: one.name.clone(), subject: one.subject.clone(), version: one.version };
    schema.references.iter().map(reference).collect()
}
