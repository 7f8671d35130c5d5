"""The other side of codec.test.js: messages as Python's protobuf has them.

    oracle.py generate SEED COUNT     lines of {"type", "hex", "value"}, with unknown fields on every level
    oracle.py decode                  lines of {"type", "hex"} in, lines of {"value", "hex"} out
"""

import json
import os
import random
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "..", "python"))

from stagewire.v1 import envelope_pb2, record_pb2  # noqa: E402

TYPES = {**envelope_pb2.DESCRIPTOR.message_types_by_name, **record_pb2.DESCRIPTOR.message_types_by_name}
EDGES = {
    "uint32": [0, 1, 127, 128, 2**31, 2**32 - 1],
    "uint64": [0, 1, 2**21, 2**32 - 1, 2**32, 2**53 - 1, 2**53, 2**53 + 1, 2**63, 2**64 - 1],
    "sint64": [0, 1, -1, 2**31, -(2**31), 2**32, -(2**32), 2**53 - 1, 1 - 2**53, 2**53, -(2**53), 2**53 + 1, 2**63 - 1, -(2**63)],
}
EDGES["fixed64"], EDGES["sfixed64"] = EDGES["uint64"], EDGES["sint64"]
KINDS = {1: "double", 4: "uint64", 6: "fixed64", 8: "bool", 9: "string", 11: "message", 12: "bytes", 13: "uint32",
         14: "enum", 16: "sfixed64", 18: "sint64"}
TEXTS = ["", "a", "stage", "grüße", "\U0001f600", "x" * 200, "\0"]
UNKNOWN = [bytes.fromhex(each) for each in ("98f40107", "a1f4010102030405060708", "aaf40103616263", "adf40101020304")]


def scalar(kind, rng):
    if kind in EDGES:
        low, high = min(EDGES[kind]), max(EDGES[kind])
        return rng.choice(EDGES[kind]) if rng.random() < 0.6 else rng.randint(low, high) >> rng.randrange(64)
    if kind == "double":
        return rng.choice([0.0, -0.0, 1.5, 1e300, -3.25, float("inf"), rng.random()])
    if kind == "bool":
        return rng.random() < 0.5
    if kind == "string":
        return rng.choice(TEXTS)
    return rng.randbytes(rng.choice([0, 1, 16, 300])) if kind == "bytes" else rng.randrange(4)


def repeated(field):
    return field.is_repeated if hasattr(field, "is_repeated") else field.label == 3


def fill(message, rng, depth=0):
    oneof_taken = set()
    for field in message.DESCRIPTOR.fields:
        if field.containing_oneof:
            if field.containing_oneof.name in oneof_taken or rng.random() < 0.6:
                continue
            oneof_taken.add(field.containing_oneof.name)
        elif rng.random() < 0.3:
            continue
        kind = KINDS[field.type]
        if kind == "message":
            if depth > 4:
                continue
            for _ in range(rng.randrange(4) if repeated(field) else 1):
                target = getattr(message, field.name)
                inner = target.add() if repeated(field) else target
                inner.SetInParent()
                fill(inner, rng, depth + 1)
        elif repeated(field):
            getattr(message, field.name).extend(scalar(kind, rng) for _ in range(rng.randrange(5)))
        else:
            setattr(message, field.name, scalar(kind, rng))
    if rng.random() < 0.3:
        message.MergeFromString(rng.choice(UNKNOWN))


def plain(value, kind):
    if kind == "message":
        return canonical(value)
    if kind == "bytes":
        return value.hex()
    if kind == "double":
        return struct.pack("<d", value).hex()
    return value if kind in ("bool", "string") else str(int(value))


def canonical(message):
    result = {}
    for field in message.DESCRIPTOR.fields:
        kind, value = KINDS[field.type], getattr(message, field.name)
        if repeated(field):
            result[field.json_name] = [plain(each, kind) for each in value]
        elif not field.has_presence or message.HasField(field.name):
            result[field.json_name] = plain(value, kind)
    return result


def instance(name):
    module = envelope_pb2 if hasattr(envelope_pb2, name) else record_pb2
    return getattr(module, name)()


def generate(seed, count):
    rng = random.Random(seed)
    names = sorted(TYPES)
    for _ in range(count):
        message = instance(rng.choice(names))
        fill(message, rng)
        data = message.SerializeToString()
        print(json.dumps({"type": message.DESCRIPTOR.name, "hex": data.hex(), "value": canonical(message)}))


def decode():
    for line in sys.stdin:
        given = json.loads(line)
        message = instance(given["type"])
        message.ParseFromString(bytes.fromhex(given["hex"]))
        again = message.SerializeToString(deterministic=True).hex()
        print(json.dumps({"value": canonical(message), "hex": again}))


if __name__ == "__main__":
    generate(int(sys.argv[2]), int(sys.argv[3])) if sys.argv[1] == "generate" else decode()
