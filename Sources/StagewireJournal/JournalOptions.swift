/// How a journal is written.
public struct JournalOptions: Sendable {
    /// Whose it is, what has to be there, and from where on entries are wanted at opening.
    public var request: ScanRequest
    /// Mixed into the checksums of this opening's segments: random, or of a seed in a simulation.
    public var nonce: UInt64
    /// Bytes of a segment. A group that does not fit gets a segment of its own size.
    public var segmentBytes: Int
    /// Bytes of a journal's first segment; each further one has twice the size of the one before, up to `segmentBytes`.
    /// So a pipeline that writes little takes little.
    public var firstSegmentBytes: Int
    /// Bytes of all segments together, the one prepared ahead included. A group that is larger never fits.
    public var byteLimit: Int
    /// Segments, the one prepared ahead included; those that will be used again are not.
    public var segmentLimit: Int
    /// Bytes of segments of the usual size that are kept when nobody needs them, to be written over; 0: none. They count as the
    /// others do.
    public var reusableBytes: Int
    /// The sequence of the first entry of a new journal.
    public var firstSequence: UInt64

    public init(
        identity: JournalIdentity, nonce: UInt64, segmentBytes: Int = 64 * 1024 * 1024,
        firstSegmentBytes: Int? = nil, byteLimit: Int = .max,
        segmentLimit: Int = .max, reusableBytes: Int = 0, firstSequence: UInt64 = 1
    ) {
        precondition(
            segmentBytes >= JournalFormat.segmentHeader + JournalFormat.entryBytes(payload: 0),
            "a segment has room for its header and an entry")
        precondition(byteLimit >= segmentBytes && segmentLimit >= 2, "there is room for a segment and its successor")
        precondition(firstSequence >= 1, "sequences begin with 1")
        request = ScanRequest(identity: identity)
        self.nonce = nonce
        self.segmentBytes = segmentBytes
        self.firstSegmentBytes = min(segmentBytes, firstSegmentBytes ?? segmentBytes)
        self.byteLimit = byteLimit
        self.segmentLimit = segmentLimit
        self.reusableBytes = reusableBytes
        self.firstSequence = firstSequence
    }

    var identity: JournalIdentity {
        guard let identity = request.identity else { preconditionFailure("a writer knows whose journal it writes") }
        return identity
    }

    /// A nonce for each segment out of the one given (the finaliser of SplitMix64; see `JournalOptions.nonce`).
    func nonce(of first: UInt64) -> UInt64 {
        var z = nonce &+ first &* 0x9e37_79b9_7f4a_7c15
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
