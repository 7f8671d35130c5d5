"""Proves that the conformance suite has no false green: every wrong implementation of mutants.yaml has to be noticed by a
case that claims the rule which it breaks, and the same case has to pass with the right one.

    python3 Tests/Conformance/mutation.py PROGRAM [--only TEXT]... [--jobs N]

Prints a line for each mutant that is not noticed so, and the score; exits 1 when there is one without a reason in
mutants.yaml, or with a reason that is not needed any more.

Many run at once, so a busy machine may keep a case from noticing, or make it fail with the right implementation. Whatever
did not go as it should is tried once more, alone and with more patience, and only that counts; a line says so.
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
# Patience of the suite, as factors of its own (`--time-scale`). Among others: what notices by waiting in vain is to do so soon,
# and what is slow gets a second chance. Right implementations pass as soon as they can, whatever the patience.
AMONG_OTHERS, ALONE = 1, 5
# A fault of the suite or of the machine makes nearly all fail; one after the other they would take hours.
MOST_AGAIN = 60


class Mutant:
    def __init__(self, role, rule, name, what):
        self.role, self.rule, self.name = role, rule, name
        self.profile, self.what = next(iter(what.items())) if isinstance(what, dict) else ("core", what)
        self.forget()

    def forget(self):
        """Whatever a run has shown."""
        self.how, self.case, self.message, self.report, self.seconds = NOT, None, "", None, 0.0

    @property
    def finding(self):
        return (f"{self.case}: {self.message}" if self.case else self.message)[:150]

    @property
    def line(self):
        return f"{self.role:6} {self.rule:5} {self.name:42} {self.how:15} {self.seconds:5.1f} s  {self.finding}"


def mutants(content, only):
    found = [
        Mutant(role, rule, name, what)
        for role in ("broker", "worker") for rule, names in content[role].items() for name, what in names.items()]
    return [m for m in found if not only or any(text in (m.name, m.rule, m.role) for text in only)]


class NoResult(Exception):
    """The suite itself has failed."""


class Suite:
    def __init__(self, program):
        self.program = os.path.abspath(program)
        self.rules = {}
        listed = json.loads(subprocess.run(
            [self.program, "conformance", "list", "--json"], capture_output=True, check=True).stdout)
        for item in listed["result"]:
            self.rules[item["role"], item["name"]] = item["rules"]

    def command(self, role, patience, *options):
        words = [self.program, "conformance", "run", "--json", "--time-scale", str(patience), *options]
        if role == "worker":
            return [*words, "--manifest", str(HERE / "worker.yaml")]
        return [*words, "--broker", "--control", "--", sys.executable, str(HERE / "broker.py"), "{socket}", "{pipeline}", self.program]

    def run(self, role, mutant, patience, *options):
        """Results of the cases that were run, [] when none is left by the options. Raises NoResult."""
        # The worker is started by its name: the same Python as here.
        environment = dict(os.environ, MUTANT=mutant, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        done = subprocess.run(self.command(role, patience, *options), capture_output=True, env=environment)
        try:
            return json.loads(done.stdout)["result"]["cases"]
        except (ValueError, KeyError, TypeError):
            if done.returncode == 2 and b"no case is left" in done.stderr + done.stdout:
                return []
            raise NoResult(f"the suite has no result ({done.returncode}): {done.stderr.decode(errors='replace')[-2000:]}")

    def notice(self, mutant, patience):
        """Runs cases until one notices, those that claim the rule first."""
        mutant.forget()
        begin = time.monotonic()
        try:
            self.look(mutant, patience)
        except NoResult as failure:
            mutant.message = str(failure)
        mutant.seconds = time.monotonic() - begin

    def look(self, mutant, patience):
        for filters in (["--filter", mutant.rule], []):
            # A failure that shows nothing ends the run, too: then without an end.
            for end in (["--fail-fast"], []):
                failed = [case for case in self.run(mutant.role, mutant.name, patience, *end, *filters)
                          if case["verdict"] in ("FAIL", "CRASH")]
                if self.judge(mutant, failed):
                    return
                if not failed:
                    break

    def judge(self, mutant, failed):
        """Whether one of these cases has noticed."""
        for case in failed:
            # A broker that does not even begin breaks every rule, and so does a mutant with a bug of its own.
            if "does not listen" in case.get("message", "") or "Traceback" in case.get("output", ""):
                mutant.message = case["message"] + case.get("output", "")[-300:].replace("\n", " ")
                continue
            claims = mutant.rule in self.rules[mutant.role, case["name"]]
            mutant.how, mutant.case = BY_RULE if claims else BY_ANOTHER, case["name"]
            mutant.message = case.get("message", "")
            mutant.report = case
            return True
        return False

    def failing(self, role, names, *options):
        """Those of these cases that fail with the right implementation: name -> why."""
        words = [word for name in sorted(names) for word in ("--filter", name)]
        # A filter is a part of a name: others may come with it.
        results = self.run(role, "", ALONE, *options, *words) if words else []
        return {case["name"]: case.get("message", "") for case in results
                if case["name"] in names and case["verdict"] not in ("PASS", "SKIP")}

    def check_right(self, noticed):
        """Cases that noticed a mutant and fail with the right implementation, too."""
        wrong = []
        for role in ("worker", "broker"):
            first = self.failing(role, {m.case for m in noticed if m.role == role}, "--jobs", "2")
            again = self.failing(role, set(first), "--jobs", "1")
            for name in first.keys() - again.keys():
                print(f"again, alone: {name} passes with the right {role}; beside another one it failed: {first[name]}", flush=True)
            wrong += [(role, name, message) for name, message in again.items()]
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
        suite.notice(mutant, AMONG_OTHERS)
        if options.verbose:
            print(mutant.line, flush=True)

    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(show, chosen))
    try_again(suite, [m for m in chosen if m.how != BY_RULE and f"{m.role} {m.name}" not in content["reasons"]])
    for mutant in chosen if options.keep else []:
        if mutant.report:
            (options.keep / f"{mutant.role}-{mutant.name}.json").write_text(json.dumps(mutant.report, indent=1))
    try:
        wrong = suite.check_right([m for m in chosen if m.case])
    except NoResult as failure:
        sys.exit(f"with the right implementation: {failure}")
    conclude(content, chosen, wrong, not options.only)


def try_again(suite, missed):
    """One after the other, with nothing beside them: then it is not the machine."""
    if len(missed) > MOST_AGAIN:
        print(f"{len(missed)} mutants are not noticed by a case of their rule: too many to be tried once more, alone")
    for mutant in missed:
        print(mutant.line, flush=True)
        if len(missed) <= MOST_AGAIN:
            suite.notice(mutant, ALONE)
            print(f"again, alone: {mutant.line}", flush=True)


def conclude(content, chosen, wrong, is_all):
    reasons = content["reasons"]
    missed = [m for m in chosen if m.how != BY_RULE and f"{m.role} {m.name}" not in reasons]
    needless = [m for m in chosen if m.how == BY_RULE and f"{m.role} {m.name}" in reasons]
    bare = uncovered(content) if is_all else []
    for mutant in missed:
        print(f"not noticed by a case of {mutant.rule}: {mutant.role} {mutant.name}: {mutant.what} ({mutant.how}; {mutant.finding})")
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
