//! The configuration file: TOML with the sections `[server] [storage] [limits] [log] [http] [schema] [hooks]` and `[kafka]`, and `[http.projects.NAME]`.

use super::draft::Draft;
use super::http;
use super::keys::{self, Given};
use super::suggestions::did_you_mean;
use std::collections::BTreeMap;

/// The one key whose value is a table, of tables that are named as one likes.
const PROJECTS: &str = "http.projects";

/// Puts the values of a TOML document into `draft`.
///
/// # Errors
/// A syntax error with its line, an unknown key with the nearest one, or a bad value with what is valid; without the file's name.
pub(super) fn apply(draft: &mut Draft, text: &str) -> Result<(), String> {
    let mut document: toml::Table = text.parse().map_err(|error: toml::de::Error| syntax_error(text, &error))?;
    // Kafka's names first: where a file sets both, our own key has the last word.
    if let Some(kafka) = document.remove("kafka") {
        let toml::Value::Table(kafka) = kafka else { return Err("kafka is not a table: write [kafka]".to_owned()) };
        draft.apply_kafka(flattened_kafka(&kafka)?)?;
    }
    for (section, value) in &document {
        let toml::Value::Table(table) = value else { return Err(unknown_key(section)) };
        if !keys::SECTIONS.contains(&section.as_str()) {
            return Err(format!("unknown section [{section}]{}", did_you_mean(section, keys::SECTIONS.iter().copied())));
        }
        for (key, value) in table {
            let name = format!("{section}.{key}");
            if let (PROJECTS, toml::Value::Table(tables)) = (name.as_str(), value) {
                draft.config.http.projects = http::projects(tables)?;
                continue;
            }
            let key = keys::find(&name).ok_or_else(|| unknown_key(&name))?;
            key.set(&mut draft.config, &Given::Toml(value))?;
        }
    }
    Ok(())
}

pub(super) fn unknown_key(name: &str) -> String {
    format!("unknown key {name}{}", did_you_mean(name, keys::KEYS.iter().map(|key| key.name)))
}

/// `[kafka]` with the nested tables that unquoted dotted keys make (`num.partitions = 8`) joined to Kafka's names again.
fn flattened_kafka(table: &toml::Table) -> Result<BTreeMap<String, String>, String> {
    let mut properties = BTreeMap::new();
    let mut open = vec![(String::new(), table)];
    while let Some((prefix, table)) = open.pop() {
        for (key, value) in table {
            let name = format!("{prefix}{key}");
            if let toml::Value::Table(inner) = value {
                open.push((format!("{name}."), inner));
            } else {
                let text = scalar(value)
                    .ok_or_else(|| format!("kafka.{name} is neither a string, a number, a boolean nor a list of them"))?;
                properties.insert(name, text);
            }
        }
    }
    Ok(properties)
}

/// A value as Kafka writes it; lists with commas.
fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(value) => Some(value.to_string()),
        toml::Value::Array(values) => values.iter().map(scalar).collect::<Option<Vec<_>>>().map(|items| items.join(",")),
        toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

/// One line: where, and what the parser says.
fn syntax_error(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
    let before = error.span().and_then(|span| text.get(..span.start));
    match before {
        Some(before) => format!("line {}: not valid TOML: {message}", before.matches('\n').count() + 1),
        None => format!("not valid TOML: {message}"),
    }
}
