"""Runs the workloads on fbf and on Apache Kafka, side by side, and writes what it measured to results.json, BENCHMARKS.md and charts/.

As it comes, a run takes about 40 minutes on two cores, and several GB of disk; --only, --scale and --rounds make it shorter, and --no-write
leaves the published table alone.

All brokers run the whole time on the same machine and disk; each workload runs on one and at once on the other, and who is first changes
from round to round; what the one before left to be written (2 GB, where nothing is synced) is written in between. The table shows the
median of the rounds, fbf's share of Kafka's figure, and the aim. fbf syncs every acknowledged batch (its default); Kafka does not sync
(its default). fbf under its other policies of syncing, and Kafka with a sync for each batch (--kafka-sync), run the rows that it matters
for.
"""

import argparse
import datetime
import json
import os
import pathlib
import shlex
import sys

import kafka_tools
import machine
import render
import rows
import sides as all_sides
import workloads

HERE = pathlib.Path(__file__).parent
PAGE = HERE.parent / "BENCHMARKS.md"
RESULTS = HERE / "results.json"
CHARTS = HERE / "charts"
# Measured once, when all else has run.
LAST = "memory"


def main():
    asked = arguments()
    if asked.render:
        write_page(json.loads(RESULTS.read_text(encoding="utf-8")))
        return
    results = measure(asked)
    print(render.Report(results).section())
    if not asked.no_write:
        RESULTS.write_text(as_json(results), encoding="utf-8")
        write_page(results)
    sys.exit(1 if any("error" in row for row in results["rows"]) else 0)


def arguments(words=None):
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", type=listed(workloads.ALL), default=list(workloads.ALL), metavar="ROWS", help=f"of {','.join(workloads.ALL)}")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--scale", type=float, default=1.0, help="1.0 is the size that the published table has")
    options.add_argument("--brokers", type=listed([all_sides.KAFKA, all_sides.FBF]), default=["kafka", "fbf"], help="of kafka,fbf")
    options.add_argument("--sync", type=listed(all_sides.POLICIES), default=list(all_sides.POLICIES), metavar="POLICIES",
                         help="of commit,interval,os: the first one's fbf runs every row, the others' p100 and p1k; all by default")  # fmt: skip
    options.add_argument("--kafka-sync", action="store_true", help="p100 and p1k also on a Kafka that syncs each batch")
    options.add_argument("--fbf", action="append", default=[], metavar="KEY=VALUE", help="a setting for fbf")
    options.add_argument("--kafka", action="append", default=[], metavar="KEY=VALUE", help="a setting for Kafka")
    options.add_argument("--no-write", action="store_true", help="print the section, and write nothing")
    options.add_argument("--render", action="store_true", help="measure nothing; write the page and the charts again from results.json")
    asked = options.parse_args(words)
    if asked.rounds < 1:
        options.error("--rounds: 1 at least")
    if any(setting.startswith("storage.sync=") for setting in asked.fbf):
        options.error("--fbf storage.sync: --sync chooses the policies")
    return asked


def listed(names):
    """A type of option: some of `names`, with commas between."""

    def parsed(text):
        words = text.split(",")
        if unknown := [word for word in words if word not in names]:
            raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}; there are {', '.join(names)}")
        return words

    return parsed


def pairs(settings):
    return dict(setting.split("=", 1) for setting in settings)


def measure(asked):
    """What results.json holds: `run`, and in `rows` a dictionary for each row, side and round."""
    settings = {all_sides.FBF: pairs(asked.fbf), all_sides.KAFKA: pairs(asked.kafka)}
    running = all_sides.chosen(asked.brokers, asked.sync, asked.kafka_sync, settings["fbf"], settings["kafka"])
    try:
        run = described(asked, running, settings)
        for side in running:
            side.broker.start()
            say(f"{side.name} on {side.broker.bootstrap}; warming up")
            workloads.warm_up(side.broker)
        measured = []
        for one in turns(running, asked):
            measured.append(one)
            say(json.dumps(one))
    finally:
        for side in running:
            side.broker.close()
    return {"run": run, "rows": measured}


def described(asked, running, settings):
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "command": command(sys.argv[1:]),
        "rounds": asked.rounds,
        "scale": asked.scale,
        "sides": [side.name for side in running],
        "ours": all_sides.fbf_name(asked.sync[0]),
        "settings": settings,
        "machine": machine.described(running[0].broker.home),
        "versions": machine.versions(),
    }


def command(words):
    return "make bench" + (f' ARGS="{shlex.join(words)}"' if words else "")


def turns(running, asked):
    """Every row of every side and round, in the order in which they are measured."""
    for number in range(asked.rounds):
        for name in (name for name in asked.only if name != LAST):
            for side in running if number % 2 == 0 else reversed(running):
                yield from turn(side, name, asked.scale, number + 1)
    if LAST in asked.only:
        for side in running:
            yield from turn(side, LAST, asked.scale, asked.rounds)


def turn(side, name, scale, number):
    """The rows of one workload on one side. A row that fails is a row; what the workload would have come to after it is one as well."""
    if not side.runs(name):
        return
    expected = [row.name for row in rows.of_workload(name) if side.keeps(row.name)]
    try:
        if not side.broker.is_alive():
            raise RuntimeError(f"{side.name} ended with {side.broker.process.returncode} before")
        # What the one before has not written yet would be written while this one is measured: a broker that syncs nothing leaves gigabytes.
        os.sync()
        taken = workloads.ALL[name](side.broker, scale)
        while expected:
            row, found = next(taken)
            expected.remove(row)
            yield {"row": row, "side": side.name, "round": number, **found}
        # What is left is not asked for, and the topic is deleted.
        taken.close()
    except (kafka_tools.ToolFailed, RuntimeError, OSError) as error:
        for row in expected:
            yield {"row": row, "side": side.name, "round": number, "error": " ".join(str(error).split())}
        if not expected:
            say(f"after {name} on {side.name}: {error}")


def as_json(results):
    """A line for each measured row, so that a change of one is a change of a line."""
    lines = ",\n".join(f"    {json.dumps(row)}" for row in results["rows"])
    run = json.dumps(results["run"], indent=2).replace("\n", "\n  ")
    return f'{{\n  "run": {run},\n  "rows": [\n{lines}\n  ]\n}}\n'


def write_page(results):
    report = render.Report(results)
    PAGE.write_text(render.between_markers(PAGE.read_text(encoding="utf-8"), report.section()), encoding="utf-8")
    CHARTS.mkdir(exist_ok=True)
    for group, drawing in report.charts().items():
        (CHARTS / f"{group}.svg").write_text(drawing, encoding="utf-8")


def say(line):
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
