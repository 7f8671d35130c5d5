import StagewireModel
import StagewireSimulation
import Testing

@testable import StagewireLedger
@testable import StagewireRecord
@testable import StagewireRouter

/// Subscriptions that are apart from their stream's memory, and come back to it.
@Suite struct BacklogTests {
    private func rig(sinks: [StageDefinition], windowRecords: Int = 40) -> Rig {
        var pipeline = PipelineDefinition(
            name: "p", stages: [StageDefinition(name: "source", isSource: true)] + sinks)
        pipeline.limits.maxRecord = 4096
        pipeline.limits.maxStepBytes = 16_384
        pipeline.limits.maxStepRecords = 10
        pipeline.limits.windowRecords = windowRecords
        var options = Router.Options()
        options.isRecording = true
        return Rig(pipeline, options: options)
    }

    private func source(_ rig: Rig) -> RigWorker {
        let source = rig.attach("source", name: "s")
        rig.send(source, .claim(partition: "p"))
        return source
    }

    private func emit(_ rig: Rig, _ source: RigWorker, _ id: UInt64, _ payload: String, key: String) throws {
        let next = [TestEmission(output: StepBytes.output(key: key, payload: payload))]
        try #require(source.affords(next), "the source is out of credit at \(id)")
        rig.emit(source, "p", id, next)
    }

    /// One that fell behind and caught up still has a record in its own memory, and a window holds another beyond that.
    @Test func aStragglerBeyondItsOwnMemoryDoesNotPinTheStream() throws {
        let rig = rig(sinks: [StageDefinition(name: "sink", inputs: [InputDefinition(stage: 0)])])
        let source = source(rig)
        let sink = rig.attach("sink", name: "k", features: [Feature.holds])
        rig.grant(sink, records: 35)
        for id in 1...35 as ClosedRange<UInt64> { try emit(rig, source, id, "\(id)", key: "k\(id)") }
        rig.advance(milliseconds: 5000)
        rig.advance(milliseconds: 5000)
        let end = try #require(rig.router.subscriptions[0].backlog?.end, "it is slow")
        for held in sink.held.dropFirst() { rig.settle(sink, [TestOutcome(held.delivery, .accepted)]) }
        #expect(rig.router.subscriptions[0].hasBacklog && rig.router.subscriptions[0].progress.low < end)

        rig.grant(sink, records: 1 << 40)
        try emit(rig, source, 36, "held", key: "h")
        for id in 37...500 as ClosedRange<UInt64> {
            try emit(rig, source, id, "\(id)", key: "k\(id)")
            rig.settle(sink, [TestOutcome(sink.held.last!.delivery, .accepted)])
        }
        #expect(sink.held.map(\.payload) == ["1", "held"])
        #expect(rig.router.subscriptions[0].parking.count == 2 && !rig.router.subscriptions[0].hasBacklog)
        for held in sink.held { rig.settle(sink, [TestOutcome(held.delivery, .accepted)]) }
        #expect(rig.router.subscriptions[0].parking.isEmpty && rig.router.streams[0].log.count == 0)
    }

    /// A replay is read back while no worker is there, and then nothing of it matches: its position passes the end of its own
    /// memory in one go.
    @Test func whatDoesNotMatchLeadsBackToTheStream() throws {
        var branch = StageDefinition(name: "branch", inputs: [InputDefinition(stage: 0)])
        branch.inputs[0].when = .exists("wanted")
        let rig = rig(sinks: [branch, StageDefinition(name: "sink", inputs: [InputDefinition(stage: 0)])])
        let source = source(rig)
        let worker = rig.attach("branch", name: "b")
        for id in 1...20 as ClosedRange<UInt64> { try emit(rig, source, id, "\(id)", key: "k") }
        let stored = (0..<20 as Range<UInt64>).map {
            StoredRecord(sequence: $0, bytes: rig.router.streams[0].log.ref($0).copyWireBytes()[...])
        }
        let sink = rig.attach("sink", name: "k")
        rig.grant(sink, records: 20)
        rig.settle(sink, [TestOutcome([1...20], .accepted)])
        #expect(rig.router.streams[0].log.tail == 20)

        rig.kill(worker)
        #expect(rig.router.replay(subscription: 0, from: 0) == 0)
        rig.turn()
        rig.router.take(stored, subscription: 0, from: 0)
        rig.turn()
        for id in 21...25 as ClosedRange<UInt64> { try emit(rig, source, id, "\(id)", key: "k") }
        #expect(rig.router.subscriptions[0].backlog?.end == 20)
        rig.grant(sink, records: 5)
        rig.settle(sink, [TestOutcome([21...25], .accepted)])

        let second = rig.attach("branch", name: "c")
        rig.grant(second, records: 10)
        #expect(!rig.router.subscriptions[0].hasBacklog && rig.router.subscriptions[0].progress.low == 25)
        #expect(rig.router.streams[0].log.count == 0 && second.held.isEmpty)
    }
}
