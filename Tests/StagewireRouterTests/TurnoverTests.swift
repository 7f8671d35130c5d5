import StagewireModel
import StagewireSimulation
import Testing

@testable import StagewireRecord
@testable import StagewireRouter

/// Streams that are filled less than their window while what they hold passes quickly.
@Suite struct TurnoverTests {
    /// Three steps of ten records are all that it holds while the readers are quick; the window has 200.
    private func rig(_ change: (inout PipelineDefinition, inout Router.Options) -> Void = { _, _ in }) -> Rig {
        var pipeline = PipelineDefinition.sourceAndSink
        pipeline.limits.maxStepBytes = 40_960
        pipeline.limits.maxStepRecords = 10
        pipeline.limits.windowRecords = 200
        pipeline.stages[0].maxWorkers = 2
        var options = Router.Options()
        change(&pipeline, &options)
        return Rig(pipeline, options: options)
    }

    private func start(_ rig: Rig) -> (source: RigWorker, sink: RigWorker) {
        let source = rig.attach("source", name: "s")
        rig.send(source, .claim(partition: "p"))
        let sink = rig.attach("sink", name: "k")
        rig.grant(sink, records: 1 << 40)
        return (source, sink)
    }

    /// Emits until there is no more credit, or twice a window is there; returns how many records the stream has then.
    private func fill(_ rig: Rig, _ source: RigWorker, from id: inout UInt64) -> Int {
        let last = id + 400
        while id < last, case let next = [TestEmission(output: StepBytes.output(key: "k\(id % 5)", payload: "\(id)"))],
            source.affords(next)
        {
            rig.emit(source, "p", id, next)
            id += 1
        }
        return rig.router.streams[0].log.count
    }

    private func settleAll(_ rig: Rig, _ sink: RigWorker) {
        settle(rig, sink, sink.held.count)
    }

    private func settle(_ rig: Rig, _ sink: RigWorker, _ count: Int) {
        for held in sink.held.prefix(count) { rig.settle(sink, [TestOutcome(held.delivery, .accepted)]) }
    }

    /// In the beginning nobody knows; then it is short, until it stands still; then it is left alone for a while.
    @Test func isShortWhileItsReadersAreQuick() {
        let rig = rig()
        let (source, sink) = start(rig)
        var id: UInt64 = 1
        #expect(fill(rig, source, from: &id) == 210, "its window and a step")
        settleAll(rig, sink)
        rig.advance(milliseconds: 1)
        for _ in 0..<5 {
            let filled = fill(rig, source, from: &id)
            #expect((30...50).contains(filled), "three steps, and what was granted below that: \(filled)")
            settleAll(rig, sink)
        }

        // A slow reader: the stream stands still for 100 ms, and has its window.
        _ = fill(rig, source, from: &id)
        rig.advance(milliseconds: 99)
        #expect(fill(rig, source, from: &id) <= 50)
        rig.advance(milliseconds: 1)
        #expect(fill(rig, source, from: &id) >= 200)
        // Quick for a moment is not enough for a second.
        settleAll(rig, sink)
        #expect(fill(rig, source, from: &id) >= 200)
        settleAll(rig, sink)
        rig.advance(milliseconds: 1000)
        _ = fill(rig, source, from: &id)
        settle(rig, sink, 100)
        settle(rig, sink, 100)
        #expect(fill(rig, source, from: &id) < 200)
    }

    /// While the broker is not what limits, whoever is slower has its whole window.
    @Test func isLongWhileTheBrokerIsIdle() throws {
        let rig = rig()
        let (source, sink) = start(rig)
        var id: UInt64 = 1
        _ = fill(rig, source, from: &id)
        settleAll(rig, sink)
        rig.advance(milliseconds: 1)
        #expect(fill(rig, source, from: &id) <= 50)
        // Nothing else may happen: it is looked at soon enough for the broker to be found idle.
        #expect(try #require(rig.router.nextDeadline) <= rig.now.uptime + 25_000_000)
        rig.load.isBusy = false
        rig.advance(milliseconds: 1)
        #expect(fill(rig, source, from: &id) >= 200)
        // What was granted stays granted.
        rig.load.isBusy = true
        for _ in 0..<2 {
            settleAll(rig, sink)
            rig.advance(milliseconds: 1)
            _ = fill(rig, source, from: &id)
        }
        #expect(rig.router.streams[0].log.count <= 50)
    }

    /// It holds what passes in two and a half milliseconds, within bounds.
    @Test(arguments: [
        (perMillisecond: 6000, workers: 1, records: 12_288), (600, 1, 1500), (100, 1, 1024), (100, 3, 3072),
        (100, 200, 12_288),
    ])
    func holdsWhatPassesInAMoment(perMillisecond: Int, workers: Int, records: Int) {
        var turnover = Turnover(PipelineLimits(), Router.Options())
        turnover.load.isBusy = true
        for time in 1...1000 as ClosedRange<UInt64> {
            turnover.released(
                records: perMillisecond, bytes: perMillisecond * 200, workers: workers, at: time * 1_000_000)
        }
        #expect(turnover.records == records)
        // A reader with many workers passes as much as they need too seldom.
        #expect(turnover.isShort == (workers < 100))
    }

