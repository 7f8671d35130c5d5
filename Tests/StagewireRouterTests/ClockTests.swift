import StagewireModel
import StagewireSimulation
import Testing

@testable import StagewireRouter

/// The wall clock is for people and for lineage. Whoever sets it, by an hour each time that time passes here, makes nothing early,
/// late, or different.
@Suite struct ClockTests {
    /// Whole lives of a pipeline, with and without: deliveries, attempts, refusals, ends, in the same order.
    @Test(arguments: Variant.allCases.filter { !$0.hasJournal })
    func nothingThatHappensDependsOnIt(_ variant: Variant) {
        for round in 0..<3 as Range<UInt64> {
            let seed = round * UInt64(Variant.allCases.count) + UInt64(variant.rawValue)
            let hashes = [false, true].map { jumps in
                let chaos = Chaos(seed: seed, variant.options(seed))
                chaos.rig.keepsLines = false
                chaos.rig.wallJumps = jumps
                let faults = chaos.run()
                #expect(faults.isEmpty, "seed \(seed): \(faults)")
                return chaos.rig.hash
            }
            #expect(hashes[0] == hashes[1], "seed \(seed)")
        }
    }

    private func rig(_ change: (inout StageDefinition) -> Void) -> (rig: Rig, sink: RigWorker) {
        var sink = StageDefinition(name: "sink", inputs: [InputDefinition(stage: 0)])
        sink.retry.jitterPercent = 0
        sink.retry.attempts = 1000
        sink.retry.backoffLimit = .seconds(1)
        change(&sink)
        let rig = Rig(PipelineDefinition(name: "p", stages: [StageDefinition(name: "source", isSource: true), sink]))
        rig.wallJumps = true
        let source = rig.attach("source", name: "s")
        let worker = rig.attach("sink", name: "k")
        rig.grant(worker, records: 100)
        rig.send(source, .claim(partition: "p"))
        rig.emit(source, "p", 1, [TestEmission(output: StepBytes.output(key: "k", payload: "1"))])
        return (rig, worker)
    }

    private func pass(_ rig: Rig, milliseconds: UInt64) {
        for _ in 0..<milliseconds / 100 { rig.advance(milliseconds: 100) }
    }

    @Test func aRetryComesWhenItIsDue() {
        let (rig, sink) = rig { _ in }
        var outcome = TestOutcome(sink.held[0].delivery, .retry)
        outcome.delayMS = 2000
        rig.settle(sink, [outcome])
        pass(rig, milliseconds: 1900)
        #expect(sink.held.isEmpty)
        pass(rig, milliseconds: 200)
        #expect(sink.held.map(\.attempt) == [2])
    }

    @Test func aLeaseEndsWhenItIsOver() {
        let (rig, _) = rig { $0.lease = .seconds(5) }
        pass(rig, milliseconds: 4900)
        #expect(rig.router.stages[1].sessions.count == 1)
        pass(rig, milliseconds: 200)
        #expect(rig.router.stages[1].sessions.isEmpty)
    }

    @Test func aRecordIsGivenUpAtItsAgeAndNotBefore() {
        let (rig, sink) = rig { $0.retry.maxAge = .seconds(10) }
        for round in 1...12 {
            guard let held = sink.held.last else { break }
            #expect(rig.router.deadLetters(stage: 1).isEmpty, "round \(round)")
            var outcome = TestOutcome(held.delivery, .retry)
            outcome.delayMS = 1000
            rig.settle(sink, [outcome])
            pass(rig, milliseconds: 1100)
        }
        let letters = rig.router.deadLetters(stage: 1)
        #expect(letters.map(\.reason) == [.expired])
        // One attempt in 1.1 s: the tenth would be followed by one that is too late.
        #expect((9...11).contains(letters.first?.attempts ?? 0), "\(letters)")
    }
}
