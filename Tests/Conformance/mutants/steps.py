"""Deliveries, outcomes and steps (DE, ST)."""

from fields import BYTES, DROP, Fields, Frame
from . import covered, to_broker, to_worker

ACCEPTED, REJECTED, RETRY, RELEASED = 1, 2, 3, 4


def each_outcome(frame, change):
    frame.body.each(1, lambda outcome, _: change(outcome))


def on_outcomes(name, change):
    """`change(link, outcome)`; DROP removes the outcome."""
    @to_broker(name, "settle")
    def _(link, frame):
        each_outcome(frame, lambda outcome: change(link, outcome))


def each_emission(name, change):
    on_outcomes(name, lambda link, outcome: outcome.each(4, lambda emission, index: change(link, emission, index)))


# ---- Deliver ----

@to_worker("ids-from-zero", "deliver")
def _(link, frame):
    frame.body.set(2, frame.body.get(2) - 1)


@to_worker("ids-with-a-gap", "deliver")
def _(link, frame):
    if frame.body.get(2) > 1:
        frame.body.set(2, frame.body.get(2) + 1)


@to_worker("ids-by-input", "deliver")
def _(link, frame):
    counts = link.notes.__dict__.setdefault("counts", {})
    number = frame.body.get(1)
    frame.body.set(2, counts.get(number, 0) + 1)
    counts[number] = counts.get(number, 0) + len(frame.body.all(4))


@to_worker("ids-kept-by-redeliveries", "deliver")
def _(link, frame):
    seen = link.notes.__dict__.setdefault("seen", {})
    delivery = link.given[frame.body.get(2)]
    frame.body.set(2, seen.setdefault(delivery.name, delivery.id))


@to_worker("delivers-nothing", "deliver")
def _(link, frame):
    return [Frame.of("deliver", (1, frame.body.get(1)), (2, frame.body.get(2))), frame]


@to_worker("delivers-twice", "deliver")
def _(link, frame):
    return [frame, frame]


@to_worker("delivers-to-another-input", "deliver")
def _(link, frame):
    frame.body.set(1, frame.body.get(1) + 1)


@to_worker("attempts-absent", "deliver")
def _(link, frame):
    frame.body.remove(3)


@to_worker("attempts-from-zero", "deliver")
def _(link, frame):
    frame.body.set_numbers(3, [a - 1 for a in frame.body.numbers(3) or [1] * len(frame.body.all(4))])


@to_worker("attempts-one-short", "deliver")
def _(link, frame):
    frame.body.set_numbers(3, (frame.body.numbers(3) or [1] * len(frame.body.all(4)))[1:] or [1, 1])


@to_worker("attempts-one-too-high", "deliver")
def _(link, frame):
    if frame.body.numbers(3):
        frame.body.set_numbers(3, [a + (a > 1) for a in frame.body.numbers(3)])


# ---- Ranges ----

on_outcomes("covers-first-only", lambda link, outcome: outcome.remove(2))
on_outcomes("covers-no-more", lambda link, outcome: outcome.remove(7))


def cover_first_of_more(link, outcome):
    outcome.each(7, lambda part, _: part.remove(2))


on_outcomes("covers-the-first-of-more", cover_first_of_more)


def sort_ranges(link, outcome):
    pairs = sorted({i for part in outcome.all(7) for i in range(Fields(part).get(1), min(1 << 20, Fields(part).get(2) or Fields(part).get(1)) + 1)})
    last = outcome.get(2) or outcome.get(1)
    outcome.remove(7)
    for number in pairs:
        if number > last:
            outcome.add(7, Fields.of((1, number)))


on_outcomes("takes-ranges-in-any-order", sort_ranges)


def turn_ranges(link, outcome):
    first, last = outcome.get(1), outcome.get(2) or outcome.get(1)
    if last < first:
        outcome.set(1, last)
        outcome.set(2, first)


on_outcomes("takes-ranges-backwards", turn_ranges)


def without_unknown(link, outcome):
    """Outcomes for what is not held are ignored."""
    return None if covered(outcome, link.held) else DROP


on_outcomes("ignores-unknown-deliveries", without_unknown)
on_outcomes("ignores-what-was-settled", lambda link, outcome: None if (
    covered(outcome, link.held) or not covered(outcome, link.given)) else DROP)


def clip(link, outcome):
    last = max(link.given, default=0)
    if outcome.get(2) > last >= outcome.get(1):
        outcome.set(2, last)


on_outcomes("clips-ranges", clip)


# ---- Kinds ----

def as_kind(name, kind, other):
    def change(link, outcome):
        if outcome.get(3) == kind:
            outcome.set(3, other)
            outcome.remove(4) if other != ACCEPTED else None
    on_outcomes(name, change)


