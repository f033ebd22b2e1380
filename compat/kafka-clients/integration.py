"""Runs the integration tests that Apache Kafka publishes as test jars against the real binary and holds the results against the lists.

  run.sh [class or group]… [--all] [--list] [--grow] [--control] [--table] [--lanes N]

Kafka's tests start brokers inside their own JVM. The classes in shim/ come before Kafka's in the class path: each test gets one broker
in a process of its own, which broker.sh starts from a server.properties. Each class of classes.txt runs in its own JVM, --lanes of them
at the same time: they wait more than they work. The slow ones begin first; results are shown in the order of the list.

A case is `Class.method`, or `Class.method[n]` where a method runs with several parameters. passing.txt has the cases that must pass.
not-yet.txt has those that do not, each with what it waits for (a line may name all of a method or a class): they are left out and
count as known; --all runs them. A case that fails and is in neither is an error. not-applicable.txt has what no broker in its own
process can pass. TABLE.md is made from these lists and from control.tsv, the same on Apache Kafka itself (--control).
What the tests and the brokers say is kept in $FBF_CACHE/compat/kafka-clients, and in kafka-clients-control.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from suite import Results, end_group, read_notes

HERE = pathlib.Path(__file__).parent
# Apart from one another, so that both brokers can be tested at the same time.
KEPT = {
    "fbf": pathlib.Path(os.environ["FBF_CACHE"]) / "compat" / "kafka-clients",
    "kafka": pathlib.Path(os.environ["FBF_CACHE"]) / "compat" / "kafka-clients-control",
}
# Two classes of Streams take half an hour.
CLASS_SECONDS = 3600
# Some tests of Kafka's have no bound of their own.
METHOD_SECONDS = 180
# Outcomes of a case that did not pass and should have; read_cases makes the second one.
FAILURES = ("FAILED", "UNFINISHED")
JVM = ["-Xmx600m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
LAUNCHER = ["org.junit.platform.console.ConsoleLauncher", "execute", "--disable-banner", "--details=none"]
CONTROL = HERE / "control.tsv"
TABLE = HERE / "TABLE.md"


def main():
    options = argparse.ArgumentParser(description="integration tests of Kafka's clients against a real broker")
    options.add_argument("only", nargs="*", help="a class, or a group of classes.txt")
    options.add_argument("--all", action="store_true", help="the tests of not-yet.txt too")
    options.add_argument("--list", action="store_true", help="print the classes and their groups, and stop")
    options.add_argument("--grow", action="store_true", help="add what passes now to passing.txt, and write TABLE.md")
    options.add_argument("--control", action="store_true", help="on Apache Kafka; with --grow its numbers go to control.tsv")
    options.add_argument("--table", action="store_true", help="write TABLE.md from the lists, and stop")
    options.add_argument("--lanes", type=int, default=1, help="how many classes run at the same time")
    asked = options.parse_args()
    classes = read_notes(HERE / "classes.txt")
    if asked.control:
        os.environ["COMPAT_BROKER"] = "kafka"
    is_control = os.environ.get("COMPAT_BROKER") == "kafka"
    if asked.table:
        TABLE.write_text(table(classes), encoding="utf-8")
        return
    for word in asked.only:
        if not any(is_asked(one, groups, [word]) for one, groups in classes.items()):
            options.error(f"{word!r} is neither a class nor a group of classes.txt")
    chosen = [one for one, groups in classes.items() if not asked.only or is_asked(one, groups, asked.only)]
    if asked.list:
        print("\n".join(f"{simple(one)} {classes[one]}" for one in chosen))
        return
    not_yet = {} if is_control else read_notes(HERE / "not-yet.txt")
    # On Kafka every test must pass.
    run = Run(Results("/nonexistent" if is_control else HERE), not_yet, asked.all)
    if not is_control and TABLE.read_text(encoding="utf-8") != table(classes):
        run.results.add_breakage("TABLE.md", "it is not what the lists say; run.sh --table writes it")
    with tempfile.TemporaryDirectory(prefix="kafka-clients-") as shim:
        compile_shim(shim)
        run.run_classes(chosen, {one for one in chosen if "slow" in classes[one].split()}, shim, asked.lanes)
    names = {simple(one) for one in chosen}
    run.results.add_missing("no such test, or a class that did not come to its end", lambda name: class_of(name) in names)
    status = run.results.finish(asked.grow and not is_control)
    if asked.grow:
        if is_control:
            write_control(run, classes)
        TABLE.write_text(table(classes), encoding="utf-8")
    sys.exit(status)


def is_asked(one, groups, words):
    return simple(one) in words or any(group in words for group in groups.split())


def simple(class_name):
    return class_name.rsplit(".", 1)[1]


def class_of(name):
    return name.split(".")[0]


def methods_of(cases):
    return sorted({case.split(".")[1].split("[")[0] for case in cases})


def libraries():
    return pathlib.Path(os.environ["KAFKA_TEST_LIBS"])


def compile_shim(folder):
    if not (libraries() / "stamp").exists():
        sys.exit("kafka-clients: Kafka's test jars are not there; compat/setup.sh compat fetches them")
    sources = sorted(map(str, (HERE / "shim").rglob("*.java")))
    # sun.misc.Unsafe is nobody's to use, says javac.
    subprocess.run(["javac", "-nowarn", "-XDignore.symbol.file", "-cp", f"{libraries()}/*", "-d", folder, *sources], check=True)
    services = pathlib.Path(folder, "META-INF", "services")
    services.mkdir(parents=True)
    (services / "org.junit.platform.launcher.TestExecutionListener").write_text("external.CaseListener\n")


class Run:
    def __init__(self, results, not_yet, with_not_yet):
        """`not_yet`: name of a case, a method or a class -> what it waits for. `with_not_yet`: they are to run."""
        self.results = results
        self.not_yet = not_yet
        self.left_out = read_notes(HERE / "not-applicable.txt") | ({} if with_not_yet else not_yet)
        # Class -> outcome -> how many.
        self.counts = {}
        # The JVMs of now.
        self.running = set()

    def run_classes(self, chosen, slow, shim, lanes):
        """Each class, `lanes` at a time, those of `slow` first."""
        with ThreadPoolExecutor(lanes) as pool:
            ended = {one: pool.submit(self.run_class, one, shim) for one in sorted(chosen, key=lambda one: one not in slow)}
            try:
                for one in chosen:
                    self.add_class(one, ended[one].result())
            except BaseException:
                # The pool waits for its threads, and a class may take an hour.
                pool.shutdown(wait=False, cancel_futures=True)
                for process in list(self.running):
                    end_group(process)
                raise

    def left_out_methods(self, one):
        """Method, or the class itself -> why it does not run. (A case is left out of the counts only: JUnit can leave out methods.)"""
        return {left: reason for left, reason in self.left_out.items() if class_of(left) == simple(one) and not left.endswith("]")}

    def run_class(self, one, shim):
        """run_jvm's result and the seconds it took, or None where all of the class is left out."""
        left_out = self.left_out_methods(one)
        if simple(one) in left_out:
            return None
        started = time.monotonic()
        status, cases, log = run_jvm(one, shim, self.running, without=methods_of(left_out))
        again = {case: reason for case, (outcome, _, reason) in cases.items() if outcome in FAILURES and case in self.results.by_chance}
        for case, reason in again.items():
            self.results.add_second_run(case, f"{reason}; see {log}")
        if again:
            _, second, _ = run_jvm(one, shim, self.running, only=methods_of(again))
            # What does not come to its end there keeps its first result.
            cases |= {case: ran for case, ran in second.items() if case in again}
        return status, cases, log, time.monotonic() - started

    def add_class(self, one, ran):
        """Shows and counts what run_class came to."""
        name, left_out = simple(one), self.left_out_methods(one)
        print(f"-- {name}", flush=True)
        for left, reason in left_out.items():
            if left in self.not_yet:
                self.results.add_known(left, f"not yet: {reason}")
            else:
                self.results.add_skip(left, reason)
        if ran is None:
            return
        status, cases, log, class_seconds = ran
        counts = self.counts[name] = {"passed": 0, "failed": 0, "skipped": len(left_out)}
        for case, (outcome, seconds, reason) in cases.items():
            if outcome == "PASSED":
                counts["passed"] += 1
                self.results.add_pass(case, seconds)
            elif outcome in ("SKIPPED", "NOT_APPLICABLE"):
                counts["skipped"] += 1
                self.results.add_skip(case, reason)
            elif outcome != "WITHOUT_BROKER":
                counts["failed"] += 1
                self.add_failure(case, reason, seconds)
        if not cases and not left_out:
            self.results.add_breakage(name, f"no result, and status {status}; see {log}")
        sums = ", ".join(f"{number} {outcome}" for outcome, number in counts.items())
        print(f"-- {name}: {sums} in {class_seconds:.0f} s", flush=True)

    def add_failure(self, case, reason, seconds):
        is_known = {case, case.split("[")[0], class_of(case)} & set(self.not_yet)
        if self.results.must_pass(case) or is_known:
            self.results.add_failure(case, reason, seconds)
        else:
            self.results.add_breakage(case, f"neither in passing.txt nor in not-yet.txt: {reason}")


