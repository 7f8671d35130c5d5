import os
import signal
import threading
import time
import unittest
from dataclasses import dataclass

import stagewire
from fake_broker import RESERVE, ids_of, record, work
from stagewire.v1 import envelope_pb2 as pb
from stagewire.v1 import record_pb2


@stagewire.transform
def double(record):
    value = record.json()
    if value == "filter":
        return
    if value == "reject":
        raise stagewire.Reject(1001, "no such thing")
    if value == "retry":
        raise stagewire.Retry(1.5, "later")
    if value == "release":
        raise stagewire.Release
    if value == "wrong":
        raise KeyError("reading")
    yield record.emit(json=value * 2)


class Outcomes(unittest.TestCase):
    def settle(self, stage, values, **arguments):
        found = []

        def script(peer):
            peer.welcome()
            peer.grant()
            peer.deliver([record(b'"%b"' % each.encode(), i, key=b"k%d" % i) for i, each in enumerate(values)])
            found.extend(peer.outcomes(len(values)))
            peer.close()

        run = work(stage, script, **arguments)
        self.assertEqual(run.code, 0, run.stderr)
        return found, run

    def test_every_verdict(self):
        found, run = self.settle(double, ["a", "reject", "retry", "release", "wrong", "filter", "b"])
        kinds = [each.kind for each in found]
        self.assertEqual(kinds, [1, 2, 3, 4, 3, 1, 1])
        self.assertEqual([each.first for each in found], [1, 2, 3, 4, 5, 6, 7])
        self.assertEqual(found[0].emissions[0].output.payload, b'"aa"')
        self.assertEqual(found[0].emissions[0].output.header.key, b"k0")
        self.assertFalse(found[0].emissions[0].output.HasField("lineage"))
        self.assertEqual((found[1].error.code, found[1].error.message), (1001, "no such thing"))
        self.assertEqual((found[2].delay_ms, found[2].error.message), (1500, "later"))
        self.assertEqual(found[4].error.message, "KeyError: 'reading'")
        self.assertIn("KeyError", run.stderr)
        self.assertEqual(len(found[5].emissions), 0)

    def test_neighbours_without_outputs_share_an_outcome(self):
        found, _ = self.settle(double, ["filter"] * 5 + ["a"] + ["filter"] * 2)
        self.assertEqual([ids_of(each) for each in found], [[1, 2, 3, 4, 5], [6], [7, 8]])

    def test_single_emission_list_and_nothing(self):
        @stagewire.transform
        def stage(record):
            text = record.json()
            if text == "one":
                return record.emit(port="late")
            return [record.emit(text="x"), record.emit(text="y")] if text == "two" else None

        found, _ = self.settle(stage, ["one", "two", "none"])
        self.assertEqual([each.port for each in found[0].emissions], [1])
        self.assertEqual([each.output.payload for each in found[1].emissions], [b"x", b"y"])
        self.assertEqual(len(found[2].emissions), 0)

    def test_a_header_that_is_kept(self):
        """Byte for byte: also what this version of the header does not know."""
        @stagewire.transform
        def stage(record):
            if not record.payload:
                return record.emit(payload=b"", key="x", keep_header=True)
            return [record.emit(json=[1], keep_header=True), record.emit(keep_header=True), record.emit(text="")]

        header = record_pb2.Header.FromString(b"\x0a\x03x.y\x10\x00\x10\x01\x1a\x01k\x32\x03\x0a\x01n\xc0\x3e\x07")
        found = []

        def script(peer):
            peer.welcome()
            peer.grant()
            given = record(b"p")
            given.header.CopyFrom(header)
            peer.deliver([given, record(b"")])
            found.extend(peer.outcomes(2))
            peer.close()

        self.assertEqual(work(stage, script).code, 0)
        kept, same, changed = [each.output for each in found[0].emissions]
        self.assertEqual([(each.header, each.payload) for each in (kept, same)], [(header, b"[1]"), (header, b"p")])
        self.assertEqual((changed.header.schema, changed.header.key), ("", b"k"))
        self.assertIn("the header stays as it is, key included", found[1].error.message)

    def test_what_is_not_an_emission_or_a_port(self):
        @stagewire.transform
        def stage(record):
            return record.emit(port="nowhere") if record.json() == "port" else {"not": "an emission"}

        found, _ = self.settle(stage, ["port", "dict"])
        self.assertEqual([each.kind for each in found], [3, 3])
        self.assertIn("no output named 'nowhere'; it has: late, out", found[0].error.message)
        self.assertIn("use record.emit()", found[1].error.message)

    def test_an_output_that_can_never_be_sent(self):
        @stagewire.transform
        def stage(record):
            if record.json() == "large":
                return record.emit(payload=bytes((1 << 20) - RESERVE))
            return [record.emit(payload=b"") for _ in range(4097)]

        found, _ = self.settle(stage, ["large", "many"])
        self.assertEqual([(each.kind, each.error.code) for each in found], [(2, 304), (2, 305)])


