import DequeModule

/// Sequences that are done with: all below `low`, and ranges above it.
///
/// Invariant: the ranges ascend, are not empty, do not touch each other, and begin above `low`.
public struct SequenceSet: Equatable, Sendable {
    public private(set) var low: UInt64
    /// A deque: records are done with near either end of what is under way, and neither end may cost the whole length.
    public private(set) var ranges: Deque<Range<UInt64>> = []

    public init(below low: UInt64) { self.low = low }

    /// Behind the last sequence that is done with.
    public var end: UInt64 { ranges.last?.upperBound ?? low }

    public func contains(_ sequence: UInt64) -> Bool {
        if sequence < low { return true }
        let index = firstRange(endingAbove: sequence)
        return index < ranges.count && ranges[index].contains(sequence)
    }

    public mutating func insert(_ range: Range<UInt64>) {
        guard range.upperBound > low, !range.isEmpty else { return }
        if range.lowerBound <= low {
            low = range.upperBound
            return absorb()
        }
        // Most often it comes behind, or extends, the last one.
        guard let last = ranges.last, range.lowerBound <= last.upperBound else { return ranges.append(range) }
        let first = firstRange(endingAt: range.lowerBound)
        var merged = range
        var past = first
        while past < ranges.count, ranges[past].lowerBound <= merged.upperBound {
            merged =
                min(merged.lowerBound, ranges[past].lowerBound)..<max(merged.upperBound, ranges[past].upperBound)
            past += 1
        }
        guard past == first + 1 else {
            return ranges.replaceSubrange(first..<past, with: CollectionOfOne(merged))
        }
        ranges[first] = merged
    }

    /// Adds a range behind all others. False, and nothing is changed, if it is not behind them, touches them, or is empty.
    mutating func append(_ range: Range<UInt64>) -> Bool {
        guard range.lowerBound > end, !range.isEmpty else { return false }
        ranges.append(range)
        return true
    }

    /// What is not done with below `end`, in order.
    public func gaps(below end: UInt64) -> [Range<UInt64>] {
        var gaps: [Range<UInt64>] = []
        var from = low
        for range in ranges {
            guard from < end else { break }
            let until = min(range.lowerBound, end)
            if from < until { gaps.append(from..<until) }
            from = range.upperBound
        }
        if from < end { gaps.append(from..<end) }
        return gaps
    }

    private mutating func absorb() {
        while let first = ranges.first, first.lowerBound <= low {
            low = max(low, first.upperBound)
            ranges.removeFirst()
        }
    }

    private func firstRange(endingAbove sequence: UInt64) -> Int {
        ranges.firstIndex(ofSorted: { $0.upperBound > sequence })
    }

    private func firstRange(endingAt sequence: UInt64) -> Int {
        ranges.firstIndex(ofSorted: { $0.upperBound >= sequence })
    }
}
