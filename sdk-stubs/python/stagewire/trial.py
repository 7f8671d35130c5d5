"""A stage without a broker: `--test FILE` reads records as JSON and prints what is emitted."""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from . import codes, configuration, record_json
from .holding import judged
from .outbox import OutputCredit
from .producer import Partition
from .records import Emission, Record, check_header
from .session import Batch
from .stages import Reject, Stage
from .v1 import envelope_pb2 as pb
from .verdicts import read as read_verdict
from .windows import Assembler, Late, Window
from .wire import views_pb2 as views

USAGE = (
    "--test FILE reads records as JSON from FILE (-: standard input), a source takes --test alone; "
    "--config JSON or @FILE and, for sources, --limit N may stand with it"
)
# The limits of a pipeline whose file does not name others.
WELCOME = pb.Welcome(
    max_frame=4 << 20, max_record=1 << 20, max_step_records=4096, max_step_bytes=1 << 20,
    outputs=[pb.Output(number=0, port="out")],
)
KINDS = {codes.REJECTED: "REJECTED", codes.RETRY: "RETRY"}


class Mistake(Exception):
    """The command line, the file or the configuration is wrong."""


@dataclass
class Asked:
    """What the command line asks for."""

    file: str = ""
    config: str = "{}"
    limit: int = 100  # records that a source prints


def parse(arguments: list[str], is_source: bool) -> Asked | None:
    """Looks for --test; None: it is not there, and the arguments are the author's."""
    found: dict[str, str] = {}
    rest = iter(arguments)
    for each in rest:
        name, given, value = each.partition("=")
        if name not in ("--test", "--config", "--limit"):
            continue
        if not given and not (name == "--test" and is_source):
            value = next(rest, "") or ("" if name != "--test" else "?")
            if value in ("", "?"):
                found.setdefault("lacks", name)
        found[name] = value
    if "--test" not in found:
        return None
    if "lacks" in found:
        raise Mistake(f"{found['lacks']} lacks its value: {USAGE}")
    limit = found.get("--limit", "100")
    if not limit.isdecimal() or int(limit) < 1:
        raise Mistake(f"--limit {limit}: expected a number of records, at least 1")
    return Asked(found["--test"], found.get("--config", "{}"), int(limit))


def run(asked: Asked, stage: Stage, setup: Callable[..., Any] | None) -> int:
    """The exit code: 0 all were accepted, 1 not all, 2 the file or the configuration is wrong."""
    state = None
    try:
        config = _configuration(asked, stage, setup)
        if setup:
            config = state = setup(config)
        if stage.kind == "source":
            return _run_source(asked, stage, config)
        return _Trial(stage.configured(config), stage.bound(config)).run(asked.file)
    except (Mistake, configuration.ConfigurationError, OSError) as error:
        sys.stdout.flush()
        print(f"stagewire: {error}", file=sys.stderr)
        return 2
    finally:
        close = getattr(state, "close", None)
        if close:
            close()


def _configuration(asked: Asked, stage: Stage, setup: Callable[..., Any] | None) -> Any:
    wanted = configuration.wanted_type(setup, position=0) if setup else stage.config_type
    document = asked.config.encode("utf-8", "surrogateescape")
    if asked.config.startswith("@"):
        with open(asked.config[1:], "rb") as file:
            document = file.read()
    return configuration.build(document, wanted)


class _Printer:
    """Prints emissions, as far as a pipeline with default limits would take them."""

    def __init__(self) -> None:
        session: Any = types.SimpleNamespace(welcome=WELCOME)
        self.credit = OutputCredit(session)
        self.emitted = 0

    def check(self, emissions: list[Emission], known: set[int] | None = None) -> None:
        for each in emissions:
            # What outputs there are stands in the pipeline, which is not here.
            self.credit.ports.setdefault(getattr(each, "port", None), len(self.credit.ports))
        self.credit.encode(emissions, known)

    def print(self, emissions: list[Emission]) -> None:
        for each in emissions:
            first = each.port is None or each.port == "out"
            print(record_json.write(each, None if first else each.port))
            self.emitted += 1


