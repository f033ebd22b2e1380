"""The other side: what confluent-kafka writes, reads and sees of what HTTP does."""

import functools
import json
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from suite import expect_equal

SECONDS = 30


def settings(broker, **config):
    """The address, what a test asks for (`group_id` for group.id), and no log lines about brokers that a test has killed."""
    return {"bootstrap.servers": broker.bootstrap, "log_level": 2, **{name.replace("_", "."): value for name, value in config.items()}}


def admin(broker):
    return admin_of(broker.bootstrap)


@functools.cache
def admin_of(bootstrap):
    """One client for all tests: its futures end with it, so it must outlive them."""
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})


def create(broker, topic, partitions=1, **config):
    [made] = admin(broker).create_topics([NewTopic(topic, partitions, 1, config=config)]).values()
    made.result(SECONDS)
    return topic


def topics(broker):
    """Name -> number of partitions, of all that Kafka clients see."""
    return {name: len(topic.partitions) for name, topic in admin(broker).list_topics(timeout=SECONDS).topics.items()}


def topic_config(broker, topic, name):
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    return admin(broker).describe_configs([resource])[resource].result(SECONDS)[name].value


def produce(broker, topic, records, **config):
    """`records`: arguments of Producer.produce each, or only a value. Returns (partition, offset) in the same order."""
    producer = Producer(settings(broker, **config))
    places = {}

    def reported(number):
        def callback(error, message):
            places[number] = error or (message.partition(), message.offset())

        return callback

    for number, record in enumerate(records):
        arguments = record if isinstance(record, dict) else {"value": record}
        producer.produce(topic, on_delivery=reported(number), **arguments)
        producer.poll(0)
    expect_equal(producer.flush(SECONDS), 0, "records without an answer")
    for place in places.values():
        if isinstance(place, KafkaError):
            raise KafkaException(place)
    return [places[number] for number in range(len(records))]


def is_configured(broker, topic, name):
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    return name in admin(broker).describe_configs([resource])[resource].result(SECONDS)


def transactional_producer(broker, transactional_id):
    producer = Producer(settings(broker, transactional_id=transactional_id))
    producer.init_transactions(SECONDS)
    return producer


def transaction(producer, topic, values, end):
    """Begins a transaction and writes the values, as JSON; `end` is the producer's method that ends it, None leaves it open."""
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, json.dumps(value))
    expect_equal(producer.flush(SECONDS), 0, "records without an answer")
    if end:
        end(SECONDS)


def ends(broker, topic):
    """Partition -> the offset that comes next."""
    reader = Consumer(settings(broker, group_id="none"))
    try:
        partitions = [TopicPartition(topic, number) for number in range(topics(broker)[topic])]
        return {place.partition: reader.get_watermark_offsets(place, timeout=SECONDS)[1] for place in partitions}
    finally:
        reader.close()


def read_all(broker, topic, **config):
    """Every message of a topic as it is now, in offset order within each partition; committed ones unless `isolation_level` says else."""
    reader = Consumer(settings(broker, group_id="none", enable_partition_eof=True, enable_auto_commit=False, **config))
    messages, open_partitions = [], set(range(topics(broker)[topic]))
    reader.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in open_partitions])
    deadline = time.monotonic() + SECONDS
    try:
        while open_partitions:
            for message in reader.consume(1000, 0.2):
                if message.error() is None:
                    messages.append(message)
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    open_partitions.discard(message.partition())
                elif message.error().code() not in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT):
                    raise KafkaException(message.error())
            if time.monotonic() > deadline:
                raise AssertionError(f"{topic}: {len(messages)} messages, and not the end after {SECONDS} s")
        return messages
    finally:
        reader.close()


def committed(broker, group, topic, partition=0):
    """The group's offset as OffsetFetch tells it; None when it has none."""
    client = Consumer(settings(broker, group_id=group))
    try:
        [found] = client.committed([TopicPartition(topic, partition)], timeout=SECONDS)
        return found.offset if found.offset >= 0 else None
    finally:
        client.close()


class Member:
    """A member of a group that has joined when it is made, with all partitions of the topic."""

    def __init__(self, broker, group, topic, **config):
        self.topic, self.partitions = topic, topics(broker)[topic]
        asked = {"auto_offset_reset": "earliest", "enable_auto_commit": False, **config}
        self.consumer = Consumer(settings(broker, group_id=group, **asked))
        self.consumer.subscribe([topic])
        self.messages = []
        self.poll_until(lambda: len(self.consumer.assignment()) == self.partitions, "the assignment")

    def poll_until(self, condition, what, seconds=60):
        """Polls, keeping what comes, until the condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} did not come within {seconds} s")
            for message in self.consumer.consume(500, 0.1):
                if message.error() is None:
                    self.messages.append(message)
                elif message.error().code() not in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT):
                    raise KafkaException(message.error())

    def read(self, count):
        """The next `count` messages."""
        self.poll_until(lambda: len(self.messages) >= count, f"{count} messages")
        taken, self.messages = self.messages[:count], self.messages[count:]
        return taken

    def commit(self, offsets):
        """`offsets`: partition -> offset."""
        places = [TopicPartition(self.topic, partition, offset) for partition, offset in offsets.items()]
        self.consumer.commit(offsets=places, asynchronous=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.consumer.close()
