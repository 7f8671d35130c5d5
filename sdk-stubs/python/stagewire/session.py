"""One connection to the broker: handshake, a reader thread, and credit in both directions.

The handler runs on the main thread. The reader thread only reads, answers pings and renews the lease, so
a busy handler is never taken for a dead one. Both write whole frames under one lock; everything that the
main thread waits for is announced through one condition. All of that happens per frame, never per record.
"""

from __future__ import annotations

import collections
import contextlib
import math
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError

from . import codes, frames
from .confirmations import Confirmations
from .input_credit import InputWindow
from .v1 import envelope_pb2 as pb
from .wire import views_pb2 as views

HANDSHAKE_SECONDS = 10
LONGEST_WAIT_SECONDS = 0.5
DEFAULT_TIMEOUT = 300.0  # seconds that a handler may take
CLOSING_SECONDS = 5  # for which a side reads on after its Close
READ_BYTES = 256 * 1024
# Bytes that may wait for the broker, where Linux has 208 KiB unless told otherwise: a worker that writes more sleeps
# until the broker has read, which then gets small pieces and wakes the worker for each of them. net.core.wmem_max may
# make it less.
SEND_BUFFER_BYTES = 1024 * 1024
# A frame's first bytes when it is a Deliver as the broker writes it: version 1000, field 8.
_DELIVER = b"\x08\xe8\x07\x42"


def warn(message: str) -> None:
    """One line for the operator."""
    print(f"stagewire: {message}", file=sys.stderr)


