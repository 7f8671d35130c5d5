/// Walks over the entries of one segment.
///
/// Invariant: `offset` is behind an entry that is valid, or at the first; `next` and `chain` are what the entry there must have.
struct SegmentScan<D: Disk>: ~Copyable {
    var file: SegmentFile<D>
    let header: SegmentHeader
    private let seed: CRC32C
    /// Where entries end at the latest.
    let limit: Int
    private(set) var offset: Int
    private(set) var next: UInt64
    /// Nil where nothing is known of the entry before.
    private(set) var chain: UInt32?
    /// The entry before `offset`: its header, and where it begins.
    private(set) var current: (header: EntryHeader, offset: Int)?

    init(_ file: consuming SegmentFile<D>, _ header: SegmentHeader) {
        limit = min(file.size, header.capacity)
        self.file = file
        self.header = header
        seed = header.seed
        offset = JournalFormat.segmentHeader
        next = header.first
        chain = header.previous
    }

    /// Goes on with the entry at `position`, whatever is before it.
    mutating func jump(to position: Int, sequence: UInt64) {
        offset = position
        next = sequence
        chain = nil
        current = nil
    }

    /// The next entry in order; nil when there is none at `offset`, for whatever reason.
    /// - Parameter end: entries with this sequence or a higher one are not in this segment.
    mutating func advance(below end: UInt64?) throws(DiskError) -> EntryHeader? {
        if let end, next >= end { return nil }
        guard let entry = try entry(at: offset, expecting: next...next), chain == nil || entry.previous == chain else {
            return nil
        }
        accept(entry, at: offset)
        return entry
    }

    /// Whether nothing is written at `offset`.
    mutating func isAtEnd() throws(DiskError) -> Bool {
        let count = try file.load(offset, min(JournalFormat.entryHeader, limit - offset))
        return file.withBytes(offset, count) { $0.firstNonzero(0..<count) } == nil
    }

    /// Searches behind a broken place for the next entry that is valid by itself, and goes on behind that one.
    mutating func resynchronise(below end: UInt64?) throws(DiskError) -> (header: EntryHeader, offset: Int)? {
        // No more entries than that fit into the rest, so no higher sequences are looked for.
        let most = next + UInt64((limit - offset) / JournalFormat.entryBytes(payload: 0)) + 1
        let last = min(most, end.map { $0 - 1 } ?? .max)
        guard last > next else { return nil }
        var place = offset + JournalFormat.alignment
        while place + JournalFormat.entryHeader <= limit {
            if let entry = try entry(at: place, expecting: (next + 1)...last) {
                accept(entry, at: place)
                return (entry, place)
            }
            place += JournalFormat.alignment
        }
        return nil
    }

    /// Lends the payload of the entry that `advance` returned last.
    func withPayload<Result>(_ body: (RawSpan) -> Result) -> Result {
        guard let current else { preconditionFailure("a payload belongs to an entry that was read") }
        return file.withBytes(current.offset + JournalFormat.entryHeader, current.header.length, body)
    }

    private mutating func accept(_ entry: EntryHeader, at place: Int) {
        current = (entry, place)
        offset = place + entry.bytes
        next = entry.sequence + 1
        chain = entry.checksum
    }

    private mutating func entry(at place: Int, expecting expected: ClosedRange<UInt64>) throws(DiskError)
        -> EntryHeader?
    {
        let room = limit - place
        guard room >= JournalFormat.entryHeader,
            try file.load(place, JournalFormat.entryHeader) == JournalFormat.entryHeader
        else { return nil }
        let entry = file.withBytes(place, JournalFormat.entryHeader) { EntryHeader($0, at: 0) }
        guard entry.isPlausible(expected, room: room), try file.load(place, entry.bytes) == entry.bytes else {
            return nil
        }
        return file.withBytes(place, entry.bytes) { entry.isIntact($0, at: 0, seed: seed) } ? entry : nil
    }
}

extension SegmentScan: Sendable where D: Sendable {}

/// What is wrong behind the last good entry.
extension SegmentScan {
    /// The end of the entry at `place` by its own length; nil if that cannot be.
    mutating func claimedEnd(at place: Int) throws(DiskError) -> Int? {
        guard place + JournalFormat.entryHeader <= limit, try file.load(place, 8) == 8 else { return nil }
        let length = Int(file.withBytes(place, 8) { $0.load32(4) })
        let end = place + JournalFormat.entryBytes(payload: length)
        return length <= JournalFormat.payloadLimit && end <= limit ? end : nil
    }

    /// Whether the broken place at `place` looks like a write that a crash cut short: something of it was never written, and is
    /// zero. A disk writes whole sectors, so the part of it in one of them is missing; and what a sector has of a write may be an earlier
    /// state, when the write went on in a second call: then the end of that part is missing. Either way its last byte is zero. What
    /// was written to its end is not: an entry's last byte never is, and of other bytes few are.
    /// - Parameter resumed: where the next valid entry begins.
    mutating func looksUnfinished(at place: Int, resumed: Int?) throws(DiskError) -> Bool {
        if try file.load(place, 8) < 8 { return false }
        if file.withBytes(place, 8, { $0.load64(0) }) == 0 { return true }
        let claimed = try claimedEnd(at: place)
        guard let end = resumed ?? claimed else { return false }
        var part = place
        while part < end {
            part = min(end, (part / JournalFormat.sector + 1) * JournalFormat.sector)
            guard try file.load(part - 1, 1) == 1 else { return false }
            if file.withBytes(part - 1, 1, { $0.load8(0) }) == 0 { return true }
        }
        return false
    }
}
