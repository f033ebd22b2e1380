//! Broker properties about addresses, sockets, threads, limits, quotas and metrics.

use crate::config::properties::{Property, Valid};
use Valid::{Any, AtLeast};

pub(super) const ALL: &[Property] = &properties! {
    "advertised.listeners": List = null, Any, ReadOnly, Works,
        "The addresses that clients are told to use, where they differ from those that the broker binds.";
    "background.threads": Int = "10", AtLeast(1), ClusterWide, NoMeaning,
        "Threads for Kafka's background work.";
    "client.quota.callback.class": Class = null, Any, ReadOnly, NoMeaning,
        "A Java class that decides client quotas.";
    "connection.failed.authentication.delay.ms": Int = "100", AtLeast(0), ReadOnly, NoMeaning,
        "How long the close of a connection is put off after it failed to authenticate.";
    "connections.max.idle.ms": Long = "600000", Any, ReadOnly, Works,
        "How long a connection may be silent before the broker closes it (limits.idle_ms).";
    "connections.max.reauth.ms": Long = "0", Any, ReadOnly, NoMeaning,
        "How long an authenticated session lasts before the client must authenticate again; 0 asks for none.";
    "delete.records.purgatory.purge.interval.requests": Int = "1", Any, ReadOnly, NoMeaning,
        "After how many requests Kafka tidies the waiting DeleteRecords requests.";
    "fetch.max.bytes": Int = "57671680", AtLeast(1024), ReadOnly, Works,
        "The most bytes of records that one fetch is answered with.";
    "fetch.purgatory.purge.interval.requests": Int = "1000", Any, ReadOnly, NoMeaning,
        "After how many requests Kafka tidies the waiting fetches.";
    "kafka.metrics.polling.interval.secs": Int = "10", AtLeast(1), ReadOnly, NoMeaning,
        "How often Kafka's own metrics reporters poll.";
    "kafka.metrics.reporters": List = "", Any, ReadOnly, NoMeaning,
        "Java classes that report Kafka's Yammer metrics.";
    "listener.security.protocol.map": String = "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", Any, PerBroker, Works,
        "Which security protocol each listener name stands for; only PLAINTEXT ones can be opened here.";
    "listeners": List = "PLAINTEXT://:9092", Any, PerBroker, Works,
        "The addresses to listen on, as NAME://host:port (server.listen).";
    "max.connection.creation.rate": Int = "2147483647", AtLeast(0), ClusterWide, NoMeaning,
        "How many connections a second the broker lets in.";
    "max.connections": Int = "2147483647", AtLeast(0), ClusterWide, Works,
        "The most connections that the broker holds at once (limits.connections).";
    "max.connections.per.ip": Int = "2147483647", AtLeast(0), ClusterWide, NoMeaning,
        "The most connections from one address.";
    "max.connections.per.ip.overrides": String = "", Any, ClusterWide, NoMeaning,
        "Other limits of connections for some addresses, as host:count pairs.";
    "max.incremental.fetch.session.cache.slots": Int = "1000", AtLeast(0), ReadOnly, Works,
        "How many incremental fetch sessions the broker remembers.";
    "max.request.partition.size.limit": Int = "2000", AtLeast(1), ReadOnly, Works,
        "The most partitions that one DescribeTopicPartitions request is answered with.";
    "metric.reporters": List = "org.apache.kafka.common.metrics.JmxReporter", Any, ClusterWide, NoMeaning,
        "Java classes that report metrics.";
    "metrics.num.samples": Int = "2", AtLeast(1), ReadOnly, NoMeaning,
        "How many samples Kafka computes a metric from.";
    "metrics.recording.level": String = "INFO", Any, ReadOnly, NoMeaning,
        "How detailed Kafka's metrics are.";
    "metrics.sample.window.ms": Long = "30000", AtLeast(1), ReadOnly, NoMeaning,
        "The time that one sample of a metric covers.";
    "num.io.threads": Int = "8", AtLeast(1), ClusterWide, NoMeaning,
        "Threads that handle requests; here server.worker_threads.";
    "num.network.threads": Int = "3", AtLeast(1), ClusterWide, NoMeaning,
        "Threads that read and write sockets; here server.worker_threads.";
    "producer.purgatory.purge.interval.requests": Int = "1000", Any, ReadOnly, NoMeaning,
        "After how many requests Kafka tidies the waiting produce requests.";
    "queued.max.request.bytes": Long = "-1", Any, ReadOnly, NoMeaning,
        "The most bytes of requests in Kafka's queue; here limits.memory_bytes.";
    "queued.max.requests": Int = "500", AtLeast(1), ReadOnly, NoMeaning,
        "How many requests wait in Kafka's queue before sockets are left unread.";
    "quota.window.num": Int = "11", AtLeast(1), ReadOnly, NoMeaning,
        "How many samples client quotas are computed from.";
    "quota.window.size.seconds": Int = "1", AtLeast(1), ReadOnly, NoMeaning,
        "The time that one sample of a client quota covers.";
    "request.timeout.ms": Int = "30000", Any, ReadOnly, NoMeaning,
        "How long the broker waits for answers to its own requests to other brokers.";
    "share.fetch.purgatory.purge.interval.requests": Int = "1000", Any, ReadOnly, NoMeaning,
        "After how many requests Kafka tidies the waiting fetches of share groups.";
    "socket.connection.setup.timeout.max.ms": Long = "30000", Any, ReadOnly, NoMeaning,
        "The longest time to wait for a connection that the broker opens, after repeated failures.";
    "socket.connection.setup.timeout.ms": Long = "10000", Any, ReadOnly, NoMeaning,
        "How long to wait for a connection that the broker opens.";
    "socket.listen.backlog.size": Int = "50", AtLeast(1), ReadOnly, NoMeaning,
        "How many connections may wait to be accepted.";
    "socket.receive.buffer.bytes": Int = "102400", Any, ReadOnly, NoMeaning,
        "The receive buffer of client sockets; here the system tunes it.";
    "socket.request.max.bytes": Int = "104857600", AtLeast(1), ReadOnly, Works,
        "The largest request that the broker reads (limits.request_bytes).";
    "socket.send.buffer.bytes": Int = "102400", Any, ReadOnly, NoMeaning,
        "The send buffer of client sockets; here the system tunes it.";
    "telemetry.max.bytes": Int = "1048576", AtLeast(1), ReadOnly, NoMeaning,
        "The largest set of metrics that a client may push.";
};
