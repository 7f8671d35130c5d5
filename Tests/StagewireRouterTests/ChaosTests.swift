import StagewireModel
import Testing

@testable import StagewireRouter

/// Guarantees 1 to 4 under random workers: nothing lost, nothing doubled between stages, order per key, memory
/// within its budget. A failing seed is in the failure's text; `Chaos(seed:)` replays it.
@Suite struct ChaosTests {
    static let seeds = UInt64(1)...UInt64(60)

    private func expectNoFault(seed: UInt64, _ change: (inout Chaos.Options) -> Void = { _ in }) {
        var options = Chaos.Options()
        change(&options)
        let faults = Chaos(seed: seed, options).run()
        #expect(faults.isEmpty, "seed \(seed): \(faults)")
    }

    @Test(arguments: seeds) func keyOrder(seed: UInt64) { expectNoFault(seed: seed) }

    @Test(arguments: seeds) func manyDeaths(seed: UInt64) {
        expectNoFault(seed: seed) {
            $0.deathPercent = 8
            $0.workers = 3
            $0.retryPercent = 2
        }
    }

    @Test(arguments: seeds) func noOrderAndManyFailures(seed: UInt64) {
        expectNoFault(seed: seed) {
            $0.transformOrdering = .none
            $0.auditOrdering = .key
            $0.retryPercent = 25
            $0.releasePercent = 10
            $0.rejectPercent = 5
        }
    }

    @Test(arguments: seeds) func keyOrderAndManyFailures(seed: UInt64) {
        expectNoFault(seed: seed) {
            $0.retryPercent = 20
            $0.releasePercent = 10
            $0.rejectPercent = 5
            $0.workers = 3
        }
    }

    @Test(arguments: seeds) func holdersAndDrops(seed: UInt64) {
        expectNoFault(seed: seed) {
            $0.holds = true
            $0.auditOverflow = seed % 2 == 0 ? .dropOldest : .dropNewest
        }
    }

    @Test(arguments: seeds) func deadLettersComeBack(seed: UInt64) {
        expectNoFault(seed: seed) {
            $0.rejectPercent = 15
            $0.retryPercent = 10
            $0.revivePercent = 4
            $0.transformOrdering = [.key, .none, .total][Int(seed % 3)]
            // Every other time so few that their stages pause again and again.
            $0.deadLetters = seed % 2 == 0 ? 3 : 10_000
        }
    }

    /// A worker that dies holds records of two inputs, so that suspect groups are of both.
    @Test(arguments: seeds) func twoInputsAndManyDeaths(seed: UInt64) {
        expectNoFault(seed: seed) {
            $0.auditReadsBoth = true
            $0.auditOrdering = [.key, .none, .total][Int(seed % 3)]
            $0.holds = seed % 2 == 0
            $0.deathPercent = 6
        }
    }

    /// So much is rejected that stages pause again and again, with and without a person who has them go on.
    @Test(arguments: seeds) func stagesPause(seed: UInt64) {
        var options = Chaos.Options()
        var policy = BreakerPolicy()
        (policy.failures, policy.window) = (3, 5)
        (policy.pauseFirst, policy.pauseLimit) = (.milliseconds(300), .seconds(2))
        options.breaker = policy
        options.rejectPercent = 35
        options.retryPercent = 10
        options.revivePercent = 3
        options.resumePercent = seed % 2 == 0 ? 2 : 0
        options.holds = seed % 3 == 0
        options.transformOrdering = [.key, .none, .total][Int(seed / 2 % 3)]
        options.crashPermille = seed % 4 == 1 ? 10 : 0
        options.deadLetters = seed % 5 == 0 ? 6 : 10_000
        let chaos = Chaos(seed: seed, options)
        let faults = chaos.run()
        #expect(faults.isEmpty, "seed \(seed): \(faults)")
        #expect(chaos.pauses > 3, "seed \(seed)")
    }

    // MARK: The broker dies, too

    @Test(arguments: seeds) func brokerDies(seed: UInt64) {
        expectNoFault(seed: seed) { $0.crashPermille = 20 }
    }

    @Test(arguments: seeds) func everybodyDiesAndMuchFails(seed: UInt64) {
        expectNoFault(seed: seed) {
            $0.crashPermille = 10
            $0.deathPercent = 4
            $0.retryPercent = 15
            $0.releasePercent = 5
            $0.rejectPercent = 5
            $0.workers = 3
            $0.transformOrdering = [.key, .none, .total][Int(seed % 3)]
        }
    }

    @Test(arguments: seeds) func brokerDiesAmongDeadLetters(seed: UInt64) {
        expectNoFault(seed: seed) {
            $0.crashPermille = 15
            $0.rejectPercent = 15
            $0.retryPercent = 10
            $0.revivePercent = 4
            $0.deadLetters = seed % 2 == 0 ? 3 : 10_000
        }
    }

    @Test(arguments: seeds) func brokerDiesWithHoldersAndTwoInputs(seed: UInt64) {
        expectNoFault(seed: seed) {
            $0.crashPermille = 15
            $0.holds = true
            $0.auditReadsBoth = true
            $0.auditOrdering = [.key, .none, .total][Int(seed % 3)]
        }
    }

    @Test(arguments: seeds) func brokerDiesAndRecordsAreDropped(seed: UInt64) {
        expectNoFault(seed: seed) {
            $0.crashPermille = 15
            $0.auditOverflow = seed % 2 == 0 ? .dropOldest : .dropNewest
        }
    }

    /// Streams longer than their memory: the slow stage reads from the disk, with or without a bound on that.
    @Test(arguments: seeds) func slowStagesFallBehind(seed: UInt64) {
        expectNoFault(seed: seed) {
            $0.crashPermille = seed % 3 == 0 ? 1 : 10
            $0.auditIsSlow = true
            $0.auditReadsBoth = seed % 2 == 0
            $0.auditOrdering = [.key, .none, .total][Int(seed % 3)]
            $0.backlogBytes = [1 << 30, 6000, 40_000][Int(seed / 3 % 3)]
            $0.retryPercent = 10
            $0.rejectPercent = seed % 5 == 0 ? 10 : 1
        }
    }

    /// The runs above would prove nothing if nobody ever fell behind.
    @Test func slowStagesDoReadFromTheDisk() {
        var readings = 0
        for seed in UInt64(1)...10 {
            var options = Chaos.Options()
            options.crashPermille = 1
            options.auditIsSlow = true
            let chaos = Chaos(seed: seed, options)
            #expect(chaos.run().isEmpty)
            readings += chaos.rig.journal?.readings ?? 0
        }
        #expect(readings > 100)
    }
}
