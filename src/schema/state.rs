//! What is registered, in memory: all of it, since schemas are few and small. Pure: no lock, no I/O. The registry changes it after the store did.

use super::level::Level;
use super::mode::Mode;
use super::stored::{Assigned, Identity, Own, Reference, Schema};
use super::subject::Subject;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;
use uuid::Uuid;

/// Everything that is registered.
#[derive(Debug, Clone, Default)]
pub struct State {
    schemas: HashMap<(String, i32), Arc<Schema>>,
    /// By what they are: several where imports brought the same schema under several ids.
    identities: HashMap<(String, Identity), BTreeSet<i32>>,
    guids: HashMap<Uuid, BTreeSet<(String, i32)>>,
    subjects: BTreeMap<Subject, BTreeMap<i32, Assignment>>,
    /// The subject versions that have an id.
    holders: HashMap<(String, i32), BTreeSet<(Subject, i32)>>,
    /// The ids of the schemas that refer to a version.
    referring: HashMap<(Subject, i32), BTreeSet<(String, i32)>>,
    own: BTreeMap<Subject, Own>,
    next: BTreeMap<String, i32>,
    bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Assignment {
    id: i32,
    is_deleted: bool,
}

/// A version of a subject, with its schema.
#[derive(Debug, Clone)]
pub struct Version {
    pub subject: Subject,
    pub version: i32,
    pub is_deleted: bool,
    pub schema: Arc<Schema>,
}

/// What counts for a subject: its own settings first, then its context's, then everybody's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    pub level: Level,
    pub normalize: bool,
    pub compatibility_group: Option<String>,
}

/// Which versions are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    Hidden,
    Included,
    Only,
}

impl Deleted {
    fn takes(self, is_deleted: bool) -> bool {
        match self {
            Deleted::Hidden => !is_deleted,
            Deleted::Included => true,
            Deleted::Only => is_deleted,
        }
    }
}

impl State {
    // What is there.

    /// The schema `id` of a context.
    #[must_use]
    pub fn schema(&self, context: &str, id: i32) -> Option<&Arc<Schema>> {
        self.schemas.get(&(context.to_owned(), id))
    }

    /// The smallest id of the schema that is the same one.
    #[must_use]
    pub fn id_of(&self, context: &str, identity: Identity) -> Option<i32> {
        self.identities.get(&(context.to_owned(), identity))?.first().copied()
    }

    /// The contexts' ids of the schema with this guid.
    pub fn ids_of_guid(&self, guid: Uuid) -> impl Iterator<Item = (&str, i32)> {
        self.guids.get(&guid).into_iter().flatten().map(|(context, id)| (context.as_str(), *id))
    }

    /// A version of a subject.
    #[must_use]
    pub fn version(&self, subject: &Subject, version: i32, deleted: Deleted) -> Option<Version> {
        let assignment = self.subjects.get(subject)?.get(&version).filter(|one| deleted.takes(one.is_deleted))?;
        self.version_of(subject, version, *assignment)
    }

    /// The versions of a subject, the oldest first.
    pub fn versions<'a>(&'a self, subject: &'a Subject, deleted: Deleted) -> impl DoubleEndedIterator<Item = Version> + 'a {
        let all = self.subjects.get(subject).into_iter().flatten();
        all.filter(move |(_, one)| deleted.takes(one.is_deleted))
            .filter_map(move |(version, one)| self.version_of(subject, *version, *one))
    }

    #[must_use]
    pub fn latest(&self, subject: &Subject, deleted: Deleted) -> Option<Version> {
        self.versions(subject, deleted).next_back()
    }

    /// The version that the next schema of a subject gets: deleted ones count until they are gone for good.
    #[must_use]
    pub fn next_version(&self, subject: &Subject) -> i32 {
        self.subjects.get(subject).and_then(|versions| versions.keys().next_back()).map_or(1, |last| last.saturating_add(1))
    }

    /// The subjects that have a version of this kind.
    pub fn subjects(&self, deleted: Deleted) -> impl Iterator<Item = &Subject> {
        self.subjects
            .iter()
            .filter(move |(_, versions)| match deleted {
                // A subject counts as deleted when all of it is.
                Deleted::Only => versions.values().all(|one| one.is_deleted),
                _ => versions.values().any(|one| deleted.takes(one.is_deleted)),
            })
            .map(|(subject, _)| subject)
    }

