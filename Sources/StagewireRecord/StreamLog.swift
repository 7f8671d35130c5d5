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
/// A log has one owner: copies would share the chunks and the index. It is mutated in place.
public struct StreamLog {
    /// The ring's smallest size; it doubles when full.
    private static let smallestIndex = 64
    /// Above this size it halves when seven eighths are empty: a stream that breathes must not copy its ring each time.
    private static let keptIndex = 2048

    @usableFromInline var index = EntryRing()
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
    public var reservedBytes: Int { chunks.reservedBytes + index.reservedBytes }

    /// Appends the record `stamp ++ output` and returns its sequence.
    /// - Parameters:
    ///   - output: what the scanner accepted; copied verbatim.
    ///   - keyHash: the emission's.
    public mutating func append(_ stamp: borrowing LineageStamp, output: RawSpan, keyHash: UInt64) -> UInt64 {
        let length = stamp.length + output.byteCount
        let start = write(record: length) { writer in
            stamp.put(into: &writer)
            writer.put(output)
        }
        return enter(start, wireLength: Varint.wireLength(length), keyHash)
    }

    /// Appends what a transform made of one record: the ordinary case, stamped where it will lie.
    /// - Parameters:
    ///   - origin: of the emitting stage's port.
    ///   - ordinal: how many records of the same parent and port precede it in its outcome.
    ///   - hop: see `LineageStamp.derived`.
    ///   - output: what the scanner accepted; copied verbatim.
    ///   - keyHash: the emission's.
    /// - Returns: bytes of the record without tag and length.
    public mutating func append(
        derivedFrom parent: RecordRef, _ origin: OriginID, ordinal: UInt64, hop: HopStamp, output: RawSpan,
        keyHash: UInt64
    ) -> Int {
        parent.withWire { bytes in
            let view = LineageView(bytes)
            let parentID = bytes.id(view.id)
            let lineage = DerivedLineage(view, bytes, id: origin.derived(parent: parentID, ordinal: ordinal), hop)
            let length = lineage.fieldLength + output.byteCount
            let start = write(record: length) { writer in
                lineage.put(into: &writer, parentID, bytes)
                writer.put(output)
            }
            _ = enter(start, wireLength: Varint.wireLength(length), keyHash)
            return length
        }
    }

    /// Appends a source's record, stamped where it will lie.
    /// - Parameters:
    ///   - trace: an encoded `TraceContext` that the scanner accepted; may be empty.
    ///   - hop: its wall time is the ingest time, its attempt 1.
    ///   - output: what the scanner accepted; copied verbatim.
    ///   - keyHash: the emission's.
    /// - Returns: bytes of the record without tag and length.
    public mutating func append(
        source id: RecordID, trace: RawSpan, hop: HopStamp, output: RawSpan, keyHash: UInt64
    ) -> Int {
        let lineage = SourceLineage(ingestTime: hop.wall, run: hop.run)
        let length = lineage.fieldLength(trace) + output.byteCount
        let start = write(record: length) { writer in
            lineage.put(into: &writer, id, trace)
            writer.put(output)
        }
        _ = enter(start, wireLength: Varint.wireLength(length), keyHash)
        return length
    }

    /// Appends a record that was written down, wire-ready, and returns its sequence.
    @discardableResult
    public mutating func append(wire: RawSpan) -> UInt64 {
        let start = chunks.write(wire.byteCount, last: end) { writer in writer.put(wire) }
        return enter(start, wireLength: wire.byteCount, RecordRef.keyHash(wire: wire))
    }

    /// Appends a copy of a record of another log.
    public mutating func append(copying record: RecordRef) {
        let start = chunks.write(record.wireLength, last: end) { writer in record.withWire { writer.put($0) } }
        _ = enter(start, wireLength: record.wireLength, record.keyHash)
    }

    /// Leaves out a sequence of which nobody needs the record. It must not be asked for.
    public mutating func appendNothing() { _ = enter(Self.nothing, wireLength: 0, 0) }

    private static var nothing: UnsafeRawPointer { UnsafeRawPointer(bitPattern: 1)! }

    /// Lets `fill` write a record of `length` bytes behind its tag and length.
    @inline(__always)
    private func write(record length: Int, _ fill: (inout SlabWriter) -> Void) -> UnsafeRawPointer {
        precondition(length <= Limits.ceilingFrame, "a record fits a frame")
        return chunks.write(Varint.wireLength(length), last: end) { writer in
            writer.put(byte: Varint.recordTag)
            writer.put(varint: UInt64(length))
            fill(&writer)
        }
    }

    @inline(__always)
    private mutating func enter(_ start: UnsafeRawPointer, wireLength: Int, _ keyHash: UInt64) -> UInt64 {
        if count == index.capacity { resizeIndex(max(Self.smallestIndex, index.capacity * 2)) }
        let sequence = end
        index.set(sequence, LogEntry(start: start, keyHash: keyHash, wireLength: UInt32(wireLength)))
        end = sequence + 1
        bytes += wireLength
        return sequence
    }

    /// Lends the bytes of the records with these sequences, wire-ready, in as many pieces as they lie apart in memory.
    public func forEachPiece(_ sequences: Range<UInt64>, _ body: (UnsafeRawBufferPointer) -> Void) {
        precondition(sequences.lowerBound >= tail && sequences.upperBound <= end, "retained sequences")
        var start: UnsafeRawPointer?
        var length = 0
        for sequence in sequences {
            let entry = index[sequence]
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
        return index[sequence].ref
    }

    /// The records from `sequence` on as long as `body` wants more, `end` at most: one call for many.
    /// - Parameter body: returns whether it has taken the record.
    @inlinable
    public func walk(from sequence: UInt64, to end: UInt64, _ body: (RecordRef) -> Bool) {
        precondition(sequence >= tail && end <= self.end, "retained sequences")
        var next = sequence
        while next < end, body(index[next].ref) { next &+= 1 }
    }

    /// Releases every record before `sequence`, at most all of them.
    public mutating func release(before sequence: UInt64) {
        precondition(sequence <= end, "what is released was appended")
        guard sequence > tail else { return }
        while tail < sequence {
            bytes -= Int(index[tail].wireLength)
            tail += 1
        }
        chunks.release(before: tail)
        if index.capacity > Self.keptIndex, count <= index.capacity / 8 { resizeIndex(index.capacity / 2) }
    }

    private mutating func resizeIndex(_ capacity: Int) {
        precondition(capacity >= count, "a ring that holds everything")
        index = index.resized(capacity, tail..<end)
    }
}
