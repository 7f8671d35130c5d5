#!/usr/bin/env python3
"""Kills the workers of each SDK's conformance stage under load, at random, and looks for records lost, doubled or out of
order.

    SEED=3 SDKS="go node" kills.py STAGEWIRE

One pipeline with two flows: a file of lines through `transform` (two workers, ordered by key) into a file, and `source`
through `window` into another. `make test-kills` builds what is needed. Everything of a run stays in build/kills/SDK.
"""

import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Tests" / "Support")]

import yaml  # noqa: E402
from verify import KEYS, WINDOW, Wrong, verify_transformed, verify_windows  # noqa: E402
from workers import kill, workers  # noqa: E402

OUTPUT = ROOT / "build" / "kills"
RECORDS = int(os.environ.get("RECORDS", "200000"))  # of each flow
# The host gives up a worker that ends five times in two minutes, and waits 0.5, 1, 2 s before it starts it again.
KILLS = {"transform": 4, "source": 3, "window": 3}
KILLS_PER_INSTANCE = 3
LEAST_KILLS = 3
STALL = 60  # seconds without progress, after which a run hangs


def pipeline(stagewire: str, manifest: pathlib.Path, here: pathlib.Path) -> dict:
    """The pipeline.yaml of a run in directory `here`."""
    worker = {"run": yaml.safe_load(manifest.read_text())["command"], "directory": str(manifest.parent)}
    # By themselves neither crashes nor attempts make a dead letter: each crash charges all that a window holds (RT-8).
    reader = {**worker, "crash_limit": 1000}

    def built_in(name: str, path: pathlib.Path, **more) -> dict:
        return {"run": [stagewire, "stage", name], "config": {"path": str(path), "format": "json-lines"}, **more}

    # Short streams: a source is not at its end long before its readers are.
    return {"pipeline": f"kills-{os.getpid()}", "limits": {"window_records": 8192}, "stages": {
        "lines": built_in("file-source", OUTPUT / "lines.jsonl", source=True),
        "transform": {**reader, "workers": 2, "from": "lines", "ordering": "key"},
        "transformed": built_in("file-sink", here / "transformed.jsonl", **{"from": "transform"}),
        "source": {**worker, "source": True, "config": {"records": RECORDS, "per_emit": 50, "keys": KEYS}},
        "window": {**reader, "from": "source", "config": {"records": WINDOW, "by_key": True}},
        "windows": built_in("file-sink", here / "windows.jsonl", **{"from": "window"}),
    }}


def write_lines() -> None:
    OUTPUT.mkdir(parents=True, exist_ok=True)
    with open(OUTPUT / "lines.jsonl", "w") as file:
        for n in range(1, RECORDS + 1):
            file.write(f'{{"key": "k{n % KEYS}", "text": "echo", "attributes": {{"n": {n}}}}}\n')


class Progress:
    """How much of what is expected a file has, in lines."""

    def __init__(self, path: pathlib.Path, expected: int):
        self.path, self.expected, self.lines, self.offset = path, expected, 0, 0

    def share(self) -> float:
        if self.path.exists():
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                while block := file.read(1 << 20):
                    self.lines += block.count(b"\n")
                    self.offset += len(block)
        return self.lines / self.expected


def draw(chance: random.Random, count: int) -> list[float]:
    """Shares of a flow, in descending order. The first is early, so that it is reached whatever happens; some follow
    closely, so that a worker dies with what another one has left."""
    points = [chance.uniform(0.01, 0.3)]
    while len(points) < count:
        points.append(points[-1] + chance.uniform(0, 0.01) if chance.random() < 0.4 else chance.uniform(0.01, 0.98))
    return sorted(points, reverse=True)


