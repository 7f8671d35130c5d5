"""A consumer that stops: does the producer wait, does the broker grow, is anything lost?"""

import dataclasses
import json
import subprocess
import time

from . import stagewire
from .process import peak_mib, rss_mib
from .run import Case, Failed, Run
from .stagewire import Shape


@dataclasses.dataclass
class Slow:
    system: str
    seconds: float  # that the sink did nothing
    before_rate: float  # records per second that were emitted before
    late_rate: float  # emitted in the last quarter of the stop
    before_mib: float  # the broker's memory before
    peak_mib: float
    lost: int  # records that never arrived, after the sink had gone on
    disordered: int  # gaps within a key, as the sink saw them
    repeated: int
    failure: str = ""

    @property
    def producer(self):
        if self.late_rate < 0.01 * self.before_rate:
            return "waits"
        return f"goes on, {self.late_rate:,.0f} records/s"


def slow_consumer(settings, system, seconds):
    # No window of the application's: what the system does by itself.
    case = Case(100, keys=settings.keys, header=settings.header, bounded=False)
    with Run(settings, case, system.batch) as run:
        system.start(run)
        run.wait("the first record", lambda: run.counters["received"] > 0)
        emitted = run.counters["emitted"]
        time.sleep(1)
        before_rate, before_mib = run.counters["emitted"] - emitted, rss_mib(run.broker.pid)
        run.hold(run.sink)
        time.sleep(seconds * 3 / 4)
        emitted = run.counters["emitted"]
        time.sleep(seconds / 4)
        late_rate = (run.counters["emitted"] - emitted) / (seconds / 4)
        peak = peak_mib(run.broker.pid)
        run.counters["stop"] = 1
        run.release(run.sink)
        lost = run.settle(system.patience)
        counters = run.counters
        # A broker that has ended meanwhile has no memory.
        return Slow(system.name, seconds, before_rate, late_rate, before_mib, max(peak, peak_mib(run.broker.pid)), max(0, lost),
                    counters["disordered"], counters["repeated"])


def measure(settings, systems, say):
    found = []
    for system in systems:
        try:
            one = slow_consumer(settings, system, settings.slow_seconds)
        except Failed as failure:
            one = Slow(system.name, settings.slow_seconds, 0, 0, 0, 0, 0, 0, 0, failure=str(failure))
        found.append(one)
        say(f"slow consumer: {system.name:18} " + (one.failure or
            f"producer {one.producer}, {one.before_mib:.0f} -> {one.peak_mib:.0f} MiB, {one.lost:,} lost"))
    return found


# ---- A consumer that is stuck for long ----

@dataclasses.dataclass
class Stuck:
    seconds: float
    emitted: int  # while it was stuck
    first_mib: float  # after a tenth of the time
    last_mib: float
    peak_mib: float
    budget_mib: float  # what `stagewire check` says that the pipeline may take
    lost: int
    series: list  # (seconds, MiB)


def budget_mib(settings, pipeline):
    command = [settings.bin / "stagewire", "check", "--no-commands", "--json", pipeline]
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return sum(line["bytes"] for line in answer["result"]["budget"]["lines"]) / (1 << 20)


def stuck_consumer(settings, say):
    """Stagewire with a sink that hangs and a producer at full speed. The lease is longer than that."""
    seconds = settings.stuck_seconds
    with Run(settings, Case(100, keys=settings.keys, header=settings.header)) as run:
        stagewire.start(run, Shape(lease="10m"))
        run.wait("the first record", lambda: run.counters["received"] > 0)
        time.sleep(1)
        run.hold(run.sink)
        emitted, series, start = run.counters["emitted"], [], time.monotonic()
        while time.monotonic() - start < seconds:
            series.append((round(time.monotonic() - start, 2), rss_mib(run.broker.pid)))
            time.sleep(0.25)
        emitted = run.counters["emitted"] - emitted
        budget = budget_mib(settings, run.directory / "pipeline.yaml")
        run.release(run.sink)
        stagewire.end(run)
        stuck = Stuck(seconds, emitted, series[len(series) // 10][1], series[-1][1], max(mib for _, mib in series),
                      budget, run.counters["emitted"] - run.counters["received"], series)
    say(f"stuck consumer: {stuck.first_mib:.1f} -> {stuck.last_mib:.1f} MiB in {seconds:g} s, budget {budget:,.0f} MiB")
    return stuck
