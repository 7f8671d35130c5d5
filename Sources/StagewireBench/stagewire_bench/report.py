"""What was measured, as tables, as JSON and as a part of a document."""

import dataclasses
import datetime
import json
import os
import pathlib
import platform

from . import disk, languages, plot, tables, targets
from .matrix import STAMPED
from .statistics import Spread
from .systems import BY_NAME, DURABLE
from .tables import Table

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


class Results:
    def __init__(self, settings, systems=(), left_out=()):
        self.settings, self.systems, self.left_out = settings, list(systems), list(left_out)
        self.date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
        self.machine = f"{os.cpu_count()} cores, {platform.system()} {platform.release().split('-')[0]}"
        self.cells, self.slow, self.scale = [], [], {}
        self.bandwidths = []  # of the disk, as `disk.synced_bandwidth` measures it, one for each round
        self.languages, self.languages_left_out = [], {}
        self.startup, self.idle, self.stuck = [], None, None

    def failures(self):
        found = [f"{cell.system}: {text}" for cell in self.cells for text in cell.failures]
        found += [f"slow consumer, {one.system}: {one.failure}" for one in self.slow if one.failure]
        found += [f"worker in {languages.BY_NAME[cell.name].title}: {text}" for cell in self.languages for text in cell.failures]
        return found + [f"scale, {cell.label}: {text}" for cells in self.scale.values() for cell in cells
                        for text in cell.failures]

    def plain(self):
        """For bench.json."""
        settings = {name: str(value) if isinstance(value, pathlib.Path) else value
                    for name, value in vars(self.settings).items() if name not in ("bin", "peers", "disk", "build", "scratch")}
        return {
            "date": self.date, "machine": self.machine, "hops": 2, "settings": settings,
            "systems": {one.name: {"title": one.title, "version": one.version_text(self.settings), "kind": one.kind,
                                   "configuration": one.configuration, "handover": one.handover} for one in self.systems},
            "left_out": {one.name: {"missing": missing, "packages": one.packages} for one, missing in self.left_out},
            "cells": [cell.plain() for cell in self.cells],
            "synced_bytes_per_second": self.bandwidths,
            "slow": [dataclasses.asdict(one) for one in self.slow],
            "scale": [cell.plain() for cells in self.scale.values() for cell in cells],
            "languages": [cell.plain() for cell in self.languages],
            "languages_left_out": self.languages_left_out,
            "startup": [dataclasses.asdict(one) for one in self.startup],
            "idle": dataclasses.asdict(self.idle) if self.idle else None,
            "stuck": dataclasses.asdict(self.stuck) if self.stuck else None,
        }


def title_of(name):
    return "C relay, records of the stamped size" if name == STAMPED else BY_NAME[name].title


def order(cell):
    """As in the list of systems; the relay at the stamped size beside the relay."""
    names = list(BY_NAME)
    return names.index("relay") + 0.5 if cell.system == STAMPED else names.index(cell.system)


def groups(cells):
    """{case: {system: cell}} in the order of measuring, and of the systems."""
    found = {}
    for cell in sorted(cells, key=order):
        found.setdefault(cell.case, {})[cell.system] = cell
    sizes = {cell.case: (bool(cell.rate), cell.size) for cell in cells if cell.system != STAMPED}
    return {case: found[case] for case in sorted(found, key=lambda case: sizes.get(case, (False, 0)))}


# ---- Tables ----

def all_tables(results):
    made = [targets.table(results), throughput_table(results, False), latency_table(results), throughput_table(results, True),
            slow_table(results), *scale_tables(results), languages_table(results), life_table(results), systems_table(results)]
    return [table for table in made if table and table.rows]


def in_table(row, durable):
    """The systems of one case that belong into a table; beside durable ones stands Stagewire in memory."""
    def is_durable(name):
        return name in BY_NAME and BY_NAME[name].kind == DURABLE
    if not durable:
        return [name for name in row if not is_durable(name)]
    return [name for name in row if is_durable(name) or name == "stagewire"] if any(map(is_durable, row)) else []


def throughput_table(results, durable):
    rows = []
    for case, row in groups(cell for cell in results.cells if not cell.rate).items():
        for name in in_table(row, durable):
            rows.append([case, title_of(name), *throughput_figures(row[name], row.get("relay"), row.get("stagewire")),
                         *(disk_figures(row[name], results.bandwidths) if durable else [])])
    title = "Durable: throughput and cost" if durable else "Throughput and cost, in memory"
    return Table(title, ["payload", "system", ">records/s", ">of the relay", ">of Stagewire", ">broker CPU, us/record/hop",
                         ">of the relay's", ">peak RSS", *([">B/record to the disk", ">of the disk's"] if durable else [])],
                 rows, disk_notes(results) if durable else [])


