import StagewireModel
import StagewireSimulation
import Testing

@testable import StagewireRecord
@testable import StagewireRouter

/// Records that are held, retried or released; workers that wait; memory meanwhile.
@Suite struct HoldingTests {
    private func rig(_ change: (inout StageDefinition, inout PipelineLimits) -> Void = { _, _ in }) -> Rig {
        var sink = StageDefinition(name: "sink", inputs: [InputDefinition(stage: 0)])
        sink.retry.jitterPercent = 0
        var limits = PipelineLimits()
        limits.maxRecord = 4096
        limits.maxStepBytes = 16_384
        limits.maxStepRecords = 10
        limits.windowBytes = 65_536
        limits.windowRecords = 2000
        change(&sink, &limits)
        var pipeline = PipelineDefinition(name: "p", stages: [StageDefinition(name: "source", isSource: true), sink])
        pipeline.limits = limits
        return Rig(pipeline)
    }

    private func source(_ rig: Rig) -> RigWorker {
        let source = rig.attach("source", name: "s")
        rig.send(source, .claim(partition: "p"))
        return source
    }

    private func emission(_ payload: String, key: String) -> TestEmission {
        TestEmission(output: StepBytes.output(key: key, payload: payload))
    }

    /// A sink that holds the first record, while those up to `last` pass.
    private func holdOne(_ rig: Rig, whileOthersPass last: UInt64) throws -> RigWorker {
        let source = source(rig)
        let sink = rig.attach("sink", name: "k", features: [Feature.holds])
        rig.grant(sink, records: 1 << 40)
        rig.emit(source, "p", 1, [emission("held", key: "h")])
        for id in 2...last {
            let next = [emission("\(id)", key: "k\(id % 7)")]
            try #require(source.affords(next), "the source is out of credit at \(id)")
            rig.emit(source, "p", id, next)
            rig.settle(sink, [TestOutcome(sink.held.last!.delivery, .accepted)])
        }
        return sink
    }

    /// One delivery is held while thousands pass: it moves into the parking, and the stream goes on.
    @Test func aStragglerDoesNotPinTheStream() throws {
        let rig = rig()
        let sink = try holdOne(rig, whileOthersPass: 6000)
        #expect(sink.held.map(\.payload) == ["held"])
        #expect(rig.router.subscriptions[0].parking.count == 1)
        #expect(rig.router.streams[0].log.count < 2000)
        rig.settle(sink, [TestOutcome(sink.held[0].delivery, .accepted)])
        #expect(rig.router.subscriptions[0].parking.isEmpty && rig.router.subscriptions[0].parking.bytes == 0)
    }

    /// The same where a stream never has as many records as make a straggler elsewhere: a window may need those behind it.
    @Test func aStragglerAmongFewLargeRecordsDoesNotPinTheStream() throws {
        let rig = rig { $1.windowRecords = 40 }
        let sink = try holdOne(rig, whileOthersPass: 500)
        #expect(sink.held.map(\.payload) == ["held"] && rig.router.subscriptions[0].parking.count == 1)
    }

    /// A worker with windows dies while records wait behind those it held: these follow, for a window may need them.
    @Test func whatWaitsBehindAHeldKeyFollowsAfterACrash() {
        let rig = rig()
        let source = source(rig)
        let first = rig.attach("sink", name: "k", features: [Feature.holds])
        rig.grant(first, records: 4)
        rig.emit(source, "p", 1, (0..<8).map { emission("\($0)", key: "k\($0 % 2)") })
        #expect(first.held.map(\.payload) == ["0", "1", "2", "3"])
        rig.kill(first)
        // Looked at while their keys are held: they wait behind them.
        let second = rig.attach("sink", name: "l", features: [Feature.holds])
        rig.grant(second, records: 100)
        #expect(second.held.map(\.payload).prefix(4) == ["0", "1", "2", "3"])
        #expect(second.held.map(\.payload).filter { Int($0)! % 2 == 0 } == ["0", "2", "4", "6"])
        #expect(second.held.map(\.payload).filter { Int($0)! % 2 == 1 } == ["1", "3", "5", "7"])
    }

