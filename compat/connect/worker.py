"""A worker of Kafka Connect in distributed mode, from the jars in $CONNECT_LIBS, and what its REST interface says."""

import json
import os
import pathlib
import signal
import subprocess
import urllib.error
import urllib.request

from broker import free_port
from killing import last_exception

MAIN_CLASS = "org.apache.kafka.connect.cli.ConnectDistributed"
# Short-lived, and several of them on a small machine: less compiling, one thread that collects, a small heap.
JVM = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
JAVA_LOG = {"showDateTime": "true", "dateTimeFormat": "HH:mm:ss.SSS", "showThreadName": "true", "showShortLogName": "true"}
REST_SECONDS = 5
STOP_SECONDS = 30


class Worker:
    """One worker, and the processes that it is one after the other; what they print goes to one file."""

    def __init__(self, name, settings, folder):
        """`settings`: of the worker, besides where its REST interface listens. `folder`: for its files."""
        self.name, self.folder = name, folder
        self.port = free_port()
        self.log = folder / f"{name}.log"
        self.properties = folder / f"{name}.properties"
        every = {**settings, "listeners": f"http://127.0.0.1:{self.port}", "rest.advertised.host.name": "127.0.0.1"}
        self.properties.write_text("".join(f"{key}={value}\n" for key, value in every.items()))
        self.process = None

    def start(self):
        log_settings = [f"-Dorg.slf4j.simpleLogger.{name}={value}" for name, value in JAVA_LOG.items()]
        program = ["java", *JVM, *log_settings, "-cp", classpath(), MAIN_CLASS, str(self.properties)]
        with open(self.log, "ab") as log:
            # setpriv: the kernel kills the worker when this script is gone.
            command = ["setpriv", "--pdeathsig", "KILL", *program]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """kill -9, and waits until the process is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self):
        """SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(STOP_SECONDS)
        self.process = None
        return status

    def last_error(self):
        return last_exception(self.log.read_text(errors="replace"))

    def ask(self, method, path, body=None):
        """(status, decoded answer) of a request to the REST interface; (None, why) when there is no answer."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=REST_SECONDS) as answer:
                said = answer.read()
                return answer.status, json.loads(said) if said else None
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")
        except (OSError, ValueError) as error:
            return None, str(error)


def has_jars():
    return any(pathlib.Path(os.environ["CONNECT_LIBS"]).glob("connect-file-*.jar"))


def classpath():
    return f"{os.environ['CONNECT_LIBS']}/*"
