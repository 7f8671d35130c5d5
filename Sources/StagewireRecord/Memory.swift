// The one file of this module that touches memory by address.
//
// Invariant: every read and write lies inside [base, base + capacity) of a live `Slab`, or inside the
// span it is given. Reads through `RawSpan` are checked by the span; writes through `Slab` are checked by
// `Slab.check`, in release builds too. A `RecordRef` is made by `StreamLog` and `RecordBlock` only, over
// bytes that they wrote, and is valid until its owner releases them.

extension RawSpan {
    /// The byte at `offset`; traps outside the span.
    @inline(__always)
    func byte(_ offset: Int) -> UInt8 { unsafeLoad(fromByteOffset: offset, as: UInt8.self) }

    /// Eight bytes from `offset`, little-endian; traps unless all lie inside the span.
    @inline(__always)
    func word(_ offset: Int) -> UInt64 {
        UInt64(littleEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
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

    @inline(__always)
    func write(_ byte: UInt8, at offset: Int) {
        check(offset, 1)
        base.storeBytes(of: byte, toByteOffset: offset, as: UInt8.self)
    }

    @inline(__always)
    func write(_ word: UInt64, at offset: Int) {
        check(offset, 8)
        base.storeBytes(of: word.littleEndian, toByteOffset: offset, as: UInt64.self)
    }

    /// Writes a varint in the fewest bytes and returns the offset behind it.
    @inline(__always)
    func write(varint value: UInt64, at offset: Int) -> Int {
        check(offset, Varint.size(value))
        var rest = value
        var at = offset
        while rest >= 0x80 {
            base.storeBytes(of: UInt8(truncatingIfNeeded: rest) | 0x80, toByteOffset: at, as: UInt8.self)
            rest >>= 7
            at += 1
        }
        base.storeBytes(of: UInt8(truncatingIfNeeded: rest), toByteOffset: at, as: UInt8.self)
        return at + 1
    }

    @inline(__always)
    func write(_ bytes: RawSpan, at offset: Int) {
        check(offset, bytes.byteCount)
        bytes.withUnsafeBytes { source in
            guard let from = source.baseAddress else { return }
            (base + offset).copyMemory(from: from, byteCount: source.count)
        }
    }

    /// Copies a part of another slab; they do not overlap.
    @inline(__always)
    func write(_ other: Slab, from start: Int, count: Int, at offset: Int) {
        check(offset, count)
        other.check(start, count)
        (base + offset).copyMemory(from: other.base + start, byteCount: count)
    }

    /// The address of `count` bytes that were written at `offset`.
    @inline(__always)
    func address(_ offset: Int, count: Int) -> UnsafeRawPointer {
        check(offset, count)
        return UnsafeRawPointer(base + offset)
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
