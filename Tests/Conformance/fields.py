"""Protobuf's wire format as lists of fields: enough to change one field of a frame and leave the bytes of all others alone.

A generated class would write unknown fields elsewhere and hide what is malformed; mutants must change one thing only.
"""

KINDS = ("", "version", "hello", "welcome", "close", "ping", "pong", "credit", "deliver", "settle", "emit", "committed",
         "settled", "extend", "drain", "runs", "claim", "claimed", "finished")
# What `Fields.each` is told to leave out.
DROP = object()
VARINT, FIXED64, BYTES, START, END, FIXED32 = range(6)


def varint(value):
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data, at):
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("a varint overruns")
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
        shift += 7


class Fields:
    """A message: `items` are [number, wire type, value], in the order in which they were written."""

    def __init__(self, data=b""):
        """Raises ValueError when the bytes are no fields; groups count as malformed."""
        self.items = []
        at = 0
        while at < len(data):
            tag, at = read_varint(data, at)
            wire = tag & 7
            if wire == VARINT:
                value, at = read_varint(data, at)
            else:
                size = {FIXED64: 8, FIXED32: 4}.get(wire)
                if wire == BYTES:
                    size, at = read_varint(data, at)
                if size is None or at + size > len(data) or tag >> 3 == 0:
                    raise ValueError("no field")
                value = data[at:at + size]
                at += size
            self.items.append([tag >> 3, wire, value])

    @classmethod
    def of(cls, *pairs):
        """From (number, value): integers become varints, zero and empty are left out."""
        fields = cls()
        for number, value in pairs:
            fields.add(number, value)
        return fields

    def add(self, number, value):
        """At the end."""
        if isinstance(value, Fields):
            self.items.append([number, BYTES, value.encode()])
        elif value:
            self.items.append([number, BYTES if isinstance(value, bytes) else VARINT, value])

    def encode(self):
        out = bytearray()
        for number, wire, value in self.items:
            out += varint(number << 3 | wire)
            if wire == VARINT:
                out += varint(value)
            else:
                out += varint(len(value)) * (wire == BYTES) + value
        return bytes(out)

    def get(self, number, default=0):
        """The last value of that field."""
        for item in reversed(self.items):
            if item[0] == number:
                return item[2]
        return default

    def all(self, number):
        return [item[2] for item in self.items if item[0] == number]

    def has(self, number):
        return any(item[0] == number for item in self.items)

    def numbers(self, number):
        """Of a repeated number, packed or not."""
        values = []
        for item in self.items:
            if item[0] == number and item[1] == VARINT:
                values.append(item[2])
            elif item[0] == number:
                at = 0
                while at < len(item[2]):
                    value, at = read_varint(item[2], at)
                    values.append(value)
        return values

    def remove(self, number):
        self.items = [item for item in self.items if item[0] != number]

    def set(self, number, value):
        """In place of what is there, else in ascending order. Zero and empty remove the field."""
        place = next((i for i, item in enumerate(self.items) if item[0] == number), None)
        wire = None if place is None else self.items[place][1]
        if place is None:
            place = next((i for i, item in enumerate(self.items) if item[0] > number), len(self.items))
        self.items = self.items[:place] + [item for item in self.items[place:] if item[0] != number]
        if isinstance(value, Fields):
            value = value.encode()
        elif not value:
            return
        if wire is None:
            wire = BYTES if isinstance(value, bytes) else VARINT
        self.items.insert(place, [number, wire, value])

    def set_numbers(self, number, values):
        """A repeated number, packed."""
        self.remove(number)
        self.set(number, b"".join(varint(value) for value in values))

    def each(self, number, change):
        """Calls `change(message, index)` for every message in that field; one for which it returns DROP is removed."""
        kept, index = [], 0
        for item in self.items:
            if item[0] == number and item[1] == BYTES:
                inner = Fields(item[2])
                if change(inner, index) is DROP:
                    index += 1
                    continue
                item[2] = inner.encode()
                index += 1
            kept.append(item)
        self.items = kept


class Frame:
    """An Envelope with one message. Raises ValueError when that is not what the bytes are."""

    def __init__(self, content):
        self.envelope = Fields(content)
        self.version = self.envelope.get(1)
        inner = [item for item in self.envelope.items if item[0] != 1]
        if len(inner) != 1 or inner[0][1] != BYTES:
            raise ValueError("not one message")
        number = inner[0][0]
        self.number = number
        self.kind = KINDS[number] if number < len(KINDS) else None
        self.body = Fields(inner[0][2]) if self.kind else Fields()
        self.unknown = None if self.kind else inner[0][2]
        self.tail = b""

    @classmethod
    def of(cls, kind, *pairs, version=1000):
        frame = cls.__new__(cls)
        frame.envelope, frame.version, frame.kind, frame.unknown, frame.tail = None, version, kind, None, b""
        frame.number, frame.body = KINDS.index(kind), Fields.of(*pairs)
        return frame

    def encode(self):
        """With its length prefix. `tail` are bytes that are put behind the message within the frame."""
        inner = self.body.encode() if self.kind else self.unknown
        content = Fields.of((1, self.version)).encode() + varint(self.number << 3 | BYTES) + varint(len(inner)) + inner
        content += self.tail
        return len(content).to_bytes(4, "big") + content
