import StagewireModel
import Testing

@testable import StagewireRecord

/// The log against a list of byte arrays.
@Suite struct StreamLogTests {
    /// What the log should hold: each retained record's wire bytes and key hash.
    private struct Oracle {
        var records: [(wire: [UInt8], keyHash: UInt64)] = []
        var tail: UInt64 = 0
        var end: UInt64 { tail + UInt64(records.count) }
        var bytes: Int { records.reduce(0) { $0 + $1.wire.count } }
    }

    private let stamp = LineageStamp()

    private func append(_ output: [UInt8], _ number: UInt64, to log: inout StreamLog, _ oracle: inout Oracle) {
        stamp.source(
            id: RecordID(low: number, high: 0), trace: [UInt8]().span.bytes, ingestTime: number, run: 1)
        let slab = Slab.allocate(stamp.length)
        defer { slab.free() }
        var writer = SlabWriter(slab, at: 0)
        stamp.put(into: &writer)
        let field = Array(UnsafeRawBufferPointer(start: slab.address(0, count: stamp.length), count: stamp.length))
        let record = field + output
        oracle.records.append(([0x22] + Message.varint(UInt64(record.count)) + record, number))
        #expect(log.append(stamp, output: output.span.bytes, keyHash: number) == oracle.end - 1)
    }

    private func compare(_ log: StreamLog, _ oracle: Oracle) {
        #expect(log.tail == oracle.tail && log.end == oracle.end && log.count == oracle.records.count)
        #expect(log.bytes == oracle.bytes)
        for (offset, expected) in oracle.records.enumerated() {
            let ref = log.ref(oracle.tail + UInt64(offset))
            let wire = ref.withWire { bytes in bytes.copy(0..<bytes.byteCount) }
            guard wire == expected.wire && ref.keyHash == expected.keyHash else {
                Issue.record("record \(oracle.tail + UInt64(offset)) differs")
                return
            }
        }
    }

    @Test(arguments: 1...12 as ClosedRange<UInt64>)
    func behavesLikeAList(seed: UInt64) {
        var random = Random(seed: seed)
        var log = StreamLog()
        var oracle = Oracle()
        for step in 0..<400 {
            let number = UInt64(step)
            switch random.below(10) {
            case 0: append(random.bytes(random.below(300_000)), number, to: &log, &oracle)
            case 1...6:
                for _ in 0..<random.below(40) { append(random.bytes(random.below(700)), number, to: &log, &oracle) }
            case 7:
                log.release(before: oracle.end)
                oracle.tail = oracle.end
                oracle.records = []
            default:
                let dropped = random.below(oracle.records.count + 1)
                oracle.records.removeFirst(dropped)
                oracle.tail += UInt64(dropped)
                log.release(before: oracle.tail)
            }
            if random.one(in: 10) { compare(log, oracle) }
            #expect(log.reservedBytes >= log.bytes, "seed \(seed)")
        }
        compare(log, oracle)
    }

    @Test func consecutiveSmallRecordsAreAdjacent() {
        var log = StreamLog()
        var oracle = Oracle()
        for number: UInt64 in 0..<100 { append([UInt8](repeating: 9, count: 100), number, to: &log, &oracle) }
        for sequence: UInt64 in 0..<99 {
            #expect(log.ref(sequence).start + log.ref(sequence).wireLength == log.ref(sequence + 1).start)
        }
    }

    /// Small records between large ones share a chunk: else each would pin one of its own.
    @Test func alternatingSizesDoNotWasteChunks() {
        var log = StreamLog()
        var oracle = Oracle()
        for number: UInt64 in 0..<100 {
            append([UInt8](repeating: 1, count: 40_000), number, to: &log, &oracle)
            append([UInt8](repeating: 2, count: 10), number, to: &log, &oracle)
        }
        compare(log, oracle)
        #expect(log.reservedBytes < log.bytes + ChunkStore.chunkBytes + 16 * 1024)
    }

    @Test func memoryStaysNearWhatIsRetained() {
        var log = StreamLog()
        var oracle = Oracle()
        for number: UInt64 in 0..<20_000 { append([UInt8](repeating: 1, count: 1000), number, to: &log, &oracle) }
        // Unused ends of chunks, the index, one open chunk.
        #expect(log.reservedBytes < log.bytes * 9 / 8 + 2 * ChunkStore.chunkBytes + 2 * 1024 * 1024)
        for sequence: UInt64 in stride(from: 0, through: 20_000, by: 100) { log.release(before: sequence) }
        #expect(log.count == 0 && log.bytes == 0)
        #expect(log.reservedBytes <= (ChunkStore.spareLimit + 1) * ChunkStore.chunkBytes + 64 * 1024)
    }

    /// A stream that keeps up writes to the same memory again and again.
    @Test func anEmptiedLogStartsItsChunkAnew() {
        var log = StreamLog()
        var oracle = Oracle()
        append([1], 0, to: &log, &oracle)
        let start = log.ref(0).start
        for number: UInt64 in 1..<10_000 {
            log.release(before: number)
            append([1, 2], number, to: &log, &oracle)
            #expect(log.ref(number).start == start)
        }
        #expect(log.reservedBytes < 2 * ChunkStore.chunkBytes)
    }

    @Test func releasingWhatIsGoneChangesNothing() {
        var log = StreamLog()
        var oracle = Oracle()
        for number: UInt64 in 0..<3 { append([UInt8(number)], number, to: &log, &oracle) }
        log.release(before: 2)
        log.release(before: 1)
        log.release(before: 2)
        #expect(log.tail == 2 && log.count == 1 && log.ref(2).copyOutputBytes() == [2])
    }

    @Test func aBlockOutlivesItsStream() {
        var log = StreamLog()
        var oracle = Oracle()
        append([5, 6, 7], 1, to: &log, &oracle)
        let block = RecordBlock(copying: log.ref(0))
        log.release(before: 1)
        append([8, 8, 8], 2, to: &log, &oracle)
        #expect(block.ref.copyOutputBytes() == [5, 6, 7] && block.ref.keyHash == 1)
        #expect(block.ref.wireLength == oracle.records[0].wire.count)
    }
}
