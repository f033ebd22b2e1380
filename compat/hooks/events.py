"""Which events arrive, whoever published them: patterns, filters, transactions, what a Kafka client writes; and how far an endpoint is, for Kafka."""

import json
import time

import kafka_client as kafka
from api import expect_error, milliseconds
from receiver import Receiver, Reply
from server import started
from suite import eventually, expect_equal, fresh
from webhooks import BODY_BYTES, SENT_TOPIC, SETTINGS, HookSuite, committed, dead_letters, event, lag, webhooks

suite = HookSuite("webhooks' events")


def made(broker, topic, receiver, partitions=1, **settings):
    """A topic, and an endpoint of its name that gets its events."""
    broker.api().create(topic, partitions=partitions)
    return webhooks(broker).create(topic, receiver.url(), **{"events": [topic], **settings})


def events_of(requests):
    return [event(request) for request in requests]


def expect_last(receiver, last, expected, what):
    """Exactly the expected events have come, in any order, once `last` has; what was sent beside it may come after it."""
    receiver.wait(1, where=lambda request: event(request) == last)
    receiver.wait(1 + len(expected))
    found = sorted(events_of(receiver.requests), key=json.dumps)
    expect_equal(found, sorted([*expected, last], key=json.dumps), what)


@suite.test
def a_delivery_says_what_was_published_where_and_when(broker):
    topic = fresh("whole")
    with Receiver() as receiver:
        made(broker, topic, receiver, partitions=3)
        said = broker.api().produce(topic, {"total": 99.99}, key="order-1", headers={"trace": "abc"}, partition=2)
        [request] = receiver.wait(1)
        body = request.json()
        place = {"topic": topic, "partition": 2, "offset": 0, "key": "order-1", "headers": {"trace": "abc"}}
        expected = {"type": topic, "data": {"total": 99.99}, **place}
        expect_equal({field: body.get(field) for field in expected}, expected, "body")
        expect_equal(milliseconds(body["timestamp"]), milliseconds(said["timestamp"]), "time")
        expect_equal((request.method, request.headers["content-type"]), ("POST", "application/json"), "method and content type")
        expect_equal(request.headers["user-agent"].startswith("fbf-webhooks/"), True, f"user agent {request.headers['user-agent']}")
        signed = ("webhook-id", "webhook-timestamp", "webhook-signature")
        expect_equal([name for name in signed if not request.headers.get(name)], [], "headers that lack")


@suite.test
def kafka_clients_and_http_publish_the_same_events(broker):
    topic = fresh("both")
    with Receiver() as receiver:
        made(broker, topic, receiver)
        broker.api().produce(topic, {"by": "http"})
        broker.api().produce_all(topic, [{"value": {"by": "batch"}}])
        kafka.produce(broker, topic, [b'{"by": "kafka"}'])
        kafka.produce(broker, topic, [b'{"by": "lz4"}'], compression_type="lz4")
        expected = [{"by": by} for by in ("http", "batch", "kafka", "lz4")]
        expect_equal(sorted(events_of(receiver.wait(4)), key=json.dumps), sorted(expected, key=json.dumps), "events")


@suite.test
def what_is_no_json_and_what_is_nothing_arrives_all_the_same(broker):
    topic = fresh("bytes")
    with Receiver() as receiver:
        made(broker, topic, receiver)
        records = [
            {"value": b"\xff\x00"},
            {"value": b"not json"},
            {"value": None, "key": b"tombstone"},
            {"value": b"1", "key": b"\xff", "headers": [("raw", b"\xff"), ("none", None), ("text", b"abc")]},
        ]
        kafka.produce(broker, topic, records)
        bodies = {body["offset"]: body for body in (request.json() for request in receiver.wait(4))}
        found = [bodies[offset]["data"] for offset in range(4)]
        expect_equal(found, [{"$base64": "/wA="}, {"$base64": "bm90IGpzb24="}, None, 1], "data")
        expect_equal([bodies[2]["key"], bodies[3]["key"]], ["tombstone", {"$base64": "/w=="}], "keys")
        expect_equal(bodies[3]["headers"], {"raw": {"$base64": "/w=="}, "none": None, "text": "abc"}, "headers")


