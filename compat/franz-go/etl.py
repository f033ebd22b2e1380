"""Runs franz-go's TestGroupETL, or TestTxnEtl, again and again, if wanted with broken connections and a broker that is killed meanwhile.

  etl.sh [--txn] [--runs N] [--chaos] [--kill-every SECONDS] [--records N] [--limit SECONDS]

The test's variants (an assignor, the classic protocol or KIP-848's, dynamic or static members) share one producer's topic.
Each sends all records through a chain of three groups whose members come and go, and allows none to be read twice,
missed or out of order. With --txn each hop is a transaction: consumed offsets and produced records together.

--chaos       KGO_TEST_CHAOS=1: the client ends each of its connections after 0.5 to 1.5 seconds.
--kill-every  kill -9, a second's absence, and a start with the same data and port; the seconds count from each start.

Every run has a broker of its own, fbf or with COMPAT_BROKER=kafka Apache Kafka. The log of a run that failed is kept in
$FBF_CACHE/compat/franz-go-etl. Each failure is put down to `data` (the records are not what they should be), to `client`
(franz-go or the test gave up: a commit, a group session, a produced record), or to `other`.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import broker as brokers
import kgo
from suite import Results

GROUPS, TRANSACTIONS = "TestGroupETL", "TestTxnEtl"
AWAY_SECONDS = 1
POLL_SECONDS = 0.1
OUTCOME = re.compile(r"\s*--- (PASS|FAIL|SKIP): (\S+) \(([\d.]+)s\)")
# (whose failure, how it shows); the first that fits counts.
CAUSES = [
    ("data", r"saw double offset|consumed too much|lost records|got \d+ keys != exp|got key \d+ != exp|out of order|expected first produced"),
    ("client", r"BeginTransaction unexpected|unable to (?:begin|end) transaction|unexpected (?:transactional )?produce err|flush unexpected|unable to join group session|unable to commit|produce err|unable to flush|poll got|unable to create topic"),
]


def main():
    options = argparse.ArgumentParser(description=f"franz-go's {GROUPS} or {TRANSACTIONS}, many times")
    options.add_argument("--txn", dest="test", action="store_const", const=TRANSACTIONS, default=GROUPS, help=f"{TRANSACTIONS}")
    options.add_argument("--runs", type=int, default=1, metavar="N", help="how many times (1)")
    options.add_argument("--chaos", action="store_true", help="the client breaks its own connections all the time")
    options.add_argument("--kill-every", type=float, metavar="SECONDS", help="kill -9 of the broker, again and again")
    records = os.environ.get("KGO_TEST_RECORDS", kgo.RECORDS)
    options.add_argument("--records", type=int, default=records, metavar="N", help=f"records through each chain ({records})")
    options.add_argument("--limit", type=int, default=600, metavar="SECONDS", help="of one run (600)")
    asked = options.parse_args()
    kept = pathlib.Path(os.environ["FBF_CACHE"]) / "compat" / "franz-go-etl"
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="franz-go-etl-") as folder:
        # No passing.txt there: every variant must pass.
        results = Results(folder)
        program = pathlib.Path(folder) / "kgo.test"
        subprocess.run(["go", "test", "-c", "-o", str(program), kgo.PACKAGE], cwd=kgo.HERE, env={**os.environ, **kgo.GO}, check=True)
        for number in range(1, asked.runs + 1):
            one_run(number, program, asked, kept / f"{time.strftime('%Y%m%d-%H%M%S')}-{number}.log", results)
    sys.exit(results.finish())


def one_run(number, program, asked, log, results):
    """One run on a broker of its own; its log stays when something of it failed."""
    failed = len(results.failed)
    broker = brokers.chosen()(kgo.SETTINGS).start()
    try:
        kills, whole = run(program, broker, log, asked)
    finally:
        broker.close()
    said = log.read_text(errors="replace")
    outcomes = [match.groups() for match in map(OUTCOME.match, said.splitlines()) if match and "/" in match[2]]
    for outcome, name, seconds in outcomes:
        title = f"run {number} {name.split('/', 1)[1]} ({kills} kills)"
        if outcome == "PASS":
            results.add_pass(title, float(seconds))
        elif outcome == "SKIP":
            results.add_skip(title, "by itself")
        else:
            results.add_failure(title, cause_of(said), float(seconds))
    if not whole or not outcomes:
        results.add_breakage(f"run {number} ({kills} kills)", f"no end within {asked.limit} s" if not whole else "no results")
    if len(results.failed) == failed:
        log.unlink()
    else:
        print(f"    see {log}", flush=True)


def run(program, broker, log, asked):
    """(kills, whether the test came to its end)."""
    environment = {**kgo.environment(broker), "KGO_TEST_RECORDS": str(asked.records)}
    if asked.chaos:
        environment["KGO_TEST_CHAOS"] = "1"
    command = [str(program), f"-test.run=^{asked.test}$", "-test.v", f"-test.timeout={asked.limit}s"]
    kills, started = 0, time.monotonic()
    since = started
    with open(log, "wb") as file, subprocess.Popen(command, env=environment, stdout=file, stderr=file) as tests:
        while tests.poll() is None and time.monotonic() - started < asked.limit + 10:
            time.sleep(POLL_SECONDS)
            if asked.kill_every and time.monotonic() - since >= asked.kill_every:
                broker.kill()
                time.sleep(AWAY_SECONDS)
                broker.start()
                kills, since = kills + 1, time.monotonic()
        whole = tests.poll() is not None
        tests.kill()
    return kills, whole


def cause_of(said):
    for owner, pattern in CAUSES:
        found = re.search(rf".*(?:{pattern}).*", said)
        if found:
            return f"{owner}: {found[0].strip()[:300]}"
    return "other: see the log"


if __name__ == "__main__":
    main()
