import StagewireModel
import Testing

@testable import StagewireRecord

@Suite struct StepBatchTests {
    /// Scans a message that lies somewhere inside a frame, and returns what was refused.
    private func settle(_ message: Message, into batch: inout StepBatch) -> CloseReason? {
        let frame = [9, 9, 9] + message.bytes + [0xff]
        do {
            try batch.scanSettle(frame.span.bytes, at: 3..<(3 + message.bytes.count))
            return nil
        } catch { return error }
    }

    private func emit(_ message: Message, into batch: inout StepBatch) -> CloseReason? {
        let frame = [9, 9, 9] + message.bytes + [0xff]
        do {
            try batch.scanEmit(frame.span.bytes, at: 3..<(3 + message.bytes.count))
            return nil
        } catch { return error }
    }

    private func code(settle message: Message) -> UInt32? {
        var batch = StepBatch()
        return settle(message, into: &batch)?.code
    }

    private func code(outcome: Message) -> UInt32? { code(settle: .settle([outcome])) }

    private func code(emit message: Message) -> UInt32? {
        var batch = StepBatch()
        return emit(message, into: &batch)?.code
    }

    private let malformed = Code.malformedFrame.rawValue
    private let invalid = Code.invalidOutcome.rawValue
    private let partition = Message().text(1, "file-1")

