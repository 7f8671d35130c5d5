"""Checks the pipeline's output against its input: `verify.py OUTPUT INPUT...` (CSV files or directories).

Knows nothing of the pipeline but its promise. For every sensor (a file's name without .csv), the output's
readings are, one for one and in this order, the well-formed lines of the input; and every reading says
which ingest and which normalise worker it went through, under an id of its own. Exit 1 says what is wrong.
"""

import json
import math
import pathlib
import sys
from collections import Counter
from datetime import datetime, timezone

STAGES = ["ingest", "normalise"]


class Wrong(Exception):
    """The output is not what the input says."""


def parse(line: str) -> tuple[datetime, float] | None:
    """Time and degrees Celsius of a well-formed line."""
    fields = line.split(",")
    try:
        moment = datetime.strptime(fields[0], "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
        fahrenheit = float(fields[1])
    except (ValueError, IndexError):
        return None
    if len(fields) != 2 or not math.isfinite(fahrenheit):
        return None
    return moment, (fahrenheit - 32) * 5 / 9


def read_inputs(paths: list[str]) -> tuple[dict[str, list], int]:
    """The readings of each sensor, and how many lines are none."""
    files = []
    for path in map(pathlib.Path, paths):
        files += sorted(path.glob("*.csv")) if path.is_dir() else [path]
    sensors: dict[str, list] = {}
    malformed = 0
    for file in files:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()[1:]
        found = [parse(line) for line in lines]
        sensors[file.stem] = [reading for reading in found if reading]
        malformed += found.count(None)
    if not files:
        raise Wrong("there is no input")
    return sensors, malformed


def read_output(path: str) -> tuple[dict[str, list], Counter]:
    """The readings of each sensor as written, and how many each normalise worker handled."""
    sensors: dict[str, list] = {}
    ids: dict[str, int] = {}
    workers: Counter = Counter()
    for number, line in enumerate(pathlib.Path(path).read_text().splitlines(), 1):
        try:
            reading = json.loads(line)
        except ValueError as error:
            raise Wrong(f"line {number} is not JSON: {error}") from None
        moment = datetime.fromisoformat(reading["time"].replace("Z", "+00:00"))
        sensors.setdefault(reading["sensor"], []).append((moment, reading["celsius"], number))
        if ids.setdefault(reading["id"], number) != number:
            raise Wrong(f"lines {ids[reading['id']]} and {number} have the same id {reading['id']}")
        check_lineage(reading, number)
        workers[reading["hops"][1].split("/", 2)[2]] += 1
    return sensors, workers


def check_lineage(reading: dict, number: int) -> None:
    hops = [hop.split("/", 2) for hop in reading["hops"]]
    if [hop[0] for hop in hops] != STAGES:
        raise Wrong(f"line {number}: went through {reading['hops']}, not through {' and '.join(STAGES)}")
    if not all(len(hop) == 3 and all(hop) for hop in hops) or len(reading["id"]) != 32:
        raise Wrong(f"line {number}: lineage is incomplete: {reading['id']} {reading['hops']}")


def compare(sensor: str, expected: list, found: list) -> None:
    """The first difference decides; what it is, the neighbourhood tells."""
    for index, (moment, celsius) in enumerate(expected):
        if index == len(found):
            raise Wrong(f"{sensor}: {len(expected) - index} readings are missing from {moment} on")
        if not matches((moment, celsius), found[index]):
            wrong = found[index]
            if any(matches(each, wrong) for each in expected[index:]) and not any(
                matches((moment, celsius), each) for each in found
            ):
                raise Wrong(f"{sensor}: the reading of {moment} ({celsius:.6f}) is missing")
            known = any(matches(each, wrong) for each in expected)
            kind = "is out of order" if known else "is not in the input"
            raise Wrong(
                f"{sensor}: line {wrong[2]} of the output ({wrong[0]}, {wrong[1]}) {kind}; "
                f"expected here: {moment}, {celsius:.6f}"
            )
    if len(found) > len(expected):
        raise Wrong(f"{sensor}: {len(found) - len(expected)} readings too many, from line {found[len(expected)][2]} on")


def matches(expected: tuple, found: tuple) -> bool:
    return expected[0] == found[0] and math.isclose(expected[1], found[1], abs_tol=1e-6)


def verify(output: str, inputs: list[str]) -> str:
    """The summary; Wrong when the output does not keep the promise."""
    expected, malformed = read_inputs(inputs)
    found, workers = read_output(output)
    strangers = sorted(set(found) - set(expected))
    if strangers:
        raise Wrong(f"sensor {strangers[0]} is not in the input")
    for sensor, readings in expected.items():
        compare(sensor, readings, found.get(sensor, []))
    total = sum(map(len, expected.values()))
    lines = [f"ok: {total:,} readings, each exactly once, in order per sensor, with complete lineage"]
    lines += [f"    {sensor:42} {len(readings):>7,}" for sensor, readings in expected.items()]
    lines += [f"    malformed lines, left out {'':16} {malformed:>7,}"]
    lines += [f"    handled by {'normalise/' + worker:31} {number:>7,}" for worker, number in sorted(workers.items())]
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(f"usage: {sys.argv[0]} OUTPUT INPUT...")
    try:
        print(verify(sys.argv[1], sys.argv[2:]))
    except (Wrong, OSError) as reason:
        print(f"not ok: {reason}")
        sys.exit(1)
