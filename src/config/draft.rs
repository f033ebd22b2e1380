//! A configuration while its sources are read, one over the other: file, `server.properties`, `--set`, flags.

use super::kafka::KafkaSettings;
use super::keys::{self, Given};
use super::properties::{self, Effect};
use super::suggestions::did_you_mean;
use super::topic::TopicSettings;
use super::{Config, java_properties, kafka_names};
use std::collections::{BTreeMap, BTreeSet};

/// What has been read so far.
#[derive(Default)]
pub(super) struct Draft {
    pub config: Config,
    /// Every Kafka property given so far; a later source replaces an earlier one's.
    explicit: BTreeMap<String, String>,
    /// Names in a `server.properties` that Kafka 4.3.1 does not have: it ignores them, and we say so.
    unknown: BTreeSet<String>,
    warnings: Vec<String>,
}

impl Draft {
    /// Takes a `server.properties`. Names that Kafka does not know are remembered for the warning, as Kafka itself only warns of them.
    pub fn apply_properties(&mut self, text: &str) -> Result<(), String> {
        let mut known = BTreeMap::new();
        for entry in java_properties::parse(text)? {
            if is_kafkas(&entry.key) {
                known.insert(entry.key, entry.value);
            } else {
                self.unknown.insert(entry.key);
            }
        }
        self.apply_kafka(known)
    }

    /// Takes the `key=value` pairs of `--set`: our own keys as `section.key`, or Kafka's broker properties by their names.
    pub fn apply_set(&mut self, pairs: &[String]) -> Result<(), String> {
        let mut kafka = BTreeMap::new();
        let mut own = Vec::new();
        for pair in pairs {
            let (name, value) = pair.split_once('=').ok_or_else(|| format!("{pair:?} has no '='; write key=value"))?;
            let name = name.trim();
            if let Some(key) = keys::find(name) {
                own.push((key, value.trim()));
            } else {
                // In the file Kafka's properties stand in the section [kafka], so that is what some will write here.
                let bare = name.strip_prefix("kafka.").filter(|bare| !is_kafkas(name) && is_kafkas(bare)).unwrap_or(name);
                if !is_kafkas(bare) {
                    return Err(unknown_anywhere(bare));
                }
                kafka.insert(bare.to_owned(), value.to_owned());
            }
        }
        self.apply_kafka(kafka)?;
        own.into_iter().try_for_each(|(key, value)| key.set(&mut self.config, &Given::Text(value)))
    }

    /// Takes Kafka properties of one source: all must exist, be of their type and within bounds. What has a place in our own
    /// configuration goes there.
    pub fn apply_kafka(&mut self, batch: BTreeMap<String, String>) -> Result<(), String> {
        if let Some(name) = batch.keys().find(|name| !is_kafkas(name)) {
            return Err(unknown_property(name));
        }
        let names: Vec<String> = batch.keys().cloned().collect();
        self.explicit.extend(batch);
        // Both are built again from all sources at the end; here they show which source is wrong.
        let kafka = KafkaSettings::new(self.explicit.clone())?;
        TopicSettings::resolve(&BTreeMap::new(), &kafka)?;
        self.warnings.extend(kafka_names::apply(&mut self.config, &names, &self.explicit)?);
        Ok(())
    }

    /// The configuration and the warnings about it.
    pub fn finish(mut self) -> Result<(Config, Vec<String>), String> {
        let limits = &self.config.limits;
        if limits.memory_bytes < limits.request_bytes {
            return Err(format!(
                "limits.memory_bytes ({}) is below limits.request_bytes ({}): the largest request could never be read",
                limits.memory_bytes, limits.request_bytes
            ));
        }
        self.config.http.check(self.config.schema.address())?;
        self.config.hooks.check()?;
        self.config.http.check_webhooks(&self.config.hooks.dead_letter_topic)?;
        if self.config.kafka.explicit != self.explicit {
            self.config.kafka = KafkaSettings::new(self.explicit.clone())?;
        }
        self.config.kafka.effective = kafka_names::effective(&self.config);
        self.warn_of_idle_properties();
        Ok((self.config, self.warnings))
    }

    fn warn_of_idle_properties(&mut self) {
        let with = |effect: Effect| {
            let has = move |name: &&String| properties::broker(name).map_or(Effect::NoMeaning, |known| known.effect) == effect;
            self.explicit.keys().filter(has).cloned().collect::<Vec<String>>()
        };
        let mut ignored = with(Effect::NoMeaning);
        let stored = with(Effect::Stored);
        ignored.extend(self.unknown.iter().map(|name| format!("{name} (unknown)")));
        if !ignored.is_empty() {
            self.warnings.push(format!("these Kafka settings have no meaning here and were ignored: {}", ignored.join(", ")));
        }
        if !stored.is_empty() {
            self.warnings.push(format!("these Kafka settings are kept and shown, but have no effect yet: {}", stored.join(", ")));
        }
    }
}

/// Whether Kafka 4.3.1 has a broker property of this name, documented or not.
fn is_kafkas(name: &str) -> bool {
    properties::broker(name).is_some() || properties::broker::is_undocumented(name)
}

/// About a name that stands where only Kafka's properties may.
fn unknown_property(name: &str) -> String {
    let hint = topic_hint(name).unwrap_or_else(|| did_you_mean(name, properties::BROKER.iter().map(|property| property.name)));
    format!("unknown Kafka broker property {name}{hint}")
}

/// About a name after `--set`, which may be ours or Kafka's.
fn unknown_anywhere(name: &str) -> String {
    let all = keys::KEYS.iter().map(|key| key.name).chain(properties::BROKER.iter().map(|property| property.name));
    format!("unknown key {name}{}", topic_hint(name).unwrap_or_else(|| did_you_mean(name, all)))
}

/// Topics' own names are a likely mistake: `retention.ms` for `log.retention.ms`.
fn topic_hint(name: &str) -> Option<String> {
    let synonym = properties::topic(name)?.synonym.first()?;
    Some(format!(", which is a topic's; did you mean the broker's {synonym}?"))
}
