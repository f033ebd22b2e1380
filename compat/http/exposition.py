"""What GET /metrics shows, read as strictly as Prometheus would: types before samples, nothing twice, histograms that add up."""

import re

SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)')
# What a family's samples have behind its name.
SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
OPEN_METRICS = "application/openmetrics-text"


class Exposition:
    """`types` and `units`: by family, without a counter's _total. `samples`: (name, sorted pairs of label and value) -> number."""

    def __init__(self, text):
        self.types, self.units, self.samples = {}, {}, {}
        self.is_ended = False
        if not text.endswith("\n"):
            raise AssertionError("the last line does not end")
        for line in text.splitlines():
            if self.is_ended:
                raise AssertionError(f"behind # EOF: {line}")
            self.take(line)
        self.check_histograms()

    def take(self, line):
        if line == "# EOF":
            self.is_ended = True
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            # The older format's types are of names as samples have them.
            name = name.removesuffix("_total") if kind == "counter" else name
            if name in self.types or kind not in SUFFIXES:
                raise AssertionError(f"a type that is there already, or is none: {line}")
            self.types[name] = kind
        elif line.startswith("# UNIT "):
            _, _, name, self.units[name] = line.split(" ")
        elif not line.startswith("# HELP "):
            self.take_sample(line)

    def take_sample(self, line):
        found = SAMPLE.fullmatch(line)
        if not found:
            raise AssertionError(f"no sample: {line}")
        name, labels, value = found.groups()
        key = (name, pairs(labels or ""))
        if key in self.samples or not any(self.is_of(name, family) for family in self.types):
            raise AssertionError(f"a sample that is there already, or has no type: {line}")
        self.samples[key] = float(value)

    def is_of(self, name, family):
        return any(name == family + suffix for suffix in SUFFIXES[self.types[family]])

    def check_histograms(self):
        rows = {}
        for (name, labels), value in self.samples.items():
            if name.endswith("_bucket"):
                bound = float(dict(labels)["le"])
                others = tuple(pair for pair in labels if pair[0] != "le")
                rows.setdefault((name.removesuffix("_bucket"), others), []).append((bound, value))
        for (name, labels), buckets in rows.items():
            counts = [count for _, count in sorted(buckets)]
            if counts != sorted(counts) or max(buckets)[0] != float("inf") or counts[-1] != self.samples[f"{name}_count", labels]:
                raise AssertionError(f"the buckets of {name} {labels} do not add up: {sorted(buckets)}")

    def value(self, name, **labels):
        """0 where there is no such sample: what was never counted need not be shown."""
        return self.samples.get((name, tuple(sorted(labels.items()))), 0)

    def values(self, name, label):
        """All values that a label of this metric has."""
        return {dict(labels)[label] for found, labels in self.samples if found == name}


def pairs(labels):
    found, at = [], 0
    while at < len(labels):
        label = LABEL.match(labels, at)
        if not label:
            raise AssertionError(f"no labels: {labels}")
        found.append((label[1], label[2]))
        at = label.end()
    return tuple(sorted(found))


def scrape(broker, **options):
    """`options`: those of api.Api."""
    client = broker.api(**options)
    try:
        answer = client.call("GET", "/metrics")
        if answer.status != 200:
            raise AssertionError(f"status {answer.status}: {answer.body[:300].decode(errors='replace')}")
        return Exposition(answer.body.decode())
    finally:
        client.close()
