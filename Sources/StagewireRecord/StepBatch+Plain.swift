import StagewireModel

/// The steps that nearly every frame consists of, read without the general scan's bookkeeping: accepted deliveries with
/// emissions of one output each, known fields in ascending order, numbers in the fewest bytes.
///
/// It takes only what the general scan takes, and the same of it; it knows no errors. Whatever looks otherwise, malformed
/// or not, is left where it stands for the general scan to judge.
extension StepBatch {
    /// Outcomes from the cursor on, as far as they are plain; the cursor stands behind the last one then.
    mutating func scanPlainOutcomes(_ bytes: RawSpan, _ cursor: inout FieldCursor) {
        var at = cursor.position
        let end = cursor.end
        while at < end, outcomes.count < Self.entryLimit, let next = plainOutcome(bytes, at, end) { at = next }
        cursor.move(to: at)
    }

    /// The end of the outcome that was appended; nil: it is not plain.
    @inline(__always)
    private mutating func plainOutcome(_ bytes: RawSpan, _ start: Int, _ end: Int) -> Int? {
        var plain = PlainCursor(start, end)
        guard plain.take(0x0a, bytes), let content = plain.delimited(bytes) else { return nil }
        plain = PlainCursor(content.lowerBound, content.upperBound)
        guard plain.take(0x08, bytes), let first = plain.number(bytes) else { return nil }
        var last = first
        if plain.take(0x10, bytes) {
            guard let number = plain.number(bytes), number >= first else { return nil }
            last = number
        }
        guard plain.take(0x18, bytes), plain.take(OutcomeKind.accepted.rawValue, bytes) else { return nil }
        let firstEmission = emissions.count
        while plain.at < content.upperBound {
            guard plain.take(0x22, bytes), let emission = plain.delimited(bytes), plainEmission(bytes, emission)
            else {
                emissions.removeLast(emissions.count - firstEmission)
                return nil
            }
        }
        outcomes.append(
            Outcome(
                first: first, last: last, kind: .accepted,
                emissions: Range(uncheckedBounds: (firstEmission, emissions.count)), delayMS: 0, error: -1,
                more: Range(uncheckedBounds: (ranges.count, ranges.count))))
        return content.upperBound
    }

    /// Appends an emission without parents and trace, if it is one. False: nothing was appended.
    @inline(__always)
    mutating func plainEmission(_ bytes: RawSpan, _ content: Range<Int>) -> Bool {
        var plain = PlainCursor(content.lowerBound, content.upperBound)
        var port: UInt64 = 0
        if plain.take(0x08, bytes) {
            guard let number = plain.number(bytes), number <= UInt64(UInt32.max) else { return false }
            port = number
        }
        guard plain.take(0x1a, bytes), let output = plain.delimited(bytes), plain.isAtEnd,
            emissions.count < Self.entryLimit, let key = OutputScanner.plainKey(bytes, output)
        else { return false }
        emissions.append(
            Emission(
                port: UInt32(truncatingIfNeeded: port),
                parents: Range(uncheckedBounds: (parents.count, parents.count)), output: ByteRange(output),
                trace: ByteRange(output.lowerBound..<output.lowerBound),
                keyHash: key.isEmpty ? 0 : RecordIdentity.keyHash(bytes, key), flaw: nil, flawOffset: 0))
        return true
    }
}

extension OutputScanner {
    /// The key of a plain output; empty: it has none; nil: not plain.
    @inline(__always)
    static func plainKey(_ bytes: RawSpan, _ record: Range<Int>) -> Range<Int>? {
        var plain = PlainCursor(record.lowerBound, record.upperBound)
        var key = record.lowerBound..<record.lowerBound
        if plain.take(UInt8(Field.header), bytes) {
            guard let header = plain.delimited(bytes), header.count <= Limits.header,
                let found = plainHeader(bytes, header)
            else { return nil }
            key = found
        }
        if plain.take(UInt8(Field.payload), bytes), plain.delimited(bytes) == nil { return nil }
        return plain.isAtEnd ? key : nil
    }

    @inline(__always)
    private static func plainHeader(_ bytes: RawSpan, _ header: Range<Int>) -> Range<Int>? {
        var plain = PlainCursor(header.lowerBound, header.upperBound)
        var key = header.lowerBound..<header.lowerBound
        if plain.take(UInt8(Field.schema), bytes) {
            guard let text = plain.delimited(bytes), bytes.isUTF8(text) else { return nil }
        }
        if plain.take(UInt8(Field.schemaVersion), bytes) {
            guard let version = plain.number(bytes), version <= UInt64(UInt32.max) else { return nil }
        }
        if plain.take(UInt8(Field.key), bytes) {
            guard let found = plain.delimited(bytes), found.count <= Limits.key else { return nil }
            key = found
        }
        if plain.take(UInt8(Field.eventTime), bytes), !plain.skip(8) { return nil }
        if plain.take(UInt8(Field.contentType), bytes) {
            guard let text = plain.delimited(bytes), bytes.isUTF8(text) else { return nil }
        }
        var attributes = 0
        while plain.take(UInt8(Field.attribute), bytes) {
            attributes &+= 1
            guard attributes <= Limits.attributes, let attribute = plain.delimited(bytes),
                (try? scanAttribute(bytes, attribute)) != nil
            else { return nil }
        }
        return plain.isAtEnd ? key : nil
    }
}

/// A position in one message, like `FieldCursor`, that says no where that throws. After a no it stands anywhere within
/// the message, and what was begun is given up.
///
/// Invariant: 0 <= at <= end <= byteCount of the span, so a byte at `at < end` is read without a further check.
private struct PlainCursor {
    private(set) var at: Int
    private let end: Int

    /// The bounds come from a cursor of the same span.
    @inline(__always)
    init(_ at: Int, _ end: Int) {
        self.at = at
        self.end = end
    }

    @inline(__always)
    var isAtEnd: Bool { at == end }

    /// Steps over this byte, if it is the next one: a tag, or a number of one byte.
    @inline(__always)
    mutating func take(_ byte: UInt8, _ bytes: RawSpan) -> Bool {
        guard at < end, bytes.byte(unchecked: at) == byte else { return false }
        at &+= 1
        return true
    }

    /// A number in the fewest bytes, below 2^63.
    @inline(__always)
    mutating func number(_ bytes: RawSpan) -> UInt64? {
        guard at < end else { return nil }
        var byte = bytes.byte(unchecked: at)
        at &+= 1
        if byte < 0x80 { return UInt64(byte) }
        var value = UInt64(byte & 0x7f)
        var shift: UInt64 = 7
        while byte >= 0x80 {
            guard at < end, shift < 63 else { return nil }
            byte = bytes.byte(unchecked: at)
            at &+= 1
            value |= UInt64(byte & 0x7f) &<< shift
            shift &+= 7
        }
        return byte == 0 ? nil : value
    }

    /// The bytes of a length-delimited field, behind its tag.
    @inline(__always)
    mutating func delimited(_ bytes: RawSpan) -> Range<Int>? {
        guard let length = number(bytes), length <= UInt64(truncatingIfNeeded: end &- at) else { return nil }
        let content = Range(uncheckedBounds: (at, at &+ Int(truncatingIfNeeded: length)))
        at = content.upperBound
        return content
    }

    @inline(__always)
    mutating func skip(_ count: Int) -> Bool {
        guard count <= end &- at else { return false }
        at &+= count
        return true
    }
}
