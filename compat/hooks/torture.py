"""Receivers that do whatever receivers do, and a server that is killed at random: each event is taken at least once or is a dead letter.

  torture.py [--cycles N] [--events N] [--seed N] [--limit SECONDS]

In every cycle events are written, some in transactions of which some are aborted; then, at a moment that the seed chooses, fbf is killed (kill -9)
and started again. Seven endpoints get all events:

  calm, calm-ordered    take everything
  moody, moody-ordered  are slow, hang, answer 5xx, 429 with Retry-After or far too much, break off or reset the connection, or take it, by the seed
  poison-ordered        never takes certain events
  gone                  answers 410 now and then, and is enabled again
  tls                   has a certificate that nobody signed: nothing may reach it

At the end everything must be settled: for every endpoint its group has committed the end of every partition. Then settled.py holds what the
receivers have got and what the dead-letter topic has against the topic, read at read_committed. What came more than once is counted and printed.

What a receiver does with an event depends on the seed, the endpoint, the event and how often it has come; what the seed cannot choose is what is on
its way when the server dies. Of a run that failed, the server's log and data and what the receivers saw stay in $FBF_CACHE/compat/hooks.
"""

import argparse
import collections
import dataclasses
import json
import os
import pathlib
import random
import shutil
import sys
import threading
import time

from confluent_kafka import KafkaException, Producer
from standardwebhooks.webhooks import Webhook

import kafka_client as kafka
import settled
from api import until_answered
from receiver import CUT, HANG, RESET, Receiver, Reply, wrong_certificate
from server import HttpBroker
from suite import Results, expect_equal
from webhooks import DEAD_LETTER_TOPIC, SETTINGS, committed, header, webhooks

TOPIC, PARTITIONS, KEYS = "torture.events", 4, 12
ORDERED = ["calm-ordered", "moody-ordered", "poison-ordered"]
ENDPOINTS = ["calm", *ORDERED[:1], "moody", *ORDERED[1:], "gone", "tls"]
UNTAKEN = ["tls"]
MIB = 1 << 20

# Short, so that a run ends; a receiver that hangs costs this much each time.
TIMEOUT_MS = 500
SCHEDULE_MS = [100, 100, 100, 200, 400, 800]
# How a moody receiver answers, and how often.
MOODS = {
    "take": (50, Reply()),
    "slow": (8, Reply(seconds=0.2)),
    "too slow": (3, Reply(seconds=1)),
    "hang": (2, Reply(end=HANG)),
    "500": (8, Reply(500, body=b"no")),
    "503": (6, Reply(503)),
    "400": (4, Reply(400)),
    "429": (4, Reply(429, headers={"retry-after": "0"})),
    "429, 1 s": (2, Reply(429, headers={"retry-after": "1"})),
    "huge": (2, Reply(size=16 * MIB)),
    "huge 500": (2, Reply(500, size=16 * MIB)),
    "reset": (5, Reply(end=RESET)),
    "cut": (4, Reply(500, body=b"x" * 1000, end=CUT)),
    "redirect": (2, Reply(302, headers={"location": "http://127.0.0.1:1/"})),
}
# One event in so many is never taken by poison-ordered; one in so many is 410 to gone, the first time.
POISON_EVERY, GONE_EVERY = 23, 61
# Of the cycles, those with a transaction; of these, those that are aborted.
TRANSACTIONS, ABORTED = 0.5, 0.4
# Between writing and the kill, and how long the server is away.
LIFE_SECONDS, AWAY_SECONDS = (0, 1.5), (0, 0.3)
CLIENT_SECONDS = 30
# As HTTP and Java choose partitions by the key, so that all events of a key are in one.
PARTITIONER = "murmur2_random"


def main():
    options = argparse.ArgumentParser(description="webhooks under kills, with receivers that misbehave")
    options.add_argument("--cycles", type=int, default=6, metavar="N", help="of writing and killing (6)")
    options.add_argument("--events", type=int, default=40, metavar="N", help="written in each cycle (40)")
    options.add_argument("--seed", type=int, default=int(os.environ.get("FBF_SEED") or random.randrange(1_000_000)), metavar="N")
    options.add_argument("--limit", type=int, default=300, metavar="SECONDS", help="until all is settled after the last cycle (300)")
    options.add_argument("--list", action="store_true", help="print the name and stop")
    asked = options.parse_args()
    name = f"{asked.cycles} cycles"
    if asked.list:
        print(name)
        return
    folder = pathlib.Path(os.environ["FBF_CACHE"]) / "compat" / "hooks" / f"torture-{asked.seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    again = f"compat/hooks/run.sh torture --seed {asked.seed} --cycles {asked.cycles} --events {asked.events}"
    print(f"seed {asked.seed}; to repeat it: {again}", flush=True)
    results, began = Results("/nonexistent"), time.monotonic()
    run = Torture(asked, folder)
    try:
        run.run()
        results.add_pass(name, time.monotonic() - began)
    except Exception as error:  # noqa: BLE001 - whatever went wrong is the run's result
        results.add_failure(name, " ".join(str(error).split())[:1000] or type(error).__name__, time.monotonic() - began)
        run.keep()
        print(f"    logs and data: {folder}\n    to repeat it: {again}", flush=True)
    finally:
        run.close()
    if not results.failed:
        shutil.rmtree(folder)
    sys.exit(results.finish())


