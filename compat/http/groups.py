"""Consuming with a group: leases that share the work, commits that never skip what somebody else still holds, and offsets that are Kafka's.

A lease is short here, so that waiting for its end costs little; nothing waits for anything else.
"""

import threading
import time

import kafka_client as kafka
from api import all_of, expect_error, now, topic_path
from server import HttpSuite
from suite import eventually, expect_equal, fresh

LEASE_MS = 4000
LIMIT_MAX = 150
WAIT_MS_MAX = 20_000
# Long enough to be waiting for sure, and short beside every time-out here.
MOMENT_SECONDS = 0.3

suite = HttpSuite(
    "http groups",
    settings={"http.consume_lease_ms": LEASE_MS, "http.consume_limit_max": LIMIT_MAX, "http.wait_ms_max": WAIT_MS_MAX},
)


def filled(broker, count, partitions=1):
    """(client, topic, group): a topic with the numbers below `count` in turn over its partitions, and a group that nobody has used."""
    client, topic = broker.api(), fresh("work")
    client.create(topic, partitions=partitions)
    for start in range(0, count, 10_000):
        numbers = range(start, min(start + 10_000, count))
        client.produce_all(topic, [{"value": number, "partition": number % partitions} for number in numbers])
    return client, topic, fresh("workers")


def values(page):
    return [record["value"] for record in page["records"]]


def span(start, end):
    return list(range(start, end))


def committed(broker, group, topic, partition=0):
    """As every Kafka tool sees it; no offset at all is as good as 0."""
    return kafka.committed(broker, group, topic, partition) or 0


@suite.test
def bad_questions_are_400(broker):
    client, topic, group = filled(broker, 1)
    bad = {
        "neither group nor from nor cursor": {},
        "an empty group": {"group": ""},
        "group and from": {"group": group, "from": "earliest"},
        "group and cursor": {"group": group, "cursor": client.consume(topic, **{"from": "latest"})["cursor"]},
        "limit 0": {"group": group, "limit": 0},
        "limit below zero": {"group": group, "limit": -1},
        "limit in words": {"group": group, "limit": "many"},
        "wait_ms below zero": {"group": group, "wait_ms": -1},
        "wait_ms in words": {"group": group, "wait_ms": "long"},
        "auto_commit maybe": {"group": group, "auto_commit": "maybe"},
        "partition in words": {"group": group, "partition": "first"},
        "partition below zero": {"group": group, "partition": -1},
    }
    with all_of() as check:
        for what, query in bad.items():
            check(expect_error, client.call("GET", f"{topic_path(topic)}/consume", query=query), 400, what=what)
    answer = client.call("GET", f"{topic_path(topic)}/consume", query={"group": group, "partition": 7})
    if answer.status not in (400, 404):
        raise AssertionError(f"a partition that the topic does not have: status {answer.status}")
    expect_equal(values(client.consume(topic, group=group)), [0], "what a good question gets: no bad one has taken it")


@suite.test
def bad_commits_are_400_and_commit_nothing(broker):
    client, topic, group = filled(broker, 10)
    good = {"group": group, "partition": 0, "offset": 5}
    bad = {
        "no group": {**good, "group": None},
        "an empty group": {**good, "group": ""},
        "no partition": {"group": group, "offset": 5},
        "no offset": {"group": group, "partition": 0},
        "an offset below zero": {**good, "offset": -1},
        "an offset as text": {**good, "offset": "5"},
        "a partition as text": {**good, "partition": "0"},
        "half an offset": {**good, "offset": 1.5},
    }
    with all_of() as check:
        for what, body in bad.items():
            check(expect_error, client.call("POST", f"{topic_path(topic)}/offsets", body), 400, what=what)
    answer = client.call("POST", f"{topic_path(topic)}/offsets", {**good, "partition": 7})
    if answer.status not in (400, 404):
        raise AssertionError(f"a partition that the topic does not have: status {answer.status}")
    expect_equal(kafka.committed(broker, group, topic), None, "committed")
    done = client.call("POST", f"{topic_path(topic)}/offsets", good)
    expect_equal((done.status, done.body), (204, b""), "status and body of a good one")


