#!/usr/bin/env python3
"""Checks conformance/vectors: against docs/PROTOCOL.md, proto/, `protoc`, Python's protobuf, a strict reader of the rules
(strict.py) and the hash of Tests/ProtocolDoc; and that generate.py leaves no difference.

    check.py    prints what is wrong and exits with 1
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "conformance/vectors"
sys.path[:0] = [str(VECTORS), str(ROOT / "Tests/ProtocolDoc")]

from google.protobuf import text_format  # noqa: E402
from google.protobuf.message import DecodeError  # noqa: E402

import generate  # noqa: E402
import murmur3  # noqa: E402
import rules  # noqa: E402
import strict  # noqa: E402
import wire  # noqa: E402
from generator import form  # noqa: E402

SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
LEAST = 150
TO_WORKER = "welcome close ping pong credit deliver committed settled drain runs claimed".split()
TO_BROKER = "hello close ping pong credit settle emit extend claim finished".split()
# Codes whose fault is in the bytes alone, so that strict.py sees it; the others need a session to be wrong in.
IN_THE_BYTES = {"MALFORMED_FRAME", "INVALID_OUTPUT"}
MEMBERS = {
    "frames": {"name", "rule", "what", "hex", "json", "canonical", "usual", "invalid", "ignored", "state", "stage", "held", "limit"},
    "outputs": {"name", "rule", "what", "hex", "json", "canonical", "usual", "invalid", "key"},
    "ids": {"name", "rule", "what", "of", "input", "origin", "hex"},
    "splits": {"name", "rule", "what", "limit", "hex", "frames", "rest", "invalid"},
    "exits": {"name", "rule", "what", "hex", "exit", "retryable", "json", "eof", "closes"},
}
SHAPES = {
    "frames-to-worker": "frames", "frames-to-broker": "frames", "frames-invalid": "frames", "outputs-valid": "outputs",
    "outputs-invalid": "outputs", "traces": "outputs", "ids": "ids", "splits": "splits", "exit-codes": "exits"
}
KINDS = {"outputs-valid": "Record", "outputs-invalid": "Record", "traces": "TraceContext"}


class Check:

    def __init__(self):
        self.problems = []
        self.classes = form.message_classes()
        text = (ROOT / "docs/PROTOCOL.md").read_text()
        self.order = re.findall(r"^- \*\*([A-Z]{2}-\d+)\*\*", text, re.M)
        self.rules = set(self.order)
        # number -> (name, retryable), from the table of codes.
        self.codes = {
            int(number): (name, retry == "yes")
            for number, name, retry in re.findall(r"^\| (\d+) \| ([A-Z_]+) \| [^|]* \| (yes|no|–) \|", text, re.M)
        }
        self.files = {path.stem: json.loads(path.read_text()) for path in sorted(VECTORS.glob("*.json"))}
        self.set_fields = set()

    def expect(self, condition, place, text):
        if not condition:
            self.problems.append(f"{place}: {text}")

    def each(self, *names):
        for name in names:
            for vector in self.files[name]:
                yield f"{name}/{vector['name']}", vector

    def parse(self, place, kind, content):
        """What Python's protobuf makes of it; an empty message, and a problem, when it refuses it."""
        message = self.classes[kind]()
        try:
            message.ParseFromString(content)
        except DecodeError as error:
            self.expect(False, place, f"protobuf refuses it: {error}")
        return message


def check_shapes(check):
    names = {code for code, _ in check.codes.values()}
    check.expect(set(check.files) == set(SHAPES), "conformance/vectors", f"files {sorted(set(check.files) ^ set(SHAPES))}")
    for file, vectors in check.files.items():
        slugs = [vector["name"] for vector in vectors]
        for slug in {slug for slug in slugs if slugs.count(slug) > 1}:
            check.expect(False, file, f"two vectors named {slug}")
        for vector in vectors:
            place = f"{file}/{vector['name']}"
            check.expect(SLUG.fullmatch(vector["name"]), place, "the name is no slug")
            check.expect(set(vector) <= MEMBERS[SHAPES[file]], place, f"members {set(vector) - MEMBERS[SHAPES[file]]}")
            check.expect(vector["rule"] and set(vector["rule"]) <= check.rules, place, f"rules {vector['rule']}")
            check.expect(vector["what"].endswith("."), place, "what is no sentence")
            if SHAPES[file] in ("frames", "outputs"):
                check.expect(("json" in vector) != ("invalid" in vector), place, "needs json or invalid")
            if "invalid" in vector:
                check.expect(vector["invalid"]["code"] in names, place, f"no code {vector['invalid']['code']}")
                check.expect(vector["invalid"].get("by", "broker") in ("broker", "worker"), place, "refused by nobody")
    total = sum(map(len, check.files.values()))
    check.expect(total >= LEAST, "conformance/vectors", f"{total} vectors are fewer than {LEAST}")