as_kind("accepted-is-rejected", ACCEPTED, REJECTED)
as_kind("rejected-is-accepted", REJECTED, ACCEPTED)
as_kind("rejected-is-retry", REJECTED, RETRY)
as_kind("retry-is-rejected", RETRY, REJECTED)
as_kind("retry-is-released", RETRY, RELEASED)
as_kind("released-is-retry", RELEASED, RETRY)
as_kind("released-is-accepted", RELEASED, ACCEPTED)
as_kind("unspecified-is-accepted", 0, ACCEPTED)


def narrow_kind(link, outcome):
    if not 0 <= outcome.get(3) <= 4:
        outcome.set(3, outcome.get(3) & 0xFF if outcome.get(3) > 255 else RELEASED)


on_outcomes("takes-unknown-kinds", narrow_kind)
on_outcomes("drops-emissions-of-other-kinds", lambda link, outcome: outcome.get(3) == ACCEPTED or outcome.remove(4))
on_outcomes("delays-whatever-has-a-delay", lambda link, outcome: outcome.get(5) and outcome.set(3, RETRY))
on_outcomes("minds-errors-everywhere", lambda link, outcome: outcome.get(3) in (ACCEPTED, RELEASED) and outcome.has(6) and link.fail(206))
on_outcomes("minds-a-missing-error", lambda link, outcome: outcome.get(3) in (REJECTED, RETRY) and not outcome.has(6) and link.fail(206))
on_outcomes("loses-the-error", lambda link, outcome: outcome.remove(6))
on_outcomes("minds-codes-below-1000", lambda link, outcome: 0 < Fields(outcome.get(6, b"")).get(1) < 1000 and link.fail(206))


def other_code(link, outcome):
    error = Fields(outcome.get(6, b""))
    if error.get(1):
        error.set(1, error.get(1) + 1)
        outcome.set(6, error)


on_outcomes("keeps-another-code", other_code)


# ---- Emissions ----

each_emission("all-ports-are-one", lambda link, emission, _: emission.remove(1))
each_emission("loses-the-last-emission", lambda link, emission, index: DROP if index == 1 else None)
each_emission("ignores-parents", lambda link, emission, _: emission.remove(2))
each_emission("takes-unknown-ports", lambda link, emission, _: DROP if emission.get(1) not in [
    Fields(item).get(1) for item in link.welcome.all(14)] else None)
each_emission("sorts-parents", lambda link, emission, _: emission.set_numbers(2, sorted(emission.numbers(2))) if emission.has(2) else None)
each_emission("takes-parents-twice", lambda link, emission, _: emission.set_numbers(2, list(dict.fromkeys(emission.numbers(2)))) if emission.has(2) else None)


@to_broker("takes-parents-of-others", "settle")
def _(link, frame):
    def change(outcome):
        own = covered(outcome, link.given)
        outcome.each(4, lambda emission, _: emission.has(2) and emission.set_numbers(2, [p for p in emission.numbers(2) if p in own]))
    each_outcome(frame, change)


def with_output(link, emission, _):
    return None if emission.has(3) else DROP


each_emission("drops-empty-records", with_output)


@to_broker("takes-traces-of-transforms", "settle")
def _(link, frame):
    traces = link.proxy.__dict__.setdefault("traces", {})
    for outcome in frame.body.all(1):
        for emission in Fields(outcome).all(4):
            fields = Fields(emission)
            if fields.has(4):
                traces[fields.get(3)] = fields.get(4)


@to_worker("takes-traces-of-transforms", "deliver")
def _(link, frame):
    def change(record, _):
        lineage = Fields(record.get(1))
        rest = Fields()
        rest.items = [item for item in record.items if item[0] != 1]
        trace = link.proxy.__dict__.get("traces", {}).get(rest.encode())
        if trace:
            lineage.set(5, trace)
            record.set(1, lineage)
    frame.body.each(4, change)


def is_sound(output):
    """A rough look for what is refused in this suite's cases."""
    try:
        return not Fields(output).has(1)
    except ValueError:
        return False


def without_bad(link, outcome):
    outcome.each(4, lambda emission, _: None if is_sound(emission.get(3, b"")) else DROP)


on_outcomes("does-half-of-a-bad-step", without_bad)


def bad_to(kind):
    def change(link, outcome):
        if any(not is_sound(Fields(emission).get(3, b"")) for emission in outcome.all(4)):
            outcome.set(3, kind)
            outcome.remove(4)
    return change


on_outcomes("refused-is-accepted", bad_to(ACCEPTED))
on_outcomes("refused-is-retried", bad_to(RETRY))


def end_on_bad(link, outcome):
    if any(not is_sound(Fields(emission).get(3, b"")) for emission in outcome.all(4)):
        link.fail(206)


