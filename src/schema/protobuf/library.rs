//! Files with their names resolved.

use super::imports;
use super::limits::Budget;
use super::print::{Order, print};
use super::source::{self, Source, clipped};
use crate::schema::format::InvalidSchema;
use prost_reflect::{DescriptorPool, DynamicMessage, FileDescriptor, Value};
use prost_types::FileDescriptorProto;
use std::collections::{HashMap, HashSet};

/// The options of every file are resolved with it.
const DESCRIPTOR_FILE: &str = "google/protobuf/descriptor.proto";

/// Grows file by file; each file is added after those that it imports.
#[derive(Clone)]
pub(super) struct Library {
    pool: DescriptorPool,
    /// What importers of a file see besides it: its public imports, theirs, and so on.
    public: HashMap<String, Vec<String>>,
}

impl Library {
    pub(super) fn new() -> Result<Library, InvalidSchema> {
        let mut library = Library { pool: DescriptorPool::new(), public: HashMap::new() };
        let descriptor = imports::google(DESCRIPTOR_FILE).ok_or_else(|| missing(DESCRIPTOR_FILE))?;
        library.add(DESCRIPTOR_FILE, descriptor)?;
        Ok(library)
    }

    /// The .proto text of a file, and what it says; names are not resolved yet.
    ///
    /// A descriptor is printed and then parsed as a text would be: so it can say nothing that a text could not say, and the library, which
    /// takes much for granted in descriptors, sees only those that it made itself.
    pub(super) fn read(
        &self,
        name: &str,
        source: Source,
        budget: &mut Budget,
    ) -> Result<(String, FileDescriptorProto), InvalidSchema> {
        match source {
            Source::Known(file) => Ok((String::new(), file)),
            Source::Text { text, file } => {
                budget.charge_bytes(text.len())?;
                budget.charge(&file)?;
                Ok((text, file))
            }
            Source::Encoded { bytes, .. } => {
                let before = budget.clone();
                let (text, file) = self.read_encoded(name, &bytes, budget)?;
                if !text.contains("extend .") {
                    return Ok((text, file));
                }
                // Options of types that the file itself defines can be read only now that they are known.
                let mut richer = self.clone();
                richer.add(name, file)?;
                *budget = before;
                richer.read_encoded(name, &bytes, budget)
            }
        }
    }

    fn read_encoded(
        &self,
        name: &str,
        bytes: &[u8],
        budget: &mut Budget,
    ) -> Result<(String, FileDescriptorProto), InvalidSchema> {
        let text = print(&self.decode(name, bytes)?, Order::AsWritten)?;
        budget.charge_bytes(text.len())?;
        let file = source::parse(name, &text)?;
        budget.charge(&file)?;
        Ok((text, file))
    }

    /// Adds a file and resolves its names.
    pub(super) fn add(&mut self, name: &str, mut file: FileDescriptorProto) -> Result<(), InvalidSchema> {
        // Each file lists all that it sees. Left to itself the library follows public imports only one step, and some of them more
        // often than it could ever finish.
        let written = file.dependency.clone();
        let mut seen: HashSet<String> = written.iter().cloned().collect();
        for dependency in &written {
            for public in self.public.get(dependency).map(Vec::as_slice).unwrap_or_default() {
                if seen.insert(public.clone()) {
                    file.dependency.push(public.clone());
                }
            }
        }
        let public = self.public_of(&file, &written);
        file.public_dependency.clear();
        file.name = Some(name.to_owned());
        // Places of errors cost the library one walk through all of them per option.
        file.source_code_info = None;
        self.pool
            .add_file_descriptor_proto(file)
            .map_err(|error| InvalidSchema(clipped(&format!("{}: {error}", error.file().unwrap_or(name)))))?;
        self.public.insert(name.to_owned(), public);
        Ok(())
    }

    fn public_of(&self, file: &FileDescriptorProto, written: &[String]) -> Vec<String> {
        let mut public = Vec::new();
        let mut seen = HashSet::new();
        for index in &file.public_dependency {
            let Some(dependency) = usize::try_from(*index).ok().and_then(|index| written.get(index)) else { continue };
            let beyond = self.public.get(dependency).map(Vec::as_slice).unwrap_or_default();
            for name in std::iter::once(dependency).chain(beyond) {
                if seen.insert(name) {
                    public.push(name.clone());
                }
            }
        }
        public
    }

    pub(super) fn file(&self, name: &str) -> Result<FileDescriptor, InvalidSchema> {
        self.pool.get_file_by_name(name).ok_or_else(|| missing(name))
    }

    /// The descriptor of a file that was added: names resolved, imports as they were `written`, custom options included.
    pub(super) fn resolved(&self, name: &str, written: &FileDescriptorProto) -> Result<DynamicMessage, InvalidSchema> {
        let mut file = self.decode(name, &self.file(name)?.encode_to_vec())?;
        file.set_field_by_name("dependency", Value::List(written.dependency.iter().cloned().map(Value::String).collect()));
        file.set_field_by_name(
            "public_dependency",
            Value::List(written.public_dependency.iter().copied().map(Value::I32).collect()),
        );
        Ok(file)
    }

    /// A serialized `FileDescriptorProto`, its options with the extensions that are known here.
    fn decode(&self, name: &str, bytes: &[u8]) -> Result<DynamicMessage, InvalidSchema> {
        let descriptor = self
            .pool
            .get_message_by_name("google.protobuf.FileDescriptorProto")
            .ok_or_else(|| missing("google.protobuf.FileDescriptorProto"))?;
        DynamicMessage::decode(descriptor, bytes)
            .map_err(|error| InvalidSchema(clipped(&format!("{name}: the descriptor cannot be read: {error}"))))
    }
}

fn missing(name: &str) -> InvalidSchema {
    InvalidSchema(clipped(&format!("{name} is not known")))
}
