"""`Idempotency-Key`: a request that comes again is given the answer of the first, and writes nothing. With connections cut, in failures.py."""

import json
import threading

from confluent_kafka.admin import NewPartitions

import kafka_client as kafka
from api import all_of, expect_error, topic_path
from server import HttpSuite
from suite import expect_equal, fresh

SECONDS = 30
KEYED_AND_NOT = [{"value": number, "key": key} for number, key in enumerate(["a", "b", "c", "d", None, None, None, None])]

suite = HttpSuite("http idempotency")


@suite.test
def a_bad_idempotency_key_is_400_and_writes_nothing(broker):
    client = broker.api()
    topic = fresh("keys")
    client.create(topic, partitions=1)
    with all_of() as check:
        for what, key in {"empty": "", "256 letters": "x" * 256, "a space": "two words", "no ASCII": "clé"}.items():
            for path, body in [("produce", {"value": 1}), ("records", {"records": [{"value": 1}]})]:
                answer = client.call("POST", f"{topic_path(topic)}/{path}", body, {"Idempotency-Key": key})
                check(expect_error, answer, 400, "Idempotency-Key", what=f"{path}, {what}")
    client.produce(topic, 1, idempotency_key="x" * 255)
    client.produce(topic, 1, idempotency_key="!#~")
    expect_equal(len(kafka.read_all(broker, topic)), 2, "records after two good ones")


@suite.test
def a_repeated_idempotency_key_gets_the_same_answer_and_writes_nothing(broker):
    client = broker.api()
    topic = fresh("once")
    client.create(topic, partitions=3)
    key, batch_key = fresh("request"), fresh("request")
    batch = [{"value": number} for number in range(20)]
    first, first_of_batch = client.produce(topic, "paid", idempotency_key=key), client.produce_all(topic, batch, batch_key)
    other = client.produce(topic, "another", idempotency_key=fresh("request"))
    expect_equal((other["partition"], other["offset"]) == (first["partition"], first["offset"]), False, "another key has the same place")

    def repeats(client, when):
        for root in ["", "/projects/some-project"]:
            client.root = root
            expect_equal(client.produce(topic, "paid", idempotency_key=key), first, f"answer to a repeated request {when}")
            expect_equal(client.produce_all(topic, batch, batch_key), first_of_batch, f"answer to a repeated batch {when}")

    repeats(client, "at once")
    broker.kill()
    broker.start()
    repeats(broker.api(), "after kill -9")
    broker.stop()
    broker.start()
    repeats(broker.api(), "after a clean restart")
    expect_equal(len(kafka.read_all(broker, topic)), 22, "records in the topic")


@suite.test
def a_repeated_idempotency_key_is_known_when_the_topic_has_more_partitions(broker):
    """Where the key of a record belongs may be another partition by then."""
    keys = [fresh("request") for _ in KEYED_AND_NOT]

    def send(client, topic):
        path = f"{topic_path(topic)}/produce"
        return [client.post(path, record, {"Idempotency-Key": key}) for record, key in zip(KEYED_AND_NOT, keys, strict=True)]

    expect_known_after_growth(broker, send)


@suite.test
def a_repeated_idempotency_key_of_a_batch_is_known_when_the_topic_has_more_partitions(broker):
    key = fresh("request")
    expect_known_after_growth(broker, lambda client, topic: client.produce_all(topic, KEYED_AND_NOT, key))


def expect_known_after_growth(broker, send):
    client, topic = broker.api(), fresh("grown")
    client.create(topic, partitions=2)
    first = send(client, topic)
    kafka.admin(broker).create_partitions([NewPartitions(topic, 9)])[topic].result(SECONDS)
    expect_equal(send(client, topic), first, "answers after the topic has grown")
    expect_equal(len(kafka.read_all(broker, topic)), len(KEYED_AND_NOT), "records in the topic")


@suite.test
def a_repeated_idempotency_key_of_a_large_batch_writes_nothing(broker):
    client = broker.api()
    topic, key = fresh("large-batch"), fresh("request")
    client.create(topic, partitions=2)
    batch = [{"value": f"{number} {'x' * 1000}", "partition": number % 2} for number in range(3000)]
    first = client.produce_all(topic, batch, key)
    broker.kill()
    broker.start()
    expect_equal(broker.api().produce_all(topic, batch, key), first, "answer to the repeated request")
    expect_equal(len(kafka.read_all(broker, topic)), 3000, "records in the topic")


@suite.test
def eight_requests_with_one_idempotency_key_at_once_write_one_record(broker):
    topic = fresh("at-once")
    broker.api().create(topic, partitions=3)
    for _ in range(10):
        key, answers = fresh("request"), []
        start = threading.Barrier(8)

        def send(key=key, answers=answers, start=start):
            client = broker.api()
            start.wait()
            answers.append(client.call("POST", f"{topic_path(topic)}/produce", {"value": key}, {"Idempotency-Key": key}))

        in_threads([send] * 8)
        expect_equal([answer.status for answer in answers], [200] * 8, "statuses")
        expect_equal(len({answer.body for answer in answers}), 1, "different answers")
    values = [json.loads(message.value()) for message in kafka.read_all(broker, topic)]
    expect_equal((len(values), len(set(values))), (10, 10), "records and distinct ones")


def in_threads(functions):
    threads = [threading.Thread(target=function, daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
        if thread.is_alive():
            raise AssertionError(f"a request was not answered within {SECONDS} s")


if __name__ == "__main__":
    suite.main()
