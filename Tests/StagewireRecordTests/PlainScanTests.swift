import StagewireModel
import Testing

@testable import StagewireRecord

/// The scan of plain steps against the general one, which an unknown field at the end of each outcome or emission forces.
@Suite struct PlainScanTests {
    /// Outcomes that are mostly alike, so that shapes match, nearly match, and break.
    private struct Maker {
        var random: Random
        var header = Message.header(key: "key-0")
        var payload = 20
        var port: UInt64 = 0

        /// An output, as the last one or a little different.
        mutating func output() -> [UInt8] {
            switch random.below(12) {
            case 0: header = .header(schema: String(repeating: "s", count: random.below(30)), key: "key-1")
            case 1: header = .header(key: String(repeating: "k", count: random.below(40)), time: random.next())
            case 2: payload = random.below(300)
            case 3: header = Message.header(key: "a").message(6, Message().text(1, "n").text(2, "v"))
            case 4: header = Message.header(schema: "t", key: "b").text(5, "text/plain")
            default: break
            }
            // Key and event time differ from record to record; of the rest some byte, sometimes.
            var bytes = Message.record(header, payload: random.bytes(payload)).bytes
            for (offset, byte) in bytes.enumerated() where byte == UInt8(ascii: "k") {
                bytes[offset] = UInt8(truncatingIfNeeded: random.next())
            }
            if random.one(in: 9) {
                bytes[random.below(min(bytes.count, 40))] = UInt8(truncatingIfNeeded: random.next())
            }
            return bytes
        }

        mutating func emission() -> Message {
            if random.one(in: 10) { port = UInt64(random.below(200)) }
            let ported = port == 0 ? Message() : Message().number(1, port)
            return ported.data(3, output())
        }

        mutating func outcome(_ number: UInt64) -> Message {
            var outcome = Message().number(1, number)
            if random.one(in: 12) { outcome = outcome.number(2, number + UInt64(random.below(2))) }
            outcome = outcome.number(3, random.one(in: 20) ? 2 : 1)
            for _ in 0..<(random.one(in: 10) ? random.below(3) : 1) { outcome = outcome.message(4, emission()) }
            if random.one(in: 25) { outcome = outcome.number(5, 7) }
            return outcome
        }
    }

    /// What a scan found of one step, with the bytes in place of their position.
    private struct Found: Equatable {
        var refusal: CloseReason?
        var outcomes: [String] = []
        var emissions: [String] = []
    }

    private func found(_ frame: [UInt8], _ scan: (inout StepBatch) throws(CloseReason) -> Void) -> Found {
        var batch = StepBatch()
        var found = Found()
        do { try scan(&batch) } catch {
            // Where it is differs by the fields that were added.
            return Found(refusal: CloseReason(Code(rawValue: error.code) ?? .ok, ""))
        }
        found.outcomes = batch.outcomes.map {
            "\($0.first) \($0.last) \($0.kind) \($0.emissions) \($0.delayMS) \($0.error) \($0.more)"
        }
        found.emissions = batch.emissions.map {
            "\($0.port) \($0.parents) \(Array(frame[$0.output.range])) \($0.trace.length) \($0.keyHash) "
                + "\($0.flaw.map { "\($0)" } ?? "")"
        }
        return found
    }

    @Test(arguments: UInt64(1)...60) func outcomesAreThoseOfTheGeneralScan(seed: UInt64) {
        var maker = Maker(random: Random(seed: seed))
        for _ in 0..<20 {
            // Numbers of one, two and three bytes, so that their lengths change within a frame.
            let start = UInt64([1, 100, 16_370][maker.random.below(3)])
            let outcomes = (0..<30).map { maker.outcome(start + UInt64($0)) }
            let plain = Message.settle(outcomes).bytes
            let general = Message.settle(outcomes.map { $0.data(15, []) }).bytes
            let one = found(plain) { batch throws(CloseReason) in
                try batch.scanSettle(plain.span.bytes, at: 0..<plain.count)
            }
            let other = found(general) { batch throws(CloseReason) in
                try batch.scanSettle(general.span.bytes, at: 0..<general.count)
            }
            #expect(one == other, "seed \(seed)")
        }
    }

    @Test(arguments: UInt64(1)...60) func emissionsAreThoseOfTheGeneralScan(seed: UInt64) {
        var maker = Maker(random: Random(seed: seed))
        for _ in 0..<20 {
            let emissions = (0..<30).map { _ in maker.emission() }
            func emit(_ emissions: [Message]) -> [UInt8] {
                emissions.reduce(Message().text(1, "p").number(2, 5)) { $0.message(3, $1) }.bytes
            }
            let plain = emit(emissions)
            let general = emit(emissions.map { $0.data(15, []) })
            let one = found(plain) { batch throws(CloseReason) in
                try batch.scanEmit(plain.span.bytes, at: 0..<plain.count)
            }
            let other = found(general) { batch throws(CloseReason) in
                try batch.scanEmit(general.span.bytes, at: 0..<general.count)
            }
            #expect(one == other, "seed \(seed)")
        }
    }

    /// A range's end belongs to it alone: the next outcome of the same form has its own.
    @Test func aRangeIsNoModel() throws {
        let bytes = Message.settle([.outcome(first: 5, last: 9), .outcome(first: 6, last: 9)]).bytes
        var batch = StepBatch()
        try batch.scanSettle(bytes.span.bytes, at: 0..<bytes.count)
        #expect(batch.outcomes.map(\.last) == [9, 9])
    }
}

/// Records that are stamped where they will lie are those that `LineageStamp` makes.
@Suite struct StampedInPlaceTests {
    @Test(arguments: UInt64(1)...20) func bytesAreTheSame(seed: UInt64) {
        var random = Random(seed: seed)
        let origin = OriginID(pipeline: "p", stage: "s", port: "out")
        let stamp = LineageStamp()
        var one = StreamLog()
        var other = StreamLog()
        for step in 0..<200 {
            let output = random.bytes(random.below(400))
            let hop = HopStamp(
                run: UInt32(random.below(3) * 200), attempt: UInt32(1 + random.below(3) * 90),
                wall: random.one(in: 5) ? 0 : random.next() >> UInt64(random.below(64)))
            if step == 0 || random.one(in: 3) {
                let id = RecordID(low: random.next(), high: random.next())
                let trace = random.one(in: 2) ? [] : random.bytes(random.below(300))
                stamp.source(id: id, trace: trace.span.bytes, ingestTime: hop.wall, run: hop.run)
                let length = one.append(
                    source: id, trace: trace.span.bytes, hop: hop, output: output.span.bytes, keyHash: 7)
                #expect(length == stamp.length + output.count)
            } else {
                let parent = one.ref(UInt64(random.below(step)))
                let id = origin.derived(parent: parent.id, ordinal: 2)
                stamp.derived(id: id, parent: parent, run: hop.run, attempt: hop.attempt, wall: hop.wall)
                let length = one.append(
                    derivedFrom: parent, origin, ordinal: 2, hop: hop, output: output.span.bytes, keyHash: 7)
                #expect(length == stamp.length + output.count)
            }
            _ = other.append(stamp, output: output.span.bytes, keyHash: 7)
            let (a, b) = (one.ref(UInt64(step)), other.ref(UInt64(step)))
            #expect(a.copyRecordBytes() == b.copyRecordBytes() && a.wireLength == b.wireLength, "seed \(seed)")
        }
    }
}
