"""Records, lineage and ids (RE, LI)."""

from fields import BYTES, FIXED64, Fields, Frame
from . import Delivery, pipeline, to_broker, to_worker


def each_record(name, change):
    """`change(link, record)`; it may return bytes in its place."""
    @to_worker(name, "deliver")
    def _(link, frame):
        for item in frame.body.items:
            if item[0] == 4:
                record = Fields(item[2])
                item[2] = change(link, record) or record.encode()


def each_lineage(name, change):
    def on_record(link, record):
        lineage = Fields(record.get(1, b""))
        change(link, lineage)
        record.set(1, lineage)
    each_record(name, on_record)


# ---- Records ----

each_record("payload-changed", lambda link, record: record.set(3, record.get(3, b"") + b" "))
each_record("payload-lost", lambda link, record: record.remove(3))
each_record("lineage-last", lambda link, record: record.items.append(record.items.pop(0)))


def tidied(link, record):
    """As a library writes it: in the order of numbers, without what it does not know."""
    record.items = sorted((item for item in record.items if item[0] < 4), key=lambda item: item[0])


def without_unknown(link, record):
    record.items = [item for item in record.items if item[0] < 16]


each_record("unknown-fields-lost", without_unknown)
each_record("fields-sorted", tidied)


def with_header(name, change):
    def on_record(link, record):
        header = Fields(record.get(2, b""))
        change(header)
        record.set(2, header)
    each_record(name, on_record)


with_header("header-without-time", lambda header: header.remove(4))
with_header("header-without-content-type", lambda header: header.remove(5))
with_header("header-without-attributes", lambda header: header.remove(6))


# ---- Conditions ----

def other_condition(name, change):
    @pipeline(name)
    def _(content):
        for stage in content["stages"].values():
            source = stage.get("from")
            if isinstance(source, dict) and "when" in source:
                source["when"] = change(source["when"])


other_condition("attributes-without-a-value-exist", lambda when: when.replace("exists level", "exists level or not exists level"))
other_condition("the-last-attribute-counts", lambda when: when.replace("level > 3", "level > 0"))


# ---- Outputs that are to be refused ----

def outputs(frame, change):
    """`change(output)` for the bytes of every output of a Settle or Emit, returning others."""
    def on_emission(emission, _):
        for item in emission.items:
            if item[0] == 3 and item[1] == BYTES:
                item[2] = change(item[2])
    if frame.kind == "emit":
        frame.body.each(3, on_emission)
    else:
        frame.body.each(1, lambda outcome, _: outcome.each(4, on_emission))


def mended(name, change):
    """Takes outputs that are to be refused, by mending them before they are judged."""
    @to_broker(name, "settle", "emit")
    def _(link, frame):
        outputs(frame, change)


def fields_or_nothing(data):
    try:
        return Fields(data if isinstance(data, bytes) else b"")
    except ValueError:
        return Fields()


def without_lineage(data):
    fields = fields_or_nothing(data)
    if not fields.has(1):
        return data
    fields.remove(1)
    return fields.encode()


def known_types(data):
    """Known fields of another wire type are taken for unknown ones."""
    fields = fields_or_nothing(data)
    if all(item[1] == BYTES for item in fields.items if item[0] in (2, 3)):
        header = fields_or_nothing(fields.get(2, b""))
        wires = {1: 2, 2: 0, 3: 2, 4: 1, 5: 2, 6: 2}
        kept = [item for item in header.items if wires.get(item[0], item[1]) == item[1]]
        if len(kept) == len(header.items):
            return data
        header.items = kept
        fields.set(2, header)
    fields.items = [item for item in fields.items if item[0] not in (2, 3) or item[1] == BYTES]
    return fields.encode()


def single_fields(data):
    fields = fields_or_nothing(data)
    for number in (2, 3):
        if len(fields.all(number)) > 1:
            value = fields.get(number)
            fields.remove(number)
            fields.items.append([number, BYTES, value])
    header = fields_or_nothing(fields.get(2, b""))
    twice = [n for n in range(1, 6) if len(header.all(n)) > 1]
    for number in twice:
        item = [i for i in header.items if i[0] == number][-1]
        header.remove(number)
        header.items.append(item)
    if twice:
        fields.set(2, header)
    return fields.encode() if fields.items else data


def minimal(data):
    """Written anew; what overruns is left out."""
    fields = fields_or_nothing(data)
    if isinstance(fields.get(2), bytes):
        fields.set(2, fields_or_nothing(fields.get(2)))
    return fields.encode()


def on_header(change):
    def on_output(data):
        fields = fields_or_nothing(data)
        header = fields_or_nothing(fields.get(2, b""))
        before = header.encode()
        try:
            change(header)
        except (TypeError, AttributeError):  # another wire type: not what this mutant is about
            return data
        if header.encode() == before:
            return data
        fields.set(2, header)
        return fields.encode()
    return on_output


