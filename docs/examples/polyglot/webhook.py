"""Receives alerts, for the demo and its test: `webhook.py FILE [--port N] [--faults SEED]`.

Writes each alert once (by its idempotency key) as a line to FILE, and prints the port on its first line of output. With
--faults it now and then answers 500, answers late, or drops the connection before or after it has taken the alert.
"""

import argparse
import json
import pathlib
import random
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, path: pathlib.Path, seed: int | None):
        self.file = open(path, "w", encoding="utf-8")
        self.seen: set[str] = set()
        self.lock = threading.Lock()
        self.chance = random.Random(seed) if seed is not None else None
        super().__init__(("127.0.0.1", port), Handler)

    def take(self, key: str, alert: dict) -> None:
        with self.lock:
            if key not in self.seen:
                self.seen.add(key)
                self.file.write(json.dumps(alert) + "\n")
                self.file.flush()

    def fault(self) -> str:
        with self.lock:
            roll = self.chance.random() if self.chance else 1
        return "error" if roll < 0.05 else "stall" if roll < 0.06 else "reset" if roll < 0.09 else "lost" if roll < 0.12 else ""

    def handle_error(self, request, client_address):
        """A client that went away is no news."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        fault = self.server.fault()
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if fault == "stall":
            time.sleep(3)
        if fault == "reset":
            return self._reset()
        if fault == "error":
            return self._answer(500)
        self.server.take(self.headers.get("idempotency-key", ""), json.loads(body))
        if fault == "lost":
            return self._reset()
        self._answer(204)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        if status != 204:
            self.send_header("content-length", "0")
        self.end_headers()

    def _reset(self) -> None:
        # Closing with lingering off sends RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close_connection = True
        self.connection.close()

    def log_message(self, *arguments):
        """Quiet: what counts is in the file."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("file", type=pathlib.Path)
    arguments.add_argument("--port", type=int, default=8377, help="0: any that is free")
    arguments.add_argument("--faults", type=int, metavar="SEED")
    options = arguments.parse_args()
    try:
        receiver = Receiver(options.port, options.file, options.faults)
    except OSError as error:
        sys.exit(f"webhook.py: port {options.port}: {error.strerror}")
    print(receiver.server_port, flush=True)
    receiver.serve_forever()


if __name__ == "__main__":
    main()
