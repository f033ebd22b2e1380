//! What a schema imports, directly or not. Nothing is read from disk or network: an import is a reference that was given, or one of the
//! files that every client has.

use super::limits::FILES_MAX;
use super::source::{Source, clipped};
use super::well_known;
use crate::schema::format::{InvalidSchema, Referenced};
use prost_types::FileDescriptorProto;
use protox::file::{FileResolver, GoogleFileResolver};
use std::collections::{HashMap, HashSet};

#[derive(Debug)]
pub(super) struct Import {
    /// As it stands in the import statement.
    pub(super) name: String,
    pub(super) source: Source,
}

/// A file whose imports are being collected.
struct Open {
    import: Import,
    dependencies: Vec<String>,
    next: usize,
}

enum State {
    Open,
    Done,
}

/// All files that `main` needs, each before those that import it.
///
/// # Errors
/// An import is not found, is listed twice or imports itself through others; a file is no schema; there are too many.
pub(super) fn collect(
    main_name: &str,
    main: &FileDescriptorProto,
    references: &[Referenced],
) -> Result<Vec<Import>, InvalidSchema> {
    let mut done = Vec::new();
    let mut states: HashMap<String, State> = HashMap::new();
    for name in dependencies(main_name, main)? {
        if states.contains_key(&name) {
            continue;
        }
        // Depth first, with a stack of our own: a chain of references may be as long as there are files.
        let mut stack = vec![open(&name, main_name, references, &mut states)?];
        while let Some(top) = stack.last_mut() {
            let Some(wanted) = top.dependencies.get(top.next).cloned() else {
                if let Some(finished) = stack.pop() {
                    states.insert(finished.import.name.clone(), State::Done);
                    done.push(finished.import);
                }
                continue;
            };
            top.next += 1;
            match states.get(&wanted) {
                Some(State::Done) => {}
                Some(State::Open) => {
                    let chain: Vec<&str> = stack.iter().map(|open| open.import.name.as_str()).collect();
                    return Err(InvalidSchema(clipped(&format!("imports go in a circle: {} -> {wanted}", chain.join(" -> ")))));
                }
                None => {
                    let importer = top.import.name.clone();
                    stack.push(open(&wanted, &importer, references, &mut states)?);
                }
            }
        }
    }
    Ok(done)
}

fn open(
    name: &str,
    importer: &str,
    references: &[Referenced],
    states: &mut HashMap<String, State>,
) -> Result<Open, InvalidSchema> {
    if states.len() >= FILES_MAX {
        return Err(InvalidSchema(format!("the schema imports more than {FILES_MAX} files")));
    }
    states.insert(name.to_owned(), State::Open);
    let source = find(name, references)?.ok_or_else(|| {
        InvalidSchema(clipped(&format!("{importer}: import {name:?} is not found; add a reference with this name")))
    })?;
    let dependencies = dependencies(name, source.file())?;
    Ok(Open { import: Import { name: name.to_owned(), source }, dependencies, next: 0 })
}

fn find(name: &str, references: &[Referenced]) -> Result<Option<Source>, InvalidSchema> {
    // Options are resolved with these types: nobody may bring others under their names.
    if let Some(file) = google(name) {
        return Ok(Some(Source::Known(file)));
    }
    if let Some(reference) = references.iter().find(|reference| reference.name == name) {
        return Source::read(name, &reference.text).map(Some);
    }
    well_known::text(name).map(|text| Source::read(name, text)).transpose()
}

/// A file of `google/protobuf/`.
pub(super) fn google(name: &str) -> Option<FileDescriptorProto> {
    GoogleFileResolver::new().open_file(name).ok().map(FileDescriptorProto::from)
}

fn dependencies(name: &str, file: &FileDescriptorProto) -> Result<Vec<String>, InvalidSchema> {
    let mut seen = HashSet::new();
    for dependency in &file.dependency {
        if !seen.insert(dependency.as_str()) {
            return Err(InvalidSchema(clipped(&format!("{name}: {dependency:?} is imported twice"))));
        }
    }
    Ok(file.dependency.clone())
}
