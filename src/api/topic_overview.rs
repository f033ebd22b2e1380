//! What HTTP shows of a topic. Not a key of Kafka's: its protocol has no place for a topic's age, its description or its totals.

use super::Context;
use super::errors::ResponseError;
use crate::catalog::Topic;
use crate::config::properties::DESCRIPTION;
use crate::ids::Timestamp;
use crate::log::Statistics;
use std::collections::BTreeMap;

/// A topic at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicOverview {
    pub name: String,
    pub partitions: usize,
    /// −1: for ever.
    pub retention_ms: i64,
    pub created: Timestamp,
    pub description: Option<String>,
}

/// One topic.
#[must_use]
pub fn overview(topic: &Topic) -> TopicOverview {
    TopicOverview {
        name: topic.name.clone(),
        partitions: topic.logs.len(),
        retention_ms: topic.settings.retention_ms,
        created: topic.created,
        description: topic.overrides.get(DESCRIPTION).cloned(),
    }
}

/// All topics whose names begin with `prefix`, by name.
#[must_use]
pub fn overviews(context: &Context, prefix: &str) -> Vec<TopicOverview> {
    let snapshot = context.broker.catalog.snapshot();
    let of_prefix = snapshot.topics.range(prefix.to_owned()..).take_while(|(name, _)| name.starts_with(prefix));
    of_prefix.map(|(_, topic)| overview(topic)).collect()
}

/// Records that did not fit the topic's schema since the start, by reason.
#[must_use]
pub fn invalid_records(context: &Context, topic: &Topic) -> BTreeMap<&'static str, u64> {
    context.broker.invalid_records.of(topic.id).into_iter().map(|(reason, count)| (reason.name(), count)).collect()
}

/// The sums over all partitions of a topic.
///
/// # Errors
/// What opening a log answers; UNKNOWN_TOPIC_OR_PARTITION when the topic was deleted meanwhile.
pub async fn statistics(context: &Context, topic: &Topic) -> Result<Statistics, ResponseError> {
    let mut sum = Statistics { records: 0, bytes: 0, retained_bytes: 0, records_per_second: 0.0 };
    for index in topic.partitions() {
        let one = context.partition_of(topic, index).await?.statistics();
        sum.records += one.records;
        sum.bytes += one.bytes;
        sum.retained_bytes += one.retained_bytes;
        sum.records_per_second += one.records_per_second;
    }
    Ok(sum)
}
