"""Runs librdkafka's own regression tests against the real binary and holds the results against passing.txt.

  run.sh [classic|consumer]… [test number]… [--all] [--list] [--grow] [--table]

A test is one of librdkafka's numbers under one group protocol, the protocol that its consumers ask for: `classic 0018`.
Two kinds of tests are part of a number: `0081/CreateTopics` is what 0081 does in do_test_CreateTopics, since it ends with its first
failure, and `0107/noautocreate` is what 0107 does on a broker that creates no topics by itself (librdkafka's scenario of this name).
Without words, all of TESTS run under both; a number that is named runs even when TESTS or not-yet.txt would leave it out.
Each runs in a process of its own (`test-runner -p1 -L -Q`: one at a time, without what needs no broker or only librdkafka's mock
of one, and quick; those of NOT_QUICK in full), and each protocol has brokers of its own. What they say is kept in
$FBF_CACHE/compat/librdkafka.

--table keeps the results of a run, on fbf in fbf.tsv and with COMPAT_BROKER=kafka in control.tsv, and writes TABLE.md from both;
what was not run keeps its old result.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import broker as brokers
import table
from confluent_kafka import Consumer, KafkaException, TopicPartition
from suite import Results, end_group, eventually, read_notes

HERE = pathlib.Path(__file__).parent
PROTOCOLS = ["classic", "consumer"]
NO_AUTO_CREATE = "noautocreate"
# Each number of librdkafka's that talks to a broker. Left out: those of a mock cluster, and two that wait for a person (8000, 8001).
TESTS = """
    0001 0002 0003 0005 0007 0008 0011 0012 0013 0014 0015 0017 0018 0019 0020 0021 0022 0026 0028 0029
    0030 0031 0033 0034 0036 0038 0039 0040 0041 0042 0044 0045 0045/noautocreate 0047 0048 0049
    0050 0051 0052 0053 0054 0055 0056 0057 0059 0061 0063 0064 0065 0067 0068 0069 0070 0073 0075 0076 0077
    0081/unclean_destroy 0081/CreateTopics 0081/DeleteTopics 0081/CreatePartitions 0081/CreateAcls 0081/DescribeAcls 0081/DeleteAcls
    0081/AlterConfigs 0081/IncrementalAlterConfigs 0081/DescribeConfigs 0081/DescribeConfigs_groups 0081/DeleteRecords
    0081/ListConsumerGroups 0081/DescribeConsumerGroups 0081/DescribeTopics 0081/DescribeCluster
    0081/DescribeConsumerGroups_with_authorized_ops 0081/DeleteGroups 0081/DeleteConsumerGroupOffsets 0081/ListOffsets
    0081/AlterConsumerGroupOffsets 0081/ListConsumerGroupOffsets 0081/UserScramCredentials
    0082 0083 0084 0085 0086 0088 0089 0090 0091 0092 0093 0094 0097 0098 0099
    0101 0102 0103 0107/noautocreate 0109 0110 0111/noautocreate 0112 0113 0114 0115 0118 0119
    0122 0123 0125 0126 0127 0129 0130 0132 0135 0137 0140 0142