    /// Who has a schema.
    pub fn holders(&self, context: &str, id: i32, deleted: Deleted) -> impl Iterator<Item = (&Subject, i32)> {
        let holders = self.holders.get(&(context.to_owned(), id)).into_iter().flatten();
        holders.map(|(subject, version)| (subject, *version)).filter(move |(subject, version)| {
            let assignment = self.subjects.get(*subject).and_then(|versions| versions.get(version));
            assignment.is_some_and(|one| deleted.takes(one.is_deleted))
        })
    }

    /// The schemas, as context and id, that refer to a version and that such a version has.
    pub fn referring(&self, subject: &Subject, version: i32, holders: Deleted) -> impl Iterator<Item = (&str, i32)> {
        let ids = self.referring.get(&(subject.clone(), version)).into_iter().flatten();
        let ids = ids.map(|(context, id)| (context.as_str(), *id));
        ids.filter(move |(context, id)| self.holders(context, *id, holders).next().is_some())
    }

    /// The id that the next new schema of a context gets.
    #[must_use]
    pub fn next_id(&self, context: &str) -> i32 {
        self.next.get(context).copied().unwrap_or(1)
    }

    /// Bytes of all texts, names and settings, and of their places.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    // Settings.

    /// Everything that was set, by whose it is.
    pub fn all_own(&self) -> impl Iterator<Item = (&Subject, &Own)> {
        self.own.iter()
    }

    /// What was set for `scope` itself.
    #[must_use]
    pub fn own(&self, scope: &Subject) -> Option<&Own> {
        self.own.get(scope)
    }

    /// The settings that count for `subject`, the nearest first.
    fn chain(&self, subject: &Subject) -> impl Iterator<Item = &Own> {
        let scopes = [subject.clone(), subject.scope(), Subject::plain("")];
        scopes.into_iter().filter_map(|scope| self.own.get(&scope)).collect::<Vec<_>>().into_iter()
    }

    /// What counts for `subject`; `default`: where nobody has set a level.
    #[must_use]
    pub fn config(&self, subject: &Subject, default: Level) -> Config {
        Config {
            level: self.chain(subject).find_map(|own| own.level).unwrap_or(default),
            normalize: self.chain(subject).find_map(|own| own.normalize).unwrap_or(false),
            compatibility_group: self.chain(subject).find_map(|own| own.compatibility_group.clone()),
        }
    }

    /// What of a subject's own settings, and of those that it has from others, counts for it; an alias is its own only.
    #[must_use]
    pub fn counting(&self, subject: &Subject, default: Level) -> Own {
        let Config { level, compatibility_group, .. } = self.config(subject, default);
        Own {
            level: Some(level),
            normalize: self.chain(subject).find_map(|own| own.normalize),
            alias: self.own(subject).and_then(|own| own.alias.clone()),
            compatibility_group,
            mode: None,
        }
    }

    #[must_use]
    pub fn mode(&self, subject: &Subject) -> Mode {
        // An override counts before whatever is nearer.
        let is_overridden = self.chain(subject).any(|own| own.mode == Some(Mode::ReadOnlyOverride));
        if is_overridden { Mode::ReadOnlyOverride } else { self.chain(subject).find_map(|own| own.mode).unwrap_or_default() }
    }

    /// The subject that is meant: itself, or the one that it is an alias of.
    #[must_use]
    pub fn unaliased(&self, subject: &Subject) -> Subject {
        let alias = self.own.get(subject).and_then(|own| own.alias.as_deref());
        alias.and_then(|alias| resolve(alias, subject)).unwrap_or_else(|| subject.clone())
    }

    // Changes.

    /// Adds a schema, or lets it have its place again.
    pub(super) fn put_schema(&mut self, schema: Arc<Schema>) {
        let next = self.next.entry(schema.context.clone()).or_insert(1);
        *next = (*next).max(schema.id.saturating_add(1));
        self.bytes += schema.bytes();
        for reference in &schema.references {
            if let Some(key) = referred(reference, &schema.context) {
                self.referring.entry(key).or_default().insert((schema.context.clone(), schema.id));
            }
        }
        self.identities.entry((schema.context.clone(), schema.identity)).or_default().insert(schema.id);
        self.guids.entry(schema.identity.guid()).or_default().insert((schema.context.clone(), schema.id));
        let replaced = self.schemas.insert((schema.context.clone(), schema.id), schema);
        self.bytes -= replaced.map_or(0, |old| old.bytes());
    }

