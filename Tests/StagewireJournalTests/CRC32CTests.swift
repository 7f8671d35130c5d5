import CJournal
import StagewireTestSupport
import Testing

@testable import StagewireJournal

struct CRC32CTests {
    /// RFC 3720, appendix B.4, and the usual check value.
    @Test func knownAnswers() {
        func crc(_ bytes: [UInt8]) -> UInt32 { CRC32C.of(bytes.span.bytes) }
        #expect(crc([]) == 0)
        #expect(crc(Array("123456789".utf8)) == 0xe306_9283)
        #expect(crc([UInt8](repeating: 0, count: 32)) == 0x8a91_36aa)
        #expect(crc([UInt8](repeating: 0xff, count: 32)) == 0x62a8_ab43)
        #expect(crc(Array(0..<32)) == 0x46dd_794e)
        #expect(crc(Array((0..<32).reversed())) == 0x113f_db5c)
        var command = [UInt8](repeating: 0, count: 48)
        command[0] = 0x01
        command[1] = 0xc0
        command[16] = 0x14
        command[22] = 0x04
        command[27] = 0x14
        command[31] = 0x18
        command[32] = 0x28
        command[40] = 0x02
        #expect(crc(command) == 0xd996_3a56)
    }

    /// Against division bit by bit, at every length and from every alignment.
    @Test func likeLongDivision() {
        var random = SplitMix64(seed: 32)
        let bytes = (0..<80).map { _ in UInt8.random(in: 0...255, using: &random) }
        for start in 0..<9 {
            for end in start...bytes.count {
                let expected = divided(bytes[start..<end])
                #expect(CRC32C.of(bytes.span.bytes.extracting(start..<end)) == expected)
            }
        }
    }

    /// What the processor does and what the tables do is one thing: at every length up to where the longest stretches begin to
    /// be taken apart, from every alignment, with whatever was summed before.
    @Test func instructionLikeTables() {
        var random = SplitMix64(seed: 34)
        let bytes = (0..<4216).map { _ in UInt8.random(in: 0...255, using: &random) }
        let before = (0..<9).map { _ in UInt8.random(in: 0...255, using: &random) }
        for start in 0..<16 {
            for length in 0...4200 { expectSame(bytes, start..<start + length, behind: before) }
        }
    }

    /// The long stretches, and what remains behind them.
    @Test func instructionLikeTablesForLongParts() {
        var random = SplitMix64(seed: 35)
        let bytes = (0..<200_000).map { _ in UInt8.random(in: 0...255, using: &random) }
        for _ in 0..<300 {
            let start = Int.random(in: 0..<50_000, using: &random)
            expectSame(bytes, start..<Int.random(in: start...bytes.count, using: &random), behind: [])
        }
        for length in [24_575, 24_576, 24_577, 49_152, 73_729] { expectSame(bytes, 0..<length, behind: [1]) }
    }

    /// Where the processor has no instruction the other tests ask the tables alone, and this one says so.
    @Test(.enabled(if: sw_crc32c_supported(), "no instruction here: only tables are tested"))
    func instructionIsUsed() {
        #expect(~sw_crc32c_update(~0, Array("123456789".utf8), 9) == 0xe306_9283)
    }

    private func expectSame(_ bytes: [UInt8], _ range: Range<Int>, behind before: [UInt8]) {
        var crc = CRC32C()
        crc.update(before.span.bytes)
        var tables = CRC32C()
        tables.updateByTable(before.span.bytes)
        crc.update(bytes.span.bytes.extracting(range))
        tables.updateByTable(bytes.span.bytes.extracting(range))
        if crc != tables { Issue.record("\(range): \(crc.value) and \(tables.value)") }
    }

    @Test func inPieces() {
        var random = SplitMix64(seed: 33)
        let bytes = (0..<5000).map { _ in UInt8.random(in: 0...255, using: &random) }
        for _ in 0..<200 {
            var crc = CRC32C()
            var offset = 0
            while offset < bytes.count {
                let end = Int.random(in: offset...bytes.count, using: &random)
                crc.update(bytes.span.bytes.extracting(offset..<end))
                offset = end
            }
            #expect(crc.value == CRC32C.of(bytes.span.bytes))
        }
    }

    private func divided(_ bytes: some Sequence<UInt8>) -> UInt32 {
        var crc = ~UInt32(0)
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0x82f6_3b78 : crc >> 1 }
        }
        return ~crc
    }
}
