import StagewireRecord

/// A record that was read back, wire-ready.
public struct StoredRecord: Sendable {
    public var sequence: UInt64
    public var bytes: ArraySlice<UInt8>

    /// Nothing but a record may reach the router and the workers.
    func check() throws(LedgerFlaw) {
        guard RecordRef.isWellFormed(wire: bytes.span.bytes) else {
            throw .about("the bytes of record \(sequence) are none of a record")
        }
    }
}

/// Lends the payloads of consecutive entries of kind `steps`, from the one at a place to the one with a sequence.
public typealias EntryFetch = (_ first: EntryPlace, _ last: UInt64, _ body: ([UInt8]) throws -> Void) throws -> Void

extension Ledger.Extent {
    /// Its records, in order.
    func records(_ fetch: EntryFetch) throws -> [StoredRecord] {
        var records: [StoredRecord] = []
        records.reserveCapacity(count)
        try fetch(place, last) { payload in
            for append in try StepsEntry.appends(payload.span.bytes) where append.stream == number {
                guard append.first == first + UInt64(records.count) else {
                    throw LedgerFlaw.about("the entry begins with another record than it did before")
                }
                records += try WireRecords.split(payload, append)
            }
        }
        guard records.count == count else {
            throw LedgerFlaw.about("\(count) records were in these entries, and \(records.count) are")
        }
        return records
    }
}

/// Wire-ready records, one behind the other.
enum WireRecords {
    /// Bytes of the shortest: a tag and a length.
    static let shortest = 2

    /// The records of one append.
    static func split(_ payload: [UInt8], _ append: Append) throws(LedgerFlaw) -> [StoredRecord] {
        var records: [StoredRecord] = []
        records.reserveCapacity(append.count)
        var offset = append.bytes.lowerBound
        while offset < append.bytes.upperBound {
            let end = try end(ofRecordAt: offset, payload, append.bytes)
            records.append(StoredRecord(sequence: append.first + UInt64(records.count), bytes: payload[offset..<end]))
            offset = end
        }
        guard records.count == append.count else {
            throw LedgerFlaw(
                what: "\(append.count) records are announced and \(records.count) are there",
                offset: append.bytes.lowerBound)
        }
        return records
    }

    private static func end(ofRecordAt offset: Int, _ payload: [UInt8], _ range: Range<Int>) throws(LedgerFlaw) -> Int {
        var cursor = PayloadCursor(payload.span.bytes, offset..<range.upperBound)
        guard try cursor.number(payload.span.bytes) == 0x22 else {
            throw LedgerFlaw(what: "no record begins here", offset: offset)
        }
        let length = try cursor.count(payload.span.bytes)
        return try cursor.skip(length).upperBound
    }
}
