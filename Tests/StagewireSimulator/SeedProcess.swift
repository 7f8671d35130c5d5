import Foundation

/// A process that runs seeds for us.
final class SeedProcess {
    enum Answer {
        case done(hash: UInt64, numbers: [Int])
        case failed(hash: UInt64, faults: String)
        case gone(String)
    }

    /// Far beyond what the slowest seed takes on the slowest machine; one that takes longer never ends.
    private static let patience = 600

    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()
    private var buffer = Data()

    init() {
        process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        process.arguments = ["--worker"]
        process.standardInput = input
        process.standardOutput = output
        do { try process.run() } catch { fatalError("cannot start a process: \(error)") }
        // A process that is gone is seen by reading.
        signal(SIGPIPE, SIG_IGN)
    }

    func run(_ seed: UInt64) -> Answer {
        try? input.fileHandleForWriting.write(contentsOf: Data("\(seed)\n".utf8))
        guard let line = readLine() else { return gone() }
        let words = line.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: false)
        guard words.count == 4, words[1] == "\(seed)", let hash = UInt64(words[2], radix: 16) else {
            return .gone("said \(line)")
        }
        if words[0] == "done" {
            return .done(hash: hash, numbers: words[3].split(separator: " ").compactMap { Int($0) })
        }
        return .failed(hash: hash, faults: String(words[3]))
    }

    func end() {
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
    }

    private func gone() -> Answer {
        guard process.isRunning else {
            return .gone("the process ended with status \(process.terminationStatus): a trap")
        }
        process.terminate()
        process.waitUntilExit()
        return .gone("no answer after \(Self.patience) s")
    }

    /// Nil when there is no more, or nothing for too long.
    private func readLine() -> String? {
        let descriptor = output.fileHandleForReading.fileDescriptor
        while true {
            if let end = buffer.firstIndex(of: 10) {
                let line = String(decoding: buffer[..<end], as: UTF8.self)
                buffer.removeSubrange(...end)
                return line
            }
            var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&wait, 1, Int32(Self.patience * 1000)) > 0 else { return nil }
            var bytes = [UInt8](repeating: 0, count: 4096)
            let count = read(descriptor, &bytes, bytes.count)
            guard count > 0 else {
                process.waitUntilExit()
                return nil
            }
            buffer.append(contentsOf: bytes[..<count])
        }
    }
}
