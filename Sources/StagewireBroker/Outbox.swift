import Glibc
import NIOCore
import StagewireModel
import StagewireRouter
import StagewireWire

/// What one turn has to say to one worker, in order: frames written here, and records where they lie in the router's memory.
///
/// ```
/// own    | prefix | Credit | prefix | short segment |
/// parts    own[0..]  segment  own[..]  segment  own[..]
/// ```
/// Segments are valid until the router's next call, so within the turn they are either sent (`send`) or copied (`removeAll`).
struct Outbox {
    /// Bytes after which a buffer goes to the channel as it is, so that the kernel's progress is noticed
    /// before all of a large turn has been written.
    static let chunk = 256 * 1024
    /// Shorter segments are copied behind their prefix: a part of its own costs the kernel more than their copy costs us.
    static let shortest = 1024
    /// Own bytes that are kept from turn to turn.
    private static let kept = 64 * 1024
    /// Parts of one system call (`IOV_MAX`).
    private static let mostParts = 1024

    struct Chunk {
        var bytes = ByteBuffer()
        /// Of `bytes`: what `Delivery.bytes` counted.
        var delivered = 0
        /// Of `bytes`: everything else, that is answers, grants and the frames around records.
        var answered: Int { bytes.readableBytes - delivered }
    }

    /// Consecutive bytes: of `own`, or of a segment.
    private struct Part {
        var segment: UnsafeRawBufferPointer?
        /// In `own`.
        var start = 0
        var count: Int
        /// How many of them `Delivery.bytes` counted.
        var isDelivered: Bool
    }

    private var own = ByteBuffer()
    private var parts: [Part] = []
    /// The first part that has not left, and how many of its bytes have.
    private var next = 0
    private var offset = 0
    /// Bytes without those of deliveries.
    private(set) var answered = 0
    private(set) var delivered = 0

    var isEmpty: Bool { answered + delivered == 0 }

    mutating func append(_ message: ControlMessage) {
        let frame = FrameCodec.encode(message)
        own.writeBytes(frame)
        addOwn(frame.count, isDelivered: false)
    }

    /// The delivery's segments behind their prefix.
    mutating func append(
        _ delivery: Delivery, segments: ArraySlice<UnsafeRawBufferPointer>, attempts: ArraySlice<UInt32>
    ) {
        let prefix = DeliverPrefix.encodedSize(
            input: delivery.input, first: delivery.first, attempts: attempts, recordBytes: delivery.bytes)
        own.writeWithUnsafeMutableBytes(minimumWritableBytes: prefix) { target in
            DeliverPrefix.write(
                input: delivery.input, first: delivery.first, attempts: attempts, recordBytes: delivery.bytes,
                into: target)
        }
        addOwn(prefix, isDelivered: false)
        var bytes = 0
        for segment in segments {
            bytes += segment.count
            if segment.count < Self.shortest {
                own.writeBytes(segment)
                addOwn(segment.count, isDelivered: true)
            } else {
                parts.append(Part(segment: segment, count: segment.count, isDelivered: true))
                delivered += segment.count
            }
        }
        precondition(bytes == delivery.bytes, "the segments hold as many bytes as announced")
    }

    /// Notes bytes that were written to the end of `own`.
    private mutating func addOwn(_ count: Int, isDelivered: Bool) {
        if isDelivered { delivered += count } else { answered += count }
        if let last = parts.last, last.segment == nil, last.isDelivered == isDelivered, parts.count - 1 > next {
            parts[parts.count - 1].count += count
        } else {
            parts.append(Part(start: own.writerIndex - count, count: count, isDelivered: isDelivered))
        }
    }

    /// Sends as much as the socket takes, from where everything lies. An error counts as nothing sent: the channel meets it
    /// again when it gets the rest.
    /// - Returns: bytes of deliveries that have left.
    mutating func send(to socket: CInt) -> Int {
        let before = delivered
        while next < parts.count {
            let (taken, offered) = sendOnce(to: socket)
            forget(taken)
            if taken < offered { break }
        }
        if next == parts.count { clear() }
        return before - delivered
    }

    private func sendOnce(to socket: CInt) -> (taken: Int, offered: Int) {
        own.withUnsafeReadableBytes { own in
            let count = min(parts.count - next, Self.mostParts)
            return withUnsafeTemporaryAllocation(of: iovec.self, capacity: count) { vectors in
                var offered = 0
                for index in 0..<count {
                    let skipped = index == 0 ? offset : 0
                    let bytes = bytes(of: parts[next + index], own)
                    vectors[index] = iovec(
                        iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress! + skipped),
                        iov_len: bytes.count - skipped)
                    offered += bytes.count - skipped
                }
                var message = msghdr()
                message.msg_iov = vectors.baseAddress
                message.msg_iovlen = count
                while true {
                    let sent = sendmsg(socket, &message, CInt(MSG_DONTWAIT | MSG_NOSIGNAL))
                    if sent < 0, errno == EINTR { continue }
                    return (max(0, sent), offered)
                }
            }
        }
    }

    private func bytes(of part: Part, _ own: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        part.segment ?? UnsafeRawBufferPointer(rebasing: own[part.start..<part.start + part.count])
    }

    private mutating func forget(_ count: Int) {
        var left = count
        while left > 0 {
            let part = parts[next]
            let gone = min(left, part.count - offset)
            if part.isDelivered { delivered -= gone } else { answered -= gone }
            left -= gone
            offset += gone
            guard offset == part.count else { return }
            next += 1
            offset = 0
        }
    }

    /// What has not been sent, copied.
    mutating func removeAll() -> [Chunk] {
        guard !isEmpty else { return [] }
        var chunks = [Chunk()]
        own.withUnsafeReadableBytes { own in
            for part in parts[next...] {
                var rest = bytes(of: part, own)[offset...]
                offset = 0
                while !rest.isEmpty {
                    if chunks[chunks.count - 1].bytes.readableBytes >= Self.chunk { chunks.append(Chunk()) }
                    let last = chunks.count - 1
                    let piece = rest.prefix(max(Self.chunk - chunks[last].bytes.readableBytes, 1))
                    chunks[last].bytes.writeBytes(piece)
                    if part.isDelivered { chunks[last].delivered += piece.count }
                    rest = rest.dropFirst(piece.count)
                }
            }
        }
        clear()
        return chunks
    }

    private mutating func clear() {
        if own.capacity > Self.kept { own = ByteBuffer() } else { own.clear() }
        parts.removeAll(keepingCapacity: true)
        (next, offset, answered, delivered) = (0, 0, 0, 0)
    }
}
