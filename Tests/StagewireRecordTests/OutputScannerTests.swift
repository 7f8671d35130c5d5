import StagewireModel
import Testing

@testable import StagewireRecord

@Suite struct OutputScannerTests {
    /// The flaw that the scanner finds in an encoded record, `nil` when it accepts it.
    private func flaw(_ record: Message) -> Flaw? {
        do {
            _ = try OutputScanner.scan(record.bytes.span.bytes, 0..<record.bytes.count)
            return nil
        } catch { return error.flaw }
    }

    private func flaw(header: Message) -> Flaw? { flaw(Message().message(2, header)) }
    private func flaw(attribute: Message) -> Flaw? { flaw(header: Message().message(6, attribute)) }

    @Test func acceptsWhatEncodersWrite() throws {
        let attributes = [
            Message(), Message().text(1, "a").text(2, "ü"), Message().text(1, "b").number(3, .max),
            Message().text(1, "c").fixed64(4, 0), Message().text(1, "d").number(5, 1), Message().number(5, 0),
        ]
        var header = Message.header(schema: "größe", version: UInt64(UInt32.max), key: "key", time: .max)
        for attribute in attributes { header = header.message(6, attribute) }
        for record in [Message(), Message().data(3, []), .record(), .record(header), Message().message(2, Message())] {
            #expect(flaw(record) == nil)
        }
        let bytes = Message.record(header).bytes
        let key = try OutputScanner.scan(bytes.span.bytes, 0..<bytes.count)
        #expect(Array(bytes[key]) == Array("key".utf8))
    }

    /// Newer SDKs may add fields, at every level, and put them anywhere.
    @Test func acceptsUnknownFields() {
        let unknown = Message().number(16, .max).fixed64(17, 1).fixed32(18, 1).data(19, [0xff, 0x0b])
            .number((1 << 29) - 1, 0)
        #expect(flaw(unknown.raw(Message.record().bytes)) == nil)
        #expect(flaw(header: unknown.raw(Message.header().bytes)) == nil)
        #expect(flaw(attribute: unknown.text(1, "n").raw(unknown.bytes)) == nil)
    }

    @Test func refusesLineageInAnyForm() {
        #expect(flaw(Message().message(1, Message())) == .lineage)
        #expect(flaw(Message().number(1, 1)) == .wireType)
        #expect(flaw(Message.record().data(1, [0])) == .lineage)
    }

    @Test func refusesWrongWireTypes() {
        #expect(flaw(Message().number(2, 0)) == .wireType)
        #expect(flaw(Message().fixed32(3, 0)) == .wireType)
        for field: UInt64 in 1...6 {
            #expect(flaw(header: Message().fixed32(field, 0)) == .wireType, "header field \(field)")
        }
        #expect(flaw(header: Message().number(3, 0)) == .wireType)
        #expect(flaw(header: Message().data(2, [1])) == .wireType)
        for field: UInt64 in 1...5 {
            #expect(flaw(attribute: Message().fixed32(field, 0)) == .wireType, "attribute field \(field)")
        }
        #expect(flaw(attribute: Message().data(5, [1])) == .wireType)
    }

