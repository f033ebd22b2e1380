"""What the receiver's answer leads to: retries, Retry-After, 410, redirects, time-outs, dead letters with their reason, and order per key."""

import collections
import time

import kafka_client as kafka
from api import moment
from receiver import CUT, HANG, RESET, Receiver, Reply, wrong_certificate
from server import started
from suite import eventually, expect_equal, fresh
from webhooks import (
    ATTEMPTS,
    DEAD_LETTER_TOPIC,
    LETTER_HEADERS,
    RETRY_SCHEDULE_MS,
    SETTINGS,
    TIMEOUT_MS,
    HookSuite,
    dead_letters,
    event,
    header,
    lag,
    webhooks,
)

# Jitter takes a fifth of a pause at most; the rest is for the time between an answer and the moment at which it is read.
JITTER_MIN = 0.7
MIB = 1 << 20

suite = HookSuite("webhooks' answers")


def made(broker, topic, receiver, partitions=1, **settings):
    broker.api().create(topic, partitions=partitions)
    return webhooks(broker).create(topic, receiver.url(), **{"events": [topic], **settings})


@suite.test
def every_2xx_is_success(broker):
    with Receiver(lambda request: Reply(event(request))) as receiver:
        topic = fresh("success")
        endpoint = made(broker, topic, receiver)
        statuses = [200, 201, 202, 204, 206, 299]
        broker.api().produce_all(topic, [{"value": status} for status in statuses])
        found = webhooks(broker).settled(topic, len(statuses))
        expect_equal(sorted(each["response_status_code"] for each in found), statuses, "status codes")
        expect_equal([each["attempts"] for each in found], [1] * len(statuses), "attempts")
        expect_equal(len(receiver.requests), len(statuses), "requests")
        eventually(lambda: lag(broker, endpoint, topic) == 0, what="a lag of 0")


@suite.test
def everything_else_is_tried_again_and_then_a_dead_letter(broker):
    """Connections that break and answers that never come count as much as a status."""
    topic = fresh("refused")
    bad = {
        **{str(status): Reply(status, body=f"because {status}".encode()) for status in (300, 304, 400, 401, 403, 404, 409, 422, 500, 502, 503, 504)},
        **{"reset": Reply(end=RESET), "hang": Reply(end=HANG)},
    }
    with Receiver(lambda request: bad[event(request)]) as receiver:
        endpoint = made(broker, topic, receiver)
        broker.api().produce_all(topic, [{"value": name, "key": name, "headers": {"own": name}} for name in bad])
        letters = eventually(lambda: found if len(found := dead_letters(broker, endpoint)) >= len(bad) else None, 60, "the dead letters")
        expect_equal(dict(collections.Counter(event(request) for request in receiver.requests)), dict.fromkeys(bad, ATTEMPTS), "attempts")
        expect_equal(sorted(letter.key().decode() for letter in letters), sorted(bad), "dead letters")
        ids = {event(request): request.id for request in receiver.requests}
        for letter in letters:
            name = letter.key().decode()
            expect_equal([wanted for wanted in LETTER_HEADERS if not header(letter, wanted)], [], f"headers that the letter of {name} lacks")
            expect_equal((header(letter, "own"), header(letter, "webhook-id")), (name, ids[name]), f"headers of the letter of {name}")
            expect_equal(letter.value(), f'"{name}"'.encode(), f"value of the letter of {name}")
            expect_equal(header(letter, "webhook-last-status"), name if name.isdigit() else None, f"last status of {name}")
            expect_equal(header(letter, "webhook-attempts"), str(ATTEMPTS), f"attempts of {name}")
            place = [header(letter, f"webhook-source-{what}") for what in ("topic", "partition", "offset")]
            expect_equal(place, [topic, "0", str(list(bad).index(name))], f"place of {name}")
        eventually(lambda: lag(broker, endpoint, topic) == 0, what="a lag of 0")
        failed = webhooks(broker).settled(topic, len(bad), "failed")
        expect_equal({each["attempts"] for each in failed}, {ATTEMPTS}, "attempts as the deliveries tell them")
        by_status = {str(each.get("response_status_code")): each.get("response_body") for each in failed}
        expect_equal(by_status["500"], "because 500", "the excerpt of the answer")


