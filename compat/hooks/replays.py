"""What has become of deliveries, as it is told and counted; deliveries once more, by time, by status or one; and the test event."""

import time

import kafka_client as kafka
from api import all_of, expect_error, moment, now, topic_path
from receiver import Receiver, Reply
from suite import eventually, expect_equal, fresh
from webhooks import ATTEMPTS, HookSuite, dead_letters, event, lag, webhooks

suite = HookSuite("webhooks' deliveries and replays")


def made(broker, topic, receiver, partitions=1, **settings):
    broker.api().create(topic, partitions=partitions)
    return webhooks(broker).create(topic, receiver.url(), **{"events": [topic], **settings})


def odd_fail(request):
    return Reply(500) if event(request) % 2 else Reply()


def rfc3339(at):
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def settled(broker, endpoint, topic):
    eventually(lambda: lag(broker, endpoint, topic) == 0, what="a lag of 0")


@suite.test
def deliveries_are_told_newest_first_with_all_there_is_to_know(broker):
    topic = fresh("told")
    with Receiver(odd_fail) as receiver:
        endpoint = made(broker, topic, receiver)
        hooks = webhooks(broker)
        for number in range(4):
            broker.api().produce(topic, number)
            settled(broker, endpoint, topic)

        def all_four():
            settled_ones = [each for each in hooks.deliveries(topic) if each["status"] != "pending"]
            return settled_ones if len(settled_ones) == 4 else None

        found = eventually(all_four, what="four deliveries")
        expect_equal([each["offset"] for each in found], [3, 2, 1, 0], "offsets, newest first")
        expect_equal([each["status"] for each in found], ["failed", "success", "failed", "success"], "status")
        for each in found:
            failed = each["status"] == "failed"
            expect_equal((each["endpoint_name"], each["event_type"], each["topic"], each["partition"]), (topic, topic, topic, 0), "delivery")
            expect_equal((each["attempts"], each["retry_count"]), (ATTEMPTS, ATTEMPTS - 1) if failed else (1, 0), "attempts and retries")
            expect_equal(each["response_status_code"], 500 if failed else 200, "status code")
            expect_equal(bool(each.get("error_message")), failed, "an error message where it failed")
            expect_equal(each["duration_ms"] >= 0, True, "duration")
            expect_equal(abs((moment(each["created_at"]) - now()).total_seconds()) < 110, True, f"created_at {each['created_at']}")
            expect_equal(hooks.delivery(topic, each["delivery_id"]), each, "the same, asked for alone")
        expect_equal({each["delivery_id"] for each in found}, {request.id for request in receiver.requests}, "delivery_id is the webhook-id")


@suite.test
def created_at_is_when_the_server_saw_an_event_whatever_its_producer_says(broker):
    topic, begun = fresh("dated"), now()
    with Receiver() as receiver:
        made(broker, topic, receiver)
        kafka.produce(broker, topic, [{"value": "1", "timestamp": round(time.time() * 1000) - 24 * 60 * 60 * 1000}])
        [found] = webhooks(broker).settled(topic, 1)
        expect_equal((moment(found["created_at"]) - begun).total_seconds() > -1, True, f"created_at {found['created_at']}, after {begun}")


@suite.test
def deliveries_can_be_asked_for_by_status_type_time_and_number(broker):
    topic = fresh("asked")
    with Receiver(odd_fail) as receiver:
        endpoint = made(broker, topic, receiver, events=[topic, f"{topic}.other"])
        hooks, client = webhooks(broker), broker.api()
        client.create(f"{topic}.other", partitions=1)
        client.produce_all(topic, [{"value": number} for number in range(6)])
        settled(broker, endpoint, topic)
        time.sleep(0.01)
        middle = now()
        time.sleep(0.01)
        client.produce_all(f"{topic}.other", [{"value": number} for number in range(10, 14)])
        settled(broker, endpoint, f"{topic}.other")
        eventually(lambda: not hooks.deliveries(topic, status="pending"), what="no pending deliveries")
        cases = [
            ({}, 10),
            ({"status": "success"}, 5),
            ({"status": "failed"}, 5),
            ({"status": "cancelled"}, 0),
            ({"event_type": topic}, 6),
            ({"event_type": f"{topic}.other"}, 4),
            ({"event_type": "nothing"}, 0),
            ({"to": rfc3339(middle)}, 6),
            ({"from": rfc3339(middle)}, 4),
            ({"from": rfc3339(middle), "status": "failed"}, 2),
            ({"limit": 3}, 3),
        ]
        with all_of() as check:
            for query, count in cases:
                check(expect_equal, len(hooks.deliveries(topic, **query)), count, f"deliveries with {query}")
            for query in [{"status": "lost"}, {"limit": 0}, {"limit": -1}, {"limit": "many"}, {"from": "yesterday"}]:
                check(expect_error, hooks.call("GET", topic, "/deliveries", query=query), 400, next(iter(query)), what=f"{query}")


