//! Topic patterns: `*` is one dot-separated word, `**` any number of words (none too), anywhere in the name.
//!
//! ```text
//!   order.*        order.placed, not order, not order.item.added
//!   **.failed      failed, payment.failed, a.b.failed
//!   a.**.z         a.z, a.b.z, a.b.c.z
//! ```
//! [`Patterns`] keeps, for each pattern in use, the topics that match it. A look asks the catalog's feed what changed since the last one, so it
//! costs as much as there are matches and changes, not as there are topics.
//!
//! Owner: [`Patterns`], under a lock for as long as the changes take; a new pattern is read outside of it. Bound: [`PATTERNS_MAX`] patterns and
//! [`MATCHES_MAX`] matches; the one that was used least recently is forgotten, and read anew when it comes back.

use super::{Catalog, Snapshot, Topic};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Patterns kept up to date, and topics that all of them match together.
const PATTERNS_MAX: usize = 1000;
const MATCHES_MAX: usize = 1_000_000;
/// Topics' names are no longer.
const LENGTH_MAX: usize = 249;

/// A pattern of topic names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    words: Vec<Word>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Exactly(String),
    /// `*`
    Any,
    /// `**`
    AnyNumber,
}

impl Pattern {
    /// Whether a name is a pattern at all.
    #[must_use]
    pub fn is_pattern(name: &str) -> bool {
        name.contains('*')
    }

    /// # Errors
    /// When a `*` stands beside other characters in a word.
    pub fn parse(pattern: &str) -> Result<Pattern, String> {
        if pattern.len() > LENGTH_MAX {
            return Err(format!("a pattern of {} characters is longer than any topic's name ({LENGTH_MAX})", pattern.len()));
        }
        let words = pattern.split('.').map(|word| match word {
            "*" => Ok(Word::Any),
            "**" => Ok(Word::AnyNumber),
            word if word.contains('*') => Err(format!(
                "{pattern:?} is no pattern: in {word:?}, '*' must be a whole word (order.*) or '**' any number of words"
            )),
            word => Ok(Word::Exactly(word.to_owned())),
        });
        Ok(Pattern { words: words.collect::<Result<_, _>>()? })
    }

    /// Whether `name` matches. Linear in the pattern's words times the name's.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let names: Vec<&str> = name.split('.').collect();
        // reached[i]: the words so far can take the first i words of the name.
        let mut reached = vec![false; names.len() + 1];
        reached[0] = true;
        for word in &self.words {
            let mut next = vec![false; names.len() + 1];
            for at in 0..=names.len() {
                next[at] = match word {
                    Word::AnyNumber => reached[at] || (at > 0 && next[at - 1]),
                    Word::Any => at > 0 && reached[at - 1] && !names[at - 1].is_empty(),
                    Word::Exactly(word) => at > 0 && reached[at - 1] && names[at - 1] == word,
                };
            }
            reached = next;
        }
        reached[names.len()]
    }

    /// What every match begins with.
    fn literal_prefix(&self) -> String {
        let mut prefix = String::new();
        for (at, word) in self.words.iter().enumerate() {
            let Word::Exactly(word) = word else { break };
            prefix.push_str(word);
            // Before `**` the dot may be missing: a.** takes a.
            if matches!(self.words.get(at + 1), Some(Word::Any | Word::Exactly(_))) {
                prefix.push('.');
            } else {
                break;
            }
        }
        prefix
    }
}

/// The topics that patterns match, kept up to date.
#[derive(Debug, Default)]
pub struct Patterns {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By project's prefix and pattern.
    matches: HashMap<(String, String), Matches>,
    looks: u64,
}

#[derive(Debug)]
struct Matches {
    pattern: Pattern,
    /// Changes up to this version of the catalog are in `topics`; later ones may be.
    version: u64,
    topics: BTreeMap<String, Arc<Topic>>,
    /// When it was used last, in looks.
    used: u64,
}

