"""The examples do what they say, and the quick start's stage works."""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import unittest

from fake_broker import ids_of, record, work
from stagewire.v1 import envelope_pb2 as pb

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)


def load(name: str, stage: str = ""):
    spec = importlib.util.spec_from_file_location(name, os.path.join(ROOT, "examples", name + ".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, stage or name)


class Examples(unittest.TestCase):
    def test_quick_start(self):
        """Its code is the example's, and its commands print what it says."""
        with open(os.path.join(ROOT, "README.md")) as file:
            readme = file.read()
        with open(os.path.join(ROOT, "examples", "shout.py")) as file:
            example = file.read()
        self.assertTrue(example.endswith(re.search(r"```python\n(.*?)```", readme, re.S)[1]))
        commands, expected = re.search(r"```sh\n(export.*?)```\n\n```text\n(.*?)```", readme, re.S).groups()
        commands = commands.replace("python3", f"'{sys.executable}'")
        ran = subprocess.run(["sh", "-e", "-c", f"({commands}) 2>&1"], cwd=ROOT, capture_output=True, text=True)
        self.assertEqual((ran.stdout, ran.returncode), (expected, 0))

    def test_shout(self):
        def script(peer):
            peer.welcome()
            peer.grant()
            peer.deliver([record(b"hello")])
            self.assertEqual(peer.outcomes(1)[0].emissions[0].output.payload, b"HELLO")
            peer.close()

        self.assertEqual(work(load("shout"), script).code, 0)

    def test_numbers(self):
        def script(peer):
            peer.welcome(inputs=[], config=b'{"count": 25}')
            peer.grant()
            name = peer.expect("claim").partition
            peer.send(claimed=pb.Claimed(partition=name, last_emit_id=1, checkpoint=b"10"))
            emits = [peer.expect("emit"), peer.expect("emit")]
            outputs = [int(each.output.payload) for emit in emits for each in emit.emissions]
            self.assertEqual((outputs, [each.checkpoint for each in emits]), (list(range(10, 25)), [b"20", b"25"]))
            peer.send(committed=pb.Committed(partition=name, through=3))
            peer.expect("finished")
            peer.close()

        self.assertEqual(work(load("numbers_source", "numbers"), script).code, 0)

    def test_score(self):
        def script(peer):
            peer.welcome(config=b'{"mean": 20}')
            peer.grant()
            peer.deliver([record(b'{"celsius": 21}'), record(b'{"celsius": 30}')])
            outputs = [each.emissions[0].output for each in peer.outcomes(2)]
            self.assertEqual([each.header.attributes[0].text for each in outputs], ["normal", "warning"])
            self.assertEqual(outputs[1].payload, b'{"celsius":30,"prediction":"warning"}')
            peer.close()

        self.assertEqual(work(load("score"), script).code, 0)

    def test_mean(self):
        def script(peer):
            peer.welcome()
            peer.grant()
            payloads = [b'{"celsius": 1}', b'{"celsius": 2}', b"?", b'{"celsius": 6}']
            peer.deliver([record(each, i, key=b"s", event_time=60_000_000 + i) for i, each in enumerate(payloads)])
            peer.drain(pb.DRAIN_REASON_INPUT_ENDED)
            outcome, rejected = peer.outcomes(4)
            self.assertEqual(outcome.emissions[0].output.payload, b'{"mean":3.0,"readings":3,"complete":true}')
            self.assertEqual((ids_of(rejected), rejected.error.code), ([3], 1001))
            peer.close()

        self.assertEqual(work(load("mean"), script).code, 0)

    def test_lines(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"skipped\n" + b"".join(b"%d\n" % i for i in range(700)))
            file.flush()

            def script(peer):
                peer.welcome(inputs=[], config=b'{"files": ["%b"]}' % file.name.encode())
                peer.grant()
                name = peer.expect("claim").partition
                peer.send(claimed=pb.Claimed(partition=name, last_emit_id=1, checkpoint=b"8"))
                emits = [peer.expect("emit"), peer.expect("emit")]
                outputs = [each.output.payload for emit in emits for each in emit.emissions]
                self.assertEqual(outputs, [b"%d" % i for i in range(700)])
                self.assertEqual(int(emits[1].checkpoint), os.path.getsize(file.name))
                peer.send(committed=pb.Committed(partition=name, through=3))
                peer.expect("finished")
                peer.close()

            self.assertEqual(work(load("lines"), script).code, 0)


if __name__ == "__main__":
    unittest.main()
