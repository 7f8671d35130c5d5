"""Transforms, sinks and batches: from deliveries to outcomes."""

from __future__ import annotations

import sys
import time
import traceback

from . import codes
from .outbox import Outbox, Refused
from .records import Emission, Record
from .session import Batch, Closed, Lost, Session
from .stages import Reject, Release, Retry, Stage
from .v1 import envelope_pb2 as pb

TAGS = 16  # bytes of a record beside its three fields, at most
FLUSH_SECONDS = 0.02  # outcomes of a slow handler do not wait for the rest of their batch
TRACEBACKS = 20  # shown per process; a poison stream must not fill the disk with them

_shown = 0


def run_consumer(stage: Stage, session: Session, config) -> None:
    """Handles deliveries until the session is over: returns when this worker is to say Close, or raises
    `Closed` or `Lost`."""
    handler = stage.bound(config)
    if stage.kind == "batch":
        _Windows(stage, session, handler).run()
    else:
        _PerDelivery(stage, session, handler).run()


def _drains_for_shutdown(session: Session) -> bool:
    # A reason of later versions counts as a shutdown (EN-3).
    return session.drain is not None and session.drain.reason != pb.DRAIN_REASON_INPUT_ENDED


class _PerDelivery:
    """Transforms and sinks: settles in order, never holds a delivery longer than its handler runs."""

    def __init__(self, stage: Stage, session: Session, handler):
        self.stage, self.session, self.handler = stage, session, handler
        self.outbox = Outbox(session)

    def run(self) -> None:
        while not self.session.stopping:
            calls = self.session.calls
            batch = self.session.next_batch(None, calls)
            if batch is None:
                continue
            first, count = batch.first, len(batch.views)
            if self.stage.kind == "batch-sink" and not self._leaving():
                self._handle_whole(batch)
            else:
                done = self._handle_each(batch)
                if done < count:
                    self.outbox.release([(first + done, first + count - 1)], count - done)
            self.outbox.flush()

    def _leaving(self) -> bool:
        """Nothing new is begun; what has not started goes back."""
        return self.session.stopping or _drains_for_shutdown(self.session)

    def _handle_each(self, batch: Batch) -> int:
        """Returns how many were handled: all, unless the session drains."""
        handler, outbox, session = self.handler, self.outbox, self.session
        emits = self.stage.kind == "transform"
        delivery, flushed = batch.first, time.monotonic()
        for view in batch.views:
            if session.stopping or session.drain is not None and self._leaving():
                break
            try:
                result = handler(Record(view, batch, delivery))
                if result is None:
                    outbox.filter(delivery, delivery)
                elif not emits:
                    raise TypeError(f"a sink returns nothing, not {type(result).__name__}")
                else:
                    self._accept(delivery, result)
            except Exception as error:
                _fail(outbox, [(delivery, delivery)], 1, error)
            delivery += 1
            now = time.monotonic()
            if now - flushed > FLUSH_SECONDS:
                outbox.flush()
                flushed = now
        return delivery - batch.first

    def _accept(self, delivery: int, result) -> None:
        if type(result) is not Emission:
            result = list(result)
            if len(result) != 1 or type(result[0]) is not Emission:
                self._accept_several(delivery, result)
                return
            result = result[0]
        self.outbox.accept_one(delivery, result)

    def _accept_several(self, delivery: int, emissions: list) -> None:
        if emissions:
            self.outbox.accept([(delivery, delivery)], 1, emissions)
        else:
            self.outbox.filter(delivery, delivery)

    def _handle_whole(self, batch: Batch) -> None:
        first, count = batch.first, len(batch.views)
        records = [Record(view, batch, first + i) for i, view in enumerate(batch.views)]
        try:
            if self.handler(records) is not None:
                raise TypeError("a sink returns nothing")
            self.outbox.filter(first, first + count - 1)
        except Exception as error:
            _fail(self.outbox, [(first, first + count - 1)], count, error)


