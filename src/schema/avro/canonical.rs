//! The canonical text, as it grows: compact JSON with entries in the order of Java's `Schema.toString()`.

use super::names::Name;
use serde_json::{Map, Value};

/// What is no property of a schema, of whatever type it is (Schema.SCHEMA_RESERVED).
pub(super) const SCHEMA_RESERVED: &[&str] =
    &["aliases", "doc", "fields", "items", "name", "namespace", "size", "symbols", "type", "values"];
pub(super) const ENUM_RESERVED: &[&str] =
    &["aliases", "default", "doc", "fields", "items", "name", "namespace", "size", "symbols", "type", "values"];
pub(super) const FIELD_RESERVED: &[&str] = &["aliases", "default", "doc", "name", "order", "type"];

#[derive(Default)]
pub(super) struct Canonical(String);

impl Canonical {
    pub(super) fn into_text(self) -> String {
        self.0
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// JSON that is complete, or a part of some.
    pub(super) fn push(&mut self, json: &str) {
        self.0.push_str(json);
    }

    pub(super) fn quoted(&mut self, text: &str) {
        self.push(&Value::from(text).to_string());
    }

    pub(super) fn comma_before(&mut self, position: usize) {
        if position > 0 {
            self.push(",");
        }
    }

    /// What named types begin with; the namespace is there where it is another one than around them.
    pub(super) fn open_named(&mut self, kind: &str, name: &Name, object: &Map<String, Value>, namespace: Option<&str>) {
        self.push(&format!("{{\"type\":\"{kind}\",\"name\":"));
        self.quoted(name.local());
        if name.namespace() != namespace {
            self.push(",\"namespace\":");
            self.quoted(name.namespace().unwrap_or_default());
        }
        self.doc(object);
    }

    /// And what they end with: their aliases stand last.
    pub(super) fn close_named(&mut self, object: &Map<String, Value>, reserved: &[&str], name: &Name, aliases: &[Name]) {
        self.properties(object, reserved);
        let aliases: Vec<String> = aliases.iter().map(|alias| alias.exactly_relative_to(name.namespace()).into_owned()).collect();
        self.aliases(&aliases.iter().map(String::as_str).collect::<Vec<_>>());
        self.push("}");
    }

    pub(super) fn doc(&mut self, object: &Map<String, Value>) {
        if let Some(doc) = object.get("doc").and_then(Value::as_str) {
            self.push(",\"doc\":");
            self.quoted(doc);
        }
    }

    /// All entries but the reserved ones, as they stand.
    pub(super) fn properties(&mut self, object: &Map<String, Value>, reserved: &[&str]) {
        for (key, value) in object {
            if !reserved.contains(&key.as_str()) {
                self.push(",");
                self.quoted(key);
                self.push(":");
                self.push(&value.to_string());
            }
        }
    }

    /// An entry, if there are any.
    pub(super) fn aliases(&mut self, aliases: &[&str]) {
        if !aliases.is_empty() {
            self.push(",\"aliases\":");
            self.list(aliases.iter().copied());
        }
    }

    pub(super) fn list<'n>(&mut self, texts: impl Iterator<Item = &'n str>) {
        self.push("[");
        for (position, text) in texts.enumerate() {
            self.comma_before(position);
            self.quoted(text);
        }
        self.push("]");
    }
}
