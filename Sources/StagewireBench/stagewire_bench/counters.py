"""The file in which the C programs count, and from which the driver reads (StagewireBenchWorker/bench.h)."""

import mmap
import struct

LATENCIES = 1 << 16
NAMES = ("emitted", "forwarded", "received", "wrong", "disordered", "repeated", "stop", "samples", "bytes")
LINE = 64  # bytes between two counters


class Counters:
    SIZE = LINE * len(NAMES) + 8 * LATENCIES

    def __init__(self, path):
        self.path = str(path)
        with open(path, "wb") as file:
            # Written and not only reserved: a sink should not wait for memory in the middle of a measurement.
            file.write(bytes(self.SIZE))
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), self.SIZE)

    def __getitem__(self, name):
        return struct.unpack_from("<Q", self.memory, LINE * NAMES.index(name))[0]

    def __setitem__(self, name, value):
        struct.pack_into("<Q", self.memory, LINE * NAMES.index(name), value)

    def latencies(self, first, last):
        """The samples [first, last) in microseconds, sorted, as far as the ring still holds them."""
        first = max(first, last - LATENCIES)
        start = LINE * len(NAMES)
        samples = (struct.unpack_from("<Q", self.memory, start + 8 * (i % LATENCIES))[0] for i in range(first, last))
        return sorted(sample / 1000 for sample in samples)
