import math
import random
import unittest
from datetime import timedelta
from unittest import mock

import stagewire
from fake_broker import ids_of, record, work
from stagewire.lagging import LAGGING_SECONDS
from stagewire.stages import Bounds, Reject
from stagewire.v1 import envelope_pb2 as pb
from stagewire.v1 import record_pb2
from stagewire.windows import Assembler

MAX_UNSETTLED = dict(number=0, stage="s", max_unsettled_records=4096, max_unsettled_bytes=4 << 20)


def joined(window):
    """The payloads as one record, "!" in front when the window is incomplete."""
    texts = []
    for each in window:
        if each.payload == b"reject":
            window.reject(each, 1007, "not this one")
        elif each.payload == b"fail":
            raise KeyError("oops")
        elif each.payload == b"retry" and each.attempt == 1:
            raise stagewire.Retry(1, "later")
        elif each.payload == b"release":
            raise stagewire.Release
        else:
            texts.append(each.text())
    if texts:
        yield stagewire.emission(text=("" if window.complete else "!") + "+".join(texts), key=window.key,
                                 event_time=window.start)


def at(seconds: int, payload: str, key: str = "", number: int = 0) -> record_pb2.Record:
    made = record(payload.encode(), number, key=key.encode(), event_time=seconds * 1_000_000)
    if not number:
        made.lineage.ClearField("id")
    return made


