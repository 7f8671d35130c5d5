// The one file of this module that touches memory by address.
//
// Invariant: every read and write lies inside [base, base + capacity) of a live `Slab`, or inside the
// span it is given. Reads through `RawSpan` are checked by the span, or have been checked by `FieldCursor`; writes through `Slab` are checked by
// `Slab.check`, in release builds too. A `RecordRef` is made by `StreamLog` and `RecordBlock` only, over
// bytes that they wrote, and is valid until its owner releases them.

extension RawSpan {
    /// The byte at `offset`; traps outside the span.
    @inline(__always)
    func byte(_ offset: Int) -> UInt8 { unsafeLoad(fromByteOffset: offset, as: UInt8.self) }

    /// The byte at `offset`, which the caller has compared with the span's end: see `FieldCursor`'s invariant.
    @inline(__always)
    func byte(unchecked offset: Int) -> UInt8 { unsafeLoad(fromUncheckedByteOffset: offset, as: UInt8.self) }

    /// Eight bytes from `offset`, little-endian; traps unless all lie inside the span.
    @inline(__always)
    func word(_ offset: Int) -> UInt64 {
        UInt64(littleEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    /// The bytes of `range`, at most eight, little-endian, the missing ones zero.
    @inline(__always)
    func short(_ range: Range<Int>) -> UInt64 {
        let count = range.upperBound &- range.lowerBound
        precondition(range.upperBound <= byteCount && count <= 8, "a short part of the span")
        guard count > 0 else { return 0 }
        if range.lowerBound <= byteCount &- 8 {
            return raw(range.lowerBound) & UInt64.max &>> UInt64(truncatingIfNeeded: 64 &- 8 &* count)
        }
        var value: UInt64 = 0
        for offset in range.reversed() { value = value &<< 8 | UInt64(byte(offset)) }
        return value
    }

    /// Whether `count` bytes are the same at two places. The caller has seen to it that both lie within the span, with eight
    /// bytes more behind them.
    @inline(__always)
    func isSameUnchecked(_ one: Int, _ other: Int, count: Int) -> Bool {
        var offset = 0
        var difference: UInt64 = 0
        while offset &+ 8 <= count {
            difference |= raw(one &+ offset) ^ raw(other &+ offset)
            offset &+= 8
        }
        let mask = ~(UInt64.max &<< UInt64(truncatingIfNeeded: 8 &* (count &- offset)))
        return (difference | (raw(one &+ offset) ^ raw(other &+ offset)) & mask) == 0
    }

    /// Eight bytes from `offset`, which the caller has compared with the span's end.
    @inline(__always)
    private func raw(_ offset: Int) -> UInt64 {
        UInt64(littleEndian: unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt64.self))
    }

    /// A copy of the bytes of `range`.
    func copy(_ range: Range<Int>) -> [UInt8] {
        extracting(range).withUnsafeBytes { Array($0) }
    }

    /// The bytes of `range` as text; the caller has checked that they are UTF-8.
    func text(_ range: Range<Int>) -> String {
        extracting(range).withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }

    /// The full UTF-8 check, by the standard library.
    @inline(never)
    func isUnicode(_ range: Range<Int>) -> Bool {
        extracting(range).withUnsafeBytes { raw in
            raw.withMemoryRebound(to: UInt8.self) { buffer in
                (try? UTF8Span(validating: buffer.span)) != nil
            }
        }
    }
}

/// A piece of memory of a fixed size. It is a plain value: whoever allocates it frees it, once.
struct Slab {
    let base: UnsafeMutableRawPointer
    let capacity: Int

    static func allocate(_ capacity: Int) -> Slab {
        precondition(capacity > 0, "a slab holds something")
        return Slab(base: .allocate(byteCount: capacity, alignment: 16), capacity: capacity)
    }

    func free() { base.deallocate() }

    /// The callable form of the invariant.
    @inline(__always)
    func check(_ offset: Int, _ count: Int) {
        precondition(offset >= 0 && count >= 0 && count <= capacity - offset, "write outside of a slab")
    }

    /// The address of `count` bytes that were written at `offset`.
    @inline(__always)
    func address(_ offset: Int, count: Int) -> UnsafeRawPointer {
        check(offset, count)
        return UnsafeRawPointer(base + offset)
    }
}

/// Writes one piece after the other into a slab. Kept in a local variable, it lives in registers.
struct SlabWriter {
    private let base: UnsafeMutableRawPointer
    private let limit: Int
    /// Where the next byte goes.
    private(set) var offset: Int

    @inline(__always)
    init(_ slab: Slab, at offset: Int) {
        slab.check(offset, 0)
        base = slab.base
        limit = slab.capacity
        self.offset = offset
    }

    @inline(__always)
    private func check(_ count: Int) { precondition(count <= limit &- offset, "write outside of a slab") }

    @inline(__always)
    mutating func put(byte: UInt8) {
        check(1)
        base.storeBytes(of: byte, toByteOffset: offset, as: UInt8.self)
        offset &+= 1
    }

    @inline(__always)
    mutating func put(word: UInt64) {
        check(8)
        base.storeBytes(of: word.littleEndian, toByteOffset: offset, as: UInt64.self)
        offset &+= 8
    }

    /// A tag, a length byte and two words: one check for all.
    @inline(__always)
    mutating func put(tag: UInt8, low: UInt64, high: UInt64) {
        check(18)
        base.storeBytes(of: (UInt16(tag) | 16 << 8).littleEndian, toByteOffset: offset, as: UInt16.self)
        base.storeBytes(of: low.littleEndian, toByteOffset: offset &+ 2, as: UInt64.self)
        base.storeBytes(of: high.littleEndian, toByteOffset: offset &+ 10, as: UInt64.self)
        offset &+= 18
    }

    /// A varint in the fewest bytes.
    @inline(__always)
    mutating func put(varint value: UInt64) {
        check(Varint.size(value))
        var rest = value
        while rest >= 0x80 {
            base.storeBytes(of: UInt8(truncatingIfNeeded: rest) | 0x80, toByteOffset: offset, as: UInt8.self)
            offset &+= 1
            rest &>>= 7
        }
        base.storeBytes(of: UInt8(truncatingIfNeeded: rest), toByteOffset: offset, as: UInt8.self)
        offset &+= 1
    }

    @inline(__always)
    mutating func put(_ bytes: RawSpan) {
        check(bytes.byteCount)
        bytes.withUnsafeBytes { source in
            guard let from = source.baseAddress else { return }
            (base + offset).copyMemory(from: from, byteCount: source.count)
        }
        offset &+= bytes.byteCount
    }

    /// A part of another slab.
    @inline(__always)
    mutating func put(_ other: Slab, _ part: Range<Int>) {
        check(part.count)
        other.check(part.lowerBound, part.count)
        (base + offset).copyMemory(from: other.base + part.lowerBound, byteCount: part.count)
        offset &+= part.count
    }

    /// Replaces a byte that was put earlier.
    @inline(__always)
    func patch(_ byte: UInt8, at earlier: Int) {
        precondition(earlier >= 0 && earlier < offset, "a byte that was put before")
        base.storeBytes(of: byte, toByteOffset: earlier, as: UInt8.self)
    }
}

extension RecordRef {
    /// Lends the wire-ready bytes: tag, length and record.
    @inline(__always)
    func withWire<Result, Failure: Error>(_ body: (RawSpan) throws(Failure) -> Result) throws(Failure) -> Result {
        let buffer = UnsafeRawBufferPointer(start: start, count: wireLength)
        return try body(buffer.bytes)
    }
}
