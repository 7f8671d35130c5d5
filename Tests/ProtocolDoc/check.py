#!/usr/bin/env python3
"""Checks docs/PROTOCOL.md against proto/, Codes.swift, Limits.swift and its own worked examples.

    check.py            check; prints what is wrong and exits with 1
    check.py --write    first renew the hex blocks and conformance/vectors/worked from the JSON blocks

An example is a pair of blocks, ```json NAME and ```hex NAME: one Envelope and its frame.
"""

import ast
import json
import re
import sys

from google.protobuf.message import DecodeError

import murmur3
import wire

DOC = wire.ROOT / "docs/PROTOCOL.md"
VECTORS = wire.ROOT / "conformance/vectors/worked"
MODEL = wire.ROOT / "Sources/StagewireModel"
BLOCK = re.compile(r"^```(\w+) ?([\w-]*)\n(.*?)^```$", re.M | re.S)
RULE = re.compile(r"^- \*\*([A-Z]{2}-\d+)\*\* (.*(?:\n  .*)*)", re.M)
AREAS = "FR VR HS LM CR DE ST OR LE RT SO RE LI LV EN EX ER".split()
NOT_FOR_PEERS = {"straggling", "journalBytes", "backlogBytes"}  # limits that no peer can meet
MAX_WORDS = 4500  # one sitting: prose without tables and examples


class Report:
    def __init__(self):
        self.problems = []
        self.counts = {}

    def expect(self, condition, text):
        if not condition:
            self.problems.append(text)

    def count(self, what, number):
        self.counts[what] = number


def examples(text):
    """NAME -> (JSON text, hex text)"""
    blocks = {kind: {} for kind in ("json", "hex")}
    for kind, name, body in BLOCK.findall(text):
        if kind in blocks and name:
            blocks[kind][name] = body
    return {name: (blocks["json"].get(name), blocks["hex"].get(name)) for name in {**blocks["json"], **blocks["hex"]}}


def build(envelope, source):
    return wire.fill(envelope(), json.loads(source))


def write(text, envelope):
    """`text` with every hex block renewed; the same frames as vectors for the conformance suite."""
    VECTORS.mkdir(parents=True, exist_ok=True)
    for old in [*VECTORS.glob("*.hex"), *VECTORS.glob("*.json")]:
        old.unlink()
    for number, (name, (source, _)) in enumerate(examples(text).items(), 1):
        data = wire.frame(build(envelope, source))
        body = "\n".join(wire.annotate(data, envelope.DESCRIPTOR))
        text = re.sub(rf"(^```hex {name}\n).*?(^```$)", lambda m: f"{m[1]}{body}\n{m[2]}", text, flags=re.M | re.S)
        (VECTORS / f"{number:02}-{name}.hex").write_text(body + "\n")
        (VECTORS / f"{number:02}-{name}.json").write_text(source)
    return text


def check_examples(text, envelope, report):
    """Every hex block decodes to the JSON beside it, and is what protobuf itself would write."""
    decoded = {}
    for number, (name, (source, block)) in enumerate(examples(text).items(), 1):
        if source is None or block is None:
            report.expect(False, f"example {name}: needs a json and a hex block")
            continue
        data = wire.unannotate(block)
        if int.from_bytes(data[:4], "big") != len(data) - 4:
            report.expect(False, f"example {name}: wrong length prefix")
            continue
        message = envelope()
        try:
            message.ParseFromString(data[4:])
        except DecodeError as error:
            report.expect(False, f"example {name}: {error}")
            continue
        report.expect(message == build(envelope, source), f"example {name}: the bytes do not say what the JSON says")
        report.expect(wire.frame(message) == data, f"example {name}: not the encoding that protobuf writes")
        report.expect(block.strip() == "\n".join(wire.annotate(data, envelope.DESCRIPTOR)).strip(),
                      f"example {name}: annotations are stale, run check.py --write")
        for suffix, content in (("hex", block), ("json", source)):
            vector = VECTORS / f"{number:02}-{name}.{suffix}"
            same = vector.exists() and vector.read_text() == content
            report.expect(same, f"{vector.name} differs from the document, run check.py --write")
        decoded[name] = message
    report.count("examples", len(decoded))
    return decoded