def texts(header):
    for number in (1, 5):
        value = header.get(number, b"")
        try:
            value.decode()
        except UnicodeDecodeError:
            header.set(number, value.decode(errors="replace").encode())


def one_value(header):
    def on_attribute(attribute, _):
        values = [item for item in attribute.items if item[0] in (2, 3, 4, 5)]
        for item in values[:-1]:
            attribute.items.remove(item)
    header.each(6, on_attribute)


def good_flags(header):
    header.each(6, lambda attribute, _: attribute.get(5) > 1 and attribute.set(5, 1))


def cut_attributes(header):
    rest = [item for item in header.items if item[0] == 6][64:]
    header.items = [item for item in header.items if item not in rest]


mended("takes-outputs-with-lineage", without_lineage)
mended("takes-other-wire-types", known_types)
mended("takes-singular-fields-twice", single_fields)
mended("takes-longer-encodings", minimal)
mended("takes-bad-text", on_header(texts))
mended("takes-two-values", on_header(one_value))
mended("takes-odd-flags", on_header(good_flags))
mended("takes-long-keys", on_header(lambda header: header.set(3, header.get(3, b"")[:1024]) if header.has(3) else None))
mended("takes-many-attributes", on_header(cut_attributes))


@to_broker("minds-unknown-fields-of-outputs", "settle", "emit")
def _(link, frame):
    """They are refused like what is broken."""
    def change(data):
        fields = fields_or_nothing(data)
        return b"\x0a\x00" if any(item[0] > 3 for item in fields.items) else data
    outputs(frame, change)


@to_broker("takes-long-traces", "emit")
def _(link, frame):
    def change(emission, _):
        if len(emission.get(4, b"")) <= 500:
            return
        trace = fields_or_nothing(emission.get(4))
        for number, most in ((1, 64), (2, 512)):
            if trace.has(number):
                trace.set(number, trace.get(number)[:most])
        emission.set(4, trace)
    frame.body.each(3, change)


@to_broker("takes-broken-traces", "emit")
def _(link, frame):
    def change(emission, _):
        if emission.has(4):
            trace = fields_or_nothing(emission.get(4))
            seen = {item[0]: item for item in trace.items if item[0] in (1, 2) and item[1] == BYTES}
            for item in seen.values():
                item[2] = item[2].decode(errors="replace").encode()[:64]
            trace.items = list(seen.values())
            emission.set(4, trace)
    frame.body.each(3, change)


@to_broker("reads-traces", "emit")
def _(link, frame):
    """Refuses what is no W3C trace context."""
    def change(emission, _):
        parent = fields_or_nothing(emission.get(4, b"")).get(1, b"")
        if parent and parent.count(b"-") != 3:
            emission.remove(4)
    frame.body.each(3, change)


# ---- Lineage ----

each_lineage("lineage-in-another-order", lambda link, lineage: lineage.items.reverse())
each_lineage("lineage-with-hops-reversed", lambda link, lineage: reverse(lineage, 7))
each_lineage("lineage-without-parents", lambda link, lineage: lineage.remove(2))
each_lineage("lineage-with-parents-reversed", lambda link, lineage: reverse(lineage, 2))
each_lineage("lineage-not-truncated", lambda link, lineage: lineage.remove(3))
each_lineage("lineage-always-truncated", lambda link, lineage: lineage.has(2) and lineage.set(3, 1))
each_lineage("lineage-without-a-root", lambda link, lineage: lineage.remove(4))
each_lineage("lineage-with-its-own-root", lambda link, lineage: lineage.has(4) or lineage.set(4, lineage.get(1)))
each_lineage("lineage-with-a-parent-as-root", lambda link, lineage: lineage.has(4) and lineage.set(4, lineage.all(2)[0]))
each_lineage("lineage-without-a-trace", lambda link, lineage: lineage.remove(5))
each_lineage("lineage-with-another-ingest-time", lambda link, lineage: shift_time(lineage))
each_lineage("lineage-without-the-last-hop", lambda link, lineage: drop_last(lineage, 7))
each_lineage("lineage-without-the-first-hop", lambda link, lineage: len(lineage.all(7)) > 1 and drop_first(lineage, 7))
each_lineage("hop-of-another-run", lambda link, lineage: lineage.each(7, lambda hop, _: hop.set(1, hop.get(1) + 1)))
each_lineage("hop-without-an-attempt", lambda link, lineage: lineage.each(7, lambda hop, _: hop.remove(3)))
each_lineage("hop-with-another-attempt", lambda link, lineage: lineage.each(7, lambda hop, i: i and hop.set(3, hop.get(3) + 2)))
each_lineage("hop-with-a-negative-delta", lambda link, lineage: lineage.each(7, lambda hop, _: hop.set(2, (1 << 64) - 5)))