    @Test func releasingForEverCountsAsTrying() {
        let rig = rig { stage, _ in stage.retry.attempts = 1 }
        let source = source(rig)
        let sink = rig.attach("sink", name: "k")
        rig.grant(sink, records: 1000)
        rig.emit(source, "p", 1, [emission("x", key: "k")])
        for _ in 0...Limits.releases {
            #expect(sink.held.count == 1 && sink.held[0].attempt == 1)
            rig.settle(sink, [TestOutcome(sink.held[0].delivery, .released)])
            rig.advance(milliseconds: 100)
        }
        #expect(sink.held.isEmpty)
        #expect(rig.router.deadLetters(stage: 1).map(\.reason) == [.attemptsExhausted])
    }

    @Test func fullDeadLettersPauseTheirStage() {
        let rig = rig { _, limits in limits.deadLetterRecords = 3 }
        let source = source(rig)
        let sink = rig.attach("sink", name: "k")
        rig.grant(sink, records: 3)
        rig.emit(source, "p", 1, (0..<8).map { emission("\($0)", key: "k\($0)") })
        rig.settle(sink, [TestOutcome([1...3], .rejected)])
        rig.grant(sink, records: 100)
        #expect(sink.held.isEmpty, "nothing more is delivered")
        #expect(rig.notices.contains { $0.level == .error && $0.text.contains("dead letters are full") })
        #expect(rig.router.deadLetters(stage: 1).count == 3)
    }

    /// LE-1: a worker that waits for credit has not failed, however long it takes.
    @Test func aLeaseStandsStillWithoutCredit() {
        var middle = StageDefinition(name: "middle", inputs: [InputDefinition(stage: 0)])
        middle.lease = .seconds(1)
        middle.maxWorkers = 1
        var pipeline = PipelineDefinition(
            name: "p",
            stages: [
                StageDefinition(name: "source", isSource: true), middle,
                StageDefinition(name: "sink", inputs: [InputDefinition(stage: 1)]),
            ])
        pipeline.limits.maxRecord = 4096
        pipeline.limits.maxStepBytes = 4096
        pipeline.limits.maxStepRecords = 3
        pipeline.limits.windowBytes = 4096
        pipeline.limits.windowRecords = 4
        pipeline.limits.heartbeat = .seconds(1000)
        pipeline.limits.idle = .seconds(5000)
        let rig = Rig(pipeline)
        let source = source(rig)
        let middleWorker = rig.attach("middle", name: "m")
        rig.grant(middleWorker, records: 100)
        for id in UInt64(1)...3 { rig.emit(source, "p", id, [emission("\(id)", key: "k")]) }
        // Nobody reads: the middle's outputs fill their stream until less than a step is left to send.
        for id in UInt64(1)...2 {
            rig.settle(middleWorker, [TestOutcome(id, .accepted, (0...id).map { emission("\(id).\($0)", key: "k") })])
        }
        for _ in 0..<20 { rig.advance(milliseconds: 500) }
        #expect(middleWorker.closed == nil && middleWorker.held.count == 1)
        let sink = rig.attach("sink", name: "k")
        rig.grant(sink, records: 100)
        rig.settle(sink, sink.held.map { TestOutcome($0.delivery, .accepted) })
        rig.advance(milliseconds: 900)
        #expect(middleWorker.closed == nil, "the lease starts anew when there is credit again")
        rig.advance(milliseconds: 200)
        #expect(middleWorker.closed?.code == Code.leaseExpired.rawValue)
    }

    /// A stage that holds deliveries is charged for each it held; at the limit they are dead letters.
    @Test func holdersAreChargedTogether() {
        let rig = rig { stage, _ in stage.crashLimit = 2 }
        let source = source(rig)
        rig.emit(source, "p", 1, (0..<4).map { emission("\($0)", key: "k\($0)") })
        for crash in 1...2 {
            let sink = rig.attach("sink", name: "k\(crash)", features: [Feature.holds])
            rig.grant(sink, records: 100)
            #expect(sink.held.count == 4)
            rig.kill(sink)
        }
        #expect(rig.router.deadLetters(stage: 1).map(\.reason) == [.crashed, .crashed, .crashed, .crashed])
        let last = rig.attach("sink", name: "k3", features: [Feature.holds])
        rig.grant(last, records: 100)
        rig.emit(source, "p", 2, [emission("after", key: "k0")])
        #expect(last.held.map(\.payload) == ["after"])
    }

