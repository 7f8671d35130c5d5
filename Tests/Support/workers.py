"""The worker processes of a running broker, for tests that kill them."""

import os
import pathlib
import signal

NAMES = (b"STAGEWIRE_INSTANCE=", b"STAGEWIRE_STAGE=")


def workers(broker: int) -> dict[int, tuple[str, str]]:
    """The processes that the broker (a process id) has started and that run: id -> (stage, instance)."""
    children = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
            if int(fields[1]) != broker or fields[0] == "Z":
                continue
            environ = (stat.parent / "environ").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        named = [[each[len(name):].decode() for each in environ if each.startswith(name)] for name in NAMES]
        if all(named):
            children[int(stat.parent.name)] = (named[1][0], named[0][0])
    return children


def kill(process: int) -> None:
    """SIGKILL, unless the process has ended by itself."""
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        pass
