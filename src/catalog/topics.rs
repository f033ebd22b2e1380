//! Topics: what one is, how it is stored, and which ones may be created (Topic, ReplicationControlManager).

use super::{CatalogError, Snapshot, cluster};
use crate::config::KafkaSettings;
use crate::config::topic::TopicSettings;
use crate::env::Env;
use crate::ids::{LogId, Timestamp, TopicId};
use crate::store::{StoreError, json};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

pub(super) const PREFIX: &str = "topics/";

/// The most characters of a name: with a partition's suffix it still fits into a file name (Topic.MAX_NAME_LENGTH).
pub const NAME_LENGTH_MAX: usize = 249;

/// The most partitions of one topic. Kafka stops a request at 10,000 (MAX_PARTITIONS_PER_BATCH); ours cost no files.
pub const PARTITIONS_MAX: u32 = 100_000;

/// "The broker's default", for a partition count or a replication factor.
pub const DEFAULT: i32 = -1;

/// A topic as it is at one moment.
#[derive(Debug, Clone)]
pub struct Topic {
    pub name: String,
    pub id: TopicId,
    /// The epoch for topics from before this was kept.
    pub created: Timestamp,
    /// By partition index.
    pub logs: Vec<LogId>,
    /// The configurations that were set for this topic, by Kafka's names.
    pub overrides: BTreeMap<String, String>,
    /// Overrides and broker defaults, resolved.
    pub settings: Arc<TopicSettings>,
    /// What was asked for at creation; there is one replica whatever it says.
    pub replication_factor: i16,
    /// Written by a coordinator, not by clients.
    pub internal: bool,
}

/// A topic to be created.
#[derive(Debug, Clone)]
pub struct NewTopic {
    pub name: String,
    /// −1 for `num.partitions`.
    pub partitions: i32,
    /// −1 for `default.replication.factor`.
    pub replication_factor: i16,
    pub overrides: BTreeMap<String, String>,
}

impl NewTopic {
    /// What auto-creation makes: `num.partitions` partitions, no overrides.
    #[must_use]
    pub fn with_defaults(name: &str, kafka: &KafkaSettings) -> NewTopic {
        NewTopic {
            name: name.to_owned(),
            partitions: kafka.num_partitions,
            replication_factor: kafka.default_replication_factor,
            overrides: BTreeMap::new(),
        }
    }

    /// A topic that the server makes for itself: whatever a `default.replication.factor` of a larger cluster says, it needs no other broker.
    #[must_use]
    pub fn of_ours(name: &str, kafka: &KafkaSettings) -> NewTopic {
        NewTopic { replication_factor: 1, ..NewTopic::with_defaults(name, kafka) }
    }
}

/// What a new topic becomes, with the defaults filled in.
#[derive(Debug, Clone)]
pub struct Shape {
    pub partitions: u32,
    pub replication_factor: i16,
    pub settings: Arc<TopicSettings>,
}

/// The stored form; its key carries the name.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TopicRecord {
    id: TopicId,
    #[serde(default)]
    created: Timestamp,
    logs: Vec<LogId>,
    #[serde(default)]
    overrides: BTreeMap<String, String>,
    replication_factor: i16,
}

impl Topic {
    /// The indexes of its partitions.
    #[must_use]
    pub fn partitions(&self) -> Range<i32> {
        0..i32::try_from(self.logs.len()).unwrap_or(i32::MAX)
    }

    /// Whether it has a partition of this index.
    #[must_use]
    pub fn has(&self, index: i32) -> bool {
        usize::try_from(index).is_ok_and(|index| index < self.logs.len())
    }

    pub(super) fn record(&self) -> TopicRecord {
        TopicRecord {
            id: self.id,
            created: self.created,
            logs: self.logs.clone(),
            overrides: self.overrides.clone(),
            replication_factor: self.replication_factor,
        }
    }

    pub(super) fn read(name: &str, value: &Bytes, kafka: &KafkaSettings) -> Result<Topic, StoreError> {
        let record: TopicRecord = json::read(&key(name), value)?;
        let settings = TopicSettings::of_checked(&record.overrides, kafka)
            .map_err(|why| StoreError::Damaged(format!("metadata key {}: {why}", key(name))))?;
        Ok(Topic {
            name: name.to_owned(),
            id: record.id,
            created: record.created,
            logs: record.logs,
            overrides: record.overrides,
            settings: Arc::new(settings),
            replication_factor: record.replication_factor,
            internal: is_internal(name),
        })
    }
}

pub(super) fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// Topics that coordinators keep their state in (Topic.INTERNAL_TOPICS).
#[must_use]
pub fn is_internal(name: &str) -> bool {
    matches!(name, "__consumer_offsets" | "__transaction_state" | "__share_group_state")
}

