"""What the bench reads, counts and writes, without any broker: `python -m unittest bench_test`, in this folder, with compat/ in PYTHONPATH."""

import contextlib
import io
import json
import pathlib
import sys
import unittest
import xml.etree.ElementTree

import bench
import chart
import figures
import machine
import readings
import render
import rows
import sides
import workloads
from suite import counts

PRODUCED = """1200000 records sent, 239952.0 records/sec (22.88 MB/sec), 611.3 ms avg latency, 900.0 ms max latency.
2000000 records sent, 564972.5 records/sec (53.88 MB/sec), 469.45 ms avg latency, 740.00 ms max latency, 463 ms 50th, 700 ms 95th, 725 ms 99th, 735 ms 99.9th.
"""
CONSUMED = """start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec
2026-11-27 10:00:00:000, 2026-11-27 10:00:01:150, 381.4697, 331.7, 4000000, 3478261.0, 40, 1110, 343.6, 3603603.6
"""
END_TO_END = "0\t1.2\nAvg latency: 0.6132 ms\n\nPercentiles: 50th = 0, 99th = 3, 99.9th = 7\n"
LIBRDKAFKA_PRODUCED = (
    "% Using random seed 1, verbosity level 0\n"
    "% 12 backpressures for 2000012 produce calls: 0.001% backpressure rate\n"
    "% 2000000 messages produced (2048000000 bytes), 2000000 delivered (offset 0, 0 failed) in 5000ms: "
    "400000 msgs/s and 409.60 MB/s, 12 produce failures, 0 in queue, no compression\n"
)
LIBRDKAFKA_CONSUMED = (
    "% 1000000 messages (1024000000 bytes) consumed in 1000ms: 1000000 msgs/s (1024.00 MB/s)\n"
    "% Average application fetch latency: 0us\n"
)


class Readings(unittest.TestCase):
    """Of the tools' own words, whole and cut short."""

    def test_summary_without_an_end_is_unreadable(self):
        for read in (readings.producer, readings.consumer, readings.librdkafka_producer, readings.librdkafka_consumer):
            with self.assertRaises(readings.Unreadable):
                read("ERROR: broker went away\n", 10, 100)
        with self.assertRaises(readings.Unreadable):
            readings.end_to_end("Avg latency: 0.6132 ms\n", 10)

    def test_fewer_records_than_asked_for_are_unreadable(self):
        with self.assertRaisesRegex(readings.Unreadable, "2000000 of 2000001 records were sent"):
            readings.producer(PRODUCED, 2_000_001, 100)
        with self.assertRaisesRegex(readings.Unreadable, "read"):
            readings.consumer(CONSUMED, 4_000_001, 100)
        with self.assertRaisesRegex(readings.Unreadable, "delivered"):
            readings.librdkafka_producer(LIBRDKAFKA_PRODUCED, 2_000_001, 1024)
        with self.assertRaisesRegex(readings.Unreadable, "read"):
            readings.librdkafka_consumer(LIBRDKAFKA_CONSUMED, 1_000_001, 1024)

    def test_undelivered_records_are_unreadable(self):
        with self.assertRaisesRegex(readings.Unreadable, "3 records were not delivered"):
            readings.librdkafka_producer(LIBRDKAFKA_PRODUCED.replace("0 failed", "3 failed"), 2_000_000, 1024)

    def test_records_of_another_size_are_unreadable(self):
        with self.assertRaises(readings.Unreadable):
            readings.librdkafka_consumer(LIBRDKAFKA_CONSUMED, 1_000_000, 100)

    def test_producer_gives_its_last_line(self):
        found = readings.producer(PRODUCED, 2_000_000, 100)
        self.assertEqual(found["records_s"], 564972.5)
        self.assertAlmostEqual(found["mb_s"], 56.49725)
        self.assertEqual((found["avg_ms"], found["p50_ms"], found["p99_ms"], found["p999_ms"]), (469.45, 463, 725, 735))
        self.assertEqual((found["records"], found["bytes"]), (2_000_000, 200_000_000))

    def test_consumer_gives_both_its_rates(self):
        found = readings.consumer(CONSUMED, 4_000_000, 100)
        self.assertEqual((found["records_s"], found["fetch_records_s"]), (3478261.0, 3603603.6))

    def test_end_to_end_gives_average_and_percentiles(self):
        self.assertEqual(readings.end_to_end(END_TO_END, 10), {"records": 10, "avg_ms": 0.6132, "p50_ms": 0, "p99_ms": 3, "p999_ms": 7})

    def test_librdkafka_gives_rates_of_both_directions(self):
        self.assertEqual(readings.librdkafka_producer(LIBRDKAFKA_PRODUCED, 2_000_000, 1024)["mb_s"], 409.6)
        self.assertEqual(readings.librdkafka_consumer(LIBRDKAFKA_CONSUMED, 1_000_000, 1024)["mb_s"], 1024.0)


