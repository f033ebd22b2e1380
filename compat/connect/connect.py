"""Kafka Connect, two workers in distributed mode, while the broker and the workers are killed again and again.

  run.sh [--lines N] [--kills N] [--seed N] [--limit SECONDS] [--guarantee at_least_once|exactly_once] [--broker fbf|kafka]

1. Two files grow line by line, at a pace that has some left to write until the last kill. A FileStreamSource for each sends
   its lines to a topic of one partition, which Connect creates; a FileStreamSink with two tasks writes both topics to a third file.
2. At moments that the seed chooses, the broker or a worker is killed (kill -9), and after a while started again: the broker on
   the same data and port, the worker with the same settings. A task that fails meanwhile is started again by REST, as its
   operator would.
3. One source is paused, another connector deleted, and then everything is killed at once. What comes back from the three internal
   topics must be the connectors as they were left: configured as before, the paused one paused (its topic gets none of the lines
   that its file gets), the deleted one gone. The source is resumed.
4. When every line is there, nothing may be missing. With at_least_once each topic has every line, for the first time in the order
   of its file, and maybe again: how often is said. With exactly_once (exactly.once.source.support=enabled) each topic, read at
   read_committed, has exactly the lines of its file, and it has, to the offset, what another reader has seen while all this happened.
   The sink's file has every line in both cases. Then the connectors are deleted, and the workers end in good order.

The three internal topics must be compacted, and configured as Connect has asked. The seed chooses victims and moments; what it
cannot choose is what the processes are doing then. Without --guarantee both are tried, one after the other, with the same seed.
--kills counts the broker's and, as many again, the workers'.

Every run has a broker of its own, fbf or with COMPAT_BROKER=kafka (or --broker kafka) Apache Kafka. Of a run that failed, the
logs, the files and the broker's data stay in $FBF_CACHE/compat/connect.
"""

import argparse
import collections
import os
import pathlib
import random
import signal
import sys
import time

from confluent_kafka.admin import AdminClient, ConfigResource

import broker as brokers
from killing import CLIENT_SECONDS, Kill, Reader, client_settings, one_run
from suite import Results, expect_equal
from worker import Worker, has_jars

HERE = pathlib.Path(__file__).parent
# What the workers' setting exactly.once.source.support is for each.
GUARANTEES = {"at_least_once": "disabled", "exactly_once": "enabled"}
WORKERS = ["worker-1", "worker-2"]
SOURCES = {"lines-a": "source-a", "lines-b": "source-b"}
PAUSED_TOPIC, RUNNING_TOPIC = SOURCES
SINK, SPARE = "sink", "spare"
# The first word of the settings of each internal topic; its name, and Connect's default number of partitions.
INTERNAL_TOPICS = {"config": ("connect-configs", 1), "offset": ("connect-offsets", 25), "status": ("connect-status", 5)}
# Connect hands such settings on to the topics; with these, compaction has something to do within the run.
INTERNAL_SETTINGS = {"segment.ms": "5000", "min.cleanable.dirty.ratio": "0.01"}
PRODUCING = "org.apache.kafka.connect.file.FileStreamSourceConnector"
CONSUMING = "org.apache.kafka.connect.file.FileStreamSinkConnector"
# An interval that is shorter than a rebalance, and one that is longer: both have something to hit.
SECONDS_BETWEEN_KILLS = (0.5, 8)
# A worker's absence may be longer than session.timeout.ms: then its tasks move to the other one.
SECONDS_AWAY = {"broker": (0, 2), "worker": (0, 8)}
# How much of the files is there after the last kill; the rest comes while one source is paused, and after that.
SHARE_KILLS, SHARE_PAUSED = 0.8, 0.9
# Nothing more comes after the last line; this long is looked.
SECONDS_AFTER_LINES = 2
# A line that has not come by then does not come: longer than a transaction may last.
SECONDS_WITHOUT_LINES = 90
SECONDS_BETWEEN_LOOKS = 1
WORKER_SETTINGS = {
    "group.id": "connect",
    "key.converter": "org.apache.kafka.connect.storage.StringConverter",
    "value.converter": "org.apache.kafka.connect.storage.StringConverter",
    "plugin.discovery": "service_load",
    "session.timeout.ms": 6_000,
    "heartbeat.interval.ms": 1_000,
    # The sink's consumers are a group of their own.
    "consumer.session.timeout.ms": 6_000,
    "consumer.heartbeat.interval.ms": 1_000,
    "rebalance.timeout.ms": 15_000,
    # The times to wait for a worker that may come back are minutes by default.
    "scheduled.rebalance.max.delay.ms": 2_000,
    "worker.unsync.backoff.ms": 1_000,
    "offset.flush.interval.ms": 1_000,
}


