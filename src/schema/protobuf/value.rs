//! Holds a value against a message: every tag, length, number and text is looked at, nothing is built.
//!
//! A value begins with the index of its message in the schema, then come the bytes of the message
//! (docs.confluent.io, "Wire format": Protobuf). Fields that the message does not have may be there, as readers skip them; extensions count
//! as such. So do constants that an enum does not have.

use super::types::{Counting, Field, Kind, Label, MessageId, Types};
use super::wire::{Fault, Reader, WireType};
use crate::schema::format::ValueError;

/// How deep messages and groups may nest: as in the parsers of C++ and Java.
const DEPTH_MAX: usize = 100;

/// How long a message index may be: schemas nest less deep.
const INDEXES_MAX: usize = 32;

/// What is wrong, and where.
struct Problem {
    message: String,
    /// From the inside to the outside.
    path: Vec<String>,
}

struct Walk<'a> {
    types: &'a Types,
    reader: Reader<'a>,
}

/// Which required fields were seen, by their place among them.
struct Seen {
    count: usize,
    first: u64,
    /// Those after the first 64.
    more: Vec<bool>,
}

/// The full names that the message may have of which what follows magic and schema id is.
pub(super) fn message_names(types: &Types, value: &[u8]) -> Vec<Box<str>> {
    let mut indexes = [0; INDEXES_MAX];
    let Ok(indexes) = message_indexes(&mut Reader::new(value), &mut indexes) else { return Vec::new() };
    let found = [Counting::All, Counting::Written].into_iter().filter_map(|counting| types.at(indexes, counting).ok());
    let mut names: Vec<Box<str>> = found.map(|id| types.message(id).full_name.clone()).collect();
    names.dedup();
    names
}

/// Checks what follows magic and schema id.
///
/// # Errors
/// The first thing that is wrong.
pub(super) fn check(types: &Types, value: &[u8]) -> Result<(), ValueError> {
    let mut reader = Reader::new(value);
    let mut indexes = [0; INDEXES_MAX];
    let indexes = message_indexes(&mut reader, &mut indexes).map_err(|message| ValueError { path: String::new(), message })?;
    let counted = types.at(indexes, Counting::All);
    let written = types.at(indexes, Counting::Written);
    // Clients count differently, so where both counts lead to a message the value may be either.
    let (first, second) = match (counted, written) {
        (Ok(first), Ok(second)) => (first, Some(second).filter(|second| *second != first)),
        (Ok(only), Err(_)) | (Err(_), Ok(only)) => (only, None),
        (Err(message), Err(_)) => return Err(ValueError { path: String::new(), message }),
    };
    let Err(problem) = check_message(types, first, reader.clone()) else { return Ok(()) };
    if let Some(second) = second
        && check_message(types, second, reader).is_ok()
    {
        return Ok(());
    }
    Err(problem.into_error())
}

fn check_message(types: &Types, id: MessageId, reader: Reader<'_>) -> Result<(), Problem> {
    Walk { types, reader }.message(id, None, DEPTH_MAX)
}

/// A count and as many indexes; a count of zero stands for `[0]`, the first message.
fn message_indexes<'i>(reader: &mut Reader<'_>, indexes: &'i mut [usize; INDEXES_MAX]) -> Result<&'i [usize], String> {
    let count = index(reader)?;
    let wanted = indexes
        .get_mut(..count.max(1))
        .ok_or_else(|| format!("the message index has {count} levels, more than {INDEXES_MAX}"))?;
    if count > 0 {
        for place in wanted.iter_mut() {
            *place = index(reader)?;
        }
    }
    Ok(wanted)
}

fn index(reader: &mut Reader<'_>) -> Result<usize, String> {
    let number = reader.zigzag().map_err(|fault| format!("the message index cannot be read: {fault}"))?;
    usize::try_from(number).map_err(|_| format!("the message index has a negative number, {number}"))
}

