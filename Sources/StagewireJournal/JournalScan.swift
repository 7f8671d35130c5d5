/// What was found in a journal's directory. A value: it says nothing of what is there by now.
public struct ScanReport: Equatable, Sendable {
    public struct Segment: Equatable, Sendable {
        public let name: String
        public let first: UInt64
        /// The sequence after its last entry, as far as that is known.
        public internal(set) var next: UInt64
        /// Bytes up to the end of its last entry.
        public internal(set) var end: Int
        public let size: Int
        /// What its size should be; nil if its header is unreadable.
        public let capacity: Int?
        /// It was another segment before: what is behind its last entry was not looked at, unless it is the last.
        public let isReused: Bool
    }

    /// In order.
    public internal(set) var segments: [Segment] = []
    /// In order. Empty for a journal that was closed properly, and after most crashes.
    public internal(set) var findings: [Finding] = []
    /// Behind the longest prefix of valid entries; nil when there are no segments at all.
    public internal(set) var end: JournalPosition?
    /// Whose journal it is; nil when no header is readable.
    public internal(set) var identity: JournalIdentity?
    var chain: UInt32 = 0
    /// Where the last flush of the prefix begins, if that is in the segment where the prefix ends.
    var lastFlush: JournalPosition?

    /// The first entry that is kept, or would be.
    public var first: UInt64? { segments.first?.first }
    /// Whether entries that were confirmed may be lost.
    public var isDamaged: Bool { findings.contains { $0.losesEntries } }
}

/// What a scan looks for.
public struct ScanRequest: Sendable {
    /// Whose journal it has to be; nil for anybody's.
    public var identity: JournalIdentity?
    /// Entries below are not needed: segments that have only such are looked at, but not read.
    public var from: UInt64
    /// Entries below this one are known to have been confirmed (by a snapshot, for one), so they must be there, from `from` on.
    public var confirmed: UInt64

    public init(identity: JournalIdentity? = nil, from: UInt64 = 0, confirmed: UInt64 = 0) {
        self.identity = identity
        self.from = from
        self.confirmed = confirmed
    }
}

/// Sees the entries of the longest valid prefix, in order. The payload is lent.
public typealias EntryVisitor = (EntryHeader, JournalPosition, RawSpan) -> Void

/// One pass over all segments. It reads only. Memory: one window, or the largest entry.
struct JournalScan<D: Disk> {
    let disk: D
    let request: ScanRequest
    /// Whose journal it has to be: that of the request, or else of the first segment.
    private var identity: JournalIdentity?
    var report = ScanReport()
    /// Whether everything so far is valid.
    var isIntact = true
    /// What the next segment has to begin with. The checksum is nil if the segment before was not read.
    var expected: (next: UInt64, chain: UInt32?)?

    init(_ disk: D, _ request: ScanRequest) {
        self.disk = disk
        self.request = request
        identity = request.identity
    }

    static func segmentNames(_ disk: D) throws(DiskError) -> [UInt64] {
        try disk.list().compactMap { JournalFormat.firstSequence(of: $0) }.sorted()
    }

    mutating func run(_ visit: EntryVisitor) throws(JournalError) -> ScanReport {
        do {
            let firsts = try Self.segmentNames(disk)
            noteMissingBeginning(firsts)
            for (index, first) in firsts.enumerated() {
                try segment(first, next: index + 1 < firsts.count ? firsts[index + 1] : nil, visit)
            }
        } catch let error as JournalError {
            throw error
        } catch let error as DiskError {
            throw .disk(error)
        } catch { preconditionFailure("a scan fails with one of its two errors: \(error)") }
        noteMissingEnd()
        return report
    }

    // MARK: One segment

