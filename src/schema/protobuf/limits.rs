//! How large a schema may be. The library that resolves names keeps every full name, compares every field with every reserved range and
//! walks lists where a map would do: what is small enough here costs it well below a second, whoever wrote it.

use crate::schema::format::InvalidSchema;
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, UninterpretedOption};

/// Bytes of one text, as it is registered.
pub(super) const TEXT_BYTES_MAX: usize = 1 << 20;

/// Bytes of a text that is printed from a descriptor: names are written in full there, so it is longer than its source.
pub(super) const PRINTED_BYTES_MAX: usize = 8 << 20;

/// Bytes of a schema and of all that it imports.
const ALL_BYTES_MAX: usize = 16 << 20;

/// Files that a schema imports, directly or not.
pub(super) const FILES_MAX: usize = 200;

/// How deep braces, brackets and parentheses nest: option values are parsed by recursion, without a limit of their own.
pub(super) const NESTING_MAX: usize = 64;

/// Messages, fields, enums, values, services and methods of all files.
const DEFINITIONS_MAX: usize = 20_000;

/// Bytes of a full name, as `package.Outer.Inner.field`.
const NAME_BYTES_MAX: usize = 512;

/// Reserved and extension ranges of one message or enum.
const RANGES_MAX: usize = 1_000;

/// Fields of one oneof: whoever sets one of them visits all the others.
const ONEOF_FIELDS_MAX: usize = 500;

/// Extensions (custom options) of all files: they are looked up one by one.
const EXTENSIONS_MAX: usize = 500;

/// Options of all files.
const OPTIONS_MAX: usize = 20_000;

/// Bytes of the option values in braces, of all files.
const AGGREGATE_BYTES_MAX: usize = 256 << 10;

/// What the files of one schema used up so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Budget {
    bytes: usize,
    definitions: usize,
    extensions: usize,
    options: usize,
    aggregate_bytes: usize,
}

impl Budget {
    /// Counts the bytes of one more file.
    pub(super) fn charge_bytes(&mut self, bytes: usize) -> Result<(), InvalidSchema> {
        spend(&mut self.bytes, bytes, ALL_BYTES_MAX, "bytes")
    }

    /// Counts what one more file defines, and refuses ranges and options that no file may have.
    pub(super) fn charge(&mut self, file: &FileDescriptorProto) -> Result<(), InvalidSchema> {
        let package = lengthened(0, file.package())?;
        self.options(file.options.as_ref().map(|options| options.uninterpreted_option.as_slice()))?;
        for message in &file.message_type {
            self.message(message, package)?;
        }
        for enumeration in &file.enum_type {
            self.enumeration(enumeration, package)?;
        }
        for extension in &file.extension {
            self.extension(extension, package)?;
        }
        for service in &file.service {
            let name = self.define(package, service.name())?;
            self.options(service.options.as_ref().map(|options| options.uninterpreted_option.as_slice()))?;
            for method in &service.method {
                self.define(name, method.name())?;
                self.options(method.options.as_ref().map(|options| options.uninterpreted_option.as_slice()))?;
            }
        }
        Ok(())
    }

    /// Recursion: the parser bounds how deep messages nest (31).
    fn message(&mut self, message: &DescriptorProto, outer: usize) -> Result<(), InvalidSchema> {
        let name = self.define(outer, message.name())?;
        let options = message.options.as_ref().map(|options| options.uninterpreted_option.as_slice());
        if options.unwrap_or_default().iter().any(is_map_entry) {
            // protoc refuses it too: only a map field makes such a message, and it always has a key and a value then.
            return Err(InvalidSchema(format!("message {}: option map_entry cannot be set, use map<…>", message.name())));
        }
        self.options(options)?;
        let mut oneof_fields = vec![0_usize; message.oneof_decl.len()];
        for field in &message.field {
            self.field(field, name)?;
            let oneof = field.oneof_index.and_then(|index| usize::try_from(index).ok());
            if let Some(fields) = oneof.and_then(|index| oneof_fields.get_mut(index)) {
                spend(fields, 1, ONEOF_FIELDS_MAX, "fields in one oneof")?;
            }
        }
        for oneof in &message.oneof_decl {
            self.define(name, oneof.name())?;
            self.options(oneof.options.as_ref().map(|options| options.uninterpreted_option.as_slice()))?;
        }
        for extension in &message.extension {
            self.extension(extension, name)?;
        }
        for nested in &message.nested_type {
            self.message(nested, name)?;
        }
        for enumeration in &message.enum_type {
            self.enumeration(enumeration, name)?;
        }
        let mut ranges = Vec::new();
        for range in &message.reserved_range {
            ranges.push((i64::from(range.start()), i64::from(range.end())));
        }
        for range in &message.extension_range {
            ranges.push((i64::from(range.start()), i64::from(range.end())));
            self.options(range.options.as_ref().map(|options| options.uninterpreted_option.as_slice()))?;
        }
        check_ranges(message.name(), ranges)
    }

