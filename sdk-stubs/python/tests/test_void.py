"""Deliveries that are void (OR-3): not handled, but settled."""

import collections
import random
import types
import unittest

import stagewire
from fake_broker import ids_of, record, work
from stagewire import frames
from stagewire.confirmations import Confirmations
from stagewire.lanes import Lanes
from stagewire.outbox import Outbox
from stagewire.session import Barrier
from stagewire.v1 import envelope_pb2 as pb

ACCEPTED, REJECTED, RETRY, RELEASED = 1, 2, 3, 4
LIMITS = dict(stage="s", max_unsettled_records=4096, max_unsettled_bytes=4 << 20)


def input_of(ordering, number: int = 0) -> pb.Input:
    return pb.Input(number=number, ordering=ordering, **LIMITS)


class Scripted(unittest.TestCase):
    """The handlers do what the payload says and note what they were given."""

    def setUp(self):
        self.handled = []

    def obey(self, text: str):
        self.handled.append(text)
        if text.startswith("retry"):
            raise stagewire.Retry
        if text.startswith("release"):
            raise stagewire.Release
        if text.startswith("reject"):
            raise stagewire.Reject(1000)
        if text.startswith("raise"):
            raise KeyError(text)

    def play(self, body, stage=None, **welcome):
        @stagewire.transform
        def transform(given):
            self.obey(given.text())
            return given.emit()

        def script(peer):
            peer.welcome(**welcome)
            peer.grant()
            peer.answers_pings = False
            body(peer)
            peer.send(close=pb.Close())
            while peer._next().WhichOneof("message") != "close":
                pass
            self.pings = peer.pings

        run = work(stage or transform, script)
        self.assertEqual(run.code, 0, run.stderr)

    def deliver(self, peer, *texts: str, attempts=(), number=0):
        """Each is `payload/key/id`; what is missing is the payload's own, or none."""
        records = []
        for each in texts:
            payload, key, name = (each.split("/") + ["", ""])[:3]
            records.append(record(payload.encode(), int(name or self.number(payload)), key=key.encode()))
        peer.deliver(records, attempts, number)

    @staticmethod
    def number(payload: str) -> int:
        return int.from_bytes(payload.encode()[-3:], "big")

    def kinds(self, peer, count: int) -> list[tuple[int, int]]:
        """Delivery and verdict, as settled."""
        return [(id, each.kind) for each in peer.outcomes(count) for id in ids_of(each)]


