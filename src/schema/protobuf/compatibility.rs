//! Whether one schema reads what another one wrote: Confluent's rules for Protobuf (docs.confluent.io, "Schema Evolution and
//! Compatibility"; the names of the rules are those of its registry, version 8).
//!
//! Messages meet by name, fields by number. What may change freely has no rule here: packages of imports, enums and their constants, names of
//! fields, fields that are optional, order, the labels of messages and texts.

use super::types::{Field, Kind, Label, Message, MessageId, Types};
use crate::schema::format::Incompatibility;
use std::collections::{HashMap, HashSet};

/// More are not told.
const FOUND_MAX: usize = 100;

/// Pairs of messages that are compared. Imports can repeat a message under many packages, and pairs grow with their square.
const PAIRS_MAX: usize = 10_000;

/// Scalars with the same form on the wire (protobuf.dev, "Updating A Message Type").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scalar {
    Number,
    SignedNumber,
    Fixed32,
    Fixed64,
    Float,
    Double,
    TextOrBytes,
}

/// What the type of a field is, as far as it must not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Scalar(Scalar),
    Message(MessageId),
    /// With another form on the wire than other messages.
    Group(MessageId),
    Map(MessageId),
}

/// One message of the writer and its counterpart of the reader.
struct Pair {
    writer: MessageId,
    reader: MessageId,
    /// What is wrong with it, directly.
    found: Vec<Incompatibility>,
    /// Pairs that it depends on.
    parts: Vec<Part>,
    is_incompatible: bool,
}

struct Part {
    pair: usize,
    /// The number of a field with this type; `None`: a nested message.
    field: Option<u32>,
}

/// A field of the reader that is being compared.
#[derive(Clone, Copy)]
struct Spot<'m> {
    pair: usize,
    message: &'m Message,
    field: &'m Field,
}

/// Pairs are compared one after the other, not one inside the other: imported types may refer to each other in circles and long chains.
struct Comparison<'a> {
    writer: &'a Types,
    reader: &'a Types,
    pairs: Vec<Pair>,
    known: HashMap<(MessageId, MessageId), usize>,
    found: usize,
    has_too_many_pairs: bool,
}

/// Why `reader` cannot read what `writer` wrote; empty: it can.
pub(super) fn incompatibilities(reader: &Types, writer: &Types) -> Vec<Incompatibility> {
    let mut comparison =
        Comparison { writer, reader, pairs: Vec::new(), known: HashMap::new(), found: 0, has_too_many_pairs: false };
    let (_, removed) = comparison.match_by_name(writer.roots(), reader.roots());
    let mut next = 0;
    while next < comparison.pairs.len() {
        comparison.compare(next);
        next += 1;
    }
    comparison.spread();
    let mut found = Vec::new();
    if reader.package() != writer.package() {
        let message = format!("the package is {:?}, and was {:?}", reader.package(), writer.package());
        found.push(Incompatibility { rule: "PACKAGE_CHANGED", path: "#/".to_owned(), message });
    }
    found.extend(removed.into_iter().map(message_removed));
    if comparison.has_too_many_pairs {
        let message = format!("the schemas have too many messages to compare them all (more than {PAIRS_MAX})");
        found.push(Incompatibility { rule: "FIELD_NAMED_TYPE_CHANGED", path: "#/".to_owned(), message });
    }
    found.extend(comparison.into_found());
    found.truncate(FOUND_MAX);
    found
}

