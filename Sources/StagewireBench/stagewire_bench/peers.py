"""How the relay and the peers are started. Servers listen on Unix sockets or on the loopback interface only."""

import json
import subprocess

from .run import Failed


def start_relay(run):
    relay = run.settings.bin / "StagewireRelay"
    run.broker = run.start(relay, "relay", "--socket", run.socket)
    # Its stages number all records in one sequence: one key.
    run.start_stages(relay, "--keys", 1)


def words(run):
    return ["--batch", run.batch, "--window", run.case.window]


def start_grpc(run):
    program = run.settings.peers / "grpc"
    run.broker = run.start(program, "broker", "--socket", run.socket, "--rate", run.case.rate, *words(run))
    run.wait("the socket", run.socket.exists)
    run.start_stages(program, *words(run))


def start_zeromq(run):
    program = run.settings.peers / "zeromq"
    run.broker = run.start(program, "broker", "--socket", run.socket)
    run.wait("the sockets", lambda: all((run.directory / f"s-{end}").exists() for end in range(4)))
    run.start_stages(program, *words(run))


# ---- Redis ----

def start_redis(run, *durability):
    program = run.settings.peers / "redis"
    run.broker = run.start("redis-server", "--port", 0, "--unixsocket", run.socket, "--save", "", "--dir",
                           run.disk() if durability else run.directory, *(durability or ("--appendonly", "no")))
    run.wait("the socket", run.socket.exists)
    run.call(program, "prepare", "--socket", run.socket)
    run.start_stages(program, *words(run))


def start_redis_aof(run):
    start_redis(run, "--appendonly", "yes", "--appendfsync", "always")


# ---- NATS ----

def nats_configuration(run, storage=None, sync=""):
    lines = ['listen: "127.0.0.1:-1"', f'ports_file_dir: "{run.directory}"', "max_payload: 8MB"]
    if storage:
        lines += ["jetstream {", f'  store_dir: "{storage}"', *([f"  sync_interval: {sync}"] if sync else []), "}"]
    return "\n".join(lines) + "\n"


def understood(configuration):
    """Whether this version of the server knows everything in the file."""
    return subprocess.run(["nats-server", "-t", "-c", str(configuration)], capture_output=True).returncode == 0


def start_nats_server(run, storage=None, sync=""):
    """Starts the server; gives back its address, with a port of the system's choice."""
    file = run.directory / "nats.conf"
    file.write_text(nats_configuration(run, storage, sync))
    if sync and not understood(file):
        file.write_text(nats_configuration(run, storage))
    run.broker = run.start("nats-server", "-c", file)
    ports = run.directory / f"nats-server_{run.broker.pid}.ports"
    run.wait("the server's port", lambda: ports.exists() and ports.stat().st_size > 0)
    try:
        return json.loads(ports.read_text())["nats"][0]
    except (ValueError, LookupError) as error:
        raise Failed(f"{ports.name} cannot be read") from error


def start_nats(run):
    address = start_nats_server(run)
    run.start_stages(run.settings.peers / "nats", *words(run), address=address, ready="ready")


def start_jetstream(run, *, file=False):
    program = run.settings.peers / "nats"
    address = start_nats_server(run, run.disk(), "always" if file else "")
    run.call(program, "prepare", "--header", *(["--ranges"] if file else []), "--socket", address)
    run.start_stages(program, "--header", *words(run), address=address)


def start_jetstream_file(run):
    start_jetstream(run, file=True)
