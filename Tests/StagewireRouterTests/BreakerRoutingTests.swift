import StagewireModel
import Testing

@testable import StagewireRecord
@testable import StagewireRouter

/// What a paused stage gets and does not get, in every ordering, with windows, suspects, stops and full dead letters.
@Suite struct BreakerRoutingTests {
    private static func pipeline(_ change: (inout StageDefinition, inout PipelineLimits) -> Void) -> PipelineDefinition
    {
        var source = StageDefinition(name: "source", isSource: true)
        source.maxWorkers = 1
        var sink = StageDefinition(name: "sink", inputs: [InputDefinition(stage: 0)])
        sink.retry.jitterPercent = 0
        var policy = BreakerPolicy()
        (policy.failures, policy.window) = (3, 6)
        (policy.pauseFirst, policy.pauseLimit) = (.seconds(1), .seconds(4))
        sink.breaker = policy
        var limits = PipelineLimits()
        limits.maxStepRecords = 64
        change(&sink, &limits)
        var pipeline = PipelineDefinition(name: "p", stages: [source, sink])
        pipeline.limits = limits
        return pipeline
    }

    private func rig(
        journal: Bool = false, _ change: (inout StageDefinition, inout PipelineLimits) -> Void = { _, _ in }
    ) -> Rig {
        let pipeline = Self.pipeline(change)
        guard journal else { return Rig(pipeline) }
        let journal = RigJournal(pipeline, seed: 1)
        journal.isCalm = true
        return Rig(pipeline, journal: journal)
    }

    /// A source that has emitted `count` records of as many keys, and a worker that has granted as much.
    private func fed(_ rig: Rig, _ count: Int, features: [String] = []) -> (source: RigWorker, sink: RigWorker) {
        let source = rig.attach("source", name: "s")
        rig.send(source, .claim(partition: "p"))
        let sink = rig.attach("sink", name: "k", features: features)
        rig.grant(sink, records: 10_000)
        emit(rig, source, 1, count)
        return (source, sink)
    }

    private func emit(_ rig: Rig, _ source: RigWorker, _ id: UInt64, _ count: Int) {
        rig.emit(
            source, "p", id,
            (0..<count).map { TestEmission(output: StepBytes.output(key: "k\($0)", payload: "\(id).\($0)")) })
    }

    private func obstacle(_ rig: Rig) -> PipelineSummary.Obstacle? { rig.router.summary().stages[1].obstacle }

    @Test(arguments: [Ordering.key, .none, .total]) func pausesAndTries(_ ordering: Ordering) {
        let rig = rig { sink, limits in
            sink.ordering = ordering
            limits.unsettledRecords = 4
        }
        let (_, sink) = fed(rig, 40)
        #expect(sink.held.count == 4)
        for _ in 0..<3 { rig.settle(sink, [TestOutcome(sink.held[0].delivery, .rejected)]) }
        #expect(obstacle(rig) == .breakerOpen)
        let held = sink.held.map(\.delivery)
        #expect(held.count == 3, "what was with the worker stays with it, and nothing comes")
        rig.settle(sink, held.map { TestOutcome($0, .accepted) })
        #expect(sink.held.isEmpty && rig.router.summary().stages[1].queued == 34)
        rig.advance(milliseconds: 1000)
        #expect(sink.held.count == 4, "as much as the worker may hold")
        rig.settle(sink, [TestOutcome(sink.held[0].delivery, .accepted)])
        #expect(sink.held.count == 4, "five at most, with that one")
        rig.settle(sink, [TestOutcome(sink.held[0].delivery, .accepted)])
        #expect(sink.held.count == 3)
        rig.settle(sink, [TestOutcome(sink.held[0].delivery, .accepted)])
        #expect(sink.held.count == 4 && obstacle(rig) == nil, "three were accepted: it goes on")
    }

