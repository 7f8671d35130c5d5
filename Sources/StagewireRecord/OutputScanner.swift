import StagewireModel

/// Checks what a worker emitted, without decoding it: the record, its header and its attributes.
///
/// The rule (and its differential test): whatever passes here, every protobuf library parses, with the same
/// key. So one worker's bytes can never make another worker's parser refuse a whole batch. The payload is
/// never looked into. Unknown fields pass, when they are well-formed, so that newer SDKs can add some.
enum OutputScanner {
    /// Scans an encoded `Record` and returns the key's bytes (empty: no key).
    @inline(__always)
    static func scan(_ bytes: RawSpan, _ record: Range<Int>) throws(Malformed) -> Range<Int> {
        var cursor = FieldCursor(record, in: bytes)
        var key = record.lowerBound..<record.lowerBound
        var sawHeader = false
        var sawPayload = false
        while !cursor.isAtEnd {
            let start = cursor.position
            let tag = try cursor.tag(bytes)
            switch tag {
            case Field.header:
                guard !sawHeader else { throw Malformed(.repeated, start) }
                sawHeader = true
                let header = try cursor.delimited(bytes)
                guard header.count <= Limits.header else { throw Malformed(.headerSize, start) }
                key = try scanHeader(bytes, header)
            case Field.payload:
                guard !sawPayload else { throw Malformed(.repeated, start) }
                sawPayload = true
                _ = try cursor.delimited(bytes)
            case Field.lineage:
                throw Malformed(.lineage, start)
            default:
                try cursor.skip(tag, known: 3, bytes)
            }
        }
        return key
    }

    @inline(__always)
    private static func scanHeader(_ bytes: RawSpan, _ header: Range<Int>) throws(Malformed) -> Range<Int> {
        var cursor = FieldCursor(header, in: bytes)
        var key = header.lowerBound..<header.lowerBound
        var seen = SeenFields()
        var attributes = 0
        while !cursor.isAtEnd {
            let start = cursor.position
            let tag = try cursor.tag(bytes)
            switch tag {
            case Field.schema, Field.contentType:
                try seen.insert(tag, at: start)
                _ = try cursor.string(bytes)
            case Field.schemaVersion:
                try seen.insert(tag, at: start)
                _ = try cursor.number32(bytes)
            case Field.key:
                try seen.insert(tag, at: start)
                key = try cursor.delimited(bytes)
                guard key.count <= Limits.key else { throw Malformed(.keySize, start) }
            case Field.eventTime:
                try seen.insert(tag, at: start)
                try cursor.fixed(8)
            case Field.attribute:
                attributes += 1
                guard attributes <= Limits.attributes else { throw Malformed(.attributeCount, start) }
                try scanAttribute(bytes, try cursor.delimited(bytes))
            default:
                try cursor.skip(tag, known: 6, bytes)
            }
        }
        return key
    }

    @inline(never)
    static func scanAttribute(_ bytes: RawSpan, _ attribute: Range<Int>) throws(Malformed) {
        var cursor = FieldCursor(attribute, in: bytes)
        var sawName = false
        var sawValue = false
        while !cursor.isAtEnd {
            let start = cursor.position
            let tag = try cursor.tag(bytes)
            if tag == Field.name {
                guard !sawName else { throw Malformed(.repeated, start) }
                sawName = true
                _ = try cursor.string(bytes)
                continue
            }
            guard Field.isValue(tag) else {
                try cursor.skip(tag, known: 5, bytes)
                continue
            }
            // Two members of a oneof: readers keep the last one, so the first would be hidden data.
            guard !sawValue else { throw Malformed(.attributeValues, start) }
            sawValue = true
            switch tag {
            case Field.text: _ = try cursor.string(bytes)
            case Field.integer: _ = try cursor.varint(bytes)
            case Field.number: try cursor.fixed(8)
            default:
                precondition(tag == Field.flag, "isValue says so")
                _ = try cursor.flag(bytes)
            }
        }
    }
}

/// Which singular fields of a message have been met. Fields 1...31 only.
struct SeenFields {
    private var bits: UInt32 = 0

    @inline(__always)
    mutating func insert(_ tag: UInt32, at offset: Int) throws(Malformed) {
        let bit: UInt32 = 1 &<< (tag &>> 3)
        guard bits & bit == 0 else { throw Malformed(.repeated, offset) }
        bits |= bit
    }
}

/// Tags (number << 3 | wire type) of the fields that are read or written as bytes; see `proto/`.
enum Field {
    // Record
    static let lineage: UInt32 = 0x0a
    static let header: UInt32 = 0x12
    static let payload: UInt32 = 0x1a
    // Header
    static let schema: UInt32 = 0x0a
    static let schemaVersion: UInt32 = 0x10
    static let key: UInt32 = 0x1a
    static let eventTime: UInt32 = 0x21
    static let contentType: UInt32 = 0x2a
    static let attribute: UInt32 = 0x32
    // Attribute
    static let name: UInt32 = 0x0a
    static let text: UInt32 = 0x12
    static let integer: UInt32 = 0x18
    static let number: UInt32 = 0x21
    static let flag: UInt32 = 0x28
    @inline(__always)
    static func isValue(_ tag: UInt32) -> Bool { tag == text || tag == integer || tag == number || tag == flag }
    // TraceContext
    static let traceparent: UInt32 = 0x0a
    static let tracestate: UInt32 = 0x12
}