    @Test func refusesRepeatedSingularFields() {
        #expect(flaw(Message().data(3, []).data(3, [])) == .repeated)
        #expect(flaw(Message().message(2, Message()).message(2, Message())) == .repeated)
        for field in [
            Message().text(1, ""), Message().number(2, 0), Message().text(3, ""), Message().fixed64(4, 0),
            Message().text(5, ""),
        ] { #expect(flaw(header: field.raw(field.bytes)) == .repeated) }
        #expect(flaw(attribute: Message().text(1, "").text(1, "")) == .repeated)
    }

    @Test func refusesTwoValuesOfAnAttribute() {
        #expect(flaw(attribute: Message().text(2, "").number(3, 1)) == .attributeValues)
        #expect(flaw(attribute: Message().number(5, 1).number(5, 1)) == .attributeValues)
    }

    @Test func refusesGroupsAndWireTypesThatDoNotExist() {
        for wire: UInt64 in [3, 4, 6, 7] {
            for field: UInt64 in [1, 2, 3, 15, 16, 9999] {
                let group = Message().tag(field, wire)
                #expect(flaw(group) == .group)
                #expect(flaw(header: group) == .group)
                #expect(flaw(attribute: group) == .group)
            }
        }
    }

    @Test func refusesFieldNumbersOutOfRange() {
        for wire: UInt64 in 0...7 { #expect(flaw(Message().tag(0, wire).raw([0])) == .fieldNumber) }
        #expect(flaw(Message().number(1 << 29, 0)) == .fieldNumber)
        #expect(flaw(Message().tag(1 << 58, 0).raw([0])) == .fieldNumber)
    }

    @Test func refusesPaddedTagsAndLengths() {
        #expect(flaw(Message(Message.padded(0x1a)).raw([0])) == .nonMinimal)
        #expect(flaw(Message(Message.padded(0x80, by: 2)).raw([0])) == .nonMinimal)
        #expect(flaw(Message([0x1a] + Message.padded(1)).raw([0])) == .nonMinimal)
        // The padded tag of a forbidden field is refused for the padding, whatever it names.
        #expect(flaw(Message(Message.padded(0x0a)).raw([0])) == .nonMinimal)
        #expect(flaw(attribute: Message([0x28] + Message.padded(1))) == .nonMinimal)
        // A padded value is what protobuf allows, and every reader reads it.
        #expect(flaw(header: Message([0x10] + Message.padded(1, by: 9))) == nil)
    }

    @Test func refusesNumbersThatDoNotFit() {
        #expect(flaw(header: Message().number(2, 1 << 32)) == .overflow)
        let tooLong: [UInt8] = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02]
        #expect(flaw(Message([0x80, 0x01] + tooLong)) == .overflow)
        #expect(flaw(Message([0x1a] + tooLong)) == .overflow)
        #expect(flaw(Message([UInt8](repeating: 0x80, count: 11))) == .overflow)
        #expect(flaw(attribute: Message().raw([0x18]).raw(tooLong)) == .overflow)
        #expect(flaw(attribute: Message().number(5, 2)) == .flagValue)
    }

    /// Cut anywhere, it is either refused or cut between two fields.
    @Test func refusesTruncatedFields() {
        let header = Message.header(key: "key", time: 5).message(6, Message().text(1, "n").text(2, "v")).fixed32(99, 1)
        let whole = Message.record(header, payload: [1, 2, 3, 4]).number(77, 300)
        let fieldEnds = [
            0, Message().message(2, header).bytes.count, Message.record(header, payload: [1, 2, 3, 4]).bytes.count,
        ]
        for end in 0..<whole.bytes.count {
            let found = flaw(Message(Array(whole.bytes[..<end])))
            #expect(found == (fieldEnds.contains(end) ? nil : .truncated), "cut at \(end)")
        }
        #expect(flaw(Message([0x1a] + Message.varint(.max))) == .truncated)
        #expect(flaw(header: Message([0x21, 1, 2, 3])) == .truncated)
        #expect(flaw(Message([0x85, 0x01, 1, 2, 3])) == .truncated)
        // A field that ends with the frame but not with its message.
        #expect(flaw(Message([0x12, 0x02, 0x0a, 0x05]).raw([1, 2, 3, 4, 5])) == .truncated)
    }

    @Test func refusesTextThatIsNotUTF8() {
        let bad: [[UInt8]] = [
            [0x80], [0xc0, 0x80], [0xc1, 0xbf], [0xe0, 0x80, 0x80], [0xed, 0xa0, 0x80], [0xed, 0xbf, 0xbf],
            [0xf0, 0x80, 0x80, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xff], [0xc3], [0xe2, 0x82],
            [0xf0, 0x9f, 0x98], [0xe2, 0x28, 0xa1],
        ]
        for bytes in bad {
            for padding in [0, 1, 6, 7, 8, 9, 15, 16, 33] {
                let text = [UInt8](repeating: 0x61, count: padding) + bytes
                for text in [text, text + [UInt8](repeating: 0x62, count: 9)] {
                    #expect(flaw(header: Message().data(1, text)) == .utf8)
                    #expect(flaw(header: Message().data(5, text)) == .utf8)
                    #expect(flaw(attribute: Message().data(1, text)) == .utf8)
                    #expect(flaw(attribute: Message().data(2, text)) == .utf8)
                    #expect(flaw(header: Message().data(3, text)) == nil, "keys are bytes")
                }
            }
        }
        for good in ["", "é", "€", "😀", "aaaaaaa😀aaaaaaaaé", "\u{0}", "\u{10ffff}\u{d7ff}\u{e000}"] {
            #expect(flaw(header: Message().text(1, good)) == nil)
        }
    }

    @Test func refusesWhatIsOverItsLimit() {
        func filled(_ count: Int) -> [UInt8] { [UInt8](repeating: 0x61, count: count) }
        #expect(flaw(header: Message().data(3, filled(Limits.key))) == nil)
        #expect(flaw(header: Message().data(3, filled(Limits.key + 1))) == .keySize)
        #expect(flaw(header: Message().data(1, filled(Limits.header - 3))) == nil)
        #expect(flaw(header: Message().data(1, filled(Limits.header - 2))) == .headerSize)
        func attributes(_ count: Int) -> Message {
            (0..<count).reduce(Message()) { message, _ in message.message(6, Message()) }
        }
        #expect(flaw(header: attributes(Limits.attributes)) == nil)
        #expect(flaw(header: attributes(Limits.attributes + 1)) == .attributeCount)
    }
}