    /// Stages are paused by how full their stream is; what they are granted is seldom renewed then.
    @Test func othersHaveCreditForTheWholeWindow() {
        let rig = rig { pipeline, _ in
            pipeline.stages.insert(StageDefinition(name: "worker", inputs: [InputDefinition(stage: 0)]), at: 1)
            pipeline.stages[2].inputs[0].stage = 1
        }
        let (source, sink) = start(rig)
        let worker = rig.attach("worker", name: "w")
        rig.grant(worker, records: 1 << 40)
        var grants = 0
        rig.onMessage = { if $0 === worker, case .credit = $1 { grants += 1 } }
        var id: UInt64 = 1
        for _ in 0..<100 {
            for _ in 0..<5 {
                rig.emit(source, "p", id, [TestEmission(output: StepBytes.output(key: "k", payload: "\(id)"))])
                id += 1
            }
            for held in worker.held {
                let output = [TestEmission(output: StepBytes.output(key: "k", payload: held.payload))]
                rig.settle(worker, [TestOutcome(held.delivery, .accepted, output)])
            }
            settleAll(rig, sink)
            rig.advance(milliseconds: 1)
        }
        #expect(rig.router.streams[1].turnover!.isShort)
        #expect(grants <= 8, "one for about each hundred of 500 records: \(grants)")
    }

    /// Below three steps a session has one of its own, whatever another one was granted while the stream was long.
    @Test func everySessionHasAStepBelowThat() {
        let rig = rig()
        let (source, sink) = start(rig)
        let other = rig.attach("source", name: "t")
        rig.send(other, .claim(partition: "q"))
        var id: UInt64 = 1
        _ = fill(rig, source, from: &id)
        settleAll(rig, sink)
        #expect(rig.router.streams[0].turnover!.isShort)
        let limit = other.granted[0]!
        #expect(limit.records >= 10, "the other session has its step")
        for id in 1...200 as ClosedRange<UInt64> {
            let next = [TestEmission(output: StepBytes.output(key: "o", payload: "\(id)"))]
            #expect(other.affords(next))
            rig.emit(other, "q", id, next)
            settleAll(rig, sink)
        }
    }

    /// With a journal what passes while it is flushed several times is on its way.
    @Test(arguments: [
        (flush: 6, perMillisecond: 40, records: 1540), (6, 400, 15_400), (6, 2000, 65_536), (60, 40, 14_500),
    ])
    func holdsMoreWhereItGoesOverADisk(flush: UInt64, perMillisecond: Int, records: Int) {
        var options = Router.Options()
        options.isRecording = true
        var turnover = Turnover(PipelineLimits(), options)
        turnover.load = BrokerLoad(isBusy: true, flush: flush * 1_000_000)
        for time in 1...2000 as ClosedRange<UInt64> {
            turnover.released(records: perMillisecond, bytes: perMillisecond * 200, workers: 1, at: time * 1_000_000)
        }
        #expect(turnover.isShort)
        #expect(turnover.records == records)
    }

    /// Who drops does so when the window is full.
    @Test func onlyWhereNothingElseGoesByTheWindow() {
        let rig = rig { pipeline, _ in pipeline.stages[1].inputs[0].overflow = .dropOldest }
        let (source, sink) = start(rig)
        var id: UInt64 = 1
        for _ in 0..<3 {
            #expect(fill(rig, source, from: &id) >= 149)
            settleAll(rig, sink)
        }
    }

    /// What stands still again soon is left alone for twice as long. No clock is read: all times are the test's own.
    @Test func isLeftAloneForLongerEachTime() {
        var turnover = Turnover(PipelineLimits(), Router.Options())
        turnover.load.isBusy = true
        var now: UInt64 = 1_000_000_000
        func passUntilShort() -> UInt64 {
            let start = now
            while !turnover.isShort, now - start < 60_000_000_000 {
                now += 1_000_000
                turnover.released(records: 1000, bytes: 200_000, workers: 1, at: now)
            }
            return (now - start) / 1_000_000_000
        }
        #expect(passUntilShort() == 0)
        for seconds in [1, 2, 4, 8, 16, 16] as [UInt64] {
            turnover.stood(at: now)
            #expect(passUntilShort() == seconds)
        }
        now += 20_000_000_000
        turnover.stood(at: now)
        #expect(passUntilShort() == 1)
    }
}

extension PipelineDefinition {
    /// A source and its reader, with records of at most 4 KiB.
    static var sourceAndSink: PipelineDefinition {
        var pipeline = PipelineDefinition(
            name: "p",
            stages: [
                StageDefinition(name: "source", isSource: true),
                StageDefinition(name: "sink", inputs: [InputDefinition(stage: 0)]),
            ])
        pipeline.limits.maxRecord = 4096
        return pipeline
    }
}
