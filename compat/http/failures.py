"""What must hold when connections are cut, workers die and the broker is killed: nothing lost, nothing written twice, offsets that are Kafka's.

The seed chooses which requests are cut and where, and when the broker is killed; what it cannot choose is what is on its way then.
FBF_SEED repeats a seed. Kills are the main thread's work: the kernel ends a broker with the thread that started it (setpriv --pdeathsig).
"""

import collections
import dataclasses
import http.client
import json
import os
import pathlib
import queue
import random
import socket
import subprocess
import sys
import threading
import time

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition

import kafka_client as kafka
from api import expect_error, topic_path, until_answered
from server import HttpSuite
from suite import eventually, expect_equal, fresh

HERE = pathlib.Path(__file__).parent
LEASE_MS = 3000
PARTITIONS = 4
SENDERS = 8
REQUESTS, BATCHES, BATCH_RECORDS = 1000, 200, 5
KILLS = 5
# Of the tries: cut before anything is sent, in the middle, and after all is sent; the rest wait for their answer.
CUTS = {"before": 0.1, "inside": 0.1, "after": 0.15}
SECONDS = 30

suite = HttpSuite("http failures", settings={"http.consume_lease_ms": LEASE_MS, "num.partitions": PARTITIONS})


def seeded():
    seed = int(os.environ.get("FBF_SEED") or random.randrange(1_000_000))
    print(f"seed {seed}", flush=True)
    return seed, random.Random(seed)


@dataclasses.dataclass
class Request:
    """One idempotency key, its body, and how each of its tries ends until one is answered."""

    number: int
    key: str
    path: str
    body: bytes
    cuts: list
    tries: int = 0
    answer: dict | None = None


@suite.test
def each_idempotency_key_is_written_once_through_cuts_and_kills(broker):
    def values_of(number):
        return [number]

    def places_of(answer):
        return [(answer["partition"], answer["offset"])]

    expect_written_once(broker, "produce", REQUESTS, lambda number: {"value": number, "key": f"k{number % 50}"}, values_of, places_of)


@suite.test
def each_batch_with_an_idempotency_key_is_written_once_through_cuts_and_kills(broker):
    def values_of(number):
        return [f"{number}.{part}" for part in range(BATCH_RECORDS)]

    def body(number):
        return {"records": [{"value": value, "partition": part % PARTITIONS} for part, value in enumerate(values_of(number))]}

    def places_of(answer):
        return [(result["partition"], result["offset"]) for result in answer["results"]]

    expect_written_once(broker, "records", BATCHES, body, values_of, places_of)