@suite.test
def bad_resets_are_400_and_reset_nothing(broker):
    client, topic, group = filled(broker, 10)
    client.commit(topic, group, 0, 7)
    bad = {
        "no place": {},
        "a place that is none": {"to": "the middle"},
        "an offset below zero": {"to": -1},
        "half an offset": {"to": 1.5},
        "a time without its zone": {"to": "2026-01-01T00:00:00"},
        "a partition in words": {"to": "earliest", "partition": "first"},
    }
    with all_of() as check:
        for what, body in bad.items():
            check(expect_error, client.call("POST", f"{topic_path(topic)}/groups/{group}/reset", body), 400, what=what)
    answer = client.call("POST", f"{topic_path(topic)}/groups/{group}/reset", {"to": "earliest", "partition": 7})
    if answer.status not in (400, 404):
        raise AssertionError(f"a partition that the topic does not have: status {answer.status}")
    expect_equal(committed(broker, group, topic), 7, "committed")


@suite.test
def a_new_group_begins_at_the_earliest_record_and_a_poll_loop_advances(broker):
    client, topic, group = filled(broker, 60)
    pages = [client.consume(topic, group=group, limit=25) for _ in range(4)]
    expect_equal([values(page) for page in pages], [span(0, 25), span(25, 50), span(50, 60), []], "pages")
    expect_equal([page["next_offset"] for page in pages[:3]], [25, 50, 60], "next_offset")
    expect_equal([page["next_offsets"] for page in pages[:3]], [{topic: {"0": end}} for end in (25, 50, 60)], "next_offsets")
    expect_equal(type(pages[3]["next_offset"]), int, "type of next_offset without records")
    expect_equal([record["offset"] for record in pages[1]["records"]], span(25, 50), "offsets")


@suite.test
def one_page_may_hold_several_partitions_each_in_order(broker):
    client, topic, group = filled(broker, 90, partitions=3)
    seen = []
    while page := client.consume(topic, group=group, limit=40)["records"]:
        seen += page
    expect_equal(sorted(record["value"] for record in seen), span(0, 90), "values")
    for partition in range(3):
        offsets = [record["offset"] for record in seen if record["partition"] == partition]
        expect_equal(offsets, span(0, 30), f"offsets of partition {partition} in the order they came")


@suite.test
def next_offset_belongs_to_the_last_record_and_next_offsets_to_every_partition(broker):
    client, topic, group = filled(broker, 90, partitions=3)
    page = client.consume(topic, group=group)
    last = page["records"][-1]
    expect_equal(page["next_offset"], last["offset"] + 1, "next_offset")
    expected = {}
    for record in page["records"]:
        expected[str(record["partition"])] = record["offset"] + 1
    expect_equal(page["next_offsets"], {topic: expected}, "next_offsets")


@suite.test
def limit_is_100_unless_asked_and_cut_at_the_maximum(broker):
    client, topic, group = filled(broker, 400)
    expect_equal(len(client.consume(topic, group=group)["records"]), 100, "records without a limit")
    expect_equal(len(client.consume(topic, group=group, limit=1)["records"]), 1, "records with limit 1")
    expect_equal(len(client.consume(topic, group=group, limit=100_000)["records"]), LIMIT_MAX, "records above the maximum")


@suite.test
def a_partition_can_be_asked_for_alone(broker):
    client, topic, group = filled(broker, 40, partitions=4)
    page = client.consume(topic, group=group, partition=2)
    expect_equal((values(page), page["next_offset"]), (list(range(2, 40, 4)), 10), "partition 2")
    rest = client.consume(topic, group=group)
    expect_equal(sorted(values(rest)), [number for number in range(40) if number % 4 != 2], "the rest")


@suite.test
def callers_at_the_same_time_share_the_records(broker):
    _, topic, group = filled(broker, 2000, partitions=2)
    shares = [[] for _ in range(4)]

    def work(share):
        client = broker.api()
        while page := client.consume(topic, group=group, limit=10)["records"]:
            share += [record["value"] for record in page]
            for partition in {record["partition"] for record in page}:
                client.commit(topic, group, partition, max(record["offset"] for record in page if record["partition"] == partition) + 1)

    workers = [threading.Thread(target=work, args=(share,), daemon=True) for share in shares]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    expect_equal(sorted(sum(shares, [])), span(0, 2000), "what all have got together: everything, nothing twice")
    if not all(shares):
        raise AssertionError(f"somebody got nothing: {[len(share) for share in shares]}")
    expect_equal([committed(broker, group, topic, partition) for partition in (0, 1)], [1000, 1000], "committed")


@suite.test
def a_dead_callers_share_comes_again_after_the_lease_and_only_that(broker):
    client, topic, group = filled(broker, 30)
    expect_equal(values(client.consume(topic, group=group, limit=10, worker="dead")), span(0, 10), "the dead one's")
    expect_equal(values(client.consume(topic, group=group, limit=20, worker="living")), span(10, 30), "the living one's")
    client.commit(topic, group, 0, 30, worker="living")
    expect_equal(values(client.consume(topic, group=group)), [], "while both leases last")
    again = eventually(lambda: values(client.consume(topic, group=group, worker="living")), what="the dead one's share")
    expect_equal(again, span(0, 10), "what comes again")
    client.commit(topic, group, 0, 10, worker="living")
    expect_equal(committed(broker, group, topic), 30, "committed when all is done")


