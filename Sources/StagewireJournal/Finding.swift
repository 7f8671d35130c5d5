/// One damaged range of bytes.
public struct Finding: Equatable, Sendable {
    public enum Kind: Equatable, Sendable {
        /// Bytes that should be entries and are not.
        case entries
        /// The beginning of a segment, without which none of its entries can be read.
        case header
        /// The file ends before the size that its header says.
        case short
        /// Bytes behind the last entry of a segment, where zeros should be. No entry is missing.
        case stray
        /// Entries of which no trace is left: a segment is gone, or the last entries of one.
        case missing
        /// What a crash in the middle of a write leaves behind. Nothing of it was confirmed.
        case unfinished
    }

    public let kind: Kind
    /// The file.
    public let segment: String
    /// Bytes of it. Empty for what is missing.
    public let range: Range<Int>
    /// The entries that are damaged or missing: those from the lower bound on, and before the upper one. Without an
    /// upper bound nobody knows how many; nil where none is concerned.
    public let first: UInt64?
    public let end: UInt64?

    init(_ kind: Kind, _ segment: String, _ range: Range<Int>, from first: UInt64? = nil, to end: UInt64? = nil) {
        self.kind = kind
        self.segment = segment
        self.range = range
        self.first = first
        self.end = end
    }

    /// Whether entries that were confirmed may be lost.
    public var losesEntries: Bool {
        switch kind {
        case .entries, .header, .missing: true
        case .short: first != nil
        case .stray, .unfinished: false
        }
    }

    /// For people.
    public var message: String {
        let place = range.isEmpty ? "in \(segment)" : "at bytes \(range.lowerBound)..<\(range.upperBound) of \(segment)"
        return switch kind {
        case .entries: "\(entries) unreadable \(place)"
        case .header: "the header of \(segment) is unreadable, and with it \(entries)"
        case .short: "\(segment) ends \(range.count) bytes too early" + (first == nil ? "" : ", without \(entries)")
        case .stray: "bytes of no meaning \(place), no entry is missing"
        case .missing: "\(entries) missing \(place)"
        case .unfinished: "a write that a crash cut short, never confirmed, \(place)"
        }
    }

    private var entries: String {
        guard let first else { return "entries" }
        guard let end else { return "entries from \(first) on" }
        return end == first + 1 ? "entry \(first)" : "entries \(first) to \(end - 1)"
    }

    /// The first few in words, and how many more there are.
    static func list(_ findings: [Finding]) -> String {
        let shown = findings.prefix(3).map(\.message).joined(separator: "; ")
        return findings.count > 3 ? shown + "; and \(findings.count - 3) more" : shown
    }
}
