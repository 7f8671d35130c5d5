import StagewireModel
import StagewireSimulation
import Testing

@testable import StagewireRecord
@testable import StagewireRouter

/// What a person does with dead letters, and what a stage says about why it waits.
@Suite struct DeadLetterTests {
    /// source -> sink, with a parking of four records.
    private func rig(_ change: (inout StageDefinition, inout PipelineLimits) -> Void = { _, _ in }) -> Rig {
        var source = StageDefinition(name: "source", isSource: true)
        source.maxWorkers = 1
        var sink = StageDefinition(name: "sink", inputs: [InputDefinition(stage: 0)])
        sink.retry.jitterPercent = 0
        var limits = PipelineLimits()
        limits.maxRecord = 4096
        limits.maxStepBytes = 16_384
        limits.maxStepRecords = 8
        limits.windowBytes = 65_536
        limits.windowRecords = 8
        change(&sink, &limits)
        var pipeline = PipelineDefinition(name: "p", stages: [source, sink])
        pipeline.limits = limits
        return Rig(pipeline)
    }

    private func source(_ rig: Rig) -> RigWorker {
        let source = rig.attach("source", name: "s")
        rig.send(source, .claim(partition: "p"))
        return source
    }

    private func emit(_ rig: Rig, _ source: RigWorker, _ id: UInt64, _ payloads: [String]) {
        let emissions = payloads.map { TestEmission(output: StepBytes.output(key: "k\($0)", payload: $0)) }
        rig.emit(source, "p", id, emissions)
    }

    /// Eight rejected records, "1" to "8", and a sink without credit.
    private func rejected(_ rig: Rig) -> (source: RigWorker, sink: RigWorker) {
        let source = source(rig)
        let sink = rig.attach("sink", name: "k")
        rig.grant(sink, records: 8)
        emit(rig, source, 1, (1...8).map { "\($0)" })
        rig.settle(sink, [TestOutcome([1...8], .rejected)])
        return (source, sink)
    }

    @Test func retriesWaitForRoom() {
        let rig = rig()
        let (_, sink) = rejected(rig)
        #expect(rig.router.retryDeadLetters(stage: 1, Array(1...8)) == 8)
        rig.turn()
        #expect(rig.router.subscriptions[0].parking.count == 4)
        #expect(rig.router.deadLetters(stage: 1).map(\.number) == [5, 6, 7, 8])
        #expect(!rig.router.deadLetters(stage: 1).contains { !$0.isRetrying })
        #expect(rig.router.summary().stages[1].revived == 4)
        rig.grant(sink, records: 100)
        for _ in 0..<8 {
            #expect(!sink.held.isEmpty)
            guard let first = sink.held.first else { return }
            #expect(first.attempt == 1)
            rig.settle(sink, [TestOutcome(first.delivery, .accepted)])
        }
        let line = rig.router.summary().stages[1]
        #expect(line.taken == 8 && line.accepted == 8 && line.dead == 8 && line.deadLetters == 0 && line.queued == 0)
        #expect(rig.router.summary().bytes == 0)
    }

    /// Numbers of arrivals come round: a letter that waits at the same place keeps others from getting its number.
    @Test func aNumberIsNotGivenTwice() {
        let rig = rig()
        let (_, sink) = rejected(rig)
        rig.router.subscriptions[0].arrivals = UInt64(Arrival.numbers) - 2
        #expect(rig.router.retryDeadLetters(stage: 1, [1, 2, 3]) == 3)
        rig.turn()
        #expect(rig.router.subscriptions[0].parking.count == 3)
        // As if 4,093 others had come and gone at this place: the next number is that of letter 1.
        rig.router.subscriptions[0].arrivals = UInt64(2 * Arrival.numbers) - 2
        #expect(rig.router.retryDeadLetters(stage: 1, [4]) == 1)
        rig.turn()
        #expect(rig.router.subscriptions[0].parking.count == 3 && rig.router.deadLetters(stage: 1)[0].isRetrying)
        rig.grant(sink, records: 100)
        rig.settle(sink, [TestOutcome([9...11], .accepted)])
        #expect(sink.held.map(\.payload) == ["4"])
    }

    /// Nothing is delivered while dead letters are full; what is parked has to go all the same, or the letters that
    /// are to be retried would wait for its room for ever.
    @Test func fullDeadLettersAndFullParking() {
        let rig = rig { $1.deadLetterRecords = 8 }
        let source = source(rig)
        let sink = rig.attach("sink", name: "k")
        rig.grant(sink, records: 12)
        emit(rig, source, 1, (1...8).map { "\($0)" })
        emit(rig, source, 2, (9...12).map { "\($0)" })
        rig.settle(sink, [TestOutcome([1...8], .rejected)])
        #expect(rig.router.retryDeadLetters(stage: 1, [1, 2, 3, 4, 5]) == 5)
        rig.turn()
        // Four are parked and wait for credit, the fifth waits for them; four failures fill the letters again.
        rig.settle(sink, [TestOutcome([9...12], .rejected)])
        emit(rig, source, 3, ["new"])
        #expect(rig.router.subscriptions[0].dead.isFull && rig.router.subscriptions[0].parking.isFull)
        rig.grant(sink, records: 4)
        #expect(sink.held.map(\.payload) == ["1", "2", "3", "4"], "what is parked goes, what is new does not")
        rig.settle(sink, [TestOutcome([13...16], .accepted)])
        rig.grant(sink, records: 100)
        #expect(sink.held.map(\.payload) == ["5", "new"])
        #expect(rig.router.dropDeadLetters(stage: 1, Array(1...100)) == 7)
        #expect(rig.router.deadLetters(stage: 1).isEmpty)
    }

