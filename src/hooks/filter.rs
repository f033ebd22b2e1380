//! Which events of its topics an endpoint wants: those whose headers and fields have the given values.

use crate::records::json;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Number, Value};
use std::collections::BTreeMap;

/// Conditions of one endpoint.
const CONDITIONS_MAX: usize = 50;
/// What they may have as JSON: they stay in memory, where a value takes up to forty times its text.
const BYTES_MAX: usize = 16 * 1024;
/// Parts that an event's value may have for its fields to be looked at: some 75 MB while they are. One with more is wanted, whatever its fields are.
const PARTS_MAX: usize = 1_000_000;

/// Conditions that must all hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filters {
    /// By name: the value of the last header of that name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// By JSON pointer (RFC 6901) into the value: what is there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, Value>,
}

impl Filters {
    /// # Errors
    /// Which condition is wrong, and what would be valid.
    pub fn check(&self) -> Result<(), String> {
        let count = self.headers.len() + self.data.len();
        if count > CONDITIONS_MAX {
            return Err(format!("filters has {count} conditions; the most is {CONDITIONS_MAX}"));
        }
        // Names and values of any sort always have a JSON form.
        let bytes = serde_json::to_vec(self).map_or(0, |json| json.len());
        if bytes > BYTES_MAX {
            return Err(format!("filters has {bytes} bytes as JSON; the most is {BYTES_MAX}"));
        }
        if self.headers.contains_key("") {
            return Err("filters.headers has an empty name; write {\"name\": \"value\"}".to_owned());
        }
        for pointer in self.data.keys() {
            if !pointer.is_empty() && !pointer.starts_with('/') {
                return Err(format!("filters.data: {pointer:?} is no JSON pointer; write \"/{pointer}\""));
            }
            if pointer.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
                return Err(format!("filters.data: {pointer:?} is no JSON pointer; write ~0 for ~, and ~1 for / in a name"));
            }
        }
        Ok(())
    }

    /// Whether an event is wanted. Its value is parsed only where fields are asked for; one that is no JSON has none, and one of more than [`PARTS_MAX`]
    /// parts is not parsed: it is wanted, rather than lost.
    #[must_use]
    pub fn take(&self, headers: &[(Bytes, Option<Bytes>)], value: Option<&[u8]>) -> bool {
        let has = |(name, wanted): (&String, &String)| {
            let last = headers.iter().rev().find(|(own, _)| own == name.as_bytes());
            last.is_some_and(|(_, value)| value.as_deref() == Some(wanted.as_bytes()))
        };
        if !self.headers.iter().all(has) {
            return false;
        }
        if self.data.is_empty() || value.is_some_and(|value| json::has_more_values(value, PARTS_MAX)) {
            return true;
        }
        let Some(bytes) = value else { return false };
        match serde_json::from_slice::<Value>(bytes) {
            Ok(value) => {
                self.data.iter().all(|(pointer, wanted)| value.pointer(pointer).is_some_and(|found| is_same(found, wanted)))
            }
            // JSON that cannot be looked into (nested too deeply, a number that is out of range) is wanted, rather than lost.
            Err(_) => serde_json::from_slice::<&RawValue>(bytes).is_ok(),
        }
    }
}

/// Whether two values are the same. Numbers are by what they are worth: producers write 5 as 5.0, too.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => is_same_number(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let has = |(name, value): (&String, &Value)| other.get(name).is_some_and(|other| is_same(value, other));
            one.len() == other.len() && one.iter().all(has)
        }
        _ => one == other,
    }
}

fn is_same_number(one: &Number, other: &Number) -> bool {
    match (integer(one), integer(other)) {
        (Some(one), Some(other)) => one == other,
        // With a fraction, or too large: such a number is no integer's.
        (None, None) => one == other,
        _ => false,
    }
}

