"""A worker's connection, one thread, blocking: only what a rig needs that wants to know of every frame. The messages are
those of the Python SDK; its sessions, sources and sinks are not used, so that the rig's accounts do not rest on them.
"""

import os
import select
import socket
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "sdk-stubs" / "python"))

from stagewire import codes, frames  # noqa: E402
from stagewire.v1 import envelope_pb2 as pb  # noqa: E402
from stagewire.v1 import record_pb2 as records  # noqa: E402, F401

VERSION = codes.PROTOCOL_VERSION
RETRY_SECONDS = 0.02  # between two attempts to attach
READ = 256 * 1024


class Gone(Exception):
    """The connection is over. `code`: of the broker's Close; None: it ended without one."""

    def __init__(self, code: int | None = None, message: str = ""):
        super().__init__(message or "the broker hung up")
        self.code = code


class Peer:
    """An attached session. Everything raises Gone when it is over."""

    def __init__(self, stage: str, offered: list[str]):
        self.reader = frames.FrameReader(codes.MAX_FRAME)
        self.waiting: list = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.socket.connect(os.environ["STAGEWIRE_SOCKET"])
            self._shake_hands(stage, offered)
        except OSError as error:
            self.socket.close()
            raise Gone(None, str(error)) from None
        except Gone:
            self.socket.close()
            raise

    def _shake_hands(self, stage: str, offered: list[str]) -> None:
        self.send(frames.frame(hello=pb.Hello(
            min_version=VERSION, max_version=VERSION, stage=stage, instance=os.environ.get("STAGEWIRE_INSTANCE", ""),
            offered=offered, token=bytes.fromhex(os.environ.get("STAGEWIRE_TOKEN", "")), max_frame=codes.MAX_FRAME,
            sdk="crash rig", language="python")))
        # A killed broker leaves nobody who would answer, but the kernel then says so.
        while not (found := self.receive(10)):
            pass
        first, *self.waiting = found
        if first.WhichOneof("message") != "welcome":
            raise Gone(None, f"{first.WhichOneof('message')} in place of Welcome")
        self.welcome = first.welcome

    def send(self, frame: bytes) -> None:
        try:
            self.socket.sendall(frame)
        except OSError as error:
            self.receive(1)  # the broker may have said why
            raise Gone(None, str(error)) from None

    def receive(self, seconds: float) -> list[pb.Envelope]:
        """What has come, or comes within so many seconds; Pings are answered."""
        if self.waiting:
            found, self.waiting = self.waiting, []
            return found
        if not select.select([self.socket], [], [], seconds)[0]:
            return []
        try:
            data = self.socket.recv(READ)
        except OSError as error:
            raise Gone(None, str(error)) from None
        if not data:
            raise Gone
        found = []
        for content in self.reader.feed(data):
            envelope = pb.Envelope.FromString(content)
            if envelope.HasField("close"):
                raise Gone(envelope.close.code, envelope.close.message)
            if envelope.HasField("ping"):
                self.send(frames.frame(pong=pb.Pong(nonce=envelope.ping.nonce)))
            found.append(envelope)
        return found

    def close(self) -> None:
        """Says Close(0) and waits for the end."""
        try:
            self.send(frames.frame(close=pb.Close()))
            while True:
                self.receive(5)
        except Gone:
            self.socket.close()


def attach_forever(stage: str, offered: list[str], work) -> None:
    """Calls `work(peer)` for one session after the other, until the broker says that it is done with this worker."""
    is_spawned = "STAGEWIRE_TOKEN" in os.environ
    while True:
        try:
            work(Peer(stage, offered))
            sys.exit(0)
        except Gone as gone:
            if gone.code == codes.OK:
                sys.exit(0)
            if gone.code is not None and gone.code not in codes.RETRYABLE:
                print(f"{stage}: {gone} ({gone.code})", file=sys.stderr, flush=True)
                sys.exit(2)
            if is_spawned and gone.code is None:
                sys.exit(1)
        time.sleep(RETRY_SECONDS)


class Log:
    """A file that is appended to, a line at a time. What a killed process had begun is closed by a line's end."""

    def __init__(self, path: str):
        self.file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        end = os.fstat(self.file).st_size
        if end and os.pread(self.file, 1, end - 1) != b"\n":
            self.write("\n")

    def write(self, text: str) -> None:
        data = text.encode()
        while data:
            data = data[os.write(self.file, data):]

    def sync(self) -> None:
        os.fdatasync(self.file)
