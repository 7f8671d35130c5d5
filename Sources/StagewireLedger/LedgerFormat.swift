/// What the journal's entries are about; docs/LEDGER_FORMAT.md says it byte for byte.
public enum EntryKind {
    /// One group of steps: what was appended to streams, and what changed besides.
    public static let steps: UInt8 = 1
    /// The names behind the numbers of the entries that follow, until the next one.
    public static let layout: UInt8 = 2
}

/// The first byte of a change.
enum ChangeTag {
    static let done: UInt64 = 1
    static let trial: UInt64 = 2
    static let buried: UInt64 = 3
    static let discarded: UInt64 = 4
    static let asked: UInt64 = 5
    static let revived: UInt64 = 6
    static let partition: UInt64 = 7
    static let run: UInt64 = 8
    static let time: UInt64 = 9
    static let rewound: UInt64 = 10
    static let edited: UInt64 = 11
    static let known: ClosedRange<UInt64> = 1...11
}

/// What no number of a ledger exceeds, so that sums never overflow, here and in the router.
enum LedgerLimit {
    /// The end of a stream: at a million records a second that takes 71 years.
    static let sequence: UInt64 = 1 << 51 - 1
    /// Edited records are in no stream; among the records of one they have numbers from here on.
    static let firstEdited: UInt64 = 1 << 62
    /// The sequences of arrivals begin here.
    static let firstArrival: UInt64 = 1 << 63
    /// Numbers of dead letters and arrivals, epochs, emit ids.
    static let count: UInt64 = 1 << 62
    /// How often one stage reads one stream.
    static let ordinal: UInt64 = 1 << 16
    /// Attempts and crashes.
    static let attempts: UInt32 = 1 << 31
    /// Milliseconds: 292 years.
    static let time: UInt64 = 1 << 63 / 1_000_000
}

/// Where an entry is in the journal. The journal's own value says the same; this module does not know it.
public struct EntryPlace: Hashable, Sendable {
    /// The first sequence of its segment.
    public var segment: UInt64
    /// Bytes from the beginning of the segment's file.
    public var offset: Int
    public var sequence: UInt64

    public init(segment: UInt64, offset: Int, sequence: UInt64) {
        self.segment = segment
        self.offset = offset
        self.sequence = sequence
    }
}

/// An entry or a snapshot whose bytes are intact and do not mean anything: another program wrote it, or this one is wrong.
public struct LedgerFlaw: Error, Equatable, Sendable, CustomStringConvertible {
    public var what: String
    /// Bytes from the beginning of the payload.
    public var offset: Int

    public init(what: String, offset: Int) {
        self.what = what
        self.offset = offset
    }

    /// Whoever reads the payload adds where.
    static func about(_ what: String) -> LedgerFlaw { LedgerFlaw(what: what, offset: 0) }

    public var description: String { "\(what) (at byte \(offset) of the payload)" }
}
