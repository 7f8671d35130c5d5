#!/usr/bin/env python3
"""Measures Stagewire against the floor: a C relay that only moves bytes.

Topology of both: producer -> broker -> worker -> broker -> sink, on this machine, all three stages in C,
the payload forwarded unchanged. Stagewire stamps lineage at each hop, keeps order per key, settles each
delivery by itself and holds both sides to their credit; the relay has a window of acknowledged bytes.
Systems take turns within each round, after a warm-up; figures are medians over the rounds.

    swift build -c release
    python3 Sources/StagewireBench/bench.py            # QUICK=1 for a short look

Writes build/bench.json and build/bench.md; `--update docs/BENCHMARKS.md` replaces the table there.
"""

import argparse
import dataclasses
import datetime
import json
import mmap
import os
import pathlib
import platform
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
LATENCIES = 1 << 16
NAMES = ("emitted", "forwarded", "received", "wrong", "disordered", "repeated", "stop", "samples", "bytes")
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"

PIPELINE = """\
pipeline: bench
durability: {durability}
state: {state}
socket: {socket}
stages:
  producer:
    attach: external
    source: true
  worker:
    attach: external
    from: producer
    ordering: key
  sink:
    attach: external
    from: worker
    ordering: key
"""


class Counters:
    """The file in which the C programs count (bench.h)."""

    SIZE = 64 * len(NAMES) + 8 * LATENCIES

    def __init__(self, path):
        self.path = str(path)
        with open(path, "wb") as file:
            file.truncate(self.SIZE)
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), self.SIZE)

    def __getitem__(self, name):
        return struct.unpack_from("<Q", self.memory, 64 * NAMES.index(name))[0]

    def __setitem__(self, name, value):
        struct.pack_into("<Q", self.memory, 64 * NAMES.index(name), value)

    def latencies(self, first, last):
        """The samples [first, last) in microseconds, as far as the ring still holds them."""
        first = max(first, last - LATENCIES)
        start = 64 * len(NAMES)
        samples = (struct.unpack_from("<Q", self.memory, start + 8 * (i % LATENCIES))[0] for i in range(first, last))
        return sorted(sample / 1000 for sample in samples)


@dataclasses.dataclass
class Case:
    size: int  # payload bytes
    rate: int = 0  # records per second; 0: as fast as possible

    @property
    def name(self):
        return f"latency at {self.rate} rec/s, {self.size} B" if self.rate else f"{size_text(self.size)}"


@dataclasses.dataclass
class Figures:
    rate: float  # records per second at the sink
    cpu_us: float  # microseconds of the broker's CPU per record, both hops
    p50_us: float
    p99_us: float
    rss_mib: float  # the broker's peak
    stamped: float  # bytes of a record as delivered


def size_text(size):
    return f"{size // 1024} KiB" if size % 1024 == 0 else f"{size} B"


def cpu_seconds(pid):
    """User and system time of a process with all its threads, to the nanosecond.

    This is the clock that clock_getcpuclockid(3) names on Linux; /proc counts in ticks of 10 ms.
    """
    return time.clock_gettime(~pid << 3 | 2)


def peak_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


