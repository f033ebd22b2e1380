//! Avro: texts as Java's `Schema.Parser` takes them, compared as Java's `SchemaCompatibility` does, and values held against them.
//!
//! A text becomes a flat tree (`tree.rs`) in which every named type stands once, and a canonical text, in one pass (`parse.rs`, `canonical.rs`).
//! `apache_avro` is not used here, only in tests, to write values. As a gate it would be wrong both ways: it copies a type once per alias (1 MiB
//! of text can take gigabytes), finds names of references in the order of a hash map, refuses an array that carries a known logical type, and
//! takes a fixed's default of any length.

mod canonical;
mod compatibility;
mod defaults;
mod names;
mod normal;
mod parse;
mod report;
#[cfg(test)]
mod tests;
mod tree;
mod value;

use super::format::{Incompatibility, InvalidSchema, Referenced, ValueError};
use parse::Defaults;
use tree::Tree;

/// An Avro schema, with the types of its references.
#[derive(Debug)]
pub struct AvroSchema {
    tree: Tree,
    canonical: String,
}

impl AvroSchema {
    /// Parses `text`; names that it does not define itself come from `references`, each before those that need it.
    ///
    /// # Errors
    /// What is wrong with the text, or with that of a reference.
    pub fn parse(text: &str, references: &[Referenced]) -> Result<AvroSchema, InvalidSchema> {
        let (tree, canonical) = parse::parse(text, references, Defaults::Checked)?;
        Ok(AvroSchema { tree, canonical })
    }

    /// As [`AvroSchema::parse`], but defaults may be anything: Java, and with it Confluent's registry, did not always check them.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse_held(text: &str, references: &[Referenced]) -> Result<AvroSchema, InvalidSchema> {
        let (tree, canonical) = parse::parse(text, references, Defaults::Trusted)?;
        Ok(AvroSchema { tree, canonical })
    }

    /// The text as Java's `Schema.toString()` gives it; types of references are there by name only.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// As [`AvroSchema::canonical`], with properties in alphabetical order.
    #[must_use]
    pub fn normalized(&self) -> String {
        normal::normalized(&self.canonical)
    }

    /// The full name of the record, enum or fixed that the schema is.
    #[must_use]
    pub fn record_name(&self) -> Option<&str> {
        self.tree.node(self.tree.root()).named().map(|named| named.name.full())
    }

    /// Why `self` cannot read what `writer` wrote; empty: it can.
    #[must_use]
    pub fn incompatibilities(&self, writer: &AvroSchema) -> Vec<Incompatibility> {
        compatibility::incompatibilities(&self.tree, &writer.tree)
    }

    /// Holds a value in Avro's binary encoding against the schema.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check_value(&self, value: &[u8]) -> Result<(), ValueError> {
        value::check(&self.tree, value)
    }

    /// Bytes of memory that it takes, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<AvroSchema>() + self.canonical.capacity() + self.tree.memory_bytes()
    }
}
