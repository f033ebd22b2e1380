"""The workloads: Apache Kafka's own performance tools and librdkafka's, each run against one broker, with what the client saw and the broker
spent. Each gives (name of a row, its figures); the work is done while the row is asked for.

The names, sizes and client settings follow one list, so that tables from different days and brokers can be held side by side.
Sizes are for `scale` 1.0: about five minutes per broker and round on two cores.
"""

import contextlib
import statistics
import subprocess
import time

import kafka_tools
import readings
import rows
import start
from confluent_kafka import KafkaException, Producer
from librdkafka_tool import Unavailable, librdkafka_tool
from suite import fresh

ACKS_ALL = "acks=all"
SECONDS = 900
WARM_UP_RECORDS = 200_000
KILOBYTE = 1024
LIBRDKAFKA_PARTITIONS = 4


class Failed(Exception):
    """A tool ended with an error."""


def warm_up(broker):
    """Classes, connections, internal topics: what the first client of a broker pays for."""
    with topic_of(broker, 1) as topic:
        produce(broker, topic, WARM_UP_RECORDS, 100, ACKS_ALL)
        consume(broker, topic, WARM_UP_RECORDS, 100)


def small(broker, scale):
    """100 bytes, one partition: the price of a record."""
    count = int(10e6 * scale)
    with topic_of(broker, 1) as topic:
        yield rows.PRODUCE_100B, measured(broker, lambda: produce(broker, topic, count, 100, ACKS_ALL))
        yield rows.CONSUME_100B, measured(broker, lambda: consume(broker, topic, count, 100))


def kilobyte(broker, scale):
    """1 KB, 16 partitions: the price of a byte."""
    count = int(2e6 * scale)
    with topic_of(broker, 16) as topic:
        yield rows.PRODUCE_1KB, measured(broker, lambda: produce(broker, topic, count, KILOBYTE, ACKS_ALL))
        yield rows.CONSUME_1KB, measured(broker, lambda: consume(broker, topic, count, KILOBYTE))


def large_batches(broker, scale):
    """The client settings of published comparisons: few, large requests."""
    properties = (ACKS_ALL, "batch.size=262144", "linger.ms=10", "buffer.memory=134217728")
    count = int(2e6 * scale)
    with topic_of(broker, 16) as topic:
        yield rows.PRODUCE_LARGE_BATCHES, measured(broker, lambda: produce(broker, topic, count, KILOBYTE, *properties))


def single_records(broker, scale):
    """1 KB, 16 partitions, each record a batch of its own: the price of a batch."""
    properties = (ACKS_ALL, "batch.size=1", "linger.ms=0")
    count = int(500e3 * scale)
    with topic_of(broker, 16) as topic:
        yield rows.PRODUCE_SINGLE, measured(broker, lambda: produce(broker, topic, count, KILOBYTE, *properties))
        yield rows.CONSUME_SINGLE, measured(broker, lambda: consume(broker, topic, count, KILOBYTE))


def paced(broker, scale):
    """Latency under a fixed, modest load."""
    count = int(100e3 * scale)
    with topic_of(broker, 16) as topic:
        yield rows.PACED, measured(broker, lambda: produce(broker, topic, count, KILOBYTE, ACKS_ALL, "linger.ms=0", throughput=5000))


def transactions(broker, scale):
    """A transaction every 50 ms, then its committed records."""
    count = int(500e3 * scale)
    extra = ("--transactional-id", fresh("transactional"), "--transaction-duration-ms", 50)
    with topic_of(broker, 16) as topic:
        yield rows.TRANSACTIONS, measured(broker, lambda: produce(broker, topic, count, KILOBYTE, ACKS_ALL, extra=extra))
        yield (
            rows.CONSUME_COMMITTED,
            measured(broker, lambda: consume(broker, topic, count, KILOBYTE, "isolation.level=read_committed")),
        )
    with topic_of(broker, rows.COMMIT_PARTITIONS) as topic:
        yield rows.COMMITS, measured(broker, lambda: commits(broker, topic, int(2000 * scale)))


def end_to_end(broker, scale):
    """One record at a time: from the producer through the broker to the consumer."""
    with topic_of(broker, 1) as topic:
        yield rows.END_TO_END, measured(broker, lambda: latency(broker, topic, int(10e3 * scale), 100))


def librdkafka_small(broker, scale):
    """100 bytes from a client light enough to show what a broker can do."""
    with topic_of(broker, LIBRDKAFKA_PARTITIONS) as topic:
        yield rows.LIBRDKAFKA_100B, measured(broker, lambda: librdkafka_produce(broker, topic, int(10e6 * scale), 100))


def librdkafka_kilobyte(broker, scale):
    with topic_of(broker, LIBRDKAFKA_PARTITIONS) as topic:
        yield rows.LIBRDKAFKA_1KB, measured(broker, lambda: librdkafka_produce(broker, topic, int(2e6 * scale), KILOBYTE))


def librdkafka_reading(broker, scale):
    """One partition, from its beginning; what is written for it is a row too."""
    count = int(1e6 * scale)
    with topic_of(broker, 1) as topic:
        yield rows.LIBRDKAFKA_1KB_ALONE, measured(broker, lambda: librdkafka_produce(broker, topic, count, KILOBYTE))
        yield rows.LIBRDKAFKA_CONSUME, measured(broker, lambda: librdkafka_consume(broker, topic, count, KILOBYTE))


def memory(broker, _scale):
    """Of what has run so far: this comes last."""
    yield rows.MEMORY, {"rss_mib": broker.resident_mb()}