def main():
    options = argparse.ArgumentParser(description="Kafka Connect in distributed mode, with kills")
    options.add_argument("--lines", type=int, default=10_000, metavar="N", help="of each of the two files (10000)")
    options.add_argument("--kills", type=int, default=3, metavar="N", help="of the broker, and as many of the workers (3)")
    options.add_argument("--seed", type=int, default=random.randrange(1_000_000), metavar="N")
    options.add_argument("--limit", type=int, default=300, metavar="SECONDS", help="of one run (300)")
    options.add_argument("--guarantee", choices=GUARANTEES, help="of the sources; both without it")
    options.add_argument("--broker", choices=["fbf", "kafka"], default=os.environ.get("COMPAT_BROKER", "fbf"), help="the broker (fbf)")
    asked = options.parse_args()
    os.environ["COMPAT_BROKER"] = asked.broker
    if not has_jars():
        sys.exit("connect: Kafka Connect's jars are not there; compat/setup.sh compat fetches them")
    kept = pathlib.Path(os.environ["FBF_CACHE"]) / "compat" / "connect"
    results = Results(HERE)
    for guarantee in [asked.guarantee] if asked.guarantee else GUARANTEES:
        folder = kept / f"{time.strftime('%Y%m%d-%H%M%S')}-{guarantee}"
        folder.mkdir(parents=True)
        one_run(Run(asked, guarantee, folder), results)
    sys.exit(results.finish())


