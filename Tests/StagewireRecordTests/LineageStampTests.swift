import StagewireModel
import Testing

@testable import StagewireRecord

/// Every stamp is read back by libprotobuf-c out of a whole record.
@Suite struct LineageStampTests {
    private let stamp = LineageStamp()

    private func id(_ number: UInt64) -> RecordID { RecordID(low: number, high: ~number) }

    /// The record with the stamp as it stands and a small output.
    private func block(_ output: Message = .record()) -> RecordBlock {
        var log = StreamLog()
        let sequence = log.append(stamp, output: output.bytes.span.bytes, keyHash: 0)
        return RecordBlock(copying: log.ref(sequence))
    }

    private func decode(_ block: RecordBlock) throws -> DecodedRecord {
        try #require(DecodedRecord(block.ref.copyRecordBytes()))
    }

    @Test func aSourcesRecordIsItsOwnRoot() throws {
        let trace = Message().text(1, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").text(2, "a=b")
        stamp.source(id: id(1), trace: trace.bytes.span.bytes, ingestTime: 1_700_000_000_000_000, run: 3)
        let block = block()
        let record = try decode(block)
        #expect(record.id == id(1).bytes)
        #expect(record.parents.isEmpty && record.root.isEmpty && !record.truncated)
        #expect(record.traceparent == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        #expect(record.tracestate == "a=b")
        #expect(record.ingestTime == 1_700_000_000_000_000)
        #expect(record.hops == [.init(run: 3, delta: 0, attempt: 0)])
        #expect(record.payload == [1, 2, 3] && record.schema == "sensor.raw")
        #expect(block.ref.id == id(1) && block.ref.root == id(1) && block.ref.hopCount == 1)
        #expect(block.ref.ingestTime == 1_700_000_000_000_000)
        #expect(block.ref.parentIDs().isEmpty && block.ref.trace == trace.bytes)
    }

    @Test func aSmallestStampHasAnIdAndAnEmptyHop() throws {
        stamp.source(id: id(1), trace: [UInt8]().span.bytes, ingestTime: 0, run: 0)
        #expect(stamp.length == 2 + 18 + 2)
        let block = block(Message())
        #expect(try decode(block).hops == [.init(run: 0, delta: 0, attempt: 0)])
        #expect(block.ref.ingestTime == 0 && block.ref.hopCount == 1 && block.ref.payload.isEmpty)
    }

    @Test func aDerivedRecordCarriesItsParentsPast() throws {
        let trace = Message().text(1, "00-aa")
        stamp.source(id: id(1), trace: trace.bytes.span.bytes, ingestTime: 1000, run: 1)
        let first = block()
        stamp.derived(id: id(2), parent: first.ref, run: 2, attempt: 1, wall: 1250)
        let second = block()
        stamp.derived(id: id(3), parent: second.ref, run: 300, attempt: 4, wall: 900)
        let third = block()
        let record = try decode(third)
        #expect(record.id == id(3).bytes && record.parents == [id(2).bytes] && record.root == id(1).bytes)
        #expect(record.traceparent == "00-aa" && record.ingestTime == 1000)
        #expect(
            record.hops == [
                .init(run: 1, delta: 0, attempt: 0), .init(run: 2, delta: 250, attempt: 0),
                .init(run: 300, delta: 0, attempt: 4),
            ])
        #expect(third.ref.root == id(1) && third.ref.parentIDs() == [id(2)] && third.ref.hopCount == 3)
        #expect(second.ref.root == id(1) && second.ref.parentIDs() == [id(1)])
    }

    @Test func severalParentsAreNamedAndTheFirstIsCarriedOn() throws {
        stamp.source(id: id(1), trace: [UInt8]().span.bytes, ingestTime: 5, run: 1)
        let first = block()
        let parents = (1...16).map { id(UInt64($0)) }
        stamp.derived(
            id: id(99), parent: first.ref, parents: parents, truncated: true, run: 2, attempt: 2, wall: 6)
        let window = block()
        let record = try decode(window)
        #expect(record.parents == parents.map(\.bytes) && record.truncated)
        #expect(record.root == id(1).bytes && record.ingestTime == 5)
        #expect(record.hops.last == .init(run: 2, delta: 1, attempt: 2))
        #expect(window.ref.parentIDs() == parents && window.ref.root == id(1) && window.ref.hopCount == 2)
        stamp.derived(id: id(100), parent: window.ref, run: 3, attempt: 1, wall: 7)
        #expect(try decode(block()).parents == [id(99).bytes])
    }

    /// The largest lineage that the rules allow, at every depth, stays within what is charged for it.
    @Test func theReserveIsNeverExceeded() throws {
        let trace = Message().data(1, [UInt8](repeating: 97, count: Limits.traceparent))
            .data(2, [UInt8](repeating: 98, count: Limits.tracestate))
        #expect(trace.bytes.count == LineageStamp.traceLimit)
        stamp.source(id: id(1), trace: trace.bytes.span.bytes, ingestTime: 1, run: .max)
        var parent = block()
        let parents = (1...Limits.parents).map { id(UInt64($0)) }
        for depth in 2...Limits.depth {
            stamp.derived(
                id: id(2), parent: parent.ref, parents: parents, truncated: true, run: .max, attempt: .max, wall: .max)
            let reserve = chain(depth).stampReserve
            // Besides the lineage field, the record's own tag and length (at most 5 bytes) are the broker's.
            #expect(stamp.length + 1 + 5 <= reserve, "depth \(depth)")
            #expect(stamp.length <= LineageStamp.bound(hops: depth) && LineageStamp.bound(hops: depth) <= reserve)
            parent = block()
            #expect(parent.ref.hopCount == depth)
        }
        #expect(try decode(parent).hops.last == .init(run: .max, delta: .max - 1, attempt: .max))
    }

    /// A pipeline of `depth` stages in a row.
    private func chain(_ depth: Int) -> PipelineDefinition {
        let stages = (0..<depth).map { index in
            StageDefinition(
                name: "s\(index)", isSource: index == 0, inputs: index == 0 ? [] : [InputDefinition(stage: index - 1)])
        }
        return PipelineDefinition(name: "chain", stages: stages)
    }
}
