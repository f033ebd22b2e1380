//! Whether the default value of a field is one of its type; in a union, of any of its branches (Avro 1.12).

use super::parse::excerpt;
use super::tree::{Node, NodeId, Tree};
use crate::schema::format::InvalidSchema;
use serde_json::Value;

/// How many values are held against how many types, over all defaults of a text: unions in unions can be tried in exponentially many ways.
const STEPS_MAX: usize = 1_000_000;
/// Texts are compared faster than types are looked at.
const SYMBOLS_PER_STEP: usize = 8;

pub(super) struct FieldDefault<'a> {
    pub field: &'a str,
    pub schema: NodeId,
    pub value: &'a Value,
}

pub(super) fn check(tree: &Tree, defaults: &[FieldDefault]) -> Result<(), InvalidSchema> {
    let mut check = Check { tree, steps_left: STEPS_MAX };
    for default in defaults {
        if !check.fits(default.schema, default.value)? {
            return Err(InvalidSchema(format!(
                "invalid default for field {}: {} is no {}",
                default.field,
                excerpt(default.value),
                tree.node(default.schema).type_name()
            )));
        }
    }
    Ok(())
}

struct Check<'t> {
    tree: &'t Tree,
    steps_left: usize,
}

impl Check<'_> {
    /// Goes no deeper than the JSON does, and one union for each level of it.
    fn fits(&mut self, schema: NodeId, value: &Value) -> Result<bool, InvalidSchema> {
        self.take(1)?;
        let tree = self.tree;
        Ok(match tree.node(schema) {
            Node::Null => value.is_null(),
            Node::Boolean => value.is_boolean(),
            Node::Int => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
            Node::Long => value.is_i64(),
            Node::Float | Node::Double => value.is_number(),
            Node::String => value.is_string(),
            Node::Bytes => bytes_of(value).is_some(),
            Node::Fixed(fixed) => bytes_of(value) == Some(fixed.size),
            Node::Enum(one) => {
                self.take(one.symbols.len() / SYMBOLS_PER_STEP)?;
                value.as_str().is_some_and(|text| one.symbols.iter().any(|symbol| symbol == text))
            }
            Node::Array(items) => match value.as_array() {
                Some(values) => self.all_fit(*items, values.iter())?,
                None => false,
            },
            Node::Map(values) => match value.as_object() {
                Some(object) => self.all_fit(*values, object.values())?,
                None => false,
            },
            Node::Union(branches) => {
                for branch in branches {
                    if self.fits(*branch, value)? {
                        return Ok(true);
                    }
                }
                false
            }
            Node::Record(record) => {
                let Some(object) = value.as_object() else { return Ok(false) };
                for field in &record.fields {
                    self.take(1)?;
                    // A field that is absent has its own default, which is checked for itself.
                    let is_right = match object.get(&field.name) {
                        Some(value) => self.fits(field.schema, value)?,
                        None => field.has_default,
                    };
                    if !is_right {
                        return Ok(false);
                    }
                }
                true
            }
        })
    }

    fn all_fit<'v>(&mut self, schema: NodeId, values: impl Iterator<Item = &'v Value>) -> Result<bool, InvalidSchema> {
        for value in values {
            if !self.fits(schema, value)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn take(&mut self, steps: usize) -> Result<(), InvalidSchema> {
        let left = self.steps_left.checked_sub(steps);
        self.steps_left = left.ok_or_else(|| InvalidSchema("the default values take too long to check".to_owned()))?;
        Ok(())
    }
}

/// How many bytes a text stands for, one a character up to U+00FF.
fn bytes_of(value: &Value) -> Option<usize> {
    let text = value.as_str()?;
    text.chars().all(|c| u32::from(c) <= 0xff).then(|| text.chars().count())
}