    /// What came back for a retry, and what a person retries, waits as well.
    @Test func nothingComesBackWhilePaused() {
        let rig = rig()
        let (_, sink) = fed(rig, 6)
        rig.settle(sink, [TestOutcome(4, .retry), TestOutcome(5, .released)])
        rig.settle(sink, [TestOutcome(1, .rejected), TestOutcome(2, .rejected), TestOutcome(3, .rejected)])
        #expect(rig.router.retryDeadLetters(stage: 1, [1, 2]) == 2)
        rig.advance(milliseconds: 900)
        #expect(sink.held.map(\.payload) == ["1.5"])
        rig.advance(milliseconds: 100)
        #expect(sink.held.count == 5, "the one from before is one of the five")
        rig.settle(sink, sink.held.prefix(3).map { TestOutcome($0.delivery, .accepted) })
        #expect(sink.held.count == 2 && rig.router.summary().stages[1].queued == 0)
    }

    /// A window needs more than five records to close: then it is what is judged.
    @Test func windowsAreTriedWhole() {
        let rig = rig()
        let (source, sink) = fed(rig, 30, features: [Feature.holds])
        rig.settle(sink, [TestOutcome([1...10], .rejected)])
        #expect(obstacle(rig) == nil, "nothing waits")
        emit(rig, source, 2, 30)
        #expect(sink.held.count == 20 && obstacle(rig) == .breakerOpen)
        rig.advance(milliseconds: 1000)
        #expect(sink.held.count == 50 && obstacle(rig) == nil)
        rig.settle(sink, [TestOutcome([11...50], .rejected)])
        emit(rig, source, 3, 30)
        #expect(sink.held.count == 10 && obstacle(rig) == .breakerOpen, "one bad window, and it pauses again")
        rig.advance(milliseconds: 2000)
        rig.settle(sink, [TestOutcome([51...70], .accepted)])
        emit(rig, source, 4, 1)
        #expect(sink.held.count == 21 && rig.router.summary().stages[1].pause == nil)
    }

    /// One batch that was tried too often is one mistake, and so is one worker that died too often.
    @Test func oneBatchIsOneMistake() {
        let rig = rig { sink, _ in
            sink.breaker?.failures = 6
            sink.breaker?.window = 12
            sink.retry.attempts = 1
            sink.crashLimit = 1
        }
        let (_, sink) = fed(rig, 30, features: [Feature.holds])
        rig.settle(sink, [TestOutcome([1...10], .retry)])
        #expect(rig.router.summary().stages[1].dead == 10 && rig.router.stages[1].breaker.isClosed)
        rig.kill(sink)
        #expect(rig.router.summary().stages[1].dead == 30 && !rig.router.stages[1].breaker.isClosed)
    }

    /// Suspects are no exception, and their trial goes on where it was.
    @Test func suspectsWait() {
        let rig = rig()
        let (_, sink) = fed(rig, 12)
        rig.settle(sink, [TestOutcome(1, .rejected), TestOutcome(2, .rejected)])
        rig.kill(sink)
        let second = rig.attach("sink", name: "k2")
        rig.grant(second, records: 100)
        #expect(second.held.count == 10)
        rig.settle(second, [TestOutcome(1, .rejected)])
        rig.kill(second)
        let third = rig.attach("sink", name: "k3")
        rig.grant(third, records: 100)
        #expect(third.held.isEmpty && obstacle(rig) == .breakerOpen)
        rig.advance(milliseconds: 1000)
        var rounds = 0
        var seen: Set<String> = []
        while !third.held.isEmpty, rounds < 100 {
            rounds += 1
            #expect(rig.router.stages[1].breaker.isClosed || third.held.count <= 5)
            seen.formUnion(third.held.map(\.payload))
            rig.settle(third, [TestOutcome(third.held[0].delivery, .accepted)])
        }
        #expect(seen.count == 9 && rig.router.stages[1].breaker.isClosed)
    }

    // MARK: Ends

