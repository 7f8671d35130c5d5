"""The decorators that say what a function is, and the verdicts that a handler can raise."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Literal, overload

from . import codes, configuration

DEFAULT_PARTITION = "0"
DEFAULT_IDLE = 10.0  # seconds without a record, after which windows by event time end

Handler = Callable[..., Any]
Duration = float | timedelta  # seconds
Partitions = Iterable[str] | Callable[[Any], Iterable[str]]
MakeBounds = Callable[[Any], "Bounds"]  # of the configuration


class Reject(Exception):
    """This record will never work: it becomes a dead letter. Codes from 1000 are the application's."""

    def __init__(self, code: int, message: str = "", indefinite: bool = False):
        if code < codes.APPLICATION:
            raise ValueError(f"code {code}: an application's codes begin at {codes.APPLICATION}")
        super().__init__(message)
        self.code, self.message, self.indefinite = code, message, indefinite


class Retry(Exception):
    """Try again, at the earliest after `delay` (seconds or a timedelta; 0: the pipeline's backoff)."""

    def __init__(
        self, delay: Duration = 0, message: str = "", code: int = codes.APPLICATION, indefinite: bool = False
    ):
        super().__init__(message)
        self.delay_ms = max(0, round(_seconds(delay) * 1000))
        self.code, self.message, self.indefinite = code, message, indefinite


class Release(Exception):
    """Give the record back untouched: same attempt, elsewhere or later."""


@dataclass(frozen=True)
class Bounds:
    """When a window ends; see `window`. Times in seconds."""

    records: int | None = None
    bytes: int | None = None
    seconds: float | None = None
    event_time: float | None = None
    lateness: float = 0.0
    idle: float = DEFAULT_IDLE  # 0: never
    by_key: bool = False
    late: str = "reject"

    def __post_init__(self) -> None:
        by_arrival = [each for each in (self.records, self.bytes, self.seconds) if each is not None]
        if self.event_time is None and not by_arrival:
            raise ValueError("a window needs a bound: records, bytes, seconds or event_time")
        if self.event_time is not None and by_arrival:
            raise ValueError("a window by event_time ends by the watermark alone: leave out records, bytes and seconds")
        if self.event_time is not None and self.event_time < 1e-6:
            raise ValueError("a window by event_time has at least a microsecond")
        if (self.records or 1) < 1 or self.records == 0 or (self.bytes or 1) < 1 or self.bytes == 0:
            raise ValueError("a window has at least one record and one byte")
        if min(self.seconds or 0, self.lateness, self.idle) < 0:
            raise ValueError("seconds, lateness and idle are not negative")
        if self.late not in ("reject", "accept"):
            raise ValueError(f"late is 'reject' or 'accept', not {self.late!r}")


@dataclass(frozen=True)
class Stage:
    """A handler and how it is called. Made by the decorators; calling it calls the handler."""

    handler: Handler
    kind: str  # "transform", "sink", "batch-sink", "window", "batch" (a window given as a list) or "source"
    bounds: Bounds = field(default=Bounds(records=1))  # of windows
    partitions: Partitions = (DEFAULT_PARTITION,)  # of a source: names, or a function of the configuration
    make_bounds: MakeBounds | None = None  # in place of `bounds`
    workers: int = 1  # of a transform or sink: handlers at once

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"a stage has at least one worker, not {self.workers}")
        if self.workers > 1 and self.kind not in ("transform", "sink"):
            raise ValueError("workers= is for transforms and sinks that get one record")

    @property
    def name(self) -> str:
        return str(getattr(self.handler, "__name__", type(self.handler).__name__))

    @property
    def holds(self) -> bool:
        """Whether it needs more than one record before it can settle the first."""
        return self.kind in ("window", "batch")

    @property
    def config_type(self) -> type | None:
        return configuration.wanted_type(self.handler, position=1)

    def configured(self, config: Any) -> Stage:
        """With the bounds that follow from the configuration; ConfigurationError when those make no sense."""
        if self.make_bounds is None:
            return self
        try:
            return replace(self, bounds=self.make_bounds(config), make_bounds=None)
        except ValueError as error:
            raise configuration.ConfigurationError(f"config: {error}") from None

    def bound(self, config: Any) -> Callable[[Any], Any]:
        """The handler as a function of one argument."""
        if len(inspect.signature(self.handler).parameters) < 2:
            return self.handler
        handler = self.handler
        return lambda given: handler(given, config)

    def __call__(self, *arguments: Any) -> Any:
        return self.handler(*arguments)


