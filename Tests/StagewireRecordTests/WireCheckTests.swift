import StagewireModel
import StagewireTestSupport
import Testing

@testable import StagewireRecord

/// What comes back from a disk is a record as this broker writes it, or is refused.
@Suite struct WireCheckTests {
    private func id(_ number: UInt64) -> RecordID { RecordID(low: number, high: ~number) }

    private func wire(_ stamp: LineageStamp, _ output: Message) -> [UInt8] {
        var log = StreamLog()
        let sequence = log.append(stamp, output: output.bytes.span.bytes, keyHash: 0)
        return log.ref(sequence).withWire { $0.copy(0..<$0.byteCount) }
    }

    /// Lineages of every shape, with outputs of every kind.
    private func records() -> [[UInt8]] {
        let stamp = LineageStamp()
        let trace = Message().text(1, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").text(2, "a=b")
        let outputs = [
            Message(), .record(),
            Message.record(.header(schema: "a.b", version: 300, key: "k1", time: 12).text(5, "text/plain")),
            Message().data(3, [UInt8](repeating: 0, count: 20_000)),
        ]
        var records: [[UInt8]] = []
        for output in outputs {
            for trace in [Message(), trace] {
                for time in [0, 1_700_000_000_000_000] as [UInt64] {
                    stamp.source(id: id(1), trace: trace.bytes.span.bytes, ingestTime: time, run: 300)
                    let first = wire(stamp, output)
                    let parent = RecordBlock(wire: first.span.bytes)
                    stamp.derived(id: id(2), parent: parent.ref, run: 2, attempt: 5, wall: time + 1000)
                    let second = wire(stamp, output)
                    let child = RecordBlock(wire: second.span.bytes)
                    stamp.derived(
                        id: id(3), parent: child.ref, parents: (1...16).map { id($0) }, truncated: true, run: .max,
                        attempt: .max, wall: .max)
                    records += [first, second, wire(stamp, output)]
                }
            }
        }
        return records
    }

    @Test func everyRecordOfOurs() {
        for record in records() {
            let isTaken = RecordRef.isWellFormed(wire: record.span.bytes)
            #expect(isTaken)
        }
    }

    @Test func everyTruncation() {
        for record in records() where record.count < 2000 {
            for count in 0..<record.count {
                let isTaken = RecordRef.isWellFormed(wire: record.span.bytes.extracting(0..<count))
                #expect(!isTaken, "\(count) bytes of \(record.count)")
            }
            let longer = record + [0]
            let isTaken = RecordRef.isWellFormed(wire: longer.span.bytes)
            #expect(!isTaken)
        }
    }

    /// Whatever passes can be read in every way, without a trap.
    @Test func everyByteChanged() {
        var passed = 0
        for record in records() where record.count < 2000 {
            for place in record.indices {
                for change in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff] as [UInt8] {
                    var bytes = record
                    bytes[place] ^= change
                    if use(bytes) { passed += 1 }
                }
            }
        }
        // Ids and payloads may be anything.
        #expect(passed > 1000)
    }

    @Test(arguments: 1...30 as ClosedRange<UInt64>) func bySeed(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let records = records().filter { $0.count < 2000 }
        for _ in 0..<1000 {
            var bytes = records.randomElement(using: &random)!
            for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes.remove(at: place)
                case 1: bytes.insert(bytes.randomElement(using: &random)!, at: place)
                default: bytes[place] = UInt8.random(in: 0...255, using: &random)
                }
            }
            use(bytes)
        }
    }

    @discardableResult
    private func use(_ bytes: [UInt8]) -> Bool {
        guard RecordRef.isWellFormed(wire: bytes.span.bytes) else { return false }
        let block = RecordBlock(wire: bytes.span.bytes)
        let ref = block.ref
        _ = (ref.id, ref.root, ref.ingestTime, ref.hopCount, ref.parentIDs(), ref.hops(), ref.hasMoreParents)
        _ = (ref.schema, ref.schemaVersion, ref.key, ref.eventTime, ref.contentType, ref.attributes(), ref.payload)
        _ = (ref.trace, ref.copyOutputBytes(), ref.copyRecordBytes(), ref.recordLength)
        let stamp = LineageStamp()
        if ref.hopCount < Limits.depth { stamp.derived(id: id(9), parent: ref, run: 1, attempt: 2, wall: .max) }
        return true
    }
}