class Closed(Exception):
    """The broker said Close. Code 0: a normal end."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code, self.message = code, message


class Lost(Exception):
    """The connection ended without a Close."""


class Barrier:
    """A Ping that stands behind a Settle. What the broker sent before it had read that is at most `through`."""

    __slots__ = ("through",)

    def __init__(self) -> None:
        self.through: float = math.inf  # the last delivery before the Pong


class Batch:
    """The records of one Deliver."""

    __slots__ = ("input", "stage", "first", "views", "attempts", "bytes", "runs", "confirmations")

    def __init__(
        self, deliver: Any, size: int, stage: str, runs: dict[int, pb.Run], confirmations: Confirmations | None = None
    ):
        self.input = deliver.input
        self.stage = stage
        self.first = deliver.first_delivery
        self.views: list[Any] = list(deliver.records)
        self.attempts: list[int] = list(deliver.attempts)
        self.bytes = size  # as charged: the sum of the records' encoded sizes
        self.runs = runs
        self.confirmations = confirmations  # None: there is no broker

    def without_records(self, attempt: int, delivery: int) -> Batch:
        """What one of its records needs to know, without holding on to the others."""
        slim = Batch.__new__(Batch)
        slim.input, slim.stage, slim.runs = self.input, self.stage, self.runs
        slim.confirmations = self.confirmations
        slim.first, slim.views, slim.bytes = delivery, [], 0
        slim.attempts = [] if attempt == 1 else [attempt]
        return slim


class Session:
    """An attached worker. Use `attach`; then `next_batch`, `send` and the `wait` methods raise `Closed` or
    `Lost` when it is over."""

    def __init__(self, connection: socket.socket, wakeup: int, timeout: float = DEFAULT_TIMEOUT):
        self.connection = connection
        self.timeout = timeout  # seconds that a handler may take; 0: no limit
        self.began: float | None = None  # when the (oldest) handler that is running began; None: none is
        self.welcome = pb.Welcome()
        self.runs: dict[int, pb.Run] = {}
        self.limits: dict[int, tuple[int, int]] = {}  # output -> records, bytes granted
        self.claimed: dict[str, pb.Claimed] = {}
        self.committed: dict[str, int] = {}
        self.commits = 0  # Committed messages so far
        self.refused: list[tuple[str, pb.Refusal]] = []
        self.drain: pb.Drain | None = None
        self.stopping = False  # a signal asked this process to end
        self.ended: Exception | None = None
        self.received = 0  # deliveries
        self.settled = 0
        self.confirmations = Confirmations()
        self._wakeup = wakeup
        self._overdue: float | None = None  # the `began` of the handler of which this has been said
        self._progress = time.monotonic()  # when the lease last began anew
        self._queue: collections.deque[Batch] = collections.deque()
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._thread: threading.Thread | None = None
        self._said_close = False
        self._left = threading.Event()  # the main thread knows that it is over
        self._reader = frames.FrameReader(codes.MAX_FRAME)
        self._inputs: dict[int, InputWindow] = {}
        self._names: dict[int, str] = {}
        self._barriers: dict[int, Barrier] = {}  # whose Pong is to come, by nonce
        self._nonce = 0

    # ---- Beginning and end ----

    @classmethod
    def attach(
        cls, address: str, hello: pb.Hello, wakeup: int, timeout: float = DEFAULT_TIMEOUT
    ) -> Session:
        """Dials and shakes hands. OSError when nobody listens, Closed when the broker refuses."""
        session = cls(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), wakeup, timeout)
        try:
            with contextlib.suppress(OSError):  # without it everything is as right, only slower
                session.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            session.connection.connect(address)
            session._shake_hands(hello)
        except BaseException:
            session.discard()
            raise
        return session

    def start(self, orphan_exit: Callable[[Exception | None], int], patience: float | None) -> None:
        """Begins to read; grants the first credit. Only after the configuration was found good.

        `orphan_exit(reason)` gives the exit code of a process whose handler goes on for more than `patience`
        seconds after the session ended; None: such a handler may take its time.
        """
        self._orphan_exit, self._patience = orphan_exit, patience
        self._thread = threading.Thread(target=self._read, name="stagewire-reader", daemon=True)
        self._thread.start()
        for window in self._inputs.values():
            self.send(window.take(0, 0) or b"")  # the first take always grants

    def _shake_hands(self, hello: pb.Hello) -> None:
        try:
            self.send(frames.frame(hello=hello))
        except Lost:
            pass  # refused before it was read: the Close says why
        deadline = time.monotonic() + HANDSHAKE_SECONDS
        while not self.welcome.version:
            if not select.select([self.connection], [], [], max(0, deadline - time.monotonic()))[0]:
                raise Lost(f"no answer to Hello within {HANDSHAKE_SECONDS} s")
            self._receive()
            if self.ended and not self.welcome.version:
                raise self.ended
        if not hello.min_version <= self.welcome.version <= hello.max_version:
            self._refuse(
                codes.UNSUPPORTED_VERSION,
                f"Welcome chose version {self.welcome.version}; this worker speaks {hello.min_version} to {hello.max_version}",
            )
            raise self.ended or Lost("closed")

    def close(self, code: int = codes.OK, message: str = "") -> None:
        """Says Close, the last frame, and ends the connection."""
        self._left.set()
        self._write_close(code, message, Lost("closed"))
        self.discard()

    def discard(self) -> None:
        """Ends the connection without a word. Where Close was said, reads on (bounded) until the broker hangs up
        (EN-1): it may be in the middle of a frame, and has the Close to read."""
        self._left.set()
        self._end(Lost("discarded"))
        try:
            if self._said_close:
                self.connection.shutdown(socket.SHUT_WR)
                self.connection.settimeout(CLOSING_SECONDS)
                deadline = time.monotonic() + CLOSING_SECONDS
                while time.monotonic() < deadline and self.connection.recv(READ_BYTES):
                    pass
        except OSError:
            pass  # it hung up first
        self.confirmations.finish()
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.connection.close()

    # ---- For the main thread ----

    def send(self, frame: bytes, settles: int = 0) -> None:
        """Writes one whole frame. `settles`: how many deliveries it settles."""
        try:
            with self._sending:
                if self.ended:
                    raise self.ended
                self.connection.sendall(frame)
        except OSError as error:
            # The broker may have said why before it hung up: the reader finds that.
            self._await_end()
            raise self.ended or Lost(f"the connection broke: {error}") from None
        if settles:
            self.settled += settles
            self._progress = time.monotonic()

    def ping(self, barrier: Barrier) -> bytes:
        """A frame, to be sent at once, whose Pong completes the barrier."""
        self._nonce += 1
        self._barriers[self._nonce] = barrier
        return frames.frame(ping=pb.Ping(nonce=self._nonce))

    def _await_end(self) -> None:
        if self._thread and threading.current_thread() is not self._thread:
            with self._changed:
                self._changed.wait_for(lambda: self.ended, CLOSING_SECONDS)

    @property
    def calls(self) -> tuple[pb.Drain | None, bool]:
        """What may call for attention: a drain, a signal."""
        return (self.drain, self.stopping)

    def _wait_for(self, condition: Callable[[], object], timeout: float | None) -> None:
        """Waits with `_changed` held. Python runs signal handlers in the main thread, and a signal that comes right before
        that blocks does not wake it: so it looks up now and then."""
        end = math.inf if timeout is None else time.monotonic() + timeout
        while not condition() and (left := end - time.monotonic()) > 0:
            self._changed.wait(min(left, LONGEST_WAIT_SECONDS))

    def next_batch(self, timeout: float | None, calls: tuple[pb.Drain | None, bool]) -> Batch | None:
        """The oldest batch not yet taken, and credit for as many more. None: time is up, or `calls` are no
        longer those that the caller has seen."""
        with self._changed:
            self._wait_for(lambda: self._queue or self.ended or self.calls != calls, timeout)
            if self.ended:
                raise self.ended
            batch = self._queue.popleft() if self._queue else None
        if batch:
            credit = self._inputs[batch.input].take(len(batch.views), batch.bytes)
            if credit:
                self.send(credit)
        return batch

    @property
    def has_batch(self) -> bool:
        """Whether `next_batch` has one at once."""
        return bool(self._queue)

    def announce(self) -> None:
        """What `wait` waits for may have changed."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, condition: Callable[[], object], timeout: float | None = None) -> bool:
        """Waits until `condition()` holds, then True. False when time is up; raises when it is over."""
        with self._changed:
            self._wait_for(lambda: self.ended or condition(), timeout)
            if self.ended:
                raise self.ended
            return bool(condition())

    def stop(self) -> None:
        """Somebody wants this worker to end."""
        with self._changed:
            self.stopping = True
            self._changed.notify_all()

    # ---- The reader thread ----

    def _read(self) -> None:
        lease = (self.welcome.lease_ms or 30_000) / 1000
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        poll.register(self._wakeup, select.POLLIN)
        while not self.ended:
            try:
                ready = poll.poll(lease * 1000 / 6)
                if any(descriptor == self._wakeup for descriptor, _ in ready):
                    os.read(self._wakeup, 64)
                    self.stop()
                if any(descriptor != self._wakeup for descriptor, _ in ready):
                    self._receive()
                self._renew_lease(lease / 3)
            except Exception as error:  # whatever it is: the main thread waits for this one
                self._end(self.ended or Lost(str(error)))
        if self._patience is not None and not self._left.wait(self._patience):
            warn(f"the handler has not returned {self._patience:g} s after the session ended: {self.ended}")
            os._exit(self._orphan_exit(self.ended))

    def _renew_lease(self, interval: float) -> None:
        """Extends the lease while something is held, unless a handler has taken longer than it may."""
        began = self.began
        if began is not None and self.timeout and time.monotonic() - began >= self.timeout:
            if self._overdue != began:
                self._overdue = began
                warn(
                    f"the handler has worked for {self.timeout:g} s; its lease is not renewed any more, the broker "
                    "will give the record to another worker"
                )
            return
        holds = self.received > self.settled
        if holds and not self.ended and time.monotonic() - self._progress >= interval:
            self._progress = time.monotonic()
            self.send(frames.frame(extend=pb.Extend()))

    def _receive(self) -> None:
        data = self.connection.recv(READ_BYTES)
        if not data:
            self._end(Lost("the broker hung up"))
            return
        try:
            for content in self._reader.feed(data):
                self._handle(content)
                if self.ended:
                    return
        except frames.FrameTooLarge as error:
            self._refuse(codes.FRAME_TOO_LARGE, str(error))
        except (DecodeError, ValueError) as error:
            self._refuse(codes.MALFORMED_FRAME, f"the broker sent what is not a frame: {error}")

    def _refuse(self, code: int, message: str) -> None:
        self._write_close(code, message, Closed(code, message))

    def _write_close(self, code: int, message: str, reason: Exception) -> None:
        with self._sending:
            self._said_close = True
            close = pb.Close(code=code, message=message[: codes.MAX_TEXT // 4])
            with contextlib.suppress(OSError):
                self.connection.sendall(frames.frame(close=close))
            self.ended = self.ended or reason  # nothing is sent after it
        self._end(reason)

    def _end(self, reason: Exception) -> None:
        with self._changed:
            self.ended = self.ended or reason
            self._changed.notify_all()

    def _handle(self, content: bytes) -> None:
        if content.startswith(_DELIVER):
            self._handle_deliver(content)
            return
        envelope = pb.Envelope.FromString(content)
        kind = envelope.WhichOneof("message")
        if kind == "close":  # of any version: it may say that ours will not do (VR-2)
            self._end(Closed(envelope.close.code, envelope.close.message))
        elif envelope.version // 1000 != codes.PROTOCOL_VERSION // 1000:
            self._refuse(
                codes.UNSUPPORTED_VERSION,
                f"version {envelope.version}; this worker speaks {codes.PROTOCOL_VERSION}",
            )
        elif kind == "deliver":
            self._handle_deliver(content)
        elif kind == "ping":
            self.send(frames.frame(pong=pb.Pong(nonce=envelope.ping.nonce)))
        elif kind in _HANDLERS:
            with self._changed:
                _HANDLERS[kind](self, getattr(envelope, kind))
                self._changed.notify_all()
        # Kinds of later minor versions are ignored: none of them carries records unasked.

    def _handle_deliver(self, content: bytes) -> None:
        deliver = views.DeliverFrame.FromString(content).deliver
        sizes = views.SizesFrame.FromString(content).deliver.records
        if deliver.first_delivery != self.received + 1 or deliver.input not in self._inputs:
            raise ValueError(
                f"a delivery {deliver.first_delivery} on input {deliver.input}; "
                f"expected {self.received + 1} on one of {sorted(self._inputs)}"
            )
        size = sum(map(len, sizes))
        batch = Batch(deliver, size, self._names[deliver.input], self.runs, self.confirmations)
        if not batch.views:
            return
        with self._changed:
            if self.received == self.settled:
                self._progress = time.monotonic()
            self.received += len(batch.views)
            self._queue.append(batch)
            self._changed.notify_all()

    def _welcomed(self, welcome: pb.Welcome) -> None:
        self.welcome = welcome
        self._reader.limit = welcome.max_frame or codes.MAX_FRAME
        for each in welcome.inputs:
            self._inputs[each.number] = InputWindow(each.number, welcome.max_record)
            self._names[each.number] = each.stage

    def _credited(self, credit: pb.Credit) -> None:
        records, size = self.limits.get(credit.number, (0, 0))
        self.limits[credit.number] = (max(records, credit.records), max(size, credit.bytes))

    def _ponged(self, pong: pb.Pong) -> None:
        barrier = self._barriers.pop(pong.nonce, None)
        if barrier:
            barrier.through = self.received

    def _drained(self, drain: pb.Drain) -> None:
        self.drain = drain

    def _settled(self, settled: pb.Settled) -> None:
        for each in settled.refused:
            warn(
                f"the broker refused what delivery {each.id} emitted, which is a dead letter now: "
                f"{codes.printable(each.error.message)} ({each.error.code})"
            )
        self.confirmations.settled(settled)

    def _announced(self, runs: pb.Runs) -> None:
        for run in runs.runs:
            self.runs[run.number] = run

    def _claimed(self, claimed: pb.Claimed) -> None:
        self.claimed[claimed.partition] = claimed

    def _committed(self, committed: pb.Committed) -> None:
        through = self.committed.get(committed.partition, 0)
        self.committed[committed.partition] = max(through, committed.through)
        self.commits += 1
        self.refused += [(committed.partition, each) for each in committed.refused]


_HANDLERS: dict[str, Callable[[Session, Any], None]] = {
    "welcome": Session._welcomed,
    "credit": Session._credited,
    "pong": Session._ponged,
    "drain": Session._drained,
    "settled": Session._settled,
    "runs": Session._announced,
    "claimed": Session._claimed,
    "committed": Session._committed,
}