@overload
def transform(handler: Handler, *, workers: int = 1) -> Stage: ...
@overload
def transform(handler: None = None, *, workers: int = 1) -> Callable[[Handler], Stage]: ...
def transform(handler: Handler | None = None, *, workers: int = 1) -> Stage | Callable[[Handler], Stage]:
    """`handler(record[, config])` gives an emission, several (a generator, a list), or None: filtered.

    With `workers` above 1 so many of its calls run at once, in threads, and it has to be safe for that. Records
    of one key (of one input, where its order is total) are still handled one after the other.
    """
    if handler is None:
        return functools.partial(transform, workers=workers)
    return Stage(handler, "transform", workers=workers)


@overload
def sink(handler: Handler, *, batch: bool = False, workers: int = 1) -> Stage: ...
@overload
def sink(handler: None = None, *, batch: bool = False, workers: int = 1) -> Callable[[Handler], Stage]: ...
def sink(
    handler: Handler | None = None, *, batch: bool = False, workers: int = 1
) -> Stage | Callable[[Handler], Stage]:
    """`handler(record[, config])` returns nothing; with `batch` it gets a list of what has arrived.

    A batch is never waited for. If its handler raises, all its records share the verdict. `workers` as for
    `transform`, without `batch`.
    """
    if handler is None:
        return functools.partial(sink, batch=batch, workers=workers)
    return Stage(handler, "batch-sink" if batch else "sink", workers=workers)


def window(
    *,
    records: int | None = None,
    bytes: int | None = None,
    seconds: Duration | None = None,
    event_time: Duration | None = None,
    lateness: Duration = 0,
    idle: Duration = DEFAULT_IDLE,
    by_key: bool = False,
    late: Literal["reject", "accept"] = "reject",
    bounds: MakeBounds | None = None,
) -> Callable[[Handler], Stage]:
    """`handler(window[, config])` gets a `Window` and gives emissions; all of it is one step.

    A window ends with so many `records`, before its payloads are more than `bytes`, or `seconds` after its
    first record arrived: the first to be reached. Or it has `event_time` (its size): windows aligned to 1970
    which end when the watermark passes, that is the latest event time seen, less `lateness`; `idle` seconds
    without a record (0: never) end all of them. A record that comes when its window has ended is rejected,
    or dropped with `late="accept"`. `by_key` keeps a window for each key. Durations are seconds or
    timedeltas.

    Or, in place of all that, `bounds(config)` gives the `Bounds`: of what the handler gets as its second
    argument. A ValueError out of it is a mistake in the configuration.
    """
    if bounds is not None:
        if (records, bytes, seconds, event_time, lateness, idle, by_key, late) != (
            None, None, None, None, 0, DEFAULT_IDLE, False, "reject",
        ):
            raise ValueError("a window has bounds= or the bounds themselves")
        return lambda handler: Stage(handler, "window", make_bounds=bounds)
    fixed = Bounds(
        records, bytes, None if seconds is None else _seconds(seconds),
        None if event_time is None else _seconds(event_time), _seconds(lateness), _seconds(idle), by_key, late,
    )
    return lambda handler: Stage(handler, "window", fixed)


def batch(*, records: int, seconds: Duration) -> Callable[[Handler], Stage]:
    """`window(records=, seconds=)` whose handler gets the list of records: `handler(records[, config])`.

    All of them and everything the handler emits are one step: one outcome, all or nothing.
    """
    bounds = Bounds(records, seconds=_seconds(seconds))
    return lambda handler: Stage(handler, "batch", bounds)


@overload
def source(handler: Handler, *, partitions: Partitions = ...) -> Stage: ...
@overload
def source(handler: None = None, *, partitions: Partitions = ...) -> Callable[[Handler], Stage]: ...
def source(
    handler: Handler | None = None, *, partitions: Partitions = (DEFAULT_PARTITION,)
) -> Stage | Callable[[Handler], Stage]:
    """`handler(partition[, config])` is a generator of `(emissions, checkpoint)`.

    Every pair is one step. `checkpoint` (bytes, str or anything JSON can hold) is where to go on after it:
    `partition.checkpoint` gives the last committed one back. Yielding None means "nothing at the moment".
    `partitions` are the names that this stage claims, or a function of the configuration that gives them.
    """
    if handler is None:
        return functools.partial(source, partitions=partitions)
    if isinstance(partitions, str):
        partitions = (partitions,)
    return Stage(handler, "source", partitions=partitions)


def _seconds(duration: Duration) -> float:
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
