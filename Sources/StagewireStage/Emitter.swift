import StagewireModel
import StagewireWire

/// Collects what a handler produces. It becomes visible together with the settlement, or not at all.
public struct Emitter: Sendable {
    /// The names of the stage's outputs.
    public var ports: [String] { outputs.map(\.port) }

    private(set) var body = FieldWriter()
    /// By index in `Welcome.outputs`.
    private(set) var charges: [Charge]
    /// Of all outputs.
    private var sum = Charge()
    private var failure: DeliveryError?
    /// Nothing failed, and no record was rejected.
    private var isPlain = true
    private let outputs: [Welcome.Output]
    private let limits: StepLimits
    private let field: UInt32

    /// Fields named `emissions` in the messages that hold them.
    enum Place: UInt32 {
        case outcome = 4
        case emit = 3
    }

    init(_ welcome: Welcome, in place: Place) {
        outputs = welcome.outputs
        limits = StepLimits(welcome)
        field = place.rawValue
        charges = [Charge](repeating: Charge(), count: welcome.outputs.count)
    }

    /// Keeps what is emitted, and takes any port: for tests of handlers.
    init(recording welcome: Welcome) {
        self.init(welcome, in: .outcome)
        charges = [Charge()]
        isRecording = true
    }

    /// An emitter to call a handler with in a test; `recorded` has what it emitted.
    public static func recorder() -> Emitter { Emitter(recording: TestBench.welcome) }

    /// What a `recorder` was given since its last handler began.
    public private(set) var recorded: [Output] = []
    private var isRecording = false

    /// Bytes that one step may have at most, headers and lineage included.
    public var stepBytes: Int { Int(clamping: limits.bytes) }

    var isEmpty: Bool { body.bytes.isEmpty && failure == nil }

    mutating func reset() {
        if sum.records > 0 {
            body.bytes.removeAll(keepingCapacity: true)
            for index in charges.indices { charges[index] = Charge() }
            sum = Charge()
        }
        if !isPlain {
            failure = nil
            rejectedDeliveries = [:]
            isPlain = true
        }
        if isRecording { recorded = [] }
    }

    /// Adds one record to the step. An output that the pipeline can never take (unknown port, too large, invalid
    /// header) turns the whole step into a rejection, whatever the handler does afterwards.
    ///
    /// - Parameter parents: of a window or batch the records that this one descends from; empty: all of them.
    public mutating func emit(_ output: Output, parents: [Record] = []) {
        guard let index = index(of: output) else { return fail(unknownPort(output.port)) }
        if isRecording { recorded.append(output) }
        let size = append(output, port: isRecording ? 0 : outputs[index].number, parents: parents)
        let charge = Charge(records: 1, bytes: UInt64(size) + limits.stampReserve)
        charges[index] += charge
        sum += charge
        if charge.bytes > limits.maxRecord {
            fail(
                DeliveryError(
                    .outputTooLarge,
                    "an output of \(size) bytes is larger than the pipeline's max_record of \(limits.maxRecord), of "
                        + "which \(limits.stampReserve) are kept for lineage"))
        }
    }

    /// Emits a text with the stage's defaults: no key, no header.
    public mutating func emit(text: String) { emit(Output(text: text)) }

    /// Turns one record of a window or batch into a dead letter; the others are settled as the handler ends.
    public mutating func reject(_ record: Record, _ code: UInt32, _ message: String) {
        rejectedDeliveries[record.delivery] = DeliveryError(code: code, message: message)
        isPlain = false
    }

    /// By delivery id.
    private(set) var rejectedDeliveries: [UInt64: DeliveryError] = [:]

    /// Whether there is neither a `refusal` nor a rejected record.
    var isSound: Bool { isPlain && limits.allow(sum, body: body.bytes.count) }

    /// Why the step cannot be sent; nil when it can.
    var refusal: DeliveryError? { failure ?? limits.problem(with: sum, body: body.bytes.count) }

    private mutating func fail(_ error: DeliveryError) {
        failure = failure ?? error
        isPlain = false
    }

    @inline(__always)
    private func index(of output: Output) -> Int? {
        if isRecording { return 0 }
        if output.isForFirst { return outputs.isEmpty ? nil : 0 }
        let port = output.port
        return outputs.firstIndex { $0.port == port }
    }

