"""What the project wants to reach, and whether these figures do. Ratios of one run; nothing is asserted by a test."""

from . import languages, tables
from .run import size_text
from .statistics import paired
from .tables import Table

THROUGHPUT = {100: 1 / 4, 1024: 1 / 2, 65536: 3 / 4}  # of the C relay, in the same round
CPU = 5  # times the relay's
P50, P99 = 1.5, 2  # times the relay's
DURABLE, OF_DISK = 1 / 2, 0.8  # of the same in memory, or of what the disk does: the lesser
OVER_REDIS = 20  # times Redis with a sync for every group
IDLE_MIB, IDLE_PERCENT, START_MS = 30, 0.5, 300
LANGUAGES = {"python": 250_000, "node": 300_000}  # records per second of one core
BAND = 0.2
GROWTH = 0.1  # memory of a broker with a stuck consumer: at most so much more at the end


def table(results):
    rows = [*throughput(results), *latency(results), *durable(results), *of_languages(results), *life(results),
            *scaling(results)]
    return Table("Targets", ["what", "target", ">measured", "reached"], rows)


def row(what, target, shown, reached):
    return [what, target, shown, "yes" if reached else "**no**"]


def cells_of(results, rate):
    return {(cell.size, cell.system): cell for cell in results.cells if bool(cell.rate) == rate}


def at_least(what, ratio, least, of):
    return [row(what, f"at least {least:g}x {of}", tables.ratio_range(ratio), ratio.median >= least)] if ratio else []


def at_most(what, ratio, most, of):
    return [row(what, f"at most {most:g}x {of}", tables.ratio_range(ratio), ratio.median <= most)] if ratio else []


def throughput(results):
    cells, rows = cells_of(results, False), []
    for size, least in THROUGHPUT.items():
        ours, floor = cells.get((size, "stagewire")), cells.get((size, "relay"))
        if ours and floor:
            rows += at_least(f"throughput, {size_text(size)}, in memory", ours.to(floor, "rate"), least, "the C relay's")
            if size == 100:
                rows += at_most("broker CPU per record and hop, 100 B", ours.to(floor, "cpu_us"), CPU, "the C relay's")
    return rows


def latency(results):
    cells = cells_of(results, True)
    ours, floor = cells.get((100, "stagewire")), cells.get((100, "relay"))
    if not ours or not floor:
        return []
    rate = f"at {results.settings.rate:,} records/s"
    return [*at_most(f"p50 {rate}", ours.percentiles_to(floor, "p50"), P50, "the C relay's"),
            *at_most(f"p99 {rate}", ours.percentiles_to(floor, "p99"), P99, "the C relay's")]


def durable(results):
    cells = cells_of(results, False)
    ours, memory, redis = (cells.get((100, name)) for name in ("stagewire-disk", "stagewire", "redis-aof"))
    what, rows = "throughput, 100 B, `durability: disk`", []
    if ours and memory:
        rows += beside_memory(what, ours, memory, results.bandwidths)
    if ours and redis:
        rows += at_least(what, ours.to(redis, "rate"), OVER_REDIS, "Redis with fsync always")
    return rows


def beside_memory(what, ours, memory, bandwidths):
    """The lesser of two bounds, in each round by itself: no journal is faster than its disk."""
    of_memory, of_disk = ours.to(memory, "rate"), disk_share(ours, bandwidths)
    if not of_memory:
        return []
    bounds = [lesser(*each) for each in zip(memory.values("rate"), disk_records(ours, bandwidths))]
    reached = paired(ours.values("rate"), bounds)
    shown = f"{tables.ratio_range(of_memory)}; {tables.ratio_range(of_disk)} of the disk"
    return [row(what, f"at least the lesser of {DURABLE:g}x the same in memory and {OF_DISK:g}x of the disk's synced bandwidth",
                shown, bool(reached) and reached.median >= 1)]


def lesser(memory, disk):
    """Records per second to be reached; None without the one in memory."""
    if memory is None:
        return None
    return min(DURABLE * memory, OF_DISK * disk) if disk else DURABLE * memory


def disk_records(cell, bandwidths):
    """How many of its records the disk takes in a second, in each round; None where that is not known."""
    known = [*bandwidths, *[None] * (len(cell.samples) - len(bandwidths))]
    return [disk / each if disk and each else None for disk, each in zip(known, cell.values("written"))]


def disk_share(cell, bandwidths):
    """How much of what the disk does in a second a system used."""
    return paired(cell.values("rate"), disk_records(cell, bandwidths))


def life(results):
    rows = [row(f"start of a five-stage pipeline, `durability: {one.durability}`", f"first record within {START_MS} ms",
                f"{tables.spread(one.first_record_ms)} ms", one.first_record_ms.median <= START_MS) for one in results.startup]
    if results.idle:
        idle = results.idle
        rows.append(row("idle", f"below {IDLE_MIB} MiB and {IDLE_PERCENT}% of a core",
                        f"{idle.rss_mib:.1f} MiB, {idle.cpu_percent:.2f}%",
                        idle.rss_mib < IDLE_MIB and idle.cpu_percent < IDLE_PERCENT))
    if results.stuck:
        stuck = results.stuck
        rows.append(row(f"stuck consumer for {stuck.seconds:g} s", "memory flat, within the budget",
                        f"{stuck.first_mib:.1f} to {stuck.last_mib:.1f} MiB of {stuck.budget_mib:,.0f}",
                        stuck.last_mib <= (1 + GROWTH) * stuck.first_mib and stuck.peak_mib <= (1 + GROWTH) * stuck.budget_mib))
    return rows


def of_languages(results):
    """A worker has a core at most: one that needs less CPU for a record than it waits is no faster for that."""
    rows = []
    for cell in results.languages:
        least, cores = LANGUAGES.get(cell.name), cell.spread("per_core")
        if least and cores:
            reached = min(cores.median, cell.spread("rate").median)
            rows.append(row(f"a worker in {languages.BY_NAME[cell.name].title}, 100 B forwarded", f"at least {least:,} records/s on one core",
                            tables.number(reached), reached >= least))
    return rows


def scaling(results):
    rows = []
    for name in ("stages", "keys"):
        cells = results.scale.get(name, [])
        for cell in cells[1:]:
            change = cell.to(cells[0])
            if change:
                rows.append(row(f"broker CPU per record and hop: {cell.label}", f"within {BAND:.0%} of {cells[0].label}",
                                tables.ratio_range(change), 1 - BAND <= change.median <= 1 + BAND))
    return rows