class Run:
    """One measurement: a broker, three stages, and a directory that is gone afterwards."""

    def __init__(self, options, case):
        self.options, self.case = options, case
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="swbench-", dir=options.scratch))
        self.socket = self.directory / "s"
        self.counters = Counters(self.directory / "counters")
        self.processes = []
        self.leftovers = [self.directory]

    def start(self, *command, **environment):
        log = open(self.directory / f"log-{len(self.processes)}", "wb")
        process = subprocess.Popen(
            [str(word) for word in command], stdout=log, stderr=log, env={**os.environ, **environment})
        self.processes.append(process)
        return process

    def start_stages(self, program, *more):
        case = self.case
        for role in ("sink", "worker", "producer"):
            words = [role, "--socket", self.socket, "--counters", self.counters.path, "--size", case.size, *more]
            if role == "producer" and case.rate:
                words += ["--rate", case.rate]
            self.start(program, *words, STAGEWIRE_STAGE=role, STAGEWIRE_INSTANCE=f"{role}-1")

    def wait(self, what, condition, seconds=20):
        """Until `condition` holds; a process that ends meanwhile, or the time, is a failure."""
        deadline = time.monotonic() + seconds
        while not condition():
            if any(process.poll() not in (None, 0) for process in self.processes):
                self.fail(f"a process ended while waiting for {what}")
            if time.monotonic() > deadline:
                self.fail(f"{what}: not within {seconds} s")
            time.sleep(0.005)

    def fail(self, what):
        for index, process in enumerate(self.processes):
            text = (self.directory / f"log-{index}").read_text(errors="replace")[-2000:]
            print(f"--- {' '.join(map(str, process.args[:3]))} (exit {process.poll()})\n{text}", file=sys.stderr)
        self.close()
        sys.exit(f"bench: {self.case.name}: {what}")

    def measure(self, broker):
        """Warm-up, then the difference between two looks at the counters and the broker's clock."""
        counters = self.counters
        self.wait("the first record", lambda: counters["received"] > 0)
        time.sleep(self.options.warm_up)
        before = (time.monotonic(), counters["received"], cpu_seconds(broker.pid), counters["samples"])
        time.sleep(self.options.seconds)
        after = (time.monotonic(), counters["received"], cpu_seconds(broker.pid), counters["samples"])
        elapsed, records, cpu = (b - a for a, b in zip(before[:3], after[:3]))
        if records <= 0:
            self.fail("no record arrived while measuring")
        latencies = counters.latencies(before[3], after[3])
        middle, late = (latencies[int(len(latencies) * q)] if latencies else 0.0 for q in (0.5, 0.99))
        stamped = counters["bytes"] / max(1, counters["received"])
        return Figures(records / elapsed, cpu * 1e6 / records, middle, late, peak_mib(broker.pid), stamped)

    def check(self):
        for name in ("wrong", "disordered", "repeated"):
            if self.counters[name]:
                self.fail(f"{self.counters[name]} records were {name}")

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        for directory in self.leftovers:
            shutil.rmtree(directory, ignore_errors=True)


def run_relay(options, case):
    run = Run(options, case)
    broker = run.start(options.bin / "StagewireRelay", "relay", "--socket", run.socket)
    run.start_stages(options.bin / "StagewireRelay")
    figures = run.measure(broker)
    run.check()
    run.close()
    return figures


def run_stagewire(options, case, durability="memory"):
    """Ends as a job does: the source finishes, everything is settled, everybody exits 0, all is accounted for."""
    run = Run(options, case)
    pipeline = run.directory / "pipeline.yaml"
    # A journal in memory would be no journal.
    state = pathlib.Path(tempfile.mkdtemp(prefix="bench-state-", dir=options.disk))
    run.leftovers.append(state)
    pipeline.write_text(PIPELINE.format(socket=run.socket, durability=durability, state=state))
    broker = run.start(options.bin / "stagewire", "run", pipeline)
    run.wait("the socket", run.socket.exists)
    more = ["--keys", options.keys] + (["--header"] if options.header else [])
    run.start_stages(options.bin / "StagewireBenchWorker", *more)
    figures = run.measure(broker)
    counters = run.counters
    counters["stop"] = 1
    run.wait("a clean end", lambda: all(process.poll() == 0 for process in run.processes))
    run.check()
    if counters["received"] != counters["emitted"]:
        run.fail(f"{counters['emitted']} records were emitted, {counters['received']} arrived")
    run.close()
    return figures


def measure_all(options):
    """{case: {system: [Figures of each round]}}"""
    results = {}
    for round_number in range(options.rounds):
        for case in options.cases:
            row = results.setdefault(case.name, {})
            figures = {}
            if "stagewire" in options.systems:
                figures["stagewire"] = run_stagewire(options, case)
            if "relay" in options.systems:
                figures["relay"] = run_relay(options, case)
            for durability in ("relaxed", "disk"):
                if f"stagewire-{durability}" in options.systems:
                    figures[f"stagewire, {durability}"] = run_stagewire(options, case, durability)
            if "stagewire" in figures and "relay" in figures and not case.rate:
                # What the relay does with as many bytes as the broker has to move.
                stamped = Case(round(figures["stagewire"].stamped))
                figures["relay, stamped size"] = run_relay(options, stamped)
            for system, one in figures.items():
                row.setdefault(system, []).append(one)
                print(f"round {round_number + 1}: {case.name:32} {system:20} {one.rate:12,.0f} rec/s "
                      f"{one.cpu_us:8.3f} us/record  p50 {one.p50_us:6.0f}  p99 {one.p99_us:6.0f} us  "
                      f"{one.rss_mib:5.1f} MiB", flush=True)
    return results


def median(figures):
    return Figures(*(statistics.median(getattr(one, field.name) for one in figures)
                     for field in dataclasses.fields(Figures)))


