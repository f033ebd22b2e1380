//! Broker properties about consumer, share and streams groups, their offsets, and transactions.

use crate::config::properties::{Property, Valid};
use Valid::{Any, AtLeast, Between, EachOf, OneOfIgnoringCase};

pub(super) const ALL: &[Property] = &properties! {
    "add.partitions.to.txn.retry.backoff.max.ms": Int = "100", AtLeast(0), ReadOnly, NoMeaning,
        "The longest time that the broker goes on trying to add a partition to a transaction itself.";
    "add.partitions.to.txn.retry.backoff.ms": Int = "20", AtLeast(1), ReadOnly, NoMeaning,
        "How long the broker waits before it tries again to add a partition to a transaction.";
    "group.consumer.assignment.interval.ms": Int = "1000", AtLeast(0), ClusterWide, Works,
        "The shortest time between two target assignments of a group of the consumer protocol.";
    "group.consumer.assignors": List = "uniform,range", Any, ReadOnly, Works,
        "The assignors that the broker offers to groups of the consumer protocol (KIP-848); the first is the default.";
    "group.consumer.heartbeat.interval.ms": Int = "5000", AtLeast(1), ReadOnly, Works,
        "How often members of the consumer protocol are told to send heartbeats.";
    "group.consumer.max.assignment.interval.ms": Int = "15000", AtLeast(0), ReadOnly, Works,
        "The longest time between target assignments that a group of the consumer protocol may be set to.";
    "group.consumer.max.heartbeat.interval.ms": Int = "15000", AtLeast(1), ReadOnly, Works,
        "The longest heartbeat interval that a group of the consumer protocol may be set to.";
    "group.consumer.max.session.timeout.ms": Int = "60000", AtLeast(1), ReadOnly, Works,
        "The longest session time-out that a group of the consumer protocol may be set to.";
    "group.consumer.max.size": Int = "2147483647", AtLeast(1), ReadOnly, Works,
        "The most members of one group of the consumer protocol.";
    "group.consumer.migration.policy": String = "bidirectional", OneOfIgnoringCase(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"]), ReadOnly, Works,
        "Which way a group with members may change between the classic and the consumer protocol.";
    "group.consumer.min.assignment.interval.ms": Int = "0", AtLeast(0), ReadOnly, Works,
        "The shortest time between target assignments that a group of the consumer protocol may be set to.";
    "group.consumer.min.heartbeat.interval.ms": Int = "5000", AtLeast(1), ReadOnly, Works,
        "The shortest heartbeat interval that a group of the consumer protocol may be set to.";
    "group.consumer.min.session.timeout.ms": Int = "45000", AtLeast(1), ReadOnly, Works,
        "The shortest session time-out that a group of the consumer protocol may be set to.";
    "group.consumer.regex.refresh.interval.ms": Int = "600000", AtLeast(10_000), ReadOnly, Works,
        "How often regular expressions that groups subscribe by are resolved again, even if no topic has come or gone.";
    "group.consumer.session.timeout.ms": Int = "45000", AtLeast(1), ReadOnly, Works,
        "After how long without a heartbeat a member of the consumer protocol is taken for dead.";
    "group.coordinator.append.linger.ms": Int = "-1", AtLeast(-1), ReadOnly, NoMeaning,
        "How long the coordinator gathers writes before it appends them, -1 as it sees fit; here writes gather while the previous sync runs.";
    "group.coordinator.background.threads": Int = "2", AtLeast(1), ReadOnly, NoMeaning,
        "Threads for the coordinator's long computations.";
    "group.coordinator.cached.buffer.max.bytes": Int = "1048588", AtLeast(524_288), ClusterWide, NoMeaning,
        "The largest buffer that the coordinator keeps for its next writes.";
    "group.coordinator.rebalance.protocols": List = "classic,consumer,streams", EachOf(&["consumer", "classic", "share", "streams"]), ReadOnly, Works,
        "The group protocols that the broker offers.";
    "group.coordinator.threads": Int = "4", AtLeast(1), ReadOnly, NoMeaning,
        "Threads of the group coordinator; here each shard is a task.";
    "group.initial.rebalance.delay.ms": Int = "0", Any, ReadOnly, Works,
        "How long the first rebalance of a new group waits for more members.";
    "group.max.session.timeout.ms": Int = "1800000", Any, ReadOnly, Works,
        "The longest session time-out that a member of a classic group may ask for.";
    "group.max.size": Int = "2147483647", AtLeast(1), ReadOnly, Works,
        "The most members of one classic group.";
    "group.min.session.timeout.ms": Int = "6000", Any, ReadOnly, Works,
        "The shortest session time-out that a member of a classic group may ask for.";
    "group.share.assignment.interval.ms": Int = "1000", AtLeast(0), ClusterWide, Works,
        "The shortest time between two target assignments of a share group.";
    "group.share.assignors": List = "simple", Any, ReadOnly, Works,
        "The assignor that share groups use.";
    "group.share.delivery.count.limit": Int = "5", Between(2, 10), ReadOnly, Works,
        "How often a share group tries to deliver a record.";
    "group.share.heartbeat.interval.ms": Int = "5000", AtLeast(1), ReadOnly, Works,
        "How often members of share groups are told to send heartbeats.";
    "group.share.max.assignment.interval.ms": Int = "15000", AtLeast(0), ReadOnly, Works,
        "The longest time between target assignments that a share group may be set to.";
    "group.share.max.delivery.count.limit": Int = "10", Between(5, 25), ReadOnly, Works,
        "The most deliveries of a record that a share group may be set to.";
    "group.share.max.heartbeat.interval.ms": Int = "15000", AtLeast(1), ReadOnly, Works,
        "The longest heartbeat interval that a share group may be set to.";
    "group.share.max.partition.max.record.locks": Int = "4000", Between(2000, 10_000), ReadOnly, Works,
        "The most locked records of one partition that a share group may be set to.";
    "group.share.max.record.lock.duration.ms": Int = "60000", Between(30_000, 3_600_000), ReadOnly, Works,
        "The longest time that a share group may be set to lock a record for.";
    "group.share.max.session.timeout.ms": Int = "60000", AtLeast(1), ReadOnly, Works,
        "The longest session time-out that a share group may be set to.";
    "group.share.max.share.sessions": Int = "2000", AtLeast(1), ReadOnly, Works,
        "How many share sessions the broker remembers.";
    "group.share.max.size": Int = "200", Between(1, 1000), ReadOnly, Works,
        "The most members of one share group.";
    "group.share.min.assignment.interval.ms": Int = "0", AtLeast(0), ReadOnly, Works,
        "The shortest time between target assignments that a share group may be set to.";
    "group.share.min.delivery.count.limit": Int = "2", Between(2, 5), ReadOnly, Works,
        "The fewest deliveries of a record that a share group may be set to.";
    "group.share.min.heartbeat.interval.ms": Int = "5000", AtLeast(1), ReadOnly, Works,
        "The shortest heartbeat interval that a share group may be set to.";
    "group.share.min.partition.max.record.locks": Int = "100", Between(100, 2000), ReadOnly, Works,
        "The fewest locked records of one partition that a share group may be set to.";
    "group.share.min.record.lock.duration.ms": Int = "15000", Between(1000, 30_000), ReadOnly, Works,
        "The shortest time that a share group may be set to lock a record for.";
    "group.share.min.session.timeout.ms": Int = "45000", AtLeast(1), ReadOnly, Works,
        "The shortest session time-out that a share group may be set to.";
    "group.share.partition.max.record.locks": Int = "2000", Between(100, 10_000), ReadOnly, Works,
        "How many records of one partition a share group may hold locked.";
    "group.share.record.lock.duration.ms": Int = "30000", Between(1000, 3_600_000), ReadOnly, Works,
        "How long a record stays locked for the member that it was delivered to.";
    "group.share.session.timeout.ms": Int = "45000", AtLeast(1), ReadOnly, Works,
        "After how long without a heartbeat a member of a share group is taken for dead.";
    "group.streams.assignment.interval.ms": Int = "1000", AtLeast(0), ClusterWide, Works,
        "The shortest time between two target assignments of a streams group.";
    "group.streams.heartbeat.interval.ms": Int = "5000", AtLeast(1), ReadOnly, Works,
        "How often members of streams groups are told to send heartbeats.";
    "group.streams.initial.rebalance.delay.ms": Int = "3000", AtLeast(0), ReadOnly, Works,
        "How long the first rebalance of a streams group waits for more members.";
    "group.streams.max.assignment.interval.ms": Int = "15000", AtLeast(0), ReadOnly, Works,
        "The longest time between target assignments that a streams group may be set to.";
    "group.streams.max.heartbeat.interval.ms": Int = "15000", AtLeast(1), ReadOnly, Works,
        "The longest heartbeat interval that a streams group may be set to.";
    "group.streams.max.session.timeout.ms": Int = "60000", AtLeast(1), ReadOnly, Works,
        "The longest session time-out that a streams group may be set to.";
    "group.streams.max.size": Int = "2147483647", AtLeast(1), ReadOnly, Works,
        "The most members of one streams group.";
    "group.streams.max.standby.replicas": Int = "2", AtLeast(0), ReadOnly, Works,
        "The most standby replicas that a streams group may be set to.";
    "group.streams.min.assignment.interval.ms": Int = "0", AtLeast(0), ReadOnly, Works,
        "The shortest time between target assignments that a streams group may be set to.";
    "group.streams.min.heartbeat.interval.ms": Int = "5000", AtLeast(1), ReadOnly, Works,
        "The shortest heartbeat interval that a streams group may be set to.";
    "group.streams.min.session.timeout.ms": Int = "45000", AtLeast(1), ReadOnly, Works,
        "The shortest session time-out that a streams group may be set to.";
    "group.streams.num.standby.replicas": Int = "0", AtLeast(0), ReadOnly, Works,
        "How many standby replicas each task of a streams group has.";
    "group.streams.session.timeout.ms": Int = "45000", AtLeast(1), ReadOnly, Works,
        "After how long without a heartbeat a member of a streams group is taken for dead.";
    "offset.metadata.max.bytes": Int = "4096", Any, ReadOnly, Works,
        "The longest note that a client may keep with a committed offset.";
    "offsets.commit.timeout.ms": Int = "5000", AtLeast(1), ReadOnly, NoMeaning,
        "How long a commit waits for the replicas of the offsets topic.";
    "offsets.load.buffer.size": Int = "5242880", AtLeast(1), ReadOnly, NoMeaning,
        "How many bytes of the offsets topic are read at a time when groups are loaded.";
    "offsets.retention.check.interval.ms": Long = "600000", AtLeast(1), ReadOnly, Works,
        "How often the broker looks for committed offsets that have expired.";
    "offsets.retention.minutes": Int = "10080", AtLeast(1), ReadOnly, Works,
        "How long committed offsets outlive a group without members, or a lone consumer's last commit (KIP-211).";
    "offsets.topic.compression.codec": Int = "0", Any, ReadOnly, NoMeaning,
        "The compression of the offsets topic, by number.";
    "offsets.topic.num.partitions": Int = "50", AtLeast(1), ReadOnly, Works,
        "Into how many shards groups are divided; must not change once there are groups.";
    "offsets.topic.replication.factor": Short = "3", AtLeast(1), ReadOnly, NoMeaning,
        "Replicas of the offsets topic.";
    "offsets.topic.segment.bytes": Int = "104857600", AtLeast(1), ReadOnly, NoMeaning,
        "The segment size of the offsets topic.";
    "share.coordinator.append.linger.ms": Int = "-1", AtLeast(-1), ReadOnly, NoMeaning,
        "How long the share coordinator gathers writes before it appends them.";
    "share.coordinator.cached.buffer.max.bytes": Int = "1048588", AtLeast(524_288), ClusterWide, NoMeaning,
        "How large a write buffer the share coordinator keeps for the next write.";
    "share.coordinator.load.buffer.size": Int = "5242880", AtLeast(1), ReadOnly, NoMeaning,
        "How many bytes of the share state are read at a time when it is loaded.";
    "share.coordinator.snapshot.update.records.per.snapshot": Int = "500", Between(0, 500), ReadOnly, Works,
        "After how many changes the share coordinator writes the whole state of a partition.";
    "share.coordinator.state.topic.compression.codec": Int = "0", Any, ReadOnly, NoMeaning,
        "The compression of the share state topic, by number.";
    "share.coordinator.state.topic.min.isr": Short = "2", AtLeast(1), ReadOnly, NoMeaning,
        "How many replicas of the share state topic must have a write.";
    "share.coordinator.state.topic.num.partitions": Int = "50", AtLeast(1), ReadOnly, Works,
        "Into how many shards share groups' state is divided; must not change once there is some.";
    "share.coordinator.state.topic.replication.factor": Short = "3", AtLeast(1), ReadOnly, NoMeaning,
        "Replicas of the share state topic.";
    "share.coordinator.state.topic.segment.bytes": Int = "104857600", AtLeast(1), ReadOnly, NoMeaning,
        "The segment size of the share state topic.";
    "share.coordinator.threads": Int = "1", AtLeast(1), ReadOnly, NoMeaning,
        "Threads of the share coordinator.";
    "share.coordinator.write.timeout.ms": Int = "5000", AtLeast(1), ReadOnly, NoMeaning,
        "How long a write of share state waits for the replicas of its topic.";
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": Int = "10000", AtLeast(1), ReadOnly, NoMeaning,
        "How often Kafka looks for transactions that have timed out; here each is ended when its time is up.";
    "transaction.max.timeout.ms": Int = "900000", AtLeast(1), ReadOnly, Works,
        "The longest time-out that a transactional producer may ask for.";
    "transaction.partition.verification.enable": Boolean = "true", Any, ClusterWide, Works,
        "Whether a partition must belong to a transaction before transactional records are written to it.";
    "transaction.remove.expired.transaction.cleanup.interval.ms": Int = "3600000", AtLeast(1), ReadOnly, Works,
        "How often the broker looks for transactional ids that have expired.";
    "transaction.state.log.load.buffer.size": Int = "5242880", AtLeast(1), ReadOnly, NoMeaning,
        "How many bytes of the transaction topic are read at a time when it is loaded.";
    "transaction.state.log.min.isr": Int = "2", AtLeast(1), ReadOnly, NoMeaning,
        "How many replicas of the transaction topic must have a write.";
    "transaction.state.log.num.partitions": Int = "50", AtLeast(1), ReadOnly, Works,
        "Into how many shards transactions are divided; must not change once there are some.";
    "transaction.state.log.replication.factor": Short = "3", AtLeast(1), ReadOnly, NoMeaning,
        "Replicas of the transaction topic.";
    "transaction.state.log.segment.bytes": Int = "104857600", AtLeast(1), ReadOnly, NoMeaning,
        "The segment size of the transaction topic.";
    "transaction.two.phase.commit.enable": Boolean = "false", Any, ReadOnly, Stored,
        "Whether transactions may take part in a two-phase commit that something else coordinates.";
    "transactional.id.expiration.ms": Int = "604800000", AtLeast(1), ReadOnly, Works,
        "How long the broker remembers a transactional id that is not used.";
};
