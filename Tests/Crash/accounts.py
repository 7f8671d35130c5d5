"""Reads the feed's account: what was sent, what was confirmed, and what the broker answered to claims."""

from bisect import bisect_right
from dataclasses import dataclass, field

import load


@dataclass
class Claim:
    ns: int
    epoch: int
    last: int  # emit id that the broker knows
    checkpoint: str
    confirmed: int  # by the feed's account, before


@dataclass
class Loss:
    """What was confirmed and is gone: `relaxed` only."""

    ns: int  # of the claim that showed it
    numbers: range
    confirmations: list[int]  # when each lost one was confirmed
    retracted: range  # with what was sent and not yet confirmed


@dataclass
class Partition:
    name: str
    confirmed: int = 0  # emit id
    sent: int = 0
    bases: list[tuple[int, int]] = field(default_factory=lambda: [(1, 1)])
    claims: list[Claim] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    times: list[tuple[int, int]] = field(default_factory=list)  # (through, ns) of confirmations that hold
    finished: bool = False
    refused: int = 0

    def first(self, emit: int, base: tuple[int, int] | None = None) -> int:
        begin, number = base or self.bases[-1]
        return number + load.before(emit) - load.before(begin)

    @property
    def last_number(self) -> int:
        """Of what is confirmed, hence of what has to arrive."""
        return self.first(self.confirmed + 1) - 1


class Account:
    """One process of the feed, over all its lives: its partitions, and sentences about what must not be."""

    def __init__(self, path, names, durability: str):
        self.partitions = {name: Partition(name) for name in names}
        self.durability = durability
        self.wrong: list[tuple[str, str]] = []  # (kind, sentence)
        # Confirmations since the last start, in the order in which they came, of all partitions: (name, through).
        self.order: list[tuple[str, int]] = []
        self.claimed: dict[str, int] = {}  # of the session that begins: name -> last emit id
        with open(path) as file:
            for number, line in enumerate(file, 1):
                self.read(f"{path.name}:{number}", line)

    def read(self, at: str, line: str) -> None:
        match line.split():
            case ["start", _, _]:
                pass
            case ["claim", ns, name, epoch, last, checkpoint, _, emit, number]:
                self.claim(at, self.partitions[name], Claim(int(ns), int(epoch), int(last), checkpoint, 0), (int(emit), int(number)))
            case ["sent", _, name, emit]:
                self.partitions[name].sent = max(self.partitions[name].sent, int(emit))
            case ["confirmed", ns, name, through]:
                self.confirm(at, self.partitions[name], int(ns), int(through))
            case ["refused", name, emit, code]:
                self.wrong.append(("other", f"{at}: Emit {emit} of {name} was refused with {code}"))
            case ["finished", _, name]:
                self.partitions[name].finished = True
            case _ if line.endswith("\n") and line.strip():
                # A killed process may leave the beginning of a line, and nothing else.
                if line.split()[0] not in ("claim", "sent", "confirmed", "finished", "start") and len(line) > 8:
                    self.wrong.append(("other", f"{at}: cannot be read: {line!r}"))

    def confirm(self, at: str, partition: Partition, ns: int, through: int) -> None:
        if through > partition.sent:
            self.wrong.append(("other", f"{at}: Emit {through} of {partition.name} is confirmed, and only {partition.sent} were sent"))
        if through > partition.confirmed:
            partition.confirmed = through
            partition.times.append((through, ns))
            self.order.append((partition.name, through))

    def claim(self, at: str, partition: Partition, claim: Claim, base: tuple[int, int]) -> None:
        claim.confirmed = partition.confirmed
        earlier = partition.claims[-1] if partition.claims else None
        partition.claims.append(claim)
        if claim.last < partition.confirmed:
            if self.durability == "disk":
                self.wrong.append(
                    ("lost", f"{at}: the broker knows Emit {claim.last} of {partition.name} and had confirmed {partition.confirmed}"))
            self.lose(partition, claim)
            partition.bases = [each for each in partition.bases if each[0] <= claim.last] + [base]
        if earlier and self.durability == "disk" and claim.epoch < earlier.epoch:
            self.wrong.append(("other", f"{at}: epoch {claim.epoch} of {partition.name} after {earlier.epoch}"))
        # An answer to a claim confirms what it names (SO-2).
        self.confirm(at, partition, claim.ns, claim.last)
        # The base that held when that Emit was sent, which is the last one unless it has just been lost.
        expected = f"{claim.last}:{self.number_of(partition, claim.last)}" if claim.last else "-"
        if claim.checkpoint != expected:
            self.wrong.append(("lost", f"{at}: the checkpoint of {partition.name} is {claim.checkpoint}, expected {expected}"))
        self.check_prefix(at, partition, claim)

    @staticmethod
    def number_of(partition: Partition, emit: int) -> int:
        """The last number of an Emit that was sent."""
        base = max((base for base in partition.bases if base[0] <= emit), key=lambda base: base[0])
        return partition.first(emit + 1, base) - 1

    def lose(self, partition: Partition, claim: Claim) -> None:
        keep = bisect_right([through for through, _ in partition.times], claim.last)
        lost = partition.times[keep:]
        del partition.times[keep:]
        numbers = range(partition.first(claim.last + 1), partition.first(partition.confirmed + 1))
        retracted = range(numbers.start, partition.first(max(partition.sent, partition.confirmed) + 1))
        partition.losses.append(Loss(claim.ns, numbers, [ns for _, ns in lost], retracted))
        # The feed counts on from there.
        partition.confirmed = partition.sent = claim.last

    def check_prefix(self, at: str, partition: Partition, claim: Claim) -> None:
        """What is lost is the end of what this process was told, over its partitions: never a hole."""
        self.claimed[partition.name] = claim.last
        if len(self.claimed) < len(self.partitions):
            return
        kept = [through <= self.claimed[name] for name, through in self.order]
        if False in kept and True in kept[kept.index(False):]:
            hole = self.order[kept.index(False)]
            self.wrong.append(("lost", f"{at}: a hole: Emit {hole[1]} of {hole[0]} is gone, and what was confirmed after it is there"))
        self.order = []
        self.claimed = {}
