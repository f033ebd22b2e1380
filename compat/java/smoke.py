"""The Java client and Apache Kafka's own command-line tools (4.3.1) against the real binary, with their default settings."""

import json
import pathlib
import re
import signal

from confluent_kafka import Producer

import kafka_tools
from suite import Suite, eventually, expect_equal, fresh

PARTITIONS = 4
RECORDS = 20_000
RECORD_BYTES = 200

suite = Suite("java", folder=pathlib.Path(__file__).parent, settings={"num.partitions": PARTITIONS})


def tool(broker, name, *arguments, **options):
    return kafka_tools.run(name, "--bootstrap-server", broker.bootstrap, *arguments, heap="256m", **options)


def create(broker, prefix, partitions=PARTITIONS, *arguments):
    topic = fresh(prefix)
    printed = tool(broker, "topics", "--create", "--topic", topic, "--partitions", partitions, "--replication-factor", 1, *arguments)
    if f"Created topic {topic}" not in printed:
        raise AssertionError(printed)
    return topic


def describe(broker, topic):
    return tool(broker, "topics", "--describe", "--topic", topic)


def end_offsets(broker, topic):
    """Partition -> end offset, by GetOffsetShell."""
    lines = tool(broker, "offsets", "--topic", topic, "--time", -1).split()
    return {int(line.split(":")[1]): int(line.split(":")[2]) for line in lines}


def producer_perf(broker, topic, *properties, records=RECORDS):
    arguments = ["--topic", topic, "--num-records", records, "--record-size", RECORD_BYTES, "--throughput", -1]
    printed = kafka_tools.run(
        "producer-perf", *arguments, "--producer-props", f"bootstrap.servers={broker.bootstrap}", *properties, heap="256m"
    )
    if not re.search(rf"^{records} records sent", printed, re.MULTILINE):
        raise AssertionError(printed[-400:])


def consumer_perf(broker, topic, records=RECORDS):
    printed = tool(broker, "consumer-perf", "--topic", topic, "--messages", records, "--group", fresh("perf"))
    rows = [line.split(",") for line in printed.splitlines() if re.match(r"\d{4}-", line)]
    expect_equal(int(float(rows[-1][4])), records, "records that ConsumerPerformance read")


def console_consumer(broker, topic, count, *arguments):
    printed = tool(
        broker, "console-consumer", "--topic", topic, "--from-beginning", "--max-messages", count, "--timeout-ms", 30_000, *arguments
    )
    return printed.splitlines()


def events(path, name):
    """The JSON lines of a verifiable tool that have this name."""
    found = []
    for line in pathlib.Path(path).read_text(errors="replace").splitlines():
        if line.startswith("{") and line.endswith("}"):
            event = json.loads(line)
            if event.get("name") == name:
                found.append(event)
    return found


@suite.test
def topic_command_creates_describes_and_lists(broker):
    topic = create(broker, "made", 3, "--config", "retention.ms=86400000")
    printed = describe(broker, topic)
    expect_equal(int(re.search(r"PartitionCount: (\d+)", printed)[1]), 3, "partitions")
    if "retention.ms=86400000" not in printed:
        raise AssertionError(printed)
    if topic not in tool(broker, "topics", "--list").split():
        raise AssertionError("the topic is not in the list")


@suite.test
def topic_command_adds_partitions(broker):
    topic = create(broker, "grown", 2)
    tool(broker, "topics", "--alter", "--topic", topic, "--partitions", 6)
    expect_equal(int(re.search(r"PartitionCount: (\d+)", describe(broker, topic))[1]), 6, "partitions")


@suite.test
def topic_command_deletes(broker):
    topic = create(broker, "gone", 1)
    tool(broker, "topics", "--delete", "--topic", topic)
    if topic in tool(broker, "topics", "--list").split():
        raise AssertionError("the topic is still in the list")


@suite.test
def topic_command_shows_kafkas_errors(broker):
    topic = create(broker, "twice", 1)
    for arguments, words in [
        (("--topic", topic), "already exists"),
        (("--topic", fresh("three"), "--replication-factor", 3), "replication factor"),
        (("--topic", fresh("bad"), "--config", "cleanup.policy=burn"), "cleanup.policy"),
    ]:
        try:
            tool(broker, "topics", "--create", *arguments)
        except kafka_tools.ToolFailed as error:
            if words not in str(error).lower():
                raise
        else:
            raise AssertionError(f"no error for {arguments}")