class Windows(unittest.TestCase):
    def play(self, stage, body, **welcome):
        def script(peer):
            peer.hello = peer.welcome(**welcome)
            peer.grant()
            peer.found = {}
            body(peer)
            peer.close()

        run = work(stage, script)
        self.assertEqual(run.code, 0, run.stderr)
        return run

    def outcome(self, peer, delivery: int) -> pb.Outcome:
        while delivery not in peer.found:
            for each in peer.expect("settle").outcomes:
                for settled in ids_of(each):
                    self.assertNotIn(settled, peer.found, "settled twice")
                    peer.found[settled] = each
        return peer.found[delivery]

    def window(self, peer, delivery: int, text: str) -> pb.Outcome:
        outcome = self.outcome(peer, delivery)
        self.assertEqual([each.output.payload.decode() for each in outcome.emissions], [text], outcome)
        return outcome

    def test_records_and_bytes(self):
        def body(peer):
            self.assertEqual(list(peer.hello.offered), ["holds", "settle-confirm"])
            peer.deliver([record(each) for each in (b"a", b"b")])
            peer.deliver([record(each) for each in (b"c", b"12345", b"123456", b"0123456789x", b"z")])
            self.assertEqual(ids_of(self.window(peer, 1, "a+b+c")), [1, 2, 3])
            self.window(peer, 4, "12345")  # 5 and 6 would be more than 10
            self.window(peer, 5, "123456")
            self.window(peer, 6, "0123456789x")  # alone it may be larger
            peer.drain(pb.DRAIN_REASON_INPUT_ENDED)
            self.window(peer, 7, "z")
            peer.deliver([record(b"again")])  # a redelivery after the drain does not wait
            self.window(peer, 8, "again")

        self.play(stagewire.window(records=3, bytes=10)(joined), body)

    def test_seconds_and_keys(self):
        def body(peer):
            peer.deliver([at(0, "a", "x"), at(0, "b", "y"), at(0, "c", "x")])
            outcome = self.window(peer, 1, "a+c")
            self.assertEqual((ids_of(outcome), outcome.emissions[0].output.header.key), ([1, 3], b"x"))
            self.window(peer, 2, "b")

        self.play(stagewire.window(seconds=timedelta(milliseconds=20), by_key=True)(joined), body)

    def test_event_time(self):
        def body(peer):
            peer.deliver([at(100, "a"), at(111, "b"), at(109, "c"), at(-1, "z")])
            peer.deliver([at(112, "d"), at(109, "e"), at(0, "f")])
            self.assertEqual(self.window(peer, 1, "a+c").emissions[0].output.header.event_time, 100_000_000)
            for delivery, sentence in [
                (4, "late: its window ended at 1970-01-01T00:00:00.000000Z"),
                (6, "late: its window ended at 1970-01-01T00:01:50.000000Z"), (7, "without event time"),
            ]:
                outcome = self.outcome(peer, delivery)
                self.assertEqual((outcome.kind, outcome.error.code), (2, 1000))
                self.assertIn(sentence, outcome.error.message)
            peer.drain(pb.DRAIN_REASON_INPUT_ENDED)
            self.window(peer, 2, "b+d")

        self.play(stagewire.window(event_time=10, lateness=2)(joined), body)

    def test_a_quiet_stream_and_late_records_that_may_go(self):
        def body(peer):
            peer.deliver([at(100, "a"), at(105, "b")])
            self.window(peer, 1, "a+b")
            peer.deliver([at(109, "c")])
            outcome = self.outcome(peer, 3)
            self.assertEqual((outcome.kind, len(outcome.emissions)), (1, 0))

        self.play(stagewire.window(event_time=10, idle=0.02, late="accept")(joined), body)

    def test_a_window_that_the_broker_may_not_add_to_ends_early(self):
        def body(peer):
            peer.deliver([at(100, "a", "x"), at(100, "b", "y"), at(101, "c", "x"), at(101, "d", "y")])
            self.window(peer, 1, "!a+c")
            peer.deliver([at(102, "e", "x"), at(110, "f", "x")])
            self.window(peer, 2, "b+d")
            self.window(peer, 5, "!e")  # a part was given before
            peer.drain(pb.DRAIN_REASON_INPUT_ENDED)
            self.window(peer, 6, "f")

        few = pb.Input(**{**MAX_UNSETTLED, "max_unsettled_records": 4})
        self.play(stagewire.window(event_time=10, by_key=True)(joined), body, inputs=[few])

    def test_verdicts(self):
        def body(peer):
            payloads = "a reject b c fail d e release f reject reject reject".split()
            peer.deliver([record(each.encode(), i) for i, each in enumerate(payloads)])
            self.assertEqual(ids_of(self.window(peer, 1, "a+b")), [1, 3])
            rejected, failed, released = (self.outcome(peer, each) for each in (2, 5, 8))
            self.assertEqual((rejected.kind, rejected.error.code, ids_of(rejected)), (2, 1007, [2]))
            self.assertEqual((failed.kind, ids_of(failed), failed.error.message), (3, [4, 5, 6], "KeyError: 'oops'"))
            self.assertEqual((released.kind, ids_of(released)), (4, [7, 8, 9]))
            self.assertEqual([self.outcome(peer, each).kind for each in (10, 11, 12)], [2, 2, 2])

        self.play(stagewire.window(records=3)(joined), body)

    def test_nothing_is_emitted_from_rejected_records(self):
        @stagewire.window(records=1)
        def stage(window):
            window.reject(window.records[0], 1001)
            yield stagewire.emission(text="x")

        def body(peer):
            peer.deliver([record(b"")])
            self.assertIn("emits nothing", self.outcome(peer, 1).error.message)

        self.play(stage, body)

    def test_a_step_that_is_too_large(self):
        @stagewire.window(records=1)
        def stage(window):
            return [stagewire.emission(text="x")] * 5000

        def body(peer):
            peer.deliver([record(b"")])
            self.assertEqual(self.outcome(peer, 1).error.code, 305)

        self.play(stage, body)

    def test_a_retried_window_comes_back_and_is_not_late(self):
        def body(peer):
            peer.answers_pings = False
            peer.deliver([at(100, "a", "k", 1), at(101, "retry", "k", 2), at(112, "c", "k", 3)])
            # Delivery 3 is void by now: its record comes again behind those that were retried. So is 4, under way.
            self.assertEqual([self.outcome(peer, each).kind for each in (1, 2, 3)], [3, 3, 4])
            peer.deliver([at(113, "d", "k", 4)])
            self.assertEqual(self.outcome(peer, 4).kind, 4)
            peer.pong()
            peer.deliver([at(100, "a", "k", 1), at(101, "retry", "k", 2)], attempts=[2, 2])
            peer.deliver([at(112, "c", "k", 3), at(113, "d", "k", 4), at(122, "e", "k", 5)])
            self.assertEqual(ids_of(self.window(peer, 5, "a+retry")), [5, 6])
            self.assertEqual(ids_of(self.window(peer, 7, "c+d")), [7, 8])

        self.play(stagewire.window(event_time=10, idle=0)(joined), body)

    def test_a_key_that_lags_is_not_late(self):
        """While the records of one key are away, those of the others move the watermark. What the broker has held
        back of the key behind them is not late when it comes at last."""
        def body(peer):
            peer.deliver([at(100, "retry", "k", 1), at(111, "b", "k", 2), at(112, "x", "o", 9)])
            self.assertEqual((self.outcome(peer, 1).kind, self.outcome(peer, 2).kind), (3, 4))
            peer.deliver([at(150, "y", "o", 10)])
            self.window(peer, 3, "x")
            peer.deliver([at(100, "retry", "k", 1), at(109, "never seen", "k", 3)], attempts=[2, 1])
            peer.deliver([at(111, "b", "k", 2), at(119, "nor this", "k", 4)])
            self.window(peer, 5, "retry+never seen")
            peer.deliver([at(151, "z", "k", 5)])
            self.window(peer, 7, "b+nor this")
            peer.deliver([at(119, "late", "k", 6)])
            self.assertEqual(self.outcome(peer, 10).kind, 2)  # it has caught up
            peer.drain(pb.DRAIN_REASON_INPUT_ENDED)
            self.window(peer, 9, "z")

        self.play(stagewire.window(event_time=10, idle=0, by_key=True)(joined), body)

    def test_shutdown_releases(self):
        def body(peer):
            peer.deliver([record(b"a"), record(b"b")])
            peer.drain(pb.DRAIN_REASON_SHUTDOWN)
            self.assertEqual([self.outcome(peer, each).kind for each in (1, 2)], [4, 4])
            peer.deliver([record(b"c")])
            self.assertEqual(self.outcome(peer, 3).kind, 4)

        self.play(stagewire.window(records=100, by_key=True)(joined), body)

    def test_waiting_renews_the_lease(self):
        def body(peer):
            peer.deliver([record(b"a")])
            kinds = []
            while kinds.count("extend") < 3:
                kinds.append(peer._next().WhichOneof("message"))
            peer.deliver([record(b"b")])
            self.window(peer, 1, "a+b")

        self.play(stagewire.window(records=2)(joined), body, lease_ms=60)

    def test_bounds_that_cannot_be_meant(self):
        for arguments in [{}, {"records": 0}, {"bytes": 0}, {"seconds": -1}, {"records": 1, "event_time": 1},
                          {"event_time": 0}, {"event_time": 1, "idle": -1}, {"event_time": 1, "late": "drop"},
                          {"records": 1, "bounds": lambda config: Bounds(records=1)}]:
            with self.subTest(arguments), self.assertRaises(ValueError):
                stagewire.window(**arguments)


    def test_bounds_by_configuration(self):
        stage = stagewire.window(bounds=lambda config: Bounds(records=config["records"]))(joined)

        def body(peer):
            peer.deliver([record(each) for each in (b"a", b"b", b"c", b"d")])
            self.window(peer, 1, "a+b")
            self.window(peer, 3, "c+d")

        self.play(stage, body, config=b'{"records": 2}')

        def refused(peer):
            peer.welcome(config=b'{"records": -1}')
            self.assertGreaterEqual(peer.expect("close").code, 1000)

        run = work(stage, refused)
        self.assertEqual(run.code, 2)
        self.assertIn("config: a window has at least one record", run.stderr)


