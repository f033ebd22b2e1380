//! How the registry's state is kept: JSON values under keys of the metadata store.
//!
//! Keys: `schemas/ids/{context}/{id}` ([`Schema`]), `schemas/subjects/{context}/{subject}/{version}` ([`Assigned`]),
//! `schemas/settings/{context}/{subject}` ([`Own`]), `schemas/next/{context}` (the next id). Contexts and subjects are escaped, and stand in
//! the values once more: keys are never read back.

use super::format::Format;
use super::level::Level;
use super::mode::Mode;
use super::subject::Subject;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use uuid::Uuid;

pub(super) const PREFIX: &str = "schemas/";

/// A schema under its id: never changed, and gone only when no version has it any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    pub context: String,
    /// At least 1; unique in its context, and never given again.
    pub id: i32,
    #[serde(default)]
    pub format: Format,
    pub text: Arc<str>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Reference>,
    /// As it was given; clients read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    /// As it was given; clients carry it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_set: Option<Value>,
    /// See [`identity`].
    pub identity: Identity,
}

impl Schema {
    /// Bytes that it takes, with its places in the state.
    #[must_use]
    pub fn bytes(&self) -> usize {
        const OVERHEAD: usize = 512;
        let values = [&self.metadata, &self.rule_set].into_iter().flatten().map(|value| value.to_string().len());
        let references = self.references.iter().map(|reference| reference.name.len() + reference.subject.len() + 64);
        OVERHEAD + self.text.len() + values.sum::<usize>() + references.sum::<usize>()
    }
}

/// What a schema needs of another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reference {
    /// As the schema names it.
    pub name: String,
    /// A subject, qualified or of the same context.
    pub subject: String,
    /// At least 1; −1: the latest when it was registered.
    pub version: i32,
}

/// A version of a subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Assigned {
    pub context: String,
    pub subject: String,
    pub version: i32,
    pub id: i32,
    /// Softly: it is not listed, and still read by its id.
    #[serde(default)]
    pub is_deleted: bool,
}

/// What was set for a subject, a context or (in the default context, with an empty name) everything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Own {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalize: Option<bool>,
    /// Another subject that is meant by this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Only versions with the same value of this property of the metadata are held against each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compatibility_group: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
}

impl Own {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Own::default()
    }

    #[must_use]
    pub(super) fn has_config(&self) -> bool {
        Own { mode: None, ..self.clone() } != Own::default()
    }
}

/// [`Own`] with whose it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct OwnRecord {
    pub context: String,
    pub subject: String,
    pub own: Own,
}

/// The next id of a context.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct NextRecord {
    pub context: String,
    pub next: i32,
}

/// What makes two schemas the same one: SHA-256 of format, canonical text, references, metadata and rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity([u8; 32]);

impl Identity {
    /// The name of the schema that is the same in every context and every registry: its first 16 bytes.
    #[must_use]
    pub fn guid(&self) -> Uuid {
        let mut guid = [0; 16];
        guid.copy_from_slice(self.0.get(..16).expect("it has 32 bytes"));
        Uuid::from_bytes(guid)
    }
}

/// The identity of a schema; `canonical`: see [`super::Parsed::canonical`].
#[must_use]
pub fn identity(
    format: Format,
    canonical: &str,
    references: &[Reference],
    metadata: Option<&Value>,
    rule_set: Option<&Value>,
) -> Identity {
    let mut hash = Sha256::new();
    // Each part with its length, so that parts cannot run into each other.
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    part(format.name());
    part(canonical);
    let mut sorted: Vec<&Reference> = references.iter().collect();
    sorted.sort_by(|a, b| (&a.name, &a.subject, a.version).cmp(&(&b.name, &b.subject, b.version)));
    for reference in sorted {
        part(&reference.name);
        part(&reference.subject);
        part(&reference.version.to_string());
    }
    for value in [metadata, rule_set] {
        part(&value.map(ToString::to_string).unwrap_or_default());
    }
    Identity(hash.finalize().into())
}

pub(super) fn id_key(context: &str, id: i32) -> String {
    format!("{PREFIX}ids/{}/{id:010}", escaped(context))
}

pub(super) fn version_key(subject: &Subject, version: i32) -> String {
    format!("{PREFIX}subjects/{}/{}/{version:010}", escaped(&subject.context), escaped(&subject.name))
}

pub(super) fn settings_key(scope: &Subject) -> String {
    format!("{PREFIX}settings/{}/{}", escaped(&scope.context), escaped(&scope.name))
}

pub(super) fn next_key(context: &str) -> String {
    format!("{PREFIX}next/{}", escaped(context))
}

fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('/', "%2F")
}
