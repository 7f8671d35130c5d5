"""A worker that is written out of docs/PROTOCOL.md's pseudocode, one thread and blocking IO, and that can be made wrong.

MUTANT names one rule that it then breaks: the mutation test (mutation.py) asks for a case that notices. Without it the
worker is right, and passes profiles core, source, window and reconnect.
"""

import os
import select
import socket
import struct
import sys
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "sdk-stubs" / "python"))
from stagewire.v1 import envelope_pb2 as pb  # noqa: E402

MUTANT = os.environ.get("MUTANT", "")
STAGE = os.environ["STAGEWIRE_STAGE"]
# Whoever has started a worker without a token waits for it to come back by itself (EN-5).
IS_EXTERNAL = not os.environ.get("STAGEWIRE_TOKEN")
IS_BACK = "WORKER_IS_BACK" in os.environ
RETRYABLE = {104, 105, 110, 201, 202, 207, 211, 212}
KIND = pb.OutcomeKind
ACCEPTED, REJECTED = KIND.OUTCOME_KIND_ACCEPTED, KIND.OUTCOME_KIND_REJECTED
RETRY, RELEASED = KIND.OUTCOME_KIND_RETRY, KIND.OUTCOME_KIND_RELEASED


def is_mutant(*names):
    return MUTANT in names


class Verdict(Exception):
    def __init__(self, kind, code=0, text="", delay=0):
        self.kind, self.code, self.text, self.delay = kind, code, text, delay


def escaped(text):
    if is_mutant("raw-close-text"):
        return text
    return "".join(c if c.isprintable() else "\\x%02x" % ord(c) for c in text)[:8192]


class Wire:
    """Frames in and out."""

    def __init__(self, path):
        self.socket = self.dial(path)
        self.buffer = b""
        self.version = 1000
        self.limit = 4 << 20
        self.closed = False

    @staticmethod
    def dial(path):
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(path)
                return connection
            except OSError:
                if not IS_EXTERNAL:
                    raise
                time.sleep(0.05)

    def send(self, **message):
        envelope = pb.Envelope(version=0 if is_mutant("version-zero") else self.version, **message)
        data = envelope.SerializeToString()
        if "settle" in message and is_mutant("two-kinds"):
            data += pb.Envelope(extend=pb.Extend()).SerializeToString()
        if "settle" in message and is_mutant("non-minimal"):
            data = self.padded(data)
        if "settle" in message and is_mutant("sends-a-group"):
            data += b"\xc3\x3e\xc4\x3e"
        if "hello" in message and is_mutant("unknown-field-below-1000"):
            data = self.with_field(data, b"\xa2\x06\x01x")
        self.socket.sendall(struct.pack(">I", len(data)) + data)

    @staticmethod
    def with_field(data, field):
        """Hello with a field that no version has."""
        body = pb.Envelope.FromString(data).hello.SerializeToString() + field
        return b"\x08\xe8\x07\x12" + varint(len(body)) + body

    @staticmethod
    def padded(data):
        """The same with the first outcome's length written one byte longer than necessary."""
        body = pb.Envelope.FromString(data).settle.outcomes[0].SerializeToString()
        rest = pb.Envelope.FromString(data).settle.outcomes[1:]
        low = len(body) & 0x7F | 0x80
        high = len(body) >> 7
        outcome = b"\x0a" + (bytes([low, high]) if high == 0 else bytes([low, high | 0x80, 0])) + body
        inner = outcome + b"".join(b"\x0a" + varint(len(o.SerializeToString())) + o.SerializeToString() for o in rest)
        return b"\x08\xe8\x07" + b"\x4a" + varint(len(inner)) + inner

    def read(self, count):
        while len(self.buffer) < count:
            data = self.socket.recv(1 << 16)
            if not data:
                if not self.closed:
                    come_back()
                leave(0 if self.closed or is_mutant("exit-0-on-eof") else 1)
            self.buffer += data
            if is_mutant("partial-read") and len(self.buffer) < count:
                leave(1)
        result, self.buffer = self.buffer[:count], self.buffer[count:]
        return result

    def receive(self):
        (length,) = struct.unpack(">I", self.read(4))
        if length > self.limit and not is_mutant("no-prefix-limit"):
            self.refuse(101, f"a frame of {length} bytes, at most {self.limit} are allowed")
        content = self.read(length)
        if is_mutant("one-frame-per-read"):
            self.buffer = b""
        envelope = pb.Envelope()
        try:
            envelope.ParseFromString(content)
        except Exception:
            self.refuse(100, "what came is not valid protobuf")
        kind = envelope.WhichOneof("message")
        if kind and envelope.version != self.version and is_mutant("minds-the-minor"):
            leave(1)
        if kind is None and is_mutant("unknown-kind-ends"):
            leave(1)
        if is_mutant("unknown-field-ends") and kind and b"strange" in content:
            leave(1)
        if kind == "close":
            self.take_close(envelope)
        return kind, getattr(envelope, kind) if kind else None, length

    def refuse(self, code, text):
        if is_mutant("closes-with-a-delivery-code"):
            code = 305
        if is_mutant("closes-without-a-sentence"):
            text = ""
        if not is_mutant("ends-without-close"):
            self.send(close=pb.Close(code=code, message=text))
            self.discard()
        leave(2)

    def discard(self):
        """Behind its own Close a side reads until the other one ends the connection, for 5 s at most (EN-1)."""
        self.socket.settimeout(5)
        try:
            while self.socket.recv(1 << 16):
                pass
        except OSError:
            pass

    def take_close(self, envelope):
        close = envelope.close
        if is_mutant("other-major-ignored") and envelope.version // 1000 != 1:
            return
        if is_mutant("talks-after-close"):
            self.send(extend=pb.Extend())
        if close.code == 0:
            leave(1 if is_mutant("exit-1-on-ok") else 0)
        if not is_mutant("no-sentence"):
            print(escaped(close.message), file=sys.stderr, flush=True)
        retryable = close.code in RETRYABLE or is_mutant("unknown-code-retryable") and close.code >= 900
        if is_mutant("exit-2-always"):
            leave(2)
        if retryable or is_mutant("comes-back-always"):
            come_back()
        leave(1 if retryable or is_mutant("exit-1-always") else 2)


