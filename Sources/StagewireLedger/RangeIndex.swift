/// Ranges of sequences to look things up in.
struct RangeIndex {
    /// Ascending and apart.
    let ranges: [Range<UInt64>]

    init(_ unsorted: [Range<UInt64>]) {
        var merged: [Range<UInt64>] = []
        for range in unsorted.sorted(by: { $0.lowerBound < $1.lowerBound }) where !range.isEmpty {
            if let last = merged.last, range.lowerBound <= last.upperBound {
                merged[merged.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
        ranges = merged
    }

    func contains(_ sequence: UInt64) -> Bool { overlaps(sequence..<sequence + 1) }

    func overlaps(_ range: Range<UInt64>) -> Bool {
        let index = first(endingAbove: range.lowerBound)
        return index < ranges.count && ranges[index].lowerBound < range.upperBound && !range.isEmpty
    }

    /// How many sequences of `range` are in here.
    func count(in range: Range<UInt64>) -> Int {
        var index = first(endingAbove: range.lowerBound)
        var count = 0
        while index < ranges.count, ranges[index].lowerBound < range.upperBound {
            count += ranges[index].clamped(to: range).count
            index += 1
        }
        return count
    }

    private func first(endingAbove sequence: UInt64) -> Int {
        ranges.firstIndex(ofSorted: { $0.upperBound > sequence })
    }
}
