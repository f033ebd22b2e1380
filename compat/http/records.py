"""Records of the HTTP API: what is refused, how JSON and Kafka's bytes meet, partitions, batches, transactions, limits."""

import base64
import collections
import datetime
import json

import kafka_client as kafka
import memory
from api import NDJSON, SSE, all_of, expect_error, milliseconds, moment, now, topic_path
from server import HttpSuite, started
from suite import eventually, expect_equal, fresh

SECONDS = 30
MIB = 1 << 20
# Values whose JSON text has to come through as it is.
TEXTS = [
    '{"orderId":"123","total":99.99}',
    '"just text"',
    "true",
    "0",
    "-12.50",
    "1e400",
    "12345678901234567890123",
    "9007199254740993",
    '[1,[2,[]],{"a":{}}]',
    '{"z":1,"a":2,"é":"\\u00e9\\n\\ud83d\\ude00 🎉"}',
    '""',
]
suite = HttpSuite("http records", settings={"num.partitions": 3})


@suite.test
def a_record_that_cannot_be_is_400_and_says_what_is_wrong(broker):
    client = broker.api()
    topic = fresh("refused")
    client.create(topic, partitions=2)
    bad = {
        "no value": ({"key": "k"}, "value"),
        "a key that is no string": ({"value": 1, "key": 7}, "key"),
        "headers that are no object": ({"value": 1, "headers": ["a"]}, "headers"),
        "a header that is no string": ({"value": 1, "headers": {"trace": 7}}, "headers"),
        "a partition as text": ({"value": 1, "partition": "0"}, "partition"),
        "a partition below zero": ({"value": 1, "partition": -1}, "partition"),
        "a partition beyond the last": ({"value": 1, "partition": 2}, "partition"),
    }
    with all_of() as check:
        for what, (record, word) in bad.items():
            check(expect_error, client.call("POST", f"{topic_path(topic)}/produce", record), 400, word, what=what)
    expect_equal(kafka.ends(broker, topic), {0: 0, 1: 0}, "ends")


@suite.test
def a_batch_of_none_or_too_many_is_400_and_writes_nothing(broker):
    client = broker.api()
    topic = fresh("counted")
    client.create(topic, partitions=1)
    bad = {
        "no records": {},
        "an empty list": {"records": []},
        "no list": {"records": {"value": 1}},
        "records that are no objects": {"records": [1]},
        "10,001 records": {"records": [{"value": 1}] * 10_001},
    }
    with all_of() as check:
        for what, body in bad.items():
            check(expect_error, client.call("POST", f"{topic_path(topic)}/records", body), 400, "records", what=what)
    expect_equal(kafka.ends(broker, topic), {0: 0}, "ends")


@suite.test
def a_body_above_the_limit_is_413(broker):
    client = broker.api()
    topic = fresh("large")
    client.create(topic, partitions=1)
    path = f"{topic_path(topic)}/produce"
    body = b'{"value": "' + b"x" * 5 * MIB + b'"}'
    expect_error(client.call("POST", path, body), 413, what="whole")
    expect_error(client.call("POST", path, (body[start : start + 65_536] for start in range(0, len(body), 65_536))), 413, what="in chunks")
    expect_equal(kafka.ends(broker, topic), {0: 0}, "ends")
    expect_equal(client.produce(topic, "x" * 500_000)["offset"], 0, "offset of a record of half a megabyte")


@suite.test
def a_body_that_is_announced_above_the_limit_is_413_before_it_is_sent(broker):
    """So that a client that waits for 100-continue does not send it at all."""
    client = broker.api(seconds=5)
    topic = fresh("announced")
    client.create(topic, partitions=1)
    announced = {"Content-Type": "application/json", "Content-Length": str(5 * MIB)}
    expect_error(client.call("POST", f"{topic_path(topic)}/produce", headers=announced), 413)


@suite.test
def a_record_above_the_topics_limit_is_413_and_in_a_batch_its_own_error(broker):
    client = broker.api()
    topic = kafka.create(broker, fresh("limited"), 1, **{"max.message.bytes": "2000"})
    expect_error(client.call("POST", f"{topic_path(topic)}/produce", {"value": "x" * 5000}), 413, "max.message.bytes")
    results = client.produce_all(topic, [{"value": "before"}, {"value": "x" * 5000}, {"value": "behind"}])
    expect_equal([result.get("error", {}).get("code") for result in results], [None, "PAYLOAD_TOO_LARGE", None], "errors")
    expect_equal([message.value() for message in kafka.read_all(broker, topic)], [b'"before"', b'"behind"'], "records")
    expect_equal([results[0]["offset"], results[2]["offset"]], [0, 1], "offsets")


