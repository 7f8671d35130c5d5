#!/usr/bin/env python3
"""What a broker does when its disk does not do as it should: real files, a real broker, a feed and a sink.

    faults.py STAGEWIRE [SCENE ...]

What needs a file system of its own is skipped where nobody may mount one. A scene that fails leaves its files in
build/faults/SCENE.
"""

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from accounts import Account
from arrivals import Arrivals
from oracle import Order
from rig import PATIENCE, ROOT, Wrong, start
from rounds import HERE, PYTHON

OUTPUT = ROOT / "build" / "faults"
PADDING = 2000  # bytes of a payload: disks fill up sooner
STILL = 2  # seconds without a confirmation that make a standstill
MIB = 1024 * 1024


class Skip(Exception):
    """Why a scene cannot be played here."""


class Scene:
    """A pipeline of a feed and a sink, both attached from outside, with its state in `state`."""

    def __init__(
        self, stagewire: str, name: str, state: Path | None = None, durability: str = "disk", retention: str = "", **limits
    ):
        self.stagewire, self.directory = stagewire, OUTPUT / name
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        self.state = state or self.directory / "state"
        self.socket = f"/tmp/stagewire-faults-{name}-{os.getpid()}.sock"
        self.file = self.directory / "pipeline.yaml"
        lines = [f"  {key}: {value}" for key, value in {"drain": "1m", **limits}.items()]
        self.file.write_text("\n".join([
            f"pipeline: faults-{name}", f"durability: {durability}", f"state: {self.state}", f"socket: {self.socket}",
            *([f"retention: {retention}"] if retention else []), "limits:", *lines, "stages:", "  feed: {attach: external, source: true}",
            "  sink: {attach: external, from: feed, lease: 10m}", ""]))
        self.processes: dict[str, subprocess.Popen] = {}

    def __enter__(self) -> "Scene":
        return self

    def __exit__(self, *_) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait(PATIENCE)

    # ---- Processes ----

    def start_broker(self, *options: str, name: str = "broker") -> subprocess.Popen:
        self.processes[name] = start(
            [self.stagewire, "run", *options, str(self.file)], self.directory / f"{name}.log",
            env={**os.environ, "NO_COLOR": "1"})
        return self.processes[name]

    def start_worker(self, name: str, **environment: str) -> None:
        self.processes[name] = start(
            [PYTHON, str(HERE / f"{name}.py")], self.directory / f"{name}.out",
            env={**os.environ, "STAGEWIRE_SOCKET": self.socket, "STAGEWIRE_STAGE": name, **environment})

    def start_feed(self) -> None:
        self.start_worker(
            "feed", CRASH_LOG=str(self.feed_log), CRASH_PARTITIONS="a b", CRASH_STOP=str(self.directory / "stop"),
            CRASH_PADDING=str(PADDING))

    def start_sink(self) -> None:
        self.start_worker("sink", CRASH_LOG=str(self.directory / "sink.tsv"))

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait(PATIENCE)

    @property
    def feed_log(self) -> Path:
        return self.directory / "feed.log"

    # ---- Watching ----

    def log(self, name: str = "broker") -> str:
        path = self.directory / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def await_that(self, what: str, holds, seconds: float = 3 * PATIENCE, alive: bool = True):
        end = time.monotonic() + seconds
        while not (found := holds()):
            if alive and self.processes["broker"].poll() is not None:
                raise Wrong(f"the broker ended with {self.processes['broker'].returncode}: {self.log()[-500:]}")
            if time.monotonic() > end:
                raise Wrong(f"{what}: not within {seconds} s. The log ends with {self.log()[-500:]}")
            time.sleep(0.02)
        return found

    def await_log(self, text: str, count: int = 1, **more) -> None:
        self.await_that(f"the log says {text!r}", lambda: self.log().count(text) >= count, **more)

    def confirmations(self) -> int:
        return self.feed_log.read_text().count("\nconfirmed ") if self.feed_log.exists() else 0

    def await_confirmations(self, more: int = 3) -> None:
        before = self.confirmations()
        self.await_that(f"{more} more confirmations", lambda: self.confirmations() >= before + more)

    def await_standstill(self) -> None:
        """Until nothing is confirmed for a while."""
        state = [self.confirmations(), time.monotonic()]

        def stands() -> bool:
            if (now := self.confirmations()) != state[0]:
                state[:] = [now, time.monotonic()]
            return time.monotonic() - state[1] > STILL

        self.await_that("no more confirmations", stands)

    def status(self) -> str:
        found = subprocess.run([self.stagewire, "status", str(self.file)], capture_output=True, text=True, timeout=PATIENCE)
        if found.returncode != 0:
            raise Wrong(f"the broker does not answer: {found.stderr}")
        return found.stdout

    def segments(self) -> int:
        """Bytes of the journal's segments, prepared ones included."""
        return sum(each.stat().st_size for each in self.state.iterdir() if each.suffix in (".seg", ".new") and "snapshot" not in each.name)

    # ---- The end ----

    def finish(self) -> None:
        """Everything that was confirmed has arrived once, in order, and the broker ends by itself."""
        (self.directory / "stop").touch()
        broker, seen = self.processes["broker"], [0, time.monotonic()]
        # As long as something arrives: a slow machine takes its time.
        while broker.poll() is None:
            path = self.directory / "sink.tsv"
            if (size := path.stat().st_size if path.exists() else 0) != seen[0]:
                seen = [size, time.monotonic()]
            if time.monotonic() - seen[1] > 3 * PATIENCE:
                raise Wrong(f"it does not come to an end: {self.status()} {self.log()[-500:]}")
            time.sleep(0.02)
        if broker.returncode != 0:
            raise Wrong(f"the broker ended with {broker.returncode}: {self.log()[-500:]}")
        wrong: list[str] = []
        account = Account(self.feed_log, ("a", "b"), "disk")
        wrong += [sentence for _, sentence in account.wrong]
        arrivals = Arrivals("disk", lambda kind, sentence: wrong.append(sentence))
        order = Order(lambda kind, sentence: wrong.append(sentence))
        for found in arrivals.read(self.directory / "sink.tsv"):
            if arrivals.is_first((found.partition, found.number), found):
                order.add(found, (found.partition, found.key), (found.number,))
        expected = {(name, n) for name, each in account.partitions.items() for n in range(1, each.last_number + 1)}
        if set(arrivals.latest) != expected:
            lost, extra = len(expected - set(arrivals.latest)), len(set(arrivals.latest) - expected)
            wrong.append(f"{lost} confirmed records are lost, {extra} were never confirmed")
        if wrong:
            raise Wrong("; ".join(wrong[:5]))
        self.count = len(expected)


