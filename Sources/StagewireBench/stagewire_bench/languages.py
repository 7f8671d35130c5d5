"""The same pipeline with a worker of each SDK in its middle: what a language and its SDK cost."""

import dataclasses
import os
import pathlib
import re
import shutil
import sys
import time

from . import stagewire
from .process import cpu_seconds, peak_mib, version_in
from .run import ROOT, Case, Run
from .stagewire import Shape
from .statistics import Rounds, paired

SIZE = 100
WARM_UP = 2.0  # seconds, for languages that compile while they run


@dataclasses.dataclass(frozen=True)
class Language:
    name: str  # on the command line and in bench.json
    title: str  # in tables
    command: tuple = ()  # of the worker, `forward` in the SDK's directory `bench`; nothing: the worker of all other tables
    version: tuple = ()  # a command that tells the language's

    def words(self, settings, words):
        venv = ROOT / "build" / "venv" / "bin" / "python3"
        places = {"programs": settings.peers, "sdks": ROOT / "sdk-stubs", "python": venv if venv.exists() else sys.executable}
        return [word.format(**places) for word in words]

    def missing(self, settings):
        """What is not there, in words; empty when it can be measured."""
        program, *more = self.words(settings, self.command) or ["sh"]
        absent = [] if shutil.which(program) else [program]
        paths = [path for word in more for path in word.split(os.pathsep) if "/" in path]
        return ", ".join(absent + [path for path in paths if not pathlib.Path(path).exists()])

    def start(self, run, shape):
        """The worker alone, as `stagewire.start` wants it."""
        if not self.command:
            return stagewire.own_workers(run, shape)
        (name,) = shape.worker_names
        return [run.start(*self.words(run.settings, self.command), STAGEWIRE_SOCKET=str(run.socket), STAGEWIRE_STAGE=name,
                          STAGEWIRE_INSTANCE=f"{name}-1")]

    def version_text(self, settings):
        if self.name == "rust":
            return rustc_of(self.words(settings, self.command)[0])
        return version_in(self.words(settings, self.version))


def rustc_of(program):
    """The compiler of a program, which need not be the one that would be found now."""
    found = re.search(rb"rustc version (\d+\.\d+\.\d+)", pathlib.Path(program).read_bytes())
    return found.group(1).decode() if found else ""


LANGUAGES = [
    Language("slices", "C, the worker of the other tables"),
    Language("c", "C", ("{programs}/forward-c",)),
    Language("rust", "Rust", ("{programs}/forward-rust",)),
    Language("java", "Java", ("java", "-XX:+UseSerialGC", "-Xmx256m", "-cp", "{programs}/forward-java:{programs}/forward-java/stagewire.jar", "Forward"),
             ("java", "--version")),
    Language("swift", "Swift", ("{programs}/forward-swift",), ("swift", "--version")),
    Language("go", "Go", ("{programs}/forward-go",), ("go", "version", "{programs}/forward-go")),
    Language("node", "Node", ("node", "{sdks}/node/bench/forward.js"), ("node", "--version")),
    Language("python", "Python", ("{python}", "{sdks}/python/bench/forward.py"), ("{python}", "--version")),
]
BY_NAME = {language.name: language for language in LANGUAGES}


@dataclasses.dataclass
class LanguageSample:
    rate: float  # records per second at the sink
    worker_us: float  # the worker's CPU for each record, with all of its threads
    broker_us: float  # the broker's, for each record and hop
    rss_mib: float  # the worker's peak

    @property
    def per_core(self):
        """Records for each second of CPU: what a core that the worker has for itself takes."""
        return 1e6 / self.worker_us


@dataclasses.dataclass
class LanguageCell(Rounds):
    name: str
    version: str = ""
    samples: list = dataclasses.field(default_factory=list)
    failures: list = dataclasses.field(default_factory=list)

    def to(self, base, name):
        return paired(self.values(name), base.values(name))

    def plain(self):
        return {"name": self.name, "version": self.version, "failures": self.failures,
                "samples": [dataclasses.asdict(sample) if sample else None for sample in self.samples]}


def measure_once(settings, language):
    with Run(settings, Case(SIZE, keys=settings.keys)) as run:
        stagewire.start(run, Shape(), language.start)
        (worker,) = run.workers
        run.wait("the first record", lambda: run.counters["received"] > 0)
        time.sleep(max(WARM_UP, settings.warm_up))

        def look():
            return time.monotonic(), run.counters["received"], cpu_seconds(worker.pid), cpu_seconds(run.broker.pid)

        before = look()
        time.sleep(settings.seconds)
        elapsed, records, cpu, broker = (b - a for a, b in zip(before, look()))
        if records <= 0:
            run.fail("no record arrived while measuring")
        sample = LanguageSample(records / elapsed, cpu * 1e6 / records, broker * 1e6 / records / Run.HOPS, peak_mib(worker.pid))
        stagewire.end(run, 60)
        return sample


def measure(settings, languages, say):
    """A cell for each language, in turns."""
    cells = [LanguageCell(language.name, language.version_text(settings)) for language in languages]
    for number in range(settings.rounds):
        for language, cell in zip(languages, cells):
            cell.take(f"language {number + 1}: {language.title:36}", lambda: measure_once(settings, language), say,
                      lambda sample: f"{sample.rate:12,.0f} rec/s  {sample.worker_us:8.3f} us CPU a record  {sample.rss_mib:6.1f} MiB")
    return cells
