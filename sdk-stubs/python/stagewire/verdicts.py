"""What a handler's exception says about its deliveries."""

from __future__ import annotations

import sys
import traceback

from . import codes
from .outbox import Outbox
from .records import Refused
from .session import Closed, Lost, Session
from .stages import Reject, Release, Retry
from .v1 import envelope_pb2 as pb

TRACEBACKS = 20  # shown per process; a poison stream must not fill the disk with them

_shown = 0


def drains_for_shutdown(session: Session) -> bool:
    """A reason of later versions counts as a shutdown (EN-3)."""
    return session.drain is not None and session.drain.reason != pb.DRAIN_REASON_INPUT_ENDED


def settle_failed(outbox: Outbox, ranges: list[tuple[int, int]], count: int, error: Exception) -> int:
    """Settles deliveries as `error` says; the kind of the outcome. Raises it again when the session is over."""
    if isinstance(error, (Closed, Lost)):
        raise error  # nobody is there to be told
    kind, code, message = read(error)
    if kind == codes.RELEASED:
        outbox.release(ranges, count)
        return kind
    delay, indefinite = 0, False
    if isinstance(error, Retry):
        delay = error.delay_ms
    if isinstance(error, (Reject, Retry)):
        indefinite = error.indefinite
    outbox.fail(ranges, count, kind, code, message, delay, indefinite)
    return kind


def read(error: Exception) -> tuple[int, int, str]:
    """Kind, code and message. What is none of ours is a retry, and its traceback is shown."""
    if isinstance(error, Release):
        return codes.RELEASED, 0, ""
    if isinstance(error, Reject):
        return codes.REJECTED, error.code, error.message or "rejected"
    if isinstance(error, Refused):
        return codes.REJECTED, error.code, error.message
    if isinstance(error, Retry):
        return codes.RETRY, error.code, error.message or "to be tried again"
    _show(error)
    return codes.RETRY, codes.APPLICATION, f"{type(error).__name__}: {error}"


def _show(error: Exception) -> None:
    global _shown
    _shown += 1
    if _shown <= TRACEBACKS:
        traceback.print_exception(error, file=sys.stderr)
    if _shown == TRACEBACKS:
        print("stagewire: further tracebacks are left out", file=sys.stderr)
