import Foundation
import StagewireModel
import Testing

/// The test program started again as a worker: the host starts real processes, and these speak the protocol.
@Suite struct WorkerEntry {
    private static let role = "TEST_WORKER_ROLE"

    /// What to write into a stage to have its workers do the part of `Flow` that `role` names.
    static func launch(_ role: String, count: UInt64 = 0) -> Launch {
        var path = [CChar](repeating: 0, count: 4096)
        let length = readlink("/proc/self/exe", &path, path.count)
        let program = String(decoding: path.prefix(max(0, length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return Launch(
            command: [program, "--testing-library", "swift-testing", "--filter", "WorkerEntry"],
            environment: [Self.role: role, "TEST_WORKER_COUNT": "\(count)"])
    }

    @Test(.enabled(if: ProcessInfo.processInfo.environment[role] != nil))
    func work() throws {
        let environment = ProcessInfo.processInfo.environment
        let path = try #require(environment["STAGEWIRE_SOCKET"])
        let stage = try #require(environment["STAGEWIRE_STAGE"])
        let token = try #require(environment["STAGEWIRE_TOKEN"])
        let bytes = stride(from: 0, to: token.utf8.count, by: 2).compactMap { offset in
            UInt8(token.dropFirst(offset).prefix(2), radix: 16)
        }
        let worker = try TestWorker(path, stage: stage, token: bytes)
        print("worker \(worker.welcome.instance) of \(stage) is at work")
        var reason: CloseReason?
        switch environment[Self.role] {
        case "source":
            try Flow.source(worker, count: UInt64(environment["TEST_WORKER_COUNT"] ?? "") ?? 0)
            reason = try worker.awaitClose()
        case "transform": reason = try Flow.transform(worker)
        case "poisoned": reason = try poisoned(worker)
        case "leaver": exit(0)
        case "parent":
            try leaveChild(holding: worker.peer.descriptor)
            exit(0)
        default: exit(64)
        }
        exit(reason?.code == 0 ? 0 : 1)
    }

    /// A child that lives on and has the worker's connection and its output open.
    private func leaveChild(holding descriptor: Int32) throws {
        _ = fcntl(descriptor, F_SETFD, 0)
        // Not by Foundation, which gives each child a process group of its own.
        let words: [String] = ["sh", "-c", "echo child $$; exec sleep 1000"]
        let arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        var pid = pid_t()
        try #require(posix_spawn(&pid, "/bin/sh", nil, nil, arguments, environ) == 0)
        usleep(200_000)
    }

    /// A transform that dies of record 77.
    private func poisoned(_ worker: TestWorker) throws -> CloseReason? {
        try worker.allow()
        do {
            while true {
                let delivery = try worker.next()
                if delivery.records.contains(where: { Flow.number($0) == 77 }) { kill(getpid(), SIGKILL) }
                try worker.forward(delivery)
            }
        } catch let ended as TestWorker.Ended {
            return ended.reason
        }
    }
}
