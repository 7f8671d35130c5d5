import Foundation
import Glibc
import StagewireStage
import Synchronization

/// Lines of a descriptor with the position behind each. What blocks runs on a thread of its own.
struct LineReader {
    struct Lines: Sendable {
        var lines: [ArraySlice<UInt8>] = []
        /// Behind each line, its line break included.
        var ends: [UInt64] = []
        var isAtEnd = false
    }

    struct Failure: Error, CustomStringConvertible { var description: String }

    /// A longer line is no line of a pipeline: its record would be above every limit.
    static let longest = 64 * 1024 * 1024
    private static let chunk = 256 * 1024

    private let descriptor: Int32
    private var pending: [UInt8] = []
    /// Where `pending` begins.
    private var offset: UInt64

    init(_ descriptor: Int32, offset: UInt64) {
        self.descriptor = descriptor
        self.offset = offset
    }

    /// Reads on. Returns no lines when there is nothing new yet, within a quarter of a second, or at the end.
    ///
    /// - Parameter takesRest: at the end, what stands behind the last line break is a line.
    mutating func next(takesRest: Bool) async throws -> Lines {
        let descriptor = self.descriptor
        let read: (count: Int, bytes: [UInt8]) = await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: Self.read(descriptor)) }
        }
        guard read.count != -1 else { throw Failure(description: "cannot read: \(String(cString: strerror(errno)))") }
        pending += read.bytes
        guard pending.count <= Self.longest else {
            throw Failure(description: "the line at byte \(offset) is longer than \(Self.longest) bytes")
        }
        var lines = split()
        lines.isAtEnd = read.count == 0
        if lines.isAtEnd, takesRest, !pending.isEmpty {
            offset += UInt64(pending.count)
            lines.lines.append(pending[...])
            lines.ends.append(offset)
            pending = []
        }
        return lines
    }

    /// -2: nothing came in time.
    private static func read(_ descriptor: Int32) -> (Int, [UInt8]) {
        var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&waiting, 1, 250) > 0 else { return (-2, []) }
        var buffer = [UInt8](repeating: 0, count: chunk)
        let count = Glibc.read(descriptor, &buffer, buffer.count)
        if count < 0, errno == EINTR || errno == EAGAIN { return (-2, []) }
        return (count, Array(buffer.prefix(max(0, count))))
    }

    private mutating func split() -> Lines {
        var lines = Lines()
        var start = 0
        while let end = pending[start...].firstIndex(of: 0x0a) {
            lines.lines.append(pending[start..<end])
            start = end + 1
            lines.ends.append(offset + UInt64(start))
        }
        pending.removeFirst(start)
        offset += UInt64(start)
        return lines
    }
}

/// Emits lines with their positions as checkpoints.
struct LineEmitter {
    /// Of one step: more gains little and makes a restart repeat more.
    private static let stepRecords = 500
    private static let stepBytes = 256 * 1024

    let partition: Partition
    let format: LineFormat
    /// For complaints: a file's name.
    let name: String

    /// - Throws: `LineReader.Failure` with the position of a line that is no record.
    func emit(_ lines: LineReader.Lines) async throws {
        var outputs: [Output] = []
        var bytes = 0
        for (line, end) in zip(lines.lines, lines.ends) {
            if format == .jsonLines, !line.contains(where: { $0 > 0x20 }) { continue }
            do {
                outputs.append(try format.decode(line))
            } catch {
                let start = end - UInt64(line.count + 1)
                throw LineReader.Failure(description: "\(name): the line at byte \(start): \(error.description)")
            }
            bytes += line.count
            guard outputs.count == Self.stepRecords || bytes >= Self.stepBytes else { continue }
            try await partition.emit(outputs, checkpoint: "\(end)")
            (outputs, bytes) = ([], 0)
        }
        if !outputs.isEmpty, let end = lines.ends.last { try await partition.emit(outputs, checkpoint: "\(end)") }
    }
}
