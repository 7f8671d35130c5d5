import NIOCore
import StagewireModel
import StagewireRouter
import StagewireWire

/// What one turn has to say to one worker, encoded back to back.
struct Outbox {
    /// Bytes after which a buffer goes to the channel as it is, so that the kernel's progress is noticed
    /// before all of a large turn has been written.
    static let chunk = 256 * 1024

    struct Chunk {
        var bytes = ByteBuffer()
        /// Of `bytes`: what `Delivery.bytes` counted.
        var delivered = 0
        /// Of `bytes`: everything else, that is answers, grants and the frames around records.
        var answered: Int { bytes.readableBytes - delivered }
    }

    private(set) var full: [Chunk] = []
    private(set) var current = Chunk()

    /// Bytes without those of deliveries.
    var answered: Int { full.reduce(current.answered) { $0 + $1.answered } }

    var isEmpty: Bool { full.isEmpty && current.bytes.readableBytes == 0 }

    mutating func append(_ message: ControlMessage) {
        current.bytes.writeBytes(FrameCodec.encode(message))
        closeChunkIfFull()
    }

    /// Copies the delivery's segments behind their prefix: valid until the router's next call.
    mutating func append(
        _ delivery: Delivery, segments: ArraySlice<UnsafeRawBufferPointer>, attempts: ArraySlice<UInt32>
    ) {
        let prefix = DeliverPrefix.encodedSize(
            input: delivery.input, first: delivery.first, attempts: attempts, recordBytes: delivery.bytes)
        current.bytes.writeWithUnsafeMutableBytes(minimumWritableBytes: prefix + delivery.bytes) { target in
            var offset = DeliverPrefix.write(
                input: delivery.input, first: delivery.first, attempts: attempts, recordBytes: delivery.bytes,
                into: target)
            for segment in segments {
                UnsafeMutableRawBufferPointer(rebasing: target[offset...]).copyMemory(from: segment)
                offset += segment.count
            }
            precondition(offset == prefix + delivery.bytes, "the segments hold as many bytes as announced")
            return offset
        }
        current.delivered += delivery.bytes
        closeChunkIfFull()
    }

    mutating func removeAll() -> [Chunk] {
        if current.bytes.readableBytes > 0 { full.append(current) }
        current = Chunk()
        defer { full.removeAll() }
        return full
    }

    private mutating func closeChunkIfFull() {
        guard current.bytes.readableBytes >= Self.chunk else { return }
        full.append(current)
        current = Chunk()
    }
}
