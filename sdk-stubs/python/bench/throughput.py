"""Records per second of this SDK alone: a worker process against a broker that does nothing.

    python bench/throughput.py [RECORDS]

The broker runs in a process of its own and only copies prepared bytes, so the worker is what is measured.
Records have 100 bytes of payload, a header (schema, key, event time) and two hops of lineage.
"""

import os
import resource
import socket
import struct
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

import stagewire  # noqa: E402
from stagewire import frames  # noqa: E402
from stagewire.v1 import envelope_pb2 as pb  # noqa: E402
from stagewire.v1 import record_pb2  # noqa: E402

BATCH = 512


@stagewire.transform
def forward(record):
    yield record.emit()


@stagewire.transform
def rewrite(record):
    return record.emit(payload=record.payload.upper(), attributes={"size": len(record.payload)})


@stagewire.transform
def json_score(record):
    reading = record.json()
    yield record.emit(json={**reading, "prediction": "normal"}, attributes={"prediction": "normal"})


@stagewire.sink
def discard(record):
    record.payload


@stagewire.transform(workers=4)
def in_threads(record):
    yield record.emit()


STAGES = {each.name: each for each in (forward, rewrite, json_score, discard, in_threads)}


def prepared_records(stage: str) -> bytes:
    payload = b"p" * 100
    if stage == "json_score":
        payload = b'{"sensor":"machine","time":"2013-12-02T21:15:00Z","celsius":23.315,"note":"' + b"x" * 23 + b'"}'
    deliver = pb.Deliver()
    for number in range(BATCH):
        record = deliver.records.add(payload=payload)
        record.lineage.id = record.lineage.root = struct.pack(">QQ", 1, number)
        record.lineage.parents.append(struct.pack(">QQ", 2, number))
        record.lineage.ingest_time = 1_700_000_000_000_000
        record.lineage.hops.extend([record_pb2.Hop(run=1, delta=10), record_pb2.Hop(run=2, delta=900)])
        header = record.header
        header.schema, header.schema_version, header.key = "sensor.raw", 1, b"s-%d" % (number % 10)
        header.event_time = 1_700_000_000_000_000
    return deliver.SerializeToString()


def receive(connection: socket.socket, reader: frames.FrameReader):
    return reader.feed(connection.recv(1 << 20))


def broker(listener: socket.socket, stage: str, total: int) -> tuple[float, int]:
    """Delivers `total` records as far as credit goes. Seconds from the first to the last settlement."""
    connection, _ = listener.accept()
    reader, records = frames.FrameReader(1 << 26), prepared_records(stage)
    for _ in receive(connection, reader):
        pass
    connection.sendall(frames.frame(welcome=pb.Welcome(
        version=1000, session=1, max_frame=4 << 20, max_record=1 << 20, stamp_reserve=800,
        max_step_records=4096, max_step_bytes=1 << 20, lease_ms=30_000,
        inputs=[pb.Input(number=0, stage="s", max_unsettled_records=4096, max_unsettled_bytes=4 << 20)],
        outputs=[pb.Output(number=0, port="out")])))
    connection.sendall(frames.frame(credit=pb.Credit(records=1 << 40, bytes=1 << 50)))
    state = {"granted": 0, "settled": 0, "bytes": 0}
    changed = threading.Condition()

    def read():
        while state["settled"] < total:
            for content in receive(connection, reader):
                envelope = pb.Envelope.FromString(content)
                with changed:
                    if envelope.HasField("credit"):
                        state["granted"] = envelope.credit.records
                    for each in envelope.settle.outcomes:
                        state["settled"] += (each.last or each.first) - each.first + 1
                    changed.notify()

    thread = threading.Thread(target=read)
    thread.start()
    begin = time.perf_counter()
    for first in range(1, total + 1, BATCH):
        with changed:
            changed.wait_for(lambda: state["granted"] >= first + BATCH - 1
                             and first + BATCH - 1 - state["settled"] <= 4096)
        deliver = b"\x10" + frames.varint(first) + records
        body = b"\x08\xe8\x07" + frames.field(b"\x42", deliver)
        connection.sendall(struct.pack(">I", len(body)) + body)
    thread.join()
    seconds = time.perf_counter() - begin
    connection.sendall(frames.frame(close=pb.Close()))
    return seconds


def measure(name: str, total: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "broker")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        worker = os.fork()
        if worker == 0:
            listener.close()
            os.environ["STAGEWIRE_SOCKET"] = path
            stagewire.run(STAGES[name])
            os._exit(0)
        seconds = broker(listener, name, total)
        _, status, usage = os.wait4(worker, 0)
    cpu = usage.ru_utime + usage.ru_stime
    print(f"{name:12} {total / seconds:>10,.0f} records/s   {cpu / total * 1e6:.2f} us of CPU per record"
          f"   {usage.ru_maxrss // 1024} MiB" + ("" if status == 0 else f"   exit {status}"))


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
    for stage_name in STAGES:
        measure(stage_name, count // BATCH * BATCH)
