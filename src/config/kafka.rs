//! The Kafka broker properties that we honour, typed, and all that the operator gave, by name.
//!
//! Owner: part of the configuration, fixed at start; [`super::dynamic`] puts together what was given and what was set while the
//! broker runs. What topics default from (`log.retention.ms` …) is resolved by [`super::topic`].

use super::properties;
use super::share::ShareSettings;
use super::streams::StreamsSettings;
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
    pub group_consumer_session_timeout_ms: i32,
    pub group_consumer_min_session_timeout_ms: i32,
    pub group_consumer_max_session_timeout_ms: i32,
    pub group_consumer_heartbeat_interval_ms: i32,
    pub group_consumer_min_heartbeat_interval_ms: i32,
    pub group_consumer_max_heartbeat_interval_ms: i32,
    pub group_consumer_assignment_interval_ms: i32,
    pub group_consumer_min_assignment_interval_ms: i32,
    pub group_consumer_max_assignment_interval_ms: i32,
    pub group_consumer_max_size: i32,
    pub group_consumer_migration_policy: MigrationPolicy,
    /// The first is the default.
    pub group_consumer_assignors: Vec<String>,
    pub group_consumer_regex_refresh_interval_ms: i32,
    /// `group.streams.*`.
    pub streams: StreamsSettings,
    pub group_coordinator_rebalance_protocols: Vec<String>,
    /// Not a property of Kafka's brokers: there a feature level is set by the tool that formats their storage.
    pub feature_group_version: i16,
    /// `group.share.*` and `share.coordinator.*`.
    pub share: ShareSettings,
    /// As `feature_group_version`: 0 turns share groups (KIP-932) off.
    pub feature_share_version: i16,
    /// As `feature_group_version`: 0 turns streams groups (KIP-1071) off.
    pub feature_streams_version: i16,
    pub log_cleaner_backoff_ms: i64,
    /// For the keys of a compaction pass.
    pub log_cleaner_dedupe_buffer_size: usize,
    pub log_cleaner_enable: bool,
    pub log_cleaner_io_max_bytes_per_second: f64,
    pub log_retention_check_interval_ms: i64,
    pub producer_id_expiration_ms: i64,
    pub max_incremental_fetch_session_cache_slots: usize,
    pub max_request_partition_size_limit: i32,
    pub fetch_max_bytes: i32,
    pub transaction_max_timeout_ms: i32,
    pub transaction_partition_verification_enable: bool,
    pub transaction_remove_expired_interval_ms: i32,
    pub transaction_state_log_num_partitions: i32,
    pub transaction_state_log_segment_bytes: i32,
    pub transactional_id_expiration_ms: i32,
    /// As `feature_group_version`.
    pub feature_transaction_version: i16,
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
            group_min_session_timeout_ms: given.number("group.min.session.timeout.ms", 0, i32::MAX.into())?,
            group_max_session_timeout_ms: given.number("group.max.session.timeout.ms", 1, i32::MAX.into())?,
            group_max_size: given.number("group.max.size", 1, i32::MAX.into())?,
            group_consumer_session_timeout_ms: given.number("group.consumer.session.timeout.ms", 1, i32::MAX.into())?,
            group_consumer_min_session_timeout_ms: given.number("group.consumer.min.session.timeout.ms", 1, i32::MAX.into())?,
            group_consumer_max_session_timeout_ms: given.number("group.consumer.max.session.timeout.ms", 1, i32::MAX.into())?,
            group_consumer_heartbeat_interval_ms: given.number("group.consumer.heartbeat.interval.ms", 1, i32::MAX.into())?,
            group_consumer_min_heartbeat_interval_ms: given.number(
                "group.consumer.min.heartbeat.interval.ms",
                1,
                i32::MAX.into(),
            )?,
            group_consumer_max_heartbeat_interval_ms: given.number(
                "group.consumer.max.heartbeat.interval.ms",
                1,
                i32::MAX.into(),
            )?,
            group_consumer_assignment_interval_ms: given.number("group.consumer.assignment.interval.ms", 0, i32::MAX.into())?,
            group_consumer_min_assignment_interval_ms: given.number(
                "group.consumer.min.assignment.interval.ms",
                0,
                i32::MAX.into(),
            )?,
            group_consumer_max_assignment_interval_ms: given.number(
                "group.consumer.max.assignment.interval.ms",
                0,
                i32::MAX.into(),
            )?,
            group_consumer_max_size: given.number("group.consumer.max.size", 1, i32::MAX.into())?,
            group_consumer_migration_policy: MigrationPolicy::named(
                given.text("group.consumer.migration.policy").unwrap_or_default(),
            )?,
            group_consumer_assignors: given.assignors()?,
            group_consumer_regex_refresh_interval_ms: given.number(
                "group.consumer.regex.refresh.interval.ms",
                1,
                i32::MAX.into(),
            )?,
            streams: StreamsSettings::read(&given)?,
            group_coordinator_rebalance_protocols: given.list("group.coordinator.rebalance.protocols"),
            feature_group_version: given.number("feature.group.version", 0, 1)?,
            share: ShareSettings::read(&given)?,
            feature_share_version: given.number("feature.share.version", 0, 1)?,
            feature_streams_version: given.number("feature.streams.version", 0, 1)?,
            log_cleaner_backoff_ms: given.number("log.cleaner.backoff.ms", 0, i64::MAX)?,
            log_cleaner_dedupe_buffer_size: given.number("log.cleaner.dedupe.buffer.size", 1, i64::MAX)?,
            log_cleaner_enable: given.boolean("log.cleaner.enable"),
            log_cleaner_io_max_bytes_per_second: given.rate("log.cleaner.io.max.bytes.per.second")?,
            log_retention_check_interval_ms: given.number("log.retention.check.interval.ms", 1, i64::MAX)?,
            producer_id_expiration_ms: given.number("producer.id.expiration.ms", 1, i32::MAX.into())?,
            max_incremental_fetch_session_cache_slots: given.number("max.incremental.fetch.session.cache.slots", 0, 1_000_000)?,
            max_request_partition_size_limit: given.number("max.request.partition.size.limit", 1, i32::MAX.into())?,
            fetch_max_bytes: given.number("fetch.max.bytes", 1024, i32::MAX.into())?,
            transaction_max_timeout_ms: given.number("transaction.max.timeout.ms", 1, i32::MAX.into())?,
            transaction_partition_verification_enable: given.boolean("transaction.partition.verification.enable"),
            transaction_remove_expired_interval_ms: given.number(
                "transaction.remove.expired.transaction.cleanup.interval.ms",
                1,
                i32::MAX.into(),
            )?,
            transaction_state_log_num_partitions: given.number("transaction.state.log.num.partitions", 1, 10_000)?,
            transaction_state_log_segment_bytes: given.number("transaction.state.log.segment.bytes", 1, i32::MAX.into())?,
            transactional_id_expiration_ms: given.number("transactional.id.expiration.ms", 1, i32::MAX.into())?,
            feature_transaction_version: given.number("feature.transaction.version", 0, 2)?,
            explicit: BTreeMap::new(),
            effective: BTreeMap::new(),
        };
        if settings.group_min_session_timeout_ms > settings.group_max_session_timeout_ms {
            return Err(format!(
                "group.min.session.timeout.ms ({}) is above group.max.session.timeout.ms ({}): no member could join",
                settings.group_min_session_timeout_ms, settings.group_max_session_timeout_ms
            ));
        }
        settings.check_consumer_groups()?;
        if !settings.group_coordinator_rebalance_protocols.iter().any(|name| name == "classic") {
            // GroupCoordinatorConfig: "Disabling the 'classic' protocol is not supported."
            return Err("group.coordinator.rebalance.protocols must name classic: it cannot be turned off".to_owned());
        }
        for name in ["log.retention.ms", "log.retention.minutes", "log.retention.hours"] {
            // KafkaConfig.validateValues; 0 would delete everything at once.
            if given.text(name).and_then(|value| value.parse::<i64>().ok()) == Some(0) {
                return Err(format!("{name} must be unlimited (-1) or, equal or greater than 1"));
            }
        }
        given.check_logs()?;
        Ok(KafkaSettings { explicit, ..settings })
    }

    /// This broker's id; the default where there is no configuration around these settings, in tests.
    #[must_use]
    pub fn node_id(&self) -> i32 {
        let id = self.given("node.id").and_then(|id| id.trim().parse().ok());
        id.unwrap_or_else(|| super::Server::default().node_id)
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

impl KafkaSettings {
    /// Kafka's own checks (GroupCoordinatorConfig).
    fn check_consumer_groups(&self) -> Result<(), String> {
        let ordered = [
            (
                "session.timeout.ms",
                self.group_consumer_min_session_timeout_ms,
                self.group_consumer_session_timeout_ms,
                self.group_consumer_max_session_timeout_ms,
            ),
            (
                "heartbeat.interval.ms",
                self.group_consumer_min_heartbeat_interval_ms,
                self.group_consumer_heartbeat_interval_ms,
                self.group_consumer_max_heartbeat_interval_ms,
            ),
            (
                "assignment.interval.ms",
                self.group_consumer_min_assignment_interval_ms,
                self.group_consumer_assignment_interval_ms,
                self.group_consumer_max_assignment_interval_ms,
            ),
        ];
        for (name, least, value, most) in ordered {
            if most < least {
                return Err(format!("group.consumer.max.{name} must be greater than or equal to group.consumer.min.{name}"));
            }
            if value < least {
                return Err(format!("group.consumer.{name} must be greater than or equal to group.consumer.min.{name}"));
            }
            if value > most {
                return Err(format!("group.consumer.{name} must be less than or equal to group.consumer.max.{name}"));
            }
        }
        if self.group_consumer_heartbeat_interval_ms >= self.group_consumer_session_timeout_ms {
            return Err("group.consumer.heartbeat.interval.ms must be less than group.consumer.session.timeout.ms".to_owned());
        }
        Ok(())
    }
}

/// Which way a group with members may change between the classic and the consumer protocol (KIP-848).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationPolicy {
    Disabled,
    /// Only to the consumer protocol.
    Upgrade,
    /// Only to the classic protocol.
    Downgrade,
    Bidirectional,
}

