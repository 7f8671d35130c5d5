"""Proves that the conformance suite has no false green: every wrong implementation of mutants.yaml has to be noticed by a
case that claims the rule which it breaks, and the same case has to pass with the right one.

    python3 Tests/Conformance/mutation.py PROGRAM [--only TEXT]... [--jobs N]

Prints a line for each mutant that is not noticed so, and the score; exits 1 when there is one without a reason in
mutants.yaml, or with a reason that is not needed any more.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
BY_RULE, BY_ANOTHER, NOT = "by its rule", "by another case", "not caught"


class Mutant:
    def __init__(self, role, rule, name, what):
        self.role, self.rule, self.name = role, rule, name
        self.profile, self.what = next(iter(what.items())) if isinstance(what, dict) else ("core", what)
        self.how, self.case, self.message, self.report, self.seconds = NOT, None, "", None, 0.0


def mutants(content, only):
    found = [
        Mutant(role, rule, name, what)
        for role in ("broker", "worker") for rule, names in content[role].items() for name, what in names.items()]
    return [m for m in found if not only or any(text in (m.name, m.rule, m.role) for text in only)]


class Suite:
    def __init__(self, program):
        self.program = os.path.abspath(program)
        self.rules = {}
        listed = json.loads(subprocess.run(
            [self.program, "conformance", "list", "--json"], capture_output=True, check=True).stdout)
        for item in listed["result"]:
            self.rules[item["role"], item["name"]] = item["rules"]

    def command(self, role, *options):
        words = [self.program, "conformance", "run", "--json", *options]
        if role == "worker":
            return [*words, "--manifest", str(HERE / "worker.yaml")]
        return [*words, "--broker", "--control", "--", sys.executable, str(HERE / "broker.py"), "{socket}", "{pipeline}", self.program]

    def run(self, role, mutant, *options):
        """Results of the cases that were run, [] when none is left by the options."""
        # The worker is started by its name: the same Python as here.
        environment = dict(os.environ, MUTANT=mutant, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        done = subprocess.run(self.command(role, *options), capture_output=True, env=environment)
        try:
            return json.loads(done.stdout)["result"]["cases"]
        except (ValueError, KeyError, TypeError):
            if done.returncode == 2 and b"no case is left" in done.stderr + done.stdout:
                return []
            sys.exit(f"{role} {mutant}: the suite has no result: {done.stderr.decode()[-2000:]}")

    def notice(self, mutant):
        """Runs cases until one notices, those that claim the rule first."""
        begin = time.monotonic()
        for filters in (["--filter", mutant.rule], []):
            for case in self.run(mutant.role, mutant.name, "--fail-fast", *filters):
                if case["verdict"] not in ("FAIL", "CRASH"):
                    continue
                # A broker that does not even begin breaks every rule, and so does a mutant with a bug of its own.
                if "does not listen" in case.get("message", "") or "Traceback" in case.get("output", ""):
                    mutant.message = case["message"] + case.get("output", "")[-300:].replace("\n", " ")
                    continue
                claims = mutant.rule in self.rules[mutant.role, case["name"]]
                mutant.how, mutant.case = BY_RULE if claims else BY_ANOTHER, case["name"]
                mutant.message = case.get("message", "")
                mutant.report = case
                break
            if mutant.case:
                break
        mutant.seconds = time.monotonic() - begin

    def check_right(self, noticed):
        """Cases that noticed a mutant and fail with the right implementation, too."""
        wrong = []
        for role in ("worker", "broker"):
            names = sorted({m.case for m in noticed if m.role == role})
            if names:
                options = [word for name in names for word in ("--filter", name)]
                wrong += [(role, case["name"], case.get("message", "")) for case in self.run(role, "", "--jobs", "2", *options)
                          if case["verdict"] not in ("PASS", "SKIP") and case["name"] in names]
        return wrong


def uncovered(content):
    """Rules with an obligation on a role and without a mutant."""
    rules = yaml.safe_load((HERE / "../../conformance/rules.yaml").read_text(encoding="utf-8"))
    return [(role, rule) for rule, item in rules.items() for role in item["must"]
            if rule not in content[role] and role not in item.get("untestable", {}) and f"{role} {rule}" not in content["reasons"]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("program", help="the stagewire program")
    parser.add_argument("--only", action="append", help="a mutant, a rule or a role; may be repeated")
    parser.add_argument("--jobs", type=int, default=8 * (os.cpu_count() or 1), help="mutants at once; most of the time they wait")
    parser.add_argument("--verbose", action="store_true", help="a line for every mutant")
    parser.add_argument("--keep", type=Path, help="a directory for the reports of the cases that noticed, by mutant")
    options = parser.parse_args()
    os.environ.setdefault("STAGEWIRE_CONFORMANCE", str(HERE.parents[1] / "conformance"))
    content = yaml.safe_load((HERE / "mutants.yaml").read_text(encoding="utf-8"))
    chosen = mutants(content, options.only)
    suite = Suite(options.program)

    def show(mutant):
        suite.notice(mutant)
        if options.keep and mutant.report:
            (options.keep / f"{mutant.role}-{mutant.name}.json").write_text(json.dumps(mutant.report, indent=1))
        if options.verbose or mutant.how != BY_RULE:
            case = f"{mutant.case}: {mutant.message}" if mutant.case else mutant.message
            print(f"{mutant.role:6} {mutant.rule:5} {mutant.name:42} {mutant.how:15} {mutant.seconds:5.1f} s  {case[:150]}", flush=True)

    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(show, chosen))
    conclude(content, chosen, suite.check_right([m for m in chosen if m.case]), not options.only)


def conclude(content, chosen, wrong, is_all):
    reasons = content["reasons"]
    missed = [m for m in chosen if m.how != BY_RULE and f"{m.role} {m.name}" not in reasons]
    needless = [m for m in chosen if m.how == BY_RULE and f"{m.role} {m.name}" in reasons]
    bare = uncovered(content) if is_all else []
    for mutant in missed:
        print(f"not noticed by a case of {mutant.rule}: {mutant.role} {mutant.name}: {mutant.what}")
    for mutant in needless:
        print(f"the reason for {mutant.role} {mutant.name} is not needed: {mutant.case} notices it")
    for role, case, message in wrong:
        print(f"{case} fails with the right {role}, too: {message}")
    for role, rule in bare:
        print(f"{rule} obliges the {role} and has no mutant")
    count = {how: sum(m.how == how for m in chosen) for how in (BY_RULE, BY_ANOTHER, NOT)}
    print(f"mutation score: {count[BY_RULE]} of {len(chosen)} caught by a case of their rule, {count[BY_ANOTHER]} by another case, "
          f"{count[NOT]} not caught")
    sys.exit(1 if missed or needless or wrong or bare else 0)


if __name__ == "__main__":
    main()
