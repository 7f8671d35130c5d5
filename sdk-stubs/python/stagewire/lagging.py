"""Lanes that lag: what a window that was given back does to the lateness of the records behind it.

Until the given back records have come again, the broker delivers nothing of their lanes, while the others
move the watermark. So what then comes of a lane that lags is measured by the lane's own progress. What was
under way meanwhile is void and does not get here: see `lanes`.
"""

from __future__ import annotations

from dataclasses import dataclass

from .lanes import Lane, lane_of
from .records import Record
from .windows import REMEMBERED, Assembler, Window

# After which a lane does not lag any more: nothing says that what was given back is a dead letter. The broker's
# default for the age at which a record is not tried again; one that comes nevertheless makes its lane fall back.
LAGGING_SECONDS = 600.0


@dataclass
class Lag:
    """A lane that waits for what was given back of it."""

    behind: int  # how far it has come, microseconds
    since: float  # seconds


class LaggingLanes:
    """The lanes of an assembler's records, as far as they lag."""

    def __init__(self, assembler: Assembler):
        self.assembler = assembler
        self.ordering: dict[int, int] = {}  # of inputs
        self.lagging: dict[Lane, Lag] = {}  # the oldest first

    def of(self, record: Record) -> Lane | None:
        return lane_of(record, self.ordering)

    def give_back(self, window: Window, now: float) -> dict[Lane, int]:
        """These lanes lag from the window on: each with the first delivery behind which all are void (OR-3)."""
        first: dict[Lane, int] = {}
        for record in window.records:
            lane = self.of(record)
            if lane is not None:
                first[lane] = min(first.get(lane, record.delivery), record.delivery)
        if self.assembler.size:
            for lane in first:
                self._lag(lane, window.start, now)
        return first

    def fall_back(self, record: Record, start: int, now: float) -> None:
        """Another worker, or this one before a crash, may have given back a record that was tried before."""
        lane = self.of(record)
        if lane is not None and lane not in self.lagging:
            self._lag(lane, start, now)
            self.assembler.hold_back()

    def _lag(self, lane: Lane, start: int, now: float) -> None:
        lag = self.lagging.pop(lane, None) or Lag(start, now)
        lag.behind, lag.since = min(lag.behind, start), now
        self.lagging[lane] = lag

    def progress(self, record: Record, reached: int) -> float:
        """Moves the record's lane if it lags; the watermark that counts for the record."""
        watermark = self.assembler.watermark
        lane = self.of(record) if self.lagging else None
        lag = self.lagging.get(lane) if lane else None
        if lane is None or lag is None:
            return watermark
        size, before = self.assembler.size, lag.behind
        lag.behind = max(before, reached)
        if lag.behind >= watermark:
            self._end(lane)
            return watermark
        if before // size != lag.behind // size:
            self.assembler.end_caught_up()
        return lag.behind

    def _end(self, lane: Lane) -> None:
        del self.lagging[lane]
        self.assembler.end_caught_up()

    def forget(self, now: float) -> None:
        """Does not wait for ever, nor for too many: a key whose records are dead letters may never come again."""
        while self.lagging:
            lane, lag = next(iter(self.lagging.items()))
            if now - lag.since < LAGGING_SECONDS and len(self.lagging) <= REMEMBERED:
                return
            self._end(lane)

    def await_window(self, window: Window) -> bool:
        """Whether a lagging lane may still have records for the window."""
        if not self.assembler.bounds.by_key:
            return any(lag.behind < window.end for lag in self.lagging.values())
        lags = [self.lagging.get((number, key)) for number in self.ordering for key in {b"", window.key}]
        return any(lag.behind < window.end for lag in lags if lag)
