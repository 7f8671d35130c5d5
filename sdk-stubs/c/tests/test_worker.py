"""The library against a broker played by the test, by way of the conformance stage, under sanitizers."""

import signal
import struct
import unittest

from harness import Broker, Closed, Kind, pb

ACCEPTED, REJECTED = Kind.OUTCOME_KIND_ACCEPTED, Kind.OUTCOME_KIND_REJECTED
RETRY, RELEASED = Kind.OUTCOME_KIND_RETRY, Kind.OUTCOME_KIND_RELEASED


class Case(unittest.TestCase):
    def start(self, stage, program="conformance-stage", **options):
        broker = Broker(program, stage, **options)
        self.addCleanup(broker.abandon)
        return broker

    def attached(self, stage, welcome=None, limits=None, **options):
        broker = self.start(stage, **options)
        session = broker.accept(**(limits or {}))
        session.welcome(**(welcome or {}))
        return broker, session

    def finish(self, broker, session, code=0):
        session.close()
        self.assertEqual(broker.end()[0], code)


class Transform(Case):
    def test_hello(self):
        broker = self.start("transform", spawned=True)
        session = broker.accept()
        hello = session.hello
        self.assertEqual((hello.min_version, hello.max_version, hello.stage), (1000, 1000, "transform"))
        self.assertEqual((hello.token, hello.language), (b"\x00\xff\x10\xef", "C"))
        session.welcome()
        session.deliver("env STAGEWIRE_TOKEN")
        self.assertEqual(len(session.outcomes(1)[0].emissions), 0)
        self.finish(broker, session)

    def test_emissions_carry_the_header_and_name_ports_by_number(self):
        broker, session = self.attached("transform", {"config": b'{"a": [1, 2.50]}'})
        session.deliver("echo;emit 2 4 side;attempt;config", key=b"k", attempts=[3])
        emissions = session.outcomes(1)[0].emissions
        self.assertEqual([e.port for e in emissions], [3, 4, 4, 3, 3])
        self.assertEqual([e.output.payload for e in emissions[1:]], [b"0   ", b"1   ", b"3", b'{"a": [1, 2.50]}'])
        self.assertTrue(all(e.output.header.key == b"k" for e in emissions))
        self.finish(broker, session)

    def test_every_verdict(self):
        broker, session = self.attached("transform")
        session.deliver("reject 1234 no such unit", "retry 1500 1007 later", "release", "throw broken", "", "what")
        by = {o.first: o for o in session.outcomes(6)}
        self.assertEqual([by[i].kind for i in range(1, 7)], [REJECTED, RETRY, RELEASED, RETRY, ACCEPTED, REJECTED])
        self.assertEqual((by[1].error.code, by[1].error.message), (1234, "no such unit"))
        self.assertEqual((by[2].error.code, by[2].delay_ms), (1007, 1500))
        self.assertEqual((by[4].error.code, by[4].error.message, by[4].delay_ms), (1000, "broken", 0))
        self.assertEqual(by[6].error.code, 1999)
        session.close()
        self.assertIn("broken", broker.end()[1])

    def test_filtered_records_are_settled_in_a_range(self):
        broker, session = self.attached("transform")
        session.deliver(*[""] * 100)
        outcomes = session.outcomes(100)
        self.assertLess(len(outcomes), 20)
        self.finish(broker, session)

    def test_void_deliveries_are_released_until_the_pong(self):
        broker, session = self.attached("transform")
        session.deliver("retry", "echo", "echo", "echo", keys=[b"a", b"a", b"b", b"a"])
        outcomes = session.outcomes(4)
        kinds = {i: o.kind for o in outcomes for i in session.covered(o)}
        self.assertEqual(kinds, {1: RETRY, 2: RELEASED, 3: ACCEPTED, 4: RELEASED})
        session.deliver("echo", key=b"a")  # read before the Pong: void as well
        self.assertEqual(session.outcomes(1)[0].kind, RELEASED)
        session.pings.append(session.until_ping())  # of the last give-back
        session.send(pong=pb.Pong(nonce=session.pings[-1]))
        session.deliver("echo", key=b"a")
        self.assertEqual(session.outcomes(1)[0].kind, ACCEPTED)
        self.finish(broker, session)

    def test_each_void_delivery_is_released_by_itself(self):
        """If the retry was the last attempt nothing is void, and only the first release is a real one."""
        for stage in ("transform", "ordered"):
            broker, session = self.attached(stage)
            session.deliver("retry", "echo", "echo", "echo", key=b"a")
            self.assertEqual([(o.first, o.last, len(o.more), o.kind) for o in session.outcomes(4)],
                             [(1, 0, 0, RETRY), *((i, 0, 0, RELEASED) for i in (2, 3, 4))])
            self.finish(broker, session)

    def test_a_released_void_delivery_closes_its_lane_anew(self):
        broker, session = self.attached("transform")
        session.deliver("retry", key=b"a")
        session.outcomes(1)
        first = session.until_ping()
        session.deliver("echo", key=b"a")  # before the Pong: void, unless the retry was the last attempt
        self.assertEqual(session.outcomes(1)[0].kind, RELEASED)
        second = (session.pings or [session.until_ping()])[-1]
        self.assertGreater(second, first)
        session.send(pong=pb.Pong(nonce=first))
        session.deliver("echo", key=b"a")  # the broker may not know of that release yet
        self.assertEqual(session.outcomes(1)[0].kind, RELEASED)
        session.send(pong=pb.Pong(nonce=(session.pings or [session.until_ping()])[-1]))
        session.deliver("echo", key=b"a")
        self.assertEqual(session.outcomes(1)[0].kind, ACCEPTED)
        self.finish(broker, session)

    def test_without_order_nothing_is_void(self):
        broker, session = self.attached("transform", {"inputs": (("up", pb.ORDERING_NONE),)})
        session.deliver("release", "echo", key=b"a")
        self.assertEqual([o.kind for o in session.outcomes(2)], [RELEASED, ACCEPTED])
        self.finish(broker, session)

    def test_total_and_unknown_orderings_have_one_lane(self):
        for ordering in (pb.ORDERING_TOTAL, 9):
            broker, session = self.attached("transform", {"inputs": (("up", ordering),)})
            session.deliver("release", "echo", keys=[b"a", b"b"])
            self.assertEqual({o.kind for o in session.outcomes(2)}, {RELEASED})
            self.finish(broker, session)

    def test_waits_for_credit_and_goes_on_reading(self):
        broker, session = self.attached("transform", {"credit": None})
        session.deliver("", "echo", "echo")
        self.assertEqual(session.outcomes(1)[0].kind, ACCEPTED)  # what was finished before does not wait
        session.barrier()
        session.give(3, 1, 10000)
        self.assertEqual(len(session.outcomes(1)), 1)
        session.barrier()
        session.give(3, 1, 10000)
        session.outcomes(1)
        self.finish(broker, session)

    def test_what_cannot_be_taken_is_rejected(self):
        limits = {"max_record": 2000, "max_step_records": 3, "max_step_bytes": 4000}
        broker, session = self.attached("transform", limits=limits)
        session.deliver("emit 1 1990", "emit 4", "emit 3 1500", "emit 1 1 nowhere", "emit 3")
        by = {o.first: o for o in session.outcomes(5)}
        self.assertEqual([by[i].error.code for i in range(1, 5)], [304, 305, 305, 1999])
        self.assertEqual(len(by[5].emissions), 3)
        self.finish(broker, session)

    def test_a_port_that_is_not_there(self):
        broker, session = self.attached("astray", program="kinds")
        session.deliver("x")
        self.assertEqual(session.outcomes(1)[0].error.code, 306)
        self.finish(broker, session)

    def test_extends_while_a_handler_works_and_stops_after_the_timeout(self):
        broker, session = self.attached("transform", limits={"lease": 60})
        session.deliver("wait 400")
        session.until("extend")
        session.outcomes(1)
        self.finish(broker, session)

    def test_a_finished_outcome_does_not_wait_behind_a_slow_handler(self):
        broker, session = self.attached("transform")
        session.deliver("echo", "wait 3000")
        self.assertEqual(session.outcomes(1)[0].first, 1)
        self.assertIn(2, session.held)
        session.outcomes(1)
        self.finish(broker, session)

    def test_grants_as_records_are_taken(self):
        broker, session = self.attached("transform")
        for _ in range(40):
            session.deliver(*[""] * 500)
            session.outcomes(500)
        self.finish(broker, session)

    def test_sigterm_finishes_what_is_at_hand_and_releases_the_rest(self):
        broker, session = self.attached("transform")
        session.deliver("wait 300", "echo", "echo")
        session.barrier()
        broker.process.send_signal(signal.SIGTERM)
        kinds = {i: o.kind for o in session.outcomes(3) for i in session.covered(o)}
        self.assertEqual(kinds, {1: ACCEPTED, 2: RELEASED, 3: RELEASED})
        self.assertEqual(session.until("close").code, 0)
        session.socket.close()
        self.assertEqual(broker.end()[0], 0)


