//! Broker properties about the node, the controller quorum, replication and metadata.

use crate::config::properties::{Property, Valid};
use Valid::{Any, AtLeast, EachOf};

pub(super) const ALL: &[Property] = &properties! {
    "alter.config.policy.class.name": Class = null, Any, ReadOnly, NoMeaning,
        "A Java class that may refuse changes of configurations.";
    "alter.log.dirs.replication.quota.window.num": Int = "11", AtLeast(1), ReadOnly, NoMeaning,
        "How many samples the quota of moves between directories is computed from.";
    "alter.log.dirs.replication.quota.window.size.seconds": Int = "1", AtLeast(1), ReadOnly, NoMeaning,
        "The time that one sample of the quota of moves covers.";
    "auto.leader.rebalance.enable": Boolean = "true", Any, ReadOnly, NoMeaning,
        "Whether leadership goes back to the preferred replicas by itself.";
    "broker.heartbeat.interval.ms": Int = "2000", Any, ReadOnly, NoMeaning,
        "How often a broker tells the controller that it lives.";
    "broker.id": Int = "-1", Any, ReadOnly, Works,
        "This broker's id; the older name of node.id (server.node_id).";
    "broker.rack": String = null, Any, ReadOnly, Works,
        "Where the broker stands, as clients are told (server.rack).";
    "broker.session.timeout.ms": Int = "9000", Any, ReadOnly, NoMeaning,
        "After how long without a heartbeat the controller takes a broker for dead.";
    "config.providers": List = "", Any, ClusterWide, NoMeaning,
        "Java classes that fetch values of properties from elsewhere.";
    "controlled.shutdown.enable": Boolean = "true", Any, ReadOnly, NoMeaning,
        "Whether a broker hands its leaderships over before it stops.";
    "controller.listener.names": List = null, Any, ReadOnly, NoMeaning,
        "Which listeners are the controller's; they are not opened here.";
    "controller.quorum.append.linger.ms": Int = "25", AtLeast(0), ReadOnly, NoMeaning,
        "How long the controller gathers metadata writes before it syncs them.";
    "controller.quorum.auto.join.enable": Boolean = "false", Any, ReadOnly, NoMeaning,
        "Whether a controller joins the quorum by itself.";
    "controller.quorum.bootstrap.servers": List = "", Any, ReadOnly, NoMeaning,
        "Where a new node finds the controllers.";
    "controller.quorum.election.backoff.max.ms": Int = "1000", AtLeast(0), ReadOnly, NoMeaning,
        "The longest wait before another election of the controller.";
    "controller.quorum.election.timeout.ms": Int = "1000", AtLeast(0), ReadOnly, NoMeaning,
        "After how long without a leader a controller calls an election.";
    "controller.quorum.fetch.max.bytes": Int = "1048576", AtLeast(1), ReadOnly, NoMeaning,
        "How many bytes of metadata one fetch of the quorum asks for.";
    "controller.quorum.fetch.snapshot.max.bytes": Int = "1048576", AtLeast(1), ReadOnly, NoMeaning,
        "How many bytes of a metadata snapshot one fetch of the quorum asks for.";
    "controller.quorum.fetch.timeout.ms": Int = "2000", AtLeast(0), ReadOnly, NoMeaning,
        "After how long without a successful fetch a controller stands for election.";
    "controller.quorum.request.timeout.ms": Int = "2000", AtLeast(0), ReadOnly, NoMeaning,
        "How long controllers wait for each other's answers.";
    "controller.quorum.retry.backoff.ms": Int = "20", AtLeast(0), ReadOnly, NoMeaning,
        "How long controllers wait before they ask each other again.";
    "controller.quorum.voters": List = "", Any, ReadOnly, NoMeaning,
        "The controllers, as id@host:port.";
    "controller.quota.window.num": Int = "11", AtLeast(1), ReadOnly, NoMeaning,
        "How many samples the quota of topic changes is computed from.";
    "controller.quota.window.size.seconds": Int = "1", AtLeast(1), ReadOnly, NoMeaning,
        "The time that one sample of the quota of topic changes covers.";
    "controller.socket.timeout.ms": Int = "30000", Any, ReadOnly, NoMeaning,
        "How long the controller waits for a broker's answer.";
    "create.topic.policy.class.name": Class = null, Any, ReadOnly, NoMeaning,
        "A Java class that may refuse new topics.";
    "early.start.listeners": List = null, Any, ReadOnly, NoMeaning,
        "Which listeners open before the authorizer is ready.";
    "follower.fetch.last.tiered.offset.enable": Boolean = "false", Any, ClusterWide, NoMeaning,
        "Whether a new follower starts behind what tiered storage holds.";
    "follower.replication.throttled.rate": Long = "9223372036854775807", AtLeast(0), ClusterWide, NoMeaning,
        "How many bytes a second a broker may fetch as the follower of throttled replicas.";
    "initial.broker.registration.timeout.ms": Int = "60000", Any, ReadOnly, NoMeaning,
        "How long a starting broker waits to be registered by the controller.";
    "inter.broker.listener.name": String = null, Any, ReadOnly, NoMeaning,
        "The listener through which brokers speak to each other.";
    "leader.imbalance.check.interval.seconds": Long = "300", AtLeast(1), ReadOnly, NoMeaning,
        "How often the controller looks whether leaderships are spread well.";
    "leader.replication.throttled.rate": Long = "9223372036854775807", AtLeast(0), ClusterWide, NoMeaning,
        "How many bytes a second a broker may send as the leader of throttled replicas.";
    "metadata.log.dir": String = null, Any, ReadOnly, NoMeaning,
        "Where the controller keeps the metadata log.";
    "metadata.log.max.record.bytes.between.snapshots": Long = "20971520", AtLeast(1), ReadOnly, NoMeaning,
        "After how many bytes of metadata the controller writes a snapshot.";
    "metadata.log.max.snapshot.interval.ms": Long = "3600000", AtLeast(0), ReadOnly, NoMeaning,
        "After how long the controller writes a snapshot of the metadata.";
    "metadata.log.segment.bytes": Int = "1073741824", AtLeast(8_388_608), ReadOnly, NoMeaning,
        "The segment size of the metadata log.";
    "metadata.log.segment.ms": Long = "604800000", Any, ReadOnly, NoMeaning,
        "After how long the metadata log starts a new segment.";
    "metadata.max.idle.interval.ms": Int = "500", AtLeast(0), ReadOnly, NoMeaning,
        "How often the controller writes something so that its log is never silent.";
    "metadata.max.retention.bytes": Long = "104857600", Any, ReadOnly, NoMeaning,
        "How many bytes of old metadata the controller keeps.";
    "metadata.max.retention.ms": Long = "604800000", Any, ReadOnly, NoMeaning,
        "How long the controller keeps old metadata.";
    "node.id": Int = null, AtLeast(0), ReadOnly, Works,
        "This node's id, unique in its cluster (server.node_id).";
    "num.replica.alter.log.dirs.threads": Int = null, Any, ReadOnly, NoMeaning,
        "Threads that move replicas between directories.";
    "num.replica.fetchers": Int = "1", AtLeast(1), ClusterWide, NoMeaning,
        "Threads that fetch from each other broker.";
    "process.roles": List = "", EachOf(&["broker", "controller"]), ReadOnly, NoMeaning,
        "Whether this process is a broker, a controller, or both; here it is the whole cluster.";
    "replica.alter.log.dirs.io.max.bytes.per.second": Long = "9223372036854775807", AtLeast(0), ClusterWide, NoMeaning,
        "How many bytes a second moves between directories may take.";
    "replica.fetch.backoff.ms": Int = "1000", AtLeast(0), ReadOnly, NoMeaning,
        "How long a follower rests after an error of a partition.";
    "replica.fetch.max.bytes": Int = "1048576", AtLeast(0), ReadOnly, NoMeaning,
        "How many bytes of a partition a follower fetches at a time.";
    "replica.fetch.min.bytes": Int = "1", Any, ReadOnly, NoMeaning,
        "How many bytes a follower's fetch waits for.";
    "replica.fetch.response.max.bytes": Int = "10485760", AtLeast(0), ReadOnly, NoMeaning,
        "How many bytes a follower fetches at a time over all partitions.";
    "replica.fetch.wait.max.ms": Int = "500", Any, ReadOnly, NoMeaning,
        "How long a follower's fetch waits for new records.";
    "replica.high.watermark.checkpoint.interval.ms": Long = "5000", Any, ReadOnly, NoMeaning,
        "How often Kafka notes the high watermarks on disk.";
    "replica.lag.time.max.ms": Long = "30000", Any, ReadOnly, NoMeaning,
        "After how long behind its leader a replica is out of sync.";
    "replica.selector.class": String = null, Any, ReadOnly, NoMeaning,
        "A Java class that chooses which replica a consumer reads.";
    "replica.socket.receive.buffer.bytes": Int = "65536", Any, ReadOnly, NoMeaning,
        "The receive buffer of a follower's connection.";
    "replica.socket.timeout.ms": Int = "30000", Any, ReadOnly, NoMeaning,
        "How long a follower waits for its leader's answer.";
    "replication.quota.window.num": Int = "11", AtLeast(1), ReadOnly, NoMeaning,
        "How many samples the replication quota is computed from.";
    "replication.quota.window.size.seconds": Int = "1", AtLeast(1), ReadOnly, NoMeaning,
        "The time that one sample of the replication quota covers.";
};