class Run:
    """A broker, two workers, the files, and a reader that sees the lines as they come."""

    def __init__(self, asked, guarantee, folder):
        self.asked, self.guarantee, self.folder = asked, guarantee, folder
        self.name = f"connect, {guarantee}, seed {asked.seed} ({asked.kills} + {asked.kills} kills)"
        self.kills = kill_plan(random.Random(asked.seed), asked.kills)
        self.kill_seconds = sum(kill.after + kill.away for kill in self.kills)
        self.files = {topic: LineFile(folder / f"{topic}.txt", topic, asked.lines) for topic in SOURCES}
        self.workers, self.restarts, self.last_look = {}, 0, 0.0
        self.seen = None
        self.broker = brokers.chosen()(data=folder / "data")
        self.broker.log = folder / "broker.log"
        self.started = time.monotonic()

    def command(self):
        asked = self.asked
        numbers = f"--seed {asked.seed} --lines {asked.lines} --kills {asked.kills} --limit {asked.limit}"
        return f"compat/connect/run.sh {numbers} --guarantee {self.guarantee} --broker {asked.broker}"

    def run(self):
        self.broker.start()
        self.workers = {name: Worker(name, self.worker_settings(), self.folder) for name in WORKERS}
        for worker in self.workers.values():
            worker.start()
        self.seen = LineReader(self.broker.bootstrap, self.isolation_level)
        for name, settings in self.connectors().items():
            self.tell("PUT", f"/connectors/{name}/config", settings, expected=(200, 201))
        self.wait_for_states(dict.fromkeys(self.connectors(), "RUNNING"))
        self.check_internal_topics()
        self.say("the connectors run")
        self.carry_out_kills()
        self.pause_delete_and_kill_everything()
        self.check_pause()
        self.settle()
        self.check_lines()
        self.check_sink()
        self.end()

    @property
    def is_exactly_once(self):
        return self.guarantee == "exactly_once"

    @property
    def isolation_level(self):
        return "read_committed" if self.is_exactly_once else "read_uncommitted"

    def worker_settings(self):
        settings = {
            **WORKER_SETTINGS,
            "bootstrap.servers": self.broker.bootstrap,
            "exactly.once.source.support": GUARANTEES[self.guarantee],
        }
        for word, (topic, _) in INTERNAL_TOPICS.items():
            storage = {"topic": topic, "replication.factor": 1, **INTERNAL_SETTINGS}
            settings |= {f"{word}.storage.{name}": value for name, value in storage.items()}
        return settings

    def connectors(self):
        """Name -> settings, as REST is told and has to say ever after."""
        sources = {name: source_settings(self.files[topic].path, topic) for topic, name in SOURCES.items()}
        # The one has a transaction open nearly always, the other commits whatever it has found in the file at once.
        sources[SOURCES[PAUSED_TOPIC]] |= {"transaction.boundary": "interval", "transaction.boundary.interval.ms": "500"}
        if self.is_exactly_once:
            for settings in sources.values():
                settings["exactly.once.support"] = "required"
        sink = {
            "connector.class": CONSUMING,
            "tasks.max": "2",
            "topics": ",".join(SOURCES),
            "file": str(self.sink_file),
            "consumer.override.isolation.level": self.isolation_level,
        }
        return {**sources, SINK: sink, SPARE: source_settings(self.folder / "spare.txt", "spare")}

    @property
    def sink_file(self):
        return self.folder / "sink.txt"

    def check_internal_topics(self):
        admin = AdminClient(client_settings(self.broker.bootstrap))
        topics = admin.list_topics(timeout=CLIENT_SECONDS).topics
        partitions = dict(INTERNAL_TOPICS.values())
        expect_equal({name: len(topics[name].partitions) for name in partitions}, partitions, "partitions of the internal topics")
        asked = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in partitions]
        for resource, answer in admin.describe_configs(asked).items():
            found = {name: entry.value for name, entry in answer.result(CLIENT_SECONDS).items()}
            for name, value in {"cleanup.policy": "compact", **INTERNAL_SETTINGS}.items():
                expect_equal(found.get(name), value, f"{name} of {resource.name}")

    def carry_out_kills(self):
        passed = 0.0
        for kill in self.kills:
            self.write_meanwhile(passed, kill.after)
            victim = self.broker if kill.victim == "broker" else self.workers[kill.victim]
            victim.kill()
            self.say(f"{victim.name} killed (kill -9); {self.progress()}; away {kill.away:.1f} s")
            self.write_meanwhile(passed + kill.after, kill.away)
            victim.start()
            passed += kill.after + kill.away
        self.write_to(SHARE_KILLS)

    def write_meanwhile(self, passed, seconds):
        """`seconds` of the plan, of which `passed` are over; only these count for the files, and not how long a broker takes to start."""
        started = time.monotonic()

        def is_over():
            now = min(time.monotonic() - started, seconds)
            self.write_to(SHARE_KILLS * (passed + now) / self.kill_seconds)
            return now == seconds

        self.watch(is_over, "the next kill")

    def write_to(self, share):
        for file in self.files.values():
            file.write_to(share)

    def pause_delete_and_kill_everything(self):
        paused = SOURCES[PAUSED_TOPIC]
        self.tell("PUT", f"/connectors/{paused}/pause", expected=(202,))
        self.delete(SPARE)
        left = {name: "PAUSED" if name == paused else "RUNNING" for name in self.connectors() if name != SPARE}
        self.wait_for_states(left)
        for victim in (*self.workers.values(), self.broker):
            victim.kill()
        self.say(f"everything killed (kill -9); {self.progress()}")
        for victim in (self.broker, *self.workers.values()):
            victim.start()
        self.wait_for_states(left)
        expected = {name: {"name": name, **settings} for name, settings in self.connectors().items() if name in left}
        expect_equal({name: self.tell("GET", f"/connectors/{name}/config") for name in left}, expected, "settings after the restart of everything")
        self.say("the connectors are there again, one paused, one deleted")

    def check_pause(self):
        self.seen.read_to_end()
        before = len(self.seen.records[PAUSED_TOPIC])
        self.write_to(SHARE_PAUSED)
        running = self.files[RUNNING_TOPIC]
        self.watch(lambda: self.seen.values[RUNNING_TOPIC] >= set(running.lines), "the lines of the source that runs")
        expect_equal(len(self.seen.records[PAUSED_TOPIC]), before, "records of the paused source")
        self.tell("PUT", f"/connectors/{SOURCES[PAUSED_TOPIC]}/resume", expected=(202,))
        self.write_to(1)

    def settle(self):
        """Until every line is in its topic and in the sink's file; or until none has come for so long that none will."""
        count, since = None, 0.0

        def is_settled():
            nonlocal count, since
            now = (self.seen.count(), self.sink_file.stat().st_size)
            if now != count:
                count, since = now, time.monotonic()
            missing = self.missing()
            return time.monotonic() - since > (SECONDS_WITHOUT_LINES if missing else SECONDS_AFTER_LINES)

        self.watch(is_settled, "all lines")

    def missing(self):
        """How many lines are not in their topics, or not in the sink's file."""
        every = set().union(*(file.lines for file in self.files.values()))
        in_topics = set().union(*self.seen.values.values())
        if missing := len(every - in_topics):
            return missing
        return len(every - set(self.sink_lines()))

    def check_lines(self):
        """What lies in the topics when nothing is left to come."""
        committed, everything = (LineReader(self.broker.bootstrap, level) for level in ("read_committed", "read_uncommitted"))
        for topic in SOURCES:
            # The last transaction may have to wait for its connector's next commit.
            self.watch(lambda topic=topic: committed.end(topic, 0) == everything.end(topic, 0), f"no open transaction in {topic}")
        for reader in (self.seen, committed, everything):
            reader.read_to_end()
        for topic, file in self.files.items():
            found = [line for _, line in committed.records[topic]]
            if self.is_exactly_once:
                expect_exactly(topic, found, file.lines)
            else:
                expect_at_least(topic, found, file.lines)
            expect_equal(self.seen.records[topic], committed.records[topic], f"what was read of {topic} while it was written")
            more = len(everything.records[topic]) - len(found)
            twice = len(found) - len(file.lines)
            aborted = f"; {more:,} more records lie there, of transactions that were aborted" if self.is_exactly_once else ""
            self.say(f"{topic}: {len(file.lines):,} lines, {twice:,} duplicates{aborted}")

    def sink_lines(self):
        return self.sink_file.read_text(encoding="utf-8").splitlines()

    def check_sink(self):
        found = self.sink_lines()
        every = [line for file in self.files.values() for line in file.lines]
        missing = sorted(set(every) - set(found))
        strange = sorted(set(found) - set(every))
        expect_equal((missing[:3], strange[:3]), ([], []), f"sink's file: {len(missing)} lines missing, {len(strange)} of nobody")
        self.say(f"the sink's file: {len(every):,} lines, {len(found) - len(every):,} duplicates; tasks started again by REST: {self.restarts}")

    def end(self):
        for name in (*SOURCES.values(), SINK):
            self.delete(name)
        self.watch(lambda: self.tell("GET", "/connectors") == [], "no connector left")
        for worker in self.workers.values():
            # A JVM that SIGTERM ended in good order says 128 + 15.
            expect_equal(worker.stop(), 128 + signal.SIGTERM, f"exit status of {worker.name}")

    def tell(self, method, path, body=None, expected=(200,)):
        """The body of what `told` answers."""
        return self.told(method, path, body, expected)[1]

    def told(self, method, path, body=None, expected=(200,)):
        """Asks the workers in turn until one gives an expected answer: (status, body). A rebalance is answered with 409."""
        answers = {}

        def is_answered():
            for worker in self.workers.values():
                if worker.is_alive():
                    answers["last"] = status, _ = worker.ask(method, path, body)
                    if status in expected:
                        return True
            return False

        try:
            self.watch(is_answered, f"{method} {path}")
        except AssertionError as error:
            raise AssertionError(f"{error}; the last answer: {answers.get('last')}") from None
        return answers["last"]

    def delete(self, name):
        """Asks until it is gone: a worker that has only begun to start answers 404, whatever it is asked for, also through another one.

        After a 204 it is not asked again, which would mend a deletion that was lost.
        """
        is_acknowledged = False

        def is_gone():
            nonlocal is_acknowledged
            if not is_acknowledged:
                status, _ = self.told("DELETE", f"/connectors/{name}", expected=(204, 404))
                is_acknowledged = status == 204
            return name not in self.tell("GET", "/connectors")

        self.watch(is_gone, f"{name} deleted")

    def wait_for_states(self, states):
        """Until these connectors and no others are there, each and all of its tasks in its state, and every worker says the same."""
        found = {}

        def is_so():
            for worker in self.workers.values():
                status, answer = worker.ask("GET", "/connectors?expand=status")
                if status != 200:
                    return False
                found[worker.name] = {name: states_of(about["status"]) for name, about in answer.items()}
            return all(said == {name: {state} for name, state in states.items()} for said in found.values())

        try:
            self.watch(is_so, "the connectors' states")
        except AssertionError as error:
            raise AssertionError(f"{error}; found {found}, expected {states}") from None

    def watch(self, condition, what):
        """Until the condition holds, with an eye on the lines that come and on everybody who has to live meanwhile."""
        while not condition():
            if self.seen is not None:
                self.seen.read(0.1)
            for worker in self.workers.values():
                if worker.process is not None and not worker.is_alive():
                    raise AssertionError(f"{worker.name} ended by itself with status {worker.process.returncode}: {worker.last_error()}")
            if time.monotonic() - self.last_look > SECONDS_BETWEEN_LOOKS:
                self.restart_failed()
                self.last_look = time.monotonic()
            if time.monotonic() - self.started > self.asked.limit:
                raise AssertionError(f"{what}: not within {self.asked.limit} s; {self.progress()}")

    def restart_failed(self):
        """Starts tasks again that have failed, and connectors: Connect leaves that to its operator."""
        for worker in self.workers.values():
            if not worker.is_alive():
                continue
            status, answer = worker.ask("GET", "/connectors?expand=status")
            if status != 200:
                continue
            for name, about in answer.items():
                self.restart_failed_of(worker, name, about["status"])
            return

    def restart_failed_of(self, worker, name, status):
        parts = {f"/connectors/{name}/tasks/{task['id']}/restart": task for task in status["tasks"]}
        for path, part in {f"/connectors/{name}/restart": status["connector"], **parts}.items():
            if part["state"] == "FAILED" and worker.ask("POST", path)[0] in (200, 202, 204):
                self.restarts += 1
                self.say(f"POST {path}: it had failed: {causes(part.get('trace', ''))}")

    def progress(self):
        written = sum(len(file.lines) for file in self.files.values())
        return f"{written:,} lines written, {self.seen.count() if self.seen else 0:,} records read"

    def say(self, text):
        print(f"{time.monotonic() - self.started:7.1f} s  {text}", flush=True)

    def close(self):
        for worker in self.workers.values():
            worker.kill()
        self.broker.close()


