//! What versions of a schema are registered under: a name within a context. `:.context:name` names both, `name` alone the default context.
//! Source: QualifiedSubject.

use std::fmt;

/// The context of subjects that name none; shown as `.`.
pub const DEFAULT_CONTEXT: &str = ".";
/// The longest name: a topic's with a suffix is far below.
const NAME_BYTES_MAX: usize = 1024;

/// See the file's header. Ordered by context, then by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// With the leading `.`.
    pub context: String,
    /// Empty: the context as a whole, where a configuration or a mode is meant.
    pub name: String,
}

impl Subject {
    /// Reads a qualified or plain name; `None` when it is no name of a subject.
    #[must_use]
    pub fn parse(text: &str) -> Option<Subject> {
        let subject = Subject::parse_scope(text)?;
        (!subject.name.is_empty()).then_some(subject)
    }

    /// As [`Subject::parse`]; `:.context:` names a context as a whole.
    #[must_use]
    pub fn parse_scope(text: &str) -> Option<Subject> {
        if text.len() > NAME_BYTES_MAX || text.is_empty() || text.chars().any(char::is_control) {
            return None;
        }
        match text.strip_prefix(":.") {
            None => Some(Subject { context: DEFAULT_CONTEXT.to_owned(), name: text.to_owned() }),
            Some(rest) => {
                let (context, name) = rest.split_once(':')?;
                // Such a name would be read as one of another context.
                (!name.starts_with(":.")).then(|| Subject { context: format!(".{context}"), name: name.to_owned() })
            }
        }
    }

    /// A subject of the default context.
    #[must_use]
    pub fn plain(name: impl Into<String>) -> Subject {
        Subject { context: DEFAULT_CONTEXT.to_owned(), name: name.into() }
    }

    /// Another subject of the same context.
    #[must_use]
    pub fn beside(&self, name: impl Into<String>) -> Subject {
        Subject { context: self.context.clone(), name: name.into() }
    }

    /// The context of this subject as a whole.
    #[must_use]
    pub fn scope(&self) -> Subject {
        self.beside("")
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.context == DEFAULT_CONTEXT { f.write_str(&self.name) } else { write!(f, ":{}:{}", self.context, self.name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_a_context_are_of_the_default_one() {
        for (text, context, name) in
            [("orders-value", ".", "orders-value"), (":.staging:orders", ".staging", "orders"), (":.:a", ".", "a")]
        {
            let subject = Subject::parse(text).expect("a name");
            assert_eq!((subject.context.as_str(), subject.name.as_str()), (context, name));
            assert_eq!(Subject::parse(&subject.to_string()), Some(subject), "{text} reads back");
        }
    }

    #[test]
    fn what_is_no_name_is_none() {
        for text in ["", ":.::.a:b", ":.staging", ":.staging:", "a\nb", &"x".repeat(2000)] {
            assert_eq!(Subject::parse(text), None, "{text:?}");
        }
        assert!(Subject::parse_scope(":.staging:").is_some_and(|scope| scope.name.is_empty()));
    }
}
