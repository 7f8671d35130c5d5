"""The processes of a round: the broker, the workers beside it, and how they are killed."""

import ctypes
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from rounds import FEEDS, ROOT, Round, Worker

sys.path.append(str(ROOT / "Tests" / "Support"))

from workers import kill, workers  # noqa: E402

STALL = 90  # seconds without progress after which a round hangs
PATIENCE = 30  # seconds for what takes a moment
# The host gives a worker up that ends five times in two minutes.
KILLS_PER_INSTANCE = 3
EARLY = 0.06  # seconds after a start
LATE = 1.5  # seconds of load
_libc = ctypes.CDLL(None)


class Wrong(Exception):
    """Something that must not happen, as a sentence."""


def die_with_the_rig() -> None:
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def start(command: list, log: Path, **more) -> subprocess.Popen:
    with open(log, "ab") as file:
        more.setdefault("stdout", file)
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=file, preexec_fn=die_with_the_rig, start_new_session=True, **more)


class Rig:
    """A round's processes while it runs. `events.jsonl` has its kills, so that a rig which was interrupted goes on."""

    def __init__(self, stagewire: str, round: Round):
        self.stagewire, self.round = stagewire, round
        self.broker: subprocess.Popen | None = None
        self.began = 0.0  # when the broker was started
        self.externals = {worker.name: worker for worker in round.externals()}
        self.processes: dict[str, subprocess.Popen] = {}
        self.killed: dict[tuple[str, str], int] = {}  # of workers that this broker started
        self.ending = False
        self.events = round.directory / "events.jsonl"

    # ---- Starting ----

    def start_broker(self, *options: str) -> None:
        self.killed = {}
        with open(self.round.directory / "summary.json", "wb") as summary:
            self.broker = start(
                [self.stagewire, "run", "--json", *options, str(self.round.file)], self.round.directory / "broker.log",
                stdout=summary, env={**os.environ, "NO_COLOR": "1"})
        self.began = time.monotonic()

    def start_external(self, name: str) -> None:
        worker: Worker = self.externals[name]
        self.processes[name] = start(
            worker.command, self.round.directory / f"{name}.out", cwd=worker.directory,
            env={**os.environ, **worker.environment, "STAGEWIRE_SOCKET": self.round.socket, "STAGEWIRE_STAGE": worker.stage})

    def __enter__(self) -> "Rig":
        for name in self.externals:
            self.start_external(name)
        return self

    def __exit__(self, *_) -> None:
        for process in [*self.processes.values(), *([self.broker] if self.broker else [])]:
            process.kill()
            process.wait(PATIENCE)

    # ---- Killing ----

    def kill_broker(self, kind: str = "broker", who: str = "") -> None:
        begin = time.monotonic_ns()
        self.broker.kill()
        self.broker.wait(PATIENCE)
        self.note(kind, begin, who)

    def kill_worker(self, chance: random.Random, *, silently: bool = False) -> str | None:
        """A worker of a stage that is drawn first, so that stages of few processes have their turn. None: there is none."""
        targets: dict[str, list] = {}
        for name, process in self.processes.items():
            targets.setdefault(self.externals[name].stage, []).append((name, process.pid))
        for pid, who in workers(self.broker.pid).items():
            if self.killed.get(who, 0) < KILLS_PER_INSTANCE:
                targets.setdefault(who[0], []).append((who, pid))
        stage = chance.choice(sorted(targets))
        victim, pid = chance.choice(sorted(targets[stage], key=str))
        begin = time.monotonic_ns()
        kill(pid)
        if isinstance(victim, str):
            self.processes[victim].wait(PATIENCE)
            self.start_external(victim)
        else:
            self.killed[victim] = self.killed.get(victim, 0) + 1
        if not silently:
            self.note("worker", begin, stage)
        return stage

    def note(self, kind: str, begin: int, who: str) -> None:
        with open(self.events, "a") as file:
            file.write(json.dumps({"kind": kind, "begin": begin, "end": time.monotonic_ns(), "who": who}) + "\n")

    def kill(self, seed: str) -> None:
        """One kill, of a kind, at a moment and of somebody that the seed says."""
        chance = random.Random(seed)
        kind = chance.choices(("broker", "worker", "both"), (45, 45, 10))[0]
        if kind != "worker" and chance.random() < 0.35:
            # While it starts: at any of its first moments.
            self.sleep(max(0.0, self.began + chance.uniform(0, EARLY * chance.choice((1, 10))) - time.monotonic()))
        else:
            self.await_progress()
            self.sleep(chance.uniform(0, LATE) * chance.choice((0.2, 1)))
        if kind == "worker":
            self.kill_worker(chance)
            return
        if kind == "both":
            who = self.kill_worker(chance, silently=True)
            self.kill_broker("both", who or "")
        else:
            self.kill_broker()
        self.start_broker()

    def sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.watch()
            time.sleep(min(left, 0.05))

    # ---- Watching ----

    def watch(self) -> None:
        """Nobody may end by himself."""
        if self.broker.poll() is not None and not self.ending:
            raise Wrong(f"the broker ended with {self.broker.returncode} by itself: {self.last_words('broker.log')}")
        for name, process in self.processes.items():
            code = process.poll()
            if code is not None and not (code == 0 and self.ending):
                raise Wrong(f"{name} ended with {code} by itself: {self.last_words(f'{name}.out')}")

    def last_words(self, file: str) -> str:
        return (self.round.directory / file).read_bytes()[-600:].decode(errors="replace").strip()

    def sizes(self) -> list[int]:
        """How much was confirmed, and how much arrived, in bytes of the accounts."""
        paths = [self.round.feed_log(name) for name in FEEDS] + [self.round.sink_log("sink"), self.round.sink_log("windows")]
        return [path.stat().st_size if path.exists() else 0 for path in paths]

    def await_progress(self) -> None:
        """Until each feed and the sink have gone on since now: the load is on."""
        before, since = self.sizes(), time.monotonic()
        while not all(now > then for now, then in zip(self.sizes()[:3], before[:3])):
            self.watch()
            if time.monotonic() - since > STALL:
                raise Wrong(f"no progress for {STALL} s: bytes of the accounts were {before} and are {self.sizes()}; {self.status()}")
            time.sleep(0.005)

    def status(self) -> str:
        found = self.ask("status")
        return found.stdout + found.stderr

    def ask(self, *words: str) -> subprocess.CompletedProcess:
        """Another command of the program, about this pipeline."""
        return subprocess.run(
            [self.stagewire, *words, str(self.round.file)], capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)

    # ---- The end ----

    def finish(self) -> None:
        """The feeds end; everything in flight is handled; the broker ends by itself."""
        self.await_progress()
        self.round.stop.touch()
        self.ending = True
        reached, since = self.sizes(), time.monotonic()
        while self.broker.poll() is None:
            self.watch()
            if self.sizes() != reached:
                reached, since = self.sizes(), time.monotonic()
            elif time.monotonic() - since > STALL:
                raise Wrong(f"it does not come to an end: {self.status()}")
            time.sleep(0.02)
        if self.broker.returncode != 0:
            raise Wrong(f"at the end the broker ended with {self.broker.returncode}: {self.last_words('broker.log')}")
        for name, process in self.processes.items():
            if (code := process.wait(PATIENCE)) != 0:
                raise Wrong(f"at the end {name} ended with {code}: {self.last_words(f'{name}.out')}")
        summary = json.loads((self.round.directory / "summary.json").read_text())["result"]
        if (summary["end"], summary["unsettled"]) != ("completed", 0):
            raise Wrong(f"{summary['end']} with {summary['unsettled']} records unsettled")

    def letters(self) -> list[dict]:
        """One more start, with nothing to do: nothing may arrive, and the dead letters are all there."""
        before = self.sizes()
        self.start_broker("--keep-running")
        end = time.monotonic() + PATIENCE
        while True:
            found = self.ask("dead-letters", "list", "--json", "--limit", "1000000")
            if found.returncode == 0:
                break
            if time.monotonic() > end or self.broker.poll() is not None:
                raise Wrong(f"after a clean end the broker does not start: {found.stderr} {self.last_words('broker.log')}")
            time.sleep(0.1)
        (self.round.directory / "letters.json").write_text(found.stdout)
        waiting = {each["name"]: each for each in json.loads(self.ask("status", "--json").stdout)["result"]["stages"]}
        if any(each["queued"] or each["in_flight"] for each in waiting.values()):
            raise Wrong(f"records wait in a run after everything had been settled: {waiting}")
        stopped = self.ask("stop")
        if stopped.returncode != 0 or self.broker.wait(PATIENCE) != 0:
            raise Wrong(f"the last run did not stop: {stopped.stderr} {self.last_words('broker.log')}")
        after = [path.stat().st_size for path in (self.round.sink_log("sink"), self.round.sink_log("windows"))]
        # A sink that attaches says so.
        for path, size, then in zip(("sink", "windows"), after, before[2:]):
            with open(self.round.sink_log(path)) as file:
                file.seek(then)
                if any(line.startswith("D") for line in file):
                    raise Wrong(f"{path} got records in a run after everything had been settled ({size - then} bytes)")
        return json.loads(found.stdout)["result"]["letters"]
