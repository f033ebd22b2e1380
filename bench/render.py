"""Results to what people read: the section between two markers in BENCHMARKS.md, and a chart for each group of rows."""

import chart
import figures
import rows
from sides import FBF, KAFKA

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
CHARTS = "bench/charts"
REASON_CHARACTERS = 160
# What the table of policies shows of each row.
OF_EACH_SYNC = ("records_s", "cpu_s_per_gb", "p99_ms")
# Larger is better, or smaller: what a chart's title adds.
DIRECTIONS = {True: "longer is better", False: "shorter is better"}


class NoMarkers(Exception):
    """The page has no place for the section."""


def between_markers(page, text):
    """`page` with `text` between the two markers, which stay."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise NoMarkers(f"no {BEGIN} with {END} after it")
    return f"{before}{BEGIN}\n{text.strip()}\n{END}{after}"


class Report:
    """`results`: what results.json holds, `run` and `rows`."""

    def __init__(self, results):
        self.run = results["run"]
        self.medians = figures.medians(results["rows"])
        self.reasons = figures.reasons(results["rows"])
        self.ours = self.run["ours"]

    def section(self):
        """Markdown, without the markers."""
        parts = [self.preamble()]
        for group, title in rows.GROUPS.items():
            lines = [line for row in rows.ALL if row.group == group for line in self.lines(row)]
            parts += [f"### {title}", f"![{title}]({CHARTS}/{group}.svg)"]
            parts.append(table(["row", "figure", KAFKA, self.ours, f"{self.ours} / {KAFKA}", "aim"], lines))
        parts += self.of_each_sync()
        return "\n\n".join(parts)

    def preamble(self):
        run, machine = self.run, self.run["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
        verdicts = [verdict for row in rows.ALL for _, verdict in self.verdicts(row)]
        settings = "; ".join(f"{side}: {words(given)}" for side, given in run["settings"].items() if given)
        ours = "syncs every acknowledged batch, its default" if self.ours == FBF else "syncs as its name says"
        kafkas = "has the settings below" if run["settings"][KAFKA] else "runs as it comes and syncs nothing"
        return "\n".join([
            f"{run['date']}, `{run['command']}`: {rounds(run['rounds'])} at scale {run['scale']:g}; in a round each workload runs on one broker and at once",
            f"on the other, and who is first changes; what the one before left to be written is written in between. {versions}. {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['kernel']},",
            f"{machine['file_system']}; brokers and clients on this one machine. **{self.ours} {ours}; {KAFKA} {kafkas}.**",
            f"Settings: {settings or 'none'}.",
            "",
            f"Aims: {verdicts.count('met')} met, {verdicts.count('not met')} not met, {verdicts.count('not measured')} not measured.",
        ])  # fmt: skip

    def verdicts(self, row):
        """(aim, verdict) for each aim of a row. An aim is one for fbf that syncs each commit, whatever else was measured."""
        ours, kafkas = self.medians_of(row.name, FBF), self.medians_of(row.name, KAFKA)
        return [(aim, aim.verdict(ours.get(aim.figure), kafkas.get(aim.figure))) for aim in row.aims]

    def medians_of(self, row, side):
        return self.medians.get(row, {}).get(side, {})

    def lines(self, row):
        """The row's lines of its table: one for each figure, or one that says why there is none."""
        kafkas, ours = self.medians_of(row.name, KAFKA), self.medians_of(row.name, self.ours)
        verdicts = self.verdicts(row)
        shown = shown_figures(row, kafkas.keys() | ours.keys())
        if not shown:
            aims = "; ".join(f"{aim.text()} {rows.FIGURES[aim.figure].title}: {verdict}" for aim, verdict in verdicts)
            return [[row.name, "", self.reason(row.name, KAFKA), self.reason(row.name, self.ours), "", aims]]
        return [
            [
                row.name if number == 0 else "",
                rows.FIGURES[key].title,
                self.cell(row.name, KAFKA, key),
                self.cell(row.name, self.ours, key),
                figures.share(ours.get(key), kafkas.get(key)),
                "; ".join(f"{aim.text()}: {verdict}" for aim, verdict in verdicts if aim.figure == key),
            ]
            for number, key in enumerate(shown)
        ]

    def cell(self, row, side, key):
        value = self.medians_of(row, side).get(key)
        return rows.FIGURES[key].text(value) if value is not None else self.reason(row, side)

    def reason(self, row, side):
        """Why a side has no figure in a row."""
        if side not in self.run["sides"]:
            return "not run"
        told = self.reasons.get(row, {}).get(side, "not run")
        # A bar would end the cell.
        return told.replace("|", "/")[:REASON_CHARACTERS]

    def of_each_sync(self):
        """The table of rows that were measured under other policies too; nothing where there were none."""
        sides = self.run["sides"]
        if set(sides) <= {KAFKA, self.ours}:
            return []
        lines = []
        for name in rows.OF_EACH_SYNC:
            row = next(row for row in rows.ALL if row.name == name)
            keys = set().union(*(self.medians_of(name, side).keys() for side in sides))
            for number, key in enumerate(key for key in OF_EACH_SYNC if key in keys | set(row.drawn)):
                cells = [self.cell(name, side, key) for side in sides]
                lines.append([name if number == 0 else "", rows.FIGURES[key].title, *cells])
        told = (
            f"`{FBF}` is `storage.sync=commit`, the default: what was acknowledged is on disk. With `interval` it is synced each second, with `os`\n"
            "when the system likes, which is what Kafka does as it comes."
        )
        return ["### Each policy of syncing", told, table(["row", "figure", *sides], lines)]

    def charts(self):
        """Group -> its SVG."""
        return {group: chart.svg(f"{title}: {self.direction(group)}", self.items(group)) for group, title in rows.GROUPS.items()}

    @staticmethod
    def direction(group):
        return DIRECTIONS[all(rows.FIGURES[key].is_better_when_larger for row in rows.ALL if row.group == group for key in row.drawn)]

    def items(self, group):
        items = []
        for row in (row for row in rows.ALL if row.group == group):
            for key in row.drawn:
                others = [side for side in self.run["sides"] if side not in (KAFKA, self.ours) and key in self.medians_of(row.name, side)]
                bars = {side: self.bar(row.name, side, key) for side in (KAFKA, self.ours, *others)}
                items.append(chart.Item(row.name, rows.FIGURES[key].title, bars))
        return items

    def bar(self, row, side, key):
        """A word is all that a chart has room for; the table says why."""
        value = self.medians_of(row, side).get(key)
        return (value, rows.FIGURES[key].text(value)) if value is not None else (None, "not measured")


def words(settings):
    return " ".join(f"{key}={value}" for key, value in settings.items())


def rounds(count):
    return "one round" if count == 1 else f"medians of {count} rounds"


def shown_figures(row, keys):
    """Memory is a row of its own; a million records are counted only where there are no GB."""
    hidden = ({"rss_mib"} - set(row.drawn)) | ({"cpu_s_per_million"} if "cpu_s_per_gb" in keys else set())
    return [key for key in rows.FIGURES if key in keys and key not in hidden]


def table(titles, lines):
    """Of Markdown; numbers to the right, the first two columns and the aims to the left."""
    marks = ["---" if number < 2 or title == "aim" else "---:" for number, title in enumerate(titles)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [titles, marks, *lines])