impl Comparison<'_> {
    /// Finds the pair of two messages, or makes it; `None`: there are too many.
    fn pair(&mut self, writer: MessageId, reader: MessageId) -> Option<usize> {
        if let Some(pair) = self.known.get(&(writer, reader)) {
            return Some(*pair);
        }
        if self.pairs.len() >= PAIRS_MAX {
            self.has_too_many_pairs = true;
            return None;
        }
        let pair = self.pairs.len();
        self.pairs.push(Pair { writer, reader, found: Vec::new(), parts: Vec::new(), is_incompatible: false });
        self.known.insert((writer, reader), pair);
        Some(pair)
    }

    /// Pairs of messages with the same name, and the paths of those that the reader does not have.
    fn match_by_name(&mut self, writer_ids: &[MessageId], reader_ids: &[MessageId]) -> (Vec<Part>, Vec<String>) {
        let (writer, reader) = (self.writer, self.reader);
        let by_name: HashMap<&str, MessageId> = reader_ids.iter().map(|id| (reader.message(*id).name(), *id)).collect();
        let mut parts = Vec::new();
        let mut removed = Vec::new();
        for id in writer_ids {
            let message = writer.message(*id);
            // The entries of maps are compared with their fields.
            if message.is_map_entry {
                continue;
            }
            match by_name.get(message.name()) {
                Some(counterpart) => parts.extend(self.pair(*id, *counterpart).map(|pair| Part { pair, field: None })),
                None => removed.push(path_of(message)),
            }
        }
        (parts, removed)
    }

    fn compare(&mut self, index: usize) {
        let Some(pair) = self.pairs.get(index) else { return };
        let (writer, reader) = (self.writer.message(pair.writer), self.reader.message(pair.reader));
        self.compare_oneofs(index, writer, reader);
        self.compare_fields(index, writer, reader);
        let (parts, removed) = self.match_by_name(&writer.nested, &reader.nested);
        for path in removed {
            self.report(index, message_removed(path));
        }
        if let Some(pair) = self.pairs.get_mut(index) {
            pair.parts.extend(parts);
        }
    }

    /// Fields that could be set together before may exclude each other now: then the reader loses all but the last one.
    fn compare_oneofs(&mut self, index: usize, writer: &Message, reader: &Message) {
        let mut origins: Vec<(usize, HashSet<usize>)> = vec![(0, HashSet::new()); reader.oneofs.len()];
        for field in &reader.fields {
            let Some((alone, oneofs)) = field.oneof.and_then(|oneof| origins.get_mut(oneof)) else { continue };
            match writer.field(field.number) {
                Some(Field { oneof: Some(oneof), .. }) => {
                    oneofs.insert(*oneof);
                }
                Some(_) => *alone += 1,
                // Nobody has set it yet.
                None => {}
            }
        }
        for (name, (alone, oneofs)) in reader.oneofs.iter().zip(origins) {
            if alone + oneofs.len() < 2 {
                continue;
            }
            let (rule, what) = if alone > 1 {
                ("MULTIPLE_FIELDS_MOVED_TO_ONEOF", "several fields that were outside of it")
            } else {
                ("FIELD_MOVED_TO_EXISTING_ONEOF", "fields that did not exclude each other")
            };
            let message = format!("the oneof {name} of {} has {what}", reader.full_name);
            self.report(index, Incompatibility { rule, path: format!("{}/{name}", path_of(reader)), message });
        }
    }

    fn compare_fields(&mut self, index: usize, writer: &Message, reader: &Message) {
        let removed_oneofs = removed_oneofs(writer, reader);
        for field in &writer.fields {
            let Some(counterpart) = reader.field(field.number) else {
                self.report_removed(index, writer, field, &removed_oneofs);
                continue;
            };
            let spot = Spot { pair: index, message: reader, field: counterpart };
            let (old, new) = (shape_of(self.writer, field.kind), shape_of(self.reader, counterpart.kind));
            self.compare_shapes(spot, old, new);
            let (Shape::Scalar(scalar), true) = (old, old == new) else { continue };
            let (Some(old_label), Some(new_label)) = (field.label.name(), counterpart.label.name()) else { continue };
            // Texts are read whatever the label is: the last one counts. Numbers are not, once they are packed.
            if scalar != Scalar::TextOrBytes && old_label != new_label {
                let message = format!("the field {} was {old_label} and is {new_label}", counterpart.name);
                self.report_field(spot, "FIELD_NUMERIC_LABEL_CHANGED", message);
            }
        }
        for field in &reader.fields {
            if matches!(field.label, Label::Required(_)) && writer.field(field.number).is_none() {
                let message = format!("the field {} is required, and the schema before does not have it", field.name);
                self.report(index, Incompatibility { rule: "REQUIRED_FIELD_ADDED", path: field_path(reader, field), message });
            }
        }
    }

    fn report_removed(&mut self, index: usize, writer: &Message, field: &Field, removed_oneofs: &HashSet<usize>) {
        let path = field_path(writer, field);
        if field.oneof.is_some_and(|oneof| !removed_oneofs.contains(&oneof)) {
            let message = format!("the field {} of a oneof is gone", field.name);
            self.report(index, Incompatibility { rule: "ONEOF_FIELD_REMOVED", path, message });
        } else if matches!(field.label, Label::Required(_)) {
            let message = format!("the field {} was required and is gone", field.name);
            self.report(index, Incompatibility { rule: "REQUIRED_FIELD_REMOVED", path, message });
        }
    }

    fn compare_shapes(&mut self, spot: Spot<'_>, writer: Shape, reader: Shape) {
        match (writer, reader) {
            (Shape::Scalar(old), Shape::Scalar(new)) => {
                if old != new {
                    let message = format!("the field {} was {}, it is {}", spot.field.name, old.name(), new.name());
                    self.report_field(spot, "FIELD_SCALAR_KIND_CHANGED", message);
                }
            }
            (Shape::Message(old), Shape::Message(new)) | (Shape::Group(old), Shape::Group(new)) => {
                self.compare_named(spot, old, new);
            }
            (Shape::Map(old), Shape::Map(new)) => {
                let (old, new) = (self.writer.message(old), self.reader.message(new));
                // Keys, then values. Neither is a map, so this is as deep as it goes.
                for number in [1, 2] {
                    if let (Some(old), Some(new)) = (old.field(number), new.field(number)) {
                        self.compare_shapes(spot, shape_of(self.writer, old.kind), shape_of(self.reader, new.kind));
                    }
                }
            }
            _ => {
                let message = format!("the field {} was {}, it is {}", spot.field.name, writer.name(), reader.name());
                self.report_field(spot, "FIELD_KIND_CHANGED", message);
            }
        }
    }

    fn compare_named(&mut self, spot: Spot<'_>, writer: MessageId, reader: MessageId) {
        let (old, new) = (self.writer.message(writer), self.reader.message(reader));
        // Packages do not count: a type may move to another one.
        if old.local_name() != new.local_name() {
            let message = format!("the field {} was a {}, it is a {}", spot.field.name, old.full_name, new.full_name);
            self.report_field(spot, "FIELD_NAMED_TYPE_CHANGED", message);
            return;
        }
        // Messages of the schemas themselves are compared anyway, once.
        if old.is_local && new.is_local {
            return;
        }
        let part = self.pair(writer, reader);
        if let (Some(part), Some(pair)) = (part, self.pairs.get_mut(spot.pair)) {
            pair.parts.push(Part { pair: part, field: Some(spot.field.number) });
        }
    }

    fn report_field(&mut self, spot: Spot<'_>, rule: &'static str, message: String) {
        let path = field_path(spot.message, spot.field);
        self.report(spot.pair, Incompatibility { rule, path, message });
    }

    fn report(&mut self, index: usize, incompatibility: Incompatibility) {
        let Some(pair) = self.pairs.get_mut(index) else { return };
        pair.is_incompatible = true;
        if self.found < FOUND_MAX {
            self.found += 1;
            pair.found.push(incompatibility);
        }
    }

    /// A pair is incompatible, too, when one is that it depends on.
    fn spread(&mut self) {
        let mut dependents: HashMap<usize, Vec<usize>> = HashMap::new();
        for (index, pair) in self.pairs.iter().enumerate() {
            for part in &pair.parts {
                dependents.entry(part.pair).or_default().push(index);
            }
        }
        let mut open: Vec<usize> =
            self.pairs.iter().enumerate().filter(|(_, pair)| pair.is_incompatible).map(|(index, _)| index).collect();
        while let Some(index) = open.pop() {
            for dependent in dependents.remove(&index).unwrap_or_default() {
                if let Some(pair) = self.pairs.get_mut(dependent).filter(|pair| !pair.is_incompatible) {
                    pair.is_incompatible = true;
                    open.push(dependent);
                }
            }
        }
    }

    fn into_found(self) -> Vec<Incompatibility> {
        let is_incompatible: Vec<bool> = self.pairs.iter().map(|pair| pair.is_incompatible).collect();
        let mut found = Vec::new();
        for pair in self.pairs {
            found.extend(pair.found);
            let message = self.reader.message(pair.reader);
            for part in pair.parts {
                let field = part.field.and_then(|number| message.field(number));
                let is_broken = is_incompatible.get(part.pair).copied().unwrap_or(false);
                if let Some(field) = field.filter(|_| is_broken && found.len() < FOUND_MAX) {
                    let path = field_path(message, field);
                    let message = format!("the imported type of the field {} changed in an incompatible way", field.name);
                    found.push(Incompatibility { rule: "FIELD_NAMED_TYPE_CHANGED", path, message });
                }
            }
        }
        found
    }
}

