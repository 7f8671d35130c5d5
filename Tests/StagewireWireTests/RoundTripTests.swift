import CEnvelope
import StagewireModel
import Testing

@testable import StagewireWire

@Suite("Control messages: decode(encode(x)) == x")
struct RoundTripTests {
    @Test("every kind, random values", arguments: Kind.allCases)
    func everyKind(_ kind: Kind) throws {
        let seed: UInt64 = 0x5eed_0000 + UInt64(kind.rawValue)
        var random = SeededRandom(seed: seed)
        for round in 0..<300 {
            guard let message = random.message(kind) else { return }
            let frame = FrameCodec.encode(message)
            let range = try FrameSplitter(limit: Limits.defaultFrame).next(in: frame.span.bytes, from: 0)
            try #require(range == 4..<frame.count, "seed \(seed), round \(round)")
            #expect(
                try FrameCodec.decode(Array(frame[4...])) == .control(message), "seed \(seed), round \(round)")
        }
    }

    @Test("libprotobuf-c reads the whole envelope the same way", arguments: Kind.allCases)
    func sameEnvelope(_ kind: Kind) throws {
        var random = SeededRandom(seed: 99 + UInt64(kind.rawValue))
        guard let message = random.message(kind) else { return }
        let content = Array(FrameCodec.encode(message)[4...])
        let unpacked = try #require(stagewire__v1__envelope__unpack(nil, content.count, content))
        defer { stagewire__v1__envelope__free_unpacked(unpacked, nil) }
        #expect(unpacked.pointee.version == 1000)
        #expect(UInt32(unpacked.pointee.message_case.rawValue) == kind.rawValue)
        // Packed again it is the same bytes: version first, minimal varints, fields in order.
        var again = [UInt8](repeating: 0, count: stagewire__v1__envelope__get_packed_size(unpacked))
        #expect(stagewire__v1__envelope__pack(unpacked, &again) == content.count)
        #expect(again == content)
    }

    @Test("texts that no decoder would take are changed on the way out, never cut short")
    func writtenTexts() throws {
        let claim = FrameCodec.encode(.claim(partition: "a\0b"))
        #expect(try FrameCodec.decode(Array(claim[4...])) == .control(.claim(partition: "a\u{fffd}b")))

        let long = String(repeating: "ä", count: Limits.text)
        let close = FrameCodec.encode(.close(CloseReason(.flood, long)))
        guard case .control(.close(let reason)) = try FrameCodec.decode(Array(close[4...])) else {
            Issue.record("not a Close")
            return
        }
        #expect(reason.message.utf8.count <= Limits.text && reason.message.utf8.count > Limits.text - 4)
        #expect(reason.message.hasSuffix("ä…"))
    }
}
