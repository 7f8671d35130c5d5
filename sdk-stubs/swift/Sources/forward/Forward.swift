import StagewireStage

// The worker of the pipeline benchmark: `make bench` in the root, docs/BENCHMARKS.md.

/// Every record goes on as it is.
@main struct Forward {
    static func main() async {
        await Worker.run(.transform { record, out in out.emit(record.output()) })
    }
}
