import StagewireModel
import StagewireWire
import Testing

@testable import StagewireStage

/// An output that was made of a record shares its bytes until something is changed. Nobody should see which it is.
@Suite struct OutputTests {
    private static func full() -> Output {
        var output = Output(text: "payload")
        output.key = Array("k-1".utf8)
        output.schema = "sensor.raw"
        output.schemaVersion = 300
        output.contentType = "text/plain"
        output.eventTime = -5
        output.attributes = ["text": "größer", "integer": -7, "number": 2.5, "flag": false]
        return output
    }

    @Test func passedOnUnchangedItSaysTheSame() {
        for original in [Self.full(), Output(), Output(text: "only a payload")] {
            let shared = Record(testing: original).output()
            #expect(shared == original && original == shared)
            #expect(shared.encoded() == original.encoded())
            #expect(shared.payload == original.payload && shared.key == original.key)
            #expect(shared.schema == original.schema && shared.schemaVersion == original.schemaVersion)
            #expect(shared.contentType == original.contentType && shared.eventTime == original.eventTime)
            #expect(shared.attributes == original.attributes)
        }
    }

    @Test(arguments: 0..<8) func oneThingChangedTheRestStays(_ which: Int) {
        func change(_ output: inout Output) {
            switch which {
            case 0: output.payload.append(33)
            case 1: output.key = []
            case 2: output.schema += ".clean"
            case 3: output.schemaVersion += 1
            case 4: output.contentType = ""
            case 5: output.eventTime = 0
            case 6: output.attributes["integer"] = nil
            default: output.attributes["more"] = true
            }
        }
        let record = Record(testing: Self.full())
        var shared = record.output()
        var own = Self.full()
        let before = shared
        change(&shared)
        change(&own)
        #expect(shared == own && shared != before)
        #expect(shared.encoded() == own.encoded())
        #expect(before == Self.full() && record.output() == Self.full(), "what was changed is a copy's")
        // In the frame, too.
        var emitters = [Emitter.recorder(), Emitter.recorder()]
        emitters[0].emit(shared)
        emitters[1].emit(own)
        #expect(emitters[0].body.bytes == emitters[1].body.bytes)
    }

    /// Fields of a later version of the protocol go on to the next stage with what is known.
    @Test func whatTheHeaderHasBeyondIsPassedOn() throws {
        var header = FieldWriter()
        header.content(1, "s".utf8)
        header.number(99, 7)
        var wire = FieldWriter()
        wire.content(2, header.bytes)
        wire.content(3, Array("p".utf8))
        let input = Record(testing: Output()).input
        let record = Record(
            Batch(bytes: wire.bytes, input: input, records: [0..<wire.bytes.count], runs: RunTable()), 0)
        #expect(record.output().encoded() == wire.bytes)
        var changed = record.output()
        changed.payload = Array("q".utf8)
        #expect(changed.encoded().starts(with: wire.bytes.dropLast(1)))
    }

    /// What does not stand side by side in the frame is written as if it had been made here.
    @Test(arguments: ["header, payload", "payload, header", "header, more, payload", "payload", "header"])
    func howARecordWasWrittenIsNotSeen(_ order: String) {
        var header = FieldWriter()
        header.content(1, "s".utf8)
        header.content(3, Array("k-1".utf8))
        var wire = FieldWriter()
        var own = Output()
        for part in order.split(separator: ", ") {
            switch part {
            case "header":
                wire.content(2, header.bytes)
                own.schema = "s"
                own.key = Array("k-1".utf8)
            case "payload":
                wire.content(3, Array("payload".utf8))
                own.payload = Array("payload".utf8)
            default: wire.number(9, 1)
            }
        }
        let input = Record(testing: Output()).input
        let record = Record(
            Batch(bytes: wire.bytes, input: input, records: [0..<wire.bytes.count], runs: RunTable()), 0)
        var emitters = [Emitter.recorder(), Emitter.recorder()]
        emitters[0].emit(record.output())
        emitters[1].emit(own)
        #expect(emitters[0].body.bytes == emitters[1].body.bytes)
        #expect(emitters[0].charges == emitters[1].charges)
    }

    @Test func aCopyKeepsWhatTheOtherChanges() {
        var first = Record(testing: Self.full()).output()
        first.port = "errors"
        var second = first
        second.key = []
        second.port = "out"
        first.payload = []
        #expect(first.port == "errors" && first.key == Array("k-1".utf8) && first.payload.isEmpty)
        #expect(second.port == "out" && second.key.isEmpty && second.payload == Self.full().payload)
    }

    @Test func aLargePayloadIsChangedInPlace() {
        var output = Output(payload: [UInt8](repeating: 1, count: 1 << 20))
        let address = output.payload.withUnsafeBufferPointer { $0.baseAddress }
        output.payload[5] = 2
        #expect(output.payload.withUnsafeBufferPointer { $0.baseAddress } == address, "no copy for a change")
        #expect(output.payload[5] == 2 && output.payload.count == 1 << 20)
    }

    @Test func limitsHoldForWhatIsNew() {
        var output = Record(testing: Self.full()).output()
        output.key = [UInt8](repeating: 7, count: Limits.key + 1)
        var emitter = Emitter.recorder()
        emitter.emit(output)
        #expect(emitter.refusal?.code == Code.invalidOutput.rawValue)
    }
}