def run_jvm(one, shim, running, without=(), only=()):
    """(exit status, None when time was up; case -> (outcome, seconds, reason); the log) of one class without some of its methods, or of
    some only, for a second time.

    Its process is in `running` for as long as it runs.
    """
    kept = KEPT[os.environ.get("COMPAT_BROKER", "fbf")]
    kept.mkdir(parents=True, exist_ok=True)
    cases, log, broker_log = (kept / f"{simple(one)}{'-again' if only else ''}{end}" for end in (".tsv", ".log", ".broker.log"))
    for file in (cases, log, broker_log):
        file.unlink(missing_ok=True)
    properties = {"cases": cases, "broker.log": broker_log, "broker.start": HERE / "broker.sh"}
    # Kafka's extensions are found as services.
    settings = {"extensions.autodetection.enabled": "true", "execution.timeout.testable.method.default": f"{METHOD_SECONDS}s"}
    options = [word for name, value in settings.items() for word in ("--config", f"junit.jupiter.{name}={value}")]
    for option, methods in (("--exclude-methodname", without), ("--include-methodname", only)):
        if methods:
            options += [option, f"{re.escape(one)}#({'|'.join(methods)})"]
    java = ["java", *JVM, *(f"-D{name}={value}" for name, value in properties.items()), "-cp", f"{shim}:{libraries()}/*"]
    # setpriv: the kernel kills the JVM when the thread that started it is gone, and its brokers when the JVM is.
    command = ["setpriv", "--pdeathsig", "KILL", *java, *LAUNCHER, *options, "-c", one]
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
    running.add(process)
    try:
        status = process.wait(CLASS_SECONDS)
    except subprocess.TimeoutExpired:
        status = None
    finally:
        end_group(process)
        running.discard(process)
    return status, read_cases(cases), log


