import StagewireModel
import Testing

@testable import StagewireWire

@Suite("Control messages that break a limit")
struct LimitTests {
    private func hello(_ fields: [UInt8]) -> [UInt8] { envelope(field(2, fields)) }
    private func text(_ count: Int) -> String { String(repeating: "n", count: count) }

    @Test("names in Hello have at most 128 bytes", arguments: [3, 4, 5, 6, 7, 10, 11] as [UInt64])
    func names(_ number: UInt64) {
        #expect(refusal(hello(field(number, text(128)))) == nil)
        #expect(refusal(hello(field(number, text(129)))) == .malformedHello)
    }

    @Test("strings are UTF-8 without NUL", arguments: [3, 4, 5, 6, 7, 10, 11] as [UInt64])
    func strings(_ number: UInt64) {
        #expect(refusal(hello(field(number, "a\0b"))) == .malformedHello)
        #expect(refusal(hello(field(number, [0x61, 0xc3]))) == .malformedHello)
        #expect(refusal(hello(field(number, [0xed, 0xa0, 0x80]))) == .malformedHello, "a surrogate")
        #expect(refusal(hello(field(number, [0xc0, 0xaf]))) == .malformedHello, "an overlong form")
    }

    @Test("lists in Hello have at most 64 elements", arguments: [6, 7, 12, 13] as [UInt64])
    func lists(_ number: UInt64) {
        let element = field(number, [UInt8]())
        #expect(refusal(hello(Array(repeating: element, count: 64).flatMap { $0 })) == nil)
        #expect(refusal(hello(Array(repeating: element, count: 65).flatMap { $0 })) == .malformedHello)
    }

    @Test("the sentence names the field and the limit")
    func sentence() {
        do throws(CloseReason) {
            _ = try FrameCodec.decode(hello(field(5, text(200))))
            Issue.record("accepted")
        } catch {
            #expect(error.message == "Hello: stage_version has 200 bytes, where at most 128 are allowed.")
        }
    }

    @Test("fields of the wrong type, twice, or too wide")
    func shapes() {
        #expect(refusal(hello(field(3, 5))) == .malformedHello)
        #expect(refusal(hello(field(1, "x"))) == .malformedHello)
        #expect(refusal(hello(field(12, 1))) == .malformedHello)
        #expect(refusal(hello(field(3, "a") + field(3, "b"))) == .malformedHello)
        #expect(refusal(hello(field(1, 1 << 32))) == .malformedHello)
        #expect(refusal(hello([0x1a, 0x05, 0x61])) == .malformedFrame, "a length beyond the message")
        #expect(refusal(hello(field(12, field(1, "x\0")))) == .malformedHello, "nested")
        #expect(refusal(envelope(field(7, field(2, 5) + field(2, 6)))) == .malformedFrame)
    }

    @Test("partitions have 1 to 255 bytes", arguments: [16, 18] as [UInt64])
    func partitions(_ kind: UInt64) {
        #expect(refusal(envelope(field(kind, field(1, text(255))))) == nil)
        #expect(refusal(envelope(field(kind, field(1, text(256))))) == .invalidPartition)
        #expect(refusal(envelope(field(kind, [UInt8]()))) == .invalidPartition)
        #expect(refusal(envelope(field(kind, field(1, "a\0")))) == .malformedFrame)
        #expect(refusal(envelope(field(kind, field(1, [0xff])))) == .malformedFrame)
    }

    @Test("bodies that the broker unpacks are bounded, whatever the frame limit")
    func bodies() {
        let padding = field(900, [UInt8](repeating: 1, count: 16 * 1024))
        #expect(refusal(hello(padding)) == .malformedHello)
        let manyUnknown = Array(repeating: field(15, 0), count: 40_000).flatMap { $0 }
        for kind in [4, 5, 6, 7, 13, 16, 18] as [UInt64] {
            #expect(refusal(envelope(field(kind, manyUnknown))) == .malformedFrame)
        }
    }

    @Test("texts are cut at 8 KiB, at a character")
    func texts() throws {
        let long = field(2, String(repeating: "水", count: 4000))
        guard case .control(.close(let reason)) = try FrameCodec.decode(envelope(field(4, long))) else {
            Issue.record("not a Close")
            return
        }
        #expect(reason.message.utf8.count <= Limits.text)
        #expect(reason.message.hasSuffix("水…"))
    }

    @Test("values that this version does not know")
    func enums() throws {
        // EN-3: a later reason is a shutdown; a later ordering is the strictest that is known.
        #expect(try FrameCodec.decode(envelope(field(14, field(1, 3)))) == .control(.drain(.shutdown, deadlineMS: 0)))
        #expect(try FrameCodec.decode(envelope(field(14, field(2, 3)))) == .control(.drain(.shutdown, deadlineMS: 3)))
        let welcome = try FrameCodec.decode(envelope(field(3, field(13, field(6, 9)))))
        guard case .control(.welcome(let message)) = welcome else { throw CloseReason(.malformedFrame, "no Welcome") }
        #expect(message.inputs.map(\.ordering) == [.total])
    }
}

@Suite("Text from outside")
struct TextTests {
    @Test("control characters, direction overrides and line separators are shown")
    func escaping() {
        #expect(Text.escaped("a\u{1b}[31mb\n") == "a\\u{1b}[31mb\\u{a}")
        #expect(Text.escaped("\u{202e}x\u{2028}\u{9b}\0") == "\\u{202e}x\\u{2028}\\u{9b}\\u{0}")
        #expect(Text.escaped("Grüße, 水 🜁") == "Grüße, 水 🜁")
    }

    @Test("never longer than the limit, and the ellipsis says so")
    func cutting() {
        #expect(Text.escaped("abcdef", limit: 6) == "abcdef")
        #expect(Text.escaped("abcdefg", limit: 6) == "abc…")
        #expect(Text.escaped("水水水", limit: 8) == "水…")
        var random = SeededRandom(seed: 3)
        for _ in 0..<500 {
            let text = random.text(0, 60)
            for limit in 3..<40 { #expect(Text.escaped(text, limit: limit).utf8.count <= limit) }
        }
    }
}
