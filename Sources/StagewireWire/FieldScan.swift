import StagewireModel

/// The four wire types of proto3. Groups (3 and 4) do not exist in it and are refused.
package enum WireType: UInt8 {
    case varint = 0
    case fixed64 = 1
    case bytes = 2
    case fixed32 = 5
}

/// One field as it stands on the wire.
package struct WireField {
    package var number: UInt32
    package var type: WireType
    /// The value of a varint; 0 for the other types.
    package var varint: UInt64
    /// Where the value's bytes stand, without tag and length.
    package var value: Range<Int>
}

/// Reads protobuf fields one by one, with every length checked against what is there.
///
/// Tags and lengths may be padded up to five bytes, as libprotobuf-c reads them: some encoders reserve
/// the room for a length before they know it.
package enum FieldScan {
    /// The field at `offset`, which moves behind it; nil when the bytes are not a field.
    @inline(__always)
    package static func next(in bytes: RawSpan, at offset: inout Int, end: Int) -> WireField? {
        if let short = shortBytes(in: bytes, at: &offset, end: end) { return short }
        return any(in: bytes, at: &offset, end: end)
    }

    /// What nearly every field of a record is: bytes, behind a tag of one byte and a length of at most two. nil: it is
    /// something else, and `offset` stays.
    @inline(__always)
    private static func shortBytes(in bytes: RawSpan, at offset: inout Int, end: Int) -> WireField? {
        guard end - offset >= 2 else { return nil }
        let tag = bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
        guard tag & 0x87 == WireType.bytes.rawValue, tag > 7 else { return nil }
        var start = offset + 2
        var length = Int(bytes.unsafeLoad(fromByteOffset: offset + 1, as: UInt8.self))
        if length >= 0x80 {
            guard start < end else { return nil }
            let high = Int(bytes.unsafeLoad(fromByteOffset: start, as: UInt8.self))
            guard high < 0x80 else { return nil }
            length = length & 0x7f | high << 7
            start += 1
        }
        guard length <= end - start else { return nil }
        offset = start + length
        return WireField(number: UInt32(tag >> 3), type: .bytes, varint: 0, value: start..<offset)
    }

    @inline(never)
    private static func any(in bytes: RawSpan, at offset: inout Int, end: Int) -> WireField? {
        guard let tag = varint32(in: bytes, at: &offset, end: end),
            let type = WireType(rawValue: UInt8(tag & 7)), tag >> 3 > 0
        else { return nil }
        var field = WireField(number: tag >> 3, type: type, varint: 0, value: offset..<offset)
        let length: Int
        switch type {
        case .varint:
            guard let value = varint64(in: bytes, at: &offset, end: end) else { return nil }
            field.varint = value
            field.value = field.value.lowerBound..<offset
            return field
        case .fixed64: length = 8
        case .fixed32: length = 4
        case .bytes:
            guard let announced = varint32(in: bytes, at: &offset, end: end) else { return nil }
            length = Int(announced)
        }
        guard length <= end - offset else { return nil }
        field.value = offset..<(offset + length)
        offset += length
        return field
    }

    /// One element of a packed field of numbers.
    package static func number(in bytes: RawSpan, at offset: inout Int, end: Int) -> UInt64? {
        varint64(in: bytes, at: &offset, end: end)
    }

    /// A varint of at most five bytes that fits 32 bits.
    static func varint32(in bytes: RawSpan, at offset: inout Int, end: Int) -> UInt32? {
        let start = offset
        guard let value = varint64(in: bytes, at: &offset, end: min(end, start + 5)) else { return nil }
        return UInt32(exactly: value)
    }

    /// A varint of at most ten bytes that fits 64 bits.
    static func varint64(in bytes: RawSpan, at offset: inout Int, end: Int) -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while offset < end, shift < 64 {
            let byte = bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
            offset += 1
            // The tenth byte has room for one bit.
            guard shift < 63 || byte <= 1 else { return nil }
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        return nil
    }
}
