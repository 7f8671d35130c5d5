import StagewireModel

/// Why a scan ended early. Trivial, so that the fast path pays nothing for it.
enum ScanFailure: Error {
    case malformed(Malformed)
    case kind(UInt64, Int)
    case emissionsWithoutAcceptance(first: UInt64)
    case emptyRange(first: UInt64, last: UInt64)
    case ranges(first: UInt64)
    case entries(Int)
    case partition

    init(_ malformed: Malformed) { self = .malformed(malformed) }

    /// Well-formed, but an outcome that cannot be meant.
    var isMeaning: Bool {
        switch self {
        case .kind, .emissionsWithoutAcceptance, .emptyRange, .ranges: true
        case .malformed, .entries, .partition: false
        }
    }

    /// The reason to close the connection with.
    func reason(_ message: String) -> CloseReason {
        switch self {
        case .malformed(let malformed):
            CloseReason(
                .malformedFrame,
                "\(message) is malformed at byte \(malformed.offset) of the frame: \(malformed.flaw.sentence)")
        case .kind(let value, let offset):
            CloseReason(
                .invalidOutcome,
                "outcome kind \(value) at byte \(offset) of the frame is not one of 1 to 4 (ACCEPTED, REJECTED, RETRY, RELEASED)"
            )
        case .emissionsWithoutAcceptance(let first):
            CloseReason(
                .invalidOutcome,
                "the outcome of delivery \(first) has emissions but is not ACCEPTED; emit only with ACCEPTED")
        case .emptyRange(let first, let last):
            CloseReason(
                .invalidOutcome, "a range of deliveries ends before it begins: first \(first), last \(last)")
        case .ranges(let first):
            CloseReason(
                .invalidOutcome,
                "the ranges of the outcome of delivery \(first) do not ascend, or name a delivery twice")
        case .entries(let offset):
            CloseReason(
                .flood,
                "\(message) has more than \(StepBatch.entryLimit) entries of one kind (at byte \(offset)); send smaller frames"
            )
        case .partition:
            CloseReason(.invalidPartition, "the partition of an Emit is not 1 to \(Limits.partition) bytes of UTF-8")
        }
    }
}

extension StepBatch {
    /// Reads a `Settle` that lies at `message` of `frame`; every `ByteRange` is relative to `frame`.
    /// A bad `output` or trace context is a fault of its emission; anything else that is not well-formed throws,
    /// and the batch's content then means nothing.
    public mutating func scanSettle(_ frame: RawSpan, at message: Range<Int>) throws(CloseReason) {
        removeAll()
        do {
            try scanSettle(frame, start(of: message, in: frame))
        } catch {
            throw error.reason("Settle")
        }
    }

    /// Reads an `Emit` that lies at `message` of `frame`; see `scanSettle`.
    public mutating func scanEmit(_ frame: RawSpan, at message: Range<Int>) throws(CloseReason) {
        removeAll()
        do {
            try scanEmit(frame, start(of: message, in: frame))
        } catch {
            throw error.reason("Emit")
        }
    }

    private func start(of message: Range<Int>, in frame: RawSpan) -> FieldCursor {
        precondition(frame.byteCount <= Limits.ceilingFrame, "a frame within the ceiling")
        return FieldCursor(message, in: frame)
    }

    private mutating func scanSettle(_ bytes: RawSpan, _ start: FieldCursor) throws(ScanFailure) {
        var cursor = start
        // The form of the whole frame is judged before what its outcomes say (ST-5).
        var verdict: ScanFailure?
        while true {
            scanPlainOutcomes(bytes, &cursor)
            guard !cursor.isAtEnd else { break }
            let offset = cursor.position
            let outcome: Range<Int>
            do throws(Malformed) {
                let tag = try cursor.tag(bytes)
                guard tag == 0x0a else {
                    try cursor.skip(tag, known: 1, bytes)
                    continue
                }
                outcome = try cursor.delimited(bytes)
            } catch { throw ScanFailure(error) }
            guard outcomes.count < Self.entryLimit else { throw .entries(offset) }
            do throws(ScanFailure) {
                try scanOutcome(bytes, outcome)
            } catch {
                guard error.isMeaning else { throw error }
                verdict = verdict ?? error
            }
        }
        if let verdict { throw verdict }
    }

    private mutating func scanOutcome(_ bytes: RawSpan, _ content: Range<Int>) throws(ScanFailure) {
        var raw = RawOutcome()
        let emissionStart = emissions.count
        let rangeStart = ranges.count
        let errorStart = errors.count
        do throws(Malformed) {
            try scanFields(bytes, content, &raw)
        } catch { throw error.flaw == .entries ? .entries(error.offset) : ScanFailure(error) }
        guard let kind = OutcomeKind(rawValue: UInt8(clamping: raw.kind)) else {
            throw .kind(raw.kind, content.lowerBound)
        }
        let last = raw.last == 0 ? raw.first : raw.last
        guard last >= raw.first else { throw .emptyRange(first: raw.first, last: last) }
        guard kind == .accepted || emissions.count == emissionStart else {
            throw .emissionsWithoutAcceptance(first: raw.first)
        }
        if ranges.count > rangeStart { try checkRanges(from: rangeStart, first: raw.first, last: last) }
        outcomes.append(
            Outcome(
                first: raw.first, last: last, kind: kind, emissions: emissionStart..<emissions.count,
                delayMS: raw.delayMS, error: errors.count > errorStart ? errorStart : -1,
                more: rangeStart..<ranges.count))
    }

