import StagewireWire

/// Tags, lengths and numbers that stand side by side, put together on the stack. Appended one by one, each byte would ask
/// whether the array has room, and whether it is somebody else's too.
struct Heads {
    /// Bytes: more than any four of them take.
    static let room = 64

    private let buffer: UnsafeMutableRawBufferPointer
    private(set) var count = 0

    init(_ buffer: UnsafeMutableRawBufferPointer) { self.buffer = buffer }

    /// A number; zero is not written, as in proto3.
    @inline(__always)
    mutating func number(_ field: UInt32, _ value: UInt64) {
        guard value != 0 else { return }
        tag(field, type: 0)
        varint(value)
    }

    /// Tag and length of `count` bytes that follow.
    @inline(__always)
    mutating func head(_ field: UInt32, count: Int) {
        tag(field, type: 2)
        varint(UInt64(count))
    }

    /// - Parameter type: as `WireType`, whose raw values another module would have to be asked for.
    @inline(__always)
    private mutating func tag(_ field: UInt32, type: UInt64) { varint(UInt64(field) << 3 | type) }

    @inline(__always)
    private mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            byte(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        byte(UInt8(rest))
    }

    @inline(__always)
    private mutating func byte(_ value: UInt8) {
        precondition(count < buffer.count, "the room is enough for what is put together")
        buffer[count] = value
        count += 1
    }

    /// Bytes that `number` takes.
    @inline(__always)
    static func size(_ field: UInt32, number value: UInt64) -> Int {
        value == 0 ? 0 : size(of: UInt64(field) << 3) + size(of: value)
    }

    /// Bytes that `head` and its content take together.
    @inline(__always)
    static func size(_ field: UInt32, count: Int) -> Int {
        size(of: UInt64(field) << 3) + size(of: UInt64(count)) + count
    }

    /// Bytes of a minimal varint.
    @inline(__always)
    private static func size(of value: UInt64) -> Int { (70 - (value | 1).leadingZeroBitCount) / 7 }
}

extension FieldWriter {
    @inline(__always)
    mutating func append(_ heads: (inout Heads) -> Void) {
        withUnsafeTemporaryAllocation(byteCount: Heads.room, alignment: 1) { buffer in
            var all = Heads(buffer)
            heads(&all)
            bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: buffer[..<all.count]))
        }
    }

    /// Appends a part of somebody's bytes.
    mutating func append(_ source: [UInt8], _ range: Range<Int>) {
        // As an array or a slice it would be counted as another reference.
        source.withUnsafeBytes { bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: $0[range])) }
    }

    /// A part as a field; nothing is written when it is empty.
    mutating func content(_ field: UInt32, _ part: Part) {
        guard !part.isEmpty else { return }
        append { $0.head(field, count: part.count) }
        append(part.bytes, part.range)
    }
}