class Transforms(Scripted):
    def test_later_deliveries_of_the_key(self):
        for verdict, kind in [("retry", RETRY), ("release", RELEASED), ("raise", RETRY)]:
            with self.subTest(verdict):
                self.handled.clear()

                def body(peer):
                    self.deliver(peer, "a/k", f"{verdict}/k", "b/k", "c/l", "d", "e/k", "f/k")
                    self.assertEqual(self.kinds(peer, 7), [
                        (1, ACCEPTED), (2, kind), (3, RELEASED), (4, ACCEPTED), (5, ACCEPTED), (6, RELEASED), (7, RELEASED)])
                    self.deliver(peer, "g/k", "h/l")  # under way
                    self.assertEqual(self.kinds(peer, 2), [(8, RELEASED), (9, ACCEPTED)])
                    peer.pong()
                    self.deliver(peer, f"again/k/{self.number(verdict)}", "b/k", "e/k", attempts=[2, 1, 1])
                    self.assertEqual(self.kinds(peer, 3), [(10, ACCEPTED), (11, ACCEPTED), (12, ACCEPTED)])
                    peer.pong()

                self.play(body)
                self.assertEqual(self.handled, ["a", verdict, "c", "d", "h", "again", "b", "e"])

    def test_each_release_is_an_outcome_of_its_own(self):
        """In one with others it would count for each of them, should none be void."""
        def body(peer):
            self.deliver(peer, "retry/k", "b/k", "c/k", "d", "e/k")
            self.assertEqual([ids_of(each) for each in peer.outcomes(5)], [[1], [2], [3], [4], [5]])

        self.play(body)

        @stagewire.window(records=2, by_key=True)
        def window(given):
            raise stagewire.Retry

        def windows(peer):
            self.deliver(peer, "a/k", "b/k", "c/k", "d/k")
            self.assertEqual([ids_of(each) for each in peer.outcomes(4)], [[1, 2], [3], [4]])

        self.play(windows, window)

    def test_what_was_given_up_frees_nothing_until_the_release_is_known(self):
        """The broker has made the first one a dead letter: then the release of those behind it is what voids."""
        def body(peer):
            self.deliver(peer, "retry/k")
            self.kinds(peer, 1)
            self.deliver(peer, "b/k")
            self.assertEqual(self.kinds(peer, 1), [(2, RELEASED)])
            peer.pong()
            self.deliver(peer, "c/k")  # sent before the broker knew that b comes again
            self.assertEqual(self.kinds(peer, 1), [(3, RELEASED)])
            peer.pong()
            peer.pong()
            self.deliver(peer, "b/k", "c/k")
            self.assertEqual(self.kinds(peer, 2), [(4, ACCEPTED), (5, ACCEPTED)])

        self.play(body)
        self.assertEqual(self.handled, ["retry", "b", "c"])

    def test_what_never_comes_again_holds_up_nothing(self):
        def body(peer):
            self.deliver(peer, "retry/k")
            self.kinds(peer, 1)
            peer.pong()
            self.deliver(peer, "b/k")
            self.assertEqual(self.kinds(peer, 1), [(2, ACCEPTED)])

        self.play(body)

    def test_rejection_voids_nothing(self):
        def body(peer):
            self.deliver(peer, "reject/k", "b/k")
            self.assertEqual(self.kinds(peer, 2), [(1, REJECTED), (2, ACCEPTED)])

        self.play(body)
        self.assertEqual(self.pings, [])

    def test_a_lane_given_back_twice(self):
        def body(peer):
            self.deliver(peer, "retry/k")
            self.kinds(peer, 1)
            peer.pong()
            self.deliver(peer, "retry/k", "b/k", attempts=[2, 1])
            self.assertEqual(self.kinds(peer, 2), [(2, RETRY), (3, RELEASED)])
            self.deliver(peer, "c/k")
            self.assertEqual(self.kinds(peer, 1), [(4, RELEASED)])
            peer.pong()
            peer.pong()
            self.deliver(peer, "fine/k", "b/k", "c/k")
            self.assertEqual(self.kinds(peer, 3), [(5, ACCEPTED), (6, ACCEPTED), (7, ACCEPTED)])

        self.play(body)
        self.assertEqual(self.handled, ["retry", "retry", "fine", "b", "c"])

    def test_total(self):
        """All of the input is one lane, and the other input is not in it. So it is with an unknown ordering."""
        for ordering in (pb.ORDERING_TOTAL, 9):
            with self.subTest(ordering):
                def body(peer):
                    self.deliver(peer, "a/k", "retry/l", "c/m", "d")
                    self.assertEqual(self.kinds(peer, 4), [(1, ACCEPTED), (2, RETRY), (3, RELEASED), (4, RELEASED)])
                    self.deliver(peer, "e/l", number=1)
                    self.assertEqual(self.kinds(peer, 1), [(5, ACCEPTED)])
                    peer.pong()
                    self.deliver(peer, "fine/l", "c/m")
                    self.assertEqual(self.kinds(peer, 2), [(6, ACCEPTED), (7, ACCEPTED)])

                self.play(body, inputs=[input_of(ordering), input_of(pb.ORDERING_KEY, 1)])

    def test_none(self):
        def body(peer):
            self.deliver(peer, "retry/k", "b/k", "release/k", "c/k")
            self.assertEqual(self.kinds(peer, 4), [(1, RETRY), (2, ACCEPTED), (3, RELEASED), (4, ACCEPTED)])

        self.play(body, inputs=[input_of(pb.ORDERING_NONE)])
        self.assertEqual(self.pings, [])

    def test_who_leaves_asks_for_nothing(self):
        def body(peer):
            peer.drain(pb.DRAIN_REASON_SHUTDOWN)
            self.deliver(peer, "a/k", "b/k")
            self.assertEqual(self.kinds(peer, 2), [(1, RELEASED), (2, RELEASED)])

        self.play(body)
        self.assertEqual(self.pings, [])


