"""What a pattern subscription over many topics costs: bench/http/patterns.py (with compat's Python, $FBF_VENV/bin/python).

Makes topics of one partition, so many that match `order.**` and the rest that does not, and measures, by the processor time of fbf, what one
look of a group at the pattern costs, and how long a long poll takes to hand out the first event of a topic that is created meanwhile.
"""

import os
import pathlib
import statistics
import sys
import threading
import time

COMPAT = pathlib.Path(__file__).parents[2] / "compat"
sys.path[:0] = [str(COMPAT), str(COMPAT / "http")]

from server import HttpBroker  # noqa: E402 - found by the line above

LOOKS = 200
ROUNDS = 20
TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(broker):
    fields = pathlib.Path(f"/proc/{broker.pid}/stat").read_text(encoding="ascii").rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def make_topics(client, names):
    for name in names:
        client.create(name, partitions=1)


def look(client, group):
    return client.get(f"/topics/order.**/consume?group={group}")


def cost_of_a_look(broker, client):
    """CPU milliseconds of a look that finds nothing new."""
    look(client, "looks")
    before = cpu_seconds(broker)
    for _ in range(LOOKS):
        look(client, "looks")
    return (cpu_seconds(broker) - before) * 1000 / LOOKS


def seconds_to_a_new_topic(broker, client, round_number):
    """From the creation of a matching topic to its first event in a long poll's answer; the event is produced in between."""
    answers = []

    def wait():
        answers.append((broker.api().get(f"/topics/order.**/consume?group=new&wait_ms=20000"), time.monotonic()))

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.1)
    name, began = f"order.new.{round_number}", time.monotonic()
    client.create(name, partitions=1)
    client.produce(name, round_number)
    waiting.join()
    answer, ended = answers[0]
    assert [record["topic"] for record in answer["records"]] == [name], answer
    client.commit(name, "new", 0, 1)
    return ended - began


def main():
    print("| topics | that match | CPU ms of a look | new topic's first event after: median, largest |\n|---|---|---|---|")
    for topics, matching in [(100, 10), (10_000, 10), (10_000, 1000)]:
        broker = HttpBroker()
        broker.start()
        client = broker.api()
        make_topics(client, [f"order.a.{number}" for number in range(matching)])
        make_topics(client, [f"noise.{number}" for number in range(topics - matching)])
        cost = cost_of_a_look(broker, client)
        times = [seconds_to_a_new_topic(broker, client, number) for number in range(ROUNDS)]
        print(f"| {topics:,} | {matching:,} | {cost:.2f} | {statistics.median(times) * 1000:.0f} ms, {max(times) * 1000:.0f} ms |", flush=True)
        broker.close()


if __name__ == "__main__":
    main()
