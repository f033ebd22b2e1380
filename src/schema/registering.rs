//! What a registration comes to: a version that is there, or a new one, if its subject's mode and its earlier versions allow it.
//!
//! ```text
//! there as it is? ──▶ mode ──▶ with the latest version's rules and metadata: there? ──▶ compatible? ──▶ new version
//! ```
//! Source: AbstractSchemaRegistry.registerOrForward, KafkaSchemaRegistry.register.

use super::change::{Change, assigned};
use super::error::RegistryError;
use super::mode::Mode;
use super::registry::{Defaults, Looked, Registration, Registry};
use super::state::{Deleted, State, Version, version_bytes};
use super::stored::{NextRecord, Schema};
use super::subject::Subject;
use serde_json::Value;

/// What becomes of a registration.
pub(super) enum Planned {
    There(Version),
    New { subject: Subject, version: i32, changes: Vec<Change> },
}

impl Registry {
    /// Works out what a registration changes. The caller has its turn: nobody else changes anything meanwhile, so the state is read piece by piece.
    pub(super) fn plan(&self, subject: &Subject, registration: &Registration) -> Result<Planned, RegistryError> {
        let subject = self.read().unaliased(subject);
        let mode = self.read().mode(&subject);
        let with_text = (mode != Mode::Import && registration.text.trim().is_empty())
            .then(|| self.with_text_of_latest(&subject, registration))
            .transpose()?;
        let registration = with_text.as_ref().unwrap_or(registration);
        // What is there already may be asked for whatever the mode: producers register their schema at every start.
        let checked = match self.look(&subject, registration, Defaults::Checked) {
            Ok(looked) => looked,
            Err(why) => match self
                .look(&subject, registration, Defaults::Held)
                .map(|held| (self.there(&subject, registration, &held), held))
            {
                Ok((Some(version), _)) => return Ok(Planned::There(version)),
                // A schema that comes with its id was taken by another registry.
                Ok((None, held)) if registration.id.is_some() => held,
                _ => return Err(why),
            },
        };
        if let Some(version) = self.there(&subject, registration, &checked) {
            return Ok(Planned::There(version));
        }
        self.check_mode(&subject, mode, registration)?;
        if mode == Mode::Import {
            return self.planned(subject, registration, checked);
        }
        let Some(mut filled) = self.filled_from_latest(&subject, registration) else {
            return self.planned_beside(subject, registration, checked);
        };
        filled.check_sizes()?;
        let looked = checked.beside(&filled);
        if let Some(version) = self.there(&subject, &filled, &looked) {
            return Ok(Planned::There(version));
        }
        if registration.metadata.is_none() {
            filled.metadata = filled.metadata.and_then(without_version);
        }
        let looked = looked.beside(&filled);
        if let Some(version) = self.there(&subject, &filled, &looked) {
            return Ok(Planned::There(version));
        }
        self.planned_beside(subject, &filled, looked)
    }

    /// A new version, if it goes with those that are there.
    fn planned_beside(&self, subject: Subject, registration: &Registration, looked: Looked) -> Result<Planned, RegistryError> {
        let conflicts = self.conflicts(&subject, &looked.parsed, registration.metadata.as_ref())?;
        if !conflicts.is_empty() {
            return Err(RegistryError::Incompatible { subject, conflicts });
        }
        self.planned(subject, registration, looked)
    }

    fn planned(&self, subject: Subject, registration: &Registration, looked: Looked) -> Result<Planned, RegistryError> {
        let version = registration.version.unwrap_or_else(|| self.read().next_version(&subject));
        let changes = self.new_version(&subject, version, registration, looked)?;
        Ok(Planned::New { subject, version, changes })
    }

    /// The version that a registration asks for, if it is registered.
    fn there(&self, subject: &Subject, registration: &Registration, looked: &Looked) -> Option<Version> {
        let is_wanted = |version: &Version| {
            registration.id.is_none_or(|wanted| wanted == version.schema.id)
                && registration.version.is_none_or(|wanted| wanted == version.version)
        };
        let is_same = |version: &Version| version.schema.identity == looked.identity && is_wanted(version);
        let exact = self.read().versions(subject, Deleted::Hidden).find(is_same);
        let is_asked = |version: &Version| is_wanted(version) && registration.goes_with(&version.schema);
        exact.or_else(|| match registration.normalize {
            true => self.same_normalized(subject, looked, Deleted::Hidden, is_asked),
            false => None,
        })
    }

    /// The registration, which has no text, with that of the latest version: who sends rules or metadata alone adds them to the schema that is there.
    fn with_text_of_latest(&self, subject: &Subject, registration: &Registration) -> Result<Registration, RegistryError> {
        let latest = self.read().latest(subject, Deleted::Hidden);
        let Version { schema, .. } = latest.ok_or_else(|| RegistryError::InvalidSchema("Empty schema".to_owned()))?;
        Ok(Registration {
            format: schema.format,
            text: schema.text.to_string(),
            references: schema.references.clone(),
            ..registration.clone()
        })
    }

