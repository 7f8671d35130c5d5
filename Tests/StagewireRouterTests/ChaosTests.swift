import StagewireModel
import Testing

@testable import StagewireRouter

/// Guarantees 1 to 4 under random workers: nothing lost, nothing doubled between stages, order per key, memory
/// within its budget. A failing seed is in the failure's text; `Chaos(seed:)` replays it.
@Suite struct ChaosTests {
    static let seeds = UInt64(1)...UInt64(60)

    @Test(arguments: seeds) func keyOrder(seed: UInt64) {
        let faults = Chaos(seed: seed).run()
        #expect(faults.isEmpty, "seed \(seed): \(faults)")
    }

    @Test(arguments: seeds) func manyDeaths(seed: UInt64) {
        var options = Chaos.Options()
        options.deathPercent = 8
        options.workers = 3
        options.retryPercent = 2
        let faults = Chaos(seed: seed, options).run()
        #expect(faults.isEmpty, "seed \(seed): \(faults)")
    }

    @Test(arguments: seeds) func noOrderAndManyFailures(seed: UInt64) {
        var options = Chaos.Options()
        options.transformOrdering = .none
        options.auditOrdering = .key
        options.retryPercent = 25
        options.releasePercent = 10
        options.rejectPercent = 5
        let faults = Chaos(seed: seed, options).run()
        #expect(faults.isEmpty, "seed \(seed): \(faults)")
    }

    @Test(arguments: seeds) func keyOrderAndManyFailures(seed: UInt64) {
        var options = Chaos.Options()
        options.retryPercent = 20
        options.releasePercent = 10
        options.rejectPercent = 5
        options.workers = 3
        let faults = Chaos(seed: seed, options).run()
        #expect(faults.isEmpty, "seed \(seed): \(faults)")
    }

    @Test(arguments: seeds) func holdersAndDrops(seed: UInt64) {
        var options = Chaos.Options()
        options.holds = true
        options.auditOverflow = seed % 2 == 0 ? .dropOldest : .dropNewest
        let faults = Chaos(seed: seed, options).run()
        #expect(faults.isEmpty, "seed \(seed): \(faults)")
    }
}