    /// A worker with a full hand and one that is idle: other keys go to the idle one, the full one's key waits.
    @Test func aFullWorkerDoesNotKeepOthersIdle() {
        let rig = rig { _, limits in limits.unsettledRecords = 3 }
        let source = source(rig)
        let workers = ["k1", "k2"].map { rig.attach("sink", name: $0) }
        rig.grant(workers[0], records: 100)
        rig.emit(source, "p", 1, (0..<6).map { emission("a\($0)", key: "a") })
        rig.grant(workers[1], records: 100)
        rig.emit(source, "p", 2, [emission("b0", key: "b"), emission("a6", key: "a"), emission("c0", key: "c")])
        #expect(workers[0].held.map(\.payload) == ["a0", "a1", "a2"])
        #expect(workers[1].held.map(\.payload) == ["b0", "c0"])
        var order: [String] = []
        while let next = workers[0].held.first {
            order.append(next.payload)
            rig.settle(workers[0], [TestOutcome(next.delivery, .accepted)])
        }
        #expect(order == (0...6).map { "a\($0)" })
    }

    /// A suspect whose lane another key keeps busy: the lane is kept free of new records until the suspect had its trial.
    @Test func aSuspectGetsItsLane() throws {
        let other = try #require(neighbour(of: "a"))
        let rig = rig()
        let source = source(rig)
        let first = rig.attach("sink", name: "k1")
        rig.grant(first, records: 100)
        rig.emit(source, "p", 1, [emission("suspect", key: "a")])
        let second = rig.attach("sink", name: "k2")
        rig.grant(second, records: 100)
        rig.emit(source, "p", 2, [emission("elsewhere", key: "z")])
        #expect(first.held.map(\.payload) == ["suspect"] && second.held.map(\.payload) == ["elsewhere"])
        let third = rig.attach("sink", name: "k3")
        rig.grant(third, records: 100)
        rig.emit(source, "p", 3, [emission("aside", key: "y")])
        rig.kill(first)
        rig.emit(source, "p", 4, [emission("neighbour", key: other)])
        #expect(third.held.map(\.payload) == ["aside", "neighbour"])
        rig.settle(second, [TestOutcome(1, .accepted)])
        rig.emit(source, "p", 5, [emission("later", key: other)])
        #expect(second.held.isEmpty && third.held.count == 2, "the lane is claimed: nothing new enters it")
        rig.settle(third, [TestOutcome(2, .accepted)])
        #expect(second.held.map(\.payload) == ["suspect"] && third.held.map(\.payload) == ["aside"])
        rig.settle(second, [TestOutcome(2, .accepted)])
        #expect(second.held.count + third.held.count == 2)
    }

    @Test func aSlowReaderIsNotWrittenTo() {
        let rig = rig { _, limits in
            limits.maxRecord = 600_000
            limits.maxStepBytes = 4 << 20
            limits.windowBytes = 16 << 20
        }
        rig.writesAtOnce = false
        let source = source(rig)
        let sink = rig.attach("sink", name: "k")
        rig.grant(sink, records: 100)
        let large = String(repeating: "x", count: 400_000)
        for id in UInt64(1)...8 { rig.emit(source, "p", id, [emission(large, key: "k")]) }
        #expect(sink.held.count == 3, "encoding stops once a mebibyte is unwritten")
        rig.flushWrites()
        rig.turn()
        #expect(sink.held.count == 6)
    }
}

/// Another key of the same lane.
func neighbour(of key: String) -> String? {
    let lane = { (key: String) in RecordIdentity.keyHash(Array(key.utf8).span.bytes) & UInt64(KeyLanes.count - 1) }
    return (0..<100_000).map { "c\($0)" }.first { lane($0) == lane(key) }
}
