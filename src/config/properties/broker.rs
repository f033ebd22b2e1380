//! The broker properties of Kafka 4.3.1, in five tables by subject, and one of our own.

use super::Property;

mod cluster;
mod groups;
mod logs;
mod network;
mod security;

const PARTS: [&[Property]; 6] = [network::ALL, logs::ALL, groups::ALL, cluster::ALL, security::ALL, OWN];

const COUNT: usize = {
    let mut count = 0;
    let mut part = 0;
    while part < PARTS.len() {
        count += PARTS[part].len();
        part += 1;
    }
    count
};

const fn joined() -> [Property; COUNT] {
    let mut all = [OWN[0]; COUNT];
    let (mut row, mut part) = (0, 0);
    while part < PARTS.len() {
        let mut index = 0;
        while index < PARTS[part].len() {
            all[row] = PARTS[part][index];
            row += 1;
            index += 1;
        }
        part += 1;
    }
    all
}

/// All of them.
pub static BROKER: &[Property] = &joined();

/// Properties that Kafka knows but does not document, or that start like these: they are accepted like one without meaning.
const UNDOCUMENTED: &[&str] = &[
    "controller.performance.always.log.threshold.ms",
    "controller.performance.sample.period.ms",
    "group.share.initialize.retry.interval.ms",
    "group.share.persister.class.name",
    "internal.metadata.delete.delay.millis",
    "internal.metadata.log.segment.bytes",
    "internal.metadata.max.batch.size.in.bytes",
    "log.initial.task.delay.ms",
    "producer.id.expiration.check.interval.ms",
    "remote.log.index.file.cache.ttl.ms",
    "remote.log.manager.task.retry.backoff.max.ms",
    "remote.log.manager.task.retry.backoff.ms",
    "remote.log.manager.task.retry.jitter",
    "server.max.startup.time.ms",
    "share.coordinator.cold.partition.snapshot.interval.ms",
    "share.coordinator.state.topic.prune.interval.ms",
    "unclean.leader.election.interval.ms",
    "unstable.api.versions.enable",
    "unstable.feature.versions.enable",
];
const PREFIXES: &[&str] = &["listener.name.", "rlmm.config.", "rsm.config.", "sasl.oauthbearer.header."];

/// Whether Kafka would take `name` although it is in no table: an internal property, or one whose first part is free to choose
/// (`listener.name.internal.ssl.keystore.location`).
#[must_use]
pub fn is_undocumented(name: &str) -> bool {
    is_internal(name) || PREFIXES.iter().any(|prefix| name.len() > prefix.len() && name.starts_with(prefix))
}

/// Whether `name` is one of those that Kafka knows but does not document.
#[must_use]
pub fn is_internal(name: &str) -> bool {
    UNDOCUMENTED.contains(&name)
}

/// Not Kafka's: written among Kafka's properties because it changes how one of them behaves.
const OWN: &[Property] = &properties! {
    "accept.any.replication.factor": Boolean = "false", super::Valid::Any, ReadOnly, Works,
        "Takes replication factors above the number of brokers as one replica per broker, for tools that always ask for three.";
    "feature.group.version": Int = "1", super::Valid::Between(0, 1), ReadOnly, Works,
        "The level of Kafka's feature group.version, which clients see; 0 turns the consumer protocol (KIP-848) off. Not a property of Kafka's brokers.";
    "feature.share.version": Int = "1", super::Valid::Between(0, 1), ReadOnly, Works,
        "The level of Kafka's feature share.version; 0 turns share groups (KIP-932) off. Not a property of Kafka's brokers.";
    "feature.streams.version": Int = "1", super::Valid::Between(0, 1), ReadOnly, Works,
        "The level of Kafka's feature streams.version, which clients see; 0 turns streams groups (KIP-1071) off. Not a property of Kafka's brokers.";
    "feature.transaction.version": Int = "2", super::Valid::Between(0, 2), ReadOnly, Works,
        "The level of Kafka's feature transaction.version, which clients see; 2 makes them use the second protocol of transactions (KIP-890). Not a property of Kafka's brokers.";
};
