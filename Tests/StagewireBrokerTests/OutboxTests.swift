import Glibc
import NIOCore
import StagewireModel
import StagewireWire
import Testing

@testable import StagewireBroker
@testable import StagewireRouter

/// What leaves through a socket that takes a part, and what is copied then, are together what was to be said.
@Suite struct OutboxTests {
    /// A pair of sockets that hold little.
    private struct Pair {
        var ours: CInt
        var theirs: CInt

        init() {
            var ends: [CInt] = [0, 0]
            precondition(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
            (ours, theirs) = (ends[0], ends[1])
            var size: CInt = 8 * 1024
            setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<CInt>.size))
        }

        func read() -> [UInt8] {
            var all: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 64 * 1024)
            while true {
                let count = recv(theirs, &buffer, buffer.count, Int32(MSG_DONTWAIT))
                guard count > 0 else { return all }
                all += buffer[..<count]
            }
        }

        func close() {
            _ = Glibc.close(ours)
            _ = Glibc.close(theirs)
        }
    }

    /// Segments of these lengths with bytes that tell where they belong, as one delivery.
    private func fill(_ outbox: inout Outbox, _ lengths: [Int], _ memory: inout [UnsafeRawBufferPointer]) -> [UInt8] {
        var expected = FrameCodec.encode(.ping(nonce: 1))
        outbox.append(.ping(nonce: 1))
        let first = memory.count
        var records: [UInt8] = []
        for length in lengths {
            let segment = UnsafeMutableRawBufferPointer.allocate(byteCount: length, alignment: 1)
            for offset in 0..<length { segment[offset] = UInt8(truncatingIfNeeded: offset &* 31 &+ memory.count) }
            records += segment
            memory.append(UnsafeRawBufferPointer(segment))
        }
        let delivery = Delivery(
            input: 0, first: 1, count: lengths.count, segments: first..<memory.count, bytes: records.count,
            attempts: 0..<0)
        outbox.append(delivery, segments: memory[delivery.segments], attempts: [])
        expected += DeliverPrefix.encode(input: 0, first: 1, recordBytes: records.count) + records
        outbox.append(.pong(nonce: 2))
        return expected + FrameCodec.encode(.pong(nonce: 2))
    }

    @Test(arguments: [[10], [2000, 3, 900, 1024], [300_000], [70_000, 500, 70_000, 1023, 600_000]])
    func nothingIsLostBetweenSocketAndCopy(lengths: [Int]) {
        let pair = Pair()
        defer { pair.close() }
        var memory: [UnsafeRawBufferPointer] = []
        defer { for segment in memory { segment.deallocate() } }
        var outbox = Outbox()
        var expected: [UInt8] = []
        // Twice, for an outbox serves turn after turn.
        for _ in 0..<2 {
            expected += fill(&outbox, lengths, &memory)
            let total = lengths.reduce(0, +)
            #expect(outbox.delivered == total)
            let sent = outbox.send(to: pair.ours)
            #expect(sent + outbox.delivered == total)
            var arrived = pair.read()
            // Some more rounds, then the rest as the channel gets it.
            _ = outbox.send(to: pair.ours)
            arrived += pair.read()
            let waiting = (outbox.delivered, outbox.answered)
            let chunks = outbox.removeAll()
            #expect(chunks.allSatisfy { $0.bytes.readableBytes <= Outbox.chunk })
            #expect(chunks.reduce(0) { $0 + $1.delivered } == waiting.0)
            #expect(chunks.reduce(0) { $0 + $1.answered } == waiting.1)
            for chunk in chunks { arrived += Array(chunk.bytes.readableBytesView) }
            #expect(outbox.isEmpty && arrived == expected)
            expected = []
        }
    }

    /// A peer that is gone is the channel's to notice: nothing is sent, nothing is lost from the rest.
    @Test func anErrorSendsNothing() {
        let pair = Pair()
        _ = Glibc.close(pair.theirs)
        defer { _ = Glibc.close(pair.ours) }
        var memory: [UnsafeRawBufferPointer] = []
        defer { for segment in memory { segment.deallocate() } }
        var outbox = Outbox()
        let expected = fill(&outbox, [5000], &memory)
        #expect(outbox.send(to: pair.ours) == 0)
        #expect(outbox.removeAll().flatMap { Array($0.bytes.readableBytesView) } == expected)
    }
}
