"""Frames of the stage protocol as JSON and as annotated bytes, for the worked examples.

Needs `protoc` and Python's protobuf package (3.20 or newer). The classes are made at run time from
proto/, so that the examples are checked against the same files as every SDK.

In the JSON of the examples a `bytes` value is text, or hexadecimal after "0x"; enums are names, or numbers that have
none; a double that JSON cannot write is "NaN", "Infinity" or "-Infinity".
"""

import pathlib
import subprocess
import tempfile

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROTOS = ["stagewire/v1/record.proto", "stagewire/v1/envelope.proto"]
COLUMN = 44  # where the annotations of a hex block begin
WRAP = 13  # bytes of one value in a line


def descriptors():
    """The FileDescriptorSet of proto/, through protoc."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "set"
        subprocess.run(
            ["protoc", f"-I{ROOT / 'proto'}", "--include_imports", f"--descriptor_set_out={out}", *PROTOS],
            check=True)
        files = descriptor_pb2.FileDescriptorSet()
        files.ParseFromString(out.read_bytes())
        return files


def envelope_class(files):
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    descriptor = pool.FindMessageTypeByName("stagewire.v1.Envelope")
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)


def is_repeated(field):
    # Newer versions of the package have a property and warn about `label`.
    repeated = getattr(field, "is_repeated", None)
    return field.label == FieldDescriptor.LABEL_REPEATED if repeated is None else repeated


def fill(message, values):
    """Sets `message` from the JSON of an example. An unknown name is an error."""
    fields = message.DESCRIPTOR.fields_by_name
    for name, value in values.items():
        field = fields[name]
        if field.message_type is None:
            if is_repeated(field):
                getattr(message, name).extend(scalar(field, item) for item in value)
            else:
                setattr(message, name, scalar(field, value))
        elif is_repeated(field):
            for item in value:
                fill(getattr(message, name).add(), item)
        else:
            getattr(message, name).SetInParent()
            fill(getattr(message, name), value)
    return message


def scalar(field, value):
    if field.type == FieldDescriptor.TYPE_BYTES:
        return bytes.fromhex(value[2:]) if value.startswith("0x") else value.encode()
    if field.enum_type is not None and isinstance(value, str):
        return field.enum_type.values_by_name[value].number
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return float(value)
    return value


def frame(message):
    body = message.SerializeToString(deterministic=True)
    return len(body).to_bytes(4, "big") + body


def varint(data, at):
    value, shift = 0, 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def annotate(data, descriptor):
    """A frame as lines of `bytes  ; meaning`."""
    size = len(data) - 4
    assert int.from_bytes(data[:4], "big") == size
    return [line(data[:4], 0, f"{size} bytes follow"), *fields(data[4:], descriptor, 0)]


def line(data, depth, text):
    return f"{'  ' * depth}{data.hex(' ')}".ljust(COLUMN) + f"; {text}"


def fields(data, descriptor, depth):
    at, lines = 0, []
    while at < len(data):
        start = at
        tag, at = varint(data, at)
        field = descriptor.fields_by_number[tag >> 3]
        wire = tag & 7
        if wire == 2:
            length, at = varint(data, at)
            body = data[at:at + length]
            if field.message_type is not None:
                lines.append(line(data[start:at], depth, f"{field.name}, {length} bytes:"))
                lines += fields(body, field.message_type, depth + 1)
            else:
                lines.append(line(data[start:at], depth, f"{field.name}, {length} bytes: {show(field, body)}"))
                lines += [" " * 2 * (depth + 1) + body[i:i + WRAP].hex(" ") for i in range(0, length, WRAP)]
            at += length
            continue
        if wire == 0:
            value, at = varint(data, at)
            value = field.enum_type.values_by_number[value].name if field.enum_type else value
        else:
            width = 8 if wire == 1 else 4
            value = int.from_bytes(data[at:at + width], "little")
            at += width
        lines.append(line(data[start:at], depth, f"{field.name} = {value}"))
    return lines


def show(field, body):
    if is_repeated(field) and field.type != FieldDescriptor.TYPE_STRING and field.type != FieldDescriptor.TYPE_BYTES:
        values, at = [], 0
        while at < len(body):
            value, at = varint(body, at)
            values.append(str(value))
        return ", ".join(values)
    text = body.decode("ascii", "replace")
    return f'"{text}"' if text.isprintable() and text.isascii() else "raw"


def unannotate(text):
    """The bytes of a hex block."""
    return bytes.fromhex("".join(part.split(";", 1)[0] for part in text.splitlines()))
