#!/usr/bin/env python3
"""Runs the compaction example twice on the same events: once undisturbed, and once with its workers killed (SIGKILL) and
stopped (SIGTERM) again and again, and on demand the broker, too. Both runs have to come to what the example's verify.py
computes from the events, and both to the very same lines, ids included, and the same dead letters.

    compaction.py [--durability memory|disk] [--kill-broker] [--stop-broker] [--seed N] [--broker PATH]

The broker is ended, and started again, only with a durability under which something outlives it. What a run left is in build/test-compaction.
"""

import argparse
import fcntl
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Tests" / "Support"))

from workers import workers  # noqa: E402

EXAMPLE = ROOT / "docs" / "examples" / "compaction"
PROGRAMS = ROOT / "build" / "bin" / "compaction"
LEFT = ROOT / "build" / "test-compaction"
EVENTS = 20_000
PACE = 2_500  # events per second of the disturbed run, so that there is time to disturb it
PATIENCE = 150  # seconds for a run to come to its end; it takes a sixth of that on an idle machine

UNSETTLED = 20  # lines that a killed store leaves written and not settled

# A worker that is killed five times in two minutes ends the run, and a record whose worker is killed three times while
# it alone is held is given up: so each is killed twice. A source that is stopped has ended its work and is not
# started again, so it is only killed.
WORKERS = [(stage, signal.SIGKILL) for stage in ("tail", "reduce", "enrich", "store") for _ in range(2)]
WORKERS += [(stage, signal.SIGTERM) for stage in ("reduce", "enrich", "store")]
KILL_BROKER = [("broker", signal.SIGKILL)] * 3
STOP_BROKER = [("broker", signal.SIGTERM)] * 2


class Run:
    """One run of the pipeline: a directory with its file, its results and its log, and a service of its own."""

    def __init__(self, name: str, options: argparse.Namespace, pace: int = 0):
        self.name, self.options = name, options
        self.directory = LEFT / name
        self.directory.mkdir(parents=True)
        self.pipeline = self.directory / "pipeline.yaml"
        self.pipeline.write_text(self._pipeline(pace))
        self.results = self.directory / "results.jsonl"
        self.letters = self.directory / "letters.json"
        # A socket's path has 95 bytes at most, which this directory may have used up.
        self.socket = pathlib.Path(tempfile.mkdtemp(prefix="stagewire-")) / "c.sock"
        self.control = self.socket.with_name("c.control.sock")
        self.log = open(self.directory / "log", "w+")
        self.service = subprocess.Popen(
            [PROGRAMS / "service", "-port", "0", "-seed", str(options.seed)], stdout=subprocess.PIPE, text=True
        )
        self.port = self.service.stdout.readline().strip()
        self.start()

    def _pipeline(self, pace: int) -> str:
        """The example's file, with other files. It lies as deep as the example, so paths to programs stay."""
        text = (EXAMPLE / "pipeline.yaml").read_text()
        for old, new in (
            ("../../../build/compaction/events.jsonl}", f"../events.jsonl, pace: {pace}}}"),
            ("../../../build/compaction/results.jsonl", "results.jsonl"),
            ("durability: disk", f"durability: {self.options.durability}"),
            # A source that never comes keeps the broker there until we have asked for its dead letters.
            ("stages:\n", "stages:\n  hold: {attach: external, source: true}\n"),
        ):
            if text.count(old) != 1:
                sys.exit(f"not ok: the example's pipeline.yaml has no `{old}` to be replaced, or several")
            text = text.replace(old, new)
        return text

    def start(self) -> None:
        self.broker = subprocess.Popen(
            [self.options.broker, "run", "--json", "--socket", self.socket, self.pipeline], stderr=self.log,
            stdout=subprocess.PIPE, text=True, env={**os.environ, "ENRICH_URL": f"http://127.0.0.1:{self.port}"},
        )

    def ask(self, *command: str) -> dict | None:
        """What a command prints as JSON; None while there is no broker that answers."""
        done = subprocess.run(
            [self.options.broker, *command, "--control", self.control, "--json"], capture_output=True, text=True
        )
        return json.loads(done.stdout)["result"] if done.returncode == 0 else None

    def stages(self) -> dict[str, dict]:
        status = self.ask("status")
        return {stage["name"]: stage for stage in status["stages"]} if status else {}

    def wait(self, what: str, condition) -> None:
        """Until something is there, which it will be if nothing is wrong."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if self.broker.poll() is not None:
                self.fail(f"the broker ended with {self.broker.returncode} before {what}")
            if time.monotonic() > deadline:
                self.fail(f"waited {PATIENCE} s for {what}: {json.dumps(self.stages(), indent=1)}")
            time.sleep(0.1)

    def finish(self) -> dict[str, dict]:
        """Waits for the last result, asks for the dead letters, ends the broker. Returns the stages as they were."""
        self.wait("everything is settled", lambda: self.stages().get("store", {}).get("state") == "ended")
        stages = self.stages()
        answer = self.ask("dead-letters", "list", "--limit", "1000")
        self.letters.write_text(json.dumps({"result": answer}))
        self.broker.send_signal(signal.SIGTERM)
        summary = json.loads(self.broker.communicate(timeout=60)[0])["result"]
        if self.broker.returncode != 0:
            self.fail(f"the broker ended with {self.broker.returncode}, expected 0")
        counted = {stage["name"]: stage["dead"] for stage in summary["stages"]}
        # Counters are since the start of the broker.
        if not self.options.ends_broker and any(counted[name] != stages[name]["dead_letters"] for name in stages):
            self.fail(f"the summary counts {counted} dead letters, kept are {answer['total']}")
        return stages

    def verify(self) -> None:
        check = subprocess.run(
            [sys.executable, EXAMPLE / "verify.py", LEFT / "events.jsonl", self.results, "--dead-letters", self.letters],
            capture_output=True, text=True,
        )
        if check.returncode != 0:
            self.fail(check.stdout + check.stderr)
        print(f"{self.name}: {check.stdout}", end="")

    def given_up(self) -> list[tuple]:
        letters = json.loads(self.letters.read_text())["result"]["letters"]
        return sorted((letter["stage"], letter["id"], letter["reason"]) for letter in letters)

    def fail(self, why: str) -> None:
        self.log.seek(0)
        print(self.log.read()[-20_000:])
        sys.exit(f"not ok: {self.name}: {why}")

    def end(self) -> None:
        """Leaves no process and no socket; a broker's guardian ends its workers."""
        self.broker.kill()
        self.broker.wait()
        self.service.kill()
        self.service.wait()
        shutil.rmtree(self.socket.parent, ignore_errors=True)