    @Test func droppingFreesAPausedStage() {
        let rig = rig { $1.deadLetterRecords = 8 }
        let (source, sink) = rejected(rig)
        rig.grant(sink, records: 100)
        emit(rig, source, 2, ["new"])
        #expect(sink.held.isEmpty && rig.router.summary().stages[1].obstacle == .deadLettersFull)
        #expect(rig.router.dropDeadLetters(stage: 1, [8, 3]) == 2)
        #expect(rig.router.dropDeadLetters(stage: 1, [8, 3]) == 0)
        rig.turn()
        #expect(sink.held.map(\.payload) == ["new"] && rig.router.summary().stages[1].obstacle == nil)
        #expect(rig.notices.last?.text.contains("goes on") == true)
        #expect(rig.router.deadLetters(stage: 1).map(\.number) == [1, 2, 4, 5, 6, 7])
    }

    /// A letter to be retried keeps its stage from ending, until it is dropped after all.
    @Test func theEndWaitsForRetries() {
        let rig = rig()
        let (source, _) = rejected(rig)
        _ = rig.router.retryDeadLetters(stage: 1, Array(1...8))
        rig.send(source, .finished(partition: "p"))
        #expect(!rig.hasEnded && rig.router.takesDeadLetters(stage: 1))
        rig.router.subscriptions[0].parking.ready.removeAll()
        #expect(rig.router.dropDeadLetters(stage: 1, Array(1...8)) == 4)
        #expect(rig.router.subscriptions[0].dead.retrying == 0)
    }

    @Test func notOnceItStops() {
        let rig = rig()
        let (source, _) = rejected(rig)
        #expect(rig.router.takesDeadLetters(stage: 1))
        rig.router.handle(.drain(deadline: .seconds(10)), at: rig.now)
        #expect(!rig.router.takesDeadLetters(stage: 1))
        withExtendedLifetime(source) {}
    }

    @Test func notOnceItHasEnded() {
        let rig = rig()
        let (source, _) = rejected(rig)
        rig.send(source, .finished(partition: "p"))
        #expect(rig.hasEnded && !rig.router.takesDeadLetters(stage: 1))
        #expect(rig.router.dropDeadLetters(stage: 1, [1]) == 1)
    }

    /// A letter costs its record and its error's text.
    @Test func errorsCount() {
        let rig = rig { $1.deadLetterBytes = 6000 }
        let source = source(rig)
        let sink = rig.attach("sink", name: "k")
        rig.grant(sink, records: 8)
        emit(rig, source, 1, ["1", "2"])
        var outcome = TestOutcome(1, .rejected)
        outcome.error = String(repeating: "x", count: 7000)
        rig.settle(sink, [outcome])
        #expect(rig.router.subscriptions[0].dead.isFull)
        #expect(rig.router.summary().bytes > 7000)
    }

    /// The order of stream records and arrivals, exhaustively over a small space, against a naive one: half places.
    @Test func arrivalsStandBeforeTheirRecord() {
        var all: [(sequence: UInt64, place: Double)] = []
        for place in UInt64(0)..<6 {
            all.append((place, Double(place)))
            for number in UInt64(0)..<3 {
                let half = Double(place) - 0.5 + Double(number) / 10
                all.append((Arrival.sequence(before: place, number: number), half))
            }
        }
        #expect(Set(all.map(\.sequence)).count == all.count)
        for one in all {
            for other in all {
                #expect(Arrival.precedes(one.sequence, other.sequence) == (one.place < other.place))
            }
        }
    }

    // MARK: Why a stage waits

    @Test func nobodyIsAttached() {
        let rig = rig()
        let source = source(rig)
        #expect(rig.router.summary().stages[1].obstacle == nil, "nothing waits")
        emit(rig, source, 1, ["1"])
        #expect(rig.router.summary().stages[1].obstacle == .noWorker)
    }

    @Test func nobodyGivesCredit() {
        let rig = rig()
        let source = source(rig)
        let sink = rig.attach("sink", name: "k")
        emit(rig, source, 1, ["1", "2"])
        #expect(rig.router.summary().stages[1].obstacle == .noCredit)
        rig.grant(sink, records: 1)
        #expect(rig.router.summary().stages[1].obstacle == nil, "a worker that works is not in the way")
        let session = rig.router.summary().stages[1].sessions[0]
        #expect(session.instance == "k" && session.version == "1" && session.language == "test")
        #expect(session.inFlight == 1 && session.creditRecords == 0 && session.creditBytes > 0)
        #expect(session.attachedAt == rig.now.uptime)
    }

    @Test func endlessCreditDoesNotOverflow() {
        let rig = rig()
        let sink = rig.attach("sink", name: "k")
        rig.send(sink, .credit(CreditLimit(records: .max, bytes: .max)))
        let session = rig.router.summary().stages[1].sessions[0]
        #expect(session.creditRecords == .max && session.creditBytes == .max)
    }
}