def disk_figures(cell, bandwidths):
    """Bytes that a record costs on the disk, and how much of what the disk can do that is."""
    written = cell.spread("written")
    if not written or not written.median:
        return ["-", "-"]
    return [tables.number(written.median), tables.ratio_range(targets.disk_share(cell, bandwidths))]


def disk_notes(results):
    if not results.bandwidths:
        return []
    alone = tables.spread(Spread.of(value / 1e6 for value in results.bandwidths))
    return [f"The disk alone, {disk.GROUP >> 20} MiB at a time over what files have already, `fdatasync` after each: {alone} MB/s."]


def throughput_figures(cell, floor, ours):
    if not cell.spread("rate"):
        return ["failed", *["-"] * 5]
    return [tables.spread(cell.spread("rate")), tables.ratio(cell.to(floor, "rate")),
            tables.ratio_range(cell.to(ours, "rate")), tables.spread(cell.spread("cpu_us")),
            tables.ratio(cell.to(floor, "cpu_us")), tables.mib(cell.spread("rss_mib").high)]


def latency_table(results):
    rows = []
    for case, row in groups(cell for cell in results.cells if cell.rate).items():
        floor = row.get("relay")
        for name, cell in row.items():
            late = cell.latency
            if not late:
                rows.append([title_of(name), "failed", *["-"] * 7])
                continue
            rows.append([title_of(name), *(tables.number(value) for value in (late.p50, late.p99, late.p999, late.max)),
                         tables.ratio_range(cell.percentiles_to(floor, "p50")),
                         tables.ratio_range(cell.percentiles_to(floor, "p99")),
                         tables.number(cell.spread("cpu_us").median), f"{late.samples:,}"])
    return Table(f"Latency at {results.settings.rate:,} records/s of 100 B, microseconds",
                 ["system", ">p50", ">p99", ">p99.9", ">max", ">p50 of the relay's", ">p99 of the relay's",
                  ">broker CPU, us/record/hop", ">samples"], rows)


def slow_table(results):
    rows = []
    for one in results.slow:
        if one.failure:
            rows.append([title_of(one.system), "failed", *["-"] * 5])
            continue
        rows.append([title_of(one.system), tables.number(one.before_rate), one.producer, tables.mib(one.before_mib),
                     tables.mib(one.peak_mib), f"{one.lost:,}" if one.lost else "nothing",
                     "no" if one.lost or one.disordered or one.repeated else "yes"])
    seconds = results.slow[0].seconds if results.slow else 0
    return Table(f"A sink that stops for {seconds:g} s, 100 B at full speed",
                 ["system", ">records/s before", "the producer, at the end", ">broker before", ">broker's peak", ">lost",
                  "complete and in order afterwards"], rows)


def scale_tables(results):
    made = []
    for name, cells in results.scale.items():
        base, rows = cells[0], []
        for cell in cells:
            cost = cell.spread("cpu_us")
            if not cost:
                rows.append([cell.label, "failed", *["-"] * 5])
                continue
            change = cell.to(base)
            per_mib = cost.median * (1 << 20) / cell.size
            rows.append([cell.label, tables.spread(cell.spread("rate")), tables.spread(cost), tables.ratio_range(change),
                         within(cell, base, change), tables.number(per_mib) if name == "payload" else "-",
                         tables.mib(cell.spread("rss_mib").high)])
        made.append(Table(f"Scaling: {name}", ["", ">records/s", ">broker CPU, us/record/hop", ">of the first", "within 20%",
                                               ">us/MiB/hop", ">peak RSS"], rows))
    return [drop_empty(table) for table in made]


def within(cell, base, change):
    """Whether the cost is the same, give or take; not asked where each record is more work by itself."""
    if cell is base:
        return "(reference)"
    if cell.size != base.size or change is None:
        return "-"
    return "yes" if 1 - targets.BAND <= change.median <= 1 + targets.BAND else "cheaper" if change.median < 1 else "**no**"


def drop_empty(table):
    """Without the columns in which no row has anything."""
    kept = [i for i in range(len(table.columns)) if any(row[i] != "-" for row in table.rows)]
    return Table(table.title, [table.columns[i] for i in kept], [[row[i] for i in kept] for row in table.rows], table.notes)


