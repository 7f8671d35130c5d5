#!/usr/bin/env python3
"""What verify.py has to notice, on files of a few records."""

import json
import pathlib
import tempfile
import unittest

from verify import KEYS, WINDOW, Wrong, verify_transformed, verify_windows

RECORDS = 200


def lineage(identity: str, parents: list[str], stages: list[str]) -> dict:
    hops = [{"stage": stage, "attempt": 1} for stage in stages]
    return {"id": identity, "root": parents[0], "parents": parents, "ingest_time": "2026-01-05T10:30:00.000000Z", "hops": hops}


def transformed() -> list[dict]:
    return [
        {"key": f"k{n % KEYS}", "text": "echo", "attributes": {"n": n},
         "lineage": lineage(f"t{n}", [f"l{n}"], ["lines", "transform"])}
        for n in range(1, RECORDS + 1)
    ]


def windows() -> list[dict]:
    found = []
    for key in range(KEYS):
        numbers = [n for n in range(1, RECORDS + 1) if n % KEYS == key]
        for at in range(0, len(numbers), WINDOW):
            part = numbers[at:at + WINDOW]
            found.append({
                "key": f"k{key}", "text": ",".join(map(str, part)),
                "lineage": lineage(f"w{part[0]}", [f"s{n}" for n in part], ["source", "window"]),
            })
    return found


class Verify(unittest.TestCase):
    def judge(self, verify, records: list[dict]) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "found.jsonl"
            path.write_text("".join(json.dumps(record) + "\n" for record in records))
            verify(path, RECORDS)

    def refuse(self, verify, make, pattern: str, change) -> None:
        records = make()
        change(records)
        with self.subTest(pattern), self.assertRaisesRegex(Wrong, pattern):
            self.judge(verify, records)

    def test_what_is_right(self):
        self.judge(verify_transformed, transformed())
        self.judge(verify_windows, windows())
        # Different keys may overtake each other.
        self.judge(verify_transformed, sorted(transformed(), key=lambda record: record["key"]))

    def test_transformed(self):
        def swap(records):
            records[20], records[20 + KEYS] = records[20 + KEYS], records[20]

        for pattern, change in [
            ("behind 8: 15 is missing", lambda records: records.pop(14)),
            ("the rest is lost", lambda records: records.pop()),
            ("k5 ends with -2", lambda records: records.clear()),
            ("15 of k1 behind 15: it came twice, or late", lambda records: records.insert(20, records[14])),
            ("28 of k0 behind 14", swap),
            ("15 has key k2", lambda records: records[14].update(key="k2")),
            ("payload of 15 is 'x'", lambda records: records[14].update(text="x")),
            ("each at attempt 1", lambda records: records[14]["lineage"]["hops"][1].update(attempt=2)),
            ("stages and attempts", lambda records: records[14]["lineage"]["hops"].pop(0)),
            ("lineage is not that of 1 records", lambda records: records[14]["lineage"].update(parents=["l15", "l16"])),
            ("lineage is not that", lambda records: records[14]["lineage"].update(root="l1")),
            ("id t9 for the second time", lambda records: records[14]["lineage"].update(id="t9")),
        ]:
            self.refuse(verify_transformed, transformed, pattern, change)

    def test_windows(self):
        def steal(records):  # a parent of another window
            records[1]["lineage"]["parents"][3] = records[0]["lineage"]["parents"][3]

        for pattern, change in [
            ("k0 behind 0: 7 is missing", lambda records: records.pop(0)),
            ("the rest is lost", lambda records: records.pop()),
            ("twice, or late", lambda records: records.insert(1, records[0])),
            ("twice, or late", lambda records: records[0].update(text="7,14,21,21,28,35,42")),
            ("is missing there", lambda records: records[0].update(text="7,14,21,35,42,49")),
            ("8 has key k0", lambda records: records[0].update(text="7,8,14,21,28,35,42")),
            ("a window of 8 records", lambda records: records[0].update(text="7,14,21,28,35,42,49,56")),
            ("descend from 199 records", steal),
        ]:
            self.refuse(verify_windows, windows, pattern, change)


if __name__ == "__main__":
    unittest.main()
