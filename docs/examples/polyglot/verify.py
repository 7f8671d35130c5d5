"""Checks the archives and the alerts against the input, and sums up: `verify.py INPUT ARCHIVES ALERTS`.

INPUT is the directory of CSV files, ARCHIVES that of the tar.gz, ALERTS what webhook.py has written. Knows nothing of
Stagewire but its promise: each line of the input is archived once as it came in, each well-formed temperature once as a
reading and once scored, in order per sensor, each with the whole way that it went; and what was scored as unusual, and
nothing else, has arrived as an alert. With --strict the scores are computed again in the input's order, which shows that
each model saw its sensor's readings once and in order. Exit 1 says what is wrong.
"""

import argparse
import json
import math
import pathlib
import sys
import tarfile
from collections import Counter, defaultdict
from datetime import datetime, timezone

WAYS = {"raw": ["ingest"], "filtered": ["ingest", "normalise"], "scored": ["ingest", "normalise", "score"]}
IRRELEVANT_UNITS = {"%", "hPa", "V"}


class Wrong(Exception):
    """The output is not what the input says."""


# ---- What ought to be there ----


def moment(text: str) -> datetime:
    if text.isdigit():
        return datetime.fromtimestamp(int(text), timezone.utc)
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)


def reading(line: str) -> tuple[str, float] | str:
    """Time and degrees Celsius of a line, or what it is instead."""
    if line.startswith("#"):
        return "irrelevant"
    fields = line.split(",")
    unit = fields[2] if len(fields) == 3 else "F"
    try:
        if len(fields) not in (2, 3):
            return "malformed"
        at, value = moment(fields[0]), float(fields[1])
    except ValueError:
        return "malformed"
    if unit in IRRELEVANT_UNITS:
        return "irrelevant"
    celsius = {"F": (value - 32) * 5 / 9, "C": value, "K": value - 273.15}.get(unit)
    if celsius is None or not math.isfinite(value):
        return "malformed"
    return at.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), celsius


def read_input(directory: pathlib.Path) -> dict[str, dict[int, str]]:
    """Each sensor's lines by their number in the file, without the header."""
    sensors = {}
    for file in sorted(directory.glob("*.csv")):
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        sensors[file.stem] = {number: line for number, line in enumerate(lines, 1) if number > 1}
    if not sensors:
        raise Wrong(f"there is no *.csv in {directory}")
    return sensors


# ---- What is there ----


class Archives:
    """Every record of every archive, once, by kind, sensor and line."""

    def __init__(self, directory: pathlib.Path):
        self.files = sorted(directory.glob("*.tar.gz"))
        self.records: dict[str, dict[str, dict[int, dict]]] = {kind: defaultdict(dict) for kind in WAYS}
        self.copies = 0
        for file in self.files:
            with tarfile.open(file) as archive:
                for kind in WAYS:
                    self._read(kind, archive.extractfile(f"{kind}.jsonl"), file.name)

    def _read(self, kind: str, lines, place: str) -> None:
        last: dict[str, int] = {}
        for number, line in enumerate(lines, 1):
            record = json.loads(line)
            sensor, position = record["key"], self._line(kind, record)
            if position <= last.get(sensor, 0):
                raise Wrong(f"{place}, {kind}.jsonl:{number}: line {position} of {sensor} comes after line {last[sensor]}")
            last[sensor] = position
            known = self.records[kind][sensor].setdefault(position, record)
            if known is not record:
                # A batch that was archived, and not confirmed before its worker died, is archived again.
                if known["lineage"]["id"] != record["lineage"]["id"]:
                    raise Wrong(f"{place}: line {position} of {sensor} is there twice, under two ids")
                self.copies += 1
            self._check_way(kind, record, f"{place}, {kind}.jsonl:{number}")

    @staticmethod
    def _line(kind: str, record: dict) -> int:
        return record["attributes"]["line"] if kind == "raw" else record["json"]["line"]

    @staticmethod
    def _check_way(kind: str, record: dict, place: str) -> None:
        hops = record["lineage"]["hops"]
        if [hop["stage"] for hop in hops] != WAYS[kind]:
            raise Wrong(f"{place}: went through {[hop['stage'] for hop in hops]}, not through {WAYS[kind]}")
        for hop in hops:
            if not all(hop.get(field) for field in ("version", "instance", "language", "time", "attempt")):
                raise Wrong(f"{place}: a hop is incomplete: {hop}")


def read_alerts(path: pathlib.Path) -> dict[str, dict]:
    alerts = [json.loads(line) for line in path.read_text().splitlines()]
    return {alert["id"]: alert for alert in alerts}


# ---- The comparison ----


