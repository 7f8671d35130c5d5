"""A record as JSON: docs/RECORD_JSON.md."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, NoReturn

from .records import Emission
from .v1 import envelope_pb2, record_pb2
from .windows import format_time

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-]\d\d:\d\d))", re.ASCII)
_SPACE = re.compile(r'("(?:[^"\\]|\\.)*")|[ \t\n\r]+')
_JSON_TYPE = "application/json"


class Mistake(ValueError):
    """A line that is not a record; the sentence names the field."""


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_VALUES = json.JSONDecoder(parse_constant=_not_json)
# For checking only: numbers of any length, no objects made of them.
_CHECK = json.JSONDecoder(parse_constant=_not_json, parse_float=str, parse_int=str)


# ---- Writing ----


def write(emission: Emission, port: str | None) -> str:
    """An emission as one line. `port`: None, the stage's first output."""
    record = record_pb2.Record.FromString(emission.output)
    header = record.header
    members: list[tuple[str, str]] = []
    if port:
        members.append(("port", _text(port)))
    if header.key:
        members.append(_text_or_base64("key", "key_base64", header.key))
    if record.payload:
        members.append(_payload(record.payload, header.content_type))
    if header.schema:
        members.append(("schema", _text(header.schema)))
    if header.schema_version:
        members.append(("schema_version", str(header.schema_version)))
    if header.content_type:
        members.append(("content_type", _text(header.content_type)))
    if header.event_time:
        members.append(("event_time", _text(format_time(header.event_time))))
    if header.attributes:
        members.append(("attributes", _object(_attributes(header))))
    return _object(members)


