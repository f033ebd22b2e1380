"""What must hold when the broker is killed while schemas are registered and records validated: ids mean what they meant, nothing answered is lost.

  failures.py [--rounds N] [words]   N: how often the broker is killed, 3 unless said

Eight threads register schemas, the same and different ones at once, and write records, some of which do not fit, while the main thread kills
the broker with kill -9 and starts it again. Then:
  an id that was answered means the same schema everywhere, and no two schemas have one id;
  registrations of one schema at once give one id;
  every version that was answered is there;
  every record that can be read fits, and every record that was acknowledged can be read.
The seed chooses what each thread does and when the broker is killed; FBF_SEED repeats it. Kills are the main thread's work: the kernel ends a
broker with the thread that started it (setpriv --pdeathsig).
"""

import argparse
import collections
import dataclasses
import itertools
import json
import os
import random
import sys
import threading
import time

from confluent_kafka import Producer

import kafka_client as kafka
import orders
import suite as suites
from api import until_answered
from deliveries import INVALID
from orders import JSON
from registry import RegistrySuite, schema_body
from suite import eventually, expect_equal, fresh

THREADS = 8
SUBJECTS = 5
PARTITIONS = 3
# How many schemas the threads choose from at a time, so that they meet; and how many registrations until there is a new one to choose.
WINDOW, PACE = 3, 6
# Between a start and the next kill.
SECONDS_MIN, SECONDS_MAX = 1.0, 3.0
INVALID_SHARE = 0.2
SECONDS = 60
ROUNDS = 3

suite = RegistrySuite("schema failures")


@dataclasses.dataclass(frozen=True)
class Answered:
    """A registration that was answered: which of our schemas, where, and as what."""

    schema: int
    subject: str
    id: int
    version: int


@dataclasses.dataclass
class Seen:
    """What all threads were told. Appending to a list and adding to a set are each one step in Python."""

    answered: list = dataclasses.field(default_factory=list)
    # Numbers of valid records that were acknowledged, of those that were refused, and of invalid ones that were acknowledged all the same.
    kept: set = dataclasses.field(default_factory=set)
    refused: set = dataclasses.field(default_factory=set)
    wrong: set = dataclasses.field(default_factory=set)
    failures: list = dataclasses.field(default_factory=list)


def text_of(number):
    """Our schema of this number: no two are alike, and none has a reader of another."""
    return orders.avro({"name": f"only_{number}", "type": "int"})


def number_of(text):
    [*_, last] = json.loads(text)["fields"]
    return int(last["name"].removeprefix("only_"))


class Registrar(threading.Thread):
    """Registers schemas until told to stop, and asks after each what it got."""

    def __init__(self, broker, subjects, seen, stop, chance):
        super().__init__(daemon=True)
        self.registry, self.subjects, self.seen, self.stop, self.chance = broker.registry(), subjects, seen, stop, chance

    def run(self):
        try:
            while not self.stop.is_set():
                self.register()
        except Exception as error:  # noqa: BLE001 - for the thread that checks
            self.seen.failures.append(f"registering: {error!r}")

    def register(self):
        number = len(self.seen.answered) // PACE + self.chance.randrange(WINDOW)
        subject = self.chance.choice(self.subjects)
        schema_id = until_answered(lambda: self.registry.register(subject, text_of(number)), SECONDS)
        # An id is good as soon as it is answered, for everybody.
        found = until_answered(lambda: self.registry.get(f"/schemas/ids/{schema_id}"), SECONDS)
        expect_equal(number_of(found["schema"]), number, f"the schema of id {schema_id}")
        looked_up = until_answered(lambda: self.registry.post(f"/subjects/{subject}", schema_body(text_of(number))), SECONDS)
        expect_equal(looked_up["id"], schema_id, f"the id of schema {number} in {subject}")
        self.seen.answered.append(Answered(number, subject, schema_id, looked_up["version"]))
        self.stop.wait(0.01)


class Writer(threading.Thread):
    """Writes numbered orders until told to stop. One thread in two writes some that do not fit."""

    def __init__(self, broker, topic, schema_id, seen, stop, chance, thread):
        super().__init__(daemon=True)
        self.topic, self.schema_id, self.seen, self.stop, self.chance = topic, schema_id, seen, stop, chance
        self.numbers = itertools.count(thread + THREADS, THREADS)
        # Some batches have many records, some have one.
        config = {"linger_ms": chance.choice([0, 5]), "compression_type": chance.choice(["none", "zstd"]), "message_timeout_ms": SECONDS * 1000}
        self.producer = Producer(kafka.settings(broker, enable_idempotence=True, **config))

    def run(self):
        try:
            while not self.stop.is_set():
                self.write()
            expect_equal(self.producer.flush(SECONDS), 0, "records without an answer")
        except Exception as error:  # noqa: BLE001 - for the thread that checks
            self.seen.failures.append(f"writing: {error!r}")

    def write(self):
        number = next(self.numbers)
        is_valid = writes_valid_only(number) or self.chance.random() >= INVALID_SHARE
        value = JSON.value(self.schema_id, str(number), number if is_valid else -number)
        try:
            self.producer.produce(self.topic, value, str(number), on_delivery=lambda error, _: self.note(number, is_valid, error))
        except BufferError:
            # As many as may wait are waiting; the broker is away.
            self.producer.poll(0.1)
        self.producer.poll(0.002)

    def note(self, number, is_valid, error):
        if error is None:
            (self.seen.kept if is_valid else self.seen.wrong).add(number)
        elif error.code() == INVALID:
            self.seen.refused.add(number)
            # Of the other threads, good records are refused beside bad ones.
            if writes_valid_only(number):
                self.seen.failures.append(f"record {number} fits and was refused")


