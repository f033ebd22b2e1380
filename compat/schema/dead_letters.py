"""Topics with on.invalid.record=dead-letter: the good go on in their order, the bad are in {topic}.dlq with what was wrong, and nobody waits.

A good record's place is the one that its producer was told; a bad one keeps in a header the place that it would have had.
"""

from confluent_kafka import Producer

import kafka_client as kafka
import produce
from deliveries import INVALID, deliver, deliver_with, values
from orders import FORMATS, JSON
from produce import INVALID_RECORD, Record
from registry import RegistrySuite
from suite import expect_equal, fresh

DEAD_LETTER = {"value.schema.validation": "full", "on.invalid.record": "dead-letter"}
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
OURS = {"__dlq.reason", "__dlq.topic", "__dlq.partition", "__dlq.offset"}

suite = RegistrySuite("dead letters")


def topic_of(broker, kind, partitions=1):
    topic = kafka.create(broker, fresh(f"letters-{kind.type.lower()}"), partitions, **DEAD_LETTER)
    return topic, broker.registry().register(f"{topic}-value", kind.first, kind.type)


def dead_letters(broker, topic):
    """The messages, none when there is no such topic."""
    name = f"{topic}.dlq"
    return kafka.read_all(broker, name) if name in kafka.topics(broker) else []


def header(message, name):
    [value] = [value for found, value in message.headers() if found == name]
    return value.decode()


def expect_sorted_out(broker, topic, records, outcomes, is_bad):
    """Good and bad where they belong. `records`: values as produced; `outcomes`: what the producer was told of each."""
    expect_equal([outcome for outcome in outcomes if not isinstance(outcome, tuple)], [], "refused")
    good = [(outcome, value) for outcome, value in zip(outcomes, records, strict=True) if not is_bad(value)]
    found = [((message.partition(), message.offset()), message.value()) for message in kafka.read_all(broker, topic)]
    expect_equal(sorted(found), sorted(good), "good records where their producer was told")
    bad = [(outcome, value) for outcome, value in zip(outcomes, records, strict=True) if is_bad(value)]
    letters = dead_letters(broker, topic)
    kept = [((int(header(each, "__dlq.partition")), int(header(each, "__dlq.offset"))), each.value()) for each in letters]
    expect_equal(sorted(kept), sorted(bad), "dead letters with the places they would have had")
    expect_equal({header(each, "__dlq.topic") for each in letters}, {topic} if bad else set(), "their topic")
    expect_equal([each.value() for each in letters if not header(each, "__dlq.reason")], [], "letters without a reason")


@suite.test
def good_records_go_on_and_bad_ones_are_put_aside_in_every_format(broker):
    for codec in CODECS:
        for kind in FORMATS:
            topic, schema_id = topic_of(broker, kind)
            bad = list(kind.misfit_values(schema_id).values())
            good = [kind.value(schema_id, f"o-{number}", number) for number in range(40)]
            records = [value for number, each in enumerate(good) for value in ([each, bad[number]] if number < len(bad) else [each])]
            outcomes = deliver(broker, topic, records, compression_type=codec)
            expect_sorted_out(broker, topic, records, outcomes, set(bad).__contains__)
            expect_equal(values(broker, topic), good, f"{kind.type}, {codec}: order of the good")
            expect_equal([each.value() for each in dead_letters(broker, topic)], bad, f"{kind.type}, {codec}: order of the bad")


@suite.test
def an_idempotent_producer_notices_nothing(broker):
    topic, schema_id = topic_of(broker, JSON, partitions=3)
    producer = Producer(kafka.settings(broker, enable_idempotence=True, linger_ms=5, batch_num_messages=20))
    records = [JSON.value(schema_id, f"o-{number}", -number if number % 7 == 3 else number) for number in range(1000)]
    outcomes = deliver_with(producer, topic, [{"value": value, "partition": number % 3} for number, value in enumerate(records)])
    expect_sorted_out(broker, topic, records, outcomes, lambda value: b'"total": -' in value)
    for partition in range(3):
        expected = [value for number, value in enumerate(records) if number % 3 == partition and b'"total": -' not in value]
        found = [message.value() for message in kafka.read_all(broker, topic) if message.partition() == partition]
        expect_equal(found, expected, f"order in partition {partition}")


@suite.test
def a_batch_of_bad_records_alone_is_answered_and_leaves_nothing(broker):
    topic, schema_id = topic_of(broker, JSON)
    records = [JSON.value(schema_id, f"o-{number}", -1) for number in range(5)]
    outcomes = deliver(broker, topic, records, enable_idempotence=True)
    expect_sorted_out(broker, topic, records, outcomes, lambda value: True)
    after = JSON.value(schema_id)
    [place] = deliver(broker, topic, [after])
    expect_sorted_out(broker, topic, [*records, after], [*outcomes, place], lambda value: value != after)