class Batches(Scripted):
    def test_a_verdict_closes_the_lanes_of_all(self):
        @stagewire.sink(batch=True)
        def stage(records):
            texts = [each.text() for each in records]
            records.clear()  # the list is the handler's
            for each in texts:
                self.obey(each)

        def body(peer):
            self.deliver(peer, "a/k", "retry/l", "b")
            self.assertEqual(self.kinds(peer, 3), [(1, RETRY), (2, RETRY), (3, RETRY)])
            self.deliver(peer, "c/k", "d/m", "e/l", "f/l", "g")
            self.assertEqual(sorted(self.kinds(peer, 5)), [
                (4, RELEASED), (5, ACCEPTED), (6, RELEASED), (7, RELEASED), (8, ACCEPTED)])
            self.deliver(peer, "i/k")  # nothing is left of this batch
            self.assertEqual(self.kinds(peer, 1), [(9, RELEASED)])
            peer.pong()
            self.deliver(peer, "a/k", f"fine/l/{self.number('retry')}", "reject/l", "c/k", attempts=[2, 2, 1, 1])
            self.assertEqual(self.kinds(peer, 4), [(each, REJECTED) for each in (10, 11, 12, 13)])
            self.deliver(peer, "h/k")  # a rejection voids nothing
            self.assertEqual(self.kinds(peer, 1), [(14, ACCEPTED)])

        self.play(body, stage)
        self.assertEqual(self.handled, ["a", "retry", "d", "g", "a", "fine", "reject", "h"])

    def test_windows(self):
        """Of a window by number: what it holds behind, what is under way, and what is not concerned."""
        @stagewire.window(records=2, by_key=True)
        def stage(window):
            for each in window:
                self.obey(each.text())
            return window.records[0].emit()

        def body(peer):
            self.deliver(peer, "a/k", "b/l", "retry/k", "c/k", "d/k")
            self.assertEqual(self.kinds(peer, 4), [(1, RETRY), (3, RETRY), (4, RELEASED), (5, RELEASED)])
            self.deliver(peer, "e/k", "f/l")
            self.assertEqual(sorted(self.kinds(peer, 3)), [(2, ACCEPTED), (6, RELEASED), (7, ACCEPTED)])
            peer.pong()
            self.deliver(peer, "a/k", "fine/k", "c/k", "d/k", attempts=[2, 2, 1, 1])
            self.assertEqual(self.kinds(peer, 4), [(each, ACCEPTED) for each in (8, 9, 10, 11)])
            peer.pong()

        self.play(body, stage)


class Record:
    """One of the model's records."""

    def __init__(self, number: int, key: bytes):
        self.number, self.key, self.attempt = number, key, 1


class Model:
    """What the broker does with related deliveries, sending as much as it can before it reads."""

    def __init__(self, peer, chance: random.Random, records: list[Record], attempts: int, ordering):
        self.peer, self.chance, self.attempts, self.ordering = peer, chance, attempts, ordering
        self.pending = records  # ascending by number
        self.held: dict[int, Record] = {}  # by delivery
        self.void: set[int] = set()
        self.voided: set[int] = set()  # ever
        self.due: dict[Record, int] = {}  # what was given back, and after how many reads it may go
        self.reads = 0
        self.ping_is_due = False  # something was given back since the last one
        self.accepted: list[Record] = []
        self.dead: list[Record] = []
        peer.answers_pings = False

    def run(self) -> None:
        while self.pending or self.held:
            ready = self.ready(self.chance.randrange(1, 6))
            if ready and (not self.held or self.chance.random() < 0.5):
                self.send(ready)
            elif self.held or self.ping_is_due:
                self.read()
            else:
                self.due.clear()  # time passes

    def ready(self, count: int) -> list[Record]:
        """The next so many of `pending` that are not behind one that has to wait."""
        found: list[Record] = []
        waiting = [each for each, due in self.due.items() if due > self.reads]
        for each in self.pending:
            if len(found) < count and not any(
                each is other or each.number > other.number and self.related(each, other) for other in waiting
            ):
                found.append(each)
        return found

    def send(self, sent: list[Record]) -> None:
        self.pending = [each for each in self.pending if each not in sent]
        first = self.peer.deliver(
            [record(b"%d" % each.number, each.number, key=each.key) for each in sent], [each.attempt for each in sent])
        self.held.update((first + i, each) for i, each in enumerate(sent))

    def read(self) -> None:
        self.reads += 1
        assert self.reads < 100_000, "no progress: what comes again is turned away for ever"
        envelope = self.peer.stash.pop(0) if self.peer.stash else self.peer._next()
        if envelope.HasField("ping"):
            self.ping_is_due = False
            self.peer.pong()
        for outcome in envelope.settle.outcomes:
            ids = ids_of(outcome)
            assert not (outcome.emissions and self.void.intersection(ids)), f"a void step: {outcome}"
            settled = [(each, self.held.pop(each)) for each in ids]
            for delivery, settled_record in settled:
                if delivery in self.void:
                    self.void.discard(delivery)
                else:
                    self.settle(outcome.kind, delivery, settled_record)

    def settle(self, kind: int, delivery: int, settled: Record) -> None:
        if kind == ACCEPTED:
            self.accepted.append(settled)
        elif kind == REJECTED or kind == RETRY and settled.attempt == self.attempts:
            self.dead.append(settled)  # which voids nothing
        else:
            settled.attempt += kind == RETRY
            self.ping_is_due = self.ping_is_due or self.related(settled, settled)
            # Rarely so soon that it is under way before its Ping was read, which a backoff rules out.
            self.due[settled] = self.reads + self.chance.choice([0, *range(1, 20)])
            later = [
                each for each, other in self.held.items()
                if each > delivery and each not in self.void and self.related(settled, other)]
            self.void.update(later)
            self.voided.update(later)
            self.pending = sorted(
                [*self.pending, settled, *[self.held[each] for each in later]], key=lambda each: each.number)

    def related(self, one: Record, other: Record) -> bool:
        if self.ordering == pb.ORDERING_KEY:
            return bool(one.key) and one.key == other.key
        return self.ordering == pb.ORDERING_TOTAL


