"""The vectors of conformance/vectors that concern a worker; the README there explains their form."""

import contextlib
import json
import pathlib
import socket
import unittest

import stagewire
from fake_broker import Peer, work
from google.protobuf.descriptor import FieldDescriptor
from stagewire import codes, frames, records, session
from stagewire.v1 import envelope_pb2 as pb
from stagewire.v1 import record_pb2
from stagewire.wire import views_pb2 as views

FOLDER = pathlib.Path(__file__).resolve().parents[3] / "conformance/vectors"
LIMIT = 64 << 20
KNOWN_FAILURES: dict[str, str] = {}  # by the name of a vector: what is wrong with the library


def vectors(file):
    found = json.loads((FOLDER / f"{file}.json").read_text())
    for each in found:
        pieces = each["hex"] if isinstance(each["hex"], list) else [each["hex"]]
        each["bytes"] = b"".join(
            bytes.fromhex(piece["repeat"]) * piece["times"] if isinstance(piece, dict) else bytes.fromhex(piece)
            for piece in pieces)
    return found


def repetition(value):
    """The unit and how often it is meant."""
    if isinstance(value, dict) and value.keys() == {"repeat", "times"}:
        return value["repeat"], value["times"]
    return value, 1


def as_bytes(value):
    unit, times = repetition(value)
    return (bytes.fromhex(unit[2:]) if unit.startswith("0x") else unit.encode()) * times


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


def scalar(field, value):
    if field.type == FieldDescriptor.TYPE_BYTES:
        return as_bytes(value)
    if field.type == FieldDescriptor.TYPE_STRING:
        unit, times = repetition(value)
        return unit * times
    if field.enum_type and isinstance(value, str):
        return field.enum_type.values_by_name[value].number
    return float(value) if field.type == FieldDescriptor.TYPE_DOUBLE else value


def known(message):
    """Its bytes without unknown fields; two messages are compared by them, for NaN is not equal to itself."""
    copy = type(message)()
    copy.CopyFrom(message)
    copy.DiscardUnknownFields()
    return copy.SerializeToString(deterministic=True)


