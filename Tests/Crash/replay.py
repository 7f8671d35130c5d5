#!/usr/bin/env python3
"""Records that come again: a real broker that retains segments and archives others, a feed and a sink; replays under load,
through a SIGKILL of the broker, and between two runs.

    replay.py STAGEWIRE

What a failed run left is in build/faults/replay.
"""

import datetime
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from accounts import Account
from arrivals import Arrivals
from faults import MIB, OUTPUT, Scene
from rig import PATIENCE, Wrong

RETAINED = 96 * MIB


class Replays(Scene):
    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.counts: Counter = Counter()
        self.read_so_far = 0

    def start_feed(self) -> None:
        # Smaller records than elsewhere: what a second writes is to be retained for many.
        self.start_worker(
            "feed", CRASH_LOG=str(self.feed_log), CRASH_PARTITIONS="a b", CRASH_STOP=str(self.directory / "stop"),
            CRASH_PADDING="300")

    def command(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [self.stagewire, *arguments], capture_output=True, text=True, timeout=3 * PATIENCE)
        if done.returncode != code:
            raise Wrong(f"{' '.join(arguments)}: exit code {done.returncode}, not {code}: {done.stderr[-500:]}")
        return done.stdout + done.stderr

    def replay(self, place: str, *more: str, code: int = 0) -> str:
        return self.command("replay", "sink", "--from", place, "--pipeline", str(self.file), *more, code=code)

    def archived(self) -> list[Path]:
        directory = self.directory / "archive"
        return sorted(directory.glob("*.seg")) if directory.exists() else []

    def came(self) -> Counter:
        """How often each record came so far, by id. Reads on where it stopped before."""
        path = self.directory / "sink.tsv"
        if path.exists():
            with open(path, "rb") as file:
                file.seek(self.read_so_far)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self.read_so_far += len(line)
                    fields = line.split(b"\t")
                    if fields[0] == b"D" and len(fields) == 14:
                        self.counts[fields[6].decode()] += 1
        return self.counts

    def await_end(self) -> None:
        broker = self.processes["broker"]
        self.await_that("the end of the run", lambda: broker.poll() is not None, 6 * PATIENCE, alive=False)
        if broker.returncode != 0:
            raise Wrong(f"the broker ended with {broker.returncode}: {self.log()[-500:]}")

    def judge(self) -> int:
        """Everything that was confirmed has come, each under one id, for the first time in the order of its key."""
        wrong: list[str] = []
        account = Account(self.feed_log, ("a", "b"), "disk")
        expected = {(name, n) for name, each in account.partitions.items() for n in range(1, each.last_number + 1)}
        ids: dict[tuple, str] = {}
        last: dict[tuple, int] = {}
        reader = Arrivals("disk", lambda kind, sentence: wrong.append(sentence) if kind == "other" else None)
        for found in reader.read(self.directory / "sink.tsv"):
            identity = (found.partition, found.number)
            if ids.setdefault(identity, found.id) != found.id:
                wrong.append(f"{found.at}: {identity} has another id than before")
                continue
            key = (found.partition, found.key)
            if found.number > last.get(key, 0):
                last[key] = found.number
        if set(ids) != expected:
            wrong.append(f"{len(expected - set(ids))} records did not come, {len(set(ids) - expected)} were never confirmed")
        if wrong:
            raise Wrong("; ".join(wrong[:5]))
        return len(expected)


def order(scene: Replays, ids: list[str]) -> None:
    """From the place where the replay began, what came again came in the order of its stream."""
    position = {each: index for index, each in enumerate(ids)}
    path, latest = scene.directory / "sink.tsv", {}
    keys: dict[str, list[int]] = {}
    for number, line in enumerate(path.read_text().splitlines()):
        fields = line.split("\t")
        if fields[0] == "D" and len(fields) == 14 and fields[6] in position:
            latest[fields[6]] = (number, fields[9])
    for each, (number, key) in sorted(latest.items(), key=lambda item: item[1][0]):
        keys.setdefault(key, []).append(position[each])
    for key, positions in keys.items():
        if positions != sorted(positions):
            raise Wrong(f"records of key {key!r} came again out of order")


