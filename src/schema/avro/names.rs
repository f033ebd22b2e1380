//! Full names: a namespace, or none, and a name in it.

use crate::schema::format::InvalidSchema;
use std::borrow::Cow;

/// Longest full name. Types take on the namespace around them without writing it, so that a short text could make many long names.
const NAME_BYTES_MAX: usize = 512;

/// What a type inside its own namespace must not be called by alone: it would be taken for the type of Avro (Schema.Name.shouldWriteFull).
const TYPE_NAMES: &[&str] =
    &["array", "boolean", "bytes", "double", "enum", "fixed", "float", "int", "long", "map", "null", "record", "string", "union"];

/// The full name of a record, an enum or a fixed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Name(String);

impl Name {
    /// `written` inside the namespace `enclosing`: a name with a dot brings its own.
    pub(super) fn new(written: &str, enclosing: Option<&str>) -> Result<Name, InvalidSchema> {
        let (namespace, local) = match written.rsplit_once('.') {
            Some((namespace, local)) => (Some(namespace), local),
            None => (enclosing, written),
        };
        check_local(local)?;
        let full = match namespace.filter(|namespace| !namespace.is_empty()) {
            Some(namespace) => {
                check_namespace(namespace)?;
                format!("{namespace}.{local}")
            }
            None => local.to_owned(),
        };
        if full.len() > NAME_BYTES_MAX {
            return Err(too_long(&full));
        }
        Ok(Name(full))
    }

    pub(super) fn full(&self) -> &str {
        &self.0
    }

    pub(super) fn local(&self) -> &str {
        self.0.rsplit_once('.').map_or(self.0.as_str(), |(_, local)| local)
    }

    pub(super) fn namespace(&self) -> Option<&str> {
        self.0.rsplit_once('.').map(|(namespace, _)| namespace)
    }

    /// How it is called inside `namespace`.
    pub(super) fn relative_to(&self, namespace: Option<&str>) -> &str {
        let is_plain = self.namespace() == namespace && !TYPE_NAMES.contains(&self.local());
        if is_plain { self.local() } else { self.full() }
    }

    /// The same where a plain name is always one of the namespace: one without a namespace gets a dot in front.
    pub(super) fn exactly_relative_to(&self, namespace: Option<&str>) -> Cow<'_, str> {
        match (self.namespace(), namespace) {
            (None, Some(_)) => Cow::Owned(format!(".{}", self.full())),
            _ => Cow::Borrowed(self.relative_to(namespace)),
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.0.capacity()
    }
}

/// Names of types without their namespace, of fields, and of symbols. Letters are those of Unicode, as in Java.
pub(super) fn check_local(name: &str) -> Result<(), InvalidSchema> {
    if name.len() > NAME_BYTES_MAX {
        return Err(too_long(name));
    }
    let mut characters = name.chars();
    let starts_well = characters.next().is_some_and(|first| first.is_alphabetic() || first == '_');
    if starts_well && characters.all(|c| c.is_alphanumeric() || c == '_') {
        return Ok(());
    }
    Err(InvalidSchema(format!("{name:?} is no name: names are letters, digits and _, and begin with no digit")))
}

/// Java takes anything as a namespace, and ones with a hyphen or a dollar are about (packages, inner classes); what no language can write is
/// refused.
fn check_namespace(namespace: &str) -> Result<(), InvalidSchema> {
    if namespace.len() > NAME_BYTES_MAX {
        return Err(too_long(namespace));
    }
    let is_part = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$'));
    if namespace.split('.').all(is_part) {
        return Ok(());
    }
    Err(InvalidSchema(format!("{namespace:?} is no namespace: namespaces are names with dots between them")))
}

fn too_long(name: &str) -> InvalidSchema {
    let start: String = name.chars().take(40).collect();
    InvalidSchema(format!("the name {start}… has {} bytes, more than {NAME_BYTES_MAX}", name.len()))
}