    private mutating func segment(_ first: UInt64, next: UInt64?, _ visit: EntryVisitor) throws {
        var file = try SegmentFile(JournalFormat.segmentName(first), on: disk)
        let count = try file.load(0, JournalFormat.segmentHeader)
        switch file.withBytes(0, count, { SegmentHeader.decode($0) }) {
        case .newer(let version): throw JournalError.newerFormat(segment: file.name, version: version)
        case .header(let header) where header.first == first:
            let expectedIdentity = identity ?? header.identity
            identity = expectedIdentity
            report.identity = expectedIdentity
            if expectedIdentity != header.identity {
                throw JournalError.foreignPipeline(
                    segment: file.name, found: header.identity, expected: expectedIdentity)
            }
            report.segments.append(
                ScanReport.Segment(
                    name: file.name, first: first, next: first, end: JournalFormat.segmentHeader, size: file.size,
                    capacity: header.capacity, isReused: header.isReused))
            if let expected, let chain = expected.chain, expected.next == first, chain != header.previous {
                // The right name and checksum with another past: a file of another life of this journal.
                let range = 0..<file.size
                broken(Finding(.entries, file.name, range, from: first, to: next), next: next)
                return
            }
            try entries(SegmentScan(file, header), next: next, visit)
        case .header, .damaged:
            report.segments.append(
                ScanReport.Segment(
                    name: file.name, first: first, next: first, end: 0, size: file.size, capacity: nil,
                    isReused: false))
            broken(Finding(.header, file.name, 0..<file.size, from: first, to: next), next: next)
        }
    }

    private mutating func broken(_ finding: Finding, next: UInt64?) {
        report.findings.append(finding)
        if isIntact && report.end == nil {
            report.end = finding.first.map { JournalPosition(segment: $0, offset: 0, sequence: $0) }
        }
        isIntact = false
        expected = next.map { ($0, nil) }
    }

    /// A place where no entry is that should be one, or bytes where none should be.
    struct Break {
        let range: Range<Int>
        let first: UInt64
        /// The sequence of the entry behind it.
        var end: UInt64?
        let looksUnfinished: Bool
    }

    private mutating func entries(_ scan: consuming SegmentScan<D>, next: UInt64?, _ visit: EntryVisitor) throws {
        if let next, next <= request.from {
            skip(to: next, scan)
            return
        }
        var breaks: [Break] = []
        if isIntact { moveEnd(scan) }
        while true {
            while let entry = try scan.advance(below: next) {
                guard isIntact, breaks.isEmpty else { continue }
                noteFlush(entry, scan)
                if entry.sequence >= request.from { deliver(entry, scan, visit) }
                moveEnd(scan)
            }
            let place = scan.offset
            let last = try scan.leftover()
            // A segment that is used again may look empty where something was erased.
            if last == nil, !scan.header.isReused { break }
            let claimed = try scan.claimedEnd(at: place)
            let first = scan.next
            let found = try scan.resynchronise(below: next)
            if last == nil, found == nil { break }
            breaks.append(
                Break(
                    range: place..<(found?.offset ?? max((last ?? place) + 1, claimed ?? 0)), first: first,
                    end: found?.sequence ?? next,
                    looksUnfinished: try scan.looksUnfinished(at: place, resumed: found?.offset)))
            if found == nil { break }
        }
        close(scan, breaks, next: next)
    }

    private mutating func skip(to next: UInt64, _ scan: borrowing SegmentScan<D>) {
        report.segments[report.segments.count - 1].next = next
        report.segments[report.segments.count - 1].end = scan.limit
        if isIntact {
            moveEnd(scan)
            report.end = JournalPosition(segment: scan.header.first, offset: scan.limit, sequence: next)
        }
        expected = (next, nil)
    }

    private mutating func deliver(_ entry: EntryHeader, _ scan: borrowing SegmentScan<D>, _ visit: EntryVisitor) {
        let position = JournalPosition(
            segment: scan.header.first, offset: scan.offset - entry.bytes, sequence: entry.sequence)
        scan.withPayload { visit(entry, position, $0) }
    }

    private mutating func noteFlush(_ entry: EntryHeader, _ scan: borrowing SegmentScan<D>) {
        if entry.flushStart == entry.sequence || report.lastFlush == nil {
            report.lastFlush = JournalPosition(
                segment: scan.header.first, offset: scan.offset - entry.bytes, sequence: entry.sequence)
        }
    }

    private mutating func moveEnd(_ scan: borrowing SegmentScan<D>) {
        if report.end?.segment != scan.header.first { report.lastFlush = nil }
        report.end = JournalPosition(segment: scan.header.first, offset: scan.offset, sequence: scan.next)
        report.chain = scan.chain ?? 0
    }
}
