"""Checks the results against the events: `verify.py EVENTS RESULTS [--dead-letters FILE] [--pipeline FILE]`.

Knows nothing of Stagewire and shares no code with the stages: it reads the events from the first to the last line, says
which are late, sums up each bucket, and compares. Each group has to be in RESULTS once, with these very numbers and its
entity's details; in order of buckets for each entity; without those of lost entities, which the service never answers for.
--dead-letters: what `stagewire dead-letters list --json` printed has exactly the malformed and late lines and the groups
that expired. Exit 1 says what is wrong.
"""

import argparse
import json
import pathlib
import re
import sys
import zlib
from collections import Counter
from datetime import datetime, timedelta, timezone

SITES = ["harbour", "mill", "north", "quarry", "station", "tower", "works"]
TIERS = ["bronze", "silver", "gold"]
LOST = "lost-"
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Wrong(Exception):
    """The results are not what the events say."""


# ---- What ought to be there ----


def duration(text: str) -> timedelta:
    return timedelta(seconds=sum(int(n) * UNITS[unit] for n, unit in re.findall(r"(\d+)(ms|s|m|h)", text)))


def configured(pipeline: pathlib.Path) -> tuple[timedelta, timedelta]:
    """Length of a bucket, and lateness."""
    found = re.search(r"bucket: (\w+), lateness: (\w+)", pipeline.read_text())
    if not found:
        raise Wrong(f"{pipeline}: no bucket and lateness in it")
    return duration(found[1]), duration(found[2])


def parse(line: bytes):
    """Time, entity, kind and value of a line; None: it is no event."""
    try:
        event = json.loads(line)
        entity, kind, value = event["entity"], event["kind"], event["value"]
        time = datetime.fromisoformat(event["time"].replace("Z", "+00:00"))
    except (ValueError, KeyError, TypeError):
        return None
    is_named = all(isinstance(name, str) and 1 <= len(name.encode()) <= 200 for name in (entity, kind))
    if not is_named or type(value) is not int or abs(value) > 10**9 or time <= EPOCH:
        return None
    return time, entity, kind, value


class Expected:
    """The groups that the events make, by (bucket, entity, kind), and what becomes of the other lines."""

    def __init__(self, events: pathlib.Path, bucket: timedelta, lateness: timedelta):
        self.lines = self.malformed = 0
        self.late: Counter = Counter()  # by entity
        self.groups: dict[tuple[str, str, str], dict] = {}
        watermark = EPOCH
        for line in events.read_bytes().splitlines():
            self.lines += 1
            event = parse(line)
            if event is None:
                self.malformed += 1
                continue
            time, entity, kind, value = event
            watermark = max(watermark, time - lateness)
            begin = EPOCH + (time - EPOCH) // bucket * bucket
            if begin + bucket <= watermark:
                self.late[entity] += 1
            else:
                self._add((begin.strftime("%Y-%m-%dT%H:%M:%SZ"), entity, kind), value)
        self.lost = {key for key in self.groups if key[1].startswith(LOST)}

    def _add(self, key: tuple[str, str, str], value: int) -> None:
        group = self.groups.setdefault(key, {"count": 0, "sum": 0, "min": value, "max": value})
        group["count"] += 1
        group["sum"] += value
        group["min"] = min(group["min"], value)
        group["max"] = max(group["max"], value)

    def result(self, key: tuple[str, str, str]) -> dict:
        """A line of the results, without its id."""
        bucket, entity, kind = key
        sum_ = zlib.crc32(entity.encode())
        return {
            "bucket": bucket, "entity": entity, "kind": kind, **self.groups[key],
            "site": SITES[sum_ % 7], "tier": TIERS[sum_ // 7 % 3],
        }


# ---- What is there ----


def read_results(path: pathlib.Path) -> list[dict]:
    text = path.read_text()
    if text and not text.endswith("\n"):
        raise Wrong(f"{path}: the last line is half a line")
    return [json.loads(line) for line in text.splitlines()]


def check_results(expected: Expected, results: list[dict]) -> None:
    seen: dict[tuple, int] = {}
    last: dict[str, tuple] = {}
    ids: dict[str, int] = {}
    for number, result in enumerate(results, 1):
        id_, place = result.pop("id"), f"line {number} of the results"
        key = (result.get("bucket"), result.get("entity"), result.get("kind"))
        if key not in expected.groups:
            raise Wrong(f"{place}: the events have no {key}")
        if key in seen or id_ in ids:
            raise Wrong(f"{place}: {key} with id {id_} was in line {seen.get(key) or ids.get(id_)} already")
        if result != expected.result(key):
            raise Wrong(f"{place}: {result}\nthe events say: {expected.result(key)}")
        if (key[0], key[2]) < last.get(key[1], ("", "")):
            raise Wrong(f"{place}: {key} comes after {last[key[1]]} of its entity")
        seen[key] = ids[id_] = number
        last[key[1]] = (key[0], key[2])
    missing = expected.groups.keys() - seen.keys() - expected.lost
    if missing:
        raise Wrong(f"{len(missing)} groups are missing, such as {min(missing)}")
    if invented := expected.lost & seen.keys():
        raise Wrong(f"the service does not answer for {min(invented)}, but there is a result")


def check_letters(expected: Expected, letters: list[dict]) -> None:
    found: Counter = Counter()
    for letter in letters:
        message, key = letter["error"]["message"], letter.get("key", "")
        what = "late" if message.startswith("late: ") else "malformed" if "without event time" in message else "lost"
        found[(letter["stage"], letter["reason"], what, key)] += 1
    wanted = Counter({("reduce", "REJECTED", "late", entity): n for entity, n in expected.late.items()})
    wanted[("reduce", "REJECTED", "malformed", "")] = expected.malformed
    for _, entity, _ in expected.lost:
        wanted[("enrich", "EXPIRED", "lost", entity)] += 1
    if +found != +wanted:
        raise Wrong(f"dead letters: {dict(found - wanted)} should not be there, {dict(wanted - found)} should")


def verify(options: argparse.Namespace) -> str:
    expected = Expected(options.events, *configured(options.pipeline))
    results = read_results(options.results)
    check_results(expected, results)
    if options.dead_letters:
        check_letters(expected, json.loads(options.dead_letters.read_text())["result"]["letters"])
    counted = sum(group["count"] for group in expected.groups.values())
    return (
        f"ok: {expected.lines:,} lines are {counted:,} events in {len(expected.groups):,} groups, {expected.late.total()} late and "
        f"{expected.malformed} malformed;\n    {len(results):,} results, each once, with the right numbers and in order; "
        f"{len(expected.lost)} groups given up on"
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("events", "results"):
        arguments.add_argument(name, type=pathlib.Path)
    arguments.add_argument("--dead-letters", type=pathlib.Path)
    arguments.add_argument("--pipeline", type=pathlib.Path, default=pathlib.Path(__file__).with_name("pipeline.yaml"))
    try:
        print(verify(arguments.parse_args()))
    except (Wrong, OSError) as reason:
        print(f"not ok: {reason}")
        sys.exit(1)


if __name__ == "__main__":
    main()
