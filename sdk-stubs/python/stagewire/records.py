"""Records as a handler sees them, and what it emits."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from . import codes
from .frames import varint
from .v1 import record_pb2 as pb

_DUMP = jsonlib.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
_PAYLOADS = frozenset({"payload", "json", "text"})
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Refused(ValueError):
    """These emissions can never be sent: the code and the sentence of a dead letter."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True, slots=True)
class Hop:
    """One stage's part in a record."""

    stage: str
    version: str
    instance: str
    language: str
    attempt: int
    time: int  # microseconds since 1970 at which that stage's output entered the broker


class Emission:
    """An output: made by `Record.emit` or `emission`, sent when the handler is done."""

    __slots__ = ("header", "content", "port", "parents", "trace")

    def __init__(self, header: bytes, content: bytes, port: str | None, parents: tuple[int, ...], trace: bytes = b""):
        self.header = header  # encoded
        self.content = content  # the payload
        self.port = port  # None: the stage's first output
        self.parents = parents  # delivery ids
        self.trace = trace

    @property
    def output(self) -> bytes:
        """The encoded Record without lineage. Nested messages are left out when they are empty."""
        output = b"\x12%b%b" % (varint(len(self.header)), self.header) if self.header else b""
        return output + b"\x1a%b%b" % (varint(len(self.content)), self.content) if self.content else output


