import StagewireModel

/// One stage on a record's way, as its lineage has it.
public struct RecordHop: Equatable, Sendable {
    /// Of the worker that emitted the record; `Router.run(_:)` has its name.
    public var run: UInt32
    /// When, in microseconds since 1970. A clock that was set back counts as no distance from the ingest time.
    public var time: UInt64
    /// Which delivery led to it, from 1.
    public var attempt: UInt32

    public init(run: UInt32, time: UInt64, attempt: UInt32) {
        self.run = run
        self.time = time
        self.attempt = attempt
    }
}

extension RecordRef {
    /// The stages that have emitted this record and its ancestors, from the source on.
    public func hops() -> [RecordHop] {
        withWire { bytes in
            let lineage = LineageView(bytes)
            let range = lineage.hops(bytes)
            let ingest = lineage.ingestTime(bytes)
            var hops: [RecordHop] = []
            var at = range.lowerBound
            while at < range.upperBound {
                let end = at + 2 + Int(bytes.byte(at + 1))
                hops.append(RecordRef.hop(bytes, (at + 2)..<end, ingest: ingest))
                at = end
            }
            return hops
        }
    }

    /// Whether lineage names only the first `Limits.parents` of more parents.
    public var hasMoreParents: Bool { withWire { bytes in LineageView(bytes).isTruncated } }

    /// `LineageStamp` leaves out zeros, and an attempt of 1.
    private static func hop(_ bytes: RawSpan, _ range: Range<Int>, ingest: UInt64) -> RecordHop {
        var hop = RecordHop(run: 0, time: ingest, attempt: 1)
        var at = range.lowerBound
        while at < range.upperBound {
            let tag = bytes.byte(at)
            at += 1
            let value = Varint.read(bytes, &at)
            switch tag {
            case LineageTag.run: hop.run = UInt32(truncatingIfNeeded: value)
            case LineageTag.delta: hop.time = ingest &+ value
            case LineageTag.attempt: hop.attempt = UInt32(truncatingIfNeeded: value)
            default: preconditionFailure("the broker writes these three fields into a hop")
            }
        }
        return hop
    }
}
