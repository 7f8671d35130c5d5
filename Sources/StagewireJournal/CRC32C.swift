import CJournal

/// The Castagnoli checksum (RFC 3720, appendix B.4: polynomial 0x1EDC6F41, reflected): by the processor's instruction where it has
/// one, else by tables. Its single bit errors, double bit errors and bursts of up to 32 bits never go unseen.
public struct CRC32C: Equatable, Sendable {
    private static let hasInstruction = sw_crc32c_supported()

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
        guard Self.hasInstruction else { return updateByTable(bytes) }
        state = bytes.withUnsafeBytes { sw_crc32c_update(state, $0.baseAddress, $0.count) }
    }

    /// Sixteen bytes per step by sixteen tables ("slicing-by-16", after Kounavis, Berry, "Novel Table Lookup-Based Algorithms
    /// for High-Performance CRC Generation", 2008).
    mutating func updateByTable(_ bytes: RawSpan) {
        let tables = CRCTables.shared
        var crc = state
        var offset = 0
        let end = bytes.byteCount
        while offset &+ 16 <= end {
            crc = tables.step(bytes.load64(offset) ^ UInt64(crc), bytes.load64(offset &+ 8))
            offset &+= 16
        }
        while offset < end {
            crc = tables.step(crc, byte: bytes.load8(offset))
            offset &+= 1
        }
        state = crc
    }
}

/// Table k holds what a byte contributes that is followed by k others. A class, so that its 16 KiB are never copied.
private final class CRCTables: Sendable {
    static let shared = CRCTables()

    private let table: InlineArray<4096, UInt32>

    private init() {
        var table = InlineArray<4096, UInt32>(repeating: 0)
        for index in 0..<256 {
            var crc = UInt32(index)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0x82f6_3b78 : crc >> 1 }
            table[index] = crc
        }
        for index in 256..<4096 {
            let shorter = table[index - 256]
            table[index] = shorter >> 8 ^ table[Int(shorter & 0xff)]
        }
        self.table = table
    }

    @inline(__always)
    func step(_ crc: UInt32, byte: UInt8) -> UInt32 {
        crc >> 8 ^ table[Int(UInt8(truncatingIfNeeded: crc) ^ byte)]
    }

    /// Every index is a byte and a multiple of 256 below 4096, which the compiler sees: no bounds are checked. The sixteen
    /// look-ups do not depend on each other; only the first word depends on the step before.
    @inline(__always)
    func step(_ first: UInt64, _ second: UInt64) -> UInt32 {
        @inline(__always)
        func part(_ word: UInt64, _ position: UInt64, _ after: Int) -> UInt32 {
            table[after &* 256 &+ Int(UInt8(truncatingIfNeeded: word &>> (position &* 8)))]
        }
        @inline(__always)
        func word(_ word: UInt64, _ after: Int) -> UInt32 {
            let low = part(word, 0, after) ^ part(word, 1, after &- 1) ^ part(word, 2, after &- 2)
            let middle = part(word, 3, after &- 3) ^ part(word, 4, after &- 4)
            return low ^ middle ^ part(word, 5, after &- 5) ^ part(word, 6, after &- 6) ^ part(word, 7, after &- 7)
        }
        return word(second, 7) ^ word(first, 15)
    }
}