@suite.test
def what_will_not_be_sent_any_more_is_cancelled(broker):
    """A delivery that waits for another attempt: its topic is deleted, its endpoint does not want it any more, or its group is moved past it."""
    hooks, client = webhooks(broker), broker.api()
    for what, change in [
        ("deleted", lambda endpoint, topic: client.delete(topic_path(topic))),
        ("unwanted", lambda endpoint, topic: hooks.update(topic, events=[])),
        ("moved", lambda endpoint, topic: client.commit(topic, endpoint["group"], 0, 2)),
    ]:
        topic = fresh(what)
        # The receiver is left alone from then on: the others are not tried.
        with Receiver(lambda request: Reply(503, headers={"retry-after": "600"})) as receiver:
            endpoint = made(broker, topic, receiver)
            client.produce_all(topic, [{"value": number} for number in range(3)])
            [pending] = hooks.settled(topic, 1, "pending")
            expect_equal((pending["offset"], pending["attempts"]), (0, 1), f"what is pending, {what}")
            change(endpoint, topic)
            [cancelled] = hooks.settled(topic, 1, "cancelled")
            expect_equal(cancelled["delivery_id"], pending["delivery_id"], f"what is cancelled, {what}")
            expect_equal((bool(cancelled["error_message"]), cancelled.get("next_attempt_at")), (True, None), f"reason and next attempt, {what}")
            expect_equal(len(receiver.requests), 1, f"requests, {what}")
            hooks.delete(topic)


@suite.test
def what_the_filters_do_not_take_any_more_is_cancelled(broker):
    """An event that was noted as pending when it was sent, and is not taken when the endpoint comes to it."""
    hooks, name = webhooks(broker), fresh("filtered")
    with Receiver() as receiver:
        hooks.create(name, receiver.url(), events=[])
        hooks.disable(name)
        hooks.send("order.paid", {"total": 1}, endpoints=[name])
        [pending] = hooks.settled(name, 1, "pending")
        hooks.update(name, filters={"data": {"/total": 2}})
        hooks.enable(name)
        [cancelled] = hooks.settled(name, 1, "cancelled")
        expect_equal((cancelled["delivery_id"], cancelled["attempts"]), (pending["delivery_id"], 0), "what is cancelled")
        expect_equal((bool(cancelled["error_message"]), len(receiver.requests)), (True, 0), "reason, and requests")


@suite.test
def deliveries_are_still_told_after_kill_9(broker):
    topic = fresh("kept")
    with Receiver(odd_fail) as receiver:
        endpoint = made(broker, topic, receiver)
        hooks = webhooks(broker)
        broker.api().produce_all(topic, [{"value": number} for number in range(4)])
        settled(broker, endpoint, topic)
        before = {each["delivery_id"]: each["status"] for each in hooks.deliveries(topic)}
        broker.kill()
        broker.start()
        hooks.client.close()
        after = {each["delivery_id"]: each["status"] for each in hooks.deliveries(topic)}
        # What is told may be a little behind what is settled; it is never wrong.
        others = {each: (before.get(each), status) for each, status in after.items() if "pending" not in (before.get(each), status) and before.get(each) != status}
        expect_equal(others, {}, "another status than before")
        expect_equal(len(after) > 0, True, "deliveries after kill -9")


@suite.test
def statistics_count_by_endpoint(broker):
    topic = fresh("counted")
    with Receiver(odd_fail) as receiver:
        endpoint = made(broker, topic, receiver)
        broker.api().produce_all(topic, [{"value": number} for number in range(8)])
        settled(broker, endpoint, topic)
        webhooks(broker).settled(topic, 4, "failed")
        found = webhooks(broker).stats()
        each = found["by_endpoint"][topic]
        expect_equal((each["deliveries"], each["successful"], each["failed"], each["success_rate"]), (8, 4, 4, 0.5), "of the endpoint")
        expect_equal(each["avg_duration_ms"] >= 0, True, "average duration")
        expect_equal(found["total_deliveries"] >= found["successful_deliveries"] + found["failed_deliveries"] >= 8, True, "of all")
        expect_equal(0 <= found["success_rate"] <= 1, True, "success rate of all")


@suite.test
def one_delivery_is_sent_once_more_with_its_own_id(broker):
    topic = fresh("one")
    with Receiver() as receiver:
        endpoint = made(broker, topic, receiver)
        broker.api().produce_all(topic, [{"value": number} for number in range(5)])
        settled(broker, endpoint, topic)
        [asked] = [request for request in receiver.requests if event(request) == 2]
        expect_equal(webhooks(broker).replay(topic, delivery_id=asked.id)["events"], 1, "events that are sent again")
        again = receiver.wait(6)[5]
        expect_equal((again.id, again.body), (asked.id, asked.body), "id and body")
        settled(broker, endpoint, topic)
        expect_equal(len(receiver.requests), 6, "requests")


