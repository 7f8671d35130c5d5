import Foundation
import Glibc
import StagewireStage
import Synchronization

/// Any executable as a stage: one run of the command for each batch, which is one step. docs/EXEC.md.
enum ExecStage {
    static func make() -> Stage {
        Stage.asyncWindow(configuration: ExecConfiguration.self) { configuration in
            try Program.check(configuration.command[0])
            return (bounds(configuration.batch), { window, out in try await handle(window, &out, configuration) })
        }
        // The command has a limit of its own, at which it is ended for real.
        .timeout(.zero)
    }

    private static func bounds(_ batch: ExecConfiguration.Batch) -> WindowBounds {
        guard batch.every > 0 else { return .arrived(batch.records) }
        return WindowBounds(records: batch.records, bytes: batch.bytes, time: .seconds(batch.every))
    }

    private static func handle(
        _ window: Window, _ out: inout Emitter, _ configuration: ExecConfiguration
    ) async throws {
        var good: [Record] = []
        for record in window.records {
            if let flaw = ExecFormat.flaw(record, configuration.input) {
                out.reject(record, ExecCode.input, flaw)
            } else {
                good.append(record)
            }
        }
        for chunk in chunks(good, configuration.batch) {
            try await handle(
                chunk, &out, configuration, isWhole: chunk.count == good.count && good.count == window.records.count)
        }
    }

    /// Without `every` nothing has counted the bytes yet.
    private static func chunks(_ records: [Record], _ batch: ExecConfiguration.Batch) -> [[Record]] {
        guard let most = batch.bytes else { return records.isEmpty ? [] : [records] }
        var chunks: [[Record]] = []
        var bytes = 0
        for record in records {
            if chunks.isEmpty || bytes + record.payloadSize > most {
                chunks.append([])
                bytes = 0
            }
            chunks[chunks.count - 1].append(record)
            bytes += record.payloadSize
        }
        return chunks
    }

    private static func handle(
        _ records: [Record], _ out: inout Emitter, _ configuration: ExecConfiguration, isWhole: Bool
    ) async throws {
        switch try await run(records, configuration, most: out.stepBytes) {
        case .success(let outputs):
            for output in outputs { out.emit(output, parents: isWhole ? [] : records) }
        case .failure(let rejection) where records.count == 1:
            out.reject(records[0], rejection.code, rejection.message)
        case .failure:
            // Something in the batch is wrong. Alone, each record shows whether it is the one.
            for record in records { try await handle([record], &out, configuration, isWhole: false) }
        }
    }

    struct Rejection: Error {
        var code: UInt32
        var message: String
    }

    /// Runs the command once. What has to be tried again is thrown.
    private static func run(
        _ records: [Record], _ configuration: ExecConfiguration, most: Int
    ) async throws -> Result<[Output], Rejection> {
        let run = try ExecRun(records, configuration, most: most)
        defer { run.removeFile() }
        let result = try await run.result()
        let name = configuration.command[0]
        switch result.ending {
        case .exited(let code):
            switch configuration.meaning(of: code) {
            case .accept: break
            case .reject: return .failure(Rejection(code: ExecCode.rejected, message: "\(name) exited with \(code)"))
            case .retry: throw Verdict.retry("\(name) exited with \(code)", indefinite: true)
            }
        case .killed(let signal): throw Verdict.retry("\(name) was killed by signal \(signal)", indefinite: true)
        case .overdue:
            throw Verdict.retry("\(name) took longer than \(configuration.timeout) s and was ended", indefinite: true)
        case .cancelled: throw CancellationError()
        case .tooMuch:
            let message = "\(name) printed more than one step of the pipeline takes (\(most) bytes)"
            return .failure(Rejection(code: ExecCode.output, message: message))
        }
        let key = commonKey(records)
        do {
            return .success(try ExecFormat.decode(result.output, configuration.output, key: key))
        } catch {
            return .failure(Rejection(code: ExecCode.output, message: "\(name): \(error.message)"))
        }
    }

