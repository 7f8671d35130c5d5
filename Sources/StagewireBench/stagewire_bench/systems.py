"""What is measured: each system with its configuration, how it is started, and what it needs to be there."""

import dataclasses
import shutil
from typing import Callable

from . import peers, stagewire
from .process import version_in
from .run import Run
from .stagewire import Shape

DURABLE, MEMORY = "durable", "memory"


@dataclasses.dataclass(frozen=True)
class System:
    name: str  # on the command line and in bench.json
    title: str  # in tables
    start: Callable[[Run], None]  # broker and stages
    configuration: str  # what stands beside its figures
    handover: str  # what is known about a record once it is sent on
    programs: tuple = ()  # of ours: (directory in the settings, name)
    commands: tuple = ()  # of the system
    packages: str = ""  # Debian's, to have it
    version: tuple = ()  # a command that tells it
    peer: bool = True
    kind: str = MEMORY
    again: str = ""  # the system that this one is once more
    batch: int = 100  # records in a message or pipeline
    patience: float = 5  # seconds without news after which what has not arrived is lost

    def missing(self, settings):
        """What is not there, in words; empty when it can be measured."""
        absent = [f"{name} in {getattr(settings, where)}" for where, name in self.programs
                  if not (getattr(settings, where) / name).is_file()]
        absent += [command for command in self.commands if not shutil.which(command)]
        return ", ".join(absent)

    def version_text(self, settings):
        return version_in(str(word).format(bin=settings.bin) for word in self.version)


def of_stagewire(durability):
    return lambda run: stagewire.start(run, Shape(durability=durability)) and None


OURS = (("bin", "stagewire"), ("bin", "StagewireBenchWorker"))
STAGEWIRE = dict(programs=OURS, version=("{bin}/stagewire", "--version"), peer=False)
REDELIVERY = 40  # JetStream delivers again what was not acknowledged for 30 s, such as that of a connection it has closed
EACH = "each record settled by itself, order per key, lineage"

SYSTEMS = (
    System("stagewire", "Stagewire", of_stagewire("memory"), "`durability: memory`, default limits, C workers", EACH,
           **STAGEWIRE),
    System("control", "Stagewire again (A/A)", of_stagewire("memory"),
           "the same once more, under another name: what differs is noise", EACH, again="stagewire", **STAGEWIRE),
    System("relay", "C relay (the floor)", peers.start_relay,
           "writes of 64 KiB, 1 MiB in each hop; knows bytes only", "bytes acknowledged, window",
           programs=(("bin", "StagewireRelay"),), peer=False),
    System("grpc", "gRPC C++, 100 a message", peers.start_grpc,
           "bidirectional streams, Unix socket, synchronous server, 1 MiB in each hop", "counts back every 128 KiB, window",
           programs=(("peers", "grpc"),), packages="libgrpc++-dev protobuf-compiler-grpc",
           version=("pkg-config", "--modversion", "grpc++")),
    System("grpc-single", "gRPC C++, 1 a message", peers.start_grpc, "the same, one record in each message",
           "counts back every 128 KiB, window", programs=(("peers", "grpc"),), batch=1,
           packages="libgrpc++-dev protobuf-compiler-grpc", version=("pkg-config", "--modversion", "grpc++")),
    System("zeromq", "ZeroMQ PUSH/PULL", peers.start_zeromq,
           "a `zmq_proxy` for each hop, `ipc`, high-water marks of 1,000 messages", "none",
           programs=(("peers", "zeromq"),), packages="libzmq3-dev", version=("pkg-config", "--modversion", "libzmq")),
    System("nats", "NATS core", peers.start_nats,
           "C client, loopback TCP; the sink reports what it took, the producer keeps 32,768 records or 16 MiB ahead at most",
           "none", programs=(("peers", "nats"),), commands=("nats-server",), packages="nats-server libnats-dev",
           version=("nats-server", "--version")),
    System("redis", "Redis Streams", peers.start_redis,
           "Unix socket, no AOF, pipelines of 100 XADD, two under way; XREADGROUP of 500 ahead, then XACK and XTRIM; the "
           "producer waits for XLEN below 32,768 or 16 MiB", "XACK of each record",
           programs=(("peers", "redis"),), commands=("redis-server",), packages="redis-server libhiredis-dev",
           version=("redis-server", "--version")),
    System("jetstream", "NATS JetStream, memory", peers.start_jetstream,
           "memory storage, asynchronous publishing with up to 4,096 pending, fetches of 500, `AckAll`, interest "
           "retention; window as for NATS core", "each publish acknowledged, batches acknowledged",
           programs=(("peers", "nats"),), commands=("nats-server",), packages="nats-server libnats-dev",
           version=("nats-server", "--version"), patience=REDELIVERY),
    System("stagewire-relaxed", "Stagewire, relaxed", of_stagewire("relaxed"),
           "`durability: relaxed`: written at once, synced now and then", EACH, kind=DURABLE, **STAGEWIRE),
    System("stagewire-disk", "Stagewire, disk", of_stagewire("disk"),
           "`durability: disk`: `fdatasync` before anything is confirmed or delivered", EACH, kind=DURABLE, **STAGEWIRE),
    System("redis-aof", "Redis Streams, fsync always", peers.start_redis_aof,
           "as above with `appendonly yes`, `appendfsync always`", "XACK of each record, synced", kind=DURABLE,
           programs=(("peers", "redis"),), commands=("redis-server",), packages="redis-server libhiredis-dev",
           version=("redis-server", "--version")),
    System("jetstream-file", "NATS JetStream, file", peers.start_jetstream_file,
           "file storage; `sync_interval: always` where the server knows it (2.10); 2.9 syncs every two minutes and "
           "cannot be told otherwise", "each publish acknowledged, written; synced only with 2.10", kind=DURABLE,
           programs=(("peers", "nats"),), commands=("nats-server",), packages="nats-server libnats-dev",
           version=("nats-server", "--version"), patience=REDELIVERY),
)

BY_NAME = {system.name: system for system in SYSTEMS}
