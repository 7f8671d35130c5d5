import Foundation
import Glibc
import StagewireModel
import StagewireWire

@testable import StagewireStage

/// The broker's end of the protocol in a test: blocking, one connection at a time, and strict. It holds the worker's
/// credit against every frame, and every settlement against what was delivered.
final class FakeBroker: @unchecked Sendable {  // one thread plays it
    struct Failure: Error, CustomStringConvertible { var description: String }

    let path: String
    private let directory: String
    private var listener: Int32

    init() throws {
        var template = Array("/tmp/stagewire-sdk-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Failure(description: "mkdtemp") }
        directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        path = directory + "/s"
        listener = -1
        try listen()
    }

    deinit {
        if listener >= 0 { close(listener) }
        try? FileManager.default.removeItem(atPath: directory)
    }

    func listen() throws {
        listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard bound == 0, Glibc.listen(listener, 8) == 0 else { throw Failure(description: "bind: \(errno)") }
    }

    /// Stops listening: the broker is gone.
    func disappear() {
        close(listener)
        listener = -1
        unlink(path)
    }

    var environment: WorkerEnvironment {
        var environment = WorkerEnvironment()
        environment.socket = path
        environment.stage = "shout"
        environment.instance = "shout-1"
        return environment
    }

    /// Accepts a connection and reads its Hello; waits ten seconds for it at most.
    func accept() throws -> FakeSession {
        var waiting = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
        guard poll(&waiting, 1, 10_000) == 1 else { throw Failure(description: "no worker came") }
        let descriptor = Glibc.accept(listener, nil, nil)
        guard descriptor >= 0 else { throw Failure(description: "accept: \(errno)") }
        let session = FakeSession(descriptor)
        guard case .control(.hello(let hello))? = try session.receiveFrame() else {
            throw Failure(description: "the first frame is not Hello")
        }
        session.hello = hello
        return session
    }

    /// Accepts a connection and welcomes it.
    func attach(_ change: (inout Welcome) -> Void = { _ in }) throws -> FakeSession {
        let session = try accept()
        var welcome = FakeBroker.welcome
        change(&welcome)
        try session.welcome(welcome)
        return session
    }

    static var welcome: Welcome {
        var welcome = Welcome()
        welcome.session = 1
        welcome.features = [Feature.holds]
        welcome.maxFrame = 4 << 20
        welcome.maxRecord = 1 << 20
        welcome.stampReserve = 1005
        welcome.maxStepRecords = 4096
        welcome.maxStepBytes = 1 << 20
        welcome.heartbeatMS = 10_000
        welcome.idleMS = 30_000
        welcome.leaseMS = 30_000
        welcome.config = Array("{}".utf8)
        welcome.inputs = [
            .init(
                number: 0, stage: "ingest", port: "out", maxUnsettledRecords: 4096, maxUnsettledBytes: 4 << 20,
                ordering: .key)
        ]
        welcome.outputs = [.init(number: 0, port: "out"), .init(number: 1, port: "errors")]
        welcome.pipeline = "test"
        welcome.instance = "shout-1"
        return welcome
    }

    /// Runs `stage` as a worker against what `script` plays; returns how the worker ended.
    static func play(
        _ stage: Stage, token: [UInt8] = [], patience: UInt64 = ConnectionThread.closing,
        _ script: @escaping @Sendable (FakeBroker, Hub) throws -> Void
    ) async throws -> Exit {
        let broker = try FakeBroker()
        var environment = broker.environment
        environment.token = token
        let worker = WorkerLoop(stage, environment, patience: patience)
        let running = Task { await worker.run() }
        do {
            try await onThread { try script(broker, worker.hub) }
        } catch {
            // Whatever the worker waits for, it is told to go.
            broker.disappear()
            worker.hub.leave()
            throw error
        }
        return await running.value
    }
}

/// Runs blocking work on a thread, off Swift's own small pool.
func onThread<Result: Sendable>(_ work: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Swift.Result(catching: work)) }
    }
}
