"""A broker played by the test: it keeps the broker's side of credit and delivery ids, and checks the worker's at every frame."""

import os
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
BUILD = pathlib.Path(os.environ.get("STAGEWIRE_C_BUILD", HERE.parent / "build" / "san"))


def _messages():
    """protoc's code for proto/, made anew for this run."""
    directory = tempfile.TemporaryDirectory(prefix="stagewire-c-proto-")
    out = directory.name
    files = sorted(str(p) for p in (ROOT / "proto").rglob("*.proto"))
    subprocess.run(["protoc", f"-I{ROOT / 'proto'}", f"--python_out={out}", *files], check=True)
    sys.path.insert(0, out)
    from stagewire.v1 import envelope_pb2

    directory.cleanup()
    return envelope_pb2


pb = _messages()
Kind = pb.OutcomeKind
LONG = 20.0  # seconds that a test waits for what has to come


class Closed(Exception):
    pass


class Session:
    """One accepted connection."""

    def __init__(self, connection, **limits):
        self.socket = connection
        self.socket.settimeout(LONG)
        self.limits = dict(max_record=1 << 20, max_step_records=64, max_step_bytes=1 << 20, stamp=100, lease=30000)
        self.limits.update(limits)
        self.next_id = 1
        self.held = {}  # delivery id: record
        self.granted = {}  # input: (records, bytes)
        self.delivered = {}
        self.limit = {}  # output: [records, bytes]
        self.used = {}
        self.emits = []
        self.hello = self.receive().hello

    # -- frames --

    def receive(self):
        length = struct.unpack(">I", self._exactly(4))[0]
        envelope = pb.Envelope.FromString(self._exactly(length))
        assert envelope.version == 1000, envelope
        self._check(envelope)
        return envelope

    def _exactly(self, size):
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise Closed
            data += part
        return data

    def send(self, **message):
        envelope = pb.Envelope(version=1000, **message)
        self.raw(envelope.SerializeToString())

    def raw(self, body):
        self.socket.sendall(struct.pack(">I", len(body)) + body)

    # -- the handshake --

    def welcome(self, outputs=("out", "side"), inputs=(("up", pb.ORDERING_KEY),), config=b"{}", credit=(1000, 1 << 24)):
        l = self.limits
        self.send(welcome=pb.Welcome(
            version=1000, session=1, features=list(self.hello.required), max_frame=1 << 22, max_record=l["max_record"],
            stamp_reserve=l["stamp"], max_step_records=l["max_step_records"], max_step_bytes=l["max_step_bytes"],
            heartbeat_ms=10000, idle_ms=30000, lease_ms=l["lease"], config=config, pipeline="p", instance="one",
            inputs=[pb.Input(number=7 + i, stage=s, port="out", ordering=o, max_unsettled_records=l.get("unsettled", 4096),
                             max_unsettled_bytes=1 << 22) for i, (s, o) in enumerate(inputs)],
            outputs=[pb.Output(number=3 + i, port=o) for i, o in enumerate(outputs)]))
        for number in range(3, 3 + len(outputs)):
            self.limit[number] = [0, 0]
            self.used[number] = [0, 0]
            if credit:
                self.give(number, *credit)

    def give(self, number, records, size):
        self.limit[number] = [self.limit[number][0] + records, self.limit[number][1] + size]
        self.send(credit=pb.Credit(number=number, records=self.limit[number][0], bytes=self.limit[number][1]))

    # -- deliveries --

    def deliver(self, *payloads, key=b"", keys=None, number=7, attempts=(), ids=None, times=None):
        """Delivers one record for each payload; waits for credit as a broker does."""
        records = []
        for i, payload in enumerate(payloads):
            record = pb.stagewire_dot_v1_dot_record__pb2.Record(payload=payload.encode())
            record.header.key = keys[i] if keys else key
            if times:
                record.header.event_time = times[i]
            record.lineage.id = (ids[i] if ids else self.next_id + i).to_bytes(16, "big")
            records.append(record)
        size = sum(r.ByteSize() for r in records)
        had = self.delivered.get(number, (0, 0))
        while not self._fits(number, had[0] + len(records), had[1] + size):
            self.receive()
        self.delivered[number] = (had[0] + len(records), had[1] + size)
        first = self.next_id
        self.next_id += len(records)
        for i, record in enumerate(records):
            self.held[first + i] = record
        self.send(deliver=pb.Deliver(input=number, first_delivery=first, records=records, attempts=list(attempts)))
        return first

    def _fits(self, number, records, size):
        granted = self.granted.get(number, (0, 0))
        return records <= granted[0] and size <= granted[1]

    # -- what the worker may do --

    def _check(self, envelope):
        kind = envelope.WhichOneof("message")
        if kind == "credit":
            c = envelope.credit
            before = self.granted.get(c.number, (0, 0))
            assert c.records >= before[0] and c.bytes >= before[1]
            self.granted[c.number] = (c.records, c.bytes)
        if kind == "settle":
            for outcome in envelope.settle.outcomes:
                self._check_outcome(outcome)
        if kind == "emit":
            self._charge(envelope.emit.emissions)
            self.emits.append(envelope.emit)

    def covered(self, outcome):
        ranges = [(outcome.first, outcome.last or outcome.first)] + [(r.first, r.last or r.first) for r in outcome.more]
        for before, after in zip(ranges, ranges[1:]):
            assert before[1] < after[0], "ranges ascend"
        return [i for a, b in ranges for i in range(a, b + 1)]

    def _check_outcome(self, outcome):
        ids = self.covered(outcome)
        for i in ids:
            assert i in self.held, f"delivery {i} is not held"
            del self.held[i]
        assert outcome.kind in (1, 2, 3, 4)
        assert outcome.kind == Kind.OUTCOME_KIND_ACCEPTED or not outcome.emissions
        for emission in outcome.emissions:
            assert set(emission.parents) <= set(ids) and len(set(emission.parents)) == len(emission.parents)
        self._charge(outcome.emissions)

    def _charge(self, emissions):
        l = self.limits
        total = 0
        assert len(emissions) <= l["max_step_records"]
        for emission in emissions:
            assert not emission.output.HasField("lineage")
            charge = emission.output.ByteSize() + l["stamp"]
            total += charge
            assert charge <= l["max_record"]
            used = self.used[emission.port]
            used[0] += 1
            used[1] += charge
            assert used[0] <= self.limit[emission.port][0] and used[1] <= self.limit[emission.port][1], "credit"
        assert total <= l["max_step_bytes"]

    # -- waiting --

    def until(self, kind):
        """The next message of a kind; answers Ping on the way."""
        while True:
            envelope = self.receive()
            which = envelope.WhichOneof("message")
            if which == kind:
                return getattr(envelope, kind)
            if which == "ping":
                self.send(pong=pb.Pong(nonce=envelope.ping.nonce))

    def outcomes(self, deliveries):
        """The outcomes until so many deliveries are settled; Pings are left to `pings`."""
        found, count = [], 0
        self.pings = []
        while count < deliveries:
            envelope = self.receive()
            if envelope.WhichOneof("message") == "ping":
                self.pings.append(envelope.ping.nonce)
            if envelope.WhichOneof("message") != "settle":
                continue
            for outcome in envelope.settle.outcomes:
                found.append(outcome)
                count += len(self.covered(outcome))
        return found

    def until_ping(self):
        while True:
            envelope = self.receive()
            if envelope.WhichOneof("message") == "ping":
                return envelope.ping.nonce

    def barrier(self):
        """Everything sent before is parsed and queued."""
        self.send(ping=pb.Ping(nonce=99))
        assert self.until("pong").nonce == 99

    def close(self, code=0, message=""):
        self.send(close=pb.Close(code=code, message=message))
        try:
            while True:
                self.receive()
        except (Closed, OSError):
            pass
        self.socket.close()


