"""A broker that can be made wrong: it stands between the suite and the real one, passes on what both say, and MUTANT names
one rule that it then breaks (mutants/). Without it, or with MUTANT=nothing, it is as right as the broker behind it.

    stagewire conformance run --broker -- python3 Tests/Conformance/broker.py {socket} {pipeline} stagewire
"""

import ctypes
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time

from link import Link
from mutants import load

PIECE = 1 << 16


class Proxy:
    """One thread, no blocking calls but `select`."""

    def __init__(self, path, pipeline, program):
        self.path, self.pipeline, self.program = path, pipeline, program
        self.inner = os.path.join(os.path.dirname(path), "inner.sock")
        self.mutant = load(os.environ.get("MUTANT", ""))
        self.selector = selectors.DefaultSelector()
        self.links = []
        self.timers = []
        self.ending = None
        self.kept = os.path.join(os.path.dirname(path), "proxy.json")
        self.begin()

    def begin(self):
        """Killed in the middle, it begins again where it was: the broker behind it dies with it."""
        kept = {"beginning": 0, "child": 0, "memory": {}}
        if os.path.exists(self.kept):
            with open(self.kept, encoding="utf-8") as file:
                kept = json.load(file)
        while self.is_running(kept["child"]):
            time.sleep(0.002)
        self.beginning, self.memory = kept["beginning"] + 1, kept["memory"]
        os.environ["BEGINNING"] = str(self.beginning)
        for path in (self.path, self.control(self.path)):
            if os.path.lexists(path):
                os.unlink(path)

    @staticmethod
    def is_running(number):
        try:
            with open(f"/proc/{number}/stat", encoding="utf-8") as file:
                return file.read().rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False

    def keep(self):
        with open(self.kept + ".new", "w", encoding="utf-8") as file:
            json.dump({"beginning": self.beginning, "child": self.child.pid, "memory": self.memory}, file)
        os.replace(self.kept + ".new", self.kept)

    @staticmethod
    def die_with_parent():
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG

    def start(self):
        pipeline = self.mutant.pipeline_file(self.pipeline)
        self.child = subprocess.Popen([self.program, "run", "--quiet", "--socket", self.inner, pipeline], preexec_fn=self.die_with_parent)
        self.keep()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _: self.child.send_signal(number))
        while True:
            try:
                self.dial(self.inner).close()
                self.dial(self.control(self.inner)).close()  # it comes later
                break
            except OSError:
                if self.child.poll() is not None:
                    sys.exit(self.child.returncode)
                time.sleep(0.005)
        self.watch(os.pidfd_open(self.child.pid), lambda: time.sleep(0.001))
        if self.mutant.control:
            self.listen(self.control(self.path), self.answer_control)
        else:
            os.symlink(self.control(self.inner), self.control(self.path))
        self.listen(self.path, self.accept)

    @staticmethod
    def control(path):
        return path.removesuffix(".sock") + ".control.sock"

    @staticmethod
    def dial(path):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(path)
        return connection

    def listen(self, path, accept):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(1024)
        self.watch(listener, lambda: accept(listener.accept()[0]))

    def watch(self, file, ready):
        self.selector.register(file, selectors.EVENT_READ, ready)

    def accept(self, connection):
        try:
            inner = self.dial(self.inner)
        except OSError:  # the broker has gone: so has this one
            connection.close()
            return
        self.links.append(Link(self, connection, inner))

    def answer_control(self, connection):
        """One request and its answer, one after the other: nobody asks two things at once."""
        inner = self.dial(self.control(self.inner))
        request = connection.recv(PIECE)
        inner.sendall(request)
        answer = b""
        while piece := inner.recv(PIECE):
            answer += piece
        connection.sendall(self.mutant.answer(request, answer))
        connection.close()
        inner.close()

    def later(self, seconds, action):
        self.timers.append((time.monotonic() + seconds, action))

    def run(self):
        while True:
            if self.child.poll() is not None:
                self.ending = self.ending or time.monotonic() + 2  # for what is still to be written
                if time.monotonic() > self.ending or not any(link.is_busy for link in self.links):
                    return
            for link in self.links:
                link.prepare()
            self.links = [link for link in self.links if not link.is_over]
            first = min((due for due, _ in self.timers), default=time.monotonic() + 1)
            for key, _ in self.selector.select(0.02 if self.ending else max(0, first - time.monotonic())):
                key.data()
            due = [timer for timer in self.timers if timer[0] <= time.monotonic()]
            self.timers = [timer for timer in self.timers if timer not in due]
            for _, action in due:
                action()
            if self.memory:
                self.keep()

    def end(self):
        """The way the broker has ended."""
        code = self.child.returncode
        if code < 0:
            signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
            os.kill(os.getpid(), -code)
        sys.exit(code)


if __name__ == "__main__":
    proxy = Proxy(*sys.argv[1:4])
    proxy.start()
    proxy.run()
    proxy.end()
