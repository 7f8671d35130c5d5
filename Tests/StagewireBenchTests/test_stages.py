#!/usr/bin/env python3
"""The benchmark's stages against a strict, unkind broker.

    python3 Tests/StagewireBenchTests/test_stages.py        # STAGEWIRE_BIN: where the programs are
"""

import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "Sources" / "StagewireBench"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import fake_broker
from fake_broker import CLOSE, DRAIN, FakeBroker, field
from stagewire_bench.counters import NAMES, Counters

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("STAGEWIRE_BIN", ROOT / ".build" / "release"))


class Pipeline:
    """Three processes and the broker that they dial."""

    def __init__(self, test, seed, roles=("producer", "worker", "sink"), words=(), **broker):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="swtest-"))
        test.addCleanup(shutil.rmtree, self.directory)
        test.addCleanup(self.kill)
        self.counters = Counters(self.directory / "counters")
        path = str(self.directory / "s")
        self.broker = FakeBroker(path, random.Random(seed), **broker)
        self.processes = {
            role: subprocess.Popen(
                [BIN / "StagewireBenchWorker", role, "--socket", path, "--counters", self.counters.path,
                 *map(str, words)],
                stderr=subprocess.PIPE, text=True, env={**os.environ, "STAGEWIRE_STAGE": role})
            for role in roles}

    def run(self):
        """{role: (exit code, what it said)}"""
        self.broker.run(lambda: any(process.poll() is None for process in self.processes.values()))
        return {role: (process.returncode, process.stderr.read()) for role, process in self.processes.items()}

    def kill(self):
        for process in self.processes.values():
            process.kill()
            process.wait()
            process.stderr.close()


class WholePipelines(unittest.TestCase):
    def check(self, seed, *, size, records, keys=1, words=(), **broker):
        words = ["--size", size, "--records", records, "--keys", keys, *words]
        with self.subTest(seed=seed, words=words, **broker):
            pipeline = Pipeline(self, seed, words=words, **broker)
            ends = pipeline.run()
            self.assertEqual([code for code, _ in ends.values()], [0, 0, 0], ends)
            self.assertEqual(len(pipeline.broker.outputs), records)
            counted = {name: pipeline.counters[name] for name in NAMES}
            self.assertEqual((counted["emitted"], counted["forwarded"], counted["received"]), (records,) * 3)
            self.assertEqual((counted["wrong"], counted["disordered"], counted["repeated"]), (0, 0, 0))
            return pipeline

    def test_small_records(self):
        for seed in range(3):
            self.check(seed, size=24, records=20_000, keys=7, words=["--header"])

    def test_no_header_and_ranges(self):
        self.check(10, size=100, records=20_000, words=["--ranges"])

    def test_sizes_around_a_batch(self):
        for seed, size in enumerate((4000, 65_000, 65_536, 70_000, 300_000), start=20):
            self.check(seed, size=size, records=150, keys=3, words=["--header"])

    def test_tiny_steps(self):
        self.check(30, size=200, records=3000, step=(1, 4096))
        self.check(31, size=200, records=3000, step=(5, 700))

    def test_credit_in_driblets(self):
        for seed, role in ((35, "producer"), (36, "worker")):
            self.check(seed, size=100, records=1000, grants={role: ((0, 1, 2), (300_000,))})
            self.check(seed, size=100, records=1000, grants={role: ((500,), (0, 1, 170, 400))})
            self.check(seed, size=24, records=30, grants={role: ((500,), (1, 2))})

    def test_small_max_record(self):
        self.check(32, size=500, records=3000, max_record=600)

    def test_fixed_rate_is_measured(self):
        pipeline = self.check(40, size=100, records=500, words=["--rate", 2000])
        self.assertEqual(pipeline.counters["samples"], 500)
        latencies = pipeline.counters.latencies(0, 500)
        self.assertGreater(latencies[0], 0)

    def test_waiting_for_credit_keeps_the_lease(self):
        # The lease is 150 ms; the broker goes on only after an Extend, so this would hang without one.
        self.check(50, size=100, records=20_000, starve="worker")


    # The receive buffer has 64 MiB. A worker that has a Deliver in hand whenever it reads must get on with it, too.

    def test_always_behind(self):
        self.check(51, size=500_000, records=180, behind=True)

    def test_a_flood_of_frames_while_a_delivery_is_held(self):
        self.check(52, size=100, records=2000, starve="worker", flood=80 << 20)


class Ends(unittest.TestCase):
    def alone(self, seed, role, act, records=1_000_000):
        pipeline = Pipeline(self, seed, roles=[role], words=["--records", records], script={role: act})
        return pipeline, pipeline.run()[role]

    def test_an_error_is_told_with_its_sentence(self):
        def act(broker, peer):
            peer.closing = True
            broker.send(peer, CLOSE, field(1, 208) + field(2, b"another\x1b took over"))

        _, (code, said) = self.alone(60, "producer", act)
        self.assertEqual(code, 2)
        self.assertIn("the broker closed (208): another? took over", said)

    def test_end_of_stream_without_close(self):
        def act(broker, peer):
            peer.closing = True
            peer.outbox.clear()
            peer.connection.shutdown(2)

        _, (code, said) = self.alone(61, "producer", act)
        self.assertEqual(code, 1, said)

    def test_shutdown_ends_a_source_after_its_last_commit(self):
        def act(broker, peer):
            broker.send(peer, DRAIN, field(1, 2) + field(2, 5000))

        pipeline, (code, said) = self.alone(62, "producer", act)
        self.assertEqual(code, 0, said)
        self.assertEqual(pipeline.counters["emitted"], len(pipeline.broker.outputs))

    def test_the_driver_stops_a_source(self):
        def act(broker, peer):
            pipeline.counters["stop"] = 1

        pipeline = Pipeline(self, 63, words=["--records", 0, "--keys", 5, "--header"], script={"producer": act})
        ends = pipeline.run()
        self.assertEqual([code for code, _ in ends.values()], [0, 0, 0], ends)
        self.assertEqual(pipeline.counters["received"], len(pipeline.broker.outputs))

    def test_bad_words(self):
        for words in ([], ["--size", "3"], ["sink", "--size", "x"], ["sink", "--what"], ["dancer"]):
            done = subprocess.run([BIN / "StagewireBenchWorker", *words], capture_output=True, text=True,
                                  env={**os.environ, "STAGEWIRE_SOCKET": ""} if not words else os.environ)
            self.assertEqual(done.returncode, 2, (words, done.stderr))


if __name__ == "__main__":
    unittest.main(verbosity=2)