@suite.test
def patterns_match_topics_that_are_there_and_those_that_come(broker):
    root = fresh("p")
    cases = {f"{root}.*": {"a"}, f"{root}.**": {"", "a", "a.b", "a.b.z"}, f"{root}.**.z": {"a.b.z"}, f"{root}.a": {"a"}, f"*.{root}": set()}
    names = ["", "a", "a.b", "a.b.z"]
    topics = {name: f"{root}.{name}".rstrip(".") for name in names}
    with Receiver() as receiver:
        client = broker.api()
        client.create(topics["a"])
        for number, pattern in enumerate(cases):
            webhooks(broker).create(f"{root}-{number}", receiver.url(f"/{number}"), events=[pattern])
        for name in names:
            if name != "a":
                client.create(topics[name])
            client.produce(topics[name], name)
        receiver.wait(sum(map(len, cases.values())))
        for number, (pattern, expected) in enumerate(cases.items()):
            found = [event(request) for request in receiver.requests if request.path == f"/{number}"]
            expect_equal(sorted(found), sorted(expected), f"topics for {pattern}")


@suite.test
def an_event_of_two_patterns_arrives_once(broker):
    topic = f"{fresh('twice')}.a"
    with Receiver() as receiver:
        made(broker, topic, receiver, events=[topic, topic.replace(".a", ".*"), topic.replace(".a", ".**")])
        for number in range(5):
            broker.api().produce(topic, number)
        expect_last(receiver, 4, range(4), "events")


@suite.test
def only_what_comes_after_its_creation_reaches_an_endpoint(broker):
    topic = fresh("since")
    client = broker.api()
    client.create(topic, partitions=1)
    client.produce(topic, "before")
    with Receiver() as receiver:
        webhooks(broker).create(topic, receiver.url(), events=[topic])
        client.produce(topic, "after")
        expect_last(receiver, "after", [], "events")


@suite.test
def filters_take_events_by_header(broker):
    topic = fresh("header")
    with Receiver() as receiver:
        made(broker, topic, receiver, filters={"headers": {"region": "eu", "kind": "sale"}})
        both = {"region": "eu", "kind": "sale"}
        for value, headers in [("none", None), ("one", {"region": "eu"}), ("wrong", {**both, "region": "us"}), ("case", {**both, "kind": "Sale"})]:
            broker.api().produce(topic, value, headers=headers or {})
        kafka.produce(broker, topic, [{"value": b'"kafka"', "headers": [("region", b"eu"), ("kind", b"sale")]}])
        broker.api().produce(topic, "last", headers={**both, "more": "x"})
        expect_last(receiver, "last", ["kafka"], "events")


@suite.test
def filters_take_events_by_a_place_in_their_json(broker):
    topic = fresh("pointer")
    wanted = {"/type": "sale", "/order/total": 5, "/items/1": None, "/a~1b/~0": True}
    right = {"type": "sale", "order": {"total": 5}, "items": [1, None], "a/b": {"~": True}}
    with Receiver() as receiver:
        made(broker, topic, receiver, filters={"data": wanted})
        wrong = [
            {},
            [],
            "sale",
            {**right, "type": "Sale"},
            {**right, "order": {"total": "5"}},
            {**right, "order": {"total": 6}},
            {**right, "items": [1]},
            {**right, "items": {"2": None}},
            {**right, "a/b": {"~": 1}},
        ]
        for value in wrong:
            broker.api().produce(topic, value)
        kafka.produce(broker, topic, [b"not json", json.dumps({**right, "n": 1}).encode()])
        broker.api().produce(topic, {**right, "n": 2})
        expect_last(receiver, {**right, "n": 2}, [{**right, "n": 1}], "events")


@suite.test
def a_filter_on_the_whole_value_compares_json_not_text(broker):
    topic = fresh("json")
    with Receiver() as receiver:
        made(broker, topic, receiver, filters={"data": {"": {"a": 1, "b": [2]}}})
        kafka.produce(broker, topic, [b'{"b":[2],"a":1}', b'{"a":1,"b":[2,3]}', b'{ "a" : 1, "b" : [ 2 ] }'])
        expect_equal(sorted(request.json()["offset"] for request in receiver.wait(2)), [0, 2], "offsets")


@suite.test
def what_a_filter_leaves_out_is_settled(broker):
    topic = fresh("left-out")
    with Receiver() as receiver:
        endpoint = made(broker, topic, receiver, filters={"headers": {"never": "there"}})
        for number in range(20):
            broker.api().produce(topic, number)
        eventually(lambda: lag(broker, endpoint, topic) == 0, what="a lag of 0")
        expect_equal(receiver.requests, [], "requests")


