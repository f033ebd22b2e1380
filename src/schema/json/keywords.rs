//! Where a schema's document has subschemas, whatever its draft: the rewriting of [`super::prepare`] and the graph of [`super::graph`]
//! must see the same places.

use serde_json::{Map, Value};

/// What the value of a keyword may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// Values, names or numbers: never a schema, whatever it looks like.
    Nothing,
    /// A schema, or an array of them; so do keywords that no draft knows, as a `$ref` may lead into them.
    Schemas,
    /// Schemas by name.
    Map,
}

pub(super) fn holds(keyword: &str) -> Holds {
    match keyword {
        "enum" | "const" | "default" | "examples" | "$vocabulary" | "dependentRequired" | "required" | "type" => Holds::Nothing,
        "properties" | "patternProperties" | "definitions" | "$defs" | "dependentSchemas" | "dependencies" => Holds::Map,
        _ => Holds::Schemas,
    }
}

/// Keywords that apply their schemas to the same value: a cycle through them never ends.
pub(super) const IN_PLACE_ARRAYS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
pub(super) const IN_PLACE_SINGLE: [&str; 4] = ["not", "if", "then", "else"];
pub(super) const IN_PLACE_MAPS: [&str; 2] = ["dependentSchemas", "dependencies"];

/// The subschemas right below `schema` that are objects.
pub(super) fn subschemas(schema: &Map<String, Value>) -> Vec<&Value> {
    let mut found = Vec::new();
    for (keyword, value) in schema {
        match (holds(keyword), value) {
            (Holds::Nothing, _) => {}
            (Holds::Map, Value::Object(members)) => members.values().for_each(|member| gather(member, &mut found)),
            (Holds::Map | Holds::Schemas, value) => gather(value, &mut found),
        }
    }
    found
}

/// As [`subschemas`], to be changed.
pub(super) fn subschemas_mut(schema: &mut Map<String, Value>) -> Vec<&mut Value> {
    let mut found = Vec::new();
    for (keyword, value) in schema.iter_mut() {
        match (holds(keyword), value) {
            (Holds::Nothing, _) => {}
            (Holds::Map, Value::Object(members)) => {
                for (_, member) in members.iter_mut() {
                    gather_mut(member, &mut found);
                }
            }
            (Holds::Map | Holds::Schemas, value) => gather_mut(value, &mut found),
        }
    }
    found
}

fn gather<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(_) => found.push(value),
        Value::Array(items) => items.iter().for_each(|item| gather(item, found)),
        _ => {}
    }
}

fn gather_mut<'a>(value: &'a mut Value, found: &mut Vec<&'a mut Value>) {
    if value.is_object() {
        found.push(value);
    } else if let Value::Array(items) = value {
        for item in items {
            gather_mut(item, found);
        }
    }
}
