import NIOCore
import StagewireModel
import StagewireWire

/// Turns what is read into frames. Whole frames are handled where they lie in the read buffer; only a frame
/// that straddles two reads is copied, and of the next read no more than its missing part.
///
///     read 1: | frame | frame | fra        -> two in place, "fra" kept
///     read 2:                   me | frame -> "me" joins "fra", the last one in place
///
/// Memory: at most one frame of the limit that held when its prefix came, so `partial` is bounded by it.
struct FrameAssembler {
    /// A larger buffer is given back once its frame is complete, bytes.
    static let kept = 128 * 1024

    private var splitter = FrameSplitter()
    private var partial = ByteBuffer()
    /// Length of the frame in `partial`, prefix included, once the prefix is whole and was accepted.
    private var expected: Int?

    /// Bytes of a frame whose end has not come.
    var pendingBytes: Int { partial.readableBytes }

    /// Hands every whole frame to `body`, which may throw to end it all. `limit` is asked before each prefix
    /// is judged, for the credit that a frame uses up lowers it for the next.
    mutating func take(
        _ read: inout ByteBuffer, limit: () -> Int, body: (RawSpan) throws(CloseReason) -> Void
    ) throws(CloseReason) {
        if partial.readableBytes > 0 {
            guard try complete(from: &read, limit: limit) else { return }
            try body(partial.readableBytesSpan.extracting(droppingFirst: Limits.framePrefix))
            discardPartial()
        }
        let used = try takeWhole(read.readableBytesSpan, limit: limit, body: body)
        read.moveReaderIndex(forwardBy: used)
        keepRest(&read)
    }

    private mutating func takeWhole(
        _ span: RawSpan, limit: () -> Int, body: (RawSpan) throws(CloseReason) -> Void
    ) throws(CloseReason) -> Int {
        var offset = 0
        while offset < span.byteCount {
            splitter.limit = limit()
            guard let frame = try splitter.next(in: span, from: offset) else { break }
            try body(span.extracting(frame))
            offset = frame.upperBound
        }
        return offset
    }

    /// What is left has been judged by `takeWhole`, as far as its prefix is whole.
    private mutating func keepRest(_ read: inout ByteBuffer) {
        guard read.readableBytes > 0 else { return }
        partial.writeBuffer(&read)
        expected = announced()
        // At once as large as the frame, which was judged: not by and by, copied each time.
        if let expected, expected <= Self.kept { partial.reserveCapacity(expected) }
    }

    /// Moves the missing part of the kept frame over. Returns whether the frame is whole.
    private mutating func complete(from read: inout ByteBuffer, limit: () -> Int) throws(CloseReason) -> Bool {
        if expected == nil {
            move(upTo: Limits.framePrefix, from: &read)
            guard partial.readableBytes == Limits.framePrefix else { return false }
            splitter.limit = limit()
            _ = try splitter.next(in: partial.readableBytesSpan, from: 0)
            expected = announced()
        }
        guard let expected else { return false }
        move(upTo: expected, from: &read)
        return partial.readableBytes == expected
    }

    private mutating func move(upTo length: Int, from read: inout ByteBuffer) {
        let missing = length - partial.readableBytes
        precondition(missing >= 0, "no byte beyond the frame is ever kept")
        guard var part = read.readSlice(length: min(missing, read.readableBytes)) else { return }
        partial.writeBuffer(&part)
    }

    private func announced() -> Int? {
        partial.getInteger(at: partial.readerIndex, as: UInt32.self).map { Limits.framePrefix + Int($0) }
    }

    private mutating func discardPartial() {
        expected = nil
        if partial.capacity > Self.kept { partial = ByteBuffer() } else { partial.clear() }
    }
}