    pub(super) fn remove_schema(&mut self, context: &str, id: i32) {
        let Some(schema) = self.schemas.remove(&(context.to_owned(), id)) else { return };
        self.bytes -= schema.bytes();
        let identity = (context.to_owned(), schema.identity);
        forget(&mut self.identities, &identity, &id);
        let place = (context.to_owned(), id);
        forget(&mut self.guids, &schema.identity.guid(), &place);
        for reference in &schema.references {
            let Some(key) = referred(reference, context) else { continue };
            forget(&mut self.referring, &key, &place);
        }
    }

    pub(super) fn put_version(&mut self, assigned: &Assigned) {
        let subject = Subject { context: assigned.context.clone(), name: assigned.subject.clone() };
        self.remove_version(&subject, assigned.version);
        self.bytes += version_bytes(&subject);
        let holder = (subject.clone(), assigned.version);
        self.holders.entry((subject.context.clone(), assigned.id)).or_default().insert(holder);
        let assignment = Assignment { id: assigned.id, is_deleted: assigned.is_deleted };
        self.subjects.entry(subject).or_default().insert(assigned.version, assignment);
    }

    pub(super) fn remove_version(&mut self, subject: &Subject, version: i32) {
        let Some(versions) = self.subjects.get_mut(subject) else { return };
        let Some(old) = versions.remove(&version) else { return };
        self.bytes -= version_bytes(subject);
        if versions.is_empty() {
            self.subjects.remove(subject);
        }
        let key = (subject.context.clone(), old.id);
        forget(&mut self.holders, &key, &(subject.clone(), version));
    }

    pub(super) fn put_own(&mut self, scope: Subject, own: Own) {
        if let Some(old) = self.own.remove(&scope) {
            self.bytes -= own_bytes(&scope, &old);
        }
        if !own.is_empty() {
            self.bytes += own_bytes(&scope, &own);
            self.own.insert(scope, own);
        }
    }

    pub(super) fn put_next(&mut self, context: &str, next: i32) {
        let own = self.next.entry(context.to_owned()).or_insert(1);
        *own = (*own).max(next);
    }

    fn version_of(&self, subject: &Subject, version: i32, assignment: Assignment) -> Option<Version> {
        let schema = self.schema(&subject.context, assignment.id)?.clone();
        Some(Version { subject: subject.clone(), version, is_deleted: assignment.is_deleted, schema })
    }
}

/// The subject that `text` names when it is said within the context of `beside`.
pub(super) fn resolve(text: &str, beside: &Subject) -> Option<Subject> {
    if text.starts_with(":.") { Subject::parse(text) } else { Subject::parse(text).map(|subject| beside.beside(subject.name)) }
}

/// Takes `item` from the set of `key`; an empty set is not kept.
fn forget<K: Eq + Hash, T: Ord>(sets: &mut HashMap<K, BTreeSet<T>>, key: &K, item: &T) {
    if let Some(set) = sets.get_mut(key) {
        set.remove(item);
        if set.is_empty() {
            sets.remove(key);
        }
    }
}

fn referred(reference: &Reference, context: &str) -> Option<(Subject, i32)> {
    let here = Subject { context: context.to_owned(), name: String::new() };
    Some((resolve(&reference.subject, &here)?, reference.version))
}

/// What a version takes: its subject's name in two maps, and its places there.
pub(super) fn version_bytes(subject: &Subject) -> usize {
    const OVERHEAD: usize = 256;
    OVERHEAD + 2 * (subject.context.len() + subject.name.len())
}

pub(super) fn own_bytes(scope: &Subject, own: &Own) -> usize {
    const OVERHEAD: usize = 256;
    let texts = [&own.alias, &own.compatibility_group].into_iter().flatten().map(String::len).sum::<usize>();
    OVERHEAD + scope.context.len() + scope.name.len() + texts
}
