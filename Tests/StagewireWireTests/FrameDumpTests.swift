import Foundation
import StagewireModel
import Testing

@testable import StagewireWire

@Suite("Frames as trees")
struct FrameDumpTests {
    // MARK: What is well-formed

    @Test("protoc sees the same in the worked frames", .enabled(if: Protoc.isInstalled))
    func worked() throws {
        let frames = try WorkedFrames.all()
        #expect(frames.count >= 8)
        for (name, content) in frames {
            let dump = FrameDump(content)
            #expect(dump.flaws == [], "\(name)")
            #expect(try ProtocText.of(dump.fields) == Protoc.decode(content), "\(name)")
        }
    }

    @Test("protoc sees the same in random messages", .enabled(if: Protoc.isInstalled), arguments: Kind.allCases)
    func random(_ kind: Kind) throws {
        let seed = 0xd0_0d + UInt64(kind.rawValue)
        var random = SeededRandom(seed: seed)
        for round in 0..<4 {
            guard let message = random.message(kind) else { return }
            let content = Array(FrameCodec.encode(message)[4...])
            let dump = FrameDump(content)
            #expect(dump.kind == kind.name && dump.flaws == [] && !dump.isCut, "seed \(seed), round \(round)")
            #expect(try ProtocText.of(dump.fields) == Protoc.decode(content), "seed \(seed), round \(round)")
        }
    }

    @Test("what is read as a control message has no flaw, and what is refused has one, over 30,000 mutations")
    func agreement() {
        let seed: UInt64 = 0xface
        var random = SeededRandom(seed: seed)
        var refused = 0
        for round in 0..<30_000 {
            guard let message = random.message(Kind.allCases.randomElement(using: &random)!) else { continue }
            var content = Array(FrameCodec.encode(message)[4...])
            for _ in 0..<random.next() % 3 {
                content[Int(random.next() % UInt64(content.count))] = UInt8(random.next() & 255)
            }
            if random.next() % 8 == 0 { content.removeLast(Int(random.next() % UInt64(content.count))) }
            let dump = FrameDump(content)
            #expect(dump.flaws.count <= FrameDump.mostFlaws)
            #expect(dump.flaws.allSatisfy { 0...content.count ~= $0.offset }, "seed \(seed), round \(round)")
            switch Result(catching: { () throws(CloseReason) in try FrameCodec.decode(content) }) {
            case .success(.control): #expect(dump.flaws == [], "seed \(seed), round \(round): \(hex(content))")
            case .success: break
            case .failure:
                refused += 1
                #expect(dump.flaws != [], "seed \(seed), round \(round): \(hex(content))")
            }
        }
        #expect(refused > 1000, "mutations that never break anything test little")
    }

    // MARK: What is not

    private func firstFlaw(_ content: [UInt8]) -> FrameDump.Flaw? { FrameDump(content).flaws.first }

    @Test("a field that is cut off is named, and what there is of it is shown")
    func truncated() throws {
        let content = envelope(field(4, field(1, 208) + field(2, "again")))
        let dump = FrameDump(Array(content.dropLast(2)))
        #expect(dump.kind == "Close")
        #expect(dump.flaws.map(\.offset) == [3], "the field begins behind the version, and is named once")
        guard case .message(let close)? = dump.fields.last?.value else { throw Wrong(dump) }
        #expect(close.map(\.value) == [.unsigned(208), .text("aga")])
    }

    @Test("flaws have a place")
    func places() {
        // version, then Close's tag and length: its first field begins at byte 5.
        #expect(firstFlaw(envelope(field(4, [0x07])))?.offset == 5)
        let utf8 = firstFlaw(envelope(field(4, field(1, 208) + field(2, [0x61, 0xff]))))
        #expect(utf8 == FrameDump.Flaw(offset: 10, problem: "message is not valid UTF-8"))
        let type = firstFlaw(envelope(field(4, field(2, 7))))
        #expect(type == FrameDump.Flaw(offset: 6, problem: "message is sent as varint, not as bytes"))
        let twice = firstFlaw(envelope(field(4, field(1, 208) + field(1, 209))))
        #expect(twice == FrameDump.Flaw(offset: 8, problem: "code is sent twice"))
        let packed = firstFlaw(envelope(field(8, field(3, [0x01, 0x80]))))
        #expect(packed == FrameDump.Flaw(offset: 8, problem: "attempts is not a list of numbers"))
    }

    @Test("another version and two messages are flaws of the whole frame")
    func whole() {
        #expect(firstFlaw(field(1, 2000) + field(13, []))?.problem.contains("protocol 2.0") == true)
        #expect(firstFlaw(envelope(field(13, []) + field(5, [])))?.problem.contains("two messages") == true)
        #expect(firstFlaw([])?.problem.contains("without a protocol version") == true)
    }