    /// Appends an Emission; returns the size of its `output`.
    private mutating func append(_ output: Output, port: UInt32, parents: [Record]) -> Int {
        if parents.isEmpty, let found = output.asItCame { return append(output, found, port: port) }
        let (header, payload) = (output.headerPart, output.payloadPart)
        if let flaw = output.flaw(headerBytes: header.count) {
            fail(DeliveryError(.invalidOutput, "an output is invalid: \(flaw)"))
        }
        var size = 0
        if !header.isEmpty { size += Heads.size(2, count: header.count) }
        if !payload.isEmpty { size += Heads.size(3, count: payload.count) }
        let ids = parents.isEmpty ? [] : Self.ids(parents)
        let trace = output.trace.map(Self.encoded) ?? []
        var total = Heads.size(3, count: size) + Heads.size(1, number: UInt64(port))
        if !ids.isEmpty { total += Heads.size(2, count: ids.count) }
        if !trace.isEmpty { total += Heads.size(4, count: trace.count) }

        body.head(field, count: total)
        body.number(1, UInt64(port))
        body.content(2, ids)
        // An empty record is a record nevertheless: the field stands there.
        body.head(3, count: size)
        body.content(2, header)
        body.content(3, payload)
        body.content(4, trace)
        return size
    }

    /// As above, for what goes on as it came: one copy, and no more heads than it needs.
    private mutating func append(_ output: Output, _ found: AsItCame, port: UInt32) -> Int {
        let size = found.size
        let total = Heads.size(3, count: size) + Heads.size(1, number: UInt64(port))
        body.append { heads in
            heads.head(field, count: total)
            heads.number(1, UInt64(port))
            heads.head(3, count: size)
            heads.head(2, count: found.header)
        }
        output.append(found, to: &body)
        return size
    }

    private static func ids(_ parents: [Record]) -> [UInt8] {
        var ids = FieldWriter()
        for record in parents.sorted(by: { $0.delivery < $1.delivery }) { ids.varint(record.delivery) }
        return ids.bytes
    }

    private static func encoded(_ context: TraceContext) -> [UInt8] {
        var trace = FieldWriter()
        trace.content(1, context.traceparent.utf8)
        trace.content(2, context.tracestate.utf8)
        return trace.bytes
    }

    private func unknownPort(_ port: String) -> DeliveryError {
        let problem =
            outputs.isEmpty
            ? "this stage has no outputs, but its handler emits"
            : "this stage has no output “\(port)”; it has \(outputs.map(\.port).joined(separator: ", "))"
        return DeliveryError(.invalidOutput, problem)
    }
}

/// What `Welcome` says of the largest step.
struct StepLimits: Sendable {
    let maxRecord: UInt64
    let stampReserve: UInt64
    private let records: UInt64
    let bytes: UInt64
    private let frame: UInt64

    init(_ welcome: Welcome) {
        maxRecord = welcome.maxRecord
        stampReserve = welcome.stampReserve
        records = welcome.maxStepRecords
        bytes = welcome.maxStepBytes
        frame = welcome.maxFrame
    }

    /// No credit will ever come for a step above these (CR-8), so it must not wait for any.
    ///
    /// - Parameter body: bytes of all emissions.
    @inline(__always)
    func allow(_ sum: Charge, body: Int) -> Bool {
        // What stands around the emissions: ranges of a window, a text.
        sum.records <= records && sum.bytes <= bytes && UInt64(body + Limits.frameOverhead / 2) <= frame
    }

    /// Why `allow` says no; nil: it says yes.
    func problem(with sum: Charge, body: Int) -> DeliveryError? {
        if allow(sum, body: body) { return nil }
        if sum.records > records || sum.bytes > bytes {
            return DeliveryError(
                .stepTooLarge,
                "one step emitted \(sum.records) records, charged \(sum.bytes) bytes; the pipeline takes at most "
                    + "\(records) records and \(bytes) bytes")
        }
        return DeliveryError(.stepTooLarge, "one step emitted \(body) bytes; a frame holds at most \(frame)")
    }
}
