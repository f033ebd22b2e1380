//! The topic properties of Kafka 4.3.1, with the broker properties that each defaults from (ServerTopicConfigSynonyms).

use super::{Property, TopicProperty, Valid};
use Valid::{Any, AtLeast, AtMost, Between, EachOf, Fraction, GzipLevel, OneOf, ThrottledReplicas};

/// All of them, by name.
pub static TOPIC: &[TopicProperty] = &with_synonyms(PROPERTIES);

/// What a topic is for, in words (HTTP's `description`).
pub const DESCRIPTION: &str = "fourbyfour.description";

/// Ours, which Kafka does not have: shown where they are set.
pub static TOPIC_OWN: &[TopicProperty] = &without_synonyms(OWN);

const OWN_COUNT: usize = 15;
const DEPTHS: Valid = OneOf(&["none", "id", "full"]);
const STRATEGIES: Valid = OneOf(&["TopicNameStrategy", "RecordNameStrategy", "TopicRecordNameStrategy"]);
const CONFLUENT_STRATEGIES: Valid = OneOf(&[
    "io.confluent.kafka.serializers.subject.TopicNameStrategy",
    "io.confluent.kafka.serializers.subject.RecordNameStrategy",
    "io.confluent.kafka.serializers.subject.TopicRecordNameStrategy",
]);

const OWN: [Property; OWN_COUNT] = properties! {
    "fourbyfour.description": String = null, AtMost(1000), ClusterWide, Works,
        "What the topic is for, in words.";
    "internal.segment.bytes": Int = null, AtLeast(1), ClusterWide, Works,
        "Kafka's hidden form of segment.bytes, without its lower bound; its own tests set it.";
    "value.schema.validation": String = "none", DEPTHS, ClusterWide, Works,
        "Whether values must name a schema of their subject (id), and fit it (full).";
    "value.schema.subject": String = null, AtMost(1024), ClusterWide, Works,
        "The subject of values' schemas; by the strategy without.";
    "value.schema.subject.name.strategy": String = "TopicNameStrategy", STRATEGIES, ClusterWide, Works,
        "How the subject of values' schemas is found.";
    "value.schema.version": String = "latest", AtMost(10), ClusterWide, Works,
        "The version that values without a schema id (plain JSON) are held against.";
    "key.schema.validation": String = "none", DEPTHS, ClusterWide, Works,
        "Whether keys must name a schema of their subject (id), and fit it (full).";
    "key.schema.subject": String = null, AtMost(1024), ClusterWide, Works,
        "The subject of keys' schemas; by the strategy without.";
    "key.schema.subject.name.strategy": String = "TopicNameStrategy", STRATEGIES, ClusterWide, Works,
        "How the subject of keys' schemas is found.";
    "key.schema.version": String = "latest", AtMost(10), ClusterWide, Works,
        "The version that keys without a schema id (plain JSON) are held against.";
    "on.invalid.record": String = "refuse", OneOf(&["refuse", "dead-letter"]), ClusterWide, Works,
        "What becomes of a batch with a record that does not fit its schema: it is refused, or such records go to {topic}.dlq.";
    "confluent.value.schema.validation": Boolean = "false", Any, ClusterWide, Works,
        "Confluent's name for value.schema.validation=id.";
    "confluent.value.subject.name.strategy": Class = "io.confluent.kafka.serializers.subject.TopicNameStrategy", CONFLUENT_STRATEGIES,
        ClusterWide, Works, "Confluent's name for value.schema.subject.name.strategy.";
    "confluent.key.schema.validation": Boolean = "false", Any, ClusterWide, Works,
        "Confluent's name for key.schema.validation=id.";
    "confluent.key.subject.name.strategy": Class = "io.confluent.kafka.serializers.subject.TopicNameStrategy", CONFLUENT_STRATEGIES,
        ClusterWide, Works, "Confluent's name for key.schema.subject.name.strategy.";
};

const fn without_synonyms(properties: [Property; OWN_COUNT]) -> [TopicProperty; OWN_COUNT] {
    let mut all = [TopicProperty { property: properties[0], synonym: &[] }; OWN_COUNT];
    let mut row = 0;
    while row < OWN_COUNT {
        all[row] = TopicProperty { property: properties[row], synonym: &[] };
        row += 1;
    }
    all
}

