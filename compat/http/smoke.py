"""The routes of the HTTP API: what each refuses and how, topics and their life, and what a client of HTTP may take for granted.

Records are in records.py and idempotency.py, groups in groups.py, reading without a group in cursors.py, streams in live.py, keys in access.py.
"""

import datetime
import gzip
import http.client
import socket
import subprocess
import time

import kafka_client as kafka
from api import all_of, expect_error, moment, now
from routes import routes_of
from server import HttpSuite, started
from suite import expect_equal, fresh

PARTITIONS = 3
# Every route exists at the root and below a project; without keys every project is the default one.
ROOTS = ["", "/projects/some-project"]
HOUR_MS = 3_600_000

suite = HttpSuite("http", settings={"num.partitions": PARTITIONS})


@suite.test
def unknown_routes_are_404(broker):
    client = broker.api()
    with all_of() as check:
        for path in ["/nothing", "/topics/a/b/c", "/projects", "/projects/p", "/projects/p/nothing", "/v1/topics", "/topics/a/groups/g"]:
            check(expect_error, client.call("GET", path), 404, what=path)


@suite.test
def wrong_methods_are_405_and_allow_names_the_right_ones(broker):
    client = broker.api()
    topic = fresh("methods")
    client.create(topic)
    wrong = {
        ("PUT", "/topics"): {"GET", "POST"},
        ("DELETE", "/topics"): {"GET", "POST"},
        ("PATCH", f"/topics/{topic}"): {"GET", "DELETE"},
        ("GET", f"/topics/{topic}/produce"): {"POST"},
        ("GET", f"/topics/{topic}/records"): {"POST"},
        ("POST", f"/topics/{topic}/consume"): {"GET"},
        ("GET", f"/topics/{topic}/offsets"): {"POST"},
        ("GET", f"/topics/{topic}/groups/g/reset"): {"POST"},
        ("POST", f"/topics/{topic}/stream"): {"GET"},
        ("DELETE", f"/topics/{topic}/stats"): {"GET"},
    }
    with all_of() as check:
        for (method, path), right in wrong.items():
            for root in ROOTS:
                answer = client.call(method, root + path, {} if method != "GET" else None)
                check(expect_error, answer, 405, what=f"{method} {root + path}")
                allowed = {word.strip() for word in answer.headers.get("Allow", "").split(",")}
                check(expect_equal, right & allowed, right, f"{method} {root + path}, methods that Allow names")
    expect_equal(client.get(f"/topics/{topic}")["name"], topic, "the topic that no DELETE was meant for")