class Figures(unittest.TestCase):
    def test_medians_are_over_the_rounds_that_gave_a_figure(self):
        measured = [{"row": "r", "side": "fbf", "records_s": value} for value in (1.0, 9.0, 2.0)] + [{"row": "r", "side": "fbf", "error": "gone"}]
        self.assertEqual(figures.medians(measured), {"r": {"fbf": {"records_s": 2.0}}})
        self.assertEqual(figures.reasons(measured), {"r": {"fbf": "failed: gone"}})

    def test_share_of_nothing_is_nothing(self):
        self.assertEqual([figures.share(5, 4), figures.share(None, 4), figures.share(5, None), figures.share(3, 0)], ["1.25", "", "", ""])


class Aims(unittest.TestCase):
    def test_more_is_aimed_at_for_rates(self):
        aim = rows.times_kafka("records_s", 1.2)
        self.assertEqual([aim.verdict(119, 100), aim.verdict(120, 100)], ["not met", "met"])
        self.assertEqual(aim.text(), "≥ 1.2 × Kafka")

    def test_less_is_aimed_at_for_costs_and_times(self):
        self.assertEqual([rows.Aim("cpu_s_per_gb", 4).verdict(4.01, None), rows.Aim("cpu_s_per_gb", 4).verdict(4, None)], ["not met", "met"])
        self.assertEqual(rows.times_kafka("avg_ms").verdict(0.7, 0.6), "not met")
        self.assertEqual(rows.Aim("records_s", 2.5e6).text(), "≥ 2,500,000")

    def test_without_a_figure_nothing_is_judged(self):
        self.assertEqual(rows.Aim("mb_s", 400).verdict(None, 300), "not measured")
        self.assertEqual(rows.times_kafka("mb_s").verdict(400, None), "not measured")

    def test_every_workload_has_rows_and_every_row_a_workload(self):
        self.assertEqual({row.workload for row in rows.ALL}, set(workloads.ALL))
        self.assertEqual(len({row.name for row in rows.ALL}), len(rows.ALL))


def one(row, side, **found):
    return {"row": row, "side": side, "round": 1, **found}


RUN = {
    "date": "2026-11-28", "command": "make bench", "rounds": 1, "scale": 1.0, "ours": "fbf", "settings": {"fbf": {}, "kafka": {"a.b": "1"}},
    "sides": ["kafka", "fbf", "fbf sync=os"], "versions": {"fbf": "0.1.0", "Apache Kafka": "4.3.1"},
    "machine": {"cpu": "A <Processor> & more", "cores": 2, "memory_gib": 23.5, "kernel": "Linux 6.1", "file_system": "ext2/ext3"},
}  # fmt: skip
MEASURED = [
    one(rows.PRODUCE_100B, "kafka", records_s=500_000.0, cpu_s_per_gb=12.0, cpu_s_per_million=1.2, rss_mib=900.0),
    one(rows.PRODUCE_100B, "fbf", records_s=650_000.0, cpu_s_per_gb=4.5, cpu_s_per_million=0.4, rss_mib=90.0),
    one(rows.PRODUCE_100B, "fbf sync=os", records_s=700_000.0, cpu_s_per_gb=3.5, cpu_s_per_million=0.3, rss_mib=90.0),
    one(rows.LIBRDKAFKA_100B, "kafka", unavailable="not built"),
    one(rows.LIBRDKAFKA_100B, "fbf", unavailable="not built"),
    one(rows.END_TO_END, "kafka", error="a | b"),
    one(rows.END_TO_END, "fbf", avg_ms=0.6, p50_ms=0, p99_ms=3, p999_ms=4, cpu_s_per_million=50.0),
    one(rows.MEMORY, "kafka", rss_mib=990.0),
    one(rows.MEMORY, "fbf", rss_mib=95.4),
]