@suite.test
def retries_keep_to_the_schedule(broker):
    """Not sooner than jitter allows; how much later depends on the machine."""
    topic = fresh("paced")
    with Receiver(lambda request: Reply(500)) as receiver:
        made(broker, topic, receiver)
        broker.api().produce(topic, 1)
        requests = receiver.wait(ATTEMPTS)
        pauses = [(after.at - before.at) * 1000 for before, after in zip(requests, requests[1:], strict=False)]
        print(f"pauses of {', '.join(f'{pause:.0f}' for pause in pauses)} ms for a schedule of {RETRY_SCHEDULE_MS}", flush=True)
        hasty = [(pause, least) for pause, least in zip(pauses, RETRY_SCHEDULE_MS, strict=True) if pause < JITTER_MIN * least]
        expect_equal(hasty, [], "pauses that were too short")


@suite.test
def one_that_fails_at_first_succeeds_later(broker):
    topic = fresh("later")
    with Receiver(lambda request: Reply(500) if request.attempt < ATTEMPTS else Reply()) as receiver:
        endpoint = made(broker, topic, receiver)
        broker.api().produce(topic, 1)
        [found] = webhooks(broker).settled(topic, 1)
        expect_equal((found["attempts"], found["retry_count"], found["response_status_code"]), (ATTEMPTS, ATTEMPTS - 1, 200), "delivery")
        expect_equal(dead_letters(broker, endpoint), [], "dead letters")


@suite.test
def retry_after_is_honoured(broker):
    """With 429 and 503, in seconds and as a date; each longer than the schedule would wait."""
    replies = {
        "429": lambda: Reply(429, headers={"retry-after": "2"}),
        "503": lambda: Reply(503, headers={"retry-after": "2"}),
        "date": lambda: Reply(429, headers={"retry-after": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3))}),
    }
    topic = fresh("after")
    with Receiver(lambda request: replies[event(request)]() if request.attempt == 1 else Reply()) as receiver:
        made(broker, topic, receiver)
        broker.api().produce_all(topic, [{"value": name} for name in replies])
        webhooks(broker).settled(topic, len(replies))
        for name in replies:
            first, second = [request.at for request in receiver.requests if event(request) == name]
            # A date has no fractions of seconds: 3 s from now may be 2 s and something.
            expect_equal(second - first >= 1.9, True, f"pause of {second - first:.2f} s after {name}, at least 2 s")


@suite.test
def a_retry_after_that_makes_no_sense_is_not_an_end(broker):
    values = ["soon", "-5", "", "99999999999999999999", "1e3", "Tue, 99 Foo 2020 00:00:00 GMT", "0"]
    topic = fresh("nonsense")
    with Receiver(lambda request: Reply(429, headers={"retry-after": event(request)}) if request.attempt == 1 else Reply()) as receiver:
        # One that asks for ages may wait as long as the server lets it; the others must not.
        endpoint = made(broker, topic, receiver)
        broker.api().produce_all(topic, [{"value": value} for value in values])
        waiting = {"99999999999999999999"}
        webhooks(broker).settled(topic, len(values) - len(waiting))
        expect_equal(broker.is_alive(), True, "the server lives")
        webhooks(broker).delete(endpoint["name"])


@suite.test
def status_410_disables_the_endpoint(broker):
    topic = fresh("gone")
    is_gone = [True]
    with Receiver(lambda request: Reply(410) if is_gone[0] else Reply()) as receiver:
        hooks = webhooks(broker)
        made(broker, topic, receiver)
        broker.api().produce(topic, "first")
        found = eventually(lambda: None if (now := hooks.get(topic))["enabled"] else now, what="the end of the endpoint")
        expect_equal("410" in found.get("disabled_reason", ""), True, f"reason {found.get('disabled_reason')!r} names the status")
        count = len(receiver.requests)
        broker.api().produce(topic, "second")
        broker.kill()
        broker.start()
        hooks.client.close()
        expect_equal(hooks.get(topic)["enabled"], False, "enabled after kill -9")
        expect_equal(len(receiver.requests), count, "requests after the 410")
        is_gone[0] = False
        found = hooks.enable(topic)
        expect_equal((found["enabled"], found.get("disabled_reason")), (True, None), "after enable")
        receiver.wait(1, where=lambda request: event(request) == "second")


