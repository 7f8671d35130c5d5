import Foundation
import StagewireModel
import StagewireWire

/// A record to be: what the author of a stage says about it, and its payload. The broker adds id and lineage.
///
/// One that `Record.output()` made shares the bytes of the frame that the record came in: what is not changed is not decoded,
/// and is copied once, into the frame that leaves. Few of its members count references: each is counted for each record.
public struct Output: Sendable {
    /// The frame of the record that it was made of.
    private var frame: [UInt8] = []
    /// The encoded header in the frame, while the rest has none.
    private var frameHeader = 0..<0
    /// The payload in the frame, while there is no `ownPayload`.
    private var framePayload = 0..<0
    private var ownPayload: [UInt8]?
    /// nil: nothing of it was ever set.
    private var rest: Rest?

    /// What most outputs do not say anew.
    ///
    /// `@unchecked Sendable`: it is changed only where one output alone refers to it.
    private final class Rest: @unchecked Sendable {
        var port = ""
        var trace: TraceContext?
        var header = HeaderFields()
        /// False: the header is the one in the frame, and `header` says nothing.
        var hasHeader = false

        init() {}

        init(copying other: Rest) {
            (port, trace) = (other.port, other.trace)
            (header, hasHeader) = (other.header, other.hasHeader)
        }
    }

    /// The output's name; empty: the stage's first.
    public var port: String {
        get { rest?.port ?? "" }
        _modify { yield &ownRest().port }
    }
    /// W3C Trace Context, of a source's records only.
    public var trace: TraceContext? {
        get { rest?.trace }
        _modify { yield &ownRest().trace }
    }

    /// Never looked into by the broker. With the header at most the pipeline's `max_record`.
    public var payload: [UInt8] {
        get { ownPayload ?? Array(frame[framePayload]) }
        // Without it what is replaced would be copied first.
        set {
            ownPayload = newValue
            releaseFrame()
        }
        _modify {
            var bytes = ownPayload.take() ?? Array(frame[framePayload])
            defer {
                ownPayload = bytes
                releaseFrame()
            }
            yield &bytes
        }
    }
    /// Records of one key keep their order; at most 1,024 bytes. Empty: no key.
    public var key: [UInt8] {
        get { header.key }
        _modify { yield &ownHeader().header.key }
    }
    /// What the payload follows, such as `sensor.raw`.
    public var schema: String {
        get { header.schema }
        _modify { yield &ownHeader().header.schema }
    }
    public var schemaVersion: UInt32 {
        get { header.schemaVersion }
        _modify { yield &ownHeader().header.schemaVersion }
    }
    /// Such as `application/json`.
    public var contentType: String {
        get { header.contentType }
        _modify { yield &ownHeader().header.contentType }
    }
    /// Microseconds since 1970-01-01T00:00:00Z; 0: not known. See also `time`.
    public var eventTime: Int64 {
        get { header.eventTime }
        _modify { yield &ownHeader().header.eventTime }
    }
    /// At most 64.
    public var attributes: Attributes {
        get { header.attributes }
        _modify { yield &ownHeader().header.attributes }
    }

    public init(payload: some Collection<UInt8> = []) { ownPayload = Array(payload) }

    public init(text: String) { ownPayload = Array(text.utf8) }

    /// As a record has it, in the bytes of its frame.
    init(in bytes: [UInt8], header: Range<Int>, payload: Range<Int>) {
        frame = bytes
        frameHeader = header
        framePayload = payload
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
        a.payloadPart == b.payloadPart && a.header == b.header && a.port == b.port && a.trace == b.trace
    }
}

extension Output {
    private var header: HeaderFields {
        guard let rest, rest.hasHeader else { return HeaderFields(frame, frameHeader) }
        return rest.header
    }

    /// For somebody who changes it.
    private mutating func ownRest() -> Rest {
        if isKnownUniquelyReferenced(&rest), let rest { return rest }
        let own = rest.map(Rest.init(copying:)) ?? Rest()
        rest = own
        return own
    }

    /// As `ownRest`; from here on the header is what it says.
    private mutating func ownHeader() -> Rest {
        let own = ownRest()
        if !own.hasHeader {
            own.header = HeaderFields(frame, frameHeader)
            own.hasHeader = true
            frameHeader = 0..<0
            releaseFrame()
        }
        return own
    }

    /// Once nothing of the frame goes on: an output may be kept for long.
    private mutating func releaseFrame() {
        guard ownPayload != nil, frameHeader.isEmpty else { return }
        frame = []
        framePayload = 0..<0
    }

    /// Whether it names no port.
    @inline(__always)
    var isForFirst: Bool {
        guard let rest else { return true }
        return rest.port.isEmpty
    }

    var payloadPart: Part {
        guard let ownPayload else { return Part(frame, framePayload) }
        return Part(ownPayload)
    }

    /// The encoded `Header`.
    var headerPart: Part {
        guard let rest, rest.hasHeader else { return Part(frame, frameHeader) }
        return Part(rest.header.encoded())
    }

    /// The whole as a message `Record`, without lineage.
    package func encoded() -> [UInt8] {
        var record = FieldWriter()
        record.content(2, headerPart)
        record.content(3, payloadPart)
        return record.bytes
    }

    /// Header and payload as they came: the header's bytes, the payload's field, nothing in between. nil: something was changed, or
    /// they do not stand so.
    var asItCame: AsItCame? {
        guard ownPayload == nil else { return nil }
        if let rest, rest.hasHeader || rest.trace != nil { return nil }
        guard !frameHeader.isEmpty, !framePayload.isEmpty,
            frameHeader.upperBound + Heads.size(3, count: framePayload.count) == framePayload.upperBound
        else { return nil }
        return AsItCame(header: frameHeader.count, part: frameHeader.lowerBound..<framePayload.upperBound)
    }

    /// Appends what `asItCame` found.
    func append(_ found: AsItCame, to writer: inout FieldWriter) { writer.append(frame, found.part) }

    /// What the broker would refuse as INVALID_OUTPUT (RE-4, RE-5), in words. A header that came from it has passed already.
    func flaw(headerBytes: Int) -> String? {
        guard let rest else { return nil }
        if rest.hasHeader, let flaw = rest.header.flaw(encoded: headerBytes) { return flaw }
        guard let trace = rest.trace else { return nil }
        let isLong =
            trace.traceparent.utf8.count > Limits.traceparent || trace.tracestate.utf8.count > Limits.tracestate
        return isLong ? "its trace context is over \(Limits.traceparent) or \(Limits.tracestate) bytes" : nil
    }
}

/// What is passed on of a frame in one piece.
struct AsItCame {
    /// Bytes of the encoded header, with which the part begins.
    var header: Int
    var part: Range<Int>

    /// Bytes of it as a message `Record`.
    var size: Int { Heads.size(2, count: header) + part.count - header }
}

/// A part of somebody's bytes.
struct Part: Equatable, Sendable {
    let bytes: [UInt8]
    let range: Range<Int>

    init(_ bytes: [UInt8]) { self.init(bytes, 0..<bytes.count) }

    init(_ bytes: [UInt8], _ range: Range<Int>) {
        self.bytes = bytes
        self.range = range
    }

    var count: Int { range.count }
    var isEmpty: Bool { range.isEmpty }

    static func == (a: Part, b: Part) -> Bool { a.bytes[a.range] == b.bytes[b.range] }
}