@suite.test
def committed_transactions_arrive_and_aborted_ones_do_not(broker):
    topic = fresh("txn")
    with Receiver() as receiver:
        endpoint = made(broker, topic, receiver)
        producer = kafka.transactional_producer(broker, topic)
        kafka.transaction(producer, topic, ["aborted", "aborted, too"], producer.abort_transaction)
        kafka.transaction(producer, topic, ["committed", "committed, too"], producer.commit_transaction)
        kafka.transaction(producer, topic, ["open"], None)
        broker.api().produce(topic, "behind the open one")
        receiver.wait(2)
        expect_equal(sorted(events_of(receiver.requests)), ["committed", "committed, too"], "events while a transaction is open")
        producer.commit_transaction(30)
        expect_last(receiver, "behind the open one", ["committed", "committed, too", "open"], "events after its commit")
        eventually(lambda: lag(broker, endpoint, topic) == 0, what="a lag of 0, markers included")


@suite.test
def what_an_aborted_transaction_wrote_among_others_does_not_arrive(broker):
    topic = fresh("mixed")
    with Receiver() as receiver:
        made(broker, topic, receiver)
        producer = kafka.transactional_producer(broker, topic)
        for number in range(10):
            kafka.transaction(producer, topic, [f"aborted {number}"], None)
            broker.api().produce(topic, f"other {number}")
            producer.abort_transaction(30)
        broker.api().produce(topic, "last")
        expect_last(receiver, "last", [f"other {number}" for number in range(10)], "events")


@suite.test
def kafkas_tools_see_the_lag_of_an_endpoint(broker):
    topic = fresh("lag")
    stopped = [True]
    with Receiver(lambda request: Reply(503, headers={"retry-after": "1"}) if stopped[0] else Reply()) as receiver:
        endpoint = made(broker, topic, receiver, partitions=2)
        for number in range(10):
            broker.api().produce(topic, number, partition=number % 2)
        receiver.wait(1)
        expect_equal(lag(broker, endpoint, topic), 10, "lag while nothing is taken")
        listed = {entry.group_id for entry in kafka.admin(broker).list_consumer_groups().result(30).valid}
        expect_equal(endpoint["group"] in listed, True, "the group is listed")
        stopped[0] = False
        webhooks(broker).disable(topic)
        webhooks(broker).enable(topic)
        eventually(lambda: lag(broker, endpoint, topic) == 0, what="a lag of 0")
        expect_equal(committed(broker, endpoint, topic), {0: 5, 1: 5}, "committed offsets")


@suite.test
def an_endpoint_commits_only_what_is_settled(broker):
    """The first event is not taken: what comes behind it is delivered, and the committed offset stays in front of it."""
    topic = fresh("settled")
    is_bad = [True]
    with Receiver(lambda request: Reply(end="hang") if is_bad[0] and event(request) == 0 else Reply()) as receiver:
        endpoint = made(broker, topic, receiver)
        broker.api().produce_all(topic, [{"value": number} for number in range(10)])
        receiver.wait(9, where=lambda request: event(request) != 0)
        expect_equal(committed(broker, endpoint, topic), {0: 0}, "committed while the first one is not settled")
        is_bad[0] = False
        eventually(lambda: committed(broker, endpoint, topic) == {0: 10}, what="all committed")


@suite.test
def after_kill_9_what_was_not_taken_comes_again_with_the_same_id(broker):
    topic = fresh("killed")
    is_bad = [True]
    # Each holds the endpoint back for a second: they go one by one.
    with Receiver(lambda request: Reply(503, headers={"retry-after": "1"}) if is_bad[0] else Reply()) as receiver:
        endpoint = made(broker, topic, receiver)
        broker.api().produce_all(topic, [{"value": number} for number in range(5)])
        eventually(lambda: len({request.id for request in receiver.requests}) == 5, what="a request for each event")
        ids = {event(request): request.id for request in receiver.requests}
        broker.kill()
        is_bad[0] = False
        count = len(receiver.requests)
        broker.start()
        eventually(lambda: lag(broker, endpoint, topic) == 0, what="a lag of 0")
        again = {event(request): request.id for request in receiver.requests[count:]}
        expect_equal(again, ids, "ids after kill -9")
        expect_equal(len(set(ids.values())), 5, "different ids")


