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
        var shape: PlainShape?
        while at < end, outcomes.count < Self.entryLimit {
            if let model = shape, let number = model.match(bytes, at, end) {
                append(outcome: number, ofShape: model, bytes, at)
                at = at &+ model.end
            } else if let found = plainOutcome(bytes, at, end) {
                shape = found
                at = at &+ found.end
            } else {
                break
            }
            if emissions.count >= Self.entryLimit { break }
        }
        cursor.move(to: at)
    }

    /// Emissions of an Emit from the cursor on, as far as they are plain.
    mutating func scanPlainEmissions(_ bytes: RawSpan, _ cursor: inout FieldCursor) {
        var at = cursor.position
        let end = cursor.end
        var shape: PlainShape?
        while at < end, emissions.count < Self.entryLimit {
            if let model = shape, model.match(bytes, at, end) != nil {
                append(emissionOfShape: model, bytes, at)
                at = at &+ model.end
                continue
            }
            var plain = PlainCursor(at, end)
            guard plain.take(0x1a, bytes), let content = plain.delimited(bytes),
                let found = plainEmission(bytes, content)
            else { break }
            shape = PlainShape(start: at, number: at..<at, found, end: content.upperBound)
            at = content.upperBound
        }
        cursor.move(to: at)
    }

    @inline(__always)
    private mutating func append(outcome number: UInt64, ofShape shape: PlainShape, _ bytes: RawSpan, _ at: Int) {
        let first = emissions.count
        if shape.hasEmission { append(emissionOfShape: shape, bytes, at) }
        append(outcome: number, last: number, emissionsFrom: first)
    }

    @inline(__always)
    private mutating func append(outcome first: UInt64, last: UInt64, emissionsFrom start: Int) {
        outcomes.append(
            Outcome(
                first: first, last: last, kind: .accepted,
                emissions: Range(uncheckedBounds: (start, emissions.count)), delayMS: 0, error: -1,
                more: Range(uncheckedBounds: (ranges.count, ranges.count))))
    }

    @inline(__always)
    private mutating func append(emissionOfShape shape: PlainShape, _ bytes: RawSpan, _ at: Int) {
        append(
            port: shape.port, output: shape.output.shifted(by: at), key: shape.key.shifted(by: at), bytes)
    }

    @inline(__always)
    private mutating func append(port: UInt32, output: Range<Int>, key: Range<Int>, _ bytes: RawSpan) {
        emissions.append(
            Emission(
                port: port, parents: Range(uncheckedBounds: (parents.count, parents.count)),
                output: ByteRange(output), trace: ByteRange(output.lowerBound..<output.lowerBound),
                keyHash: key.isEmpty ? 0 : RecordIdentity.keyHash(bytes, key), flaw: nil, flawOffset: 0))
    }

    /// Appends the outcome at `start`, if it is plain, and returns its shape; nil: nothing was appended.
    private mutating func plainOutcome(_ bytes: RawSpan, _ start: Int, _ end: Int) -> PlainShape? {
        var plain = PlainCursor(start, end)
        guard plain.take(0x0a, bytes), let content = plain.delimited(bytes) else { return nil }
        plain = PlainCursor(content.lowerBound, content.upperBound)
        guard plain.take(0x08, bytes) else { return nil }
        let numberStart = plain.at
        guard let first = plain.number(bytes) else { return nil }
        let number = numberStart..<plain.at
        var last = first
        let isRange = plain.take(0x10, bytes)
        if isRange {
            guard let upper = plain.number(bytes), upper >= first else { return nil }
            last = upper
        }
        guard plain.take(0x18, bytes), plain.take(OutcomeKind.accepted.rawValue, bytes) else { return nil }
        let firstEmission = emissions.count
        var output: PlainOutput?
        while plain.at < content.upperBound {
            guard plain.take(0x22, bytes), let emission = plain.delimited(bytes),
                let found = plainEmission(bytes, emission)
            else {
                emissions.removeLast(emissions.count - firstEmission)
                return nil
            }
            output = found
        }
        append(outcome: first, last: last, emissionsFrom: firstEmission)
        // A model for those that follow: of one delivery, with one emission or none.
        let isModel = !isRange && emissions.count - firstEmission <= 1
        return PlainShape(
            start: start, number: isModel ? number : nil, output, end: content.upperBound)
    }

    /// Appends an emission without parents and trace, if it is one; nil: nothing was appended.
    private mutating func plainEmission(_ bytes: RawSpan, _ content: Range<Int>) -> PlainOutput? {
        var plain = PlainCursor(content.lowerBound, content.upperBound)
        var port: UInt64 = 0
        if plain.take(0x08, bytes) {
            guard let number = plain.number(bytes), number <= UInt64(UInt32.max) else { return nil }
            port = number
        }
        guard plain.take(0x1a, bytes), let output = plain.delimited(bytes), plain.isAtEnd,
            emissions.count < Self.entryLimit, var found = OutputScanner.plain(bytes, output)
        else { return nil }
        found.port = UInt32(truncatingIfNeeded: port)
        append(port: found.port, output: output, key: found.key, bytes)
        return found
    }
}

/// A plain output that was found, in bytes of the frame.
struct PlainOutput {
    var port: UInt32 = 0
    var output: Range<Int>
    /// Empty: it has none.
    var key: Range<Int>
    /// The eight bytes of the event time; empty: it has none.
    var time: Range<Int>
    /// Where the payload's content begins; the output's end without one.
    var payload: Int
}

