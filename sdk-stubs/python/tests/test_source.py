import os
import signal
import unittest

import stagewire
from fake_broker import work
from stagewire.v1 import envelope_pb2 as pb


@stagewire.source(partitions=["a"])
def count(partition, config):
    for i in range(partition.checkpoint or 0, 10):
        yield stagewire.emission(json=i, key="k"), i + 1


class Claims:
    """The broker's side of one partition, written down once."""

    def __init__(self, peer, last=0, checkpoint=b"", **welcome):
        self.peer = peer
        peer.welcome(inputs=[], **welcome)
        self.partition = peer.expect("claim").partition
        peer.send(claimed=pb.Claimed(
            partition=self.partition, epoch=1, last_emit_id=last, checkpoint=checkpoint))

    def emits(self, number: int):
        return [self.peer.expect("emit") for _ in range(number)]

    def commit(self, through: int, refused=()):
        self.peer.send(committed=pb.Committed(
            partition=self.partition, through=through, refused=refused))


class Sources(unittest.TestCase):
    def test_from_the_beginning_to_the_end(self):
        def script(peer):
            claims = Claims(peer)
            peer.grant()
            emits = claims.emits(10)
            self.assertEqual([each.emit_id for each in emits], list(range(1, 11)))
            self.assertEqual([each.emissions[0].output.payload for each in emits], [b"%d" % i for i in range(10)])
            self.assertEqual(emits[3].checkpoint, b"4")
            claims.commit(9)
            peer.send(ping=pb.Ping())
            peer.expect("pong")  # and no Finished before all of it is committed
            claims.commit(10)
            self.assertEqual(peer.expect("finished").partition, "a")
            peer.close()

        self.assertEqual(work(count, script).code, 0)

    def test_goes_on_after_the_checkpoint(self):
        def script(peer):
            claims = Claims(peer, last=70, checkpoint=b"8")
            peer.grant()
            emits = claims.emits(2)
            self.assertEqual([each.emit_id for each in emits], [71, 72])
            claims.commit(72)
            peer.expect("finished")
            peer.close()

        self.assertEqual(work(count, script).code, 0)

    def test_within_credit(self):
        def script(peer):
            claims = Claims(peer)
            for i in range(5):
                peer.grant(2 * i + 2, 10_000)
                claims.emits(2)
            claims.commit(10)
            peer.expect("finished")
            peer.close()

        self.assertEqual(work(count, script).code, 0)

    def test_what_is_not_committed_is_sent_again(self):
        def first(peer):
            claims = Claims(peer)
            peer.grant(6)
            claims.emits(6)
            claims.commit(2)

        def second(peer):
            claims = Claims(peer, last=4, checkpoint=b"4")
            peer.grant()
            emits = claims.emits(6)
            self.assertEqual([each.emit_id for each in emits], [5, 6, 7, 8, 9, 10])
            self.assertEqual([each.checkpoint for each in emits], [b"%d" % i for i in range(5, 11)])
            claims.commit(10)
            peer.expect("finished")
            peer.close()

        self.assertEqual(work(count, first, second, token="").code, 0)

    def test_a_broker_that_forgot_is_right(self):
        def first(peer):
            claims = Claims(peer)
            peer.grant(6)
            claims.emits(6)
            claims.commit(6)

        def second(peer):
            claims = Claims(peer)
            peer.grant()
            self.assertEqual(claims.emits(10)[0].emissions[0].output.payload, b"0")
            claims.commit(10)
            peer.expect("finished")
            peer.close()

        self.assertEqual(work(count, first, second, token="").code, 0)

    def test_shutdown_waits_for_the_commit(self):
        @stagewire.source
        def endless(partition):
            try:
                yield [stagewire.emission(text="x"), stagewire.emission(text="y", port="late")], None
                while True:
                    yield None
            finally:
                closed.append(True)

        closed = []

        def script(peer):
            claims = Claims(peer)
            self.assertEqual(claims.partition, "0")
            peer.grant()
            (emit,) = claims.emits(1)
            self.assertEqual([each.port for each in emit.emissions], [0, 1])
            peer.drain(pb.DRAIN_REASON_SHUTDOWN)
            peer.send(ping=pb.Ping())
            peer.expect("pong")
            claims.commit(1)
            self.assertEqual(peer.expect("close").code, 0)

        self.assertEqual(work(endless, script).code, 0)
        self.assertEqual(closed, [True])

    def test_a_signal_does_the_same(self):
        def script(peer):
            claims = Claims(peer)
            peer.grant(1)
            claims.emits(1)
            os.kill(os.getpid(), signal.SIGTERM)
            claims.commit(1)
            self.assertEqual(peer.expect("close").code, 0)

        self.assertEqual(work(count, script).code, 0)

    def test_a_refused_step_is_reported(self):
        def script(peer):
            claims = Claims(peer)
            peer.grant()
            claims.emits(10)
            claims.commit(10, [pb.Refusal(id=3, error=pb.Error(code=306, message="key of 2000 bytes"))])
            peer.expect("finished")
            peer.close()

        run = work(count, script)
        self.assertEqual(run.code, 0)
        self.assertIn("step 3 of partition 'a' was refused", run.stderr)
        self.assertIn("key of 2000 bytes (306)", run.stderr)

    def test_partitions_by_configuration_take_turns(self):
        @stagewire.source(partitions=lambda config: config["files"])
        def stage(partition, config):
            yield stagewire.emission(text=partition.name), 1
            yield stagewire.emission(text=partition.name), 2

        def script(peer):
            peer.welcome(inputs=[], config=b'{"files": ["x", "y"]}')
            peer.grant()
            for name in "xy":
                self.assertEqual(peer.expect("claim").partition, name)
                peer.send(claimed=pb.Claimed(partition=name))
            emits = [peer.expect("emit") for _ in range(4)]
            self.assertEqual([(each.partition, each.emit_id) for each in emits],
                             [("x", 1), ("y", 1), ("x", 2), ("y", 2)])
            for name in "yx":
                peer.send(committed=pb.Committed(partition=name, through=2))
                self.assertEqual(peer.expect("finished").partition, name)
            peer.close()

        self.assertEqual(work(stage, script).code, 0)

    def test_an_instance_without_work_says_so(self):
        @stagewire.source(partitions=lambda config: [])
        def stage(partition, config):
            raise AssertionError("there is nothing to read")

        def script(peer):
            claims = Claims(peer)
            self.assertEqual(claims.partition, "one")
            self.assertEqual(peer.expect("finished").partition, "one")
            peer.close()

        self.assertEqual(work(stage, script).code, 0)

    def test_what_the_configuration_gets_wrong(self):
        """Exit code 2: trying again makes no sense. A handler that fails may do better the next time: 1."""
        @stagewire.source(partitions=lambda config: config["names"])
        def stage(partition, config):
            raise OSError("disk full")
            yield

        def claimed(peer):
            Claims(peer, config=b'{"names": ["a"]}')
            with self.assertRaises(EOFError):
                peer.expect("emit")

        for names, sentence in [('""', "1 to 255 bytes"), (f'"{"x" * 256}"', "1 to 255 bytes"), ('"a\\u0000"', "none of them 0")]:
            with self.subTest(names):
                def refused(peer):
                    peer.welcome(inputs=[], config=b'{"names": [%b]}' % names.encode())
                    self.assertGreaterEqual(peer.expect("close").code, 1000)

                run = work(stage, refused)
                self.assertEqual(run.code, 2, run.stderr)
                self.assertIn(sentence, run.stderr)
        with self.assertRaisesRegex(OSError, "disk full"):  # which is what ends the process with 1
            work(stage, claimed)

    def test_fenced(self):
        def script(peer):
            Claims(peer)
            peer.close(208, "partition 'a' was claimed by another session")

        self.assertEqual(work(count, script).code, 2)


if __name__ == "__main__":
    unittest.main()