class Credit(unittest.TestCase):
    def test_never_beyond_either_limit_and_never_stuck(self):
        """The peer checks sent <= granted at every frame; here: all of it arrives, grant by grant."""

        @stagewire.transform
        def stage(record):
            return [record.emit(), record.emit()] if len(record.payload) % 3 == 0 else record.emit()

        total = 500

        def script(peer):
            peer.welcome()
            sizes = [i % 97 for i in range(total)]
            peer.deliver([record(b"x" * each, i) for i, each in enumerate(sizes)])
            settled, records, size = 0, 0, 0
            while settled < total:
                # At least one step more than was spent, alternately tight in records and in bytes.
                records, size = peer.spent[0] + 2, peer.spent[1] + 2 * (RESERVE + 110)
                peer.grant(records + settled % 7, size + 37 * (settled % 5))
                for outcome in peer.expect("settle").outcomes:
                    settled += len(ids_of(outcome))
            peer.close()

        self.assertEqual(work(stage, script).code, 0)

    def test_without_credit_nothing_is_emitted_and_pings_are_answered(self):
        @stagewire.transform
        def stage(record):
            return record.emit() if record.payload else None

        def script(peer):
            peer.welcome()
            peer.deliver([record(b"", 0), record(b"x", 1), record(b"", 2)])
            self.assertEqual(len(peer.outcomes(1)[0].emissions), 0)
            peer.send(ping=pb.Ping(nonce=7))
            self.assertEqual(peer.expect("pong").nonce, 7)
            peer.grant()
            self.assertEqual(len(peer.outcomes(2)[0].emissions), 1)
            peer.close()

        self.assertEqual(work(stage, script).code, 0)

    def test_input_credit_comes_back_when_records_leave_the_buffer(self):
        @stagewire.sink
        def stage(record):
            pass

        def script(peer):
            peer.welcome()
            for i in range(60):  # 30,000 records of 4,096 bytes: far beyond any window
                peer.deliver([record(bytes(4000), j) for j in range(500)])
                self.assertLessEqual(peer.credit[0][0] - (peer.charged[0][0] - 500), 8192)
            peer.outcomes(30_000)
            peer.close()

        self.assertEqual(work(stage, script).code, 0)

    def test_a_record_of_the_largest_size_always_fits(self):
        @stagewire.sink
        def stage(record):
            pass

        def script(peer):
            peer.welcome(max_record=6 << 20, max_frame=16 << 20, max_step_bytes=6 << 20)
            for i in range(6):
                peer.deliver([record(bytes(1000))] * 3)
                peer.deliver([record(bytes((6 << 20) - 200))])
            peer.outcomes(24)
            peer.close()

        self.assertEqual(work(stage, script).code, 0)


class Liveness(unittest.TestCase):
    def test_busy_is_not_dead(self):
        """While a handler runs: pongs, and the lease is renewed."""
        go_on = threading.Event()

        @stagewire.sink
        def stage(record):
            go_on.wait(20)

        def script(peer):
            peer.welcome(lease_ms=300)
            peer.deliver([record(b"x")])
            kinds = [peer._next().WhichOneof("message") for _ in range(4)]
            while kinds.count("extend") < 2:
                kinds.append(peer._next().WhichOneof("message"))
            peer.send(ping=pb.Ping(nonce=1))
            peer.expect("pong")
            go_on.set()
            peer.outcomes(1)
            peer.close()

        self.assertEqual(work(stage, script).code, 0)

    def test_outcomes_of_a_slow_handler_do_not_wait_for_the_rest(self):
        go_on = threading.Event()

        @stagewire.sink
        def stage(record):
            if record.delivery == 1:
                time.sleep(0.03)
            else:
                go_on.wait(20)

        def script(peer):
            peer.welcome()
            peer.deliver([record(b"x", 0), record(b"y", 1)])
            peer.outcomes(1)
            go_on.set()
            peer.outcomes(1)
            peer.close()

        self.assertEqual(work(stage, script).code, 0)


