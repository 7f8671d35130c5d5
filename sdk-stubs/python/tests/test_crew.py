"""Several handlers at once: `workers=`."""

import collections
import os
import signal
import threading
import unittest
from unittest import mock

import stagewire
from fake_broker import ids_of, record, work
from stagewire.crew import Crew
from stagewire.v1 import envelope_pb2 as pb

ACCEPTED, REJECTED, RETRY, RELEASED = 1, 2, 3, 4
SECONDS = 20


def input_of(ordering) -> pb.Input:
    return pb.Input(number=0, stage="s", max_unsettled_records=4096, max_unsettled_bytes=4 << 20, ordering=ordering)


class Gates:
    """What handlers wait at, by payload, and what has begun."""

    def __init__(self):
        self.changed = threading.Condition()
        self.begun, self.open = [], set()

    def enter(self, name: str) -> None:
        """Called by a handler: waits for `let`."""
        with self.changed:
            self.begun.append(name)
            self.changed.notify_all()
            assert self.changed.wait_for(lambda: name in self.open, SECONDS), f"{name} was not let through"

    def let(self, *names: str) -> None:
        with self.changed:
            self.open.update(names)
            self.changed.notify_all()

    def await_begun(self, *names: str) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: set(names) <= set(self.begun), SECONDS), (names, self.begun)


class Played(unittest.TestCase):
    def setUp(self):
        self.gates = Gates()

    def stage(self, workers: int):
        @stagewire.transform(workers=workers)
        def stage(given):
            name = given.text()
            self.gates.enter(name)
            if name.startswith("retry"):
                raise stagewire.Retry
            return given.emit(port="late" if name.startswith("late") else "out")

        return stage

    def play(self, body, workers: int = 3, grant: bool = True, close: bool = True, stage=None, code: int = 0, more=(), **run):
        def script(peer):
            peer.welcome(**welcome)
            if grant:
                peer.grant()
            body(peer)
            if close:
                peer.close()

        welcome = run.pop("welcome", {})
        ran = work(stage or self.stage(workers), script, *more, **run)
        self.assertEqual(ran.code, code, ran.stderr)
        return ran

    def deliver(self, peer, *texts: str):
        """Each is `payload/key`; without a key it has none."""
        given = [each.split("/") for each in texts]
        first = peer.delivered
        peer.deliver([record(name.encode(), first + i, key="".join(key).encode()) for i, (name, *key) in enumerate(given)])

    def kinds(self, peer, count: int):
        return [(id, each.kind) for each in peer.outcomes(count) for id in ids_of(each)]

    def all_is_processed(self, peer):
        """The worker has read what was sent, and nothing was settled."""
        peer.send(ping=pb.Ping(nonce=1))
        peer.expect("pong")


