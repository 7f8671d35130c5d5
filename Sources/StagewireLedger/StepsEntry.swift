import StagewireModel

/// Records that were appended to one stream by one group of steps.
public struct Append: Equatable, Sendable {
    /// As numbered in the layout.
    public var stream: Int
    public var first: UInt64
    public var count: Int
    /// Where the records lie in the payload, wire-ready, one behind the other.
    public var bytes: Range<Int>
}

/// A change, decoded.
public enum Change: Equatable, Sendable {
    case done(subscription: Int, sequences: Range<UInt64>)
    case tried(subscription: Int, sequence: UInt64, Trial)
    case buried(subscription: Int, sequence: UInt64, Verdict)
    case discarded(subscription: Int, number: UInt64)
    case asked(subscription: Int, number: UInt64)
    case revived(subscription: Int, number: UInt64, arrival: UInt64)
    case moved(stage: Int, partition: String, SourcePosition)
    case began(Run)
    /// Microseconds since 1970.
    case noted(time: UInt64)
    case rewound(subscription: Int, sequence: UInt64)
    /// The record lies in the payload.
    case edited(subscription: Int, number: UInt64, record: Range<Int>)
}

/// An entry of kind `steps`: appends, then changes in their order.
public enum StepsEntry {
    /// What comes before the changes and the appends.
    public static func head(appends: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.put(appends)
        return bytes
    }

    /// What comes before the records of one append.
    public static func head(stream: Int, first: UInt64, count: Int, bytes size: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.put(stream)
        bytes.put(first)
        bytes.put(count)
        bytes.put(size)
        return bytes
    }

    /// Reads a payload; records are stepped over. What the closures throw gets its offset here.
    public static func read(
        _ payload: RawSpan, append: (Append) throws(LedgerFlaw) -> Void, change: (Change) throws(LedgerFlaw) -> Void
    ) throws(LedgerFlaw) {
        var cursor = PayloadCursor(payload)
        for _ in 0..<(try cursor.count(payload)) {
            let start = cursor.offset
            let next = try cursor.append(payload)
            try at(start) { () throws(LedgerFlaw) in try append(next) }
        }
        while !cursor.isAtEnd {
            let start = cursor.offset
            let next = try cursor.change(payload)
            try at(start) { () throws(LedgerFlaw) in try change(next) }
        }
    }

    /// The appends alone.
    static func appends(_ payload: RawSpan) throws(LedgerFlaw) -> [Append] {
        var cursor = PayloadCursor(payload)
        var appends: [Append] = []
        for _ in 0..<(try cursor.count(payload)) { appends.append(try cursor.append(payload)) }
        return appends
    }

    private static func at(_ offset: Int, _ body: () throws(LedgerFlaw) -> Void) throws(LedgerFlaw) {
        do throws(LedgerFlaw) { try body() } catch { throw LedgerFlaw(what: error.what, offset: offset) }
    }
}

extension PayloadCursor {
    fileprivate mutating func append(_ bytes: RawSpan) throws(LedgerFlaw) -> Append {
        let start = offset
        let append = Append(
            stream: try count(bytes), first: try number(bytes), count: try count(bytes),
            bytes: try skip(count(bytes)))
        guard append.count >= 1, append.count <= append.bytes.count / WireRecords.shortest else {
            throw LedgerFlaw(what: "\(append.count) records in \(append.bytes.count) bytes", offset: start)
        }
        return append
    }

    fileprivate mutating func change(_ bytes: RawSpan) throws(LedgerFlaw) -> Change {
        let start = offset
        let tag = try number(bytes)
        if tag == ChangeTag.run { return .began(try run(bytes)) }
        if tag == ChangeTag.time { return .noted(time: try number(bytes)) }
        guard ChangeTag.known.contains(tag) else {
            throw LedgerFlaw(what: "a change of kind \(tag), which this version does not know", offset: start)
        }
        let index = try count(bytes)
        switch tag {
        case ChangeTag.done:
            let first = try number(bytes)
            let (end, overflow) = first.addingReportingOverflow(try number(bytes))
            guard !overflow, end > first else { throw LedgerFlaw(what: "a range that is none", offset: start) }
            return .done(subscription: index, sequences: first..<end)
        case ChangeTag.trial:
            return .tried(subscription: index, sequence: try number(bytes), try trial(bytes))
        case ChangeTag.buried:
            return .buried(subscription: index, sequence: try number(bytes), try verdict(bytes))
        case ChangeTag.discarded: return .discarded(subscription: index, number: try number(bytes))
        case ChangeTag.asked: return .asked(subscription: index, number: try number(bytes))
        case ChangeTag.rewound: return .rewound(subscription: index, sequence: try number(bytes))
        case ChangeTag.edited:
            return .edited(subscription: index, number: try number(bytes), record: try skip(count(bytes)))
        case ChangeTag.revived:
            return .revived(subscription: index, number: try number(bytes), arrival: try number(bytes))
        case _:
            precondition(tag == ChangeTag.partition, "every known tag is read")
            return .moved(stage: index, partition: try text(bytes), try position(bytes))
        }
    }
}