on_outcomes("refusals-end-the-session", end_on_bad)


@to_broker("judges-outcome-by-outcome", "settle")
def _(link, frame):
    """What stands before a fault takes effect, whatever the fault."""
    return [Frame.of("settle", (1, outcome)) for outcome in frame.body.all(1)] or None


@to_broker("skips-malformed-outcomes", "settle")
def _(link, frame):
    kept = []
    for outcome in frame.body.all(1):
        try:
            Fields(outcome)
            kept.append([1, BYTES, outcome])
        except ValueError:
            pass
    frame.body.items = kept


@to_broker("undoes-what-stood-before-a-fault", "settle")
def _(link, frame):
    """Deliveries that are unknown, or wrong parents, take the outcomes before them along."""
    outcomes = [Fields(outcome) for outcome in frame.body.all(1)]
    for index, outcome in enumerate(outcomes):
        own = covered(outcome, link.held)
        parents = [p for emission in outcome.all(4) for p in Fields(emission).numbers(2)]
        if not own or any(parent not in own for parent in parents):
            return [Frame.of("settle", *[(1, o.encode()) for o in outcomes[index:index + 1]])]


@to_broker("goes-on-behind-a-fault", "settle")
def _(link, frame):
    """Outcomes behind one with an unknown delivery take effect."""
    good = [o for o in frame.body.all(1) if covered(Fields(o), link.held)]
    bad = [o for o in frame.body.all(1) if not covered(Fields(o), link.held)]
    if good and bad:
        return [Frame.of("settle", *[(1, o) for o in good]), Frame.of("settle", *[(1, o) for o in bad])]


@to_broker("checks-ports-first", "settle")
def _(link, frame):
    ports = [Fields(item).get(1) for item in link.welcome.all(14)]
    for outcome in frame.body.all(1):
        if any(Fields(emission).get(1) not in ports for emission in Fields(outcome).all(4)):
            link.fail(204)
            return []


@to_broker("checks-deliveries-first", "settle")
def _(link, frame):
    if any(not covered(Fields(outcome), link.given) for outcome in frame.body.all(1)):
        link.fail(205)
        return []


@to_broker("minds-ports-without-subscribers", "settle", "emit")
def _(link, frame):
    emissions = frame.body.all(3) if frame.kind == "emit" else [e for o in frame.body.all(1) for e in Fields(o).all(4)]
    if any(Fields(emission).get(1) == 1 for emission in emissions):
        link.fail(204)
        return []


@to_broker("minds-an-empty-settle", "settle")
def _(link, frame):
    if not frame.body.items:
        link.fail(206)
        return []


# ---- Settled ----

@to_worker("settled-never", "settled")
def _(link, frame):
    return []


@to_worker("settled-behind-its-time", "settled")
def _(link, frame):
    frame.body.set(1, frame.body.get(1) - 1)


@to_broker("settled-before-its-time", "settle")
def _(link, frame):
    if link.welcome and b"settle-confirm" in link.welcome.all(3):
        last = max((max(covered(Fields(o), link.given), default=0) for o in frame.body.all(1)), default=0)
        link.tell_worker("settled", (1, last))


@to_worker("settled-without-refusals", "settled")
def _(link, frame):
    frame.body.remove(2)


@to_worker("settled-names-refusals-again", "settled")
def _(link, frame):
    before = link.notes.__dict__.setdefault("refused", [])
    fresh = frame.body.all(2)
    for refusal in before:
        frame.body.add(2, refusal)
    before += fresh


@to_worker("settled-names-the-last-delivery", "settled")
def _(link, frame):
    frame.body.each(2, lambda refusal, _: refusal.set(1, refusal.get(1) + 1))


@to_worker("settled-without-a-reason", "settled", "committed")
def _(link, frame):
    frame.body.each(2 if frame.kind == "settled" else 3, lambda refusal, _: refusal.remove(2))


@to_worker("settled-refuses-the-void", "settled")
def _(link, frame):
    void = link.notes.__dict__.get("void", [])
    for number in void:
        frame.body.add(2, Fields.of((1, number), (2, Fields.of((1, 300), (2, b"void")))))
    void.clear()


@to_broker("settled-refuses-the-void", "settle")
def _(link, frame):
    retried = link.notes.__dict__.setdefault("retried", set())
    for raw in frame.body.all(1):
        outcome = Fields(raw)
        for number in covered(outcome, link.held):
            delivery = link.given[number]
            if delivery.key in retried and outcome.all(4):
                link.notes.__dict__.setdefault("void", []).append(number)
            if outcome.get(3) in (RETRY, RELEASED) and delivery.key:
                retried.add(delivery.key)