class Record:
    """One delivered record, read-only. Header and lineage are decoded when first asked for."""

    __slots__ = ("_view", "_batch", "delivery", "_header", "_lineage")

    def __init__(self, view: Any, batch: Any, delivery: int):
        self._view = view
        self._batch = batch
        self.delivery = delivery  # this delivery's id; a redelivery has another
        self._header: pb.Header | None = None
        self._lineage: pb.Lineage | None = None

    # ---- what the author of the stage before wrote ----

    @property
    def payload(self) -> bytes:
        payload: bytes = self._view.payload
        return payload

    def text(self) -> str:
        """The payload as UTF-8 text."""
        return self.payload.decode()

    def json(self) -> Any:
        """The payload as a JSON value."""
        return jsonlib.loads(self._view.payload)

    @property
    def header(self) -> pb.Header:
        """The decoded header; changing it changes nothing."""
        if self._header is None:
            self._header = pb.Header.FromString(self._view.header)
        return self._header

    @property
    def key(self) -> bytes:
        return self.header.key

    @property
    def event_time(self) -> int:
        """Microseconds since 1970; 0: not known."""
        return self.header.event_time

    @property
    def schema(self) -> str:
        return self.header.schema

    @property
    def schema_version(self) -> int:
        return self.header.schema_version

    @property
    def content_type(self) -> str:
        return self.header.content_type

    @property
    def attributes(self) -> dict[str, str | int | float | bool]:
        """Names to str, int, float or bool. Of a name that stands twice the first counts."""
        values: dict[str, str | int | float | bool] = {}
        for each in self.header.attributes:
            kind = each.WhichOneof("value")
            if kind is not None:
                values.setdefault(each.name, getattr(each, kind))
        return values

    # ---- what the broker wrote ----

    @property
    def lineage(self) -> pb.Lineage:
        """The decoded lineage; changing it changes nothing."""
        if self._lineage is None:
            self._lineage = pb.Lineage.FromString(self._view.lineage)
        return self._lineage

    @property
    def id(self) -> str:
        """32 hexadecimal digits; the same after a redelivery or a replay."""
        return self.lineage.id.hex()

    @property
    def parents(self) -> list[str]:
        return [each.hex() for each in self.lineage.parents]

    @property
    def root(self) -> str:
        """The id of the source's record that this one descends from."""
        return (self.lineage.root or self.lineage.id).hex()

    @property
    def ingest_time(self) -> int:
        """Microseconds since 1970 at which the root entered the broker."""
        return self.lineage.ingest_time

    @property
    def hops(self) -> list[Hop]:
        """Every stage that this record went through, oldest first."""
        runs, begin = self._batch.runs, self.lineage.ingest_time
        hops = []
        for hop in self.lineage.hops:
            run = runs.get(hop.run)
            stage, version, instance, language = (
                (run.stage, run.version, run.instance, run.language) if run else ("", "", "", "")
            )
            hops.append(Hop(stage, version, instance, language, hop.attempt or 1, begin + hop.delta))
        return hops

    @property
    def trace(self) -> tuple[str, str]:
        """W3C traceparent and tracestate, as the source gave them; empty when it gave none."""
        return self.lineage.trace.traceparent, self.lineage.trace.tracestate

    @property
    def attempt(self) -> int:
        """1 for the first delivery."""
        attempts = self._batch.attempts
        return attempts[self.delivery - self._batch.first] if attempts else 1

    @property
    def input(self) -> str:
        """The stage that this record comes from."""
        stage: str = self._batch.stage
        return stage

    # ---- when it is settled ----

    def on_confirmed(self, action: Callable[[], object]) -> None:
        """Has `action()` called once the broker has confirmed that this record's settlement is durable (in a
        pipeline with `durability: memory`: applied): the record will not come again, and what it stands for may be
        deleted. To be called by the handler.

        Actions are called in the order of deliveries, one at a time, in a thread of their own; the traceback of one
        that raises goes to stderr. An action is not called when the record is not accepted, when the broker refuses
        what was emitted, when the session ends before, and in tests without a broker.
        """
        if self._batch.confirmations is not None:
            self._batch.confirmations.ask(self.delivery, action)

    # ---- for the SDK ----

    @property
    def input_number(self) -> int:
        number: int = self._batch.input
        return number

    @property
    def encoded_size(self) -> int:
        """Bytes as they count against credit; an empty field that is there nevertheless counts two."""
        view = self._view
        return sum([
            len(each) + (2 if len(each) < 128 else 3 if len(each) < 1 << 14 else 4 if len(each) < 1 << 21 else 5)
            for each in (view.lineage, view.header, view.payload)
        ])

    def fresh(self) -> Record:
        """The same delivery, with nothing decoded yet."""
        return Record(self._view, self._batch, self.delivery)

    def copied(self) -> Record:
        """The record without the frame that it came in."""
        view = type(self._view)()
        view.CopyFrom(self._view)
        return Record(view, self._batch.without_records(self.attempt, self.delivery), self.delivery)

    # ---- what comes of it ----

    def emit(
        self, *, port: str | None = None, parents: Iterable[Record] | None = None, keep_header: bool = False, **fields: Any
    ) -> Emission:
        """An output that descends from this record.

        `fields` are one of `payload` (bytes), `text` and `json`, and any of `key` (bytes or str),
        `event_time` (microseconds or an aware datetime), `attributes` (dict), `schema`,
        `schema_version` and `content_type`. What is not named is taken over; `attributes` adds to the
        record's own and None removes one. Only schema and content type describe the old payload and
        do not go with a new one. `port` names an output of the stage; `parents`, in a batch, the
        records that this output descends from instead of this one. With `keep_header` the header goes on
        byte for byte, schema and content type included, whatever the payload.
        """
        view = self._view
        header, content = view.header, view.payload
        if fields and keep_header:
            replaced, _ = _content(fields)
            content = content if replaced is None else replaced
            if fields:
                raise TypeError(f"keep_header: the header stays as it is, {', '.join(sorted(fields))} included")
        elif fields:
            header, content = _changed(header, content, fields)
        elif parents is None:
            return Emission(header, content, port, (self.delivery,))
        named = (self.delivery,) if parents is None else tuple([each.delivery for each in parents])
        return Emission(header, content, port, named)


def emission(
    *, port: str | None = None, parents: Iterable[Record] = (), traceparent: str = "", tracestate: str = "", **fields: Any
) -> Emission:
    """An output that takes nothing over: for sources, and for a batch as a whole.

    `fields` as in `Record.emit`. `parents` are records of the batch; none named: all of them. A trace
    context is for sources only.
    """
    content, content_type = _content(fields)
    if content_type:
        fields.setdefault("content_type", content_type)
    trace = b""
    if traceparent:
        trace = pb.TraceContext(traceparent=traceparent, tracestate=tracestate).SerializeToString()
    header = _header(b"", fields) if fields else b""
    return Emission(header, content or b"", port, tuple([each.delivery for each in parents]), trace)


