"""Write a Stagewire stage in Python: decorate a function, hand it to `run`."""

try:
    import google.protobuf  # noqa: F401
except ImportError:
    raise ImportError(
        "stagewire needs the protobuf package: pip install protobuf, or apt install python3-protobuf"
    ) from None

from .configuration import ConfigurationError
from .producer import Partition
from .records import Emission, Hop, Record, Refused, emission
from .runner import run
from .stages import Bounds, Reject, Release, Retry, Stage, batch, sink, source, transform, window
from .windows import Window

__all__ = [
    "Bounds", "ConfigurationError", "Emission", "Hop", "Partition", "Record", "Refused", "Reject", "Release",
    "Retry", "Stage", "Window", "batch", "emission", "run", "sink", "source", "transform", "window",
]
