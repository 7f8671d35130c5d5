#!/usr/bin/env python3
"""Writes the vectors beside it, one file for each subject; README.md explains them.

    generate.py           write conformance/vectors/*.json
    generate.py --check   write nothing; name what differs and exit with 1

Needs `protoc` and Python's protobuf package (4 or newer).
"""

import pathlib
import sys

from generator import exits, frames_invalid, ids, outputs, splits, to_broker, to_worker

FOLDER = pathlib.Path(__file__).resolve().parent


def subjects():
    return [
        to_worker.build(),
        to_broker.build(),
        frames_invalid.build(),
        outputs.valid_outputs(),
        outputs.invalid_outputs(),
        outputs.traces(),
        ids.build(),
        splits.build(),
        exits.build()
    ]


def stale(texts):
    """What would differ after writing: files to be made, renewed or removed."""
    there = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    return sorted(name for name in texts.keys() | there.keys() if texts.get(name) != there.get(name))


def main():
    texts = {subject.file: subject.text() for subject in subjects()}
    different = stale(texts)
    if "--check" in sys.argv[1:]:
        for name in different:
            print(f"conformance/vectors/{name} is not what generate.py writes; run it", file=sys.stderr)
        return 1 if different else 0
    for name in different:
        path = FOLDER / name
        if name in texts:
            path.write_text(texts[name])
        else:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
