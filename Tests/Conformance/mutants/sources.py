"""Partitions, Emits and their confirmation (SO)."""

from fields import DROP, Fields, Frame
from . import ending, to_broker, to_worker
from .steps import is_sound


# ---- Claims ----

@to_broker("takes-any-partition-name", "claim")
def _(link, frame):
    if not 0 < len(frame.body.get(1, b"")) < 256:
        link.tell_worker("claimed", (1, frame.body.get(1)), (2, 1))
        return []


@to_broker("takes-shorter-partition-names-only", "claim")
def _(link, frame):
    if len(frame.body.get(1, b"")) > 254:
        link.fail(213)
        return []


@to_broker("takes-any-number-of-partitions", "claim")
def _(link, frame):
    if len(link.claims) >= 4096:
        link.tell_worker("claimed", (1, frame.body.get(1)), (2, 1))
        return []


@to_broker("partitions-belong-to-sessions", "claim")
def _(link, frame):
    """Whoever claims first owns a partition for good."""
    owners = link.proxy.__dict__.setdefault("owners", {})
    if owners.setdefault(frame.body.get(1), link) is not link:
        link.fail(208)
        return []


def claimed(name, change):
    @to_worker(name, "claimed")
    def _(link, frame):
        change(link, frame.body)


claimed("claimed-with-epoch-one", lambda link, body: body.set(2, 1))
claimed("claimed-with-epochs-from-zero", lambda link, body: body.set(2, body.get(2) - 1))
claimed("claimed-without-last-emit-id", lambda link, body: body.remove(3))
claimed("claimed-with-the-next-emit-id", lambda link, body: body.set(3, body.get(3) + 1))
claimed("claimed-without-checkpoint", lambda link, body: body.remove(4))
claimed("claimed-for-another-partition", lambda link, body: body.set(1, b"another"))


@to_worker("claimed-with-a-new-epoch-each-time", "claimed")
def _(link, frame):
    epochs = link.proxy.__dict__.setdefault("epochs", {})
    epochs[frame.body.get(1)] = epochs.get(frame.body.get(1), 0) + 1
    frame.body.set(2, epochs[frame.body.get(1)])


@to_broker("claimed-with-a-refused-checkpoint", "emit")
def _(link, frame):
    if any(not is_sound(Fields(emission).get(3, b"")) for emission in frame.body.all(3)):
        link.proxy.checkpoint = frame.body.get(4, b"")


@to_worker("claimed-with-a-refused-checkpoint", "claimed")
def _(link, frame):
    if hasattr(link.proxy, "checkpoint"):
        frame.body.set(4, link.proxy.checkpoint)


@to_broker("claimed-with-the-last-checkpoint-there-was", "emit")
def _(link, frame):
    """An Emit without one leaves the one before."""
    last = link.proxy.__dict__.setdefault("last", {})
    if frame.body.get(4):
        last[frame.body.get(1)] = frame.body.get(4)
    frame.body.set(4, last.get(frame.body.get(1), b""))


@to_worker("claimed-before-committed", "committed", "claimed", "pong")
def _(link, frame):
    """Committed waits for the next Claimed or Pong and comes behind it."""
    if frame.kind == "committed":
        link.notes.__dict__.setdefault("late", []).append(frame)
        return []
    return [frame] + link.notes.__dict__.pop("late", [])


@to_broker("claims-once-only", "claim")
def _(link, frame):
    if frame.body.get(1) in link.claims:
        return []


@to_broker("minds-claiming-again", "claim")
def _(link, frame):
    if frame.body.get(1) in link.claims:
        link.fail(208)
        return []


@to_broker("finished-stays-finished", "claim", "finished")
def _(link, frame):
    done = link.notes.__dict__.setdefault("done", set())
    if frame.kind == "finished":
        done.add(frame.body.get(1))
    elif frame.body.get(1) in done:
        link.fail(210)
        return []


@to_broker("fences-the-newcomer", "claim")
def _(link, frame):
    """The older session keeps what is claimed twice."""
    if any(frame.body.get(1) in other.claims and not other.is_over and not other.worker.is_at_end for other in link.others()):
        link.fail(208)
        return []


@to_broker("fenced-emits-are-applied", "claim")
def _(link, frame):
    link.proxy.owner = link


@to_broker("fenced-emits-are-applied", "emit")
def _(link, frame):
    owner = getattr(link.proxy, "owner", link)
    if owner is not link:
        owner.broker.outbound += frame.encode()
        return []


@to_worker("fenced-emits-are-applied", "close")
def _(link, frame):
    if frame.body.get(1) == 208:
        link.notes.close = frame
        link.proxy.later(0.3, lambda: (link.worker.outbound.extend(frame.encode()), link.sever(), link.worker.end()))
        link.is_severed = True
        return []


# ---- Emits ----

@to_broker("claims-by-itself", "emit")
def _(link, frame):
    name = frame.body.get(1, b"")
    if name and name not in link.claims:
        link.claims[name] = 0
        return [Frame.of("claim", (1, name)), frame]


@to_broker("reopens-by-itself", "emit", "finished")
def _(link, frame):
    done = link.notes.__dict__.setdefault("done", set())
    if frame.kind == "finished":
        done.add(frame.body.get(1))
    elif frame.body.get(1) in done:
        return [Frame.of("claim", (1, frame.body.get(1))), frame]


