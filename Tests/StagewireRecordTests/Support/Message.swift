/// A protobuf message under construction: the tests' own encoder, which can also write what is forbidden.
struct Message {
    var bytes: [UInt8] = []

    init(_ bytes: [UInt8] = []) { self.bytes = bytes }

    func raw(_ more: [UInt8]) -> Message { Message(bytes + more) }
    func tag(_ field: UInt64, _ wire: UInt64) -> Message { raw(Message.varint(field << 3 | wire)) }
    func number(_ field: UInt64, _ value: UInt64) -> Message { tag(field, 0).raw(Message.varint(value)) }
    func data(_ field: UInt64, _ value: [UInt8]) -> Message {
        tag(field, 2).raw(Message.varint(UInt64(value.count))).raw(value)
    }
    func text(_ field: UInt64, _ value: String) -> Message { data(field, Array(value.utf8)) }
    func message(_ field: UInt64, _ value: Message) -> Message { data(field, value.bytes) }
    func fixed64(_ field: UInt64, _ value: UInt64) -> Message { tag(field, 1).raw(Message.littleEndian(value)) }
    func fixed32(_ field: UInt64, _ value: UInt32) -> Message {
        tag(field, 5).raw(Array(Message.littleEndian(UInt64(value))[..<4]))
    }

    static func varint(_ value: UInt64) -> [UInt8] {
        var rest = value
        var bytes: [UInt8] = []
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    /// The same number in more bytes than it needs.
    static func padded(_ value: UInt64, by count: Int = 1) -> [UInt8] {
        var bytes = varint(value)
        bytes[bytes.count - 1] |= 0x80
        return bytes + [UInt8](repeating: 0x80, count: count - 1) + [0]
    }

    static func littleEndian(_ value: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: value >> (UInt64($0) * 8)) }
    }
}

/// Shapes that many tests use.
extension Message {
    static func header(schema: String = "sensor.raw", version: UInt64 = 1, key: String = "", time: UInt64 = 0)
        -> Message
    {
        var header = Message()
        if !schema.isEmpty { header = header.text(1, schema) }
        if version != 0 { header = header.number(2, version) }
        if !key.isEmpty { header = header.text(3, key) }
        if time != 0 { header = header.fixed64(4, time) }
        return header
    }

    static func record(_ header: Message = .header(), payload: [UInt8] = [1, 2, 3]) -> Message {
        Message().message(2, header).data(3, payload)
    }

    static func emission(port: UInt64 = 0, parents: [UInt64] = [], output: Message = .record()) -> Message {
        var emission = Message()
        if port != 0 { emission = emission.number(1, port) }
        if !parents.isEmpty { emission = emission.data(2, parents.flatMap(Message.varint)) }
        return emission.message(3, output)
    }

    static func outcome(first: UInt64, last: UInt64 = 0, kind: UInt64 = 1, emissions: [Message] = []) -> Message {
        var outcome = Message().number(1, first)
        if last != 0 { outcome = outcome.number(2, last) }
        outcome = outcome.number(3, kind)
        for emission in emissions { outcome = outcome.message(4, emission) }
        return outcome
    }

    static func settle(_ outcomes: [Message]) -> Message {
        outcomes.reduce(Message()) { $0.message(1, $1) }
    }
}
