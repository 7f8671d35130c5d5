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

    /// Reads a payload; records are stepped over.
    public static func read(
        _ payload: RawSpan, append: (Append) throws(LedgerFlaw) -> Void, change: (Change) throws(LedgerFlaw) -> Void
    ) throws(LedgerFlaw) {
        var cursor = PayloadCursor(payload)
        for _ in 0..<(try cursor.count(payload)) {
            let stream = try cursor.count(payload)
            let first = try cursor.number(payload)
            let count = try cursor.count(payload)
            let size = try cursor.count(payload)
            try append(Append(stream: stream, first: first, count: count, bytes: try cursor.skip(size)))
        }
        while !cursor.isAtEnd { try change(try cursor.change(payload)) }
    }
}

extension PayloadCursor {
    fileprivate mutating func change(_ bytes: RawSpan) throws(LedgerFlaw) -> Change {
        let start = offset
        let tag = try number(bytes)
        if tag == ChangeTag.run { return .began(try run(bytes)) }
        let index = try count(bytes)
        switch tag {
        case ChangeTag.done:
            let first = try number(bytes)
            let count = UInt64(try count(bytes))
            let (end, overflow) = first.addingReportingOverflow(count)
            guard !overflow else { throw LedgerFlaw(what: "a range is too large", offset: start) }
            return .done(subscription: index, sequences: first..<end)
        case ChangeTag.trial:
            return .tried(subscription: index, sequence: try number(bytes), try trial(bytes))
        case ChangeTag.buried:
            return .buried(subscription: index, sequence: try number(bytes), try verdict(bytes))
        case ChangeTag.discarded: return .discarded(subscription: index, number: try number(bytes))
        case ChangeTag.asked: return .asked(subscription: index, number: try number(bytes))
        case ChangeTag.revived:
            return .revived(subscription: index, number: try number(bytes), arrival: try number(bytes))
        case ChangeTag.partition:
            return .moved(stage: index, partition: try text(bytes), try position(bytes))
        case _: throw LedgerFlaw(what: "a change of kind \(tag), which this version does not know", offset: start)
        }
    }
}