# ---- Disturbances ----


def disturb(run: Run, model: Run, chance: random.Random, plan: list[tuple[str, signal.Signals]]) -> None:
    """Ends workers and the broker in the middle of their work, one after the other at random moments."""
    chance.shuffle(plan)
    for victim, how in plan:
        time.sleep(chance.uniform(0.1, 0.6))
        if run.stages().get("store", {}).get("state") == "ended":
            run.fail("it has ended before it was disturbed as planned; a lower PACE makes it last longer")
        if victim == "broker":
            end_broker(run, how)
        else:
            # Before it has its session a worker is no victim worth having.
            run.wait(f"{victim} is attached", lambda: attached(run, victim))
            for process, (stage, _) in workers(run.broker.pid).items():
                if stage == victim:
                    send(process, how)
            if (victim, how) == ("store", signal.SIGKILL):
                leave_unsettled(run, model)


def leave_unsettled(run: Run, model: Run) -> None:
    """Gives the results of a store that was just killed the end that they have when it dies between writing and settling,
    which takes it too short a time to be hit by a signal: lines that are still to come, and half of one. Ids are the same in
    all runs, so the other run has these lines."""
    run.wait("the undisturbed run is ahead", lambda: len(lines(model)) > len(lines(run)) + 2 * UNSETTLED)
    with open(run.results, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the killed process may still have it
        there = lines(run)
        known = set(there)
        ahead = [line for line in lines(model) if line not in known][:UNSETTLED]
        file.truncate(sum(map(len, there)))
        file.write(b"".join(ahead[:-1]) + ahead[-1][:50])


def lines(run: Run) -> list[bytes]:
    """The whole lines of the results, as far as they are there."""
    text = run.results.read_bytes() if run.results.exists() else b""
    return [line for line in text.splitlines(keepends=True) if line.endswith(b"\n")]


def attached(run: Run, stage: str) -> bool:
    return any(worker["state"] == "attached" for worker in run.stages().get(stage, {}).get("workers", []))


def send(process: int, how: signal.Signals) -> None:
    try:
        os.kill(process, how)
    except ProcessLookupError:
        pass


def end_broker(run: Run, how: signal.Signals) -> None:
    run.wait("the broker answers", lambda: run.stages())
    run.broker.send_signal(how)
    run.broker.communicate(timeout=60)
    expected = 0 if how == signal.SIGTERM else -how
    if run.broker.returncode != expected:
        run.fail(f"the broker ended with {run.broker.returncode} after {how.name}, expected {expected}")
    run.start()


# ---- Comparing ----


def compare(plain: Run, stages: dict[str, dict], disturbed: Run) -> None:
    """Both runs have the same lines and the same dead letters, by their ids."""
    results = [sorted(lines(run)) for run in (plain, disturbed)]
    if results[0] != results[1]:
        odd = sorted(set(results[0]) ^ set(results[1]))
        disturbed.fail(f"{len(odd)} lines are in one run only, such as {odd[:2]}")
    if plain.given_up() != disturbed.given_up():
        odd = sorted(set(plain.given_up()) ^ set(disturbed.given_up()))
        disturbed.fail(f"{len(odd)} dead letters are in one run only, such as {odd[:2]}")
    if not stages["enrich"]["retried"]:
        plain.fail("the service has made no trouble, so this showed less than it should")
    reasons = {reason for _, _, reason in plain.given_up()}
    if reasons != {"REJECTED", "EXPIRED"}:
        plain.fail(f"dead letters for {reasons}: the events have to have late ones and lost entities")


def check_disturbed(run: Run, stages: dict[str, dict]) -> None:
    """What was held came again: else the kills met nobody at work."""
    for name in ("reduce", "enrich"):
        again = stages[name]["delivered"] - stages[name]["in"]
        if again <= stages[name]["retried"]:
            run.fail(f"{name}: only {again} records were delivered again, {stages[name]['retried']} of them retried")


def follow(events: pathlib.Path) -> None:
    """A source that follows its file reads what is appended later, in whatever pieces. It needs no broker for that."""
    text = events.read_bytes().splitlines(keepends=True)
    file = LEFT / "growing.jsonl"
    file.write_bytes(text[0] + text[1][:10])
    config = json.dumps({"file": str(file), "follow": True})
    tail = subprocess.Popen(
        [PROGRAMS / "tail", "--test", "--limit", "4", "--config", config], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        await_end_of(file, tail)
        with open(file, "ab", buffering=0) as growing:
            growing.write(text[1][10:30])
            growing.write(text[1][30:] + b"".join(text[2:4]))
        output, errors = tail.communicate(timeout=30)
    finally:
        tail.kill()
    read = [json.loads(line)["json"] for line in output.splitlines()]
    if read != [json.loads(line) for line in text[:4]]:
        sys.exit(f"not ok: a source that follows has read {read}\n{errors}")


def await_end_of(file: pathlib.Path, reader: subprocess.Popen) -> None:
    """Until a process has read all of a file."""
    deadline = time.monotonic() + 30
    while reader.poll() is None and time.monotonic() < deadline:
        if position(file, reader.pid) == file.stat().st_size:
            return
        time.sleep(0.01)
    sys.exit(f"not ok: a source that follows does not read {file}")


def position(file: pathlib.Path, process: int) -> int | None:
    """Where a process stands in a file that it has open."""
    for descriptor in pathlib.Path(f"/proc/{process}/fd").iterdir():
        try:
            if os.path.samefile(descriptor, file):
                return int((descriptor.parent.parent / "fdinfo" / descriptor.name).read_text().split()[1])
        except FileNotFoundError:  # closed meanwhile, or no file
            continue
    return None


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--durability", default=os.environ.get("DURABILITY", "disk"))
    arguments.add_argument("--kill-broker", action="store_true", help="SIGKILL to the broker, too, and start it again")
    arguments.add_argument("--stop-broker", action="store_true", help="SIGTERM likewise: it drains")
    arguments.add_argument("--seed", type=int, default=int(os.environ.get("SEED", "1")))
    arguments.add_argument("--broker", type=pathlib.Path, default=ROOT / "build" / "bin" / "stagewire")
    options = arguments.parse_args()
    options.ends_broker = options.kill_broker or options.stop_broker
    if options.ends_broker and options.durability == "memory":
        arguments.error("with --durability memory nothing outlives the broker")
    shutil.rmtree(LEFT, ignore_errors=True)
    LEFT.mkdir(parents=True)
    made = [PROGRAMS / "generate", "-events", str(EVENTS), "-seed", str(options.seed), LEFT / "events.jsonl"]
    subprocess.run(made, check=True)
    follow(LEFT / "events.jsonl")
    runs: list[Run] = []
    try:
        # Most of a run is waiting for what is given up on, so both wait at the same time.
        runs.append(Run("undisturbed", options))
        runs.append(Run("disturbed", options, PACE))
        plan = WORKERS + options.kill_broker * KILL_BROKER + options.stop_broker * STOP_BROKER
        disturb(runs[1], runs[0], random.Random(options.seed), plan)
        stages = [run.finish() for run in runs]
        for run in runs:
            run.verify()
        compare(runs[0], stages[0], runs[1])
        if not options.ends_broker:
            check_disturbed(runs[1], stages[1])
    finally:
        for run in runs:
            run.end()
    print(f"ok: ended {len(plan)} times in the middle, to the same results (durability {options.durability}, seed {options.seed})")


if __name__ == "__main__":
    main()
