import StagewireModel

/// A `Deliver` as its receiver reads it: where its records stand, without decoding one.
package struct DeliverScan: Sendable {
    package private(set) var input: UInt32 = 0
    package private(set) var firstDelivery: UInt64 = 0
    /// One for each record, or none: all are first attempts.
    package private(set) var attempts: [UInt32] = []
    /// The `Record` messages, without tag and length: their counts are what credit charges (CR-3).
    package private(set) var records: [Range<Int>] = []

    /// - Parameter body: where the message stands in `frame`, as `FrameCodec.decode` returned it.
    /// - Throws: `MALFORMED_FRAME`. What stands inside of the records is not looked at.
    package init(_ frame: RawSpan, _ body: Range<Int>) throws(CloseReason) {
        var offset = body.lowerBound
        while offset < body.upperBound {
            guard let field = FieldScan.next(in: frame, at: &offset, end: body.upperBound) else {
                throw Self.fault("no protobuf field at byte \(offset)")
            }
            switch (field.number, field.type) {
            case (1, .varint): input = try Self.number32(field)
            case (2, .varint): firstDelivery = field.varint
            case (3, .varint): attempts.append(try Self.number32(field))
            case (3, .bytes): try readPacked(frame, field.value)
            case (4, .bytes): records.append(field.value)
            case (1...4, _): throw Self.fault("field \(field.number) has another type than in this version")
            default: break
            }
        }
        guard attempts.isEmpty || attempts.count == records.count else {
            throw Self.fault("\(records.count) records with \(attempts.count) attempts")
        }
    }

    private mutating func readPacked(_ frame: RawSpan, _ range: Range<Int>) throws(CloseReason) {
        var offset = range.lowerBound
        while offset < range.upperBound {
            guard let value = FieldScan.number(in: frame, at: &offset, end: range.upperBound),
                let attempt = UInt32(exactly: value)
            else { throw Self.fault("its attempts are not numbers of 32 bits") }
            attempts.append(attempt)
        }
    }

    private static func number32(_ field: WireField) throws(CloseReason) -> UInt32 {
        guard let value = UInt32(exactly: field.varint) else {
            throw fault("field \(field.number) does not fit 32 bits")
        }
        return value
    }

    private static func fault(_ problem: String) -> CloseReason {
        CloseReason(.malformedFrame, "Deliver is not well-formed: \(problem).")
    }
}

/// A `Record` as its receiver reads it: where its parts stand. The broker has checked what is in them.
package struct RecordScan: Sendable {
    package private(set) var lineage = 0..<0
    package private(set) var header = 0..<0
    package private(set) var payload = 0..<0

    /// - Parameter record: where the message stands in `bytes`; what is behind the first thing that is no field is not seen.
    package init(_ bytes: RawSpan, _ record: Range<Int>) {
        var offset = record.lowerBound
        while let field = FieldScan.next(in: bytes, at: &offset, end: record.upperBound) {
            guard field.type == .bytes else { continue }
            switch field.number {
            case 1: lineage = field.value
            case 2: header = field.value
            case 3: payload = field.value
            default: break
            }
        }
    }
}
