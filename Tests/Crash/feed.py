#!/usr/bin/env python3
"""A source that keeps its own account of what the broker has confirmed, and believes that account only.

CRASH_LOG is the account: a line is written and synced before anything that rests on it is done. CRASH_PARTITIONS names
what is claimed (words); the file CRASH_STOP, once it is there, ends the stream; CRASH_PADDING is how many spaces follow each
payload. Lines are words:

    start   NS PID
    claim   NS PARTITION EPOCH LAST_EMIT_ID CHECKPOINT FIRST EMIT N    as the broker answered; Emits are sent from FIRST
                                                                       on; from Emit EMIT on, which begins with N, numbers follow each other
    sent    NS PARTITION EMIT_ID
    confirmed NS PARTITION THROUGH
    finished NS PARTITION

After an outage the source sends again what was not confirmed, from behind its own last confirmation or from behind
LAST_EMIT_ID, by chance. A broker that knows less than it had confirmed (`relaxed` only) has lost that: what was
confirmed is not sent again, for a source is entitled to forget it.
"""

import os
import random
import sys
import time

import load
from peer import Log, Peer, attach_forever, frames, pb, records

PADDING = " " * int(os.environ.get("CRASH_PADDING", "0"))
KEPT = 64  # Emits of a partition under way
STOP_SECONDS = 0.05  # between two looks for the file


class Partition:
    """One partition, over all sessions and processes: what the log says of it."""

    def __init__(self, name: str):
        self.name = name
        self.confirmed = 0
        self.base = (1, 1)  # this Emit begins with that number, and the rest follows
        self.forget()

    def forget(self) -> None:
        """What was of the session."""
        self.next = 0  # Emit to be sent; 0: not claimed yet
        self.is_finished = False

    def first(self, emit: int) -> int:
        """The number with which an Emit begins."""
        begin, number = self.base
        return number + load.before(emit) - load.before(begin)

    def claimed(self, last: int, chance: random.Random) -> None:
        if last < self.confirmed:
            self.base = (last + 1, self.first(self.confirmed + 1))
            self.confirmed = last
        repeats = chance.random() < 0.5
        self.next = (self.confirmed if repeats else last) + 1
        self.confirmed = last  # an answer to a claim confirms, too (SO-2)


class Feed:
    def __init__(self) -> None:
        self.partitions = {name: Partition(name) for name in os.environ["CRASH_PARTITIONS"].split()}
        self.stop = os.environ["CRASH_STOP"]
        self.chance = random.Random(os.getpid())
        path = os.environ["CRASH_LOG"]
        if os.path.exists(path):
            self.remember(path)
        self.log = Log(path)
        self.note(f"start {time.monotonic_ns()} {os.getpid()}\n", sync=True)

    def remember(self, path: str) -> None:
        with open(path) as file:
            for line in file:
                match line.split():
                    case ["claim", _, name, _, last, _, _, emit, number] if line.endswith("\n"):
                        partition = self.partitions[name]
                        partition.base = (int(emit), int(number))
                        # More than was confirmed (SO-2), or less: then that is lost, and known to be.
                        partition.confirmed = int(last)
                    case ["confirmed", _, name, through] if line.endswith("\n"):
                        self.partitions[name].confirmed = int(through)

    def note(self, text: str, sync: bool = False) -> None:
        self.log.write(text)
        if sync:
            self.log.sync()

    # ---- A session ----

    def work(self, peer: Peer) -> None:
        self.peer = peer
        self.limit, self.used = (0, 0), (0, 0)
        self.drain = None
        self.looked = 0.0
        self.is_stopping = False
        for partition in self.partitions.values():
            partition.forget()
            peer.send(frames.frame(claim=pb.Claim(partition=partition.name)))
        while self.drain is None:
            # With credit at hand it only looks.
            for envelope in peer.receive(0 if self.step() else 0.05):
                self.handle(envelope)
        self.leave()

    def handle(self, envelope: pb.Envelope) -> None:
        match envelope.WhichOneof("message"):
            case "credit":
                credit = envelope.credit
                self.limit = (max(self.limit[0], credit.records), max(self.limit[1], credit.bytes))
            case "claimed":
                self.claimed(envelope.claimed)
            case "committed":
                self.committed(envelope.committed)
            case "drain":
                if envelope.drain.reason != pb.DRAIN_REASON_INPUT_ENDED:
                    self.drain = envelope.drain

    def claimed(self, claimed: pb.Claimed) -> None:
        partition = self.partitions[claimed.partition]
        partition.claimed(claimed.last_emit_id, self.chance)
        emit, number = partition.base
        checkpoint = claimed.checkpoint.decode() or "-"
        self.note(
            f"claim {time.monotonic_ns()} {partition.name} {claimed.epoch} {claimed.last_emit_id} {checkpoint} "
            f"{partition.next} {emit} {number}\n", sync=True)

    def committed(self, committed: pb.Committed) -> None:
        partition = self.partitions[committed.partition]
        for refusal in committed.refused:
            self.note(f"refused {partition.name} {refusal.id} {refusal.error.code}\n")
        partition.confirmed = max(partition.confirmed, committed.through)
        self.note(f"confirmed {time.monotonic_ns()} {partition.name} {committed.through}\n", sync=True)

    # ---- Emitting ----

    def step(self) -> bool:
        """An Emit of each partition that may have one. False: none."""
        moved = False
        for partition in self.partitions.values():
            if not partition.next or partition.is_finished:
                continue
            if self.ends():
                moved |= self.finish(partition)
            elif partition.next - partition.confirmed <= KEPT:
                moved |= self.emit(partition)
        return moved

    def ends(self) -> bool:
        now = time.monotonic()
        if not self.is_stopping and now - self.looked > STOP_SECONDS:
            self.looked = now
            self.is_stopping = os.path.exists(self.stop)
        return self.is_stopping

    def finish(self, partition: Partition) -> bool:
        if partition.confirmed < partition.next - 1:
            return False
        self.note(f"finished {time.monotonic_ns()} {partition.name}\n", sync=True)
        self.peer.send(frames.frame(finished=pb.Finished(partition=partition.name)))
        partition.is_finished = True
        return True

    def emit(self, partition: Partition) -> bool:
        emit = partition.next
        begin = partition.first(emit)
        numbers = range(begin, begin + load.size(emit))
        encoded = [record(partition.name, n) for n in numbers]
        reserve = self.peer.welcome.stamp_reserve
        used = (self.used[0] + len(encoded), self.used[1] + sum(len(each) + reserve for each in encoded))
        if used[0] > self.limit[0] or used[1] > self.limit[1]:
            return False
        self.used = used
        self.note(f"sent {time.monotonic_ns()} {partition.name} {emit}\n")
        self.peer.send(frames.emit_frame(
            partition.name, emit, [frames.emission(0, each) for each in encoded], load.checkpoint(emit, numbers[-1])))
        partition.next += 1
        return True

    def leave(self) -> None:
        """SHUTDOWN: what was sent is waited for (EN-3)."""
        while any(each.next and each.confirmed < each.next - 1 for each in self.partitions.values()):
            for envelope in self.peer.receive(1):
                self.handle(envelope)
        self.peer.close()


def record(partition: str, n: int) -> bytes:
    """An output without lineage."""
    message = records.Record()
    message.header.key = load.key(n).encode()
    message.header.attributes.add(name="p", text=partition)
    message.header.attributes.add(name="n", integer=n)
    message.payload = (load.payload(n) + PADDING).encode()
    return message.SerializeToString()


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    attach_forever(os.environ["STAGEWIRE_STAGE"], [], Feed().work)
