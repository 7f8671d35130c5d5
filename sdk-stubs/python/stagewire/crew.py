"""Transforms and sinks with several handlers at once, each in a thread.

    Deliver -> a busy lane's queue -> ready, oldest first -> a thread -> done -> credit -> the outbox
               (what is related to something that is not settled yet)        (main thread, as all but the handlers)

A lane has one record between `ready` and the outbox, so related records are handled and settled in order (OR-2),
and what a verdict voids has never begun. All that the broker delivers leaves the queue at once: it bounds how
much a session holds (DE-3), and what can begin may stand behind much that cannot.
"""

from __future__ import annotations

import collections
import heapq
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from . import codes
from .lanes import Lane, Lanes, lane_of
from .outbox import Charge, Outbox
from .records import Emission, Record
from .session import Batch, Closed, Lost, Session
from .stages import Stage
from .verdicts import drains_for_shutdown, settle_failed

FLUSH_SECONDS = 0.02  # for which outcomes wait for others at most


class _Task:
    """A delivery and, once its handler has returned, what came of it."""

    __slots__ = ("record", "lane", "began", "encoded", "charge", "error")

    def __init__(self, record: Record, lane: Lane | None):
        self.record, self.lane = record, lane
        self.began = 0.0
        self.encoded: list[bytes] = []
        self.charge: Charge = {}
        self.error: BaseException | None = None

    def __lt__(self, other: _Task) -> bool:
        return bool(self.record.delivery < other.record.delivery)


