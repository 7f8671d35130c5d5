import StagewireTestSupport
import Testing

@testable import StagewireLedger

struct ExtentTableTests {
    /// The same with arrays that are searched from end to end.
    private struct Naive {
        var extents: [Ledger.Extent] = []
        var held: [UInt64] = []
        var low: UInt64 = 0

        private func isNeeded(_ extent: Ledger.Extent) -> Bool {
            extent.end > low || held.contains { (extent.first..<extent.end).contains($0) }
        }

        var needed: [Ledger.Extent] { extents.filter(isNeeded) }

        /// What nobody needs is forgotten for good.
        mutating func settle() { extents = needed }
    }

    private func extent(_ first: UInt64, _ count: Int, entry: UInt64) -> Ledger.Extent {
        Ledger.Extent(first: first, count: count, bytes: 2 * count, place: Sample.place(entry), number: 0, time: 0)
    }

    private func places(_ extents: [Ledger.Extent]) -> [UInt64] { extents.map(\.place.sequence) }

    @Test(arguments: 1...100 as ClosedRange<UInt64>) func agreesWithArrays(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var table = Ledger.ExtentTable()
        var naive = Naive()
        var end: UInt64 = 0
        var entry: UInt64 = 1
        for step in 0..<300 {
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<4:
                let new = extent(end, Int.random(in: 1...4, using: &random), entry: entry)
                table.append(new)
                naive.extents.append(new)
                (end, entry) = (new.end, entry + 1)
            case 4..<6 where naive.low < end:
                // Only what somebody still has on its way becomes a dead letter.
                let sequence = UInt64.random(in: naive.low..<end, using: &random)
                table.hold(sequence)
                naive.held.append(sequence)
            case 6 where !naive.held.isEmpty:
                table.letGo(naive.held.remove(at: Int.random(in: naive.held.indices, using: &random)))
            case 7:
                let cut = UInt64.random(in: 0...min(entry, (table.first?.place.sequence ?? 1) + 3), using: &random)
                if Int.random(in: 0..<4, using: &random) == 0 {
                    table.forget(below: cut)
                    naive.extents.removeAll { $0.place.sequence < cut }
                }
            default:
                naive.low = min(end, naive.low + UInt64.random(in: 0...5, using: &random))
                table.trim(below: naive.low)
                naive.settle()
            }
            naive.settle()
            let cut = UInt64.random(in: 0...entry, using: &random)
            // Untrimmed extents at the front go with the next trim.
            table.trim(below: naive.low)
            #expect(places(table.all) == places(naive.needed), "seed \(seed), step \(step)")
            #expect(table.first?.place == naive.needed.first?.place, "seed \(seed), step \(step)")
            #expect(
                places(table.entries(below: cut)) == places(naive.needed).filter { $0 < cut },
                "seed \(seed), step \(step)")
        }
    }

    /// Counting anew gives what counting along has given.
    @Test(arguments: 1...20 as ClosedRange<UInt64>) func countedAnew(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var table = Ledger.ExtentTable()
        for entry in 0..<50 as Range<UInt64> { table.append(extent(entry * 3, 3, entry: entry + 1)) }
        var held: [UInt64] = []
        for _ in 0..<30 {
            held.append(UInt64.random(in: 0..<150, using: &random))
            table.hold(held.last!)
        }
        table.trim(below: 120)
        for _ in 0..<20 { table.letGo(held.remove(at: Int.random(in: held.indices, using: &random))) }
        let before = places(table.all)
        table.hold(only: held)
        #expect(places(table.all) == before)
        table.hold(only: [])
        #expect(places(table.all) == Array(41...50))
    }
}