@suite.test
def send_is_an_event_of_a_system_topic(broker):
    name = fresh("sent")
    with Receiver() as receiver:
        hooks = webhooks(broker)
        hooks.create(name, receiver.url(), events=[f"{name}.*"])
        hooks.create(f"{name}-all", receiver.url("/all"), events=["**"])
        said = hooks.send(f"{name}.now", {"n": 1}, endpoints=[name])
        expect_equal([each["status"] for each in said["deliveries"]], ["pending"], "status at once")
        [request] = receiver.wait(1, where=lambda request: request.path == "/in")
        body = request.json()
        expect_equal((body["type"], body["data"], body["event_id"], body["topic"]), (f"{name}.now", {"n": 1}, said["event_id"], SENT_TOPIC), "body")
        expect_equal(request.id, said["deliveries"][0]["delivery_id"], "the id of the delivery")
        [written] = [message for message in kafka.read_all(broker, SENT_TOPIC) if message.key() == said["event_id"].encode()]
        expect_equal(written.value(), b'{"n": 1}', "what Kafka clients find")
        hooks.settled(name, 1)
        expect_equal([request for request in receiver.requests if request.path == "/all"], [], "what a pattern gets of it")
        # Names that are all there, or nothing is sent.
        expect_error(hooks.client.call("POST", "/webhooks", {"event_type": "a", "payload": 1, "endpoints": [name, "nobody"]}), 404, "nobody")
        hooks.delete(f"{name}-all")


@suite.test
def send_refuses_what_makes_no_sense(broker):
    client = broker.api()
    for what, body in [
        ("no event_type", {"payload": 1}),
        ("an empty event_type", {"event_type": "", "payload": 1}),
        ("a number as event_type", {"event_type": 7, "payload": 1}),
        ("a long event_type", {"event_type": "a" * 1000, "payload": 1}),
        ("no payload", {"event_type": "a"}),
        ("endpoints that are no list", {"event_type": "a", "payload": 1, "endpoints": "crm"}),
        ("a list", []),
    ]:
        expect_error(client.call("POST", "/webhooks", body), 400, what=what)


@suite.test
def an_event_that_is_too_large_to_send_is_a_dead_letter_with_that_reason(broker):
    del broker
    with started({**SETTINGS, BODY_BYTES: 10_000}) as small, Receiver() as receiver:
        topic = fresh("large")
        endpoint = made(small, topic, receiver)
        small.api().produce(topic, "x" * 20_000)
        small.api().produce(topic, "small")
        expect_last(receiver, "small", [], "events")
        [letter] = eventually(lambda: dead_letters(small, endpoint), what="the dead letter")
        expect_equal(len(letter.value()), 20_002, "bytes of the dead letter, whole")
        reason = dict(letter.headers())["webhook-last-error"].decode()
        expect_equal("10000" in reason.replace(",", "").replace("_", ""), True, f"{reason!r} names the limit")


@suite.test
def an_event_comes_from_each_of_many_partitions_once(broker):
    topic, count = fresh("many"), 500
    with Receiver() as receiver:
        endpoint = made(broker, topic, receiver, partitions=20)
        broker.api().produce_all(topic, [{"value": number, "partition": number % 20} for number in range(count)])
        receiver.wait(count)
        eventually(lambda: lag(broker, endpoint, topic) == 0, what="a lag of 0")
        expect_equal(sorted(events_of(receiver.requests)), list(range(count)), "events")
        expect_equal(len({request.id for request in receiver.requests}), count, "different ids")


@suite.test
def while_somebody_is_in_the_group_commits_are_tried_again_at_leisure(broker):
    """A member of the group owns its offsets: the endpoint's commits are refused until it has left."""
    del broker
    topic, seconds = fresh("joined"), 2
    with started(SETTINGS) as other, Receiver() as receiver:
        endpoint = made(other, topic, receiver)
        with kafka.Member(other, endpoint["group"], topic):
            other.api().produce(topic, "event")
            receiver.wait(1)
            time.sleep(seconds)
            refused = other.started_log().count("could not be committed")
        # Five times a second at most, with some leeway.
        expect_equal(1 <= refused <= 8 * seconds, True, f"{refused} refused commits in {seconds} s")
        eventually(lambda: lag(other, endpoint, topic) == 0, what="a lag of 0 once the member has left")


if __name__ == "__main__":
    suite.main()
