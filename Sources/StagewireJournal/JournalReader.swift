/// Reads entries in order from a sequence or a position on, while the writer appends behind. It checks what it reads like a scan
/// does, and holds one window of a segment in memory, or the largest entry.
public struct JournalReader<D: Disk>: ~Copyable {
    private let disk: D
    private var scan: SegmentScan<D>
    /// Where the segment behind this one begins, if there was one when this one was entered: what this one has from there on is
    /// not the journal's.
    private var following: UInt64?

    /// The sequence of the entry that `advance` returns next.
    public var next: UInt64 { scan.next }

    /// Where the entry lies that `advance` returned last; nil before the first.
    public var position: JournalPosition? {
        scan.current.map {
            JournalPosition(segment: scan.header.first, offset: $0.offset, sequence: $0.header.sequence)
        }
    }

    private init(_ disk: D, _ scan: consuming SegmentScan<D>, _ firsts: [UInt64]) {
        self.disk = disk
        following = firsts.first { $0 > scan.header.first }
        self.scan = scan
    }

    /// Begins at an entry that is found by reading its segment from the start.
    ///
    /// Errors: `.notRetained` when it is not there, `.damaged` when the way to it is not readable.
    public static func open(_ disk: D, from sequence: UInt64) throws(JournalError) -> JournalReader {
        let firsts = try segments(disk)
        guard let first = firsts.last(where: { $0 <= sequence }) else {
            throw .notRetained(sequence: sequence, first: firsts.first)
        }
        var reader = JournalReader(disk, try open(disk, segment: first), firsts)
        while reader.next < sequence {
            if try reader.advance() == nil { throw .notRetained(sequence: sequence, first: firsts.first) }
        }
        return reader
    }

    /// Begins at a place that a flush or a visitor has named; without reading what is before it.
    ///
    /// Errors: `.notRetained` when its segment is gone, `.notThere` when it cannot be a place of that segment. What is not the
    /// entry that was named is found by `advance`, and is `.damaged`.
    public static func open(_ disk: D, at position: JournalPosition) throws(JournalError) -> JournalReader {
        let firsts = try segments(disk)
        guard firsts.contains(position.segment) else {
            throw .notRetained(sequence: position.sequence, first: firsts.first)
        }
        var scan = try open(disk, segment: position.segment)
        guard position.offset >= JournalFormat.segmentHeader, position.offset <= scan.limit,
            position.offset % JournalFormat.alignment == 0, position.sequence >= position.segment
        else { throw .notThere(position) }
        scan.jump(to: position.offset, sequence: position.sequence)
        return JournalReader(disk, scan, firsts)
    }

    /// Goes to another place, without looking for its segment again if it is in the same one.
    ///
    /// Errors: those of `open(_:at:)`.
    public mutating func seek(to position: JournalPosition) throws(JournalError) {
        guard position.segment == scan.header.first, position.offset >= JournalFormat.segmentHeader,
            position.offset <= scan.limit, position.offset % JournalFormat.alignment == 0
        else {
            self = try Self.open(disk, at: position)
            return
        }
        if position.sequence == scan.next, position.offset == scan.offset { return }
        scan.jump(to: position.offset, sequence: position.sequence)
    }

    /// The next entry; nil at the end of what is written.
    ///
    /// - Parameter end: entries from this one on are not returned. A reader beside a writer gives the writer's `next`: what is written
    ///   behind it is not durable yet.
    /// - Throws: `.damaged`, after which it stays where it is; `.notRetained` when the next segment was removed; `.disk`.
    public mutating func advance(below end: UInt64 = .max) throws(JournalError) -> EntryHeader? {
        if next >= end { return nil }
        do throws(DiskError) {
            if let entry = try scan.advance(below: following) { return entry }
            // What is in memory may be older than what is on the disk.
            scan.file.forget()
            if let entry = try scan.advance(below: following) { return entry }
        } catch { throw .disk(error) }
        let firsts = try Self.segments(disk)
        if firsts.contains(next), next != scan.header.first {
            try enter(next, firsts)
            return try advance(below: end)
        }
        return try nothingMore(firsts)
    }

    /// Lends the payload of the entry that `advance` returned last.
    public func withPayload<Result>(_ body: (RawSpan) -> Result) -> Result { scan.withPayload(body) }

    private mutating func enter(_ first: UInt64, _ firsts: [UInt64]) throws(JournalError) {
        let chain = scan.chain
        let entered = try Self.open(disk, segment: first)
        if let chain, chain != entered.header.previous {
            throw .damaged([Finding(.entries, entered.file.name, 0..<entered.file.size, from: first)])
        }
        scan = entered
        following = firsts.first { $0 > first }
    }

    /// At the end all is zero, or there is a mark, and no segment follows. Anything else is damage, or retention that has overtaken the
    /// reader: a segment that has no name any more may have become another one.
    private mutating func nothingMore(_ firsts: [UInt64]) throws(JournalError) -> EntryHeader? {
        guard firsts.contains(scan.header.first) else { throw .notRetained(sequence: next, first: firsts.first) }
        let place = scan.offset
        let isAtEnd: Bool
        do { isAtEnd = try scan.isAtEnd() } catch { throw .disk(error) }
        let following = firsts.first { $0 > scan.header.first }
        guard isAtEnd else {
            throw .damaged([Finding(.entries, scan.file.name, place..<scan.limit, from: next, to: following)])
        }
        guard let following else { return nil }
        if following == firsts[0] { throw .notRetained(sequence: next, first: following) }
        throw .damaged([Finding(.missing, scan.file.name, place..<place, from: next, to: following)])
    }

    private static func segments(_ disk: D) throws(JournalError) -> [UInt64] {
        do { return try JournalScan.segmentNames(disk) } catch { throw .disk(error) }
    }

    private static func open(_ disk: D, segment first: UInt64) throws(JournalError) -> SegmentScan<D> {
        let name = JournalFormat.segmentName(first)
        let problem: JournalError
        do throws(DiskError) {
            switch try disk.readHeader(name) {
            case .header(let header) where header.first == first:
                return SegmentScan(try SegmentFile(name, on: disk), header)
            case .newer(let version): problem = .newerFormat(segment: name, version: version)
            case .header, .damaged:
                problem = .damaged([Finding(.header, name, 0..<JournalFormat.segmentHeader, from: first)])
            }
        } catch { throw .disk(error) }
        throw problem
    }
}

extension JournalReader: Sendable where D: Sendable {}

extension Disk {
    func readHeader(_ name: String) throws(DiskError) -> SegmentHeader.Decoded {
        var file = try SegmentFile(name, on: self)
        let count = try file.load(0, JournalFormat.segmentHeader)
        return file.withBytes(0, count) { SegmentHeader.decode($0) }
    }
}
