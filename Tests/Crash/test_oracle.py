#!/usr/bin/env python3
"""What the oracle has to notice, on accounts of a few records that are made up and then spoilt."""

import json
import pathlib
import tempfile
import unittest

import load
from oracle import Oracle, Verdict
from rounds import FEEDS

PIPELINE, EMITS, SOURCE = "crash-0-0", 6, 30  # Emits of each partition, records of the conformance source
LAST = load.before(EMITS + 1)


def line(session: str, delivery: int, where: str, id: bytes, root: bytes, parents: list[bytes], *rest) -> list[str]:
    """A line of a sink's account; `rest`: key, partition, number, way and payload."""
    parts = ",".join(each.hex() for each in parents)
    head = ["D", session, str(1000 + delivery), where, str(delivery), "1", id.hex(), root.hex(), parts]
    return [*head, *map(str, rest)]


class Accounts:
    """Those of a round in which nothing went wrong; tests spoil them."""

    def __init__(self) -> None:
        self.ids = load.Ids(PIPELINE)
        self.feeds = {process: self.feed(names) for process, names in FEEDS.items()}
        self.sink = [["S", "1.1", "1", "1"], *self.outputs()]
        self.windows = [["S", "2.1", "1", "1"], *self.made_windows()]
        self.letters = [
            {"id": self.ids.root(name, n).hex(), "reason": reason}
            for name in self.partitions() for n in range(1, LAST + 1) if (reason := load.failure(n))
        ]
        self.events = [{"kind": "broker", "begin": 500, "end": 501, "who": ""}]

    @staticmethod
    def partitions() -> list[str]:
        return [name for names in FEEDS.values() for name in names]

    @staticmethod
    def feed(names) -> list[str]:
        lines = ["start 1 7"] + [f"claim 2 {name} 1 0 - 1 1 1" for name in names]
        for emit in range(1, EMITS + 1):
            for name in names:
                lines += [f"sent {10 * emit} {name} {emit}", f"confirmed {10 * emit + 5} {name} {emit}"]
        return lines + [f"finished 900 {name}" for name in names]

    def outputs(self) -> list[list[str]]:
        lines = []
        for name in self.partitions():
            for n in range(1, LAST + 1):
                for where, ordinal in load.outputs(n):
                    path = {"transform.side": "feed/transform"}.get(where, "feed/transform/ordered")
                    payload = str(ordinal) if where.endswith("side") else load.payload(n)
                    id, root = self.ids.output(name, n, where, ordinal), self.ids.root(name, n)
                    head = ("1.1", len(lines) + 1, where, id, root, [b"\1" * 16])
                    lines.append(line(*head, load.key(n), name, n, path, payload))
        return lines

    def made_windows(self) -> list[list[str]]:
        groups: dict[str, list[tuple[bytes, str]]] = {}
        for name in self.partitions():
            for n in range(1, LAST + 1):
                if ("ordered.out", 0) in load.outputs(n):
                    id = self.ids.output(name, n, "ordered.out", 0)
                    groups.setdefault(load.key(n), []).append((id, load.payload(n)))
        for n in range(1, SOURCE + 1):
            groups.setdefault(f"k{n % load.SOURCE_KEYS}", []).append((self.ids.source(n), str(n)))
        lines = []
        for key, members in groups.items():
            for at in range(0, len(members), load.WINDOW):
                part = members[at:at + load.WINDOW]
                parents = [id for id, _ in part]
                path = "source/window" if key.startswith("k") else "feed/transform/ordered/window"
                head = ("2.1", len(lines) + 1, "window.out", self.ids.window(parents), parents[0], parents)
                lines.append(line(*head, key, "-", 0, path, ",".join(text for _, text in part)))
        return lines

    def judge(self, durability: str = "disk") -> Verdict:
        with tempfile.TemporaryDirectory() as name:
            directory = pathlib.Path(name)
            for process, lines in self.feeds.items():
                (directory / f"{process}.log").write_text("".join(each + "\n" for each in lines))
            for stage in ("sink", "windows"):
                (directory / f"{stage}.tsv").write_text("".join("\t".join(each) + "\n" for each in getattr(self, stage)))
            (directory / "events.jsonl").write_text("".join(json.dumps(each) + "\n" for each in self.events))
            return Oracle(directory, PIPELINE, durability, SOURCE).judge(self.letters)

    # ---- Spoiling ----

    def index(self, where: str, n: int, partition: str = "a") -> int:
        """The place of a line in `sink`."""
        return next(i for i, each in enumerate(self.sink) if each[0] == "D" and (each[3], each[10], each[11]) == (where, partition, str(n)))

    def again(self, i: int, session: str, delivery: int = 1) -> list[str]:
        """Line i of `sink`, delivered anew."""
        return ["D", session, "5000", self.sink[i][3], str(delivery), *self.sink[i][5:]]

    def session(self, name: str) -> None:
        self.sink.append(["S", name, "4000", "2"])