""".split()
# These leave out subtests in quick mode; most of them all, so that they pass without a word to the broker.
NOT_QUICK = "0018 0019 0022 0026 0045 0050 0055 0061 0082 0089 0102 0122 0127 0132 0137".split()
TEST_SECONDS = 300
# The version of Kafka whose behaviour the tests are to expect.
KAFKA_VERSION = "4.0.0"
# 4 partitions by default, and a short wait for more members: 0102 takes for granted that those who subscribe at the same moment share a
# generation. (The control column is of runs without that wait, in which Kafka was slow enough.)
SETTINGS = {"num.partitions": 4, "auto.create.topics.enable": "true", "group.initial.rebalance.delay.ms": 100}
# Some tests ask for three replicas without needing them. Kafka has no such setting; there they need three brokers.
FBF_SETTINGS = {"accept.any.replication.factor": "true"}
# A line of the runner's summary: | 0018_cgrp_term | PASSED | 1.234s | why it failed or was skipped
OUTCOME = re.compile(r"^\|\s+(\d{4}_\w+)\s+\|\s+(PASSED|FAILED|SKIPPED|RUNNING)\s+\|\s+[\d.]+s\s*\|[ \t]*(.*)", re.MULTILINE)
# What a test says that fails: ### Test "0018_cgrp_term" failed at test.c:1:main() at Fri Nov 27 …: ###, and why on the next line.
FAILURE = re.compile(r'^### Test "(\d{4}_\w+).*" failed at .*\n(.*)', re.MULTILINE)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
REASON_LENGTH = 300


def main():
    options = argparse.ArgumentParser(description="librdkafka's regression tests against a real broker")
    options.add_argument("only", nargs="*", help="classic, consumer, a test's number, or a part of one", type=protocol_or_test)
    options.add_argument("--all", action="store_true", help="the tests of not-yet.txt too")
    options.add_argument("--list", action="store_true", help="print the names and stop")
    options.add_argument("--grow", action="store_true", help="add what passes now to passing.txt")
    options.add_argument("--table", action="store_true", help="keep the results, and write TABLE.md")
    asked = options.parse_args()
    protocols = [word for word in PROTOCOLS if word in asked.only] or PROTOCOLS
    named = [word for word in asked.only if word not in PROTOCOLS]
    tests = [test for word in named for test in tests_of(word)] or TESTS
    if asked.list:
        print("\n".join(f"{protocol} {test}" for protocol in protocols for test in tests))
        return
    results = Results(HERE, name_words=2)
    not_yet = {} if asked.all or named else read_notes(HERE / "not-yet.txt", name_words=2)
    for protocol in protocols:
        run_protocol(protocol, tests, not_yet, results)
    if not asked.only:
        results.add_missing("TESTS has no such test")
    if asked.table:
        table.keep(results, TESTS, PROTOCOLS)
    sys.exit(results.finish(asked.grow))


def protocol_or_test(word):
    if word not in PROTOCOLS and not re.fullmatch(r"\d{4}(/\w+)?", word):
        raise argparse.ArgumentTypeError(f"{word!r} is neither {' nor '.join(PROTOCOLS)} nor a number of four digits")
    return word


def tests_of(word):
    """The tests that a word of the command line means: itself, or all parts of a number."""
    return [test for test in TESTS if test.partition("/")[0] == word] or [word]


def run_protocol(protocol, tests, not_yet, results):
    """These tests under one group protocol, on one broker, or two: of one that creates topics by itself, and of one that does not."""
    kept = pathlib.Path(os.environ["FBF_CACHE"]) / "compat" / "librdkafka"
    kept.mkdir(parents=True, exist_ok=True)
    kind = brokers.chosen()
    settings = {**SETTINGS, **(FBF_SETTINGS if kind is brokers.Fbf else {})}
    with_auto_create, without = kind(settings), kind({**settings, "auto.create.topics.enable": "false"})
    try:
        for test in tests:
            name = f"{protocol} {test}"
            if name in not_yet:
                results.add_skip(name, f"not yet: {not_yet[name]}")
                continue
            broker = without if test.endswith(f"/{NO_AUTO_CREATE}") else with_auto_create
            if not broker.is_alive():
                start(broker)
            run_test(name, broker, kept, results)
            if not broker.is_alive():
                results.add_breakage(f"{protocol} broker", f"it ended with {broker.process.returncode} during {test}")
                print(broker.log_tail(), file=sys.stderr, flush=True)
        if with_auto_create.log.exists():
            shutil.copy(with_auto_create.log, kept / f"{protocol}-broker.log")
    finally:
        with_auto_create.close()
        without.close()


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


def run_test(name, broker, kept, results, is_second=False):
    """One test in a process of the runner of its own, with a bound on its time."""
    protocol, test = name.split()
    number, _, part = test.partition("/")
    log = kept / f"{protocol}-{test.replace('/', '-')}{'-again' if is_second else ''}.log"
    started = time.monotonic()
    status = run(protocol, number, part, broker, log)
    seconds = time.monotonic() - started
    said = COLOUR.sub("", log.read_text(encoding="utf-8", errors="replace"))
    if status is None:
        results.add_failure(name, f"not done after {TEST_SECONDS} s; see {log}", seconds)
        return
    outcomes = {outcome: (test, reason) for test, outcome, reason in OUTCOME.findall(said)}
    if status != 0 and name in results.by_chance and not is_second and broker.is_alive():
        results.add_second_run(name, f"{reason_of(outcomes, said, status)}; see {log}")
        run_test(name, broker, kept, results, is_second=True)
    elif status != 0:
        results.add_failure(name, f"{reason_of(outcomes, said, status)}; see {log}", seconds)
    elif part not in ("", NO_AUTO_CREATE) and not re.search(rf"\[ do_test_{part}:.*: PASS ", said):
        results.add_skip(name, "the test leaves this part out")
    elif "PASSED" in outcomes:
        results.add_pass(name, seconds)
    elif "SKIPPED" in outcomes:
        test, reason = outcomes["SKIPPED"]
        results.add_skip(name, f"{test}: {shortened(reason)}")
    else:
        results.add_failure(name, f"it ran nothing; see {log}", seconds)


def run(protocol, number, part, broker, log):
    """The exit status of the runner, whose words go to the file `log`; None when it took too long."""
    configuration = broker.home / "test.conf"
    configuration.write_text(f"bootstrap.servers={broker.bootstrap}\n")
    libraries = os.environ["LIBRDKAFKA"]
    environment = {
        **os.environ,
        "TESTS": number,
        **environment_of(part),
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
    quick = [] if number in NOT_QUICK else ["-Q"]
    command = ["setpriv", "--pdeathsig", "KILL", "./test-runner", "-p1", "-L", *quick]
    # Names of topics come back in later runs, and 0014 goes on from the files that one of them has left.
    for left in pathlib.Path(libraries, "tests").glob("*.offset"):
        left.unlink()
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


def environment_of(part):
    """What has the runner run this part of a number only."""
    if part == NO_AUTO_CREATE:
        return {"TEST_SCENARIO": NO_AUTO_CREATE}
    return {"SUBTESTS": f"do_test_{part}:"} if part else {}


def reason_of(outcomes, said, status):
    """What the test that failed said, or the summary says of it; a test that aborts never gets to the summary."""
    if failure := FAILURE.search(said):
        return f"{failure[1]}: {shortened(failure[2])}"
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
