"""Runs librdkafka's own regression tests against the real binary and holds the results against passing.txt.

  run.sh [classic|consumer]… [test number]… [--all] [--list] [--grow]

A test is one of librdkafka's numbers under one group protocol, the protocol that its consumers ask for: `classic 0018`.
Without words, all of TESTS run under both; a number that is named runs even when TESTS or not-yet.txt would leave it out.
Each runs in a process of its own (`test-runner -p1 -Q -E`: one at a time, quick, without the tests that need sockem),
and each protocol has a broker of its own. What they say is kept in $FBF_CACHE/compat/librdkafka.
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import broker as brokers
from confluent_kafka import Consumer, KafkaException, TopicPartition
from suite import Results, eventually, read_notes

HERE = pathlib.Path(__file__).parent
PROTOCOLS = ["classic", "consumer"]
# Groups, offsets and subscriptions; idempotence and transactions.
TESTS = """
    0018 0019 0020 0022 0029 0030 0031 0033 0034 0045 0050 0051 0056 0061 0069 0084
    0089 0091 0093 0099 0102 0107 0112 0113 0118 0122 0127 0130 0132 0137 0140
    0075 0076 0086 0090 0094 0098 0103 0129
""".split()
TEST_SECONDS = 150
# The version of Kafka whose behaviour the tests are to expect.
KAFKA_VERSION = "4.0.0"
# The conditions of the control run on Kafka: 4 partitions by default, and no wait for more members.
SETTINGS = {"num.partitions": 4, "auto.create.topics.enable": "true", "group.initial.rebalance.delay.ms": 0}
# Some tests ask for three replicas without needing them. Kafka has no such setting; there they need three brokers.
FBF_SETTINGS = {"accept.any.replication.factor": "true"}
# A line of the runner's summary: | 0018_cgrp_term | PASSED | 1.234s | why it failed or was skipped
OUTCOME = re.compile(r"^\|\s+(\d{4}_\w+)\s+\|\s+(PASSED|FAILED|SKIPPED|RUNNING)\s+\|\s+[\d.]+s\s*\|\s*(.*)", re.MULTILINE)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
REASON_LENGTH = 300


def main():
    options = argparse.ArgumentParser(description="librdkafka's regression tests against a real broker")
    options.add_argument("only", nargs="*", help="classic, consumer, or a test's number", type=protocol_or_number)
    options.add_argument("--all", action="store_true", help="the tests of not-yet.txt too")
    options.add_argument("--list", action="store_true", help="print the names and stop")
    options.add_argument("--grow", action="store_true", help="add what passes now to passing.txt")
    asked = options.parse_args()
    protocols = [word for word in PROTOCOLS if word in asked.only] or PROTOCOLS
    named = [word for word in asked.only if word not in PROTOCOLS]
    numbers = named or TESTS
    if asked.list:
        print("\n".join(f"{protocol} {number}" for protocol in protocols for number in numbers))
        return
    results = Results(HERE, name_words=2)
    not_yet = {} if asked.all or named else read_notes(HERE / "not-yet.txt", name_words=2)
    for protocol in protocols:
        run_protocol(protocol, numbers, not_yet, results)
    if not asked.only:
        results.add_missing("TESTS has no such test")
    sys.exit(results.finish(asked.grow))


def protocol_or_number(word):
    if word not in PROTOCOLS and not re.fullmatch(r"\d{4}", word):
        raise argparse.ArgumentTypeError(f"{word!r} is neither {' nor '.join(PROTOCOLS)} nor a number of four digits")
    return word


def run_protocol(protocol, numbers, not_yet, results):
    """These tests under one group protocol, on one broker."""
    kept = pathlib.Path(os.environ["FBF_CACHE"]) / "compat" / "librdkafka"
    kept.mkdir(parents=True, exist_ok=True)
    kind = brokers.chosen()
    broker = kind({**SETTINGS, **(FBF_SETTINGS if kind is brokers.Fbf else {})})
    try:
        for number in numbers:
            name = f"{protocol} {number}"
            if name in not_yet:
                results.add_skip(name, f"not yet: {not_yet[name]}")
                continue
            if not broker.is_alive():
                start(broker)
            run_test(name, broker, kept, results)
            if not broker.is_alive():
                results.add_breakage(f"{protocol} broker", f"it ended with {broker.process.returncode} during {number}")
                print(broker.log_tail(), file=sys.stderr, flush=True)
        if broker.log.exists():
            shutil.copy(broker.log, kept / f"{protocol}-broker.log")
    finally:
        broker.close()


def start(broker):
    """Starts the broker. Kafka creates __consumer_offsets only when a group asks, and for a while then answers NOT_COORDINATOR,
    which the tests do not expect (0113): there, first each of its 50 partitions has to answer."""
    broker.start()
    if isinstance(broker, brokers.Kafka):
        # The groups differ in their last character only: so do their hashes, by one each.
        for last in range(ord("0"), ord("0") + 50):
            wait_for_coordinator(broker, f"first-{chr(last)}")


def wait_for_coordinator(broker, group):
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": group})

    def answers():
        try:
            return consumer.committed([TopicPartition("none", 0)], 5)
        except KafkaException:
            return None

    eventually(answers, what=f"the coordinator of {group}")
    consumer.close()


def run_test(name, broker, kept, results):
    """One number of the runner in a process of its own, with a bound on its time."""
    protocol, number = name.split()
    log = kept / f"{protocol}-{number}.log"
    started = time.monotonic()
    status = run(protocol, number, broker, log)
    seconds = time.monotonic() - started
    said = COLOUR.sub("", log.read_text(encoding="utf-8", errors="replace"))
    if status is None:
        results.add_failure(name, f"not done after {TEST_SECONDS} s; see {log}", seconds)
        return
    outcomes = {outcome: (test, reason) for test, outcome, reason in OUTCOME.findall(said)}
    if status != 0:
        results.add_failure(name, f"{reason_of(outcomes, said, status)}; see {log}", seconds)
    elif "PASSED" in outcomes:
        results.add_pass(name, seconds)
    elif "SKIPPED" in outcomes:
        test, reason = outcomes["SKIPPED"]
        results.add_skip(name, f"{test}: {shortened(reason)}")
    else:
        results.add_failure(name, f"it ran nothing; see {log}", seconds)


def run(protocol, number, broker, log):
    """The exit status of the runner, whose words go to the file `log`; None when it took too long."""
    configuration = broker.home / "test.conf"
    configuration.write_text(f"bootstrap.servers={broker.bootstrap}\n")
    libraries = os.environ["LIBRDKAFKA"]
    environment = {
        **os.environ,
        "TESTS": number,
        "TEST_CONSUMER_GROUP_PROTOCOL": protocol,
        "TEST_KAFKA_VERSION": KAFKA_VERSION,
        "RDKAFKA_TEST_CONF": str(configuration),
        "LD_LIBRARY_PATH": f"{libraries}/src:{libraries}/src-cpp",
        # For the tests that call Kafka's own scripts, or build and start a Java consumer.
        "BROKERS": broker.bootstrap,
        "KAFKA_PATH": str(HERE / "kafka"),
        "KAFKA_JARS": os.environ["KAFKA_LIBS"],
    }
    # It would make the runner give tests three times as long.
    environment.pop("CI", None)
    command = ["setpriv", "--pdeathsig", "KILL", "./test-runner", "-p1", "-Q", "-E"]
    with open(log, "wb") as output:
        # A process group of its own, so that what a test has started ends with it.
        process = subprocess.Popen(
            command,
            cwd=f"{libraries}/tests",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        return process.wait(TEST_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    finally:
        end_group(process)


def end_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def reason_of(outcomes, said, status):
    """What the summary says of the test that failed; a test that aborts never gets to the summary."""
    for outcome in ("FAILED", "RUNNING"):
        if outcome in outcomes:
            test, reason = outcomes[outcome]
            return f"{test}: {shortened(reason)}"
    last = [line for line in said.splitlines() if line.strip()][-1:]
    return f"it ended with {status}: {shortened(' '.join(last))}"


def shortened(text):
    return " ".join(text.split())[:REASON_LENGTH]


if __name__ == "__main__":
    main()
