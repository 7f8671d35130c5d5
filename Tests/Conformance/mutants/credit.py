"""Credit in both directions (CR)."""

from fields import Fields, Frame
from . import to_broker, to_worker


# ---- What the broker grants ----

@to_worker("grants-never", "credit")
def _(link, frame):
    return []


@to_worker("grants-when-it-is-asked", "credit")
def _(link, frame):
    """Not at once, but with the first Ping's answer."""
    link.notes.__dict__.setdefault("credit", []).append(frame)
    return []


@to_broker("grants-when-it-is-asked", "claim", "emit", "ping")
def _(link, frame):
    if frame.kind == "ping":
        for credit in link.notes.__dict__.pop("credit", ()):
            link.worker.outbound += credit.encode()


@to_worker("grants-half-a-step-in-records", "credit")
def _(link, frame):
    if not hasattr(link.notes, "granted"):
        frame.body.set(2, link.welcome.get(7) // 2)
        frame.body.set(3, frame.body.get(3))
        link.notes.granted = True


@to_worker("grants-a-step-less-a-byte", "credit")
def _(link, frame):
    first = link.notes.__dict__.setdefault("first", {})
    if frame.body.get(1) not in first:
        first[frame.body.get(1)] = True
        frame.body.set(3, link.welcome.get(8) - 1)


@to_worker("grants-the-first-output-only", "credit")
def _(link, frame):
    return [] if frame.body.get(1) else None


@to_worker("grants-once", "credit")
def _(link, frame):
    first = link.notes.__dict__.setdefault("first", set())
    if frame.body.get(1) in first:
        return []
    first.add(frame.body.get(1))


@to_worker("grants-once-per-stage", "credit")
def _(link, frame):
    """A second session has to wait until the first is gone."""
    if any(other.welcome and other.stage == link.stage for other in link.others()):
        return []


@to_worker("grants-for-another-number", "credit")
def _(link, frame):
    frame.body.set(1, frame.body.get(1) + 5)


def drifting(name, lost):
    """Counts less for itself than was spent: with every emission a part of the grant is lost."""
    @to_broker(name, "emit", "settle")
    def _(link, frame):
        groups = [frame.body.all(3)] if frame.kind == "emit" else [Fields(o).all(4) for o in frame.body.all(1)]
        for emissions in groups:
            for emission in emissions:
                link.notes.lost = getattr(link.notes, "lost", 0) + lost(link, Fields(emission))

    @to_worker(name, "credit")
    def _(link, frame):
        lost = getattr(link.notes, "lost", 0)
        frame.body.set(2, max(0, frame.body.get(2) - lost))


drifting("drifts-with-every-record", lambda link, emission: 1)
drifting("drifts-with-the-side", lambda link, emission: emission.get(1))


@to_worker("drifts-with-refusals", "committed")
def _(link, frame):
    link.notes.lost = getattr(link.notes, "lost", 0) + len(frame.body.all(3))


@to_worker("drifts-with-refusals", "credit")
def _(link, frame):
    frame.body.set(2, max(0, frame.body.get(2) - getattr(link.notes, "lost", 0)))


@to_worker("forgets-the-reserve", "credit")
def _(link, frame):
    """Grants bytes as if emissions cost their size only."""
    grants = link.notes.__dict__.setdefault("grants", {})
    number = frame.body.get(1)
    grants[number] = grants.get(number, 0) + 1
    if grants[number] > 1:
        frame.body.set(3, max(0, frame.body.get(3) - link.welcome.get(6) * (frame.body.get(2) // 2)))


# ---- What it does with the worker's ----

@to_broker("adds-credit-up", "credit")
def _(link, frame):
    sums = link.notes.__dict__.setdefault("sums", {}).setdefault(frame.body.get(1), [0, 0])
    for index in (0, 1):
        sums[index] = min(sums[index] + frame.body.get(2 + index), (1 << 64) - 1)
        frame.body.set(2 + index, sums[index])


@to_broker("wraps-credit", "credit")
def _(link, frame):
    for number in (2, 3):
        frame.body.set(number, frame.body.get(number) & 0xFFFF_FFFF if frame.body.get(number) < 1 << 63 else 0)


@to_broker("takes-records-and-bytes-together", "credit")
def _(link, frame):
    last = link.notes.__dict__.setdefault("last", {})
    number, limits = frame.body.get(1), (frame.body.get(2), frame.body.get(3))
    before = last.get(number, (0, 0))
    if not all(a > b for a, b in zip(limits, before)):
        return []
    last[number] = limits


@to_broker("takes-the-last-credit", "credit")
def _(link, frame):
    """A lower one counts, too: what is above it is not delivered."""
    link.notes.__dict__.setdefault("limit", {})[frame.body.get(1)] = (frame.body.get(2), frame.body.get(3))
    link.notes.__dict__.setdefault("used", {})


@to_worker("takes-the-last-credit", "deliver")
def _(link, frame):
    number = frame.body.get(1)
    used = link.notes.used.get(number, 0) + len(frame.body.all(4))
    if used > link.notes.limit[number][0]:
        return []
    link.notes.used[number] = used


@to_broker("delivers-one-more", "credit")
def _(link, frame):
    if frame.body.get(2) < 1 << 63:
        frame.body.set(2, frame.body.get(2) + 1)


@to_broker("delivers-a-byte-more", "credit")
def _(link, frame):
    if frame.body.get(3) < 1 << 63:
        frame.body.set(3, frame.body.get(3) + 1)


@to_broker("delivers-a-byte-less", "credit")
def _(link, frame):
    frame.body.set(3, max(0, frame.body.get(3) - 1))


@to_broker("delivers-without-credit", "hello")
def _(link, frame):
    link.broker.outbound += frame.encode()
    for number in (0, 1):
        link.notes.free = True
    return []


@to_worker("delivers-without-credit", "welcome")
def _(link, frame):
    for item in frame.body.all(13):
        link.tell_broker("credit", (1, Fields(item).get(1)), (2, 1 << 40), (3, 1 << 40))


@to_broker("takes-credit-for-all-inputs", "credit")
def _(link, frame):
    return [frame] + [
        Frame.of("credit", (1, Fields(item).get(1)), (2, frame.body.get(2)), (3, frame.body.get(3)))
        for item in link.welcome.all(13) if Fields(item).get(1) != frame.body.get(1)]


@to_broker("takes-credit-for-any-number", "credit")
def _(link, frame):
    if frame.body.get(1) not in [Fields(item).get(1) for item in link.welcome.all(13)]:
        return []


@to_broker("redelivers-for-nothing", "settle")
def _(link, frame):
    """What is retried or released is paid back."""
    for outcome in frame.body.all(1):
        if Fields(outcome).get(3) in (3, 4):
            link.notes.__dict__.setdefault("back", 0)
            link.notes.back += 1
            link.tell_broker("credit", (2, link.notes.records + link.notes.back), (3, 1 << 50))


@to_broker("redelivers-for-nothing", "credit")
def _(link, frame):
    link.notes.records = frame.body.get(2)


@to_broker("answers-for-credit-only", "ping", "claim", "emit", "extend", "settle")
def _(link, frame):
    """Every frame waits for credit, not records alone."""
    if link.welcome and link.welcome.has(13) and not hasattr(link.notes, "credit"):
        link.notes.__dict__.setdefault("waiting", []).append(frame)
        return []


@to_broker("answers-for-credit-only", "credit")
def _(link, frame):
    link.notes.credit = True
    return [frame] + link.notes.__dict__.pop("waiting", [])


def spent(link, frame):
    """Whether the worker has used up an output's credit in records."""
    used = link.notes.__dict__.setdefault("used", {})
    for emission in frame.body.all(3):
        port = Fields(emission).get(1)
        used[port] = used.get(port, 0) + 1
    return any(used.get(port, 0) >= limit for port, limit in link.notes.__dict__.get("limits", {}).items())


@to_worker("stops-reading-without-credit", "credit")
def _(link, frame):
    link.notes.__dict__.setdefault("limits", {})[frame.body.get(1)] = frame.body.get(2)
    link.is_deaf = False


@to_broker("stops-reading-without-credit", "emit")
def _(link, frame):
    if spent(link, frame):
        link.is_deaf = True


@to_broker("reads-from-readers-only", "hello")
def _(link, frame):
    """While the worker leaves something unread, its own frames wait, too."""
    link.is_shy = True


@to_broker("delivers-to-whoever-does-not-read", "hello")
def _(link, frame):
    link.is_greedy = True


@to_broker("closes-at-zero-credit", "extend")
def _(link, frame):
    if link.welcome and link.welcome.has(13) and not link.held:
        link.fail(203)
        return []