class AgainstAModel(unittest.TestCase):
    def play(self, seed: int, ordering, attempts: int, records: list[Record], decide, batch: bool = False, workers: int = 1):
        """Returns the model and the deliveries that were handled, in order."""
        handled: list[int] = []

        @stagewire.transform(workers=workers)
        def stage(given):
            handled.append(given.delivery)
            decide(given)
            return given.emit()

        @stagewire.sink(batch=True)
        def batches(given):
            handled.extend(each.delivery for each in given)
            decide(given[0])

        def script(peer):
            peer.welcome(inputs=[input_of(ordering)])
            peer.grant()
            models.append(Model(peer, random.Random(seed), records, attempts, ordering))
            models[0].run()
            peer.close()

        models: list[Model] = []
        run = work(batches if batch else stage, script)
        self.assertEqual(run.code, 0, f"seed {seed}: {run.stderr}")
        return models[0], handled

    def test_nothing_void_is_handled_and_all_arrives_in_order(self):
        for seed in range(40):
            self.play_at_random(seed, batch=seed % 4 == 3)

    def test_so_it_is_with_several_handlers_at_once(self):
        for seed in range(40):
            self.play_at_random(seed, workers=2 + seed % 4)

    def play_at_random(self, seed: int, **kind):
        chance = random.Random(seed)
        ordering = chance.choice([pb.ORDERING_KEY, pb.ORDERING_KEY, pb.ORDERING_TOTAL, pb.ORDERING_NONE])
        records = [Record(i, chance.choice([b"", b"a", b"b", b"c"])) for i in range(200)]

        def decide(given):
            match chance.randrange(10):
                case 0 | 1:
                    raise stagewire.Retry
                case 2:
                    raise stagewire.Release
                case 3:
                    raise stagewire.Reject(1000)

        model, handled = self.play(seed, ordering, 3, records, decide, **kind)
        self.assertEqual(model.voided.intersection(handled), set(), f"seed {seed}")
        self.assertEqual(len(model.accepted) + len(model.dead), 200, f"seed {seed}")
        lanes = collections.defaultdict(list)
        for each in model.accepted:
            lanes[each.key if ordering == pb.ORDERING_KEY else b"all"].append(each.number)
        for lane, numbers in lanes.items():
            if lane and ordering != pb.ORDERING_NONE:
                self.assertEqual(numbers, sorted(numbers), f"seed {seed}")

    def test_many_held_records_of_one_key_and_many_retries(self):
        """Every record fails once: two calls for each of them, not one for each record behind each failure."""
        failed: set[bytes] = set()

        def decide(given):
            if given.payload not in failed:
                failed.add(given.payload)
                raise stagewire.Retry

        count = 200
        model, handled = self.play(1, pb.ORDERING_KEY, 1000, [Record(i, b"k") for i in range(count)], decide)
        self.assertEqual([each.number for each in model.accepted], list(range(count)))
        self.assertEqual(len(handled), 2 * count)
        self.assertGreater(len(model.voided), 5 * count)  # it was put to the test


