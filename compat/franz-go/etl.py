"""Runs franz-go's TestGroupETL again and again, if wanted with broken connections and a broker that is killed meanwhile.

  etl.sh [--runs N] [--chaos] [--kill-every SECONDS] [--records N] [--limit GO_DURATION]

The test's variants (an assignor, the classic protocol or KIP-848's, dynamic or static members) share one producer's topic.
Each sends all records through a chain of three groups whose members come and go, and allows none to be read twice,
missed or out of order. A variant of KIP-848 skips itself where ApiVersions does not list ConsumerGroupHeartbeat 1.

--chaos       KGO_TEST_CHAOS=1: the client ends each of its connections after 0.5 to 1.5 seconds.
--kill-every  kill -9, a second's absence, and a start with the same data and port; the seconds count from each start.

Every run has a broker of its own, fbf or with COMPAT_BROKER=kafka Apache Kafka. Of a run that failed, what the test and the
broker said is kept, and the data directory if the records were not right; the client's words are of KGO_LOG_LEVEL (info).

Each failure is put down to `data` (the records are not what they should be), to `client` (franz-go or the test gave up:
a commit, a group session, a produced record), to `stuck` (not done within --limit), or to `broker` (it ended unasked). A record
read twice by a group of which a member had lost its session counts as `client`: its uncommitted work is read again.
"""

import argparse
import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import broker as brokers
import kgo
from suite import Results

TEST = "TestGroupETL"
LIMIT = "10m"
AWAY_SECONDS = 1
POLL_SECONDS = 0.1
REASON_LENGTH = 400
# A line that a test wrote by t.Errorf, t.Fatal or t.Log, and those of its lines that are no errors.
SAID = re.compile(r"\s+\w+_test\.go:\d+: (.*)")
NO_ERROR = re.compile(r"FAILED TESTING|deleting (topic|group)|unable to delete|\S+ completed in |pre-KIP-1251")
# The test's way to say that it did not check a variant's records: a commit of KIP-848 came with an epoch just gone by.
UNCHECKED = "skipping validation"
# What a variant's consumers say, and in its end the names of its groups; what the client logs when a member has lost its session.
CONSUMER_ERROR = re.compile(r"testConsumer sendErr group=(\w+): (.*)")
GROUP = re.compile(r"NOT DELETING GROUP (\w+)")
SESSION_LOST = re.compile(r"group manage loop errored|abandoning assignment")
# (whose failure, what failed, how it shows); the first that fits the first error counts.
CAUSES = [
    ("stuck", "no end", r"panic: test timed out"),
    ("data", "read twice", r"saw double offset|consumed too much"),
    ("data", "lost records", r"lost records"),
    ("data", "missing or twice", r"got \d+ keys != exp|got key \d+ != exp"),
    ("data", "out of order", r"out of order|expected first produced record|OUT_OF_ORDER_SEQUENCE"),
    ("data", "wrong contents", r"body not what was expected|strconv"),
    ("client", "group session", r"unable to join group session"),
    ("client", "commit", r"unable to commit"),
    ("client", "produce", r"produce err|unable to flush"),
    ("client", "fetch", r"poll got"),
    ("client", "topic", r"unable to create topic|not in metadata|has \d+ partitions"),
]
READ_TWICE = ("data", "read twice")
READ_TWICE_AFTER_LOSS = ("client", "group session, then read twice")
OTHER = ("other", "unknown")


class BrokerEnded(Exception):
    """The broker ended, or did not start, without a kill of ours."""


class Outcome:
    """One variant of one run."""

    def __init__(self):
        self.action = None  # "pass", "fail" or "skip"; None while it goes on
        self.seconds = None
        self.lines = []  # what it wrote by t.Errorf and the like

    def errors(self):
        return [line for line in self.lines if not NO_ERROR.match(line)]

    def is_unchecked(self):
        return any(UNCHECKED in line for line in self.lines)


def main():
    options = argparse.ArgumentParser(description=f"franz-go's {TEST}, many times")
    options.add_argument("--runs", type=int, default=1, metavar="N", help="how many times (1)")
    options.add_argument("--chaos", action="store_true", help="the client breaks its own connections all the time")
    options.add_argument("--kill-every", type=float, metavar="SECONDS", help="kill -9 of the broker, again and again")
    records = os.environ.get("KGO_TEST_RECORDS", kgo.RECORDS)
    options.add_argument("--records", type=int, default=records, metavar="N", help=f"records through each chain ({records})")
    options.add_argument("--limit", default=LIMIT, metavar="GO_DURATION", help=f"of one run ({LIMIT})")
    asked = options.parse_args()
    kept = pathlib.Path(os.environ["FBF_CACHE"]) / "compat" / "franz-go-etl" / time.strftime("%Y%m%d-%H%M%S")
    kept.mkdir(parents=True)
    # No folder with a passing.txt: every variant must pass.
    results, tally = Results(kept), collections.Counter()
    with tempfile.TemporaryDirectory(prefix="franz-go-etl-") as folder:
        program = compiled(pathlib.Path(folder))
        for number in range(1, asked.runs + 1):
            one_run(number, program, asked, kept, results, tally)
    if not any(kept.iterdir()):
        kept.rmdir()
    print(*(f"{count} {owner}: {what}" for (owner, what), count in sorted(tally.items())), sep="\n")
    sys.exit(results.finish())


def compiled(folder):
    program = folder / "kgo.test"
    subprocess.run(["go", "test", "-c", "-o", str(program), kgo.PACKAGE], cwd=kgo.HERE, env={**os.environ, **kgo.GO}, check=True)
    return program


def one_run(number, program, asked, kept, results, tally):
    """One run on a broker of its own; its files stay in `kept` when something of it failed."""
    log = kept / f"run-{number}.log"
    failed = len(results.failed)
    causes = set()
    broker = brokers.chosen()(kgo.SETTINGS)
    try:
        kills, ended = run(program, broker.start(), log, asked)
        for name, action, seconds, error in judged(log):
            title = f"run {number} {name} ({kills} kills)"
            if action == "fail":
                owner, what = cause = cause_of(error, log)
                causes.add(owner)
                tally[cause] += 1
                results.add_failure(title, f"{owner}: {what}: {' '.join(error.split())[:REASON_LENGTH]}", seconds)
            elif action == "skip":
                results.add_skip(title, error)
            else:
                results.add_pass(title, seconds)
        if ended:
            tally["broker", "ended"] += 1
            results.add_breakage(f"run {number} broker ({kills} kills)", ended)
        if len(results.failed) == failed:
            log.unlink()
            return
        print(f"    see {log}", flush=True)
        shutil.copy(broker.log, log.with_suffix(".broker.log"))
        if "data" in causes:
            broker.kill()
            shutil.copytree(broker.data, log.with_suffix(".data"))
    finally:
        broker.close()
