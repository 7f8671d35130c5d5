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

    /// An empty log that goes on with this sequence.
    public init(from sequence: UInt64) {
        tail = sequence
        end = sequence
    }

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

    /// Appends a record that was written down, wire-ready, and returns its sequence.
    @discardableResult
    public mutating func append(wire: RawSpan) -> UInt64 {
        if count == index.count { resizeIndex(max(Self.smallestIndex, index.count * 2)) }
        let sequence = end
        let start = chunks.write(wire.byteCount, last: sequence) { writer in writer.put(wire) }
        index[position(sequence)] = Entry(
            start: start, keyHash: RecordRef.keyHash(wire: wire), wireLength: UInt32(wire.byteCount))
        end = sequence + 1
        bytes += wire.byteCount
        return sequence
    }

    /// Appends a copy of a record of another log.
    public mutating func append(copying record: RecordRef) {
        if count == index.count { resizeIndex(max(Self.smallestIndex, index.count * 2)) }
        let start = chunks.write(record.wireLength, last: end) { writer in record.withWire { writer.put($0) } }
        index[position(end)] = Entry(start: start, keyHash: record.keyHash, wireLength: UInt32(record.wireLength))
        end += 1
        bytes += record.wireLength
    }

    /// Leaves out a sequence of which nobody needs the record. It must not be asked for.
    public mutating func appendNothing() {
        if count == index.count { resizeIndex(max(Self.smallestIndex, index.count * 2)) }
        index[position(end)] = Entry(start: Self.nothing, keyHash: 0, wireLength: 0)
        end += 1
    }

    private static var nothing: UnsafeRawPointer { UnsafeRawPointer(bitPattern: 1)! }

    /// Lends the bytes of the records with these sequences, wire-ready, in as many pieces as they lie apart in memory.
    public func forEachPiece(_ sequences: Range<UInt64>, _ body: (UnsafeRawBufferPointer) -> Void) {
        precondition(sequences.lowerBound >= tail && sequences.upperBound <= end, "retained sequences")
        var start: UnsafeRawPointer?
        var length = 0
        for sequence in sequences {
            let entry = index[position(sequence)]!
            if let begun = start, begun + length == entry.start {
                length += Int(entry.wireLength)
            } else {
                if let start { body(UnsafeRawBufferPointer(start: start, count: length)) }
                start = entry.start
                length = Int(entry.wireLength)
            }
        }
        if let start { body(UnsafeRawBufferPointer(start: start, count: length)) }
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
