import StagewireJournal
import StagewireWire

/// What `journal verify` found.
struct JournalReport: Encodable {
    enum State: String, Encodable {
        /// There are no segments: a start begins a new journal.
        case empty
        case intact
        /// What a crash in the middle of a write leaves behind; a start clears it.
        case unfinished
        /// Entries that were confirmed may be lost; a start is refused.
        case damaged
    }

    /// A range of sequences. Without a last one nobody knows how many.
    struct Entries: Encodable, Equatable {
        var first: UInt64
        var last: UInt64?
    }

    struct Damage: Encodable, Equatable {
        /// `entries`, `header`, `short`, `stray`, `missing` or `unfinished`.
        var kind: String
        var segment: String
        /// Bytes of the file, `to` not among them. Both the same for what is missing.
        var from: Int
        var to: Int
        /// The entries that it concerns.
        var entries: Entries?
        var losesEntries: Bool
        var message: String

        private enum CodingKeys: String, CodingKey {
            case kind, segment, from, to, entries, message
            case losesEntries = "loses_entries"
        }
    }

    var directory: String
    var state: State
    /// Somebody holds the lock.
    var isBeingWritten: Bool
    var format = JournalFormat.version
    var identity: String?
    var segments: Int
    /// Of all segments, the unused ends included.
    var bytes: Int
    /// Those that can be served.
    var entries: UInt64
    var first: UInt64?
    var last: UInt64?
    /// The sequence with which a start goes on, or would after a repair.
    var next: UInt64?
    var lost: Entries?
    var findings: [Damage]
    /// Files that repairs have set aside.
    var aside: [String]

    private enum CodingKeys: String, CodingKey {
        case directory, state, format, identity, segments, bytes, entries, first, last, next, lost, findings, aside
        case isBeingWritten = "writing"
    }

    /// - Parameter names: of the directory's files.
    init(_ directory: String, _ report: ScanReport, names: [String], isBeingWritten: Bool) {
        self.directory = directory
        self.isBeingWritten = isBeingWritten
        state = Self.state(report)
        identity = report.identity?.description
        segments = report.segments.count
        bytes = report.segments.reduce(0) { $0 + $1.size }
        next = report.end?.sequence
        let kept = Self.kept(report)
        entries = UInt64(kept.count)
        (first, last) = kept.isEmpty ? (nil, nil) : (kept.lowerBound, kept.upperBound - 1)
        lost = Self.lost(report)
        findings = report.findings.map(Damage.init)
        aside = names.filter { $0.contains(".seg.damaged") }.sorted()
    }

    private static func state(_ report: ScanReport) -> State {
        if report.isDamaged { return .damaged }
        if report.segments.isEmpty { return .empty }
        return report.findings.contains { $0.kind == .unfinished } ? .unfinished : .intact
    }

    /// The longest valid prefix.
    static func kept(_ report: ScanReport) -> Range<UInt64> {
        guard let first = report.first, let end = report.end?.sequence, end >= first else { return 0..<0 }
        return first..<end
    }

    /// Everything behind the prefix: what cannot be read, and what can and is not served because something before it is missing.
    static func lost(_ report: ScanReport) -> Entries? {
        guard report.isDamaged, let end = report.end?.sequence else { return nil }
        let next = report.segments.map(\.next).max() ?? end
        let isOpen = next <= end || report.findings.contains { $0.losesEntries && $0.end == nil }
        return Entries(first: end, last: isOpen ? nil : next - 1)
    }

    /// For the envelope.
    var problems: [Problem] {
        guard state == .damaged else { return [] }
        return [
            Problem(
                code: "damaged", message: "the journal in \(Text.escaped(directory)) is damaged",
                hint: "`stagewire journal repair` shows what a repair would keep")
        ]
    }
}

extension JournalReport.Damage {
    init(_ finding: Finding) {
        kind = finding.kind.name
        segment = finding.segment
        (from, to) = (finding.range.lowerBound, finding.range.upperBound)
        entries = finding.first.map { JournalReport.Entries(first: $0, last: finding.end.map { $0 - 1 }) }
        // A range of no entries: bytes where none should be.
        if let entries, let last = entries.last, last < entries.first { self.entries = nil }
        losesEntries = finding.losesEntries
        message = finding.message
    }
}

extension Finding.Kind {
    fileprivate var name: String {
        switch self {
        case .entries: "entries"
        case .header: "header"
        case .short: "short"
        case .stray: "stray"
        case .missing: "missing"
        case .unfinished: "unfinished"
        }
    }
}
