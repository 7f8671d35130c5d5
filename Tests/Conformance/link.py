"""One connection through the proxy: a worker of the suite on one side, the broker on the other."""

import selectors
import socket
from types import SimpleNamespace

from fields import Frame

# Beyond so many unwritten bytes nothing more is read from the other side, so that the broker feels a slow worker.
ENOUGH = 1 << 16
# Frames of the worker beyond this are not taken apart: mutants leave them alone.
HANDSHAKE, LARGE = 1 << 14, 1 << 18


class Side:
    """A socket, what has come from it and what is to go to it."""

    def __init__(self, link, connection, take):
        self.link, self.socket, self.take = link, connection, take
        connection.setblocking(False)
        self.inbound = b""
        self.passing = 0         # bytes of a large frame that are still to come
        self.outbound = bytearray()
        self.is_at_end = False   # has said all it will say
        self.is_closing = False  # is told so when `outbound` is empty
        self.is_shut = False
        self.is_broken = False
        self.events = 0

    def prepare(self, is_reading):
        """Tells the selector what this side waits for."""
        self.write()
        events = selectors.EVENT_READ * (is_reading and not self.is_at_end)
        events |= selectors.EVENT_WRITE * bool(self.outbound)
        if events == self.events:
            return
        selector = self.link.proxy.selector
        if not events:
            selector.unregister(self.socket)
        elif self.events:
            selector.modify(self.socket, events, self.serve)
        else:
            selector.register(self.socket, events, self.serve)
        self.events = events

    def serve(self):
        self.write()
        if not self.events & selectors.EVENT_READ:
            return
        try:
            data = self.socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            self.is_broken = True
            data = b""
        if data:
            self.take(data)
        else:
            self.is_at_end = True
            self.take(None)

    def write(self):
        while self.outbound and not self.is_shut:
            try:
                del self.outbound[:self.socket.send(self.outbound[:1 << 18])]
            except BlockingIOError:
                return
            except OSError:
                self.is_broken = True
                break
        if self.is_broken:
            self.outbound.clear()
        if self.is_closing and not self.outbound and not self.is_shut:
            self.is_shut = True
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass

    def end(self):
        """Nothing more will be written."""
        self.is_closing = True
        self.write()

    def close(self):
        if self.events:
            self.link.proxy.selector.unregister(self.socket)
            self.events = 0
        self.socket.close()
        self.is_at_end = self.is_shut = self.is_broken = True


class Link:
    def __init__(self, proxy, worker, broker):
        self.proxy, self.mutant = proxy, proxy.mutant
        self.worker = Side(self, worker, self.from_worker)
        self.broker = Side(self, broker, self.from_broker)
        self.is_over = False
        self.is_greedy = False    # takes all that the broker writes, whatever the worker does
        self.is_mute = False      # what the worker sends goes nowhere
        self.is_severed = False   # what the broker does is not shown any more
        self.is_closed = False    # the broker has said Close
        self.is_deaf = False      # nothing is read from the worker
        self.is_shy = False       # nor while it leaves something unread
        self.hello = self.welcome = None
        self.held = {}            # deliveries that are not settled, by id
        self.given = {}           # all deliveries
        self.claims = {}          # emit id by partition that this session has claimed
        self.notes = SimpleNamespace()  # a mutant's own

    # ---- Of the session ----

    @property
    def stage(self):
        return self.hello.get(3, b"").decode(errors="replace") if self.hello else ""

    def is_source(self):
        return self.welcome is not None and not self.welcome.has(13)

    def others(self):
        return [link for link in self.proxy.links if link is not self]

    def related(self, delivery, held=None):
        """Later deliveries that are held and have the same key, on the same input."""
        return [d for d in (held or self.held).values()
                if d.id > delivery.id and d.key and (d.input, d.key) == (delivery.input, delivery.key)]

    # ---- Frames that mutants make up ----

    def tell_worker(self, kind, *pairs):
        self.worker.outbound += Frame.of(kind, *pairs).encode()

    def tell_broker(self, kind, *pairs):
        self.broker.outbound += Frame.of(kind, *pairs).encode()

    def fail(self, code, text="the proxy ends this session"):
        """A Close as the broker would send it; the broker itself sees the worker go."""
        if self.is_severed or self.is_closed:
            return
        self.tell_worker("close", (1, code), (2, text.encode()))
        self.sever()
        self.worker.end()

    def sever(self):
        """Nothing passes any more. The worker's side stays open."""
        self.is_severed = self.is_mute = True
        self.broker.close()

    # ---- The loop ----

    def prepare(self):
        self.worker.write()
        self.broker.write()
        self.worker.prepare(len(self.broker.outbound) < ENOUGH and not self.is_deaf and not (self.is_shy and self.worker.outbound))
        if not self.is_severed:
            self.broker.prepare(self.is_greedy or len(self.worker.outbound) < ENOUGH)
        if self.worker.is_at_end and self.broker.is_at_end and (self.worker.is_shut or self.worker.is_broken):
            self.worker.close()
            self.broker.close()
            self.is_over = True

    @property
    def is_busy(self):
        """Something is on its way to the worker yet."""
        return not self.is_over and (bool(self.worker.outbound) or not self.broker.is_at_end)

    def from_worker(self, data):
        if data is None:
            if not self.is_mute and self.mutant.gone(self):
                self.broker.end()
            return
        if self.is_mute:
            return
        data = self.mutant.bytes_of_worker(self, data)
        if not self.mutant.frames_of_worker:
            self.broker.outbound += data
            return
        for content, raw in self.cut(self.worker, data, LARGE if self.welcome else HANDSHAKE):
            if not self.is_mute:
                self.broker.outbound += raw or self.mutant.from_worker(self, content)

    def from_broker(self, data):
        if self.is_severed:
            return
        if data is None:
            self.worker.outbound += self.broker.inbound
            self.worker.end()
            return
        if not self.mutant.frames_of_broker:
            self.worker.outbound += data
            return
        for content, _ in self.cut(self.broker, data, 1 << 32):
            if not self.is_severed:
                out = self.mutant.from_broker(self, content)
                self.worker.outbound += b"" if self.is_severed else out

    @staticmethod
    def cut(side, data, large):
        """Whole frames as (content, None), without their prefixes. A larger one, which may be refused by its prefix, is
        passed on as it comes: (None, bytes)."""
        data, at, cuts = side.inbound + data, 0, []
        while at < len(data):
            if side.passing:
                piece = data[at:at + side.passing]
                cuts.append((None, piece))
                side.passing -= len(piece)
                at += len(piece)
                continue
            length = int.from_bytes(data[at:at + 4], "big")
            if len(data) < at + 4 or length <= large and len(data) < at + 4 + length:
                break
            if length > large:
                cuts.append((None, data[at:at + 4]))
                side.passing, at = length, at + 4
            else:
                cuts.append((data[at + 4:at + 4 + length], None))
                at += 4 + length
        side.inbound = data[at:]
        return cuts
