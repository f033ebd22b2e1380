"""One check of the published package `fourbyfour`, in a process whose PYTHONPATH has one version of it (python_package.py starts it).

  package_calls.py CHECK VERSION BASE_URL KAFKA_BOOTSTRAP KEY PROJECT TOPIC

Every method of Stream is called as a user of that version would, and the answer is the package's own class with the types that it declares.
The package is synchronous in all these versions. TOPIC is one that is there, for the check that can make none. Ends with 1 and the reason on
standard error when the check does not hold.
"""

import datetime
import importlib.metadata
import sys

from confluent_kafka import Consumer, TopicPartition

import fourbyfour
from fourbyfour.errors import (
    AuthenticationError,
    ConflictError,
    ForbiddenError,
    FourbyfourError,
    NotFoundError,
    RateLimitError,
    ValidationError,
)
from fourbyfour.hooks import Hooks
from fourbyfour.http import HttpClient
from fourbyfour.stream import ConsumeResponse, ProduceResponse, Record, Stream, Topic, TopicStats

from suite import expect_equal, fresh


class Package:
    """The parts of one version, put together as that version wants it."""

    def __init__(self, version, base_url, key, project):
        if version == "0.1.0":
            # The only one whose client has them; it knows no projects.
            self.client = fourbyfour.Fourbyfour(api_key=key, base_url=base_url)
            self.topics, self.hooks = self.client.stream.topics, self.client.hooks
        else:
            self.client = HttpClient(base_url, key)
            self.topics, self.hooks = Stream(self.client, project).topics, Hooks(self.client, project)

    def created(self, **settings):
        topic = f"{fresh('package')}.made"
        self.topics.create(topic, **settings)
        return topic


def expect_shape(found, kind, **types):
    """`types`: field -> type."""
    expect_equal(type(found), kind, "class")
    wrong = {name: getattr(found, name) for name, wanted in types.items() if not isinstance(getattr(found, name), wanted)}
    expect_equal(wrong, {}, f"fields of {kind.__name__} with another type than declared")


def expect_raised(kind, status, call, *words):
    """The package's class for a status, with the server's message rather than only the status' name."""
    try:
        found = call()
    except FourbyfourError as error:
        expect_equal((type(error), error.status), (kind, status), f"error ({error.message})")
        expect_equal([word for word in words if word not in error.message], [], f"words that {error.message!r} lacks")
        return
    raise AssertionError(f"no {kind.__name__}, but {found}")


def is_time(text):
    return datetime.datetime.fromisoformat(text).utcoffset() == datetime.timedelta(0)


def create_gives_the_topic(package):
    topic = f"{fresh('package')}.created"
    found = package.topics.create(topic, description="all settings", partitions=3, retention_hours=24)
    expect_shape(found, Topic, name=str, partitions=int, retention_hours=int, created_at=str)
    expect_equal((found.name, found.description, found.partitions, found.retention_hours), (topic, "all settings", 3, 24))
    expect_equal(is_time(found.created_at), True, f"created_at {found.created_at} is in UTC")
    bare = package.topics.create(f"{fresh('package')}.bare")
    expect_shape(bare, Topic, name=str, partitions=int, retention_hours=int, created_at=str, description=type(None))


def list_gives_every_topic(package):
    topics = {package.created() for _ in range(3)}
    found = package.topics.list()
    expect_equal([type(topic) for topic in found], [Topic] * len(found), "classes")
    expect_equal(topics - {topic.name for topic in found}, set(), "topics that are not listed")


def get_gives_the_topic(package):
    topic = package.created(partitions=2)
    found = package.topics.get(topic)
    expect_shape(found, Topic, name=str, partitions=int, retention_hours=int, created_at=str)
    expect_equal((found.name, found.partitions), (topic, 2))


def delete_takes_it_away(package):
    topic = package.created()
    expect_equal(package.topics.delete(topic), None, "what delete gives")
    expect_raised(NotFoundError, 404, lambda: package.topics.get(topic), topic)


def produce_says_where_and_when(package):
    topic = package.created(partitions=1)
    found = package.topics.produce(topic, {"total": 99.99}, key="order-123", headers={"trace": "abc"})
    expect_shape(found, ProduceResponse, topic=str, partition=int, offset=int, timestamp=str)
    expect_equal((found.topic, found.partition, found.offset), (topic, 0, 0))
    expect_equal(is_time(found.timestamp), True, f"timestamp {found.timestamp} is in UTC")
    for offset, value in enumerate(["text", 7, 1.5, True, [1, {"a": []}], {}], start=1):
        expect_equal(package.topics.produce(topic, value).offset, offset, f"offset of {value!r}")


