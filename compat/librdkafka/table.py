"""What librdkafka's tests came to, on Apache Kafka (control.tsv) and on fbf (fbf.tsv), and the table of both (TABLE.md)."""

import os
import pathlib

from suite import read_notes

HERE = pathlib.Path(__file__).parent
RESULTS = {"kafka": HERE / "control.tsv", "fbf": HERE / "fbf.tsv"}
HEADER = """# librdkafka's own tests, on Apache Kafka and on fbf

`run.sh --all --table` writes this page and the results on fbf, which are in `fbf.tsv`; with `COMPAT_BROKER=kafka` those on
Apache Kafka 4.3.1, one node, in `control.tsv`. A test runs under each of the two group protocols; "–": it was not run.

"""
COLUMNS = ["test", "Kafka, classic", "Kafka, consumer", "fbf, classic", "fbf, consumer", "not yet on fbf, because"]


def keep(results, tests, protocols):
    """`tests` and `protocols`: those that the table has, in this order. A result's name is a protocol and a test."""
    names = [f"{protocol} {test}" for test in tests for protocol in protocols]
    outcomes = {broker: read_notes(file, name_words=2) if file.exists() else {} for broker, file in RESULTS.items()}
    broker = os.environ.get("COMPAT_BROKER", "fbf")
    for outcome in ("passed", "failed", "known", "skipped"):
        outcomes[broker] |= dict.fromkeys(getattr(results, outcome), "failed" if outcome == "known" else outcome)
    lines = ["\t".join([*name.split(), outcomes[broker][name]]) for name in names if name in outcomes[broker]]
    RESULTS[broker].write_text("\n".join(["# protocol, test, outcome; run.sh --table writes it", *lines, ""]), encoding="utf-8")
    rows = [[test, *(outcomes[of].get(f"{protocol} {test}", "–") for of in RESULTS for protocol in protocols), note(test, protocols)] for test in tests]
    sums = [sum(outcomes[of].get(f"{protocol} {test}") == "passed" for test in tests) for of in RESULTS for protocol in protocols]
    page = "".join(map(line, [COLUMNS, ["---"] * len(COLUMNS), *rows, ["**passed**", *sums, ""]]))
    (HERE / "TABLE.md").write_text(HEADER + page, encoding="utf-8")


def note(test, protocols):
    """What not-yet.txt says of the test, under whichever protocol."""
    notes = read_notes(HERE / "not-yet.txt", name_words=2)
    return "; ".join(dict.fromkeys(notes[name] for protocol in protocols if (name := f"{protocol} {test}") in notes))


def line(columns):
    return f"| {' | '.join(map(str, columns))} |\n"
