import StagewireModel

/// A part of the frame that was given to the scanner.
public struct ByteRange: Equatable, Sendable {
    public var offset: UInt32
    public var length: UInt32

    public init(offset: UInt32 = 0, length: UInt32 = 0) {
        self.offset = offset
        self.length = length
    }

    /// Frames are at most `Limits.ceilingFrame` bytes, so the numbers fit.
    @inline(__always)
    init(_ range: Range<Int>) {
        offset = UInt32(truncatingIfNeeded: range.lowerBound)
        length = UInt32(truncatingIfNeeded: range.count)
    }

    public var isEmpty: Bool { length == 0 }

    /// The same part as a range of byte offsets.
    @inlinable
    public var range: Range<Int> { Int(offset)..<(Int(offset) + Int(length)) }
}

/// Indices into an array of a batch, which has at most `StepBatch.entryLimit` entries: half the size of a range of integers.
@usableFromInline
struct IndexRange: Equatable, Sendable {
    private let start: UInt32
    private let end: UInt32

    @inline(__always)
    init(_ range: Range<Int>) {
        start = UInt32(truncatingIfNeeded: range.lowerBound)
        end = UInt32(truncatingIfNeeded: range.upperBound)
    }

    @inline(__always)
    var range: Range<Int> { Range(uncheckedBounds: (Int(start), Int(end))) }
}

/// A range of delivery ids, both ends included.
public struct DeliveryRange: Equatable, Sendable {
    public var first: UInt64
    public var last: UInt64

    public init(first: UInt64, last: UInt64) {
        self.first = first
        self.last = last
    }
}

/// The steps of one `Settle` or `Emit`, found by scanning the frame: numbers and positions, no copies.
/// One batch serves frame after frame; its arrays keep their memory, so in the steady state nothing
/// is allocated.
public struct StepBatch {
    /// One verdict over deliveries.
    public struct Outcome: Equatable, Sendable {
        public var first: UInt64
        /// Already `first` where the wire had 0.
        public var last: UInt64
        private let emissionIndices: IndexRange
        private let moreIndices: IndexRange
        private let errorIndex: Int32
        public var delayMS: UInt32
        public var kind: OutcomeKind

        @inline(__always)
        init(
            first: UInt64, last: UInt64, kind: OutcomeKind, emissions: Range<Int>, delayMS: UInt32, error: Int,
            more: Range<Int>
        ) {
            (self.first, self.last, self.kind, self.delayMS) = (first, last, kind, delayMS)
            emissionIndices = IndexRange(emissions)
            moreIndices = IndexRange(more)
            errorIndex = Int32(truncatingIfNeeded: error)
        }

        /// Indices into `emissions`.
        @inline(__always)
        public var emissions: Range<Int> { emissionIndices.range }
        /// Indices into `ranges`: further deliveries, ascending, beyond `last`.
        @inline(__always)
        public var more: Range<Int> { moreIndices.range }
        /// Index into `errors`; -1: none.
        public var error: Int { Int(errorIndex) }
    }

    /// One record that a worker emitted.
    public struct Emission: Equatable, Sendable {
        public var port: UInt32
        private let parentIndices: IndexRange
        /// The encoded `Record` without lineage.
        public var output: ByteRange
        /// The encoded `TraceContext`; empty when absent.
        public var trace: ByteRange
        /// `RecordIdentity.keyHash` of the key; 0: no key.
        public var keyHash: UInt64
        var flawOffset: UInt32
        @usableFromInline var flaw: Flaw?

        @inline(__always)
        init(
            port: UInt32, parents: Range<Int>, output: ByteRange, trace: ByteRange, keyHash: UInt64, flaw: Flaw?,
            flawOffset: UInt32
        ) {
            (self.port, self.output, self.trace, self.keyHash) = (port, output, trace, keyHash)
            (self.flaw, self.flawOffset) = (flaw, flawOffset)
            parentIndices = IndexRange(parents)
        }

        /// Indices into `parents`; empty: all deliveries of the outcome.
        @inline(__always)
        public var parents: Range<Int> { parentIndices.range }

        @inlinable
        public var isWellFormed: Bool { flaw == nil }

        /// `nil`: well-formed. Otherwise `.invalidOutput`; `faultDescription` says why.
        public var fault: Code? { flaw == nil ? nil : .invalidOutput }

        /// What is wrong and where, for a dead letter or a refusal; empty when well-formed.
        public var faultDescription: String {
            guard let flaw else { return "" }
            return "the output is not a valid record: \(flaw.sentence) (at byte \(flawOffset) of the frame)"
        }
    }

    /// How many entries each array may get out of one frame; more closes the connection. It bounds the
    /// memory that a frame of many two-byte emissions could otherwise claim (entries are larger than that).
    public static let entryLimit = Limits.entries

    public internal(set) var outcomes: [Outcome] = []
    public internal(set) var emissions: [Emission] = []
    public internal(set) var parents: [UInt64] = []
    public internal(set) var ranges: [DeliveryRange] = []
    public internal(set) var errors: [DeliveryError] = []

    /// Emit only: the source partition's name, 1 to 255 bytes of UTF-8.
    public var partition = ByteRange()
    /// Emit only.
    public var emitID: UInt64 = 0
    /// Emit only: at most `Limits.checkpoint` bytes.
    public var checkpoint = ByteRange()

    public init() {}

    mutating func removeAll() {
        outcomes.removeAll(keepingCapacity: true)
        emissions.removeAll(keepingCapacity: true)
        parents.removeAll(keepingCapacity: true)
        ranges.removeAll(keepingCapacity: true)
        errors.removeAll(keepingCapacity: true)
        partition = ByteRange()
        emitID = 0
        checkpoint = ByteRange()
    }
}
