"""Judges a round by its accounts alone: nothing of the broker is asked but its dead letters.

Expected is what load.py says of the numbers that the feed knows to be confirmed. Outputs are compared one by one: each
once, under the id that PROTOCOL.md gives it, in order by key, and nothing else.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import load
from accounts import Account, Loss, Partition
from arrivals import Arrivals, Delivery
from rounds import FEEDS

SAMPLE = 7  # ids of every seventh number are computed; in pure Python all of them take minutes
# Milliseconds: `relaxed` loses what was confirmed in the last 100, and during a flush, which takes as long as the disk does.
OLDEST_LOSS = 10_000
MOST = 12  # sentences that are kept of each kind
PATHS = {"transform.side": "feed/transform", "ordered.out": "feed/transform/ordered", "ordered.side": "feed/transform/ordered"}


@dataclass
class Verdict:
    confirmed: int = 0  # records of the feed
    arrived: int = 0  # different records at the sinks
    letters: int = 0
    redelivered: int = 0
    undone: int = 0
    losses: list[tuple[int, float]] = field(default_factory=list)  # relaxed: records, age of the oldest in ms
    counts: Counter = field(default_factory=Counter)  # "lost", "doubled", "order", "other"
    wrong: list[str] = field(default_factory=list)

    def complain(self, kind: str, sentence: str, count: int = 1) -> None:
        self.counts[kind] += count
        if self.counts[kind] <= MOST:
            self.wrong.append(f"{kind}: {sentence}")


class Oracle:
    def __init__(self, directory: Path, pipeline: str, durability: str, source_records: int):
        self.directory, self.durability, self.source_records = directory, durability, source_records
        self.ids = load.Ids(pipeline)
        self.verdict = Verdict()
        self.complain = self.verdict.complain
        self.partitions: dict[str, Partition] = {}
        self.retracted: dict[str, set[int]] = {}  # numbers that may have another id, per partition
        self.missing: dict[str, set[int]] = {}  # numbers that were lost as `relaxed` says

    def judge(self, letters: list[dict]) -> Verdict:
        self.read_feeds()
        outputs = self.judge_outputs()
        self.judge_windows(outputs)
        self.judge_letters(letters)
        return self.verdict

    # ---- The feed ----

    def read_feeds(self) -> None:
        kills = self.broker_kills()
        for process, names in FEEDS.items():
            account = Account(self.directory / f"{process}.log", names, self.durability)
            for kind, sentence in account.wrong:
                self.complain(kind, sentence)
            self.partitions.update(account.partitions)
        for name, partition in self.partitions.items():
            if not partition.finished:
                self.complain("other", f"partition {name} was not finished: {partition.sent} Emits sent, {partition.confirmed} confirmed")
            self.verdict.confirmed += partition.last_number
            self.retracted[name] = {n for loss in partition.losses for n in loss.retracted}
            self.missing[name] = {n for loss in partition.losses for n in loss.numbers}
            for loss in partition.losses:
                self.judge_loss(name, loss, kills)

    def broker_kills(self) -> list[int]:
        """When the broker was killed, in nanoseconds."""
        path = self.directory / "events.jsonl"
        events = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [event["begin"] for event in events if event["kind"] != "worker"]

    def judge_loss(self, name: str, loss: Loss, kills: list[int]) -> None:
        before = [ns for ns in kills if ns <= loss.ns]
        if not before:
            self.complain("lost", f"{len(loss.numbers)} records of {name} are gone, and no broker was killed")
            return
        # Confirmations that stood in the socket when it died were read a little later.
        age = max([0.0, *((before[-1] - ns) / 1e6 for ns in loss.confirmations)])
        self.verdict.losses.append((len(loss.numbers), age))
        if age > OLDEST_LOSS:
            self.complain(
                "lost", f"{len(loss.numbers)} records of {name} are gone, some of which were confirmed {age:,.0f} ms before the "
                f"broker was killed")

    # ---- Outputs ----

    def judge_outputs(self) -> dict[str, tuple[str, int]]:
        """The outputs of `transform` and `ordered`. Returns those that `window` reads: id -> (partition, number)."""
        arrivals = Arrivals(self.durability, self.complain)
        read: dict[str, tuple[str, int]] = {}
        order, order_of_session = Order(self.complain), Order(self.complain)
        for found in arrivals.read(self.directory / "sink.tsv"):
            if found.where not in PATHS or found.partition not in self.partitions:
                self.complain("other", f"{found.at}: a record of {found.where} and partition {found.partition}")
                continue
            n = found.number
            ordinal = int(found.payload) if found.where.endswith("side") else 0
            self.check_output(found, n, ordinal)
            lane = (found.where, found.partition, found.key)
            order_of_session.add(found, (found.session, *lane), (n, ordinal))
            if arrivals.is_first((found.where, found.partition, n, ordinal), found, n in self.retracted[found.partition]):
                order.add(found, lane, (n, ordinal))
            if found.where == "ordered.out":
                read[found.id] = (found.partition, n)
        self.count_outputs(arrivals)
        self.add(arrivals)
        return read

    def check_output(self, found: Delivery, n: int, ordinal: int) -> None:
        if (found.where, ordinal) not in load.outputs(n):
            self.complain("doubled", f"{found.at}: {found.where} has output {ordinal} for {n}, which gives {load.outputs(n)}")
        if found.key != load.key(n) or found.path != PATHS[found.where]:
            self.complain("other", f"{found.at}: {n} has key {found.key} and way {found.path}")
        if found.where == "ordered.out" and found.payload != load.payload(n):
            self.complain("other", f"{found.at}: the payload of {n} is {found.payload!r}")
        if self.durability == "disk" and n % SAMPLE == 0:
            expected = self.ids.output(found.partition, n, found.where, ordinal).hex()
            root = self.ids.root(found.partition, n).hex()
            if (found.id, found.root) != (expected, root):
                self.complain("doubled", f"{found.at}: {n} has id {found.id} and root {found.root}, expected {expected} and {root}")

    def count_outputs(self, arrivals: Arrivals) -> None:
        """Everything that was confirmed has arrived, and nothing else."""
        left = set(arrivals.latest)
        for name, partition in self.partitions.items():
            for n in range(1, partition.last_number + 1):
                for where, ordinal in load.outputs(n):
                    identity = (where, name, n, ordinal)
                    if identity in left:
                        left.remove(identity)
                    elif n not in self.missing[name]:
                        self.complain("lost", f"{where} {ordinal} of {n} of partition {name} was confirmed and has not arrived")
        for where, name, n, _ in left:
            last = self.partitions[name].last_number
            self.complain("other", f"{where} of {n} of partition {name} arrived, though the feed's last one is {last}")
        if self.durability == "disk" and len({each.id for each in arrivals.latest.values()}) != len(arrivals.latest):
            self.complain("doubled", "two records have one id")

    def add(self, arrivals: Arrivals) -> None:
        self.verdict.arrived += len(arrivals.latest)
        self.verdict.redelivered += arrivals.redelivered
        self.verdict.undone += arrivals.undone

    # ---- Windows ----

    def judge_windows(self, outputs: dict[str, tuple[str, int]]) -> None:
        """Each of `outputs`, and each number of the conformance source, is in one window of its key, in order."""
        arrivals = Arrivals(self.durability, self.complain)
        taken: dict[object, str] = {}  # (partition, number) -> window
        order = Order(self.complain)
        for found in arrivals.read(self.directory / "windows.tsv"):
            members = self.members(found, outputs)
            if not arrivals.is_first(found.id, found):
                continue
            self.check_window(found, members)
            for partition, n in members:
                # In relaxed mode windows of the feed may be made anew, of records that have come under other numbers.
                if self.durability == "disk" or partition == "p":
                    if (partition, n) in taken:
                        self.complain("doubled", f"{found.at}: {n} of {partition} is in this window and in {taken[partition, n]}")
                    order.add(found, (partition, found.key), (n,))
                taken[partition, n] = found.id
        self.count_windows(taken, outputs)
        self.add(arrivals)

    def members(self, found: Delivery, outputs: dict[str, tuple[str, int]]) -> list[tuple[str, int]]:
        """The records of a window: (partition, number); `p` is that of the conformance source."""
        if found.payload[:1].isdecimal():
            return [("p", int(each)) for each in found.payload.split(",")]
        unknown = [each for each in found.parents if each not in outputs]
        if unknown:
            self.complain("other", f"{found.at}: parent {unknown[0]} of the window is nobody's id")
        return [outputs[each] for each in found.parents if each in outputs]

    def check_window(self, found: Delivery, members: list[tuple[str, int]]) -> None:
        if not 1 <= len(members) <= load.WINDOW or len(members) != len(found.parents):
            self.complain("other", f"{found.at}: a window of {len(members)} records and {len(found.parents)} parents")
            return
        from_source = members[0][0] == "p"
        keys = {f"k{n % load.SOURCE_KEYS}" if partition == "p" else load.key(n) for partition, n in members}
        if keys != {found.key} and self.durability == "disk":
            self.complain("other", f"{found.at}: keys {sorted(keys)} in a window of key {found.key}")
        if found.path != ("source/window" if from_source else "feed/transform/ordered/window"):
            self.complain("other", f"{found.at}: the way of the window is {found.path}")
        parents = [bytes.fromhex(each) for each in found.parents]
        if found.id != self.ids.window(parents).hex():
            self.complain("doubled", f"{found.at}: the window's id is {found.id}, expected {self.ids.window(parents).hex()}")
        if from_source and members[0][1] % SAMPLE == 0 and parents != [self.ids.source(n) for _, n in members]:
            self.complain("doubled", f"{found.at}: the parents are not the ids of {members}")

    def count_windows(self, taken: dict, outputs: dict[str, tuple[str, int]]) -> None:
        for n in range(1, self.source_records + 1):
            if ("p", n) not in taken:
                self.complain("lost", f"number {n} of the conformance source is in no window")
        for name, n in set(outputs.values()):
            if (name, n) not in taken and n not in self.missing[name]:
                self.complain("lost", f"{n} of partition {name} is in no window")

    # ---- Dead letters ----

    def judge_letters(self, letters: list[dict]) -> None:
        """Each number that was to fail has one letter, with its reason, and nobody else has."""
        self.verdict.letters = len(letters)
        found = Counter(letter["id"] for letter in letters)
        for id, count in found.items():
            if count > 1:
                self.complain("doubled", f"{count} dead letters of record {id}", count - 1)
        expected = {}
        for name, partition in self.partitions.items():
            for n in range(1, partition.last_number + 1):
                if (reason := load.failure(n)) and n not in self.missing[name]:
                    expected[name, n] = reason
        if self.durability != "disk":
            # Emits of different numbers had the same ids: the counts of the reasons have to do.
            reasons = Counter(letter["reason"] for letter in letters)
            if reasons != Counter(expected.values()):
                self.complain("lost", f"dead letters are {dict(reasons)}, expected {dict(Counter(expected.values()))}")
            return
        reasons = {letter["id"]: letter["reason"] for letter in letters}
        for (name, n), reason in expected.items():
            if (has := reasons.pop(self.ids.root(name, n).hex(), None)) != reason:
                self.complain("lost", f"the dead letter of {n} of partition {name} is {has}, expected {reason}")
        for id, reason in reasons.items():
            self.complain("other", f"a dead letter ({reason}) of {id}, which was not to fail")


class Order:
    """Numbers of each lane, which only rise."""

    def __init__(self, complain):
        self.complain, self.last = complain, {}

    def add(self, found: Delivery, lane: tuple, position: tuple) -> None:
        if position <= self.last.get(lane, ()):
            self.complain("order", f"{found.at}: {position} of {lane} behind {self.last[lane]}")
        self.last[lane] = position