class _Trial:
    """Transforms, sinks and windows on the records of a file."""

    def __init__(self, stage: Stage, handler: Callable[[Any], Any]):
        self.stage, self.handler = stage, handler
        self.printer = _Printer()
        self.assembler = Assembler(stage.bounds)
        self.read = self.filtered = 0
        self.counts = dict.fromkeys((codes.ACCEPTED, codes.REJECTED, codes.RETRY, codes.RELEASED), 0)

    def run(self, name: str) -> int:
        with _opened(name) as lines:
            for number, text in enumerate(lines, 1):
                if text.strip():
                    self._handle(self._record(text, f"{'standard input' if name == '-' else name}:{number}"))
        self.assembler.end_all()
        self._handle_windows()
        sys.stdout.flush()
        print(self.summary, file=sys.stderr)
        return 0 if self.counts[codes.ACCEPTED] == self.read else 1

    def _record(self, text: bytes, place: str) -> Record:
        """A line's record, as if it had been delivered."""
        try:
            line = record_json.read(text.decode())
            check_header(line.record.header, line.record.header.ByteSize())
        except ValueError as error:
            raise Mistake(f"{place}: {error}") from None
        self.read += 1
        encoded = line.record.SerializeToString()
        deliver = views.DeliverFrame.FromString(
            pb.Envelope(deliver=pb.Deliver(first_delivery=self.read, attempts=[line.attempt])).SerializeToString()
        ).deliver
        deliver.records.add().MergeFromString(encoded)
        batch = Batch(deliver, len(encoded), line.input.partition(".")[0], line.runs)
        return Record(batch.views[0], batch, self.read)

    def _handle(self, record: Record) -> None:
        if self.stage.holds:
            try:
                # Time stands still: what ends by `seconds` or by idleness ends with the file.
                self.assembler.add(record, 0.0)
            except Late:
                self._accepted([record], 0)
            except Reject as error:
                self._refused([record], error)
            self._handle_windows()
            return
        try:
            given = [record] if self.stage.kind == "batch-sink" else record
            result = self.handler(given)
            emissions = [result] if isinstance(result, Emission) else list(result or ())
            if result is not None and self.stage.kind != "transform":
                raise TypeError(f"a sink returns nothing, not {type(result).__name__}")
            self.printer.check(emissions)
        except Exception as error:
            self._refused([record], error)
            return
        self._accepted([record], len(emissions))
        self.printer.print(emissions)

    def _handle_windows(self) -> None:
        ready = self.assembler.ready
        while ready:
            window: Window = ready.pop(0)
            try:
                accepted, emissions = judged(self.stage, self.handler, window)
                self.printer.check(emissions, {each.delivery for each in accepted})
            except Exception as error:
                self._refused(window.records, error)
                continue
            self._accepted(accepted, len(emissions))
            for each in window.records:
                if each.delivery in window.rejected:
                    self._refused([each], window.rejected[each.delivery])
            self.printer.print(emissions)

    def _accepted(self, records: list[Record], emissions: int) -> None:
        self.counts[codes.ACCEPTED] += len(records)
        if not emissions:
            self.filtered += len(records)

    def _refused(self, records: list[Record], error: Exception) -> None:
        sys.stdout.flush()  # in the order in which things happened, where both are one terminal
        kind, code, message = read_verdict(error)
        for each in records:
            self.counts[kind] += 1
            if kind == codes.RELEASED:
                print(f"record {each.delivery}: RELEASED", file=sys.stderr)
            else:
                print(f"record {each.delivery}: {KINDS[kind]} {code}: {message}", file=sys.stderr)

    @property
    def summary(self) -> str:
        counts = self.counts
        return (
            f"{self.read} records: {counts[codes.ACCEPTED]} accepted ({self.filtered} filtered), "
            f"{counts[codes.REJECTED]} rejected, {counts[codes.RETRY]} to be retried, "
            f"{counts[codes.RELEASED]} released; {self.printer.emitted} emitted"
        )


@contextlib.contextmanager
def _opened(name: str) -> Iterator[IO[bytes]]:
    if name == "-":
        yield sys.stdin.buffer
    else:
        with open(name, "rb") as file:
            yield file


def _run_source(asked: Asked, stage: Stage, config: Any) -> int:
    """Every partition in turn, each from the beginning, until there is enough."""
    printer, names = _Printer(), stage.partitions
    names = list(names(config) if callable(names) else names)
    left = asked.limit
    try:
        for name in names:
            steps = iter(stage.bound(config)(Partition(name, b"")))
            for step in steps:
                if step is None:
                    continue
                emissions = [step[0]] if isinstance(step[0], Emission) else list(step[0])
                printer.check(emissions)
                printer.print(emissions[:left])
                left -= min(left, len(emissions))
                if not left:
                    break
            if hasattr(steps, "close"):
                steps.close()
            if not left:
                break
    except Exception as error:
        read_verdict(error)  # which shows its traceback
        sys.stdout.flush()
        print(f"stagewire: the source failed: {error}", file=sys.stderr)
        return 1
    sys.stdout.flush()
    print(f"{printer.emitted} emitted", file=sys.stderr)
    return 0
