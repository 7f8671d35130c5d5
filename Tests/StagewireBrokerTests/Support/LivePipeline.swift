import Foundation
import StagewireModel

/// A `stagewire run` whose workers the test plays, and commands that ask it: each with a directory of its own, as their
/// output goes there. `XDG_RUNTIME_DIR` is the pipeline's directory.
final class LivePipeline {
    static let yaml = """
        pipeline: sensors
        durability: memory
        limits: {drain: 1s, dead_letter_records: 10}
        stages:
          ingest: {attach: external, source: true}
          score: {attach: external, from: ingest}
        """

    let directory: String
    let program: Program
    private var commands = 0

    /// Where workers attach.
    var path: String { directory + "/stagewire/sensors.sock" }
    var control: String { directory + "/stagewire/sensors.control.sock" }
    private var environment: [String: String] { ["XDG_RUNTIME_DIR": directory] }

    init(in directory: String) async throws {
        self.directory = directory
        program = try Program(["run", "p.yaml"], in: directory, environment: ["XDG_RUNTIME_DIR": directory])
        try await program.says("stages")
    }

    static func with(_ yaml: String = yaml, _ body: (LivePipeline) async throws -> Void) async throws {
        try await Program.inDirectory(yaml) { directory in
            let pipeline = try await LivePipeline(in: directory)
            defer { if pipeline.program.process.isRunning { pipeline.program.signal(SIGKILL) } }
            try await body(pipeline)
        }
    }

    /// Starts a command on the pipeline.
    func start(_ arguments: String...) throws -> Program {
        commands += 1
        let own = "\(directory)/command-\(commands)"
        try FileManager.default.createDirectory(atPath: own, withIntermediateDirectories: true)
        return try Program(arguments, in: own, environment: environment)
    }

    func run(_ arguments: String...) async throws -> Program.Result { try await run(arguments) }

    func run(_ arguments: [String]) async throws -> Program.Result {
        commands += 1
        let own = "\(directory)/command-\(commands)"
        try FileManager.default.createDirectory(atPath: own, withIntermediateDirectories: true)
        return try await Program(arguments, in: own, environment: environment).wait()
    }

    /// A source that has emitted `count` records, and a worker of `score` that has rejected all of them.
    func reject(
        _ count: UInt64, payload: @escaping @Sendable (UInt64) -> [UInt8] = { Array("\($0)".utf8) },
        change: @escaping @Sendable (inout TestRecord) -> Void = { _ in }
    ) async throws -> (source: TestWorker, score: TestWorker) {
        let path = path
        struct Workers: @unchecked Sendable {  // handed over whole: nobody uses it on two threads
            var source, score: TestWorker
        }
        let workers = try await onThread {
            let source = try TestWorker(path, stage: "ingest")
            _ = try source.claim("p")
            let records = (0..<count).map { number in
                var record = TestRecord(key: Array("k\(number)".utf8), payload: payload(number))
                change(&record)
                return record
            }
            try source.emit("p", id: 1, records)
            try source.awaitCommitted(through: 1)
            let score = try TestWorker(path, stage: "score")
            try score.allow()
            var rejected: UInt64 = 0
            while rejected < count {
                let delivery = try score.next()
                rejected += UInt64(delivery.records.count)
                let last = delivery.first + UInt64(delivery.records.count) - 1
                try score.settle(first: delivery.first, last: last, kind: .rejected)
            }
            try score.peer.barrier()
            return Workers(source: source, score: score)
        }
        return (workers.source, workers.score)
    }
}