class Ending(unittest.TestCase):
    def test_shutdown_releases_what_has_not_started(self):
        begun, go_on = threading.Event(), threading.Event()

        @stagewire.sink
        def stage(record):
            begun.set()
            go_on.wait(20)

        def script(peer):
            peer.welcome()
            peer.deliver([record(b"", i) for i in range(4)])
            begun.wait(20)
            peer.drain(pb.DRAIN_REASON_SHUTDOWN)
            peer.send(ping=pb.Ping())
            peer.expect("pong")
            go_on.set()
            found = peer.outcomes(4)
            self.assertEqual([each.kind for each in found], [1, 4])
            self.assertEqual(ids_of(found[1]), [2, 3, 4])
            peer.deliver([record(b"", 9)])
            self.assertEqual(peer.outcomes(1)[0].kind, 4)
            peer.close()

        self.assertEqual(work(stage, script).code, 0)

    def test_after_input_ended_redeliveries_are_still_handled(self):
        @stagewire.sink
        def stage(record):
            pass

        def script(peer):
            peer.welcome()
            peer.drain(pb.DRAIN_REASON_INPUT_ENDED)
            peer.deliver([record(b"")], attempts=[2])
            self.assertEqual(peer.outcomes(1)[0].kind, 1)
            peer.close()

        self.assertEqual(work(stage, script).code, 0)

    def test_the_worker_answers_close_with_close(self):
        def script(peer):
            peer.welcome()
            peer.send(close=pb.Close())
            self.assertEqual(peer.expect("close").code, 0)

        self.assertEqual(work(double, script).code, 0)

    def test_a_stage_that_has_already_ended(self):
        """Close(0) in place of Welcome: nothing is wrong, and nothing is left to do (HS-4)."""
        for token in ("00ff", ""):
            with self.subTest(token):
                run = work(double, lambda peer: peer.close(), token=token)
                self.assertEqual((run.code, run.stderr), (0, ""))

    def test_a_close_that_nothing_can_be_done_about(self):
        run = work(double, lambda peer: peer.close(200, "no stage named 'scor'; did you mean 'score'?"))
        self.assertEqual(run.code, 2)
        self.assertIn("did you mean 'score'?", run.stderr)

    def test_a_close_of_another_version(self):
        def script(peer):
            peer.send_version = 2000
            peer.close(102, "this broker speaks 2.0:\x1b[31m update the SDK")

        run = work(double, script)
        self.assertEqual(run.code, 2)
        self.assertIn("2.0:\\x1b[31m update the SDK (102)", run.stderr)

    def test_a_spawned_worker_ends_with_its_broker(self):
        def script(peer):
            peer.welcome()
            peer.credit_seen = peer._next()

        run = work(double, script)
        self.assertEqual(run.code, 1)
        self.assertIn("lost the broker", run.stderr)

    def test_others_attach_again(self):
        def first(peer):
            peer.welcome()
            peer.deliver([record(b'"a"')])

        def second(peer):
            hello = peer.welcome()
            self.assertEqual((hello.stage, hello.instance, hello.token), ("score", "", b""))
            peer.grant()
            peer.deliver([record(b'"a"')])
            self.assertEqual(peer.outcomes(1)[0].kind, 1)
            peer.close(201, "another worker has this name")

        def third(peer):
            peer.welcome()
            peer.close()

        run = work(double, first, second, third, token="")
        self.assertEqual(run.code, 0)
        self.assertEqual(run.stderr.count("trying again"), 2)

    def test_a_signal_finishes_what_has_begun(self):
        @stagewire.sink
        def stage(record):
            if record.delivery == 2:
                os.kill(os.getpid(), signal.SIGTERM)

        def script(peer):
            peer.welcome()
            peer.deliver([record(b"", i) for i in range(4)])
            found = peer.outcomes(4)
            self.assertEqual([(each.kind, ids_of(each)) for each in found], [(1, [1, 2]), (4, [3, 4])])
            self.assertEqual(peer.expect("close").code, 0)

        self.assertEqual(work(stage, script).code, 0)

    def test_a_signal_ends_the_wait_for_credit(self):
        def script(peer):
            peer.welcome()
            peer.deliver([record(b'"a"')])
            peer.send(ping=pb.Ping())
            peer.expect("pong")
            os.kill(os.getpid(), signal.SIGTERM)
            self.assertEqual(peer.outcomes(1)[0].kind, 4)
            self.assertEqual(peer.expect("close").code, 0)

        self.assertEqual(work(double, script).code, 0)

    def test_a_signal_wakes_an_idle_worker(self):
        def script(peer):
            peer.welcome()
            peer._next()
            os.kill(os.getpid(), signal.SIGTERM)
            self.assertEqual(peer.expect("close").code, 0)

        self.assertEqual(work(double, script).code, 0)

    def test_a_broker_that_sends_garbage(self):
        def script(peer):
            peer.welcome()
            peer.connection.sendall(b"\0\0\0\3abc")
            self.assertEqual(peer.expect("close").code, 100)

        self.assertEqual(work(double, script).code, 2)

    def test_a_broker_that_sends_too_much(self):
        def script(peer):
            peer.welcome()
            peer.connection.sendall(b"\x7f\0\0\0abc")
            self.assertEqual(peer.expect("close").code, 101)

        self.assertEqual(work(double, script).code, 2)

    def test_refused_before_hello_was_read(self):
        def script(peer):
            peer.send(close=pb.Close(code=106, message="your user may not"))

        run = work(double, script)
        self.assertEqual(run.code, 2, run.stderr)
        self.assertIn("your user may not", run.stderr)

    def test_without_a_socket(self):
        from fake_broker import _run

        run = _run(double, {"STAGEWIRE_SOCKET": ""}, {})
        self.assertEqual(run.code, 2)
        self.assertIn("stagewire run", run.stderr)


