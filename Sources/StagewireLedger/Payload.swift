import StagewireModel

extension [UInt8] {
    /// A number in seven bits a byte, the low ones first, the last byte without the high bit.
    mutating func put(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        append(UInt8(truncatingIfNeeded: rest))
    }

    mutating func put(_ value: Int) { put(UInt64(value)) }

    /// Bytes behind their count.
    mutating func put(_ bytes: some Collection<UInt8>) {
        put(UInt64(bytes.count))
        append(contentsOf: bytes)
    }

    mutating func put(_ text: String) { put(text.utf8) }
}

/// A position in a payload. The bytes are passed to each call.
struct PayloadCursor {
    private(set) var offset: Int
    let end: Int

    init(_ bytes: RawSpan) {
        offset = 0
        end = bytes.byteCount
    }

    /// A part of the bytes.
    init(_ bytes: RawSpan, _ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.byteCount, "a part of the payload")
        offset = range.lowerBound
        end = range.upperBound
    }

    var isAtEnd: Bool { offset >= end }

    @inline(__always)
    mutating func number(_ bytes: RawSpan) throws(LedgerFlaw) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        let start = offset
        while offset < end {
            let byte = bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
            // The tenth byte has bit 63 alone.
            guard shift < 63 || byte <= 1 else {
                throw LedgerFlaw(what: "a number has more than 64 bits", offset: start)
            }
            offset += 1
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        throw LedgerFlaw(what: "a number does not end", offset: start)
    }

    /// A number that counts something.
    mutating func number(_ bytes: RawSpan, upTo limit: UInt64) throws(LedgerFlaw) -> UInt64 {
        let start = offset
        let value = try number(bytes)
        guard value <= limit else { throw LedgerFlaw(what: "\(value) is too large a number", offset: start) }
        return value
    }

    mutating func count(_ bytes: RawSpan) throws(LedgerFlaw) -> Int {
        let start = offset
        guard let value = Int(exactly: try number(bytes)) else {
            throw LedgerFlaw(what: "a number is too large", offset: start)
        }
        return value
    }

    mutating func number32(_ bytes: RawSpan) throws(LedgerFlaw) -> UInt32 {
        let start = offset
        guard let value = UInt32(exactly: try number(bytes)) else {
            throw LedgerFlaw(what: "a number has more than 32 bits", offset: start)
        }
        return value
    }

    /// Steps over `count` bytes and says where they lie.
    mutating func skip(_ count: Int) throws(LedgerFlaw) -> Range<Int> {
        guard count >= 0, count <= end - offset else {
            throw LedgerFlaw(what: "\(count) bytes are announced and \(end - offset) are there", offset: offset)
        }
        offset += count
        return offset - count..<offset
    }

    mutating func data(_ bytes: RawSpan) throws(LedgerFlaw) -> [UInt8] {
        let range = try skip(count(bytes))
        return bytes.extracting(range).withUnsafeBytes { Array($0) }
    }

    mutating func text(_ bytes: RawSpan) throws(LedgerFlaw) -> String {
        let range = try skip(count(bytes))
        let text = bytes.extracting(range).withUnsafeBytes { String(validating: $0, as: UTF8.self) }
        guard let text else { throw LedgerFlaw(what: "a text is not UTF-8", offset: range.lowerBound) }
        return text
    }

    mutating func flag(_ bytes: RawSpan) throws(LedgerFlaw) -> Bool { try number(bytes, upTo: 1) == 1 }
}
