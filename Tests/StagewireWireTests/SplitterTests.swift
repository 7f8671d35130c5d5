import StagewireModel
import Testing

@testable import StagewireWire

@Suite("Bytes to frames")
struct SplitterTests {
    private func refusal(_ bytes: [UInt8], limit: Int = Limits.handshakeFrame) -> CloseReason? {
        do throws(CloseReason) {
            _ = try FrameSplitter(limit: limit).next(in: bytes.span.bytes, from: 0)
            return nil
        } catch { return error }
    }

    @Test("fed byte by byte, and all at once: the same frames")
    func splitting() throws {
        var random = SeededRandom(seed: 11)
        let contents = (0..<40).map { _ in [UInt8(1)] + random.bytes(upTo: 300) }
        let stream = contents.flatMap { prefixed($0) }
        let splitter = FrameSplitter()

        var coalesced: [[UInt8]] = []
        var offset = 0
        while let range = try splitter.next(in: stream.span.bytes, from: offset) {
            coalesced.append(Array(stream[range]))
            offset = range.upperBound
        }
        #expect(coalesced == contents)
        #expect(offset == stream.count)

        var buffer: [UInt8] = []
        var dripped: [[UInt8]] = []
        for byte in stream {
            buffer.append(byte)
            if let range = try splitter.next(in: buffer.span.bytes, from: 0) {
                #expect(range.upperBound == buffer.count, "a frame ends with its last byte")
                dripped.append(Array(buffer[range]))
                buffer = []
            }
        }
        #expect(dripped == contents)
    }

    @Test("too little is not an error")
    func incomplete() throws {
        for bytes in [[], [0], [0, 0, 0], [0, 0, 0, 2], [0, 0, 0, 2, 9]] as [[UInt8]] {
            #expect(try FrameSplitter().next(in: bytes.span.bytes, from: 0) == nil)
        }
    }

    @Test("the limit is inclusive and judged by the prefix alone")
    func limit() throws {
        let most = [UInt8](repeating: 8, count: 300)
        #expect(try FrameSplitter(limit: 300).next(in: prefixed(most).span.bytes, from: 0) == 4..<304)
        #expect(refusal(hex("0000012d"), limit: 300)?.code == Code.frameTooLarge.rawValue)
        #expect(refusal(hex("ffffffff"), limit: Limits.ceilingFrame)?.code == Code.frameTooLarge.rawValue)
        let message = refusal(hex("00004001"))?.message ?? ""
        #expect(message.contains("16385") && message.contains("16384"), "it names both sizes: \(message)")
    }

    @Test("a length of zero is malformed")
    func zero() { #expect(refusal([0, 0, 0, 0, 1])?.code == Code.malformedFrame.rawValue) }

    @Test(
        "strangers are told what they reached",
        arguments: [
            (Array("GET / HTTP/1.1\r\n".utf8), "HTTP"), (Array("POST /x".utf8), "HTTP"),
            (Array("HTTP/1.1 200".utf8), "HTTP"), (Array("PRI * HTTP/2.0".utf8), "HTTP"),
            (hex("160301020001"), "TLS"), (Array("SSH-2.0-x".utf8), "SSH"), (Array("{\"a\":1}".utf8), "JSON"),
        ])
    func strangers(_ bytes: [UInt8], _ name: String) {
        let reason = refusal(bytes, limit: Limits.ceilingFrame)
        #expect(reason?.code == Code.frameTooLarge.rawValue)
        #expect(reason?.message.contains(name) == true)
    }
}