@to_broker("emits-of-transforms-are-ignored", "emit", "claim", "finished")
def _(link, frame):
    if link.welcome and not link.is_source():
        return []


@to_broker("takes-gaps", "emit")
def _(link, frame):
    last = link.proxy.__dict__.setdefault("last", {})
    name = frame.body.get(1)
    if frame.body.get(2) > last.get(name, 0):
        last[name] = last.get(name, 0) + 1
        frame.body.set(2, last[name])


@to_broker("applies-repeated-emits", "emit")
def _(link, frame):
    last = link.proxy.__dict__.setdefault("last", {})
    name = frame.body.get(1)
    last[name] = max(last.get(name, 0) + 1, frame.body.get(2))
    frame.body.set(2, last[name])


@to_broker("minds-repeated-emits", "emit")
def _(link, frame):
    last = link.proxy.__dict__.setdefault("last", {})
    if frame.body.get(2) <= last.get(frame.body.get(1), 0):
        link.fail(209)
        return []
    last[frame.body.get(1)] = frame.body.get(2)


@to_broker("forgets-repeated-emits", "emit")
def _(link, frame):
    """They are not even confirmed."""
    last = link.proxy.__dict__.setdefault("last", {})
    if frame.body.get(2) <= last.get(frame.body.get(1), 0):
        return []
    last[frame.body.get(1)] = frame.body.get(2)


@to_broker("counts-emits-by-session", "emit")
def _(link, frame):
    """Whatever the partition, ids go on."""
    link.notes.count = getattr(link.notes, "count", 0) + 1
    if frame.body.get(2) != link.notes.count:
        link.fail(209)
        return []


@to_broker("ignores-parents-of-sources", "emit")
def _(link, frame):
    frame.body.each(3, lambda emission, _: emission.remove(2))


@to_broker("minds-empty-emits", "emit")
def _(link, frame):
    if not frame.body.has(3):
        link.fail(206)
        return []


@to_broker("emits-what-is-good-of-an-emit", "emit")
def _(link, frame):
    frame.body.each(3, lambda emission, _: None if is_sound(emission.get(3, b"")) else DROP)


@to_broker("refused-emits-end-the-session", "emit")
def _(link, frame):
    if any(not is_sound(Fields(emission).get(3, b"")) for emission in frame.body.all(3)):
        link.fail(206)
        return []


@to_broker("refused-emits-do-not-count", "emit")
def _(link, frame):
    """Their id is not used up: the next one has it again."""
    lag = link.proxy.__dict__.setdefault("lag", {})
    name = frame.body.get(1)
    frame.body.set(2, max(0, frame.body.get(2) - lag.get(name, 0)))
    if any(not is_sound(Fields(emission).get(3, b"")) for emission in frame.body.all(3)):
        lag[name] = lag.get(name, 0) + 1
        return []


# ---- Committed ----

@to_worker("committed-never", "committed")
def _(link, frame):
    return []


@to_worker("committed-without-refusals", "committed")
def _(link, frame):
    frame.body.remove(3)


@to_worker("committed-names-refusals-again", "committed")
def _(link, frame):
    before = link.notes.__dict__.setdefault("refused", [])
    fresh = frame.body.all(3)
    for refusal in before:
        frame.body.add(3, refusal)
    before += fresh


@to_worker("committed-one-behind", "committed")
def _(link, frame):
    frame.body.set(2, frame.body.get(2) - 1)


@to_worker("committed-one-ahead", "committed")
def _(link, frame):
    frame.body.set(2, frame.body.get(2) + 1)


@to_worker("committed-for-each-emit-only", "committed")
def _(link, frame):
    """Not cumulative: the number of Emits that this one covers."""
    last = link.notes.__dict__.setdefault("last", {})
    through = frame.body.get(2)
    frame.body.set(2, through - last.get(frame.body.get(1), 0))
    last[frame.body.get(1)] = through


@to_broker("committed-before-it-is-applied", "emit")
def _(link, frame):
    """Confirms at once and applies later."""
    if frame.body.get(1) in link.claims:
        link.tell_worker("committed", (1, frame.body.get(1)), (2, frame.body.get(2)))
        link.notes.late = frame
        return []


@to_broker("committed-before-it-is-applied", "claim", "finished")
def _(link, frame):
    late = link.notes.__dict__.pop("late", None)
    return [late, frame] if late else None


# ---- Finished ----

@to_broker("finished-is-ignored", "finished")
def _(link, frame):
    return []


@to_broker("finished-ends-the-session", "finished")
def _(link, frame):
    link.broker.outbound += frame.encode()
    link.fail(0, "")
    return []


@to_broker("finished-finishes-all", "finished")
def _(link, frame):
    return [Frame.of("finished", (1, name)) for name in link.claims]


@to_broker("gone-is-finished", "close")
def _(link, frame):
    return [Frame.of("finished", (1, name)) for name in link.claims] + [frame]


@ending("gone-is-finished")
def _(link):
    for name in link.claims:
        link.tell_broker("finished", (1, name))
    return True


@to_broker("one-instance-is-enough", "finished")
def _(link, frame):
    """A source of the host with two workers ends with the first of them."""
    link.broker.outbound += frame.encode()
    for other in [link, *link.others()]:
        if other.is_source():
            other.fail(0, "")
    return []
