"""What the feed emits and what has to become of it: functions of a number alone, so that the oracle knows every count
and every id without asking anybody.

A partition of the feed is the numbers from 1 on, cut into Emits of 1, 7, 20, 50, 1, 7, ... records. Number n says in its
payload what the conformance stages `transform` and `ordered` do with it (conformance/README.md).
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "ProtocolDoc"))

from murmur3 import derived_id, source_id  # noqa: E402

SIZES = (1, 7, 20, 50)  # records of Emit 1, 2, 3, 4; then again
CYCLE = sum(SIZES)
KEYS = 16  # of the feed
SOURCE_KEYS, PER_EMIT = 7, 10  # of the conformance source
WINDOW = 5  # records that end a window

# What `transform` emits for n, and `ordered` after it, by n modulo 5: (payload, echoed on `out`, emitted on `side`).
KINDS = (
    ("", False, 0),
    ("echo", True, 0),
    ("echo;emit 1 0 side", True, 1),
    ("echo;emit 2 0 side", True, 2),
    ("emit 3 12 side", False, 3),
)
# Numbers that become dead letters in `transform`: n modulo, remainder, payload, reason.
FAILURES = (
    (101, 50, "reject 1001 no", "REJECTED"),
    (211, 7, "retry 0 1002 again", "ATTEMPTS_EXHAUSTED"),
    (503, 11, "throw trouble", "ATTEMPTS_EXHAUSTED"),
)


def before(emit: int) -> int:
    """How many records the Emits before this one have."""
    cycles, rest = divmod(emit - 1, len(SIZES))
    return cycles * CYCLE + sum(SIZES[:rest])


def size(emit: int) -> int:
    return SIZES[(emit - 1) % len(SIZES)]


def place(n: int) -> tuple[int, int]:
    """Emit id and ordinal of number n where Emit 1 begins with number 1."""
    cycles, rest = divmod(n - 1, CYCLE)
    emit = cycles * len(SIZES) + 1
    while rest >= size(emit):
        rest -= size(emit)
        emit += 1
    return emit, rest


def key(n: int) -> str:
    return f"f{n % KEYS}"


def failure(n: int) -> str | None:
    """The reason of n's dead letter; None: it has none."""
    return next((reason for modulus, rest, _, reason in FAILURES if n % modulus == rest), None)


def payload(n: int) -> str:
    return next((text for modulus, rest, text, _ in FAILURES if n % modulus == rest), KINDS[n % 5][0])


def outputs(n: int) -> list[tuple[str, int]]:
    """What reaches the sink for n: (stage.port, ordinal)."""
    if failure(n):
        return []
    _, echoed, side = KINDS[n % 5]
    found = [("transform.side", each) for each in range(side)]
    if echoed:
        found += [("ordered.out", 0)] + [("ordered.side", each) for each in range(side)]
    return found


def checkpoint(emit: int, last: int) -> bytes:
    """Of an Emit that ends with number `last`."""
    return f"{emit}:{last}".encode()


class Ids:
    """The ids of docs/PROTOCOL.md, LI-5 and LI-6, hexadecimal."""

    def __init__(self, pipeline: str):
        self.pipeline = pipeline

    def root(self, partition: str, n: int) -> bytes:
        return source_id(self.pipeline, "feed", partition, *place(n))

    def output(self, partition: str, n: int, where: str, ordinal: int) -> bytes:
        root = self.root(partition, n)
        if where == "transform.side":
            return derived_id(self.pipeline, "transform", "side", [root], ordinal)
        echoed = derived_id(self.pipeline, "transform", "out", [root], 0)
        return derived_id(self.pipeline, "ordered", where.removeprefix("ordered."), [echoed], ordinal)

    def source(self, n: int) -> bytes:
        return source_id(self.pipeline, "source", "p", (n - 1) // PER_EMIT + 1, (n - 1) % PER_EMIT)

    def window(self, parents: list[bytes]) -> bytes:
        return derived_id(self.pipeline, "window", "out", parents, 0)