@suite.test
def a_repeated_batch_is_answered_as_before_and_put_aside_once(broker):
    topic, schema_id = topic_of(broker, JSON)
    producer_id = produce.producer_id(broker)
    records = [Record(JSON.value(schema_id, f"o-{number}", -1 if number == 2 else 1)) for number in range(5)]
    batch = produce.batch(records, *producer_id, sequence=0)
    first = produce.send(broker, topic, batch)
    expect_equal((first.error, first.base_offset), (0, 0), "error and base offset")
    for _ in range(2):
        expect_equal(produce.send(broker, topic, batch).base_offset, 0, "base offset of the repetition")
    # What comes next counts on from all five.
    following = produce.send(broker, topic, produce.batch([Record(JSON.value(schema_id, "o-5", 1))], *producer_id, sequence=5))
    expect_equal(following.error, 0, "error of the batch after it")
    expect_equal(values(broker, topic), [records[number].value for number in (0, 1, 3, 4)] + [JSON.value(schema_id, "o-5", 1)], "good records")
    expect_equal([each.value() for each in dead_letters(broker, topic)], [records[2].value], "dead letters")


@suite.test
def a_dead_letter_is_the_record_with_what_was_wrong(broker):
    topic, schema_id = topic_of(broker, JSON, partitions=2)
    record = {"key": b"k-1", "value": JSON.value(schema_id, total=-4), "headers": [("trace", b"\x00\xff"), ("empty", None)], "partition": 1}
    [place] = deliver(broker, topic, [record])
    [found] = dead_letters(broker, topic)
    expect_equal((found.key(), found.value()), (record["key"], record["value"]), "key and value")
    expect_equal([pair for pair in found.headers() if pair[0] not in OURS], record["headers"], "headers of its own")
    expect_equal({name for name, _ in found.headers()} & OURS, OURS, "headers of ours")
    expect_equal([header(found, f"__dlq.{name}") for name in ("topic", "partition", "offset")], [topic, "1", str(place[1])], "place")
    for word in ["/total", "-4 is less than the minimum of 0", f"schema id {schema_id}", f"{topic}-value"]:
        if word not in header(found, "__dlq.reason"):
            raise AssertionError(f"the reason does not name {word}: {header(found, '__dlq.reason')}")


@suite.test
def bad_keys_are_put_aside_too(broker):
    topic = kafka.create(broker, fresh("letters-keys"), **{"key.schema.validation": "id", "on.invalid.record": "dead-letter"})
    deliver(broker, topic, [{"key": b"plain", "value": b"v"}])
    expect_equal([(each.key(), each.value()) for each in dead_letters(broker, topic)], [(b"plain", b"v")], "dead letters")
    expect_equal(values(broker, topic), [], "what can be read")


@suite.test
def without_bad_records_there_is_no_topic_for_them(broker):
    topic, schema_id = topic_of(broker, JSON)
    deliver(broker, topic, [JSON.value(schema_id)])
    expect_equal(f"{topic}.dlq" in kafka.topics(broker), False, "the topic of dead letters exists")


@suite.test
def a_transaction_is_refused_instead(broker):
    """A dead letter would be there even when the transaction is aborted."""
    topic, schema_id = topic_of(broker, JSON)
    transactional_id = fresh("transaction")
    producer = kafka.transactional_producer(broker, transactional_id)
    producer.begin_transaction()
    [outcome] = deliver_with(producer, topic, [JSON.value(schema_id, total=-1)])
    expect_equal(outcome, INVALID, "outcome of the bad record")
    producer.abort_transaction(kafka.SECONDS)
    # librdkafka does not give the refused record's sequence number again, neither here nor on Apache Kafka: a new producer goes on.
    producer = kafka.transactional_producer(broker, transactional_id)
    producer.begin_transaction()
    good = JSON.value(schema_id)
    deliver_with(producer, topic, [good])
    producer.commit_transaction(kafka.SECONDS)
    expect_equal(values(broker, topic), [good], "what can be read")
    expect_equal([each.value() for each in dead_letters(broker, topic)], [], "dead letters")


@suite.test
def dead_letters_survive_kill_9(broker):
    topic, schema_id = topic_of(broker, JSON)
    records = [JSON.value(schema_id, f"o-{number}", -1 if number % 2 else 1) for number in range(10)]
    outcomes = deliver(broker, topic, records)
    broker.kill()
    broker.start()
    expect_sorted_out(broker, topic, records, outcomes, lambda value: b'"total": -' in value)
    deliver(broker, topic, [b"plain"])
    expect_equal(dead_letters(broker, topic)[-1].value(), b"plain", "the next one")


@suite.test
def refusing_is_what_happens_unless_asked(broker):
    topic = kafka.create(broker, fresh("refusing"), **{"value.schema.validation": "full"})
    broker.registry().register(f"{topic}-value", JSON.first, "JSON")
    expect_equal(produce.send(broker, topic, [Record(b"plain")]).error, INVALID_RECORD, "error")
    expect_equal(f"{topic}.dlq" in kafka.topics(broker), False, "the topic of dead letters exists")


if __name__ == "__main__":
    suite.main()
