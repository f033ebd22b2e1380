//! The messages of a schema and of its imports, laid out for two questions: does a value fit, and can one schema read another.

use prost_reflect::{Cardinality, FieldDescriptor, FileDescriptor, MessageDescriptor, Syntax};
use std::collections::HashMap;

/// Field numbers below it are found in a table, others by search.
const LOW_NUMBERS: u32 = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct MessageId(usize);

#[derive(Debug, Default)]
pub(super) struct Types {
    messages: Vec<Message>,
    /// The outermost messages of the schema itself, in its order.
    roots: Vec<MessageId>,
    /// The schema's own; empty: none.
    package: Box<str>,
}

#[derive(Debug, Default)]
pub(super) struct Message {
    pub(super) full_name: Box<str>,
    /// Bytes of the package in `full_name`.
    package_bytes: usize,
    /// By number.
    pub(super) fields: Vec<Field>,
    /// Place in `fields` plus one, by number; zero: no such field.
    low: Box<[u16]>,
    /// How many fields are required.
    pub(super) required: usize,
    /// Names, without those of oneofs that only mark a field as `optional`.
    pub(super) oneofs: Vec<Box<str>>,
    /// In their order, entries of maps included.
    pub(super) nested: Vec<MessageId>,
    pub(super) is_map_entry: bool,
    /// Not imported.
    pub(super) is_local: bool,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) name: Box<str>,
    pub(super) kind: Kind,
    pub(super) label: Label,
    /// Place in the oneofs of the message.
    pub(super) oneof: Option<usize>,
    /// proto3 wants UTF-8 in strings, proto2 does not look.
    pub(super) is_utf8: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    /// proto3 without a label, or a field of a oneof.
    None,
    Optional,
    /// Its place among the required fields.
    Required(usize),
    Repeated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
    Enum,
    Message(MessageId),
    Group(MessageId),
}

/// Which nested messages an index counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counting {
    /// All of a descriptor: Python, Go, .NET.
    All,
    /// Those that stand in the text: Java. The entries of maps do not.
    Written,
}

impl Types {
    pub(super) fn of(file: &FileDescriptor) -> Types {
        let mut builder =
            Builder { file: file.name().to_owned(), types: Types::default(), ids: HashMap::new(), open: Vec::new() };
        builder.types.package = file.package_name().into();
        builder.types.roots = file.messages().map(|message| builder.id(message)).collect();
        while let Some((id, message)) = builder.open.pop() {
            builder.fill(id, &message);
        }
        builder.types
    }

    pub(super) fn message(&self, id: MessageId) -> &Message {
        self.messages.get(id.0).expect("ids are made with the messages that they name")
    }

    pub(super) fn roots(&self) -> &[MessageId] {
        &self.roots
    }

    pub(super) fn package(&self) -> &str {
        &self.package
    }

    /// The message that the indexes of a value lead to.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn at(&self, indexes: &[usize], counting: Counting) -> Result<MessageId, String> {
        let mut candidates = self.roots.as_slice();
        let mut found = None;
        for index in indexes {
            let id = match counting {
                Counting::All => candidates.get(*index).copied(),
                Counting::Written => candidates.iter().copied().filter(|id| !self.message(*id).is_map_entry).nth(*index),
            };
            let Some(id) = id else {
                let place = found.map_or("the schema", |id| &*self.message(id).full_name);
                return Err(format!("message index {indexes:?}: {place} has {} messages, none at {index}", candidates.len()));
            };
            candidates = &self.message(id).nested;
            found = Some(id);
        }
        match found {
            Some(id) if self.message(id).is_map_entry => {
                Err(format!("message index {indexes:?} names {}, the entry of a map", self.message(id).full_name))
            }
            Some(id) => Ok(id),
            None => Err("the message index is empty".to_owned()),
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.roots.capacity() * size_of::<MessageId>() + self.messages.iter().map(Message::memory_bytes).sum::<usize>()
    }
}

impl Message {
    /// The name without those that it is nested in.
    pub(super) fn name(&self) -> &str {
        self.full_name.rsplit('.').next().unwrap_or_default()
    }

    /// The full name without the package.
    pub(super) fn local_name(&self) -> &str {
        let name = self.full_name.get(self.package_bytes..).unwrap_or_default();
        name.strip_prefix('.').unwrap_or(name)
    }

    pub(super) fn field(&self, number: u32) -> Option<&Field> {
        if number < LOW_NUMBERS {
            let place = self.low.get(usize::try_from(number).ok()?)?;
            return self.fields.get(usize::from(*place).checked_sub(1)?);
        }
        let place = self.fields.binary_search_by_key(&number, |field| field.number).ok()?;
        self.fields.get(place)
    }

