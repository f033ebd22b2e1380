"""Counts what a steady load costs the server, and fails where a count grew past its baseline: run.sh [--renew]

The load (`steady-load`, protocol-tests) has phases: produce, and fetch, from memory and from disk. What a phase costs is the difference of a
run with it and one without, so that start, stop and first uses do not count; everything is per megabyte of record batches. Each run is
made under each of three tools:

  callgrind   instructions of the server, in user space
  dhat        bytes that the server copies from memory to memory (memcpy, memmove); copies of a few bytes, which compilers make of moves,
              are not seen
  strace      system calls, and the bytes that they copy between user space and the kernel; sendfile copies none

Time is in none of them: how fast the machine is and what else it does changes them by up to two percent. Calls by which threads wait for
each other (futex, sched_yield) do depend on it, and are shown but not held against anything.

`--renew` writes what was counted to baseline.toml. What the tools wrote stays in bench/out/guard: `callgrind_annotate produce.callgrind` and
valgrind's dh_view.html (for produce.dhat) tell which function it is.
"""

import argparse
import collections
import os
import pathlib
import platform
import re
import shlex
import subprocess
import sys
import tomllib

from suite import Results, eventually

HERE = pathlib.Path(__file__).parent
BASELINE = HERE / "baseline.toml"
OUT = HERE.parent / "out" / "guard"
RUN_SECONDS = 120
# A run before any phase, and one with each: what steady-load is told. A phase is long enough that start and stop, which differ by up to a
# hundred calls and a million instructions, hardly show.
BEFORE = "before"
RUNS = {
    BEFORE: ["240"],
    "produce": ["1240"],
    "fetch_from_memory": ["240", "newest", "3000"],
    "fetch_from_disk": ["240", "all", "50"],
}
# These come and go with the order in which threads get the processor.
WAITING_CALLS = {"futex", "sched_yield"}
# Their results are bytes that were copied. sendfile, splice and copy_file_range hand over pages instead.
COPYING_CALLS = {
    "read", "readv", "pread64", "preadv", "preadv2", "recvfrom", "recvmsg",
    "write", "writev", "pwrite64", "pwritev", "pwritev2", "sendto", "sendmsg",
}  # fmt: skip
NOT_GUARDED = {"waiting_calls"}
# Of these alone the count depends on the kind of processor.
OF_ONE_MACHINE = {"instructions"}


class CannotCount(Exception):
    """A tool or the load did not work: what it said."""


def callgrind(out):
    return ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", f"--log-file={out}.log"]


def read_callgrind(out):
    return {"instructions": said(out, r"Collected : (\d+)")}


def dhat(out):
    return ["valgrind", "--tool=dhat", "--mode=copy", f"--dhat-out-file={out}", f"--log-file={out}.log"]


def read_dhat(out):
    return {"bytes_copied_in_memory": said(out, r"Total: +([\d,]+) bytes")}


def strace(out):
    # -D: the server is the child of whoever starts it, so that SIGTERM reaches it; strace is its grandchild.
    return ["strace", "-D", "-f", "-s", "0", "-o", str(out)]


def read_strace(out):
    """One line for each call, or two where another thread's came between: `PID pread64(… <unfinished ...>`, `PID <... pread64 resumed>…) = 5`."""
    calls, copied = collections.Counter(), 0
    for line in eventually(lambda: whole_trace(out), what="the end of what strace writes"):
        call = re.match(r"\d+ +(?:<\.\.\. )?(\w+)(?:\(| resumed>)", line)
        if call is None or line.endswith("<unfinished ...>"):
            continue
        calls[call[1]] += 1
        result = re.search(r"\) += (\d+)$", line)
        if result and call[1] in COPYING_CALLS:
            copied += int(result[1])
    waiting = sum(calls[name] for name in WAITING_CALLS)
    return {"system_calls": calls.total() - waiting, "bytes_copied_by_calls": copied, "waiting_calls": waiting}


def whole_trace(out):
    """The lines, once the last one is there: the first thread's end is told after all others'."""
    lines = out.read_text(errors="replace").splitlines()
    first = lines[0].split()[0] if lines else ""
    return lines if re.match(rf"{first} +\+\+\+ ", lines[-1] if lines else "") else None


def said(out, pattern):
    log = pathlib.Path(f"{out}.log").read_text(errors="replace")
    found = re.search(pattern, log)
    if found is None:
        raise CannotCount(f"valgrind counted nothing: {log[-500:]}")
    return int(found[1].replace(",", ""))


