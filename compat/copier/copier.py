"""Kafka's system test of transactions, with a group of copiers, on one broker: what is killed leaves nothing lost and nothing twice.

  run.sh [--rounds N] [--messages N] [--seed N] [--no-kills] [--limit SECONDS] [--transaction-size N] [--transaction-timeout MS]

Four TransactionalMessageCopiers (of Kafka's own tools) share a consumer group and copy numbered messages from one topic to
another, the records and the offsets of what they have read in one transaction; a third of the transactions they abort on purpose.
Meanwhile the broker and the copiers are killed with kill -9 at places that come from the seed, and started again: the broker
with the same data and port, a copier with the same transactional id. A last kill of the broker comes when all is copied.

A reader at read_committed is there from the beginning, another one starts at the end. Both must have each partition's messages,
each once and in order (copies.py), at the same offsets; no transaction may be left open, and the group's offsets are at the end.

Every round has a broker and a seed of its own (the first round's plus one for each round after it): fbf, or with
COMPAT_BROKER=kafka Apache Kafka. A copier that gives up is started again, as a service manager would; without kills it may not
give up. What a failed round leaves is in $FBF_CACHE/compat/copier: the broker's log and data, the copiers' output, and a timeline.

The control did not pass every time here: in one round Apache Kafka 4.3.1, killed between deciding on transactions and writing their markers, came back
with __transaction_state saying CompleteCommit or CompleteAbort and no marker in the partitions, and the copiers waited for these until they gave up.
"""

import argparse
import collections
import dataclasses
import os
import pathlib
import random
import shutil
import sys
import time

from confluent_kafka import Consumer, IsolationLevel, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

import broker as brokers
import copies
from reader import Reader
from suite import Results, eventually
from tool import Copier

INPUT, OUTPUT, GROUP = "input", "output", "copiers"
COPIERS = 4
# Two for each copier, so that a transaction has more than one partition to mark.
PARTITIONS = 8

KILLS = (3, 6)
SHARES = (0.02, 0.95)
DELAY_SECONDS = (0, 0.5)
AWAY_SECONDS = (0.1, 3)
VICTIMS = ["broker", "broker", "copier", "copier", "both"]
# How often a kill follows while everybody is still coming back from the last one, and within which time.
AGAIN, AGAIN_SECONDS = 0.4, (0, 4)

POLL_SECONDS = 0.1
CLIENT_SECONDS = 30
GIVE_UPS_MAX = 3


class Broken(Exception):
    """The round has failed; the message says by what."""


@dataclasses.dataclass
class Kill:
    """`share`: of the messages that must be copied first; then come `delay` seconds, the kill, and `away` seconds without."""

    victims: str
    share: float
    delay: float
    away: float


def planned_kills(chance):
    """In the order of their shares; the broker and a copier are among the victims of each round."""
    shares = sorted(chance.uniform(*SHARES) for _ in range(chance.randint(*KILLS)))
    victims = ["broker", "copier", *chance.choices(VICTIMS, k=len(shares) - 2)]
    chance.shuffle(victims)
    kills = []
    for share, killed in zip(shares, victims, strict=True):
        kills.append(Kill(killed, share, chance.uniform(*DELAY_SECONDS), chance.uniform(*AWAY_SECONDS)))
        if chance.random() < AGAIN:
            kills.append(Kill(chance.choice(VICTIMS), share, chance.uniform(*AGAIN_SECONDS), chance.uniform(*AWAY_SECONDS)))
    return kills


