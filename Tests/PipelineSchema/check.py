#!/usr/bin/env python3
"""Holds the JSON Schema against what `stagewire check` says.

    check.py PROGRAM        PROGRAM: the stagewire to ask

What the program accepts the schema accepts, too: every example of the documents and each of thousands of mutations of
a pipeline with every key. What the schema is for it refuses: the files in BROKEN, and most wrong types.
"""

import concurrent.futures
import copy
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

import jsonschema
import yaml

import core_yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "Tests/StagewireConfigTests/Golden"
FULL = pathlib.Path(__file__).with_name("full.yaml")

# Golden files whose mistakes are of structure, and so the schema's affair.
BROKEN = """comment-only durations empty environment limits missing-parts names
resources source-rules stages-as-list unknown-keys wrong-types""".split()

# Stands for each type and for what is near to being right.
VALUES = [
    None, True, False, 0, 1, -1, 3, 4096, 10**12, 0.5, 1e300, "", "x", "a b", "none", "true", "10", "-5", "1s", "200ms",
    "1h30m", "30m1h", "0s", "9999d", "1s..5s", "5s..1s", "4KiB", "64 KiB", "1mib", "1GiB", "50%", "+5%", "101%", "007%",
    "a == 1", "memory", "disk", "external", "inherit", "stdin", "stdout", "log", "key", "block", "x" * 200, [], ["x"], ["x", "x"], [1], [None],
    [""], [[]], [{}], {}, {"x": 1}, {"x": None}, {"stage": "first"}, {"schema": "s", "version": 1}, {"schema": "s"},
    {"STAGEWIRE_X": "y"}, {"A=B": "y"}, {"attempts": 1}, {"failures": 3}, [{"schema": "s", "version": 1}],
]  # fmt: skip


class Report:
    def __init__(self):
        self.problems = []
        self.counts = {}

    def expect(self, condition, text):
        if not condition:
            self.problems.append(text)

    def count(self, what, number=1):
        self.counts[what] = self.counts.get(what, 0) + number


class Judge:
    """The two opinions about one pipeline."""

    def __init__(self, program):
        self.program = program
        printed = subprocess.run([program, "schema"], capture_output=True, check=True, text=True).stdout
        self.schema = json.loads(printed)
        jsonschema.Draft202012Validator.check_schema(self.schema)
        self.validator = jsonschema.Draft202012Validator(self.schema)

    def schema_refuses(self, value):
        """The first reason, or None."""
        error = next(self.validator.iter_errors(value), None)
        return error and f"{error.json_path}: {error.message[:200]}"

    def program_refuses(self, text):
        """What it says, or None."""
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            command = [self.program, "check", "--no-commands", file.name]
            result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode not in (0, 2):
            raise SystemExit(f"{command} ended with {result.returncode}: {result.stderr}")
        return result.stderr if result.returncode == 2 else None


def is_pipeline(text):
    return next((line for line in text.splitlines() if line and not line.startswith("#")), "").startswith("pipeline:")


def examples():
    """(place, text) of every pipeline in the documents and the examples."""
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for block in re.findall(r"^```yaml\n(.*?)^```$", path.read_text(encoding="utf-8"), re.M | re.S):
            yield path.relative_to(ROOT), block
    for path in sorted((ROOT / "docs/examples").rglob("*.yaml")):
        yield path.relative_to(ROOT), path.read_text(encoding="utf-8")


def check_examples(judge, report):
    for place, text in examples():
        if is_pipeline(text):
            refusal = judge.schema_refuses(core_yaml.load(text))
            report.expect(refusal is None, f"{place}: the schema refuses an example: {refusal}")
            report.count("examples")


def check_golden(judge, report):
    for path in sorted(GOLDEN.glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        try:
            refusal = judge.schema_refuses(core_yaml.load(text))
        except yaml.YAMLError:
            report.expect(path.stem not in BROKEN, f"{path.name}: is no YAML at all")
            continue
        if path.stem in BROKEN:
            report.expect(refusal is not None, f"{path.name}: the schema accepts it")
            report.count("golden files that the schema refuses")
        if refusal is not None:
            report.expect(judge.program_refuses(text) is not None, f"{path.name}: only the schema refuses it: {refusal}")
    missing = [name for name in BROKEN if not (GOLDEN / f"{name}.yaml").exists()]
    report.expect(not missing, f"BROKEN names files that do not exist: {missing}")


def places(value, path=()):
    """Paths of every value within, `config` and `env` as wholes."""
    if path:
        yield path
    if path and path[-1] in ("config", "env"):
        return
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list):
        for index in range(len(value)):
            yield from places(value[index], (*path, index))


def mutations(full):
    """(name, pipeline): each value replaced, each key removed, each mapping with one key more."""
    for path in places(full):
        for change in [*VALUES, "REMOVE", "ADD"]:
            mutant = copy.deepcopy(full)
            parent = mutant
            for step in path[:-1]:
                parent = parent[step]
            if change == "REMOVE":
                del parent[path[-1]]
            elif change == "ADD":
                if not isinstance(parent[path[-1]], dict):
                    continue
                parent[path[-1]]["unknwon"] = 1
            else:
                parent[path[-1]] = change
            yield f"{'.'.join(map(str, path))} = {json.dumps(change)[:60]}", mutant


def keys_of(schema):
    """Every key that the schema knows, with the names of the mappings around it."""
    if isinstance(schema, dict):
        for key, value in schema.get("properties", {}).items():
            if isinstance(value, dict) and "not" not in value:
                yield key
        for value in schema.values():
            yield from keys_of(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from keys_of(value)


def check_mutations(judge, report):
    text = FULL.read_text(encoding="utf-8")
    full = core_yaml.load(text)
    report.expect(judge.program_refuses(text) is None, f"{FULL.name}: {judge.program_refuses(text)}")
    report.expect(judge.schema_refuses(full) is None, f"{FULL.name}: {judge.schema_refuses(full)}")
    missing = set(keys_of(judge.schema)) - {step for path in places(full) for step in path}
    report.expect(not missing, f"{FULL.name} has no {sorted(missing)}: put every key into it")

    def opinions(mutation):
        name, value = mutation
        return name, judge.schema_refuses(value), judge.program_refuses(json.dumps(value, ensure_ascii=False))

    # Each costs a process: a part of them by default, another one with another SEED, all with MUTATIONS=all.
    chosen = list(mutations(full))
    most = os.environ.get("MUTATIONS", "1000")
    if most != "all":
        chosen = random.Random(os.environ.get("SEED", "1")).sample(chosen, min(int(most), len(chosen)))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for name, by_schema, by_program in pool.map(opinions, chosen):
            report.count("mutations")
            if by_program is not None:
                report.count("refused by the program")
                report.count("of these by the schema", by_schema is not None)
            report.expect(by_schema is None or by_program is not None, f"{name}: only the schema refuses it: {by_schema}")
    # A schema that accepts everything would pass all of the above.
    share = report.counts["of these by the schema"] / report.counts["refused by the program"]
    report.expect(share >= 0.8, f"the schema finds only {share:.0%} of the mistakes")


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    judge, report = Judge(sys.argv[1]), Report()
    committed = json.loads((ROOT / "docs/pipeline.schema.json").read_text(encoding="utf-8"))
    report.expect(committed == judge.schema, "docs/pipeline.schema.json is not what `stagewire schema` prints")
    check_examples(judge, report)
    check_golden(judge, report)
    check_mutations(judge, report)
    for problem in report.problems:
        print(problem)
    print("pipeline schema: " + ", ".join(f"{number} {what}" for what, number in report.counts.items()))
    raise SystemExit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
