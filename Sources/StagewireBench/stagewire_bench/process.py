"""What the system says about a process."""

import pathlib
import re
import subprocess
import time


def cpu_seconds(pid):
    """User and system time of a process with all its threads, to the nanosecond.

    This is the clock that clock_getcpuclockid(3) names on Linux; /proc counts in ticks of 10 ms.
    """
    return time.clock_gettime(~pid << 3 | 2)


def disk_bytes(pid):
    """What a process has given to disks: whole pages, once for each time that they were written to. 0 where that is not told."""
    try:
        text = pathlib.Path(f"/proc/{pid}/io").read_text()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("write_bytes:"))


def _memory(pid, line):
    for text in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if text.startswith(line):
            return int(text.split()[1]) / 1024
    return 0.0


def rss_mib(pid):
    return _memory(pid, "VmRSS:")


def peak_mib(pid):
    return _memory(pid, "VmHWM:")


def version_in(command):
    """The first version that a command prints; nothing if it is not there."""
    command = [str(word) for word in command]
    if not command:
        return ""
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10).stdout
    except OSError:
        return ""
    found = re.search(r"\d+\.\d+(\.\d+)?", said)
    return found.group() if found else ""
