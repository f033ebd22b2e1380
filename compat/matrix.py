"""Runs a list of suites, shows what they print, and sums up their last lines.

  run.sh test     Rust's tests, those of checkers and of the bench, then kcat, confluent-kafka, HTTP, schemas, webhooks, the guard of costs,
                  the tour and, where Java is, what WITH_JAVA names, against the real binary: what `make test` runs
  run.sh compat   every client, and the tour with 3,000,000 records: what `make compat` runs

A suite is a command whose last line is `N passed, N failed[, N known][, N skipped]`; Rust's test harness is understood too.
Most suites wait more than they work, so LANES of them run at once (Kafka's classes have lanes of their own), and what one says is shown when
it has ended. Those of ALONE have the machine to themselves: Rust's tests use all of it, the guard counts what it costs, and the tours tell records
per second.
The last line of all is the sum, and the exit status is 1 when anything failed.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from suite import counts

HERE = pathlib.Path(__file__).parent
TOUR = [str(HERE / "tour" / "run.sh")]


def client(name):
    return [str(HERE / name / "run.sh")]


LISTS = {
    "test": {
        "rust": ["cargo", "test", "--release", "--workspace", "--no-fail-fast"],
        "tour's checker": [sys.executable, str(HERE / "tour" / "deliveries_test.py")],
        "copier's checker": [sys.executable, str(HERE / "copier" / "copies_test.py")],
        "bench": [sys.executable, str(HERE.parent / "bench" / "bench_test.py")],
        "schema": client("schema"),
        "http": client("http"),
        "hooks": client("hooks"),
        "confluent-kafka": client("confluent-kafka"),
        "kcat": client("kcat"),
        "compaction": client("compaction"),
        "guard": [str(HERE.parent / "bench" / "guard" / "run.sh")],
        "tour, 20,000 records": TOUR,
    },
    "compat": {
        # First, since it takes longest by far.
        "kafka-clients": [*client("kafka-clients"), "--lanes", "3"],
        "kcat": client("kcat"),
        "confluent-kafka": client("confluent-kafka"),
        "http": client("http"),
        "schema": client("schema"),
        "hooks": client("hooks"),
        "hooks, 200 cycles of kills": [*client("hooks"), "torture", "--cycles", "200"],
        "hooks, 1,000 endpoints": [*client("hooks"), "isolation", "--endpoints", "1000", "--hanging", "100", "--events", "20"],
        "java": client("java"),
        "tools": client("tools"),
        "franz-go": client("franz-go"),
        "librdkafka": client("librdkafka"),
        "streams": client("streams"),
        "compaction, beside Kafka": [*client("compaction"), "--kafka", "--operations", "2000"],
        "connect": client("connect"),
        "copier, 3 rounds": [*client("copier"), "--rounds", "3"],
        "tour, 3,000,000 records": [*TOUR, "--all"],
    },
}
# Name -> command, program and folder of jars. A newcomer's machine need not have Java and Maven: what is missing is left to `make compat`.
WITH_JAVA = {
    "copier, 2 rounds": ([*client("copier"), "--rounds", "2"], "java", "KAFKA_LIBS"),
    "tools": (client("tools"), "javac", "KAFKA_LIBS"),
    "kafka-clients, quick": ([*client("kafka-clients"), "quick"], "javac", "KAFKA_TEST_LIBS"),
}
ALONE = {"rust", "guard", "tour, 20,000 records", "tour, 3,000,000 records", "hooks, 1,000 endpoints"}
LANES = max(1, min(2, os.cpu_count() or 1))
OUTCOMES = ["passed", "failed", "known", "skipped"]
# Held while lines are printed that belong together.
SHOWN = threading.Lock()
# Rust says "ignored" where everybody else says "skipped".
COUNT = re.compile(r"(\d+) (passed|failed|known|skipped|ignored)")


def main():
    suites = LISTS[sys.argv[1]]
    if sys.argv[1] == "test":
        for name, (command, program, jars) in WITH_JAVA.items():
            if shutil.which(program) and pathlib.Path(os.environ[jars], "stamp").exists():
                suites[name] = command
    rows, notes = {}, []
    alone, together = [name for name in suites if name in ALONE], [name for name in suites if name not in ALONE]
    for names, lanes in ((alone, 1), (together, LANES)):
        with ThreadPoolExecutor(lanes) as pool:
            ended = [(name, pool.submit(result, name, suites[name], lanes == 1)) for name in names]
        for name, suite in ended:
            rows[name], lines = suite.result()
            notes += [f"{name}: {line}" for line in lines if re.search(r"records in [\d.]+ s", line)]
    print_table(rows)
    print(*notes, sep="\n")
    total = dict(zip(OUTCOMES, map(sum, list(zip(*rows.values(), strict=True))[:-1]), strict=True))
    print(counts(total["passed"], total["failed"]))
    sys.exit(1 if total["failed"] else 0)


def result(name, command, is_alone):
    """(the suite's row of the table, its lines). What it prints is shown line by line only where nothing runs beside it."""
    with SHOWN:
        print(f"\n== {name}{'' if is_alone else ': begun'}", flush=True)
    started = time.monotonic()
    status, tally, lines = run(command, is_shown=is_alone)
    seconds = round(time.monotonic() - started)
    with SHOWN:
        if not is_alone:
            print(f"\n== {name}, {seconds} s", *lines, sep="\n", flush=True)
        if status != 0 and tally["failed"] == 0:
            print(f"{name}: FAIL (ended with status {status})", flush=True)
            tally["failed"] = 1
    return (*tally.values(), seconds), lines


def run(command, is_shown):
    """(exit status, outcome -> count, lines) of one suite."""
    tally, lines = dict.fromkeys(OUTCOMES, 0), []
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace") as suite:
        for line in suite.stdout:
            if is_shown:
                print(line, end="", flush=True)
            lines.append(line.rstrip())
            if re.match(r"\d+ passed, \d+ failed|test result: ", line):
                for number, outcome in COUNT.findall(line):
                    tally["skipped" if outcome == "ignored" else outcome] += int(number)
    return suite.returncode, tally, lines


def print_table(rows):
    header = ("suite", *OUTCOMES, "seconds")
    lines = [header, *((name, *row) for name, row in rows.items())]
    widths = [max(len(str(cell)) for cell in column) for column in zip(*lines, strict=True)]
    lines.insert(1, tuple("-" * width for width in widths))
    print()
    for name, *numbers in lines:
        cells = [name.ljust(widths[0]), *(str(number).rjust(width) for number, width in zip(numbers, widths[1:], strict=True))]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
