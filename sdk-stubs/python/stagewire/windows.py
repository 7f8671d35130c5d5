"""Windows: when they end, and which records are in them. Knows no clock and no broker.

    add ---> open (oldest first) --- records, bytes, time, watermark, end_all, end_oldest ---> ready

A window that was retried or released comes back record by record, when the watermark may have passed its
end long ago. Those records are not late: the assembler remembers what its windows had. They make up a
window that ends when as many have come as were given back, or when none has come for a while.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from .records import Record
from .stages import Bounds, Reject

if TYPE_CHECKING:
    from .lagging import LaggingLanes
    from .lanes import Lane

REMEMBERED = 65_536  # ids of records that windows had, to know those that return
RETURNING_SECONDS = 10.0  # that returning records wait for each other where a stream may be idle for ever
WindowId = tuple[int, bytes]  # start (0: by arrival), key
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def format_time(microseconds: int) -> str | int:
    """RFC 3339 in UTC, or the number itself outside of the years 1 to 9999."""
    try:
        moment = _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return microseconds
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


class Late(Exception):
    """This record's window has ended, and the stage can do without it."""


class Window:
    """What a handler is given: `records` as they came; `key` of all of them, with `by_key`.

    `start` and `end` are microseconds since 1970: the bounds of a window by event time, otherwise when its
    first record came and when it ended. `complete` is False when it is only a part of what it should be: it
    ended early because the broker lets a session hold no more, or the rest of it was given before.
    """

    __slots__ = (
        "records", "start", "end", "key", "complete", "rejected", "_id", "_bytes", "_deadline", "_returned", "_whole", "_cut"
    )

    def __init__(self, records: list[Record], start: int = 0, end: int = 0, key: bytes = b"", complete: bool = True):
        self.records = records
        self.start, self.end = start, end
        self.key = key
        self.complete = complete
        self.rejected: dict[int, Reject] = {}  # by delivery
        self._id: WindowId = (0, b"")
        self._bytes = 0
        self._deadline = math.inf  # seconds
        self._returned = False  # its time has passed; these are records that were given back
        self._cut = False  # it waited for others in vain
        self._whole = False  # all that were given back are here again

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def reject(self, record: Record, code: int, message: str = "") -> None:
        """Makes one record a dead letter; the others are settled as the handler ends."""
        self.rejected[record.delivery] = Reject(code, message)


@dataclass
class _Comeback:
    """What has been given back of a window and was not seen since."""

    records: int
    partial: bool  # it was a part only


