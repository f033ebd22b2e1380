//! Options as .proto text, custom ones included.

use super::literal::{double, quote, quote_bytes, single};
use super::node::Node;
use prost_reflect::{DynamicMessage, Kind, MapKey, Value};

/// Written by what they mark (maps), or never by people.
const HIDDEN: &[&str] = &["map_entry", "uninterpreted_option"];

/// The options of a definition as `name = value`, by number: first the standard ones, then the custom ones.
pub(super) fn assignments(node: Node<'_>) -> Vec<String> {
    let Some(options) = node.child("options") else { return Vec::new() };
    let options = options.message();
    let mut assignments = Vec::new();
    for (field, value) in options.fields() {
        if !HIDDEN.contains(&field.name()) {
            push(&mut assignments, field.name(), value, &field.kind());
        }
    }
    for (extension, value) in options.extensions() {
        push(&mut assignments, &format!("(.{})", extension.full_name()), value, &extension.kind());
    }
    assignments
}

/// An option that repeats is set once per value.
fn push(assignments: &mut Vec<String>, name: &str, value: &Value, kind: &Kind) {
    for value in single_values(value, kind) {
        assignments.push(format!("{name} = {value}"));
    }
}

fn single_values(value: &Value, kind: &Kind) -> Vec<String> {
    match value {
        Value::List(values) => values.iter().map(|value| value_text(value, kind)).collect(),
        Value::Map(entries) => {
            let value_kind = kind.as_message().map(|entry| entry.map_entry_value_field().kind());
            let mut entries: Vec<(&MapKey, &Value)> = entries.iter().collect();
            // The library keeps them in any order.
            entries.sort_unstable_by_key(|(key, _)| *key);
            entries
                .into_iter()
                .map(|(key, value)| {
                    let value = value_kind.as_ref().map(|kind| value_text(value, kind)).unwrap_or_default();
                    format!("{{ key: {} value: {value} }}", key_text(key))
                })
                .collect()
        }
        value => vec![value_text(value, kind)],
    }
}

fn value_text(value: &Value, kind: &Kind) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::I32(value) => value.to_string(),
        Value::I64(value) => value.to_string(),
        Value::U32(value) => value.to_string(),
        Value::U64(value) => value.to_string(),
        Value::F32(value) => single(*value),
        Value::F64(value) => double(*value),
        Value::String(value) => quote(value),
        Value::Bytes(value) => quote_bytes(value),
        Value::EnumNumber(number) => match kind.as_enum().and_then(|kind| kind.get_value(*number)) {
            Some(value) => value.name().to_owned(),
            None => number.to_string(),
        },
        Value::Message(message) => message_text(message),
        // Lists and maps do not hold lists and maps.
        Value::List(_) | Value::Map(_) => String::new(),
    }
}

/// In text format, in braces. Recursion: messages nest at most as deep as they could be decoded (100).
fn message_text(message: &DynamicMessage) -> String {
    let mut text = "{ ".to_owned();
    for (field, value) in message.fields() {
        let kind = field.kind();
        // The text format names a group by its type.
        let name = match kind.as_message() {
            Some(group) if field.is_group() => group.name().to_owned(),
            _ => field.name().to_owned(),
        };
        for value in single_values(value, &kind) {
            text.push_str(&format!("{name}: {value} "));
        }
    }
    for (extension, value) in message.extensions() {
        for value in single_values(value, &extension.kind()) {
            text.push_str(&format!("[{}]: {value} ", extension.full_name()));
        }
    }
    text.push('}');
    text
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => quote(key),
    }
}
