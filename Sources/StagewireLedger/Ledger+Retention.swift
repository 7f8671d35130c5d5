import StagewireModel

/// What is kept although nobody needs it, so that it can be replayed: the records of whole segments, the latest ones.
///
/// The bound moves when a snapshot is made and at no other time. So a start, which has the snapshot and what came behind it,
/// knows of the same records as the run before.
extension Ledger {
    /// Begins to retain records, or ends it, as the pipeline now says. Before a snapshot is folded on, and once.
    public mutating func retain(_ isWanted: Bool) {
        guard isWanted else { return retain(from: .max) }
        if retained == .max { retained = next }
    }

    /// Lets go what is in entries below `bound`, but for what somebody needs. `.max`: all of it. Never goes back.
    public mutating func retain(from bound: UInt64) {
        guard bound != .max else {
            retained = .max
            segments.removeFirst(max(0, segments.count - 1))
            return trimAll()
        }
        guard retained != .max, bound > retained else { return }
        retained = bound
        while segments.count > 1, segments[1].first <= bound { segments.removeFirst() }
        trimAll()
    }

    /// From which entry on a policy wants records to be retained.
    /// - Parameters:
    ///   - segments: the journal's, with their bytes; the last one is being written
    ///   - now: microseconds since 1970
    public func bound(
        _ policy: RetentionPolicy, segments files: [(first: UInt64, bytes: Int)], now: UInt64
    ) -> UInt64 {
        guard var bound = files.last?.first, retained != .max else { return .max }
        var bytes = files.last?.bytes ?? 0
        let since = policy.time.map { now - min(now, $0.nanoseconds / 1000) } ?? 0
        // What a segment holds is not younger than the beginning of the next one.
        var end = segments.last?.first == bound ? segments.last!.time : now
        for file in files.dropLast().reversed() {
            bytes += file.bytes
            guard bytes <= policy.bytes ?? .max, end >= since else { break }
            bound = file.first
            end = segments.last { $0.first <= file.first }?.time ?? 0
        }
        return subscriptions.reduce(min(bound, next)) { least, subscription in
            guard let pin = subscription.pins.min(),
                let extent = streams[subscription.stream].extents.from(pin, bytes: 1).first
            else { return least }
            return min(least, extent.place.sequence)
        }
    }

    /// The first record that a subscription can go back to; nil: nothing is retained of its stream.
    public func firstKept(subscription: Int) -> UInt64? {
        streams[subscriptions[subscription].stream].extents.first(retained: retained)
    }

    /// Keeps all records from this one on until `rewound` is folded, or `unpin` says that it will not be, whatever retention
    /// says meanwhile. False, and nothing is changed: it is not there, or in an entry below `floor`.
    public mutating func pin(subscription: Int, _ sequence: UInt64, floor: UInt64) -> Bool {
        let stream = subscriptions[subscription].stream
        guard let first = streams[stream].extents.first(retained: max(retained, floor)), sequence >= first,
            sequence < streams[stream].end
        else { return false }
        subscriptions[subscription].pins.append(sequence)
        return true
    }

    public mutating func unpin(subscription: Int, _ sequence: UInt64) { subscriptions[subscription].unpin(sequence) }

    /// Where to look for the first record that was appended at a time or later, microseconds since 1970: the records of the
    /// plan, and if it is none of them, the one that is returned, which may be the stream's end.
    public func plan(subscription: Int, at time: UInt64) -> (plan: RecordPlan, otherwise: UInt64) {
        let stream = streams[subscriptions[subscription].stream]
        guard let first = firstKept(subscription: subscription) else {
            return (RecordPlan(first: stream.end), stream.end)
        }
        guard let extent = stream.extents.around(time, from: first), extent.time < time else {
            return (RecordPlan(first: first), first)
        }
        return (RecordPlan(extent), extent.end)
    }

    private mutating func trimAll() {
        for stream in streams.indices { trim(stream) }
    }
}
