//! The canonical text with its properties in alphabetical order: two texts that differ in the order of attributes only become one.

use super::canonical::{ENUM_RESERVED, FIELD_RESERVED, SCHEMA_RESERVED};
use serde_json::{Map, Value};

/// `canonical` is a canonical text.
pub(super) fn normalized(canonical: &str) -> String {
    match serde_json::from_str(canonical) {
        Ok(json) => schema(json).to_string(),
        // It is our own JSON, and no deeper than the text that it came from.
        Err(_) => canonical.to_owned(),
    }
}

fn schema(json: Value) -> Value {
    match json {
        Value::Array(branches) => Value::Array(branches.into_iter().map(schema).collect()),
        Value::Object(object) => {
            let is_enum = object.get("type").and_then(Value::as_str) == Some("enum");
            let reserved = if is_enum { ENUM_RESERVED } else { SCHEMA_RESERVED };
            ordered(object, reserved, |key, value| match (key, value) {
                ("fields", Value::Array(fields)) => Value::Array(fields.into_iter().map(field).collect()),
                ("items" | "values", value) => schema(value),
                (_, value) => value,
            })
        }
        name => name,
    }
}

fn field(json: Value) -> Value {
    match json {
        Value::Object(object) => ordered(object, FIELD_RESERVED, |key, value| match key {
            "type" => schema(value),
            "default" => sorted(value),
            _ => value,
        }),
        other => other,
    }
}

/// `reserved` entries, each through `inner`, as they stand, then the properties by name.
fn ordered(object: Map<String, Value>, reserved: &[&str], inner: impl Fn(&str, Value) -> Value) -> Value {
    let (own, mut properties): (Vec<_>, Vec<_>) = object.into_iter().partition(|(key, _)| reserved.contains(&key.as_str()));
    properties.sort_by(|(left, _), (right, _)| left.cmp(right));
    let mut out = Map::new();
    for (key, value) in own {
        let value = inner(&key, value);
        out.insert(key, value);
    }
    for (key, value) in properties {
        out.insert(key, sorted(value));
    }
    Value::Object(out)
}

/// With the entries of objects by name, at every depth.
fn sorted(json: Value) -> Value {
    match json {
        Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
        Value::Object(object) => {
            let mut entries: Vec<_> = object.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            entries.sort_by(|(left, _), (right, _)| left.cmp(right));
            Value::Object(entries.into_iter().collect())
        }
        other => other,
    }
}
