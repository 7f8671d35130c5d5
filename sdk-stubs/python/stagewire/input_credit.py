"""What this worker lets the broker send."""

from __future__ import annotations

from . import frames
from .v1 import envelope_pb2 as pb

WINDOW_RECORDS = 8192  # per input, in the receive buffer
WINDOW_BYTES = 4 * 1024 * 1024


class InputWindow:
    """Credit that this worker grants on one input.

    granted = taken out of the buffer + window. Topped up once half of the window is gone, so with an
    empty buffer at least half is open: half a window has to hold a record of the largest size.
    """

    def __init__(self, number: int, max_record: int):
        self.number = number
        self.records, self.bytes = WINDOW_RECORDS, max(WINDOW_BYTES, 2 * max_record)
        self.taken = [0, 0]
        self.granted = [0, 0]

    def take(self, records: int, size: int) -> bytes | None:
        """Counts what left the buffer; a Credit frame when it is time for one."""
        self.taken[0] += records
        self.taken[1] += size
        open_records = self.granted[0] - self.taken[0]
        open_bytes = self.granted[1] - self.taken[1]
        if open_records * 2 > self.records and open_bytes * 2 > self.bytes:
            return None
        self.granted = [self.taken[0] + self.records, self.taken[1] + self.bytes]
        records, size = self.granted
        return frames.frame(credit=pb.Credit(number=self.number, records=records, bytes=size))
