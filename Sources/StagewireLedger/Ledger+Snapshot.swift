/// A snapshot: the ledger's state, and copies of the few records that old segments would have to be kept for. Its bytes are
/// framed and checked by whoever stores them; this is the content.
extension Ledger {
    /// Bytes of the records needed in entries below `cut`: exact for copies, an estimate where extents are needed in part.
    public func liveBytes(below cut: UInt64) -> Int {
        var total = strayBytes
        for (index, stream) in streams.enumerated() {
            let old = stream.extents.entries(below: cut)
            total += stream.edited.values.reduce(0) { $0 + ($1.place.sequence < cut ? $1.bytes.count : 0) }
            if old.isEmpty { continue }
            let needed = needed(index)
            for extent in old {
                total += extent.bytes / max(1, extent.count) * needed.count(in: extent.first..<extent.end)
            }
        }
        return total
    }

    /// Bytes of the records that the last snapshot has copies of.
    public var strayBytes: Int {
        streams.reduce(0) { $0 + $1.strays.values.reduce(0) { $0 + $1.count } }
    }

    /// A snapshot is about to be made that stands for entries below `cut`: nothing is joined with them any more.
    public mutating func close(below cut: UInt64) { border = max(border, cut) }

    /// The state, with copies of all records that are needed from entries below `cut`; afterwards nothing below it is.
    ///
    /// - Precondition: `close(below: cut)`, for this and for the one that goes on
    /// - Parameters:
    ///   - old: the records of the snapshot before this one
    public func snapshot(
        cutting cut: UInt64, strays old: [UInt8], fetch: EntryFetch
    ) throws -> Snapshot {
        try SnapshotCopies.check(old, areOf: snapshots, unless: streams.allSatisfy(\.strays.isEmpty))
        var copy = self
        copy.snapshots += 1
        var records = SnapshotCopies.head(of: copy.snapshots)
        for index in streams.indices {
            let needed = needed(index)
            var strays: [UInt64: Range<Int>] = [:]
            for (sequence, range) in streams[index].strays.sorted(by: { $0.key < $1.key })
            where needed.contains(sequence) {
                guard range.upperBound <= old.count else {
                    throw LedgerFlaw.about("record \(sequence) of \(streams[index].name) is not in the last snapshot")
                }
                strays[sequence] = records.appendCopy(of: old[range])
            }
            for extent in streams[index].extents.entries(below: cut) where needed.overlaps(extent.first..<extent.end) {
                for record in try extent.records(fetch) where needed.contains(record.sequence) {
                    strays[record.sequence] = records.appendCopy(of: record.bytes)
                }
            }
            for (number, record) in streams[index].edited.sorted(by: { $0.key < $1.key })
            where record.place.sequence < cut {
                strays[number] = records.appendCopy(of: try record.read(number, fetch).bytes)
            }
            copy.streams[index].strays = strays
            copy.streams[index].edited = streams[index].edited.filter { $0.value.place.sequence >= cut }
            copy.streams[index].extents.forget(below: cut)
        }
        return Snapshot(ledger: copy, records: records)
    }

    /// A snapshot made of an earlier state of this ledger is durable: its copies stand for what it cut.
    public mutating func adopt(_ snapshot: Ledger, cutting cut: UInt64) {
        snapshots = snapshot.snapshots
        retain(from: snapshot.retained)
        for index in snapshot.streams.indices {
            streams[index].strays = snapshot.streams[index].strays
            streams[index].extents.forget(below: cut)
            streams[index].edited = streams[index].edited.filter { $0.value.place.sequence >= cut }
        }
    }
}

/// A ledger and the records that it has copies of.
public struct Snapshot: Sendable {
    public var ledger: Ledger
    /// The snapshot's number, then wire-ready records; `Ledger.Stream.strays` says which is where.
    public var records: [UInt8]

    public init(ledger: Ledger, records: [UInt8]) {
        self.ledger = ledger
        self.records = records
    }

    public func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        ledger.encode(into: &bytes)
        // Records may be many: no second copy while the array grows.
        bytes.reserveCapacity(bytes.count + records.count + 16)
        bytes.put(records)
        return bytes
    }

    public init(_ payload: RawSpan) throws(LedgerFlaw) {
        var cursor = PayloadCursor(payload)
        ledger = try Ledger.decode(payload, &cursor)
        records = try cursor.data(payload)
        guard cursor.isAtEnd else { throw LedgerFlaw(what: "something follows the snapshot", offset: cursor.offset) }
        for stream in ledger.streams where stream.strays.values.contains(where: { $0.upperBound > records.count }) {
            throw LedgerFlaw(what: "a record of \(stream.name) lies outside of the snapshot", offset: cursor.offset)
        }
        try SnapshotCopies.check(records, areOf: ledger.snapshots, unless: records.isEmpty)
    }
}

extension [UInt8] {
    /// Returns where it lies now.
    fileprivate mutating func appendCopy(of bytes: ArraySlice<UInt8>) -> Range<Int> {
        append(contentsOf: bytes)
        return count - bytes.count..<count
    }
}

/// The copies of a snapshot begin with its number, for those of another one would be taken for them without a trace.
enum SnapshotCopies {
    static func head(of number: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) } }

    /// - Parameter isUnused: nothing is read of them.
    static func check(_ copies: [UInt8], areOf number: UInt64, unless isUnused: Bool) throws(LedgerFlaw) {
        guard isUnused || copies.starts(with: head(of: number)) else {
            throw .about("the copies of snapshot \(number) are not there, or those of another one are")
        }
    }
}
