"""`--test`: a stage on records of a file, without a broker; and records as JSON."""

import contextlib
import io
import json
import math
import random
import sys
import tempfile
import unittest
from dataclasses import dataclass

import stagewire
from stagewire import record_json, trial
from stagewire.v1 import record_pb2


@dataclass
class Settings:
    suffix: str = ""


@stagewire.transform
def stage(record, config: Settings):
    text = record.text()
    if text == "filter":
        return None
    if text == "reject":
        raise stagewire.Reject(1001, "no such unit")
    if text == "retry":
        raise KeyError("oops")
    if text == "release":
        raise stagewire.Release
    if text == "many":
        return [record.emit()] * 5000
    if text == "port":
        return stagewire.emission(payload=b"\xff", port="late")
    return record.emit(payload=(text + config.suffix).encode())


@stagewire.window(event_time=10)
def joined(window):
    yield stagewire.emission(payload=b"+".join(each.payload for each in window), event_time=window.start)


@stagewire.source(partitions=["a", "b"])
def letters(partition, config):
    assert partition.checkpoint is None
    yield None
    for each in range(config.get("count", 80)):
        yield stagewire.emission(payload=f"{partition.name}{each}".encode()), each


def attempt(stage, text: str, *arguments: str, **others):
    """Standard output, standard error and the exit code of a program with these arguments."""
    out, errors, code = io.StringIO(), io.StringIO(), 0
    before = sys.argv, sys.stdin
    sys.argv = ["program", *arguments]
    sys.stdin = io.TextIOWrapper(io.BytesIO(text.encode("utf-8", "surrogateescape")))
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            stagewire.run(stage, **others)
    except SystemExit as end:
        code = end.code
    finally:
        sys.argv, sys.stdin = before
    return out.getvalue(), errors.getvalue(), code


class Trials(unittest.TestCase):
    def test_a_file(self):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write('{"text": "a", "key": "k"}\n\n{"text": "filter"}\n{"text": "reject"}\n{"text": "port"}')
            file.flush()
            found = attempt(stage, "", "mine", "--test", file.name, "--config", '{"suffix": "!"}')
        self.assertEqual(found, (
            '{"key": "k", "text": "a!"}\n{"port": "late", "base64": "/w=="}\n',
            "record 3: REJECTED 1001: no such unit\n"
            "4 records: 3 accepted (1 filtered), 1 rejected, 0 to be retried, 0 released; 2 emitted\n", 1))

    def test_all_accepted(self):
        out, errors, code = attempt(stage, '{"text": "a"}\n', "--test=-")
        self.assertEqual((out, code), ('{"text": "a"}\n', 0))
        self.assertEqual(
            errors, "1 records: 1 accepted (0 filtered), 0 rejected, 0 to be retried, 0 released; 1 emitted\n")

    def test_other_verdicts(self):
        out, errors, code = attempt(stage, '{"text": "retry"}\n{"text": "release"}\n{"text": "many"}', "--test", "-")
        self.assertIn("record 1: RETRY 1000: KeyError: 'oops'\nrecord 2: RELEASED\nrecord 3: REJECTED 305: ", errors)
        self.assertIn("Traceback", errors)
        self.assertEqual((out, code), ("", 1))

    def test_windows(self):
        line = '{"key": "k", "text": "%s", "event_time": "2026-01-05T10:30:%sZ"}\n'
        out, errors, code = attempt(
            joined, "".join(line % each for each in [("a", "00"), ("b", "09.9999995"), ("c", "21"), ("d", "05")]),
            "--test", "-")
        self.assertEqual(out, '{"text": "a+b", "event_time": "2026-01-05T10:30:00.000000Z"}\n'
                              '{"text": "c", "event_time": "2026-01-05T10:30:20.000000Z"}\n')
        self.assertEqual(errors, "record 4: REJECTED 1000: late: its window ended at 2026-01-05T10:30:10.000000Z\n"
                         "4 records: 3 accepted (0 filtered), 1 rejected, 0 to be retried, 0 released; 2 emitted\n")
        self.assertEqual(code, 1)

    def test_sources(self):
        self.assertEqual(attempt(letters, "", "--test", "--limit", "2"),
                         ('{"text": "a0"}\n{"text": "a1"}\n', "2 emitted\n", 0))
        out, errors, _ = attempt(letters, "", "--test")
        self.assertEqual((len(out.splitlines()), errors), (100, "100 emitted\n"))

        @stagewire.source
        def broken(partition):
            raise OSError("no disk")
            yield

        out, errors, code = attempt(broken, "", "--test")
        self.assertEqual(code, 1)
        self.assertIn("the source failed: no disk", errors)

    def test_what_is_wrong_is_said(self):
        for text, config, sentence in [
            ("{}\n[1]\n", "{}", "standard input:2: not a JSON object"),
            ('{"a": 1} 2', "{}", "standard input:1: not a JSON object"),
            ('{"text": NaN}', "{}", "NaN is not JSON"),
            ('{"atributes": {}}', "{}", "standard input:1: atributes: a record has no such field"),
            ('{"text": "a", "json": 1}', "{}", "json, text: only one of them"),
            ('{"text": 1}', "{}", "text: expected a text, got 1"),
            ('{"text": "\\ud800"}', "{}", "text: not Unicode"),
            ('{"key": null}', "{}", "key: expected a text, got null"),
            ('{"base64": "A"}', "{}", "base64: not base64"),
            ('{"event_time": "yesterday"}', "{}", 'event_time: "yesterday" is no time'),
            ('{"event_time": "2026-13-05T10:30:00Z"}', "{}", "is no time"),
            ('{"attributes": {"a": {"b": 1}}}', "{}", "attributes: a: an attribute is"),
            ('{"schema_version": -1}', "{}", "schema_version: expected an integer"),
            ('{"lineage": {"id": "abc"}}', "{}", "lineage: id: an id is 32"),
            ('{"key": "%s"}' % ("k" * 1025), "{}", "1025 bytes of key"),
            ("", '{"suffix": 1}', "config.suffix: expected str, got 1"),
            ("", "{", "config: not JSON"),
            ("", "@/does/not/exist", "/does/not/exist"),
        ]:
            with self.subTest(text, config=config):
                _, errors, code = attempt(stage, text, "--test", "-", "--config", config)
                self.assertIn(sentence, errors)
                self.assertEqual(code, 2)
        self.assertEqual(attempt(stage, "", "--test", "/does/not/exist")[2], 2)
        for arguments in [["--test"], ["--test", "-", "--limit", "0"], ["--config", "{}", "--test"], ["--test", "-", "--config"]]:
            self.assertEqual(attempt(stage, "", *arguments)[2], 2, arguments)
        for arguments in [[], ["input"], ["--config", "mine"], ["--limit"]]:
            self.assertIsNone(trial.parse(arguments, False), arguments)

    def test_setup(self):
        closed = []

        class Model:
            def __init__(self, config: Settings):
                self.suffix = config.suffix

            def close(self):
                closed.append(True)

        out, _, code = attempt(stage, '{"text": "a"}', "--test", "-", "--config", '{"suffix": "?"}', setup=Model)
        self.assertEqual((out, code, closed), ('{"text": "a?"}\n', 0, [True]))