/// Row by row, the broker properties behind the topic property of the same row in [`PROPERTIES`]; `tests.rs` holds both together.
const SYNONYMS: [(&str, &[&str]); COUNT] = [
    ("cleanup.policy", &["log.cleanup.policy"]),
    ("compression.gzip.level", &["compression.gzip.level"]),
    ("compression.lz4.level", &["compression.lz4.level"]),
    ("compression.type", &["compression.type"]),
    ("compression.zstd.level", &["compression.zstd.level"]),
    ("delete.retention.ms", &["log.cleaner.delete.retention.ms"]),
    ("file.delete.delay.ms", &["log.segment.delete.delay.ms"]),
    ("flush.messages", &["log.flush.interval.messages"]),
    ("flush.ms", &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"]),
    ("follower.replication.throttled.replicas", &[]),
    ("index.interval.bytes", &["log.index.interval.bytes"]),
    ("leader.replication.throttled.replicas", &[]),
    ("local.retention.bytes", &["log.local.retention.bytes"]),
    ("local.retention.ms", &["log.local.retention.ms"]),
    ("max.compaction.lag.ms", &["log.cleaner.max.compaction.lag.ms"]),
    ("max.message.bytes", &["message.max.bytes"]),
    ("message.timestamp.after.max.ms", &["log.message.timestamp.after.max.ms"]),
    ("message.timestamp.before.max.ms", &["log.message.timestamp.before.max.ms"]),
    ("message.timestamp.type", &["log.message.timestamp.type"]),
    ("min.cleanable.dirty.ratio", &["log.cleaner.min.cleanable.ratio"]),
    ("min.compaction.lag.ms", &["log.cleaner.min.compaction.lag.ms"]),
    ("min.insync.replicas", &["min.insync.replicas"]),
    ("preallocate", &["log.preallocate"]),
    ("remote.log.copy.disable", &[]),
    ("remote.log.delete.on.disable", &[]),
    ("remote.storage.enable", &[]),
    ("retention.bytes", &["log.retention.bytes"]),
    ("retention.ms", &["log.retention.ms", "log.retention.minutes", "log.retention.hours"]),
    ("segment.bytes", &["log.segment.bytes"]),
    ("segment.index.bytes", &["log.index.size.max.bytes"]),
    ("segment.jitter.ms", &["log.roll.jitter.ms", "log.roll.jitter.hours"]),
    ("segment.ms", &["log.roll.ms", "log.roll.hours"]),
    ("unclean.leader.election.enable", &["unclean.leader.election.enable"]),
];

const COUNT: usize = 33;

const fn with_synonyms(properties: [Property; COUNT]) -> [TopicProperty; COUNT] {
    let mut all = [TopicProperty { property: properties[0], synonym: &[] }; COUNT];
    let mut row = 0;
    while row < COUNT {
        all[row] = TopicProperty { property: properties[row], synonym: SYNONYMS[row].1 };
        row += 1;
    }
    all
}

/// The synonyms' own idea of which topic property each row belongs to, for the test that compares both tables.
#[cfg(test)]
pub(crate) fn synonym_rows() -> impl Iterator<Item = &'static str> {
    SYNONYMS.into_iter().map(|(name, _)| name)
}