class Round:
    def __init__(self, seed, asked, folder):
        self.seed, self.asked, self.folder = seed, asked, folder
        self.chance = random.Random(seed)
        self.kills = collections.deque() if asked.no_kills else collections.deque(planned_kills(self.chance))
        self.broker = brokers.chosen()(data=folder / "data")
        self.copiers, self.readers = [], []
        self.killed = collections.Counter()
        self.gave_up = 0
        self.started = time.monotonic()

    def run(self):
        self.broker.start()
        client = self.admin()
        for made in client.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in (INPUT, OUTPUT)]).values():
            made.result(CLIENT_SECONDS)
        produce(self.broker.bootstrap, self.asked.messages)
        self.say(f"{self.asked.messages:,} messages are there to copy")
        early = self.reader("the reader from the beginning")
        self.copy()
        if not self.asked.no_kills:
            self.kill_broker(away=0)
        if uncopied := self.uncopied():
            raise Broken(f"the group was at the end before the last kill: {uncopied}")
        ends = self.decided_ends()
        late = self.reader("the reader at the end")
        if self.complete(late, ends) != self.complete(early, ends):
            raise Broken("the two readers had the same messages at different offsets")

    def admin(self):
        return AdminClient({"bootstrap.servers": self.broker.bootstrap, "log_level": 2})

    def reader(self, name):
        self.readers.append(Reader(name, self.broker.bootstrap, OUTPUT, PARTITIONS))
        return self.readers[-1]

    def copier(self, number):
        topics = {"input-topic": INPUT, "output-topic": OUTPUT, "consumer-group": GROUP}
        limits = {"max-messages": self.asked.messages, "transaction-timeout": self.asked.transaction_timeout}
        options = {**topics, **limits, "transaction-size": self.asked.transaction_size, "broker-list": self.broker.bootstrap}
        return Copier(f"copier-{number}", options, self.folder)

    def copy(self):
        """Returns when the group has committed the end of every partition of the input."""
        self.copiers = [self.copier(number) for number in range(1, COPIERS + 1)]
        killed_before = -1
        while uncopied := self.uncopied():
            # A copier ends when the partitions that it has are done. All may end before the copying does, in Apache Kafka too, when
            # the rest belongs to a dead member: one that was killed as it waited in a rebalance counts until its session ends.
            if sum(self.killed.values()) == killed_before:
                raise Broken(f"every copier has ended, none was killed, and the group is not at the end: {uncopied}")
            killed_before = sum(self.killed.values())
            self.run_copiers()
            self.say("every copier has ended")

    def run_copiers(self):
        """Returns when every copier has ended in good order."""
        for copier in self.copiers:
            copier.start()
        while not all(copier.has_finished() for copier in self.copiers):
            time.sleep(POLL_SECONDS)
            self.expect_life()
            for copier in self.copiers:
                if not copier.is_running() and not copier.has_finished():
                    self.take_back(copier)
            if self.kills and self.copied() >= self.kills[0].share * self.asked.messages:
                self.strike(self.kills.popleft())

    def copied(self):
        return sum(copier.copied() for copier in self.copiers)

    def expect_life(self):
        if not self.broker.is_alive():
            raise Broken(f"{self.broker.name} ended by itself with status {self.broker.process.returncode}")
        if time.monotonic() - self.started > self.asked.limit:
            running = [copier.name for copier in self.copiers if copier.is_running()]
            raise Broken(f"not done within {self.asked.limit} s: {self.copied():,} copied, still running: {' '.join(running)}")

    def take_back(self, copier):
        """Starts a copier that has given up, if that may come from what was killed."""
        self.gave_up += 1
        copier.gave_up += 1
        if self.asked.no_kills or copier.gave_up > GIVE_UPS_MAX:
            raise Broken(f"{copier.name} gave up: {copier.last_words()}")
        self.say(f"{copier.name} gave up: {copier.last_words()}")
        copier.start()

    def strike(self, kill):
        time.sleep(kill.delay)
        for copier in self.copiers:
            copier.gave_up = 0
        running = [copier for copier in self.copiers if copier.is_running()]
        victim = self.chance.choice(running) if running and kill.victims != "broker" else None
        if victim:
            victim.kill()
            self.killed["copier"] += 1
            self.say(f"{victim.name} killed, {victim.copied():,} copied by it")
        if kill.victims != "copier":
            self.kill_broker(kill.away)
        elif victim:
            time.sleep(kill.away)
        if victim:
            victim.start()
            self.say(f"{victim.name} started")

    def kill_broker(self, away):
        self.expect_life()
        self.broker.kill()
        self.killed["broker"] += 1
        self.say(f"{self.broker.name} killed, {self.copied():,} copied; away for {away:.1f} s")
        time.sleep(away)
        self.broker.start()
        self.say(f"{self.broker.name} is back")

    def uncopied(self):
        """Where the group's offset is not the end of a partition of the input, in words."""
        ends = self.ends(INPUT, IsolationLevel.READ_UNCOMMITTED)
        # Not by the admin client, which a coordinator that is just starting makes crash (librdkafka issue 5040).
        client = Consumer({"bootstrap.servers": self.broker.bootstrap, "group.id": GROUP, "log_level": 2})
        try:
            asked = [TopicPartition(INPUT, partition) for partition in range(PARTITIONS)]
            offsets = {found.partition: found.offset for found in answered(lambda: client.committed(asked, CLIENT_SECONDS))}
        finally:
            client.close()
        return ", ".join(f"partition {at} at {offsets[at]} of {end}" for at, end in ends.items() if offsets[at] != end)

    def decided_ends(self):
        """Partition -> end of the output, when no transaction is open in it any more."""
        seconds = self.asked.transaction_timeout / 1000 + CLIENT_SECONDS
        stable, ends = {}, {}

        def are_decided():
            stable.update(self.ends(OUTPUT, IsolationLevel.READ_COMMITTED))
            ends.update(self.ends(OUTPUT, IsolationLevel.READ_UNCOMMITTED))
            return stable == ends

        try:
            eventually(are_decided, seconds)
        except AssertionError:
            raise Broken(f"transactions are open {seconds:.0f} s after the last: last stable {stable}, ends {ends}") from None
        return ends

    def ends(self, topic, isolation):
        asked = {TopicPartition(topic, partition): OffsetSpec.latest() for partition in range(PARTITIONS)}

        def latest():
            # A client that knew the broker before its last start would go on asking with the leader epoch of then.
            client = self.admin()
            answers = client.list_offsets(asked, isolation_level=isolation)
            return {partition.partition: answer.result(CLIENT_SECONDS).offset for partition, answer in answers.items()}

        return answered(latest)

    def complete(self, reader, ends):
        """What the reader has read up to the ends; it must be the whole of the input."""
        records = reader.read_to(ends, CLIENT_SECONDS)
        for partition in range(PARTITIONS):
            wrong = copies.wrong_with(records[partition], copies.numbers_of(partition, PARTITIONS, self.asked.messages))
            if wrong:
                raise Broken(f"{reader.name}, partition {partition}: {wrong}")
        return records

    def say(self, text):
        with open(self.folder / "timeline", "a", encoding="utf-8") as file:
            file.write(f"{time.monotonic() - self.started:7.1f} s  {text}\n")

    def title(self):
        kills = f"{self.killed['broker']} kills of the broker, {self.killed['copier']} of copiers, {self.gave_up} copiers gave up"
        return f"seed {self.seed}, {self.asked.messages:,} messages ({kills})"

    def close(self):
        for reader in self.readers:
            reader.stop()
        for copier in self.copiers:
            if copier.process is not None:
                copier.kill()
        if self.broker.log.exists():
            shutil.copy(self.broker.log, self.folder / "broker.log")
        self.broker.close()


