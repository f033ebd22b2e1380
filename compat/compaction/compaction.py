"""A compacted topic under plain, idempotent and transactional producers, with tombstones, aborts and `kill -9`, held against a model.

With --kafka, the same operations run on Apache Kafka as well (4.3.1, in a process of its own): what a read_committed consumer finds in the end must be
the same on both, and in the same order. (Offsets may differ: a transaction that meets a kill may be aborted once more.) The seed is printed; `--seed N`
repeats a run.
"""

import argparse
import random
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import broker as brokers
from suite import counts, eventually

KEYS = 40
TOPIC = "compacted"
# A record that is older than SEGMENT_MS is no longer in the active segment once a newer one has come.
SEGMENT_MS = 200
TOPIC_CONFIG = {
    "cleanup.policy": "compact",
    "segment.ms": str(SEGMENT_MS),
    "min.cleanable.dirty.ratio": "0.01",
    "delete.retention.ms": "0",
}
SETTINGS = {"log.cleaner.backoff.ms": "50"}
SETTLE_SECONDS = 90


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options.add_argument("--operations", type=int, default=400)
    options.add_argument("--kills", type=int, default=6, help="of fbf, while the operations go on")
    options.add_argument("--kafka", action="store_true", help="compare with Apache Kafka")
    asked = options.parse_args()
    print(f"seed {asked.seed}")
    outcomes = []
    try:
        found = lived(brokers.Fbf(SETTINGS), asked, asked.kills)
        outcomes.append(True)
        if asked.kafka:
            control = lived(brokers.Kafka(SETTINGS), asked, kills=0)
            outcomes.append(compare(found, control))
    except AssertionError as error:
        print(f"FAIL: {error}\n  again: compat/compaction/run.sh --seed {asked.seed} --operations {asked.operations} --kills {asked.kills}")
        outcomes.append(False)
    print(counts(sum(outcomes), len(outcomes) - sum(outcomes)))
    raise SystemExit(0 if all(outcomes) else 1)


def lived(broker, asked, kills):
    """Carries the operations out and returns what is left of them: offset, key, value, by offset."""
    chance = random.Random(asked.seed)
    broker.start()
    create(broker)
    kill_at = set(random.Random(asked.seed + 1).sample(range(asked.operations), kills))
    model, writers = {}, Writers(broker)
    for number in range(asked.operations):
        if number in kill_at:
            broker.kill()
            broker.start()
        writers.write(chance, model, number)
    first_sentinel, left = settled(broker, writers)
    expect = {key: value for key, value in model.items() if value is not None}
    found = {key: value for _, key, value in left}
    if found != expect:
        wrong = {key: (found.get(key), expect.get(key)) for key in {*found, *expect} if found.get(key) != expect.get(key)}
        raise AssertionError(f"{broker.name}: found and expected differ: {wrong}")
    print(f"{broker.name}: {first_sentinel} offsets, {len(left)} records left, {kills} kills")
    broker.close()
    return left


def create(broker):
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    created = admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=1, config=TOPIC_CONFIG)])
    created[TOPIC].result(30)


class Writers:
    """One producer of each kind; each write is acknowledged before the next one, so that their order follows from the seed."""

    def __init__(self, broker):
        base = {"bootstrap.servers": broker.bootstrap, "linger.ms": 0, "reconnect.backoff.max.ms": 200, "log_level": 0}
        self.plain = Producer({**base, "enable.idempotence": True})
        self.packed = Producer({**base, "enable.idempotence": True, "compression.type": "lz4"})
        self.transactional = Producer({**base, "transactional.id": "compaction", "compression.type": "zstd"})
        self.transactional.init_transactions(60)

    def write(self, chance, model, number):
        kind = chance.randrange(4)
        records = [(f"key {chance.randrange(KEYS)}", self.value(chance, number)) for _ in range(1 + chance.randrange(5))]
        if kind < 2:
            self.send([self.plain, self.packed][kind], records)
            model.update(records)
            return
        is_committed = kind == 2
        self.transactional.begin_transaction()
        self.send(self.transactional, records)
        if is_committed:
            self.transactional.commit_transaction(60)
            model.update(records)
        else:
            self.transactional.abort_transaction(60)

    @staticmethod
    def value(chance, number):
        text = f"{number} " + "v" * chance.randrange(200)
        return None if chance.randrange(4) == 0 else text

    @staticmethod
    def send(producer, records):
        for key, value in records:
            producer.produce(TOPIC, key=key, value=value, partition=0)
        if producer.flush(60) > 0:
            raise AssertionError("records were not acknowledged within 60 s")


def settled(broker, writers):
    """Goes on writing one key until compaction has left one record of each other key and no tombstone; what is left then."""
    first = None
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        time.sleep(2 * SEGMENT_MS / 1000)
        writers.send(writers.plain, [("sentinel", str(time.time()))])
        everything = read(broker)
        if first is None:
            first = max(offset for offset, key, _ in everything if key == "sentinel")
        left = [record for record in everything if record[1] != "sentinel"]
        keys = [key for _, key, _ in left]
        is_settled = len(set(keys)) == len(keys) and all(value is not None for _, _, value in left)
        if is_settled:
            return first, left
        if time.monotonic() > deadline:
            raise AssertionError(f"{broker.name}: {len(left)} records of {len(set(keys))} keys are left after {SETTLE_SECONDS} s")


def read(broker):
    """Everything that a read_committed consumer finds from the start."""
    consumer = Consumer(
        {"bootstrap.servers": broker.bootstrap, "group.id": "reader", "enable.auto.commit": False, "enable.partition.eof": True}
    )
    _, end = eventually(lambda: consumer.get_watermark_offsets(TopicPartition(TOPIC, 0), timeout=10), what="the end offset")
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    records = []
    while True:
        message = consumer.poll(10)
        if message is None:
            raise AssertionError(f"{broker.name}: nothing within 10 s, the end is {end}")
        if message.error() is None:
            value = message.value()
            records.append((message.offset(), message.key().decode(), None if value is None else value.decode()))
        elif consumer.position([TopicPartition(TOPIC, 0)])[0].offset >= end:
            consumer.close()
            return records


def compare(found, control):
    found, control = [record[1:] for record in found], [record[1:] for record in control]
    if found != control:
        different = sorted({*found} ^ {*control})[:10]
        print(f"FAIL: fbf and Kafka have other records left: {different}")
    return found == control


if __name__ == "__main__":
    main()
