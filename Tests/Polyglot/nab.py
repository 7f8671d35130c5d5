#!/usr/bin/env python3
"""Runs the first pipeline on real sensor data and checks it from outside: every one of the readings is there once,
in order per sensor, with complete lineage, and the pipeline ends by itself with 0. A second run kills workers at
random moments and has to come to the same result.

The data are those of the Numenta Anomaly Benchmark in ../shared/data/nab; without them this is skipped.
"""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "nab"
EXAMPLE = ROOT / "docs" / "examples" / "first-pipeline"
DEMO = ROOT / "build" / "demo"
READINGS = 29_962
KILLS = 12
# The host gives a worker up that ends five times in two minutes.
KILLS_PER_WORKER = 3


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{ROOT / 'build' / 'venv' / 'bin'}:{os.environ['PATH']}"}


def start(pipeline: pathlib.Path) -> subprocess.Popen:
    shutil.rmtree(DEMO, ignore_errors=True)
    (DEMO / "input").mkdir(parents=True)
    for file in sorted(DATA.glob("*.csv")):
        shutil.copy(file, DEMO / "input")
    return subprocess.Popen(
        [ROOT / "build" / "bin" / "stagewire", "run", pipeline], env=environment(), stderr=subprocess.PIPE, text=True
    )


def workers(broker: int) -> dict[int, str]:
    """The processes that the broker started, with stage and instance."""
    children = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == broker and fields[0] != "Z":
            environ = (stat.parent / "environ").read_bytes().split(b"\0")
            named = [v for v in environ if v.startswith((b"STAGEWIRE_STAGE=", b"STAGEWIRE_INSTANCE="))]
            if len(named) == 2:
                children[int(stat.parent.name)] = b" ".join(sorted(named)).decode()
    return children


def verify(what: str, process: subprocess.Popen, log: str) -> None:
    if process.returncode != 0:
        print(log)
        sys.exit(f"not ok: {what}: the pipeline ended with {process.returncode}, expected 0")
    check = subprocess.run(
        [sys.executable, EXAMPLE / "verify.py", DEMO / "readings.jsonl", *sorted((DEMO / "input").glob("*.csv"))],
        capture_output=True, text=True,
    )
    lines = sum(1 for _ in (DEMO / "readings.jsonl").open())
    if check.returncode != 0 or lines != READINGS:
        print(log, check.stdout, check.stderr, sep="\n")
        sys.exit(f"not ok: {what}: {lines} readings, expected {READINGS}")
    print(f"{what}: {check.stdout.splitlines()[0]}")


def undisturbed() -> None:
    process = start(EXAMPLE / "pipeline.yaml")
    log = process.communicate(timeout=120)[1]
    verify("undisturbed", process, log)


def kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        pass


def disturbed(seed: int) -> None:
    """Paced, so that there is time to kill. The sink writes in one go per batch and de-duplicates by id."""
    chance = random.Random(seed)
    slow = (EXAMPLE / "pipeline.yaml").read_text().replace("build/bin/ingest, ", "build/bin/ingest, --pace, '6000', ")
    pipeline = EXAMPLE / ".disturbed.yaml"
    pipeline.write_text(slow)
    try:
        process = start(pipeline)
        kills: dict[str, int] = {}
        while process.poll() is None and sum(kills.values()) < KILLS:
            time.sleep(chance.uniform(0.05, 0.5))
            alive = workers(process.pid)
            targets = [pid for pid, name in sorted(alive.items()) if kills.get(name, 0) < KILLS_PER_WORKER]
            if len(alive) >= 3 and targets:
                victim = chance.choice(targets)
                kill(victim)
                kills[alive[victim]] = kills.get(alive[victim], 0) + 1
        killed = sum(kills.values())
        log = process.communicate(timeout=120)[1]
        if killed < 3:
            sys.exit(f"not ok: only {killed} workers could be killed before the end, so this showed nothing")
        verify(f"{killed} workers killed (seed {seed})", process, log)
    finally:
        pipeline.unlink()


def main() -> None:
    if not DATA.is_dir():
        print("skipped: ../shared/data/nab is not here")
        return
    undisturbed()
    disturbed(int(os.environ.get("SEED", "1")))


if __name__ == "__main__":
    main()
