"""What the disk alone does: the bound of everything that syncs before it confirms."""

import os
import tempfile
import time

GROUP = 4 << 20  # bytes that Stagewire writes and syncs at once while it is busy (JournalLink.largeGroup)
FILE = 64 << 20  # bytes of a file, as of a segment


def synced_bandwidth(directory, seconds, group=GROUP):
    """Bytes per second in sequential writes of `group` bytes, each followed by fdatasync, into files that have their place on the
    disk already. Only writes and syncs are timed. A file that is full is removed, and the next one begun."""
    piece = os.urandom(group)
    spent = written = 0
    while spent < seconds:
        with tempfile.TemporaryFile(dir=directory) as file:
            os.posix_fallocate(file.fileno(), 0, FILE)
            os.fsync(file.fileno())
            for start in range(0, FILE - group + 1, group):
                begun = time.monotonic()
                put(file.fileno(), piece, start)
                os.fdatasync(file.fileno())
                spent += time.monotonic() - begun
                written += group
                if spent >= seconds:
                    break
    return written / spent


def put(descriptor, piece, start):
    done = 0
    while done < len(piece):
        done += os.pwrite(descriptor, memoryview(piece)[done:], start + done)
