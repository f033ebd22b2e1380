//! The registry: what is registered, and the only way to change it.
//!
//! Owner: [`Registry`]. Readers take a short read lock on [`State`], which is all in memory. A change has its turn (`turn`, held while it is
//! planned and committed), goes to the `MetaStore` first, and only then becomes visible; a change that has begun runs to its end even if
//! whoever asked goes away. Each commit compares one key, so that a second writer of the same store is noticed.
//!
//! Bounds: the texts of all schemas (`schema.memory_bytes`; a registration beyond it is refused), parsed ones (`schema.cache_bytes`).

use super::cache::Cache;
use super::change::{Change, assigned};
use super::error::RegistryError;
use super::format::{Format, InvalidSchema, Parsed, TEXT_BYTES_MAX};
use super::level::Level;
use super::mode::Mode;
use super::references;
use super::registering::Planned;
use super::state::{Deleted, State, Version, own_bytes};
use super::stored::{Identity, NextRecord, Own, OwnRecord, PREFIX, Reference, Schema, identity};
use super::subject::Subject;
use crate::store::json::{put, read};
use crate::store::{MetaChange, MetaCompare, MetaStore, StoreError};
use crate::tasks;
use serde_json::Value;
use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::Mutex;
use tracing::info;

/// Counts the changes; each commit compares it.
const CHANGES: &str = "schemas/changes";

/// References, metadata and rules of one schema.
const BESIDE_BYTES_MAX: usize = 256 << 10;

/// What the operator decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Where nobody has set another one.
    pub level: Level,
    /// Of all texts.
    pub memory_bytes: usize,
    /// Of parsed schemas.
    pub cache_bytes: usize,
}

impl Registration {
    /// Whether it names no metadata and rules, or those of `schema`.
    pub(super) fn goes_with(&self, schema: &Schema) -> bool {
        let is_same = |own: &Option<Value>, other: &Option<Value>| own.is_none() || own == other;
        is_same(&self.metadata, &schema.metadata) && is_same(&self.rule_set, &schema.rule_set)
    }

    /// What is too large to be looked at.
    pub(super) fn check_sizes(&self) -> Result<(), RegistryError> {
        let too_large = |what: &str, most: usize| Err(RegistryError::InvalidSchema(format!("{what} has at most {most} bytes")));
        if self.text.len() > TEXT_BYTES_MAX {
            return too_large("a schema", TEXT_BYTES_MAX);
        }
        let beside = [&self.metadata, &self.rule_set].into_iter().flatten().map(|value| value.to_string().len()).sum::<usize>();
        let references = self.references.iter().map(|one| one.name.len() + one.subject.len()).sum::<usize>();
        if beside + references > BESIDE_BYTES_MAX {
            return too_large("what comes with a schema (references, metadata, rules)", BESIDE_BYTES_MAX);
        }
        Ok(())
    }
}

impl Settings {
    /// Whether `more` bytes fit.
    pub(super) fn check_room(&self, state: &State, more: usize) -> Result<(), RegistryError> {
        let bytes = state.bytes() + more;
        if bytes <= self.memory_bytes {
            return Ok(());
        }
        Err(RegistryError::Full(format!(
            "all schemas and subjects together would take {bytes} bytes, more than schema.memory_bytes ({})",
            self.memory_bytes
        )))
    }
}

/// A schema on its way in.
#[derive(Debug, Clone, Default)]
pub struct Registration {
    pub format: Format,
    pub text: String,
    pub references: Vec<Reference>,
    pub metadata: Option<Value>,
    pub rule_set: Option<Value>,
    pub normalize: bool,
    /// In the mode IMPORT only.
    pub id: Option<i32>,
    /// In the mode IMPORT any; else the next one.
    pub version: Option<i32>,
}

/// How something is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// It is no longer listed, and is still read by its id.
    Soft,
    /// What was deleted softly goes for good.
    Permanent,
}

/// See the file's header.
pub struct Registry {
    pub(super) state: RwLock<State>,
    /// The revision of [`CHANGES`], and the number of changes.
    turn: Mutex<(u64, u64)>,
    meta: Arc<dyn MetaStore>,
    cache: Cache,
    pub(super) settings: Settings,
}