class Ordered(Case):
    def test_keys_run_side_by_side_and_in_order(self):
        broker, session = self.attached("ordered")
        session.deliver("wait 400", "echo", "echo", keys=[b"a", b"b", b"a"])
        order = [i for o in session.outcomes(3) for i in session.covered(o)]
        self.assertEqual(order, [2, 1, 3])
        self.finish(broker, session)

    def test_what_waits_behind_a_retry_is_released(self):
        broker, session = self.attached("ordered")
        session.deliver("wait 100;retry", "echo", "echo", "echo", keys=[b"a", b"a", b"b", b"a"])
        kinds = {i: o.kind for o in session.outcomes(4) for i in session.covered(o)}
        self.assertEqual(kinds, {1: RETRY, 2: RELEASED, 3: ACCEPTED, 4: RELEASED})
        self.finish(broker, session)

    def test_many(self):
        broker, session = self.attached("ordered", {"credit": (10**6, 1 << 40)})
        settled = []
        for _ in range(20):
            session.deliver(*["echo"] * 100, keys=[b"%d" % (i % 7) if i % 5 else b"" for i in range(100)])
        for outcome in session.outcomes(2000):
            settled += session.covered(outcome)
        for key in range(7):
            mine = [i for i in settled if ((i - 1) % 100) % 7 == key and ((i - 1) % 100) % 5]
            self.assertEqual(mine, sorted(mine))
        self.finish(broker, session)


