"""A raw client of the webhooks API, and what the tests know of it beyond the SDK's contract: names of fields, topics and settings stand here once."""

from confluent_kafka import Consumer, IsolationLevel, TopicPartition
from confluent_kafka.admin import OffsetSpec

import kafka_client as kafka
from api import quoted
from server import HttpSuite
from suite import eventually

SECONDS = 30
# What POST /webhooks publishes, and what was given up; behind a project's prefix.
SENT_TOPIC, DEAD_LETTER_TOPIC = "webhooks.events", "webhooks.dead-letter"
# What a dead letter says besides the event's own headers.
LETTER_HEADERS = [
    *["webhook-endpoint", "webhook-endpoint-id", "webhook-id", "webhook-source-topic", "webhook-source-partition"],
    *["webhook-source-offset", "webhook-attempts", "webhook-last-error", "webhook-reason"],
]
# Local receivers are what production refuses, and nobody waits a day for the last attempt.
RETRY_SCHEDULE_MS = [100, 100, 200, 400]
ATTEMPTS = len(RETRY_SCHEDULE_MS) + 1
TIMEOUT_MS = 1000
SETTINGS = {
    "hooks.allow_private_addresses": "true",
    "hooks.retry_schedule_ms": ",".join(map(str, RETRY_SCHEDULE_MS)),
    "hooks.timeout_ms": TIMEOUT_MS,
}
# Settings that single tests change.
OVERLAP, ENDPOINTS_MAX, BODY_BYTES = "hooks.secret_overlap_ms", "hooks.endpoints_max", "hooks.body_bytes"


class HookSuite(HttpSuite):
    """A suite whose broker may send to local receivers, and retries within a second."""

    def __init__(self, name, settings=None, config=""):
        super().__init__(name, settings={**SETTINGS, **(settings or {})}, config=config)


class Webhooks:
    """The webhooks of one project; `client` is an api.Api. What is refused raises api.Refused; `call` gives the answer as it is."""

    def __init__(self, client):
        self.client = client

    def call(self, method, name=None, action="", body=None, query=None):
        """Of one endpoint, or without a name of all."""
        return self.client.call(method, endpoint_path(name) + action if name is not None else "/webhooks/endpoints", body, query=query)

    def create(self, name, url, **settings):
        return self.call("POST", body={"name": name, "url": url, **settings}).success()

    def list(self):
        return self.call("GET").success()["endpoints"]

    def get(self, name):
        return self.call("GET", name).success()

    def update(self, name, **changes):
        return self.call("PATCH", name, body=changes).success()

    def delete(self, name):
        return self.call("DELETE", name).success()

    def enable(self, name):
        return self.call("POST", name, "/enable").success()

    def disable(self, name):
        return self.call("POST", name, "/disable").success()

    def rotate_secret(self, name, **how):
        """The endpoint with its new secret. `how`: secret, overlap_ms."""
        return self.call("POST", name, "/rotate-secret", how or None).success()

    def deliveries(self, name, **query):
        """The newest first."""
        return self.call("GET", name, "/deliveries", query=query).success()["deliveries"]

    def delivery(self, name, delivery_id):
        return self.call("GET", name, f"/deliveries/{quoted(delivery_id)}").success()

    def test(self, name, **event):
        """One attempt to deliver a test event, made at once. `event`: event_type, payload."""
        return self.call("POST", name, "/test", event or None).success()

    def replay(self, name, **which):
        """`which`: delivery_id, or status, or from and to (RFC 3339)."""
        return self.call("POST", name, "/replay", which).success()

    def send(self, event_type, payload, **more):
        return self.client.post("/webhooks", {"event_type": event_type, "payload": payload, **more})

    def stats(self):
        return self.client.get("/webhooks/stats")

    def settled(self, name, count, status="success", seconds=SECONDS):
        """The deliveries, once `count` of them have this status."""

        def found():
            deliveries = [delivery for delivery in self.deliveries(name) if delivery["status"] == status]
            return deliveries if len(deliveries) >= count else None

        return eventually(found, seconds, f"{count} deliveries of {name} with status {status}")


def webhooks(broker, root="", **options):
    return Webhooks(broker.api(root, **options))


def endpoint_path(name):
    return f"/webhooks/endpoints/{quoted(name)}"


def event(request):
    """What was published, out of the body of a delivery."""
    return request.json()["data"]


def dead_letters(broker, endpoint, prefix=""):
    """The messages in the dead-letter topic that are this endpoint's. `prefix`: the project's."""
    topic = prefix + DEAD_LETTER_TOPIC
    if topic not in kafka.topics(broker):
        return []
    return [letter for letter in kafka.read_all(broker, topic) if header(letter, "webhook-endpoint-id") == endpoint["endpoint_id"]]


def header(message, name):
    """None when there is no such header."""
    values = [value for found, value in message.headers() or [] if found == name]
    return values[0].decode() if values else None


def committed(broker, endpoint, topic):
    """Partition -> the offset up to which the endpoint has settled everything; 0 where it has committed none."""
    reader = Consumer(kafka.settings(broker, group_id=endpoint["group"]))
    try:
        asked = [TopicPartition(topic, number) for number in range(kafka.topics(broker)[topic])]
        return {place.partition: max(0, place.offset) for place in reader.committed(asked, timeout=SECONDS)}
    finally:
        reader.close()


def lag(broker, endpoint, topic):
    """As Kafka's tools count it: ends minus committed offsets, over all partitions."""
    offsets = committed(broker, endpoint, topic)
    asked = {TopicPartition(topic, number): OffsetSpec.latest() for number in offsets}
    ends = kafka.admin(broker).list_offsets(asked, isolation_level=IsolationLevel.READ_COMMITTED)
    return sum(found.result(SECONDS).offset - offsets[place.partition] for place, found in ends.items())
