import random
import unittest
from datetime import datetime, timezone

import stagewire
from fake_broker import RUNS, record
from stagewire import frames, session
from stagewire.v1 import envelope_pb2 as pb
from stagewire.v1 import record_pb2
from stagewire.wire import views_pb2 as views


def received(message: record_pb2.Record, delivery: int = 7, attempts=()) -> stagewire.Record:
    """`message` as a handler gets it."""
    envelope = pb.Envelope(version=1000)
    envelope.deliver.first_delivery = delivery
    envelope.deliver.records.append(message)
    envelope.deliver.attempts.extend(attempts)
    deliver = views.DeliverFrame.FromString(envelope.SerializeToString()).deliver
    runs = {each.number: each for each in RUNS}
    batch = session.Batch(deliver, message.ByteSize(), "normalise", runs)
    return stagewire.Record(batch.views[0], batch, delivery)


def sent(emission: stagewire.Emission) -> record_pb2.Record:
    return record_pb2.Record.FromString(emission.output)


FULL = dict(schema="s", schema_version=2, key=b"k", event_time=5, content_type="text/csv",
            attributes=[record_pb2.Attribute(name="a", text="t"), record_pb2.Attribute(name="n", integer=-3)])


class Reading(unittest.TestCase):
    def test_header_and_payload(self):
        got = received(record(b'{"x": 1}', 3, **FULL), attempts=[4])
        self.assertEqual((got.payload, got.text(), got.json()), (b'{"x": 1}', '{"x": 1}', {"x": 1}))
        self.assertEqual((got.key, got.event_time, got.schema, got.schema_version), (b"k", 5, "s", 2))
        self.assertEqual((got.content_type, got.attributes), ("text/csv", {"a": "t", "n": -3}))
        self.assertEqual((got.attempt, got.delivery, got.input), (4, 7, "normalise"))

    def test_lineage(self):
        got = received(record(b"", 3))
        self.assertEqual(got.id, (b"i" * 12 + b"\0\0\0\3").hex())
        self.assertEqual((got.parents, got.root), ([(b"p" * 16).hex()], (b"r" * 16).hex()))
        self.assertEqual(got.hops, [
            stagewire.Hop("ingest", "1.0.0", "ingest-1", "rust", 1, 1_000_005),
            stagewire.Hop("normalise", "2.1.0", "normalise-2", "go", 3, 1_000_009)])
        self.assertEqual(got.attempt, 1)

    def test_read_only(self):
        got = received(record(b""))
        for name in ("payload", "key", "id", "hops"):
            with self.assertRaises(AttributeError):
                setattr(got, name, b"")


class Emitting(unittest.TestCase):
    def test_what_is_not_named_is_taken_over(self):
        whole = record(b"p", **FULL)
        got = sent(received(whole).emit())
        whole.ClearField("lineage")
        self.assertEqual(got, whole)

    def test_a_new_payload_drops_what_described_the_old_one(self):
        got = sent(received(record(b"p", **FULL)).emit(json={"x": 1}))
        self.assertEqual((got.payload, got.header.content_type), (b'{"x":1}', "application/json"))
        self.assertEqual((got.header.schema, got.header.schema_version), ("", 0))
        self.assertEqual((got.header.key, got.header.event_time, len(got.header.attributes)), (b"k", 5, 2))
        got = sent(received(record(b"p", **FULL)).emit(payload=b"", schema="new", schema_version=1))
        self.assertEqual((got.payload, got.header.schema, got.header.schema_version), (b"", "new", 1))

    def test_attributes_are_merged(self):
        got = sent(received(record(b"p", **FULL)).emit(attributes={"a": None, "n": 1.5, "f": True, "s": ""}))
        values = {each.name: getattr(each, each.WhichOneof("value")) for each in got.header.attributes}
        self.assertEqual(values, {"n": 1.5, "f": True, "s": ""})
        self.assertEqual([each.WhichOneof("value") for each in got.header.attributes], ["number", "flag", "text"])

    def test_event_time_and_key(self):
        moment = datetime(2013, 12, 2, 21, 15, tzinfo=timezone.utc)
        got = sent(stagewire.emission(text="x", event_time=moment, key="sensor"))
        self.assertEqual(got.header.event_time, 1386018900000000)
        self.assertEqual((got.header.key, got.header.content_type), (b"sensor", "text/plain; charset=utf-8"))
        with self.assertRaisesRegex(ValueError, "time zone"):
            stagewire.emission(event_time=datetime(2013, 1, 1))

    def test_mistakes_are_named(self):
        got = received(record(b"p"))
        for arguments, sentence in [
            (dict(payload="text"), "use text="),
            (dict(json=1, text="x"), "json and text"),
            (dict(attribute={}), "no field named 'attribute'"),
            (dict(attributes={"x": [1]}), "attribute 'x' is str"),
        ]:
            with self.assertRaisesRegex(TypeError, sentence):
                got.emit(**arguments)
        with self.assertRaises(ValueError):
            got.emit(json=float("nan"))  # which is not JSON


