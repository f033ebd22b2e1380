"""One check of the published package's Hooks, in a process whose PYTHONPATH has one version of it (python_package.py starts it).

  hook_calls.py CHECK VERSION BASE_URL KAFKA_BOOTSTRAP

Every method is called as a user of that version would, and the answer is the package's own class with the types that it declares. Ends with 1
and the reason on standard error when the check does not hold.
"""

import importlib.metadata
import sys

from fourbyfour.errors import ConflictError, NotFoundError, ValidationError
from fourbyfour.hooks import Delivery, DeliveryInfo, Endpoint, EndpointStats, SendWebhookResponse, WebhookDeliveryStatus, WebhookStats
from standardwebhooks.webhooks import Webhook

from package_calls import Package, expect_raised, expect_shape, is_time
from receiver import Receiver, Reply
from suite import eventually, expect_equal, fresh
from webhooks import ATTEMPTS, event

SUCCESS, FAILED = WebhookDeliveryStatus.SUCCESS, WebhookDeliveryStatus.FAILED
NUMBER = (int, float)


def expect_endpoint(found, name, url, events):
    expect_shape(found, Endpoint, endpoint_id=str, name=str, url=str, secret=str, events=list, enabled=bool, created_at=str)
    expect_equal((found.name, found.url, found.events, found.enabled), (name, url, events, True), "endpoint")
    expect_equal(is_time(found.created_at), True, f"created_at {found.created_at} is in UTC")
    expect_equal((found.endpoint_id != "", found.secret.startswith("whsec_")), (True, True), "an id, and a secret as Standard Webhooks has them")


def create_endpoint_gives_the_endpoint(hooks, topics):
    with Receiver() as receiver:
        name = fresh("crm")
        more = {"events": ["order.*", "**.failed"], "description": "all settings", "metadata": {"team": "crm"}}
        expect_endpoint(hooks.create_endpoint(name, receiver.url(), **more), name, receiver.url(), ["order.*", "**.failed"])
        bare = fresh("bare")
        expect_endpoint(hooks.create_endpoint(bare, receiver.url()), bare, receiver.url(), [])


def list_endpoints_gives_every_endpoint(hooks, topics):
    with Receiver() as receiver:
        made = [hooks.create_endpoint(fresh("listed"), receiver.url(), events=["listed.*"]) for _ in range(3)]
        found = hooks.list_endpoints()
        expect_equal([type(each) for each in found], [Endpoint] * len(found), "classes")
        expect_equal([each for each in made if each.endpoint_id not in {other.endpoint_id for other in found}], [], "endpoints that are not listed")


def delete_endpoint_takes_it_away(hooks, topics):
    with Receiver() as receiver:
        name, topic = fresh("doomed"), f"{fresh('package')}.doomed"
        topics.create(topic)
        hooks.create_endpoint(name, receiver.url(), events=[topic])
        topics.produce(topic, {"n": 1})
        receiver.wait(1)
        expect_equal(hooks.delete_endpoint(name), None, "what delete gives")
        expect_equal(name in {each.name for each in hooks.list_endpoints()}, False, "it is still listed")
        expect_raised(NotFoundError, 404, lambda: hooks.get_deliveries(name), name)
        topics.produce(topic, {"n": 2})
        # Another endpoint of the same topic shows when the event has been handed out.
        hooks.create_endpoint(fresh("other"), receiver.url("/other"), events=[topic])
        topics.produce(topic, {"n": 3})
        receiver.wait(1, where=lambda request: request.path == "/other" and event(request) == {"n": 3})
        expect_equal([event(request)["n"] for request in receiver.requests if request.path == "/in"], [1], "events at the deleted endpoint")


def events_arrive_signed(hooks, topics):
    with Receiver() as receiver:
        topic = f"{fresh('package')}.placed"
        topics.create(topic)
        endpoint = hooks.create_endpoint(fresh("crm"), receiver.url(), events=[topic])
        topics.produce(topic, {"orderId": "123", "total": 99.99}, key="order-123")
        [request] = receiver.wait(1)
        Webhook(endpoint.secret).verify(request.body, request.headers)
        expect_equal((request.method, event(request)), ("POST", {"orderId": "123", "total": 99.99}), "what arrives")


def send_reaches_the_endpoints_that_it_names(hooks, topics):
    with Receiver() as receiver:
        names = [fresh("named") for _ in range(3)]
        for name in names:
            hooks.create_endpoint(name, receiver.url(f"/{name}"))
        found = hooks.send(f"{fresh('sent')}.now", {"n": 1}, endpoints=names[:2])
        expect_sent(found, names[:2])
        requests = receiver.wait(2)
        expect_equal(sorted(request.path for request in requests), sorted(f"/{name}" for name in names[:2]), "where it arrives")
        expect_equal([event(request) for request in requests], [{"n": 1}] * 2, "what arrives")


def expect_sent(found, names):
    expect_shape(found, SendWebhookResponse, event_id=str, deliveries=list)
    for each in found.deliveries:
        expect_shape(each, DeliveryInfo, delivery_id=str, endpoint_name=str, status=WebhookDeliveryStatus)
    expect_equal(sorted(each.endpoint_name for each in found.deliveries), sorted(names), "endpoints of the deliveries")