def check_sensor(sensor: str, lines: dict[int, str], archives: Archives, drops: Counter) -> None:
    raw, filtered, scored = (archives.records[kind][sensor] for kind in WAYS)
    if raw.keys() != lines.keys():
        raise Wrong(f"{sensor}: lines {sorted(lines.keys() ^ raw.keys())[:5]} are archived, or not, unlike the input")
    for number, line in lines.items():
        if raw[number].get("text", "") != line:
            raise Wrong(f"{sensor}: line {number} is archived as {raw[number].get('text')!r}, not {line!r}")
        expected = reading(line)
        if isinstance(expected, str):
            drops[expected] += 1
            if number in filtered or number in scored:
                raise Wrong(f"{sensor}: line {number} is {expected} and went on all the same")
            continue
        check_reading(sensor, number, expected, raw[number], filtered.get(number), scored.get(number))
    strangers = (filtered.keys() | scored.keys()) - lines.keys()
    if strangers:
        raise Wrong(f"{sensor}: readings of lines {sorted(strangers)[:5]}, which the input does not have")


def check_reading(sensor: str, number: int, expected: tuple, raw: dict, filtered: dict | None, scored: dict | None) -> None:
    for kind, record, parent in (("filtered", filtered, raw), ("scored", scored, filtered)):
        if record is None:
            raise Wrong(f"{sensor}: the reading of line {number} is not among the {kind} ones")
        found = record["json"]
        if found["time"] != expected[0] or not math.isclose(found["celsius"], expected[1], abs_tol=1e-6):
            raise Wrong(f"{sensor}: line {number} is {kind} as {found['time']} {found['celsius']}, not {expected}")
        lineage = record["lineage"]
        if lineage["root"] != raw["lineage"]["id"] or lineage["parents"] != [parent["lineage"]["id"]]:
            raise Wrong(f"{sensor}: line {number}, {kind}: its lineage does not lead back to the line")


def check_alerts(archives: Archives, alerts: dict[str, dict]) -> None:
    unusual = {
        record["lineage"]["id"]: record
        for sensor in archives.records["scored"].values() for record in sensor.values()
        if record["attributes"]["prediction"] != "normal"
    }
    if unusual.keys() != alerts.keys():
        missing, extra = unusual.keys() - alerts.keys(), alerts.keys() - unusual.keys()
        raise Wrong(f"{len(missing)} alerts have not arrived, {len(extra)} have that nobody raised")


def check_scores(archives: Archives) -> None:
    """The models again, each over its sensor's readings in the order of the file."""
    sys.path.insert(0, str(pathlib.Path(__file__).parent / "score"))
    from model import Model

    for sensor, records in archives.records["scored"].items():
        model = Model()
        for number in sorted(records):
            found, expected = records[number]["json"]["chance"], model.chance(records[number]["json"]["celsius"])
            if not math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-300):
                raise Wrong(f"{sensor}: line {number} was scored {found}; in order and once each it would be {expected}")


# ---- For people ----


def summary(sensors: dict, archives: Archives, alerts: dict[str, dict], drops: Counter) -> str:
    count = {kind: sum(map(len, archives.records[kind].values())) for kind in WAYS}
    rows = [
        ("ingest", "Rust", "", count["raw"], f"lines of {len(sensors)} files"),
        ("normalise", "Go", count["raw"], count["filtered"],
         f"{drops['malformed']:,} malformed and {drops['irrelevant']:,} irrelevant lines dropped"),
        ("score", "Python", count["filtered"], count["scored"], f"{len(alerts):,} of them unusual"),
        ("notify", "Node", len(alerts), "", "alerts at the webhook, each once"),
        ("archive", "shell", sum(count.values()), "", f"records in {len(archives.files)} archives"),
    ]
    lines = [f"  {'stage':10} {'language':8} {'in':>8} {'out':>8}"]
    for stage, language, entered, left, words in rows:
        cells = [f"{cell:>8,}" if cell != "" else f"{'':8}" for cell in (entered, left)]
        lines.append(f"  {stage:10} {language:8} {cells[0]} {cells[1]}  {words}")
    lines.append("ok: every line is accounted for at every stage, in order per sensor, with complete lineage")
    if archives.copies:
        lines.append(f"    {archives.copies:,} records are archived more than once: their workers died before they were settled")
    by_sensor = Counter(alert["sensor"] for alert in alerts.values())
    critical = Counter(alert["sensor"] for alert in alerts.values() if alert["prediction"] == "critical")
    for sensor in sensors:
        lines.append(f"    {sensor:40} {by_sensor[sensor]:>5,} alerts, {critical[sensor]:,} of them critical")
    return "\n".join(lines)


def verify(options: argparse.Namespace) -> str:
    sensors = read_input(options.input)
    archives = Archives(options.archives)
    alerts = read_alerts(options.alerts)
    drops: Counter = Counter()
    for sensor, lines in sensors.items():
        check_sensor(sensor, lines, archives, drops)
    for kind in WAYS:
        strangers = archives.records[kind].keys() - sensors.keys()
        if strangers:
            raise Wrong(f"sensors {sorted(strangers)} are not in the input")
    check_alerts(archives, alerts)
    if options.strict:
        check_scores(archives)
    return summary(sensors, archives, alerts, drops)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("input", "archives", "alerts"):
        arguments.add_argument(name, type=pathlib.Path)
    arguments.add_argument("--strict", action="store_true")
    try:
        print(verify(arguments.parse_args()))
    except (Wrong, OSError) as reason:
        print(f"not ok: {reason}")
        sys.exit(1)


if __name__ == "__main__":
    main()
