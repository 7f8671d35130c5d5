#!/usr/bin/env python3
"""The benchmark's own logic: statistics, tables, documents, plots, the pipelines that it makes, and that a stall is not omitted.

    python3 Tests/StagewireBenchTests/test_report.py        # STAGEWIRE_BIN: where the programs are
"""

import dataclasses
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("STAGEWIRE_BIN", ROOT / ".build" / "release"))
sys.path.insert(0, str(ROOT / "Sources" / "StagewireBench"))

from stagewire_bench import counters, disk, languages, life, matrix, options, plot, process, report, scale, slow, stagewire, tables, targets
from stagewire_bench.matrix import Cell
from stagewire_bench.run import Case, Failed, Run, Sample, size_text
from stagewire_bench.stagewire import Shape
from stagewire_bench.statistics import Latency, Spread, paired, percentile
from stagewire_bench.systems import BY_NAME


def settings(*words):
    return options.read(["--bin", str(BIN), *words])


class Statistics(unittest.TestCase):
    def test_percentile_is_the_least_sample_that_covers_the_share(self):
        rng = random.Random(1)
        for count in (1, 2, 3, 10, 999, 1000, 1001):
            samples = sorted(rng.randrange(100) for _ in range(count))
            for share in (0, 0.001, 0.5, 0.9, 0.99, 0.999, 1):
                found = percentile(samples, share)
                covered = sum(sample <= found for sample in samples)
                below = sum(sample < found for sample in samples)
                self.assertGreaterEqual(covered + 1e-6, share * count, (count, share))
                self.assertTrue(below < share * count + 1e-6 or share == 0, (count, share))

    def test_percentile_at_a_rank_that_floats_miss(self):
        samples = list(range(1, 1001))
        self.assertEqual(percentile(samples, 0.999), 999)
        self.assertEqual(percentile(samples, 0.5), 500)
        self.assertEqual(percentile(samples, 1), 1000)

    def test_nothing_has_no_percentile_and_no_spread(self):
        self.assertRaises(ValueError, percentile, [], 0.5)
        self.assertRaises(ValueError, percentile, [1], 1.5)
        self.assertRaises(ValueError, Spread.of, [])

    def test_spread(self):
        self.assertEqual(Spread.of([3, 1, 2]), Spread(2, 1, 3, 3))
        self.assertEqual(Spread.of([3, 1, 2]).relative, 1)
        self.assertEqual(Spread.of([0]).relative, 0)

    def test_ratios_are_of_the_same_round(self):
        # The machine is twice as fast in the second round: the ratio has to be untouched by that.
        self.assertEqual(paired([10, 20, 10], [5, 10, 5]), Spread(2, 2, 2, 3))
        self.assertEqual(paired([10, None, 30], [5, 10, None]), Spread(2, 2, 2, 1))
        self.assertIsNone(paired([None], [1]))
        self.assertIsNone(paired([1], [0]))

    def test_a_round_that_fails_keeps_its_place(self):
        cell, said = Cell("100 B", "stagewire", 100, 0), []
        def broken():
            raise Failed("why")
        self.assertIsNone(cell.take("round 1:", broken, said.append, str))
        self.assertEqual(cell.take("round 2:", lambda: 7, said.append, str), 7)
        self.assertEqual((cell.samples, cell.failures, said), ([None, 7], ["why"], ["round 1: failed: why", "round 2: 7"]))

    def test_latency_takes_samples_in_any_order(self):
        late = Latency.of([5, 1, 4, 2, 3])
        self.assertEqual((late.p50, late.p99, late.max, late.samples), (3, 5, 5, 5))


def sample(rate, cpu=1.0, latencies=()):
    return Sample(rate, cpu, 10.0, 203.0, list(latencies))


