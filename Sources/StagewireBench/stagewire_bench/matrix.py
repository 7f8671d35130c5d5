"""Throughput and latency of all systems: they take turns within each round, so that what the machine does to one, it does
to its neighbours, too."""

import dataclasses

from . import disk, stagewire
from .run import Case, Run
from .statistics import Latency, Rounds, paired

STAMPED = "relay-stamped"


@dataclasses.dataclass
class Cell(Rounds):
    """One system with one payload."""
    case: str
    system: str
    size: int
    rate: int
    samples: list = dataclasses.field(default_factory=list)
    failures: list = dataclasses.field(default_factory=list)

    def to(self, floor, name):
        return paired(self.values(name), floor.values(name)) if floor else None

    @property
    def latency(self):
        merged = [value for sample in self.samples if sample for value in sample.latencies]
        return Latency.of(merged) if merged else None

    def percentiles_to(self, floor, share_name):
        """Spread over the rounds of the ratio of one percentile, such as "p99"."""
        def each(cell):
            return [getattr(Latency.of(sample.latencies), share_name) if sample and sample.latencies else None
                    for sample in cell.samples]
        return paired(each(self), each(floor)) if floor else None

    def plain(self):
        """For bench.json: the samples without each single latency."""
        samples = [{field.name: getattr(sample, field.name) for field in dataclasses.fields(sample)
                    if field.name != "latencies"} if sample else None for sample in self.samples]
        latency = dataclasses.asdict(self.latency) if self.latency else None
        return {"case": self.case, "system": self.system, "size": self.size, "rate": self.rate, "samples": samples,
                "latency_us": latency, "failures": self.failures}


def run_once(settings, system, case):
    """A sample of a system, with everything that was emitted accounted for."""
    with Run(settings, case, system.batch) as run:
        system.start(run)
        sample = run.measure()
        if system.programs == stagewire_programs():
            stagewire.end(run)
            return sample
        lost = run.settle()
        run.check()
        if lost:
            run.fail(f"{lost} records never arrived")
        return sample


def stagewire_programs():
    from .systems import OURS
    return OURS


class Matrix:
    def __init__(self, settings, systems, say):
        self.settings, self.systems, self.say = settings, systems, say
        self.cells = {}
        self.bandwidths = []  # of the disk, bytes per second, one for each round; none if nothing durable is measured

    def cell(self, case, name):
        return self.cells.setdefault((case.name, name), Cell(case.name, name, case.size, case.rate))

    def measure(self, cases):
        for number in range(self.settings.rounds):
            if any(system.kind == "durable" for system in self.systems):
                self.bandwidths.append(disk.synced_bandwidth(self.settings.disk, self.settings.disk_seconds))
                self.say(f"round {number + 1}: {'the disk, synced':28} {self.bandwidths[-1] / 1e6:30,.0f} MB/s")
            for case in cases:
                samples = {system.name: self.one(number, system, case, system.name)
                           for system in self.systems if wanted(system, case)}
                ours, relay = samples.get("stagewire"), samples.get("relay")
                if ours and relay and not case.rate:
                    # What the relay does with as many bytes as the broker has to move.
                    stamped = dataclasses.replace(case, size=round(ours.stamped))
                    floor = next(system for system in self.systems if system.name == "relay")
                    self.one(number, floor, stamped, STAMPED, shown=case)
        return list(self.cells.values())

    def one(self, number, system, case, name, shown=None):
        def told(sample):
            late = Latency.of(sample.latencies) if case.rate and sample.latencies else None
            return (f"{sample.rate:12,.0f} rec/s  {sample.cpu_us:8.3f} us CPU  {sample.rss_mib:6.1f} MiB  "
                    + (f"p50 {late.p50:6.0f}  p99 {late.p99:6.0f} us" if late else ""))

        cell = self.cell(shown or case, name)
        return cell.take(f"round {number + 1}: {cell.case:28} {name:18}", lambda: run_once(self.settings, system, case), self.say, told)


def wanted(system, case):
    """Durable systems are measured with small payloads and at light load: what they add is a sync for each group."""
    return system.kind != "durable" or case.size <= 1024


def cases_of(settings):
    cases = [Case(size, keys=settings.keys, header=settings.header) for size in settings.sizes]
    if settings.rate:
        cases.append(Case(100, settings.rate, keys=settings.keys, header=settings.header))
    return cases