/// What a plain outcome or emission consists of, to recognise the next one by: workers send many alike. Where all bytes but
/// the delivery's number, the key, the event time and the payload are the same as the model's, the lengths and tags are, and
/// all that was checked of the model holds.
///
/// ```
/// 0a len 08 | number | 18 01 22 len 1a len 12 len 0a .. 1a len | key | 21 | time | 1a len | payload
/// ```
private struct PlainShape {
    /// Where the model lies in the frame. All else is relative to that.
    private let start: Int
    private let number: Range<Int>
    let key: Range<Int>
    private let time: Range<Int>
    private let payload: Int
    let output: Range<Int>
    let end: Int
    let port: UInt32
    let hasEmission: Bool
    /// Whether it may serve as a model.
    private let isModel: Bool

    /// - Parameter number: nil: it is no model for others.
    init(start: Int, number: Range<Int>?, _ found: PlainOutput?, end: Int) {
        self.start = start
        self.number = (number ?? start..<start).shifted(by: -start)
        self.end = end - start
        isModel = number != nil
        hasEmission = found != nil
        port = found?.port ?? 0
        let none = end..<end
        output = (found?.output ?? none).shifted(by: -start)
        payload = (found?.payload ?? end) - start
        let time = (found?.time ?? none).shifted(by: -start)
        self.time = time.isEmpty ? payload..<payload : time
        let key = (found?.key ?? none).shifted(by: -start)
        self.key = key.isEmpty ? self.time.lowerBound..<self.time.lowerBound : key
    }

    /// The number of what lies at `at`, if it is of this shape (0 where shapes have none). What lies at the very end of the
    /// frame is of none, so that words may be looked at.
    @inline(__always)
    func match(_ bytes: RawSpan, _ at: Int, _ limit: Int) -> UInt64? {
        guard isModel, end <= limit &- at, payload <= bytes.byteCount &- 8 &- at else { return nil }
        var value: UInt64 = 0
        if number.upperBound > number.lowerBound {
            guard bytes.isSameUnchecked(at, start, count: number.lowerBound) else { return nil }
            var plain = PlainCursor(at &+ number.lowerBound, at &+ end)
            guard let read = plain.number(bytes), plain.at == at &+ number.upperBound else { return nil }
            value = read
        }
        guard isSame(number.upperBound, key.lowerBound, bytes, at) else { return nil }
        if !isSame(key.upperBound, payload, bytes, at) {
            guard isSame(key.upperBound, time.lowerBound, bytes, at), isSame(time.upperBound, payload, bytes, at)
            else { return nil }
        }
        return value
    }

    @inline(__always)
    private func isSame(_ from: Int, _ to: Int, _ bytes: RawSpan, _ at: Int) -> Bool {
        bytes.isSameUnchecked(at &+ from, start &+ from, count: to &- from)
    }
}

extension Range<Int> {
    @inline(__always)
    fileprivate func shifted(by offset: Int) -> Range<Int> {
        Range(uncheckedBounds: (lowerBound &+ offset, upperBound &+ offset))
    }
}

extension OutputScanner {
    /// What stands where in a plain output; nil: not plain.
    fileprivate static func plain(_ bytes: RawSpan, _ record: Range<Int>) -> PlainOutput? {
        var plain = PlainCursor(record.lowerBound, record.upperBound)
        let none = record.upperBound..<record.upperBound
        var found = PlainOutput(output: record, key: none, time: none, payload: record.upperBound)
        if plain.take(UInt8(Field.header), bytes) {
            guard let header = plain.delimited(bytes), header.count <= Limits.header,
                scan(header, bytes, into: &found)
            else { return nil }
        }
        if plain.take(UInt8(Field.payload), bytes) {
            guard let payload = plain.delimited(bytes) else { return nil }
            found.payload = payload.lowerBound
        }
        return plain.isAtEnd ? found : nil
    }

    /// False: not a plain header.
    private static func scan(_ header: Range<Int>, _ bytes: RawSpan, into found: inout PlainOutput) -> Bool {
        var plain = PlainCursor(header.lowerBound, header.upperBound)
        if plain.take(UInt8(Field.schema), bytes) {
            guard let text = plain.delimited(bytes), bytes.isUTF8(text) else { return false }
        }
        if plain.take(UInt8(Field.schemaVersion), bytes) {
            guard let version = plain.number(bytes), version <= UInt64(UInt32.max) else { return false }
        }
        if plain.take(UInt8(Field.key), bytes) {
            guard let key = plain.delimited(bytes), key.count <= Limits.key else { return false }
            found.key = key
        }
        if plain.take(UInt8(Field.eventTime), bytes) {
            found.time = plain.at..<plain.at + 8
            guard plain.skip(8) else { return false }
        }
        if plain.take(UInt8(Field.contentType), bytes) {
            guard let text = plain.delimited(bytes), bytes.isUTF8(text) else { return false }
        }
        var attributes = 0
        while plain.take(UInt8(Field.attribute), bytes) {
            attributes &+= 1
            guard attributes <= Limits.attributes, let attribute = plain.delimited(bytes),
                (try? scanAttribute(bytes, attribute)) != nil
            else { return false }
        }
        return plain.isAtEnd
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
