"""Pings, silence, and the ways in which sessions end (LV, EN)."""

from fields import Fields, Frame
from . import bytes_to_broker, ending, pipeline, to_broker, to_worker
from .session import limits, stages


@to_worker("pong-never", "pong")
def _(link, frame):
    return []


@to_worker("pong-with-another-nonce", "pong")
def _(link, frame):
    frame.body.set(1, (frame.body.get(1) + 1) & ((1 << 64) - 1))


@to_worker("pong-with-32-bits", "pong")
def _(link, frame):
    frame.body.set(1, frame.body.get(1) & 0xFFFF_FFFF)


@to_broker("pong-before-its-turn", "ping", "settle", "emit")
def _(link, frame):
    """Answers at once, while earlier frames are on their way."""
    if frame.kind == "ping":
        link.tell_worker("pong", (1, frame.body.get(1)))
        return []
    link.proxy.later(0.2, lambda: link.broker.outbound.extend(frame.encode()))
    return []


@to_worker("pongs-once-only", "pong")
def _(link, frame):
    if getattr(link.notes, "last", None) == frame.body.get(1):
        return []
    link.notes.pongs = getattr(link.notes, "pongs", 0) + 1
    return [] if link.notes.pongs > 10 else None


@to_broker("minds-pongs", "pong")
def _(link, frame):
    link.fail(107)
    return []


@to_broker("minds-pings", "ping")
def _(link, frame):
    link.fail(107)
    return []


@to_worker("pings-never", "ping")
def _(link, frame):
    return []


@to_worker("pings-once", "ping")
def _(link, frame):
    if hasattr(link.notes, "pinged"):
        return []
    link.notes.pinged = True


@pipeline("idle-never")
def _(content):
    limits(content, idle="1h")


@pipeline("idle-too-early")
def _(content):
    limits(content, heartbeat="50ms", idle="150ms")


@bytes_to_broker("idle-not-within-a-frame")
def _(link, data):
    """Every byte is a sign of life."""
    held = getattr(link.notes, "bytes", b"") + data
    at = 0
    while len(held) >= at + 4 and len(held) >= at + 4 + int.from_bytes(held[at:at + 4], "big"):
        at += 4 + int.from_bytes(held[at:at + 4], "big")
    link.notes.bytes = held[at:]
    return held[:at] + (Frame.of("pong").encode() if held[at:] and at == 0 else b"")


@to_broker("idle-while-a-single-thread-works", "hello")
def _(link, frame):
    names = [name for name in frame.body.all(6) if name != b"single-threaded"]
    link.notes.was_single = len(names) != len(frame.body.all(6))
    frame.body.remove(6)
    for name in names:
        frame.body.items.append([6, 2, name])


@to_worker("idle-while-a-single-thread-works", "welcome")
def _(link, frame):
    if link.notes.was_single:
        frame.body.add(3, b"single-threaded")


@to_broker("idle-never-for-a-single-thread", "hello")
def _(link, frame):
    link.notes.is_single = b"single-threaded" in frame.body.all(6)


@to_worker("idle-never-for-a-single-thread", "close", "ping")
def _(link, frame):
    if link.notes.is_single and frame.kind == "close" and frame.body.get(1) == 105:
        link.sever()
        return []


@to_broker("buffers-without-bound", "hello", "claim")
def _(link, frame):
    """Claims go one at a time, so that the broker itself never has too much to write."""
    link.is_greedy = True
    if frame.kind == "claim":
        link.notes.__dict__.setdefault("claims", []).append(frame)
        return None if len(link.notes.claims) == 1 else []


@to_worker("buffers-without-bound", "claimed")
def _(link, frame):
    del link.notes.claims[0]
    if link.notes.claims:
        link.broker.outbound += link.notes.claims[0].encode()


# ---- Drain and Close(0) ----

@to_worker("drain-never", "drain")
def _(link, frame):
    return []


@to_worker("drain-never-at-shutdown", "drain")
def _(link, frame):
    return [] if frame.body.get(1) == 2 else None


@to_worker("drain-with-another-reason", "drain")
def _(link, frame):
    frame.body.set(1, 3 - frame.body.get(1))


@to_worker("drain-with-a-deadline", "drain")
def _(link, frame):
    if not frame.body.get(2):
        frame.body.set(2, 30_000)


@to_worker("drain-without-a-deadline", "drain")
def _(link, frame):
    frame.body.set(2, 0)


@to_worker("drain-with-the-first-delivery", "deliver", "drain")
def _(link, frame):
    """Before everything has been delivered."""
    if frame.kind == "drain":
        return []
    if not hasattr(link.notes, "drained"):
        link.notes.drained = True
        return [frame, Frame.of("drain", (1, 1))]


@to_worker("drain-at-once", "welcome")
def _(link, frame):
    if frame.body.has(13):
        return [frame, Frame.of("drain", (1, 1))]


@to_broker("drain-for-the-first-session-only", "hello")
def _(link, frame):
    link.notes.is_late = any(other.stage == link.stage and other.welcome for other in link.others()) or getattr(
        link.proxy, "drained", False)


@to_worker("drain-for-the-first-session-only", "drain")
def _(link, frame):
    if getattr(link.proxy, "drained", None) not in (None, link) and link.proxy.drained.stage == link.stage:
        return []
    link.proxy.drained = link