def consume_gives_records_and_goes_on(package):
    topic, group = package.created(partitions=1), fresh("workers")
    package.topics.produce(topic, {"n": 0}, key="k", headers={"trace": "abc"})
    for number in range(1, 10):
        package.topics.produce(topic, {"n": number})
    found = package.topics.consume(topic, group, limit=4)
    expect_shape(found, ConsumeResponse, records=list, next_offset=int)
    expect_equal((len(found.records), found.next_offset), (4, 4), "records and next_offset")
    first, second = found.records[:2]
    expect_shape(first, Record, topic=str, partition=int, offset=int, value=dict, timestamp=str, key=str, headers=dict)
    expect_equal((first.topic, first.partition, first.offset, first.value), (topic, 0, 0, {"n": 0}), "first")
    expect_equal((first.key, first.headers, second.key, second.headers), ("k", {"trace": "abc"}, None, None), "keys and headers")
    rest = package.topics.consume(topic, group, partition=0)
    expect_equal([record.value["n"] for record in rest.records], list(range(4, 10)), "the next page")
    expect_shape(package.topics.consume(topic, group), ConsumeResponse, records=list, next_offset=int)


def commit_offset_commits_for_kafka_too(package):
    topic, group = package.created(partitions=1), fresh("workers")
    for number in range(4):
        package.topics.produce(topic, number)
    page = package.topics.consume(topic, group, limit=3)
    expect_equal(package.topics.commit_offset(topic, group, 0, page.next_offset), None, "what commit_offset gives")
    client = Consumer({"bootstrap.servers": package.bootstrap, "group.id": group})
    expect_equal(client.committed([TopicPartition(topic, 0)], timeout=30)[0].offset, 3, "the offset as Kafka sees it")
    client.close()
    expect_equal([record.value for record in package.topics.consume(topic, group).records], [3], "the next page")


def stats_count_events(package):
    topic = package.created()
    found = package.topics.stats(topic)
    expect_shape(found, TopicStats, name=str, total_events=int, total_bytes=int, events_per_second=(int, float), last_event_at=type(None))
    package.topics.produce(topic, "x" * 100)
    found = package.topics.stats(topic)
    expect_shape(found, TopicStats, name=str, total_events=int, total_bytes=int, events_per_second=(int, float), last_event_at=str)
    expect_equal((found.name, found.total_events, found.total_bytes >= 100), (topic, 1, True), "stats")


def errors_are_the_packages_own(package):
    topics, unknown, topic = package.topics, f"{fresh('package')}.unknown", package.created(partitions=1)
    expect_raised(ValidationError, 400, lambda: topics.create("no spaces"), "no spaces")
    expect_raised(ValidationError, 400, lambda: topics.consume(topic, ""), "group")
    expect_raised(ValidationError, 400, lambda: topics.commit_offset(topic, "g", 0, -1), "offset")
    expect_raised(ConflictError, 409, lambda: topics.create(topic), topic)
    for call in [topics.get, topics.delete, topics.stats, lambda name: topics.consume(name, "g"), lambda name: topics.commit_offset(name, "g", 0, 0)]:
        expect_raised(NotFoundError, 404, lambda call=call: call(unknown), unknown)


def webhooks_are_made_listed_and_deleted(package):
    """What is delivered, and how, is asked about in compat/hooks."""
    hooks, name = package.hooks, fresh("crm")
    made = hooks.create_endpoint(name, "https://crm.example.com/in")
    expect_equal((made.name, made.enabled, made.secret.startswith("whsec_")), (name, True, True), "what was made")
    expect_equal([one.endpoint_id for one in hooks.list_endpoints() if one.name == name], [made.endpoint_id], "the list")
    expect_equal(list(hooks.get_deliveries(name)), [], "deliveries of a new endpoint")
    expect_raised(ConflictError, 409, lambda: hooks.create_endpoint(name, "https://crm.example.com/in"), name)
    expect_raised(ValidationError, 400, lambda: hooks.create_endpoint(fresh("crm"), "https://127.0.0.1/in"), "127.0.0.1")
    hooks.delete_endpoint(name)
    expect_raised(NotFoundError, 404, lambda: hooks.delete_endpoint(name), name)


def a_project_of_others_raises_forbidden(package):
    expect_raised(ForbiddenError, 403, package.topics.list)


def an_unknown_key_raises_authentication_error(package):
    expect_raised(AuthenticationError, 401, package.topics.list)


def a_full_server_raises_rate_limit_error(package):
    expect_raised(RateLimitError, 429, lambda: package.topics.produce(package.topic, "x" * 900_000))


def main():
    check, version, base_url, bootstrap, key, project, topic = sys.argv[1:]
    expect_equal(importlib.metadata.version("fourbyfour"), version, "version of the package that was imported")
    package = Package(version, base_url, key, project)
    package.bootstrap, package.topic = bootstrap, topic
    globals()[check](package)


if __name__ == "__main__":
    try:
        main()
    except Exception as failure:  # noqa: BLE001 - the reason is all that python_package.py shows
        sys.exit(f"{type(failure).__name__}: {failure}")