class Torture:
    def __init__(self, asked, folder):
        self.asked, self.folder = asked, folder
        self.chance = random.Random(asked.seed)
        short = {"hooks.timeout_ms": TIMEOUT_MS, "hooks.retry_schedule_ms": ",".join(map(str, SCHEDULE_MS))}
        self.broker = HttpBroker({**SETTINGS, **short, "storage.segment_bytes": 16 * MIB}, data=folder / "data")
        self.receivers, self.endpoints, self.attempts = {}, {}, []
        self.wrong = []
        self.lock = threading.Lock()
        self.tries = collections.Counter()
        self.written, self.acknowledged, self.aborted = 0, set(), set()
        self.moods = collections.Counter()

    def run(self):
        self.broker.start()
        self.broker.api().create(TOPIC, partitions=PARTITIONS)
        for name in ENDPOINTS:
            self.receivers[name] = Receiver(lambda request, name=name: self.answer(name, request), wrong_certificate() if name == "tls" else None)
            made = webhooks(self.broker).create(name, self.receivers[name].url(), events=["torture.**"], ordered=name in ORDERED)
            self.endpoints[name] = made
        for number in range(self.asked.cycles):
            self.cycle()
            if self.wrong:
                raise AssertionError(self.wrong[0])
            if number % 20 == 19:
                print(f"{number + 1} cycles, {self.written} events, {len(self.attempts)} requests", flush=True)
        events = self.committed_events()
        self.wait_until_settled(events)
        # One more: what is settled stays settled.
        self.kill(0)
        count = len(self.attempts)
        time.sleep(1)
        if self.wrong:
            raise AssertionError(self.wrong[0])
        print(f"{len(self.attempts) - count} requests after a last kill, when all was settled", flush=True)
        self.check(events)

    def answer(self, name, request):
        """In the receiver's thread. What is wrong with a request is told to the main thread."""
        try:
            Webhook(self.endpoints[name]["secret"]).verify(request.body, request.headers, json_parse=False)
            number = request.json()["data"]["n"]
        except Exception as error:  # noqa: BLE001 - for the thread that checks
            self.wrong.append(f"{name}: a request that is not as it must be: {error!r}, {request.headers}, {request.body[:200]}")
            return Reply(500)
        with self.lock:
            self.tries[name, number] += 1
            reply = self.reply(name, number, self.tries[name, number])
            self.attempts.append(settled.Attempt(name, request.id, number, hash(request.body), reply.is_success))
        return reply

    def reply(self, name, number, attempt):
        chance = random.Random(f"{self.asked.seed}/{name}/{number}/{attempt}")
        if name == "poison-ordered" and number % POISON_EVERY == 0:
            return Reply(chance.choice([400, 500]))
        if name == "gone" and number % GONE_EVERY == 0 and attempt == 1:
            return Reply(410)
        if not name.startswith("moody"):
            return Reply()
        mood = chance.choices(list(MOODS), [weight for weight, _ in MOODS.values()])[0]
        self.moods[mood] += 1
        return MOODS[mood][1]

    def cycle(self):
        numbers = range(self.written, self.written + self.asked.events)
        self.written += len(numbers)
        split = len(numbers)
        if self.chance.random() < TRANSACTIONS:
            split //= 2
            self.write_transaction(numbers[split:], self.chance.random() < ABORTED)
        self.write(numbers[:split], self.chance.random() < 0.5)
        time.sleep(self.chance.uniform(*LIFE_SECONDS))
        self.kill(self.chance.uniform(*AWAY_SECONDS))
        self.enable_gone()

    def write(self, numbers, is_http):
        if is_http:
            records = [{"value": {"n": number}, "key": key_of(number)} for number in numbers]
            results = self.broker.api().produce_all(TOPIC, records)
            expect_equal([result for result in results if "error" in result], [], "events that were refused")
        else:
            events = [{"value": value_of(number), "key": key_of(number)} for number in numbers]
            kafka.produce(self.broker, TOPIC, events, partitioner=PARTITIONER)
        self.acknowledged.update(numbers)

    def write_transaction(self, numbers, is_aborted):
        producer = Producer(kafka.settings(self.broker, transactional_id="torture", partitioner=PARTITIONER))
        producer.init_transactions(CLIENT_SECONDS)
        producer.begin_transaction()
        for number in numbers:
            producer.produce(TOPIC, value_of(number), key_of(number))
        if producer.flush(CLIENT_SECONDS):
            raise KafkaException("records of a transaction without an answer")
        (producer.abort_transaction if is_aborted else producer.commit_transaction)(CLIENT_SECONDS)
        (self.aborted if is_aborted else self.acknowledged).update(numbers)

    def kill(self, away):
        self.broker.kill()
        time.sleep(away)
        self.broker.start()

    def enable_gone(self):
        def enable():
            hooks = webhooks(self.broker)
            if not hooks.get("gone")["enabled"]:
                hooks.enable("gone")

        until_answered(enable, CLIENT_SECONDS)

    def committed_events(self):
        """In the order of each partition, which has all events of a key."""
        messages = kafka.read_all(self.broker, TOPIC)
        events = [settled.Event(json.loads(message.value())["n"], message.key().decode()) for message in messages]
        found = {event.number for event in events}
        expect_equal(sorted(self.acknowledged - found)[:10], [], "events that were acknowledged and are not there")
        expect_equal(sorted(self.aborted & found)[:10], [], "events of aborted transactions that are there")
        # Behind the last event of a partition may be a transaction's marker.
        self.ends = collections.Counter()
        for message in messages:
            self.ends[message.partition()] = max(self.ends[message.partition()], message.offset() + 1)
        return events

    def wait_until_settled(self, events):
        def is_settled(name):
            return all(offset >= self.ends[partition] for partition, offset in committed(self.broker, self.endpoints[name], TOPIC).items())

        waiting, deadline = list(ENDPOINTS), time.monotonic() + self.asked.limit
        while waiting:
            self.enable_gone()
            waiting = [name for name in waiting if not is_settled(name)]
            if waiting and time.monotonic() > deadline:
                places = {name: committed(self.broker, self.endpoints[name], TOPIC) for name in waiting}
                raise AssertionError(f"not settled after {self.asked.limit} s: {places}, expected {dict(self.ends)}")
            time.sleep(0.2)
        print(f"{len(events)} events, all settled", flush=True)

    def letters(self):
        names = {endpoint["endpoint_id"]: name for name, endpoint in self.endpoints.items()}
        messages = kafka.read_all(self.broker, DEAD_LETTER_TOPIC)
        without = [message.offset() for message in messages if not header(message, "webhook-last-error")]
        expect_equal(without[:10], [], "dead letters without a reason")
        return [
            settled.Letter(names[header(message, "webhook-endpoint-id")], header(message, "webhook-id"), json.loads(message.value())["n"])
            for message in messages
        ]

    def check(self, events):
        with self.lock:
            attempts = list(self.attempts)
        counts = settled.check(events, attempts, self.letters(), ENDPOINTS, ORDERED, UNTAKEN)
        print(f"moods: {', '.join(f'{mood} {count}' for mood, count in self.moods.most_common())}", flush=True)
        fields = [field.name for field in dataclasses.fields(settled.Counts)]
        print(f"| endpoint | {' | '.join(fields)} |\n|---|{'---:|' * len(fields)}")
        for name, found in counts.items():
            print(f"| {name} | {' | '.join(str(getattr(found, field)) for field in fields)} |", flush=True)
        poison = sum(1 for event in events if event.number % POISON_EVERY == 0)
        expect_equal(counts["poison-ordered"].letters, poison, "dead letters of poison-ordered: the events that it never takes")
        expect_equal((counts["calm"].letters, counts["calm-ordered"].letters), (0, 0), "dead letters of those that take everything")

    def keep(self):
        """What the receivers saw, beside the server's data and log."""
        with open(self.folder / "attempts", "w", encoding="utf-8") as file, self.lock:
            file.writelines(f"{attempt}\n" for attempt in self.attempts)
        if self.broker.log.exists():
            shutil.copy(self.broker.log, self.folder / "log")

    def close(self):
        self.broker.close()
        for receiver in self.receivers.values():
            receiver.close()


def key_of(number):
    return f"k{number % KEYS}"


def value_of(number):
    return json.dumps({"n": number})


if __name__ == "__main__":
    main()
