//! One file before its names are resolved: a .proto text, or a descriptor in base64.

use super::limits::{NESTING_MAX, TEXT_BYTES_MAX};
use crate::schema::format::InvalidSchema;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use prost_types::FileDescriptorProto;
use protox::file::File;

/// Characters of an error: the library quotes what it found, however long that is.
const ERROR_CHARS_MAX: usize = 400;

/// A file, with its imports by name.
#[derive(Debug)]
pub(super) enum Source {
    Text {
        text: String,
        file: FileDescriptorProto,
    },
    /// The bytes are kept: `file` has lost the custom options, whose types are known only once the imports are.
    Encoded {
        bytes: Vec<u8>,
        file: FileDescriptorProto,
    },
    /// From the library itself.
    Known(FileDescriptorProto),
}

impl Source {
    /// Reads a text as it was registered. confluent-kafka for Python registers the base64 of a `FileDescriptorProto`.
    pub(super) fn read(name: &str, text: &str) -> Result<Source, InvalidSchema> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(InvalidSchema(format!("{name} has {} bytes, more than {TEXT_BYTES_MAX}", text.len())));
        }
        if let Some((bytes, file)) = decode(text.trim()) {
            check_syntax(name, &file)?;
            return Ok(Source::Encoded { bytes, file });
        }
        Ok(Source::Text { text: text.to_owned(), file: parse(name, text)? })
    }

    pub(super) fn file(&self) -> &FileDescriptorProto {
        match self {
            Source::Text { file, .. } | Source::Encoded { file, .. } | Source::Known(file) => file,
        }
    }
}

/// Parses a .proto text; names are not resolved yet. Errors begin with file, line and column.
pub(super) fn parse(name: &str, text: &str) -> Result<FileDescriptorProto, InvalidSchema> {
    let shape = shape(text);
    if shape.depth > NESTING_MAX {
        return Err(InvalidSchema(format!("{name}: braces nest {} deep, more than {NESTING_MAX}", shape.depth)));
    }
    match File::from_source(name, text) {
        Ok(file) => Ok(file.into()),
        Err(_) if shape.first_word == "edition" => {
            Err(InvalidSchema(format!("{name}: editions are not supported; use syntax = \"proto2\" or \"proto3\"")))
        }
        // Only the Debug form has line and column.
        Err(error) => Err(InvalidSchema(clipped(&format!("{error:?}")))),
    }
}

/// The beginning of a text that may quote anything.
pub(super) fn clipped(text: &str) -> String {
    match text.char_indices().nth(ERROR_CHARS_MAX) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The descriptor in a base64 text. No .proto text but an empty one consists of these characters only, so there is no doubt.
fn decode(text: &str) -> Option<(Vec<u8>, FileDescriptorProto)> {
    if text.is_empty() {
        return None;
    }
    let bytes = STANDARD.decode(text).ok()?;
    let file = FileDescriptorProto::decode(bytes.as_slice()).ok()?;
    let has_content = file.name.is_some()
        || !file.message_type.is_empty()
        || !file.enum_type.is_empty()
        || !file.service.is_empty()
        || !file.extension.is_empty();
    has_content.then_some((bytes, file))
}

fn check_syntax(name: &str, file: &FileDescriptorProto) -> Result<(), InvalidSchema> {
    match file.syntax() {
        "" | "proto2" | "proto3" => Ok(()),
        other => Err(InvalidSchema(clipped(&format!("{name}: syntax {other:?} is not supported; use \"proto2\" or \"proto3\"")))),
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Shape {
    /// How deep `{`, `[`, `(` and `<` nest outside of strings and comments.
    depth: usize,
    first_word: String,
}

/// Looks at a text as the lexer does. Where the two could disagree the text has an error, and the parser stops before it recurses.
fn shape(text: &str) -> Shape {
    let mut shape = Shape::default();
    let mut depth = 0_usize;
    let mut is_first_word_over = false;
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' | b'\'' => skip_string(&mut bytes, byte),
            // A comment in option values only; elsewhere it is an error.
            b'#' => skip_line(&mut bytes),
            b'/' if bytes.peek() == Some(&b'/') => skip_line(&mut bytes),
            b'/' if bytes.peek() == Some(&b'*') => {
                bytes.next();
                skip_block(&mut bytes);
            }
            b'{' | b'[' | b'(' | b'<' => {
                depth += 1;
                shape.depth = shape.depth.max(depth);
            }
            b'}' | b']' | b')' | b'>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if !is_first_word_over {
            if byte.is_ascii_alphabetic() {
                shape.first_word.push(char::from(byte));
            }
            is_first_word_over = !shape.first_word.is_empty() && !byte.is_ascii_alphabetic();
        }
    }
    shape
}

fn skip_string(bytes: &mut impl Iterator<Item = u8>, quote: u8) {
    let mut is_escaped = false;
    for byte in bytes {
        // A string ends with its line, too: that is an error.
        if byte == b'\n' || (byte == quote && !is_escaped) {
            return;
        }
        is_escaped = byte == b'\\' && !is_escaped;
    }
}

fn skip_line(bytes: &mut impl Iterator<Item = u8>) {
    for byte in bytes {
        if byte == b'\n' {
            return;
        }
    }
}

fn skip_block(bytes: &mut impl Iterator<Item = u8>) {
    let mut before = 0;
    for byte in bytes {
        if before == b'*' && byte == b'/' {
            return;
        }
        before = byte;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(text: &str) -> usize {
        shape(text).depth
    }

    #[test]
    fn nesting_is_counted_outside_of_strings_and_comments() {
        assert_eq!(depth(""), 0);
        assert_eq!(depth("message A { map<int32, int32> a = 1; }"), 2);
        assert_eq!(depth("// {{{\n/* {{ */ # {{\n{ '{{' \"{\\\"{\" }"), 1);
        assert_eq!(depth("'\\\\' { }"), 1);
        // A comment cannot hide that a brace was opened.
        assert_eq!(depth("{ # }\n{ /* } */ { // }\n{ '}' {"), 5);
        assert_eq!(depth("}}}} {"), 1);
    }

    #[test]
    fn unterminated_strings_and_comments_end() {
        assert_eq!(depth("\"{\n{"), 1);
        assert_eq!(depth("\"{\\"), 0);
        assert_eq!(depth("\"{\\\n{"), 1);
        assert_eq!(depth("/* {"), 0);
        assert_eq!(depth("{ // {"), 1);
    }

    #[test]
    fn the_first_word_is_found_after_comments() {
        assert_eq!(shape("/* edition */ // syntax\n edition = \"2023\";").first_word, "edition");
        assert_eq!(shape("syntax=\"proto3\"").first_word, "syntax");
    }

    #[test]
    fn long_errors_are_clipped_between_characters() {
        assert_eq!(clipped("short"), "short");
        assert_eq!(clipped(&"é".repeat(1_000)), format!("{}…", "é".repeat(ERROR_CHARS_MAX)));
    }
}
