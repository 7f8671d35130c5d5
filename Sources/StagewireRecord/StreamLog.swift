import StagewireModel

/// One output port's records, in order, wire-ready.
///
/// ```
/// sequence   tail ........................... end
/// index      [start length keyHash] ...            a ring of entries, position = sequence mod capacity
/// chunks     |rec|rec|rec|rec    |  |rec|rec|      256 KiB each; large records have one of their own
/// ```
/// Consecutive records of one chunk are adjacent in memory, so that a delivery of many is one copy. A
/// chunk whose last record is released is used again, the latest first, while it is still in the cache.
///
/// A log has one owner: copies would share the chunks. It is mutated in place.
public struct StreamLog {
    private struct Entry {
        var start: UnsafeRawPointer
        var keyHash: UInt64
        var wireLength: UInt32
    }

    /// The ring's smallest size; it doubles when full and halves when seven eighths are empty.
    private static let smallestIndex = 64

    private var index: [Entry?] = []
    private let chunks = ChunkStore()

    /// First retained sequence; equal to `end` when nothing is.
    public private(set) var tail: UInt64 = 0
    /// The sequence that the next record gets.
    public private(set) var end: UInt64 = 0
    /// Sum of `wireLength` over the retained records.
    public private(set) var bytes = 0

    public init() {}

    /// Retained records.
    public var count: Int { Int(end - tail) }

    /// Bytes of memory held by chunks, spare ones included, and by the index.
    public var reservedBytes: Int { chunks.reservedBytes + index.count * MemoryLayout<Entry?>.stride }

    /// Appends the record `stamp ++ output` and returns its sequence.
    /// - Parameters:
    ///   - output: what the scanner accepted; copied verbatim.
    ///   - keyHash: the emission's.
    public mutating func append(_ stamp: borrowing LineageStamp, output: RawSpan, keyHash: UInt64) -> UInt64 {
        let length = stamp.length + output.byteCount
        precondition(length <= Limits.ceilingFrame, "a record fits a frame")
        let wireLength = 1 + Varint.size(UInt64(length)) + length
        if count == index.count { resizeIndex(max(Self.smallestIndex, index.count * 2)) }
        let sequence = end
        let start = chunks.write(wireLength, last: sequence) { writer in
            writer.put(byte: Varint.recordTag)
            writer.put(varint: UInt64(length))
            stamp.put(into: &writer)
            writer.put(output)
        }
        index[position(sequence)] = Entry(start: start, keyHash: keyHash, wireLength: UInt32(wireLength))
        end = sequence + 1
        bytes += wireLength
        return sequence
    }

    /// The record with that sequence, `tail <= sequence < end`; valid until it is released.
    public func ref(_ sequence: UInt64) -> RecordRef {
        precondition(sequence >= tail && sequence < end, "a retained sequence")
        let entry = index[position(sequence)]!
        return RecordRef(start: entry.start, wireLength: Int(entry.wireLength), keyHash: entry.keyHash)
    }

    /// Releases every record before `sequence`, at most all of them.
    public mutating func release(before sequence: UInt64) {
        precondition(sequence <= end, "what is released was appended")
        guard sequence > tail else { return }
        while tail < sequence {
            bytes -= Int(index[position(tail)]!.wireLength)
            tail += 1
        }
        chunks.release(before: tail)
        if index.count > Self.smallestIndex, count <= index.count / 8 { resizeIndex(index.count / 2) }
    }

    /// The ring's size is a power of two.
    @inline(__always)
    private func position(_ sequence: UInt64) -> Int {
        Int(truncatingIfNeeded: sequence) & (index.count &- 1)
    }

    private mutating func resizeIndex(_ capacity: Int) {
        precondition(capacity >= count && capacity.nonzeroBitCount == 1, "a ring that holds everything")
        var larger = [Entry?](repeating: nil, count: capacity)
        for sequence in tail..<end {
            larger[Int(truncatingIfNeeded: sequence) & (capacity - 1)] = index[position(sequence)]
        }
        index = larger
    }
}