class Frames(unittest.TestCase):
    def test_varints(self):
        chance = random.Random(1)
        numbers = [2**i + j for i in range(1, 64) for j in (-1, 0, 1)] + [0, 2**64 - 1]
        numbers += [chance.getrandbits(64) for _ in range(200)]
        for number in numbers:
            encoded = pb.Pong(nonce=number).SerializeToString()
            self.assertEqual(frames.varint(number), encoded[1:] if number else b"\0")

    def test_what_is_written_by_hand_is_what_protobuf_writes(self):
        chance = random.Random(2)
        for _ in range(300):
            wanted, outcomes = pb.Envelope(version=1000), []
            for _ in range(chance.randrange(1, 5)):
                outcomes.append(self.random_outcome(chance, wanted.settle.outcomes.add()))
            self.assertEqual(frames.settle_frame(outcomes)[4:], wanted.SerializeToString())

    def random_outcome(self, chance, outcome) -> bytes:
        first, kind = chance.randrange(1, 1 << chance.randrange(1, 40)), chance.randrange(1, 5)
        outcome.first, outcome.kind = first, kind
        ranges = [(first, first + chance.randrange(3))]
        if ranges[0][1] > first:
            outcome.last = ranges[0][1]
        if kind == 1 and chance.random() < 0.5:
            emission = outcome.emissions.add(port=0)
            emission.output.payload = b"x" * chance.choice([1, 100, 200, 5000, 8189, 20_000])
            return frames.accepted(ranges, [frames.emission(0, emission.output.SerializeToString())])
        if chance.random() < 0.3:
            ranges.append((ranges[0][1] + 2, ranges[0][1] + 9))
            outcome.more.add(first=ranges[1][0], last=ranges[1][1])
        if kind == 1:
            return frames.accepted(ranges, [])
        if kind == 4:
            return frames.released(ranges)
        outcome.error.code, outcome.error.message = 1000, "why"
        outcome.delay_ms = chance.choice([0, 5, 70_000])
        return frames.failed(ranges, kind, 1000, "why", outcome.delay_ms, False)

    def test_emits(self):
        wanted = pb.Envelope(version=1000)
        wanted.emit.partition, wanted.emit.emit_id, wanted.emit.checkpoint = "päth", 300, b"c"
        each = wanted.emit.emissions.add(port=3, parents=[1, 300])
        each.output.payload = b"x"
        each.trace.traceparent = "00-1"
        content = frames.emission(3, each.output.SerializeToString(), (1, 300), each.trace.SerializeToString())
        self.assertEqual(frames.emit_frame("päth", 300, [content], b"c")[4:], wanted.SerializeToString())

    def test_any_cut_gives_the_same_frames(self):
        stream = b"".join(len(each).to_bytes(4, "big") + each for each in (b"", b"a", b"bcd" * 50))
        for size in range(1, 40):
            reader, found = frames.FrameReader(1000), []
            for start in range(0, len(stream), size):
                found += reader.feed(stream[start : start + size])
            self.assertEqual(found, [b"", b"a", b"bcd" * 50])

    def test_a_frame_over_the_limit_is_refused_at_its_prefix(self):
        with self.assertRaisesRegex(ValueError, "limit is 10"):
            list(frames.FrameReader(10).feed(b"\0\0\0\x0b"))


if __name__ == "__main__":
    unittest.main()
