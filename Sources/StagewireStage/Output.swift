import Foundation
import StagewireModel
import StagewireWire

/// A record to be: what the author of a stage says about it, and its payload. The broker adds id and lineage.
public struct Output: Equatable, Sendable {
    /// Never looked into by the broker. With the header at most the pipeline's `max_record`.
    public var payload: [UInt8]
    /// Records of one key keep their order; at most 1,024 bytes. Empty: no key.
    public var key: [UInt8] = []
    /// What the payload follows, such as `sensor.raw`.
    public var schema = ""
    public var schemaVersion: UInt32 = 0
    /// Such as `application/json`.
    public var contentType = ""
    /// Microseconds since 1970-01-01T00:00:00Z; 0: not known. See also `time`.
    public var eventTime: Int64 = 0
    /// At most 64.
    public var attributes = Attributes()
    /// The output's name; empty: the stage's first.
    public var port = ""
    /// W3C Trace Context, of a source's records only.
    public var trace: TraceContext?

    public init(payload: some Collection<UInt8> = []) { self.payload = Array(payload) }

    public init(text: String) { payload = Array(text.utf8) }

    /// Encodes `value` with its keys sorted, so that equal values give equal bytes.
    ///
    /// - Throws: what `JSONEncoder` throws, such as for a number that is not finite.
    public init(json value: some Encodable) throws {
        self.init()
        try setJSON(value)
    }

    /// Replaces the payload by `value` as JSON, and the content type by `application/json`.
    public mutating func setJSON(_ value: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        payload = Array(try encoder.encode(value))
        contentType = "application/json"
    }

    /// The event time; nil: not known. Whole microseconds are kept.
    public var time: Date? {
        get { eventTime == 0 ? nil : Date(timeIntervalSince1970: Double(eventTime) / 1e6) }
        set {
            let microseconds = newValue.map { ($0.timeIntervalSince1970 * 1e6).rounded() } ?? 0
            eventTime = Int64(exactly: microseconds) ?? (microseconds < 0 ? .min : .max)
        }
    }
}

/// W3C Trace Context, passed on as it is: https://www.w3.org/TR/trace-context/
public struct TraceContext: Equatable, Sendable {
    /// At most 64 bytes.
    public var traceparent: String
    /// At most 512 bytes.
    public var tracestate: String

    public init(traceparent: String, tracestate: String = "") {
        self.traceparent = traceparent
        self.tracestate = tracestate
    }
}

extension Output {
    /// The encoded `Header`.
    func encodeHeader() -> [UInt8] {
        var header = FieldWriter()
        header.content(1, schema.utf8)
        header.number(2, UInt64(schemaVersion))
        header.content(3, key)
        if eventTime != 0 { header.presentFixed64(4, UInt64(bitPattern: eventTime)) }
        header.content(5, contentType.utf8)
        for (name, value) in attributes {
            var attribute = FieldWriter()
            attribute.content(1, name.utf8)
            switch value {
            case .text(let text): attribute.presentContent(2, text.utf8)
            // Zigzag: the sign is the lowest bit.
            case .integer(let integer): attribute.presentNumber(3, UInt64(bitPattern: integer << 1 ^ integer >> 63))
            case .number(let number): attribute.presentFixed64(4, number.bitPattern)
            case .flag(let flag): attribute.presentNumber(5, flag ? 1 : 0)
            }
            header.presentContent(6, attribute.bytes)
        }
        return header.bytes
    }

    /// The whole as a message `Record`, without lineage.
    package func encoded() -> [UInt8] {
        var record = FieldWriter()
        record.content(2, encodeHeader())
        record.content(3, payload)
        return record.bytes
    }

    /// What the broker would refuse as INVALID_OUTPUT (RE-4, RE-5), in words.
    func flaw(header: [UInt8]) -> String? {
        if key.count > Limits.key { return "its key has \(key.count) bytes, where \(Limits.key) are allowed" }
        if attributes.count > Limits.attributes {
            return "it has \(attributes.count) attributes, where \(Limits.attributes) are allowed"
        }
        if header.count > Limits.header {
            return "its header takes \(header.count) bytes, where \(Limits.header) are allowed"
        }
        guard let trace else { return nil }
        let isLong =
            trace.traceparent.utf8.count > Limits.traceparent || trace.tracestate.utf8.count > Limits.tracestate
        return isLong ? "its trace context is over \(Limits.traceparent) or \(Limits.tracestate) bytes" : nil
    }
}