class Window(Case):
    def test_one_step(self):
        broker, session = self.attached("window")
        session.deliver("a", "b", "c", "d")
        outcome = session.outcomes(3)[0]
        self.assertEqual(session.covered(outcome), [1, 2, 3])
        self.assertEqual(outcome.emissions[0].output.payload, b"a,b,c")
        self.assertEqual(list(session.hello.required), ["holds"])
        session.send(drain=pb.Drain(reason=1))
        self.assertEqual(session.outcomes(1)[0].emissions[0].output.payload, b"d")
        self.finish(broker, session)

    def test_by_key_in_ranges(self):
        broker, session = self.attached("window", {"config": b'{"records": 2, "by_key": true}'})
        session.deliver("a", "b", "c", keys=[b"x", b"y", b"x"])
        outcome = session.outcomes(2)[0]
        self.assertEqual(session.covered(outcome), [1, 3])
        self.assertEqual(outcome.emissions[0].output.header.key, b"x")
        self.finish(broker, session)

    def test_shutdown_releases(self):
        broker, session = self.attached("window")
        session.deliver("a", "b")
        session.send(drain=pb.Drain(reason=2))
        self.assertEqual({o.kind for o in session.outcomes(2)}, {RELEASED})
        session.deliver("c")
        self.assertEqual(session.outcomes(1)[0].kind, RELEASED)
        self.finish(broker, session)

    def test_a_retried_window_voids_what_is_held_behind_it(self):
        broker, session = self.attached("window", {"config": b'{"records": 2, "by_key": true}',
                                                   "inputs": (("up", pb.ORDERING_TOTAL),)})
        session.deliver("a", "b", "retry 5", keys=[b"x", b"y", b"x"])
        kinds = {i: o.kind for o in session.outcomes(3) for i in session.covered(o)}
        self.assertEqual(kinds, {1: RETRY, 2: RELEASED, 3: RETRY})
        self.finish(broker, session)

    def test_what_is_void_in_several_windows_is_released_in_order(self):
        broker, session = self.attached("window", {"config": b'{"records": 3, "by_key": true}',
                                                   "inputs": (("up", pb.ORDERING_TOTAL),)})
        session.deliver("retry", "b", "c", "b", "a", "a", keys=[b"x", b"y", b"z", b"y", b"x", b"x"])
        outcomes = session.outcomes(6)
        self.assertEqual([(session.covered(o), o.kind) for o in outcomes],
                         [([1, 5, 6], RETRY), ([2], RELEASED), ([3], RELEASED), ([4], RELEASED)])
        self.finish(broker, session)

    def test_a_key_that_lags_is_measured_by_itself(self):
        """Its records are late when its own event times have passed them, until they are where the watermark is."""
        broker, session = self.attached("timed", program="kinds")
        second = 10**6
        def deliver(payload, key, time, id):
            session.deliver(payload, key=key, times=[time * second], ids=[id])
        deliver("again", b"a", 5, 1)
        deliver("x", b"b", 99, 2)
        self.assertEqual(session.outcomes(1)[0].kind, RETRY)
        session.send(pong=pb.Pong(nonce=session.until_ping()))
        deliver("y", b"a", 5, 1)  # comes again
        deliver("y", b"a", 31, 3)  # kept behind it: of a window that ended long ago, but this key has not passed it
        deliver("y", b"a", 33, 4)
        deliver("y", b"a", 29, 5)  # 33 less a lateness of 2 has passed its window
        by = {i: o for o in session.outcomes(4) for i in session.covered(o)}
        self.assertEqual({i: o.kind for i, o in by.items()}, {3: ACCEPTED, 4: ACCEPTED, 5: ACCEPTED, 6: REJECTED})
        self.assertEqual(by[6].error.code, 1000)
        deliver("y", b"a", 99, 6)  # where the watermark is: it has caught up
        deliver("y", b"b", 150, 7)
        deliver("y", b"a", 110, 8)
        by = {i: o for o in session.outcomes(3) for i in session.covered(o)}
        self.assertEqual({i: o.kind for i, o in by.items()}, {2: ACCEPTED, 7: ACCEPTED, 9: REJECTED})
        session.send(drain=pb.Drain(reason=1))
        session.outcomes(1)
        self.finish(broker, session)

    def test_a_full_input_ends_the_oldest(self):
        broker, session = self.attached("window", {"config": b'{"records": 100}'}, {"unsettled": 5})
        session.deliver(*"abcde")
        self.assertEqual(session.outcomes(5)[0].emissions[0].output.payload, b"a,b,c,d,e")
        self.finish(broker, session)

    def test_seconds(self):
        broker, session = self.attached("window", {"config": b'{"records": 0, "seconds": 0.2}'}, {"lease": 60})
        session.deliver("a")
        session.until("extend")
        session.outcomes(1)
        self.finish(broker, session)

    def test_event_time(self):
        broker, session = self.attached("mean", program="mean")
        minute = 60 * 10**6
        session.deliver('{"celsius": 1}', '{"celsius": 3}', '{"celsius": 9}', "bad", '{"celsius": 9}', '{"celsius": 5}',
                        key=b"k", times=[minute, minute + 1, 3 * minute, 3 * minute + 1, minute + 2, 0])
        by = {i: o for o in session.outcomes(4) for i in session.covered(o)}
        self.assertIn(b'"mean": 2,', by[1].emissions[0].output.payload)
        self.assertEqual((by[5].kind, by[6].kind), (REJECTED, REJECTED))
        self.assertEqual(by[5].error.message, "late: its window ended at 1970-01-01T00:02:00.000000Z")
        session.send(drain=pb.Drain(reason=1))
        by = {i: o for o in session.outcomes(2) for i in session.covered(o)}
        self.assertEqual((by[3].kind, by[4].kind), (ACCEPTED, REJECTED))
        self.assertEqual(by[4].error.code, 1001)
        self.finish(broker, session)


