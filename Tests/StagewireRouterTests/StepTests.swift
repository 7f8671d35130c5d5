import StagewireModel
import StagewireSimulation
import Testing

@testable import StagewireRecord
@testable import StagewireRouter

/// Steps: what is emitted, what is refused, what the broker writes about it.
@Suite struct StepTests {
    private func rig(_ change: (inout PipelineDefinition) -> Void = { _ in }) -> Rig {
        var middle = StageDefinition(name: "middle", inputs: [InputDefinition(stage: 0)])
        middle.ports = ["out", "alerts"]
        var pipeline = PipelineDefinition(
            name: "p",
            stages: [
                StageDefinition(name: "source", isSource: true), middle,
                StageDefinition(name: "sink", inputs: [InputDefinition(stage: 1)]),
                StageDefinition(name: "alarm", inputs: [InputDefinition(stage: 1, port: 1)]),
            ])
        pipeline.limits.maxRecord = 8192
        pipeline.limits.maxStepBytes = 32_768
        pipeline.limits.maxStepRecords = 20
        pipeline.limits.windowBytes = 65_536
        change(&pipeline)
        return Rig(pipeline)
    }

    private func output(_ payload: String, key: String = "k") -> TestEmission {
        TestEmission(output: StepBytes.output(key: key, payload: payload))
    }

    /// A source with partition p, a middle and both ends, all with credit.
    private func attachAll(_ rig: Rig, features: [String] = []) -> (
        source: RigWorker, middle: RigWorker, sink: RigWorker, alarm: RigWorker
    ) {
        let source = rig.attach("source", name: "s")
        rig.send(source, .claim(partition: "p"))
        let others = ["middle", "sink", "alarm"].map { stage -> RigWorker in
            let worker = rig.attach(stage, name: stage, features: features)
            rig.grant(worker, records: 1000)
            return worker
        }
        return (source, others[0], others[1], others[2])
    }

    @Test func twoPortsGoTwoWays() {
        let rig = rig()
        let all = attachAll(rig)
        rig.emit(all.source, "p", 1, [output("x")])
        var alert = output("alert")
        alert.port = 1
        rig.settle(all.middle, [TestOutcome(1, .accepted, [output("data"), alert])])
        #expect(all.sink.held.map(\.payload) == ["data"] && all.alarm.held.map(\.payload) == ["alert"])
        #expect(all.sink.held[0].block.ref.id != all.alarm.held[0].block.ref.id, "the port is part of the id")
        alert.port = 2
        rig.emit(all.source, "p", 2, [output("y")])
        rig.settle(all.middle, [TestOutcome(2, .accepted, [alert])])
        #expect(all.middle.closed?.code == Code.unknownPort.rawValue)
    }

