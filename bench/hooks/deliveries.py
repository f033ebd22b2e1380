"""Webhooks per second to local receivers, p50 and p99 from the acknowledged produce to the received request, and the CPU seconds of fbf.

  run.sh [--events N] [--rounds N] [--seconds N] [--rate N] [--receivers N] [--concurrency N]

Rows, each the median of its rounds:

  one receiver               one endpoint, all events at once: deliveries per second from the first request to the last
  100 receivers              as many endpoints, each with a topic of its own and its share of the events
  100 receivers, one topic   every event goes to all of them
  …, N/s                     events at a steady pace, --rate deliveries per second (4,000): the latency that counts

Events have 200 bytes of JSON and are written by librdkafka, with acks=all to a server that syncs what it acknowledges. The receivers are one Python
process and the producer is another one, on the same machine: what they use of it is said, and is what fbf does not have.
"""

import argparse
import array
import os
import pathlib
import statistics
import subprocess
import sys
import time

from confluent_kafka import Producer

import kafka_client as kafka
from server import HttpBroker
from suite import fresh
from webhooks import webhooks

HERE = pathlib.Path(__file__).parent
VALUE = '{"event": "#%08d#", "padding": "' + "x" * 160 + '"}'
PARTITIONS = 4
# Sent together when events come at a steady pace.
TICK_SECONDS = 0.005
COLUMNS = ["deliveries/s", "p50 ms", "p99 ms", "CPU s of fbf per 10,000", "CPU s of the receivers per 10,000", "lost", "repeated"]


def main():
    options = argparse.ArgumentParser(description="webhooks to local receivers", formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--events", type=int, default=60_000, help="deliveries of a row that is not paced (60000)")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=int, default=10, help="of a paced row (10)")
    options.add_argument("--rate", type=int, default=4000, help="deliveries per second of the paced rows (4000)")
    options.add_argument("--receivers", type=int, default=100, help="of the rows with many (100)")
    options.add_argument("--concurrency", type=int, help="of each endpoint (the server's default)")
    asked = options.parse_args()
    many = asked.receivers
    rows = [
        ("one receiver", 1, 1, None),
        (f"{many} receivers", many, many, None),
        (f"{many} receivers, one topic", many, 1, None),
        (f"one receiver, {asked.rate:,}/s", 1, 1, asked.rate),
        (f"{many} receivers, {asked.rate:,}/s", many, many, asked.rate),
    ]
    print(f"| receivers | {' | '.join(COLUMNS)} |\n|---|{'---:|' * len(COLUMNS)}", flush=True)
    for name, receivers, topics, rate in rows:
        found = [one_round(asked, receivers, topics, rate) for _ in range(asked.rounds)]
        medians = [statistics.median(each[column] for each in found) for column in range(len(COLUMNS))]
        per_second, p50, p99, ours, theirs, lost, repeated = medians
        print(f"| {name} | {per_second:,.0f} | {p50:.1f} | {p99:.1f} | {ours:.2f} | {theirs:.2f} | {lost:.0f} | {repeated:.0f} |", flush=True)
    print(f"\n{os.cpu_count()} cores, medians of {asked.rounds} rounds")


def one_round(asked, receivers, topics, rate):
    """A server and receivers of their own. The columns."""
    broker = HttpBroker({"hooks.allow_private_addresses": "true", "hooks.endpoints_max": 10_000})
    file = broker.home / "arrived"
    command = ["setpriv", "--pdeathsig", "KILL", sys.executable, str(HERE / "receiver.py"), str(receivers), str(file)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        broker.start()
        return measured(asked, broker, Receivers(process, file), topics, rate)
    finally:
        process.kill()
        process.wait()
        broker.close()


class Receivers:
    """receiver.py in its process, and the file in which it says what has arrived."""

    def __init__(self, process, file):
        self.process, self.file = process, file
        self.ports = process.stdout.readline().split()

    def arrived(self, count):
        """Numbers and times, in turn, once there are so many requests or no more come."""
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        number = int(self.process.stdout.readline())
        entries = array.array("q")
        with open(self.file, "rb") as file:
            entries.fromfile(file, 2 * number)
        return entries

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(asked, broker, receivers, topics, rate):
    ports = receivers.ports
    names = [kafka.create(broker, fresh(f"bench-{number}"), PARTITIONS if topics == 1 else 1) for number in range(topics)]
    more = {"concurrency": asked.concurrency} if asked.concurrency else {}
    for number, port in enumerate(ports):
        webhooks(broker).create(f"bench-{number}", f"http://127.0.0.1:{port}/in", events=[names[number % topics]], **more)
    copies = len(ports) // topics
    # Connections are made, and receivers known to be quick, before anything is measured.
    warm = max(20 * topics, 200)
    produce(broker, names, 0, warm, None)
    receivers.arrived(warm * copies)
    count = (rate * asked.seconds if rate else asked.events) // copies
    before = broker.cpu_seconds(), receivers.cpu_seconds()
    acknowledged = produce(broker, names, warm, count, rate and rate / copies)
    entries = receivers.arrived(count * copies)
    after = broker.cpu_seconds(), receivers.cpu_seconds()
    numbers, times = entries[0::2], entries[1::2]
    if not times:
        raise RuntimeError(f"nothing has arrived:\n{broker.log_tail()}")
    # What repeats an event of the same receiver cannot be told from the fan-out; the sum can.
    lost, repeated = max(0, count * copies - len(numbers)), max(0, len(numbers) - count * copies)
    latencies = sorted(max(0, at - acknowledged[number]) / 1e6 for number, at in zip(numbers, times, strict=True) if number in acknowledged)
    seconds = (max(times) - min(times)) / 1e9
    ours, theirs = (end - start for start, end in zip(before, after, strict=True))
    per_10_000 = 10_000 / len(numbers)
    return len(numbers) / seconds, share(latencies, 0.5), share(latencies, 0.99), ours * per_10_000, theirs * per_10_000, lost, repeated


def produce(broker, topics, first, count, rate):
    """Number of an event -> when it was acknowledged, in nanoseconds of the monotonic clock. `rate`: events per second, None is all at once."""
    producer = Producer(kafka.settings(broker, linger_ms=1, queue_buffering_max_messages=1_000_000))
    acknowledged, began = {}, time.monotonic()

    def reported(number):
        def callback(error, message):
            if error is None:
                acknowledged[number] = time.monotonic_ns()

        return callback

    for number in range(first, first + count):
        if rate:
            due = began + (number - first) / rate
            while (left := due - time.monotonic()) > 0:
                producer.poll(min(left, TICK_SECONDS))
        producer.produce(topics[number % len(topics)], VALUE % number, key=str(number), on_delivery=reported(number))
        producer.poll(0)
    if producer.flush(60) or len(acknowledged) != count:
        raise RuntimeError(f"{count - len(acknowledged)} of {count} events were not acknowledged")
    return acknowledged


def share(values, part):
    return values[min(len(values) - 1, int(len(values) * part))]


if __name__ == "__main__":
    main()
