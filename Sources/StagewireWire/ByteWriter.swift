import StagewireModel

/// Appends to memory of a known size. Every write is checked against its end.
package struct ByteWriter {
    private let buffer: UnsafeMutableRawBufferPointer
    private(set) var count = 0

    init(_ buffer: UnsafeMutableRawBufferPointer) { self.buffer = buffer }

    mutating func byte(_ value: UInt8) {
        precondition(count < buffer.count, "the buffer is too small for what was announced")
        buffer[count] = value
        count += 1
    }

    mutating func bigEndian(_ value: UInt32) {
        for shift in stride(from: UInt32(24), through: 0, by: -8) { byte(UInt8(truncatingIfNeeded: value >> shift)) }
    }

    mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            byte(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        byte(UInt8(rest))
    }

    mutating func tag(_ field: UInt32, _ type: WireType) { varint(UInt64(field) << 3 | UInt64(type.rawValue)) }

    /// Bytes of a minimal varint.
    package static func size(of value: UInt64) -> Int { (70 - (value | 1).leadingZeroBitCount) / 7 }
}

/// What stands in front of the message of every frame we write: the length prefix, the version, then tag and
/// length of the kind.
enum EnvelopeHead {
    /// Bytes of version, tag and length, without the length prefix.
    static func encodedSize(_ kind: Kind, body: Int) -> Int {
        1 + ByteWriter.size(of: UInt64(ProtocolVersion.current)) + ByteWriter.size(of: UInt64(kind.rawValue) << 3)
            + ByteWriter.size(of: UInt64(body))
    }

    static func write(_ kind: Kind, body: Int, into writer: inout ByteWriter) {
        let content = encodedSize(kind, body: body) + body
        precondition(content <= Limits.ceilingFrame, "a frame of \(content) bytes is above every limit")
        writer.bigEndian(UInt32(content))
        writer.tag(1, .varint)
        writer.varint(UInt64(ProtocolVersion.current))
        writer.tag(kind.rawValue, .bytes)
        writer.varint(UInt64(body))
    }
}
