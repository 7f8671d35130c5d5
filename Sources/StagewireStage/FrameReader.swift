import Glibc
import StagewireModel
import StagewireWire

/// Bytes of a connection to frames. Its buffer grows to the frame at hand and not beyond it.
struct FrameReader {
    private static let chunk = 256 * 1024

    var splitter = FrameSplitter(limit: Limits.defaultFrame)
    private var buffer = [UInt8](repeating: 0, count: FrameReader.chunk)
    private var filled = 0..<0

    /// Reads what is there.
    mutating func fill(from descriptor: Int32) -> Socket.Reading {
        if filled.upperBound == buffer.count { makeRoom() }
        let range = filled.upperBound..<buffer.count
        let reading = buffer.withUnsafeMutableBytes {
            Socket.read(descriptor, into: UnsafeMutableRawBufferPointer(rebasing: $0[range]))
        }
        if case .bytes(let count) = reading { filled = filled.lowerBound..<(filled.upperBound + count) }
        return reading
    }

    /// The next whole frame, without its prefix.
    mutating func next() throws(CloseReason) -> [UInt8]? {
        let start = filled.lowerBound
        guard let frame = try splitter.next(in: buffer.span.bytes.extracting(0..<filled.upperBound), from: start) else {
            if filled.isEmpty { filled = 0..<0 }
            return nil
        }
        filled = frame.upperBound..<filled.upperBound
        return Array(buffer[frame])
    }

    /// Moves what is left to the front, or doubles the buffer. The splitter has refused what would be too much.
    private mutating func makeRoom() {
        if filled.lowerBound > 0 {
            buffer.removeSubrange(..<filled.lowerBound)
            filled = 0..<filled.count
        }
        let wanted = max(Self.chunk, filled.count * 2)
        buffer.append(
            contentsOf: repeatElement(0, count: wanted - buffer.count > 0 ? wanted - buffer.count : Self.chunk))
    }
}