class Held:
    """A record without a broker."""

    def __init__(self, moment: int, key: bytes = b"", name: str = "", attempt: int = 1, delivery: int = 0):
        self.delivery = delivery
        self.event_time, self.key, self.id, self.attempt = moment, key, name, attempt
        self.payload, self.input, self.input_number = b"", "up", 0


class Assembling(unittest.TestCase):
    def test_what_returns_in_part_is_incomplete(self):
        assembler = Assembler(Bounds(event_time=10e-6, idle=1))
        assembler.lanes.ordering = {0: pb.ORDERING_NONE}
        for name, moment in enumerate((100, 101, 120)):
            assembler.add(Held(moment, name=f"{name}"), 1000)
        (window,) = assembler.ready
        self.assertEqual((len(window), window.complete), (2, True))
        assembler.ready.clear()
        assembler.give_back(window)
        assembler.add(Held(100, name="0"), 1000)  # released: the same attempt
        assembler.end_all()  # the others may still come
        self.assertEqual([each.start for each in assembler.ready], [120])
        self.assertEqual(assembler.deadline, 1001)
        assembler.tick(1001, True)
        self.assertEqual([each.complete for each in assembler.ready], [True, False])
        with self.assertRaisesRegex(Reject, "late"):
            assembler.add(Held(102, name="9"), 1002)

    def dead_window(self, by_key: bool) -> Assembler:
        """A window of key k was given back, and all of it is a dead letter: nothing comes again."""
        assembler = Assembler(Bounds(event_time=10e-6, idle=0, by_key=by_key))
        assembler.lanes.ordering = {0: pb.ORDERING_KEY}
        assembler.add(Held(100, b"k", "0", delivery=1), 1000)
        assembler.add(Held(112, b"o", "1", delivery=2), 1000)
        (window,) = assembler.ready
        assembler.ready.clear()
        self.assertEqual(assembler.give_back(window), [])
        self.assertEqual(len(assembler.lanes.lagging), 1)
        return assembler

    def test_a_key_whose_window_is_dead_catches_up_with_its_next_record(self):
        for by_key in (True, False):
            with self.subTest(by_key):
                assembler = self.dead_window(by_key)
                assembler.add(Held(131, b"k", "2", delivery=3), 1001)
                self.assertEqual(assembler.lanes.lagging, {})
                with self.assertRaisesRegex(Reject, "late"):
                    assembler.add(Held(115, b"k", "3", delivery=4), 1001)
                assembler.add(Held(141, b"o", "4", delivery=5), 1001)  # whose window the watermark ends, as ever
                self.assertEqual([(each.start, each.complete) for each in assembler.ready], [(110, True), (130, True)])

    def test_a_dead_key_that_is_never_seen_again_does_not_lag_for_ever(self):
        """Without keys its lag would keep every window that comes back waiting."""
        assembler = self.dead_window(by_key=False)
        assembler.tick(1000 + LAGGING_SECONDS - 1, True)
        self.assertEqual(len(assembler.lanes.lagging), 1)
        assembler.tick(1000 + LAGGING_SECONDS, True)
        self.assertEqual(assembler.lanes.lagging, {})

    def test_dead_keys_take_no_more_than_their_share_of_memory(self):
        assembler = Assembler(Bounds(event_time=10e-6, idle=0, by_key=True))
        assembler.lanes.ordering = {0: pb.ORDERING_KEY}
        count = 300
        with mock.patch("stagewire.windows.REMEMBERED", 100), mock.patch("stagewire.lagging.REMEMBERED", 100):
            for i in range(count):
                assembler.add(Held(100 + 10 * i, b"%d" % i, f"{i}", delivery=i + 1), 1000)
                while assembler.ready:
                    assembler.give_back(assembler.ready.pop())
                assembler.tick(1000, False)
        self.assertEqual((len(assembler.lanes.lagging), len(assembler._returning), len(assembler._given)), (100, 100, 100))
        # The latest are the ones that are remembered.
        assembler.add(Held(100 + 10 * (count - 2), b"%d" % (count - 2), f"{count - 2}", attempt=2, delivery=count + 1), 1000)
        self.assertEqual(len(assembler._returning), 99)

    def test_every_record_is_in_one_window(self):
        """Whatever the order of arrival: in exactly one, and in the right one, or late."""
        for seed in range(150):
            chance = random.Random(seed)
            size, lateness, by_key = chance.randrange(1, 20), chance.randrange(10), chance.random() < 0.5
            assembler = Assembler(Bounds(event_time=size / 1e6, lateness=lateness / 1e6, idle=0, by_key=by_key))
            seen, late, latest = [], 0, -math.inf
            for n in range(300):
                held = Held(n - 150 + chance.randrange(30) or 1, b"%d" % chance.randrange(3))
                latest = max(latest, held.event_time)
                too_late = held.event_time // size * size + size <= latest - lateness
                try:
                    assembler.add(held, 0)
                    self.assertFalse(too_late, f"seed {seed}")
                except Reject:
                    self.assertTrue(too_late, f"seed {seed}")
                    late += 1
                if n == 299:
                    assembler.end_all()
                for window in assembler.ready:
                    seen += window.records
                    for each in window:
                        self.assertEqual(each.event_time // size * size, window.start, f"seed {seed}")
                        self.assertTrue(not by_key or each.key == window.key, f"seed {seed}")
                assembler.ready.clear()
            self.assertEqual((len(set(map(id, seen))), len(seen)), (300 - late, 300 - late), f"seed {seed}")


if __name__ == "__main__":
    unittest.main()