class Killer:
    """Kills at points of the flows' progress, which are drawn at random; so a slow machine is no other test."""

    def __init__(self, chance: random.Random, here: pathlib.Path):
        self.chance = chance
        transformed = Progress(here / "transformed.jsonl", RECORDS)
        windows = Progress(here / "windows.jsonl", RECORDS // WINDOW)
        self.flows = [(transformed, ["transform"]), (windows, ["source", "window"])]
        self.points = {stage: draw(chance, count) for stage, count in KILLS.items()}
        self.kills: dict[tuple[str, str], int] = {}
        self.seen: set[int] = set()  # processes killed, some of which may not be gone yet

    @property
    def count(self) -> int:
        return sum(self.kills.values())

    def look(self, broker: int) -> tuple[float, ...]:
        """Kills what is due, and says how far the flows are."""
        shares = []
        for progress, stages in self.flows:
            shares.append(progress.share())
            for stage in stages:
                if self.points[stage] and self.points[stage][-1] <= shares[-1] and self.kill_one(broker, stage):
                    self.points[stage].pop()
        return tuple(shares)

    def kill_one(self, broker: int, stage: str) -> bool:
        """False when none is running: it is being started again, and dies later."""
        targets = sorted(
            (pid, who) for pid, who in workers(broker).items()
            if who[0] == stage and pid not in self.seen and self.kills.get(who, 0) < KILLS_PER_INSTANCE
        )
        if not targets:
            return False
        victim, who = self.chance.choice(targets)
        kill(victim)
        self.seen.add(victim)
        self.kills[who] = self.kills.get(who, 0) + 1
        return True


def run(stagewire: str, here: pathlib.Path, killer: Killer) -> dict:
    """The summary of the pipeline's run in directory `here`."""
    environment = {**os.environ, "PATH": f"{ROOT / 'build' / 'venv' / 'bin'}:{os.environ['PATH']}"}
    with open(here / "log", "w") as log, open(here / "summary.json", "w") as summary:
        process = subprocess.Popen(
            [stagewire, "run", "--json", here / "pipeline.yaml"], env=environment, stdin=subprocess.DEVNULL, stdout=summary, stderr=log)
        try:
            watch(process, killer)
        except Wrong:
            status = subprocess.run([stagewire, "status", here / "pipeline.yaml"], capture_output=True, text=True, timeout=STALL)
            log.write(f"\n{status.stdout}{status.stderr}")
            raise
        finally:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise Wrong(f"the pipeline ended with {process.returncode}, expected 0")
    return json.loads((here / "summary.json").read_text())["result"]


def watch(process: subprocess.Popen, killer: Killer) -> None:
    """Until the end of the run, which has to come nearer."""
    reached, since = None, time.monotonic()
    while process.poll() is None:
        shares = killer.look(process.pid)
        if shares != reached:
            reached, since = shares, time.monotonic()
        elif time.monotonic() - since > STALL:
            transform, window = (f"{share:.0%}" for share in shares)
            raise Wrong(f"no progress for {STALL} s: {transform} of the lines and {window} of the windows have arrived")
        time.sleep(0.002)


def verify(here: pathlib.Path, summary: dict, killer: Killer) -> None:
    stages = {stage["name"]: stage for stage in summary["stages"]}
    if given_up := {name: stage["dead"] for name, stage in stages.items() if stage["dead"]}:
        raise Wrong(f"dead letters, though no record asks for it: {given_up}")
    if (summary["end"], summary["unsettled"]) != ("completed", 0):
        raise Wrong(f"{summary['end']} with {summary['unsettled']} records unsettled")
    verify_transformed(here / "transformed.jsonl", RECORDS)
    verify_windows(here / "windows.jsonl", RECORDS)
    for stage in ("transform", "window"):
        if stages[stage]["in"] != RECORDS:
            raise Wrong(f"{stage} has taken in {stages[stage]['in']:,} records by the broker's account, expected {RECORDS:,}")
    if killer.count < LEAST_KILLS:
        raise Wrong(f"only {killer.count} workers could be killed before the end, so this showed nothing: raise RECORDS")


def trial(stagewire: str, sdk: str, seed: int) -> bool:
    manifest = ROOT / "sdk-stubs" / sdk / "conformance" / "conformance.yaml"
    here = OUTPUT / sdk
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir()
    (here / "pipeline.yaml").write_text(json.dumps(pipeline(stagewire, manifest, here), indent=2))  # which is YAML
    killer = Killer(random.Random(f"{seed} {sdk}"), here)
    begin = time.monotonic()
    try:
        summary = run(stagewire, here, killer)
        seconds = time.monotonic() - begin
        verify(here, summary, killer)
    except Wrong as wrong:
        died = ", ".join(f"{stage} {instance}: {count}" for (stage, instance), count in sorted(killer.kills.items()))
        print((here / "log").read_text()[-5_000:])
        print(f"not ok: {sdk}, SEED={seed}: {wrong} (killed: {died or 'none'}; see {here.relative_to(ROOT)})", flush=True)
        return False
    print(f"{sdk}: {RECORDS:,} + {RECORDS:,} records, {killer.count} workers killed, each once and in order ({seconds:.1f} s)", flush=True)
    return True


def main() -> None:
    stagewire = str(pathlib.Path(sys.argv[1]).resolve())
    seed = int(os.environ.get("SEED", "1"))
    manifests = (ROOT / "sdk-stubs").glob("*/conformance/conformance.yaml")
    sdks = os.environ.get("SDKS", "").split() or sorted(manifest.parts[-3] for manifest in manifests)
    write_lines()
    failed = [sdk for sdk in sdks if not trial(stagewire, sdk, seed)]
    if failed:
        sys.exit(f"not ok: {', '.join(failed)} with SEED={seed}")


if __name__ == "__main__":
    main()
