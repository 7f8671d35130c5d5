"""Transforms and sinks: from deliveries to outcomes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from . import codes
from .crew import Crew
from .holding import Holding, ranges_of
from .lanes import Lanes
from .outbox import Outbox
from .records import Emission, Record
from .session import Batch, Session
from .stages import Stage
from .verdicts import drains_for_shutdown, settle_failed

FLUSH_SECONDS = 0.02  # outcomes of a slow handler do not wait for the rest of their batch


def run_consumer(stage: Stage, session: Session, config: Any) -> None:
    """Handles deliveries until the session is over: returns when this worker is to say Close, or raises
    `Closed` or `Lost`."""
    handler = stage.bound(config)
    if stage.holds:
        Holding(stage, session, handler).run()
    elif stage.workers > 1:
        Crew(stage, session, handler).run()
    else:
        _PerDelivery(stage, session, handler).run()


class _PerDelivery:
    """Transforms and sinks: settles in order, never holds a delivery longer than its handler runs."""

    def __init__(self, stage: Stage, session: Session, handler: Callable[[Any], Any]):
        self.stage, self.session, self.handler = stage, session, handler
        self.outbox = Outbox(session)
        self.lanes = Lanes(session, self.outbox)

    def run(self) -> None:
        while not self.session.stopping:
            batch = self.session.next_batch(None, self.session.calls)
            if batch is None:
                continue
            first, count = batch.first, len(batch.views)
            if self.lanes.closed:
                self.lanes.forget(first)
            if self.stage.kind == "batch-sink" and not self._leaving():
                self._handle_whole(batch)
            else:
                done = self._handle_each(batch)
                if done < count:
                    self.outbox.release([(first + done, first + count - 1)], count - done)
            self.session.began = None
            self.outbox.flush()

    def _leaving(self) -> bool:
        """Nothing new is begun; what has not started goes back."""
        return self.session.stopping or drains_for_shutdown(self.session)

    def _handle_each(self, batch: Batch) -> int:
        """Returns how many were settled: all, unless the session drains."""
        handler, outbox, session, closed = self.handler, self.outbox, self.session, self.lanes.closed
        emits, accept, monotonic = self.stage.kind == "transform", outbox.accept_one, time.monotonic
        delivery, flushed = batch.first, monotonic()
        session.began = flushed
        for view in batch.views:
            if session.stopping or session.drain is not None and self._leaving():
                break
            if closed and self.lanes.turn_away(Record(view, batch, delivery)):
                delivery += 1
                continue
            try:
                result = handler(Record(view, batch, delivery))
                if result is None:
                    outbox.filter(delivery, delivery)
                elif not emits:
                    raise TypeError(f"a sink returns nothing, not {type(result).__name__}")
                elif type(result) is Emission:
                    accept(delivery, result)
                elif len(several := [*result]) == 1 and type(several[0]) is Emission:
                    accept(delivery, several[0])
                else:
                    self._accept_several(delivery, several)
            except Exception as error:
                kind = settle_failed(outbox, [(delivery, delivery)], 1, error)
                if kind != codes.REJECTED:
                    self.lanes.give_back([Record(view, batch, delivery)])
            delivery += 1
            session.began = now = monotonic()
            if now - flushed > FLUSH_SECONDS:
                outbox.flush()
                flushed = now
        return int(delivery - batch.first)

    def _accept_several(self, delivery: int, emissions: list[Emission]) -> None:
        if emissions:
            self.outbox.accept([(delivery, delivery)], 1, emissions)
        else:
            self.outbox.filter(delivery, delivery)

    def _handle_whole(self, batch: Batch) -> None:
        first, last = batch.first, batch.first + len(batch.views) - 1
        records, ranges = [Record(view, batch, first + i) for i, view in enumerate(batch.views)], [(first, last)]
        if self.lanes.closed:
            records = [each for each in records if not self.lanes.turn_away(each)]
            ranges = ranges_of(records)
        if not records:
            return
        given = list(records)  # the handler may do with its list what it likes
        self.session.began = time.monotonic()
        try:
            if self.handler(given) is not None:
                raise TypeError("a sink returns nothing")
        except Exception as error:
            if settle_failed(self.outbox, ranges, len(records), error) != codes.REJECTED:
                self.lanes.give_back(records)
            return
        for each in ranges:
            self.outbox.filter(*each)
