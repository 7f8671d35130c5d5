import StagewireModel
import StagewireSimulation
import Testing

@testable import StagewireLedger
@testable import StagewireRecord
@testable import StagewireRouter

/// Going on where an earlier run has stopped, beside what the simulation tries at random.
@Suite struct RestoreTests {
    private func pipeline() -> PipelineDefinition {
        var sink = StageDefinition(name: "sink", inputs: [InputDefinition(stage: 0)])
        sink.crashLimit = 10
        return PipelineDefinition(name: "p", stages: [StageDefinition(name: "source", isSource: true), sink])
    }

    private func emission(_ payload: String) -> TestEmission {
        TestEmission(output: StepBytes.output(key: "k", payload: payload))
    }

    /// A record as a run before had it.
    private func block(_ payload: String) -> RecordBlock {
        let rig = Rig(pipeline())
        let (source, sink) = (rig.attach("source"), rig.attach("sink"))
        rig.send(source, .claim(partition: "p"))
        rig.grant(sink, records: 1)
        rig.emit(source, "p", 1, [emission(payload)])
        return sink.held[0].block
    }

    /// What was delivered and left no trace comes as new, so the cursor of a start may stand before a dead letter that had come back:
    /// a record that queues in front of it, while it is under suspicion, goes first and is not forgotten.
    @Test func aRecordBeforeASuspectArrival() {
        var recovered = Recovered()
        recovered.streams = [Recovered.Stream(first: 0, end: 0), Recovered.Stream(first: 0, end: 0)]
        var subscription = Recovered.Subscription(done: SequenceSet(below: 0), cursor: 0)
        subscription.held = [Recovered.Held(sequence: Arrival.sequence(before: 2, number: 0), record: block("letter"))]
        recovered.subscriptions = [subscription]
        recovered.positions = [[], []]
        recovered.lastLetters = [0, 1]
        let rig = Rig(pipeline())
        rig.router = Router(pipeline(), recovered: recovered, at: rig.now)

        let first = rig.attach("sink")
        rig.grant(first, records: 1)
        #expect(first.held.map(\.payload) == ["letter"])
        rig.kill(first)
        let source = rig.attach("source")
        rig.send(source, .claim(partition: "p"))
        rig.emit(source, "p", 1, [emission("first"), emission("second")])
        let second = rig.attach("sink")
        rig.grant(second, records: 10)
        for _ in 0..<5 {
            for received in second.held { rig.settle(second, [TestOutcome(received.delivery, .accepted)]) }
            rig.advance(milliseconds: 100)
        }
        let line = rig.router.summary().stages[1]
        #expect(line.accepted == 3 && line.queued == 0 && line.inFlight == 0)
    }
}
