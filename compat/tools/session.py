"""A session of Apache Kafka's command-line tools against the real binary, compared with what the same tools print on Apache Kafka.

  run.sh [part of a file's name]… [--list] [--record]

Each file of expected/ is a session on a fresh broker:

  # Why, where that is not plain.
  $ kafka-topics --create --topic orders --partitions 2
  < a line of standard input
  what the tool printed on Apache Kafka, ids and times replaced
  status 1, where it is not 0

--bootstrap-server is added to each command; BROKER stands for the address, FOLDER for a folder of the session. Besides the tools there are
`file NAME`, which writes its standard input there, and clients that go on while tools look at them: `member NAME GROUP PROTOCOL TOPIC…`
until `leave NAME`, `transaction ID TOPIC` until `end ID`.

A command passes when it prints what it did on Apache Kafka. differences.txt has the lines that differ, with the reason; such a command
counts as known, and fails when it differs otherwise. --record writes the files of expected/ anew, from Apache Kafka; a new command is a
line with `$`. COMPAT_BROKER=kafka compares Apache Kafka with what was recorded.
"""

import argparse
import dataclasses
import difflib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import time

import broker as brokers
from kafka_tools import SCRIPTS
from suite import Results

HERE = pathlib.Path(__file__).parent
CLIENTS = ["member", "leave", "transaction", "end"]
# Eligible leader replicas (KIP-966) are about replicas, and show a min.insync.replicas with every topic.
brokers.Kafka.format_options = ("--feature", "eligible.leader.replicas.version=0")
# What differs between any two runs, and what stands for it.
CHANGING = [
    # Columns are as wide as what stands in them.
    (r"[ \t]+", " "),
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UUID"),
    # Base64 of 16 bytes.
    (r"(TopicId: |Cluster ID: |ClusterId: |topic[iI]d=|directoryId\":\"|\bdirectory )[A-Za-z0-9_-]{22}\b", r"\1ID"),
    (r"\b[A-Za-z0-9_-]{22}(?= /127\.0\.0\.1 )", "ID"),
    (r"CONTROLLER://127\.0\.0\.1:\d+", "CONTROLLER"),
    (r"(Epoch: |HighWatermark: )\d+\b", r"\1NUMBER"),
    # A client whose time is up says what it was about just then.
    (r"Call\(callName=.*\) timed out at \d+ after \d+ attempt\(s\)", "TIMED OUT"),
    (r"Timed out waiting for a node assignment\. Call: \w+(\(api=\w+\))?", "TIMED OUT"),
    (r"\b1[5-9]\d{11}\b", "TIME"),
    # Of a transaction with the default timeout.
    (r"(60000 TIME )\d+", r"\1MS"),
    (r"\b20\d\d-\d\d-\d\d[ T]\d\d:\d\d:\d\d([.,]\d+)?Z?", "TIME"),
]
# The help that tools print behind a wrong use is their own, and long.
USAGE = re.compile(r"^Option\s+Description\s*$.*", re.MULTILINE | re.DOTALL)
# Where in Kafka's or the tools' code an exception came from.
FRAME = re.compile(r"\s+at [\w.$/<>]+\(|\s+\.\.\. \d+ (more|common frames)")


@dataclasses.dataclass
class Step:
    """One command of a session. `notes`: the comment before it. `lines`: what it printed, normalised, and its status."""

    name: str
    command: str
    notes: list
    stdin: list
    lines: list


def main():
    options = argparse.ArgumentParser(description="a session of Kafka's command-line tools against a real broker")
    options.add_argument("only", nargs="*", help="parts of the names of files in expected/")
    options.add_argument("--list", action="store_true", help="print the commands and stop")
    options.add_argument("--record", action="store_true", help="write expected/ anew, from Apache Kafka")
    asked = options.parse_args()
    files = [file for file in sorted((HERE / "expected").glob("*.txt")) if not asked.only or any(part in file.stem for part in asked.only)]
    sessions = {file: read_session(file) for file in files}
    if asked.list:
        print("\n".join(step.name for steps in sessions.values() for step in steps))
        return
    kind = brokers.Kafka if asked.record else brokers.chosen()
    differences = read_differences(HERE / "differences.txt") if kind is brokers.Fbf else {}
    results = Results(HERE)
    with Tools() as tools:
        for file, steps in sessions.items():
            found = run_session(kind, steps, tools, None if asked.record else results, differences)
            if asked.record:
                file.write_text(written(found), encoding="utf-8")
    if asked.record:
        return
    names = {step.name for steps in sessions.values() for step in steps}
    for name in differences:
        if name not in names and not asked.only:
            results.add_breakage(name, "differences.txt names it, and there is no such command")
    sys.exit(results.finish())