@suite.test
def what_has_failed_is_sent_once_more_and_may_succeed(broker):
    topic = fresh("failed")
    is_bad = [True]
    with Receiver(lambda request: odd_fail(request) if is_bad[0] else Reply()) as receiver:
        endpoint = made(broker, topic, receiver)
        hooks = webhooks(broker)
        broker.api().produce_all(topic, [{"value": number} for number in range(6)])
        hooks.settled(topic, 3, "failed")
        eventually(lambda: len(dead_letters(broker, endpoint)) == 3, what="three dead letters")
        is_bad[0] = False
        count = len(receiver.requests)
        hooks.replay(topic, status="failed")
        receiver.wait(count + 3)
        eventually(lambda: not hooks.deliveries(topic, status="failed"), what="no failed deliveries")
        expect_equal(sorted(event(request) for request in receiver.requests[count:]), [1, 3, 5], "events that came again")
        expect_equal(len(dead_letters(broker, endpoint)), 3, "dead letters: what is written stays")


@suite.test
def a_range_of_time_is_sent_once_more(broker):
    topic = fresh("range")
    with Receiver() as receiver:
        endpoint = made(broker, topic, receiver, partitions=3)
        hooks, client = webhooks(broker), broker.api()
        borders = []
        for batch in range(3):
            borders.append(rfc3339(now()))
            time.sleep(0.02)
            client.produce_all(topic, [{"value": f"{batch}.{partition}", "partition": partition} for partition in range(3)])
            time.sleep(0.02)
        settled(broker, endpoint, topic)
        ids = {event(request): request.id for request in receiver.requests}
        count = len(receiver.requests)
        hooks.replay(topic, **{"from": borders[1], "to": borders[2]})
        receiver.wait(count + 3)
        settled(broker, endpoint, topic)
        again = receiver.requests[count:]
        expect_equal(sorted(event(request) for request in again), ["1.0", "1.1", "1.2"], "events of the range")
        expect_equal({event(request): request.id for request in again}, {name: ids[name] for name in ("1.0", "1.1", "1.2")}, "their ids")
        count = len(receiver.requests)
        hooks.replay(topic, **{"from": borders[1]})
        receiver.wait(count + 6)
        client.produce(topic, "last")
        receiver.wait(1, where=lambda request: event(request) == "last")


@suite.test
def a_replay_reads_what_was_published_before_the_endpoint(broker):
    topic = fresh("before")
    client = broker.api()
    client.create(topic, partitions=1)
    start = rfc3339(now())
    client.produce(topic, "old")
    with Receiver() as receiver:
        hooks = webhooks(broker)
        hooks.create(topic, receiver.url(), events=[topic])
        hooks.replay(topic, **{"from": start})
        [request] = receiver.wait(1)
        expect_equal(event(request), "old", "event")


@suite.test
def a_replay_goes_on_after_kill_9(broker):
    topic, count = fresh("killed"), 200
    with Receiver(lambda request: Reply(seconds=0.02)) as receiver:
        endpoint = made(broker, topic, receiver, concurrency=2)
        hooks = webhooks(broker)
        start = rfc3339(now())
        time.sleep(0.01)
        broker.api().produce_all(topic, [{"value": number} for number in range(count)])
        settled(broker, endpoint, topic)
        first = len(receiver.requests)
        hooks.replay(topic, **{"from": start})
        receiver.wait(first + 20)
        broker.kill()
        broker.start()
        eventually(lambda: len({event(request) for request in receiver.requests[first:]}) == count, 60, "every event once more")


@suite.test
def what_cannot_be_replayed_is_refused(broker):
    hooks, name = webhooks(broker), fresh("refused")
    hooks.create(name, "http://127.0.0.1:2/in")
    with all_of() as check:
        for what, body in [
            ("nothing", {}),
            ("two ways at once", {"status": "failed", "from": rfc3339(now())}),
            ("an unknown status", {"status": "lost"}),
            ("what is pending", {"status": "pending"}),
            ("no time", {"from": "yesterday"}),
            ("a range that ends before it begins", {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}),
            ("a field that is unknown", {"since": rfc3339(now())}),
            ("a list", []),
        ]:
            check(expect_error, hooks.call("POST", name, "/replay", body), 400, what=what)
        check(expect_error, hooks.call("POST", name, "/replay", {"delivery_id": "msg_none"}), 404, "msg_none", what="a delivery that is not there")


@suite.test
def a_test_event_is_sent_at_once_and_says_what_came_of_it(broker):
    name = fresh("test")
    replies = [Reply(body=b"thanks")]
    with Receiver(lambda request: replies[0]) as receiver:
        hooks = webhooks(broker)
        hooks.create(name, receiver.url())
        found = hooks.test(name)
        expect_equal((found["status"], found["response_status_code"], found["attempts"]), ("success", 200, 1), "outcome")
        expect_equal((receiver.requests[0].json()["type"], receiver.requests[0].id), ("webhook.test", found["delivery_id"]), "what arrived")
        hooks.test(name, event_type="order.placed", payload={"n": 1})
        expect_equal((receiver.requests[1].json()["type"], event(receiver.requests[1])), ("order.placed", {"n": 1}), "of one's own")
        replies[0] = Reply(500, body=b"no")
        found = hooks.test(name)
        expect_equal((found["status"], found["response_status_code"], found["attempts"]), ("failed", 500, 1), "outcome of a failure")
        replies[0] = Reply(410)
        hooks.test(name)
        expect_equal(len(receiver.requests), 4, "requests: a test is never retried")


if __name__ == "__main__":
    suite.main()
