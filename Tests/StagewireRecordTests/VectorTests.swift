import StagewireModel
import StagewireTestSupport
import Testing

@testable import StagewireRecord

extension Vector: CustomTestStringConvertible {
    public var testDescription: String { name }
}

/// conformance/vectors, as far as they are about Settle, Emit, what stands in them, and ids.
@Suite("Vectors")
struct VectorTests {
    /// The body of a frame's Settle or Emit: (is it a Settle, where it stands behind the prefix).
    private func step(_ frame: [UInt8]) throws -> (isSettle: Bool, range: Range<Int>)? {
        var cursor = FieldCursor(4..<frame.count, in: frame.span.bytes)
        while !cursor.isAtEnd {
            let tag = try cursor.tag(frame.span.bytes)
            if tag == 0x4a || tag == 0x52 { return (tag == 0x4a, try cursor.delimited(frame.span.bytes)) }
            try cursor.skip(tag, known: 0, frame.span.bytes)
        }
        return nil
    }

    private func scan(_ frame: [UInt8], into batch: inout StepBatch) throws -> Bool? {
        guard let (isSettle, range) = try step(frame) else { return nil }
        if isSettle {
            try batch.scanSettle(frame.span.bytes, at: range)
        } else {
            try batch.scanEmit(frame.span.bytes, at: range)
        }
        return isSettle
    }

    @Test("steps say what their JSON says", arguments: Vector.all("frames-to-broker"))
    func steps(_ vector: Vector) throws {
        guard let json = vector.json, json["settle"] ?? json["emit"] != nil else { return }
        var batch = StepBatch()
        if try scan(vector.bytes, into: &batch) == true {
            let outcomes = json["settle"]?["outcomes"]?.list ?? []
            try #require(batch.outcomes.count == outcomes.count)
            for (got, meant) in zip(batch.outcomes, outcomes) { try expect(got, in: batch, vector, meant) }
        } else {
            let emit = try #require(json["emit"])
            #expect(batch.emitID == emit["emit_id"]?.number)
            #expect(Array(vector.bytes[batch.partition.range]) == emit["partition"]?.bytes)
            #expect(Array(vector.bytes[batch.checkpoint.range]) == emit["checkpoint"]?.bytes ?? [])
            try expect(batch.emissions[...], in: batch, vector, emit)
        }
    }

    private func expect(_ got: StepBatch.Outcome, in batch: StepBatch, _ vector: Vector, _ meant: JSON) throws {
        let first = try #require(meant["first"]?.number)
        #expect(got.first == first && got.last == meant["last"]?.number ?? first)
        #expect("OUTCOME_KIND_\(got.kind)".uppercased() == meant["kind"]?.text)
        #expect(UInt64(got.delayMS) == meant["delay_ms"]?.number ?? 0)
        let ranges = try (meant["more"]?.list ?? []).map { range in
            let first = try #require(range["first"]?.number)
            return DeliveryRange(first: first, last: range["last"]?.number ?? first)
        }
        #expect(Array(batch.ranges[got.more]) == ranges)
        #expect((got.error >= 0) == (meant["error"] != nil))
        if let error = meant["error"], got.error >= 0 {
            let found = batch.errors[got.error]
            #expect(UInt64(found.code) == error["code"]?.number ?? 0)
            #expect(found.indefinite == (error["indefinite"] == .flag(true)))
            let message = error["message"]?.text ?? ""
            // Above the limit it is cut, between two characters.
            #expect(found.message == message || message.utf8.count > Limits.text && message.hasPrefix(found.message))
        }
        try expect(batch.emissions[got.emissions], in: batch, vector, meant)
    }

    /// The emissions of an outcome or an Emit.
    private func expect(
        _ got: ArraySlice<StepBatch.Emission>, in batch: StepBatch, _ vector: Vector, _ meant: JSON
    ) throws {
        let emissions = meant["emissions"]?.list ?? []
        try #require(got.count == emissions.count)
        for (emission, meant) in zip(got, emissions) {
            #expect(UInt64(emission.port) == meant["port"]?.number ?? 0)
            #expect(Array(batch.parents[emission.parents]) == (meant["parents"]?.list ?? []).compactMap(\.number))
            #expect(emission.fault == nil)
            let key = meant["output"]?["header"]?["key"]?.bytes ?? []
            #expect(emission.keyHash == (key.isEmpty ? 0 : RecordIdentity.keyHash(key.span.bytes)))
            #expect(emission.trace.isEmpty == (meant["trace"] == nil))
        }
    }