@suite.test
def requests_above_the_memory_budget_are_429_until_there_is_room(broker):
    with started(memory.SETTINGS) as small:
        expect_equal(memory.Probe(small).answer().status, 200, "status while there is room")
        with memory.used_up(small) as probe:
            refused = probe.answer()
            expect_error(refused, 429)
            if not refused.headers.get("Retry-After", "").isdigit():
                raise AssertionError(f"Retry-After is {refused.headers.get('Retry-After')}, expected seconds")
            expect_equal(probe.client.call("GET", "/healthz").status, 200, "health meanwhile")
            before = kafka.ends(small, probe.topic)
            for _ in range(10):
                probe.answer()
            expect_equal(kafka.ends(small, probe.topic), before, "ends: what is refused is not written")
        eventually(lambda: probe.answer().status == 200, what="room after the others are gone")


@suite.test
def very_deep_json_does_not_end_the_server(broker):
    client = broker.api()
    topic = fresh("deep")
    client.create(topic, partitions=1)
    deep = b"[" * 200_000 + b"]" * 200_000
    answer = client.call("POST", f"{topic_path(topic)}/produce", b'{"value": ' + deep + b"}")
    if answer.status not in (200, 400):
        raise AssertionError(f"status {answer.status}")
    kafka.produce(broker, topic, [deep])
    expect_equal(client.call("GET", f"{topic_path(topic)}/consume?from=earliest").status, 200, "reading it")
    with client.stream(topic, **{"from": "earliest"}) as stream:
        expect_equal(stream.answer.status, 200, "streaming it")
    expect_equal(client.call("GET", "/healthz").status, 200, "health")


@suite.test
def produce_answers_where_and_when(broker):
    client = broker.api()
    topic = fresh("answered")
    client.create(topic, partitions=3)
    for number in range(3):
        found = client.produce(topic, number, partition=1)
        expect_equal((found["topic"], found["partition"], found["offset"]), (topic, 1, number), "place")
        if abs(moment(found["timestamp"]) - now()) > datetime.timedelta(seconds=10):
            raise AssertionError(f"timestamp is {found['timestamp']}")
    stamps = [message.timestamp()[1] for message in kafka.read_all(broker, topic)]
    expect_equal(milliseconds(found["timestamp"]), stamps[-1], "the time as Kafka sees it")


@suite.test
def values_are_the_bytes_of_their_json(broker):
    client = broker.api()
    topic = fresh("json")
    client.create(topic, partitions=1)
    for text in TEXTS:
        client.post(f"{topic_path(topic)}/produce", b'{"value": ' + text.encode() + b"}")
    found = [message.value().decode() for message in kafka.read_all(broker, topic)]
    expect_equal([exactly(text) for text in found], [exactly(text) for text in TEXTS], "as Kafka reads them")
    answer = client.call("GET", f"{topic_path(topic)}/consume?from=earliest").body.decode()
    expect_equal([record["value"] for record in exactly(answer)["records"]], [exactly(text) for text in TEXTS], "as HTTP reads them")


def exactly(text):
    """JSON with its numbers as they are written: no float rounds them."""
    return json.loads(text, parse_int=str, parse_float=str)


@suite.test
def what_http_writes_kafka_reads(broker):
    client = broker.api()
    topic = fresh("to-kafka")
    client.create(topic, partitions=1)
    client.produce(topic, {"n": 1}, key="Schlüssel", headers={"trace": "abc", "name": "Żółw"})
    client.produce(topic, {"n": 2})
    first, second = kafka.read_all(broker, topic)
    expect_equal((first.key(), json.loads(first.value())), ("Schlüssel".encode(), {"n": 1}), "key and value")
    expect_equal(sorted(first.headers()), [("name", "Żółw".encode()), ("trace", b"abc")], "headers")
    expect_equal((second.key(), second.headers()), (None, None), "key and headers of a record without")