class Assembler:
    """Puts records into windows; what has ended is taken out of `ready`. Times are seconds of any clock."""

    def __init__(self, bounds: Bounds):
        from .lagging import LaggingLanes

        self.bounds = bounds
        self.lanes = LaggingLanes(self)
        self.size = round((bounds.event_time or 0) * 1_000_000)  # microseconds; 0: by arrival
        self.lateness = round(bounds.lateness * 1_000_000)
        self.watermark = -math.inf
        self.ready: list[Window] = []
        self._open: dict[WindowId, Window] = {}  # a dict keeps the oldest first
        self._next_end = math.inf  # the least end of an open window that the watermark will pass
        self._last_came = 0.0
        self._partial: set[WindowId] = set()
        self._returning: dict[WindowId, _Comeback] = {}  # the oldest first
        self._given: dict[str, None] = {}  # ids, the oldest first

    def add(self, record: Record, now: float, wall: int = 0) -> None:
        """Puts a record into its window; raises what it is to be settled with if it has none. `wall`:
        microseconds since 1970."""
        self._last_came = now
        key = record.key if self.bounds.by_key else b""
        start, returning = 0, False
        if self.size:
            if not record.event_time:
                raise Reject(1000, "a record without event time has no place in a window by event time")
            start = record.event_time // self.size * self.size
            returning = self._admit(record, start)
        self._put(record, (start, key), returning, now, wall)

    def _admit(self, record: Record, start: int) -> bool:
        """Raises when the record is late; whether it was here before."""
        reached, returning = record.event_time - self.lateness, record.attempt > 1
        self._advance(reached)
        passed = start + self.size <= self.watermark
        if passed:
            if returning:
                self.lanes.fall_back(record, start, self._last_came)
            returning = returning or bool(record.id) and record.id in self._given
        watermark = self.lanes.progress(record, reached)
        if passed and start + self.size <= watermark and not returning:
            self._refuse_late(start + self.size)
        return returning

    def _refuse_late(self, end: int) -> None:
        if self.bounds.late == "accept":
            raise Late
        raise Reject(1000, f"late: its window ended at {format_time(end)}")

    def _put(self, record: Record, name: WindowId, returning: bool, now: float, wall: int) -> None:
        window, limit, size = self._open.get(name), self.bounds.bytes, len(record.payload)
        if window and limit and window._bytes + size > limit:
            self._end(window, wall)
            window = None
        if window is None:
            window = self._begin(name, now, wall)
        window.records.append(record)
        window._bytes += size
        if returning:
            self._welcome_back(window)
        if window._returned:
            window._deadline = now + (self.bounds.idle or RETURNING_SECONDS)
        if (
            window._returned and window._whole and not self.lanes.await_window(window)
            or len(window.records) == self.bounds.records
            or limit and window._bytes >= limit
        ):
            self._end(window, wall)

    def _welcome_back(self, window: Window) -> None:
        expected = self._returning.get(window._id)
        if expected is None:
            return
        expected.records -= 1
        if expected.records == 0:
            del self._returning[window._id]
            window._whole = True
            window.complete = window.complete and not expected.partial

    def _begin(self, name: WindowId, now: float, wall: int) -> Window:
        window = self._open[name] = Window([], wall, key=name[1])
        window._id = name
        if self.bounds.seconds is not None:
            window._deadline = now + self.bounds.seconds
        if self.size:
            window.start, window.end = name[0], name[0] + self.size
            window._returned = window.end <= self.watermark or self._is_held_back(window)
            if not window._returned:
                self._next_end = min(self._next_end, window.end)
        return window

    def _end(self, window: Window, wall: int) -> None:
        del self._open[window._id]
        if not self.size:
            window.end = wall
        else:
            for record in window.records:
                if record.id:
                    self._given[record.id] = None
            while len(self._given) > REMEMBERED:
                del self._given[next(iter(self._given))]
            if window._id in self._partial or window._cut:
                window.complete = False
        self.ready.append(window)

    def _advance(self, watermark: float) -> None:
        """Moves the watermark, and ends what it passes: the earliest end first."""
        if watermark <= self.watermark:
            return
        self.watermark = watermark
        if watermark < self._next_end:
            return
        waiting = [each for each in self._open.values() if not each._returned]
        for window in sorted((each for each in waiting if each.end <= watermark), key=lambda each: each.end):
            self._end(window, 0)
        self._next_end = min((each.end for each in waiting if each.end > watermark), default=math.inf)
        self._partial = {each for each in self._partial if each[0] + self.size > watermark}

    def tick(self, now: float, quiet: bool, wall: int = 0) -> None:
        """Ends what time ends. `quiet`: no record waits to be added."""
        if quiet and self._open and self._counts_idle() and now - self._last_came >= self.bounds.idle:
            self._advance(max(each.end for each in self._open.values()))
        self.lanes.forget(now)
        for window in [each for each in self._open.values() if each._deadline <= now]:
            window._cut = window._returned and not window._whole
            self._end(window, wall)

    def _counts_idle(self) -> bool:
        return self.size > 0 and self.bounds.idle > 0

    @property
    def deadline(self) -> float | None:
        """When `tick` is to be called next; None: not before another record."""
        if not self._open:
            return None
        if not self.size:
            deadline = next(iter(self._open.values()))._deadline  # by arrival the oldest is due first
        else:
            deadline = min(each._deadline for each in self._open.values())
            if self._counts_idle():
                deadline = min(deadline, self._last_came + self.bounds.idle)
        return None if deadline == math.inf else deadline

    def end_all(self, wall: int = 0) -> None:
        """Ends every window but those whose records are still coming back."""
        for window in list(self._open.values()):
            if not (window._returned and window._id in self._returning):
                self._end(window, wall)
        self._next_end = math.inf

    def end_oldest(self, wall: int = 0) -> bool:
        """Ends the oldest window, for there is no room for more. False: there is none."""
        window = next(iter(self._open.values()), None)
        if window is None:
            return False
        window.complete = False
        if self.size and not window._returned:
            self._partial.add(window._id)
        self._end(window, wall)
        return True

    def give_back(self, window: Window) -> list[Record]:
        """Expects the records of a window to come again. What is held behind them is void (OR-3): it leaves its
        window, comes again as well, and is to be released."""
        first = self.lanes.give_back(window, self._last_came)
        void: list[Record] = []
        # Of the windows by key only those of these keys have such records.
        keys = {key for _, key in first} if self.bounds.by_key else {b""}
        for each in [*self.ready, *self._open.values()]:
            if b"" in keys or each.key in keys:
                self._drop_void(each, first, void)
        for each in [each for each in self._open.values() if not each.records]:
            del self._open[each._id]
        if self.size:
            known = self._returning.pop(window._id, None) or _Comeback(0, False)
            known.records += len(window.records)
            known.partial = known.partial or not window.complete
            self._returning[window._id] = known
            # One that never comes back (a dead letter by now) leaves its entry behind: not without bound.
            while len(self._returning) > REMEMBERED:
                del self._returning[next(iter(self._returning))]
        self.hold_back()
        return void

    def _drop_void(self, window: Window, first: dict[Lane, int], void: list[Record]) -> None:
        kept = []
        for record in window.records:
            lane = self.lanes.of(record)
            if lane is not None and lane in first and record.delivery > first[lane]:
                void.append(record)
                window._bytes -= len(record.payload)
                if self.size and record.id:
                    self._given[record.id] = None
            else:
                kept.append(record)
        window.records = kept

    def _is_held_back(self, window: Window) -> bool:
        return self.bounds.by_key and bool(self.lanes.lagging) and self.lanes.await_window(window)

    def hold_back(self) -> None:
        """Keeps the watermark from ending open windows of lanes that lag."""
        for window in self._open.values():
            if self.size and not window._returned and self._is_held_back(window):
                window._returned = True
                window._deadline = self._last_came + (self.bounds.idle or RETURNING_SECONDS)

    def end_caught_up(self) -> None:
        """Ends windows that only waited for lagging lanes; the watermark has them again otherwise."""
        for window in list(self._open.values()):
            if not window._returned or window._id in self._returning or self.lanes.await_window(window):
                continue
            if window.end <= self.watermark:
                self._end(window, 0)
            else:
                window._returned, window._deadline = False, math.inf
                self._next_end = min(self._next_end, window.end)
