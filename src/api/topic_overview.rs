//! What HTTP shows of a topic. Not a key of Kafka's: its protocol has no place for a topic's age, its description or its totals.

use super::Context;
use super::errors::ResponseError;
use crate::catalog::{Snapshot, Topic};
use crate::config::properties::DESCRIPTION;
use crate::ids::Timestamp;
use crate::log::Statistics;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

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

/// The topics whose names begin with a prefix, by name, as they were when the walk began.
#[derive(Debug)]
pub struct Overviews {
    snapshot: Arc<Snapshot>,
    prefix: String,
    from: Bound<String>,
}

impl Overviews {
    #[must_use]
    pub fn new(context: &Context, prefix: &str) -> Overviews {
        let prefix = prefix.to_owned();
        Overviews { snapshot: context.broker.catalog.snapshot(), from: Bound::Included(prefix.clone()), prefix }
    }
}

impl Iterator for Overviews {
    type Item = TopicOverview;

    fn next(&mut self) -> Option<TopicOverview> {
        let rest = (self.from.as_ref(), Bound::Unbounded);
        let (name, topic) = self.snapshot.topics.range::<String, _>(rest).next()?;
        if !name.starts_with(&self.prefix) {
            return None;
        }
        self.from = Bound::Excluded(name.clone());
        Some(overview(topic))
    }
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