const PROPERTIES: [Property; COUNT] = properties! {
    "cleanup.policy": List = "delete", EachOf(&["compact", "delete"]), ClusterWide, Works,
        "What happens to old records: delete them by age and size, compact them to the newest per key, or both.";
    "compression.gzip.level": Int = "-1", GzipLevel, ClusterWide, Works,
        "The effort of gzip when the broker is the one that compresses.";
    "compression.lz4.level": Int = "9", Between(1, 17), ClusterWide, Stored,
        "The effort of lz4 when the broker is the one that compresses.";
    "compression.type": String = "producer", OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), ClusterWide, Works,
        "How batches are kept: producer leaves them as they came, the others name a codec.";
    "compression.zstd.level": Int = "3", Between(-131_072, 22), ClusterWide, Works,
        "The effort of zstd when the broker is the one that compresses.";
    "delete.retention.ms": Long = "86400000", AtLeast(0), ClusterWide, Works,
        "How long a compacted topic keeps the markers of deleted keys, so that a reader from the start still sees them.";
    "file.delete.delay.ms": Long = "60000", AtLeast(0), ClusterWide, NoMeaning,
        "How long Kafka waits before it removes the file of a deleted segment.";
    "flush.messages": Long = "9223372036854775807", AtLeast(1), ClusterWide, NoMeaning,
        "After how many records Kafka syncs the log; here storage.sync decides, for all topics.";
    "flush.ms": Long = "9223372036854775807", AtLeast(0), ClusterWide, NoMeaning,
        "After how long Kafka syncs the log; here storage.sync decides, for all topics.";
    "follower.replication.throttled.replicas": List = "", ThrottledReplicas, ClusterWide, NoMeaning,
        "Which replicas are throttled when they follow: partition:broker pairs, or * for all.";
    "index.interval.bytes": Int = "4096", AtLeast(0), ClusterWide, NoMeaning,
        "How many bytes of a log lie between two entries of Kafka's offset index.";
    "leader.replication.throttled.replicas": List = "", ThrottledReplicas, ClusterWide, NoMeaning,
        "Which replicas are throttled when they lead: partition:broker pairs, or * for all.";
    "local.retention.bytes": Long = "-2", AtLeast(-2), ClusterWide, Stored,
        "With tiered storage, how many bytes of a partition stay local; -2 means as many as retention.bytes says.";
    "local.retention.ms": Long = "-2", AtLeast(-2), ClusterWide, Stored,
        "With tiered storage, how long records stay local; -2 means as long as retention.ms says.";
    "max.compaction.lag.ms": Long = "9223372036854775807", AtLeast(1), ClusterWide, Works,
        "The longest time that a record of a compacted topic may wait for compaction.";
    "max.message.bytes": Int = "1048588", AtLeast(0), ClusterWide, Works,
        "The largest record batch that the topic takes, as it is sent (compressed, if it is).";
    "message.timestamp.after.max.ms": Long = "3600000", AtLeast(0), ClusterWide, Works,
        "How far a producer's timestamp may lie in the future; not looked at with LogAppendTime.";
    "message.timestamp.before.max.ms": Long = "9223372036854775807", AtLeast(0), ClusterWide, Works,
        "How far a producer's timestamp may lie in the past; not looked at with LogAppendTime.";
    "message.timestamp.type": String = "CreateTime", OneOf(&["CreateTime", "LogAppendTime"]), ClusterWide, Works,
        "Whether records carry the producer's time or the time at which the broker appended them.";
    "min.cleanable.dirty.ratio": Double = "0.5", Fraction, ClusterWide, Works,
        "The share of not yet compacted bytes from which a log is worth compacting.";
    "min.compaction.lag.ms": Long = "0", AtLeast(0), ClusterWide, Works,
        "The time during which a record is safe from compaction.";
    "min.insync.replicas": Int = "1", AtLeast(1), ClusterWide, Stored,
        "How many replicas must have a record before a producer with acks=all hears that it is written.";
    "preallocate": Boolean = "false", Any, ClusterWide, NoMeaning,
        "Whether Kafka reserves the space of a new segment file at once.";
    "remote.log.copy.disable": Boolean = "false", Any, ClusterWide, Stored,
        "With tiered storage, whether to stop copying and keep what is there for reading.";
    "remote.log.delete.on.disable": Boolean = "false", Any, ClusterWide, Stored,
        "Whether tiered data goes when tiered storage is switched off for the topic.";
    "remote.storage.enable": Boolean = "false", Any, ClusterWide, Stored,
        "Whether the topic uses tiered storage, which this broker does not have: true is refused.";
    "retention.bytes": Long = "-1", Any, ClusterWide, Works,
        "How many of its newest bytes a partition keeps at least: an older batch goes once that many lie behind it; -1 keeps all.";
    "retention.ms": Long = "604800000", AtLeast(-1), ClusterWide, Works,
        "How long records stay; -1 keeps them for ever.";
    "segment.bytes": Int = "1073741824", AtLeast(14), ClusterWide, Works,
        "How many of a log's newest bytes compaction leaves alone at most; files of the journal have storage.segment_bytes.";
    "segment.index.bytes": Int = "10485760", AtLeast(4), ClusterWide, NoMeaning,
        "The size of Kafka's offset index of one segment.";
    "segment.jitter.ms": Long = "0", AtLeast(0), ClusterWide, NoMeaning,
        "A random part taken off segment.ms, so that segments do not all roll at once.";
    "segment.ms": Long = "604800000", AtLeast(1), ClusterWide, Works,
        "The time after which Kafka starts a new segment although the old one is not full.";
    "unclean.leader.election.enable": Boolean = "false", Any, ClusterWide, Stored,
        "Whether a replica that is behind may lead when no other is left, at the price of lost records.";
};
