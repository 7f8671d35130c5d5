"""Pipelines of Stagewire: what stands in the file, and how one is run."""

import dataclasses

PROGRAM = "StagewireBenchWorker"
LARGE = 256 * 1024  # payloads from here on need higher limits than the defaults


@dataclasses.dataclass(frozen=True)
class Shape:
    """producer -> worker-1 -> ... -> worker-n -> sinks; every stage attached by the benchmark."""
    chain: int = 1  # worker stages, one after the other
    workers: int = 1  # processes of each worker stage
    sinks: int = 1  # stages that read what the last worker stage emits
    slow: int = 0  # records per second that the last sink takes at most; 0: as many as come
    overflow: str = "block"  # of the last sink
    durability: str = "memory"
    lease: str = "30s"

    @property
    def deliveries(self):
        """How often the broker hands over each record that enters."""
        return self.chain + self.sinks

    @property
    def worker_names(self):
        return ["worker"] if self.chain == 1 else [f"worker-{i + 1}" for i in range(self.chain)]

    @property
    def sink_names(self):
        return ["sink"] if self.sinks == 1 else [f"sink-{i + 1}" for i in range(self.sinks)]


def pipeline_text(shape, socket, state, size):
    lines = ["pipeline: bench", f"durability: {shape.durability}", f"state: {state}", f"socket: {socket}", *limits(size),
             "stages:", "  producer:", "    attach: external", "    source: true"]
    source = "producer"
    for name in shape.worker_names:
        lines += stage(name, source, shape, max_workers=max(16, shape.workers))
        source = name
    for name in shape.sink_names:
        last = name == shape.sink_names[-1]
        lines += stage(name, source, shape, overflow=shape.overflow if last else "block")
    return "\n".join(lines) + "\n"


def stage(name, source, shape, max_workers=16, overflow="block"):
    lines = [f"  {name}:", "    attach: external", f"    from: {source}", "    ordering: key", f"    lease: {shape.lease}"]
    if max_workers != 16:
        lines.append(f"    max_workers: {max_workers}")
    if overflow != "block":
        lines.append(f"    overflow: {overflow}")
    return lines


def limits(size):
    """Room for a few records of `size` bytes where the defaults have none."""
    if size < LARGE:
        return []
    record = size // 1024 + 64
    return ["limits:", f"  max_record: {record}KiB", f"  max_step_bytes: {max(1024, record)}KiB",
            f"  window_bytes: {max(16384, 4 * record)}KiB", f"  unsettled_bytes: {max(4096, 4 * record)}KiB"]


def own_workers(run, shape):
    return [run.start_stage(run.settings.bin / PROGRAM, "worker", stage=name, instance=instance + 1)
            for name in shape.worker_names for instance in range(shape.workers)]


def start(run, shape, start_workers=own_workers):
    """Starts broker and stages; gives back the counters of each sink, the first of which are the run's own."""
    settings, program = run.settings, run.settings.bin / PROGRAM
    pipeline = run.directory / "pipeline.yaml"
    pipeline.write_text(pipeline_text(shape, run.socket, run.disk(), run.case.size))
    run.broker = run.start(settings.bin / "stagewire", "run", pipeline, "--quiet")
    run.wait("the socket", run.socket.exists)
    more = ["--header"] if run.case.header else []
    sinks = [run.counters]
    for index, name in enumerate(shape.sink_names):
        if index:
            sinks.append(type(run.counters)(run.directory / f"counters-{index}"))
        slow = ["--slow", shape.slow] if name == shape.sink_names[-1] else []
        run.sink = run.start_stage(program, "sink", *slow, stage=name, counters=sinks[index])
    run.workers = start_workers(run, shape)
    run.start_stage(program, "producer", *more)
    return sinks


def end(run, patience=20):
    """As a job ends: the source finishes, everything is settled, everybody exits 0, all is accounted for."""
    counters = run.counters
    counters["stop"] = 1
    run.wait("a clean end", lambda: all(process.poll() == 0 for process in run.processes), patience)
    run.check()
    if counters["received"] != counters["emitted"]:
        run.fail(f"{counters['emitted']} records were emitted, {counters['received']} arrived")