    @Test func readsOutcomes() throws {
        let output = Message.record(.header(key: "sensor-7"))
        let error = Message().number(1, 1001).text(2, "no such sensor").number(3, 1)
        let window = Message.outcome(
            first: 10, last: 12, emissions: [.emission(port: 2, parents: [10, 300], output: output)]
        )
        .message(7, Message().number(1, 20).number(2, 22)).message(7, Message().number(1, 30))
        let message = Message.settle([
            .outcome(first: 1, emissions: [.emission(), .emission(port: 1)]),
            Message.outcome(first: 2, kind: 3).number(5, 250).message(6, error), .outcome(first: 3, kind: 4), window,
        ])
        var batch = StepBatch()
        #expect(settle(message, into: &batch) == nil)
        #expect(batch.outcomes.map(\.first) == [1, 2, 3, 10] && batch.outcomes.map(\.last) == [1, 2, 3, 12])
        #expect(batch.outcomes.map(\.kind) == [.accepted, .retry, .released, .accepted])
        #expect(batch.outcomes.map(\.emissions) == [0..<2, 2..<2, 2..<2, 2..<3])
        #expect(batch.outcomes.map(\.error) == [-1, 0, -1, -1] && batch.outcomes[1].delayMS == 250)
        #expect(batch.errors == [DeliveryError(code: 1001, message: "no such sensor", indefinite: true)])
        #expect(
            Array(batch.ranges[batch.outcomes[3].more]) == [.init(first: 20, last: 22), .init(first: 30, last: 30)])
        let emission = batch.emissions[2]
        #expect(emission.port == 2 && Array(batch.parents[emission.parents]) == [10, 300])
        #expect(emission.fault == nil && emission.faultDescription.isEmpty && emission.trace.isEmpty)
        let key = Array("sensor-7".utf8)
        #expect(emission.keyHash == RecordIdentity.keyHash(key.span.bytes))
        #expect(batch.emissions[0].keyHash == 0 && batch.emissions[1].port == 1)
        let frame = [9, 9, 9] + message.bytes
        #expect(Array(frame[emission.output.range]) == output.bytes)
    }

    @Test func theFormOfTheWholeFrameIsJudgedFirst() {
        let cut = Message().text(1, "a")
        #expect(code(settle: Message.settle([.outcome(first: 1, kind: 7), .outcome(first: 2)])) == invalid)
        #expect(code(settle: Message.settle([.outcome(first: 1, kind: 7), cut])) == malformed)
        #expect(code(settle: Message.settle([.outcome(first: 3, last: 2), cut])) == malformed)
    }

    @Test func aBatchStartsAnewWithEveryFrame() {
        var batch = StepBatch()
        #expect(emit(partition.number(2, 4).message(3, .emission()).data(4, [1]), into: &batch) == nil)
        #expect(batch.emitID == 4 && batch.emissions.count == 1 && batch.checkpoint.length == 1)
        #expect(settle(Message(), into: &batch) == nil)
        #expect(batch == StepBatch())
    }

    @Test func parentsComeInBothForms() {
        let emission = Message().number(2, 7).data(2, [8, 0xac, 0x02]).number(2, 5)
        var batch = StepBatch()
        #expect(settle(.settle([.outcome(first: 5, last: 8, emissions: [emission])]), into: &batch) == nil)
        #expect(batch.parents == [7, 8, 300, 5])
        #expect(code(outcome: .outcome(first: 1, emissions: [Message().data(2, [0x80])])) == malformed)
    }

    @Test func unknownFieldsAreSkipped() {
        let unknown = Message().number(100, 1).data(101, [0xff]).fixed32(102, 1).fixed64(103, 1)
        let error = unknown.number(1, 5)
        let outcome = unknown.raw(
            Message.outcome(first: 1, kind: 2).message(6, error).message(7, unknown.number(1, 2)).bytes)
        #expect(code(settle: unknown.message(1, outcome)) == nil)
        #expect(code(settle: .settle([.outcome(first: 1, emissions: [unknown.raw(Message.emission().bytes)])])) == nil)
        #expect(code(emit: unknown.raw(partition.bytes).raw(unknown.bytes)) == nil)
    }

    @Test func malformedStructureClosesWithItsOffset() {
        #expect(code(settle: Message([0x0a, 0x05])) == malformed)
        #expect(code(settle: Message().number(1, 1)) == malformed)
        #expect(code(settle: Message([0x0b])) == malformed)
        for outcome in [
            Message().fixed64(1, 1), Message().number(1, 1).number(1, 1), Message().number(3, 1).number(3, 1),
            Message().number(3, 1).raw([0x18] + Message.padded(1)), Message().number(5, 1 << 32),
            Message().message(6, Message().text(1, "")), Message().message(6, Message().data(2, [0xff])),
            Message().message(6, Message()).message(6, Message()), Message().message(6, Message().number(3, 2)),
            Message().message(7, Message().number(1, 1).number(1, 1)), Message().message(7, Message().fixed32(2, 1)),
            Message().message(4, Message().number(1, 1 << 32)), Message().message(4, Message().fixed32(1, 1)),
            Message().message(4, Message().data(3, []).data(3, [])), Message().message(4, Message().number(3, 1)),
            Message().message(4, Message().data(4, []).data(4, [])), Message([0x22, 0x01, 0x1a]),
            Message([0x22, 0x03, 0x9a, 0x00, 0x00]), Message().tag(9, 3),
        ] { #expect(code(outcome: outcome) == malformed, "\(outcome.bytes)") }
        var batch = StepBatch()
        let reason = settle(Message.settle([.outcome(first: 1)]).number(1, 1), into: &batch)
        #expect(reason?.message == "Settle is malformed at byte 10 of the frame: a known field has the wrong wire type")
    }

    @Test func outcomesThatMeanNothingCloseTheSession() {
        for kind: UInt64 in [0, 5, 255, 256, 257, .max] {
            #expect(code(outcome: .outcome(first: 1, kind: kind)) == invalid)
        }
        #expect(code(outcome: Message()) == invalid)
        for kind: UInt64 in 2...4 {
            #expect(code(outcome: .outcome(first: 1, kind: kind, emissions: [.emission()])) == invalid)
            // The kind may stand behind the emissions.
            #expect(code(outcome: Message().message(4, .emission()).number(1, 1).number(3, kind)) == invalid)
        }
        #expect(code(outcome: .outcome(first: 5, last: 4)) == invalid)
        func more(_ first: UInt64, _ last: UInt64) -> Message { Message().number(1, first).number(2, last) }
        let outcome = Message.outcome(first: 5, last: 7)
        #expect(code(outcome: outcome.message(7, more(9, 8))) == invalid)
        #expect(code(outcome: outcome.message(7, more(7, 9))) == invalid)
        #expect(code(outcome: outcome.message(7, more(1, 2))) == invalid)
        #expect(code(outcome: outcome.message(7, more(8, 9)).message(7, more(9, 9))) == invalid)
        #expect(code(outcome: outcome.message(7, more(8, 9)).message(7, more(10, 0))) == nil)
        // `more` may stand in front of `first`.
        #expect(code(outcome: Message().message(7, more(8, 9)).raw(outcome.bytes)) == nil)
    }

    @Test func aBadOutputIsItsEmissionsFault() {
        let bad = Message.emission(output: Message.record().data(1, []))
        var batch = StepBatch()
        #expect(settle(.settle([.outcome(first: 1, emissions: [.emission(), bad, .emission()])]), into: &batch) == nil)
        #expect(batch.emissions.map(\.fault) == [nil, .invalidOutput, nil])
        #expect(batch.emissions[1].faultDescription.contains("carries lineage"))
        #expect(batch.emissions[1].keyHash == 0)
    }

    @Test func traceContextsAreBounded() {
        func fault(_ trace: Message) -> Code? {
            var batch = StepBatch()
            #expect(emit(partition.message(3, Message.emission().message(4, trace)), into: &batch) == nil)
            return batch.emissions.first?.fault
        }
        func text(_ count: Int) -> String { String(repeating: "a", count: count) }
        #expect(fault(Message()) == nil)
        #expect(fault(Message().text(1, text(64)).text(2, text(512))) == nil)
        #expect(fault(Message().text(1, text(65))) == .invalidOutput)
        #expect(fault(Message().text(2, text(513))) == .invalidOutput)
        #expect(fault(Message().data(1, [0xff])) == .invalidOutput)
        #expect(fault(Message().number(1, 1)) == .invalidOutput)
        #expect(fault(Message().text(1, "").text(1, "")) == .invalidOutput)
        #expect(fault(Message().text(3, text(100))) == nil)
        #expect(fault(Message().text(3, text(600))) == .invalidOutput)
        #expect(fault(Message([0x0a])) == .invalidOutput)
    }

    @Test func longErrorsAreCutBetweenCharacters() {
        let text = String(repeating: "x", count: Limits.text - 1) + "€uro"
        var batch = StepBatch()
        let outcome = Message.outcome(first: 1, kind: 2).message(6, Message().text(2, text))
        #expect(settle(.settle([outcome]), into: &batch) == nil)
        #expect(batch.errors[0].message == String(repeating: "x", count: Limits.text - 1))
    }

    @Test func readsEmits() {
        let trace = Message().text(1, "00-ab")
        let message = partition.number(2, 300).message(3, Message.emission().message(4, trace)).data(4, [7, 8])
        var batch = StepBatch()
        #expect(emit(message, into: &batch) == nil)
        let frame = [9, 9, 9] + message.bytes
        #expect(Array(frame[batch.partition.range]) == Array("file-1".utf8) && batch.emitID == 300)
        #expect(Array(frame[batch.checkpoint.range]) == [7, 8])
        #expect(Array(frame[batch.emissions[0].trace.range]) == trace.bytes)
    }

    @Test func emitsAreCheckedLikeSettles() {
        let refused = Code.invalidPartition.rawValue
        #expect(code(emit: Message()) == refused)
        #expect(code(emit: Message().text(1, "")) == refused)
        #expect(code(emit: Message().data(1, [0xff])) == refused)
        #expect(code(emit: Message().data(1, [UInt8](repeating: 0x61, count: 255))) == nil)
        #expect(code(emit: Message().data(1, [UInt8](repeating: 0x61, count: 256))) == refused)
        #expect(code(emit: partition.text(1, "again")) == malformed)
        #expect(code(emit: partition.text(2, "")) == malformed)
        #expect(code(emit: partition.data(4, [UInt8](repeating: 0, count: Limits.checkpoint))) == nil)
        #expect(code(emit: partition.data(4, [UInt8](repeating: 0, count: Limits.checkpoint + 1))) == malformed)
    }

    /// A frame of tiny emissions cannot claim memory out of proportion.
    @Test func entriesOfAFrameAreBounded() {
        let many = Message.outcome(first: 1).raw((0...StepBatch.entryLimit).flatMap { _ in [0x22, 0x00] as [UInt8] })
        #expect(code(outcome: many) == Code.flood.rawValue)
        let parents = Message().data(2, [UInt8](repeating: 1, count: StepBatch.entryLimit + 1))
        #expect(code(emit: partition.message(3, parents)) == Code.flood.rawValue)
    }
}

extension StepBatch: Equatable {
    public static func == (a: Self, b: Self) -> Bool {
        a.outcomes == b.outcomes && a.emissions == b.emissions && a.parents == b.parents && a.ranges == b.ranges
            && a.errors == b.errors && a.partition == b.partition && a.emitID == b.emitID
            && a.checkpoint == b.checkpoint
    }
}
