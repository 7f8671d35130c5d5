"""What is void: deliveries of a lane behind one that was given back (OR-3).

    open --- retry, release ---> closed --- its last Pong, or what was given back comes again ---> open

The broker voids what this worker holds of the lane and what is under way to it. None of that is handled: it is
settled as RELEASED. Where the broker had given the first one up, so that nothing was void, that releases the next
one and voids the rest after all: hence every release puts off the opening to a Ping of its own, and is an outcome of
its own: in one with others, each of them would count as released, and enough of that makes a dead letter (RT-2).
"""

from __future__ import annotations

from collections.abc import Iterable

from .outbox import Outbox
from .records import Record
from .session import Barrier, Session
from .v1 import envelope_pb2 as pb
from .verdicts import drains_for_shutdown

Lane = tuple[int, bytes]  # what the broker keeps in order: the records of an input's key, or all of an input


def lane_of(record: Record, ordering: dict[int, int]) -> Lane | None:
    """`ordering` is that of the inputs by number; one that is not known is TOTAL (HS-6). None: the record's
    input has no order, or the record no key."""
    order = ordering.get(record.input_number)
    if order == pb.ORDERING_NONE:
        return None
    if order == pb.ORDERING_KEY:
        return (record.input_number, record.key) if record.key else None
    return record.input_number, b""


class _Closed:
    """One closed lane."""

    __slots__ = ("first", "last", "ids")

    def __init__(self, barrier: Barrier):
        self.first = self.last = barrier  # behind what closed the lane; behind the last release since
        self.ids: set[str] = set()  # of the records that were settled so


class Lanes:
    """The lanes of a session, as far as they are closed. `closed` is empty while nothing is given back."""

    def __init__(self, session: Session, outbox: Outbox):
        self.session, self.outbox = session, outbox
        self.ordering: dict[int, int] = {each.number: each.ordering for each in session.welcome.inputs}
        self.closed: dict[Lane, _Closed] = {}  # ascending by `last`

    def give_back(self, records: Iterable[Record]) -> None:
        """Closes the lanes of records that the outbox has just settled with retry or release."""
        if self._leaving():
            return
        fresh: dict[Lane, _Closed] = {}
        for record in records:
            lane = lane_of(record, self.ordering)
            if lane is not None:
                if lane not in fresh:
                    fresh[lane] = _Closed(self.outbox.barrier())
                    self.closed.pop(lane, None)
                fresh[lane].ids.add(record.id)
        self.closed.update(fresh)

    def turn_away(self, record: Record) -> bool:
        """Whether a delivery that was just taken from the queue is void: then it is settled."""
        lane = lane_of(record, self.ordering)
        closed = self.closed.get(lane) if lane else None
        if lane is None or closed is None:
            return False
        delivery = record.delivery
        if delivery > closed.last.through or delivery > closed.first.through and record.id and record.id in closed.ids:
            del self.closed[lane]
            return False
        self.outbox.release([(delivery, delivery)], 1)
        self._put_off(lane, closed, record)
        return True

    def release(self, held: list[Record]) -> None:
        """Settles held deliveries of closed lanes, which are void by now."""
        for record in sorted(held, key=lambda each: each.delivery):
            self.outbox.release([(record.delivery, record.delivery)], 1)
            lane = lane_of(record, self.ordering)
            if lane in self.closed:
                self._put_off(lane, self.closed[lane], record)

    def _put_off(self, lane: Lane, closed: _Closed, record: Record) -> None:
        """After a release. Of what came again before its Pong it was no void one: the lane is closed anew."""
        if self._leaving():
            return
        del self.closed[lane]
        if record.id in closed.ids:
            closed = _Closed(self.outbox.barrier())
        closed.last = self.outbox.barrier()
        closed.ids.add(record.id)
        self.closed[lane] = closed

    def forget(self, delivery: int) -> None:
        """Opens what no delivery from this one on can be void in: a key that never comes again costs nothing."""
        while self.closed:
            lane = next(iter(self.closed))
            if self.closed[lane].last.through >= delivery:
                return
            del self.closed[lane]

    def _leaving(self) -> bool:
        """Nothing will be handled any more, so there is nothing to open."""
        return self.session.stopping or drains_for_shutdown(self.session)