def reverse(fields, number):
    values = [item[2] for item in fields.items if item[0] == number][::-1]
    for item in fields.items:
        if item[0] == number:
            item[2] = values.pop(0)


def drop_last(fields, number):
    fields.items.remove([item for item in fields.items if item[0] == number][-1])


def drop_first(fields, number):
    fields.items.remove([item for item in fields.items if item[0] == number][0])


def shift_time(lineage):
    for item in lineage.items:
        if item[0] == 6 and item[1] == FIXED64 and len(lineage.all(7)) > 1:
            item[2] = (int.from_bytes(item[2], "little") + 1).to_bytes(8, "little")


@to_worker("seventeen-parents-kept", "deliver")
def _(link, frame):
    def change(record, _):
        lineage = Fields(record.get(1))
        if lineage.has(3):
            place = [item[0] for item in lineage.items].index(2)
            lineage.items.insert(place, [2, BYTES, lineage.all(2)[0]])
            record.set(1, lineage)
    frame.body.each(4, change)


# ---- Ids ----

def turned(data):
    return data[8:] + data[:8]


def flipped(data):
    return bytes([data[0] ^ 1]) + data[1:]


each_lineage("ids-with-halves-swapped", lambda link, lineage: lineage.set(1, turned(lineage.get(1))))
each_lineage("ids-of-sources-otherwise", lambda link, lineage: lineage.has(2) or lineage.set(1, flipped(lineage.get(1))))
each_lineage("ids-derived-otherwise", lambda link, lineage: lineage.has(2) and lineage.set(1, flipped(lineage.get(1))))
each_lineage("ids-of-more-than-16-parents-otherwise", lambda link, lineage: lineage.has(3) and lineage.set(1, flipped(lineage.get(1))))
each_lineage("ids-missing", lambda link, lineage: lineage.remove(1))


def is_again(link, lineage):
    key = (link.stage, lineage.get(1))
    seen = link.proxy.__dict__.setdefault("seen", set())
    again = key in seen
    seen.add(key)
    return again


each_lineage("ids-new-for-redeliveries", lambda link, lineage: is_again(link, lineage) and lineage.set(1, flipped(lineage.get(1))))


def by_attempt(link, lineage):
    attempts = [Fields(hop).get(3) for hop in lineage.all(7)]
    if len(attempts) > 1 and max(attempts) > 1:
        lineage.set(1, flipped(lineage.get(1)))


each_lineage("ids-by-attempt", by_attempt)


@to_broker("ids-by-order-of-emission", "settle")
def _(link, frame):
    """Ordinals count all emissions of an outcome, whatever port and parents."""
    link.notes.count = 0


@to_worker("ids-by-order-of-emission", "deliver")
def _(link, frame):
    def change(record, _):
        lineage = Fields(record.get(1))
        place = tuple(lineage.all(2))
        places = link.proxy.__dict__.setdefault("places", {}).setdefault(link.stage, [])
        if places and places[-1] != place and place:
            lineage.set(1, flipped(lineage.get(1)))
            record.set(1, lineage)
        places.append(place)
    frame.body.each(4, change)


@to_worker("removes-known-ids", "deliver")
def _(link, frame):
    """What was delivered to a stage before is not delivered again."""
    seen = link.proxy.__dict__.setdefault("seen", set())
    names = [(link.stage, Delivery(0, 0, 1, record).name) for record in frame.body.all(4)]
    if all(name in seen for name in names):
        return []
    seen |= set(names)


# ---- Runs ----

@to_worker("runs-never", "runs")
def _(link, frame):
    return []


@to_worker("runs-behind-deliver", "runs", "deliver")
def _(link, frame):
    if frame.kind == "runs":
        link.notes.__dict__.setdefault("runs", []).append(frame)
        return []
    return [frame] + link.notes.__dict__.pop("runs", [])


@to_worker("runs-for-the-first-session-only", "runs")
def _(link, frame):
    told = link.proxy.__dict__.setdefault("told", set())
    known = (link.stage, frame.body.encode())
    if known in told:
        return []
    told.add(known)


@to_worker("runs-that-change", "runs", "deliver")
def _(link, frame):
    if frame.kind == "runs":
        link.notes.runs = frame.body.all(1)
    elif getattr(link.notes, "runs", None):
        run = Fields(link.notes.runs[0])
        run.set(4, b"somebody else")
        return [frame, Frame.of("runs", (1, run))]


def in_runs(name, number):
    @to_worker(name, "runs")
    def _(link, frame):
        frame.body.each(1, lambda run, _: run.set(number, b"other" if number != 1 else run.get(1) + 1))


in_runs("runs-of-another-stage", 2)
in_runs("runs-of-another-version", 3)
in_runs("runs-of-another-instance", 4)
in_runs("runs-of-another-language", 5)