class Frames(unittest.TestCase):
    def test_to_a_worker(self):
        for each in vectors("frames-to-worker"):
            with self.subTest(each["name"]):
                meant = fill(pb.Envelope(), each["json"])
                (content,) = frames.FrameReader(LIMIT).feed(each["bytes"])
                if meant.WhichOneof("message") == "deliver":
                    self._deliver(meant.deliver, content)
                else:
                    self.assertEqual(known(pb.Envelope.FromString(content)), known(meant))

    def _deliver(self, meant, content):
        deliver = views.DeliverFrame.FromString(content).deliver
        batch = session.Batch(deliver, 0, "above", {})
        self.assertEqual((batch.input, batch.first, batch.attempts), (meant.input, meant.first_delivery, list(meant.attempts)))
        self.assertEqual(len(batch.views), len(meant.records))
        for number, (view, record) in enumerate(zip(batch.views, meant.records)):
            got = stagewire.Record(view, batch, batch.first + number)
            self.assertEqual(got.payload, record.payload)
            self.assertEqual(known(got.header), known(record.header))
            self.assertEqual(got.key, record.header.key)
            self.assertEqual(got.event_time, record.header.event_time)
            self.assertEqual(known(got.lineage), known(record.lineage))
            self.assertEqual(got.id, record.lineage.id.hex())
            self.assertEqual(got.root, (record.lineage.root or record.lineage.id).hex())
            self.assertEqual([each.attempt for each in got.hops], [each.attempt or 1 for each in record.lineage.hops])
            self.assertEqual(got.attempt, meant.attempts[number] if meant.attempts else 1)
            self._attributes(record.header.attributes, got.attributes)

    def _attributes(self, meant, got):
        firsts = {}
        for each in meant:
            kind = each.WhichOneof("value")
            if kind:  # one without a value is absent (RE-2)
                firsts.setdefault(each.name, getattr(each, kind))
        # By repr: NaN is not equal to itself, 1 is equal to True.
        self.assertEqual(repr(got), repr(firsts))

    def test_to_the_broker(self):
        met = 0
        for each in vectors("frames-to-broker"):
            meant = fill(pb.Envelope(), each["json"])
            kind = meant.WhichOneof("message")
            if not each["canonical"] or meant.version != codes.PROTOCOL_VERSION or kind in (None, "settle", "emit"):
                continue
            met += 1
            with self.subTest(each["name"]):
                self.assertEqual(frames.frame(**{kind: getattr(meant, kind)}), each["bytes"])
        self.assertGreater(met, 15)

    def test_settles(self):
        met = 0
        for each in vectors("frames-to-broker"):
            meant = fill(pb.Envelope(), each["json"])
            if meant.WhichOneof("message") != "settle" or not all(map(sayable, meant.settle.outcomes)):
                continue
            met += 1
            with self.subTest(each["name"]):
                written = frames.settle_frame([outcome(each) for each in meant.settle.outcomes])
                self.assertEqual(int.from_bytes(written[:4], "big"), len(written) - 4)
                got = pb.Envelope.FromString(written[4:])
                for envelope in (got, meant):
                    simplify(envelope.settle)
                self.assertEqual(known(got), known(meant))
        self.assertGreater(met, 25)

    def test_emits(self):
        met = 0
        for each in vectors("frames-to-broker"):
            meant = fill(pb.Envelope(), each["json"])
            if meant.WhichOneof("message") != "emit" or not all(each.HasField("output") for each in meant.emit.emissions):
                continue
            met += 1
            with self.subTest(each["name"]):
                emit = meant.emit
                written = frames.emit_frame(emit.partition, emit.emit_id, list(map(emission, emit.emissions)), emit.checkpoint)
                self.assertEqual(written, each["bytes"])
        self.assertGreater(met, 4)

    def test_streams(self):
        for each in vectors("splits"):
            data = each["bytes"]
            for size in (1, 3, 1000, len(data) or 1):
                with self.subTest(each["name"], size=size):
                    self._stream(each, data, size)

    def _stream(self, each, data, size):
        reader, got, code = frames.FrameReader(each["limit"]), [], None
        try:
            for start in range(0, len(data), size):
                for content in reader.feed(data[start : start + size]):
                    if not content:  # what follows is not looked at: the session refuses this one
                        code = "MALFORMED_FRAME"
                        break
                    got.append(content)
                if code:
                    break
        except frames.FrameTooLarge:
            code = "FRAME_TOO_LARGE"
        self.assertEqual(code, each.get("invalid", {}).get("code"))
        self.assertEqual([known(pb.Envelope.FromString(content)) for content in got],
                         [known(fill(pb.Envelope(), frame["json"])) for frame in each["frames"]])


def sayable(meant):
    """Whether the library can have said it: it writes outputs always, and errors only with their verdicts."""
    failed = meant.kind in (codes.REJECTED, codes.RETRY)
    return all(each.HasField("output") for each in meant.emissions) and meant.HasField("error") == failed and \
        len(meant.error.message.encode()) <= codes.MAX_TEXT and (failed or not meant.delay_ms)


def outcome(meant):
    """The encoded outcome, as Outbox asks for it."""
    ranges = [(meant.first, meant.last or meant.first), *[(each.first, each.last or each.first) for each in meant.more]]
    if meant.kind == codes.RELEASED:
        return frames.released(ranges)
    if meant.kind != codes.ACCEPTED:
        error = meant.error
        return frames.failed(ranges, meant.kind, error.code, error.message, meant.delay_ms, error.indefinite)
    return frames.accepted(ranges, [emission(each) for each in meant.emissions])


def emission(meant):
    return frames.emission(meant.port, meant.output.SerializeToString(), meant.parents, meant.trace.SerializeToString())


def simplify(settle):
    """A last that is the first says what no last says."""
    for each in settle.outcomes:
        for span in (each, *each.more):
            if span.last == span.first:
                span.last = 0