class FakeSession:
    """What an outbox needs of a session; `written` are the messages, one by one."""

    def __init__(self, **welcome):
        self.welcome = pb.Welcome(inputs=[input_of(pb.ORDERING_KEY)], outputs=[pb.Output(port="out")],
                                  max_step_records=4096, **welcome)
        self.stopping, self.drain, self.limits = False, None, {0: (1 << 30, 1 << 40)}
        self.barriers: list[Barrier] = []
        self.confirmations = Confirmations()
        self.written: list[pb.Envelope] = []

    def ping(self, barrier: Barrier) -> bytes:
        self.barriers.append(barrier)
        return frames.frame(ping=pb.Ping(nonce=len(self.barriers)))

    def send(self, frame: bytes, settles: int) -> None:
        reader = frames.FrameReader(1 << 20)
        self.written += [pb.Envelope.FromString(each) for each in reader.feed(frame)]


class Bookkeeping(unittest.TestCase):
    def test_no_ping_stands_before_what_it_is_about(self):
        """Outcomes that do not fit into one Settle: wherever it is cut, the Ping comes behind all that gives back."""
        for size in range(1000, 2200, 10):
            session = FakeSession(max_frame=1 << 20, max_record=8192, max_step_bytes=8192)
            outbox = Outbox(session)
            outbox._limit = 3072
            lanes = Lanes(session, outbox)
            outbox.fail([(1, 1)], 1, RETRY, 1000, "x" * 100)
            lanes.give_back([given_of(1, b"k")])
            self.assertTrue(lanes.turn_away(given_of(2, b"k")))
            for delivery in (3, 4):
                outbox.accept_one(delivery, stagewire.emission(payload=bytes(size)))
            self.assertTrue(lanes.turn_away(given_of(5, b"k")))
            outbox.accept_one(6, stagewire.emission(payload=bytes(size)))
            outbox.flush()
            kinds = [each.WhichOneof("message") for each in session.written]
            self.assertEqual(kinds, ["settle"] * (len(kinds) - 1) + ["ping"], f"{size}")
            settled = [id for each in session.written for outcome in each.settle.outcomes for id in ids_of(outcome)]
            self.assertEqual(settled, [1, 2, 3, 4, 5, 6], f"{size}")

    def test_an_outcome_in_pieces_is_the_one_of_protobuf(self):
        """Of every size and at every length of a delivery's number, also where a new one begins."""
        chance = random.Random(5)
        sizes = [0, 1, 50, 100, 120, 127, 128, 200, 8100, 8180, 8192, 9000, 16_400]
        for start in [1, (1 << 14) - 20, (1 << 21) - 20, (1 << 28) - 20, (1 << 49) - 20]:
            session = FakeSession(max_frame=1 << 20, max_record=1 << 16, max_step_bytes=1 << 16)
            outbox, wanted, charged = Outbox(session), [], 0
            outbox._limit = 1 << 14
            for delivery in range(start, start + 200):
                fields = {"key": bytes(chance.choice(sizes[:8]))} if chance.random() < 0.8 else {}
                emission = stagewire.emission(payload=bytes(chance.choice(sizes)), **fields)
                outcome = pb.Outcome(first=delivery, kind=ACCEPTED)
                outcome.emissions.add().output.MergeFromString(emission.output)
                charged += len(emission.output) + session.welcome.stamp_reserve
                outbox.accept_one(delivery, emission)
                wanted.append(outcome)
                if chance.random() < 0.1:
                    outbox.flush()
            outbox.flush()
            self.assertEqual([each for frame in session.written for each in frame.settle.outcomes], wanted)
            self.assertEqual(outbox.credit.spent[0], [200, charged])
            self.assertLess(max(each.ByteSize() for each in session.written), 20_000)

    def test_keys_that_never_come_again_are_forgotten(self):
        session = FakeSession()
        outbox = Outbox(session)
        lanes = Lanes(session, outbox)
        for i in range(1, 10_001):
            given = given_of(i, b"%d" % i)
            self.assertFalse(lanes.turn_away(given))
            outbox.release([(i, i)], 1)
            lanes.give_back([given])
            if i % 10 == 0:
                outbox.flush()
        self.assertEqual((len(lanes.closed), len(session.barriers)), (10_000, 1_000))
        for barrier in session.barriers[:500]:
            barrier.through = 10_000
        lanes.forget(10_000)
        self.assertEqual(len(lanes.closed), 10_000)  # one delivery may still be void
        lanes.forget(10_001)
        self.assertEqual(len(lanes.closed), 5_000)


def given_of(delivery: int, key: bytes):
    return types.SimpleNamespace(input_number=0, key=key, delivery=delivery, id=f"{delivery}")


if __name__ == "__main__":
    unittest.main()
