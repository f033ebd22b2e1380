"""Live streams, as SSE and as NDJSON: where they begin, heart-beats, and going on exactly where a connection ended."""

import http.client
import random
import threading
import time

import kafka_client as kafka
from api import HEARTBEAT, NDJSON, SSE, Refused, all_of, expect_error, topic_path, until_answered
from server import HttpSuite
from suite import eventually, expect_equal, fresh

HEARTBEAT_MS = 500
SECONDS = 30
RECORDS = 600
KILLS = 3

suite = HttpSuite("http streams", settings={"http.heartbeat_ms": HEARTBEAT_MS})


def created(broker, partitions=1):
    client, topic = broker.api(), fresh("live")
    client.create(topic, partitions=partitions)
    return client, topic


def values(records):
    return [record["value"] for record in records]


def place(record):
    return record["topic"], record["partition"], record["offset"]


@suite.test
def streams_that_cannot_be_are_refused(broker):
    client, topic = created(broker)
    with all_of() as check:
        for accept in ["text/html", "application/json", "image/*"]:
            check(expect_refused, client, topic, 406, f"Accept: {accept}", accept=accept)
        for where in ["yesterday", "-1", ""]:
            check(expect_refused, client, topic, 400, f"from={where}", **{"from": where})
        for last_id in ["nonsense", "AAAA", "-1"]:
            check(expect_refused, client, topic, 400, f"Last-Event-ID: {last_id}", last_id=last_id)


def expect_refused(client, topic, status, what, **asked):
    try:
        client.stream(topic, **asked).close()
    except Refused as error:
        expect_error(error.answer, status, what=what)
        return
    raise AssertionError(f"{what}: a stream, expected status {status}")


@suite.test
def accept_chooses_between_sse_and_ndjson(broker):
    client, topic = created(broker)
    client.produce(topic, 1)
    for accept, expected in {
        SSE: SSE,
        NDJSON: NDJSON,
        "*/*": SSE,
        "text/*": SSE,
        f"{NDJSON}, {SSE};q=0.5": NDJSON,
        f"text/html, {NDJSON}": NDJSON,
        None: SSE,
    }.items():
        with client.stream(topic, accept, **{"from": "earliest"}) as stream:
            expect_equal(stream.content_type, expected, f"content type for {accept}")
            expect_equal(values(stream.take(1)), [1], f"records for {accept}")


@suite.test
def a_stream_begins_at_the_end_as_it_is_when_it_is_answered(broker):
    client, topic = created(broker, partitions=3)
    for accept in [SSE, NDJSON]:
        client.produce(topic, "before")
        with client.stream(topic, accept) as stream:
            for number in range(20):
                client.produce(topic, number, key=str(number), headers={"n": str(number)})
            found = stream.take(20)
        expect_equal(sorted(values(found)), list(range(20)), f"values, {accept}")
        one = next(record for record in found if record["value"] == 7)
        expect_equal((one["topic"], one["key"], one["headers"]), (topic, "7", {"n": "7"}), "fields")
        if not {"partition", "offset", "timestamp"} <= one.keys():
            raise AssertionError(f"a record without place or time: {one}")


@suite.test
def a_stream_may_begin_at_a_place_or_a_time(broker):
    client, topic = created(broker)
    kafka.produce(broker, topic, [{"value": str(number), "timestamp": 1_700_000_000_000 + number * 1000} for number in range(10)])
    for where, first in [("earliest", 0), (6, 6), ("2023-11-14T22:13:23Z", 3)]:
        with client.stream(topic, **{"from": where}) as stream:
            expect_equal(values(stream.take(10 - first)), list(range(first, 10)), f"from={where}")


@suite.test
def heartbeats_come_while_nothing_else_does(broker):
    client, topic = created(broker)
    for accept in [SSE, NDJSON]:
        with client.stream(topic, accept) as stream:
            started_at = time.monotonic()
            entries = stream.entries()
            expect_equal([next(entries) for _ in range(3)], [HEARTBEAT] * 3, f"{accept} entries")
            if time.monotonic() - started_at > HEARTBEAT_MS * 10 / 1000:
                raise AssertionError(f"three heart-beats took {time.monotonic() - started_at:.1f} s")
            client.produce(topic, "a record")
            expect_equal(values(stream.take(1)), ["a record"], f"{accept} after heart-beats")


