//! Prints a descriptor as .proto text, which parses to an equal descriptor again. Here are files, enums and services.
//!
//! The text is how two schemas are told apart, so it has one form: types by full name, options in the order of their numbers, layout by us.

use super::limits::PRINTED_BYTES_MAX;
use super::literal::{is_identifier, is_type_name, quote};
use super::node::Node;
use super::print_message::{self, Scope};
use super::print_options;
use super::source::clipped;
use crate::schema::format::InvalidSchema;
use prost_reflect::DynamicMessage;

/// The last number of a field: ranges of messages go that far when they go `to max`.
const FIELD_NUMBER_MAX: i32 = (1 << 29) - 1;

/// Whether order without meaning is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    AsWritten,
    /// Imports and reserved names by name, fields and ranges by number. Messages keep theirs: values name their message by its place.
    Normalized,
}

/// Prints a `google.protobuf.FileDescriptorProto`.
///
/// # Errors
/// Something in it has no place in a text, as a name that is no identifier.
pub(super) fn print(file: &DynamicMessage, order: Order) -> Result<String, InvalidSchema> {
    let file = Node::of(file);
    let mut printer = Printer { out: String::new(), indent: 0, order, is_proto3: file.text("syntax") == "proto3", problem: None };
    printer.file(file);
    match printer.problem {
        Some(problem) => Err(InvalidSchema(clipped(&problem))),
        None => Ok(printer.out),
    }
}

pub(super) struct Printer {
    out: String,
    indent: usize,
    pub(super) order: Order,
    pub(super) is_proto3: bool,
    /// The first thing that could not be printed.
    problem: Option<String>,
}

/// Whether the end of a range belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RangeEnd {
    /// Messages.
    Excluded,
    /// Enums.
    Included,
}

impl Printer {
    pub(super) fn line(&mut self, text: &str) {
        if self.out.len() > PRINTED_BYTES_MAX {
            self.fail(format!("the text of the descriptor has more than {PRINTED_BYTES_MAX} bytes"));
            return;
        }
        for _ in 0..self.indent {
            self.out.push_str("  ");
        }
        self.out.push_str(text);
        self.out.push('\n');
    }

    pub(super) fn open(&mut self, head: &str) {
        self.line(&format!("{head} {{"));
        self.indent += 1;
    }

    pub(super) fn close(&mut self) {
        self.indent = self.indent.saturating_sub(1);
        self.line("}");
    }

    pub(super) fn fail(&mut self, problem: String) {
        if self.problem.is_none() {
            self.problem = Some(problem);
        }
    }