@suite.test
def redirects_are_not_followed(broker):
    topic = fresh("redirect")
    with Receiver() as elsewhere, Receiver(lambda request: Reply(event(request), headers={"location": elsewhere.url("/stolen")})) as receiver:
        endpoint = made(broker, topic, receiver)
        statuses = [301, 302, 303, 307, 308]
        broker.api().produce_all(topic, [{"value": status} for status in statuses])
        letters = eventually(lambda: found if len(found := dead_letters(broker, endpoint)) >= len(statuses) else None, 60, "the dead letters")
        expect_equal(sorted(header(letter, "webhook-last-status") for letter in letters), [str(status) for status in statuses], "last status")
        expect_equal((elsewhere.connections, len(receiver.requests)), (0, len(statuses) * ATTEMPTS), "connections elsewhere, and requests here")


@suite.test
def an_answer_that_never_comes_is_given_up_in_time(broker):
    topic = fresh("slow")
    with Receiver(lambda request: Reply(end=HANG) if request.attempt == 1 else Reply()) as receiver:
        made(broker, topic, receiver, timeout_ms=300)
        broker.api().produce(topic, 1)
        first, second = receiver.wait(2)
        expect_equal(second.at - first.at >= 0.3, True, f"{second.at - first.at:.2f} s between the attempts")
        [found] = webhooks(broker).settled(topic, 1)
        expect_equal(found["attempts"], 2, "attempts")


@suite.test
def an_answer_within_the_time_out_is_waited_for(broker):
    topic = fresh("patient")
    with Receiver(lambda request: Reply(seconds=TIMEOUT_MS / 1000 / 2)) as receiver:
        made(broker, topic, receiver)
        broker.api().produce(topic, 1)
        [found] = webhooks(broker).settled(topic, 1)
        expect_equal((found["attempts"], len(receiver.requests)), (1, 1), "attempts and requests")
        expect_equal(found["duration_ms"] >= TIMEOUT_MS / 2 - 50, True, f"duration of {found['duration_ms']} ms")


@suite.test
def a_huge_answer_is_neither_read_nor_kept(broker):
    topic = fresh("huge")
    # The first thousand bytes say what is kept of it.
    with Receiver(lambda request: Reply(500 if request.attempt == 1 else 200, body=b"y" * 3000, size=256 * MIB)) as receiver:
        made(broker, topic, receiver)
        before = broker.resident_mb()
        broker.api().produce_all(topic, [{"value": number} for number in range(10)])
        receiver.wait(20)
        eventually(lambda: len(webhooks(broker).deliveries(topic, status="pending")) == 0, 60, "the end of all deliveries")
        grown = broker.resident_mb() - before
        print(f"20 answers of 256 MiB: {grown:+.0f} MiB of memory", flush=True)
        expect_equal(grown < 200, True, f"memory has grown by {grown:.0f} MiB")
        bodies = [len(each.get("response_body") or "") for each in webhooks(broker).deliveries(topic)]
        expect_equal(max(bodies) <= 1024, True, f"bytes kept of an answer: {max(bodies)}")


@suite.test
def a_body_that_breaks_off_after_200_ends_in_success_or_a_retry(broker):
    topic = fresh("cut")
    with Receiver(lambda request: Reply(body=b"x" * 1000, end=CUT) if request.attempt == 1 else Reply()) as receiver:
        made(broker, topic, receiver)
        broker.api().produce(topic, 1)
        [found] = webhooks(broker).settled(topic, 1)
        expect_equal(found["attempts"] == len(receiver.requests), True, "attempts that are told and made")