impl MigrationPolicy {
    fn named(name: &str) -> Result<MigrationPolicy, String> {
        match name.to_ascii_uppercase().as_str() {
            "DISABLED" => Ok(MigrationPolicy::Disabled),
            "UPGRADE" => Ok(MigrationPolicy::Upgrade),
            "DOWNGRADE" => Ok(MigrationPolicy::Downgrade),
            "BIDIRECTIONAL" => Ok(MigrationPolicy::Bidirectional),
            _ => Err(format!("Invalid value {name} for configuration group.consumer.migration.policy")),
        }
    }

    #[must_use]
    pub fn is_enabled(self) -> bool {
        self != MigrationPolicy::Disabled
    }

    #[must_use]
    pub fn allows_upgrade(self) -> bool {
        matches!(self, MigrationPolicy::Upgrade | MigrationPolicy::Bidirectional)
    }

    #[must_use]
    pub fn allows_downgrade(self) -> bool {
        matches!(self, MigrationPolicy::Downgrade | MigrationPolicy::Bidirectional)
    }
}

/// The assignors that we have; Kafka's may also be named by their classes.
const ASSIGNORS: [(&str, &str); 2] = [
    ("uniform", "org.apache.kafka.coordinator.group.assignor.UniformAssignor"),
    ("range", "org.apache.kafka.coordinator.group.assignor.RangeAssignor"),
];

