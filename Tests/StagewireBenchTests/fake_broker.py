"""A broker for testing one pipeline producer -> worker -> sink: small, slow, strict and unkind.

It hands out credit in driblets, cuts its writes anywhere, mixes in pings, unknown kinds and unknown
fields, and checks every rule that a worker has to keep: credit, one outcome per delivery, consecutive
emit ids, outputs forwarded unchanged. Protobuf by hand, so that nothing has to be installed.
"""

import collections
import selectors
import socket

HELLO, WELCOME, CLOSE, PING, PONG, CREDIT, DELIVER, SETTLE, EMIT = range(2, 11)
COMMITTED, EXTEND, DRAIN, RUNS, CLAIM, CLAIMED, FINISHED = 11, 13, 14, 15, 16, 17, 18
UNKNOWN_KIND = 900


class Violation(Exception):
    """A worker broke a rule of the protocol."""


def require(condition, sentence):
    if not condition:
        raise Violation(sentence)


# ---- Protobuf ----

def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def read_varint(data, at):
    value = shift = 0
    while True:
        require(at < len(data) and shift < 64, "a varint that does not end")
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


def fields(data):
    """[(number, value)]: integers and byte strings."""
    at, found = 0, []
    while at < len(data):
        tag, at = read_varint(data, at)
        if tag & 7 == 0:
            value, at = read_varint(data, at)
        else:
            require(tag & 7 == 2, f"wire type {tag & 7}")
            size, at = read_varint(data, at)
            require(at + size <= len(data), "a length beyond the message")
            value, at = data[at:at + size], at + size
        found.append((tag >> 3, value))
    return found


def one(found, number, default=None):
    values = [value for n, value in found if n == number]
    require(len(values) <= 1, f"field {number} came {len(values)} times")
    return values[0] if values else default


def frame(kind, message, *, strange=b""):
    content = field(1, 1000) + strange + field(kind, message)
    return len(content).to_bytes(4, "big") + content


# ---- Sessions ----

class Peer:
    """One worker's connection, with the broker's books about it."""

    def __init__(self, connection):
        self.connection = connection
        self.inbox, self.outbox = bytearray(), bytearray()
        self.role = None
        self.granted, self.used = [0, 0], [0, 0]  # towards us: records, bytes
        self.offered, self.sent = [0, 0], [0, 0]  # from us
        self.held = collections.OrderedDict()  # delivery id -> record
        self.next_delivery = 1
        self.pings, self.pongs = 0, 0
        self.extends = 0
        self.finished = self.closing = self.closed_by_peer = False


