"""A broker for tests: speaks the protocol through the generated classes alone, and checks credit."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import struct
import tempfile
import threading

import stagewire
from stagewire import runner
from stagewire.v1 import envelope_pb2 as pb
from stagewire.v1 import record_pb2

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS = 20  # after which a test that waits for a frame has failed
RESERVE = 100
runner.BACKOFF_SECONDS = (0.01, 0.02)
RUNS = [
    pb.Run(number=1, stage="ingest", version="1.0.0", instance="ingest-1", language="rust"),
    pb.Run(number=2, stage="normalise", version="2.1.0", instance="normalise-2", language="go"),
]


def record(payload: bytes = b"", number: int = 0, **header) -> record_pb2.Record:
    """A record as the broker delivers it, two hops old."""
    lineage = record_pb2.Lineage(
        id=b"i" * 12 + struct.pack(">I", number),
        parents=[b"p" * 16],
        root=b"r" * 16,
        ingest_time=1_000_000,
        hops=[record_pb2.Hop(run=1, delta=5), record_pb2.Hop(run=2, delta=9, attempt=3)],
    )
    made = record_pb2.Record(lineage=lineage, payload=payload)
    if header:
        made.header.CopyFrom(record_pb2.Header(**header))
    return made


class Peer:
    """The broker's end of one connection."""

    def __init__(self, connection: socket.socket):
        self.connection = connection
        connection.settimeout(SECONDS)
        self.send_version = 1000
        self.delivered = 0
        self.credit: dict[int, tuple[int, int]] = {}  # granted by the worker
        self.charged: dict[int, list[int]] = {}  # of the worker's credit, by input
        self.granted = (0, 0)  # to the worker, output 0
        self.spent = [0, 0]
        self.stash: list[pb.Envelope] = []
        self.answers_pings = True  # as soon as it reads them; False: the script does, by `pong`
        self.pings: list[int] = []  # nonces that wait for `pong`

    # ---- Out ----

    def send(self, **message) -> None:
        body = pb.Envelope(version=self.send_version, **message).SerializeToString()
        self.connection.sendall(struct.pack(">I", len(body)) + body)

    def welcome(self, **changes) -> pb.Hello:
        hello = self.expect("hello")
        fields = dict(
            version=1000, session=1, max_frame=4 << 20, max_record=1 << 20, stamp_reserve=RESERVE,
            max_step_records=4096, max_step_bytes=1 << 20, heartbeat_ms=10_000, idle_ms=30_000,
            lease_ms=30_000, pipeline="test", instance="one",
            inputs=[
                pb.Input(
                    number=0, stage="normalise", port="out", max_unsettled_records=4096,
                    max_unsettled_bytes=4 << 20, ordering=pb.ORDERING_KEY,
                )
            ],
            outputs=[pb.Output(number=0, port="out"), pb.Output(number=1, port="late")],
        )
        self.send(welcome=pb.Welcome(**{**fields, **changes}))
        self.send(runs=pb.Runs(runs=RUNS))
        return hello

    def grant(self, records: int = 1 << 20, size: int = 1 << 30) -> None:
        self.granted = (max(records, self.granted[0]), max(size, self.granted[1]))
        for number in (0, 1):
            self.send(credit=pb.Credit(number=number, records=records, bytes=size))

    def deliver(self, records: list, attempts=(), number: int = 0) -> int:
        """On input `number`; waits for credit if it has to. Returns the first delivery id."""
        charged = self.charged.setdefault(number, [0, 0])
        charged[0] += len(records)
        charged[1] += sum(each.ByteSize() for each in records)
        while True:
            granted = self.credit.get(number, (0, 0))
            if charged[0] <= granted[0] and charged[1] <= granted[1]:
                break
            self.stash.append(self._next())
        first = self.delivered + 1
        self.delivered += len(records)
        self.send(deliver=pb.Deliver(input=number, first_delivery=first, records=records, attempts=attempts))
        return first

    def drain(self, reason: int, deadline_ms: int = 5000) -> None:
        self.send(drain=pb.Drain(reason=reason, deadline_ms=deadline_ms))

    def close(self, code: int = 0, message: str = "") -> None:
        """Says Close and reads on until EOF."""
        self.send(close=pb.Close(code=code, message=message))
        with contextlib.suppress(OSError):
            while self.connection.recv(1 << 16):
                pass

    # ---- In ----

    def expect(self, kind: str):
        """The next message other than Credit, Extend and Ping; it has to be of `kind`."""
        while True:
            envelope = self.stash.pop(0) if self.stash else self._next()
            found = envelope.WhichOneof("message")
            if found == kind:
                return getattr(envelope, kind)
            if found not in ("credit", "extend", "ping"):
                raise AssertionError(f"expected {kind}, the worker sent {envelope}")

    def outcomes(self, deliveries: int) -> list[pb.Outcome]:
        """The outcomes that settle the next so many deliveries."""
        found, settled = [], 0
        while settled < deliveries:
            for outcome in self.expect("settle").outcomes:
                found.append(outcome)
                settled += len(ids_of(outcome))
        if settled != deliveries:
            raise AssertionError(f"{settled} deliveries settled, expected {deliveries}")
        return found

    def pong(self) -> None:
        """Answers the oldest Ping, or the next message, which has to be one."""
        if not self.pings:
            self.expect("ping")
        self.send(pong=pb.Pong(nonce=self.pings.pop(0)))

    def _next(self) -> pb.Envelope:
        (length,) = struct.unpack(">I", self._read(4))
        envelope = pb.Envelope.FromString(self._read(length))
        assert envelope.version == 1000, envelope
        kind = envelope.WhichOneof("message")
        if kind == "credit":
            self.credit[envelope.credit.number] = (envelope.credit.records, envelope.credit.bytes)
        elif kind == "ping":
            self.pings.append(envelope.ping.nonce)
            if self.answers_pings:
                self.pong()
        elif kind == "settle":
            assert length <= 4 << 20
            for outcome in envelope.settle.outcomes:
                self._charge(outcome.emissions)
        elif kind == "emit":
            self._charge(envelope.emit.emissions)
        return envelope

    def _charge(self, emissions) -> None:
        for each in emissions:
            if each.port == 0:
                self.spent[0] += 1
                self.spent[1] += each.output.ByteSize() + RESERVE
        assert self.spent[0] <= self.granted[0], "credit exceeded: records"
        assert self.spent[1] <= self.granted[1], "credit exceeded: bytes"

    def _read(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            more = self.connection.recv(length - len(data))
            if not more:
                raise EOFError("the worker hung up")
            data += more
        return data


def ids_of(outcome: pb.Outcome) -> list[int]:
    ids = list(range(outcome.first, (outcome.last or outcome.first) + 1))
    for each in outcome.more:
        ids += range(each.first, (each.last or each.first) + 1)
    return ids


class Run:
    """How a worker ended."""

    def __init__(self, code: int, stderr: str):
        self.code, self.stderr = code, stderr


def work(stage, *scripts, token: str = "00ff", **arguments) -> Run:
    """Runs `stage` on this thread against a broker that plays one script per connection."""
    failures: list[BaseException] = []
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "broker")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        listener.listen()
        listener.settimeout(SECONDS)
        thread = threading.Thread(target=_play, args=(listener, scripts, failures), daemon=True)
        thread.start()
        environment = {"STAGEWIRE_SOCKET": path, "STAGEWIRE_STAGE": "score"}
        if token:
            environment |= {"STAGEWIRE_TOKEN": token, "STAGEWIRE_INSTANCE": "score-1"}
        try:
            run = _run(stage, environment, arguments)
            thread.join(SECONDS)
        finally:
            listener.close()
    if failures:
        raise AssertionError(f"broker: {failures[0]!r}; worker: {run.stderr}") from failures[0]
    return run


def _run(stage, environment: dict, arguments: dict) -> Run:
    saved = dict(os.environ)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    errors = io.StringIO()
    os.environ.update(environment)
    try:
        with contextlib.redirect_stderr(errors):
            stagewire.run(stage, **arguments)
        code = 0
    except SystemExit as end:
        code = end.code
    finally:
        assert "STAGEWIRE_TOKEN" not in os.environ, "children would inherit the token"
        os.environ.clear()
        os.environ.update(saved)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return Run(code, errors.getvalue())


def _play(listener, scripts, failures: list) -> None:
    for script in scripts:
        try:
            connection, _ = listener.accept()
            with connection:
                script(Peer(connection))
        except BaseException as error:
            failures.append(error)
            return
