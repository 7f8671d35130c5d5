#!/usr/bin/env python3
"""A sink that appends what it gets to CRASH_LOG before it settles it, and what the broker says of settlements.

Several workers of a stage share one file, so the order of its lines is the order of effects. Lines are fields between
tabs; SESSION is this process and its connection:

    S  SESSION NS INSTANCE
    D  SESSION NS STAGE.PORT DELIVERY ATTEMPT ID ROOT PARENTS KEY P N PATH PAYLOAD     a record
    C  SESSION NS THROUGH       settled for good (feature settle-confirm): what was delivered up to there never comes again
"""

import os
import random
import time

from peer import Log, Peer, attach_forever, frames, pb

RECORDS, FRAMES = 512, 4  # granted ahead: records, and frames of the largest record
HESITATION = 0.02  # share of Deliver frames that are dawdled over, and at most how many seconds


class Sink:
    def __init__(self) -> None:
        self.log = Log(os.environ["CRASH_LOG"])
        self.chance = random.Random(os.getpid())
        self.sessions = 0

    def work(self, peer: Peer) -> None:
        self.peer = peer
        self.sessions += 1
        self.session = f"{os.getpid()}.{self.sessions}"
        self.runs: dict[int, str] = {}
        self.inputs = {each.number: f"{each.stage}.{each.port}" for each in peer.welcome.inputs}
        self.window = (RECORDS, FRAMES * peer.welcome.max_record)
        self.taken = {number: (0, 0) for number in self.inputs}
        self.granted = {number: (0, 0) for number in self.inputs}
        self.log.write(f"S\t{self.session}\t{time.monotonic_ns()}\t{peer.welcome.instance}\n")
        for number in self.inputs:
            self.grant(number)
        while True:
            for envelope in peer.receive(60):
                self.handle(envelope)

    def handle(self, envelope: pb.Envelope) -> None:
        match envelope.WhichOneof("message"):
            case "deliver":
                self.deliver(envelope.deliver)
                self.take(envelope.deliver.input, len(envelope.deliver.records), envelope.ByteSize())
            case "settled":
                self.log.write(f"C\t{self.session}\t{time.monotonic_ns()}\t{envelope.settled.through}\n")
            case "runs":
                self.runs.update((run.number, run.stage) for run in envelope.runs.runs)

    def deliver(self, deliver: pb.Deliver) -> None:
        attempts = deliver.attempts or [1] * len(deliver.records)
        head = f"D\t{self.session}\t{time.monotonic_ns()}\t{self.inputs[deliver.input]}"
        lines = [
            f"{head}\t{deliver.first_delivery + i}\t{attempt}\t{self.record(record)}\n"
            for i, (attempt, record) in enumerate(zip(attempts, deliver.records, strict=True))
        ]
        self.dawdle()
        self.log.write("".join(lines))
        self.dawdle()
        last = deliver.first_delivery + len(lines) - 1
        self.peer.send(frames.settle_frame([frames.accepted([(deliver.first_delivery, last)], [])]))

    def record(self, record) -> str:
        lineage, header = record.lineage, record.header
        values = {each.name: each for each in header.attributes}
        partition = values["p"].text if "p" in values else "-"
        number = values["n"].integer if "n" in values else 0
        parents = ",".join(each.hex() for each in lineage.parents)
        path = "/".join(self.runs.get(hop.run, f"?{hop.run}") for hop in lineage.hops)
        payload = record.payload.decode().rstrip()
        return (
            f"{lineage.id.hex()}\t{lineage.root.hex()}\t{parents}\t{header.key.decode()}\t{partition}\t{number}\t{path}\t{payload}")

    def dawdle(self) -> None:
        if self.chance.random() < HESITATION:
            time.sleep(self.chance.uniform(0, HESITATION))

    def take(self, number: int, count: int, size: int) -> None:
        """A frame has left the buffer; its length is the safe side (CR-5)."""
        records, total = self.taken[number]
        self.taken[number] = (records + count, total + size)
        left = [granted - taken for granted, taken in zip(self.granted[number], self.taken[number])]
        if any(each < window / 2 for each, window in zip(left, self.window)):
            self.grant(number)

    def grant(self, number: int) -> None:
        records, size = (taken + window for taken, window in zip(self.taken[number], self.window))
        self.granted[number] = (records, size)
        self.peer.send(frames.frame(credit=pb.Credit(number=number, records=records, bytes=size)))


if __name__ == "__main__":
    attach_forever(os.environ["STAGEWIRE_STAGE"], ["settle-confirm"], Sink().work)
