"""Lanes that lag: what a window that was given back does to the records behind it.

Until the given back records have come again, the broker delivers nothing of their lanes, while the others
move the watermark. So what then comes of a lane that lags is measured by the lane's own progress.
"""

from __future__ import annotations

from dataclasses import dataclass

from .records import Record
from .v1 import envelope_pb2 as pb
from .windows import Assembler, Window

Lane = tuple[int, bytes]  # what the broker keeps in order: the records of an input's key, or all of an input


@dataclass
class Lag:
    """A lane that waits for what was given back of it."""

    behind: int  # how far it has come, microseconds
    back: bool = False  # the given back records are coming; what came before them was under way and is void


class Lanes:
    """The lanes of an assembler's records."""

    def __init__(self, assembler: Assembler):
        self.assembler = assembler
        self.ordering: dict[int, int] = {}  # of inputs
        self.lagging: dict[Lane, Lag] = {}

    def of(self, record: Record) -> Lane | None:
        """None: its input has no order, or the record no key. An unknown ordering is TOTAL (HS-6)."""
        ordering = self.ordering.get(record.input_number)
        if ordering == pb.ORDERING_NONE:
            return None
        if ordering == pb.ORDERING_KEY:
            return (record.input_number, record.key) if record.key else None
        return record.input_number, b""

    def give_back(self, window: Window) -> dict[Lane, int]:
        """These lanes lag from the window on: each with the first delivery behind which all are void (OR-3)."""
        first: dict[Lane, int] = {}
        for record in window.records:
            lane = self.of(record)
            if lane is not None:
                first[lane] = min(first.get(lane, record.delivery), record.delivery)
        if self.assembler.size:
            for lane in first:
                lag = self.lagging.get(lane)
                self.lagging[lane] = Lag(window.start if lag is None else min(lag.behind, window.start))
        return first

    def fall_back(self, record: Record, start: int) -> None:
        """Another worker, or this one before a crash, may have given back a record that was tried before."""
        lane = self.of(record)
        if lane is not None and lane not in self.lagging:
            self.lagging[lane] = Lag(start, back=True)
            self.assembler.hold_back()

    def progress(self, record: Record, reached: int, expected: bool) -> float:
        """Moves the record's lane if it lags; the watermark that counts for the record."""
        watermark = self.assembler.watermark
        lane = self.of(record) if self.lagging else None
        lag = self.lagging.get(lane) if lane else None
        if lane is None or lag is None:
            return watermark
        size, before = self.assembler.size, lag.behind
        lag.back = lag.back or expected
        if lag.back:
            lag.behind = max(before, reached)
        if lag.behind >= watermark:
            del self.lagging[lane]
            self.assembler.end_caught_up()
            return watermark
        if before // size != lag.behind // size:
            self.assembler.end_caught_up()
        return lag.behind

    def await_window(self, window: Window) -> bool:
        """Whether a lagging lane may still have records for the window."""
        by_key = self.assembler.bounds.by_key
        return any(
            lag.behind < window.end and (not by_key or lane[1] in (b"", window.key))
            for lane, lag in self.lagging.items()
        )