def table(results):
    """Markdown: throughput with CPU, then latency; ratios are to the relay at the same payload."""
    lines = ["| payload | system | records/s | of the relay | broker CPU, us per record and hop | to the relay | peak RSS |",
             "|---|---|---:|---:|---:|---:|---:|"]
    latency = ["", "| at a fixed rate | system | p50, us | p99, us | p50 to the relay | p99 to the relay |",
               "|---|---|---:|---:|---:|---:|"]
    for case, systems in results.items():
        floor = median(systems["relay"]) if "relay" in systems else None
        for system, rounds in systems.items():
            one = median(rounds)
            if case.startswith("latency"):
                ratios = (f"{one.p50_us / floor.p50_us:.2f}x | {one.p99_us / floor.p99_us:.2f}x" if floor else "- | -")
                latency.append(f"| {case[len('latency at '):]} | {system} | {one.p50_us:.0f} | {one.p99_us:.0f} | {ratios} |")
            else:
                of, to = ((f"{one.rate / floor.rate:.2f}", f"{one.cpu_us / floor.cpu_us:.1f}x" if floor.cpu_us else "-")
                          if floor else ("-", "-"))
                name = f"{system} ({one.stamped:.0f} B a record)" if one.stamped else system
                lines.append(f"| {case} | {name} | {one.rate:,.0f} | {of} | {one.cpu_us / 2:.3f} | {to} "
                             f"| {one.rss_mib:.1f} MiB |")
    return "\n".join(lines + (latency if len(latency) > 3 else []))


def report(options, results):
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.release().split('-')[0]}"
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    head = (f"{date}, {machine}; medians of {options.rounds} rounds of {options.seconds:g} s after "
            f"{options.warm_up:g} s; 2 hops, stages in C, {options.keys} keys, "
            f"{'schema and key in each header' if options.header else 'no header'}.")
    text = f"{head}\n\n{table(results)}\n"
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    (build / "bench.md").write_text(text)
    (build / "bench.json").write_text(json.dumps({
        "date": date, "machine": machine, "rounds": options.rounds, "seconds": options.seconds,
        "warm_up": options.warm_up, "keys": options.keys, "header": options.header, "hops": 2,
        "results": {case: {system: [dataclasses.asdict(one) for one in rounds] for system, rounds in systems.items()}
                    for case, systems in results.items()},
    }, indent=2) + "\n")
    print(f"\n{text}\nwritten to build/bench.json and build/bench.md")
    if options.update:
        update(pathlib.Path(options.update), text)


def update(path, text):
    """Replaces what stands between the two marks, or appends a marked block."""
    block = f"{BEGIN}\n{text}{END}"
    old = path.read_text() if path.exists() else "# Benchmarks\n"
    start, end = old.find(BEGIN), old.find(END)
    if 0 <= start < end:
        path.write_text(old[:start] + block + old[end + len(END):])
    else:
        path.write_text(f"{old.rstrip()}\n\n{block}\n")


def read_options():
    quick = os.environ.get("QUICK") == "1"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / ".build" / "release", help="where the programs are")
    parser.add_argument("--rounds", type=int, default=1 if quick else 3)
    parser.add_argument("--seconds", type=float, default=1 if quick else 3)
    parser.add_argument("--warm-up", type=float, default=0.5 if quick else 1.5)
    parser.add_argument("--sizes", default="100,1024,65536", help="payload bytes, separated by commas")
    parser.add_argument("--rate", type=int, default=1000, help="records per second for latency; 0: leave it out")
    parser.add_argument("--keys", type=int, default=64)
    parser.add_argument("--no-header", dest="header", action="store_false", help="records without schema and key")
    parser.add_argument("--systems", default="stagewire,stagewire-relaxed,stagewire-disk,relay")
    parser.add_argument("--update", metavar="FILE", help="replace the table in this Markdown file")
    options = parser.parse_args()
    options.systems = options.systems.split(",")
    options.cases = [Case(int(size)) for size in options.sizes.split(",") if size]
    if options.rate:
        options.cases.append(Case(100, options.rate))
    # Counters in memory, and a socket path that is short enough.
    options.scratch = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    options.disk = ROOT / "build"
    options.disk.mkdir(exist_ok=True)
    broker = ("stagewire", "StagewireBenchWorker")
    needed = {"stagewire": broker, "stagewire-disk": broker, "stagewire-relaxed": broker, "relay": ("StagewireRelay",)}
    for name in [name for system in options.systems for name in needed[system]]:
        if not os.access(options.bin / name, os.X_OK):
            sys.exit(f"bench: {name} is not in {options.bin}; run `swift build -c release` first")
    return options


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = read_options()
    report(options, measure_all(options))


if __name__ == "__main__":
    main()
