#!/usr/bin/env python3
"""Measures Stagewire against a C relay that only moves bytes, and against other systems (docs/BENCHMARKS.md).

    make bench                     # everything, a quarter of an hour; QUICK=1 for half a minute
    make bench BENCH="--parts matrix --peers grpc,redis --sizes 100"

Writes build/bench.json and build/bench.md; `--update docs/BENCHMARKS.md` replaces the tables there and draws the plots.
"""

import os
import signal
import sys

from stagewire_bench import languages, life, matrix, options, report, scale, slow
from stagewire_bench.run import Failed
from stagewire_bench.systems import BY_NAME


def say(text):
    print(text, flush=True)


def present(settings):
    """The systems that can be measured; of ours all have to be, peers may be left out."""
    systems, left_out = [], []
    for system in (BY_NAME[name] for name in settings.system_names):
        missing = system.missing(settings)
        if missing and not system.peer:
            sys.exit(f"bench: there is no {missing}; run `make bench`, or `swift build -c release` first")
        if missing:
            left_out.append((system, missing))
            say(f"left out: {system.title}, for there is no {missing}; Debian's packages: {system.packages}")
        else:
            systems.append(system)
    return systems, left_out


def present_languages(settings):
    known = [languages.BY_NAME[name] for name in settings.language_names]
    missing = {language.title: text for language in known if (text := language.missing(settings))}
    for title, text in missing.items():
        say(f"left out: a worker in {title}, for there is no {text}; `make bench-workers` builds it")
    return [language for language in known if language.title not in missing], missing


def measure(settings):
    systems, left_out = present(settings)
    results = report.Results(settings, systems, left_out)
    parts = settings.parts
    if "life" in parts and "stagewire" in settings.system_names:
        results.startup = life.startup(settings, say)
        results.idle = life.idle(settings, say)
        results.stuck = slow.stuck_consumer(settings, say)
    if "matrix" in parts:
        measured = matrix.Matrix(settings, systems, say)
        results.cells = measured.measure(matrix.cases_of(settings))
        results.bandwidths = measured.bandwidths
    if "slow" in parts:
        once = [system for system in systems if system.name != "control"]
        results.slow = slow.measure(settings, once, say)
    if "scale" in parts and "stagewire" in settings.system_names:
        results.scale = scale.measure(settings, settings.groups, say)
    if "languages" in parts and "stagewire" in settings.system_names:
        known, results.languages_left_out = present_languages(settings)
        results.languages = languages.measure(settings, known, say)
    return results


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # Debian puts nats-server where only root looks.
    os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin"
    settings = options.read()
    try:
        results = measure(settings)
    except Failed as failure:
        sys.exit(f"bench: {failure}")
    report.write(results, say)
    failures = results.failures()
    for failure in failures:
        print(f"bench: failed: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
