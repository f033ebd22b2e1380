"""The tour of the README as a test: flights through kcat into 8 partitions, two readers, and two crashes half way.

  tour.py        the 20,000 records of flights-20k.json
  tour.py --all  the 3,000,000 records of flights-3m.parquet

1. kcat produces half of the file, keyed by origin, into a topic that fbf creates with 8 partitions.
2. Two members of one consumer group share it; when they have read most of that, one is killed (kill -9).
3. kcat goes on; fbf is killed (kill -9) with records in flight, is away for a second while kcat has more to send, and is
   started again on the same data directory and port.
4. When the group has committed the end of every partition, what was read is checked against the file (deliveries.py).
"""

import pathlib
import subprocess
import sys
import threading
import time

import confluent_kafka

import broker as brokers
import deliveries
import flights
from suite import Results, eventually

TOPIC = "flights"
GROUP = "tour"
PARTITIONS = 8
FIRST_HALF = 0.5
KILL_MEMBER_AT = 0.4
IN_FLIGHT = 0.75
AWAY_SECONDS = 1
WAIT_SECONDS = {"20k": 90, "3m": 900}
CHUNK_BYTES = 1 << 16


class Tour:
    def __init__(self, size):
        self.seconds_max = WAIT_SECONDS[size]
        self.lines = flights.prepared(size)
        with open(self.lines, "rb") as file:
            self.total = sum(1 for _ in file)
        # The delay gives both members a share from the start: half of the stream is there before them, and one alone would read it all.
        self.broker = brokers.chosen()({"num.partitions": PARTITIONS, "group.initial.rebalance.delay.ms": 3000})
        self.files = [self.broker.home / f"member-{number}" for number in (1, 2)]
        self.counters = [LineCounter(path) for path in self.files]
        self.processes = []
        self.started = time.monotonic()

    def run(self):
        self.broker.start()
        self.started = time.monotonic()
        self.say(f"{self.total:,} records through {self.broker.name} on {self.broker.bootstrap}")
        producer = self.producer()
        with open(self.lines, "rb") as file:
            self.feed(producer, file, FIRST_HALF)
            survivor, victim = (self.member(path) for path in self.files)
            self.wait(self.is_shared, f"two members reading {KILL_MEMBER_AT:.0%} of the records")
            victim.kill()
            self.say(f"member 2 killed (kill -9); it had read {self.counters[1].count():,}, member 1 {self.counters[0].count():,}")
            self.feed(producer, file, IN_FLIGHT)
            self.broker.kill()
            self.say(f"{self.broker.name} killed (kill -9) while kcat was producing")
            rest = threading.Thread(target=self.feed, args=(producer, file, 1), daemon=True)
            rest.start()
            time.sleep(AWAY_SECONDS)
            self.broker.start()
            self.say(f"{self.broker.name} is back")
            rest.join(self.seconds_max)
        producer.stdin.close()
        if producer.wait(self.seconds_max) != 0:
            raise deliveries.Mismatch(f"kcat ended with status {producer.returncode}: not everything was acknowledged")
        self.say("kcat has every record acknowledged")
        self.wait(self.is_committed, "the group's offsets at the end of every partition")
        self.seconds = time.monotonic() - self.started
        self.say("the group has read and committed everything")
        survivor.terminate()
        survivor.wait(30)
        return deliveries.check(self.lines, self.files, PARTITIONS)

    def producer(self):
        # -E: a broken connection is no reason to give up. Idempotent, so that repeated sends leave no record twice.
        command = ["kcat", "-q", "-P", "-E", "-b", self.broker.bootstrap, "-t", TOPIC, "-K", "\\t", "-X", "enable.idempotence=true"]
        return self.spawn(command, "kcat", stdin=subprocess.PIPE)

    def member(self, path):
        program = pathlib.Path(__file__).with_name("member.py")
        return self.spawn([sys.executable, str(program), self.broker.bootstrap, GROUP, TOPIC, str(path)], path.name)

    def spawn(self, command, name, stdin=subprocess.DEVNULL):
        with open(self.broker.home / f"{name}.log", "wb") as log:
            process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], stdin=stdin, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def feed(self, producer, file, share):
        """Gives kcat the next lines of the file, up to `share` of its bytes and to the end of that line."""
        end = int(self.lines.stat().st_size * share)
        while file.tell() < end:
            producer.stdin.write(file.read(min(CHUNK_BYTES, end - file.tell())))
        producer.stdin.write(file.readline())
        producer.stdin.flush()

    def is_shared(self):
        read = [counter.count() for counter in self.counters]
        return all(read) and sum(read) >= KILL_MEMBER_AT * self.total

    def is_committed(self):
        client = confluent_kafka.Consumer({"bootstrap.servers": self.broker.bootstrap, "group.id": GROUP})
        try:
            partitions = [confluent_kafka.TopicPartition(TOPIC, number) for number in range(PARTITIONS)]
            committed = client.committed(partitions, timeout=10)
            ends = [client.get_watermark_offsets(partition, timeout=10)[1] for partition in partitions]
            # A partition that no origin falls into has no committed offset.
            return all(max(partition.offset, 0) == end for partition, end in zip(committed, ends, strict=True))
        finally:
            client.close()

    def wait(self, condition, what):
        eventually(condition, self.seconds_max, what)

    def say(self, text):
        print(f"{time.monotonic() - self.started:7.1f} s  {text}", flush=True)

    def logs(self):
        """The last lines that everybody had to say, for a tour that failed."""
        files = sorted(self.broker.home.glob("*.log"))
        return "\n".join(f"{file.stem}:\n" + "\n".join(file.read_text(errors="replace").splitlines()[-15:]) for file in files)

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()
        self.broker.close()


class LineCounter:
    """Counts the records in a growing file without reading any byte of it twice."""

    def __init__(self, path):
        self.path, self.position, self.records = path, 0, 0

    def count(self):
        if self.path.exists():
            with open(self.path, "rb") as file:
                file.seek(self.position)
                while chunk := file.read(1 << 20):
                    self.records += chunk.count(b"\n") - chunk.count(b"@")
                    self.position += len(chunk)
        return self.records


def main():
    size = "3m" if sys.argv[1:] == ["--all"] else "20k"
    name = f"tour_{size}"
    results = Results(pathlib.Path(__file__).parent)
    tour = Tour(size)
    try:
        keys, repeated = tour.run()
        print(f"every record of {tour.lines.name} was read, none is missing or twice in the log; the order of each of {keys} origins is kept")
        print(f"{repeated:,} were delivered a second time after the crashes, as at-least-once allows")
        print(f"{tour.total:,} records in {tour.seconds:.1f} s")
        results.add_pass(name, tour.seconds)
    except Exception as error:  # noqa: BLE001 - whatever went wrong is the tour's result
        print(tour.broker.log_tail(), tour.logs(), sep="\n", file=sys.stderr)
        results.add_failure(name, str(error)[:500])
    finally:
        tour.close()
    sys.exit(results.finish())


if __name__ == "__main__":
    main()