impl Walk<'_> {
    /// Checks fields up to the end of the message, or of the group with number `group`.
    fn message(&mut self, id: MessageId, group: Option<u32>, depth_left: usize) -> Result<(), Problem> {
        let Some(depth_left) = depth_left.checked_sub(1) else {
            return Err(self.problem(format!("messages nest more than {DEPTH_MAX} deep")));
        };
        let types = self.types;
        let message = types.message(id);
        let mut seen = Seen::new(message.required);
        let start = self.reader.position();
        loop {
            if self.reader.is_at_end() {
                if group.is_some() {
                    return Err(self.problem("a group has no end"));
                }
                break;
            }
            let field_start = self.reader.position();
            let (number, wire_type) = self.reader.tag().map_err(|fault| self.problem(fault))?;
            if wire_type == WireType::GroupEnd {
                if group == Some(number) {
                    break;
                }
                return Err(self.problem(format!("the group {number} ends here, but did not begin")));
            }
            let Some(field) = message.field(number) else {
                self.reader.skip_field(number, wire_type, depth_left).map_err(|fault| self.problem(fault))?;
                continue;
            };
            if let Err(problem) = self.field(field, wire_type, depth_left) {
                return Err(problem.inside(field, || self.occurrences(number, start, field_start)));
            }
            if let Label::Required(place) = field.label {
                seen.mark(place);
            }
        }
        if seen.count == message.required {
            return Ok(());
        }
        match message.fields.iter().find(|field| matches!(field.label, Label::Required(place) if !seen.has(place))) {
            Some(field) => {
                let message = format!("the required field is missing in {}", message.full_name);
                Err(Problem { message, path: vec![field.name.to_string()] })
            }
            None => Ok(()),
        }
    }

    fn field(&mut self, field: &Field, wire_type: WireType, depth_left: usize) -> Result<(), Problem> {
        let expected = wire_type_of(field.kind);
        if wire_type == expected {
            return self.single(field, depth_left);
        }
        // Readers take repeated numbers packed and one by one, however the schema says that they are written.
        if wire_type == WireType::Length && field.label == Label::Repeated {
            match expected {
                WireType::Varint => return self.packed_varints(),
                WireType::Fixed64 => return self.packed_fixed(8),
                WireType::Fixed32 => return self.packed_fixed(4),
                _ => {}
            }
        }
        let message = format!("the schema wants {}, the value has {}", expected.name(), wire_type.name());
        Err(self.problem(message))
    }

    fn single(&mut self, field: &Field, depth_left: usize) -> Result<(), Problem> {
        let result = match field.kind {
            Kind::Message(id) => {
                let outer_end = self.reader.enter().map_err(|fault| self.problem(fault))?;
                self.message(id, None, depth_left)?;
                self.reader.leave(outer_end);
                return Ok(());
            }
            Kind::Group(id) => return self.message(id, Some(field.number), depth_left),
            Kind::String if field.is_utf8 => self.reader.delimited().and_then(|bytes| match std::str::from_utf8(bytes) {
                Ok(_) => Ok(()),
                Err(_) => Err("the text is not valid UTF-8"),
            }),
            Kind::String | Kind::Bytes => self.reader.delimited().map(drop),
            kind => match wire_type_of(kind) {
                WireType::Fixed64 => self.reader.skip(8),
                WireType::Fixed32 => self.reader.skip(4),
                _ => self.reader.varint().map(drop),
            },
        };
        result.map_err(|fault| self.problem(fault))
    }

    fn packed_varints(&mut self) -> Result<(), Problem> {
        let outer_end = self.reader.enter().map_err(|fault| self.problem(fault))?;
        while !self.reader.is_at_end() {
            self.reader.varint().map_err(|fault| self.problem(fault))?;
        }
        self.reader.leave(outer_end);
        Ok(())
    }

    fn packed_fixed(&mut self, size: usize) -> Result<(), Problem> {
        let bytes = self.reader.delimited().map_err(|fault| self.problem(fault))?;
        if bytes.len().is_multiple_of(size) {
            return Ok(());
        }
        Err(self.problem(format!("{} bytes are no list of numbers with {size} bytes each", bytes.len())))
    }

    fn problem(&self, message: impl AsRef<str>) -> Problem {
        let message = format!("{} (at byte {} of the value)", message.as_ref(), self.reader.position());
        Problem { message, path: Vec::new() }
    }

    /// How often the field `number` stands between `start` and `until`, where everything was found to be in order.
    fn occurrences(&self, number: u32, start: usize, until: usize) -> usize {
        let mut reader = self.reader.since(start);
        let mut occurrences = 0;
        while reader.position() < until {
            let Ok((found, wire_type)) = reader.tag() else { break };
            let skipped: Result<(), Fault> = reader.skip_field(found, wire_type, DEPTH_MAX);
            if skipped.is_err() {
                break;
            }
            occurrences += usize::from(found == number);
        }
        occurrences
    }
}

impl Problem {
    /// Puts the name of the field in front, and its place if it is one of many.
    fn inside(mut self, field: &Field, place: impl FnOnce() -> usize) -> Problem {
        if field.label == Label::Repeated {
            self.path.push(place().to_string());
        }
        self.path.push(field.name.to_string());
        self
    }

    fn into_error(self) -> ValueError {
        let path = self.path.iter().rev().map(|name| format!("/{name}")).collect();
        ValueError { path, message: self.message }
    }
}

impl Seen {
    fn new(required: usize) -> Seen {
        let more = if required > 64 { vec![false; required - 64] } else { Vec::new() };
        Seen { count: 0, first: 0, more }
    }

    fn mark(&mut self, place: usize) {
        if self.has(place) {
            return;
        }
        self.count += 1;
        if place < 64 {
            self.first |= 1 << place;
        } else if let Some(seen) = self.more.get_mut(place - 64) {
            *seen = true;
        }
    }

    fn has(&self, place: usize) -> bool {
        if place < 64 { self.first & (1 << place) != 0 } else { self.more.get(place - 64).copied().unwrap_or(false) }
    }
}

fn wire_type_of(kind: Kind) -> WireType {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => WireType::Fixed64,
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => WireType::Fixed32,
        Kind::String | Kind::Bytes | Kind::Message(_) => WireType::Length,
        Kind::Group(_) => WireType::GroupStart,
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Sint32 | Kind::Sint64 | Kind::Bool | Kind::Enum => {
            WireType::Varint
        }
    }
}
