//! Why the registry refuses; one variant per error code of Confluent's, whose words clients' tests look for (Errors.java).

use super::format::Incompatibility;
use super::subject::Subject;
use crate::store::StoreError;
use thiserror::Error;

#[derive(Debug, Clone, Error)]
pub enum RegistryError {
    #[error("Subject '{0}' not found.")]
    SubjectNotFound(Subject),
    #[error("Version {0} not found.")]
    VersionNotFound(i32),
    #[error("Schema not found")]
    SchemaNotFound,
    #[error("Schema {0} not found")]
    IdNotFound(i32),
    #[error("Subject '{0}' was soft deleted. Set permanent=true to delete permanently")]
    SubjectSoftDeleted(Subject),
    #[error("Subject '{0}' was not deleted first before being permanently deleted")]
    SubjectNotSoftDeleted(Subject),
    #[error("Subject '{0}' Version {1} was soft deleted. Set permanent=true to delete permanently")]
    VersionSoftDeleted(Subject, i32),
    #[error("Subject '{0}' Version {1} was not deleted first before being permanently deleted")]
    VersionNotSoftDeleted(Subject, i32),
    #[error("Subject '{0}' does not have subject-level compatibility configured")]
    NoOwnConfig(Subject),
    #[error("Subject '{0}' does not have subject-level mode configured")]
    NoOwnMode(Subject),
    #[error("Schema being registered is incompatible with an earlier schema for subject \"{subject}\", details: [{}]", details(.conflicts))]
    Incompatible { subject: Subject, conflicts: Vec<Incompatibility> },
    #[error("{0}")]
    InvalidSchema(String),
    #[error("{0}")]
    NotPermitted(String),
    #[error("One or more references exist to the schema {{magic=1,keytype=SCHEMA,subject={0},version={1}}}.")]
    Referenced(Subject, i32),
    /// A bound of the registry; says which.
    #[error("{0}")]
    Full(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn details(conflicts: &[Incompatibility]) -> String {
    conflicts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl std::fmt::Display for Incompatibility {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{{errorType:'{}', description:'{}', path:'{}'}}", self.rule, self.message, self.path)
    }
}
