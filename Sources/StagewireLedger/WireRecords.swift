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

/// Wire-ready records, one behind the other.
enum WireRecords {
    /// Bytes of the shortest: a tag and a length.
    static let shortest = 2

    /// The records of an extent.
    static func split(_ payload: [UInt8], _ extent: Ledger.Extent) throws(LedgerFlaw) -> [StoredRecord] {
        guard extent.bytes.upperBound <= payload.count else {
            throw LedgerFlaw(what: "the entry is shorter than what was read of it before", offset: payload.count)
        }
        var records: [StoredRecord] = []
        records.reserveCapacity(extent.count)
        var offset = extent.bytes.lowerBound
        while offset < extent.bytes.upperBound {
            let end = try end(ofRecordAt: offset, payload, extent.bytes)
            records.append(StoredRecord(sequence: extent.first + UInt64(records.count), bytes: payload[offset..<end]))
            offset = end
        }
        guard records.count == extent.count else {
            throw LedgerFlaw(
                what: "\(extent.count) records are announced and \(records.count) are there",
                offset: extent.bytes.lowerBound)
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