    /// The registration with the metadata and rules of the latest version, where it names none itself: serializers know their schema's text only, and
    /// rules (such as to encrypt a field) must not end with the next version. `None`: there is nothing to fill in. Source:
    /// AbstractSchemaRegistry.maybePopulateFromPrevious.
    fn filled_from_latest(&self, subject: &Subject, registration: &Registration) -> Option<Registration> {
        let latest = self.read().latest(subject, Deleted::Hidden)?;
        let metadata = latest.schema.metadata.clone().filter(|_| registration.metadata.is_none());
        let rule_set = latest.schema.rule_set.clone().filter(|_| registration.rule_set.is_none());
        if metadata.is_none() && rule_set.is_none() {
            return None;
        }
        let mut filled = registration.clone();
        filled.metadata = registration.metadata.clone().or(metadata);
        filled.rule_set = registration.rule_set.clone().or(rule_set);
        Some(filled)
    }

    fn check_mode(&self, subject: &Subject, mode: Mode, registration: &Registration) -> Result<(), RegistryError> {
        if mode.is_read_only() {
            return Err(RegistryError::NotPermitted(format!("Subject {subject} is in read-only mode")));
        }
        if mode == Mode::Import {
            return match registration.id {
                Some(_) => Ok(()),
                None => Err(RegistryError::NotPermitted(format!("Subject {subject} is not in read-write mode"))),
            };
        }
        if registration.id.is_some() {
            return Err(RegistryError::NotPermitted(format!("Subject {subject} is not in import mode")));
        }
        match registration.version {
            Some(version) if version != self.read().next_version(subject) => {
                let next = self.read().next_version(subject);
                Err(RegistryError::InvalidSchema(format!(
                    "version {version} is not the next one of the subject, which is {next}"
                )))
            }
            _ => Ok(()),
        }
    }

    /// The records of a version that does not exist yet, and of its schema if that is new too.
    fn new_version(
        &self,
        subject: &Subject,
        version: i32,
        registration: &Registration,
        looked: Looked,
    ) -> Result<Vec<Change>, RegistryError> {
        let state = self.read();
        let context = &subject.context;
        let known = state.id_of(context, looked.identity);
        let id = registration.id.or(known).unwrap_or_else(|| state.next_id(context));
        if id < 1 || version < 1 {
            return Err(RegistryError::InvalidSchema("ids and versions are at least 1".to_owned()));
        }
        if id == i32::MAX {
            return Err(RegistryError::Full(format!("the ids of context {context} are used up")));
        }
        if state.version(subject, version, Deleted::Included).is_some_and(|there| there.schema.id != id) {
            return Err(RegistryError::NotPermitted(format!(
                "Overwrite of version {version} of subject {subject} is not permitted."
            )));
        }
        let mut changes = Vec::new();
        let mut more = version_bytes(subject);
        match state.schema(context, id) {
            Some(there) if there.identity != looked.identity => {
                return Err(RegistryError::NotPermitted(format!("Overwrite new schema with id {id} is not permitted.")));
            }
            Some(_) => {}
            None => {
                let schema = Schema {
                    context: context.clone(),
                    id,
                    format: looked.format,
                    text: looked.text,
                    references: looked.references,
                    metadata: registration.metadata.clone(),
                    rule_set: registration.rule_set.clone(),
                    identity: looked.identity,
                };
                more += schema.bytes();
                changes.push(Change::Schema(schema));
                let next = state.next_id(context).max(id.saturating_add(1));
                changes.push(Change::Next(NextRecord { context: context.clone(), next }));
            }
        }
        self.settings.check_room(&state, more)?;
        changes.extend(replaced(&state, subject, version, id));
        changes.push(Change::Version(assigned(subject, version, id, false)));
        Ok(changes)
    }
}

/// The deleted versions of the same schema, which go for good when it comes again as `version`; but for those that another schema refers to
/// (KafkaSchemaRegistry.register).
fn replaced(state: &State, subject: &Subject, version: i32, id: i32) -> Vec<Change> {
    let is_replaced = |old: &Version| {
        let is_earlier = old.schema.id == id && old.version < version;
        is_earlier && state.referring(subject, old.version, Deleted::Included).next().is_none()
    };
    let old = state.versions(subject, Deleted::Only).filter(is_replaced);
    old.map(|old| Change::NoVersion(subject.clone(), old.version)).collect()
}

/// Metadata without what says which version it is of; `None`: nothing is left.
fn without_version(mut metadata: Value) -> Option<Value> {
    if let Some(properties) = metadata.get_mut("properties").and_then(Value::as_object_mut) {
        properties.remove("confluent:version");
    }
    if let Some(parts) = metadata.as_object_mut() {
        parts.retain(|_, part| part.as_object().is_none_or(|part| !part.is_empty()));
    }
    Some(metadata).filter(|left| left.as_object().is_none_or(|left| !left.is_empty()))
}
