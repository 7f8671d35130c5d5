import StagewireModel
import Testing

@testable import StagewireRecord

@Suite struct RecordRefTests {
    private func block(_ output: Message) -> RecordBlock {
        let stamp = LineageStamp()
        stamp.source(id: RecordID(low: 1, high: 2), trace: [UInt8]().span.bytes, ingestTime: 3, run: 4)
        var log = StreamLog()
        let sequence = log.append(stamp, output: output.bytes.span.bytes, keyHash: 77)
        return RecordBlock(copying: log.ref(sequence))
    }

    @Test func headerAndPayload() {
        let output = Message.record(.header(schema: "a.b", version: 300, key: "k1", time: 12).text(5, "text/plain"))
        let block = block(output)
        let ref = block.ref
        #expect(ref.schema == "a.b" && ref.schemaVersion == 300 && ref.key == Array("k1".utf8))
        #expect(ref.eventTime == 12 && ref.contentType == "text/plain" && ref.payload == [1, 2, 3])
        #expect(ref.keyHash == 77 && ref.copyOutputBytes() == output.bytes)
    }

    @Test func attributesByName() {
        var header = Message()
        for attribute in [
            Message().text(1, "t").text(2, "words"),
            Message().text(1, "i").number(3, 5),  // zigzag of -3
            Message().text(1, "big").number(3, .max),
            Message().text(1, "d").fixed64(4, (2.5).bitPattern),
            Message().text(1, "yes").number(5, 1),
            Message().text(1, "no").number(5, 0),
            Message().number(5, 1).text(1, "later"),
            Message().text(1, "t").text(2, "second"),
            Message().text(1, "empty"),
            Message().text(2, "nameless"),
        ] { header = header.message(6, attribute) }
        let block = block(Message().message(2, header))
        let expected: [(String, AttributeValue?)] = [
            ("t", .text("words")), ("i", .integer(-3)), ("big", .integer(.min)), ("d", .number(2.5)),
            ("yes", .flag(true)), ("no", .flag(false)), ("later", .flag(true)), ("empty", nil),
            ("", .text("nameless")), ("absent", nil), ("tt", nil),
        ]
        for (name, value) in expected { #expect(block.ref.attribute(name) == value, "\(name)") }
    }

    @Test func attributesInOrder() {
        let header = Message().message(6, Message().text(1, "b").text(2, "words"))
            .message(6, Message().text(1, "empty")).message(6, Message().number(5, 1).text(1, "a"))
            .message(6, Message().text(1, "b").number(3, 4))
        let block = block(Message().message(2, header))
        #expect(block.ref.attributes().map(\.name) == ["b", "a", "b"])
        #expect(block.ref.attributes().map(\.value) == [.text("words"), .flag(true), .integer(2)])
        let empty = self.block(Message())
        #expect(empty.ref.attributes().isEmpty)
    }

    @Test(arguments: [0, 1, 127, 128, 70_000]) func payloadLengthWithoutCopying(length: Int) {
        let block = block(Message().message(2, Message()).data(3, [UInt8](repeating: 7, count: length)))
        #expect(block.ref.payloadLength == length && block.ref.payload.count == length)
        let empty = self.block(Message())
        #expect(empty.ref.payloadLength == 0)
    }

    /// Every hop with its run, moment and attempt; the longest numbers, and those that are left out.
    @Test func hopsOfADerivedRecord() {
        let stamp = LineageStamp()
        let trace = Message().text(1, String(repeating: "t", count: 55)).bytes
        stamp.source(id: RecordID(low: 1, high: 2), trace: trace.span.bytes, ingestTime: 1_000, run: 7)
        var current = copy(stamp)
        var expected = [RecordHop(run: 7, time: 1_000, attempt: 1)]
        #expect(current.ref.hops() == expected)
        for (run, attempt, wall) in [
            (UInt32.max, UInt32.max, UInt64.max), (0, 1, 1_000), (300, 2, 1_127), (1, 128, 1_128), (2, 1, 5),
        ] {
            stamp.derived(
                id: RecordID(low: 3, high: UInt64(run)), parent: current.ref, run: run, attempt: attempt, wall: wall)
            current = copy(stamp)
            // A clock that was set back counts as no distance.
            expected.append(RecordHop(run: run, time: max(wall, 1_000), attempt: attempt))
            #expect(current.ref.hops() == expected && current.ref.hopCount == expected.count)
        }
        #expect(!current.ref.hasMoreParents)
        stamp.derived(
            id: RecordID(low: 4, high: 4), parent: current.ref, parents: [RecordID(low: 1, high: 1)], truncated: true,
            run: 3, attempt: 1, wall: 2_000)
        let merged = copy(stamp)
        #expect(merged.ref.hasMoreParents && merged.ref.hops().last == RecordHop(run: 3, time: 2_000, attempt: 1))
    }

    private func copy(_ stamp: LineageStamp) -> RecordBlock {
        var log = StreamLog()
        let sequence = log.append(stamp, output: Message().bytes.span.bytes, keyHash: 0)
        return RecordBlock(copying: log.ref(sequence))
    }

    @Test(arguments: [0, 1, 60, 90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100, 16_300, 16_384, 70_000, 2_097_152])
    func recordLengthIsWithoutTagAndLength(payload: Int) throws {
        let block = block(Message().data(3, [UInt8](repeating: 7, count: payload)))
        let bytes = block.ref.copyRecordBytes()
        #expect(bytes.count == block.ref.recordLength)
        #expect(block.ref.wireLength == 1 + Message.varint(UInt64(bytes.count)).count + bytes.count)
        #expect(try #require(DecodedRecord(bytes)).payload.count == payload)
    }

    @Test func lengthSizeAtEveryBorder() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455] {
            let size = Varint.size(UInt64(length))
            #expect(size == Message.varint(UInt64(length)).count)
            #expect(Varint.lengthSize(wire: 1 + size + length) == size)
        }
        #expect(Varint.size(.max) == 10)
    }
}
