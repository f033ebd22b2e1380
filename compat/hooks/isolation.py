"""A dead or slow endpoint harms nobody else: many endpoints of which some hang, and how long events take to the others meanwhile.

  isolation.py [--endpoints N] [--hanging N] [--events N]

The latency from the acknowledged produce to the received request, to every endpoint that is well: first when all are well, then while the others
hang, and to some that come only then. The figures are printed; what is asserted is generous, since the machine is shared.
"""

import argparse
import sys
import time

import kafka_client as kafka
from receiver import HANG, Receiver, Reply
from server import started
from suite import Results, eventually, fresh
from webhooks import SETTINGS, event, webhooks

SECONDS = 180
# Between two events, at least, and deliveries per second at which the machine is not the limit.
PAUSE_SECONDS, RATE = 0.02, 4000
# What may not be exceeded: times the latency without hanging endpoints, or this many seconds, whichever is more.
FACTOR, LATENCY_SECONDS = 20, 5
# As by default: what hangs is given up after a while, and others hang instead of it.
DEFAULTS = {"hooks.timeout_ms": 15_000, "hooks.retry_schedule_ms": "5000,30000,120000"}
# Endpoints that come when the others hang already.
LATE = 5


def main():
    options = argparse.ArgumentParser(description="latency beside endpoints that hang")
    options.add_argument("--endpoints", type=int, default=100, help="all together (100)")
    options.add_argument("--hanging", type=int, default=30, help="of them (30)")
    options.add_argument("--events", type=int, default=50, help="in each phase (50)")
    options.add_argument("--list", action="store_true", help="print the name and stop")
    asked = options.parse_args()
    name = f"{asked.endpoints} endpoints of which {asked.hanging} hang"
    if asked.list:
        print(name)
        return
    results, began = Results("/nonexistent"), time.monotonic()
    settings = {**SETTINGS, **DEFAULTS, "hooks.endpoints_max": asked.endpoints + LATE}
    try:
        with started(settings) as broker, Receiver(lambda request: Reply(end=HANG) if request.path == "/hanging" else Reply()) as receiver:
            expect_isolation(broker, receiver, asked)
        results.add_pass(name, time.monotonic() - began)
    except Exception as error:  # noqa: BLE001 - whatever went wrong is the test's result
        results.add_failure(name, " ".join(str(error).split())[:500] or type(error).__name__, time.monotonic() - began)
    sys.exit(results.finish())


def expect_isolation(broker, receiver, asked):
    hooks, topic = webhooks(broker), fresh("isolation")
    kafka.create(broker, topic)
    well = [f"well-{number}" for number in range(asked.endpoints - asked.hanging)]
    for name in well:
        hooks.create(name, receiver.url(f"/{name}"), events=[topic])
    alone = latencies(broker, receiver, topic, asked.events, well, "alone")
    for number in range(asked.hanging):
        hooks.create(f"hanging-{number}", receiver.url("/hanging"), events=[topic])
    before = broker.resident_mb()
    beside = latencies(broker, receiver, topic, asked.events, well, "beside")
    hanging = sum(1 for request in list(receiver.requests) if request.path == "/hanging")
    show("all are well", alone)
    show(f"{asked.hanging} hang", beside)
    print(f"{hanging} requests hung; memory {broker.resident_mb():.0f} MiB ({broker.resident_mb() - before:+.0f})", flush=True)
    if hanging == 0:
        raise AssertionError("no request hangs: the endpoints that should do so have got nothing")
    most = max(LATENCY_SECONDS, FACTOR * share(alone, 0.99))
    if share(beside, 0.99) > most:
        raise AssertionError(f"p99 beside hanging endpoints is {share(beside, 0.99):.2f} s, more than {most:.2f} s")
    late = [f"late-{number}" for number in range(LATE)]
    for name in late:
        hooks.create(name, receiver.url(f"/{name}"), events=[topic])
    later = latencies(broker, receiver, topic, 10, late, "late")
    show(f"{LATE} that came later", later)
    if share(later, 1) > most:
        raise AssertionError(f"an endpoint that came later waited for {share(later, 1):.2f} s, more than {most:.2f} s")


def latencies(broker, receiver, topic, count, names, phase):
    """Seconds, of each event to each endpoint that is well, sorted."""
    acknowledged, already = {}, len(receiver.requests)
    client = broker.api()
    for number in range(count):
        client.produce(topic, f"{phase} {number}")
        acknowledged[f"{phase} {number}"] = time.monotonic()
        time.sleep(max(PAUSE_SECONDS, len(names) / RATE))
    paths = {f"/{name}" for name in names}

    def arrived():
        # Looking into all of them takes time from the receiver's thread: not before they can be there.
        if len(receiver.requests) - already < count * len(names):
            return None
        found = {}
        for request in list(receiver.requests):
            if request.path in paths and (value := event(request)) in acknowledged:
                found.setdefault((request.path, value), request.at)
        return found if len(found) == count * len(names) else None

    found = eventually(arrived, SECONDS, f"{count} events to each of {len(names)} endpoints")
    return sorted(max(0.0, at - acknowledged[value]) for (_, value), at in found.items())


def share(values, part):
    return values[min(len(values) - 1, int(len(values) * part))]


def show(what, values):
    percentiles = ", ".join(f"{name} {share(values, part) * 1000:.0f} ms" for name, part in [("p50", 0.5), ("p99", 0.99), ("largest", 1)])
    print(f"{what}: {percentiles} over {len(values)} deliveries", flush=True)


if __name__ == "__main__":
    main()
