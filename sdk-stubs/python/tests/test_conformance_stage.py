"""conformance/worker.py does what conformance/README.md says."""

import importlib.util
import json
import os
import subprocess
import sys
import unittest
from unittest import mock

import yaml
from fake_broker import HERE, ids_of, record, work
from stagewire.v1 import envelope_pb2 as pb
from stagewire.v1 import record_pb2

DIRECTORY = os.path.join(os.path.dirname(HERE), "conformance")
PROFILES = {"core", "source", "window", "ordered", "reconnect", "confirm"}
ACCEPTED, REJECTED, RETRY, RELEASED = 1, 2, 3, 4


def load():
    spec = importlib.util.spec_from_file_location("worker", os.path.join(DIRECTORY, "worker.py"))
    module = importlib.util.module_from_spec(spec)
    with mock.patch.object(sys, "path", list(sys.path)):
        spec.loader.exec_module(module)
    return module


WORKER = load()


class Stage(unittest.TestCase):
    name = ""

    def play(self, body, code: int = 0, **welcome):
        def script(peer):
            # `out` is not the first: what is emitted there names it.
            peer.hello = peer.welcome(outputs=[pb.Output(number=1, port="side"), pb.Output(number=0, port="out")], **welcome)
            peer.grant()
            body(peer)
            peer.close()

        run = work(WORKER.STAGES[self.name], script)
        self.assertEqual(run.code, code, run.stderr)
        return run


class Transform(Stage):
    name = "transform"

    def outcome(self, payload: bytes, attempt: int = 1, config: bytes = b"{}") -> pb.Outcome:
        found = []

        def body(peer):
            header = dict(schema="s", schema_version=2, key=b"k", event_time=5, content_type="text/plain")
            peer.deliver([record(payload, 7, **header)], [attempt])
            found.extend(peer.outcomes(1))
            for each in found[0].emissions:
                self.assertEqual(each.output.header, record_pb2.Header(**header))

        self.play(body, config=config)
        return found[0]

    def emitted(self, payload: bytes, **arguments) -> list[bytes]:
        outcome = self.outcome(payload, **arguments)
        self.assertEqual(outcome.kind, ACCEPTED, outcome)
        return [each.output.payload for each in outcome.emissions]

    def test_what_is_emitted(self):
        os.environ["STAGEWIRE_TEST_VALUE"] = "a value"
        self.addCleanup(os.environ.pop, "STAGEWIRE_TEST_VALUE")
        for payload, expected in [
            (b"", []),
            (b"echo", [b"echo"]),
            (b"emit 0", []),
            (b"emit 3", [b"0", b"1", b"2"]),
            (b"emit 11 2", [b"%-2d" % i for i in range(11)]),
            (b"attempt", [b"3"]),
            (b"id", [b"69" * 12 + b"00000007"]),
            (b"env STAGEWIRE_TEST_VALUE", [b"a value"]),
            (b"env STAGEWIRE_TEST_NOTHING", []),
            (b"emit 1;wait 1;echo;attempt", [b"0", b"emit 1;wait 1;echo;attempt", b"3"]),
        ]:
            with self.subTest(payload):
                self.assertEqual(self.emitted(payload, attempt=3), expected)

    def test_ports(self):
        outcome = self.outcome(b"emit 2 5 side;echo")
        self.assertEqual([(each.port, each.output.payload) for each in outcome.emissions],
                         [(1, b"0    "), (1, b"1    "), (0, b"emit 2 5 side;echo")])

    def test_config(self):
        for config in (b'{"a": [1, "x", null, 1.5]}', b"[]", b'"text"'):
            (payload,) = self.emitted(b"config", config=config)
            self.assertEqual(json.loads(payload), json.loads(config))

    def test_verdicts(self):
        for payload, kind, code, message, delay in [
            (b"reject", REJECTED, 1000, "rejected", 0),
            (b"echo;reject 1234 no such unit;echo", REJECTED, 1234, "no such unit", 0),
            (b"retry", RETRY, 1000, "to be tried again", 0),
            (b"retry 250", RETRY, 1000, "to be tried again", 250),
            (b"retry 250 1002 in a while", RETRY, 1002, "in a while", 250),
            (b"emit 2;release;reject", RELEASED, 0, "", 0),
            (b"throw out of paper", RETRY, 1000, "RuntimeError: out of paper", 0),
            (b"nonsense", REJECTED, 1999, "no such directive: nonsense", 0),
            (b"emit", REJECTED, 1999, "no such directive: emit", 0),
            (b"emit x", REJECTED, 1999, "no such directive: x", 0),
            (b"emit 1 2 nowhere", REJECTED, 1999, "no such directive: emit 1 2 nowhere", 0),
            (b"emit 1 2 out more", REJECTED, 1999, "no such directive: emit 1 2 out more", 0),
            (b"echo ", REJECTED, 1999, "no such directive: echo ", 0),
            (b"\xff", REJECTED, 1999, "the payload is not text", 0),
        ]:
            with self.subTest(payload):
                outcome = self.outcome(payload)
                self.assertEqual(
                    (outcome.kind, outcome.error.code, outcome.error.message, outcome.delay_ms, len(outcome.emissions)),
                    (kind, code, message, delay, 0))


class Ordered(Transform):
    """The same with several handlers."""
    name = "ordered"

    def test_several(self):
        self.assertGreaterEqual(WORKER.STAGES["ordered"].workers, 4)