    @Test func lineageNamesEveryHop() throws {
        let rig = rig()
        let all = attachAll(rig)
        rig.emit(all.source, "p", 1, [output("x")])
        let parent = all.middle.held[0].block
        rig.advance(milliseconds: 7)
        rig.settle(all.middle, [TestOutcome(1, .accepted, [output("one"), output("two")])])
        let children = all.sink.held.map { $0.block }
        #expect(children.count == 2 && children[0].ref.id != children[1].ref.id)
        for child in children {
            #expect(
                child.ref.parentIDs() == [parent.ref.id] && child.ref.root == parent.ref.id && child.ref.hopCount == 2)
            #expect(child.ref.ingestTime == parent.ref.ingestTime)
        }
        let runs = Dictionary(uniqueKeysWithValues: all.sink.runs.map { ($0.number, $0) })
        #expect(runs.values.contains { $0.stage == "source" && $0.instance == "s" })
        #expect(runs.values.contains { $0.stage == "middle" && $0.version == "1" && $0.language == "test" })
    }

    @Test func traceContextGoesThroughUnchanged() {
        let rig = rig()
        let all = attachAll(rig)
        var first = output("x")
        first.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        rig.emit(all.source, "p", 1, [first, output("untraced")])
        rig.settle(all.middle, [TestOutcome(1, .accepted, [output("y")]), TestOutcome(2, .accepted, [output("z")])])
        let traced = String(decoding: all.sink.held[0].block.ref.copyRecordBytes(), as: UTF8.self)
        #expect(traced.contains(first.traceparent))
        let untraced = String(decoding: all.sink.held[1].block.ref.copyRecordBytes(), as: UTF8.self)
        #expect(!untraced.contains("0af7651916cd43dd8448eb211c80319c"))
    }

    /// The same input through a deterministic stage has the same ids, in another process too.
    @Test func idsAreAFunctionOfTheWay() {
        func ids() -> [String] {
            let rig = rig()
            let all = attachAll(rig)
            rig.emit(all.source, "p", 1, [output("x"), output("y")])
            rig.settle(
                all.middle,
                [
                    TestOutcome(1, .accepted, [output("1"), output("2")]),
                    TestOutcome([2...2], .accepted, [output("3")]),
                ])
            return all.sink.held.map { "\($0.block.ref.id)" }
        }
        let first = ids()
        #expect(first.count == 3 && Set(first).count == 3 && first == ids())
        // The documented layout (docs/PROTOCOL.md, LI-6), computed apart from the router.
        let source = OriginID(pipeline: "p", stage: "source", partition: "p").source(emitID: 1, ordinal: 0)
        let derived = OriginID(pipeline: "p", stage: "middle", port: "out").derived(parent: source, ordinal: 1)
        #expect(first[1] == "\(derived)")
    }

    @Test func aWindowHasManyParentsAndSixteenNames() {
        let rig = rig()
        let all = attachAll(rig, features: [Feature.holds])
        for id in UInt64(1)...2 { rig.emit(all.source, "p", id, (0..<10).map { output("\(id).\($0)", key: "k\($0)") }) }
        let ids = all.middle.held.map { $0.block.ref.id }
        rig.settle(all.middle, [TestOutcome([1...20], .accepted, [output("sum")])])
        #expect(all.sink.held[0].block.ref.parentIDs() == Array(ids.prefix(16)))
        #expect(all.middle.closed == nil && rig.router.summary().stages[1].accepted == 20)
    }

    @Test func parentsAreDistinctAndOfTheOutcome() {
        for parents in [[UInt64(1), 1], [3], [1, 2, 3]] {
            let rig = rig()
            let all = attachAll(rig)
            rig.emit(all.source, "p", 1, [output("a"), output("b"), output("c")])
            var emission = output("sum")
            emission.parents = parents
            rig.settle(all.middle, [TestOutcome([1...2], .accepted, [emission])])
            #expect(all.middle.closed?.code == Code.invalidOutcome.rawValue, "\(parents)")
            #expect(all.sink.held.isEmpty, "nothing of the step is visible")
        }
    }

    @Test func aWrongParentClosesWhateverElseIsWrong() {
        let rig = rig()
        let all = attachAll(rig)
        rig.emit(all.source, "p", 1, [output("a"), output("b")])
        var emission = output("sum")
        emission.parents = [2]
        rig.settle(all.middle, [TestOutcome(1, .accepted, [TestEmission(output: [0x0a, 0]), emission])])
        #expect(all.middle.closed?.code == Code.invalidOutcome.rawValue)
        #expect(rig.router.deadLetters(stage: 1).isEmpty, "the outcome was not refused")
    }

    @Test func manyRefusalsComeInSeveralConfirmations() {
        let rig = rig { $0.limits.windowBytes = 1 << 20 }
        let all = attachAll(rig, features: [Feature.settleConfirm])
        for id in UInt64(1)...30 { rig.emit(all.source, "p", id, (0..<10).map { output("\(id).\($0)") }) }
        rig.settle(all.middle, (1...300).map { TestOutcome($0, .accepted, [TestEmission(output: [0x0a, 0])]) })
        #expect(all.middle.refused.map(\.id) == Array(1...300), "each one once")
        #expect(all.middle.settledThrough == 300)
    }

    @Test func aRefusedOutcomeIsADeadLetterWithItsReason() {
        let cases: [(Code, [TestEmission])] = [
            (.outputTooLarge, [output(String(repeating: "x", count: 8000))]),
            (.stepTooLarge, (0..<21).map { output("\($0)") }),
            (.invalidOutput, [TestEmission(output: [0x0a, 0])]),
        ]
        for (code, emissions) in cases {
            let rig = rig()
            let all = attachAll(rig, features: [Feature.settleConfirm])
            rig.emit(all.source, "p", 1, [output("a"), output("b", key: "other")])
            rig.settle(all.middle, [TestOutcome(1, .accepted, emissions), TestOutcome(2, .accepted, [output("good")])])
            #expect(all.middle.closed == nil, "a refusal is no broken connection")
            #expect(all.middle.refused.map(\.id) == [1] && all.middle.refused.first?.error.code == code.rawValue)
            #expect(all.middle.settledThrough == 2)
            #expect(rig.router.deadLetters(stage: 1).map(\.reason) == [code])
            #expect(all.sink.held.map(\.payload) == ["good"])
        }
    }

    @Test func aRefusedEmitCommitsNothingAndUsesItsID() {
        let rig = rig()
        let all = attachAll(rig)
        rig.emit(all.source, "p", 1, [output("a")], checkpoint: "one")
        rig.emit(all.source, "p", 2, [output(String(repeating: "x", count: 8000))], checkpoint: "two")
        #expect(all.source.refused.map(\.id) == [2] && all.source.committed == 2 && all.source.closed == nil)
        rig.kill(all.source)
        let next = rig.attach("source", name: "s")
        rig.send(next, .claim(partition: "p"))
        #expect(next.claimed[0].lastEmitID == 2 && next.claimed[0].checkpoint == Array("one".utf8))
        rig.emit(next, "p", 3, [output("c")])
        #expect(all.middle.held.map(\.payload) == ["a", "c"])
    }

    @Test func whatNobodyReadsIsCountedAndGone() {
        let rig = rig { $0.stages.removeLast() }
        let source = rig.attach("source", name: "s")
        rig.send(source, .claim(partition: "p"))
        let middle = rig.attach("middle", name: "m")
        rig.grant(middle, records: 10)
        rig.emit(source, "p", 1, [output("a")])
        var alert = output("alert")
        alert.port = 1
        rig.settle(middle, [TestOutcome(1, .accepted, [alert])])
        #expect(rig.router.counters.unrouted == 1 && rig.router.summary().bytes == 0)
    }

    /// A step is visible after its commit and not before: what a journal will stand between.
    @Test func nothingIsVisibleBeforeItsCommit() {
        let rig = rig()
        let all = attachAll(rig)
        let bytes = StepBytes.build { step in
            step.nested(1, Array("p".utf8))
            step.number(2, 1)
            step.nested(3, output("a").bytes)
        }
        var batch = StepBatch()
        try? batch.scanEmit(bytes.span.bytes, at: 0..<bytes.count)
        rig.router.emit(all.source.connection, batch, frame: bytes.span.bytes, at: rig.now)
        rig.router.pump(at: rig.now)
        #expect(rig.router.effects.isEmpty, "neither a delivery nor a confirmation")
        let ticket = rig.router.seal()
        rig.router.pump(at: rig.now)
        #expect(rig.router.effects.isEmpty, "sealed is not durable")
        rig.router.commit(ticket!)
        rig.turn()
        #expect(all.middle.held.map(\.payload) == ["a"] && all.source.committed == 1)
    }
}