@suite.test
def what_kafka_writes_http_reads(broker):
    client = broker.api()
    topic = kafka.create(broker, fresh("from-kafka"), 1)
    raw, words = b"\x00\xff\x80", b"no JSON"
    kafka.produce(
        broker,
        topic,
        [
            {"value": b'{"n": 1}', "key": b"k", "headers": [("trace", b"abc")], "timestamp": 1_700_000_000_123},
            {"value": raw, "key": raw, "headers": [("bytes", raw)]},
            {"value": words},
            {"value": b""},
            {"value": None, "key": b"gone"},
            {"value": b"null"},
            {"value": b'{"$base64": "of my own"}'},
            {"value": b" [1,\n2] "},
            {"value": b"1 2"},
        ],
    )
    records = client.consume(topic, **{"from": "earliest"})["records"]
    first = records[0]
    expect_equal(milliseconds(first.pop("timestamp")), 1_700_000_000_123, "timestamp")
    expect_equal(first, {"topic": topic, "partition": 0, "offset": 0, "value": {"n": 1}, "key": "k", "headers": {"trace": "abc"}})
    as_base64 = {"$base64": base64.b64encode(raw).decode()}
    second = records[1]
    expect_equal((second["value"], second["key"], second["headers"]), (as_base64, as_base64, {"bytes": as_base64}), "bytes")
    expected = [{"$base64": "bm8gSlNPTg=="}, {"$base64": ""}, None, None, {"$base64": "of my own"}, [1, 2], {"$base64": "MSAy"}]
    expect_equal([record["value"] for record in records[2:]], expected, "values")
    expect_equal([record.get("key") for record in records[2:5]], [None, None, "gone"], "keys")
    expect_equal([name for name in ("key", "headers") if name in records[2]], [], "fields of a record that has neither")
    # The line break in one of them would end a line of a stream too early.
    for accept in [SSE, NDJSON]:
        with client.stream(topic, accept, **{"from": "earliest"}) as stream:
            streamed = stream.take(len(records))
        expect_equal([record["value"] for record in streamed], [record["value"] for record in records], f"the same as {accept}")


@suite.test
def what_http_read_as_base64_it_writes_as_any_json(broker):
    """There is no second meaning on the way in: a value is JSON, always."""
    client = broker.api()
    topic = fresh("literal")
    client.create(topic, partitions=1)
    client.produce(topic, {"$base64": "AAEC"})
    expect_equal(json.loads(kafka.read_all(broker, topic)[0].value()), {"$base64": "AAEC"}, "value in Kafka")


@suite.test
def compressed_batches_are_read(broker):
    client = broker.api()
    for codec in ["gzip", "snappy", "lz4", "zstd"]:
        topic = kafka.create(broker, fresh(codec), 1)
        kafka.produce(broker, topic, [json.dumps({"n": number}) for number in range(500)], compression_type=codec, linger_ms=50)
        records = client.consume(topic, limit=1000, **{"from": "earliest"})["records"]
        expect_equal([record["value"]["n"] for record in records], list(range(500)), codec)


@suite.test
def keys_go_to_the_partitions_that_kafkas_clients_choose(broker):
    client = broker.api()
    topic = kafka.create(broker, fresh("murmur"), 7)
    keys = [f"order-{number}" for number in range(150)] + [f"größe/{number} 🎉"[: number % 9 + 1] for number in range(50)]
    places = kafka.produce(broker, topic, [{"value": "1", "key": key.encode()} for key in keys], partitioner="murmur2_random")
    expected = [partition for partition, _ in places]
    expect_equal(set(expected), set(range(7)), "the comparison uses every partition")
    expect_equal([client.produce(topic, 1, key=key)["partition"] for key in keys], expected, "one at a time")
    batch = client.produce_all(topic, [{"value": 1, "key": key} for key in keys])
    expect_equal([result["partition"] for result in batch], expected, "in a batch")


@suite.test
def records_without_a_key_reach_every_partition(broker):
    client = broker.api()
    topic = fresh("keyless")
    client.create(topic, partitions=4)
    for number in range(200):
        client.produce(topic, number)
    empty = [partition for partition, end in kafka.ends(broker, topic).items() if end == 0]
    expect_equal(empty, [], "partitions without any of 200 records")


