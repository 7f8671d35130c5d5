/// MurmurHash3, x64, 128 bits, seed 0 (Austin Appleby, public domain): LI-4. Written plainly and apart from the
/// broker's, so that the suite does not share a mistake with it.
enum Murmur {
    /// 16 bytes: h1, then h2, each little-endian.
    static func hash(_ bytes: [UInt8]) -> [UInt8] {
        let (first, second) = words(bytes)
        return little(first) + little(second)
    }

    static func little(_ word: UInt64) -> [UInt8] { withUnsafeBytes(of: word.littleEndian, Array.init) }

    private static func words(_ bytes: [UInt8]) -> (UInt64, UInt64) {
        let c1: UInt64 = 0x87c3_7b91_1142_53d5
        let c2: UInt64 = 0x4cf5_ad43_2745_937f
        var h1: UInt64 = 0
        var h2: UInt64 = 0
        let whole = bytes.count / 16 * 16
        for start in stride(from: 0, to: whole, by: 16) {
            h1 ^= turned(word(bytes, start) &* c1, 31) &* c2
            h1 = (turned(h1, 27) &+ h2) &* 5 &+ 0x52dc_e729
            h2 ^= turned(word(bytes, start + 8) &* c2, 33) &* c1
            h2 = (turned(h2, 31) &+ h1) &* 5 &+ 0x3849_5ab5
        }
        let rest = Array(bytes[whole...]) + [UInt8](repeating: 0, count: 16)
        h2 ^= turned(word(rest, 8, limit: bytes.count - whole) &* c2, 33) &* c1
        h1 ^= turned(word(rest, 0, limit: bytes.count - whole) &* c1, 31) &* c2
        h1 ^= UInt64(bytes.count)
        h2 ^= UInt64(bytes.count)
        h1 &+= h2
        h2 &+= h1
        h1 = mixed(h1)
        h2 = mixed(h2)
        h1 &+= h2
        h2 &+= h1
        return (h1, h2)
    }

    private static func word(_ bytes: [UInt8], _ start: Int, limit: Int = .max) -> UInt64 {
        var value: UInt64 = 0
        for offset in (0..<8).reversed() {
            value = value << 8 | (start + offset < limit ? UInt64(bytes[start + offset]) : 0)
        }
        return value
    }

    private static func turned(_ value: UInt64, _ count: UInt64) -> UInt64 { value << count | value >> (64 - count) }

    private static func mixed(_ value: UInt64) -> UInt64 {
        var k = value
        k ^= k >> 33
        k &*= 0xff51_afd7_ed55_8ccd
        k ^= k >> 33
        k &*= 0xc4ce_b9fe_1a85_ec53
        k ^= k >> 33
        return k
    }
}