@suite.test
def producer_performance_with_defaults_and_consumer_performance(broker):
    topic = fresh("perf")  # Made by producing: the default producer is idempotent and waits for all acknowledgements.
    producer_perf(broker, topic)
    expect_equal(sum(end_offsets(broker, topic).values()), RECORDS, "end offsets")
    consumer_perf(broker, topic)


@suite.test
def producer_performance_acks_0(broker):
    expect_delivered(broker, "acks=0")


@suite.test
def producer_performance_acks_1(broker):
    expect_delivered(broker, "acks=1")


@suite.test
def producer_performance_acks_all_without_idempotence(broker):
    expect_delivered(broker, "acks=all", "enable.idempotence=false")


@suite.test
def producer_performance_gzip(broker):
    expect_delivered(broker, "compression.type=gzip")


@suite.test
def producer_performance_snappy(broker):
    expect_delivered(broker, "compression.type=snappy")


@suite.test
def producer_performance_lz4(broker):
    expect_delivered(broker, "compression.type=lz4")


@suite.test
def producer_performance_zstd(broker):
    expect_delivered(broker, "compression.type=zstd")


def expect_delivered(broker, *properties):
    topic = create(broker, "perf")
    producer_perf(broker, topic, *properties)
    eventually(lambda: sum(end_offsets(broker, topic).values()) == RECORDS, what=f"{RECORDS} records in the topic")
    consumer_perf(broker, topic)


@suite.test
def end_to_end_latency(broker):
    topic = create(broker, "latency", 1)
    printed = tool(broker, "end-to-end", "--topic", topic, "--num-records", 500, "--producer-acks", "all", "--record-size", 100)
    if "99.9th" not in printed:
        raise AssertionError(printed[-400:])


@suite.test
def console_producer_and_consumer(broker):
    topic = fresh("console")
    sent = [f"k{number % 7}:value {number}" for number in range(100)]
    tool(broker, "console-producer", "--topic", topic, "--reader-property", "parse.key=true", "--reader-property", "key.separator=:", stdin="\n".join(sent) + "\n")
    read = console_consumer(broker, topic, 100, "--formatter-property", "print.key=true", "--formatter-property", "key.separator=:")
    expect_equal(sorted(read), sorted(sent))


@suite.test
def get_offset_shell_by_time(broker):
    topic = create(broker, "offsets", 1)
    producer_perf(broker, topic, records=1000)

    def at(when):
        return tool(broker, "offsets", "--topic", topic, "--time", when).strip()

    expect_equal(at(-2), f"{topic}:0:0", "earliest")
    expect_equal(at(-1), f"{topic}:0:1000", "latest")
    expect_equal(at(1), f"{topic}:0:0", "by a time long ago")
    if not re.fullmatch(rf"{topic}:0:\d+", at(-3)):
        raise AssertionError(f"max timestamp: {at(-3)}")


@suite.test
def consumer_group_command(broker):
    topic, group = create(broker, "grouped", 2), fresh("readers")
    producer_perf(broker, topic, records=500)
    expect_equal(len(console_consumer(broker, topic, 500, "--group", group)), 500, "records")
    if group not in tool(broker, "groups", "--list").split():
        raise AssertionError("the group is not in the list")
    expect_equal(lags(broker, group), {0: 0, 1: 0}, "lag")
    producer_perf(broker, topic, records=500)
    expect_equal(sum(lags(broker, group).values()), 500, "lag after more records")
    if "Empty" not in tool(broker, "groups", "--describe", "--group", group, "--state"):
        raise AssertionError("the group without members is not described as empty")
    tool(broker, "groups", "--group", group, "--reset-offsets", "--to-earliest", "--topic", topic, "--execute")
    expect_equal(sum(lags(broker, group).values()), 1000, "lag after the reset")
    tool(broker, "groups", "--delete", "--group", group)
    if group in tool(broker, "groups", "--list").split():
        raise AssertionError("the deleted group is still in the list")


def lags(broker, group):
    """Partition -> lag, from the columns GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG …"""
    rows = (line.split() for line in tool(broker, "groups", "--describe", "--group", group).splitlines())
    return {int(row[2]): int(row[5]) for row in rows if len(row) > 5 and row[0] == group}


