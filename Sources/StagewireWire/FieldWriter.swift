import StagewireModel

/// Appends protobuf fields to bytes that grow: what a worker writes into Settle and Emit, whose size nobody
/// knows beforehand. Tags and lengths are minimal, as FR-5 asks of a sender.
package struct FieldWriter: Sendable {
    package var bytes: [UInt8] = []

    package init() {}

    package mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    package mutating func tag(_ field: UInt32, _ type: WireType) { varint(UInt64(field) << 3 | UInt64(type.rawValue)) }

    /// A number; zero is not written, as in proto3.
    package mutating func number(_ field: UInt32, _ value: UInt64) {
        guard value != 0 else { return }
        tag(field, .varint)
        varint(value)
    }

    /// A number inside of a `oneof`, where zero is a value too.
    package mutating func presentNumber(_ field: UInt32, _ value: UInt64) {
        tag(field, .varint)
        varint(value)
    }

    package mutating func presentFixed64(_ field: UInt32, _ value: UInt64) {
        tag(field, .fixed64)
        for shift in stride(from: UInt64(0), to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
    }

    /// Text or bytes; nothing is written when there are none.
    package mutating func content(_ field: UInt32, _ value: ArraySlice<UInt8>) {
        if !value.isEmpty { presentContent(field, value) }
    }

    package mutating func content(_ field: UInt32, _ value: [UInt8]) { content(field, value[...]) }

    package mutating func content(_ field: UInt32, _ value: String.UTF8View) {
        if !value.isEmpty { presentContent(field, value) }
    }

    // By type: a generic one would be looked up for each record that another module writes.
    package mutating func presentContent(_ field: UInt32, _ value: ArraySlice<UInt8>) {
        head(field, count: value.count)
        bytes.append(contentsOf: value)
    }

    package mutating func presentContent(_ field: UInt32, _ value: [UInt8]) { presentContent(field, value[...]) }

    package mutating func presentContent(_ field: UInt32, _ value: String.UTF8View) {
        head(field, count: value.count)
        bytes.append(contentsOf: value)
    }

    /// Tag and length of `count` bytes that the caller appends next.
    package mutating func head(_ field: UInt32, count: Int) {
        tag(field, .bytes)
        varint(UInt64(count))
    }
}

/// Frames that a worker builds from the middle: the body grows behind free room, the head is put in front of it
/// once its length is known. Nothing is copied.
package enum BodyFrame {
    package enum Kind: Sendable {
        case settle
        case emit
    }

    /// Free bytes in front of a body: prefix 4, version 3, tag 1 and length up to 4 (64 MiB).
    package static let headroom = 12

    package static func open() -> FieldWriter {
        var writer = FieldWriter()
        writer.bytes = [UInt8](repeating: 0, count: headroom)
        return writer
    }

    /// Writes the head of what stands behind the headroom; the frame begins at the returned index.
    package static func close(_ kind: Kind, _ writer: inout FieldWriter) -> Int {
        let body = writer.bytes.count - headroom
        let wireKind: StagewireWire.Kind = kind == .settle ? .settle : .emit
        let start = headroom - Limits.framePrefix - EnvelopeHead.encodedSize(wireKind, body: body)
        writer.bytes.withUnsafeMutableBytes { bytes in
            var head = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: bytes[start..<headroom]))
            EnvelopeHead.write(wireKind, body: body, into: &head)
        }
        return start
    }
}
