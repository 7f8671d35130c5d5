// Integers in bytes: little-endian everywhere. The loads of `RawSpan` check their bounds, "unsafe" is only in their name.

extension RawSpan {
    @inline(__always)
    func load8(_ offset: Int) -> UInt8 { unsafeLoad(fromByteOffset: offset, as: UInt8.self) }

    @inline(__always)
    func load32(_ offset: Int) -> UInt32 {
        UInt32(littleEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    @inline(__always)
    func load64(_ offset: Int) -> UInt64 {
        UInt64(littleEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    /// The first byte of `range` that is not zero.
    func firstNonzero(_ range: Range<Int>) -> Int? {
        var offset = range.lowerBound
        while offset &+ 8 <= range.upperBound, load64(offset) == 0 { offset &+= 8 }
        while offset < range.upperBound, load8(offset) == 0 { offset &+= 1 }
        return offset < range.upperBound ? offset : nil
    }

    /// The last byte of `range` that is not zero.
    func lastNonzero(_ range: Range<Int>) -> Int? {
        var end = range.upperBound
        while end &- 8 >= range.lowerBound, load64(end &- 8) == 0 { end &-= 8 }
        while end > range.lowerBound, load8(end &- 1) == 0 { end &-= 1 }
        return end > range.lowerBound ? end - 1 : nil
    }
}

extension [UInt8] {
    mutating func store(_ value: some FixedWidthInteger, at offset: Int) {
        for index in 0..<value.bitWidth / 8 {
            self[offset + index] = UInt8(truncatingIfNeeded: value >> (index * 8))
        }
    }

    mutating func append(_ bytes: RawSpan) {
        bytes.withUnsafeBytes { append(contentsOf: $0) }
    }
}
