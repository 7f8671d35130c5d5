/// Entries that are not written yet: what one flush will make durable. It is filled where records are (on the router's
/// loop), and may be handed to the thread that owns the writer while the next one is being filled; the writer empties it and
/// its memory is used again. Nothing is allocated per entry once it has grown to its size.
public struct EntryGroup: ~Copyable, Sendable {
    /// Whole entries without place or checksum, one behind the other.
    var bytes: [UInt8] = []
    /// Entries in it.
    public private(set) var count = 0
    private var openEntry: Int?

    /// - Parameter capacity: bytes to have room for from the start.
    public init(reserving capacity: Int = 0) { bytes.reserveCapacity(capacity) }

    public var isEmpty: Bool { count == 0 }

    /// The bytes that it will take in the journal. Whoever fills it keeps it within bounds.
    public var byteCount: Int { bytes.count }

    /// Bytes of memory that it keeps when it is emptied.
    public var reservedBytes: Int { bytes.capacity }

    /// Begins an entry.
    /// - Parameter kind: not 0.
    /// - Returns: where it begins, counted from the first byte of the group: the same distance from the position that
    ///   the flush returns.
    @discardableResult
    public mutating func begin(kind: UInt8) -> Int {
        precondition(openEntry == nil, "one entry is ended before the next begins")
        let offset = bytes.count
        openEntry = offset
        EntryHeader.stub(kind: kind, into: &bytes)
        return offset
    }

    /// Adds bytes to the payload of the entry that was begun.
    public mutating func put(_ part: RawSpan) {
        precondition(openEntry != nil, "bytes belong to an entry that was begun")
        bytes.append(part)
    }

    /// Ends the entry. Its payload has at most `JournalFormat.payloadLimit` bytes, or this traps.
    public mutating func end() {
        guard let offset = openEntry else { preconditionFailure("an entry is begun before it is ended") }
        EntryHeader.close(&bytes, at: offset)
        openEntry = nil
        count += 1
    }

    /// An entry in one go.
    @discardableResult
    public mutating func append(kind: UInt8, _ payload: RawSpan) -> Int {
        let offset = begin(kind: kind)
        put(payload)
        end()
        return offset
    }

    /// Forgets everything and keeps the memory.
    public mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        count = 0
        openEntry = nil
    }

    /// Lends all bytes, with zeros behind them.
    mutating func withBytes<E>(andZeros zeros: Int, _ body: (RawSpan) throws(E) -> Void) throws(E) {
        bytes.append(contentsOf: repeatElement(0, count: zeros))
        defer { bytes.removeLast(zeros) }
        try body(bytes.span.bytes)
    }

    /// Shows the entries of a group that has been sealed, and written from `start` on.
    func forEach(from start: JournalPosition, _ visit: EntryVisitor) {
        let span = bytes.span.bytes
        var offset = 0
        while offset < bytes.count {
            let header = EntryHeader(span, at: offset)
            let payload = offset + JournalFormat.entryHeader
            visit(
                header,
                JournalPosition(segment: start.segment, offset: start.offset + offset, sequence: header.sequence),
                span.extracting(payload..<payload + header.length))
            offset += header.bytes
        }
    }

    /// Gives all entries their places. Returns the checksum of the last. A group may be sealed again, for another place.
    mutating func seal(from first: UInt64, after previous: UInt32, seed: CRC32C) -> UInt32 {
        precondition(openEntry == nil, "an entry that was begun is ended before the group is flushed")
        var chain = previous
        var offset = 0
        var sequence = first
        while offset < bytes.count {
            chain = EntryHeader.seal(
                &bytes, at: offset, sequence: sequence, flushStart: first, previous: chain, seed: seed)
            offset += JournalFormat.entryBytes(payload: Int(bytes.span.bytes.load32(offset + 4)))
            sequence += 1
        }
        precondition(sequence - first == UInt64(count), "a group is made of the entries that were counted")
        return chain
    }
}
