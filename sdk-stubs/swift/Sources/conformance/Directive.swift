import Foundation
import StagewireStage

/// One instruction out of a record's payload.
enum Directive: Equatable {
    case echo, attempt, id, config
    case emit(count: Int, size: Int, port: String)
    case variable(String)
    case wait(Int)
    case reject(UInt32, String)
    case retry(milliseconds: Int, UInt32, String)
    case release
    case fail(String)
    case exit(Int32)
    case unknown(String)

    init(_ text: String) { self = Self.parse(text) ?? .unknown(text) }

    /// nil: none of those that are known, or its words do not fit it.
    private static func parse(_ text: String) -> Directive? {
        let words = text.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        /// Everything from the word at `index` on.
        let rest = { (index: Int) in words.dropFirst(index).joined(separator: " ") }
        switch (words[0], words.count) {
        case ("echo", 1): return .echo
        case ("attempt", 1): return .attempt
        case ("id", 1): return .id
        case ("config", 1): return .config
        case ("release", 1): return .release
        case ("env", 2): return .variable(words[1])
        case ("throw", _): return .fail(rest(1))
        case ("emit", 2...4):
            guard let count = Int(words[1]), let size = number(words, 2, 0), count >= 0 else { return nil }
            let port = words.count > 3 ? words[3] : "out"
            guard ["out", "side"].contains(port) else { return nil }
            return .emit(count: count, size: size, port: port)
        case ("wait", 2): return Int(words[1]).map(Directive.wait)
        case ("exit", 2): return Int32(words[1]).map(Directive.exit)
        case ("reject", _): return number(words, 1, Verdict.applicationCode).map { .reject($0, rest(2)) }
        case ("retry", _):
            guard let delay = number(words, 1, 0), let code = number(words, 2, Verdict.applicationCode) else {
                return nil
            }
            return .retry(milliseconds: delay, code, rest(3))
        default: return nil
        }
    }

    private static func number<Value: FixedWidthInteger>(_ words: [String], _ index: Int, _ other: Value) -> Value? {
        index < words.count ? Value(words[index]) : other
    }
}

/// What `throw` throws: an error that the library knows nothing of.
struct Failure: Error, CustomStringConvertible { let description: String }

extension Directive {
    func perform(on record: Record, _ out: inout Emitter, _ configuration: [UInt8]) async throws {
        switch self {
        case .echo: Self.emit(record.payload, record, &out)
        case .attempt: Self.emit(Array("\(record.attempt)".utf8), record, &out)
        case .id: Self.emit(Array(record.lineage.id.utf8), record, &out)
        case .config: Self.emit(configuration, record, &out)
        case .emit(let count, let size, let port):
            for index in 0..<count { Self.emit(Payload.number(index, size: size), record, &out, port: port) }
        case .variable(let name):
            if let value = ProcessInfo.processInfo.environment[name] { Self.emit(Array(value.utf8), record, &out) }
        case .wait, .reject, .retry, .release, .fail, .exit, .unknown: try await conclude()
        }
    }

    /// What needs no record.
    func conclude() async throws {
        switch self {
        case .wait(let milliseconds): try await Task.sleep(for: .milliseconds(milliseconds))
        case .reject(let code, let message): throw Verdict.reject(code, message)
        case .retry(let milliseconds, let code, let message):
            throw Verdict.retry(after: .milliseconds(milliseconds), message, code: code)
        case .release: throw Verdict.release
        case .fail(let text): throw Failure(description: text)
        case .exit(let code): _exit(code)
        case .unknown(let text): throw Verdict.reject(1999, "no directive: \(text)")
        case .echo, .attempt, .id, .config, .emit, .variable: break
        }
    }

    private static func emit(_ payload: [UInt8], _ record: Record, _ out: inout Emitter, port: String = "out") {
        var output = record.output()
        output.payload = payload
        output.port = port
        out.emit(output)
    }
}

enum Payload {
    /// In decimal, followed by spaces up to `size` bytes.
    static func number(_ number: Int, size: Int) -> [UInt8] {
        let digits = Array("\(number)".utf8)
        return digits + [UInt8](repeating: UInt8(ascii: " "), count: max(0, size - digits.count))
    }
}
