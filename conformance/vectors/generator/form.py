"""The form of a vector: bytes and JSON with repetitions, and how a file of them is laid out."""

import functools
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "Tests/ProtocolDoc"))

import wire  # noqa: E402

# From here on, runs are written as repetitions: below it, plain hexadecimal is easier to read.
LONG = 1024
# A unit of 1 to 24 bytes that comes at least 32 times in a row.
RUN = re.compile(rb"(.{1,24}?)\1{31,}", re.S)


@functools.lru_cache(maxsize=None)
def message_classes():
    """The classes of proto/, made at run time."""
    from google.protobuf import descriptor_pool, message_factory
    pool = descriptor_pool.DescriptorPool()
    for file in wire.descriptors().file:
        pool.Add(file)
    names = ("Envelope", "Record", "TraceContext")
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"stagewire.v1.{name}")) for name in names}


def times(unit, count):
    """`unit` (a text, or an item of a list) `count` times, as the JSON of a vector says it."""
    return {"repeat": unit, "times": count}


def is_repetition(value):
    return isinstance(value, dict) and value.keys() == {"repeat", "times"}


def expand_json(value):
    """The JSON of a vector without repetitions: what wire.fill understands."""
    if is_repetition(value):
        unit = value["repeat"]
        prefix = "0x" if unit.startswith("0x") else ""
        return prefix + unit[len(prefix):] * value["times"]
    if isinstance(value, dict):
        return {name: expand_json(member) for name, member in value.items()}
    if isinstance(value, list):
        items = []
        for item in value:
            # In a list of messages an item is repeated; a repeated text is a single item.
            if is_repetition(item) and not isinstance(item["repeat"], str):
                items += [expand_json(item["repeat"])] * item["times"]
            else:
                items.append(expand_json(item))
        return items
    return value


def compress(data):
    """`hex` of a vector: a text, or a list of texts and repetitions."""
    if len(data) < LONG:
        return data.hex()
    pieces, at = [], 0
    for run in RUN.finditer(data):
        if run.start() > at:
            pieces.append(data[at:run.start()].hex())
        pieces.append(times(run[1].hex(), len(run[0]) // len(run[1])))
        at = run.end()
    if at < len(data):
        pieces.append(data[at:].hex())
    return pieces


def expand_hex(pieces):
    """The bytes of a vector's `hex`."""
    if isinstance(pieces, str):
        return bytes.fromhex(pieces)
    return b"".join(
        bytes.fromhex(piece["repeat"]) * piece["times"] if is_repetition(piece) else bytes.fromhex(piece)
        for piece in pieces)


def encode(meaning, kind="Envelope"):
    """What protobuf writes for the JSON of a vector: of an Envelope its frame, of anything else the message."""
    message = wire.fill(message_classes()[kind](), expand_json(meaning))
    return wire.frame(message) if kind == "Envelope" else message.SerializeToString(deterministic=True)


class Subject:
    """The vectors of one file. `kind` is the message that their `hex` holds."""

    def __init__(self, file, kind="Envelope"):
        self.file = file
        self.kind = kind
        self.vectors = []

    def valid(self, name, rules, what, meaning, data=None, **more):
        """Without `data` the bytes are protobuf's; with it they are another encoding of the same."""
        usual = encode(meaning, self.kind)
        if data is None or data == usual:
            self.add(name, rules, what, hex=compress(usual), json=meaning, canonical=True, **more)
        else:
            self.add(name, rules, what, hex=compress(data), json=meaning, canonical=False, usual=compress(usual), **more)

    def invalid(self, name, rules, what, data, code, by="broker", otherwise=None, **more):
        refusal = {"code": code, "by": by}
        if otherwise:
            refusal["or"] = otherwise
        self.add(name, rules, what, hex=compress(data), invalid=refusal, **more)

    def add(self, name, rules, what, **members):
        self.vectors.append({"name": name, "rule": rules.split(), "what": what, **members})

    def text(self):
        """One vector after the other, each member on a line of its own."""
        blocks = []
        for vector in self.vectors:
            lines = [f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in vector.items()]
            blocks.append("{\n" + ",\n".join(lines) + "\n}")
        return "[\n" + ",\n".join(blocks) + "\n]\n"