def leave(code):
    sys.stderr.flush()
    os._exit(code)


def come_back():
    """A new session starts from nothing (EN-6), hence as a new program. For spawned workers the host does that."""
    if not IS_EXTERNAL:
        return
    time.sleep(0.05)
    os.environ["WORKER_IS_BACK"] = "yes"
    os.execv(sys.executable, [sys.executable, *sys.argv])


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Worker:
    def __init__(self):
        self.wire = Wire(os.environ["STAGEWIRE_SOCKET"])
        token = bytes.fromhex(os.environ.get("STAGEWIRE_TOKEN", ""))
        if not is_mutant("keeps-token"):
            os.environ.pop("STAGEWIRE_TOKEN", None)
        offered = {"transform": ["single-threaded"], "source": [], "window": ["single-threaded", "holds"]}[STAGE]
        if is_mutant("undeclared-feature"):
            offered = offered + ["settle-confirm"]
        if is_mutant("feature-of-its-own"):
            offered = offered + ["mine"]
        hello = pb.Hello(
            min_version=1000, max_version=1000, stage=STAGE, instance=os.environ.get("STAGEWIRE_INSTANCE", ""),
            offered=offered, token=b"wrong" if is_mutant("wrong-token") else token, language="Python")
        if is_mutant("no-stage"):
            hello.stage = ""
        self.wire.send(hello=hello)
        if is_mutant("early-credit"):
            self.wire.send(credit=pb.Credit(number=0, records=1, bytes=1))
        kind, self.welcome, _ = self.wire.receive()
        while kind != "welcome":
            kind, self.welcome, _ = self.wire.receive()
        if self.welcome.version != 1000 and not is_mutant("any-version"):
            self.wire.refuse(102, f"version {self.welcome.version} is not 1000")
        if set(offered) - set(self.welcome.features) and is_mutant("needs-what-it-offers"):
            leave(3)
        if any(i.ordering > 3 for i in self.welcome.inputs) and is_mutant("minds-unknown-orderings"):
            leave(3)
        self.wire.limit = self.welcome.max_frame
        self.ports = {o.port: (0 if is_mutant("guesses-numbers") else o.number) for o in self.welcome.outputs}
        self.limit = defaultdict(lambda: [0, 0])
        self.used = defaultdict(lambda: [0, 0])
        self.taken = defaultdict(lambda: [0, 0])
        self.granted = defaultdict(lambda: [0, 0])
        self.window = [256, 2 * self.welcome.max_record]
        if is_mutant("grants-little"):
            self.window = [256, self.welcome.max_record // 2]
        self.queue = []
        self.batch = []
        self.sent = time.monotonic()
        self.drain = None
        self.is_done = False
        self.inputs = {i.number: i for i in self.welcome.inputs}
        self.void = set()

    # ---- Frames ----

    def dispatch(self, frame):
        kind, message, length = frame
        if kind == "deliver":
            self.queue.append((message, length))
        elif kind == "credit":
            limit = self.limit[message.number]
            for index, value in enumerate((message.records, message.bytes)):
                if is_mutant("additive-credit"):
                    limit[index] += value
                elif is_mutant("lower-credit-counts"):
                    limit[index] = value
                else:
                    limit[index] = max(limit[index], value)
        elif kind == "ping" and not is_mutant("no-pong"):
            self.wire.send(pong=pb.Pong(nonce=message.nonce + is_mutant("wrong-nonce")))
        elif kind == "drain":
            if is_mutant("exits-on-drain"):
                self.flush()
                leave(0)
            self.drain = message
        elif kind in ("claimed", "committed"):
            self.source.take(kind, message)
        if is_mutant("sends-runs") and kind == "ping":
            self.wire.send(runs=pb.Runs())
        if is_mutant("sends-unknown-kinds") and kind == "ping":
            self.wire.socket.sendall(bytes.fromhex("0000000608e807a20100"))

    def grant(self, number):
        if is_mutant("grants-once") and self.granted[number][0] or IS_BACK and is_mutant("grants-in-its-first-session"):
            return
        for index in (0, 1):
            self.granted[number][index] = self.taken[number][index] + self.window[index]
        wrong = is_mutant("wrong-input-number")
        self.wire.send(credit=pb.Credit(
            number=number + wrong, records=self.granted[number][0], bytes=self.granted[number][1]))

    def took(self, number, records, size):
        if is_mutant("counts-half-of-what-it-took"):
            size //= 2
        taken, granted = self.taken[number], self.granted[number]
        taken[0] += records
        taken[1] += size
        if any(taken[i] + self.window[i] - granted[i] >= self.window[i] / 2 for i in (0, 1)):
            self.grant(number)

    def fits(self, need):
        if is_mutant("ignores-credit"):
            return True
        return all(
            self.used[port][0] + need[port][0] * (not is_mutant("counts-no-records")) <= self.limit[port][0]
            and self.used[port][1] + need[port][1] <= self.limit[port][1]
            for port in need)

    def charge(self, outcome):
        reserve = 0 if is_mutant("forgets-reserve") else self.welcome.stamp_reserve
        need = defaultdict(lambda: [0, 0])
        for emission in outcome.emissions:
            need[emission.port][0] += 1
            need[emission.port][1] += emission.output.ByteSize() + reserve
        return need

    def await_credit(self, need):
        while not self.fits(need):
            if is_mutant("deaf-while-waiting"):
                frame = self.wire.receive()
                if frame[0] == "credit":
                    self.dispatch(frame)
                continue
            self.dispatch(self.wire.receive())
        for port in need:
            self.used[port][0] += need[port][0]
            self.used[port][1] += need[port][1]

    def flush(self):
        if not self.batch:
            return
        batch, self.batch = self.batch, []
        if is_mutant("reverse-order"):
            batch.reverse()
        if is_mutant("settles-twice"):
            batch = batch + batch[-1:]
        for part in self.split(batch):
            self.wire.send(settle=pb.Settle(outcomes=part))
        self.sent = time.monotonic()

    @property
    def frame_limit(self):
        """LM-4: 256 KiB are allowed at any time, whatever the credit."""
        return min(self.wire.limit, 1 << 18) if not is_mutant("ignores-frame-credit") else self.wire.limit

    def split(self, batch):
        """Frames stay within the limit of Welcome."""
        if is_mutant("ignores-max-frame"):
            return [batch]
        parts, size = [[]], 0
        for outcome in batch:
            length = outcome.ByteSize() + 16
            if parts[-1] and size + length > self.frame_limit - 64:
                parts.append([])
                size = 0
            parts[-1].append(outcome)
            size += length
        return parts

    # ---- Transform ----

    def run_transform(self):
        for number in self.inputs:
            self.grant(number)
        while True:
            while not self.queue or is_mutant("waits-for-second") and len(self.queue) < 2:
                self.dispatch(self.wire.receive())
            self.work(*self.queue.pop(0))

    def work(self, deliver, length):
        self.took(deliver.input, len(deliver.records), length)
        for index, record in enumerate(deliver.records):
            first = index + 1 if is_mutant("ids-per-frame") else deliver.first_delivery + index
            if is_mutant("ids-from-zero"):
                first -= 1
            if IS_BACK and is_mutant("ids-go-on-when-it-is-back"):
                first += 3
            attempt = 1
            if deliver.attempts and not is_mutant("ignores-attempts"):
                attempt = deliver.attempts[index]
            self.settle(self.outcome(first, record, attempt))
        self.flush()

    def outcome(self, first, record, attempt):
        outcome = pb.Outcome(first=first, kind=ACCEPTED)
        emissions = []
        try:
            for words in record.payload.decode("utf-8", "replace").split(";"):
                self.carry_out(words.split(" "), record, attempt, emissions)
        except Verdict as verdict:
            outcome.kind, outcome.delay_ms = verdict.kind, verdict.delay
            if verdict.code:
                outcome.error.code, outcome.error.message = verdict.code, verdict.text[:8192]
            if not is_mutant("emits-with-retry"):
                emissions = []
            if is_mutant("verdict-is-accepted"):
                outcome.kind = ACCEPTED
        if is_mutant("leaves-void-deliveries"):
            if record.header.key and record.header.key in self.void:
                return None
            if outcome.kind in (RETRY, RELEASED):
                self.void.add(record.header.key)
        if is_mutant("kind-unspecified"):
            outcome.kind = 0
        outcome.emissions.extend(emissions)
        return outcome

    def settle(self, outcome):
        if outcome is None or is_mutant("filtered-not-settled") and outcome.kind == ACCEPTED and not outcome.emissions:
            return
        if is_mutant("error-code-of-broker") and outcome.error.code:
            outcome.error.code = 300
        need = self.charge(outcome)
        total = sum(n[1] for n in need.values())
        count = sum(n[0] for n in need.values())
        largest = max((e.output.ByteSize() + self.welcome.stamp_reserve for e in outcome.emissions), default=0)
        too_large = 0
        if total > self.welcome.max_step_bytes or count > self.welcome.max_step_records:
            too_large = 305
        if largest > self.welcome.max_record:
            too_large = 304
        if too_large and not is_mutant("waits-for-impossible", "oversize-step"):
            error = pb.Error(code=too_large, message="the output is above the pipeline's limits")
            outcome, need = pb.Outcome(first=outcome.first, last=outcome.last, more=outcome.more, kind=REJECTED, error=error), {}
        if too_large and is_mutant("oversize-step"):
            need = {}
        if is_mutant("control-needs-credit") and not outcome.emissions:
            need = {port: [1, 1] for port in self.ports.values()}
        if is_mutant("parents-of-others"):
            for emission in outcome.emissions:
                emission.parents.append(outcome.first + 1000)
        if not self.fits(need):
            self.flush()
        self.await_credit(need)
        self.batch.append(outcome)
        if sum(o.ByteSize() for o in self.batch[-1:]) > 1 << 16 or time.monotonic() - self.sent > self.welcome.lease_ms / 3000:
            self.flush()

    def emission(self, record, payload, port="out"):
        output = pb.Emission(port=self.ports["out" if is_mutant("all-ports-are-one") else port])
        output.output.header.CopyFrom(record.header)
        output.output.payload = payload
        if is_mutant("copies-lineage"):
            output.output.lineage.CopyFrom(record.lineage)
        if is_mutant("loses-header"):
            output.output.ClearField("header")
        return output

    def carry_out(self, words, record, attempt, emissions):
        verb, rest = words[0], words[1:]
        if verb == "":
            return
        if verb == "echo":
            emissions.append(self.emission(record, record.payload))
        elif verb == "emit":
            size = int(rest[1]) if len(rest) > 1 else 0
            port = rest[2] if len(rest) > 2 else "out"
            for number in range(int(rest[0])):
                emissions.append(self.emission(record, str(number).encode().ljust(size), port))
        elif verb == "attempt":
            emissions.append(self.emission(record, str(attempt).encode()))
        elif verb == "id":
            emissions.append(self.emission(record, record.lineage.id.hex().encode()))
        elif verb == "config":
            emissions.append(self.emission(record, self.welcome.config))
        elif verb == "env":
            value = os.environ.get(rest[0])
            if value is not None:
                emissions.append(self.emission(record, value.encode()))
        elif verb == "wait":
            self.work_for(int(rest[0]) / 1000)
        elif verb == "reject":
            raise Verdict(REJECTED, int(rest[0]) if rest else 1000, " ".join(rest[1:]))
        elif verb == "retry":
            delay = int(rest[0]) if rest else 0
            raise Verdict(RETRY, int(rest[1]) if len(rest) > 1 else 1000, " ".join(rest[2:]), delay)
        elif verb == "release":
            raise Verdict(RELEASED)
        elif verb == "throw":
            raise Verdict(RETRY, 1000, " ".join(rest))
        elif verb == "exit":
            leave(int(rest[0]))
        else:
            raise Verdict(REJECTED, 1999, f"unknown directive {verb}")

    def work_for(self, seconds):
        """Works in pieces, so that the lease is extended in time (LE-4)."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(min(self.welcome.lease_ms / 4000, max(0, end - time.monotonic())))
            if not is_mutant("no-extend"):
                self.flush()
                self.wire.send(extend=pb.Extend())

    # ---- Waiting with a clock ----

    def serve(self, seconds):
        """Takes what comes until there is nothing or the time is up."""
        if not self.wire.buffer and not select.select([self.wire.socket], [], [], max(0, seconds))[0]:
            return False
        self.dispatch(self.wire.receive())
        return True


class Source:
    def __init__(self, worker, config):
        self.worker = worker
        worker.source = self
        self.config = {"partition": "p", "records": 10, "per_emit": 2, "size": 0, "keys": 3, "pause_ms": 0, "stay": False}
        self.config.update(config)
        self.claimed = None
        self.through = 0
        self.last = 0

    def take(self, kind, message):
        if kind == "claimed":
            self.claimed = message
            self.through = message.last_emit_id
        else:
            self.through = max(self.through, message.through)
            for refusal in message.refused:
                print(f"Emit {refusal.id} was refused: {escaped(refusal.error.message)}", file=sys.stderr, flush=True)

    def run(self):
        w, c = self.worker, self.config
        if not is_mutant("no-claim") and not (IS_BACK and is_mutant("claims-in-its-first-session")):
            w.wire.send(claim=pb.Claim(partition=c["partition"]))
            while self.claimed is None:
                w.dispatch(w.wire.receive())
        position = int(self.claimed.checkpoint or b"0") if self.claimed and not is_mutant("ignores-checkpoint") else 0
        self.last = self.claimed.last_emit_id if self.claimed and not is_mutant("ignores-last-emit-id") else 0
        if IS_BACK and is_mutant("emits-the-unconfirmed-anew"):
            position = max(0, position - c["per_emit"])
        while position < c["records"] and not w.drain:
            self.emit_one(position)
            position = min(c["records"], position + c["per_emit"])
            self.rest(c["pause_ms"] / 1000)
        if is_mutant("emits-after-drain"):
            self.emit_one(position)
        while c["stay"] and not w.drain:
            self.rest(1)
        self.end()

    def emit_one(self, position):
        w, c = self.worker, self.config
        emit = pb.Emit(partition=c["partition"])
        end = min(c["records"], position + c["per_emit"])
        for number in range(position + 1, end + 1):
            output = emit.emissions.add(port=w.ports["out"]).output
            output.header.schema = "conformance"
            output.header.key = b"k%d" % (number % c["keys"])
            output.payload = str(number).encode().ljust(c["size"])
        if is_mutant("source-names-parents"):
            emit.emissions[0].parents.append(1)
        if not is_mutant("no-checkpoint"):
            emit.checkpoint = str(end).encode()
        need = w.charge(emit)
        w.await_credit(need)
        self.last += 2 if is_mutant("emit-id-gap") else 1
        emit.emit_id = self.last
        w.wire.send(emit=emit)

    def rest(self, seconds):
        w = self.worker
        if is_mutant("deaf-while-resting"):
            time.sleep(seconds)
            return
        end = time.monotonic() + seconds
        while not w.drain and (w.serve(end - time.monotonic()) or time.monotonic() < end):
            pass

    def end(self):
        w = self.worker
        is_shutdown = w.drain and w.drain.reason != pb.DrainReason.DRAIN_REASON_INPUT_ENDED
        while self.through < self.last and not is_mutant("closes-before-committed"):
            w.dispatch(w.wire.receive())
        if is_shutdown:
            w.wire.send(close=pb.Close(code=0))
            w.wire.closed = True
            while True:
                w.wire.read(1)
        if not is_mutant("no-finished"):
            w.wire.send(finished=pb.Finished(partition=self.config["partition"]))
        while True:
            w.dispatch(w.wire.receive())


class Window:
    """By count, with feature holds: settled as one outcome when full, at INPUT_ENDED, or when the bounds ask for it."""

    def __init__(self, worker, config):
        self.worker = worker
        self.size = config.get("records") or 1 << 60
        self.seconds = config.get("seconds") or 0
        self.by_key = config.get("by_key", False)
        self.open = {}
        self.opened = {}
        self.extended = time.monotonic()

    def run(self):
        w = self.worker
        for number in w.inputs:
            w.grant(number)
        while True:
            w.serve(min(0.05, w.welcome.lease_ms / 6000) if self.open else 1)
            while w.queue:
                self.take(*w.queue.pop(0))
            for key in [k for k in self.open if self.seconds and time.monotonic() - self.opened[k] >= self.seconds]:
                self.end(key)
            if w.drain and self.open and not is_mutant("drain-not-flushed"):
                for key in list(self.open):
                    self.end(key)
            if self.open and time.monotonic() - self.extended > w.welcome.lease_ms / 3000 and not is_mutant("window-no-extend"):
                w.wire.send(extend=pb.Extend())
                self.extended = time.monotonic()

    def take(self, deliver, length):
        w = self.worker
        w.took(deliver.input, len(deliver.records), length)
        for index, record in enumerate(deliver.records):
            key = bytes(record.header.key) if self.by_key else b""
            self.opened.setdefault(key, time.monotonic())
            self.open.setdefault(key, []).append((deliver.first_delivery + index, record))
            if len(self.open[key]) >= self.size:
                self.end(key)
            self.make_room(deliver.input)

    def make_room(self, number):
        """DE-4: the oldest group goes when the session may hold no more."""
        bound = self.worker.inputs[number]
        held = sum(len(records) for records in self.open.values())
        size = sum(r.ByteSize() for records in self.open.values() for _, r in records)
        if is_mutant("never-makes-room"):
            return
        if held >= bound.max_unsettled_records or size + self.worker.welcome.max_record > bound.max_unsettled_bytes:
            self.end(min(self.open, key=lambda k: self.open[k][0][0]))

    def end(self, key):
        w = self.worker
        records = self.open.pop(key)
        self.opened.pop(key, None)
        ids = [i for i, _ in records]
        if is_mutant("descending-ranges"):
            ids.reverse()
        outcome = pb.Outcome(first=ids[0], kind=ACCEPTED)
        for i in ids[1:]:
            outcome.more.add(first=i)
        payloads = [r.payload for _, r in records]
        directive = next((p.decode() for p in payloads if p.split(b" ")[0] in (b"reject", b"retry", b"release", b"wait")), "")
        try:
            if directive:
                w.carry_out(directive.split(" "), records[0][1], 1, [])
            emission = outcome.emissions.add(port=w.ports["out"])
            emission.output.header.key = key
            emission.output.payload = b",".join(payloads)
            if w.drain and w.drain.reason != pb.DrainReason.DRAIN_REASON_INPUT_ENDED and not is_mutant("window-at-shutdown"):
                raise Verdict(RELEASED)
        except Verdict as verdict:
            outcome.kind, outcome.delay_ms = verdict.kind, verdict.delay
            outcome.ClearField("emissions")
            if verdict.code:
                outcome.error.code, outcome.error.message = verdict.code, verdict.text
        w.settle(outcome)
        w.flush()


def main():
    worker = Worker()
    import json

    config = json.loads(worker.welcome.config or b"{}")
    if STAGE == "transform":
        worker.run_transform()
    elif STAGE == "source":
        Source(worker, config).run()
    else:
        Window(worker, config).run()


if STAGE not in ("transform", "source", "window"):
    print(f"this worker has no stage {STAGE}", file=sys.stderr)
    sys.exit(2)
try:
    main()
except (BrokenPipeError, ConnectionResetError):
    come_back()
    leave(1)
