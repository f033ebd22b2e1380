"""Records and what became of each: delivered to a place, or refused with a code."""

from confluent_kafka import KafkaError, Producer

import kafka_client as kafka
from suite import expect_equal

# The Python package shows a refused batch's code for each of its records, on Apache Kafka as well; which ones are to blame, `produce.py` sees.
INVALID = OTHER_INVALID = KafkaError.INVALID_RECORD
# All that is produced before a flush goes in one batch.
ONE_BATCH = {"linger_ms": 10_000}


def deliver(broker, topic, records, **config):
    """Produces all, one batch for each partition, and gives (partition, offset) or an error code for each, in order. `records`: arguments of
    Producer.produce, or only a value."""
    producer = Producer(kafka.settings(broker, **{**ONE_BATCH, **config}))
    return deliver_with(producer, topic, records)


def deliver_with(producer, topic, records):
    outcomes = {}

    def reported(number):
        def callback(error, message):
            outcomes[number] = error.code() if error else (message.partition(), message.offset())

        return callback

    # Until the partitions are known, records wait apart, and a flush that meets them on their way cuts a batch short.
    producer.list_topics(topic, kafka.SECONDS)
    for number, record in enumerate(records):
        arguments = record if isinstance(record, dict) else {"value": record}
        producer.produce(topic, on_delivery=reported(number), **arguments)
    expect_equal(producer.flush(kafka.SECONDS), 0, "records without an answer")
    return [outcomes[number] for number in range(len(records))]


def deliver_one(broker, topic, value, **config):
    """The outcome of a record that is alone in its batch."""
    [outcome] = deliver(broker, topic, [value], **config)
    return outcome


def expect_taken(broker, topic, value, what="a good record"):
    outcome = deliver_one(broker, topic, value)
    expect_equal(isinstance(outcome, tuple), True, f"{what} is taken ({outcome})")


def expect_invalid(broker, topic, value, what="a bad record"):
    expect_equal(deliver_one(broker, topic, value), INVALID, what)


def values(broker, topic):
    return [message.value() for message in kafka.read_all(broker, topic)]
