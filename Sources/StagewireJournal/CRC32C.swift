/// The Castagnoli checksum (RFC 3720, appendix B.4: polynomial 0x1EDC6F41, reflected), eight bytes per step by eight
/// tables ("slicing-by-8": Kounavis, Berry, "Novel Table Lookup-Based Algorithms for High-Performance CRC Generation",
/// 2008). Its single bit errors, double bit errors and bursts of up to 32 bits never go unseen.
///
/// The processor's own instruction would be about five times as fast. Swift reaches it only through C, and a table is
/// still several times as fast as what a disk takes.
public struct CRC32C: Equatable, Sendable {
    private var state: UInt32 = ~0

    public init() {}

    /// Of all bytes so far. "123456789" gives 0xe3069283.
    public var value: UInt32 { ~state }

    public static func of(_ bytes: RawSpan) -> UInt32 {
        var crc = CRC32C()
        crc.update(bytes)
        return crc.value
    }

    public mutating func update(_ bytes: RawSpan) {
        let tables = CRCTables.shared
        var crc = state
        var offset = 0
        let end = bytes.byteCount
        while offset &+ 8 <= end {
            crc = tables.step(crc, bytes.load64(offset))
            offset &+= 8
        }
        while offset < end {
            crc = tables.step(crc, byte: bytes.load8(offset))
            offset &+= 1
        }
        state = crc
    }
}

/// Table k holds what a byte contributes that is followed by k others. A class, so that its 8 KiB are never copied.
private final class CRCTables: Sendable {
    static let shared = CRCTables()

    private let table: InlineArray<2048, UInt32>

    private init() {
        var table = InlineArray<2048, UInt32>(repeating: 0)
        for index in 0..<256 {
            var crc = UInt32(index)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0x82f6_3b78 : crc >> 1 }
            table[index] = crc
        }
        for index in 256..<2048 {
            let shorter = table[index - 256]
            table[index] = shorter >> 8 ^ table[Int(shorter & 0xff)]
        }
        self.table = table
    }

    @inline(__always)
    func step(_ crc: UInt32, byte: UInt8) -> UInt32 {
        crc >> 8 ^ table[Int(UInt8(truncatingIfNeeded: crc) ^ byte)]
    }

    /// Every index is a byte and a multiple of 256 below 2048, which the compiler sees: no bounds are checked.
    @inline(__always)
    func step(_ crc: UInt32, _ word: UInt64) -> UInt32 {
        let mixed = word ^ UInt64(crc)
        @inline(__always)
        func part(_ position: UInt64, _ after: Int) -> UInt32 {
            table[after &* 256 &+ Int(UInt8(truncatingIfNeeded: mixed &>> (position &* 8)))]
        }
        let low = part(0, 7) ^ part(1, 6) ^ part(2, 5) ^ part(3, 4)
        return low ^ part(4, 3) ^ part(5, 2) ^ part(6, 1) ^ part(7, 0)
    }
}