class Order(Played):
    def test_keys_side_by_side_and_each_in_order(self):
        def body(peer):
            self.deliver(peer, "a/k", "b/k", "c/l", "d", "e")
            self.gates.await_begun("a", "c", "d")
            self.gates.let("c", "d")
            self.assertEqual(sorted(self.kinds(peer, 2)), [(3, ACCEPTED), (4, ACCEPTED)])
            self.gates.await_begun("e")
            self.assertNotIn("b", self.gates.begun)  # a thread is free
            self.gates.let("e")
            self.kinds(peer, 1)
            self.gates.let("a", "b")
            self.assertEqual(self.kinds(peer, 2), [(1, ACCEPTED), (2, ACCEPTED)])

        self.play(body)

    def test_no_more_at_once_than_there_are_workers(self):
        def body(peer):
            self.deliver(peer, *[f"{i}" for i in range(5)])
            self.gates.await_begun("0", "1")
            self.all_is_processed(peer)
            self.assertEqual(len(self.gates.begun), 2)
            self.gates.let(*[f"{i}" for i in range(5)])
            self.kinds(peer, 5)

        self.play(body, workers=2)

    def test_total(self):
        for ordering in (pb.ORDERING_TOTAL, 9):
            with self.subTest(ordering):
                self.setUp()

                def body(peer):
                    self.deliver(peer, "a/k", "b/l", "c")
                    self.gates.await_begun("a")
                    self.all_is_processed(peer)
                    self.assertEqual(self.gates.begun, ["a"])
                    self.gates.let("a", "b", "c")
                    self.assertEqual(self.kinds(peer, 3), [(1, ACCEPTED), (2, ACCEPTED), (3, ACCEPTED)])

                self.play(body, welcome={"inputs": [input_of(ordering)]})

    def test_none(self):
        def body(peer):
            self.deliver(peer, "a/k", "b/k")
            self.gates.await_begun("a", "b")
            self.gates.let("b")
            self.assertEqual(self.kinds(peer, 1), [(2, ACCEPTED)])
            self.gates.let("a")
            self.kinds(peer, 1)

        self.play(body, welcome={"inputs": [input_of(pb.ORDERING_NONE)]})

    def test_what_a_retry_voids_is_never_begun(self):
        def body(peer):
            peer.answers_pings = False
            self.deliver(peer, "retry/k", "b/k", "c/l", "d/k")
            self.gates.await_begun("retry", "c")
            self.gates.let("retry")
            self.assertEqual([(ids_of(each), each.kind) for each in peer.outcomes(3)],
                             [([1], RETRY), ([2], RELEASED), ([4], RELEASED)])
            peer.pong()
            self.deliver(peer, "again/k")
            self.gates.let("c", "again")
            self.assertEqual(sorted(self.kinds(peer, 2)), [(3, ACCEPTED), (5, ACCEPTED)])

        self.play(body)
        self.assertEqual(sorted(self.gates.begun), ["again", "c", "retry"])

    def test_a_handler_cannot_move_a_record_to_another_key(self):
        @stagewire.transform(workers=2)
        def stage(given):
            given.header.key = b"other"
            raise stagewire.Retry

        def body(peer):
            peer.answers_pings = False
            self.deliver(peer, "a/k", "b/k")
            self.assertEqual(self.kinds(peer, 2), [(1, RETRY), (2, RELEASED)])

        self.play(body, stage=stage)

    def test_many(self):
        """Per key in order and never two at once, whatever is emitted, with credit for little more than a step."""
        busy, order = collections.Counter(), collections.defaultdict(list)

        @stagewire.transform(workers=4)
        def stage(given):
            busy[given.key] += 1
            self.assertEqual(busy[given.key], 1)
            number = int(given.payload)
            os.sched_yield()
            order[given.key].append(number)
            busy[given.key] -= 1
            if number % 7 == 3:
                raise stagewire.Reject(1001, "three")
            return [given.emit(port=("out", "late")[number % 2]) for _ in range(number % 4)]

        total = 600

        def body(peer):
            for first in range(0, total, 50):
                peer.deliver([record(b"%d" % i, i, key=b"k%d" % (i * i % 5)) for i in range(first, first + 50)])
            settled, spent = [], [0, 0]  # records, by output
            while len(settled) < total:
                granted = [each + 3 for each in spent]
                for port, records in enumerate(granted):
                    peer.send(credit=pb.Credit(number=port, records=records, bytes=1 << 30))
                peer.granted = (granted[0], 1 << 30)
                for outcome in peer.expect("settle").outcomes:
                    settled += ids_of(outcome)
                    for each in outcome.emissions:
                        spent[each.port] += 1
                self.assertLessEqual(spent[1], granted[1])
            by_key = collections.defaultdict(list)
            for each in settled:
                by_key[(each - 1) * (each - 1) % 5].append(each)
            for key, ids in by_key.items():
                self.assertEqual(ids, sorted(ids), key)

        self.play(body, stage=stage, grant=False)
        self.assertEqual(sum(map(len, order.values())), total)
        for numbers in order.values():
            self.assertEqual(numbers, sorted(numbers))


class Credit(Played):
    def test_one_output_does_not_wait_for_another(self):
        def body(peer):
            peer.granted = (1 << 20, 1 << 30)
            peer.send(credit=pb.Credit(number=1, records=100, bytes=1 << 20))
            self.deliver(peer, "out/k", "late/l", "late2/k")
            self.gates.let("out", "late", "late2")
            self.assertEqual(self.kinds(peer, 1), [(2, ACCEPTED)])
            self.all_is_processed(peer)
            self.assertNotIn("late2", self.gates.begun)  # the one before it is not settled
            peer.grant()
            self.assertEqual(self.kinds(peer, 2), [(1, ACCEPTED), (3, ACCEPTED)])

        self.play(body, grant=False)

    def test_what_waits_for_credit_counts_as_being_at_work(self):
        def body(peer):
            names = [f"{i}" for i in range(8)]
            self.gates.let(*names)
            self.deliver(peer, *names)
            self.gates.await_begun("0", "1", "2")
            for _ in range(3):
                self.all_is_processed(peer)
            self.assertEqual(len(self.gates.begun), 3)
            peer.grant()
            self.kinds(peer, 8)

        self.play(body, grant=False)

    def test_a_large_step_is_not_overtaken_on_its_output(self):
        @stagewire.transform(workers=2)
        def stage(given):
            name = given.text()
            self.gates.enter(name)
            return [given.emit()] * (10 if name == "large" else 1)

        def body(peer):
            peer.grant(5, 1 << 20)
            self.deliver(peer, "large", "b")
            self.gates.await_begun("large", "b")
            self.gates.let("large")
            for _ in range(3):
                self.all_is_processed(peer)
            self.gates.let("b")
            for _ in range(3):
                self.all_is_processed(peer)  # credit would do for the second one
            peer.grant(11, 1 << 20)
            self.assertEqual(self.kinds(peer, 2), [(1, ACCEPTED), (2, ACCEPTED)])

        self.play(body, stage=stage, grant=False)