def results(*words):
    """Made up: two rounds of three systems, one of which failed once."""
    made = report.Results(settings(*words), [BY_NAME[name] for name in ("stagewire", "control", "relay", "redis", "redis-aof")],
                          [(BY_NAME["nats"], "nats-server")])
    for case, rate in (("100 B", 0), ("latency at 1000 rec/s, 100 B", 1000)):
        late = range(1, 101) if rate else ()
        made.cells += [Cell(case, "stagewire", 100, rate, [sample(100, 2.0, late), sample(200, 4.0, late)]),
                       Cell(case, "control", 100, rate, [sample(110, 2.0, late), sample(220, 4.0, late)]),
                       Cell(case, "redis", 100, rate, [sample(10, 8.0, late), None], ["it went away | really"]),
                       Cell(case, "redis-aof", 100, rate, [sample(5, 8.0, late), sample(5, 8.0, late)]),
                       Cell(case, "relay", 100, rate, [sample(1000, 0.5, late), sample(2000, 1.0, late)])]
    made.slow = [slow.Slow("stagewire", 10, 1000, 0, 5, 6, 0, 0, 0), slow.Slow("redis", 10, 1000, 900, 5, 2000, 17, 3, 0)]
    cells = [scale.ScaleCell("keys", label, 100, [scale.ScaleSample(100, cost, 5)] * 2)
             for label, cost in (("1 key", 1.0), ("100 keys", 1.19), ("10,000 keys", 1.3))]
    made.scale = {"keys": cells}
    made.languages = [languages.LanguageCell(name, version, [languages.LanguageSample(rate, cpu, 0.1, 20.0)] * 2)
                      for name, version, rate, cpu in (("slices", "", 4e6, 0.1), ("node", "20.1", 250_000, 2.0), ("python", "3.11", 300_000, 3.9))]
    made.languages_left_out = {"Rust": "forward-rust"}
    made.startup = [life.Startup("memory", Spread.of([20.0, 30.0]), Spread.of([40.0]))]
    made.idle = life.Idle(10, 28.0, 0.01)
    made.stuck = slow.Stuck(60, 1000, 60.0, 61.0, 62.0, 1000.0, 0, [(0, 60.0)])
    return made


