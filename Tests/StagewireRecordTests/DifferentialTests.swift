import CEnvelope
import Foundation
import StagewireModel
import Testing

@testable import StagewireRecord

/// The scanner's rule: whatever it accepts, every protobuf library parses, with the same key.
///
/// `STAGEWIRE_SEED` chooses other cases, `STAGEWIRE_CASES` more of them. Oracles whose toolchain is missing
/// are left out unless `STAGEWIRE_REQUIRE_ORACLES` is 1.
@Suite struct DifferentialTests {
    private static let seed = setting("STAGEWIRE_SEED", or: 1)
    private static let cases = Int(setting("STAGEWIRE_CASES", or: 30_000))

    private static func setting(_ name: String, or other: UInt64) -> UInt64 {
        ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) } ?? other
    }

    /// An accepted output, stamped, and what the oracles should say about it.
    private struct Accepted {
        var record: [UInt8]
        var answer: String
        var number: Int
    }

    @Test func everyLibraryParsesWhatIsAccepted() throws {
        let accepted = try acceptedRecords()
        print("scanner: seed \(Self.seed), \(Self.cases) outputs, \(accepted.count) accepted")
        #expect(accepted.count > Self.cases / 4 && accepted.count < Self.cases * 9 / 10, "the mix of cases is lopsided")
        for each in accepted {
            let decoded = DecodedRecord(each.record).map { answer(id: $0.id, key: $0.key, payload: $0.payload.count) }
            #expect(decoded == each.answer, "libprotobuf-c, seed \(Self.seed), case \(each.number)")
        }
        let oracles = try Oracle.build()
        let missing = Set(Oracle.names).subtracting(oracles.map(\.name)).sorted()
        let required = Self.setting("STAGEWIRE_REQUIRE_ORACLES", or: 0) == 1
        #expect(missing.isEmpty || !required, "required, but not built: \(missing)")
        // Judges that say yes to everything would prove nothing.
        let bad = [Message().message(2, Message().data(1, [0xff])), Message([0x1a, 5]), Message([0])]
        for oracle in oracles {
            #expect(
                try oracle.judge(bad.map(\.bytes)) == ["no", "no", "no"], "oracle \(oracle.name) refuses bad bytes")
            let answers = try oracle.judge(accepted.map(\.record))
            try #require(answers.count == accepted.count, "oracle \(oracle.name) answers every case")
            for (answer, each) in zip(answers, accepted) where answer != each.answer {
                Issue.record(
                    "\(oracle.name) says \(answer), not \(each.answer): seed \(Self.seed), case \(each.number)")
            }
            print("scanner: \(oracle.name) agrees on \(answers.count) records")
        }
    }

    /// Every third output is well-formed and has to be accepted, the others are mutated.
    private func acceptedRecords() throws -> [Accepted] {
        var generator = Generator(seed: Self.seed)
        let stamp = LineageStamp()
        var log = StreamLog()
        var accepted: [Accepted] = []
        for number in 0..<Self.cases {
            let fields = generator.record()
            let isValid = number % 3 == 0
            let output = isValid ? WireField.encode(fields) : generator.mutated(fields)
            let trace = WireField.encode(generator.trace())
            guard let key = try? OutputScanner.scan(output.span.bytes, 0..<output.count) else {
                #expect(!isValid, "refused a well-formed output: seed \(Self.seed), case \(number)")
                continue
            }
            let id = RecordID(low: UInt64(number) &+ 1, high: generator.random.next())
            stamp.source(id: id, trace: trace.span.bytes, ingestTime: generator.random.number(), run: UInt32(number))
            let sequence = log.append(stamp, output: output.span.bytes, keyHash: 0)
            let ref = log.ref(sequence)
            let answer = answer(id: id.bytes, key: Array(output[key]), payload: ref.payload.count)
            accepted.append(Accepted(record: ref.copyRecordBytes(), answer: answer, number: number))
            log.release(before: log.end)
        }
        return accepted
    }

    private func answer(id: [UInt8], key: [UInt8], payload: Int) -> String {
        func hex(_ bytes: [UInt8]) -> String {
            let digits = Array("0123456789abcdef".utf8)
            return bytes.isEmpty
                ? "-" : String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
        }
        return "ok \(hex(id)) \(hex(key)) \(payload)"
    }

    /// Records that were accepted one by one also parse together, as the elements of one `Deliver`.
    @Test func acceptedRecordsParseAsOneDeliver() throws {
        var deliver = Message().number(1, 3).number(2, 1)
        let records = try acceptedRecords()
        for each in records { deliver = Message(deliver.bytes).data(4, each.record) }
        let decoded = try #require(stagewire__v1__deliver__unpack(nil, deliver.bytes.count, deliver.bytes))
        defer { stagewire__v1__deliver__free_unpacked(decoded, nil) }
        #expect(decoded.pointee.n_records == records.count)
    }

    @Test func settlesReadAsLibprotobufReadsThem() {
        var generator = Generator(seed: Self.seed)
        var batch = StepBatch()
        var accepted = 0
        for number in 0..<Self.cases / 3 {
            let fields = generator.settle()
            let isValid = number % 3 == 0
            let bytes = isValid ? WireField.encode(fields) : generator.mutated(fields)
            guard (try? batch.scanSettle(bytes.span.bytes, at: 0..<bytes.count)) != nil else {
                #expect(!isValid, "refused a well-formed Settle: seed \(Self.seed), case \(number)")
                continue
            }
            // Where an output is bad, libprotobuf-c refuses the whole frame, and may.
            guard batch.emissions.allSatisfy({ $0.fault == nil }) else { continue }
            accepted += 1
            let agrees = DecodedStep(settle: bytes) == DecodedStep(batch, frame: bytes)
            #expect(agrees, "seed \(Self.seed), case \(number)")
        }
        #expect(accepted > Self.cases / 12)
    }

    @Test func emitsReadAsLibprotobufReadsThem() {
        var generator = Generator(seed: Self.seed &+ 1)
        var batch = StepBatch()
        var accepted = 0
        for number in 0..<Self.cases / 3 {
            let fields = generator.emit()
            let isValid = number % 3 == 0
            let bytes = isValid ? WireField.encode(fields) : generator.mutated(fields)
            guard (try? batch.scanEmit(bytes.span.bytes, at: 0..<bytes.count)) != nil else {
                #expect(!isValid, "refused a well-formed Emit: seed \(Self.seed), case \(number)")
                continue
            }
            guard batch.emissions.allSatisfy({ $0.fault == nil }) else { continue }
            accepted += 1
            let agrees = DecodedStep(emit: bytes) == DecodedStep(batch, frame: bytes)
            #expect(agrees, "seed \(Self.seed), case \(number)")
        }
        #expect(accepted > Self.cases / 12)
    }
}