def produce(bootstrap, messages):
    """Writes the messages to be copied and waits until each is acknowledged."""
    failures = []
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "log_level": 2})
    for number in range(messages):
        record = {"key": copies.key_of(number), "value": copies.value_of(number), "partition": number % PARTITIONS}
        while True:
            try:
                producer.produce(INPUT, **record, on_delivery=lambda error, _: error and failures.append(error))
                break
            except BufferError:
                producer.poll(0.1)
    left = producer.flush(CLIENT_SECONDS)
    if left or failures:
        raise Broken(f"{left + len(failures)} messages could not be written to the input: {failures[:1]}")


def answered(call):
    """What `call` gives once the broker can say it: a coordinator that was just started may still be loading."""
    deadline = time.monotonic() + CLIENT_SECONDS
    while True:
        try:
            return call()
        except KafkaException as error:
            if time.monotonic() > deadline:
                raise Broken(f"no answer within {CLIENT_SECONDS} s: {error}") from error
            time.sleep(POLL_SECONDS)


def main():
    asked = options().parse_args()
    kept = pathlib.Path(os.environ["FBF_CACHE"]) / "compat" / "copier"
    first = random.SystemRandom().randrange(1_000_000) if asked.seed is None else asked.seed
    print(f"seed {first}", flush=True)
    results = Results(pathlib.Path(__file__).parent)
    for number in range(1, asked.rounds + 1):
        seed = first + number - 1
        folder = kept / f"{time.strftime('%Y%m%d-%H%M%S')}-{brokers.chosen().name}-{seed}"
        folder.mkdir(parents=True)
        one_round(number, Round(seed, asked, folder), results)
    sys.exit(results.finish())


def one_round(number, trial, results):
    """One round; its folder stays when it failed."""
    reason = None
    try:
        trial.run()
    except Exception as error:  # noqa: BLE001 - whatever went wrong is the round's result
        reason = str(error) or type(error).__name__
        trial.say(reason)
    finally:
        trial.close()
    title, seconds = f"round {number}, {trial.title()}", time.monotonic() - trial.started
    if reason is None:
        results.add_pass(title, seconds)
        shutil.rmtree(trial.folder)
    else:
        results.add_failure(title, " ".join(reason.split())[:600], seconds)
        print(f"    see {trial.folder}\n    again: {again(trial)}", flush=True)


def again(trial):
    """The command that repeats this one round."""
    control = "COMPAT_BROKER=kafka " if trial.broker.name == "kafka" else ""
    words = []
    for name, value in vars(trial.asked).items():
        if name not in ("rounds", "seed") and value != options().get_default(name):
            words.append(f"--{name.replace('_', '-')}" + ("" if value is True else f" {value}"))
    return " ".join([f"{control}compat/copier/run.sh --rounds 1 --seed {trial.seed}", *words])


def options():
    parser = argparse.ArgumentParser(description="Kafka's transactional copiers, with everything killed that can be")
    parser.add_argument("--rounds", type=int, default=20, metavar="N", help="how many, each with a broker of its own (20)")
    parser.add_argument("--messages", type=int, default=200_000, metavar="N", help="to copy in each round (200000)")
    parser.add_argument("--seed", type=int, metavar="N", help="of the first round; each round after it has one more (by chance)")
    parser.add_argument("--no-kills", action="store_true", help="nothing is killed; a third of the transactions is aborted all the same")
    parser.add_argument("--limit", type=int, default=600, metavar="SECONDS", help="from the start of a round until all is copied (600)")
    parser.add_argument("--transaction-size", type=int, default=20, metavar="N", help="messages in a transaction (20)")
    parser.add_argument("--transaction-timeout", type=int, default=20_000, metavar="MS", help="after which the broker aborts one (20000)")
    return parser


if __name__ == "__main__":
    main()