    @Test("what is not known is shown by number")
    func unknown() throws {
        let dump = FrameDump(envelope(field(40, [1, 2]) + field(5, field(1, 9) + varint(99 << 3 | 5) + [1, 0, 0, 0])))
        #expect(dump.flaws == [] && dump.kind == "Ping")
        #expect(dump.fields.map(\.name) == ["version", nil, "ping"])
        #expect(dump.fields[1].value == .raw(wireType: "bytes", [1, 2]))
        guard case .message(let ping) = dump.fields[2].value else { throw Wrong(dump) }
        #expect(ping.map(\.number) == [1, 99])
        #expect(ping[1].value == .raw(wireType: "fixed32", [1, 0, 0, 0]))
        let reason = FrameDump(envelope(field(14, field(1, 77))))
        guard case .message(let drain) = reason.fields[1].value else { throw Wrong(reason) }
        #expect(drain[0].value == .enumeration(name: nil, number: 77))
    }

    @Test("every kind of number")
    func numbers() throws {
        func attribute(_ value: [UInt8]) throws -> FrameDump.Value {
            let header = field(6, field(1, "a") + value)
            let dump = FrameDump(envelope(field(8, field(2, 1) + field(4, field(2, header)))))
            guard case .message(let deliver)? = dump.fields.last?.value,
                case .message(let record)? = deliver.last?.value,
                case .message(let header)? = record.first?.value, case .message(let attribute)? = header.first?.value,
                let value = attribute.last?.value
            else { throw Wrong(dump) }
            return value
        }
        #expect(try attribute(field(3, 0)) == .signed(0))
        #expect(try attribute(field(3, 1)) == .signed(-1))
        #expect(try attribute(field(3, UInt64.max)) == .signed(.min))
        #expect(try attribute(field(5, 1)) == .flag(true))
        #expect(try attribute([0x21, 0, 0, 0, 0, 0, 0, 0xf8, 0xbf]) == .real(-1.5))
    }

    @Test("a frame of millions of fields is cut, not kept")
    func bounded() {
        // Empty runs, two bytes each.
        let runs = [[UInt8]](repeating: [0x0a, 0x00], count: FrameDump.largestTree).flatMap(\.self)
        let large = FrameDump(envelope(field(15, runs)))
        #expect(large.isCut && large.flaws == [])
        guard case .message(let fields)? = large.fields.last?.value else { return }
        #expect(fields.count < FrameDump.largestTree && fields.count > FrameDump.largestTree - 10)
    }

    private struct Wrong: Error {
        init(_ dump: FrameDump) { Issue.record("an unexpected tree: \(dump)") }
    }
}

/// conformance/vectors/worked, without their length prefixes.
enum WorkedFrames {
    static func all() throws -> [(name: String, content: [UInt8])] {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let directory = root.path + "/conformance/vectors/worked"
        let names = try FileManager.default.contentsOfDirectory(atPath: directory).filter { $0.hasSuffix(".hex") }
        return try names.sorted().map { name in
            let text = String(decoding: try Data(contentsOf: URL(filePath: "\(directory)/\(name)")), as: UTF8.self)
            let digits = text.split(separator: "\n").map { $0.prefix { $0 != ";" } }.joined()
            return (name, Array(hex(digits)[4...]))
        }
    }
}

/// A tree as `protoc --decode` writes it.
enum ProtocText {
    static func of(_ fields: [FrameDump.Field], indent: String = "") -> String {
        fields.map { field in
            let name = field.name ?? "\(field.number)"
            guard case .message(let inner) = field.value else { return "\(indent)\(name): \(scalar(field.value))\n" }
            return "\(indent)\(name) {\n\(of(inner, indent: indent + "  "))\(indent)}\n"
        }.joined()
    }

    private static func scalar(_ value: FrameDump.Value) -> String {
        switch value {
        case .message, .raw: "?"
        case .unsigned(let number): "\(number)"
        case .signed(let number): "\(number)"
        case .real(let number): number == number.rounded() ? "\(Int(number))" : "\(number)"
        case .flag(let flag): "\(flag)"
        case .text(let text): quoted(Array(text.utf8))
        case .bytes(let bytes): quoted(bytes)
        case .enumeration(let name, let number): name ?? "\(number)"
        }
    }

    private static func quoted(_ bytes: [UInt8]) -> String {
        let plain = bytes.map { byte in
            switch byte {
            case UInt8(ascii: "\n"): "\\n"
            case UInt8(ascii: "\r"): "\\r"
            case UInt8(ascii: "\t"): "\\t"
            case UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "\\"): "\\" + String(UnicodeScalar(byte))
            case 0x20..<0x7f: String(UnicodeScalar(byte))
            default:
                "\\" + String(repeating: "0", count: 3 - String(byte, radix: 8).count) + String(byte, radix: 8)
            }
        }
        return "\"" + plain.joined() + "\""
    }
}
