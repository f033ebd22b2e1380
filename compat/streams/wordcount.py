"""Kafka Streams' word count with exactly_once_v2, while the broker and the application are killed again and again.

  run.sh [--runs N] [--lines N] [--kills N] [--instances N] [--seed N] [--limit SECONDS] [--guarantee GUARANTEE]
         [--protocol PROTOCOL]

1. Lines of five words go into one topic, at a pace that has some left to send until the last kill. The application
   (WordCount.java) splits them, sends each word through a topic of its own making, counts there, and writes every new count
   of a word to another topic. Nothing is cached, so each word that comes gives exactly one count.
2. At moments that the seed chooses, the broker or an instance of the application is killed (kill -9), and after a while
   started again: the broker on the same data and port, the instance with the same application id and state.
3. When every count is there, the application is closed, and no transaction may be left open. Read at read_committed, the
   counts of each word must then be 1, 2, 3, … up to the true number, in this order, none missing and none twice. And they
   must be, to the offset, what another reader at read_committed has seen while all this happened.

The seed chooses lines, victims and moments; what it cannot choose is what the processes are doing then.
--kills counts the broker's and, as many again, the application's. --guarantee at_least_once shows that the test notices:
it fails then. --protocol streams has the broker assign the tasks (KIP-1071).

Every run has a broker of its own, fbf or with COMPAT_BROKER=kafka Apache Kafka. Of a run that failed, the logs, the broker's
data and the application's state stay in $FBF_CACHE/compat/streams.
"""

import argparse
import collections
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

import broker as brokers
from killing import CLIENT_SECONDS, Kill, Reader, client_settings, last_exception, one_run
from suite import Results, eventually, expect_equal, fresh

HERE = pathlib.Path(__file__).parent
LINES, COUNTS = "lines", "counts"
PARTITIONS = 4
WORDS_PER_LINE = 5
VOCABULARY = [f"word{number}" for number in range(200)]
# An interval that is shorter than a rebalance, and one that is longer: both have something to hit.
SECONDS_BETWEEN_KILLS = (0.5, 10)
# The application's absence may be longer than session.timeout.ms: then its tasks move, or nobody is left.
SECONDS_AWAY = {"broker": (0, 2), "application": (0, 9)}
# Nothing more comes after the last count; this long is looked.
SECONDS_AFTER_COUNTS = 2
# A count that has not come by then does not come: longer than any timeout of the settings below.
SECONDS_WITHOUT_COUNTS = 60
SETTINGS = {
    "statestore.cache.max.bytes": 0,
    "commit.interval.ms": 100,
    "transaction.timeout.ms": 10_000,
}
# How soon somebody is missed: by protocol, what instances are told, or the broker.
SESSIONS = {"session.timeout.ms": 6_000, "heartbeat.interval.ms": 1_000}
INSTANCE_SETTINGS = {"classic": SESSIONS, "streams": {}}
BROKER_SETTINGS = {
    "classic": {},
    "streams": {f"group.streams.{bound}{name}": value for name, value in SESSIONS.items() for bound in ("", "min.")},
}
JAVA_LOG = {"showDateTime": "true", "dateTimeFormat": "HH:mm:ss.SSS", "showThreadName": "false", "showShortLogName": "true"}


def main():
    options = argparse.ArgumentParser(description="Kafka Streams' word count, exactly once, with kills")
    options.add_argument("--runs", type=int, default=1, metavar="N", help="how many times, each with the next seed (1)")
    options.add_argument("--lines", type=int, default=20_000, metavar="N", help=f"of {WORDS_PER_LINE} words each (20000)")
    options.add_argument("--kills", type=int, default=5, metavar="N", help="of the broker, and as many of the application (5)")
    options.add_argument("--instances", type=int, default=2, metavar="N", help="of the application (2)")
    options.add_argument("--seed", type=int, default=random.randrange(1_000_000), metavar="N", help="of the first run")
    options.add_argument("--limit", type=int, default=600, metavar="SECONDS", help="of one run (600)")
    options.add_argument("--guarantee", default="exactly_once_v2", help="processing.guarantee (exactly_once_v2)")
    options.add_argument("--protocol", default="classic", choices=INSTANCE_SETTINGS, help="group.protocol (classic)")
    asked = options.parse_args()
    kept = pathlib.Path(os.environ["FBF_CACHE"]) / "compat" / "streams"
    results = Results(HERE)
    with tempfile.TemporaryDirectory(prefix="streams-") as classes:
        compile_program(classes)
        for number in range(asked.runs):
            folder = kept / f"{time.strftime('%Y%m%d-%H%M%S')}-{number + 1}"
            folder.mkdir(parents=True)
            one_run(WordCount(asked, asked.seed + number, folder, classes), results)
    sys.exit(results.finish())