def expect_written_once(broker, route, count, body, values_of, places_of):
    """Sends `count` requests again and again until each is answered, and holds the topic against the answers."""
    seed, chance = seeded()
    topic = fresh("once")
    broker.api().create(topic, partitions=PARTITIONS)
    path = f"{topic_path(topic)}/{route}"
    requests = [Request(number, fresh(f"key-{number}"), path, dumped(body(number)), cuts(chance)) for number in range(count)]
    kill_at = sorted(chance.sample(range(count // 10, count), KILLS))
    senders = Senders(broker, requests)
    for at in kill_at:
        eventually(lambda at=at: senders.answered >= at or senders.failures, SECONDS, f"{at} answers")
        broker.kill()
        broker.start()
    senders.join()
    expect_equal(senders.failures, [], f"failures with seed {seed}")
    tries = sum(request.tries for request in requests)
    print(f"{count} requests took {tries} tries and {KILLS} kills of the broker", flush=True)
    written = {(message.partition(), message.offset()): json.loads(message.value()) for message in kafka.read_all(broker, topic)}
    times = collections.Counter(written.values())
    expected = [value for number in range(count) for value in values_of(number)]
    expect_equal([value for value in expected if times[value] == 0][:10], [], f"lost with seed {seed}")
    expect_equal([value for value in expected if times[value] > 1][:10], [], f"written twice with seed {seed}")
    expect_equal(len(written), len(expected), f"records with seed {seed}")
    for request in requests:
        found = [written.get(place) for place in places_of(request.answer)]
        expect_equal(found, values_of(request.number), f"what stands where the answer to request {request.number} says, seed {seed}")
    client = broker.api()
    for request in chance.sample(requests, 20):
        again = client.post(request.path, json.loads(request.body), {"Idempotency-Key": request.key})
        expect_equal(places_of(again), places_of(request.answer), f"the answer to request {request.number}, asked once more, seed {seed}")
    expect_equal(len(kafka.read_all(broker, topic)), len(expected), f"records after that with seed {seed}")


def dumped(body):
    return json.dumps(body).encode()


def cuts(chance):
    """Where the first tries are cut; the try after the last of them waits for its answer."""
    places = []
    while (draw := chance.random()) < sum(CUTS.values()):
        for place, share in CUTS.items():
            if draw < share:
                places.append(place)
                break
            draw -= share
    return places


class Senders:
    """Threads that take requests from one queue; `answered` counts, `failures` says what should not have been."""

    def __init__(self, broker, requests):
        self.broker, self.answered, self.failures = broker, 0, []
        self.count = threading.Lock()
        self.requests = queue.SimpleQueue()
        for request in requests:
            self.requests.put(request)
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(SENDERS)]
        for thread in self.threads:
            thread.start()

    def run(self):
        client = self.broker.api()
        while not self.failures:
            try:
                request = self.requests.get_nowait()
            except queue.Empty:
                return
            try:
                self.send(client, request)
            except Exception as error:  # noqa: BLE001 - for the thread that checks
                self.failures.append(f"request {request.number}: {error!r}")

    def send(self, client, request):
        def one_try():
            request.tries += 1
            if request.cuts:
                cut(self.broker.http_port, request, request.cuts.pop(0))
                raise ConnectionError("cut on purpose")
            return client.call("POST", request.path, request.body, {"Idempotency-Key": request.key}).success()

        request.answer = until_answered(one_try, SECONDS)
        with self.count:
            self.answered += 1

    def join(self):
        deadline = time.monotonic() + 2 * SECONDS
        for thread in self.threads:
            thread.join(max(0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in self.threads):
            self.failures.append(f"only {self.answered} requests were answered within {2 * SECONDS} s")


def cut(port, request, place):
    """A connection that goes away before, inside or right behind the request; nobody reads what is answered."""
    head = (
        f"POST {request.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Idempotency-Key: {request.key}\r\nContent-Length: {len(request.body)}\r\n\r\n"
    ).encode()
    message = head + request.body
    sent = {"before": 0, "inside": len(message) - len(request.body) // 2 - 1, "after": len(message)}[place]
    with socket.create_connection(("127.0.0.1", port), SECONDS) as connection:
        connection.sendall(message[:sent])


@suite.test
def what_a_killed_worker_held_is_done_by_the_others(broker):
    """Three worker processes; one is killed with a page in its hands, and the broker later."""
    seed, chance = seeded()
    client, topic, group, count = broker.api(), fresh("work"), fresh("workers"), 3000
    client.create(topic, partitions=PARTITIONS)
    client.produce_all(topic, [{"value": number, "partition": number % PARTITIONS} for number in range(count)])
    files = [broker.home / f"{topic}-{name}" for name in ("victim", "second", "third")]
    workers = []
    try:
        # The victim has its page before anybody else begins, and keeps it.
        workers.append(spawn(broker, topic, group, files[0], "--hold"))
        held = eventually(lambda: lines(files[0]), what="the victim's page")
        workers += [spawn(broker, topic, group, file) for file in files[1:]]
        kill_worker_at, kill_broker_at = sorted(chance.sample(range(100, count // 2), 2))
        eventually(lambda: done_by(files[1:]) >= kill_worker_at, what=f"{kill_worker_at} records done by the others")
        workers[0].kill()
        workers[0].wait()
        eventually(lambda: done_by(files[1:]) >= kill_broker_at, what=f"{kill_broker_at} records done by the others")
        broker.kill()
        broker.start()
        eventually(lambda: all_committed(broker, group, topic), 60, f"the group's offsets at the ends, seed {seed}")
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    done = {line for file in files[1:] for line in lines(file)}
    expect_equal(sorted(set(lines(files[0])) - done), [], f"held by the victim and done by nobody, seed {seed}")
    missing = set(range(count)) - {int(line.split("\t")[2]) for line in done}
    expect_equal(sorted(missing)[:10], [], f"numbers that nobody did, seed {seed}")
    print(f"the victim held {len(held)} records; the others were handed {done_by(files[1:])} for {count}", flush=True)


def spawn(broker, topic, group, file, *more):
    command = [sys.executable, str(HERE / "worker.py"), str(broker.http_port), topic, group, file.name, str(file), *more]
    return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL)


def done_by(files):
    return sum(len(lines(file)) for file in files)


def lines(file):
    """The whole lines of a file that somebody is writing."""
    return file.read_text(encoding="utf-8").split("\n")[:-1] if file.exists() else []


def all_committed(broker, group, topic):
    """The broker may be away just now; then they are not."""
    return all(kafka.committed(broker, group, topic, partition) == end for partition, end in kafka.ends(broker, topic).items())


def numbered(broker, count, partitions):
    client, topic = broker.api(), fresh("mixed")
    client.create(topic, partitions=partitions)
    client.produce_all(topic, [{"value": number, "partition": number % partitions} for number in range(count)])
    return client, topic, fresh("both")


def values(page):
    return [record["value"] for record in page["records"]]


def read_and_commit(client, topic, group, limit):
    """One page over HTTP, acknowledged; its values."""
    page = client.consume(topic, group=group, limit=limit)
    for partition, offset in page["next_offsets"].get(topic, {}).items():
        client.commit(topic, group, int(partition), offset)
    return values(page)


@suite.test
def a_kafka_consumer_with_partitions_of_its_own_and_http_workers_share_a_group(broker):
    """Assigned by hand, the consumer is no member: it commits for its partition, HTTP for the others, and neither disturbs the other."""
    client, topic, group = numbered(broker, 400, partitions=4)
    reader = Consumer(kafka.settings(broker, group_id=group, enable_auto_commit=False))
    reader.assign([TopicPartition(topic, 0, 0)])
    seen_by_kafka, seen_by_http = [], []
    try:
        for round_number in range(1, 5):
            while len(seen_by_kafka) < round_number * 25:
                seen_by_kafka += [int(message.value()) for message in reader.consume(round_number * 25 - len(seen_by_kafka), 1)]
            reader.commit(offsets=[TopicPartition(topic, 0, round_number * 25)], asynchronous=False)
            for partition in (1, 2, 3):
                page = client.consume(topic, group=group, partition=partition, limit=25)
                seen_by_http += values(page)
                client.commit(topic, group, partition, page["next_offset"])
            found = [kafka.committed(broker, group, topic, partition) for partition in range(4)]
            expect_equal(found, [round_number * 25] * 4, f"committed, round {round_number}")
    finally:
        reader.close()
    expect_equal(sorted(seen_by_kafka + seen_by_http), list(range(400)), "what both have read: everything, nothing twice")


@suite.test
def a_kafka_member_goes_on_where_http_stopped_and_http_where_kafka_stopped(broker):
    client, topic, group = numbered(broker, 300, partitions=3)
    by_http = read_and_commit(client, topic, group, 50) + read_and_commit(client, topic, group, 50)
    with kafka.Member(broker, group, topic) as member:
        messages = member.read(100)
        offsets = {}
        for message in messages:
            offsets[message.partition()] = message.offset() + 1
        member.commit(offsets)
        for partition, offset in offsets.items():
            expect_equal(kafka.committed(broker, group, topic, partition), offset, f"committed for partition {partition}")
    by_kafka = [int(message.value()) for message in messages]
    again = until_not_in_use(client, topic, group)
    expect_equal(sorted(by_http + by_kafka + again), list(range(300)), "what both have read: everything, nothing twice")


def until_not_in_use(client, topic, group):
    """The values of the next page, once the member that has left is gone."""

    def page():
        answer = client.call("GET", f"{topic_path(topic)}/consume", query={"group": group, "limit": 1000})
        return answer.success() if answer.status != 409 else None

    return values(eventually(page, what="the group without members"))


@suite.test
def while_kafka_members_have_the_group_http_is_told_409(broker):
    client, topic, group = numbered(broker, 30, partitions=1)
    expect_equal(read_and_commit(client, topic, group, 10), list(range(10)), "before")
    with kafka.Member(broker, group, topic) as member:
        member.read(5)
        member.commit({0: 15})
        expect_error(client.call("GET", f"{topic_path(topic)}/consume", query={"group": group}), 409, group, what="consume")
        expect_error(client.call("GET", f"{topic_path(topic)}/consume", query={"group": group, "wait_ms": 500}), 409, group, what="long poll")
        expect_error(client.call("GET", "/topics/**/consume", query={"group": group}), 409, group, what="a pattern")
        commit = {"group": group, "partition": 0, "offset": 30}
        expect_error(client.call("POST", f"{topic_path(topic)}/offsets", commit), 409, group, what="commit")
        expect_error(client.call("POST", f"{topic_path(topic)}/groups/{group}/reset", {"to": "earliest"}), 409, group, what="reset")
        expect_equal(kafka.committed(broker, group, topic), 15, "committed")
        expect_equal(len(client.consume(topic, **{"from": "earliest"})["records"]), 30, "reading without a group")
    expect_equal(until_not_in_use(client, topic, group), list(range(15, 30)), "when the member has left")


@suite.test
def a_member_that_joins_while_http_holds_records_loses_none_of_them(broker):
    client, topic, group = numbered(broker, 30, partitions=1)
    expect_equal(values(client.consume(topic, group=group, limit=10)), list(range(10)), "held")
    expect_equal(values(client.consume(topic, group=group, limit=10)), list(range(10, 20)), "held, too")
    client.commit(topic, group, 0, 20)
    with kafka.Member(broker, group, topic) as member:
        found = [int(message.value()) for message in member.read(30)]
        expect_equal(found, list(range(30)), "what the member reads: all from the first that was not acknowledged")


@suite.test
def a_group_of_http_is_a_group_for_kafkas_tools(broker):
    client, topic, group = numbered(broker, 10, partitions=1)
    read_and_commit(client, topic, group, 4)
    admin = kafka.admin(broker)
    listed = {entry.group_id: entry.state.name for entry in admin.list_consumer_groups().result(SECONDS).valid}
    expect_equal(listed.get(group), "EMPTY", "state in the list of groups")
    described = admin.describe_consumer_groups([group])[group].result(SECONDS)
    expect_equal((described.state.name, len(described.members)), ("EMPTY", 0), "description")
    admin.delete_consumer_groups([group])[group].result(SECONDS)
    expect_equal(kafka.committed(broker, group, topic), None, "committed after the deletion")
    expect_equal(values(client.consume(topic, group=group, limit=3)), [0, 1, 2], "a group of the same name begins anew")


@suite.test
def offsets_that_kafkas_tools_set_are_where_http_goes_on(broker):
    client, topic, group = numbered(broker, 20, partitions=1)
    read_and_commit(client, topic, group, 10)
    wanted = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 3)])
    kafka.admin(broker).alter_consumer_group_offsets([wanted])[group].result(SECONDS)
    expect_equal(values(client.consume(topic, group=group)), list(range(3, 20)), "the next page")


@suite.test
def many_short_connections_leave_nothing_behind(broker):
    client = broker.api()
    client.get("/healthz")
    before = open_files(broker)
    for _ in range(500):
        connection = http.client.HTTPConnection("127.0.0.1", broker.http_port, timeout=SECONDS)
        connection.request("GET", "/healthz")
        expect_equal(connection.getresponse().status, 200, "status")
        connection.close()
    eventually(lambda: open_files(broker) <= before + 5, what="closed connections")


def open_files(broker):
    return len(list(pathlib.Path(f"/proc/{broker.pid}/fd").iterdir()))


if __name__ == "__main__":
    suite.main()
