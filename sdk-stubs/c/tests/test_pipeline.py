"""Real pipelines, when STAGEWIRE_BROKER names a broker; and the examples as their README shows them."""

import collections
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from harness import BUILD, HERE

BROKER = os.environ.get("STAGEWIRE_BROKER")


def run(*command, code=0, text=None):
    done = subprocess.run([str(c) for c in command], input=text, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, (command, done.returncode, done.stdout, done.stderr)
    return done


class Readme(unittest.TestCase):
    """The quick start is what the program prints, and the program is what the quick start shows."""

    readme = (HERE.parent / "README.md").read_text()

    def test_the_first_program_is_the_example(self):
        shown = re.search(r"```c\n(.*?)```", self.readme, re.S).group(1)
        self.assertIn(shown.strip(), (HERE.parent / "examples" / "shout.c").read_text())

    def test_what_it_prints(self):
        line = re.search(r"^echo '(.*)' \| build/shout --test -$", self.readme, re.M).group(1)
        done = run(BUILD / "shout", "--test", "-", text=line + "\n")
        self.assertIn("```text\n" + done.stdout + done.stderr + "```", self.readme)


class Trial(unittest.TestCase):
    def test_verdicts_and_exit_codes(self):
        lines = "\n".join(json.dumps({"text": t}) for t in ("echo", "reject 1001 no", "retry 5", "release", "", "throw x"))
        env = dict(os.environ, STAGEWIRE_STAGE="transform")
        done = subprocess.run([str(BUILD / "conformance-stage"), "--test", "-"], input=lines, env=env, capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, '{"port": "out", "text": "echo"}\n')
        for said in ("record 2: REJECTED 1001: no", "record 4: RELEASED", "record 6: RETRY 1000: x",
                     "6 records: 2 accepted (1 filtered), 1 rejected, 2 to be retried, 1 released; 1 emitted"):
            self.assertIn(said + "\n", done.stderr)

    def test_a_wrong_line(self):
        done = run(BUILD / "shout", "--test", "-", code=2, text='{"text": "a"}\n\n{"txt": "b"}\n')
        self.assertEqual(done.stderr, "-:3: txt: is not a field of a record\n")
        self.assertIn("no-such-file", run(BUILD / "shout", "--test", "/no-such-file", code=2).stderr)

    def test_a_source(self):
        done = run(BUILD / "numbers", "--test", "--limit", "3", "--config", '{"count": 50}')
        self.assertEqual(done.stdout, '{"text": "0"}\n{"text": "1"}\n{"text": "2"}\n')
        self.assertEqual(done.stderr, "3 emitted\n")
        self.assertIn("config.count: expected a number, got a string",
                      run(BUILD / "numbers", "--test", "--config", '{"count": "x"}', code=2).stderr)

    def test_a_window(self):
        lines = "".join('{"key": "s", "json": {"celsius": %d}, "event_time": "2026-01-05T10:30:%02dZ"}\n' % (i, i) for i in range(5))
        out = run(BUILD / "mean", "--test", "-", text=lines).stdout
        self.assertEqual(json.loads(out)["json"], {"mean": 2, "readings": 5, "complete": True})


@unittest.skipUnless(BROKER, "STAGEWIRE_BROKER names no broker")
class Pipeline(unittest.TestCase):
    def pipeline(self, text, kill=None):
        """Runs a pipeline; `kill`: a program whose processes are killed now and then. What `out` has written."""
        with tempfile.TemporaryDirectory(prefix="swc-") as directory:
            path = pathlib.Path(directory)
            (path / "pipeline.yaml").write_text(text.replace("BUILD", str(BUILD)))
            process = subprocess.Popen([BROKER, "run", "pipeline.yaml", "--socket", str(path / "s")], cwd=path,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            killer = threading.Thread(target=self.kill, args=(process, kill, path / "s"))
            if kill:
                killer.start()
            try:
                output, _ = process.communicate(timeout=120)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.communicate()
                if kill:
                    killer.join()
            self.assertEqual(process.returncode, 0, output)
            out = path / "out.jsonl"
            return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else [], output

    def kill(self, broker, program, socket):
        """Kills the broker's own children that run this program, three times."""
        killed = 0
        while broker.poll() is None and killed < 3:
            time.sleep(0.4)
            for entry in pathlib.Path("/proc").iterdir():
                try:
                    if entry.name.isdigit() and f"STAGEWIRE_SOCKET={socket}".encode() in (entry / "environ").read_bytes().split(b"\0") \
                            and (entry / "cmdline").read_bytes().split(b"\0")[0].endswith(b"/" + program.encode()):
                        os.kill(int(entry.name), signal.SIGKILL)
                        killed += 1
                        break
                except (OSError, ProcessLookupError):
                    continue

    HEAD = """
pipeline: c
stages:
  source:
    run: [BUILD/conformance-stage]
    source: true
    config: {partition: p, records: %d, per_emit: %d, keys: 7, pause_ms: %d}
"""
    TAIL = """
  out:
    exec: {command: [sh, -c, "cat >>out.jsonl"], input: json-lines, batch: {records: 5000, every: 200ms}}
    from: %s
"""

    def test_numbers_and_shout(self):
        records, _ = self.pipeline("""
pipeline: c
stages:
  numbers: {run: [BUILD/numbers], source: true, config: {count: 5000, step: 50}}
  shout: {run: [BUILD/shout], from: numbers, workers: 2}
""" + self.TAIL % "shout")
        self.assertEqual(sorted(int(r["text"]) for r in records), list(range(5000)))
        self.assertEqual([h["language"] for h in records[0]["lineage"]["hops"]], ["C", "C"])

    def test_windows_and_order(self):
        records, _ = self.pipeline(self.HEAD % (3000, 20, 0) + """
  window:
    run: [BUILD/conformance-stage]
    from: source
    config: {records: 4, by_key: true}
""" + self.TAIL % "window")
        by_key = collections.defaultdict(list)
        for record in records:
            by_key[record["key"]] += [int(n) for n in record["text"].split(",")]
        self.assertEqual(sorted(n for numbers in by_key.values() for n in numbers), list(range(1, 3001)))
        for numbers in by_key.values():
            self.assertEqual(numbers, sorted(numbers))

    def test_order_per_key_survives_retries(self):
        for stage in ("flaky", "flaky-pool"):
            records, output = self.pipeline(self.HEAD % (400, 10, 0) + f"""
  {stage}:
    run: [BUILD/kinds]
    from: source
    workers: 2
    retry: {{backoff: 5ms..20ms}}
""" + self.TAIL % stage)
            by_key = collections.defaultdict(list)
            for record in records:
                by_key[record["key"]].append(int(record["text"]))
            self.assertEqual(sorted(n for numbers in by_key.values() for n in numbers), list(range(1, 401)), output)
            for numbers in by_key.values():
                self.assertEqual(numbers, sorted(numbers))

    def test_killed_workers_lose_nothing(self):
        records, output = self.pipeline(self.HEAD % (300, 2, 15) + """
  window:
    run: [BUILD/conformance-stage]
    from: source
    config: {records: 3, by_key: true, seconds: 0.5}
""" + self.TAIL % "window", kill="conformance-stage")
        numbers = [int(n) for record in records for n in record["text"].split(",")]
        self.assertEqual(sorted(numbers), list(range(1, 301)), output)
        self.assertIn("SIGKILL", output)


if __name__ == "__main__":
    unittest.main()
