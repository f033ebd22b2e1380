"""A list of named tests against one broker, and the bookkeeping that all clients share.

    suite = Suite("kcat", settings={"num.partitions": 4})

    @suite.test
    def produces_and_consumes(broker): ...

    suite.main()

Options of every suite: names (or parts of names) of the tests to run, --list, --grow.

A test passes when it returns. `passing.txt` beside the suite holds the tests known to pass, one name per line: one of them
failing or missing is an error, and another one failing is only "known". `--grow` adds what passes now; nothing removes a
line but a person. Without such a file, every test must pass.
`by-chance.txt`, where there is one, names tests that race with themselves, and says how: whoever fails there is run once more.
The last line is always `N passed, N failed`, then, where there are any, `, N known` and `, N skipped`.
"""

import argparse
import faulthandler
import os
import pathlib
import signal
import sys
import time
import traceback
import uuid

import broker as brokers

TEST_SECONDS = 120


class Results:
    """Counts and prints outcomes, and holds them against the list of tests known to pass."""

    def __init__(self, folder, name_words=1):
        """`name_words`: how many words a test's name has in the lists."""
        self.file = pathlib.Path(folder) / "passing.txt"
        self.known_to_pass = set(read_notes(self.file, name_words)) if self.file.exists() else None
        by_chance = pathlib.Path(folder) / "by-chance.txt"
        # Name -> the race in the test itself that decides.
        self.by_chance = read_notes(by_chance, name_words) if by_chance.exists() else {}
        self.passed, self.failed, self.known, self.skipped = [], [], [], []

    def must_pass(self, name):
        return self.known_to_pass is None or name in self.known_to_pass

    def add_pass(self, name, seconds=None):
        self.passed.append(name)
        self.say(name, "ok", seconds)

    def add_failure(self, name, reason, seconds=None):
        (self.failed if self.must_pass(name) else self.known).append(name)
        self.say(name, f"{'FAIL' if self.must_pass(name) else 'known to fail'} ({reason})", seconds)

    def add_second_run(self, name, reason):
        """A test of `by-chance.txt` has failed, and is run again: that counts."""
        self.say(name, f"failed, and is run once more, since {self.by_chance[name]} ({reason})", None)

    def add_breakage(self, name, reason):
        """Something that is no test of the list, but may not happen at all: a broker that ended, a run without results."""
        self.failed.append(name)
        self.say(name, f"FAIL ({reason})", None)

    def add_skip(self, name, reason):
        if self.known_to_pass is not None and name in self.known_to_pass:
            self.add_failure(name, f"skipped: {reason}")
            return
        self.skipped.append(name)
        self.say(name, f"skipped ({reason})", None)

    def add_known(self, name, reason):
        """A test that is not run, since it is known to fail."""
        if self.known_to_pass is not None and name in self.known_to_pass:
            self.add_failure(name, f"not run: {reason}")
            return
        self.known.append(name)
        self.say(name, f"known to fail ({reason})", None)

    def add_missing(self, reason, is_asked=lambda name: True):
        """The tests of `passing.txt` that gave no result although they were asked for."""
        for name in sorted((self.known_to_pass or set()) - {*self.passed, *self.failed, *self.known, *self.skipped}):
            if is_asked(name):
                self.add_failure(name, reason)

    @staticmethod
    def say(name, outcome, seconds):
        print(f"{name}: {outcome}" + (f"  {seconds:.1f} s" if seconds is not None else ""), flush=True)

    def finish(self, grow=False):
        """Prints the last line and returns the exit status."""
        new = [name for name in self.passed if not self.must_pass(name)]
        if new and grow:
            with open(self.file, "a", encoding="utf-8") as file:
                file.writelines(f"{name}\n" for name in sorted(new))
            print(f"{len(new)} new names in {self.file.name}")
        elif new:
            print(f"{len(new)} passed that {self.file.name} does not have (--grow adds them): {', '.join(sorted(new))}")
        print(counts(len(self.passed), len(self.failed), len(self.known), len(self.skipped)), flush=True)
        return 1 if self.failed or not self.passed else 0


