import threading
import unittest

import stagewire
from fake_broker import ids_of, record, work
from stagewire.v1 import envelope_pb2 as pb


def play(stage, body, **welcome):
    def script(peer):
        peer.hello = peer.welcome(**welcome)
        peer.grant()
        body(peer)
        peer.close()

    return work(stage, script)


class Windows(unittest.TestCase):
    def test_one_outcome_over_many_deliveries(self):
        @stagewire.batch(records=4, seconds=60)
        def mean(records):
            yield stagewire.emission(json=sum(each.json() for each in records) / len(records))
            yield records[2].emit()
            yield stagewire.emission(text="two", parents=records[:2])

        def body(peer):
            self.assertIn("holds", peer.hello.offered)
            peer.deliver([record(b"%d" % i) for i in range(3)])
            peer.deliver([record(b"%d" % i) for i in range(3, 10)])
            first, second = peer.outcomes(8)
            self.assertEqual([ids_of(first), ids_of(second)], [[1, 2, 3, 4], [5, 6, 7, 8]])
            self.assertEqual([each.output.payload for each in first.emissions], [b"1.5", b"2", b"two"])
            self.assertEqual([list(each.parents) for each in first.emissions], [[], [3], [1, 2]])
            peer.drain(pb.DRAIN_REASON_INPUT_ENDED)
            self.assertEqual(ids_of(peer.outcomes(2)[0]), [9, 10])

        self.assertEqual(play(mean, body).code, 0)

    def test_time_is_up(self):
        @stagewire.batch(records=100, seconds=0.02)
        def stage(records):
            pass

        def body(peer):
            peer.deliver([record(b"") for i in range(3)])
            self.assertEqual(len(peer.outcomes(3)), 1)

        self.assertEqual(play(stage, body).code, 0)

    def test_what_the_broker_may_not_add_to_is_not_waited_for(self):
        @stagewire.batch(records=1000, seconds=3600)
        def stage(records):
            pass

        def body(peer):
            peer.deliver([record(b"") for i in range(5)])
            peer.outcomes(5)
            peer.deliver([record(bytes(5000))] * 2)
            peer.outcomes(2)

        window = pb.Input(number=0, stage="s", max_unsettled_records=5, max_unsettled_bytes=15_000)
        self.assertEqual(play(stage, body, inputs=[window], max_record=8000).code, 0)

    def test_shutdown_releases_windows(self):
        @stagewire.batch(records=1000, seconds=3600)
        def stage(records):
            raise AssertionError("not on shutdown")

        def body(peer):
            peer.deliver([record(b"") for i in range(5)])
            peer.drain(pb.DRAIN_REASON_SHUTDOWN)
            self.assertEqual([each.kind for each in peer.outcomes(5)], [4])

        self.assertEqual(play(stage, body).code, 0)

    def test_a_verdict_is_for_all(self):
        @stagewire.batch(records=2, seconds=60)
        def stage(records):
            raise stagewire.Reject(1002, "none of them")

        def body(peer):
            peer.deliver([record(b"")] * 2)
            (outcome,) = peer.outcomes(2)
            self.assertEqual((outcome.kind, ids_of(outcome)), (2, [1, 2]))

        self.assertEqual(play(stage, body).code, 0)

    def test_parents_are_of_this_batch(self):
        earlier = []

        @stagewire.batch(records=1, seconds=60)
        def stage(records):
            earlier.extend(records)
            yield stagewire.emission(text="x", parents=earlier)

        def body(peer):
            peer.deliver([record(b"")] * 2)
            self.assertEqual([each.kind for each in peer.outcomes(2)], [1, 3])

        self.assertEqual(play(stage, body).code, 0)


class BatchSink(unittest.TestCase):
    def test_what_has_arrived(self):
        seen = []

        @stagewire.sink(batch=True)
        def stage(records, config):
            seen.append(len(records))
            if len(seen) == 2:
                raise OSError("disk full")

        def body(peer):
            for count in (3, 2):
                peer.deliver([record(b"")] * count)
            self.assertEqual([(each.kind, ids_of(each)) for each in peer.outcomes(5)],
                             [(1, [1, 2, 3]), (3, [4, 5])])
            self.assertEqual(seen, [3, 2])

        self.assertEqual(play(stage, body).code, 0)


if __name__ == "__main__":
    unittest.main()