class Ending(Played):
    def test_shutdown_finishes_what_has_begun(self):
        def body(peer):
            self.deliver(peer, "a/k", "b/k", "c", "d", "e/k")
            self.gates.await_begun("a", "c")
            peer.drain(pb.DRAIN_REASON_SHUTDOWN)
            self.assertEqual(self.kinds(peer, 1), [(4, RELEASED)])
            self.deliver(peer, "f")
            self.assertEqual(self.kinds(peer, 1), [(6, RELEASED)])
            self.gates.let("c")
            self.assertEqual(self.kinds(peer, 1), [(3, ACCEPTED)])
            self.gates.let("a")
            self.assertEqual(self.kinds(peer, 3), [(1, ACCEPTED), (2, RELEASED), (5, RELEASED)])

        self.play(body, workers=2)

    def test_a_signal_finishes_what_has_begun(self):
        def body(peer):
            self.deliver(peer, "a/k", "b/k", "c", "d")
            self.gates.await_begun("a", "c")
            os.kill(os.getpid(), signal.SIGTERM)
            self.assertEqual(self.kinds(peer, 1), [(4, RELEASED)])
            self.gates.let("a", "c")
            self.assertEqual(sorted(self.kinds(peer, 3)), [(1, ACCEPTED), (2, RELEASED), (3, ACCEPTED)])
            self.assertEqual(peer.expect("close").code, 0)

        self.play(body, workers=2, close=False)

    def test_a_signal_ends_the_wait_for_credit(self):
        def body(peer):
            self.gates.let("a", "b")
            self.deliver(peer, "a/k", "b/k")
            self.gates.await_begun("a")
            self.all_is_processed(peer)
            os.kill(os.getpid(), signal.SIGTERM)
            self.assertEqual(self.kinds(peer, 2), [(1, RELEASED), (2, RELEASED)])
            self.assertEqual(peer.expect("close").code, 0)

        self.play(body, close=False, grant=False)

    def test_no_session_begins_while_a_handler_works_for_another(self):
        join, returned = Crew._join, []

        @stagewire.sink(workers=2)
        def stage(given):
            self.gates.enter(given.text())
            returned.append(given.text())

        def first(peer):
            self.deliver(peer, "a/k", "b/k")
            self.gates.await_begun("a")
            peer.close(207, "the lease expired")

        def second(peer):
            self.assertEqual(returned, ["a"])
            peer.welcome()
            peer.grant()
            self.gates.let("c")
            self.deliver(peer, "c/k")
            self.assertEqual(self.kinds(peer, 1), [(1, ACCEPTED)])
            peer.close()

        def let_it_return(crew, threads):
            self.gates.let("a")
            join(crew, threads)

        with mock.patch.object(Crew, "_join", let_it_return):
            self.play(first, close=False, more=[second], token="", stage=stage)
        self.assertEqual(self.gates.begun, ["a", "c"])

    def test_a_handler_that_ends_the_process(self):
        @stagewire.sink(workers=2)
        def stage(given):
            if given.text() == "exit":
                raise SystemExit(7)
            self.gates.enter("other")

        def body(peer):
            self.deliver(peer, "other", "exit")
            with self.assertRaises(EOFError):
                peer.expect("close")
            self.gates.let("other")

        self.play(body, stage=stage, code=7, close=False)

    def test_a_sink_that_returns_something(self):
        @stagewire.sink(workers=2)
        def stage(given):
            return given.emit()

        def body(peer):
            self.deliver(peer, "a")
            self.assertIn("a sink returns nothing, not Emission", peer.outcomes(1)[0].error.message)

        self.play(body, stage=stage)


class Timeouts(Played):
    def test_behind_a_handler_that_takes_too_long_nothing_begins_until_it_returns(self):
        """Or its lease would go on with every Settle of another."""
        def body(peer):
            self.deliver(peer, "slow")
            self.gates.await_begun("slow")
            self.deliver(peer, "b", "c")
            self.gates.let("b", "c")
            for _ in range(3):
                self.all_is_processed(peer)
            self.assertEqual(self.gates.begun, ["slow"])
            self.gates.let("slow")
            self.assertEqual(sorted(self.kinds(peer, 3)), [(1, ACCEPTED), (2, ACCEPTED), (3, ACCEPTED)])

        self.play(body, timeout=1e-6)


class Declarations(unittest.TestCase):
    def test_what_makes_no_sense(self):
        def handler(given):
            pass

        for declare in (
            lambda: stagewire.transform(handler, workers=0),
            lambda: stagewire.sink(batch=True, workers=2)(handler),
            lambda: stagewire.Stage(handler, "window", workers=2),
        ):
            with self.assertRaises(ValueError):
                declare()
        self.assertEqual(stagewire.transform(workers=3)(handler).workers, 3)
        self.assertEqual(stagewire.sink(handler, workers=3).workers, 3)


if __name__ == "__main__":
    unittest.main()