@suite.test
def a_certificate_that_nobody_signed_gets_no_request(broker):
    topic = fresh("tls")
    with Receiver(tls=wrong_certificate()) as receiver:
        endpoint = made(broker, topic, receiver)
        broker.api().produce(topic, 1)
        [letter] = eventually(lambda: dead_letters(broker, endpoint), 60, "the dead letter")
        expect_equal(receiver.requests, [], "requests")
        said = header(letter, "webhook-last-error").lower()
        expect_equal("certificate" in said or "tls" in said, True, f"{said!r} names the certificate")


@suite.test
def a_receiver_that_is_not_there_is_tried_again(broker):
    topic = fresh("absent")
    with Receiver() as receiver:
        endpoint = made(broker, topic, receiver)
    broker.api().produce(topic, 1)
    [letter] = eventually(lambda: dead_letters(broker, endpoint), 60, "the dead letter")
    expect_equal(header(letter, "webhook-attempts"), str(ATTEMPTS), "attempts")
    said = header(letter, "webhook-last-error").lower()
    expect_equal("connect" in said or "refused" in said, True, f"{said!r} says that nobody is there")


@suite.test
def events_of_a_key_wait_for_each_other_where_asked(broker):
    """The first of each key fails at first: what has the same key waits, what has another one does not."""
    topic, keys, each = fresh("ordered"), ["a", "b", "c", "d"], 10

    def answer(request):
        found = event(request)
        return Reply(500) if found["key"] in "ab" and found["n"] == 0 and request.attempt < 4 else Reply()

    with Receiver(answer) as receiver:
        endpoint = made(broker, topic, receiver, ordered=True, concurrency=8)
        records = [{"value": {"key": key, "n": number}, "key": key, "partition": 0} for number in range(each) for key in keys]
        broker.api().produce_all(topic, records)
        eventually(lambda: lag(broker, endpoint, topic) == 0, what="a lag of 0")
        for key in keys:
            found = [event(request)["n"] for request in receiver.requests if event(request)["key"] == key]
            expected = [0] * 3 + list(range(each)) if key in "ab" else list(range(each))
            expect_equal(found, expected, f"events of key {key}")
        at = {(event(request)["key"], event(request)["n"]): request.at for request in receiver.requests}
        expect_equal(max(at["c", each - 1], at["d", each - 1]) < min(at["a", each - 1], at["b", each - 1]), True, "the other keys went on meanwhile")


@suite.test
def an_event_that_fails_for_good_lets_its_key_go_on_after_the_dead_letter(broker):
    topic, count = fresh("blocked"), 5
    with Receiver(lambda request: Reply(500) if event(request) == 1 else Reply()) as receiver:
        endpoint = made(broker, topic, receiver, ordered=True)
        broker.api().produce_all(topic, [{"value": number, "key": "k", "partition": 0} for number in range(count)])
        eventually(lambda: lag(broker, endpoint, topic) == 0, what="a lag of 0")
        expect_equal([event(request) for request in receiver.requests], [0] + [1] * ATTEMPTS + [2, 3, 4], "events of the key")
        expect_equal([letter.value() for letter in dead_letters(broker, endpoint)], [b"1"], "dead letters")


@suite.test
def without_order_nobody_waits(broker):
    topic = fresh("unordered")
    with Receiver(lambda request: Reply(500) if event(request) == 0 else Reply()) as receiver:
        made(broker, topic, receiver)
        broker.api().produce_all(topic, [{"value": number, "key": "k", "partition": 0} for number in range(5)])
        [last] = receiver.wait(1, where=lambda request: event(request) == 4)
        failing = receiver.wait(ATTEMPTS, where=lambda request: event(request) == 0)
        expect_equal(last.at < failing[-1].at, True, "the last event came before the failing one was given up")


@suite.test
def no_more_requests_at_once_than_the_endpoint_allows(broker):
    topic, most = fresh("few"), [0]

    def answer(request):
        most[0] = max(most[0], sum(1 for each in receiver.requests if time.monotonic() - each.at < 0.15))
        return Reply(seconds=0.2)

    with Receiver(answer) as receiver:
        made(broker, topic, receiver, concurrency=3)
        broker.api().produce_all(topic, [{"value": number} for number in range(30)])
        webhooks(broker).settled(topic, 30)
        expect_equal(most[0] <= 3, True, f"{most[0]} requests at once, 3 allowed")


