//! One configuration as DescribeConfigs shows it: its value, where that comes from, and what else would have given it.
//!
//! Source: ConfigHelper.createTopicConfigEntry and createBrokerConfigEntry: the value's source is that of the first synonym. Values are shown as
//! Kafka reads them ([`Property::canonical`]), and so is a topic's own among the synonyms; the others of them are as they were typed.

use super::kafka::KafkaSettings;
use super::properties::{self, Kind, Mutability, Property};
use super::topic::broker_value;
use std::collections::{BTreeMap, BTreeSet};

/// Where a value comes from (DescribeConfigs' config source).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The topic's own override.
    DynamicTopic,
    /// The group's own override.
    DynamicGroup,
    /// The client metrics subscription's own.
    ClientMetrics,
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
    /// `None`: nobody knows.
    pub kind: Option<Kind>,
    pub is_read_only: bool,
    pub is_sensitive: bool,
    pub doc: &'static str,
    /// The one that counts first, then what would count without it.
    pub synonyms: Vec<Synonym>,
}

/// What was set for this broker, and for all brokers, while they run.
pub type Dynamic<'a> = [Option<&'a BTreeMap<String, String>>; 2];

/// A broker's properties and where they come from.
#[derive(Debug, Clone, Copy)]
pub struct Brokers<'a> {
    /// As the broker was started.
    pub given: &'a KafkaSettings,
    /// As they are now.
    pub effective: &'a KafkaSettings,
    pub changed: Dynamic<'a>,
}

impl<'a> Brokers<'a> {
    /// Those of a broker for which nothing was set since its start.
    #[must_use]
    pub fn unchanged(kafka: &'a KafkaSettings) -> Brokers<'a> {
        Brokers { given: kafka, effective: kafka, changed: [None, None] }
    }

    /// The names that were set while the broker runs, and that Kafka does not have.
    #[must_use]
    pub fn unknown_names(&self) -> BTreeSet<&'a str> {
        let set = self.changed.into_iter().flatten().flat_map(BTreeMap::keys).map(String::as_str);
        set.filter(|name| properties::broker(name).is_none()).collect()
    }

    /// What one source says of the broker property `name`.
    fn value_from(&self, source: Source, name: &str) -> Option<&'a str> {
        let [broker, all] = self.changed;
        match source {
            Source::DynamicBroker => broker?.get(name).map(String::as_str),
            Source::DynamicDefaultBroker => all?.get(name).map(String::as_str),
            Source::StaticBroker => self.given.given(name),
            Source::Default => properties::broker(name)?.default,
            Source::DynamicTopic | Source::DynamicGroup | Source::ClientMetrics => None,
        }
    }
}

/// Where the value of a broker property may come from, what counts first in front.
const BROKER_SOURCES: [Source; 4] = [Source::DynamicBroker, Source::DynamicDefaultBroker, Source::StaticBroker, Source::Default];

/// Whether the value of the broker property `name` is never shown: of one that nobody knows, nobody knows what it is
/// (KafkaConfig.maybeSensitive).
#[must_use]
pub fn is_secret(name: &str) -> bool {
    properties::broker_or_listener(name).is_none_or(Property::is_sensitive)
}

/// The topic configuration `name` of a topic with these overrides; `None` when there is no such configuration.
#[must_use]
pub fn topic(name: &str, overrides: &BTreeMap<String, String>, brokers: Brokers<'_>) -> Option<Described> {
    let topic = properties::topic(name)?;
    let own = overrides.get(name).map(|value| topic.property.canonical(value));
    let mut synonyms = Vec::new();
    if let Some(value) = &own {
        synonyms.push(Synonym { name: name.to_owned(), value: Some(value.clone()), source: Source::DynamicTopic });
    }
    synonyms.extend(from_its_name(topic.synonym.first().copied().unwrap_or_default(), ways_to_set(topic.synonym, brokers)));
    let of_broker = || broker_value(topic, brokers.effective).map(|value| topic.property.canonical(&value));
    let value = own.or_else(of_broker);
    Some(described(&topic.property, value, synonyms, false))
}