class RecordsAsJSON(unittest.TestCase):
    def test_every_record_survives(self):
        chance = random.Random(11)
        texts = ["", "a", "grün", "x" * 130, 'q"\\\u2028\x07']
        for number in range(2000):
            made = record_pb2.Record(payload=chance.randbytes(chance.randrange(30)))
            header = made.header
            if chance.random() < 0.3:
                header.content_type = "application/json"
                made.payload = ('{"a":[%r,"%s"],"b":1.50e+9}' % (chance.gauss(0, 1), chance.choice(["", "ü"]))).encode()
            elif chance.random() < 0.5:
                made.payload = chance.choice(texts).encode()
            header.key, header.schema = chance.choice([b"", b"k", b"\xff"]), chance.choice(texts)
            header.schema_version = chance.choice([0, 1, 2**32 - 1])
            header.event_time = chance.choice([0, chance.randrange(-(1 << 55), 1 << 55), -(1 << 62)])
            for name in ["a", "ü", ""]:
                value = chance.choice([None, "t", "", -5, 2**63 - 1, 0.0, 1.0, -2.5, 1e300, 1e-9, 1e16, True, False])
                if value is not None:
                    kind = {str: "text", int: "integer", float: "number", bool: "flag"}[type(value)]
                    header.attributes.add(**{"name": name, kind: value})
            written = record_json.write(stagewire.Emission(made.header.SerializeToString(), made.payload, None, ()), None)
            json.loads(written)
            self.assertNotIn("\n", written)
            read = record_json.read(written).record
            self.assertEqual(read.SerializeToString(deterministic=True) or b"\x12\0",
                             made.SerializeToString(deterministic=True), f"round {number}: {written}")

    def test_numbers_that_are_not_finite(self):
        made = record_pb2.Record()
        for name, value in [("a", math.nan), ("b", math.inf), ("c", -math.inf)]:
            made.header.attributes.add(name=name, number=value)
        written = record_json.write(stagewire.Emission(made.header.SerializeToString(), made.payload, None, ()), None)
        self.assertEqual(written, '{"attributes": {"a": "NaN", "b": "Infinity", "c": "-Infinity"}}')

    def test_no_digit_changes(self):
        line = record_json.read('{"json": { "a" : 1.50, "b c": [ 123456789012345678901234567890, "\\u00fc \\" x" ] } }')
        self.assertEqual(line.record.payload, b'{"a":1.50,"b c":[123456789012345678901234567890,"\\u00fc \\" x"]}')
        self.assertEqual(line.record.header.content_type, "application/json")

    def test_event_times(self):
        for text, expected in [
            ('"2026-01-05T12:30:00.1234567+02:00"', 1767609000123456), ('"1969-12-31T23:59:59.9Z"', -100000),
            ("17", 17), ('"0001-01-01T00:00:00z"', -62135596800000000),
        ]:
            self.assertEqual(record_json.read('{"event_time": %s}' % text).record.header.event_time, expected)

    def test_what_the_broker_adds(self):
        seen = []

        @stagewire.sink
        def stage(record):
            seen.append((record.attempt, record.input, record.id, record.root, record.hops, record.ingest_time))

        lineage = {"id": "00112233445566778899aabbccddeeff", "root": "00112233445566778899aabbccddeeff", "news": 1,
                   "ingest_time": "2026-01-05T10:30:01.250000Z",
                   "hops": [{"stage": "ingest", "version": "1.2", "time": "2026-01-05T10:30:01.260000Z", "attempt": 2}]}
        line = json.dumps({"text": "a", "attempt": 3, "input": "up.late", "lineage": lineage})
        self.assertEqual(attempt(stage, line, "--test", "-")[2], 0)
        begin = 1767609001250000
        self.assertEqual(seen, [(3, "up", lineage["id"], lineage["id"],
                                 [stagewire.Hop("ingest", "1.2", "", "", 2, begin + 10_000)], begin)])


if __name__ == "__main__":
    unittest.main()