/// Kafka's rules for names (Topic.validate).
///
/// # Errors
/// [`CatalogError::InvalidName`].
pub fn check_name(name: &str) -> Result<(), CatalogError> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let why = if name.is_empty() {
        "the empty string is not allowed".to_owned()
    } else if name == "." || name == ".." {
        format!("'{name}' is not allowed")
    } else if name.chars().count() > NAME_LENGTH_MAX {
        format!("the length of '{name}' is longer than the max allowed length {NAME_LENGTH_MAX}")
    } else if !name.bytes().all(is_legal) {
        format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
    } else {
        return Ok(());
    };
    Err(CatalogError::InvalidName(format!("Topic name is invalid: {why}")))
}

/// Whether `name` is well formed and free: neither taken nor the same as another one but for '.' and '_', which metrics' names
/// do not tell apart (Topic.hasCollision).
pub(super) fn check_new_name(name: &str, snapshot: &Snapshot) -> Result<(), CatalogError> {
    check_name(name)?;
    if snapshot.topics.contains_key(name) {
        return Err(CatalogError::TopicExists(name.to_owned()));
    }
    match snapshot.unified.get(&unified(name)) {
        None => Ok(()),
        Some(other) => Err(CatalogError::InvalidName(format!("Topic '{name}' collides with existing topic: {other}"))),
    }
}

/// The name that metrics have for a topic (Topic.unifyCollisionChars).
pub(super) fn unified(name: &str) -> String {
    name.replace('.', "_")
}

/// Checks a new topic and fills in its defaults.
pub(super) fn shape(new: &NewTopic, snapshot: &Snapshot) -> Result<Shape, CatalogError> {
    check_new_name(&new.name, snapshot)?;
    let kafka = snapshot.effective_kafka();
    let settings = TopicSettings::resolve(&new.overrides, kafka).map_err(CatalogError::InvalidConfig)?;
    let replication_factor = replication_factor(new.replication_factor, kafka)?;
    let partitions = partitions(new.partitions, kafka)?;
    Ok(Shape { partitions, replication_factor, settings: Arc::new(settings) })
}

fn replication_factor(asked: i16, kafka: &KafkaSettings) -> Result<i16, CatalogError> {
    let factor = if i32::from(asked) == DEFAULT { kafka.default_replication_factor } else { asked };
    if factor < 1 {
        return Err(CatalogError::InvalidReplicationFactor(
            "Replication factor must be larger than 0, or -1 to use the default value.".to_owned(),
        ));
    }
    if factor > 1 && !kafka.accept_any_replication_factor {
        return Err(CatalogError::InvalidReplicationFactor(format!(
            "Unable to replicate the partition {factor} time(s): The target replication factor of {factor} cannot be reached \
             because only 1 broker(s) are registered."
        )));
    }
    Ok(factor)
}

fn partitions(asked: i32, kafka: &KafkaSettings) -> Result<u32, CatalogError> {
    let count = if asked == DEFAULT { kafka.num_partitions } else { asked };
    match u32::try_from(count) {
        Err(_) | Ok(0) => {
            Err(CatalogError::InvalidPartitions("Number of partitions was set to an invalid non-positive value.".to_owned()))
        }
        Ok(count) if count > PARTITIONS_MAX => Err(too_many(count)),
        Ok(count) => Ok(count),
    }
}

fn too_many(count: u32) -> CatalogError {
    CatalogError::InvalidPartitions(format!("Number of partitions was set to {count}; the most is {PARTITIONS_MAX}."))
}

/// Checks that `total` is more than the topic has; answers the topic and how many partitions are missing
/// (ReplicationControlManager.createPartitions).
pub(super) fn check_total(snapshot: &Snapshot, name: &str, total: i32) -> Result<(Arc<Topic>, u32), CatalogError> {
    let topic = snapshot.topic(name).ok_or_else(|| CatalogError::UnknownTopic(name.to_owned()))?;
    let current = i32::try_from(topic.logs.len()).unwrap_or(i32::MAX);
    if total == current {
        return Err(CatalogError::InvalidPartitions(format!("Topic already has {current} partition(s).")));
    }
    let Ok(additional) = u32::try_from(i64::from(total) - i64::from(current)) else {
        return Err(CatalogError::InvalidPartitions(format!(
            "The topic {name} currently has {current} partition(s); {total} would not be an increase."
        )));
    };
    if let Some(count) = u32::try_from(total).ok().filter(|count| *count > PARTITIONS_MAX) {
        return Err(too_many(count));
    }
    if topic.internal {
        // Which shard a group or transaction belongs to is its hash modulo the number of partitions.
        let why = format!("The number of partitions of the internal topic {name} cannot be changed.");
        return Err(CatalogError::InvalidRequest(why));
    }
    Ok((topic, additional))
}

/// A topic id that no topic has, nor one that Kafka reserves (Uuid.RESERVED: nil and one, which no version 4 UUID is).
pub(super) fn new_id(env: &Env, snapshot: &Snapshot) -> TopicId {
    loop {
        let id = TopicId(cluster::new_uuid(env));
        if snapshot.topic_by_id(id).is_none() {
            return id;
        }
    }
}