def _changed(header: bytes, content: bytes, fields: dict[str, Any]) -> tuple[bytes, bytes]:
    """Header and payload of a record with `fields` put in."""
    replaced, content_type = _content(fields)
    if replaced is not None:
        content = replaced
        fields.setdefault("content_type", content_type)
        fields.setdefault("schema", "")
    return _header(header, fields), content


def _content(fields: dict[str, Any]) -> tuple[bytes | None, str]:
    """Takes the payload out of `fields`: its bytes (None: not named) and content type."""
    named = set(_PAYLOADS & fields.keys())
    if not named:
        return None, ""
    if len(named) > 1:
        raise TypeError(f"one payload at a time, not {' and '.join(sorted(named))}")
    name = named.pop()
    value = fields.pop(name)
    if name == "json":
        return _DUMP(value).encode(), _JSON
    if name == "text":
        return _utf8(value, "text"), _TEXT
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError(f"payload is bytes, not {type(value).__name__}: use text= or json=")
    return bytes(value), ""


def _utf8(text: str, what: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise Refused(codes.INVALID_OUTPUT, f"an output's {what} is not Unicode text: {error}") from None


def _header(old: bytes, fields: dict[str, Any]) -> bytes:
    """The header `old` with `fields` put in; Refused when the broker would not take it."""
    try:
        header = _changed_header(old, fields)
    except UnicodeError as error:
        raise Refused(codes.INVALID_OUTPUT, f"an output's header holds what is not Unicode text: {error}") from None
    encoded: bytes = header.SerializeToString()
    if len(encoded) > 128:  # less than any limit's worth
        check_header(header, len(encoded))
    return encoded


def check_header(header: pb.Header, encoded: int) -> None:
    """Refused when the broker would not take it."""
    for what, size, limit in [
        ("bytes of key", len(header.key), codes.MAX_KEY), ("attributes", len(header.attributes), codes.MAX_ATTRIBUTES),
        ("bytes of header", encoded, codes.MAX_HEADER),
    ]:
        if size > limit:
            raise Refused(codes.INVALID_OUTPUT, f"an output with {size} {what}; it may have {limit}")


def _changed_header(old: bytes, fields: dict[str, Any]) -> pb.Header:
    header = pb.Header.FromString(old)
    if "schema" in fields:
        header.schema = fields["schema"]
        header.schema_version = fields.get("schema_version", 0)
    for name, value in fields.items():
        if name == "key":
            header.key = _utf8(value, "key") if isinstance(value, str) else value
        elif name == "event_time":
            header.event_time = _microseconds(value)
        elif name == "content_type":
            header.content_type = value
        elif name == "attributes":
            _put_attributes(header, value)
        elif name == "schema_version":
            header.schema_version = value
        elif name != "schema":
            raise TypeError(f"an output has no field named {name!r}")
    return header


def _put_attributes(header: pb.Header, changes: dict[str, Any]) -> None:
    for i in reversed(range(len(header.attributes))):
        if header.attributes[i].name in changes:
            del header.attributes[i]
    for name, value in changes.items():
        if value is None:
            continue
        added = header.attributes.add()
        added.name = name
        if isinstance(value, bool):  # before int: a bool is one
            added.flag = value
        elif isinstance(value, int):
            added.integer = value
        elif isinstance(value, float):
            added.number = value
        elif isinstance(value, str):
            added.text = value
        else:
            kind = type(value).__name__
            raise TypeError(f"attribute {name!r} is str, int, float or bool, not {kind}")


def _microseconds(value: datetime | int) -> int:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("event_time has no time zone: say which one, for example timezone.utc")
        return (value - _EPOCH) // timedelta(microseconds=1)
    return value