/// Checked properties, read as what they are.
pub(super) struct Given<'a>(&'a BTreeMap<String, String>);

impl Given<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).or_else(|| properties::broker(name)?.default).map(str::trim)
    }

    fn boolean(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let items = self.text(name).unwrap_or_default().split(',').map(str::trim);
        items.filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    /// Kafka's own checks (KafkaConfig.validateValues).
    fn check_logs(&self) -> Result<(), String> {
        let number = |name: &str| self.text(name).and_then(|value| value.parse::<i64>().ok());
        if number("log.roll.ms").is_some_and(|ms| ms < 1) {
            return Err("log.roll.ms must be greater than or equal to 1".to_owned());
        }
        if number("log.roll.jitter.ms").is_some_and(|ms| ms < 0) {
            return Err("log.roll.jitter.ms must be greater than or equal to 0".to_owned());
        }
        let (bytes, threads) = (number("log.cleaner.dedupe.buffer.size"), number("log.cleaner.threads"));
        if let (Some(bytes), Some(threads)) = (bytes, threads)
            && threads > 0
            && bytes / threads <= 1024 * 1024
        {
            return Err("log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.".to_owned());
        }
        Ok(())
    }

    fn assignors(&self) -> Result<Vec<String>, String> {
        let mut assignors = Vec::new();
        for item in self.list("group.consumer.assignors") {
            let Some((name, _)) = ASSIGNORS.iter().find(|(name, class)| *name == item || *class == item) else {
                return Err(format!(
                    "Invalid value {item} for configuration group.consumer.assignors: there are uniform and range; an assignor of your own \
                     would be a Java class, which cannot run here"
                ));
            };
            if assignors.iter().any(|known| known == name) {
                return Err(format!("group.consumer.assignors names {name} twice"));
            }
            assignors.push((*name).to_owned());
        }
        if assignors.is_empty() {
            return Err("group.consumer.assignors names none: no group could be assigned".to_owned());
        }
        Ok(assignors)
    }

    /// Our own bounds come on top of Kafka's, which leave many properties without any.
    /// So many a second: with less than one, nothing would ever be done.
    fn rate(&self, name: &str) -> Result<f64, String> {
        let value = self.text(name).unwrap_or_default();
        let rate =
            value.parse().map_err(|_| format!("Invalid value {value} for configuration {name}: Not a number of type DOUBLE"))?;
        if (1.0..=f64::MAX).contains(&rate) {
            Ok(rate)
        } else {
            Err(format!("Invalid value {value} for configuration {name}: Value must be at least 1"))
        }
    }

    pub(super) fn number<T: TryFrom<i64>>(&self, name: &str, least: i64, most: i64) -> Result<T, String> {
        let value = self.text(name).unwrap_or_default();
        let number = value.parse::<i64>().ok().filter(|number| (least..=most).contains(number));
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
            format!("Invalid value {value} for configuration {name}: Value must be a number from {least} to {most}")
        })
    }
}