    /// Refusals that need no session: form, kinds, ranges, numbers of entries.
    @Test("steps that are refused", arguments: Vector.all("frames-invalid"))
    func refusals(_ vector: Vector) throws {
        let inBytes = ["MALFORMED_FRAME", "INVALID_OUTCOME", "INVALID_PARTITION", "FLOOD"]
        let needsSession = ["parent-foreign", "parent-twice", "emit-parents"]
        guard let code = vector.code, vector["invalid"]?["by"]?.text == "broker",
            let found = try? step(vector.bytes), inBytes.contains(code), !needsSession.contains(vector.name),
            // Two kinds in one Envelope are the codec's to find.
            !found.range.isEmpty
        else { return }
        var batch = StepBatch()
        do {
            _ = try scan(vector.bytes, into: &batch)
            Issue.record("not refused")
        } catch let reason as CloseReason {
            #expect(Code(rawValue: reason.code)?.name == code)
        }
    }

    /// A Settle with one emission that has these bytes: its fault, the hash of its key.
    private func emission(output: [UInt8] = [], trace: [UInt8]? = nil) throws -> StepBatch.Emission {
        var emission = Message().data(3, output)
        if let trace { emission = emission.data(4, trace) }
        let settle = Message.settle([.outcome(first: 1, emissions: [emission])])
        var batch = StepBatch()
        try batch.scanSettle(settle.bytes.span.bytes, at: 0..<settle.bytes.count)
        return try #require(batch.emissions.first)
    }

    @Test("outputs", arguments: Vector.all("outputs-valid") + Vector.all("outputs-invalid"))
    func outputs(_ vector: Vector) throws {
        let emission = try emission(output: vector.bytes)
        #expect(emission.fault?.name == vector.code, "\(emission.faultDescription)")
        guard vector.json != nil else { return }
        let key = try #require(vector["key"]?.expanded.bytes)
        #expect(emission.keyHash == (key.isEmpty ? 0 : RecordIdentity.keyHash(key.span.bytes)))
    }

    @Test("traces", arguments: Vector.all("traces"))
    func traces(_ vector: Vector) throws {
        let emission = try emission(trace: vector.bytes)
        #expect(emission.fault?.name == vector.code, "\(emission.faultDescription)")
    }

    @Test("ids and hashes", arguments: Vector.all("ids"))
    func ids(_ vector: Vector) throws {
        let input = try #require(vector["input"])
        let expected = try #require(vector["hex"]?.text)
        let name = { (member: String) in input[member]?.text ?? "" }
        switch vector["of"]?.text {
        case "hash":
            #expect("\(RecordIdentity.hash(Vector.joined(input).span.bytes))" == expected)
        case "key":
            let key = Vector.joined(input)
            let hash = key.isEmpty ? 0 : RecordIdentity.keyHash(key.span.bytes)
            let digits = String(hash, radix: 16)
            #expect(String(repeating: "0", count: 16 - digits.count) + digits == expected)
        case "source":
            let origin = OriginID(pipeline: name("pipeline"), stage: name("stage"), partition: name("partition"))
            let emit = try #require(input["emit_id"]?.number)
            #expect("\(origin.source(emitID: emit, ordinal: try #require(input["ordinal"]?.number)))" == expected)
        case "derived":
            let origin = OriginID(pipeline: name("pipeline"), stage: name("stage"), port: name("port"))
            let parents = (input["parents"]?.list ?? []).map { id(Vector.joined($0)) }
            let ordinal = try #require(input["ordinal"]?.number)
            #expect("\(origin.derived(parents: parents, ordinal: ordinal))" == expected)
            if parents.count == 1 { #expect("\(origin.derived(parent: parents[0], ordinal: ordinal))" == expected) }
        default: Issue.record("a vector of something else")
        }
    }

    private func id(_ bytes: [UInt8]) -> RecordID {
        let word = { (range: Range<Int>) in bytes[range].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) } }
        return RecordID(low: word(0..<8), high: word(8..<16))
    }
}