def starts(broker, _scale):
    """Of brokers like this one, each in a directory of its own."""
    yield rows.START, attempted(lambda: {"start_ms": statistics.median(start.milliseconds(broker) for _ in range(start.TIMES))})


# What loads a running broker, and can be sampled for a flame graph.
LOADS = {
    "p100": small,
    "p1k": kilobyte,
    "big": large_batches,
    "single": single_records,
    "paced": paced,
    "txn": transactions,
    "e2e": end_to_end,
    "rd100": librdkafka_small,
    "rd1k": librdkafka_kilobyte,
    "rdconsume": librdkafka_reading,
}
ALL = {**LOADS, "start": starts, "memory": memory}


def measured(broker, workload):
    """The row of `workload()`, with the broker's processor seconds: in all, per GB of record values and per million records."""
    cpu_before, started = broker.cpu_seconds(), time.monotonic()
    row = attempted(workload)
    if "error" in row or "unavailable" in row:
        return row
    row["wall_s"] = time.monotonic() - started
    row["cpu_s"] = broker.cpu_seconds() - cpu_before
    row["rss_mib"] = broker.resident_mb()
    row["cpu_s_per_million"] = row["cpu_s"] / (row["records"] / 1e6)
    if "bytes" in row:
        row["cpu_s_per_gb"] = row["cpu_s"] / (row["bytes"] / 1e9)
    return row


def attempted(workload):
    """The figures of `workload()`, or why there are none: `unavailable` where the tool is not there, `error` where it failed."""
    try:
        return workload()
    except Unavailable as error:
        return {"unavailable": str(error)}
    except (Failed, readings.Unreadable, KafkaException, RuntimeError) as error:
        return {"error": " ".join(str(error).split())}


def produce(broker, topic, count, size, *properties, throughput=-1, extra=()):
    printed = attempt(
        "producer-perf", "--topic", topic, "--num-records", count, "--record-size", size, "--throughput", throughput,
        *extra, "--producer-props", f"bootstrap.servers={broker.bootstrap}", *properties,
    )  # fmt: skip
    return readings.producer(printed, count, size)


def consume(broker, topic, count, size, *properties):
    config = broker.home / "consumer.properties"
    config.write_text("".join(f"{line}\n" for line in properties))
    printed = attempt(
        "consumer-perf", "--bootstrap-server", broker.bootstrap, "--topic", topic, "--messages", count,
        "--command-config", config, "--group", fresh("bench"),
    )  # fmt: skip
    return readings.consumer(printed, count, size)


def latency(broker, topic, count, size):
    printed = attempt(
        "end-to-end", "--bootstrap-server", broker.bootstrap, "--topic", topic, "--num-records", count,
        "--producer-acks", "all", "--record-size", size,
    )  # fmt: skip
    return readings.end_to_end(printed, count)


def librdkafka_produce(broker, topic, count, size):
    # Queues that never hold it up: the broker is what is measured.
    settings = ("linger.ms=5", "batch.num.messages=100000", "queue.buffering.max.messages=2000000", "queue.buffering.max.kbytes=1000000")
    printed = librdkafka_tool("-P", "-b", broker.bootstrap, "-t", topic, "-s", size, "-c", count, "-a", "-1", settings=settings)
    return readings.librdkafka_producer(printed, count, size)


def librdkafka_consume(broker, topic, count, size):
    # -e: a partition that holds less than the count ends the reading too.
    printed = librdkafka_tool("-C", "-b", broker.bootstrap, "-t", topic, "-p", 0, "-o", "beginning", "-c", count, "-e")
    return readings.librdkafka_consumer(printed, count, size)


def commits(broker, topic, count):
    """How long `commit_transaction` takes when its records are delivered already."""
    settings = {"bootstrap.servers": broker.bootstrap, "transactional.id": fresh("commits"), "linger.ms": 0, "log_level": 2}
    producer = Producer(settings)
    producer.init_transactions(30)
    took = []
    for _ in range(count):
        producer.begin_transaction()
        for partition in range(rows.COMMIT_PARTITIONS):
            producer.produce(topic, b"x" * 100, partition=partition)
        producer.flush(30)
        started = time.monotonic()
        producer.commit_transaction(30)
        took.append((time.monotonic() - started) * 1000)
    percentiles = statistics.quantiles(took, n=1000)
    return {
        "records": count * rows.COMMIT_PARTITIONS,
        "avg_ms": statistics.fmean(took),
        "p50_ms": percentiles[499],
        "p99_ms": percentiles[989],
        "p999_ms": percentiles[998],
    }


@contextlib.contextmanager
def topic_of(broker, partitions):
    """A topic that is deleted afterwards, also when the rest of a workload is not asked for."""
    topic = fresh("bench")
    arguments = ["--create", "--topic", topic, "--partitions", partitions, "--replication-factor", 1]
    kafka_tools.run("topics", "--bootstrap-server", broker.bootstrap, *arguments, heap="256m")
    try:
        yield topic
    finally:
        kafka_tools.run("topics", "--bootstrap-server", broker.bootstrap, "--delete", "--topic", topic, heap="256m")


def attempt(tool, *arguments):
    try:
        return kafka_tools.run(tool, *arguments, seconds=SECONDS)
    except kafka_tools.ToolFailed as error:
        raise Failed(str(error)) from None
    except subprocess.TimeoutExpired:
        raise Failed(f"{tool} was not done after {SECONDS} s") from None
