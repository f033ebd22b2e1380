//! JSON values as the library sees them: those of `serde_json`, where each look is charged to the [`super::meter`].

use super::meter;
use jsonschema::JsonType;
use jsonschema::json::{Array, Json, Node, NodeIdentity, Object, cmp, unique};
use serde_json::{Map, Number, Value};
use std::borrow::Cow;

/// Members up to which looking through all of them is faster than hashing a name.
const SCANNED_MEMBERS_MAX: usize = 16;

pub(super) struct Metered;

impl Json for Metered {
    type Node<'a> = &'a Value;
    type PreparedKey = String;
    type StringBuffer = Value;

    const KEYS_PER_LOOKUP: usize = 2;
    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>(buffer: &mut Value, string: &str, f: impl FnOnce(&Value) -> T) -> T {
        meter::charge_string(string.len());
        *buffer = Value::String(string.to_owned());
        f(buffer)
    }
}

impl<'a> Node<'a, Metered> for &'a Value {
    type Object = &'a Map<String, Value>;
    type Array = &'a [Value];
    type Number = &'a Number;

    fn as_object(&self) -> Option<&'a Map<String, Value>> {
        meter::charge(1);
        match *self {
            Value::Object(members) => Some(members),
            _ => None,
        }
    }

    fn as_array(&self) -> Option<&'a [Value]> {
        match *self {
            Value::Array(items) => {
                // Who asks for an array goes through it.
                meter::charge(u64::try_from(items.len() / 4).unwrap_or(u64::MAX).saturating_add(1));
                Some(items)
            }
            _ => {
                meter::charge(1);
                None
            }
        }
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        match *self {
            Value::String(string) => {
                meter::charge_string(string.len());
                Some(Cow::Borrowed(string))
            }
            _ => {
                meter::charge(1);
                None
            }
        }
    }

    fn as_number(&self) -> Option<&'a Number> {
        meter::charge(1);
        match *self {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    fn as_boolean(&self) -> Option<bool> {
        meter::charge(1);
        match *self {
            Value::Bool(boolean) => Some(*boolean),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        meter::charge(1);
        matches!(*self, Value::Null)
    }

    fn json_type(&self) -> JsonType {
        meter::charge(1);
        match *self {
            Value::Null => JsonType::Null,
            Value::Bool(_) => JsonType::Boolean,
            Value::Number(_) => JsonType::Number,
            Value::String(_) => JsonType::String,
            Value::Array(_) => JsonType::Array,
            Value::Object(_) => JsonType::Object,
        }
    }

    fn string_length(&self) -> Option<u64> {
        match *self {
            Value::String(string) => {
                meter::charge_string(string.len());
                Some(count_characters(string))
            }
            _ => None,
        }
    }

    fn string_length_within(&self, min: u64, max: u64) -> Option<bool> {
        let Value::String(string) = *self else { return None };
        meter::charge(1);
        // A character takes one to four bytes.
        let bytes = u64::try_from(string.len()).unwrap_or(u64::MAX);
        let fewest = bytes.div_ceil(4);
        if bytes < min || fewest > max {
            return Some(false);
        }
        if min <= fewest && bytes <= max {
            return Some(true);
        }
        meter::charge_string(string.len());
        Some((min..=max).contains(&count_characters(string)))
    }

    fn equals_value(&self, expected: &Value) -> bool {
        // All of it may have to be compared.
        meter::charge(count_nodes(self));
        cmp::equal(self, expected)
    }

    fn to_value(&self) -> Cow<'a, Value> {
        // Errors below anyOf and oneOf keep copies of what they are about.
        meter::charge(1);
        meter::charge_copies(count_nodes(self));
        Cow::Borrowed(*self)
    }

    fn identity(&self) -> Option<NodeIdentity> {
        meter::charge(1);
        Some(NodeIdentity::new(std::ptr::from_ref::<Value>(*self) as usize))
    }
}

impl<'a> Object<'a, Metered> for &'a Map<String, Value> {
    type Node = &'a Value;
    type MemberName = &'a str;
    type MembersIter = Members<'a>;

    fn len(&self) -> usize {
        Map::len(self)
    }

    fn get(&self, key: &String) -> Option<&'a Value> {
        meter::charge(1);
        let members: &'a Map<String, Value> = self;
        if members.len() <= SCANNED_MEMBERS_MAX {
            return members.iter().find(|(name, _)| *name == key).map(|(_, value)| value);
        }
        Map::get(members, key.as_str())
    }

    fn members(&self) -> Members<'a> {
        let members: &'a Map<String, Value> = self;
        meter::charge_members(members.len(), || members.keys().fold(0, |bytes, name| bytes.saturating_add(name.len())));
        Members(members.iter())
    }
}

/// The members of an object, in its order.
pub(super) struct Members<'a>(serde_json::map::Iter<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, &'a Value);

    fn next(&mut self) -> Option<(&'a str, &'a Value)> {
        self.0.next().map(|(name, value)| (name.as_str(), value))
    }
}

impl<'a> Array<'a, Metered> for &'a [Value] {
    type Node = &'a Value;
    type ElementsIter = std::slice::Iter<'a, Value>;

    fn len(&self) -> usize {
        <[Value]>::len(self)
    }

    fn elements(&self) -> std::slice::Iter<'a, Value> {
        (*self).iter()
    }

    fn is_unique(&self) -> bool {
        let nodes = self.iter().fold(0_u64, |nodes, item| nodes.saturating_add(count_nodes(item)));
        meter::charge(nodes.saturating_add(1));
        unique::is_unique(self)
    }
}

fn count_characters(string: &str) -> u64 {
    u64::try_from(string.chars().count()).unwrap_or(u64::MAX)
}

/// The JSON values in `value`, itself included; `serde_json` bounds how deep they nest.
fn count_nodes(value: &Value) -> u64 {
    match value {
        Value::Array(items) => items.iter().fold(1, |nodes, item| nodes.saturating_add(count_nodes(item))),
        Value::Object(members) => {
            members.values().fold(1, |nodes, member| nodes.saturating_add(count_nodes(member)).saturating_add(1))
        }
        Value::String(string) => u64::try_from(string.len() / 64).unwrap_or(u64::MAX).saturating_add(1),
        _ => 1,
    }
}
