#!/usr/bin/env python3
"""Runs the polyglot pipeline on real sensor data and checks it from outside: every reading is accounted for at every
stage, in order per sensor, with complete lineage; the alerts lie where people saw anomalies and arrive in order, though
the webhook answers 500, stalls and resets now and then. A second run kills workers at random moments.

The data are those of the Numenta Anomaly Benchmark in ../shared/data/nab; without them this is skipped.
"""

import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time
from datetime import datetime

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Tests" / "Support"))

from workers import kill, workers  # noqa: E402

DATA = ROOT.parent / "shared" / "data" / "nab"
EXAMPLE = ROOT / "docs" / "examples" / "polyglot"
DEMO = ROOT / "build" / "demo"
READINGS = 29_962
KILLS = 12
# The host gives a worker up that ends five times in two minutes; the broker gives a record up whose worker ends three
# times while it is held, as whatever waits in a batch would be.
KILLS_PER_WORKER = 2


class Run:
    """One run of the pipeline in build/demo, with a receiver of alerts that has faults."""

    def __init__(self, pipeline: pathlib.Path, seed: int):
        shutil.rmtree(DEMO, ignore_errors=True)
        (DEMO / "input").mkdir(parents=True)
        for file in sorted(DATA.glob("*.csv")):
            shutil.copy(file, DEMO / "input")
        self.webhook = subprocess.Popen(
            [sys.executable, EXAMPLE / "webhook.py", DEMO / "alerts.jsonl", "--port", "0", "--faults", str(seed)],
            stdout=subprocess.PIPE, text=True,
        )
        environment = {
            **os.environ, "PATH": f"{ROOT / 'build' / 'venv' / 'bin'}:{os.environ['PATH']}",
            "ALERT_WEBHOOK": f"http://127.0.0.1:{self.webhook.stdout.readline().strip()}/alerts",
        }
        self.log = open(DEMO / "log", "w+")
        self.process = subprocess.Popen(
            [ROOT / "build" / "bin" / "stagewire", "run", "--json", pipeline], env=environment, stderr=self.log,
            stdout=subprocess.PIPE, text=True,
        )

    def finish(self) -> dict:
        try:
            output = self.process.communicate(timeout=240)[0]
        finally:
            self.process.kill()
            self.webhook.kill()
        if self.process.returncode != 0:
            self.fail(f"the pipeline ended with {self.process.returncode}, expected 0")
        return {stage["name"]: stage for stage in json.loads(output)["result"]["stages"]}

    def fail(self, why: str) -> None:
        self.log.seek(0)
        print(self.log.read()[-20_000:])
        sys.exit(f"not ok: {why}")

    def verify(self, what: str, *options: str) -> None:
        check = subprocess.run(
            [ROOT / "build/venv/bin/python3", EXAMPLE / "verify.py", *options, DEMO / "input", DEMO / "archive",
             DEMO / "alerts.jsonl"], capture_output=True, text=True,
        )
        if check.returncode != 0:
            self.fail(f"{what}: {check.stdout}{check.stderr}")
        print(f"{what}:\n{check.stdout}")


# ---- Undisturbed ----


def check_counts(run: Run, stages: dict, alerts: int) -> None:
    """What the broker counted agrees: nothing vanishes between two stages."""
    expected = {
        "ingest": (0, READINGS), "normalise": (READINGS, READINGS), "score": (READINGS, READINGS), "notify": (alerts, 0),
        "archive": (3 * READINGS, 0),
    }
    for name, (entered, left) in expected.items():
        found = (stages[name]["in"], stages[name]["out"])
        if found != (entered, left) or stages[name]["dead"]:
            run.fail(f"{name}: in and out are {found}, expected {(entered, left)}; {stages[name]['dead']} dead")


