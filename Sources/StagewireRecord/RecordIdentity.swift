import StagewireModel

/// Hashing of keys and origins: MurmurHash3, the 128-bit variant for 64-bit machines, seed 0. The algorithm
/// is Austin Appleby's and in the public domain; it is fast and well spread, and it is not a defence against
/// somebody who wants two records to collide (nothing here depends on that).
public enum RecordIdentity {
    /// The hash of `bytes`.
    public static func hash(_ bytes: RawSpan) -> RecordID { hash(bytes, seed: 0) }

    /// With another seed than ours: the published verification value needs 256 of them.
    static func hash(_ bytes: RawSpan, seed: UInt64) -> RecordID {
        var state = MurmurState(seed: seed)
        let count = bytes.byteCount
        let blocks = count & ~15
        var offset = 0
        while offset < blocks {
            state.mix(bytes.word(offset), bytes.word(offset + 8))
            offset += 16
        }
        // A rest of at least eight bytes is read as whole words; the last one overlaps, and is shifted into place.
        let rest = count & 15
        let low = rest >= 8 ? bytes.word(blocks) : bytes.ending(at: count, rest)
        let high = rest > 8 ? bytes.ending(at: count, rest &- 8) : 0
        return state.finish(tail: low, high, count: count)
    }

    /// The hash by which records of one key are kept in order: the low half of `hash`, with 1 in the place
    /// of 0, for 0 stands for "no key".
    public static func keyHash(_ bytes: RawSpan) -> UInt64 { max(1, hash(bytes).low) }

    /// The same for a part of a frame. Many keys are no longer than a word: nothing to loop over.
    @inline(__always)
    static func keyHash(_ bytes: RawSpan, _ key: Range<Int>) -> UInt64 {
        let count = key.upperBound &- key.lowerBound
        guard count <= 8 else { return keyHash(bytes.extracting(key)) }
        return max(1, MurmurState().finish(tail: bytes.short(key), 0, count: count).low)
    }

    /// The hash of a text's UTF-8 bytes.
    static func hash(_ text: String) -> RecordID { hash(Array(text.utf8).span.bytes) }
}

extension RawSpan {
    /// The last `count` (0 to 7) bytes before `end`, little-endian, the missing ones zero.
    @inline(__always)
    fileprivate func ending(at end: Int, _ count: Int) -> UInt64 {
        if count == 0 { return 0 }
        if end >= 8 { return word(end &- 8) &>> UInt64(64 &- 8 &* count) }
        var word: UInt64 = 0
        for offset in (end &- count..<end).reversed() { word = word &<< 8 | UInt64(byte(offset)) }
        return word
    }
}

/// The hash's inner state between blocks of 16 bytes. Copying it resumes from a common beginning.
struct MurmurState: Sendable {
    private var h1: UInt64
    private var h2: UInt64
    private static let c1: UInt64 = 0x87c3_7b91_1142_53d5
    private static let c2: UInt64 = 0x4cf5_ad43_2745_937f

    init(seed: UInt64 = 0) {
        h1 = seed
        h2 = seed
    }

    /// Mixes in one block, as two little-endian words.
    @inline(__always)
    mutating func mix(_ low: UInt64, _ high: UInt64) {
        h1 ^= Self.first(low)
        h1 = (rotate(h1, 27) &+ h2) &* 5 &+ 0x52dc_e729
        h2 ^= Self.second(high)
        h2 = (rotate(h2, 31) &+ h1) &* 5 &+ 0x3849_5ab5
    }

    /// The hash, when the rest (fewer than 16 bytes) has been padded with zeros to two words. A word of
    /// zeros mixes to zero, so absent bytes need no special case.
    @inline(__always)
    func finish(tail low: UInt64, _ high: UInt64, count: Int) -> RecordID {
        var a = h1 ^ Self.first(low)
        var b = h2 ^ Self.second(high)
        a ^= UInt64(count)
        b ^= UInt64(count)
        a &+= b
        b &+= a
        a = Self.spread(a)
        b = Self.spread(b)
        a &+= b
        b &+= a
        return RecordID(low: a, high: b)
    }

    @inline(__always)
    private static func first(_ word: UInt64) -> UInt64 { rotate(word &* c1, 31) &* c2 }

    @inline(__always)
    private static func second(_ word: UInt64) -> UInt64 { rotate(word &* c2, 33) &* c1 }

    /// The finalizer: every bit of the input changes every bit of the output with probability one half.
    @inline(__always)
    private static func spread(_ word: UInt64) -> UInt64 {
        var k = word
        k ^= k >> 33
        k &*= 0xff51_afd7_ed55_8ccd
        k ^= k >> 33
        k &*= 0xc4ce_b9fe_1a85_ec53
        k ^= k >> 33
        return k
    }
}

@inline(__always)
private func rotate(_ word: UInt64, _ count: UInt64) -> UInt64 { word &<< count | word &>> (64 - count) }

/// The hash of where records are made, from which their ids follow: an id names a position in the
/// pipeline's work, never the content. A replay through deterministic stages gives the same ids.
public struct OriginID: Sendable {
    /// The 16 bytes of the origin, already mixed in: they are the first block of every id's input.
    private let start: MurmurState

    /// Where a stage derives records.
    public init(pipeline: String, stage: String, port: String) {
        self.init(parts: [pipeline, stage, port])
    }

    /// Where a source's records come from.
    public init(pipeline: String, stage: String, partition: String) {
        self.init(parts: [pipeline, stage, partition])
    }

    private init(parts: [String]) {
        let origin = RecordIdentity.hash(parts.joined(separator: "\0"))
        var state = MurmurState()
        state.mix(origin.low, origin.high)
        start = state
    }

    /// The id of the `ordinal`-th (from 0) record with this parent and port in one outcome.
    @inline(__always)
    public func derived(parent: RecordID, ordinal: UInt64) -> RecordID {
        var state = start
        state.mix(parent.low, parent.high)
        return state.finish(tail: ordinal, 0, count: 40)
    }

    /// The same with several parents, all of them, in the order in which the emission names them.
    public func derived(parents: [RecordID], ordinal: UInt64) -> RecordID {
        var state = start
        for parent in parents { state.mix(parent.low, parent.high) }
        return state.finish(tail: ordinal, 0, count: 24 + 16 * parents.count)
    }

    /// The id of the `ordinal`-th (from 0) record of a source's Emit.
    public func source(emitID: UInt64, ordinal: UInt64) -> RecordID {
        var state = start
        state.mix(emitID, ordinal)
        return state.finish(tail: 0, 0, count: 32)
    }
}
