//! Moving in and out: what is registered as the records of Confluent's topic `_schemas`, a line each, key and value with a tab between, as
//! `kcat -C -t _schemas -K '\t'` prints them and `kcat -P` takes them. Source: SchemaKey, SchemaValue, ConfigValue, ModeValue.

use super::change::{Change, assigned};
use super::error::RegistryError;
use super::format::{Format, Parsed};
use super::level::Level;
use super::mode::Mode;
use super::references;
use super::registry::{Registration, Registry, Settings};
use super::state::{Deleted, State, Version, own_bytes, version_bytes};
use super::stored::{NextRecord, Own, Reference, Schema, identity};
use super::subject::Subject;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Debug, Serialize, Deserialize)]
struct Key {
    keytype: String,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    version: Option<i32>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SchemaValue {
    subject: String,
    version: i32,
    id: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schema_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    references: Option<Vec<Reference>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rule_set: Option<Value>,
    schema: String,
    #[serde(default)]
    deleted: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigValue {
    #[serde(default)]
    compatibility_level: Option<String>,
    #[serde(default)]
    normalize: Option<bool>,
    #[serde(default)]
    alias: Option<String>,
    #[serde(default)]
    compatibility_group: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ModeValue {
    mode: String,
}

#[derive(Debug, Deserialize)]
struct DeleteValue {
    version: i32,
}

/// What is registered at one moment: cheap to take, since texts are shared.
#[derive(Debug)]
pub struct Export {
    settings: Vec<(Subject, Own)>,
    /// Oldest ids first.
    versions: Vec<Version>,
}

impl Export {
    #[must_use]
    pub fn of(state: &State) -> Export {
        let mut versions: Vec<Version> = state
            .subjects(Deleted::Included)
            .flat_map(|subject| state.versions(subject, Deleted::Included).collect::<Vec<_>>())
            .collect();
        versions.sort_by(|a, b| (a.schema.id, &a.subject, a.version).cmp(&(b.schema.id, &b.subject, b.version)));
        let settings = state.all_own().map(|(scope, own)| (scope.clone(), own.clone())).collect();
        Export { settings, versions }
    }

    /// Bytes that the lines take, at most about: texts are written as JSON strings.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let of_version = |version: &Version| 2 * version.schema.bytes() + version_bytes(&version.subject);
        self.versions.iter().map(of_version).sum::<usize>()
            + self.settings.iter().map(|(scope, own)| 2 * own_bytes(scope, own)).sum::<usize>()
    }

    /// The lines. Work in proportion to their size: for no runtime thread.
    #[must_use]
    pub fn lines(&self) -> String {
        let mut lines = String::new();
        for (scope, own) in &self.settings {
            put_settings(&mut lines, scope, own);
        }
        for version in &self.versions {
            put_version(&mut lines, version);
        }
        lines
    }
}

fn put_version(lines: &mut String, version: &Version) {
    let subject = version.subject.to_string();
    let key = json!({ "keytype": "SCHEMA", "subject": subject, "version": version.version, "magic": 1 });
    let Schema { id, format, text, references, metadata, rule_set, .. } = &*version.schema;
    let value = SchemaValue {
        subject,
        version: version.version,
        id: *id,
        schema_type: (*format != Format::Avro).then(|| format.name().to_owned()),
        references: (!references.is_empty()).then(|| references.clone()),
        metadata: metadata.clone(),
        rule_set: rule_set.clone(),
        schema: text.to_string(),
        deleted: version.is_deleted,
    };
    put(lines, &key, &serde_json::to_value(value).unwrap_or_default());
}

fn put_settings(lines: &mut String, scope: &Subject, own: &Own) {
    let name = scope.to_string();
    let subject = if name.is_empty() { Value::Null } else { Value::String(name) };
    if own.has_config() {
        let mut value = json!({ "subject": subject });
        if let (Some(fields), Ok(Value::Object(own_fields))) = (value.as_object_mut(), serde_json::to_value(own)) {
            let names = [
                ("level", "compatibilityLevel"),
                ("normalize", "normalize"),
                ("alias", "alias"),
                ("compatibility_group", "compatibilityGroup"),
            ];
            for (ours, theirs) in names {
                fields.extend(own_fields.get(ours).map(|value| (theirs.to_owned(), value.clone())));
            }
        }
        put(lines, &json!({ "keytype": "CONFIG", "subject": subject, "magic": 0 }), &value);
    }
    if let Some(mode) = own.mode {
        let key = json!({ "keytype": "MODE", "subject": subject, "magic": 0 });
        put(lines, &key, &json!({ "subject": subject, "mode": mode.to_string() }));
    }
}

fn put(lines: &mut String, key: &Value, value: &Value) {
    lines.push_str(&key.to_string());
    lines.push('\t');
    lines.push_str(&value.to_string());
    lines.push('\n');
}

impl Registry {
    /// Takes over records in the form of [`Export`], all or none. What is there already stays as it is. Lines may come in any order, as in a topic that
    /// was compacted. Answers how many versions came.
    ///
    /// # Errors
    /// The first line that is wrong, or that contradicts what is there; [`RegistryError::Full`].
    pub async fn import(self: &Arc<Registry>, lines: String) -> Result<usize, RegistryError> {
        let settings = self.settings;
        self.change("import schemas", move |state| {
            let mut import = Import { state: state.clone(), settings, changes: Vec::new(), added: BTreeSet::new(), versions: 0 };
            let mut waiting: Vec<(usize, &str)> = (1..).zip(lines.lines()).filter(|(_, line)| !line.trim().is_empty()).collect();
            while !waiting.is_empty() {
                let mut missing = Vec::new();
                let mut why = None;
                for (number, line) in &waiting {
                    match import.take(line) {
                        Ok(()) => {}
                        // What it refers to may come further down.
                        Err(Refused::Reference(error)) => {
                            why.get_or_insert_with(|| format!("line {number}: {error}"));
                            missing.push((*number, *line));
                        }
                        Err(Refused::Line(error)) => return Err(RegistryError::InvalidSchema(format!("line {number}: {error}"))),
                        Err(Refused::Full(error)) => return Err(error),
                    }
                }
                if missing.len() == waiting.len() {
                    return Err(RegistryError::InvalidSchema(why.unwrap_or_default()));
                }
                waiting = missing;
            }
            Ok((import.versions, import.changes))
        })
        .await
    }
}

/// The state as it becomes, line by line.
struct Import {
    state: State,
    settings: Settings,
    changes: Vec<Change>,
    /// Versions that were not there before.
    added: BTreeSet<(Subject, i32)>,
    versions: usize,
}

/// Why a line is not taken.
enum Refused {
    Line(String),
    /// Not yet.
    Reference(String),
    Full(RegistryError),
}

impl From<String> for Refused {
    fn from(why: String) -> Refused {
        Refused::Line(why)
    }
}

impl Import {
    fn take(&mut self, line: &str) -> Result<(), Refused> {
        let (key, value) = line.split_once('\t').ok_or_else(|| "expected key and value with a tab between".to_owned())?;
        let key: Key = serde_json::from_str(key).map_err(|error| format!("the key: {error}"))?;
        let is_gone = value.is_empty() || value == "null" || value == "NULL";
        let scope = match key.subject.as_deref() {
            None | Some("") => Subject::plain(""),
            Some(name) => Subject::parse_scope(name).ok_or_else(|| format!("{name:?} is no subject"))?,
        };
        match (key.keytype.as_str(), is_gone) {
            ("SCHEMA", false) => self.schema(&scope, read(value)?)?,
            ("SCHEMA", true) => {
                self.forget(&scope, key.version.ok_or_else(|| "the key of a schema has a version".to_owned())?);
            }
            ("CONFIG", false) => self.config(scope, read(value)?)?,
            ("MODE", false) => {
                let ModeValue { mode } = read(value)?;
                let mode: Mode = mode.parse().map_err(|()| format!("{mode:?} is no mode"))?;
                let own = Own { mode: Some(mode), ..self.state.own(&scope).cloned().unwrap_or_default() };
                self.put(Change::Own(scope, own));
            }
            ("DELETE_SUBJECT", false) => {
                let DeleteValue { version } = read(value)?;
                self.delete_up_to(&scope, version);
            }
            ("CONFIG" | "MODE" | "DELETE_SUBJECT" | "NOOP" | "CLEAR_SUBJECT" | "CONTEXT", _) => {}
            (other, _) => return Err(format!("records of the kind {other:?} are not known").into()),
        }
        self.settings.check_room(&self.state, 0).map_err(Refused::Full)
    }

    fn schema(&mut self, subject: &Subject, value: SchemaValue) -> Result<(), Refused> {
        if subject.name.is_empty() {
            return Err("the key of a schema has a subject".to_owned().into());
        }
        let format: Format = value.schema_type.as_deref().unwrap_or("AVRO").parse().map_err(|error| format!("{error}"))?;
        let new = Registration {
            format,
            text: value.schema,
            references: value.references.unwrap_or_default(),
            metadata: value.metadata,
            rule_set: value.rule_set,
            ..Registration::default()
        };
        new.check_sizes().map_err(|error| error.to_string())?;
        let texts =
            references::texts(&self.state, subject, &new.references).map_err(|error| Refused::Reference(error.to_string()))?;
        let parsed = Parsed::parse_held(format, &new.text, &texts).map_err(|error| error.0)?;
        let identity = identity(format, parsed.canonical(), &new.references, new.metadata.as_ref(), new.rule_set.as_ref());
        let (id, version) = (value.id, value.version);
        if id < 1 || id == i32::MAX || version < 1 {
            return Err(format!("id {id} and version {version} must be at least 1").into());
        }
        if let Some(there) = self.state.version(subject, version, Deleted::Included) {
            if there.schema.id != id || there.schema.identity != identity {
                return Err(format!("version {version} of {subject} is schema {} here", there.schema.id).into());
            }
            // A later record of a version that this import brought may delete it.
            if self.added.contains(&(subject.clone(), version)) {
                self.put(Change::Version(assigned(subject, version, id, value.deleted)));
            }
            return Ok(());
        }
        match self.state.schema(&subject.context, id) {
            Some(there) if there.identity != identity => return Err(format!("id {id} is another schema here").into()),
            Some(_) => {}
            None => {
                self.put(Change::Schema(Schema {
                    context: subject.context.clone(),
                    id,
                    format,
                    text: Arc::from(parsed.stored_text()),
                    references: new.references,
                    metadata: new.metadata,
                    rule_set: new.rule_set,
                    identity,
                }));
                // Kept on its own, so that an id whose schema is deleted is not given again.
                let next = self.state.next_id(&subject.context);
                self.put(Change::Next(NextRecord { context: subject.context.clone(), next }));
            }
        }
        self.put(Change::Version(assigned(subject, version, id, value.deleted)));
        self.added.insert((subject.clone(), version));
        self.versions += 1;
        Ok(())
    }

    fn config(&mut self, scope: Subject, value: ConfigValue) -> Result<(), Refused> {
        let level = value.compatibility_level.map(|text| text.parse::<Level>().map_err(|()| format!("{text:?} is no level")));
        let own = Own {
            level: level.transpose()?,
            normalize: value.normalize,
            alias: value.alias,
            compatibility_group: value.compatibility_group,
            mode: self.state.own(&scope).and_then(|own| own.mode),
        };
        self.put(Change::Own(scope, own));
        Ok(())
    }

    fn delete_up_to(&mut self, subject: &Subject, last: i32) {
        let is_meant = |one: &Version| one.version <= last && self.added.contains(&(subject.clone(), one.version));
        let gone: Vec<Version> = self.state.versions(subject, Deleted::Hidden).filter(is_meant).collect();
        for version in gone {
            self.put(Change::Version(assigned(subject, version.version, version.schema.id, true)));
        }
    }

    fn forget(&mut self, subject: &Subject, version: i32) {
        if !self.added.remove(&(subject.clone(), version)) {
            return;
        }
        self.versions -= 1;
        let Some(gone) = self.state.version(subject, version, Deleted::Included) else { return };
        self.put(Change::NoVersion(subject.clone(), version));
        let id = gone.schema.id;
        if self.state.holders(&subject.context, id, Deleted::Included).next().is_none() {
            self.put(Change::NoSchema(subject.context.clone(), id));
        }
    }

    fn put(&mut self, change: Change) {
        change.clone().apply(&mut self.state);
        self.changes.push(change);
    }
}

fn read<'a, T: Deserialize<'a>>(value: &'a str) -> Result<T, String> {
    serde_json::from_str(value).map_err(|error| format!("the value: {error}"))
}