def check_values(text, decoded, report):
    """The ids, hashes and sizes that the text states are those of the examples."""
    for failure in murmur3.failures():
        report.expect(False, f"the checker's hash is wrong: {failure}")
    missing = {"welcome", "deliver", "settle", "emit"} - decoded.keys()
    if missing:
        report.expect(False, f"examples missing or broken: {', '.join(sorted(missing))}")
        return
    origin = murmur3.origin("sensors", "ingest", "readings.csv")
    source = murmur3.source_id("sensors", "ingest", "readings.csv", 1, 0)
    derived_origin = murmur3.origin("sensors", "normalise", "out")
    derived = murmur3.derived_id("sensors", "normalise", "out", [source], 0)
    record = decoded["deliver"].deliver.records[0]
    output = decoded["settle"].settle.outcomes[0].emissions[0].output
    emitted = decoded["emit"].emit.emissions[0].output
    reserve = decoded["welcome"].welcome.stamp_reserve
    report.expect(record.lineage.id == source, "the delivered record's id is not the computed one")
    report.expect(emitted.header == record.header and emitted.payload == record.payload,
                  "the delivered record is not the emitted one")
    stated = {
        "origin of the source": origin.hex(), "id of the source's record": source.hex(),
        "origin of the derived record": derived_origin.hex(), "id of the derived record": derived.hex(),
        "key hash": f"0x{murmur3.key_hash(b'sensor-7'):016x}",
        "charge of the delivery": f"1 record and {record.ByteSize()} bytes",
        "charge of the settle's emission": f"{output.ByteSize()} + {reserve} = {output.ByteSize() + reserve:,} bytes",
        "charge of the emit's emission": f"{emitted.ByteSize()} + {reserve} = {emitted.ByteSize() + reserve:,} bytes",
    }
    for what, value in stated.items():
        report.expect(value in text, f"{what} should be stated as: {value}")
    report.count("stated values", len(stated))


def check_rules(text, report):
    """Ids are unique and consecutive per area; every rule says MUST, SHOULD or MAY, or defines a term."""
    rules = RULE.findall(text)
    seen = {}
    for name, body in rules:
        area, number = name.split("-")
        report.expect(area in AREAS, f"{name}: unknown area")
        seen[area] = seen.get(area, 0) + 1
        report.expect(int(number) == seen[area], f"{name}: expected {area}-{seen[area]}")
    names = {name for name, _ in rules}
    for area in AREAS:
        report.expect(area in seen, f"no rule in area {area}")
    for name in set(re.findall(r"\b([A-Z]{2}-\d+)\b", text)):
        report.expect(name.split("-")[0] not in AREAS or name in names, f"{name} is referred to but not defined")
    report.count("rules", len(rules))


def check_fields(text, files, report):
    """Every field and every enum value of proto/ is mentioned outside the examples."""
    words = set(re.findall(r"\w+", text))
    total = 0
    for file in files.file:
        for message in file.message_type:
            for field in message.field:
                total += 1
                # A message kind goes by its type's name in the text.
                mentioned = field.name in words or message.name == "Envelope" and field.name.capitalize() in words
                report.expect(mentioned, f"{message.name}.{field.name} is not mentioned")
        for enum in file.enum_type:
            prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper() + "_"
            for value in enum.value:
                name = value.name.removeprefix(prefix)
                total += 1
                report.expect(name in words or name.replace("_", "-").lower() in text,
                              f"{value.name} is not mentioned")
    report.count("fields and enum values", total)