def check_alerts(run: Run, alerts: list[dict]) -> None:
    """Alerts in at least 4 of the 6 labelled windows, at least five times as often inside as outside, outside under 1%."""
    labels = json.loads((DATA / "anomaly_windows.json").read_text())
    inside = outside = readings_inside = 0
    hit = []
    for file, windows in labels.items():
        sensor = pathlib.Path(file).stem
        spans = [tuple(datetime.fromisoformat(end) for end in window) for window in windows]
        lines = (DATA / f"{sensor}.csv").read_text().splitlines()[1:]
        moments = [datetime.fromisoformat(line.split(",")[0]) for line in lines]
        readings_inside += sum(any(begin <= at <= end for begin, end in spans) for at in moments)
        raised = [datetime.fromisoformat(alert["time"][:-1]) for alert in alerts if alert["sensor"] == sensor]
        hit += [sum(begin <= at <= end for at in raised) for begin, end in spans]
        outside += sum(not any(begin <= at <= end for begin, end in spans) for at in raised)
    inside = sum(hit)
    rate_inside, rate_outside = inside / readings_inside, outside / (READINGS - readings_inside)
    print(
        f"alerts in {sum(map(bool, hit))} of {len(hit)} labelled windows ({hit}); {rate_inside:.2%} of the readings inside, "
        f"{rate_outside:.2%} outside, {rate_inside / max(rate_outside, 1e-9):.1f} times as often"
    )
    if sum(map(bool, hit)) < 4 or rate_inside < 5 * rate_outside or rate_outside >= 0.01:
        run.fail("the alerts are not where the anomalies are")


def check_order(run: Run, alerts: list[dict]) -> None:
    """Each sensor's alerts arrived in its order, those included that had to be posted again: a worker that goes on with
    a key whose record it has given back would overtake it."""
    last: dict[str, int] = {}
    for alert in alerts:
        sensor, line = alert["sensor"], alert["line"]
        if line <= last.get(sensor, 0):
            run.fail(f"the alert of line {line} of {sensor} arrived after that of line {last[sensor]}")
        last[sensor] = line


def received() -> list[dict]:
    return [json.loads(line) for line in (DEMO / "alerts.jsonl").read_text().splitlines()]


def undisturbed(seed: int) -> None:
    run = Run(EXAMPLE / "pipeline.yaml", seed)
    stages = run.finish()
    alerts = received()
    run.verify("undisturbed", "--strict")
    check_counts(run, stages, len(alerts))
    check_alerts(run, alerts)
    check_order(run, alerts)
    print(f"the webhook was asked again {stages['notify']['retried']} times\n")
    if not stages["notify"]["retried"]:
        run.fail("the webhook has made no trouble, so this showed less than it should")


# ---- With workers killed ----


def disturbed(seed: int) -> None:
    """Paced, so that there is time to kill."""
    chance = random.Random(seed)
    slow = (EXAMPLE / "pipeline.yaml").read_text().replace("build/bin/ingest, ", "build/bin/ingest, --pace, '6000', ")
    pipeline = EXAMPLE / ".disturbed.yaml"
    pipeline.write_text(slow)
    try:
        run = Run(pipeline, seed)
        kills: dict[tuple[str, str], int] = {}
        while run.process.poll() is None and sum(kills.values()) < KILLS:
            time.sleep(chance.uniform(0.05, 0.5))
            alive = workers(run.process.pid)
            targets = [pid for pid, name in sorted(alive.items()) if kills.get(name, 0) < KILLS_PER_WORKER]
            if len(alive) >= 5 and targets:
                victim = chance.choice(targets)
                kill(victim)
                kills[alive[victim]] = kills.get(alive[victim], 0) + 1
        stages = run.finish()
        if sum(kills.values()) < 3:
            sys.exit(f"not ok: only {kills} could be killed before the end, so this showed nothing")
        # A model begins anew with its worker, so the scores are not compared.
        run.verify(f"{sum(kills.values())} workers killed (seed {seed})")
        check_order(run, received())
        if given_up := {name: stage["dead"] for name, stage in stages.items() if stage["dead"]}:
            run.fail(f"dead letters, though no record has met its third death: {given_up}")
    finally:
        pipeline.unlink()


def main() -> None:
    if not DATA.is_dir():
        print("skipped: ../shared/data/nab is not here")
        return
    seed = int(os.environ.get("SEED", "1"))
    undisturbed(seed)
    disturbed(seed)


if __name__ == "__main__":
    main()
