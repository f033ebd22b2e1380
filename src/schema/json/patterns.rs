//! What the patterns of a schema cost: their memory when they are compiled, their time on a string.
//!
//! The engine is linear in the string, but also in the size of the compiled pattern in the worst case. So patterns are compiled here once, to
//! see in which class of sizes they are; all together have an upper bound, and long strings are charged by the largest one.

use super::prepare::Census;
use crate::schema::format::InvalidSchema;
use regex::RegexBuilder;

/// Bytes of one compiled pattern at most. `\p{L}{1,50}` takes about half of it, `(a{1000}){1000}` many times as much.
pub(super) const COMPILED_BYTES_MAX: usize = 1 << 20;
/// Bytes of what a pattern remembers while it runs, for each thread.
pub(super) const MEMORY_BYTES_MAX: usize = 128 << 10;
const ALL_COMPILED_BYTES_MAX: usize = 16 << 20;

/// Sizes of compiled patterns, and the steps that 16 bytes of a string cost with the largest pattern in it.
const CLASSES: [(usize, u64); 4] = [(4 << 10, 4), (32 << 10, 32), (256 << 10, 256), (COMPILED_BYTES_MAX, 2048)];

/// What a look at a value costs under a schema.
#[derive(Debug, Clone, Copy)]
pub(super) struct Costs {
    /// Steps for 16 bytes of a string.
    pub(super) string: u64,
    /// Steps for a member of an object.
    pub(super) member: u64,
    /// What all patterns take, at most.
    pub(super) compiled_bytes: usize,
}

impl Costs {
    pub(super) fn of(census: &Census) -> Result<Costs, InvalidSchema> {
        let mut bytes = 0_usize;
        let mut string = 1;
        for pattern in &census.patterns {
            let (class, cost) = class_of(pattern).map_err(|why| unsupported(pattern, &why))?;
            bytes = bytes.saturating_add(class);
            string = string.max(cost);
            if bytes > ALL_COMPILED_BYTES_MAX {
                return Err(InvalidSchema("the patterns of the schema are too large, all together".to_owned()));
            }
        }
        let patterns = u64::try_from(census.pattern_properties).unwrap_or(u64::MAX);
        let member = if patterns == 0 { 1 } else { patterns.saturating_mul(string).saturating_add(1) };
        Ok(Costs { string, member, compiled_bytes: bytes })
    }
}

/// The class of a pattern; an error when it is in none. A pattern that only the library understands counts as large.
fn class_of(pattern: &str) -> Result<(usize, u64), String> {
    let largest = (COMPILED_BYTES_MAX, 2048);
    for (bytes, cost) in CLASSES {
        match RegexBuilder::new(&in_ascii(pattern)).size_limit(bytes).build() {
            Ok(_) => return Ok((bytes, cost)),
            Err(regex::Error::CompiledTooBig(_)) => {}
            Err(_) => return Ok(largest),
        }
    }
    Err(format!("compiled, it is larger than {COMPILED_BYTES_MAX} bytes"))
}

/// Says that a pattern is refused, and why.
pub(super) fn unsupported(pattern: &str, why: &str) -> InvalidSchema {
    InvalidSchema(format!("the pattern {:?} is not supported: {why}", super::message::cut(pattern)))
}

/// Why the engine does not take a pattern.
pub(super) fn reason(pattern: &str) -> String {
    match RegexBuilder::new(&in_ascii(pattern)).size_limit(COMPILED_BYTES_MAX).build() {
        // The last line of the engine's drawing says what is wrong.
        Err(regex::Error::Syntax(drawing)) => drawing.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
        Err(error) => error.to_string(),
        Ok(_) => "it is no regular expression of ECMA-262".to_owned(),
    }
}

/// `\d` and `\w` mean ASCII in ECMA-262, and are many times larger elsewhere.
fn in_ascii(pattern: &str) -> String {
    let mut translated = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            translated.push(character);
            continue;
        }
        match characters.next() {
            Some('d') => translated.push_str("[0-9]"),
            Some('D') => translated.push_str("[^0-9]"),
            Some('w') => translated.push_str("[0-9A-Za-z_]"),
            Some('W') => translated.push_str("[^0-9A-Za-z_]"),
            Some(escaped) => {
                translated.push('\\');
                translated.push(escaped);
            }
            None => translated.push('\\'),
        }
    }
    translated
}
