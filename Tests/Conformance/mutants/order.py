"""Order, retries, crashes and dead letters (OR, LE-2, RT)."""

from fields import Fields, Frame
from . import Delivery, covered, ending, pipeline, to_broker, to_worker
from .session import stages, size
from .steps import ACCEPTED, REJECTED, RELEASED, RETRY, on_outcomes

ORDERINGS = {"key": 1, "none": 2, "total": 3}


def other_ordering(name, chosen):
    """The broker works with another ordering than Welcome says: `chosen` maps one to another."""
    @pipeline(name)
    def _(content):
        for stage, item in content["stages"].items():
            other_ordering.true[stage] = ORDERINGS[item.get("ordering", "key")]
            item["ordering"] = chosen.get(item.get("ordering", "key"), item.get("ordering", "key"))
            if item.get("source"):
                del item["ordering"]

    @to_worker(name, "welcome")
    def _(link, frame):
        frame.body.each(13, lambda item, _: item.set(6, other_ordering.true[link.stage]))


other_ordering.true = {}
other_ordering("keys-have-no-order", {"key": "none"})
other_ordering("keys-are-shared-by-sessions", {"key": "none", "total": "none"})
other_ordering("total-is-by-key", {"total": "key"})
other_ordering("none-is-by-key", {"none": "key"})
other_ordering("no-key-is-a-key", {"key": "total"})


@to_worker("related-records-swapped", "deliver")
def _(link, frame):
    """Two neighbours of one key change places."""
    records = [item for item in frame.body.items if item[0] == 4]
    for first, second in zip(records, records[1:]):
        keys = [Delivery(0, 0, 1, item[2]).key for item in (first, second)]
        if keys[0] and keys[0] == keys[1]:
            first[2], second[2] = second[2], first[2]
            return


@to_broker("minds-the-order-of-settling", "settle")
def _(link, frame):
    held = dict(link.held)
    for raw in frame.body.all(1):
        for number in covered(Fields(raw), held):
            later = held.pop(number)
            if any(d.id < number and d.key and d.key == later.key and d.input == later.input for d in held.values()):
                link.fail(206)
                return []


# ---- What is void ----

def wait_for_related(link, outcome, kinds):
    """Whether a verdict of these kinds has to wait for later deliveries of its key."""
    return outcome.get(3) in kinds and any(
        link.related(link.given[number]) for number in covered(outcome, link.held))


@to_broker("voids-nothing", "settle")
def _(link, frame):
    """A retry comes again when all that was delivered behind it is settled, and leaves that alone."""
    waiting = link.notes.__dict__.setdefault("waiting", [])
    held = [o for o in frame.body.all(1) if wait_for_related(link, Fields(o), (RETRY, RELEASED))]
    rest = [o for o in frame.body.all(1) if o not in held]
    waiting += held
    settled = {number for o in rest for number in covered(Fields(o), link.held)}
    ripe = [o for o in waiting if not any(
        d.id not in settled for number in covered(Fields(o), link.given) for d in link.related(link.given[number]))]
    link.notes.waiting = [o for o in waiting if o not in ripe]
    return [Frame.of("settle", *[(1, o) for o in rest + ripe])]


def void_by(link, frame, kinds):
    """Deliveries that this frame makes void."""
    void = link.notes.__dict__.setdefault("void", set())
    for raw in frame.body.all(1):
        outcome = Fields(raw)
        if outcome.get(3) in kinds:
            for number in covered(outcome, link.held):
                void |= {d.id for d in link.related(link.given[number])}
    return void


@to_broker("rejected-voids-as-well", "settle")
def _(link, frame):
    void = link.notes.__dict__.setdefault("void", set())
    for raw in frame.body.all(1):
        outcome = Fields(raw)
        numbers = covered(outcome, link.held)
        if numbers and set(numbers) <= void:
            frame.body.items = [item for item in frame.body.items if item[2] != raw]
        if outcome.get(3) == REJECTED:
            for number in numbers:
                for later in link.related(link.given[number]):
                    void.add(later.id)
                    frame.body.add(1, Fields.of((1, later.id), (3, RELEASED)))