@dataclass
class Settings:
    threshold: float
    name: str = "x"
    tags: list[str] | None = None


class Configuration(unittest.TestCase):
    def configure(self, document: bytes):
        seen = []

        @stagewire.sink
        def stage(record, config: Settings):
            seen.append(config)

        def script(peer):
            peer.welcome(config=document)
            if good:
                peer.deliver([record(b"")])
                peer.outcomes(1)
                peer.close()
            else:
                self.assertGreaterEqual(peer.expect("close").code, 1000)

        good = b"bad" not in document and b"threshold" in document
        return work(stage, script), seen

    def test_a_dataclass(self):
        run, seen = self.configure(b'{"threshold": 3, "tags": ["a"]}')
        self.assertEqual(seen, [Settings(3.0, "x", ["a"])])
        self.assertEqual(run.code, 0)

    def test_what_does_not_fit(self):
        for document, sentence in [
            (b'{"threshold": "bad"}', 'config.threshold: expected float, got "bad"'),
            (b"{}", "config.threshold: missing"),
            (b'{"threshold": 1, "bad": 2}', "config.bad: not known to this stage; it knows threshold"),
            (b'{"threshold": 1, "tags": ["bad", 1]}', "config.tags[1]: expected str, got 1"),
        ]:
            with self.subTest(document):
                run, seen = self.configure(document)
                self.assertEqual((run.code, seen), (2, []))
                self.assertIn(sentence, run.stderr)

    def test_setup_is_called_once_and_closed(self):
        calls = []

        class Model:
            def __init__(self, config: Settings):
                calls.append(config)

            def close(self):
                calls.append("closed")

        @stagewire.sink
        def stage(record, model):
            calls.append(type(model))

        def first(peer):
            peer.welcome(config=b'{"threshold": 1}')
            peer.deliver([record(b"")])
            peer.outcomes(1)
            peer.close(207, "lease expired")

        def second(peer):
            peer.welcome(config=b'{"threshold": 1}')
            peer.close()

        self.assertEqual(work(stage, first, second, setup=Model).code, 0)
        self.assertEqual(calls, [Settings(1.0), Model, "closed"])

    def test_setup_may_find_the_configuration_wrong(self):
        def setup(config):
            raise stagewire.ConfigurationError("config.model: there is no such file")

        def script(peer):
            peer.welcome()
            self.assertGreaterEqual(peer.expect("close").code, 1000)

        run = work(double, script, setup=setup)
        self.assertEqual(run.code, 2)
        self.assertIn("stage score: config.model: there is no such file", run.stderr)

    def test_a_dict_otherwise(self):
        seen = []

        @stagewire.sink
        def stage(record, config):
            seen.append(config)

        def script(peer):
            peer.welcome(config=b'{"a": 1}')
            peer.deliver([record(b"")])
            peer.outcomes(1)
            peer.close()

        work(stage, script)
        self.assertEqual(seen, [{"a": 1}])


if __name__ == "__main__":
    unittest.main()
