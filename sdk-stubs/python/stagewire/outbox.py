"""What a worker has to say about deliveries, cut into frames that stay within credit."""

from __future__ import annotations

import time

from . import codes, frames
from .records import Emission, Refused
from .session import Barrier, Session
from .stages import Release

# Bytes of a Settle; a larger outcome still goes whole. Under the 256 KiB that a frame may have beyond the byte
# credit (LM-4).
FRAME_TARGET = 240 * 1024
_NOTHING = (0, 0)
SLACK = 1024  # bytes between the largest frame and what is put into one


Charge = dict[int, tuple[int, int]]  # by output: records, bytes
Ranges = list[tuple[int, int]]


class OutputCredit:
    """Credit that the broker granted, over all outputs, and what was spent of it."""

    def __init__(self, session: Session):
        self.session = session
        self.ports: dict[str | None, int] = {each.port: each.number for each in session.welcome.outputs}
        self.ports[None] = session.welcome.outputs[0].number if session.welcome.outputs else 0
        self.reserve = session.welcome.stamp_reserve
        # The largest charge of an output that is a step of its own, bytes.
        self.largest = min(session.welcome.max_record, session.welcome.max_step_bytes)
        self.spent: dict[int, list[int]] = {number: [0, 0] for number in self.ports.values()}

    def encode(self, emissions: list[Emission], known: set[int] | None = None) -> tuple[list[bytes], Charge]:
        """The emissions as they go on the wire, and their charge per output. `known`: the deliveries that
        may be named as parents; None: leave parents out. Refused when no credit could ever suffice."""
        welcome = self.session.welcome
        charge: Charge = {}
        encoded: list[bytes] = []
        for each in emissions:
            if not isinstance(each, Emission):
                raise TypeError(f"a handler gives emissions, not {type(each).__name__}: use record.emit()")
            number = self.number(each.port)
            size = len(each.output) + self.reserve
            if size > welcome.max_record:
                raise Refused(
                    codes.OUTPUT_TOO_LARGE,
                    f"an output of {len(each.output)} bytes; with {self.reserve} for the broker's stamp "
                    f"a record may have {welcome.max_record}",
                )
            records, total = charge.get(number, (0, 0))
            charge[number] = (records + 1, total + size)
            parents = each.parents if known is not None else ()
            if parents and known is not None and not (known.issuperset(parents) and len(set(parents)) == len(parents)):
                raise ValueError("an emission's parents are records of this batch, each named once")
            encoded.append(frames.emission(number, each.output, parents, each.trace))
        self._check_step(charge, sum(map(len, encoded)))
        return encoded, charge

    def number(self, port: str | None) -> int:
        try:
            return self.ports[port]
        except KeyError:
            known = ", ".join(sorted(filter(None, self.ports))) or "none"
            raise ValueError(f"this stage has no output named {port!r}; it has: {known}") from None

    def _check_step(self, charge: Charge, size: int) -> None:
        welcome = self.session.welcome
        records = sum(each[0] for each in charge.values())
        total = sum(each[1] for each in charge.values())
        if records > welcome.max_step_records or total > welcome.max_step_bytes:
            raise Refused(
                codes.STEP_TOO_LARGE,
                f"{records} outputs charged with {total} bytes at once; a step may have "
                f"{welcome.max_step_records} and {welcome.max_step_bytes}",
            )
        if size + codes.MAX_CHECKPOINT + SLACK + 12 * records > welcome.max_frame:
            raise Refused(
                codes.STEP_TOO_LARGE, f"{size} bytes at once; a frame may have {welcome.max_frame}"
            )

    def fits(self, charge: Charge) -> bool:
        for number, (records, size) in charge.items():
            granted, spent = self.session.limits.get(number, (0, 0)), self.spent[number]
            if spent[0] + records > granted[0] or spent[1] + size > granted[1]:
                return False
        return True

    def spend(self, charge: Charge) -> None:
        for number, (records, size) in charge.items():
            spent = self.spent[number]
            spent[0] += records
            spent[1] += size


