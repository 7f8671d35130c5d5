"""Protobuf and frames put together by hand: also what no encoder would write."""

VARINT, FIXED64, BYTES, GROUP, END_GROUP, FIXED32 = range(6)

# Numbers of fields, from proto/stagewire/v1, so that the bytes below can be read.
ENVELOPE = dict(version=1, hello=2, welcome=3, close=4, ping=5, pong=6, credit=7, deliver=8, settle=9, emit=10,
                committed=11, settled=12, extend=13, drain=14, runs=15, claim=16, claimed=17, finished=18)


def varint(value, pad=0):
    """`value` in groups of seven bits, the lowest first; `pad` more bytes than it needs."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    for _ in range(pad):
        out[-1] |= 0x80
        out.append(0)
    return bytes(out)


def tag(number, wire, pad=0):
    return varint(number << 3 | wire, pad)


def num(number, value, pad=0):
    """A varint field; `pad` lengthens the value."""
    return tag(number, VARINT) + varint(value, pad)


def data(number, content, pad=0):
    """A field of bytes, a text or a message; `pad` lengthens the length."""
    content = content.encode() if isinstance(content, str) else content
    return tag(number, BYTES) + varint(len(content), pad) + content


def fixed64(number, value):
    return tag(number, FIXED64) + value.to_bytes(8, "little", signed=value < 0)


def fixed32(number, value):
    return tag(number, FIXED32) + value.to_bytes(4, "little")


def group(number, content=b""):
    return tag(number, GROUP) + content + tag(number, END_GROUP)


def unknown(first=1000):
    """A well-formed field of every wire type but groups, with numbers that no message has."""
    return (num(first, 2 ** 64 - 1) + fixed64(first + 1, 1) + data(first + 2, b"\xff\x00vendor") + fixed32(first + 3, 2) +
            data(first + 4, b""))


def prefixed(content):
    return len(content).to_bytes(4, "big") + content


def frame(kind, body, version=1000):
    """An Envelope with one message, in a frame."""
    return prefixed(num(1, version) + data(ENVELOPE[kind], body))