@suite.test
def a_record_comes_at_once_not_with_the_next_heartbeat(broker):
    client, topic = created(broker)
    with client.stream(topic) as stream:
        slow = []
        for number in range(20):
            started_at = time.monotonic()
            client.produce(topic, number)
            stream.take(1)
            slow.append(time.monotonic() - started_at)
    median = sorted(slow)[10]
    if median > HEARTBEAT_MS / 2000:
        raise AssertionError(f"half of the records took more than {median * 1000:.0f} ms")


@suite.test
def a_pattern_streams_topics_that_are_created_later(broker):
    client, root = broker.api(), fresh("live")
    client.create(f"{root}.old", partitions=1)
    with client.stream(f"{root}.*") as stream:
        client.produce(f"{root}.old", 1)
        expect_equal([place(record) for record in stream.take(1)], [(f"{root}.old", 0, 0)], "of the old one")
        client.create(f"{root}.new", partitions=1)
        client.create(f"{root}.new.deeper", partitions=1)
        for topic in [f"{root}.new.deeper", f"{root}.new", f"{root}.old"]:
            client.produce(topic, 2)
        found = sorted(place(record) for record in stream.take(2))
    expect_equal(found, [(f"{root}.new", 0, 0), (f"{root}.old", 0, 1)], "of both")


@suite.test
def the_last_event_id_resumes_behind_that_record_in_every_partition(broker):
    client, topic = created(broker, partitions=3)
    client.produce_all(topic, [{"value": number, "partition": number % 3} for number in range(90)])
    for accept in [SSE, NDJSON]:
        seen, last_id = [], None
        while len(seen) < 90:
            # The place where it would begin without an id must not matter.
            with client.stream(topic, accept, last_id, **{"from": "earliest"}) as stream:
                seen += stream.take(min(7, 90 - len(seen)))
                last_id = stream.last_id
        expect_equal(sorted(values(seen)), list(range(90)), f"{accept}, over many connections")
        with client.stream(topic, accept, last_id) as stream:
            client.produce(topic, "next")
            expect_equal(values(stream.take(1)), ["next"], "behind the last one")
        client.delete(topic_path(topic))
        client.create(topic, partitions=3)
        client.produce_all(topic, [{"value": number, "partition": number % 3} for number in range(90)])


@suite.test
def the_answers_header_says_where_the_stream_begins(broker):
    """So that who is cut off before the first record goes on there, and not at a later end."""
    client, topic = created(broker, partitions=2)
    client.produce(topic, "before")
    with all_of() as check:
        for accept in (SSE, NDJSON):
            stream = client.stream(topic, accept=accept)
            begins = stream.answer.headers["Last-Event-ID"]
            stream.close()
            client.produce(topic, accept)
            resumed = client.stream(topic, accept=accept, last_id=begins)
            check(expect_equal, resumed.answer.headers["Last-Event-ID"], begins, f"where it goes on, {accept}")
            check(expect_equal, values(resumed.take(1)), [accept], f"the first record behind it, {accept}")
            resumed.close()


@suite.test
def an_id_resumes_behind_its_record_and_not_at_the_end(broker):
    client, topic = created(broker)
    with client.stream(topic) as stream:
        client.produce(topic, "seen")
        stream.take(1)
        last_id = stream.last_id
    client.produce(topic, "missed")
    with client.stream(topic, last_id=last_id) as stream:
        expect_equal(values(stream.take(1)), ["missed"], "the first record")


@suite.test
def sse_resumes_exactly_through_kill_9(broker):
    expect_exact_through_kills(broker, SSE)


@suite.test
def ndjson_resumes_exactly_through_kill_9(broker):
    expect_exact_through_kills(broker, NDJSON)