def under_load(scene: Replays) -> tuple[int, int]:
    scene.start_broker()
    scene.start_feed()
    scene.start_sink()
    scene.await_that("segments in the archive", lambda: len(scene.archived()) >= 2)
    refused = scene.replay("0", code=1)
    if "is not kept any more" not in refused:
        raise Wrong(f"record 0 should not be kept any more: {refused}")
    scene.command("journal", "inspect", str(scene.directory / "archive"), "--limit", "1")
    # A second of records behind "a second ago".
    time.sleep(1)
    place = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    # What is retained moves on under load, as fast as the machine is: not between the two commands.
    scene.processes["feed"].send_signal(signal.SIGSTOP)
    scene.await_standstill()
    lines = scene.replay(place, "--dry-run").splitlines()
    ids = [json.loads(line)["lineage"]["id"] for line in lines]
    if not ids or len(set(ids)) != len(ids):
        raise Wrong(f"the dry run shows {len(ids)} records with {len(set(ids))} ids")
    answer = json.loads(scene.replay(place, "--json"))["result"]
    if answer["records"] < len(ids):
        raise Wrong(f"{len(ids)} records were shown, and {answer['records']} come again")
    scene.processes["feed"].send_signal(signal.SIGCONT)
    scene.await_log(f"goes back to record {answer['from']} of feed")
    # What is confirmed now came behind that, so that it is on the disk.
    scene.await_confirmations()
    scene.kill("broker")
    scene.start_broker()
    left = set(ids)

    def has_come() -> bool:
        found = scene.came()
        left.difference_update([each for each in left if found[each] >= 2])
        return not left

    scene.await_that("every one of them again", has_come)
    order(scene, ids)
    return len(ids), len(scene.archived())


def between_runs(scene: Replays) -> int:
    (scene.directory / "stop").touch()
    scene.await_end()
    before = scene.came().total()
    answer = json.loads(scene.replay("beginning", "--json"))["result"]
    scene.start_broker()
    scene.start_feed()
    scene.start_sink()
    scene.await_end()
    if (more := scene.came().total() - before) < answer["records"]:
        raise Wrong(f"{answer['records']} records were to come again, and {more} came")
    return answer["records"]


def archive(scene: Replays) -> int:
    """What is in the archive stays what it was, though the journal writes over the files of segments that nobody needs."""
    scene.start_broker()
    scene.start_feed()
    scene.start_sink()
    scene.await_that("segments in the archive", lambda: len(scene.archived()) >= 10)
    scene.kill("broker")
    scene.command("journal", "verify", str(scene.directory / "archive"))
    return len(scene.archived())


def main() -> None:
    executable = str(Path(sys.argv[1]).resolve())
    retention = f"{{bytes: {RETAINED // MIB}MiB, archive: archive}}"
    try:
        with Replays(executable, "replay", retention=retention, journal_bytes="256MiB") as scene:
            again, archived = under_load(scene)
            offline = between_runs(scene)
            count = scene.judge()
        # Segments of 4 MiB, the first few but smaller.
        with Replays(executable, "archive", retention="{bytes: 4MiB, archive: archive}", journal_bytes="16MiB") as scene:
            archived += archive(scene)
    except Wrong as wrong:
        sys.exit(f"not ok: replay: {wrong} (files in {OUTPUT})")
    for name in ("replay", "archive"):
        shutil.rmtree(OUTPUT / name)
    print(
        f"replay: {count:,} records, all there, each under one id; {again:,} came again under load and through a kill, in order, "
        f"{offline:,} with the next run; {archived} segments archived")


if __name__ == "__main__":
    main()
