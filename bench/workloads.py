"""The workloads: Apache Kafka's own performance tools (and librdkafka, for commits), each run against one broker, with what the client
saw and the broker spent.

The names, sizes and client settings follow one list, so that tables from different days and brokers can be held side by side.
Sizes are for `scale` 1.0: about four minutes per broker and round on two cores.
"""

import re
import statistics
import time

import kafka_tools
from confluent_kafka import Producer
from suite import fresh

ACKS_ALL = "acks=all"
SECONDS = 900
WARM_UP_RECORDS = 200_000
KILOBYTE = 1024
COMMIT_PARTITIONS = 4


class Failed(Exception):
    """A tool gave no result that could be read."""


def warm_up(broker):
    """Classes, connections, internal topics: what the first client of a broker pays for."""
    topic = create_topic(broker, 1)
    produce(broker, topic, WARM_UP_RECORDS, 100, ACKS_ALL)
    consume(broker, topic, WARM_UP_RECORDS, 100)
    delete_topic(broker, topic)


def small(broker, scale):
    """100 bytes, one partition: the price of a record."""
    count = int(10e6 * scale)
    topic = create_topic(broker, 1)
    yield "produce 100B x1p acks=all", measured(broker, lambda: produce(broker, topic, count, 100, ACKS_ALL))
    yield "consume 100B x1p", measured(broker, lambda: consume(broker, topic, count, 100))
    delete_topic(broker, topic)


def kilobyte(broker, scale):
    """1 KB, 16 partitions: the price of a byte."""
    count = int(2e6 * scale)
    topic = create_topic(broker, 16)
    yield "produce 1KB x16p acks=all", measured(broker, lambda: produce(broker, topic, count, KILOBYTE, ACKS_ALL))
    yield "consume 1KB x16p", measured(broker, lambda: consume(broker, topic, count, KILOBYTE))
    delete_topic(broker, topic)


def large_batches(broker, scale):
    """The client settings of published comparisons: few, large requests."""
    properties = (ACKS_ALL, "batch.size=262144", "linger.ms=10", "buffer.memory=134217728")
    topic = create_topic(broker, 16)
    yield (
        "produce 1KB x16p batch=256k linger=10",
        measured(broker, lambda: produce(broker, topic, int(2e6 * scale), KILOBYTE, *properties)),
    )
    delete_topic(broker, topic)


def paced(broker, scale):
    """Latency under a fixed, modest load."""
    topic = create_topic(broker, 16)
    yield (
        "paced 5k/s 1KB x16p linger=0",
        measured(broker, lambda: produce(broker, topic, int(100e3 * scale), KILOBYTE, ACKS_ALL, "linger.ms=0", throughput=5000)),
    )
    delete_topic(broker, topic)


def transactions(broker, scale):
    """A transaction every 50 ms, then its committed records."""
    count = int(500e3 * scale)
    topic = create_topic(broker, 16)
    extra = ("--transactional-id", fresh("transactional"), "--transaction-duration-ms", 50)
    yield "txn 1KB x16p 50ms", measured(broker, lambda: produce(broker, topic, count, KILOBYTE, ACKS_ALL, extra=extra))
    yield (
        "consume read_committed",
        measured(broker, lambda: consume(broker, topic, count, KILOBYTE, "isolation.level=read_committed")),
    )
    yield f"commit of one record to each of {COMMIT_PARTITIONS} partitions", measured(broker, lambda: commits(broker, int(2000 * scale)))
    delete_topic(broker, topic)


def end_to_end(broker, scale):
    """One record at a time: from the producer through the broker to the consumer."""
    yield "end to end 100B acks=all", measured(broker, lambda: latency(broker, int(10e3 * scale), 100))


ALL = {
    "p100": small,
    "p1k": kilobyte,
    "big": large_batches,
    "paced": paced,
    "txn": transactions,
    "e2e": end_to_end,
}
DEFAULT = list(ALL)


def measured(broker, workload):
    """The row of `workload()`, with the broker's processor seconds, in all and per GB of record values."""
    cpu_before, started = broker.cpu_seconds(), time.monotonic()
    try:
        row = workload()
    except Failed as error:
        return {"error": str(error)}
    row["wall_s"] = time.monotonic() - started
    row["cpu_s"] = broker.cpu_seconds() - cpu_before
    row["rss_mb"] = broker.resident_mb()
    if "bytes" in row:
        row["cpu_s_per_gb"] = row["cpu_s"] / (row["bytes"] / 1e9)
    return row