/// Whether defaults of fields must be of their fields' types. Those of what is held already need not be: registries took others in earlier days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defaults {
    Checked,
    Held,
}

/// A registration that was looked at.
pub(super) struct Looked {
    pub format: Format,
    pub text: Arc<str>,
    pub references: Vec<Reference>,
    pub parsed: Arc<Parsed>,
    pub identity: Identity,
}

impl Looked {
    /// The same schema with the metadata and rules of `registration`: another identity, and nothing to parse again.
    pub fn beside(self, registration: &Registration) -> Looked {
        let (metadata, rule_set) = (registration.metadata.as_ref(), registration.rule_set.as_ref());
        let identity = identity(self.format, self.parsed.canonical(), &self.references, metadata, rule_set);
        Looked { identity, ..self }
    }
}

impl Registry {
    /// Reads everything from `meta`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when a value does not read back.
    pub async fn open(meta: Arc<dyn MetaStore>, settings: Settings) -> Result<Arc<Registry>, StoreError> {
        let mut state = State::default();
        let mut turn = (0, 0);
        for entry in meta.range(PREFIX).await? {
            let (key, value) = (entry.key.as_str(), &entry.value);
            if key == CHANGES {
                turn = (entry.revision, read(key, value)?);
                continue;
            }
            let kind = key.strip_prefix(PREFIX).and_then(|rest| rest.split('/').next()).unwrap_or_default();
            match kind {
                "ids" => state.put_schema(Arc::new(read(key, value)?)),
                "subjects" => state.put_version(&read(key, value)?),
                "settings" => {
                    let OwnRecord { context, subject, own } = read(key, value)?;
                    state.put_own(Subject { context, name: subject }, own);
                }
                "next" => {
                    let NextRecord { context, next } = read(key, value)?;
                    state.put_next(&context, next);
                }
                _ => return Err(StoreError::Damaged(format!("metadata key {key} is not known"))),
            }
        }
        let cache = Cache::new(settings.cache_bytes);
        let (state, turn) = (RwLock::new(state), Mutex::new(turn));
        Ok(Arc::new(Registry { state, turn, meta, cache, settings }))
    }

    /// What is registered now.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The schema, parsed. Work of milliseconds when it is not in the cache.
    ///
    /// # Errors
    /// [`RegistryError::InvalidSchema`] when it no longer parses: what it refers to is gone.
    pub fn parsed(&self, schema: &Schema) -> Result<Arc<Parsed>, RegistryError> {
        // Not by the id: an import may give it another schema once the first is gone.
        let key = (Arc::from(schema.context.as_str()), schema.identity);
        if let Some(parsed) = self.cache.get(&key) {
            return Ok(parsed);
        }
        let here = Subject { context: schema.context.clone(), name: String::new() };
        let texts = references::texts(&self.read(), &here, &schema.references)?;
        let parsed =
            Parsed::parse_held(schema.format, &schema.text, &texts).map_err(|error| RegistryError::InvalidSchema(error.0))?;
        let parsed = Arc::new(parsed);
        self.cache.put(key, parsed.clone());
        Ok(parsed)
    }

    /// Registers a schema under a subject, and answers its version: an existing one if it is registered already. Durable and visible when it returns.
    ///
    /// # Errors
    /// [`RegistryError::InvalidSchema`], [`RegistryError::Incompatible`], [`RegistryError::NotPermitted`] by the subject's mode,
    /// [`RegistryError::Full`], [`RegistryError::Store`].
    pub async fn register(self: &Arc<Registry>, subject: Subject, registration: Registration) -> Result<Version, RegistryError> {
        let registry = self.clone();
        tasks::to_the_end("register a schema", async move {
            let mut turn = registry.turn.lock().await;
            let planner = registry.clone();
            // Parsing, and holding against all earlier versions, is work for no runtime thread.
            let planned = tasks::blocking("plan a registration", move || planner.plan(&subject, &registration)).await?;
            match planned {
                Planned::There(version) => Ok(version),
                Planned::New { subject, version, changes } => {
                    registry.commit(&mut turn, changes).await?;
                    let found = registry.read().version(&subject, version, Deleted::Included);
                    let found = found.ok_or(RegistryError::VersionNotFound(version))?;
                    info!(%subject, version, id = found.schema.id, "schema registered");
                    Ok(found)
                }
            }
        })
        .await
    }

