//! Broker properties about topics, logs, their retention and compaction, and tiered storage.

use crate::config::properties::{Property, Valid};
use Valid::{Any, AtLeast, Between, EachOf, Fraction, GzipLevel, NonEmpty, OneOf};

pub(super) const ALL: &[Property] = &properties! {
    "auto.create.topics.enable": Boolean = "true", Any, ReadOnly, Works,
        "Whether a topic comes to exist when a client asks for it by name.";
    "compression.gzip.level": Int = "-1", GzipLevel, ClusterWide, Works,
        "The effort of gzip when the broker is the one that compresses.";
    "compression.lz4.level": Int = "9", Between(1, 17), ClusterWide, Stored,
        "The effort of lz4 when the broker is the one that compresses.";
    "compression.type": String = "producer", OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), ClusterWide, Works,
        "How batches are kept: producer leaves them as they came, the others name a codec.";
    "compression.zstd.level": Int = "3", Between(-131_072, 22), ClusterWide, Works,
        "The effort of zstd when the broker is the one that compresses.";
    "cordoned.log.dirs": List = "", Any, PerBroker, NoMeaning,
        "Data directories that take no new partitions; here there is one.";
    "default.replication.factor": Int = "1", Any, ReadOnly, Works,
        "Replicas of a topic that is created without saying how many.";
    "delete.topic.enable": Boolean = "true", Any, ReadOnly, Works,
        "Whether clients may delete topics.";
    "log.cleaner.backoff.ms": Long = "15000", AtLeast(0), ClusterWide, Works,
        "How long compaction rests between two looks at what is due.";
    "log.cleaner.dedupe.buffer.size": Long = "134217728", Any, ClusterWide, Works,
        "Memory in which compaction finds duplicate keys: 24 bytes a key.";
    "log.cleaner.delete.retention.ms": Long = "86400000", AtLeast(0), ClusterWide, Works,
        "How long compacted topics keep the markers of deleted keys.";
    "log.cleaner.enable": Boolean = "true", Any, ReadOnly, Works,
        "Whether topics are compacted at all; deprecated in Kafka.";
    "log.cleaner.io.buffer.load.factor": Double = "0.9", Any, ClusterWide, NoMeaning,
        "How full Kafka's buffer for duplicate keys may get.";
    "log.cleaner.io.buffer.size": Int = "524288", AtLeast(0), ClusterWide, NoMeaning,
        "Memory for reading and writing during compaction.";
    "log.cleaner.io.max.bytes.per.second": Double = "1.7976931348623157E308", Any, ClusterWide, Works,
        "How many bytes a second compaction may read and write.";
    "log.cleaner.max.compaction.lag.ms": Long = "9223372036854775807", AtLeast(1), ClusterWide, Works,
        "The longest time that a record of a compacted topic may wait for compaction.";
    "log.cleaner.min.cleanable.ratio": Double = "0.5", Fraction, ClusterWide, Works,
        "The share of not yet compacted bytes from which a log is worth compacting.";
    "log.cleaner.min.compaction.lag.ms": Long = "0", AtLeast(0), ClusterWide, Works,
        "The time during which a record is safe from compaction.";
    "log.cleaner.threads": Int = "1", AtLeast(0), ClusterWide, NoMeaning,
        "Threads that compact.";
    "log.cleanup.policy": List = "delete", EachOf(&["compact", "delete"]), ClusterWide, Works,
        "What happens to old records: delete them by age and size, compact them to the newest per key, or both.";
    "log.dir": List = "/tmp/kafka-logs", Any, ReadOnly, Works,
        "The data directory, where log.dirs does not name one (storage.path).";
    "log.dir.failure.timeout.ms": Long = "30000", AtLeast(1), ReadOnly, NoMeaning,
        "How long Kafka goes on when it cannot tell the controller of a failed directory.";
    "log.dirs": List = null, Any, ReadOnly, Works,
        "The data directories; here there is one, so the first is taken (storage.path).";
    "log.flush.interval.messages": Long = "9223372036854775807", AtLeast(1), ClusterWide, NoMeaning,
        "After how many records Kafka syncs a log; here storage.sync decides.";
    "log.flush.interval.ms": Long = null, Any, ClusterWide, NoMeaning,
        "After how long Kafka syncs a log; here storage.sync decides.";
    "log.flush.offset.checkpoint.interval.ms": Int = "60000", AtLeast(0), ReadOnly, NoMeaning,
        "How often Kafka notes up to where its logs are synced.";
    "log.flush.scheduler.interval.ms": Long = "9223372036854775807", Any, ReadOnly, NoMeaning,
        "How often Kafka looks for logs to sync; here storage.sync decides.";
    "log.flush.start.offset.checkpoint.interval.ms": Int = "60000", AtLeast(0), ReadOnly, NoMeaning,
        "How often Kafka notes where its logs start.";
    "log.index.interval.bytes": Int = "4096", AtLeast(0), ClusterWide, NoMeaning,
        "How many bytes of a log lie between two entries of Kafka's offset index.";
    "log.index.size.max.bytes": Int = "10485760", AtLeast(4), ClusterWide, NoMeaning,
        "The size of Kafka's offset index of one segment.";
    "log.local.retention.bytes": Long = "-2", AtLeast(-2), ClusterWide, Stored,
        "With tiered storage, how many bytes of a partition stay local; -2 means as many as log.retention.bytes says.";
    "log.local.retention.ms": Long = "-2", AtLeast(-2), ClusterWide, Stored,
        "With tiered storage, how long records stay local; -2 means as long as log.retention.ms says.";
    "log.message.timestamp.after.max.ms": Long = "3600000", AtLeast(0), ClusterWide, Works,
        "How far a producer's timestamp may lie in the future; not looked at with LogAppendTime.";
    "log.message.timestamp.before.max.ms": Long = "9223372036854775807", AtLeast(0), ClusterWide, Works,
        "How far a producer's timestamp may lie in the past; not looked at with LogAppendTime.";
    "log.message.timestamp.type": String = "CreateTime", OneOf(&["CreateTime", "LogAppendTime"]), ClusterWide, Works,
        "Whether records carry the producer's time or the time at which the broker appended them.";
    "log.preallocate": Boolean = "false", Any, ClusterWide, NoMeaning,
        "Whether Kafka reserves the space of a new segment file at once.";
    "log.retention.bytes": Long = "-1", Any, ClusterWide, Works,
        "How many of its newest bytes a partition keeps at least: an older batch goes once that many lie behind it; -1 keeps all.";
    "log.retention.check.interval.ms": Long = "300000", AtLeast(1), ReadOnly, Works,
        "How often the broker looks for records that are past their retention.";
    "log.retention.hours": Int = "168", Any, ReadOnly, Works,
        "How many hours records stay, where neither log.retention.ms nor .minutes is set; -1 keeps them for ever.";
    "log.retention.minutes": Int = null, Any, ReadOnly, Works,
        "How many minutes records stay, where log.retention.ms is not set; -1 keeps them for ever.";
    "log.retention.ms": Long = null, Any, ClusterWide, Works,
        "How long records stay; -1 keeps them for ever.";
    "log.roll.hours": Int = "168", AtLeast(1), ReadOnly, Works,
        "How many hours of a log's newest records compaction leaves alone at most, where log.roll.ms is not set.";
    "log.roll.jitter.hours": Int = "0", AtLeast(0), ReadOnly, NoMeaning,
        "A random part taken off log.roll.hours, where log.roll.jitter.ms is not set.";
    "log.roll.jitter.ms": Long = null, Any, ClusterWide, NoMeaning,
        "A random part taken off log.roll.ms, so that segments do not all roll at once.";
    "log.roll.ms": Long = null, Any, ClusterWide, Works,
        "After how long Kafka starts a new segment although the old one is not full.";
    "log.segment.bytes": Int = "1073741824", AtLeast(1_048_576), ClusterWide, Works,
        "How many of a log's newest bytes compaction leaves alone at most; files of the journal have storage.segment_bytes.";
    "log.segment.delete.delay.ms": Long = "60000", AtLeast(0), ClusterWide, NoMeaning,
        "How long Kafka waits before it removes the file of a deleted segment.";
    "message.max.bytes": Int = "1048588", AtLeast(0), ClusterWide, Works,
        "The largest record batch that a topic takes, as it is sent (compressed, if it is).";
    "min.insync.replicas": Int = "1", AtLeast(1), ClusterWide, Stored,
        "How many replicas must have a record before a producer with acks=all hears that it is written.";
    "num.partitions": Int = "1", AtLeast(1), ReadOnly, Works,
        "Partitions of a topic that is created without saying how many.";
    "num.recovery.threads.per.data.dir": Int = "2", AtLeast(1), ClusterWide, NoMeaning,
        "Threads that check logs at start and sync them at the end.";
    "producer.id.expiration.ms": Int = "86400000", AtLeast(1), ClusterWide, Works,
        "How long a partition remembers an idempotent producer that has stopped writing.";
    "remote.fetch.max.wait.ms": Int = "500", AtLeast(1), ClusterWide, NoMeaning,
        "How long a fetch waits for tiered storage.";
    "remote.list.offsets.request.timeout.ms": Long = "30000", AtLeast(1), ClusterWide, NoMeaning,
        "How long a search by time waits for tiered storage.";
    "remote.log.index.file.cache.total.size.bytes": Long = "1073741824", AtLeast(1), ClusterWide, NoMeaning,
        "Disk for index files fetched from tiered storage.";
    "remote.log.manager.copier.thread.pool.size": Int = "10", AtLeast(1), ClusterWide, NoMeaning,
        "Threads that copy segments to tiered storage.";
    "remote.log.manager.copy.max.bytes.per.second": Long = "9223372036854775807", AtLeast(1), ClusterWide, NoMeaning,
        "How many bytes a second may be copied to tiered storage.";
    "remote.log.manager.copy.quota.window.num": Int = "11", AtLeast(1), ReadOnly, NoMeaning,
        "How many samples the quota of copies to tiered storage is computed from.";
    "remote.log.manager.copy.quota.window.size.seconds": Int = "1", AtLeast(1), ReadOnly, NoMeaning,
        "The time that one sample of the quota of copies covers.";
    "remote.log.manager.expiration.thread.pool.size": Int = "10", AtLeast(1), ClusterWide, NoMeaning,
        "Threads that remove expired segments from tiered storage.";
    "remote.log.manager.fetch.max.bytes.per.second": Long = "9223372036854775807", AtLeast(1), ClusterWide, NoMeaning,
        "How many bytes a second may be fetched from tiered storage.";
    "remote.log.manager.fetch.quota.window.num": Int = "11", AtLeast(1), ReadOnly, NoMeaning,
        "How many samples the quota of fetches from tiered storage is computed from.";
    "remote.log.manager.fetch.quota.window.size.seconds": Int = "1", AtLeast(1), ReadOnly, NoMeaning,
        "The time that one sample of the quota of fetches covers.";
    "remote.log.manager.follower.thread.pool.size": Int = "2", AtLeast(1), ClusterWide, NoMeaning,
        "Threads with which followers learn what tiered storage holds; takes the place of remote.log.manager.thread.pool.size.";
    "remote.log.manager.task.interval.ms": Long = "30000", AtLeast(1), ReadOnly, NoMeaning,
        "How often the tasks of tiered storage run.";
    "remote.log.manager.thread.pool.size": Int = "2", AtLeast(1), ReadOnly, NoMeaning,
        "Threads with which followers learn what tiered storage holds.";
    "remote.log.metadata.custom.metadata.max.bytes": Int = "128", AtLeast(0), ReadOnly, NoMeaning,
        "The largest note that a plug-in of tiered storage may attach to a segment.";
    "remote.log.metadata.manager.class.name": String = "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager", NonEmpty, ReadOnly, NoMeaning,
        "The Java class that keeps track of tiered segments.";
    "remote.log.metadata.manager.class.path": String = null, Any, ReadOnly, NoMeaning,
        "Where the class that keeps track of tiered segments is loaded from.";
    "remote.log.metadata.manager.impl.prefix": String = "rlmm.config.", NonEmpty, ReadOnly, NoMeaning,
        "How the names of that class's own properties start.";
    "remote.log.metadata.manager.listener.name": String = null, NonEmpty, ReadOnly, NoMeaning,
        "The listener through which that class reaches the broker.";
    "remote.log.reader.max.pending.tasks": Int = "100", AtLeast(1), ReadOnly, NoMeaning,
        "How many reads of tiered storage may wait.";
    "remote.log.reader.threads": Int = "10", AtLeast(1), ClusterWide, NoMeaning,
        "Threads that read tiered storage.";
    "remote.log.storage.manager.class.name": String = null, NonEmpty, ReadOnly, NoMeaning,
        "The Java class that is the tiered storage.";
    "remote.log.storage.manager.class.path": String = null, Any, ReadOnly, NoMeaning,
        "Where the class that is the tiered storage is loaded from.";
    "remote.log.storage.manager.impl.prefix": String = "rsm.config.", NonEmpty, ReadOnly, NoMeaning,
        "How the names of that class's own properties start.";
    "remote.log.storage.system.enable": Boolean = "false", Any, ReadOnly, NoMeaning,
        "Whether the broker has tiered storage.";
    "unclean.leader.election.enable": Boolean = "false", Any, ClusterWide, Stored,
        "Whether a replica that is behind may lead when no other is left, at the price of lost records.";
};
