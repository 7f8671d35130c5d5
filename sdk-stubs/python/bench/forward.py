"""Every record goes on as it is: the worker of the pipeline benchmark (`make bench` in the root, docs/BENCHMARKS.md)."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import stagewire  # noqa: E402


@stagewire.transform
def forward(record):
    yield record.emit()


if __name__ == "__main__":
    stagewire.run(forward)
