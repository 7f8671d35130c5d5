import Foundation
import Testing

@testable import StagewireBroker

/// A running `stagewire`. Its output goes to files: nobody has to read along.
final class Program {
    struct Result {
        var code: Int32
        var output: String
        var error: String
    }

    let process = Process()
    private let directory: String
    private let terminal: PseudoTerminal?

    /// - Parameters:
    ///   - terminal: takes standard error instead of the file.
    ///   - input: what standard input has, through a pipe; nil: the test's own.
    ///   - environment: on top of the test's own.
    init(
        _ arguments: [String], in directory: String, terminal: PseudoTerminal? = nil, input: String? = nil,
        environment: [String: String] = [:]
    ) throws {
        self.directory = directory
        self.terminal = terminal
        process.executableURL = URL(fileURLWithPath: Self.path)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { _, new in new }
        process.currentDirectoryURL = URL(fileURLWithPath: directory)
        for name in ["out", "err"] {
            _ = FileManager.default.createFile(atPath: "\(directory)/\(name)", contents: nil)
        }
        process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: directory + "/out"))
        process.standardError =
            try terminal?.openOtherEnd() ?? FileHandle(forWritingTo: URL(fileURLWithPath: directory + "/err"))
        let pipe = input.map { _ in Pipe() }
        if let pipe { process.standardInput = pipe }
        try process.run()
        guard let pipe, let input else { return }
        try pipe.fileHandleForWriting.write(contentsOf: Data(input.utf8))
        try pipe.fileHandleForWriting.close()
    }

    /// The program under test stands beside the tests.
    static var path: String {
        var path = [CChar](repeating: 0, count: 4096)
        let length = readlink("/proc/self/exe", &path, path.count)
        let test = String(decoding: path.prefix(max(0, length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return test[..<(test.lastIndex(of: "/") ?? test.startIndex)] + "/stagewire"
    }

    /// A test that fails leaves nothing running.
    deinit {
        if process.isRunning { signal(SIGKILL) }
    }

    var output: String { read("out") }
    var error: String { terminal?.read() ?? read("err") }

    private func read(_ name: String) -> String {
        String(decoding: FileManager.default.contents(atPath: "\(directory)/\(name)") ?? Data(), as: UTF8.self)
    }

    func signal(_ number: Int32) { kill(process.processIdentifier, number) }

    func wait() async throws -> Result {
        // `Process` is not Sendable; its exit is polled, bounded.
        for _ in 0..<1500 where process.isRunning { try await Task.sleep(for: .milliseconds(20)) }
        if process.isRunning { signal(SIGKILL) }
        process.waitUntilExit()
        let code = process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
        return Result(code: code, output: read("out"), error: error)
    }

    /// Waits until standard error has these words.
    func says(_ words: String) async throws {
        for _ in 0..<500 {
            if error.contains(words) { return }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw Peer.Failure(description: "\(words) was not said: \(error)")
    }

    /// prlimit(1) of util-linux changes the limit of a running process.
    func limitFiles(_ count: Int) {
        let prlimit = Process()
        prlimit.executableURL = URL(fileURLWithPath: "/usr/bin/prlimit")
        prlimit.arguments = ["--pid", "\(process.processIdentifier)", "--nofile=\(count):\(count)"]
        try? prlimit.run()
        prlimit.waitUntilExit()
    }

    /// Runs one command on `pipeline`, in a directory of its own that `prepare` has been in, to its end.
    static func run(
        _ arguments: [String], _ pipeline: String = "", prepare: (String) -> Void = { _ in }
    ) async throws -> Result {
        var result: Result?
        try await inDirectory(pipeline) { directory in
            prepare(directory)
            result = try await Program(arguments, in: directory).wait()
        }
        return try #require(result)
    }

    /// A directory with `pipeline` as p.yaml, removed in the end.
    static func inDirectory(_ pipeline: String, _ body: (String) async throws -> Void) async throws {
        let directory = try BrokerFixture.temporaryDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try Data(pipeline.utf8).write(to: URL(fileURLWithPath: directory + "/p.yaml"))
        try await body(directory)
    }
}
