"""What the disk alone does: the bound of everything that syncs before it confirms."""

import contextlib
import itertools
import os
import tempfile
import time

GROUP = 4 << 20  # bytes that Stagewire writes and syncs at once while it is busy (JournalLink.largeGroup)
FILE = 64 << 20  # bytes of a file, as of a segment
FILES = 4


def synced_bandwidth(directory, seconds, group=GROUP):
    """Bytes per second in sequential writes of `group` bytes, each followed by fdatasync, over what files have already: a disk is not
    faster than that. Only these writes and syncs are timed."""
    piece = os.urandom(group)
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile(dir=directory)).fileno() for _ in range(FILES)]
        places = [(file, start) for file in files for start in range(0, FILE - group + 1, group)]
        for file, start in places:
            put(file, piece, start)
        for file in files:
            os.fsync(file)
        spent = written = 0
        for file, start in itertools.cycle(places):
            begun = time.monotonic()
            put(file, piece, start)
            os.fdatasync(file)
            spent += time.monotonic() - begun
            written += group
            if spent >= seconds:
                return written / spent


def put(descriptor, piece, start):
    done = 0
    while done < len(piece):
        done += os.pwrite(descriptor, memoryview(piece)[done:], start + done)
