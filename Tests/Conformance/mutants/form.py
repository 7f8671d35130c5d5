"""Frames and versions: what the broker takes and what it writes (FR, VR, EX, LM-4, LM-5)."""

import sys

from fields import BYTES, KINDS, Fields, Frame
from . import bytes_to_broker, to_broker, to_worker

EVERY = [kind for kind in KINDS if kind]


# ---- As a receiver ----

@bytes_to_broker("takes-whole-reads-only")
def _(link, data):
    """A read has to end with a frame."""
    at = 0
    while len(data) >= at + 4:
        at += 4 + int.from_bytes(data[at:at + 4], "big")
    if at != len(data) and not link.is_severed:
        link.fail(100)
        return b""
    return data


@bytes_to_broker("takes-one-frame-a-read")
def _(link, data):
    return data[:4 + int.from_bytes(data[:4], "big")] if len(data) >= 4 else data


@bytes_to_broker("judges-length-when-all-is-there")
def _(link, data):
    """Waits for the whole of a frame whatever its length."""
    held = getattr(link.notes, "bytes", b"") + data
    at = 0
    while len(held) >= at + 4 and len(held) >= at + 4 + int.from_bytes(held[at:at + 4], "big"):
        at += 4 + int.from_bytes(held[at:at + 4], "big")
    link.notes.bytes = held[at:]
    return held[:at]


@to_broker("takes-malformed-frames", "malformed")
def _(link, frame):
    return []


@to_broker("minds-unknown-kinds")
def _(link, frame):
    if frame.kind is None:
        link.fail(107)
        return []


@to_broker("answers-unknown-kinds")
def _(link, frame):
    if frame.kind is None and link.welcome:
        link.tell_worker("close", (1, 0))
        return []


@to_broker("minds-unknown-fields", *EVERY)
def _(link, frame):
    if any(item[0] >= 19 for item in frame.body.items):
        link.fail(100)
        return []


@to_broker("repairs-padding-and-groups", "malformed", "settle", "emit")
def _(link, frame):
    """What is not minimal is written anew, what cannot be read is left out."""
    if frame is None:
        return []

    if frame.kind == "emit":
        frame.body.each(3, lambda *_: None)
    else:
        frame.body.each(1, lambda outcome, _: outcome.each(4, lambda *_: None))


@to_broker("takes-fields-twice", *EVERY)
def _(link, frame):
    seen = {}
    repeated = {"hello": (6, 7, 12, 13), "settle": (1,), "emit": (3,)}.get(frame.kind, ())
    for item in frame.body.items:
        seen[item[0]] = seen.get(item[0], 0) + 1
    if any(count > 1 and number not in repeated for number, count in seen.items()):
        last = {item[0]: item for item in frame.body.items}
        frame.body.items = [item for item in frame.body.items if item[0] in repeated or last[item[0]] is item]


def parents_of(frame, change):
    frame.body.each(1, lambda outcome, _: outcome.each(4, change))


@to_broker("minds-unpacked-parents", "settle")
def _(link, frame):
    def look(emission, _):
        if any(item[0] == 2 and item[1] != BYTES for item in emission.items):
            link.fail(100)
    parents_of(frame, look)
    return [] if link.is_severed else None


@to_broker("minds-packed-parents", "settle")
def _(link, frame):
    def look(emission, _):
        if any(item[0] == 2 and item[1] == BYTES for item in emission.items):
            link.fail(100)
    parents_of(frame, look)
    return [] if link.is_severed else None


@to_broker("minds-the-minor", *EVERY)
def _(link, frame):
    if frame.version // 1000 == 1 and frame.version != 1000 and frame.kind != "hello":
        link.fail(102)
        return []


@to_broker("takes-other-majors", *EVERY)
def _(link, frame):
    if frame.version // 1000 != 1:
        frame.version = 1000


@to_broker("judges-the-message-before-the-version")
def _(link, frame):
    if frame.version // 1000 != 1 and frame.kind != "hello":
        link.fail(107)
        return []


@to_broker("takes-long-control-messages", "malformed", "ping", "pong", "credit", "extend", "claim", "finished", "close")
def _(link, frame):
    if frame and len(frame.encode()) > 65_536:
        frame.body.items = [item for item in frame.body.items if item[0] < 19]


@to_broker("minds-long-texts", "settle")
def _(link, frame):
    for outcome in frame.body.all(1):
        if len(Fields(Fields(outcome).get(6, b"")).get(2, b"")) > 8192:
            link.fail(100)
            return []


@to_broker("prints-texts-as-they-come", "close", "settle")
def _(link, frame):
    texts = [frame.body.get(2, b"")] if frame.kind == "close" else [
        Fields(Fields(outcome).get(6, b"")).get(2, b"") for outcome in frame.body.all(1)]
    for text in texts:
        print(text.decode(errors="replace"), file=sys.stderr, flush=True)


# ---- As a sender ----

@to_worker("writes-between-frames")
def _(link, frame):
    return [frame, b"\0\0\0\0"]


@to_worker("writes-two-kinds", "deliver", "committed", "pong")
def _(link, frame):
    frame.tail = b"\x6a\x00"


@to_worker("writes-a-group", "deliver", "committed", "pong")
def _(link, frame):
    frame.tail = b"\xc3\x3e\xc4\x3e"


@to_worker("writes-fields-twice", "pong", "credit")
def _(link, frame):
    frame.body.items += [list(item) for item in frame.body.items[-1:]]


@to_worker("writes-bad-text", "close")
def _(link, frame):
    frame.body.set(2, b"\xff\xfe" + frame.body.get(2, b""))


@to_worker("version-absent", *EVERY)
def _(link, frame):
    frame.version = 0


@to_worker("version-of-a-later-minor", *EVERY)
def _(link, frame):
    if frame.kind != "welcome":
        frame.version = 1001


@to_worker("close-of-another-major", "close")
def _(link, frame):
    if not link.welcome:
        frame.version = 2000


@to_worker("welcome-with-the-highest-of-hello", "welcome")
def _(link, frame):
    frame.version = link.hello.get(2)
    frame.body.set(1, frame.version)


@to_worker("welcome-with-the-lowest", "welcome")
def _(link, frame):
    frame.body.set(1, 999)


@to_broker("takes-ranges-without-its-version", "hello")
def _(link, frame):
    if frame.body.get(1) > 1000:
        frame.body.set(1, 1000)
        frame.version = 1000


@to_worker("refuses-versions-without-a-range", "close")
def _(link, frame):
    if frame.body.get(1) == 102:
        frame.body.set(2, b"this version is not supported")


@to_broker("minds-a-range-beyond-its-own", "hello")
def _(link, frame):
    if frame.body.get(2) > 1000:
        link.fail(102)
        return []


@to_worker("sends-kinds-of-the-future", "credit")
def _(link, frame):
    message = Frame.of("extend")
    message.kind, message.number, message.unknown = None, 20, b""
    return [frame, message]


@to_worker("sends-settled-unasked", "pong")
def _(link, frame):
    link.tell_worker("settled", (1, len(link.given)))


@to_worker("sends-vendors-fields-below-1000", "welcome")
def _(link, frame):
    frame.body.items.append([50, BYTES, b"ours"])


@to_worker("sends-what-workers-send", "pong")
def _(link, frame):
    link.tell_worker("extend")