def compile_program(classes):
    if not any(pathlib.Path(os.environ["STREAMS_LIBS"]).glob("kafka-streams-*.jar")):
        sys.exit("streams: Kafka Streams' jars are not there; compat/setup.sh compat fetches them")
    subprocess.run(["javac", "--release", "17", "-cp", classpath(), "-d", classes, str(HERE / "WordCount.java")], check=True)


def classpath(*folders):
    return ":".join([*folders, f"{os.environ['STREAMS_LIBS']}/*"])


class WordCount:
    """One run: a broker, the instances of the application, the lines, and a reader that sees the counts as they come."""

    def __init__(self, asked, seed, folder, classes):
        self.asked, self.seed, self.folder, self.classes = asked, seed, folder, classes
        self.name = f"word count, {asked.protocol} protocol, seed {seed} ({asked.kills} + {asked.kills} kills, {asked.instances} instances)"
        chance = random.Random(seed)
        self.lines = [" ".join(chance.choices(VOCABULARY, k=WORDS_PER_LINE)) for _ in range(asked.lines)]
        self.truth = collections.Counter(word for line in self.lines for word in line.split())
        self.kills = kill_plan(chance, asked.kills, asked.instances)
        self.application_id = fresh("word-count")
        self.instances, self.log_offsets = {}, {}
        self.feed = None
        self.broker = brokers.chosen()(settings=BROKER_SETTINGS[asked.protocol], data=folder / "data")
        self.broker.log = folder / "broker.log"
        self.started = time.monotonic()

    def command(self):
        asked = self.asked
        control = "COMPAT_BROKER=kafka " if self.broker.name == "kafka" else ""
        guarantee = f" --guarantee {asked.guarantee}" if asked.guarantee != "exactly_once_v2" else ""
        protocol = f" --protocol {asked.protocol}" if asked.protocol != "classic" else ""
        numbers = f"--seed {self.seed} --lines {asked.lines} --kills {asked.kills} --instances {asked.instances} --limit {asked.limit}"
        return f"{control}compat/streams/run.sh {numbers}{guarantee}{protocol}"

    def run(self):
        self.broker.start()
        create_topics(self.broker.bootstrap)
        self.seen = CountReader(self.broker.bootstrap, "read_committed")
        for number in range(1, self.asked.instances + 1):
            self.start_instance(str(number))
        self.feed = Feed(self.broker.bootstrap, self.lines, sum(kill.after + kill.away for kill in self.kills))
        self.feed.start()
        self.watch(lambda: self.seen.records, "the first count")
        for kill in self.kills:
            self.carry_out(kill)
        self.feed.planned = self.feed.seconds
        self.watch(lambda: not self.feed.is_alive(), "the last line sent")
        self.feed.check()
        end = CountReader(self.broker.bootstrap, "read_uncommitted").ends(LINES)
        expect_equal(sum(end.values()), len(self.lines), "records of the topic of lines")
        self.settle()
        for number in list(self.instances):
            self.stop_instance(number)
        self.check_counts()

    def settle(self):
        """Until every instance runs again, and every count is there; or until none has come for so long that none will."""
        count, since = -1, 0.0

        def is_settled():
            nonlocal count, since
            if len(self.seen.records) != count:
                count, since = len(self.seen.records), time.monotonic()
            enough = SECONDS_AFTER_COUNTS if count >= self.total else SECONDS_WITHOUT_COUNTS
            return time.monotonic() - since > enough

        self.watch(lambda: all(self.has_said(number, "state RUNNING") for number in self.instances), "all instances running")
        self.watch(is_settled, "all counts")
        self.say(f"{len(self.seen.records):,} of {self.total:,} counts are there")

    def check_counts(self):
        """What lies in the topic of counts when nobody writes to it any more."""
        committed, everything = (CountReader(self.broker.bootstrap, level) for level in ("read_committed", "read_uncommitted"))
        eventually(lambda: committed.ends(COUNTS) == everything.ends(COUNTS), CLIENT_SECONDS, "no open transaction in the topic of counts")
        for reader in (self.seen, committed, everything):
            reader.read_to_end()
        expect_counts(committed.records, self.truth)
        expect_equal(sorted(self.seen.records), sorted(committed.records), "what was read while it was written")
        aborted = len(everything.records) - len(committed.records)
        self.say(f"each count once and in order; {aborted:,} more lie there, of transactions that were aborted")

    @property
    def total(self):
        return self.truth.total()

    def carry_out(self, kill):
        self.wait(kill.after)
        where = f"{len(self.seen.records):,} of {self.total:,} counts read, {self.feed.acknowledged:,} lines sent; away {kill.away:.1f} s"
        if kill.victim == "broker":
            self.broker.kill()
            self.say(f"{self.broker.name} killed (kill -9); {where}")
            self.wait(kill.away)
            self.broker.start()
        else:
            process = self.instances.pop(kill.victim)
            process.kill()
            process.wait()
            self.say(f"instance {kill.victim} killed (kill -9); {where}")
            self.wait(kill.away)
            self.start_instance(kill.victim)

    def start_instance(self, number):
        settings = {
            "bootstrap.servers": self.broker.bootstrap,
            "application.id": self.application_id,
            "state.dir": self.folder / f"state-{number}",
            "processing.guarantee": self.asked.guarantee,
            "group.protocol": self.asked.protocol,
            **SETTINGS,
            **INSTANCE_SETTINGS[self.asked.protocol],
        }
        log_settings = [f"-Dorg.slf4j.simpleLogger.{name}={value}" for name, value in JAVA_LOG.items()]
        program = ["java", "-Xmx256m", "-XX:+UseSerialGC", *log_settings, "-cp", classpath(self.classes), "WordCount", LINES, COUNTS]
        command = ["setpriv", "--pdeathsig", "KILL", *program, *(f"{name}={value}" for name, value in settings.items())]
        with open(self.instance_log(number), "ab") as log:
            self.log_offsets[number] = log.tell()
            self.instances[number] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)

    def stop_instance(self, number):
        process = self.instances.pop(number)
        process.send_signal(signal.SIGTERM)
        process.wait(CLIENT_SECONDS)
        # A JVM that SIGTERM ended in good order says 128 + 15.
        expect_equal(process.returncode, 128 + signal.SIGTERM, f"exit status of instance {number}")
        if not self.has_said(number, "closed"):
            raise AssertionError(f"instance {number} could not close in time: {self.last_error(number)}")

    def has_said(self, number, line):
        """Whether an instance has printed this line since its last start."""
        with open(self.instance_log(number), encoding="utf-8", errors="replace") as log:
            log.seek(self.log_offsets[number])
            return line in log.read().splitlines()

    def instance_log(self, number):
        return self.folder / f"instance-{number}.log"

    def wait(self, seconds):
        """Some of the plan's seconds; only these count for the pace of the lines, and not how long a broker takes to start."""
        before, started = self.feed.planned, time.monotonic()

        def is_over():
            passed = min(time.monotonic() - started, seconds)
            self.feed.planned = before + passed
            return passed == seconds

        self.watch(is_over, "the next kill")

    def watch(self, condition, what):
        """Until the condition holds, with an eye on the counts that come and on everybody who has to live meanwhile."""
        while not condition():
            self.seen.read(0.1)
            for number, process in self.instances.items():
                if process.poll() is not None:
                    raise AssertionError(f"instance {number} ended by itself with status {process.returncode}: {self.last_error(number)}")
            if self.feed.failure:
                self.feed.check()
            if time.monotonic() - self.started > self.asked.limit:
                raise AssertionError(f"{what}: not within {self.asked.limit} s; {len(self.seen.records):,} of {self.total:,} counts read")

    def last_error(self, number):
        return last_exception(self.instance_log(number).read_text(errors="replace"))

    def say(self, text):
        print(f"{time.monotonic() - self.started:7.1f} s  {text}", flush=True)

    def close(self):
        if self.feed:
            self.feed.is_stopped = True
        for process in self.instances.values():
            process.kill()
            process.wait()
        self.broker.close()