class Section(unittest.TestCase):
    def setUp(self):
        self.report = render.Report({"run": RUN, "rows": MEASURED})
        self.text = self.report.section()

    def test_page_without_markers_is_refused(self):
        for page in ("no markers", f"{render.END} {render.BEGIN}", f"only {render.BEGIN}"):
            with self.assertRaises(render.NoMarkers):
                render.between_markers(page, "new")

    def test_only_what_is_between_the_markers_changes(self):
        page = f"before\n{render.BEGIN}\nold\n{render.END}\nafter\n"
        once = render.between_markers(page, "new\n")
        self.assertEqual(once, f"before\n{render.BEGIN}\nnew\n{render.END}\nafter\n")
        self.assertEqual(render.between_markers(once, "new"), once)

    def test_published_page_has_the_markers(self):
        render.between_markers(bench.PAGE.read_text(encoding="utf-8"), "new")

    def test_line_has_figures_share_and_verdict(self):
        self.assertIn(f"| {rows.PRODUCE_100B} | records/s | 500,000 | 650,000 | 1.30 | ≥ 1.2 × Kafka: met |", self.text)
        self.assertIn("|  | broker's CPU s/GB | 12.00 | 4.50 | 0.38 | ≤ 4: not met |", self.text)
        self.assertIn(f"| {rows.MEMORY} | MiB | 990 | 95 | 0.10 | ≤ 1 × Kafka: met; ≤ 143: met |", self.text)

    def test_missing_tool_is_said_with_the_aims(self):
        self.assertIn(f"| {rows.LIBRDKAFKA_100B} |  | not measured: not built | not measured: not built |  | ≥ 1.2 × Kafka records/s: not measured;", self.text)

    def test_every_row_is_there_measured_or_not(self):
        for row in rows.ALL:
            self.assertIn(f"| {row.name} |", self.text)
        self.assertIn(f"| {rows.PACED} |  | not run | not run |", self.text)

    def test_failure_of_one_side_stands_in_its_cells(self):
        self.assertIn(f"| {rows.END_TO_END} | broker's CPU s/million | failed: a / b | 50.0 |", self.text)

    def test_every_line_of_a_table_has_its_columns(self):
        for block in self.text.split("\n\n"):
            lines = [line for line in block.splitlines() if line.startswith("|")]
            self.assertLessEqual(len({line.count("|") for line in lines}), 1, block)

    def test_other_policies_have_a_table_of_their_own(self):
        self.assertIn("| row | figure | kafka | fbf | fbf sync=os |", self.text)
        self.assertIn(f"| {rows.PRODUCE_100B} | records/s | 500,000 | 650,000 | 700,000 |", self.text)
        alone = render.Report({"run": {**RUN, "sides": ["kafka", "fbf"]}, "rows": MEASURED})
        self.assertNotIn("Each policy", alone.section())

    def test_machine_versions_and_settings_are_told(self):
        for word in ("2026-11-28", "`make bench`", "A <Processor> & more", "2 cores", "23.5 GiB", "Apache Kafka 4.3.1", "kafka: a.b=1", "kafka has the settings below"):
            self.assertIn(word, self.text)

    def test_fbf_that_does_not_sync_is_not_judged(self):
        other = [{**row, "side": row["side"].replace("fbf", "fbf sync=os")} for row in MEASURED if row["side"] != "fbf sync=os"]
        report = render.Report({"run": {**RUN, "ours": "fbf sync=os", "sides": ["kafka", "fbf sync=os"]}, "rows": other})
        self.assertIn("650,000 | 1.30 | ≥ 1.2 × Kafka: not measured |", report.section())


