import Glibc
import StagewireModel
import StagewireWire

/// Frames out of a file, a pipe or a recording, one after the other; never more than one of them in memory.
struct FrameReader {
    enum Item {
        /// - Parameter offset: of the length prefix, bytes from the start of the input.
        case frame(offset: Int, content: [UInt8])
        /// The input ends too early. `announced` is nil when not even the prefix is whole.
        case truncated(offset: Int, announced: Int?, content: [UInt8])
        /// No frame begins here, and where the next one would is not known.
        case refused(offset: Int, problem: String)
    }

    /// Bytes that are asked for at once.
    private static let chunk = 64 * 1024

    private let descriptor: Int32
    private let splitter = FrameSplitter(limit: Limits.ceilingFrame)
    private var buffer: [UInt8] = []
    /// Where the next frame begins, in the buffer and in the input.
    private var start = 0
    private var offset = 0
    private var isOver = false

    init(_ descriptor: Int32) { self.descriptor = descriptor }

    /// The next item, nil at the end of the input. Nothing follows what is truncated or refused.
    ///
    /// - Throws: the system's error number, as `Errno`.
    mutating func next() throws(Errno) -> Item? {
        while !isOver {
            do {
                if let range = try splitter.next(in: buffer.span.bytes, from: start) { return take(range) }
            } catch {
                isOver = true
                return .refused(offset: offset, problem: error.message)
            }
            guard try fill() else {
                isOver = true
                return rest()
            }
        }
        return nil
    }

    private mutating func take(_ range: Range<Int>) -> Item {
        defer {
            offset += range.upperBound - start
            start = range.upperBound
        }
        return .frame(offset: offset, content: Array(buffer[range]))
    }

    /// What stands behind the last whole frame.
    private func rest() -> Item? {
        let left = buffer[start...]
        guard !left.isEmpty else { return nil }
        guard left.count >= Limits.framePrefix else { return .truncated(offset: offset, announced: nil, content: []) }
        let announced = left.prefix(Limits.framePrefix).reduce(0) { $0 << 8 | Int($1) }
        return .truncated(
            offset: offset, announced: announced, content: Array(left.dropFirst(Limits.framePrefix)))
    }

    /// Reads on; false at the end of the input.
    private mutating func fill() throws(Errno) -> Bool {
        buffer.removeFirst(start)
        start = 0
        let before = buffer.count
        buffer.append(contentsOf: repeatElement(0, count: Self.chunk))
        while true {
            let count = buffer.withUnsafeMutableBytes { bytes in
                Glibc.read(descriptor, bytes.baseAddress?.advanced(by: before), Self.chunk)
            }
            if count < 0, errno == EINTR { continue }
            let code = errno
            buffer.removeLast(Self.chunk - max(0, count))
            guard count >= 0 else { throw Errno(code: code) }
            return count > 0
        }
    }
}

/// An error of the system.
struct Errno: Error, Equatable, CustomStringConvertible {
    var code: Int32
    var description: String { String(cString: strerror(code)) }
}
