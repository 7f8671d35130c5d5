"""The command line."""

import argparse
import dataclasses
import os
import pathlib
import sys

from . import languages, scale
from .run import ROOT
from .systems import BY_NAME, SYSTEMS

PARTS = ("matrix", "slow", "scale", "languages", "life")
OURS = [system.name for system in SYSTEMS if not system.peer]
PEERS = [system.name for system in SYSTEMS if system.peer]

# What QUICK=1 changes: half a minute, one round, the peers that are fast to run.
FULL = dict(rounds=3, seconds=1.2, disk_seconds=1.0, latency_seconds=3.0, warm_up=0.6, scale_rounds=2, slow_seconds=12.0, stuck_seconds=60.0,
            idle_seconds=10.0, starts=10, sizes="100,1024,65536", peers="all", scale="all", languages="all",
            systems="all", parts="all")
QUICK = dict(rounds=1, seconds=0.6, disk_seconds=0.3, latency_seconds=1.0, warm_up=0.3, scale_rounds=1, slow_seconds=2.0, stuck_seconds=10.0,
             idle_seconds=1.0, starts=2, sizes="100", peers="grpc,redis", scale="none", languages="none",
             systems="stagewire,control,relay,stagewire-disk", parts="matrix,life")


@dataclasses.dataclass
class Settings:
    """Everything that a run of the benchmark depends on."""
    bin: pathlib.Path
    peers: pathlib.Path
    scratch: str
    disk: pathlib.Path
    build: pathlib.Path
    rounds: int
    seconds: float
    disk_seconds: float
    latency_seconds: float
    warm_up: float
    scale_rounds: int
    slow_seconds: float
    stuck_seconds: float
    idle_seconds: float
    starts: int
    sizes: list
    rate: int
    keys: int
    header: bool
    parts: list
    system_names: list
    groups: list
    language_names: list
    update: str
    command: str


def chosen(text, known, what):
    """The names in `text`, which may be `all` or `none`; others end the program."""
    names = list(known) if text == "all" else [name for name in text.split(",") if name and text != "none"]
    strangers = [name for name in names if name not in known]
    if strangers:
        sys.exit(f"bench: there is no {what} {', '.join(strangers)}; there are {', '.join(known)}")
    return names


def parser(defaults):
    p = argparse.ArgumentParser(
        prog="bench.py", description="Measures Stagewire, a C relay and other systems in turns: what a record costs, how fast "
        "and how late it arrives, and what happens when a consumer is slow.")
    p.add_argument("--parts", default=defaults["parts"], help=f"of {', '.join(PARTS)}")
    p.add_argument("--systems", default=defaults["systems"], help=f"of {', '.join(OURS)}; all or none")
    p.add_argument("--peers", default=defaults["peers"], help=f"of {', '.join(PEERS)}; all or none")
    p.add_argument("--scale", default=defaults["scale"], help=f"of {', '.join(scale.GROUPS)}; all or none")
    p.add_argument("--languages", default=defaults["languages"], help=f"of workers: {', '.join(languages.BY_NAME)}; all or none")
    p.add_argument("--rounds", type=int, default=defaults["rounds"])
    p.add_argument("--scale-rounds", type=int, default=defaults["scale_rounds"])
    for name in ("seconds", "disk_seconds", "latency_seconds", "warm_up", "slow_seconds", "stuck_seconds", "idle_seconds"):
        p.add_argument("--" + name.replace("_", "-"), type=float, default=defaults[name])
    p.add_argument("--starts", type=int, default=defaults["starts"], help="of the five-stage pipeline")
    p.add_argument("--sizes", default=defaults["sizes"], help="payload bytes, separated by commas")
    p.add_argument("--rate", type=int, default=1000, help="records per second for latency; 0: leave it out")
    p.add_argument("--keys", type=int, default=64)
    p.add_argument("--no-header", dest="header", action="store_false", help="records without schema and key")
    p.add_argument("--bin", type=pathlib.Path, default=ROOT / ".build" / "release", help="where our programs are")
    p.add_argument("--peer-programs", type=pathlib.Path, default=ROOT / "build" / "bench", help="and those of the peers, and workers in other languages")
    p.add_argument("--update", metavar="FILE", default="", help="replace the tables in this file and draw the plots beside it")
    return p


def read(words=None):
    defaults = QUICK if os.environ.get("QUICK") == "1" else FULL
    o = parser(defaults).parse_args(words)
    names = chosen(o.systems, OURS, "system") + chosen(o.peers, PEERS, "peer")
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    given = " ".join(sys.argv[1:] if words is None else words)
    quick = "QUICK=1 " if defaults is QUICK else ""
    return Settings(
        bin=o.bin, peers=o.peer_programs, build=build, disk=build,
        # Counters in memory, and a socket path that is short enough.
        scratch="/dev/shm" if os.access("/dev/shm", os.W_OK) else None,
        sizes=[int(size) for size in o.sizes.split(",") if size], parts=chosen(o.parts, PARTS, "part"),
        # In the order of the table, whatever the order on the command line.
        system_names=[name for name in BY_NAME if name in names], groups=chosen(o.scale, scale.GROUPS, "group"),
        language_names=chosen(o.languages, languages.BY_NAME, "language"),
        command=f"{quick}python3 Sources/StagewireBench/bench.py {given}".strip(),
        **{name: getattr(o, name) for name in (
            "rounds", "seconds", "disk_seconds", "latency_seconds", "warm_up", "scale_rounds", "slow_seconds", "stuck_seconds",
            "idle_seconds", "starts", "rate", "keys", "header", "update")})
