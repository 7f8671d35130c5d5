import StagewireModel

extension RecordRef {
    /// Whether bytes that were stored are one wire-ready record, as this broker writes them: only such may become a record
    /// again, for what reads lineage and output relies on it. The output is checked as a worker's is.
    public static func isWellFormed(wire bytes: RawSpan) -> Bool {
        guard bytes.byteCount >= 2, bytes.byteCount <= Limits.ceilingFrame else { return false }
        do throws(Malformed) {
            var cursor = FieldCursor(0..<bytes.byteCount, in: bytes)
            guard try cursor.tag(bytes) == UInt32(Varint.recordTag) else { return false }
            let record = try cursor.delimited(bytes)
            guard cursor.isAtEnd else { return false }
            var content = FieldCursor(record, in: bytes)
            guard try content.tag(bytes) == Field.lineage else { return false }
            let lineage = try content.delimited(bytes)
            guard isLineage(bytes, lineage) else { return false }
            _ = try OutputScanner.scan(bytes, lineage.upperBound..<record.upperBound)
            return true
        } catch { return false }
    }

    /// `LineageStamp`'s order and widths, nothing else.
    private static func isLineage(_ bytes: RawSpan, _ range: Range<Int>) -> Bool {
        var walk = LineageWalk(at: range.lowerBound, end: range.upperBound)
        guard walk.takeID(LineageTag.id, bytes) else { return false }
        var parents = 0
        while walk.takeID(LineageTag.parent, bytes) { parents += 1 }
        guard parents <= Limits.parents else { return false }
        if walk.isNext(LineageTag.truncated, bytes), !walk.skip(2) { return false }
        _ = walk.takeID(LineageTag.root, bytes)
        if walk.isNext(LineageTag.trace, bytes), !walk.takeTrace(bytes) { return false }
        if walk.isNext(LineageTag.ingest, bytes), !walk.skip(9) { return false }
        var hops = 0
        while walk.isNext(LineageTag.hop, bytes) {
            guard walk.takeHop(bytes) else { return false }
            hops += 1
        }
        return walk.at == walk.end && hops <= Limits.depth
    }
}

/// A position in a lineage. Each call says whether what was expected is there, and has stepped over it then.
private struct LineageWalk {
    private(set) var at: Int
    let end: Int

    func isNext(_ tag: UInt8, _ bytes: RawSpan) -> Bool { at < end && bytes.byte(at) == tag }

    mutating func skip(_ count: Int) -> Bool {
        guard count <= end - at else { return false }
        at += count
        return true
    }

    mutating func takeID(_ tag: UInt8, _ bytes: RawSpan) -> Bool {
        guard end - at >= 18, bytes.byte(at) == tag, bytes.byte(at + 1) == 16 else { return false }
        at += 18
        return true
    }

    mutating func takeTrace(_ bytes: RawSpan) -> Bool {
        at += 1
        var cursor = FieldCursor(at..<end, in: bytes)
        guard let content = try? cursor.delimited(bytes), content.count <= LineageStamp.traceLimit else { return false }
        at = content.upperBound
        return true
    }

    mutating func takeHop(_ bytes: RawSpan) -> Bool {
        guard end - at >= 2, bytes.byte(at + 1) < 0x80 else { return false }
        let limit = at + 2 + Int(bytes.byte(at + 1))
        guard limit <= end else { return false }
        var cursor = FieldCursor(at + 2..<limit, in: bytes)
        var last: UInt32 = 0
        // Each at most once and as short as can be, so that as many hops as there may be stay within `bound`.
        while !cursor.isAtEnd {
            guard let tag = try? cursor.tag(bytes), let value = try? cursor.minimalVarint(bytes), tag > last,
                tag == LineageTag.delta || value <= UInt32.max && (tag == LineageTag.run || tag == LineageTag.attempt)
            else { return false }
            last = tag
        }
        at = limit
        return true
    }
}