@suite.test
def a_waiting_caller_gets_a_share_whose_lease_ends(broker):
    client, topic, group = filled(broker, 10)
    client.consume(topic, group=group)
    started_at = time.monotonic()
    expect_equal(values(client.consume(topic, group=group, wait_ms=WAIT_MS_MAX)), span(0, 10), "what comes again")
    if time.monotonic() - started_at > WAIT_MS_MAX / 2000:
        raise AssertionError(f"it came {time.monotonic() - started_at:.1f} s later, with a lease of {LEASE_MS} ms")


@suite.test
def a_commit_never_skips_an_earlier_page_that_somebody_holds(broker):
    client, topic, group = filled(broker, 30)
    for _ in range(3):
        client.consume(topic, group=group, limit=10)
    client.commit(topic, group, 0, 20)
    expect_equal(committed(broker, group, topic), 0, "after the second page's commit")
    client.commit(topic, group, 0, 30)
    expect_equal(committed(broker, group, topic), 0, "after the third page's, too")
    client.commit(topic, group, 0, 10)
    expect_equal(committed(broker, group, topic), 30, "after the first page's")


@suite.test
def what_a_dead_caller_held_survives_kill_9_although_others_committed_further_ahead(broker):
    client, topic, group = filled(broker, 30)
    client.consume(topic, group=group, limit=10)
    client.consume(topic, group=group, limit=10)
    client.commit(topic, group, 0, 20)
    broker.kill()
    broker.start()
    client = broker.api()
    seen = set()
    # The second page may come again with the first: at least once.
    while found := values(client.consume(topic, group=group)):
        seen.update(found)
    expect_equal(sorted(seen - set(span(10, 20))), span(0, 10) + span(20, 30), "records that nobody had committed")


@suite.test
def what_was_committed_does_not_come_again_after_kill_9(broker):
    client, topic, group = filled(broker, 30)
    client.commit(topic, group, 0, client.consume(topic, group=group, limit=20)["next_offset"])
    broker.kill()
    broker.start()
    expect_equal(values(broker.api().consume(topic, group=group)), span(20, 30), "the next page")


@suite.test
def half_a_page_can_be_committed_and_the_other_half_comes_again(broker):
    client, topic, group = filled(broker, 10)
    client.consume(topic, group=group)
    client.commit(topic, group, 0, 5)
    expect_equal(committed(broker, group, topic), 5, "committed")
    expect_equal(eventually(lambda: values(client.consume(topic, group=group)), what="the other half"), span(5, 10), "what comes again")


@suite.test
def a_worker_commits_all_its_pages_at_once_and_nobody_elses(broker):
    client, topic, group = filled(broker, 40)
    for worker in ["a", "b", "a", "a"]:
        client.consume(topic, group=group, limit=10, worker=worker)
    client.commit(topic, group, 0, 40, worker="a")
    expect_equal(committed(broker, group, topic), 10, "the page of b is still held")
    again = eventually(lambda: values(client.consume(topic, group=group, worker="a")), what="the page of b")
    expect_equal(again, span(10, 20), "what comes again")
    client.commit(topic, group, 0, 20, worker="a")
    expect_equal(committed(broker, group, topic), 40, "committed at the end")


@suite.test
def auto_commit_commits_what_the_same_worker_got_before(broker):
    client, topic, group = filled(broker, 40)

    def next_page(**who):
        return values(client.consume(topic, group=group, limit=10, auto_commit=True, **who))

    expect_equal(next_page(worker="a"), span(0, 10), "a's first page")
    expect_equal(committed(broker, group, topic), 0, "nothing is committed by the first call")
    expect_equal(next_page(worker="a"), span(10, 20), "a's second page")
    expect_equal(committed(broker, group, topic), 10, "a's first page is committed by its second call")
    expect_equal(next_page(), span(20, 30), "a page of somebody without a name")
    expect_equal(next_page(), span(30, 40), "and another")
    expect_equal(committed(broker, group, topic), 10, "a's second page is held while others go on")
    expect_equal(next_page(worker="a"), [], "a's third page")
    expect_equal(committed(broker, group, topic), 30, "up to the page that is held still")
    expect_equal(next_page(), [], "the last call")
    expect_equal(committed(broker, group, topic), 40, "at the end")


