/// Just enough protobuf to play a broker, independent of what is tested.
struct MiniProto {
    private(set) var bytes: [UInt8] = []

    mutating func varint(_ field: UInt64, _ value: UInt64) {
        raw(field << 3)
        raw(value)
    }

    mutating func fixed64(_ field: UInt64, _ value: UInt64) {
        raw(field << 3 | 1)
        for shift in stride(from: UInt64(0), to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
    }

    mutating func content(_ field: UInt64, _ content: [UInt8]) {
        raw(field << 3 | 2)
        raw(UInt64(content.count))
        bytes += content
    }

    mutating func message(_ field: UInt64, _ build: (inout MiniProto) -> Void) {
        var inner = MiniProto()
        build(&inner)
        content(field, inner.bytes)
    }

    private mutating func raw(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    /// A frame of one kind, its length prefix included.
    static func frame(_ kind: UInt64, _ build: (inout MiniProto) -> Void) -> [UInt8] {
        var envelope = MiniProto()
        envelope.varint(1, 1000)
        envelope.message(kind, build)
        return prefixed(envelope.bytes)
    }

    static func prefixed(_ content: [UInt8]) -> [UInt8] {
        let length = UInt32(content.count)
        return [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: length >> $0) } + content
    }
}

/// The fields of a message, in order.
struct MiniFields {
    enum Value {
        case number(UInt64)
        case content([UInt8])
    }

    struct Malformed: Error {}

    let fields: [(number: UInt64, value: Value)]

    init(_ bytes: [UInt8]) throws {
        var at = 0
        var found: [(UInt64, Value)] = []
        func varint() throws -> UInt64 {
            var value: UInt64 = 0
            var shift: UInt64 = 0
            while at < bytes.count {
                let byte = bytes[at]
                at += 1
                value |= UInt64(byte & 0x7f) << shift
                if byte < 0x80 { return value }
                shift += 7
            }
            throw Malformed()
        }
        while at < bytes.count {
            let tag = try varint()
            switch tag & 7 {
            case 0: found.append((tag >> 3, .number(try varint())))
            case 1:
                guard at + 8 <= bytes.count else { throw Malformed() }
                let value = bytes[at..<(at + 8)].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                at += 8
                found.append((tag >> 3, .number(value)))
            case 2:
                let length = Int(try varint())
                guard at + length <= bytes.count else { throw Malformed() }
                found.append((tag >> 3, .content(Array(bytes[at..<(at + length)]))))
                at += length
            default: throw Malformed()
            }
        }
        fields = found
    }

    func number(_ field: UInt64) -> UInt64? {
        for case (field, .number(let value)) in fields { return value }
        return nil
    }

    func content(_ field: UInt64) -> [UInt8]? { contents(field).first }

    func contents(_ field: UInt64) -> [[UInt8]] {
        fields.compactMap { entry in
            guard entry.number == field, case .content(let content) = entry.value else { return nil }
            return content
        }
    }

    /// A packed field of numbers.
    static func packed(_ bytes: [UInt8]) -> [UInt64] {
        var values: [UInt64] = []
        var value: UInt64 = 0
        var shift: UInt64 = 0
        for byte in bytes {
            value |= UInt64(byte & 0x7f) << shift
            shift += 7
            if byte < 0x80 {
                values.append(value)
                (value, shift) = (0, 0)
            }
        }
        return values
    }
}