def expect_exact_through_kills(broker, accept):
    """A reader that only knows the id it saw last, while the broker is killed and restarted: everything in order, nothing twice."""
    seed = random.randrange(1_000_000)
    print(f"seed {seed}", flush=True)
    chance = random.Random(seed)
    client, topic = created(broker, partitions=3)
    client.close()
    seen, failures = [], []
    threads = [
        threading.Thread(target=guarded, args=(failures, produce_all, broker, topic), daemon=True),
        threading.Thread(target=guarded, args=(failures, read_on, broker, topic, accept, seen), daemon=True),
    ]
    for thread in threads:
        thread.start()
    # Kills are this thread's: the kernel ends a broker with the thread that started it (setpriv --pdeathsig).
    for at in sorted(chance.sample(range(RECORDS // 10, RECORDS - RECORDS // 10), KILLS)):
        eventually(lambda at=at: len(seen) >= at or failures, SECONDS, f"record {at} in the stream")
        broker.kill()
        broker.start()
    for thread in threads:
        thread.join(SECONDS)
    expect_equal(failures, [], f"failures with seed {seed}")
    expect_equal(len(seen), RECORDS, f"records with seed {seed}")
    expect_equal(len({place(record) for record in seen}), RECORDS, f"different records with seed {seed}")
    for partition in range(3):
        offsets = [record["offset"] for record in seen if record["partition"] == partition]
        expect_equal(offsets, sorted(offsets), f"offsets of partition {partition} in the order they came, seed {seed}")
    expect_equal(sorted(values(seen)), list(range(RECORDS)), f"values with seed {seed}")


def guarded(failures, function, *arguments):
    try:
        function(*arguments)
    except Exception as error:  # noqa: BLE001 - for the thread that checks
        failures.append(f"{function.__name__}: {error!r}")


def produce_all(broker, topic):
    """Every number once, each again under its key until it is answered."""
    client = broker.api()
    for number in range(RECORDS):
        key = fresh("record")
        until_answered(lambda number=number, key=key: client.produce(topic, number, key, key=str(number)))


def read_on(broker, topic, accept, seen):
    last_id = None
    while len(seen) < RECORDS:
        stream = until_answered(lambda last_id=last_id: broker.api().stream(topic, accept, last_id, **{"from": "earliest"}))
        try:
            for entry in stream.entries():
                if entry != HEARTBEAT:
                    seen.append(entry)
                    last_id = stream.last_id
                if len(seen) == RECORDS:
                    break
        except (OSError, http.client.HTTPException):
            pass
        finally:
            stream.close()


@suite.test
def transactions_are_streamed_when_they_commit_and_aborted_ones_never(broker):
    client, topic = created(broker)
    producer = kafka.transactional_producer(broker, fresh("producer"))

    with client.stream(topic) as stream:
        kafka.transaction(producer, topic, [1], producer.commit_transaction)
        kafka.transaction(producer, topic, [2], producer.abort_transaction)
        kafka.transaction(producer, topic, [3], None)
        client.produce(topic, "behind the open one")
        expect_equal(values(stream.take(1)), [1], "the committed one")
        entries = stream.entries()
        expect_equal([next(entries) for _ in range(2)], [HEARTBEAT] * 2, "while one is open")
        producer.commit_transaction(SECONDS)
        expect_equal(values(stream.take(2)), [3, "behind the open one"], "after its commit")


@suite.test
def two_readers_get_everything_each(broker):
    client, topic = created(broker)
    with client.stream(topic) as first, client.stream(topic, NDJSON) as second:
        client.produce_all(topic, [{"value": number} for number in range(500)])
        expect_equal([values(stream.take(500)) for stream in (first, second)], [list(range(500))] * 2, "records")


@suite.test
def a_reader_that_does_not_read_holds_nobody_up(broker):
    client, topic = created(broker)
    with client.stream(topic):
        # More than all buffers between here and there hold.
        for _ in range(60):
            client.produce(topic, "x" * 900_000)
        with client.stream(topic) as other:
            client.produce(topic, "small")
            expect_equal(values(other.take(1)), ["small"], "what another reader gets")
    resident = broker.resident_mb()
    if resident > 1000:
        raise AssertionError(f"the broker has {resident:.0f} MB resident")


@suite.test
def a_deleted_topic_does_not_end_the_server(broker):
    client, topic = created(broker)
    with client.stream(topic, **{"from": "earliest"}) as stream:
        client.produce(topic, 1)
        stream.take(1)
        client.delete(topic_path(topic))
        client.create(topic, partitions=1)
        client.produce(topic, 2)
    with client.stream(topic, **{"from": "earliest"}) as stream:
        expect_equal(values(stream.take(1)), [2], "a new stream of the new topic")


@suite.test
def a_stream_ends_when_the_broker_stops_and_does_not_hold_it(broker):
    client, topic = created(broker)
    streams = [client.stream(topic, accept) for accept in (SSE, NDJSON)]
    client.close()
    started_at = time.monotonic()
    expect_equal(broker.stop(), 0, "exit status after SIGTERM")
    if time.monotonic() - started_at > 10:
        raise AssertionError(f"two open streams held the broker for {time.monotonic() - started_at:.0f} s")
    for stream in streams:
        try:
            expect_equal([entry for entry in stream.entries() if entry != HEARTBEAT], [], "records at the end")
        except (OSError, http.client.HTTPException) as error:
            raise AssertionError(f"the stream did not end in good order: {error!r}") from None
        stream.close()
    broker.start()


if __name__ == "__main__":
    suite.main()