def run_session(kind, steps, tools, results, differences):
    """The steps with what they print now, on a fresh broker; compared where `results` are given."""
    # As many partitions as say something: Kafka creates all 50 of each by default, which takes longer than the session.
    broker = kind({"offsets.topic.num.partitions": 5, "transaction.state.log.num.partitions": 5}).start()
    found = []
    with tempfile.TemporaryDirectory(prefix="tools-") as folder:
        for step in steps:
            started = time.monotonic()
            lines = run_step(step, broker, pathlib.Path(folder), tools)
            found.append(dataclasses.replace(step, lines=lines))
            seconds = time.monotonic() - started
            if kind is brokers.Kafka:
                # An answered change is not yet to be seen everywhere in it.
                time.sleep(0.1)
            if results:
                compare(step, lines, differences.get(step.name), seconds, results)
            else:
                Results.say(step.name, "recorded", seconds)
    if not broker.is_alive():
        raise RuntimeError(f"{broker.name} ended with {broker.process.returncode}:\n{broker.log_tail()}")
    broker.close()
    return found


def run_step(step, broker, folder, tools):
    words = [word.replace("BROKER", broker.bootstrap).replace("FOLDER", str(folder)) for word in shlex.split(step.command)]
    if words[0] == "file":
        (folder / words[1]).write_text("".join(f"{line}\n" for line in step.stdin), encoding="utf-8")
        return []
    if words[0] in CLIENTS:
        words[1:1] = [broker.bootstrap] if words[0] in ("member", "transaction") else []
    else:
        words[:1] = [SCRIPTS[words[0]], *([] if "BROKER" in step.command else ["--bootstrap-server", broker.bootstrap])]
    status, printed = tools.run(words, step.stdin)
    for place, name in [(broker.data, "DATA"), (folder, "FOLDER"), (broker.bootstrap, "BROKER"), (str(broker.port), "PORT")]:
        printed = printed.replace(str(place), name)
    printed = USAGE.sub("(its options)", printed)
    for pattern, name in CHANGING:
        printed = re.sub(pattern, name, printed)
    lines = [line.strip() for line in printed.splitlines() if line.strip() and not FRAME.match(line)]
    return lines + ([f"status {status}"] if status else [])


class Tools:
    """The JVM in which all tools run."""

    def __enter__(self):
        folder = os.environ["KAFKA_LIBS"]
        if not pathlib.Path(folder, "stamp").exists():
            sys.exit("tools: Apache Kafka's jars are not there; compat/setup.sh java fetches them")
        java = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{folder}/*", str(HERE / "Session.java")]
        # setpriv: the kernel kills the JVM when this script is gone.
        command = ["setpriv", "--pdeathsig", "KILL", *java]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return self

    def run(self, words, stdin):
        """(exit status, what it printed) of a class with its arguments."""
        print(json.dumps([words, stdin]), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the tools' JVM ended with {self.process.wait()} during {' '.join(words)}")
        return json.loads(answer)

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def compare(step, lines, known, seconds, results):
    """Adds the result of one step. `known`: the lines that may differ, and the reason."""
    if step.command.startswith("file "):
        return
    # The first two lines name files, @@ places.
    different = [line for line in list(difflib.unified_diff(step.lines, lines, n=0, lineterm=""))[2:] if not line.startswith("@@")]
    different = [f"{line[0]} {line[1:]}" for line in different]
    if not different and not known:
        results.add_pass(step.name, seconds)
    elif known and different == known[0]:
        results.add_known(step.name, known[1])
    else:
        reason = "differs from Apache Kafka" if different else "does not differ any more; differences.txt says it does"
        results.add_failure(step.name, reason, seconds)
        print("".join(f"    {line}\n" for line in different), end="", flush=True)


def read_session(file):
    steps, notes, count = [], [], {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("$ "):
            command = line[2:]
            count[command] = count.get(command, 0) + 1
            again = f" ({count[command]})" if count[command] > 1 else ""
            steps.append(Step(f"{file.stem}: {command}{again}", command, notes, [], []))
            notes = []
        elif line.startswith("# "):
            notes.append(line)
        elif line.startswith("< ") or line == "<":
            steps[-1].stdin.append(line[2:])
        elif line:
            steps[-1].lines.append(line)
    return steps


def written(steps):
    parts = [[*step.notes, f"$ {step.command}", *(f"< {line}".rstrip() for line in step.stdin), *step.lines, ""] for step in steps]
    return "\n".join(line for part in parts for line in part)


def read_differences(file):
    """Name of a step -> (the lines of Apache Kafka with -, those of fbf with +; the reason). Blank lines end a step."""
    known = {}
    for block in re.split(r"\n\n+", file.read_text(encoding="utf-8").strip()):
        name, *lines = block.splitlines()
        if name.startswith("# "):
            continue
        known[name] = ([line for line in lines if line[0] in "-+"], " ".join(line[2:] for line in lines if line[0] == "#"))
    return known


if __name__ == "__main__":
    main()
