"""What FR-2, FR-5, RE-4 and RE-5 say of the bytes of a message, driven by its descriptor.

Protobuf libraries take much that the protocol refuses, so that they cannot judge the invalid vectors; this can. It is
written from docs/PROTOCOL.md alone and knows nothing of the broker's scanner.
"""

from google.protobuf.descriptor import FieldDescriptor as F

import wire

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
WIDTH = {FIXED64: 8, FIXED32: 4}
VARINTS = {F.TYPE_UINT32, F.TYPE_UINT64, F.TYPE_SINT64, F.TYPE_ENUM, F.TYPE_BOOL}
FIXED = {F.TYPE_SFIXED64, F.TYPE_FIXED64, F.TYPE_DOUBLE}
# Bytes: of a Record's header, of a Header's key, of a TraceContext and its members.
HEADER, KEY, ATTRIBUTES, TRACE, TRACEPARENT, TRACESTATE = 16384, 1024, 64, 581, 64, 512
CHECKPOINT, CONTROL = 65536, 65536


class Flaw(Exception):
    pass


class Reader:

    def __init__(self, content):
        self.content = content
        self.at = 0

    def varint(self, minimal):
        value, start = 0, self.at
        for count in range(10):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << 7 * count
            if byte < 0x80:
                if value >= 2 ** 64:
                    raise Flaw("a number above 64 bits")
                if minimal and byte == 0 and self.at - start > 1:
                    raise Flaw("not minimal")
                return value
        raise Flaw("a number of more than ten bytes")

    def take(self, count):
        if count > len(self.content) - self.at:
            raise Flaw("overruns")
        self.at += count
        return self.content[self.at - count:self.at]


def fields(content, minimal):
    """(number, wire type, value, its bytes) of each field; the value of bytes is their content."""
    reader = Reader(content)
    while reader.at < len(content):
        tag = reader.varint(minimal)
        number, kind = tag >> 3, tag & 7
        if not 1 <= number < 2 ** 29:
            raise Flaw(f"field number {number}")
        start = reader.at
        if kind == VARINT:
            value = reader.varint(False)
        elif kind in WIDTH:
            value = reader.take(WIDTH[kind])
        elif kind == BYTES:
            value = reader.take(reader.varint(minimal))
        else:
            raise Flaw(f"wire type {kind}")
        yield number, kind, value, content[start:reader.at]


class Rules:
    """How strictly a message and those in it are read."""

    def __init__(self, minimal=False, nul=False, output=False, opaque=()):
        self.minimal = minimal
        self.nul = nul
        self.output = output
        self.opaque = opaque


def walk(content, descriptor, rules):
    seen = set()
    for number, kind, value, raw in fields(content, rules.minimal):
        field = descriptor.fields_by_number.get(number)
        if field is None:
            continue
        if not wire.is_repeated(field):
            # Of a oneof one member may be there, once.
            once = field.containing_oneof.name if field.containing_oneof else field.name
            if once in seen:
                raise Flaw(f"{field.full_name} twice")
            seen.add(once)
        if wire.is_repeated(field) and field.type in VARINTS and kind == BYTES:
            packed = Reader(value)
            while packed.at < len(value):
                check_number(field, packed.varint(False), b"", rules)
        else:
            check(field, kind, value, raw, rules)


def check(field, kind, value, raw, rules):
    expected = VARINT if field.type in VARINTS else FIXED64 if field.type in FIXED else BYTES
    if kind != expected:
        raise Flaw(f"{field.full_name} has wire type {kind}")
    if expected == VARINT:
        check_number(field, value, raw, rules)
    if field.type == F.TYPE_STRING:
        try:
            value.decode("utf-8")
        except UnicodeDecodeError:
            raise Flaw(f"{field.full_name} is not UTF-8")
        if b"\0" in value and not rules.nul:
            raise Flaw(f"{field.full_name} has a NUL")
    if field.message_type is not None and field.name not in rules.opaque:
        walk(value, field.message_type, within(field, rules))


def within(field, rules):
    if field.name in ("settle", "emit"):
        return Rules(minimal=True, nul=True, opaque=("output", "trace"))
    # What stands in a record was in an `output` and is delivered unchanged.
    return Rules(nul=True) if field.name == "deliver" else rules


def check_number(field, value, raw, rules):
    if field.type in (F.TYPE_UINT32, F.TYPE_ENUM) and value >= 2 ** 32:
        raise Flaw(f"{field.full_name} has more than 32 bits")
    if field.type == F.TYPE_BOOL and (rules.output or rules.minimal) and raw not in (b"\0", b"\1"):
        raise Flaw(f"{field.full_name} is no flag")


def judge(function, *arguments):
    """The flaw's text, None when there is none."""
    try:
        function(*arguments)
    except Flaw as flaw:
        return str(flaw)
    return None


def envelope(content, descriptor):
    if not content:
        raise Flaw("a frame of nothing")
    walk(content, descriptor, Rules())
    for number, _, value, _ in fields(content, False):
        name = descriptor.fields_by_number[number].name if number in descriptor.fields_by_number else ""
        if name in ("close", "ping", "pong", "credit", "extend", "claim", "finished") and len(value) > CONTROL:
            raise Flaw("a control message above its limit")
        if name == "emit" and any(n == 4 and len(checkpoint) > CHECKPOINT for n, _, checkpoint, _ in fields(value, True)):
            raise Flaw("a checkpoint above its limit")


def output(content, descriptor):
    walk(content, descriptor, Rules(minimal=True, nul=True, output=True))
    for number, _, value, _ in fields(content, True):
        if number == 1:
            raise Flaw("a lineage")
        if number == 2:
            inside = list(fields(value, True))
            if len(value) > HEADER:
                raise Flaw("a header above its limit")
            if any(n == 3 and len(key) > KEY for n, _, key, _ in inside):
                raise Flaw("a key above its limit")
            if sum(n == 6 for n, *_ in inside) > ATTRIBUTES:
                raise Flaw("too many attributes")


def trace(content, descriptor):
    walk(content, descriptor, Rules(minimal=True, nul=True, output=True))
    limits = {1: TRACEPARENT, 2: TRACESTATE}
    if len(content) > TRACE or any(
            len(value) > limits.get(n, TRACE) for n, kind, value, _ in fields(content, True) if kind == BYTES):
        raise Flaw("a trace context above its limits")
