/// A position in one protobuf message. The bytes are passed to each call, so that the cursor stays a pair
/// of numbers and can be stored and copied freely.
///
/// It is stricter than protobuf's own readers: tags and lengths have to be minimal, and groups do not exist.
/// Invariant: 0 <= position <= end <= byteCount of the span, which is the one that `init` was given. So a
/// byte at `position < end` is read without a further check, and sums of the two cannot overflow.
struct FieldCursor {
    private(set) var position: Int
    let end: Int

    @inline(__always)
    init(_ range: Range<Int>, in bytes: RawSpan) {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.byteCount, "a message inside its bytes")
        position = range.lowerBound
        end = range.upperBound
    }

    @inline(__always)
    var isAtEnd: Bool { position >= end }

    /// Goes on behind what was read by other means.
    @inline(__always)
    mutating func move(to later: Int) {
        precondition(later >= position && later <= end, "a cursor moves on within its message")
        position = later
    }

    /// The next field's tag: field number << 3 | wire type. It may still be one that does not exist; no known tag
    /// is, and `skip` refuses all others that are not well-formed.
    @inline(__always)
    mutating func tag(_ bytes: RawSpan) throws(Malformed) -> UInt32 {
        guard position < end else { throw Malformed(.truncated, position) }
        let first = bytes.byte(unchecked: position)
        if first < 0x80 {
            position &+= 1
            return UInt32(first)
        }
        return try longTag(bytes)
    }

    @inline(never)
    private mutating func longTag(_ bytes: RawSpan) throws(Malformed) -> UInt32 {
        let start = position
        let value = try minimalVarint(bytes)
        guard value <= UInt64(UInt32.max) else { throw Malformed(.fieldNumber, start) }
        return UInt32(value)
    }

    /// Any varint of up to 64 bits; padding is allowed, as in protobuf.
    @inline(__always)
    mutating func varint(_ bytes: RawSpan) throws(Malformed) -> UInt64 {
        if let short = shortVarint(bytes) { return short }
        return try longVarint(bytes)
    }

    /// A varint in the fewest bytes: its last byte is not zero, unless it is the only one.
    @inline(__always)
    mutating func minimalVarint(_ bytes: RawSpan) throws(Malformed) -> UInt64 {
        if let short = shortVarint(bytes) { return short }
        return try longMinimalVarint(bytes)
    }

    /// A minimal varint of one or two bytes: most tags, lengths and numbers.
    @inline(__always)
    private mutating func shortVarint(_ bytes: RawSpan) -> UInt64? {
        guard position < end else { return nil }
        let first = UInt64(bytes.byte(unchecked: position))
        if first < 0x80 {
            position &+= 1
            return first
        }
        guard position &+ 1 < end else { return nil }
        let second = UInt64(bytes.byte(unchecked: position &+ 1))
        guard second < 0x80, second != 0 else { return nil }
        position &+= 2
        return first & 0x7f | second &<< 7
    }

    @inline(never)
    private mutating func longVarint(_ bytes: RawSpan) throws(Malformed) -> UInt64 {
        let start = position
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while position < end {
            let byte = bytes.byte(unchecked: position)
            // The tenth byte carries bit 63 alone.
            guard shift < 63 || byte <= 1 else { throw Malformed(.overflow, start) }
            position &+= 1
            value |= UInt64(byte & 0x7f) &<< shift
            if byte < 0x80 { return value }
            shift &+= 7
        }
        throw Malformed(.truncated, start)
    }

    @inline(never)
    private mutating func longMinimalVarint(_ bytes: RawSpan) throws(Malformed) -> UInt64 {
        let start = position
        let value = try longVarint(bytes)
        guard bytes.byte(position - 1) != 0 else { throw Malformed(.nonMinimal, start) }
        return value
    }

    /// A `uint32`. Protobuf's readers cut larger numbers off silently; here they are refused.
    @inline(__always)
    mutating func number32(_ bytes: RawSpan) throws(Malformed) -> UInt32 {
        let start = position
        let value = try varint(bytes)
        guard value <= UInt64(UInt32.max) else { throw Malformed(.overflow, start) }
        return UInt32(value)
    }

    /// A `bool` in its only canonical forms, one byte 0 or 1.
    @inline(__always)
    mutating func flag(_ bytes: RawSpan) throws(Malformed) -> Bool {
        let start = position
        let value = try minimalVarint(bytes)
        guard value <= 1 else { throw Malformed(.flagValue, start) }
        return value == 1
    }

    /// The bytes of a length-delimited field, and steps over them.
    @inline(__always)
    mutating func delimited(_ bytes: RawSpan) throws(Malformed) -> Range<Int> {
        let start = position
        let length = try minimalVarint(bytes)
        guard length <= UInt64(truncatingIfNeeded: end &- position) else { throw Malformed(.truncated, start) }
        let content = Range(uncheckedBounds: (position, position &+ Int(truncatingIfNeeded: length)))
        position = content.upperBound
        return content
    }

    /// A length-delimited field that has to be UTF-8.
    @inline(__always)
    mutating func string(_ bytes: RawSpan) throws(Malformed) -> Range<Int> {
        let content = try delimited(bytes)
        guard bytes.isUTF8(content) else { throw Malformed(.utf8, content.lowerBound) }
        return content
    }

    /// Steps over `count` bytes of a fixed-width field.
    @inline(__always)
    mutating func fixed(_ count: Int) throws(Malformed) {
        guard count <= end &- position else { throw Malformed(.truncated, position) }
        position &+= count
    }

    /// Steps over a field that this version does not know. What comes here too, and is refused: tags that do not
    /// exist, and field numbers up to `known` with another wire type than the schema's.
    @inline(never)
    mutating func skip(_ tag: UInt32, known: UInt32, _ bytes: RawSpan) throws(Malformed) {
        guard tag >> 3 > 0 else { throw Malformed(.fieldNumber, position) }
        guard tag & 7 < 3 || tag & 7 == 5 else { throw Malformed(.group, position) }
        guard tag >> 3 > known else { throw Malformed(.wireType, position) }
        switch tag & 7 {
        case 0: _ = try varint(bytes)
        case 1: try fixed(8)
        case 2: _ = try delimited(bytes)
        default:
            precondition(tag & 7 == 5, "the wire types left are 0, 1, 2 and 5")
            try fixed(4)
        }
    }
}

extension RawSpan {
    /// Whether `range` is UTF-8 as Unicode defines it (no overlong forms, no surrogates). Most texts are
    /// ASCII, so eight bytes are looked at at a time before the full check is made.
    @inline(__always)
    func isUTF8(_ range: Range<Int>) -> Bool {
        let nonASCII: UInt64 = 0x8080_8080_8080_8080
        var position = range.lowerBound
        var bits: UInt64 = 0
        while range.upperBound &- position >= 8 {
            bits |= word(position)
            position &+= 8
        }
        if position < range.upperBound {
            if range.count >= 8 {
                bits |= word(range.upperBound &- 8)  // overlaps what was looked at before
            } else {
                for offset in position..<range.upperBound { bits |= UInt64(byte(offset)) }
            }
        }
        return bits & nonASCII == 0 || isUnicode(range)
    }
}
