"""The vectors of conformance/vectors that concern a worker; the README there explains their form.

`vectors` (vectors.c) says what the library reads and writes, Google's protobuf what is meant. Exit codes are those of real
processes."""

import contextlib
import json
import re
import socket
import struct
import subprocess
import unittest

from google.protobuf.descriptor import FieldDescriptor
from harness import BUILD, ROOT, Broker, Closed, Kind, pb

FOLDER = ROOT / "conformance" / "vectors"
RUNS = 1000  # to which the driver gives names
CODES = {name: int(number) for number, name in re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", (ROOT / "docs/PROTOCOL.md").read_text(), re.M)}
record_pb = pb.stagewire_dot_v1_dot_record__pb2


def vectors(file):
    found = json.loads((FOLDER / f"{file}.json").read_text())
    for each in found:
        pieces = each["hex"] if isinstance(each["hex"], list) else [each["hex"]]
        each["bytes"] = b"".join(
            bytes.fromhex(piece["repeat"]) * piece["times"] if isinstance(piece, dict) else bytes.fromhex(piece)
            for piece in pieces)
    return found


def repetition(value):
    """The unit, and how often it is meant."""
    if isinstance(value, dict) and value.keys() == {"repeat", "times"}:
        return value["repeat"], value["times"]
    return value, 1


def as_bytes(value):
    unit, times = repetition(value)
    return (bytes.fromhex(unit[2:]) if unit.startswith("0x") else unit.encode()) * times


def scalar(field, value):
    if field.type == FieldDescriptor.TYPE_BYTES:
        return as_bytes(value)
    if field.type == FieldDescriptor.TYPE_STRING:
        unit, times = repetition(value)
        return unit * times
    if field.enum_type and isinstance(value, str):
        return field.enum_type.values_by_name[value].number
    return float(value) if field.type == FieldDescriptor.TYPE_DOUBLE else value


def fill(message, values):
    """Makes `message` what the JSON of a vector means."""
    for name, value in values.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        target = getattr(message, name)
        if isinstance(value, list):
            for item in value:
                unit, times = repetition(item) if field.message_type else (item, 1)
                for _ in range(times):
                    if field.message_type:
                        fill(target.add(), unit)
                    else:
                        target.append(scalar(field, unit))
        elif field.message_type:
            target.SetInParent()
            fill(target, value)
        else:
            setattr(message, name, scalar(field, value))
    return message


def known(message):
    """Its bytes without unknown fields; two messages are compared by them, for NaN is not equal to itself."""
    copy = type(message)()
    copy.CopyFrom(message)
    copy.DiscardUnknownFields()
    return copy.SerializeToString(deterministic=True)


def seen_record(meant):
    """What a handler can see of a record: as known(), with what is absent as what stands for it."""
    record = record_pb.Record(payload=meant.payload)
    header, lineage = record.header, record.lineage
    header.CopyFrom(meant.header)
    del header.attributes[:]
    for each in meant.header.attributes:
        if each.WhichOneof("value"):  # one without a value is absent (RE-2)
            header.attributes.add().CopyFrom(each)
    lineage.CopyFrom(meant.lineage)
    lineage.id = lineage.id or bytes(16)
    lineage.root = lineage.root or lineage.id
    lineage.trace.SetInParent()
    for hop in lineage.hops:
        hop.run = hop.run if hop.run <= RUNS else 0
        hop.attempt = hop.attempt or 1
    return record


def same(case, got, meant):
    """Without a difference drawn up, which takes minutes for what is large."""
    case.assertTrue(got == meant, f"{got[:300]!r} is not {meant[:300]!r}")


class Driver:
    """tests/vectors.c."""

    def __init__(self):
        self.process = subprocess.Popen([str(BUILD / "vectors")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, letter, data, limit=0, piece=0):
        self.process.stdin.write(letter + struct.pack(">III", limit, piece, len(data)) + data)
        self.process.stdin.flush()
        return self._exactly(struct.unpack(">I", self._exactly(4))[0])

    def _exactly(self, size):
        data = self.process.stdout.read(size)
        if len(data) < size:
            raise AssertionError("the driver has ended: see standard error")
        return data

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(timeout=20)


def blobs(data):
    while data:
        size, = struct.unpack(">I", data[:4])
        yield data[4:4 + size]
        data = data[4 + size:]


class Driven(unittest.TestCase):
    def setUp(self):
        self.driver = Driver()
        self.addCleanup(lambda: self.assertEqual(self.driver.end(), 0))

    def decode(self, data, limit=4 << 20, piece=1 << 20):
        """How the stream ends, and what is seen of each frame."""
        answer = self.driver.ask(b"d", data, limit, piece)
        return answer[:1], list(blobs(answer[1:]))


class Frames(Driven):
    def test_to_a_worker(self):
        for each in vectors("frames-to-worker"):
            with self.subTest(each["name"]):
                end, seen = self.decode(each["bytes"])
                self.assertEqual((end, len(seen)), (b"m", 1))
                self._frame(seen[0], fill(pb.Envelope(), each["json"]))

    def _frame(self, seen, meant):
        got, deliver = pb.Envelope.FromString(seen), meant.deliver
        if meant.WhichOneof("message") != "deliver":
            same(self, known(got), known(meant))
            return
        self.assertEqual((got.version, got.deliver.input, got.deliver.first_delivery),
                         (meant.version, deliver.input, deliver.first_delivery))
        self.assertEqual(list(got.deliver.attempts), [a or 1 for a in deliver.attempts] or [1] * len(deliver.records))
        self.assertEqual(len(got.deliver.records), len(deliver.records))
        for each, record in zip(got.deliver.records, deliver.records):
            each.header.SetInParent()  # no header and an empty one are seen alike
            same(self, known(each), known(seen_record(record)))

    def test_streams(self):
        ends = {None: b"m", "FRAME_TOO_LARGE": b"l", "MALFORMED_FRAME": b"e"}
        for each in vectors("splits"):
            for piece in (1, 3, 1000, 1 << 20):
                with self.subTest(each["name"], piece=piece):
                    end, seen = self.decode(each["bytes"], each["limit"], piece)
                    self.assertEqual(end, ends[each.get("invalid", {}).get("code")])
                    self.assertEqual(len(seen), len(each["frames"]))
                    for frame, meant in zip(seen, each["frames"]):
                        self._frame(frame, fill(pb.Envelope(), meant["json"]))


def is_sayable(outcome):
    """Whether an author can have said it: outputs are always written, errors only with their verdicts; texts have no NUL."""
    failed = outcome.kind in (Kind.OUTCOME_KIND_REJECTED, Kind.OUTCOME_KIND_RETRY)
    text = outcome.error.message
    return all(each.HasField("output") for each in outcome.emissions) and outcome.HasField("error") == failed and \
        "\0" not in text and len(text.encode()) <= 8192 and (failed or not outcome.delay_ms) and \
        not (outcome.error.indefinite and outcome.kind == Kind.OUTCOME_KIND_REJECTED)


def meaning(settle):
    """What is settled, however it is put into outcomes; but for a release of its own, and steps, which stay what they are."""
    found = []
    for outcome in settle.outcomes:
        spans = [(outcome.first, outcome.last or outcome.first), *((r.first, r.last or r.first) for r in outcome.more)]
        ids = [i for first, last in spans for i in range(first, last + 1)]
        for emission in outcome.emissions:
            emission.ClearField("trace")  # of no meaning here (ST-4)
        said = (outcome.kind, outcome.delay_ms, known(outcome.error), [known(e) for e in outcome.emissions])
        if outcome.kind == Kind.OUTCOME_KIND_ACCEPTED and not outcome.emissions:
            found += [([i], said) for i in ids]
        else:
            found.append((ids, said))
    return found


class Writes(Driven):
    def test_settles(self):
        met = 0
        for each in vectors("frames-to-broker"):
            meant = fill(pb.Envelope(), each["json"])
            if meant.WhichOneof("message") != "settle" or not meant.settle.outcomes or not all(map(is_sayable, meant.settle.outcomes)):
                continue
            met += 1
            with self.subTest(each["name"]):
                frame = self.driver.ask(b"w", each["bytes"])
                # What is given back has a Ping behind it only when a lane was closed; here none was.
                self.assertEqual(struct.unpack(">I", frame[:4])[0], len(frame) - 4)
                got = pb.Envelope.FromString(frame[4:])
                self.assertEqual(got.version, 1000)
                same(self, meaning(got.settle), meaning(meant.settle))
        self.assertGreater(met, 20)

    def test_emits(self):
        met = 0
        for each in vectors("frames-to-broker"):
            meant = fill(pb.Envelope(), each["json"])
            emit = meant.emit
            if meant.WhichOneof("message") != "emit" or not all(e.HasField("output") for e in emit.emissions):
                continue
            met += 1
            with self.subTest(each["name"]):
                same(self, self.driver.ask(b"w", each["bytes"]), each["bytes"])
        self.assertGreater(met, 4)

    def test_what_is_rare(self):
        kinds = {}
        for each in vectors("frames-to-broker"):
            meant = fill(pb.Envelope(), each["json"])
            kind = meant.WhichOneof("message")
            if not each["canonical"] or meant.version != 1000 or kind in (None, "hello", "settle", "emit"):
                continue
            kinds[kind] = kinds.get(kind, 0) + 1
            with self.subTest(each["name"]):
                same(self, self.driver.ask(b"w", each["bytes"]), each["bytes"])
        self.assertEqual(kinds.keys(), {"close", "ping", "pong", "extend", "credit", "claim", "finished"})

    def test_outputs(self):
        met = 0
        for each in vectors("outputs-valid"):
            with self.subTest(each["name"]):
                meant = fill(record_pb.Record(), each["json"])
                copied, made = blobs(self.driver.ask(b"o", each["bytes"]))
                passed_on = record_pb.Record.FromString(copied)
                self.assertEqual((known(passed_on.header), passed_on.payload), (known(meant.header), meant.payload))
                self.assertEqual(passed_on.header.SerializeToString(), record_pb.Record.FromString(each["bytes"]).header.SerializeToString())
                again = record_pb.Record.FromString(made)
                self.assertEqual((again.header.key, again.payload), (as_bytes(each["key"]), meant.payload))
                self.assertEqual(known(again.header), known(seen_record(meant).header))
                is_whole = len(again.header.attributes) == len(meant.header.attributes) and \
                    meant.HasField("header") == bool(meant.header.ByteSize())
                if each["canonical"] and is_whole:
                    met += 1
                    self.assertEqual(made, each["bytes"])
        self.assertGreater(met, 10)


class Ends(unittest.TestCase):
    def worker(self):
        broker = Broker("conformance-stage", "transform", spawned=True)
        self.addCleanup(broker.abandon)
        return broker, broker.accept()

    def tell(self, session, each):
        """Sends the bytes of a vector and no more; the codes of what the worker closes with."""
        said = []
        if each.get("state") != "greeting":
            session.welcome()
        with contextlib.suppress(Closed, OSError):
            session.socket.sendall(each["bytes"])
            session.socket.shutdown(socket.SHUT_WR)
            while True:
                envelope = session.receive()
                if envelope.WhichOneof("message") == "close":
                    said.append(envelope.close.code)
                    self.assertNotEqual(envelope.close.message, "")
        session.socket.close()
        return said

    def test_exit_codes(self):
        for each in vectors("exit-codes"):
            with self.subTest(each["name"]):
                broker, session = self.worker()
                said = self.tell(session, each)
                close = pb.Envelope.FromString(each["bytes"][4:]).close if each["retryable"] or "json" in each else pb.Close()
                ends = close.code in (CODES["SHUTTING_DOWN"], CODES["DRAIN_DEADLINE"])  # nobody starts this broker again
                if each["retryable"] and not ends:  # of profile reconnect: it comes again, and ends as the broker then says
                    again = broker.accept()
                    again.welcome()
                    again.close()
                code, err = broker.end()
                self.assertEqual(code, 0 if each["retryable"] and not ends else each["exit"], err)
                if "closes" in each:
                    self.assertEqual(said, [CODES[each["closes"]]])
                if each["exit"] == 2 and close.message.isprintable():
                    self.assertIn(close.message, err)
                self.assertNotIn("\x1b", err)

    def test_frames_that_no_broker_sends(self):
        met = 0
        for each in vectors("frames-invalid"):
            if each["invalid"]["by"] != "worker":
                continue
            met += 1
            with self.subTest(each["name"]):
                broker, session = self.worker()
                said = self.tell(session, each)
                code, err = broker.end()
                if "or" in each["invalid"]:  # refused with some code, or taken, and then the broker is gone
                    self.assertTrue(code == 2 and said or code == 1 and not said, (code, said, err))
                else:
                    self.assertEqual((code, said), (2, [CODES[each["invalid"]["code"]]]), err)
        self.assertGreater(met, 10)


if __name__ == "__main__":
    unittest.main()
