"""`Record.on_confirmed`: the worker's side of settle-confirm."""

import unittest

import stagewire
from fake_broker import record, work
from stagewire.v1 import envelope_pb2 as pb


def settled(peer, through: int, *refused: int) -> None:
    peer.send(settled=pb.Settled(
        through=through, refused=[pb.Refusal(id=each, error=pb.Error(code=306, message="no output")) for each in refused]))


class Confirmations(unittest.TestCase):
    def play(self, stage, payloads, body):
        """Delivers, waits for the outcomes, lets `body(peer)` confirm; what the worker said."""
        def script(peer):
            hello = peer.welcome(features=["settle-confirm"])
            self.assertIn("settle-confirm", hello.offered)
            peer.grant()
            peer.deliver([record(each.encode(), i) for i, each in enumerate(payloads)])
            peer.outcomes(len(payloads))
            body(peer)
            peer.close()

        run = work(stage, script)
        self.assertEqual(run.code, 0, run.stderr)
        return run.stderr

    def test_only_what_is_confirmed_is_done_and_in_order(self):
        done = []

        def stage(record):
            record.on_confirmed(lambda: done.append(record.text()))
            record.on_confirmed(lambda: done.append("again"))

        for workers in (1, 3):
            done.clear()
            self.play(stagewire.sink(workers=workers)(stage), ["a", "b", "c", "d"], lambda peer: [
                settled(peer, each) for each in (1, 3, 3)])
            self.assertEqual(done, ["a", "again", "b", "again", "c", "again"])

    def test_what_is_not_accepted_is_not_done(self):
        done = []
        verdicts = {
            "reject": stagewire.Reject(1001, "no"), "retry": stagewire.Retry(0, "later"),
            "release": stagewire.Release(), "fail": KeyError("oops")}

        @stagewire.sink
        def stage(record):
            record.on_confirmed(lambda: done.append(record.text()))
            if record.text() in verdicts:
                raise verdicts[record.text()]

        self.play(stage, [*verdicts, "good"], lambda peer: settled(peer, 5))
        self.assertEqual(done, ["good"])

    def test_a_batch(self):
        done = []

        @stagewire.sink(batch=True)
        def stage(records):
            for each in records:
                each.on_confirmed(lambda each=each: done.append(each.text()))

        self.play(stage, ["a", "b"], lambda peer: settled(peer, 2))
        self.assertEqual(done, ["a", "b"])

    def test_what_the_broker_refuses_is_not_done(self):
        done = []

        @stagewire.transform
        def stage(record):
            record.on_confirmed(lambda: done.append(record.text()))
            yield record.emit()

        def body(peer):
            settled(peer, 1, 2)  # a refusal may come before its outcome is confirmed
            settled(peer, 3)

        self.play(stage, ["a", "b", "c"], body)
        self.assertEqual(done, ["a", "c"])

    def test_a_refused_window_is_named_by_its_first_record(self):
        done = []

        def stage(window):
            for each in window:
                each.on_confirmed(lambda each=each: done.append(each.text()))
            yield stagewire.emission(text="window")

        for by_key in (False, True):  # which copies records
            done.clear()
            self.play(stagewire.window(records=2, by_key=by_key)(stage), ["a", "b", "c", "d"], lambda peer: settled(peer, 4, 1))
            self.assertEqual(done, ["c", "d"])

    def test_an_action_that_raises_ends_nothing(self):
        done = []

        @stagewire.sink
        def stage(record):
            record.on_confirmed({"wrong": lambda: {}["nothing"]}.get(record.text(), lambda: done.append(record.text())))

        stderr = self.play(stage, ["wrong", "good"], lambda peer: settled(peer, 2))
        self.assertEqual(done, ["good"])
        self.assertIn("KeyError: 'nothing'", stderr)


if __name__ == "__main__":
    unittest.main()