def read_cases(file):
    """Case -> (outcome, seconds, reason), from the lines that CaseListener writes; one that has only started did not finish."""
    cases = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        outcome, name, seconds, reason = line.split("\t")
        if outcome == "STARTED":
            outcome, reason = "UNFINISHED", f"not finished when the class had to end ({CLASS_SECONDS} s, or its JVM ended)"
        cases[name] = (outcome, float(seconds), reason)
    return cases


def write_control(run, classes):
    control = read_control() | {name: tuple(counts.values()) for name, counts in run.counts.items()}
    comments = [line for line in CONTROL.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    lines = ["\t".join(map(str, (simple(one), *control[simple(one)]))) for one in classes if simple(one) in control]
    CONTROL.write_text("\n".join([*comments, *lines, ""]), encoding="utf-8")


def read_control():
    """Class -> (passed, failed, skipped) on Apache Kafka."""
    return {name: tuple(map(int, numbers.split())) for name, numbers in read_notes(CONTROL).items()}


def table(classes):
    """TABLE.md: Apache Kafka beside fbf, as the lists have them."""
    control, not_yet = read_control(), read_notes(HERE / "not-yet.txt")
    passing = [class_of(name) for name in read_notes(HERE / "passing.txt")]
    rows = []
    for one in classes:
        name = simple(one)
        reasons = dict.fromkeys(reason for left, reason in not_yet.items() if class_of(left) == name)
        rows.append((name, *control.get(name, ("", "", "")), passing.count(name), "; ".join(reasons)))
    sums = [sum(row[column] or 0 for row in rows) for column in range(1, 5)]
    columns = ("class", "Kafka passed", "failed", "skipped", "fbf passes", "fbf: not yet")
    lines = [columns, ("---", *["---:"] * 4, "---"), *rows, ("all", *sums, "")]
    head = [
        "# Kafka's own integration tests, on Apache Kafka 4.3.1 and on fbf",
        "",
        "Written by `run.sh --table` from the lists beside it; empty columns of Kafka were not measured. Skipped: what needs several brokers,",
        "or a broker inside the test's own process.",
        "",
    ]
    return "\n".join([*head, *(f"| {' | '.join(map(str, line))} |" for line in lines), ""])


if __name__ == "__main__":
    main()