class FakeBroker:
    """Serves until every peer is gone. `random` decides about everything that a broker is free to do."""

    RESERVE = 48  # stamp_reserve

    def __init__(self, path, random, *, step=(64, 1 << 20), max_record=1 << 20, starve=None, script=None, grants=None,
                 flood=0, behind=False):
        self.random, self.step, self.max_record = random, step, max_record
        self.starve = starve  # this role gets no credit, from its 100th record on, until it says Extend
        self.flood = flood  # bytes of frames of an unknown kind that it gets meanwhile
        self.behind = behind  # the worker gets credit for one record at a time, and only while the next one is waiting already
        self.script = script or {}  # role -> what to do to it once it has emitted or settled something
        self.grants = grants or {}  # role -> records and bytes by which a grant grows, other than usual
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(8)
        self.listener.setblocking(False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.peers = {}
        self.queues = {"worker": collections.deque(), "sink": collections.deque()}
        self.outputs = []  # everything that was emitted by the producer, in order
        self.emit_id = 0
        self.ended = set()

    def run(self, alive):
        """Until `alive()` says that no worker process is left."""
        while alive():
            for key, events in self.selector.select(0.001):
                if key.fileobj is self.listener:
                    self.accept()
                else:
                    self.receive(key.data)
            for peer in list(self.peers.values()):
                self.advance(peer)
        self.listener.close()

    def accept(self):
        connection, _ = self.listener.accept()
        connection.setblocking(False)
        self.selector.register(connection, selectors.EVENT_READ, Peer(connection))

    # ---- In ----

    def receive(self, peer):
        try:
            data = peer.connection.recv(self.random.choice([1, 7, 100, 1 << 16, 1 << 20]))
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self.forget(peer)
            return
        peer.inbox += data
        while len(peer.inbox) >= 4:
            size = int.from_bytes(peer.inbox[:4], "big")
            require(0 < size <= 4 << 20, f"a frame of {size} bytes")
            if len(peer.inbox) < 4 + size:
                return
            content = bytes(peer.inbox[4:4 + size])
            del peer.inbox[:4 + size]
            self.handle(peer, fields(content))

    def forget(self, peer):
        self.selector.unregister(peer.connection)
        peer.connection.close()
        if peer.role:
            require(peer.closing or peer.closed_by_peer, f"{peer.role} went away without a Close")
            del self.peers[peer.role]

    def handle(self, peer, content):
        require(one(content, 1) == 1000, "a frame without version 1000")
        kinds = [(number, value) for number, value in content if number != 1]
        require(len(kinds) == 1, f"{len(kinds)} messages in one frame")
        kind, message = kinds[0]
        require(not peer.closed_by_peer, "a frame after Close")
        if peer.closing:
            return
        require((kind == HELLO) == (peer.role is None), f"kind {kind} out of turn")
        handlers = {HELLO: self.hello, CREDIT: self.credit, SETTLE: self.settle, EMIT: self.emit, CLAIM: self.claim,
                    FINISHED: self.finish, PONG: self.pong, EXTEND: self.extend, CLOSE: self.close}
        require(kind in handlers, f"kind {kind} from a worker")
        handlers[kind](peer, fields(message))

    def hello(self, peer, message):
        require((one(message, 1), one(message, 2)) == (1000, 1000), "Hello names no version range")
        peer.role = one(message, 3).decode()
        require(peer.role in ("producer", "worker", "sink") and peer.role not in self.peers, "who is this?")
        self.peers[peer.role] = peer
        welcome = field(1, 1000) + field(2, 7) + field(3, b"single-threaded") + field(4, 4 << 20)
        welcome += field(5, self.max_record) + field(6, self.RESERVE) + field(7, self.step[0]) + field(8, self.step[1])
        welcome += field(9, 10_000) + field(10, 30_000) + field(11, 150) + field(12, b"{}") + field(99, b"later")
        if peer.role != "producer":
            welcome += field(13, field(1, 3) + field(2, b"up") + field(4, 4096) + field(5, 4 << 20) + field(6, 1))
        if peer.role != "sink":
            welcome += field(14, field(1, 2) + field(2, b"out"))
        self.send(peer, WELCOME, welcome)
        self.send(peer, RUNS, field(1, field(1, 1) + field(2, b"producer")))

    def credit(self, peer, message):
        require(one(message, 1, 0) == 3, "credit for an input that does not exist")
        limit = [one(message, 2, 0), one(message, 3, 0)]
        require(all(new >= old for new, old in zip(limit, peer.offered)), "credit was taken back")
        room = [new - used for new, used in zip(limit, peer.sent)]
        require(peer.offered != [0, 0] or room[1] >= self.max_record, "an empty buffer has no room for one record")
        peer.offered = limit

    def spend(self, peer, output):
        peer.used[0] += 1
        peer.used[1] += len(output) + self.RESERVE
        require(all(used <= granted for used, granted in zip(peer.used, peer.granted)), "credit exceeded")

    def emission(self, peer, message):
        found = fields(message)
        require(one(found, 1) == 2, "an emission on an unknown port")
        output = one(found, 3)
        require(one(fields(output), 1) is None, "an output with lineage")
        self.spend(peer, output)
        return output

    def emit(self, peer, message):
        require(peer.role == "producer" and not peer.finished, "an Emit out of turn")
        require(one(message, 1) == b"0", "an unclaimed partition")
        self.emit_id += 1
        require(one(message, 2) == self.emit_id, "emit ids are not consecutive")
        emissions = [value for number, value in message if number == 3]
        require(len(emissions) <= self.step[0], "a step of too many records")
        require(sum(map(len, emissions)) <= max(self.step[1], 66_000), "a step of too many bytes")
        for value in emissions:
            output = self.emission(peer, value)
            self.outputs.append(output)
            self.deliverable("worker", output)
        if self.random.random() < 0.5 or len(emissions) < 3:
            self.confirm(peer)

    def confirm(self, peer):
        self.send(peer, COMMITTED, field(1, b"0") + field(2, self.emit_id))

    def deliverable(self, role, output):
        lineage = field(1, bytes(16)) + field(7, bytes(self.random.randrange(40)))
        self.queues[role].append(field(1, lineage) + output)

    def settle(self, peer, message):
        for number, value in message:
            require(number == 1, "an unknown field of Settle")
            outcome = fields(value)
            first = one(outcome, 1)
            last = one(outcome, 2, first)
            require(one(outcome, 3) == 1, "not accepted")
            emissions = [value for number, value in outcome if number == 4]
            require(peer.role == "sink" or (first == last and len(emissions) == 1), "not one outcome per delivery")
            for delivery in range(first, last + 1):
                require(delivery in peer.held, f"delivery {delivery} is unknown or settled")
                require(next(iter(peer.held)) == delivery, "settled out of order")
                record = peer.held.pop(delivery)
                for value in emissions:
                    output = self.emission(peer, value)
                    require(record.endswith(output) and len(field(1, one(fields(record), 1)) + output) == len(record),
                            "the record was changed on its way")
                    self.deliverable("sink", output)

    def claim(self, peer, message):
        require(peer.role == "producer" and one(message, 1) == b"0", "a strange claim")
        self.send(peer, CLAIMED, field(1, b"0") + field(2, 1))

    def finish(self, peer, message):
        require(one(message, 1) == b"0", "Finished for an unclaimed partition")
        peer.finished = True

    def pong(self, peer, message):
        peer.pongs += 1
        require(one(message, 1) == peer.pongs, "a Pong that answers no Ping")

    def extend(self, peer, message):
        require(peer.held and not message, "an Extend without deliveries")
        peer.extends += 1

    def close(self, peer, message):
        require(one(message, 1, 0) == 0, "closed with an error")
        peer.closed_by_peer = True
        self.selector.modify(peer.connection, selectors.EVENT_READ, peer)
        peer.outbox.clear()
        peer.connection.shutdown(socket.SHUT_WR)

    # ---- Out ----

    def send(self, peer, kind, message):
        strange = field(77, b"skip me") if self.random.random() < 0.1 else b""
        peer.outbox += frame(kind, message, strange=strange)

    def advance(self, peer):
        if not peer.closing and not peer.closed_by_peer:
            self.play(peer)
            self.ping(peer)
            if peer.role != "sink":
                self.grant(peer)
            if peer.role != "producer":
                self.deliver(peer)
            self.end(peer)
        while peer.outbox:
            try:
                sent = peer.connection.send(peer.outbox[:self.random.choice([1, 3, 1000, 1 << 16])])
            except BlockingIOError:
                return
            except OSError:
                return
            del peer.outbox[:sent]

    def play(self, peer):
        """The test's own interference, once the peer is at work."""
        action = self.script.get(peer.role)
        if action and (peer.used[0] > 20 or peer.next_delivery > 20):
            del self.script[peer.role]
            action(self, peer)

    def ping(self, peer):
        if self.random.random() < 0.02:
            peer.pings += 1
            self.send(peer, PING, field(1, peer.pings))
        if self.random.random() < 0.02:
            self.send(peer, UNKNOWN_KIND, b"from the future")

    def grant(self, peer):
        if peer.role == self.starve and peer.used[0] > 100 and not peer.extends:
            self.send_flood(peer)
            return
        if peer.role == "worker" and self.behind:
            self.grant_next(peer)
            return
        choices = self.grants.get(peer.role, ((0, 1, 2, 50, 500), (0, 1, 100, 5000, 300_000)))
        records, size = map(self.random.choice, choices)
        ahead = [granted - used for granted, used in zip(peer.granted, peer.used)]
        if ahead[0] < 2000:
            peer.granted[0] += records
        if ahead[1] < self.max_record + 500_000:
            peer.granted[1] += size
        self.send(peer, CREDIT, field(1, 2) + field(2, peer.granted[0]) + field(3, peer.granted[1]))
        if self.random.random() < 0.1:
            self.send(peer, CREDIT, field(1, 2) + field(2, peer.granted[0] // 2))  # does not grow: ignored

    def send_flood(self, peer):
        if self.flood and peer.held and len(peer.outbox) < 1 << 20:
            self.flood = max(0, self.flood - (1 << 20))
            self.send(peer, UNKNOWN_KIND, bytes(1 << 20))

    def grant_next(self, peer):
        """Never so much that the worker has nothing in hand when it reads: while there is more to come, it has two deliveries."""
        if peer.granted == peer.used and (len(peer.held) > 1 or "producer" in self.ended and peer.held):
            output = len(next(iter(peer.held.values()))) - len(field(1, one(fields(next(iter(peer.held.values()))), 1)))
            peer.granted = [peer.used[0] + 1, peer.used[1] + output + self.RESERVE]
            self.send(peer, CREDIT, field(1, 2) + field(2, peer.granted[0]) + field(3, peer.granted[1]))

    def deliver(self, peer):
        queue = self.queues[peer.role]
        batch, size = [], 0
        for _ in range(self.random.choice([0, 1, 3, 200])):
            if not queue or peer.sent[0] + 1 > peer.offered[0] or peer.sent[1] + len(queue[0]) > peer.offered[1]:
                break
            record = queue.popleft()
            peer.sent[0] += 1
            peer.sent[1] += len(record)
            peer.held[peer.next_delivery + len(batch)] = record
            batch.append(field(4, record))
            size += len(record)
            if size > 200_000:
                break
        if not batch:
            return
        ids = field(1, 3) + field(2, peer.next_delivery)
        attempts = field(3, b"\x01" * len(batch)) if self.random.random() < 0.2 else b""
        peer.next_delivery += len(batch)
        # protobuf does not promise an order of fields.
        records = b"".join(batch)
        self.send(peer, DELIVER, records + ids if self.random.random() < 0.1 else ids + attempts + records)

    def end(self, peer):
        """A stage ends when what feeds it has ended and nothing is left."""
        if peer.role == "producer" and peer.finished:
            pass
        elif peer.role == "producer":
            self.confirm(peer)
            return
        elif {"worker": "producer", "sink": "worker"}[peer.role] not in self.ended:
            return
        elif self.queues[peer.role] or peer.held:
            return
        else:
            self.send(peer, DRAIN, field(1, 1))
        self.ended.add(peer.role)
        peer.closing = True
        self.send(peer, CLOSE, b"")