class LineFile:
    """A file that grows line by line; `lines` are those that it has."""

    def __init__(self, path, name, count):
        self.path, self.name, self.count = path, name, count
        self.lines = []
        path.touch()

    def write_to(self, share):
        with open(self.path, "ab", buffering=0) as file:
            while len(self.lines) < round(share * self.count):
                self.lines.append(f"{self.name} {len(self.lines):08}")
                file.write(f"{self.lines[-1]}\n".encode())


class LineReader(Reader):
    """Reads both topics from their beginnings. `records`: topic -> (offset, line) in the topic's order; `values`: topic -> set of lines."""

    def __init__(self, bootstrap, isolation_level):
        super().__init__(bootstrap, isolation_level, [(topic, 0) for topic in SOURCES], "the topics of lines")
        self.records = {topic: [] for topic in SOURCES}
        self.values = {topic: set() for topic in SOURCES}

    def count(self):
        return sum(map(len, self.records.values()))

    def take(self, message):
        line = message.value().decode()
        self.records[message.topic()].append((message.offset(), line))
        self.values[message.topic()].add(line)


def source_settings(file, topic):
    return {
        "connector.class": PRODUCING,
        "tasks.max": "1",
        "file": str(file),
        "topic": topic,
        # More than there are: a task that comes to its limit keeps the lines that it has read beyond, until the file grows again.
        "batch.size": "10000000",
        "topic.creation.default.partitions": "1",
        "topic.creation.default.replication.factor": "1",
    }