@suite.test
def transactions_command_finds_describes_and_aborts(broker):
    topic, transactional_id = create(broker, "transactions", 1), fresh("transactional")
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": transactional_id})
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(topic, b"open")
    producer.flush()

    def row(arguments, column):
        """The values of the last row that a subcommand prints, by the heads of their columns."""
        heads, *rows = [line.split("\t") for line in tool(broker, "transactions", *arguments).splitlines() if "\t" in line]
        found = [dict(zip((head.strip() for head in heads), (value.strip() for value in values), strict=False)) for values in rows]
        return next((one for one in found if one.get(column[0]) == column[1]), None)

    listed = row(["list"], ("TransactionalId", transactional_id))
    expect_equal(listed and listed["TransactionState"], "Ongoing", "the listed state")
    described = row(["describe", "--transactional-id", transactional_id], ("TransactionalId", transactional_id))
    expect_equal(described["TopicPartitions"], f"{topic}-0", "the described partitions")
    producers = ["describe-producers", "--topic", topic, "--partition", 0]
    expect_equal(row(producers, ("ProducerId", listed["ProducerId"]))["CurrentTransactionStartOffset"], "0", "where it began")
    # It is open, and young: hanging is what its coordinator knows nothing of.
    hanging = tool(broker, "transactions", "find-hanging", "--broker-id", 1, "--max-transaction-timeout", 1)
    if topic in hanging:
        raise AssertionError(hanging)
    tool(broker, "transactions", "abort", "--topic", topic, "--partition", 0, "--start-offset", 0)
    expect_equal(row(producers, ("ProducerId", listed["ProducerId"]))["CurrentTransactionStartOffset"], "None", "after the abort")


@suite.test
def verifiable_tools_live_through_kill_9(broker):
    """A producer and a group of two go on over a crash of the broker; all that was acknowledged is read."""
    topic, group = create(broker, "verified"), fresh("readers")
    outputs = [broker.home / fresh("verifiable") for _ in range(3)]
    bootstrap = ("--bootstrap-server", broker.bootstrap)
    readers = [
        kafka_tools.start("verifiable-consumer", *bootstrap, "--topic", topic, "--group-id", group, "--verbose", output=path)
        for path in outputs[1:]
    ]
    writer = kafka_tools.start(
        "verifiable-producer", *bootstrap, "--topic", topic, "--max-messages", 20_000, "--throughput", 2000, "--acks", -1, output=outputs[0]
    )
    try:
        eventually(lambda: len(events(outputs[0], "producer_send_success")) > 4000, 60, "4,000 acknowledged records")
        eventually(lambda: all(events(path, "partitions_assigned") for path in outputs[1:]), 60, "two members with partitions")
        broker.kill()
        broker.start()
        eventually(lambda: events(outputs[0], "tool_data"), 90, "the end of the producer")
        [summary] = events(outputs[0], "tool_data")
        # The tool does not retry (it sets retries=0), so what was under way at the kill fails: that is said, and may be some dozens.
        failed = len(events(outputs[0], "producer_send_error"))
        expect_equal(summary["acked"] + failed, 20_000, "acknowledged and failed records")
        acknowledged = {(event["partition"], event["offset"]) for event in events(outputs[0], "producer_send_success")}
        expect_equal(len(acknowledged), summary["acked"], "different offsets of acknowledged records")

        def all_read():
            read = {(event["partition"], event["offset"]) for path in outputs[1:] for event in events(path, "record_data")}
            return acknowledged <= read

        eventually(all_read, 60, "every acknowledged record read")
    finally:
        for process in [writer, *readers]:
            process.send_signal(signal.SIGTERM)
        for process in [writer, *readers]:
            process.wait(30)
    expect_equal(sum(lags(broker, group).values()), 0, "the group's lag")


@suite.test
def clean_restart_keeps_topics_and_offsets(broker):
    topic, group = create(broker, "kept", 2, "--config", "retention.ms=86400000"), fresh("readers")
    producer_perf(broker, topic, records=500)
    expect_equal(len(console_consumer(broker, topic, 300, "--group", group)), 300, "records before")
    before = (describe(broker, topic), end_offsets(broker, topic), lags(broker, group))
    expect_equal(broker.stop(), 0, "exit status after SIGTERM")
    broker.start()
    expect_equal((describe(broker, topic), end_offsets(broker, topic), lags(broker, group)), before, "the same after")


if __name__ == "__main__":
    suite.main()
