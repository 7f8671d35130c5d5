"""What a broker that was killed has forgotten, or remembers wrongly, when it begins again."""

import json

from fields import Frame
from . import control, is_again, memory, pipeline, to_broker, to_worker


@pipeline("keeps-nothing")
def _(content):
    content["durability"] = "memory"


# ---- Sources ----

@to_broker("emits-again-are-new", "emit")
def _(link, frame):
    """What a source emits again after a restart, because it has not heard of it, is applied once more."""
    if is_again():
        last = link.notes.__dict__.setdefault("last", dict(link.proxy.__dict__.get("claimed", {})))
        name = frame.body.get(1)
        last[name] = last.get(name, 0) + 1
        frame.body.set(2, last[name])


@to_worker("emits-again-are-new", "claimed")
def _(link, frame):
    link.proxy.__dict__.setdefault("claimed", {})[frame.body.get(1)] = frame.body.get(3)


@to_worker("epochs-begin-anew", "claimed")
def _(link, frame):
    if is_again():
        frame.body.set(2, 1)


@to_worker("checkpoints-are-one-behind", "claimed")
def _(link, frame):
    """Emit and checkpoint are not one step on the disk."""
    kept = memory(link.proxy).setdefault("checkpoints", {})
    if is_again():
        frame.body.set(4, kept.get(frame.body.get(1, b"").hex(), "").encode())


@to_broker("checkpoints-are-one-behind", "emit")
def _(link, frame):
    kept = memory(link.proxy).setdefault("checkpoints", {})
    last = link.proxy.__dict__.setdefault("last", {})
    name = frame.body.get(1, b"")
    kept[name.hex()] = last.get(name, b"").decode()
    last[name] = frame.body.get(4, b"")


@to_broker("finished-is-not-kept", "finished", "claim")
def _(link, frame):
    """After a restart the source has all its partitions to finish again."""
    finished = memory(link.proxy).setdefault("finished", [])
    if frame.kind == "finished" and not is_again():
        finished.append(frame.body.get(1, b"").decode())
    if frame.kind == "claim" and is_again():
        names, finished[:] = list(finished), []
        return [Frame.of("claim", (1, name.encode())) for name in names] + [frame]


# ---- Settlements ----

@to_broker("settled-before-it-is-durable", "settle")
def _(link, frame):
    """Says Settled at once, and takes its time to write."""
    if b"settle-confirm" in (link.welcome.all(3) if link.welcome else ()):
        last = max((delivery for delivery in link.given), default=0)
        held = [delivery for delivery in link.held if delivery not in settled_by(frame)]
        link.tell_worker("settled", (1, min(held, default=last + 1) - 1))
        link.proxy.later(2, lambda: link.broker.outbound.extend(frame.encode()))
        return []


@to_worker("settled-before-it-is-durable", "settled")
def _(link, frame):
    if not frame.body.has(2):
        return []


def settled_by(frame):
    from fields import Fields
    from . import covered

    return {number for outcome in frame.body.all(1) for number in covered(Fields(outcome), range(1, 1000))}


@to_worker("settled-behind-a-close", "settled", "pong", "close")
def _(link, frame):
    """Confirms when there is nothing better to do: with the next Pong."""
    late = link.notes.__dict__.setdefault("late", [])
    if frame.kind == "settled":
        late.append(frame)
        return []
    if frame.kind == "pong":
        link.notes.late = []
        return late + [frame]


@to_worker("a-restart-is-an-attempt", "deliver")
def _(link, frame):
    if is_again():
        attempts = frame.body.numbers(3) or [1] * len(frame.body.all(4))
        frame.body.set_numbers(3, [each + 1 for each in attempts])


@to_worker("attempts-begin-anew", "deliver")
def _(link, frame):
    if is_again():
        frame.body.remove(3)


@control("dead-letters-are-not-kept")
def _(answer):
    shown = json.loads(answer)
    if is_again() and "letters" in shown:
        shown["letters"], shown["total"] = [], 0
    return json.dumps(shown).encode()
