//! JSON Schema: drafts 4, 6, 7, 2019-09 and 2020-12, named by `$schema`; without it, draft 7, as Confluent's registry has it.
//!
//! The library `jsonschema` compiles schemas and checks values. Schemas and values come from anyone, and the library follows both wherever they
//! lead; what keeps its time, stack and memory bounded is in these files:
//!
//! ```text
//!   documents   texts are read: sizes, depth, draft; the registry in which $refs resolve, and nothing is fetched
//!   patterns    regular expressions are linear, their sizes bounded
//!   prepare     the documents are rewritten so that every evaluation looks at the value
//!   graph       cycles and explosions that are there before any value are refused
//!   metered     each look at a value is charged to …
//!   meter       … a budget of steps, and of stack
//! ```
//!
//! A schema is immutable; values are checked from any thread.

mod checker;
mod compatibility;
mod documents;
mod graph;
mod keywords;
mod message;
mod meter;
mod metered;
mod patterns;
mod prepare;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;

use super::format::{Incompatibility, InvalidSchema, Referenced, ValueError};
use checker::Checker;
use documents::Documents;
use jsonschema::Draft;
use serde_json::Value;
use std::fmt;

/// A JSON Schema, compiled.
pub struct JsonSchema {
    canonical: String,
    title: Option<String>,
    draft: Draft,
    references: Vec<Referenced>,
    checker: Checker,
}

impl JsonSchema {
    /// Parses and compiles `text`. A `$ref` leads into `text` or to one of `references`; nothing is fetched.
    ///
    /// Cost: the library compiles the schema; about a millisecond for a hundred subschemas.
    ///
    /// # Errors
    /// No JSON, no schema of its draft, an unknown `$schema`, a `$ref` that leads nowhere or round in a circle, a pattern that is no linear
    /// one (look-around, back references), or more of anything than is allowed.
    pub fn parse(text: &str, references: &[Referenced]) -> Result<JsonSchema, InvalidSchema> {
        JsonSchema::parse_with_draft(text, references, Draft::Draft7)
    }

    /// As [`JsonSchema::parse`]; `default_draft` is that of a schema without `$schema`.
    pub(crate) fn parse_with_draft(
        text: &str,
        references: &[Referenced],
        default_draft: Draft,
    ) -> Result<JsonSchema, InvalidSchema> {
        let mut documents = Documents::read(text, references, default_draft)?;
        let canonical = documents.root.value.to_string();
        let title = documents.root.value.get("title").and_then(Value::as_str).map(str::to_owned);
        let draft = documents.root.draft;
        let bytes = references.iter().fold(text.len(), |bytes, reference| bytes.saturating_add(reference.text.len()));
        let checker = Checker::build(&mut documents, bytes)?;
        Ok(JsonSchema { canonical, title, draft, references: references.to_vec(), checker })
    }

    /// The document without layout, in its own order.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// The document with its keys sorted. Arrays keep their order, also those where it has no meaning.
    #[must_use]
    pub fn normalized(&self) -> String {
        match serde_json::from_str::<Value>(&self.canonical) {
            Ok(mut document) => {
                document.sort_all_objects();
                document.to_string()
            }
            Err(_) => self.canonical.clone(),
        }
    }

    /// Its `title`.
    #[must_use]
    pub fn record_name(&self) -> Option<&str> {
        self.title.as_deref()
    }

    /// Why `self` does not accept all that `writer` does; empty: it does. The rules, and their names, are those of Confluent's registry.
    #[must_use]
    pub fn incompatibilities(&self, writer: &JsonSchema) -> Vec<Incompatibility> {
        let read = |schema: &JsonSchema| Documents::read(&schema.canonical, &schema.references, schema.draft);
        let compared = read(writer).and_then(|old| read(self).and_then(|new| compatibility::compare(&old, &new)));
        compared.unwrap_or_else(|error| vec![compatibility::too_complex("#", &error.0)])
    }

    /// Holds a value, which is one JSON text, against the schema.
    ///
    /// Cost: some microseconds for some hundred bytes; bounded in proportion to the value's size whatever the schema is.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check_value(&self, value: &[u8]) -> Result<(), ValueError> {
        self.checker.check(value)
    }

    /// Bytes of memory that it takes, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let texts = self.references.iter().fold(self.canonical.len(), |bytes, reference| {
            bytes.saturating_add(reference.name.len()).saturating_add(reference.text.len())
        });
        texts.saturating_add(self.checker.memory_bytes()).saturating_add(size_of::<JsonSchema>())
    }
}

impl fmt::Debug for JsonSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonSchema").field("draft", &self.draft).field("canonical", &self.canonical).finish_non_exhaustive()
    }
}

/// Schemas are shared by all threads.
const _: fn() = || {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<JsonSchema>();
};
