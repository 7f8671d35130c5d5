import StagewireModel
import StagewireSimulation
import Testing

@testable import StagewireRouter

/// A worker with windows dies beside others of its stage. What it held goes to one that holds nothing, and nobody is made to wait
/// for holding nothing meanwhile: its windows may need further records to close.
@Suite struct HolderCrashTests {
    private func rig(isHosted: Bool = false) -> (rig: Rig, source: RigWorker) {
        var sink = StageDefinition(name: "sink", inputs: [InputDefinition(stage: 0)])
        sink.retry.jitterPercent = 0
        if isHosted {
            sink.launch = Launch(command: ["sink"], environment: [:])
            sink.workers = 2
        }
        let rig = Rig(PipelineDefinition(name: "p", stages: [StageDefinition(name: "source", isSource: true), sink]))
        let source = rig.attach("source", name: "s")
        rig.send(source, .claim(partition: "p"))
        return (rig, source)
    }

    private func holder(_ rig: Rig, _ name: String, records: UInt64 = 100, isHosted: Bool = false) -> RigWorker {
        let token = isHosted ? Array(name.utf8) : []
        let worker = rig.attach("sink", name: name, features: [Feature.holds], token: token)
        if records > 0 { rig.grant(worker, records: records) }
        return worker
    }

    private func emit(_ rig: Rig, _ source: RigWorker, _ id: UInt64, _ payloads: [String]) {
        let emissions = payloads.map {
            TestEmission(output: StepBytes.output(key: String($0.prefix(1)), payload: $0))
        }
        rig.emit(source, "p", id, emissions)
    }

    /// One holds a, the other b.
    private func two(_ rig: Rig, _ source: RigWorker, isHosted: Bool = false) -> (RigWorker, RigWorker) {
        let one = holder(rig, "1", isHosted: isHosted)
        emit(rig, source, 1, ["a1"])
        let other = holder(rig, "2", isHosted: isHosted)
        emit(rig, source, 2, ["b1"])
        #expect(one.held.map(\.payload) == ["a1"] && other.held.map(\.payload) == ["b1"])
        return (one, other)
    }

    @Test func whoHoldsNothingGetsIt() {
        let (rig, source) = rig()
        let (one, other) = two(rig, source)
        let third = holder(rig, "3", records: 0)
        rig.kill(one)
        emit(rig, source, 3, ["b2", "a2"])
        #expect(other.held.map(\.payload) == ["b1", "b2"], "a window of b goes on")
        rig.grant(third, records: 100)
        #expect(third.held.map(\.payload) == ["a1", "a2"])
        #expect(rig.router.stages[1].suspects.isEmpty)
    }

    @Test func whereNobodyStartsAnotherTheOtherGetsIt() {
        let (rig, source) = rig()
        let (one, other) = two(rig, source)
        rig.kill(one)
        #expect(other.held.map(\.payload) == ["b1", "a1"])
        emit(rig, source, 3, ["a2", "b2"])
        #expect(other.held.map(\.payload) == ["b1", "a1", "a2", "b2"])
        rig.settle(other, [TestOutcome([2...4], .accepted), TestOutcome([1...1], .accepted)])
        #expect(rig.router.stages[1].suspects.isEmpty && rig.router.summary().bytes == 0)
    }

    /// The host starts one in its place: that gets it, however long it takes, and the other one goes on.
    @Test func aStartedOneGetsIt() {
        let (rig, source) = rig(isHosted: true)
        let (one, other) = two(rig, source, isHosted: true)
        rig.kill(one)
        emit(rig, source, 3, ["a2", "b2"])
        rig.advance(milliseconds: 2000)
        #expect(other.held.map(\.payload) == ["b1", "b2"])
        let third = holder(rig, "1", isHosted: true)
        #expect(third.held.map(\.payload) == ["a1", "a2"])
    }

    /// The lane of a suspect is with the other one, for another key: neither can wait for the other.
    @Test func aSuspectWhoseLaneIsTakenGoesWhereItIs() throws {
        let (rig, source) = rig()
        let names = ("k", try #require(neighbour(of: "k")))
        let one = holder(rig, "1")
        emit(rig, source, names.0, 1)
        let other = holder(rig, "2", records: 0)
        rig.kill(one)
        // It is to go to the one that holds nothing, and waits for its credit. Meanwhile the lane is taken.
        let third = holder(rig, "3")
        emit(rig, source, names.1, 2)
        #expect(third.held.map(\.payload) == ["2"])
        emit(rig, source, names.0, 3)
        #expect(third.held.map(\.payload) == ["2", "1", "3"])
        emit(rig, source, names.1, 4)
        #expect(third.held.map(\.payload) == ["2", "1", "3", "4"])
        #expect(other.held.map(\.payload) == [])
        #expect(rig.router.stages[1].suspects.isEmpty)
    }

    private func emit(_ rig: Rig, _ source: RigWorker, _ key: String, _ id: UInt64) {
        rig.emit(source, "p", id, [TestEmission(output: StepBytes.output(key: key, payload: "\(id)"))])
    }
}
