"""Stages with windows: what they hold is delivered and not settled, so it survives any crash."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from . import codes
from .lanes import Lanes
from .outbox import Outbox
from .records import Emission, Record
from .session import Batch, Session
from .stages import Reject, Stage
from .verdicts import drains_for_shutdown, settle_failed
from .windows import Assembler, Late, Window


class Holding:
    """One session of a stage with windows."""

    def __init__(self, stage: Stage, session: Session, handler: Callable[[Any], Any]):
        self.stage, self.session, self.handler = stage, session, handler
        self.outbox = Outbox(session)
        self.lanes = Lanes(session, self.outbox)
        self.assembler = Assembler(stage.bounds)
        self.held: dict[int, list[int]] = {
            each.number: [0, 0] for each in session.welcome.inputs  # records, bytes
        }
        self.limits = {
            each.number: (each.max_unsettled_records, each.max_unsettled_bytes) for each in session.welcome.inputs
        }
        self.sizes: dict[int, int] = {}  # of held records, by delivery
        self.assembler.lanes.ordering = self.lanes.ordering
        # Records that outlive their neighbours must not keep the whole frame in memory.
        self.copies = stage.bounds.by_key or stage.bounds.event_time is not None

    def run(self) -> None:
        """Handles windows until the session is over; what is held then is given back by the Close(0)."""
        session, assembler, ended = self.session, self.assembler, False
        while not session.stopping:
            calls = session.calls
            batch = None
            if session.drain is None or ended:
                batch = session.next_batch(self._timeout(), calls)
            else:  # everything ends once the queue is empty
                batch = session.next_batch(0.0, calls)
            now, wall = time.monotonic(), time.time_ns() // 1000
            if batch is not None:
                self._hold(batch, now, wall)
            ended = session.drain is not None and batch is None
            if drains_for_shutdown(session):
                self._release_all()
                continue
            if ended:
                assembler.end_all(wall)
            assembler.tick(now, batch is None, wall)
            self._handle_ready()
            if batch is None:
                self.outbox.flush()
        self.outbox.flush()

    def _timeout(self) -> float | None:
        self.outbox.flush()  # the broker may be waiting for just that
        deadline = self.assembler.deadline
        return None if deadline is None else max(0.0, deadline - time.monotonic())

    def _hold(self, batch: Batch, now: float, wall: int) -> None:
        held, (most, most_bytes) = self.held[batch.input], self.limits[batch.input]
        most_bytes -= self.session.welcome.max_record
        if self.lanes.closed:
            self.lanes.forget(batch.first)
        for i, view in enumerate(batch.views):
            delivery = batch.first + i
            if self.session.stopping or drains_for_shutdown(self.session):
                rest = len(batch.views) - i
                self.outbox.release([(delivery, delivery + rest - 1)], rest)
                return
            record = Record(view, batch, delivery)
            if self.lanes.closed and self.lanes.turn_away(record):
                continue
            size = self.sizes[delivery] = record.encoded_size
            held[0] += 1
            held[1] += size
            self._assemble(record.copied() if self.copies else record, now, wall)
            # Full: the broker might deliver nothing more before something is settled (DE-4).
            while (held[0] >= most or held[1] > most_bytes) and self.assembler.end_oldest(wall):
                self._handle_ready()

    def _assemble(self, record: Record, now: float, wall: int) -> None:
        delivery = record.delivery
        try:
            self.assembler.add(record, now, wall)
        except Late:
            self._forget(record)
            self.outbox.filter(delivery, delivery)
        except Reject as why:
            self._forget(record)
            settle_failed(self.outbox, [(delivery, delivery)], 1, why)
        if self.assembler.ready:
            self._handle_ready()

    def _forget(self, record: Record) -> None:
        held = self.held[record.input_number]
        held[0] -= 1
        held[1] -= self.sizes.pop(record.delivery)

    def _handle_ready(self) -> None:
        ready = self.assembler.ready
        while ready:
            window = ready.pop(0)
            if not window.records:
                continue  # they were void
            for record in window.records:
                self._forget(record)
            if self.session.stopping or drains_for_shutdown(self.session):
                self.outbox.release(ranges_of(window.records), len(window.records))
            else:
                self._handle(window)

    def _handle(self, window: Window) -> None:
        self.outbox.flush()  # what is finished does not wait for this one
        self.session.began = time.monotonic()
        try:
            accepted, emissions = judged(self.stage, self.handler, window)
            if accepted:
                known = {each.delivery for each in accepted}
                self.outbox.accept(ranges_of(accepted), len(accepted), emissions, known)
            for delivery, why in window.rejected.items():
                settle_failed(self.outbox, [(delivery, delivery)], 1, why)
        except Exception as error:
            kind = settle_failed(self.outbox, ranges_of(window.records), len(window.records), error)
            if kind != codes.REJECTED:
                self.lanes.give_back(window.records)
                void = self.assembler.give_back(window)
                for each in void:
                    self._forget(each)
                self.lanes.release(void)
        finally:
            self.session.began = None

    def _release_all(self) -> None:
        while self.assembler.end_oldest():
            pass
        self._handle_ready()
        self.outbox.flush()


def judged(stage: Stage, handler: Callable[[Any], Any], window: Window) -> tuple[list[Record], list[Emission]]:
    """Calls the handler: the records that are not rejected, and what it emits from them."""
    result = handler(window.records if stage.kind == "batch" else window)
    emissions = [result] if isinstance(result, Emission) else list(result or ())
    deliveries = {each.delivery for each in window.records}
    if not deliveries.issuperset(window.rejected):
        raise ValueError("window.reject() names records of the window")
    accepted = [each for each in window.records if each.delivery not in window.rejected]
    if emissions and not accepted:
        raise ValueError("a window whose records are all rejected emits nothing")
    return accepted, emissions


def ranges_of(records: list[Record]) -> list[tuple[int, int]]:
    """Their deliveries as ascending ranges of consecutive ones."""
    ranges: list[tuple[int, int]] = []
    for each in sorted([record.delivery for record in records]):
        if ranges and ranges[-1][1] + 1 == each:
            ranges[-1] = (ranges[-1][0], each)
        else:
            ranges.append((each, each))
    return ranges
