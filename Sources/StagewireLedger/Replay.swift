import StagewireModel
import StagewireRecord

/// Where a replay is to begin.
public enum ReplayStart: Equatable, Sendable {
    /// The first record that is retained.
    case beginning
    /// The first record that entered its stream at this time or later, microseconds since 1970.
    case time(UInt64)
    /// A record by its number in the stream.
    case sequence(UInt64)
}

/// The records of a stream that a replay delivers once more.
public struct ReplayRange: Equatable, Sendable {
    public var stream: StreamName
    public var from: UInt64
    /// Behind the last one that the subscription had to settle already, without a gap before it: from here on nothing is
    /// new.
    public var until: UInt64
    /// Behind the last record of the stream.
    public var end: UInt64
}

/// Why nothing can be replayed.
public struct ReplayRefusal: Error, Equatable, Sendable {
    public var what: String
    public var hint: String?

    public init(what: String, hint: String? = nil) {
        self.what = what
        self.hint = hint
    }
}

extension Ledger {
    /// What a replay of a subscription would deliver once more.
    /// - Parameter fetch: reads entries; of this state, so none must have been removed since
    /// - Throws: `ReplayRefusal`, and what `fetch` throws
    public func replay(_ subscription: Int, from start: ReplayStart, fetch: EntryFetch) throws -> ReplayRange {
        let stream = streams[subscriptions[subscription].stream]
        let low = subscriptions[subscription].done.low
        guard let first = firstKept(subscription: subscription), first < low else {
            throw ReplayRefusal(
                what: "nothing of \(stream.name) is kept that \(subscriptions[subscription].name.stage) has settled",
                hint: retained == .max
                    ? "`retention` in the pipeline file has the journal keep records that nobody needs any more" : nil)
        }
        let from =
            switch start {
            case .beginning: first
            case .sequence(let sequence): sequence
            case .time(let time): try sequence(at: time, subscription, fetch: fetch)
            }
        guard from >= first else {
            throw ReplayRefusal(
                what: "record \(from) of \(stream.name) is not kept any more",
                hint: "the first one that is, is \(first)")
        }
        if case .time = start, from >= low {
            throw ReplayRefusal(
                what:
                    "no record of \(stream.name) that \(subscriptions[subscription].name.stage) has settled came at that time "
                    + "or later")
        }
        guard from < low else {
            throw ReplayRefusal(
                what: "\(subscriptions[subscription].name.stage) has settled \(stream.name) up to record \(low), and "
                    + "\(from) is not before that",
                hint: "it gets what is behind anyway")
        }
        return ReplayRange(stream: stream.name, from: from, until: low, end: stream.end)
    }

    private func sequence(at time: UInt64, _ subscription: Int, fetch: EntryFetch) throws -> UInt64 {
        let (plan, otherwise) = plan(subscription: subscription, at: time)
        return try plan.read(snapshot: [], fetch: fetch).first { $0.time >= time }?.sequence ?? otherwise
    }

    /// The workers that lineage names by their numbers.
    public func run(_ number: UInt32) -> Run? { number >= 1 && number <= runs.count ? runs[Int(number) - 1] : nil }
}

extension StoredRecord {
    /// When it entered its stream, microseconds since 1970.
    var time: UInt64 { RecordRef.reading(wire: bytes.span.bytes) { $0.hops().last?.time } ?? 0 }
}