class Charts(unittest.TestCase):
    def test_every_group_is_a_well_formed_drawing(self):
        drawings = render.Report({"run": RUN, "rows": MEASURED}).charts()
        self.assertEqual(set(drawings), set(rows.GROUPS))
        for drawing in drawings.values():
            self.assertTrue(xml.etree.ElementTree.fromstring(drawing).tag.endswith("svg"))
            self.assertIn("prefers-color-scheme: dark", drawing)

    def test_longest_bar_is_full_and_the_others_in_proportion(self):
        drawing = chart.svg("t", [chart.Item("a <b> & c", "ms", {"kafka": (4, "4"), "fbf": (1, "1"), "other": (None, "not measured")})])
        tree = xml.etree.ElementTree.fromstring(drawing)
        widths = [float(bar.get("width")) for bar in tree.iter("{http://www.w3.org/2000/svg}rect") if bar.get("x") == str(chart.LEFT)]
        self.assertEqual(widths, [chart.BAR_WIDTH, chart.BAR_WIDTH / 4, 1])
        self.assertIn("a <b> & c", [text.text for text in tree.iter("{http://www.w3.org/2000/svg}text")])

    def test_no_figure_at_all_is_drawn_as_such(self):
        drawing = chart.svg("t", [chart.Item("a", "ms", {"kafka": (None, "not measured"), "fbf": (0, "0.0")})])
        self.assertIn("not measured", drawing)


class Machine(unittest.TestCase):
    def test_processor_and_memory_are_read_where_they_are_told(self):
        self.assertEqual(machine.processor("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n"), "Some CPU @ 2 GHz")
        self.assertIsNone(machine.processor("processor\t: 0\nCPU part\t: 0xd0c\n"))
        self.assertEqual(machine.memory_gib("MemTotal:       24684084 kB\n"), 23.5)

    def test_kernel_is_its_number(self):
        self.assertEqual([machine.kernel(release) for release in ("6.12.9", "6.1.0-13-cloud-amd64", "x")], ["6.12.9", "6.1.0", ""])

    def test_file_system_is_that_of_the_nearest_mount(self):
        mounts = "/dev/a / ext4 rw 0 0\n/dev/b /data xfs rw 0 0\n/dev/c /data btrfs rw 0 0\ntmpfs /dataset tmpfs rw 0 0\n"
        self.assertEqual([machine.file_system(mounts, folder) for folder in ("/data/x", "/dataset", "/home")], ["btrfs", "tmpfs", "ext4"])
        self.assertIsNone(machine.file_system("", "/home"))

    def test_versions_are_read_from_names_and_words(self):
        self.assertEqual(machine.kafka(["kafka_2.13-4.3.1.jar", "kafka_2.13-4.3.1-test.jar"]), "4.3.1")
        self.assertIsNone(machine.kafka([]))
        self.assertEqual(machine.java('openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime'), "17.0.15")


class FakeBroker:
    def __init__(self, is_alive=True):
        self.alive = is_alive
        self.process = type("Process", (), {"returncode": -9})

    def is_alive(self):
        return self.alive


