"""One measurement: a broker, its stages, and a directory that is gone afterwards."""

import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from .counters import Counters
from .process import cpu_seconds, disk_bytes, peak_mib

ROOT = pathlib.Path(__file__).resolve().parents[3]


class Failed(Exception):
    """A cell that could not be measured; the text says why, with what the processes said."""


@dataclasses.dataclass(frozen=True)
class Case:
    size: int  # payload bytes
    rate: int = 0  # records per second; 0: as fast as possible
    keys: int = 64
    header: bool = True  # schema and key on every record (Stagewire)
    bounded: bool = True  # a system without a bound of its own gets the window that an application would add

    @property
    def name(self):
        return f"latency at {self.rate} rec/s, {self.size} B" if self.rate else size_text(self.size)

    @property
    def window(self):
        """Records on their way at most, where the application has to see to it: 16 MiB, but no more than 32,768."""
        return min(32768, max(64, (16 << 20) // self.size)) if self.bounded and not self.rate else 0


def size_text(size):
    for unit, bytes_ in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size % bytes_ == 0:
            return f"{size // bytes_} {unit}"
    return f"{size} B"


@dataclasses.dataclass
class Sample:
    """What one run measured."""
    rate: float  # records per second at the sink
    cpu_us: float  # microseconds of the broker's CPU per record and hop
    rss_mib: float  # the broker's peak
    stamped: float  # bytes of a record as delivered, where the program says so
    latencies: list = dataclasses.field(default_factory=list, repr=False)  # microseconds
    written: float = 0.0  # bytes that the broker gave to the disk for each record


class Run:
    HOPS = 2

    def __init__(self, settings, case, batch=100):
        self.settings, self.case, self.batch = settings, case, batch
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="swbench-", dir=settings.scratch))
        self.socket = self.directory / "s"
        self.counters = Counters(self.directory / "counters")
        self.processes = []
        self.broker = None
        self.workers = []
        self.sink = None
        self.leftovers = [self.directory]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def disk(self):
        """A directory on a real disk: a journal in memory would be no journal."""
        directory = pathlib.Path(tempfile.mkdtemp(prefix="bench-state-", dir=self.settings.disk))
        self.leftovers.append(directory)
        return directory

    # ---- Processes ----

    def start(self, *command, **environment):
        log = open(self.directory / f"log-{len(self.processes)}", "wb")
        with log:
            process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **environment})
        self.processes.append(process)
        return process

    def call(self, *command):
        """Runs a command to its end."""
        process = self.start(*command)
        self.wait(f"`{command[0]}`", lambda: process.poll() is not None)
        if process.returncode:
            self.fail("a preparation failed")

    def start_stage(self, program, role, *more, address=None, stage=None, instance=1, counters=None):
        case, stage = self.case, stage or role
        words = [role, "--socket", address or self.socket, "--counters", (counters or self.counters).path,
                 "--size", case.size, "--rate", case.rate, "--keys", case.keys, *more]
        return self.start(program, *words, STAGEWIRE_STAGE=stage, STAGEWIRE_INSTANCE=f"{stage}-{instance}")

    def start_stages(self, program, *more, address=None, ready=""):
        """Sink, worker, producer; with `ready`, the producer waits until both of the others have said that."""
        self.sink = self.start_stage(program, "sink", *more, address=address)
        worker = self.start_stage(program, "worker", *more, address=address)
        if ready:
            self.wait("the consumers", lambda: all(ready in self.said(each) for each in (self.sink, worker)))
        self.start_stage(program, "producer", *more, address=address)

    def wait(self, what, condition, seconds=20):
        """Until `condition` holds; a process that ends meanwhile, or the time, is a failure."""
        deadline = time.monotonic() + seconds
        while not condition():
            if any(process.poll() not in (None, 0) for process in self.processes):
                self.fail(f"a process ended while waiting for {what}")
            if time.monotonic() > deadline:
                self.fail(f"{what}: not within {seconds} s")
            time.sleep(0.002)

    def said(self, process):
        index = self.processes.index(process)
        return (self.directory / f"log-{index}").read_text(errors="replace")

    def fail(self, what):
        said = []
        for process in self.processes:
            text = self.said(process).strip()[-1000:]
            if text or process.poll():
                said.append(f"--- {' '.join(map(str, process.args[:2]))} (exit {process.poll()})\n{text}")
        raise Failed("\n".join([f"{self.case.name}: {what}", *said[-6:]]))

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
        for process in self.processes:
            process.wait()
        for directory in self.leftovers:
            shutil.rmtree(directory, ignore_errors=True)

    # ---- Measuring ----

    def look(self):
        counters = self.counters
        return (time.monotonic(), counters["received"], cpu_seconds(self.broker.pid), disk_bytes(self.broker.pid),
                counters["samples"])

    def measure(self, hops=HOPS):
        """Warm-up, then the difference between two looks at the counters and the broker's clock."""
        counters = self.counters
        self.wait("the first record", lambda: counters["received"] > 0)
        time.sleep(self.settings.warm_up)
        before = self.look()
        time.sleep(self.settings.latency_seconds if self.case.rate else self.settings.seconds)
        after = self.look()
        elapsed, records, cpu, written = (b - a for a, b in zip(before[:4], after[:4]))
        if records <= 0:
            self.fail("no record arrived while measuring")
        return Sample(rate=records / elapsed, cpu_us=cpu * 1e6 / records / hops, rss_mib=peak_mib(self.broker.pid),
                      stamped=counters["bytes"] / max(1, counters["received"]),
                      latencies=counters.latencies(before[4], after[4]), written=written / records)

    def settle(self, patience=20.0):
        """Stops the producer and waits for what is under way; gives back how many records never came."""
        counters = self.counters
        counters["stop"] = 1
        quiet, last = time.monotonic(), None
        while time.monotonic() - quiet < patience:
            now = (counters["emitted"], counters["received"])
            if now != last:
                quiet, last = time.monotonic(), now
            elif now[0] == now[1] and time.monotonic() - quiet > 0.05:
                break
            time.sleep(0.01)
        return counters["emitted"] - counters["received"]

    def check(self):
        """Sizes, keys and order of everything that arrived."""
        for name in ("wrong", "disordered", "repeated"):
            if self.counters[name]:
                self.fail(f"{self.counters[name]} records were {name}")

    def hold(self, process):
        """The process does nothing from now on: a consumer that hangs."""
        process.send_signal(signal.SIGSTOP)

    def release(self, process):
        process.send_signal(signal.SIGCONT)
