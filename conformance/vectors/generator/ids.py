"""ids.json: hashes, ids of records, key hashes (LI-4 to LI-8)."""

import struct

from .form import Subject, compress
from .murmur import digest, halves

HOST = ("sensors", "ingest", "readings.csv")


def origin(*names):
    return digest(b"\0".join(name.encode() for name in names))


def numbers(*values):
    return struct.pack(f"<{len(values)}Q", *values)


def build():
    to = Subject("ids.json")
    for size in (0, 1, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 64, 255):
        text = bytes(n & 0xFF for n in range(size))
        to.add(f"hash-{size}", "LI-4", f"The bytes 0, 1, 2 ... of {size}: h1, then h2, each little-endian.", of="hash",
               input=text.hex(), hex=digest(text).hex())
    to.add("hash-high-bytes", "LI-4", "Bytes above 127, which must not be taken as signed.", of="hash", input="ff" * 23,
           hex=digest(b"\xff" * 23).hex())
    first = source(to, "source", "The document's example.", *HOST, 1, 0)
    source(to, "source-second-emit", "Its next Emit.", *HOST, 2, 0)
    source(to, "source-ordinal", "The third emission of an Emit.", *HOST, 1, 2)
    source(to, "source-extremes", "The largest emit id and ordinal.", *HOST, 2 ** 64 - 1, 2 ** 32 - 1)
    source(to, "source-unicode", "Names outside ASCII are hashed as UTF-8.", "größe", "水", "🜁", 1, 0)
    source(to, "source-names-shifted", "The zero bytes keep names apart: a, bc and c is not ab, c and c.", "a", "bc", "c",
           1, 0)
    source(to, "source-names-shifted-2", "See the one before.", "ab", "c", "c", 1, 0)
    derived(to, "derived", "The document's example.", "sensors", "normalise", "out", [first], 0)
    derived(to, "derived-second", "The second emission on the same port with the same parent.", "sensors", "normalise",
            "out", [first], 1)
    derived(to, "derived-port", "The first on another port: ordinals count by port.", "sensors", "normalise", "side",
            [first], 0)
    parents = [digest(numbers(n)) for n in range(20)]
    derived(to, "derived-two-parents", "Two parents.", "sensors", "mean", "out", parents[:2], 0)
    derived(to, "derived-parents-swapped", "The same two the other way round are another id.", "sensors", "mean", "out",
            parents[1::-1], 0)
    derived(to, "derived-20-parents", "All parents enter, also those that the lineage does not keep.", "sensors", "mean",
            "out", parents, 0)
    for name, key, what in (("key", b"sensor-7", "The document's example."), ("key-absent", b"", "No key: 0."),
                            ("key-zero-byte", b"\0", "A key of one zero byte is a key."), ("key-binary", b"\xff\x00\x80",
                                                                                           "A key of bytes."),
                            ("key-unicode", "größe".encode(), "A key outside ASCII."), ("key-longest", b"k" * 1024,
                                                                                        "The longest key.")):
        value = (halves(key)[0] or 1) if key else 0
        to.add(name, "LI-8", what, of="key", input=compress(key), hex=f"{value:016x}")
    return to


def source(to, name, what, pipeline, stage, partition, emit_id, ordinal):
    start = origin(pipeline, stage, partition)
    value = digest(start + numbers(emit_id, ordinal))
    to.add(name, "LI-5", what, of="source",
           input={"pipeline": pipeline, "stage": stage, "partition": partition, "emit_id": emit_id,
                  "ordinal": ordinal}, origin=start.hex(), hex=value.hex())
    return value


def derived(to, name, what, pipeline, stage, port, parents, ordinal):
    start = origin(pipeline, stage, port)
    value = digest(start + b"".join(parents) + numbers(ordinal))
    to.add(
        name, "LI-6", what, of="derived", input={
            "pipeline": pipeline, "stage": stage, "port": port, "parents": [parent.hex() for parent in parents],
            "ordinal": ordinal
        }, origin=start.hex(), hex=value.hex())
