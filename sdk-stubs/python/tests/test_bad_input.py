"""What goes wrong outside of the stage, and handlers that do not come back."""

import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import stagewire
from fake_broker import HERE as TESTS
from fake_broker import SECONDS, Peer, record, work
from stagewire.v1 import envelope_pb2 as pb

ROOT = os.path.dirname(TESTS)


@stagewire.transform
def same(record):
    yield record.emit()


class Process:
    """A worker in a process of its own, for what would end the tests."""

    def __init__(self, handler: str, arguments: str, address: str, token: str = ""):
        source = f"import stagewire, time, signal\n{handler}\nstagewire.run(stage{arguments})\n"
        environment = {**os.environ, "PYTHONPATH": ROOT, "STAGEWIRE_SOCKET": address, "STAGEWIRE_STAGE": "score"}
        if token:
            environment["STAGEWIRE_TOKEN"] = token
        self.child = subprocess.Popen([sys.executable, "-c", source], env=environment, stderr=subprocess.PIPE, text=True)

    def end(self) -> tuple[int, str]:
        _, errors = self.child.communicate(timeout=SECONDS)
        return self.child.returncode, errors


class Broker:
    """Listens, and hands out one connection after the other."""

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory()
        self.address = os.path.join(self.directory.name, "broker")
        return self

    def listen(self) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.address)
        self.listener.listen()
        self.listener.settimeout(SECONDS)

    def accept(self) -> Peer:
        return Peer(self.listener.accept()[0])

    def __exit__(self, *_):
        self.listener.close()
        self.directory.cleanup()


SINK = "@stagewire.sink\ndef stage(record):\n    "


class Processes(unittest.TestCase):
    def test_a_handler_that_never_returns(self):
        for token in ("00ff", ""):
            with self.subTest(token), Broker() as broker:
                broker.listen()
                patch = "import stagewire.runner\nstagewire.runner.CLOSING_SECONDS = 0.05\n"
                worker = Process(patch + SINK + "time.sleep(3600)", ", timeout=0.3", broker.address, token)
                peer = broker.accept()
                peer.welcome(lease_ms=300)
                peer.deliver([record(b"")])
                extends, begin = 0, time.monotonic()
                peer.connection.settimeout(1.5)
                try:
                    while True:
                        extends += peer._next().WhichOneof("message") == "extend"
                        self.assertLess(time.monotonic() - begin, SECONDS)
                except TimeoutError:
                    pass
                self.assertLessEqual(extends, 3)  # one in each tenth of a second, none after the third
                peer.send(close=pb.Close(code=207, message="the lease has expired"))
                code, errors = worker.end()
                peer.connection.close()
                self.assertEqual(code, 1)
                self.assertIn("not renewed any more", errors)
                self.assertIn("the lease has expired", errors)

    def test_a_handler_that_ignores_a_signal_is_ended_by_the_second(self):
        with Broker() as broker:
            broker.listen()
            worker = Process(SINK + "while True: time.sleep(0.01)", "", broker.address)
            peer = broker.accept()
            peer.welcome(lease_ms=30)
            peer.deliver([record(b"")])
            while peer._next().WhichOneof("message") != "extend":
                pass  # the handler is running
            worker.child.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            self.assertIsNone(worker.child.poll())
            worker.child.send_signal(signal.SIGTERM)
            self.assertEqual(worker.end()[0], 128 + signal.SIGTERM)
            peer.connection.close()

    def test_a_broker_that_is_absent_at_the_start(self):
        with Broker() as broker:
            worker = Process(SINK + "pass", "", broker.address)
            self.assertIn("trying again", worker.child.stderr.readline())
            broker.listen()
            peer = broker.accept()
            peer.welcome()
            peer.deliver([record(b"")])
            peer.outcomes(1)
            peer.close()
            peer.connection.close()
            self.assertEqual(worker.end(), (0, ""))  # one outage, one sentence

    def test_a_worker_that_waits_for_its_broker_leaves_by_a_signal(self):
        with Broker() as broker:
            worker = Process(SINK + "pass", "", broker.address)
            worker.child.stderr.readline()
            worker.child.send_signal(signal.SIGTERM)
            self.assertEqual(worker.end()[0], 0)
            broker.listen()

    def test_a_worker_that_the_host_started_does_not_wait(self):
        with Broker() as broker:
            self.assertEqual(Process(SINK + "pass", "", broker.address, "00ff").end()[0], 1)
            broker.listen()