@suite.test
def a_pending_delivery_says_when_it_is_tried_next(broker):
    topic = fresh("pending")
    with Receiver(lambda request: Reply(429, headers={"retry-after": "30"})) as receiver:
        made(broker, topic, receiver)
        broker.api().produce(topic, 1)
        receiver.wait(1)

        def waiting():
            return [each for each in webhooks(broker).deliveries(topic, status="pending") if each.get("next_attempt_at")]

        found = eventually(waiting, what="its next attempt")
        expect_equal((found[0]["attempts"], found[0]["response_status_code"]), (1, 429), "delivery")
        pause = (moment(found[0]["next_attempt_at"]) - moment(found[0]["created_at"])).total_seconds()
        expect_equal(pause > 15, True, f"next attempt {pause:.0f} s after the first")
        webhooks(broker).delete(topic)


@suite.test
def retry_after_holds_for_the_whole_endpoint(broker):
    topic, seconds = fresh("pressed"), 2
    with Receiver(lambda request: Reply(429, headers={"retry-after": str(seconds)}) if event(request) == 0 and request.attempt == 1 else Reply()) as receiver:
        made(broker, topic, receiver)
        broker.api().produce_all(topic, [{"value": number} for number in range(5)])
        webhooks(broker).settled(topic, 5)
        # A new endpoint has one request under way: the first event goes alone.
        first, second = receiver.requests[:2]
        expect_equal((event(first), second.at - first.at >= 0.95 * seconds), (0, True), f"a pause of {second.at - first.at:.2f} s after the first event")


@suite.test
def a_410_of_the_url_before_does_not_disable_the_endpoint(broker):
    topic, seconds = fresh("late-gone"), 0.8
    answers = {"/before": Reply(410, seconds=seconds), "/now": Reply()}
    with Receiver(lambda request: answers[request.path]) as receiver:
        hooks = webhooks(broker)
        broker.api().create(topic)
        hooks.create(topic, receiver.url("/before"), events=[topic])
        broker.api().produce(topic, "event")
        receiver.wait(1)
        hooks.update(topic, url=receiver.url("/now"))
        hooks.settled(topic, 1)
        expect_equal((hooks.get(topic)["enabled"], receiver.requests[-1].path), (True, "/now"), "enabled, and where it went")


@suite.test
def a_dead_letter_larger_than_its_topic_takes_goes_there_without_its_event(broker):
    """Without a request more than the schedule has, and nothing behind it waits."""
    del broker
    topic = fresh("large")
    with started(SETTINGS) as small, Receiver(lambda request: Reply(500) if request.json().get("key") == "bad" else Reply()) as receiver:
        kafka.create(small, DEAD_LETTER_TOPIC, **{"max.message.bytes": "2000"})
        endpoint = made(small, topic, receiver)
        small.api().produce(topic, "x" * 5000, key="bad")
        small.api().produce(topic, "after", key="good")
        [letter] = eventually(lambda: dead_letters(small, endpoint), what="the dead letter")
        expect_equal((letter.value(), header(letter, "webhook-omitted-bytes"), header(letter, "webhook-last-status")), (None, "5002", "500"), "letter")
        eventually(lambda: lag(small, endpoint, topic) == 0, what="a lag of 0")
        expect_equal(sum(1 for request in receiver.requests if request.json().get("key") == "bad"), ATTEMPTS, "requests for it")


@suite.test
def an_event_as_large_as_its_topic_takes_fits_among_the_dead_letters(broker):
    topic, value = fresh("full"), "x" * 1_000_000
    with Receiver(lambda request: Reply(500)) as receiver:
        endpoint = made(broker, topic, receiver)
        broker.api().produce(topic, value)
        [letter] = eventually(lambda: dead_letters(broker, endpoint), what="the dead letter")
        expect_equal(len(letter.value()), len(value) + 2, "bytes of the letter's value")


if __name__ == "__main__":
    suite.main()