class Everything(unittest.TestCase):
    def expect(self, spoil, pattern: str, durability: str = "disk") -> None:
        accounts = Accounts()
        spoil(accounts)
        verdict = accounts.judge(durability)
        with self.subTest(pattern):
            self.assertRegex("\n".join(verdict.wrong), pattern)

    def test_what_is_right(self):
        for durability in ("disk", "relaxed"):
            verdict = Accounts().judge(durability)
            self.assertEqual(verdict.wrong, [])
            self.assertEqual(verdict.confirmed, 4 * LAST)
            self.assertEqual(verdict.redelivered, 0)
            self.assertGreater(verdict.letters, 0)

    def test_a_redelivery_is_counted(self):
        accounts = Accounts()
        accounts.session("3.1")
        accounts.sink.append(accounts.again(accounts.index("ordered.out", 2), "3.1"))
        verdict = accounts.judge()
        self.assertEqual((verdict.wrong, verdict.redelivered), ([], 1))

    def test_arrivals(self):
        def twice_in_a_session(a):
            a.sink.append(a.again(a.index("ordered.out", 2), "1.1", 9999))

        def after_confirmation(a):
            a.sink.append(["C", "1.1", "3000", "9999"])
            a.session("3.1")
            a.sink.append(a.again(a.index("ordered.out", 2), "3.1"))

        def under_another_id(a):
            a.session("3.1")
            a.sink.append(a.again(a.index("ordered.out", 2), "3.1"))
            a.sink[-1][6] = "ab" * 16

        def out_of_order(a):  # 4 and 84 have the same key
            i, j = a.index("transform.side", 4), a.index("transform.side", 84)
            a.sink[i][5:], a.sink[j][5:] = a.sink[j][5:], a.sink[i][5:]

        def of_nobody(a):
            a.sink.append(a.again(a.index("ordered.out", 2), "1.1", 9999))
            a.sink[-1][11] = str(2 + load.KEYS * 5 * 100)

        for spoil, pattern in [
            (lambda a: a.sink.pop(a.index("ordered.out", 2)), "lost: ordered.out 0 of 2 of partition a was confirmed and has not arrived"),
            (lambda a: a.sink.pop(a.index("transform.side", 4)), "lost: transform.side 0 of 4"),
            (twice_in_a_session, "doubled: .* comes twice in one session"),
            (after_confirmation, "doubled: .* though its settlement was confirmed"),
            (under_another_id, "doubled: .* has come as .* and comes as abab"),
            (out_of_order, r"order: .*\(4, 1\) of .* behind \(84, 0\)"),
            (of_nobody, "arrived, though the feed's last one is"),
            (lambda a: a.sink[a.index("ordered.out", 21)].__setitem__(6, "cd" * 16), "doubled: .* 21 has id cdcd"),
            (lambda a: a.sink[a.index("ordered.out", 21)].__setitem__(7, "cd" * 16), "doubled: .* and root cdcd"),
            (lambda a: a.sink[a.index("ordered.out", 2)].__setitem__(9, "f9"), "2 has key f9"),
            (lambda a: a.sink[a.index("ordered.out", 2)].__setitem__(12, "feed/?3/ordered"), r"way feed/\?3/ordered"),
            (lambda a: a.sink[a.index("ordered.out", 2)].__setitem__(13, "echo;emit 9 0 side"), "the payload of 2"),
            (lambda a: a.sink[a.index("transform.side", 4)].__setitem__(13, "3"), "has output 3 for 4"),
        ]:
            self.expect(spoil, pattern)

    def test_windows(self):
        def of(a, path):
            return next(i for i, each in enumerate(a.windows) if each[0] == "D" and each[12].startswith(path))

        def steal(a):
            i = of(a, "feed")
            a.windows.append([*a.windows[i][:4], "9999", *a.windows[i][5:]])
            a.windows[-1][8] = a.windows[-1][8].split(",")[0]
            a.windows[-1][6] = a.ids.window([bytes.fromhex(a.windows[-1][8])]).hex()

        def swap(a):
            own = [i for i, each in enumerate(a.windows) if each[0] == "D" and each[9] == "f2"]
            i, j = own[0], own[1]
            a.windows[i][5:], a.windows[j][5:] = a.windows[j][5:], a.windows[i][5:]

        for spoil, pattern in [
            (lambda a: a.windows.pop(of(a, "feed")), "lost: .* of partition . is in no window"),
            (lambda a: a.windows.pop(of(a, "source")), "lost: number .* of the conformance source is in no window"),
            (steal, "doubled: .* is in this window and in"),
            (swap, "order: windows"),
            (lambda a: a.windows[of(a, "feed")].__setitem__(6, "ab" * 16), "doubled: .* the window's id is abab"),
            (lambda a: a.windows[of(a, "feed")].__setitem__(9, "f99"), "in a window of key f99"),
            (lambda a: a.windows[of(a, "feed")].__setitem__(8, "ab" * 16), "parent abab.* of the window is nobody's id"),
        ]:
            self.expect(spoil, pattern)

    def test_the_feed(self):
        def behind(a):
            a.feeds["feed-1"][-2:-2] = ["start 700 8", "claim 701 a 2 4 4:78 7 1 1", "claim 701 b 2 6 6:86 7 1 1", "confirmed 702 a 6"]

        def back(a):
            a.feeds["feed-1"][3:3] = ["sent 3 a 1", "claim 3 a 2 1 1:1 1 1 1", "claim 3 a 3 0 - 1 1 1"]

        def checkpoint(a):
            a.feeds["feed-1"][-2:-2] = ["claim 701 a 2 6 6:85 7 1 1"]

        for spoil, pattern in [
            (behind, "lost: .* knows Emit 4 of a and had confirmed 6"),
            (back, "lost: .* knows Emit 0 of a and had confirmed 1"),
            (checkpoint, "lost: .* checkpoint of a is 6:85, expected 6:86"),
            (lambda a: a.feeds["feed-1"].insert(-2, "refused a 3 304"), "Emit 3 of a was refused"),
            (lambda a: a.feeds["feed-1"].pop(), "partition b was not finished: 6 Emits sent, 6 confirmed"),
            (lambda a: a.feeds["feed-1"].insert(-2, "confirmed 800 a 9"), "Emit 9 of a is confirmed, and only 6 were sent"),
        ]:
            self.expect(spoil, pattern)

    def test_letters(self):
        for spoil, pattern in [
            (lambda a: a.letters.pop(), "lost: the dead letter of .* is None"),
            (lambda a: a.letters.append(a.letters[0]), "doubled: 2 dead letters"),
            (lambda a: a.letters.append({"id": "ab" * 16, "reason": "CRASHED"}), r"a dead letter \(CRASHED\)"),
            (lambda a: a.letters[0].update(reason="EXPIRED"), "is EXPIRED, expected"),
        ]:
            self.expect(spoil, pattern)

    # ---- relaxed ----

    @staticmethod
    def end_is_lost(a, partition: str = "b", hole: bool = False) -> None:
        """Emit 6 of one partition was confirmed last, and is gone; nothing of it has arrived, and no more comes."""
        other = "a" if partition == "b" else "b"
        feed = a.feeds["feed-1"]
        del feed[-2:]
        known = {partition: EMITS - 1, other: EMITS}
        feed += ["start 700 8"]
        for name in ("a", "b"):
            last = known[name]
            number = load.before(EMITS) if name == partition else LAST
            base = f"{EMITS} {LAST + 1}" if name == partition else "1 1"
            feed.append(f"claim 701 {name} 2 {last} {last}:{number} {last + 1} {base}")
        feed += [f"finished 900 {name}" for name in ("a", "b")]
        lost = range(load.before(EMITS) + 1, LAST + 1)
        gone = {each[6] for each in a.sink if each[0] == "D" and each[10] == partition and int(each[11]) in lost}
        a.sink = [each for each in a.sink if each[0] != "D" or each[6] not in gone]
        a.letters = [each for each in a.letters if each["id"] not in {a.ids.root(partition, n).hex() for n in lost}]
        a.windows = a.windows[:1] + [each for each in a.windows[1:] if not gone & set(each[8].split(","))] + a.rest(gone)

    def test_relaxed(self):
        def rest(self, gone):
            found = []
            for each in self.windows[1:]:
                parents = [parent for parent in each[8].split(",") if parent not in gone]
                if gone & set(each[8].split(",")) and parents:
                    texts = each[13].split(",")[:len(parents)]
                    id = self.ids.window([bytes.fromhex(parent) for parent in parents]).hex()
                    found.append([*each[:4], str(9000 + len(found)), each[5], id, each[7], ",".join(parents), *each[9:13], ",".join(texts)])
            return found

        Accounts.rest = rest
        accounts = Accounts()
        self.end_is_lost(accounts)
        accounts.events[0]["begin"] = 105
        verdict = accounts.judge("relaxed")
        self.assertEqual(verdict.wrong, [])
        self.assertEqual([count for count, _ in verdict.losses], [load.size(EMITS)])
        # What was confirmed before it is gone, and that is there: a hole.
        self.expect(lambda a: self.end_is_lost(a, "a"), "lost: .* a hole: Emit 6 of a is gone", "relaxed")
        self.expect(lambda a: (self.end_is_lost(a), a.events.clear()), "no broker was killed", "relaxed")
        self.expect(lambda a: a.sink.pop(a.index("ordered.out", 2)), "lost: ordered.out 0 of 2", "relaxed")

        def late(a):
            self.end_is_lost(a)
            a.events[0]["begin"] = 20_000_000_000
            a.feeds["feed-1"] = [each.replace("claim 701 b", "claim 30000000000 b") for each in a.feeds["feed-1"]]

        self.expect(late, "confirmed 20,000 ms before the broker was killed", "relaxed")


if __name__ == "__main__":
    unittest.main()