def languages_table(results):
    base, rows = (results.languages or [None])[0], []
    for cell in results.languages:
        title = f"{languages.BY_NAME[cell.name].title} {cell.version}".strip()
        if not cell.spread("rate"):
            rows.append([title, "failed", *["-"] * 5])
            continue
        rows.append([title, tables.spread(cell.spread("rate")), tables.spread(cell.spread("worker_us")),
                     tables.ratio_range(cell.to(base, "worker_us")), tables.number(cell.spread("per_core").median),
                     tables.spread(cell.spread("broker_us")), tables.mib(cell.spread("rss_mib").high)])
    left = [f"Left out: {title}, for there is no {missing}." for title, missing in results.languages_left_out.items()]
    return Table("Workers by language, 100 B", ["worker", ">records/s", ">worker's CPU, us/record", ">of the first", ">records per second of CPU",
                                               ">broker CPU, us/record/hop", ">worker's peak RSS"], rows, left)


def life_table(results):
    rows = [[f"start of a five-stage pipeline until the first record, `durability: {one.durability}`",
             f"{tables.spread(one.first_record_ms)} ms", f"{one.first_record_ms.count} starts"] for one in results.startup]
    rows += [[f"the same until 1,000 records are through and the command has ended, `durability: {one.durability}`",
              f"{tables.spread(one.whole_ms)} ms", f"{one.whole_ms.count} starts"] for one in results.startup]
    if results.idle:
        rows.append(["idle, worker and sink attached: memory", tables.mib(results.idle.rss_mib), f"{results.idle.seconds:.0f} s"])
        rows.append(["idle: CPU", f"{results.idle.cpu_percent:.2f}% of a core", f"{results.idle.seconds:.0f} s"])
    if results.stuck:
        stuck = results.stuck
        rows.append([f"sink stuck for {stuck.seconds:g} s, producer at full speed: memory",
                     f"{stuck.first_mib:.1f} to {stuck.last_mib:.1f} MiB, at most {stuck.peak_mib:.1f}",
                     f"budget {stuck.budget_mib:,.0f} MiB; {stuck.lost or 'nothing'} lost"])
    return Table("Start, rest, and a consumer that hangs", ["", ">figure", "of"], rows)


def systems_table(results):
    rows = [[one.title, one.version_text(results.settings) or "-", one.configuration, one.handover] for one in results.systems]
    left = [f"Left out: {one.title}, for there is no {missing} (Debian: `{one.packages}`)." for one, missing in results.left_out]
    return Table("What was measured", ["system", "version", "configuration", "acknowledged"], rows, left)


# ---- What the figures can bear ----

def noise(results):
    """A sentence about the control: how far two names for one program lie apart."""
    found = []
    for case, row in groups(results.cells).items():
        control, ours = row.get("control"), row.get("stagewire")
        if not control or not ours:
            continue
        change = control.percentiles_to(ours, "p50") if control.rate else control.to(ours, "rate")
        if change:
            found.append(f"{'p50 ' if control.rate else ''}{case}: {tables.ratio_range(change)}")
    return f"Noise (A/A, Stagewire against itself): {'; '.join(found)}." if found else ""


def head(results):
    settings = results.settings
    lines = [f"{results.date}, {results.machine}; medians and ranges of {settings.rounds} rounds, each system "
             f"{settings.seconds:g} s after {settings.warm_up:g} s of warm-up, in turns; ratios are medians of the ratios "
             f"round by round; latencies are exact, of all rounds together; {settings.keys} keys. "
             f"Command: `{settings.command}`."]
    return "\n".join(line for line in (*lines, "", noise(results)) if line is not None).strip()


def markdown(results):
    return "\n".join([head(results), "", *(table.markdown() for table in all_tables(results))])


def text(results):
    return "\n".join([noise(results), "", *(table.text() for table in all_tables(results))])


def write(results, say):
    build = results.settings.build
    (build / "bench.md").write_text(markdown(results))
    (build / "bench.json").write_text(json.dumps(results.plain(), indent=1) + "\n")
    say(f"\n{text(results)}\nwritten: build/bench.json and build/bench.md")
    if results.settings.update:
        document = pathlib.Path(results.settings.update)
        pictures = plot.write_all(results, document.parent)
        update(document, pictured(markdown(results), pictures))
        say(f"updated: {document}" + "".join(f", {picture.name}" for picture, _ in pictures))


def pictured(body, pictures):
    images = "\n\n".join(f"![{what}]({picture.name})" for picture, what in pictures)
    top, _, rest = body.partition("\n### ")
    return f"{top}\n{images}\n\n### {rest}" if images and rest else body


def update(path, body):
    """Replaces what stands between the two marks, or appends a marked block."""
    block = f"{BEGIN}\n{body.rstrip()}\n{END}"
    old = path.read_text() if path.exists() else "# Benchmarks\n"
    start, end = old.find(BEGIN), old.find(END)
    if 0 <= start < end:
        path.write_text(old[:start] + block + old[end + len(END):])
    else:
        path.write_text(f"{old.rstrip()}\n\n{block}\n")