@suite.test
def without_leases_a_commit_sets_the_offset_as_it_is(broker):
    client, topic, group = filled(broker, 10)
    for offset in [7, 3]:
        client.commit(topic, group, 0, offset)
        expect_equal(kafka.committed(broker, group, topic), offset, "committed")
    expect_equal(values(client.consume(topic, group=group)), span(3, 10), "where the group goes on")


@suite.test
def groups_do_not_know_of_each_other(broker):
    client, topic, group = filled(broker, 10)
    expect_equal([values(client.consume(topic, group=name)) for name in (group, fresh("others"))], [span(0, 10)] * 2, "pages")


@suite.test
def a_waiting_caller_is_woken_by_http_and_by_kafka(broker):
    client, topic, group = filled(broker, 0)
    for number, write in enumerate([lambda: client.produce(topic, 0), lambda: kafka.produce(broker, topic, ["1"])]):
        found = []
        waiting = threading.Thread(target=lambda found=found: found.append(broker.api().consume(topic, group=group, wait_ms=WAIT_MS_MAX)))
        waiting.start()
        # Nothing tells that the server has begun to wait.
        time.sleep(MOMENT_SECONDS)
        started_at = time.monotonic()
        write()
        waiting.join(WAIT_MS_MAX / 1000 + 5)
        expect_equal([values(page) for page in found], [[number]], "what the caller got")
        if time.monotonic() - started_at > 3:
            raise AssertionError(f"it was woken {time.monotonic() - started_at:.1f} s after the record was sent")


@suite.test
def waiting_ends_in_time_with_an_empty_page(broker):
    client, topic, group = filled(broker, 0)
    started_at = time.monotonic()
    page = client.consume(topic, group=group, wait_ms=800)
    waited = time.monotonic() - started_at
    expect_equal(page["records"], [], "records")
    if not 0.75 < waited < 4:
        raise AssertionError(f"waited {waited:.1f} s, asked for 0.8 s")
    started_at = time.monotonic()
    client.consume(topic, group=group)
    if time.monotonic() - started_at > 0.7:
        raise AssertionError(f"without wait_ms the answer took {time.monotonic() - started_at:.1f} s")


@suite.test
def a_caller_that_hangs_up_while_waiting_takes_nothing(broker):
    client, topic, group = filled(broker, 0)
    impatient = broker.api(seconds=MOMENT_SECONDS)
    try:
        impatient.consume(topic, group=group, wait_ms=WAIT_MS_MAX)
    except TimeoutError:
        impatient.close()
    started_at = time.monotonic()
    client.produce(topic, "for the living")
    expect_equal(eventually(lambda: values(client.consume(topic, group=group)), what="the record"), ["for the living"])
    if time.monotonic() - started_at > LEASE_MS / 2000:
        raise AssertionError("the record was leased to a caller that was gone")


@suite.test
def patterns_take_words_between_dots(broker):
    client, group = broker.api(), fresh("workers")
    root, end = fresh("p"), fresh("failed")
    names = [f"{root}.placed", f"{root}.paid", f"{root}.paid.late", f"{root}x.placed", f"{root}.a.b.{end}", f"a.{end}", f"{root}.{end}.not"]
    for name in names:
        client.create(name, partitions=2)
        client.produce(name, name)

    def found(pattern):
        return sorted({record["topic"] for record in client.consume(pattern, limit=LIMIT_MAX, **{"from": "earliest"})["records"]})

    expect_equal(found(f"{root}.*"), sorted(names[:2]), "* at the end")
    expect_equal(found(f"{root}.*.late"), [names[2]], "* in the middle")
    expect_equal(found(f"*.{end}"), [names[5]], "* at the beginning")
    expect_equal(found(f"**.{end}"), sorted(names[4:6]), "** at the beginning")
    expect_equal(found(f"{root}.**"), sorted([*names[:3], names[4], names[6]]), "** at the end")
    expect_equal(found(f"{root}.**.{end}"), [names[4]], "** in the middle")
    expect_equal(found(f"{root}.*.*.{end}"), [names[4]], "* twice")
    expect_equal(found(f"{fresh('nothing')}.*"), [], "a pattern that no topic matches")
    # The star as it is, for those who type URLs by hand.
    page = client.get(f"/topics/{root}.*/consume", group=group)
    expect_equal(sorted(values(page)), sorted(names[:2]), "a group, and the pattern without percent signs")
    expect_equal(page["next_offsets"].keys(), set(names[:2]), "topics of next_offsets")
    for record in page["records"]:
        client.commit(record["topic"], group, record["partition"], record["offset"] + 1)
        expect_equal(committed(broker, group, record["topic"], record["partition"]), 1, f"committed for {record['topic']}")


