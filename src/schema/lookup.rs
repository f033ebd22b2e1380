//! What one asks the registry: the questions that need more than the state alone.

use super::error::RegistryError;
use super::format::{Incompatibility, Parsed};
use super::registry::{Defaults, Looked, Registration, Registry};
use super::state::{Config, Deleted, State, Version};
use super::stored::{Identity, Own, Schema};
use super::subject::Subject;
use serde_json::Value;
use std::sync::Arc;

/// Which versions a schema is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// Those that the subject's level says.
    Subject,
    Latest,
    Version(i32),
}

impl Registry {
    /// Looks at what is registered, under a short lock.
    pub fn with<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.read())
    }

    /// What counts for a subject.
    #[must_use]
    pub fn config(&self, subject: &Subject) -> Config {
        self.read().config(subject, self.settings.level)
    }

    /// What of all settings counts for `scope`, with a level always.
    #[must_use]
    pub fn counting(&self, scope: &Subject) -> Own {
        self.read().counting(scope, self.settings.level)
    }

    /// What was set for `scope` itself.
    #[must_use]
    pub fn own(&self, scope: &Subject) -> Own {
        self.read().own(scope).cloned().unwrap_or_default()
    }

    /// A version; `None`: the latest.
    ///
    /// # Errors
    /// [`RegistryError::SubjectNotFound`], [`RegistryError::VersionNotFound`].
    pub fn version(&self, subject: &Subject, version: Option<i32>, deleted: Deleted) -> Result<Version, RegistryError> {
        let state = self.read();
        let subject = state.unaliased(subject);
        let latest = state.latest(&subject, deleted).ok_or_else(|| RegistryError::SubjectNotFound(subject.clone()))?;
        match version {
            // What is deleted is the latest of nothing.
            None => state.latest(&subject, Deleted::Hidden).ok_or(RegistryError::VersionNotFound(latest.version)),
            Some(version) => state.version(&subject, version, deleted).ok_or(RegistryError::VersionNotFound(version)),
        }
    }

    /// The schema with this id.
    ///
    /// # Errors
    /// [`RegistryError::IdNotFound`].
    pub fn schema(&self, context: &str, id: i32) -> Result<Arc<Schema>, RegistryError> {
        self.read().schema(context, id).cloned().ok_or(RegistryError::IdNotFound(id))
    }

    /// Under which version of a subject a schema is registered. Parses: work of milliseconds.
    ///
    /// # Errors
    /// [`RegistryError::SubjectNotFound`], [`RegistryError::SchemaNotFound`], [`RegistryError::InvalidSchema`].
    pub fn lookup(&self, subject: &Subject, registration: &Registration, deleted: Deleted) -> Result<Version, RegistryError> {
        let subject = {
            let state = self.read();
            let subject = state.unaliased(subject);
            state.latest(&subject, deleted).ok_or_else(|| RegistryError::SubjectNotFound(subject.clone()))?;
            subject
        };
        let looked = self.look(&subject, registration, Defaults::Held)?;
        let by_identity = |identity: Identity| {
            let state = self.read();
            let id = state.id_of(&subject.context, identity)?;
            state.versions(&subject, deleted).rev().find(|version| version.schema.id == id)
        };
        let found = by_identity(looked.identity).or_else(|| match registration.normalize {
            true => self.same_normalized(&subject, &looked, deleted, |version| registration.goes_with(&version.schema)),
            false => self.same_but_for_rules(&subject, &looked, registration, deleted),
        });
        found.ok_or(RegistryError::SchemaNotFound)
    }

    /// A version that is the same schema once both are normalized, of those that `is_asked` for.
    pub(super) fn same_normalized(
        &self,
        subject: &Subject,
        looked: &Looked,
        deleted: Deleted,
        is_asked: impl Fn(&Version) -> bool,
    ) -> Option<Version> {
        let normalized = looked.parsed.normalized();
        let versions: Vec<Version> = self.read().versions(subject, deleted).filter(is_asked).collect();
        versions.into_iter().rev().find(|version| {
            let is_alike = version.schema.format == looked.format && version.schema.references == looked.references;
            is_alike && self.parsed(&version.schema).is_ok_and(|parsed| parsed.normalized() == normalized)
        })
    }

    /// A version with metadata or rules that the asker did not name: serializers look their schema up by its text alone.
    fn same_but_for_rules(
        &self,
        subject: &Subject,
        looked: &Looked,
        registration: &Registration,
        deleted: Deleted,
    ) -> Option<Version> {
        if registration.metadata.is_some() || registration.rule_set.is_some() {
            return None;
        }
        let versions: Vec<Version> = self.read().versions(subject, deleted).collect();
        versions.into_iter().rev().find(|version| {
            let schema = &version.schema;
            let is_alike = schema.format == looked.format && schema.references == looked.references;
            is_alike && self.parsed(schema).is_ok_and(|parsed| parsed.canonical() == looked.parsed.canonical())
        })
    }

    /// Why a schema could not be registered beside the versions it is held against; empty: it could. Work for no runtime thread.
    ///
    /// # Errors
    /// [`RegistryError::InvalidSchema`], [`RegistryError::VersionNotFound`].
    pub fn compatibility(
        &self,
        subject: &Subject,
        registration: &Registration,
        against: Against,
    ) -> Result<Vec<Incompatibility>, RegistryError> {
        let subject = self.read().unaliased(subject);
        let versions: Vec<Version> = {
            let state = self.read();
            match against {
                Against::Version(number) => {
                    vec![state.version(&subject, number, Deleted::Hidden).ok_or(RegistryError::VersionNotFound(number))?]
                }
                Against::Latest => state.latest(&subject, Deleted::Hidden).into_iter().collect(),
                Against::Subject => state.versions(&subject, Deleted::Hidden).collect(),
            }
        };
        let looked = self.look(&subject, registration, Defaults::Checked)?;
        self.conflicts_with(&versions, &self.config(&subject), &looked.parsed, registration.metadata.as_ref())
    }

    /// Why `parsed` does not go with the versions of the subject.
    pub(super) fn conflicts(
        &self,
        subject: &Subject,
        parsed: &Parsed,
        metadata: Option<&Value>,
    ) -> Result<Vec<Incompatibility>, RegistryError> {
        let (config, versions) = {
            let state = self.read();
            let config = state.config(subject, self.settings.level);
            let versions: Vec<Version> = state.versions(subject, Deleted::Hidden).collect();
            (config, versions)
        };
        self.conflicts_with(&versions, &config, parsed, metadata)
    }

    /// Why `parsed` does not go with those of `versions`, the oldest first, that are of its group (AbstractSchemaRegistry.isCompatibleWithPrevious).
    fn conflicts_with(
        &self,
        versions: &[Version],
        config: &Config,
        parsed: &Parsed,
        metadata: Option<&Value>,
    ) -> Result<Vec<Incompatibility>, RegistryError> {
        let group = |metadata: Option<&Value>| {
            let property = config.compatibility_group.as_deref()?;
            metadata?.get("properties")?.get(property).cloned()
        };
        let own = group(metadata);
        let counted = versions.iter().rev().filter(|version| group(version.schema.metadata.as_ref()) == own);
        // Only what the level looks at is parsed.
        config.level.conflicts(parsed, counted.map(|version| self.parsed(&version.schema)))
    }
}