def kill_plan(chance, kills):
    """The broker and the workers `kills` times each, in any order."""
    victims = ["broker"] * kills + ["worker"] * kills
    chance.shuffle(victims)
    return [a_kill(chance, victim) for victim in victims]


def a_kill(chance, victim):
    name = chance.choice(WORKERS)
    after, away = chance.uniform(*SECONDS_BETWEEN_KILLS), chance.uniform(*SECONDS_AWAY[victim])
    return Kill("broker" if victim == "broker" else name, after, away)


def states_of(status):
    """Every state that a connector or one of its tasks is in; UNASSIGNED when it has no task yet."""
    tasks = [task["state"] for task in status["tasks"]] or ["UNASSIGNED"]
    return {status["connector"]["state"], *tasks}


def causes(trace):
    """The first line of a stack trace and its causes."""
    lines = trace.splitlines()
    return " ".join(lines[:1] + [line for line in lines if line.startswith("Caused by")])[:400]


def expect_exactly(topic, found, lines):
    if found == lines:
        return
    twice = [line for line, count in collections.Counter(found).items() if count > 1]
    missing = sorted(set(lines) - set(found))
    at = next((at for at, (one, other) in enumerate(zip(found, lines)) if one != other), min(len(found), len(lines)))
    raise AssertionError(
        f"{topic}: {len(found):,} lines, expected {len(lines):,}; {len(missing)} missing: {missing[:3]}; {len(twice)} more than once: {twice[:3]}; "
        f"the first difference is at line {at}"
    )


def expect_at_least(topic, found, lines):
    """Every line is there, and each for the first time in its order: a task begins at an offset up to which all lines are acknowledged."""
    first_times = list(dict.fromkeys(found))
    if first_times != lines:
        expect_exactly(f"{topic}, without its duplicates", first_times, lines)


if __name__ == "__main__":
    main()