class Source(Case):
    def claimed(self, session, last=0, checkpoint=b""):
        claim = session.until("claim")
        session.send(claimed=pb.Claimed(partition=claim.partition, epoch=1, last_emit_id=last, checkpoint=checkpoint))

    def committed(self, session, emit):
        session.send(committed=pb.Committed(partition=emit.partition, through=emit.emit_id))

    def test_goes_on_from_its_checkpoint(self):
        broker, session = self.attached("source", {"inputs": (), "outputs": ("out",), "config": b'{"records": 5}'})
        self.claimed(session, 1, b"2")
        for number, payloads in ((2, [b"3", b"4"]), (3, [b"5"])):
            emit = session.until("emit")
            self.assertEqual((emit.emit_id, [e.output.payload for e in emit.emissions]), (number, payloads))
            self.committed(session, emit)
        self.assertEqual(emit.checkpoint, b"5")
        self.assertEqual(session.until("finished").partition, "p")
        self.finish(broker, session)

    def test_waits_for_credit_and_stops_at_shutdown(self):
        broker, session = self.attached("source", {"inputs": (), "outputs": ("out",), "credit": None})
        self.claimed(session)
        session.barrier()
        session.give(3, 2, 5000)
        emit = session.until("emit")
        session.barrier()
        session.send(drain=pb.Drain(reason=2))
        session.barrier()
        self.committed(session, emit)
        self.assertEqual(session.until("close").code, 0)
        session.socket.close()
        self.assertEqual(broker.end()[0], 0)
        self.assertEqual(len(session.emits), 1)

    def test_sends_again_what_was_not_committed(self):
        broker, session = self.attached("source", {"inputs": (), "outputs": ("out",), "config": b'{"records": 6}'})
        self.claimed(session)
        emits = [session.until("emit") for _ in range(3)]
        session.socket.close()
        session = broker.accept()
        session.welcome(inputs=(), outputs=("out",))
        self.claimed(session, 1, emits[0].checkpoint)
        again = [session.until("emit") for _ in range(2)]
        self.assertEqual(again, emits[1:])
        self.committed(session, again[-1])
        session.until("finished")
        self.finish(broker, session)

    def test_a_broker_that_has_forgotten_ends_it(self):
        broker, session = self.attached("source", {"inputs": (), "outputs": ("out",), "config": b'{"records": 6, "stay": true}'})
        self.claimed(session)
        for _ in range(3):
            self.committed(session, session.until("emit"))
        session.barrier()
        session.socket.close()
        session = broker.accept()
        session.welcome(inputs=(), outputs=("out",))
        self.claimed(session, 0)
        self.assertEqual(session.until("close").code, 0)
        session.socket.close()
        code, err = broker.end()
        self.assertEqual(code, 1)
        self.assertIn("begin anew", err)