class Outputs(unittest.TestCase):
    def test_valid(self):
        for each in vectors("outputs-valid"):
            with self.subTest(each["name"]):
                meant = fill(record_pb2.Record(), each["json"])
                view = views.Record.FromString(each["bytes"])
                got = stagewire.Record(view, session.Batch(views.Deliver(first_delivery=1), 0, "above", {}), 1)
                self.assertEqual((got.key, got.payload), (as_bytes(each["key"]), meant.payload))
                self.assertEqual(known(got.header), known(meant.header))
                # What is passed on means the same, unknown fields of the header included.
                passed_on = record_pb2.Record.FromString(got.emit().output)
                self.assertEqual(known(passed_on.header), known(meant.header))
                self.assertEqual(passed_on.payload, meant.payload)
                self.assertFalse(passed_on.HasField("lineage"))
                records.check_header(got.header, len(view.header))

    def test_what_is_written(self):
        met = 0
        for each in vectors("outputs-valid"):
            header = fill(record_pb2.Record(), each["json"]).header
            names = [attribute.name for attribute in header.attributes]
            if not each["canonical"] or len(set(names)) < len(names) or header.schema_version and not header.schema:
                continue
            meant = fill(record_pb2.Record(), each["json"])
            values = {a.name: getattr(a, a.WhichOneof("value")) for a in header.attributes if a.WhichOneof("value")}
            if len(values) < len(names) or meant.HasField("header") and not header.ByteSize():
                continue  # an attribute without a value, an empty header: nobody can say them
            met += 1
            fields = {name: getattr(header, name) for name in ("schema", "schema_version", "key", "event_time", "content_type")}
            given = {name: value for name, value in fields.items() if value}
            with self.subTest(each["name"]):
                written = stagewire.emission(payload=meant.payload, attributes=values, **given)
                self.assertEqual(written.output, each["bytes"])
        self.assertGreater(met, 8)


@stagewire.sink
def taker(record):
    pass


class Ends(unittest.TestCase):
    def test_exit_codes(self):
        for each in vectors("exit-codes"):
            with self.subTest(each["name"]):
                self._exit_code(each)

    def _exit_code(self, each):
        said = []
        scripts = [lambda peer: tell(peer, each, said)]
        if each["retryable"]:  # of profile reconnect: it comes again, and ends as the broker then says
            scripts.append(leave)
        run = work(taker, *scripts)
        self.assertEqual(run.code, 0 if each["retryable"] else each["exit"], run.stderr)
        if "closes" in each:
            self.assertEqual(said, [getattr(codes, each["closes"])])
        sentence = each.get("json", {}).get("close", {}).get("message", "")
        if each["exit"] == 2:
            self.assertIn(codes.printable(sentence), run.stderr)
        self.assertNotIn("\x1b", run.stderr)

    def test_frames_that_no_broker_sends(self):
        met = 0
        for each in vectors("frames-invalid"):
            if each["invalid"]["by"] != "worker":
                continue
            met += 1
            said = []
            run = work(taker, lambda peer: tell(peer, each, said))
            refused = run.code == 2 and said == [getattr(codes, each["invalid"]["code"])]
            with self.subTest(each["name"]):
                if each["name"] in KNOWN_FAILURES:
                    self.assertFalse(refused, f"{KNOWN_FAILURES[each['name']]}: no longer so, take it off the list")
                elif "or" in each["invalid"]:  # taken somehow, or refused with any code; but the worker does not fall over
                    self.assertTrue(run.code == 2 and said or run.code == 1 and not said, (run.code, said, run.stderr))
                    self.assertNotIn("Traceback", run.stderr)
                else:
                    self.assertTrue(refused, (run.code, said, run.stderr))
        self.assertGreater(met, 10)


def tell(peer: Peer, each, said):
    """Sends the bytes of a vector and no more; `said` gets the codes of what the worker closes with."""
    if each.get("state") == "greeting":
        peer.expect("hello")
    else:
        peer.welcome()
    with contextlib.suppress(EOFError, OSError):
        peer.connection.sendall(each["bytes"])
        peer.connection.shutdown(socket.SHUT_WR)
        while True:
            envelope = peer._next()
            if envelope.WhichOneof("message") == "close":
                said.append(envelope.close.code)


def leave(peer: Peer):
    peer.welcome()
    peer.close()


if __name__ == "__main__":
    unittest.main()
