//! Messages as .proto text: fields, oneofs, groups, maps, extensions.

use super::literal::{float, is_identifier, quote, quote_bytes, unescape};
use super::node::Node;
use super::print::{Order, Printer, RangeEnd, bounds, brackets, range_text};
use super::print_options;
use std::collections::{HashMap, HashSet, VecDeque};

// Numbers of google.protobuf.FieldDescriptorProto.Type and Label.
const TYPE_DOUBLE: i32 = 1;
const TYPE_FLOAT: i32 = 2;
const TYPE_STRING: i32 = 9;
const TYPE_GROUP: i32 = 10;
const TYPE_BYTES: i32 = 12;
const LABEL_REQUIRED: i32 = 2;
const LABEL_REPEATED: i32 = 3;

/// What a message or file holds that fields may write in place of a type name.
pub(super) struct Scope<'a> {
    /// With a dot before; empty: no package.
    full_name: String,
    messages: Vec<Node<'a>>,
    by_name: HashMap<&'a str, usize>,
}

/// A message that its field writes: the entry of a map, the body of a group.
#[derive(Clone, Copy)]
enum Inline<'a> {
    Map(Node<'a>),
    Group(Node<'a>),
}

/// What stands in a message beside messages and enums.
pub(super) enum Item<'a> {
    Field(Node<'a>),
    Oneof { declaration: Option<Node<'a>>, fields: Vec<Node<'a>> },
    Extend { extendee: &'a str, fields: Vec<Node<'a>> },
}

/// Where a field stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Message,
    Oneof,
}

impl<'a> Scope<'a> {
    pub(super) fn new(full_name: String, messages: Vec<Node<'a>>) -> Scope<'a> {
        let by_name = messages.iter().enumerate().map(|(index, message)| (message.text("name"), index)).collect();
        Scope { full_name, messages, by_name }
    }

    fn inline(&self, field: Node<'a>) -> Option<(usize, Inline<'a>)> {
        let name = field.text("type_name").strip_prefix(self.full_name.as_str())?.strip_prefix('.')?;
        let index = *self.by_name.get(name)?;
        let message = *self.messages.get(index)?;
        if is_map_entry(message) {
            Some((index, Inline::Map(message)))
        } else if field.number("type") == Some(TYPE_GROUP) {
            Some((index, Inline::Group(message)))
        } else {
            None
        }
    }
}

impl<'a> Item<'a> {
    fn fields(&self) -> &[Node<'a>] {
        match self {
            Item::Field(field) => std::slice::from_ref(field),
            Item::Oneof { fields, .. } | Item::Extend { fields, .. } => fields,
        }
    }
}

impl Printer {
    /// Messages and items. Messages keep their place among all messages of the scope, those that fields write included: it is how values
    /// name them. As far as that allows, items come first.
    pub(super) fn definitions<'a>(&mut self, scope: &Scope<'a>, items: Vec<Item<'a>>) {
        let written_by_fields: HashSet<usize> =
            items.iter().flat_map(Item::fields).filter_map(|field| scope.inline(*field)).map(|(index, _)| index).collect();
        // None: a place that a field fills.
        let mut waiting: VecDeque<Option<Node<'a>>> = VecDeque::with_capacity(scope.messages.len());
        for (index, message) in scope.messages.iter().enumerate() {
            let is_inline = is_map_entry(*message) || written_by_fields.contains(&index);
            waiting.push_back((!is_inline).then_some(*message));
        }
        for item in items {
            let filled = item.fields().iter().filter(|field| scope.inline(**field).is_some()).count();
            if filled > 0 {
                while let Some(Some(message)) = waiting.front().copied() {
                    waiting.pop_front();
                    self.message(message, &scope.full_name);
                }
            }
            for _ in 0..filled {
                if let Some(at) = waiting.iter().position(Option::is_none) {
                    waiting.remove(at);
                }
            }
            self.item(&item, scope);
        }
        for message in waiting.into_iter().flatten() {
            self.message(message, &scope.full_name);
        }
    }

    fn message(&mut self, message: Node<'_>, outer: &str) {
        let name = self.name(message);
        self.open(&format!("message {name}"));
        self.body(message, format!("{outer}.{name}"));
        self.close();
    }

