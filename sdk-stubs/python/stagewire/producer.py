"""Sources: partitions, emit ids, and what is kept until it is committed."""

from __future__ import annotations

import collections
import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import codes, frames
from .codes import printable
from .configuration import ConfigurationError
from .outbox import OutputCredit
from .records import Emission
from .session import Session
from .stages import Stage
from .v1 import envelope_pb2 as pb

KEPT_EMITS = 1024  # uncommitted, per partition: then the source waits
IDLE_SECONDS = 0.05  # between two looks at a source that has nothing at the moment
DEFAULT_DEADLINE = 30.0


@dataclass(frozen=True)
class Partition:
    """What a source reads on its own: a file, a topic's shard."""

    name: str
    checkpoint_bytes: bytes  # empty: from the beginning

    @property
    def checkpoint(self) -> Any:
        """Where to go on, as it was yielded (JSON values; bytes come back through `checkpoint_bytes`). None:
        from the beginning."""
        return json.loads(self.checkpoint_bytes) if self.checkpoint_bytes else None


@dataclass
class _Kept:
    """An Emit that is not committed yet."""

    emit_id: int
    emissions: list[Emission]
    checkpoint: bytes


class _Progress:
    """One partition, over all sessions of this process."""

    def __init__(self, name: str):
        self.name = name
        self.steps: Iterator[Any] | None = None  # the author's generator
        self.emit_id = 0
        self.kept: collections.deque[_Kept] = collections.deque()
        self.exhausted = False
        self.finished = False  # said so in this session


