"""What has to be in the output files when every record has arrived once and in order."""

import json
import pathlib
from collections.abc import Iterator

KEYS = 7  # number n has key `k` and n modulo this; numbers begin with 1
WINDOW = 7  # records that end a window


class Wrong(Exception):
    """Something that must not happen, as a sentence."""


def verify_transformed(path: pathlib.Path, records: int) -> None:
    """Each number up to `records` once, in order by key, unchanged, and with the way it has come."""
    sequence, ids = Sequence(), set()
    for at, record in read(path):
        n = record["attributes"]["n"]
        if record["text"] != "echo":
            raise Wrong(f"{at}: the payload of {n} is {record['text']!r}")
        sequence.add(at, record["key"], n)
        verify_lineage(at, record["lineage"], ("lines", "transform"), 1, ids)
    sequence.finish(path, records)


def verify_windows(path: pathlib.Path, records: int) -> None:
    """Each number up to `records` in one window of its key, in order by key; a window descends from all of its records."""
    sequence, ids, parents = Sequence(), set(), set()
    for at, record in read(path):
        numbers = [int(each) for each in record["text"].split(",")]
        if len(numbers) > WINDOW:
            raise Wrong(f"{at}: a window of {len(numbers)} records, though {WINDOW} end it")
        for n in numbers:
            sequence.add(at, record["key"], n)
        verify_lineage(at, record["lineage"], ("source", "window"), len(numbers), ids)
        parents.update(record["lineage"]["parents"])
    sequence.finish(path, records)
    if len(parents) != records:
        raise Wrong(f"{path.name}: the windows descend from {len(parents):,} records, expected {records:,}")


def read(path: pathlib.Path) -> Iterator[tuple[str, dict]]:
    """Each line's place, for error texts, and its record."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            yield f"{path.name}:{number}", json.loads(line)


class Sequence:
    """The numbers of each key, which are KEYS apart."""

    def __init__(self):
        self.last = {f"k{n % KEYS}": n - KEYS for n in range(1, KEYS + 1)}

    def add(self, at: str, key: str, n: int) -> None:
        if key != f"k{n % KEYS}":
            raise Wrong(f"{at}: {n} has key {key}")
        before = self.last[key]
        if n <= before:
            raise Wrong(f"{at}: {n} of {key} behind {before}: it came twice, or late")
        if n != before + KEYS:
            raise Wrong(f"{at}: {n} of {key} behind {before}: {before + KEYS} is missing there")
        self.last[key] = n

    def finish(self, path: pathlib.Path, records: int) -> None:
        for n in range(records - KEYS + 1, records + 1):
            if self.last[f"k{n % KEYS}"] != n:
                raise Wrong(f"{path.name}: k{n % KEYS} ends with {self.last[f'k{n % KEYS}']}, expected {n}: the rest is lost")


def verify_lineage(at: str, lineage: dict, stages: tuple[str, ...], parents: int, ids: set[str]) -> None:
    """`ids`: of the records before this one."""
    hops = tuple((hop["stage"], hop["attempt"]) for hop in lineage["hops"])
    # A crash is no attempt (RT-4), and nobody has asked for a retry.
    if hops != tuple((stage, 1) for stage in stages):
        raise Wrong(f"{at}: the stages and attempts are {hops}, expected {stages}, each at attempt 1")
    found = lineage["parents"]
    if len(found) != parents or len(set(found)) != parents or lineage["root"] != found[0] or "ingest_time" not in lineage:
        raise Wrong(f"{at}: the lineage is not that of {parents} records of stage {stages[0]}: {lineage}")
    if lineage["id"] in ids:
        raise Wrong(f"{at}: id {lineage['id']} for the second time")
    ids.add(lineage["id"])