class _Windows:
    """Batches that wait to fill up: one outcome over all their deliveries."""

    def __init__(self, stage: Stage, session: Session, handler):
        self.stage, self.session, self.handler = stage, session, handler
        self.outbox = Outbox(session)
        self.held: list[Record] = []
        self.held_records: dict[int, int] = {}  # by input; what no longer waits in a buffer
        self.held_bytes: dict[int, int] = {}
        self.deadline = 0.0

    def run(self) -> None:
        while True:
            calls = self.session.calls
            if self.session.stopping:
                return  # a Close(0) gives back what is held
            if _drains_for_shutdown(self.session):
                self._release()
            elif self.held and (self.session.drain or self._is_due()):
                self._flush()
            timeout = max(0.0, self.deadline - time.monotonic()) if self.held else None
            batch = self.session.next_batch(timeout, calls)
            if batch:
                self._hold(batch)

    def _is_due(self) -> bool:
        """Time is up; or the broker might deliver nothing more before something is settled."""
        if time.monotonic() >= self.deadline:
            return True
        largest = self.session.welcome.max_record
        for each in self.session.welcome.inputs:
            records = self.held_records.get(each.number, 0)
            size = self.held_bytes.get(each.number, 0)
            if records >= each.max_unsettled_records:
                return True
            if size and size + largest > each.max_unsettled_bytes:
                return True
        return False

    def _hold(self, batch: Batch) -> None:
        number = batch.input
        for i, view in enumerate(batch.views):
            if not self.held:
                self.deadline = time.monotonic() + self.stage.seconds
            self.held.append(Record(view, batch, batch.first + i))
            size = len(view.lineage) + len(view.header) + len(view.payload) + TAGS
            self.held_records[number] = self.held_records.get(number, 0) + 1
            self.held_bytes[number] = self.held_bytes.get(number, 0) + size
            if len(self.held) == self.stage.records and not _drains_for_shutdown(self.session):
                self._flush()

    def _take(self) -> tuple[list[Record], list[tuple[int, int]]]:
        records, self.held = self.held, []
        self.held_records, self.held_bytes = {}, {}
        return records, _ranges([each.delivery for each in records])

    def _release(self) -> None:
        if self.held:
            records, ranges = self._take()
            self.outbox.release(ranges, len(records))
            self.outbox.flush()

    def _flush(self) -> None:
        records, ranges = self._take()
        try:
            result = self.handler(records)
            if isinstance(result, Emission):
                result = [result]
            known = {each.delivery for each in records}
            self.outbox.accept(ranges, len(records), list(result or ()), known)
        except Exception as error:
            _fail(self.outbox, ranges, len(records), error)
        self.outbox.flush()


def _ranges(deliveries: list[int]) -> list[tuple[int, int]]:
    """Ascending ids as ranges of consecutive ones."""
    ranges: list[tuple[int, int]] = []
    for each in deliveries:
        if ranges and ranges[-1][1] + 1 == each:
            ranges[-1] = (ranges[-1][0], each)
        else:
            ranges.append((each, each))
    return ranges


def _fail(outbox: Outbox, ranges: list, count: int, error: Exception) -> None:
    """What a handler's exception says about its deliveries."""
    if isinstance(error, (Closed, Lost)):
        raise error  # the session is over: nobody is there to be told
    if isinstance(error, Release):
        outbox.release(ranges, count)
    elif isinstance(error, Reject):
        message = error.message or "rejected"
        outbox.fail(
            ranges, count, codes.REJECTED, error.code, message, indefinite=error.indefinite
        )
    elif isinstance(error, Refused):
        outbox.fail(ranges, count, codes.REJECTED, error.code, error.message)
    elif isinstance(error, Retry):
        outbox.fail(
            ranges, count, codes.RETRY, error.code, error.message or "to be tried again",
            error.delay_ms, error.indefinite,
        )
    else:
        _show(error)
        message = f"{type(error).__name__}: {error}"
        outbox.fail(ranges, count, codes.RETRY, codes.APPLICATION, message)


def _show(error: Exception) -> None:
    global _shown
    _shown += 1
    if _shown <= TRACEBACKS:
        traceback.print_exception(error, file=sys.stderr)
    if _shown == TRACEBACKS:
        print("stagewire: further tracebacks are left out", file=sys.stderr)