class Producer:
    """Runs a source's generators; lives as long as the process."""

    def __init__(self, stage: Stage):
        self.stage = stage
        self._progress: dict[str, _Progress] = {}
        self._idle = False  # there is nothing to read for this instance

    def run(self, session: Session, config: Any, names: list[str]) -> None:
        """Emits what is in the partitions until the session is over: returns when this worker is to say Close(0)."""
        credit = OutputCredit(session)
        for name in names:
            self._progress.setdefault(name, _Progress(name))
        for each in self._progress.values():
            session.send(frames.frame(claim=pb.Claim(partition=each.name)))
        for each in self._progress.values():
            self._resume(each, session, credit, config)
        while not self._leaving(session):
            commits = session.commits
            moved = [self._step(each, session, credit) for each in self._progress.values()]
            if not any(moved):
                self._rest(session, commits)
        self._leave(session)

    def names(self, session: Session, config: Any) -> list[str]:
        """The partitions to claim. Without any, one that is finished at once says that there is no work for
        this instance: the stage ends when each has said so (SO-7)."""
        names = self.stage.partitions
        names = list(names(config) if callable(names) else names)
        for name in names:
            if not 1 <= len(name.encode()) <= codes.MAX_PARTITION or "\0" in name:
                raise ConfigurationError(f"partition {name!r}: 1 to {codes.MAX_PARTITION} bytes, none of them 0")
        self._idle = not names
        return names or [session.welcome.instance]

    @staticmethod
    def _leaving(session: Session) -> bool:
        return session.stopping or session.drain is not None

    def _resume(self, progress: _Progress, session: Session, credit: OutputCredit, config: Any) -> None:
        """Goes on where the broker says; sends again what it does not have."""
        session.wait(lambda: progress.name in session.claimed)
        claimed = session.claimed[progress.name]
        progress.finished = False
        while progress.kept and progress.kept[0].emit_id <= claimed.last_emit_id:
            progress.kept.popleft()
        expected = progress.kept[0].emit_id if progress.kept else progress.emit_id + 1
        if progress.steps is None or expected != claimed.last_emit_id + 1:
            # The first session, or a broker that knows less than it had committed: it is right.
            self._restart(progress, claimed, config)
        for each in list(progress.kept):
            if not self._send(progress, each, session, credit):
                return

    def _restart(self, progress: _Progress, claimed: pb.Claimed, config: Any) -> None:
        _close(progress.steps)
        progress.kept.clear()
        progress.emit_id = claimed.last_emit_id
        progress.exhausted = False
        partition = Partition(progress.name, claimed.checkpoint)
        progress.steps = iter(() if self._idle else self.stage.bound(config)(partition))

    def _step(self, progress: _Progress, session: Session, credit: OutputCredit) -> bool:
        """One step of one partition; False when there was nothing to do."""
        self._forget_committed(progress, session)
        if progress.exhausted:
            if progress.finished or progress.kept:
                return False
            session.send(frames.frame(finished=pb.Finished(partition=progress.name)))
            progress.finished = True
            return True
        if len(progress.kept) >= KEPT_EMITS:
            return False
        assert progress.steps is not None, "_resume comes first"
        try:
            step = next(progress.steps)
        except StopIteration:
            progress.exhausted = True
            return True
        if step is None:
            return False
        emissions, checkpoint = step
        emissions = [emissions] if isinstance(emissions, Emission) else list(emissions)
        progress.emit_id += 1
        kept = _Kept(progress.emit_id, emissions, _encode_checkpoint(checkpoint))
        progress.kept.append(kept)
        self._send(progress, kept, session, credit)
        return True

    def _send(self, progress: _Progress, kept: _Kept, session: Session, credit: OutputCredit) -> bool:
        """Sends what stands in `progress.kept`, where it stays if the connection breaks meanwhile."""
        encoded, charge = credit.encode(kept.emissions)
        session.wait(lambda: credit.fits(charge) or self._leaving(session))
        if not credit.fits(charge):
            # Leaving. No commit will come for it or those after it: the last checkpoint brings them back.
            while progress.kept and progress.kept[-1].emit_id >= kept.emit_id:
                progress.kept.pop()
            return False
        credit.spend(charge)
        session.send(frames.emit_frame(progress.name, kept.emit_id, encoded, kept.checkpoint))
        return True

    def _forget_committed(self, progress: _Progress, session: Session) -> None:
        through = session.committed.get(progress.name, 0)
        while progress.kept and progress.kept[0].emit_id <= through:
            progress.kept.popleft()
        while session.refused:
            partition, refusal = session.refused.pop(0)
            print(
                f"stagewire: step {refusal.id} of partition {partition!r} was refused and is not part of the "
                f"stream: {printable(refusal.error.message)} ({refusal.error.code})",
                file=sys.stderr,
            )

    def _rest(self, session: Session, commits: int) -> None:
        """Nothing moved: waits for a commit after the first `commits`, or a little while for a live source."""
        waiting = all(each.exhausted for each in self._progress.values())
        session.wait(
            lambda: self._leaving(session) or session.commits != commits,
            None if waiting else IDLE_SECONDS,
        )

    def _leave(self, session: Session) -> None:
        """Waits for what was sent to be committed, as long as the drain allows."""
        seconds = session.drain.deadline_ms / 1000 if session.drain else DEFAULT_DEADLINE
        deadline = time.monotonic() + (seconds or threading.TIMEOUT_MAX)  # 0: none
        for each in self._progress.values():
            _close(each.steps)
            last = each.kept[-1].emit_id if each.kept else 0
            session.wait(
                lambda: session.committed.get(each.name, 0) >= last,
                max(0.0, deadline - time.monotonic()),
            )
            self._forget_committed(each, session)


def _close(steps: Iterator[Any] | None) -> None:
    """Lets a generator's `finally` run; a list that stands for one has none."""
    close = getattr(steps, "close", None)
    if close:
        close()


def _encode_checkpoint(checkpoint: Any) -> bytes:
    encoded = checkpoint if isinstance(checkpoint, bytes) else json.dumps(checkpoint).encode()
    if len(encoded) > codes.MAX_CHECKPOINT:
        raise ValueError(f"a checkpoint of {len(encoded)} bytes; the limit is {codes.MAX_CHECKPOINT}")
    return encoded
