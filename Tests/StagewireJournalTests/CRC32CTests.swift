import StagewireJournal
import StagewireTestSupport
import Testing

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

    @Test func inPieces() {
        var random = SplitMix64(seed: 33)
        let bytes = (0..<500).map { _ in UInt8.random(in: 0...255, using: &random) }
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
