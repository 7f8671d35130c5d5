import StagewireModel

/// A record in the broker's memory, wire-ready: tag 0x22 (field 4 of `Deliver`), minimal length, `Record` bytes.
///
/// ```
/// 22 len | 0a len  lineage | 12 len header  1a len payload ...
///        |  the broker's   |  the worker's output, verbatim
/// ```
/// It points at memory that a `StreamLog` or a `RecordBlock` owns, and is valid until that releases the record.
public struct RecordRef {
    public let start: UnsafeRawPointer
    /// Bytes of tag, length and record.
    public let wireLength: Int
    /// `RecordIdentity.keyHash` of the key; 0: no key.
    public let keyHash: UInt64

    @inlinable @inline(__always)
    init(start: UnsafeRawPointer, wireLength: Int, keyHash: UInt64) {
        self.start = start
        self.wireLength = wireLength
        self.keyHash = keyHash
    }

    /// Bytes of the record without tag and length: what credit charges for a delivery.
    @inlinable
    public var recordLength: Int { wireLength - 1 - Varint.lengthSize(wire: wireLength) }

    public var id: RecordID { withWire { bytes in bytes.id(LineageView.content(bytes).lowerBound + 2) } }

    /// The id of the source's record from which this one descends; its own when it is one.
    public var root: RecordID { withLineage { lineage, bytes in bytes.id(lineage.root) } }

    /// Microseconds since 1970 at which the root entered the broker.
    public var ingestTime: UInt64 { withLineage { lineage, bytes in lineage.ingestTime(bytes) } }

    /// Stages that have emitted this record and its ancestors.
    public var hopCount: Int {
        withLineage { lineage, bytes in
            let hops = lineage.hops(bytes)
            var at = hops.lowerBound
            var count = 0
            while at < hops.upperBound {
                at += 2 + Int(bytes.byte(at + 1))
                count += 1
            }
            return count
        }
    }

    /// The ids of the records it was derived from; at most `Limits.parents`.
    public func parentIDs() -> [RecordID] {
        withLineage { lineage, bytes in
            stride(from: lineage.parents.lowerBound, to: lineage.parents.upperBound, by: 18).map { bytes.id($0 + 2) }
        }
    }

    /// The `Record` message: lineage and output.
    public func copyRecordBytes() -> [UInt8] {
        withWire { bytes in bytes.copy((wireLength - recordLength)..<wireLength) }
    }

    @inline(__always)
    private func withLineage<Result>(_ body: (LineageView, RawSpan) -> Result) -> Result {
        withWire { bytes in body(LineageView(bytes), bytes) }
    }
}

/// Where the parts of a record's lineage lie, in bytes from the record's first wire byte. The broker wrote
/// them in ascending order with fixed widths, so that no general parser is needed:
///
/// `id(18) parents(18 each) truncated(2)? root(18)? | trace? ingest(9)? hops...` — what stands behind the bar is
/// carried on to descendants as it is.
struct LineageView {
    let id: Int
    let parents: Range<Int>
    let isTruncated: Bool
    let root: Int
    /// Trace context, ingest time and hops.
    let carried: Range<Int>
    /// The content of the trace context; empty when absent.
    let trace: Range<Int>
    /// The output begins where the lineage ends.
    var outputStart: Int { carried.upperBound }
    private let ingest: Int

    @inline(__always)
    init(_ bytes: RawSpan) {
        let content = LineageView.content(bytes)
        let end = content.upperBound
        id = content.lowerBound + 2
        var at = content.lowerBound + 18
        let firstParent = at
        while at < end, bytes.byte(at) == LineageTag.parent { at += 18 }
        parents = firstParent..<at
        isTruncated = at < end && bytes.byte(at) == LineageTag.truncated
        if isTruncated { at += 2 }
        if at < end, bytes.byte(at) == LineageTag.root {
            root = at + 2
            at += 18
        } else {
            root = id
        }
        carried = at..<end
        if at < end, bytes.byte(at) == LineageTag.trace {
            at += 1
            let traceLength = Int(Varint.read(bytes, &at))
            trace = at..<(at + traceLength)
            at += traceLength
        } else {
            trace = at..<at
        }
        ingest = at
    }