def produce(broker, topic, count, size, *properties, throughput=-1, extra=()):
    printed = attempt(
        "producer-perf", "--topic", topic, "--num-records", count, "--record-size", size, "--throughput", throughput,
        *extra, "--producer-props", f"bootstrap.servers={broker.bootstrap}", *properties,
    )  # fmt: skip
    summary = re.findall(
        r"^(\d+) records sent, ([\d.]+) records/sec \(([\d.]+) MB/sec\), ([\d.]+) ms avg latency, .*"
        r" (\d+) ms 50th, (\d+) ms 95th, (\d+) ms 99th, (\d+) ms 99\.9th",
        printed,
        re.MULTILINE,
    )
    if not summary:
        raise Failed(printed[-300:])
    sent, rate, _, average, p50, _, p99, p999 = summary[-1]
    if int(sent) != count:
        raise Failed(f"{sent} of {count} records were sent")
    return {
        "bytes": count * size,
        "records_s": float(rate),
        "avg_ms": float(average),
        "p50_ms": int(p50),
        "p99_ms": int(p99),
        "p999_ms": int(p999),
    }


def consume(broker, topic, count, size, *properties):
    config = broker.home / "consumer.properties"
    config.write_text("".join(f"{line}\n" for line in properties))
    printed = attempt(
        "consumer-perf", "--bootstrap-server", broker.bootstrap, "--topic", topic, "--messages", count,
        "--command-config", config, "--group", fresh("bench"),
    )  # fmt: skip
    # start, end, MB consumed, MB/s, records consumed, records/s, rebalance ms, fetch ms, fetch MB/s, fetch records/s
    rows = [line.split(",") for line in printed.splitlines() if re.match(r"\d{4}-\d\d-\d\d ", line)]
    if not rows or int(float(rows[-1][4])) < count:
        raise Failed(printed[-300:])
    read = int(float(rows[-1][4]))
    return {"bytes": read * size, "records_s": float(rows[-1][5]), "fetch_records_s": float(rows[-1][9])}


def latency(broker, count, size):
    topic = create_topic(broker, 1)
    printed = attempt(
        "end-to-end", "--bootstrap-server", broker.bootstrap, "--topic", topic, "--num-records", count,
        "--producer-acks", "all", "--record-size", size,
    )  # fmt: skip
    delete_topic(broker, topic)
    average = re.search(r"Avg latency: ([\d.]+)", printed)
    percentiles = re.search(r"50th = (\d+), 99th = (\d+), 99.9th = (\d+)", printed)
    if not average or not percentiles:
        raise Failed(printed[-300:])
    p50, p99, p999 = (int(value) for value in percentiles.groups())
    return {"avg_ms": float(average[1]), "p50_ms": p50, "p99_ms": p99, "p999_ms": p999}


def commits(broker, count):
    """How long `commit_transaction` takes when its records are delivered already."""
    topic = create_topic(broker, COMMIT_PARTITIONS)
    settings = {"bootstrap.servers": broker.bootstrap, "transactional.id": fresh("commits"), "linger.ms": 0, "log_level": 2}
    producer = Producer(settings)
    producer.init_transactions(30)
    took = []
    for _ in range(count):
        producer.begin_transaction()
        for partition in range(COMMIT_PARTITIONS):
            producer.produce(topic, b"x" * 100, partition=partition)
        producer.flush(30)
        started = time.monotonic()
        producer.commit_transaction(30)
        took.append((time.monotonic() - started) * 1000)
    delete_topic(broker, topic)
    percentiles = statistics.quantiles(took, n=1000)
    return {"avg_ms": statistics.fmean(took), "p50_ms": percentiles[499], "p99_ms": percentiles[989], "p999_ms": percentiles[998]}


def create_topic(broker, partitions):
    topic = fresh("bench")
    arguments = ["--create", "--topic", topic, "--partitions", partitions, "--replication-factor", 1]
    kafka_tools.run("topics", "--bootstrap-server", broker.bootstrap, *arguments, heap="256m")
    return topic


def delete_topic(broker, topic):
    kafka_tools.run("topics", "--bootstrap-server", broker.bootstrap, "--delete", "--topic", topic, heap="256m")


def attempt(tool, *arguments):
    try:
        return kafka_tools.run(tool, *arguments, seconds=SECONDS)
    except kafka_tools.ToolFailed as error:
        raise Failed(str(error)) from None
