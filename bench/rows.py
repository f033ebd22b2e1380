"""The rows of the table: which workload gives each, which group it is drawn in, and what was aimed at."""

import dataclasses

PRODUCE, CONSUME, LATENCY, MEMORY_AND_START = "produce", "consume", "latency", "memory-start"
GROUPS = {
    PRODUCE: "Producing",
    CONSUME: "Consuming",
    LATENCY: "Latency, end to end and of a commit",
    MEMORY_AND_START: "Memory and start",
}
MIB_OF_A_GB = 1e9 / 2**20


@dataclasses.dataclass(frozen=True)
class Figure:
    title: str
    pattern: str
    is_better_when_larger: bool = False

    def text(self, value):
        return self.pattern.format(value)


# In the table's order. GB and MB are a thousand millions and a million bytes, of record values.
FIGURES = {
    "records_s": Figure("records/s", "{:,.0f}", is_better_when_larger=True),
    "mb_s": Figure("MB/s", "{:,.1f}", is_better_when_larger=True),
    "cpu_s_per_gb": Figure("broker's CPU s/GB", "{:.2f}"),
    "cpu_s_per_million": Figure("broker's CPU s/million", "{:.1f}"),
    "avg_ms": Figure("avg ms", "{:.2f}"),
    "p50_ms": Figure("p50 ms", "{:.1f}"),
    "p99_ms": Figure("p99 ms", "{:.1f}"),
    "p999_ms": Figure("p99.9 ms", "{:.1f}"),
    "rss_mib": Figure("MiB", "{:,.0f}"),
    "start_ms": Figure("ms", "{:,.0f}"),
}


@dataclasses.dataclass(frozen=True)
class Aim:
    """A bound for fbf's figure: at least, or at most, so much; or so many times Kafka's."""

    figure: str
    bound: float
    is_times_kafka: bool = False

    def text(self):
        sign = "≥" if FIGURES[self.figure].is_better_when_larger else "≤"
        if self.is_times_kafka:
            return f"{sign} {self.bound:g} × Kafka"
        return f"{sign} {FIGURES[self.figure].text(self.bound).removesuffix('.0').removesuffix('.00')}"

    def verdict(self, ours, kafkas):
        """`ours`, `kafkas`: the medians, or None where there is none."""
        if ours is None or (self.is_times_kafka and not kafkas):
            return "not measured"
        bound = self.bound * kafkas if self.is_times_kafka else self.bound
        is_met = ours >= bound if FIGURES[self.figure].is_better_when_larger else ours <= bound
        return "met" if is_met else "not met"


def times_kafka(figure, factor=1.0):
    return Aim(figure, factor, is_times_kafka=True)


@dataclasses.dataclass(frozen=True)
class Row:
    """`name`: of what was done, the same in the table, results.json and the flame graphs. `workload`: what --only calls it.
    `drawn`: the figures that the group's chart shows."""

    name: str
    workload: str
    group: str
    drawn: tuple
    aims: tuple = ()


COMMIT_PARTITIONS = 4
PRODUCE_100B = "produce 100B x1p acks=all"
CONSUME_100B = "consume 100B x1p"
PRODUCE_1KB = "produce 1KB x16p acks=all"
CONSUME_1KB = "consume 1KB x16p"
PRODUCE_LARGE_BATCHES = "produce 1KB x16p batch=256k linger=10"
PRODUCE_SINGLE = "produce 1KB x16p batches of one record"
CONSUME_SINGLE = "consume 1KB x16p batches of one record"
PACED = "paced 5k/s 1KB x16p linger=0"
TRANSACTIONS = "txn 1KB x16p 50ms"
CONSUME_COMMITTED = "consume read_committed"
COMMITS = f"commit of one record to each of {COMMIT_PARTITIONS} partitions"
END_TO_END = "end to end 100B acks=all"
LIBRDKAFKA_100B = "librdkafka produce 100B x4p"
LIBRDKAFKA_1KB = "librdkafka produce 1KB x4p"
LIBRDKAFKA_1KB_ALONE = "librdkafka produce 1KB x1p"
LIBRDKAFKA_CONSUME = "librdkafka consume 1KB x1p"
MEMORY = "resident memory after all this"
START = "start to first answer, empty directory"

# The aim of every row that has one is to be ahead of Kafka, by a factor, a figure of its own, or both.
ALL = [
    Row(PRODUCE_100B, "p100", PRODUCE, ("records_s",), (times_kafka("records_s", 1.2), Aim("cpu_s_per_gb", 4))),
    Row(CONSUME_100B, "p100", CONSUME, ("records_s",)),
    Row(PRODUCE_1KB, "p1k", PRODUCE, ("records_s",), (times_kafka("records_s", 1.2), Aim("cpu_s_per_gb", 2))),
    Row(CONSUME_1KB, "p1k", CONSUME, ("records_s",), (times_kafka("records_s", 1.1), Aim("cpu_s_per_gb", 0.3))),
    Row(PRODUCE_LARGE_BATCHES, "big", PRODUCE, ("records_s",)),
    Row(PRODUCE_SINGLE, "single", PRODUCE, ("records_s",)),
    Row(CONSUME_SINGLE, "single", CONSUME, ("records_s",)),
    Row(PACED, "paced", LATENCY, ("p99_ms",)),
    Row(TRANSACTIONS, "txn", PRODUCE, ("records_s",), (times_kafka("records_s", 1.3), Aim("cpu_s_per_gb", 3))),
    Row(CONSUME_COMMITTED, "txn", CONSUME, ("records_s",)),
    Row(COMMITS, "txn", LATENCY, ("avg_ms", "p99_ms")),
    Row(
        END_TO_END, "e2e", LATENCY, ("avg_ms", "p99_ms", "p999_ms"),
        (times_kafka("avg_ms"), Aim("avg_ms", 0.7), Aim("p99_ms", 2), Aim("p999_ms", 4)),
    ),
    Row(
        LIBRDKAFKA_100B, "rd100", PRODUCE, ("records_s",),
        (times_kafka("records_s", 1.2), Aim("records_s", 2.5e6), Aim("cpu_s_per_gb", 1.5)),
    ),
    Row(LIBRDKAFKA_1KB, "rd1k", PRODUCE, ("mb_s",), (times_kafka("mb_s"), Aim("mb_s", 400), Aim("cpu_s_per_gb", 1.5))),
    Row(LIBRDKAFKA_1KB_ALONE, "rdconsume", PRODUCE, ("mb_s",)),
    Row(LIBRDKAFKA_CONSUME, "rdconsume", CONSUME, ("mb_s",), (times_kafka("mb_s"), Aim("mb_s", 1000), Aim("cpu_s_per_gb", 0.3))),
    Row(MEMORY, "memory", MEMORY_AND_START, ("rss_mib",), (times_kafka("rss_mib"), Aim("rss_mib", 0.15 * MIB_OF_A_GB))),
    Row(START, "start", MEMORY_AND_START, ("start_ms",), (times_kafka("start_ms"), Aim("start_ms", 50))),
]  # fmt: skip
# What is measured under every policy of syncing.
OF_EACH_SYNC = {PRODUCE_100B: "p100", PRODUCE_1KB: "p1k"}


def of_workload(name):
    return [row for row in ALL if row.workload == name]