    fn body(&mut self, message: Node<'_>, full_name: String) {
        self.options(message);
        let scope = Scope::new(full_name, message.children("nested_type"));
        let mut items = fields(message, self.order);
        items.extend(extends(message, self.order));
        self.definitions(&scope, items);
        for enumeration in message.children("enum_type") {
            self.enumeration(enumeration);
        }
        self.extension_ranges(message);
        self.reserved(message, RangeEnd::Excluded);
    }

    fn extension_ranges(&mut self, message: Node<'_>) {
        let mut ranges = message.children("extension_range");
        if self.order == Order::Normalized {
            ranges.sort_by_key(|range| range.number("start"));
        }
        for range in ranges {
            let (start, last) = bounds(range, RangeEnd::Excluded);
            let brackets = brackets(&print_options::assignments(range));
            // With both ends, also where they are equal: the parser wants them before brackets.
            self.line(&format!("extensions {}{brackets};", range_text(start, last, RangeEnd::Excluded)));
        }
    }

    fn item<'a>(&mut self, item: &Item<'a>, scope: &Scope<'a>) {
        match item {
            Item::Field(field) => self.field(*field, scope, Place::Message),
            Item::Oneof { declaration, fields } => {
                let Some(declaration) = declaration else {
                    self.fail("a field is part of a oneof that does not exist".to_owned());
                    return;
                };
                let name = self.name(*declaration);
                self.open(&format!("oneof {name}"));
                self.options(*declaration);
                for field in fields {
                    self.field(*field, scope, Place::Oneof);
                }
                self.close();
            }
            Item::Extend { extendee, fields } => {
                let extendee = self.type_name(extendee);
                self.open(&format!("extend {extendee}"));
                for field in fields {
                    self.field(*field, scope, Place::Message);
                }
                self.close();
            }
        }
    }

    fn field<'a>(&mut self, field: Node<'a>, scope: &Scope<'a>, place: Place) {
        let name = self.name(field);
        let number = field.number("number").unwrap_or_default();
        let brackets = self.field_brackets(field);
        let label = self.label(field, place);
        match scope.inline(field) {
            Some((_, Inline::Map(entry))) => {
                let key = self.entry_type(entry, 1);
                let value = self.entry_type(entry, 2);
                self.line(&format!("map<{key}, {value}> {name} = {number}{brackets};"));
            }
            Some((_, Inline::Group(group))) => {
                let group_name = self.name(group);
                self.open(&format!("{label}group {group_name} = {number}{brackets}"));
                self.body(group, format!("{}.{group_name}", scope.full_name));
                self.close();
            }
            None => {
                if field.number("type") == Some(TYPE_GROUP) {
                    self.fail(format!("the group {name:?} has its message somewhere else"));
                }
                let type_text = self.type_text(field);
                self.line(&format!("{label}{type_text} {name} = {number}{brackets};"));
            }
        }
    }

    fn label(&self, field: Node<'_>, place: Place) -> &'static str {
        match field.number("label") {
            _ if place == Place::Oneof => "",
            Some(LABEL_REPEATED) => "repeated ",
            Some(LABEL_REQUIRED) => "required ",
            _ if !self.is_proto3 || field.is_set("proto3_optional") => "optional ",
            _ => "",
        }
    }

    fn type_text(&mut self, field: Node<'_>) -> String {
        let name = field.text("type_name");
        if !name.is_empty() {
            return self.type_name(name).to_owned();
        }
        let number = field.number("type").unwrap_or_default();
        match scalar_name(number) {
            Some(name) => name.to_owned(),
            None => {
                self.fail(format!("field {:?} has no type", field.text("name")));
                String::new()
            }
        }
    }

    /// The type of the key (1) or the value (2) of a map.
    fn entry_type(&mut self, entry: Node<'_>, number: i32) -> String {
        match entry.children("field").into_iter().find(|field| field.number("number") == Some(number)) {
            Some(field) => self.type_text(field),
            None => {
                self.fail(format!("the map entry {:?} has no field {number}", entry.text("name")));
                String::new()
            }
        }
    }

    fn field_brackets(&mut self, field: Node<'_>) -> String {
        let mut assignments = Vec::new();
        if field.has("default_value") {
            match default_text(field) {
                Some(value) => assignments.push(format!("default = {value}")),
                None => self.fail(format!("field {:?}: its default value cannot be read", field.text("name"))),
            }
        }
        let json_name = field.text("json_name");
        if !json_name.is_empty() && json_name != default_json_name(field.text("name")) {
            assignments.push(format!("json_name = {}", quote(json_name)));
        }
        assignments.extend(print_options::assignments(field));
        brackets(&assignments)
    }
}