/// The broker configuration `name`; `None` when Kafka documents no such property, and nobody has set it while the broker runs.
#[must_use]
pub fn broker(name: &str, brokers: Brokers<'_>) -> Option<Described> {
    let synonyms = from_its_name(name, ways_to_set(&broker_synonyms(name), brokers));
    let Some(property) = properties::broker(name) else {
        return match properties::broker_or_listener(name) {
            // What was set for one listener.
            Some(property) if !synonyms.is_empty() => {
                Some(Described { name: name.to_owned(), ..by_synonyms(property, synonyms) })
            }
            _ => unknown(name, synonyms),
        };
    };
    let value = brokers.effective.value(name).map(|value| property.canonical(value));
    Some(described(property, value, synonyms, property.mutability == Mutability::ReadOnly))
}

/// What was set of `name` for all brokers while they run, by itself; `None`: nothing.
#[must_use]
pub fn all_brokers(name: &str, brokers: Brokers<'_>) -> Option<Described> {
    let [_, all] = brokers.changed;
    let value = all?.get(name)?.clone();
    let mut described = broker(name, Brokers { changed: [None, all], ..brokers })?;
    described.value = (!described.is_sensitive).then_some(value);
    described.source = Source::DynamicDefaultBroker;
    described.synonyms.retain(|synonym| synonym.source == Source::DynamicDefaultBroker);
    Some(described)
}

/// A configuration that has its value from the first of `synonyms`.
#[must_use]
pub fn by_synonyms(property: &Property, synonyms: Vec<Synonym>) -> Described {
    let value = synonyms.first().and_then(|first| first.value.clone());
    described(property, value, synonyms, false)
}

fn described(property: &Property, value: Option<String>, synonyms: Vec<Synonym>, is_read_only: bool) -> Described {
    Described {
        name: property.name.to_owned(),
        value: value.filter(|_| !property.is_sensitive()),
        source: synonyms.first().map_or(Source::Default, |synonym| synonym.source),
        kind: Some(property.kind),
        is_read_only,
        is_sensitive: property.is_sensitive(),
        doc: property.doc,
        synonyms,
    }
}

/// A property that nobody knows, as Kafka shows one.
fn unknown(name: &str, synonyms: Vec<Synonym>) -> Option<Described> {
    let source = synonyms.first()?.source;
    Some(Described {
        name: name.to_owned(),
        value: None,
        source,
        kind: None,
        is_read_only: true,
        is_sensitive: true,
        doc: "",
        synonyms,
    })
}

/// As set while the broker runs: for it, then for all.
#[must_use]
pub fn changed(name: &str, [broker, all]: Dynamic) -> Vec<Synonym> {
    let set = [(broker, Source::DynamicBroker), (all, Source::DynamicDefaultBroker)].into_iter();
    let set = set.filter_map(|(overrides, source)| Some((overrides?.get(name)?.clone(), source)));
    set.map(|(value, source)| Synonym { name: name.to_owned(), value: Some(value), source }).collect()
}

/// What comes before the first under this very name gives the value of another property, and all of them do where none is under it
/// (ConfigHelper.configSynonyms).
fn from_its_name(name: &str, mut ways: Vec<Synonym>) -> Vec<Synonym> {
    let first = ways.iter().position(|synonym| synonym.name == name);
    ways.drain(..first.unwrap_or(ways.len()));
    ways
}

/// All that gives a value to one of the broker properties `names`, what counts first in front.
fn ways_to_set(names: &[&str], brokers: Brokers<'_>) -> Vec<Synonym> {
    let mut ways = Vec::new();
    for source in BROKER_SOURCES {
        for name in names {
            if let Some(value) = brokers.value_from(source, name) {
                let value = (!is_secret(name)).then(|| value.to_owned());
                ways.push(Synonym { name: (*name).to_owned(), value, source });
            }
        }
    }
    ways
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