def content_of(check, place, vector):
    """A frame without its prefix, which has to fit."""
    data = form.expand_hex(vector["hex"])
    check.expect(int.from_bytes(data[:4], "big") == len(data) - 4, place, "the length prefix is wrong")
    return data[4:]


def check_meaning(check, place, kind, content, vector):
    """The bytes mean the JSON: for Python's protobuf, and for protoc, a library of another language."""
    meaning = wire.fill(check.classes[kind](), form.expand_json(vector["json"]))
    expected = meaning.SerializeToString(deterministic=True)
    parsed = check.parse(place, kind, content)
    parsed.DiscardUnknownFields()
    check.expect(parsed.SerializeToString(deterministic=True) == expected, place, "the bytes do not say what the JSON says")
    check.expect(vector["canonical"] == (content == expected), place, "canonical is not true")
    usual = form.expand_hex(vector.get("usual", vector["hex"]))
    check.expect(usual[4 * (kind == "Envelope"):] == expected, place, "the usual encoding is another")
    check.expect(vector["canonical"] == ("usual" not in vector), place, "canonical and usual")
    protoc = subprocess.run(["protoc", f"-I{ROOT / 'proto'}", f"--decode=stagewire.v1.{kind}", *wire.PROTOS],
                            input=content, capture_output=True)
    check.expect(protoc.returncode == 0, place, f"protoc refuses it: {protoc.stderr.decode()}")
    text = protoc.stdout.decode("utf-8")
    read = check.classes[kind]()
    try:
        text_format.Parse(text, read, allow_unknown_field=True, allow_field_number=True)
    except text_format.ParseError as error:
        check.expect(False, place, f"what protoc prints cannot be read: {error}")
    read.DiscardUnknownFields()
    check.expect(read.SerializeToString(deterministic=True) == expected, place, "protoc reads something else")
    note_fields(check, meaning)


def note_fields(check, message):
    for field, value in message.ListFields():
        check.set_fields.add(field.full_name)
        if field.message_type is not None:
            for item in value if wire.is_repeated(field) else [value]:
                note_fields(check, item)


def check_frames(check):
    envelope = check.classes["Envelope"].DESCRIPTOR
    for file, kinds in (("frames-to-worker", TO_WORKER), ("frames-to-broker", TO_BROKER)):
        met = set()
        for place, vector in check.each(file):
            content = content_of(check, place, vector)
            check_meaning(check, place, "Envelope", content, vector)
            kind = set(vector["json"]) - {"version"}
            check.expect(len(kind) == 1 or vector.get("ignored"), place, "neither one kind nor ignored")
            met |= kind
            flaw = strict.judge(strict.envelope, content, envelope)
            check.expect(flaw is None, place, f"breaks the rules: {flaw}")
        check.expect(met == set(kinds), file, f"kinds {sorted(met ^ set(kinds))}")
    for place, vector in check.each("frames-invalid"):
        if vector["invalid"]["code"] == "FRAME_TOO_LARGE":
            prefix = int.from_bytes(form.expand_hex(vector["hex"])[:4], "big")
            check.expect(prefix > vector["limit"], place, "within its limit")
            continue
        content = content_of(check, place, vector)
        flaw = strict.judge(strict.envelope, content, envelope)
        version = vector["invalid"]["code"] == "UNSUPPORTED_VERSION"
        malformed = vector["invalid"]["code"] in IN_THE_BYTES | {"MALFORMED_HELLO"}
        # A Hello may break the limits of its fields, which strict.py does not know; an unsupported version comes first.
        if vector["invalid"]["code"] != "MALFORMED_HELLO" and not version and vector["name"] not in (
                "emit-partition-utf8", ):
            check.expect((flaw is not None) == malformed, place, f"found in the bytes: {flaw}")


def check_outputs(check):
    for file, kind in KINDS.items():
        judge = strict.trace if kind == "TraceContext" else strict.output
        for place, vector in check.each(file):
            content = form.expand_hex(vector["hex"])
            flaw = strict.judge(judge, content, check.classes[kind].DESCRIPTOR)
            check.expect((flaw is not None) == ("invalid" in vector), place, f"found in the bytes: {flaw}")
            if "json" not in vector:
                continue
            check_meaning(check, place, kind, content, vector)
            if kind == "Record":
                key = wire.fill(check.classes["Record"](), {"header": {"key": form.expand_json(vector["key"])}}).header.key
                check.expect(check.parse(place, kind, content).header.key == key, place, "protobuf finds another key")


def check_fields(check):
    """Every field of proto/ is set in some valid vector, so that none can be forgotten."""
    not_set = {"Deliver.stream", "Deliver.partition", "Deliver.sequence"}  # not in 1.0
    for message in {field.split(".")[-2] for field in check.set_fields}:
        descriptor = check.classes["Envelope"].DESCRIPTOR.file.message_types_by_name.get(message) \
            or check.classes["Record"].DESCRIPTOR.file.message_types_by_name[message]
        for field in descriptor.fields:
            name = f"{message}.{field.name}"
            check.expect(field.full_name in check.set_fields or name in not_set, "conformance/vectors",
                         f"{name} is set nowhere")