class Broker:
    """A socket, and a worker that is started for it."""

    def __init__(self, program, stage, spawned=False, arguments=(), environment=None):
        self.directory = tempfile.TemporaryDirectory(prefix="swc-")
        self.path = os.path.join(self.directory.name, "s")
        self.sessions = []
        self.listen()
        env = dict(os.environ, STAGEWIRE_SOCKET=self.path, STAGEWIRE_STAGE=stage, ASAN_OPTIONS="detect_leaks=1",
                   **(environment or {}))
        if spawned:
            env["STAGEWIRE_TOKEN"] = "00ff10ef"
        self.process = subprocess.Popen([str(BUILD / program), *arguments], env=env, stderr=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def listen(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self.listener.settimeout(LONG)

    def gone(self):
        """No broker is there any more."""
        self.listener.close()
        os.unlink(self.path)

    def accept(self, **limits):
        self.sessions.append(Session(self.listener.accept()[0], **limits))
        return self.sessions[-1]

    def end(self):
        """Waits for the worker: its exit code and what it wrote to standard error."""
        _, err = self.process.communicate(timeout=LONG)
        err = err.decode()
        assert "Sanitizer" not in err and "runtime error" not in err, err
        return self.process.returncode, err

    def abandon(self):
        if self.process.poll() is None:
            self.process.kill()
        if not self.process.stderr.closed:
            self.process.communicate()
        for session in self.sessions:
            session.socket.close()
        self.listener.close()
        self.directory.cleanup()