class Crew:
    """One session of a stage with `workers` handlers. A record counts against them until it is settled, so the
    outcomes that wait for credit are bounded, too."""

    def __init__(self, stage: Stage, session: Session, handler: Callable[[Any], Any]):
        self.session, self.handler, self.size = session, handler, stage.workers
        self.emits = stage.kind == "transform"
        self.outbox = Outbox(session)
        self.lanes = Lanes(session, self.outbox)
        self.behind: dict[Lane, collections.deque[Record]] = {}  # by busy lane, what waits for it
        self.ready: list[_Task] = []  # a heap
        self.running: set[_Task] = set()
        self.finished: list[_Task] = []  # accepted; they wait for credit
        self.begun: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self.done: collections.deque[_Task] = collections.deque()  # by a handler, until the main thread looks

    def run(self) -> None:
        """Handles deliveries until the session is over. Its handlers have returned by then, or the process ends."""
        threads = [
            threading.Thread(target=self._work, name=f"stagewire-handler-{i + 1}", daemon=True)
            for i in range(self.size)
        ]
        for each in threads:
            each.start()
        try:
            self._serve()
        except (Closed, Lost):
            self._join(threads)  # no other session begins before
            raise
        self._join(threads)

    def _join(self, threads: list[threading.Thread]) -> None:
        for _ in threads:
            self.begun.put(None)
        for each in threads:
            each.join()

    # ---- The handlers' threads ----

    def _work(self) -> None:
        while (task := self.begun.get()) is not None:
            if not self.session.ended:
                self._handle(task)
            self.done.append(task)
            self.session.announce()

    def _handle(self, task: _Task) -> None:
        try:
            # Not the record that is kept: a handler may change the header that it gets.
            result = self.handler(task.record.fresh())
            if result is None:
                return
            if not self.emits:
                raise TypeError(f"a sink returns nothing, not {type(result).__name__}")
            emissions = [result] if type(result) is Emission else list(result)
            task.encoded, task.charge = self.outbox.credit.encode(emissions)
        except BaseException as error:  # SystemExit, too: it ends the process, which is the main thread's to do
            task.error = error

    # ---- The main thread ----

    def _serve(self) -> None:
        session, flushed = self.session, time.monotonic()
        while True:
            calls = session.calls
            self._advance()
            if calls[1] and not self.running:  # stopping, since before all that was settled
                break
            now = time.monotonic()
            if now - flushed > FLUSH_SECONDS or not self._has_work():
                self.outbox.flush()
                flushed = now
            session.wait(lambda: self._has_work() or session.calls != calls)
            if not session.stopping:
                batch = session.next_batch(0.0, calls)
                if batch is not None:
                    self._take(batch)
        self.outbox.flush()

    def _has_work(self) -> bool:
        arrived = self.session.has_batch and not self.session.stopping
        return bool(self.done) or arrived or next(self._affordable(), None) is not None

    def _leaving(self) -> bool:
        """Nothing new is begun; what has not started goes back."""
        return self.session.stopping or drains_for_shutdown(self.session)

    def _advance(self) -> None:
        """Settles what is finished; begins what can begin."""
        while self.done:
            self._finish(self.done.popleft())
        for task in list(self._affordable()):
            self.finished.remove(task)
            delivery = task.record.delivery
            self.outbox.put([(delivery, delivery)], 1, task.encoded, task.charge)
            self._pass_on(task.lane)
        if self.session.stopping:  # what nothing can be sent for goes to somebody else
            for task in self.finished:
                self._release(task.record)
                self._pass_on(task.lane)
            self.finished.clear()
        self._begin()

    def _take(self, batch: Batch) -> None:
        if self.lanes.closed:
            self.lanes.forget(batch.first)  # behind a closed lane nothing waits: what is void has been settled
        for i, view in enumerate(batch.views):
            record = Record(view, batch, batch.first + i)
            lane = lane_of(record, self.lanes.ordering)
            if lane is not None and lane in self.behind:
                # It may outlive its neighbours, and must not keep the whole frame in memory.
                self.behind[lane].append(record.copied())
            elif not self._goes_back(record):
                if lane is not None:
                    self.behind[lane] = collections.deque()
                heapq.heappush(self.ready, _Task(record, lane))

    def _goes_back(self, record: Record) -> bool:
        """Whether a record whose turn it is has been settled without being handled."""
        if self._leaving():
            self._release(record)
            return True
        return bool(self.lanes.closed) and self.lanes.turn_away(record)

    def _pass_on(self, lane: Lane | None) -> None:
        """A record of the lane is settled: the next one may begin."""
        if lane is None:
            return
        waiting = self.behind[lane]
        while waiting:
            record = waiting.popleft()
            if not self._goes_back(record):
                heapq.heappush(self.ready, _Task(record, lane))
                return
        del self.behind[lane]

    def _begin(self) -> None:
        while self.ready:
            if self._leaving():  # a signal may come at any time
                task = heapq.heappop(self.ready)
                self._release(task.record)
                self._pass_on(task.lane)
            elif len(self.running) + len(self.finished) < self.size and not self._is_overdue():
                task = heapq.heappop(self.ready)
                task.began = time.monotonic()
                self.running.add(task)
                self.begun.put(task)
            else:
                break
        self.session.began = min([each.began for each in self.running], default=None)

    def _is_overdue(self) -> bool:
        """A handler has taken longer than it may. Nothing new is begun then: its lease is the session's, and goes on
        as long as anything is settled."""
        timeout, now = self.session.timeout, time.monotonic()
        return timeout > 0 and any(now - each.began >= timeout for each in self.running)

    def _finish(self, task: _Task) -> None:
        """A handler has returned."""
        self.running.discard(task)
        delivery = task.record.delivery
        if task.error is None:
            if task.charge:
                self.finished.append(task)
                return
            self.outbox.filter(delivery, delivery)
        elif isinstance(task.error, Exception):
            kind = settle_failed(self.outbox, [(delivery, delivery)], 1, task.error)
            if kind != codes.REJECTED:
                self.lanes.give_back([task.record])
        else:
            raise task.error
        self._pass_on(task.lane)

    def _affordable(self) -> Iterator[_Task]:
        """What credit is enough for. On each output first come, first served: or a small step would always go
        before a large one."""
        needed: Charge = {}
        blocked: set[int] = set()
        for task in self.finished:
            total = dict(needed)
            for number, (records, size) in task.charge.items():
                before = total.get(number, (0, 0))
                total[number] = (before[0] + records, before[1] + size)
            if blocked.isdisjoint(task.charge) and self.outbox.credit.fits(total):
                needed = total
                yield task
            else:
                blocked.update(task.charge)

    def _release(self, record: Record) -> None:
        self.outbox.release([(record.delivery, record.delivery)], 1)
