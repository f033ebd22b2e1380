"""One member of the tour's consumer group: writes what it reads to a file, and only then counts it as read.

  member.py BOOTSTRAP GROUP TOPIC FILE

The file: a line `@` and the time (CLOCK_MONOTONIC, nanoseconds, the same clock for all members) before each batch of
records, then per record `partition TAB offset TAB key TAB value`. Everything is the client's default but two things: offsets
are stored after the file has the records (so a killed member's records come again, and none is lost), and a dead member is noticed
after 6 seconds instead of 45. SIGTERM ends it: it commits and leaves the group.
"""

import os
import signal
import sys
import time

from confluent_kafka import Consumer, KafkaException

BATCH_RECORDS = 1000
BATCH_SECONDS = 0.2


def main():
    bootstrap, group, topic, path = sys.argv[1:]
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.offset.store": False,
            "auto.commit.interval.ms": 1000,
            "session.timeout.ms": 6000,
        }
    )
    consumer.subscribe([topic], on_assign=tell("assigned"), on_revoke=tell("revoked"))
    running = True

    def stop(*_):
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    output = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    while running:
        read(consumer, output)
    consumer.close()


def read(consumer, output):
    """One batch: to the file first, then into the offsets that the next commit takes."""
    lines, newest = [b"@%d\n" % time.monotonic_ns()], {}
    for message in consumer.consume(BATCH_RECORDS, BATCH_SECONDS):
        if message.error():
            # Connections that break and come back are the point of the tour; the client mends them.
            print(f"client: {message.error()}", file=sys.stderr, flush=True)
            continue
        lines.append(b"%d\t%d\t%s\t%s\n" % (message.partition(), message.offset(), message.key(), message.value()))
        newest[message.partition()] = message
    if not newest:
        return
    write_all(output, b"".join(lines))
    for message in newest.values():
        try:
            consumer.store_offsets(message)
        except KafkaException as error:
            # A rebalance has taken the partition away meanwhile: its new owner reads these records again.
            print(f"not stored: {error}", file=sys.stderr, flush=True)


def write_all(output, data):
    while data:
        data = data[os.write(output, data) :]


def tell(what):
    def callback(_, partitions):
        numbers = ", ".join(str(partition.partition) for partition in partitions)
        print(f"{what}: {numbers or 'none'}", file=sys.stderr, flush=True)

    return callback


if __name__ == "__main__":
    main()
