import StagewireSimulation
import Testing

/// A few seeds of each variant; `make sim` tries thousands, many times faster. Nothing lost, nothing doubled between stages, order
/// per key, memory within its budget, nothing told or shown that a crash takes back. A failing seed is in the
/// failure's text; `make sim FIRST=seed SEEDS=1` replays it.
@Suite struct ChaosTests {
    @Test(arguments: Variant.allCases) func variant(_ variant: Variant) {
        var statistics = SimulationStatistics()
        for round in 0..<8 as Range<UInt64> {
            let seed = round * UInt64(Variant.allCases.count) + UInt64(variant.rawValue)
            let simulation = Simulation(seed: seed)
            #expect(simulation.variant == variant)
            let outcome = simulation.run()
            #expect(outcome.faults.isEmpty, "seed \(seed): \(outcome.faults)")
            statistics.add(outcome.statistics)
        }
        guard variant.hasJournal else { return }
        // Otherwise nothing was proven.
        #expect(statistics.starts > 20 && statistics.snapshots > 20 && statistics.retired > 20)
        if "\(variant)".hasPrefix("disk") { #expect(statistics.failures > 2) }
        if "\(variant)".hasSuffix("FallBehind") { #expect(statistics.readings > 20) }
    }

    /// One seed, one run: nothing depends on anything else.
    @Test func replays() {
        for seed in 0..<UInt64(Variant.allCases.count) {
            let (one, other) = (Simulation(seed: seed).run(), Simulation(seed: seed).run())
            #expect(one.hash == other.hash, "seed \(seed)")
        }
    }
}