    /// `more` ascends and begins beyond `last`, so no delivery is named twice.
    private func checkRanges(from start: Int, first: UInt64, last: UInt64) throws(ScanFailure) {
        var previous = last
        for range in ranges[start...] {
            guard range.last >= range.first else { throw .emptyRange(first: range.first, last: range.last) }
            guard range.first > previous else { throw .ranges(first: first) }
            previous = range.last
        }
    }

    @inline(__always)
    private mutating func scanFields(
        _ bytes: RawSpan, _ content: Range<Int>, _ raw: inout RawOutcome
    ) throws(Malformed) {
        var cursor = FieldCursor(content, in: bytes)
        var seen = SeenFields()
        while !cursor.isAtEnd {
            let start = cursor.position
            let tag = try cursor.tag(bytes)
            switch tag {
            case 0x08:
                try seen.insert(tag, at: start)
                raw.first = try cursor.varint(bytes)
            case 0x10:
                try seen.insert(tag, at: start)
                raw.last = try cursor.varint(bytes)
            case 0x18:
                try seen.insert(tag, at: start)
                raw.kind = try cursor.minimalVarint(bytes)
            case 0x22:
                try scanEmission(bytes, try cursor.delimited(bytes))
            case 0x28:
                try seen.insert(tag, at: start)
                raw.delayMS = try cursor.number32(bytes)
            case 0x32:
                try seen.insert(tag, at: start)
                try scanError(bytes, try cursor.delimited(bytes))
            case 0x3a:
                try scanRange(bytes, try cursor.delimited(bytes))
            default:
                try cursor.skip(tag, known: 7, bytes)
            }
        }
    }

    /// The fields of an outcome before their meaning is checked: they may come in any order.
    struct RawOutcome {
        var first: UInt64 = 0
        var last: UInt64 = 0
        var kind: UInt64 = 0
        var delayMS: UInt32 = 0
    }

    private mutating func scanRange(_ bytes: RawSpan, _ content: Range<Int>) throws(Malformed) {
        var cursor = FieldCursor(content, in: bytes)
        var seen = SeenFields()
        var range = DeliveryRange(first: 0, last: 0)
        while !cursor.isAtEnd {
            let start = cursor.position
            let tag = try cursor.tag(bytes)
            switch tag {
            case 0x08:
                try seen.insert(tag, at: start)
                range.first = try cursor.varint(bytes)
            case 0x10:
                try seen.insert(tag, at: start)
                range.last = try cursor.varint(bytes)
            default:
                try cursor.skip(tag, known: 2, bytes)
            }
        }
        if range.last == 0 { range.last = range.first }
        guard ranges.count < Self.entryLimit else { throw Malformed(.entries, content.lowerBound) }
        ranges.append(range)
    }

    private mutating func scanError(_ bytes: RawSpan, _ content: Range<Int>) throws(Malformed) {
        var cursor = FieldCursor(content, in: bytes)
        var seen = SeenFields()
        var error = DeliveryError(code: 0, message: "")
        while !cursor.isAtEnd {
            let start = cursor.position
            let tag = try cursor.tag(bytes)
            switch tag {
            case 0x08:
                try seen.insert(tag, at: start)
                error.code = try cursor.number32(bytes)
            case 0x12:
                try seen.insert(tag, at: start)
                error.message = bytes.text(bytes.cut(try cursor.string(bytes), to: Limits.text))
            case 0x18:
                try seen.insert(tag, at: start)
                error.indefinite = try cursor.flag(bytes)
            default:
                try cursor.skip(tag, known: 3, bytes)
            }
        }
        errors.append(error)
    }

    private mutating func scanEmit(_ bytes: RawSpan, _ start: FieldCursor) throws(ScanFailure) {
        do throws(Malformed) {
            try scanEmitFields(bytes, start)
        } catch { throw error.flaw == .entries ? .entries(error.offset) : ScanFailure(error) }
        guard (1...Limits.partition).contains(Int(partition.length)), bytes.isUTF8(partition.range) else {
            throw .partition
        }
    }

    private mutating func scanEmitFields(_ bytes: RawSpan, _ first: FieldCursor) throws(Malformed) {
        var cursor = first
        var seen = SeenFields()
        while !cursor.isAtEnd {
            let start = cursor.position
            let tag = try cursor.tag(bytes)
            switch tag {
            case 0x0a:
                try seen.insert(tag, at: start)
                partition = ByteRange(try cursor.delimited(bytes))
            case 0x10:
                try seen.insert(tag, at: start)
                emitID = try cursor.varint(bytes)
                scanPlainEmissions(bytes, &cursor)
            case 0x1a:
                try scanEmission(bytes, try cursor.delimited(bytes))
                scanPlainEmissions(bytes, &cursor)
            case 0x22:
                try seen.insert(tag, at: start)
                checkpoint = ByteRange(try cursor.delimited(bytes))
                guard checkpoint.length <= Limits.checkpoint else { throw Malformed(.checkpointSize, start) }
            default:
                try cursor.skip(tag, known: 4, bytes)
            }
        }
    }
}

extension RawSpan {
    /// The longest beginning of UTF-8 text with at most `limit` bytes that does not split a character.
    func cut(_ text: Range<Int>, to limit: Int) -> Range<Int> {
        guard text.count > limit else { return text }
        var end = text.lowerBound + limit
        while end > text.lowerBound, byte(end) & 0xc0 == 0x80 { end -= 1 }
        return text.lowerBound..<end
    }
}