    /// Parses what is to be registered, or what is looked for, and says what it is.
    pub(super) fn look(
        &self,
        subject: &Subject,
        registration: &Registration,
        defaults: Defaults,
    ) -> Result<Looked, RegistryError> {
        // What is new refers to what is there; what was taken once may refer to what was deleted since.
        let (parse, referred): (fn(_, &_, &_) -> _, _) = match defaults {
            Defaults::Checked => (Parsed::parse, Deleted::Hidden),
            Defaults::Held => (Parsed::parse_held, Deleted::Included),
        };
        let format = registration.format;
        let invalid =
            |error: InvalidSchema| RegistryError::InvalidSchema(format!("Invalid schema of type {format}, details: {error}"));
        registration.check_sizes()?;
        let (references, texts, normalize) = {
            let state = self.read();
            let references = references::pinned(&state, subject, &registration.references, referred)?;
            let texts = references::texts(&state, subject, &references)?;
            let normalize = registration.normalize || state.config(subject, self.settings.level).normalize;
            (references, texts, normalize)
        };
        let mut parsed = parse(format, &registration.text, &texts).map_err(invalid)?;
        if normalize {
            parsed = parse(format, &parsed.normalized(), &texts).map_err(invalid)?;
        }
        if parsed.stored_text().len() > TEXT_BYTES_MAX {
            return Err(RegistryError::InvalidSchema(format!(
                "written out in full, the schema has more than {TEXT_BYTES_MAX} bytes"
            )));
        }
        let (metadata, rule_set) = (registration.metadata.as_ref(), registration.rule_set.as_ref());
        let identity = identity(format, parsed.canonical(), &references, metadata, rule_set);
        let text = Arc::from(parsed.stored_text());
        Ok(Looked { format, text, references, parsed: Arc::new(parsed), identity })
    }

    /// Deletes a subject, and answers the versions that are gone.
    ///
    /// # Errors
    /// That it is not there, was or was not deleted before, or is referred to.
    pub async fn delete_subject(self: &Arc<Registry>, subject: Subject, deletion: Deletion) -> Result<Vec<i32>, RegistryError> {
        self.change("delete a subject", move |state| {
            let subject = state.unaliased(&subject);
            check_writable(state, &subject)?;
            let live: Vec<Version> = state.versions(&subject, Deleted::Hidden).collect();
            let all: Vec<Version> = state.versions(&subject, Deleted::Included).collect();
            if all.is_empty() {
                return Err(RegistryError::SubjectNotFound(subject));
            }
            let (gone, mut changes) = match deletion {
                Deletion::Soft if live.is_empty() => return Err(RegistryError::SubjectSoftDeleted(subject)),
                Deletion::Permanent if !live.is_empty() => return Err(RegistryError::SubjectNotSoftDeleted(subject)),
                Deletion::Soft => (live, Vec::new()),
                Deletion::Permanent => (all, vec![nothing_set(&subject)]),
            };
            // Its versions go together, so that they may refer to one another (KafkaSchemaRegistry.deleteSubject).
            check_unreferenced(state, &gone, deletion, Some(&subject))?;
            changes.extend(deletions(state, &gone, deletion));
            Ok((gone.iter().map(|version| version.version).collect(), changes))
        })
        .await
    }

    /// Deletes one version.
    ///
    /// # Errors
    /// As [`Registry::delete_subject`].
    pub async fn delete_version(
        self: &Arc<Registry>,
        subject: Subject,
        version: Option<i32>,
        deletion: Deletion,
    ) -> Result<i32, RegistryError> {
        self.change("delete a version", move |state| {
            let subject = state.unaliased(&subject);
            check_writable(state, &subject)?;
            if state.latest(&subject, Deleted::Included).is_none() {
                return Err(RegistryError::SubjectNotFound(subject));
            }
            let found = match version {
                Some(version) => state.version(&subject, version, Deleted::Included),
                // What is deleted is the latest of nothing.
                None => state.latest(&subject, Deleted::Hidden),
            };
            let found = found.ok_or_else(|| match version {
                Some(version) => RegistryError::VersionNotFound(version),
                None => RegistryError::SubjectNotFound(subject.clone()),
            })?;
            match (deletion, found.is_deleted) {
                (Deletion::Soft, true) => return Err(RegistryError::VersionSoftDeleted(subject, found.version)),
                (Deletion::Permanent, false) => return Err(RegistryError::VersionNotSoftDeleted(subject, found.version)),
                (Deletion::Soft, false) | (Deletion::Permanent, true) => {}
            }
            let number = found.version;
            let gone = [found];
            check_unreferenced(state, &gone, deletion, None)?;
            let mut changes = deletions(state, &gone, deletion);
            let is_last = deletion == Deletion::Permanent && state.versions(&subject, Deleted::Included).count() == 1;
            changes.extend(is_last.then(|| nothing_set(&subject)));
            Ok((number, changes))
        })
        .await
    }