class Source(Stage):
    name = "source"

    def run_source(self, config: bytes, checkpoint: bytes = b"", last: int = 0):
        """The Emits until Finished, or until the broker has told it to stop."""
        emits = []

        def body(peer):
            partition = peer.expect("claim").partition
            peer.send(claimed=pb.Claimed(partition=partition, last_emit_id=last, checkpoint=checkpoint))
            wanted = json.loads(config)
            while not emits or int(emits[-1].checkpoint) < wanted.get("records", 10):
                emits.append(peer.expect("emit"))
            peer.send(committed=pb.Committed(partition=partition, through=emits[-1].emit_id))
            if wanted.get("stay"):
                peer.send(ping=pb.Ping())
                peer.expect("pong")
                peer.drain(pb.DRAIN_REASON_SHUTDOWN)
                peer.expect("close")
            else:
                self.assertEqual(peer.expect("finished").partition, wanted.get("partition", "p"))

        self.play(body, inputs=[], config=config)
        return emits

    def test_defaults(self):
        emits = self.run_source(b"{}")
        self.assertEqual([each.checkpoint for each in emits], [b"2", b"4", b"6", b"8", b"10"])
        outputs = [each.output for emit in emits for each in emit.emissions]
        self.assertEqual([(each.payload, each.header.key) for each in outputs],
                         [(b"%d" % n, b"k%d" % (n % 3)) for n in range(1, 11)])

    def test_goes_on(self):
        emits = self.run_source(
            b'{"partition": "x", "records": 12, "per_emit": 3, "size": 4, "keys": 2, "pause_ms": 1}', b"8", 4)
        self.assertEqual([(each.emit_id, each.checkpoint) for each in emits], [(5, b"11"), (6, b"12")])
        self.assertEqual(emits[1].emissions[0].output.payload, b"12  ")
        self.assertEqual(emits[0].emissions[0].output.header.key, b"k1")

    def test_stays(self):
        self.assertEqual(len(self.run_source(b'{"records": 2, "stay": true, "pause_ms": 60}')), 1)


class Window(Stage):
    name = "window"

    def outcomes(self, *texts: bytes, config: bytes) -> list[pb.Outcome]:
        found = []

        def body(peer):
            peer.deliver([record(text, i, key=b"k%d" % (i % 2)) for i, text in enumerate(texts)])
            peer.drain(pb.DRAIN_REASON_INPUT_ENDED)
            found.extend(peer.outcomes(len(texts)))

        self.play(body, config=config, inputs=[pb.Input(
            number=0, stage="s", ordering=pb.ORDERING_NONE, max_unsettled_records=4096, max_unsettled_bytes=4 << 20)])
        return found

    def test_records(self):
        first, second = self.outcomes(b"a", b"b", b"c", b"d", config=b"{}")
        self.assertEqual([(ids_of(each), each.emissions[0].output.payload) for each in (first, second)],
                         [([1, 2, 3], b"a,b,c"), ([4], b"d")])
        self.assertEqual(first.emissions[0].output.header.key, b"")

    def test_keys_and_seconds(self):
        found = self.outcomes(b"a", b"b", b"c", b"d", config=b'{"records": 0, "seconds": 0.001, "by_key": true}')
        self.assertEqual(sorted([(each.emissions[0].output.header.key, each.emissions[0].output.payload) for each in found]),
                         [(b"k0", b"a,c"), (b"k1", b"b,d")])

    def test_verdicts(self):
        for text, kind, code in [(b"reject 1003 no", REJECTED, 1003), (b"retry 5", RETRY, 1000), (b"release", RELEASED, 0),
                                 (b"wait 1", ACCEPTED, 0), (b"echo", ACCEPTED, 0)]:
            with self.subTest(text):
                (outcome,) = self.outcomes(b"a", text, b"reject 1009", config=b"{}")[:1]
                if kind == ACCEPTED and text == b"echo":
                    kind, code = REJECTED, 1009  # the first that has something to say
                self.assertEqual((ids_of(outcome), outcome.kind, outcome.error.code), ([1, 2, 3], kind, code))

    def test_bounds_that_make_no_sense(self):
        def body(peer):
            self.assertGreaterEqual(peer.expect("close").code, 1000)

        run = self.play(body, code=2, config=b'{"records": 0}')
        self.assertIn("a window needs a bound", run.stderr)


class Program(unittest.TestCase):
    def test_what_is_not_implemented(self):
        for stage in ("", "nonsense"):
            ran = subprocess.run(
                [sys.executable, "worker.py"], cwd=DIRECTORY, env={**os.environ, "STAGEWIRE_STAGE": stage},
                capture_output=True, text=True)
            self.assertEqual(ran.returncode, 2)
            self.assertIn(f"{stage!r}: this worker implements transform, ordered, source, window", ran.stderr)

    def test_exit(self):
        """Through its command line, and at once: the broker hears nothing of it."""
        ran = subprocess.run(
            [sys.executable, "-c", "import worker; worker.obey('exit', ['7'])"], cwd=DIRECTORY, capture_output=True, text=True)
        self.assertEqual((ran.returncode, ran.stderr), (7, ""))

    def test_description(self):
        from stagewire import runner

        with open(os.path.join(DIRECTORY, "conformance.yaml")) as file:
            described = yaml.safe_load(file)
        self.assertEqual(set(described), {"command", "build", "profiles", "features"})
        self.assertTrue(os.path.exists(os.path.join(DIRECTORY, described["command"][-1])))
        self.assertLessEqual(set(described["profiles"]), PROFILES)
        self.assertEqual(described["features"], {name: runner._features(each) for name, each in WORKER.STAGES.items()})


if __name__ == "__main__":
    unittest.main()