    @Test func aSuspendedPipelineEndsAtOnce() {
        let rig = rig(journal: true) { _, limits in limits.unsettledRecords = 3 }
        let (source, sink) = fed(rig, 9)
        rig.settle(sink, [TestOutcome([1...3], .rejected)])
        #expect(obstacle(rig) == .breakerOpen && sink.held.isEmpty)
        rig.router.handle(.suspend(deadline: .seconds(10)), at: rig.now)
        rig.turn()
        rig.send(source, .close(CloseReason(.ok, "")))
        #expect(rig.hasEnded && rig.router.summary().unsettled == 6)
        #expect(rig.router.summary().stages[1].pause != nil, "what its end has to do with it can be said")
    }

    /// A breaker is not written down: a new run tries anew.
    @Test func aNewRunBeginsClosed() {
        let rig = rig(journal: true)
        let (_, sink) = fed(rig, 9)
        rig.settle(sink, [TestOutcome([1...3], .rejected)])
        rig.crash()
        #expect(rig.router.summary().stages[1].pause == nil)
        let next = rig.attach("sink", name: "k")
        rig.grant(next, records: 100)
        #expect(next.held.count == 6)
    }

    /// A stage that has nothing left to do ends, paused or not.
    @Test func thePauseDoesNotKeepADoneStage() {
        let rig = rig()
        let (source, sink) = fed(rig, 3)
        rig.settle(sink, [TestOutcome([1...3], .rejected)])
        rig.send(source, .finished(partition: "p"))
        #expect(rig.hasEnded && rig.router.summary().stages[1].pause == nil)
        #expect(rig.router.resume(stage: 1) == false)
        rig.advance(milliseconds: 5000)
        #expect(!rig.notices.contains { $0.text.contains("its pause is over") })
    }

    /// Both at once: a person has to make room, and then it still waits for its pause.
    @Test func fullDeadLettersAsWell() {
        let rig = rig { _, limits in
            limits.deadLetterRecords = 3
            limits.unsettledRecords = 3
        }
        let (_, sink) = fed(rig, 9)
        rig.settle(sink, [TestOutcome(1, .rejected), TestOutcome(2, .rejected), TestOutcome(3, .rejected)])
        #expect(obstacle(rig) == .deadLettersFull)
        rig.settle(sink, sink.held.map { TestOutcome($0.delivery, .accepted) })
        rig.advance(milliseconds: 1000)
        #expect(sink.held.isEmpty && obstacle(rig) == .deadLettersFull)
        #expect(rig.router.dropDeadLetters(stage: 1, [1]) == 1)
        rig.turn()
        #expect(sink.held.count == 3)
        // While letters wait for their retry, what comes back goes on, but not through a pause.
        rig.settle(sink, sink.held.map { TestOutcome($0.delivery, .rejected) })
        #expect(rig.router.retryDeadLetters(stage: 1, [2, 3, 4]) == 3)
        rig.turn()
        #expect(sink.held.isEmpty && obstacle(rig) == .breakerOpen)
        rig.advance(milliseconds: 2000)
        #expect(sink.held.count == 3)
    }

    @Test func sourcesHaveNone() {
        let rig = rig()
        #expect(rig.router.resume(stage: 0) == false)
        #expect(rig.router.summary().stages[0].pause == nil)
    }

    /// Two stages behind one stream: one pauses, the other goes on until the stream is full.
    @Test func theOtherReaderGoesOn() {
        var pipeline = Self.pipeline { _, limits in limits.windowRecords = 64 }
        pipeline.stages.append(StageDefinition(name: "audit", inputs: [InputDefinition(stage: 0)]))
        let rig = Rig(pipeline)
        let audit = rig.attach("audit", name: "a")
        rig.grant(audit, records: 1000)
        let (source, sink) = fed(rig, 9)
        rig.settle(sink, [TestOutcome([1...3], .rejected)])
        emit(rig, source, 2, 9)
        #expect(audit.held.count == 18 && sink.held.count == 6)
    }
}