def check_ids(check):
    for failure in murmur3.failures():
        check.expect(False, "Tests/ProtocolDoc/murmur3.py", failure)
    for place, vector in check.each("ids"):
        given = vector["input"]
        if vector["of"] in ("hash", "key"):
            content = form.expand_hex(given)
            value = murmur3.digest(content).hex() if vector["of"] == "hash" else f"{murmur3.key_hash(content):016x}"
        elif vector["of"] == "source":
            names = given["pipeline"], given["stage"], given["partition"]
            value = murmur3.source_id(*names, given["emit_id"], given["ordinal"]).hex()
            check.expect(vector["origin"] == murmur3.origin(*names).hex(), place, "another origin")
        else:
            names = given["pipeline"], given["stage"], given["port"]
            value = murmur3.derived_id(*names, [bytes.fromhex(parent) for parent in given["parents"]],
                                       given["ordinal"]).hex()
            check.expect(vector["origin"] == murmur3.origin(*names).hex(), place, "another origin")
        check.expect(vector["hex"] == value, place, f"murmur3 says {value}")


def split(data, sizes, limit):
    """The frames of `data` when it comes in pieces of `sizes`, in turn: (at, content) of each, what is left, the code."""
    found, buffer, at, start, turn = [], b"", 0, 0, 0
    while start < len(data) or turn == 0:
        size = sizes[turn % len(sizes)]
        buffer += data[start:start + size]
        start, turn = start + size, turn + 1
        while len(buffer) >= 4:
            length = int.from_bytes(buffer[:4], "big")
            if length > limit or not length:
                return found, len(data) - at, "FRAME_TOO_LARGE" if length else "MALFORMED_FRAME"
            if len(buffer) < 4 + length:
                break
            found.append((at, buffer[4:4 + length]))
            buffer, at = buffer[4 + length:], at + 4 + length
    return found, len(buffer), None


def check_splits(check):
    for place, vector in check.each("splits"):
        data = form.expand_hex(vector["hex"])
        for sizes in ([1], [2], [3], [7, 1], [4, 100], [1000], [max(1, len(data))]):
            if sizes == [1] and len(data) > 20000:
                continue
            found, rest, code = split(data, sizes, vector["limit"])
            check.expect((rest, code) == (vector["rest"], vector.get("invalid", {}).get("code")), place,
                         f"{rest} bytes left, {code}")
            check.expect(
                [(at, len(content)) for at, content in found] == [(f["at"], f["length"]) for f in vector["frames"]], place,
                f"other frames in pieces of {sizes}")
        for (_, content), frame in zip(found, vector["frames"]):
            meaning = wire.fill(check.classes["Envelope"](), form.expand_json(frame["json"]))
            parsed = check.parse(place, "Envelope", content)
            check.expect(parsed == meaning, place, "a frame says something else than its JSON")


def check_exits(check):
    met = {}
    for place, vector in check.each("exit-codes"):
        data = form.expand_hex(vector["hex"])
        if vector.get("eof") or vector.get("closes"):
            check.expect(vector["exit"] == (1 if vector.get("eof") else 2), place, "another exit code")
            continue
        close = check.parse(place, "Envelope", content_of(check, place, vector)).close
        _, retryable = check.codes.get(close.code, ("", False))
        expected = 0 if close.code == 0 else 1 if retryable else 2
        check.expect((vector["exit"], vector["retryable"]) == (expected, retryable), place, f"PROTOCOL.md: exit {expected}")
        if "json" in vector:
            meaning = wire.fill(check.classes["Envelope"](), form.expand_json(vector["json"]))
            check.expect(wire.frame(meaning) == data, place, "the bytes do not say what the JSON says")
        met[close.code] = check.codes.get(close.code, ("", ))[0]
    for code, (name, _) in check.codes.items():
        check.expect(met.get(code) == name, "exit-codes", f"no vector for {code} {name}")


def main():
    check = Check()
    texts = {subject.file: subject.text() for subject in generate.subjects()}
    for name in generate.stale(texts):
        check.expect(False, f"conformance/vectors/{name}", "not what generate.py writes; run it and commit the difference")
    for part in (check_shapes, check_frames, check_outputs, check_fields, check_ids, check_splits, check_exits):
        part(check)
    obligations = rules.check(check)
    for problem in check.problems:
        print(problem, file=sys.stderr)
    sizes = ", ".join(f"{len(vectors)} {name}" for name, vectors in check.files.items())
    print(f"{sum(map(len, check.files.values()))} vectors ({sizes}); {obligations} obligations")
    return 1 if check.problems else 0


if __name__ == "__main__":
    sys.exit(main())