class Mount:
    """A file system in memory, of so many bytes."""

    def __init__(self, name: str, size: int):
        self.path = OUTPUT / f"{name}.mount"
        self.remove()  # what a run that was killed has left
        self.path.mkdir(parents=True, exist_ok=True)
        self.run("mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(self.path))

    @staticmethod
    def run(*command: str) -> None:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        except FileNotFoundError as error:
            raise Skip(f"no {command[0]} here") from error
        if done.returncode != 0:
            raise Skip(f"{command[0]} is not permitted: {done.stderr.strip()}")

    def fill(self) -> Path:
        """Takes all space that is left."""
        filler = self.path / "filler"
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(64 * 1024))
            except OSError:
                pass
        return filler

    def __enter__(self) -> "Mount":
        return self

    def remove(self) -> None:
        while os.path.ismount(self.path):
            self.run("umount", "-l", str(self.path))
        if self.path.exists():
            self.path.rmdir()

    def __exit__(self, *_) -> None:
        self.remove()


# ---- Scenes ----


def full_disk(stagewire: str) -> str:
    """The disk fills up under load: the broker says so, confirms nothing, answers, and goes on when there is room; a start
    on a full disk is no different."""
    with Mount("full_disk", 160 * MIB) as disk, Scene(stagewire, "full_disk", disk.path / "state") as scene:
        scene.start_broker()
        scene.start_feed()
        scene.start_sink()
        scene.await_confirmations()
        filler = disk.fill()
        scene.await_log("nothing is confirmed until there is room")
        scene.await_standstill()
        scene.status()
        filler.unlink()
        scene.await_log("the journal has room again")
        scene.await_confirmations()
        filler = disk.fill()
        scene.await_log("nothing is confirmed until there is room", 2)
        scene.await_standstill()
        scene.kill("broker")
        # What a start sets free is taken, too.
        disk.fill()
        scene.start_broker()
        scene.await_that("a start on a full disk", lambda: scene.log().count("attached") >= 4)
        scene.status()
        filler.unlink()
        scene.await_confirmations()
        scene.finish()
        return f"{scene.count:,} records, each once: full twice, killed and started on a full disk, went on when there was room"


def full_disk_relaxed(stagewire: str) -> str:
    """With `relaxed`, too, a full disk ends confirmations: what waits for room is no matter of the last 100 ms."""
    name = "full_disk_relaxed"
    with Mount(name, 160 * MIB) as disk, Scene(stagewire, name, disk.path / "state", "relaxed") as scene:
        scene.start_broker()
        scene.start_feed()
        scene.start_sink()
        scene.await_confirmations()
        filler = disk.fill()
        scene.await_log("nothing is confirmed until there is room")
        scene.await_standstill()
        scene.status()
        filler.unlink()
        scene.await_log("the journal has room again")
        scene.await_confirmations()
        scene.finish()
        return f"{scene.count:,} records, each once: stood still while it was full"