class Feed(threading.Thread):
    """Sends the lines, evenly over the plan's seconds, of which `planned` have passed.

    The producer is idempotent: a broken connection leaves no line twice.
    """

    def __init__(self, bootstrap, lines, seconds):
        super().__init__(daemon=True)
        self.producer = Producer({**client_settings(bootstrap), "enable.idempotence": True, "linger.ms": 5})
        self.lines, self.seconds, self.planned = lines, seconds, 0.0
        self.acknowledged, self.failure, self.is_stopped = 0, None, False

    def run(self):
        try:
            for number, line in enumerate(self.lines):
                while self.planned < self.seconds * number / len(self.lines) and not self.is_stopped:
                    self.producer.poll(0.01)
                if self.is_stopped:
                    return
                self.producer.produce(LINES, line, key=str(number), on_delivery=self.reported)
            self.producer.flush()
        except Exception as error:  # noqa: BLE001 - check() raises it where somebody sees it
            self.failure = error

    def reported(self, error, _message):
        if error:
            self.failure = error
        else:
            self.acknowledged += 1

    def check(self):
        if self.failure:
            raise AssertionError(f"the producer of the lines: {self.failure}")
        expect_equal(self.acknowledged, len(self.lines), "acknowledged lines")


class CountReader(Reader):
    """Reads the topic of counts from its beginning. `records`: (partition, offset, word, count), in the order of each partition."""

    def __init__(self, bootstrap, isolation_level):
        super().__init__(bootstrap, isolation_level, [(COUNTS, number) for number in range(PARTITIONS)], "the topic of counts")
        self.records = []

    def take(self, message):
        count = int.from_bytes(message.value(), "big", signed=True)
        self.records.append((message.partition(), message.offset(), message.key().decode(), count))

    def ends(self, topic):
        """Partition -> end."""
        return {number: self.end(topic, number) for number in range(PARTITIONS)}


