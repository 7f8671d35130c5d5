/// The numbers of docs/JOURNAL_FORMAT.md, which says what they mean.
public enum JournalFormat {
    /// What is written; a journal with a higher one is refused. The first had neither marks nor segments that are used again.
    public static let version: UInt32 = 2
    /// "stgwjrnl"
    static let magic: UInt64 = 0x6c6e_726a_7767_7473
    /// Bytes before the first entry of a segment.
    public static let segmentHeader = 64
    /// Bytes of an entry before its payload.
    public static let entryHeader = 32
    /// Entries begin at multiples of this.
    static let alignment = 8
    /// What fills an entry up, one to eight times: the last byte of an entry is never zero, so that one whose end was never
    /// written shows it.
    static let endMark: UInt8 = 0x2e
    /// The kind of the mark behind the last entry, which no entry has.
    static let markKind: UInt8 = 0xff
    /// A mark has this many bytes, and so many zeros are behind the last entry of a segment that is used again.
    static let mark = entryHeader
    /// The longest payload of an entry. A reader needs this much memory at worst, and a group is one entry or several.
    public static let payloadLimit = 128 * 1024 * 1024
    /// No segment begins with a higher sequence, so that sums of sequences and sizes never overflow.
    static let sequenceLimit: UInt64 = 1 << 62
    /// What a disk writes completely or not at all, as far as the journal relies on it.
    static let sector = 512

    static let segmentSuffix = ".seg"
    /// A segment that has no place in the sequence yet.
    static let spareName = "next.new"
    /// Behind the name of a segment that nobody needs, whose place is used again.
    static let reusableSuffix = ".old"
    /// What `RepairPlan` writes before it takes the place of a damaged segment.
    static let repairName = "repair.new"
    public static let lockName = "lock"

    /// The bytes of an entry with its header and end.
    static func entryBytes(payload: Int) -> Int {
        (entryHeader + payload) / alignment * alignment + alignment
    }

    /// "000000000000002a.seg" for 42.
    public static func segmentName(_ first: UInt64) -> String {
        let digits = String(first, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits + segmentSuffix
    }

    /// What the segment is called when nobody needs it any more.
    static func reusableName(_ first: UInt64) -> String { segmentName(first) + reusableSuffix }

    /// The first sequence out of a name, nil for names that are none of a segment.
    public static func firstSequence(of name: String) -> UInt64? {
        guard name.hasSuffix(segmentSuffix), let first = UInt64(name.dropLast(segmentSuffix.count), radix: 16),
            segmentName(first) == name
        else { return nil }
        return first
    }
}

/// Whose journal it is: a hash of what makes a pipeline another one. The journal compares it and knows no more of it.
public struct JournalIdentity: Hashable, Sendable, CustomStringConvertible {
    public let high: UInt64
    public let low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    public var description: String {
        [high, low].map { word in
            let digits = String(word, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }
}

/// A place in the journal. Kept by whoever wants to read on from there without reading what comes before.
public struct JournalPosition: Hashable, Sendable {
    /// The first sequence of the segment, which is its name.
    public let segment: UInt64
    /// Bytes from the beginning of the file.
    public let offset: Int
    /// The entry that begins there.
    public let sequence: UInt64

    public init(segment: UInt64, offset: Int, sequence: UInt64) {
        self.segment = segment
        self.offset = offset
        self.sequence = sequence
    }
}

/// The first 64 bytes of a segment.
struct SegmentHeader: Equatable, Sendable {
    /// The checksum of the entry before the first, 0 if there was none.
    var previous: UInt32
    var identity: JournalIdentity
    var first: UInt64
    /// The size of the file.
    var capacity: Int
    var nonce: UInt64
    /// The file was another segment before, so anything may be behind its entries; otherwise there are zeros.
    var isReused = false

    /// What the checksums of this segment's entries begin with: bytes of another segment, or of an earlier life of the
    /// same blocks, or made up by somebody who sends records, are never taken for entries of this one.
    var seed: CRC32C {
        var bytes = [UInt8](repeating: 0, count: 8)
        bytes.store(nonce, at: 0)
        var crc = CRC32C()
        crc.update(bytes.span.bytes)
        return crc
    }

    func encoded() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: JournalFormat.segmentHeader)
        bytes.store(JournalFormat.magic, at: 0)
        bytes.store(JournalFormat.version, at: 8)
        bytes.store(previous, at: 12)
        bytes.store(identity.high, at: 16)
        bytes.store(identity.low, at: 24)
        bytes.store(first, at: 32)
        bytes.store(UInt64(capacity), at: 40)
        bytes.store(nonce, at: 48)
        bytes.store(UInt32(isReused ? 1 : 0), at: 56)
        bytes.store(CRC32C.of(bytes.span.bytes.extracting(0..<60)), at: 60)
        return bytes
    }

    enum Decoded: Equatable {
        case header(SegmentHeader)
        case newer(version: UInt32)
        case damaged
    }

    /// Reads the first bytes of a file, fewer than 64 if it has no more. Magic, version and checksum stay where they are in every
    /// later format, so that a newer journal is told from a damaged one.
    static func decode(_ bytes: RawSpan) -> Decoded {
        guard bytes.byteCount >= JournalFormat.segmentHeader, bytes.load64(0) == JournalFormat.magic,
            bytes.load32(60) == CRC32C.of(bytes.extracting(0..<60))
        else { return .damaged }
        let version = bytes.load32(8)
        if version > JournalFormat.version { return .newer(version: version) }
        guard version >= 1, bytes.load32(56) <= version - 1,
            let capacity = Int(exactly: bytes.load64(40)), capacity >= JournalFormat.segmentHeader,
            (1...JournalFormat.sequenceLimit).contains(bytes.load64(32))
        else { return .damaged }
        return .header(
            SegmentHeader(
                previous: bytes.load32(12), identity: JournalIdentity(high: bytes.load64(16), low: bytes.load64(24)),
                first: bytes.load64(32), capacity: capacity, nonce: bytes.load64(48),
                isReused: bytes.load32(56) == 1))
    }
}
