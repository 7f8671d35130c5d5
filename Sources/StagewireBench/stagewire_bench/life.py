"""A broker at rest, and how long it takes from nothing to the first record."""

import dataclasses
import json
import time

from . import stagewire
from .process import cpu_seconds, rss_mib
from .run import Case, Run
from .stagewire import Shape
from .statistics import Spread


@dataclasses.dataclass
class Idle:
    seconds: float
    rss_mib: float
    cpu_percent: float  # of one core


def idle(settings, say):
    """A worker and a sink are attached, the source is not: nothing happens."""
    with Run(settings, Case(100)) as run:
        pipeline = run.directory / "pipeline.yaml"
        pipeline.write_text(stagewire.pipeline_text(Shape(), run.socket, run.disk(), 100))
        run.broker = run.start(settings.bin / "stagewire", "run", pipeline, "--quiet")
        run.wait("the socket", run.socket.exists)
        for role in ("worker", "sink"):
            run.start_stage(settings.bin / "StagewireBenchWorker", role)
        time.sleep(1)
        before, start = cpu_seconds(run.broker.pid), time.monotonic()
        time.sleep(settings.idle_seconds)
        elapsed = time.monotonic() - start
        found = Idle(elapsed, rss_mib(run.broker.pid), 100 * (cpu_seconds(run.broker.pid) - before) / elapsed)
    say(f"idle: {found.rss_mib:.1f} MiB, {found.cpu_percent:.2f}% of a core")
    return found


@dataclasses.dataclass
class Startup:
    durability: str
    first_record_ms: Spread  # from the start of `stagewire run` until the sink has the first record
    whole_ms: Spread  # until the command has ended, 1,000 records later


def startup_text(run, durability):
    program = run.settings.bin / "StagewireBenchWorker"
    lines = ["pipeline: startup", f"durability: {durability}", f"state: {run.disk()}", f"socket: {run.socket}", "stages:"]
    names = ["producer", "worker-1", "worker-2", "worker-3", "sink"]
    for name, source in zip(names, [None, *names]):
        role = name.split("-")[0]
        command = [str(program), role, "--counters", run.counters.path, *(["--records", "1000"] if not source else [])]
        lines += [f"  {name}:", f"    run: {json.dumps(command)}", "    source: true" if not source else f"    from: {source}"]
    return "\n".join(lines) + "\n"


def start_once(settings, durability):
    """Milliseconds until the first record, and until the end."""
    with Run(settings, Case(100)) as run:
        pipeline = run.directory / "pipeline.yaml"
        pipeline.write_text(startup_text(run, durability))
        start = time.monotonic()
        run.broker = run.start(settings.bin / "stagewire", "run", pipeline, "--quiet")
        while not run.counters["received"] and run.broker.poll() is None and time.monotonic() - start < 20:
            time.sleep(0.0002)
        first = time.monotonic() - start
        run.wait("the end", lambda: run.broker.poll() == 0)
        whole = time.monotonic() - start
        run.check()
        if run.counters["received"] != 1000:
            run.fail(f"{run.counters['received']} records arrived of 1000")
        return 1000 * first, 1000 * whole


def startup(settings, say):
    found = []
    for durability in ("memory", "disk"):
        times = [start_once(settings, durability) for _ in range(settings.starts)]
        one = Startup(durability, *(Spread.of(values) for values in zip(*times)))
        say(f"start, {durability}: first record after {one.first_record_ms.median:.0f} ms, "
            f"end after {one.whole_ms.median:.0f} ms")
        found.append(one)
    return found
