import StagewireModel
import Testing

@testable import StagewireWire

@Suite("The envelope")
struct EnvelopeTests {
    private let ping = field(5, field(1, 7))

    @Test("version skew")
    func versions() throws {
        #expect(refusal(field(1, 2000) + ping) == .unsupportedVersion)
        #expect(refusal(field(1, 999) + ping) == .unsupportedVersion)
        #expect(refusal(field(1, 0) + ping) == .unsupportedVersion)
        #expect(refusal(ping) == .unsupportedVersion)
        // A newer minor of our major, and a version behind the message.
        #expect(try FrameCodec.decode(field(1, 1999) + ping) == .control(.ping(nonce: 7)))
        #expect(try FrameCodec.decode(ping + field(1, 1000)) == .control(.ping(nonce: 7)))
        // Another major may follow other rules behind its version.
        #expect(refusal(field(1, 2000) + [0xff, 0xff]) == .unsupportedVersion)
        #expect(refusal(field(1, 1000) + field(1, 1000) + ping) == .malformedFrame)
        #expect(refusal(field(1, "x") + ping) == .malformedFrame)
        #expect(refusal(field(1, 1000 + 1 << 32) + ping) == .malformedFrame)
    }

    @Test("exactly one kind")
    func kinds() throws {
        #expect(refusal(envelope(ping + field(6, []))) == .malformedFrame)
        #expect(refusal(envelope(ping + ping)) == .malformedFrame)
        #expect(refusal(envelope(field(5, 7))) == .malformedFrame, "a kind is a message")
        #expect(try FrameCodec.decode(envelope([])) == .unknown)
        #expect(try FrameCodec.decode(envelope(field(19, ping))) == .unknown)
        #expect(try FrameCodec.decode(envelope(field(1000, ping) + field(31, 4))) == .unknown)
    }

    @Test("unknown fields are skipped when they are well-formed")
    func unknownFields() throws {
        let strange =
            field(40, 5) + field(41, "later") + varint(42 << 3 | 1) + [1, 2, 3, 4, 5, 6, 7, 8]
            + varint(43 << 3 | 5) + [1, 2, 3, 4]
        #expect(try FrameCodec.decode(envelope(strange + ping + strange)) == .control(.ping(nonce: 7)))
        #expect(
            try FrameCodec.decode(envelope(field(5, strange + field(1, 7) + strange))) == .control(.ping(nonce: 7)))
        #expect(refusal(envelope(ping + varint(43 << 3 | 5) + [1, 2, 3])) == .malformedFrame, "cut short")
        #expect(refusal(envelope(ping + varint(44 << 3 | 3) + varint(44 << 3 | 4))) == .malformedFrame, "a group")
        #expect(refusal(envelope(ping + [0x02, 0x00])) == .malformedFrame, "field 0")
        #expect(refusal(envelope(ping + [0x06])) == .malformedFrame, "wire type 6")
    }

    @Test("lengths and varints are bounded")
    func varints() throws {
        let eleven = [UInt8](repeating: 0x80, count: 10) + [1]
        #expect(refusal(envelope(field(5, [0x08] + eleven))) == .malformedFrame)
        #expect(refusal(envelope([0x2a] + varint(3) + [8, 7])) == .malformedFrame, "longer than the frame")
        #expect(refusal(envelope([0x2a] + varint(UInt64.max) + [8, 7])) == .malformedFrame)
        // The largest number is ten bytes, the tenth is 1.
        #expect(try FrameCodec.decode(envelope(field(5, field(1, UInt64.max)))) == .control(.ping(nonce: .max)))
        #expect(refusal(envelope(field(5, [8] + [UInt8](repeating: 0xff, count: 9) + [2]))) == .malformedFrame)
        // A length that was reserved with five bytes before it was known.
        #expect(
            try FrameCodec.decode(envelope([0x2a, 0x82, 0x80, 0x80, 0x80, 0x00, 8, 7])) == .control(.ping(nonce: 7)))
    }

    @Test("data kinds come as ranges, unread")
    func dataKinds() throws {
        let body = field(4, "anything")
        let content = envelope(field(9, body))
        #expect(try FrameCodec.decode(content) == .settle(5..<content.count))
        #expect(try FrameCodec.decode(envelope(field(10, body))) == .emit(5..<content.count))
        #expect(try FrameCodec.decode(envelope(field(8, body))) == .deliver(5..<content.count))
        #expect(try FrameCodec.decode(envelope(field(9, [UInt8]()))) == .settle(5..<5))
    }
}