impl Patterns {
    /// The topics of a project (all whose names begin with `prefix`) that match `pattern`, by name; without internal ones.
    ///
    /// # Errors
    /// What is wrong with the pattern.
    pub fn topics(&self, catalog: &Catalog, prefix: &str, pattern: &str) -> Result<Vec<Arc<Topic>>, String> {
        // In this order: a change is in the snapshot before the feed tells of it.
        let version = catalog.feed().version();
        let snapshot = catalog.snapshot();
        let key = (prefix.to_owned(), pattern.to_owned());
        let mut known = self.lock();
        known.looks += 1;
        let now = known.looks;
        if let Some(matches) = known.matches.get_mut(&key)
            && let Some(changed) = catalog.feed().since(matches.version)
        {
            matches.follow(&snapshot, version, prefix, changed);
            matches.used = now;
            return Ok(matches.topics.values().cloned().collect());
        }
        drop(known);
        let matches = Matches { used: now, ..Matches::read(&snapshot, version, prefix, Pattern::parse(pattern)?) };
        let topics = matches.topics.values().cloned().collect();
        let mut known = self.lock();
        known.matches.insert(key, matches);
        known.forget_surplus();
        Ok(topics)
    }
}

impl Patterns {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn forget_surplus(&mut self) {
        let are_too_many = |known: &Known| {
            let matches: usize = known.matches.values().map(|matches| matches.topics.len()).sum();
            known.matches.len() > PATTERNS_MAX || (matches > MATCHES_MAX && known.matches.len() > 1)
        };
        while are_too_many(self)
            && let Some(oldest) = self.matches.iter().min_by_key(|(_, matches)| matches.used).map(|(key, _)| key.clone())
        {
            self.matches.remove(&oldest);
        }
    }
}

impl Matches {
    fn read(snapshot: &Snapshot, version: u64, prefix: &str, pattern: Pattern) -> Matches {
        let begin = format!("{prefix}{}", pattern.literal_prefix());
        let candidates = snapshot.topics.range(begin.clone()..).take_while(|(name, _)| name.starts_with(&begin));
        let mut matches = Matches { pattern, version, topics: BTreeMap::new(), used: 0 };
        for (name, topic) in candidates {
            if matches.takes(prefix, topic) {
                matches.topics.insert(name.clone(), topic.clone());
            }
        }
        matches
    }

    fn takes(&self, prefix: &str, topic: &Topic) -> bool {
        !is_hidden(&topic.name) && topic.name.strip_prefix(prefix).is_some_and(|name| self.pattern.matches(name))
    }

    /// Takes over what `snapshot` says of the topics that changed.
    fn follow(&mut self, snapshot: &Snapshot, version: u64, prefix: &str, changed: Vec<String>) {
        for name in changed {
            match snapshot.topics.get(&name) {
                Some(topic) if self.takes(prefix, topic) => {
                    self.topics.insert(name, topic.clone());
                }
                _ => {
                    self.topics.remove(&name);
                }
            }
        }
        self.version = version;
    }
}

/// Topics that HTTP and webhooks do not show: those that are ours or tools' own.
#[must_use]
pub fn is_hidden(name: &str) -> bool {
    name.starts_with("__")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::parse(pattern).expect("a pattern").matches(name)
    }

    #[test]
    fn a_star_is_a_whole_word() {
        for bad in ["order*", "*.or*der", "***", "a.**b", &"*.".repeat(125)] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
        assert!(Pattern::is_pattern("a.*") && !Pattern::is_pattern("a.b"));
    }

    #[test]
    fn one_star_is_one_word_and_two_are_any_number() {
        assert!(matches("order.*", "order.placed"));
        assert!(!matches("order.*", "order") && !matches("order.*", "order.item.added") && !matches("order.*", "orders.placed"));
        assert!(matches("**.failed", "failed") && matches("**.failed", "a.b.failed") && !matches("**.failed", "a.failed.b"));
        assert!(matches("a.**.z", "a.z") && matches("a.**.z", "a.b.c.z") && !matches("a.**.z", "a.b"));
        assert!(matches("**", "anything.at.all") && matches("*.*", "a.b") && !matches("*.*", "a"));
        assert!(matches("a.**", "a") && matches("**.b.**", "b") && matches("a.*.**", "a.b") && !matches("a.*.**", "a"));
    }

    #[test]
    fn long_patterns_and_names_cost_no_more_than_their_product() {
        // A backtracking matcher would take longer than the universe.
        let (pattern, name) = (["**.a"; 49].join("."), ["a"; 120].join("."));
        assert!(!matches(&format!("{pattern}.b"), &name));
        assert!(matches(&pattern, &name));
    }

    #[test]
    fn the_literal_prefix_is_in_every_match() {
        let prefix = |pattern| Pattern::parse(pattern).expect("a pattern").literal_prefix();
        assert_eq!(["order.*", "a.**", "**.a", "a.b.*.c", "a.b"].map(prefix), ["order.", "a", "", "a.b.", "a.b"]);
    }
}