def writes_valid_only(number):
    return number % THREADS % 2 == 0


@suite.test
def ids_versions_and_records_survive_kills(broker):
    seed = int(os.environ.get("FBF_SEED") or random.randrange(1_000_000))
    chance = random.Random(seed)
    print(f"seed {seed}, {ROUNDS} rounds", flush=True)
    registry, topic = broker.registry(), kafka.create(broker, fresh("valid"), PARTITIONS, **{"value.schema.validation": "full"})
    schema_id = registry.register(f"{topic}-value", JSON.first, "JSON")
    subjects = [fresh("subject") for _ in range(SUBJECTS)]
    for subject in subjects:
        registry.put(f"/config/{subject}", {"compatibility": "NONE"})
    seen, stop = Seen(), threading.Event()
    registrars = [Registrar(broker, subjects, seen, stop, random.Random(chance.random())) for _ in range(THREADS)]
    writers = [Writer(broker, topic, schema_id, seen, stop, random.Random(chance.random()), thread) for thread in range(THREADS)]
    try:
        for thread in [*registrars, *writers]:
            thread.start()
        for _ in range(ROUNDS):
            answered, kept = len(seen.answered), len(seen.kept)
            eventually(lambda a=answered, k=kept: (len(seen.answered) > a and len(seen.kept) > k) or seen.failures, SECONDS, f"work, seed {seed}")
            time.sleep(chance.uniform(SECONDS_MIN, SECONDS_MAX))
            broker.kill()
            broker.start()
        answered, kept = len(seen.answered), len(seen.kept)
        eventually(lambda: (len(seen.answered) > answered and len(seen.kept) > kept) or seen.failures, SECONDS, f"work at the end, seed {seed}")
    finally:
        stop.set()
        for thread in [*registrars, *writers]:
            thread.join(SECONDS)
    expect_equal(seen.failures, [], f"failures, seed {seed}")
    # Once more, so that what is checked is what a start finds.
    broker.kill()
    broker.start()
    registry.close()
    print(f"{len(seen.answered)} registrations, {len(seen.kept)} records kept, {len(seen.refused)} refused", flush=True)
    expect_ids(seen, seed)
    expect_versions(registry, seen, subjects, seed)
    expect_records(broker, topic, schema_id, seen, seed)


def expect_ids(seen, seed):
    ids, schemas = collections.defaultdict(set), collections.defaultdict(set)
    for each in seen.answered:
        ids[each.schema].add(each.id)
        schemas[each.id].add(each.schema)
    expect_equal({number: found for number, found in ids.items() if len(found) > 1}, {}, f"schemas with several ids, seed {seed}")
    expect_equal({number: found for number, found in schemas.items() if len(found) > 1}, {}, f"ids with several schemas, seed {seed}")


def expect_versions(registry, seen, subjects, seed):
    for each in set(seen.answered):
        found = registry.version(each.subject, each.version)
        expect_equal((found["id"], number_of(found["schema"])), (each.id, each.schema), f"version {each.version} of {each.subject}, seed {seed}")
        meant = registry.get(f"/schemas/ids/{each.id}")["schema"]
        expect_equal(number_of(meant), each.schema, f"the schema of id {each.id}, seed {seed}")
    # Those that were registered and whose answer was lost may be there, too; each has its own id all the same.
    by_id = {}
    for subject in subjects:
        for version in registry.versions(subject):
            found = registry.version(subject, version)
            number = number_of(found["schema"])
            expect_equal(by_id.setdefault(found["id"], number), number, f"the schema of id {found['id']} in {subject}, seed {seed}")
    expect_equal(len(set(by_id.values())), len(by_id), f"schemas that have an id of their own, seed {seed}")


def expect_records(broker, topic, schema_id, seen, seed):
    times = collections.Counter()
    for message in kafka.read_all(broker, topic):
        value = message.value()
        record = json.loads(value[5:])
        expect_equal(value[:5], JSON.value(schema_id)[:5], f"what stands before the payload at {message.partition()}/{message.offset()}, seed {seed}")
        if record["total"] < 0 or set(record) != {"id", "total"}:
            raise AssertionError(f"a record that does not fit can be read at {message.partition()}/{message.offset()}, seed {seed}: {record}")
        times[record["total"]] += 1
    expect_equal(sorted(seen.wrong)[:10], [], f"acknowledged although they do not fit, seed {seed}")
    expect_equal(sorted(seen.kept - set(times))[:10], [], f"acknowledged and lost, seed {seed}")
    # A producer that is refused begins a new epoch, and what was under way when the broker was killed may be written in both.
    twice = [number for number, count in times.items() if count > 1 and writes_valid_only(number)]
    expect_equal(twice[:10], [], f"written twice, seed {seed}")


if __name__ == "__main__":
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    asked, rest = options.parse_known_args()
    ROUNDS = asked.rounds
    suites.TEST_SECONDS += 10 * ROUNDS
    sys.argv[1:] = rest
    suite.main()
