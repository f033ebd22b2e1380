//! What the three formats have in common: a text that is parsed once, asked whether it reads what another one wrote, and held against
//! values.

use super::avro::AvroSchema;
use super::json::JsonSchema;
use super::protobuf::ProtobufSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// The largest text of one schema.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// `schemaType` of the registry's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Format {
    #[default]
    Avro,
    Json,
    Protobuf,
}

/// A schema that another one refers to by `name`: an Avro full name, a JSON Schema `$ref` (as it is written there, or the URI that it
/// resolves to), a Protobuf import path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referenced {
    pub name: String,
    pub text: String,
}

/// A text is no schema, or one that is refused; says where and why.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidSchema(pub String);

/// Why a reader cannot read what a writer wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incompatibility {
    /// Confluent's name of the rule, as `TYPE_MISMATCH` or `REQUIRED_ATTRIBUTE_ADDED`.
    pub rule: &'static str,
    /// Where: a JSON pointer into the schema (Avro, JSON), or a path of names (Protobuf).
    pub path: String,
    /// For people.
    pub message: String,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueError {
    /// A JSON pointer to the place in the value; empty: the value as a whole.
    pub path: String,
    /// As "-4 is less than the minimum of 0".
    pub message: String,
}

/// A schema, parsed.
#[derive(Debug)]
pub enum Parsed {
    Avro(AvroSchema),
    Json(JsonSchema),
    Protobuf(ProtobufSchema),
}

impl Parsed {
    /// Parses `text`. `references` has everything that it needs, directly or through others, each before those that need it.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(format: Format, text: &str, references: &[Referenced]) -> Result<Parsed, InvalidSchema> {
        let parsed = match format {
            Format::Avro => Parsed::Avro(AvroSchema::parse(text, references)?),
            Format::Json => Parsed::Json(JsonSchema::parse(text, references)?),
            Format::Protobuf => Parsed::Protobuf(ProtobufSchema::parse(text, references)?),
        };
        // What is kept must be read again, and is as limited as what comes.
        if parsed.stored_text().len() > TEXT_BYTES_MAX {
            return Err(InvalidSchema(format!("written out in full, the schema has more than {TEXT_BYTES_MAX} bytes")));
        }
        Ok(parsed)
    }

    /// As [`Parsed::parse`], for a text that a registry holds: what registries took in earlier days is taken still, as defaults of Avro fields that
    /// are none of the field's type.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse_held(format: Format, text: &str, references: &[Referenced]) -> Result<Parsed, InvalidSchema> {
        match format {
            Format::Avro => AvroSchema::parse_held(text, references).map(Parsed::Avro),
            Format::Json | Format::Protobuf => Parsed::parse(format, text, references),
        }
    }

    #[must_use]
    pub fn format(&self) -> Format {
        match self {
            Parsed::Avro(_) => Format::Avro,
            Parsed::Json(_) => Format::Json,
            Parsed::Protobuf(_) => Format::Protobuf,
        }
    }

    /// The text by which two schemas are the same one: layout is gone, meaning and order are not.
    #[must_use]
    pub fn canonical(&self) -> &str {
        match self {
            Parsed::Avro(schema) => schema.canonical(),
            Parsed::Json(schema) => schema.canonical(),
            Parsed::Protobuf(schema) => schema.canonical(),
        }
    }

    /// The text that is kept and answered: a Protobuf schema's own, with its comments; else the canonical one.
    #[must_use]
    pub fn stored_text(&self) -> &str {
        match self {
            Parsed::Protobuf(schema) => schema.text(),
            Parsed::Avro(_) | Parsed::Json(_) => self.canonical(),
        }
    }

    /// As [`Parsed::canonical`], where also order without meaning is gone (`normalize=true`).
    #[must_use]
    pub fn normalized(&self) -> String {
        match self {
            Parsed::Avro(schema) => schema.normalized(),
            Parsed::Json(schema) => schema.normalized(),
            Parsed::Protobuf(schema) => schema.normalized(),
        }
    }

    /// The full name of the record or of the first message, or the title: the record name of RecordNameStrategy.
    #[must_use]
    pub fn record_name(&self) -> Option<&str> {
        match self {
            Parsed::Avro(schema) => schema.record_name(),
            Parsed::Json(schema) => schema.record_name(),
            Parsed::Protobuf(schema) => schema.record_name(),
        }
    }

    /// The full names that the Protobuf message of `value` may have, whose index it begins with; see [`ProtobufSchema::message_names`].
    #[must_use]
    pub fn message_names(&self, value: &[u8]) -> Vec<Box<str>> {
        match self {
            Parsed::Protobuf(schema) => schema.message_names(value),
            Parsed::Avro(_) | Parsed::Json(_) => Vec::new(),
        }
    }

    /// Why `self` cannot read what `writer` wrote; empty: it can.
    #[must_use]
    pub fn incompatibilities(&self, writer: &Parsed) -> Vec<Incompatibility> {
        match (self, writer) {
            (Parsed::Avro(reader), Parsed::Avro(writer)) => reader.incompatibilities(writer),
            (Parsed::Json(reader), Parsed::Json(writer)) => reader.incompatibilities(writer),
            (Parsed::Protobuf(reader), Parsed::Protobuf(writer)) => reader.incompatibilities(writer),
            _ => vec![Incompatibility {
                rule: "TYPE_MISMATCH",
                path: "/".to_owned(),
                message: format!("the schema is {}, the one before is {}", self.format(), writer.format()),
            }],
        }
    }

    /// Holds a value (what follows the five bytes of magic and id) against the schema.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check_value(&self, value: &[u8]) -> Result<(), ValueError> {
        match self {
            Parsed::Avro(schema) => schema.check_value(value),
            Parsed::Json(schema) => schema.check_value(value),
            Parsed::Protobuf(schema) => schema.check_value(value),
        }
    }

    /// Bytes of memory that it takes, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        match self {
            Parsed::Avro(schema) => schema.memory_bytes(),
            Parsed::Json(schema) => schema.memory_bytes(),
            Parsed::Protobuf(schema) => schema.memory_bytes(),
        }
    }
}

impl Format {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Format::Avro => "AVRO",
            Format::Json => "JSON",
            Format::Protobuf => "PROTOBUF",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = InvalidSchema;

    fn from_str(name: &str) -> Result<Format, InvalidSchema> {
        match name {
            "AVRO" => Ok(Format::Avro),
            "JSON" => Ok(Format::Json),
            "PROTOBUF" => Ok(Format::Protobuf),
            other => Err(InvalidSchema(format!("Invalid schema type {other}; valid are AVRO, JSON and PROTOBUF"))),
        }
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}
