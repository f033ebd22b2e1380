"""One broker in its own process and data directory: fbf, or Apache Kafka for comparison.

Fbf's port is chosen by the system at the first start and kept by every restart, so that clients find it again.
A broker dies with the script that started it, however that ends; nothing is ever killed by name.
"""

import atexit
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

START_SECONDS = 60
STOP_SECONDS = 30
LOG_TAIL_LINES = 30


class Broker:
    """What both have in common: start, stop, kill, and what the process has used. Subclasses say how to start, and when it has started."""

    name = "broker"

    def __init__(self, settings=None, data=None):
        """`settings`: Kafka broker properties by their own names. `data`: an existing directory to use and to keep."""
        self.settings = dict(settings or {})
        self.home = pathlib.Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        self.data = pathlib.Path(data) if data else self.home / "data"
        self.log = self.home / "log"
        self.port = 0
        self.process = None
        atexit.register(self.close)

    @property
    def bootstrap(self):
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    def start(self):
        """Starts the broker and returns when it answers; raises RuntimeError with the end of its log otherwise."""
        self.prepare()
        self.spawn()
        self.wait(self.is_ready, pause=0.02)
        return self

    def prepare(self):
        """What must be there before the process is: the data directory."""
        self.data.mkdir(parents=True, exist_ok=True)

    def spawn(self):
        """Starts the process, without waiting for anything."""
        with open(self.log, "ab") as log:
            self.start_offset = log.tell()
            # setpriv: the kernel kills the broker when this script is gone.
            command = ["setpriv", "--pdeathsig", "KILL", *self.command()]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.home)

    def wait(self, is_there, pause):
        """Returns when `is_there()`, asked every `pause` seconds; raises RuntimeError when the broker ends before, or is too slow."""
        deadline = time.monotonic() + START_SECONDS
        while not is_there():
            if not self.is_alive():
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self.name} did not answer within {START_SECONDS} s:\n{self.log_tail()}")
            time.sleep(pause)

    def is_answering(self):
        """Whether it answers ApiVersions (key 18) version 0: length, key, version, correlation id, no client id."""
        request = b"\x00\x12\x00\x00\x00\x00\x00\x01\xff\xff"
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                connection.sendall(len(request).to_bytes(4, "big") + request)
                return len(connection.recv(4)) == 4
        except OSError:
            return False

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """SIGTERM; returns the exit status. Raises when the broker does not end in time."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"{self.name} did not stop within {STOP_SECONDS} s:\n{self.log_tail()}") from None

    def kill(self):
        """kill -9, and waits until the process is gone."""
        if self.is_alive():
            self.process.kill()
        if self.process is not None:
            self.process.wait()

    def close(self):
        """Ends the broker and removes what it left behind."""
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    def started_log(self):
        """What the broker has printed since its last start."""
        with open(self.log, "rb") as log:
            log.seek(self.start_offset)
            return log.read().decode(errors="replace")

    def log_tail(self):
        return "\n".join("    " + line for line in self.started_log().splitlines()[-LOG_TAIL_LINES:])

    def cpu_seconds(self):
        """Processor seconds, user and system, of all threads since the process began."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mb(self):
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0


class Fbf(Broker):
    name = "fbf"

    def command(self):
        binary = os.environ["FBF_BIN"]
        settings = [argument for key, value in self.settings.items() for argument in ("--set", f"{key}={value}")]
        return [binary, "serve", "--data", str(self.data), "--listen", f"127.0.0.1:{self.port}", *settings]

    def is_ready(self):
        """The banner names the address once the port takes connections."""
        banner = re.search(r"listening\s+\S*:(\d+)", self.started_log())
        if banner:
            self.port = int(banner[1])
        return banner is not None


class Kafka(Broker):
    """Apache Kafka from the jars in $KAFKA_LIBS: one node that is broker and controller."""

    name = "kafka"
    heap = "1g"
    # Of the storage tool, for a directory that is otherwise than by default.
    format_options = ()

    def prepare(self):
        super().prepare()
        if self.port == 0:
            self.port, self.controller_port = free_port(), free_port()
            self.format()

    def command(self):
        return ["java", f"-Xmx{self.heap}", f"-Xms{self.heap}", "-cp", kafka_classpath(), "kafka.Kafka", str(self.home / "server.properties")]

    def format(self):
        properties = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self.data,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            **self.settings,
        }
        file = self.home / "server.properties"
        file.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        storage_tool = ["java", "-cp", kafka_classpath(), "kafka.tools.StorageTool"]
        options = ["-t", "AAAAAAAAAAAAAAAAAAAAAA", "-c", str(file), "--ignore-formatted", *self.format_options]
        subprocess.run([*storage_tool, "format", *options], check=True, stdout=subprocess.DEVNULL)

    def stop(self):
        """A JVM that SIGTERM ended in good order says 128 + 15."""
        status = super().stop()
        return 0 if status == 128 + signal.SIGTERM else status

    def is_ready(self):
        return self.is_answering()


def kafka_classpath():
    return f"{os.environ['KAFKA_LIBS']}/*"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def chosen():
    """The class of the broker under test: fbf, or with COMPAT_BROKER=kafka the control column."""
    return {"fbf": Fbf, "kafka": Kafka}[os.environ.get("COMPAT_BROKER", "fbf")]