@suite.test
def a_batch_keeps_its_order_and_answers_for_each(broker):
    client = broker.api()
    topic = fresh("batch")
    client.create(topic, partitions=3)
    records = [{"value": {"n": number}, "key": f"k{number % 10}", "headers": {"n": str(number)}} for number in range(300)]
    records += [{"value": {"n": 300}, "partition": 2}]
    results = client.produce_all(topic, records)
    written = {(message.partition(), message.offset()): json.loads(message.value())["n"] for message in kafka.read_all(broker, topic)}
    expect_equal([written[result["partition"], result["offset"]] for result in results], list(range(301)), "what stands at the answered places")
    expect_equal(results[300]["partition"], 2, "the partition that was asked for")
    offsets = collections.defaultdict(list)
    for result in results:
        offsets[result["partition"]].append(result["offset"])
        moment(result["timestamp"])
    expect_equal(all(places == list(range(len(places))) for places in offsets.values()), True, "offsets in the order of the list, without gaps")


@suite.test
def a_batch_may_be_larger_than_a_topics_record(broker):
    """`max.message.bytes`, 1 MiB by default, is about one record as HTTP sees it: three megabytes of small ones are no reason to refuse any."""
    client = broker.api()
    topic = fresh("many-bytes")
    client.create(topic, partitions=1)
    results = client.produce_all(topic, [{"value": "x" * 1000} for _ in range(3000)])
    expect_equal([result.get("error") for result in results if "error" in result], [], "errors")
    expect_equal([result["offset"] for result in results], list(range(3000)), "offsets")


@suite.test
def ten_thousand_records_are_one_batch(broker):
    client = broker.api()
    topic = fresh("thousands")
    client.create(topic, partitions=1)
    results = client.produce_all(topic, [{"value": number} for number in range(10_000)])
    expect_equal([result["offset"] for result in results], list(range(10_000)), "offsets")


@suite.test
def aborted_and_open_transactions_are_never_seen(broker):
    client = broker.api()
    topic, group = kafka.create(broker, fresh("transactions"), 1), fresh("readers")
    producer = kafka.transactional_producer(broker, fresh("producer"))

    def read():
        return [record["value"] for record in client.consume(topic, limit=1000, **{"from": "earliest"})["records"]]

    kafka.transaction(producer, topic, [1, 2], producer.commit_transaction)
    kafka.transaction(producer, topic, [3, 4], producer.abort_transaction)
    kafka.transaction(producer, topic, [5], producer.commit_transaction)
    kafka.transaction(producer, topic, [6, 7], None)
    expect_equal(read(), [1, 2, 5], "while one is open")
    page = client.consume(topic, group=group)
    expect_equal([record["value"] for record in page["records"]], [1, 2, 5], "a group, while one is open")
    client.commit(topic, group, 0, page["next_offset"])
    expect_equal(client.consume(topic, group=group)["records"], [], "the group's next page")
    producer.commit_transaction(SECONDS)
    expect_equal(read(), [1, 2, 5, 6, 7], "after its commit")
    kafka.transaction(producer, topic, [8], producer.abort_transaction)
    kafka.transaction(producer, topic, [9], producer.commit_transaction)
    page = client.consume(topic, group=group)
    expect_equal([record["value"] for record in page["records"]], [6, 7, 9], "what the group reads then")
    client.commit(topic, group, 0, page["next_offset"])
    expect_equal(client.consume(topic, group=group)["records"], [], "the group at the end")


@suite.test
def records_behind_many_aborted_ones_are_found(broker):
    client = broker.api()
    topic, group = kafka.create(broker, fresh("mostly-aborted"), 1), fresh("readers")
    producer = kafka.transactional_producer(broker, fresh("producer"))
    for _ in range(5):
        values = [{"aborted": number, "filler": "x" * 200} for number in range(2000)]
        kafka.transaction(producer, topic, values, producer.abort_transaction)
    client.produce(topic, "found")

    def found(page):
        return [record["value"] for record in page["records"]] == ["found"]

    # An answer may be empty when much had to be skipped, but then the next one goes on behind that.
    eventually(lambda: found(client.consume(topic, group=group, limit=10)), what="the record behind 10,000 aborted ones")
    page = client.consume(topic, limit=10, **{"from": "earliest"})
    for _ in range(100):
        if page["records"]:
            break
        page = client.consume(topic, limit=10, cursor=page["cursor"])
    expect_equal(found(page), True, "found without a group")


if __name__ == "__main__":
    suite.main()
