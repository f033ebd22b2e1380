//! What the library says of a value or a schema, for people: short, and about the place that matters.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use std::fmt::{self, Write};

/// Characters of a value in a message, and of a message.
const VALUE_CHARACTERS_MAX: usize = 200;
const MESSAGE_CHARACTERS_MAX: usize = 600;
/// Unions inside of unions through which the reason is looked for.
const UNIONS_MAX: usize = 32;

/// Where in the value, as a JSON pointer, and what is wrong there.
pub(super) fn explain(error: &ValidationError<'_>) -> (String, String) {
    let error = closest(error, 0);
    let mut value = Cut::new(VALUE_CHARACTERS_MAX);
    let shown = if write!(value, "{}", error.instance()).is_ok() { value.text } else { value.cut() };
    let message = match error.kind() {
        ValidationErrorKind::FalseSchema => format!("{shown} is not allowed here"),
        _ => shorten(&error.masked_with(shown)),
    };
    (error.instance_path().as_str().to_owned(), message)
}

/// A text of at most [`VALUE_CHARACTERS_MAX`] characters.
pub(super) fn cut(text: &str) -> String {
    let mut shown = Cut::new(VALUE_CHARACTERS_MAX);
    if shown.write_str(text).is_ok() { shown.text } else { shown.cut() }
}

/// Anything, as a message.
pub(super) fn shorten(shown: &impl fmt::Display) -> String {
    let mut message = Cut::new(MESSAGE_CHARACTERS_MAX);
    if write!(message, "{shown}").is_ok() { message.text } else { message.cut() }
}

/// "Not valid under any of the schemas" helps nobody: the reason is where the schemas of a union got furthest, if that is inside of the value.
fn closest<'e, 'a>(error: &'e ValidationError<'a>, unions: usize) -> &'e ValidationError<'a> {
    let (ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context }) = error.kind() else {
        return error;
    };
    let own = error.instance_path().as_str().len();
    let inside = context.iter().flatten().filter(|reason| reason.instance_path().as_str().len() > own);
    // The first one of those that are as deep.
    let deepest = inside.fold(None, |best: Option<&'e ValidationError<'static>>, reason| match best {
        Some(best) if best.instance_path().as_str().len() >= reason.instance_path().as_str().len() => Some(best),
        _ => Some(reason),
    });
    match deepest {
        Some(deepest) if unions < UNIONS_MAX => closest(deepest, unions + 1),
        Some(deepest) => deepest,
        None => error,
    }
}

/// Takes characters up to a limit; an error says that there were more.
struct Cut {
    text: String,
    left: usize,
}

impl Cut {
    fn new(characters: usize) -> Cut {
        Cut { text: String::new(), left: characters }
    }

    fn cut(mut self) -> String {
        self.text.push('…');
        self.text
    }
}

impl Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(character);
        }
        Ok(())
    }
}
