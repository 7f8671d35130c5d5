"""Reads the account of a sink: what arrived, in which order, how often, and what was settled for good."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Arrival:
    """A record's latest delivery."""

    id: str
    session: int
    delivery: int


@dataclass(slots=True)
class Delivery:
    """A line of the account."""

    at: str
    ns: int
    session: int
    where: str  # stage.port
    delivery: int
    attempt: int
    id: str
    root: str
    parents: list[str]
    key: str
    partition: str
    number: int
    path: str
    payload: str


class Arrivals:
    """Reads lines, and judges repetitions: a record may come again only in another session, and only as long as its
    settlement was not confirmed (ST-8)."""

    def __init__(self, durability: str, complain: Callable[[str, str], None]):
        self.durability, self.complain = durability, complain
        self.sessions: dict[str, int] = {}
        self.final: list[int] = []  # per session: settled for good through this delivery
        self.last: list[int] = []  # per session: the latest delivery
        self.latest: dict[object, Arrival] = {}
        self.redelivered = 0
        self.undone = 0  # settled, and forgotten: `relaxed` only

    def read(self, path):
        """The deliveries of a file."""
        with open(path) as file:
            for number, line in enumerate(file, 1):
                fields = line.rstrip("\n").split("\t")
                kind = fields[0]
                if kind == "D" and len(fields) == 14:
                    yield self.delivery(f"{path.name}:{number}", fields)
                elif kind == "C" and len(fields) == 4:
                    session = self.sessions[fields[1]]
                    self.final[session] = max(self.final[session], int(fields[3]))
                elif kind == "S" and len(fields) == 4:
                    self.sessions[fields[1]] = len(self.final)
                    self.final.append(0)
                    self.last.append(0)
                elif kind not in ("", "D", "C", "S"):
                    self.complain("other", f"{path.name}:{number}: cannot be read: {line!r}")

    def delivery(self, at: str, fields: list[str]) -> Delivery:
        _, session, ns, where, delivery, attempt, id, root, parents, key, partition, number, route, payload = fields
        found = Delivery(
            at, int(ns), self.sessions[session], where, int(delivery), int(attempt), id, root, parents.split(",") if parents else [],
            key, partition, int(number), route, payload)
        if found.delivery <= self.last[found.session]:
            self.complain("doubled", f"{at}: delivery {delivery} of session {session} for the second time")
        self.last[found.session] = found.delivery
        return found

    def is_first(self, identity: object, found: Delivery, may_change: bool = False) -> bool:
        """Whether this record had not come before. `identity`: what the record is, apart from its id. `may_change`: it was
        retracted and emitted anew, so it may have another id."""
        before = self.latest.get(identity)
        self.latest[identity] = Arrival(found.id, found.session, found.delivery)
        if before is None:
            return True
        if before.id != found.id:
            if not may_change:
                self.complain("doubled", f"{found.at}: {identity} has come as {before.id} and comes as {found.id}")
            return False
        self.redelivered += 1
        if before.session == found.session:
            self.complain("doubled", f"{found.at}: {identity} comes twice in one session")
        elif before.delivery <= self.final[before.session]:
            if self.durability == "disk":
                self.complain("doubled", f"{found.at}: {identity} comes again, though its settlement was confirmed")
            self.undone += 1
        return False
