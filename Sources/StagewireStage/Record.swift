import Foundation
import StagewireModel
import StagewireWire

/// A record as it was delivered. It shares the frame that it came in; its parts are decoded when asked for.
public struct Record: Sendable {
    let batch: Batch
    let index: Int
    private let parts: RecordScan

    init(_ batch: Batch, _ index: Int) {
        self.batch = batch
        self.index = index
        let bytes = batch.bytes
        parts = RecordScan(bytes.span.bytes, batch.records[index])
    }

    /// The delivery's id: unique in the session.
    var delivery: UInt64 { batch.firstDelivery + UInt64(index) }

    /// How many bytes credit charges for it.
    var size: Int { batch.records[index].count }

    /// Of this delivery, from 1.
    public var attempt: Int { batch.attempts.isEmpty ? 1 : Int(max(1, batch.attempts[index])) }

    /// The number of the input in `Welcome.inputs`, and the stage and port behind it.
    public var input: Input { batch.input }

    // MARK: Confirmation

    /// Has something done once the broker has confirmed that the record's settlement is durable (in a pipeline with
    /// `durability: memory`: applied): it will not come again, and what it stands for may be deleted. To be called by the
    /// handler.
    ///
    /// Actions are called in the order of deliveries, one at a time, on a thread of their own; what one throws is shown
    /// on standard error. An action is not called when the record is not accepted, when the broker refuses what was
    /// emitted, when the session ends before, and in tests without a broker.
    public func onConfirmed(_ action: @escaping @Sendable () throws -> Void) { batch.outbox?.ask(delivery, action) }

    // MARK: Payload

    public var payload: [UInt8] { Array(batch.bytes[parts.payload]) }
    public var payloadSize: Int { parts.payload.count }

    /// The payload without a copy; the buffer is valid inside of `body` only.
    public func withPayload<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try batch.bytes.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[parts.payload])) }
    }

    /// The payload as UTF-8.
    ///
    /// - Throws: `PayloadError` when it is not.
    public func text() throws(PayloadError) -> String {
        guard let text = withPayload({ String(validating: $0, as: UTF8.self) }) else {
            throw PayloadError(description: "the payload is not UTF-8 text")
        }
        return text
    }

    /// The payload, decoded from JSON.
    ///
    /// - Throws: `PayloadError`, which names the field that does not fit.
    public func json<Value: Decodable>(as type: Value.Type = Value.self) throws(PayloadError) -> Value {
        do {
            return try JSONDecoder().decode(type, from: withPayload { Data($0) })
        } catch {
            throw PayloadError(description: "the payload does not fit \(type): \(DecodingText.describe(error))")
        }
    }

    // MARK: Header

    public var key: [UInt8] { Array(batch.bytes[headerField(3)]) }
    public var schema: String { string(headerField(1)) }
    public var contentType: String { string(headerField(5)) }
    public var schemaVersion: UInt32 { UInt32(truncatingIfNeeded: headerNumber(2)) }
    /// Microseconds since 1970-01-01T00:00:00Z; 0: not known.
    public var eventTime: Int64 { Int64(bitPattern: headerNumber(4)) }

    /// All attributes. To read one, `attribute(_:)` is quicker.
    public var attributes: Attributes {
        var all = Attributes()
        FieldWalk.each(batch.bytes, parts.header) { field, _ in
            guard field.number == 6, let (name, value) = HeaderFields.attribute(batch.bytes, field.value) else {
                return
            }
            all.append(name, value)
        }
        return all
    }

    public func attribute(_ name: String) -> AttributeValue? { attributes[name] }

    // MARK: Passing on

    /// A record to emit with this one's header and payload, to be changed as needed.
    public func output() -> Output {
        Output(in: batch.bytes, header: parts.header, payload: parts.payload)
    }

    /// As `output()`, with another payload.
    public func output(text: String) -> Output {
        var output = output()
        output.payload = Array(text.utf8)
        return output
    }

    /// As `output()`, with a value encoded as JSON.
    ///
    /// - Throws: what `JSONEncoder` throws.
    public func output(json value: some Encodable) throws -> Output {
        var output = output()
        try output.setJSON(value)
        return output
    }

    var lineageRange: Range<Int> { parts.lineage }

    func string(_ range: Range<Int>) -> String { HeaderFields.text(batch.bytes, range) }

    private func headerField(_ number: UInt32) -> Range<Int> {
        var found = 0..<0
        FieldWalk.each(batch.bytes, parts.header) { field, _ in
            if field.number == number, field.type == .bytes { found = field.value }
        }
        return found
    }

    private func headerNumber(_ number: UInt32) -> UInt64 {
        var found: UInt64 = 0
        FieldWalk.each(batch.bytes, parts.header) { field, bytes in
            if field.number == number { found = FieldWalk.number(field, bytes) }
        }
        return found
    }
}

/// What a payload is not.
public struct PayloadError: Error, Equatable, CustomStringConvertible {
    public var description: String
}

/// Where a record came from: an edge of the pipeline.
public struct Input: Equatable, Sendable {
    public var number: UInt32
    /// The stage that emitted it, and on which port.
    public var stage: String
    public var port: String
    public var ordering: Ordering
}

/// How a stage gets its records relative to each other.
public typealias Ordering = StagewireModel.Ordering

/// The records of one Deliver, and what they share.
final class Batch: Sendable {
    let bytes: [UInt8]
    let input: Input
    let firstDelivery: UInt64
    let attempts: [UInt32]
    let records: [Range<Int>]
    let runs: RunTable
    /// Of the session that it came in; nil in tests.
    let outbox: Outbox?
    /// Bytes that credit charges for all of them.
    let size: Int

    init(
        bytes: [UInt8], input: Input, firstDelivery: UInt64 = 1, attempts: [UInt32] = [], records: [Range<Int>],
        runs: RunTable, outbox: Outbox? = nil
    ) {
        self.bytes = bytes
        self.input = input
        self.firstDelivery = firstDelivery
        self.attempts = attempts
        self.records = records
        self.runs = runs
        self.outbox = outbox
        size = records.reduce(0) { $0 + $1.count }
    }
}

/// Walks over the fields of a message; stops at the first thing that is not one.
enum FieldWalk {
    static func each(_ bytes: [UInt8], _ range: Range<Int>, _ body: (WireField, RawSpan) -> Void) {
        let span = bytes.span.bytes
        var offset = range.lowerBound
        while let field = FieldScan.next(in: span, at: &offset, end: range.upperBound) { body(field, span) }
    }

    /// A varint, or eight bytes in little-endian order.
    static func number(_ field: WireField, _ bytes: RawSpan) -> UInt64 {
        guard field.type == .fixed64 else { return field.varint }
        return UInt64(littleEndian: bytes.unsafeLoadUnaligned(fromByteOffset: field.value.lowerBound, as: UInt64.self))
    }
}
