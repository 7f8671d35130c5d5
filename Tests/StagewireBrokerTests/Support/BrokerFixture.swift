import Foundation
import Logging
import StagewireModel
import StagewireRouter
import Synchronization

@testable import StagewireBroker

/// A broker in a directory of its own, for one test.
final class BrokerFixture: Sendable {
    let directory: String
    let broker: Broker
    let log: LogRecorder

    var path: String { broker.socketPath }

    init(
        _ pipeline: PipelineDefinition, environment: [String: String] = [:], start: Bool = true,
        timing: (inout HostTiming) -> Void = { _ in }, change: (inout Broker.Settings) -> Void = { _ in }
    ) throws {
        directory = try Self.temporaryDirectory()
        log = LogRecorder()
        var settings = Broker.Settings(directory: directory, environment: environment)
        settings.socketPath = directory + "/run/test.sock"
        timing(&settings.timing)
        change(&settings)
        broker = try Broker(pipeline, settings, logger: log.logger)
        if start { broker.start() }
    }

    /// Short, for a socket's path has to fit into 107 bytes.
    static func temporaryDirectory() throws -> String {
        var template = Array("/tmp/stagewire-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Peer.Failure(description: "mkdtemp: \(errno)") }
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// What the host says of the workers of `stage`.
    func workers(_ stage: Int) async throws -> [HostedWorker] {
        let lifecycle = broker.lifecycle
        return try await broker.group.next().submit { lifecycle.value.host.workers(stage: stage) }.get()
    }

    func end() async throws -> RunReport {
        broker.abandon()
        return try await finished()
    }

    func finished() async throws -> RunReport {
        let report = try await broker.finished()
        try? FileManager.default.removeItem(atPath: directory)
        return report
    }

    /// Runs `body` and ends the broker, whatever happens.
    static func with(
        _ pipeline: PipelineDefinition, _ body: (BrokerFixture) async throws -> Void
    ) async throws {
        let fixture = try BrokerFixture(pipeline)
        do {
            try await body(fixture)
        } catch {
            _ = try await fixture.end()
            throw error
        }
        _ = try await fixture.end()
    }
}

/// Keeps what was logged.
final class LogRecorder: Sendable {
    private let recorded = Mutex<[String]>([])

    var lines: [String] { recorded.withLock { $0 } }

    /// Waits for a line, for twenty seconds at most.
    func first(containing words: String) async throws -> String {
        for _ in 0..<1000 {
            if let line = lines.first(where: { $0.contains(words) }) { return line }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw Peer.Failure(description: "\(words) was not logged: \(lines)")
    }

    var logger: Logger {
        Logger(label: "test") { _ in Handler(recorder: self) }
    }

    private struct Handler: LogHandler {
        let recorder: LogRecorder
        var logLevel = Logger.Level.debug
        var metadata: Logger.Metadata = [:]
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            var label = ""
            if let stage = event.metadata?["stage"] {
                label = "[\(stage)\(event.metadata?["instance"].map { "/\($0)" } ?? "")] "
            }
            recorder.recorded.withLock { $0.append("\(event.level): \(label)\(event.message)") }
        }
    }
}

extension PipelineDefinition {
    /// source -> transform -> sink, whose workers the test starts itself.
    static func chain(_ change: (inout PipelineDefinition) -> Void = { _ in }) -> PipelineDefinition {
        var pipeline = PipelineDefinition(
            name: "test",
            stages: [
                StageDefinition(name: "source", isSource: true),
                StageDefinition(name: "transform", inputs: [InputDefinition(stage: 0)]),
                StageDefinition(name: "sink", inputs: [InputDefinition(stage: 1)]),
            ])
        change(&pipeline)
        return pipeline
    }
}

/// Runs blocking work on a thread, off Swift's own small pool.
func onThread<Result: Sendable>(_ work: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Swift.Result(catching: work)) }
    }
}