class Kinds(Case):
    def of(self, stage, welcome=None, limits=None):
        return self.attached(stage, welcome, limits, program="kinds")

    def test_a_handler_beyond_its_timeout_loses_its_lease(self):
        broker, session = self.of("hang", limits={"lease": 90})
        session.deliver("hang")
        extends = 0
        session.socket.settimeout(0.5)
        try:
            while True:
                extends += session.receive().WhichOneof("message") == "extend"
        except TimeoutError:
            pass  # no further Extend: the broker would take the record back
        self.assertGreater(extends, 1)
        session.socket.settimeout(20)
        session.close(207, "the lease has expired")
        code, err = broker.end()
        self.assertEqual(code, 1)
        self.assertIn("timeout", err)

    def test_batches(self):
        broker, session = self.of("batch")
        session.deliver("a", "bad", "c", "d", "e")
        outcomes = session.outcomes(5)
        self.assertEqual([(o.kind, session.covered(o)) for o in outcomes],
                         [(ACCEPTED, [1]), (REJECTED, [2]), (ACCEPTED, [3, 4, 5])])
        self.assertEqual(outcomes[1].error.message, "bad in a batch of 4")
        session.deliver("a", "again", "c", "d", "e", key=b"k")
        by = {i: o for o in session.outcomes(5) for i in session.covered(o)}
        self.assertEqual([by[i].kind for i in range(6, 11)], [RETRY] * 4 + [RELEASED])
        self.assertEqual(by[6].delay_ms, 500)
        self.finish(broker, session)

    def test_a_sink_that_emits(self):
        broker, session = self.of("emitting")
        session.deliver("a")
        self.assertEqual(session.outcomes(1)[0].error.code, 306)
        self.finish(broker, session)

    def test_parents_and_single_rejections(self):
        broker, session = self.of("pairs")
        session.deliver("a", "b", "bad", "d")
        accepted, rejected = session.outcomes(4)
        self.assertEqual(session.covered(accepted), [1, 2, 4])
        self.assertEqual([list(e.parents) for e in accepted.emissions], [[1, 2]])
        self.assertEqual((rejected.first, rejected.error.code), (3, 1002))
        self.finish(broker, session)

    def test_a_source_that_fails(self):
        broker, session = self.of("failing", {"inputs": ()})
        session.until("claim")
        session.send(claimed=pb.Claimed(partition="p", epoch=1))
        self.assertEqual(session.until("close").code, 0)
        session.socket.close()
        code, err = broker.end()
        self.assertEqual(code, 1)
        self.assertIn("returned 7", err)

    def test_a_source_without_work(self):
        broker, session = self.of("nothing", {"inputs": ()})
        claim = session.until("claim")
        self.assertEqual(claim.partition, "one")  # its instance's name
        session.send(claimed=pb.Claimed(partition="one", epoch=1))
        self.assertEqual(session.until("finished").partition, "one")
        self.finish(broker, session)

    def test_two_handlers(self):
        broker = self.start("both", program="kinds")
        self.assertEqual(broker.end()[0], 2)