class Turns(unittest.TestCase):
    """A workload of the test's own in place of p100."""

    def setUp(self):
        self.ended, self.before = [], workloads.ALL["p100"]
        workloads.ALL["p100"] = self.workload
        self.fails_after = None

    def tearDown(self):
        workloads.ALL["p100"] = self.before

    def workload(self, _broker, scale):
        try:
            for number, row in enumerate((rows.PRODUCE_100B, rows.CONSUME_100B)):
                if self.fails_after == number:
                    raise RuntimeError("broken\noff")
                yield row, {"records_s": scale}
        finally:
            self.ended.append(True)

    def turn(self, is_full=True, is_alive=True):
        side = sides.Side("fbf", FakeBroker(is_alive), is_full)
        return [(found["row"], found.get("error", found.get("records_s"))) for found in bench.turn(side, "p100", 0.5, 1)]

    def test_rows_after_a_failure_say_it_and_rows_before_stay(self):
        self.fails_after = 1
        self.assertEqual(self.turn(), [(rows.PRODUCE_100B, 0.5), (rows.CONSUME_100B, "broken off")])

    def test_dead_broker_gives_rows_that_say_so(self):
        self.assertEqual([error for _, error in self.turn(is_alive=False)], ["fbf ended with -9 before"] * 2)

    def test_side_for_syncing_alone_runs_its_rows_and_cleans_up(self):
        self.assertEqual(self.turn(is_full=False), [(rows.PRODUCE_100B, 0.5)])
        self.assertEqual(self.ended, [True])
        self.assertEqual(list(bench.turn(sides.Side("x", FakeBroker(), False), "txn", 1, 1)), [])

    def test_full_side_runs_all_and_cleans_up(self):
        self.assertEqual(len(self.turn()), 2)
        self.assertEqual(self.ended, [True])


class Options(unittest.TestCase):
    def refused(self, *words):
        said = io.StringIO()
        with contextlib.redirect_stderr(said), self.assertRaises(SystemExit):
            bench.arguments(words)
        return said.getvalue()

    def test_unknown_names_are_refused_with_those_there_are(self):
        self.assertIn("no p10; there are p100, p1k", self.refused("--only", "p100,p10"))
        self.assertIn("there are commit, interval, os", self.refused("--sync", "never"))

    def test_policy_is_no_setting(self):
        self.assertIn("--sync", self.refused("--fbf", "storage.sync=os"))

    def test_command_is_told_as_it_is_typed(self):
        self.assertEqual(bench.command([]), "make bench")
        self.assertEqual(bench.command(["--only", "p100,p1k"]), 'make bench ARGS="--only p100,p1k"')

    def test_first_policy_runs_everything(self):
        found = sides.chosen(["kafka", "fbf"], ["commit", "os"], True, {}, {"k": "v"})
        self.assertEqual([(side.name, side.is_full) for side in found], [("kafka", True), ("fbf", True), ("fbf sync=os", False), ("kafka synced", False)])
        self.assertEqual([side.broker.settings.get("storage.sync") for side in found], [None, "commit", "os", None])
        self.assertEqual(found[3].broker.settings, {"k": "v", "log.flush.interval.messages": 1})
        for side in found:
            side.broker.close()

    def test_results_are_json_with_a_line_for_each_row(self):
        results = {"run": RUN, "rows": MEASURED}
        self.assertEqual(json.loads(bench.as_json(results)), results)
        self.assertEqual(sum(line.startswith('    {"row"') for line in bench.as_json(results).splitlines()), len(MEASURED))

    def test_published_results_still_make_the_published_page(self):
        if not bench.RESULTS.exists():
            self.skipTest("no results are published")
        report = render.Report(json.loads(bench.RESULTS.read_text(encoding="utf-8")))
        page = bench.PAGE.read_text(encoding="utf-8")
        self.assertEqual(render.between_markers(page, report.section()), page, "bench/run.sh --render writes it again")
        for group, drawing in report.charts().items():
            self.assertEqual(pathlib.Path(bench.CHARTS, f"{group}.svg").read_text(encoding="utf-8"), drawing)


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=0).result
    failed = len(result.failures) + len(result.errors)
    print(counts(result.testsRun - failed - len(result.skipped), failed, skipped=len(result.skipped)))
    sys.exit(1 if failed else 0)
