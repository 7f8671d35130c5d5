#!/usr/bin/env python3
"""Runs the conformance suite against every SDK and against the broker, and writes docs/CONFORMANCE.md.

    matrix.py STAGEWIRE [--write] [--profiles core,source] [--only go,rust] [--jobs N] [--time-scale F]

Each implementation says in its conformance.yaml which profiles it has. Exit code 1 when a case fails that is not listed as
failing there. The workers have to be built (`make conformance-workers`).
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
from datetime import date

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROFILES = ["core", "source", "window", "ordered", "reconnect", "confirm"]
NAMES = {"c": "C", "go": "Go", "java": "Java", "node": "Node", "python": "Python", "rust": "Rust", "swift": "Swift"}
PAGE = ROOT / "docs" / "CONFORMANCE.md"
BEGIN, END = "<!-- matrix:begin -->", "<!-- matrix:end -->"


def report(stagewire: str, options: argparse.Namespace, *arguments: str) -> dict:
    """The suite's JSON report; what it says of failures goes to standard error as it comes."""
    environment = {**os.environ, "PATH": f"{ROOT / 'build/venv/bin'}:{os.environ['PATH']}"}
    environment["STAGEWIRE_CONFORMANCE"] = str(ROOT / "conformance")
    pace = ["--jobs", str(options.jobs), "--time-scale", str(options.time_scale)]
    run = subprocess.run(
        [stagewire, "conformance", "run", "--json", *pace, *arguments], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        return json.loads(run.stdout)["result"]
    except (json.JSONDecodeError, KeyError):
        sys.exit(f"the suite said nothing that can be read (exit code {run.returncode}): {run.stdout[:2000]}")


def manifests(only: list[str]) -> dict[str, pathlib.Path]:
    found = {path.parts[-3]: path for path in sorted(ROOT.glob("sdk-stubs/*/conformance/conformance.yaml"))}
    return {name: path for name, path in found.items() if not only or name in only}


def profiles_of(path: pathlib.Path) -> list[str]:
    line = next(line for line in path.read_text().splitlines() if line.startswith("profiles:"))
    return [word.strip(" \"'") for word in line.split("[", 1)[1].split("]", 1)[0].split(",")]


def tally(cases: list[dict], profile: str) -> dict | None:
    chosen = [case for case in cases if case["profile"] == profile]
    if not chosen:
        return None
    return {
        "passed": sum(case["verdict"] == "PASS" for case in chosen),
        "skipped": sum(case["verdict"] == "SKIP" for case in chosen),
        "failed": sum(case["verdict"] not in ("PASS", "SKIP") for case in chosen),
    }


def cell(counts: dict | None) -> str:
    if counts is None:
        return "–"
    text = str(counts["passed"])
    if counts["skipped"]:
        text += f" ({counts['skipped']} skipped)"
    if counts["failed"]:
        text += f", **{counts['failed']} failed**"
    return text


def show_failures(name: str, cases: list[dict]) -> int:
    failures = [case for case in cases if not case["expected"]]
    for case in failures:
        print(f"  {name}: {case['verdict']} {case['name']}: {case.get('message', '')}")
        for line in case.get("frames", []):
            print(f"      {line}")
        if case.get("output"):
            print("      it printed: " + case["output"][-2000:].replace("\n", "\n      "))
    return len(failures)


def table(rows: dict[str, dict]) -> str:
    lines = [f"Measured on {date.today()} with `make conformance`: cases passed, by profile.", ""]
    lines += ["| | " + " | ".join(PROFILES) + " |", "|---|" + "---:|" * len(PROFILES)]
    for name, row in rows.items():
        lines.append(f"| {name} | " + " | ".join(cell(row.get(profile)) for profile in PROFILES) + " |")
    return "\n".join(lines)


def write(text: str) -> None:
    page = PAGE.read_text()
    before, rest = page.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("stagewire")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--profiles", default=",".join(PROFILES))
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1))
    # Patience costs nothing where all pass, and the machine may have other things to do.
    parser.add_argument("--time-scale", type=float, default=3)
    options = parser.parse_args()
    wanted = options.profiles.split(",")
    only = [name for name in options.only.split(",") if name]
    rows: dict[str, dict] = {}
    passed = failed = 0
    for name, path in manifests(only).items():
        mine = [profile for profile in profiles_of(path) if profile in wanted]
        result = report(options.stagewire, options, "--manifest", str(path), "--profile", ",".join(mine))
        rows[NAMES.get(name, name)] = {profile: tally(result["cases"], profile) for profile in PROFILES}
        failed += show_failures(name, result["cases"])
        passed += result["passed"]
        print(f"{NAMES.get(name, name)}: {result['passed']} passed, {result['failed']} failed, {result['skipped']} skipped", flush=True)
    if not only:
        result = report(options.stagewire, options, "--broker")
        rows["the broker"] = {profile: tally(result["cases"], profile) for profile in PROFILES}
        failed += show_failures("broker", result["cases"])
        passed += result["passed"]
        print(f"the broker: {result['passed']} passed, {result['failed']} failed, {result['skipped']} skipped", flush=True)
    print("\n" + table(rows))
    if options.write:
        write(table(rows))
    print(f"\n{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
