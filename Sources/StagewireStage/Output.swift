import Foundation
import StagewireModel
import StagewireWire

/// A record to be: what the author of a stage says about it, and its payload. The broker adds id and lineage.
///
/// One that `Record.output()` made shares the bytes of the frame that the record came in: what is not changed is not decoded,
/// and is copied once, into the frame that leaves.
public struct Output: Sendable {
    private var content = Part()
    /// The encoded header while nobody has changed anything in it; `fields` holds nothing then.
    private var written: Part?
    private var fields = HeaderFields()
    /// The output's name; empty: the stage's first.
    public var port = ""
    /// W3C Trace Context, of a source's records only.
    public var trace: TraceContext?

    /// Never looked into by the broker. With the header at most the pipeline's `max_record`.
    public var payload: [UInt8] {
        get { content.copy }
        _modify {
            var bytes = content.take()
            defer { content = Part(bytes) }
            yield &bytes
        }
    }
    /// Records of one key keep their order; at most 1,024 bytes. Empty: no key.
    public var key: [UInt8] {
        get { header.key }
        _modify {
            own()
            yield &fields.key
        }
    }
    /// What the payload follows, such as `sensor.raw`.
    public var schema: String {
        get { header.schema }
        _modify {
            own()
            yield &fields.schema
        }
    }
    public var schemaVersion: UInt32 {
        get { header.schemaVersion }
        _modify {
            own()
            yield &fields.schemaVersion
        }
    }
    /// Such as `application/json`.
    public var contentType: String {
        get { header.contentType }
        _modify {
            own()
            yield &fields.contentType
        }
    }
    /// Microseconds since 1970-01-01T00:00:00Z; 0: not known. See also `time`.
    public var eventTime: Int64 {
        get { header.eventTime }
        _modify {
            own()
            yield &fields.eventTime
        }
    }
    /// At most 64.
    public var attributes: Attributes {
        get { header.attributes }
        _modify {
            own()
            yield &fields.attributes
        }
    }

    public init(payload: some Collection<UInt8> = []) { content = Part(Array(payload)) }

    public init(text: String) { content = Part(Array(text.utf8)) }

    /// As a record has it, in the bytes of its frame.
    init(in bytes: [UInt8], header: Range<Int>, payload: Range<Int>) {
        content = Part(bytes, payload)
        written = Part(bytes, header)
    }

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

extension Output: Equatable {
    public static func == (a: Self, b: Self) -> Bool {
        a.content == b.content && a.header == b.header && a.port == b.port && a.trace == b.trace
    }
}

extension Output {
    private var header: HeaderFields {
        guard let written else { return fields }
        return HeaderFields(written.bytes, written.range)
    }

    /// From here on the header is what its fields say.
    private mutating func own() {
        guard written != nil else { return }
        fields = header
        written = nil
    }

    var payloadPart: Part { content }

    /// The encoded `Header`.
    var headerPart: Part { written ?? Part(fields.encoded()) }

    /// The whole as a message `Record`, without lineage.
    package func encoded() -> [UInt8] {
        var record = FieldWriter()
        record.content(2, headerPart.slice)
        record.content(3, content.slice)
        return record.bytes
    }

    /// What the broker would refuse as INVALID_OUTPUT (RE-4, RE-5), in words. A header that came from it has passed already.
    func flaw(headerBytes: Int) -> String? {
        if written == nil, let flaw = fields.flaw(encoded: headerBytes) { return flaw }
        guard let trace else { return nil }
        let isLong =
            trace.traceparent.utf8.count > Limits.traceparent || trace.tracestate.utf8.count > Limits.tracestate
        return isLong ? "its trace context is over \(Limits.traceparent) or \(Limits.tracestate) bytes" : nil
    }
}

/// A part of somebody's bytes.
struct Part: Equatable, Sendable {
    private(set) var bytes: [UInt8]
    private(set) var range: Range<Int>

    init(_ bytes: [UInt8] = []) {
        self.bytes = bytes
        range = 0..<bytes.count
    }

    init(_ bytes: [UInt8], _ range: Range<Int>) {
        self.bytes = bytes
        self.range = range
    }

    var count: Int { range.count }
    var isEmpty: Bool { range.isEmpty }
    var slice: ArraySlice<UInt8> { bytes[range] }
    /// No copy when it is all of them.
    var copy: [UInt8] { range.count == bytes.count ? bytes : Array(slice) }

    /// The bytes, for somebody who changes them; the part is empty then.
    mutating func take() -> [UInt8] {
        var part = Part()
        swap(&part, &self)
        return part.copy
    }

    static func == (a: Part, b: Part) -> Bool { a.slice == b.slice }
}