class Suite:
    def __init__(self, name, folder=None, settings=None):
        """`settings`: broker properties that the whole suite wants. `folder`: where `passing.txt` may be."""
        self.name = name
        self.folder = folder or "/nonexistent"
        self.settings = settings
        self.tests = []

    def test(self, function=None, *, seconds=None):
        """A decorator, plain or with the `seconds` that a test may take where TEST_SECONDS are too few."""
        if function is None:
            return lambda named: self.test(named, seconds=seconds)
        if seconds is not None:
            function.seconds = seconds
        self.tests.append(function)
        return function

    def main(self):
        options = argparse.ArgumentParser(description=f"{self.name}: tests against a real broker")
        options.add_argument("only", nargs="*", help="parts of the names to run")
        options.add_argument("--list", action="store_true", help="print the names and stop")
        options.add_argument("--grow", action="store_true", help="add what passes now to passing.txt")
        asked = options.parse_args()
        tests = [test for test in self.tests if not asked.only or any(part in test.__name__ for part in asked.only)]
        if asked.list:
            print("\n".join(test.__name__ for test in tests))
            return
        results = Results(self.folder)
        broker = brokers.chosen()(self.settings)
        for test in tests:
            run_test(test, broker, results)
        broker.close()
        if not asked.only:
            results.add_missing("the suite has no such test")
        sys.exit(results.finish(asked.grow))


def run_checks(tests, folder):
    """Runs functions that need no broker, says what each came to, and ends the process."""
    results = Results(folder)
    for test in tests:
        try:
            test()
            results.add_pass(test.__name__)
        except Exception as error:  # noqa: BLE001 - whatever went wrong is the test's result
            results.add_failure(test.__name__, str(error))
    sys.exit(results.finish())


def run_test(test, broker, results):
    """One test in this thread, on a living broker, with a bound on its time."""
    seconds = getattr(test, "seconds", TEST_SECONDS)

    def expire(*_):
        raise TimeoutError(f"not done after {seconds} s")

    started = time.monotonic()
    signal.signal(signal.SIGALRM, expire)
    signal.alarm(seconds)
    # For a client that hangs in C, where no signal handler of Python's runs.
    faulthandler.dump_traceback_later(2 * seconds, exit=True)
    try:
        if not broker.is_alive():
            broker.start()
        test(broker)
        if not broker.is_alive():
            raise AssertionError(f"{broker.name} ended with status {broker.process.returncode}")
        results.add_pass(test.__name__, time.monotonic() - started)
    except Exception as error:  # noqa: BLE001 - whatever went wrong is the test's result
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        results.add_failure(test.__name__, reason, time.monotonic() - started)
        traceback.print_exc(limit=-4)
        if broker.process is not None:
            print(broker.log_tail(), file=sys.stderr, flush=True)
    finally:
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()


def counts(passed, failed, known=0, skipped=0):
    line = f"{passed} passed, {failed} failed"
    line += f", {known} known" if known else ""
    line += f", {skipped} skipped" if skipped else ""
    return line


def read_notes(file, name_words=1):
    """The name, which is the first word or as many as asked for -> the rest, for each line; `#` begins a comment."""
    lines = (line.split("#")[0].split() for line in pathlib.Path(file).read_text(encoding="utf-8").splitlines())
    return {" ".join(words[:name_words]): " ".join(words[name_words:]) for words in lines if words}


def end_group(process):
    """Kills a process that leads a group of its own, and all that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def fresh(prefix):
    """A name that no other test has used."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def eventually(condition, seconds=30, what="the condition"):
    """Waits until `condition()` is true and returns what it gave."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not hold within {seconds} s")
        time.sleep(0.05)


def expect_equal(found, expected, what="value"):
    """An assertion that shows both sides, cut short."""
    if found != expected:
        raise AssertionError(f"{what}: found {str(found)[:200]}, expected {str(expected)[:200]}")
