/// Walks over the entries of one segment.
///
/// Invariant: `offset` is behind an entry that is valid, or at the first, or at a mark; `next` and `chain` are what the entry there
/// must have.
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
    /// Entries below were durable, by the testimony of those that were read.
    private(set) var durable: UInt64 = 0

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
        durable = max(durable, entry.flushStart)
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

/// What is behind the last good entry.
extension SegmentScan {
    /// Whether the entries end at `offset`, by what stands there: nothing, or a mark.
    mutating func isAtEnd() throws(DiskError) -> Bool {
        let count = try file.load(offset, min(JournalFormat.entryHeader, limit - offset))
        if header.isReused, count < JournalFormat.mark { return true }
        if file.withBytes(offset, count, { $0.firstNonzero(0..<count) }) == nil { return true }
        return try passMark()
    }

    /// Whether the mark of what was read stands at `offset`. If so, it is heard.
    private mutating func passMark() throws(DiskError) -> Bool {
        guard let mark = try mark(at: offset, expecting: next...next), chain == nil || mark.previous == chain else {
            return false
        }
        durable = max(durable, next)
        return true
    }

    /// The last byte behind `offset` where nothing should be and something is; in a reused segment the last of those that would show the
    /// end. Nil if it is as it should be.
    mutating func leftover() throws(DiskError) -> Int? {
        if header.isReused { return try isAtEnd() ? nil : min(offset + JournalFormat.mark, limit) - 1 }
        let start = try passMark() ? offset + JournalFormat.mark : offset
        return try file.lastNonzero(from: start, to: limit)
    }

    /// Searches behind a broken place for the next entry that is valid by itself, and goes on behind that one; or for a mark, and goes
    /// on at that. Bytes that somebody has made to look like many long entries end the search.
    mutating func resynchronise(below end: UInt64?) throws(DiskError) -> (sequence: UInt64, offset: Int)? {
        // No more entries than that fit into the rest, so no higher sequences are looked for.
        let most = next + UInt64((limit - offset) / JournalFormat.entryBytes(payload: 0)) + 1
        let last = min(most, end.map { $0 - 1 } ?? .max)
        guard last > next else { return nil }
        let expected = (next + 1)...last
        var place = offset + JournalFormat.alignment
        var patience = 4 * (limit - offset)
        while patience > 0, let candidate = try candidate(from: place, expecting: expected) {
            if let entry = try entry(at: candidate, expecting: expected) {
                accept(entry, at: candidate)
                return (entry.sequence, candidate)
            }
            if let mark = try mark(at: candidate, expecting: expected) {
                jump(to: candidate, sequence: mark.sequence)
                durable = max(durable, mark.sequence)
                return (mark.sequence, candidate)
            }
            // So much had to be read at most to see that no entry begins here.
            patience -= try lengthEnd(at: candidate).map { $0 - candidate } ?? 0
            place = candidate + JournalFormat.alignment
        }
        return nil
    }

    /// The next place where a sequence stands that is looked for. Nearly all are ruled out by that: a segment that is used again is
    /// full of entries with lower ones.
    private mutating func candidate(from start: Int, expecting expected: ClosedRange<UInt64>) throws(DiskError)
        -> Int?
    {
        var place = start
        while place + JournalFormat.mark <= limit, try file.load(place, JournalFormat.mark) == JournalFormat.mark {
            let count = min(file.loaded(from: place), limit - place)
            let places = stride(from: 8, through: count - JournalFormat.mark + 8, by: JournalFormat.alignment)
            let found = file.withBytes(place, count) { bytes in places.first { expected.contains(bytes.load64($0)) } }
            if let found { return place + found - 8 }
            place += places.underestimatedCount * JournalFormat.alignment
        }
        return nil
    }

    /// The mark at `place`, if there is one with such a sequence.
    private mutating func mark(at place: Int, expecting expected: ClosedRange<UInt64>) throws(DiskError)
        -> EntryHeader?
    {
        guard limit - place >= JournalFormat.mark, try file.load(place, JournalFormat.mark) == JournalFormat.mark
        else { return nil }
        let mark = file.withBytes(place, JournalFormat.mark) { bytes in
            let mark = EntryHeader(bytes, at: 0)
            return mark.isMark(bytes, seed: seed) ? mark : nil
        }
        return mark.flatMap { expected.contains($0.sequence) ? $0 : nil }
    }

    /// The end of the entry that should be at `place`, by its own length; nil if that cannot be, or if what is there was another
    /// segment's.
    mutating func claimedEnd(at place: Int) throws(DiskError) -> Int? {
        guard let end = try lengthEnd(at: place) else { return nil }
        if !header.isReused { return end }
        guard try file.load(place, 16) == 16 else { return nil }
        return file.withBytes(place, 16) { $0.load64(8) } == next ? end : nil
    }

    private mutating func lengthEnd(at place: Int) throws(DiskError) -> Int? {
        guard place + JournalFormat.entryHeader <= limit, try file.load(place, 8) == 8 else { return nil }
        let length = Int(file.withBytes(place, 8) { $0.load32(4) })
        let end = place + JournalFormat.entryBytes(payload: length)
        return length <= JournalFormat.payloadLimit && end <= limit ? end : nil
    }

    /// Whether the broken place at `place` looks like a write that a crash cut short: something of it was never written.
    ///
    /// Over zeros, or a mark, that can be seen. A disk writes whole sectors, so the part of it in one of them is missing; and what a
    /// sector has of a write may be an earlier state, when the write went on in a second call: then the end of that part is missing.
    /// Either way its last byte is zero. What was written to its end is not: an entry's last byte never is, and of other bytes few
    /// are. Over another segment it cannot be seen, so it is taken for that as long as nobody testifies that it was durable.
    /// - Parameter resumed: where the next valid entry begins.
    mutating func looksUnfinished(at place: Int, resumed: Int?) throws(DiskError) -> Bool {
        if header.isReused { return true }
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