    fn memory_bytes(&self) -> usize {
        size_of::<Message>()
            + self.full_name.len()
            + self.fields.iter().map(|field| size_of::<Field>() + field.name.len()).sum::<usize>()
            + size_of_val(&*self.low)
            + self.oneofs.iter().map(|name| size_of::<Box<str>>() + name.len()).sum::<usize>()
            + self.nested.len() * size_of::<MessageId>()
    }
}

impl Label {
    /// As it is written; `None`: it is not.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Label::None => None,
            Label::Optional => Some("optional"),
            Label::Required(_) => Some("required"),
            Label::Repeated => Some("repeated"),
        }
    }
}

struct Builder {
    /// The name of the schema itself.
    file: String,
    types: Types,
    ids: HashMap<String, MessageId>,
    /// Messages that have an id but nothing else.
    open: Vec<(MessageId, MessageDescriptor)>,
}

impl Builder {
    fn id(&mut self, message: MessageDescriptor) -> MessageId {
        if let Some(id) = self.ids.get(message.full_name()) {
            return *id;
        }
        let id = MessageId(self.types.messages.len());
        let file = message.parent_file();
        self.ids.insert(message.full_name().to_owned(), id);
        self.types.messages.push(Message {
            full_name: message.full_name().into(),
            package_bytes: file.package_name().len(),
            is_map_entry: message.is_map_entry(),
            is_local: file.name() == self.file,
            ..Message::default()
        });
        self.open.push((id, message));
        id
    }

    fn fill(&mut self, id: MessageId, message: &MessageDescriptor) {
        let is_utf8 = message.parent_file().syntax() == Syntax::Proto3;
        let mut oneofs: Vec<Box<str>> = Vec::new();
        let mut oneof_places: HashMap<String, usize> = HashMap::new();
        for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            oneof_places.insert(oneof.name().to_owned(), oneofs.len());
            oneofs.push(oneof.name().into());
        }
        let mut fields = Vec::new();
        let mut required = 0;
        for descriptor in message.fields() {
            let oneof = descriptor.containing_oneof().and_then(|oneof| oneof_places.get(oneof.name()).copied());
            let label = match descriptor.cardinality() {
                Cardinality::Repeated => Label::Repeated,
                Cardinality::Required => {
                    required += 1;
                    Label::Required(required - 1)
                }
                Cardinality::Optional if oneof.is_some() => Label::None,
                Cardinality::Optional if is_utf8 && !descriptor.field_descriptor_proto().proto3_optional() => Label::None,
                Cardinality::Optional => Label::Optional,
            };
            let kind = self.kind(&descriptor);
            fields.push(Field { number: descriptor.number(), name: descriptor.name().into(), kind, label, oneof, is_utf8 });
        }
        let nested = message.child_messages().map(|nested| self.id(nested)).collect();
        if let Some(built) = self.types.messages.get_mut(id.0) {
            built.low = low_numbers(&fields);
            built.fields = fields;
            built.required = required;
            built.oneofs = oneofs;
            built.nested = nested;
        }
    }

    fn kind(&mut self, field: &FieldDescriptor) -> Kind {
        use prost_reflect::Kind as Described;
        match field.kind() {
            Described::Double => Kind::Double,
            Described::Float => Kind::Float,
            Described::Int32 => Kind::Int32,
            Described::Int64 => Kind::Int64,
            Described::Uint32 => Kind::Uint32,
            Described::Uint64 => Kind::Uint64,
            Described::Sint32 => Kind::Sint32,
            Described::Sint64 => Kind::Sint64,
            Described::Fixed32 => Kind::Fixed32,
            Described::Fixed64 => Kind::Fixed64,
            Described::Sfixed32 => Kind::Sfixed32,
            Described::Sfixed64 => Kind::Sfixed64,
            Described::Bool => Kind::Bool,
            Described::String => Kind::String,
            Described::Bytes => Kind::Bytes,
            Described::Enum(_) => Kind::Enum,
            Described::Message(message) if field.is_group() => Kind::Group(self.id(message)),
            Described::Message(message) => Kind::Message(self.id(message)),
        }
    }
}

/// `fields` are by number.
fn low_numbers(fields: &[Field]) -> Box<[u16]> {
    let mut low = Vec::new();
    for (place, field) in (1_u16..).zip(fields).take_while(|(_, field)| field.number < LOW_NUMBERS) {
        while low.len() < usize::try_from(field.number).unwrap_or_default() {
            low.push(0);
        }
        low.push(place);
    }
    low.into_boxed_slice()
}