def create_topics(bootstrap):
    admin = AdminClient(client_settings(bootstrap))
    for answer in admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in (LINES, COUNTS)]).values():
        answer.result(CLIENT_SECONDS)


def kill_plan(chance, kills, instances):
    """Each victim `kills` times, in any order."""
    victims = ["broker"] * kills + ["application"] * kills
    chance.shuffle(victims)
    return [a_kill(chance, victim, instances) for victim in victims]


def a_kill(chance, victim, instances):
    number = str(chance.randint(1, instances))
    after, away = chance.uniform(*SECONDS_BETWEEN_KILLS), chance.uniform(*SECONDS_AWAY[victim])
    return Kill("broker" if victim == "broker" else number, after, away)


def expect_counts(records, truth):
    """The counts of each word are 1, 2, … up to the true one."""
    found = collections.defaultdict(list)
    for partition, offset, word, count in records:
        found[word].append((count, f"{partition}@{offset}"))
    wrong = [complaint for word in sorted({*found, *truth}) if (complaint := first_difference(word, found[word], truth[word]))]
    if wrong:
        total = f"{len(records):,} counts, expected {truth.total():,}"
        raise AssertionError(f"{len(wrong)} of {len(truth)} words have not the counts 1, 2, … ({total}): {'; '.join(wrong[:5])}")


def first_difference(word, found, true_count):
    """What is wrong with one word's (count, partition@offset) pairs; None when nothing is."""
    for expected, (count, place) in enumerate(found, 1):
        if count != expected:
            return f"{word}: {count} at {place} where {expected} belongs"
    if len(found) != true_count:
        return f"{word}: the last count is {len(found)}, the true one {true_count}"
    return None


if __name__ == "__main__":
    main()
