"""kcat (Debian's 1.7.1, librdkafka 2.0.2) against the real binary, with its default settings unless the test is about one."""

import json
import re
import signal
import subprocess
import time

from suite import Suite, eventually, expect_equal, fresh

PARTITIONS = 4
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
BEGINNING = ("-o", "beginning", "-e")

suite = Suite("kcat", settings={"num.partitions": PARTITIONS})


def kcat(broker, *arguments, stdin=None, status=0, seconds=60):
    """Runs kcat to its end and returns what it printed; `status` is the exit status that it must have."""
    done = subprocess.run(
        ["kcat", "-b", broker.bootstrap, *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=seconds, check=False
    )
    if done.returncode != status:
        raise AssertionError(f"kcat {' '.join(map(str, arguments))} ended with {done.returncode}: {done.stderr[-400:]}")
    return done.stdout if status == 0 else done.stderr


def produce(broker, topic, values, *arguments):
    kcat(broker, "-P", "-t", topic, *arguments, stdin="".join(f"{value}\n" for value in values))


def consume(broker, topic, *arguments):
    return kcat(broker, "-C", "-q", "-t", topic, *arguments).splitlines()


def read_group(broker, group, topic, *arguments):
    return kcat(broker, "-G", group, "-q", "-e", "-X", "auto.offset.reset=earliest", *arguments, topic).splitlines()


def numbers(count, start=0):
    return [str(number) for number in range(start, start + count)]


@suite.test
def metadata_names_the_broker_as_reached(broker):
    metadata = json.loads(kcat(broker, "-L", "-J"))
    expect_equal([entry["name"] for entry in metadata["brokers"]], [broker.bootstrap], "brokers")
    expect_equal(metadata["controllerid"], metadata["brokers"][0]["id"], "controller")


@suite.test
def producing_creates_the_topic(broker):
    topic = fresh("made")
    produce(broker, topic, ["hello"])
    expect_equal(consume(broker, topic, *BEGINNING), ["hello"])
    entry = json.loads(kcat(broker, "-L", "-J", "-t", topic))["topics"][0]
    expect_equal(len(entry["partitions"]), PARTITIONS, "partitions")


@suite.test
def partition_beyond_the_topic_is_refused(broker):
    topic = fresh("small")
    produce(broker, topic, ["hello"])
    errors = kcat(broker, "-C", "-t", topic, "-p", PARTITIONS, "-e", status=1)
    if "does not exist" not in errors:
        raise AssertionError(errors)


@suite.test
def every_codec_comes_back_in_order(broker):
    for codec in CODECS:
        topic = fresh(codec)
        values = [f"{codec} {'x' * (number % 200)} {number}" for number in range(2000)]
        produce(broker, topic, values, "-p", 0, "-X", f"compression.codec={codec}")
        expect_equal(consume(broker, topic, "-p", 0, *BEGINNING), values, codec)


@suite.test
def every_acks_setting_delivers(broker):
    for acks in ("0", "1", "all"):
        topic = fresh(f"acks-{acks}")
        produce(broker, topic, ["first"], "-p", 0)  # The topic exists: with acks=0 nobody would hear that it does not.
        produce(broker, topic, numbers(500), "-p", 0, "-X", f"acks={acks}")
        read = consume(broker, topic, "-p", 0, "-o", "beginning", "-c", 501)
        expect_equal(read, ["first", *numbers(500)], f"acks={acks}")


@suite.test
def idempotent_producer_delivers_once_and_in_order(broker):
    topic = fresh("idempotent")
    produce(broker, topic, numbers(5000), "-p", 0, "-X", "enable.idempotence=true")
    expect_equal(consume(broker, topic, "-p", 0, *BEGINNING), numbers(5000))


@suite.test
def keys_headers_and_nulls_survive(broker):
    topic = fresh("shape")
    kcat(broker, "-P", "-t", topic, "-p", 0, "-K", ":", "-Z", "-H", "colour=red", "-H", "size=9", stdin="key:value\ngone:\n")
    read = consume(broker, topic, "-p", 0, *BEGINNING, "-Z", "-f", "%k|%s|%h|%S|%o\n")
    expect_equal(read, ["key|value|colour=red,size=9|5|0", "gone|NULL|colour=red,size=9|-1|1"])


@suite.test
def same_key_goes_to_one_partition(broker):
    topic = fresh("keyed")
    produce(broker, topic, [f"k{number % 20}:{number}" for number in range(2000)], "-K", ":")
    homes = {}
    for line in consume(broker, topic, *BEGINNING, "-f", "%k %p %s\n"):
        key, partition, value = line.split()
        homes.setdefault(key, []).append((partition, int(value)))
    expect_equal(len(homes), 20, "keys")
    for key, entries in homes.items():
        expect_equal(len({partition for partition, _ in entries}), 1, f"partitions of {key}")
        expect_equal([value for _, value in entries], list(range(int(key[1:]), 2000, 20)), f"order of {key}")


@suite.test
def offsets_from_both_ends(broker):
    topic = fresh("offsets")
    produce(broker, topic, numbers(100), "-p", 0)
    expect_equal(consume(broker, topic, "-p", 0, "-o", 90, "-e"), numbers(10, 90), "-o 90")
    expect_equal(consume(broker, topic, "-p", 0, "-o", -3, "-e"), numbers(3, 97), "-o -3")
    expect_equal(consume(broker, topic, "-p", 0, "-o", "end", "-e"), [], "-o end")
    expect_equal(consume(broker, topic, "-p", 0, "-o", "beginning", "-c", 5), numbers(5), "-c 5")


@suite.test
def offsets_by_time(broker):
    topic = fresh("times")
    produce(broker, topic, numbers(10), "-p", 0)
    time.sleep(0.05)
    between = int(time.time() * 1000)
    time.sleep(0.05)
    produce(broker, topic, numbers(10, 10), "-p", 0)
    expect_equal(kcat(broker, "-Q", "-t", f"{topic}:0:{between}").strip(), f"{topic} [0] offset 10", "-Q")
    expect_equal(consume(broker, topic, "-p", 0, "-o", f"s@{between}", "-e"), numbers(10, 10), "from the time on")
    expect_equal(consume(broker, topic, "-p", 0, "-o", "s@1", "-o", f"e@{between}"), numbers(10), "up to the time")
    hour_ahead = between + 3_600_000
    expect_equal(kcat(broker, "-Q", "-t", f"{topic}:0:{hour_ahead}").strip(), f"{topic} [0] offset -1", "-Q ahead")


@suite.test
def consumer_at_the_end_is_woken_by_a_new_record(broker):
    topic = fresh("tail")
    produce(broker, topic, ["old"], "-p", 0)
    command = ["kcat", "-b", broker.bootstrap, "-C", "-q", "-u", "-t", topic, "-p", "0", "-o", "end", "-c", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        try:
            # Where "end" was is decided by the reader: produce until it has seen one of the new records.
            for number in range(100):
                produce(broker, topic, [f"new {number}"], "-p", 0)
                if reader.poll() is not None:
                    break
            printed, _ = reader.communicate(timeout=20)
        finally:
            reader.kill()
    if not printed.startswith("new "):
        raise AssertionError(f"the reader printed {printed!r}")


@suite.test
def large_records_pass_and_larger_ones_are_refused(broker):
    topic = fresh("large")
    large, larger = "x" * 900_000, "y" * 3_000_000
    produce(broker, topic, [large], "-p", 0)
    errors = kcat(broker, "-P", "-t", topic, "-p", 0, "-X", "message.max.bytes=5000000", stdin=larger + "\n", status=1)
    if "Message size too large" not in errors:
        raise AssertionError(errors[-300:])
    expect_equal(consume(broker, topic, "-p", 0, *BEGINNING), [large])


@suite.test
def group_reads_on_where_it_was(broker):
    topic, group = fresh("group"), fresh("readers")
    produce(broker, topic, numbers(1000))
    expect_equal(sorted(read_group(broker, group, topic), key=int), numbers(1000), "first reading")
    produce(broker, topic, numbers(1000, 1000))
    expect_equal(sorted(read_group(broker, group, topic), key=int), numbers(1000, 1000), "second reading")


@suite.test
def cooperative_group_reads_everything(broker):
    topic, group = fresh("cooperative"), fresh("readers")
    produce(broker, topic, numbers(1000))
    # Not -e: in a cooperative group, this kcat reads from the beginning and counts partitions only after the first message.
    read = kcat(
        broker, "-G", group, "-q", "-c", 1000, "-X", "partition.assignment.strategy=cooperative-sticky", "-o", "beginning", topic
    ).splitlines()
    expect_equal(sorted(read, key=int), numbers(1000))


@suite.test
def two_members_share_the_partitions(broker):
    topic, group = fresh("shared"), fresh("readers")
    produce(broker, topic, ["to create it"])
    members = [Member(broker, group, topic) for _ in range(2)]
    try:
        half = PARTITIONS // 2
        eventually(lambda: all(len(member.assigned()) == half for member in members), 60, "two partitions for each member")
        homes = [member.assigned() for member in members]
        expect_equal(homes[0] & homes[1], set(), "partitions that both have")
        produce(broker, topic, [f"k{number}:{number}" for number in range(400)], "-K", ":")
        eventually(lambda: sum(len(member.read()) for member in members) >= 400, 20, "all records read")
        for member, home in zip(members, homes, strict=True):
            expect_equal({partition for partition, _ in member.read()} - home, set(), "partitions of others")
        values = sorted(int(value) for member in members for _, value in member.read())
        expect_equal(values, list(range(400)), "records of both")
    finally:
        for member in members:
            member.end()


class Member:
    """A kcat in a group; what it prints and what it is assigned can be read while it runs."""

    def __init__(self, broker, group, topic):
        self.output = broker.home / fresh("output")
        self.errors = broker.home / fresh("errors")
        command = ["kcat", "-b", broker.bootstrap, "-G", group, "-u", "-X", "auto.offset.reset=earliest", "-f", "%p %s\n", topic]
        with open(self.output, "wb") as output, open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors)

    def read(self):
        """(partition, value) of every record whose value is a number."""
        return re.findall(r"^(\d+) (\d+)$", self.output.read_text(), re.MULTILINE)

    def assigned(self):
        """The partitions that the newest rebalance gave, from a line like `… assigned: topic [0], topic [2]`."""
        rebalances = re.findall(r"(assigned|revoked): (.*)", self.errors.read_text())
        return set(re.findall(r"\[(\d+)\]", rebalances[-1][1])) if rebalances and rebalances[-1][0] == "assigned" else set()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        finally:
            self.process.kill()


@suite.test
def clean_restart_keeps_records_and_group(broker):
    expect_to_go_on(broker, stop_cleanly)


@suite.test
def kill_9_keeps_records_and_group(broker):
    expect_to_go_on(broker, type(broker).kill)


def expect_to_go_on(broker, end):
    """Records, offsets and the group's place are the same after the broker has ended and come back."""
    topic, group = fresh("kept"), fresh("readers")
    produce(broker, topic, numbers(1000))
    expect_equal(len(read_group(broker, group, topic)), 1000, "before")
    produce(broker, topic, numbers(500, 1000))
    before = consume(broker, topic, *BEGINNING, "-f", "%p %o %s\n")
    end(broker)
    broker.start()
    expect_equal(sorted(consume(broker, topic, *BEGINNING, "-f", "%p %o %s\n")), sorted(before), "the log")
    expect_equal(sorted(read_group(broker, group, topic), key=int), numbers(500, 1000), "the group's next records")
    produce(broker, topic, ["after"], "-p", 0)
    ends = [line.split() for line in consume(broker, topic, "-p", 0, "-o", -1, "-e", "-f", "%o %s\n")]
    expect_equal(ends, [[str(sum(1 for line in before if line.startswith("0 "))), "after"]], "the next offset")


def stop_cleanly(broker):
    expect_equal(broker.stop(), 0, "exit status after SIGTERM")


@suite.test
def kcat_that_produces_lives_through_kill_9(broker):
    topic = fresh("through")
    produce(broker, topic, ["first"], "-p", 0)
    command = ["kcat", "-q", "-b", broker.bootstrap, "-P", "-E", "-t", topic, "-p", "0", "-X", "enable.idempotence=true"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as producer:
        try:
            producer.stdin.writelines(f"{number}\n" for number in range(5000))
            producer.stdin.flush()
            eventually(lambda: len(consume(broker, topic, "-p", 0, *BEGINNING)) > 1, what="the first records")
            broker.kill()
            producer.stdin.writelines(f"{number}\n" for number in range(5000, 10_000))
            producer.stdin.close()
            broker.start()
            expect_equal(producer.wait(60), 0, "kcat's exit status")
        finally:
            producer.kill()
    expect_equal(consume(broker, topic, "-p", 0, *BEGINNING), ["first", *numbers(10_000)])


if __name__ == "__main__":
    suite.main()
