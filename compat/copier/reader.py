"""Reads a topic at read_committed from its beginning and goes on as it grows, in a thread of its own."""

import threading

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from suite import eventually, fresh

BATCH = 1000
POLL_SECONDS = 0.2
# What a client sees of a broker that is away; it mends itself.
PASSING = (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN)


class Reader(threading.Thread):
    """`records` and `at` are written by the thread alone and may be looked at by others."""

    def __init__(self, name, bootstrap, topic, partitions):
        super().__init__(name=name, daemon=True)
        self.records = {partition: [] for partition in range(partitions)}
        # Where the end of the partition was met last.
        self.at = dict.fromkeys(range(partitions), 0)
        self.error = None
        self.is_stopped = threading.Event()
        # No reset: that an offset is out of range means that a record was there and is gone.
        settings = {"isolation.level": "read_committed", "enable.partition.eof": True, "auto.offset.reset": "error"}
        group = {"group.id": fresh("reader"), "enable.auto.commit": False}
        self.consumer = Consumer({"bootstrap.servers": bootstrap, "log_level": 2, **settings, **group})
        self.consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
        self.start()

    def run(self):
        try:
            while not self.is_stopped.is_set():
                for message in self.consumer.consume(BATCH, POLL_SECONDS):
                    self.take(message)
        except Exception as error:  # noqa: BLE001 - whoever waits for this thread raises it
            self.error = error
        finally:
            self.consumer.close()

    def take(self, message):
        error = message.error()
        if error is None:
            self.records[message.partition()].append((message.offset(), message.key(), message.value()))
        elif error.code() == KafkaError._PARTITION_EOF:
            self.at[message.partition()] = message.offset()
        elif error.code() not in PASSING:
            raise KafkaException(error)

    def read_to(self, ends, seconds):
        """Ends the reading when every partition's end (partition -> offset) is met, and returns the records by partition."""
        try:
            eventually(lambda: self.error or all(self.at[partition] >= end for partition, end in ends.items()), seconds)
        except AssertionError:
            raise AssertionError(f"{self.name} stands at {self.at} after {seconds} s; the ends are {ends}") from None
        finally:
            self.stop()
        if self.error is not None:
            raise AssertionError(f"{self.name} ended: {self.error}")
        return self.records

    def stop(self):
        self.is_stopped.set()
        self.join()
