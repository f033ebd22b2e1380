//! What a topic asks of its records' keys and values: that they fit a schema of the registry. Confluent's names for the same are accepted beside
//! ours, which win.

use std::collections::BTreeMap;

/// What is asked of one topic's records. No topic has it that asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    pub key: Option<Rule>,
    pub value: Option<Rule>,
    pub on_invalid: OnInvalid,
}

/// What is asked of keys, or of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub depth: Depth,
    pub subject: SubjectName,
    /// The version that values without a schema id are held against; `None`: the latest.
    pub version: Option<i32>,
}

/// `….schema.validation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The schema id is one of the subject's.
    Id,
    /// And what follows it fits the schema.
    Full,
}

/// Under which subject the schema must be registered. Source: SubjectNameStrategy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectName {
    Fixed(String),
    /// `{topic}-key`, `{topic}-value`.
    Topic,
    /// The record's full name.
    Record,
    /// `{topic}-{record}`.
    TopicRecord,
}

/// `on.invalid.record`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnInvalid {
    /// The batch is refused whole.
    Refuse,
    /// The bad records go to `{topic}.dlq`.
    DeadLetter,
}

const ON_INVALID: &str = "on.invalid.record";

/// Reads the rules from a topic's overrides, each of which has passed its own check; `None`: nothing is asked.
///
/// # Errors
/// The first value that is wrong, in the form of Kafka's messages.
pub fn resolve(overrides: &BTreeMap<String, String>) -> Result<Option<Rules>, String> {
    let (key, value) = (rule(overrides, "key")?, rule(overrides, "value")?);
    if key.is_none() && value.is_none() {
        return Ok(None);
    }
    let on_invalid = match overrides.get(ON_INVALID).map(|value| value.trim()) {
        Some("dead-letter") => OnInvalid::DeadLetter,
        _ => OnInvalid::Refuse,
    };
    Ok(Some(Rules { key, value, on_invalid }))
}

fn rule(overrides: &BTreeMap<String, String>, part: &str) -> Result<Option<Rule>, String> {
    let get = |name: &str| overrides.get(name).map(|value| value.trim());
    let depth = match get(&format!("{part}.schema.validation")) {
        Some("full") => Depth::Full,
        Some("id") => Depth::Id,
        Some(_) => return Ok(None),
        // Confluent's brokers look at the id.
        None if get(&format!("confluent.{part}.schema.validation")).is_some_and(|value| value.eq_ignore_ascii_case("true")) => {
            Depth::Id
        }
        None => return Ok(None),
    };
    let strategy =
        get(&format!("{part}.schema.subject.name.strategy")).or(get(&format!("confluent.{part}.subject.name.strategy")));
    let subject = match get(&format!("{part}.schema.subject")).filter(|subject| !subject.is_empty()) {
        Some(subject) => SubjectName::Fixed(subject.to_owned()),
        None => match strategy.unwrap_or_default().rsplit('.').next() {
            Some("RecordNameStrategy") => SubjectName::Record,
            Some("TopicRecordNameStrategy") => SubjectName::TopicRecord,
            _ => SubjectName::Topic,
        },
    };
    let name = format!("{part}.schema.version");
    let version = match get(&name) {
        None | Some("" | "latest") => None,
        Some(text) => match text.parse::<i32>() {
            Ok(version) if version >= 1 => Some(version),
            _ => return Err(format!("Invalid value {text} for configuration {name}: expected latest, or a version from 1 on")),
        },
    };
    Ok(Some(Rule { depth, subject, version }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(overrides: &[(&str, &str)]) -> Option<Rules> {
        let overrides = overrides.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        resolve(&overrides).expect("valid")
    }

    #[test]
    fn a_topic_that_asks_for_nothing_has_no_rules() {
        assert_eq!(rules(&[]), None);
        assert_eq!(rules(&[("value.schema.validation", "none"), ("on.invalid.record", "dead-letter")]), None);
        assert_eq!(rules(&[("confluent.value.schema.validation", "false")]), None);
    }

    #[test]
    fn our_names_win_over_confluents() {
        let alias = rules(&[
            ("confluent.value.schema.validation", "true"),
            ("confluent.value.subject.name.strategy", "io.confluent.kafka.serializers.subject.RecordNameStrategy"),
        ]);
        let value = alias.and_then(|rules| rules.value).expect("a rule");
        assert_eq!((value.depth, value.subject), (Depth::Id, SubjectName::Record));
        let both = rules(&[("confluent.value.schema.validation", "true"), ("value.schema.validation", "full")]);
        assert_eq!(both.and_then(|rules| rules.value).map(|rule| rule.depth), Some(Depth::Full));
        assert_eq!(rules(&[("confluent.value.schema.validation", "true"), ("value.schema.validation", "none")]), None);
    }

    #[test]
    fn a_subject_wins_over_a_strategy() {
        let key = rules(&[
            ("key.schema.validation", "full"),
            ("key.schema.subject", "ids"),
            ("key.schema.subject.name.strategy", "RecordNameStrategy"),
            ("key.schema.version", "3"),
        ]);
        let key = key.and_then(|rules| rules.key).expect("a rule");
        assert_eq!((key.subject, key.version), (SubjectName::Fixed("ids".to_owned()), Some(3)));
    }

    #[test]
    fn versions_that_are_none_are_refused() {
        for version in ["0", "-1", "first"] {
            let overrides = [("value.schema.validation", "full"), ("value.schema.version", version)];
            let overrides = overrides.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            assert!(resolve(&overrides).is_err(), "{version}");
        }
    }
}
