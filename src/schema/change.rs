//! One change of what is registered: how it is stored, and what it does to the state.

use super::state::State;
use super::stored::{Assigned, NextRecord, Own, OwnRecord, Schema, id_key, next_key, settings_key, version_key};
use super::subject::Subject;
use crate::store::MetaChange;
use crate::store::json::put;
use std::sync::Arc;

/// One change of the state.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Schema(Schema),
    NoSchema(String, i32),
    Version(Assigned),
    NoVersion(Subject, i32),
    Own(Subject, Own),
    Next(NextRecord),
}

impl Change {
    pub(super) fn stored(&self) -> MetaChange {
        match self {
            Change::Schema(schema) => put(id_key(&schema.context, schema.id), schema),
            Change::NoSchema(context, id) => MetaChange { key: id_key(context, *id), value: None },
            Change::Version(assigned) => {
                let subject = Subject { context: assigned.context.clone(), name: assigned.subject.clone() };
                put(version_key(&subject, assigned.version), assigned)
            }
            Change::NoVersion(subject, version) => MetaChange { key: version_key(subject, *version), value: None },
            Change::Own(scope, own) if own.is_empty() => MetaChange { key: settings_key(scope), value: None },
            Change::Own(scope, own) => {
                let record = OwnRecord { context: scope.context.clone(), subject: scope.name.clone(), own: own.clone() };
                put(settings_key(scope), &record)
            }
            Change::Next(next) => put(next_key(&next.context), next),
        }
    }

    pub(super) fn apply(self, state: &mut State) {
        match self {
            Change::Schema(schema) => state.put_schema(Arc::new(schema)),
            Change::NoSchema(context, id) => state.remove_schema(&context, id),
            Change::Version(assigned) => state.put_version(&assigned),
            Change::NoVersion(subject, version) => state.remove_version(&subject, version),
            Change::Own(scope, own) => state.put_own(scope, own),
            Change::Next(next) => state.put_next(&next.context, next.next),
        }
    }
}

/// A version's record.
pub(super) fn assigned(subject: &Subject, version: i32, id: i32, is_deleted: bool) -> Assigned {
    Assigned { context: subject.context.clone(), subject: subject.name.clone(), version, id, is_deleted }
}