@suite.test
def a_body_of_another_type_is_415(broker):
    client = broker.api()
    topic = fresh("typed")
    client.create(topic)
    with all_of() as check:
        for path, body in [("/topics", {"name": fresh("never")}), (f"/topics/{topic}/produce", {"value": 1})]:
            for content_type in [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp"]:
                answer = client.call("POST", path, body, {"Content-Type": content_type})
                check(expect_error, answer, 415, what=f"{path} with {content_type}")
    for content_type in ["application/json; charset=utf-8", "Application/JSON"]:
        client.post(f"/topics/{topic}/produce", {"value": content_type}, {"Content-Type": content_type})
    expect_equal(sum(kafka.ends(broker, topic).values()), 2, "records in the topic")


@suite.test
def a_body_that_is_no_json_object_is_400(broker):
    client = broker.api()
    topic = fresh("malformed")
    client.create(topic)
    malformed = {
        "nothing": b"",
        "half an object": b'{"value": 1',
        "a comma too many": b'{"value": 1,}',
        "not a number": b'{"value": NaN}',
        "something behind": b'{"value": 1} {}',
        "invalid UTF-8": b'{"value": "\xff\xfe"}',
        "an array": b'[{"value": 1}]',
        "a string": b'"value"',
        "null": b"null",
    }
    with all_of() as check:
        for what, body in malformed.items():
            check(expect_error, client.call("POST", f"/topics/{topic}/produce", body), 400, what=what)
            check(expect_error, client.call("POST", "/topics", body), 400, what=f"{what}, to create a topic")
    expect_equal(sum(kafka.ends(broker, topic).values()), 0, "records in the topic")


@suite.test
def a_topic_that_cannot_be_is_400_and_says_what_is_wrong(broker):
    client = broker.api()
    good = fresh("never")
    bad = {
        "no name": ({}, "name"),
        "a name that is no string": ({"name": 7}, "name"),
        "an empty name": ({"name": ""}, "name"),
        "a space in the name": ({"name": "no spaces"}, "no spaces"),
        "a slash in the name": ({"name": "a/b"}, "a/b"),
        "two dots as name": ({"name": ".."}, "name"),
        "a pattern as name": ({"name": "order.*"}, "order.*"),
        "250 letters": ({"name": "x" * 250}, "249"),
        "no partitions": ({"name": good, "partitions": 0}, "partitions"),
        "partitions below zero": ({"name": good, "partitions": -2}, "partitions"),
        "partitions as text": ({"name": good, "partitions": "3"}, "partitions"),
        "half a partition": ({"name": good, "partitions": 1.5}, "partitions"),
        "more partitions than a number holds": ({"name": good, "partitions": 2**40}, "partitions"),
        "retention as text": ({"name": good, "retention_hours": "1"}, "retention_hours"),
        "retention without end of digits": ({"name": good, "retention_hours": 2**62}, "retention_hours"),
        "a description that is no string": ({"name": good, "description": {}}, "description"),
    }
    with all_of() as check:
        for what, (body, word) in bad.items():
            check(expect_error, client.call("POST", "/topics", body), 400, word, what=what)
    if good in kafka.topics(broker):
        raise AssertionError(f"{good} exists although it was refused")


@suite.test
def a_topic_that_exists_is_409(broker):
    client = broker.api()
    topic, kafkas = fresh("twice"), kafka.create(broker, fresh("kafkas"))
    client.create(topic)
    for name in [topic, kafkas]:
        for root in ROOTS:
            expect_error(client.call("POST", f"{root}/topics", {"name": name}), 409, name)


@suite.test
def an_unknown_topic_is_404_everywhere(broker):
    client = broker.api()
    unknown = fresh("unknown")
    with all_of() as check:
        for method, path, body in routes_of(unknown):
            for root in ROOTS:
                check(expect_error, client.call(method, root + path, body), 404, unknown, what=f"{method} {root + path}")
    if unknown in kafka.topics(broker):
        raise AssertionError("asking for the topic has created it")


@suite.test
def producing_to_an_unknown_topic_is_404_when_topics_are_not_created_by_themselves(broker):
    unknown = fresh("unknown")
    with started({"auto.create.topics.enable": "false"}) as strict:
        client = strict.api()
        expect_error(client.call("POST", f"/topics/{unknown}/produce", {"value": 1}), 404, unknown)
        expect_error(client.call("POST", f"/topics/{unknown}/records", {"records": [{"value": 1}]}), 404, unknown)
        expect_equal(unknown in kafka.topics(strict), False, "the topic exists")


@suite.test
def names_that_no_path_can_mean_are_refused_and_the_server_lives(broker):
    client = broker.api()
    for name in ["%2F", "%2E%2E", "%00", "%FF", "%", "%zz", "a%2Fb", "x" * 5000]:
        for method, suffix in [("GET", ""), ("DELETE", ""), ("GET", "/stats"), ("GET", "/consume?group=g"), ("GET", "/stream")]:
            answer = client.call(method, f"/topics/{name}{suffix}")
            if answer.status not in (400, 404, 414):
                raise AssertionError(f"{method} /topics/{name[:20]}{suffix}: status {answer.status}")
    client.get("/healthz")


@suite.test
def internal_topics_are_hidden_and_cannot_be_written(broker):
    client = broker.api()
    topic = fresh("ordinary")
    client.create(topic)
    client.commit(topic, fresh("readers"), 0, 0)
    if "__consumer_offsets" not in kafka.topics(broker):
        raise AssertionError("a commit that left no __consumer_offsets")
    listed = [found["name"] for found in client.get("/topics")["topics"]]
    expect_equal([name for name in listed if name.startswith("__")], [], "internal topics in the list")
    before = kafka.ends(broker, "__consumer_offsets")
    path = "/topics/__consumer_offsets"
    for method, suffix, body in [
        ("POST", "/produce", {"value": 1}),
        ("POST", "/records", {"records": [{"value": 1}]}),
        ("DELETE", "", None),
        ("POST", "/offsets", {"group": "g", "partition": 0, "offset": 0}),
    ]:
        answer = client.call(method, path + suffix, body)
        if answer.status not in (400, 403, 404):
            raise AssertionError(f"{method} {path}{suffix}: status {answer.status}")
    expect_equal(kafka.ends(broker, "__consumer_offsets"), before, "the ends of __consumer_offsets")


@suite.test
def topics_are_created_listed_and_deleted_in_both_path_styles(broker):
    for root in ROOTS:
        client, topic = broker.api(root), fresh("life")
        answer = client.call("POST", "/topics", {"name": topic})
        expect_equal(answer.status, 201, "status of creation")
        made = answer.json()
        expect_equal((made["name"], made["partitions"], made.get("description")), (topic, PARTITIONS, None), "created")
        expect_equal(client.get(f"/topics/{topic}"), made, "GET of what was created")
        for other in ROOTS:
            expect_equal([found for found in broker.api(other).get("/topics")["topics"] if found["name"] == topic], [made], "in the list")
        expect_equal(kafka.topics(broker)[topic], PARTITIONS, "partitions as Kafka sees them")
        gone = client.call("DELETE", f"/topics/{topic}")
        expect_equal((gone.status, gone.body), (204, b""), "status and body of deletion")
        expect_error(client.call("GET", f"/topics/{topic}"), 404, topic)
        expect_error(client.call("DELETE", f"/topics/{topic}"), 404, topic)
        expect_equal(topic in kafka.topics(broker), False, "seen by Kafka after deletion")


@suite.test
def every_call_of_the_contract_works_in_both_path_styles(broker):
    for root in ROOTS:
        client, topic = broker.api(root), fresh("styles")
        client.create(topic, partitions=1)
        client.produce(topic, {"n": 1})
        client.produce_all(topic, [{"value": {"n": 2}}])
        expect_equal([record["value"]["n"] for record in client.consume(topic, group=topic)["records"]], [1, 2], "consumed")
        client.commit(topic, topic, 0, 2)
        expect_equal(kafka.committed(broker, topic, topic), 2, "committed")
        expect_equal(client.reset(topic, topic, "earliest"), {topic: {"0": 0}}, "reset")
        with client.stream(topic, **{"from": "earliest"}) as stream:
            expect_equal([record["value"]["n"] for record in stream.take(2)], [1, 2], "streamed")
        expect_equal(client.get(f"/topics/{topic}/stats")["total_events"], 2, "total_events")


@suite.test
def names_with_dots_may_be_percent_encoded(broker):
    client = broker.api()
    topic = f"{fresh('order')}.placed_at-dawn"
    client.create(topic, partitions=1)
    for name in [topic, topic.replace(".", "%2E"), topic.replace("-", "%2d").replace("_", "%5F")]:
        expect_equal(client.get(f"/topics/{name}")["name"], topic, name)


@suite.test
def settings_of_a_topic_are_kafkas_and_survive_kill_9(broker):
    client = broker.api()
    topic = fresh("kept")
    made = client.create(topic, partitions=5, retention_hours=48, description='Orders, "paid" – été')
    if abs(moment(made["created_at"]) - now()) > datetime.timedelta(minutes=1):
        raise AssertionError(f"created_at is {made['created_at']}")
    expect_equal((made["partitions"], made["retention_hours"], made["description"]), (5, 48, 'Orders, "paid" – été'), "created")
    expect_equal(kafka.topic_config(broker, topic, "retention.ms"), str(48 * HOUR_MS), "retention.ms")
    broker.kill()
    broker.start()
    expect_equal(broker.api().get(f"/topics/{topic}"), made, "after kill -9")


@suite.test
def a_topic_of_kafkas_making_is_a_topic(broker):
    client = broker.api()
    topic = kafka.create(broker, fresh("kafkas"), 2, **{"retention.ms": str(5 * HOUR_MS)})
    found = client.get(f"/topics/{topic}")
    expect_equal((found["name"], found["partitions"], found["retention_hours"]), (topic, 2, 5), "what Kafka made")
    moment(found["created_at"])
    # Kafka's "for ever" and a part of an hour: the field is an integer all the same.
    for retention_ms in [-1, 90_000]:
        odd = kafka.create(broker, fresh("odd"), 1, **{"retention.ms": str(retention_ms)})
        expect_equal(type(client.get(f"/topics/{odd}")["retention_hours"]), int, f"retention_hours of {retention_ms} ms")


@suite.test
def a_recreated_topic_starts_empty_and_without_its_description(broker):
    client = broker.api()
    topic = fresh("again")
    client.create(topic, partitions=1, description="the first")
    client.produce(topic, 1)
    client.delete(f"/topics/{topic}")
    expect_equal(client.create(topic, partitions=1).get("description"), None, "description")
    expect_equal(client.produce(topic, 2)["offset"], 0, "first offset")


@suite.test
def stats_count_events_and_bytes(broker):
    client = broker.api()
    topic = fresh("counted")
    client.create(topic)
    empty = client.get(f"/topics/{topic}/stats")
    expect_equal((empty["name"], empty["total_events"], empty["total_bytes"], empty.get("last_event_at")), (topic, 0, 0, None), "empty")
    last = [client.produce(topic, "x" * 1000) for _ in range(5)][-1]
    kafka.produce(broker, topic, ["y" * 1000] * 5)
    found = client.get(f"/topics/{topic}/stats")
    expect_equal(found["total_events"], 10, "total_events")
    if not 10_000 <= found["total_bytes"] <= 20_000:
        raise AssertionError(f"total_bytes is {found['total_bytes']} for ten records of 1000 bytes")
    expect_equal((type(found["events_per_second"]) in (int, float), type(found["retained_bytes"])), (True, int), "types")
    if moment(found["last_event_at"]) < moment(last["timestamp"]):
        raise AssertionError(f"last_event_at is {found['last_event_at']}, the last event of HTTP was at {last['timestamp']}")


@suite.test
def health_readiness_the_document_and_its_page_are_served(broker):
    client = broker.api(key=None)
    for path in ["/healthz", "/readyz"]:
        expect_equal(client.call("GET", path).status, 200, path)
    document = client.get("/openapi.json")
    expect_equal(document["openapi"].split(".")[0], "3", "OpenAPI version")
    names = {path.replace("{project_id}", "P").replace("{name}", "N").replace("{group}", "G") for path in document["paths"]}
    below = ["", "/N", "/N/stats", "/N/produce", "/N/records", "/N/consume", "/N/offsets", "/N/groups/G/reset", "/N/stream"]
    missing = [path for root in ["", "/projects/P"] for path in (f"{root}/topics{rest}" for rest in below) if path not in names]
    expect_equal(missing, [], "routes that the document does not have")
    page = client.call("GET", "/docs")
    expect_equal((page.status, page.headers.get_content_type()), (200, "text/html"), "/docs")


@suite.test
def one_connection_serves_many_requests_good_and_bad(broker):
    client = broker.api(keeps_after_errors=True)
    topic = fresh("alive")
    client.create(topic, partitions=1)
    at_first = client.connection.sock
    for number in range(100):
        client.produce(topic, number)
        expect_error(client.call("GET", "/topics/unknown"), 404)
        expect_error(client.call("POST", f"/topics/{topic}/produce", b"{"), 400)
    if client.connection.sock is not at_first:
        raise AssertionError("the server has closed the connection in between")
    expect_equal(kafka.ends(broker, topic), {0: 100}, "records")


@suite.test
def an_error_whose_body_was_not_read_leaves_the_connection_open_or_says_that_it_ends(broker):
    """A client that is not told sends its next request into a closed connection, and may not repeat it if it writes."""
    client = broker.api(keeps_after_errors=True)
    topic = fresh("ended")
    client.create(topic, partitions=1)
    with all_of() as check:
        for what, path, headers in [
            ("404", "/topics/unknown/stats/what", {}),
            ("405", f"/topics/{topic}/stats", {}),
            ("415", f"/topics/{topic}/produce", {"Content-Type": "text/plain"}),
            ("400", "/webhooks", {}),
        ]:
            for size in [2, 100_000]:
                client.call("POST", path, b"x" * size, headers)
                check(answers, client, topic, f"the request behind a {what} to a body of {size} bytes")


def answers(client, topic, what):
    try:
        client.produce(topic, what)
    except (OSError, http.client.HTTPException) as error:
        raise AssertionError(f"{what}: {error!r}") from None


@suite.test
def a_client_that_waits_for_100_continue_gets_it(broker):
    """curl does so with bodies above a megabyte."""
    client = broker.api()
    topic = fresh("continue")
    client.create(topic, partitions=1)
    body = b'{"value": "waited"}'
    connection = http.client.HTTPConnection("127.0.0.1", broker.http_port, timeout=10)
    connection.putrequest("POST", f"/topics/{topic}/produce")
    for name, value in [("Content-Type", "application/json"), ("Content-Length", len(body)), ("Expect", "100-continue")]:
        connection.putheader(name, value)
    connection.endheaders()
    # Only a look: getresponse reads it again, and skips it.
    expect_equal(connection.sock.recv(1 << 10, socket.MSG_PEEK).split(b" ")[1], b"100", "status before the body")
    connection.send(body)
    expect_equal(connection.getresponse().status, 200, "status")
    connection.close()


@suite.test
def a_chunked_body_is_a_body(broker):
    client = broker.api()
    topic = fresh("chunked")
    client.create(topic, partitions=1)
    client.call("POST", f"/topics/{topic}/produce", (part for part in [b'{"val', b'ue": "in ', b'parts"}'])).success()
    expect_equal(kafka.read_all(broker, topic)[0].value(), b'"in parts"', "value")


@suite.test
def http_2_is_spoken_with_those_who_begin_with_it(broker):
    url = f"http://127.0.0.1:{broker.http_port}/healthz"
    command = ["curl", "-sS", "--http2-prior-knowledge", "-w", "%{http_version}", url]
    said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=True).stdout
    expect_equal(said, '{"status":"ok"}2', "answer and version")


@suite.test
def large_answers_are_compressed_for_those_who_take_it(broker):
    client = broker.api()
    topic = fresh("compressed")
    client.create(topic, partitions=1)
    client.produce_all(topic, [{"value": "x" * 100} for _ in range(100)])
    path = f"/topics/{topic}/consume?from=earliest"
    plain = client.call("GET", path)
    packed = client.call("GET", path, headers={"Accept-Encoding": "gzip"})
    expect_equal((plain.headers["Content-Encoding"], packed.headers["Content-Encoding"]), (None, "gzip"), "encodings")
    expect_equal(gzip.decompress(packed.body), plain.body, "what was packed")


@suite.test
def a_clean_stop_does_not_wait_for_idle_connections(broker):
    client = broker.api()
    topic = fresh("stopping")
    client.create(topic, partitions=1)
    started_at = time.monotonic()
    expect_equal(broker.stop(), 0, "exit status after SIGTERM, with an idle connection open")
    if time.monotonic() - started_at > 15:
        raise AssertionError(f"an idle connection held the broker for {time.monotonic() - started_at:.0f} s")
    broker.start()
    expect_equal(broker.api().get(f"/topics/{topic}")["name"], topic, "after the restart, on the same port")


if __name__ == "__main__":
    suite.main()
