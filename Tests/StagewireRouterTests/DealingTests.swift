import StagewireModel
import StagewireSimulation
import Testing

@testable import StagewireRecord
@testable import StagewireRouter

/// What several workers of one stage get of what there is at once.
@Suite struct DealingTests {
    private func rig(workers: Int, unsettled: Int? = nil) -> (Rig, RigWorker, [RigWorker]) {
        var pipeline = PipelineDefinition.sourceAndSink
        pipeline.limits.maxStepBytes = 1 << 20
        pipeline.limits.maxStepRecords = 1000
        pipeline.limits.unsettledRecords = unsettled ?? pipeline.limits.unsettledRecords
        pipeline.stages[1].maxWorkers = workers
        let rig = Rig(pipeline)
        let source = rig.attach("source", name: "s")
        rig.send(source, .claim(partition: "p"))
        let sinks = (0..<workers).map { rig.attach("sink", name: "k\($0)") }
        for sink in sinks { rig.grant(sink, records: 1 << 40) }
        return (rig, source, sinks)
    }

    /// Emits so many records at once, without a key, or with one of `keys`.
    private func emit(_ rig: Rig, _ source: RigWorker, _ id: inout UInt64, _ count: Int, keys: Int? = nil) {
        rig.emit(
            source, "p", id,
            (0..<count).map { number in
                let key = keys.map { "k\(number % $0)" } ?? ""
                return TestEmission(output: StepBytes.output(key: key, payload: "\(number)"))
            })
        id += 1
    }

    /// Passes enough for the stream to be known as quick.
    private func warmUp(_ rig: Rig, _ source: RigWorker, _ sinks: [RigWorker], _ id: inout UInt64) {
        for _ in 0..<20 {
            emit(rig, source, &id, 1000)
            rig.advance(milliseconds: 1)
            settleAll(rig, sinks)
        }
        #expect(rig.router.streams[0].isShort == rig.load.isBusy)
    }

    private func settleAll(_ rig: Rig, _ sinks: [RigWorker]) {
        for sink in sinks {
            for held in sink.held { rig.settle(sink, [TestOutcome(held.delivery, .accepted)]) }
        }
    }

    /// How many neighbours follow each other at each worker, in the order of the stream.
    private func runs(_ sinks: [RigWorker], of count: Int) -> [Int] {
        var owners: [Int: Int] = [:]
        for (index, sink) in sinks.enumerated() {
            for held in sink.held { owners[Int(held.payload)!] = index }
        }
        var runs: [Int] = []
        for number in 0..<count {
            if number > 0, owners[number] == owners[number - 1] { runs[runs.count - 1] += 1 } else { runs.append(1) }
        }
        return runs
    }

    /// While the broker is what limits them each gets neighbours, and about as many as the others.
    @Test(arguments: [(30, 10), (100, 33), (600, 64), (2, 1)])
    func neighboursWhileTheBrokerIsBusy(count: Int, run: Int) {
        let (rig, source, sinks) = rig(workers: 3)
        var id: UInt64 = 1
        warmUp(rig, source, sinks, &id)
        emit(rig, source, &id, count)
        let runs = runs(sinks, of: count)
        // Two of them may follow each other at the same worker, and nothing is broken up.
        #expect(runs.count <= (count + run - 1) / run && runs.dropLast().allSatisfy { $0 % run == 0 }, "\(runs)")
        let held = sinks.map(\.held.count)
        #expect(held.reduce(0, +) == count && held.max()! - held.min()! <= run)
    }

    /// Otherwise each record goes to the one that has least.
    @Test func oneByOneWhileItIsNot() {
        let (rig, source, sinks) = rig(workers: 3)
        rig.load.isBusy = false
        var id: UInt64 = 1
        warmUp(rig, source, sinks, &id)
        emit(rig, source, &id, 90)
        #expect(runs(sinks, of: 90).allSatisfy { $0 == 1 })
        #expect(sinks.map(\.held.count) == [30, 30, 30])
    }

    /// Whoever has a key gets what follows of it, however long the run of another is.
    @Test func keysStayWithTheirOwners() {
        let (rig, source, sinks) = rig(workers: 3)
        var id: UInt64 = 1
        warmUp(rig, source, sinks, &id)
        emit(rig, source, &id, 300, keys: 7)
        var owners: [String: Int] = [:]
        for (index, sink) in sinks.enumerated() {
            for held in sink.held {
                #expect(owners[held.key, default: index] == index)
                owners[held.key] = index
            }
        }
        #expect(owners.count == 7)
    }

    /// One that has no room ends its run.
    @Test func aRunEndsWhereThereIsNoRoom() {
        let (rig, source, sinks) = rig(workers: 2, unsettled: 5)
        var id: UInt64 = 1
        for _ in 0..<20 {
            emit(rig, source, &id, 1000)
            rig.advance(milliseconds: 1)
            while sinks.contains(where: { !$0.held.isEmpty }) {
                #expect(sinks.allSatisfy { $0.held.count <= 5 })
                settleAll(rig, sinks)
            }
        }
        emit(rig, source, &id, 200)
        #expect(sinks.map(\.held.count) == [5, 5])
    }
}