@to_worker("void-attempts-are-raised", "deliver")
def _(link, frame):
    """What comes again because something before it was retried is at its next attempt."""
    attempts = frame.body.numbers(3) or [1] * len(frame.body.all(4))
    seen = link.proxy.__dict__.setdefault("seen", {})
    for index, record in enumerate(frame.body.all(4)):
        name = Delivery(0, 0, 1, record).name
        if (link.stage, name) in seen:
            attempts[index] = max(attempts[index], 2)
        seen[link.stage, name] = attempts[index]
    frame.body.set_numbers(3, attempts)


@to_broker("void-settles-end-the-session", "settle")
def _(link, frame):
    before = set(link.notes.__dict__.get("void", ()))
    void_by(link, frame, (RETRY, RELEASED))
    if any(set(covered(Fields(raw), link.held)) & before for raw in frame.body.all(1)):
        link.fail(205)
        return []


@to_broker("void-parts-are-cut-out", "settle")
def _(link, frame):
    """An outcome with emissions that covers a void delivery takes effect for the rest of it."""
    void = void_by(link, frame, (RETRY, RELEASED))

    def change(outcome, _):
        numbers = covered(outcome, link.held)
        live = [number for number in numbers if number not in void]
        if outcome.has(4) and live and len(live) < len(numbers):
            for number in (2, 7):
                outcome.remove(number)
            outcome.set(1, live[0])
            for number in live[1:]:
                outcome.add(7, Fields.of((1, number)))
            outcome.each(4, lambda emission, _: emission.remove(2))
            for number in set(numbers) - set(live):
                link.tell_broker("settle", (1, Fields.of((1, number), (3, ACCEPTED))))
    frame.body.each(1, change)


@to_broker("void-spoils-its-whole-outcome", "settle")
def _(link, frame):
    """One without emissions, too: the others of the outcome come again."""
    void = void_by(link, frame, (RETRY, RELEASED))

    def change(outcome, _):
        numbers = covered(outcome, link.held)
        if outcome.get(3) == ACCEPTED and not outcome.has(4) and set(numbers) & void and set(numbers) - void:
            outcome.set(3, RELEASED)
    frame.body.each(1, change)


@to_broker("void-emissions-take-effect", "settle")
def _(link, frame):
    """Emissions of void outcomes are attributed to what is not void."""
    void = void_by(link, frame, (RETRY, RELEASED))
    before = [number for number in sorted(link.held) if number not in void]
    for raw in frame.body.all(1):
        outcome = Fields(raw)
        numbers = covered(outcome, link.held)
        if outcome.has(4) and numbers and set(numbers) <= void and before:
            link.proxy.stray = outcome.all(4)


@to_worker("void-emissions-take-effect", "deliver")
def _(link, frame):
    """They are shown where they would have arrived: at the next stage, with the next record."""
    stray = getattr(link.proxy, "stray", None)
    if stray and not any(other.stage == link.stage and other.held for other in link.others()):
        record = Fields(frame.body.all(4)[-1])
        record.set(3, Fields(Fields(stray[0]).get(3, b"")).get(3, b"void"))
        link.proxy.stray = None
        frame.body.items[-1][2] = record.encode()


@to_broker("void-is-not-held", "settle")
def _(link, frame):
    """A void delivery does not count any more, neither for its key nor for what may be held."""
    void = link.notes.__dict__.setdefault("void", set())
    for raw in frame.body.all(1):
        outcome = Fields(raw)
        numbers = covered(outcome, link.held)
        if numbers and set(numbers) <= void:
            frame.body.items = [item for item in frame.body.items if item[2] != raw]
        if outcome.get(3) in (RETRY, RELEASED):
            for number in numbers:
                for later in link.related(link.given[number]):
                    void.add(later.id)
                    frame.body.add(1, Fields.of((1, later.id), (3, ACCEPTED)))


# ---- Retries ----

def in_retry(name, **members):
    @pipeline(name)
    def _(content):
        for stage in content["stages"].values():
            if not stage.get("source"):
                stage.setdefault("retry", {}).update(members)


in_retry("backoff-too-short", backoff="1ms", jitter="0%")
in_retry("age-without-bound", max_age="none")
on_outcomes("ignores-the-delay", lambda link, outcome: outcome.remove(5))