def _object(members: list[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{_text(name)}: {value}" for name, value in members) + "}"


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _text_or_base64(text: str, other: str, value: bytes) -> tuple[str, str]:
    try:
        return text, _text(value.decode())
    except UnicodeDecodeError:
        return other, _text(base64.b64encode(value).decode())


def _payload(payload: bytes, content_type: str) -> tuple[str, str]:
    media = content_type.partition(";")[0].strip().lower()
    if (media == _JSON_TYPE or media.endswith("+json")) and b"\n" not in payload and b"\r" not in payload:
        try:
            text = payload.decode()
            _CHECK.decode(text)
            return "json", text
        except (ValueError, RecursionError):
            pass
    return _text_or_base64("text", "base64", payload)


def _attributes(header: record_pb2.Header) -> list[tuple[str, str]]:
    members: dict[str, str] = {}
    for each in header.attributes:
        kind = each.WhichOneof("value")
        if kind is None:
            continue
        value = getattr(each, kind)
        if kind == "number" and not math.isfinite(value):
            value = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        members.setdefault(each.name, _text(value))  # the first one of a name counts
    return list(members.items())


# ---- Reading ----


@dataclass
class Line:
    """What one line says: the author's part, and what the broker added."""

    record: record_pb2.Record = field(default_factory=record_pb2.Record)
    attempt: int = 1
    input: str = ""
    runs: dict[int, envelope_pb2.Run] = field(default_factory=dict)  # of the hops, numbered from 1


def read(text: str) -> Line:
    """One line. Mistake, which names the field, when it is not a record."""
    members = _members(text)
    line = Line()
    for name, (value, raw) in members.items():
        reader = _READERS.get(name)
        if reader is None:
            raise Mistake(f"{name}: a record has no such field")
        try:
            reader(line, value, raw)
        except UnicodeEncodeError:
            raise Mistake(f"{name}: not Unicode text") from None
        except (ValueError, TypeError) as error:
            raise Mistake(f"{name}: {error}") from None
    for group in (("json", "text", "base64"), ("key", "key_base64")):
        named = [each for each in group if each in members]
        if len(named) > 1:
            raise Mistake(f"{', '.join(named)}: only one of them")
    if "json" in members and not line.record.header.content_type:
        line.record.header.content_type = _JSON_TYPE
    return line


def _members(text: str) -> dict[str, tuple[Any, str]]:
    """The members of an object, each with its text: no digit of a number may change."""
    members: dict[str, tuple[Any, str]] = {}
    try:
        at = _skip(text, 0)
        if text[at : at + 1] != "{":
            raise ValueError("it does not begin with {")
        at = _skip(text, at + 1)
        while text[at : at + 1] != "}":
            if members:
                at = _skip(text, _expect(text, at, ","))
            if text[at : at + 1] != '"':
                raise ValueError(f"expected a name at column {at + 1}")
            name, at = _VALUES.raw_decode(text, at)
            at = _skip(text, _expect(text, _skip(text, at), ":"))
            value, end = _VALUES.raw_decode(text, at)
            members[name] = value, text[at:end]
            at = _skip(text, end)
        if _skip(text, at + 1) != len(text):
            raise ValueError("there is more behind it")
    except (ValueError, RecursionError) as error:
        raise Mistake(f"not a JSON object: {error}") from None
    return members


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t", "\n", "\r"):
        at += 1
    return at


def _expect(text: str, at: int, mark: str) -> int:
    if text[at : at + 1] != mark:
        raise ValueError(f"expected {mark} at column {at + 1}")
    return at + 1


def _kind(value: Any, wanted: type, words: str) -> Any:
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise ValueError(f"expected {words}, got {json.dumps(value)[:100]}")
    return value


def _bytes(value: Any) -> bytes:
    try:
        return base64.b64decode(_kind(value, str, "a text").encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("not base64 with padding (RFC 4648, section 4)") from None


def _read_json(line: Line, _value: Any, raw: str) -> None:
    line.record.payload = _SPACE.sub(lambda found: found[1] or "", raw).encode()


def _read_text(line: Line, value: Any, _raw: str) -> None:
    line.record.payload = _kind(value, str, "a text").encode()


def _read_base64(line: Line, value: Any, _raw: str) -> None:
    line.record.payload = _bytes(value)


def _read_key(line: Line, value: Any, _raw: str) -> None:
    line.record.header.key = _kind(value, str, "a text").encode()


def _read_key_base64(line: Line, value: Any, _raw: str) -> None:
    line.record.header.key = _bytes(value)


def _header_text(name: str) -> Callable[[Line, Any, str], None]:
    def reader(line: Line, value: Any, _raw: str) -> None:
        _kind(value, str, "a text").encode()
        setattr(line.record.header, name, value)

    return reader


def _read_version(line: Line, value: Any, _raw: str) -> None:
    if not 0 <= _kind(value, int, "an integer") < 1 << 32:
        raise ValueError(f"expected an integer from 0 to {(1 << 32) - 1}")
    line.record.header.schema_version = value


def _read_time(line: Line, value: Any, _raw: str) -> None:
    line.record.header.event_time = microseconds(value)


def microseconds(value: Any) -> int:
    """RFC 3339 with any offset and up to nine fractional digits, of which six count; or the number itself."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not -(1 << 63) <= value < 1 << 63:
            raise ValueError("an integer of microseconds has 64 bits")
        return value
    text = _kind(value, str, "a time (RFC 3339) or an integer of microseconds")
    match = _RFC3339.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        day, clock, fraction, offset = match.groups()
        moment = datetime.fromisoformat(f"{day}T{clock}{offset or '+00:00'}") - _EPOCH
    except (ValueError, OverflowError):
        raise ValueError(f"{json.dumps(text)} is no time as in RFC 3339, such as 2026-01-05T10:30:00Z") from None
    return moment // timedelta(microseconds=1) + int(((fraction or "") + "000000")[:6])


def _read_attributes(line: Line, value: Any, _raw: str) -> None:
    for name, each in _kind(value, dict, "an object").items():
        added = line.record.header.attributes.add()
        name.encode()
        added.name = name
        if isinstance(each, bool):
            added.flag = each
        elif isinstance(each, int) and -(1 << 63) <= each < 1 << 63:
            added.integer = each
        elif isinstance(each, (int, float)) and math.isfinite(number := _float(each)):
            added.number = number
        elif isinstance(each, str):
            each.encode()
            added.text = each
        elif isinstance(each, (int, float)):
            raise ValueError(f"{name}: that is beyond what a number can hold")
        else:
            raise ValueError(f"{name}: an attribute is a text, a number, true or false")


def _float(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _read_attempt(line: Line, value: Any, _raw: str) -> None:
    if not 1 <= _kind(value, int, "an integer") < 1 << 32:
        raise ValueError("attempts are counted from 1")
    line.attempt = value


def _read_input(line: Line, value: Any, _raw: str) -> None:
    line.input = _kind(value, str, "a text")


def _ignore(line: Line, value: Any, _raw: str) -> None:
    _kind(value, str, "a text")


def _read_lineage(line: Line, value: Any, _raw: str) -> None:
    """Fields that are not named here are ignored."""
    told, lineage = _kind(value, dict, "an object"), line.record.lineage
    lineage.id = _id("id", told.get("id", ""))
    if told.get("root", told.get("id")) != told.get("id"):
        lineage.root = _id("root", told["root"])
    lineage.parents.extend(_id("parents", each) for each in told.get("parents", []))
    lineage.parents_truncated = told.get("parents_truncated", False) is True
    trace = told.get("trace", {})
    if trace:
        lineage.trace.traceparent = trace.get("traceparent", "")
        lineage.trace.tracestate = trace.get("tracestate", "")
    lineage.ingest_time = microseconds(told.get("ingest_time", 0))
    for number, hop in enumerate(told.get("hops", []), 1):
        names = {each: hop.get(each, "") for each in ("stage", "version", "instance", "language")}
        line.runs[number] = envelope_pb2.Run(number=number, **names)
        delta = microseconds(hop.get("time", 0)) - lineage.ingest_time
        lineage.hops.add(run=number, delta=max(0, delta), attempt=hop.get("attempt", 0))


def _id(name: str, text: Any) -> bytes:
    try:
        value = bytes.fromhex(text)
    except (TypeError, ValueError):
        value = b"?"
    if len(value) not in (0, 16):
        raise ValueError(f"{name}: an id is 32 hexadecimal digits, not {json.dumps(text)}")
    return value


_READERS: dict[str, Callable[[Line, Any, str], None]] = {
    "json": _read_json, "text": _read_text, "base64": _read_base64,
    "key": _read_key, "key_base64": _read_key_base64,
    "schema": _header_text("schema"), "schema_version": _read_version,
    "content_type": _header_text("content_type"),
    "event_time": _read_time, "attributes": _read_attributes,
    "port": _ignore, "attempt": _read_attempt, "input": _read_input, "lineage": _read_lineage,
}
