import StagewireModel
import Testing

@testable import StagewireWire

@Suite("Hostile bytes")
struct HostileTests {
    /// What is accepted survives being written and read again.
    private func probe(_ content: [UInt8], _ note: @autoclosure () -> String) -> Bool {
        do throws(CloseReason) {
            guard case .control(let message) = try FrameCodec.decode(content) else { return true }
            let again = FrameCodec.encode(message)
            let same = try FrameCodec.decode(Array(again[4...])) == .control(message)
            #expect(same, "\(note()): \(hex(content))")
            return true
        } catch {
            #expect(Code(rawValue: error.code) != nil && !error.message.isEmpty, "\(note())")
            return false
        }
    }

    @Test("25,000 random frames")
    func random() {
        let seed: UInt64 = 0xbad_c0de
        var random = SeededRandom(seed: seed)
        for round in 0..<25_000 {
            var content = random.bytes(upTo: 60)
            // Half of them look like an envelope at first.
            if random.flag() { content = envelope(field(random.next() % 20 + 1, content)) }
            _ = probe(content, "seed \(seed), round \(round)")
        }
    }

    @Test("25,000 mutated frames")
    func mutated() {
        let seed: UInt64 = 0xfeed_beef
        var random = SeededRandom(seed: seed)
        var accepted = 0
        for round in 0..<25_000 {
            guard let message = random.message(Kind.allCases.randomElement(using: &random)!) else { continue }
            var content = Array(FrameCodec.encode(message)[4...])
            for _ in 0...Int(random.next() % 3) { random.mutate(&content) }
            if probe(content, "seed \(seed), round \(round)") { accepted += 1 }
        }
        #expect(accepted > 1000, "mutations that always fail test little")
    }

    @Test("every frame cut at every byte")
    func truncated() {
        var random = SeededRandom(seed: 21)
        for kind in Kind.allCases {
            guard let message = random.message(kind) else { continue }
            let content = FrameCodec.encode(message)[4...]
            for end in content.indices.prefix(600) { _ = probe(Array(content[..<end]), "\(kind) cut at \(end)") }
        }
    }

    @Test("random bytes as a stream never make the splitter leave its buffer")
    func stream() {
        var random = SeededRandom(seed: 8)
        for _ in 0..<5000 {
            var bytes = random.bytes(upTo: 40)
            // Small lengths, so that frames are found too.
            for index in bytes.indices where index % 4 < 3 { bytes[index] &= random.flag() ? 0 : 1 }
            var offset = 0
            do throws(CloseReason) {
                while let range = try FrameSplitter().next(in: bytes.span.bytes, from: offset) {
                    #expect(range.lowerBound == offset + 4 && range.upperBound <= bytes.count)
                    offset = range.upperBound
                }
            } catch {
                #expect(error.code == Code.malformedFrame.rawValue || error.code == Code.frameTooLarge.rawValue)
            }
        }
    }
}

extension SeededRandom {
    fileprivate mutating func mutate(_ bytes: inout [UInt8]) {
        guard !bytes.isEmpty else { return }
        let index = Int(next() % UInt64(bytes.count))
        switch next() % 5 {
        case 0: bytes[index] ^= 1 << UInt8(next() % 8)
        case 1: bytes[index] = UInt8(truncatingIfNeeded: next())
        case 2: bytes.removeSubrange(index..<min(bytes.count, index + 3))
        case 3: bytes.insert(UInt8(truncatingIfNeeded: next()), at: index)
        default: bytes.append(contentsOf: bytes[index..<min(bytes.count, index + 20)])
        }
    }
}
