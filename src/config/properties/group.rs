//! The settings of single groups of Kafka 4.3 (KIP-848, KIP-932, KIP-1071). Each is, for a group that does not set it, what the broker
//! property `group.` + name is, where there is one.

use super::{Property, Valid};
use Valid::{Any, AtLeast, OneOf, ShareOffsetReset};

/// All of them, by name.
pub static GROUP: &[Property] = &properties! {
    "consumer.assignment.interval.ms": Int = "1000", AtLeast(0), ClusterWide, Works,
        "The shortest time between two target assignments of a consumer group.";
    "consumer.heartbeat.interval.ms": Int = "5000", AtLeast(1), ClusterWide, Works,
        "How often members of a consumer group send heartbeats.";
    "consumer.session.timeout.ms": Int = "45000", AtLeast(1), ClusterWide, Works,
        "How long a member of a consumer group may be silent.";
    "share.assignment.interval.ms": Int = "1000", AtLeast(0), ClusterWide, Works,
        "The shortest time between two target assignments of a share group.";
    "share.auto.offset.reset": String = "latest", ShareOffsetReset, ClusterWide, Works,
        "Where a share group starts that has no offsets.";
    "share.delivery.count.limit": Int = "5", AtLeast(2), ClusterWide, Works,
        "How often a share group tries to deliver a record.";
    "share.heartbeat.interval.ms": Int = "5000", AtLeast(1), ClusterWide, Works,
        "How often members of a share group send heartbeats.";
    "share.isolation.level": String = "read_uncommitted", OneOf(&["read_committed", "read_uncommitted"]), ClusterWide, Works,
        "Whether a share group reads records of open transactions.";
    "share.partition.max.record.locks": Int = "2000", AtLeast(100), ClusterWide, Works,
        "How many records of one partition a share group may hold locked.";
    "share.record.lock.duration.ms": Int = "30000", AtLeast(1000), ClusterWide, Works,
        "How long a share group's member may hold a record.";
    "share.renew.acknowledge.enable": Boolean = "true", Any, ClusterWide, Works,
        "Whether members of a share group may ask for more time with a record.";
    "share.session.timeout.ms": Int = "45000", AtLeast(1), ClusterWide, Works,
        "How long a member of a share group may be silent.";
    "streams.assignment.interval.ms": Int = "1000", AtLeast(0), ClusterWide, Works,
        "The shortest time between two target assignments of a streams group.";
    "streams.heartbeat.interval.ms": Int = "5000", AtLeast(1), ClusterWide, Works,
        "How often members of a streams group send heartbeats.";
    "streams.initial.rebalance.delay.ms": Int = "3000", AtLeast(0), ClusterWide, Works,
        "How long the first rebalance of a streams group waits for more members.";
    "streams.num.standby.replicas": Int = "0", AtLeast(0), ClusterWide, Works,
        "How many standby copies a streams group keeps of each task.";
    "streams.session.timeout.ms": Int = "45000", AtLeast(1), ClusterWide, Works,
        "How long a member of a streams group may be silent.";
};
