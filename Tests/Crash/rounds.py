"""A round of the crash rig: a pipeline drawn from seed and number, in a directory of its own."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import yaml

import load

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
PYTHON = str(ROOT / "build" / "venv" / "bin" / "python3")
FEEDS = {"feed-1": ("a", "b"), "feed-2": ("c", "d")}  # processes of the feed and their partitions


@dataclass
class Worker:
    """A process that the rig starts, for a stage with `attach: external`."""

    name: str
    stage: str
    command: list[str]
    directory: str
    environment: dict[str, str]


class Round:
    """What is drawn for a round, and where its files are."""

    def __init__(self, directory: Path, seed: int, number: int, kills: int, durability: str, sdks: dict[str, dict]):
        self.directory, self.number, self.durability = directory, number, durability
        self.name = f"crash-{seed}-{number}"
        chance = random.Random(f"{seed} {number}")
        self.sdks = sdks
        self.languages = {}
        for shift, stage in enumerate(("transform", "ordered", "window", "source")):
            able = [each for each in sdks if stage in sdks[each]["stages"]]
            # Each language takes each place in turn.
            self.languages[stage] = able[(number + shift) % len(able)]
        self.external = [stage for stage in ("transform", "ordered", "window", "sink", "windows") if chance.random() < 0.4]
        self.workers = {
            "transform": chance.choice((1, 2, 2)), "ordered": chance.choice((1, 2)), "window": chance.choice((1, 1, 2)),
            "sink": 2, "windows": 1}
        self.limits = {
            "window_records": chance.choice((4096, 8192, 65536)), "journal_bytes": chance.choice(("16MiB", "64MiB", "4GiB"))}
        self.source_records = 400 * kills + 500
        # A socket's path may have 107 bytes: it cannot lie just anywhere.
        self.socket = f"/tmp/stagewire-{self.name}.sock"

    @property
    def file(self) -> Path:
        return self.directory / "pipeline.yaml"

    @property
    def stop(self) -> Path:
        return self.directory / "stop"

    def feed_log(self, process: str) -> Path:
        return self.directory / f"{process}.log"

    def sink_log(self, stage: str) -> Path:
        return self.directory / f"{stage}.tsv"

    def describe(self) -> str:
        parts = [f"{stage} {language}{' (external)' if stage in self.external else ''}" for stage, language in self.languages.items()]
        return f"{self.durability}, {', '.join(parts)}, {self.limits['journal_bytes']} of journal"

    # ---- The pipeline ----

    def pipeline(self) -> dict:
        def stage(name: str, **more) -> dict:
            if name in self.external:
                return {"attach": "external", **more}
            worker = self.command(name)
            return {
                "run": worker.command, "directory": worker.directory, "env": worker.environment,
                "workers": self.workers.get(name, 1), **more}

        # Neither crashes nor time make a dead letter here, only what the load says.
        reader = {
            "ordering": "key", "crash_limit": 1000, "lease": "10m",
            "retry": {"attempts": 2, "backoff": "10ms", "max_age": "none"}}
        source = {
            "partition": "p", "records": self.source_records, "per_emit": load.PER_EMIT, "keys": load.SOURCE_KEYS,
            "pause_ms": 20}
        window = {"records": load.WINDOW, "by_key": True}
        passed = {"stage": "transform", "port": "out"}
        seen = [{"stage": "transform", "port": "side"}, {"stage": "ordered", "port": "out"}, {"stage": "ordered", "port": "side"}]
        return {
            "pipeline": self.name, "durability": self.durability, "state": str(self.directory / "state"),
            "socket": self.socket,
            "limits": {**self.limits, "drain": "1m", "dead_letter_records": 1_000_000},
            "stages": {
                "feed": {"attach": "external", "source": True},
                "transform": stage("transform", **{"from": "feed", "ports": ["out", "side"]}, **reader),
                "ordered": stage("ordered", **{"from": passed, "ports": ["out", "side"]}, **reader),
                "source": stage("source", source=True, config=source),
                "window": stage("window", **{"from": [{"stage": "ordered", "port": "out"}, "source"]}, config=window, **reader),
                "sink": stage("sink", **{"from": seen}, **reader),
                "windows": stage("windows", **{"from": "window"}, **reader),
            },
        }

    def write(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(self.pipeline(), indent=2))  # which is YAML

    # ---- Workers ----

    def command(self, stage: str) -> Worker:
        if stage in ("sink", "windows"):
            return Worker(stage, stage, [PYTHON, str(HERE / "sink.py")], str(HERE), {"CRASH_LOG": str(self.sink_log(stage))})
        sdk = self.sdks[self.languages[stage]]
        return Worker(stage, stage, sdk["command"], sdk["directory"], {})

    def externals(self) -> list[Worker]:
        """The processes that the rig keeps running."""
        found = [
            Worker(name, "feed", [PYTHON, str(HERE / "feed.py")], str(HERE), {
                "CRASH_LOG": str(self.feed_log(name)), "CRASH_STOP": str(self.stop), "CRASH_PARTITIONS": " ".join(partitions)})
            for name, partitions in FEEDS.items()
        ]
        for stage in self.external:
            worker = self.command(stage)
            found += [
                Worker(f"{stage}-{i + 1}", stage, worker.command, worker.directory, worker.environment)
                for i in range(self.workers[stage])
            ]
        return found


def built_sdks(wanted: list[str]) -> dict[str, dict]:
    """The conformance workers that can be started: name -> command, directory, stages. `wanted`: of these SDKs only."""
    found = {}
    for manifest in sorted((ROOT / "sdk-stubs").glob("*/conformance/conformance.yaml")):
        name, directory = manifest.parts[-3], manifest.parent
        content = yaml.safe_load(manifest.read_text())
        command = content["command"]
        program = command[0] if "/" not in command[0] else str((directory / command[0]).resolve())
        if (wanted and name not in wanted) or ("/" in program and not Path(program).exists()):
            continue
        if program == "python3":
            program = PYTHON
        stages = {"transform"} | {each for each in ("ordered", "window", "source") if each in content["profiles"]}
        found[name] = {"command": [program, *command[1:]], "directory": str(directory), "stages": stages}
    return found
