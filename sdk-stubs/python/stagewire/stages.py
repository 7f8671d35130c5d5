"""The decorators that say what a function is, and the verdicts that a handler can raise."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from datetime import timedelta

from . import codes, configuration

DEFAULT_PARTITION = "0"


class Reject(Exception):
    """This record will never work: it becomes a dead letter. Codes from 1000 are the application's."""

    def __init__(self, code: int, message: str = "", indefinite: bool = False):
        if code < codes.APPLICATION:
            raise ValueError(f"code {code}: an application's codes begin at {codes.APPLICATION}")
        super().__init__(message)
        self.code, self.message, self.indefinite = code, message, indefinite


class Retry(Exception):
    """Try again, at the earliest after `delay` (seconds or a timedelta; 0: the pipeline's backoff)."""

    def __init__(self, delay=0, message: str = "", code: int = codes.APPLICATION, indefinite=False):
        super().__init__(message)
        seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
        self.delay_ms = max(0, round(seconds * 1000))
        self.code, self.message, self.indefinite = code, message, indefinite


class Release(Exception):
    """Give the record back untouched: same attempt, elsewhere or later."""


@dataclass(frozen=True)
class Stage:
    """A handler and how it is called. Made by the decorators; calling it calls the handler."""

    handler: object
    kind: str  # "transform", "sink", "batch", "batch-sink" or "source"
    records: int = 1  # of a batch, at most
    seconds: float = 0  # that a batch waits to fill up, at most
    partitions: object = (DEFAULT_PARTITION,)  # of a source: names, or a function of the configuration

    @property
    def name(self) -> str:
        return self.handler.__name__

    @property
    def config_type(self):
        return configuration.wanted_type(self.handler, position=1)

    def bound(self, config):
        """The handler as a function of one argument."""
        if len(inspect.signature(self.handler).parameters) < 2:
            return self.handler
        handler = self.handler
        return lambda given: handler(given, config)

    def __call__(self, *arguments):
        return self.handler(*arguments)


def transform(handler) -> Stage:
    """`handler(record[, config])` gives an emission, several (a generator, a list), or None: filtered."""
    return Stage(handler, "transform")


def sink(handler=None, *, batch: bool = False):
    """`handler(record[, config])` returns nothing; with `batch` it gets a list of what has arrived.

    A batch is never waited for. If its handler raises, all its records share the verdict.
    """
    if handler is None:
        return functools.partial(sink, batch=batch)
    return Stage(handler, "batch-sink" if batch else "sink")


def batch(*, records: int, seconds: float):
    """`handler(records[, config])` gets up to `records` of them, collected for at most `seconds`.

    All of them and everything the handler emits are one step: one outcome, all or nothing.
    """
    if records < 1 or seconds < 0:
        raise ValueError("a batch has at least one record and waits for at least 0 seconds")
    return lambda handler: Stage(handler, "batch", records, seconds)


def source(handler=None, *, partitions=(DEFAULT_PARTITION,)):
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
