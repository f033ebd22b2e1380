//! What a record holds as JSON, for those that are no Kafka clients: a value that is JSON stays as it is, and what is no JSON or no text is
//! `{"$base64": "…"}`. Times are RFC 3339.

use crate::ids::Timestamp;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

/// Bytes that are text, as a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Text {
    Plain(String),
    Base64 {
        #[serde(rename = "$base64")]
        base64: String,
    },
}

impl Text {
    #[must_use]
    pub fn of(bytes: &[u8]) -> Text {
        match std::str::from_utf8(bytes) {
            Ok(text) => Text::Plain(text.to_owned()),
            Err(_) => Text::Base64 { base64: BASE64_STANDARD.encode(bytes) },
        }
    }
}

/// A record's value as JSON, in one line.
#[must_use]
pub fn value(bytes: Option<&[u8]>) -> Box<RawValue> {
    let Some(bytes) = bytes else { return null() };
    let json = serde_json::from_slice::<&RawValue>(bytes).ok().and_then(|raw| on_one_line(raw.get()));
    json.unwrap_or_else(|| to_raw_value(&Text::Base64 { base64: BASE64_STANDARD.encode(bytes) }).unwrap_or_else(|_| null()))
}

/// At most so many values are in a JSON text, names and what stands in strings counted as well. What it costs to parse one whole goes by this number,
/// not by its bytes: two of them (`0,`) become dozens. Fast; a text of many commas comes to more than it has.
#[must_use]
pub fn values_at_most(text: &[u8]) -> usize {
    1 + text.iter().map(|byte| usize::from(matches!(byte, b',' | b'[' | b'{' | b':'))).sum::<usize>()
}

/// Whether a JSON text has more than `most` values, names counted as well. Reads what is no JSON like one, too.
#[must_use]
pub fn has_more_values(text: &[u8], most: usize) -> bool {
    if values_at_most(text) <= most {
        return false;
    }
    let mut values = 1_usize;
    let (mut is_in_string, mut is_escaped) = (false, false);
    for byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_in_string => is_escaped = true,
            b'"' => is_in_string = !is_in_string,
            b',' | b'[' | b'{' | b':' if !is_in_string => values += 1,
            _ => {}
        }
    }
    values > most
}

/// Line breaks in JSON are white space between its parts: in strings they are escaped.
fn on_one_line(json: &str) -> Option<Box<RawValue>> {
    let line = if json.contains(['\n', '\r']) { json.replace(['\n', '\r'], " ") } else { json.to_owned() };
    RawValue::from_string(line).ok()
}

fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}

/// RFC 3339 in UTC, with milliseconds. Times outside of the years −9999 to 9999, which Kafka's clients may send, are the nearest.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    let nearest = if time.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    let time = jiff::Timestamp::from_millisecond(time.0).unwrap_or(nearest);
    format!("{time:.3}")
}

/// # Errors
/// When the text is no RFC 3339 time.
pub fn parse_rfc3339(text: &str) -> Result<Timestamp, String> {
    let time: jiff::Timestamp =
        text.parse().map_err(|_| format!("{text:?} is no RFC 3339 time, such as 2026-01-31T12:00:00Z"))?;
    Ok(Timestamp(time.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &[u8]) -> String {
        value(Some(bytes)).get().to_owned()
    }

    #[test]
    fn values_are_counted_before_they_are_parsed() {
        for (text, count) in [("0", 1), ("[0,0,0]", 4), (r#"{"a":[1],"b":{}}"#, 7), (r#"["a,[\"{:","\\\\"]"#, 3), ("", 1)] {
            assert!(has_more_values(text.as_bytes(), count - 1), "{text}");
            assert!(!has_more_values(text.as_bytes(), count), "{text}");
            assert!(values_at_most(text.as_bytes()) >= count, "{text}");
        }
    }

    #[test]
    fn json_stays_as_it_is_but_on_one_line() {
        assert_eq!(shown(br#"{"a":1.10000000000000000000001,"b":[ 1 ]}"#), r#"{"a":1.10000000000000000000001,"b":[ 1 ]}"#);
        assert_eq!(shown(b"  {\n  \"a\": \"x\\ny\"\r\n}\n"), "{   \"a\": \"x\\ny\"  }");
        assert_eq!(value(None).get(), "null");
    }

    #[test]
    fn what_is_no_json_is_base64() {
        for bytes in [&b"plain"[..], b"\xff\x00", b"{", b"", b"1 2"] {
            assert_eq!(shown(bytes), format!("{{\"$base64\":\"{}\"}}", BASE64_STANDARD.encode(bytes)), "{bytes:?}");
        }
        assert_eq!(Text::of(b"\xff"), Text::Base64 { base64: "/w==".to_owned() });
    }

    #[test]
    fn times_are_rfc_3339_with_milliseconds() {
        assert_eq!(rfc3339(Timestamp(1_700_000_000_123)), "2023-11-14T22:13:20.123Z");
        assert_eq!(rfc3339(Timestamp(0)), "1970-01-01T00:00:00.000Z");
        assert!(rfc3339(Timestamp(i64::MAX)).starts_with("9999-"));
        assert_eq!(parse_rfc3339("2023-11-14T23:13:20.123+01:00"), Ok(Timestamp(1_700_000_000_123)));
        assert!(parse_rfc3339("yesterday").is_err());
    }
}
