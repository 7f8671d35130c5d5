/// Where records of a stream lie that are to be read back: a value, so that the reading itself can be done elsewhere.
public struct RecordPlan: Sendable {
    fileprivate var strays: [(sequence: UInt64, range: Range<Int>)] = []
    fileprivate var extents: [Ledger.Extent] = []
    fileprivate let first: UInt64
    /// Of the ledger that knows the copies.
    fileprivate var snapshots: UInt64 = 0

    /// Nothing, so far.
    init(first: UInt64) { self.first = first }

    init(_ extent: Ledger.Extent) {
        first = extent.first
        extents = [extent]
    }

    /// Copies in the snapshot are among them.
    public var needsSnapshot: Bool { !strays.isEmpty }

    /// - Parameters:
    ///   - snapshot: the records of the snapshot, if `needsSnapshot`
    /// - Returns: in order
    public func read(snapshot: [UInt8], fetch: EntryFetch) throws -> [StoredRecord] {
        try SnapshotCopies.check(snapshot, areOf: snapshots, unless: strays.isEmpty)
        var records: [StoredRecord] = []
        for (sequence, range) in strays {
            guard range.upperBound <= snapshot.count else {
                throw LedgerFlaw(what: "a record lies outside of the snapshot", offset: range.lowerBound)
            }
            records.append(StoredRecord(sequence: sequence, bytes: snapshot[range]))
        }
        for extent in extents {
            records += try extent.records(fetch).filter { $0.sequence >= first }
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
        var plan = RecordPlan(first: sequence)
        plan.snapshots = snapshots
        var size = 0
        for (stray, range) in stream.strays.sorted(by: { $0.key < $1.key })
        where stray >= sequence && stray < LedgerLimit.firstEdited && size < bytes {
            plan.strays.append((stray, range))
            size += range.count
        }
        if size < bytes { plan.extents = stream.extents.from(sequence, bytes: bytes - size) }
        return plan
    }
}
