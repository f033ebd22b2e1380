//! Protobuf schemas: read from .proto texts or from descriptors in base64, printed in one form, compared by Confluent's rules, held against
//! values.
//!
//! | file | what it is about |
//! | --- | --- |
//! | `source` | one text: parsed, or decoded |
//! | `limits` | how large it may be |
//! | `imports`, `well_known` | what it needs |
//! | `library` | names resolved |
//! | `node`, `print`, `print_message`, `print_options`, `literal` | the text of a descriptor |
//! | `types` | messages and fields in tables, for the two that follow |
//! | `compatibility` | one schema against another |
//! | `value`, `wire` | values against a message |

mod compatibility;
mod imports;
mod library;
mod limits;
mod literal;
mod node;
mod print;
mod print_message;
mod print_options;
mod source;
#[cfg(test)]
mod tests;
mod types;
mod value;
mod well_known;
mod wire;

use super::format::{Incompatibility, InvalidSchema, Referenced, ValueError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use library::Library;
use limits::Budget;
use print::{Order, print};
use prost::Message;
use prost_reflect::Value;
use source::Source;
use types::Types;

/// What a schema is called where it does not say.
const DEFAULT_NAME: &str = "default.proto";

/// A .proto file, its names resolved.
#[derive(Debug)]
pub struct ProtobufSchema {
    text: String,
    canonical: String,
    /// `None`: as `canonical`.
    normalized: Option<String>,
    /// A serialized `google.protobuf.FileDescriptorProto`.
    descriptor: Vec<u8>,
    types: Types,
}

impl ProtobufSchema {
    /// Parses `text`: .proto source (proto2 or proto3), or the base64 of a serialized `FileDescriptorProto`.
    ///
    /// `references` by the paths that import statements have. Files of `google/protobuf/`, the common ones of `google/type/` and
    /// Confluent's own need no reference. Nothing is read from disk or network.
    ///
    /// # Errors
    /// It is no valid schema, an import is not found, or a limit is passed (see `limits`).
    pub fn parse(text: &str, references: &[Referenced]) -> Result<ProtobufSchema, InvalidSchema> {
        let source = Source::read(DEFAULT_NAME, text)?;
        let imports = imports::collect(DEFAULT_NAME, source.file(), references)?;
        // A descriptor brings its own name. It is kept, but nothing is found by it.
        let own_name = match &source {
            Source::Encoded { file, .. } if !file.name().is_empty() => file.name().to_owned(),
            _ => DEFAULT_NAME.to_owned(),
        };
        let mut name = DEFAULT_NAME.to_owned();
        while imports.iter().any(|import| import.name == name) {
            name.insert(0, '_');
        }
        let mut budget = Budget::default();
        let mut library = Library::new()?;
        for import in imports {
            let (_, file) = library.read(&import.name, import.source, &mut budget)?;
            library.add(&import.name, file)?;
        }
        let (text, file) = library.read(&name, source, &mut budget)?;
        library.add(&name, file.clone())?;
        let mut descriptor = library.resolved(&name, &file)?;
        descriptor.set_field_by_name("name", Value::String(own_name));
        let canonical = print(&descriptor, Order::AsWritten)?;
        let normalized = print(&descriptor, Order::Normalized)?;
        Ok(ProtobufSchema {
            text,
            normalized: Some(normalized).filter(|normalized| *normalized != canonical),
            canonical,
            descriptor: descriptor.encode_to_vec(),
            types: Types::of(&library.file(&name)?),
        })
    }

    /// The .proto text: as it was given, or printed if a descriptor was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text in our form: two schemas are the same one if it is equal.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// As [`ProtobufSchema::canonical`], with imports and reserved names sorted by name, fields and ranges by number.
    #[must_use]
    pub fn normalized(&self) -> String {
        self.normalized.as_ref().unwrap_or(&self.canonical).clone()
    }

    /// The full name of the first message.
    #[must_use]
    pub fn record_name(&self) -> Option<&str> {
        self.types.roots().first().map(|id| &*self.types.message(*id).full_name)
    }

    /// The full names that the message of a value may have: `value` begins with its index. Two where clients count differently, none where it leads
    /// nowhere.
    #[must_use]
    pub fn message_names(&self, value: &[u8]) -> Vec<Box<str>> {
        value::message_names(&self.types, value)
    }

    /// Why `self` cannot read what `writer` wrote; empty: it can. At most 100 are told.
    #[must_use]
    pub fn incompatibilities(&self, writer: &ProtobufSchema) -> Vec<Incompatibility> {
        compatibility::incompatibilities(&self.types, &writer.types)
    }

    /// Holds a value against the schema: a message index, then the bytes of the message.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check_value(&self, value: &[u8]) -> Result<(), ValueError> {
        value::check(&self.types, value)
    }

    /// Bytes of memory that it takes, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let normalized = self.normalized.as_ref().map_or(0, String::capacity);
        size_of::<ProtobufSchema>()
            + self.text.capacity()
            + self.canonical.capacity()
            + normalized
            + self.descriptor.capacity()
            + self.types.memory_bytes()
    }

    /// The base64 of the serialized `FileDescriptorProto`: what `GET /schemas/ids/{id}?format=serialized` answers.
    #[must_use]
    pub fn serialized(&self) -> String {
        STANDARD.encode(&self.descriptor)
    }
}