    /// Where the lineage's content lies.
    @inline(__always)
    static func content(_ bytes: RawSpan) -> Range<Int> {
        precondition(bytes.byte(0) == Varint.recordTag, "wire-ready bytes begin with the tag of Deliver.records")
        var at = 1 + Varint.lengthSize(wire: bytes.byteCount)
        precondition(bytes.byte(at) == UInt8(Field.lineage), "the broker's lineage comes first")
        at += 1
        let length = Int(Varint.read(bytes, &at))
        return at..<(at + length)
    }

    /// Absent means 0.
    @inline(__always)
    func ingestTime(_ bytes: RawSpan) -> UInt64 { hasIngest(bytes) ? bytes.word(ingest + 1) : 0 }

    func hops(_ bytes: RawSpan) -> Range<Int> { (hasIngest(bytes) ? ingest + 9 : ingest)..<carried.upperBound }

    private func hasIngest(_ bytes: RawSpan) -> Bool {
        ingest < carried.upperBound && bytes.byte(ingest) == LineageTag.ingest
    }
}

/// Tags of `Lineage` and `Hop`. The id and each parent are 16 bytes, so a tag and a length byte make 18.
enum LineageTag {
    static let id: UInt8 = 0x0a
    static let parent: UInt8 = 0x12
    static let truncated: UInt8 = 0x18
    static let root: UInt8 = 0x22
    static let trace: UInt8 = 0x2a
    static let ingest: UInt8 = 0x31
    static let hop: UInt8 = 0x3a
    static let run: UInt8 = 0x08
    static let delta: UInt8 = 0x10
    static let attempt: UInt8 = 0x18
}

/// Varints that the broker itself writes and reads back.
@usableFromInline
enum Varint {
    /// Field 4 of `Deliver`, length-delimited.
    static let recordTag: UInt8 = 0x22

    /// Bytes that `value` takes: its bits divided by seven, rounded up. 9/64 stands for 1/7, which is exact
    /// enough for 64 bits and needs no division.
    @inline(__always)
    static func size(_ value: UInt64) -> Int {
        ((63 &- (value | 1).leadingZeroBitCount) &* 9 &+ 73) &>> 6
    }

    /// Bytes of tag, length and a record of `length` bytes.
    @inline(__always)
    static func wireLength(_ length: Int) -> Int { 1 &+ size(UInt64(length)) &+ length }

    /// Bytes of the length prefix in `wire` bytes of tag, length and record: a length of n bytes tells up to
    /// 128^n - 1, and stands for that many bytes more than itself and the tag.
    @inlinable @inline(__always)
    static func lengthSize(wire: Int) -> Int {
        if wire < 0x80 + 2 { return 1 }
        if wire < 0x4000 + 3 { return 2 }
        if wire < 0x20_0000 + 4 { return 3 }
        precondition(wire < 0x1000_0000 + 5, "records are within the frame ceiling")
        return 4
    }

    /// Reads one that the broker wrote.
    @inline(__always)
    static func read(_ bytes: RawSpan, _ at: inout Int) -> UInt64 {
        var byte = bytes.byte(at)
        var value = UInt64(byte & 0x7f)
        var shift: UInt64 = 7
        at &+= 1
        while byte >= 0x80 {
            byte = bytes.byte(at)
            value |= UInt64(byte & 0x7f) &<< shift
            shift &+= 7
            at &+= 1
        }
        return value
    }
}

extension RawSpan {
    @inline(__always)
    func id(_ offset: Int) -> RecordID { RecordID(low: word(offset), high: word(offset + 8)) }
}