impl Scalar {
    fn name(self) -> &'static str {
        match self {
            Scalar::Number => "an integer, a bool or an enum",
            Scalar::SignedNumber => "a sint32 or sint64",
            Scalar::Fixed32 => "a fixed32 or sfixed32",
            Scalar::Fixed64 => "a fixed64 or sfixed64",
            Scalar::Float => "a float",
            Scalar::Double => "a double",
            Scalar::TextOrBytes => "a string or bytes",
        }
    }
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Shape::Scalar(scalar) => scalar.name(),
            Shape::Message(_) => "a message",
            Shape::Group(_) => "a group",
            Shape::Map(_) => "a map",
        }
    }
}

fn shape_of(types: &Types, kind: Kind) -> Shape {
    match kind {
        Kind::Message(id) if types.message(id).is_map_entry => Shape::Map(id),
        Kind::Message(id) => Shape::Message(id),
        Kind::Group(id) => Shape::Group(id),
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Bool | Kind::Enum => Shape::Scalar(Scalar::Number),
        Kind::Sint32 | Kind::Sint64 => Shape::Scalar(Scalar::SignedNumber),
        Kind::Fixed32 | Kind::Sfixed32 => Shape::Scalar(Scalar::Fixed32),
        Kind::Fixed64 | Kind::Sfixed64 => Shape::Scalar(Scalar::Fixed64),
        Kind::Float => Shape::Scalar(Scalar::Float),
        Kind::Double => Shape::Scalar(Scalar::Double),
        Kind::String | Kind::Bytes => Shape::Scalar(Scalar::TextOrBytes),
    }
}

/// Oneofs that are gone with all their fields, which is compatible; one that lost only some of them is not.
fn removed_oneofs(writer: &Message, reader: &Message) -> HashSet<usize> {
    let kept: HashSet<&str> = reader.oneofs.iter().map(|name| &**name).collect();
    let mut removed: HashSet<usize> =
        writer.oneofs.iter().enumerate().filter(|(_, name)| !kept.contains(&***name)).map(|(index, _)| index).collect();
    for field in &writer.fields {
        if let Some(oneof) = field.oneof
            && reader.field(field.number).is_some()
        {
            removed.remove(&oneof);
        }
    }
    removed
}

fn message_removed(path: String) -> Incompatibility {
    let message = "the message is gone".to_owned();
    Incompatibility { rule: "MESSAGE_REMOVED", path, message }
}

fn path_of(message: &Message) -> String {
    format!("#/{}", message.local_name().replace('.', "/"))
}

fn field_path(message: &Message, field: &Field) -> String {
    let path = path_of(message);
    match field.oneof.and_then(|oneof| message.oneofs.get(oneof)) {
        Some(oneof) => format!("{path}/{oneof}/{}", field.number),
        None => format!("{path}/{}", field.number),
    }
}
