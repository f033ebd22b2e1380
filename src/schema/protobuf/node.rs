//! A part of a descriptor, its fields by name. Descriptors are printed from this form because it keeps custom options.

use prost_reflect::{DynamicMessage, ReflectMessage, Value};
use std::borrow::Cow;

/// A message of `google/protobuf/descriptor.proto`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'a>(&'a DynamicMessage);

impl<'a> Node<'a> {
    pub(super) fn of(message: &'a DynamicMessage) -> Node<'a> {
        Node(message)
    }

    pub(super) fn message(self) -> &'a DynamicMessage {
        self.0
    }

    fn value(self, name: &str) -> Option<&'a Value> {
        let field = self.0.descriptor().get_field_by_name(name)?;
        match self.0.get_field(&field) {
            Cow::Borrowed(value) => Some(value),
            Cow::Owned(_) => None,
        }
    }

    fn values(self, name: &str) -> &'a [Value] {
        match self.value(name) {
            Some(Value::List(values)) => values,
            _ => &[],
        }
    }

    pub(super) fn has(self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// Empty: not set.
    pub(super) fn text(self, name: &str) -> &'a str {
        match self.value(name) {
            Some(Value::String(text)) => text,
            _ => "",
        }
    }

    /// Of an integer or an enum.
    pub(super) fn number(self, name: &str) -> Option<i32> {
        match self.value(name) {
            Some(Value::I32(number) | Value::EnumNumber(number)) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn is_set(self, name: &str) -> bool {
        matches!(self.value(name), Some(Value::Bool(true)))
    }

    pub(super) fn child(self, name: &str) -> Option<Node<'a>> {
        match self.value(name) {
            Some(Value::Message(message)) => Some(Node(message)),
            _ => None,
        }
    }

    pub(super) fn children(self, name: &str) -> Vec<Node<'a>> {
        self.values(name)
            .iter()
            .filter_map(|value| match value {
                Value::Message(message) => Some(Node(message)),
                _ => None,
            })
            .collect()
    }

    pub(super) fn texts(self, name: &str) -> Vec<&'a str> {
        self.values(name).iter().filter_map(Value::as_str).collect()
    }

    pub(super) fn numbers(self, name: &str) -> Vec<i32> {
        self.values(name).iter().filter_map(Value::as_i32).collect()
    }
}
