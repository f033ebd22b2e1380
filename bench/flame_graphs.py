"""Runs the workloads of the bench on fbf alone and draws where its processor time goes.

  profile.sh [--only p100,p1k,…] [--scale 1.0] [--fbf key=value]… [--hertz 499]

For each row of the bench, target/profile has ROW.svg, a flame graph (a browser shows it, with search and zoom), ROW.folded, what it was drawn
from (a line for each stack, with its number of samples; inferno-diff-folded compares two), and ROW.perf, for `perf report`.

perf samples all threads of the process while the row runs; a thread that waits is not sampled. Stacks are unwound from copies of them, since
neither Rust nor RocksDB is built with frame pointers: so the binary is the one that is measured elsewhere. A flame that begins in
[unknown] could not be followed to its thread's start (some of RocksDB's). Functions that the compiler inlined count as their callers.
"""

import argparse
import os
import pathlib
import re
import signal
import subprocess
import sys

import broker as brokers
import workloads

OUT = pathlib.Path(os.environ["CARGO_TARGET_DIR"], "profile")
INFERNO = pathlib.Path(os.environ["INFERNO"], "bin")
STACK_BYTES = 16384
TRY_SECONDS = 60


class NoProfile(Exception):
    """perf, or what draws, did not work: what it said."""


def main():
    asked = arguments()
    OUT.mkdir(parents=True, exist_ok=True)
    broker = brokers.Fbf(dict(setting.split("=", 1) for setting in asked.fbf))
    failed = []
    try:
        check_perf()
        broker.start()
        workloads.warm_up(broker)
        for name in asked.only.split(","):
            for workload, row, samples in recorded(workloads.LOADS[name](broker, asked.scale), broker.pid, asked.hertz):
                if "unavailable" in row:
                    print(f"{workload}: not recorded ({row['unavailable']})", flush=True)
                elif "error" in row:
                    failed.append(workload)
                    print(f"{workload}: FAIL ({row['error']})", flush=True)
                else:
                    print(f"{workload}: {row['cpu_s']:.2f} CPU s in {row['wall_s']:.1f} s: {draw(workload, samples)}", flush=True)
    except NoProfile as error:
        sys.exit(f"profile: {error}")
    finally:
        broker.close()
    sys.exit(1 if failed else 0)


def arguments():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", default=",".join(workloads.LOADS), help=f"of {', '.join(workloads.LOADS)}")
    options.add_argument("--scale", type=float, default=1.0, help="1.0 is the size that the published table has")
    options.add_argument("--fbf", action="append", default=[], metavar="KEY=VALUE", help="a setting for fbf, e.g. storage.sync=os")
    options.add_argument("--hertz", type=int, default=499, help="samples for a second of a processor; each takes 16 KiB on disk")
    return options.parse_args()


def check_perf():
    """Whether the system lets us sample is only known once we did."""
    command = ["perf", "record", "-o", "/dev/null", "true"]
    try:
        tried = subprocess.run(command, capture_output=True, text=True, timeout=TRY_SECONDS, check=False)
    except OSError as error:
        raise NoProfile(f"perf cannot be started: {error}; apt-get install linux-perf") from None
    if tried.returncode != 0:
        advice = "a container needs --cap-add=PERFMON, a user kernel.perf_event_paranoid of 2 or less"
        raise NoProfile(f"perf cannot sample here; {advice}: {tried.stderr.strip()[:300]}")


def recorded(rows, pid, hertz):
    """(name, row, file of samples) of each row of a workload. The work is done while the next row is asked for, so that is what is recorded."""
    recording = OUT / "recording"
    command = ["perf", "record", "-F", hertz, "--call-graph", f"dwarf,{STACK_BYTES}", "-p", pid, "-o", recording]
    while True:
        with subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True) as perf:
            try:
                # After the last row this deletes the topic and gives none.
                workload, row = next(rows, (None, None))
            finally:
                perf.send_signal(signal.SIGINT)
                said = perf.communicate()[1]
        if workload is None:
            recording.unlink(missing_ok=True)
            return
        if not recording.exists():
            raise NoProfile(f"perf recorded nothing: {said.strip()[-500:]}")
        yield workload, row, recording.rename(OUT / f"{file_name(workload)}.perf")


def file_name(workload):
    """`produce 100B x1p acks=all` -> `produce-100B-x1p-acks-all`."""
    return re.sub(r"\W+", "-", workload).strip("-")


def draw(workload, samples):
    """Writes the folded stacks and the flame graph; returns the latter's path."""
    # --no-inline: to name inlined functions perf asks addr2line about each address, which takes minutes.
    stacks = samples.with_suffix(".stacks")
    folded, drawing = samples.with_suffix(".folded"), samples.with_suffix(".svg")
    piped(["perf", "script", "--no-inline", "-i", samples], stacks)
    piped([INFERNO / "inferno-collapse-perf", stacks], folded)
    piped([INFERNO / "inferno-flamegraph", "--title", f"fbf: {workload}", "--hash", folded], drawing)
    stacks.unlink()
    return drawing


def piped(command, file):
    with open(file, "wb") as out:
        done = subprocess.run([*map(str, command)], stdout=out, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise NoProfile(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()[-500:]}")


if __name__ == "__main__":
    main()
