"""Reading without a group: from a place or a time, on with a cursor, and nothing leased or committed by it."""

import threading
import time

from confluent_kafka import TopicPartition

import kafka_client as kafka
from api import all_of, expect_error, now, topic_path
from server import HttpSuite
from suite import eventually, expect_equal, fresh

WAIT_MS = 20_000

suite = HttpSuite("http cursors")


def filled(broker, count, partitions=1):
    client, topic = broker.api(), fresh("read")
    client.create(topic, partitions=partitions)
    if count:
        client.produce_all(topic, [{"value": number, "partition": number % partitions} for number in range(count)])
    return client, topic


def values(page):
    return [record["value"] for record in page["records"]]


def read_from(client, topic, place, **query):
    return client.consume(topic, **{"from": place, **query})


def rest(client, topic, page, **query):
    """The values of a page and all that follow it. The end is an empty page that does not move on: one that skips something may be empty."""
    found = values(page)
    while True:
        before, page = page, client.consume(topic, cursor=page["cursor"], **query)
        found += values(page)
        if not page["records"] and page["cursor"] == before["cursor"]:
            return found


@suite.test
def places_that_are_none_are_400(broker):
    client, topic = filled(broker, 1)
    with all_of() as check:
        for place in ["yesterday", "", "-1", "1.5", "2026-13-01T00:00:00Z", "2026-01-01", "99999999999999999999"]:
            check(expect_error, client.call("GET", f"{topic_path(topic)}/consume", query={"from": place}), 400, what=f"from={place}")
        for cursor in ["nonsense", "AAAA", "e30", "x" * 20_000]:
            answer = client.call("GET", f"{topic_path(topic)}/consume", query={"cursor": cursor})
            check(expect_equal, answer.status in (400, 414, 431), True, f"cursor={cursor[:20]}: a refusal, {answer.status}")


@suite.test
def earliest_latest_and_offsets_are_places(broker):
    client, topic = filled(broker, 20)
    expect_equal(values(read_from(client, topic, "earliest")), list(range(20)), "earliest")
    expect_equal(values(read_from(client, topic, "latest")), [], "latest")
    expect_equal(values(read_from(client, topic, 15, partition=0)), list(range(15, 20)), "15 of partition 0")
    expect_equal(values(read_from(client, topic, 20, partition=0)), [], "the end")


@suite.test
def an_offset_without_a_partition_is_for_all_of_them(broker):
    client, topic = filled(broker, 30, partitions=3)
    expect_equal(sorted(values(read_from(client, topic, 8))), list(range(24, 30)), "8 of every partition")


@suite.test
def a_time_finds_the_first_record_of_it(broker):
    client, topic = filled(broker, 0)
    kafka.produce(broker, topic, [{"value": str(number), "timestamp": 1_700_000_000_000 + number * 1000} for number in range(10)])
    expect_equal(values(read_from(client, topic, "2023-11-14T22:13:25Z")), list(range(5, 10)), "from a record's own time")
    expect_equal(values(read_from(client, topic, "2023-11-14T22:13:24.001Z")), list(range(5, 10)), "from between two")
    expect_equal(values(read_from(client, topic, "1970-01-01T00:00:00Z")), list(range(10)), "from long ago")
    page = read_from(client, topic, now().isoformat())
    expect_equal(values(page), [], "from now")
    client.produce(topic, "new")
    expect_equal(values(client.consume(topic, cursor=page["cursor"])), ["new"], "what comes after now")


@suite.test
def a_cursor_goes_through_all_partitions_once(broker):
    client, topic = filled(broker, 100, partitions=3)
    page = read_from(client, topic, "earliest", limit=7)
    expect_equal(len(page["records"]), 7, "records of a page")
    expect_equal(sorted(rest(client, topic, page, limit=7)), list(range(100)), "all pages")


@suite.test
def the_cursor_of_an_empty_page_waits_for_what_comes(broker):
    client, topic = filled(broker, 10, partitions=2)
    page = read_from(client, topic, "latest")
    client.produce_all(topic, [{"value": f"new {number}", "partition": number % 2} for number in range(4)])
    expect_equal(sorted(rest(client, topic, client.consume(topic, cursor=page["cursor"]))), [f"new {number}" for number in range(4)], "new")


