"""Runs `go test github.com/twmb/franz-go/pkg/kgo` against the real binary and holds the results against passing.txt.

  run.sh [go test -run pattern] [--all] [--grow]

Counts top-level tests, as Go does. KGO_TEST_RECORDS (default 50000) is how many records the larger tests send.
The whole output is kept as JSON lines in $FBF_CACHE/compat/franz-go.json.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

import broker as brokers
from suite import Results, read_notes

HERE = pathlib.Path(__file__).parent
PACKAGE = "github.com/twmb/franz-go/pkg/kgo"
LIMIT = "25m"
RECORDS = "50000"
# As in Apache Kafka's own container image and in the run on Kafka that we compare with: no wait for more members.
SETTINGS = {"group.initial.rebalance.delay.ms": 0}
REASON_LINES = 12
# No other versions of franz-go and what it needs than go.mod and go.sum pin.
GO = {"GOFLAGS": "-mod=readonly"}


def main():
    options = argparse.ArgumentParser(description="franz-go's own tests against a real broker")
    options.add_argument("run", nargs="?", help="a pattern for go test -run")
    options.add_argument("--all", action="store_true", help="the tests of not-yet.txt too")
    options.add_argument("--grow", action="store_true", help="add what passes now to passing.txt")
    asked = options.parse_args()
    command = ["go", "test", "-json", "-count=1", f"-timeout={LIMIT}"]
    if asked.run:
        command += ["-run", asked.run]
    results = Results(HERE)
    if not asked.all:
        not_yet = read_notes(HERE / "not-yet.txt")
        command += ["-skip", f"^({'|'.join(not_yet)})$"]
        for name, reason in not_yet.items():
            results.add_skip(name, f"not yet: {reason}")
    broker = brokers.chosen()(SETTINGS).start()
    try:
        run(command, broker, results)
    finally:
        alive = broker.is_alive()
        if not alive:
            print(broker.log_tail(), file=sys.stderr)
        broker.close()
    if not alive:
        results.add_breakage("broker", "it ended during the tests")
    if not asked.run:
        results.add_missing("no result: see the output for a panic or a time-out")
    sys.exit(results.finish(asked.grow))


def run(command, broker, results):
    kept = pathlib.Path(os.environ["FBF_CACHE"]) / "compat" / "franz-go.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    said = {}
    with open(kept, "w", encoding="utf-8") as copy:
        with subprocess.Popen([*command, PACKAGE], cwd=HERE, env=environment(broker), stdout=subprocess.PIPE, text=True, errors="replace") as tests:
            for line in tests.stdout:
                copy.write(line)
                if line.startswith("{"):
                    take(json.loads(line), said, results)
                else:
                    print(line, end="", file=sys.stderr)
    if tests.returncode != 0 and not results.failed and not results.known:
        results.add_breakage("go test", f"it ended with {tests.returncode} without naming a test; see {kept}")


def environment(broker, log_level="none"):
    """What franz-go's tests and `go` read. Records and log level give way to what the caller's environment says."""
    return {
        "KGO_TEST_RECORDS": RECORDS,
        "KGO_LOG_LEVEL": log_level,
        **os.environ,
        "KGO_SEEDS": broker.bootstrap,
        "KGO_TEST_RF": "1",
        **GO,
    }


def take(event, said, results):
    """One event of `go test -json`; `said` collects what each test prints, for the reason of a failure."""
    name, action = event.get("Test", ""), event["Action"]
    top = name.split("/")[0]
    if action == "output":
        said.setdefault(top, []).append(event["Output"].rstrip())
    elif action == "build-output":
        print(event["Output"], end="", file=sys.stderr)
    elif name and name == top:
        seconds = event.get("Elapsed")
        if action == "pass":
            results.add_pass(name, seconds)
        elif action == "skip":
            results.add_skip(name, last_words(said.get(name, [])))
        elif action == "fail":
            results.add_failure(name, last_words(said.get(name, [])), seconds)


def last_words(lines):
    """What a test said with its own words: t.Errorf, t.Skip and panics, not the frame around them."""
    own = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith(("=== ", "--- "))]
    return " | ".join(own[-REASON_LINES:])[:400] or "it said nothing"


if __name__ == "__main__":
    main()