    fn enumeration(&mut self, enumeration: &EnumDescriptorProto, outer: usize) -> Result<(), InvalidSchema> {
        self.define(outer, enumeration.name())?;
        self.options(enumeration.options.as_ref().map(|options| options.uninterpreted_option.as_slice()))?;
        for value in &enumeration.value {
            // Values are named beside their enum, not inside it.
            self.define(outer, value.name())?;
            self.options(value.options.as_ref().map(|options| options.uninterpreted_option.as_slice()))?;
        }
        // Ranges of enums include their end, those of messages do not.
        let ranges =
            enumeration.reserved_range.iter().map(|range| (i64::from(range.start()), i64::from(range.end()) + 1)).collect();
        check_ranges(enumeration.name(), ranges)
    }

    fn extension(&mut self, extension: &FieldDescriptorProto, outer: usize) -> Result<(), InvalidSchema> {
        spend(&mut self.extensions, 1, EXTENSIONS_MAX, "extensions")?;
        lengthened(0, extension.extendee())?;
        self.field(extension, outer)
    }

    fn field(&mut self, field: &FieldDescriptorProto, outer: usize) -> Result<(), InvalidSchema> {
        self.define(outer, field.name())?;
        lengthened(0, field.type_name())?;
        self.options(field.options.as_ref().map(|options| options.uninterpreted_option.as_slice()))
    }

    /// Counts one definition; answers the bytes of its full name.
    fn define(&mut self, outer: usize, name: &str) -> Result<usize, InvalidSchema> {
        spend(&mut self.definitions, 1, DEFINITIONS_MAX, "definitions")?;
        lengthened(outer, name)
    }

    fn options(&mut self, options: Option<&[UninterpretedOption]>) -> Result<(), InvalidSchema> {
        for option in options.unwrap_or_default() {
            spend(&mut self.options, 1, OPTIONS_MAX, "options")?;
            let aggregate_bytes = option.aggregate_value().len();
            spend(&mut self.aggregate_bytes, aggregate_bytes, AGGREGATE_BYTES_MAX, "bytes of option values in braces")?;
        }
        Ok(())
    }
}

fn is_map_entry(option: &UninterpretedOption) -> bool {
    matches!(option.name.as_slice(), [part] if part.name_part == "map_entry" && !part.is_extension)
}

fn lengthened(outer: usize, name: &str) -> Result<usize, InvalidSchema> {
    let bytes = outer + usize::from(outer > 0) + name.len();
    if bytes > NAME_BYTES_MAX {
        let shown: String = name.chars().take(40).collect();
        return Err(InvalidSchema(format!("a name ending in {shown:?}… has {bytes} bytes, more than {NAME_BYTES_MAX}")));
    }
    Ok(bytes)
}

/// Ranges, each without its end, may not overlap: neither does protoc allow it.
fn check_ranges(name: &str, mut ranges: Vec<(i64, i64)>) -> Result<(), InvalidSchema> {
    if ranges.len() > RANGES_MAX {
        return Err(InvalidSchema(format!("{name} has {} reserved and extension ranges, more than {RANGES_MAX}", ranges.len())));
    }
    ranges.sort_unstable();
    let mut last_end = i64::MIN;
    for (start, end) in ranges {
        if end <= start || start < last_end {
            return Err(InvalidSchema(format!("{name}: the range from {start} to {} is empty or overlaps another one", end - 1)));
        }
        last_end = end;
    }
    Ok(())
}

fn spend(spent: &mut usize, amount: usize, most: usize, what: &str) -> Result<(), InvalidSchema> {
    *spent = spent.saturating_add(amount);
    if *spent > most {
        return Err(InvalidSchema(format!("the schema, with what it imports, has more than {most} {what}")));
    }
    Ok(())
}
