#!/usr/bin/env python3
"""Counts what the router does for a delivery, and fails when it has become more.

    make test-hotpath                       # or: check.py PROGRAM
    Tests/HotPath/check.py PROGRAM --write  # new limits, after a change that is worth it

`StagewireRouterBench` plays a script of records through two hops, without sockets, under valgrind's callgrind. Counted are
instructions, allocations, references taken and calls that copy memory, of everything below its function `measured`, in a
short run and a long one: the difference is what a delivery costs in the steady state. Counts do not depend on the machine's
load; instructions within the C library's copying are left out, for how many those are depends on processor and library.
Limits stand in limits.json, a tenth (or one in a thousand deliveries) above what was counted when they were written.
"""

import argparse
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile

LIMITS = pathlib.Path(__file__).with_name("limits.json")
# name: payload bytes, keys, workers of the transform
CASES = {
    "one worker, 100 B": (100, 64, 1),
    "two workers, 100 B": (100, 64, 2),
    "one worker, 4 KiB": (4096, 64, 1),
}
SHORT, LONG = 30, 90
MEASURED = "*StagewireRouterBench8measured*"
# What is counted: how a sentence names it, and the functions whose calls it is (none: instructions).
COUNTS = {
    "instructions": ("instructions", None),
    "allocations": ("allocations", r"malloc|calloc|realloc|posix_memalign|aligned_alloc"),
    "references": ("references counted", r"swift_retain|swift_bridgeObjectRetain|swift_retain_n"),
    "copies": ("calls that copy memory", r"mem(cpy|move)"),
}
LIBRARY_COPIES = re.compile(r"_*mem(cpy|move|set|cmp)")


def profile(program, turns, case):
    """{count: total} of one run, and its deliveries."""
    with tempfile.TemporaryDirectory() as directory:
        out = pathlib.Path(directory) / "out"
        words = [program, turns, *case]
        run = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", f"--zero-before={MEASURED}", *map(str, words)],
            capture_output=True, text=True, timeout=120,
            # Tables of the library are seeded anew in each process otherwise.
            env={**os.environ, "SWIFT_DETERMINISTIC_HASHING": "1"})
        if run.returncode != 0:
            sys.exit(f"hotpath: {' '.join(map(str, words))} under valgrind exited with {run.returncode}:\n"
                     f"{(run.stdout + run.stderr)[-2000:]}")
        return read(out.read_text()), int(run.stdout.split()[0])


def read(text):
    """Callgrind's format: costs of a function itself, and calls, whose cost stands in a line of its own."""
    names, calls = {}, {}
    instructions, current, called, skip = 0, None, None, False
    for line in text.splitlines():
        if match := re.match(r"(c?fn)=\((\d+)\)(?: (.*))?", line):
            kind, number, name = match.groups()
            if name:
                names[number] = name
            if kind == "fn":
                current = number
            else:
                called = number
        elif line.startswith("calls="):
            calls[called] = calls.get(called, 0) + int(line[6:].split()[0])
            skip = True
        elif re.match(r"[+\-*\d]", line):
            if not skip and not LIBRARY_COPIES.match(names.get(current, "")):
                instructions += int(line.split()[1])
            skip = False
    totals = {"instructions": instructions}
    for count, (_, pattern) in COUNTS.items():
        if pattern:
            totals[count] = sum(n for number, n in calls.items() if re.fullmatch(f"_*({pattern})(_avx.*)?", names[number]))
    return totals


def measure(program, case):
    """{count: of one delivery}"""
    short, few = profile(program, SHORT, case)
    long, many = profile(program, LONG, case)
    return {count: (long[count] - short[count]) / (many - few) for count in COUNTS}


def limit(count, value):
    return math.ceil(value * 1.1) if count == "instructions" else round(value * 1.1 + 0.001, 4)


def judge(name, counted, limits):
    """Sentences about what grew."""
    for count, (words, _) in COUNTS.items():
        if counted[count] > limits[count]:
            yield (f"{name}: {counted[count]:.4g} {words} for each delivery, where {limits[count]:.4g} are allowed: "
                   f"the way of a record has become longer")


def stripped(program):
    """A copy without what debuggers read: this valgrind does not understand it."""
    copy = pathlib.Path(os.environ.get("BUILD", "build")) / "hotpath"
    copy.mkdir(parents=True, exist_ok=True)
    subprocess.run(["strip", "-g", "-o", copy / "bench", program], check=True)
    return copy / "bench"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--write", action="store_true", help="write limits.json anew")
    options = parser.parse_args()
    program = stripped(options.program)
    found = {name: measure(program, case) for name, case in CASES.items()}
    for name, counted in found.items():
        print(f"{name}: " + ", ".join(f"{counted[count]:.4g} {words}" for count, (words, _) in COUNTS.items()))
    if options.write:
        limits = {name: {count: limit(count, value) for count, value in counted.items()} for name, counted in found.items()}
        LIMITS.write_text(json.dumps(limits, indent=2) + "\n")
        return
    limits = json.loads(LIMITS.read_text())
    if set(limits) != set(found):
        sys.exit("hotpath: limits.json is of other cases: write it anew with --write")
    faults = [sentence for name, counted in found.items() for sentence in judge(name, counted, limits[name])]
    if faults:
        sys.exit("\n".join(faults) + "\nIf that is worth it, write new limits (Tests/HotPath/check.py --write) and say why.")
    print("ok: no more than the limits")


if __name__ == "__main__":
    main()
