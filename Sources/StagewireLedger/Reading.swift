/// Where records of a stream lie that are to be read back: a value, so that the reading itself can be done elsewhere.
public struct RecordPlan: Sendable {
    fileprivate var strays: [(sequence: UInt64, range: Range<Int>)] = []
    fileprivate var extents: [Ledger.Extent] = []
    fileprivate let first: UInt64
    fileprivate let snapshots: UInt64

    /// Copies in the snapshot are among them.
    public var needsSnapshot: Bool { !strays.isEmpty }

    /// - Parameters:
    ///   - snapshot: the records of the snapshot, if `needsSnapshot`
    ///   - fetch: the payload of the entry at a place
    /// - Returns: in order
    public func read(snapshot: [UInt8], fetch: (EntryPlace) throws -> [UInt8]) throws -> [StoredRecord] {
        try SnapshotCopies.check(snapshot, areOf: snapshots, unless: strays.isEmpty)
        var records: [StoredRecord] = []
        for (sequence, range) in strays {
            guard range.upperBound <= snapshot.count else {
                throw LedgerFlaw(what: "a record lies outside of the snapshot", offset: range.lowerBound)
            }
            records.append(StoredRecord(sequence: sequence, bytes: snapshot[range]))
        }
        for extent in extents {
            let payload = try fetch(extent.place)
            records += try WireRecords.split(payload, extent).filter { $0.sequence >= first }
        }
        for record in records { try record.check() }
        return records
    }
}

extension Ledger {
    /// Where the records of a subscription's stream lie from a sequence on: some that lie together, about so many bytes.
    /// Empty when none is there (any more).
    public func plan(subscription number: Int, from sequence: UInt64, bytes: Int) -> RecordPlan {
        let stream = streams[subscriptions[number].stream]
        var plan = RecordPlan(first: sequence, snapshots: snapshots)
        var size = 0
        for (stray, range) in stream.strays.sorted(by: { $0.key < $1.key }) where stray >= sequence && size < bytes {
            plan.strays.append((stray, range))
            size += range.count
        }
        if size < bytes { plan.extents = stream.extents.from(sequence, bytes: bytes - size) }
        return plan
    }
}