class Confirmed(Case):
    """What a handler asked to be told (settle-confirm): "+" what is confirmed, "-" what will not be. Each exactly once,
    or the sanitizer has something to say."""

    def heard(self, stage, payloads, *settled):
        """Of deliveries that are settled, and confirmed by these (through, refused)."""
        broker, session = self.attached(stage, program="kinds")
        self.assertEqual(list(session.hello.offered), ["settle-confirm"])
        session.deliver(*payloads)
        session.outcomes(len(payloads))
        for through, *refused in settled:
            error = pb.Error(code=306, message="no\x1b output")
            session.send(settled=pb.Settled(through=through, refused=[pb.Refusal(id=each, error=error) for each in refused]))
        session.close()
        code, err = broker.end()
        self.assertEqual(code, 0, err)
        self.said = [line for line in err.splitlines() if line[0] not in "+-"]
        return [line for line in err.splitlines() if line[0] in "+-"]

    def test_in_order(self):
        for stage in ("asking", "asking-pool"):
            self.assertEqual(self.heard(stage, ["a", "b", "c", "d"], (1,), (3,), (3,)), ["+a", "+b", "+c", "-d"])

    def test_only_what_is_accepted(self):
        heard = self.heard("asking", ["reject", "retry", "release", "good"], (4,))
        self.assertEqual(heard, ["-reject", "-retry", "-release", "+good"])

    def test_not_what_is_refused(self):
        # A refusal may come before its outcome is confirmed.
        self.assertEqual(self.heard("asking-transform", ["a", "b", "c"], (1, 2), (3,)), ["+a", "-b", "+c"])
        self.assertEqual(self.said, [
            "stagewire: the broker refused what delivery 2 emitted, which is a dead letter now: no\\x1b output (306)"])

    def test_a_window_is_named_by_its_first_record(self):
        self.assertEqual(self.heard("asking-window", ["a", "b", "c", "d"], (4, 1)), ["-a", "-b", "+c", "+d"])

    def test_a_record_of_a_window_that_is_rejected_by_itself(self):
        self.assertEqual(self.heard("asking-window", ["bad", "b"], (2, 2)), ["-bad", "-b"])
        self.assertEqual(self.heard("asking-window", ["bad", "b"], (2,)), ["-bad", "+b"])


