"""MurmurHash3 x64 128 (Austin Appleby, public domain), written from its description.

Record ids and key hashes are made of it: docs/PROTOCOL.md, LI-5 to LI-8.
"""

MASK = (1 << 64) - 1
C1 = 0x87C37B91114253D5
C2 = 0x4CF5AD432745937F

# (text, h1, h2) with seed 0; published by several implementations.
KNOWN = [
    ("", 0, 0),
    ("hello", 0xCBD8A7B341BD9B02, 0x5B1E906A48AE1D19),
    ("hello, world", 0x342FAC623A5EBC8E, 0x4CDCBC079642414D),
    ("19 Jan 2038 at 3:14:07 AM", 0xB89E5988B737AFFC, 0x664FC2950231B2CB),
    ("The quick brown fox jumps over the lazy dog.", 0xCD99481F9EE902C9, 0x695DA1A38987B6E7),
]
# SMHasher's verification value of this variant.
VERIFICATION = 0x6384BA69


def _rotate(value, bits):
    return ((value << bits) | (value >> (64 - bits))) & MASK


def _scramble1(k):
    return _rotate(k * C1 & MASK, 31) * C2 & MASK


def _scramble2(k):
    return _rotate(k * C2 & MASK, 33) * C1 & MASK


def _finish(h):
    h = (h ^ (h >> 33)) * 0xFF51AFD7ED558CCD & MASK
    h = (h ^ (h >> 33)) * 0xC4CEB9FE1A85EC53 & MASK
    return h ^ (h >> 33)


def murmur3(data, seed=0):
    """The two halves (h1, h2) of the hash of `data`."""
    h1 = h2 = seed
    whole = len(data) // 16 * 16
    for at in range(0, whole, 16):
        h1 ^= _scramble1(int.from_bytes(data[at:at + 8], "little"))
        h1 = ((_rotate(h1, 27) + h2) * 5 + 0x52DCE729) & MASK
        h2 ^= _scramble2(int.from_bytes(data[at + 8:at + 16], "little"))
        h2 = ((_rotate(h2, 31) + h1) * 5 + 0x38495AB5) & MASK
    tail = data[whole:]
    # A missing half is zero, and zero scrambles to zero.
    h1 ^= _scramble1(int.from_bytes(tail[:8], "little"))
    h2 ^= _scramble2(int.from_bytes(tail[8:], "little"))
    h1 ^= len(data)
    h2 ^= len(data)
    h1 = (h1 + h2) & MASK
    h2 = (h2 + h1) & MASK
    h1, h2 = _finish(h1), _finish(h2)
    h1 = (h1 + h2) & MASK
    return h1, (h2 + h1) & MASK


def digest(data, seed=0):
    """The 16 bytes on the wire: h1, then h2, each little-endian."""
    h1, h2 = murmur3(data, seed)
    return h1.to_bytes(8, "little") + h2.to_bytes(8, "little")


def failures():
    """What this implementation gets wrong of the known values; empty when all is well."""
    wrong = [f"murmur3({text!r})" for text, h1, h2 in KNOWN if murmur3(text.encode()) != (h1, h2)]
    hashes = b"".join(digest(bytes(range(n)), 256 - n) for n in range(256))
    if int.from_bytes(digest(hashes)[:4], "little") != VERIFICATION:
        wrong.append("SMHasher's verification value")
    return wrong


def origin(pipeline, stage, name):
    """Of a source: `name` is the partition; of any other stage: the port."""
    return digest(b"\0".join([pipeline.encode(), stage.encode(), name.encode()]))


def _u64(value):
    return value.to_bytes(8, "little")


def source_id(pipeline, stage, partition, emit_id, ordinal):
    return digest(origin(pipeline, stage, partition) + _u64(emit_id) + _u64(ordinal))


def derived_id(pipeline, stage, port, parents, ordinal):
    return digest(origin(pipeline, stage, port) + b"".join(parents) + _u64(ordinal))


def key_hash(key):
    """0 without a key; never 0 with one."""
    return murmur3(key)[0] or 1 if key else 0