def journal_limit(stagewire: str) -> str:
    """A consumer stands still and the journal reaches its limit: sources wait, and everything goes on with the consumer; a
    broker that is killed meanwhile starts again."""
    with Scene(stagewire, "journal_limit", journal_bytes="16MiB", window_bytes="8MiB") as scene:
        scene.start_broker()
        scene.start_feed()
        scene.await_confirmations()
        scene.await_standstill()
        held, size = scene.confirmations(), scene.segments()
        if size > 16 * MIB:
            raise Wrong(f"the segments have {size:,} bytes, the limit is {16 * MIB:,}")
        # Beside them a snapshot and the next one, of at most what a stream holds: its window, and a step of each session.
        if (whole := sum(each.stat().st_size for each in scene.state.iterdir())) > (16 + 2 * (8 + 16)) * MIB:
            raise Wrong(f"the state has {whole:,} bytes, though the journal is limited to {16 * MIB:,} and the stream to 24 MiB")
        scene.status()
        scene.kill("broker")
        scene.start_broker()
        scene.await_that("a start with a full journal", lambda: scene.log().count("attached") >= 2)
        scene.await_standstill()
        scene.start_sink()
        scene.await_that("confirmations behind the standstill", lambda: scene.confirmations() > held + 20)
        scene.finish()
        return (
            f"{scene.count:,} records, each once: stood still with {size / MIB:.0f} MiB in segments, killed, started, went on "
            f"with the consumer")


def second_broker(stagewire: str) -> str:
    """Another broker on the same state is refused, and the first one does not notice."""
    with Scene(stagewire, "second_broker") as scene:
        scene.start_broker()
        scene.start_feed()
        scene.start_sink()
        scene.await_confirmations()
        second = scene.start_broker("--socket", f"{scene.socket}.second", name="second")
        if (code := second.wait(PATIENCE)) != 3 or "another broker uses the state directory" not in scene.log("second"):
            raise Wrong(f"the second broker ended with {code}: {scene.log('second')[-500:]}")
        scene.await_confirmations()
        if (found := scene.log().count("attached")) != 2:
            raise Wrong(f"the workers of the first broker attached {found} times, expected 2")
        scene.finish()
        return f"refused with exit code 3; {scene.count:,} records of the first one, each once"


def read_only(stagewire: str) -> str:
    """A directory that cannot be written to is named, with exit code 3; what is in it stays as it was."""
    with Mount("read_only", 64 * MIB) as disk, Scene(stagewire, "read_only", disk.path / "state") as scene:
        scene.start_broker()
        scene.start_feed()
        scene.start_sink()
        scene.await_confirmations()
        scene.kill("broker")
        disk.run("mount", "-o", "remount,ro", str(disk.path))
        code = scene.start_broker().wait(PATIENCE)
        if code != 3 or str(scene.state) not in scene.log().splitlines()[-1]:
            raise Wrong(f"the broker ended with {code}: {scene.log()[-500:]}")
        disk.run("mount", "-o", "remount,rw", str(disk.path))
        scene.start_broker()
        scene.await_confirmations()
        scene.finish()
        return f"exit code 3; {scene.count:,} records, each once, when it could be written to again"


def remove_in_use(directory: Path) -> None:
    """Removes a directory in which a broker still makes, renames and removes files of its own, as `rm -rf` run again would."""
    for _ in range(1000):
        try:
            return shutil.rmtree(directory)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise
            if not directory.exists():
                return
    raise Wrong(f"{directory} could not be removed")


def removed(stagewire: str) -> str:
    """The state directory is removed under the broker: it ends and says so, rather than confirm what no start will find."""
    with Scene(stagewire, "removed", journal_bytes="16MiB") as scene:
        broker = scene.start_broker()
        scene.start_feed()
        scene.start_sink()
        scene.await_confirmations()
        before = scene.confirmations()
        remove_in_use(scene.state)
        scene.await_that("the end", lambda: broker.poll() is not None, alive=False)
        if broker.returncode != 1 or str(scene.state) not in scene.log():
            raise Wrong(f"the broker ended with {broker.returncode}: {scene.log()[-500:]}")
        return f"exit code 1, after {scene.confirmations() - before} more confirmations"


SCENES = [second_broker, journal_limit, removed, read_only, full_disk, full_disk_relaxed]


def main() -> None:
    stagewire, wanted, failed = str(Path(sys.argv[1]).resolve()), sys.argv[2:], []
    for scene in SCENES:
        name = scene.__name__
        if wanted and name not in wanted:
            continue
        begin = time.monotonic()
        try:
            print(f"{name}: {scene(stagewire)} ({time.monotonic() - begin:.0f} s)", flush=True)
            shutil.rmtree(OUTPUT / name)
        except Skip as skip:
            print(f"{name}: skipped: {skip}", flush=True)
        except Wrong as wrong:
            failed.append(name)
            print(f"not ok: {name}: {wrong}", flush=True)
    if failed:
        sys.exit(f"not ok: {', '.join(failed)} (files in {OUTPUT.relative_to(ROOT)})")


if __name__ == "__main__":
    main()