class Wire(unittest.TestCase):
    def test_byte_by_byte_with_unknown_fields_and_kinds(self):
        unknown_kind = pb.Envelope(version=1000).SerializeToString() + b"\xe2\x5d\x04news"  # field 1500

        def script(peer):
            plain = peer.connection

            class Drip:
                """Writes one byte at a time."""

                def sendall(self, data):
                    for each in data:
                        plain.sendall(bytes([each]))

                recv, settimeout = plain.recv, plain.settimeout

            peer.connection = Drip()
            peer.connection.sendall(struct.pack(">I", len(unknown_kind)) + unknown_kind)
            peer.welcome()
            peer.grant()
            deliver = pb.Deliver(first_delivery=1)
            deliver.records.add().MergeFromString(b"\x1a\x01x" + b"\xc0\x3e\x07")  # payload, and field 1000
            peer.send(deliver=deliver)
            peer.connection.sendall(struct.pack(">I", len(unknown_kind)) + unknown_kind)
            self.assertEqual(peer.outcomes(1)[0].emissions[0].output.payload, b"x")
            peer.close()

        self.assertEqual(work(same, script).code, 0)

    def test_refusals_are_said(self):
        def script(peer):
            hello = peer.welcome(features=["settle-confirm"])
            self.assertEqual(list(hello.offered), ["settle-confirm"])
            refusal = pb.Refusal(id=3, error=pb.Error(code=306, message="a key of\x1b 2000 bytes"))
            peer.send(settled=pb.Settled(through=3, refused=[refusal]))
            peer.close()

        run = work(same, script)
        self.assertEqual(run.code, 0)
        self.assertIn("refused what delivery 3 emitted, which is a dead letter now: a key of\\x1b 2000", run.stderr)

    def test_a_refused_handshake(self):
        run = work(same, lambda peer: peer.close(109, "this pipeline's records need frames of 8 MiB"), token="")
        self.assertEqual(run.code, 2)
        self.assertIn("this pipeline's records need frames of 8 MiB", run.stderr)
        self.assertNotIn("trying again", run.stderr)


class Outputs(unittest.TestCase):
    def test_a_version_that_was_not_offered(self):
        def script(peer):
            peer.welcome(version=1001)
            close = peer.expect("close")
            self.assertEqual(close.code, 102)
            self.assertIn("version 1001; this worker speaks 1000 to 1000", close.message)

        run = work(same, script)
        self.assertEqual(run.code, 2)
        self.assertIn("version 1001", run.stderr)

    def test_what_the_broker_still_sends_is_read(self):
        """Behind the worker's Close: the broker may be in the middle of something (EN-1)."""
        def script(peer):
            peer.welcome(**{"version": 1001} if early else {})
            if not early:
                peer.connection.sendall(b"\0\0\0\3abc")
            peer.expect("close")
            for _ in range(64):
                peer.connection.sendall(bytes(1 << 16))

        for early in (True, False):
            with self.subTest(early=early):
                self.assertEqual(work(same, script).code, 2)

    def test_text_that_is_not_unicode(self):
        bad = "a\ud800b"
        outputs = {
            "text": dict(text=bad), "key": dict(key=bad), "header": dict(schema=bad), "Unicode": dict(attributes={bad: 1}),
            "text.": dict(attributes={"x": bad}), "1025 bytes of key": dict(key=b"k" * 1025),
            "65 attributes": dict(attributes={str(i): 1 for i in range(65)}),
            "bytes of header": dict(attributes={"x": "y" * 17_000}),
        }

        @stagewire.transform
        def stage(record):
            return record.emit(**outputs[record.text()])

        def script(peer):
            peer.welcome()
            peer.grant()
            peer.deliver([record(each.encode(), i) for i, each in enumerate(outputs)])
            for outcome, name in zip(peer.outcomes(len(outputs)), outputs):
                self.assertEqual((outcome.kind, outcome.error.code), (2, 306), outcome)
                self.assertIn(name.rstrip("."), outcome.error.message)
            peer.close()

        self.assertEqual(work(stage, script).code, 0)

    def test_an_error_whose_text_is_not_unicode(self):
        @stagewire.sink
        def stage(record):
            raise stagewire.Reject(1001, "a\ud800b")

        def script(peer):
            peer.welcome()
            peer.deliver([record(b"")])
            self.assertEqual(peer.outcomes(1)[0].error.message, "a\\ud800b")
            peer.close()

        self.assertEqual(work(stage, script).code, 0)

    def test_time_spent_on_credit_is_not_the_handlers(self):
        def script(peer):
            peer.welcome(lease_ms=120)
            peer.deliver([record(b"x")])
            kinds = []
            while kinds.count("extend") < 4:  # far beyond the timeout
                kinds.append(peer._next().WhichOneof("message"))
            peer.grant()
            self.assertEqual(len(peer.outcomes(1)[0].emissions), 1)
            peer.close()

        run = work(same, script, timeout=0.05)
        self.assertEqual((run.code, run.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