class Ending(Case):
    def test_codes(self):
        for code, spawned, expected in ((0, True, 0), (200, True, 2), (211, True, 1), (212, True, 1), (999, False, 2), (208, False, 2)):
            for is_welcome in (True, False):
                broker = self.start("transform", spawned=spawned)
                session = broker.accept()
                if is_welcome:
                    session.welcome()
                session.close(code, "because\x1b[31m")
                exit_code, err = broker.end()
                self.assertEqual(exit_code, expected, code)
                if code:
                    self.assertIn("because\\x1b", err)

    def test_a_spawned_worker_comes_again_where_that_can_help(self):
        broker, session = self.attached("transform", spawned=True)
        session.close(207, "the lease has expired")
        session = broker.accept()
        session.welcome()
        session.deliver("echo")
        session.outcomes(1)
        self.finish(broker, session)

    def test_a_close_before_welcome_is_read(self):
        """What is unread when a socket is closed would take the Close back."""
        for answer, code in ((b"\x08\xe8\x07\x1a\x03\x08\xcf\x0f", 102), (b"\x08\xe8\x07\x5a\x00", 107), (b"", 100)):
            broker = self.start("transform", spawned=True)
            session = broker.accept()
            for frame in (answer, *[b"\x08\xe8\x07\x3a\x00"] * 100):
                session.raw(frame)
            self.assertEqual(session.until("close").code, code)
            session.socket.close()
            self.assertEqual(broker.end()[0], 2)

    def test_refused_at_hello(self):
        broker = self.start("transform", spawned=True)
        broker.accept().close(200, "no stage transform")
        code, err = broker.end()
        self.assertEqual(code, 2)
        self.assertIn("no stage transform", err)

    def test_eof_ends_a_spawned_worker_only(self):
        broker, session = self.attached("transform", spawned=True)
        session.socket.close()
        self.assertEqual(broker.end()[0], 1)
        broker, session = self.attached("transform")
        session.deliver("wait 50;echo")
        session.socket.close()
        session = broker.accept()
        session.welcome()
        session.deliver("echo")
        session.outcomes(1)
        self.finish(broker, session)

    def test_attaches_when_the_broker_comes(self):
        broker = self.start("transform")
        broker.accept().close(211, "restarting")
        broker.gone()
        broker.listen()
        session = broker.accept()
        session.welcome()
        session.deliver("echo")
        session.outcomes(1)
        self.finish(broker, session)

    def test_sigterm_while_nobody_is_there(self):
        broker = self.start("transform")
        session = broker.accept()
        broker.gone()
        session.socket.close()
        broker.process.send_signal(signal.SIGTERM)
        broker.process.communicate(timeout=20)
        self.assertEqual(broker.process.returncode, 0)

    def test_a_wrong_configuration(self):
        broker, session = self.attached("source", {"inputs": (), "config": b'{"recrods": 3}'})
        code, err = broker.end()
        self.assertEqual(code, 2)
        self.assertIn("config.recrods", err)

    def test_a_stage_that_is_not_there(self):
        broker = self.start("nonsense")
        code, err = broker.end()
        self.assertEqual(code, 2)
        self.assertIn("nonsense", err)


class Malformed(Case):
    def refused(self, body, code, prefix=None):
        broker, session = self.attached("transform")
        session.deliver("wait 1")
        session.socket.sendall(prefix if prefix is not None else struct.pack(">I", len(body)))
        session.socket.sendall(body)
        self.assertEqual(session.until("close").code, code)
        session.socket.close()
        self.assertEqual(broker.end()[0], 2)

    def test_frames(self):
        head = b"\x08\xe8\x07"
        self.refused(b"", 100)
        self.refused(b"", 101, struct.pack(">I", (1 << 22) + 1))
        self.refused(b"\xff" * 12, 100)
        self.refused(head + b"\x42\x7f\x00", 100)  # a Deliver that overruns
        self.refused(head + b"\x42\x02\x10\x01", 100)  # without records
        self.refused(head + b"\x42\x06\x10\x05\x22\x02\x0a\x09", 204)  # on input 0, which is not there
        self.refused(head + b"\x42\x08\x08\x07\x10\x05\x22\x02\x0a\x09", 100)  # a record whose lineage overruns
        self.refused(head + b"\x2a\x00\x32\x00", 100)  # two messages
        self.refused(head + b"\x12\x00", 107)  # a Hello
        self.refused(b"\x08\xd0\x0f\x2a\x00", 102)  # version 2000
        self.refused(head + b"\x3a\x02\x08\x63", 204)  # credit for output 99

    def test_more_than_was_granted(self):
        record = pb.stagewire_dot_v1_dot_record__pb2.Record(payload=b"x")
        broker, session = self.attached("transform")
        session.until("credit")
        try:
            session.send(deliver=pb.Deliver(input=7, first_delivery=1, records=[record] * 10000))
            self.assertEqual(session.until("close").code, 203)
        except (Closed, BrokenPipeError):
            self.fail("no Close")
        session.socket.close()
        self.assertEqual(broker.end()[0], 2)

    def test_what_is_not_known_is_ignored(self):
        broker, session = self.attached("transform")
        session.raw(b"\x08\xe8\x07\xfa\x01\x01\x00")  # kind 31
        session.raw(b"\x08\xe8\x07")
        session.deliver("echo")
        session.outcomes(1)
        self.finish(broker, session)


if __name__ == "__main__":
    unittest.main()
