/// A protobuf message as a tree that can be encoded wrongly on purpose: mutations that understand the structure
/// reach code that flipped bits seldom do.
struct WireField {
    enum Value {
        case number(UInt64)
        /// Four or eight bytes as they are, or the content of an unknown wire type.
        case raw([UInt8])
        case data([UInt8])
        case message([WireField])
    }

    var number: UInt64
    var wire: UInt64
    var value: Value
    /// Superfluous bytes of the tag, of the length and of a varint.
    var tagPadding = 0
    var lengthPadding = 0
    var valuePadding = 0
    /// Added to the true length.
    var lengthError = 0

    static func number(_ number: UInt64, _ value: UInt64) -> WireField {
        WireField(number: number, wire: 0, value: .number(value))
    }
    static func fixed64(_ number: UInt64, _ value: UInt64) -> WireField {
        WireField(number: number, wire: 1, value: .raw(Message.littleEndian(value)))
    }
    static func fixed32(_ number: UInt64, _ value: UInt64) -> WireField {
        WireField(number: number, wire: 5, value: .raw(Array(Message.littleEndian(value)[..<4])))
    }
    static func data(_ number: UInt64, _ bytes: [UInt8]) -> WireField {
        WireField(number: number, wire: 2, value: .data(bytes))
    }
    static func message(_ number: UInt64, _ fields: [WireField]) -> WireField {
        WireField(number: number, wire: 2, value: .message(fields))
    }

    var encoded: [UInt8] {
        let tag = WireField.varint(number << 3 | wire, padding: tagPadding)
        switch value {
        case .number(let number): return tag + WireField.varint(number, padding: valuePadding)
        case .raw(let bytes): return tag + bytes
        case .data(let bytes): return tag + delimited(bytes)
        case .message(let fields): return tag + delimited(WireField.encode(fields))
        }
    }

    static func encode(_ fields: [WireField]) -> [UInt8] { fields.flatMap(\.encoded) }

    private func delimited(_ bytes: [UInt8]) -> [UInt8] {
        WireField.varint(UInt64(max(0, bytes.count + lengthError)), padding: lengthPadding) + bytes
    }

    private static func varint(_ value: UInt64, padding: Int) -> [UInt8] {
        padding == 0 ? Message.varint(value) : Message.padded(value, by: padding)
    }
}