class Tables(unittest.TestCase):
    def rows(self, table):
        return {row[1]: dict(zip(table.names, row)) for row in table.rows}

    def test_throughput_holds_each_round_against_the_floor_of_that_round(self):
        rows = self.rows(report.throughput_table(results(), False))
        self.assertEqual(rows["Stagewire"]["of the relay"], "0.10x")
        self.assertEqual(rows["Stagewire"]["of the relay's"], "4.00x")
        self.assertEqual(rows["Stagewire"]["records/s"], "150 (100..200)")
        self.assertEqual(rows["Redis Streams"]["of Stagewire"], "0.10x")
        self.assertNotIn("Redis Streams, fsync always", rows)

    def test_durable_systems_have_a_table_with_the_one_in_memory_beside_them(self):
        rows = self.rows(report.throughput_table(results(), True))
        self.assertEqual(set(rows), {"Stagewire", "Redis Streams, fsync always"})

    def test_what_failed_is_said(self):
        made = results()
        self.assertTrue(any("it went away" in failure for failure in made.failures()))
        made.cells = [Cell("100 B", "stagewire", 100, 0, [None], ["broken"])]
        self.assertIn("failed", report.throughput_table(made, False).markdown())

    def test_the_band(self):
        table = report.scale_tables(results())[0]
        verdicts = [row[table.names.index("within 20%")] for row in table.rows]
        self.assertEqual(verdicts, ["(reference)", "yes", "**no**"])

    def test_targets_are_held_against_the_figures(self):
        table = targets.table(results())
        reached = {row[0]: row[-1] for row in table.rows}
        self.assertEqual(reached["throughput, 100 B, in memory"], "**no**")  # a tenth of the relay's
        self.assertEqual(reached["broker CPU per record and hop, 100 B"], "yes")  # four times the relay's
        self.assertEqual(reached["p50 at 1,000 records/s"], "yes")
        self.assertEqual(reached["idle"], "yes")
        self.assertEqual(reached["stuck consumer for 60 s"], "yes")
        self.assertEqual(reached["broker CPU per record and hop: 100 keys"], "yes")
        self.assertEqual(reached["broker CPU per record and hop: 10,000 keys"], "**no**")

    def durable_row(self, ours, memory, written=400.0, bandwidths=(1000e6, 1000e6)):
        made = results()
        made.bandwidths = list(bandwidths)
        made.cells = [Cell("100 B", name, 100, 0, [dataclasses.replace(sample(rate), written=bytes_) if rate else None
                                                   for rate in rates])
                      for name, rates, bytes_ in (("stagewire", memory, 0.0), ("stagewire-disk", ours, written))]
        (row,) = targets.durable(made)
        return row, made

    def test_durable_is_held_against_memory_where_the_disk_can_do_more(self):
        # The disk takes 2.5 M of these records in a second, 80% of which are 2 M.
        row, _ = self.durable_row([1.5e6] * 2, [3e6] * 2)
        self.assertEqual(row[2:], ["0.50x (0.50..0.50); 0.60x (0.60..0.60) of the disk", "yes"])
        self.assertEqual(self.durable_row([1.49e6] * 2, [3e6] * 2)[0][-1], "**no**")

    def test_durable_is_held_against_the_disk_where_memory_can_do_more(self):
        row, _ = self.durable_row([2e6] * 2, [8e6] * 2)
        self.assertEqual(row[2:], ["0.25x (0.25..0.25); 0.80x (0.80..0.80) of the disk", "yes"])
        self.assertEqual(self.durable_row([1.99e6] * 2, [8e6] * 2)[0][-1], "**no**")
        # Twice the bytes for a record: the disk takes half as many.
        self.assertEqual(self.durable_row([1e6] * 2, [8e6] * 2, written=800.0)[0][-1], "yes")

    def test_the_lesser_bound_is_that_of_the_same_round(self):
        # Each round reaches its own bound exactly, the first that of memory, the second that of a disk that was slow.
        row, _ = self.durable_row([1.5e6, 0.2e6], [3e6, 3e6], bandwidths=(1000e6, 100e6))
        self.assertEqual(row[-1], "yes")
        row, _ = self.durable_row([1.5e6, 0.2e6, 0.2e6], [3e6] * 3, bandwidths=(1000e6, 100e6, 1000e6))
        self.assertEqual(row[-1], "yes")
        row, _ = self.durable_row([1.4e6, 0.2e6, 0.2e6], [3e6] * 3, bandwidths=(1000e6, 100e6, 1000e6))
        self.assertEqual(row[-1], "**no**")

    def test_without_a_figure_of_the_disk_memory_decides(self):
        for written, bandwidths in ((400.0, ()), (0.0, (1000e6, 1000e6))):
            row, _ = self.durable_row([1.5e6] * 2, [3e6] * 2, written, bandwidths)
            self.assertEqual(row[2:], ["0.50x (0.50..0.50); - of the disk", "yes"])
            self.assertEqual(self.durable_row([1.4e6] * 2, [3e6] * 2, written, bandwidths)[0][-1], "**no**")

    def test_a_round_that_failed_is_left_out(self):
        row, _ = self.durable_row([1.5e6, None], [3e6, 3e6])
        self.assertEqual(row[2:], ["0.50x; 0.60x of the disk", "yes"])

    def test_the_disk_stands_in_the_durable_table_alone(self):
        _, made = self.durable_row([1.5e6] * 2, [3e6] * 2)
        table = report.throughput_table(made, True)
        rows = self.rows(table)
        self.assertEqual(rows["Stagewire, disk"]["B/record to the disk"], "400")
        self.assertEqual(rows["Stagewire, disk"]["of the disk's"], "0.60x (0.60..0.60)")
        self.assertEqual(rows["Stagewire"]["of the disk's"], "-")
        self.assertIn("1,000 (1,000..1,000) MB/s", table.notes[0])
        plain = report.throughput_table(made, False)
        self.assertEqual((plain.notes, "of the disk's" in plain.names), ([], False))

    def test_languages_are_held_against_the_first(self):
        table = report.languages_table(results())
        rows = {row[0]: dict(zip(table.names, row)) for row in table.rows}
        self.assertEqual(rows["Node 20.1"]["of the first"], "20.0x (20.0..20.0)")
        self.assertEqual(rows["Python 3.11"]["records per second of CPU"], "256,410")
        self.assertEqual(table.notes, ["Left out: Rust, for there is no forward-rust."])
        made = results()
        made.languages[1] = languages.LanguageCell("node", "", [None], ["it went away"])
        self.assertEqual(report.languages_table(made).rows[1][1], "failed")
        self.assertIn("worker in Node: it went away", made.failures())

    def test_a_language_needs_both_the_core_and_the_rate(self):
        reached = {row[0]: row[2:] for row in targets.of_languages(results())}
        self.assertEqual(reached["a worker in Python, 100 B forwarded"], ["256,410", "yes"])
        self.assertEqual(reached["a worker in Node, 100 B forwarded"], ["250,000", "**no**"])

    def test_growing_memory_misses_its_target(self):
        made = results()
        made.stuck.last_mib = 67.0
        self.assertEqual({row[0]: row[-1] for row in targets.table(made).rows}["stuck consumer for 60 s"], "**no**")

    def test_slow_consumers(self):
        rows = {row[0]: row for row in report.slow_table(results()).rows}
        self.assertEqual(rows["Stagewire"][2], "waits")
        self.assertEqual(rows["Redis Streams"][2], "goes on, 900 records/s")
        self.assertEqual(rows["Redis Streams"][-2:], ["17", "no"])

    def test_every_row_has_as_many_cells_as_there_are_columns(self):
        self.assertRaises(ValueError, tables.Table, "t", ["a", "b"], [["1"]])
        for table in report.all_tables(results()):
            widths = {line.replace("\\|", "").count("|") for line in table.markdown().splitlines() if line.startswith("|")}
            self.assertEqual(len(widths), 1, table.title)

    def test_text_for_a_terminal_is_aligned(self):
        text = tables.Table("t", ["name", ">n"], [["`a`", "1"], ["longer", "1,000"]]).text().splitlines()
        self.assertEqual(text[2:], ["name        n", "------  -----", "a           1", "longer  1,000"])

    def test_numbers(self):
        for value, shown in ((0, "0"), (0.12345, "0.123"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1,234"), (None, "-")):
            self.assertEqual(tables.number(value), shown)
        self.assertEqual([size_text(size) for size in (100, 1024, 65536, 4 << 20)], ["100 B", "1 KiB", "64 KiB", "4 MiB"])

    def test_json(self):
        plain = json.loads(json.dumps(results().plain()))
        self.assertEqual(plain["left_out"]["nats"]["packages"], BY_NAME["nats"].packages)
        self.assertEqual(len(plain["cells"]), 10)
        self.assertEqual(plain["cells"][5]["latency_us"]["p50"], 50)
        self.assertNotIn("latencies", plain["cells"][5]["samples"][0])

    def test_noise_is_told(self):
        self.assertIn("100 B: 1.10x", report.noise(results()))


class Disk(unittest.TestCase):
    def test_bandwidth_is_of_bytes_that_were_written(self):
        with tempfile.TemporaryDirectory(dir=ROOT / "build") as directory:
            seen = []
            def counted(descriptor, piece, start, put=disk.put):
                seen.append((start, len(piece)))
                put(descriptor, piece, start)
            with unittest.mock.patch.object(disk, "put", counted), unittest.mock.patch.object(disk, "FILE", 1 << 20):
                started = time.monotonic()
                rate = disk.synced_bandwidth(directory, 0.05, group=1 << 16)
                elapsed = time.monotonic() - started
            # Side by side, over what was written before, and no more in the time of writing than would be in all of it.
            before, timed = seen[:16 * disk.FILES], seen[16 * disk.FILES:]
            self.assertEqual(before, [(start << 16, 1 << 16) for start in range(16)] * disk.FILES)
            self.assertEqual(timed[:3], before[:3])
            self.assertGreaterEqual(rate * elapsed, len(timed) << 16)
            self.assertEqual(os.listdir(directory), [])

    @unittest.skipUnless(os.path.exists("/proc/self/io"), "this kernel does not account for what processes write")
    def test_a_process_is_charged_with_what_it_writes(self):
        with tempfile.NamedTemporaryFile(dir=ROOT / "build") as file:
            before = process.disk_bytes(os.getpid())
            file.write(bytes(1 << 20))
            file.flush()
            os.fdatasync(file.fileno())
            self.assertGreaterEqual(process.disk_bytes(os.getpid()) - before, 1 << 20)
        self.assertEqual(process.disk_bytes(0), 0)


class Documents(unittest.TestCase):
    def test_only_what_stands_between_the_marks_is_replaced(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory, "doc.md")
            path.write_text(f"# Title\n\nbefore\n{report.BEGIN}\nold\n{report.END}\nafter\n")
            report.update(path, "new")
            self.assertEqual(path.read_text(), f"# Title\n\nbefore\n{report.BEGIN}\nnew\n{report.END}\nafter\n")

    def test_a_document_without_marks_gets_them_at_its_end(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory, "doc.md")
            report.update(path, "one")
            report.update(path, "two")
            self.assertEqual(path.read_text(), f"# Benchmarks\n\n{report.BEGIN}\ntwo\n{report.END}\n")

    def test_pictures_stand_in_front_of_the_tables(self):
        body = report.pictured(report.markdown(results()), [(pathlib.Path("a.svg"), "what")])
        self.assertLess(body.index("![what](a.svg)"), body.index("### Throughput"))
        self.assertLess(body.index("Noise"), body.index("![what]"))

    def test_plots_are_xml_and_stay_inside(self):
        for draw in (plot.throughput, plot.latency, plot.scale):
            picture = draw(results())
            root = xml.etree.ElementTree.fromstring(picture.svg())
            for element in root.iter():
                for name, most in (("x", plot.WIDTH), ("x2", plot.WIDTH), ("cx", plot.WIDTH), ("y", picture.height)):
                    if name in element.attrib:
                        self.assertTrue(0 <= float(element.attrib[name]) <= most, (draw.__name__, element.attrib))

    def test_nothing_measured_draws_nothing(self):
        empty = report.Results(settings())
        self.assertEqual([draw(empty) for draw in (plot.throughput, plot.latency, plot.scale)], [None] * 3)
        self.assertEqual(report.all_tables(empty), [])

    def test_an_axis_covers_its_values(self):
        axis = plot.LogAxis([2, 950], 100, 300)
        self.assertEqual((axis.at(1), axis.at(1000)), (100, 400))
        self.assertAlmostEqual(axis.at(10), 200)


class Options(unittest.TestCase):
    def test_names(self):
        self.assertEqual(options.chosen("all", ["a", "b"], "thing"), ["a", "b"])
        self.assertEqual(options.chosen("none", ["a", "b"], "thing"), [])
        with self.assertRaisesRegex(SystemExit, "no thing c; there are a, b"):
            options.chosen("a,c", ["a", "b"], "thing")

    def test_systems_keep_their_order(self):
        self.assertEqual(settings("--systems", "relay,stagewire", "--peers", "zeromq,grpc").system_names,
                         ["stagewire", "relay", "grpc", "zeromq"])

    def test_peers_are_left_out_with_what_to_install(self):
        here = settings("--peer-programs", "/nowhere")
        for name in options.PEERS:
            self.assertTrue(BY_NAME[name].packages)
            self.assertIn("/nowhere", BY_NAME[name].missing(here))

    def test_workers_that_are_not_there_are_named(self):
        here = settings("--peer-programs", "/nowhere")
        for name, what in (("go", "/nowhere/forward-go"), ("java", "/nowhere/forward-java, /nowhere/forward-java/stagewire.jar")):
            self.assertIn(what, languages.BY_NAME[name].missing(here))
        self.assertEqual([languages.BY_NAME[name].missing(here) for name in ("slices", "python")], ["", ""])
        lost = dataclasses.replace(languages.BY_NAME["python"], command=("no-such-python", "x.py"))
        self.assertEqual(lost.missing(here), "no-such-python")

    def test_quick_changes_no_more_than_full_has(self):
        self.assertEqual(set(options.QUICK), set(options.FULL))


class Programs(unittest.TestCase):
    """What the benchmark says to the C programs and to the broker."""

    def test_the_counters_are_those_of_the_header(self):
        text = (ROOT / "Sources/StagewireBenchWorker/bench.h").read_text()
        self.assertEqual(tuple(re.findall(r"^  struct counter (\w+);", text, re.M)), counters.NAMES)
        self.assertIn(f"LATENCIES = 1 << {counters.LATENCIES.bit_length() - 1}", text)

    def test_latencies_wrap_around(self):
        with tempfile.TemporaryDirectory() as directory:
            made = counters.Counters(pathlib.Path(directory, "c"))
            first = 64 * len(counters.NAMES)
            made.memory[first:first + 16] = (5000).to_bytes(8, "little") + (3000).to_bytes(8, "little")
            self.assertEqual(made.latencies(0, 2), [3, 5])
            self.assertEqual(made.latencies(counters.LATENCIES, counters.LATENCIES + 2), [3, 5])
            self.assertEqual(len(made.latencies(0, 3 * counters.LATENCIES)), counters.LATENCIES)

    def test_every_pipeline_is_right(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory, "pipeline.yaml")
            for point in [point for points in scale.GROUPS.values() for point in points]:
                path.write_text(stagewire.pipeline_text(point.shape, "/tmp/s", "state", point.size))
                checked = subprocess.run([BIN / "stagewire", "check", path], capture_output=True, text=True)
                self.assertEqual(checked.returncode, 0, (point, checked.stdout, checked.stderr))
            self.assertGreater(slow.budget_mib(settings(), path), 100)

    def test_hops_are_counted_at_every_stage(self):
        self.assertEqual(scale.handed_over([{"received": 7}, {"received": 3}], Shape(chain=5, sinks=2)), 7 + 3 + 5 * 7)

    def test_lost_records_are_noticed(self):
        with Run(settings(), Case(100)) as run:
            run.counters["emitted"], run.counters["received"] = 10, 7
            self.assertEqual(run.settle(patience=0.1), 3)
            run.counters["repeated"] = 1
            self.assertRaisesRegex(Failed, "1 records were repeated", run.check)

    def test_a_stage_that_dies_is_a_failure_with_its_words(self):
        with Run(settings(), Case(100)) as run:
            run.start("sh", "-c", "echo why; exit 3")
            self.assertRaisesRegex(Failed, "(?s)a process ended.*exit 3.*why", run.wait, "ever", lambda: False)


class OpenLoop(unittest.TestCase):
    """A latency counts from the time at which the record was due, so a stall counts for all that it delayed."""

    def latencies_around(self, stall, role):
        with Run(settings(), Case(100, rate=1000)) as run:
            stagewire.start(run, Shape())
            run.wait("the first record", lambda: run.counters["received"] > 0)
            process = next(one for one in run.processes if role in one.args)
            run.hold(process)
            time.sleep(stall)
            run.release(process)
            run.wait("the rest", lambda: run.counters["received"] > 1000 * (stall + 0.1))
            stagewire.end(run)
            return run.counters.latencies(0, run.counters["samples"])

    def test_a_stall_delays_every_record_that_was_due(self):
        for role in ("sink", "producer"):
            late = [latency for latency in self.latencies_around(0.4, role) if latency > 100_000]
            # Those due in the first three quarters of it waited for more than a quarter: about 300 of 400.
            self.assertGreater(len(late), 250, role)
            self.assertGreater(max(late), 350_000, role)


class WholeBenchmark(unittest.TestCase):
    def test_a_short_run(self):
        here = settings("--parts", "matrix", "--systems", "stagewire,relay", "--peers", "none", "--rounds", "1", "--seconds", "0.1",
                        "--warm-up", "0.05", "--latency-seconds", "0.2", "--sizes", "100")
        said = []
        cells = matrix.Matrix(here, [BY_NAME["stagewire"], BY_NAME["relay"]], said.append).measure(matrix.cases_of(here))
        self.assertEqual(sorted((cell.system, bool(cell.rate)) for cell in cells),
                         [("relay", False), ("relay", True), ("relay-stamped", False), ("stagewire", False), ("stagewire", True)])
        for cell in cells:
            self.assertEqual(cell.failures, [])
            self.assertGreater(cell.samples[0].rate, 0)
            self.assertGreater(cell.samples[0].cpu_us, 0)

    def test_a_worker_in_another_language(self):
        here = settings("--seconds", "0.2")
        with unittest.mock.patch.object(languages, "WARM_UP", 0.1):
            cells = languages.measure(here, [languages.BY_NAME[name] for name in ("slices", "python")], [].append)
        for cell in cells:
            self.assertEqual(cell.failures, [])
            self.assertGreater(min(cell.values("rate") + cell.values("worker_us") + cell.values("broker_us")), 0)


if __name__ == "__main__":
    unittest.main()