@suite.test
def a_group_that_waits_on_a_pattern_gets_a_topic_that_is_created_then(broker):
    client, group, root = broker.api(), fresh("workers"), fresh("later")
    found = []
    waiting = threading.Thread(target=lambda: found.append(broker.api().consume(f"{root}.*", group=group, wait_ms=WAIT_MS_MAX)))
    waiting.start()
    time.sleep(MOMENT_SECONDS)
    started_at = time.monotonic()
    topic = kafka.create(broker, f"{root}.made", 1)
    client.produce(topic, "first of a new topic")
    waiting.join(WAIT_MS_MAX / 1000 + 5)
    expect_equal([(record["topic"], record["value"]) for page in found for record in page["records"]], [(topic, "first of a new topic")])
    if time.monotonic() - started_at > 5:
        raise AssertionError(f"it came {time.monotonic() - started_at:.1f} s after it was sent")


@suite.test
def callers_share_a_pattern_too(broker):
    client, group, root = broker.api(), fresh("workers"), fresh("shared")
    for name in ["a", "b", "c"]:
        client.create(f"{root}.{name}", partitions=1)
        client.produce_all(f"{root}.{name}", [{"value": f"{name}{number}"} for number in range(20)])
    pages = [values(client.consume(f"{root}.*", group=group, limit=15, worker=str(number))) for number in range(5)]
    expected = sorted(f"{name}{number}" for name in "abc" for number in range(20))
    expect_equal(sorted(sum(pages, [])), expected, "everything once, over five callers")


@suite.test
def reset_moves_a_group_and_ends_its_leases(broker):
    client, topic, group = filled(broker, 30)
    client.consume(topic, group=group, limit=20)
    expect_equal(client.reset(topic, group, "earliest"), {topic: {"0": 0}}, "to earliest")
    expect_equal(values(client.consume(topic, group=group, limit=5)), span(0, 5), "what comes at once: leases do not hold it")
    client.commit(topic, group, 0, 20)
    expect_equal(committed(broker, group, topic), 0, "committed, by who was handed 0 to 19 before the reset")
    for to, offset in [("latest", 30), (12, 12), ("1970-01-01T00:00:00Z", 0)]:
        expect_equal(client.reset(topic, group, to), {topic: {"0": offset}}, f"to {to}")
        expect_equal(kafka.committed(broker, group, topic), offset, f"committed after a reset to {to}")
    client.reset(topic, group, 12)
    expect_equal(values(client.consume(topic, group=group, limit=5)), span(12, 17), "after a reset to 12")


@suite.test
def reset_to_a_time_finds_the_first_record_of_it(broker):
    client, topic, group = filled(broker, 0)
    kafka.produce(broker, topic, [{"value": str(number), "timestamp": 1_700_000_000_000 + number * 1000} for number in range(10)])
    expect_equal(client.reset(topic, group, "2023-11-14T22:13:24.500Z"), {topic: {"0": 5}}, "in UTC")
    expect_equal(client.reset(topic, group, "2023-11-14T23:13:24+01:00"), {topic: {"0": 4}}, "in another zone")
    expect_equal(client.reset(topic, group, now().isoformat()), {topic: {"0": 10}}, "a time behind the last record")


@suite.test
def reset_of_one_partition_or_a_pattern_is_just_that(broker):
    client, topic, group = filled(broker, 40, partitions=2)
    client.reset(topic, group, "latest")
    expect_equal(client.reset(topic, group, 3, partition=1), {topic: {"1": 3}}, "answer")
    expect_equal([committed(broker, group, topic, partition) for partition in (0, 1)], [20, 3], "committed")
    root = fresh("reset")
    for name in ["a", "b"]:
        client.create(f"{root}.{name}", partitions=1)
        client.produce(f"{root}.{name}", 1)
    expect_equal(client.reset(f"{root}.*", group, "latest"), {f"{root}.{name}": {"0": 1} for name in ["a", "b"]}, "of a pattern")


@suite.test
def a_deleted_and_recreated_topic_is_read_from_its_start(broker):
    client, topic, group = filled(broker, 20)
    client.commit(topic, group, 0, client.consume(topic, group=group, limit=10)["next_offset"])
    client.consume(topic, group=group)
    client.delete(topic_path(topic))
    client.create(topic, partitions=1)
    client.produce(topic, "new")
    expect_equal(values(client.consume(topic, group=group)), ["new"], "the first page")


if __name__ == "__main__":
    suite.main()
