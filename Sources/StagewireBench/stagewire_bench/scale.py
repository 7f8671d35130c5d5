"""Stagewire as work grows: more stages, keys, bytes, readers, workers. The cost of a record and hop should stay what it was."""

import dataclasses
import time

from . import stagewire
from .process import cpu_seconds, peak_mib
from .run import Case, Run, size_text
from .stagewire import Shape
from .statistics import Rounds, paired


@dataclasses.dataclass(frozen=True)
class Point:
    """One configuration; the first of a group is what the others are held against."""
    label: str
    shape: Shape = Shape()
    size: int = 100
    keys: int = 64

    @property
    def case(self):
        return Case(self.size, keys=self.keys)


def rows(label="", **more):
    return [Point(f"{n} worker stage{'s' * (n > 1)} in a row{label}", Shape(chain=n, **more)) for n in (1, 10, 50)]


GROUPS = {
    "stages": rows(),
    "durable-stages": rows(", `durability: disk`", durability="disk"),
    "keys": [Point(f"{n:,} key{'s' * (n > 1)}", keys=n) for n in (1, 100, 10_000)],
    "payload": [Point(size_text(size), size=size) for size in (100, 1024, 16 << 10, 256 << 10, 4 << 20)],
    "fan-out": [Point(f"{n} reader{'s' * (n > 1)} of one stage", Shape(sinks=n)) for n in (1, 4, 16)],
    "slow-branch": [
        Point("two readers, both fast", Shape(sinks=2)),
        Point("one takes 10,000/s, `overflow: drop-oldest`", Shape(sinks=2, slow=10_000, overflow="drop-oldest")),
        Point("one takes 10,000/s, `overflow: block`", Shape(sinks=2, slow=10_000)),
        Point("the same with `durability: relaxed`: it waits on the disk",
              Shape(sinks=2, slow=10_000, durability="relaxed")),
    ],
    "workers": [Point(f"{n} worker{'s' * (n > 1)} of one stage", Shape(workers=n), keys=10_000) for n in (1, 16, 200)],
}


@dataclasses.dataclass
class ScaleSample:
    rate: float  # records per second at the first sink
    cpu_us: float  # the broker's CPU for each record and hop
    rss_mib: float


@dataclasses.dataclass
class ScaleCell(Rounds):
    group: str
    label: str
    size: int
    samples: list = dataclasses.field(default_factory=list)
    failures: list = dataclasses.field(default_factory=list)

    def to(self, base):
        return paired(self.values("cpu_us"), base.values("cpu_us"))

    def plain(self):
        return {"group": self.group, "label": self.label, "size": self.size, "failures": self.failures,
                "samples": [dataclasses.asdict(sample) if sample else None for sample in self.samples]}


def handed_over(sinks, shape):
    """Deliveries so far, of all stages: what the sinks took, and as much through each worker stage as the first of them."""
    taken = [counters["received"] for counters in sinks]
    return sum(taken) + shape.chain * max(taken)


def measure_point(settings, point):
    """Through the run's end, where that is not a matter of minutes."""
    shape = point.shape
    with Run(settings, point.case) as run:
        sinks = stagewire.start(run, shape)
        first = sinks[0]
        run.wait("the first record", lambda: first["received"] > 0, 60)
        time.sleep(settings.warm_up)
        before = (time.monotonic(), first["received"], handed_over(sinks, shape), cpu_seconds(run.broker.pid))
        time.sleep(settings.seconds)
        after = (time.monotonic(), first["received"], handed_over(sinks, shape), cpu_seconds(run.broker.pid))
        elapsed, records, hops, cpu = (b - a for a, b in zip(before, after))
        if hops <= 0:
            run.fail("nothing was handed over while measuring")
        sample = ScaleSample(records / elapsed, cpu * 1e6 / hops, peak_mib(run.broker.pid))
        if shape.slow:
            run.check()  # what it still has to take would take minutes
        else:
            stagewire.end(run, 60)
            check_sinks(run, sinks)
        return sample


def check_sinks(run, sinks):
    for counters in sinks[1:]:
        wrong = {name: counters[name] for name in ("wrong", "disordered", "repeated") if counters[name]}
        if wrong or counters["received"] != run.counters["emitted"]:
            run.fail(f"a reader got {counters['received']} of {run.counters['emitted']} records, {wrong}")


def measure(settings, groups, say):
    """{group: [ScaleCell]}; the points of a group are measured one after the other, in every round."""
    found = {name: [ScaleCell(name, point.label, point.size) for point in GROUPS[name]] for name in groups}
    for number in range(settings.scale_rounds):
        for name in groups:
            for point, cell in zip(GROUPS[name], found[name]):
                cell.take(f"scale {number + 1}: {name:12} {point.label:56}", lambda: measure_point(settings, point), say,
                          lambda sample: f"{sample.rate:12,.0f} rec/s  {sample.cpu_us:8.3f} us CPU a record and hop  "
                                         f"{sample.rss_mib:6.1f} MiB")
    return found