@suite.test
def the_same_cursor_gives_the_same_page_again(broker):
    client, topic = filled(broker, 20)
    cursor = read_from(client, topic, "earliest", limit=5)["cursor"]
    expect_equal([values(client.consume(topic, cursor=cursor, limit=5)) for _ in range(3)], [list(range(5, 10))] * 3, "pages")


@suite.test
def a_cursor_is_good_after_kill_9(broker):
    client, topic = filled(broker, 60, partitions=3)
    page = read_from(client, topic, "earliest", limit=20)
    broker.kill()
    broker.start()
    expect_equal(sorted(rest(broker.api(), topic, page)), list(range(60)), "all pages")


@suite.test
def a_cursor_of_a_pattern_finds_topics_that_were_created_later(broker):
    client, root = broker.api(), fresh("cursor")
    client.create(f"{root}.old", partitions=1)
    client.produce(f"{root}.old", "old")
    page = read_from(client, f"{root}.*", "earliest")
    expect_equal(values(page), ["old"], "the first page")
    client.create(f"{root}.new", partitions=1)
    client.produce(f"{root}.new", "new")
    expect_equal(values(client.consume(f"{root}.*", cursor=page["cursor"])), ["new"], "the next page")


@suite.test
def reading_leases_and_commits_nothing(broker):
    client, topic = filled(broker, 10)
    group = fresh("workers")
    before = client.consume(topic, group=group, limit=5)
    expect_equal([values(read_from(client, topic, "earliest")) for _ in range(2)], [list(range(10))] * 2, "reading twice")
    expect_equal(values(before) + values(client.consume(topic, group=group)), list(range(10)), "what a group gets meanwhile")
    expect_equal(kafka.committed(broker, group, topic), None, "committed")


@suite.test
def a_topic_that_was_made_anew_is_read_from_its_beginning(broker):
    client, topic = filled(broker, 10)
    cursor = read_from(client, topic, "earliest", limit=5)["cursor"]
    client.delete(topic_path(topic))
    client.create(topic, partitions=1)
    for number in range(10):
        client.produce(topic, f"anew {number}")
    expect_equal(rest(client, topic, client.consume(topic, cursor=cursor)), [f"anew {number}" for number in range(10)], "with its cursor")


@suite.test
def reading_may_wait(broker):
    client, topic = filled(broker, 3)
    for query in [{"from": "latest"}, {"cursor": read_from(client, topic, "latest")["cursor"]}]:
        found = []
        waiting = threading.Thread(target=lambda query=query, found=found: found.append(broker.api().consume(topic, wait_ms=WAIT_MS, **query)))
        waiting.start()
        # Nothing tells that the server has begun to wait.
        time.sleep(0.3)
        started_at = time.monotonic()
        client.produce(topic, "woken")
        waiting.join(WAIT_MS / 1000 + 5)
        expect_equal([values(page) for page in found], [["woken"]], f"with {list(query)}")
        if time.monotonic() - started_at > 3:
            raise AssertionError(f"woken {time.monotonic() - started_at:.1f} s after the record was sent")


@suite.test
def an_offset_that_is_gone_is_answered_from_the_first_that_is_there(broker):
    """Retention may delete what a slow reader has not read; it goes on behind the gap rather than fail for ever."""
    client, topic = filled(broker, 20)
    cursor = read_from(client, topic, "earliest", limit=5)["cursor"]
    [deleted] = kafka.admin(broker).delete_records([TopicPartition(topic, 0, 12)]).values()
    deleted.result(30)
    left = list(range(12, 20))
    with all_of() as check:
        check(expect_equal, rest(client, topic, client.consume(topic, cursor=cursor)), left, "with a cursor")
        check(expect_equal, rest(client, topic, read_from(client, topic, 5)), left, "from an offset")
        check(expect_equal, values(client.consume(topic, group=fresh("workers"))), left, "with a new group")
        group = fresh("workers")
        client.commit(topic, group, 0, 3)
        found = eventually(lambda: values(client.consume(topic, group=group)), what="records for a group whose offset is gone")
        check(expect_equal, found, left, "with a group whose offset is gone")


if __name__ == "__main__":
    suite.main()
