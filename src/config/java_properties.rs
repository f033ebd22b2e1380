//! The syntax of `server.properties` (java.util.Properties.load): comments, three kinds of separators, continued lines, escapes.

use std::iter::Peekable;
use std::str::Chars;

/// One `key = value`, with the line (from 1) on which it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub line: usize,
    pub key: String,
    pub value: String,
}

/// The text of a file: UTF-8, and what is not that as ISO-8859-1, which is how Java reads all of them.
#[must_use]
pub fn decode(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

/// All entries in order; a key may occur more than once, and the last one counts.
///
/// # Errors
/// The line and the reason, where a `\u` escape is not four hexadecimal digits that make a character.
pub fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    for (line, logical) in logical_lines(text) {
        let mut rest = logical.chars().peekable();
        let key = unescaped(&mut rest, is_separator).map_err(|reason| format!("line {line}: {reason}"))?;
        skip(&mut rest, is_blank);
        // One = or : may stand between the blanks; a second one belongs to the value.
        if rest.next_if(|&c| c == '=' || c == ':').is_some() {
            skip(&mut rest, is_blank);
        }
        let value = unescaped(&mut rest, |_| false).map_err(|reason| format!("line {line}: {reason}"))?;
        entries.push(Entry { line, key, value });
    }
    Ok(entries)
}

/// Lines without comments and blank ones, continued lines joined, each with the number of its first.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    // Set while the line before ended with a backslash that was not escaped itself.
    let mut open: Option<(usize, String)> = None;
    for (index, natural) in text.lines().enumerate() {
        let line = natural.trim_start_matches(is_blank).trim_end_matches('\r');
        let is_comment = open.is_none() && (line.is_empty() || line.starts_with(['#', '!']));
        if is_comment {
            continue;
        }
        let (first, mut logical) = open.take().unwrap_or((index + 1, String::new()));
        let backslashes = line.bytes().rev().take_while(|&byte| byte == b'\\').count();
        if backslashes % 2 == 1 {
            logical.push_str(line.strip_suffix('\\').unwrap_or(line));
            open = Some((first, logical));
        } else {
            logical.push_str(line);
            lines.push((first, logical));
        }
    }
    lines.extend(open);
    lines
}

/// Reads up to the first character for which `ends` holds outside an escape, and undoes the escapes.
fn unescaped(rest: &mut Peekable<Chars<'_>>, ends: impl Fn(char) -> bool) -> Result<String, String> {
    let mut text = String::new();
    while let Some(next) = rest.next_if(|&c| !ends(c)) {
        if next != '\\' {
            text.push(next);
            continue;
        }
        match rest.next() {
            Some('t') => text.push('\t'),
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('f') => text.push('\u{c}'),
            Some('u') => text.push(unicode(rest)?),
            Some(other) => text.push(other),
            None => {}
        }
    }
    Ok(text)
}

fn unicode(rest: &mut Peekable<Chars<'_>>) -> Result<char, String> {
    let digits: String = rest.take(4).collect();
    let code = (digits.len() == 4).then(|| u32::from_str_radix(&digits, 16).ok()).flatten();
    code.and_then(char::from_u32).ok_or_else(|| format!("\\u{digits} is not a character in four hexadecimal digits"))
}

fn skip(rest: &mut Peekable<Chars<'_>>, what: fn(char) -> bool) {
    while rest.next_if(|&c| what(c)).is_some() {}
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

fn is_separator(c: char) -> bool {
    is_blank(c) || c == '=' || c == ':'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_utf8_is_iso_8859_1() {
        assert_eq!(decode("a=ü".as_bytes()), "a=ü");
        assert_eq!(decode(b"# f\xfcr uns\na=\xfc"), "# für uns\na=ü");
    }
}
