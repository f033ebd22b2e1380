"""Runs the workloads on fbf and on Apache Kafka, side by side, and prints one table.

  run.sh [--only p100,p1k,…] [--rounds 3] [--scale 1.0] [--brokers fbf,kafka] [--fbf key=value]… [--kafka key=value]…

Both brokers run the whole time on the same machine and disk; each workload runs on one and at once on the other, and who
is first changes from round to round. The table shows the median of the rounds, and fbf's share of Kafka's figure. fbf syncs every
acknowledged batch (its default); Kafka does not sync (its default): `--kafka log.flush.interval.messages=1` makes it.
Every figure of every round goes to out/TIME.json, the table to out/TIME.md.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys

import broker as brokers
import workloads

OUT = pathlib.Path(__file__).parent / "out"
CLASSES = {"fbf": brokers.Fbf, "kafka": brokers.Kafka}
COLUMNS = [
    ("records_s", "records/s", "{:,.0f}"),
    ("cpu_s_per_gb", "CPU s/GB", "{:.2f}"),
    ("avg_ms", "avg ms", "{:.2f}"),
    ("p50_ms", "p50", "{:.1f}"),
    ("p99_ms", "p99", "{:.1f}"),
    ("p999_ms", "p99.9", "{:.1f}"),
    ("rss_mb", "RSS MB", "{:.0f}"),
]


def main():
    asked = arguments()
    settings = {"fbf": pairs(asked.fbf), "kafka": pairs(asked.kafka)}
    running = [CLASSES[name](settings[name]) for name in asked.brokers.split(",")]
    rows = []
    try:
        for broker in running:
            broker.start()
            print(f"{broker.name} on {broker.bootstrap}; warming up", file=sys.stderr, flush=True)
            workloads.warm_up(broker)
        for number in range(asked.rounds):
            for name in asked.only.split(","):
                for broker in running if number % 2 == 0 else reversed(running):
                    for workload, row in workloads.ALL[name](broker, asked.scale):
                        rows.append({"workload": workload, "broker": broker.name, "round": number + 1, **row})
                        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    finally:
        home = running[0].home
        machine = describe_machine(home)
        for broker in running:
            broker.close()
    report = table(rows, [broker.name for broker in running])
    heading = f"{machine}; scale {asked.scale}, {asked.rounds} rounds, settings {settings}"
    OUT.mkdir(exist_ok=True)
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H%M%SZ")
    (OUT / f"{stamp}.json").write_text(json.dumps({"run": heading, "rows": rows}, indent=1))
    (OUT / f"{stamp}.md").write_text(f"{heading}\n\n{report}\n")
    print(f"{heading}\n\n{report}")
    sys.exit(1 if any("error" in row for row in rows) else 0)


def arguments():
    options = argparse.ArgumentParser(description="fbf and Apache Kafka side by side", formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--only", default=",".join(workloads.DEFAULT), help=f"of {', '.join(workloads.ALL)}")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--scale", type=float, default=1.0, help="1.0 is the size that the published table has")
    options.add_argument("--brokers", default="kafka,fbf", help="of fbf, kafka")
    options.add_argument("--fbf", action="append", default=[], metavar="KEY=VALUE", help="a setting for fbf, e.g. storage.sync=os")
    options.add_argument("--kafka", action="append", default=[], metavar="KEY=VALUE", help="a setting for Kafka")
    return options.parse_args()


def pairs(settings):
    return dict(setting.split("=", 1) for setting in settings)


def table(rows, names):
    """One line per workload and broker, and one with fbf's share of Kafka's median where both ran."""
    lines = ["| workload | broker | " + " | ".join(title for _, title, _ in COLUMNS) + " |", "|---|---|" + "---:|" * len(COLUMNS)]
    for workload in dict.fromkeys(row["workload"] for row in rows):
        medians = {name: median(rows, workload, name) for name in names}
        for name, figures in medians.items():
            cells = [pattern.format(figures[key]) if key in figures else "" for key, _, pattern in COLUMNS]
            cells[0] = cells[0] or ("failed" if not figures else "")
            lines.append(f"| {workload} | {name} | " + " | ".join(cells) + " |")
        if {"fbf", "kafka"} <= medians.keys():
            cells = [share(medians["fbf"].get(key), medians["kafka"].get(key)) for key, _, _ in COLUMNS]
            lines.append(f"| {workload} | fbf / kafka | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def median(rows, workload, name):
    """Column -> median over the rounds that gave a figure."""
    taken = [row for row in rows if row["workload"] == workload and row["broker"] == name]
    figures = {key: [row[key] for row in taken if key in row] for key, _, _ in COLUMNS}
    return {key: statistics.median(values) for key, values in figures.items() if values}


def share(ours, theirs):
    return f"{ours / theirs:.2f}" if ours is not None and theirs else ""


def describe_machine(folder):
    filesystem = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True, check=True).stdout.strip()
    return f"{os.cpu_count()} cores, Linux {platform.release()}, {filesystem}"


if __name__ == "__main__":
    main()
