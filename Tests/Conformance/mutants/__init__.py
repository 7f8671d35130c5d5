"""What can be wrong with a broker. A mutant is one or more of these functions under one name:

    @to_worker(name, kind, ...)    (link, frame)  a frame of the broker
    @to_broker(name, kind, ...)    (link, frame)  a frame of the worker
    @bytes_to_broker(name)         (link, data)   bytes of the worker as they come -> bytes
    @ending(name)                  (link)         the worker is gone -> whether the broker is to know
    @pipeline(name)                (pipeline)     the pipeline that the real broker gets, a mapping
    @control(name)                 (answer)       an answer of the control API, its JSON's bytes -> bytes

The first two return None to pass the frame on, changed or not, or a list of frames (or bytes) in its place. `link` is the
connection (link.py). A mutant ought to change one thing and nothing else: frames that it leaves alone keep their bytes.
"""

import importlib
import os
import pkgutil
import re
import sys

from fields import KINDS, Fields, Frame

REGISTRY = {}


def register(slot, name, value):
    REGISTRY.setdefault(name, {}).setdefault(slot, []).append(value)


def to_worker(name, *kinds):
    return lambda function: register("to_worker", name, (kinds, function)) or function


def to_broker(name, *kinds):
    return lambda function: register("to_broker", name, (kinds, function)) or function


def bytes_to_broker(name):
    return lambda function: register("bytes", name, function) or function


def ending(name):
    return lambda function: register("ending", name, function) or function


def pipeline(name):
    return lambda function: register("pipeline", name, function) or function


def control(name):
    return lambda function: register("control", name, function) or function


def names():
    """Of all mutants that there are."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return sorted(REGISTRY)


def load(name):
    if name and name not in names():
        print(f"there is no broker mutant {name}", file=sys.stderr)
        sys.exit(2)
    return Mutant(REGISTRY.get(name, {}))


class Delivery:
    def __init__(self, number, source, attempt, record):
        self.id, self.input, self.attempt, self.record = number, source, attempt, record
        fields = Fields(record)
        self.key = Fields(fields.get(2, b"")).get(3, b"")
        self.name = Fields(fields.get(1, b"")).get(1, b"")  # the record's id


class Mutant:
    def __init__(self, slots):
        self.slots = slots
        self.frames_of_worker = any(slot in slots for slot in ("to_worker", "to_broker", "ending"))
        self.frames_of_broker = self.frames_of_worker
        self.control = "control" in slots

    # ---- Frames ----

    def from_worker(self, link, content):
        """The bytes that go to the broker in place of this frame of the worker."""
        raw = len(content).to_bytes(4, "big") + content
        try:
            frame = Frame(content)
            if frame.kind == "hello" and link.hello is None:
                link.hello = Frame(content).body
        except ValueError:
            frame = None
        out = self.apply("to_broker", link, frame, raw)
        if frame is not None:
            self.note(link, content)
        return out

    def from_broker(self, link, content):
        raw = len(content).to_bytes(4, "big") + content
        frame = Frame(content)
        if frame.kind == "welcome":
            link.welcome = Frame(content).body
        link.is_closed = link.is_closed or frame.kind == "close"
        if frame.kind == "deliver":
            self.note_deliver(link, frame.body)
        return self.apply("to_worker", link, frame, raw)

    def apply(self, slot, link, frame, raw):
        kind = frame.kind if frame else "malformed"
        for kinds, function in self.slots.get(slot, ()):
            if kinds and kind not in kinds or not frame and not kinds:
                continue
            before = frame.encode() if frame else None
            try:
                result = function(link, frame)
            except ValueError:  # malformed within: it is for the broker to say so
                return raw
            if result is not None:
                return b"".join(item if isinstance(item, bytes) else item.encode() for item in result)
            if frame and frame.encode() != before:
                raw = frame.encode()
        return raw

    @staticmethod
    def note_deliver(link, body):
        attempts = body.numbers(3)
        for index, record in enumerate(body.all(4)):
            attempt = attempts[index] if index < len(attempts) else 1
            delivery = Delivery(body.get(2) + index, body.get(1), attempt, record)
            link.held[delivery.id] = link.given[delivery.id] = delivery

    @staticmethod
    def note(link, content):
        """What the worker has settled or claimed with this frame, after it was judged."""
        try:
            frame = Frame(content)
            if frame.kind == "claim":
                link.claims.setdefault(frame.body.get(1, b""), 0)
            for outcome in frame.body.all(1) if frame.kind == "settle" else ():
                for number in covered(Fields(outcome), link.held):
                    link.held.pop(number, None)
        except (ValueError, TypeError):
            pass

    # ---- The rest ----

    def bytes_of_worker(self, link, data):
        for function in self.slots.get("bytes", ()):
            data = function(link, data)
        return data

    def gone(self, link):
        results = [function(link) for function in self.slots.get("ending", ())]
        return False not in results

    def answer(self, request, answer):
        head, _, body = answer.partition(b"\r\n\r\n")
        for function in self.slots.get("control", ()):
            body = function(body)
        head = re.sub(rb"(?i)content-length: \d+", b"Content-Length: %d" % len(body), head)
        return head + b"\r\n\r\n" + body

    def pipeline_file(self, path):
        if "pipeline" not in self.slots:
            return path
        import yaml

        with open(path, encoding="utf-8") as file:
            content = yaml.safe_load(file)
        for function in self.slots["pipeline"]:
            function(content)
        changed = os.path.join(os.path.dirname(path), "changed.yaml")
        with open(changed, "w", encoding="utf-8") as file:
            yaml.safe_dump(content, file, sort_keys=False, allow_unicode=True)
        return changed


def is_again():
    """Whether the broker has been killed and has begun again, in the same directory."""
    return int(os.environ.get("BEGINNING", 1)) > 1


def memory(proxy):
    """A mapping of a mutant's own that outlives the proxy: it is written down with every frame."""
    return proxy.memory


def covered(outcome, among):
    """Delivery ids of an outcome, as far as they are among these."""
    ranges = [(outcome.get(1), outcome.get(2) or outcome.get(1))]
    for item in outcome.all(7):
        part = Fields(item)
        ranges.append((part.get(1), part.get(2) or part.get(1)))
    return [number for number in among if any(first <= number <= last for first, last in ranges)]


# Nothing is changed, but every frame is taken apart: what mutants stand on must be right by itself.
@to_worker("nothing")
def _(link, frame):
    return [frame] if frame.kind != "welcome" else None


@to_broker("nothing", *[kind for kind in KINDS if kind])
def _(link, frame):
    return None