/// The integer that a number exactly is. Floats from 2^64 on count as none: what is written as an integer lies below.
fn integer(number: &Number) -> Option<i128> {
    let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    // Within this bound a float without a fraction is an integer of 128 bits, exactly.
    let exact = |float: &f64| float.fract() == 0.0 && float.abs() < 2.0_f64.powi(64);
    whole.or_else(|| number.as_f64().filter(exact).map(|float| float as i128))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(json: &str) -> Filters {
        serde_json::from_str(json).expect("filters")
    }

    fn header(name: &'static str, value: Option<&'static str>) -> (Bytes, Option<Bytes>) {
        (Bytes::from_static(name.as_bytes()), value.map(|value| Bytes::from_static(value.as_bytes())))
    }

    #[test]
    fn all_conditions_must_hold() {
        let wanted = filters(r#"{"headers": {"kind": "a"}, "data": {"/order/total": 5, "/tags/0": "x"}}"#);
        let headers = [header("kind", Some("b")), header("kind", Some("a"))];
        let value = br#"{"order": {"total": 5}, "tags": ["x"]}"#;
        assert!(wanted.take(&headers, Some(value)));
        assert!(!wanted.take(&headers[..1], Some(value)));
        assert!(!wanted.take(&headers, Some(br#"{"order": {"total": 6}, "tags": ["x"]}"#)));
        assert!(!wanted.take(&headers, Some(br#"{"order": {}}"#)));
    }

    #[test]
    fn what_is_no_json_has_no_fields() {
        let wanted = filters(r#"{"data": {"/a": null}}"#);
        for value in [None, Some(&b"plain"[..]), Some(b""), Some(b"\xff"), Some(b"{}")] {
            assert!(!wanted.take(&[], value), "{value:?}");
        }
        assert!(wanted.take(&[], Some(br#"{"a": null}"#)));
        assert!(Filters::default().take(&[], None), "no condition");
        assert!(!filters(r#"{"headers": {"a": ""}}"#).take(&[header("a", None)], None), "a null is not empty");
    }

    #[test]
    fn numbers_are_compared_by_what_they_are_worth() {
        let takes = |wanted: &str, found: &str| {
            filters(&format!(r#"{{"data": {{"/a": {wanted}}}}}"#)).take(&[], Some(format!(r#"{{"a": {found}}}"#).as_bytes()))
        };
        for found in ["5", "5.0", "5e0", "0.5e1"] {
            assert!(takes("5", found) && takes(found, "5.0"), "{found}");
            assert!(takes(r#"{"x": [1, 5]}"#, &format!(r#"{{"x": [1.0, {found}]}}"#)), "{found} within others");
        }
        for found in ["5.5", "-5", "6.0", r#""5""#, "true", "null", "[5]"] {
            assert!(!takes("5", found), "{found}");
        }
        assert!(takes("0", "-0.0") && takes("5.5", "55e-1") && takes("1e300", "1e300"));
        assert!(takes("18446744073709551615", "18446744073709551615"));
        assert!(!takes("18446744073709551615", "-1"));
        // 2^53, above which not every integer is a float; the last one is read as 2^64.
        assert!(takes("9007199254740992", "9007199254740992.0") && !takes("9007199254740993", "9007199254740992.0"));
        assert!(!takes("18446744073709551615", "18446744073709551615.0"));
        assert!(!takes(r#"{"x": 1}"#, r#"{"x": 1, "y": 2}"#) && !takes("[1]", "[1, 2]"));
        assert!(takes(r#"{"x": 1, "y": 2}"#, r#"{"y": 2, "x": 1}"#), "names have no order");
    }

    #[test]
    fn what_cannot_be_looked_into_is_wanted_rather_than_lost() {
        let deep = format!(r#"{{"kind": "a", "x": {}1{}}}"#, "[".repeat(200), "]".repeat(200));
        assert!(filters(r#"{"data": {"/kind": "a"}}"#).take(&[], Some(deep.as_bytes())));
        assert!(filters(r#"{"data": {"/kind": "a"}}"#).take(&[], Some(br#"{"kind": "b", "x": 1e999}"#)));
        assert!(!filters(r#"{"data": {"/kind": "a"}}"#).take(&[], Some(&deep.as_bytes()[1..])), "what is no JSON is not");
    }

    #[test]
    fn filters_and_what_they_look_at_have_a_bound() {
        let long = format!(r#"{{"data": {{"/a": [{}0]}}}}"#, "0,".repeat(BYTES_MAX / 2));
        assert!(filters(&long).check().is_err_and(|why| why.contains("bytes as JSON")));
        let wanted = filters(r#"{"data": {"/a": 1}}"#);
        let many = format!("[{}0]", "0,".repeat(PARTS_MAX));
        assert!(wanted.take(&[], Some(many.as_bytes())), "nobody knows that it is not wanted");
        assert!(!wanted.take(&[], Some(b"[0,0]")));
    }

    #[test]
    fn pointers_are_those_of_rfc_6901() {
        assert!(filters(r#"{"data": {"/a~2b": 1}}"#).check().is_err());
        assert!(filters(r#"{"data": {"/a~": 1}}"#).check().is_err());
        assert!(filters(r#"{"data": {"a/b": 1}}"#).check().is_err());
        assert!(filters(r#"{"headers": {"": "1"}}"#).check().is_err());
        assert!(filters(r#"{"data": {"": {"a": 1}, "/a~1b": 1}}"#).check().is_ok());
    }
}
