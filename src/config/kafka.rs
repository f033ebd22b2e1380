//! The Kafka broker properties that we honour, typed, and all that the operator gave, by name.
//!
//! Owner: part of the configuration, fixed at start. What topics default from (`log.retention.ms` …) is resolved by [`super::topic`].

use super::properties;
use std::collections::BTreeMap;

/// Broker properties under Kafka's names, with `_` for `.`; units are in the names.
#[derive(Debug, Clone, PartialEq)]
pub struct KafkaSettings {
    pub num_partitions: i32,
    pub auto_create_topics_enable: bool,
    pub default_replication_factor: i16,
    pub delete_topic_enable: bool,
    /// Not Kafka's: takes replication factors above the number of brokers.
    pub accept_any_replication_factor: bool,
    pub offsets_topic_num_partitions: i32,
    pub offsets_retention_minutes: i64,
    pub offsets_retention_check_interval_ms: i64,
    pub offset_metadata_max_bytes: i32,
    pub group_initial_rebalance_delay_ms: i64,
    pub group_min_session_timeout_ms: i32,
    pub group_max_session_timeout_ms: i32,
    pub group_max_size: i32,
    pub log_retention_check_interval_ms: i64,
    pub producer_id_expiration_ms: i64,
    pub max_incremental_fetch_session_cache_slots: usize,
    pub max_request_partition_size_limit: i32,
    pub fetch_max_bytes: i32,
    pub transaction_max_timeout_ms: i32,
    /// Every property that the operator gave, by name, checked.
    pub explicit: BTreeMap<String, String>,
    /// What our own settings amount to in Kafka's names (`node.id`, `log.dirs`, `listeners` …), for DescribeConfigs; wins over `explicit`.
    pub effective: BTreeMap<String, String>,
}

impl Default for KafkaSettings {
    fn default() -> KafkaSettings {
        KafkaSettings::new(BTreeMap::new()).expect("Kafka's defaults are within our bounds: a test resolves them")
    }
}

impl KafkaSettings {
    /// Settings from the properties that were given; the others have Kafka's defaults.
    ///
    /// # Errors
    /// Kafka's message about the first value that is not of its property's type or out of bounds.
    pub fn new(explicit: BTreeMap<String, String>) -> Result<KafkaSettings, String> {
        for (name, value) in &explicit {
            if let Some(property) = properties::broker(name) {
                property.check(value)?;
            }
        }
        let given = Given(&explicit);
        let settings = KafkaSettings {
            num_partitions: given.number("num.partitions", 1, 100_000)?,
            auto_create_topics_enable: given.boolean("auto.create.topics.enable"),
            default_replication_factor: given.number("default.replication.factor", 1, i16::MAX.into())?,
            delete_topic_enable: given.boolean("delete.topic.enable"),
            accept_any_replication_factor: given.boolean("accept.any.replication.factor"),
            offsets_topic_num_partitions: given.number("offsets.topic.num.partitions", 1, 10_000)?,
            offsets_retention_minutes: given.number("offsets.retention.minutes", 1, i32::MAX.into())?,
            offsets_retention_check_interval_ms: given.number("offsets.retention.check.interval.ms", 1, i64::MAX)?,
            offset_metadata_max_bytes: given.number("offset.metadata.max.bytes", 0, 1_048_576)?,
            group_initial_rebalance_delay_ms: given.number("group.initial.rebalance.delay.ms", 0, i32::MAX.into())?,
            group_min_session_timeout_ms: given.number("group.min.session.timeout.ms", 1, i32::MAX.into())?,
            group_max_session_timeout_ms: given.number("group.max.session.timeout.ms", 1, i32::MAX.into())?,
            group_max_size: given.number("group.max.size", 1, i32::MAX.into())?,
            log_retention_check_interval_ms: given.number("log.retention.check.interval.ms", 1, i64::MAX)?,
            producer_id_expiration_ms: given.number("producer.id.expiration.ms", 1, i32::MAX.into())?,
            max_incremental_fetch_session_cache_slots: given.number("max.incremental.fetch.session.cache.slots", 0, 1_000_000)?,
            max_request_partition_size_limit: given.number("max.request.partition.size.limit", 1, i32::MAX.into())?,
            fetch_max_bytes: given.number("fetch.max.bytes", 1024, i32::MAX.into())?,
            transaction_max_timeout_ms: given.number("transaction.max.timeout.ms", 1, i32::MAX.into())?,
            explicit: BTreeMap::new(),
            effective: BTreeMap::new(),
        };
        if settings.group_min_session_timeout_ms > settings.group_max_session_timeout_ms {
            return Err(format!(
                "group.min.session.timeout.ms ({}) is above group.max.session.timeout.ms ({}): no member could join",
                settings.group_min_session_timeout_ms, settings.group_max_session_timeout_ms
            ));
        }
        for name in ["log.retention.ms", "log.retention.minutes", "log.retention.hours"] {
            // KafkaConfig.validateValues; 0 would delete everything at once.
            if given.text(name).and_then(|value| value.parse::<i64>().ok()) == Some(0) {
                return Err(format!("{name} must be unlimited (-1) or, equal or greater than 1"));
            }
        }
        Ok(KafkaSettings { explicit, ..settings })
    }

    /// What the broker property `name` is: as our own settings have it, as it was given, or its default. `None` when it is unset
    /// or unknown.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.given(name).or_else(|| properties::broker(name)?.default)
    }

    /// The same without the default: `None` when nothing was set.
    #[must_use]
    pub fn given(&self, name: &str) -> Option<&str> {
        self.effective.get(name).or_else(|| self.explicit.get(name)).map(String::as_str)
    }
}

/// Checked properties, read as what they are.
struct Given<'a>(&'a BTreeMap<String, String>);

impl Given<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).or_else(|| properties::broker(name)?.default).map(str::trim)
    }

    fn boolean(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// Our own bounds come on top of Kafka's, which leave many properties without any.
    fn number<T: TryFrom<i64>>(&self, name: &str, least: i64, most: i64) -> Result<T, String> {
        let value = self.text(name).unwrap_or_default();
        let number = value.parse::<i64>().ok().filter(|number| (least..=most).contains(number));
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
            format!("Invalid value {value} for configuration {name}: Value must be a number from {least} to {most}")
        })
    }
}