    /// The name of a definition; anything else than an identifier could smuggle in text.
    pub(super) fn name<'a>(&mut self, node: Node<'a>) -> &'a str {
        let name = node.text("name");
        if !is_identifier(name) {
            self.fail(format!("{name:?} is no name"));
        }
        name
    }

    pub(super) fn type_name<'a>(&mut self, name: &'a str) -> &'a str {
        if !is_type_name(name) {
            self.fail(format!("{name:?} is no name of a type"));
        }
        name
    }

    /// The options of `node`, a statement each.
    pub(super) fn options(&mut self, node: Node<'_>) {
        for option in print_options::assignments(node) {
            self.line(&format!("option {option};"));
        }
    }

    fn file(&mut self, file: Node<'_>) {
        self.line(if self.is_proto3 { "syntax = \"proto3\";" } else { "syntax = \"proto2\";" });
        let package = file.text("package");
        if !package.is_empty() {
            self.type_name(package);
            self.line(&format!("package {package};"));
        }
        self.imports(file);
        self.options(file);
        let full_name = if package.is_empty() { String::new() } else { format!(".{package}") };
        let scope = Scope::new(full_name, file.children("message_type"));
        let extensions = print_message::extends(file, self.order);
        self.definitions(&scope, extensions);
        for enumeration in file.children("enum_type") {
            self.enumeration(enumeration);
        }
        for service in file.children("service") {
            self.service(service);
        }
    }

    fn imports(&mut self, file: Node<'_>) {
        let public = file.numbers("public_dependency");
        let weak = file.numbers("weak_dependency");
        let mut imports = Vec::new();
        for (index, name) in (0_i32..).zip(file.texts("dependency")) {
            let kind = if public.contains(&index) {
                "public "
            } else if weak.contains(&index) {
                "weak "
            } else {
                ""
            };
            imports.push((name, kind));
        }
        if self.order == Order::Normalized {
            imports.sort_unstable();
        }
        for (name, kind) in imports {
            self.line(&format!("import {kind}{};", quote(name)));
        }
    }

    pub(super) fn enumeration(&mut self, enumeration: Node<'_>) {
        let name = self.name(enumeration);
        self.open(&format!("enum {name}"));
        self.options(enumeration);
        for value in enumeration.children("value") {
            let name = self.name(value);
            let number = value.number("number").unwrap_or_default();
            let brackets = brackets(&print_options::assignments(value));
            self.line(&format!("{name} = {number}{brackets};"));
        }
        self.reserved(enumeration, RangeEnd::Included);
        self.close();
    }

    /// The reserved numbers and names of a message or an enum.
    pub(super) fn reserved(&mut self, node: Node<'_>, range_end: RangeEnd) {
        let mut ranges: Vec<(i32, i32)> =
            node.children("reserved_range").into_iter().map(|range| bounds(range, range_end)).collect();
        let mut names = node.texts("reserved_name");
        if self.order == Order::Normalized {
            ranges.sort_unstable();
            names.sort_unstable();
        }
        if !ranges.is_empty() {
            let ranges: Vec<String> = ranges
                .into_iter()
                .map(|(start, last)| if start == last { start.to_string() } else { range_text(start, last, range_end) })
                .collect();
            self.line(&format!("reserved {};", ranges.join(", ")));
        }
        if !names.is_empty() {
            let names: Vec<String> = names.into_iter().map(quote).collect();
            self.line(&format!("reserved {};", names.join(", ")));
        }
    }

    fn service(&mut self, service: Node<'_>) {
        let name = self.name(service);
        self.open(&format!("service {name}"));
        self.options(service);
        for method in service.children("method") {
            let name = self.name(method);
            let input = self.stream(method, "input_type", "client_streaming");
            let output = self.stream(method, "output_type", "server_streaming");
            let head = format!("rpc {name}({input}) returns ({output})");
            if print_options::assignments(method).is_empty() {
                self.line(&format!("{head};"));
            } else {
                self.open(&head);
                self.options(method);
                self.close();
            }
        }
        self.close();
    }

    fn stream(&mut self, method: Node<'_>, type_field: &str, streaming_field: &str) -> String {
        let name = self.type_name(method.text(type_field));
        if method.is_set(streaming_field) { format!("stream {name}") } else { name.to_owned() }
    }
}

/// First and last number of a range.
pub(super) fn bounds(range: Node<'_>, range_end: RangeEnd) -> (i32, i32) {
    let start = range.number("start").unwrap_or_default();
    let end = range.number("end").unwrap_or_default();
    match range_end {
        RangeEnd::Included => (start, end),
        RangeEnd::Excluded => (start, end.saturating_sub(1)),
    }
}

pub(super) fn range_text(start: i32, last: i32, range_end: RangeEnd) -> String {
    let max = match range_end {
        RangeEnd::Included => i32::MAX,
        RangeEnd::Excluded => FIELD_NUMBER_MAX,
    };
    if last >= max { format!("{start} to max") } else { format!("{start} to {last}") }
}

/// Assignments in brackets behind a definition; nothing if there are none.
pub(super) fn brackets(assignments: &[String]) -> String {
    if assignments.is_empty() { String::new() } else { format!(" [{}]", assignments.join(", ")) }
}