    /// Sets what is given for a subject, a context or everything, and answers what is set for it then.
    ///
    /// # Errors
    /// [`RegistryError::NotPermitted`] where the mode forbids it, [`RegistryError::Store`].
    pub async fn set_config(self: &Arc<Registry>, scope: Subject, given: Own) -> Result<Own, RegistryError> {
        let settings = self.settings;
        self.change("set a configuration", move |state| {
            check_writable(state, &scope)?;
            settings.check_room(state, own_bytes(&scope, &given))?;
            let old = state.own(&scope).cloned().unwrap_or_default();
            let own = Own {
                level: given.level.or(old.level),
                normalize: given.normalize.or(old.normalize),
                alias: given.alias.or(old.alias).filter(|alias| !alias.is_empty()),
                compatibility_group: given.compatibility_group.or(old.compatibility_group).filter(|group| !group.is_empty()),
                mode: old.mode,
            };
            Ok((own.clone(), vec![Change::Own(scope, own)]))
        })
        .await
    }

    /// Takes back what was set, and answers what that was.
    ///
    /// # Errors
    /// [`RegistryError::NoOwnConfig`] for a subject that has nothing of its own.
    pub async fn delete_config(self: &Arc<Registry>, scope: Subject) -> Result<Own, RegistryError> {
        self.change("delete a configuration", move |state| {
            check_writable(state, &scope)?;
            let old = state.own(&scope).cloned().unwrap_or_default();
            if !old.has_config() && !scope.name.is_empty() {
                return Err(RegistryError::NoOwnConfig(scope));
            }
            let own = Own { mode: old.mode, ..Own::default() };
            Ok((old, vec![Change::Own(scope, own)]))
        })
        .await
    }

    /// Sets the mode of a subject, a context or everything; `None` takes it back. Answers the one before.
    ///
    /// # Errors
    /// [`RegistryError::NotPermitted`] for IMPORT where there are schemas, unless `is_forced`; [`RegistryError::NoOwnMode`].
    pub async fn set_mode(
        self: &Arc<Registry>,
        scope: Subject,
        mode: Option<Mode>,
        is_forced: bool,
    ) -> Result<Option<Mode>, RegistryError> {
        let settings = self.settings;
        self.change("set a mode", move |state| {
            if mode.is_some() {
                settings.check_room(state, own_bytes(&scope, &Own::default()))?;
            }
            let old = state.own(&scope).cloned().unwrap_or_default();
            if mode.is_none() && old.mode.is_none() && !scope.name.is_empty() {
                return Err(RegistryError::NoOwnMode(scope));
            }
            let is_concerned = |subject: &Subject| match (scope.context.as_str(), scope.name.is_empty()) {
                (super::subject::DEFAULT_CONTEXT, true) => true,
                (context, true) => subject.context == context,
                (_, false) => *subject == scope,
            };
            let mut changes = Vec::new();
            if mode == Some(Mode::Import) && !is_forced && state.mode(&scope) != Mode::Import {
                if state.subjects(Deleted::Hidden).any(is_concerned) {
                    return Err(RegistryError::NotPermitted("Cannot import since found existing subjects".to_owned()));
                }
                // What is deleted softly would be in the way of what is imported under its number.
                let subjects: Vec<Subject> =
                    state.subjects(Deleted::Only).filter(|subject| is_concerned(subject)).cloned().collect();
                let gone: Vec<Version> = subjects.iter().flat_map(|subject| state.versions(subject, Deleted::Included)).collect();
                check_unreferenced(state, &gone, Deletion::Permanent, None)?;
                changes = deletions(state, &gone, Deletion::Permanent);
                changes.extend(subjects.iter().filter(|subject| **subject != scope).map(nothing_set));
            }
            let before = old.mode;
            changes.push(Change::Own(scope, Own { mode, ..old }));
            Ok((before, changes))
        })
        .await
    }

