"""GET /metrics: the formats, who may see it, and that what is counted is what was done."""

import contextlib
import socket

import kafka_client as kafka
from api import expect_error
from exposition import OPEN_METRICS, Exposition, scrape
from projects import BOTH, CONFIG, OPEN, SHOP
from server import HttpSuite, started
from suite import eventually, expect_equal, fresh

CONNECTIONS = 20

suite = HttpSuite("http metrics")


@suite.test
def text_is_given_by_default_and_open_metrics_where_it_is_asked_for(broker):
    client = broker.api(key=None)
    plain = client.call("GET", "/metrics")
    expect_equal(plain.headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8", "Content-Type")
    asked = f"{OPEN_METRICS};version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
    opened = client.call("GET", "/metrics", headers={"Accept": asked})
    expect_equal(opened.headers["Content-Type"], f"{OPEN_METRICS}; version=1.0.0; charset=utf-8", "Content-Type")
    first, second = Exposition(plain.body.decode()), Exposition(opened.body.decode())
    expect_equal((first.is_ended, second.is_ended), (False, True), "# EOF")
    # The first scrape may have brought its own route.
    expect_equal({name for name in first.types if name not in second.types}, set(), "families that only the older format has")
    expect_equal(second.units["fbf_journal_commit_duration_seconds"], "seconds", "unit")
    expect_equal([name for name in second.types if not name.startswith("fbf_")], [], "names of somebody else's")


@suite.test
def what_is_produced_is_counted_by_requests_records_and_commits(broker):
    topic = fresh("counted")
    broker.api().create(topic, partitions=1)
    before = scrape(broker)
    kafka.produce(broker, topic, [{"value": f"kafka {number}"} for number in range(5)])
    broker.api().produce_all(topic, [{"value": number} for number in range(3)])
    after = scrape(broker)

    def grown(name, **labels):
        return after.value(name, **labels) - before.value(name, **labels)

    expect_equal(grown("fbf_produced_records_total"), 8, "records")
    expect_equal(grown("fbf_kafka_requests_total", api="Produce") >= 1, True, "produce requests of a Kafka client")
    expect_equal(grown("fbf_kafka_request_duration_seconds_count", api="Produce") >= 1, True, "their durations")
    route = {"method": "POST", "route": "/topics/{name}/records"}
    expect_equal(grown("fbf_http_requests_total", status="2xx", **route), 1, "requests of HTTP")
    expect_equal(grown("fbf_http_request_duration_seconds_count", **route), 1, "their durations")
    for name in ["fbf_produced_bytes_total", "fbf_kafka_received_bytes_total", "fbf_kafka_sent_bytes_total"]:
        expect_equal(grown(name) > 20, True, f"{name} has grown")
    expect_equal(grown("fbf_journal_commit_duration_seconds_count") >= 2, True, "commits")
    expect_equal(grown("fbf_journal_batches_total") >= 2, True, "batches")
    expect_equal(grown("fbf_journal_written_bytes_total") >= grown("fbf_produced_bytes_total"), True, "the journal has what was produced")


@suite.test
def a_batch_that_is_refused_is_counted_by_its_error(broker):
    topic, before = fresh("small"), scrape(broker)
    kafka.create(broker, topic, 1, **{"max.message.bytes": 1000})
    expect_error(broker.api().call("POST", f"/topics/{topic}/produce", {"value": "x" * 5000}), 413)
    refused = scrape(broker).value("fbf_refused_batches_total", error="MessageTooLarge")
    expect_equal(refused - before.value("fbf_refused_batches_total", error="MessageTooLarge"), 1, "refused batches")


@suite.test
def routes_are_patterns_and_strange_requests_make_no_new_series(broker):
    client, marker = broker.api(), fresh("strange")
    for path in [f"/topics/{marker}", f"/topics/{marker}-2", f"/{marker}/nothing"]:
        client.call("GET", path)
    client.call("BREW", f"/topics/{marker}")
    client.call(marker.upper().replace("-", ""), f"/topics/{marker}")
    found = scrape(broker)
    expect_equal(found.value("fbf_http_requests_total", method="GET", route="/topics/{name}", status="4xx") >= 2, True, "by pattern")
    expect_equal(found.value("fbf_http_requests_total", method="GET", route="unmatched", status="4xx") >= 1, True, "without a route")
    expect_equal(found.value("fbf_http_requests_total", method="other", route="/topics/{name}", status="4xx") >= 2, True, "other methods")
    leaked = [route for route in found.values("fbf_http_requests_total", "route") if marker in route]
    expect_equal(leaked, [], "routes with a name that was sent")


@suite.test
def topics_partitions_and_connections_are_what_there_is_now(broker):
    before = scrape(broker)
    broker.api().create(fresh("more"), partitions=3)
    after = scrape(broker)
    expect_equal(after.value("fbf_topics") - before.value("fbf_topics"), 1, "topics")
    expect_equal(after.value("fbf_partitions") - before.value("fbf_partitions"), 3, "partitions")
    expect_equal(after.value("fbf_http_connections") >= 1, True, "this connection")
    expect_equal(after.values("fbf_build_info", "version") != set(), True, "a version")

    # More than the tests' own admin client ever has.
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.enter_context(socket.create_connection(("127.0.0.1", broker.port)))
        eventually(lambda: scrape(broker).value("fbf_kafka_connections") >= CONNECTIONS, what=f"{CONNECTIONS} connections")
    eventually(lambda: scrape(broker).value("fbf_kafka_connections") < CONNECTIONS, what="fewer again")


@suite.test
def with_keys_only_the_project_without_a_prefix_sees_the_whole_server(broker):
    del broker
    with started(config=CONFIG) as own:
        expect_error(own.api(key=None).call("GET", "/metrics"), 401, what="without a key")
        for key in [SHOP, BOTH]:
            expect_error(own.api(key=key).call("GET", "/metrics"), 403, "topic_prefix", what=f"with {key}")
        expect_equal(scrape(own, key=OPEN).value("fbf_start_time_seconds") > 1e9, True, "with the key of the project without a prefix")


if __name__ == "__main__":
    suite.main()