class Outbox:
    """Collects outcomes; sends them as Settle frames."""

    def __init__(self, session: Session):
        self.session = session
        self.credit = OutputCredit(session)
        self._outcomes: list[bytes] = []  # or pieces of them, in order
        # By the sizes of header and payload, for deliveries whose numbers have these bits above the lowest 14.
        self._around: dict[tuple[int, int], tuple[int, int, bytes, bytes, bytes]] = {}
        self._high = 0
        self._bytes = 0
        self._deliveries = 0  # that `_outcomes` settle
        self._run: tuple[int, int] | None = None  # accepted neighbours without emissions, not yet in `_outcomes`
        self._barrier: Barrier | None = None  # behind what was collected so far
        self._limit = min(FRAME_TARGET, (session.welcome.max_frame or codes.MAX_FRAME) - SLACK)

    def filter(self, first: int, last: int) -> None:
        """Accepted, and nothing comes of it. Neighbours share an outcome, which is allowed where some may
        be void: an outcome without emissions still applies to the rest (OR-4)."""
        run = self._run
        if run and run[1] + 1 == first:
            self._run = (run[0], last)
        else:
            self._close_run()
            self._run = (first, last)

    def accept_one(self, delivery: int, emission: Emission) -> None:
        """One delivery, one emission: as `accept`, without detours, and in pieces that are put together with all others."""
        header, content = emission.header, emission.content
        if delivery >> 14 != self._high:
            self._high, self._around = delivery >> 14, {}
        around = self._around.get((len(header), len(content))) or self._look_around(len(header), len(content))
        credit = self.credit
        if around is None or credit.ports.get(emission.port) != 0:
            self.accept([(delivery, delivery)], 1, [emission])
            return
        size, charge, before, middle, behind = around
        spent = credit.spent[0]
        granted = credit.session.limits.get(0, _NOTHING)
        if spent[0] >= granted[0] or spent[1] + charge > granted[1]:
            self._await_credit({0: (1, charge)})
        spent[0] += 1
        spent[1] += charge
        if self._run:
            self._close_run()
        if self._bytes + size > self._limit:
            self._make_room()
        self._outcomes += (before, frames.LOW[delivery & 0x3FFF], middle, header, behind, content)
        self._bytes += size
        self._deliveries += 1

    def _look_around(self, header: int, content: int) -> tuple[int, int, bytes, bytes, bytes] | None:
        """Of an outcome with an output that has so many bytes of header and payload: its size, what it is charged with, and
        what stands before the lowest 14 bits of the delivery's number, before the header and before the payload. None: it
        is not one of the many."""
        if not (self._high and header and content and header + content < frames.ONE_LIMIT):
            return None
        high = frames.varint(self._high)
        output, before, middle, behind = frames.around_one(header, content, 2 + len(high))
        charge = output + self.credit.reserve
        if charge > self.credit.largest:
            return None
        size = len(before) + 2 + len(high) + len(middle) + header + len(behind) + content
        around = self._around[header, content] = size, charge, before, high + middle, behind
        return around

    def accept(self, ranges: Ranges, count: int, emissions: list[Emission], known: set[int] | None = None) -> None:
        """One outcome over `count` deliveries. Refused, TypeError or ValueError: nothing was recorded."""
        encoded, charge = self.credit.encode(emissions, known)
        self._await_credit(charge)
        self.put(ranges, count, encoded, charge)

    def put(self, ranges: Ranges, count: int, encoded: list[bytes], charge: Charge) -> None:
        """As `accept`, of what `credit.encode` gave: credit is enough for it."""
        self.credit.spend(charge)
        self._close_run()
        self.session.confirmations.accepted(ranges)
        self._add(frames.accepted(ranges, encoded), count)

    def release(self, ranges: Ranges, count: int) -> None:
        self._close_run()
        self.session.confirmations.dropped(ranges)
        self._add(frames.released(ranges), count)

    def fail(
        self, ranges: Ranges, count: int, kind: int, code: int, message: str, delay_ms: int = 0,
        indefinite: bool = False,
    ) -> None:
        """REJECTED or RETRY."""
        self._close_run()
        self.session.confirmations.dropped(ranges)
        self._add(frames.failed(ranges, kind, code, message, delay_ms, indefinite), count)

    def barrier(self) -> Barrier:
        """That of the Ping which will stand behind all that was collected until now."""
        if self._barrier is None:
            self._barrier = Barrier()
        return self._barrier

    def flush(self) -> None:
        """Sends what was collected."""
        self._close_run()
        if self._outcomes:
            self._send(self._barrier)
            self._barrier = None

    def _send(self, barrier: Barrier | None = None) -> None:
        frame, deliveries = frames.settle_frame(self._outcomes), self._deliveries
        self._outcomes, self._bytes, self._deliveries = [], 0, 0
        if barrier:
            frame += self.session.ping(barrier)
        self.session.send(frame, deliveries)

    def _await_credit(self, charge: Charge) -> None:
        """The broker grants once downstream has consumed what this worker sent: so send first."""
        if self.credit.fits(charge):
            return
        # Time that passes here is not the handler's.
        began, self.session.began = self.session.began, None
        self.flush()
        self.session.wait(lambda: self.credit.fits(charge) or self.session.stopping)
        self.session.began = began and time.monotonic()
        if not self.credit.fits(charge):
            raise Release  # asked to end meanwhile: somebody else may handle this one

    def _close_run(self) -> None:
        if self._run:
            run, self._run = self._run, None
            self._add(frames.accepted([run], []), run[1] - run[0] + 1)

    def _add(self, outcome: bytes, deliveries: int) -> None:
        if self._bytes + len(outcome) > self._limit:
            self._make_room()
        self._outcomes.append(outcome)
        self._bytes += len(outcome)
        self._deliveries += deliveries

    def _make_room(self) -> None:
        """No Ping: what it is to stand behind may be the outcome at hand."""
        if self._outcomes:
            self._send()
