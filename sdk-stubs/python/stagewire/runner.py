"""`run`: attaches, works, attaches again where that can help, and ends with the right exit code."""

from __future__ import annotations

import math
import os
import platform
import random
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from . import codes, configuration, trial
from .consumer import run_consumer
from .producer import Producer
from .session import CLOSING_SECONDS, DEFAULT_TIMEOUT, Closed, Lost, Session
from .stages import Stage
from .v1 import envelope_pb2 as pb

SDK = f"stagewire-python 0.2.0 (Python {platform.python_version()})"
BACKOFF_SECONDS = (0.1, 10.0)  # first and longest; doubled in between
NOTICE_SECONDS = 60.0  # between two sentences about one outage
JITTER = 0.2

EXIT_RUNTIME, EXIT_USAGE = 1, 2


def run(
    stage: Stage,
    *,
    version: str = "0.1.0",
    name: str | None = None,
    setup: Callable[..., Any] | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> None:
    """Works as `stage` until the broker ends it. Returns after a normal end; otherwise the process ends
    with 1 (the broker is gone) or 2 (it makes no sense to try again), the reason on stderr.

    `version` is the author's own and shows up in lineage. `name` is the stage's name in the pipeline file
    where nobody sets STAGEWIRE_STAGE; by default the function's. `setup(config)` is called once, before the
    first record: what it returns (a model, an open file) goes to the handler in place of the configuration,
    and its `close()`, if it has one, is called at the end. `timeout` (seconds; 0: none) is how long the handler
    may work on what it was given: after that the broker takes it back and ends this worker.

    With `--test FILE` on the command line it tries the handler on records of that file instead; see `trial`.
    """
    if not isinstance(stage, Stage):
        _fail(EXIT_USAGE, "run() takes a function decorated with @stagewire.transform, sink, batch or source")
    try:
        asked = trial.parse(sys.argv[1:], is_source=stage.kind == "source")
    except trial.Mistake as error:
        _fail(EXIT_USAGE, str(error))
    if asked:
        sys.exit(trial.run(asked, stage, setup))
    address = os.environ.get("STAGEWIRE_SOCKET", "")
    if not address:
        _fail(
            EXIT_USAGE,
            "STAGEWIRE_SOCKET is not set: start this stage through `stagewire run`, set it to the broker's "
            "socket, or try the stage out with --test FILE",
        )
    _Worker(stage, address, _hello(stage, version, name), setup, timeout).run()


def _hello(stage: Stage, version: str, name: str | None) -> pb.Hello:
    # Taken out of the environment, so that children do not inherit it.
    token = os.environ.pop("STAGEWIRE_TOKEN", "")
    try:
        secret = bytes.fromhex(token)
    except ValueError:
        _fail(EXIT_USAGE, "STAGEWIRE_TOKEN is not hexadecimal: leave it to the broker to set it")
    return pb.Hello(
        min_version=codes.PROTOCOL_VERSION,
        max_version=codes.PROTOCOL_VERSION,
        stage=os.environ.get("STAGEWIRE_STAGE") or name or stage.name,
        instance=os.environ.get("STAGEWIRE_INSTANCE", ""),
        stage_version=version,
        offered=_features(stage),
        max_frame=codes.MAX_FRAME,
        token=secret,
        sdk=SDK,
        language="python",
    )


def _features(stage: Stage) -> list[str]:
    if stage.kind == "source":
        return []
    return ["holds", "settle-confirm"] if stage.holds else ["settle-confirm"]


class _Worker:
    def __init__(
        self, stage: Stage, address: str, hello: pb.Hello, setup: Callable[..., Any] | None, timeout: float
    ):
        self.stage, self.address, self.hello, self.setup = stage, address, hello, setup
        self.timeout = timeout
        self.said = -math.inf  # when the outage was last spoken of
        self.state: Any = None  # what `setup` made
        self.spawned = bool(hello.token)
        self.producer = Producer(stage) if stage.kind == "source" else None
        self.stop_requested = False
        self.session: Session | None = None
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)

    def run(self) -> None:
        self._catch_signals()
        try:
            self._attach_and_work()
        finally:
            if hasattr(self.state, "close"):
                self.state.close()

    def _attach_and_work(self) -> None:
        delay = BACKOFF_SECONDS[0]
        while True:
            reason, attached = self._work_once()
            if reason is None:
                return
            self._give_up_if_final(reason, attached)
            if attached:
                delay, self.said = BACKOFF_SECONDS[0], -math.inf
            self._pause(delay * random.uniform(1 - JITTER, 1 + JITTER), reason)
            delay = min(delay * 2, BACKOFF_SECONDS[1])

    def _work_once(self) -> tuple[Exception | None, bool]:
        """One session. Why it ended (None: normally), and whether it had begun."""
        try:
            session = Session.attach(self.address, self.hello, self._wake_read, self.timeout)
        except (OSError, Closed, Lost) as error:
            if isinstance(error, Closed) and error.code == codes.OK:
                return None, False  # the stage has ended already (HS-4)
            return error, False
        self.session = session
        session.stopping = self.stop_requested
        try:
            config, stage, names = self._configured(session)
            session.start(self._exit_code, self._patience())
            if self.producer:
                self.producer.run(session, config, names)
            else:
                run_consumer(stage, session, config)
            session.close()
            return None, True
        except Closed as error:
            if error.code == codes.OK:
                session.close()
                return None, True
            return error, True
        except Lost as error:
            return error, True
        finally:
            session.discard()

    def _patience(self) -> float | None:
        """How long a handler may go on after its session: in a process that the host started not long, in
        any other until its time is up, for nothing would ever be handled again."""
        if self.spawned:
            return CLOSING_SECONDS
        return self.timeout + CLOSING_SECONDS if self.timeout else None

    def _configured(self, session: Session) -> tuple[Any, Stage, list[str]]:
        """What the handler gets as its second argument; the stage as it makes it; a source's partitions."""
        try:
            config = self._configuration(session)
            stage = self.stage.configured(config)
            return config, stage, self.producer.names(session, config) if self.producer else []
        except configuration.ConfigurationError as error:
            message = f"stage {self.hello.stage}: {error}"
            session.close(codes.APPLICATION, message)
            _fail(EXIT_USAGE, message)

    def _configuration(self, session: Session) -> Any:
        wanted = self.stage.config_type
        if self.setup:
            wanted = configuration.wanted_type(self.setup, position=0)
        config = configuration.build(session.welcome.config, wanted)
        if self.setup and self.state is None:
            self.state = self.setup(config)
        return self.state if self.setup else config

    def _give_up_if_final(self, reason: Exception, attached: bool) -> None:
        if isinstance(reason, Closed) and reason.code not in codes.RETRYABLE:
            _fail(EXIT_USAGE, f"{codes.printable(reason.message)} ({reason.code})")
        if self.spawned and not isinstance(reason, Closed):
            _fail(EXIT_RUNTIME, f"lost the broker at {self.address}: {reason}")
        if self.stop_requested and attached:
            _fail(EXIT_RUNTIME, f"ended without the broker: {codes.printable(str(reason))}")
        if self.stop_requested:
            sys.exit(0)  # nothing had begun

    @staticmethod
    def _exit_code(reason: Exception | None) -> int:
        if isinstance(reason, Closed) and reason.code not in codes.RETRYABLE:
            return codes.OK if reason.code == codes.OK else EXIT_USAGE
        return EXIT_RUNTIME

    def _pause(self, seconds: float, reason: Exception) -> None:
        now = time.monotonic()
        if now - self.said >= NOTICE_SECONDS:
            self.said = now
            print(f"stagewire: {codes.printable(str(reason))}; trying again until the broker is there", file=sys.stderr)
        deadline = now + seconds
        while not self.stop_requested and time.monotonic() < deadline:
            time.sleep(min(0.1, max(0.0, deadline - time.monotonic())))
        if self.stop_requested:
            sys.exit(0)

    def _catch_signals(self) -> None:
        """SIGTERM finishes what has begun and gives back the rest. So does SIGINT, unless a broker started
        this worker: then it gets the terminal's SIGINT as well, and its drain is what counts."""
        signal.signal(signal.SIGTERM, self._request_stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN if self.spawned else self._request_stop)

    def _request_stop(self, number: int, _frame: object) -> None:
        if self.stop_requested:
            sys.exit(128 + number)
        self.stop_requested = True
        if self.session:
            self.session.stopping = True
        os.write(self._wake_write, b"s")  # the reader thread tells whoever waits


def _fail(code: int, message: str) -> NoReturn:
    print(f"stagewire: {message}", file=sys.stderr)
    sys.exit(code)