TOOLS = {"callgrind": (callgrind, read_callgrind), "dhat": (dhat, read_dhat), "strace": (strace, read_strace)}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--renew", action="store_true", help="write what was counted to baseline.toml")
    renew = options.parse_args().renew
    results = Results(HERE)
    try:
        for program in ["valgrind", "strace"]:
            check_can_run(program)
        counted = figures({name: run(name, load) for name, load in RUNS.items()})
    except (CannotCount, AssertionError) as error:
        results.add_breakage("counting", error)
        sys.exit(results.finish())
    if renew:
        write_baseline(counted)
        print(f"{BASELINE.name} is renewed")
    compare(counted, tomllib.loads(BASELINE.read_text()), results)
    sys.exit(results.finish())


def check_can_run(program):
    """Of strace this is not sure before the system has let it trace something: containers may be without ptrace."""
    OUT.mkdir(parents=True, exist_ok=True)
    command = {"valgrind": ["valgrind", "--tool=none", "true"], "strace": [*strace(OUT / "try"), "true"]}[program]
    try:
        tried = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    except OSError as error:
        raise CannotCount(f"{program} cannot be started: {error}; apt-get install {program}") from None
    # strace -D leaves its program alone when it may not trace it, and says so.
    if tried.returncode != 0 or "ptrace" in tried.stderr:
        advice = "; a container needs leave for ptrace (--cap-add=SYS_PTRACE)" if program == "strace" else ""
        raise CannotCount(f"{program} does not work here{advice}: {tried.stderr.strip()[-300:]}")


def run(name, load):
    """Count -> its value in this run, and `bytes`, of the batches that were produced and fetched."""
    counts = {}
    for tool, (command, read) in TOOLS.items():
        out = OUT / f"{name}.{tool}"
        out.unlink(missing_ok=True)
        server = OUT / "fbf"
        server.write_text(f'#!/bin/sh\nexec {shlex.join(command(out))} {shlex.quote(os.environ["FBF_BIN"])} "$@"\n')
        server.chmod(0o755)
        counts |= {"bytes": run_load(load, server)} | read(out)
    return counts


def run_load(load, server):
    program = pathlib.Path(os.environ["CARGO_TARGET_DIR"], "release", "steady-load")
    environment = {**os.environ, "FBF_BIN": str(server)}
    ran = subprocess.run([program, *load], env=environment, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    if ran.returncode != 0:
        raise CannotCount(f"steady-load {' '.join(load)} ended with {ran.returncode}: {ran.stderr[-1500:]}")
    produced, fetched = ran.stdout.split()
    return int(produced) + int(fetched)


def figures(runs):
    """Phase -> count -> what a megabyte costs."""
    before = runs[BEFORE]
    megabytes = {phase: (counts["bytes"] - before["bytes"]) / 1e6 for phase, counts in runs.items()}
    return {
        phase: {name: round((count - before[name]) / megabytes[phase], 1) for name, count in counts.items() if name != "bytes"}
        for phase, counts in runs.items()
        if phase != BEFORE
    }


def compare(counted, baseline, results):
    tolerance = baseline["tolerance"]
    for phase, counts in counted.items():
        for name, count in counts.items():
            title = f"{phase}: {count:,.1f} {name} per MB"
            if name in NOT_GUARDED:
                print(f"{title}, for information")
                continue
            if name in OF_ONE_MACHINE and platform.machine() != baseline["machine"]:
                results.add_skip(title, f"the baseline is of {baseline['machine']}")
                continue
            expected = baseline[phase][name]
            change = count / expected - 1
            title += f", {change:+.1%} on {expected:,.1f}"
            if change > tolerance:
                advice = "if it is worth it, `make guard ARGS=--renew` and say why in the commit"
                results.add_failure(title, f"more than {tolerance:+.0%}; {advice}")
                continue
            results.add_pass(title)
            if change < -tolerance:
                print("    so much less is worth keeping: renew the baseline with `make guard ARGS=--renew`")


def write_baseline(counted):
    """Everything before the first phase is kept: it is written by hand."""
    heading = re.split(r"^\[", BASELINE.read_text(), maxsplit=1, flags=re.MULTILINE)[0]
    heading = re.sub(r"^machine = .*", f'machine = "{platform.machine()}"', heading, flags=re.MULTILINE)
    phases = []
    for phase, counts in counted.items():
        guarded = [f"{name} = {count}\n" for name, count in counts.items() if name not in NOT_GUARDED]
        phases.append(f"[{phase}]\n{''.join(guarded)}")
    BASELINE.write_text(heading + "\n".join(phases))


if __name__ == "__main__":
    main()