def check_codes(text, report):
    """The table of codes is the list of Codes.swift: number, name, and whether a retry can help."""
    swift = (MODEL / "Codes.swift").read_text()
    numbers = {case: int(raw) for case, raw in re.findall(r"case (\w+) = (\d+)", swift)}
    names = dict(re.findall(r'case \.(\w+): "([A-Z_]+)"', swift))
    body = re.search(r"var isRetryable.*?case (.*?):\s*\n\s*true", swift, re.S)[1]
    retryable = set(re.findall(r"\.(\w+)", body))
    table = {int(n): (name, yes) for n, name, yes in
             re.findall(r"^\| (\d+) \| ([A-Z_]+) \| [^|]* \| (yes|no|–) \|", text, re.M)}
    for case, number in numbers.items():
        row = table.pop(number, None)
        if row is None:
            report.expect(False, f"code {number} {names[case]} is not in the table")
            continue
        report.expect(row[0] == names[case], f"code {number} is {names[case]}, not {row[0]}")
        if number >= 100:
            report.expect((row[1] == "yes") == (case in retryable), f"{names[case]}: retryable differs from Codes.swift")
    for number in table:
        report.expect(False, f"code {number} of the table is not in Codes.swift")
    report.count("codes", len(numbers))


def arithmetic(expression):
    """The value of a product of integers such as `16 * 1024`; None for anything else."""
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
    except SyntaxError:
        return None
    if isinstance(tree, ast.Constant) and isinstance(tree.value, int):
        return tree.value
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Mult):
        return arithmetic(ast.unparse(tree.left)) * arithmetic(ast.unparse(tree.right))
    return None


def check_limits(text, report):
    """Each number in the table of limits is the one that Limits.swift or Pipeline.swift gives the same name."""
    found = {}
    for path in ("Limits.swift", "Pipeline.swift"):
        swift = (MODEL / path).read_text()
        for name, value in re.findall(r"(?:let|var) (\w+)(?:: \w+\??)? = ([\d_ *]+)$", swift, re.M):
            found[name] = arithmetic(value)
        for name, unit, value in re.findall(r"var (\w+)(?:: Duration\??)? = (?:Duration)?\.(\w+)\(([\d_]+)\)", swift) + \
                re.findall(r"var (\w+): Duration\?? = \.(\w+)\(([\d_]+)\)", swift):
            found[name] = int(value) * (1000 if unit == "seconds" else 1)
    rows = re.findall(r"^\| [^|]+ \| ([\d,]+) ?[^|]* \| `(\w+)` \|$", text, re.M)
    for number, name in rows:
        report.expect(name in found, f"limit {name} is not in Limits.swift or Pipeline.swift")
        value = int(number.replace(",", ""))
        report.expect(found.get(name, value) == value, f"limit {name} is {found.get(name)}, the table says {value}")
    mentioned = {name for _, name in rows}
    swift = (MODEL / "Limits.swift").read_text()
    for name in re.findall(r"(?:static let|public var) (\w+)(?:: \w+)? =", swift):
        report.expect(name in mentioned | NOT_FOR_PEERS, f"limit {name} of Limits.swift is not in the table")
    report.count("limits", len(rows))


def check_length(text, report):
    prose = [line for line in BLOCK.sub("", text).splitlines() if not line.startswith("|")]
    words = len(" ".join(prose).split())
    report.expect(words <= MAX_WORDS, f"{words} words of prose; one sitting is {MAX_WORDS}")
    report.count("words", words)


def main():
    files = wire.descriptors()
    envelope = wire.envelope_class(files)
    text = DOC.read_text()
    if "--write" in sys.argv[1:]:
        text = write(text, envelope)
        DOC.write_text(text)
    report = Report()
    prose = BLOCK.sub("", text)
    decoded = check_examples(text, envelope, report)
    check_values(prose, decoded, report)
    check_rules(prose, report)
    check_fields(prose, files, report)
    check_codes(prose, report)
    check_limits(prose, report)
    check_length(text, report)
    for problem in report.problems:
        print(f"docs/PROTOCOL.md: {problem}", file=sys.stderr)
    print(", ".join(f"{number} {what}" for what, number in report.counts.items()))
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
