//! Constants in .proto texts.

use std::fmt::Write;

/// A longer number is written with an exponent: integers beyond 64 bits cannot be read back.
const PLAIN_NUMBER_BYTES_MAX: usize = 17;

/// In double quotes; what is no control character stays as it is.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            c if c.is_ascii_control() => push_octal(&mut quoted, u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// In double quotes; only printable ASCII stays as it is.
pub(super) fn quote_bytes(bytes: &[u8]) -> String {
    let mut quoted = String::with_capacity(bytes.len() + 2);
    quoted.push('"');
    for byte in bytes {
        match byte {
            b'"' => quoted.push_str("\\\""),
            b'\\' => quoted.push_str("\\\\"),
            b' '..=b'~' => quoted.push(char::from(*byte)),
            byte => push_octal(&mut quoted, u32::from(*byte)),
        }
    }
    quoted.push('"');
    quoted
}

/// The bytes of a C-escaped text: so descriptors hold default values of bytes. `None`: it is not one.
pub(super) fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (escape, after) = rest.split_first()?;
        rest = after;
        match escape {
            b'a' => bytes.push(0x07),
            b'b' => bytes.push(0x08),
            b'f' => bytes.push(0x0c),
            b'n' => bytes.push(b'\n'),
            b'r' => bytes.push(b'\r'),
            b't' => bytes.push(b'\t'),
            b'v' => bytes.push(0x0b),
            b'\\' | b'\'' | b'"' | b'?' => bytes.push(*escape),
            b'x' | b'X' => bytes.push(digits(&mut rest, 16, 2, 0)?),
            b'0'..=b'7' => bytes.push(digits(&mut rest, 8, 2, u32::from(*escape - b'0'))?),
            _ => return None,
        }
    }
    Some(bytes)
}

/// Up to `most` digits from `rest`, after those that make `value`.
fn digits(rest: &mut &[u8], radix: u32, most: usize, mut value: u32) -> Option<u8> {
    for _ in 0..most {
        let Some((digit, after)) = rest.split_first() else { break };
        let Some(digit) = char::from(*digit).to_digit(radix) else { break };
        value = value * radix + digit;
        *rest = after;
    }
    u8::try_from(value).ok()
}

/// A number with or without a point, `inf` or `nan`, from the form that descriptors hold.
pub(super) fn float(text: &str) -> Option<String> {
    if ["inf", "-inf", "nan", "-nan"].contains(&text) {
        return Some(text.to_owned());
    }
    let value: f64 = text.parse().ok()?;
    value.is_finite().then(|| shortest(format!("{value}"), || format!("{value:e}")))
}

pub(super) fn double(value: f64) -> String {
    if value.is_finite() { shortest(format!("{value}"), || format!("{value:e}")) } else { special(value) }
}

pub(super) fn single(value: f32) -> String {
    if value.is_finite() { shortest(format!("{value}"), || format!("{value:e}")) } else { special(f64::from(value)) }
}

fn shortest(plain: String, with_exponent: impl FnOnce() -> String) -> String {
    if plain.len() <= PLAIN_NUMBER_BYTES_MAX { plain } else { with_exponent() }
}

fn special(value: f64) -> String {
    let text = if value.is_nan() {
        "nan"
    } else if value < 0.0 {
        "-inf"
    } else {
        "inf"
    };
    text.to_owned()
}

pub(super) fn is_identifier(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Identifiers with dots between, and perhaps one before.
pub(super) fn is_type_name(text: &str) -> bool {
    text.strip_prefix('.').unwrap_or(text).split('.').all(is_identifier)
}

fn push_octal(text: &mut String, byte: u32) {
    write!(text, "\\{byte:03o}").expect("a string can always be written to");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_so_that_they_can_be_read_back() {
        assert_eq!(quote("a\"b\\c\nd\u{0}\u{7f}é"), "\"a\\\"b\\\\c\\nd\\000\\177é\"");
        assert_eq!(quote_bytes(b"a\"\\\n\xff "), "\"a\\\"\\\\\\012\\377 \"");
    }

    #[test]
    fn escapes_are_undone_or_refused() {
        assert_eq!(unescape("a\\n\\x4A\\112\\0\\\\\\'"), Some(b"a\nJJ\0\\'".to_vec()));
        assert_eq!(unescape("é"), Some("é".as_bytes().to_vec()));
        assert_eq!(unescape("\\x4é"), Some(b"\x04\xc3\xa9".to_vec()));
        assert_eq!(unescape("\\777"), None);
        assert_eq!(unescape("\\"), None);
        assert_eq!(unescape("\\q"), None);
    }

    #[test]
    fn numbers_are_short_and_exact() {
        for (text, expected) in
            [("1", "1"), ("0.5", "0.5"), ("1e+10", "10000000000"), ("1e300", "1e300"), ("-0", "-0"), ("-inf", "-inf")]
        {
            assert_eq!(float(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(float("1; option x = 2"), None);
        assert_eq!(float("infinity"), None);
        assert_eq!(double(f64::NEG_INFINITY), "-inf");
        assert_eq!(single(0.1), "0.1");
    }

    #[test]
    fn names_are_told_from_other_texts() {
        assert!(is_identifier("_a1") && !is_identifier("1a") && !is_identifier("") && !is_identifier("a-b"));
        assert!(is_type_name(".a.B") && is_type_name("B") && !is_type_name("a..B") && !is_type_name(".") && !is_type_name(""));
    }
}