    /// Emissions keep the batch's key when all of its records have the same: order by key goes on behind the stage.
    private static func commonKey(_ records: [Record]) -> [UInt8] {
        let key = records[0].key
        return records.dropFirst().allSatisfy { $0.key == key } ? key : []
    }
}

/// The codes of `exec`'s rejections.
enum ExecCode {
    /// The command said so, by its exit code.
    static let rejected: UInt32 = 1065
    /// The record does not fit the input's form.
    static let input: UInt32 = 1001
    /// The output does not fit its form, or the pipeline.
    static let output: UInt32 = 1002
}

/// One run for one batch, with what surrounds it.
private struct ExecRun {
    private let command: Command
    private let file: String?

    init(_ records: [Record], _ configuration: ExecConfiguration, most: Int) throws {
        var variables = ProcessInfo.processInfo.environment
        // It is no worker: it has no business at the broker's socket.
        for name in ["STAGEWIRE_SOCKET", "STAGEWIRE_TOKEN"] { variables[name] = nil }
        variables["STAGEWIRE_RECORDS"] = "\(records.count)"
        variables["STAGEWIRE_ATTEMPT"] = "\(records.map(\.attempt).max() ?? 1)"
        var input = ExecFormat.encode(records, configuration.input)
        if configuration.input == .file {
            file = try Self.write(input)
            variables["STAGEWIRE_FILE"] = file
            input = []
        } else {
            file = nil
        }
        command = Command(
            arguments: configuration.command, environment: variables.map { "\($0)=\($1)" }.sorted(), input: input,
            readsOutput: configuration.output != .none,
            // Text around payloads, and base64, take more than the payloads do.
            mostOutput: 2 * most + 65_536, timeout: UInt64(configuration.timeout * 1e9),
            grace: UInt64(configuration.grace * 1e9))
    }

    private static func write(_ bytes: [UInt8]) throws -> String {
        var template = Array((NSTemporaryDirectory() + "/stagewire-batch-XXXXXX").utf8CString)
        let descriptor = mkstemp(&template)
        guard descriptor >= 0 else {
            throw Verdict.retry("cannot make a file for the batch: \(String(cString: strerror(errno)))")
        }
        let handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        try handle.write(contentsOf: bytes)
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    func removeFile() { if let file { unlink(file) } }

    /// Runs it on a thread of its own: Swift's pool is for what does not block. Cancellation ends it.
    func result() async throws -> Command.Result {
        let isCancelled = Flag()
        let command = self.command
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                Thread.detachNewThread {
                    continuation.resume(
                        returning: Swift.Result { () throws(Command.NotStarted) in
                            try command.run { isCancelled.isSet }
                        })
                }
            }
        } onCancel: {
            isCancelled.set()
        }
        switch result {
        case .success(let result): return result
        case .failure(let failure): throw Verdict.retry(failure.message)
        }
    }

    private final class Flag: Sendable {
        private let value = Atomic<Bool>(false)
        var isSet: Bool { value.load(ordering: .relaxed) }
        func set() { value.store(true, ordering: .relaxed) }
    }
}

/// Whether a command can be started: said before the first record, not with each.
enum Program {
    static func check(_ name: String) throws {
        guard !name.contains("/") else {
            guard access(name, F_OK) == 0 else {
                throw ConfigurationError(
                    "`command`: there is no \(name) in \(FileManager.default.currentDirectoryPath)")
            }
            guard access(name, X_OK) == 0 else {
                throw ConfigurationError("`command`: \(name) is not executable (chmod +x \(name))")
            }
            return
        }
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
        let isFound = path.split(separator: ":").contains { access("\($0)/\(name)", X_OK) == 0 }
        guard isFound else { throw ConfigurationError("`command`: there is no \(name) in PATH. Is it installed?") }
    }
}
