//! One configuration as DescribeConfigs shows it: its value, where that comes from, and what else would have given it.
//!
//! Source: ConfigHelper.createTopicConfigEntry and createBrokerConfigEntry: the value's source is that of the first synonym.

use super::kafka::KafkaSettings;
use super::properties::{self, Kind, Mutability, Property};
use super::topic::broker_value;
use std::collections::BTreeMap;

/// Where a value comes from (DescribeConfigs' config source).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The topic's own override.
    DynamicTopic,
    /// The group's own override.
    DynamicGroup,
    /// Set for this broker while it runs.
    DynamicBroker,
    /// Set for all brokers while they run.
    DynamicDefaultBroker,
    /// Given to the broker: file, command line, or one of our own settings behind a Kafka name.
    StaticBroker,
    Default,
}

/// One way in which a configuration could have got its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synonym {
    pub name: String,
    /// `None`: secret.
    pub value: Option<String>,
    pub source: Source,
}

/// One configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    pub name: String,
    /// `None`: unset or secret.
    pub value: Option<String>,
    pub source: Source,
    pub kind: Kind,
    pub is_read_only: bool,
    pub is_sensitive: bool,
    pub doc: &'static str,
    /// The one that counts first, then what would count without it.
    pub synonyms: Vec<Synonym>,
}

/// The topic configuration `name` of a topic with these overrides; `None` when there is no such configuration.
#[must_use]
pub fn topic(name: &str, overrides: &BTreeMap<String, String>, kafka: &KafkaSettings) -> Option<Described> {
    let topic = properties::topic(name)?;
    let own = overrides.get(name).cloned();
    let mut synonyms = Vec::new();
    if let Some(value) = &own {
        synonyms.push(Synonym { name: name.to_owned(), value: Some(value.clone()), source: Source::DynamicTopic });
    }
    for synonym in topic.synonym {
        synonyms.extend(ways_to_set(synonym, kafka));
    }
    let value = own.or_else(|| broker_value(topic, kafka));
    Some(described(&topic.property, value, synonyms, false))
}

/// What was set for this broker, and for all brokers, while they run.
pub type Dynamic<'a> = [Option<&'a BTreeMap<String, String>>; 2];

/// The broker configuration `name`; `None` when Kafka documents no such property.
#[must_use]
pub fn broker(name: &str, dynamic: Dynamic, kafka: &KafkaSettings) -> Option<Described> {
    let property = properties::broker(name)?;
    let mut synonyms = changed(name, dynamic);
    let value = synonyms.first().and_then(|first| first.value.clone()).or_else(|| kafka.value(name).map(str::to_owned));
    for synonym in broker_synonyms(name) {
        synonyms.extend(ways_to_set(synonym, kafka));
    }
    Some(described(property, value, synonyms, property.mutability == Mutability::ReadOnly))
}

fn described(property: &Property, value: Option<String>, synonyms: Vec<Synonym>, is_read_only: bool) -> Described {
    Described {
        name: property.name.to_owned(),
        value: value.filter(|_| !property.is_sensitive()),
        source: synonyms.first().map_or(Source::Default, |synonym| synonym.source),
        kind: property.kind,
        is_read_only,
        is_sensitive: property.is_sensitive(),
        doc: property.doc,
        synonyms,
    }
}

/// As set while the broker runs: for it, then for all.
#[must_use]
pub fn changed(name: &str, [broker, all]: Dynamic) -> Vec<Synonym> {
    let set = [(broker, Source::DynamicBroker), (all, Source::DynamicDefaultBroker)].into_iter();
    let set = set.filter_map(|(overrides, source)| Some((overrides?.get(name)?.clone(), source)));
    set.map(|(value, source)| Synonym { name: name.to_owned(), value: Some(value), source }).collect()
}

/// As given to the broker, then Kafka's default; neither where the property is unset.
fn ways_to_set(name: &str, kafka: &KafkaSettings) -> Vec<Synonym> {
    let Some(property) = properties::broker(name) else { return Vec::new() };
    let given = kafka.given(name).map(|value| (value, Source::StaticBroker));
    let default = property.default.map(|value| (value, Source::Default));
    let shown = |value: &str| (!property.is_sensitive()).then(|| value.to_owned());
    given
        .into_iter()
        .chain(default)
        .map(|(value, source)| Synonym { name: name.to_owned(), value: shown(value), source })
        .collect()
}

/// Broker properties that give each other's value in other units (DynamicBrokerConfig.brokerConfigSynonyms).
fn broker_synonyms(name: &str) -> Vec<&str> {
    match name {
        "log.roll.ms" | "log.roll.hours" => vec!["log.roll.ms", "log.roll.hours"],
        "log.roll.jitter.ms" | "log.roll.jitter.hours" => vec!["log.roll.jitter.ms", "log.roll.jitter.hours"],
        "log.flush.interval.ms" => vec!["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
        "log.retention.ms" | "log.retention.minutes" | "log.retention.hours" => {
            vec!["log.retention.ms", "log.retention.minutes", "log.retention.hours"]
        }
        other => vec![other],
    }
}
