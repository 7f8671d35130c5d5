"""What a handler wants done once its verdict is durable (ST-8)."""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Callable, Iterable

from .v1 import envelope_pb2 as pb

Action = Callable[[], object]


class Confirmations:
    """Those of one session, by delivery. Actions are called on a thread that begins with the first of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: dict[int, list[Action]] = {}
        # The first delivery of a window's outcome, by which the broker names a refusal, where it is another one.
        self._outcomes: dict[int, int] = {}
        self._due: queue.SimpleQueue[Action | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def ask(self, delivery: int, action: Action) -> None:
        with self._lock:
            self._asked.setdefault(delivery, []).append(action)

    def accepted(self, ranges: Iterable[tuple[int, int]]) -> None:
        """One outcome, which the broker may refuse, for all of these."""
        if self._asked:
            with self._lock:
                deliveries = self._among(ranges)
                self._outcomes.update({each: deliveries[0][1] for each, _ in deliveries})

    def dropped(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Another verdict than accepted."""
        if self._asked:
            with self._lock:
                for each, _ in self._among(ranges):
                    del self._asked[each]

    def _among(self, ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """The deliveries that somebody asked for, each with the first of all."""
        ranges = list(ranges)
        return [(each, ranges[0][0]) for first, last in ranges for each in range(first, last + 1) if each in self._asked]

    def settled(self, settled: pb.Settled) -> None:
        """Has done what this confirms, in the order of the deliveries."""
        if not self._asked:
            return
        refused = {each.id for each in settled.refused}
        with self._lock:
            for delivery in [each for each in self._asked if self._outcomes.get(each, each) in refused]:
                self._forget(delivery)
            due = []
            for delivery in sorted([each for each in self._asked if each <= settled.through]):
                due += self._asked[delivery]
                self._forget(delivery)
        if due and self._thread is None:
            self._thread = threading.Thread(target=self._work, name="stagewire-confirmed", daemon=True)
            self._thread.start()
        for action in due:
            self._due.put(action)

    def _forget(self, delivery: int) -> None:
        del self._asked[delivery]
        self._outcomes.pop(delivery, None)

    def _work(self) -> None:
        while (action := self._due.get()) is not None:
            try:
                action()
            except Exception:
                traceback.print_exc()

    def finish(self) -> None:
        """The session is over: returns when what was confirmed is done."""
        if self._thread is not None:
            self._due.put(None)
            self._thread.join()
