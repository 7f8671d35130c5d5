import StagewireTestSupport
import Testing

@testable import StagewireLedger

struct SequenceSetTests {
    private static let space: UInt64 = 6

    /// Every sequence of three ranges within six numbers, from every beginning, against a set.
    @Test func exhaustively() {
        let ranges = (0..<Self.space).flatMap { low in (low...Self.space).map { low..<$0 } }
        var cases = 0
        for low in 0...2 as ClosedRange<UInt64> {
            for first in ranges {
                for second in ranges {
                    for third in ranges {
                        cases += 1
                        expectAgreement(low, [first, second, third])
                    }
                }
            }
        }
        #expect(cases == 3 * 27 * 27 * 27)
    }

    private func expectAgreement(_ low: UInt64, _ ranges: [Range<UInt64>]) {
        var set = SequenceSet(below: low)
        var oracle = Set(0..<low)
        for range in ranges {
            set.insert(range)
            oracle.formUnion(range)
        }
        guard check(set, oracle, below: Self.space + 1) else {
            Issue.record("\(ranges) from \(low): \(set)")
            return
        }
    }

    /// Membership, gaps below every end, and the invariant.
    private func check(_ set: SequenceSet, _ oracle: Set<UInt64>, below end: UInt64) -> Bool {
        for sequence in 0..<end where set.contains(sequence) != oracle.contains(sequence) { return false }
        if set.end != max(set.low, (oracle.max() ?? 0) + (oracle.isEmpty ? 0 : 1)) { return false }
        for limit in 0...end {
            let missing = (0..<limit).filter { !oracle.contains($0) }
            if set.gaps(below: limit).flatMap({ Array($0) }) != missing { return false }
        }
        var past = set.low
        for range in set.ranges {
            if range.isEmpty || range.lowerBound <= past { return false }
            past = range.upperBound
        }
        return true
    }

    @Test(arguments: 1...40 as ClosedRange<UInt64>) func bySeed(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var set = SequenceSet(below: 3)
        var oracle = Set<UInt64>(0..<3)
        for step in 0..<60 {
            // Around what is done already, as records are.
            let low = UInt64.random(in: 0...(set.low + 60), using: &random)
            let range = low..<low + UInt64.random(in: 0...4, using: &random)
            set.insert(range)
            oracle.formUnion(range)
            #expect(check(set, oracle, below: set.end + 2), "seed \(seed), step \(step)")
        }
    }

    /// Far numbers, up to the last one.
    @Test func atTheEnd() {
        var set = SequenceSet(below: .max - 2)
        set.insert(.max - 2..<UInt64.max)
        #expect(set.low == .max && set.gaps(below: .max).isEmpty)
        set = SequenceSet(below: 0)
        set.insert(.max - 1..<UInt64.max)
        #expect(set.gaps(below: .max) == [0..<UInt64.max - 1] && set.end == .max)
    }

    /// Only what lies behind and apart is appended.
    @Test func appending() {
        var set = SequenceSet(below: 5)
        let cases: [(range: Range<UInt64>, isTaken: Bool)] = [
            (0..<3, false), (4..<6, false), (5..<7, false), (6..<6, false), (6..<8, true), (8..<9, false),
            (9..<10, true),
        ]
        for (range, isTaken) in cases {
            let taken = set.append(range)
            #expect(taken == isTaken, "\(range)")
        }
        #expect(Array(set.ranges) == [6..<8, 9..<10] && set.low == 5)
    }
}

struct RangeIndexTests {
    /// Every three ranges within six numbers, against a set.
    @Test func exhaustively() {
        let ranges = (0..<6 as Range<UInt64>).flatMap { low in (low...6).map { low..<$0 } }
        for first in ranges {
            for second in ranges {
                for third in ranges where !agrees([first, second, third]) {
                    Issue.record("\([first, second, third])")
                    return
                }
            }
        }
    }

    private func agrees(_ ranges: [Range<UInt64>]) -> Bool {
        let index = RangeIndex(ranges)
        let oracle = Set(ranges.joined())
        for low in 0..<7 as Range<UInt64> {
            if index.contains(low) != oracle.contains(low) { return false }
            for high in low...7 {
                let common = oracle.intersection(low..<high)
                if index.overlaps(low..<high) == common.isEmpty || index.count(in: low..<high) != common.count {
                    return false
                }
            }
        }
        return index.ranges.flatMap { Array($0) } == oracle.sorted()
            && zip(index.ranges, index.ranges.dropFirst()).allSatisfy { $0.upperBound < $1.lowerBound }
    }

    @Test(arguments: 1...30 as ClosedRange<UInt64>) func bySeed(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let ranges = (0..<40).map { _ in
            let low = UInt64.random(in: 0...300, using: &random)
            return low..<low + UInt64.random(in: 0...9, using: &random)
        }
        let index = RangeIndex(ranges)
        let oracle = Set(ranges.joined())
        for _ in 0..<500 {
            let low = UInt64.random(in: 0...310, using: &random)
            let range = low..<low + UInt64.random(in: 0...30, using: &random)
            #expect(index.count(in: range) == oracle.intersection(range).count, "seed \(seed)")
            #expect(index.overlaps(range) == !oracle.isDisjoint(with: range), "seed \(seed)")
        }
    }
}