@pipeline("backoff-does-not-double")
def _(content):
    for stage in content["stages"].values():
        retry = stage.get("retry", {})
        if ".." in str(retry.get("backoff", "")):
            retry["backoff"] = retry["backoff"].split("..")[0]


@pipeline("age-from-the-beginning")
def _(content):
    for stage in content["stages"].values():
        if "max_age" in stage.get("retry", {}):
            stage["retry"]["max_age"] = "1ms"


def off_by(name, key, change, nested):
    @pipeline(name)
    def _(content):
        for stage in content["stages"].values():
            members = stage.get("retry", {}) if nested else stage
            if key in members:
                members[key] = change(size(members[key]))


off_by("attempts-one-more", "attempts", lambda n: n + 1, True)
off_by("attempts-one-less", "attempts", lambda n: max(1, n - 1), True)
off_by("crash-limit-one-more", "crash_limit", lambda n: n + 1, False)
off_by("crash-limit-one-less", "crash_limit", lambda n: max(1, n - 1), False)
off_by("crashes-without-limit", "crash_limit", lambda n: 1000, False)


@to_broker("releases-without-delay", "settle")
def _(link, frame):
    """RETRY without a delay, whose attempt is hidden."""
    hidden = link.proxy.__dict__.setdefault("hidden", {})
    for raw in frame.body.all(1):
        outcome = Fields(raw)
        if outcome.get(3) == RELEASED:
            for number in covered(outcome, link.held):
                name = link.given[number].name
                hidden[name] = hidden.get(name, 0) + 1
    frame.body.each(1, lambda outcome, _: outcome.get(3) == RELEASED and outcome.set(3, RETRY))


@to_worker("releases-without-delay", "deliver")
def _(link, frame):
    hidden = link.proxy.__dict__.get("hidden", {})
    attempts = frame.body.numbers(3) or [1] * len(frame.body.all(4))
    names = [Delivery(0, 0, 1, record).name for record in frame.body.all(4)]
    frame.body.set_numbers(3, [a - hidden.get(n, 0) for a, n in zip(attempts, names)])


@to_worker("releases-without-limit", "deliver")
def _(link, frame):
    """A release never counts as an attempt."""
    releases = link.proxy.__dict__.get("releases", 0)
    if releases > 99:
        frame.body.remove(3)


@ending("releases-without-limit")
def _(link):
    link.proxy.releases = getattr(link.proxy, "releases", 0) + bool(link.held)
    return True


def raised(name, is_raised):
    """Attempts are one higher where `is_raised(link)` says so."""
    @to_worker(name, "deliver")
    def _(link, frame):
        seen = link.proxy.__dict__.setdefault("delivered", {})
        attempts = frame.body.numbers(3) or [1] * len(frame.body.all(4))
        for index, record in enumerate(frame.body.all(4)):
            name = (link.stage, Delivery(0, 0, 1, record).name)
            if name in seen and seen[name] is not link and is_raised(link):
                attempts[index] += 1
            seen[name] = link
        frame.body.set_numbers(3, attempts)


raised("crashes-cost-an-attempt", lambda link: True)


@to_worker("lease-charges-all", "close")
def _(link, frame):
    if frame.body.get(1) == 207:
        link.proxy.charged = {d.name for d in link.held.values()}


@to_worker("lease-charges-all", "deliver")
def _(link, frame):
    charged = getattr(link.proxy, "charged", set())
    attempts = frame.body.numbers(3) or [1] * len(frame.body.all(4))
    for index, record in enumerate(frame.body.all(4)):
        name = Delivery(0, 0, 1, record).name
        if name in charged and attempts[index] == 1:
            attempts[index] = 2
    frame.body.set_numbers(3, attempts)


@to_worker("lease-charges-none", "close")
def _(link, frame):
    if frame.body.get(1) == 207:
        link.proxy.charged = {d.name for d in link.held.values()}


@to_worker("lease-charges-none", "deliver")
def _(link, frame):
    charged = getattr(link.proxy, "charged", set())
    attempts = frame.body.numbers(3) or [1] * len(frame.body.all(4))
    names = [Delivery(0, 0, 1, record).name for record in frame.body.all(4)]
    frame.body.set_numbers(3, [max(1, a - (n in charged)) for a, n in zip(attempts, names)])


