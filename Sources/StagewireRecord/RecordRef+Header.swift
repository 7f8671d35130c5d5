import StagewireModel

/// What the author of a stage wrote, read on demand: routing reads attributes, dead letters and tests the rest.
/// All of it lies in an output that the scanner accepted; bytes that it would refuse read as absent.
extension RecordRef {
    /// The first attribute of that name.
    public func attribute(_ name: String) -> AttributeValue? {
        var name = name
        return name.withUTF8 { wanted in
            find(Field.attribute) { content, bytes in
                RecordRef.value(of: content, in: bytes, named: wanted)
            }
        }
    }

    public var schema: String { find(Field.schema) { content, bytes in bytes.text(content) } ?? "" }

    public var contentType: String { find(Field.contentType) { content, bytes in bytes.text(content) } ?? "" }

    public var key: [UInt8] { find(Field.key) { content, bytes in bytes.copy(content) } ?? [] }

    /// Lends a record that was written down, for reading: its hash of the key is 0.
    /// - Precondition: `isWellFormed(wire:)`
    public static func reading<Result>(wire bytes: RawSpan, _ body: (RecordRef) -> Result) -> Result {
        bytes.withUnsafeBytes { raw in
            guard let start = raw.baseAddress else { preconditionFailure("a record has bytes") }
            return body(RecordRef(start: start, wireLength: raw.count, keyHash: 0))
        }
    }

    /// The hash of the key of a record that was written down; 0: no key.
    static func keyHash(wire bytes: RawSpan) -> UInt64 {
        reading(wire: bytes) { record in
            let key = record.key
            return key.isEmpty ? 0 : RecordIdentity.keyHash(key.span.bytes)
        }
    }

    public var schemaVersion: UInt32 {
        find(Field.schemaVersion) { content, bytes in
            var cursor = FieldCursor(content, in: bytes)
            return try? cursor.number32(bytes)
        } ?? 0
    }

    /// Microseconds since 1970; 0: not known.
    public var eventTime: Int64 {
        find(Field.eventTime) { content, bytes in Int64(bitPattern: bytes.word(content.lowerBound)) } ?? 0
    }

    public var payload: [UInt8] {
        withWire { bytes in
            RecordRef.first(Field.payload, in: outputRange(bytes), bytes) { content in bytes.copy(content) } ?? []
        }
    }

    /// Bytes of the payload, without copying it.
    public var payloadLength: Int {
        withWire { bytes in RecordRef.first(Field.payload, in: outputRange(bytes), bytes) { $0.count } ?? 0 }
    }

    /// Names and values in the order in which they stand; an attribute without a value is left out.
    public func attributes() -> [(name: String, value: AttributeValue)] {
        var attributes: [(name: String, value: AttributeValue)] = []
        // `nil` has the walk go on to the next one.
        let _: Void? = find(Field.attribute) { content, bytes in
            let name = RecordRef.name(of: content, in: bytes)
            if let value = RecordRef.value(of: content, in: bytes) { attributes.append((bytes.text(name), value)) }
            return nil
        }
        return attributes
    }

    /// The encoded `TraceContext`; empty when the source gave none.
    public var trace: [UInt8] { withWire { bytes in bytes.copy(LineageView(bytes).trace) } }

    /// All of it, as it stands in a stream.
    public func copyWireBytes() -> [UInt8] { withWire { bytes in bytes.withUnsafeBytes { Array($0) } } }

    /// What the worker emitted, verbatim: the record without its lineage.
    public func copyOutputBytes() -> [UInt8] { withWire { bytes in bytes.copy(outputRange(bytes)) } }

    private func outputRange(_ bytes: RawSpan) -> Range<Int> { LineageView(bytes).outputStart..<wireLength }

    /// The first field of the header with that tag for which `body` has an answer.
    private func find<Result>(_ tag: UInt32, _ body: (Range<Int>, RawSpan) -> Result?) -> Result? {
        withWire { bytes in
            RecordRef.first(Field.header, in: outputRange(bytes), bytes) { header in
                RecordRef.first(tag, in: header, bytes) { content in body(content, bytes) }
            }
        }
    }

    /// Walks over a message's fields. `body` gets the content of each field with that tag: without tag and
    /// length, for numbers the encoded number.
    private static func first<Result>(
        _ wanted: UInt32, in message: Range<Int>, _ bytes: RawSpan, _ body: (Range<Int>) -> Result?
    ) -> Result? {
        var cursor = FieldCursor(message, in: bytes)
        while !cursor.isAtEnd {
            guard let tag = try? cursor.tag(bytes) else { return nil }
            var content = cursor.position..<cursor.position
            if tag & 7 == 2 {
                guard let delimited = try? cursor.delimited(bytes) else { return nil }
                content = delimited
            } else {
                guard (try? cursor.skip(tag, known: 0, bytes)) != nil else { return nil }
                content = content.lowerBound..<cursor.position
            }
            if tag == wanted, let result = body(content) { return result }
        }
        return nil
    }

    /// The value of an encoded `Attribute`, when its name is the wanted one and it has a value.
    private static func value(
        of attribute: Range<Int>, in bytes: RawSpan, named wanted: UnsafeBufferPointer<UInt8>
    ) -> AttributeValue? {
        let name = name(of: attribute, in: bytes)
        guard name.count == wanted.count else { return nil }
        for index in 0..<name.count where bytes.byte(name.lowerBound + index) != wanted[index] { return nil }
        return value(of: attribute, in: bytes)
    }

    private static func name(of attribute: Range<Int>, in bytes: RawSpan) -> Range<Int> {
        first(Field.name, in: attribute, bytes) { $0 } ?? attribute.lowerBound..<attribute.lowerBound
    }

    private static func value(of attribute: Range<Int>, in bytes: RawSpan) -> AttributeValue? {
        if let text = first(Field.text, in: attribute, bytes, { bytes.text($0) }) { return .text(text) }
        if let bits = first(Field.number, in: attribute, bytes, { bytes.word($0.lowerBound) }) {
            return .number(Double(bitPattern: bits))
        }
        if let raw = first(Field.integer, in: attribute, bytes, { number(bytes, $0) }) {
            // Zigzag: the sign is the lowest bit.
            return .integer(Int64(bitPattern: raw >> 1) ^ -Int64(bitPattern: raw & 1))
        }
        return first(Field.flag, in: attribute, bytes, { number(bytes, $0) }).map { .flag($0 != 0) }
    }

    private static func number(_ bytes: RawSpan, _ content: Range<Int>) -> UInt64? {
        var cursor = FieldCursor(content, in: bytes)
        return try? cursor.varint(bytes)
    }
}