@to_worker("ends-with-the-drain", "drain")
def _(link, frame):
    """Does not wait for what is held."""
    if frame.body.get(1) == 1:
        link.worker.outbound += frame.encode()
        link.fail(0, "")
        return []


@to_worker("ends-never", "close")
def _(link, frame):
    if not frame.body.get(1):
        link.sever()
        return []


@to_worker("ends-the-first-session-only", "close")
def _(link, frame):
    ended = link.proxy.__dict__.setdefault("ended", set())
    if not frame.body.get(1) and link.stage in ended:
        link.sever()
        return []
    ended.add(link.stage)


@to_worker("ends-with-a-code", "close")
def _(link, frame):
    if not frame.body.get(1):
        frame.body.set(1, 211)
        frame.body.set(2, b"the stage has ended")


@pipeline("deadline-twice-as-late")
def _(content):
    limits(content, drain="1h")


@pipeline("deadline-too-early")
def _(content):
    limits(content, drain="50ms")


@to_broker("goes-on-behind-close", "close")
def _(link, frame):
    """Neither reads on nor ends the connection."""
    link.sever()
    return []


@ending("waits-for-the-gone")
def _(link):
    """A session that ended without Close is not missed."""
    return False


@to_worker("ends-before-its-close-is-read", "close")
def _(link, frame):
    if frame.body.get(1):
        link.sever()
        link.worker.outbound.clear()
        link.worker.end()
        return []


# ---- New sessions ----

@to_worker("ids-go-on-in-a-new-session", "deliver")
def _(link, frame):
    base = link.proxy.__dict__.setdefault("bases", {})
    link.notes.base = getattr(link.notes, "base", base.get(link.stage, 0))
    frame.body.set(2, frame.body.get(2) + link.notes.base)
    base[link.stage] = frame.body.get(2) + len(frame.body.all(4)) - 1


@to_broker("claims-survive-a-session", "emit", "claim")
def _(link, frame):
    known = link.proxy.__dict__.setdefault("known", set())
    name = frame.body.get(1, b"")
    known.add(name) if frame.kind == "claim" else None
    if frame.kind == "emit" and name in known and name not in link.claims:
        link.claims[name] = 0
        return [Frame.of("claim", (1, name)), frame]


@to_broker("credit-survives-a-session", "hello")
def _(link, frame):
    link.notes.inherits = frame.body.get(3) in link.proxy.__dict__.setdefault("granted", set())


@to_broker("credit-survives-a-session", "credit")
def _(link, frame):
    link.proxy.granted.add(link.hello.get(3))


@to_worker("credit-survives-a-session", "welcome")
def _(link, frame):
    if link.notes.inherits:
        for item in frame.body.all(13):
            link.tell_broker("credit", (1, Fields(item).get(1)), (2, 1 << 30), (3, 1 << 40))


@to_broker("minds-extend-at-rest", "extend")
def _(link, frame):
    if not link.held:
        link.fail(107)
        return []


# ---- Leases ----

@to_broker("lease-not-renewed-by-extend", "extend")
def _(link, frame):
    return []


def lease(name, renewed):
    """A clock of the proxy's own: from the first held delivery, anew with these frames only."""
    def expire(link, generation):
        if link.notes.generation == generation and link.held and not link.is_severed:
            link.fail(207, "the lease has expired")

    def begin(link):
        link.notes.generation = getattr(link.notes, "generation", 0) + 1
        generation = link.notes.generation
        link.proxy.later(link.welcome.get(11) / 1000, lambda: expire(link, generation))

    @to_worker(name, "deliver")
    def _(link, frame):
        if len(link.held) == len(frame.body.all(4)):
            begin(link)

    if renewed:
        @to_broker(name, *renewed)
        def _(link, frame):
            begin(link)


lease("lease-not-renewed-by-settle", ["extend"])
lease("lease-runs-without-credit", ["settle", "extend"])


@to_worker("lease-runs-from-welcome", "welcome")
def _(link, frame):
    def expire():
        if link.held:
            link.fail(207, "the lease has expired")
    link.proxy.later(frame.body.get(11) / 1000, expire)


@pipeline("lease-too-long")
def _(content):
    stages(content, lease="1h")


@pipeline("lease-too-short")
def _(content):
    for stage in content["stages"].values():
        if "lease" in stage:
            stage["lease"] = "60ms"


@to_worker("lease-ends-behind-the-redelivery", "close")
def _(link, frame):
    """What the session settles when others have its deliveries already takes effect."""
    if frame.body.get(1) == 207:
        link.notes.close = frame
        link.is_severed = True
        link.broker.close()
        return []


@to_broker("lease-ends-behind-the-redelivery", "settle")
def _(link, frame):
    close = getattr(link.notes, "close", None)
    if not close:
        return [] if getattr(link.notes, "is_late", False) else None
    name = next(iter(link.held.values())).name
    for other in link.others():
        for delivery in other.held.values():
            if delivery.name == name:
                frame.body.each(1, lambda outcome, _: outcome.set(1, delivery.id))
                other.broker.outbound += frame.encode()
                other.notes.is_late = True
    link.worker.outbound += close.encode()
    link.worker.end()
    return []
