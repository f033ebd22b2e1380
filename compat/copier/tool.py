"""A TransactionalMessageCopier of Kafka's own tools, from the jars in $KAFKA_LIBS: started, killed, and asked how far it is."""

import re
import subprocess

from broker import kafka_classpath

TOOL = "org.apache.kafka.tools.TransactionalMessageCopier"
# Short-lived and four at a time: less compiling, one thread that collects, a small heap.
JVM = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
# With the group's metadata, so that a member that the group has given up cannot commit: without, a group may copy twice (KIP-447).
SWITCHES = ["--group-mode", "--use-group-metadata", "--enable-random-aborts"]
# The tool says it before each poll.
PROGRESS = re.compile(rb'"totalProcessed":(\d+)')


class Copier:
    """One transactional id, and the processes that have it one after the other; what they print goes to one file."""

    def __init__(self, transactional_id, options, folder):
        """`options`: of the tool, besides those that every copier has. `folder`: for the file."""
        self.name = transactional_id
        self.output = folder / f"{self.name}.log"
        # In group mode the partition must be named and is not used, and the number of messages counts until the first assignment.
        every = {"transactional-id": self.name, "input-partition": -1, **options}
        words = [str(word) for name, value in every.items() for word in (f"--{name}", value)]
        tool = ["java", *JVM, "-cp", kafka_classpath(), TOOL, *SWITCHES, *words]
        # setpriv: the kernel kills the copier when this script is gone.
        self.command = ["setpriv", "--pdeathsig", "KILL", *tool]
        self.process = None
        self.read_bytes = 0
        self.copied_before = self.copied_now = 0
        # Since something was killed last.
        self.gave_up = 0

    def start(self):
        self.copied_before, self.copied_now = self.copied(), 0
        with open(self.output, "ab") as file:
            # A line that a kill has cut is not continued.
            self.read_bytes = file.tell()
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def is_running(self):
        return self.process.poll() is None

    def has_finished(self):
        """It ends in good order when nothing remains in the partitions that it has."""
        return self.process.poll() == 0

    def copied(self):
        """Messages in transactions that were answered as committed, over all processes."""
        if self.process is not None:
            with open(self.output, "rb") as file:
                file.seek(self.read_bytes)
                whole, newline, _ = file.read().rpartition(b"\n")
            self.read_bytes += len(whole + newline)
            self.copied_now = int((PROGRESS.findall(whole) or [self.copied_now])[-1])
        return self.copied_before + self.copied_now

    def last_words(self):
        lines = [line for line in self.output.read_text(errors="replace").splitlines() if not line.startswith(("{", "SLF4J"))]
        return lines[-1] if lines else "without a word"