    /// Plans a change on the newest state, commits it, and makes it visible.
    pub(super) async fn change<T: Send + 'static>(
        self: &Arc<Registry>,
        name: &'static str,
        plan: impl FnOnce(&State) -> Result<(T, Vec<Change>), RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let registry = self.clone();
        tasks::to_the_end(name, async move {
            let mut turn = registry.turn.lock().await;
            let planner = registry.clone();
            let (answer, changes) = tasks::blocking(name, move || plan(&planner.read())).await?;
            registry.commit(&mut turn, changes).await?;
            Ok(answer)
        })
        .await
    }

    async fn commit(&self, turn: &mut (u64, u64), changes: Vec<Change>) -> Result<(), RegistryError> {
        let (revision, number) = *turn;
        let mut stored: Vec<MetaChange> = changes.iter().map(Change::stored).collect();
        stored.push(put(CHANGES.to_owned(), &(number + 1)));
        let compare = MetaCompare { key: CHANGES.to_owned(), revision };
        match self.meta.commit(vec![compare], stored).await {
            Ok(revision) => *turn = (revision, number + 1),
            Err(error) => {
                if let StoreError::Io(why) = &error {
                    // Whether the change is durable is unknown: readers must not be told either way.
                    tasks::fatal(&format!("the metadata store did not take a schema: {why}"));
                }
                return Err(error.into());
            }
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            change.apply(&mut state);
        }
        Ok(())
    }
}

/// Level, mode and alias go for good with a subject's last version: whoever comes after it begins with what counts for all
/// (AbstractSchemaRegistry.deleteSubject, deleteSchemaVersion; registries up to 7.x did so at the soft deletion).
fn nothing_set(subject: &Subject) -> Change {
    Change::Own(subject.clone(), Own::default())
}

fn check_writable(state: &State, scope: &Subject) -> Result<(), RegistryError> {
    if state.mode(scope).is_read_only() {
        return Err(RegistryError::NotPermitted(format!("Subject {scope} is in read-only mode")));
    }
    Ok(())
}

/// Whether nobody refers to these versions, but for those of the subject `but_for`.
fn check_unreferenced(
    state: &State,
    gone: &[Version],
    deletion: Deletion,
    but_for: Option<&Subject>,
) -> Result<(), RegistryError> {
    let holders = if deletion == Deletion::Soft { Deleted::Hidden } else { Deleted::Included };
    let is_referred_to = |version: &&Version| {
        let referring = state.referring(&version.subject, version.version, holders);
        referring.flat_map(|(context, id)| state.holders(context, id, holders)).any(|(holder, _)| Some(holder) != but_for)
    };
    match gone.iter().find(is_referred_to) {
        Some(version) => Err(RegistryError::Referenced(version.subject.clone(), version.version)),
        None => Ok(()),
    }
}

/// The changes that delete these versions, and the schemas that nobody has then.
fn deletions(state: &State, gone: &[Version], deletion: Deletion) -> Vec<Change> {
    if deletion == Deletion::Soft {
        return gone
            .iter()
            .map(|version| Change::Version(assigned(&version.subject, version.version, version.schema.id, true)))
            .collect();
    }
    let mut changes: Vec<Change> =
        gone.iter().map(|version| Change::NoVersion(version.subject.clone(), version.version)).collect();
    let going: HashSet<(&Subject, i32)> = gone.iter().map(|version| (&version.subject, version.version)).collect();
    let schemas: BTreeSet<(&str, i32)> =
        gone.iter().map(|version| (version.subject.context.as_str(), version.schema.id)).collect();
    for (context, id) in schemas {
        if state.holders(context, id, Deleted::Included).all(|holder| going.contains(&holder)) {
            changes.push(Change::NoSchema(context.to_owned(), id));
        }
    }
    changes
}