@to_broker("retried-letters-keep-their-attempts", "settle")
def _(link, frame):
    for raw in frame.body.all(1):
        outcome = Fields(raw)
        if outcome.get(3) in (RETRY, REJECTED):
            link.proxy.__dict__.setdefault("failed", {}).update(
                {link.given[n].name: link.given[n].attempt for n in covered(outcome, link.held)})


@to_worker("retried-letters-keep-their-attempts", "deliver")
def _(link, frame):
    failed = link.proxy.__dict__.get("failed", {})
    attempts = frame.body.numbers(3) or [1] * len(frame.body.all(4))
    names = [Delivery(0, 0, 1, record).name for record in frame.body.all(4)]
    frame.body.set_numbers(3, [max(a, failed.get(n, 1)) for a, n in zip(attempts, names)])


# ---- Crashes ----

@ending("crash-is-a-release")
@ending("suspects-are-spread")
def _(link):
    """Whoever is gone has said Close(0): nobody is suspected, and what was held goes anywhere."""
    if link.held:
        link.tell_broker("close")
    return True


@to_broker("release-is-a-crash", "close")
def _(link, frame):
    if not frame.body.get(1):
        frame.body.set(1, 107)
        frame.body.set(2, b"I go")


@to_broker("close-with-a-code-is-a-release", "close")
def _(link, frame):
    frame.body.items = []


@to_broker("crash-of-a-broken-rule-is-a-release", "settle")
def _(link, frame):
    if any(not covered(Fields(raw), link.held) for raw in frame.body.all(1)) and frame.body.items:
        link.tell_worker("close", (1, 205), (2, b"there is no such delivery"))
        link.worker.end()
        link.tell_broker("close")
        link.is_severed = link.is_mute = True
        return []


@ending("second-crash-is-a-release")
def _(link):
    """A group is suspected, but never halved."""
    if link.held:
        crashes = link.proxy.__dict__.setdefault("crashes", {})
        crashes[link.stage] = crashes.get(link.stage, 0) + 1
        if crashes[link.stage] > 1:
            link.tell_broker("close")
    return True


@ending("crash-with-one-left-is-a-release")
def _(link):
    """Charges a record only when nothing else had been delivered in the session."""
    if len(link.held) == 1 and len(link.given) == 1:
        link.tell_broker("close")
    return True


@ending("crash-charges-a-part")
def _(link):
    """All but one delivery is released first: then the one is alone."""
    held = sorted(link.held)
    if len(held) > 1:
        link.tell_broker("settle", (1, Fields.of((1, held[1]), (2, held[-1]), (3, RELEASED))))
    return True


@ending("crash-forgets-the-group")
def _(link):
    """What was held is accepted with the session's end."""
    held = sorted(link.held)
    if held:
        link.tell_broker("settle", (1, Fields.of((1, held[0]), (2, held[-1]), (3, ACCEPTED))))
    return True


@to_broker("holds-are-halved", "hello")
def _(link, frame):
    """A stage with `holds` is suspected like any other."""
    link.notes.holds = b"holds" in frame.body.all(6) + frame.body.all(7)
    frame.body.items = [item for item in frame.body.items if item[0] not in (6, 7) or item[2] != b"holds"]


@to_worker("holds-are-halved", "welcome")
def _(link, frame):
    if link.notes.holds:
        frame.body.add(3, b"holds")


@to_worker("holds-groups-stand-alone", "deliver")
def _(link, frame):
    """Behind a crash nothing else follows until the group is settled."""
    names = link.proxy.__dict__.setdefault("names", set())
    fresh = [record for record in frame.body.all(4) if Delivery(0, 0, 1, record).name not in names]
    if getattr(link.proxy, "crashed", False) and fresh and link.held and link.stage == "window":
        link.notes.__dict__.setdefault("later", []).append(frame)
        return []
    names |= {Delivery(0, 0, 1, record).name for record in frame.body.all(4)}


@ending("holds-groups-stand-alone")
def _(link):
    link.proxy.crashed = getattr(link.proxy, "crashed", False) or bool(link.held)
    return True
