"""The conformance stage (conformance/README.md), with nothing but the public SDK. STAGEWIRE_STAGE says which one."""

import os
import sys
import time
from dataclasses import dataclass

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import stagewire  # noqa: E402

UNKNOWN_DIRECTIVE = 1999
PORTS = {"out", "side"}
POLL_SECONDS = 0.05  # a shorter pause of the source is slept through


# ---- transform, ordered ----


def follow(record, config):
    """Carries out the payload's directives, from left to right."""
    for directive in directives_of(record):
        yield from carry_out(directive, record, config)


transform = stagewire.transform(follow)
ordered = stagewire.transform(follow, workers=4)


def directives_of(record) -> list[str]:
    try:
        text = record.text()
    except UnicodeDecodeError:
        raise stagewire.Reject(UNKNOWN_DIRECTIVE, "the payload is not text") from None
    return text.split(";") if text else []


def carry_out(directive: str, record, config):
    """Yields what the directive emits; raises its verdict."""
    name, *words = directive.split(" ")
    match name, words:
        case "echo", []:
            yield record.emit(port="out")
        case "emit", [count, *rest] if len(rest) <= 2 and set(rest[1:]) <= PORTS:
            yield from emit(record, number(count), number(rest[0]) if rest else 0, *rest[1:])
        case "attempt", []:
            yield record.emit(payload=b"%d" % record.attempt, port="out", keep_header=True)
        case "id", []:
            yield record.emit(payload=record.id.encode(), port="out", keep_header=True)
        case "config", []:
            yield record.emit(json=config, port="out", keep_header=True)
        case "env", [variable]:
            value = os.environ.get(variable)
            if value is not None:
                yield record.emit(payload=os.fsencode(value), port="out", keep_header=True)
        case _:
            obey(name, words)


def emit(record, count: int, size: int, port: str = "out"):
    for i in range(count):
        yield record.emit(payload=b"%d" % i + b" " * (size - len(str(i))), port=port, keep_header=True)


def obey(name: str, words: list[str]) -> None:
    """The directives that emit nothing."""
    match name, words:
        case "wait", [milliseconds]:
            time.sleep(number(milliseconds) / 1000)
        case "reject", [*_]:
            code, text = error_of(words)
            raise stagewire.Reject(code, text)
        case "retry", [*_]:
            code, text = error_of(words[1:])
            raise stagewire.Retry(number(words[0]) / 1000 if words else 0, text, code)
        case "release", []:
            raise stagewire.Release
        case "throw", [*_]:
            raise RuntimeError(" ".join(words))
        case "exit", [code]:
            os._exit(number(code))
        case _:
            unknown(" ".join([name, *words]))


def error_of(words: list[str]) -> tuple[int, str]:
    """CODE and TEXT, as far as they are there."""
    return number(words[0]) if words else 1000, " ".join(words[1:])


def number(word: str) -> int:
    if not (word.isascii() and word.isdecimal()):
        unknown(word)
    return int(word)


def unknown(what: str):
    raise stagewire.Reject(UNKNOWN_DIRECTIVE, f"no such directive: {what}")


# ---- source ----


@dataclass
class Numbers:
    partition: str = "p"
    records: int = 10
    per_emit: int = 2  # records
    size: int = 0  # bytes of a payload, at least
    keys: int = 3
    pause_ms: int = 0  # between two Emits
    stay: bool = False


@stagewire.source(partitions=lambda config: [config.partition])
def source(partition, config: Numbers):
    """Emits the numbers behind the checkpoint."""
    last = begin = int(partition.checkpoint_bytes or b"0")
    while last < config.records:
        if last > begin:
            yield from pause(config.pause_ms / 1000)
        numbers = range(last + 1, min(last + config.per_emit, config.records) + 1)
        last = numbers[-1]
        yield [numbered(n, config) for n in numbers], b"%d" % last
    while config.stay:
        yield None


def numbered(n: int, config: Numbers):
    return stagewire.emission(payload=b"%d" % n + b" " * (config.size - len(str(n))), key=f"k{n % config.keys}", port="out")


def pause(seconds: float):
    """Leaves the waiting to the SDK, which knows when the worker is to stop, except for the last of it."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if left < POLL_SECONDS:
            time.sleep(left)
        else:
            yield None


# ---- window ----


@dataclass
class Gathering:
    """0: no such bound."""

    records: int = 3
    seconds: float = 0
    by_key: bool = False


def bounds_of(config: Gathering) -> stagewire.Bounds:
    return stagewire.Bounds(records=config.records or None, seconds=config.seconds or None, by_key=config.by_key)


@stagewire.window(bounds=bounds_of)
def window(given, config: Gathering):
    """Joins the payloads, unless one of them says otherwise."""
    for record in given:
        if record.payload.startswith((b"reject", b"retry", b"release", b"wait")):
            for directive in directives_of(record):
                name, *words = directive.split(" ")
                obey(name, words)
            break
    yield stagewire.emission(payload=b",".join([each.payload for each in given]), key=given.key, port="out")


STAGES = {"transform": transform, "ordered": ordered, "source": source, "window": window}


def main() -> None:
    name = os.environ.get("STAGEWIRE_STAGE", "")
    if name not in STAGES:
        print(f"STAGEWIRE_STAGE is {name!r}: this worker implements {', '.join(STAGES)}", file=sys.stderr)
        sys.exit(2)
    stagewire.run(STAGES[name])


if __name__ == "__main__":
    main()