def send_reaches_the_endpoints_that_ask_for_the_event(hooks, topics):
    with Receiver() as receiver:
        kind = fresh("sent")
        asking, other = fresh("asking"), fresh("other")
        hooks.create_endpoint(asking, receiver.url("/asking"), events=[f"{kind}.*"])
        hooks.create_endpoint(other, receiver.url("/other"), events=[f"{kind}.never"])
        expect_sent(hooks.send(f"{kind}.now", ["payload"]), [asking])
        [request] = receiver.wait(1)
        expect_equal((request.path, event(request)), ("/asking", ["payload"]), "what arrives")


def deliveries(hooks, name, status):
    """The deliveries, once one of them has this status."""
    return eventually(lambda: [each for each in hooks.get_deliveries(name) if each.status == status], what=f"a delivery of {name} with {status}")


def get_deliveries_tells_what_became_of_them(hooks, topics):
    with Receiver(lambda request: Reply(500, body=b"no room") if request.path == "/bad" else Reply()) as receiver:
        topic, good, bad = f"{fresh('package')}.told", fresh("good"), fresh("bad")
        topics.create(topic)
        for name, path in [(good, "/good"), (bad, "/bad")]:
            hooks.create_endpoint(name, receiver.url(path), events=[topic])
        expect_equal(hooks.get_deliveries(good), [], "before there is any")
        topics.produce(topic, {"n": 1})
        [delivered], [failed] = deliveries(hooks, good, SUCCESS), deliveries(hooks, bad, FAILED)
        for found, name in [(delivered, good), (failed, bad)]:
            expect_shape(found, Delivery, delivery_id=str, endpoint_name=str, event_type=str, retry_count=int, created_at=str, duration_ms=int)
            expect_equal((found.endpoint_name, found.event_type, is_time(found.created_at)), (name, topic, True), "delivery")
        expect_equal((delivered.retry_count, delivered.response_status_code, delivered.error_message), (0, 200, None), "the one that succeeded")
        expect_equal((failed.retry_count, failed.response_status_code), (ATTEMPTS - 1, 500), "the one that failed")
        expect_shape(failed, Delivery, error_message=str)


def stats_count_deliveries(hooks, topics):
    with Receiver(lambda request: Reply(500) if request.path == "/bad" else Reply()) as receiver:
        topic, good, bad = f"{fresh('package')}.counted", fresh("good"), fresh("bad")
        topics.create(topic)
        for name, path in [(good, "/good"), (bad, "/bad")]:
            hooks.create_endpoint(name, receiver.url(path), events=[topic])
        for number in range(3):
            topics.produce(topic, number)
        eventually(lambda: len(deliveries(hooks, good, SUCCESS)) == 3 and len(deliveries(hooks, bad, FAILED)) == 3, what="three deliveries each")
        found = hooks.stats()
        whole = {"total_deliveries": int, "successful_deliveries": int, "failed_deliveries": int, "success_rate": NUMBER, "avg_duration_ms": NUMBER}
        expect_shape(found, WebhookStats, tenant_id=str, by_endpoint=dict, **whole)
        for name, successful in [(good, 3), (bad, 0)]:
            each = found.by_endpoint[name]
            expect_shape(each, EndpointStats, deliveries=int, successful=int, failed=int, success_rate=NUMBER, avg_duration_ms=NUMBER)
            expect_equal((each.deliveries, each.successful, each.failed), (3, successful, 3 - successful), f"deliveries of {name}")
        # Whether a rate is a share or per cent, all of them are the most.
        expect_equal((found.by_endpoint[good].success_rate > 0, found.by_endpoint[bad].success_rate), (True, 0), "success rates")
        sums = [sum(getattr(each, field) for each in found.by_endpoint.values()) for field in ("deliveries", "successful", "failed")]
        # Endpoints of other tests that are deleted since may count in the whole.
        whole = [found.total_deliveries, found.successful_deliveries, found.failed_deliveries]
        expect_equal([total >= part for total, part in zip(whole, sums, strict=True)], [True] * 3, "the whole is no less than its parts")


def errors_are_the_packages_own(hooks, topics):
    with Receiver() as receiver:
        name, unknown = fresh("taken"), fresh("unknown")
        hooks.create_endpoint(name, receiver.url())
        expect_raised(ConflictError, 409, lambda: hooks.create_endpoint(name, receiver.url()), name)
        expect_raised(ValidationError, 400, lambda: hooks.create_endpoint(fresh("bad"), "ftp://files.example.com/in"), "ftp")
        expect_raised(ValidationError, 400, lambda: hooks.create_endpoint(fresh("bad"), receiver.url(), events=["order*"]), "order*")
        expect_raised(ValidationError, 400, lambda: hooks.send("", {}), "event_type")
        expect_raised(NotFoundError, 404, lambda: hooks.delete_endpoint(unknown), unknown)
        expect_raised(NotFoundError, 404, lambda: hooks.get_deliveries(unknown), unknown)
        expect_raised(NotFoundError, 404, lambda: hooks.send("order.placed", {}, endpoints=[unknown]), unknown)


def main():
    check, version, base_url, bootstrap = sys.argv[1:]
    expect_equal(importlib.metadata.version("fourbyfour"), version, "version of the package that was imported")
    package = Package(version, base_url, "any-key", "some-project")
    package.bootstrap = bootstrap
    globals()[check](package.hooks, package.topics)


if __name__ == "__main__":
    try:
        main()
    except Exception as failure:  # noqa: BLE001 - the reason is all that python_package.py shows
        sys.exit(f"{type(failure).__name__}: {failure}")
