"""Runs in which a broker and what works on it are killed again and again: what streams and connect share."""

import dataclasses
import re
import shutil
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from suite import eventually, fresh

CLIENT_SECONDS = 30


@dataclasses.dataclass(frozen=True)
class Kill:
    """`after` seconds since the last one, the victim ("broker", or the name of what works on it) dies for `away` seconds."""

    victim: str
    after: float
    away: float


def one_run(run, results):
    """`run` has a name, a folder, the command that repeats it, `run` and `close`; the folder of one that failed stays."""
    started = time.monotonic()
    print(f"{run.name}; to repeat it: {run.command()}", flush=True)
    try:
        run.run()
        results.add_pass(run.name, time.monotonic() - started)
        failed = False
    except Exception as error:  # noqa: BLE001 - whatever went wrong is the run's result
        results.add_failure(run.name, " ".join(str(error).split())[:1000] or type(error).__name__, time.monotonic() - started)
        failed = True
    finally:
        run.close()
    if failed:
        print(f"    logs and data: {run.folder}\n    to repeat it: {run.command()}", flush=True)
    else:
        shutil.rmtree(run.folder)


def client_settings(bootstrap):
    """No log lines about a broker that is away, and back at once when it is there again."""
    return {"bootstrap.servers": bootstrap, "log_level": 2, "reconnect.backoff.max.ms": 500}


def last_exception(said):
    """The last exception of a Java log with its causes."""
    errors = re.findall(r"^(?:Caused by: )?[\w.$]+(?:Exception|Error)\b.*", said, re.MULTILINE)
    last = next((at for at in reversed(range(len(errors))) if not errors[at].startswith("Caused by")), 0)
    return " ".join(errors[last:]) or "no exception in its log"


class Reader:
    """Reads partitions, (topic, number) pairs, from their beginnings; what it does with a message is its subclass's `take`."""

    def __init__(self, bootstrap, isolation_level, partitions, what):
        """`what`: what is read, for error messages."""
        self.consumer = Consumer(
            {
                **client_settings(bootstrap),
                "group.id": fresh("reader"),
                "enable.auto.commit": False,
                "isolation.level": isolation_level,
                "enable.partition.eof": True,
                # An offset that is not there any more is an error of the broker, and no reason to go on elsewhere.
                "auto.offset.reset": "error",
            }
        )
        self.partitions, self.what = partitions, what
        self.consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for topic, number in partitions])
        self.at_end = set()

    def read(self, seconds):
        for message in self.consumer.consume(1000, seconds):
            partition = (message.topic(), message.partition())
            if not message.error():
                self.take(message)
                self.at_end.discard(partition)
            elif message.error().code() == KafkaError._PARTITION_EOF:
                self.at_end.add(partition)
            elif message.error().code() == KafkaError._AUTO_OFFSET_RESET:
                raise AssertionError(f"the reader of {self.what}: {message.error()}")
            # Anything else is a topic that is not there yet, or a connection that the client mends.

    def read_to_end(self):
        self.at_end.clear()
        # A reader that is at the end already is not told so again: it starts anew, behind what it has.
        positions = self.consumer.position([TopicPartition(topic, number) for topic, number in self.partitions])
        self.consumer.assign(
            [TopicPartition(at.topic, at.partition, at.offset if at.offset >= 0 else OFFSET_BEGINNING) for at in positions]
        )

        def is_at_end():
            self.read(0.1)
            return len(self.at_end) == len(self.partitions)

        eventually(is_at_end, CLIENT_SECONDS, f"the end of {self.what}")

    def end(self, topic, number):
        """The end of what this reader may read: at read_committed the last stable offset."""
        return self.consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=CLIENT_SECONDS)[1]