/// Fields, those of a oneof where its first one stands. Oneofs that only mark a field as `optional` are not shown.
fn fields<'a>(message: Node<'a>, order: Order) -> Vec<Item<'a>> {
    let mut fields = message.children("field");
    if order == Order::Normalized {
        fields.sort_by_key(|field| field.number("number"));
    }
    let declarations = message.children("oneof_decl");
    let mut items: Vec<Item<'a>> = Vec::new();
    let mut places: HashMap<i32, usize> = HashMap::new();
    for field in fields {
        let Some(oneof) = field.number("oneof_index").filter(|_| !field.is_set("proto3_optional")) else {
            items.push(Item::Field(field));
            continue;
        };
        let place = places.get(&oneof).and_then(|place| items.get_mut(*place));
        if let Some(Item::Oneof { fields, .. }) = place {
            fields.push(field);
            continue;
        }
        places.insert(oneof, items.len());
        let declaration = usize::try_from(oneof).ok().and_then(|index| declarations.get(index)).copied();
        items.push(Item::Oneof { declaration, fields: vec![field] });
    }
    items
}

/// The extensions that a file or a message defines; neighbours that extend the same message together.
pub(super) fn extends<'a>(node: Node<'a>, order: Order) -> Vec<Item<'a>> {
    let mut extensions = node.children("extension");
    if order == Order::Normalized {
        extensions.sort_by_key(|extension| (extension.text("extendee"), extension.number("number")));
    }
    let mut items: Vec<Item<'a>> = Vec::new();
    for extension in extensions {
        match items.last_mut() {
            Some(Item::Extend { extendee, fields }) if *extendee == extension.text("extendee") => fields.push(extension),
            _ => items.push(Item::Extend { extendee: extension.text("extendee"), fields: vec![extension] }),
        }
    }
    items
}

fn is_map_entry(message: Node<'_>) -> bool {
    message.child("options").is_some_and(|options| options.is_set("map_entry"))
}

fn default_text(field: Node<'_>) -> Option<String> {
    let value = field.text("default_value");
    match field.number("type") {
        Some(TYPE_STRING) => Some(quote(value)),
        Some(TYPE_BYTES) => unescape(value).map(|bytes| quote_bytes(&bytes)),
        Some(TYPE_DOUBLE | TYPE_FLOAT) => float(value),
        // An integer, or the name of a constant.
        _ => {
            let digits = value.strip_prefix('-').unwrap_or(value);
            let is_integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            (is_integer || is_identifier(value)).then(|| value.to_owned())
        }
    }
}

/// As protoc makes it: underscores go, the letters after them become capitals.
fn default_json_name(name: &str) -> String {
    let mut json_name = String::with_capacity(name.len());
    let mut is_after_underscore = false;
    for c in name.chars() {
        if c == '_' {
            is_after_underscore = true;
        } else {
            json_name.push(if is_after_underscore { c.to_ascii_uppercase() } else { c });
            is_after_underscore = false;
        }
    }
    json_name
}

fn scalar_name(number: i32) -> Option<&'static str> {
    Some(match number {
        TYPE_DOUBLE => "double",
        TYPE_FLOAT => "float",
        3 => "int64",
        4 => "uint64",
        5 => "int32",
        6 => "fixed64",
        7 => "fixed32",
        8 => "bool",
        TYPE_STRING => "string",
        TYPE_BYTES => "bytes",
        13 => "uint32",
        15 => "sfixed32",
        16 => "sfixed64",
        17 => "sint32",
        18 => "sint64",
        _ => return None,
    })
}
