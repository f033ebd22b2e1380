//! What a schema refers to, found and put in order: each text before those that need it.

use super::error::RegistryError;
use super::format::Referenced;
use super::state::{Deleted, State, resolve};
use super::stored::Reference;
use super::subject::Subject;
use std::collections::HashSet;

/// Bounds of what one schema may pull in.
const REFERENCES_MAX: usize = 1000;
const REFERENCED_BYTES_MAX: usize = 4 << 20;
const DEPTH_MAX: usize = 64;

/// References with the versions that "latest" means now, of those that are `deleted` or not.
///
/// # Errors
/// [`RegistryError::InvalidSchema`] names the first one that does not exist.
pub(super) fn pinned(
    state: &State,
    subject: &Subject,
    references: &[Reference],
    deleted: Deleted,
) -> Result<Vec<Reference>, RegistryError> {
    let pin = |reference: &Reference| {
        let found = find(state, subject, reference, deleted)?;
        Ok(Reference { version: found.version, ..reference.clone() })
    };
    references.iter().map(pin).collect()
}

/// The texts of all that `references` name, directly or through others.
///
/// # Errors
/// [`RegistryError::InvalidSchema`] when one does not exist, or all of them are too much.
pub(super) fn texts(state: &State, subject: &Subject, references: &[Reference]) -> Result<Vec<Referenced>, RegistryError> {
    let mut walk = Walk { state, found: Vec::new(), seen: HashSet::new(), bytes: 0 };
    walk.add(subject, references, 0)?;
    Ok(walk.found)
}

struct Walk<'a> {
    state: &'a State,
    found: Vec<Referenced>,
    seen: HashSet<String>,
    bytes: usize,
}

impl Walk<'_> {
    fn add(&mut self, beside: &Subject, references: &[Reference], depth: usize) -> Result<(), RegistryError> {
        for reference in references {
            if !self.seen.insert(reference.name.clone()) {
                continue;
            }
            // Deleted ones are read all the same: whoever refers to them was there before.
            let version = find(self.state, beside, reference, Deleted::Included)?;
            self.bytes += version.schema.text.len();
            if self.seen.len() > REFERENCES_MAX || self.bytes > REFERENCED_BYTES_MAX || depth > DEPTH_MAX {
                return Err(RegistryError::InvalidSchema(format!(
                    "the schema refers to too much: at most {REFERENCES_MAX} schemas of {REFERENCED_BYTES_MAX} bytes, {DEPTH_MAX} deep"
                )));
            }
            self.add(&version.subject, &version.schema.references, depth + 1)?;
            self.found.push(Referenced { name: reference.name.clone(), text: version.schema.text.to_string() });
        }
        Ok(())
    }
}

fn find(
    state: &State,
    beside: &Subject,
    reference: &Reference,
    deleted: Deleted,
) -> Result<super::state::Version, RegistryError> {
    let found = resolve(&reference.subject, beside).and_then(|subject| match reference.version {
        // What is deleted is the latest of nothing, whoever asks (AbstractSchemaRegistry.get).
        -1 => state.latest(&subject, Deleted::Hidden),
        version => state.version(&subject, version, deleted),
    });
    found.ok_or_else(|| {
        RegistryError::InvalidSchema(format!(
            "No schema reference found for subject \"{}\" and version {}",
            reference.subject, reference.version
        ))
    })
}
