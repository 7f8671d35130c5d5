"""Another code than the right one in Close, in a Refusal, or as a dead letter's reason; faults that nobody minds."""

import json

from fields import Fields
from . import control, to_worker

# The code that the broker closes with, the one that this mutant closes with, and an end to its name.
SWAPPED = [
    (100, 107), (101, 100), (102, 100), (103, 102), (104, 105), (105, 104), (106, 200), (107, 100), (108, 101),
    (109, 103), (110, 202), (111, 100), (200, 103), (201, 202), (202, 201), (203, 206), (204, 206), (205, 206),
    (206, 205), (207, 212), (208, 210), (209, 210), (210, 209), (211, 212), (212, 211), (213, 210),
]
REFUSALS = [(304, 305), (305, 304), (306, 300)]
REASONS = [("REJECTED", "CRASHED"), ("ATTEMPTS_EXHAUSTED", "EXPIRED"), ("EXPIRED", "ATTEMPTS_EXHAUSTED"), ("CRASHED", "REJECTED")]


def swap_close(code, other):
    @to_worker(f"close-{code}-is-{other}", "close")
    def _(link, frame):
        if frame.body.get(1) == code:
            frame.body.set(1, other)

    @to_worker(f"close-{code}-never", "close")
    def _(link, frame):
        if frame.body.get(1) == code:
            link.sever()
            return []


def swap_refusal(code, other):
    @to_worker(f"refusal-{code}-is-{other}", "settled", "committed")
    def _(link, frame):
        def change(refusal, _):
            error = Fields(refusal.get(2, b""))
            if error.get(1) == code:
                error.set(1, other)
                refusal.set(2, error)
        frame.body.each(2 if frame.kind == "settled" else 3, change)


def in_letters(name, change):
    """`change(letter)` for every dead letter that the control API shows; one alone stands beside its details."""
    @control(name)
    def _(answer):
        shown = json.loads(answer)
        for letter in shown.get("letters", []) + [shown[key] for key in ("letter",) if key in shown]:
            change(letter)
        for key in shown.keys() & {"root"}:
            change(shown)
        return json.dumps(shown).encode()


def replaced(member, value, other):
    def change(letter):
        if letter.get(member) == value:
            letter[member] = other
    return change


def swap_reason(reason, other):
    name = f"reason-{reason}-is-{other}".lower().replace("_", "-")
    in_letters(name, replaced("reason", reason, other))


for pair in SWAPPED:
    swap_close(*pair)
for pair in REFUSALS:
    swap_refusal(*pair)
for pair in REASONS:
    swap_reason(*pair)


@to_worker("close-of-a-delivery", "close")
def _(link, frame):
    """Delivery codes stand in refusals and dead letters only."""
    if frame.body.get(1) in (205, 206):
        frame.body.set(1, 300)


@to_worker("close-without-a-sentence", "close")
def _(link, frame):
    frame.body.remove(2)


@to_worker("close-with-a-book", "close")
def _(link, frame):
    if frame.body.get(1):
        frame.body.set(2, b"much to say " * 1000)


@to_worker("ends-without-close", "close")
def _(link, frame):
    if frame.body.get(1):
        link.sever()
        link.worker.end()
        return []


@to_worker("talks-behind-close", "close")
def _(link, frame):
    link.worker.outbound += frame.encode()
    link.tell_worker("ping", (1, 1))
    return []


def other_error(letter):
    if letter.get("error", {}).get("code", 0) >= 1000:
        letter["error"]["code"] += 1


def other_cause(letter):
    if letter.get("error", {}).get("code") == 207:
        letter["error"]["code"] = 301


in_letters("dead-letter-with-another-error", other_error)
in_letters("dead-letter-of-a-lease-without-error", other_cause)
in_letters("dead-letter-without-its-attempts", lambda letter: letter.update(attempts=1))
in_letters("dead-letter-without-lineage", lambda letter: letter.pop("root", None))
