/// The first 32 bytes of an entry.
public struct EntryHeader: Equatable, Sendable {
    /// CRC32C of the segment's nonce and everything of the entry behind this field, its end included.
    public var checksum: UInt32
    /// The payload's bytes.
    public var length: Int
    /// Consecutive over the whole journal, from 1.
    public var sequence: UInt64
    /// The first sequence of the flush that wrote the entry. Everything below it was durable before this entry was written:
    /// that is how a flush cut short by a crash, of which any sectors may be there, is told from damage.
    public var flushStart: UInt64
    /// The checksum of the entry before it.
    public var previous: UInt32
    /// What the payload is, from 1 to 254; the journal does not look.
    public var kind: UInt8

    /// Bytes of the whole entry.
    var bytes: Int { JournalFormat.entryBytes(payload: length) }

    /// The fields as they stand at `offset`, plausible or not. Needs 32 bytes there.
    init(_ bytes: RawSpan, at offset: Int) {
        checksum = bytes.load32(offset)
        length = Int(bytes.load32(offset + 4))
        sequence = bytes.load64(offset + 8)
        flushStart = bytes.load64(offset + 16)
        previous = bytes.load32(offset + 24)
        kind = bytes.load8(offset + 28)
    }

    /// Writes an entry's header with what is known before it has a place, and room for the rest.
    static func stub(kind: UInt8, into bytes: inout [UInt8]) {
        precondition(kind != 0, "kind 0 is what zeros look like, so no entry has it")
        precondition(kind != JournalFormat.markKind, "a mark is no entry")
        bytes.append(contentsOf: repeatElement(0, count: JournalFormat.entryHeader))
        bytes[bytes.count - JournalFormat.entryHeader + 28] = kind
    }

    /// Fills the length in and adds the end.
    static func close(_ bytes: inout [UInt8], at offset: Int) {
        let payload = bytes.count - offset - JournalFormat.entryHeader
        precondition(
            payload >= 0 && payload <= JournalFormat.payloadLimit,
            "an entry has at most \(JournalFormat.payloadLimit) bytes of payload")
        bytes.store(UInt32(payload), at: offset + 4)
        let rest = JournalFormat.entryBytes(payload: payload) - JournalFormat.entryHeader - payload
        bytes.append(contentsOf: repeatElement(JournalFormat.endMark, count: rest))
    }

    /// Gives the closed entry at `offset` its place in the journal, and its checksum, which is returned.
    static func seal(
        _ bytes: inout [UInt8], at offset: Int, sequence: UInt64, flushStart: UInt64, previous: UInt32, seed: CRC32C
    ) -> UInt32 {
        bytes.store(sequence, at: offset + 8)
        bytes.store(flushStart, at: offset + 16)
        bytes.store(previous, at: offset + 24)
        let count = EntryHeader(bytes.span.bytes, at: offset).bytes
        let checksum = checksum(of: bytes.span.bytes.extracting(offset..<offset + count), seed: seed)
        bytes.store(checksum, at: offset)
        return checksum
    }

    /// Of an entry, or a mark: everything behind the checksum itself.
    fileprivate static func checksum(of whole: RawSpan, seed: CRC32C) -> UInt32 {
        var crc = seed
        crc.update(whole.extracting(droppingFirst: 4))
        return crc.value
    }
}

extension EntryHeader {
    /// Whether the fields can be those of an entry with a sequence in `expected` and `room` bytes to the end of the segment. Rules
    /// nearly everything out before a checksum is computed.
    func isPlausible(_ expected: ClosedRange<UInt64>, room: Int) -> Bool {
        expected.contains(sequence) && flushStart >= 1 && flushStart <= sequence && kind != 0
            && kind != JournalFormat.markKind && length <= JournalFormat.payloadLimit && bytes <= room
    }

    /// Whether the bytes are what the checksum says. `bytes` holds the whole entry from `offset` on.
    func isIntact(_ span: RawSpan, at offset: Int, seed: CRC32C) -> Bool {
        checksum == Self.checksum(of: span.extracting(offset..<offset + bytes), seed: seed)
    }
}

/// What stands behind the last entry when it is known to be durable, until the next one is written over it: the fields of an
/// entry's header, with the sequence that the next one will have. Its last bytes are zero, so that a write that was cut short over a
/// mark shows it as over zeros.
extension EntryHeader {
    /// The bytes of a mark.
    static func mark(_ next: UInt64, after previous: UInt32, seed: CRC32C) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: JournalFormat.mark)
        bytes.store(next, at: 8)
        bytes.store(next, at: 16)
        bytes.store(previous, at: 24)
        bytes[28] = JournalFormat.markKind
        bytes.store(checksum(of: bytes.span.bytes, seed: seed), at: 0)
        return bytes
    }

    /// Whether the fields are those of a mark, and `bytes`, which hold it from the first byte on, are what its checksum says.
    func isMark(_ bytes: RawSpan, seed: CRC32C) -> Bool {
        kind == JournalFormat.markKind && length == 0 && flushStart == sequence
            && checksum == Self.checksum(of: bytes.extracting(first: JournalFormat.mark), seed: seed)
    }
}
